//! The simple protocol: one string of statements, each answered in turn.

use std::rc::Rc;

use super::block::aborted;
use super::cursor::CursorPlace;
use super::decide::{Decision, Target, refusal_error, scatter_of};
use super::describe::Prepared;
use super::multi::Bind;
use super::{Coordinator, Go, Stop};
use crate::base::{PgError, SqlState};
use crate::plan::sharded::{self, Work};
use crate::plan::{Discard, Kind, TransactionModes};
use crate::session::upstream::protocol_error;
use crate::sql::quote::ident;
use crate::wire::frame::{back, split_cstr};
use crate::wire::message;

impl Coordinator {
    /// A Query message's body.
    pub(super) async fn simple(&mut self, body: &[u8]) -> Go {
        let result = match split_cstr(body) {
            Some((sql, [])) => match std::str::from_utf8(sql) {
                Ok(sql) if self.reads_utf8() || sql.is_ascii() => self.run_string(sql).await,
                Ok(_) => Err(not_utf8().into()),
                Err(_) => Err(not_utf8().into()),
            },
            _ => {
                return Err(self
                    .tell_and_end(protocol_error("invalid message format: a Query is one string".into()))
                    .await);
            }
        };
        match result {
            Ok(()) | Err(Stop::Told) => {}
            Err(Stop::Over) => return Err(Stop::Over),
            Err(Stop::Error(error)) => self.tell(*error),
        }
        self.segment = Default::default();
        self.text_offset = 0;
        self.unnamed = None;
        self.ready();
        Ok(())
    }

    async fn run_string(&mut self, sql: &str) -> Go {
        if let Some((shard, writes)) = self.known_route(sql).await? {
            return self.pass_text(shard, sql, writes).await;
        }
        let mut prepared = self.text(sql, &[0, 0], false);
        self.await_view(&prepared).await?;
        if prepared.generation != self.generation() {
            prepared = self.text(sql, &[0, 0], false);
        }
        match prepared.plan.steps.len() {
            0 => {
                if sql.trim().is_empty() || prepared.plan.steps.is_empty() {
                    message::put(&mut self.output, back::EMPTY_QUERY_RESPONSE, |_| {});
                }
                Ok(())
            }
            1 => {
                let result = self.run_one(&prepared).await;
                if let (Ok(()), Some(decision)) = (&result, prepared.decision.get()) {
                    self.note_route(&prepared, decision);
                    if prepared.runs.get() == 1 && !self.has_own() {
                        self.database.keep(self.key(sql, &[0, 0]), &prepared);
                    }
                }
                result
            }
            _ => self.run_several(&prepared).await,
        }
    }

    /// What PostgreSQL takes in a block that BEGIN began, and not in the one that several statements in a string are.
    fn refuse_in_implicit(&self, kind: &Kind) -> Go {
        let what = match kind {
            _ if self.block.as_ref().is_none_or(|block| block.explicit) => return Ok(()),
            Kind::Savepoint(_) => "SAVEPOINT",
            Kind::Release(_) => "RELEASE SAVEPOINT",
            Kind::RollbackTo(_) => "ROLLBACK TO SAVEPOINT",
            Kind::Commit { chain: true } => "COMMIT AND CHAIN",
            Kind::Rollback { chain: true } => "ROLLBACK AND CHAIN",
            _ => return Ok(()),
        };
        let text = format!("{what} can only be used in transaction blocks");
        Err(PgError::error(SqlState::NO_ACTIVE_SQL_TRANSACTION, text).into())
    }

    /// Several statements in one string are one transaction, unless they say otherwise.
    async fn run_several(&mut self, whole: &Prepared) -> Go {
        for step in &whole.plan.steps {
            let text = whole.sql.get(step.span.clone()).unwrap_or_default().to_owned();
            self.text_offset = whole.sql.get(..step.span.start).map_or(0, |before| before.chars().count());
            let prepared = self.text(&text, &[0, 0], false);
            if self.block.is_none() {
                self.block = Some(self.new_block("BEGIN", TransactionModes::default(), false));
            }
            let result = match self.refuse_in_implicit(&step.kind) {
                Ok(()) => self.run_one(&prepared).await,
                refused => refused,
            };
            if result.is_err() {
                if let Err(Stop::Error(error)) = result {
                    self.tell(*error);
                } else if let Err(Stop::Over) = result {
                    return Err(Stop::Over);
                }
                if let Some(block) = self.block.take_if(|block| !block.explicit) {
                    let _ = self.end_shards(&block, false).await;
                }
                return Err(Stop::Told);
            }
        }
        match self.block.take_if(|block| !block.explicit) {
            Some(block) => self.end_own(&block, true).await,
            None => Ok(()),
        }
    }

