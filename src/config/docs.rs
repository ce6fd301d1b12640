//! `docs/configuration.md` and `config/everything.toml`, written from the table of keys; tests keep the files equal to it.
//!
//! After a change of the table: `cargo test --lib config::docs -- --ignored` writes them anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::keys::{self, Apply, Described, Section};
use super::tests::Fixed;
use super::value::{Kind, show_time};
use super::*;

const INTRO: &str = r#"# Configuration

<!-- Written from the table in src/config/keys.rs by `cargo test --lib config::docs -- --ignored`. -->

One TOML file, given by `--config FILE`. The smallest one that works:

```toml
[users.app]
password = "env:APP_PASSWORD"

[databases.shop]
shards.s1 = "postgres://10.0.0.1/shop"
```

Larger ones: [`config/pooler.toml`](../config/pooler.toml) (one server), [`config/replicas.toml`](../config/replicas.toml)
(a primary, two replicas, TLS), [`config/sharded.toml`](../config/sharded.toml) (two shards),
[`config/everything.toml`](../config/everything.toml) (every key with its default).

- **Check it.** `pgbraid check --config FILE` prints every mistake with its line and column, then asks each server;
  `--offline` leaves the servers alone. A key that isn't known is a mistake.
- **Change it.** SIGHUP, or `RELOAD` in the admin console, reads the file again; no client is dropped. A file with a
  mistake changes nothing. Keys marked *restart* keep their old value until a new process starts, and pgbraid says so.
- **Times** have a unit: `"250ms"`, `"5s"`, `"2m"`, `"1h"`, `"1d"`. A bare `0` is allowed where the key says what it means.
- **Paths** that are relative are found from the configuration's folder.
- **Secrets** stand in the file, in an environment variable (`env:NAME`) or in a file of their own (`file:PATH`).
"#;

const OUTRO: &str = r#"
## Servers

`postgres://host:port/dbname?parameters`, with port 5432 and the database's own name unless set. An IPv6 address stands in
brackets; a host that begins with `/` (written `%2F`), or `?host=/folder`, is a folder of Unix sockets. There is no user in
it: pgbraid enters a server as the client's user.

| parameter | meaning | default |
|---|---|---|
| `sslmode` | As libpq's. `disable`; `allow`: TLS if the server refuses the login without; `prefer`: TLS where the server has it, without if it refuses the login with TLS; `require`: TLS, whoever answers; `verify-ca`: a certificate by an authority in `sslrootcert`; `verify-full`: and for this host | `prefer` |
| `sslrootcert` | PEM file with the authorities | |
| `sslcert`, `sslkey` | PEM files: pgbraid's own certificate for the server | |
| `weight` | a replica's share of reads, against the others'; 0: none | 1 |
| `host`, `port` | as in the URL's own place | |

Which server is the primary is never written down: it is asked, and asked again.

## How pgbraid logs in at servers

| `[users]` has | clients prove themselves by | pgbraid logs in at servers by |
|---|---|---|
| the plain password | any method | any method that the server asks for |
| a SCRAM verifier | `scram-sha-256` | the keys that the client's proof yields; the verifier must be the servers' own, byte for byte (`pgbraid check` compares them) |
| an `md5…` hash | `md5` | `md5` |
| no password | `trust`, `cert` | what needs none: `trust`, `peer`, a certificate |

## The service user

pgbraid asks the servers some things as itself. It needs a role that may log in and connect to the database:

```sql
CREATE ROLE pgbraid LOGIN PASSWORD '…';
GRANT CONNECT ON DATABASE shop TO pgbraid;
GRANT pg_monitor TO pgbraid;
```

