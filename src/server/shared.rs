//! What all threads of one proxy share.

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, watch};

use super::build::{self, Built};
use crate::backend::statements::Registry;
use crate::backend::{Database, ShardedDatabase};
use crate::backend::{Offer, cancel};
use crate::base::{PgError, Secret, SqlState, limits};
use crate::config::Config;
use crate::net::Detached;
use crate::server::seats::{Seats, Taken};
use crate::session::Client;
use crate::session::accept::{AcceptSettings, NewClient};
use crate::telemetry::Telemetry;

/// Stored passwords by user and database, with the moment at which they were looked up.
type Passwords = HashMap<(String, String), (Instant, Option<Secret>)>;

/// One running proxy. Nothing of it is global: two can run in one process.
pub struct Shared {
    pub config: ArcSwap<Config>,
    pub accept: ArcSwap<AcceptSettings>,
    /// By name; the shards of a sharded database by `name/shard`.
    pub databases: ArcSwap<HashMap<String, Arc<Database>>>,
    /// Those whose statements need a plan over shards.
    pub sharded: ArcSwap<HashMap<String, Arc<ShardedDatabase>>>,
    pub telemetry: Telemetry,
    pub registry: Arc<Registry>,
    /// Keys of fingerprints: not to be guessed from outside.
    pub fingerprint_seed: u128,
    pub(super) clients: Mutex<HashMap<i32, Arc<Client>>>,
    pub(super) passwords: Mutex<Passwords>,
    pub(super) offers: Arc<[mpsc::UnboundedSender<Offer>]>,
    pub(super) mail: Vec<mpsc::UnboundedSender<Mail>>,
    pub(super) seats: Seats,
    pub(super) stage: watch::Sender<Stage>,
    /// How the configuration is read again, if it can be.
    pub(super) origin: Option<Origin>,
    /// Held by whoever reloads.
    pub(super) reloading: Mutex<()>,
    /// Counts reloads.
    pub(super) reloaded: watch::Sender<u64>,
    /// What the console asked for.
    pub(super) ending: watch::Sender<Option<Ending>>,
    /// Numbers of server connections in the console.
    pub(super) numbers: AtomicU32,
    random: SystemRandom,
}

/// Where the configuration comes from.
pub struct Origin {
    /// Reads it again; else every mistake with its place.
    pub load: Box<dyn Fn() -> Result<Config, Vec<String>> + Send + Sync>,
    /// Told what is in force from now on (the log's level).
    pub applied: Box<dyn Fn(&Config) + Send + Sync>,
}

/// How the console asked the proxy to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Once running transactions have ended.
    Drained,
    Now,
}

/// How far a proxy is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Serving,
    /// No new clients; those that are in a transaction may end it.
    Draining,
    /// At once.
    Stopped,
}

/// What a worker is told.
#[derive(Debug)]
pub enum Mail {
    /// A client that came in elsewhere, and its place here.
    Client(Detached, Taken),
    /// The configuration changed: databases may have gone.
    Reloaded,
}

