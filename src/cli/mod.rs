//! Subcommands; nothing else knows the terminal.

mod args;
pub mod check;
pub mod cluster;
pub mod demo;
mod explain;
mod explain_shards;
pub mod failure;
mod process;
mod progress;
mod serve;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::base::PgError;
use crate::config::{self, Config, ProcessEnvironment};
use failure::Failure;

/// Runs the command line; the exit code is the process's.
pub fn main() -> ExitCode {
    let line = match args::CommandLine::try_parse() {
        Ok(line) => line,
        Err(told) => {
            let _ = told.print();
            // clap's own codes: 0 after --help and --version, 2 after a mistake.
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(2));
        }
    };
    let done = match line.command {
        args::Command::Demo(args) => run(demo::run(args)),
        args::Command::Serve(args) => run(serve::run(args)),
        args::Command::Explain(args) => run(explain::run(args)),
        args::Command::Check(args) => Ok(check::run(&args.config, args.offline, args.data)),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("pgbraid: {failure}");
        ExitCode::FAILURE
    })
}

fn run(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::runtime::Runtime::new().map_err(|e| Failure::of("could not start", e))?.block_on(work)
}

/// The configuration in a file.
fn load(file: &Path) -> Result<Config, Failure> {
    config::load(file, &ProcessEnvironment).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{}:{mistake}", file.display())).collect();
        Failure::new(format!("the configuration has mistakes:\n{}", lines.join("\n")))
    })
}

/// An error of the proxy itself, without what only a client needs.
fn refused(error: &PgError) -> Failure {
    let failure = Failure::new(error.message());
    match error.hint_text() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
