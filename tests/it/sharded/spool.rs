//! Temporary tables of gathered rows, and rows that go along to shards, when whoever has to do with them dies in the middle:
//! nothing stays behind.

use std::time::{Duration, Instant};

use pgbraid::cli::cluster::{Cluster, PRIMARY};

use super::shards::{configuration, fill, make, said, server};
use crate::support::build;
use crate::support::proxy::Proxy;
use crate::support::raw::{PATIENCE, Raw};

/// All rows are gathered: 3 MB and more, of which memory takes one.
const WINDOW: &str = "SELECT max(r) FROM (SELECT rank() OVER (ORDER BY owner, id) AS r FROM accounts) t";

/// The same, and the rest takes minutes.
const SLOW: &str = "SELECT count(*) FROM (SELECT rank() OVER (ORDER BY owner, id) AS r FROM accounts) t, \
    generate_series(1, 1000000) g WHERE r + g < 0";

/// A few rows go along to all shards, which work with them for minutes.
const SLOW_ALONG: &str = "SELECT count(*) FROM accounts a JOIN accounts b ON b.balance = a.id, \
    generate_series(1, 1000000) g WHERE a.id <= 40 AND b.id + g < 0";

/// They do, and have for a while.
const ALONG: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active' \
    AND query LIKE '%pg_catalog.unnest(%' AND clock_timestamp() - query_start > '500ms'";

/// How many accounts there are.
const MANY: i64 = 15_040;

const SETTINGS: &str = "gather_memory = 1\ngather_on = \"s3\"\n";

/// Whoever has sent a part of the rows to temporary tables waits for the rest of them.
const FILLING: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle in transaction' \
    AND query LIKE 'COPY pg_temp.pgbraid_g%'";

/// The rest runs, and has for a while: between Parse and Execute PostgreSQL forgets a cancel request (`ProcessInterrupts`).
const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active' \
    AND query LIKE '%FROM pg_temp.pgbraid_g%' AND clock_timestamp() - query_start > '500ms'";

/// What must not stay: transactions, and temporary tables.
const LEFT: &str = "SELECT (SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND xact_start IS NOT NULL) \
    + (SELECT count(*) FROM pg_class WHERE relpersistence = 't')";

/// Three shards on servers of their own, and a proxy in a process of its own.
struct World {
    shards: Vec<Cluster>,
    proxy: Proxy,
}

impl World {
    async fn start() -> Self {
        let mut shards = Vec::new();
        for _ in 0..3 {
            let cluster = server(10).await;
            make(&cluster, "bank").await;
            shards.push(cluster);
        }
        let proxy = Self::proxy(&shards).await;
        let world = Self { shards, proxy };
        fill(&world.proxy.target("app", "app", "bank")).await;
        let mut raw = world.client().await;
        let more = "INSERT INTO accounts SELECT g, 1, repeat('x', 200) FROM generate_series(1001, 16000) g";
        assert_eq!(said(&mut raw, more).await, "INSERT 0 15000");
        world
    }

    async fn proxy(shards: &[Cluster]) -> Proxy {
        let shards: Vec<_> = shards.iter().map(|cluster| (cluster, "bank")).collect();
        Proxy::start(&configuration(&shards, SETTINGS)).await
    }

    async fn client(&self) -> Raw {
        Raw::login(&self.proxy.target("app", "app", "bank")).await
    }

    /// Waits until a shard says so.
    async fn until(&self, shard: usize, sql: &str, expected: &str) {
        let begin = Instant::now();
        loop {
            let said = self.shards[shard].value(PRIMARY, "bank", sql).await.unwrap_or_default();
            if said == expected {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{sql} says {said} on shard {shard}, not {expected}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Keeps one shard from answering, until the connection is dropped.
    async fn hold(&self) -> tokio_postgres::Client {
        let holder = self.shards[1].connect(PRIMARY, "bank").await.unwrap();
        holder
            .batch_execute("SET lock_timeout = '30s'; BEGIN; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        holder
    }

    /// Nothing is left anywhere, in the proxy neither.
    async fn clean(&self, case: &str) {
        for shard in 0..3 {
            self.until(shard, LEFT, "0").await;
        }
        let begin = Instant::now();
        let busy = |page: &str| {
            let figures = ["pgbraid_gather_memory_bytes{", "pgbraid_gather_table_bytes{", "state=\"active\""];
            let counted = page.lines().filter(|line| figures.iter().any(|figure| line.contains(figure)));
            let ours = counted.filter(|line| !line.contains("user=\"keeper\"") && !line.ends_with(" 0"));
            ours.map(str::to_owned).collect::<Vec<_>>()
        };
        loop {
            let busy = busy(&self.proxy.page("/metrics").await.1);
            if busy.is_empty() {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{case}: {busy:#?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// A session goes on, and gathers again.
    async fn goes_on(&self, raw: &mut Raw, case: &str) {
        let begin = Instant::now();
        loop {
            let frames = raw.query(WINDOW).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            if let Some(row) = frames.iter().find(|frame| frame.kind == b'D') {
                assert_eq!(row.values()[0].as_deref(), Some(MANY.to_string().as_str()), "{case}");
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{case}: {frames:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn kill(&mut self, shard: usize) {
        self.shards[shard].kill_9(PRIMARY).await.unwrap();
    }

    async fn revive(&mut self, shard: usize) {
        self.shards[shard].restart(PRIMARY).await.unwrap();
    }
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// Some shards have given their rows, one hasn't.
    Filling,
    /// The rest runs.
    Running,
    /// The shards work with rows that went along.
    Along,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Cancel,
    ClientGone,
    BackendEnded,
    ShardKilled,
    GathererKilled,
    ProxyKilled,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_nothing_stays_behind() {
    let mut world = World::start().await;
    let mut raw = world.client().await;
    world.goes_on(&mut raw, "at first").await;
    refused_where_tables_cant_be_made(&world, &mut raw).await;
    reference_tables_come_too(&mut raw).await;
    the_rest_may_do_what_the_transaction_may(&mut raw).await;
    the_rest_has_the_settings_that_were_reset(&world, &mut raw).await;
    a_cursor_keeps_its_tables(&world, &mut raw).await;
    world.clean("before anything dies").await;
    for shard in &world.shards {
        // Which rows go along is decided by estimates.
        shard.execute(PRIMARY, "bank", "ANALYZE accounts").await.unwrap();
    }
    for moment in [Moment::Filling, Moment::Running, Moment::Along] {
        for event in [
            Event::Cancel,
            Event::ClientGone,
            Event::BackendEnded,
            Event::ShardKilled,
            Event::GathererKilled,
            Event::ProxyKilled,
        ] {
            // Once the rest runs the shards aren't needed any more. And what a server runs for a proxy that is gone it
            // runs to its end.
            let never = match moment {
                Moment::Filling => false,
                Moment::Running => event == Event::ShardKilled,
                Moment::Along => event == Event::ProxyKilled,
            };
            if !never {
                happens(&mut world, moment, event).await;
            }
        }
    }
}

async fn happens(world: &mut World, moment: Moment, event: Event) {
    let case = format!("{event:?} while {moment:?}");
    for block in [false, true] {
        let mut raw = world.client().await;
        if block {
            // In READ COMMITTED a shard is asked once.
            let begin = if moment == Moment::Along { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" };
            assert_eq!(said(&mut raw, begin).await, "BEGIN");
            // On a shard that nobody holds.
            let id = world.shards[0].value(PRIMARY, "bank", "SELECT min(id) FROM accounts").await.unwrap();
            let update = format!("UPDATE accounts SET balance = balance + 0 WHERE id = {id}");
            assert_eq!(said(&mut raw, &update).await, "UPDATE 1");
        }
        let held = if moment == Moment::Filling { Some(world.hold().await) } else { None };
        let (sql, seen, part) = match moment {
            Moment::Filling => (WINDOW, FILLING, "pg_temp.pgbraid_g"),
            Moment::Running => (SLOW, RUNNING, "pg_temp.pgbraid_g"),
            Moment::Along => (SLOW_ALONG, ALONG, "pg_catalog.unnest("),
        };
        raw.send(&build::query(sql)).await.unwrap();
        world.until(2, seen, "1").await;
        let code = match event {
            Event::Cancel => {
                let (pid, key) = raw.key.clone().unwrap();
                let mut other = Raw::open(&world.proxy.address).await.unwrap();
                other.send(&build::cancel(pid, &key)).await.unwrap();
                Some("57014")
            }
            Event::ClientGone => None,
            Event::BackendEnded => {
                let end = format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' \
                     AND query LIKE '%{part}%' AND pid <> pg_backend_pid()"
                );
                world.shards[2].execute(PRIMARY, "bank", &end).await.unwrap();
                Some("57P01 08006")
            }
            Event::ShardKilled => {
                world.kill(1).await;
                Some("08006 57P01 57P02")
            }
            Event::GathererKilled => {
                world.kill(2).await;
                Some("08006 57P01 57P02")
            }
            Event::ProxyKilled => {
                world.proxy.kill_9().await;
                None
            }
        };
        // Before there are more rows to send, nobody notices.
        let held = held.filter(|_| !matches!(event, Event::BackendEnded | Event::GathererKilled));
        match code {
            Some(codes) => {
                let frames = raw.until_ready(1).await.unwrap_or_else(|error| panic!("{case}: {error}"));
                let errors: Vec<String> =
                    frames.iter().filter(|frame| frame.kind == b'E').map(|frame| frame.sqlstate()).collect();
                let one = matches!(errors.as_slice(), [code] if codes.contains(code.as_str()));
                assert!(one, "{case}: {errors:?}, not one of {codes}");
            }
            None => drop(std::mem::replace(&mut raw, reconnected(world, event).await)),
        }
        drop(held);
        match event {
            Event::ShardKilled => world.revive(1).await,
            Event::GathererKilled => world.revive(2).await,
            _ => {}
        }
        if block && code.is_some() {
            assert!(said(&mut raw, "SELECT 1").await.starts_with("25P02"), "{case}");
            assert_eq!(said(&mut raw, "ROLLBACK").await, "ROLLBACK", "{case}");
        }
        world.clean(&case).await;
        world.goes_on(&mut raw, &case).await;
        world.clean(&case).await;
    }
}

/// A client of the proxy that lives then.
async fn reconnected(world: &mut World, event: Event) -> Raw {
    if event == Event::ProxyKilled {
        world.proxy = World::proxy(&world.shards).await;
    }
    world.client().await
}

async fn refused_where_tables_cant_be_made(world: &World, raw: &mut Raw) {
    let temp = async |word: &str| {
        let role = if word == "GRANT" { "TO" } else { "FROM" };
        let sql = format!("{word} TEMP ON DATABASE bank {role} PUBLIC, app");
        world.shards[2].execute(PRIMARY, "bank", &sql).await.unwrap();
    };
    temp("REVOKE").await;
    let told = said(raw, WINDOW).await;
    for words in ["53400: ", "42501", "permission denied to create temporary tables", "gather_memory, which is 1"] {
        assert!(told.contains(words), "{told}");
    }
    temp("GRANT").await;
    assert_eq!(said(raw, "BEGIN").await, "BEGIN");
    assert_eq!(said(raw, "CREATE TABLE pages (id int)").await, "CREATE TABLE");
    let told = said(raw, WINDOW).await;
    assert!(told.starts_with("53400: ") && told.contains("changed definitions"), "{told}");
    assert_eq!(said(raw, "ROLLBACK").await, "ROLLBACK");
    world.goes_on(raw, "after refusals").await;
}

/// A rest that could read a reference table gets its rows from where the temporary tables are, also where memory is too
/// little for the second input only.
async fn reference_tables_come_too(raw: &mut Raw) {
    assert_eq!(said(raw, "INSERT INTO kinds VALUES ('a', 'first', 1), ('b', 'second', 2)").await, "INSERT 0 2");
    let join = "SELECT count(*) * 10 + count(DISTINCT k.code) + 0 * max(length(b.owner)) FROM accounts a \
                JOIN accounts b ON b.balance = a.id LEFT JOIN kinds k ON k.n = a.id WHERE a.id <= 40";
    for begin in ["", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"] {
        if !begin.is_empty() {
            assert_eq!(said(raw, begin).await, "BEGIN");
            assert_eq!(said(raw, "UPDATE accounts SET balance = 2 WHERE id = 1001").await, "UPDATE 1");
        }
        let kinds = if begin.is_empty() { 1 } else { 2 };
        assert_eq!(raw.value(join).await, (150_000 + kinds).to_string(), "{begin}");
        if !begin.is_empty() {
            assert_eq!(said(raw, "ROLLBACK").await, "ROLLBACK");
        }
    }
    let frames = raw.query(&format!("EXPLAIN (ANALYZE, COSTS OFF) {join}")).await.unwrap();
    let lines: Vec<String> = frames.iter().filter(|f| f.kind == b'D').filter_map(|f| f.values().remove(0)).collect();
    let shown = lines.join("\n");
    for words in ["With reference tables, input 3: SELECT", "gave 15000 rows", "Rest on s3, over temporary tables"] {
        assert!(shown.contains(words), "{shown}");
    }
}

/// What the rest calls may draw from a sequence, unless the client's transaction only reads.
async fn the_rest_may_do_what_the_transaction_may(raw: &mut Raw) {
    let drawn = "SELECT count(DISTINCT n) FROM (SELECT rank() OVER (ORDER BY owner, id) AS r, pgbraid.unique_id() AS n \
                 FROM accounts) t WHERE r > 0";
    for begin in ["BEGIN", "BEGIN READ ONLY"] {
        assert_eq!(raw.value(drawn).await, MANY.to_string());
        assert_eq!(said(raw, begin).await, "BEGIN");
        match begin {
            "BEGIN" => assert_eq!(raw.value(drawn).await, MANY.to_string()),
            _ => assert!(said(raw, drawn).await.starts_with("25006: "), "{begin}"),
        }
        assert_eq!(said(raw, "ROLLBACK").await, "ROLLBACK");
    }
}

/// In a block what RESET and its like return to is known to the servers only.
async fn the_rest_has_the_settings_that_were_reset(world: &World, raw: &mut Raw) {
    let sql = "SELECT to_timestamp(max(r))::text FROM (SELECT rank() OVER (ORDER BY owner, id) AS r FROM accounts) t";
    for reset in [
        "RESET timezone",
        "SET timezone TO DEFAULT",
        "SET TIME ZONE LOCAL",
        "SET LOCAL TIME ZONE DEFAULT",
        "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
        "SELECT set_config('TimeZone', NULL, false)",
    ] {
        let mut other = world.client().await;
        let local = reset.starts_with("SET LOCAL");
        said(&mut other, if local { "SELECT 1" } else { reset }).await;
        let expected = other.value(&sql.replace("max(r)", &format!("0 * max(r) + {MANY}"))).await;
        for begin in ["BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"] {
            assert_eq!(said(raw, "SET timezone = 'Asia/Tokyo'").await, "SET");
            let before = raw.value(sql).await;
            assert_ne!(before, expected);
            assert_eq!(said(raw, &format!("{begin}; SAVEPOINT s")).await, "SAVEPOINT");
            let told = said(raw, reset).await;
            assert!(["RESET", "SET", "SELECT 1"].contains(&told.as_str()), "{reset}: {told}");
            assert_eq!(raw.value(sql).await, expected, "{begin}; {reset}");
            assert_eq!(said(raw, "ROLLBACK TO s").await, "ROLLBACK");
            assert_eq!(raw.value(sql).await, before, "{begin}; {reset}; ROLLBACK TO s");
            assert_eq!(said(raw, "ROLLBACK").await, "ROLLBACK");
        }
    }
    // A setting that nobody has set has a value too.
    for reset in ["RESET pgbraid_test.never", "SET pgbraid_test.never_either TO DEFAULT", "RESET \"DateStyle\""] {
        assert_eq!(said(raw, "BEGIN").await, "BEGIN");
        let told = said(raw, reset).await;
        assert!(["RESET", "SET"].contains(&told.as_str()), "{reset}: {told}");
        assert_eq!(said(raw, sql).await, "SELECT 1", "{reset}");
        assert_eq!(said(raw, "COMMIT").await, "COMMIT", "{reset}");
    }
    said(raw, "RESET timezone").await;
}

async fn a_cursor_keeps_its_tables(world: &World, raw: &mut Raw) {
    let figure = async || {
        let page = world.proxy.page("/metrics").await.1;
        let line = page.lines().find(|line| line.starts_with("pgbraid_gather_table_bytes{")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next().and_then(|bytes| bytes.parse::<u64>().ok())).unwrap()
    };
    let rows = |frames: Vec<crate::support::raw::Frame>| frames.iter().filter(|frame| frame.kind == b'D').count();
    for end in ["CLOSE c", "ROLLBACK TO s", "COMMIT"] {
        assert_eq!(said(raw, "BEGIN; SAVEPOINT s").await, "SAVEPOINT");
        let declare = "DECLARE c CURSOR FOR SELECT id, rank() OVER (ORDER BY owner, id) FROM accounts";
        assert_eq!(said(raw, declare).await, "DECLARE CURSOR");
        assert_eq!(rows(raw.query("FETCH 5 FROM c").await.unwrap()), 5);
        assert!(figure().await > 3 << 20);
        assert_eq!(rows(raw.query("FETCH 500 FROM c").await.unwrap()), 500);
        // What the transaction writes may be prepared all the same.
        for shard in [0, 1] {
            let id = world.shards[shard].value(PRIMARY, "bank", "SELECT min(id) FROM accounts").await.unwrap();
            assert_eq!(said(raw, &format!("UPDATE accounts SET balance = 2 WHERE id = {id}")).await, "UPDATE 1");
        }
        said(raw, end).await;
        assert_eq!(figure().await, 0, "{end}");
        if end != "COMMIT" {
            assert_eq!(said(raw, "COMMIT").await, "COMMIT");
        }
    }
}
