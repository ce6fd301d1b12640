//! Goes through a statement whose tables are gathered, level by level: what becomes an input, and what goes along with it.

use std::ops::Range;

use super::around::{Frame, around};
use super::joined::{Left, Outer, Together, left, quoted, together};
use super::push::{Ask, alternatives, fixed, goes, inside};
use super::reference::references;
use super::whole::{Whole, whole};
use crate::plan::sharded::Piece;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::functions::is_aggregate;
use crate::plan::sharded::names::{figured_name, output_name};
use crate::plan::sharded::order::normal;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::splice::{Edits, text};
use crate::plan::sharded::walk::{Part, any, conjuncts, parts};
use crate::sql::ast::*;
use crate::sql::quote::ident;

/// An input in the making: a table, or several that are joined on the shards.
#[derive(Default)]
pub struct Draft {
    pub members: Vec<RefId>,
    /// Tables that are joined with them by LEFT JOIN.
    pub outer: Vec<Outer>,
    /// Conditions that its rows must meet.
    pub filters: Vec<Vec<Piece>>,
    /// Those among them that need not be asked again.
    pub removed: Vec<Span>,
    /// Where the rest's FROM has its first item, for several members.
    pub from: u32,
    /// Rows that are the same count as one.
    pub set: bool,
}

impl Draft {
    /// A table by itself.
    pub fn alone(id: RefId) -> Self {
        Self { members: vec![id], ..Self::default() }
    }

    /// All of its tables.
    pub fn tables(&self) -> impl Iterator<Item = RefId> + '_ {
        self.members.iter().copied().chain(self.outer.iter().map(|outer| outer.id))
    }
}

/// All that was found.
pub struct Levels<'p, 'b> {
    planner: &'p Planner<'b>,
    base: &'p Edits,
    /// What is evaluated once.
    once: &'p [String],
    /// Reference tables are gathered too.
    all: bool,
    pub drafts: Vec<Draft>,
    pub wholes: Vec<Whole>,
    /// Items that the rest doesn't read.
    pub taken: Vec<Range<RefId>>,
    /// Conditions that went to the shards, and that the rest need not ask again.
    pub removed: Vec<Span>,
    /// `*` in so many words, where something of ours stands in FROM.
    pub stars: Vec<(Span, String)>,
    /// The levels around the one that is looked at.
    frames: Vec<Frame>,
    /// The next query is looked at as a set: EXISTS, IN, ANY, ALL.
    set: bool,
    /// Outputs without an alias that have a whole row in them, and their names.
    pub labels: Vec<(Span, String)>,
    /// A whole row stands beside groups that it isn't among: it hangs on a primary key.
    pub loose: bool,
    /// Selects with GROUP BY.
    pub grouped: usize,
}

