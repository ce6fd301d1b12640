//! `INSERT … SELECT` over shards: the query's rows are read bit by bit, dealt out by key, and inserted where they belong.

use std::rc::Rc;

use super::change::{Task, count_of, unequal, uneven, with_arrays};
use super::collect::Answer;
use super::deal::{Deal, insert_text};
use super::decide::{Target, refusal_error};
use super::describe::{Column as Described, Prepared};
use super::flow::{Flow, To};
use super::gather::made_columns;
use super::multi::{Bind, Extra, Question, put_question, types_tail};
use super::welcome::{put_body, with_formats};
use super::{Coordinator, Go};
use crate::backend::View;
use crate::backend::memory::Held;
use crate::base::limits;
use crate::execute::arrays::{Column, travels_binary};
use crate::plan::sharded::{Access, FedInto, Feed, Finish, Input, Piece, Plan, Scatter, Work};
use crate::wire::frame::{HEADER, back};
use crate::wire::message;

/// Rows that are inserted together.
struct Batch {
    /// By shard; where all go to all, by one that stands for all.
    columns: Vec<Vec<Column>>,
    /// Which of the batch's rows they are.
    rows: Vec<Vec<usize>>,
    count: usize,
    bytes: usize,
    /// What it holds is given back with it.
    held: Held,
}

/// What the client is told.
struct Told {
    described: bool,
    rows: Vec<u8>,
    count: u64,
}

impl Coordinator {
    /// Runs it within a block; gives the command tag.
    pub(super) async fn feed(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        feed: &Feed,
        bind: &Bind,
        describe: bool,
    ) -> Go<String> {
        let home = self.home();
        if let FedInto::Copies(table) = &feed.into {
            self.refuse_copies_in_snapshot()?;
            let order = self.home_first();
            for &shard in &order {
                self.may_write(shard).await?;
            }
            self.lock_copies(table, &order).await?;
        }
        // Clocks that the query asks for, and those of columns' defaults, are one.
        let link = self.engage(home).await?;
        self.put_link(home, link);
        let view = self.view().await?;
        let extra = self.once(scatter, &[home]).await?;
        let params = prepared.described.get().map(|described| described.params.clone()).unwrap_or_default();
        let source = self.text(&feed.query, &types_tail(&params), true);
        self.describe(&source).await?;
        let mut flow = self.read_source(&source, feed, bind, &view).await?;
        let mut told = Told { described: !describe, rows: Vec::new(), count: 0 };
        let columns = self.fed_columns(&source, feed).await?;
        let deal = self.deal(prepared, &columns, feed, bind, &view)?;
        let room = limits::FEED_BYTES.min(self.database.shared.memory.each() / 2);
        let (mut more, mut turn) = (true, 0);
        while more {
            let mut batch = self.batch(&columns, &view)?;
            while more && (feed.whole || batch.bytes < room && batch.count < limits::FEED_ROWS) {
                let mut rows = Vec::new();
                let given = self.flow_rows(&mut flow, STEP, &mut To::Kept(&mut rows, false)).await?;
                more = given == STEP;
                let drawn = self.drawn_rows(feed, rows.len(), &columns).await?;
                for (row, more) in rows.iter().zip(drawn) {
                    batch.take(row.get(HEADER..).unwrap_or_default(), &more, &deal, &view)?;
                }
            }
            // Triggers by statement run where there are no rows, too.
            if batch.count > 0 || (turn == 0 && feed.whole && matches!(feed.into, FedInto::Home)) {
                let (tasks, mut held) = self.tasks_of(prepared, feed, batch, &deal, bind, &extra).await?;
                let answers = self.put_tasks(prepared, &tasks, bind, turn > 0, &mut held).await?;
                self.pass_notices(&answers, matches!(feed.into, FedInto::Copies(_)));
                self.take_answers(prepared, feed, &tasks, answers, bind, &mut told).await?;
                turn += 1;
            }
        }
        self.close_flow(&mut flow);
        self.tell_rows(prepared, bind, &mut told);
        Ok(format!("INSERT 0 {}", told.count))
    }

    /// The query's rows, to be read as they are wanted.
    async fn read_source(&mut self, source: &Rc<Prepared>, feed: &Feed, bind: &Bind, view: &View) -> Go<Flow> {
        let described = source.described.get().map(|described| described.columns.as_slice()).unwrap_or_default();
        let results = described.iter().map(|column| i16::from(travels_binary(column.type_oid))).collect();
        let bind = Bind { formats: bind.formats.clone(), values: bind.values.clone(), results };
        self.open_query(source, &feed.plan, &feed.query, &bind, view).await
    }