impl Shared {
    /// One sender of offers and one of mail for each worker.
    pub(super) fn new(
        config: Config,
        accept: AcceptSettings,
        offers: Arc<[mpsc::UnboundedSender<Offer>]>,
        mail: Vec<mpsc::UnboundedSender<Mail>>,
        origin: Option<Origin>,
    ) -> Result<Self, PgError> {
        let random = SystemRandom::new();
        let mut seed = [0; 16];
        random.fill(&mut seed).map_err(|_| no_randomness())?;
        let Built { databases, sharded } = build::all(&config, &offers);
        Ok(Self {
            databases: ArcSwap::from_pointee(databases),
            sharded: ArcSwap::from_pointee(sharded),
            config: ArcSwap::from_pointee(config),
            accept: ArcSwap::from_pointee(accept),
            telemetry: Telemetry::new(),
            registry: Arc::default(),
            fingerprint_seed: u128::from_ne_bytes(seed),
            clients: Mutex::default(),
            passwords: Mutex::default(),
            offers,
            seats: Seats::new(mail.len()),
            mail,
            stage: watch::Sender::new(Stage::Serving),
            origin,
            reloading: Mutex::default(),
            reloaded: watch::Sender::new(0),
            ending: watch::Sender::new(None),
            numbers: AtomicU32::new(1),
            random,
        })
    }

    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// The database whose clients ask for `name`: that of a sharded one is its home shard's.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        if let Some(sharded) = self.sharded(name) {
            return sharded.home_shard().cloned();
        }
        self.databases.load().get(name).filter(|database| !database.is_shard()).cloned()
    }

    /// The sharded database of that name, if it is one.
    pub fn sharded(&self, name: &str) -> Option<Arc<ShardedDatabase>> {
        self.sharded.load().get(name).cloned()
    }

    /// All that clients of `name` use: one database, or one a shard.
    pub fn parts(&self, name: &str) -> Vec<Arc<Database>> {
        match self.sharded(name) {
            Some(sharded) => sharded.shards.clone(),
            None => self.database(name).into_iter().collect(),
        }
    }

    /// All clients that have authenticated.
    pub fn clients(&self) -> Vec<Arc<Client>> {
        lock(&self.clients).values().cloned().collect()
    }

    pub fn client_count(&self) -> usize {
        lock(&self.clients).len()
    }

    /// Gives a client its process id and cancel key, and lists it.
    ///
    /// # Errors
    /// 53300 where `max_clients` are there already.
    pub(super) fn enlist(&self, new: &NewClient) -> Result<Arc<Client>, PgError> {
        let config = self.config.load();
        let mut clients = lock(&self.clients);
        if clients.len() >= config.server.max_clients {
            return Err(too_many_clients(config.server.max_clients));
        }
        if let Some(most) = config.users.get(&new.user).and_then(|user| user.max_clients) {
            let here = clients.values().filter(|client| client.user == new.user).count();
            if here >= most {
                return Err(too_many_of_user(&new.user, most));
            }
        }
        let (process_id, key) = loop {
            let (id, key) = self.cancel_key(new.minor)?;
            if !clients.contains_key(&id) {
                break (id, key);
            }
        };
        let client = Arc::new(Client::new(process_id, key, new));
        clients.insert(process_id, client.clone());
        Ok(client)
    }

    /// A process id that no server has, and a key.
    pub(super) fn cancel_key(&self, minor: u16) -> Result<(i32, Vec<u8>), PgError> {
        let mut key = vec![0; if minor >= 2 { limits::CANCEL_KEY } else { 4 }];
        self.random.fill(&mut key).map_err(|_| no_randomness())?;
        loop {
            let mut id = [0; 4];
            self.random.fill(&mut id).map_err(|_| no_randomness())?;
            let id = i32::from_be_bytes(id) & i32::MAX;
            if id > limits::PROCESS_ID {
                return Ok((id, key));
            }
        }
    }

    pub(super) fn delist(&self, client: &Client) {
        lock(&self.clients).remove(&client.process_id);
    }

    /// Passes a cancel request on, if its key is right. Says nothing either way, as PostgreSQL does.
    pub(super) async fn cancel(&self, process_id: i32, key: &[u8]) {
        let client = lock(&self.clients).get(&process_id).cloned();
        let Some(client) = client.filter(|client| constant_time_eq(&client.key, key)) else { return };
        for (target, threat) in client.cancel_all() {
            let address = &target.server.address;
            let result = cancel::cancel(address, target.process_id, &target.key, limits::CANCEL_TIMEOUT).await;
            drop(threat);
            if let Err(error) = result {
                tracing::warn!(server = %address, "cancel request failed: {error}");
            }
        }
    }

    /// Every client ends as soon as it is outside a transaction.
    pub(super) fn end_clients(&self) {
        for client in self.clients() {
            client.end();
        }
    }
}

fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (x, y)| different | (x ^ y)) == 0
}

fn too_many_clients(most: usize) -> PgError {
    PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
        .detail(format!("max_clients = {most}"))
        .hint("Raise server.max_clients, or let idle clients go.")
}

fn too_many_of_user(user: &str, most: usize) -> PgError {
    PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, format!("too many connections for role \"{user}\""))
        .detail(format!("max_clients = {most}"))
        .hint(format!("Raise users.{user}.max_clients, or let idle clients go."))
}

fn no_randomness() -> PgError {
    PgError::fatal(SqlState::INTERNAL_ERROR, "the system gives no random numbers")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
