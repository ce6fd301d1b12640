//! Gates: locks by which a statement over several shards sees others' transactions whole or not at all.
//!
//! What a transaction prepares on a shard holds that shard's gate (ROW EXCLUSIVE, which writers share) from before it is
//! prepared until it is committed or rolled back there, whoever dies meanwhile. Who reads several shards holds the gates of
//! all of them (SHARE) while it takes its snapshots: then each of its shards has all of a transaction's part or nothing of
//! it. On sessions of their own, for a lock that the reading transaction took would hold writers up as long as it reads.
//!
//! Gates are taken one after another in the order of the shards' names, by readers and writers alike, so that none who
//! holds one waits for another who waits for it. A reader that must wait for long lets go of all it holds, for what it
//! waits for may be a transaction whose proxy died, and other writers aren't to wait for that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures_util::future::{join, join_all};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::control::Control;
use super::login::Identity;
use super::sharded::ShardedDatabase;
use crate::base::{PgError, SqlState, limits};
use crate::topology::Server;
use crate::topology::placement::ShardIndex;

/// A writer's lock, within the transaction that it prepares.
pub const ENTER: &str = "LOCK TABLE pgbraid.gate IN ROW EXCLUSIVE MODE";

/// A reader's, and the same where nobody waits.
const LOCK: &str = "LOCK TABLE pgbraid.gate IN SHARE MODE";
const TRY: &str = "BEGIN; LOCK TABLE pgbraid.gate IN SHARE MODE NOWAIT";

/// Time for an answer beyond that for the lock.
const QUESTION: Duration = Duration::from_secs(5);

/// The transactions that hold the gate.
const HOLDERS: &str = "SELECT string_agg(p.gid, ', ' ORDER BY p.prepared) FROM pg_prepared_xacts p JOIN pg_locks l \
     ON l.virtualtransaction = '-1/' || p.transaction::text WHERE l.relation = to_regclass('pgbraid.gate') AND p.database = current_database()";

/// One sharded database's gates, as all workers share them.
#[derive(Debug, Default)]
pub struct Gates {
    kept: AtomicBool,
    /// The service user, whose sessions take readers' locks.
    identity: ArcSwapOption<Identity>,
}

impl Gates {
    /// Whether some proxy reads by them, so that all who write must take them.
    pub fn are_kept(&self) -> bool {
        self.kept.load(Ordering::Acquire)
    }

    /// Some proxy does.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }

    pub fn serve_as(&self, identity: Arc<Identity>) {
        self.identity.store(Some(identity));
    }
}

/// The order in which gates are taken, whatever order a configuration lists shards in.
pub fn in_order(sharded: &ShardedDatabase, shards: &[ShardIndex]) -> Vec<ShardIndex> {
    let mut order = shards.to_vec();
    order.sort_by_key(|&shard| sharded.config.shards.get(shard).map_or("", |shard| shard.name.as_str()));
    order.dedup();
    order
}

/// One worker's sessions for readers' locks.
pub struct LocalGates {
    sharded: Arc<ShardedDatabase>,
    idle: RefCell<BTreeMap<ShardIndex, Vec<(Control, Instant)>>>,
    /// As many readers as may hold gates at once, each with a session a shard.
    turns: Arc<Semaphore>,
}

/// Gates that are held. Dropped, they are let go with their sessions.
pub struct Held {
    sessions: Sessions,
    gates: Rc<LocalGates>,
    _turn: OwnedSemaphorePermit,
}

type Session = (ShardIndex, Control);
type Sessions = Vec<Session>;

/// Why an attempt came to nothing.
enum Closed {
    /// A transaction is being committed on this shard.
    Busy(ShardIndex),
    /// A session that had been idle turned out to be gone.
    Stale,
    Failed(PgError),
}

impl LocalGates {
    pub fn new(sharded: Arc<ShardedDatabase>) -> Self {
        Self { sharded, idle: RefCell::default(), turns: Arc::new(Semaphore::new(limits::GATE_SESSIONS)) }
    }

