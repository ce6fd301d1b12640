//! Prints a statement again with parentheses around each operator's bytes: what tests compare with PostgreSQL's reading.

use crate::sql::ast::{
    Call, CopySource, Expr, ExprKind, FromItem, GroupItem, InsertSource, JoinCondition, Over, Quantified, Query,
    QueryBody, Returning, SelectItemKind, Span, Statement, Window, With,
};

/// `sql` with parentheses around the bytes of each operator and its operands.
pub(super) fn explicit(sql: &str, statement: &Statement) -> String {
    let mut marks: Vec<(u32, bool, u32)> = Vec::new();
    each_expr(statement, &mut |expr| {
        if is_operator(expr) {
            // Where several begin, the longest first; where several end, the shortest first.
            marks.push((expr.span.start, true, u32::MAX - expr.span.end));
            marks.push((expr.span.end, false, 0));
        }
    });
    marks.sort_unstable_by_key(|&(at, opens, length)| (at, opens, length));
    let mut text = String::new();
    let mut done = 0;
    for (at, opens, _) in marks {
        text.push_str(Span::new(done, at).of(sql));
        text.push(if opens { '(' } else { ')' });
        done = at;
    }
    text.push_str(Span::new(done, sql.len() as u32).of(sql));
    text
}

fn is_operator(expr: &Expr) -> bool {
    match &expr.kind {
        // Not `CAST(x AS t)` nor `type 'constant'`.
        ExprKind::Cast { operand, .. } => operand.span.start == expr.span.start,
        ExprKind::And(_)
        | ExprKind::Or(_)
        | ExprKind::Not(_)
        | ExprKind::Prefix { .. }
        | ExprKind::Binary { .. }
        | ExprKind::IsNull { .. }
        | ExprKind::Is { .. }
        | ExprKind::IsDistinct { .. }
        | ExprKind::Between { .. }
        | ExprKind::InList { .. }
        | ExprKind::InQuery { .. }
        | ExprKind::Like { .. }
        | ExprKind::Quantified { .. }
        | ExprKind::Collate { .. }
        | ExprKind::AtTimeZone { .. }
        | ExprKind::Overlaps(..) => true,
        _ => false,
    }
}

type Seen<'f> = &'f mut dyn FnMut(&Expr);

/// Shows each expression of the tree, outer ones before inner ones.
pub(super) fn each_expr(statement: &Statement, seen: Seen) {
    match statement {
        Statement::Query(query) => in_query(query, seen),
        Statement::Insert(insert) => {
            in_with(&insert.with, seen);
            if let InsertSource::Query(query) = &insert.source {
                in_query(query, seen);
            }
            if let Some(conflict) = &insert.on_conflict {
                conflict.update.iter().flatten().for_each(|assignment| in_expr(&assignment.value, seen));
                conflict.filter.iter().for_each(|clause| in_expr(&clause.expr, seen));
            }
            in_returning(&insert.returning, seen);
        }
        Statement::Update(update) => {
            in_with(&update.with, seen);
            update.assignments.iter().for_each(|assignment| in_expr(&assignment.value, seen));
            update.from.iter().flat_map(|from| &from.items).for_each(|item| in_from(item, seen));
            update.filter.iter().for_each(|clause| in_expr(&clause.expr, seen));
            in_returning(&update.returning, seen);
        }
        Statement::Delete(delete) => {
            in_with(&delete.with, seen);
            delete.using.iter().flat_map(|from| &from.items).for_each(|item| in_from(item, seen));
            delete.filter.iter().for_each(|clause| in_expr(&clause.expr, seen));
            in_returning(&delete.returning, seen);
        }
        Statement::Merge(merge) => {
            in_with(&merge.with, seen);
            in_from(&merge.source, seen);
            in_expr(&merge.on, seen);
            merge.expressions().for_each(|expr| in_expr(expr, seen));
            in_returning(&merge.returning, seen);
        }
        Statement::Copy(copy) => {
            if let CopySource::Statement(statement, _) = &copy.source {
                each_expr(statement, seen);
            }
            copy.filter.iter().for_each(|expr| in_expr(expr, seen));
        }
        Statement::Declare(declare) => in_query(&declare.query, seen),
        Statement::Explain(explain) => each_expr(&explain.statement, seen),
    }
}

fn in_with(with: &Option<With>, seen: Seen) {
    with.iter().flat_map(|with| &with.items).for_each(|cte| each_expr(&cte.statement, seen));
}

fn in_returning(returning: &Option<Returning>, seen: Seen) {
    for item in returning.iter().flat_map(|returning| &returning.items) {
        if let SelectItemKind::Expr(expr) = &item.kind {
            in_expr(expr, seen);
        }
    }
}

fn in_query(query: &Query, seen: Seen) {
    in_with(&query.with, seen);
    in_body(&query.body, seen);
    query.order_by.iter().flat_map(|order| &order.items).for_each(|item| in_expr(&item.expr, seen));
    query.limit.iter().filter_map(|limit| limit.count.as_ref()).for_each(|count| in_expr(count, seen));
    query.offset.iter().for_each(|offset| in_expr(&offset.count, seen));
}

