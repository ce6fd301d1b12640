//! A client's coming in: TLS, start-up packet, authentication, up to AuthenticationOk.

use std::pin::Pin;
use std::time::Duration;

use super::auth::{self, Failure, Vault};
use crate::backend::login::Credentials;
use crate::base::{PgError, Secret, SqlState};
use crate::config::{AuthMethod, ClientTls, Config};
use crate::net::tls::{self, ServerTls};
use crate::net::{Framed, Stream};
use crate::wire::message::error_response;
use crate::wire::startup::{self, First, Startup, StartupError};

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Accepted {
    /// A client that is who it says; it was told AuthenticationOk, and nothing after it.
    Client(Box<NewClient>),
    /// A cancel request. Drop `stream` when the request was passed on: clients wait for the close, and take it to mean
    /// that their next statement is safe.
    Cancel { process_id: i32, key: Vec<u8>, stream: Stream },
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
    vault: Vault,
}

impl AcceptSettings {
    /// From the configuration; reads the TLS files.
    ///
    /// # Errors
    /// TLS files that can't be used.
    pub fn from_config(config: &Config) -> Result<Self, PgError> {
        let seed = config.server.tls_key.as_ref().and_then(|path| std::fs::read(path).ok());
        let server_tls = ServerTls::from_config(&config.server)?;
        Ok(Self::new(config.server.tls, server_tls, config.auth.method, config.server.login_timeout, seed.as_deref()))
    }

    /// From its parts; `seed` is a secret with much entropy that all clones share, or none.
    pub fn new(
        tls: ClientTls,
        server_tls: Option<ServerTls>,
        method: AuthMethod,
        login_timeout: Duration,
        seed: Option<&[u8]>,
    ) -> Self {
        Self { tls, server_tls, method, login_timeout, vault: Vault::new(seed) }
    }
}

/// Takes a connection from its first byte to AuthenticationOk. Box it: it is large, and done with once it is over.
///
/// # Errors
/// Those that the client was told (FATAL), for the log.
pub async fn accept(stream: Stream, settings: &AcceptSettings, users: &dyn Users) -> Result<Accepted, PgError> {
    let peer = stream.peer();
    let conversation = Conversation { framed: Framed::new(stream), settings, users, peer: &peer };
    match tokio::time::timeout(settings.login_timeout, conversation.run()).await {
        Ok(result) => result,
        Err(_) => {
            // Without a word, as PostgreSQL: whoever hangs here mustn't keep us writing.
            tracing::debug!(peer, "closed a client that didn't authenticate within login_timeout");
            Ok(Accepted::Closed)
        }
    }
}

struct Conversation<'a> {
    framed: Framed,
    settings: &'a AcceptSettings,
    users: &'a dyn Users,
    peer: &'a str,
}

/// A start-up packet that was read, and what we make of it.
struct Wanted {
    minor: u16,
    user: String,
    database: String,
    parameters: Vec<(String, String)>,
    /// NegotiateProtocolVersion, if it must be said.
    greeting: Vec<u8>,
}

/// Where the first packets led to.
enum Opening {
    Session(Wanted),
    Cancel { process_id: i32, key: Vec<u8> },
}

