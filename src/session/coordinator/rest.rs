//! The rest of a statement on one PostgreSQL, over the rows that shards gave: sent as array parameters.

mod semi;

use std::future::poll_fn;
use std::task::Poll;

use super::describe::Prepared;
use super::multi::{Bind, Extra, Question, all_types, put_question, text_of};
use super::relay::shard_lost;
use super::shard::{Expect, ShardLink};
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go, Stop};
use crate::backend::View;
use crate::backend::memory::Held;
use crate::base::{PgError, SqlState, limits};
use crate::execute::arrays::{Column, from_item, travels_binary};
use crate::plan::sharded::{Input, Piece, Scatter};
use crate::session::coordinator::collect::too_much;
use crate::session::coordinator::decide::Target;
use crate::wire::frame::{HEADER, back};
use crate::wire::message;

/// Inputs that were collected.
pub(super) struct Gathered {
    /// The rest's text, the parameters that the inputs became, and where it runs.
    pub sql: String,
    pub extra: Extra,
    pub shard: usize,
    /// Given back when they aren't needed any more.
    #[allow(dead_code, reason = "dropped with the rest")]
    held: Held,
}

/// Takes a row of a shard's.
pub(super) type Take<'a> = dyn FnMut(usize, Vec<Option<&[u8]>>) + 'a;

impl Coordinator {
    /// Collects the inputs, then runs `sql` over them.
    #[allow(clippy::too_many_arguments, reason = "one call, from the scatter")]
    pub(super) async fn rest(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        sql: &[Piece],
        shards: &[usize],
        bind: &Bind,
        extra: &Extra,
        view: &View,
        describe: bool,
    ) -> Go {
        let gathered = self.gathered(prepared, scatter, sql, shards, bind, extra, view).await?;
        self.finish(prepared, gathered.sql, gathered.shard, bind, &gathered.extra, describe).await
    }

    /// Collects the inputs. The text of the rest, its parameters, and where it runs.
    #[allow(clippy::too_many_arguments, reason = "what an execution is made of")]
    pub(super) async fn gathered(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        sql: &[Piece],
        shards: &[usize],
        bind: &Bind,
        extra: &Extra,
        view: &View,
    ) -> Go<Gathered> {
        self.worker.metrics.gathered.inc();
        let mut held = self.database.shared.memory.hold();
        let mut inputs = Vec::new();
        let together = scatter.inputs.len() > 1 && self.block.as_ref().is_some_and(|block| !block.keeps_snapshot());
        if together {
            inputs = self.collect_together(prepared, scatter, bind, extra, view, &mut held).await?;
        } else if scatter.inputs.iter().any(|input| input.sql.iter().any(|piece| matches!(piece, Piece::Semi(_)))) {
            inputs = self.collect_in_turn(prepared, scatter, bind, extra, view, &mut held).await?;
        } else {
            for input in &scatter.inputs {
                inputs.push(self.collect_input(prepared, input, bind, extra, view, &mut held).await?);
            }
        }
        let own = prepared.described.get().map_or(0, |described| described.params.len());
        let mut all = extra.clone();
        let mut items = Vec::new();
        for columns in inputs {
            items.push(from_item(&columns, own + all.types.len() + 1));
            for column in columns {
                all.types.push(column.array_oid());
                all.values.push(Some(column.array()));
            }
        }
        if own + all.types.len() > usize::from(u16::MAX) {
            return Err(too_much().into());
        }
        let shard = self.rest_shard(prepared, shards);
        Ok(Gathered { sql: text_of(sql, prepared, &items), extra: all, shard, held })
    }

    /// Where the rest runs.
    pub(super) fn rest_shard(&self, prepared: &Prepared, shards: &[usize]) -> usize {
        let home = self.home();
        // Types of users have other OIDs elsewhere, and the result was described at home.
        let users = prepared.described.get().is_some_and(|described| {
            described.columns.iter().any(|column| column.type_oid >= crate::catalog::schema::FIRST_USER_OID)
        });
        match shards.first() {
            Some(&first) if !shards.contains(&home) && !users => first,
            _ => home,
        }
    }

