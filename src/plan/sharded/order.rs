//! ORDER BY, LIMIT and OFFSET over several shards: merge keys, hidden columns, what may be pushed.

use super::analysis::Known;
use super::constant::evaluate;
use super::query::Planner;
use super::refuse::unsupported;
use super::splice::{Edits, push, text};
use super::walk::{self, Part, bare, parts};
use super::{Bound, Finish, KeyValue, Piece, Refusal, SortKey};
use crate::sql::ast::*;
use crate::sql::quote::ident;
use crate::sql::{Lexer, TokenKind};

/// The shards' text and what becomes of its rows.
pub struct Ordered {
    pub sql: Vec<Piece>,
    pub columns: Vec<String>,
    pub finish: Finish,
}

/// A sort key: an output's position, and how it sorts.
struct Key<'a> {
    column: usize,
    item: &'a OrderItem,
    collation: Known,
}

/// Writes the shards' text of a query whose rows stream.
pub fn plan(planner: &Planner<'_>, select: &Select, mut edits: Edits) -> Result<Ordered, Refusal> {
    let query = planner.query;
    let level = planner.level(query)?;
    if level.open {
        return Err(unsupported("function-columns", "* over columns that aren't known"));
    }
    let outputs = &level.outputs;
    let visible = outputs.len();
    let mut hidden: Vec<String> = Vec::new();
    let mut keys = Vec::new();
    for item in query.order_by.iter().flat_map(|order| &order.items) {
        let known = place(planner, select, &item.expr);
        let column = match known {
            Some(column) => column,
            None if select.distinct.is_some() => {
                return Err(unsupported("order-by", "this ORDER BY with DISTINCT"));
            }
            None => {
                hidden.push(item.expr.span.of(planner.sql).to_string());
                visible + hidden.len() - 1
            }
        };
        let collation = match (known, outputs.get(column)) {
            (Some(_), Some(output)) if output.collation != Known::Unknown => output.collation.clone(),
            _ => collation(planner, output_expr(select, known).unwrap_or(&item.expr)),
        };
        let expr = output_expr(select, known).unwrap_or(&item.expr);
        if collation == Known::Unknown && matches!(super::types::type_of(planner, expr), 0 | 25 | 1042 | 1043) {
            return Err(unsupported("collation", "an order under a collation that isn't known"));
        }
        if item.using.as_deref().is_some_and(|operator| !matches!(operator, "<" | ">")) {
            return Err(unsupported("order-using", "ORDER BY … USING"));
        }
        keys.push(Key { column, item, collation });
    }
    if !hidden.is_empty() {
        let list = query.order_by.iter().flat_map(|order| &order.items);
        let wanted: Vec<&OrderItem> = list.filter(|item| place(planner, select, &item.expr).is_none()).collect();
        let mut pieces = Vec::new();
        for (at, item) in wanted.iter().enumerate() {
            push(&mut pieces, text(if select.items.is_empty() && at == 0 { " " } else { ", " }));
            for piece in edits.apply(planner.sql, item.expr.span) {
                push(&mut pieces, piece);
            }
            push(&mut pieces, text(format!(" AS pgbraid_k{at}")));
        }
        let end = select.items_span.end;
        edits.pieces(Span::new(end, end), pieces);
    }
    let bounds = bounds(planner);
    if bounds.pushable {
        push_bounds(planner, &bounds, &mut edits);
    } else {
        edits.replace_clauses(query);
    }
    let sql = edits.apply(planner.sql, query.span);
    let columns: Vec<String> = (0..visible + hidden.len()).map(|at| format!("c{at}")).collect();
    // Rows without columns can't be collected.
    let instead = (!columns.is_empty()).then(|| instead(planner, &keys, visible, columns.len())).flatten();
    let finish = if bounds.pushable {
        let order = keys.iter().map(sort_key).collect();
        let with_ties = query.limit.as_ref().is_some_and(|limit| limit.with_ties);
        Finish::Stream { order, hidden: hidden.len(), limit: bounds.limit, offset: bounds.offset, with_ties, instead }
    } else {
        let sql = instead.ok_or_else(|| unsupported("collation", "an order under a collation that isn't known"))?;
        Finish::Rest { sql }
    };
    Ok(Ordered { sql, columns, finish })
}

fn sort_key(key: &Key<'_>) -> SortKey {
    let descending = descending(key.item);
    SortKey {
        column: key.column,
        descending,
        nulls_first: key.item.nulls_first.unwrap_or(descending),
        collation: match &key.collation {
            Known::Collation(collation) => Some(collation.clone()),
            _ => None,
        },
    }
}

fn descending(item: &OrderItem) -> bool {
    item.descending || item.using.as_deref() == Some(">")
}

/// The select item that an output column is, where no star shifts the count.
fn output_expr(select: &Select, column: Option<usize>) -> Option<&Expr> {
    let plain = select.items.iter().all(|item| matches!(item.kind, SelectItemKind::Expr(_)));
    match &select.items.get(column.filter(|_| plain)?)?.kind {
        SelectItemKind::Expr(expr) => Some(expr),
        SelectItemKind::Star(_) => None,
    }
}

