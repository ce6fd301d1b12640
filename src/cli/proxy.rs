//! The proxy as the subcommands run it: started, asked to stop, awaited.

use super::failure::Failure;
use crate::config::Config;

/// Runs the proxy until `stop` is done and it has drained.
///
/// # Errors
/// It doesn't start: an address is taken, a certificate can't be read.
pub async fn run(_config: Config, _stop: impl Future<Output = ()>) -> Result<(), Failure> {
    Err(Failure::new("this build has no proxy yet"))
}
