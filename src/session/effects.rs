//! What a client's statements do to its session: settings, prepared statements, pins, tokens of what it wrote.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::link::{Link, Ours, Side};
use super::{Session, value_text};
use crate::backend::conn::set_parameter;
use crate::backend::database::Purpose;
use crate::backend::settings::{Event, SESSION_AUTHORIZATION, Settings, Value, push_literal};
use crate::base::footprint::{TableKey, WriteSet};
use crate::base::{PgError, SqlState, limits};
use crate::plan::{Discard, Isolation, Kind, Pin, Plan, Set, SetValue, Step};
use crate::wire::message;

/// What the transaction that runs has done so far.
#[derive(Debug, Default)]
pub struct Transaction {
    pub writes: Vec<TableKey>,
    pub writes_all: bool,
    /// It changed definitions.
    pub defines: bool,
    /// It changed them, or temporary tables, which nobody else sees.
    pub redefines: bool,
    /// It ran code that may have changed the session unseen, or something that pins if it worked: a probe decides.
    pub opaque: bool,
    /// Settings that it named to `set_config`, and what opaque statements say that may be such a name: for the probe.
    pub names: Vec<String>,
    /// It drew from sequences, on the connection that it runs on.
    pub drew: bool,
    /// It did what no probe can see: LOAD, PREPARE.
    pub pin: Option<Pin>,
    /// It may have undone what pins.
    pub loosened: bool,
    /// It asked for what only its own connection keeps: a session's lock, temporary table, channel, cursor.
    pub keeps: bool,
}

impl Transaction {
    /// The next one begins. What was allocated is kept.
    #[inline]
    pub fn reset(&mut self) {
        let mut writes = std::mem::take(&mut self.writes);
        writes.clear();
        *self = Self { writes, ..Self::default() };
    }

    /// The same on a connection that the session keeps: a later probe still needs the names.
    pub fn end_kept(&mut self) {
        let mut names = std::mem::take(&mut self.names);
        names.sort_unstable();
        names.dedup();
        names.truncate(limits::PROBED_NAMES);
        self.reset();
        self.names = names;
    }

    #[inline]
    fn wrote(&self) -> bool {
        self.writes_all || !self.writes.is_empty()
    }
}

impl Session {
    /// Takes note of a statement that is about to be sent. Gives the plan back if its completion must be acted on.
    #[inline]
    pub(super) fn note_plan(&mut self, link: &mut Link, plan: &Rc<Plan>) -> Option<Rc<Plan>> {
        let mut effects = false;
        // Of what is gathered nothing stays.
        let stays = self.purpose == Purpose::Clients;
        self.transaction.opaque |= plan.opaque;
        if !plan.names.is_empty() {
            self.transaction.names.extend_from_slice(&plan.names);
        }
        for step in &plan.steps {
            match &step.writes {
                WriteSet::None => {}
                _ if !stays => {}
                WriteSet::All => self.transaction.writes_all = true,
                WriteSet::Tables(tables) => self.note_writes(tables),
            }
            self.transaction.defines |= step.defines && stays;
            self.note_definition(step);
            if step.notifies {
                link.conn.cancel.notifies(self.client.told);
            }
            effects |= self.note_step(step);
        }
        if effects || plan.replica.is_none() {
            link.retry = None;
        }
        effects.then(|| plan.clone())
    }

    /// What statements mean may change with this one. All are read anew then, also those whose tables are as before: which
    /// of two tables of a name one of these reads, an older one or a new one that hides it, hangs in PostgreSQL on whether
    /// anything, such as autovacuum, has made it look again since (`RevalidateCachedQuery`).
    fn note_definition(&mut self, step: &Step) {
        let changes = step.renames();
        let goes_back = self.transaction.redefines && matches!(step.kind, Kind::RollbackTo(_));
        self.transaction.redefines |= changes;
        self.redefined += u64::from(changes || goes_back);
    }

