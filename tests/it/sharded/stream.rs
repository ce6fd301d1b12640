//! Streams over shards in a process of its own, whose memory is watched: slow clients, budgets, bounds that stop shards.

use std::time::{Duration, Instant};

use crate::sharded::talk::systems;
use crate::support::build;
use crate::support::proxy::Proxy;
use crate::support::raw::{PATIENCE, Raw};

/// 240 orders times this many: more than a million rows.
const TIMES: usize = 4_400;

/// Rows of one shard with rows that every shard has: far more than a server gives in a test's time.
const ENDLESS: &str = "orders o, products a, products b, products c, products d, products e, products f, products g";

/// The process's resident memory, in megabytes.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn proxy(settings: &str) -> (Proxy, Raw) {
    let proxy = Proxy::start(&systems().configuration(settings)).await;
    let target = proxy.target("app", "app", "plain");
    let mut raw = Raw::login(&target).await;
    // What is made once is made now.
    for sql in ["SELECT count(*) FROM orders", "SELECT id FROM orders ORDER BY id", "SELECT id, total FROM orders"] {
        raw.query(sql).await.unwrap();
    }
    (proxy, raw)
}

#[test]
fn a_slow_client_slows_the_shards_and_not_the_proxys_memory() {
    systems().block_on(async {
        let (proxy, mut raw) = proxy("").await;
        let before = memory(proxy.pid);
        let mut most = before;
        for order in ["", "ORDER BY o.id"] {
            let sql = format!("SELECT o.id, g, repeat('x', 100) FROM orders o, generate_series(1, {TIMES}) g {order}");
            raw.send(&build::query(&sql)).await.unwrap();
            let begin = Instant::now();
            let mut rows = 0_usize;
            let mut last = 0_i64;
            loop {
                let frame = raw.expect().await.unwrap();
                match frame.kind {
                    b'D' => {
                        rows += 1;
                        if !order.is_empty() && rows.is_multiple_of(1_000) {
                            let id: i64 = frame.values()[0].as_deref().unwrap().parse().unwrap();
                            assert!(id >= last);
                            last = id;
                        }
                    }
                    b'Z' => break,
                    b'E' => panic!("{frame:?}"),
                    _ => {}
                }
                if rows % 20_000 == 1 {
                    // The first half is read slowly.
                    if rows < 100_000 {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                    most = most.max(memory(proxy.pid));
                }
                assert!(begin.elapsed() < PATIENCE * 4, "{rows} rows only");
            }
            assert_eq!(rows, 240 * TIMES, "{order}");
        }
        assert!(most < before + 24, "{before} MB before, {most} MB while rows streamed");
    });
}

/// How many rows a statement gives, and the most memory that the proxy has meanwhile.
async fn watched(proxy: &Proxy, raw: &mut Raw, sql: &str) -> (usize, u64) {
    raw.send(&build::query(sql)).await.unwrap();
    let (mut rows, mut most) = (0, 0);
    loop {
        tokio::select! {
            frame = raw.expect() => match frame.unwrap().kind {
                b'D' => rows += 1,
                b'Z' => return (rows, most),
                b'E' => panic!("{sql} fails"),
                _ => {}
            },
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if rows % 1_000 == 0 {
            most = most.max(memory(proxy.pid));
        }
    }
}

/// What must be gathered: 240 rows of 150 bytes or so, times the products, times this twice.
fn wide(most: usize) -> String {
    format!(
        "SELECT DISTINCT o.id, a.id, b.id, c.id, repeat('x', 100) FROM orders o, products a, products b, \
         products c WHERE b.id <= {most} AND c.id <= {most}"
    )
}

#[test]
fn a_statement_over_its_budget_is_refused_with_the_setting() {
    systems().block_on(async {
        let (proxy, mut raw) = proxy("gather_memory = 8\ngather_memory_total = 12\ngather_limit = 0").await;
        let before = memory(proxy.pid);
        for round in 0..3 {
            let frames = raw.query(&wide(12)).await.unwrap();
            let error = frames.iter().find(|frame| frame.kind == b'E').unwrap_or_else(|| panic!("{frames:?}"));
            assert_eq!(error.sqlstate(), "53400", "{error:?}");
            assert!(error.fields()[&'H'].contains("gather_memory, which is 8"), "{error:?}");
            let now = memory(proxy.pid);
            assert!(now < before + 64, "round {round}: {before} MB before, {now} MB after");
        }
        // What it held is free again, and the session lives.
        let frames = raw.query(&wide(1)).await.unwrap();
        assert_eq!(frames.iter().filter(|frame| frame.kind == b'D').count(), 240 * 12);
        // A block fails with it, and ends.
        raw.query("BEGIN").await.unwrap();
        raw.query(&wide(12)).await.unwrap();
        let frames = raw.query("SELECT 1").await.unwrap();
        assert!(frames.iter().any(|frame| frame.sqlstate() == "25P02"), "{frames:?}");
        raw.query("ROLLBACK").await.unwrap();
        assert_eq!(raw.value("SELECT count(*) FROM orders").await, "240");
    });
}

/// What memory is too little for goes through temporary tables, however much it is.
#[test]
fn temporary_tables_take_what_memory_is_too_little_for() {
    systems().block_on(async {
        let (proxy, mut raw) = proxy("gather_memory = 8\ngather_limit = 40").await;
        let before = memory(proxy.pid);
        for most in [6, 9] {
            let (rows, most_memory) = watched(&proxy, &mut raw, &wide(most)).await;
            assert_eq!(rows, 240 * 12 * most * most);
            assert!(most_memory < before + 40, "{before} MB before, {most_memory} MB while {most} ran");
        }
        let (_, page) = proxy.page("/metrics").await;
        assert!(page.contains("pgbraid_gather_spooled_total{database=\"plain\"} 2"), "{page}");
        let frames = raw.query(&wide(12)).await.unwrap();
        let error = frames.iter().find(|frame| frame.kind == b'E').unwrap_or_else(|| panic!("{frames:?}"));
        assert_eq!(error.sqlstate(), "53400", "{error:?}");
        assert!(error.fields()[&'H'].contains("gather_limit, which is 40"), "{error:?}");
        let now = memory(proxy.pid);
        assert!(now < before + 40, "{before} MB before, {now} MB after");
        assert_eq!(raw.value("SELECT count(*) FROM orders").await, "240");
        let (_, page) = proxy.page("/metrics").await;
        for figure in ["pgbraid_gather_memory_bytes", "pgbraid_gather_table_bytes"] {
            assert!(page.contains(&format!("{figure}{{database=\"plain\"}} 0")), "{page}");
        }
    });
}

/// In memory it is what is gathered, and once more while it is sent.
#[test]
fn arrays_take_about_twice_the_memory_that_they_hold() {
    systems().block_on(async {
        let (proxy, mut raw) = proxy("gather_memory = 48\ngather_limit = 0").await;
        let before = memory(proxy.pid);
        let (rows, most) = watched(&proxy, &mut raw, &wide(10)).await;
        assert_eq!(rows, 240 * 12 * 100);
        assert!(most < before + 48 * 3, "{before} MB before, {most} MB at most");
    });
}

/// A portal that is left, a cursor that is closed, a LIMIT that is reached: the shards don't run on.
#[test]
fn what_isnt_wanted_any_more_isnt_read() {
    systems().block_on(async {
        let (_proxy, mut raw) = proxy("").await;
        let endless = format!("SELECT o.id, g.id FROM {ENDLESS}");
        let begin = Instant::now();
        for sql in [
            format!("{endless} LIMIT 5"),
            format!("BEGIN; DECLARE c NO SCROLL CURSOR FOR {endless}; FETCH 10 FROM c; CLOSE c; COMMIT"),
            format!("BEGIN; DECLARE c NO SCROLL CURSOR FOR {endless}; FETCH 10 FROM c; ROLLBACK"),
        ] {
            let frames = raw.query(&sql).await.unwrap();
            assert!(!frames.iter().any(|frame| frame.kind == b'E'), "{frames:?}");
        }
        raw.send(&build::parse("", &endless, &[])).await.unwrap();
        raw.send(&[build::bind("", "", &[]), build::execute("", 7), build::execute("", 7), build::sync()].concat())
            .await
            .unwrap();
        let frames = raw.until_ready(1).await.unwrap();
        assert_eq!(frames.iter().filter(|frame| frame.kind == b'D').count(), 14);
        assert!(begin.elapsed() < PATIENCE, "took {:?}", begin.elapsed());
        assert_eq!(raw.value("SELECT count(*) FROM orders").await, "240");
    });
}

/// A cancel request reaches all shards at once, and none that comes late hits what runs next.
#[test]
fn cancels_reach_every_shard_and_nothing_else() {
    systems().block_on(async {
        let (proxy, mut raw) = proxy("").await;
        let slow = [
            format!("SELECT count(*) FROM {ENDLESS}"),
            format!("SELECT o.id, g.id FROM {ENDLESS} WHERE a.id + b.id + c.id + d.id + e.id + f.id + g.id < 0 ORDER BY o.id"),
            format!("SELECT o.status, sum(g.id) FROM {ENDLESS} GROUP BY 1"),
        ];
        for sql in &slow {
            let (pid, key) = raw.key.clone().unwrap();
            raw.send(&build::query(sql)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut other = Raw::open(&proxy.address).await.unwrap();
            other.send(&build::cancel(pid, &key)).await.unwrap();
            let frames = raw.until_ready(1).await.unwrap();
            let errors: Vec<String> = frames.iter().filter(|f| f.kind == b'E').map(|f| f.sqlstate()).collect();
            assert_eq!(errors, ["57014"], "{sql}");
            for round in 0..20 {
                assert_eq!(raw.value("SELECT count(*) FROM orders").await, "240", "{sql}, round {round}");
            }
        }
        // A client that vanishes leaves nothing running.
        let target = proxy.target("app", "app", "plain");
        let mut gone = Raw::login(&target).await;
        gone.send(&build::query(&format!("SELECT count(*) AS vanished FROM {ENDLESS}"))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(gone);
        let begin = Instant::now();
        let left = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%vanished%' \
                    AND pid <> pg_backend_pid() AND usename = 'app'";
        while raw.value(left).await != "0" {
            assert!(begin.elapsed() < PATIENCE, "it still runs");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}
