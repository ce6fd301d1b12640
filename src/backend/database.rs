//! A database as all workers share it: its servers, catalog, pools.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use tokio::sync::{Notify, mpsc};

use super::conn::Parameters;
use super::login::Identity;
use super::pool::{Offer, Pool, PoolLimits};
use super::settings::Settings;
use crate::base::limits;
use crate::catalog::Catalog;
use crate::catalog::schema::Schema;
use crate::config;
use crate::topology::{Server, Shard};

/// The sharded database of which a database is one shard.
pub struct Whole {
    /// The name that clients ask for.
    pub name: Arc<str>,
    /// Notified when a shard's schema was read anew, or is no longer believed.
    pub changed: Arc<Notify>,
}

/// Whose pool: the user that logs in, which of the database's servers, and what for.
pub type PoolKey = (Arc<str>, usize, Purpose);

/// What a pool's connections are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// What clients say.
    #[default]
    Clients,
    /// Rows that are gathered in temporary tables. Whoever has one may have one of the others, too: with one pool for
    /// both, all could wait for each other.
    Gather,
}

/// One entry of `[databases]`, or one shard of one, running.
pub struct Database {
    pub name: Arc<str>,
    whole: Option<Whole>,
    config: ArcSwap<config::Database>,
    pub shard: Shard,
    catalog: ArcSwap<Catalog>,
    /// Of a shard: its schema, as long as it is believed.
    believed: ArcSwapOption<Schema>,
    /// How often the catalog was distrusted. Held while it is replaced.
    distrusted: Mutex<u64>,
    /// Grows with every change of the catalog: plans made before are void.
    generation: AtomicU64,
    /// A session demands that the monitor look at the tokens at once.
    pub urge: Notify,
    /// The monitor shall compare the catalog at once.
    pub(super) schema: Notify,
    looks: Looks,
    /// Some session commits with `synchronous_commit = off`: the flush position doesn't cover it.
    pub asynchronous: AtomicBool,
    followed: AtomicBool,
    pools: Mutex<HashMap<PoolKey, Arc<Pool>>>,
    /// What servers report for given start-up settings, by user: roles have settings of their own.
    templates: Mutex<HashMap<String, HashMap<Arc<Settings>, Template>>>,
    offers: Arc<[mpsc::UnboundedSender<Offer>]>,
    paused: tokio::sync::watch::Sender<bool>,
    /// The same for those who needn't wait: each statement looks at it, and a look at the channel takes its lock.
    stands_still: AtomicBool,
    /// Grows when a reload changes something that sessions keep for themselves.
    epoch: AtomicU64,
    /// A reload gave its name to another database, or to none.
    replaced: AtomicBool,
    successor: Mutex<Option<Arc<Self>>>,
}

/// Counts looks at the catalog.
#[derive(Default)]
struct Looks {
    begun: AtomicU64,
    /// The last that came to its end.
    ended: tokio::sync::watch::Sender<u64>,
}

/// What a server makes of a set of start-up parameters.
#[derive(Clone, Debug)]
pub struct Template {
    pub reported: Arc<Parameters>,
    /// What it remarks on them, as messages.
    pub notices: Arc<[u8]>,
}

impl Database {
    /// `offers`: one sender a worker.
    pub fn new(config: Arc<config::Database>, offers: Arc<[mpsc::UnboundedSender<Offer>]>) -> Self {
        Self::part(config, offers, None)
    }

    /// A database that is a shard of `whole`, if there is one.
    pub fn part(
        config: Arc<config::Database>,
        offers: Arc<[mpsc::UnboundedSender<Offer>]>,
        whole: Option<Whole>,
    ) -> Self {
        let shard = config.shards.first();
        let servers = shard.map(|shard| shard.servers.as_slice()).unwrap_or_default();
        let servers: Vec<_> = servers.iter().map(|address| Arc::new(Server::new(address.clone()))).collect();
        if let ([server], None) = (servers.as_slice(), &config.service_user) {
            // Nobody can ask it, and there is no other.
            server.is_primary();
        }
        Self {
            name: config.name.as_str().into(),
            whole,
            believed: ArcSwapOption::empty(),
            shard: Shard::new(shard.map_or_else(String::new, |shard| shard.name.clone()), servers),
            config: ArcSwap::new(config),
            catalog: ArcSwap::new(Arc::new(Catalog::unknown())),
            distrusted: Mutex::default(),
            generation: AtomicU64::new(1),
            urge: Notify::new(),
            schema: Notify::new(),
            looks: Looks::default(),
            asynchronous: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            pools: Mutex::default(),
            templates: Mutex::default(),
            offers,
            paused: tokio::sync::watch::Sender::new(false),
            stands_still: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            replaced: AtomicBool::new(false),
            successor: Mutex::default(),
        }
    }

