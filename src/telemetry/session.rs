//! What is counted for sessions, over all databases.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::cell::{Counter, Gauge};
use crate::base::{SqlState, limits};

/// The cells of one holder (one a worker, so that no cache line and no lock is contended). Shown is the sum.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct SessionMetrics {
    /// Client connections, those that log in included.
    pub clients: Gauge,
    /// Workers that wait for their turns (`server.scheduling`).
    pub batched: Gauge,
    /// Logins that succeeded.
    pub logins: Counter,
    /// Statements run again on another server, because the first failed before a byte was forwarded.
    pub retries: Counter,
    /// Cancel requests of clients.
    pub cancels: Counter,
    login_failures: Labelled<SqlState>,
    errors: Labelled<SqlState>,
    pins: Labelled<&'static str>,
    replica_reads: Labelled<&'static str>,
    primary_reads: Labelled<&'static str>,
    /// Statements of sharded databases that one shard answered, …
    pub routed: Counter,
    /// … whose rows came from several, …
    pub scattered: Counter,
    /// … and whose rest ran on a PostgreSQL over what several gave.
    pub gathered: Counter,
    refusals: Labelled<&'static str>,
}

impl SessionMetrics {
    /// A login that was refused.
    pub fn login_failed(&self, code: SqlState) {
        self.login_failures.inc(code);
    }

    /// An error that a client was told, whoever raised it.
    pub fn error(&self, code: SqlState) {
        self.errors.inc(code);
    }

    /// A session that keeps its server connection from now on, and why: `temporary table`, `listen`, …
    pub fn pinned(&self, by: &'static str) {
        self.pins.inc(by);
    }

    /// A read that a replica answers; `reason` is what it had to see.
    pub fn replica_read(&self, reason: &'static str) {
        self.replica_reads.inc(reason);
    }

    /// A statement that went to the primary of a database that has replicas, and why.
    pub fn primary_read(&self, reason: &'static str) {
        self.primary_reads.inc(reason);
    }

    /// A statement of a sharded database that was refused, and why.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.inc(reason);
    }

    fn add_to(&self, sum: &mut SessionSnapshot) {
        sum.clients += self.clients.value();
        sum.batched += self.batched.value();
        sum.logins += self.logins.value();
        sum.retries += self.retries.value();
        sum.cancels += self.cancels.value();
        self.login_failures.add_to(&mut sum.login_failures);
        self.errors.add_to(&mut sum.errors);
        self.pins.add_to(&mut sum.pins);
        self.replica_reads.add_to(&mut sum.replica_reads);
        self.primary_reads.add_to(&mut sum.primary_reads);
        for (rung, counter) in [("route", &self.routed), ("scatter", &self.scattered), ("rest", &self.gathered)] {
            add_label(&mut sum.rungs, rung, counter.value());
        }
        self.refusals.add_to(&mut sum.refusals);
    }
}

/// The sessions' figures at one moment, over all holders.
#[derive(Clone, Debug, Default)]
pub struct SessionSnapshot {
    pub clients: i64,
    pub batched: i64,
    pub logins: u64,
    pub retries: u64,
    pub cancels: u64,
    pub login_failures: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
    pub pins: BTreeMap<String, u64>,
    pub replica_reads: BTreeMap<String, u64>,
    pub primary_reads: BTreeMap<String, u64>,
    pub rungs: BTreeMap<String, u64>,
    pub refusals: BTreeMap<String, u64>,
}

/// Counters by one label whose values come as they come: at most [`limits::METRIC_LABELS`], then `other`.
#[derive(Debug)]
struct Labelled<K>(Mutex<HashMap<K, u64>>, Counter);

impl<K> Default for Labelled<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()), Counter::default())
    }
}

impl<K: Copy + Eq + std::hash::Hash + LabelText> Labelled<K> {
    fn inc(&self, key: K) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&key) {
            *count += 1;
        } else if counts.len() < limits::METRIC_LABELS {
            counts.insert(key, 1);
        } else {
            self.1.inc();
        }
    }

    fn add_to(&self, sum: &mut BTreeMap<String, u64>) {
        for (key, count) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            add_label(sum, key.text(), *count);
        }
        if self.1.value() > 0 {
            *sum.entry("other".to_owned()).or_default() += self.1.value();
        }
    }
}

/// Holders may have filled up with different labels: their sum is bounded as well.
fn add_label(sum: &mut BTreeMap<String, u64>, label: &str, count: u64) {
    let label = if sum.len() < limits::METRIC_LABELS || sum.contains_key(label) { label } else { "other" };
    *sum.entry(label.to_owned()).or_default() += count;
}

/// How a key reads as a label's value.
trait LabelText {
    fn text(&self) -> &str;
}

impl LabelText for SqlState {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl LabelText for &'static str {
    fn text(&self) -> &str {
        self
    }
}

/// All holders.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    retired: SessionSnapshot,
    holders: Vec<Arc<SessionMetrics>>,
}

impl Sessions {
    pub(super) fn holder(&mut self) -> Arc<SessionMetrics> {
        let holder = Arc::new(SessionMetrics::default());
        self.holders.push(holder.clone());
        holder
    }

    pub(super) fn snapshot(&mut self) -> SessionSnapshot {
        let retired = &mut self.retired;
        self.holders.retain(|holder| {
            let held = Arc::strong_count(holder) > 1;
            if !held {
                holder.add_to(retired);
                (retired.clients, retired.batched) = (0, 0);
            }
            held
        });
        let mut sum = self.retired.clone();
        for holder in &self.holders {
            holder.add_to(&mut sum);
        }
        sum
    }
}
