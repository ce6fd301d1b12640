//! `pgbraid check`: every mistake in a configuration, then what the servers say of it.

mod ask;
mod data;
mod judge;
mod sharding;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{Config, Database, ProcessEnvironment, ServerAddress, load};
use crate::net::tls::ServerTls;

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// What it is about: `shop at 10.0.0.1:5432`.
    about: String,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Good,
    /// Worth knowing; pgbraid works.
    Note,
    /// Won't work.
    Bad,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = match self.level {
            Level::Good => "ok  ",
            Level::Note => "note",
            Level::Bad => "FAIL",
        };
        write!(f, "{level}  {}: {}", self.about, self.text)
    }
}

/// Checks the configuration at `path`; without `offline` its servers too, with `data` also their rows. Prints a line a finding; the exit code is 0
/// where pgbraid would work, 1 where it wouldn't.
pub fn run(path: &Path, offline: bool, data: bool) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let sound = check(path, offline, data, &mut out).unwrap_or(false);
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the configuration is sound. Errors are those of writing to `out`.
fn check(path: &Path, offline: bool, data: bool, out: &mut impl Write) -> std::io::Result<bool> {
    let config = match load(path, &ProcessEnvironment) {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in &mistakes {
                writeln!(out, "{}:{mistake}", path.display())?;
            }
            return Ok(false);
        }
    };
    let mut findings = files(&config);
    if !offline {
        findings.extend(servers(&config, data));
    }
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    let failed = findings.iter().filter(|finding| finding.level == Level::Bad).count();
    match failed {
        0 => writeln!(out, "{}: no mistake", path.display())?,
        _ => writeln!(out, "{}: {failed} of {} findings must be put right", path.display(), findings.len())?,
    }
    Ok(failed == 0)
}

/// Certificates and keys that can't be used.
fn files(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = ServerTls::from_config(&config.server) {
        let text = match error.hint_text() {
            Some(hint) => format!("{} ({hint})", error.message()),
            None => error.message().to_owned(),
        };
        findings.push(Finding { level: Level::Bad, about: "[server] TLS".to_owned(), text });
    }
    let mut named: Vec<&PathBuf> = all_servers(config)
        .flat_map(|(_, server)| [&server.sslrootcert, &server.sslcert, &server.sslkey])
        .flatten()
        .collect();
    named.sort();
    named.dedup();
    for path in named {
        if let Err(error) = std::fs::File::open(path) {
            let text = format!("can't be read: {error}");
            findings.push(Finding { level: Level::Bad, about: path.display().to_string(), text });
        }
    }
    findings
}

/// Every server of every database.
fn all_servers(config: &Config) -> impl Iterator<Item = (&Arc<Database>, &ServerAddress)> {
    let databases = config.databases.values();
    databases.flat_map(|database| {
        database.shards.iter().flat_map(|shard| &shard.servers).map(move |server| (database, server))
    })
}

/// What the servers say.
fn servers(config: &Config, data: bool) -> Vec<Finding> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let text = format!("can't be asked: {error}");
            return vec![Finding { level: Level::Bad, about: "the servers".to_owned(), text }];
        }
    };
    let answers = runtime.block_on(futures_util::future::join_all(
        all_servers(config).map(|(database, server)| ask::ask(config, database, server)),
    ));
    let mut findings = judge::judge(config, &answers);
    for database in config.databases.values().filter(|database| data && database.is_sharded()) {
        let own: Vec<_> = answers.iter().filter(|answer| answer.database == database.name).collect();
        findings.extend(runtime.block_on(data::look(config, database, &own)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_file_and_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad.toml");
        std::fs::write(&path, "[server]\nmax_clents = 5\nworkers = -1\n").unwrap();
        let mut out = Vec::new();
        assert!(!check(&path, true, false, &mut out).unwrap());
        let out = String::from_utf8(out).unwrap();
        let place = path.display();
        assert!(out.contains(&format!("{place}:2:1: [server] has no key `max_clents`\n  hint: did you mean")), "{out}");
        assert!(out.contains(&format!("{place}:3:11: `workers` is -1")), "{out}");
    }

    #[test]
    fn files_that_are_missing_are_found_without_a_server() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tls.toml");
        let text = "[server]\ntls_cert = \"no.crt\"\ntls_key = \"no.key\"\n[users.app]\npassword = \"x\"\n[databases.d]\n\
                    shards.s = \"postgres://127.0.0.1/d?sslmode=verify-ca&sslrootcert=ca.crt\"\n";
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        assert!(!check(&path, true, false, &mut out).unwrap());
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("no.crt") && out.contains("ca.crt: can't be read"), "{out}");
        assert!(out.ends_with("2 of 2 findings must be put right\n"), "{out}");
    }
}