    /// The generation of the schema that statements are prepared by now.
    pub(super) fn generation(&self) -> u64 {
        if self.transaction.redefines { self.redefined } else { self.database.shared.generation() }
    }

    /// A transaction ended that had changed definitions, or may have: nothing is taken for what it was before or within.
    fn outdate_statements(&mut self, link: &mut Link) {
        if self.transaction.defines {
            // All that is older than the generation that comes is looked at again.
            link.conn.statements.outdate_own();
        } else {
            // Nobody else sees temporary tables.
            link.conn.statements.outdate();
            self.statements.outdate();
        }
        self.transaction.redefines = !link.queue.is_empty();
    }

    fn note_writes(&mut self, tables: &[TableKey]) {
        for table in tables {
            if !self.transaction.writes.contains(table) {
                self.transaction.writes.push(*table);
            }
        }
    }

    #[inline]
    fn note_step(&mut self, step: &Step) -> bool {
        self.transaction.drew |= step.draws;
        match step.pins {
            None => {}
            Some(pin @ (Pin::Load | Pin::SqlPrepare)) => self.transaction.pin = Some(pin),
            Some(_) => (self.transaction.opaque, self.transaction.keeps) = (true, true),
        }
        match &step.kind {
            Kind::Read | Kind::Write | Kind::CopyIn | Kind::CopyOut | Kind::Show(_) | Kind::Notify | Kind::Fetch => {
                false
            }
            Kind::Begin(_) | Kind::SetTransaction(_) | Kind::SetConstraints => false,
            Kind::FinishPrepared | Kind::Execute { .. } => false,
            Kind::Prepare { .. } => {
                self.transaction.pin = Some(Pin::SqlPrepare);
                false
            }
            Kind::Load => {
                self.transaction.pin = Some(Pin::Load);
                false
            }
            Kind::Listen(_) | Kind::Declare { hold: true } => {
                (self.transaction.opaque, self.transaction.keeps) = (true, true);
                false
            }
            Kind::Call | Kind::Unknown => {
                self.transaction.opaque = true;
                false
            }
            Kind::Declare { hold: false } => false,
            Kind::Unlisten(_) | Kind::Close(_) => {
                self.transaction.loosened = true;
                false
            }
            Kind::Set(set) => {
                self.transaction.opaque |= set.value == SetValue::Other && !set.local;
                // What a rollback leaves of the role hangs on the server's version: up to 17.0, 16.4, 15.8 it is gone.
                self.transaction.opaque |= set.name == SESSION_AUTHORIZATION;
                self.note_commit_mode(set);
                !set.local || set.value == SetValue::Default
            }
            Kind::Reset(name) => {
                self.transaction.opaque |= name == SESSION_AUTHORIZATION;
                true
            }
            Kind::Commit { .. }
            | Kind::Rollback { .. }
            | Kind::Savepoint(_)
            | Kind::Release(_)
            | Kind::RollbackTo(_)
            | Kind::PrepareTransaction
            | Kind::ResetAll
            | Kind::Discard(_)
            | Kind::Deallocate(_) => true,
        }
    }

    /// Without a synchronous flush the flush position doesn't cover an acknowledged commit.
    fn note_commit_mode(&self, set: &Set) {
        let synchronous = match &set.value {
            SetValue::List(values) => values.iter().all(|value| is_synchronous(value)),
            _ => false,
        };
        if set.name == SYNCHRONOUS_COMMIT && !synchronous {
            self.database.shared.asynchronous.store(true, Ordering::Release);
        }
    }

    /// The same of settings from a start-up packet or a probe.
    pub(super) fn note_commit_settings(&self, settings: &Settings) {
        if settings.get(SYNCHRONOUS_COMMIT).is_some_and(|value| !is_synchronous(value_text(value))) {
            self.database.shared.asynchronous.store(true, Ordering::Release);
        }
    }

