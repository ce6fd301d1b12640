//! Tests with real servers: what drivers, psql and the network see of pgbraid.

mod certificates;
mod cluster;
mod console;

mod login;