    #[inline]
    pub fn config(&self) -> Guard<Arc<config::Database>> {
        self.config.load()
    }

    #[inline]
    pub fn catalog(&self) -> Guard<Arc<Catalog>> {
        self.catalog.load()
    }

    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether it is a shard of a sharded database.
    pub fn is_shard(&self) -> bool {
        self.whole.is_some()
    }

    /// The name that its clients ask for.
    pub fn served_as(&self) -> &str {
        self.whole.as_ref().map_or(&self.name, |whole| &whole.name)
    }

    /// A shard's schema. None: it wasn't read yet, or a definition was changed since.
    pub fn believed_schema(&self) -> Option<Arc<Schema>> {
        self.believed.load_full()
    }

    /// Whether `schema` is still the one that is believed.
    #[inline]
    pub fn believes(&self, schema: &Arc<Schema>) -> bool {
        self.believed.load().as_ref().is_some_and(|believed| Arc::ptr_eq(believed, schema))
    }

    fn tell_whole(&self) {
        if let Some(whole) = &self.whole {
            whole.changed.notify_one();
        }
    }

    /// How often the catalog was distrusted: to be noted before a catalog is read, for [`Self::set_catalog`].
    pub fn distrusts(&self) -> u64 {
        *lock(&self.distrusted)
    }

    /// Puts a catalog in force that was read when [`Self::distrusts`] was `as_of`. False, and nothing done, if it has
    /// been distrusted since.
    pub fn set_catalog(&self, catalog: &Arc<Catalog>, schema: Option<&Arc<Schema>>, as_of: u64) -> bool {
        let distrusted = lock(&self.distrusted);
        if *distrusted != as_of {
            return false;
        }
        if let Some(schema) = schema.filter(|schema| !self.believes(schema)) {
            self.believed.store(Some(schema.clone()));
            self.tell_whole();
        }
        if !Arc::ptr_eq(&self.catalog.load(), catalog) {
            // The catalog first: no plan of the new generation is made with the old one.
            self.catalog.store(catalog.clone());
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        true
    }

    /// Something was committed here that may be acknowledged from now on; which tables it wrote isn't known.
    pub fn written_elsewhere(&self) {
        if self.shard.has_replicas() {
            self.shard.tokens.raise_all();
            self.urge.notify_one();
        }
    }

    /// A definition was changed and is about to be acknowledged: nothing is proven with the old catalog from here on.
    /// The monitor reads the new one at once.
    pub fn distrust_catalog(&self) {
        let mut distrusted = lock(&self.distrusted);
        *distrusted += 1;
        if self.catalog.load().is_known() {
            self.catalog.store(Arc::new(Catalog::unknown()));
        }
        if self.believed.swap(None).is_some() {
            self.tell_whole();
        }
        // Also for statements that were prepared since the last one.
        self.generation.fetch_add(1, Ordering::AcqRel);
        drop(distrusted);
        self.schema.notify_one();
    }

    /// Statements are prepared anew, and the monitor compares the catalog.
    pub fn schema_changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.schema.notify_one();
    }