    /// A statement was carried out. `done`: its plan and which statement of it, where that has effects.
    #[inline]
    pub(super) fn command_complete(&mut self, link: &mut Link, body: &[u8], done: Option<(Rc<Plan>, usize)>) {
        // Outside a block the client may take this for the commit's acknowledgement.
        if self.transaction.wrote() && (self.status == b'I' || body.starts_with(b"COMMIT")) {
            self.raise_tokens();
        }
        if let Some((plan, step)) = done
            && let Some(step) = plan.steps.get(step)
        {
            self.effect(link, &step.kind, body);
        }
    }

    fn effect(&mut self, link: &mut Link, kind: &Kind, tag: &[u8]) {
        let event = match kind {
            // COMMIT of a failed transaction says ROLLBACK.
            Kind::Commit { .. } | Kind::Rollback { .. } | Kind::PrepareTransaction if tag.starts_with(b"ROLLBACK") => {
                Event::Rollback
            }
            Kind::Commit { .. } | Kind::PrepareTransaction => Event::Commit,
            Kind::Savepoint(name) => Event::Savepoint(name.clone()),
            // Gone with the transaction; it is here because another statement of its string has effects.
            Kind::Set(set) if set.local => return,
            Kind::Release(name) => Event::Release(name.clone()),
            Kind::RollbackTo(name) => Event::RollbackTo(name.clone()),
            Kind::Set(set) if set.name == "session characteristics" => return self.set_characteristics(link, set),
            Kind::Set(set) => match &set.value {
                SetValue::List(values) => Event::Set(set.name.clone(), Value::List(values.clone())),
                SetValue::Default => Event::Reset(set.name.clone()),
                SetValue::Other => return,
            },
            Kind::Reset(name) => Event::Reset(name.clone()),
            Kind::ResetAll => Event::ResetAll,
            Kind::Discard(Discard::All) => {
                self.statements.clear_named();
                self.client.set_prepared(0);
                link.conn.statements.clear();
                if self.pin != Some(Pin::SessionMode) && self.pin != Some(Pin::Load) {
                    self.set_pin(None);
                }
                self.transaction.opaque = false;
                Event::DiscardAll
            }
            Kind::Discard(_) => {
                self.transaction.loosened = true;
                return;
            }
            Kind::Deallocate(Some((name, _))) => {
                self.deallocated(link, name);
                return;
            }
            Kind::Deallocate(None) => {
                self.statements.clear_named();
                self.client.set_prepared(0);
                link.conn.statements.clear();
                if self.pin == Some(Pin::SqlPrepare) {
                    self.set_pin(None);
                    // What code did while it was pinned went unseen.
                    self.transaction.loosened = true;
                }
                return;
            }
            _ => return,
        };
        let quiet = matches!(event, Event::Commit | Event::Rollback | Event::RollbackTo(_) | Event::Release(_));
        if quiet && link.tracker.is_none() && !self.settings.in_flux() {
            return;
        }
        if matches!(event, Event::Savepoint(_)) && link.tracker.is_none() {
            // The connection's own tracker must know of it too, should a SET follow.
            link.tracker();
        }
        if matches!(event, Event::Reset(_) | Event::ResetAll | Event::DiscardAll) {
            return self.has_reset(link, kind, &event);
        }
        self.settings.apply(&event);
        link.tracker().apply(&event);
    }

    /// `SET SESSION CHARACTERISTICS`: settings and their values in turn.
    fn set_characteristics(&mut self, link: &mut Link, set: &Set) {
        let SetValue::List(words) = &set.value else { return };
        for pair in words.chunks_exact(2) {
            if let [name, value] = pair {
                let event = Event::Set(name.clone(), Value::Config(value.clone()));
                self.settings.apply(&event);
                link.tracker().apply(&event);
            }
        }
    }

