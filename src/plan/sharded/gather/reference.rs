//! What is gathered need not come where reference tables that it is joined with ask for something: each shard has these whole.

use std::collections::BTreeSet;

use super::push::{About, Ask, alternatives, certain, conjunction, fixed};
use crate::plan::sharded::Piece;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::splice::{Edits, push, text};
use crate::plan::sharded::walk::bare;
use crate::sql::ast::{Expr, ExprKind};

/// For each group of reference tables that are joined with the members, where something is asked of them: that some rows
/// of theirs go with a row of the members.
///
/// A row of the members that is in an answer stands beside one row of each of the tables, for which all conditions hold;
/// so those about any of the tables do. Tables are looked at together only where an equality joins them: others would
/// be multiplied with each other, and a shard would have more to do with them than with its own rows.
pub fn references(planner: &Planner<'_>, base: &Edits, asks: &[Ask<'_>], members: &[RefId]) -> Vec<Vec<Piece>> {
    let Some(scope) = members.first().and_then(|&id| planner.analysis.refs.get(id)).map(|item| item.scope) else {
        return Vec::new();
    };
    let fit = |ask: &&Ask<'_>| {
        let refs = ask.about.as_ref().map(|about| &about.refs);
        ask.scope == scope
            && !ask.has_query()
            && fixed(planner, ask.expr.span)
            && refs.is_some_and(|refs| refs.iter().all(|&id| members.contains(&id) || reference(planner, id, scope)))
    };
    let fit: Vec<&Ask<'_>> = asks.iter().filter(fit).collect();
    let tables: BTreeSet<RefId> = fit.iter().flat_map(|ask| ask.refs()).filter(|id| !members.contains(id)).collect();
    let joins = fit.iter().filter_map(|ask| joined(planner, ask)).filter(|refs| refs.is_subset(&tables));
    let groups = groups(&tables, joins);
    groups.iter().filter_map(|group| exists(planner, base, &fit, members, group)).collect()
}

/// A reference table in this scope's FROM, in the client's own text.
pub fn reference(planner: &Planner<'_>, id: RefId, scope: ScopeId) -> bool {
    let item = planner.analysis.refs.get(id);
    planner.analysis.is_reference(id)
        && item.is_some_and(|item| item.scope == scope && item.place.0 == 0 && !item.system)
}

fn exists(
    planner: &Planner<'_>,
    base: &Edits,
    asks: &[&Ask<'_>],
    members: &[RefId],
    group: &BTreeSet<RefId>,
) -> Option<Vec<Piece>> {
    let touches = |ask: &&&Ask<'_>| ask.refs().any(|id| group.contains(&id)) && certain(planner, ask.expr.span, group);
    let whole = |ask: &&Ask<'_>| ask.refs().all(|id| members.contains(&id) || group.contains(&id));
    let (asked, wider): (Vec<&Ask<'_>>, Vec<&Ask<'_>>) = asks.iter().filter(touches).copied().partition(whole);
    // What concerns them and no row of the members is the same for all of these.
    if !asked.iter().any(|ask| ask.refs().any(|id| members.contains(&id))) {
        return None;
    }
    let own: Vec<RefId> = group.iter().copied().collect();
    let parts: Vec<Vec<Piece>> = wider.iter().filter_map(|ask| alternatives(planner, base, ask, &own)).collect();
    // Joins alone leave nothing out, as a rule.
    let filters = |ask: &&Ask<'_>| {
        let alone = ask.refs().all(|id| group.contains(&id));
        alone && (ask.refs().count() == 1 || matches!(bare(ask.expr).kind, ExprKind::Or(_)))
    };
    if parts.is_empty() && !asked.iter().any(filters) {
        return None;
    }
    let items = group.iter().filter_map(|id| planner.analysis.refs.get(*id));
    let items: Vec<&str> = items.map(|item| item.place.1.of(planner.sql)).collect();
    let mut out = vec![text(format!("EXISTS (SELECT 1 FROM {} WHERE ", items.join(", ")))];
    conjunction(planner, base, asked.into_iter(), &mut out);
    for part in parts {
        push(&mut out, text(" AND ("));
        part.into_iter().for_each(|piece| push(&mut out, piece));
        push(&mut out, text(")"));
    }
    push(&mut out, text(")"));
    Some(out)
}

/// The tables, those that are joined with each other together.
pub fn groups(tables: &BTreeSet<RefId>, joins: impl Iterator<Item = BTreeSet<RefId>>) -> Vec<BTreeSet<RefId>> {
    let mut groups: Vec<BTreeSet<RefId>> = tables.iter().map(|&id| BTreeSet::from([id])).collect();
    for join in joins {
        let (touched, mut others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| !group.is_disjoint(&join));
        others.push(touched.into_iter().flatten().collect());
        groups = others;
    }
    groups.sort();
    groups
}

/// The tables that a condition joins: an equality of what is of one with what is of others.
pub fn joined(planner: &Planner<'_>, ask: &Ask<'_>) -> Option<BTreeSet<RefId>> {
    let ExprKind::Binary { operator, qualified: false, left, right } = &bare(ask.expr).kind else { return None };
    let side = |expr: &Expr| About::of(planner, expr).map(|about| about.refs).filter(|refs| !refs.is_empty());
    let (left, right) = (side(left)?, side(right)?);
    (operator == "=" && left.is_disjoint(&right)).then(|| left.union(&right).copied().collect())
}
