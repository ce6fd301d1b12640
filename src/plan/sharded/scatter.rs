//! Proves that a query's answer is the shards' answers together, and writes what each shard is asked.

use std::ops::Range;

use super::analysis::*;
use super::order::{self, Ordered};
use super::query::{Kinds, Planner};
use super::refuse::unsupported;
use super::splice::Edits;
use super::walk::{Part, bare, parts};
use super::{Finish, Refusal, Scatter, functions};
use crate::sql::ast::*;

/// How rows of a FROM item, or of a query, lie on the shards.
#[derive(Clone, Debug)]
pub enum Spread {
    /// The same rows on every shard.
    Everywhere,
    /// Each row on one shard, found by these columns if any.
    By { group: String, keys: Vec<Target> },
}

/// A query as one scatter whose rows stream.
pub fn plan(planner: &mut Planner<'_>, edits: Edits) -> Result<Scatter, Refusal> {
    let query = planner.query;
    let shape = Prover { planner };
    shape.same_choices()?;
    let QueryBody::Select(select) = &query.body else {
        return plain_union(planner, edits);
    };
    let spread = shape.rows(query, select, 0, true)?;
    if matches!(spread, Spread::Everywhere) {
        return Err(unsupported("reference-preserved", "a query whose rows every shard has"));
    }
    if query.order_by.is_none() && shape.keeps_order(select, 0) {
        return Err(unsupported("ordered-subquery", "a query in the order of its sub-query"));
    }
    let ordered = order::plan(planner, select, edits)?;
    finish(planner, ordered)
}

fn finish(planner: &mut Planner<'_>, ordered: Ordered) -> Result<Scatter, Refusal> {
    let query = planner.query;
    let bounded = query.limit.is_some() || query.offset.is_some();
    if bounded && !query.locking.is_empty() {
        return Err(unsupported("limit-locking", "LIMIT with FOR UPDATE"));
    }
    planner.proof.push("each row of the answer comes from rows of one shard".to_string());
    Ok(planner.single(ordered.sql, ordered.columns, ordered.finish))
}

/// `(a) UNION ALL (b)` of scatters, or `TABLE a`, without order and bounds.
fn plain_union(planner: &mut Planner<'_>, edits: Edits) -> Result<Scatter, Refusal> {
    let query = planner.query;
    if query.order_by.is_some() || query.limit.is_some() || query.offset.is_some() || !query.locking.is_empty() {
        return Err(unsupported("set-operation", "a set operation"));
    }
    let prover = Prover { planner };
    prover.union(&query.body, planner.level(query)?.scope)?;
    let columns = planner.level(query)?.outputs.iter().map(|output| output.name.clone()).collect();
    planner.proof.push("UNION ALL of queries that are each the sum of the shards'".to_string());
    let finish =
        Finish::Stream { order: Vec::new(), hidden: 0, limit: None, offset: None, with_ties: false, instead: None };
    Ok(planner.single(edits.apply(planner.sql, query.span), columns, finish))
}

/// Walks a query and proves.
pub struct Prover<'a, 'b> {
    pub planner: &'a Planner<'b>,
}

impl Prover<'_, '_> {
    fn analysis(&self) -> &Analysis {
        self.planner.analysis
    }

    /// Which rows a LIMIT takes of reference tables is each shard's own choice: no sub-query, however deep, may take some.
    fn same_choices(&self) -> Result<(), Refusal> {
        let own = (0, self.planner.query.span);
        let chooses = |(place, level): (&Place, &Level)| {
            let kinds = Kinds::of(self.analysis(), level.inside.clone());
            level.bounded && *place != own && kinds.reference && !kinds.sharded
        };
        if self.analysis().queries.iter().any(chooses) {
            return Err(unsupported("subquery-limit", "LIMIT in a sub-query over reference tables"));
        }
        Ok(())
    }

