//! Gathers rows of tables that no shard has whole, for one PostgreSQL to run the rest of the statement over them.

mod around;
mod broadcast;
mod grouped;
mod joined;
mod levels;
mod push;
mod reference;
mod semi;
mod whole;

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use self::joined::quoted;
use self::levels::{Draft, Levels, privileges};
use self::push::inside;
use self::semi::Made;
use self::whole::Whole;
use super::analysis::*;
use super::confine::{confined, sentence};
use super::query::{Kinds, Planner, Reach};
use super::refuse::unsupported;
use super::splice::{Edits, push, text};
use super::{Access, Finish, Input, KeyValue, Piece, Refusal, Scatter, Work, aggregate, query};
use crate::sql::ast::{QueryBody, Select, Span, Statement};
use crate::sql::quote::{ident, idents};
use crate::value::oid;

/// The column, always 1, of rows that are only counted.
pub const ONE: &str = "pgbraid_1";

/// A query whose tables are gathered, joined and reduced on the shards as far as that is proven. Reference tables stand in
/// the rest, unless `all` are gathered.
pub fn plan(planner: &mut Planner<'_>, edits: Edits, once: &[String], all: bool) -> Result<Scatter, Refusal> {
    if planner.analysis.locks {
        return Err(unsupported("locking", "FOR UPDATE over gathered rows"));
    }
    let analysis = planner.analysis;
    let base = edits.clone();
    let (mut levels, columns, rewritten) = {
        let mut levels = Levels::new(planner, &base, once, all);
        levels.query(planner.query, true);
        let columns = needed(planner, &levels);
        let rewritten = if all { None } else { grouped::rewritten(planner, &levels) };
        (levels, columns, rewritten)
    };
    if let Some((scatter, proof)) = rewritten.and_then(|sql| anew(planner, &sql)) {
        planner.proof.extend(proof);
        return Ok(scatter);
    }
    if levels.loose {
        return Err(whole_row());
    }
    let mut rest = Rest::new(analysis, edits, columns, &levels);
    for draft in &levels.drafts {
        rest.draft(planner, draft)?;
    }
    let mut rest_reads = false;
    for (id, item) in analysis.refs.iter().enumerate() {
        if item.place.0 != 0 || levels.is_taken(id) || rest.gathered.contains(&id) {
            continue;
        }
        match &item.source {
            Source::Table { home: home @ (Home::Sharded(..) | Home::Unsharded | Home::Reference) }
                if all || *home != Home::Reference =>
            {
                let filters = privileges(analysis, id).map(|asked| vec![text(asked)]);
                rest.draft(planner, &Draft { filters: filters.into_iter().collect(), ..Draft::alone(id) })?;
            }
            Source::View { inside, .. } => {
                let kinds = Kinds::of(analysis, inside.clone());
                if !(kinds.sharded || kinds.home || all && kinds.reference) {
                    rest_reads = true;
                    continue;
                }
                check(item)?;
                match view(planner, item, &rest.columns(id)) {
                    Some(input) => rest.view(planner, id, input),
                    None if analysis.rows.iter().any(|row| row.id == id) => return Err(whole_row()),
                    None => return expanded(planner, item),
                }
            }
            Source::Table { .. } => rest_reads = true,
            _ => {}
        }
    }
    let whole = !levels.wholes.is_empty();
    rest.wholes(planner, std::mem::take(&mut levels.wholes));
    semi::note(planner, &rest.made, &mut rest.inputs);
    let select = match &planner.query.body {
        QueryBody::Select(select) => Some(&**select),
        _ => None,
    };
    rest.names(planner, select);
    rest.rows(planner, &levels.labels);
    let broadcasts = match all || whole {
        true => Vec::new(),
        false => broadcast::plan(planner, &base, &levels, &rest.placed, &rest.inputs),
    };
    planner.proof.push("rows of the tables are gathered, and one PostgreSQL runs the statement over them".to_string());
    planner.proof.append(&mut rest.proof);
    let sql = rest.edits.apply(planner.sql, planner.query.span);
    Ok(Scatter {
        inputs: rest.inputs,
        finish: Finish::Rest { sql },
        once: Vec::new(),
        rest_reads,
        within: None,
        views: Vec::new(),
        broadcasts,
    })
}

/// The rest in the making.
struct Rest {
    edits: Edits,
    inputs: Vec<Input>,
    /// The columns that it needs, by item.
    columns: FxHashMap<RefId, BTreeSet<usize>>,
    gathered: Vec<RefId>,
    made: Vec<Made>,
    placed: Vec<Placed>,
    proof: Vec<String>,
}

