//! Inputs one after another, the smallest first: where it pays, the keys that have come go along to the next one's shards.

use std::time::Instant;

use crate::backend::View;
use crate::base::limits;
use crate::execute::arrays::Column;
use crate::plan::sharded::{Access, Input, KeyCondition, Piece, Scatter, key_place};
use crate::session::coordinator::describe::Prepared;
use crate::session::coordinator::multi::{Bind, Extra, Question, all_types, put_question, text_of};
use crate::session::coordinator::{Coordinator, Go};
use crate::topology::placement::{KeyPlace, TablePlace};
use crate::value::key::Format;
use crate::value::oid;
use crate::wire::message;

/// Bytes of a row besides its values.
const ROW: f64 = 7.0;

/// What a server thinks that an input has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    rows: f64,
    bytes: f64,
}

/// What a server thought of an input, for some executions.
#[derive(Debug)]
pub(in crate::session::coordinator) struct KnownSize {
    size: Option<Size>,
    asked: Instant,
    left: u32,
}

/// An input with keys of others that have come.
pub(super) struct Narrowed {
    pub input: Input,
    /// The values with the keys, for all shards alike; or each shard that has keys, with its own.
    pub extra: Extra,
    pub apart: Option<Vec<(usize, Extra)>>,
}

impl Coordinator {
    /// How much servers think that each input has. Nothing, where nothing hangs on it: no input can be narrowed by
    /// others' keys, and none may go along to others' shards.
    pub(super) async fn sizes(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        bind: &Bind,
        extra: &Extra,
        view: &View,
    ) -> Go<Vec<Option<Size>>> {
        let mut sizes = Vec::new();
        let semi = |input: &Input| input.sql.iter().any(|piece| matches!(piece, Piece::Semi(_)));
        if !scatter.broadcasts.is_empty() || scatter.inputs.iter().any(semi) {
            for input in &scatter.inputs {
                let sql = text_of(&input.sql, prepared, &[]);
                let known = prepared.sizes.borrow_mut().get_mut(&sql).and_then(KnownSize::again);
                let size = match known {
                    Some(size) => size,
                    None => {
                        let size = self.size(prepared, input, bind, extra, view).await?;
                        let known = KnownSize { size, asked: Instant::now(), left: limits::SIZES_KEPT };
                        prepared.sizes.borrow_mut().insert(sql, known);
                        size
                    }
                };
                sizes.push(size);
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
    ) -> Go<Option<Narrowed>> {
        let shards = self.input_shards(prepared, input, bind, view)?;
        let utf8 = self.reads_utf8();
        let deal = |keys: &Column, condition: &KeyCondition| match input.access {
            Access::All => keys.dealt(|key| shard_of(condition, keys.element, key, utf8, view)),
            _ => None,
        };
        let own = prepared.described.get().map_or(0, |described| described.params.len());
        let budget = (bytes(size) / limits::SEMI_JOIN_PAYS, shards.len());
        let Some(narrowed) = narrowed(own, input, held, deal, budget, extra, &shards) else { return Ok(None) };
        // It gives the same columns.
        let known = self.input_columns(prepared, input, extra).await?;
        prepared.inputs.borrow_mut().insert(text_of(&narrowed.input.sql, prepared, &[]), known);
        Ok(Some(narrowed))
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

impl KnownSize {
    /// It, once more, if it isn't too old.
    fn again(&mut self) -> Option<Option<Size>> {
        self.left = self.left.checked_sub(1)?;
        (self.asked.elapsed() < limits::SIZES_KEPT_FOR).then_some(self.size)
    }
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

/// The shard of rows with this key; `None`: not known, `Some(None)`: there are none. `utf8`: its text has the bytes that
/// servers hash.
fn shard_of(condition: &KeyCondition, type_oid: u32, key: &[u8], utf8: bool, view: &View) -> Option<Option<usize>> {
    let words = matches!(type_oid, oid::TEXT | oid::VARCHAR | oid::BPCHAR);
    if words && !utf8 && !key.is_ascii() {
        return None;
    }
    let place = |format, key: &[u8]| match key_place(condition, type_oid, format, Some(key), &view.placement) {
        KeyPlace::Shard(shard) => Some(Some(shard)),
        KeyPlace::Nowhere => Some(None),
        KeyPlace::Unknown => None,
    };
    if !matches!(condition.place, TablePlace::List { .. }) {
        return place(Format::Binary, key);
    }
    // A list knows them as text.
    match type_oid {
        oid::INT2 => place(Format::Text, i16::from_be_bytes(key.try_into().ok()?).to_string().as_bytes()),
        oid::INT4 => place(Format::Text, i32::from_be_bytes(key.try_into().ok()?).to_string().as_bytes()),
        oid::INT8 => place(Format::Text, i64::from_be_bytes(key.try_into().ok()?).to_string().as_bytes()),
        oid::TEXT | oid::VARCHAR => place(Format::Text, key),
        _ => None,
    }
}

/// The input with the keys of others that have come, as far as they are few beside what it has (`budget`, for so many
/// shards). `own`: how many parameters the client has. `deal`: keys by shard.
fn narrowed<'c>(
    own: usize,
    input: &Input,
    held: impl Fn(usize, usize) -> Option<&'c Column>,
    deal: impl Fn(&Column, &KeyCondition) -> Option<Vec<(usize, Column)>>,
    (budget, asked): (f64, usize),
    extra: &Extra,
    shards: &[usize],
) -> Option<Narrowed> {
    let each = asked.max(1) as f64;
    // What all shards together may be told, which each is told of what isn't dealt.
    let mut left = budget.min(limits::SEMI_JOIN_BYTES as f64 * each);
    let mut extra = extra.clone();
    let mut dealt: Vec<(usize, Vec<(usize, Column)>)> = Vec::new();
    let mut any = false;
    let sql = (input.sql.iter())
        .map(|piece| {
            let Piece::Semi(semi) = piece else { return piece.clone() };
            let Some(column) = held(semi.input, semi.column) else { return piece.clone() };
            let by_shard = (semi.key.as_ref())
                .and_then(|key| deal(&column.keys(left as usize)?, key))
                .filter(|by_shard| by_shard.iter().all(|(_, keys)| keys.held() <= limits::SEMI_JOIN_BYTES));
            if let Some(by_shard) = by_shard {
                left -= by_shard.iter().map(|(_, keys)| keys.held() as f64).sum::<f64>();
                dealt.push((extra.values.len(), by_shard));
                extra.types.push(column.array_oid());
                extra.values.push(None);
            } else if let Some(keys) = column.keys((left / each) as usize) {
                left -= keys.held() as f64 * each;
                extra.types.push(keys.array_oid());
                extra.values.push(Some(keys.into_array()));
            } else {
                return piece.clone();
            }
            any = true;
            Piece::Text(format!(" AND {} = ANY (${})", semi.test, own + extra.types.len()))
        })
        .collect();
    let input = any.then(|| Input { sql, access: input.access.clone(), columns: input.columns.clone() })?;
    let apart = (!dealt.is_empty()).then(|| apart(dealt, &extra, shards));
    Some(Narrowed { input, extra, apart })
}

/// The shards that have keys for all columns whose keys were dealt, each with its own. `dealt`: by value, keys by shard.
fn apart(dealt: Vec<(usize, Vec<(usize, Column)>)>, extra: &Extra, shards: &[usize]) -> Vec<(usize, Extra)> {
    let mut out: Vec<(usize, Extra)> = shards.iter().map(|&shard| (shard, extra.clone())).collect();
    for (at, by_shard) in dealt {
        let mut arrays: Vec<(usize, Option<Vec<u8>>)> =
            by_shard.into_iter().map(|(shard, keys)| (shard, Some(keys.into_array()))).collect();
        out.retain_mut(|(shard, extra)| {
            let keys = arrays.iter_mut().find(|(other, _)| other == shard).and_then(|(_, keys)| keys.take());
            let there = keys.is_some();
            extra.values.iter_mut().skip(at).take(1).for_each(|value| value.clone_from(&keys));
            there
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::schema::Schema;
    use crate::plan::sharded::Semi;

    #[test]
    fn sizes_are_read_from_the_first_line() {
        let line = "Hash Join  (cost=10.00..35.50 rows=2550 width=12)";
        assert_eq!(size(line, 2), Some(Size { rows: 5100.0, bytes: 5100.0 * 19.0 }));
        assert_eq!(size("Result", 2), None);
    }

    #[test]
    fn sizes_are_asked_again() {
        let size = Some(Size { rows: 1.0, bytes: 8.0 });
        let mut known = KnownSize { size, asked: Instant::now(), left: 2 };
        assert_eq!((known.again(), known.again(), known.again()), (Some(size), Some(size), None));
        if let Some(asked) = Instant::now().checked_sub(limits::SIZES_KEPT_FOR) {
            assert_eq!(KnownSize { size, asked, left: 2 }.again(), None);
        }
    }

    /// Keys of one input, dealt by their last bit or told to all: what each of three shards is told.
    fn told(key: bool, budget: f64) -> Option<(String, Vec<(usize, usize)>)> {
        let mut keys = Column::new(23, &Schema::default())?;
        for value in [2u8, 4, 4, 7] {
            keys.push(Some(&[0, 0, 0, value]));
        }
        let condition =
            KeyCondition { column: "t.k".to_owned(), place: TablePlace::Reference, values: Vec::new(), assigned: None };
        let semi = Semi { test: "k".to_owned(), input: 1, column: 0, key: key.then_some(condition) };
        let sql = vec![Piece::Text("SELECT k FROM t WHERE true".to_owned()), Piece::Semi(semi)];
        let input = Input { sql, access: Access::All, columns: vec!["k".to_owned()] };
        let deal =
            |keys: &Column, _: &KeyCondition| keys.dealt(|key| Some(key.last().map(|last| usize::from(last % 2))));
        let narrowed = narrowed(3, &input, |_, _| Some(&keys), deal, (budget, 3), &Extra::default(), &[0, 1, 2])?;
        let bytes = |extra: &Extra| extra.values.iter().flatten().map(Vec::len).sum();
        let shards = match &narrowed.apart {
            Some(apart) => apart.iter().map(|(shard, extra)| (*shard, bytes(extra))).collect(),
            None => vec![(9, bytes(&narrowed.extra))],
        };
        Some((crate::plan::sharded::shown(&narrowed.input.sql), shards))
    }

    #[test]
    fn shards_are_told_their_own_keys() {
        let sql = "SELECT k FROM t WHERE true AND k = ANY ($4)".to_owned();
        assert_eq!(told(true, 1000.0), Some((sql.clone(), vec![(0, 20 + 16), (1, 20 + 8)])));
        assert_eq!(told(false, 1000.0), Some((sql, vec![(9, 20 + 24)])));
        assert_eq!(told(false, 40.0), None);
    }
}
