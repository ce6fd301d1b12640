//! Hints in comments: `/* pgbraid: role=primary, … */`.

use super::{Hints, Role};
use crate::sql::Token;

/// The hints that the comments hold. What isn't understood is passed over: a comment never fails a statement.
pub(super) fn hints(sql: &[u8], comments: &[Token]) -> Hints {
    let mut hints = Hints::default();
    for comment in comments {
        let text = String::from_utf8_lossy(comment.bytes(sql));
        let Some((_, list)) = text.split_once("pgbraid:") else { continue };
        for item in list.trim_end_matches("*/").split(',') {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            match (key.trim(), value.trim()) {
                ("role", "primary") => hints.role = Some(Role::Primary),
                // Of two that contradict each other the careful one counts.
                ("role", "replica") if hints.role.is_none() => hints.role = Some(Role::Replica),
                _ => {}
            }
        }
    }
    hints
}
