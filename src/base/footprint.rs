//! Which tables a statement reads or writes, as far as reads on replicas must know.

/// A slot in the table of write tokens: a hash of a table's bare name (lower-cased as PostgreSQL does), so that tables
/// of the same name in two schemas share one, on the safe side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey(pub u32);

/// The tables that an answer depends on.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadSet {
    Tables(Box<[TableKey]>),
    /// Not known by name: a position at or past every write.
    All,
}

/// The tables that a statement may change, with what foreign keys' actions reach.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteSet {
    None,
    Tables(Box<[TableKey]>),
    /// Triggers, rules, functions, DDL, whatever isn't known.
    All,
}

impl TableKey {
    /// The key of the table of that name, without its schema (FNV-1a).
    pub fn of(name: &str) -> Self {
        Self(name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
    }
}
