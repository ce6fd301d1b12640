//! Logging in at a server: start-up packet, authentication, up to its first ReadyForQuery.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use crate::base::{PgError, Secret, SqlState, limits};
use crate::config::{ServerAddress, SslMode};
use crate::net::{self, Framed, FramedError, Stream};
use crate::wire::frame::back;
use crate::wire::message::{put, put_cstr, read_error, read_parameter_status};
use crate::wire::reader::{ReadError, Reader};
use crate::wire::scram::{self, Binding, ClientExchange, ClientSecret, ScramError, ScramKeys};
use crate::wire::{md5, startup as packet};

/// What may log in at servers in a user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Only where the server asks for nothing (trust, peer, a certificate).
    Nothing,
    /// The plain password: any method.
    Password(Secret),
    /// The keys of one SCRAM verifier: only servers that hold this very verifier.
    ScramKeys(ScramKeys),
    /// `md5` + hex digest, as `pg_authid` stores it: only the method md5.
    Md5(Secret),
}

/// A user at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: String,
    pub credentials: Credentials,
}

/// A server connection, ready for its first query.
#[derive(Debug)]
pub struct Login {
    pub stream: Stream,
    /// What the server reported (ParameterStatus), in its order.
    pub parameters: Vec<(String, String)>,
    pub process_id: i32,
    /// The key of cancel requests: 4 bytes, up to 256 with protocol 3.2.
    pub secret_key: Vec<u8>,
    /// Bytes that came after ReadyForQuery.
    pub leftover: Vec<u8>,
}

/// Tag of every answer of ours to an authentication request.
const ANSWER: u8 = b'p';

/// Codes of AuthenticationRequest (`protocol.h`).
mod request {
    pub const OK: i32 = 0;
    pub const CLEARTEXT: i32 = 3;
    pub const MD5: i32 = 5;
    pub const SASL: i32 = 10;
    pub const SASL_CONTINUE: i32 = 11;
    pub const SASL_FINAL: i32 = 12;
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub enum LoginError {
    /// The server can't be reached or isn't ready: TCP, TLS, a timeout, 57P03, or words that aren't PostgreSQL's.
    Unreachable(PgError),
    /// The server refused, in its own words; or what it asked for is not at hand.
    Rejected(PgError),
}

/// Connects to `address` and logs in as `identity`, all within `timeout`. `startup` are more parameters of the start-up
/// packet (`application_name`, `options`, …); user and database are given already.
///
/// # Errors
/// See `LoginError`.
pub async fn login(
    address: &ServerAddress,
    identity: &Identity,
    startup: &[(&str, &str)],
    timeout: Duration,
) -> Result<Login, LoginError> {
    let attempts = async {
        let stream = net::connect(address, timeout).await.map_err(LoginError::Unreachable)?;
        let (tls, unix) = (stream.is_tls(), stream.is_unix());
        let first = Attempt { address, identity, framed: Framed::new(stream) }.run(startup).await;
        // libpq: where `sslmode` leaves the choice, a login that is refused one way is tried the other way.
        let other = match (address.sslmode, tls) {
            (SslMode::Prefer, true) => SslMode::Disable,
            (SslMode::Allow, false) if !unix => SslMode::Require,
            _ => return first,
        };
        if !first.as_ref().is_err_and(LoginError::is_about_authorization) {
            return first;
        }
        // No root certificates: `require` would hold the server to them, `allow` doesn't.
        let other = ServerAddress { sslmode: other, sslrootcert: None, ..address.clone() };
        let Ok(stream) = net::connect(&other, timeout).await else { return first };
        match (Attempt { address, identity, framed: Framed::new(stream) }.run(startup).await, first) {
            (Err(_), Err(first)) => Err(first),
            (second, _) => second,
        }
    };
    match tokio::time::timeout(timeout, attempts).await {
        Ok(result) => result,
        Err(_) => Err(LoginError::Unreachable(
            PgError::fatal(
                SqlState::CANNOT_CONNECT,
                format!("the server at {address} didn't complete the login within {timeout:?}"),
            )
            .hint("The server may be overloaded or hanging; see also connect_timeout."),
        )),
    }
}

impl LoginError {
    /// The server let this user not in (class 28): `pg_hba.conf`, a certificate, a password.
    pub fn is_about_authorization(&self) -> bool {
        matches!(self, Self::Rejected(error) if error.code().as_str().starts_with("28"))
    }

    /// The error to tell the client that waits for the connection.
    pub fn into_error(self) -> PgError {
        match self {
            Self::Unreachable(error) | Self::Rejected(error) => error,
        }
    }
}

struct Attempt<'a> {
    address: &'a ServerAddress,
    identity: &'a Identity,
    framed: Framed,
}

