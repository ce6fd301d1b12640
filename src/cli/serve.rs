//! `pgbraid serve`: the proxy by itself.

use std::process::ExitCode;

use super::failure::Failure;
use super::{args, process};
use crate::server;

/// Runs the proxy until SIGINT or SIGTERM, and lets running transactions end.
///
/// # Errors
/// A mistake in the configuration, or the proxy doesn't start.
pub async fn run(args: args::Serve) -> Result<ExitCode, Failure> {
    let stop = process::asked_to_end()?;
    let config = super::load(&args.config)?;
    let _level = process::log_to_stderr(&config.log);
    server::run(config, stop).await.map_err(|e| super::refused(&e))?;
    Ok(ExitCode::SUCCESS)
}
