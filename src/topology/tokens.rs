//! Tokens of writes by table: the position that a replica must have replayed before it may answer for a table.
//!
//! After an acknowledged commit the tables that it wrote are *unresolved*: its position isn't known, so the primary
//! answers for them. A resolver asks the primary for its flush position once for all commits so far; from then on a
//! replica at or past that position may answer. The flush position is the right one: everything acknowledged has been
//! flushed, while the insert position runs ahead into other sessions' WAL, which replicas don't have for a long time.
//!
//! A slot is one atomic word: a position, or (top bit set) the sequence number of the latest unresolved commit. Tables
//! share slots by hash; sharing only makes a read wait for more than it had to.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::Lsn;
use crate::base::footprint::{ReadSet, TableKey};

const SLOTS: usize = 4096;
const UNRESOLVED: u64 = 1 << 63;

/// The number of an acknowledged commit that wrote, in the order in which this process saw them.
pub type Sequence = u64;

/// What a replica must have replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Position(Lsn),
    /// A commit whose position isn't known yet: only the primary will do.
    Unresolved,
}

/// The tokens of one shard, shared by all workers.
#[derive(Debug)]
pub struct Tokens {
    tables: Box<[AtomicU64]>,
    /// Writes of what isn't known by table: counts for each of them.
    rest: AtomicU64,
    /// The highest of all slots: for reads of what isn't known by table.
    highest: AtomicU64,
    next: AtomicU64,
    /// All commits up to this one are resolved …
    resolved: AtomicU64,
    /// … and lie at or before this position.
    resolved_at: AtomicU64,
    /// The latest commit that may have changed the schema (which wrote what isn't known by table), …
    schema: AtomicU64,
    /// … and the latest after which the catalog was compared with the server's.
    verified: AtomicU64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Tokens {
    pub fn new() -> Self {
        Self {
            tables: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            rest: AtomicU64::new(0),
            highest: AtomicU64::new(0),
            next: AtomicU64::new(0),
            resolved: AtomicU64::new(0),
            resolved_at: AtomicU64::new(0),
            schema: AtomicU64::new(0),
            verified: AtomicU64::new(0),
        }
    }

    /// A commit that wrote these tables is about to be acknowledged to its client. Call it before the client hears of it.
    pub fn raise_tables(&self, tables: &[TableKey]) -> Sequence {
        let (sequence, mark) = self.next_mark();
        tables.iter().filter_map(|table| self.slot(*table)).for_each(|slot| raise_slot(slot, mark));
        raise_slot(&self.highest, mark);
        sequence
    }

    /// The same for a commit that wrote what isn't known by table.
    pub fn raise_all(&self) -> Sequence {
        let (sequence, mark) = self.next_mark();
        self.schema.fetch_max(sequence, Ordering::AcqRel);
        raise_slot(&self.rest, mark);
        raise_slot(&self.highest, mark);
        sequence
    }

    fn next_mark(&self) -> (Sequence, u64) {
        let sequence = self.next.fetch_add(1, Ordering::AcqRel) + 1;
        (sequence, UNRESOLVED | sequence)
    }

    /// What a replica must have replayed to answer for `reads`.
    #[inline]
    pub fn need(&self, reads: &ReadSet) -> Need {
        match reads {
            ReadSet::All => self.highest(),
            ReadSet::Tables(tables) => self.need_tables(tables),
        }
    }

    /// The same for tables that are known.
    #[inline]
    pub fn need_tables(&self, tables: &[TableKey]) -> Need {
        let rest = self.rest.load(Ordering::Acquire);
        let words = tables.iter().filter_map(|table| self.slot(*table)).map(|slot| slot.load(Ordering::Acquire));
        // An unresolved word is greater than any position.
        self.read_slot(words.fold(rest, u64::max))
    }

    /// What a replica must have replayed to show everything.
    pub fn highest(&self) -> Need {
        self.read_slot(self.highest.load(Ordering::Acquire))
    }

    #[inline]
    fn read_slot(&self, word: u64) -> Need {
        if word & UNRESOLVED == 0 {
            return Need::Position(Lsn(word));
        }
        // Its commit may have been resolved before it was marked (a number is taken first, the slot marked then).
        self.need_of(word & !UNRESOLVED)
    }

    /// What a replica must have replayed to show the commit `sequence` and all before it.
    pub fn need_of(&self, sequence: Sequence) -> Need {
        if sequence == 0 {
            return Need::Position(Lsn(0));
        }
        let resolved = self.resolved.load(Ordering::Acquire);
        if sequence > resolved {
            return Need::Unresolved;
        }
        Need::Position(Lsn(self.resolved_at.load(Ordering::Acquire)))
    }

    /// The commits there are to resolve: ask the primary for its flush position *after* this call, then give both to
    /// [`Self::resolve`]. `None`: nothing waits.
    pub fn unresolved(&self) -> Option<Sequence> {
        let next = self.next.load(Ordering::Acquire);
        (next > self.resolved.load(Ordering::Acquire)).then_some(next)
    }

    /// The commits there are after which the catalog was not yet compared with the primary's: do that *after* this
    /// call, then give the number to [`Self::verify`]. As long as there are any no plan may send a read to a replica: it
    /// may be proven by a view or function that is another now.
    #[inline]
    pub fn unverified(&self) -> Option<Sequence> {
        let schema = self.schema.load(Ordering::Acquire);
        (schema > self.verified.load(Ordering::Acquire)).then_some(schema)
    }

    /// The catalog in force is that which the primary had after all commits up to `sequence`.
    pub fn verify(&self, sequence: Sequence) {
        self.verified.fetch_max(sequence, Ordering::AcqRel);
    }

    /// The number of the latest commit.
    pub fn latest(&self) -> Sequence {
        self.next.load(Ordering::Acquire)
    }

    /// Every commit up to `sequence` lies at or before `position`.
    pub fn resolve(&self, sequence: Sequence, position: Lsn) {
        let position = position.0 & !UNRESOLVED;
        for slot in self.tables.iter().chain([&self.rest, &self.highest]) {
            let word = slot.load(Ordering::Acquire);
            if word & UNRESOLVED != 0 && word & !UNRESOLVED <= sequence {
                // A commit that came in between keeps its mark: the exchange fails, and it waits for the next round.
                let _ = slot.compare_exchange(word, position, Ordering::AcqRel, Ordering::Acquire);
            }
        }
        // The position first: whoever sees the new number must not see the old position.
        self.resolved_at.fetch_max(position, Ordering::AcqRel);
        self.resolved.fetch_max(sequence, Ordering::AcqRel);
    }

    fn slot(&self, table: TableKey) -> Option<&AtomicU64> {
        self.tables.get(table.0 as usize % SLOTS)
    }
}

/// Marks grow with the sequence and are above every position, so the greatest word is the one that counts.
fn raise_slot(slot: &AtomicU64, mark: u64) {
    slot.fetch_max(mark, Ordering::AcqRel);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(keys: &[u32]) -> Box<[TableKey]> {
        keys.iter().map(|key| TableKey(*key)).collect()
    }

    #[test]
    fn a_write_holds_back_its_own_tables_only() {
        let tokens = Tokens::new();
        let (one, two) = (ReadSet::Tables(tables(&[1])), ReadSet::Tables(tables(&[2])));
        tokens.raise_tables(&tables(&[1]));
        assert_eq!(tokens.need(&one), Need::Unresolved);
        assert_eq!(tokens.need(&two), Need::Position(Lsn(0)));
        assert_eq!(tokens.need(&ReadSet::All), Need::Unresolved);
        let upto = tokens.unresolved().unwrap_or_default();
        tokens.resolve(upto, Lsn(500));
        assert_eq!(tokens.need(&one), Need::Position(Lsn(500)));
        assert_eq!(tokens.need(&two), Need::Position(Lsn(0)));
        assert_eq!(tokens.need(&ReadSet::All), Need::Position(Lsn(500)));
        assert_eq!(tokens.unresolved(), None);
    }

    #[test]
    fn what_is_not_known_by_table_counts_for_all() {
        let tokens = Tokens::new();
        tokens.raise_all();
        assert_eq!(tokens.need(&ReadSet::Tables(tables(&[7]))), Need::Unresolved);
        tokens.resolve(1, Lsn(9));
        assert_eq!(tokens.need(&ReadSet::Tables(tables(&[7]))), Need::Position(Lsn(9)));
    }

    #[test]
    fn a_commit_that_comes_while_the_primary_is_asked_waits_for_the_next_round() {
        let tokens = Tokens::new();
        let write = tables(&[1]);
        tokens.raise_tables(&write);
        let upto = tokens.unresolved().unwrap_or_default();
        let second = tokens.raise_tables(&write);
        tokens.resolve(upto, Lsn(10));
        assert_eq!(tokens.need(&ReadSet::Tables(tables(&[1]))), Need::Unresolved);
        assert_eq!(tokens.need_of(upto), Need::Position(Lsn(10)));
        assert_eq!(tokens.need_of(second), Need::Unresolved);
        tokens.resolve(second, Lsn(20));
        assert_eq!(tokens.need(&ReadSet::Tables(tables(&[1]))), Need::Position(Lsn(20)));
    }
}
