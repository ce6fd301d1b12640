//! Resolves statements that write: their targets, the keys that place new rows, what they may not change.

use super::analysis::*;
use super::constant::evaluate;
use super::defaults;
use super::facts::Reader;
use super::names::{Namespace, Resolver};
use super::refuse::{refuse, unsupported};
use super::{Assigned, KeyCondition, KeyValue, Refusal};
use crate::catalog::schema::{Column, Guard, Oid, Relation};
use crate::sql::ast::*;
use crate::topology::placement::TablePlace;

/// One target of a writing statement.
pub struct Write {
    pub id: RefId,
    pub rows: Rows,
    /// New rows take values that only the home shard can give: of sequences, or keys.
    pub draws: bool,
}

/// Stands for the column of the key's default, which the query doesn't give.
pub const DRAWN: usize = usize::MAX;

/// Which rows a statement writes.
pub enum Rows {
    /// Rows that exist are changed.
    Known,
    /// New ones, with these keys (`None`: not of a sharded table).
    New(Option<KeyCondition>),
    /// New ones, each with the key that a query gives it in this column of its.
    Given(usize),
    /// Rows that exist get another key: this one, or (`None`) each its own.
    Moved(Option<KeyCondition>),
    /// Rows that exist and new ones, these with such keys (`None`: each its own).
    Merged(Option<KeyCondition>),
}

impl Write {
    /// The keys of new rows.
    pub fn keys(&self) -> Option<&KeyCondition> {
        match &self.rows {
            Rows::New(keys) | Rows::Moved(keys) | Rows::Merged(keys) => keys.as_ref(),
            _ => None,
        }
    }
}

