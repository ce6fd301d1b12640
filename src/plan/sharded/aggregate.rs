//! Groups that several shards share: each shard gives partial results a group, one PostgreSQL finishes them.

use super::analysis::Known;
use super::gather::{foreign, source};
use super::names::{figured_name, output_name};
use super::order::{collation, normal};
use super::partial::{Argument, split};
use super::query::Planner;
use super::refuse::unsupported;
use super::scatter::{Prover, Spread};
use super::splice::{Edits, push, text};
use super::types::type_of;
use super::walk::{Part, bare, has_query, parts};
use super::{Finish, Piece, Refusal, Scatter, functions};
use crate::sql::ast::*;
use crate::sql::quote::ident;

/// The name of the partial results in the rest.
const ROWS: &str = "pgbraid_g";

/// Collects what the shards compute.
struct Splitter<'a, 'b> {
    planner: &'a Planner<'b>,
    /// What is evaluated once, in place.
    base: &'a Edits,
    /// The rest's replacements.
    edits: Edits,
    /// Group expressions in one spelling.
    groups: Vec<String>,
    /// The shards' select list.
    list: Vec<Vec<Piece>>,
    columns: Vec<String>,
    collations: Vec<Option<String>>,
    /// Partials in their spelling, to be shared.
    known: Vec<(String, usize)>,
}

/// A grouped query by partial results.
pub fn plan(planner: &mut Planner<'_>, base: Edits) -> Result<Scatter, Refusal> {
    let query = planner.query;
    let QueryBody::Select(select) = &query.body else {
        return Err(unsupported("set-operation", "a set operation"));
    };
    let prover = Prover { planner };
    if !matches!(prover.base(query, select)?, Spread::By { .. }) {
        return Err(unsupported("reference-preserved", "a query whose rows every shard has"));
    }
    let mut splitter = Splitter {
        planner,
        base: &base,
        edits: base.clone(),
        groups: Vec::new(),
        list: Vec::new(),
        columns: Vec::new(),
        collations: Vec::new(),
        known: Vec::new(),
    };
    splitter.group_by(select)?;
    splitter.outputs(select)?;
    splitter.order_by(query, select)?;
    let (input, rest, columns) = splitter.texts(query, select)?;
    planner.proof.push("shards give partial results a group, which PostgreSQL finishes".to_string());
    let mut scatter = planner.single(input, columns, Finish::Rest { sql: rest });
    scatter.once = Vec::new();
    Ok(scatter)
}

impl Splitter<'_, '_> {
    /// The group expressions.
    fn group_by(&mut self, select: &Select) -> Result<(), Refusal> {
        for item in select.group_by.iter().flat_map(|group| &group.items) {
            let GroupItem::Expr(expr) = item else {
                return Err(unsupported("grouping-sets", "GROUPING SETS, ROLLUP or CUBE"));
            };
            let expr = self.meant(expr, select)?;
            if has_query(expr) {
                return Err(unsupported("subquery", "a sub-query in GROUP BY"));
            }
            let spelling = normal(self.planner, expr);
            if !self.groups.contains(&spelling) {
                self.group(expr, spelling)?;
            }
        }
        Ok(())
    }

    /// One more group expression.
    fn group(&mut self, expr: &Expr, spelling: String) -> Result<(), Refusal> {
        if matches!(bare(expr).kind, ExprKind::Row(_)) {
            // A row without a type of its own can't be collected.
            return Err(unsupported("row", "groups of ROW (…)"));
        }
        self.groups.push(spelling);
        let known = collation(self.planner, expr);
        let collation = match &known {
            Known::Collation(known) => foreign(self.planner, known),
            Known::None => None,
            Known::Unknown if matches!(type_of(self.planner, expr), 0 | 25 | 1042 | 1043) => {
                return Err(unsupported("collation", "a group under a collation that isn't known"));
            }
            // A number has no collation to lose.
            Known::Unknown => None,
        };
        self.column(format!("g{}", self.groups.len() - 1), self.base.apply(self.planner.sql, expr.span), collation);
        Ok(())
    }

