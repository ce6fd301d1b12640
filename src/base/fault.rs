//! Points at which a test has this process die, as by `kill -9`: in debug builds only.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where to die: what the environment's `PGBRAID_FAULT=NAME:N` names, the N-th time that it is reached.
#[derive(Debug, Default)]
pub struct Fault {
    at: Option<(String, u64)>,
    reached: AtomicU64,
}

impl Fault {
    /// What the environment says. A release dies nowhere.
    pub fn from_environment() -> Self {
        if !cfg!(debug_assertions) {
            return Self::default();
        }
        #[allow(clippy::disallowed_methods, reason = "a test sets it for one process; it is no configuration")]
        let told = std::env::var("PGBRAID_FAULT").ok();
        let at = told.map(|told| {
            let (name, turn) = told.split_once(':').unwrap_or((&told, "1"));
            (name.to_owned(), turn.parse().unwrap_or(1))
        });
        Self { at, reached: AtomicU64::new(0) }
    }

    /// Dies here if this is the point.
    #[inline]
    pub fn reach(&self, name: &str) {
        if let Some((wanted, turn)) = &self.at
            && wanted == name
            && self.reached.fetch_add(1, Ordering::Relaxed) + 1 == *turn
        {
            std::process::abort();
        }
    }
}
