//! A plan as the cases show it.

use super::super::*;
use super::world::world;

/// Plans and prints.
pub fn explain(sql: &str) -> String {
    let world = world();
    let path = ["public".to_string()];
    let vouched = |name: &str| (name == "price_of").then_some(Vouched::None);
    let context = Context {
        schema: &world.schema,
        placement: &world.placement,
        search_path: &path,
        standard_strings: true,
        vouched: &vouched,
        unique_per_shard: false,
    };
    let statement = match crate::sql::parse::parse(sql, true) {
        Ok(statement) => statement,
        Err(stopped) => return format!("not parsed: {stopped:?}"),
    };
    match plan(sql, &statement, &context, &[]) {
        Ok(plan) => print(&plan),
        Err(refusal) => format!("refused {}: {}", refusal.reason, refusal.message),
    }
}

fn access(access: &Access) -> String {
    match access {
        Access::Home => "home".into(),
        Access::Any => "any".into(),
        Access::All => "all".into(),
        Access::Keys(keys) => keys.iter().map(super::super::confine::sentence).collect::<Vec<_>>().join(" & "),
    }
}

fn fed(feed: &Feed) -> String {
    let mut out = String::new();
    out.push_str(&format!("\n  fed to {}{}", into(&feed.into), if feed.whole { ", whole" } else { "" }));
    out.push_str(if feed.ordered { ", in order" } else { "" });
    out.push_str(&format!("\n  before {}", shown(&feed.insertion.before)));
    for (at, constant) in &feed.insertion.constants {
        out.push_str(&format!("\n  column {at} is {}", shown(constant)));
    }
    for drawn in &feed.drawn {
        out.push_str(&format!("\n  drawn {drawn}"));
    }
    if !feed.insertion.added.is_empty() {
        out.push_str(&format!("\n  added {}", shown(&feed.insertion.added)));
    }
    out.push_str(&format!("\n  after {}\n  query {}", shown(&feed.insertion.after), feed.query));
    let inner = print(&feed.plan);
    out.extend(inner.lines().map(|line| format!("\n    {line}")));
    out
}

fn found(found: &Found) -> String {
    let mut out = format!("\n  found under a lock of {} on {}", found.table, access(&found.access));
    out.push_str(&format!("\n  written to {}", into(&found.into)));
    out.push_str(&format!("\n  {} ?{}\n  query {}", shown(&found.before), shown(&found.after), found.query));
    out.push_str(&format!(
        "\n  {} of it identify a row; {:?} of a key; {:?}",
        found.identity.len(),
        found.repeats,
        found.unsent
    ));
    let inner = print(&found.plan);
    out.extend(inner.lines().map(|line| format!("\n    {line}")));
    out
}

fn moved(moved: &Moved) -> String {
    let mut out = String::new();
    let read = &moved.read;
    out.push_str(&format!("\n  moved under a lock of {}", moved.table));
    out.push_str(&format!("\n  [{}] {}", access(&read.access), shown(&read.sql)));
    out.push_str(&format!("\n  by {} at {:?}", super::super::confine::sentence(&moved.key), moved.at));
    out.push_str(&format!("\n  insert {}", shown(&moved.insertion.before)));
    for (at, constant) in &moved.insertion.constants {
        out.push_str(&format!("\n  column {at} is {}", shown(constant)));
    }
    out.push_str(&format!("\n  after {}", shown(&moved.insertion.after)));
    for (before, behind) in [&moved.update, &moved.delete] {
        out.push_str(&format!("\n  {}?{}", shown(before), shown(behind)));
    }
    out
}

fn into(into: &FedInto) -> String {
    match into {
        FedInto::Home => "home".into(),
        FedInto::Copies(table) => format!("copies of {table}"),
        FedInto::Shards { key, at: None } => super::super::confine::sentence(key),
        FedInto::Shards { key, at: Some(at) } => format!("{} from column {at}", key.column),
    }
}