    fn column(&mut self, name: String, sql: Vec<Piece>, collation: Option<String>) {
        self.list.push(sql);
        self.columns.push(name);
        self.collations.push(collation);
    }

    /// What a GROUP BY item means: an ordinal and an output's name stand for its expression.
    fn meant<'e>(&self, expr: &'e Expr, select: &'e Select) -> Result<&'e Expr, Refusal> {
        let stars = select.items.iter().any(|item| matches!(item.kind, SelectItemKind::Star(_)));
        let item = match &expr.kind {
            ExprKind::Literal(Literal::Number) if !stars => {
                let at = expr.span.of(self.planner.sql).parse::<usize>().ok().and_then(|at| at.checked_sub(1));
                at.and_then(|at| select.items.get(at))
            }
            ExprKind::Column(name) if !self.planner.analysis.columns.contains_key(&(0, name.span)) => {
                let wanted = output_name(expr);
                select.items.iter().find(|item| match (&item.alias, &item.kind) {
                    (Some(alias), _) => Some(alias.value.as_str()) == wanted,
                    (None, SelectItemKind::Expr(expr)) => Some(figured_name(expr).as_str()) == wanted,
                    _ => false,
                })
            }
            ExprKind::Literal(_) => None,
            _ => return Ok(expr),
        };
        match item.map(|item| &item.kind) {
            Some(SelectItemKind::Expr(expr)) => Ok(expr),
            _ => Err(unsupported("group-by", "this GROUP BY")),
        }
    }

    fn outputs(&mut self, select: &Select) -> Result<(), Refusal> {
        for item in &select.items {
            let SelectItemKind::Expr(expr) = &item.kind else {
                return Err(unsupported("aggregate-star", "* beside groups"));
            };
            self.rewrite(expr)?;
            if item.alias.is_none() {
                let name = figured_name(expr);
                if name != "?column?" {
                    self.edits.insert(item.span.end, format!(" AS {}", ident(&name)));
                }
            }
        }
        if let Some(having) = &select.having {
            self.rewrite(&having.expr)?;
        }
        for window in &select.windows {
            let exprs = window.window.partition_by.iter();
            for expr in exprs.chain(window.window.order_by.iter().map(|item| &item.expr)).chain(&window.window.bounds) {
                self.rewrite(expr)?;
            }
        }
        for expr in select.distinct.iter().filter_map(|distinct| distinct.on.as_ref()).flatten() {
            self.sorted(expr, select)?;
        }
        Ok(())
    }

    fn order_by(&mut self, query: &Query, select: &Select) -> Result<(), Refusal> {
        for item in query.order_by.iter().flat_map(|order| &order.items) {
            self.sorted(&item.expr, select)?;
        }
        Ok(())
    }

    /// An ORDER BY item: ordinals and outputs' names stay.
    fn sorted(&mut self, expr: &Expr, select: &Select) -> Result<(), Refusal> {
        if matches!(expr.kind, ExprKind::Literal(_)) {
            return Ok(());
        }
        let named = output_name(expr).is_some_and(|name| {
            select.items.iter().any(|item| match (&item.alias, &item.kind) {
                (Some(alias), _) => alias.value == name,
                (None, SelectItemKind::Expr(expr)) => figured_name(expr) == name,
                _ => false,
            })
        });
        if named { Ok(()) } else { self.rewrite(expr) }
    }

