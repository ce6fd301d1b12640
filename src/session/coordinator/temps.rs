//! Temporary tables of a client of a sharded database: they live on the home shard, in its session there.

use std::collections::BTreeSet;

use super::Coordinator;
use super::decide::Decision;
use super::describe::Prepared;
use crate::backend::View;
use crate::base::{PgError, SqlState};
use crate::catalog::schema::RelationKind;
use crate::plan::temporary::{created, made_of, names};
use crate::plan::{Pin, Step};

/// What a client has made for itself.
#[derive(Default)]
pub(super) struct Temporaries {
    names: BTreeSet<String>,
    /// How often their definitions changed, or may have: no schema tells of it, and what statements mean hangs on it.
    revision: u32,
    /// The transaction has changed some: that they become others with its end is possible.
    unsettled: bool,
}

impl Temporaries {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub fn clear(&mut self) {
        self.names.clear();
    }

    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// A statement changes their definitions.
    pub fn define(&mut self) {
        self.revision = self.revision.wrapping_add(1);
        self.unsettled = true;
    }

    /// A transaction ended, or a savepoint was gone back to.
    pub fn go_back(&mut self) {
        self.revision = self.revision.wrapping_add(u32::from(self.unsettled));
    }

    /// No transaction is open any more.
    pub fn settle(&mut self) {
        self.go_back();
        self.unsettled = false;
    }
}

impl Coordinator {
    /// Whether a statement makes or names a temporary table.
    pub(super) fn is_temporary(&self, prepared: &Prepared) -> bool {
        let makes = prepared.plan.steps.first().is_some_and(|step| step.pins == Some(Pin::TemporaryTable))
            && created(&prepared.sql).is_some();
        makes || (!self.temporary.is_empty() && self.names_temporary(&names(&prepared.sql)))
    }

    fn names_temporary(&self, words: &[(String, bool)]) -> bool {
        words.iter().any(|(name, _)| self.temporary.contains(name) || name == "pg_temp")
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
        if made.is_none() && created(&prepared.sql).is_some() {
            // Every table is on every shard.
            let text = "a table of all shards can't be made of temporary tables, which are on the home shard";
            return Some(refused(text.to_owned(), "CREATE TABLE with its columns, then INSERT … SELECT."));
        }
        if let Some((name, _)) =
            (words.iter()).find(|(name, _)| drops(&prepared.sql) && name != "pg_temp" && !self.temporary.contains(name))
        {
            let text = format!("temporary tables are on the home shard, and \"{name}\" isn't known to be one");
            return Some(refused(text, "DROP them in statements of their own."));
        }
        Some(match other {
            None => Decision::Home { writes: true },
            Some((name, _)) => refused(
                format!("temporary tables are on the home shard, and \"{name}\" may concern others"),
                "Read the other rows first, and send them along as parameters or with INSERT … VALUES.",
            ),
        })
    }

    /// Takes note of a temporary table that is being made, and of what is made of temporary tables: their indexes, and
    /// views that read them, are temporary too; and that their definitions change.
    pub(super) fn note_temporary(&mut self, prepared: &Prepared) {
        let makes = prepared.plan.steps.first().is_some_and(|step| step.pins == Some(Pin::TemporaryTable));
        let made = match created(&prepared.sql).filter(|_| makes) {
            None if self.names_temporary(&names(&prepared.sql)) => made_of(&prepared.sql),
            made => made,
        };
        self.temporary.names.extend(made);
        if !self.temporary.is_empty() && prepared.plan.steps.iter().any(Step::renames) {
            self.temporary.define();
        }
    }
}

fn refused(text: String, hint: &str) -> Decision {
    Decision::Refused(Box::new(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint(hint)), "temporary-table")
}

/// Whether several tables may be dropped at once.
fn drops(sql: &str) -> bool {
    sql.trim_start().get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case("drop "))
}