    /// One statement of the simple protocol.
    async fn run_one(&mut self, prepared: &Rc<Prepared>) -> Go {
        self.refuse_in_failed(prepared)?;
        let decision = self.decide(prepared).await?;
        if prepared.described.get().is_some_and(|described| !described.params.is_empty()) {
            // Only the extended protocol has parameters: PostgreSQL says so.
            return self.pass_text(self.home(), &prepared.sql, false).await;
        }
        match &*decision {
            Decision::Transaction | Decision::Settings => self.control(prepared).await,
            Decision::Home { writes } => {
                self.pass_text(self.home(), &prepared.sql, *writes).await?;
                self.note_temporary(prepared);
                self.note_prepared(prepared);
                Ok(())
            }
            Decision::Configure(calls) => self.configure(prepared, calls, &Bind::default(), true).await,
            Decision::Shard(shard) => self.pass_text(*shard, &prepared.sql, true).await,
            Decision::Cursor => self.cursor(prepared).await,
            Decision::Prior(prior, instead) => {
                self.run_prior(prepared, (prior, instead.as_deref()), &Bind::default(), true).await
            }
            Decision::Refused(error, reason) => {
                self.own_words_of_copy(prepared).await?;
                Err(self.refuse((**error).clone(), reason))
            }
            Decision::Define(definition) => self.define(prepared, definition, false).await,
            Decision::Explain(explain) => self.explain(prepared, explain, &Bind::default(), true).await,
            Decision::Planned(plan) => self.run_planned(prepared, plan).await,
            Decision::Declare(plan, cursor) => {
                let view = self.view().await?;
                match self.target(&plan.access, &view, &|_| None)? {
                    Target::One(shard) if !matches!(plan.work, Work::Refuse(_)) => {
                        self.is_free(&cursor.name)?;
                        self.pass_text(shard, &prepared.sql, false).await?;
                        self.note_cursor(cursor, CursorPlace::Shard(shard));
                        if self.block.is_none() {
                            self.hold_cursors(self.made).await?;
                        }
                        Ok(())
                    }
                    _ => self.declare(prepared, cursor, &Bind::default()).await,
                }
            }
            Decision::CopyOut(plan, copy) => {
                let view = self.view().await?;
                match self.target(&plan.access, &view, &|_| None)? {
                    Target::One(shard) => {
                        self.refuse_named_copy(shard, &prepared.sql)?;
                        self.pass_text(shard, &prepared.sql, false).await
                    }
                    Target::Many(shards) => self.copy_out(prepared, plan, copy, &shards).await,
                }
            }
        }
    }

    async fn run_planned(&mut self, prepared: &Prepared, plan: &sharded::Plan) -> Go {
        if let Work::Refuse(refusal) = &plan.work {
            return Err(self.refuse(refusal_error(refusal), refusal.reason));
        }
        let view = self.view().await?;
        let target = match self.target(&plan.access, &view, &|_| None)? {
            Target::One(shard) if self.asks_other_clock(plan, shard) => Target::Many(vec![shard]),
            target => target,
        };
        match target {
            Target::One(shard) => self.pass_text(shard, &prepared.sql, plan.writes).await,
            Target::Many(shards) => {
                let scatter = match scatter_of(plan) {
                    Ok(scatter) => scatter,
                    Err(refusal) => return Err(self.refuse(refusal_error(refusal), refusal.reason)),
                };
                let bind = Bind::default();
                self.describe(prepared).await?;
                self.scatter(prepared, (scatter, plan.writes), &shards, &bind, true).await
            }
        }
    }

    /// The statement's text as it is to one shard; its answer to the client.
    pub(super) async fn pass_text(&mut self, shard: usize, sql: &str, writes: bool) -> Go {
        if writes {
            self.may_write(shard).await?;
        }
        self.worker.metrics.routed.inc();
        let mut link = self.engage(shard).await?;
        link.query(sql, false);
        self.put_link(shard, link);
        self.relay(shard).await?;
        self.segment.wrote = None;
        let failed = self.links.get(shard).and_then(Option::as_ref).is_some_and(|link| link.query_failed);
        if failed { Err(Stop::Told) } else { Ok(()) }
    }

