//! Gathers rows of tables that no shard has whole, for one PostgreSQL to run the rest of the statement over them.

mod around;
mod grouped;
mod joined;
mod levels;
mod push;
mod semi;
mod whole;

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use self::joined::quoted;
use self::levels::{Draft, Levels};
use self::semi::Made;
use self::whole::Whole;
use super::analysis::*;
use super::confine::{confined, sentence};
use super::query::{Kinds, Planner, Reach};
use super::refuse::unsupported;
use super::splice::{Edits, push, text};
use super::{Access, Finish, Input, KeyValue, Piece, Refusal, Scatter, Work, aggregate, query};
use crate::sql::ast::{QueryBody, Span, Statement};
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
    let (levels, columns, rewritten) = {
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
                rest.draft(planner, &Draft { members: vec![id], filters: Vec::new(), from: 0, set: false })?;
            }
            Source::View { inside, .. } => {
                let kinds = Kinds::of(analysis, inside.clone());
                if !(kinds.sharded || kinds.home || all && kinds.reference) {
                    rest_reads = true;
                    continue;
                }
                check(item)?;
                match view(planner, item, &rest.columns(id)) {
                    Some(input) => {
                        rest.single(planner, id, input);
                    }
                    None => return expanded(planner, item),
                }
            }
            Source::Table { .. } => rest_reads = true,
            _ => {}
        }
    }
    rest.wholes(planner, levels.wholes);
    semi::note(planner, &rest.made, &mut rest.inputs);
    for (span, id, name) in &analysis.long_names {
        if let Some(item) = analysis.refs.get(*id).filter(|_| rest.gathered.contains(id)) {
            rest.edits.replace(*span, format!("{}{name}", ident(&item.name)));
        }
    }
    if let QueryBody::Select(select) = &planner.query.body
        && let Some(group) = &select.group_by
    {
        for column in aggregate::dependents(planner, select) {
            rest.edits.insert(group.span.end, format!(", {column}"));
        }
    }
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
    proof: Vec<String>,
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
        analysis.idle_stars.iter().for_each(|span| edits.replace(*span, "1"));
        Self { edits, inputs: Vec::new(), columns, gathered: Vec::new(), made: Vec::new(), proof: Vec::new() }
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
        let items: Vec<(RefId, &Ref)> =
            draft.members.iter().filter_map(|&id| Some((id, planner.analysis.refs.get(id)?))).collect();
        for (_, item) in &items {
            check(item)?;
        }
        let mut access = None;
        for &(id, item) in &items {
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
        let columns: Vec<Target> =
            draft.members.iter().flat_map(|&id| self.columns(id).into_iter().map(move |at| (id, at))).collect();
        let access = access.unwrap_or(Access::All);
        if let &[(id, _)] = items.as_slice() {
            let mut names: Vec<String> =
                columns.iter().filter_map(|&column| Some(planner.analysis.column(column)?.name.clone())).collect();
            if names.is_empty() {
                // Only how many rows there are matters.
                names.push(ONE.to_string());
            }
            let sql = question(planner, &items, &columns, draft);
            let input = self.single(planner, id, Input { sql, access, columns: names });
            self.made(planner, input, draft, &columns);
            return Ok(());
        }
        let names = items.iter().map(|(_, item)| item.name.as_str()).collect::<Vec<_>>().join(", ");
        self.proof.push(format!("{names} are joined on the shards: their keys are equal, and one row has one of each"));
        let sql = question(planner, &items, &columns, draft);
        let named = (0..columns.len().max(1)).map(|at| format!("c{at}")).collect();
        let at = self.number(Input { sql, access, columns: named });
        self.made(planner, at, draft, &columns);
        let columns: Vec<(Target, Option<String>)> =
            columns.into_iter().map(|column| (column, collation(planner, column))).collect();
        joined::place(planner, at, (&draft.members, draft.from), &columns, &mut self.edits);
        self.gathered.extend(&draft.members);
        Ok(())
    }

    fn made(&mut self, planner: &Planner<'_>, input: usize, draft: &Draft, columns: &[Target]) {
        self.made.push(Made::of(planner, input, &draft.members, columns, !draft.filters.is_empty()));
    }

    /// An input that stands for one item; its number.
    fn single(&mut self, planner: &Planner<'_>, id: RefId, input: Input) -> usize {
        let Some(item) = planner.analysis.refs.get(id) else { return 0 };
        let columns = input.columns.clone();
        let collations: Vec<Option<String>> =
            self.columns(id).into_iter().map(|at| collation(planner, (id, at))).collect();
        let at = self.number(input);
        let mut pieces = source(at, &columns, &collations);
        push(&mut pieces, text(format!(" AS {} ({})", ident(&item.name), idents(&columns))));
        self.edits.pieces(item.place.1, pieces);
        self.gathered.push(id);
        at
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
fn question(planner: &Planner<'_>, items: &[(RefId, &Ref)], columns: &[Target], draft: &Draft) -> Vec<Piece> {
    let list: Vec<String> = columns.iter().filter_map(|&column| quoted(planner.analysis, column)).collect();
    let list = if list.is_empty() { "1".to_string() } else { list.join(", ") };
    let from: Vec<&str> = items.iter().map(|(_, item)| item.place.1.of(planner.sql)).collect();
    let distinct = if draft.set && repeats(planner, items, columns) { "DISTINCT " } else { "" };
    let mut sql = vec![text(format!("SELECT {distinct}{list} FROM {}", from.join(", ")))];
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
        return Err(unsupported("whole-row", "a whole row as a value of a gathered table"));
    }
    Ok(())
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
