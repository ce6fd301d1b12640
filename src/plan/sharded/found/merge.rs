//! MERGE whose source no shard has beside its target: source and target are joined by a query over all shards, and each shard
//! merges the rows of it that are its own, by the target's primary key.
//!
//! PostgreSQL joins all of the source with the target's rows, and does for each pair what the first fitting WHEN says; a row of
//! the target that is changed twice is an error (21000). A pair goes to the shard of its target row, which judges WHEN by the
//! row itself, so that all pairs of one row come together there. A row of the source that meets none is without a key in the
//! statement that the shards are told, and meets none there either: it goes to the shard of the key that it is inserted with,
//! for which the query judges WHEN NOT MATCHED, in which only the source can be named.

use super::{Finding, Texts};
use crate::catalog::schema::Column as TableColumn;
use crate::plan::sharded::analysis::{Home, Source};
use crate::plan::sharded::confine::confined;
use crate::plan::sharded::feed::untyped;
use crate::plan::sharded::merging::{Given, given, without_key};
use crate::plan::sharded::refuse::unsupported;
use crate::plan::sharded::splice::{push, text};
use crate::plan::sharded::walk::bare;
use crate::plan::sharded::{KeyValue, Refusal, Repeats, defaults};
use crate::sql::ast::*;
use crate::sql::quote::ident;

/// An INSERT of a MERGE: its columns and values.
type Inserted<'a> = (Option<&'a [TargetColumn]>, Option<&'a [Expr]>);

