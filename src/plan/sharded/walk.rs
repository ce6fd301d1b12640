//! The parts of an expression, one level down.

use crate::sql::ast::{Call, Expr, ExprKind, Over, Quantified, Query};

/// A direct part of an expression.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    Expr(&'a Expr),
    Query(&'a Query),
}

/// An expression's direct parts, sub-queries among them.
pub fn parts(expr: &Expr) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    match &expr.kind {
        ExprKind::Column(_) | ExprKind::WholeRow(_) | ExprKind::Literal(_) | ExprKind::Param(_) | ExprKind::Default => {
        }
        ExprKind::Paren(x) | ExprKind::Not(x) | ExprKind::FieldStar(x) => out.push(Part::Expr(x)),
        ExprKind::And(list) | ExprKind::Or(list) | ExprKind::Array(list) | ExprKind::Row(list) => {
            out.extend(list.iter().map(Part::Expr));
        }
        ExprKind::Prefix { operand, .. }
        | ExprKind::IsNull { operand, .. }
        | ExprKind::Is { operand, .. }
        | ExprKind::Cast { operand, .. }
        | ExprKind::Field { operand, .. }
        | ExprKind::Collate { operand, .. } => out.push(Part::Expr(operand)),
        ExprKind::Binary { left, right, .. } | ExprKind::IsDistinct { left, right, .. } => {
            out.extend([Part::Expr(left), Part::Expr(right)]);
        }
        ExprKind::Overlaps(left, right) => out.extend([Part::Expr(left), Part::Expr(right)]),
        ExprKind::Between { operand, low, high, .. } => {
            out.extend([Part::Expr(operand), Part::Expr(low), Part::Expr(high)]);
        }
        ExprKind::InList { operand, list, .. } => {
            out.push(Part::Expr(operand));
            out.extend(list.iter().map(Part::Expr));
        }
        ExprKind::InQuery { operand, query, .. } => out.extend([Part::Expr(operand), Part::Query(query)]),
        ExprKind::Like { operand, pattern, escape, .. } => {
            out.extend([Part::Expr(operand), Part::Expr(pattern)]);
            out.extend(escape.as_deref().map(Part::Expr));
        }
        ExprKind::Quantified { operand, right, .. } => {
            out.push(Part::Expr(operand));
            out.push(match right {
                Quantified::Array(array) => Part::Expr(array),
                Quantified::Query(query) => Part::Query(query),
            });
        }
        ExprKind::Function(call) => call_parts(call, &mut out),
        ExprKind::Case { operand, whens, otherwise } => {
            out.extend(operand.as_deref().map(Part::Expr));
            for (when, then) in whens {
                out.extend([Part::Expr(when), Part::Expr(then)]);
            }
            out.extend(otherwise.as_deref().map(Part::Expr));
        }
        ExprKind::Exists(query) | ExprKind::Subquery(query) | ExprKind::ArrayQuery(query) => {
            out.push(Part::Query(query));
        }
        ExprKind::Subscript { operand, bounds } => {
            out.push(Part::Expr(operand));
            out.extend(bounds.iter().map(Part::Expr));
        }
        ExprKind::AtTimeZone { operand, zone } => out.extend([Part::Expr(operand), Part::Expr(zone)]),
    }
    out
}

fn call_parts<'a>(call: &'a Call, out: &mut Vec<Part<'a>>) {
    out.extend(call.args.iter().map(|arg| Part::Expr(&arg.value)));
    out.extend(call.order_by.iter().map(|item| Part::Expr(&item.expr)));
    out.extend(call.within_group.iter().flatten().map(|item| Part::Expr(&item.expr)));
    out.extend(call.filter.iter().map(Part::Expr));
    if let Some(Over::Window(window)) = &call.over {
        out.extend(window.partition_by.iter().map(Part::Expr));
        out.extend(window.order_by.iter().map(|item| Part::Expr(&item.expr)));
        out.extend(window.bounds.iter().map(Part::Expr));
    }
}

/// Whether `test` holds for the expression or a part of it, sub-queries left out.
pub fn any(expr: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    test(expr)
        || parts(expr).into_iter().any(|part| match part {
            Part::Expr(part) => any(part, test),
            Part::Query(_) => false,
        })
}

/// Whether a sub-query is among the parts.
pub fn has_query(expr: &Expr) -> bool {
    parts(expr).into_iter().any(|part| match part {
        Part::Expr(part) => has_query(part),
        Part::Query(_) => true,
    })
}

/// The expression without parentheses around it.
pub fn bare(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) => bare(inner),
        _ => expr,
    }
}

/// The conjuncts of a condition.
pub fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::Paren(inner) => conjuncts(inner),
        ExprKind::And(list) => list.iter().flat_map(conjuncts).collect(),
        _ => vec![expr],
    }
}
