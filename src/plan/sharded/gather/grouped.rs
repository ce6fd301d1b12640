//! Correlated aggregates as groups: `x < (SELECT avg(y) FROM t WHERE t.k = o.k)` is answered by `t`'s groups by `k`, which
//! are joined with `o`.

use super::levels::{Levels, star_list};
use super::push::{fixed, refers};
use crate::catalog::schema::FIRST_USER_OID;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::facts::Reader;
use crate::plan::sharded::functions::is_aggregate;
use crate::plan::sharded::names::figured_name;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::splice::{Edits, shown};
use crate::plan::sharded::types::type_of;
use crate::plan::sharded::walk::{Part, bare, conjuncts, parts};
use crate::sql::ast::*;
use crate::sql::quote::ident;
use crate::value::oid;

/// Types whose `=` is the equality of groups, for all values.
const EQUAL: &[u32] = &[
    oid::INT2,
    oid::INT4,
    oid::INT8,
    oid::NUMERIC,
    oid::TEXT,
    oid::VARCHAR,
    oid::BPCHAR,
    oid::UUID,
    oid::DATE,
    oid::TIMESTAMP,
    oid::TIMESTAMPTZ,
];

/// Looks for a sub-query that can become groups.
struct Search<'p, 'b> {
    planner: &'p Planner<'b>,
    levels: &'p Levels<'p, 'b>,
}

/// Where an expression stands.
#[derive(Clone, Copy)]
struct Spot<'q> {
    select: &'q Select,
    query: Option<&'q Query>,
    /// In the select list.
    item: Option<&'q SelectItem>,
}

/// The statement with one sub-query as groups, to be planned anew; of several, the innermost first. `None`: there is no
/// such sub-query, or shards judge it with what is around it.
///
/// Rule: `(SELECT e FROM … WHERE k = o.k AND c)`, where `e` is made of aggregates, has for each row of `o` the value of
/// `e` over the group of `k = o.k`; there is one such group at most, since `=` of these types is the equality of groups.
/// Without a group an aggregate is NULL, `count` is 0. So `o` may be joined with the groups (LEFT JOIN, which keeps its
/// rows and makes none), whatever stands around `o`, and its columns be used wherever `o`'s may: in WHERE, ON and in the
/// select list of a query without groups. The aggregates and the conditions are evaluated for groups that nobody asks for
/// too, so only those count that can't fail; what is made of them stays where it was. Nothing in it may differ from call to
/// call.
pub fn rewritten(planner: &Planner<'_>, levels: &Levels<'_, '_>) -> Option<String> {
    Search { planner, levels }.query(planner.query)
}

impl Search<'_, '_> {
    fn query(&self, query: &Query) -> Option<String> {
        if self.levels.is_gone(query.span) {
            return None;
        }
        let mut ctes = query.with.iter().flat_map(|with| &with.items);
        let cte = ctes.find_map(|cte| match &cte.statement {
            Statement::Query(query) => self.query(query),
            _ => None,
        });
        cte.or_else(|| self.body(&query.body, Some(query)))
    }

    fn body(&self, body: &QueryBody, query: Option<&Query>) -> Option<String> {
        match body {
            QueryBody::Select(select) => self.select(select, query),
            QueryBody::Nested(query, _) => self.query(query),
            QueryBody::SetOperation(operation) => {
                self.body(&operation.left, None).or_else(|| self.body(&operation.right, None))
            }
            QueryBody::Values(_) | QueryBody::Table(..) => None,
        }
    }

    fn select(&self, select: &Select, query: Option<&Query>) -> Option<String> {
        let spot = Spot { select, query, item: None };
        let from = select.from.iter().flat_map(|from| &from.items);
        let found = from.into_iter().find_map(|item| self.from(item, spot));
        let found = found.or_else(|| select.filter.as_ref().and_then(|filter| self.expr(&filter.expr, spot)));
        found.or_else(|| {
            select.items.iter().find_map(|item| match &item.kind {
                SelectItemKind::Expr(expr) => self.expr(expr, Spot { item: Some(item), ..spot }),
                SelectItemKind::Star(_) => None,
            })
        })
    }

