//! What is counted for a pool: one user's connections to one server for one database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cell::{Counter, Gauge, Histogram, HistogramSnapshot};

/// Whose pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolLabels {
    /// The name in `[databases]`.
    pub database: Arc<str>,
    /// The user that logs in at the server.
    pub user: Arc<str>,
    /// `host:port`.
    pub server: Arc<str>,
}

/// The cells of one holder of a pool's figures. Several holders may have the same labels (one a worker, so that no
/// cache line is shared between cores): what is shown is their sum, and it doesn't shrink when a holder is dropped.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct PoolMetrics {
    /// Transactions that ended; a statement outside a block is one.
    pub transactions: Counter,
    /// Queries: Query messages, and Executes of the extended protocol.
    pub queries: Counter,
    /// How often a client got a server connection.
    pub assignments: Counter,
    /// Time spent in transactions, in microseconds.
    pub transaction_us: Counter,
    /// From a query's first byte to ReadyForQuery.
    pub query: Histogram,
    /// How long clients waited for a server connection; those that got one at once count with 0.
    pub wait: Histogram,
    /// Bytes.
    pub from_client: Counter,
    /// Bytes.
    pub to_client: Counter,
    /// Bytes.
    pub from_server: Counter,
    /// Bytes.
    pub to_server: Counter,
    /// Server connections made, logged in.
    pub connects: Counter,
    /// Server connections that couldn't be made.
    pub connect_failures: Counter,
    /// Server connections that a client holds.
    pub active: Gauge,
    /// Server connections that nobody holds.
    pub idle: Gauge,
    /// Clients that wait for a server connection.
    pub waiting: Gauge,
    /// Parse messages of clients.
    pub client_parses: Counter,
    /// Parse messages sent to servers.
    pub server_parses: Counter,
    /// Bind messages of clients.
    pub binds: Counter,
}

impl PoolMetrics {
    fn snapshot(&self) -> PoolSnapshot {
        let query = self.query.snapshot();
        let wait = self.wait.snapshot();
        PoolSnapshot {
            totals: Totals {
                assignments: self.assignments.value(),
                transactions: self.transactions.value(),
                queries: self.queries.value(),
                received: self.from_client.value(),
                sent: self.to_client.value(),
                transaction_us: self.transaction_us.value(),
                query_us: query.sum_us,
                wait_us: wait.sum_us,
                client_parses: self.client_parses.value(),
                server_parses: self.server_parses.value(),
                binds: self.binds.value(),
            },
            query,
            wait,
            from_server: self.from_server.value(),
            to_server: self.to_server.value(),
            connects: self.connects.value(),
            connect_failures: self.connect_failures.value(),
            active: self.active.value(),
            idle: self.idle.value(),
            waiting: self.waiting.value(),
        }
    }
}

/// A pool's figures at one moment, over all its holders.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolSnapshot {
    pub totals: Totals,
    pub query: HistogramSnapshot,
    pub wait: HistogramSnapshot,
    pub from_server: u64,
    pub to_server: u64,
    pub connects: u64,
    pub connect_failures: u64,
    pub active: i64,
    pub idle: i64,
    pub waiting: i64,
}

impl std::ops::AddAssign for PoolSnapshot {
    fn add_assign(&mut self, other: Self) {
        self.totals += other.totals;
        self.query += other.query;
        self.wait += other.wait;
        self.from_server += other.from_server;
        self.to_server += other.to_server;
        self.connects += other.connects;
        self.connect_failures += other.connect_failures;
        self.active += other.active;
        self.idle += other.idle;
        self.waiting += other.waiting;
    }
}

/// What PgBouncer's SHOW STATS counts (its `PgStats`). Times in microseconds, sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub assignments: u64,
    pub transactions: u64,
    pub queries: u64,
    /// From clients.
    pub received: u64,
    /// To clients.
    pub sent: u64,
    pub transaction_us: u64,
    pub query_us: u64,
    pub wait_us: u64,
    pub client_parses: u64,
    pub server_parses: u64,
    pub binds: u64,
}

impl Totals {
    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            assignments: f(self.assignments, other.assignments),
            transactions: f(self.transactions, other.transactions),
            queries: f(self.queries, other.queries),
            received: f(self.received, other.received),
            sent: f(self.sent, other.sent),
            transaction_us: f(self.transaction_us, other.transaction_us),
            query_us: f(self.query_us, other.query_us),
            wait_us: f(self.wait_us, other.wait_us),
            client_parses: f(self.client_parses, other.client_parses),
            server_parses: f(self.server_parses, other.server_parses),
            binds: f(self.binds, other.binds),
        }
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        *self = self.zip(other, u64::wrapping_add);
    }
}

/// All pools that were ever counted.
#[derive(Debug, Default)]
pub(super) struct Pools(HashMap<PoolLabels, Family>);

#[derive(Debug, Default)]
struct Family {
    /// What holders had counted when they were dropped.
    retired: PoolSnapshot,
    holders: Vec<Arc<PoolMetrics>>,
}

impl Pools {
    /// A new holder. Beyond `most` sets of labels the user is told as `other`, so that neither memory nor the page of
    /// metrics grows without end.
    pub(super) fn holder(&mut self, mut labels: PoolLabels, most: usize) -> Arc<PoolMetrics> {
        if self.0.len() >= most && !self.0.contains_key(&labels) {
            labels.user = Arc::from("other");
        }
        let holder = Arc::new(PoolMetrics::default());
        let family = self.0.entry(labels).or_default();
        family.retire();
        family.holders.push(holder.clone());
        holder
    }

    /// Everything, in the order of labels.
    pub(super) fn snapshots(&mut self) -> BTreeMap<PoolLabels, PoolSnapshot> {
        self.0.iter_mut().map(|(labels, family)| (labels.clone(), family.snapshot())).collect()
    }

    /// Sums by database.
    pub(super) fn by_database(&mut self) -> BTreeMap<Arc<str>, Totals> {
        let mut sums: BTreeMap<Arc<str>, Totals> = BTreeMap::new();
        for (labels, family) in &mut self.0 {
            *sums.entry(labels.database.clone()).or_default() += family.snapshot().totals;
        }
        sums
    }
}

impl Family {
    /// Takes over what holders counted that nobody can bump any more: nobody else has a reference.
    fn retire(&mut self) {
        self.holders.retain(|holder| {
            let held = Arc::strong_count(holder) > 1;
            if !held {
                let mut last = holder.snapshot();
                (last.active, last.idle, last.waiting) = (0, 0, 0);
                self.retired += last;
            }
            held
        });
    }

    fn snapshot(&mut self) -> PoolSnapshot {
        self.retire();
        let mut sum = self.retired;
        for holder in &self.holders {
            sum += holder.snapshot();
        }
        sum
    }
}