/// An input that stands for tables.
pub struct Placed {
    pub input: usize,
    pub tables: Vec<RefId>,
    pub columns: Vec<Target>,
    /// Conditions that its rows are known to meet.
    pub removed: Vec<Span>,
    /// Where FROM has its first item.
    pub from: u32,
}

impl Rest {
    /// Without what the shards judge; no input yet.
    fn new(
        analysis: &Analysis,
        mut edits: Edits,
        columns: FxHashMap<RefId, BTreeSet<usize>>,
        levels: &Levels<'_, '_>,
    ) -> Self {
        levels.removed.iter().for_each(|span| edits.replace(*span, "true"));
        levels.stars.iter().for_each(|(span, list)| edits.replace(*span, list.clone()));
        levels::idle_stars(analysis, &mut edits);
        let (inputs, gathered, made, placed, proof) = Default::default();
        Self { edits, inputs, columns, gathered, made, placed, proof }
    }

    fn columns(&self, id: RefId) -> Vec<usize> {
        self.columns.get(&id).into_iter().flatten().copied().collect()
    }

    /// One question is asked once. It also keeps the text of a sub-query that stands twice one text, as what DISTINCT ON
    /// and ORDER BY, GROUP BY and the select list have in common must be.
    fn number(&mut self, input: Input) -> usize {
        let access = placeless(&input.access);
        let same = |known: &Input| {
            known.sql == input.sql && known.columns == input.columns && placeless(&known.access) == access
        };
        let at = self.inputs.iter().position(same);
        at.unwrap_or_else(|| {
            self.inputs.push(input);
            self.inputs.len() - 1
        })
    }

    fn draft(&mut self, planner: &Planner<'_>, draft: &Draft) -> Result<(), Refusal> {
        let found = |id: RefId| Some((id, planner.analysis.refs.get(id)?));
        let items: Vec<(RefId, &Ref)> = draft.members.iter().filter_map(|&id| found(id)).collect();
        let all: Vec<RefId> = draft.tables().collect();
        for (_, item) in all.iter().filter_map(|&id| found(id)) {
            check(item)?;
        }
        let access = self.access(planner, &items);
        let columns: Vec<Target> =
            all.iter().flat_map(|&id| self.columns(id).into_iter().map(move |at| (id, at))).collect();
        let sql = question(planner, &items, draft, &columns);
        let names: Vec<String> = match all.as_slice() {
            // Where only how many rows there are matters, there is one column all the same.
            [_] if columns.is_empty() => vec![ONE.to_string()],
            [_] => columns.iter().filter_map(|&at| Some(planner.analysis.column(at)?.name.clone())).collect(),
            _ => (0..columns.len().max(1)).map(|at| format!("c{at}")).collect(),
        };
        if all.len() > 1 {
            let tables = all.iter().filter_map(|&id| found(id)).map(|(_, item)| item.name.as_str());
            let most = if draft.outer.is_empty() { "one" } else { "at most one" };
            self.proof.push(format!(
                "{} are joined on the shards: their keys are equal, and one row has {most} of each",
                tables.collect::<Vec<_>>().join(", ")
            ));
        }
        let input = self.number(Input { sql, access, columns: names });
        self.made.push(Made::of(planner, input, &draft.members, &columns, !draft.filters.is_empty()));
        let placed = Placed { input, tables: all, columns, removed: draft.removed.clone(), from: draft.from };
        self.gathered.extend(&placed.tables);
        place(planner, &placed, &mut self.edits);
        self.placed.push(placed);
        Ok(())
    }

    /// Where the rows of tables that become one input are.
    fn access(&mut self, planner: &Planner<'_>, items: &[(RefId, &Ref)]) -> Access {
        let mut access = None;
        for &(id, item) in items {
            match (&item.source, confined(planner.analysis, id)) {
                (Source::Table { home: Home::Unsharded }, _) => access = Some(Access::Home),
                (Source::Table { home: Home::Reference }, _) => access = Some(Access::Any),
                (_, Some(condition)) if access.is_none() => {
                    self.proof.push(format!("{} confines {}", sentence(&condition), item.name));
                    access = Some(Access::Keys(vec![condition]));
                }
                _ => {}
            }
        }
        access.unwrap_or(Access::All)
    }

    /// A view as an input.
    fn view(&mut self, planner: &Planner<'_>, id: RefId, input: Input) {
        let columns = self.columns(id).into_iter().map(|at| (id, at)).collect();
        let input = self.number(input);
        self.gathered.push(id);
        single(planner, input, id, columns, &mut self.edits);
    }

