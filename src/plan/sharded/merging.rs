//! MERGE: rows that exist are on the shard of what they are joined with, and so must be rows that are new.

use super::analysis::*;
use super::constant::evaluate;
use super::defaults;
use super::facts::Reader;
use super::feed::keeps;
use super::functions::{self, Behaviour};
use super::names::{Namespace, Resolver};
use super::query::Planner;
use super::refuse::{refuse, unsupported};
use super::scatter::{Prover, Spread};
use super::several::{Writing, nothing, returned};
use super::writes::{Rows, Write, key_update, sequence_default, takes_sequence};
use super::{Assigned, KeyCondition, KeyValue, Refusal, Scatter};
use crate::catalog::schema::{Column, Relation};
use crate::sql::ast::*;
use crate::value::oid;

/// What an INSERT of a MERGE gives a column.
pub enum Given<'a> {
    Value(&'a Expr),
    /// Its default.
    Nothing,
}

/// The value of a column, whose position in the table is given.
pub fn given<'a>(columns: Option<&[TargetColumn]>, values: Option<&'a [Expr]>, at: usize, name: &str) -> Given<'a> {
    let at = match columns {
        Some(columns) => columns.iter().position(|column| column.name.value == name),
        None => Some(at),
    };
    match at.and_then(|at| values?.get(at)) {
        Some(value) if !matches!(value.kind, ExprKind::Default) => Given::Value(value),
        _ => Given::Nothing,
    }
}

