//! A pool as all workers share it: its limit, who waits, and in which order.
//!
//! Idle connections lie with the workers (`local`), so that an undisputed checkout takes no lock. Only where sessions
//! wait is there a queue under a lock, in order of arrival: a connection that a worker gives back goes to the first in
//! it, whichever worker that one lives on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{mpsc, oneshot};

use super::conn::{CancelTarget, ServerConn};
use super::database::Purpose;
use super::login::Identity;
use crate::base::limits;
use crate::topology::Server;

/// What a pool may do. Changes with a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolLimits {
    /// Connections, over all workers.
    pub size: usize,
    pub min_size: usize,
    /// How long a client waits.
    pub wait: Duration,
    /// How many may wait; 0 = any number.
    pub max_waiting: usize,
    pub idle_timeout: Duration,
    pub max_lifetime: Duration,
    pub connect_timeout: Duration,
}

/// The connections of one user to one database of one server.
#[derive(Debug)]
pub struct Pool {
    pub database: Arc<str>,
    pub server: Arc<Server>,
    pub user: Arc<str>,
    pub purpose: Purpose,
    /// How to log in: as the latest client of this user proved itself.
    identity: Mutex<Arc<Identity>>,
    limits: ArcSwap<PoolLimits>,
    /// Connections that exist or are being made.
    open: AtomicUsize,
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Waiter>>,
    /// How many lie idle with each worker.
    idle: Box<[AtomicUsize]>,
    /// Asks a worker to give up an idle connection.
    offers: Arc<[mpsc::UnboundedSender<Offer>]>,
    trouble: Mutex<Trouble>,
    /// Grows when all connections so far shall be replaced (RECONNECT, new server).
    era: AtomicUsize,
    /// All that exist, for the console.
    connections: Mutex<Vec<Arc<CancelTarget>>>,
}

/// A request to a worker: give an idle connection of this pool to whoever waits.
#[derive(Clone, Debug)]
pub struct Offer(pub Arc<Pool>);

#[derive(Debug)]
struct Waiter {
    worker: usize,
    hand: oneshot::Sender<Handover>,
    since: Instant,
}

/// What a waiting session is given.
#[derive(Debug)]
pub enum Handover {
    /// A connection, and the worker on whose runtime it is registered.
    Connection(Box<ServerConn>, usize),
    /// A place: make a connection yourself.
    Place(Place),
}

/// The right to one connection in a pool. Dropping it gives it to the next who waits.
#[derive(Debug)]
pub struct Place(Option<Arc<Pool>>);

impl Place {
    /// The connection exists now and counts itself (`Pool::connection_closed` when it goes).
    pub fn used(mut self) {
        self.0 = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.connection_closed();
        }
    }
}

/// Failures to connect, one after the other.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    not_before: Option<Instant>,
}

impl Pool {
    pub fn new(
        database: Arc<str>,
        server: Arc<Server>,
        identity: Arc<Identity>,
        (purpose, limits): (Purpose, Arc<PoolLimits>),
        offers: Arc<[mpsc::UnboundedSender<Offer>]>,
    ) -> Self {
        Self {
            database,
            server,
            user: identity.user.as_str().into(),
            purpose,
            identity: Mutex::new(identity),
            limits: ArcSwap::new(limits),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            idle: (0..offers.len()).map(|_| AtomicUsize::new(0)).collect(),
            offers,
            trouble: Mutex::default(),
            era: AtomicUsize::new(0),
            connections: Mutex::default(),
        }
    }

    pub fn identity(&self) -> Arc<Identity> {
        lock(&self.identity).clone()
    }

    pub fn set_identity(&self, identity: &Arc<Identity>) {
        let mut held = lock(&self.identity);
        if **held != **identity {
            *held = identity.clone();
        }
    }

    #[inline]
    pub fn limits(&self) -> Guard<Arc<PoolLimits>> {
        self.limits.load()
    }

