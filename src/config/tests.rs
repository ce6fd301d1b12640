//! Tests of whole configurations: defaults, every mistake at its place, changes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::{self, Apply};
use super::*;

/// An environment of a test's choosing.
#[derive(Default)]
pub struct Fixed {
    vars: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
}

impl Fixed {
    pub fn new(vars: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        Self {
            vars: vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            files: files.iter().map(|(k, v)| (PathBuf::from(k), (*v).to_owned())).collect(),
        }
    }
}

impl Environment for Fixed {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }
    fn read_file(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    parse(text, "etc/pgbraid.toml", &Fixed::new(&[("APP", "s3cret")], &[("etc/pw", "from file\n")]))
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// The mistakes as `line:column: message | hint`.
fn mistakes(text: &str) -> Vec<String> {
    let Err(mistakes) = read(text) else { panic!("no mistake in:\n{text}") };
    mistakes
        .into_iter()
        .map(|Mistake { line, column, message, hint }| {
            format!("{line}:{column}: {message} | {}", hint.unwrap_or_default())
        })
        .collect()
}

const SMALL: &str = "[users.app]\npassword = \"env:APP\"\n[databases.shop]\nshards.s1 = \"postgres://10.0.0.1\"\n";

#[test]
fn a_small_configuration_has_pgbouncers_defaults() {
    let config = good(SMALL);
    assert_eq!(config.server.listen, ["127.0.0.1:6432"]);
    assert_eq!(config.server.max_clients, 10_000);
    assert_eq!(config.server.tls, ClientTls::Disable);
    assert_eq!(config.server.login_timeout, Duration::from_secs(60));
    assert_eq!(config.auth.method, AuthMethod::ScramSha256);
    assert!(config.log.connections && !config.log.json);
    let shop = &config.databases["shop"];
    assert_eq!((shop.pool.size, shop.pool.min_size, shop.pool.mode), (20, 0, PoolMode::Transaction));
    assert_eq!(shop.pool.wait, Duration::from_secs(120));
    assert_eq!(shop.pool.idle_timeout, Duration::from_secs(600));
    assert_eq!(shop.pool.max_lifetime, Duration::from_secs(3600));
    assert_eq!(shop.pool.connect_timeout, Duration::from_secs(15));
    assert_eq!(shop.pool.query_timeout, Duration::ZERO);
    assert_eq!(shop.replicas.consistency, Consistency::Proxy);
    assert_eq!(shop.replicas.health_interval, Duration::from_millis(500));
    assert_eq!(shop.shards[0].servers[0].to_string(), "10.0.0.1:5432");
    assert_eq!(config.users["app"].password.as_ref().map(|p| p.reveal()), Some("s3cret"));
}

#[test]
fn values_are_read() {
    let config = good(
        r#"
        [server]
        listen = ["0.0.0.0:6432", "[::1]:6433", "localhost:0"]
        unix_socket_dir = "sockets"
        tls_cert = "server.crt"
        tls_key = "/keys/server.key"
        workers = 0x4
        shutdown_timeout = 0
        admin_users = "app"
        [log]
        format = "json"
        connections = false
        [users.app]
        password = "file:pw"
        pool_mode = "session"
        pool_size = 3
        [databases.shop]
        pool_wait = "250ms"
        query_timeout = "0"
        [databases.shop.shards]
        s1 = ["postgres://a/x"]
        "#,
    );
    assert_eq!(config.server.listen.len(), 3);
    assert_eq!(config.server.unix_socket_dirs, [PathBuf::from("etc/sockets")]);
    assert_eq!(config.server.tls_cert.as_deref(), Some(Path::new("etc/server.crt")));
    assert_eq!(config.server.tls_key.as_deref(), Some(Path::new("/keys/server.key")));
    assert_eq!((config.server.workers, config.server.tls), (4, ClientTls::Allow));
    assert_eq!(config.server.shutdown_timeout, Duration::ZERO);
    assert_eq!(config.server.admin_users, ["app"]);
    assert!(config.log.json && !config.log.connections);
    let app = &config.users["app"];
    assert_eq!(app.password.as_ref().map(|p| p.reveal()), Some("from file"));
    assert_eq!((app.pool_mode, app.pool_size, app.max_clients), (Some(PoolMode::Session), Some(3), None));
    assert_eq!(config.databases["shop"].pool.wait, Duration::from_millis(250));
    assert_eq!(config.databases["shop"].shards[0].servers[0].dbname, "x");
}

#[test]
fn all_mistakes_are_told_at_once_in_order() {
    let found = mistakes(
        "[server]\nlisten = \"*:6432\"\nmax_clents = 5\ntls_cert = \"a\"\n\n[auth]\nmethod = \"scram\"\n\n\
         [users.app]\npassword = \"env:NOPE\"\n\n[databases.shop]\npool_wait = 5\nmin_pool_size = 30\n\
         shards.s1 = [\"postgres://a\", \"postgres://u:p@b\"]\n",
    );
    let starts: Vec<&str> = found.iter().map(|text| text.split(' ').next().unwrap_or("")).collect();
    assert_eq!(starts, ["2:10:", "3:1:", "4:12:", "7:10:", "10:12:", "13:13:", "14:17:", "15:30:"], "{found:#?}");
}

/// What is wrong, and a part of the mistake that it must give.
const CASES: &[(&str, &str)] = &[
    // Names.
    (
        "[server]\nmax_client_conn = 5\n",
        "2:1: [server] has no key `max_client_conn` | PgBouncer's `max_client_conn` is [server] max_clients here",
    ),
    ("[server]\nmax_cliens = 5\n", "did you mean `max_clients`?"),
    ("[server]\npool_size = 5\n", "`pool_size` belongs in [users.NAME] or [databases.NAME]"),
    ("[databases.shop]\nserver_lifetime = \"1h\"\n", "[databases.NAME] max_lifetime here"),
    (
        "[databases.shop.users.app]\npassword = \"x\"\n",
        "1:17: [databases.NAME] has no key `users` | users are the same for all databases: write a section [users.NAME]",
    ),
    ("[databases.shop]\nzzz = 1\n", "its keys are service_user, shards"),
    ("[sever]\n", "1:2: there is no section [sever] | did you mean [server]?"),
    ("pool_size = 3\n", "`pool_size` belongs in [users.NAME] or [databases.NAME]"),
    ("server = 3\n", "`server` is a whole number; it must be a section"),
    ("[users]\napp = \"x\"\n", "`users.app` is a text | each has a section of its own: [users.NAME]"),
    // Values.
    ("[databases.shop]\npool_wait = 5\n", "write pool_wait = \"5s\" for seconds"),
    ("[databases.shop]\npool_wait = 0\n", "`pool_wait` is 0 without a unit"),
    ("[databases.shop]\npool_wait = \"0s\"\n", "it must be from 1ms to 365d"),
    ("[databases.shop]\npool_wait = \"soon\"\n", "isn't a time | write a whole number and a unit"),
    ("[databases.shop]\npool_size = 0\n", "`pool_size` is 0; it must be from 1 to 10000"),
    ("[databases.shop]\npool_size = -1\n", "`pool_size` is -1; it must be from 1 to 10000"),
    ("[databases.shop]\npool_size = \"20\"\n", "`pool_size` is a text; it must be a whole number without quotes"),
    ("[databases.shop]\npool_mode = \"Transaction\"\n", "did you mean \"transaction\"?"),
    ("[server]\nlisten = [6432]\n", "`listen` has a whole number in it"),
    ("[server]\nlisten = [\"a:1\", \"a:1\"]\n", "2:18: `listen` names \"a:1\" twice"),
    ("[server]\nlisten = \"6432\"\n", "a port is needed"),
    ("[server]\nlisten = \"::1:6432\"\n", "in brackets"),
    ("[server]\nlisten = \"300.0.0.1:6432\"\n", "isn't an address"),
    ("[server]\nlisten = \"a:66000\"\n", "isn't an address"),
    ("[server]\nlisten = []\n", "nowhere to listen"),
    ("[server]\nlisten = \"a:1\"\nhttp = \"a:1\"\n", "both a:1"),
    ("[server]\nlog = 1\n", "[server] has no key `log`"),
    // Secrets.
    ("[users.x]\npassword = \"env:NOPE\"\n", "2:12: the environment variable `NOPE` isn't set"),
    ("[users.x]\npassword = \"file:nope\"\n", "the file `nope` can't be read"),
    ("[users.x]\npassword = \"\"\n", "the password is empty"),
    ("[users.x]\npool_size = 1\n", "1:8: the user `x` has no password"),
    ("[users.x]\npassword = \"SCRAM-SHA-256$x\"\n", "isn't one | copy it whole"),
    ("[users.x]\npassword = \"md5d41d8cd98f00b204e9800998ecf8427e\"\n", "is an MD5 hash"),
    // TLS.
    ("[server]\ntls_cert = \"a\"\n", "`tls_cert` is set and `tls_key` isn't"),
    ("[server]\ntls_key = \"a\"\n", "`tls_key` is set and `tls_cert` isn't"),
    ("[server]\ntls = \"require\"\n", "2:7: `tls` is \"require\" and there is no `tls_cert`"),
    ("[auth]\nmethod = \"cert\"\n", "needs `tls_client_ca`"),
    // Between sections.
    ("[server]\nadmin_users = [\"ap\"]\n", "`admin_users` names `ap`, which isn't in [users] | did you mean \"app\"?"),
    ("[auth]\nquery = \"SELECT 1\"\n", "no $1"),
    ("[auth]\nquery = \"SELECT $1\"\n[databases.x]\nshards.s1 = \"postgres://a\"\n", "`x` has no `service_user`"),
    ("[databases.pgbraid]\nshards.s1 = \"postgres://a\"\n", "1:12: the name `pgbraid` belongs to the admin console"),
    (
        "[databases.x]\nservice_user = \"ap\"\nshards.s1 = \"postgres://a\"\n",
        "2:16: `service_user` names `ap`, which isn't in [users] | did you mean \"app\"?",
    ),
    (
        "[databases.x]\nshards.s1 = [\"postgres://a\", \"postgres://b\"]\n",
        "2:8: `x` has several servers and no `service_user`",
    ),
    (
        "[databases.x]\nshards.s1 = \"postgres://a\"\nshards.s2 = \"postgres://b\"\n",
        "1:12: `x` has 2 shards and no `home`",
    ),
    ("[databases.x]\nshards.s1 = [\"postgres://a:1\", \"postgres://a:1/x\"]\n", "2:32: the server a:1 is named twice"),
    ("[databases.x]\nhome = \"s3\"\nshards.s1 = \"postgres://a\"\n", "2:8: `home` names `s3`, which isn't a shard"),
    (
        "[databases.x]\nhome = \"s1\"\nshards.s1 = \"postgres://a\"\nshards.s2 = \"postgres://b\"\n",
        "1:12: `x` is sharded and has no `service_user`",
    ),
    ("[databases.x]\nshards.s1 = \"postgres://a\"\nshard_weights.s2 = 2\n", "3:15: `shard_weights` names `s2`"),
    ("[databases.x]\nshards.s1 = \"postgres://a\"\nshard_weights.s1 = 0\n", "from 1 to 1000"),
    ("[databases.x]\nshards.s1 = \"postgres://a\"\nbuckets = 100\n", "3:11: `buckets` is 100, which isn't a power"),
    (
        "[databases.x]\ncross_shard_commit = \"best-effort\"\ncross_shard_reads = \"atomic\"\nshards.s1 = \"postgres://a\"\n",
        "3:21: `cross_shard_reads` is \"atomic\", and `cross_shard_commit` is \"best-effort\" | what isn't committed",
    ),
    ("[databases.x.tables]\no = { kee = \"id\" }\n", "2:7: the table `o` has `kee` | did you mean `key`?"),
    ("[databases.x.tables]\no = { reference = false }\n", "2:1: the table `o` has no `key`"),
    ("[databases.x.tables]\no = { key = 5 }\n", "2:13: `key` is a whole number"),
    ("[databases.x.tables]\no = 5\n", "the table `o` is a whole number"),
    ("[databases.x]\ntables = 5\n", "`tables` is a whole number"),
    ("[databases.x.tables]\no = { key = \"id\", reference = true }\n", "is a reference and has a key"),
    ("[databases.x.tables]\na.b = { key = \"id\" }\n", "in quotes: \"a.b\" ="),
    ("[databases.x.tables]\n\"a.b.c\" = { key = \"id\" }\n", "`a.b.c` isn't a table's name"),
    (
        "[databases.x.tables]\na = { reference = true }\n\"public.a\" = { reference = true }\n",
        "3:1: the table `public.a`",
    ),
    (
        "[databases.x.tables]\norders = { key = \"id\" }\nitems = { key = \"id\", with = \"oders\" }\n",
        "3:30: `with` names `public.oders`, which has no entry in `tables` | did you mean \"orders\"?",
    ),
    (
        "[databases.x.tables]\na = { key = \"id\", with = \"b\" }\nb = { key = \"id\", with = \"a\" }\n",
        "2:26: `a` is co-located with itself",
    ),
    (
        "[databases.x.tables]\na = { key = \"id\", with = \"b\" }\nb = { reference = true }\n",
        "`with` names `b`, whose rows aren't placed by the hash",
    ),
    ("[databases.x.tables]\na = { key = \"k\", list = { s9 = [\"u\"] } }\n", "2:25: `list` names `s9`"),
    ("[databases.x.tables]\na = { key = \"k\", list = { s1 = [\"u\", \"u\"] } }\n", "\"u\" twice"),
    ("[databases.x.tables]\na = { key = \"k\", list = { s1 = \"u\" }, rest = \"s8\" }\n", "`rest` names `s8`"),
    ("[databases.x.tables]\na = { key = \"k\", rest = \"s1\" }\n", "has `rest` and no `list`"),
    ("[databases.x.functions]\nf = { reads = \"all\" }\n", "the function `f` needs `reads`"),
    ("[databases.x]\nshards.s1 = []\n", "the shard has no server"),
    ("[databases.x]\nshards = {}\n", "`shards` has no shard"),
    ("[databases.x]\nshards = [\"postgres://a\"]\n", "`shards` is a list; it must name each shard"),
    ("[databases.x]\nshards.s1 = [5]\n", "a server is a whole number"),
    ("[databases.x]\npool_size = 1\n", "1:12: [databases.x] has no `shards`"),
    (
        "[databases.x]\nmin_pool_size = 21\nshards.s1 = \"postgres://a\"\n",
        "`min_pool_size` is 21, more than `pool_size` 20",
    ),
    ("[databases.x]\nmax_lag = \"10ms\"\nshards.s1 = \"postgres://a\"\n", "longer than `max_lag`"),
];

#[test]
fn each_mistake_names_what_to_do() {
    let mut missing = Vec::new();
    for (text, part) in CASES {
        // A configuration that is sound but for the case, which stands first so that its places count.
        let mut whole = (*text).to_owned();
        for section in SMALL.split_inclusive("\"\n").collect::<Vec<_>>() {
            let header = section.lines().next().unwrap_or("");
            if !text.contains(header) && !text.contains("[users]") && !text.contains("[databases.shop") {
                whole.push_str(section);
            }
        }
        let found = mistakes(&whole);
        if !found.iter().any(|mistake| mistake.contains(part)) {
            missing.push(format!("{text}wants {part}\ngot {found:#?}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_mistake_alone_brings_no_others() {
    for text in [
        format!("[server]\ntls_cert = 5\ntls_key = \"a\"\n{SMALL}"),
        format!("[server]\nlisten = 5\n{SMALL}"),
        SMALL.replace("env:APP", "env:NOPE"),
        SMALL.replace("postgres://10.0.0.1", "postgres://"),
        SMALL.replace("[databases.shop]", "[databases.shop]\nservice_user = 5"),
        SMALL.replace("[users.app]", "[users.app]\npool_size = \"x\""),
        SMALL.replace("password = \"env:APP\"", "password = \"env:APP"),
    ] {
        assert_eq!(mistakes(&text).len(), 1, "{text}{:#?}", mistakes(&text));
    }
}

#[test]
fn syntax_and_meaning_are_told_together() {
    let found = mistakes("[server]\nworkers = = 3\nmax_clents = 3\n");
    assert!(found.iter().any(|text| text.starts_with("2:")), "{found:#?}");
    assert!(found.iter().any(|text| text.contains("max_clients")), "{found:#?}");
    let twice = mistakes("[server]\nworkers = 1\nworkers = 2\n");
    assert!(twice.iter().any(|text| text.starts_with("3:1: duplicate key")), "{twice:#?}");
}

#[test]
fn an_empty_file_says_what_is_missing() {
    let found = mistakes("");
    assert!(found.iter().any(|text| text.contains("there is no database")), "{found:#?}");
    assert!(found.iter().any(|text| text.contains("there are no users")), "{found:#?}");
}

#[test]
fn md5_needs_more_than_a_verifier() {
    let key = "A".repeat(43) + "=";
    let verifier = format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}");
    let text = SMALL.replace("env:APP", &verifier);
    assert_eq!(stored_password(good(&text).users["app"].password.as_ref().unwrap()), StoredPassword::Scram);
    let md5 = mistakes(&format!("[auth]\nmethod = \"md5\"\n{text}"));
    assert!(md5[0].contains("is a SCRAM verifier") && !md5[0].contains("c2FsdA"), "{md5:#?}");
    let service = mistakes(&text.replace("[databases.shop]", "[databases.shop]\nservice_user = \"app\""));
    assert!(service[0].contains("can't log in at a server"), "{service:#?}");
}

#[test]
fn no_secret_is_shown() {
    let config = good(SMALL);
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(!format!("{:?}", settings(&config)).contains("s3cret"));
    let other = good(&SMALL.replace("env:APP", "other"));
    let changes = diff(&config, &other);
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0].to_string(), "users.app.password has changed");
}

#[test]
fn changes_say_what_they_need() {
    let old = good(SMALL);
    assert_eq!(diff(&old, &old), []);
    let new = good(&format!(
        "[server]\nlisten = \"127.0.0.1:7000\"\nhttp = \"127.0.0.1:1\"\nmax_clients = 5\n{}pool_size = 5\n[databases.more]\nshards.s1 = \"postgres://b\"\n",
        SMALL.replace("10.0.0.1", "10.0.0.2"),
    ));
    let changes: Vec<(String, Apply)> = diff(&old, &new).into_iter().map(|c| (c.to_string(), c.apply)).collect();
    let restart: Vec<&str> = changes.iter().filter(|c| c.1 == Apply::Restart).map(|c| c.0.as_str()).collect();
    let reload: Vec<&str> = changes.iter().filter(|c| c.1 == Apply::Reload).map(|c| c.0.as_str()).collect();
    assert_eq!(
        restart,
        ["server.listen was \"127.0.0.1:6432\", is now \"127.0.0.1:7000\"", "server.http is now \"127.0.0.1:1\""]
    );
    assert_eq!(reload.len(), 4, "{reload:#?}");
    assert_eq!(reload[0], "server.max_clients was 10000, is now 5");
    assert!(reload[1].starts_with("databases.shop.shards was"), "{reload:#?}");
    assert_eq!(reload[2], "databases.shop.pool_size was 20, is now 5");
    assert_eq!(reload[3], "databases.more is now there");
}

#[test]
fn every_default_reads_as_itself() {
    let config = good(SMALL);
    for shown in settings(&config) {
        let given = ["users.app.password", "databases.shop.shards", "server.tls"].contains(&shown.key.as_str());
        assert!(given || shown.value == shown.default || same_time(&shown), "{shown:?}");
    }
}

/// `"60s"` is shown as `"1m"`.
fn same_time(shown: &Shown) -> bool {
    let time = |text: &str| super::value::read_time(text.trim_matches('"'));
    time(&shown.value).is_some() && time(&shown.value) == time(shown.default)
}

#[test]
fn every_key_is_named_once_a_section_and_says_what_it_does() {
    let all = keys::all();
    for key in &all {
        let same = all.iter().filter(|other| other.section == key.section && other.name == key.name).count();
        assert_eq!(same, 1, "{} {}", key.section.header(), key.name);
        assert!(key.doc.ends_with('.'), "{}", key.name);
        assert_eq!(key.default.is_empty(), !key.example.is_empty(), "{}: a default or an example", key.name);
    }
}

#[test]
fn no_text_makes_it_panic() {
    let whole = include_str!("../../config/everything.toml");
    let env = Fixed::default();
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)).step_by(7) {
        let _ = parse(&whole[..end], "", &env);
    }
    for (at, byte) in ["\"", "[", "]", "=", "{", "'", "\u{0}", "é", "\n", "-", "%", "$"].iter().enumerate() {
        for start in (at..whole.len()).step_by(97).filter(|start| whole.is_char_boundary(*start)) {
            let _ = parse(&format!("{}{byte}{}", &whole[..start], &whole[start..]), "", &env);
        }
    }
    for text in [
        "\u{feff}[server]",
        "a.b.c = 1",
        "server.listen.x = 1",
        "[[users]]",
        "[databases]\nx = [1]",
        "users = 1979-05-27",
    ] {
        assert!(parse(text, "", &env).is_err(), "{text}");
    }
}
