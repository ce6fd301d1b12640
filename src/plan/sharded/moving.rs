//! Plans UPDATE of the sharding key: which rows go where can only be known by their new keys, so they are read first.

use super::analysis::*;
use super::confine::conditions;
use super::constant::evaluate;
use super::facts::Reader;
use super::feed::untyped;
use super::functions::{self, Behaviour};
use super::names::Resolver;
use super::refuse::unsupported;
use super::several::{Writing, nothing, returned};
use super::splice::{Edits, push, text};
use super::walk::{any, bare, has_query};
use super::writes::{Rows, key_update};
use super::{Access, Assigned, Finish, Input, Insertion, KeyCondition, Moved, Piece, Refusal, Scatter};
use crate::catalog::schema::{Column, Relation, RelationKind};
use crate::sql::ast::*;
use crate::sql::quote::{ident, idents};

impl Resolver<'_> {
    /// What becomes of rows whose key is set.
    pub fn new_key(&self, assignment: &Assignment, id: RefId, table: &FromTable) -> Result<Rows, Refusal> {
        let relation = self.relation_of(table).ok_or_else(|| unsupported("write", "this target"))?;
        let Some((place, (_, column))) = self.out.key(id) else { return Ok(Rows::Known) };
        let key = relation.columns.get(column).ok_or_else(|| unsupported("write", "this target"))?;
        let Some(value) = pairs(assignment)?.into_iter().find(|(name, _)| *name == key.name).map(|(_, value)| value)
        else {
            return Err(key_update("pgbraid can't prove what the sharding key becomes"));
        };
        let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
        if reader.column(value) == Some((id, column)) {
            return Ok(Rows::Known);
        }
        let sql = self.out.texts.get(self.text).map(AsRef::as_ref).unwrap_or_default();
        let known = evaluate(value, sql, self.params);
        Ok(Rows::Moved(known.map(|value| KeyCondition {
            column: self.out.display((id, column)),
            place: place.clone(),
            values: vec![value],
            assigned: Some(Assigned { typmod: key.typmod, not_null: key.not_null }),
        })))
    }

    /// Whether `ON CONFLICT (key, …) DO UPDATE SET key = excluded.key` leaves the key as it is.
    pub fn same_key(&self, assignment: &Assignment, conflict: &OnConflict, id: RefId) -> bool {
        let Some((_, (_, column))) = self.out.key(id) else { return false };
        let Some(key) = self.out.refs.get(id).and_then(|item| item.columns.get(column)) else { return false };
        let compared = conflict.target_columns.iter().any(|target| target.value == key.name);
        let plain = match &key.collation {
            Known::Collation(collation) => collation.deterministic,
            Known::None => true,
            Known::Unknown => false,
        };
        let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
        let pairs = pairs(assignment).unwrap_or_default();
        let own = |value: &&Expr| reader.column(value) == Some((id, column));
        compared && plain && pairs.iter().find(|(name, _)| *name == key.name).is_some_and(|(_, value)| own(value))
    }
}

/// Each column with its value.
pub fn pairs(assignment: &Assignment) -> Result<Vec<(&str, &Expr)>, Refusal> {
    let unread = || key_update("pgbraid can't change the sharding key together with what this SET does");
    if assignment.columns.iter().any(|column| column.part) {
        return Err(unread());
    }
    match (assignment.columns.as_slice(), &bare(&assignment.value).kind) {
        ([column], _) => Ok(vec![(&column.name.value, &assignment.value)]),
        (columns, ExprKind::Row(values)) if columns.len() == values.len() => {
            Ok(columns.iter().map(|column| column.name.value.as_str()).zip(values).collect())
        }
        _ => Err(unread()),
    }
}

