//! Sharded databases on real servers.

mod demo;
mod placement;
