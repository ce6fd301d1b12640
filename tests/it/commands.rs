//! The subcommands as a person at a terminal meets them.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::raw::PATIENCE;
use crate::support::servers::shop;

fn pgbraid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgbraid"));
    command.stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn mistakes_on_the_command_line_are_told() {
    let (code, out, _) = run(pgbraid().arg("--version"));
    assert_eq!((code, out.as_str()), (Some(0), concat!("pgbraid ", env!("CARGO_PKG_VERSION"), "\n")));
    let (code, _, err) = run(pgbraid().arg("sevre"));
    assert_eq!(code, Some(2));
    assert!(err.contains("serve"), "{err}");
    let (code, _, err) = run(pgbraid().args(["serve", "--config", "no-such-file.toml"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("no-such-file.toml:1:1"), "{err}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, _, err) = run(pgbraid().args(["demo", "--listen", &taken.local_addr().unwrap().to_string()]));
    assert_eq!(code, Some(1));
    assert!(err.contains("--listen"), "{err}");
}

/// Two runs on one directory: the first makes the shop, the second uses it.
#[test]
fn the_demo_runs_a_statement_and_leaves() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("servers");
    let demo = |replicas: &str, sql: &str| {
        run(pgbraid().args(["demo", "--shards", "1", "--replicas", replicas, "--exec", sql, "--dir"]).arg(&folder))
    };
    let (code, out, err) = demo("1", "SELECT count(*) FROM orders");
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, " count  \n--------\n 120000\n(1 row)\n\n");
    assert!(err.contains("Loading the sample shop"), "progress goes to standard error: {err}");
    let (code, out, err) = demo("0", "SELECT nonsense FROM orders");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("ERROR:  column \"nonsense\" does not exist\nLINE 1: SELECT nonsense"), "{err}");
    assert!(!err.contains("Loading"), "the shop was there: {err}");
    assert!(!folder.join("primary/data/postmaster.pid").exists(), "a server was left running");
}

#[test]
fn the_demo_stops_all_when_asked_or_killed() {
    for signal in ["INT", "TERM", "KILL"] {
        let temporary = tempfile::tempdir().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(temporary.path(), mode).unwrap();
        // Killed without warning while a second shard's folder is being made, a demo leaves that folder, empty.
        let shards = if signal == "KILL" { "1" } else { "2" };
        let mut command = pgbraid();
        command.args(["demo", "--shards", shards, "--replicas", "0"]).env("TMPDIR", temporary.path());
        let mut demo = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = until("a server is ready", || {
            let folders = std::fs::read_dir(temporary.path()).unwrap().flatten();
            let files = folders.map(|folder| folder.path().join("primary/data/postmaster.pid"));
            let text = files.filter_map(|file| std::fs::read_to_string(file).ok()).next()?;
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            (lines.last() == Some(&"ready")).then(|| lines[0].to_owned())
        });
        let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {}", demo.id())]).status().unwrap();
        assert!(sent.success());
        let status = demo.wait().unwrap();
        assert_eq!(status.success(), signal != "KILL", "after SIG{signal}");
        until("the server is gone", || (!std::path::Path::new(&format!("/proc/{server}")).exists()).then_some(()));
        until("its files are gone", || std::fs::read_dir(temporary.path()).unwrap().next().is_none().then_some(()));
    }
}

/// Its own workers share a port; another process that would share it doesn't get half of the clients.
#[test]
fn a_port_in_use_is_an_error() {
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    taken.set_reuse_address(true).unwrap();
    taken.set_reuse_port(true).unwrap();
    taken.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    taken.listen(8).unwrap();
    let address = taken.local_addr().unwrap().as_socket().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("pgbraid.toml");
    std::fs::write(&config, format!("[server]\nlisten = \"{address}\"\n{}", shop().configuration(""))).unwrap();
    let (code, _, err) = run(pgbraid().arg("serve").arg("--config").arg(&config));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&address) && err.contains("in use"), "{err}");
}

#[tokio::test]
async fn explain_says_who_may_answer() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("pgbraid.toml");
    std::fs::write(&config, format!("[server]\nlisten = \"127.0.0.1:1\"\n{}", shop().configuration(""))).unwrap();
    let explain = |sql: &str| run(pgbraid().args(["explain", sql, "--config"]).arg(&config));
    let (code, out, err) = explain("SELECT count(*) FROM orders");
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("a replica that has replayed the last write to the table"), "{out}");
    let (_, out, _) = explain("SELECT * FROM orders FOR UPDATE");
    assert!(out.starts_with("the primary: "), "{out}");
}

fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        #[allow(clippy::disallowed_methods, reason = "a plain test waits for another process")]
        std::thread::sleep(Duration::from_millis(20));
    }
}