    /// ReadyForQuery said that no transaction is open.
    #[inline]
    pub(super) fn transaction_done(&mut self, link: &mut Link, failed: bool) {
        if self.settings.in_flux() || link.tracker.as_ref().is_some_and(|tracker| tracker.in_flux()) {
            let event = if failed { Event::Rollback } else { Event::Commit };
            self.settings.apply(&event);
            link.tracker().apply(&event);
        }
        if self.transaction.redefines {
            self.outdate_statements(link);
        }
        if self.transaction.wrote() {
            self.raise_tokens();
            if link.queue.is_empty() {
                self.transaction.writes.clear();
                self.transaction.writes_all = false;
                self.transaction.defines = false;
            }
        }
        self.statements.clear_portals();
        let metrics = &link.pool.metrics;
        metrics.transactions.inc();
        link.ended = Instant::now();
        let took = link.ended.saturating_duration_since(link.started);
        metrics.query.observe(took);
        metrics.transaction_us.add(took.as_micros() as u64);
    }

    /// Whatever the transaction wrote may be acknowledged from now on.
    pub(super) fn raise_tokens(&mut self) {
        let database = &self.database.shared;
        if self.transaction.defines {
            database.distrust_catalog();
        }
        let shard = &database.shard;
        if !shard.has_replicas() {
            return;
        }
        self.own_write = if self.transaction.writes_all {
            let sequence = shard.tokens.raise_all();
            // Replicas are out of use until the monitor has looked whether definitions changed.
            database.urge.notify_one();
            sequence
        } else {
            shard.tokens.raise_tables(&self.transaction.writes)
        };
    }

    /// A query of our own was answered. Gives what the client must be told then.
    pub(super) fn our_query_done(&mut self, link: &mut Link, ours: Ours) -> Vec<u8> {
        match ours {
            Ours::Settings => self.news(link),
            Ours::Value | Ours::FailedTransaction => Vec::new(),
        }
    }

    /// Tells the client what this connection reports otherwise than the one before.
    pub(super) fn greet(&mut self, link: &mut Link) {
        if Arc::ptr_eq(&self.reported, &link.conn.reported) {
            return;
        }
        let news = self.news(link);
        self.output.insert(self.ready, &news);
        self.ready += news.len();
    }

    /// The messages for it.
    pub(super) fn news(&mut self, link: &mut Link) -> Vec<u8> {
        let mut news = Vec::new();
        if Arc::ptr_eq(&self.reported, &link.conn.reported) {
            return news;
        }
        for (name, value) in link.conn.reported.iter().filter(|(name, _)| name != "in_hot_standby") {
            if !self.reported.iter().any(|(other, known)| other == name && known == value) {
                message::parameter_status(&mut news, name, value);
                set_parameter(Arc::make_mut(&mut self.reported), name.clone(), value.clone());
            }
        }
        // Who agrees shares one list, so that the next comparison is quick.
        self.reported = self.worker.one_for_all(&self.reported);
        link.conn.reported = self.reported.clone();
        news
    }

    /// What to send in place of a statement that this connection must not run: code that fails with the reason.
    pub(super) fn refusal(&mut self, link: &Link, plan: &Plan) -> Option<String> {
        let refused = self.replica_refused(link, plan);
        self.recall_refused(link, plan).or_else(|| refused.then(|| failing_on_a_replica(plan)))
    }

    /// `currval` and `lastval` are the connection's: right only where it is the one that the session drew on last, and
    /// nobody has used it since.
    fn recall_refused(&mut self, link: &Link, plan: &Plan) -> Option<String> {
        if !plan.steps.iter().any(|step| step.recalls) {
            return None;
        }
        if plan.steps.iter().any(|step| step.draws) || self.transaction.drew || link.drawn_here || self.pin.is_some() {
            // It asks once, it will ask again: from now on its connection is its own.
            self.transaction.pin = self.pin.or(Some(Pin::Function));
            return None;
        }
        Some(failing_code(
            "55000",
            "currval and lastval are not known here: this session drew from the sequence on another server connection",
            "In transaction pooling a sequence's last value is known within the transaction that drew it.",
            "Use INSERT … RETURNING, ask within the same transaction, or set pool_mode = 'session' for this user.",
        ))
    }

