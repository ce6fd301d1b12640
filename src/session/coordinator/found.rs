//! UPDATE, DELETE and MERGE of rows that a query over all shards finds: it is asked first, then each shard is told its rows' keys
//! and new values.
//!
//! What the query has found must be true of the rows when they are written. In a transaction that keeps its snapshot
//! PostgreSQL sees to that: a row that was changed since is 40001. Else the table is locked before the query sees anything,
//! so that the rows are those of a statement which began when it had the lock. A statement by itself takes its snapshots
//! behind the lock and keeps them, so that all that it reads is of one moment.

use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::block::Block;
use super::change::{Task, count_of, unequal, uneven, with_arrays};
use super::deal::Deal;
use super::describe::{Column as Described, Prepared};
use super::flow::To;
use super::gather::made_columns;
use super::multi::{Bind, Extra, text_of, types_tail};
use super::{Coordinator, Go};
use crate::backend::View;
use crate::backend::memory::Held;
use crate::backend::settings::push_literal;
use crate::base::{PgError, SqlState};
use crate::execute::arrays::{Column, from_item, travels_binary};
use crate::plan::sharded::{FedInto, Found, Repeats, Scatter, Unsent};
use crate::plan::{Isolation, TransactionModes};
use crate::value::oid;
use crate::wire::frame::HEADER;
use crate::wire::message;

/// Rows that are asked of the query at a time.
const STEP: usize = 256;

/// Rows to be written, by shard; where all go to all, in the first place.
struct Rows {
    columns: Vec<Vec<Column>>,
    /// How many of them are different rows of the table.
    counts: Vec<u64>,
    /// The one that is being taken is such a one.
    first: bool,
    keys: FxHashSet<Vec<u8>>,
    /// Where different values may come for one key.
    given: FxHashSet<Vec<u8>>,
    held: Held,
}

impl Coordinator {
    /// Runs it. Outside a block it is a transaction of its own.
    pub(super) async fn write_found(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        found: &Found,
        bind: &Bind,
        describe: bool,
    ) -> Go {
        if let FedInto::Copies(_) = found.into {
            self.refuse_copies_in_snapshot()?;
        }
        let handed = self.block.as_ref().is_some_and(|block| block.handed);
        let keeps = self.block.as_ref().is_some_and(Block::keeps_snapshot);
        let locks = !keeps || handed && self.block.as_ref().is_some_and(|block| block.members.is_empty());
        self.may_find(found, locks).await?;
        let params = prepared.described.get().map(|described| described.params.clone()).unwrap_or_default();
        let source = self.text(&found.query, &types_tail(&params), true);
        self.describe(&source).await?;
        self.hands_on_exactly(&source, &found.uncollated).await?;
        if self.block.is_none() {
            let mut block = self.new_block("BEGIN", TransactionModes::default(), false);
            if !block.keeps_snapshot() {
                let modes = TransactionModes { read_only: None, isolation: Some(Isolation::RepeatableRead) };
                block = self.new_block("BEGIN ISOLATION LEVEL REPEATABLE READ", modes, false);
            }
            block.handed = true;
            self.block = Some(block);
        }
        let own = self.begin_own();
        let result = self.find_and_write(prepared, &source, (scatter, found), locks, bind, describe).await;
        self.end_statement(own, result).await
    }

