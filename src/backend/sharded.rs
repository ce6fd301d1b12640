//! A sharded database as all workers share it: its shards, and the view of schema and placement that plans are made by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, watch};

use super::gates::Gates;
use super::memory::Memory;
use super::waits::Waits;
use super::{Commits, Database};
use crate::base::{PgError, SqlState, limits};
use crate::catalog::Difference;
use crate::catalog::schema::{Oid, Schema};
use crate::config;
use crate::topology::placement::{Placement, ShardIndex};

/// One entry of `[databases]` with several shards, or with tables that are placed, running.
pub struct ShardedDatabase {
    /// What clients ask for.
    pub name: Arc<str>,
    pub config: Arc<config::Database>,
    /// In the configuration's order.
    pub shards: Vec<Arc<Database>>,
    pub home: ShardIndex,
    /// Transactions over several of the shards.
    pub commits: Arc<Commits>,
    /// What readers of several shards keep them out by.
    pub gates: Gates,
    /// Those of them that wait for locks.
    pub waits: Arc<Waits>,
    /// Rows that statements collect.
    pub memory: Arc<Memory>,
    /// The shard whose primary has temporary tables for them.
    pub gather_on: ShardIndex,
    /// A shard's schema was read anew, or isn't believed any more.
    pub(super) changed: Arc<Notify>,
    standing: ArcSwap<Standing>,
    /// Counts what `standing` was.
    turns: watch::Sender<u64>,
    generation: AtomicU64,
    /// Counts what transactions that changed definitions plan by.
    own_generation: AtomicU64,
    /// Statements may place tables.
    places: AtomicBool,
}

/// Generations of transactions that have changed definitions are all beyond this.
const OWN: u64 = 1 << 63;

/// Whether statements can be planned.
enum Standing {
    /// Not yet: why.
    Starting(String),
    Ready(Arc<View>),
    /// Configuration, map and rows disagree: every client is told so.
    Refused(PgError),
}

/// What plans are made by, as of one moment.
pub struct View {
    /// Grows with every change: plans of another generation are void.
    pub generation: u64,
    pub placement: Arc<Placement>,
    /// The configuration, with the tables that statements declared.
    pub config: Arc<config::Database>,
    /// The home shard's schema: its OIDs are the canonical ones.
    pub schema: Arc<Schema>,
    /// For each shard, OIDs of its types that have another OID on the home shard, with that one.
    pub types: Vec<FxHashMap<Oid, Oid>>,
    /// The other way: OIDs on the home shard, with the shard's own.
    pub types_there: Vec<FxHashMap<Oid, Oid>>,
    /// In what shards differ from the home shard, and tables that can't be placed as the configuration says.
    pub differences: Vec<Difference>,
    /// Each shard's schema, as it was when this was made.
    pub read: Vec<Arc<Schema>>,
}

impl View {
    /// Why no statement may touch this relation, if so.
    pub fn trouble(&self, schema: &str, name: &str) -> Option<&Difference> {
        let touches =
            |difference: &&Difference| difference.relation.as_ref().is_some_and(|(s, n)| s == schema && n == name);
        self.differences.iter().find(touches)
    }

    /// Why no statement may take rows of several shards together, if so.
    pub fn whole_trouble(&self) -> Option<&Difference> {
        self.differences.iter().find(|difference| difference.whole)
    }
}

/// The pairs turned round.
pub(super) fn turned(types: &[FxHashMap<Oid, Oid>]) -> Vec<FxHashMap<Oid, Oid>> {
    types.iter().map(|types| types.iter().map(|(there, home)| (*home, *there)).collect()).collect()
}

/// A refusal's words for a relation that isn't the same on all shards.
pub fn differs(difference: &Difference) -> PgError {
    let text = match &difference.relation {
        Some((schema, name)) => format!("the table {schema}.{name} isn't the same on all shards"),
        None => "the shards aren't the same".to_owned(),
    };
    PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text)
        .detail(difference.to_string())
        .hint("Make the schema the same on all shards; `pgbraid check` lists every difference.")
}