/// The output column that an ORDER BY item is: an ordinal, an output's name, the same expression.
pub fn place(planner: &Planner<'_>, select: &Select, expr: &Expr) -> Option<usize> {
    let outputs = &planner.level(planner.query).ok()?.outputs;
    if let ExprKind::Literal(Literal::Number) = &expr.kind {
        let ordinal = expr.span.of(planner.sql).parse::<usize>().ok()?.checked_sub(1)?;
        return (ordinal < outputs.len()).then_some(ordinal);
    }
    if let Some(name) = super::names::output_name(expr)
        && let Some(at) = outputs.iter().position(|output| output.name == name)
    {
        return Some(at);
    }
    if let ExprKind::Column(name) = &bare(expr).kind
        && let Some(target) = planner.analysis.columns.get(&(0, name.span)).and_then(|targets| targets.first())
        && let Some(at) = outputs.iter().position(|output| output.origin == Some(*target))
    {
        return Some(at);
    }
    let wanted = normal(planner, expr);
    let mut column = 0;
    for item in &select.items {
        match &item.kind {
            SelectItemKind::Expr(item) if normal(planner, item) == wanted => return Some(column),
            SelectItemKind::Expr(_) => column += 1,
            SelectItemKind::Star(_) => return None,
        }
    }
    None
}

/// An expression's tokens in one spelling: columns by what they are, no spaces, no parentheses around it all.
pub fn normal(planner: &Planner<'_>, expr: &Expr) -> String {
    let expr = bare(expr);
    let sql = expr.span.of(planner.sql).as_bytes();
    let mut columns: Vec<(Span, String)> = Vec::new();
    names(planner, expr, &mut columns);
    let mut out = String::new();
    let mut after = 0;
    for token in Lexer::new(sql, planner.context.standard_strings) {
        if matches!(token.kind, TokenKind::Space | TokenKind::Comment) || token.start < after {
            continue;
        }
        let at = token.start + expr.span.start;
        if let Some((span, name)) = columns.iter().find(|(span, _)| span.start == at) {
            out.push_str(name);
            after = span.end - expr.span.start;
        } else if token.is_name() {
            out.push_str(&token.name(sql));
        } else {
            out.push_str(&String::from_utf8_lossy(token.bytes(sql)));
        }
        out.push(' ');
    }
    out
}

fn names(planner: &Planner<'_>, expr: &Expr, out: &mut Vec<(Span, String)>) {
    if let ExprKind::Column(name) = &expr.kind
        && let Some(target) = planner.analysis.columns.get(&(0, name.span)).and_then(|targets| targets.first())
    {
        out.push((name.span, format!("#{}.{}", target.0, target.1)));
    }
    for part in parts(expr) {
        if let Part::Expr(part) = part {
            names(planner, part, out);
        }
    }
}

/// The collation under which an expression's values sort, as far as it is surely known.
pub fn collation(planner: &Planner<'_>, expr: &Expr) -> Known {
    let own = &planner.context.schema.collation;
    let expr = bare(expr);
    match &expr.kind {
        ExprKind::Column(name) => {
            let target = planner.analysis.columns.get(&(0, name.span)).and_then(|targets| targets.first());
            let column = target.and_then(|&target| planner.analysis.column(target));
            return column.map_or(Known::Unknown, |column| column.collation.clone());
        }
        ExprKind::Collate { collation, .. } => return named(collation),
        ExprKind::Cast { operand, target } if super::types::known(target) => {
            return match collation(planner, operand) {
                Known::None => Known::Collation(own.clone()),
                known => known,
            };
        }
        _ => {}
    }
    let foreign = walk::any(expr, &|part| match &part.kind {
        ExprKind::Column(name) => {
            let target = planner.analysis.columns.get(&(0, name.span)).and_then(|targets| targets.first());
            match target.and_then(|&target| planner.analysis.column(target)).map(|column| &column.collation) {
                Some(Known::None) => false,
                Some(Known::Collation(collation)) => collation.name != own.name,
                _ => true,
            }
        }
        ExprKind::Cast { target, .. } => !super::types::known(target),
        ExprKind::Collate { .. } | ExprKind::Field { .. } | ExprKind::WholeRow(_) => true,
        _ => false,
    });
    if foreign || walk::has_query(expr) { Known::Unknown } else { Known::Collation(own.clone()) }
}

/// A collation of PostgreSQL's own that an explicit COLLATE names.
fn named(name: &Name) -> Known {
    let last = name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
    if matches!(last, "C" | "POSIX") {
        return Known::Collation(crate::catalog::schema::Collation {
            name: format!("pg_catalog.{}", ident(last)),
            provider: crate::catalog::schema::Provider::Bytes,
            locale: last.to_string(),
            deterministic: true,
            version: None,
        });
    }
    Known::Unknown
}

/// LIMIT and OFFSET, if the proxy can count them.
#[derive(Default)]
struct Bounds {
    limit: Option<Bound>,
    offset: Option<Bound>,
    pushable: bool,
}