    fn from(&self, item: &FromItem, spot: Spot<'_>) -> Option<String> {
        match item {
            FromItem::Query(query) => self.query(&query.query),
            FromItem::Join(join) => {
                let on = match &join.condition {
                    JoinCondition::On(condition) => self.expr(condition, spot),
                    _ => None,
                };
                on.or_else(|| self.from(&join.left, spot)).or_else(|| self.from(&join.right, spot))
            }
            FromItem::Table(_) | FromItem::Function(_) => None,
        }
    }

    fn expr(&self, expr: &Expr, spot: Spot<'_>) -> Option<String> {
        if self.levels.is_gone(expr.span) {
            return None;
        }
        let found = parts(expr).into_iter().find_map(|part| match part {
            Part::Expr(part) => self.expr(part, spot),
            Part::Query(query) => self.query(query),
        });
        match &expr.kind {
            ExprKind::Subquery(query) => found.or_else(|| self.grouped(expr, query, spot)),
            _ => found,
        }
    }

    /// The statement with this sub-query as groups.
    fn grouped(&self, expr: &Expr, query: &Query, spot: Spot<'_>) -> Option<String> {
        let (planner, analysis) = (self.planner, self.planner.analysis);
        let level = analysis.queries.get(&(0, query.span))?;
        let (select, item) = alone(query)?;
        let gathered = |id: RefId| match analysis.refs.get(id).map(|item| &item.source) {
            Some(Source::Table { home }) => matches!(home, Home::Sharded(..) | Home::Unsharded),
            _ => false,
        };
        if !level.inside.clone().any(gathered) || !fixed(planner, query.span) || !self.plain(spot) {
            return None;
        }
        let (pairs, own) = self.conditions(select, level)?;
        let &(_, (outer, _)) = pairs.first()?;
        let joined = analysis.refs.get(outer).filter(|item| item.place.0 == 0)?;
        if pairs.iter().any(|(_, (id, _))| *id != outer) || !stands(spot.select, joined.place.1) {
            return None;
        }
        // One that isn't there yet: what was rewritten before has moved.
        let name = (query.span.start..).map(|at| format!("pgbraid_s{at}")).find(|name| !planner.sql.contains(name))?;
        let mut edits = Edits::default();
        let (value, mut list) = self.value(item, level, &name)?;
        let mut groups = Vec::new();
        let mut ties = Vec::new();
        for (at, (inner, column)) in pairs.iter().enumerate() {
            let inner = inner.span.of(planner.sql);
            list.insert(at, format!("{inner} AS pgbraid_k{at}"));
            groups.push(inner);
            ties.push(format!("{name}.pgbraid_k{at} = {}", super::joined::quoted(analysis, *column)?));
        }
        let own: Vec<String> = own.iter().map(|own| format!("({})", own.span.of(planner.sql))).collect();
        let filter = if own.is_empty() { String::new() } else { format!(" WHERE {}", own.join(" AND ")) };
        let from = select.from.as_ref()?.span.of(planner.sql);
        let (list, groups, ties) = (list.join(", "), groups.join(", "), ties.join(" AND "));
        let place = joined.place.1.of(planner.sql);
        let sql = format!("({place} LEFT JOIN (SELECT {list} {from}{filter} GROUP BY {groups}) AS {name} ON {ties})");
        edits.replace(joined.place.1, sql);
        edits.replace(expr.span, value);
        if let Some((span, list)) = star_list(planner, spot.select, spot.query)? {
            edits.replace(span, list);
        }
        if let Some(SelectItem { span, kind: SelectItemKind::Expr(expr), alias: None }) = spot.item {
            let name = figured_name(expr);
            if name != "?column?" {
                edits.insert(span.end, format!(" AS {}", ident(&name)));
            }
        }
        Some(shown(&edits.apply(planner.sql, planner.query.span)))
    }

    /// Whether columns of FROM may be used here: not where groups decide which.
    fn plain(&self, spot: Spot<'_>) -> bool {
        let select = spot.select;
        if select.from.iter().flat_map(|from| &from.items).any(aliased) {
            return false;
        }
        let aggregates = |item: &SelectItem| match &item.kind {
            SelectItemKind::Expr(expr) => self.planner.aggregates(expr),
            SelectItemKind::Star(_) => false,
        };
        let mut order = spot.query.iter().flat_map(|query| &query.order_by).flat_map(|order| &order.items);
        spot.item.is_none()
            || select.group_by.is_none()
                && select.having.is_none()
                && select.distinct.is_none()
                && !select.items.iter().any(aggregates)
                && !order.any(|item| self.planner.aggregates(&item.expr))
    }

