//! Transactions over several shards that have waited for a while: what the search for deadlocks asks about, and stops.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::CancelTarget;
use super::conn::Threat;
use crate::topology::placement::ShardIndex;

/// A transaction whose statement waits.
pub trait Waiter: Send + Sync + Debug {
    /// Its server processes.
    fn processes(&self) -> Vec<(ShardIndex, i32)>;

    /// It is to fail for a deadlock, which the text describes: where cancel requests are to go.
    fn stop(&self, detail: String) -> Vec<(Arc<CancelTarget>, Threat)>;
}

/// All of one sharded database's in this process.
#[derive(Debug, Default)]
pub struct Waits {
    next: AtomicU64,
    state: Mutex<BTreeMap<u64, Waiting>>,
    /// Somebody waits.
    pub(super) urge: Notify,
}

#[derive(Debug)]
struct Waiting {
    /// When its transaction began, in microseconds.
    begun: u64,
    who: Arc<dyn Waiter>,
}

/// One wait. Dropped, it is over; the next has another number.
#[derive(Debug)]
pub struct Wait {
    waits: Arc<Waits>,
    number: u64,
}

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub number: u64,
    pub begun: u64,
    pub processes: Vec<(ShardIndex, i32)>,
}

impl Waits {
    /// A statement of a transaction that began at `begun` has waited for a while.
    pub fn enter(self: &Arc<Self>, begun: SystemTime, who: Arc<dyn Waiter>) -> Wait {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let begun = begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let begun = u64::try_from(begun).unwrap_or(u64::MAX);
        self.state().insert(number, Waiting { begun, who });
        self.urge.notify_one();
        Wait { waits: self.clone(), number }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().is_empty()
    }

    pub(super) fn all(&self) -> Vec<Known> {
        let known = |(number, waiting): (&u64, &Waiting)| Known {
            number: *number,
            begun: waiting.begun,
            processes: waiting.who.processes(),
        };
        self.state().iter().map(known).collect()
    }

    /// Stops one, if it still waits.
    pub(super) fn stop(&self, number: u64, detail: String) -> Vec<(Arc<CancelTarget>, Threat)> {
        self.state().get(&number).map(|waiting| waiting.who.stop(detail)).unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waits.state().remove(&self.number);
    }
}
