//! Keys that go along: rows of an input that equal none of another one's, which came before, need not come.

use super::joined::quoted;
use super::whole::Whole;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::{Input, KeyCondition, Piece, Semi};

/// What one input gives, and what of it may be left out.
pub struct Made {
    pub input: usize,
    /// Its columns, as what the rest calls them.
    gives: Vec<(Rows, usize)>,
    /// Columns that keys may be compared with.
    tests: Vec<Test>,
    place: Place,
}

/// A column of an input's tables: what it equals wherever a row that matters stands.
struct Test {
    column: Target,
    scope: ScopeId,
    /// As SQL has it, where the keys go.
    text: String,
    key: Option<KeyCondition>,
}

impl Test {
    /// `tested`: the table's column that is compared.
    fn new(analysis: &Analysis, (column, scope): (Target, ScopeId), text: String, tested: Option<Target>) -> Self {
        let key = tested.and_then(|tested| {
            let (place, _) = analysis.key(tested.0).filter(|(_, key)| *key == tested)?;
            let (column, place) = (analysis.display(tested), place.clone());
            Some(KeyCondition { column, place, values: Vec::new(), assigned: None })
        });
        Self { column, scope, text, key }
    }
}

/// Where keys go in an input's text.
#[derive(PartialEq)]
enum Place {
    /// Behind its WHERE, which ends it.
    Behind,
    /// The same, and there is none yet.
    Where,
    /// At the notes of [`unknown`], each of them for one output.
    Marked,
}

/// Stands for the keys that output `output` of a sub-query may be compared with, until these are known.
pub fn unknown(test: &str, output: usize) -> Piece {
    Piece::Semi(Semi { test: test.to_string(), input: usize::MAX, column: output, key: None })
}

impl Made {
    /// An input that stands for tables.
    pub fn of(planner: &Planner<'_>, input: usize, members: &[RefId], columns: &[Target], filtered: bool) -> Self {
        let analysis = planner.analysis;
        let gives = columns.iter().enumerate().map(|(at, &column)| (Rows::Column(column), at)).collect();
        let items = members.iter().filter_map(|&id| Some((id, analysis.refs.get(id)?)));
        let columns = items.flat_map(|(id, item)| (0..item.columns.len()).map(move |at| ((id, at), item.scope)));
        let test =
            |(column, scope)| Some(Test::new(analysis, (column, scope), quoted(analysis, column)?, Some(column)));
        let tests = columns.filter_map(test).collect();
        Self { input, gives, tests, place: if filtered { Place::Behind } else { Place::Where } }
    }

    /// An input that stands for a sub-query.
    pub fn whole(planner: &Planner<'_>, input: usize, whole: &Whole) -> Self {
        let analysis = planner.analysis;
        let query = (0, whole.span);
        let mut gives = Vec::new();
        let mut tests = Vec::new();
        for &(output, column) in &whole.gives {
            gives.push((Rows::Output(query, output), column));
            gives.extend(whole.item.map(|id| (Rows::Column((id, output)), column)));
        }
        for (output, text) in &whole.tests {
            let origin = analysis.queries.get(&query).and_then(|level| level.outputs.get(*output)?.origin);
            let mut test = |column, scope| tests.push(Test::new(analysis, (column, scope), text.clone(), origin));
            if let Some((id, item)) = whole.item.and_then(|id| Some((id, analysis.refs.get(id)?))) {
                test((id, *output), item.scope);
            }
            for among in analysis.among.iter().filter(|among| among.rows == Rows::Output(query, *output)) {
                test(among.column, among.scope);
            }
        }
        Self { input, gives, tests, place: Place::Marked }
    }
}

/// Notes for each input by which others' keys it may be made smaller. An equality that holds where a table stands says that
/// a row of it which equals no row of the other table is in no answer: so an inner join's for both sides, an outer join's
/// for the side that gets NULLs, a sub-query's for its own table, and that of a sub-query which must find a row
/// (`x IN (SELECT y …)`, `EXISTS (… y = x)`) for the rows around it, where it is one of the conditions that all hold. For
/// groups it is said of whole groups. It holds of columns that one operator family compares, under deterministic collations
/// ([`comparable`]). What is left out of a table so could as well be missing in it; so the keys of an input that was
/// made smaller itself are as good. Which of the two comes first is decided by their sizes.
pub fn note(planner: &Planner<'_>, made: &[Made], inputs: &mut [Input]) {
    for one in made {
        // A question that two items share must give the rows of both.
        if made.iter().filter(|other| other.input == one.input).count() > 1 {
            continue;
        }
        let mut notes: Vec<Semi> = Vec::new();
        for test in &one.tests {
            for rows in reached(planner.analysis, test.column, test.scope) {
                let source = made.iter().filter(|source| source.input != one.input).find_map(|source| {
                    let (_, column) = source.gives.iter().find(|(given, _)| *given == rows)?;
                    Some((source.input, *column))
                });
                let Some((input, column)) = source else { continue };
                if !notes.iter().any(|note| note.input == input && note.column == column) {
                    notes.push(Semi { test: test.text.clone(), input, column, key: test.key.clone() });
                }
            }
        }
        let Some(input) = inputs.get_mut(one.input).filter(|_| !notes.is_empty()) else { continue };
        if one.place == Place::Marked {
            for note in notes {
                let at = input.sql.iter().position(is_unknown).unwrap_or(input.sql.len());
                input.sql.insert(at, Piece::Semi(note));
            }
            continue;
        }
        if one.place == Place::Where {
            input.sql.push(Piece::Text(" WHERE true".to_string()));
        }
        input.sql.extend(notes.into_iter().map(Piece::Semi));
    }
    for input in inputs {
        input.sql.retain(|piece| !is_unknown(piece));
    }
}

fn is_unknown(piece: &Piece) -> bool {
    matches!(piece, Piece::Semi(semi) if semi.input == usize::MAX)
}

/// Where a value of each row's `column` surely stands too, if the row is in an answer.
fn reached(analysis: &Analysis, column: Target, scope: ScopeId) -> Vec<Rows> {
    let mut starts = vec![(column, scope)];
    let mut out = Vec::new();
    let mut next = 0;
    while let Some(&(start, scope)) = starts.get(next) {
        next += 1;
        for at in analysis.equals(start, scope) {
            if at != column && !out.contains(&Rows::Column(at)) {
                out.push(Rows::Column(at));
            }
            let mut inner = Vec::new();
            let here = |among: &&Among| among.column == at && analysis.sees(scope, among.scope);
            for among in analysis.among.iter().filter(here) {
                let output = match among.rows {
                    Rows::Output(query, output) => {
                        analysis.queries.get(&query).and_then(|level| level.outputs.get(output))
                    }
                    Rows::Column(target) => analysis.column(target),
                };
                let same = |(one, other)| comparable(one, other);
                if !analysis.column(at).zip(output).is_some_and(same) {
                    continue;
                }
                if !out.contains(&among.rows) {
                    out.push(among.rows);
                }
                match among.rows {
                    Rows::Output(..) => inner.extend(output.and_then(|output| output.origin)),
                    Rows::Column(target) => inner.push(target),
                }
            }
            // A sub-query's output that plainly is a column has no other values.
            inner.extend(analysis.column(at).and_then(|column| column.origin));
            for target in inner {
                let Some(item) = analysis.refs.get(target.0) else { continue };
                let step = (target, item.scope);
                if !starts.contains(&step) {
                    starts.push(step);
                }
                if target != column && !out.contains(&Rows::Column(target)) {
                    out.push(Rows::Column(target));
                }
            }
        }
    }
    out
}
