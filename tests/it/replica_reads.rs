//! Reads on replicas that fail there, and commits that a replica can't have yet.

use std::time::Instant;

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};

use crate::support::build;
use crate::support::proxy::Proxy;
use crate::support::raw::{Frame, PATIENCE, Raw, Target};

const REPLICA: usize = 1;

/// Servers, and a proxy that has found a replica fit for reads.
async fn start(settings: &[(&str, &str)]) -> (Cluster, Proxy, Target) {
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let cluster = Cluster::start(ClusterOptions { replicas: 1, settings, ..ClusterOptions::default() }).await.unwrap();
    let sql = "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher;
               CREATE ROLE app LOGIN PASSWORD 'app'; CREATE TABLE t (v int); INSERT INTO t VALUES (0); GRANT ALL ON t TO app;
               CREATE TABLE quiet (v int); INSERT INTO quiet VALUES (0); GRANT ALL ON quiet TO app; \
               CREATE VIEW dated AS SELECT v FROM t WHERE 'now'::text::timestamptz IS NOT NULL; GRANT ALL ON dated TO app";
    cluster.execute(PRIMARY, "postgres", sql).await.unwrap();
    cluster.wait_for_catchup().await.unwrap();
    let proxy = Proxy::start(&format!(
        "[users]\napp.password = \"app\"\nwatcher.password = \"w\"\n[databases.postgres]\n\
         service_user = \"watcher\"\nhealth_interval = \"20ms\"\nmax_lag = \"10m\"\nshards.s1 = {}\n",
        cluster.urls_toml("postgres")
    ))
    .await;
    let target = proxy.target("app", "app", "postgres");
    let mut raw = Raw::login(&target).await;
    let begin = Instant::now();
    while metric(&proxy, "pgbraid_replica_reads_total").await == 0 {
        assert!(begin.elapsed() < PATIENCE, "no replica ever answers");
        raw.value("SELECT v FROM quiet").await;
    }
    (cluster, proxy, target)
}

/// The sum of a metric over its labels.
async fn metric(proxy: &Proxy, name: &str) -> u64 {
    let (_, page) = proxy.page("/metrics").await;
    let ours = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    ours.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
}

fn kinds(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.kind)).filter(|kind| *kind != 'S').collect()
}

#[tokio::test]
async fn a_read_that_is_run_again_takes_nothing_with_it() {
    let (cluster, proxy, target) = start(&[]).await;
    let mut raw = Raw::login(&target).await;
    // What was answered before it in the same breath.
    let (good, bad) = (build::query("SELECT v FROM t"), build::query("SELECT 1 / v FROM t"));
    for _ in 0..20 {
        raw.send(&[&good[..], &bad, &good, &bad].concat()).await.unwrap();
        assert_eq!(kinds(&raw.until_ready(4).await.unwrap()), "TDCZTEZTDCZTEZ");
    }
    assert!(metric(&proxy, "pgbraid_retries_total").await >= 20, "nothing was run again");
    // What the client was about to be told of the connection's settings.
    assert_eq!(raw.parameters["IntervalStyle"], "postgres");
    cluster.execute(PRIMARY, "postgres", "ALTER ROLE app SET intervalstyle = 'iso_8601'").await.unwrap();
    cluster.wait_for_catchup().await.unwrap();
    for i in [PRIMARY, REPLICA] {
        let gone = "SELECT count(pg_terminate_backend(pid, 60000)) >= 0 FROM pg_stat_activity WHERE usename = 'app'";
        cluster.until(i, gone).await.unwrap();
    }
    raw.query("SELECT 1 / v FROM t").await.unwrap();
    assert_eq!(raw.value("SELECT interval '1 day' FROM t").await, "P1D");
    assert_eq!(raw.parameters["IntervalStyle"], "iso_8601");
}

