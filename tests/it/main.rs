//! Tests with real servers: what drivers, psql and the network see of pgbraid.

mod accept;
mod bad_input;
mod catalog;
mod certificates;
mod cluster;
mod commands;
mod console;
mod docker;
mod documents;
mod drivers;
mod drivers_rust;
mod faults;
mod harness;
mod keys;
mod login;
mod monitor;
mod operate;
mod oracle;
mod order;
mod own_writes;
mod parser;
mod proof;
mod replica_reads;
mod sessions;
mod sharded;
mod support;
mod tls;

/// For the parser's printer, which the test of its corpus takes in by path.
mod sql {
    pub use pgbraid::sql::*;
}
