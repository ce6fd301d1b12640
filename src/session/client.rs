//! What the rest of the process may know of a client, and do to it: list it, cancel its statement, end it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::task::AtomicWaker;

use super::accept::NewClient;
use crate::backend::CancelTarget;
use crate::backend::conn::Threat;
use crate::plan::Pin;

/// One client, as seen from other threads.
#[derive(Debug)]
pub struct Client {
    /// Its own here; 0 for a session within this process.
    pub process_id: i32,
    /// The process id that whoever is behind it was told at login.
    pub told: i32,
    pub key: Vec<u8>,
    pub user: String,
    pub database: String,
    pub peer: String,
    pub connected: SystemTime,
    /// Version and cipher.
    pub tls: Option<Box<str>>,
    /// Our own end of its connection.
    pub local: Option<SocketAddr>,
    /// As at its start-up.
    pub application_name: String,
    state: AtomicU8,
    born: Instant,
    /// Since when it waits for a server connection, in microseconds from `born`.
    waits_since: AtomicU64,
    /// When its last request came, in microseconds of Unix time; 0: none yet.
    requested: AtomicU64,
    pin: AtomicU8,
    prepared: AtomicU64,
    /// The server connection that it holds.
    link: Mutex<Option<Arc<CancelTarget>>>,
    /// A cancel request came while it waited for a server connection.
    cancelled: AtomicBool,
    ending: AtomicBool,
    killed: AtomicBool,
    waker: AtomicWaker,
    /// Whoever waited has been woken, or nobody has waited yet.
    woken: AtomicBool,
    /// The inner sessions of a client of several shards: what is done to it is done to them.
    followers: Mutex<Vec<Arc<Client>>>,
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Idle,
    Active,
    Waiting,
}

impl Client {
    /// The client that `new` is, under the id and key that it will be told.
    pub fn new(process_id: i32, key: Vec<u8>, new: &NewClient) -> Self {
        let application_name = new.parameters.iter().find(|(name, _)| name == "application_name");
        Self {
            process_id,
            told: process_id,
            key,
            user: new.user.clone(),
            database: new.database.clone(),
            peer: new.peer.clone(),
            connected: SystemTime::now(),
            tls: new.stream.tls_summary(),
            local: new.stream.local(),
            application_name: application_name.map(|(_, value)| value.clone()).unwrap_or_default(),
            state: AtomicU8::new(0),
            born: Instant::now(),
            waits_since: AtomicU64::new(0),
            requested: AtomicU64::new(0),
            pin: AtomicU8::new(0),
            prepared: AtomicU64::new(0),
            link: Mutex::default(),
            cancelled: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            woken: AtomicBool::new(true),
            followers: Mutex::default(),
        }
    }

    /// A session within this process, on behalf of a client that was told this process id.
    pub fn within(told: i32, new: &NewClient) -> Self {
        Self { told, ..Self::new(0, Vec::new(), new) }
    }

    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            1 => State::Active,
            2 => State::Waiting,
            _ => State::Idle,
        }
    }

    pub(super) fn set_state(&self, state: State) {
        if state == State::Waiting {
            self.waits_since.store(self.age_micros(), Ordering::Relaxed);
        }
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// A request of its is being served; in microseconds of Unix time.
    #[inline]
    pub(super) fn requests(&self, now: u64) {
        self.requested.store(now, Ordering::Relaxed);
    }

    /// When its last request came.
    pub fn requested(&self) -> Option<SystemTime> {
        let micros = self.requested.load(Ordering::Relaxed);
        (micros > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
    }

    fn age_micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How long it has waited for a server connection, if it does.
    pub fn waiting(&self) -> Option<Duration> {
        let since = self.waits_since.load(Ordering::Relaxed);
        (self.state() == State::Waiting).then(|| Duration::from_micros(self.age_micros().saturating_sub(since)))
    }

    /// Why it keeps its server connection, if it does.
    pub fn pin(&self) -> Option<&'static str> {
        PINS.get(usize::from(self.pin.load(Ordering::Relaxed))).copied().flatten()
    }

    pub(super) fn set_pin(&self, pin: Option<Pin>) {
        let at = pin.and_then(|pin| PINS.iter().position(|name| *name == Some(pin_name(pin)))).unwrap_or(0);
        self.pin.store(at as u8, Ordering::Relaxed);
    }

    pub fn prepared(&self) -> u64 {
        self.prepared.load(Ordering::Relaxed)
    }

    pub(super) fn set_prepared(&self, count: usize) {
        self.prepared.store(count as u64, Ordering::Relaxed);
    }

    /// The server connection that it holds now.
    pub fn server(&self) -> Option<Arc<CancelTarget>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[inline]
    pub(super) fn set_link(&self, link: Option<Arc<CancelTarget>>) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }

    /// A cancel request for this client: where to send it, if its statement runs on a server. The guard keeps that
    /// connection from its next user until it is dropped.
    pub fn cancel(&self) -> Option<(Arc<CancelTarget>, Threat)> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let target = link.as_ref().map(|target| (target.clone(), target.threaten()));
        if target.is_none() && self.state() == State::Waiting {
            self.cancelled.store(true, Ordering::Release);
            self.wake();
        }
        target
    }

    /// The same for a client and all its inner sessions.
    pub fn cancel_all(&self) -> Vec<(Arc<CancelTarget>, Threat)> {
        let followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.cancel().into_iter().chain(followers.iter().filter_map(|follower| follower.cancel())).collect()
    }

    /// One more inner session; `None`: there are none any more.
    pub(super) fn follow(&self, follower: Option<Arc<Self>>) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        match follower {
            Some(follower) => {
                // Those that have ended.
                followers.retain(|other| Arc::strong_count(other) > 1);
                followers.push(follower);
            }
            None => followers.clear(),
        }
    }

    /// Whether a cancel request came; forgets it.
    pub(super) fn take_cancelled(&self) -> bool {
        self.cancelled.swap(false, Ordering::AcqRel)
    }

    /// The session shall end as soon as it is outside a transaction.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.wake();
    }

    /// The session shall end at once, whatever it does.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.end();
    }

    #[inline]
    pub(super) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Asks to be woken when it shall end, or a cancel request comes. What it has come to must be looked at afterwards.
    #[inline]
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// The same for a task that never asks with another waker: it may have asked already.
    #[inline]
    pub(super) fn register_still(&self, waker: &std::task::Waker) {
        if self.woken.load(Ordering::Acquire) {
            self.woken.store(false, Ordering::Release);
            self.waker.register(waker);
        }
    }
}

/// A pin's name in metrics and in the console.
pub fn pin_name(pin: Pin) -> &'static str {
    match pin {
        Pin::TemporaryTable => "temporary table",
        Pin::AdvisoryLock => "advisory lock",
        Pin::HoldCursor => "cursor with hold",
        Pin::Listen => "listen",
        Pin::Load => "load",
        Pin::SqlPrepare => "sql prepare",
        Pin::Function => "function",
        Pin::SessionMode => "session mode",
    }
}

const PINS: [Option<&str>; 9] = [
    None,
    Some("temporary table"),
    Some("advisory lock"),
    Some("cursor with hold"),
    Some("listen"),
    Some("load"),
    Some("sql prepare"),
    Some("function"),
    Some("session mode"),
];