    /// Puts group columns and finished aggregates in place of what they come from.
    fn rewrite(&mut self, expr: &Expr) -> Result<(), Refusal> {
        let spelling = normal(self.planner, expr);
        if let Some(at) = self.groups.iter().position(|group| *group == spelling) {
            self.edits.replace(expr.span, format!("{ROWS}.g{at}"));
            return Ok(());
        }
        match &expr.kind {
            // It hangs on a primary key among the groups: one more group splits none.
            ExprKind::Column(name) if dependent(self.planner, name, &self.groups) => {
                let at = self.groups.len();
                self.group(expr, spelling)?;
                self.edits.replace(expr.span, format!("{ROWS}.g{at}"));
                return Ok(());
            }
            ExprKind::Column(_) | ExprKind::WholeRow(_) => {
                return Err(unsupported("functional-dependence", "a column that isn't among the groups"));
            }
            ExprKind::Function(call) if call.over.is_none() => {
                let name = call.name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
                if name == "grouping" {
                    return Err(unsupported("grouping-sets", "GROUPING"));
                }
                if functions::is_aggregate(self.planner.context, name) {
                    return self.aggregate(expr, call, name);
                }
            }
            _ => {}
        }
        for part in parts(expr) {
            match part {
                Part::Expr(part) => self.rewrite(part)?,
                Part::Query(_) => return Err(unsupported("subquery", "a sub-query beside aggregates")),
            }
        }
        Ok(())
    }

    fn aggregate(&mut self, expr: &Expr, call: &Call, name: &str) -> Result<(), Refusal> {
        let whole = call.distinct || call.variadic || !call.order_by.is_empty() || call.within_group.is_some();
        if whole || call.args.iter().any(|arg| arg.name.is_some()) || has_query(expr) {
            return Err(unsupported("aggregate-function", &format!("this use of aggregate {name}")));
        }
        let sql = self.planner.sql;
        let args = match (call.args.first(), call.args.last()) {
            (Some(first), Some(last)) => first.value.span.to(last.value.span),
            _ => Span::default(),
        };
        let argument = super::shown(&Edits::default().apply(sql, args));
        let delimiter = match call.args.as_slice() {
            [_, second] if matches!(second.value.kind, ExprKind::Literal(Literal::Text(_))) => {
                Some(second.value.span.of(sql))
            }
            _ => None,
        };
        let first = call.args.first().map(|arg| &arg.value);
        let known = first.map_or(Known::None, |first| collation(self.planner, first));
        let type_oid = first.map_or(0, |first| type_of(self.planner, first));
        let parts = split(&Argument {
            name,
            text: &argument,
            star: call.star,
            count: call.args.len(),
            delimiter,
            type_oid,
            collation: &known,
        })?;
        let filter = call.filter.as_ref().map(|filter| format!(" FILTER (WHERE {})", filter.span.of(sql)));
        let clocks = self.base.touches(expr.span);
        if clocks {
            return Err(unsupported("aggregate-clock", "a function of the moment inside an aggregate"));
        }
        let mut last = parts.last;
        for (at, partial) in parts.partials.iter().enumerate() {
            let sql = format!("{partial}{}", filter.as_deref().unwrap_or_default());
            let collation = match &known {
                Known::Collation(known) if parts.collated => foreign(self.planner, known),
                _ => None,
            };
            let column = match self.known.iter().find(|(known, _)| *known == sql) {
                Some((_, column)) => *column,
                None => {
                    let column = self.known.len();
                    self.known.push((sql.clone(), column));
                    self.column(format!("p{column}"), vec![text(sql)], collation);
                    column
                }
            };
            last = last.replace(&format!("{{{at}}}"), &format!("{ROWS}.p{column}"));
        }
        self.edits.replace(expr.span, last);
        Ok(())
    }