    /// Takes the gates of these shards. Dropped meanwhile, nothing stays locked for longer than one attempt.
    ///
    /// # Errors
    /// 55P03 where it can't have them `within` this time; a server's.
    pub async fn hold(self: &Rc<Self>, shards: &[ShardIndex], within: Duration) -> Result<Held, PgError> {
        let order = in_order(&self.sharded, shards);
        let begun = Instant::now();
        let mut patience = limits::GATE_PATIENCE;
        loop {
            let left = within.saturating_sub(begun.elapsed());
            let busy = match self.hold_once(&order, patience.min(left), left).await? {
                Ok(held) => return Ok(held),
                Err(busy) => busy,
            };
            if begun.elapsed() >= within {
                return Err(self.waited(busy).await);
            }
            // Writers that stood in line behind the lock have their turn.
            tokio::time::sleep(patience.min(within.saturating_sub(begun.elapsed()))).await;
            patience = (patience * 2).min(limits::GATE_PATIENCE_MOST);
        }
    }

    /// The same for those who shouldn't wait long: the shard that they would have to wait for.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn try_hold(
        self: &Rc<Self>,
        shards: &[ShardIndex],
        within: Duration,
    ) -> Result<Result<Held, ShardIndex>, PgError> {
        self.hold_once(&in_order(&self.sharded, shards), limits::GATE_PATIENCE.min(within), within).await
    }

    async fn hold_once(
        self: &Rc<Self>,
        order: &[ShardIndex],
        patience: Duration,
        within: Duration,
    ) -> Result<Result<Held, ShardIndex>, PgError> {
        let turn = tokio::time::timeout(within, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(no_turn()) };
        loop {
            match self.attempt(order, patience).await {
                Ok(sessions) => return Ok(Ok(Held { sessions, gates: self.clone(), _turn: turn })),
                Err(Closed::Busy(shard)) => return Ok(Err(shard)),
                Err(Closed::Stale) => {}
                Err(Closed::Failed(error)) => return Err(error),
            }
        }
    }

    /// Takes all gates, or none.
    async fn attempt(&self, order: &[ShardIndex], patience: Duration) -> Result<Sessions, Closed> {
        // All are reached before the first lock is taken.
        let mut sessions = Sessions::new();
        let mut idle = Vec::new();
        for &shard in order {
            let (session, was_idle) = self.session(shard).await.map_err(Closed::Failed)?;
            sessions.push((shard, session));
            idle.push(was_idle);
        }
        let was_idle = |at: usize| idle.get(at) == Some(&true);
        // What nobody has can be had in any order, for nobody is waited for.
        let tried = join_all(sessions.iter_mut().map(|(_, session)| session.query(TRY, QUESTION))).await;
        let mut first = None;
        for (at, result) in tried.into_iter().enumerate() {
            match result {
                Ok(_) => {}
                Err((error, false)) if error.code() == SqlState::LOCK_NOT_AVAILABLE => first = first.or(Some(at)),
                Err((error, lost)) => return Err(self.failed(sessions, at, error, (lost, was_idle(at))).await),
            }
        }
        let Some(first) = first else { return Ok(sessions) };
        // From the first that somebody has on: in order, without holding those behind.
        let sql = format!("ROLLBACK; BEGIN; SET LOCAL lock_timeout = {}; {LOCK}", patience.as_millis().max(1));
        for at in first..sessions.len() {
            let Some((shard, session, behind)) = split(&mut sessions, at) else { continue };
            let wait = session.query(&sql, patience + QUESTION);
            // Those that were had already, if this is the first that wasn't; else nothing.
            let behind = behind.iter_mut().filter(|_| at == first);
            let (result, _) =
                join(wait, join_all(behind.map(|(_, session)| session.query("ROLLBACK", QUESTION)))).await;
            let Err((error, lost)) = result else { continue };
            if lost || error.code() != SqlState::LOCK_NOT_AVAILABLE {
                return Err(self.failed(sessions, at, error, (lost, was_idle(at))).await);
            }
            self.let_go(sessions, "ROLLBACK").await;
            return Err(Closed::Busy(shard));
        }
        Ok(sessions)
    }

    /// A session's error that isn't about its lock. Whether the session is lost, and whether it had been idle.
    async fn failed(
        &self,
        mut sessions: Sessions,
        at: usize,
        error: PgError,
        (lost, was_idle): (bool, bool),
    ) -> Closed {
        if lost && at < sessions.len() {
            let (shard, _) = sessions.remove(at);
            // The others may all have been closed with it.
            self.idle.borrow_mut().remove(&shard);
        }
        self.let_go(sessions, "ROLLBACK").await;
        if lost && was_idle { Closed::Stale } else { Closed::Failed(error) }
    }

    /// An idle session on the shard's primary (true), or a new one.
    async fn session(&self, shard: ShardIndex) -> Result<(Control, bool), PgError> {
        let primary = self.sharded.shards.get(shard).and_then(|database| database.shard.primary().cloned());
        let Some(primary) = primary else {
            let name = self.name(shard);
            let text = format!("the shard {name} has no primary that answers");
            return Err(PgError::error(SqlState::CANNOT_CONNECT_NOW, text).hint("Try again in a moment."));
        };
        while let Some((session, _)) = self.idle.borrow_mut().entry(shard).or_default().pop() {
            if Arc::ptr_eq(session.server(), &primary) {
                return Ok((session, true));
            }
        }
        let Some(identity) = self.sharded.gates.identity.load_full() else {
            let text = "atomic reads over shards need the database's service user, which isn't known yet";
            return Err(PgError::error(SqlState::CANNOT_CONNECT_NOW, text).hint("Try again in a moment."));
        };
        let timeout = self.sharded.config.pool.connect_timeout;
        let opened = Control::open(&primary, &identity, timeout, limits::CONTROL_STATEMENT).await;
        let mut session = opened.map_err(|error| error.into_error())?;
        // A proxy that hangs, or whose machine is gone, holds nobody up.
        let hold = format!("SET idle_in_transaction_session_timeout = {}", limits::GATE_HOLD.as_millis());
        session.query(&hold, QUESTION).await.map_err(|(error, _)| error)?;
        Ok((session, false))
    }

    /// Ends the sessions' transactions. Whether all could be.
    async fn let_go(&self, mut sessions: Sessions, word: &str) -> bool {
        let ended = join_all(sessions.iter_mut().map(|(_, session)| session.query(word, QUESTION))).await;
        let mut all = true;
        for ((shard, session), ended) in sessions.into_iter().zip(ended) {
            all &= ended.is_ok();
            if ended.is_ok() {
                self.idle.borrow_mut().entry(shard).or_default().push((session, Instant::now()));
            }
        }
        all
    }

    /// Closes sessions that aren't needed any more. To be called every second or so.
    pub fn tend(&self) {
        for sessions in self.idle.borrow_mut().values_mut() {
            sessions.retain(|(_, since)| since.elapsed() < limits::GATE_IDLE);
        }
    }

    /// What is told of a wait that was too long.
    async fn waited(&self, shard: ShardIndex) -> PgError {
        let rows = match self.session(shard).await {
            Ok((mut session, _)) => session.query(HOLDERS, QUESTION).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let holders = rows.into_iter().flatten().flatten().next();
        let text = format!(
            "the statement waited too long for transactions that are being committed on the shard {}",
            self.name(shard)
        );
        let error = PgError::error(SqlState::LOCK_NOT_AVAILABLE, text)
            .hint("If a proxy died, another finishes what it left; the log and pgbraid_parts_in_doubt tell why not.");
        match holders {
            Some(holders) => error.detail(format!("Prepared there, and not finished: {holders}.")),
            None => error,
        }
    }

    fn name(&self, shard: ShardIndex) -> String {
        self.sharded.config.shards.get(shard).map_or_else(String::new, |shard| shard.name.clone())
    }
}