impl Writing<'_> {
    /// Rows are read and locked, those that stay changed, the others inserted where they belong and deleted.
    pub fn moved(&self, update: &Update) -> Result<Scatter, Refusal> {
        let relation = self.relation(&update.table)?;
        let write = self.analysis().writes.first().ok_or_else(|| unsupported("write", "this statement"))?;
        let item = self.analysis().refs.get(write.id).ok_or_else(|| unsupported("write", "this target"))?;
        let mut values: Vec<(&str, &Expr)> = Vec::new();
        for assignment in &update.assignments {
            values.extend(pairs(assignment)?);
        }
        self.alone(update, relation, item, &values)?;
        self.resolver.guarded(&update.table, write.id, None)?;
        let (place, (_, column)) = self.analysis().key(write.id).ok_or_else(|| unsupported("write", "this target"))?;
        let key = relation.columns.get(column).ok_or_else(|| unsupported("write", "this target"))?;
        let mut edits = Edits::default();
        let query = nothing(update.span);
        let once = self.planner(&query).functions(&mut edits)?;
        let name = ident(&item.name);
        let columns: Vec<&Column> = relation.columns.iter().filter(|column| !column.generated).collect();
        let (read, constants) = self.read(update, &name, &columns, &values, &edits);
        let ids = std::iter::once(write.id);
        let access = conditions(self.analysis(), ids).map_or(Access::All, Access::Keys);
        let read = Input { sql: read, access, columns: Vec::new() };
        let (target, alias) = (self.table(update), self.alias(update));
        let names = idents(columns.iter().map(|column| &column.name));
        let returning = match &update.returning {
            Some(returning) => edits.apply(self.sql, returning.span),
            None => Vec::new(),
        };
        let insertion = Insertion {
            before: vec![text(format!("INSERT INTO {target}{alias} ({names}) OVERRIDING SYSTEM VALUE "))],
            constants,
            added: Vec::new(),
            after: returning.clone(),
        };
        let own = columns.iter().position(|column| column.name == key.name);
        let known = match &write.rows {
            Rows::Moved(known) => known.clone(),
            _ => None,
        };
        let constant = own.is_some_and(|own| insertion.constants.iter().any(|(at, _)| *at == own));
        let end = update.assignments.last().map_or(update.span.end, |assignment| assignment.span.end);
        let mut set = edits.apply(self.sql, Span::new(update.span.start, end));
        push(&mut set, text(format!(" WHERE {name}.ctid = ANY (")));
        let moved = Moved {
            table: target.to_owned(),
            read,
            insertion,
            update: (set, [vec![text(ROWS)], returning].concat()),
            delete: (vec![text(format!("DELETE FROM {target}{alias} WHERE {name}.ctid = ANY ("))], vec![text(ROWS)]),
            key: known.filter(|_| constant).unwrap_or_else(|| KeyCondition {
                column: self.analysis().display((write.id, column)),
                place: place.clone(),
                values: Vec::new(),
                assigned: Some(Assigned { typmod: key.typmod, not_null: key.not_null }),
            }),
            at: own.filter(|_| !constant),
        };
        let finish = Finish::Moved(Box::new(moved));
        Ok(Scatter::new(Vec::new(), finish, once))
    }

    /// `SELECT` of the rows as they are to be, their addresses first; and which columns are constants.
    fn read(
        &self,
        update: &Update,
        name: &str,
        columns: &[&Column],
        values: &[(&str, &Expr)],
        edits: &Edits,
    ) -> (Vec<Piece>, Vec<(usize, Vec<Piece>)>) {
        let mut read = vec![text(format!("SELECT {name}.ctid::pg_catalog.text"))];
        let mut constants = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            push(&mut read, text(", "));
            match values.iter().find(|(name, _)| *name == column.name) {
                None => push(&mut read, text(format!("{name}.{}", ident(&column.name)))),
                Some((_, expr)) => {
                    let value = edits.apply(self.sql, expr.span);
                    if untyped(expr) {
                        constants.push((at, value.clone()));
                    }
                    value.into_iter().for_each(|piece| push(&mut read, piece));
                }
            }
        }
        push(&mut read, text(format!(" FROM {}", update.table.span.of(self.sql))));
        if let Some(filter) = &update.filter {
            push(&mut read, text(" "));
            edits.apply(self.sql, filter.span).into_iter().for_each(|piece| push(&mut read, piece));
        }
        push(&mut read, text(" FOR UPDATE"));
        (read, constants)
    }

    /// Only this table's rows decide, each for itself, and nothing but its row hangs on a key.
    fn alone(&self, update: &Update, relation: &Relation, item: &Ref, values: &[(&str, &Expr)]) -> Result<(), Refusal> {
        let exprs: Vec<&Expr> = values
            .iter()
            .map(|(_, value)| *value)
            .chain(update.filter.iter().map(|filter| &filter.expr))
            .chain(returned(update.returning.as_ref()))
            .collect();
        if update.from.is_some() || update.with.is_some() || exprs.iter().any(|expr| has_query(expr)) {
            return Err(key_update("pgbraid can't change the sharding key by what other tables have"));
        }
        let context = self.resolver.context;
        let volatile = |call: &Called| functions::behaviour(call, context) == Behaviour::PerRow;
        if self.analysis().calls.iter().any(volatile) {
            return Err(key_update("pgbraid can't change the sharding key in a statement with a volatile function"));
        }
        let default = |expr: &Expr| matches!(expr.kind, ExprKind::Default);
        if values.iter().any(|(_, value)| any(value, &default)) || item.system {
            return Err(key_update("pgbraid can't change the sharding key together with DEFAULT or system columns"));
        }
        let named = |relation: &Relation| (relation.schema.clone(), relation.name.clone());
        let own = named(relation);
        let relations = || context.schema.relations.values();
        let child = relations().any(|other| other.parent.as_ref() == Some(&own));
        if relation.kind != RelationKind::Table || relation.parent.is_some() || child {
            return Err(key_update("pgbraid can't change the sharding key of partitions, parents and children"));
        }
        let refers = |other: &&Relation| other.foreign_keys.iter().any(|key| key.target == own);
        if let Some(other) = relations().find(refers) {
            return Err(key_update(&format!(
                "pgbraid can't change the sharding key of \"{}\", whose rows \"{}\" refers to",
                relation.name, other.name
            )));
        }
        // Where a row goes elsewhere, UPDATE's triggers wouldn't run, but INSERT's and DELETE's.
        if relation.triggers {
            return Err(key_update("pgbraid can't change the sharding key of a table with triggers"));
        }
        if relation.row_security || relation.guards.iter().any(|guard| guard.deferrable) {
            return Err(key_update(
                "pgbraid can't change the sharding key of a table with row security or deferrable constraints",
            ));
        }
        Ok(())
    }

    fn table(&self, update: &Update) -> &str {
        update.table.name.span.of(self.sql)
    }

    fn alias(&self, update: &Update) -> String {
        update.table.alias.as_ref().map_or_else(String::new, |alias| format!(" AS {}", ident(&alias.name.value)))
    }
}

/// Behind an array of row addresses, which comes as text.
const ROWS: &str = "::pg_catalog.text[]::pg_catalog.tid[]) ";
