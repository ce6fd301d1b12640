//! What a reload of the configuration means to a session that is there already.

use std::sync::Arc;

use super::Session;
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
        while let Some(next) = newest.successor().flatten().cloned() {
            newest = next;
        }
        let moved = !Arc::ptr_eq(&newest, &self.database.shared);
        if moved {
            self.database = self.worker.database(&newest);
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

    /// What a client is told whose database a reload took away.
    pub(super) fn database_gone(&self) -> PgError {
        let name = &self.database.shared.name;
        PgError::fatal(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" is no longer in the configuration"))
    }
}