    /// A look at the catalog begins. Its number, for [`Self::end_look`].
    pub(super) fn begin_look(&self) -> u64 {
        self.looks.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// What the look saw is in force.
    pub(super) fn end_look(&self, number: u64) {
        self.looks.ended.send_replace(number);
    }

    /// Asks for a look at the catalog: the last that has begun before, for [`Self::looked_since`].
    pub(super) fn ask_for_look(&self) -> u64 {
        let begun = self.looks.begun.load(Ordering::Acquire);
        self.schema.notify_one();
        begun
    }

    /// Returns when a look has ended that began after the one of this number.
    pub(super) async fn looked_since(&self, number: u64) {
        // The sender lives as long as `self`.
        let _ = self.looks.ended.subscribe().wait_for(|ended| *ended > number).await;
    }

    /// True once: the caller has the catalog followed, where no service user does.
    pub fn needs_follower(&self) -> bool {
        self.config.load().service_user.is_none() && !self.followed.swap(true, Ordering::AcqRel)
    }

    /// Who followed it can't any more: the next client that logs in takes over.
    pub fn lost_follower(&self) {
        self.followed.store(false, Ordering::Release);
    }

    /// No new work is begun while this is true.
    pub fn paused(&self) -> tokio::sync::watch::Receiver<bool> {
        self.paused.subscribe()
    }

    #[inline]
    pub fn is_paused(&self) -> bool {
        self.stands_still.load(Ordering::Acquire)
    }

    pub fn set_paused(&self, paused: bool) {
        self.paused.send_modify(|held| {
            *held = paused;
            self.stands_still.store(paused, Ordering::Release);
        });
    }

    /// The pool of `identity`'s user at the server with this index.
    pub fn pool(
        &self,
        identity: &Arc<Identity>,
        (server, purpose): (usize, Purpose),
        limits: &Arc<PoolLimits>,
    ) -> Option<Arc<Pool>> {
        let at = self.shard.servers.get(server)?;
        let mut pools = lock(&self.pools);
        let user: Arc<str> = identity.user.as_str().into();
        let pool = pools.entry((user, server, purpose)).or_insert_with(|| {
            let name = self.name.clone();
            Arc::new(Pool::new(name, at.clone(), identity.clone(), (purpose, limits.clone()), self.offers.clone()))
        });
        pool.set_identity(identity);
        if self.is_replaced() {
            pool.close();
        }
        Some(pool.clone())
    }

    /// All pools there are.
    pub fn pools(&self) -> Vec<Arc<Pool>> {
        lock(&self.pools).values().cloned().collect()
    }

    /// What a server reported when this user's start-up settings were put in force.
    pub fn template(&self, user: &str, settings: &Settings) -> Option<(Arc<Settings>, Template)> {
        let templates = lock(&self.templates);
        let (settings, template) = templates.get(user)?.get_key_value(settings)?;
        Some((settings.clone(), template.clone()))
    }

    pub fn set_template(&self, user: &str, settings: Arc<Settings>, template: Template) {
        let mut templates = lock(&self.templates);
        if templates.values().map(HashMap::len).sum::<usize>() >= limits::STARTUP_TEMPLATES {
            templates.clear();
        }
        templates.entry(user.to_owned()).or_default().insert(settings, template);
    }

    pub fn clear_templates(&self) {
        lock(&self.templates).clear();
    }

    /// Applies what a reload may change in a running database.
    pub fn reconfigure(&self, config: Arc<config::Database>) {
        self.config.store(config);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// A reload gave the name to another database, or to none: sessions go over to it between transactions.
    pub fn replace(&self, successor: Option<Arc<Self>>) {
        if let Some(next) = &successor {
            // What sessions remember of the schema here isn't taken for what is there.
            next.generation.fetch_max(self.generation() + 1, Ordering::AcqRel);
        }
        *lock(&self.successor) = successor;
        self.replaced.store(true, Ordering::Release);
        self.pools().iter().for_each(|pool| pool.close());
        self.epoch.fetch_add(1, Ordering::AcqRel);
        // Whoever waits for the end of a pause looks again, and waits with the successor.
        self.set_paused(false);
    }

    /// No new work may begin here.
    #[inline]
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// What came in its place. None: nothing did, or it is gone for good ([`Self::is_replaced`]).
    pub fn successor(&self) -> Option<Arc<Self>> {
        lock(&self.successor).clone()
    }

    /// Sessions that remember another one look at the configuration anew.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// `max_lag` in microseconds.
    #[inline]
    pub fn max_lag_micros(&self) -> u64 {
        micros(self.config.load().replicas.max_lag)
    }
}

/// The limits of a user's pools in this database.
pub fn pool_limits(database: &config::Database, user: Option<&config::User>, purpose: Purpose) -> PoolLimits {
    let pool = &database.pool;
    let (size, min_size) = match purpose {
        Purpose::Clients => (user.and_then(|user| user.pool_size).unwrap_or(pool.size), pool.min_size),
        Purpose::Gather => (database.gather.connections, 0),
    };
    PoolLimits {
        size,
        min_size,
        wait: pool.wait,
        max_waiting: pool.max_waiting,
        idle_timeout: pool.idle_timeout,
        max_lifetime: pool.max_lifetime,
        connect_timeout: pool.connect_timeout,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
