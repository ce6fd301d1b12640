//! A worker's share of a pool: its idle connections, checkout and return.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conn::{CancelTarget, ServerConn, set_parameter};
use super::login::{LoginError, login};
use super::pool::{Handover, Place, Pool};
use super::settings::{self, Settings};
use crate::base::{PgError, SqlState};
use crate::telemetry::PoolMetrics;

/// How many idle connections are looked at for one with the right settings.
const LOOK_AT: usize = 8;

/// One worker's idle connections of one pool.
pub struct LocalPool {
    pub shared: Arc<Pool>,
    pub metrics: Arc<PoolMetrics>,
    worker: usize,
    idle: RefCell<Vec<(Box<ServerConn>, usize)>>,
}

impl LocalPool {
    pub fn new(shared: Arc<Pool>, metrics: Arc<PoolMetrics>, worker: usize) -> Self {
        Self { shared, metrics, worker, idle: RefCell::default() }
    }

    /// An idle connection of this worker, best one that has the settings `want`. No lock, no system call. `None`: go
    /// and wait in [`Self::checkout`]; also when others wait already, for they came first.
    #[inline]
    pub fn try_checkout(&self, want: &Arc<Settings>) -> Option<Box<ServerConn>> {
        if self.shared.waiting() > 0 {
            return None;
        }
        self.pop_idle(want)
    }

    fn pop_idle(&self, want: &Arc<Settings>) -> Option<Box<ServerConn>> {
        let era = self.shared.era();
        loop {
            let mut idle = self.idle.borrow_mut();
            let newest = idle.len().checked_sub(1)?;
            let oldest = idle.len().saturating_sub(LOOK_AT);
            let fits = |at: &usize| idle.get(*at).is_some_and(|(conn, _)| settings::same(&conn.settings, want));
            let at = (oldest..=newest).rev().find(fits).unwrap_or(newest);
            let (mut conn, conn_era) = idle.swap_remove(at);
            self.shared.set_idle(self.worker, idle.len());
            self.metrics.idle.set(idle.len() as i64);
            drop(idle);
            if conn_era == era && conn.is_usable() {
                return Some(conn);
            }
        }
    }

    /// A connection: an idle one, a new one if the limit allows it, else the next that comes free.
    ///
    /// # Errors
    /// The server's own words where it refuses the login; 08006 where it can't be reached in `connect_timeout`;
    /// 57014 after waiting `pool_wait`; 53300 where too many wait already. One that isn't `patient` tries only once.
    pub async fn checkout(&self, want: &Arc<Settings>, patient: bool) -> Result<Box<ServerConn>, PgError> {
        let limits = self.shared.limits();
        let started = Instant::now();
        loop {
            if let Some(conn) = self.try_checkout(want) {
                return Ok(conn);
            }
            let place = if self.shared.waiting() == 0 { self.shared.reserve() } else { None };
            let handover = match place {
                Some(place) => Handover::Place(place),
                None => {
                    if limits.max_waiting > 0 && self.shared.waiting() >= limits.max_waiting {
                        return Err(self.too_many_waiting(limits.max_waiting));
                    }
                    let left = limits.wait.saturating_sub(started.elapsed());
                    self.wait_in_queue(left).await.ok_or_else(|| self.waited_too_long(limits.wait))?
                }
            };
            match handover {
                Handover::Connection(conn, from) => {
                    if let Some(conn) = self.adopt(conn, from) {
                        return Ok(conn);
                    }
                }
                Handover::Place(place) => {
                    match self.connect(place, limits.connect_timeout).await {
                        Ok(conn) => return Ok(conn),
                        Err(LoginError::Rejected(error)) => return Err(error),
                        Err(LoginError::Unreachable(error))
                            if !patient || started.elapsed() >= limits.connect_timeout =>
                        {
                            return Err(error.into_error());
                        }
                        // It may be restarting: wait, and look at what others found meanwhile.
                        Err(LoginError::Unreachable(_)) => self.back_off(started + limits.connect_timeout).await,
                    }
                }
            }
        }
    }

    async fn wait_in_queue(&self, left: Duration) -> Option<Handover> {
        let receiver = self.shared.enqueue(self.worker);
        self.answer_offer();
        self.metrics.waiting.add(1);
        let answer = tokio::time::timeout(left, receiver).await;
        self.metrics.waiting.add(-1);
        match answer {
            Ok(Ok(handover)) => Some(handover),
            _ => {
                self.shared.sweep();
                None
            }
        }
    }

    async fn back_off(&self, until: Instant) {
        if let Some(not_before) = self.shared.not_before() {
            tokio::time::sleep_until(not_before.min(until).into()).await;
        }
    }

    /// Logs in at the server.
    async fn connect(&self, place: Place, timeout: Duration) -> Result<Box<ServerConn>, LoginError> {
        let pool = &self.shared;
        match login(&pool.server.address, &pool.identity(), &[], timeout).await {
            Ok(login) => {
                pool.connect_worked();
                self.metrics.connects.inc();
                let mut reported = Vec::new();
                for (name, value) in login.parameters {
                    set_parameter(&mut reported, name, value);
                }
                let target = CancelTarget::new(pool.server.clone(), login.process_id, login.secret_key);
                let expires = Instant::now() + jittered(pool.limits().max_lifetime, login.process_id);
                place.used();
                Ok(Box::new(ServerConn::new(login.stream, target, reported, pool.clone(), expires)))
            }
            Err(error) => {
                self.metrics.connect_failures.inc();
                if matches!(error, LoginError::Unreachable(_)) {
                    pool.connect_failed();
                }
                drop(place);
                Err(error)
            }
        }
    }

