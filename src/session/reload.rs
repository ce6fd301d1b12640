//! What a reload of the configuration means to a session that is there already.

use std::sync::Arc;

use super::Session;
use super::run::{Over, cancelled};
use super::timeouts::Timeouts;
use crate::backend::Database;
use crate::base::{Lsn, PgError, SqlState, limits};
use crate::config::PoolMode;
use crate::plan::Pin;

impl Session {
    /// Takes over what a reload changed: other servers, timeouts, the default of `consistency`. Only where the session
    /// has no server connection. Whether the servers are others.
    #[inline]
    pub(super) fn keep_up(&mut self) -> bool {
        self.database.shared.epoch() != self.epoch && self.catch_up()
    }

    #[cold]
    fn catch_up(&mut self) -> bool {
        let newest = self.newest();
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
        if self.pin.is_none() {
            self.pin_by_mode();
        }
        moved
    }

    fn newest(&self) -> Arc<Database> {
        let mut newest = self.database.shared.clone();
        while let Some(next) = newest.successor() {
            newest = next;
        }
        newest
    }

    /// Keeps its server connection for the mode's sake, from its first request on.
    pub(super) fn pin_by_mode(&mut self) {
        if self.mode_of(&self.database.shared) == PoolMode::Session {
            self.set_pin(Some(Pin::SessionMode));
        }
    }

    /// Whether a reload has put an end to that. Not where more was configured by code, under names of its own, than can
    /// be asked for.
    pub(super) fn mode_changed(&self) -> bool {
        self.pin == Some(Pin::SessionMode)
            && self.database.shared.epoch() != self.epoch
            && self.mode_of(&self.newest()) == PoolMode::Transaction
            && self.transaction.names.len() < limits::PROBED_NAMES
    }

    fn mode_of(&self, database: &Database) -> PoolMode {
        let own = self.user.as_ref().and_then(|user| user.pool_mode);
        own.unwrap_or_else(|| database.config().pool.mode)
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
