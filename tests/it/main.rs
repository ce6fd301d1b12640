//! Tests with real servers: what drivers, psql and the network see of pgbraid.

mod cluster;
mod console;
