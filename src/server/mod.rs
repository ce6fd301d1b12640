//! Listeners, workers, start, drain, reload.

mod admission;
mod control;
mod shared;
mod start;
mod worker;

pub use shared::Shared;
pub use start::{Running, run, start};
