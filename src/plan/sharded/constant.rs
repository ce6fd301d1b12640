//! Constants of a statement, evaluated where that is safe.

use super::KeyValue;
use super::walk::bare;
use crate::catalog::schema::Oid;
use crate::sql::ast::{Expr, ExprKind, Literal, Span, TypeName};
use crate::value::oid;

/// What an expression without columns is, if it is surely known.
pub fn evaluate(expr: &Expr, text: &str, params: &[Oid]) -> Option<KeyValue> {
    let expr = bare(expr);
    match &expr.kind {
        ExprKind::Literal(Literal::Null) => Some(KeyValue::Null),
        ExprKind::Literal(Literal::Text(Some(value))) => {
            Some(KeyValue::Literal { span: expr.span, type_oid: 0, text: value.clone() })
        }
        ExprKind::Literal(Literal::Number) => number(expr.span, text),
        ExprKind::Param(number) => Some(KeyValue::Param { number: *number, type_oid: declared(*number, params) }),
        ExprKind::Prefix { operator, qualified: false, operand } if operator == "-" || operator == "+" => {
            let KeyValue::Literal { type_oid, text: digits, .. } = evaluate(operand, text, params)? else {
                return None;
            };
            if !matches!(type_oid, oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC) {
                return None;
            }
            let negated = match digits.strip_prefix('-') {
                Some(rest) => rest.to_string(),
                None => format!("-{digits}"),
            };
            let digits = if operator == "-" { negated } else { digits };
            fits(type_oid, &digits)?;
            Some(KeyValue::Literal { span: expr.span, type_oid, text: digits })
        }
        ExprKind::Binary { operator, qualified: false, left, right } => {
            let (left, right) = (evaluate(left, text, params)?, evaluate(right, text, params)?);
            arithmetic(operator, &left, &right, expr.span)
        }
        ExprKind::Cast { operand, target } => cast(evaluate(operand, text, params)?, target, expr.span),
        _ => None,
    }
}

/// The type that the client gave a parameter, 0 for none.
pub fn declared(number: u32, params: &[Oid]) -> Oid {
    (number as usize).checked_sub(1).and_then(|at| params.get(at)).copied().unwrap_or(0)
}

fn number(span: Span, text: &str) -> Option<KeyValue> {
    let digits = span.of(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A fraction or an exponent: numeric. Other bases and underscores aren't read here.
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        return plain.then(|| KeyValue::Literal { span, type_oid: oid::NUMERIC, text: digits.to_string() });
    }
    let type_oid = match digits.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => oid::INT4,
        Ok(_) => oid::INT8,
        Err(_) => oid::NUMERIC,
    };
    Some(KeyValue::Literal { span, type_oid, text: digits.to_string() })
}

/// Whether an integer's text fits the type.
fn fits(type_oid: Oid, digits: &str) -> Option<()> {
    let value = match type_oid {
        oid::NUMERIC => return Some(()),
        _ => digits.parse::<i64>().ok()?,
    };
    let fits = match type_oid {
        oid::INT2 => i16::try_from(value).is_ok(),
        oid::INT4 => i32::try_from(value).is_ok(),
        _ => true,
    };
    fits.then_some(())
}

/// Sums and products of integer constants, where PostgreSQL finds no overflow.
fn arithmetic(operator: &str, left: &KeyValue, right: &KeyValue, span: Span) -> Option<KeyValue> {
    let int = |value: &KeyValue| match value {
        KeyValue::Literal { type_oid: type_oid @ (oid::INT2 | oid::INT4 | oid::INT8), text, .. } => {
            Some((*type_oid, text.parse::<i64>().ok()?))
        }
        _ => None,
    };
    let ((left_type, left), (right_type, right)) = (int(left)?, int(right)?);
    let type_oid = match (left_type, right_type) {
        (oid::INT8, _) | (_, oid::INT8) => oid::INT8,
        (oid::INT2, oid::INT2) => oid::INT2,
        _ => oid::INT4,
    };
    let value = match operator {
        "+" => left.checked_add(right)?,
        "-" => left.checked_sub(right)?,
        "*" => left.checked_mul(right)?,
        _ => return None,
    };
    let text = value.to_string();
    fits(type_oid, &text)?;
    Some(KeyValue::Literal { span, type_oid, text })
}

/// The OID of a built-in type that keys are compared with.
pub fn type_oid(target: &TypeName) -> Option<Oid> {
    let name = match target.name.as_slice() {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return None,
    };
    if target.array || target.setof || target.modifiers.is_some() {
        return None;
    }
    Some(match name.as_str() {
        "int2" => oid::INT2,
        "int4" => oid::INT4,
        "int8" => oid::INT8,
        "text" => oid::TEXT,
        "varchar" => oid::VARCHAR,
        "uuid" => oid::UUID,
        "numeric" => oid::NUMERIC,
        "date" => oid::DATE,
        "timestamp" => oid::TIMESTAMP,
        "timestamptz" => oid::TIMESTAMPTZ,
        _ => return None,
    })
}

fn cast(value: KeyValue, target: &TypeName, at: Span) -> Option<KeyValue> {
    let target = type_oid(target)?;
    let is_int = |oid: Oid| matches!(oid, oid::INT2 | oid::INT4 | oid::INT8);
    let is_text = |oid: Oid| matches!(oid, oid::TEXT | oid::VARCHAR);
    match value {
        KeyValue::Null => Some(KeyValue::Null),
        KeyValue::Literal { type_oid: 0, text, .. } => Some(KeyValue::Literal { span: at, type_oid: target, text }),
        KeyValue::Literal { type_oid, text, .. } if type_oid == target => {
            Some(KeyValue::Literal { span: at, type_oid, text })
        }
        KeyValue::Literal { type_oid, text, .. } if is_int(type_oid) && (is_int(target) || target == oid::NUMERIC) => {
            fits(target, &text)?;
            Some(KeyValue::Literal { span: at, type_oid: target, text })
        }
        KeyValue::Literal { type_oid, text, .. } if is_text(type_oid) && is_text(target) => {
            Some(KeyValue::Literal { span: at, type_oid: target, text })
        }
        KeyValue::Param { number, type_oid: 0 } => Some(KeyValue::Param { number, type_oid: target }),
        KeyValue::Param { number, type_oid }
            if type_oid == target
                || (is_int(type_oid) && (is_int(target) || target == oid::NUMERIC))
                || (is_text(type_oid) && is_text(target)) =>
        {
            Some(KeyValue::Param { number, type_oid })
        }
        _ => None,
    }
}
