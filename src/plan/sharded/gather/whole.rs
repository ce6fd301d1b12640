//! Sub-queries that shards answer by themselves: their groups, distinct rows and bounded rows are gathered, not the rows
//! of their tables.

use super::foreign;
use super::semi::unknown;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::names::output_name;
use crate::plan::sharded::order::{collation, normal};
use crate::plan::sharded::query::{Planner, Reach, plan_within};
use crate::plan::sharded::splice::{push, text};
use crate::plan::sharded::types::type_of;
use crate::plan::sharded::{Finish, Input, Piece, Scatter, Work};
use crate::sql::ast::*;
use crate::sql::quote::ident;

/// What stands in the rest in place of a sub-query, and its inputs, counted from 0.
pub struct Whole {
    pub span: Span,
    pub inside: std::ops::Range<RefId>,
    pub sql: Vec<Piece>,
    pub inputs: Vec<Input>,
    /// The item of FROM that it is.
    pub item: Option<RefId>,
    /// Outputs, and the input's columns that have no other values.
    pub gives: Vec<(usize, usize)>,
    /// Outputs that keys may be compared with, as the sub-query's own conditions call them.
    pub tests: Vec<(usize, String)>,
}

/// A sub-query by the upper rungs, if it hangs on nothing around it and gives fewer rows than its tables have.
/// `once`: what the statement evaluates once.
pub fn whole(planner: &Planner<'_>, query: &Query, once: &[String]) -> Option<Whole> {
    let QueryBody::Select(select) = &query.body else { return None };
    if !reduces(planner, query, select) {
        return None;
    }
    let level = planner.analysis.queries.get(&(0, query.span))?;
    if level.open || !alone(planner, query, level) {
        return None;
    }
    let collations = collations(planner, select, level)?;
    let sql = query.span.of(planner.sql);
    let Ok(Statement::Query(parsed)) = crate::sql::parse::parse(sql, planner.context.standard_strings) else {
        return None;
    };
    let tests = tests(planner, select, level);
    let keys = tests.iter().map(|(output, test)| unknown(test, *output)).collect();
    let plan = plan_within(sql, &parsed, planner.context, planner.params, Reach::Parts, keys).ok()?;
    let Work::Scatter(scatter) = plan.work else { return None };
    let Scatter { inputs, finish, once: own, rest_reads: false, within: None, views, .. } = scatter else {
        return None;
    };
    if !views.is_empty() {
        return None;
    }
    let numbers: Option<Vec<usize>> =
        own.iter().map(|text| once.iter().position(|known| known.eq_ignore_ascii_case(text))).collect();
    let numbers = numbers?;
    let renumbered = |pieces: Vec<Piece>| -> Vec<Piece> {
        let number = |piece| match piece {
            Piece::Once(at) => Piece::Once(numbers.get(at).copied().unwrap_or(at)),
            piece => piece,
        };
        pieces.into_iter().map(number).collect()
    };
    let source = match finish {
        Finish::Rest { sql } => enclosed(sql),
        Finish::Stream { instead: Some(instead), .. } => enclosed(instead),
        Finish::Stream { order, limit: None, offset: None, .. } if order.is_empty() => vec![Piece::Input(0)],
        _ => return None,
    };
    let sql = named(source, level, &collations);
    let inputs: Vec<Input> = inputs.into_iter().map(|input| Input { sql: renumbered(input.sql), ..input }).collect();
    let gives = gives(planner, select, level, &inputs);
    let inside = level.inside.clone();
    Some(Whole { span: query.span, inside, sql: renumbered(sql), inputs, item: None, gives, tests })
}

fn enclosed(sql: Vec<Piece>) -> Vec<Piece> {
    let mut pieces = vec![text("(")];
    sql.into_iter().for_each(|piece| push(&mut pieces, piece));
    push(&mut pieces, text(")"));
    pieces
}

/// Rows as the sub-query gives them: its names, its collations.
fn named(source: Vec<Piece>, level: &Level, collations: &[Option<String>]) -> Vec<Piece> {
    let columns: Vec<String> = (0..level.outputs.len()).map(|at| format!("c{at}")).collect();
    let list: Vec<String> = (level.outputs.iter().zip(&columns).zip(collations))
        .map(|((output, column), collation)| {
            let collate = collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
            format!("{column}{collate} AS {}", ident(&output.name))
        })
        .collect();
    let mut sql = vec![text(format!("SELECT {} FROM ", list.join(", ")))];
    source.into_iter().for_each(|piece| push(&mut sql, piece));
    push(&mut sql, text(format!(" AS pgbraid_w ({})", columns.join(", "))));
    sql
}

