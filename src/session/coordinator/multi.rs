//! A statement over several shards: its questions sent to all at once, and the way that the answers go.

use std::rc::Rc;
use std::sync::Arc;

use super::describe::Prepared;
use super::gather::{Begun, Way};
use super::shard::{Expect, ShardLink};
use super::types::Named;
use super::{Coordinator, Go, Stop};
use crate::backend::View;
use crate::base::{PgError, SqlState};
use crate::catalog::schema::Oid;
use crate::plan::sharded::{Bound, Finish, Input, Piece, Scatter};
use crate::plan::{TransactionModes, WriteSet};
use crate::session::coordinator::block::Block;
use crate::wire::frame::front;
use crate::wire::message;

/// What a client bound to a portal.
#[derive(Clone, Debug, Default)]
pub(super) struct Bind {
    pub formats: Vec<i16>,
    pub values: Vec<Option<Vec<u8>>>,
    pub results: Vec<i16>,
}

impl Bind {
    /// The format of parameter `at` (from 0).
    pub fn format(&self, at: usize) -> i16 {
        match self.formats.as_slice() {
            [] => 0,
            [one] => *one,
            many => many.get(at).copied().unwrap_or(0),
        }
    }

    /// The format of result column `at`.
    pub fn result(&self, at: usize) -> i16 {
        match self.results.as_slice() {
            [] => 0,
            [one] => *one,
            many => many.get(at).copied().unwrap_or(0),
        }
    }

    /// A number of rows that LIMIT or OFFSET gives. `None`: no bound.
    ///
    /// # Errors
    /// 2201W, 2201X for negative ones, as PostgreSQL (`recompute_limits`).
    pub fn rows(&self, bound: Option<&Bound>, offset: bool) -> Result<Option<u64>, PgError> {
        let number = match bound {
            None => return Ok(None),
            Some(Bound::Rows(rows)) => return Ok(Some(*rows)),
            Some(Bound::Param(number)) => number.saturating_sub(1) as usize,
        };
        let Some(Some(value)) = self.values.get(number) else { return Ok(None) };
        let rows = if self.format(number) == 0 {
            std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<i64>().ok())
        } else {
            match value.as_slice() {
                [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
                [a, b, c, d] => Some(i64::from(i32::from_be_bytes([*a, *b, *c, *d]))),
                [a, b] => Some(i64::from(i16::from_be_bytes([*a, *b]))),
                _ => None,
            }
        };
        match rows {
            Some(rows) if rows >= 0 => Ok(Some(rows as u64)),
            Some(_) if offset => {
                Err(PgError::error(SqlState::INVALID_ROW_COUNT_IN_OFFSET, "OFFSET must not be negative"))
            }
            Some(_) => Err(PgError::error(SqlState::INVALID_ROW_COUNT_IN_LIMIT, "LIMIT must not be negative")),
            None => Err(PgError::error(
                SqlState::FEATURE_NOT_SUPPORTED,
                "a row count given by this parameter can't be read over several shards",
            )
            .hint("Declare the parameter as bigint.")),
        }
    }
}

/// Values that are sent besides the client's own parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    pub types: Vec<Oid>,
    pub values: Vec<Option<Vec<u8>>>,
    /// So many of the last are rows that go along to shards; the rest of the statement doesn't have them.
    pub rows: usize,
}

impl Extra {
    /// What the rest of a statement has of them.
    pub fn for_rest(&self) -> Self {
        let count = self.types.len().saturating_sub(self.rows);
        let types = self.types.get(..count).unwrap_or_default().to_vec();
        Self { types, values: self.values.get(..count).unwrap_or_default().to_vec(), rows: 0 }
    }
}

/// What a scatter runs over.
pub(super) struct Over<'a> {
    pub shards: &'a [usize],
    pub bind: &'a Bind,
    pub extra: &'a Extra,
    pub view: &'a View,
    /// What has been collected for it.
    pub begun: Option<Begun>,
}

