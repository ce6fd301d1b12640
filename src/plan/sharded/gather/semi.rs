//! Keys that go along: rows of an input that equal none of another one's, which came before, need not come.

use super::joined::quoted;
use crate::plan::sharded::analysis::*;
use crate::plan::sharded::query::Planner;
use crate::plan::sharded::{Input, Piece, Semi};

/// What one input gives: the tables that it stands for, and which of their columns.
pub struct Made {
    pub input: usize,
    pub members: Vec<RefId>,
    pub columns: Vec<Target>,
    /// It has a WHERE.
    pub filtered: bool,
}

/// Notes for each input by which others' keys it may be made smaller. An equality that holds where a table stands says that
/// a row of it which equals no row of the other table is in no answer: so an inner join's for both sides, an outer join's
/// for the side that gets NULLs, a sub-query's for its own table, that of `x IN (SELECT y …)` for `y`. It holds of columns
/// that one operator family compares, under deterministic collations ([`Analysis::equals`]). What is left out of a table
/// so could as well be missing in it; so the keys of an input that was made smaller itself are as good. Which of the two
/// comes first is decided by their sizes.
pub fn note(planner: &Planner<'_>, made: &[Made], inputs: &mut [Input]) {
    let analysis = planner.analysis;
    for one in made {
        // A question that two items share must give the rows of both.
        if made.iter().filter(|other| other.input == one.input).count() > 1 {
            continue;
        }
        let mut notes: Vec<Semi> = Vec::new();
        for &member in &one.members {
            let Some(item) = analysis.refs.get(member) else { continue };
            for at in 0..item.columns.len() {
                let reached = analysis.equals((member, at), item.scope);
                for other in reached.into_iter().skip(1) {
                    let source = made.iter().filter(|source| source.input != one.input).find_map(|source| {
                        let column = source.columns.iter().position(|column| *column == other)?;
                        Some((source.input, column))
                    });
                    let (Some((input, column)), Some(test)) = (source, quoted(analysis, (member, at))) else {
                        continue;
                    };
                    if !notes.iter().any(|note| note.input == input && note.column == column) {
                        notes.push(Semi { test, input, column });
                    }
                }
            }
        }
        let Some(input) = inputs.get_mut(one.input).filter(|_| !notes.is_empty()) else { continue };
        if !one.filtered {
            input.sql.push(Piece::Text(" WHERE true".to_string()));
        }
        input.sql.extend(notes.into_iter().map(Piece::Semi));
    }
}