/// Outputs that plainly are columns, and whose keys leave out whole groups: each with its text.
fn tests(planner: &Planner<'_>, select: &Select, level: &Level) -> Vec<(usize, String)> {
    let column = |(at, item): (usize, &SelectItem)| match &item.kind {
        SelectItemKind::Expr(expr) => {
            let known = level.outputs.get(at).is_some_and(|output| output.origin.is_some());
            let free = level.free.get(at).copied().unwrap_or(false);
            (known && free).then(|| (at, format!("({})", expr.span.of(planner.sql))))
        }
        SelectItemKind::Star(_) => None,
    };
    let stars = select.items.iter().any(|item| matches!(item.kind, SelectItemKind::Star(_)));
    select.items.iter().enumerate().filter(|_| !stars).filter_map(column).collect()
}

/// Outputs, and the columns of the one input that have no other values.
fn gives(planner: &Planner<'_>, select: &Select, level: &Level, inputs: &[Input]) -> Vec<(usize, usize)> {
    let [input] = inputs else { return Vec::new() };
    let place = |name: String| input.columns.iter().position(|column| *column == name);
    let partial = input.columns.iter().any(|column| column.starts_with(['g', 'p']));
    let place = |at| match partial {
        true => place(format!("g{}", group(planner, select, at)?)),
        false => place(format!("c{at}")),
    };
    (0..level.outputs.len()).filter_map(|at| Some((at, place(at)?))).collect()
}

/// Which of the groups an output is, those that are the same counted once.
fn group(planner: &Planner<'_>, select: &Select, output: usize) -> Option<usize> {
    let spelled = |at: usize| match &select.items.get(at)?.kind {
        SelectItemKind::Expr(expr) => Some(normal(planner, expr)),
        SelectItemKind::Star(_) => None,
    };
    let named = |item: &SelectItem, name: &str| match (&item.alias, &item.kind) {
        (Some(alias), _) => alias.value == name,
        (None, SelectItemKind::Expr(expr)) => output_name(expr) == Some(name),
        _ => false,
    };
    let mut groups: Vec<String> = Vec::new();
    for item in select.group_by.iter().flat_map(|group| &group.items) {
        let GroupItem::Expr(expr) = item else { return None };
        let spelling = match &expr.kind {
            ExprKind::Literal(_) => spelled(expr.span.of(planner.sql).parse::<usize>().ok()?.checked_sub(1)?)?,
            ExprKind::Column(name) if !planner.analysis.columns.contains_key(&(0, name.span)) => {
                let name = output_name(expr)?;
                spelled(select.items.iter().position(|item| named(item, name))?)?
            }
            _ => normal(planner, expr),
        };
        if !groups.contains(&spelling) {
            groups.push(spelling);
        }
    }
    let wanted = spelled(output)?;
    groups.iter().position(|group| *group == wanted)
}

/// Whether it gives groups, distinct rows, or a bounded number of rows.
fn reduces(planner: &Planner<'_>, query: &Query, select: &Select) -> bool {
    let exprs = select.items.iter().filter_map(|item| match &item.kind {
        SelectItemKind::Expr(expr) => Some(expr),
        SelectItemKind::Star(_) => None,
    });
    let mut exprs = exprs.chain(select.having.as_ref().map(|having| &having.expr));
    query.limit.is_some()
        || select.distinct.is_some()
        || select.group_by.is_some()
        || exprs.any(|expr| planner.aggregates(expr))
}

/// Whether it names nothing that stands around it.
fn alone(planner: &Planner<'_>, query: &Query, level: &Level) -> bool {
    let analysis = planner.analysis;
    let items = analysis.refs.get(level.inside.clone()).unwrap_or_default();
    let plain = |item: &Ref| !item.system && !matches!(item.source, Source::Cte { .. } | Source::Function);
    let inside = analysis.columns.iter().filter(|(place, _)| place.0 == 0 && super::push::inside(query.span, place.1));
    query.locking.is_empty()
        && items.iter().all(plain)
        && inside.into_iter().all(|(_, targets)| targets.iter().all(|(id, _)| level.inside.contains(id)))
}

/// Each output's collation where it isn't the database's own. `None`: one isn't known.
fn collations(planner: &Planner<'_>, select: &Select, level: &Level) -> Option<Vec<Option<String>>> {
    let of = |known: &Known, number: bool| match known {
        Known::Collation(known) => Some(foreign(planner, known)),
        Known::None => Some(None),
        Known::Unknown => number.then_some(None),
    };
    if select.items.iter().any(|item| matches!(item.kind, SelectItemKind::Star(_))) {
        return level.outputs.iter().map(|output| of(&output.collation, false)).collect();
    }
    let exprs = select.items.iter().filter_map(|item| match &item.kind {
        SelectItemKind::Expr(expr) => Some(expr),
        SelectItemKind::Star(_) => None,
    });
    exprs.map(|expr| of(&collation(planner, expr), !matches!(type_of(planner, expr), 0 | 25 | 1042 | 1043))).collect()
}
