//! What a subcommand has of its process: signals, the log on standard error.

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use crate::config::Log;
use crate::telemetry::log::{Level, subscriber};

/// Ends when SIGINT or SIGTERM comes. From the call on these don't end the process by themselves.
///
/// # Errors
/// The system's.
pub fn asked_to_end() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::of("SIGINT", e))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::of("SIGTERM", e))?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Sends this process's log to standard error, and gives the handle that changes its level. Done once a process.
pub fn log_to_stderr(log: &Log) -> Level {
    let (logs, level) = subscriber(log);
    let _ = tracing::subscriber::set_global_default(logs);
    level
}
