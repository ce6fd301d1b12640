//! Reads see what was written: 10,000 writes by several sessions, each read back at once through the same connection and
//! through another, while the replica's replay is paused again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Statement};

use crate::support::build;
use crate::support::proxy::Proxy;
use crate::support::raw::{PATIENCE, Raw};

const SESSIONS: usize = 8;
const TABLES: usize = 3;
const WRITES: u64 = 10_000;
/// How often replay is paused, each time for half of a round's writes.
const PAUSES: u64 = 10;
const REPLICA: usize = 1;

/// For each table and session the value whose commit was acknowledged last.
struct Board {
    acknowledged: [[AtomicU64; SESSIONS]; TABLES],
    writes: AtomicU64,
}

impl Board {
    fn new() -> Self {
        let row = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { acknowledged: std::array::from_fn(|_| row()), writes: AtomicU64::new(0) }
    }

    fn least(&self, table: usize, session: usize) -> u64 {
        self.acknowledged[table][session].load(Ordering::SeqCst)
    }

    fn note(&self, table: usize, session: usize, value: u64) {
        self.acknowledged[table][session].store(value, Ordering::SeqCst);
    }

    /// Waits until so many writes were acknowledged.
    async fn reach(&self, writes: u64) {
        let (mut seen, mut since) = (0, Instant::now());
        while seen < writes {
            let now = self.writes.load(Ordering::SeqCst);
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "the sessions stand still at {seen} writes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A primary and a replica, and a proxy in front of them.
struct Setting {
    cluster: Cluster,
    proxy: Proxy,
}

impl Setting {
    async fn start() -> Self {
        let cluster = Cluster::start(ClusterOptions { replicas: 1, ..ClusterOptions::default() }).await.unwrap();
        let mut sql = String::from(
            "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher; CREATE ROLE app LOGIN PASSWORD 'app';
             CREATE ROLE quiet LOGIN PASSWORD 'quiet'; CREATE TABLE quiet (id int PRIMARY KEY, v bigint);
             INSERT INTO quiet SELECT i, 7 * i FROM generate_series(0, 99) i; GRANT SELECT ON quiet TO app, quiet;
             CREATE FUNCTION bump(which int, to_value bigint) RETURNS void LANGUAGE plpgsql AS
             $$BEGIN UPDATE hot0 SET v = to_value WHERE id = which; END$$;",
        );
        for table in 0..TABLES {
            sql.push_str(&format!(
                "CREATE TABLE hot{table} (id int PRIMARY KEY, v bigint); GRANT ALL ON hot{table} TO app;
                 INSERT INTO hot{table} SELECT i, 0 FROM generate_series(0, {SESSIONS} - 1) i;"
            ));
        }
        cluster.execute(PRIMARY, "postgres", &sql).await.unwrap();
        cluster.wait_for_catchup().await.unwrap();
        let proxy = Proxy::start(&format!(
            "[users]\napp.password = \"app\"\nquiet.password = \"quiet\"\nwatcher.password = \"w\"\n\
             [databases.postgres]\nservice_user = \"watcher\"\nhealth_interval = \"50ms\"\nmax_lag = \"10m\"\n\
             shards.s1 = {}\n",
            cluster.urls_toml("postgres")
        ))
        .await;
        Self { cluster, proxy }
    }

    async fn raw(&self, user: &str) -> Raw {
        Raw::login(&self.proxy.target(user, user, "postgres")).await
    }

    /// How many queries of this user server `i` has answered.
    async fn queries(&self, user: &str, i: usize) -> u64 {
        let (_, page) = self.proxy.page("/metrics").await;
        let labels = [format!("user=\"{user}\""), format!("server=\"{}\"", self.cluster.address(i))];
        let ours = page.lines().filter(|line| line.starts_with("pgbraid_queries_total{"));
        let ours = ours.filter(|line| labels.iter().all(|label| line.contains(label)));
        ours.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
    }

    /// Reads until the replica answers.
    async fn until_replica_answers(&self, raw: &mut Raw, user: &str, sql: &str) {
        let begin = Instant::now();
        let before = self.queries(user, REPLICA).await;
        while self.queries(user, REPLICA).await == before {
            assert!(begin.elapsed() < PATIENCE, "the replica never answered {sql}");
            raw.value(sql).await;
        }
    }
}

/// How much of the work the replica did, from the counts of both before and after: at least half.
fn mostly_replica(before: (u64, u64), after: (u64, u64), what: &str) {
    let (primary, replica) = (after.0 - before.0, after.1 - before.1);
    assert!(replica > primary, "{what}: {primary} on the primary, {replica} on the replica");
}

/// One of the sessions: a connection with prepared statements, and another one.
struct Writer {
    number: usize,
    board: Arc<Board>,
    own: Client,
    other: Raw,
    updates: Vec<Statement>,
    reads: Vec<Statement>,
}

impl Writer {
    async fn new(setting: &Setting, number: usize, board: Arc<Board>) -> Self {
        let own = setting.proxy.target("app", "app", "postgres").connect().await.unwrap();
        let (mut updates, mut reads) = (Vec::new(), Vec::new());
        for table in 0..TABLES {
            let update = format!("UPDATE hot{table} SET v = $1 WHERE id = {number}");
            updates.push(own.prepare(&update).await.unwrap());
            reads.push(own.prepare(&format!("SELECT v FROM hot{table} WHERE id = $1")).await.unwrap());
        }
        Self { number, board, own, other: setting.raw("app").await, updates, reads }
    }

    async fn work(mut self) {
        for value in 1..=WRITES / SESSIONS as u64 {
            let table = value as usize % TABLES;
            for written in self.write(table, value).await {
                self.board.note(written, self.number, value);
                self.read_back(written, value).await;
            }
            self.board.writes.fetch_add(1, Ordering::SeqCst);
            if value.is_multiple_of(4) {
                self.read_anothers(value).await;
            }
        }
    }

    /// Writes in one of several ways; gives the tables that were written.
    async fn write(&mut self, table: usize, value: u64) -> Vec<usize> {
        let number = self.number;
        let update = |table: usize| format!("UPDATE hot{table} SET v = {value} WHERE id = {number}");
        let next = (table + 1) % TABLES;
        match value % 8 {
            0 => self.own.batch_execute(&update(table)).await.unwrap(),
            1 => {
                let transaction = self.own.transaction().await.unwrap();
                transaction.execute(&self.updates[table], &[&(value as i64)]).await.unwrap();
                transaction.execute(&self.updates[next], &[&(value as i64)]).await.unwrap();
                transaction.commit().await.unwrap();
                return vec![table, next];
            }
            2 => {
                let sql = format!("BEGIN; {}; {}; COMMIT", update(table), update(next));
                self.own.batch_execute(&sql).await.unwrap();
                return vec![table, next];
            }
            3 => {
                let sql = format!("WITH w AS ({} RETURNING v) SELECT v FROM w", update(table));
                assert_eq!(self.other.value(&sql).await, value.to_string());
            }
            4 => {
                let insert = format!("INSERT INTO hot{table} VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET v = $2");
                let values = [Some(number.to_string()), Some(value.to_string())];
                let values = values.each_ref().map(Option::as_deref);
                self.other.send(&build::extended(&insert, &values)).await.unwrap();
                let frames = self.other.until_ready(1).await.unwrap();
                assert!(frames.iter().all(|frame| frame.kind != b'E'), "{frames:?}");
            }
            _ => {
                self.own.execute(&self.updates[table], &[&(value as i64)]).await.unwrap();
            }
        }
        vec![table]
    }

    /// Nobody else writes the row: both connections must read what was written last.
    async fn read_back(&mut self, table: usize, value: u64) {
        let number = self.number;
        let row = self.own.query_one(&self.reads[table], &[&(number as i32)]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), value as i64, "session {number}, hot{table}, the same connection");
        let sql = match value % 3 {
            0 => format!("SELECT v FROM hot{table} WHERE id = {number}"),
            1 => format!("SELECT h.v FROM hot{table} h JOIN quiet q USING (id) WHERE id = {number}"),
            _ => format!("SELECT max(v) FROM hot{table} WHERE id IN ({number})"),
        };
        let read = if value.is_multiple_of(16) {
            self.other.query("BEGIN READ ONLY").await.unwrap();
            let read = self.other.value(&sql).await;
            self.other.query("COMMIT").await.unwrap();
            read
        } else {
            self.other.value(&sql).await
        };
        assert_eq!(read, value.to_string(), "session {number}, hot{table}, another connection: {sql}");
    }

    /// What other sessions were told is committed must be seen here too.
    async fn read_anothers(&mut self, value: u64) {
        let session = (self.number + 1 + value as usize / 4) % SESSIONS;
        let table = (value as usize / 4) % TABLES;
        let least = self.board.least(table, session);
        let read = self.other.value(&format!("SELECT v FROM hot{table} WHERE id = {session}")).await;
        assert!(read.parse::<u64>().unwrap() >= least, "hot{table} of session {session}: {read}, but {least} was told");
    }
}

/// Reads what nobody writes, until the writes are done.
async fn read_quiet(mut raw: Raw, board: Arc<Board>) {
    let mut id = 0;
    while board.writes.load(Ordering::SeqCst) < WRITES {
        id = (id + 1) % 100;
        assert_eq!(raw.value(&format!("SELECT v FROM quiet WHERE id = {id}")).await, (7 * id).to_string());
    }
}

#[tokio::test]
async fn no_session_reads_an_older_row_than_was_written() {
    let setting = Setting::start().await;
    let board = Arc::new(Board::new());
    let mut quiet = setting.raw("quiet").await;
    setting.until_replica_answers(&mut quiet, "quiet", "SELECT v FROM quiet WHERE id = 1").await;
    let counts = async |user| (setting.queries(user, PRIMARY).await, setting.queries(user, REPLICA).await);
    let before = counts("quiet").await;

    let mut tasks = JoinSet::new();
    for number in 0..SESSIONS {
        tasks.spawn(Writer::new(&setting, number, board.clone()).await.work());
    }
    tasks.spawn(read_quiet(quiet, board.clone()));
    for pause in 0..PAUSES {
        let round = WRITES / PAUSES;
        board.reach(pause * round + 1).await;
        setting.cluster.pause_replay(REPLICA).await.unwrap();
        board.reach(pause * round + round / 2).await;
        setting.cluster.resume_replay(REPLICA).await.unwrap();
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(board.writes.load(Ordering::SeqCst), WRITES);
    mostly_replica(before, counts("quiet").await, "a table that nobody writes");

    // Writes pause: now the replica answers for all tables.
    let mut raw = setting.raw("app").await;
    for table in 0..TABLES {
        let sql = format!("SELECT v FROM hot{table} WHERE id = 0");
        setting.until_replica_answers(&mut raw, "app", &sql).await;
    }
    let before = counts("app").await;
    for at in 0..300 {
        let (table, session) = (at % TABLES, at / TABLES % SESSIONS);
        let read = raw.value(&format!("SELECT v FROM hot{table} WHERE id = {session}")).await;
        assert_eq!(read, board.least(table, session).to_string());
    }
    mostly_replica(before, counts("app").await, "all tables once writes pause");

    code_that_writes_unseen(&setting).await;
    an_old_row_would_be_noticed(&setting).await;
}

/// What isn't known by table counts for all.
async fn code_that_writes_unseen(setting: &Setting) {
    let (mut own, mut other) = (setting.raw("app").await, setting.raw("app").await);
    for value in 20_001..20_101 {
        if value % 50 == 1 {
            setting.cluster.pause_replay(REPLICA).await.unwrap();
        }
        own.value(&format!("SELECT bump(1, {value}) IS NULL")).await;
        for raw in [&mut own, &mut other] {
            assert_eq!(raw.value("SELECT v FROM hot0 WHERE id = 1").await, value.to_string());
        }
        if value % 50 == 25 {
            setting.cluster.resume_replay(REPLICA).await.unwrap();
        }
    }
}

/// The test can fail: a session that asks for no more gets the old row while replay is paused.
async fn an_old_row_would_be_noticed(setting: &Setting) {
    setting.cluster.wait_for_catchup().await.unwrap();
    setting.cluster.pause_replay(REPLICA).await.unwrap();
    let (mut own, mut careless) = (setting.raw("app").await, setting.raw("app").await);
    own.query("UPDATE hot0 SET v = 30001 WHERE id = 1").await.unwrap();
    careless.query("SET pgbraid.consistency = 'eventual'").await.unwrap();
    let begin = Instant::now();
    let sql = "SELECT v FROM hot0 WHERE id = 1";
    while careless.value(sql).await != "20100" {
        assert!(begin.elapsed() < PATIENCE, "the replica never answered");
    }
    assert_eq!(own.value(sql).await, "30001");
    assert_eq!(setting.raw("app").await.value(sql).await, "30001");
    setting.cluster.resume_replay(REPLICA).await.unwrap();
}
