//! Sharded databases on real servers.

mod bank;
mod commits;
mod demo;
mod explain;
mod placement;
mod shards;
mod stream;
mod talk;
