//! Several inputs of one shard in one statement, so that all see one snapshot: tagged branches of a UNION ALL.

use std::borrow::Cow;
use std::sync::Arc;

use super::describe::{Column as Described, Prepared};
use super::gather::{Gathering, Into};
use super::multi::{Bind, Extra, Question, all_types, text_of};
use super::{Coordinator, Go};
use crate::backend::View;
use crate::execute::arrays::travels_binary;
use crate::plan::sharded::{Input, Scatter};

impl Coordinator {
    /// All inputs' rows, slot by slot; no shard is asked more than once.
    pub(super) async fn collect_together(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        bind: &Bind,
        extra: &Extra,
        view: &View,
        gathering: &mut Gathering,
    ) -> Go {
        let mut described = Vec::new();
        let mut on: Vec<Vec<usize>> = vec![Vec::new(); self.links.len()];
        for input in &scatter.inputs {
            let (slot, input_columns) = self.slot_of(prepared, input, extra, view, gathering).await?;
            described.push(input_columns);
            for shard in self.input_shards(prepared, input, bind, view)? {
                if let Some(inputs) = on.get_mut(shard) {
                    inputs.push(slot);
                }
            }
        }
        let asked: Vec<usize> = (0..on.len()).filter(|&shard| on.get(shard).is_some_and(|on| !on.is_empty())).collect();
        let mut questions = Vec::new();
        for &shard in &asked {
            let inputs = on.get(shard).map(Vec::as_slice).unwrap_or_default();
            let question = question(prepared, scatter, inputs, &described, extra);
            questions.push((shard, Cow::Owned(self.question_for(shard, &question).into_owned())));
        }
        let links = self.put_questions(questions, bind, (extra, &[]), prepared.runs.get() > 1).await?;
        let links = links.into_iter().map(|(shard, link)| (shard, link, false)).collect();
        self.collect_links(links, &mut Into::Gather(gathering, &on)).await?;
        self.end_spooling(gathering).await
    }
}

/// The input that a row is of, and its values in it. With one input there is no tag.
pub(super) fn values_of<'r, 'v>(
    inputs: &[usize],
    values: &'r [Option<&'v [u8]>],
    width: impl Fn(usize) -> usize,
) -> Option<(usize, &'r [Option<&'v [u8]>])> {
    let (tag, mut rest) = match (inputs, values.split_first()) {
        ([one], _) => return Some((*one, values)),
        (_, Some((Some([high, low]), rest))) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    for &input in inputs {
        let (mine, behind) = rest.split_at_checked(width(input))?;
        if input == tag {
            return Some((input, mine));
        }
        rest = behind;
    }
    None
}

/// `SELECT n, …` for each input, its columns beside those of the others, which are NULL. The first branch has no rows:
/// it gives the columns their types.
fn question(
    prepared: &Prepared,
    scatter: &Scatter,
    inputs: &[usize],
    described: &[Arc<Vec<Described>>],
    extra: &Extra,
) -> Question {
    let found =
        |at: usize| -> Option<(&Input, &Vec<Described>)> { Some((scatter.inputs.get(at)?, described.get(at)?)) };
    let types = all_types(prepared, extra);
    let mut results: Vec<i16> = Vec::new();
    for (_, columns) in inputs.iter().filter_map(|&at| found(at)) {
        results.extend(columns.iter().map(|column| i16::from(travels_binary(column.type_oid))));
    }
    if let ([one], Some((input, _))) = (inputs, inputs.first().and_then(|&at| found(at))) {
        debug_assert!(*one < scatter.inputs.len());
        return Question { sql: text_of(&input.sql, prepared, &[]), types, results, named: None };
    }
    results.insert(0, 1);
    let list = |only: Option<usize>| {
        let mut list = String::new();
        for &at in inputs {
            for column in 0..found(at).map_or(0, |(_, columns)| columns.len()) {
                match only {
                    Some(only) if only != at => list.push_str(", NULL"),
                    _ => list.push_str(&format!(", b{at}.c{column}")),
                }
            }
        }
        list
    };
    let source = |at: usize| {
        let (text, count) = found(at)
            .map_or((String::new(), 0), |(input, columns)| (text_of(&input.sql, prepared, &[]), columns.len()));
        let names: Vec<String> = (0..count).map(|column| format!("c{column}")).collect();
        format!("({text}) AS b{at}({})", names.join(", "))
    };
    let all: Vec<String> = inputs.iter().map(|&at| source(at)).collect();
    let mut sql = format!("SELECT 0::pg_catalog.int2{} FROM {} WHERE false", list(None), all.join(", "));
    for &at in inputs {
        sql.push_str(&format!(" UNION ALL SELECT {at}::pg_catalog.int2{} FROM {}", list(Some(at)), source(at)));
    }
    Question { sql, types, results, named: None }
}