    /// The shards' text and the rest's.
    #[allow(clippy::type_complexity)]
    fn texts(mut self, query: &Query, select: &Select) -> Result<(Vec<Piece>, Vec<Piece>, Vec<String>), Refusal> {
        let sql = self.planner.sql;
        let from = select.from.as_ref().ok_or_else(|| unsupported("query", "this query"))?;
        if self.list.is_empty() {
            // Only HAVING without an aggregate: whether there are rows doesn't matter.
            return Err(unsupported("aggregate", "groups without a column"));
        }
        let mut input = Vec::new();
        if let Some(with) = &query.with {
            for piece in self.base.apply(sql, with.span) {
                push(&mut input, piece);
            }
            push(&mut input, text(" "));
            self.edits.replace(with.span, "");
        }
        push(&mut input, text("SELECT "));
        for (at, pieces) in self.list.iter().enumerate() {
            push(&mut input, text(if at == 0 { "" } else { ", " }));
            for piece in pieces {
                push(&mut input, piece.clone());
            }
            push(&mut input, text(format!(" AS {}", self.columns.get(at).map(String::as_str).unwrap_or_default())));
        }
        let framed = self.planner.with_keys(self.base.clone());
        for span in std::iter::once(from.span).chain(select.filter.as_ref().map(|filter| filter.span)) {
            push(&mut input, text(" "));
            for piece in framed.apply(sql, span) {
                push(&mut input, piece);
            }
        }
        if let Some(group) = &select.group_by {
            let groups: Vec<String> = (0..self.groups.len()).map(|at| format!("{ROWS}.g{at}")).collect();
            self.edits.replace(group.span, format!("GROUP BY {}", groups.join(", ")));
            let ordinals: Vec<String> = (1..=self.groups.len()).map(|at| at.to_string()).collect();
            push(&mut input, text(format!(" GROUP BY {}", ordinals.join(", "))));
        }
        let mut rows = vec![text("FROM ")];
        for piece in source(0, &self.columns, &self.collations) {
            push(&mut rows, piece);
        }
        let quoted: Vec<String> = self.columns.iter().map(|column| ident(column)).collect();
        push(&mut rows, text(format!(" AS {ROWS} ({})", quoted.join(", "))));
        self.edits.pieces(from.span, rows);
        if let Some(filter) = &select.filter {
            self.edits.replace(filter.span, "");
        }
        let rest = self.edits.apply(sql, query.span);
        Ok((input, rest, self.columns))
    }
}

/// The columns outside aggregates that hang on a primary key among the groups, which gathered rows don't have: they
/// become groups too, which splits none.
pub fn dependents(planner: &Planner<'_>, select: &Select) -> Vec<String> {
    let Some(group) = &select.group_by else { return Vec::new() };
    let plain = |item: &GroupItem| match item {
        GroupItem::Expr(expr) => Some(normal(planner, expr)),
        _ => None,
    };
    let Some(mut groups) = group.items.iter().map(plain).collect::<Option<Vec<String>>>() else { return Vec::new() };
    let exprs: Vec<&Expr> = (select.items.iter())
        .filter_map(|item| match &item.kind {
            SelectItemKind::Expr(expr) => Some(expr),
            SelectItemKind::Star(_) => None,
        })
        .chain(select.having.as_ref().map(|having| &having.expr))
        .chain(planner.query.order_by.iter().flat_map(|order| &order.items).map(|item| &item.expr))
        .collect();
    // Ordinals and outputs' names among the groups stand for these.
    for (at, item) in select.items.iter().enumerate() {
        let SelectItemKind::Expr(expr) = &item.kind else { continue };
        let named = group.items.iter().any(|group| match group {
            GroupItem::Expr(group) => {
                group.span.of(planner.sql) == (at + 1).to_string()
                    || (output_name(group).is_some()
                        // A column of FROM comes before an output of that name.
                        && !planner.analysis.columns.contains_key(&(0, group.span))
                        && output_name(group) == item.alias.as_ref().map(|alias| alias.value.as_str()))
            }
            _ => false,
        });
        if named {
            groups.push(normal(planner, expr));
        }
    }
    let mut out = Vec::new();
    for expr in exprs {
        loose(planner, expr, &groups, &mut out);
    }
    out
}

/// Whether the table's primary key is among the groups.
fn dependent(planner: &Planner<'_>, name: &Name, groups: &[String]) -> bool {
    let target = planner.analysis.columns.get(&(0, name.span)).and_then(|targets| targets.first());
    let Some(&(id, _)) = target else { return false };
    let primary = planner.analysis.refs.get(id).and_then(|item| item.primary.as_ref());
    primary.is_some_and(|primary| primary.iter().all(|column| groups.contains(&format!("#{id}.{column} "))))
}

