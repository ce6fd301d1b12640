//! The account that PostgreSQL runs under: our own, or an unprivileged one when we are root (the server refuses root).

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::cli::failure::Failure;

/// Another account to run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Other {
    uid: u32,
    gid: u32,
}

/// Who runs the servers and owns their files.
#[derive(Clone, Copy, Debug)]
pub struct Account(Option<Other>);

impl Account {
    /// Chooses: if we are root, `postgres`, else `nobody`, else the first ordinary account; if not, ourselves.
    ///
    /// # Errors
    /// We are root and the system has no other account.
    pub fn choose() -> Result<Self, Failure> {
        // Who we are is who owns what we make.
        let ours = tempfile::tempfile().and_then(|file| file.metadata());
        if ours.map_err(|e| Failure::of("no temporary file", e))?.uid() != 0 {
            return Ok(Self(None));
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| Failure::of("/etc/passwd", e))?;
        match unprivileged(&passwd) {
            Some(other) => Ok(Self(Some(other))),
            None => Err(Failure::new("PostgreSQL won't run as root, and no other account was found")
                .hint("Make one, for example by: adduser --system --group postgres.")),
        }
    }

    /// Makes `command` run as this account, away from directories it may not enter.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(other) = self.0 {
            command.gid(other.gid).uid(other.uid);
        }
        command.current_dir("/")
    }

    /// Gives a file or directory to this account.
    ///
    /// # Errors
    /// The system's.
    pub fn own(&self, path: &Path) -> Result<(), Failure> {
        match self.0 {
            Some(other) => std::os::unix::fs::chown(path, Some(other.uid), Some(other.gid))
                .map_err(|e| Failure::of(format_args!("could not give {} to another account", path.display()), e)),
            None => Ok(()),
        }
    }
}

/// The best account in a passwd file's text.
fn unprivileged(passwd: &str) -> Option<Other> {
    let accounts: Vec<(&str, Other)> = passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (uid != 0).then_some((name, Other { uid, gid }))
        })
        .collect();
    let named = |wanted: &str| accounts.iter().find(|(name, _)| *name == wanted);
    named("postgres")
        .or_else(|| named("nobody"))
        .or_else(|| accounts.iter().find(|(_, other)| (1000..60_000).contains(&other.uid)))
        .map(|(_, other)| *other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_postgres_then_nobody_then_a_person_and_never_root() {
        let root = "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/root:/bin/sh\n";
        let daemon = "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";
        let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
        let postgres = "postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let ann = "ann:x:1000:1001::/home/ann:/bin/bash\n";
        let choose = |parts: &[&str]| unprivileged(&parts.concat()).map(|o| (o.uid, o.gid));
        assert_eq!(choose(&[root, daemon, ann, nobody, postgres]), Some((101, 104)));
        assert_eq!(choose(&[root, daemon, ann, nobody]), Some((65534, 65534)));
        assert_eq!(choose(&[root, daemon, ann]), Some((1000, 1001)));
        assert_eq!(choose(&[root, daemon, "broken\n::\n"]), None);
    }
}
