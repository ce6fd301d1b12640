//! One server connection: what it has of settings and statements, and a few exchanges of our own on it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use super::exchange::Exchange;
pub use super::exchange::TextRows;
use super::pool::Pool;
use super::settings::Settings;
use super::statements::OnServer;
use crate::base::{Lsn, PgError, SqlState};
use crate::net::Stream;
use crate::topology::Server;

/// What a server reported by ParameterStatus, in order of name. Shared by connections that agree.
pub type Parameters = Vec<(String, String)>;

/// What other threads know of a connection. Where a cancel request for it goes, and how many are on their way: it isn't
/// given to its next user before they have arrived.
#[derive(Debug)]
pub struct CancelTarget {
    pub server: Arc<Server>,
    pub process_id: i32,
    pub key: Vec<u8>,
    pub connected: SystemTime,
    /// Version and cipher.
    pub tls: Option<Box<str>>,
    /// Our own end of it.
    pub local: Option<SocketAddr>,
    /// When the last request went to it, in microseconds of Unix time; 0: none yet.
    requested: AtomicU64,
    /// Statements prepared on it.
    prepared: AtomicU32,
    on_their_way: AtomicUsize,
    /// The process id that the client was told who was the last to notify listeners on it; 0: nobody's.
    notifier: AtomicI32,
    /// 0 until somebody asks.
    number: AtomicU32,
}

impl CancelTarget {
    pub fn new(server: Arc<Server>, process_id: i32, key: Vec<u8>) -> Self {
        Self {
            server,
            process_id,
            key,
            connected: SystemTime::now(),
            tls: None,
            local: None,
            requested: AtomicU64::new(0),
            prepared: AtomicU32::new(0),
            on_their_way: AtomicUsize::new(0),
            notifier: AtomicI32::new(0),
            number: AtomicU32::new(0),
        }
    }

    /// A request goes to it; in microseconds of Unix time.
    #[inline]
    pub fn requests(&self, now: u64) {
        self.requested.store(now, Ordering::Relaxed);
    }

    pub fn requested(&self) -> SystemTime {
        let requested = SystemTime::UNIX_EPOCH + Duration::from_micros(self.requested.load(Ordering::Relaxed));
        requested.max(self.connected)
    }

    #[inline]
    pub fn set_prepared(&self, count: usize) {
        self.prepared.store(count as u32, Ordering::Relaxed);
    }

    pub fn prepared(&self) -> u32 {
        self.prepared.load(Ordering::Relaxed)
    }

    /// A client, by the process id that it was told, may notify listeners on it now.
    pub fn notifies(&self, told: i32) {
        self.notifier.store(told, Ordering::Release);
    }

    pub fn notifier(&self) -> i32 {
        self.notifier.load(Ordering::Acquire)
    }

    /// Its number in the console: `next` gives it when it is first asked for.
    pub fn number(&self, next: impl FnOnce() -> u32) -> u32 {
        match self.number.load(Ordering::Acquire) {
            0 => {
                let number = next();
                let won = self.number.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire);
                won.map_or_else(|first| first, |_| number)
            }
            number => number,
        }
    }

    #[inline]
    pub fn is_threatened(&self) -> bool {
        self.on_their_way.load(Ordering::Acquire) > 0
    }

    /// A cancel request is on its way until the guard is dropped.
    pub fn threaten(self: &Arc<Self>) -> Threat {
        self.on_their_way.fetch_add(1, Ordering::AcqRel);
        Threat(self.clone())
    }
}

/// Held by whoever sends a cancel request, until the server has closed that request's connection.
#[derive(Debug)]
pub struct Threat(Arc<CancelTarget>);

impl Drop for Threat {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A server connection. Dropping it closes it and gives its place in the pool to whoever waits.
pub struct ServerConn {
    pub stream: Stream,
    pub server: Arc<Server>,
    pub cancel: Arc<CancelTarget>,
    /// The settings in force on it, besides those of its login.
    pub settings: Arc<Settings>,
    pub reported: Arc<Parameters>,
    pub statements: OnServer,
    /// The session that ran opaque code on it, which may have left settings that can't be listed; 0: none.
    pub tainted_by: u64,
    /// The session that drew from sequences on it in its latest use; 0: none.
    pub drawn_by: u64,
    /// Whose unnamed statement it holds: a number that a session made up, 0 = nobody's.
    pub unnamed: u64,
    /// Notifications that came with the answers to queries of our own, for the session that listens.
    pub heard: Vec<u8>,
    pub expires: Instant,
    pub idle_since: Instant,
    /// What the server had been asked when it was made: see [`Server::covers`].
    born: u64,
    /// What the server itself said on it to have replayed.
    floor: Lsn,
    held: Held,
}

/// A connection's place in its pool, given back when the connection goes.
struct Held {
    pool: Arc<Pool>,
    target: Arc<CancelTarget>,
    era: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pool.forget(&self.target);
        self.pool.connection_closed();
    }
}

impl std::fmt::Debug for ServerConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {} to {}", self.cancel.process_id, self.server.address)
    }
}