    /// What names more than the rest has: schemas before tables' names, and primary keys among groups.
    fn names(&mut self, planner: &Planner<'_>, select: Option<&Select>) {
        for (span, id, name) in &planner.analysis.long_names {
            if let Some(item) = planner.analysis.refs.get(*id).filter(|_| self.gathered.contains(id)) {
                self.edits.replace(*span, format!("{}{name}", ident(&item.name)));
            }
        }
        if let Some(select) = select
            && let Some(group) = &select.group_by
        {
            for column in aggregate::dependents(planner, select) {
                self.edits.insert(group.span.end, format!(", {column}"));
            }
        }
    }

    /// Whole rows of tables as values. What was gathered has all columns but is of no table: a row of the table's type is
    /// made of it, whose conversion fills dropped columns in (`coerce_record_to_complex`). Where an outer join has no row
    /// there is none, rather than one of NULLs: `t.*` itself tells, since IS DISTINCT FROM NULL doesn't look into rows.
    fn rows(&mut self, planner: &Planner<'_>, labels: &[(Span, String)]) {
        let analysis = planner.analysis;
        for row in analysis.rows.iter().filter(|row| self.gathered.contains(&row.id)) {
            let Some(item) = analysis.refs.get(row.id) else { continue };
            let name = ident(&item.name);
            let columns = item.columns.iter().map(|column| format!("{name}.{}", ident(&column.name)));
            let columns = columns.collect::<Vec<_>>().join(", ");
            let relation = item.relation.as_deref().unwrap_or_default();
            let function = row.function.as_ref().map(|function| format!(".{}", ident(function))).unwrap_or_default();
            let made =
                format!("(CASE WHEN {name}.* IS DISTINCT FROM NULL THEN ROW({columns})::{relation} END){function}");
            self.edits.replace(row.span, made);
            for (span, label) in labels.iter().filter(|(span, _)| inside(*span, row.span)) {
                let at = Span::new(span.end, span.end);
                if !self.edits.touches(at) {
                    self.edits.replace(at, format!(" AS {}", ident(label)));
                }
            }
        }
    }

    /// Sub-queries that shards answer.
    fn wholes(&mut self, planner: &Planner<'_>, wholes: Vec<Whole>) {
        if !wholes.is_empty() {
            self.proof
                .push("sub-queries by themselves are answered by the shards, whose parts are put together".into());
        }
        for mut whole in wholes {
            let inputs = std::mem::take(&mut whole.inputs);
            let numbers: Vec<usize> = inputs.into_iter().map(|input| self.number(input)).collect();
            if let [input] = numbers.as_slice() {
                self.made.push(Made::whole(planner, *input, &whole));
            }
            let number = |piece| match piece {
                Piece::Input(at) => Piece::Input(numbers.get(at).copied().unwrap_or(at)),
                piece => piece,
            };
            self.edits.pieces(whole.span, whole.sql.into_iter().map(number).collect());
        }
    }
}

/// Puts an input in the place of its tables.
fn place(planner: &Planner<'_>, made: &Placed, edits: &mut Edits) {
    if let &[id] = made.tables.as_slice() {
        return single(planner, made.input, id, made.columns.clone(), edits);
    }
    let columns: Vec<(Target, Option<String>)> =
        made.columns.iter().map(|&column| (column, collation(planner, column))).collect();
    joined::place(planner, made.input, (&made.tables, made.from), &columns, edits);
}

/// Puts an input in the place of the one item that it stands for.
fn single(planner: &Planner<'_>, input: usize, id: RefId, columns: Vec<Target>, edits: &mut Edits) {
    let Some(item) = planner.analysis.refs.get(id) else { return };
    let collations: Vec<Option<String>> = columns.iter().map(|&column| collation(planner, column)).collect();
    let names = columns.iter().filter_map(|&column| Some(planner.analysis.column(column)?.name.clone()));
    let mut names: Vec<String> = names.collect();
    if names.is_empty() {
        names.push(ONE.to_string());
    }
    let mut pieces = source(input, &names, &collations);
    push(&mut pieces, text(format!(" AS {} ({})", ident(&item.name), idents(&names))));
    edits.pieces(item.place.1, pieces);
}

/// The columns that the rest needs: those used in what is left of the text.
fn needed(planner: &Planner<'_>, levels: &Levels<'_, '_>) -> FxHashMap<RefId, BTreeSet<usize>> {
    let mut out: FxHashMap<RefId, BTreeSet<usize>> = FxHashMap::default();
    for (id, item) in planner.analysis.refs.iter().enumerate() {
        out.insert(id, item.held.clone());
    }
    for ((text, span), targets) in &planner.analysis.columns {
        if *text == 0 && !levels.is_gone(*span) {
            for (id, column) in targets {
                out.entry(*id).or_default().insert(*column);
            }
        }
    }
    out
}

