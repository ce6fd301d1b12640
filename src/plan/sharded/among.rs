//! What a condition with a sub-query says of columns: `x IN (SELECT y …)`, `EXISTS (… WHERE y = x …)`.

use super::analysis::*;
use super::facts::Reader;
use super::names::{Resolver, output_name};
use super::walk::{any, bare, conjuncts};
use crate::sql::ast::*;

impl Resolver<'_> {
    /// What the conjuncts of a condition that holds in `scope` say by their sub-queries. `NOT IN`, `NOT EXISTS` and
    /// what stands below OR or NOT is no such conjunct: it says nothing of this kind.
    pub fn among(&mut self, condition: &Expr, scope: ScopeId) {
        for conjunct in conjuncts(condition) {
            match &conjunct.kind {
                ExprKind::InQuery { operand, query, negated: false } => self.in_query(operand, query, scope),
                ExprKind::Quantified { operand, operator, all: false, right: Quantified::Query(query) }
                    if operator == "=" =>
                {
                    self.in_query(operand, query, scope);
                }
                ExprKind::Exists(query) => self.exists(query, scope),
                _ => {}
            }
        }
    }

    /// `column IN (SELECT …)`: only rows of the sub-query that equal the column matter, and only rows around it whose
    /// column equals one of the sub-query's.
    fn in_query(&mut self, operand: &Expr, query: &Query, scope: ScopeId) {
        let operands = match &bare(operand).kind {
            ExprKind::Row(operands) => operands.as_slice(),
            _ => std::slice::from_ref(operand),
        };
        let place = (self.text, query.span);
        let Some(level) = self.out.queries.get(&place) else { return };
        let inner = level.scope;
        let origins: Vec<(Option<Target>, bool)> =
            level.outputs.iter().map(|output| output.origin).zip(level.free.iter().copied()).collect();
        for (at, (operand, (origin, free))) in operands.iter().zip(origins).enumerate() {
            let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
            let Some(column) = reader.column(operand) else { continue };
            if let Some(origin) = origin.filter(|_| free) {
                self.out.facts.push(Fact { scope: inner, column: origin, is: Is::Equal(column) });
            }
            self.out.among.push(Among { scope, column, rows: Rows::Output(place, at) });
        }
    }

    /// `EXISTS (SELECT … WHERE y = x)`: a row around it whose `x` equals no `y` is in no answer. Not where there is a row
    /// anyway, or where groups decide: an aggregate makes one of it all, and may stand wherever an output may.
    fn exists(&mut self, query: &Query, scope: ScopeId) {
        let QueryBody::Select(select) = &query.body else { return };
        let on = select.distinct.as_ref().is_some_and(|distinct| distinct.on.is_some());
        let outputs = on || query.order_by.is_some() || !select.windows.is_empty();
        if outputs || select.group_by.is_some() || select.having.is_some() || self.aggregates(select) {
            return;
        }
        let Some(level) = self.out.queries.get(&(self.text, query.span)) else { return };
        let inside = |target: Target| level.inside.contains(&target.0);
        let mut found = Vec::new();
        for fact in self.out.facts.iter().filter(|fact| fact.scope == level.scope) {
            let Is::Equal(other) = fact.is else { continue };
            match (inside(fact.column), inside(other)) {
                (true, false) => found.push((other, fact.column)),
                (false, true) => found.push((fact.column, other)),
                _ => {}
            }
        }
        let found = found.into_iter().map(|(column, inner)| Among { scope, column, rows: Rows::Column(inner) });
        self.out.among.extend(found);
    }

    fn aggregates(&self, select: &Select) -> bool {
        let aggregate = |expr: &Expr| match &expr.kind {
            ExprKind::Function(call) if call.over.is_none() => {
                let name = call.name.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
                super::functions::is_aggregate(self.context, name)
            }
            _ => false,
        };
        select.items.iter().any(|item| match &item.kind {
            SelectItemKind::Expr(expr) => any(expr, &aggregate),
            SelectItemKind::Star(_) => false,
        })
    }

    /// Whether a condition on output `at` may as well stand in the query's own WHERE: it leaves out whole groups, or rows
    /// that nothing else is made of.
    pub fn commutes(&self, query: &Query, at: usize) -> bool {
        transparent(query) || self.groups(query, at)
    }

    /// Whether the output is plainly one of GROUP BY's columns, and nothing looks at several groups.
    fn groups(&self, query: &Query, at: usize) -> bool {
        let QueryBody::Select(select) = &query.body else { return false };
        let Some(group) = &select.group_by else { return false };
        let windowed = |expr: &Expr| matches!(&expr.kind, ExprKind::Function(call) if call.over.is_some());
        let plain = |item: &SelectItem| match &item.kind {
            SelectItemKind::Expr(expr) => !any(expr, &windowed),
            SelectItemKind::Star(_) => false,
        };
        let bounded = query.limit.is_some() || query.offset.is_some() || !query.locking.is_empty();
        let on = select.distinct.as_ref().is_some_and(|distinct| distinct.on.is_some());
        if bounded || on || !select.items.iter().all(plain) {
            return false;
        }
        let Some(SelectItem { kind: SelectItemKind::Expr(expr), alias, .. }) = select.items.get(at) else {
            return false;
        };
        let reader = Reader { analysis: &self.out, text: self.text, params: self.params };
        let Some(column) = reader.column(expr) else { return false };
        let name = alias.as_ref().map(|alias| alias.value.as_str()).or_else(|| output_name(expr));
        let sql = self.out.texts.get(self.text).map(AsRef::as_ref).unwrap_or_default();
        let sets = group.items.iter().any(|item| !matches!(item, GroupItem::Expr(_)));
        !sets
            && group.items.iter().any(|item| match item {
                GroupItem::Expr(group) => match reader.column(group) {
                    Some(group) => group == column,
                    // An ordinal; the output's name.
                    None if matches!(group.kind, ExprKind::Literal(Literal::Number)) => {
                        group.span.of(sql).parse() == Ok(at + 1)
                    }
                    None => output_name(group).is_some() && output_name(group) == name,
                },
                _ => false,
            })
    }
}

/// Whether a condition on outputs may as well stand in the query's own WHERE: no LIMIT, groups, windows, set operations.
pub fn transparent(query: &Query) -> bool {
    let QueryBody::Select(select) = &query.body else {
        return match &query.body {
            QueryBody::Nested(inner, _) => query.limit.is_none() && query.offset.is_none() && transparent(inner),
            QueryBody::Table(..) => query.limit.is_none() && query.offset.is_none(),
            _ => false,
        };
    };
    let exprs = select.items.iter().filter_map(|item| match &item.kind {
        SelectItemKind::Expr(expr) => Some(expr),
        SelectItemKind::Star(_) => None,
    });
    query.limit.is_none()
        && query.offset.is_none()
        && query.locking.is_empty()
        && select.distinct.as_ref().is_none_or(|distinct| distinct.on.is_none())
        && select.group_by.is_none()
        && select.having.is_none()
        && !exprs.into_iter().any(|expr| any(expr, &|part| matches!(&part.kind, ExprKind::Function(_))))
}

/// Whether only whether there are rows matters of the select list of EXISTS, so that its `*` need no columns.
pub fn only_rows(query: &Query) -> bool {
    let QueryBody::Select(select) = &query.body else { return false };
    let bounded = query.limit.is_some() || query.offset.is_some();
    let ordered = query.order_by.is_some() || bounded;
    select.group_by.is_none() && select.having.is_none() && select.distinct.is_none() && !ordered
}
