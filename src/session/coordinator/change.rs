//! One statement that changes rows on several shards: each does its part, in one transaction.

use std::future::poll_fn;
use std::task::Poll;

use super::block::Block;
use super::collect::{Answer, Keep};
use super::describe::{Described, Prepared};
use super::draw::Drawn;
use super::multi::{Bind, Extra, Question, all_types, put_question};
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go, Stop};
use crate::backend::memory::Held;
use crate::base::{PgError, SqlState};
use crate::execute::arrays::Column;
use crate::execute::row;
use crate::plan::TransactionModes;
use crate::plan::sharded::{Changed, Finish, Input, Scatter, Split, row_shards};
use crate::wire::frame::{HEADER, back, split_cstr};
use crate::wire::message;

/// What one shard is told, and which rows of the statement's it is given.
pub(super) struct Task {
    pub shard: usize,
    pub question: Question,
    /// Values behind the client's own.
    pub extra: Extra,
    pub rows: Vec<usize>,
}

/// A text with rows behind the values in `extra`, as arrays: what is asked, and all values.
pub(super) fn with_arrays(
    prepared: &Prepared,
    sql: String,
    columns: Vec<Column>,
    extra: &Extra,
    bind: &Bind,
) -> (Question, Extra) {
    let mut all = extra.clone();
    for column in columns {
        all.types.push(column.array_oid());
        all.values.push(Some(column.into_array()));
    }
    let question = Question { sql, types: all_types(prepared, &all), results: bind.results.clone(), named: None };
    (question, all)
}

impl Coordinator {
    /// Runs it. Outside a block it is a transaction of its own, which in extended messages ends at Sync.
    pub(super) async fn change(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        shards: &[usize],
        bind: &Bind,
        describe: bool,
    ) -> Go {
        if let Finish::Found(found) = &scatter.finish {
            return self.write_found(prepared, scatter, found, bind, describe).await;
        }
        let mut tasks = None;
        if let (Finish::Changed(changed), None, Some(input)) = (&scatter.finish, &self.block, scatter.inputs.first())
            && changed.split.is_some()
            && changed.told.is_none()
        {
            let drawn = self.draw(prepared, &scatter.once).await?;
            let split = self.tasks(prepared, input, changed, shards, bind, &drawn).await?;
            if let [task] = split.as_slice() {
                return self.change_one(prepared, task, bind, describe).await;
            }
            tasks = Some(split);
        }
        let own = self.begin_own();
        let result = match &scatter.finish {
            Finish::Changed(changed @ Changed { told: Some(told), .. }) => {
                self.change_and_tell(prepared, scatter, (changed, told), shards, bind, describe).await
            }
            Finish::Changed(changed) => {
                self.change_within(prepared, scatter, changed, (shards, tasks), bind, describe).await
            }
            Finish::Fed(feed) => self.feed(prepared, scatter, feed, bind, describe).await,
            Finish::Moved(moved) => self.move_rows(prepared, scatter, moved, bind, describe).await,
            Finish::Stream { .. } | Finish::Rest { .. } | Finish::Found(_) | Finish::Copied(_) => {
                Err(super::multi::nothing_asked().into())
            }
        };
        self.end_statement(own, result).await
    }

    /// All rows go to one shard, and no transaction of several is needed.
    async fn change_one(&mut self, prepared: &Prepared, task: &Task, bind: &Bind, describe: bool) -> Go {
        self.worker.metrics.routed.inc();
        self.may_write(task.shard).await?;
        let question = self.question_for(task.shard, &task.question);
        if self.in_extended() {
            // The client's Sync ends it, and what the shard says is passed on then.
            let mut link = self.engage_for_segment(task.shard).await?;
            put_question(&mut link, &question, bind, &task.extra, false, false);
            self.put_link(task.shard, link);
            return Ok(());
        }
        let mut link = self.engage(task.shard).await?;
        put_question(&mut link, &question, bind, &task.extra, false, false);
        link.sync();
        let mut held = self.database.shared.memory.hold();
        let answer = self.ask_within(&mut link, &mut Keep::Within(&mut held)).await?;
        self.put_link(task.shard, link);
        self.segment.wrote = None;
        self.output.extend_from_slice(&answer.notices);
        if let Some(error) = answer.error {
            return Err(self.tell_frame(&error, &without_place(&answer.error_frame)));
        }
        self.tell_all(prepared, answer.rows.iter(), bind, describe);
        put_body(&mut self.output, back::COMMAND_COMPLETE, &[answer.tag.as_slice(), b"\0"].concat());
        Ok(())
    }

