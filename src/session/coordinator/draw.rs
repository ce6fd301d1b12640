//! Values that new rows take from the home shard: of sequences, clocks, and defaults that decide a row's shard.

use super::describe::{Prepared, read_columns};
use super::multi::{Bind, Extra, Question, put_question};
use super::{Coordinator, Go};
use crate::base::{PgError, SqlState, limits};
use crate::plan::sharded::{BoundValue, ONCE, Piece};
use crate::value::key::Format;
use crate::value::oid;
use crate::wire::message;

/// The values, and what stands for each of them in a text.
#[derive(Default)]
pub(super) struct Drawn {
    values: Extra,
    texts: Vec<String>,
    /// Those that are sent as parameters behind the client's own; the others stand in the text.
    pub extra: Extra,
}

impl Drawn {
    /// Value `number`, as the planner asks for it among parameters.
    pub fn bound(&self, number: u32) -> Option<BoundValue<'_>> {
        let at = number.checked_sub(ONCE)? as usize;
        let value = self.values.values.get(at)?.as_deref();
        Some(BoundValue { type_oid: *self.values.types.get(at)?, format: Format::Binary, value })
    }

    /// The text that pieces make. `apart`: rows are told apart.
    pub fn text_of(&self, pieces: &[Piece], apart: bool) -> String {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Once(at) => text.push_str(self.texts.get(*at).map_or("", String::as_str)),
                Piece::Apart(part) if apart => text.push_str(part),
                Piece::Input(_) | Piece::Semi(_) | Piece::Apart(_) => {}
            }
        }
        text
    }
}

impl Coordinator {
    /// Evaluates expressions, in their order, in the client's transaction, if there is one: on the home shard, which has
    /// the sequences; the others on the shard that has the transaction's clock.
    pub(super) async fn draw(&mut self, prepared: &Prepared, expressions: &[String]) -> Go<Drawn> {
        let mut drawn = Drawn::default();
        let (home, clock) = (self.home(), self.clock().unwrap_or(self.home()));
        let draws = |text: &String| text.contains("nextval");
        if let Some(first) = expressions.first().filter(|first| expressions.iter().all(|other| other == *first)) {
            // Once for each row.
            let from = if expressions.len() == 1 {
                String::new()
            } else {
                format!(" FROM pg_catalog.generate_series(1, {})", expressions.len())
            };
            let shard = if draws(first) { home } else { clock };
            self.note_drawn(draws(first));
            let sql = format!("SELECT {first}{from}");
            self.draw_some(shard, &sql, expressions.len(), &mut drawn.values).await?;
        } else {
            let (drawn_from, others): (Vec<usize>, Vec<usize>) =
                (0..expressions.len()).partition(|&at| expressions.get(at).is_some_and(draws));
            self.note_drawn(!drawn_from.is_empty());
            let mut values = Extra::default();
            for (shard, places) in [(home, &drawn_from), (clock, &others)] {
                for part in places.chunks(limits::DRAWN_COLUMNS) {
                    let texts: Vec<&str> =
                        part.iter().filter_map(|&at| expressions.get(at)).map(String::as_str).collect();
                    self.draw_some(shard, &format!("SELECT {}", texts.join(", ")), part.len(), &mut values).await?;
                }
            }
            let mut found: Vec<_> =
                drawn_from.into_iter().chain(others).zip(values.types.into_iter().zip(values.values)).collect();
            found.sort_by_key(|(at, _)| *at);
            (drawn.values.types, drawn.values.values) = found.into_iter().map(|(_, pair)| pair).unzip();
        }
        let params = prepared.described.get().map_or(0, |described| described.params.len());
        for (type_oid, value) in drawn.values.types.iter().zip(&drawn.values.values) {
            let text = match value.as_deref().and_then(|value| literal(*type_oid, value)) {
                Some(text) => text,
                None => {
                    drawn.extra.types.push(*type_oid);
                    drawn.extra.values.push(value.clone());
                    format!("${}", params + drawn.extra.types.len())
                }
            };
            drawn.texts.push(text);
        }
        if params + drawn.extra.types.len() > usize::from(u16::MAX) {
            let text = "too many values of a statement must be evaluated before it is sent to several shards";
            return Err(PgError::error(SqlState::PROGRAM_LIMIT_EXCEEDED, text)
                .hint("Insert fewer rows at a time.")
                .into());
        }
        Ok(drawn)
    }

    /// The block must commit on the home shard before it commits elsewhere.
    pub(super) fn note_drawn(&mut self, drew: bool) {
        if let Some(block) = &mut self.block {
            block.drew |= drew;
        }
    }

    /// One SELECT's values, row by row.
    async fn draw_some(&mut self, shard: usize, sql: &str, count: usize, into: &mut Extra) -> Go {
        let mut link = self.engage(shard).await?;
        let question = Question { sql: sql.to_owned(), types: Vec::new(), results: vec![1], named: None };
        put_question(&mut link, &self.question_for(shard, &question), &Bind::default(), &Extra::default(), true, false);
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(shard, link);
        let answer = answer.good()?;
        let columns = answer.row.as_deref().map(read_columns).unwrap_or_default();
        let before = into.values.len();
        for row in &answer.rows {
            let values = message::read_data_row(row).unwrap_or_default();
            for (column, value) in columns.iter().zip(values) {
                into.types.push(column.type_oid);
                into.values.push(value.map(<[u8]>::to_vec));
            }
        }
        if into.values.len() - before == count { Ok(()) } else { Err(super::change::uneven().into()) }
    }
}

/// A value as SQL writes it, of the types that sequences and keys mostly have.
fn literal(type_oid: u32, value: &[u8]) -> Option<String> {
    match type_oid {
        oid::INT8 => Some(format!("'{}'::pg_catalog.int8", i64::from_be_bytes(value.try_into().ok()?))),
        oid::INT4 => Some(format!("'{}'::pg_catalog.int4", i32::from_be_bytes(value.try_into().ok()?))),
        oid::UUID => {
            let digits: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            (value.len() == 16).then(|| format!("'{digits}'::pg_catalog.uuid"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_sql() {
        assert_eq!(literal(oid::INT8, &(-5_i64).to_be_bytes()).as_deref(), Some("'-5'::pg_catalog.int8"));
        assert_eq!(literal(oid::INT8, b"short"), None);
        assert_eq!(literal(oid::TEXT, b"a"), None);
        let uuid = literal(oid::UUID, &[0xab; 16]).unwrap();
        assert_eq!(uuid, format!("'{}'::pg_catalog.uuid", "ab".repeat(16)));
    }
}