impl ShardedDatabase {
    /// `shards`: one database a shard of `config`, in its order; they notify `changed`.
    pub fn new(config: Arc<config::Database>, shards: Vec<Arc<Database>>, changed: Arc<Notify>) -> Self {
        let home = config.shards.iter().position(|shard| shard.name == config.home_shard()).unwrap_or(0);
        let gather_on = config.shards.iter().position(|shard| config.gather.on.as_ref() == Some(&shard.name));
        let memory = Arc::new(Memory::new(&config.gather));
        Self {
            name: config.name.as_str().into(),
            config,
            shards,
            home,
            commits: Arc::default(),
            gates: Gates::default(),
            waits: Arc::default(),
            memory,
            gather_on: gather_on.unwrap_or(home),
            changed,
            standing: ArcSwap::from_pointee(Standing::Starting("it has just been started".to_owned())),
            turns: watch::Sender::new(0),
            generation: AtomicU64::new(0),
            own_generation: AtomicU64::new(OWN),
            places: AtomicBool::new(false),
        }
    }

    /// The generation of what one transaction sees that has changed definitions.
    pub fn next_own_generation(&self) -> u64 {
        self.own_generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether the stored placement may be read and changed by those who define tables.
    pub fn statements_place(&self) -> bool {
        self.places.load(Ordering::Acquire)
    }

    pub(super) fn let_statements_place(&self, places: bool) {
        self.places.store(places, Ordering::Release);
    }

    /// A definition was changed on all shards, and is about to be acknowledged.
    pub fn distrust(&self) {
        self.shards.iter().for_each(|shard| shard.distrust_catalog());
    }

    /// The home shard.
    pub fn home_shard(&self) -> Option<&Arc<Database>> {
        self.shards.get(self.home)
    }

    /// What to plan by now.
    ///
    /// # Errors
    /// 57P03 until placement and schemas are known, and for the moment after a definition was changed; 55000 where
    /// configuration, map and rows disagree.
    #[inline]
    pub fn view(&self) -> Result<Arc<View>, PgError> {
        match &**self.standing.load() {
            Standing::Ready(view) if self.is_current(view) => Ok(view.clone()),
            Standing::Ready(_) => Err(self.not_yet("a definition was changed, and the schema is being read")),
            Standing::Starting(why) => Err(self.not_yet(why)),
            Standing::Refused(error) => Err(error.clone()),
        }
    }

    /// The same, after waiting until it is known, for as long as a connection may take.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn settled(&self) -> Result<Arc<View>, PgError> {
        let mut turns = self.turns.subscribe();
        let settled = async {
            loop {
                turns.mark_unchanged();
                match self.view() {
                    Err(error) if error.code() == SqlState::CANNOT_CONNECT_NOW => {}
                    settled => return settled,
                }
                if turns.changed().await.is_err() {
                    return self.view();
                }
            }
        };
        tokio::time::timeout(self.config.pool.connect_timeout, settled).await.unwrap_or_else(|_| self.view())
    }

    /// What to plan by once all shards were looked at again: also by what others than this proxy have defined until now.
    /// `None`: not all could be, within [`limits::LOOK_AGAIN`].
    pub async fn looked_at(&self) -> Option<Arc<View>> {
        let asked: Vec<u64> = self.shards.iter().map(|shard| shard.ask_for_look()).collect();
        let looked = async {
            for (shard, number) in self.shards.iter().zip(asked) {
                shard.looked_since(number).await;
            }
            self.settled().await.ok()
        };
        tokio::time::timeout(limits::LOOK_AGAIN, looked).await.ok().flatten()
    }

    fn is_current(&self, view: &View) -> bool {
        view.read.iter().zip(&self.shards).all(|(read, shard)| shard.believes(read))
    }

    fn not_yet(&self, why: &str) -> PgError {
        PgError::error(SqlState::CANNOT_CONNECT_NOW, format!("the database \"{}\" isn't ready: {why}", self.name))
            .hint("Try again in a moment; the log tells what is missing.")
    }

    /// What its shards notify.
    pub fn notified_of_changes(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// The view's generation.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The last view that was in force, current or not.
    pub fn last_view(&self) -> Option<Arc<View>> {
        match &**self.standing.load() {
            Standing::Ready(view) => Some(view.clone()),
            _ => None,
        }
    }

    pub(super) fn put_in_force(&self, view: View) {
        self.stand(Standing::Ready(Arc::new(view)));
    }

    pub(super) fn refuse(&self, error: PgError) {
        self.stand(Standing::Refused(error));
    }

    pub(super) fn wait_for(&self, why: String) {
        self.stand(Standing::Starting(why));
    }

    pub(super) fn say_current(&self) {
        self.turns.send_modify(|turns| *turns += 1);
    }

    fn stand(&self, standing: Standing) {
        self.standing.store(Arc::new(standing));
        self.say_current();
    }
}
