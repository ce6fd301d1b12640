//! A query over the rows of a writing WITH query of its own: `WITH gone AS (DELETE … RETURNING …) SELECT … FROM gone`.
//!
//! The write runs over the shards as it would by itself; PostgreSQL, too, runs it once and to its end, whatever is read of it.
//! The rest of the statement then runs on the home shard, in the same transaction, over the rows that it returned, in the
//! client's words. It reads no table, so there is nothing of which it could see another moment, or what was written.

use super::analysis::{Known, Place, Source};
use super::carried::by_itself;
use super::functions::{self, Behaviour};
use super::gather::foreign;
use super::names::Resolver;
use super::query::{self, Planner};
use super::refuse::unsupported;
use super::splice::{Edits, text};
use super::{Access, Context, Finish, Piece, Plan, Refusal, Told, Work};
use crate::catalog::schema::Oid;
use crate::sql::ast::*;
use crate::sql::quote::ident;

/// Plans a query, writing WITH queries among them.
pub fn plan(sql: &str, query: &Query, context: &Context<'_>, params: &[Oid]) -> Result<Plan, Refusal> {
    let planned = query::plan(sql, query, context, params);
    let Some(cte) = first_write(query) else { return planned };
    match planned {
        Ok(plan) if matches!(plan.access, Access::Home | Access::Any) => Ok(plan),
        Ok(plan @ Plan { work: Work::Route { .. }, .. }) => match told(sql, query, cte, context, params) {
            Ok(told) => Ok(Plan { work: told.work, proof: told.proof, ..plan }),
            Err(refusal) => Ok(Plan { work: Work::Route { otherwise: refusal }, ..plan }),
        },
        Ok(_) | Err(_) => told(sql, query, cte, context, params),
    }
}

/// The first WITH query, if it writes: none stands before it that could give a name another meaning.
fn first_write(query: &Query) -> Option<&Cte> {
    let with = query.with.as_ref().filter(|with| !with.recursive)?;
    with.items.first().filter(|cte| !matches!(cte.statement, Statement::Query(_)))
}

fn told(sql: &str, query: &Query, cte: &Cte, context: &Context<'_>, params: &[Oid]) -> Result<Plan, Refusal> {
    let off = || unsupported("writing-cte", "a query beside a WITH query that writes");
    let mut resolver = Resolver::new(context, params, sql);
    resolver.query(query, 0)?;
    let analysis = &resolver.out;
    if let Some(refusal) = &analysis.one_shard {
        return Err(refusal.clone());
    }
    if analysis.writes.len() != 1 || analysis.moments || analysis.locks || analysis.outer_aggregates {
        return Err(off());
    }
    let span = cte.statement_span;
    let inside = |place: Place| place.0 == 0 && place.1.start >= span.start && place.1.end <= span.end;
    let tables = |source: &Source| matches!(source, Source::Table { .. } | Source::View { .. });
    if analysis.refs.iter().any(|item| !inside(item.place) && tables(&item.source)) {
        return Err(unsupported("writing-cte", "a query that reads tables beside what its WITH query writes"));
    }
    functions::admissible(analysis, context, true)?;
    let (write, alone) = by_itself(cte, &resolver, sql)?;
    let Work::Scatter(mut scatter) = alone.work else { return Err(off()) };
    let Finish::Changed(changed) = &mut scatter.finish else { return Err(off()) };
    let mut edits = Edits::default();
    let planner =
        Planner { sql, query, context, params, analysis, access: Access::All, proof: Vec::new(), keys: Vec::new() };
    let calls = || analysis.calls.iter().filter(|call| !inside(call.place));
    if calls().any(|call| functions::behaviour(call, context) == Behaviour::PerRow) {
        return Err(unsupported("volatile", "a volatile function beside a WITH query that writes"));
    }
    let once = planner.functions_of(calls(), &mut edits)?;
    if !once.is_empty() && !scatter.once.is_empty() {
        return Err(unsupported("clock", "a function of the moment, in a WITH query that writes and beside it,"));
    }
    let outputs = Resolver::new(context, params, sql).write(&cte.statement, 0)?;
    if outputs.is_empty() {
        return Err(off());
    }
    let mut list = Vec::new();
    let mut names = Vec::new();
    for (at, output) in outputs.iter().enumerate() {
        let collation = match &output.collation {
            Known::Collation(collation) => foreign(&planner, collation),
            Known::None | Known::Unknown => None,
        };
        let collate = collation.map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        list.push(format!("c{at}{collate} AS {}", ident(&output.name)));
        names.push(format!("c{at}"));
    }
    let head = text(format!("(SELECT {} FROM ", list.join(", ")));
    edits.pieces(span, vec![head, Piece::Input(0), text(format!(" AS pgbraid_w ({}))", names.join(", ")))]);
    let unknown = outputs.iter().enumerate().filter(|(_, output)| output.collation == Known::Unknown);
    let uncollated = unknown.map(|(at, _)| at).collect();
    changed.told = Some(Box::new(Told { write, sql: edits.apply(sql, query.span), once, uncollated }));
    let mut proof = alone.proof;
    proof.push("the rest reads only what the write returns, in the same transaction".to_string());
    Ok(Plan { access: alone.access, work: Work::Scatter(scatter), writes: true, proof })
}
