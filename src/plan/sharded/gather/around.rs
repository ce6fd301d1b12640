//! What a sub-query's tables need not give because of reference tables that stand around it: each shard has these whole.

use std::collections::BTreeSet;

use super::joined::quoted;
use super::push::{Ask, certain, fixed};
use super::reference::{groups, joined, reference};
use crate::plan::sharded::Piece;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::splice::{Edits, push, text};
use crate::plan::sharded::walk::bare;
use crate::sql::ast::{ExprKind, Span};

/// What a level's WHERE and inner joins ask of its reference tables alone.
pub struct Frame {
    asks: Vec<Asked>,
}

struct Asked {
    span: Span,
    refs: BTreeSet<RefId>,
    /// It leaves rows out by itself, unlike what only joins.
    filters: bool,
    /// It is an equality that joins them.
    joins: bool,
}

impl Frame {
    pub fn new(planner: &Planner<'_>, level: ScopeId, asks: &[Ask<'_>]) -> Self {
        let asked = |ask: &Ask<'_>| {
            let about = ask.about.as_ref().filter(|about| about.inner.is_empty() && !about.refs.is_empty())?;
            let whole = about.refs.iter().all(|&id| reference(planner, id, level));
            let fit = ask.scope == level && whole && fixed(planner, ask.expr.span);
            let filters = about.refs.len() == 1 || matches!(bare(ask.expr).kind, ExprKind::Or(_));
            let joins = joined(planner, ask).is_some();
            fit.then(|| Asked { span: ask.expr.span, refs: about.refs.clone(), filters, joins })
        };
        Self { asks: asks.iter().filter_map(asked).collect() }
    }

    fn tables(&self) -> BTreeSet<RefId> {
        self.asks.iter().flat_map(|ask| ask.refs.iter().copied()).collect()
    }
}

/// A condition for each level around in which something is asked of reference tables that the members' columns must
/// equal. A row of theirs that matters stands beside a row of the level for which all of its conditions hold; so there
/// are rows of its reference tables for which those about them hold, and the equalities too.
pub fn around(planner: &Planner<'_>, base: &Edits, frames: &[Frame], members: &[RefId]) -> Vec<Vec<Piece>> {
    let one = |frame: &Frame| {
        let tables = frame.tables();
        let joins = frame.asks.iter().filter(|ask| ask.joins).map(|ask| ask.refs.clone());
        groups(&tables, joins)
            .into_iter()
            .filter_map(|group| of(planner, base, frame, members, &group))
            .collect::<Vec<_>>()
    };
    frames.iter().flat_map(one).collect()
}

fn of(
    planner: &Planner<'_>,
    base: &Edits,
    frame: &Frame,
    members: &[RefId],
    group: &BTreeSet<RefId>,
) -> Option<Vec<Piece>> {
    let analysis = planner.analysis;
    // A name means one thing only.
    let fit = |ask: &&Asked| ask.refs.is_subset(group) && certain(planner, ask.span, group);
    let asked: Vec<&Asked> = frame.asks.iter().filter(fit).collect();
    if !asked.iter().any(|ask| ask.filters) {
        return None;
    }
    let mut ties = Vec::new();
    for &member in members {
        let item = analysis.refs.get(member)?;
        for column in (0..item.columns.len()).map(|at| (member, at)) {
            for other in analysis.equals(column, item.scope) {
                if !members.contains(&other.0) && group.contains(&other.0) {
                    ties.push(format!("{} = {}", quoted(analysis, column)?, quoted(analysis, other)?));
                }
            }
        }
    }
    let name = |id: &RefId| analysis.refs.get(*id).map(|item| item.name.as_str());
    let names: BTreeSet<Option<&str>> = group.iter().chain(members).map(name).collect();
    if ties.is_empty() || names.len() < group.len() + members.len() {
        return None;
    }
    let items: Vec<&str> =
        group.iter().filter_map(|&id| Some(analysis.refs.get(id)?.place.1.of(planner.sql))).collect();
    let mut out = vec![text(format!("EXISTS (SELECT 1 FROM {} WHERE {}", items.join(", "), ties.join(" AND ")))];
    for ask in asked {
        push(&mut out, text(" AND ("));
        base.apply(planner.sql, ask.span).into_iter().for_each(|piece| push(&mut out, piece));
        push(&mut out, text(")"));
    }
    push(&mut out, text(")"));
    Some(out)
}