    /// Asks for what the statement itself wouldn't need: who lacks it would be told of a lack that isn't PostgreSQL's.
    async fn may_find(&mut self, found: &Found, locks: bool) -> Go {
        let mut literal = String::new();
        push_literal(&mut literal, &found.table);
        let reads: Vec<String> = found
            .identity
            .iter()
            .map(|name| {
                let mut column = String::new();
                push_literal(&mut column, name);
                format!("pg_catalog.has_column_privilege(t, {column}, 'SELECT')")
            })
            .collect();
        let sql = format!(
            "SELECT {}, pg_catalog.has_table_privilege(t, 'UPDATE, DELETE, TRUNCATE') FROM (SELECT \
             {literal}::pg_catalog.regclass::pg_catalog.oid) AS r (t)",
            reads.join(" AND ")
        );
        let home = self.home();
        let mut link = match self.block {
            Some(_) => self.engage(home).await?,
            None => self.connect(home).await?,
        };
        let answer = self.run_on(&mut link, &sql).await?;
        self.put_link(home, link);
        let answer = self.good_or_told(answer)?;
        let row = super::own::text_rows(&answer).pop().unwrap_or_default();
        let has = |at: usize| row.get(at).and_then(Option::as_deref) == Some("t");
        let lack = if !has(0) {
            "SELECT of the primary key is needed to find the rows that this statement writes"
        } else if locks && !has(1) {
            "the table must be locked while the rows that this statement writes are found, and you may not"
        } else {
            return Ok(());
        };
        Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, format!("{lack}: {}", found.table))
            .hint("Grant SELECT on its primary key, and UPDATE or DELETE on the whole table.")
            .into())
    }

    /// Values that travel as text must mean the same when they are read again.
    pub(super) async fn hands_on_exactly(&mut self, source: &Prepared, uncollated: &[usize]) -> Go {
        let view = self.view().await?;
        let columns = source.described.get().map(|described| described.columns.as_slice()).unwrap_or_default();
        let label = |type_oid: u32| view.schema.types.get(&type_oid).is_some_and(|known| known.kind == b'e');
        let collated =
            |column: &Described| view.schema.types.get(&column.type_oid).is_none_or(|known| known.collatable);
        if uncollated.iter().any(|&at| columns.get(at).is_none_or(collated)) {
            let text = "this statement compares or computes with a value of other rows whose collation isn't known";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("Compute it where the rows are found: in FROM's or USING's own query.")
                .into());
        }
        let exact = |column: &Described| {
            let known = view.schema.types.get(&column.type_oid);
            let element = known.map_or(0, |known| known.element);
            let plain = matches!(
                element,
                oid::BOOL | oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC | oid::UUID | oid::TEXT | oid::VARCHAR
            );
            travels_binary(column.type_oid) || plain || label(column.type_oid) || label(element)
        };
        if columns.iter().all(exact) {
            return Ok(());
        }
        let iso = self.shown("DateStyle").await?.starts_with("ISO");
        let digits = self.shown("extra_float_digits").await?.parse::<i32>().is_ok_and(|digits| digits > 0);
        if iso && digits && self.shown("IntervalStyle").await? == "postgres" {
            return Ok(());
        }
        let text = "values that other rows give can't be handed on exactly with these settings of styles";
        Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
            .hint("RESET DateStyle, IntervalStyle and extra_float_digits.")
            .into())
    }

    async fn find_and_write(
        &mut self,
        prepared: &Prepared,
        source: &Rc<Prepared>,
        (scatter, found): (&Scatter, &Found),
        locks: bool,
        bind: &Bind,
        describe: bool,
    ) -> Go<String> {
        let home = self.home();
        let view = self.view().await?;
        let shards = match found.into {
            FedInto::Home => vec![home],
            FedInto::Copies(_) => self.home_first(),
            FedInto::Shards { .. } => {
                let values = self.bound(prepared, bind);
                let mut shards = match self.target(&found.access, &view, &|number| values(number))? {
                    super::decide::Target::One(shard) => vec![shard],
                    super::decide::Target::Many(shards) => shards,
                };
                shards.sort_by_key(|&shard| shard != home);
                shards
            }
        };
        if locks {
            let answer = self.lock(&found.table, "SHARE ROW EXCLUSIVE", &shards).await?;
            self.good_or_told(answer)?;
        }
        // Clocks that the query asks for, and those of what is told, are one.
        let link = self.engage(home).await?;
        self.put_link(home, link);
        let extra = self.once(scatter, &[home]).await?;
        let rows = self.find(source, found, bind, &view).await?;
        self.write_rows(prepared, found, rows, &shards, (bind, &extra), describe).await
    }

    /// The rows to write, each once.
    async fn find(&mut self, source: &Rc<Prepared>, found: &Found, bind: &Bind, view: &View) -> Go<Rows> {
        let described = source.described.get().map(|described| described.columns.clone()).unwrap_or_default();
        let width = described.len().saturating_sub(match found.unsent {
            Unsent::Counts(count) => count,
            Unsent::Inserts(0) => 0,
            Unsent::Inserts(count) => count + 1,
        });
        let sent = described.get(..width).unwrap_or_default();
        let deals = match &found.into {
            FedInto::Shards { key, at } => {
                let mut places = vec![*at];
                if let Unsent::Inserts(count) = found.unsent {
                    places.extend((1..=count).map(|number| Some(width + number)));
                }
                let deal = |at| self.deal_by(source, key, at, &described, bind, view);
                places.into_iter().map(deal).collect::<Go<Vec<Deal>>>()?
            }
            FedInto::Home | FedInto::Copies(_) => vec![Deal::All(Vec::new())],
        };
        let mut rows = Rows {
            columns: Vec::new(),
            counts: Vec::new(),
            first: false,
            keys: FxHashSet::default(),
            given: FxHashSet::default(),
            held: self.database.shared.memory.hold(),
        };
        for _ in 0..self.links.len() {
            rows.columns.push(made_columns(sent, view)?);
            rows.counts.push(0);
        }
        let results = described.iter().map(|column| i16::from(travels_binary(column.type_oid))).collect();
        let bind = Bind { formats: bind.formats.clone(), values: bind.values.clone(), results };
        let mut flow = self.open_query(source, &found.plan, &found.query, &bind, view).await?;
        loop {
            let mut some = Vec::new();
            let given = self.flow_rows(&mut flow, STEP, &mut To::Kept(&mut some, false)).await?;
            for row in &some {
                let body = row.get(HEADER..).unwrap_or_default();
                rows.take(body, width, found, &deals, view)?;
            }
            if given < STEP {
                break;
            }
        }
        self.close_flow(&mut flow);
        Ok(rows)
    }

    /// Tells the shards their rows; gives the command tag.
    async fn write_rows(
        &mut self,
        prepared: &Prepared,
        found: &Found,
        rows: Rows,
        shards: &[usize],
        (bind, extra): (&Bind, &Extra),
        describe: bool,
    ) -> Go<String> {
        let Rows { columns, counts, mut held, .. } = rows;
        let to_all = !matches!(found.into, FedInto::Shards { .. });
        let many = |columns: &[Column]| columns.first().map_or(0, Column::rows);
        let none = columns.iter().all(|columns| many(columns) == 0);
        let own = prepared.described.get().map_or(0, |described| described.params.len());
        let mut tasks = Vec::new();
        let mut expected = Vec::new();
        for (at, columns) in columns.into_iter().enumerate() {
            // Where no row is found, privileges and all else is asked for, too.
            let told = if to_all {
                at == 0
            } else if none {
                shards.first() == Some(&at)
            } else {
                many(&columns) > 0
            };
            if !told {
                continue;
            }
            let item = from_item(&columns, own + extra.types.len() + 1);
            let sql =
                format!("{}{item}{}", text_of(&found.before, prepared, &[]), text_of(&found.after, prepared, &[]));
            let (question, all) = with_arrays(prepared, sql, columns, extra, bind);
            let one = [at];
            for &shard in if to_all { shards } else { &one } {
                tasks.push(Task { shard, question: question.clone(), extra: all.clone(), rows: Vec::new() });
                expected.push(counts.get(at).copied().unwrap_or(0));
            }
        }
        for task in &tasks {
            self.may_write(task.shard).await?;
            let link = self.engage(task.shard).await?;
            self.put_link(task.shard, link);
        }
        let answers = self.put_tasks(prepared, &tasks, bind, false, &mut held).await?;
        let told: Option<Vec<u64>> = answers.iter().map(|answer| count_of(&answer.tag)).collect();
        let told = told.ok_or_else(uneven)?;
        if let FedInto::Copies(table) = &found.into
            && told.iter().any(|count| Some(count) != told.first())
        {
            return Err(unequal(table).into());
        }
        if !found.some_left_out && told != expected {
            return Err(uneven().into());
        }
        let copies = matches!(found.into, FedInto::Copies(_));
        let parts = if copies { 1 } else { answers.len() };
        self.pass_notices(&answers, copies);
        self.tell_all(prepared, answers.iter().take(parts).flat_map(|answer| &answer.rows), bind, describe);
        Ok(format!("{} {}", found.word, told.iter().take(parts).sum::<u64>()))
    }
}

