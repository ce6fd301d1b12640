//! A sharding key's value and its hash: PostgreSQL's own extended hash functions with seed 0.

/// Types by which hash placement works (those whose extended hash any shard can compute in SQL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    Int2,
    Int4,
    Int8,
    Text,
    Varchar,
    Bpchar,
    Uuid,
    Numeric,
    Timestamp,
    Timestamptz,
    Date,
}

/// What is known of a key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHash {
    Hash(u64),
    /// No row of the table can have this key: NULL, or a value that the key's type can't hold.
    Nowhere,
    /// Not computable here.
    Unknown,
}

/// A value's format on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}