fn broadcast(broadcast: &Broadcast) -> String {
    let asked: Vec<String> = broadcast.scatter.inputs.iter().map(|input| shown(&input.sql)).collect();
    let keys: Vec<String> = broadcast.scatter.inputs.iter().map(|input| access(&input.access)).collect();
    let rest = match &broadcast.scatter.finish {
        Finish::Rest { sql } => format!(", rest {}", shown(sql)),
        _ => String::new(),
    };
    let (inputs, stays) = (&broadcast.inputs, broadcast.stays);
    format!("\n  or {inputs:?} along to {stays}: [{}] {}{rest}", keys.join(", "), asked.join("; "))
}

fn print(plan: &Plan) -> String {
    let mut out = format!("{}{}", access(&plan.access), if plan.writes { " writes" } else { "" });
    match &plan.work {
        Work::Route { otherwise } => out.push_str(&format!("\n  route, else {}", otherwise.reason)),
        Work::Refuse(refusal) => out.push_str(&format!("\n  refuse {}", refusal.reason)),
        Work::Scatter(scatter) => {
            for input in &scatter.inputs {
                out.push_str(&format!("\n  [{}] {}", access(&input.access), shown(&input.sql)));
            }
            out.extend(scatter.broadcasts.iter().map(broadcast));
            for once in &scatter.once {
                out.push_str(&format!("\n  once {once}"));
            }
            match &scatter.finish {
                Finish::Stream { order, hidden, limit, offset, with_ties, instead } => {
                    out.push_str("\n  stream");
                    for key in order {
                        let down = if key.descending { " desc" } else { "" };
                        let nulls = if key.nulls_first { " nulls first" } else { "" };
                        out.push_str(&format!(" {}{down}{nulls}", key.column));
                    }
                    if *hidden > 0 {
                        out.push_str(&format!(" hidden {hidden}"));
                    }
                    if let Some(limit) = limit {
                        out.push_str(&format!(" limit {limit:?}"));
                    }
                    if let Some(offset) = offset {
                        out.push_str(&format!(" offset {offset:?}"));
                    }
                    if *with_ties {
                        out.push_str(" ties");
                    }
                    if !order.is_empty() && instead.is_none() {
                        out.push_str(" no-instead");
                    }
                }
                Finish::Changed(changed) => {
                    out.push_str(&format!("\n  changed {}", changed.word));
                    if let Some(table) = &changed.copies {
                        out.push_str(&format!(", copies of {table}"));
                    }
                    if let Some(split) = &changed.split {
                        out.push_str(&format!("\n  before {}", shown(&split.before)));
                        for (row, key) in split.rows.iter().zip(&split.key.values) {
                            out.push_str(&format!(
                                "\n  row {} by {}",
                                shown(row),
                                super::super::confine::shown_value(key)
                            ));
                        }
                        out.push_str(&format!("\n  after {}", shown(&split.after)));
                    }
                }
                Finish::Fed(feed) => out.push_str(&fed(feed)),
                Finish::Found(found) => out.push_str(&self::found(found)),
                Finish::Moved(moved) => out.push_str(&self::moved(moved)),
                Finish::Copied(copied) => {
                    match &copied.deal {
                        Deal::ByKey(key) => out.push_str(&format!("\n  copied by {:?}, {}", key.from, key.name)),
                        Deal::Copies(table) => out.push_str(&format!("\n  copied, copies of {table}")),
                    }
                    for fill in &copied.fills {
                        let clock = if fill.clock { ", once" } else { "" };
                        out.push_str(&format!("\n  fill {} by {}{clock}", fill.column, fill.default));
                    }
                    if let Err(refusal) = &copied.format {
                        out.push_str(&format!(", refused {}", refusal.reason));
                    }
                }
                Finish::Rest { sql } => out.push_str(&format!("\n  rest {}", shown(sql))),
            }
        }
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