/// The WAL writer sleeps long: what is committed without waiting isn't flushed, and no replica gets it.
#[tokio::test]
async fn commits_that_a_start_up_parameter_makes_asynchronous() {
    let (_cluster, proxy, target) = start(&[("wal_writer_delay", "10s"), ("wal_writer_flush_after", "1GB")]).await;
    let options = [("options", "-c synchronous_commit=off")];
    let (mut raw, frames) = Raw::login_with(&target, &options).await.unwrap();
    assert_eq!(frames.last().unwrap().kind, b'Z');
    let mut other = Raw::login(&target).await;
    raw.query("UPDATE t SET v = 1").await.unwrap();
    let before = metric(&proxy, "pgbraid_replica_reads_total").await;
    let begin = Instant::now();
    // Long enough for the monitor to ask where the primary is, and for the replica to be in use again.
    while metric(&proxy, "pgbraid_replica_reads_total").await < before + 50 {
        assert!(begin.elapsed() < PATIENCE, "no replica answers");
        assert_eq!(other.value("SELECT v FROM t").await, "1");
        other.value("SELECT v FROM quiet").await;
    }
}

/// A read that a replica might answer waits no longer than any statement for a server; the session lives on.
#[tokio::test]
async fn reads_when_no_server_is_left() {
    let (mut cluster, _proxy, target) = start(&[]).await;
    let mut raw = Raw::login(&target).await;
    for server in [PRIMARY, REPLICA] {
        cluster.kill_9(server).await.unwrap();
    }
    // Until it is known that they are gone, a read may be lost with its connection.
    let codes = ["57P03", "08006", "08001"];
    for _ in 0..2 {
        let frames = raw.query("SELECT v FROM quiet").await.unwrap();
        assert_eq!(kinds(&frames), "EZ");
        assert!(codes.contains(&frames[0].sqlstate().as_str()), "{frames:?}");
    }
    cluster.restart(PRIMARY).await.unwrap();
    let begin = Instant::now();
    while kinds(&raw.query("SELECT v FROM quiet").await.unwrap()) != "TDCZ" {
        assert!(begin.elapsed() < PATIENCE, "the primary is back");
    }
}

/// A hint asks for a replica's answer; it takes nothing there that does more than answer.
#[tokio::test]
async fn hints_move_only_what_answers() {
    let (cluster, _proxy, target) = start(&[]).await;
    let sql = "CREATE FUNCTION locks() RETURNS bool LANGUAGE plpgsql AS \
               $$BEGIN PERFORM pg_advisory_lock(7); RETURN pg_is_in_recovery(); END$$";
    cluster.execute(PRIMARY, "postgres", sql).await.unwrap();
    cluster.wait_for_catchup().await.unwrap();
    let mut raw = Raw::login(&target).await;
    let begin = Instant::now();
    let hinted = "/* pgbraid: role=replica */ SELECT pg_is_in_recovery()";
    while raw.value(hinted).await != "t" {
        assert!(begin.elapsed() < PATIENCE, "no replica ever answers");
    }
    for (sql, tag) in [
        ("/* pgbraid: role=replica */ INSERT INTO t VALUES (5)", "INSERT 0 1"),
        ("/* pgbraid: role=replica */ SELECT v FROM t FOR UPDATE", "SELECT 3"),
        ("/* pgbraid: role=replica */ WITH x AS (DELETE FROM t WHERE v = 5 RETURNING v) SELECT * FROM x", "SELECT 2"),
    ] {
        let frames = raw.query(sql).await.unwrap();
        let told = frames.iter().find(|frame| frame.kind == b'C').unwrap_or_else(|| panic!("{sql}: {frames:?}"));
        assert_eq!(told.body, [tag.as_bytes(), b"\0"].concat(), "{sql}");
        raw.send(&build::extended(sql, &[])).await.unwrap();
        let frames = raw.until_ready(1).await.unwrap();
        assert!(frames.iter().all(|frame| frame.kind != b'E'), "{sql}: {frames:?}");
    }
    assert_eq!(raw.value("/* pgbraid: role=replica */ SELECT locks()").await, "f");
    assert_eq!(raw.value("/* pgbraid: role=primary */ SELECT pg_is_in_recovery()").await, "f");
}

/// Begins a transaction, again and again until a replica runs it.
async fn begin_on_replica(proxy: &Proxy, raw: &mut Raw, sql: &str) {
    let begin = Instant::now();
    loop {
        let before = metric(proxy, "pgbraid_replica_reads_total").await;
        raw.query(sql).await.unwrap();
        if metric(proxy, "pgbraid_replica_reads_total").await > before {
            return;
        }
        raw.query("ROLLBACK").await.unwrap();
        assert!(begin.elapsed() < PATIENCE, "no replica takes {sql}");
    }
}