    /// The rows of a query of this text and plan, to be read as they are wanted.
    pub(super) async fn open_query(
        &mut self,
        source: &Rc<Prepared>,
        plan: &Plan,
        query: &str,
        bind: &Bind,
        view: &View,
    ) -> Go<Flow> {
        let values = self.bound(source, bind);
        let target = match plan.access {
            Access::Any => Target::One(self.clock().unwrap_or(self.home())),
            _ => self.target(&plan.access, view, &|number| values(number))?,
        };
        let plain = || {
            Scatter::new(
                vec![Input {
                    sql: vec![Piece::Text(query.to_owned())],
                    access: plan.access.clone(),
                    columns: Vec::new(),
                }],
                Finish::Stream {
                    order: Vec::new(),
                    hidden: 0,
                    limit: None,
                    offset: None,
                    with_ties: false,
                    instead: None,
                },
                Vec::new(),
            )
        };
        let (scatter, shards) = match (&plan.work, target) {
            (Work::Scatter(scatter), Target::One(shard)) => (scatter.clone(), vec![shard]),
            (Work::Scatter(scatter), Target::Many(shards)) => (scatter.clone(), shards),
            (Work::Route { .. }, Target::One(shard)) => (plain(), vec![shard]),
            (Work::Route { otherwise } | Work::Refuse(otherwise), _) => {
                return Err(self.refuse(refusal_error(otherwise), otherwise.reason));
            }
        };
        if plan.writes {
            for &shard in &shards {
                self.may_write(shard).await?;
            }
        }
        self.open_flow(source, &scatter, &shards, bind).await
    }

    /// How rows are dealt out.
    fn deal(&self, prepared: &Prepared, columns: &[Described], feed: &Feed, bind: &Bind, view: &View) -> Go<Deal> {
        Ok(match &feed.into {
            FedInto::Home => Deal::All(vec![self.home()]),
            FedInto::Copies(_) => Deal::All(self.home_first()),
            FedInto::Shards { key, at } => self.deal_by(prepared, key, *at, columns, bind, view)?,
        })
    }

    /// The query's columns, and those that are drawn.
    async fn fed_columns(&mut self, source: &Prepared, feed: &Feed) -> Go<Vec<Described>> {
        let mut columns = source.described.get().map(|described| described.columns.clone()).unwrap_or_default();
        if !feed.drawn.is_empty() {
            let sql = vec![Piece::Text(format!("SELECT {}", feed.drawn.join(", ")))];
            let input = Input { sql, access: Access::Home, columns: Vec::new() };
            columns.extend(self.input_columns(source, &input, &Extra::default()).await?.iter().cloned());
        }
        Ok(columns)
    }

    /// Values of the home shard's for so many rows, by row.
    async fn drawn_rows(&mut self, feed: &Feed, count: usize, columns: &[Described]) -> Go<Vec<Vec<Option<Vec<u8>>>>> {
        if feed.drawn.is_empty() || count == 0 {
            return Ok(vec![Vec::new(); count]);
        }
        let home = self.home();
        let drawn = columns.get(columns.len().saturating_sub(feed.drawn.len())..).unwrap_or_default();
        let question = Question {
            sql: format!("SELECT {} FROM pg_catalog.generate_series(1, {count})", feed.drawn.join(", ")),
            types: Vec::new(),
            results: drawn.iter().map(|column| i16::from(travels_binary(column.type_oid))).collect(),
            named: None,
        };
        self.note_drawn(true);
        let mut link = self.engage(home).await?;
        put_question(&mut link, &question, &Bind::default(), &Extra::default(), false, false);
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(home, link);
        let owned = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
        let row = |body: &Vec<u8>| Some(message::read_data_row(body)?.into_iter().map(owned).collect());
        let rows: Option<Vec<Vec<_>>> = answer.good()?.rows.iter().map(row).collect();
        Ok(rows.filter(|rows| rows.len() == count).ok_or_else(uneven)?)
    }

    fn batch(&self, described: &[Described], view: &View) -> Go<Batch> {
        let mut columns = Vec::new();
        for _ in 0..self.links.len() {
            columns.push(made_columns(described, view)?);
        }
        let rows = vec![Vec::new(); columns.len()];
        Ok(Batch { columns, rows, count: 0, bytes: 0, held: self.database.shared.memory.hold() })
    }

