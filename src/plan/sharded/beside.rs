//! What runs beside a write: triggers, defaults and checks of the table, of its parts, and of tables whose rows the actions of
//! foreign keys change.

use super::analysis::RefId;
use super::bodies::{self, Judged, Where};
use super::names::Resolver;
use super::refuse::{refuse, unsupported};
use super::{Context, Refusal};
use crate::catalog::code::Body;
use crate::catalog::schema::{Caller, Relation};
use crate::sql::ast::FromTable;
use crate::topology::placement::TablePlace;

impl Resolver<'_> {
    /// Code that runs beside the write may touch other shards' rows, or move this one. What is to be said where it would
    /// run on several shards.
    pub fn no_code(&self, table: &FromTable, id: RefId) -> Result<Option<Refusal>, Refusal> {
        let Some(relation) = self.relation_of(table) else { return Ok(None) };
        let whole = match (self.out.key(id), self.out.is_reference(id)) {
            (Some((_, (_, column))), _) => (Where::Shard, relation.columns.get(column).map(|key| key.name.as_str())),
            (None, true) => (Where::Copies, None),
            (None, false) => (Where::Home, None),
        };
        let mut one = run(self.context, relation, whole)?;
        for name in &relation.also {
            let Some(other) = self.context.schema.relations.get(name) else { continue };
            let own = match self.context.placement.table(&other.schema, &other.name) {
                Some(TablePlace::Hash { key, .. } | TablePlace::List { key, .. }) => (Where::Shard, Some(key.as_str())),
                Some(TablePlace::Reference) => (Where::Copies, None),
                None => whole,
            };
            one = run(self.context, other, own)?.or(one);
        }
        Ok(one)
    }
}

/// Triggers of TRUNCATE run on every shard, and on each for itself: what they call must touch no table whose rows are
/// elsewhere. All the code of the tables is judged, since which of it is for TRUNCATE isn't known.
pub fn emptied(tables: &[(Option<String>, String)], cascade: bool, context: &Context<'_>) -> Result<(), Refusal> {
    let found = tables
        .iter()
        .filter_map(|(schema, name)| context.schema.relation(schema.as_deref(), name, context.search_path));
    let mut next: Vec<&Relation> = found.collect();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    while let Some(relation) = next.pop() {
        if seen.contains(&(&relation.schema, &relation.name)) {
            continue;
        }
        seen.push((&relation.schema, &relation.name));
        let own = (relation.schema.clone(), relation.name.clone());
        let reached = |other: &&Relation| {
            other.parent.as_ref() == Some(&own)
                || cascade && other.foreign_keys.iter().any(|foreign_key| foreign_key.target == own)
        };
        next.extend(context.schema.relations.values().filter(reached));
        let place = match context.placement.table(&relation.schema, &relation.name) {
            None if relation.parent.is_none() => Where::Home,
            _ => Where::Shard,
        };
        let unfit = |caller: &Caller| match bodies::judge(context, &caller.function, place) {
            Judged::Unfit(why) => Some(beside(relation, &caller.function, &why)),
            _ => None,
        };
        if let Some(refusal) = relation.code.iter().filter(|_| relation.triggers).find_map(unfit) {
            return Err(refusal);
        }
    }
    Ok(())
}

/// The code of one relation whose rows are written. What is to be said where several shards would run it.
fn run(
    context: &Context<'_>,
    relation: &Relation,
    (place, key): (Where, Option<&str>),
) -> Result<Option<Refusal>, Refusal> {
    if relation.rules {
        return Err(unsupported("trigger", &format!("a write to \"{}\", which has rules,", relation.name)));
    }
    let several = |why: &str| {
        let what = format!("a write to rows of \"{}\" on several shards, whose triggers {why},", relation.name);
        Some(unsupported("trigger", &what))
    };
    let mut one = None;
    for Caller { function, before_row } in &relation.code {
        match bodies::judge(context, function, place) {
            Judged::Unfit(why) => return Err(beside(relation, function, &why)),
            Judged::Clock if place == Where::Shard => one = several("read each shard's clock"),
            Judged::Clock | Judged::Fit => {}
        }
        if !before_row || place == Where::Home {
            continue;
        }
        let own = context.schema.functions.get(function).into_iter().flatten().filter(|function| !function.builtin);
        for body in own.filter_map(|function| function.body.as_ref()) {
            if let Some(key) = key.filter(|key| moves(body, key)) {
                let why = format!("the body of {function} may change the sharding key \"{key}\" of a row");
                return Err(beside(relation, function, &why));
            }
            if body.skips_row {
                one = several("may leave rows out");
            }
        }
    }
    if relation.transitions && place != Where::Home {
        one = several("see all rows of a statement together");
    }
    Ok(one)
}

/// Whether a trigger before each row may change its key.
fn moves(body: &Body, key: &str) -> bool {
    body.replaces_row || body.has("new") && body.has(key)
}

/// The refusal of a write beside which this function would run.
fn beside(relation: &Relation, function: &str, why: &str) -> Refusal {
    refuse(
        "trigger",
        format!(
            "pgbraid can't prove that this write is right over several shards: the triggers, defaults, checks or policies of \
             \"{}\" call {function}, and {why}",
            relation.name
        ),
        format!(
            "If it touches no table, vouch for it in the configuration: {function} = {{ reads = \"none\" }} under \
             [databases.NAME.functions]."
        ),
    )
}