impl Resolver<'_> {
    /// Resolves a writing statement; gives RETURNING's columns.
    pub fn write(&mut self, statement: &Statement, scope: ScopeId) -> Result<Vec<OutColumn>, Refusal> {
        let scope = self.child(scope);
        let ctes = self.ctes.len();
        let outputs = match statement {
            Statement::Insert(insert) => self.insert(insert, scope),
            Statement::Update(update) => self.update(update, scope),
            Statement::Delete(delete) => self.delete(delete, scope),
            Statement::Merge(merge) => self.merge(merge, scope),
            _ => Err(unsupported("write", "this statement")),
        };
        self.ctes.truncate(ctes);
        outputs
    }

    /// The target as an item of FROM; its number and namespace.
    pub fn target(&mut self, table: &FromTable, scope: ScopeId) -> Result<(RefId, Namespace), Refusal> {
        // A CTE can't be written, and doesn't hide a table from INSERT INTO.
        let ctes = std::mem::take(&mut self.ctes);
        let namespace = self.table(table, scope, scope);
        self.ctes = ctes;
        let id = self.out.items.get(&(self.text, table.span)).copied();
        let id = id.ok_or_else(|| unsupported("write", "this target"))?;
        let item = self.out.refs.get(id);
        match item.map(|item| &item.source) {
            Some(Source::Table { home: Home::Catalog }) => Err(unsupported("catalog", "a write to the system catalog")),
            Some(Source::Table { .. }) => Ok((id, namespace?)),
            _ => Err(unsupported("write", "a write to a view")),
        }
    }

    pub fn relation_of(&self, table: &FromTable) -> Option<&Relation> {
        let mut names = table.name.parts.iter().rev().map(|part| part.value.as_str());
        let name = names.next()?;
        self.context.schema.relation(names.next(), name, self.context.search_path)
    }

    /// Refuses what a unique index would have to judge that only sees one shard's rows. `changes`: the columns that are
    /// given values; `None`: whole rows.
    pub fn guarded(&self, table: &FromTable, id: RefId, changes: Option<&[Assignment]>) -> Result<(), Refusal> {
        let Some((_, (_, column))) = self.out.key(id).filter(|_| !self.context.unique_per_shard) else { return Ok(()) };
        let Some(relation) = self.relation_of(table) else { return Ok(()) };
        let Some(key) = relation.columns.get(column) else { return Ok(()) };
        match unguarded(relation, &key.name, changes) {
            None => Ok(()),
            Some(guard) => Err(unguarded_by(guard, relation, &key.name)),
        }
    }

    fn insert(&mut self, insert: &Insert, scope: ScopeId) -> Result<Vec<OutColumn>, Refusal> {
        if let Some(with) = &insert.with {
            self.with(with)?;
        }
        let (id, namespace) = self.target(&insert.table, scope)?;
        self.out.one_shard = self.no_code(&insert.table, id)?.or(self.out.one_shard.take());
        self.guarded(&insert.table, id, None)?;
        if let InsertSource::Query(query) = &insert.source {
            self.query(query, scope)?;
        }
        let (rows, draws) = match self.out.key(id).map(|(place, (_, column))| (place.clone(), column)) {
            Some((place, column)) => self.inserted_keys(insert, id, place, column)?,
            None => (Rows::New(None), false),
        };
        if draws {
            let values = super::several::values(insert).into_iter().flat_map(|values| &values.rows);
            let calls = values.flat_map(|row| &row.values).filter(|value| defaults::is_draw(value));
            self.out.drawn.extend(calls.map(|call| (self.text, call.span)));
        }
        if let (Rows::New(Some(keys)), Some((_, key)), false) = (&rows, self.out.key(id), draws) {
            // For what RETURNING gives to the rest of the statement.
            let is = Is::In(keys.values.clone());
            self.out.facts.push(Fact { scope, column: key, is });
        }
        self.out.writes.push(Write { id, rows, draws });
        let mut frame = namespace.clone();
        if let Some(conflict) = &insert.on_conflict {
            // `excluded` has the target's columns.
            let mut excluded = namespace.clone();
            excluded.columns.clear();
            for entry in &mut excluded.entries {
                entry.alias = "excluded".to_string();
            }
            frame.join(excluded);
            self.frames.push(frame);
            for assignment in conflict.update.iter().flatten() {
                if self.assignment(assignment, (id, &insert.table), scope)? && !self.same_key(assignment, conflict, id)
                {
                    return Err(key_update("pgbraid can't change the sharding key in ON CONFLICT"));
                }
            }
            if let Some(filter) = &conflict.filter {
                self.expr(&filter.expr, scope)?;
            }
            self.frames.pop();
        }
        self.asks_if_new(insert);
        self.returning(insert.returning.as_ref(), namespace, scope)
    }

    /// The keys of the rows that an INSERT gives, and whether values must be drawn for them.
    fn inserted_keys(
        &self,
        insert: &Insert,
        id: RefId,
        place: TablePlace,
        column: usize,
    ) -> Result<(Rows, bool), Refusal> {
        let relation = self.relation_of(&insert.table).ok_or_else(|| unsupported("write", "this target"))?;
        let key = relation.columns.get(column).ok_or_else(|| unsupported("write", "this target"))?;
        let at = match &insert.columns {
            Some(columns) => columns.iter().position(|column| column.name.value == key.name && !column.part),
            None => Some(column),
        };
        let assigned = Some(Assigned { typmod: key.typmod, not_null: key.not_null });
        let condition =
            |values| KeyCondition { column: self.out.display((id, column)), place: place.clone(), values, assigned };
        let given = at.filter(|at| self.width(insert).is_none_or(|width| *at < width));
        let defaulted = key.default.is_some() || key.identity;
        if given.is_none() && !defaulted && !key.generated {
            // It is NULL in every row.
            return Ok((Rows::New(Some(condition(vec![KeyValue::Null]))), false));
        }
        let sql = self.out.texts.get(self.text).map(AsRef::as_ref).unwrap_or_default();
        let drops = |column: &Column| column.identity && leaves_given(insert, sql);
        let drawn = relation.columns.iter().enumerate().find(|(position, column)| {
            let given = match &insert.columns {
                Some(columns) => columns.iter().any(|given| given.name.value == column.name),
                None => self.width(insert).is_some_and(|width| *position < width),
            };
            let asks = || !given || asks_default(insert, *position, &column.name);
            drops(column) || takes_sequence(column) && asks()
        });
        let missing = || super::merging::without_key(relation, key);
        let rows: Vec<Option<&ValuesRow>> = match (super::several::values(insert), &insert.source) {
            (Some(values), _) => values.rows.iter().map(Some).collect(),
            (None, InsertSource::DefaultValues(_)) => vec![None],
            (None, InsertSource::Query(query)) => {
                if let Some((_, column)) = drawn.filter(|(_, column)| drops(column)) {
                    return Err(sequence_default(&column.name));
                }
                let at = match given {
                    None if defaulted => return Ok((Rows::Given(DRAWN), true)),
                    given => given.ok_or_else(missing)?,
                };
                let draws = drawn.is_some();
                return match self.row_keys(query, at, key, &missing) {
                    Ok(values) => Ok((Rows::New(Some(condition(values))), draws)),
                    Err(_) if super::feed::fits(insert) => Ok((Rows::Given(at), draws)),
                    Err(refusal) => Err(refusal),
                };
            }
        };
        let mut draws = drawn.is_some() || rows.iter().flatten().any(|row| calls(row));
        let mut values = Vec::new();
        for row in &rows {
            let value = row.and_then(|row| row.values.get(given?)).filter(|_| !drops(key));
            values.push(match value {
                Some(expr) if defaults::is_draw(expr) => KeyValue::Once(0),
                Some(expr) if !matches!(expr.kind, ExprKind::Default) => match evaluate(expr, sql, self.params) {
                    Some(value) => value,
                    None if !draws && super::feed::fits(insert) => {
                        return Ok((given.map_or(Rows::New(None), Rows::Given), false));
                    }
                    None => return Err(unknown_key()),
                },
                _ if key.generated => return Err(missing()),
                _ if defaulted => {
                    draws = true;
                    KeyValue::Once(0)
                }
                _ => KeyValue::Null,
            });
        }
        Ok((Rows::New(Some(condition(values))), draws))
    }

    /// How many columns the source gives, where that is plain.
    fn width(&self, insert: &Insert) -> Option<usize> {
        match &insert.source {
            InsertSource::Query(Query { body: QueryBody::Values(values), .. }) => {
                values.rows.first().map(|row| row.values.len())
            }
            InsertSource::Query(query) => {
                let level = self.out.queries.get(&(self.text, query.span)).filter(|level| !level.open);
                level.map(|level| level.outputs.len())
            }
            InsertSource::DefaultValues(_) => Some(0),
        }
    }

    fn row_keys(
        &self,
        query: &Query,
        at: usize,
        key: &Column,
        missing: &dyn Fn() -> Refusal,
    ) -> Result<Vec<KeyValue>, Refusal> {
        let sql = self.out.texts.get(self.text).cloned().unwrap_or_default();
        let known = |expr: &Expr| evaluate(expr, &sql, self.params);
        match &query.body {
            QueryBody::Values(values) => {
                let row = |row: &ValuesRow| match row.values.get(at).map(|expr| (&expr.kind, expr)) {
                    None | Some((ExprKind::Default, _)) => Err(missing()),
                    Some((_, expr)) => known(expr).ok_or_else(unknown_key),
                };
                values.rows.iter().map(row).collect()
            }
            QueryBody::Select(select) => {
                let plain = select.items.iter().all(|item| matches!(item.kind, SelectItemKind::Expr(_)));
                let item = select.items.get(at).filter(|_| plain);
                let Some(SelectItemKind::Expr(expr)) = item.map(|item| &item.kind) else { return Err(unknown_key()) };
                if let Some(value) = known(expr) {
                    return Ok(vec![value]);
                }
                self.column_keys(query, expr, key).ok_or_else(unknown_key)
            }
            _ => Err(unknown_key()),
        }
    }

    /// The values that a column of the source is confined to.
    fn column_keys(&self, query: &Query, expr: &Expr, key: &Column) -> Option<Vec<KeyValue>> {
        let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
        let scope = self.out.queries.get(&(self.text, query.span))?.scope;
        self.confined_values(reader.column(expr)?, scope, key)
    }

    /// The values one of which a column surely has in `scope`, where the key's column takes them as they are compared.
    pub fn confined_values(&self, column: Target, scope: ScopeId, key: &Column) -> Option<Vec<KeyValue>> {
        let found = self.out.column(column)?;
        let family = |oid: Oid| match oid {
            21 | 23 => 20,
            1043 => 25,
            other => other,
        };
        if family(found.type_oid) != family(key.type_oid) {
            return None;
        }
        let reached = self.out.equals(column, scope);
        let lists =
            self.out.facts.iter().filter(|fact| reached.contains(&fact.column) && self.out.sees(scope, fact.scope));
        let lists = lists.filter(|fact| super::confine::deterministic(&self.out, fact.column));
        let values = lists.filter_map(|fact| match &fact.is {
            Is::In(values) => Some(values),
            Is::Equal(_) => None,
        });
        values.min_by_key(|values| values.len()).cloned()
    }

    /// Resolves it; whether it gives the sharding key a value.
    pub fn assignment(
        &mut self,
        assignment: &Assignment,
        (target, table): (RefId, &FromTable),
        scope: ScopeId,
    ) -> Result<bool, Refusal> {
        let key = self.out.key(target).map(|(_, (_, column))| column);
        let key = key.and_then(|column| self.out.refs.get(target)?.columns.get(column)).map(|key| key.name.clone());
        let relation = self.relation_of(table);
        // A generated key may change with any column.
        let generated = |name: &str| {
            relation.is_some_and(|all| all.columns.iter().any(|column| column.generated && column.name == name))
        };
        let set = |name: &str| assignment.columns.iter().any(|column| column.name.value == name);
        let moves = key.is_some_and(|name| set(&name) || generated(&name));
        let default = |expr: &Expr| matches!(expr.kind, ExprKind::Default);
        if super::walk::any(&assignment.value, &default) {
            self.default_of(assignment, target, table)?;
        }
        if !default(&assignment.value) {
            self.expr(&assignment.value, scope)?;
        }
        Ok(moves)
    }

    /// `SET c = DEFAULT`: each shard has a sequence of its own, which gives what another's gives too.
    fn default_of(&self, assignment: &Assignment, target: RefId, table: &FromTable) -> Result<(), Refusal> {
        if self.out.key(target).is_none() {
            return Ok(());
        }
        let relation = self.relation_of(table);
        let taken = |name: &str| {
            let column = relation.and_then(|relation| relation.columns.iter().find(|column| column.name == name));
            column.is_none_or(takes_sequence)
        };
        match assignment.columns.iter().find(|column| taken(&column.name.value)) {
            None => Ok(()),
            Some(column) => Err(sequence_default(&column.name.value)),
        }
    }

    fn update(&mut self, update: &Update, scope: ScopeId) -> Result<Vec<OutColumn>, Refusal> {
        if let Some(with) = &update.with {
            self.with(with)?;
        }
        let (id, mut namespace) = self.target(&update.table, scope)?;
        self.out.one_shard = self.no_code(&update.table, id)?.or(self.out.one_shard.take());
        self.guarded(&update.table, id, Some(&update.assignments))?;
        self.others(update.from.as_ref(), &mut namespace, scope)?;
        self.frames.push(namespace.clone());
        let mut rows = Rows::Known;
        for assignment in &update.assignments {
            if self.assignment(assignment, (id, &update.table), scope)? {
                rows = self.new_key(assignment, id, &update.table)?;
            }
        }
        self.frames.pop();
        self.out.writes.push(Write { id, rows, draws: false });
        self.changed(update.filter.as_ref(), update.current_of.as_ref(), &namespace, scope)?;
        self.returning(update.returning.as_ref(), namespace, scope)
    }

    fn delete(&mut self, delete: &Delete, scope: ScopeId) -> Result<Vec<OutColumn>, Refusal> {
        if let Some(with) = &delete.with {
            self.with(with)?;
        }
        let (id, mut namespace) = self.target(&delete.table, scope)?;
        self.out.one_shard = self.no_code(&delete.table, id)?.or(self.out.one_shard.take());
        self.out.writes.push(Write { id, rows: Rows::Known, draws: false });
        self.others(delete.using.as_ref(), &mut namespace, scope)?;
        self.changed(delete.filter.as_ref(), delete.current_of.as_ref(), &namespace, scope)?;
        self.returning(delete.returning.as_ref(), namespace, scope)
    }

    fn others(&mut self, from: Option<&From>, namespace: &mut Namespace, scope: ScopeId) -> Result<(), Refusal> {
        for item in from.iter().flat_map(|from| &from.items) {
            let next = self.from_item(item, scope, scope, &namespace.clone())?;
            namespace.join(next);
        }
        Ok(())
    }

    fn changed(
        &mut self,
        filter: Option<&Clause>,
        cursor: Option<&Ident>,
        namespace: &Namespace,
        scope: ScopeId,
    ) -> Result<(), Refusal> {
        if cursor.is_some() {
            return Err(unsupported("cursor", "WHERE CURRENT OF"));
        }
        self.frames.push(namespace.clone());
        if let Some(filter) = filter {
            self.condition(&filter.expr, scope)?;
        }
        self.frames.pop();
        Ok(())
    }

    pub fn returning(
        &mut self,
        returning: Option<&Returning>,
        namespace: Namespace,
        scope: ScopeId,
    ) -> Result<Vec<OutColumn>, Refusal> {
        self.frames.push(namespace);
        let mut outputs = Vec::new();
        for item in returning.iter().flat_map(|returning| &returning.items) {
            match &item.kind {
                SelectItemKind::Expr(expr) => {
                    self.expr(expr, scope)?;
                    outputs.push(self.output(expr, item.alias.as_ref()));
                }
                SelectItemKind::Star(name) => {
                    let columns = self.star(name.as_ref())?;
                    if self.text == 0 {
                        let targets = columns.iter().map(|(_, targets)| targets.clone()).collect();
                        self.out.stars.insert(item.span, targets);
                    }
                    outputs.extend(self.star_outputs(&columns));
                }
            }
        }
        self.frames.pop();
        // What is asked of the rows before they are written need not hold of them after, but of a key that stays.
        let written = self.out.writes.last().map(|write| (write.id, matches!(write.rows, Rows::Known | Rows::New(_))));
        for output in &mut outputs {
            let Some(origin) = output.origin else { continue };
            let stays = self.out.key(origin.0).is_some_and(|(_, key)| key == origin);
            if written.is_none_or(|(id, kept)| id == origin.0 && !(kept && stays)) {
                output.origin = None;
            }
        }
        Ok(outputs)
    }
}