    /// What shards said besides; of copies the first one only.
    pub(super) fn pass_notices(&mut self, answers: &[Answer], copies: bool) {
        let parts = if copies { 1 } else { answers.len() };
        answers.iter().take(parts).for_each(|answer| self.output.extend_from_slice(&answer.notices));
    }

    pub(super) fn tell_all<'a>(
        &mut self,
        prepared: &Prepared,
        rows: impl Iterator<Item = &'a Vec<u8>>,
        bind: &Bind,
        describe: bool,
    ) {
        if describe && let Some(row) = prepared.described.get().and_then(Described::told) {
            put_body(&mut self.output, back::ROW_DESCRIPTION, &with_formats(row, &bind.results));
        }
        for row in rows {
            put_body(&mut self.output, back::DATA_ROW, row);
        }
    }

    /// Outside a block, begins one for a statement that writes. Whether it did, or one was begun for it.
    pub(super) fn begin_own(&mut self) -> bool {
        self.worker.metrics.scattered.inc();
        if let Some(block) = &mut self.block {
            return std::mem::take(&mut block.handed);
        }
        self.block = Some(self.new_block("BEGIN", TransactionModes::default(), false));
        true
    }

    /// Tells the tag of such a statement; commits before, if the block is its own and no Sync will.
    pub(super) async fn end_statement(&mut self, own: bool, result: Go<String>) -> Go {
        if own
            && !self.in_extended()
            && !matches!(result, Err(Stop::Over))
            && let Some(block) = self.block.take()
        {
            let ended = self.end_own(&block, result.is_ok()).await;
            let tag = result?;
            ended?;
            message::command_complete(&mut self.output, &tag);
            return Ok(());
        }
        message::command_complete(&mut self.output, &result?);
        Ok(())
    }

    /// Its rows are told; gives the command tag.
    async fn change_within(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        changed: &Changed,
        over: (&[usize], Option<Vec<Task>>),
        bind: &Bind,
        describe: bool,
    ) -> Go<String> {
        let mut held = self.database.shared.memory.hold();
        let (rows, count) = self.change_rows(prepared, scatter, changed, over, bind, &mut held).await?;
        self.tell_all(prepared, rows.iter(), bind, describe);
        Ok(format!("{} {count}", changed.word))
    }

    /// Runs it within a block; RETURNING's rows, within what is held, and the count.
    pub(super) async fn change_rows(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        changed: &Changed,
        (shards, tasks): (&[usize], Option<Vec<Task>>),
        bind: &Bind,
        held: &mut Held,
    ) -> Go<(Vec<Vec<u8>>, u64)> {
        let home = self.home();
        let Some(input) = scatter.inputs.first() else { return Err(uneven().into()) };
        let mut order = shards.to_vec();
        order.sort_by_key(|&shard| shard != home);
        if changed.copies.is_some() {
            self.refuse_copies_in_snapshot()?;
        }
        let tasks = match tasks {
            Some(tasks) => tasks,
            None => {
                let drawn = self.draw(prepared, &scatter.once).await?;
                self.tasks(prepared, input, changed, &order, bind, &drawn).await?
            }
        };
        for task in &tasks {
            self.may_write(task.shard).await?;
            let link = self.engage(task.shard).await?;
            self.put_link(task.shard, link);
        }
        if let Some(table) = &changed.copies {
            self.lock_copies(table, &order).await?;
        }
        let again = changed.split.is_none() && prepared.runs.get() > 1;
        prepared.runs.set(prepared.runs.get().saturating_add(1));
        let answers = self.put_tasks(prepared, &tasks, bind, again, held).await?;
        self.pass_notices(&answers, changed.copies.is_some());
        let mut count = 0u64;
        let mut counts = Vec::new();
        for answer in &answers {
            let told = count_of(&answer.tag).ok_or_else(uneven)?;
            counts.push(told);
            count += told;
        }
        let mut rows: Vec<Vec<u8>> = Vec::new();
        match (&changed.copies, &changed.split) {
            (Some(table), _) => {
                // The copies are equal, so what is done to them is.
                if counts.iter().any(|other| Some(other) != counts.first()) {
                    return Err(unequal(table).into());
                }
                count = counts.first().copied().unwrap_or(0);
                rows.extend(answers.into_iter().take(1).flat_map(|answer| answer.rows));
            }
            (None, Some(split)) if tasks.len() > 1 && answers.iter().any(|answer| !answer.rows.is_empty()) => {
                rows = in_order(&tasks, answers, split.numbered)?;
            }
            _ => rows.extend(answers.into_iter().flat_map(|answer| answer.rows)),
        }
        Ok((rows, count))
    }

    /// Two writers of a reference table take turns on every shard in the same order, the home shard's first.
    pub(super) async fn lock_copies(&mut self, table: &str, order: &[usize]) -> Go {
        let answer = self.lock(table, "SHARE ROW EXCLUSIVE", order).await?;
        self.good_or_told(answer).map(|_| ())
    }

    /// Locks a table on these shards, one after another: the last answer, which has the error if there is one. LOCK takes no
    /// snapshot: one that the transaction keeps is taken behind it.
    pub(super) async fn lock(&mut self, table: &str, mode: &str, order: &[usize]) -> Go<Answer> {
        let mut last = Answer::default();
        for &shard in order {
            let mut link = self.join(shard).await?;
            last = self.run_on(&mut link, &format!("LOCK TABLE {table} IN {mode} MODE")).await?;
            self.put_link(shard, link);
            if last.error.is_some() {
                break;
            }
        }
        Ok(last)
    }

    /// What each shard is told.
    async fn tasks(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        changed: &Changed,
        order: &[usize],
        bind: &Bind,
        drawn: &Drawn,
    ) -> Go<Vec<Task>> {
        let extra = &drawn.extra;
        let types = all_types(prepared, extra);
        let question = |sql: String, results: Vec<i16>| Question { sql, types: types.clone(), results, named: None };
        let Some(split) = &changed.split else {
            let sql = drawn.text_of(&input.sql, false);
            let task = |&shard: &usize| Task {
                shard,
                question: question(sql.clone(), bind.results.clone()),
                extra: extra.clone(),
                rows: Vec::new(),
            };
            return Ok(order.iter().map(task).collect());
        };
        let view = self.view().await?;
        let values = self.bound(prepared, bind);
        let places = row_shards(&split.key, &view.placement, &|number| drawn.bound(number).or_else(|| values(number)));
        let places = places.ok_or_else(|| super::decide::no_key(&split.key.column))?;
        // One shard gives them in their order by itself.
        let apart = split.numbered && places.iter().any(|place| Some(place) != places.first());
        let mut results = bind.results.clone();
        if apart && results.len() > 1 {
            results.push(0);
        }
        let tasks = order.iter().filter_map(|&shard| {
            let rows: Vec<usize> = (0..places.len()).filter(|&at| places.get(at) == Some(&shard)).collect();
            let sql = rows_text(split, &rows, drawn, apart);
            let question = question(sql, results.clone());
            (!rows.is_empty()).then(|| Task { shard, question, extra: extra.clone(), rows })
        });
        Ok(tasks.collect())
    }

    /// Asks all at once. The first error is told, and fails the transaction. Their rows are within what is held.
    pub(super) async fn put_tasks(
        &mut self,
        prepared: &Prepared,
        tasks: &[Task],
        bind: &Bind,
        again: bool,
        held: &mut Held,
    ) -> Go<Vec<Answer>> {
        let mut links = Vec::new();
        for task in tasks {
            let mut link = self.take_link(task.shard)?;
            put_question(&mut link, &self.question_for(task.shard, &task.question), bind, &task.extra, false, again);
            link.sync();
            // All of them work meanwhile.
            let _ = poll_fn(|cx| Poll::Ready(link.poll_send(cx))).await;
            links.push((task.shard, link));
        }
        let mut answers = Vec::new();
        let mut failure: Option<Answer> = None;
        let mut lost = None;
        for (shard, mut link) in links {
            if failure.is_some() || lost.is_some() {
                link.cancel();
            }
            match self.ask_within(&mut link, &mut Keep::Within(held)).await {
                Ok(mut answer) => {
                    self.put_link(shard, link);
                    if let Some(named) = self.named_results(shard, prepared.described.get(), bind) {
                        answer.rows.iter_mut().for_each(|row| named.to_client(row));
                    }
                    if answer.error.is_some() && failure.is_none() {
                        failure = Some(answer);
                    } else {
                        answers.push(answer);
                    }
                }
                Err(Stop::Over) => return Err(Stop::Over),
                Err(stop) => lost = lost.or(Some(stop)),
            }
        }
        if let Some(Answer { error: Some(error), error_frame, notices, .. }) = failure {
            self.output.extend_from_slice(&notices);
            // Its place counts in the text that the shard got.
            let same = tasks.iter().all(|task| task.question.sql == prepared.sql);
            let frame = if same { error_frame } else { without_place(&error_frame) };
            return Err(self.tell_frame(&error, &frame));
        }
        match lost {
            Some(stop) => Err(stop),
            None => Ok(answers),
        }
    }

    /// Copies that are changed by what a snapshot of long ago shows would differ.
    pub(super) fn refuse_copies_in_snapshot(&self) -> Go {
        let keeps = self.block.as_ref().is_some_and(Block::keeps_snapshot);
        if keeps {
            let text = "a reference table can't be changed in a REPEATABLE READ or SERIALIZABLE transaction";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("Change it in a READ COMMITTED transaction.")
                .into());
        }
        Ok(())
    }
}