    fn union(&self, body: &QueryBody, scope: ScopeId) -> Result<(), Refusal> {
        match body {
            QueryBody::SetOperation(operation) if operation.all && operation.operator == SetOperator::Union => {
                self.union(&operation.left, scope)?;
                self.union(&operation.right, scope)
            }
            QueryBody::Select(select) => {
                // The branch's scope is the one that its items stand in.
                let scope = self.branch_scope(select).unwrap_or(scope);
                match self.select(select, 0, scope, false)? {
                    (Spread::By { .. }, false) => Ok(()),
                    _ => Err(unsupported("set-operation", "this UNION ALL")),
                }
            }
            QueryBody::Table(table, _) => match self.table(table, 0)? {
                Spread::By { .. } => Ok(()),
                Spread::Everywhere => Err(unsupported("set-operation", "this UNION ALL")),
            },
            QueryBody::Nested(query, _) if query.order_by.is_some() => {
                Err(unsupported("ordered-subquery", "a UNION ALL of sorted queries"))
            }
            QueryBody::Nested(query, _) if query.limit.is_none() && query.offset.is_none() => match &query.body {
                QueryBody::Select(select) => match self.rows(query, select, 0, false)? {
                    Spread::By { .. } => Ok(()),
                    Spread::Everywhere => Err(unsupported("set-operation", "this UNION ALL")),
                },
                body => self.union(body, scope),
            },
            _ => Err(unsupported("set-operation", "a set operation")),
        }
    }

    fn branch_scope(&self, select: &Select) -> Option<ScopeId> {
        let item = select.from.as_ref()?.items.first()?;
        Some(self.analysis().refs.get(self.first_ref(item, 0)?)?.level_scope)
    }

    fn first_ref(&self, item: &FromItem, text: usize) -> Option<RefId> {
        let span = match item {
            FromItem::Table(item) => item.span,
            FromItem::Query(item) => item.span,
            FromItem::Function(item) => item.span,
            FromItem::Join(join) => return self.first_ref(&join.left, text),
        };
        self.analysis().items.get(&(text, span)).copied()
    }

    /// How a query's rows lie on the shards; columns are inner ones. `top`: order and bounds are merged later.
    pub fn rows(&self, query: &Query, select: &Select, text: usize, top: bool) -> Result<Spread, Refusal> {
        let level = self.analysis().queries.get(&(text, query.span));
        let scope = level.map(|level| level.scope).ok_or_else(|| unsupported("query", "this query"))?;
        let (spread, grouped) = self.select(select, text, scope, top)?;
        let bounded = query.limit.is_some() || query.offset.is_some();
        if !top && bounded {
            return Err(unsupported("subquery-limit", "LIMIT in a sub-query over several shards"));
        }
        if let Some(with) = &query.with {
            for cte in &with.items {
                if !matches!(cte.statement, Statement::Query(_)) {
                    return Err(unsupported("writing-cte", "a WITH query that writes"));
                }
            }
        }
        let keys = self.keys(&spread);
        let exprs: Vec<&Expr> = query.order_by.iter().flat_map(|order| &order.items).map(|item| &item.expr).collect();
        for expr in &exprs {
            self.expr(expr, text, &keys)?;
        }
        if matches!(spread, Spread::By { .. }) {
            let ordered = exprs.iter().any(|expr| self.planner.aggregates(expr));
            let holds = |list: &[Expr]| list.iter().any(|expr| self.is_key(expr, select, text, &keys, scope));
            for expr in &exprs {
                self.windows(expr, select, &holds)?;
            }
            if ordered && !grouped {
                return Err(unsupported("aggregate", "an aggregate over groups that several shards share"));
            }
        }
        Ok(spread)
    }

    pub fn keys(&self, spread: &Spread) -> Vec<Target> {
        match spread {
            Spread::Everywhere => Vec::new(),
            Spread::By { keys, .. } => keys.clone(),
        }
    }

    /// A write's target joined with other tables, and expressions about their rows: all that concerns one row of the
    /// target is on its shard.
    pub fn written(
        &self,
        target: &FromTable,
        others: Option<&From>,
        exprs: &[&Expr],
        scope: ScopeId,
    ) -> Result<(), Refusal> {
        let mut spread = self.table(target, 0)?;
        for item in others.iter().flat_map(|from| &from.items) {
            let next = self.from(item, 0, scope, &self.keys(&spread))?;
            spread = self.combine(spread, next, scope, JoinKind::Inner)?;
        }
        let keys = self.keys(&spread);
        for expr in exprs {
            self.expr(expr, 0, &keys)?;
        }
        Ok(())
    }