    /// A batch as each shard is told it, the shards ready for it; what it holds.
    async fn tasks_of(
        &mut self,
        prepared: &Prepared,
        feed: &Feed,
        batch: Batch,
        deal: &Deal,
        bind: &Bind,
        extra: &Extra,
    ) -> Go<(Vec<Task>, Held)> {
        let mut tasks = Vec::new();
        let parts = batch.columns.into_iter().zip(batch.rows).enumerate();
        for (at, (columns, rows)) in parts {
            let shards = match deal {
                Deal::All(shards) if at == 0 => shards.clone(),
                Deal::ByKey(_) if !rows.is_empty() => vec![at],
                _ => continue,
            };
            let sql = insert_text(prepared, &feed.insertion, &columns, extra);
            let (question, all) = with_arrays(prepared, sql, columns, extra, bind);
            for shard in shards {
                tasks.push(Task { shard, question: question.clone(), extra: all.clone(), rows: rows.clone() });
            }
        }
        for task in &tasks {
            self.may_write(task.shard).await?;
            let link = self.engage(task.shard).await?;
            self.put_link(task.shard, link);
        }
        Ok((tasks, batch.held))
    }

    /// Counts, and the rows of RETURNING.
    async fn take_answers(
        &mut self,
        prepared: &Prepared,
        feed: &Feed,
        tasks: &[Task],
        answers: Vec<Answer>,
        bind: &Bind,
        told: &mut Told,
    ) -> Go {
        let counts: Option<Vec<u64>> = answers.iter().map(|answer| count_of(&answer.tag)).collect();
        let counts = counts.ok_or_else(uneven)?;
        let mut rows: Vec<&Vec<u8>> = Vec::new();
        match &feed.into {
            FedInto::Copies(table) => {
                if counts.iter().any(|other| Some(other) != counts.first()) {
                    return Err(unequal(table).into());
                }
                told.count += counts.first().copied().unwrap_or(0);
                rows.extend(answers.first().iter().flat_map(|answer| &answer.rows));
            }
            FedInto::Shards { .. } if feed.ordered => {
                told.count += counts.iter().sum::<u64>();
                let mut placed = Vec::new();
                for (task, answer) in tasks.iter().zip(&answers) {
                    if task.rows.len() != answer.rows.len() {
                        return Err(uneven().into());
                    }
                    placed.extend(task.rows.iter().zip(&answer.rows));
                }
                placed.sort_by_key(|(at, _)| **at);
                rows.extend(placed.into_iter().map(|(_, row)| row));
            }
            FedInto::Shards { .. } | FedInto::Home => {
                told.count += counts.iter().sum::<u64>();
                rows.extend(answers.iter().flat_map(|answer| &answer.rows));
            }
        }
        for row in rows {
            put_body(&mut told.rows, back::DATA_ROW, row);
        }
        if told.rows.len() >= limits::FEED_BYTES {
            self.tell_rows(prepared, bind, told);
            self.flush().await?;
        }
        Ok(())
    }

    fn tell_rows(&mut self, prepared: &Prepared, bind: &Bind, told: &mut Told) {
        let row = prepared.described.get().and_then(|described| described.told());
        if let (Some(row), false) = (row, std::mem::replace(&mut told.described, true)) {
            put_body(&mut self.output, back::ROW_DESCRIPTION, &with_formats(row, &bind.results));
        }
        self.output.append(&mut told.rows);
    }
}

/// Rows that are asked of the query at a time.
const STEP: usize = 256;

impl Batch {
    fn take(&mut self, body: &[u8], drawn: &[Option<Vec<u8>>], deal: &Deal, view: &View) -> Go {
        let mut values = message::read_data_row(body).ok_or_else(super::stream::malformed)?;
        values.extend(drawn.iter().map(Option::as_deref));
        let place = match deal {
            Deal::All(_) => 0,
            Deal::ByKey(key) => key.shard(&values, view)?,
        };
        self.held.add(body.len())?;
        self.bytes += body.len();
        if let (Some(columns), Some(rows)) = (self.columns.get_mut(place), self.rows.get_mut(place)) {
            columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            rows.push(self.count);
        }
        self.count += 1;
        Ok(())
    }
}
