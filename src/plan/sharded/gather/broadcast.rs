//! Inputs that may go along whole to the shards of another one, which then answer the statement as over reference tables.

use super::{Levels, Placed, levels, place};
use crate::catalog::schema::Oid;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::confine::conditions;
use crate::plan::sharded::names::Resolver;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::splice::Edits;
use crate::plan::sharded::{Access, Broadcast, Input, Piece, aggregate};
use crate::sql::ast::QueryBody;
use crate::sql::quote::ident;

/// So many inputs are tried, each as the one that stays.
const MOST: usize = 4;

/// For each input: the statement where that one's tables are read on their shards and the others' rows go along to all of
/// these. There they are what a reference table is, the same rows on every shard, so all that is proven of statements with
/// reference tables holds: joins, groups, orders, bounds over them are the upper rungs' work, and an outer join that keeps
/// their rows is refused. What isn't the same: they have no primary key to group by. The rows are those that the rest
/// would have, with conditions that they are known to meet left out; the conditions on what stays are asked there.
/// In which of these ways a statement runs, if any, the servers' estimates decide.
pub fn plan(
    planner: &Planner<'_>,
    base: &Edits,
    levels: &Levels<'_, '_>,
    made: &[Placed],
    inputs: &[Input],
) -> Vec<Broadcast> {
    let analysis = planner.analysis;
    let QueryBody::Select(select) = &planner.query.body else { return Vec::new() };
    let Ok(level) = planner.level(planner.query) else { return Vec::new() };
    // Only the statement's own groups are looked at.
    let deep = levels.grouped == usize::from(select.group_by.is_some());
    let plain = |one: &Placed| {
        let fits = |&id: &RefId| {
            let item = analysis.refs.get(id);
            item.is_some_and(|item| item.place.0 == 0 && (deep || item.level_scope == level.scope))
        };
        one.tables.iter().all(fits) && made.iter().filter(|other| other.input == one.input).count() == 1
    };
    let fits = (2..=MOST).contains(&made.len())
        // All inputs are tables.
        && made.len() == inputs.len()
        && made.iter().all(plain)
        && analysis.rows.is_empty()
        && aggregate::dependents(planner, select).is_empty();
    if !fits {
        return Vec::new();
    }
    (made.iter()).filter_map(|stays| broadcast(planner, base, levels, made, stays)).collect()
}

fn broadcast(
    planner: &Planner<'_>,
    base: &Edits,
    levels: &Levels<'_, '_>,
    made: &[Placed],
    stays: &Placed,
) -> Option<Broadcast> {
    let others = || made.iter().filter(|other| other.input != stays.input);
    let mut resolver = Resolver::new(planner.context, planner.params, planner.sql);
    resolver.query(planner.query, 0).ok()?;
    let mut analysis = resolver.out;
    let mut edits = base.clone();
    for other in others() {
        place(planner, other, &mut edits);
        for span in &other.removed {
            edits.replace(*span, "true");
        }
        for &id in &other.tables {
            let item = analysis.refs.get_mut(id)?;
            item.source = Source::Table { home: Home::Reference };
            item.primary = None;
        }
    }
    for (span, list) in &levels.stars {
        edits.replace(*span, list.clone());
    }
    levels::idle_stars(planner.analysis, &mut edits);
    for (span, id, name) in &planner.analysis.long_names {
        if let Some(item) = planner.analysis.refs.get(*id).filter(|_| others().any(|made| made.tables.contains(id))) {
            edits.replace(*span, format!("{}{name}", ident(&item.name)));
        }
    }
    let access = conditions(&analysis, analysis.sharded(0..analysis.refs.len()));
    let mut over = Planner {
        sql: planner.sql,
        query: planner.query,
        context: planner.context,
        params: planner.params,
        analysis: &analysis,
        access: access.map_or(Access::All, Access::Keys),
        keys: Vec::new(),
        proof: Vec::new(),
    };
    let scatter = match over.scattered(edits.clone()) {
        Ok(scatter) => scatter,
        Err(refusal) => over.by_parts(refusal, edits).ok()?,
    };
    // Each of them stands where the shards are asked.
    let asked = |made: &Placed| {
        let mut pieces = scatter.inputs.iter().flat_map(|input| &input.sql);
        pieces.any(|piece| *piece == Piece::Input(made.input))
    };
    if scatter.inputs.len() != 1 || !others().all(asked) {
        return None;
    }
    let keys = match (planner.analysis.refs.len(), others().next()) {
        (2, Some(other)) => keys(planner.analysis, other, stays),
        _ => Vec::new(),
    };
    Some(Broadcast { inputs: others().map(|made| made.input).collect(), stays: stays.input, keys, scatter })
}

/// Types whose equal values are the same bytes: int8, int2, int4, text, varchar, date, timestamp, timestamptz, uuid. Texts
/// count under deterministic collations only ([`Analysis::equals`]).
const BYTES: &[Oid] = &[20, 21, 23, 25, 1043, 1082, 1114, 1184, 2950];

/// The columns that equal one of what stays.
fn keys(analysis: &Analysis, other: &Placed, stays: &Placed) -> Vec<usize> {
    let key = |&(id, column): &Target| {
        let Some(item) = analysis.refs.get(id) else { return false };
        let known = analysis.column((id, column)).is_some_and(|column| BYTES.contains(&column.type_oid));
        known && analysis.equals((id, column), item.scope).iter().any(|(table, _)| stays.tables.contains(table))
    };
    let columns = other.columns.iter().enumerate();
    columns.filter(|(_, column)| key(column)).map(|(at, _)| at).collect()
}
