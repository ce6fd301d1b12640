//! A client's coming in: TLS, start-up packet, authentication, up to AuthenticationOk.

use std::pin::Pin;
use std::time::Duration;

use crate::backend::login::Credentials;
use crate::base::{PgError, Secret, SqlState};
use crate::config::{AuthMethod, ClientTls, Config};
use crate::net::Stream;
use crate::net::tls::ServerTls;

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Accepted {
    /// A client that is who it says; it was told AuthenticationOk, and nothing after it.
    Client(Box<NewClient>),
    /// A cancel request. Its connection is closed already.
    Cancel { process_id: i32, key: Vec<u8> },
    /// It went away, or spoke something else than the protocol and was closed without a word.
    Closed,
}

/// A client that has authenticated.
#[derive(Debug)]
pub struct NewClient {
    pub stream: Stream,
    /// Protocol 3.0 or 3.2: `0` or `2`. Cancel keys may be longer than 4 bytes with 3.2 only.
    pub minor: u16,
    pub user: String,
    pub database: String,
    /// The start-up packet's other parameters, in its order, without `replication` and `_pq_.*`.
    pub parameters: Vec<(String, String)>,
    /// What may log in at servers in the client's name.
    pub credentials: Credentials,
    /// Bytes that came after the last message of the authentication.
    pub leftover: Vec<u8>,
    /// `address:port` or `unix`, for logs.
    pub peer: String,
}

/// An answer that may take time; on the client's own thread.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What must be known of users and databases to let a client in.
pub trait Users {
    /// The stored password of `user`: plain, `SCRAM-SHA-256$…` or `md5…`; from `[users]`, else by `auth.query`.
    /// `None`: unknown, or without a password. An error is told to the client as it is.
    fn password<'a>(&'a self, user: &'a str, database: &'a str) -> Answer<'a, Result<Option<Secret>, PgError>>;

    /// Is there such a database (the console's included)? Told to the client after authentication only.
    fn has_database(&self, database: &str) -> bool;

    /// May one more client of this user come in (`max_clients`, a drain)? Asked before authentication; cancel requests
    /// are never asked about.
    fn admit(&self, user: &str, database: &str) -> Result<(), PgError> {
        let _ = (user, database);
        Ok(())
    }
}

/// How clients are let in. One for all workers; made anew when the configuration changes.
#[derive(Debug)]
pub struct AcceptSettings {
    pub tls: ClientTls,
    pub server_tls: Option<ServerTls>,
    pub method: AuthMethod,
    pub login_timeout: Duration,
}

impl AcceptSettings {
    /// From the configuration; reads the TLS files.
    ///
    /// # Errors
    /// TLS files that can't be used.
    pub fn from_config(config: &Config) -> Result<Self, PgError> {
        Ok(Self {
            tls: config.server.tls,
            server_tls: ServerTls::from_config(&config.server)?,
            method: config.auth.method,
            login_timeout: config.server.login_timeout,
        })
    }
}

/// Takes a connection from its first byte to AuthenticationOk. Box it: it is large, and done with once it is over.
///
/// # Errors
/// Those that the client was told (FATAL), for the log.
pub async fn accept(stream: Stream, settings: &AcceptSettings, users: &dyn Users) -> Result<Accepted, PgError> {
    let _ = (stream, settings, users);
    Err(PgError::fatal(SqlState::FEATURE_NOT_SUPPORTED, "accept isn't built yet"))
}
