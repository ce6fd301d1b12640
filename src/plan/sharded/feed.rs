//! Plans INSERT of what a query gives: each shard inserts rows that it reads itself, or the rows are read first, and each
//! is sent to where it belongs.

use super::analysis::*;
use super::confine::{conditions, sentence};
use super::defaults::{self, Omitted};
use super::query::{self, Kinds, Planner};
use super::refuse::{refuse, unsupported};
use super::scatter::{Prover, Spread};
use super::several::{Writing, nothing, values};
use super::splice::{Edits, text};
use super::walk::{bare, has_query};
use super::writes::{DRAWN, Rows, Write, leaves_given, sequence_default};
use super::{
    Access, Changed, FedInto, Feed, Finish, Input, Insertion, KeyCondition, Piece, Plan, Refusal, Scatter, Work,
    functions,
};
use crate::catalog::schema::{Column, Relation};
use crate::sql::ast::*;
use crate::sql::parse;
use crate::sql::quote::ident;
use crate::value::oid;

/// Whether what is inserted can be read by itself, as a query.
pub fn fits(insert: &Insert) -> bool {
    match values(insert) {
        None => matches!(insert.source, InsertSource::Query(_)),
        // One row of VALUES is read as a SELECT of its expressions.
        Some(Values { rows, .. }) => match rows.as_slice() {
            [row] => !row.values.iter().any(|value| matches!(value.kind, ExprKind::Default)),
            _ => false,
        },
    }
}

/// Plans it. `None`: it isn't such an INSERT, or one of the home shard's own.
pub fn plan(sql: &str, statement: &Statement, resolver: &super::names::Resolver<'_>) -> Option<Result<Plan, Refusal>> {
    let (Statement::Insert(insert), [write]) = (statement, resolver.out.writes.as_slice()) else { return None };
    let InsertSource::Query(source) = &insert.source else { return None };
    let Some(Source::Table { home }) = resolver.out.refs.get(write.id).map(|item| &item.source) else { return None };
    let writing = Writing { sql, statement, resolver, access: Access::All };
    let plain = values(insert).is_some();
    let mine = fits(insert)
        && match home {
            Home::Sharded(..) => {
                // A row with sub-queries is read as they are, unless one shard has all that it names.
                let queries = || {
                    values(insert).is_some_and(|values| values.rows.iter().any(|row| row.values.iter().any(has_query)))
                };
                let routed = || {
                    let plan = super::modify::route(&resolver.out, resolver.context);
                    plan.is_ok_and(|plan| matches!(plan.access, Access::Keys(_)))
                };
                !plain || matches!(write.rows, Rows::Given(_)) || queries() && !routed()
            }
            Home::Reference => !plain || writing.copies().is_err(),
            Home::Unsharded => Kinds::of(&resolver.out, 0..resolver.out.refs.len()).sharded,
            Home::Catalog => false,
        };
    if let Some(refusal) = resolver.out.one_shard.clone().filter(|_| mine) {
        return Some(Err(refusal));
    }
    mine.then(|| Feeding { sql, insert, source, write, home, writing: &writing }.plan())
}

/// An INSERT of what a query gives.
pub struct Feeding<'a> {
    pub sql: &'a str,
    pub insert: &'a Insert,
    pub source: &'a Query,
    pub write: &'a Write,
    pub home: &'a Home,
    pub writing: &'a Writing<'a>,
}

