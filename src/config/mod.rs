//! Configuration: from text to a checked model.
//!
//! [`parse`] reads one TOML text against the table of [`keys`]; it finds every mistake, not the first, and says where
//! each one is. [`diff`] says what a new configuration changes and whether that needs a restart.

mod checks;
mod diff;
#[cfg(test)]
mod docs;
mod environment;
pub mod keys;
mod mistake;
pub mod model;
mod read;
mod secrets;
mod sharding;
mod shards;
#[cfg(test)]
mod tests;
mod unknown;
mod url;
mod value;

pub use diff::{Change, Shown, diff, keep_until_restart, settings};
pub use environment::{Environment, ProcessEnvironment};
pub use mistake::Mistake;
pub use model::*;
pub use read::{load, parse};
pub use secrets::{StoredPassword, stored_password};
