//! `pgbraid serve`: the proxy by itself.

use std::process::ExitCode;

use super::args;
use super::failure::Failure;
use super::process::{self, Hangup};
use crate::config::{self, Config, ProcessEnvironment};
use crate::server::{self, Ending, Origin};

/// Runs the proxy until SIGINT, SIGTERM or the console's SHUTDOWN, and lets running transactions end; a second signal
/// ends them. SIGHUP reads the configuration again.
///
/// # Errors
/// A mistake in the configuration, or the proxy doesn't start.
pub async fn run(args: args::Serve) -> Result<ExitCode, Failure> {
    let (mut ending, mut hangup) = (process::Ending::new()?, Hangup::new()?);
    let config = super::load(&args.config)?;
    let level = process::log_to_stderr(&config.log);
    let origin = Origin {
        load: Box::new(move || {
            config::load(&args.config, &ProcessEnvironment).map_err(|mistakes| {
                mistakes.iter().map(|mistake| format!("{}:{mistake}", args.config.display())).collect()
            })
        }),
        applied: Box::new(move |config: &Config| level.set(config.log.level)),
    };
    let running = server::start_from(config, Some(origin)).await.map_err(|e| super::refused(&e))?;
    for address in running.addresses() {
        tracing::info!("listening on {address}");
    }
    if let Some(address) = running.http() {
        tracing::info!("metrics and health on http://{address}");
    }
    let told = loop {
        tokio::select! {
            () = ending.asked() => break Ending::Drained,
            told = running.asked_to_end() => break told,
            () = hangup.asked() => running.reload().await,
        }
    };
    if told == Ending::Drained {
        // A drain that is dropped stops at once.
        tokio::select! {
            () = running.drain() => {}
            () = ending.asked() => tracing::warn!("asked again: not waiting for transactions"),
        }
    }
    Ok(ExitCode::SUCCESS)
}
