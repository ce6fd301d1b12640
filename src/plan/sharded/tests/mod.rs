//! Cases of planning: a statement, what becomes of it.

mod cases;
mod print;
pub mod world;
