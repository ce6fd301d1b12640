//! Drivers can't tell the proxy from PostgreSQL: the scenarios of `tests/drivers` give the same transcript on both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use pgbraid::cli::cluster::{Binaries, ClusterOptions};
use pgbraid::cli::demo::shop;
use tokio::process::Command;

use crate::support::proxy::Proxy;
use crate::support::raw::Target;
use crate::support::servers::{Shop, own_shop};

/// How long one driver's scenarios may take on one server.
const LIMIT: Duration = Duration::from_secs(300);

/// Server connections of each proxy here: fewer than any driver's clients, so that they are really shared.
const POOL_SIZE: usize = 4;

/// PostgreSQL with a replica, and a proxy of the test's own in front of it.
pub struct DriverServers {
    shop: &'static Shop,
    proxy: Proxy,
}

/// The servers that all tests of drivers share, and a new proxy.
pub async fn servers() -> DriverServers {
    static SHARED: OnceLock<Shop> = OnceLock::new();
    let shop = SHARED.get_or_init(|| own_shop(ClusterOptions { replicas: 1, ..ClusterOptions::default() }));
    let proxy = shop.proxy(&format!("pool_size = {POOL_SIZE}")).await;
    DriverServers { shop, proxy }
}

impl DriverServers {
    /// PostgreSQL itself.
    pub fn direct(&self) -> Target {
        self.shop.primary()
    }

    /// The same through the proxy.
    pub fn proxied(&self) -> Target {
        self.proxy.shop()
    }
}

/// A file of the repository; one that `docker/deps.sh test` installs must be there.
fn needed(path: &str) -> PathBuf {
    let full =
        if path.starts_with('/') { PathBuf::from(path) } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(path) };
    assert!(full.exists(), "{path} is missing: run `docker/deps.sh test`, which installs what the drivers' tests need");
    full
}

/// Runs a program to its end, within the limit.
async fn run(command: &mut Command) -> Output {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().unwrap_or_else(|error| {
        panic!("{name} doesn't start ({error}): run `docker/deps.sh test`, which installs what the drivers' tests need")
    });
    let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    ended.unwrap_or_else(|_| panic!("{name} didn't end within {LIMIT:?}")).unwrap()
}

/// Runs a program that must succeed; what it printed.
async fn succeed(command: &mut Command) -> String {
    let output = run(command).await;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?} ended with {}:\n{out}\n{err}", command.as_std(), output.status);
    out.into_owned()
}

/// A transcript: the scenarios' lines by name. A scenario that failed makes the test fail where `direct`, for then it
/// is the scenario that is wrong.
fn transcript(text: &str, direct: bool) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let marker = line.find("\"scenario\":").unwrap_or_else(|| panic!("not a line of a transcript: {line}"));
        let name = line[marker + 11..].split('"').nth(1).unwrap_or_default().to_owned();
        assert!(!direct || !line.contains("\"failed\":"), "{name} fails on PostgreSQL itself:\n{line}");
        assert!(lines.insert(name, line.to_owned()).is_none(), "a scenario ran twice:\n{line}");
    }
    lines
}

/// Runs a driver's scenarios on PostgreSQL and through the proxy, and compares. `least` is the number of scenarios
/// below which the list must have been cut by mistake.
async fn same_transcripts(least: usize, command: impl Fn(&Target) -> Command) {
    let servers = servers().await;
    let direct = transcript(&succeed(&mut command(&servers.direct())).await, true);
    let proxied = transcript(&succeed(&mut command(&servers.proxied())).await, false);
    assert!(direct.len() >= least, "only {} scenarios ran", direct.len());
    let mut differences = String::new();
    for (name, line) in &direct {
        let other = proxied.get(name).map_or("(it didn't run)", String::as_str);
        if line != other {
            differences += &difference(name, line, other);
        }
    }
    assert!(differences.is_empty(), "the proxy can be told from PostgreSQL:\n{differences}");
    assert_eq!(direct.len(), proxied.len());
}