/// A unique index or exclusion that can't be judged on one shard, and that the change of these columns concerns.
fn unguarded<'a>(relation: &'a Relation, key: &'a str, changes: Option<&[Assignment]>) -> Option<&'a Guard> {
    // A generated column may change with any other.
    let generated = |name: &str| relation.columns.iter().any(|column| column.generated && column.name == name);
    let given = |changes: &[Assignment], name: &String| {
        changes.iter().any(|change| change.columns.iter().any(|column| column.name.value == *name)) || generated(name)
    };
    let concerned = |guard: &Guard| changes.is_none_or(|changes| guard.reads.iter().any(|name| given(changes, name)));
    relation.unguarded(key).find(|guard| concerned(guard))
}

/// The refusal of a write that such an index would have to judge.
pub fn unguarded_by(guard: &Guard, relation: &Relation, key: &str) -> Refusal {
    let kind = if guard.exclusion { "exclusion constraint" } else { "unique index" };
    refuse(
        "unique",
        format!(
            "the {kind} \"{}\" of \"{}\" doesn't compare the sharding key \"{key}\": a shard would miss equal rows on the others",
            guard.name, relation.name
        ),
        format!(
            "Put \"{key}\" into it, or write unique_per_shard = true in the configuration: each shard then keeps its own \
             rows apart only."
        ),
    )
}

