//! `pgbraid serve`: the proxy by itself.

use std::process::ExitCode;

use super::failure::Failure;
use super::{args, process, proxy};

/// Runs the proxy until SIGINT or SIGTERM.
///
/// # Errors
/// A mistake in the configuration, or the proxy doesn't start.
pub async fn run(args: args::Serve) -> Result<ExitCode, Failure> {
    let stop = process::asked_to_end()?;
    let config = super::load(&args.config)?;
    let _level = process::log_to_stderr(&config.log);
    proxy::run(config, stop).await?;
    Ok(ExitCode::SUCCESS)
}
