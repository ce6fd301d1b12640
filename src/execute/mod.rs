//! Carrying a plan over shards out: operators on the bytes of rows. Pure: sockets are the coordinator's.

pub mod arrays;
pub mod copy;
pub mod merge;
pub mod row;
pub mod tables;
