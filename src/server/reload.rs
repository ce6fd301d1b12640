//! Reload: another configuration put in force, without a client dropped.

use std::sync::Arc;

use super::build::{self, Built};
use super::shared::{Mail, Shared, lock};
use crate::base::{PgError, SqlState};
use crate::config::keys::Apply;
use crate::config::{self, Change, Config};
use crate::session::accept::AcceptSettings;

impl Shared {
    /// Reads the configuration again where it came from, and puts it in force. The log has every mistake and change.
    ///
    /// # Errors
    /// 0A000 where there is nothing to read, F0000 where it has mistakes (then nothing changes).
    pub fn reload_from_origin(&self) -> Result<Vec<Change>, PgError> {
        let Some(origin) = &self.origin else {
            let text = "this proxy's configuration doesn't come from a file";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text));
        };
        let changes = (origin.load)().map_err(|mistakes| {
            mistakes.iter().for_each(|mistake| tracing::error!("configuration: {mistake}"));
            PgError::error(SqlState::CONFIG_FILE_ERROR, "the configuration has mistakes; nothing was changed")
                .detail(mistakes.join("\n"))
        });
        let changes = changes.and_then(|config| self.reload(config));
        match &changes {
            Ok(changes) => {
                tracing::info!("configuration reloaded: {} changes", changes.len());
                for change in changes {
                    match change.apply {
                        Apply::Reload => tracing::info!("{change}"),
                        Apply::Restart => tracing::warn!("{change}: needs a restart"),
                    }
                }
            }
            Err(error) => tracing::error!("reload failed: {}", error.message()),
        }
        changes
    }

    /// Puts another configuration in force, as far as that goes without a restart. Gives what differs, also what stays
    /// as it was until a restart.
    ///
    /// Clients stay. Where a database has other servers, sessions go over to them between two transactions; those of a
    /// database that is gone are ended. Passwords, limits of clients and TLS count for those who come.
    ///
    /// # Errors
    /// TLS files that can't be used; nothing is changed then.
    pub fn reload(&self, mut new: Config) -> Result<Vec<Change>, PgError> {
        let _alone = lock(&self.reloading);
        let old = self.config.load_full();
        let accept = AcceptSettings::from_config(&new)?;
        let changes = config::diff(&old, &new);
        config::keep_until_restart(&old, &mut new);

        let before = self.databases.load_full();
        let Built { databases: after, sharded } = build::fit(self, &before, &new);
        self.accept.store(Arc::new(accept));
        self.sharded.store(Arc::new(sharded));
        self.databases.store(Arc::new(after.clone()));
        self.config.store(Arc::new(new));
        lock(&self.passwords).clear();
        // From here on nobody comes into a database that went.
        for (name, database) in before.iter() {
            match after.get(name) {
                Some(same) if Arc::ptr_eq(same, database) => {}
                successor => {
                    if let Some(next) = successor.filter(|_| database.is_paused()) {
                        next.set_paused(true);
                    }
                    database.replace(successor.cloned());
                }
            }
        }
        for client in self.clients().iter().filter(|client| self.database(&client.database).is_none()) {
            client.end();
        }
        for worker in &self.mail {
            let _ = worker.send(Mail::Reloaded);
        }
        self.reloaded.send_modify(|count| *count += 1);
        if let Some(origin) = &self.origin {
            (origin.applied)(&self.config.load());
        }
        Ok(changes)
    }
}
