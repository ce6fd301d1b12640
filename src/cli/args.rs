//! The command line: what may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A proxy that speaks the Postgres wire protocol and makes many PostgreSQL servers look like one.
#[derive(Debug, Parser)]
#[command(name = "pgbraid", version, about)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start PostgreSQL servers with a sample shop on this machine, and the proxy in front of them.
    Demo(Demo),
    /// Run the proxy. SIGHUP reloads the configuration; SIGTERM and SIGINT let running transactions end first.
    Serve(Serve),
    /// Say every mistake in a configuration, then ask its servers. Exits with 0 if pgbraid would work, else 1.
    Check(Check),
    /// Say how a statement would run, without running it.
    Explain(Explain),
}

/// `pgbraid demo`
#[derive(Args, Debug)]
pub struct Demo {
    /// Shards to start: PostgreSQL primaries among which the shop's rows are spread.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub shards: u8,

    /// Streaming replicas of each shard to start.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=8))]
    pub replicas: u8,

    /// Where the proxy listens [default: 127.0.0.1:6432, or the next free port].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,

    /// Where /metrics, /healthz and /readyz are [default: 127.0.0.1:9187, or the next free port].
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,

    /// Keep the servers' files here, and use them again next time [default: a temporary directory, removed at the end].
    #[arg(long)]
    pub dir: Option<PathBuf>,

    /// Run one statement through the proxy, print what it gives, and leave.
    #[arg(long, value_name = "SQL")]
    pub exec: Option<String>,
}

/// `pgbraid serve`
#[derive(Args, Debug)]
pub struct Serve {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `pgbraid check`
#[derive(Args, Debug)]
pub struct Check {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Look at the configuration alone; ask no server.
    #[arg(long)]
    pub offline: bool,

    /// Read all rows of placed tables: do they lie where the map says, are the copies of reference tables equal?
    #[arg(long, conflicts_with = "offline")]
    pub data: bool,
}

/// `pgbraid explain`
#[derive(Args, Debug)]
pub struct Explain {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Which of its databases, if it has several.
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,

    /// The statement.
    pub sql: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
        let line = CommandLine::try_parse_from(["pgbraid", "demo", "--replicas", "2", "--exec", "SELECT 1"]);
        assert!(matches!(line, Ok(CommandLine { command: Command::Demo(Demo { replicas: 2, .. }) })), "{line:?}");
        assert!(CommandLine::try_parse_from(["pgbraid", "demo", "--replicas", "99"]).is_err());
        assert!(CommandLine::try_parse_from(["pgbraid", "serve"]).is_err());
    }
}
