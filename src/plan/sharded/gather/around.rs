//! What a sub-query's tables need not give because of reference tables that stand around it: each shard has these whole.

use std::collections::BTreeSet;

use super::joined::quoted;
use super::push::{Ask, certain, fixed};
use crate::plan::sharded::Piece;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::splice::{Edits, push, text};
use crate::plan::sharded::walk::bare;
use crate::sql::ast::{ExprKind, Span};

/// What a level's WHERE and inner joins ask of its reference tables alone.
pub struct Frame {
    level: ScopeId,
    asks: Vec<Asked>,
}

struct Asked {
    span: Span,
    refs: BTreeSet<RefId>,
    /// It leaves rows out by itself, unlike what only joins.
    filters: bool,
}

impl Frame {
    pub fn new(planner: &Planner<'_>, level: ScopeId, asks: &[Ask<'_>]) -> Self {
        let asked = |ask: &Ask<'_>| {
            let about = ask.about.as_ref().filter(|about| about.inner.is_empty() && !about.refs.is_empty())?;
            let whole = about.refs.iter().all(|&id| reference(planner, id, level));
            let fit = ask.scope == level && whole && fixed(planner, ask.expr.span);
            let filters = about.refs.len() == 1 || matches!(bare(ask.expr).kind, ExprKind::Or(_));
            fit.then(|| Asked { span: ask.expr.span, refs: about.refs.clone(), filters })
        };
        Self { level, asks: asks.iter().filter_map(asked).collect() }
    }
}

fn reference(planner: &Planner<'_>, id: RefId, level: ScopeId) -> bool {
    let item = planner.analysis.refs.get(id);
    planner.analysis.is_reference(id)
        && item.is_some_and(|item| item.scope == level && item.place.0 == 0 && !item.system)
}

/// A condition for each level around in which something is asked of reference tables that the members' columns must
/// equal. A row of theirs that matters stands beside a row of the level for which all of its conditions hold; so there
/// are rows of its reference tables for which those about them hold, and the equalities too.
pub fn around(planner: &Planner<'_>, base: &Edits, frames: &[Frame], members: &[RefId]) -> Vec<Vec<Piece>> {
    frames.iter().filter_map(|frame| of(planner, base, frame, members)).collect()
}

fn of(planner: &Planner<'_>, base: &Edits, frame: &Frame, members: &[RefId]) -> Option<Vec<Piece>> {
    let analysis = planner.analysis;
    if !frame.asks.iter().any(|ask| ask.filters) {
        return None;
    }
    let mut known: BTreeSet<RefId> = BTreeSet::new();
    let mut ties = Vec::new();
    for &member in members {
        let item = analysis.refs.get(member)?;
        for column in (0..item.columns.len()).map(|at| (member, at)) {
            for other in analysis.equals(column, item.scope) {
                if !members.contains(&other.0) && reference(planner, other.0, frame.level) {
                    known.insert(other.0);
                    ties.push(format!("{} = {}", quoted(analysis, column)?, quoted(analysis, other)?));
                }
            }
        }
    }
    loop {
        let before = known.len();
        for ask in &frame.asks {
            if !ask.refs.is_disjoint(&known) {
                known.extend(&ask.refs);
            }
        }
        if known.len() == before {
            break;
        }
    }
    let asked: Vec<&Asked> = frame.asks.iter().filter(|ask| ask.refs.is_subset(&known)).collect();
    let name = |id: &RefId| analysis.refs.get(*id).map(|item| item.name.as_str());
    let names: BTreeSet<Option<&str>> = known.iter().chain(members).map(name).collect();
    // A name means one thing only.
    if !asked.iter().all(|ask| certain(planner, ask.span, &known)) {
        return None;
    }
    if known.is_empty() || !asked.iter().any(|ask| ask.filters) || names.len() < known.len() + members.len() {
        return None;
    }
    let items: Vec<&str> =
        known.iter().filter_map(|&id| Some(analysis.refs.get(id)?.place.1.of(planner.sql))).collect();
    let mut out = vec![text(format!("EXISTS (SELECT 1 FROM {} WHERE {}", items.join(", "), ties.join(" AND ")))];
    for ask in asked {
        push(&mut out, text(" AND ("));
        base.apply(planner.sql, ask.span).into_iter().for_each(|piece| push(&mut out, piece));
        push(&mut out, text(")"));
    }
    push(&mut out, text(")"));
    Some(out)
}