fn bounds(planner: &Planner<'_>) -> Bounds {
    let query = planner.query;
    let mut bounds = Bounds { pushable: true, ..Default::default() };
    if let Some(limit) = &query.limit {
        match (&limit.count, limit.implied_one) {
            (None, true) => bounds.limit = Some(Bound::Rows(1)),
            (None, false) => {}
            (Some(count), _) => match bound(planner, count) {
                Some(count) => bounds.limit = count,
                None => bounds.pushable = false,
            },
        }
    }
    if let Some(offset) = &query.offset {
        match bound(planner, &offset.count) {
            Some(count) => bounds.offset = count,
            None => bounds.pushable = false,
        }
    }
    bounds
}

/// A literal or a parameter; the inner `None`: NULL, no bound. A negative number is left to PostgreSQL.
#[allow(clippy::option_option)]
fn bound(planner: &Planner<'_>, expr: &Expr) -> Option<Option<Bound>> {
    match evaluate(expr, planner.sql, planner.params)? {
        KeyValue::Null => Some(None),
        KeyValue::Literal { type_oid: 20 | 21 | 23, text, .. } => Some(Some(Bound::Rows(text.parse().ok()?))),
        KeyValue::Param { number, type_oid: 0 | 20 | 21 | 23 } => Some(Some(Bound::Param(number))),
        _ => None,
    }
}

/// Shards give as many rows as could be needed: the limit and what the offset skips.
fn push_bounds(planner: &Planner<'_>, bounds: &Bounds, edits: &mut Edits) {
    let query = planner.query;
    if let Some(offset) = &query.offset {
        edits.replace(offset.span, "");
    }
    let Some(limit) = &query.limit else { return };
    let rows = match (&bounds.limit, &bounds.offset) {
        (None, _) => None,
        (Some(Bound::Rows(limit)), None) => Some(limit.to_string()),
        (Some(Bound::Rows(limit)), Some(Bound::Rows(offset))) => {
            limit.checked_add(*offset).filter(|&sum| i64::try_from(sum).is_ok()).map(|sum| sum.to_string())
        }
        (Some(limit), offset) => {
            // As numeric: the sum may exceed a bigint. NULL is no bound; a negative one is an error told elsewhere.
            let limit = term(limit);
            let sum = match offset {
                Some(offset) => format!("{limit} + greatest(coalesce({}, 0), 0)", term(offset)),
                None => limit.clone(),
            };
            // greatest() leaves NULL out.
            let within = format!("least(greatest({sum}, 0), 9223372036854775807)");
            Some(format!("(CASE WHEN {limit} IS NOT NULL THEN {within} END)::bigint"))
        }
    };
    match rows {
        None => edits.replace(limit.span, ""),
        Some(rows) if limit.with_ties => edits.replace(limit.span, format!("FETCH FIRST ({rows}) ROWS WITH TIES")),
        Some(rows) => edits.replace(limit.span, format!("LIMIT {rows}")),
    }
}

fn term(bound: &Bound) -> String {
    match bound {
        Bound::Rows(rows) => format!("{rows}::numeric"),
        Bound::Param(number) => format!("(${number}::bigint)::numeric"),
    }
}

impl Edits {
    /// Takes LIMIT and OFFSET off.
    fn replace_clauses(&mut self, query: &Query) {
        if let Some(limit) = &query.limit {
            self.replace(limit.span, "");
        }
        if let Some(offset) = &query.offset {
            self.replace(offset.span, "");
        }
    }
}

/// The same order and bounds by PostgreSQL over the shards' rows.
fn instead(planner: &Planner<'_>, keys: &[Key<'_>], visible: usize, width: usize) -> Option<Vec<Piece>> {
    let query = planner.query;
    let bounded = query.limit.is_some() || query.offset.is_some();
    if keys.is_empty() && !bounded {
        return None;
    }
    let list = |to: usize| (0..to).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ");
    let mut out = vec![text(format!("SELECT {} FROM ", list(visible))), Piece::Input(0)];
    let mut tail = format!(" AS pgbraid_rows ({})", list(width));
    for (at, key) in keys.iter().enumerate() {
        tail.push_str(if at == 0 { " ORDER BY " } else { ", " });
        tail.push_str(&format!("c{}", key.column));
        match &key.collation {
            Known::Unknown => return None,
            Known::Collation(collation) if collation.name != planner.context.schema.collation.name => {
                tail.push_str(&format!(" COLLATE {}", collation.name));
            }
            _ => {}
        }
        let descending = descending(key.item);
        let nulls = key.item.nulls_first.unwrap_or(descending);
        tail.push_str(if descending { " DESC" } else { " ASC" });
        tail.push_str(if nulls { " NULLS FIRST" } else { " NULLS LAST" });
    }
    for span in [query.offset.as_ref().map(|offset| offset.span), query.limit.as_ref().map(|limit| limit.span)]
        .into_iter()
        .flatten()
    {
        tail.push(' ');
        tail.push_str(span.of(planner.sql));
    }
    push(&mut out, text(tail));
    Some(out)
}