impl Resolver<'_> {
    pub fn merge(&mut self, merge: &Merge, scope: ScopeId) -> Result<Vec<OutColumn>, Refusal> {
        if let Some(with) = &merge.with {
            self.with(with)?;
        }
        // The condition confines the target's rows; rows of the source that it doesn't hold for are looked at, too.
        let inner = self.child(scope);
        let (id, mut namespace) = self.target(&merge.table, inner)?;
        self.out.one_shard = self.no_code(&merge.table, id)?.or(self.out.one_shard.take());
        let inserts = merge.whens.iter().any(|when| matches!(when.action, MergeAction::Insert { .. }));
        for when in &merge.whens {
            match &when.action {
                MergeAction::Insert { .. } => self.guarded(&merge.table, id, None)?,
                MergeAction::Update(set) => self.guarded(&merge.table, id, Some(set))?,
                MergeAction::Nothing | MergeAction::Delete => {}
            }
        }
        let source = self.from_item(&merge.source, scope, scope, &Namespace::default())?;
        self.constant_rows(&merge.source, scope);
        namespace.join(source);
        self.frames.push(namespace.clone());
        if merge.whens.iter().any(|when| when.by_source) {
            self.expr(&merge.on, inner)?;
        } else {
            self.condition(&merge.on, inner)?;
        }
        for when in &merge.whens {
            if let Some(condition) = &when.condition {
                self.expr(condition, inner)?;
            }
            self.action(&when.action, id, &merge.table, inner)?;
        }
        self.frames.pop();
        let rows = match self.out.key(id) {
            Some(_) if inserts => Rows::Merged(self.merged_keys(merge, id, scope)?),
            _ => Rows::Known,
        };
        self.out.writes.push(Write { id, rows, draws: false });
        self.returning(merge.returning.as_ref(), namespace, inner)
    }

    fn action(&mut self, action: &MergeAction, id: RefId, table: &FromTable, scope: ScopeId) -> Result<(), Refusal> {
        match action {
            MergeAction::Nothing | MergeAction::Delete => Ok(()),
            MergeAction::Update(set) => {
                for assignment in set {
                    if self.assignment(assignment, (id, table), scope)?
                        && !matches!(self.new_key(assignment, id, table)?, Rows::Known)
                    {
                        return Err(key_update("pgbraid can't change the sharding key in MERGE"));
                    }
                }
                Ok(())
            }
            MergeAction::Insert { columns, values, overriding } => {
                for value in values.iter().flatten().filter(|value| !matches!(value.kind, ExprKind::Default)) {
                    self.expr(value, scope)?;
                }
                let (Some(_), Some(relation)) = (self.out.key(id), self.relation_of(table)) else { return Ok(()) };
                let drops = |column: &Column| {
                    let sql = self.out.texts.get(self.text).map(AsRef::as_ref).unwrap_or_default();
                    column.identity && overriding.is_some_and(|span| span.of(sql).to_ascii_lowercase().contains("user"))
                };
                let lacks = |at: usize, column: &Column| {
                    matches!(given(columns.as_deref(), values.as_deref(), at, &column.name), Given::Nothing)
                };
                let mut all = relation.columns.iter().enumerate();
                match all.find(|(at, column)| drops(column) || takes_sequence(column) && lacks(*at, column)) {
                    Some((_, column)) => Err(sequence_default(&column.name)),
                    None => Ok(()),
                }
            }
        }
    }

    /// The keys of the rows that a MERGE inserts. `None`: each has its own.
    fn merged_keys(&self, merge: &Merge, id: RefId, scope: ScopeId) -> Result<Option<KeyCondition>, Refusal> {
        let Some((place, (_, column))) = self.out.key(id) else { return Ok(None) };
        let relation = self.relation_of(&merge.table).ok_or_else(|| unsupported("write", "this target"))?;
        let key = relation.columns.get(column).ok_or_else(|| unsupported("write", "this target"))?;
        let sql = self.out.texts.get(self.text).map(AsRef::as_ref).unwrap_or_default();
        let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
        let mut all = Vec::new();
        for when in &merge.whens {
            let MergeAction::Insert { columns, values, .. } = &when.action else { continue };
            match given(columns.as_deref(), values.as_deref(), column, &key.name) {
                Given::Value(value) => {
                    let known = evaluate(value, sql, self.params).map(|value| vec![value]);
                    let found = || self.confined_values(reader.column(value)?, scope, key);
                    let Some(values) = known.or_else(found) else { return Ok(None) };
                    all.extend(values);
                }
                Given::Nothing if key.default.is_none() && !key.identity && !key.generated => all.push(KeyValue::Null),
                Given::Nothing => return Err(without_key(relation, key)),
            }
        }
        Ok(Some(KeyCondition {
            column: self.out.display((id, column)),
            place: place.clone(),
            values: all,
            assigned: Some(Assigned { typmod: key.typmod, not_null: key.not_null }),
        }))
    }

    /// `USING (VALUES (1, $2), …) s (a, b)` and `USING (SELECT 1 AS a, …) s`: what its columns can be.
    fn constant_rows(&mut self, source: &FromItem, scope: ScopeId) {
        let FromItem::Query(item) = source else { return };
        let Some(&id) = self.out.items.get(&(self.text, item.span)) else { return };
        let rows: Vec<Vec<&Expr>> = match &item.query.body {
            QueryBody::Values(values) => values.rows.iter().map(|row| row.values.iter().collect()).collect(),
            QueryBody::Select(select) if select.from.is_none() => {
                let plain = select.items.iter().map(|item| match &item.kind {
                    SelectItemKind::Expr(expr) => Some(expr),
                    SelectItemKind::Star(_) => None,
                });
                plain.collect::<Option<Vec<_>>>().into_iter().collect()
            }
            _ => return,
        };
        let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
        let width = rows.first().map_or(0, Vec::len);
        let mut known = Vec::new();
        for at in 0..width {
            let list: Option<Vec<Expr>> = rows.iter().map(|row| row.get(at).map(|expr| (*expr).clone())).collect();
            if let Some(values) = list.and_then(|list| reader.values(&list)) {
                let type_oid = common(&values);
                known.push((at, values, type_oid));
            }
        }
        let collation = Known::Collation(self.context.schema.collation.clone());
        for (at, values, type_oid) in known {
            if let Some(column) = self.out.refs.get_mut(id).and_then(|item| item.columns.get_mut(at)) {
                column.type_oid = type_oid;
                column.collation = if type_oid == oid::TEXT { collation.clone() } else { Known::None };
            }
            self.out.facts.push(Fact { scope, column: (id, at), is: Is::In(values) });
        }
    }
}

/// The type of constants in one column, where it is plain: strings are text.
fn common(values: &[KeyValue]) -> u32 {
    let types = values.iter().filter_map(|value| match value {
        KeyValue::Literal { type_oid, .. } | KeyValue::Param { type_oid, .. } => Some(*type_oid),
        _ => None,
    });
    types.max().filter(|found| *found != 0).unwrap_or(oid::TEXT)
}