/// Whether Execute with a row limit runs all of it: a write that gives no rows.
///
/// # Errors
/// 0A000 for one that does.
pub(super) fn runs_whole(prepared: &Prepared, scatter: &Scatter) -> Result<bool, PgError> {
    let changes = scatter.changes() || matches!(scatter.finish, Finish::Copied(_));
    if changes {
        in_one_piece(prepared)?;
    }
    Ok(changes)
}

/// A write that several shards carry out gives its rows at once.
///
/// # Errors
/// 0A000 where it gives some.
pub(super) fn in_one_piece(prepared: &Prepared) -> Result<(), PgError> {
    if prepared.described.get().is_none_or(|described| described.row.is_none()) {
        return Ok(());
    }
    let text = "rows of RETURNING over several shards can't be fetched in parts";
    Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint("Execute it without a row limit."))
}

/// RETURNING's rows in the order of the rows of VALUES that they are about. `numbered`: each has its row's number behind its
/// columns, which is taken off, and some rows give none; else each gives one, in their order.
fn in_order(tasks: &[Task], answers: Vec<Answer>, numbered: bool) -> Result<Vec<Vec<u8>>, PgError> {
    let mut placed = Vec::new();
    for (task, answer) in tasks.iter().zip(answers) {
        if !numbered && task.rows.len() != answer.rows.len() {
            return Err(uneven());
        }
        for (turn, mut row) in answer.rows.into_iter().enumerate() {
            let number = if numbered { take_number(&mut row) } else { task.rows.get(turn).copied() };
            let number = number.filter(|number| task.rows.binary_search(number).is_ok());
            placed.push((number.ok_or_else(uneven)?, row));
        }
    }
    placed.sort_by_key(|(number, _)| *number);
    Ok(placed.into_iter().map(|(_, row)| row).collect())
}

