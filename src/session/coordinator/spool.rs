//! Rows that memory is too little for: sent by COPY into temporary tables, on a connection aside.
//!
//! Not in the client's own session, whose transaction couldn't be prepared then. The connection has the client's user, role
//! and settings; its transaction ends with the statement, or with the connection, and nothing stays.

use std::future::poll_fn;

use super::change::count_of;
use super::gather::Gathering;
use super::relay::shard_lost;
use super::shard::ShardLink;
use super::{Coordinator, Go, Stop};
use crate::backend::database::Purpose;
use crate::backend::settings::script;
use crate::base::{PgError, SqlState, limits};
use crate::execute::arrays::Column;
use crate::execute::tables::{self, Rows};
use crate::wire::frame::{HEADER, back, front};
use crate::wire::message;

/// Temporary tables of a statement's.
pub(super) struct Spool {
    pub link: Box<ShardLink>,
    pub shard: usize,
}

/// Between two pieces it may wait for the shards as long as they take. And a rest must not run on for nobody: where servers
/// can look whether the client is still there (from 14 on), they are told to.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL idle_in_transaction_session_timeout = 0; \
    SELECT pg_catalog.set_config(name, '5s', true) FROM pg_catalog.pg_settings \
    WHERE name = 'client_connection_check_interval' AND setting = '0' AND pg_catalog.version() LIKE '%linux%'";

impl Coordinator {
    /// Sends what has been collected: all of it, or the chunks that are large enough. Nothing to do while memory suffices.
    pub(super) async fn spool(&mut self, gathering: &mut Gathering, all: bool) -> Go {
        let Some(over) = gathering.over.clone() else { return Ok(()) };
        let mut spool = match gathering.spool.take() {
            Some(spool) => spool,
            None => self.open_spool(gathering.on, &over).await?,
        };
        for (at, slot) in gathering.slots.iter_mut().enumerate() {
            if !slot.made {
                slot.made = true;
                self.say_to(&mut spool, &tables::create(at, &slot.columns), &over).await?;
                let columns = slot.columns.iter().map(Column::emptied).collect();
                let columns = std::mem::replace(&mut slot.columns, columns);
                let mut rows = Rows::new(&columns);
                while rows.fill(&mut slot.chunk, limits::SPOOL_BYTES) {
                    self.copy_chunk(&mut spool, at, slot.chunk.take()).await?;
                }
            }
            if slot.chunk.len() >= limits::SPOOL_BYTES || all && !slot.chunk.is_empty() {
                self.copy_chunk(&mut spool, at, slot.chunk.take()).await?;
            }
        }
        gathering.held.free();
        gathering.spool = Some(spool);
        Ok(())
    }

    /// All rows have come: what is left is sent, and the planner is told what there is.
    pub(super) async fn end_spooling(&mut self, gathering: &mut Gathering) -> Go {
        self.spool(gathering, true).await?;
        let (Some(spool), Some(over)) = (&mut gathering.spool, &gathering.over) else { return Ok(()) };
        // What the rest calls may draw from a sequence (`pgbraid.unique_id`), if the client's transaction may.
        let mode = "SELECT pg_catalog.current_setting('transaction_read_only')";
        let mode = if gathering.draws { self.rows_of(self.home(), mode).await?.pop() } else { None };
        let free = mode.is_some_and(|mode| matches!(mode.as_slice(), [Some(mode)] if mode == "off"));
        let names: Vec<String> = (0..gathering.slots.len()).map(tables::name).collect();
        let read_only = if free { "" } else { "; SET LOCAL transaction_read_only = on" };
        let sql = format!("ANALYZE {}{read_only}", names.join(", "));
        self.say_to(spool, &sql, over).await
    }

    /// `over`: why memory doesn't suffice, to be told where tables can't be made.
    async fn open_spool(&mut self, shard: usize, over: &PgError) -> Go<Spool> {
        if self.has_own() {
            let why = "In a transaction that has changed definitions nothing is gathered in temporary tables: another \
                       connection doesn't see them.";
            return Err(over.clone().detail(why).into());
        }
        let Some(database) = self.database.shared.shards.get(shard) else { return Err(over.clone().into()) };
        let link = ShardLink::start(shard, &self.origin, database, Purpose::Gather);
        self.client.follow(Some(link.client.clone()));
        let mut spool = Spool { link: Box::new(link), shard };
        let welcome = self.ask(&mut spool.link).await?;
        welcome.good().map_err(|error| unmade(error, over))?;
        let have = spool.link.mirror.settings.borrow().clone();
        if let Some(script) = script(&have, &self.settings()) {
            self.say_to(&mut spool, &script.sql, over).await?;
        }
        self.say_to(&mut spool, BEGIN, over).await?;
        Ok(spool)
    }

    /// Says something of our own.
    async fn say_to(&mut self, spool: &mut Spool, sql: &str, over: &PgError) -> Go {
        let answer = self.run_on(&mut spool.link, sql).await?;
        answer.good().map_err(|error| unmade(error, over))?;
        Ok(())
    }

    /// Sends rows to the table of an input.
    async fn copy_chunk(&mut self, spool: &mut Spool, input: usize, (data, rows): (Vec<u8>, u64)) -> Go {
        let link = &mut spool.link;
        link.query(&tables::copy(input), true);
        let worker = self.worker.clone();
        loop {
            let frame = self.or_gone(poll_fn(|cx| link.poll_frame(cx, &worker))).await?;
            let frame = frame.map_err(|error| shard_lost(&error))?;
            let body = link.input.filled().get(HEADER..frame.len).unwrap_or_default();
            if frame.tag == back::ERROR_RESPONSE {
                return Err(message::read_error(body).into_error().into());
            }
            link.input.consume(frame.len);
            if frame.tag == back::COPY_IN_RESPONSE {
                break;
            }
        }
        message::put(&mut link.out, front::COPY_DATA, |out| out.extend_from_slice(&data));
        drop(data);
        message::put(&mut link.out, front::COPY_DONE, |_| {});
        let answer = self.ask(link).await?.good()?;
        match count_of(&answer.tag) {
            Some(count) if count == rows => Ok(()),
            _ => Err(super::change::uneven().into()),
        }
    }

    /// The transaction ends. What it says about that doesn't matter: without an answer it ends with its connection.
    pub(super) async fn end_spool(&mut self, mut link: Box<ShardLink>) -> Go {
        match self.run_on(&mut link, "ROLLBACK").await {
            Err(Stop::Over) => Err(Stop::Over),
            _ => Ok(()),
        }
    }
}

/// Tables that can't be made: the refusal that memory is too little, with the reason. What the client did itself is told
/// as it is.
fn unmade(error: PgError, over: &PgError) -> PgError {
    if error.code() == SqlState::QUERY_CANCELED {
        return error;
    }
    let why = format!("Temporary tables for them can't be made: {} ({}).", error.message(), error.code());
    over.clone().detail(why)
}
