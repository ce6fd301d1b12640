//! The ladder for a statement that reads: route, scatter, gather, refuse.

use super::analysis::{Analysis, Called, Home, Source};
use super::confine::{conditions, sentence};
use super::names::Resolver;
use super::refuse::unsupported;
use super::splice::Edits;
use super::{
    Access, Context, Finish, Input, Piece, Plan, Refusal, Scatter, Work, aggregate, functions, gather, scatter, walk,
};
use crate::catalog::schema::Oid;
use crate::sql::ast::*;

/// A statement with all that is known of it.
pub struct Planner<'a> {
    pub sql: &'a str,
    pub query: &'a Query,
    pub context: &'a Context<'a>,
    pub params: &'a [Oid],
    pub analysis: &'a Analysis,
    /// The keys that confine all of its tables.
    pub access: Access,
    pub proof: Vec<String>,
    /// Conditions to be known later that stand at the end of its WHERE: keys that it is to give rows for.
    pub keys: Vec<Piece>,
}

/// What kinds of tables a statement reads.
#[derive(Default, Debug)]
pub struct Kinds {
    pub sharded: bool,
    pub reference: bool,
    pub home: bool,
    pub catalog: bool,
}

impl Kinds {
    pub fn of(analysis: &Analysis, inside: std::ops::Range<usize>) -> Self {
        let mut kinds = Self::default();
        kinds.add(analysis, inside);
        kinds
    }

    fn add(&mut self, analysis: &Analysis, inside: std::ops::Range<usize>) {
        for (id, item) in analysis.refs.iter().enumerate().take(inside.end).skip(inside.start) {
            match &item.source {
                Source::Table { home: Home::Sharded(..) } => self.sharded = true,
                Source::Table { home: Home::Reference, .. } => self.reference = true,
                Source::Table { home: Home::Unsharded, .. } => self.home = true,
                Source::Table { home: Home::Catalog, .. } => self.catalog = true,
                // A WITH query that stands before: what reads it reads its tables.
                Source::Cte { inside: before } if before.end <= id && before.start < inside.start => {
                    self.add(analysis, before.clone());
                }
                _ => {}
            }
        }
    }
}

/// How far down the ladder a query may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The shards' answers are the answer.
    Streams,
    /// Or partial results of theirs.
    Parts,
    /// Or rows of its tables.
    Gathers,
}

/// Plans a query.
pub fn plan(sql: &str, query: &Query, context: &Context<'_>, params: &[Oid]) -> Result<Plan, Refusal> {
    plan_with(sql, query, context, params, Reach::Gathers)
}

/// Plans a query as far as it may go.
pub fn plan_with(
    sql: &str,
    query: &Query,
    context: &Context<'_>,
    params: &[Oid],
    reach: Reach,
) -> Result<Plan, Refusal> {
    plan_within(sql, query, context, params, reach, Vec::new())
}

/// The same of a query that is a part of another one. `keys`: see [`Planner::keys`].
pub fn plan_within(
    sql: &str,
    query: &Query,
    context: &Context<'_>,
    params: &[Oid],
    reach: Reach,
    keys: Vec<Piece>,
) -> Result<Plan, Refusal> {
    let mut resolver = Resolver::new(context, params, sql);
    resolver.query(query, 0)?;
    let analysis = resolver.out;
    if !analysis.writes.is_empty() {
        return super::modify::route(&analysis, context);
    }
    let kinds = Kinds::of(&analysis, 0..analysis.refs.len());
    functions::admissible(&analysis, context, kinds.sharded)?;
    let acts = analysis.calls.iter().any(|call| functions::acts(call, context));
    let locks = analysis.locks;
    let mut plan = Plan {
        access: Access::Home,
        work: Work::Route { otherwise: elsewhere() },
        writes: acts || locks,
        proof: vec![],
    };
    if into(query) && (kinds.sharded || kinds.reference) {
        return Err(unsupported("select-into", "SELECT INTO"));
    }
    if !kinds.sharded {
        if kinds.reference && !kinds.home && !kinds.catalog && !plan.writes && functions::anywhere(&analysis, context) {
            plan.access = Access::Any;
            plan.proof.push("only reference tables, which every shard has whole".to_string());
        } else {
            plan.proof.push("no sharded table: the home shard has everything".to_string());
        }
        return Ok(plan);
    }
    if kinds.catalog {
        return Err(unsupported("catalog", "a join of sharded tables with the system catalog"));
    }
    let confined = conditions(&analysis, analysis.sharded(0..analysis.refs.len()));
    plan.access = match confined {
        Some(conditions) if !kinds.home => {
            plan.proof.extend(conditions.iter().map(sentence));
            Access::Keys(conditions)
        }
        _ => Access::All,
    };
    let access = plan.access.clone();
    let mut planner = Planner { sql, query, context, params, analysis: &analysis, access, proof: Vec::new(), keys };
    match planner.several(reach) {
        Ok(scatter) => {
            plan.proof.append(&mut planner.proof);
            plan.work = Work::Scatter(scatter);
        }
        Err(refusal) if matches!(plan.access, Access::Keys(_)) => plan.work = Work::Route { otherwise: refusal },
        Err(refusal) => plan.work = Work::Refuse(refusal),
    }
    Ok(plan)
}

fn elsewhere() -> Refusal {
    unsupported("several-shards", "this statement")
}

fn into(query: &Query) -> bool {
    matches!(&query.body, QueryBody::Select(select) if select.into.is_some())
}

