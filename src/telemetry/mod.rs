//! Metric handles and logs.
//!
//! Whoever counts asks [`Telemetry`] for a handle of its own (one a worker) and bumps plain atomics in it that no other
//! core touches; [`Telemetry::render`] adds the handles up. Nothing here is global: two proxies in one process count
//! apart.

pub mod cell;
pub mod commits;
pub mod gather;
pub mod log;
pub mod pool;
pub mod render;
pub mod server;
pub mod session;
pub mod stats;
pub mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use cell::{Counter, Gauge, Histogram, Raised, SharedCounter};
pub use commits::CommitMetrics;
pub use gather::GatherMetrics;
pub use pool::{PoolLabels, PoolMetrics, Totals};
pub use server::ServerMetrics;
pub use session::{SessionMetrics, SessionSnapshot};
pub use stats::{STATS_PERIOD, StatsRow};

use crate::base::limits;

/// All figures of one proxy. Clones share them.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: SystemTime,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pools: pool::Pools,
    sessions: session::Sessions,
    servers: server::Servers,
    commits: commits::Shown<CommitMetrics>,
    gather: commits::Shown<GatherMetrics>,
    history: stats::History,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            started: SystemTime::now(),
            state: Mutex::new(State {
                pools: pool::Pools::default(),
                sessions: session::Sessions::default(),
                servers: server::Servers::default(),
                commits: commits::Shown::default(),
                gather: commits::Shown::default(),
                history: stats::History::new(Instant::now()),
            }),
        }))
    }

    /// A handle for a pool: each worker takes its own. Its counts stay when it is dropped.
    pub fn pool(&self, labels: PoolLabels) -> Arc<PoolMetrics> {
        self.state().pools.holder(labels, limits::METRIC_POOLS)
    }

    /// A handle for sessions: each worker takes its own.
    pub fn sessions(&self) -> Arc<SessionMetrics> {
        self.state().sessions.holder()
    }

    /// A handle for a server's state, for its health check. One a server and database.
    pub fn server(&self, database: &str, server: &str) -> Arc<ServerMetrics> {
        self.state().servers.holder(Arc::from(database), Arc::from(server))
    }

    /// Shows a sharded database's commits on the page for as long as they are held.
    pub fn show_commits(&self, database: &str, metrics: &Arc<CommitMetrics>) {
        self.state().commits.show(Arc::from(database), metrics);
    }

    /// The same for what its statements gather.
    pub fn show_gather(&self, database: &str, metrics: &Arc<GatherMetrics>) {
        self.state().gather.show(Arc::from(database), metrics);
    }

    /// The sessions' figures now, over all handles.
    pub fn session_snapshot(&self) -> SessionSnapshot {
        self.state().sessions.snapshot()
    }

    /// Totals and averages by database, for SHOW STATS.
    pub fn stats(&self, now: Instant) -> Vec<StatsRow> {
        let mut state = self.state();
        let totals = state.pools.by_database();
        state.history.rows(now, totals)
    }

    /// Remembers the totals once every [`STATS_PERIOD`], for the averages. Call it every few seconds.
    pub fn tick(&self, now: Instant) {
        let State { pools, history, .. } = &mut *self.state();
        history.tick(now, || pools.by_database());
    }

    /// The page that Prometheus reads (text format 0.0.4). Takes about a microsecond a line: with thousands of pools
    /// not on a thread that serves clients.
    pub fn render(&self) -> String {
        let mut state = self.state();
        let (pools, sessions, servers) =
            (state.pools.snapshots(), state.sessions.snapshot(), state.servers.snapshots());
        let (commits, gather) = (state.commits.all(), state.gather.all());
        drop(state);
        let started = self.0.started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        render::render(
            &pools,
            &sessions,
            &servers,
            (&commits, &gather),
            &render::Process { started, resident: resident_bytes() },
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resident memory in bytes, where the system tells it (`VmRSS` of Linux' proc(5)).
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests;
