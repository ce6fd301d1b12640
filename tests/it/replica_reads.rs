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
               CREATE TABLE quiet (v int); INSERT INTO quiet VALUES (0); GRANT ALL ON quiet TO app";
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
