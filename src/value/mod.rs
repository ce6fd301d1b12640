//! PostgreSQL's values: their formats, order, hashing. Pure.

pub mod collation;
pub mod compare;
pub mod embedded;
pub mod jenkins;
pub mod key;
pub mod libc_collation;
pub mod moment;
pub mod numeric;
pub mod oid;
pub mod read;

#[cfg(test)]
mod compare_tests;
#[cfg(test)]
mod key_tests;