/// Whether a row of VALUES says DEFAULT for the column.
fn asks_default(insert: &Insert, position: usize, name: &str) -> bool {
    let InsertSource::Query(Query { body: QueryBody::Values(values), .. }) = &insert.source else { return false };
    let at = match &insert.columns {
        Some(columns) => columns.iter().position(|column| column.name.value == name),
        None => Some(position),
    };
    let default = |row: &ValuesRow| {
        at.and_then(|at| row.values.get(at)).is_some_and(|value| matches!(value.kind, ExprKind::Default))
    };
    values.rows.iter().any(default)
}

/// Whether a value of the row is `nextval('…')`.
fn calls(row: &ValuesRow) -> bool {
    row.values.iter().any(defaults::is_draw)
}

/// Whether its default draws from a sequence.
pub fn takes_sequence(column: &Column) -> bool {
    column.identity || column.default.as_deref().is_some_and(|text| text.contains("nextval("))
}

/// Whether identity columns take a sequence's value though the statement gives them one.
pub fn leaves_given(insert: &Insert, sql: &str) -> bool {
    insert.overriding.is_some_and(|span| span.of(sql).to_ascii_lowercase().contains("user"))
}

pub fn key_update(message: &str) -> Refusal {
    refuse("key-update", message, "DELETE the row and INSERT it with the new key.")
}

pub fn sequence_default(column: &str) -> Refusal {
    refuse(
        "sequence-default",
        format!("pgbraid can't prove that each shard's own sequence gives \"{column}\" a new value"),
        format!("Give \"{column}\" a value in the statement."),
    )
}

pub fn unknown_key() -> Refusal {
    refuse(
        "insert-key",
        "pgbraid can't prove to which shard the rows belong: the sharding key is an expression",
        "Give the sharding key as a constant or a parameter.",
    )
}