    /// In force at once: where there is more room now, those who wait are given places.
    pub fn set_limits(self: &Arc<Self>, limits: Arc<PoolLimits>) {
        self.limits.store(limits);
        while self.waiting() > 0
            && let Some(place) = self.reserve()
        {
            if let Some(Handover::Place(mut place)) = self.hand_over(Handover::Place(place)) {
                // Nobody waits any more.
                place.0 = None;
                self.open.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// Connections that exist or are being made.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Idle connections over all workers.
    pub fn idle(&self) -> usize {
        self.idle.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The same, for one who has just given something up: either it sees who waits, or they see what it gave.
    pub(super) fn somebody_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waiting() > 0
    }

    /// How long the first in the queue has waited.
    pub fn longest_wait(&self) -> Duration {
        lock(&self.queue).front().map_or(Duration::ZERO, |waiter| waiter.since.elapsed())
    }

    pub fn era(&self) -> usize {
        self.era.load(Ordering::Acquire)
    }

    /// The era of a pool that takes no connection back.
    pub(super) const CLOSED: usize = usize::MAX;

    /// All connections so far are replaced when they come back.
    pub fn new_era(&self) {
        let _ = self.era.fetch_update(Ordering::AcqRel, Ordering::Acquire, |era| era.checked_add(1));
    }

    /// No connection is kept any more; whoever still needs one makes it.
    pub fn close(&self) {
        self.era.store(Self::CLOSED, Ordering::Release);
    }

    /// All connections that exist.
    pub fn connections(&self) -> Vec<Arc<CancelTarget>> {
        lock(&self.connections).clone()
    }

    pub(super) fn remember(&self, connection: Arc<CancelTarget>) {
        lock(&self.connections).push(connection);
    }

    pub(super) fn forget(&self, connection: &Arc<CancelTarget>) {
        let mut connections = lock(&self.connections);
        if let Some(at) = connections.iter().position(|other| Arc::ptr_eq(other, connection)) {
            connections.swap_remove(at);
        }
    }

    pub(super) fn set_idle(&self, worker: usize, count: usize) {
        if let Some(idle) = self.idle.get(worker) {
            idle.store(count, Ordering::Release);
        }
    }

    /// A place for one more connection, if the limit allows it.
    pub fn reserve(self: &Arc<Self>) -> Option<Place> {
        let size = self.limits().size;
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < size).then_some(open + 1))
            .ok()
            .map(|_| Place(Some(self.clone())))
    }

    /// Joins the queue. The receiver gives a connection or a place; drop it to leave. The worker's own idle connections are
    /// the caller's to look at, once it stands there.
    pub(super) fn enqueue(self: &Arc<Self>, worker: usize) -> oneshot::Receiver<Handover> {
        let (hand, receiver) = oneshot::channel();
        let mut queue = lock(&self.queue);
        queue.push_back(Waiter { worker, hand, since: Instant::now() });
        self.waiting.store(queue.len(), Ordering::Release);
        drop(queue);
        fence(Ordering::SeqCst);
        // A place or a connection may have come free before we stood in the queue: look again, now that all see us.
        if let Some(place) = self.reserve() {
            self.hand_over(Handover::Place(place));
        }
        for (other, offers) in self.offers.iter().enumerate() {
            let idle = self.idle.get(other).is_some_and(|count| count.load(Ordering::Acquire) > 0);
            if idle && other != worker {
                let _ = offers.send(Offer(self.clone()));
            }
        }
        receiver
    }

    /// Gives something to the next in the queue who still wants it; gives it back if nobody does.
    pub(super) fn hand_over(&self, what: Handover) -> Option<Handover> {
        let mut what = what;
        loop {
            let waiter = {
                let mut queue = lock(&self.queue);
                let waiter = match &what {
                    Handover::Connection(_, worker) => next_near(&mut queue, *worker),
                    Handover::Place(_) => queue.pop_front(),
                };
                self.waiting.store(queue.len(), Ordering::Release);
                waiter
            };
            let Some(waiter) = waiter else { return Some(what) };
            match waiter.hand.send(what) {
                Ok(()) => return None,
                Err(refused) => what = refused,
            }
        }
    }

    /// Takes those who gave up out of the queue.
    pub(super) fn sweep(&self) {
        let mut queue = lock(&self.queue);
        queue.retain(|waiter| !waiter.hand.is_closed());
        self.waiting.store(queue.len(), Ordering::Release);
    }

    /// A connection is gone: its place goes to the first who waits.
    pub(super) fn connection_closed(self: &Arc<Self>) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        // Whoever joins the queue from here on sees the place by itself.
        while self.somebody_waits() {
            let Some(place) = self.reserve() else { return };
            let Some(Handover::Place(mut back)) = self.hand_over(Handover::Place(place)) else { return };
            back.0 = None;
            self.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// When the next attempt to connect may be made, after failures.
    pub(super) fn not_before(&self) -> Option<Instant> {
        lock(&self.trouble).not_before
    }

    pub(super) fn connect_failed(&self) {
        let mut trouble = lock(&self.trouble);
        trouble.failures = trouble.failures.saturating_add(1);
        let backoff = Duration::from_millis(50 << trouble.failures.min(6));
        trouble.not_before = Some(Instant::now() + backoff);
    }

    pub(super) fn connect_worked(&self) {
        *lock(&self.trouble) = Trouble::default();
    }
}

/// Who is next for a connection of this worker's: the first in the queue, unless one who waits here came hardly later.
fn next_near(queue: &mut VecDeque<Waiter>, worker: usize) -> Option<Waiter> {
    let until = queue.front()?.since + limits::NEAR_FIRST;
    let mut came = queue.iter().take(limits::NEAR_LOOKS).take_while(|waiter| waiter.since <= until);
    let at = came.position(|waiter| waiter.worker == worker && !waiter.hand.is_closed()).unwrap_or_default();
    queue.remove(at)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_near_is_first_if_nobody_came_much_earlier() {
        let start = Instant::now();
        let mut hands = Vec::new();
        let mut queue = VecDeque::new();
        let mut join = |queue: &mut VecDeque<Waiter>, worker, millis| {
            let (hand, receiver) = oneshot::channel();
            hands.push(receiver);
            queue.push_back(Waiter { worker, hand, since: start + Duration::from_millis(millis) });
        };
        for (worker, millis) in [(1, 0), (1, 1), (0, 2), (0, 5), (1, 6), (0, 12)] {
            join(&mut queue, worker, millis);
        }
        let mut next = |worker| {
            let waiter = next_near(&mut queue, worker)?;
            Some((waiter.worker, waiter.since.duration_since(start).as_millis()))
        };
        assert_eq!(next(0), Some((0, 2)));
        assert_eq!(next(0), Some((0, 5)));
        // The next one here came 12 ms after the first of all.
        assert_eq!(next(0), Some((1, 0)));
        assert_eq!(next(1), Some((1, 1)));
        assert_eq!(next(2), Some((1, 6)));
        assert_eq!(next(1), Some((0, 12)));
        assert_eq!(next(0), None);
    }
}
