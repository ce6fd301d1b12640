//! Finds a directory with PostgreSQL's server programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::failure::Failure;

/// What a cluster is started with. All must be in one directory: some systems have a lone `postgres` or `initdb`
/// earlier in PATH, and mixing versions fails late.
const NEEDED: [&str; 5] = ["initdb", "postgres", "pg_ctl", "pg_basebackup", "psql"];

/// Major versions that pgbraid supports.
const VERSIONS: std::ops::RangeInclusive<u32> = 14..=18;

/// A directory that has all of PostgreSQL's server programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Looks through PATH, then Debian's directories from the newest version down, then asks `pg_config`.
    ///
    /// # Errors
    /// No directory has all programs.
    pub fn find() -> Result<Self, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
        let debian = VERSIONS.rev().map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
        in_path.chain(debian).chain(pg_config_bindir()).find(|dir| complete(dir)).map(|dir| Self { dir }).ok_or_else(
            || {
                Failure::new(
                    "the PostgreSQL server programs (initdb, postgres, pg_ctl, pg_basebackup, psql) were not found",
                )
                .hint("On Debian or Ubuntu: run docker/deps.sh server, or apt-get install postgresql.")
            },
        )
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn complete(dir: &Path) -> bool {
    NEEDED.iter().all(|name| dir.join(name).is_file())
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim()))
}
