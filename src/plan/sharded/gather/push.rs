//! Conditions that go along to the shards with what is gathered: each is one that every row which matters meets.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::plan::sharded::analysis::*;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::scatter::Prover;
use crate::plan::sharded::splice::{Edits, push, text};
use crate::plan::sharded::walk::{Part, bare, conjuncts, has_query, parts};
use crate::plan::sharded::{Piece, functions};
use crate::sql::Lexer;
use crate::sql::ast::{Expr, ExprKind, Query, Span};

/// A conjunct of WHERE or ON, and the scope that it holds in.
pub struct Ask<'q> {
    pub scope: ScopeId,
    pub expr: &'q Expr,
    /// `None`: it isn't known what it concerns.
    pub about: Option<About>,
}

/// What a condition is about.
pub struct About {
    /// Items of FROM outside its sub-queries.
    pub refs: BTreeSet<RefId>,
    /// The items within its sub-queries.
    pub inner: Vec<Range<RefId>>,
}

impl About {
    /// What an expression is about; `None`: something in it isn't plain.
    pub fn of(planner: &Planner<'_>, expr: &Expr) -> Option<Self> {
        let mut queries = Vec::new();
        if !plain(planner, expr, &mut queries) {
            return None;
        }
        let analysis = planner.analysis;
        let mut inner = Vec::new();
        for query in &queries {
            inner.push(analysis.queries.get(&(0, query.span))?.inside.clone());
        }
        let mut refs = BTreeSet::new();
        for (place, targets) in analysis.columns.iter().filter(|(place, _)| place.0 == 0 && inside(expr.span, place.1))
        {
            // A column of several, as FULL JOIN … USING makes it: its name means another one elsewhere.
            if targets.is_empty() {
                return None;
            }
            for &target in targets.iter().filter(|(id, _)| !inner.iter().any(|range| range.contains(id))) {
                if !named(planner, place.1, target) {
                    return None;
                }
                refs.insert(target.0);
            }
        }
        Some(Self { refs, inner })
    }
}

impl<'q> Ask<'q> {
    pub fn new(planner: &Planner<'_>, scope: ScopeId, expr: &'q Expr) -> Self {
        Self { scope, expr, about: About::of(planner, expr) }
    }

    /// The items that it is known to concern.
    pub fn refs(&self) -> impl Iterator<Item = RefId> {
        self.about.iter().flat_map(|about| about.refs.iter().copied())
    }

    /// Whether it concerns these items and no other, all in its own scope: then a row of theirs that it isn't true for
    /// is in no answer.
    fn of(&self, planner: &Planner<'_>, members: &[RefId]) -> bool {
        let here = |id: &RefId| planner.analysis.refs.get(*id).is_some_and(|item| item.scope == self.scope);
        self.about
            .as_ref()
            .is_some_and(|about| !about.refs.is_empty() && about.refs.iter().all(|id| members.contains(id) && here(id)))
    }

    /// Whether it has sub-queries.
    pub fn has_query(&self) -> bool {
        self.about.as_ref().is_some_and(|about| !about.inner.is_empty())
    }
}

/// Whether a shard judges it as the rest would: no sub-query, or one about rows that each shard has whole.
pub fn goes(planner: &Planner<'_>, ask: &Ask<'_>, members: &[RefId]) -> bool {
    if !ask.of(planner, members) || !fixed(planner, ask.expr.span) {
        return false;
    }
    if !ask.has_query() {
        return true;
    }
    let keys: Vec<Target> = members.iter().filter_map(|&id| planner.analysis.key(id)).map(|(_, key)| key).collect();
    let inside = ask.about.iter().flat_map(|about| &about.inner).flat_map(|range| range.clone());
    let plain = |id: RefId| {
        let item = planner.analysis.refs.get(id);
        item.is_some_and(|item| !item.system && !matches!(item.source, Source::Cte { .. } | Source::Function))
    };
    !keys.is_empty() && inside.into_iter().all(plain) && Prover { planner }.expr(ask.expr, 0, &keys).is_ok()
}

/// Whether evaluating it apart gives the same: nothing in it differs from call to call.
pub fn fixed(planner: &Planner<'_>, span: Span) -> bool {
    planner.analysis.calls.iter().all(|call| {
        let within = call.place.0 == 0 && inside(span, call.place.1);
        !within || functions::behaviour(call, planner.context) <= functions::Behaviour::Once
    })
}