impl Finding<'_> {
    /// What the shards are told, before the rows and behind.
    pub(super) fn merged(&mut self, merge: &Merge, keys: &[String]) -> Result<Texts, Refusal> {
        let off = |what: &str| unsupported("merge", what);
        if merge.returning.is_some() {
            return Err(off("RETURNING of a MERGE whose rows are found first"));
        }
        if merge.whens.iter().any(|when| when.by_source) {
            return Err(off("WHEN NOT MATCHED BY SOURCE where the source is on other shards"));
        }
        for expr in merge.expressions().filter(|expr| !matches!(expr.kind, ExprKind::Default)) {
            self.replace_others(expr)?;
        }
        for when in &merge.whens {
            if let MergeAction::Update(set) = &when.action {
                let row = |assignment: &Assignment| {
                    assignment.columns.len() > 1 && !matches!(bare(&assignment.value).kind, ExprKind::Row(_))
                };
                if set.iter().any(|it| row(it) || it.columns.iter().any(|column| column.part)) {
                    return Err(off("a part of a column, or several columns of one value, in MERGE"));
                }
                if !self.is_home() {
                    defaults::alike(self.relation, set)?;
                }
            }
        }
        self.per_row(merge.span)?;
        self.inserts(merge)?;
        let whens = Span::new(merge.on.span.end, merge.span.end);
        self.kept.push(whens);
        let once = self.once()?;
        let target = self.parts.table.span.of(self.sql);
        let before = vec![text(format!("MERGE INTO {target} USING {}", self.rows_before()))];
        let mut after = vec![text(self.rows_after("ON", keys))];
        self.edits.apply(self.sql, whens).into_iter().for_each(|piece| push(&mut after, piece));
        Ok(Texts { before, after, once, repeats: Repeats::All })
    }

    /// The source with the target's rows that it meets.
    pub(super) fn joined(&self, merge: &Merge) -> String {
        let source = match &merge.source {
            FromItem::Table(table) => table.span,
            FromItem::Query(query) => query.span,
            FromItem::Function(function) => function.span,
            FromItem::Join(join) => join.span,
        };
        let target = self.parts.table.span.of(self.sql);
        // What meets none is looked at for INSERT only.
        let join = if inserts(merge) { "LEFT JOIN" } else { "JOIN" };
        let (source, on) = (source.of(self.sql), merge.on.span.of(self.sql));
        match self.met() {
            Some(keys) => format!("{source} {join} {target} ON ({on}) AND {keys}"),
            None => format!("{source} {join} {target} ON {on}"),
        }
    }

    /// The keys that rows have which meet constants of the source: others aren't read.
    fn met(&self) -> Option<String> {
        let (_, key) = self.analysis().key(self.write.id)?;
        let value = |value: &KeyValue| match value {
            KeyValue::Literal { span, .. } => Some(span.of(self.sql).to_owned()),
            KeyValue::Param { number, .. } => Some(format!("${number}")),
            _ => None,
        };
        let values = confined(self.analysis(), self.write.id)?.values;
        let values: Option<Vec<String>> = values.iter().map(value).collect();
        let column = ident(&self.analysis().column(key)?.name);
        let values = values.filter(|values| !values.is_empty())?.join(", ");
        Some(format!("{}.{column} IN ({values})", ident(&self.item.name)))
    }

    fn is_home(&self) -> bool {
        matches!(self.item.source, Source::Table { home: Home::Unsharded })
    }

    /// Which INSERT takes a row that meets none, and the key that each would give it.
    fn inserts(&mut self, merge: &Merge) -> Result<(), Refusal> {
        if self.is_home() || !inserts(merge) {
            return Ok(());
        }
        let key = self.analysis().key(self.write.id).map(|(_, (_, column))| column);
        let key = key.and_then(|at| Some((at, self.relation.columns.get(at)?)));
        let mut whens = String::new();
        let mut keys = Vec::new();
        for when in &merge.whens {
            let chosen = match &when.action {
                MergeAction::Insert { columns, values, .. } => {
                    let inserted = (columns.as_deref(), values.as_deref());
                    self.defaults(inserted, key)?;
                    let Some((at, key)) = key else { continue };
                    keys.push(self.key_of(inserted, at, key)?);
                    keys.len()
                }
                MergeAction::Nothing if !when.matched => 0,
                _ => continue,
            };
            let condition = when.condition.as_ref().map_or("true", |condition| condition.span.of(self.sql));
            whens.push_str(&format!(" WHEN {condition} THEN {chosen}"));
        }
        let (Some(_), Some(first)) = (key, self.columns.first()) else { return Ok(()) };
        let chosen = format!("CASE WHEN {} IS NULL THEN CASE{whens} ELSE 0 END END", first.sql);
        // A key is computed of the rows that are inserted with it alone.
        let keys = keys.into_iter().enumerate();
        let keys: Vec<String> =
            keys.map(|(at, key)| format!("CASE WHEN {chosen} = {} THEN {key} END", at + 1)).collect();
        self.unsent.push(chosen);
        self.unsent.extend(keys);
        Ok(())
    }

    /// Columns that an INSERT leaves out take the same default on every shard.
    fn defaults(&self, (columns, values): Inserted<'_>, key: Option<(usize, &TableColumn)>) -> Result<(), Refusal> {
        let key = key.map(|(at, _)| at);
        let relation = self.relation.columns.iter().enumerate();
        let omitted = relation.filter(|(at, column)| {
            Some(*at) != key && matches!(given(columns, values, *at, &column.name), Given::Nothing)
        });
        match defaults::to_settle(omitted.map(|(_, column)| column), key.is_none())?.first() {
            Some(column) => Err(unsupported("default", &format!("the default of \"{}\" in MERGE", column.name))),
            None => Ok(()),
        }
    }

    fn key_of(&self, (columns, values): Inserted<'_>, at: usize, key: &TableColumn) -> Result<String, Refusal> {
        match given(columns, values, at, &key.name) {
            Given::Value(value) if untyped(value) => Ok(format!("({})::{}", value.span.of(self.sql), key.type_name)),
            Given::Value(value) => Ok(value.span.of(self.sql).to_owned()),
            Given::Nothing if key.default.is_none() && !key.identity && !key.generated => {
                Ok(format!("NULL::{}", key.type_name))
            }
            Given::Nothing => Err(without_key(self.relation, key)),
        }
    }
}

fn inserts(merge: &Merge) -> bool {
    merge.whens.iter().any(|when| matches!(when.action, MergeAction::Insert { .. }))
}