/// A level's tables, sub-queries and conditions.
#[derive(Default)]
struct Reads<'q> {
    tables: Vec<RefId>,
    /// With the items that they are.
    queries: Vec<(RefId, &'q Query)>,
    conditions: Vec<(ScopeId, &'q Expr)>,
    /// Tables joined by LEFT JOIN, with the scope of its condition.
    lefts: Vec<(RefId, ScopeId, &'q Expr)>,
}

impl<'p, 'b> Levels<'p, 'b> {
    pub fn new(planner: &'p Planner<'b>, base: &'p Edits, once: &'p [String], all: bool) -> Self {
        Self {
            planner,
            base,
            once,
            all,
            drafts: Vec::new(),
            wholes: Vec::new(),
            taken: Vec::new(),
            removed: Vec::new(),
            stars: Vec::new(),
            frames: Vec::new(),
            set: false,
            labels: Vec::new(),
            loose: false,
            grouped: 0,
        }
    }

    /// Whether the rest doesn't read an item.
    pub fn is_taken(&self, id: RefId) -> bool {
        self.taken.iter().any(|range| range.contains(&id))
    }

    /// Whether a place isn't in the rest any more.
    pub fn is_gone(&self, span: Span) -> bool {
        self.removed.iter().chain(self.wholes.iter().map(|whole| &whole.span)).any(|gone| inside(*gone, span))
    }

    /// A query; `top`: the statement itself.
    pub fn query(&mut self, query: &Query, top: bool) {
        let set = std::mem::take(&mut self.set) && query.limit.is_none() && query.offset.is_none();
        if !top && let Some(found) = whole(self.planner, query, self.once) {
            self.taken.push(found.inside.clone());
            self.wholes.push(found);
            return;
        }
        for cte in query.with.iter().flat_map(|with| &with.items) {
            if let Statement::Query(query) = &cte.statement {
                self.query(query, false);
            }
        }
        self.set = set;
        self.body(&query.body, Some(query));
        let bounds = query.limit.iter().filter_map(|limit| limit.count.as_ref());
        let bounds = bounds.chain(query.offset.iter().map(|offset| &offset.count));
        let order = query.order_by.iter().flat_map(|order| &order.items).map(|item| &item.expr);
        order.chain(bounds).for_each(|expr| self.expr(expr));
    }

    fn body(&mut self, body: &QueryBody, query: Option<&Query>) {
        let set = std::mem::take(&mut self.set);
        match body {
            QueryBody::Select(select) => self.select(select, query, set && self.multiplies(select)),
            // Its columns take their types from the other branches too: it isn't looked at by itself.
            QueryBody::Nested(query, _) => self.query(query, true),
            QueryBody::SetOperation(operation) => {
                self.body(&operation.left, None);
                self.body(&operation.right, None);
            }
            QueryBody::Values(values) => {
                values.rows.iter().flat_map(|row| &row.values).for_each(|expr| self.expr(expr));
            }
            QueryBody::Table(..) => {}
        }
    }

    /// Whether a row more of one that is there gives no more than rows that are there.
    fn multiplies(&self, select: &Select) -> bool {
        let plain = |item: &SelectItem| match &item.kind {
            SelectItemKind::Expr(expr) => {
                let windowed = |expr: &Expr| matches!(&expr.kind, ExprKind::Function(call) if call.over.is_some());
                !self.planner.aggregates(expr) && !any(expr, &windowed)
            }
            SelectItemKind::Star(_) => true,
        };
        let on = select.distinct.as_ref().is_some_and(|distinct| distinct.on.is_some());
        let groups = select.group_by.is_some() || select.having.is_some();
        !on && !groups && select.items.iter().all(plain) && fixed(self.planner, select.span)
    }

    fn select(&mut self, select: &Select, query: Option<&Query>, set: bool) {
        self.label(select);
        self.grouped += usize::from(select.group_by.is_some());
        self.loose |= loose_rows(self.planner, select, query);
        let mut reads = Reads::default();
        for item in select.from.iter().flat_map(|from| &from.items) {
            self.from(item, &mut reads);
        }
        let frames = self.frames.len();
        if let Some(frame) = self.inputs(select, query, &reads, set) {
            self.frames.push(frame);
        }
        for (id, query) in reads.queries {
            let wholes = self.wholes.len();
            self.query(query, false);
            self.wholes
                .iter_mut()
                .skip(wholes)
                .filter(|whole| whole.span == query.span)
                .for_each(|whole| whole.item = Some(id));
        }
        let items = select.items.iter().filter_map(|item| match &item.kind {
            SelectItemKind::Expr(expr) => Some(expr),
            SelectItemKind::Star(_) => None,
        });
        let having = select.having.iter().map(|having| &having.expr);
        let groups = select.group_by.iter().flat_map(|group| &group.items).flat_map(|item| match item {
            GroupItem::Expr(expr) => std::slice::from_ref(expr),
            GroupItem::Sets(_, exprs) => exprs.as_slice(),
            GroupItem::Empty(_) => &[],
        });
        let on = select.distinct.iter().filter_map(|distinct| distinct.on.as_ref()).flatten();
        let windows = select.windows.iter().map(|window| &window.window);
        let windows = windows.flat_map(|window| {
            window.partition_by.iter().chain(window.order_by.iter().map(|item| &item.expr)).chain(&window.bounds)
        });
        let filter = select.filter.iter().map(|filter| &filter.expr);
        let conditions = reads.conditions.iter().map(|(_, expr)| *expr);
        let groups = items.chain(having).chain(groups).chain(on);
        groups.chain(windows).chain(filter).chain(conditions).for_each(|expr| self.expr(expr));
        self.frames.truncate(frames);
    }

    /// Notes the outputs' names that PostgreSQL takes from whole rows, which will be other expressions.
    fn label(&mut self, select: &Select) {
        for item in select.items.iter().filter(|item| item.alias.is_none()) {
            let rows = &self.planner.analysis.rows;
            if let SelectItemKind::Expr(expr) = &item.kind
                && rows.iter().any(|row| inside(item.span, row.span))
            {
                self.labels.push((item.span, figured_name(expr)));
            }
        }
    }

    /// Sub-queries in an expression.
    fn expr(&mut self, expr: &Expr) {
        if self.removed.contains(&expr.span) {
            return;
        }
        for part in parts(expr) {
            match part {
                Part::Expr(part) => self.expr(part),
                Part::Query(query) if self.wholes.iter().any(|whole| whole.span == query.span) => {}
                Part::Query(query) => {
                    self.set = matches!(
                        expr.kind,
                        ExprKind::Exists(_) | ExprKind::InQuery { .. } | ExprKind::Quantified { .. }
                    );
                    self.query(query, false);
                    self.set = false;
                }
            }
        }
    }

    fn from<'q>(&mut self, item: &'q FromItem, reads: &mut Reads<'q>) {
        let analysis = self.planner.analysis;
        match item {
            FromItem::Table(table) => reads.tables.extend(analysis.items.get(&(0, table.span))),
            FromItem::Query(query) => {
                reads.queries.extend(analysis.items.get(&(0, query.span)).map(|&id| (id, &query.query)));
            }
            FromItem::Function(function) => function.functions.iter().for_each(|expr| self.expr(expr)),
            FromItem::Join(join) => {
                self.from(&join.left, reads);
                self.from(&join.right, reads);
                if let (JoinCondition::On(condition), Some(scope)) =
                    (&join.condition, analysis.joins.get(&(0, join.span)))
                {
                    reads.conditions.push((*scope, condition));
                    if let (JoinKind::Left, FromItem::Table(table), None) = (join.kind, &join.right, &join.alias) {
                        let id = analysis.items.get(&(0, table.span));
                        reads.lefts.extend(id.map(|&id| (id, *scope, condition)));
                    }
                }
            }
        }
    }

    /// A level's tables as inputs, with what is asked of them.
    fn inputs(&mut self, select: &Select, query: Option<&Query>, reads: &Reads<'_>, set: bool) -> Option<Frame> {
        let (planner, analysis) = (self.planner, self.planner.analysis);
        let items = || reads.tables.iter().filter_map(|&id| Some((id, analysis.refs.get(id)?)));
        let level = items().map(|(_, item)| item.level_scope).next()?;
        let mut conditions = reads.conditions.clone();
        conditions.extend(select.filter.iter().map(|filter| (level, &filter.expr)));
        let asks: Vec<Ask<'_>> = (conditions.iter())
            .flat_map(|(scope, condition)| conjuncts(condition).into_iter().map(|expr| (*scope, expr)))
            .map(|(scope, expr)| Ask::new(planner, scope, expr))
            .collect();
        let all = self.all;
        let gathered = |item: &Ref| match &item.source {
            Source::Table { home: Home::Sharded(..) | Home::Unsharded } => true,
            Source::Table { home: Home::Reference } => all,
            _ => false,
        };
        let sharded: Vec<RefId> = reads.tables.iter().copied().filter(|&id| analysis.key(id).is_some()).collect();
        let mut inputs = together(planner, &sharded, level);
        let lefts = reads.lefts.iter().map(|&(id, scope, expr)| Left { id, ask: Ask::new(planner, scope, expr) });
        left(planner, &mut inputs, &lefts.collect::<Vec<_>>(), self.base, level);
        let several = |input: &Together| input.members.len() + input.outer.len() > 1;
        if inputs.iter().any(several) && !self.expand(select, query) {
            inputs = sharded.iter().map(|&id| Together::alone(id)).collect();
        }
        for (id, _) in items().filter(|(id, item)| gathered(item) && !sharded.contains(id)) {
            inputs.push(Together::alone(id));
        }
        let from = select.from.as_ref().map_or(0, |from| from.span.start + "FROM".len() as u32);
        for input in inputs {
            let mut filters: Vec<Vec<Piece>> = input.ties.into_iter().map(|tie| vec![text(tie)]).collect();
            let mut removed = Vec::new();
            for ask in &asks {
                if goes(planner, ask, &input.members) {
                    filters.push(self.base.apply(planner.sql, ask.expr.span));
                    removed.push(ask.expr.span);
                    self.taken.extend(ask.about.iter().flat_map(|about| about.inner.iter().cloned()));
                } else {
                    filters.extend(alternatives(planner, self.base, ask, &input.members));
                }
            }
            if input.members.iter().all(|&id| analysis.key(id).is_some()) {
                filters.extend(references(planner, self.base, &asks, &input.members));
                filters.extend(around(planner, self.base, &self.frames, &input.members));
            }
            let tables = input.members.iter().copied().chain(input.outer.iter().map(|outer| outer.id));
            filters.extend(tables.filter_map(|id| privileges(analysis, id)).map(|asked| vec![text(asked)]));
            self.removed.extend(&removed);
            let Together { members, outer, .. } = input;
            self.drafts.push(Draft { members, outer, filters, removed, from, set });
        }
        Some(Frame::new(planner, level, &asks))
    }

    /// Writes `*` out. `false`: its columns aren't known one by one.
    fn expand(&mut self, select: &Select, query: Option<&Query>) -> bool {
        let Some(star) = star_list(self.planner, select, query) else { return false };
        self.stars.extend(star);
        true
    }
}

/// What is always true, and for which PostgreSQL asks for the privilege on all of a table's columns, as it does for a `*`
/// that needs none of them (`markVarForSelectPriv`).
pub fn privileges(analysis: &Analysis, id: RefId) -> Option<String> {
    let idle = analysis.idle_stars.iter().any(|star| star.tables.contains(&id));
    let name = &analysis.refs.get(id).filter(|_| idle)?.name;
    Some(format!("{}.* IS NULL OR true", ident(name)))
}

/// Puts such conditions in the place of the stars.
pub fn idle_stars(analysis: &Analysis, edits: &mut Edits) {
    for star in &analysis.idle_stars {
        let asked = star.tables.iter().filter_map(|&id| privileges(analysis, id));
        edits.replace(star.span, asked.collect::<Vec<_>>().join(", "));
    }
}

/// A `*` of a select list that stands for all of FROM, and what stands for it where FROM gets more columns. The inner
/// `None`: there is none. `None`: its columns aren't known one by one.
pub fn star_list(planner: &Planner<'_>, select: &Select, query: Option<&Query>) -> Option<Option<(Span, String)>> {
    let analysis = planner.analysis;
    let idle = |item: &SelectItem| analysis.idle_stars.iter().any(|star| star.span == item.span);
    let star = |item: &&SelectItem| matches!(item.kind, SelectItemKind::Star(_)) && !idle(item);
    let all = |item: &SelectItem| matches!(item.kind, SelectItemKind::Star(None));
    let stars: Vec<&SelectItem> = select.items.iter().filter(star).collect();
    let star = match stars.as_slice() {
        [one] if all(one) => *one,
        many => return (!many.iter().any(|item| all(item))).then_some(None),
    };
    let level = query.and_then(|query| analysis.queries.get(&(0, query.span)))?;
    let before = select.items.iter().take_while(|item| item.span != star.span).count();
    let behind = select.items.len() - before - 1;
    let width = level.outputs.len().checked_sub(before + behind)?;
    let outputs = level.outputs.iter().skip(before).take(width);
    let list: Option<Vec<String>> = outputs
        .map(|output| {
            let origin = output.origin?;
            // An alias of a join hides its tables.
            let same = analysis.column(origin)?.name == output.name;
            same.then(|| quoted(analysis, origin)).flatten()
        })
        .collect();
    let list = list.filter(|list| !level.open && !list.is_empty())?;
    Some(Some((star.span, list.join(", "))))
}

/// Whether a whole row stands beside groups, neither one of them nor within an aggregate.
fn loose_rows(planner: &Planner<'_>, select: &Select, query: Option<&Query>) -> bool {
    let Some(group) = &select.group_by else { return false };
    if planner.analysis.rows.is_empty() {
        return false;
    }
    let outputs = || {
        select.items.iter().filter_map(|item| match &item.kind {
            SelectItemKind::Expr(expr) => Some((item, expr)),
            SelectItemKind::Star(_) => None,
        })
    };
    let mut groups = Vec::new();
    for item in &group.items {
        let GroupItem::Expr(expr) = item else { continue };
        groups.push(normal(planner, expr));
        let ordinal = expr.span.of(planner.sql).parse::<usize>().ok();
        let meant = outputs().enumerate().filter(|(at, (item, output))| {
            let name = item.alias.as_ref().map_or_else(|| figured_name(output), |alias| alias.value.clone());
            ordinal == Some(at + 1) || output_name(expr) == Some(&name)
        });
        groups.extend(meant.map(|(_, (_, output))| normal(planner, output)));
    }
    let order = query.and_then(|query| query.order_by.as_ref());
    let sorted = order.iter().flat_map(|order| &order.items).map(|item| &item.expr);
    let exprs = outputs().map(|(_, expr)| expr).chain(select.having.as_ref().map(|having| &having.expr)).chain(sorted);
    exprs.into_iter().any(|expr| is_loose(planner, expr, &groups))
}

fn is_loose(planner: &Planner<'_>, expr: &Expr, groups: &[String]) -> bool {
    if planner.analysis.rows.iter().all(|row| !inside(expr.span, row.span)) || groups.contains(&normal(planner, expr)) {
        return false;
    }
    let aggregate = |call: &Call| {
        let name = call.name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
        call.over.is_none() && is_aggregate(planner.context, name)
    };
    match &expr.kind {
        ExprKind::Column(_) | ExprKind::WholeRow(_) => true,
        ExprKind::Function(call) if aggregate(call) => false,
        _ => parts(expr).into_iter().any(|part| match part {
            Part::Expr(part) => is_loose(planner, part, groups),
            Part::Query(query) => {
                let level = planner.analysis.queries.get(&(0, query.span));
                let own = |id: RefId| level.is_some_and(|level| level.inside.contains(&id));
                planner.analysis.rows.iter().any(|row| inside(query.span, row.span) && !own(row.id))
            }
        }),
    }
}
