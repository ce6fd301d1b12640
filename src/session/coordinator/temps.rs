//! Temporary tables of a client of a sharded database: they live on the home shard, in its session there.

use super::Coordinator;
use super::decide::Decision;
use super::describe::Prepared;
use crate::backend::View;
use crate::base::{PgError, SqlState};
use crate::catalog::schema::RelationKind;
use crate::plan::Pin;
use crate::sql::{Lexer, TokenKind};

impl Coordinator {
    /// Whether a statement makes or names a temporary table.
    pub(super) fn is_temporary(&self, prepared: &Prepared) -> bool {
        let makes = prepared.plan.steps.first().is_some_and(|step| step.pins == Some(Pin::TemporaryTable))
            && created(&prepared.sql).is_some();
        makes || self.names_temporary(&names(&prepared.sql))
    }

    fn names_temporary(&self, words: &[(String, bool)]) -> bool {
        !self.temporary.is_empty() && words.iter().any(|(name, _)| self.temporary.contains(name) || name == "pg_temp")
    }

    /// What becomes of a statement that makes or names a temporary table. `None`: it doesn't.
    pub(super) fn temporary(&self, prepared: &Prepared, view: &View) -> Option<Decision> {
        let step = prepared.plan.steps.first()?;
        let made = (step.pins == Some(Pin::TemporaryTable)).then(|| created(&prepared.sql)).flatten();
        let words = names(&prepared.sql);
        if made.is_none() && !self.names_temporary(&words) {
            return None;
        }
        let tables = |name: &str| view.placement.tables.keys().any(|(_, table)| table == name);
        if let Some(name) = made.as_deref().filter(|name| tables(name)) {
            let text = format!("a temporary table can't have the name of the table \"{name}\", which is on all shards");
            return Some(refused(text, "Give it another name."));
        }
        let views = |name: &str| {
            let views = view.schema.relations.values().filter(|relation| relation.kind == RelationKind::View);
            views.into_iter().any(|relation| relation.name == name)
        };
        let own = |name: &str| {
            view.schema.functions.get(name).is_some_and(|found| found.iter().any(|function| !function.builtin))
        };
        let other = words.iter().find(|(name, called)| {
            let theirs = || !self.temporary.contains(name) && (views(name) || (*called && own(name)));
            // A placed table's name can't be a temporary one's: that one is gone.
            Some(name) != made.as_ref() && (tables(name) || theirs())
        });
        if let Some(name) = created(&prepared.sql).filter(|name| made.is_none() && self.temporary.contains(name)) {
            let text = format!("this session has made a temporary table \"{name}\", which may still be there");
            return Some(refused(text, "DISCARD TEMP first, or make the table in another session."));
        }
        Some(match other {
            None => Decision::Home { writes: true },
            Some((name, _)) => refused(
                format!("temporary tables are on the home shard, and \"{name}\" may concern others"),
                "Read the other rows first, and send them along as parameters or with INSERT … VALUES.",
            ),
        })
    }

    /// Takes note of a temporary table that is being made.
    pub(super) fn note_temporary(&mut self, prepared: &Prepared) {
        if prepared.plan.steps.first().is_some_and(|step| step.pins == Some(Pin::TemporaryTable))
            && let Some(name) = created(&prepared.sql)
        {
            self.temporary.insert(name);
        }
    }
}

fn refused(text: String, hint: &str) -> Decision {
    Decision::Refused(Box::new(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint(hint)), "temporary-table")
}

/// The names in a text, and whether a parenthesis follows.
fn names(sql: &str) -> Vec<(String, bool)> {
    let bytes = sql.as_bytes();
    let tokens: Vec<_> =
        Lexer::new(bytes, true).filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment)).collect();
    let called = |at: usize| tokens.get(at + 1).is_some_and(|token| token.kind == TokenKind::LeftParen);
    let named = tokens.iter().enumerate().filter(|(_, token)| token.is_name());
    named.map(|(at, token)| (token.name(bytes), called(at))).collect()
}

/// `CREATE [LOCAL | GLOBAL] TEMP[ORARY] TABLE [IF NOT EXISTS] name`
fn created(sql: &str) -> Option<String> {
    let bytes = sql.as_bytes();
    let mut words = Lexer::new(bytes, true)
        .filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment | TokenKind::Dot))
        .skip_while(|token| !token.is(bytes, "create"))
        .skip(1);
    let mut word = words.next()?;
    while ["local", "global", "temp", "temporary"].iter().any(|skipped| word.is(bytes, skipped)) {
        word = words.next()?;
    }
    if !word.is(bytes, "table") {
        return None;
    }
    word = words.next()?;
    while ["if", "not", "exists", "pg_temp"].iter().any(|skipped| word.is(bytes, skipped)) {
        word = words.next()?;
    }
    word.is_name().then(|| word.name(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_temporary_tables_are_found() {
        assert_eq!(created("CREATE TEMP TABLE mine (a int)").as_deref(), Some("mine"));
        assert_eq!(
            created("create local temporary table if not exists pg_temp.\"My T\" as select 1").as_deref(),
            Some("My T")
        );
        assert_eq!(created("CREATE TEMP VIEW v AS SELECT 1"), None);
    }
}