/// One question as it is sent.
#[derive(Clone)]
pub(super) struct Question {
    pub sql: String,
    pub types: Vec<Oid>,
    /// Format of each result column; fewer than there are stand for all.
    pub results: Vec<i16>,
    /// Parameters that name types within, where the shard calls them otherwise.
    pub named: Option<Rc<Named>>,
}

impl Coordinator {
    /// Runs a scatter to its end. `locks`: it locks rows. `describe`: RowDescription comes first.
    pub(super) async fn scatter(
        &mut self,
        prepared: &Prepared,
        (scatter, locks): (&Scatter, bool),
        shards: &[usize],
        bind: &Bind,
        describe: bool,
    ) -> Go {
        self.hold_segment().await?;
        if scatter.changes() {
            return self.change(prepared, scatter, shards, bind, describe).await;
        }
        if let Finish::Copied(copied) = &scatter.finish {
            return self.copy_from(prepared, scatter, copied).await;
        }
        self.may_read(&scatter.views).await?;
        // Several questions to a shard, or a rest that reads tables of its own, see one snapshot.
        let one_snapshot = scatter.inputs.len() > 1 || scatter.rest_reads;
        let together = match self.block.is_none() && self.reads_atomically() {
            true => self.shards_read(prepared, scatter, shards, bind).await?,
            false => Vec::new(),
        };
        let own_block = self.block.is_none() && (one_snapshot || together.len() > 1);
        let scatter = self.suited(scatter)?;
        let mut begun = Ok(());
        if own_block {
            // What it calls may draw from a sequence (`pgbraid.unique_id`).
            let draws = prepared.plan.steps.iter().any(|step| step.writes != WriteSet::None);
            if locks && !one_snapshot {
                // Rows are locked as they are now, not as a snapshot shows them.
                self.block = Some(self.new_block("BEGIN", TransactionModes::default(), false));
            } else if together.len() > 1 {
                begun = self.begin_together(&together, draws).await;
            } else {
                // Each shard's own snapshot: what they see of each other's commits is the moment at which they begin.
                self.block = Some(snapshot_block(draws));
            }
        }
        let result = match begun {
            Ok(()) => self.scatter_within(prepared, scatter, shards, bind, describe).await,
            stopped => stopped,
        };
        let result = result.map_err(|stop| as_owner(scatter, stop));
        if own_block && let Some(block) = self.block.take() {
            if matches!(result, Err(Stop::Over)) {
                return result;
            }
            let _ = self.end_reading(block, result.is_ok()).await;
        }
        result
    }

    /// The shards that a statement reads rows of.
    async fn shards_read(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        shards: &[usize],
        bind: &Bind,
    ) -> Go<Vec<usize>> {
        let view = self.view().await?;
        let mut read = shards.to_vec();
        for input in &scatter.inputs {
            read.extend(self.input_shards(prepared, input, bind, &view)?);
        }
        if scatter.rest_reads {
            read.push(self.rest_shard(prepared, shards));
        }
        read.sort_unstable();
        read.dedup();
        Ok(read)
    }

