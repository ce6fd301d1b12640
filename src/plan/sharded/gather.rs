//! Gathers rows of tables that no shard has whole, for one PostgreSQL to run the rest of the statement over them.

use super::analysis::*;
use super::confine::{confined, sentence};
use super::query::{Kinds, Planner};
use super::refuse::unsupported;
use super::splice::{Edits, push, text};
use super::{Access, Finish, Input, Piece, Refusal, Scatter, Work, aggregate, functions, query};
use crate::sql::ast::{QueryBody, Statement};
use crate::sql::quote::{ident, idents};

/// A query whose tables are gathered one by one. Reference tables stand in the rest, unless `all` are gathered.
pub fn plan(planner: &mut Planner<'_>, mut edits: Edits, all: bool) -> Result<Scatter, Refusal> {
    if planner.analysis.locks {
        return Err(unsupported("locking", "FOR UPDATE over gathered rows"));
    }
    let analysis = planner.analysis;
    let mut inputs: Vec<Input> = Vec::new();
    let mut gathered = Vec::new();
    let mut rest_reads = false;
    for (id, item) in analysis.refs.iter().enumerate() {
        if item.place.0 != 0 {
            continue;
        }
        let input = match &item.source {
            Source::Table { home: home @ (Home::Sharded(..) | Home::Unsharded) } => {
                check(item)?;
                let access = matches!(home, Home::Unsharded).then_some(Access::Home);
                table(planner, id, item, access, &edits)
            }
            Source::Table { home: Home::Reference } if all => {
                check(item)?;
                table(planner, id, item, Some(Access::Any), &edits)
            }
            Source::View { inside, .. } => {
                let kinds = Kinds::of(analysis, inside.clone());
                if !(kinds.sharded || kinds.home || all && kinds.reference) {
                    rest_reads = true;
                    continue;
                }
                check(item)?;
                match view(planner, item, &edits) {
                    Some(input) => input,
                    None => return expanded(planner, item),
                }
            }
            Source::Table { .. } => {
                rest_reads = true;
                continue;
            }
            _ => continue,
        };
        // One question is asked once. It also keeps the text of a sub-query that stands twice one text, as what DISTINCT ON
        // and ORDER BY, GROUP BY and the select list have in common must be.
        let at = inputs.iter().position(|known| *known == input).unwrap_or(inputs.len());
        let mut pieces = source(at, &input.columns, &collations(planner, item));
        push(&mut pieces, text(format!(" AS {} ({})", ident(&item.name), idents(&input.columns))));
        edits.pieces(item.place.1, pieces);
        if at == inputs.len() {
            inputs.push(input);
        }
        gathered.push(id);
    }
    for (span, id, name) in &analysis.long_names {
        if let Some(item) = analysis.refs.get(*id).filter(|_| gathered.contains(id)) {
            edits.replace(*span, format!("{}{name}", ident(&item.name)));
        }
    }
    if let QueryBody::Select(select) = &planner.query.body
        && let Some(group) = &select.group_by
    {
        for column in aggregate::dependents(planner, select) {
            edits.insert(group.span.end, format!(", {column}"));
        }
    }
    planner.proof.push("rows of the tables are gathered, and one PostgreSQL runs the statement over them".to_string());
    let sql = edits.apply(planner.sql, planner.query.span);
    Ok(Scatter { inputs, finish: Finish::Rest { sql }, once: Vec::new(), rest_reads, within: None })
}

/// What a gathered row can't give.
fn check(item: &Ref) -> Result<(), Refusal> {
    if item.system {
        return Err(unsupported("system-column", "a system column of a gathered table"));
    }
    if item.whole {
        return Err(unsupported("whole-row", "a whole row as a value of a gathered table"));
    }
    Ok(())
}

/// The columns of an item that the statement uses, by their visible names.
fn used(item: &Ref) -> Vec<String> {
    let names: Vec<String> =
        item.used.iter().filter_map(|&at| item.columns.get(at)).map(|column| column.name.clone()).collect();
    names
}

/// Each used column's collation, where it isn't the database's own.
fn collations(planner: &Planner<'_>, item: &Ref) -> Vec<Option<String>> {
    let columns = item.used.iter().filter_map(|&at| item.columns.get(at));
    columns
        .map(|column| match &column.collation {
            Known::Collation(collation) => foreign(planner, collation),
            _ => None,
        })
        .collect()
}

/// A collation's name, if it isn't the database's own.
pub fn foreign(planner: &Planner<'_>, collation: &crate::catalog::schema::Collation) -> Option<String> {
    (collation.name != planner.context.schema.collation.name).then(|| collation.name.clone())
}

/// An input as an item of FROM whose columns have their collations, which arrays don't carry.
pub fn source(input: usize, columns: &[String], collations: &[Option<String>]) -> Vec<Piece> {
    if collations.iter().all(Option::is_none) {
        return vec![Piece::Input(input)];
    }
    let list: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| match collations.get(at).and_then(Option::as_ref) {
            Some(collation) => format!("{} COLLATE {collation} AS {}", ident(column), ident(column)),
            None => ident(column),
        })
        .collect();
    vec![
        text(format!("(SELECT {} FROM ", list.join(", "))),
        Piece::Input(input),
        text(format!(" AS pgbraid_i ({}))", idents(columns))),
    ]
}