    /// WHERE's equalities of an inner and an outer column, and its other conditions, which name nothing outside.
    #[allow(clippy::type_complexity)]
    fn conditions<'q>(&self, select: &'q Select, level: &Level) -> Option<(Vec<(&'q Expr, Target)>, Vec<&'q Expr>)> {
        let analysis = self.planner.analysis;
        let reader = Reader { analysis, text: 0, params: self.planner.params };
        let within = |target: &Target| level.inside.contains(&target.0);
        let pair = |one: &'q Expr, two: &Expr| {
            let (inner, outer) = (reader.column(one)?, reader.column(two)?);
            let (inside, around) = (analysis.column(inner)?, analysis.column(outer)?);
            let same = comparable(inside, around) && EQUAL.contains(&inside.type_oid);
            (same && within(&inner) && !within(&outer)).then_some((one, outer))
        };
        let mut pairs = Vec::new();
        let mut own = Vec::new();
        for conjunct in conjuncts(&select.filter.as_ref()?.expr) {
            let found = match &conjunct.kind {
                ExprKind::Binary { operator, qualified: false, left, right } if operator == "=" => {
                    pair(left, right).or_else(|| pair(right, left))
                }
                _ => None,
            };
            match found {
                Some(pair) => pairs.push(pair),
                None if self.harmless_condition(conjunct) && refers(self.planner, conjunct)?.iter().all(&within) => {
                    own.push(conjunct);
                }
                None => return None,
            }
        }
        let from = |item: &FromItem| self.from_refers(item, level);
        let from = select.from.as_ref().is_some_and(|clause| clause.items.iter().all(from));
        (from && !pairs.is_empty()).then_some((pairs, own))
    }

    /// Whether an item of FROM names nothing outside.
    fn from_refers(&self, item: &FromItem, level: &Level) -> bool {
        match item {
            FromItem::Table(_) => true,
            FromItem::Join(join) => {
                let on = match &join.condition {
                    JoinCondition::On(condition) => refers(self.planner, condition)
                        .is_some_and(|columns| columns.iter().all(|(id, _)| level.inside.contains(id))),
                    _ => true,
                };
                on && self.from_refers(&join.left, level) && self.from_refers(&join.right, level)
            }
            FromItem::Query(_) | FromItem::Function(_) => false,
        }
    }

    /// What stands in place of the sub-query, and the aggregates that it is made of, as the groups' columns.
    fn value(&self, item: &Expr, level: &Level, name: &str) -> Option<(String, Vec<String>)> {
        let mut edits = Edits::default();
        let mut list = Vec::new();
        self.aggregates(item, level, name, &mut edits, &mut list)?;
        let sql = self.planner.sql;
        (!list.is_empty()).then(|| (format!("({})", shown(&edits.apply(sql, item.span))), list))
    }

    fn aggregates(
        &self,
        expr: &Expr,
        level: &Level,
        name: &str,
        edits: &mut Edits,
        list: &mut Vec<String>,
    ) -> Option<()> {
        let planner = self.planner;
        match &expr.kind {
            ExprKind::Function(call) if call.over.is_some() => return None,
            ExprKind::Function(call) if is_aggregate(planner.context, called(call)) => {
                self.harmless(call, level)?;
                let column = format!("pgbraid_a{}", list.len());
                list.push(format!("{} AS {column}", expr.span.of(planner.sql)));
                let value = match called(call) {
                    "count" => format!("coalesce({name}.{column}, 0)"),
                    _ => format!("{name}.{column}"),
                };
                edits.replace(expr.span, value);
                return Some(());
            }
            ExprKind::Column(_) => {
                let columns = refers(planner, expr)?;
                return columns.iter().all(|(id, _)| !level.inside.contains(id)).then_some(());
            }
            ExprKind::WholeRow(_) | ExprKind::Field { .. } | ExprKind::FieldStar(_) => return None,
            _ => {}
        }
        parts(expr).into_iter().try_for_each(|part| match part {
            Part::Expr(part) => self.aggregates(part, level, name, edits, list),
            Part::Query(_) => None,
        })
    }

    /// Columns and constants, compared: no row makes it fail. What has no column is evaluated once, here as there.
    fn harmless_condition(&self, expr: &Expr) -> bool {
        const COMPARED: &[&str] = &["=", "<>", "!=", "<", ">", "<=", ">="];
        let all = || {
            parts(expr).into_iter().all(|part| match part {
                Part::Expr(part) => self.harmless_condition(part),
                Part::Query(_) => false,
            })
        };
        let constant = || refers(self.planner, expr).is_some_and(|columns| columns.is_empty());
        match &expr.kind {
            ExprKind::Column(_) => true,
            ExprKind::Paren(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Not(_)
            | ExprKind::IsNull { .. }
            | ExprKind::InList { .. }
            | ExprKind::Between { .. } => all(),
            ExprKind::Binary { operator, qualified: false, .. } if COMPARED.contains(&operator.as_str()) => all(),
            _ => constant(),
        }
    }

    /// An aggregate of PostgreSQL's own over a column, which no row makes fail.
    fn harmless(&self, call: &Call, level: &Level) -> Option<()> {
        let plain = call.order_by.is_empty() && call.within_group.is_none() && call.filter.is_none() && !call.variadic;
        let name = match call.name.parts.as_slice() {
            [name] => name.value.as_str(),
            _ => return None,
        };
        let builtin = self.planner.context.schema.functions.get(name)?.iter().all(|function| function.builtin);
        if !plain || !builtin {
            return None;
        }
        let [arg] = call.args.as_slice() else { return (call.star && name == "count").then_some(()) };
        if arg.name.is_some() {
            return None;
        }
        let columns = refers(self.planner, &arg.value)?;
        if name == "count" && matches!(bare(&arg.value).kind, ExprKind::Literal(_)) {
            return Some(());
        }
        let column = matches!(bare(&arg.value).kind, ExprKind::Column(_));
        if !column || columns.is_empty() || !columns.iter().all(|(id, _)| level.inside.contains(id)) {
            return None;
        }
        let type_oid = type_of(self.planner, &arg.value);
        match name {
            "count" => Some(()),
            "sum" | "avg" => matches!(type_oid, oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC).then_some(()),
            // Of values that are equal and not the same, which one comes hangs on the rows' order.
            "min" | "max" if type_oid < FIRST_USER_OID => {
                let known =
                    |&column| self.planner.analysis.column(column).is_some_and(|column| comparable(column, column));
                columns.iter().all(known).then_some(())
            }
            _ => None,
        }
    }
}