    /// In a READ COMMITTED transaction two statements on a shard could see different rows: the variant whose inputs come
    /// in one statement from each shard, and whose rest reads no table.
    pub(super) fn suited<'a>(&self, scatter: &'a Scatter) -> Result<&'a Scatter, PgError> {
        if !scatter.rest_reads || self.block.as_ref().is_none_or(Block::keeps_snapshot) {
            return Ok(scatter);
        }
        scatter.within.as_deref().ok_or_else(|| {
            let text = "this statement must ask a shard more than once, and in a READ COMMITTED transaction the answers could differ";
            PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                .hint("BEGIN ISOLATION LEVEL REPEATABLE READ, or run it outside a transaction.")
        })
    }

    /// Asks the home shard whether the client may read these views, whose queries will stand in their places.
    pub(super) async fn may_read(&mut self, views: &[String]) -> Go {
        let home = self.home();
        for (at, sql) in views.iter().enumerate() {
            let mut link = self.engage(home).await?;
            let answer = self.run_on(&mut link, sql).await?;
            self.put_link(home, link);
            // Those behind the first may stand within it, where its owner's privileges count.
            let denied = |error: &&PgError| at > 0 && error.code() == SqlState::INSUFFICIENT_PRIVILEGE;
            if let Some(error) = answer.error.as_ref().filter(denied) {
                return Err(owners(error).into());
            }
            self.good_or_told(answer)?;
        }
        Ok(())
    }

    async fn scatter_within(
        &mut self,
        prepared: &Prepared,
        scatter: &Scatter,
        shards: &[usize],
        bind: &Bind,
        describe: bool,
    ) -> Go {
        prepared.runs.set(prepared.runs.get().saturating_add(1));
        let view = self.view().await?;
        let extra = self.once(scatter, shards).await?;
        let begun = match self.broadcast(prepared, scatter, bind, &extra, &view).await? {
            Way::Gather(begun) => begun,
            Way::Broadcast(sent) => {
                let over = Over { shards: &sent.shards, bind, extra: &sent.extra, view: &view, begun: None };
                return self.finish_scatter(prepared, &sent.scatter, over, describe).await;
            }
        };
        let over = Over { shards, bind, extra: &extra, view: &view, begun };
        self.finish_scatter(prepared, scatter, over, describe).await
    }

    /// Asks the shards and tells the client what comes of it.
    async fn finish_scatter(&mut self, prepared: &Prepared, scatter: &Scatter, over: Over<'_>, describe: bool) -> Go {
        match &scatter.finish {
            Finish::Stream { order, hidden, limit, offset, with_ties, instead } => {
                let Some(input) = scatter.inputs.first() else { return Err(nothing_asked().into()) };
                let merge = self.merge_order(prepared, input, order, over.view, over.extra).await?;
                match (merge, instead) {
                    (Some(merge), _) => {
                        let run = super::stream::Run {
                            input,
                            order: merge,
                            hidden: *hidden,
                            limit: over.bind.rows(limit.as_ref(), false)?,
                            offset: over.bind.rows(offset.as_ref(), true)?.unwrap_or(0),
                            with_ties: *with_ties,
                        };
                        self.stream(prepared, run, over.shards, over.bind, over.extra, describe).await
                    }
                    (None, Some(rest)) => self.rest(prepared, scatter, rest, over, describe).await,
                    (None, None) => Err(no_order().into()),
                }
            }
            Finish::Rest { sql } => self.rest(prepared, scatter, sql, over, describe).await,
            Finish::Changed(_) | Finish::Fed(_) | Finish::Found(_) | Finish::Moved(_) | Finish::Copied(_) => {
                Err(nothing_asked().into())
            }
        }
    }

    /// Values that must be the same on all shards: `now()` and its like.
    pub(super) async fn once(&mut self, scatter: &Scatter, shards: &[usize]) -> Go<Extra> {
        self.evaluated(&scatter.once, shards).await
    }

    /// The values of these expressions.
    pub(super) async fn evaluated(&mut self, once: &[String], shards: &[usize]) -> Go<Extra> {
        let mut extra = Extra::default();
        if once.is_empty() {
            return Ok(extra);
        }
        let first = shards.first().copied().unwrap_or_else(|| self.home());
        let shard = self.clock().unwrap_or(first);
        let mut link = self.engage(shard).await?;
        let question =
            Question { sql: format!("SELECT {}", once.join(", ")), types: Vec::new(), results: vec![1], named: None };
        put_question(&mut link, &self.question_for(shard, &question), &Bind::default(), &Extra::default(), true, false);
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(shard, link);
        let answer = answer.good()?;
        let columns = answer.row.as_deref().map(super::describe::read_columns).unwrap_or_default();
        extra.types = columns.iter().map(|column| column.type_oid).collect();
        let Some(values) = answer.rows.first().and_then(|row| message::read_data_row(row)) else {
            return Err(nothing_asked().into());
        };
        extra.values = values.into_iter().map(|value| value.map(<[u8]>::to_vec)).collect();
        Ok(extra)
    }

    /// The columns that an input gives, as the home shard describes it.
    pub(super) async fn input_columns(
        &mut self,
        prepared: &Prepared,
        input: &Input,
        extra: &Extra,
    ) -> Go<Arc<Vec<super::describe::Column>>> {
        let sql = text_of(&input.sql, prepared, &[]);
        if let Some(columns) = prepared.inputs.borrow().get(&sql) {
            return Ok(columns.clone());
        }
        let home = self.home();
        let mut link = self.connect(home).await?;
        let types = all_types(prepared, extra);
        message::parse(&mut link.out, b"", sql.as_bytes(), &types_tail(&types));
        message::describe_statement(&mut link.out, b"");
        link.unnamed = 0;
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(home, link);
        let answer = answer.good()?;
        let columns = Arc::new(answer.row.as_deref().map(super::describe::read_columns).unwrap_or_default());
        prepared.inputs.borrow_mut().insert(sql, columns.clone());
        Ok(columns)
    }
}

