//! `pgbraid serve`: the proxy by itself.

use std::process::ExitCode;

use super::failure::Failure;
use super::process::Ending;
use super::{args, process};
use crate::server;

/// Runs the proxy until SIGINT or SIGTERM, and lets running transactions end; a second signal ends them.
///
/// # Errors
/// A mistake in the configuration, or the proxy doesn't start.
pub async fn run(args: args::Serve) -> Result<ExitCode, Failure> {
    let mut ending = Ending::new()?;
    let config = super::load(&args.config)?;
    let _level = process::log_to_stderr(&config.log);
    let running = server::start(config).await.map_err(|e| super::refused(&e))?;
    for address in running.addresses() {
        tracing::info!("listening on {address}");
    }
    ending.asked().await;
    // A drain that is dropped stops at once.
    tokio::select! {
        () = running.drain() => {}
        () = ending.asked() => tracing::warn!("asked again: not waiting for transactions"),
    }
    Ok(ExitCode::SUCCESS)
}