fn in_body(body: &QueryBody, seen: Seen) {
    match body {
        QueryBody::Select(select) => {
            select.distinct.iter().filter_map(|distinct| distinct.on.as_ref()).flatten().for_each(|e| in_expr(e, seen));
            for item in &select.items {
                if let SelectItemKind::Expr(expr) = &item.kind {
                    in_expr(expr, seen);
                }
            }
            select.from.iter().flat_map(|from| &from.items).for_each(|item| in_from(item, seen));
            select.filter.iter().for_each(|clause| in_expr(&clause.expr, seen));
            for item in select.group_by.iter().flat_map(|group| &group.items) {
                if let GroupItem::Expr(expr) = item {
                    in_expr(expr, seen);
                }
            }
            select.having.iter().for_each(|clause| in_expr(&clause.expr, seen));
            select.windows.iter().for_each(|named| in_window(&named.window, seen));
        }
        QueryBody::Values(values) => values.rows.iter().flat_map(|row| &row.values).for_each(|e| in_expr(e, seen)),
        QueryBody::Table(..) => {}
        QueryBody::SetOperation(operation) => {
            in_body(&operation.left, seen);
            in_body(&operation.right, seen);
        }
        QueryBody::Nested(query, _) => in_query(query, seen),
    }
}

fn in_from(item: &FromItem, seen: Seen) {
    match item {
        FromItem::Table(_) => {}
        FromItem::Query(query) => in_query(&query.query, seen),
        FromItem::Function(function) => function.functions.iter().for_each(|expr| in_expr(expr, seen)),
        FromItem::Join(join) => {
            in_from(&join.left, seen);
            in_from(&join.right, seen);
            if let JoinCondition::On(expr) = &join.condition {
                in_expr(expr, seen);
            }
        }
    }
}

fn in_window(window: &Window, seen: Seen) {
    window.partition_by.iter().for_each(|expr| in_expr(expr, seen));
    window.order_by.iter().for_each(|item| in_expr(&item.expr, seen));
    window.bounds.iter().for_each(|expr| in_expr(expr, seen));
}

fn in_call(call: &Call, seen: Seen) {
    call.args.iter().for_each(|arg| in_expr(&arg.value, seen));
    call.order_by.iter().chain(call.within_group.iter().flatten()).for_each(|item| in_expr(&item.expr, seen));
    call.filter.iter().for_each(|expr| in_expr(expr, seen));
    if let Some(Over::Window(window)) = &call.over {
        in_window(window, seen);
    }
}

fn in_expr(expr: &Expr, seen: Seen) {
    seen(expr);
    match &expr.kind {
        ExprKind::Column(_) | ExprKind::WholeRow(_) | ExprKind::Literal(_) => {}
        ExprKind::Param(_) | ExprKind::Default => {}
        ExprKind::Paren(inner) | ExprKind::Not(inner) | ExprKind::FieldStar(inner) => in_expr(inner, seen),
        ExprKind::And(list) | ExprKind::Or(list) | ExprKind::Array(list) | ExprKind::Row(list) => {
            list.iter().for_each(|expr| in_expr(expr, seen));
        }
        ExprKind::Prefix { operand, .. }
        | ExprKind::IsNull { operand, .. }
        | ExprKind::Is { operand, .. }
        | ExprKind::Cast { operand, .. }
        | ExprKind::Field { operand, .. }
        | ExprKind::Collate { operand, .. } => in_expr(operand, seen),
        ExprKind::Binary { left, right, .. }
        | ExprKind::IsDistinct { left, right, .. }
        | ExprKind::AtTimeZone { operand: left, zone: right }
        | ExprKind::Overlaps(left, right) => {
            in_expr(left, seen);
            in_expr(right, seen);
        }
        ExprKind::Between { operand, low, high, .. } => {
            [operand, low, high].into_iter().for_each(|expr| in_expr(expr, seen));
        }
        ExprKind::InList { operand, list, .. } | ExprKind::Subscript { operand, bounds: list } => {
            in_expr(operand, seen);
            list.iter().for_each(|expr| in_expr(expr, seen));
        }
        ExprKind::InQuery { operand, query, .. } => {
            in_expr(operand, seen);
            in_query(query, seen);
        }
        ExprKind::Like { operand, pattern, escape, .. } => {
            in_expr(operand, seen);
            in_expr(pattern, seen);
            escape.iter().for_each(|expr| in_expr(expr, seen));
        }
        ExprKind::Quantified { operand, right, .. } => {
            in_expr(operand, seen);
            match right {
                Quantified::Array(expr) => in_expr(expr, seen),
                Quantified::Query(query) => in_query(query, seen),
            }
        }
        ExprKind::Function(call) => in_call(call, seen),
        ExprKind::Case { operand, whens, otherwise } => {
            operand.iter().for_each(|expr| in_expr(expr, seen));
            whens.iter().for_each(|(when, then)| {
                in_expr(when, seen);
                in_expr(then, seen);
            });
            otherwise.iter().for_each(|expr| in_expr(expr, seen));
        }
        ExprKind::Exists(query) | ExprKind::Subquery(query) | ExprKind::ArrayQuery(query) => in_query(query, seen),
    }
}
