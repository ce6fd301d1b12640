//! PREPARE and EXECUTE of SQL, for statements that concern the home shard only, such as tools put to catalogs.

use super::Coordinator;
use super::decide::Decision;
use super::describe::Prepared;
use crate::backend::View;
use crate::base::{PgError, SqlState, limits};
use crate::plan::Kind;
use crate::plan::sharded::{Access, Work};
use crate::sql::{Lexer, TokenKind, parse};

impl Coordinator {
    /// What becomes of PREPARE.
    pub(super) fn judge_prepare(&self, prepared: &Prepared, view: &View) -> Decision {
        match body(&prepared.sql, self.standard_strings()) {
            _ if self.sql_prepared.len() >= limits::SQL_PREPARED => refused(),
            Some(text) if self.is_homes(text, view) => Decision::Home { writes: false },
            _ => refused(),
        }
    }

    /// What becomes of EXECUTE.
    pub(super) fn judge_execute(&self, name: &str, view: &View) -> Decision {
        match self.sql_prepared.get(name) {
            // It means what its names mean now.
            Some(text) if self.is_homes(text, view) => Decision::Home { writes: false },
            Some(_) => refused(),
            None => {
                let text = format!("prepared statement \"{name}\" does not exist");
                let error = PgError::error(SqlState::INVALID_SQL_STATEMENT_NAME, text);
                Decision::Refused(Box::new(error), "execute")
            }
        }
    }

    /// Takes note of a statement that the home shard has prepared.
    pub(super) fn note_prepared(&mut self, prepared: &Prepared) {
        if let Some(Kind::Prepare { name, .. }) = prepared.plan.steps.first().map(|step| &step.kind)
            && let Some(text) = body(&prepared.sql, self.standard_strings())
        {
            self.sql_prepared.insert(name.clone(), text.to_owned());
        }
    }

    /// Whether a statement reads on the home shard, and nothing that other shards have a part of.
    fn is_homes(&self, text: &str, view: &View) -> bool {
        let Ok(statement) = parse::parse(text, self.standard_strings()) else { return false };
        self.planned(text, &statement, view, &[])
            .is_ok_and(|plan| plan.access == Access::Home && !plan.writes && !matches!(plan.work, Work::Refuse(_)))
    }
}

fn refused() -> Decision {
    let text = "SQL's PREPARE is supported on a sharded database for reads of the home shard only";
    let error = PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
        .hint("Use the driver's prepared statements (the protocol's Parse and Bind).");
    Decision::Refused(Box::new(error), "statement")
}

/// The statement within `PREPARE name (types) AS statement`.
fn body(sql: &str, standard_strings: bool) -> Option<&str> {
    let bytes = sql.as_bytes();
    let mut depth = 0;
    for token in Lexer::new(bytes, standard_strings) {
        match token.kind {
            TokenKind::LeftParen => depth += 1,
            TokenKind::RightParen => depth -= 1,
            TokenKind::Word if depth == 0 && token.is(bytes, "as") => return sql.get(token.end as usize..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn bodies_are_found() {
        assert_eq!(body("PREPARE p(numeric(3, 2), int) AS SELECT 1 AS one", true), Some(" SELECT 1 AS one"));
        assert_eq!(body("PREPARE \"as\" AS VALUES ($1)", true), Some(" VALUES ($1)"));
        assert_eq!(body("PREPARE p", true), None);
    }
}
