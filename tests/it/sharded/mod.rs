//! Sharded databases on real servers.

mod atomic;
mod bank;
mod code;
mod commits;
mod constraints;
mod copy;
mod deadlocks;
mod defaults;
mod define;
mod defined;
mod demo;
mod dump;
mod dump_data;
mod explain;
mod maintenance;
mod moves;
mod placement;
mod placing;
mod privileges;
mod sequences;
mod shards;
mod spool;
mod stream;
mod talk;
mod tpch;
mod types;
