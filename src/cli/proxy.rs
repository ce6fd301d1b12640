//! The proxy as the subcommands run it: started, asked to stop, awaited.

use super::failure::Failure;
use crate::config::Config;

/// Runs the proxy until `stop` is done and it has drained.
///
/// # Errors
/// It doesn't start: an address is taken, a certificate can't be read.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    crate::server::run(config, stop).await.map_err(|error| Failure::new(error.to_string()))
}