/// The refusal of a row that has no value for the key.
pub fn without_key(relation: &Relation, key: &Column) -> Refusal {
    refuse(
        "insert-key",
        format!("pgbraid can't prove to which shard a row without a value for \"{}\" belongs", key.name),
        format!("Name \"{}\", the sharding key of \"{}\", in INSERT and give it a value.", key.name, relation.name),
    )
}

impl Writing<'_> {
    /// Each shard merges its own rows: source and target are joined by their common key, and new rows have it.
    pub fn merged(&self, merge: &Merge) -> Result<Scatter, Refusal> {
        let analysis = self.analysis();
        let off = || {
            refuse(
                "merge",
                "pgbraid can't prove that MERGE keeps every row on its shard",
                "Join source and target by their common sharding key, and insert that of the source; or confine both to one key.",
            )
        };
        if merge.with.is_some() {
            return Err(unsupported("cte", "a WITH query beside a write over several shards"));
        }
        let context = self.resolver.context;
        let volatile = |call: &Called| functions::behaviour(call, context) == Behaviour::PerRow;
        if analysis.calls.iter().any(volatile) {
            return Err(unsupported("volatile", "a volatile function in MERGE"));
        }
        let id = analysis.items.get(&(0, merge.table.span)).copied().ok_or_else(off)?;
        let inner = analysis.refs.get(id).map(|item| item.scope).ok_or_else(off)?;
        let outer = analysis.scopes.get(inner).copied().flatten().ok_or_else(off)?;
        let query = nothing(merge.span);
        let planner: Planner<'_> = self.planner(&query);
        let prover = Prover { planner: &planner };
        let Spread::By { group: own, mut keys } = prover.table(&merge.table, 0)? else { return Err(off()) };
        let relation = self.relation(&merge.table)?;
        let mut inserts = merge.whens.iter().filter(|when| matches!(when.action, MergeAction::Insert { .. }));
        match prover.from(&merge.source, 0, outer, &[])? {
            // Every shard would insert what it has no row for.
            Spread::Everywhere if inserts.next().is_some() => return Err(off()),
            Spread::Everywhere => {}
            Spread::By { group, keys: source } => {
                let tied = keys.iter().any(|&key| prover.reaches(key, &source, inner));
                if group != own || !tied {
                    return Err(off());
                }
                self.inserted(merge, relation, id, |column| prover.reaches(column, &source, outer))?;
                keys.extend(source);
            }
        }
        for expr in merge.expressions().chain([&merge.on]).chain(returned(merge.returning.as_ref())) {
            prover.expr(expr, 0, &keys)?;
        }
        for when in &merge.whens {
            if let MergeAction::Update(set) = &when.action {
                defaults::alike(relation, set)?;
            }
        }
        self.whole("MERGE", false)
    }

    /// New rows have a key of the source's, as `own` tells, and no clock of one shard.
    fn inserted(
        &self,
        merge: &Merge,
        relation: &Relation,
        id: RefId,
        own: impl Fn(Target) -> bool,
    ) -> Result<(), Refusal> {
        let analysis = self.analysis();
        let reader = Reader { analysis, text: 0, params: self.resolver.params };
        let (_, (_, column)) = analysis.key(id).ok_or_else(|| unsupported("write", "this target"))?;
        for when in &merge.whens {
            let MergeAction::Insert { columns, values, .. } = &when.action else { continue };
            let mut omitted = Vec::new();
            for (at, each) in relation.columns.iter().enumerate() {
                let value = given(columns.as_deref(), values.as_deref(), at, &each.name);
                match value {
                    Given::Nothing if at != column => omitted.push(each),
                    Given::Value(value) if at == column => {
                        let found = reader.column(value).filter(|&found| own(found));
                        let kept =
                            found.and_then(|found| analysis.column(found)).is_some_and(|c| keeps(c.type_oid, each));
                        if !kept {
                            return Err(unsupported("merge", "the sharding key of rows that MERGE inserts"));
                        }
                    }
                    Given::Nothing => return Err(without_key(relation, each)),
                    Given::Value(_) => {}
                }
            }
            if let Some(column) = defaults::to_settle(omitted.into_iter(), false)?.first() {
                return Err(unsupported("default", &format!("the default of \"{}\" in MERGE", column.name)));
            }
        }
        Ok(())
    }
}
