//! Co-located tables that are joined on the shards before they are gathered.

use super::push::{Ask, fixed};
use super::{ONE, source};
use crate::plan::sharded::Piece;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::scatter::Prover;
use crate::plan::sharded::splice::{Edits, push, text};
use crate::sql::quote::{ident, idents};

/// Tables that become one input, and the equalities that join them.
pub struct Together {
    pub members: Vec<RefId>,
    pub ties: Vec<String>,
    /// Others that are joined with them, in this order, from the side of an outer join that gets NULLs.
    pub outer: Vec<Outer>,
}

impl Together {
    /// One table by itself.
    pub fn alone(id: RefId) -> Self {
        Self { members: vec![id], ties: Vec::new(), outer: Vec::new() }
    }
}

/// A table joined by LEFT JOIN, and its condition.
#[derive(Clone)]
pub struct Outer {
    pub id: RefId,
    pub on: Vec<Piece>,
}

/// `… LEFT JOIN table ON condition`: the scope in which the condition holds, and what it is about.
pub struct Left<'q> {
    pub id: RefId,
    pub ask: Ask<'q>,
}

/// Sorts a level's sharded tables into inputs. Tables are one input if rows that belong together lie on one shard (their
/// keys are equal), the join is inner (all stand in `scope`, whose conditions say so), and it makes no rows: beside one
/// table's row, that of each other is found by a primary key. So an input has no more rows than its largest table.
pub fn together(planner: &Planner<'_>, tables: &[RefId], scope: ScopeId) -> Vec<Together> {
    let mut out: Vec<Together> = Vec::new();
    for &id in tables {
        let mut joined = false;
        for known in &mut out {
            if !free(planner, id, scope) || !known.members.iter().all(|&member| meets(planner, member, id, scope)) {
                continue;
            }
            let mut all = known.members.clone();
            all.push(id);
            if let Some(ties) = ties(planner, &all, scope) {
                *known = Together { members: all, ties, outer: Vec::new() };
                joined = true;
                break;
            }
        }
        if !joined {
            out.push(Together::alone(id));
        }
    }
    out
}

/// Joins the tables of LEFT JOINs with the inputs that they are joined to, where these keep their rows and get no more:
/// the table's row lies on the shard of theirs (the keys are equal) and is found by its primary key; the condition says
/// so, and is about no other table. A row of the inputs then has the same row of the table, or none, whatever else they
/// are joined with: `(A ⋈ C) ⟕ B = (A ⟕ B) ⋈ C`. The rest asks the condition again, of the row that was found or of NULLs,
/// of which it can't be true. Filters on the table stay in the rest.
pub fn left(planner: &Planner<'_>, inputs: &mut Vec<Together>, lefts: &[Left<'_>], base: &Edits, scope: ScopeId) {
    let analysis = planner.analysis;
    for Left { id, ask } in lefts {
        let (id, inner) = (*id, ask.scope);
        let Some(item) = analysis.refs.get(id).filter(|item| item.scope == inner && fit(item)) else { continue };
        let Some(about) = ask.about.as_ref().filter(|about| about.inner.is_empty()) else { continue };
        let alone = |input: &Together| input.members == [id] && input.outer.is_empty();
        let Some(own) = inputs.iter().position(alone).filter(|_| fixed(planner, ask.expr.span)) else { continue };
        let joins = |input: &Together| {
            let outer = |other: RefId| input.outer.iter().any(|known| known.id == other);
            let known = |other: &RefId| input.members.contains(other) || outer(*other);
            !input.members.contains(&id)
                && input.members.iter().all(|&member| free(planner, member, scope))
                && about.refs.iter().all(|other| *other == id || known(other))
                && meets_left(planner, id, &input.members, inner)
                && item.primary.as_ref().is_some_and(|primary| {
                    let found = |&column: &usize| {
                        let reached = analysis.equals((id, column), inner);
                        reached.iter().any(|(other, _)| known(other))
                    };
                    primary.iter().all(found)
                })
        };
        let Some(to) = inputs.iter().position(joins) else { continue };
        if let Some(input) = inputs.get_mut(to) {
            input.outer.push(Outer { id, on: base.apply(planner.sql, ask.expr.span) });
            inputs.remove(own);
        }
    }
}

