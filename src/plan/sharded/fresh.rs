//! Whether RETURNING of an INSERT asks a row's `xmax` only if it is new: `xmax = 0`, as upserts are told from inserts.
//!
//! The xmax of a new row is 0. One that ON CONFLICT updated was first locked by the same transaction, and the new version keeps
//! the lock's number (`heap_update`), which isn't 0. So the answer is the same on every server, though the number isn't.

use super::names::Resolver;
use super::walk::{Part, bare, parts};
use crate::sql::ast::{Expr, ExprKind, Insert, Literal, SelectItemKind, Span};

impl Resolver<'_> {
    /// Notes the places of `xmax` where RETURNING asks no more than this.
    pub fn asks_if_new(&mut self, insert: &Insert) {
        let sql = self.out.texts.get(self.text).cloned().unwrap_or_default();
        let text = self.text;
        for item in insert.returning.iter().flat_map(|returning| &returning.items) {
            if let SelectItemKind::Expr(expr) = &item.kind {
                find(expr, &sql, &mut |span| self.asked_if_new.push((text, span)));
            }
        }
    }
}

fn find(expr: &Expr, sql: &str, found: &mut dyn FnMut(Span)) {
    if let ExprKind::Binary { operator, qualified: false, left, right } = &expr.kind {
        let number = match operator.as_str() {
            "=" | "<>" => [(left, right), (right, left)].into_iter().find(|(_, other)| zero(other, sql)),
            ">" => Some((left, right)).filter(|(xmax, other)| integer(xmax) && zero(other, sql)),
            "<" => Some((right, left)).filter(|(xmax, other)| integer(xmax) && zero(other, sql)),
            _ => None,
        };
        if let Some(span) = number.and_then(|(xmax, _)| xmax_of(xmax)) {
            found(span);
        }
    }
    for part in parts(expr) {
        if let Part::Expr(part) = part {
            find(part, sql, found);
        }
    }
}

/// The place of `xmax` or `t.xmax`, perhaps with casts that leave its number: to text, and from there to an integer.
fn xmax_of(expr: &Expr) -> Option<Span> {
    match &bare(expr).kind {
        ExprKind::Column(name) => {
            let last = name.parts.last().filter(|_| name.parts.len() <= 2)?;
            (last.value == "xmax").then_some(name.span)
        }
        ExprKind::Cast { operand, target } if is_one_of(target, &["text", "int4", "int8"]) => xmax_of(operand),
        _ => None,
    }
}

/// Whether it was made a number with an order.
fn integer(expr: &Expr) -> bool {
    matches!(&bare(expr).kind, ExprKind::Cast { target, .. } if is_one_of(target, &["int4", "int8"]))
}

fn is_one_of(target: &crate::sql::ast::TypeName, names: &[&str]) -> bool {
    let plain = target.modifiers.is_none() && !target.array && !target.setof;
    plain && matches!(target.name.as_slice(), [name] if names.contains(&name.as_str()))
}

fn zero(expr: &Expr, sql: &str) -> bool {
    let expr = bare(expr);
    match &expr.kind {
        ExprKind::Literal(Literal::Number) => expr.span.of(sql) == "0",
        ExprKind::Literal(Literal::Text(Some(text))) => text == "0",
        _ => false,
    }
}