/// Takes the last column off a DataRow's body: a number as text.
fn take_number(row: &mut Vec<u8>) -> Option<usize> {
    let last = row::columns(row)?.checked_sub(1)?;
    let text = row::value(row, last)??;
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    row::cut(row, last).then_some(number)
}

/// The statement with these of its rows.
fn rows_text(split: &Split, rows: &[usize], drawn: &Drawn, apart: bool) -> String {
    let mut text = drawn.text_of(&split.before, apart);
    for (turn, row) in rows.iter().filter_map(|&at| split.rows.get(at)).enumerate() {
        text.push_str(if turn == 0 { " " } else { ", " });
        text.push_str(&drawn.text_of(row, apart));
    }
    text.push(' ');
    text.push_str(&drawn.text_of(&split.after, apart));
    text
}

/// The error without its place in the text.
pub(super) fn without_place(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message::put(&mut out, back::ERROR_RESPONSE, |out| {
        let mut rest = frame.get(HEADER..).unwrap_or_default();
        while let Some((&field, behind)) = rest.split_first() {
            let Some((value, after)) = split_cstr(behind) else { break };
            rest = after;
            if field != b'P' {
                out.push(field);
                message::put_cstr(out, value);
            }
        }
        out.push(0);
    });
    out
}

/// The number in a command tag.
pub(super) fn count_of(tag: &[u8]) -> Option<u64> {
    std::str::from_utf8(tag).ok()?.rsplit(' ').next()?.parse().ok()
}

pub(super) fn uneven() -> PgError {
    PgError::error(SqlState::INTERNAL_ERROR, "a shard answered a part of a statement with another number of rows")
}

pub(super) fn unequal(table: &str) -> PgError {
    let text = format!("the shards' copies of the reference table {table} aren't equal");
    PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text)
        .detail("The same statement changed another number of rows on one than on another. Nothing was changed.")
        .hint("Make the copies equal.")
}
