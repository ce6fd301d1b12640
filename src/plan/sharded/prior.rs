//! Sub-queries of a statement that writes which may be answered before it: they name nothing of the statement around them, so
//! that PostgreSQL, too, answers each once (`SubLink`s that become `InitPlan`s or hashed `SubPlan`s).
//!
//! `x IN (SELECT y …)` is `x = ANY (array of the ys)`, with NULLs and none at all as well; a scalar sub-query, EXISTS and ARRAY
//! are their values. What is left has no sub-query, and is planned as any other statement.

use super::analysis::Known;
use super::names::Resolver;
use super::several::{returned, values};
use super::splice::{Edits, text};
use super::walk::{Part, has_query, parts};
use super::{Context, Piece, functions};
use crate::catalog::schema::Oid;
use crate::sql::ast::*;

/// A statement whose sub-queries are answered before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    pub queries: Vec<Asked>,
    /// The tag before its count: `UPDATE`, `DELETE`, `INSERT 0`.
    pub word: &'static str,
    /// Nothing else of the statement reads but its target: what it finds hangs on the sub-query's moment alone.
    pub alone: bool,
    /// The table whose rows are found by them, as SQL has it. `None`: new rows only.
    pub target: Option<String>,
    /// The statement with their values, [`Piece::Once`], in their places.
    pub sql: Vec<Piece>,
}

/// A query that gives one row of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub sql: String,
    /// The sub-query itself, where its rows are the elements of an array that a value is compared with: they may be no
    /// arrays themselves.
    pub elements: Option<String>,
    /// Its value has the database's collation, as a constant has. False: none, or that isn't known.
    pub plain: bool,
}

impl Prior {
    /// Whether its sub-queries' values serve, where the rows could be found by a query as well. `keeps`: one snapshot may
    /// serve for all that it reads.
    pub fn serves(&self, keeps: bool) -> bool {
        self.alone && (keeps || !self.needs_snapshot())
    }

    /// One snapshot must serve for all that it reads.
    pub fn needs_snapshot(&self) -> bool {
        self.queries.len() > 1 || !self.alone
    }
}

/// UPDATE, DELETE and INSERT … VALUES with sub-queries that stand by themselves. `None`: there is none.
pub fn prior(sql: &str, statement: &Statement, context: &Context<'_>, params: &[Oid]) -> Option<Prior> {
    let mut finder = Finder { sql, context, params, edits: Edits::default(), queries: Vec::new(), others: false };
    let (word, span, target) = match statement {
        Statement::Update(update) if update.with.is_none() => {
            finder.others = update.from.is_some() || returned(update.returning.as_ref()).any(has_query);
            // `(a) = (SELECT …)` takes a row.
            let plain = |assignment: &&Assignment| assignment.columns.len() == 1 && !is_listed(sql, assignment);
            update.assignments.iter().filter(plain).for_each(|assignment| finder.look(&assignment.value));
            finder.others |= update.assignments.iter().any(|it| !plain(&it) && has_query(&it.value));
            update.filter.iter().for_each(|filter| finder.look(&filter.expr));
            ("UPDATE", update.span, Some(&update.table))
        }
        Statement::Delete(delete) if delete.with.is_none() => {
            finder.others = delete.using.is_some() || returned(delete.returning.as_ref()).any(has_query);
            delete.filter.iter().for_each(|filter| finder.look(&filter.expr));
            ("DELETE", delete.span, Some(&delete.table))
        }
        Statement::Insert(insert) if insert.with.is_none() => {
            let conflict = insert.on_conflict.as_ref();
            let set = conflict.and_then(|conflict| conflict.update.as_deref()).unwrap_or_default();
            finder.others = set.iter().any(|assignment| has_query(&assignment.value))
                || conflict.and_then(|conflict| conflict.filter.as_ref()).is_some_and(|filter| has_query(&filter.expr))
                || returned(insert.returning.as_ref()).any(has_query);
            values(insert)?.rows.iter().flat_map(|row| &row.values).for_each(|value| finder.look(value));
            ("INSERT 0", insert.span, None)
        }
        _ => return None,
    };
    let target = target.map(|table| table.name.span.of(sql).to_owned());
    let alone = !finder.others;
    let sql = finder.edits.apply(sql, span);
    (!finder.queries.is_empty()).then_some(Prior { word, alone, target, sql, queries: finder.queries })
}