fn loose(planner: &Planner<'_>, expr: &Expr, groups: &[String], out: &mut Vec<String>) {
    if groups.contains(&normal(planner, expr)) {
        return;
    }
    match &expr.kind {
        ExprKind::Column(name) if dependent(planner, name, groups) => {
            let name = expr.span.of(planner.sql).to_string();
            if !out.contains(&name) {
                out.push(name);
            }
            return;
        }
        ExprKind::Function(call) if call.over.is_none() => {
            let name = call.name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
            if functions::is_aggregate(planner.context, name) {
                return;
            }
        }
        _ => {}
    }
    for part in parts(expr) {
        if let Part::Expr(part) = part {
            loose(planner, part, groups, out);
        }
    }
}

/// DISTINCT over rows that several shards share: each gives its own, PostgreSQL the whole.
pub fn distinct(planner: &mut Planner<'_>, base: Edits) -> Result<Scatter, Refusal> {
    let query = planner.query;
    let wrong = || unsupported("distinct", "this DISTINCT");
    let QueryBody::Select(select) = &query.body else { return Err(wrong()) };
    let plain = select.distinct.as_ref().is_some_and(|distinct| distinct.on.is_none());
    let stars = select.items.iter().any(|item| matches!(item.kind, SelectItemKind::Star(_)));
    let exprs = select.items.iter().filter_map(|item| match &item.kind {
        SelectItemKind::Expr(expr) => Some(expr),
        SelectItemKind::Star(_) => None,
    });
    let row = |expr: &Expr| matches!(bare(expr).kind, ExprKind::Row(_));
    let computed = exprs.clone().any(|expr| row(expr) || planner.aggregates(expr) || super::walk::any(expr, &windowed));
    if !plain || stars || computed || select.group_by.is_some() || select.having.is_some() {
        return Err(wrong());
    }
    let prover = Prover { planner };
    if !matches!(prover.base(query, select)?, Spread::By { .. }) || exprs.clone().any(has_query) {
        return Err(wrong());
    }
    let mut collations = Vec::new();
    for expr in exprs {
        collations.push(match collation(planner, expr) {
            Known::Collation(known) => foreign(planner, &known),
            Known::None => None,
            Known::Unknown => return Err(wrong()),
        });
    }
    let columns: Vec<String> = (0..collations.len()).map(|at| format!("c{at}")).collect();
    let mut order = String::new();
    for (at, item) in query.order_by.iter().flat_map(|order| &order.items).enumerate() {
        let column = super::order::place(planner, select, &item.expr).ok_or_else(wrong)?;
        let tail = Span::new(item.expr.span.end, item.span.end).of(planner.sql);
        order.push_str(&format!("{}c{column}{tail}", if at == 0 { " ORDER BY " } else { ", " }));
    }
    for span in [query.offset.as_ref().map(|offset| offset.span), query.limit.as_ref().map(|limit| limit.span)] {
        order.push_str(&span.map(|span| format!(" {}", span.of(planner.sql))).unwrap_or_default());
    }
    let mut edits = base;
    for span in [
        query.offset.as_ref().map(|offset| offset.span),
        query.limit.as_ref().map(|limit| limit.span),
        query.order_by.as_ref().map(|order| order.span),
    ]
    .into_iter()
    .flatten()
    {
        edits.replace(span, "");
    }
    let mut rest = vec![text(format!("SELECT DISTINCT {} FROM ", columns.join(", ")))];
    for piece in source(0, &columns, &collations) {
        push(&mut rest, piece);
    }
    push(&mut rest, text(format!(" AS pgbraid_d ({}){order}", columns.join(", "))));
    planner.proof.push("shards give their distinct rows, PostgreSQL the distinct ones of these".to_string());
    Ok(planner.single(edits.apply(planner.sql, query.span), columns, Finish::Rest { sql: rest }))
}

fn windowed(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Function(call) if call.over.is_some())
}
