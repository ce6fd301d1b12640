//! The admin console: the virtual database `pgbraid`.
//!
//! It answers PgBouncer's SHOW commands in PgBouncer's columns, so that exporters and habits go on working, and has a
//! few of its own. It speaks the simple and the extended protocol (drivers prepare even what has no parameters), and
//! has no transactions.

mod command;
mod session;
mod table;
mod value;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::telemetry::Telemetry;
use crate::telemetry::view::View;

/// What the console tells as `server_version`; clients that know PgBouncer's console read the first part.
pub const SERVER_VERSION: &str = "1.24.0/pgbraid";

/// Who logged in, and what a cancel request would have to say (there is nothing to cancel here).
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    pub user: &'a str,
    pub process_id: i32,
    pub key: &'a [u8],
    /// Bytes that came behind the last message of the authentication.
    pub leftover: &'a [u8],
}

/// Serves one client that has authenticated, from behind AuthenticationOk (which the caller sent) until it leaves.
///
/// # Errors
/// What the stream said; that the client went away between two messages is none.
pub async fn console<S>(stream: &mut S, login: Login<'_>, view: &dyn View, telemetry: &Telemetry) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    session::Session::new(login.user, table::Source { view, telemetry }).run(stream, &login).await
}
