//! One server: its address, and what was last heard of its role, position and load.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::base::Lsn;
use crate::config::ServerAddress;

/// What a server said of itself when last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Not asked yet, or it doesn't answer.
    Unknown,
    Primary,
    Replica,
}

/// A server of a shard. Shared by all workers; the monitor writes, everybody reads.
#[derive(Debug)]
pub struct Server {
    pub address: ServerAddress,
    role: AtomicU8,
    replayed: AtomicU64,
    lag_micros: AtomicU64,
    load: AtomicUsize,
    /// Questions that were put to it so far; and which of them `replayed` answers.
    asks: AtomicU64,
    heard: AtomicU64,
    /// Why it is `Unknown`, in words.
    trouble: Mutex<Option<String>>,
}

/// A copy of what is known, for display.
#[derive(Clone, Debug)]
pub struct ServerState {
    pub role: Role,
    pub replayed: Lsn,
    pub lag_micros: u64,
    pub load: usize,
    pub trouble: Option<String>,
}

impl Server {
    pub fn new(address: ServerAddress) -> Self {
        Self {
            address,
            role: AtomicU8::new(0),
            replayed: AtomicU64::new(0),
            lag_micros: AtomicU64::new(u64::MAX),
            load: AtomicUsize::new(0),
            asks: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            trouble: Mutex::new(None),
        }
    }

    #[inline]
    pub fn role(&self) -> Role {
        match self.role.load(Ordering::Acquire) {
            1 => Role::Primary,
            2 => Role::Replica,
            _ => Role::Unknown,
        }
    }

    /// What the server has replayed at least (as a replica).
    #[inline]
    pub fn replayed(&self) -> Lsn {
        Lsn(self.replayed.load(Ordering::Acquire))
    }

    /// How far it is behind, in microseconds, as last heard.
    #[inline]
    pub fn lag_micros(&self) -> u64 {
        self.lag_micros.load(Ordering::Relaxed)
    }

    /// Statements and transactions that run on it now, through this proxy.
    #[inline]
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub fn begin_work(&self) {
        self.load.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end_work(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// It said that it is the primary. Returns whether that is news.
    pub fn is_primary(&self) -> bool {
        self.set_trouble(None);
        self.lag_micros.store(0, Ordering::Relaxed);
        self.role.swap(1, Ordering::AcqRel) != 1
    }

    /// It is about to be asked. Returns the question's number.
    pub fn ask(&self) -> u64 {
        self.asks.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The number of the latest question.
    pub fn asks(&self) -> u64 {
        self.asks.load(Ordering::Acquire)
    }

    /// Whether a connection shows everything up to `at_least`, that was made when [`Self::asks`] was `since`.
    ///
    /// A replica that crashed begins again at an earlier position. What it said before proves nothing for a connection
    /// that was made afterwards; what it is asked after the connection was made does, for as long as that one lives.
    pub fn covers(&self, at_least: Lsn, since: u64) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        // Behind it: the position is of that answer or of a later one.
        at_least.0 == 0 || heard > since && self.replayed() >= at_least
    }

    /// It answered the question `ask`: it is a replica and has replayed up to `replayed`. Returns whether the role is
    /// news.
    ///
    /// A position below the one known before is taken as it is: the server was replaced or rewound.
    pub fn is_replica(&self, replayed: Lsn, lag_micros: u64, ask: u64) -> bool {
        self.set_trouble(None);
        self.replayed.store(replayed.0, Ordering::Release);
        self.heard.store(ask, Ordering::Release);
        self.lag_micros.store(lag_micros, Ordering::Relaxed);
        self.role.swap(2, Ordering::AcqRel) != 2
    }

    /// It can't be reached, or doesn't let us in. Returns whether that is news.
    pub fn is_unknown(&self, why: String) -> bool {
        self.set_trouble(Some(why));
        let before = self.role.swap(0, Ordering::AcqRel);
        self.replayed.store(0, Ordering::Release);
        self.lag_micros.store(u64::MAX, Ordering::Relaxed);
        before != 0
    }

    /// A copy of all that is known.
    pub fn state(&self) -> ServerState {
        ServerState {
            role: self.role(),
            replayed: self.replayed(),
            lag_micros: self.lag_micros(),
            load: self.load(),
            trouble: self.trouble.lock().map(|text| text.clone()).unwrap_or_default(),
        }
    }

    fn set_trouble(&self, text: Option<String>) {
        if let Ok(mut trouble) = self.trouble.lock()
            && *trouble != text
        {
            *trouble = text;
        }
    }
}
