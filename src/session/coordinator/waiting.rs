//! A transaction over several shards that waits: shown to the search for deadlocks, and stopped by it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Coordinator;
use crate::backend::CancelTarget;
use crate::backend::conn::Threat;
use crate::backend::waits::{Wait, Waiter};
use crate::base::{PgError, SqlState};
use crate::session::client::Client;

/// The inner sessions of a client, as the search sees them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inner: Vec<(usize, Arc<Client>)>,
    /// Why its transaction is to fail.
    stopped: Option<String>,
}

impl Parts {
    /// A shard's session, in place of one that is gone.
    pub fn add(&self, shard: usize, client: Arc<Client>) {
        let mut state = self.state();
        state.inner.retain(|(other, _)| *other != shard);
        state.inner.push((shard, client));
    }

    /// The transaction is over.
    pub fn forget(&self) {
        self.state().stopped = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter for Parts {
    fn processes(&self) -> Vec<(usize, i32)> {
        let process = |(shard, client): &(usize, Arc<Client>)| Some((*shard, client.server()?.process_id));
        self.state().inner.iter().filter_map(process).collect()
    }

    fn stop(&self, detail: String) -> Vec<(Arc<CancelTarget>, Threat)> {
        let mut state = self.state();
        state.stopped = Some(detail);
        state.inner.iter().filter_map(|(_, client)| client.cancel()).collect()
    }
}

impl Coordinator {
    /// The statement has waited for a while. Over one shard its server sees deadlocks by itself.
    pub(super) fn enter_wait(&self) -> Option<Wait> {
        let block = self.block.as_ref().filter(|block| block.members.len() > 1)?;
        Some(self.database.shared.waits.enter(block.since, self.parts.clone()))
    }

    /// The error that a cancelled statement is told with, where it was a deadlock that it was cancelled for.
    pub(super) fn deadlock(&self, code: &[u8]) -> Option<PgError> {
        if code != SqlState::QUERY_CANCELED.as_str().as_bytes() {
            return None;
        }
        let detail = self.parts.state().stopped.clone()?;
        Some(PgError::error(SqlState::DEADLOCK_DETECTED, "deadlock detected").detail(detail))
    }
}