    /// Takes over a connection that another worker gave.
    fn adopt(&self, conn: Box<ServerConn>, from: usize) -> Option<Box<ServerConn>> {
        if from == self.worker {
            return Some(conn);
        }
        conn.move_here().ok().map(Box::new)
    }

    /// Takes a connection back. It must be clean: nothing in flight, no transaction, nothing of the session's left on
    /// it but settings and prepared statements that it knows of.
    pub fn checkin(&self, conn: Box<ServerConn>) {
        self.checkin_at(conn, Instant::now());
    }

    /// The same where the time is known.
    #[inline]
    pub fn checkin_at(&self, mut conn: Box<ServerConn>, now: Instant) {
        if conn.is_outdated() {
            return;
        }
        if self.shared.waiting() > 0 {
            match self.shared.hand_over(Handover::Connection(conn, self.worker)) {
                None => return,
                Some(Handover::Connection(back, _)) => conn = back,
                Some(Handover::Place(_)) => return,
            }
        }
        let over = self.shared.open() > self.shared.limits().size;
        if now >= conn.expires || over {
            return;
        }
        conn.idle_since = now;
        let mut idle = self.idle.borrow_mut();
        idle.push((conn, self.shared.era()));
        self.shared.set_idle(self.worker, idle.len());
        self.metrics.idle.set(idle.len() as i64);
        drop(idle);
        // Who joined the queue while we looked away didn't see this connection, nor we them.
        if self.shared.somebody_waits() {
            self.answer_offer();
        }
    }

    /// Somebody waits: give up an idle connection to whoever is first.
    pub fn answer_offer(&self) {
        while !self.idle.borrow().is_empty() && self.shared.waiting() > 0 {
            let Some(conn) = self.pop_idle(&Arc::default()) else { return };
            if let Some(Handover::Connection(conn, _)) = self.shared.hand_over(Handover::Connection(conn, self.worker))
            {
                // They have gone: back to where it was. Who comes now finds it or is seen by the loop.
                let mut idle = self.idle.borrow_mut();
                idle.push((conn, self.shared.era()));
                self.shared.set_idle(self.worker, idle.len());
                drop(idle);
                if !self.shared.somebody_waits() {
                    return;
                }
            }
        }
    }

    /// Closes what has been idle too long, is too old, or was closed by the server. To be called every second or so.
    pub fn tend(&self) {
        let limits = self.shared.limits();
        let era = self.shared.era();
        let now = Instant::now();
        let mut spare = self.shared.open().saturating_sub(limits.min_size);
        let mut idle = self.idle.borrow_mut();
        let all = std::mem::take(&mut *idle);
        let mut closing = Vec::new();
        for (mut conn, conn_era) in all {
            let idle_for = now.saturating_duration_since(conn.idle_since);
            let tired = idle_for >= jittered(limits.idle_timeout, conn.cancel.process_id) && spare > 0;
            if tired || now >= conn.expires || conn_era != era || !conn.is_usable() {
                spare = spare.saturating_sub(1);
                closing.push(conn);
            } else {
                idle.push((conn, conn_era));
            }
        }
        self.shared.set_idle(self.worker, idle.len());
        self.metrics.idle.set(idle.len() as i64);
        drop(idle);
        drop(closing);
        self.shared.sweep();
        self.answer_offer();
    }

    /// Opens one connection if there are fewer than the minimum. Errors show in the metrics and to the next client.
    pub async fn fill(&self) {
        let limits = self.shared.limits();
        if self.shared.open() < limits.min_size
            && self.shared.not_before().is_none_or(|at| at <= Instant::now())
            && let Some(place) = self.shared.reserve()
            && let Ok(conn) = self.connect(place, limits.connect_timeout).await
        {
            self.checkin(conn);
        }
    }

    /// Closes all idle connections.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.idle.borrow_mut());
        self.shared.set_idle(self.worker, 0);
        self.metrics.idle.set(0);
        drop(all);
    }

    /// Looks at each idle connection of this worker.
    pub fn each_idle(&self, mut look: impl FnMut(&ServerConn)) {
        self.idle.borrow().iter().for_each(|(conn, _)| look(conn));
    }

    fn too_many_waiting(&self, max: usize) -> PgError {
        let text = format!(
            "no more clients can wait for a connection to {} as {} (max_waiting = {max})",
            self.shared.server.address, self.shared.user
        );
        PgError::error(SqlState::TOO_MANY_CONNECTIONS, text)
            .hint("Raise pool_size or max_waiting, or look at what holds the connections: SHOW CLIENTS in the console.")
    }

    fn waited_too_long(&self, wait: Duration) -> PgError {
        let text = format!(
            "query_wait_timeout: no connection to {} as {} came free in {:?} (pool_size = {})",
            self.shared.server.address,
            self.shared.user,
            wait,
            self.shared.limits().size
        );
        PgError::error(SqlState::QUERY_CANCELED, text)
            .hint("Raise pool_size or pool_wait, or look at what holds the connections: SHOW CLIENTS in the console.")
    }
}

/// `time` give or take 10 %, by a number that differs from connection to connection.
fn jittered(time: Duration, seed: i32) -> Duration {
    let spread = (seed as u32).wrapping_mul(2_654_435_761) % 201;
    time.mul_f64(0.9 + f64::from(spread) / 1000.0)
}

/// A handle that sessions keep.
pub type SharedLocalPool = Rc<LocalPool>;
