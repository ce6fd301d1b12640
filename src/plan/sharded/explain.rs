//! A plan in words: what EXPLAIN prints of pgbraid's own work.

use super::access::Bound as BoundValue;
use super::confine::{sentence, shown_value};
use super::prior::Prior;
use super::splice::text;
use super::{Access, Bound, FedInto, Feed, Finish, Found, KeyCondition, Piece, Plan, Refusal, Scatter, Work, access};
use crate::topology::placement::{KeyPlace, Placement, ShardIndex, TablePlace};

/// Rung, proof, keys, questions and what becomes of the answers. `shards`: where it runs with these values.
pub fn lines<'a>(
    plan: &Plan,
    placement: &Placement,
    shards: &[ShardIndex],
    param: &dyn Fn(u32) -> Option<BoundValue<'a>>,
) -> Vec<String> {
    let scatter = match (&plan.work, shards.len()) {
        (Work::Refuse(refusal), _) => return refused(refusal, &plan.proof),
        (Work::Route { otherwise }, 2..) => return refused(otherwise, &plan.proof),
        (Work::Scatter(scatter), 2..) => Some(scatter),
        _ => None,
    };
    let names = names(placement, shards);
    let mut lines = match scatter.map(|scatter| (&scatter.finish, scatter)) {
        None => vec![format!("Route to {names}")],
        Some((Finish::Stream { order, limit, offset, with_ties, .. }, _)) => {
            let how = if order.is_empty() { "Scatter" } else { "Scatter and merge by order" };
            let mut lines = vec![format!("{how} over {names}")];
            for (word, bound) in [("Limit", limit), ("Offset", offset)] {
                let ties = if *with_ties && word == "Limit" { " with ties" } else { "" };
                lines.extend(bound.as_ref().map(|bound| format!("  {word}: {}{ties}", bound_text(bound))));
            }
            lines
        }
        Some((Finish::Changed(changed), _)) => {
            let how = match (&changed.copies, &changed.split) {
                (Some(_), _) => "Write to every copy, on",
                (None, Some(_)) => "Write each row to its shard, over",
                (None, None) => "Write over",
            };
            let mut lines = vec![format!("{how} {names}, in one transaction")];
            lines.extend(changed.told.iter().map(|told| format!("  Rest: {}", pieces(&told.sql, &told.once))));
            lines
        }
        Some((Finish::Fed(feed), scatter)) => fed(feed, &names, &scatter.once),
        Some((Finish::Found(found), scatter)) => self::found(found, &names, &scatter.once),
        Some((Finish::Moved(moved), scatter)) => {
            let words = |(before, behind): &(Vec<Piece>, Vec<Piece>)| {
                format!("{} <rows>{}", pieces(before, &scatter.once), pieces(behind, &scatter.once))
            };
            vec![
                format!("Move rows to the shard of their new key, over {names}, under a lock of {}", moved.table),
                format!("  Read: {}", pieces(&moved.read.sql, &scatter.once)),
                format!("  Moved: {} <rows>, {}", pieces(&moved.insertion.before, &scatter.once), words(&moved.delete)),
                format!("  Kept: {}", words(&moved.update)),
            ]
        }
        Some((Finish::Copied(_), _)) => vec![format!("Copy rows over {names}, in one transaction")],
        Some((Finish::Rest { sql }, scatter)) => vec![
            format!("Scatter over {names}, the rest on one server"),
            format!("  Rest: {}", pieces(sql, &scatter.once)),
        ],
    };
    let mut keys = Vec::new();
    if let Access::Keys(conditions) = &plan.access {
        for condition in conditions {
            keys.push(sentence(condition));
            lines.extend(traced(condition, placement, param).into_iter().map(|line| format!("  Key: {line}")));
        }
    }
    lines.extend(plan.proof.iter().filter(|proof| !keys.contains(proof)).map(|proof| format!("  Because: {proof}")));
    if let Some(scatter) = scatter {
        for (at, input) in scatter.inputs.iter().enumerate() {
            lines.push(format!("  Input {}: {}", at + 1, pieces(&input.sql, &scatter.once)));
        }
        for broadcast in &scatter.broadcasts {
            let inputs: Vec<String> = broadcast.inputs.iter().map(|at| (at + 1).to_string()).collect();
            let asked = broadcast.scatter.inputs.iter().map(|input| pieces(&input.sql, &scatter.once));
            lines.push(format!(
                "  Or, where input {} is small beside input {}, its rows go along: {}",
                inputs.join(", "),
                broadcast.stays + 1,
                asked.collect::<Vec<_>>().join("; ")
            ));
        }
    }
    lines
}

/// `INSERT … SELECT` whose rows are read and dealt out.
fn fed(feed: &Feed, names: &str, once: &[String]) -> Vec<String> {
    let mut lines = vec![match &feed.into {
        FedInto::Home => "Read the query's rows and insert them on the home shard".to_string(),
        FedInto::Copies(_) => format!("Read the query's rows once and insert them on {names}"),
        FedInto::Shards { key, at } => {
            let shown: Vec<String> = key.values.iter().map(shown_value).collect();
            let by = at.map_or_else(|| shown.join(", "), |at| format!("the query's column {}", at + 1));
            format!("Read the query's rows and insert each on its shard, by {} = {by}", key.column)
        }
    }];
    lines.push(format!(
        "  Insert: {}<rows>{}",
        pieces(&feed.insertion.before, once),
        pieces(&feed.insertion.after, once)
    ));
    queried(&feed.query, &feed.plan, &mut lines);
    lines
}