    /// Whether rows come in the order that a sub-query or view says which is all of FROM: PostgreSQL reads it as it
    /// comes, and leaves out rows at most, so a LIMIT takes the first of them. Groups and distinct rows have another
    /// order, and what is joined has the one of the plan.
    fn keeps_order(&self, select: &Select, text: usize) -> bool {
        let Some([item]) = select.from.as_ref().map(|from| from.items.as_slice()) else { return false };
        let called = select.items.iter().any(|item| match &item.kind {
            SelectItemKind::Expr(expr) => self.planner.aggregates(expr),
            SelectItemKind::Star(_) => false,
        });
        if called || select.distinct.is_some() || select.group_by.is_some() || select.having.is_some() {
            return false;
        }
        let (inner, text) = match item {
            FromItem::Query(item) => (&item.query, text),
            FromItem::Table(item) => {
                let id = self.analysis().items.get(&(text, item.span));
                match id.and_then(|id| self.analysis().refs.get(*id)).map(|item| &item.source) {
                    Some(Source::View { view, .. }) => (&view.query, view.text),
                    _ => return false,
                }
            }
            FromItem::Function(_) | FromItem::Join(_) => return false,
        };
        match &inner.body {
            _ if inner.order_by.is_some() => true,
            QueryBody::Select(select) => self.keeps_order(select, text),
            _ => false,
        }
    }

    /// How the rows of FROM and WHERE of the statement's own SELECT lie.
    pub fn base(&self, query: &Query, select: &Select) -> Result<Spread, Refusal> {
        self.same_choices()?;
        self.from_where(select, 0, self.planner.level(query)?.scope)
    }

    fn from_where(&self, select: &Select, text: usize, scope: ScopeId) -> Result<Spread, Refusal> {
        let mut spread = Spread::Everywhere;
        for item in select.from.iter().flat_map(|from| &from.items) {
            let next = self.from(item, text, scope, &self.keys(&spread))?;
            spread = self.combine(spread, next, scope, JoinKind::Inner)?;
        }
        if let Some(filter) = &select.filter {
            self.expr(&filter.expr, text, &self.keys(&spread))?;
        }
        Ok(spread)
    }

    /// A SELECT's rows; whether it is grouped.
    fn select(&self, select: &Select, text: usize, scope: ScopeId, _top: bool) -> Result<(Spread, bool), Refusal> {
        if select.into.is_some() {
            return Err(unsupported("select-into", "SELECT INTO"));
        }
        let spread = self.from_where(select, text, scope)?;
        let keys = self.keys(&spread);
        let exprs = select.items.iter().filter_map(|item| match &item.kind {
            SelectItemKind::Expr(expr) => Some(expr),
            SelectItemKind::Star(_) => None,
        });
        let exprs: Vec<&Expr> = exprs.collect();
        let having = select.having.as_ref().map(|having| &having.expr);
        for expr in exprs.iter().copied().chain(having) {
            self.expr(expr, text, &keys)?;
        }
        let aggregates = exprs.iter().copied().chain(having).any(|expr| self.planner.aggregates(expr));
        let grouped = aggregates || select.group_by.is_some() || having.is_some();
        if matches!(spread, Spread::By { .. }) {
            self.whole_groups(select, &exprs, text, &keys, grouped, scope)?;
        }
        Ok((spread, grouped))
    }

    /// Groups, windows and distinct rows must each lie on one shard: they hold the key.
    fn whole_groups(
        &self,
        select: &Select,
        exprs: &[&Expr],
        text: usize,
        keys: &[Target],
        grouped: bool,
        scope: ScopeId,
    ) -> Result<(), Refusal> {
        let holds = |list: &[Expr]| list.iter().any(|expr| self.is_key(expr, select, text, keys, scope));
        if grouped {
            let whole = select.group_by.as_ref().is_some_and(|group| {
                let plain = group.items.iter().all(|item| matches!(item, GroupItem::Expr(_)));
                plain
                    && group.items.iter().any(|item| match item {
                        GroupItem::Expr(expr) => self.is_key_or_output(expr, select, text, keys, scope),
                        _ => false,
                    })
            });
            if !whole {
                return Err(unsupported("aggregate", "an aggregate over groups that several shards share"));
            }
        }
        for expr in exprs {
            self.windows(expr, select, &holds)?;
        }
        match &select.distinct {
            None => Ok(()),
            Some(Distinct { on: Some(on), .. }) => {
                let whole = on.iter().any(|expr| self.is_key_or_output(expr, select, text, keys, scope));
                if whole { Ok(()) } else { Err(unsupported("distinct-on", "DISTINCT ON without the sharding key")) }
            }
            Some(_) => {
                let star = |item: &SelectItem| matches!(&item.kind, SelectItemKind::Star(None));
                let whole = select.items.iter().any(|item| match &item.kind {
                    SelectItemKind::Expr(expr) => self.is_key(expr, select, text, keys, scope),
                    SelectItemKind::Star(_) => star(item) && !keys.is_empty(),
                });
                if whole { Ok(()) } else { Err(unsupported("distinct", "DISTINCT without the sharding key")) }
            }
        }
    }