| for | it needs |
|---|---|
| roles of servers, positions, replicas' lag | to log in; `pg_monitor` to see why a replica lags |
| the catalog (which functions only read, which tables have triggers) | to log in: the catalogs are open to all |
| a sharded database: the stored map of keys, and whether rows lie where it says | on every shard `CREATE` on the database, or a schema `pgbraid` of its own; `SELECT` on the tables under `tables`, or `pg_read_all_data` ([operating.md](operating.md#sharded-databases)) |
| `auth.query` on `pg_authid` | to be a superuser; or, better, `EXECUTE` on a function of a superuser's, below |

```sql
CREATE FUNCTION pgbraid_login(name text) RETURNS TABLE (rolname name, rolpassword text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
AS 'SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1 AND rolcanlogin AND NOT rolsuper';
REVOKE ALL ON FUNCTION pgbraid_login(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbraid_login(text) TO pgbraid;
```

with `query = "SELECT * FROM pgbraid_login($1)"`.
"#;

/// The page of documentation.
fn page() -> String {
    let mut page = INTRO.to_owned();
    for section in Section::ALL {
        let _ = write!(page, "\n## `{}`\n\n{}\n\n", section.header(), section.doc());
        page.push_str("| key | value | default | change | meaning |\n|---|---|---|---|---|\n");
        for key in keys::all().into_iter().filter(|key| key.section == section) {
            let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
            let change = match key.apply {
                Apply::Reload => "reload",
                Apply::Restart => "*restart*",
            };
            let _ = writeln!(page, "| `{}` | {} | {default} | {change} | {} |", key.name, takes(key.kind), key.doc);
        }
    }
    page + OUTRO
}

/// What a kind takes, for the page.
fn takes(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Texts => "text or list".to_owned(),
        Kind::Address => "`host:port`".to_owned(),
        Kind::Addresses => "`host:port` or list".to_owned(),
        Kind::Path => "file".to_owned(),
        Kind::Paths => "folder or list".to_owned(),
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Count { least, most } => format!("{least} to {most}"),
        Kind::Time { least, most, off } => {
            format!("{}{} to {}", if off { "0, or " } else { "" }, show_time(least), show_time(most))
        }
        Kind::Choice(names) => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        Kind::Secret => "secret".to_owned(),
        Kind::Shards => "lists of servers".to_owned(),
        Kind::Weights => "numbers by shard".to_owned(),
        Kind::Tables => "placements by table".to_owned(),
        Kind::Functions => "promises by function".to_owned(),
    }
}

/// The example with every key.
fn everything() -> String {
    let mut text =
        "# Every key of pgbraid's configuration with its default. A key behind a # has none: it is off, or\n\
                    # follows from others, unless set. Written from the table in src/config/keys.rs; see\n\
                    # docs/configuration.md.\n"
            .to_owned();
    for section in Section::ALL {
        let header = match section {
            Section::User => "[users.app]",
            Section::Database => "[databases.shop]",
            other => other.header(),
        };
        let _ = write!(text, "\n{}{header}\n", comment(section.doc()));
        for key in keys::all().into_iter().filter(|key| key.section == section) {
            let _ = write!(text, "\n{}{}\n", comment(&format!("{} ({})", key.doc, takes(key.kind))), assignment(&key));
        }
        if section == Section::User {
            text.push_str("\n# pgbraid's own user on the servers.\n[users.pgbraid]\n");
            text.push_str("password = \"env:PGBRAID_SERVICE_PASSWORD\"\n");
        }
    }
    text
}

/// `key = value`: the default, or an example behind a `#`. Without a password and servers the file wouldn't load.
fn assignment(key: &Described) -> String {
    let name = if matches!(key.kind, Kind::Shards) { "shards.s1" } else { key.name };
    let needed = ["password", "service_user", "shards"].contains(&key.name);
    match key.default {
        "" if needed => format!("{name} = {}", key.example),
        "" => format!("# {name} = {}", key.example),
        default => format!("{name} = {default}"),
    }
}

/// Text as comment lines of about a hundred characters.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() > 100 {
            lines.push_str(&line);
            lines.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn written() -> [(&'static str, String); 2] {
    [("docs/configuration.md", page()), ("config/everything.toml", everything())]
}

#[test]
fn written_files_agree_with_the_table() {
    for (path, expected) in written() {
        let found = std::fs::read_to_string(file(path)).unwrap_or_default();
        assert!(
            found == expected,
            "{path} differs from the table of keys; `cargo test --lib config::docs -- --ignored` writes it anew. \
             Expected:\n{expected}"
        );
    }
}

#[test]
#[ignore = "writes docs/configuration.md and config/everything.toml"]
fn write_anew() {
    for (path, text) in written() {
        std::fs::write(file(path), text).unwrap();
    }
}

/// What the examples name.
fn example_environment() -> Fixed {
    Fixed::new(&[("APP_PASSWORD", "a"), ("PGBRAID_SERVICE_PASSWORD", "b"), ("REPORTS_PASSWORD", "c")], &[])
}

fn load_example(name: &str, text: &str) -> Config {
    match parse(text, name, &example_environment()) {
        Ok(config) => config,
        Err(mistakes) => {
            let mistakes: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
            panic!("{name}:\n{}", mistakes.join("\n"))
        }
    }
}

#[test]
fn every_example_loads() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(file("config")).unwrap() {
        let path = entry.unwrap().path();
        let config = load_example(&path.to_string_lossy(), &std::fs::read_to_string(&path).unwrap());
        assert!(!config.databases.is_empty());
        names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["everything.toml", "pooler.toml", "replicas.toml", "sharded.toml"]);
}

#[test]
fn everything_names_every_key_and_loads_with_all_of_them() {
    // Lines behind a `#` that set something are set; `http` and the rest are then read too.
    let text: String = everything()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.split_once(" = ").is_some_and(|(key, _)| keys::all().iter().any(|known| known.name == key)) =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let config = load_example("everything.toml", &text);
    for setting in settings(&config) {
        assert!(!setting.value.is_empty() || setting.key.starts_with("users.pgbraid."), "{setting:?}");
    }
}