/// An error of a view's tables, which were read with the client's own privileges.
pub(super) fn as_owner(scatter: &Scatter, stop: Stop) -> Stop {
    match stop {
        Stop::Error(error) if !scatter.views.is_empty() && error.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
            owners(&error).into()
        }
        stop => stop,
    }
}

fn owners(error: &PgError) -> PgError {
    let text = "a view whose rows no shard has whole can't be read with its owner's privileges over several shards";
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
        .detail(error.message().to_owned())
        .hint("Grant SELECT on the view's tables too, or confine the statement to one shard.")
}

/// A transaction for one statement that reads, with one snapshot a shard. `draws`: it may draw from a sequence.
pub(super) fn snapshot_block(draws: bool) -> Block {
    let (begin, read_only) = match draws {
        true => ("BEGIN ISOLATION LEVEL REPEATABLE READ", None),
        false => ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", Some(true)),
    };
    let modes = TransactionModes { read_only, isolation: Some(crate::plan::Isolation::RepeatableRead) };
    let mut block = Block::new(begin.into(), modes, false);
    block.fixed = true;
    block.single = true;
    block
}

/// Appends Parse (unless it is prepared there), Bind, perhaps Describe, and Execute; nothing of it is for the client's
/// eyes. `again`: the same will be asked again, so that preparing it pays.
pub(super) fn put_question(
    link: &mut ShardLink,
    question: &Question,
    bind: &Bind,
    extra: &Extra,
    describe: bool,
    again: bool,
) {
    put_portal(link, question, bind, extra, again, "");
    if describe {
        message::put(&mut link.out, front::DESCRIBE, |out| out.extend_from_slice(b"P\0"));
        link.expect.push_back(Expect::Describe { ours: true });
    }
    message::put(&mut link.out, front::EXECUTE, |out| out.extend_from_slice(&[0, 0, 0, 0, 0]));
    link.expect.push_back(Expect::Execute);
}

/// The same up to Bind, of this portal.
pub(super) fn put_portal(
    link: &mut ShardLink,
    question: &Question,
    bind: &Bind,
    extra: &Extra,
    again: bool,
    portal: &str,
) {
    // A plan for any rows would take ten of them for granted.
    let name = put_parse(link, question, again && extra.rows == 0);
    put_bind(link, question, bind, extra, &name, portal);
}

/// Appends Parse, unless it is prepared there; gives the statement's name.
pub(super) fn put_parse(link: &mut ShardLink, question: &Question, again: bool) -> String {
    let types = types_tail(&question.types);
    if !again {
        message::parse(&mut link.out, b"", question.sql.as_bytes(), &types);
        link.expect.push_back(Expect::Parse { ours: true });
        link.unnamed = 0;
        link.open = true;
        return String::new();
    }
    let id = std::hash::BuildHasher::hash_one(&rustc_hash::FxBuildHasher, (&question.sql, &question.types));
    let name = format!("m{id:x}");
    if !link.prepared.contains(&id) {
        link.prepare(id, &name, &question.sql, &types);
    }
    name
}

