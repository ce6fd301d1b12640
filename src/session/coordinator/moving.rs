//! UPDATE of a sharding key: rows go to the shards of their new keys, in the statement's transaction.
//!
//! A lock keeps other writers of the table away, on all shards, until the transaction ends: one that waited for a row here
//! would find it gone, and not look where it went. New rows are inserted before old ones are deleted, so that a key which
//! another row still has is an error, as it is where PostgreSQL comes to this row first.

use super::change::{Task, count_of, uneven};
use super::collect::Answer;
use super::deal::{Deal, insert_text};
use super::describe::{Described, Prepared};
use super::gather::{Into, made_columns};
use super::multi::{Bind, Extra, Question, all_types, put_question, text_of};
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go};
use crate::backend::View;
use crate::backend::memory::Held;
use crate::catalog::schema::Schema;
use crate::execute::arrays::{Column, travels_binary};
use crate::plan::sharded::{Moved, Piece, Scatter};
use crate::value::oid;
use crate::wire::frame::back;

/// What was read, by shard.
struct Found {
    /// Rows for the shard, from others.
    come: Vec<Vec<Column>>,
    /// Addresses of its rows that stay.
    stay: Vec<Column>,
    /// Addresses of its rows that go.
    go: Vec<Column>,
}

impl Coordinator {
    /// Runs it within a block; gives the command tag.
    pub(super) async fn move_rows(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        moved: &Moved,
        bind: &Bind,
        describe: bool,
    ) -> Go<String> {
        let order = self.home_first();
        let answer = self.lock(&moved.table, "EXCLUSIVE", &order).await?;
        self.good_or_told(answer)?;
        let view = self.view().await?;
        let extra = self.once(scatter, &order).await?;
        let mut held = self.database.shared.memory.hold();
        let found = self.read_moving(prepared, moved, bind, &extra, &view, &mut held).await?;
        let mut count = 0;
        let mut rows: Vec<Vec<u8>> = Vec::new();
        let Found { come, stay, go } = found;
        let mut tasks = Vec::new();
        let mut expected = Vec::new();
        for (shard, columns) in come.into_iter().enumerate() {
            let many = columns.first().map_or(0, Column::rows);
            if many > 0 {
                let sql = insert_text(prepared, &moved.insertion, &columns, &extra);
                tasks.push(task(prepared, shard, sql, columns, &extra, bind));
                expected.push(many);
            }
        }
        count += self.carry_out(prepared, tasks, &expected, bind, (&mut rows, &mut held)).await?;
        let (tasks, expected) = addressed(prepared, &moved.update, stay, &extra, bind);
        count += self.carry_out(prepared, tasks, &expected, bind, (&mut rows, &mut held)).await?;
        let (tasks, expected) = addressed(prepared, &moved.delete, go, &extra, bind);
        self.carry_out(prepared, tasks, &expected, bind, (&mut rows, &mut held)).await?;
        if let (true, Some(row)) = (describe, prepared.described.get().and_then(Described::told)) {
            put_body(&mut self.output, back::ROW_DESCRIPTION, &with_formats(row, &bind.results));
        }
        for row in &rows {
            put_body(&mut self.output, back::DATA_ROW, row);
        }
        Ok(format!("UPDATE {count}"))
    }

