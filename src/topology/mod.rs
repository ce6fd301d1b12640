//! Which servers a database has, their roles and positions; which writes replicas must have replayed. Pure data.

pub mod placement;
pub mod rendezvous;
mod server;
mod tokens;

pub use server::{Role, Server, ServerState};
pub use tokens::{Need, Sequence, Tokens};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::Lsn;
use crate::config::Consistency;

/// One shard as the proxy knows it: servers with the same data, and the tokens of what was written.
#[derive(Debug)]
pub struct Shard {
    pub name: String,
    pub servers: Vec<Arc<Server>>,
    pub tokens: Tokens,
    /// Rotates among replicas that are equally loaded.
    turn: AtomicUsize,
}

/// What a read asks of the server that answers it.
#[derive(Clone, Copy, Debug)]
pub struct ReadNeed {
    pub consistency: Consistency,
    /// What was written and must be seen, by the level's rule.
    pub need: Need,
    /// A position that the session demands besides (`SET pgbraid.after`, what it has read).
    pub after: Lsn,
}

impl ReadNeed {
    /// The position from which on a replica may answer. `None`: no replica may.
    #[inline]
    pub fn at_least(&self) -> Option<Lsn> {
        match (self.consistency, self.need) {
            (Consistency::Primary, _) => None,
            (Consistency::Eventual, _) => Some(self.after),
            (_, Need::Unresolved) => None,
            (_, Need::Position(lsn)) => Some(lsn.max(self.after)),
        }
    }
}

impl Shard {
    pub fn new(name: String, servers: Vec<Arc<Server>>) -> Self {
        Self { name, servers, tokens: Tokens::new(), turn: AtomicUsize::new(0) }
    }

    /// The server that is the primary, as last heard.
    pub fn primary(&self) -> Option<&Arc<Server>> {
        self.servers.get(self.primary_at()?)
    }

    /// Which of the servers that is.
    #[inline]
    pub fn primary_at(&self) -> Option<usize> {
        self.servers.iter().position(|server| server.role() == Role::Primary)
    }

    /// Whether reads have anywhere to go but the primary.
    #[inline]
    pub fn has_replicas(&self) -> bool {
        self.servers.len() > 1
    }

    /// Which is the least loaded replica, by weight, that is up, within `max_lag`, and has replayed what the read must see.
    /// `avoid`: servers that this very read has failed on. None while the schema may have changed unseen: then the plan
    /// that found the read fit for a replica may be wrong.
    pub fn fit_replica(&self, read: &ReadNeed, max_lag_micros: u64, avoid: &[usize]) -> Option<usize> {
        let at_least = read.at_least()?;
        if self.tokens.unverified().is_some() {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.servers.len();
        let mut best: Option<(usize, u64, u64)> = None;
        for offset in 0..count {
            let at = (turn + offset) % count;
            let Some(server) = self.servers.get(at) else { continue };
            let weight = u64::from(server.address.weight);
            if weight == 0
                || server.role() != Role::Replica
                || server.replayed() < at_least
                || server.lag_micros() > max_lag_micros
                || avoid.contains(&at)
            {
                continue;
            }
            // Compared without division: load / weight.
            let load = server.load() as u64 + 1;
            if best.is_none_or(|(_, other_weight, other_load)| load * other_weight < other_load * weight) {
                best = Some((at, weight, load));
            }
        }
        best.map(|(at, ..)| at)
    }
}
