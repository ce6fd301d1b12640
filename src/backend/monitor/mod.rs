//! Watches a database's servers: roles, replay positions, the positions of acknowledged commits, the catalog.
//!
//! What the rest of the proxy knows of a server is what it said last. Old knowledge must be safe: a replay position only
//! grows while a server runs, so an old one is too low at worst; where the server may have been restarted (its control
//! connection broke) it is unknown at once, as a replica that crashed begins again at a lower position.

mod answer;
mod progress;
mod roles;
mod schema;
mod watch;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{Notify, watch as channel};

use super::database::Database;
use super::login::Identity;
use crate::base::Lsn;
use crate::telemetry::{ServerMetrics, Telemetry};
use crate::topology::{Need, Role, Sequence, Server};
use answer::{Answer, Standing};
use progress::Progress;
use roles::{Roles, Said, Verdict};

/// Between two looks at the tokens while somebody writes, …
const TICK: Duration = Duration::from_millis(10);
/// … and when nobody has for [`QUIET_AFTER`].
const QUIET_TICK: Duration = Duration::from_millis(50);
const QUIET_AFTER: Duration = Duration::from_secs(1);
/// The shortest time between two looks, however urgent.
const BREATH: Duration = Duration::from_millis(5);
/// A replica that stands still for this many looks is asked only every so many looks.
const STALLED: u32 = 16;

/// Watches `database` as the service user `identity`, until `shutdown` is true (or its sender gone). Roles, positions,
/// tokens and the catalog in `database` are kept up to date; the servers' metrics are shown by `telemetry`.
pub async fn run(
    database: Arc<Database>,
    identity: Arc<Identity>,
    telemetry: Telemetry,
    mut shutdown: channel::Receiver<bool>,
) {
    let monitor = Monitor::new(database, identity, &telemetry);
    let servers = join_all((0..monitor.servers.len()).map(|at| watch::watch(&monitor, at)));
    tokio::select! {
        _ = servers => {}
        () = monitor.conduct() => {}
        () = schema::follow(&monitor, false) => {}
        _ = shutdown.wait_for(|ended| *ended) => {}
    }
}

/// Follows only the catalog, as `identity`, as long as the server lets it in: for a database with one server and without a service user, on
/// behalf of the first client that logged in. Without a catalog every statement would have to be taken for one that may
/// leave something behind on its connection.
pub async fn follow_catalog(database: Arc<Database>, identity: Arc<Identity>, telemetry: Telemetry) {
    let monitor = Monitor::new(database, identity, &telemetry);
    schema::follow(&monitor, true).await;
    monitor.database.lost_follower();
}

/// What the tasks of one database's monitor share.
struct Monitor {
    database: Arc<Database>,
    identity: Arc<Identity>,
    servers: Vec<Watched>,
    roles: Mutex<Known>,
}

/// One server.
struct Watched {
    server: Arc<Server>,
    metrics: Arc<ServerMetrics>,
    /// Ask now.
    kick: Notify,
}

/// What all servers said, and what was made of it.
struct Known {
    roles: Roles,
    verdicts: Vec<Verdict>,
    progress: Progress,
}

/// What was known when a server was asked: its answer holds for that.
struct Ask {
    at: usize,
    number: u64,
    asked: Instant,
    /// Commits whose position the answer tells, if it is the primary's.
    sequence: Option<Sequence>,
}

