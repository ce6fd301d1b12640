//! PostgreSQL's values: their formats, order, hashing. Pure.

pub mod key;