struct Finder<'a> {
    sql: &'a str,
    context: &'a Context<'a>,
    params: &'a [Oid],
    edits: Edits,
    queries: Vec<Asked>,
    /// Something else of the statement reads.
    others: bool,
}

impl Finder<'_> {
    fn look(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::InQuery { operand, query, negated } if !has_query(operand) && !is_row(operand) => {
                if let Some(number) = self.ask("ARRAY", query, true) {
                    let not = if *negated { "(NOT (" } else { "((" };
                    let left = operand.span.of(self.sql);
                    let pieces = vec![text(format!("{not}{left} = ANY (")), Piece::Once(number), text(")))")];
                    self.edits.pieces(expr.span, pieces);
                    return;
                }
            }
            ExprKind::Quantified { operand, operator, all, right: Quantified::Query(query) }
                if !has_query(operand) && !is_row(operand) =>
            {
                if let Some(number) = self.ask("ARRAY", query, true) {
                    let left = operand.span.of(self.sql);
                    let word = if *all { "ALL" } else { "ANY" };
                    let pieces = vec![text(format!("({left} {operator} {word} (")), Piece::Once(number), text("))")];
                    self.edits.pieces(expr.span, pieces);
                    return;
                }
            }
            ExprKind::Exists(query) | ExprKind::Subquery(query) | ExprKind::ArrayQuery(query) => {
                let word = match &expr.kind {
                    ExprKind::Exists(_) => "EXISTS",
                    ExprKind::ArrayQuery(_) => "ARRAY",
                    _ => "",
                };
                if let Some(number) = self.ask(word, query, false) {
                    self.edits.pieces(expr.span, vec![text("("), Piece::Once(number), text(")")]);
                    return;
                }
            }
            _ => {}
        }
        for part in parts(expr) {
            match part {
                Part::Expr(part) => self.look(part),
                Part::Query(_) => self.others = true,
            }
        }
    }

    /// The number of the query's value, if it stands by itself.
    fn ask(&mut self, word: &str, query: &Query, compared: bool) -> Option<usize> {
        if !query.locking.is_empty() {
            return None;
        }
        let own = query.span.of(self.sql);
        let sql = format!("SELECT {word}({own})");
        let parsed = crate::sql::parse::parse(own, self.context.standard_strings).ok()?;
        let Statement::Query(parsed) = &parsed else { return None };
        let mut resolver = Resolver::new(self.context, self.params, own);
        // A name of the statement around it isn't found here.
        let outputs = resolver.query(parsed, 0).ok()?;
        let exists = word == "EXISTS";
        if outputs.len() != 1 && !exists {
            return None;
        }
        let fixed =
            |call: &super::analysis::Called| functions::behaviour(call, self.context) <= functions::Behaviour::Once;
        if !resolver.out.writes.is_empty() || !resolver.out.calls.iter().all(fixed) {
            return None;
        }
        let plain = match outputs.first().map(|output| &output.collation) {
            Some(Known::Collation(collation)) => collation.name == self.context.schema.collation.name,
            _ => false,
        };
        self.queries.push(Asked { sql, elements: compared.then(|| own.to_owned()), plain });
        Some(self.queries.len() - 1)
    }
}

fn is_row(expr: &Expr) -> bool {
    matches!(super::walk::bare(expr).kind, ExprKind::Row(_) | ExprKind::WholeRow(_))
}

/// Whether the columns stand in parentheses.
fn is_listed(sql: &str, assignment: &Assignment) -> bool {
    let before = assignment.columns.first().map(|column| Span::new(assignment.span.start, column.name.span.start));
    before.is_some_and(|before| before.of(sql).contains('('))
}
