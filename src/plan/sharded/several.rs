//! Proves that several shards can each do their part of one INSERT, UPDATE or DELETE, and writes what each is told.

use super::analysis::*;
use super::defaults;
use super::functions::{self, Behaviour};
use super::names::Resolver;
use super::numbered::Numbering;
use super::query::{Kinds, Planner};
use super::refuse::{refuse, unsupported};
use super::scatter::Prover;
use super::splice::Edits;
use super::{Access, Changed, Finish, Input, Refusal, Scatter, Split};
use crate::catalog::schema::Relation;
use crate::sql::ast::*;

/// One statement that writes.
pub struct Writing<'a> {
    pub sql: &'a str,
    pub statement: &'a Statement,
    pub resolver: &'a Resolver<'a>,
    pub access: Access,
}

impl Writing<'_> {
    pub fn analysis(&self) -> &Analysis {
        &self.resolver.out
    }

    /// Rows of a sharded table, each shard its own.
    pub fn sharded(&self) -> Result<Scatter, Refusal> {
        self.plain()?;
        match self.statement {
            Statement::Insert(insert) => self.insert(insert, false),
            Statement::Update(update) if self.moves() => self.moved(update),
            Statement::Update(update) => {
                let mut exprs: Vec<&Expr> = update.assignments.iter().map(|assignment| &assignment.value).collect();
                exprs.extend(update.filter.iter().map(|filter| &filter.expr));
                exprs.extend(returned(update.returning.as_ref()));
                self.changes(&update.table, update.from.as_ref(), &exprs, update.with.as_ref())?;
                defaults::alike(self.relation(&update.table)?, &update.assignments)?;
                self.whole("UPDATE", false)
            }
            Statement::Delete(delete) => {
                let mut exprs: Vec<&Expr> = delete.filter.iter().map(|filter| &filter.expr).collect();
                exprs.extend(returned(delete.returning.as_ref()));
                self.changes(&delete.table, delete.using.as_ref(), &exprs, delete.with.as_ref())?;
                self.whole("DELETE", false)
            }
            Statement::Merge(merge) => self.merged(merge),
            _ => Err(unsupported("multi-shard-write", "this statement")),
        }
    }

    /// Rows of a reference table: every shard does the same to its copy.
    pub fn copies(&self) -> Result<Scatter, Refusal> {
        self.plain()?;
        if self.analysis().refs.len() != 1 || !self.analysis().queries.is_empty() && !self.values_only() {
            return Err(refuse(
                "reference-write",
                "pgbraid can't prove that a write to a reference table that reads others does the same on every shard",
                "Read first, then write constants.",
            ));
        }
        for call in &self.analysis().calls {
            if functions::behaviour(call, self.resolver.context) == Behaviour::PerRow {
                return Err(refuse(
                    "reference-volatile",
                    format!("function {} would give the shards' copies of a reference table other values", call.name),
                    "Ask for the value first, and write it as a constant.",
                ));
            }
        }
        match self.statement {
            Statement::Insert(insert) => self.insert(insert, true),
            Statement::Update(update) => {
                defaults::alike(self.relation(&update.table)?, &update.assignments)?;
                self.whole("UPDATE", true)
            }
            Statement::Delete(_) => self.whole("DELETE", true),
            _ => Err(unsupported("reference-write", "this write to a reference table")),
        }
    }

    /// What must hold of any statement that several shards carry out.
    fn plain(&self) -> Result<(), Refusal> {
        if self.analysis().writes.len() != 1 {
            return Err(unsupported("writing-cte", "a WITH query that writes"));
        }
        if self.analysis().moments {
            return Err(unsupported("moment-literal", "a constant such as 'now' or 'today'"));
        }
        if self.analysis().refs.iter().any(|item| item.system) {
            return Err(unsupported("system-column", "a system column in a write on several shards"));
        }
        let kinds = Kinds::of(self.analysis(), 0..self.analysis().refs.len());
        if kinds.home || kinds.catalog {
            return Err(unsupported("home-table", "a write beside tables of the home shard"));
        }
        Ok(())
    }

    fn moves(&self) -> bool {
        self.analysis().writes.iter().any(|write| matches!(write.rows, super::writes::Rows::Moved(_)))
    }

    fn values_only(&self) -> bool {
        matches!(self.statement, Statement::Insert(insert) if values(insert).is_some())
    }

    /// The target joined with other tables, and expressions about them: all on the target row's own shard.
    fn changes(
        &self,
        target: &FromTable,
        others: Option<&From>,
        exprs: &[&Expr],
        with: Option<&With>,
    ) -> Result<(), Refusal> {
        // Each shard would run it for itself, and could take other rows.
        if with.is_some() {
            return Err(unsupported("cte", "a WITH query beside a write over several shards"));
        }
        let id = self.analysis().items.get(&(0, target.span)).copied();
        let scope = id.and_then(|id| self.analysis().refs.get(id)).map(|item| item.scope);
        let scope = scope.ok_or_else(|| unsupported("write", "this target"))?;
        let query = nothing(target.span);
        let planner = self.planner(&query);
        Prover { planner: &planner }.written(target, others, exprs, scope)
    }

    pub fn planner<'a>(&'a self, query: &'a Query) -> Planner<'a> {
        Planner {
            sql: self.sql,
            query,
            context: self.resolver.context,
            params: self.resolver.params,
            analysis: self.analysis(),
            access: self.access.clone(),
            proof: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// The statement as it is, but for what is evaluated once, on every shard of the access.
    pub fn whole(&self, word: &'static str, copies: bool) -> Result<Scatter, Refusal> {
        let mut edits = Edits::default();
        let query = nothing(self.span());
        let once = self.planner(&query).functions(&mut edits)?;
        let input = Input { sql: edits.apply(self.sql, self.span()), access: self.access.clone(), columns: Vec::new() };
        let changed = Changed { word, split: None, copies: copies.then(|| self.target_name()), told: None };
        Ok(Scatter::new(vec![input], Finish::Changed(changed), once))
    }

    fn insert(&self, insert: &Insert, copies: bool) -> Result<Scatter, Refusal> {
        let values = values(insert);
        if values.is_none() && matches!(insert.source, InsertSource::Query(_)) {
            return Err(refuse(
                "insert-select",
                "pgbraid can't yet insert what a query gives into several shards",
                "Insert rows by VALUES, or COPY them.",
            ));
        }
        if insert.with.is_some() {
            return Err(unsupported("cte", "a WITH query beside INSERT into several shards"));
        }
        if !self.analysis().refs.iter().all(|item| matches!(item.source, Source::Table { .. }))
            || self.analysis().refs.len() != 1
        {
            return Err(unsupported("subquery", "a sub-query in INSERT into several shards"));
        }
        let mut edits = Edits::default();
        let query = nothing(insert.span);
        let mut once = self.planner(&query).functions(&mut edits)?;
        let relation = self.relation(&insert.table)?;
        let assigned = insert.on_conflict.as_ref().and_then(|conflict| conflict.update.as_deref());
        defaults::alike(relation, assigned.unwrap_or_default())?;
        let write = self.analysis().writes.first();
        let key = write.and_then(|write| write.keys().cloned());
        let key_name = write
            .and_then(|write| self.analysis().key(write.id))
            .and_then(|(_, (_, column))| Some(relation.columns.get(column)?.name.as_str()));
        let settling = defaults::Settling {
            sql: self.sql,
            relation,
            insert,
            values,
            key: key_name.filter(|_| !copies),
            leaves_given: super::writes::leaves_given(insert, self.sql),
        };
        // Ahead of values that stand behind a row's own.
        let numbered = !copies && self.numbered(insert, values, relation, &mut edits)?;
        let settled = settling.settle(&mut edits, &mut once);
        let span = match (&insert.source, settled.row.len() > 2) {
            (InsertSource::DefaultValues(span), true) => {
                let identity = relation.columns.iter().any(|column| column.identity);
                let words = if identity { "OVERRIDING SYSTEM VALUE VALUES " } else { "VALUES " };
                let mut pieces = vec![super::splice::text(words)];
                pieces.extend(settled.row.iter().cloned());
                edits.pieces(*span, pieces);
                Some(*span)
            }
            _ => None,
        };
        let input = Input { sql: edits.apply(self.sql, insert.span), access: self.access.clone(), columns: Vec::new() };
        let split =
            if copies { None } else { Some(self.split(insert, values, span, &edits, (key, settled, numbered))?) };
        let copies = copies.then(|| self.target_name());
        let changed = Changed { word: "INSERT 0", split, copies, told: None };
        Ok(Scatter::new(vec![input], Finish::Changed(changed), once))
    }

    /// The statement by row. `default`: where DEFAULT VALUES stands.
    fn split(
        &self,
        insert: &Insert,
        values: Option<&Values>,
        default: Option<Span>,
        edits: &Edits,
        (key, settled, numbered): (Option<super::KeyCondition>, defaults::Settled, bool),
    ) -> Result<Split, Refusal> {
        let rows = values.map(|values| values.rows.as_slice()).unwrap_or_default();
        let mut key = key.ok_or_else(|| unsupported("insert-key", "this INSERT"))?;
        if key.values.len() != settled.keys.len() {
            return Err(unsupported("insert-key", "this INSERT"));
        }
        for (value, drawn) in key.values.iter_mut().zip(&settled.keys) {
            if let Some(number) = drawn {
                *value = super::KeyValue::Once(*number);
            }
        }
        let (begin, end) = (insert.span.start, insert.span.end);
        if let (Some(span), None) = (default, values) {
            let mut before = edits.apply(self.sql, Span::new(begin, span.start));
            let identity = self.relation(&insert.table)?.columns.iter().any(|column| column.identity);
            let words = if identity { "OVERRIDING SYSTEM VALUE VALUES" } else { "VALUES" };
            super::splice::push(&mut before, super::splice::text(words));
            let after = edits.apply(self.sql, Span::new(span.end, end));
            return Ok(Split { before, rows: vec![settled.row], after, key, numbered });
        }
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Err(unsupported("insert-key", "this INSERT"));
        };
        Ok(Split {
            before: edits.apply(self.sql, Span::new(begin, first.span.start)),
            rows: edits.apply_each(self.sql, rows.iter().map(|row| row.span)),
            after: edits.apply(self.sql, Span::new(last.span.end, end)),
            key,
            numbered,
        })
    }

    /// Has the rows tell which they are, where RETURNING may leave some out; whether it does.
    fn numbered(
        &self,
        insert: &Insert,
        values: Option<&Values>,
        relation: &Relation,
        edits: &mut Edits,
    ) -> Result<bool, Refusal> {
        let partly =
            insert.on_conflict.as_ref().is_some_and(|conflict| conflict.update.is_none() || conflict.filter.is_some());
        let values = values.filter(|values| partly && values.rows.len() > 1);
        let (Some(values), Some(returning)) = (values, &insert.returning) else { return Ok(false) };
        let schema = self.resolver.context.schema;
        let leaves_given = super::writes::leaves_given(insert, self.sql);
        let type_of = &|oid| schema.types.get(&oid);
        match (Numbering { relation, insert, values, leaves_given, type_of }).edit(returning, edits) {
            true => Ok(true),
            false => Err(refuse(
                "returning-order",
                "pgbraid can't tell which of the rows that it sent to several shards RETURNING leaves out",
                "Give each row a number, a parameter or a text, leave RETURNING away, or let ON CONFLICT update every row.",
            )),
        }
    }

    pub fn relation(&self, table: &FromTable) -> Result<&Relation, Refusal> {
        self.resolver.relation_of(table).ok_or_else(|| unsupported("write", "this target"))
    }

    fn span(&self) -> Span {
        match self.statement {
            Statement::Insert(insert) => insert.span,
            Statement::Update(update) => update.span,
            Statement::Delete(delete) => delete.span,
            Statement::Merge(merge) => merge.span,
            _ => Span::default(),
        }
    }

    /// The target as SQL has it, to be locked.
    fn target_name(&self) -> String {
        let table = match self.statement {
            Statement::Insert(insert) => &insert.table,
            Statement::Update(update) => &update.table,
            Statement::Delete(delete) => &delete.table,
            _ => return String::new(),
        };
        table.name.span.of(self.sql).to_owned()
    }
}

/// The rows of `INSERT … VALUES`, if it is that plainly.
pub fn values(insert: &Insert) -> Option<&Values> {
    match &insert.source {
        InsertSource::Query(Query { with: None, body: QueryBody::Values(values), order_by, limit, offset, .. })
            if order_by.is_none() && limit.is_none() && offset.is_none() =>
        {
            Some(values)
        }
        _ => None,
    }
}

pub fn returned(returning: Option<&Returning>) -> impl Iterator<Item = &Expr> {
    returning.into_iter().flat_map(|returning| &returning.items).filter_map(|item| match &item.kind {
        SelectItemKind::Expr(expr) => Some(expr),
        SelectItemKind::Star(_) => None,
    })
}

/// A query that stands for a statement which is none.
pub fn nothing(span: Span) -> Query {
    Query {
        span,
        with: None,
        body: QueryBody::Values(Values { span, rows: Vec::new() }),
        order_by: None,
        limit: None,
        offset: None,
        locking: Vec::new(),
    }
}
