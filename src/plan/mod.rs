//! Statement and catalog to a plan with its proof. Pure.

pub mod model;

pub use model::*;
