//! Rows that come as values: to which shard each belongs, and the INSERT that takes them there as arrays.

use super::decide::no_key;
use super::describe::{Column as Described, Prepared};
use super::multi::{Bind, Extra, text_of};
use super::{Coordinator, Go};
use crate::backend::View;
use crate::base::PgError;
use crate::execute::arrays::{Column, from_item, travels_binary};
use crate::plan::sharded::{Insertion, KeyCondition, row_shards, value_shard};
use crate::topology::placement::TablePlace;
use crate::value::key::Format;
use crate::value::oid;

/// Where rows go.
pub(super) enum Deal {
    /// All to these shards, every one of them the same.
    All(Vec<usize>),
    ByKey(Key),
}

/// The column that decides about a row.
pub(super) struct Key {
    condition: KeyCondition,
    at: usize,
    type_oid: u32,
    format: Format,
}

impl Coordinator {
    /// By the key in column `at` of these, or by its one value.
    pub(super) fn deal_by(
        &self,
        prepared: &Prepared,
        condition: &KeyCondition,
        at: Option<usize>,
        columns: &[Described],
        bind: &Bind,
        view: &View,
    ) -> Go<Deal> {
        let Some(at) = at else {
            let values = self.bound(prepared, bind);
            let shards = row_shards(condition, &view.placement, &|number| values(number));
            let shards = shards.filter(|shards| shards.len() == 1);
            return Ok(Deal::All(shards.ok_or_else(|| no_key(&condition.column))?));
        };
        let found = columns.get(at).map_or(0, |column| column.type_oid);
        // A list of keys knows labels as text.
        let label = view.schema.types.get(&found).is_some_and(|known| known.kind == b'e');
        let type_oid = if label { oid::TEXT } else { found };
        let format = if travels_binary(found) { Format::Binary } else { Format::Text };
        Ok(Deal::ByKey(Key { condition: condition.clone(), at, type_oid, format }))
    }
}

impl Key {
    /// The shard of a row.
    ///
    /// # Errors
    /// Its key is NULL, or of a type that isn't hashed here.
    pub fn shard(&self, values: &[Option<&[u8]>], view: &View) -> Result<usize, PgError> {
        let value = values.get(self.at).copied().flatten();
        self.found(value, view).ok_or_else(|| no_key(&self.condition.column))
    }

    /// A list of keys knows them as text.
    fn found(&self, value: Option<&[u8]>, view: &View) -> Option<usize> {
        let by_list = matches!(self.condition.place, TablePlace::List { .. });
        let number = match (value, by_list && self.format == Format::Binary) {
            (Some(bytes), true) => match self.type_oid {
                oid::INT2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).to_string()),
                oid::INT4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).to_string()),
                oid::INT8 => Some(i64::from_be_bytes(bytes.try_into().ok()?).to_string()),
                _ => None,
            },
            _ => None,
        };
        let format = if by_list { Format::Text } else { self.format };
        let value = number.as_deref().map(str::as_bytes).or(value);
        value_shard(&self.condition, &view.placement, self.type_oid, format, value)
    }
}

/// What a shard is told for rows that come as arrays.
pub(super) fn insert_text(prepared: &Prepared, insertion: &Insertion, columns: &[Column], extra: &Extra) -> String {
    let own = prepared.described.get().map_or(0, |described| described.params.len());
    let list: Vec<String> = (0..columns.len())
        .map(|at| match insertion.constants.iter().find(|(constant, _)| *constant == at) {
            Some((_, constant)) => text_of(constant, prepared, &[]),
            None => format!("pgbraid_i.c{at}"),
        })
        .collect();
    format!(
        "{}SELECT {}{} FROM {} AS pgbraid_i {}",
        text_of(&insertion.before, prepared, &[]),
        list.join(", "),
        text_of(&insertion.added, prepared, &[]),
        from_item(columns, own + extra.types.len() + 1),
        text_of(&insertion.after, prepared, &[])
    )
}
