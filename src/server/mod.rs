//! Listeners, workers, start, drain, reload.

mod admission;
mod build;
mod control;
mod reload;
mod seats;
mod shared;
mod start;
mod turns;
mod view;
mod worker;

pub use shared::{Ending, Origin, Shared};
pub use start::{Running, start, start_from};
pub use view::Shown;