/// Appends Bind of the statement that has this name.
pub(super) fn put_bind(
    link: &mut ShardLink,
    question: &Question,
    bind: &Bind,
    extra: &Extra,
    name: &str,
    portal: &str,
) {
    message::put(&mut link.out, front::BIND, |out| {
        message::put_cstr(out, portal.as_bytes());
        message::put_cstr(out, name.as_bytes());
        let count = bind.values.len() + extra.values.len();
        out.extend_from_slice(&(count as u16).to_be_bytes());
        for at in 0..bind.values.len() {
            out.extend_from_slice(&bind.format(at).to_be_bytes());
        }
        for _ in &extra.values {
            out.extend_from_slice(&1i16.to_be_bytes());
        }
        out.extend_from_slice(&(count as u16).to_be_bytes());
        for (at, value) in bind.values.iter().chain(&extra.values).enumerate() {
            let binary = at >= bind.values.len() || bind.format(at) == 1;
            match (value, question.named.as_ref().filter(|_| binary)) {
                (Some(value), Some(named)) => put_value(out, Some(&named.to_shard(at, value))),
                (value, _) => put_value(out, value.as_deref()),
            }
        }
        out.extend_from_slice(&(question.results.len() as u16).to_be_bytes());
        for format in &question.results {
            out.extend_from_slice(&format.to_be_bytes());
        }
    });
    link.expect.push_back(Expect::Bind { ours: true });
    link.open = true;
}

fn put_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
            out.extend_from_slice(value);
        }
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
}

/// What follows the names in a Bind message.
pub(super) fn put_bound(out: &mut Vec<u8>, bind: &Bind) {
    let put_formats = |out: &mut Vec<u8>, formats: &[i16]| {
        out.extend_from_slice(&(formats.len() as u16).to_be_bytes());
        formats.iter().for_each(|format| out.extend_from_slice(&format.to_be_bytes()));
    };
    put_formats(out, &bind.formats);
    out.extend_from_slice(&(bind.values.len() as u16).to_be_bytes());
    bind.values.iter().for_each(|value| put_value(out, value.as_deref()));
    put_formats(out, &bind.results);
}

/// The count and OIDs of a Parse message.
pub(super) fn types_tail(types: &[Oid]) -> Vec<u8> {
    let mut tail = (types.len() as u16).to_be_bytes().to_vec();
    types.iter().for_each(|oid| tail.extend_from_slice(&oid.to_be_bytes()));
    tail
}

/// The types of the client's parameters, then those of ours.
pub(super) fn all_types(prepared: &Prepared, extra: &Extra) -> Vec<Oid> {
    let own = prepared.described.get().map(|described| described.params.clone()).unwrap_or_default();
    own.into_iter().chain(extra.types.iter().copied()).collect()
}

/// The text that pieces make. `inputs`: what stands for each input.
pub(super) fn text_of(pieces: &[Piece], prepared: &Prepared, inputs: &[String]) -> String {
    let params = prepared.described.get().map_or(0, |described| described.params.len());
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Once(at) => text.push_str(&format!("${}", params + at + 1)),
            Piece::Input(at) => text.push_str(inputs.get(*at).map_or("", String::as_str)),
            Piece::Semi(_) | Piece::Apart(_) => {}
        }
    }
    text
}

/// The order hangs on what the proxy can't compare, and PostgreSQL can't be asked either.
pub(super) fn no_order() -> PgError {
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "rows of several shards can't be put in this order")
        .hint("Sort by a column whose type and collation pgbraid can compare, or by COLLATE \"C\".")
}

pub(super) fn nothing_asked() -> PgError {
    PgError::error(SqlState::INTERNAL_ERROR, "a plan over shards is empty")
}
