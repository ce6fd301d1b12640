//! Sharded databases on real servers.

mod placement;