    /// One input's rows, from all its shards at once.
    async fn collect_input(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        bind: &Bind,
        extra: &Extra,
        view: &View,
        held: &mut Held,
    ) -> Go<Vec<Column>> {
        let described = self.input_columns(prepared, input, extra).await?;
        let mut columns = made_columns(&described, view)?;
        let shards = self.input_shards(prepared, input, bind, view)?;
        let question = Question {
            sql: text_of(&input.sql, prepared, &[]),
            types: all_types(prepared, extra),
            results: described.iter().map(|column| i16::from(travels_binary(column.type_oid))).collect(),
            named: None,
        };
        let asked = shards.iter().map(|&shard| (shard, self.question_for(shard, &question))).collect();
        let links = self.put_questions(asked, bind, extra, prepared.runs.get() > 1).await?;
        let links = links.into_iter().map(|(shard, link)| (shard, link, false)).collect();
        let mut take = |_: usize, values: Vec<Option<&[u8]>>| {
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        };
        self.collect_links(links, held, &mut take).await?;
        Ok(columns)
    }

    /// Which shards an input's rows are on.
    pub(super) fn input_shards(&self, prepared: &Prepared, input: &Input, bind: &Bind, view: &View) -> Go<Vec<usize>> {
        let values = self.bound(prepared, bind);
        Ok(match self.target(&input.access, view, &|number| values(number))? {
            Target::One(shard) => vec![shard],
            Target::Many(shards) => shards,
        })
    }

    /// Takes the rows of shards that were asked, and puts the links back.
    pub(super) async fn collect_links(
        &mut self,
        mut links: Vec<(usize, Box<ShardLink>, bool)>,
        held: &mut Held,
        take: &mut Take<'_>,
    ) -> Go {
        let result = self.collect_rows(&mut links, held, take).await;
        for (_, link, ended) in &links {
            if result.is_err() && !ended {
                link.cancel();
            }
        }
        if matches!(result, Err(Stop::Over)) {
            return Err(Stop::Over);
        }
        for (shard, mut link, ended) in links {
            if !ended && self.ask(&mut link).await.is_err() {
                continue;
            }
            link.expect.clear();
            link.open = false;
            link.failed = false;
            link.rest(&self.worker);
            self.put_link(shard, link);
        }
        result
    }

