//! What is known of each server: whether it answers, its role, how far it is behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// One server of one database. Written by its health check, read by whoever shows it. Gone from the page of metrics
/// when dropped.
#[derive(Debug, Default)]
pub struct ServerMetrics {
    up: AtomicBool,
    primary: AtomicBool,
    lag_bytes: AtomicU64,
    lag_us: AtomicU64,
}

impl ServerMetrics {
    /// The last health check succeeded, or not.
    pub fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }

    /// It is the primary (`pg_is_in_recovery()` is false).
    pub fn set_primary(&self, primary: bool) {
        self.primary.store(primary, Ordering::Relaxed);
    }

    /// How far its replay is behind the primary: bytes of WAL, and time. 0 at the primary.
    pub fn set_lag(&self, bytes: u64, lag: std::time::Duration) {
        self.lag_bytes.store(bytes, Ordering::Relaxed);
        self.lag_us.store(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> ServerSnapshot {
        ServerSnapshot {
            up: self.up.load(Ordering::Relaxed),
            primary: self.primary.load(Ordering::Relaxed),
            lag_bytes: self.lag_bytes.load(Ordering::Relaxed),
            lag_us: self.lag_us.load(Ordering::Relaxed),
        }
    }
}

/// A server's state at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerSnapshot {
    pub up: bool,
    pub primary: bool,
    pub lag_bytes: u64,
    pub lag_us: u64,
}

/// Database and `host:port`.
pub(super) type ServerLabels = (Arc<str>, Arc<str>);

/// All servers that somebody holds; the newest holder of a (database, server) is shown.
#[derive(Debug, Default)]
pub(super) struct Servers(BTreeMap<ServerLabels, Weak<ServerMetrics>>);

impl Servers {
    pub(super) fn holder(&mut self, database: Arc<str>, server: Arc<str>) -> Arc<ServerMetrics> {
        let holder = Arc::new(ServerMetrics::default());
        self.0.insert((database, server), Arc::downgrade(&holder));
        holder
    }

    pub(super) fn snapshots(&mut self) -> Vec<(ServerLabels, ServerSnapshot)> {
        self.0.retain(|_, holder| holder.strong_count() > 0);
        self.0.iter().filter_map(|(labels, holder)| Some((labels.clone(), holder.upgrade()?.snapshot()))).collect()
    }
}
