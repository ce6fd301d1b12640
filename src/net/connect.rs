//! Connecting to a server: names, addresses, TLS as `sslmode` says.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::{Stream, tls, unix_path};
use crate::base::{PgError, SqlState, limits};
use crate::config::{Host, ServerAddress, SslMode};
use crate::wire::startup;

/// Connects to `address` within `timeout`. The name is resolved anew and all its addresses are tried in turn. Unix
/// sockets never speak TLS (libpq's rule).
///
/// # Errors
/// FATAL 08001 that names the server and says what failed.
pub async fn connect(address: &ServerAddress, timeout: Duration) -> Result<Stream, PgError> {
    match tokio::time::timeout(timeout, attempt(address, timeout)).await {
        Ok(result) => result,
        Err(_) => Err(unreachable(address, &format!("no connection within {timeout:?}"))),
    }
}

async fn attempt(address: &ServerAddress, timeout: Duration) -> Result<Stream, PgError> {
    let stream = plain(address, timeout).await?;
    // `allow` begins without; whether it goes on with TLS depends on the login.
    if stream.is_unix() || matches!(address.sslmode, SslMode::Disable | SslMode::Allow) {
        return Ok(stream);
    }
    match secure(address, stream).await {
        // `prefer`: TLS that fails is tried again without.
        Err(_) if address.sslmode == SslMode::Prefer => plain(address, timeout).await,
        other => other,
    }
}

async fn plain(address: &ServerAddress, timeout: Duration) -> Result<Stream, PgError> {
    let name = match &address.host {
        Host::Unix(dir) => {
            let path = unix_path(dir, address.port);
            let unix = UnixStream::connect(&path).await.map_err(|error| unreachable(address, &error.to_string()))?;
            return Ok(Stream::from_unix(unix));
        }
        Host::Tcp(name) => name.as_str(),
    };
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name, address.port))
        .await
        .map_err(|error| unreachable(address, &format!("can't resolve its name: {error}")))?
        .take(limits::ADDRESSES)
        .collect();
    // One address that swallows everything mustn't use up the time of the others.
    let share = timeout / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
    let mut last: Option<io::Error> = None;
    for candidate in found {
        let connected = tokio::time::timeout(share, TcpStream::connect(candidate)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).and_then(Stream::from_tcp) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(unreachable(address, &last.map_or_else(|| "its name has no address".into(), |error| error.to_string())))
}

async fn secure(address: &ServerAddress, mut stream: Stream) -> Result<Stream, PgError> {
    let failed = |error: io::Error| unreachable(address, &format!("TLS: {error}"));
    stream.write_all(&startup::SSL_REQUEST_PACKET).await.map_err(failed)?;
    let mut answer = [0u8; 2];
    match stream.read(&mut answer).await.map_err(failed)? {
        0 => return Err(unreachable(address, "it closed the connection when asked for TLS")),
        1 => {}
        // Bytes before the handshake would be believed as if they had come through TLS (CVE-2021-23222).
        _ => return Err(unreachable(address, "it sent unencrypted data after its answer to the TLS request")),
    }
    match answer {
        [b'S', _] => {}
        [b'N', _] if address.sslmode == SslMode::Prefer => return Ok(stream),
        [b'N', _] => return Err(unreachable(address, "it doesn't support TLS, which its sslmode demands")),
        _ => return Err(unreachable(address, "its answer to the TLS request makes no sense")),
    }
    let Host::Tcp(host) = &address.host else { return Ok(stream) };
    let name = ServerName::try_from(host.clone())
        .map_err(|_| unreachable(address, "its name can't be that of a TLS certificate"))?;
    let connector = tls::connector(address)?;
    let socket = stream.into_socket(Vec::new()).ok_or_else(|| unreachable(address, "TLS twice"))?;
    Ok(Stream::to_server(connector.connect(name, socket).await.map_err(failed)?))
}

fn unreachable(address: &ServerAddress, why: &str) -> PgError {
    PgError::fatal(SqlState::CANNOT_CONNECT, format!("can't connect to the server at {address}: {why}"))
        .hint("Is PostgreSQL running there, and may pgbraid reach it?")
}