impl Planner<'_> {
    /// A plan over several shards.
    fn several(&mut self, reach: Reach) -> Result<Scatter, Refusal> {
        let mut edits = Edits::default();
        if self.analysis.outer_aggregates {
            return Err(unsupported("outer-aggregate", "an aggregate of the rows around its sub-query"));
        }
        for words in &self.analysis.table_words {
            edits.replace(*words, "SELECT * FROM ");
        }
        let once = self.functions(&mut edits)?;
        if self.analysis.moments {
            return Err(unsupported("moment-literal", "a constant such as 'now' or 'today'"));
        }
        let refusal = match self.scattered(edits.clone()) {
            Ok(scatter) => return Ok(Scatter { once, ..scatter }),
            Err(refusal) => refusal,
        };
        // Locks can't be taken twice over, nor rows of a gathered set be locked.
        if reach == Reach::Streams || self.analysis.locks {
            return Err(refusal);
        }
        match self.by_parts(refusal, edits.clone()) {
            Ok(scatter) => return Ok(Scatter { once, ..scatter }),
            Err(refusal) if reach == Reach::Parts => return Err(refusal),
            Err(_) => {}
        }
        let mut scatter = gather::plan(self, edits.clone(), &once, false)?;
        if scatter.once.is_empty() {
            scatter.once.clone_from(&once);
        }
        // A text that was planned anew counts what is evaluated once otherwise.
        if scatter.rest_reads && scatter.within.is_none() && scatter.once == once {
            let proofs = self.proof.len();
            let within = gather::plan(self, edits, &once, true).ok().filter(|within| !within.rest_reads);
            self.proof.truncate(proofs);
            scatter.within = within.map(|within| Box::new(Scatter { once: scatter.once.clone(), ..within }));
        }
        Ok(scatter)
    }

    /// The edits, and the keys at the end of WHERE.
    pub fn with_keys(&self, mut edits: Edits) -> Edits {
        let QueryBody::Select(select) = &self.query.body else { return edits };
        if self.keys.is_empty() {
            return edits;
        }
        let mut pieces = self.keys.clone();
        match (&select.filter, &select.from) {
            (Some(filter), _) => {
                // Behind the keyword: what is put in place of the condition's beginning must not take it away.
                edits.insert(filter.span.start + "WHERE".len() as u32, " (");
                pieces.insert(0, Piece::Text(")".to_string()));
                edits.pieces(Span::new(filter.expr.span.end, filter.expr.span.end), pieces);
            }
            (None, Some(from)) => {
                pieces.insert(0, Piece::Text(" WHERE true".to_string()));
                edits.pieces(Span::new(from.span.end, from.span.end), pieces);
            }
            (None, None) => {}
        }
        edits
    }

    /// The shards' rows as they are.
    pub fn scattered(&mut self, edits: Edits) -> Result<Scatter, Refusal> {
        // What differs from row to row must not be evaluated apart on each shard for all rows.
        let per_row = self
            .analysis
            .calls
            .iter()
            .any(|call| functions::behaviour(call, self.context) == functions::Behaviour::PerRow);
        let simple = self.analysis.queries.len() == 1
            && self.analysis.refs.iter().all(|item| matches!(item.source, Source::Table { .. }));
        if per_row && !simple {
            return Err(unsupported("volatile", "a volatile function in a sub-query"));
        }
        scatter::plan(self, self.with_keys(edits))
    }

    /// Partial results of the shards, where a scatter is refused for what these are for.
    pub fn by_parts(&mut self, refusal: Refusal, edits: Edits) -> Result<Scatter, Refusal> {
        match refusal.reason {
            "aggregate" => aggregate::plan(self, edits),
            "distinct" => aggregate::distinct(self, self.with_keys(edits)),
            _ => Err(refusal),
        }
    }

    /// Replaces what must be evaluated once; refuses what acts on one server.
    pub fn functions(&self, edits: &mut Edits) -> Result<Vec<String>, Refusal> {
        self.functions_of(self.analysis.calls.iter(), edits)
    }

    /// The same of these calls alone.
    pub fn functions_of<'c>(
        &self,
        calls: impl Iterator<Item = &'c Called>,
        edits: &mut Edits,
    ) -> Result<Vec<String>, Refusal> {
        let mut once: Vec<String> = Vec::new();
        for call in calls.filter(|call| !self.analysis.drawn.contains(&call.place)) {
            match functions::behaviour(call, self.context) {
                functions::Behaviour::Same | functions::Behaviour::PerRow => {}
                functions::Behaviour::Local => return Err(functions::local(call)),
                functions::Behaviour::Once => {
                    if call.place.0 != 0 {
                        // Its text is a view's, which can't be replaced in the statement.
                        return Err(unsupported("view-clock", &format!("function {} inside a view", call.name)));
                    }
                    let text = self.analysis.text(call.place);
                    let at = once.iter().position(|known| known.eq_ignore_ascii_case(text)).unwrap_or_else(|| {
                        once.push(text.to_string());
                        once.len() - 1
                    });
                    edits.pieces(call.place.1, vec![Piece::Once(at)]);
                }
            }
        }
        Ok(once)
    }

    /// A scatter of one input.
    pub fn single(&self, sql: Vec<Piece>, columns: Vec<String>, finish: Finish) -> Scatter {
        let input = Input { sql, access: self.access.clone(), columns };
        Scatter::new(vec![input], finish, Vec::new())
    }

    /// The level of a query of the statement's own text.
    pub fn level(&self, query: &Query) -> Result<&super::analysis::Level, Refusal> {
        self.analysis.queries.get(&(0, query.span)).ok_or_else(|| unsupported("query", "this query"))
    }

    /// Whether an expression calls aggregates of its own level.
    pub fn aggregates(&self, expr: &Expr) -> bool {
        walk::any(expr, &|part| match &part.kind {
            ExprKind::Function(call) => {
                call.over.is_none()
                    && call.name.parts.last().is_some_and(|name| functions::is_aggregate(self.context, &name.value))
            }
            _ => false,
        })
    }
}
