//! Who may come in: stored passwords, databases, limits.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::shared::{Shared, Stage, lock};
use crate::backend::database::Purpose;
use crate::backend::login::{Credentials, Identity};
use crate::backend::settings::push_literal;
use crate::base::{PgError, Secret, SqlState, limits};
use crate::session::Worker;
use crate::session::accept::{Answer, Users};

/// The console's name as a database.
pub const CONSOLE: &str = "pgbraid";

/// Answers what letting a client in asks, on one worker.
pub struct Admission {
    pub shared: Arc<Shared>,
    pub worker: Rc<Worker>,
}

impl Users for Admission {
    fn password<'a>(&'a self, user: &'a str, database: &'a str) -> Answer<'a, Result<Option<Secret>, PgError>> {
        Box::pin(async move {
            let config = self.shared.config.load_full();
            if let Some(password) = config.users.get(user).and_then(|user| user.password.clone()) {
                return Ok(Some(password));
            }
            match &config.auth.query {
                Some(query) => self.ask(query, user, database).await,
                None => Ok(None),
            }
        })
    }

    fn has_database(&self, database: &str) -> bool {
        database == CONSOLE || self.shared.database(database).is_some()
    }

    fn admit(&self, _user: &str, database: &str) -> Result<(), PgError> {
        if self.shared.stage() != Stage::Serving {
            return Err(PgError::fatal(SqlState::CANNOT_CONNECT_NOW, "the database system is shutting down"));
        }
        if database != CONSOLE && self.shared.client_count() >= self.shared.config.load().server.max_clients {
            return Err(PgError::fatal(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
                .hint("Raise server.max_clients, or let idle clients go."));
        }
        Ok(())
    }
}

impl Admission {
    /// Runs `auth.query` as the database's service user.
    async fn ask(&self, query: &str, user: &str, database: &str) -> Result<Option<Secret>, PgError> {
        let key = (database.to_owned(), user.to_owned());
        let config = self.shared.config.load_full();
        if let Some((at, password)) = lock(&self.shared.passwords).get(&key)
            && at.elapsed() < config.auth.query_cache
        {
            return Ok(password.clone());
        }
        let Some(shared) = self.shared.database(database) else { return Ok(None) };
        let Some(service) = service_identity(&self.shared, &shared.config()) else { return Ok(None) };
        let Some(primary) = shared
            .shard
            .servers
            .iter()
            .position(|server| shared.shard.primary().is_some_and(|p| Arc::ptr_eq(p, server)))
        else {
            return Err(PgError::fatal(SqlState::CANNOT_CONNECT_NOW, "no primary can be asked for passwords"));
        };
        let local = self.worker.database(&shared);
        let Some(pool) = local.pool(&self.worker, &Arc::new(service), None, (primary, Purpose::Clients)) else {
            return Ok(None);
        };
        let mut conn = pool.checkout(&Arc::default(), true).await?;
        let mut literal = String::new();
        push_literal(&mut literal, user);
        let rows = match conn.run(&query.replace("$1", &literal)).await {
            Ok(rows) => {
                pool.checkin(conn);
                rows
            }
            Err((error, _)) => {
                tracing::error!(database, "auth.query failed: {}", error.message());
                return Err(PgError::fatal(SqlState::INVALID_AUTHORIZATION, "passwords can't be looked up now"));
            }
        };
        let found = rows.into_iter().find(|row| row.first().and_then(Option::as_deref) == Some(user));
        let password = found.and_then(|row| row.into_iter().nth(1).flatten()).map(Secret::new);
        let mut passwords = lock(&self.shared.passwords);
        if passwords.len() >= limits::AUTH_QUERY_CACHE {
            passwords.clear();
        }
        passwords.insert(key, (Instant::now(), password.clone()));
        Ok(password)
    }
}

/// The database's service user, with the password that `[users]` has for it.
pub fn service_identity(shared: &Shared, database: &crate::config::Database) -> Option<Identity> {
    let user = database.service_user.clone()?;
    let config = shared.config.load();
    let password = config.users.get(&user)?.password.clone()?;
    let credentials = match password.reveal() {
        text if text.starts_with("md5") && text.len() == 35 => Credentials::Md5(password),
        _ => Credentials::Password(password),
    };
    Some(Identity { user, credentials })
}