    fn windows(&self, expr: &Expr, select: &Select, holds: &dyn Fn(&[Expr]) -> bool) -> Result<(), Refusal> {
        if let ExprKind::Function(call) = &expr.kind
            && let Some(over) = &call.over
        {
            let mut window = match over {
                Over::Window(window) => Some(window),
                Over::Named(name) => named_window(select, &name.value),
            };
            let mut whole = false;
            // A window may be built on another one, that one on a third.
            for _ in 0..=select.windows.len() {
                let Some(at) = window else { break };
                whole |= holds(&at.partition_by);
                window = at.base.as_ref().and_then(|base| named_window(select, &base.value));
            }
            if !whole {
                return Err(unsupported("window", "a window whose partitions several shards share"));
            }
        }
        for part in parts(expr) {
            if let Part::Expr(part) = part {
                self.windows(part, select, holds)?;
            }
        }
        Ok(())
    }

    fn is_key(&self, expr: &Expr, _select: &Select, text: usize, keys: &[Target], scope: ScopeId) -> bool {
        let ExprKind::Column(name) = &bare(expr).kind else { return false };
        let targets = self.analysis().columns.get(&(text, name.span));
        targets.and_then(|targets| targets.first()).is_some_and(|&target| self.reaches(target, keys, scope))
    }

    /// Also an ordinal, or the name of an output that is the key.
    fn is_key_or_output(&self, expr: &Expr, select: &Select, text: usize, keys: &[Target], scope: ScopeId) -> bool {
        if self.is_key(expr, select, text, keys, scope) {
            return true;
        }
        let item = match &expr.kind {
            ExprKind::Literal(Literal::Number) => {
                let texts = &self.analysis().texts;
                let number = texts.get(text).and_then(|text| expr.span.of(text).parse::<usize>().ok());
                // Stars shift the count.
                let plain = select.items.iter().all(|item| matches!(item.kind, SelectItemKind::Expr(_)));
                number.filter(|_| plain).and_then(|number| select.items.get(number.checked_sub(1)?))
            }
            ExprKind::Column(name) if !self.analysis().columns.contains_key(&(text, name.span)) => {
                let name = name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
                select.items.iter().find(|item| match (&item.alias, &item.kind) {
                    (Some(alias), _) => alias.value == name,
                    (None, SelectItemKind::Expr(expr)) => super::names::figured_name(expr) == name,
                    _ => false,
                })
            }
            _ => None,
        };
        match item.map(|item| &item.kind) {
            Some(SelectItemKind::Expr(expr)) => self.is_key(expr, select, text, keys, scope),
            _ => false,
        }
    }

    /// Whether a column surely equals one of the keys.
    pub fn reaches(&self, target: Target, keys: &[Target], scope: ScopeId) -> bool {
        self.analysis().equals(target, scope).iter().any(|reached| keys.contains(reached))
    }

    /// Sub-queries of an expression: over reference tables, or about rows with the outer row's key.
    pub fn expr(&self, expr: &Expr, text: usize, keys: &[Target]) -> Result<(), Refusal> {
        for part in parts(expr) {
            match part {
                Part::Expr(part) => self.expr(part, text, keys)?,
                Part::Query(query) => self.subquery(query, text, keys)?,
            }
        }
        Ok(())
    }

    fn subquery(&self, query: &Query, text: usize, keys: &[Target]) -> Result<(), Refusal> {
        let level = self.analysis().queries.get(&(text, query.span));
        let inside = level.map(|level| level.inside.clone()).ok_or_else(|| unsupported("query", "this sub-query"))?;
        self.tied(inside.clone(), keys)?;
        self.settled(query, inside)
    }