/// The access without where its values stand in the text.
fn placeless(access: &Access) -> Access {
    let mut access = access.clone();
    if let Access::Keys(conditions) = &mut access {
        for value in conditions.iter_mut().flat_map(|condition| &mut condition.values) {
            if let KeyValue::Literal { span, .. } = value {
                *span = Span::default();
            }
        }
    }
    access
}

/// What the shards are asked for an input's rows.
fn question(planner: &Planner<'_>, items: &[(RefId, &Ref)], draft: &Draft, columns: &[Target]) -> Vec<Piece> {
    let list: Vec<String> = columns.iter().filter_map(|&column| quoted(planner.analysis, column)).collect();
    let list = if list.is_empty() { "1".to_string() } else { list.join(", ") };
    let from: Vec<&str> = items.iter().map(|(_, item)| item.place.1.of(planner.sql)).collect();
    // Conditions of joins see no item before a comma.
    let from = from.join(if draft.outer.is_empty() { ", " } else { " CROSS JOIN " });
    let distinct = if draft.set && repeats(planner, items, columns) { "DISTINCT " } else { "" };
    let mut sql = vec![text(format!("SELECT {distinct}{list} FROM {from}"))];
    for outer in &draft.outer {
        let table = planner.analysis.refs.get(outer.id).map(|item| item.place.1.of(planner.sql)).unwrap_or_default();
        push(&mut sql, text(format!(" LEFT JOIN {table} ON (")));
        outer.on.iter().for_each(|piece| push(&mut sql, piece.clone()));
        push(&mut sql, text(")"));
    }
    for (at, filter) in draft.filters.iter().enumerate() {
        push(&mut sql, text(if at == 0 { " WHERE (" } else { " AND (" }));
        for piece in filter {
            push(&mut sql, piece.clone());
        }
        push(&mut sql, text(")"));
    }
    sql
}

/// Types of which equal values are the same.
const SAME: &[u32] = &[
    oid::BOOL,
    oid::INT2,
    oid::INT4,
    oid::INT8,
    oid::TEXT,
    oid::VARCHAR,
    oid::UUID,
    oid::DATE,
    oid::TIMESTAMP,
    oid::TIMESTAMPTZ,
];

/// Whether rows may be equal in these columns, and then are the same.
fn repeats(planner: &Planner<'_>, items: &[(RefId, &Ref)], columns: &[Target]) -> bool {
    let same = |&column: &Target| {
        let known = planner.analysis.column(column);
        known.is_some_and(|column| SAME.contains(&column.type_oid) && comparable(column, column))
    };
    let keyed = |(id, item): &(RefId, &Ref)| {
        let primary = item.primary.as_ref();
        primary.is_some_and(|primary| primary.iter().all(|&column| columns.contains(&(*id, column))))
    };
    columns.iter().all(same) && !items.iter().any(keyed)
}

/// What a gathered row can't give.
fn check(item: &Ref) -> Result<(), Refusal> {
    if item.system {
        return Err(unsupported("system-column", "a system column of a gathered table"));
    }
    if item.whole {
        return Err(whole_row());
    }
    Ok(())
}

fn whole_row() -> Refusal {
    unsupported("whole-row", "a whole row as a value of a gathered table")
}

/// A column's collation, where it isn't the database's own.
fn collation(planner: &Planner<'_>, column: Target) -> Option<String> {
    match &planner.analysis.column(column)?.collation {
        Known::Collation(collation) => foreign(planner, collation),
        _ => None,
    }
}

/// A collation's name, if it isn't the database's own.
pub fn foreign(planner: &Planner<'_>, collation: &crate::catalog::schema::Collation) -> Option<String> {
    (collation.name != planner.context.schema.collation.name).then(|| collation.name.clone())
}

/// An input as an item of FROM whose columns have their collations, which arrays don't carry.
pub fn source(input: usize, columns: &[String], collations: &[Option<String>]) -> Vec<Piece> {
    if collations.iter().all(Option::is_none) {
        return vec![Piece::Input(input)];
    }
    let list: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| match collations.get(at).and_then(Option::as_ref) {
            Some(collation) => format!("{} COLLATE {collation} AS {}", ident(column), ident(column)),
            None => ident(column),
        })
        .collect();
    vec![
        text(format!("(SELECT {} FROM ", list.join(", "))),
        Piece::Input(input),
        text(format!(" AS pgbraid_i ({}))", idents(columns))),
    ]
}