    /// On a replica, in a transaction that is READ ONLY, only what is proven to give the primary's answer is let through.
    pub(super) fn replica_refused(&self, link: &Link, plan: &Plan) -> bool {
        // Before the first snapshot the transaction may become one that only a primary can run.
        let fresh = link.opening.as_ref().is_some_and(|opening| !opening.looked);
        let tame = |step: &Step| match &step.kind {
            Kind::Read | Kind::Write | Kind::CopyOut | Kind::CopyIn | Kind::Call | Kind::Unknown => false,
            Kind::Listen(_) | Kind::Notify | Kind::Declare { .. } | Kind::Execute { .. } => false,
            Kind::SetTransaction(modes) => {
                !fresh || (modes.read_only != Some(false) && modes.isolation != Some(Isolation::Serializable))
            }
            _ => true,
        };
        link.side == Side::Replica
            && self.status != b'I'
            && plan.replica.is_none()
            && !plan.steps.iter().all(tame)
            && plan.primary_reason != "no table"
    }

    /// An expression for the session's token: a position that covers all that was committed so far.
    pub(super) fn token_sql(&self) -> String {
        let position = if self.database.shared.asynchronous.load(Ordering::Acquire) {
            "pg_catalog.pg_current_wal_insert_lsn()"
        } else {
            "pg_catalog.pg_current_wal_flush_lsn()"
        };
        let mut sql = "SELECT pg_catalog.set_config('pgbraid.token',".to_owned();
        push_literal(&mut sql, &format!("{}=", self.database.shared.shard.name));
        sql.push_str("||CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE ");
        sql.push_str(position);
        sql.push_str(" END,false)");
        sql
    }
}

const SYNCHRONOUS_COMMIT: &str = "synchronous_commit";

/// Whether a value of `synchronous_commit` waits for a flush. What isn't known doesn't.
fn is_synchronous(value: &str) -> bool {
    ["on", "local", "remote_write", "remote_apply", "true", "yes", "1"].contains(&value.to_ascii_lowercase().as_str())
}

const NOT_ON_A_REPLICA: &str = "this statement can't be proven to give the primary's answer on a replica";
const NOT_ON_A_REPLICA_HINT: &str = "Use SET pgbraid.consistency = 'primary' before BEGIN, or BEGIN without READ ONLY.";

fn why_not(plan: &Plan) -> String {
    format!(
        "The READ ONLY transaction runs on a replica, and can't go over to the primary any more; {}.",
        plan.primary_reason
    )
}

fn failing_on_a_replica(plan: &Plan) -> String {
    failing_code("0A000", NOT_ON_A_REPLICA, &why_not(plan), NOT_ON_A_REPLICA_HINT)
}

/// The same as an ErrorResponse.
pub(super) fn not_on_a_replica(plan: &Plan) -> Box<[u8]> {
    let error = PgError::error(SqlState::FEATURE_NOT_SUPPORTED, NOT_ON_A_REPLICA)
        .detail(why_not(plan))
        .hint(NOT_ON_A_REPLICA_HINT);
    let mut bytes = Vec::new();
    message::error_response(&mut bytes, &error);
    bytes.into()
}

/// A statement that fails with this error, in any protocol and any state of the transaction as PostgreSQL would.
fn failing_code(code: &str, message: &str, detail: &str, hint: &str) -> String {
    let mut sql = format!("DO $pgbraid$BEGIN RAISE EXCEPTION USING ERRCODE='{code}',MESSAGE=");
    push_literal(&mut sql, message);
    sql.push_str(",DETAIL=");
    push_literal(&mut sql, detail);
    sql.push_str(",HINT=");
    push_literal(&mut sql, hint);
    sql.push_str(";END$pgbraid$");
    sql
}
