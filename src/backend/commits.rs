//! Transactions over several shards, as all workers share them: their names, which live, what the recoverer is asked.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Notify, oneshot};

use crate::base::{Fault, limits};
use crate::sql::siphash::SipHash;
use crate::telemetry::CommitMetrics;
use crate::topology::placement::ShardIndex;

/// What the names of prepared transactions of ours begin with.
pub const PREFIX: &str = "pgbraid:";

/// Longest name of a shard that stands in a transaction's name as it is.
const LABEL: usize = 40;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    Aborted,
}

/// A transaction over several shards. Its name is the key of its decision row on the anchor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The id of the map of keys, without dashes: which database, whatever configurations call it.
    pub map: String,
    /// The label of the shard whose commit decides.
    pub anchor: String,
    /// Which process made it.
    pub instance: String,
    pub sequence: u64,
}

impl Name {
    /// The name under which a shard prepares its part; at most 199 bytes, as PostgreSQL has it.
    pub fn part(&self, shard: &str) -> String {
        format!("{self}:{}", label(shard))
    }

    /// The transaction whose part is prepared under this name.
    pub fn of_part(gid: &str) -> Option<Self> {
        let (name, _) = gid.rsplit_once(':')?;
        Self::read(name)
    }

    /// From the key of a decision row.
    pub fn read(name: &str) -> Option<Self> {
        let mut fields = name.strip_prefix(PREFIX)?.split(':');
        let mut next = || fields.next().map(str::to_owned);
        let (map, anchor, instance, sequence) = (next()?, next()?, next()?, next()?);
        let read = Self { map, anchor, instance, sequence: u64::from_str_radix(&sequence, 16).ok()? };
        (fields.next().is_none() && read.to_string() == name).then_some(read)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, anchor, instance, sequence } = self;
        write!(f, "{PREFIX}{map}:{anchor}:{instance}:{sequence:x}")
    }
}

/// A shard in the names of transactions: its own name, or a hash of one that doesn't fit.
pub fn label(shard: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if shard.len() <= LABEL && shard.bytes().all(plain) {
        return shard.to_owned();
    }
    let mut hash = SipHash::<2, 4>::new((0, 0));
    hash.bytes(shard.as_bytes());
    format!("={:016x}", hash.finish() as u64)
}

/// A transaction whose outcome somebody waits for.
#[derive(Debug)]
pub struct Order {
    pub name: Name,
    /// The shards that may hold a part of it.
    pub parts: Vec<ShardIndex>,
    pub answer: oneshot::Sender<Verdict>,
}

/// All of one sharded database's.
#[derive(Debug)]
pub struct Commits {
    instance: String,
    next: AtomicU64,
    state: Mutex<State>,
    /// The recoverer has something to do.
    pub(super) urge: Notify,
    pub fault: Fault,
    pub figures: Arc<CommitMetrics>,
}

#[derive(Debug, Default)]
struct State {
    map: Option<String>,
    living: HashSet<u64>,
    orders: Vec<Order>,
    /// Decision rows that nobody needs any more, by anchor.
    finished: BTreeMap<ShardIndex, Vec<String>>,
}

impl Default for Commits {
    fn default() -> Self {
        Self::new()
    }
}

impl Commits {
    pub fn new() -> Self {
        let mut bytes = [0; 8];
        // Without randomness the address of something new must do: the name need not be secret, only its own.
        if SystemRandom::new().fill(&mut bytes).is_err() {
            bytes = (std::ptr::from_ref(&bytes) as u64 ^ u64::from(std::process::id()) << 32).to_be_bytes();
        }
        Self {
            instance: format!("{:016x}", u64::from_be_bytes(bytes)),
            next: AtomicU64::new(1),
            state: Mutex::default(),
            urge: Notify::new(),
            fault: Fault::from_environment(),
            figures: Arc::default(),
        }
    }

    /// The name of this process among those of the database.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// The stored map's id is known.
    pub(super) fn set_map(&self, id: &str) {
        self.state().map = Some(id.chars().filter(|c| *c != '-').collect());
    }

    pub(super) fn map(&self) -> Option<String> {
        self.state().map.clone()
    }

    /// A new transaction. None: the map isn't known yet.
    pub fn begin(self: &Arc<Self>, anchor: &str) -> Option<Living> {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let map = state.map.clone()?;
        state.living.insert(sequence);
        let name = Name { map, anchor: label(anchor), instance: self.instance.clone(), sequence };
        Some(Living { name, commits: self.clone() })
    }

    /// Whether this process made it.
    pub(super) fn is_own(&self, name: &Name) -> bool {
        name.instance == self.instance
    }

    /// Whether this process is at work on it.
    pub(super) fn lives(&self, name: &Name) -> bool {
        self.is_own(name) && self.state().living.contains(&name.sequence)
    }

    /// Has the recoverer find out how it ended, and finish its parts: told when all of them are.
    pub fn resolve(&self, name: Name, parts: Vec<ShardIndex>) -> oneshot::Receiver<Verdict> {
        let (answer, told) = oneshot::channel();
        self.state().orders.push(Order { name, parts, answer });
        self.urge.notify_one();
        told
    }

    /// Has the recoverer look at once.
    pub fn look(&self) {
        self.urge.notify_one();
    }

    pub(super) fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.state().orders)
    }

    /// All its parts are committed: its decision row may go.
    pub fn finished(&self, anchor: ShardIndex, name: &Name) {
        let mut state = self.state();
        let rows = state.finished.entry(anchor).or_default();
        // What is too much is found by the recoverer's look at old rows.
        if rows.len() < limits::FINISHED_COMMITS {
            rows.push(name.to_string());
        }
    }

    pub(super) fn take_finished(&self) -> BTreeMap<ShardIndex, Vec<String>> {
        std::mem::take(&mut self.state().finished)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction that this process is at work on. Dropped, it is the recoverer's.
#[derive(Debug)]
pub struct Living {
    pub name: Name,
    commits: Arc<Commits>,
}

impl Drop for Living {
    fn drop(&mut self) {
        self.commits.state().living.remove(&self.name.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_fit() {
        let commits = Arc::new(Commits::new());
        assert!(commits.begin("s1").is_none(), "the map isn't known");
        commits.set_map("0fb0a8f4-2b1c-4a30-9c53-0c6f4f3f8f11");
        let living = commits.begin("s1").unwrap();
        let name = living.name.clone();
        assert_eq!(Name::of_part(&name.part("s2")), Some(name.clone()));
        assert_eq!(Name::read(&name.to_string()), Some(name.clone()));
        assert!(commits.lives(&name));
        drop(living);
        assert!(!commits.lives(&name) && commits.is_own(&name));
        assert_ne!(Commits::new().instance, commits.instance);
        for other in ["", "pgbraid:", "pgbraid:a:b:c", "pgbraid:a:b:c:zz:s", "pgbraid:a:b:c:01:s", "theirs:a:b:c:1:s"] {
            assert_eq!(Name::of_part(other), None, "{other}");
        }
        let long = Name {
            map: "f".repeat(32),
            anchor: label(&"ä long name of a shard, with spaces".repeat(3)),
            instance: "f".repeat(16),
            sequence: u64::MAX,
        };
        let part = long.part(&"x".repeat(40));
        assert!(part.len() <= 199, "{}", part.len());
        assert_eq!(Name::of_part(&part), Some(long));
        assert_ne!(label("a b"), label("a c"));
    }
}