impl Monitor {
    fn new(database: Arc<Database>, identity: Arc<Identity>, telemetry: &Telemetry) -> Self {
        let servers: Vec<_> = database
            .shard
            .servers
            .iter()
            .map(|server| Watched {
                server: server.clone(),
                metrics: telemetry.server(&database.name, &server.address.to_string()),
                kick: Notify::new(),
            })
            .collect();
        let roles = Roles::new(servers.iter().map(|watched| watched.server.address.to_string()).collect());
        let verdicts = vec![Verdict::Wait; servers.len()];
        let known = Mutex::new(Known { roles, verdicts, progress: Progress::default() });
        Self { database, identity, servers, roles: known }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before a server is asked.
    fn ask(&self, at: usize) -> Ask {
        // First the commits, then whether this is the primary they were made on, then the question: in this order the
        // position that comes lies behind all of them.
        let sequence = self.database.shard.tokens.unresolved();
        let server = self.servers.get(at).map(|watched| &watched.server);
        let is_primary = server.is_some_and(|server| server.role() == Role::Primary);
        let number = server.map_or(0, |server| server.ask());
        Ask { at, number, asked: Instant::now(), sequence: sequence.filter(|_| is_primary) }
    }

    /// A server answered.
    fn answered(&self, ask: &Ask, said: Said, answer: &Answer) {
        let Some(watched) = self.servers.get(ask.at) else { return };
        let known = &mut *self.known();
        let verdicts = known.roles.hear(ask.at, said);
        self.apply(known, verdicts, ask.at);
        let verdict = known.verdicts.get(ask.at);
        match (answer.standing, verdict) {
            (Standing::Primary { flushed, inserted, asynchronous }, Some(Verdict::Primary)) => {
                watched.metrics.set_up(true);
                watched.metrics.set_lag(0, Duration::ZERO);
                known.progress.saw(ask.asked, flushed);
                if asynchronous && !self.database.asynchronous.swap(true, Ordering::AcqRel) {
                    tracing::info!(
                        database = &*self.database.name,
                        "some commits are made with synchronous_commit = off: replicas are used later after them"
                    );
                }
                if let Some(sequence) = ask.sequence {
                    // Who commits so sets this before it raises its token.
                    let asynchronous = self.database.asynchronous.load(Ordering::Acquire);
                    let position = if asynchronous { flushed.max(inserted) } else { flushed };
                    self.database.shard.tokens.resolve(sequence, position);
                }
            }
            (Standing::Replica { replayed, by_commit }, Some(Verdict::Replica)) => {
                let lag = known.progress.lag(Instant::now(), replayed, by_commit);
                let micros = lag.map_or(u64::MAX, |lag| u64::try_from(lag.as_micros()).unwrap_or(u64::MAX));
                if watched.server.is_replica(replayed, micros, ask.number) {
                    tracing::info!(database = &*self.database.name, server = %watched.server.address, "is a replica");
                }
                watched.metrics.set_up(true);
                watched.metrics.set_lag(known.progress.bytes(replayed), lag.unwrap_or(Duration::MAX));
            }
            // Whatever else it says, nothing of it is used.
            _ => watched.metrics.set_up(false),
        }
    }

    /// A server can't be asked.
    fn silent(&self, at: usize, why: &str) {
        let Some(watched) = self.servers.get(at) else { return };
        let known = &mut *self.known();
        // At once, whatever the others say.
        watched.server.is_unknown(why.to_owned());
        watched.metrics.set_up(false);
        watched.metrics.set_primary(false);
        let verdicts = known.roles.hear(at, Said::Nothing);
        if let Some(verdict) = known.verdicts.get_mut(at) {
            *verdict = Verdict::Unfit(why.to_owned());
        }
        self.apply(known, verdicts, at);
    }

    /// Puts verdicts in force. Replicas are taken into use by their own answer, which has their position.
    fn apply(&self, known: &mut Known, verdicts: Vec<Verdict>, heard: usize) {
        let database = &*self.database.name;
        let mut changes: Vec<_> = verdicts.into_iter().enumerate().collect();
        // The unfit first: never two primaries, and no replica of the old timeline beside the new primary.
        changes.sort_by_key(|(_, verdict)| !matches!(verdict, Verdict::Unfit(_)));
        for (at, verdict) in changes {
            let (Some(watched), Some(before)) = (self.servers.get(at), known.verdicts.get_mut(at)) else { continue };
            // A silent server keeps its own reason.
            let silent = verdict == Verdict::Unfit(roles::SILENT.into());
            if *before == verdict || silent {
                continue;
            }
            match &verdict {
                Verdict::Wait => {}
                Verdict::Unfit(why) => {
                    tracing::warn!(database, server = %watched.server.address, "not used: {why}");
                    watched.server.is_unknown(why.clone());
                    watched.metrics.set_primary(false);
                }
                Verdict::Primary => {
                    known.progress.clear();
                    watched.server.is_primary();
                    watched.metrics.set_up(true);
                    watched.metrics.set_primary(true);
                    tracing::info!(database, server = %watched.server.address, "is the primary");
                    self.database.schema.notify_one();
                }
                Verdict::Replica => {
                    watched.metrics.set_primary(false);
                    if at != heard {
                        watched.kick.notify_one();
                    }
                }
            }
            *before = verdict;
        }
    }

    /// Has the servers asked as often as somebody needs it.
    async fn conduct(&self) {
        let mut stalls = vec![(Lsn(0), 0u32); self.servers.len()];
        let mut busy = Instant::now();
        let mut tick = QUIET_TICK;
        loop {
            let urged = tokio::time::timeout(tick, self.database.urge.notified()).await.is_ok();
            let shard = &self.database.shard;
            if shard.tokens.unverified().is_some() {
                self.database.schema.notify_one();
            }
            let wanted = self.kick_wanted(&mut stalls, urged);
            if wanted || urged {
                busy = Instant::now();
            }
            tick = if !shard.has_replicas() {
                // No tokens are raised.
                QUIET_AFTER
            } else if busy.elapsed() < QUIET_AFTER {
                TICK
            } else {
                QUIET_TICK
            };
            if urged {
                tokio::time::sleep(BREATH).await;
            }
        }
    }

    /// Has those asked whose answer somebody waits for; whether there were any.
    fn kick_wanted(&self, stalls: &mut [(Lsn, u32)], urged: bool) -> bool {
        let tokens = &self.database.shard.tokens;
        let unresolved = tokens.unresolved().is_some();
        let target = match tokens.highest() {
            Need::Unresolved => Lsn(u64::MAX),
            Need::Position(lsn) => lsn,
        };
        let mut wanted = false;
        for (watched, (last, looks)) in self.servers.iter().zip(stalls) {
            match watched.server.role() {
                Role::Primary if unresolved || urged => {
                    watched.kick.notify_one();
                    wanted = true;
                }
                Role::Replica if watched.server.replayed() < target => {
                    let replayed = watched.server.replayed();
                    *looks = if replayed == *last { looks.saturating_add(1) } else { 0 };
                    *last = replayed;
                    if *looks < STALLED || *looks % STALLED == 0 {
                        watched.kick.notify_one();
                    }
                    wanted |= *looks < STALLED;
                }
                _ => {}
            }
        }
        wanted
    }
}