/// Whether a table's row lies where that of the members lies which it is joined with.
fn meets_left(planner: &Planner<'_>, id: RefId, members: &[RefId], inner: ScopeId) -> bool {
    let analysis = planner.analysis;
    let Some((place, key)) = analysis.key(id) else { return false };
    members.iter().any(|&member| {
        analysis
            .key(member)
            .is_some_and(|(other, of)| group(place) == group(other) && Prover { planner }.reaches(key, &[of], inner))
    })
}

fn fit(item: &Ref) -> bool {
    !item.whole && !item.system
}

/// Whether a table may be joined with others ahead of the rest: it is in no outer join's other side, and no row of it is
/// looked at as a row.
fn free(planner: &Planner<'_>, id: RefId, scope: ScopeId) -> bool {
    planner.analysis.refs.get(id).is_some_and(|item| item.scope == scope && fit(item))
}

/// Whether rows of both that go together lie on one shard.
fn meets(planner: &Planner<'_>, one: RefId, two: RefId, scope: ScopeId) -> bool {
    let analysis = planner.analysis;
    let (Some((place, key)), Some((other, two))) = (analysis.key(one), analysis.key(two)) else { return false };
    free(planner, one, scope) && group(place) == group(other) && Prover { planner }.reaches(key, &[two], scope)
}

/// The equalities that join tables: from some one of them all others are found by their primary keys.
fn ties(planner: &Planner<'_>, members: &[RefId], scope: ScopeId) -> Option<Vec<String>> {
    let analysis = planner.analysis;
    members.iter().find_map(|&root| {
        let mut found = vec![root];
        let mut ties = Vec::new();
        loop {
            let next = members.iter().filter(|id| !found.contains(id)).find_map(|&id| {
                let primary = analysis.refs.get(id)?.primary.as_ref()?;
                let (_, key) = analysis.key(id)?;
                // The key too, where it isn't in the primary key.
                let columns = primary.iter().map(|&column| (id, column)).chain([key]);
                let pairs = columns.map(|column| {
                    let reached = analysis.equals(column, scope);
                    let other = reached.into_iter().find(|(id, _)| found.contains(id))?;
                    Some(format!("{} = {}", quoted(analysis, column)?, quoted(analysis, other)?))
                });
                Some((id, pairs.collect::<Option<Vec<String>>>()?))
            });
            let Some((id, pairs)) = next else { break };
            found.push(id);
            for pair in pairs {
                if !ties.contains(&pair) {
                    ties.push(pair);
                }
            }
        }
        (found.len() == members.len()).then_some(ties)
    })
}

/// `"o"."id"`
pub fn quoted(analysis: &Analysis, target: Target) -> Option<String> {
    let item = analysis.refs.get(target.0)?;
    Some(format!("{}.{}", ident(&item.name), ident(&analysis.column(target)?.name)))
}

/// The rest's text of an input of several tables: it stands ahead of FROM's items, and each table is what the input's rows
/// say of it. `columns`: the tables' columns, in the input's order.
pub fn place(
    planner: &Planner<'_>,
    input: usize,
    (members, from): (&[RefId], u32),
    columns: &[(Target, Option<String>)],
    edits: &mut Edits,
) {
    let name = format!("pgbraid_j{input}");
    let names: Vec<String> = (0..columns.len().max(1)).map(|at| format!("{name}c{at}")).collect();
    let collations: Vec<Option<String>> = columns.iter().map(|(_, collation)| collation.clone()).collect();
    let mut pieces: Vec<Piece> = vec![text(" ")];
    for piece in source(input, &names, &collations) {
        push(&mut pieces, piece);
    }
    push(&mut pieces, text(format!(" AS {name} ({}),", idents(&names))));
    edits.pieces(crate::sql::ast::Span::new(from, from), pieces);
    for &id in members {
        let Some(item) = planner.analysis.refs.get(id) else { continue };
        let mut list = Vec::new();
        let mut own = Vec::new();
        for ((target, _), column) in columns.iter().zip(&names) {
            if target.0 == id
                && let Some(known) = planner.analysis.column(*target)
            {
                list.push(format!("{name}.{}", ident(column)));
                own.push(known.name.clone());
            }
        }
        if own.is_empty() {
            list.push("1".to_string());
            own.push(ONE.to_string());
        }
        let sql = format!("LATERAL (SELECT {}) AS {} ({})", list.join(", "), ident(&item.name), idents(&own));
        edits.replace(item.place.1, sql);
    }
}
