//! Inputs one after another, the smallest first: where it pays, the keys that have come go along to the next one's shards.

use crate::backend::View;
use crate::base::limits;
use crate::execute::arrays::Column;
use crate::plan::sharded::{Input, Piece, Semi};
use crate::session::coordinator::describe::Prepared;
use crate::session::coordinator::multi::{Bind, Extra, Question, all_types, put_question, text_of};
use crate::session::coordinator::{Coordinator, Go};
use crate::wire::message;

/// Bytes of a row besides its values.
const ROW: f64 = 7.0;

/// What a server thinks that an input has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    rows: f64,
    bytes: f64,
}

impl Coordinator {
    /// How much servers think that each input has. Nothing, where no input can be narrowed by others' keys.
    pub(super) async fn sizes(
        &mut self,
        prepared: &Prepared,
        inputs: &[Input],
        bind: &Bind,
        extra: &Extra,
        view: &View,
    ) -> Go<Vec<Option<Size>>> {
        let mut sizes = Vec::new();
        if inputs.iter().any(|input| input.sql.iter().any(|piece| matches!(piece, Piece::Semi(_)))) {
            for input in inputs {
                sizes.push(self.size(prepared, input, bind, extra, view).await?);
            }
        }
        Ok(sizes)
    }

    /// An input with the keys of others that have come, and the values with these; as far as that pays. `held`: a column
    /// of an input whose rows are all at hand.
    #[allow(clippy::too_many_arguments, reason = "what an execution is made of")]
    pub(super) async fn narrowed<'c>(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        size: Option<Size>,
        bind: &Bind,
        extra: &Extra,
        view: &View,
        held: impl Fn(usize, usize) -> Option<&'c Column>,
    ) -> Go<Option<(Input, Extra)>> {
        let shards = self.input_shards(prepared, input, bind, view)?.len();
        let budget = bytes(size) / limits::SEMI_JOIN_PAYS / shards.max(1) as f64;
        let mut with = extra.clone();
        let Some(narrowed) = narrowed(prepared, input, held, budget, &mut with) else { return Ok(None) };
        // It gives the same columns.
        let known = self.input_columns(prepared, input, extra).await?;
        prepared.inputs.borrow_mut().insert(text_of(&narrowed.sql, prepared, &[]), known);
        Ok(Some((narrowed, with)))
    }

    /// How much one of the input's shards thinks that it has, and the others as much each.
    async fn size(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        bind: &Bind,
        extra: &Extra,
        view: &View,
    ) -> Go<Option<Size>> {
        let shards = self.input_shards(prepared, input, bind, view)?;
        let Some(&shard) = shards.first() else { return Ok(None) };
        let sql = format!("EXPLAIN {}", text_of(&input.sql, prepared, &[]));
        let mut link = self.engage(shard).await?;
        let question = Question { sql, types: all_types(prepared, extra), results: Vec::new(), named: None };
        put_question(&mut link, &self.question_for(shard, &question), bind, extra, false, false);
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(shard, link);
        let answer = answer.good()?;
        let first =
            answer.rows.first().and_then(|row| message::read_data_row(row)).and_then(|row| row.first().copied());
        let line = first.flatten().map(String::from_utf8_lossy);
        Ok(line.and_then(|line| size(&line, shards.len())))
    }
}

/// Its bytes; more than anything where they aren't known.
pub(super) fn bytes(size: Option<Size>) -> f64 {
    size.map_or(f64::INFINITY, |size| size.bytes)
}

/// `Seq Scan on t  (cost=0.00..35.50 rows=2550 width=4)`
fn size(line: &str, shards: usize) -> Option<Size> {
    let figure = |name: &str| -> Option<f64> {
        let (_, behind) = line.split_once(name)?;
        let digits = behind.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let rows = figure(" rows=")? * shards as f64;
    Some(Size { rows, bytes: rows * (figure(" width=")? + ROW) })
}

/// The input with the keys of others that have come, which are added to `extra`, as far as the budget for each shard
/// allows.
fn narrowed<'c>(
    prepared: &Prepared,
    input: &Input,
    held: impl Fn(usize, usize) -> Option<&'c Column>,
    budget: f64,
    extra: &mut Extra,
) -> Option<Input> {
    let own = prepared.described.get().map_or(0, |described| described.params.len());
    let mut left = budget.min(limits::SEMI_JOIN_BYTES as f64);
    let mut any = false;
    let sql = (input.sql.iter())
        .map(|piece| {
            let Piece::Semi(Semi { test, input, column }) = piece else { return piece.clone() };
            let Some(keys) = held(*input, *column).and_then(|column| column.keys(left as usize)) else {
                return piece.clone();
            };
            left -= keys.held() as f64;
            any = true;
            extra.types.push(keys.array_oid());
            extra.values.push(Some(keys.into_array()));
            Piece::Text(format!(" AND {test} = ANY (${})", own + extra.types.len()))
        })
        .collect();
    any.then(|| Input { sql, access: input.access.clone(), columns: input.columns.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_first_line() {
        let line = "Hash Join  (cost=10.00..35.50 rows=2550 width=12)";
        assert_eq!(size(line, 2), Some(Size { rows: 5100.0, bytes: 5100.0 * 19.0 }));
        assert_eq!(size("Result", 2), None);
    }
}
