//! `cross_shard_reads = "atomic"`: a statement over shards takes its snapshots on all of them under their gates
//! (`backend::gates`), so that it sees others' transactions whole or not at all.
//!
//! While gates are held nothing may wait for a lock, for who has it may wait for a gate. So all shards are reached and in
//! the transaction before, and a snapshot is taken by what needs no lock on a table: `SELECT 1` where a transaction keeps
//! its snapshot; else Bind, of a statement whose tables were locked by Parse and a Bind before.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::collect::Answer;
use super::describe::Prepared;
use super::multi::{Bind, Extra, Question, put_bind, put_parse, put_question, snapshot_block};
use super::shard::{Expect, ShardLink};
use super::{Coordinator, Go, Stop};
use crate::backend::gates::{Held, not_whole};
use crate::base::{PgError, SqlState, limits};
use crate::config::model::CrossShardReads;
use crate::plan::sharded::copy_options::CopyFormat;
use crate::session::client::State;
use crate::session::value_text;
use crate::wire::frame::front;
use crate::wire::message;

/// A portal that nobody reads.
const BEFORE: &str = "pgbraid_before";

impl Coordinator {
    pub(super) fn reads_atomically(&self) -> bool {
        self.database.shared.config.cross_shard_reads == CrossShardReads::Atomic && self.links.len() > 1
    }

    /// Begins the block on these shards, the first of which is its clock, and takes the snapshots that it keeps.
    pub(super) async fn fix_together(&mut self, shards: &[usize]) -> Go {
        self.join_each(shards).await?;
        let gates = self.hold_gates(shards).await?;
        self.take_snapshots(gates, shards).await
    }

    async fn take_snapshots(&mut self, gates: Held, shards: &[usize]) -> Go {
        self.set_torn(true);
        self.ask_each(shards, |_, link| link.query("SELECT 1", true)).await?;
        self.let_gates_go(gates, shards).await?;
        self.set_torn(false);
        Ok(())
    }

    /// The same without snapshots, on all at once.
    async fn join_each(&mut self, shards: &[usize]) -> Go {
        let mut new = Vec::new();
        for &shard in shards {
            let link = self.connect(shard).await?;
            if !link.joined {
                new.push(shard);
            }
            self.put_link(shard, link);
        }
        let Some(begin) = self.block.as_ref().map(|block| self.begin_text(block)) else { return Ok(()) };
        let result = self.ask_each(&new, |_, link| link.query(&begin, true)).await;
        for shard in new {
            let Some(link) = self.links.get_mut(shard).and_then(Option::as_mut) else { continue };
            link.joined = link.status != b'I';
            if let (true, Some(block)) = (link.joined, &mut self.block) {
                block.members.push(shard);
            }
        }
        result.map(|_| ())
    }