/// Whether `span` lies within `outer`.
pub fn inside(outer: Span, span: Span) -> bool {
    span.start >= outer.start && span.end <= outer.end
}

/// `(a AND b) OR (c AND d)`: where each branch asks something of the members alone, one of these holds.
pub fn alternatives(planner: &Planner<'_>, base: &Edits, ask: &Ask<'_>, members: &[RefId]) -> Option<Vec<Piece>> {
    let ExprKind::Or(branches) = &bare(ask.expr).kind else { return None };
    let mut out = Vec::new();
    for (at, branch) in branches.iter().enumerate() {
        let asks = conjuncts(branch).into_iter().map(|expr| Ask::new(planner, ask.scope, expr));
        let own: Vec<Ask<'_>> =
            asks.filter(|ask| !ask.has_query() && ask.of(planner, members) && fixed(planner, ask.expr.span)).collect();
        if own.is_empty() {
            return None;
        }
        push(&mut out, text(if at == 0 { "(" } else { " OR (" }));
        conjunction(planner, base, own.iter(), &mut out);
        push(&mut out, text(")"));
    }
    Some(out)
}

/// Whether names without their table's mean one column where these items stand beside each other. A join's USING makes one
/// of columns that are several without it.
pub fn certain(planner: &Planner<'_>, span: Span, items: &BTreeSet<RefId>) -> bool {
    let analysis = planner.analysis;
    let places = analysis.columns.keys().filter(|place| place.0 == 0 && inside(span, place.1));
    places.map(|place| place.1.of(planner.sql).as_bytes()).all(|sql| {
        let mut names = Lexer::new(sql, planner.context.standard_strings).filter(|token| token.is_name());
        let (Some(first), None) = (names.next(), names.next()) else { return true };
        let name = first.name(sql);
        let has =
            |id: &&RefId| analysis.refs.get(**id).is_some_and(|item| item.columns.iter().any(|c| c.name == *name));
        items.iter().filter(has).count() <= 1
    })
}

/// Conditions, all of which are to hold.
pub fn conjunction<'a, 'q: 'a>(
    planner: &Planner<'_>,
    base: &Edits,
    asks: impl Iterator<Item = &'a Ask<'q>>,
    out: &mut Vec<Piece>,
) {
    for (at, ask) in asks.enumerate() {
        push(out, text(if at == 0 { "(" } else { " AND (" }));
        for piece in base.apply(planner.sql, ask.expr.span) {
            push(out, piece);
        }
        push(out, text(")"));
    }
}

/// The columns that an expression without sub-queries names; `None`: something in it isn't plain.
pub fn refers(planner: &Planner<'_>, expr: &Expr) -> Option<Vec<Target>> {
    if has_query(expr) || !plain(planner, expr, &mut Vec::new()) {
        return None;
    }
    let columns = planner.analysis.columns.iter();
    let within = columns.filter(|(place, _)| place.0 == 0 && inside(expr.span, place.1));
    let mut found = Vec::new();
    for (_, targets) in within {
        if targets.is_empty() {
            return None;
        }
        found.extend(targets);
    }
    Some(found)
}

/// Whether a column goes by its table's own names: those of a join's alias mean nothing without the join.
fn named(planner: &Planner<'_>, span: Span, target: Target) -> bool {
    let sql = span.of(planner.sql).as_bytes();
    let tokens = Lexer::new(sql, planner.context.standard_strings).filter(|token| token.is_name());
    let names: Vec<String> = tokens.map(|token| token.name(sql).to_string()).collect();
    let mut names = names.iter().rev();
    let column = planner.analysis.column(target).is_some_and(|column| names.next() == Some(&column.name));
    let item = planner.analysis.refs.get(target.0);
    column && names.next().is_none_or(|name| item.is_some_and(|item| item.name == *name))
}

fn plain<'q>(planner: &Planner<'_>, expr: &'q Expr, queries: &mut Vec<&'q Query>) -> bool {
    match &expr.kind {
        ExprKind::WholeRow(_) | ExprKind::Field { .. } | ExprKind::FieldStar(_) => return false,
        ExprKind::Column(name) if !planner.analysis.columns.contains_key(&(0, name.span)) => return false,
        _ => {}
    }
    parts(expr).into_iter().all(|part| match part {
        Part::Expr(part) => plain(planner, part, queries),
        Part::Query(query) => {
            queries.push(query);
            true
        }
    })
}
