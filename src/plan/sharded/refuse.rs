//! Refusals and their words.

use super::Refusal;
use crate::base::SqlState;

/// A refusal with SQLSTATE 0A000.
pub fn refuse(reason: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal { code: SqlState::FEATURE_NOT_SUPPORTED, message: message.into(), hint: hint.into(), reason }
}

/// A name that the planner can't resolve.
pub fn unresolved(what: &str) -> Refusal {
    refuse(
        "name",
        format!("pgbraid can't prove which table \"{what}\" belongs to"),
        "Qualify the name with the table's alias, or set pgbraid.shard to run the statement on one shard.",
    )
}

/// The reason of refusals for tables that the home shard wasn't seen to have.
pub const UNSEEN: &str = "table";

/// A table that the home shard wasn't seen to have: someone else may have made it since.
pub fn unseen(name: &str) -> Refusal {
    refuse(
        UNSEEN,
        format!("pgbraid doesn't know the table \"{name}\""),
        "Try again in a moment if it was just made on the shards themselves; else set pgbraid.shard to run the statement \
         on one shard.",
    )
}

/// A construct that isn't understood over several shards.
pub fn unsupported(reason: &'static str, what: &str) -> Refusal {
    refuse(
        reason,
        format!("pgbraid can't prove that {what} gives the right answer over several shards"),
        "Confine the statement to one shard by its sharding key, or rewrite it.",
    )
}
