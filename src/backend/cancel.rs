//! Cancel requests to servers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::ServerAddress;
use crate::net;

/// Asks the server at `address` to cancel what its process `process_id` does: on a connection of its own, with TLS as
/// `sslmode` says. Returns when the server has closed it, that is after the signal was sent (`ProcessCancelRequest`).
///
/// # Errors
/// The server can't be reached or doesn't close within `timeout`.
pub async fn cancel(address: &ServerAddress, process_id: i32, key: &[u8], timeout: Duration) -> io::Result<()> {
    tokio::time::timeout(timeout, send(address, process_id, key, timeout))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn send(address: &ServerAddress, process_id: i32, key: &[u8], timeout: Duration) -> io::Result<()> {
    let mut stream = net::connect(address, timeout).await.map_err(|error| io::Error::other(error.to_string()))?;
    let mut request = Vec::with_capacity(12 + key.len());
    request.extend_from_slice(&u32::try_from(12 + key.len()).unwrap_or(u32::MAX).to_be_bytes());
    request.extend_from_slice(&crate::wire::startup::CANCEL_REQUEST.to_be_bytes());
    request.extend_from_slice(&process_id.to_be_bytes());
    request.extend_from_slice(key);
    stream.write_all(&request).await?;
    stream.flush().await?;
    // The server answers nothing. Some close with a reset where input is left unread: as good as an end.
    let mut nothing = [0u8; 64];
    while matches!(stream.read(&mut nothing).await, Ok(n) if n > 0) {}
    Ok(())
}