/// `access`: where the rows are, if their keys don't tell.
fn table(planner: &mut Planner<'_>, id: RefId, item: &Ref, access: Option<Access>, edits: &Edits) -> Input {
    let mut columns = used(item);
    let list: Vec<String> = columns.iter().map(|column| format!("{}.{}", ident(&item.name), ident(column))).collect();
    let mut list = list.join(", ");
    if columns.is_empty() {
        // Only how many rows there are matters.
        columns.push(format!("pgbraid_{id}"));
        list = "1".to_string();
    }
    let mut sql = vec![text(format!("SELECT {list} FROM {}", item.place.1.of(planner.sql)))];
    let filters = planner.analysis.filters.iter().filter(|(about, _)| *about == id);
    let mut first = true;
    for (_, span) in filters {
        let fixed = planner.analysis.calls.iter().all(|call| {
            let within = call.place.0 == 0 && call.place.1.start >= span.start && call.place.1.end <= span.end;
            !within || functions::behaviour(call, planner.context) <= functions::Behaviour::Once
        });
        if !fixed {
            continue;
        }
        push(&mut sql, text(if first { " WHERE (" } else { " AND (" }));
        first = false;
        for piece in edits.apply(planner.sql, *span) {
            push(&mut sql, piece);
        }
        push(&mut sql, text(")"));
    }
    let access = match (access, confined(planner.analysis, id)) {
        (Some(access), _) => access,
        (None, Some(condition)) => {
            planner.proof.push(format!("{} confines {}", sentence(&condition), item.name));
            Access::Keys(vec![condition])
        }
        (None, None) => Access::All,
    };
    Input { sql, access, columns }
}

/// A view whose rows are the sum of the shards' is an input like a table.
fn view(planner: &Planner<'_>, item: &Ref, _edits: &Edits) -> Option<Input> {
    let columns = used(item);
    if columns.is_empty() {
        return None;
    }
    let list: Vec<String> = columns.iter().map(|column| format!("{}.{}", ident(&item.name), ident(column))).collect();
    let sql = format!("SELECT {} FROM {}", list.join(", "), item.place.1.of(planner.sql));
    let statement = crate::sql::parse::parse(&sql, planner.context.standard_strings).ok()?;
    let Statement::Query(query) = &statement else { return None };
    let plan = query::plan_with(&sql, query, planner.context, planner.params, false).ok()?;
    match plan.work {
        Work::Route { .. } if matches!(plan.access, Access::Home | Access::Any) => {
            Some(Input { sql: vec![text(sql)], access: plan.access, columns })
        }
        Work::Scatter(mut scatter) if scatter.once.is_empty() => match &scatter.finish {
            Finish::Stream { order, hidden: 0, limit: None, offset: None, .. } if order.is_empty() => {
                let mut input = scatter.inputs.pop()?;
                input.columns = columns;
                Some(input)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The statement with a view's query in its place, planned anew.
fn expanded(planner: &mut Planner<'_>, item: &Ref) -> Result<Scatter, Refusal> {
    let unreadable = || unsupported("view", &format!("view \"{}\"", item.name));
    let Source::View { view, inside } = &item.source else { return Err(unreadable()) };
    let definition = planner.analysis.texts.get(view.text).ok_or_else(unreadable)?;
    // Row security within a view asks for the view's owner; the tables themselves would be read as the client.
    let guarded = |item: &Ref| item.guarded.then(|| item.name.clone());
    if let Some(table) = planner.analysis.refs.get(inside.clone()).unwrap_or_default().iter().find_map(guarded) {
        return Err(unsupported(
            "policy",
            &format!("the view \"{}\" of \"{table}\", which has row security,", item.name),
        ));
    }
    let names: Vec<String> = item.columns.iter().map(|column| column.name.clone()).collect();
    let mut edits = Edits::default();
    edits.replace(item.place.1, format!("({definition}) AS {} ({})", ident(&item.name), idents(&names)));
    for (span, id, name) in &planner.analysis.long_names {
        if planner.analysis.refs.get(*id).is_some_and(|other| other.place == item.place) {
            edits.replace(*span, format!("{}{name}", ident(&item.name)));
        }
    }
    let sql = super::shown(&edits.apply(planner.sql, planner.query.span));
    let statement = crate::sql::parse::parse(&sql, planner.context.standard_strings).map_err(|_| unreadable())?;
    let Statement::Query(query) = &statement else { return Err(unreadable()) };
    let plan = query::plan(&sql, query, planner.context, planner.params)?;
    planner.proof.extend(plan.proof);
    match plan.work {
        Work::Scatter(scatter) => Ok(scatter),
        Work::Refuse(refusal) | Work::Route { otherwise: refusal } => Err(refusal),
    }
}
