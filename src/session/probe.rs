//! The probe: asks a server connection, at the end of a transaction that ran opaque code, what is left on it that can't
//! be shared, and which settings are in force.

use std::sync::Arc;

use super::Session;
use super::link::Link;
use crate::backend::conn::TextRows;
use crate::backend::settings::{ROLE, SESSION_AUTHORIZATION, Settings, Value};
use crate::base::{PgError, limits};
use crate::plan::Pin;

/// One row: what pins; then a row for each setting that isn't as at login. Settings whose names hold a dot don't show in
/// `pg_settings` (`GUC_NO_SHOW_ALL` in `add_placeholder_variable`): those that are known by name are asked for.
const PROBE: &str = "SELECT \
     (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()), \
     (SELECT count(*) FROM pg_catalog.pg_listening_channels()), \
     (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()), \
     (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable), \
     (SELECT count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql), \
     pg_catalog.current_setting('role'), session_user; \
     SELECT name, setting FROM pg_catalog.pg_settings \
     WHERE source = 'session' AND name !~ '^transaction_'";

impl Session {
    /// Asks, and acts on the answer: pins the session or lets it go, takes over its settings.
    ///
    /// # Errors
    /// As [`ServerConn::run_within`](crate::backend::ServerConn::run_within).
    pub(super) async fn probe(&mut self, link: &mut Link) -> Result<(), (PgError, bool)> {
        let mut sql = PROBE.to_owned();
        let custom = self.custom_names(link);
        for name in &custom {
            sql.push_str("; SELECT ");
            crate::backend::settings::push_literal(&mut sql, name);
            sql.push_str(", pg_catalog.current_setting(");
            crate::backend::settings::push_literal(&mut sql, name);
            sql.push_str(", true)");
        }
        link.conn.unnamed = 0;
        let time = self.database.shared.config().pool.connect_timeout;
        let rows = link.conn.run_within(&sql, time).await?;
        // What a listener is told comes with the answer of whatever runs next, this query too.
        let mut heard = std::mem::take(&mut link.conn.heard);
        self.attribute(link, &mut heard);
        self.say(|out| out.extend_from_slice(&heard));
        let pin = self.pin_found(&rows);
        self.set_pin(pin);
        // Settings whose names nobody knows are taken off before another session has the connection.
        link.conn.tainted_by = self.number;
        let mut settings = self.settings_found(&rows);
        link.tracker().replace(Arc::new(settings.clone()));
        // Code that RESET one of the start-up packet's meant the value there.
        for (name, value) in self.settings.base().iter().filter(|(name, _)| *name != ROLE) {
            if settings.get(name).is_none() {
                settings.set(name.to_owned(), value.clone());
            }
        }
        self.note_commit_settings(&settings);
        self.settings.replace(Arc::new(settings));
        Ok(())
    }

    /// Names of settings like `a.b` can't be listed: takes note of all in an opaque statement that may be one.
    pub(super) fn note_names(&mut self, text: &[u8]) {
        let in_name =
            |byte: u8| byte == b'.' || byte == b'_' || byte == b'$' || byte.is_ascii_alphanumeric() || byte >= 0x80;
        for word in text.split(|byte| !in_name(*byte)) {
            let Some(name) = std::str::from_utf8(word).ok().filter(|name| name.trim_matches('.').contains('.')) else {
                continue;
            };
            if name.len() < limits::SETTING_NAME && self.transaction.names.len() < limits::PROBED_NAMES {
                self.transaction.names.push(name.to_ascii_lowercase());
            }
        }
    }

    fn custom_names(&mut self, link: &mut Link) -> Vec<String> {
        let own = self.settings.current().clone();
        let on_conn = link.tracker().current().clone();
        let mut names: Vec<String> = own.iter().chain(on_conn.iter()).map(|(name, _)| name.to_owned()).collect();
        names.append(&mut self.transaction.names);
        names.extend(self.database.shared.catalog().custom_settings().iter().cloned());
        names.retain(|name| name.contains('.'));
        names.sort();
        names.dedup();
        names
    }

    fn pin_found(&self, rows: &TextRows) -> Option<Pin> {
        let kept = self.pin.filter(|pin| matches!(pin, Pin::Load | Pin::SessionMode));
        let first = rows.first().map(Vec::as_slice).unwrap_or_default();
        let some = |at: usize| first.get(at).and_then(Option::as_deref).is_some_and(|count| count != "0");
        kept.or_else(|| {
            [
                (0, Pin::AdvisoryLock),
                (1, Pin::Listen),
                (2, Pin::TemporaryTable),
                (3, Pin::HoldCursor),
                (4, Pin::SqlPrepare),
            ]
            .into_iter()
            .find_map(|(at, pin)| some(at).then_some(pin))
        })
    }

    fn settings_found(&self, rows: &TextRows) -> Settings {
        let mut settings = Settings::default();
        let text = |row: &[Option<String>], at: usize| row.get(at).and_then(Clone::clone);
        if let Some(first) = rows.first() {
            let own = self.settings.current().get(ROLE).is_some();
            if let Some(role) = text(first, 5).filter(|role| own || role != "none") {
                settings.set(ROLE.into(), Value::Config(role));
            }
            if let Some(user) = text(first, 6).filter(|user| *user != self.identity.user) {
                settings.set(SESSION_AUTHORIZATION.into(), Value::Config(user));
            }
        }
        let own = self.settings.current();
        for row in rows.iter().skip(1) {
            let (Some(name), Some(value)) = (text(row, 0), text(row, 1)) else { continue };
            let name = name.to_ascii_lowercase();
            // A setting that was there and is empty was RESET; one that never was stays away.
            if name.contains('.') && value.is_empty() && own.get(&name).is_none() {
                continue;
            }
            settings.set(name, Value::Config(value));
        }
        settings
    }
}
