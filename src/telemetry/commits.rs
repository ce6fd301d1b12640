//! Transactions over several shards: how many were committed, how many parts were left and finished by the recoverer.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::{Counter, Gauge, SharedCounter};

/// One sharded database's.
#[derive(Debug, Default)]
pub struct CommitMetrics {
    /// Every worker counts here.
    pub committed: SharedCounter,
    /// Those that were stopped, for they waited for others that waited for them.
    pub deadlocks: Counter,
    /// Parts that the recoverer finished.
    pub recovered: Counter,
    /// Parts that are prepared now, whichever proxy's.
    pub prepared: Gauge,
    /// Those of them whose owner is gone, or too slow, and that couldn't be finished yet.
    pub in_doubt: Gauge,
}

/// All that somebody holds, by database; the newest holder is shown.
#[derive(Debug)]
pub(super) struct Shown<M>(BTreeMap<Arc<str>, Weak<M>>);

impl<M> Default for Shown<M> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<M> Shown<M> {
    pub(super) fn show(&mut self, database: Arc<str>, metrics: &Arc<M>) {
        self.0.insert(database, Arc::downgrade(metrics));
    }

    pub(super) fn all(&mut self) -> Vec<(Arc<str>, Arc<M>)> {
        self.0.retain(|_, holder| holder.strong_count() > 0);
        self.0.iter().filter_map(|(database, holder)| Some((database.clone(), holder.upgrade()?))).collect()
    }
}
