//! The admin console: the virtual database `pgbraid`.