const WHERE_AM_I: &str = "SELECT pg_is_in_recovery()";

/// A READ ONLY transaction on a replica goes over to the primary where nobody can tell.
#[tokio::test]
async fn a_transaction_that_leaves_its_replica() {
    let (_cluster, proxy, target) = start(&[]).await;
    let mut raw = Raw::login(&target).await;
    raw.send(&[build::parse("p", WHERE_AM_I, &[]), build::sync()].concat()).await.unwrap();
    raw.until_ready(1).await.unwrap();
    let last = |frames: &[Frame]| {
        let row = frames.iter().rev().find(|frame| frame.kind == b'D').map(|row| row.values()[0].clone());
        row.flatten().unwrap_or_else(|| panic!("{frames:?}"))
    };
    let begin = "BEGIN READ ONLY";
    for (begin, before, statement, said) in [
        (begin, &[][..], WHERE_AM_I, "f"),
        (begin, &["SELECT v FROM t"], WHERE_AM_I, "f"),
        (begin, &["SHOW work_mem", "SELECT 1", "SELECT v FROM t", "SELECT v FROM quiet"], WHERE_AM_I, "f"),
        ("START TRANSACTION READ ONLY; -- so", &["SET LOCAL work_mem = '3MB' -- it is"], WHERE_AM_I, "f"),
        (begin, &["SET LOCAL work_mem = '3MB'", "SELECT v FROM t", "DECLARE c CURSOR FOR SELECT 7"], "FETCH c", "7"),
        (begin, &["SET LOCAL work_mem = '3MB'", WHERE_AM_I], "SHOW work_mem", "3MB"),
        (begin, &["SELECT v FROM t", WHERE_AM_I], "SHOW transaction_read_only", "on"),
        (begin, &["SELECT v FROM t", "SET CONSTRAINTS ALL DEFERRED"], WHERE_AM_I, "f"),
        (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            &[WHERE_AM_I],
            "SHOW transaction_isolation",
            "repeatable read",
        ),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &["SET LOCAL work_mem = '3MB'"], WHERE_AM_I, "f"),
        (begin, &["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"], "SELECT v FROM t", "0"),
        (begin, &["SET TRANSACTION READ WRITE"], "INSERT INTO quiet VALUES (5) RETURNING v", "5"),
    ] {
        begin_on_replica(&proxy, &mut raw, begin).await;
        for sql in before {
            let frames = raw.query(sql).await.unwrap();
            assert!(frames.iter().all(|frame| frame.kind != b'E'), "{begin}, {sql}: {frames:?}");
        }
        assert_eq!(last(&raw.query(statement).await.unwrap()), said, "{begin}, {before:?}, {statement}");
        assert_eq!(raw.query("COMMIT").await.unwrap()[0].tag().as_deref(), Some("COMMIT"));
        assert_ne!(raw.value("SHOW work_mem").await, "3MB", "it was the transaction's own");
    }
    // In the extended protocol, prepared before and not.
    let v = [build::parse("", "SELECT v FROM t WHERE v < $1", &[]), build::bind("", "", &[Some("5")])];
    let v = [&v[0][..], &v[1], &build::execute("", 0), &build::sync()].concat();
    let prepared = [build::bind("", "p", &[]), build::execute("", 0), build::sync()].concat();
    let anew = [build::parse("", WHERE_AM_I, &[]), build::bind("", "", &[]), build::execute("", 0), build::sync()];
    for request in [&prepared, &anew.concat()] {
        begin_on_replica(&proxy, &mut raw, begin).await;
        raw.send(&v).await.unwrap();
        assert_eq!(last(&raw.until_ready(1).await.unwrap()), "0");
        raw.send(request).await.unwrap();
        assert_eq!(last(&raw.until_ready(1).await.unwrap()), "f");
        raw.query("COMMIT").await.unwrap();
    }
    // All in one breath.
    let breath = [begin, "SELECT v FROM t", WHERE_AM_I, "COMMIT"].map(build::query).concat();
    raw.send(&breath).await.unwrap();
    assert_eq!(kinds(&raw.until_ready(4).await.unwrap()), "CZTDCZTDCZCZ");
    assert!(metric(&proxy, "pgbraid_primary_reads_total").await > 0);
}