    /// Transactions and settings. Without ReadyForQuery.
    pub(super) async fn control(&mut self, prepared: &Prepared) -> Go {
        let Some(step) = prepared.plan.steps.first() else { return Ok(()) };
        match &step.kind {
            Kind::Deallocate(None) => {
                self.statements.clear();
                self.client.set_prepared(0);
                let home = self.home();
                for name in std::mem::take(&mut self.sql_prepared).into_keys() {
                    let mut link = self.connect(home).await?;
                    self.run_on(&mut link, &format!("DEALLOCATE {}", ident(&name))).await?;
                    self.put_link(home, link);
                }
                message::command_complete(&mut self.output, "DEALLOCATE ALL");
                Ok(())
            }
            Kind::Deallocate(Some((name, _))) if self.sql_prepared.remove(name).is_some() => {
                self.on_home(&prepared.sql).await
            }
            Kind::Deallocate(Some((name, _))) => {
                if self.statements.remove(name.as_bytes()).is_none() {
                    let text = format!("prepared statement \"{name}\" does not exist");
                    return Err(PgError::error(SqlState::INVALID_SQL_STATEMENT_NAME, text).into());
                }
                self.client.set_prepared(self.statements.len());
                message::command_complete(&mut self.output, "DEALLOCATE");
                Ok(())
            }
            // Plans, sequences and temporary tables are the home session's; the client's statements stay.
            Kind::Discard(what @ (Discard::Plans | Discard::Sequences | Discard::Temporary)) => {
                let temporary = *what == Discard::Temporary;
                if temporary {
                    self.temporary.define();
                }
                self.pass_text(self.home(), &prepared.sql, temporary).await?;
                if temporary && self.block.is_none() {
                    // Within a block they may come back.
                    self.temporary.clear();
                }
                Ok(())
            }
            Kind::Discard(Discard::All) if self.block.is_some() => {
                let text = "DISCARD ALL cannot run inside a transaction block";
                Err(PgError::error(SqlState::ACTIVE_SQL_TRANSACTION, text).into())
            }
            Kind::Discard(Discard::All) => {
                for shard in 0..self.links.len() {
                    if shard == self.home() {
                        continue;
                    }
                    if let Some(mut link) = self.links.get_mut(shard).and_then(Option::take) {
                        self.run_on(&mut link, "DISCARD ALL").await?;
                        link.prepared.clear();
                        self.put_link(shard, link);
                    }
                }
                self.statements.clear();
                self.cursors.clear();
                self.temporary.clear();
                self.sql_prepared.clear();
                for link in self.links.iter_mut().flatten() {
                    link.prepared.clear();
                }
                self.on_home(&prepared.sql).await
            }
            kind @ (Kind::Set(_) | Kind::Reset(_) | Kind::ResetAll) => self.on_all_joined(kind, &prepared.sql).await,
            kind => {
                if self.block.is_none() && !matches!(kind, Kind::Begin(_) | Kind::Commit { .. } | Kind::Rollback { .. })
                {
                    return self.on_home(&prepared.sql).await;
                }
                self.transaction_control(kind, &prepared.sql).await
            }
        }
    }

    /// FETCH, MOVE, CLOSE: on the shard that has the cursor.
    async fn cursor(&mut self, prepared: &Prepared) -> Go {
        if closes_all(prepared) {
            return self.close_all().await;
        }
        if self.held_cursor(&prepared.sql, true).await? {
            return Ok(());
        }
        let shard = self.cursor_shard(&prepared.sql);
        self.pass_text(shard, &prepared.sql, false).await?;
        self.forget_closed(prepared);
        Ok(())
    }

    /// A cursor that its shard has closed.
    pub(super) fn forget_closed(&mut self, prepared: &Prepared) {
        if let Some(Kind::Close(Some(name))) = prepared.plan.steps.first().map(|step| &step.kind) {
            self.cursors.remove(name);
        }
    }

    /// In a failed transaction only its end, and ROLLBACK TO, are carried out.
    pub(super) fn refuse_in_failed(&self, prepared: &Prepared) -> Go {
        let ends =
            prepared.plan.steps.first().is_some_and(|step| {
                matches!(step.kind, Kind::Commit { .. } | Kind::Rollback { .. } | Kind::RollbackTo(_))
            });
        if self.block.as_ref().is_some_and(|block| block.failed) && !ends {
            return Err(aborted().into());
        }
        Ok(())
    }

    /// Counts a refusal.
    pub(super) fn refuse(&mut self, error: PgError, reason: &'static str) -> Stop {
        self.worker.metrics.refused(reason);
        Stop::Error(Box::new(error))
    }
}

/// `CLOSE ALL`
pub(super) fn closes_all(prepared: &Prepared) -> bool {
    matches!(prepared.plan.steps.first().map(|step| &step.kind), Some(Kind::Close(None)))
}

pub(super) fn not_utf8() -> PgError {
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "on a sharded database statements must be UTF-8")
        .hint("SET client_encoding TO 'UTF8'.")
}
