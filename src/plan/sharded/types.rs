//! Types of expressions, where they are plain to see.

use super::query::Planner;
use super::walk::bare;
use crate::catalog::schema::Oid;
use crate::sql::ast::{Expr, ExprKind, Literal, TypeName};
use crate::value::oid;

/// The type's OID; 0: not known.
pub fn type_of(planner: &Planner<'_>, expr: &Expr) -> Oid {
    let expr = bare(expr);
    match &expr.kind {
        ExprKind::Column(name) => {
            let target = planner.analysis.columns.get(&(0, name.span)).and_then(|targets| targets.first());
            target.and_then(|&target| planner.analysis.column(target)).map_or(0, |column| column.type_oid)
        }
        ExprKind::Literal(Literal::Number) => match expr.span.of(planner.sql).parse::<i64>() {
            Ok(value) if i32::try_from(value).is_ok() => oid::INT4,
            Ok(_) => oid::INT8,
            Err(_) => oid::NUMERIC,
        },
        ExprKind::Literal(Literal::Bool(_)) => oid::BOOL,
        ExprKind::Param(number) => super::constant::declared(*number, planner.params),
        ExprKind::Cast { target, .. } => named(target),
        ExprKind::Prefix { operator, qualified: false, operand } if operator == "-" => {
            match type_of(planner, operand) {
                number if rank(number).is_some() => number,
                _ => 0,
            }
        }
        ExprKind::Binary { operator, qualified: false, left, right }
            if matches!(operator.as_str(), "+" | "-" | "*" | "/" | "%") =>
        {
            let (left, right) = (type_of(planner, left), type_of(planner, right));
            match (rank(left), rank(right)) {
                (Some(one), Some(two)) if one >= two => left,
                (Some(_), Some(_)) => right,
                _ => 0,
            }
        }
        ExprKind::Case { whens, otherwise, .. } => {
            common(planner, whens.iter().map(|(_, then)| then).chain(otherwise.as_deref()))
        }
        ExprKind::Function(call) if call.special && call.over.is_none() => {
            match call.name.parts.last().map(|part| part.value.as_str()) {
                Some("coalesce" | "greatest" | "least") => common(planner, call.args.iter().map(|arg| &arg.value)),
                _ => 0,
            }
        }
        _ => 0,
    }
}

/// The one type that all have, NULL left out.
fn common<'a>(planner: &Planner<'_>, exprs: impl Iterator<Item = &'a Expr>) -> Oid {
    let mut types: Vec<Oid> = exprs
        .filter(|expr| !matches!(bare(expr).kind, ExprKind::Literal(Literal::Null)))
        .map(|expr| type_of(planner, expr))
        .collect();
    types.sort_unstable();
    types.dedup();
    match types.as_slice() {
        [one] => *one,
        // Numbers of several types take the widest.
        many if many.iter().all(|&oid| rank(oid).is_some()) => {
            many.iter().copied().max_by_key(|&oid| rank(oid)).unwrap_or(0)
        }
        _ => 0,
    }
}

/// Numbers' order of conversion; real and others left out.
fn rank(oid: Oid) -> Option<u8> {
    match oid {
        oid::INT2 => Some(0),
        oid::INT4 => Some(1),
        oid::INT8 => Some(2),
        oid::NUMERIC => Some(3),
        oid::FLOAT8 => Some(5),
        _ => None,
    }
}

/// Whether it is a built-in type without a collation of its own.
pub fn known(target: &TypeName) -> bool {
    let mut plain = target.clone();
    plain.array = false;
    named(&plain) != 0
}

fn named(target: &TypeName) -> Oid {
    let mut plain = target.clone();
    plain.modifiers = None;
    if let Some(known) = super::constant::type_oid(&plain) {
        return known;
    }
    match target.name.last().map(String::as_str) {
        Some("float8") if !target.array => oid::FLOAT8,
        Some("float4") if !target.array => oid::FLOAT4,
        Some("interval") if !target.array => oid::INTERVAL,
        Some("bool") if !target.array => oid::BOOL,
        _ => 0,
    }
}
