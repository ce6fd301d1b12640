//! A query over the rows that a write of its own returned, in one transaction.

use super::change::{with_arrays, without_place};
use super::collect::Keep;
use super::describe::Prepared;
use super::gather::made_columns;
use super::multi::{Bind, put_question, text_of, types_tail};
use super::rest::same_types;
use super::{Coordinator, Go};
use crate::execute::arrays::{from_item, travels_binary};
use crate::plan::sharded::{Changed, Scatter, Told};
use crate::wire::message;

impl Coordinator {
    /// Runs the write over these shards, then the rest on the home shard, whose rows are told; gives the command tag.
    pub(super) async fn change_and_tell(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        (changed, told): (&Changed, &Told),
        shards: &[usize],
        bind: &Bind,
        describe: bool,
    ) -> Go<String> {
        let params = prepared.described.get().map(|described| described.params.clone()).unwrap_or_default();
        let source = self.text(&told.write, &types_tail(&params), true);
        self.describe(&source).await?;
        self.hands_on_exactly(&source, &told.uncollated).await?;
        let columns = source.described.get().map(|described| described.columns.clone()).unwrap_or_default();
        let view = self.view().await?;
        let mut made = made_columns(&columns, &view)?;
        let results = columns.iter().map(|column| i16::from(travels_binary(column.type_oid))).collect();
        let own = Bind { formats: bind.formats.clone(), values: bind.values.clone(), results };
        let mut held = self.database.shared.memory.hold();
        let (rows, _) = self.change_rows(&source, scatter, changed, (shards, None), &own, &mut held).await?;
        for row in &rows {
            let values = message::read_data_row(row).ok_or_else(super::stream::malformed)?;
            made.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        drop(rows);
        let home = self.home();
        let extra = self.evaluated(&told.once, &[home]).await?;
        let item = from_item(&made, params.len() + extra.types.len() + 1);
        let sql = text_of(&told.sql, prepared, &[item]);
        let (question, all) = with_arrays(prepared, sql, made, &extra, bind);
        let mut link = self.engage(home).await?;
        put_question(&mut link, &self.question_for(home, &question), bind, &all, true, false);
        link.sync();
        let answer = self.ask_within(&mut link, &mut Keep::Within(&mut held)).await?;
        self.put_link(home, link);
        self.output.extend_from_slice(&answer.notices);
        if let Some(error) = answer.error {
            return Err(self.tell_frame(&error, &without_place(&answer.error_frame)));
        }
        same_types(prepared.described.get(), answer.row.as_deref())?;
        self.tell_all(prepared, answer.rows.iter(), bind, describe);
        Ok(String::from_utf8_lossy(&answer.tag).into_owned())
    }
}
