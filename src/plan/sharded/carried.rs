//! INSERT of the rows that a writing WITH query gives: `WITH gone AS (DELETE … RETURNING …) INSERT INTO archive SELECT … FROM gone`.
//!
//! Each shard runs the statement as it is. The write by itself is one that each shard can do on its own rows, and gives a row
//! for each of them; the INSERT takes these rows one by one and nothing else; and a row that it inserts has the sharding key of
//! the one that it was made from, in a co-located table, so it belongs where it is made. So what all shards write and return
//! together is what one PostgreSQL would, and that no part sees what another does holds on each.

use super::analysis::*;
use super::feed::{Feeding, keeps};
use super::functions;
use super::names::Resolver;
use super::refuse::unsupported;
use super::several::Writing;
use super::splice::Edits;
use super::walk::{any, has_query};
use super::{Access, Changed, Finish, Input, Plan, Refusal, Scatter, Work};
use crate::sql::ast::*;
use crate::sql::parse;

/// Plans it. `None`: it isn't such a statement.
pub fn plan(sql: &str, statement: &Statement, resolver: &Resolver<'_>) -> Option<Result<Plan, Refusal>> {
    let Statement::Insert(insert) = statement else { return None };
    let InsertSource::Query(source) = &insert.source else { return None };
    let cte = only_write(insert.with.as_ref())?;
    let write = resolver.out.writes.last()?;
    let Some(Source::Table { home: home @ Home::Sharded(place, column) }) =
        resolver.out.refs.get(write.id).map(|item| &item.source)
    else {
        return None;
    };
    let writing = Writing { sql, statement, resolver, access: Access::All };
    let feeding = Feeding { sql, insert, source, write, home, writing: &writing };
    Some(feeding.carried(cte, group(place), *column))
}

/// The one WITH query, if it writes and nothing before it could give a name another meaning.
pub fn only_write(with: Option<&With>) -> Option<&Cte> {
    match with?.items.as_slice() {
        [cte] if !with?.recursive && !matches!(cte.statement, Statement::Query(_)) => Some(cte),
        _ => None,
    }
}

/// How a WITH query that writes would run by itself, if each shard can do it on its own rows.
pub fn by_itself(cte: &Cte, resolver: &Resolver<'_>, sql: &str) -> Result<(String, Plan), Refusal> {
    let span = cte.statement_span;
    let alone = Span::new(span.start + 1, span.end.saturating_sub(1)).of(sql).to_owned();
    let context = resolver.context;
    let parsed = parse::parse(&alone, context.standard_strings).map_err(|_| unsupported("query", "this WITH query"))?;
    let plan = super::modify::plan(&alone, &parsed, context, resolver.params)?;
    match &plan.work {
        Work::Scatter(Scatter { finish: Finish::Changed(Changed { copies: None, told: None, .. }), .. }) => {
            Ok((alone, plan))
        }
        Work::Refuse(refusal) => Err(refusal.clone()),
        Work::Route { .. } | Work::Scatter(_) => Err(unsupported("writing-cte", "this WITH query that writes")),
    }
}

impl Feeding<'_> {
    /// `cte`: what writes before; `column`: the target's key, of this group.
    fn carried(&self, cte: &Cte, target: Option<&str>, column: usize) -> Result<Plan, Refusal> {
        let off = || unsupported("writing-cte", "an INSERT of what a WITH query writes");
        let (analysis, context) = (&self.writing.resolver.out, self.writing.resolver.context);
        if let Some(refusal) = &analysis.one_shard {
            return Err(refusal.clone());
        }
        let (_, alone) = by_itself(cte, self.writing.resolver, self.sql)?;
        let Work::Scatter(Scatter { finish: Finish::Changed(Changed { split: None, .. }), .. }) = &alone.work else {
            return Err(off());
        };
        self.behind()?;
        if analysis.writes.len() != 2 {
            return Err(off());
        }
        let level = analysis.queries.get(&(0, self.source.span)).filter(|level| !level.open).ok_or_else(off)?;
        let select = self.plainly(level).ok_or_else(off)?;
        let at = match &self.insert.columns {
            Some(columns) => {
                let name = &self.relation()?.columns.get(column).ok_or_else(off)?.name;
                columns.iter().position(|given| given.name.value == *name && !given.part).ok_or_else(off)?
            }
            None => column,
        };
        let key = self.relation()?.columns.get(column).ok_or_else(off)?;
        // What a WITH query gives has names and types only, elsewhere.
        let mut within = Resolver::new(context, self.writing.resolver.params, self.sql);
        let given = within.write(&cte.statement, 0)?;
        let (place, own) = within.out.writes.first().and_then(|write| within.out.key(write.id)).ok_or_else(off)?;
        let output = level.outputs.get(at).ok_or_else(off)?;
        let handed = output.origin.and_then(|(_, at)| given.get(at)?.origin);
        if handed != Some(own) || group(place) != target || target.is_none() || !keeps(output.type_oid, key) {
            return Err(off());
        }
        functions::admissible(analysis, context, true)?;
        let mut edits = Edits::default();
        let mut once = self.writing.planner(self.source).functions(&mut edits)?;
        self.appended(select, level.outputs.len(), &mut edits, &mut once)?.ok_or_else(off)?;
        let sql = edits.apply(self.sql, self.insert.span);
        let input = Input { sql, access: alone.access.clone(), columns: Vec::new() };
        let finish = Finish::Changed(Changed { word: "INSERT 0", split: None, copies: None, told: None });
        let mut proof = alone.proof;
        proof.push(
            "each row that is inserted has the sharding key of one that was written on the same shard".to_string(),
        );
        let work = Work::Scatter(Scatter::new(vec![input], finish, once));
        Ok(Plan { access: alone.access, work, writes: true, proof })
    }

    /// The source, if it gives a row for each of the WITH query's that its WHERE leaves, by what is in that row.
    fn plainly(&self, level: &Level) -> Option<&Select> {
        let query = self.source;
        let whole = query.with.is_none() && query.order_by.is_none() && query.limit.is_none() && query.offset.is_none();
        let QueryBody::Select(select) = &query.body else { return None };
        let analysis = &self.writing.resolver.out;
        let mut inside = analysis.refs.get(level.inside.clone())?.iter();
        let one = matches!((inside.next(), inside.next()), (Some(Ref { source: Source::Cte { .. }, .. }), None));
        let by_row = select.distinct.is_none() && select.group_by.is_none() && select.having.is_none();
        let plain = whole && one && by_row && select.into.is_none() && query.locking.is_empty();
        let planner = self.writing.planner(query);
        let of_row = |expr: &Expr| {
            let windows = |part: &Expr| matches!(&part.kind, ExprKind::Function(call) if call.over.is_some());
            !has_query(expr) && !planner.aggregates(expr) && !any(expr, &windows)
        };
        let items = select.items.iter().filter_map(|item| match &item.kind {
            SelectItemKind::Expr(expr) => Some(expr),
            SelectItemKind::Star(_) => None,
        });
        let filter = select.filter.iter().map(|filter| &filter.expr);
        (plain && items.chain(filter).all(of_row)).then_some(&**select)
    }
}
