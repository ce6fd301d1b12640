//! Servers and proxies that die, hang or refuse: clients are told, and all goes on when the server is back.

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};

use crate::support::build;
use crate::support::patience::Patience;
use crate::support::proxy::{Inside, Proxy};
use crate::support::raw::{Frame, Raw, Target};

/// A server to break, with a role `app`.
async fn broken() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let setup = "CREATE ROLE app LOGIN PASSWORD 'app'; CREATE TABLE t (a int); GRANT ALL ON t TO app";
    cluster.execute(PRIMARY, "postgres", setup).await.unwrap();
    cluster
}

fn configuration(cluster: &Cluster, lines: &str) -> String {
    let urls = cluster.urls_toml("postgres");
    format!("[users.app]\npassword = \"app\"\n[databases.shop]\nshards.s1 = {urls}\n{lines}\n")
}

fn error(frames: &[Frame]) -> (String, String) {
    let error = frames.iter().find(|frame| frame.kind == b'E').unwrap_or_else(|| panic!("no error: {frames:?}"));
    (error.sqlstate(), error.fields()[&'M'].clone())
}

/// Asks until the server answers again.
async fn until_answered(raw: &mut Raw) {
    let patience = Patience::new("the server answers again");
    while raw.query("SELECT 3").await.unwrap()[0].kind == b'E' {
        patience.more();
    }
}