impl Conversation<'_> {
    async fn run(mut self) -> Result<Accepted, PgError> {
        match self.converse().await {
            Ok(Some(opening)) => Ok(self.finish(opening)),
            Ok(None) | Err(Failure::Gone) => Ok(Accepted::Closed),
            Err(Failure::Told(error)) => {
                let mut out = Vec::new();
                error_response(&mut out, &error);
                let _ = self.framed.say(&out).await;
                self.framed.close().await;
                Err(error)
            }
        }
    }

    fn finish(self, opening: (Opening, Credentials)) -> Accepted {
        let (stream, leftover) = self.framed.into_parts();
        match opening {
            (Opening::Cancel { process_id, key }, _) => Accepted::Cancel { process_id, key, stream },
            (Opening::Session(wanted), credentials) => Accepted::Client(Box::new(NewClient {
                stream,
                minor: wanted.minor,
                user: wanted.user,
                database: wanted.database,
                parameters: wanted.parameters,
                credentials,
                leftover,
                peer: self.peer.to_owned(),
            })),
        }
    }

    async fn converse(&mut self) -> Result<Option<(Opening, Credentials)>, Failure> {
        self.direct_tls().await?;
        let mut wanted = match self.first_packets().await? {
            None => return Ok(None),
            Some(cancel @ Opening::Cancel { .. }) => return Ok(Some((cancel, Credentials::Nothing))),
            Some(Opening::Session(wanted)) => wanted,
        };
        let (framed, settings) = (&mut self.framed, self.settings);
        if settings.tls == ClientTls::Require && !framed.stream().is_tls() && !framed.stream().is_unix() {
            return Err(PgError::fatal(
                SqlState::INVALID_AUTHORIZATION,
                "this server takes encrypted connections only",
            )
            .hint("Use sslmode=require or higher.")
            .into());
        }
        let (user, database) = (wanted.user.as_str(), wanted.database.as_str());
        self.users.admit(user, database).map_err(PgError::into_fatal)?;
        let stored = self.users.password(user, database).await.map_err(PgError::into_fatal)?;
        let greeting = std::mem::take(&mut wanted.greeting);
        let authenticated =
            auth::authenticate(framed, greeting, settings.method, &settings.vault, user, stored).await?;

        let mut out = authenticated.last_words;
        auth::ok(&mut out);
        framed.say(&out).await?;
        if !self.users.has_database(database) {
            let message = format!("database \"{database}\" does not exist");
            return Err(PgError::fatal(SqlState::INVALID_CATALOG_NAME, message).into());
        }
        Ok(Some((Opening::Session(wanted), authenticated.credentials)))
    }

    /// TLS from the first byte (PostgreSQL 17's `sslnegotiation=direct`), only with ALPN: so nobody can make a browser
    /// speak to us.
    async fn direct_tls(&mut self) -> Result<(), Failure> {
        const HANDSHAKE: u8 = 0x16;
        if self.framed.fill(1).await? != [HANDSHAKE] {
            return Ok(());
        }
        self.start_tls().await?;
        if self.framed.stream().alpn() == Some(tls::ALPN) { Ok(()) } else { Err(Failure::Gone) }
    }

    async fn start_tls(&mut self) -> Result<(), Failure> {
        let Some(server_tls) = self.tls().cloned() else { return Err(Failure::Gone) };
        self.framed.start_tls(&server_tls).await.map_err(|error| {
            tracing::debug!(peer = self.peer, %error, "TLS handshake failed");
            Failure::Gone
        })
    }

    /// How to speak TLS with this client; none over Unix sockets, or if it is on already.
    fn tls(&self) -> Option<&ServerTls> {
        let stream = self.framed.stream();
        let possible = self.settings.tls != ClientTls::Disable && !stream.is_unix() && !stream.is_tls();
        self.settings.server_tls.as_ref().filter(|_| possible)
    }

    /// Encryption requests, each at most once, and then what the client wants. `None`: not our protocol.
    async fn first_packets(&mut self) -> Result<Option<Opening>, Failure> {
        let (mut ssl_asked, mut gss_asked) = (self.framed.stream().is_tls(), self.framed.stream().is_tls());
        loop {
            let header = *self.framed.fill(4).await?.first_chunk::<4>().ok_or(Failure::Gone)?;
            let packet = match startup::body_length(header) {
                Ok(length) => self.framed.take(4 + length).await?,
                Err(error) => return self.not_ours(error),
            };
            match startup::parse(packet.get(4..).unwrap_or_default()) {
                Ok(First::Ssl) if !ssl_asked => {
                    ssl_asked = true;
                    if self.tls().is_none() {
                        self.framed.say(b"N").await?;
                        continue;
                    }
                    // Such bytes would be believed as if they had come through TLS (CVE-2021-23214).
                    if !self.framed.buffered().is_empty() {
                        return Err(PgError::fatal(
                            SqlState::PROTOCOL_VIOLATION,
                            "received unencrypted data after SSL request",
                        )
                        .detail("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.")
                        .into());
                    }
                    self.framed.say(b"S").await?;
                    self.start_tls().await?;
                    gss_asked = true;
                }
                Ok(First::GssEnc) if !gss_asked => {
                    gss_asked = true;
                    self.framed.say(b"N").await?;
                }
                Ok(First::Ssl) => return Err(startup::unsupported(startup::SSL_REQUEST).into()),
                Ok(First::GssEnc) => return Err(startup::unsupported(startup::GSSENC_REQUEST).into()),
                Ok(First::Cancel { process_id, key }) => {
                    return Ok(Some(Opening::Cancel { process_id, key: key.to_vec() }));
                }
                Ok(First::Startup(startup)) => return Ok(Some(Opening::Session(wanted(&startup)?))),
                Err(error) => return self.not_ours(error),
            }
        }
    }

    fn not_ours(&self, error: StartupError) -> Result<Option<Opening>, Failure> {
        match error {
            StartupError::Fatal(error) => Err(Failure::Told(error)),
            StartupError::Silent(why) => {
                tracing::debug!(peer = self.peer, why, "closed a connection that doesn't speak the protocol");
                Ok(None)
            }
        }
    }
}

/// What a start-up packet asks for (`ProcessStartupPacket`).
fn wanted(startup: &Startup<'_>) -> Result<Wanted, PgError> {
    if startup.replication()? {
        return Err(PgError::fatal(
            SqlState::FEATURE_NOT_SUPPORTED,
            "replication connections can't go through pgbraid",
        )
        .hint("Connect to the server itself."));
    }
    let user = match startup.get(b"user") {
        Some(name) if !name.is_empty() => text(name)?,
        _ => {
            return Err(PgError::fatal(
                SqlState::INVALID_AUTHORIZATION,
                "no PostgreSQL user name specified in startup packet",
            ));
        }
    };
    let database = match startup.get(b"database") {
        Some(name) if !name.is_empty() => text(name)?,
        _ => user.clone(),
    };
    let mut parameters = Vec::new();
    for (name, value) in &startup.parameters {
        if !matches!(*name, b"user" | b"database" | b"replication") && !name.starts_with(b"_pq_.") {
            parameters.push((text(name)?, text(value)?));
        }
    }
    let mut greeting = Vec::new();
    startup.negotiate(&mut greeting);
    Ok(Wanted { minor: startup.spoken_minor(), user, database, parameters, greeting })
}

fn text(bytes: &[u8]) -> Result<String, PgError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        PgError::fatal(CHARACTER_NOT_IN_REPERTOIRE, "the startup packet holds text that is not UTF-8")
            .hint("Names and settings must be UTF-8 until the session has begun.")
    })
}

const CHARACTER_NOT_IN_REPERTOIRE: SqlState = SqlState(*b"22021");

#[cfg(test)]
mod tests;
