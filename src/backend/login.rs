//! Logging in at a server: start-up packet, authentication, up to its first ReadyForQuery.

use std::time::Duration;

use crate::base::{PgError, Secret, SqlState};
use crate::config::ServerAddress;
use crate::net::Stream;
use crate::wire::scram::ScramKeys;

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
    let _ = (address, identity, startup, timeout);
    Err(LoginError::Unreachable(PgError::fatal(SqlState::FEATURE_NOT_SUPPORTED, "login isn't built yet")))
}
