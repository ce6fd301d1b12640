//! What a session finds on its worker: pools, plans, spare buffers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;

use super::coordinator::LocalSharded;
use super::familiar::{Familiar, Manner};
use super::link::Spare;
use crate::backend::conn::Parameters;
use crate::backend::database::{PoolKey, Purpose, pool_limits};
use crate::backend::login::Identity;
use crate::backend::statements::Registry;
use crate::backend::{Database, LocalPool, ShardedDatabase};
use crate::base::limits;
use crate::config::User;
use crate::plan::{self, Plan};
use crate::sql::fingerprint::{FingerprintKey, fingerprint};
use crate::telemetry::{PoolLabels, SessionMetrics, Telemetry};
use crate::wire::Buffer;

/// One worker, as its sessions see it.
pub struct Worker {
    pub number: usize,
    pub telemetry: Telemetry,
    pub metrics: Arc<SessionMetrics>,
    pub registry: Arc<Registry>,
    pub key: FingerprintKey,
    buffers: RefCell<Vec<Buffer>>,
    spares: RefCell<Vec<Spare>>,
    /// What the server that was met last reports.
    reported: RefCell<Arc<Parameters>>,
    databases: RefCell<HashMap<Arc<str>, Rc<LocalDatabase>>>,
    sharded: RefCell<HashMap<Arc<str>, Rc<LocalSharded>>>,
    next: Cell<u64>,
    /// One moment by the clock, and of Unix time.
    began: (Instant, Duration),
}

impl Worker {
    pub fn new(number: usize, telemetry: Telemetry, registry: Arc<Registry>, key: FingerprintKey) -> Self {
        Self {
            number,
            metrics: telemetry.sessions(),
            telemetry,
            registry,
            key,
            buffers: RefCell::default(),
            spares: RefCell::default(),
            reported: RefCell::default(),
            databases: RefCell::default(),
            sharded: RefCell::default(),
            next: Cell::new(1),
            began: (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
        }
    }

    /// Microseconds of Unix time.
    #[inline]
    pub(super) fn unix_micros(&self, at: Instant) -> u64 {
        (self.began.1 + at.saturating_duration_since(self.began.0)).as_micros() as u64
    }

    /// A number that no other call in this process gives.
    pub fn unique(&self) -> u64 {
        let next = self.next.get();
        self.next.set(next + 1);
        next << 10 | self.number as u64
    }

    pub fn take_buffer(&self) -> Buffer {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Buffer::new(limits::RELAY_BUFFER))
    }

    /// Keeps the buffer for the next session that needs one; not one that had to grow.
    pub fn give_buffer(&self, mut buffer: Buffer) {
        let mut buffers = self.buffers.borrow_mut();
        if buffer.capacity() <= limits::RELAY_BUFFER && buffers.len() < limits::SPARE_BUFFERS {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// What the link before allocated.
    #[inline]
    pub(super) fn take_spare(&self) -> Spare {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    #[inline]
    pub(super) fn give_spare(&self, spare: Spare) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < limits::SPARE_BUFFERS {
            spares.extend(spare.kept());
        }
    }

    /// A list of reported parameters that this one is equal to: the same for all sessions that come after one another.
    pub(super) fn one_for_all(&self, reported: &Arc<Parameters>) -> Arc<Parameters> {
        let mut known = self.reported.borrow_mut();
        if **known != **reported {
            *known = reported.clone();
        }
        known.clone()
    }

    /// The worker's side of a database; a new one where the database was replaced (reload).
    pub fn database(&self, shared: &Arc<Database>) -> Rc<LocalDatabase> {
        let mut databases = self.databases.borrow_mut();
        if let Some(local) = databases.get(&shared.name).filter(|local| Arc::ptr_eq(&local.shared, shared)) {
            return local.clone();
        }
        let local = Rc::new(LocalDatabase {
            shared: shared.clone(),
            plans: RefCell::default(),
            pools: RefCell::default(),
            worker: self.number,
        });
        if let Some(old) = databases.insert(shared.name.clone(), local.clone()) {
            old.each_pool(|pool| pool.clear());
        }
        local
    }

    /// The worker's side of a sharded database.
    pub(super) fn sharded(&self, shared: &Arc<ShardedDatabase>) -> Rc<LocalSharded> {
        let mut sharded = self.sharded.borrow_mut();
        if let Some(local) = sharded.get(&shared.name).filter(|local| Arc::ptr_eq(&local.shared, shared)) {
            return local.clone();
        }
        let local = Rc::new(LocalSharded::new(shared.clone()));
        sharded.insert(shared.name.clone(), local.clone());
        local
    }

    /// Closes sessions that sharded databases don't need any more. To be called every second or so.
    pub fn tend_sharded(&self) {
        self.sharded.borrow().values().for_each(|local| local.gates.tend());
    }

    /// Closes the idle connections of databases that aren't wanted any more.
    pub fn keep_databases(&self, wanted: impl Fn(&Arc<Database>) -> bool) {
        self.databases.borrow_mut().retain(|_, local| {
            let keep = wanted(&local.shared);
            if !keep {
                local.each_pool(|pool| pool.clear());
            }
            keep
        });
    }

    pub fn databases(&self) -> Vec<Rc<LocalDatabase>> {
        self.databases.borrow().values().cloned().collect()
    }
}

/// A database on one worker.
pub struct LocalDatabase {
    pub shared: Arc<Database>,
    plans: RefCell<PlanCache>,
    pools: RefCell<FxHashMap<PoolKey, Rc<LocalPool>>>,
    worker: usize,
}

#[derive(Default)]
struct PlanCache {
    generation: u64,
    plans: FxHashMap<u128, Rc<Plan>>,
    familiar: Familiar<Rc<Plan>>,
}

/// Settings on which the meaning of a statement's text hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub search_path_is_default: bool,
    pub standard_strings: bool,
}

impl Reading {
    fn manner(self) -> Manner {
        Manner { number: u64::from(self.search_path_is_default), standard_strings: self.standard_strings }
    }
}

impl LocalDatabase {
    /// The plan of a query string, from the cache where its fingerprint is known.
    #[inline]
    pub fn plan(&self, sql: &[u8], reading: Reading, key: &FingerprintKey) -> Rc<Plan> {
        let generation = self.shared.generation();
        {
            let cache = self.plans.borrow();
            if cache.generation == generation
                && let Some((plan, _)) = cache.familiar.find(sql, reading.manner())
            {
                return plan.clone();
            }
        }
        self.plan_by_print(sql, reading, key, generation)
    }

