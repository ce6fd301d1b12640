//! Where a sharded database's tables and keys live: placements of tables, the bucket map, its epoch. Pure data.

use std::collections::BTreeMap;

use crate::value::key::{KeyHash, KeyType};

/// A shard's place in the configuration's order.
pub type ShardIndex = usize;

/// Which tables are placed how, and which shard holds which keys. One snapshot is one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Shards' names in the configuration's order.
    pub shards: Vec<String>,
    /// Where tables without an entry live, whole.
    pub home: ShardIndex,
    /// Entries by schema and table.
    pub tables: BTreeMap<(String, String), TablePlace>,
    /// The stored map's version.
    pub epoch: u64,
    /// bucket → shard; its length is a power of two.
    pub buckets: Vec<u16>,
}

/// How one table is placed.
#[derive(Clone, Debug, PartialEq)]
pub enum TablePlace {
    /// By the bucket of its key.
    Hash { key: String, key_type: KeyType, group: String },
    /// By a list of the key's values (their text).
    List { key: String, group: String, values: BTreeMap<String, ShardIndex>, rest: Option<ShardIndex> },
    /// Whole on every shard.
    Reference,
}

/// Where rows with a key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    Shard(ShardIndex),
    /// No row can have it (NULL, a value outside the key's type).
    Nowhere,
    /// Not known: the statement isn't confined by it.
    Unknown,
}

impl Placement {
    /// The entry of a table; `None`: on the home shard.
    pub fn table(&self, schema: &str, name: &str) -> Option<&TablePlace> {
        self.tables.get(&(schema.to_string(), name.to_string()))
    }

    /// The shard of a bucket.
    pub fn shard_of_bucket(&self, bucket: usize) -> Option<ShardIndex> {
        self.buckets.get(bucket).map(|&shard| usize::from(shard))
    }

    /// The bucket of a key.
    pub fn bucket(&self, hash: KeyHash) -> Option<usize> {
        match hash {
            KeyHash::Hash(hash) => Some(hash as usize & self.buckets.len().saturating_sub(1)),
            KeyHash::Nowhere | KeyHash::Unknown => None,
        }
    }

    /// Where rows of a hash-placed table with this key are.
    pub fn place(&self, hash: KeyHash) -> KeyPlace {
        match hash {
            KeyHash::Hash(_) => self
                .bucket(hash)
                .and_then(|bucket| self.shard_of_bucket(bucket))
                .map_or(KeyPlace::Unknown, KeyPlace::Shard),
            KeyHash::Nowhere => KeyPlace::Nowhere,
            KeyHash::Unknown => KeyPlace::Unknown,
        }
    }
}
