//! PostgreSQL's values: their formats, order, hashing. Pure.

pub mod jenkins;
pub mod key;
pub mod moment;
pub mod numeric;
pub mod oid;
pub mod read;

#[cfg(test)]
mod key_tests;