    fn plan_by_print(&self, sql: &[u8], reading: Reading, key: &FingerprintKey, generation: u64) -> Rc<Plan> {
        let Some(print) = fingerprint(sql, key, reading.standard_strings) else {
            return Rc::new(self.plan_anew(sql, reading));
        };
        // Nothing that the key leaves out may change the plan: the settings go into it.
        let print = print ^ u128::from(reading.search_path_is_default) ^ (u128::from(reading.standard_strings) << 1);
        let mut cache = self.plans.borrow_mut();
        if cache.generation != generation {
            *cache = PlanCache { generation, ..PlanCache::default() };
        }
        if let Some(plan) = cache.plans.get(&print).cloned() {
            cache.familiar.note(sql, reading.manner(), |_| Some(plan.clone()));
            return plan;
        }
        let plan = Rc::new(self.plan_anew(sql, reading));
        if cache.plans.len() >= limits::PLAN_CACHE {
            cache.plans.clear();
        }
        cache.plans.insert(print, plan.clone());
        plan
    }

    fn plan_anew(&self, sql: &[u8], reading: Reading) -> Plan {
        let catalog = self.shared.catalog();
        plan::plan(
            sql,
            &plan::Context {
                catalog: &catalog,
                search_path_is_default: reading.search_path_is_default,
                standard_conforming_strings: reading.standard_strings,
            },
        )
    }

    /// This worker's pool of `identity`'s user at a server.
    pub fn pool(
        &self,
        worker: &Worker,
        identity: &Arc<Identity>,
        user: Option<&User>,
        (server, purpose): (usize, Purpose),
    ) -> Option<Rc<LocalPool>> {
        let name: Arc<str> = identity.user.as_str().into();
        if let Some(pool) = self.pools.borrow().get(&(name.clone(), server, purpose)) {
            pool.shared.set_identity(identity);
            return Some(pool.clone());
        }
        let limits = Arc::new(pool_limits(&self.shared.config(), user, purpose));
        let shared = self.shared.pool(identity, (server, purpose), &limits)?;
        let labels = PoolLabels {
            database: self.shared.name.clone(),
            user: name.clone(),
            server: shared.server.address.to_string().into(),
        };
        let pool = Rc::new(LocalPool::new(shared, worker.telemetry.pool(labels), self.worker));
        self.pools.borrow_mut().insert((name, server, purpose), pool.clone());
        Some(pool)
    }

    pub fn each_pool(&self, mut f: impl FnMut(&Rc<LocalPool>)) {
        let pools: Vec<_> = self.pools.borrow().values().cloned().collect();
        pools.iter().for_each(&mut f);
    }

    pub fn pools(&self) -> Vec<Rc<LocalPool>> {
        self.pools.borrow().values().cloned().collect()
    }
}
