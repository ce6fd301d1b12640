//! Rows that statements over shards collect: how much is held now, and how often memory didn't suffice.

use super::{Gauge, SharedCounter};

/// One sharded database's.
#[derive(Debug, Default)]
pub struct GatherMetrics {
    /// Bytes in the proxy.
    pub memory: Gauge,
    /// Bytes in temporary tables.
    pub tables: Gauge,
    /// Statements that made such tables.
    pub spooled: SharedCounter,
    /// Statements some of whose rows went along to other rows' shards.
    pub broadcasts: SharedCounter,
}