impl Attempt<'_> {
    async fn run(mut self, startup: &[(&str, &str)]) -> Result<Login, LoginError> {
        let mut out = Vec::new();
        let own = [("user", self.identity.user.as_str()), ("database", self.address.dbname.as_str())];
        packet::write(&mut out, own.into_iter().chain(startup.iter().copied()));
        self.say(&out).await?;
        self.authenticate().await?;

        let (mut parameters, mut process_id, mut secret_key) = (Vec::new(), 0, Vec::new());
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                back::PARAMETER_STATUS => {
                    if parameters.len() >= limits::SESSION_SETTINGS {
                        return Err(self.nonsense("it reports too many parameters"));
                    }
                    parameters.push(read_parameter_status(&body).ok_or_else(|| self.nonsense("ParameterStatus"))?);
                }
                back::BACKEND_KEY_DATA => {
                    let mut reader = Reader::new(&body);
                    process_id = reader.i32().map_err(|error| self.broken(error))?;
                    secret_key = reader.rest().to_vec();
                    if !(4..=256).contains(&secret_key.len()) {
                        return Err(self.nonsense("BackendKeyData"));
                    }
                }
                back::READY_FOR_QUERY => {
                    let (stream, leftover) = self.framed.into_parts();
                    return Ok(Login { stream, parameters, process_id, secret_key, leftover });
                }
                _ => return Err(self.nonsense("a message out of turn")),
            }
        }
    }

    /// Up to AuthenticationOk.
    async fn authenticate(&mut self) -> Result<(), LoginError> {
        loop {
            let (code, body) = self.request().await?;
            match code {
                request::OK => return Ok(()),
                request::CLEARTEXT => match &self.identity.credentials {
                    Credentials::Password(password) => {
                        let text = password.reveal().to_owned();
                        self.answer(&text).await?;
                    }
                    _ => return Err(self.lacking("the plain password (method password)")),
                },
                request::MD5 => {
                    let mut reader = Reader::new(&body);
                    let salt: [u8; 4] = reader.array().map_err(|error| self.broken(error))?;
                    let answer = match &self.identity.credentials {
                        Credentials::Password(password) => {
                            md5::answer(&md5::stored(password.reveal(), &self.identity.user), salt)
                        }
                        Credentials::Md5(stored) => md5::answer(stored.reveal(), salt),
                        _ => return Err(self.lacking("an md5 password (method md5)")),
                    };
                    self.answer(&answer).await?;
                }
                request::SASL => return self.scram(&body).await,
                other => {
                    return Err(self.rejected(
                        format!(
                            "the server at {} asks for an authentication that pgbraid can't do ({other})",
                            self.address
                        ),
                        "Let its pg_hba.conf ask pgbraid for scram-sha-256, md5, password, cert or trust.",
                    ));
                }
            }
        }
    }

    /// SCRAM, up to AuthenticationOk, which counts only after the server has shown that it knows the password too.
    async fn scram(&mut self, offer: &[u8]) -> Result<(), LoginError> {
        let secret = match &self.identity.credentials {
            Credentials::Password(password) => ClientSecret::Password(password.clone()),
            Credentials::ScramKeys(keys) => ClientSecret::Keys(keys.clone()),
            _ => return Err(self.lacking("a password or SCRAM keys (method scram-sha-256)")),
        };
        let mechanisms = mechanisms(offer).map_err(|error| self.broken(error))?;
        let offers = |name: &str| mechanisms.contains(&name.as_bytes());
        let (mechanism, binding) = match self.framed.stream().tls_server_end_point() {
            Some(hash) if offers(scram::SCRAM_SHA_256_PLUS) => (scram::SCRAM_SHA_256_PLUS, Binding::EndPoint(hash)),
            Some(_) => (scram::SCRAM_SHA_256, Binding::NotOffered),
            None => (scram::SCRAM_SHA_256, Binding::Unsupported),
        };
        if !offers(mechanism) {
            return Err(self.nonsense("it offers no SASL mechanism that we know"));
        }
        let mut nonce = [0; scram::NONCE];
        SystemRandom::new().fill(&mut nonce).map_err(|_| self.nonsense("no random numbers"))?;

        let (exchange, first) = ClientExchange::new(secret, &nonce, binding).first();
        let mut out = Vec::new();
        put(&mut out, ANSWER, |body| {
            put_cstr(body, mechanism.as_bytes());
            body.extend_from_slice(&u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes());
            body.extend_from_slice(first.as_bytes());
        });
        self.say(&out).await?;

        let challenge = self.expect(request::SASL_CONTINUE).await?;
        // Thousands of hashes: not on the worker, whose sessions would all wait for them.
        let (exchange, proof) = tokio::task::spawn_blocking(move || exchange.challenge(&challenge))
            .await
            .map_err(|_| self.nonsense("interrupted"))?
            .map_err(|error| self.scram_failed(&error))?;
        out.clear();
        put(&mut out, ANSWER, |body| body.extend_from_slice(proof.as_bytes()));
        self.say(&out).await?;

        let last = self.expect(request::SASL_FINAL).await?;
        exchange.finish(&last).map_err(|error| self.scram_failed(&error))?;
        self.expect(request::OK).await.map(|_| ())
    }

    async fn expect(&mut self, code: i32) -> Result<Vec<u8>, LoginError> {
        match self.request().await? {
            (found, body) if found == code => Ok(body),
            _ => Err(self.nonsense("authentication messages out of turn")),
        }
    }

    /// The next authentication request: its code and what follows it.
    async fn request(&mut self) -> Result<(i32, Vec<u8>), LoginError> {
        let (tag, body) = self.message().await?;
        if tag != back::AUTHENTICATION {
            return Err(self.nonsense("a message before authentication"));
        }
        let mut reader = Reader::new(&body);
        let code = reader.i32().map_err(|error| self.broken(error))?;
        Ok((code, reader.rest().to_vec()))
    }

    /// The next message but notices and NegotiateProtocolVersion; an ErrorResponse ends the attempt.
    async fn message(&mut self) -> Result<(u8, Vec<u8>), LoginError> {
        loop {
            let (tag, body) = match self.framed.frame(limits::AUTH_MESSAGE).await {
                Ok(message) => message,
                Err(FramedError::Length) => return Err(self.nonsense("a message of impossible length")),
                Err(FramedError::Gone(error)) => {
                    return Err(self.unreachable(&format!("the connection broke during the login: {error}")));
                }
            };
            match tag {
                back::NOTICE_RESPONSE | NEGOTIATE_PROTOCOL_VERSION => {}
                back::ERROR_RESPONSE => return Err(refusal(&body)),
                _ => return Ok((tag, body)),
            }
        }
    }

    async fn answer(&mut self, text: &str) -> Result<(), LoginError> {
        let mut out = Vec::new();
        put(&mut out, ANSWER, |body| put_cstr(body, text.as_bytes()));
        self.say(&out).await
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), LoginError> {
        match self.framed.say(bytes).await {
            Ok(()) => Ok(()),
            // It may have said why before it closed.
            Err(error) => match self.framed.frame(limits::AUTH_MESSAGE).await {
                Ok((back::ERROR_RESPONSE, body)) => Err(refusal(&body)),
                _ => Err(self.unreachable(&format!("the connection broke during the login: {error}"))),
            },
        }
    }

    fn unreachable(&self, why: &str) -> LoginError {
        LoginError::Unreachable(PgError::fatal(
            SqlState::CONNECTION_FAILURE,
            format!("can't log in at the server at {}: {why}", self.address),
        ))
    }

    fn nonsense(&self, what: &str) -> LoginError {
        LoginError::Unreachable(
            PgError::fatal(
                SqlState::PROTOCOL_VIOLATION,
                format!("the server at {} doesn't speak the protocol: {what}", self.address),
            )
            .hint("Is it PostgreSQL that listens there?"),
        )
    }

    fn broken(&self, error: ReadError) -> LoginError {
        self.nonsense(&error.to_string())
    }

    fn rejected(&self, message: String, hint: &str) -> LoginError {
        LoginError::Rejected(PgError::fatal(SqlState::INVALID_AUTHORIZATION, message).hint(hint))
    }

    fn lacking(&self, what: &str) -> LoginError {
        self.rejected(
            format!(
                "the server at {} wants {what} of user \"{}\", and pgbraid has none",
                self.address, self.identity.user
            ),
            "Give the user's password under [users], or let the method of clients and of the server fit each other.",
        )
    }

    fn scram_failed(&self, error: &ScramError) -> LoginError {
        match error {
            ScramError::Mismatch => self.rejected(
                format!("the server at {} failed to show that it knows the password too", self.address),
                "Somebody may stand between pgbraid and the server, or its SCRAM verifier differs from the other servers'.",
            ),
            other => self.nonsense(&other.to_string()),
        }
    }
}

const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';

fn mechanisms(offer: &[u8]) -> Result<Vec<&[u8]>, ReadError> {
    let mut reader = Reader::new(offer);
    let mut found = Vec::new();
    loop {
        match reader.cstr()? {
            [] => return reader.finish().map(|()| found),
            name => found.push(name),
        }
    }
}

/// A server's refusal: that it isn't ready says nothing about the user.
fn refusal(body: &[u8]) -> LoginError {
    let error = read_error(body).into_fatal();
    match error.code() {
        SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            LoginError::Unreachable(error)
        }
        _ => LoginError::Rejected(error),
    }
}

#[cfg(test)]
mod tests;