impl Rows {
    /// Takes a row, unless the like has come before. `width`: of what is sent.
    fn take(&mut self, body: &[u8], width: usize, found: &Found, deals: &[Deal], view: &View) -> Go {
        let values = message::read_data_row(body).ok_or_else(super::stream::malformed)?;
        let (sent, unsent) = values.split_at_checked(width).ok_or_else(super::stream::malformed)?;
        let deal = match found.unsent {
            Unsent::Counts(_) if unsent.iter().flatten().any(|count| *count != 1i64.to_be_bytes()) => {
                let text = "more than one row returned by a subquery used as an expression";
                return Err(PgError::error(SqlState::CARDINALITY_VIOLATION, text).into());
            }
            Unsent::Counts(_) => deals.first(),
            Unsent::Inserts(_) => match unsent.first().copied().flatten() {
                None => deals.first(),
                Some(number) => match <[u8; 4]>::try_from(number).map_or(0, i32::from_be_bytes) {
                    // No WHEN fits it.
                    0 => return Ok(()),
                    number => deals.get(usize::try_from(number).unwrap_or(0)),
                },
            },
        };
        if found.repeats != Repeats::All && !self.is_wanted(body, sent, found)? {
            return Ok(());
        }
        let place = match deal.ok_or_else(uneven)? {
            Deal::All(_) => 0,
            Deal::ByKey(key) => key.shard(&values, view)?,
        };
        self.held.add(body.len())?;
        if let (Some(columns), Some(count)) = (self.columns.get_mut(place), self.counts.get_mut(place)) {
            columns.iter_mut().zip(sent).for_each(|(column, value)| column.push(*value));
            *count += u64::from(std::mem::take(&mut self.first));
        }
        Ok(())
    }

    /// Whether a row gives one that it has to be told what it hasn't been told yet.
    fn is_wanted(&mut self, body: &[u8], sent: &[Option<&[u8]>], found: &Found) -> Go<bool> {
        let mut key = Vec::new();
        for value in sent.iter().take(found.identity.len()) {
            // A row without a key is none of the table's.
            let value = value.ok_or_else(uneven)?;
            key.extend_from_slice(&(value.len() as u32).to_be_bytes());
            key.extend_from_slice(value);
        }
        let different = found.repeats == Repeats::Different && !self.given.contains(body);
        self.first = !self.keys.contains(&key);
        if different && !self.first && matches!(found.into, FedInto::Copies(_)) {
            let text =
                "several rows give a row of a reference table different values, of which its copies must take the same";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("Let one row of FROM meet each row: by a condition, or DISTINCT ON in a sub-query.")
                .into());
        }
        if different {
            self.held.add(body.len())?;
            self.given.insert(body.to_vec());
        }
        if self.first {
            self.held.add(key.len())?;
            self.keys.insert(key);
        }
        Ok(self.first || different)
    }
}