/// Where two lines part, with what stands before.
fn difference(name: &str, direct: &str, proxied: &str) -> String {
    let same = direct.bytes().zip(proxied.bytes()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| -> String {
        let (from, to) = (same.saturating_sub(120), (same + 300).min(text.len()));
        String::from_utf8_lossy(text.as_bytes().get(from..to).unwrap_or_default()).into_owned()
    };
    let failed = proxied.find("\"failed\":").map_or("", |at| &proxied[at..]);
    format!("{name}\n  direct: …{}\n  proxy:  …{}\n  {failed}\n", part(direct), part(proxied))
}

fn python(script: &str, schema: &str, target: &Target) -> Command {
    let mut command = Command::new(needed("target/drivers/venv/bin/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(needed(&format!("tests/drivers/python/{script}")));
    command.arg(target.url()).arg(schema);
    command
}

#[tokio::test]
async fn psycopg() {
    same_transcripts(34, |target| python("psycopg_suite.py", "drv_psycopg", target)).await;
}

#[tokio::test]
async fn asyncpg() {
    same_transcripts(13, |target| python("asyncpg_suite.py", "drv_asyncpg", target)).await;
}

#[tokio::test]
async fn node_postgres() {
    same_transcripts(12, |target| {
        let mut command = Command::new("node");
        command.arg("--no-deprecation").env("DRIVER_MODULES", needed("target/drivers/node_modules"));
        command.arg(needed("tests/drivers/node/suite.js")).arg(target.url()).arg("drv_node");
        command
    })
    .await;
}

#[tokio::test]
async fn jdbc() {
    same_transcripts(12, |target| {
        let mut command = Command::new("java");
        command.arg("-cp").arg(needed("/usr/share/java/postgresql.jar")).arg(needed("tests/drivers/java/Suite.java"));
        command.arg(format!("jdbc:postgresql://{}/{}", target.address, target.database));
        command.args([&target.user, &target.password, "drv_jdbc"]);
        command
    })
    .await;
}

/// A command of PostgreSQL's own, with the login in its environment.
fn postgres_tool(name: &str, target: &Target) -> Command {
    let (host, port) = target.address.rsplit_once(':').unwrap();
    let binaries = Binaries::find().unwrap();
    let mut command = Command::new(binaries.program(name));
    command.env("PGHOST", host).env("PGPORT", port).env("PGUSER", &target.user).env("PGPASSWORD", &target.password);
    command.env("PGDATABASE", &target.database).env("LC_ALL", "C").env("PGTZ", "UTC");
    command
}

#[tokio::test]
async fn psql() {
    let servers = servers().await;
    let dir = tempfile::tempdir().unwrap();
    let mut printed = Vec::new();
    for (name, target) in [("direct", servers.direct()), ("proxy", servers.proxied())] {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let mut command = postgres_tool("psql", &target);
        command.current_dir(&folder).args(["-X", "-v", "schema=drv_psql", "-f"]);
        command.arg(needed("tests/drivers/psql/session.sql"));
        let output = run(&mut command).await;
        let copied = std::fs::read_to_string(folder.join("copied.txt")).unwrap();
        printed.push([output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()));
        assert_eq!(copied.lines().count(), 3, "\\copy wrote:\n{copied}");
    }
    assert!(printed[0][0].contains("Foreign-key constraints:") && printed[0][1].contains("division by zero"));
    for (direct, proxied) in printed[0].iter().zip(&printed[1]) {
        let differs = direct.lines().zip(proxied.lines()).find(|(a, b)| a != b);
        assert!(
            direct == proxied,
            "the first line that differs: {differs:?}\n--- direct\n{direct}\n--- proxy\n{proxied}"
        );
    }
}

#[tokio::test]
async fn pg_dump() {
    let servers = servers().await;
    let mut dumps = Vec::new();
    for target in [servers.direct(), servers.proxied()] {
        let text = succeed(postgres_tool("pg_dump", &target).args(["--schema=public"])).await;
        // A random word of each run guards psql against the dump's data.
        dumps.push(text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n"));
    }
    assert!(dumps[0].lines().count() > 100_000, "the dump has no data");
    assert!(dumps[0] == dumps[1], "the dump through the proxy differs");
}

/// `pg_dump -j` exports a snapshot on one connection and takes it up on others.
#[tokio::test]
async fn pg_dump_parallel() {
    let servers = servers().await;
    let dir = tempfile::tempdir().unwrap();
    let mut lists = Vec::new();
    for (name, target) in [("direct", servers.direct()), ("proxy", servers.proxied())] {
        let out = dir.path().join(name);
        succeed(postgres_tool("pg_dump", &target).args(["--schema=public", "-Fd", "-Z0", "-j2", "-f"]).arg(&out)).await;
        // The files' names are ids that count all objects, and other tests make some meanwhile.
        let mut sizes = Vec::new();
        for entry in std::fs::read_dir(&out).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "toc.dat" {
                sizes.push(entry.metadata().unwrap().len());
            }
        }
        sizes.sort_unstable();
        lists.push(sizes);
    }
    assert!(lists[0].len() >= 5);
    assert_eq!(lists[0], lists[1], "sizes of the tables' files");
}

#[tokio::test]
async fn pgbench_in_three_protocols() {
    let servers = servers().await;
    let target = servers.proxied();
    let admin = servers.direct().connect().await.unwrap();
    admin.batch_execute("DROP SCHEMA IF EXISTS drv_pgbench CASCADE; CREATE SCHEMA drv_pgbench").await.unwrap();
    let bench = || {
        let mut command = postgres_tool("pgbench", &target);
        command.env("PGOPTIONS", "-c search_path=drv_pgbench");
        command
    };
    succeed(bench().args(["-i", "-q", "-s", "1"])).await;
    let mut transactions = 0;
    for protocol in ["simple", "extended", "prepared"] {
        for (mix, kind) in [("-S", "select only"), ("-N", "simple update"), ("-btpcb-like", "TPC-B")] {
            let run = ["-n", "-c", "12", "-j", "12", "-t", "20", "-M", protocol, mix];
            let said = succeed(bench().args(run)).await;
            assert!(said.contains(&format!("query mode: {protocol}")), "{said}");
            assert!(said.contains("actually processed: 240/240"), "{kind}: {said}");
            transactions += 1;
        }
    }
    assert_eq!(transactions, 9);
    // Simple update leaves branches and tellers alone; TPC-B keeps all sums equal to the history's.
    let sums = "SELECT (SELECT sum(abalance) FROM drv_pgbench.pgbench_accounts) = sum(delta), count(*), \
                (SELECT sum(bbalance) FROM drv_pgbench.pgbench_branches) = (SELECT sum(tbalance) FROM drv_pgbench.pgbench_tellers) \
                FROM drv_pgbench.pgbench_history";
    let row = admin.query_one(sums, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0) && row.get::<_, bool>(2), "money was lost");
    assert_eq!(row.get::<_, i64>(1), 6 * 240);
    admin.batch_execute("DROP SCHEMA drv_pgbench CASCADE").await.unwrap();
    assert_eq!(shop::APP_USER, target.user);
}
