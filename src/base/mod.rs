//! What every floor needs: errors with SQLSTATEs, limits, secrets, WAL positions.

pub mod error;
pub mod fault;
pub mod footprint;
pub mod limits;
pub mod lsn;
pub mod secret;
pub mod sqlstate;

pub use error::{PgError, Severity};
pub use fault::Fault;
pub use lsn::Lsn;
pub use secret::Secret;
pub use sqlstate::SqlState;