#[tokio::test]
async fn a_server_that_is_down() {
    let mut cluster = broken().await;
    cluster.kill_9(PRIMARY).await.unwrap();
    let proxy = Inside::start(&configuration(&cluster, "pool_size = 1\nconnect_timeout = \"500ms\"")).await;
    let target = proxy.target("app", "app", "shop");
    // Down from the start: a login is told so, not left hanging.
    let (mut raw, frames) = Raw::login_with(&target, &[]).await.unwrap();
    let (code, message) = error(&frames);
    assert!(["57P03", "08006", "08001"].contains(&code.as_str()), "{code} {message}");
    assert!(raw.until_closed().await.unwrap().is_empty());
    cluster.restart(PRIMARY).await.unwrap();
    let patience = Patience::new("the primary is back");
    let mut raw = loop {
        // The monitor has yet to see that it is back.
        patience.more();
        let (raw, frames) = Raw::login_with(&target, &[]).await.unwrap();
        if frames.last().is_some_and(|frame| frame.kind == b'Z') {
            break raw;
        }
    };
    assert_eq!(raw.value("SELECT 1").await, "1");
    // Another gets the one connection once nothing of this session is on it any more.
    assert_eq!(Raw::login(&target).await.value("SELECT 1").await, "1");
    // Down later, under a session that lives on.
    cluster.kill_9(PRIMARY).await.unwrap();
    let frames = raw.query("SELECT 2").await.unwrap();
    let (code, message) = error(&frames);
    assert!(["57P03", "08006", "08001"].contains(&code.as_str()), "{code} {message}");
    assert_eq!(frames.last().unwrap().body, b"I");
    cluster.restart(PRIMARY).await.unwrap();
    until_answered(&mut raw).await;
    assert_eq!(raw.value("SELECT 4").await, "4");
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle() {
    let mut cluster = broken().await;
    let proxy = Inside::start(&configuration(&cluster, "connect_timeout = \"60s\"")).await;
    let target = proxy.target("app", "app", "shop");
    let mut idle = Raw::login(&target).await;
    let mut block = Raw::login(&target).await;
    let mut statement = Raw::login(&target).await;
    let mut result = Raw::login(&target).await;
    idle.query("SET work_mem = '7MB'").await.unwrap();
    block.query("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    statement.send(&build::query("SELECT pg_sleep(600)")).await.unwrap();
    cluster.until(PRIMARY, "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await.unwrap();
    result.send(&build::query("SELECT repeat('x', 10000) FROM generate_series(1, 100000)")).await.unwrap();
    assert_eq!(result.expect().await.unwrap().kind, b'T');
    cluster.kill_9(PRIMARY).await.unwrap();

    let (code, message) = error(&statement.until_ready(1).await.unwrap());
    assert_eq!(code, "08006", "{message}");
    // What was cut in the middle of a row can only be closed; else there is an error.
    match result.until_ready(1).await {
        Ok(frames) => {
            let whole = frames.last().is_some_and(|frame| frame.kind == b'Z');
            assert!(!whole || error(&frames).0 == "08006");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
    }
    // Those that wait are answered when the server is back.
    idle.send(&build::query("SHOW work_mem")).await.unwrap();
    block.send(&build::query("SELECT 1")).await.unwrap();
    cluster.restart(PRIMARY).await.unwrap();
    let frames = idle.until_ready(1).await.unwrap();
    assert_eq!(frames[1].values(), [Some("7MB".to_owned())], "{frames:?}");
    // A transaction is lost; the client must end it, as after any error.
    let frames = block.until_ready(1).await.unwrap();
    assert_eq!((error(&frames).0.as_str(), &frames.last().unwrap().body[..]), ("08006", &b"E"[..]));
    let frames = block.query("COMMIT").await.unwrap();
    assert_eq!(frames[0].tag().as_deref(), Some("ROLLBACK"), "{frames:?}");
    assert_eq!(block.value("SELECT count(*) FROM t").await, "0");
    assert_eq!(statement.value("SELECT 5").await, "5");
}

/// The server is gone for good: nothing here may wait for it.
#[tokio::test]
async fn a_transaction_whose_server_dies_between_two_statements() {
    let mut cluster = broken().await;
    let proxy = Inside::start(&configuration(&cluster, "connect_timeout = \"60s\"")).await;
    let target = proxy.target("app", "app", "shop");
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut raw = Raw::login(&target).await;
        raw.query("BEGIN").await.unwrap();
        raw.query("INSERT INTO t VALUES (1)").await.unwrap();
        raw.send(&[build::parse("end", "ROLLBACK", &[]), build::parse("one", "SELECT 1", &[]), build::sync()].concat())
            .await
            .unwrap();
        raw.until_ready(1).await.unwrap();
        clients.push(raw);
    }
    let [simple, commits, extended, rolls_back, several] = &mut clients[..] else { panic!() };
    cluster.kill_9(PRIMARY).await.unwrap();
    let lost = |frames: &[Frame], status: &[u8]| {
        assert_eq!((error(frames).0.as_str(), &frames.last().unwrap().body[..]), ("08006", status), "{frames:?}");
        assert_eq!(frames.iter().filter(|frame| frame.kind == b'E').count(), 1, "{frames:?}");
    };
    let aborted = |frames: &[Frame]| {
        assert_eq!((error(frames).0.as_str(), &frames.last().unwrap().body[..]), ("25P02", &b"E"[..]), "{frames:?}");
    };
    let rolled_back = |frames: &[Frame]| {
        let tags: Vec<_> = frames.iter().filter(|frame| frame.kind == b'C').filter_map(Frame::tag).collect();
        assert_eq!((tags, &frames.last().unwrap().body[..]), (vec!["ROLLBACK".to_owned()], &b"I"[..]));
    };
    // Told once, then as after any error.
    lost(&simple.query("SELECT 1").await.unwrap(), b"E");
    aborted(&simple.query("SELECT 1").await.unwrap());
    aborted(&simple.query("BEGIN").await.unwrap());
    simple.send(&build::extended("SELECT 1", &[])).await.unwrap();
    aborted(&simple.until_ready(1).await.unwrap());
    rolled_back(&simple.query("COMMIT").await.unwrap());
    // It believes that all is well: it must not take a ROLLBACK for what it asked for.
    lost(&commits.query("COMMIT").await.unwrap(), b"I");
    // The named statement, in a pipeline of two.
    let run = |name: &str| [build::bind("", name, &[]), build::execute("", 0)].concat();
    extended.send(&[run("one"), run("one"), build::sync()].concat()).await.unwrap();
    lost(&extended.until_ready(1).await.unwrap(), b"E");
    extended.send(&[build::close(b'S', "one"), build::sync()].concat()).await.unwrap();
    assert_eq!(extended.until_ready(1).await.unwrap()[0].kind, b'3');
    rolled_back(&rolls_back.query("rollback work").await.unwrap());
    lost(&several.query("SELECT 1; ROLLBACK").await.unwrap(), b"E");

    // What only a server can answer.
    extended.send(&[run("end"), build::sync()].concat()).await.unwrap();
    several.send(&build::query("ROLLBACK; SELECT 7")).await.unwrap();
    cluster.restart(PRIMARY).await.unwrap();
    rolled_back(&extended.until_ready(1).await.unwrap());
    let frames = several.until_ready(1).await.unwrap();
    assert!(frames.iter().any(|frame| frame.kind == b'D' && frame.values() == [Some("7".to_owned())]), "{frames:?}");
    for raw in &mut clients {
        assert_eq!(raw.value("SELECT count(*) FROM t").await, "0");
        assert_eq!(raw.query("BEGIN; SELECT 1; COMMIT").await.unwrap().last().unwrap().body, b"I");
    }
}

/// Two sessions, and the catalog locked by `locker`: the first was just answered and the proxy's question waits for the
/// lock, the second is in a block with something to keep.
async fn asked_behind_a_lock(target: &Target, locker: &tokio_postgres::Client) -> (Raw, Raw) {
    let patience = Patience::new("the lock holds up the question that it should");
    loop {
        patience.more();
        let (mut raw, mut keeps) = (Raw::login(target).await, Raw::login(target).await);
        keeps.query("BEGIN").await.unwrap();
        for raw in [&mut raw, &mut keeps] {
            raw.query("DO $$BEGIN END$$").await.unwrap();
            raw.query("SELECT pg_advisory_xact_lock_shared(1)").await.unwrap();
        }
        keeps.query("SELECT pg_advisory_lock_shared(1)").await.unwrap();
        raw.query("SELECT 1").await.unwrap();
        locker.batch_execute("BEGIN; LOCK pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE").await.unwrap();
        // Answered before it is asked; unless an earlier question came so late that it met the lock.
        let frames = raw.query("DO $$BEGIN END$$").await.unwrap();
        if frames[0].tag().as_deref() == Some("DO") {
            return (raw, keeps);
        }
        locker.batch_execute("ROLLBACK").await.unwrap();
    }
}

/// After code that can't be seen into the proxy asks the connection what was left on it. Who locks the catalog holds
/// that up.
#[tokio::test]
async fn a_server_that_dies_or_hangs_while_it_is_asked_what_is_left() {
    let cluster = broken().await;
    let proxy = Inside::start(&configuration(&cluster, "connect_timeout = \"5s\"")).await;
    let target = proxy.target("app", "app", "shop");
    let locker = cluster.connect(PRIMARY, "postgres").await.unwrap();
    // Sees the activity view before the catalog is locked.
    let kill = "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity
                WHERE usename = 'app' AND wait_event_type = 'Lock'";
    locker.query_one(kill, &[]).await.unwrap();
    for dies in [true, false] {
        let (mut raw, mut keeps) = asked_behind_a_lock(&target, &locker).await;
        let frames = keeps.query("COMMIT").await.unwrap();
        assert_eq!(frames[0].tag().as_deref(), Some("COMMIT"), "{frames:?}");
        let mut killed = 0;
        let patience = Patience::new("both questions wait for the lock");
        while dies && killed < 2 {
            patience.more();
            killed += locker.query_one(kill, &[]).await.unwrap().get::<_, i64>(0);
        }
        // What was there is gone, and that is said: once, and for good where something is known to be lost.
        let (code, message) = error(&raw.query("SELECT 1").await.unwrap());
        assert!(["08006", "57P01"].contains(&code.as_str()), "{code} {message}");
        let frames = keeps.until_closed().await.unwrap();
        assert_eq!(frames[0].fields()[&'S'], "FATAL", "{frames:?}");
        locker.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(raw.value("SELECT 2").await, "2");
    }
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let mut cluster = broken().await;
    let proxy = Inside::start(&configuration(&cluster, "connect_timeout = \"1s\"")).await;
    let target = proxy.target("app", "app", "shop");
    let mut raw = Raw::login(&target).await;
    let mut holder = Raw::login(&target).await;
    holder.query("BEGIN").await.unwrap();
    cluster.freeze(PRIMARY).unwrap();
    // A new connection is needed: it isn't waited for beyond connect_timeout.
    let (_, frames) = Raw::login_with(&target, &[("application_name", "another")]).await.unwrap();
    let (code, message) = error(&frames);
    assert!(["57P03", "08006", "08001"].contains(&code.as_str()), "{code} {message}");
    cluster.thaw(PRIMARY).unwrap();
    until_answered(&mut raw).await;
    assert_eq!(holder.query("COMMIT").await.unwrap()[0].tag().as_deref(), Some("COMMIT"));
}

#[tokio::test]
async fn a_proxy_that_is_killed() {
    let cluster = broken().await;
    let mut proxy = Proxy::start(&configuration(&cluster, "pool_size = 2")).await;
    let mut block = Raw::login(&proxy.target("app", "app", "shop")).await;
    let mut running = Raw::login(&proxy.target("app", "app", "shop")).await;
    block.query("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    running.send(&build::query("BEGIN; INSERT INTO t VALUES (2); SELECT pg_sleep(1); COMMIT; SELECT 1")).await.unwrap();
    running.expect().await.unwrap();
    proxy.kill_9().await;
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'";
    cluster.until(PRIMARY, gone).await.unwrap();
    assert_eq!(cluster.value(PRIMARY, "postgres", "SELECT count(*) FROM t WHERE a = 1").await.unwrap(), "0");
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass";
    assert_eq!(cluster.value(PRIMARY, "postgres", locks).await.unwrap(), "0");
}

#[tokio::test]
async fn a_login_that_the_server_refuses() {
    let cluster = broken().await;
    cluster.execute(PRIMARY, "postgres", "ALTER ROLE app NOLOGIN").await.unwrap();
    let proxy = Inside::start(&configuration(&cluster, "")).await;
    let target = proxy.target("app", "app", "shop");
    let (_, frames) = Raw::login_with(&target, &[]).await.unwrap();
    assert_eq!(error(&frames), ("28000".to_owned(), "role \"app\" is not permitted to log in".to_owned()));
    cluster.execute(PRIMARY, "postgres", "ALTER ROLE app LOGIN CONNECTION LIMIT 0").await.unwrap();
    let (_, frames) = Raw::login_with(&target, &[]).await.unwrap();
    assert_eq!(error(&frames), ("53300".to_owned(), "too many connections for role \"app\"".to_owned()));
    cluster.execute(PRIMARY, "postgres", "ALTER ROLE app CONNECTION LIMIT -1 PASSWORD 'changed'").await.unwrap();
    let (_, frames) = Raw::login_with(&target, &[]).await.unwrap();
    assert_eq!(error(&frames).0, "28P01");
    cluster.execute(PRIMARY, "postgres", "ALTER ROLE app PASSWORD 'app'").await.unwrap();
    assert_eq!(Raw::login(&target).await.value("SELECT 1").await, "1");
}