/// Where one could tell, it stays, and the statement is refused; the session lives on.
#[tokio::test]
async fn a_transaction_that_can_not_leave_its_replica() {
    let (cluster, proxy, target) = start(&[]).await;
    let mut raw = Raw::login(&target).await;
    raw.send(&[build::parse("p", WHERE_AM_I, &[]), build::sync()].concat()).await.unwrap();
    raw.until_ready(1).await.unwrap();
    let snapshot = "BEGIN READ ONLY, ISOLATION LEVEL REPEATABLE READ";
    let begin = "BEGIN READ ONLY";
    // One that differs in a literal alone is known already.
    raw.value("SELECT v FROM t WHERE '2020-02-02'::timestamptz IS NOT NULL").await;
    for (begin, before) in [
        (snapshot, "SELECT v FROM t"),
        (snapshot, "SELECT 1"),
        (begin, "SELECT now() FROM t"),
        (begin, "SELECT v FROM t WHERE current_date IS NOT NULL"),
        (begin, "SELECT v FROM t WHERE 'now'::timestamptz IS NOT NULL"),
        (begin, "SELECT v FROM dated"),
        (begin, "SAVEPOINT a"),
    ] {
        for extended in [false, true] {
            begin_on_replica(&proxy, &mut raw, begin).await;
            let frames = raw.query(before).await.unwrap();
            assert!(frames.iter().all(|frame| frame.kind != b'E'), "{begin}, {before}: {frames:?}");
            let frames = if extended {
                raw.send(&[build::bind("", "p", &[]), build::execute("", 0), build::sync()].concat()).await.unwrap();
                raw.until_ready(1).await.unwrap()
            } else {
                raw.query(WHERE_AM_I).await.unwrap()
            };
            assert_eq!(kinds(&frames), "EZ", "{begin}, {before}");
            assert_eq!(frames[0].sqlstate(), "0A000", "{begin}, {before}");
            assert_eq!(raw.query("COMMIT").await.unwrap()[0].tag().as_deref(), Some("ROLLBACK"));
        }
    }
    // A parameter that is a moment, and a literal.
    for (name, sql, parameters) in [
        ("", "SELECT v FROM t WHERE $1::timestamptz IS NOT NULL", &[Some("now")][..]),
        ("", "SELECT v FROM t WHERE 'today'::timestamptz IS NOT NULL", &[]),
        ("m", "SELECT v FROM t WHERE 'tomorrow'::timestamptz IS NOT NULL", &[]),
    ] {
        begin_on_replica(&proxy, &mut raw, begin).await;
        let rest = [build::bind("", name, parameters), build::execute("", 0), build::sync()].concat();
        raw.send(&[build::parse(name, sql, &[]), rest].concat()).await.unwrap();
        raw.until_ready(1).await.unwrap();
        assert_eq!(raw.query(WHERE_AM_I).await.unwrap()[0].sqlstate(), "0A000", "{sql}");
        raw.query("ROLLBACK").await.unwrap();
    }
    // A level that only the servers know.
    let level = "ALTER ROLE app SET default_transaction_isolation = 'repeatable read'";
    cluster.execute(PRIMARY, "postgres", level).await.unwrap();
    cluster.wait_for_catchup().await.unwrap();
    for i in [PRIMARY, REPLICA] {
        let gone = "SELECT count(pg_terminate_backend(pid, 60000)) >= 0 FROM pg_stat_activity WHERE usename = 'app'";
        cluster.until(i, gone).await.unwrap();
    }
    begin_on_replica(&proxy, &mut raw, begin).await;
    raw.query("SELECT v FROM t").await.unwrap();
    assert_eq!(raw.query(WHERE_AM_I).await.unwrap()[0].sqlstate(), "0A000");
    raw.query("ROLLBACK").await.unwrap();
    begin_on_replica(&proxy, &mut raw, begin).await;
    assert_eq!(raw.value(WHERE_AM_I).await, "f", "before the first snapshot");
    raw.query("ROLLBACK").await.unwrap();
}