    async fn collect_rows(
        &mut self,
        links: &mut [(usize, Box<ShardLink>, bool)],
        held: &mut Held,
        take: &mut Take<'_>,
    ) -> Go {
        while !links.iter().all(|(_, _, ended)| *ended) {
            self.collect_some(links, held, take).await?;
            if self.output.len() >= limits::RELAY_BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// The same until all have ended, or have said much besides.
    async fn collect_some(
        &mut self,
        links: &mut [(usize, Box<ShardLink>, bool)],
        held: &mut Held,
        take: &mut Take<'_>,
    ) -> Go {
        let worker = self.worker.clone();
        let mut news = Vec::new();
        let collected = self
            .or_gone(poll_fn(|cx| {
                for (shard, link, ended) in links.iter_mut() {
                    while !*ended {
                        let frame = match link.poll_frame(cx, &worker) {
                            Poll::Pending => break,
                            Poll::Ready(Ok(frame)) => frame,
                            Poll::Ready(Err(error)) => {
                                *ended = true;
                                return Poll::Ready(Err(Stop::from(shard_lost(&error))));
                            }
                        };
                        let body = link.input.filled().get(HEADER..frame.len).unwrap_or_default();
                        match frame.tag {
                            back::DATA_ROW => {
                                let Some(values) = message::read_data_row(body) else {
                                    return Poll::Ready(Err(super::stream::malformed().into()));
                                };
                                if let Err(error) = held.add(body.len()) {
                                    return Poll::Ready(Err(error.into()));
                                }
                                take(*shard, values);
                            }
                            back::ERROR_RESPONSE => {
                                let error = message::read_error(body).into_error();
                                link.input.consume(frame.len);
                                link.failed = true;
                                return Poll::Ready(Err(error.into()));
                            }
                            back::PARAMETER_STATUS | back::NOTICE_RESPONSE | back::NOTIFICATION_RESPONSE => {
                                news.push((*shard, frame.tag, body.to_vec()));
                            }
                            back::READY_FOR_QUERY => {
                                link.status = body.first().copied().unwrap_or(b'I');
                                let failed = link.failed;
                                link.settle_prepared(failed);
                                *ended = true;
                            }
                            _ => {}
                        }
                        link.input.consume(frame.len);
                    }
                }
                let done = news.len() >= limits::NEWS || links.iter().all(|(_, _, ended)| *ended);
                if done { Poll::Ready(Ok(())) } else { Poll::Pending }
            }))
            .await;
        self.pass_news(news);
        collected?
    }

    /// Runs the rest; its rows are the client's.
    async fn finish(
        &mut self,
        prepared: &Prepared,
        sql: String,
        shard: usize,
        bind: &Bind,
        all: &Extra,
        describe: bool,
    ) -> Go {
        let described = prepared.described.get();
        let types = all_types(prepared, all);
        let question = Question { sql, types, results: bind.results.clone(), named: None };
        let mut link = self.engage(shard).await?;
        put_question(&mut link, &self.question_for(shard, &question), bind, all, true, false);
        link.sync();
        // Its description is compared before the first row is passed on.
        let row = self.await_description(&mut link).await?;
        if let Some(row) = &row {
            if let Err(error) = same_types(described, Some(row)) {
                link.cancel();
                let _ = self.ask(&mut link).await;
                self.put_link(shard, link);
                return Err(error.into());
            }
            let own = described.and_then(|described| described.row.as_deref()).unwrap_or(row);
            if describe {
                put_body(&mut self.output, back::ROW_DESCRIPTION, &with_formats(own, &bind.results));
            }
        }
        link.named = self.named_results(shard, described, bind);
        self.put_link(shard, link);
        self.relay(shard).await?;
        if self.segment.skipping && !self.in_extended() {
            self.segment.skipping = false;
            return Err(Stop::Told);
        }
        Ok(())
    }

    /// Takes the answers up to RowDescription. None: an error comes instead.
    async fn await_description(&mut self, link: &mut ShardLink) -> Go<Option<Vec<u8>>> {
        loop {
            let worker = self.worker.clone();
            let frame = self.or_gone(poll_fn(|cx| link.poll_frame(cx, &worker))).await?;
            let frame = frame.map_err(|error| shard_lost(&error))?;
            if frame.tag == back::ERROR_RESPONSE {
                return Ok(None);
            }
            let body = link.input.filled().get(HEADER..frame.len).unwrap_or_default().to_vec();
            if frame.tag == back::PARAMETER_STATUS {
                self.pass_parameter(link.shard, &body);
            }
            link.input.consume(frame.len);
            if matches!(frame.tag, back::PARSE_COMPLETE | back::BIND_COMPLETE | back::CLOSE_COMPLETE) {
                link.expect.pop_front();
            }
            if matches!(frame.tag, back::ROW_DESCRIPTION | back::NO_DATA) {
                if link.expect.front() == Some(&(Expect::Describe { ours: true })) {
                    link.expect.pop_front();
                }
                return Ok(Some(body));
            }
        }
    }
}

/// Where an input's values are collected.
pub(super) fn made_columns(described: &[super::describe::Column], view: &View) -> Result<Vec<Column>, PgError> {
    let mut columns = Vec::new();
    for column in described {
        columns.push(Column::new(column.type_oid, &view.schema).ok_or_else(|| {
            let text = format!("values of the column \"{}\" can't be collected over shards", column.name);
            PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("Cast it to a type that a table's column can have.")
        })?);
    }
    Ok(columns)
}

/// Columns of the rest have the types that the statement's own have.
pub(super) fn same_types(described: Option<&super::describe::Described>, row: Option<&[u8]>) -> Result<(), PgError> {
    let (Some(described), Some(row)) = (described, row) else { return Ok(()) };
    let found = super::describe::read_columns(row);
    let same = found.len() == described.columns.len()
        && found.iter().zip(&described.columns).all(|(a, b)| a.type_oid == b.type_oid);
    if same {
        return Ok(());
    }
    Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "over several shards this statement would give other types")
        .detail("The rest of the statement, over collected rows, has result columns of other types.")
        .hint("Cast the result's columns explicitly."))
}
