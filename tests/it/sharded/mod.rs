//! Sharded databases on real servers.

mod commits;
mod demo;
mod placement;
mod shards;
mod talk;