    /// Questions that are on their way to their shards, each to be answered up to ReadyForQuery.
    pub(super) async fn put_questions(
        &mut self,
        asked: Vec<(usize, Cow<'_, Question>)>,
        bind: &Bind,
        (extra, apart): (&Extra, &[(usize, Extra)]),
        again: bool,
    ) -> Go<Vec<(usize, Box<ShardLink>)>> {
        // All are reached before the first is asked.
        for (shard, _) in &asked {
            let link = self.engage(*shard).await?;
            self.put_link(*shard, link);
        }
        let bound = self.binds_together(asked.len());
        if bound {
            let portals = vec![String::new(); asked.len()];
            self.bind_together(&asked, bind, extra, again, &portals).await?;
        }
        let mut links = Vec::new();
        for (shard, question) in asked {
            let mut link = self.take_link(shard)?;
            if bound {
                message::put(&mut link.out, front::EXECUTE, |out| out.extend_from_slice(&[0, 0, 0, 0, 0]));
                link.expect.push_back(Expect::Execute);
                link.open = true;
            } else {
                let own = apart.iter().find(|(other, _)| *other == shard).map_or(extra, |(_, own)| own);
                put_question(&mut link, &question, bind, own, false, again);
            }
            link.sync();
            links.push((shard, link));
        }
        Ok(links)
    }

    /// Whether a statement that asks so many shards has snapshots of its own, which must be taken together.
    pub(super) fn binds_together(&self, shards: usize) -> bool {
        shards > 1 && self.reads_atomically() && self.block.as_ref().is_some_and(|block| !block.keeps_snapshot())
    }

    /// Opens these portals, whose snapshots are taken together.
    pub(super) async fn bind_together(
        &mut self,
        asked: &[(usize, Cow<'_, Question>)],
        bind: &Bind,
        extra: &Extra,
        again: bool,
        portals: &[String],
    ) -> Go {
        let shards: Vec<usize> = asked.iter().map(|(shard, _)| *shard).collect();
        let mut names = vec![String::new(); asked.len()];
        self.ask_each(&shards, |at, link| {
            if let (Some((_, question)), Some(name)) = (asked.get(at), names.get_mut(at)) {
                *name = put_parse(link, question, again);
                // What planning locks (partitions, indexes) is locked from here on.
                put_bind(link, question, bind, extra, name, BEFORE);
                message::put(&mut link.out, front::CLOSE, |out| {
                    out.push(b'P');
                    message::put_cstr(out, BEFORE.as_bytes());
                });
                link.expect.push_back(Expect::Close { ours: true });
            }
            link.sync();
        })
        .await?;
        let gates = self.hold_gates(&shards).await?;
        self.ask_each(&shards, |at, link| {
            if let (Some((_, question)), Some(name), Some(portal)) = (asked.get(at), names.get(at), portals.get(at)) {
                put_bind(link, question, bind, extra, name, portal);
            }
            link.sync();
        })
        .await?;
        self.let_gates_go(gates, &shards).await
    }

    /// A block for one statement that reads these shards, its snapshots taken together. `draws`: as [`snapshot_block`].
    pub(super) async fn begin_together(&mut self, shards: &[usize], draws: bool) -> Go {
        let begun = Instant::now();
        loop {
            self.block = Some(snapshot_block(draws));
            self.join_each(shards).await?;
            let gates = self.database.gates.clone();
            let left = self.gate_wait().saturating_sub(begun.elapsed());
            if let Ok(gates) = self.wait_for_gates(gates.try_hold(shards, left)).await? {
                return self.take_snapshots(gates, shards).await;
            }
            // A transaction is in doubt, perhaps for long: meanwhile others have the connections.
            if let Some(block) = self.block.take() {
                self.end_reading(block, false).await?;
            }
            let gates = self.database.gates.clone();
            let left = self.gate_wait().saturating_sub(begun.elapsed());
            let held = self.wait_for_gates(gates.hold(shards, left)).await?;
            self.or_gone(held.release()).await?.map_err(Stop::from)?;
        }
    }

    /// The same for a COPY of a table or query that shards carry out themselves.
    pub(super) async fn copy_together(&mut self, prepared: &Prepared, format: &CopyFormat, shards: &[usize]) -> Go {
        match &self.block {
            _ if !self.reads_atomically() || shards.len() < 2 => {
                return self.copy_shards(prepared, format, shards).await;
            }
            Some(block) if block.keeps_snapshot() => return self.copy_shards(prepared, format, shards).await,
            Some(_) => {
                let text = "COPY of a table on several shards can't be atomic in a READ COMMITTED transaction";
                return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
                    .hint("COPY (SELECT …) TO STDOUT, BEGIN ISOLATION LEVEL REPEATABLE READ, or run it outside a transaction.")
                    .into());
            }
            None => {}
        }
        let result = match self.begin_together(shards, false).await {
            Ok(()) => self.copy_shards(prepared, format, shards).await,
            stopped => stopped,
        };
        if let Some(block) = self.block.take_if(|_| !matches!(result, Err(Stop::Over))) {
            let _ = self.end_reading(block, result.is_ok()).await;
        }
        result
    }

    /// Puts something into each of these shards' links, and takes all answers up to ReadyForQuery.
    ///
    /// # Errors
    /// The first of them, when all have answered.
    async fn ask_each(&mut self, shards: &[usize], mut put: impl FnMut(usize, &mut ShardLink)) -> Go<Vec<Answer>> {
        let mut links = Vec::new();
        for (at, &shard) in shards.iter().enumerate() {
            let mut link = self.take_link(shard)?;
            put(at, &mut link);
            // All of them work meanwhile.
            let _ = poll_fn(|cx| Poll::Ready(link.poll_send(cx))).await;
            links.push((shard, link));
        }
        let mut answers = Vec::new();
        let mut failure = None;
        for (shard, mut link) in links {
            match self.ask(&mut link).await {
                Ok(answer) => {
                    self.put_link(shard, link);
                    match answer.good() {
                        Ok(answer) => answers.push(answer),
                        Err(error) => failure = failure.or(Some(error.into())),
                    }
                }
                Err(Stop::Over) => return Err(Stop::Over),
                Err(stop) => failure = failure.or(Some(stop)),
            }
        }
        failure.map_or(Ok(answers), Err)
    }

    async fn hold_gates(&mut self, shards: &[usize]) -> Go<Held> {
        let gates = self.database.gates.clone();
        let wait = self.gate_wait();
        self.wait_for_gates(gates.hold(shards, wait)).await
    }

    /// Waits for gates: a cancel request and the statement's time limit count.
    async fn wait_for_gates<T>(&mut self, hold: impl Future<Output = Result<T, PgError>>) -> Go<T> {
        let client = self.client.clone();
        let mut hold = pin!(hold);
        client.take_cancelled();
        client.set_state(State::Waiting);
        let held = self
            .or_gone(poll_fn(|cx| {
                client.register(cx.waker());
                match client.take_cancelled() {
                    true => Poll::Ready(Err(cancelled("user request"))),
                    false => hold.as_mut().poll(cx),
                }
            }))
            .await;
        client.set_state(State::Active);
        self.database.shared.commits.fault.reach("holding");
        held?.map_err(|error| match self.time_limit() {
            Some(limit) if error.code() == SqlState::LOCK_NOT_AVAILABLE && limit < limits::GATE_WAIT => {
                cancelled("statement timeout").detail(format!("{}.", error.message())).into()
            }
            _ => error.into(),
        })
    }

    fn gate_wait(&self) -> Duration {
        self.time_limit().map_or(limits::GATE_WAIT, |limit| limit.min(limits::GATE_WAIT))
    }

    /// `statement_timeout` as the session has set it, and `query_timeout`.
    fn time_limit(&self) -> Option<Duration> {
        let settings = self.settings();
        let own = settings.get("statement_timeout").and_then(|value| read_time(value_text(value)));
        let query = self.database.shared.config.pool.query_timeout;
        own.into_iter().chain(Some(query)).filter(|limit| !limit.is_zero()).min()
    }

    /// The snapshots are taken, on the servers whose gates were held all the while.
    async fn let_gates_go(&mut self, gates: Held, shards: &[usize]) -> Go {
        let same = shards.iter().all(|&shard| {
            let link = self.links.get(shard).and_then(Option::as_ref);
            let target = link.and_then(|link| link.client.server());
            target
                .zip(gates.server(shard))
                .is_some_and(|(target, server)| std::sync::Arc::ptr_eq(&target.server, server))
        });
        if !same {
            return Err(not_whole("a shard was read on another server than its primary").into());
        }
        self.or_gone(gates.release()).await?.map_err(Stop::from)
    }
}

/// As PostgreSQL words it.
fn cancelled(why: &str) -> PgError {
    PgError::error(SqlState::QUERY_CANCELED, format!("canceling statement due to {why}"))
}

/// A time as PostgreSQL's settings have it; milliseconds unless it says otherwise.
fn read_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let milliseconds = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.saturating_mul(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_settings_have_them() {
        for (text, milliseconds) in [("0", 0), ("250", 250), ("5s", 5_000), (" 2 min ", 120_000), ("1h", 3_600_000)] {
            assert_eq!(read_time(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1", "1.5s", "5 weeks"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