/// A view whose rows are the sum of the shards' is an input like a table.
fn view(planner: &Planner<'_>, item: &Ref, needed: &[usize]) -> Option<Input> {
    let columns: Vec<String> =
        needed.iter().filter_map(|&at| item.columns.get(at)).map(|column| column.name.clone()).collect();
    if columns.is_empty() {
        return None;
    }
    let list: Vec<String> = columns.iter().map(|column| format!("{}.{}", ident(&item.name), ident(column))).collect();
    let sql = format!("SELECT {} FROM {}", list.join(", "), item.place.1.of(planner.sql));
    let statement = crate::sql::parse::parse(&sql, planner.context.standard_strings).ok()?;
    let Statement::Query(query) = &statement else { return None };
    let plan = query::plan_with(&sql, query, planner.context, planner.params, Reach::Streams).ok()?;
    match plan.work {
        Work::Route { .. } if matches!(plan.access, Access::Home | Access::Any) => {
            Some(Input { sql: vec![text(sql)], access: plan.access, columns })
        }
        Work::Scatter(mut scatter) if scatter.once.is_empty() => match &scatter.finish {
            Finish::Stream { order, hidden: 0, limit: None, offset: None, .. } if order.is_empty() => {
                let mut input = scatter.inputs.pop()?;
                input.columns = columns;
                Some(input)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The statement with a correlated sub-query as groups, planned anew.
fn anew(planner: &Planner<'_>, sql: &str) -> Option<(Scatter, Vec<String>)> {
    let statement = crate::sql::parse::parse(sql, planner.context.standard_strings).ok()?;
    let Statement::Query(query) = &statement else { return None };
    let plan = query::plan(sql, query, planner.context, planner.params).ok()?;
    let Work::Scatter(scatter) = plan.work else { return None };
    let mut proof =
        vec!["a sub-query's aggregates are those of groups, which are joined by what they equal".to_string()];
    proof.extend(plan.proof);
    Some((scatter, proof))
}

/// The statement with a view's query in its place, planned anew.
fn expanded(planner: &mut Planner<'_>, item: &Ref) -> Result<Scatter, Refusal> {
    let unreadable = || unsupported("view", &format!("view \"{}\"", item.name));
    let Source::View { view, inside } = &item.source else { return Err(unreadable()) };
    let definition = planner.analysis.texts.get(view.text).ok_or_else(unreadable)?;
    // Row security within a view asks for the view's owner; the tables themselves would be read as the client.
    let guarded = |item: &Ref| item.guarded.then(|| item.name.clone());
    if let Some(table) = planner.analysis.refs.get(inside.clone()).unwrap_or_default().iter().find_map(guarded) {
        return Err(unsupported(
            "policy",
            &format!("the view \"{}\" of \"{table}\", which has row security,", item.name),
        ));
    }
    let names: Vec<String> = item.columns.iter().map(|column| column.name.clone()).collect();
    let mut edits = Edits::default();
    edits.replace(item.place.1, format!("({definition}) AS {} ({})", ident(&item.name), idents(&names)));
    for (span, id, name) in &planner.analysis.long_names {
        if planner.analysis.refs.get(*id).is_some_and(|other| other.place == item.place) {
            edits.replace(*span, format!("{}{name}", ident(&item.name)));
        }
    }
    let sql = super::shown(&edits.apply(planner.sql, planner.query.span));
    let statement = crate::sql::parse::parse(&sql, planner.context.standard_strings).map_err(|_| unreadable())?;
    let Statement::Query(query) = &statement else { return Err(unreadable()) };
    let plan = query::plan(&sql, query, planner.context, planner.params)?;
    planner.proof.extend(plan.proof);
    match plan.work {
        Work::Scatter(mut scatter) => {
            // The client is asked for its privileges on the view; those on its tables are the owner's business.
            let columns = item.used.iter().filter_map(|&at| item.columns.get(at));
            let columns: Vec<String> =
                columns.map(|column| format!("{}.{}", ident(&item.name), ident(&column.name))).collect();
            let asked = format!("SELECT {} FROM {} WHERE false", columns.join(", "), item.place.1.of(planner.sql));
            if let Some(within) = &mut scatter.within {
                within.views.insert(0, asked.clone());
            }
            scatter.views.insert(0, asked);
            Ok(scatter)
        }
        Work::Refuse(refusal) | Work::Route { otherwise: refusal } => Err(refusal),
    }
}
