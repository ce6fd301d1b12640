//! The floors of pgbraid that name no socket, for fuzzing: the same files, without the other dependencies.

#[path = "../src/base/mod.rs"]
pub mod base;
#[path = "../src/catalog/mod.rs"]
pub mod catalog;
#[path = "../src/execute/mod.rs"]
pub mod execute;
#[path = "../src/plan/mod.rs"]
pub mod plan;
#[path = "../src/sql/mod.rs"]
pub mod sql;
/// Places of keys alone: the rest of it knows the configuration.
#[path = "../src/topology"]
pub mod topology {
    pub mod placement;
}
#[path = "../src/value/mod.rs"]
pub mod value;
#[path = "../src/wire/mod.rs"]
pub mod wire;
