//! Plans of statements that write: on one shard, or refused.

use super::analysis::Analysis;
use super::confine::{conditions, sentence};
use super::names::Resolver;
use super::query::Kinds;
use super::refuse::{refuse, unsupported};
use super::several::Writing;
use super::writes::{Rows, Write};
use super::{Access, Changed, Context, Finish, Plan, Refusal, Work, functions};
use crate::catalog::schema::Oid;
use crate::sql::ast::*;

/// Plans INSERT, UPDATE, DELETE, MERGE.
pub fn plan(sql: &str, statement: &Statement, context: &Context<'_>, params: &[Oid]) -> Result<Plan, Refusal> {
    let mut resolver = Resolver::new(context, params, sql);
    resolver.write(statement, 0)?;
    if let Some(plan) = super::feed::plan(sql, statement, &resolver) {
        return plan;
    }
    let planned = by_shards(sql, statement, &resolver);
    let routed = match &planned {
        Ok(Plan { work: Work::Scatter(_), .. } | Plan { access: Access::Home | Access::Any, .. }) => return planned,
        Ok(Plan { work: Work::Route { .. }, .. }) => true,
        Ok(_) | Err(_) => false,
    };
    let better = match super::carried::plan(sql, statement, &resolver) {
        None => super::found::plan(sql, statement, &resolver),
        carried => carried,
    };
    match (better, planned) {
        (None, planned) => planned,
        (Some(Ok(found)), Ok(planned)) if routed => Ok(Plan { work: found.work, ..planned }),
        (Some(Ok(found)), _) => Ok(found),
        (Some(Err(refusal)), Ok(planned)) if routed => Ok(Plan { work: Work::Route { otherwise: refusal }, ..planned }),
        (Some(Err(refusal)), Ok(planned)) => Ok(Plan { work: Work::Refuse(refusal), ..planned }),
        (Some(Err(refusal)), Err(_)) => Err(refusal),
    }
}

/// A statement that shards carry out, each by what it has.
fn by_shards(sql: &str, statement: &Statement, resolver: &Resolver<'_>) -> Result<Plan, Refusal> {
    let context = resolver.context;
    let analysis = &resolver.out;
    if let [write] = analysis.writes.as_slice()
        && analysis.is_reference(write.id)
    {
        functions::admissible(analysis, context, true)?;
        let writing = Writing { sql, statement, resolver, access: Access::All };
        let work = Work::Scatter(writing.copies()?);
        let proof = vec!["every shard does the same to its copy of the reference table".to_string()];
        return Ok(Plan { access: Access::All, work, writes: true, proof });
    }
    let mut plan = route(analysis, context)?;
    if matches!(plan.access, Access::Home | Access::Any) {
        return Ok(plan);
    }
    if let Some(refusal) = &analysis.one_shard {
        plan.work = match plan.work {
            Work::Route { .. } => Work::Route { otherwise: refusal.clone() },
            _ => Work::Refuse(refusal.clone()),
        };
        return Ok(plan);
    }
    let writing = Writing { sql, statement, resolver, access: plan.access.clone() };
    match writing.sharded() {
        Ok(scatter) => {
            plan.proof.push("each row is changed by what is on its own shard".to_string());
            if matches!(&scatter.finish, Finish::Changed(Changed { split: Some(split), .. }) if split.numbered) {
                plan.proof
                    .push("each row is told its number, and RETURNING gives it: some may be left out".to_string());
            }
            plan.work = Work::Scatter(scatter);
        }
        Err(refusal) if matches!(plan.work, Work::Route { .. }) => plan.work = Work::Route { otherwise: refusal },
        Err(refusal) => plan.work = Work::Refuse(refusal),
    }
    Ok(plan)
}

/// Where a statement that writes runs, once its names are known.
pub fn route(analysis: &Analysis, context: &Context<'_>) -> Result<Plan, Refusal> {
    let kinds = Kinds::of(analysis, 0..analysis.refs.len());
    functions::admissible(analysis, context, kinds.sharded)?;
    if analysis.writes.iter().any(|write| analysis.is_reference(write.id)) {
        return Err(refuse(
            "reference-write",
            "pgbraid can't prove that this write to a reference table does the same on every shard",
            "Write to it by INSERT … VALUES, UPDATE or DELETE alone.",
        ));
    }
    let mut plan =
        Plan { access: Access::Home, work: Work::Route { otherwise: several() }, writes: true, proof: Vec::new() };
    if !kinds.sharded {
        plan.proof.push("only tables of the home shard are written".to_string());
        return Ok(plan);
    }
    if kinds.home || kinds.catalog {
        return Err(unsupported("home-table", "a write beside tables of the home shard"));
    }
    if analysis.writes.iter().any(|write| matches!(write.rows, Rows::Given(_))) {
        return Err(super::writes::unknown_key());
    }
    let inserted =
        |id: usize| analysis.writes.iter().any(|write| write.id == id && matches!(write.rows, Rows::New(Some(_))));
    if analysis.writes.len() > 1
        && analysis.writes.iter().any(|write| matches!(write.rows, Rows::Moved(None) | Rows::Merged(None)))
    {
        return Err(super::writes::key_update("pgbraid can't change the sharding key in a statement that writes more"));
    }
    let ids = analysis.sharded(0..analysis.refs.len()).filter(|&id| !inserted(id));
    let Some(mut keys) = conditions(analysis, ids) else {
        plan.access = Access::All;
        plan.work = Work::Refuse(several());
        return Ok(plan);
    };
    keys.extend(analysis.writes.iter().filter_map(|write| write.keys().cloned()));
    plan.proof.extend(keys.iter().map(sentence));
    let own = |write: &Write| write.draws || matches!(write.rows, Rows::Moved(None) | Rows::Merged(None));
    let scattered = analysis.writes.iter().any(own);
    // Where each row has a key of its own, or takes values of the home shard's, the statement's text goes to no shard.
    plan.access = if scattered { Access::All } else { Access::Keys(keys) };
    if scattered {
        plan.work = Work::Refuse(several());
    }
    Ok(plan)
}

pub fn several() -> Refusal {
    refuse(
        "multi-shard-write",
        "pgbraid can't yet write on several shards in one statement",
        "Confine the statement to one shard: give one value of the sharding key with = in WHERE, or in each row.",
    )
}
