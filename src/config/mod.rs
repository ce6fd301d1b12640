//! Configuration: from text to a checked model.

pub mod model;

pub use model::*;
