//! What a reload of the configuration means to a session that is there already.

use std::sync::Arc;

use super::Session;
use super::run::{Over, cancelled};
use super::timeouts::Timeouts;
use crate::base::{Lsn, PgError, SqlState};

impl Session {
    /// Takes over what a reload changed: other servers, timeouts, the default of `consistency`. Only where the session
    /// has no server connection. Whether the servers are others.
    #[inline]
    pub(super) fn keep_up(&mut self) -> bool {
        self.database.shared.epoch() != self.epoch && self.catch_up()
    }

    #[cold]
    fn catch_up(&mut self) -> bool {
        let mut newest = self.database.shared.clone();
        while let Some(next) = newest.successor() {
            newest = next;
        }
        let moved = !Arc::ptr_eq(&newest, &self.database.shared);
        if moved {
            self.database = self.worker.database(&newest);
            self.pools.clear();
            // Positions of other servers mean nothing here.
            self.own_write = 0;
            self.seen = Lsn(0);
        }
        self.epoch = newest.epoch();
        let config = newest.config();
        self.timeouts = Timeouts::new(&config.pool);
        self.default_consistency = config.replicas.consistency;
        moved
    }

    /// Waits until the database may be worked on: with the servers that a reload gave it, and not while it is paused.
    /// Whether the servers are others now; an error for the client where it cancelled, or has no database any more.
    pub(super) async fn wait_for_database(&mut self) -> Result<Result<bool, PgError>, Over> {
        let mut moved = false;
        loop {
            moved |= self.keep_up();
            if self.database.shared.is_replaced() {
                return Ok(Err(self.database_gone()));
            }
            if self.client.take_cancelled() {
                return Ok(Err(cancelled()));
            }
            if !self.database.shared.is_paused() {
                return Ok(Ok(moved));
            }
            let mut paused = self.database.shared.paused();
            let resumed = async move { drop(paused.wait_for(|paused| !paused).await) };
            if self.or_client_goes(resumed).await?.is_none() {
                return Ok(Err(cancelled()));
            }
        }
    }

    /// What a client is told whose database a reload took away.
    fn database_gone(&self) -> PgError {
        let name = &self.database.shared.name;
        PgError::fatal(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" is no longer in the configuration"))
    }
}