fn called(call: &Call) -> &str {
    call.name.parts.last().map_or("", |part| part.value.as_str())
}

/// A sub-query of one value and nothing but FROM and WHERE: the value.
fn alone(query: &Query) -> Option<(&Select, &Expr)> {
    let QueryBody::Select(select) = &query.body else { return None };
    let [SelectItem { kind: SelectItemKind::Expr(item), .. }] = select.items.as_slice() else { return None };
    let clauses = query.with.is_some() || query.order_by.is_some() || query.limit.is_some() || query.offset.is_some();
    let groups = select.distinct.is_some() || select.group_by.is_some() || select.having.is_some();
    let more = clauses || groups || !select.windows.is_empty() || select.into.is_some() || !query.locking.is_empty();
    (!more).then_some((select, item))
}

/// Whether the item at this place stands in a SELECT's own FROM.
fn stands(select: &Select, place: Span) -> bool {
    fn here(item: &FromItem, place: Span) -> bool {
        match item {
            FromItem::Table(item) => item.span == place,
            FromItem::Query(item) => item.span == place,
            FromItem::Function(_) => false,
            FromItem::Join(join) => here(&join.left, place) || here(&join.right, place),
        }
    }
    select.from.iter().flat_map(|from| &from.items).any(|item| here(item, place))
}

/// Whether a join has an alias, whose names count its columns.
fn aliased(item: &FromItem) -> bool {
    match item {
        FromItem::Join(join) => join.alias.is_some() || aliased(&join.left) || aliased(&join.right),
        _ => false,
    }
}
