//! Server connections: login, pool, health, roles, replay positions.

pub mod cancel;
pub mod commits;
pub mod conn;
pub mod control;
pub mod database;
pub mod deadlocks;
pub mod exchange;
pub mod gates;
pub mod local;
pub mod login;
pub mod memory;
pub mod monitor;
pub mod placement;
pub mod pool;
pub mod recovery;
pub mod settings;
pub mod sharded;
pub mod statements;
pub mod wait_graph;
pub mod waits;

pub use commits::Commits;
pub use conn::{CancelTarget, ServerConn};
pub use control::Control;
pub use database::Database;
pub use local::LocalPool;
pub use pool::{Offer, Pool, PoolLimits};
pub use sharded::{ShardedDatabase, View};
