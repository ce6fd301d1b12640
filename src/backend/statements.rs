//! Prepared statements under names of our own, shared by all clients of a server connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustc_hash::FxHashMap;

use crate::backend::settings::Value;
use crate::base::limits;

/// One statement as a client prepared it. Two clients that send the same text with the same parameter types under the
/// same search path share one.
#[derive(Debug)]
pub struct Statement {
    pub id: u64,
    /// Its name on servers.
    pub name: String,
    pub key: StatementKey,
}

/// What makes two statements one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatementKey {
    pub sql: Arc<[u8]>,
    /// Count and OIDs of parameter types, as in the Parse message.
    pub types: Box<[u8]>,
    /// A name means another table under another search path.
    pub search_path: Option<Value>,
}

/// All statements that some client holds, so that equal ones get one name on whichever worker.
#[derive(Debug, Default)]
pub struct Registry {
    known: Mutex<HashMap<StatementKey, Weak<Statement>>>,
    next: AtomicU64,
}

/// What the names of shared statements begin with.
pub const NAME_PREFIX: &str = "pgbraid_s";

impl Registry {
    /// The statement with this key; a new one if nobody holds it.
    pub fn intern(&self, key: StatementKey) -> Arc<Statement> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(statement) = known.get(&key).and_then(Weak::upgrade) {
            return statement;
        }
        if known.len() >= limits::SERVER_STATEMENTS && known.len().is_power_of_two() {
            known.retain(|_, statement| statement.strong_count() > 0);
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let statement = Arc::new(Statement { id, name: format!("{NAME_PREFIX}{id}"), key: key.clone() });
        known.insert(key, Arc::downgrade(&statement));
        statement
    }
}

/// How a statement stands on a server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The server has said ParseComplete.
    Prepared,
    /// Parse was sent in the segment (between two Syncs) of this number.
    Sent(u64),
}

/// Generations from here on are of a schema that one transaction sees alone.
pub const OWN_GENERATIONS: u64 = 1 << 63;

/// The statements on one server connection, with the order in which they were used.
#[derive(Debug, Default)]
pub struct OnServer {
    known: FxHashMap<u64, Entry>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    statement: Arc<Statement>,
    standing: Standing,
    used: u64,
    /// The schema's generation when it was prepared.
    generation: u64,
}

impl OnServer {
    /// How `id` stands; counts as use. `None`: it isn't there, or was prepared before the schema changed.
    #[inline]
    pub fn standing(&mut self, id: u64, generation: u64) -> Option<Standing> {
        self.clock += 1;
        let entry = self.known.get_mut(&id).filter(|entry| entry.generation >= generation)?;
        entry.used = self.clock;
        Some(entry.standing)
    }

    /// Whether a statement of that id is or may be there, however old.
    pub fn contains(&self, id: u64) -> bool {
        self.known.contains_key(&id)
    }

    /// Parse was sent.
    pub fn sent(&mut self, statement: &Arc<Statement>, segment: u64, generation: u64) {
        self.clock += 1;
        let entry =
            Entry { statement: statement.clone(), standing: Standing::Sent(segment), used: self.clock, generation };
        self.known.insert(statement.id, entry);
    }

    /// A transaction that had changed definitions ended: what was prepared in it may mean something else.
    pub fn outdate_own(&mut self) {
        for entry in self.known.values_mut().filter(|entry| entry.generation >= OWN_GENERATIONS) {
            entry.generation = 0;
        }
    }

    /// Everything here may mean something else.
    pub fn outdate(&mut self) {
        self.known.values_mut().for_each(|entry| entry.generation = 0);
    }

    /// ParseComplete came.
    pub fn confirm(&mut self, id: u64) {
        if let Some(entry) = self.known.get_mut(&id) {
            entry.standing = Standing::Prepared;
        }
    }

    /// It failed, was skipped, or was closed.
    pub fn forget(&mut self, id: u64) {
        self.known.remove(&id);
    }

    /// DEALLOCATE ALL, DISCARD ALL.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The least recently used statement, when there are more than [`limits::SERVER_STATEMENTS`]: close it.
    pub fn surplus(&mut self) -> Option<Arc<Statement>> {
        if self.known.len() <= limits::SERVER_STATEMENTS {
            return None;
        }
        let idle = self.known.iter().filter(|(_, entry)| entry.standing == Standing::Prepared);
        let oldest = idle.min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id)?;
        self.known.remove(&oldest).map(|entry| entry.statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sql: &str) -> StatementKey {
        StatementKey { sql: sql.as_bytes().into(), types: Box::new([0, 0]), search_path: None }
    }

    #[test]
    fn equal_statements_are_one_as_long_as_somebody_holds_them() {
        let registry = Registry::default();
        let one = registry.intern(key("SELECT 1"));
        assert!(Arc::ptr_eq(&one, &registry.intern(key("SELECT 1"))));
        let id = one.id;
        drop(one);
        assert_ne!(registry.intern(key("SELECT 1")).id, id, "a name isn't used twice");
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let registry = Registry::default();
        let mut on_server = OnServer::default();
        let all: Vec<_> = (0..=limits::SERVER_STATEMENTS).map(|n| registry.intern(key(&n.to_string()))).collect();
        for statement in &all {
            assert_eq!(on_server.surplus().map(|s| s.id), None);
            on_server.sent(statement, 1, 0);
            on_server.confirm(statement.id);
        }
        on_server.standing(all[0].id, 0);
        assert_eq!(on_server.surplus().map(|s| s.id), Some(all[1].id));
        assert_eq!(on_server.standing(all[1].id, 0), None);
        assert_eq!(on_server.standing(all[2].id, 1), None, "older than the schema");
    }
}