impl Feeding<'_> {
    fn analysis(&self) -> &Analysis {
        &self.writing.resolver.out
    }

    fn plan(&self) -> Result<Plan, Refusal> {
        let context = self.writing.resolver.context;
        let nowhere = Plan {
            access: Access::All,
            work: Work::Refuse(super::writes::unknown_key()),
            writes: true,
            proof: Vec::new(),
        };
        let mut plan = match (self.home, &self.write.rows) {
            (Home::Sharded(..), Rows::New(Some(_))) => {
                super::modify::route(self.analysis(), context).unwrap_or(nowhere)
            }
            _ => nowhere,
        };
        let routed = matches!(plan.access, Access::Keys(_));
        if let Ok((scatter, proof)) = self.pushed() {
            if !routed {
                plan.access = scatter.inputs.first().map_or(Access::All, |input| input.access.clone());
            }
            plan.proof.push(proof);
            plan.work = Work::Scatter(scatter);
            return Ok(plan);
        }
        match self.fed() {
            Ok(scatter) => {
                plan.proof.push("the query's rows are read once, and each is sent to where it belongs".to_string());
                plan.work = Work::Scatter(scatter);
            }
            Err(refusal) if routed => plan.work = Work::Route { otherwise: refusal },
            Err(refusal) => plan.work = Work::Refuse(refusal),
        }
        Ok(plan)
    }

    pub fn relation(&self) -> Result<&Relation, Refusal> {
        let relation = self.writing.resolver.relation_of(&self.insert.table);
        relation.ok_or_else(|| unsupported("write", "this target"))
    }

    fn level(&self) -> Result<&Level, Refusal> {
        let level = self.analysis().queries.get(&(0, self.source.span));
        level.ok_or_else(|| unsupported("query", "this query"))
    }

    fn planner<'a>(&'a self, query: &'a Query) -> Planner<'a> {
        Planner {
            sql: self.sql,
            query,
            context: self.writing.resolver.context,
            params: self.writing.resolver.params,
            analysis: self.analysis(),
            access: Access::All,
            proof: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// What must hold of what stands behind the query: it concerns one row.
    pub fn behind(&self) -> Result<(), Refusal> {
        if self.analysis().moments {
            return Err(unsupported("moment-literal", "a constant such as 'now' or 'today'"));
        }
        let conflict = self.insert.on_conflict.iter();
        let assigned = conflict.clone().flat_map(|conflict| conflict.update.iter().flatten());
        let filters = conflict.filter_map(|conflict| conflict.filter.as_ref()).map(|filter| &filter.expr);
        let returned = self.insert.returning.iter().flat_map(|returning| &returning.items);
        let returned = returned.filter_map(|item| match &item.kind {
            SelectItemKind::Expr(expr) => Some(expr),
            SelectItemKind::Star(_) => None,
        });
        let mut exprs = assigned.map(|assignment| &assignment.value).chain(filters).chain(returned);
        if exprs.any(has_query) {
            return Err(unsupported("subquery", "a sub-query in RETURNING or ON CONFLICT"));
        }
        let item = self.analysis().refs.get(self.write.id);
        if item.is_some_and(|item| item.system) {
            return Err(unsupported("system-column", "a system column of inserted rows"));
        }
        Ok(())
    }

    /// Columns without a value must get the one that one server would give: those whose default is to be evaluated once.
    fn defaults(&self, given: usize) -> Result<Omitted<'_>, Refusal> {
        let relation = self.relation()?;
        let assigned = self.insert.on_conflict.as_ref().and_then(|conflict| conflict.update.as_deref());
        defaults::alike(relation, assigned.unwrap_or_default())?;
        if leaves_given(self.insert, self.sql)
            && let Some(column) = relation.columns.iter().find(|column| column.identity)
        {
            return Err(sequence_default(&column.name));
        }
        let named = |position: usize, column: &Column| match &self.insert.columns {
            Some(columns) => columns.iter().any(|given| given.name.value == column.name),
            None => position < given,
        };
        let omitted = relation.columns.iter().enumerate().filter(|(position, column)| !named(*position, column));
        Ok(defaults::omitted(omitted.map(|(_, column)| column), self.key_name()))
    }

    /// The list of columns with these behind it.
    fn list(&self, edits: &mut Edits, width: usize, added: &[&Column]) -> Result<(), Refusal> {
        if added.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = added.iter().map(|column| ident(&column.name)).collect();
        match self.insert.columns.as_ref().and_then(|columns| columns.last()) {
            Some(last) => edits.insert(last.span.end, format!(", {}", names.join(", "))),
            None => {
                let columns = self.relation()?.columns.iter().take(width);
                let all: Vec<String> = columns.map(|column| ident(&column.name)).chain(names).collect();
                edits.insert(self.insert.table.span.end, format!(" ({})", all.join(", ")));
            }
        }
        Ok(())
    }

    /// Each shard runs it by itself: what it reads belongs on it.
    fn pushed(&self) -> Result<(Scatter, String), Refusal> {
        let off = || unsupported("insert-select", "this INSERT");
        let Home::Sharded(place, column) = self.home else { return Err(off()) };
        let QueryBody::Select(select) = &self.source.body else { return Err(off()) };
        let at = self.at(*column).ok_or_else(off)?;
        self.behind()?;
        let context = self.writing.resolver.context;
        functions::admissible(self.analysis(), context, true)?;
        let per_row = |call| functions::behaviour(call, context) == functions::Behaviour::PerRow;
        let sorted = self.source.order_by.is_some() && self.insert.returning.is_some();
        if self.insert.with.is_some()
            || sorted
            || self.analysis().queries.len() > 1 && self.analysis().calls.iter().any(per_row)
        {
            return Err(off());
        }
        let planner = self.planner(self.source);
        let prover = Prover { planner: &planner };
        let Spread::By { group: found, keys } = prover.rows(self.source, select, 0, false)? else { return Err(off()) };
        let level = self.level()?;
        let output = level.outputs.get(at).filter(|_| !level.open).ok_or_else(off)?;
        let key = self.relation()?.columns.get(*column).ok_or_else(off)?;
        let origin = output.origin.filter(|&origin| prover.reaches(origin, &keys, level.scope));
        if group(place) != Some(found.as_str()) || origin.is_none() || !keeps(output.type_oid, key) {
            return Err(off());
        }
        let mut edits = Edits::default();
        let mut once = planner.functions(&mut edits)?;
        self.appended(select, level.outputs.len(), &mut edits, &mut once)?.ok_or_else(off)?;
        let access = self.reads();
        let proof = match &access {
            Access::Keys(keys) => format!(
                "{}, the key of the rows that are inserted",
                keys.iter().map(sentence).collect::<Vec<_>>().join(" and ")
            ),
            _ => "each row that is inserted has the sharding key of a row on the same shard".to_string(),
        };
        let input = Input { sql: edits.apply(self.sql, self.insert.span), access, columns: Vec::new() };
        let finish = Finish::Changed(Changed { word: "INSERT 0", split: None, copies: None, told: None });
        Ok((Scatter::new(vec![input], finish, once), proof))
    }

    /// Puts what columns without a value get behind the `width` values that the query itself gives; `None` where a row of
    /// each shard needs one of its own.
    pub fn appended(
        &self,
        select: &Select,
        width: usize,
        edits: &mut Edits,
        once: &mut Vec<String>,
    ) -> Result<Option<()>, Refusal> {
        let Omitted { once: added, drawn } = self.defaults(width)?;
        if !drawn.is_empty() {
            return Ok(None);
        }
        self.list(edits, width, &added)?;
        let end = Span::new(select.items_span.end, select.items_span.end);
        for column in &added {
            once.push(column.default.clone().unwrap_or_default());
            edits.pieces(end, vec![text(", "), Piece::Once(once.len() - 1)]);
        }
        Ok(Some(()))
    }

    /// The shards of the rows that are read.
    fn reads(&self) -> Access {
        let analysis = self.analysis();
        let ids = analysis.sharded(0..analysis.refs.len()).filter(|&id| id != self.write.id);
        conditions(analysis, ids).map_or(Access::All, Access::Keys)
    }

    /// The rows are read, and sent to where they belong.
    fn fed(&self) -> Result<Scatter, Refusal> {
        self.behind()?;
        let relation = self.relation()?;
        let query = self.query()?;
        let context = self.writing.resolver.context;
        let unread = || unsupported("query", "this query");
        let parsed = parse::parse(&query, context.standard_strings).map_err(|_| unread())?;
        let Statement::Query(parsed) = &parsed else { return Err(unread()) };
        let plan = query::plan(&query, parsed, context, self.writing.resolver.params)?;
        if let Work::Refuse(refusal) = plan.work {
            return Err(refusal);
        }
        let level = self.level().ok();
        let width = match values(self.insert) {
            Some(values) => values.rows.first().map(|row| row.values.len()),
            None => level.filter(|level| !level.open).map(|level| level.outputs.len()),
        };
        let copies = matches!(self.home, Home::Reference);
        let Omitted { once: added, drawn } = match (self.home, width) {
            (Home::Unsharded, _) => Omitted::default(),
            (_, Some(width)) => self.defaults(width)?,
            (_, None) if self.insert.columns.is_some() => self.defaults(0)?,
            (_, None) => return Err(unsupported("insert-select", "an INSERT of columns that aren't known")),
        };
        let mut edits = Edits::default();
        let around = nothing(self.insert.span);
        let inside = |call: &Called| call.place.0 == 0 && self.holds(call.place.1);
        let calls = || self.analysis().calls.iter().filter(|call| !inside(call));
        if copies && calls().any(|call| functions::behaviour(call, context) == functions::Behaviour::PerRow) {
            return Err(unsupported("reference-volatile", "a volatile function in ON CONFLICT or RETURNING"));
        }
        let mut once = self.planner(&around).functions_of(calls(), &mut edits)?;
        self.list(&mut edits, width.unwrap_or(0), &[drawn.as_slice(), added.as_slice()].concat())?;
        let mut behind = Vec::new();
        for column in &added {
            once.push(column.default.clone().unwrap_or_default());
            behind.extend([text(", "), Piece::Once(once.len() - 1)]);
        }
        let mut before = vec![text("INSERT INTO ")];
        let (start, end) = (self.insert.table.span.start, self.source.span.start);
        before.extend(edits.apply(self.sql, Span::new(start, end)));
        if self.insert.overriding.is_none() && drawn.iter().any(|column| column.identity) {
            before.push(text("OVERRIDING SYSTEM VALUE "));
        }
        let conflict = self.insert.on_conflict.as_ref();
        let partly = conflict.is_some_and(|conflict| conflict.update.is_none() || conflict.filter.is_some());
        let ordered = self.insert.returning.is_some() && self.source.order_by.is_some();
        if ordered && partly && matches!(self.home, Home::Sharded(..)) {
            return Err(refuse(
                "returning-order",
                "pgbraid can't tell which of the rows that it sent to several shards RETURNING leaves out",
                "Leave RETURNING or ORDER BY away, or let ON CONFLICT update every row.",
            ));
        }
        let itself = |key: &crate::catalog::schema::ForeignKey| {
            (&key.target.0, &key.target.1) == (&relation.schema, &relation.name)
        };
        let feed = Feed {
            query,
            plan: Box::new(plan),
            insertion: Insertion {
                before,
                constants: self.constants()?,
                added: behind,
                after: edits.apply(self.sql, Span::new(self.source.span.end, self.insert.span.end)),
            },
            into: self.target(width, &drawn)?,
            drawn: drawn.iter().map(|column| defaults::default_of(relation, column)).collect(),
            // A row that is updated twice, and keys that rows have of each other, are judged by statement; triggers run by it.
            whole: conflict.is_some_and(|conflict| conflict.update.is_some())
                || relation.foreign_keys.iter().any(itself)
                || relation.triggers,
            ordered,
        };
        Ok(Scatter::new(Vec::new(), Finish::Fed(Box::new(feed)), once))
    }

    /// The sharding key's column.
    fn key_name(&self) -> Option<&str> {
        match self.home {
            Home::Sharded(_, column) => self.relation().ok()?.columns.get(*column).map(|key| key.name.as_str()),
            _ => None,
        }
    }

    fn target(&self, width: Option<usize>, drawn: &[&Column]) -> Result<FedInto, Refusal> {
        Ok(match (self.home, &self.write.rows) {
            (Home::Reference, _) => FedInto::Copies(self.insert.table.name.span.of(self.sql).to_owned()),
            (Home::Sharded(place, column), rows) => {
                let key = self.relation()?.columns.get(*column);
                let key = key.ok_or_else(|| unsupported("write", "this target"))?;
                let place = self.key(place, key);
                let at = match self.at(*column) {
                    // It stands behind the query's own columns.
                    Some(DRAWN) => {
                        let own = drawn.iter().position(|column| column.name == key.name);
                        let own = own.and_then(|own| Some(width? + own));
                        Some(own.ok_or_else(super::writes::unknown_key)?)
                    }
                    at => at,
                };
                match (at, rows) {
                    (Some(at), _) => FedInto::Shards { key: place, at: Some(at) },
                    // A constant, or no value at all.
                    (None, Rows::New(Some(condition))) if condition.values.len() == 1 => {
                        FedInto::Shards { key: condition.clone(), at: None }
                    }
                    _ => return Err(super::writes::unknown_key()),
                }
            }
            _ => FedInto::Home,
        })
    }

    fn key(&self, place: &crate::topology::placement::TablePlace, key: &Column) -> KeyCondition {
        let relation = self.relation().map(|relation| relation.name.clone()).unwrap_or_default();
        KeyCondition {
            column: format!("{relation}.{}", key.name),
            place: place.clone(),
            values: Vec::new(),
            assigned: Some(super::Assigned { typmod: key.typmod, not_null: key.not_null }),
        }
    }

    /// Which of the query's columns gives the key. `None`: none, or it is a constant.
    fn at(&self, column: usize) -> Option<usize> {
        if let Rows::Given(at) = self.write.rows {
            return Some(at);
        }
        let name = self.relation().ok()?.columns.get(column)?.name.clone();
        let at = match &self.insert.columns {
            Some(columns) => columns.iter().position(|given| given.name.value == name)?,
            None => column,
        };
        let level = self.level().ok().filter(|level| !level.open)?;
        let constants = self.constants().ok()?;
        (at < level.outputs.len() && !constants.iter().any(|(constant, _)| *constant == at)).then_some(at)
    }

    /// Whether this stands within the query.
    fn holds(&self, span: Span) -> bool {
        let within = |outer: Span| span.start >= outer.start && span.end <= outer.end;
        within(self.source.span) || self.insert.with.as_ref().is_some_and(|with| within(with.span))
    }

    /// The query's text, with the WITH that stands before INSERT.
    fn query(&self) -> Result<String, Refusal> {
        let body = match values(self.insert).and_then(|values| values.rows.first()) {
            Some(row) => {
                let inside = Span::new(row.span.start + 1, row.span.end.saturating_sub(1));
                format!("SELECT {}", inside.of(self.sql))
            }
            None => self.source.span.of(self.sql).to_owned(),
        };
        match &self.insert.with {
            None => Ok(body),
            Some(_) if self.source.with.is_some() => Err(unsupported("cte", "a WITH query before and behind INSERT")),
            Some(with) => Ok(format!("{} {body}", with.span.of(self.sql))),
        }
    }

    /// Columns that are plain constants, which take the type of the column that they are inserted into.
    fn constants(&self) -> Result<Vec<(usize, Vec<Piece>)>, Refusal> {
        if let Some(row) = values(self.insert).and_then(|values| values.rows.first()) {
            let plain = row.values.iter().enumerate().filter(|(_, value)| untyped(value));
            return Ok(plain.map(|(at, value)| (at, vec![text(value.span.of(self.sql))])).collect());
        }
        let Some(select) = selected(self.source) else { return Ok(Vec::new()) };
        let star = |item: &SelectItem| matches!(item.kind, SelectItemKind::Star(_));
        let (first, last) = (select.items.iter().position(star), select.items.iter().rposition(star));
        let width = self.level()?.outputs.len();
        let mut constants = Vec::new();
        for (at, item) in select.items.iter().enumerate() {
            let SelectItemKind::Expr(expr) = &item.kind else { continue };
            if !untyped(expr) {
                continue;
            }
            let place = match (first, last) {
                (Some(first), _) if at < first => at,
                (Some(_), Some(last)) if at > last && !self.level()?.open => width + at - select.items.len(),
                (Some(_), _) => return Err(unsupported("insert-select", "a constant between two stars")),
                (None, _) => at,
            };
            constants.push((place, vec![text(expr.span.of(self.sql))]));
        }
        Ok(constants)
    }
}

/// The SELECT whose columns are the query's, where their types are left open. DISTINCT gives constants a type.
fn selected(query: &Query) -> Option<&Select> {
    match &query.body {
        QueryBody::Select(select) => Some(&**select).filter(|select| select.distinct.is_none()),
        QueryBody::Nested(inner, _) => selected(inner),
        _ => None,
    }
}

/// A string, NULL or parameter: of no type by itself.
pub fn untyped(expr: &Expr) -> bool {
    matches!(bare(expr).kind, ExprKind::Literal(Literal::Null | Literal::Text(_)) | ExprKind::Param(_))
}

/// Whether a value of this type is the same once it is assigned to the key's column.
pub fn keeps(type_oid: u32, key: &Column) -> bool {
    let int = |oid: u32| matches!(oid, oid::INT2 | oid::INT4 | oid::INT8);
    let text = |oid: u32| matches!(oid, oid::TEXT | oid::VARCHAR);
    let alike = type_oid == key.type_oid || text(type_oid) && text(key.type_oid);
    int(type_oid) && int(key.type_oid) || key.typmod < 0 && alike && type_oid != 0
}