/// A query whose rows are written.
fn queried(query: &str, plan: &Plan, lines: &mut Vec<String>) {
    lines.push(format!("  Query: {}", query.split_whitespace().collect::<Vec<_>>().join(" ")));
    lines.extend(plan.proof.iter().map(|proof| format!("  Because: {proof}")));
    if let Work::Scatter(scatter) = &plan.work {
        let inputs = scatter.inputs.iter().enumerate();
        lines.extend(inputs.map(|(at, input)| format!("  Input {}: {}", at + 1, pieces(&input.sql, &scatter.once))));
    }
}

/// UPDATE and DELETE whose rows a query finds.
fn found(found: &Found, names: &str, once: &[String]) -> Vec<String> {
    let mut lines = vec![match &found.into {
        FedInto::Home => "Find the rows by a query, then write them on the home shard".to_string(),
        FedInto::Copies(_) => format!("Find the rows by a query, then write them in every copy, on {names}"),
        FedInto::Shards { .. } => format!("Find the rows by a query, then write each on its shard, over {names}"),
    }];
    lines.push(format!("  Under a lock of {}, unless the transaction keeps one snapshot", found.table));
    let (before, after) = (pieces(&found.before, once), pieces(&found.after, once));
    lines.push(format!("  Write: {before} <rows> {after}"));
    queried(&found.query, &found.plan, &mut lines);
    lines
}

/// A statement that writes whose sub-queries are answered before it.
pub fn prior(prior: &Prior) -> Vec<String> {
    let mut lines = vec!["Answer sub-queries, then write with their values".to_string()];
    lines.push("  Because: they name nothing of the statement around them, and are answered once".to_string());
    lines.push(match (&prior.target, prior.needs_snapshot()) {
        (_, true) => "  In one snapshot (REPEATABLE READ)".to_string(),
        (Some(target), false) => format!("  Under a lock of {target}, unless the transaction keeps one snapshot"),
        (None, false) => "  In one transaction".to_string(),
    });
    let queries = prior.queries.iter().enumerate();
    lines
        .extend(queries.map(|(at, asked)| format!("  Query {}: {}", at + 1, pieces(&[text(asked.sql.as_str())], &[]))));
    let values: Vec<String> = (1..=prior.queries.len()).map(|at| format!("<value {at}>")).collect();
    lines.push(format!("  Then: {}", pieces(&prior.sql, &values)));
    lines
}

/// Why a statement isn't run.
pub fn refused(refusal: &Refusal, proof: &[String]) -> Vec<String> {
    let mut lines = vec![format!("Refused ({}): {}", refusal.code, refusal.message)];
    if !refusal.hint.is_empty() {
        lines.push(format!("  Hint: {}", refusal.hint));
    }
    lines.extend(proof.iter().map(|proof| format!("  Because: {proof}")));
    lines
}

/// `orders.customer_id = 5 → bucket 812 → s2`, one line a value.
fn traced<'a>(
    condition: &KeyCondition,
    placement: &Placement,
    param: &dyn Fn(u32) -> Option<BoundValue<'a>>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for value in &condition.values {
        let head = format!("{} = {}", condition.column, shown_value(value));
        let found = access::found(condition, value, placement, param);
        let Some(found) = found else {
            lines.push(format!("{head} → its value isn't known, all shards"));
            continue;
        };
        if found.is_empty() {
            lines.push(format!("{head} → no row"));
        }
        for (bucket, place) in found {
            let bucket = bucket.map(|bucket| format!(" → bucket {bucket}")).unwrap_or_default();
            lines.push(match place {
                KeyPlace::Shard(shard) => format!("{head}{bucket} → {}", names(placement, &[shard])),
                KeyPlace::Nowhere => format!("{head} → no row"),
                KeyPlace::Unknown => format!("{head} → its shard isn't known, all shards"),
            });
        }
    }
    if matches!(condition.place, TablePlace::List { .. }) {
        lines.iter_mut().for_each(|line| line.push_str(" (by list)"));
    }
    lines
}

/// Shards by name.
pub fn names(placement: &Placement, shards: &[ShardIndex]) -> String {
    let names: Vec<&str> = shards.iter().map(|&at| placement.shards.get(at).map_or("?", String::as_str)).collect();
    names.join(", ")
}

fn bound_text(bound: &Bound) -> String {
    match bound {
        Bound::Rows(rows) => rows.to_string(),
        Bound::Param(number) => format!("${number}"),
    }
}

/// Pieces for the eye.
pub fn pieces(pieces: &[Piece], once: &[String]) -> String {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Once(at) => once.get(*at).cloned().unwrap_or_default(),
        Piece::Input(at) => format!("<input {}>", at + 1),
        Piece::Semi(semi) => {
            let own = if semi.key.is_some() { "own " } else { "" };
            format!(" [AND {} = ANY (<{own}keys of input {}>)]", semi.test, semi.input + 1)
        }
        Piece::Apart(_) => String::new(),
    };
    pieces.iter().map(part).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The questions of a plan that runs on several shards.
pub fn scattered(plan: &Plan, shards: usize) -> Option<&Scatter> {
    match &plan.work {
        Work::Scatter(scatter) if shards > 1 => Some(scatter),
        _ => None,
    }
}