impl ServerConn {
    /// A connection for which `pool` has counted a place.
    pub fn new(
        stream: Stream,
        mut cancel: CancelTarget,
        reported: Parameters,
        pool: Arc<Pool>,
        expires: Instant,
    ) -> Self {
        let server = cancel.server.clone();
        cancel.tls = stream.tls_summary();
        cancel.local = stream.local();
        let cancel = Arc::new(cancel);
        let held = Held { target: cancel.clone(), era: pool.era(), pool };
        held.pool.remember(cancel.clone());
        Self {
            born: server.asks(),
            floor: Lsn(0),
            stream,
            server,
            cancel,
            settings: Arc::default(),
            reported: Arc::new(reported),
            statements: OnServer::default(),
            tainted_by: 0,
            drawn_by: 0,
            unnamed: 0,
            heard: Vec::new(),
            expires,
            idle_since: Instant::now(),
            held,
        }
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.held.pool
    }

    /// Its pool doesn't take it back: all connections of its time are replaced, or the pool is closed.
    #[inline]
    pub fn is_outdated(&self) -> bool {
        let era = self.held.pool.era();
        era != self.held.era || era == Pool::CLOSED
    }

    /// Whether this connection, to a replica, is known to show everything up to `at_least`.
    #[inline]
    pub fn covers(&self, at_least: Lsn) -> bool {
        self.floor >= at_least || self.server.covers(at_least, self.born)
    }

    /// The same of a connection so young that its server must be asked on it.
    ///
    /// # Errors
    /// See [`Self::run_within`].
    pub async fn ask_covers(&mut self, at_least: Lsn, time: Duration) -> Result<bool, (PgError, bool)> {
        if !self.covers(at_least) {
            let rows = self.run_within("SELECT pg_catalog.pg_last_wal_replay_lsn()", time).await?;
            let replayed = rows.first().and_then(|row| row.first().cloned()).flatten();
            self.floor = replayed.and_then(|text| text.parse().ok()).unwrap_or_default();
        }
        Ok(self.floor >= at_least || self.covers(at_least))
    }

    /// Moves to the runtime of the calling thread.
    ///
    /// # Errors
    /// Those of the operating system; the connection is closed then.
    pub fn move_here(self) -> io::Result<Self> {
        let stream = self.stream.detach()?.attach()?;
        Ok(Self { stream, ..self })
    }

    /// Takes in what the server said while nobody used the connection. False: it ended, or said what it shouldn't.
    #[inline]
    pub fn is_usable(&mut self) -> bool {
        if self.stream.is_quiet() {
            return true;
        }
        // What came in two parts is rare enough to cost the connection its life.
        !matches!(self.exchange().poll_idle(&mut Context::from_waker(Waker::noop())), Poll::Ready(false))
    }

    /// Notes what a ParameterStatus said.
    pub fn report(&mut self, name: String, value: String) {
        set_parameter(Arc::make_mut(&mut self.reported), name, value);
    }

    /// Runs a query string of our own by itself, outside any client's traffic, and gives the rows of all its
    /// statements. Only on a connection without anything in flight.
    ///
    /// # Errors
    /// The server's error (the connection is usable then), or 08006 (it isn't: the second value is true).
    pub async fn run(&mut self, sql: &str) -> Result<TextRows, (PgError, bool)> {
        self.exchange().run(sql).await
    }

    /// The same where the server must answer in time: it may accept and never answer.
    ///
    /// # Errors
    /// As [`Self::run`]; after `time` the connection isn't usable any more.
    pub async fn run_within(&mut self, sql: &str, time: Duration) -> Result<TextRows, (PgError, bool)> {
        match tokio::time::timeout(time, self.run(sql)).await {
            Ok(result) => result,
            Err(_) => Err((connection_lost(&self.server, "it doesn't answer"), true)),
        }
    }

    /// The same; what the server remarks on it is put into `notices`.
    ///
    /// # Errors
    /// As [`Self::run_within`].
    pub async fn run_heeding(
        &mut self,
        sql: &str,
        time: Duration,
        notices: &mut Vec<u8>,
    ) -> Result<(), (PgError, bool)> {
        let exchange = Exchange { notices: Some(notices), ..self.exchange() };
        match tokio::time::timeout(time, { exchange }.run(sql)).await {
            Ok(result) => result.map(drop),
            Err(_) => Err((connection_lost(&self.server, "it doesn't answer"), true)),
        }
    }

    fn exchange(&mut self) -> Exchange<'_> {
        Exchange {
            stream: &mut self.stream,
            server: &self.server,
            reported: &mut self.reported,
            heard: Some(&mut self.heard),
            notices: None,
        }
    }
}

/// What a client is told when its server connection breaks under it.
pub fn connection_lost(server: &Server, why: &str) -> PgError {
    PgError::error(SqlState::CONNECTION_FAILURE, format!("connection to server {} was lost: {why}", server.address))
        .hint("The statement may or may not have been carried out. Run the transaction again if that is safe.")
}

/// Sets one entry of a sorted list of parameters.
pub fn set_parameter(parameters: &mut Parameters, name: String, value: String) {
    match parameters.binary_search_by(|(other, _)| other.as_str().cmp(&name)) {
        Ok(at) => {
            if let Some(entry) = parameters.get_mut(at) {
                entry.1 = value;
            }
        }
        Err(at) => parameters.insert(at, (name, value)),
    }
}