    /// Reads and locks the rows, as they are to be.
    async fn read_moving(
        &mut self,
        prepared: &Prepared,
        moved: &Moved,
        bind: &Bind,
        extra: &Extra,
        view: &View,
        held: &mut Held,
    ) -> Go<Found> {
        let described = self.input_columns(prepared, &moved.read, extra).await?;
        let described = described.get(1..).unwrap_or_default().to_vec();
        let deal = self.deal_by(prepared, &moved.key, moved.at, &described, bind, view)?;
        let mut found = Found { come: Vec::new(), stay: Vec::new(), go: Vec::new() };
        for _ in 0..self.links.len() {
            found.come.push(made_columns(&described, view)?);
            found.stay.push(addresses(&view.schema)?);
            found.go.push(addresses(&view.schema)?);
        }
        let mut results = vec![0];
        results.extend(described.iter().map(|column| i16::from(travels_binary(column.type_oid))));
        let sql = text_of(&moved.read.sql, prepared, &[]);
        let question = Question { sql, types: all_types(prepared, extra), results, named: None };
        let mut links = Vec::new();
        for shard in self.input_shards(prepared, &moved.read, bind, view)? {
            self.may_write(shard).await?;
            let mut link = self.engage(shard).await?;
            put_question(&mut link, &self.question_for(shard, &question), bind, extra, false, false);
            link.sync();
            links.push((shard, link, false));
        }
        let mut failure = None;
        let mut take = |shard: usize, values: Vec<Option<&[u8]>>| {
            let Some((address, values)) = values.split_first() else { return };
            let target = match &deal {
                Deal::All(shards) => Ok(shards.first().copied().unwrap_or(shard)),
                Deal::ByKey(key) => key.shard(values, view),
            };
            match target {
                Ok(target) if target == shard => {
                    found.stay.get_mut(shard).into_iter().for_each(|all| all.push(*address))
                }
                Ok(target) => {
                    found.go.get_mut(shard).into_iter().for_each(|all| all.push(*address));
                    let columns = found.come.get_mut(target).into_iter().flatten();
                    columns.zip(values).for_each(|(column, value)| column.push(*value));
                }
                Err(error) => failure = Some(error),
            }
        };
        self.collect_links(links, &mut Into::Take(held, &mut take)).await?;
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(found),
        }
    }

    /// Each shard's part of one step; all of its rows must be met.
    async fn carry_out(
        &mut self,
        prepared: &Prepared,
        tasks: Vec<Task>,
        expected: &[u32],
        bind: &Bind,
        (rows, held): (&mut Vec<Vec<u8>>, &mut Held),
    ) -> Go<u64> {
        for task in &tasks {
            self.may_write(task.shard).await?;
            let link = self.engage(task.shard).await?;
            self.put_link(task.shard, link);
        }
        let answers: Vec<Answer> = self.put_tasks(prepared, &tasks, bind, false, held).await?;
        self.pass_notices(&answers, false);
        let mut count = 0;
        for (answer, expected) in answers.into_iter().zip(expected) {
            let told = count_of(&answer.tag).filter(|told| *told == u64::from(*expected)).ok_or_else(uneven)?;
            count += told;
            rows.extend(answer.rows);
        }
        Ok(count)
    }
}

fn addresses(schema: &Schema) -> Go<Column> {
    Ok(Column::new(oid::TEXT, schema).ok_or_else(uneven)?)
}

/// A statement about rows at their addresses, for each shard that has some.
fn addressed(
    prepared: &Prepared,
    (before, behind): &(Vec<Piece>, Vec<Piece>),
    all: Vec<Column>,
    extra: &Extra,
    bind: &Bind,
) -> (Vec<Task>, Vec<u32>) {
    let own = prepared.described.get().map_or(0, |described| described.params.len());
    let number = own + extra.types.len() + 1;
    let sql = format!("{}${number}{}", text_of(before, prepared, &[]), text_of(behind, prepared, &[]));
    let some = all.into_iter().enumerate().filter(|(_, column)| column.rows() > 0);
    some.map(|(shard, column)| {
        let many = column.rows();
        (task(prepared, shard, sql.clone(), vec![column], extra, bind), many)
    })
    .unzip()
}

fn task(prepared: &Prepared, shard: usize, sql: String, columns: Vec<Column>, extra: &Extra, bind: &Bind) -> Task {
    let mut all = extra.clone();
    for column in columns {
        all.types.push(column.array_oid());
        all.values.push(Some(column.into_array()));
    }
    let question = Question { sql, types: all_types(prepared, &all), results: bind.results.clone(), named: None };
    Task { shard, question, extra: all, rows: Vec::new() }
}