impl Held {
    /// The server whose gate it is.
    pub fn server(&self, shard: ShardIndex) -> Option<&Arc<Server>> {
        self.sessions.iter().find(|(other, _)| *other == shard).map(|(_, session)| session.server())
    }

    /// Lets go.
    ///
    /// # Errors
    /// 40001: one was lost before, and what was read need not be whole.
    pub async fn release(self) -> Result<(), PgError> {
        match self.gates.let_go(self.sessions, "COMMIT").await {
            true => Ok(()),
            false => Err(not_whole("the session that held a gate was lost")),
        }
    }
}

/// One of the sessions, its shard, and those behind it.
fn split(sessions: &mut Sessions, at: usize) -> Option<(ShardIndex, &mut Control, &mut [Session])> {
    let ((shard, session), behind) = sessions.get_mut(at..)?.split_first_mut()?;
    Some((*shard, session, behind))
}

/// What was read need not be whole.
pub fn not_whole(why: &str) -> PgError {
    PgError::error(SqlState::SERIALIZATION_FAILURE, "several shards couldn't be read as of one moment")
        .detail(format!("{why}."))
        .hint("Run it again.")
}

fn no_turn() -> PgError {
    let text = "too many other statements wait to read several shards";
    PgError::error(SqlState::LOCK_NOT_AVAILABLE, text).hint("Try again in a moment.")
}