    /// A sub-query over reference tables must give the same on every shard.
    fn settled(&self, query: &Query, inside: Range<RefId>) -> Result<(), Refusal> {
        let kinds = Kinds::of(self.analysis(), inside);
        let bounded = query.limit.is_some() || query.offset.is_some();
        if !kinds.sharded && bounded {
            return Err(unsupported("subquery-limit", "LIMIT in a sub-query over reference tables"));
        }
        let per_row = self.analysis().calls.iter().any(|call| {
            let within = call.place.1.start >= query.span.start && call.place.1.end <= query.span.end;
            within && functions::behaviour(call, self.planner.context) == functions::Behaviour::PerRow
        });
        if per_row { Err(unsupported("volatile", "a volatile function in a sub-query")) } else { Ok(()) }
    }

    /// All tables inside are reference tables or confined to the outer row's key.
    fn tied(&self, inside: Range<RefId>, keys: &[Target]) -> Result<(), Refusal> {
        for id in inside {
            let Some(item) = self.analysis().refs.get(id) else { continue };
            match &item.source {
                Source::Table { home: Home::Sharded(..), .. } => {
                    let key = self.analysis().key(id).map(|(_, key)| key);
                    let grouped = key.is_some_and(|key| self.reaches(key, keys, item.scope));
                    if !grouped || !self.same_group(id, keys) {
                        return Err(unsupported("subquery", "a sub-query whose rows several shards have"));
                    }
                }
                Source::Table { home: Home::Unsharded | Home::Catalog, .. } => {
                    return Err(unsupported("home-table", "a join with a table of the home shard"));
                }
                Source::Cte { inside } | Source::View { inside, .. } => {
                    let kinds = Kinds::of(self.analysis(), inside.clone());
                    let view = matches!(item.source, Source::View { .. });
                    if kinds.home || kinds.catalog || (kinds.sharded && !view) {
                        return Err(unsupported("cte", "a WITH query or view read in a sub-query"));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn same_group(&self, id: RefId, keys: &[Target]) -> bool {
        let of = |id: RefId| self.analysis().key(id).and_then(|(place, _)| group(place).map(str::to_string));
        let own = of(id);
        own.is_some()
            && keys.iter().any(|&(table, _)| match self.analysis().key(table) {
                Some(_) => of(table) == own,
                // A sub-query's output: what it equals inside has the group.
                None => true,
            })
    }

    /// How a FROM item's rows lie. `left`: keys of what stands before, for LATERAL.
    pub fn from(&self, item: &FromItem, text: usize, scope: ScopeId, left: &[Target]) -> Result<Spread, Refusal> {
        match item {
            FromItem::Table(table) => self.table(table, text),
            FromItem::Function(_) => Ok(Spread::Everywhere),
            FromItem::Query(query) => self.from_query(query, text, left),
            FromItem::Join(join) => self.join(join, text, scope, left),
        }
    }

    fn from_query(&self, item: &FromQuery, text: usize, left: &[Target]) -> Result<Spread, Refusal> {
        let id = self.analysis().items.get(&(text, item.span)).copied();
        let id = id.ok_or_else(|| unsupported("query", "this sub-query"))?;
        let level = self.analysis().queries.get(&(text, item.query.span));
        let inside = level.map(|level| level.inside.clone()).unwrap_or_default();
        if item.lateral && !left.is_empty() && Kinds::of(self.analysis(), inside.clone()).sharded {
            self.tied(inside, left)?;
            return Ok(Spread::Everywhere);
        }
        self.query_rows(&item.query, text, id)
    }

    /// A sub-query's rows, its keys as columns of item `id`.
    fn query_rows(&self, query: &Query, text: usize, id: RefId) -> Result<Spread, Refusal> {
        let level = self.analysis().queries.get(&(text, query.span));
        let level = level.ok_or_else(|| unsupported("query", "this sub-query"))?;
        let kinds = Kinds::of(self.analysis(), level.inside.clone());
        if kinds.home || kinds.catalog {
            return Err(unsupported("home-table", "a join with a table of the home shard"));
        }
        if !kinds.sharded {
            self.settled(query, level.inside.clone())?;
            return Ok(Spread::Everywhere);
        }
        let select = match &query.body {
            QueryBody::Select(select) => select,
            QueryBody::Nested(inner, _) if query.limit.is_none() && query.offset.is_none() => {
                return self.query_rows(inner, text, id);
            }
            _ => return Err(unsupported("set-operation", "a set operation in a sub-query")),
        };
        match self.rows(query, select, text, false)? {
            Spread::Everywhere => Ok(Spread::Everywhere),
            Spread::By { group, keys } => {
                let given =
                    level.outputs.iter().enumerate().filter(|(_, output)| {
                        output.origin.is_some_and(|origin| self.reaches(origin, &keys, level.scope))
                    });
                Ok(Spread::By { group, keys: given.map(|(at, _)| (id, at)).collect() })
            }
        }
    }

    pub fn table(&self, table: &FromTable, text: usize) -> Result<Spread, Refusal> {
        let id = self.analysis().items.get(&(text, table.span)).copied();
        let item = id.and_then(|id| Some((id, self.analysis().refs.get(id)?)));
        let (id, item) = item.ok_or_else(|| unsupported("table", "this table"))?;
        match &item.source {
            Source::Table { home: Home::Sharded(place, column), .. } => {
                if table.tablesample.is_some() {
                    return Err(unsupported("tablesample", "TABLESAMPLE"));
                }
                let group = group(place).unwrap_or_default().to_string();
                Ok(Spread::By { group, keys: vec![(id, *column)] })
            }
            Source::Table { home: Home::Reference, .. } if table.tablesample.is_some() => {
                Err(unsupported("tablesample", "TABLESAMPLE"))
            }
            Source::Table { home: Home::Reference, .. } => Ok(Spread::Everywhere),
            Source::Table { .. } => Err(unsupported("home-table", "a join with a table of the home shard")),
            Source::View { view, .. } => self.query_rows(&view.query, view.text, id),
            Source::Cte { inside } => {
                let kinds = Kinds::of(self.analysis(), inside.clone());
                if kinds.sharded || kinds.home || kinds.catalog {
                    return Err(unsupported("cte", "a WITH query over sharded tables"));
                }
                Ok(Spread::Everywhere)
            }
            Source::Query | Source::Function => Ok(Spread::Everywhere),
        }
    }

    fn join(&self, join: &Join, text: usize, scope: ScopeId, left: &[Target]) -> Result<Spread, Refusal> {
        let inner = self.analysis().joins.get(&(text, join.span)).copied().unwrap_or(scope);
        let one = self.from(&join.left, text, scope, left)?;
        let mut before = self.keys(&one);
        before.extend(left);
        let two = self.from(&join.right, text, scope, &before)?;
        let both = self.combine(one, two, inner, join.kind)?;
        if let JoinCondition::On(condition) = &join.condition {
            self.expr(condition, text, &self.keys(&both))?;
        }
        Ok(both)
    }

    /// Two items joined under what holds in `scope`.
    fn combine(&self, one: Spread, two: Spread, scope: ScopeId, kind: JoinKind) -> Result<Spread, Refusal> {
        let preserved = || unsupported("reference-preserved", "an outer join that keeps a reference table's rows");
        match (one, two, kind) {
            (Spread::Everywhere, Spread::Everywhere, _) => Ok(Spread::Everywhere),
            (by, Spread::Everywhere, JoinKind::Inner | JoinKind::Left) => Ok(by),
            (Spread::Everywhere, by, JoinKind::Inner | JoinKind::Right) => Ok(by),
            (Spread::By { group: a, keys: one }, Spread::By { group: b, keys: two }, kind) => {
                let tied = two.iter().any(|&key| self.reaches(key, &one, scope));
                if a != b || !tied {
                    return Err(unsupported("join-off-key", "a join that isn't on the tables' common sharding key"));
                }
                let keys = match kind {
                    JoinKind::Inner => one.into_iter().chain(two).collect(),
                    JoinKind::Left => one,
                    JoinKind::Right => two,
                    JoinKind::Full => Vec::new(),
                };
                Ok(Spread::By { group: a, keys })
            }
            _ => Err(preserved()),
        }
    }
}

fn named_window<'a>(select: &'a Select, name: &str) -> Option<&'a Window> {
    select.windows.iter().find(|window| window.name.value == name).map(|window| &window.window)
}
