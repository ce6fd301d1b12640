//! What a subcommand has of its process: signals, the log on standard error.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::config::Log;
use crate::telemetry::log::{Level, subscriber};

/// The signals that ask this process to end. From its making on they don't end the process by themselves.
#[derive(Debug)]
pub struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Self, Failure> {
        let listen = |kind, name| signal(kind).map_err(|e| Failure::of(name, e));
        let interrupt = listen(SignalKind::interrupt(), "SIGINT")?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate(), "SIGTERM")? })
    }

    /// Waits for the next SIGINT or SIGTERM.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// SIGHUP, which asks for the configuration to be read again. From its making on it doesn't end the process.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Self, Failure> {
        signal(SignalKind::hangup()).map(Self).map_err(|e| Failure::of("SIGHUP", e))
    }

    /// Waits for the next one.
    pub async fn asked(&mut self) {
        self.0.recv().await;
    }
}

/// Sends this process's log to standard error, and gives the handle that changes its level. Done once a process.
pub fn log_to_stderr(log: &Log) -> Level {
    let (logs, level) = subscriber(log);
    let _ = tracing::subscriber::set_global_default(logs);
    level
}
