//! `cross_shard_reads = "atomic"`: sums over shards while money moves between them, and proxies die in the middle.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgbraid::cli::cluster::{Cluster, PRIMARY};

use super::shards::{ACCOUNTS, BALANCE, PREPARED, configuration, fill, make, said, server};
use crate::support::build;
use crate::support::proxy::{Inside, Proxy};
use crate::support::random::Random;
use crate::support::raw::{Frame, PATIENCE, Raw, Target};

const ATOMIC: &str = "cross_shard_reads = \"atomic\"\n";

fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(server(64))
        });
        thread.join().expect("the server starts")
    })
}

/// Three databases of one server as shards.
struct Three {
    names: [String; 3],
    /// An account of each.
    one: i64,
    two: i64,
    three: i64,
}

impl Three {
    /// Made, and filled through a proxy that has `rest` in its configuration.
    async fn make(name: &str, rest: &str) -> Self {
        let names = [1, 2, 3].map(|shard| format!("{name}_s{shard}"));
        for name in &names {
            make(cluster(), name).await;
        }
        let mut three = Self { names, one: 0, two: 0, three: 0 };
        let proxy = Inside::start(&three.text(rest)).await;
        fill(&proxy.target("app", "app", "bank")).await;
        let first = "SELECT min(id) FROM accounts";
        three.one = three.on(1, first).await.parse().unwrap();
        three.two = three.on(2, first).await.parse().unwrap();
        three.three = three.on(3, first).await.parse().unwrap();
        three
    }

    /// A proxy's configuration.
    fn text(&self, rest: &str) -> String {
        let shards: Vec<(&Cluster, &str)> = self.names.iter().map(|name| (cluster(), name.as_str())).collect();
        configuration(&shards, rest)
    }

    async fn on(&self, shard: usize, sql: &str) -> String {
        cluster().value(PRIMARY, &self.names[shard - 1], sql).await.unwrap()
    }

    async fn run(&self, shard: usize, sql: &str) {
        cluster().execute(PRIMARY, &self.names[shard - 1], sql).await.unwrap();
    }

    async fn until(&self, shard: usize, sql: &str, expected: &str) {
        let begin = Instant::now();
        loop {
            let said = self.on(shard, sql).await;
            if said == expected {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{sql} says {said}, not {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Money goes from the second shard to the third, and a line is written on the first. The proxy dies when that is
    /// decided; what the second shard prepared is then committed, by hand, and the third waits for another proxy.
    async fn half(&self, rest: &str) {
        let mut dying = Proxy::start_to_die(&self.text(rest), "decided:1").await;
        let mut raw = settled(&dying.target("app", "app", "bank")).await;
        let change = |id, by| format!("UPDATE accounts SET balance = balance {by} WHERE id = {id}");
        let all =
            ["BEGIN".into(), change(self.two, "- 7"), change(self.three, "+ 7"), "INSERT INTO log VALUES ('x')".into()];
        for sql in all {
            let told = said(&mut raw, &sql).await;
            assert!(!told.contains(':'), "{told}");
        }
        let _ = raw.query("COMMIT").await;
        dying.ended().await;
        let gid = self.on(2, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()").await;
        self.run(2, &format!("COMMIT PREPARED '{gid}'")).await;
    }
}

/// A client of a proxy that has found its servers.
async fn settled(target: &Target) -> Raw {
    let mut raw = Raw::login(target).await;
    let begin = Instant::now();
    loop {
        let told = said(&mut raw, "SELECT count(*) FROM accounts").await;
        if !told.starts_with("57P03") {
            assert_eq!(told, "SELECT 1");
            return raw;
        }
        assert!(begin.elapsed() < PATIENCE, "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Statements whose rows' last columns sum up to what all accounts have; each list's last but one or last statement gives
/// them, in the simple protocol.
const SUMS: &[&[&str]] = &[
    &["SELECT sum(balance) FROM accounts"],
    &["SELECT balance FROM accounts"],
    &["SELECT id, balance FROM accounts ORDER BY id"],
    &["SELECT id % 4, sum(balance) FROM accounts GROUP BY 1 ORDER BY 1"],
    &["SELECT sum(balance) FROM (SELECT balance, rank() OVER (ORDER BY id) FROM accounts) ranked"],
    &["SELECT a.id, a.balance FROM accounts a WHERE a.id NOT IN (SELECT n FROM kinds WHERE n IS NOT NULL)"],
    &["SELECT balance FROM accounts FOR UPDATE"],
    &["SELECT balance + (SELECT count(*) FROM entries WHERE amount = 77) FROM accounts"],
    &["SELECT 1; SELECT balance FROM accounts"],
    &["COPY (SELECT balance FROM accounts) TO STDOUT"],
    &["BEGIN", "SELECT balance FROM accounts", "COMMIT"],
    &["BEGIN", "SELECT 1 FROM accounts WHERE id = 1", "SELECT sum(balance) FROM accounts", "COMMIT"],
    &["BEGIN READ ONLY", "SELECT id, balance FROM accounts ORDER BY id DESC", "COMMIT"],
    &["BEGIN", "SELECT sum(balance) FROM (SELECT balance, rank() OVER (ORDER BY id) FROM accounts) ranked", "COMMIT"],
    &["BEGIN", "SELECT id % 4, sum(balance) FROM accounts GROUP BY 1", "COMMIT"],
    &["BEGIN", "INSERT INTO log SELECT balance::text FROM accounts RETURNING line", "ROLLBACK"],
    &["BEGIN", "COPY (SELECT balance FROM accounts) TO STDOUT", "COMMIT"],
    &["BEGIN", "DECLARE c CURSOR FOR SELECT balance FROM accounts ORDER BY id", "FETCH ALL FROM c", "COMMIT"],
    &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT sum(balance) FROM accounts", "COMMIT"],
    &["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT balance FROM accounts", "COMMIT"],
    &[
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "SELECT 1 FROM accounts WHERE id = 1",
        "SELECT balance FROM accounts",
        "COMMIT",
    ],
    &["BEGIN ISOLATION LEVEL REPEATABLE READ", "COPY (SELECT balance FROM accounts) TO STDOUT", "COMMIT"],
];

/// The sum of last columns, of rows and of COPY's lines. An error is one.
fn sum(frames: &[Frame]) -> Result<i64, String> {
    let mut sum = 0;
    for frame in frames {
        match frame.kind {
            b'E' => return Err(format!("{:?}", frame.fields())),
            b'D' => sum += frame.values().last().and_then(|value| value.clone()?.parse::<i64>().ok()).unwrap(),
            b'd' => sum += String::from_utf8_lossy(&frame.body).trim().parse::<i64>().unwrap(),
            _ => {}
        }
    }
    Ok(sum)
}

/// Runs a list of statements; the largest sum is that of the one with the balances.
async fn simply(raw: &mut Raw, list: &[&str]) -> Result<i64, String> {
    let mut most = 0;
    for sql in list {
        let frames = raw.query(sql).await.map_err(|error| error.to_string())?;
        if frames.last().is_none_or(|frame| frame.kind != b'Z') {
            return Err("the connection ended".into());
        }
        most = most.max(sum(&frames).map_err(|error| format!("{sql}: {error}"))?);
    }
    // `SELECT 1;` before it.
    Ok(if list[0].starts_with("SELECT 1;") { most - 1 } else { most })
}

/// The same by the extended protocol, all at once or some rows at a time.
async fn extended(raw: &mut Raw, sql: &str, rows: u32) -> Result<i64, String> {
    let begin = [build::parse("", sql, &[]), build::bind("", "", &[])].concat();
    let fetches = if rows == 0 { 1 } else { 1 + ACCOUNTS as usize / rows as usize };
    let all = [begin, build::execute("", rows).repeat(fetches), build::sync()].concat();
    raw.send(&all).await.map_err(|error| error.to_string())?;
    let frames = raw.until_ready(1).await.map_err(|error| error.to_string())?;
    if frames.last().is_none_or(|frame| frame.kind != b'Z') {
        return Err("the connection ended".into());
    }
    sum(&frames).map_err(|error| format!("{sql}, {rows} rows at a time: {error}"))
}

const EXTENDED: &[&str] = &[
    "SELECT balance FROM accounts",
    "SELECT id, balance FROM accounts ORDER BY id",
    "SELECT id % 4, sum(balance) FROM accounts GROUP BY 1",
];

const ALL: i64 = ACCOUNTS * BALANCE;

#[tokio::test(flavor = "multi_thread")]
async fn without_it_a_commit_is_seen_in_part() {
    let three = Three::make("torn", "").await;
    let mut raw = {
        let proxy = Box::leak(Box::new(Inside::start(&three.text("")).await));
        settled(&proxy.target("app", "app", "bank")).await
    };
    let pair = format!("SELECT balance FROM accounts WHERE id IN ({}, {})", three.two, three.three);
    for turn in 1.. {
        three.half("").await;
        let seen = (simply(&mut raw, SUMS[0]).await.unwrap(), simply(&mut raw, &[&pair]).await.unwrap());
        three.until(3, PREPARED, "0").await;
        if seen == (ALL - 7, 2 * BALANCE - 7) {
            break;
        }
        assert!(turn < 5, "the proxy finishes it before it can be seen: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_committed_is_waited_for() {
    let three = Three::make("whole", ATOMIC).await;
    let proxy = Inside::start(&three.text(ATOMIC)).await;
    let target = proxy.target("app", "app", "bank");
    let pair = format!("SELECT balance FROM accounts WHERE id IN ({}, {})", three.two, three.three);
    let mut clients = Vec::new();
    for _ in 0..SUMS.len() + 2 * EXTENDED.len() + 2 {
        clients.push(settled(&target).await);
    }
    three.half(ATOMIC).await;
    let begin = Instant::now();
    let mut asked = Vec::new();
    for list in SUMS {
        let mut raw = clients.pop().unwrap();
        asked.push(tokio::spawn(async move { (simply(&mut raw, list).await, ALL, list.join("; ")) }));
    }
    for rows in [0, 3] {
        for sql in EXTENDED {
            let mut raw = clients.pop().unwrap();
            asked.push(tokio::spawn(async move { (extended(&mut raw, sql, rows).await, ALL, (*sql).to_owned()) }));
        }
    }
    for before in ["", "BEGIN"] {
        let (mut raw, pair) = (clients.pop().unwrap(), pair.clone());
        let list = async move { simply(&mut raw, &[before, pair.as_str()]).await };
        asked.push(tokio::spawn(async move { (list.await, 2 * BALANCE, "two of three shards".to_owned()) }));
    }
    // One shard can't show a part.
    let mut raw = Raw::login(&target).await;
    assert_eq!(
        raw.value(&format!("SELECT balance FROM accounts WHERE id = {}", three.two)).await,
        (BALANCE - 7).to_string()
    );
    assert_eq!(three.on(3, PREPARED).await, "1", "after {:?}", begin.elapsed());
    for asked in asked {
        let (sum, expected, what) = tokio::time::timeout(PATIENCE, asked).await.expect("it answers").unwrap();
        assert_eq!(sum, Ok(expected), "{what}");
    }
    assert_eq!(three.on(3, PREPARED).await, "0");
}

/// Where a proxy dies.
const POINTS: [&str; 9] =
    ["checking", "preparing", "prepared", "entering", "deciding", "decided", "holding", "finishing", "finished"];

struct World {
    /// Where the proxies listen now.
    addresses: std::sync::Mutex<[String; 2]>,
    next: AtomicI64,
    moved: AtomicU64,
    read: AtomicU64,
    over: AtomicBool,
}

impl World {
    /// A client of either proxy. None: it isn't there now.
    async fn client(&self, random: &mut Random) -> Option<Raw> {
        let address = self.addresses.lock().unwrap()[random.below(2)].clone();
        let target = Target::new(address, "app", "app", "bank");
        let login = Raw::login_with(&target, &[("options", "-c lock_timeout=300ms")]);
        let raw = tokio::time::timeout(PATIENCE, login).await.expect("a login hangs").ok();
        if raw.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        raw.map(|(raw, _)| raw)
    }
}

/// Moves money among all accounts until it is over.
async fn writer(world: Arc<World>, seed: u64) {
    let mut random = Random(seed);
    let mut client = None;
    while !world.over.load(Ordering::Relaxed) {
        if client.is_none() {
            client = world.client(&mut random).await;
        }
        let Some(raw) = &mut client else { continue };
        let id = world.next.fetch_add(1, Ordering::Relaxed);
        let mut accounts: Vec<i64> = (1..=ACCOUNTS).collect();
        let mut any = || accounts.swap_remove(random.below(accounts.len()));
        let (from, to, third) = (any(), any(), any());
        let sql = match random.below(3) {
            0 => format!(
                "UPDATE accounts SET balance = balance + CASE id WHEN {from} THEN -2 ELSE 1 END WHERE id IN ({from}, {to}, {third})"
            ),
            1 => format!(
                "BEGIN; UPDATE accounts SET balance = balance - 2 WHERE id = {from}; INSERT INTO entries VALUES ({id}, {to}, 1); \
                 UPDATE accounts SET balance = balance + 1 WHERE id = {to}; UPDATE accounts SET balance = balance + 1 WHERE id = {third}; COMMIT"
            ),
            _ => format!(
                "UPDATE accounts SET balance = balance + CASE id WHEN {from} THEN 3 ELSE -3 END WHERE id IN ({from}, {to})"
            ),
        };
        match tokio::time::timeout(PATIENCE, raw.query(&sql)).await.expect("a transfer hangs") {
            Ok(frames) if frames.last().is_some_and(|frame| frame.kind == b'Z') => {
                match frames.iter().any(|frame| frame.kind == b'E') {
                    true => drop(raw.query("ROLLBACK").await),
                    false => drop(world.moved.fetch_add(1, Ordering::Relaxed)),
                }
            }
            _ => client = None,
        }
    }
}

/// Sums up in all ways until it is over. Errors are none's business here; sums are.
async fn reader(world: Arc<World>, seed: u64) {
    let mut random = Random(seed);
    let mut client = None;
    while !world.over.load(Ordering::Relaxed) {
        if client.is_none() {
            client = world.client(&mut random).await;
        }
        let Some(raw) = &mut client else { continue };
        let way = random.below(SUMS.len() + 2 * EXTENDED.len());
        let seen = async {
            match way.checked_sub(SUMS.len()) {
                None => (simply(raw, SUMS[way]).await, SUMS[way].join("; ")),
                Some(at) => {
                    let (sql, rows) = (EXTENDED[at / 2], if at % 2 == 0 { 0 } else { 7 });
                    (extended(raw, sql, rows).await, format!("{sql}, {rows} rows at a time"))
                }
            }
        };
        let (seen, what) = tokio::time::timeout(PATIENCE * 2, seen).await.expect("a sum hangs");
        match seen {
            Ok(sum) => {
                assert_eq!(sum, ALL, "{what}");
                world.read.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                if !matches!(raw.query("ROLLBACK").await, Ok(frames) if frames.iter().any(|frame| frame.kind == b'Z')) {
                    client = None;
                }
            }
        }
    }
}

/// Clients move money and sum it up for so long. `fault`: what a proxy is to die at next, each time one of them is started anew.
async fn busy(name: &str, seconds: u64, mut fault: impl FnMut(&mut Random) -> Option<String>) {
    let setting = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse().ok());
    let seconds = setting("PGBRAID_BANK_SECONDS").unwrap_or(seconds);
    let seed = setting("PGBRAID_BANK_SEED").unwrap_or(31);
    let three = Three::make(name, ATOMIC).await;
    let text = three.text(&format!("{ATOMIC}pool_size = 8\nconnect_timeout = \"5s\"\n"));
    let mut proxies = [Proxy::start(&text).await, Proxy::start(&text).await];
    let world = Arc::new(World {
        addresses: std::sync::Mutex::new([proxies[0].address.clone(), proxies[1].address.clone()]),
        next: AtomicI64::new(1),
        moved: AtomicU64::new(0),
        read: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let writers: Vec<_> = (0..4).map(|at| tokio::spawn(writer(world.clone(), seed + at))).collect();
    let readers: Vec<_> = (0..4).map(|at| tokio::spawn(reader(world.clone(), seed + 100 + at))).collect();
    let mut random = Random(seed);
    let begin = Instant::now();
    let mut turn = 0;
    while begin.elapsed() < Duration::from_secs(seconds) && !readers.iter().any(tokio::task::JoinHandle::is_finished) {
        let pause = Duration::from_millis(1_500 + random.next() % 2_000);
        if let Some(fault) = fault(&mut random) {
            let which = turn % 2;
            proxies[which].kill_9().await;
            proxies[which] = Proxy::start_to_die(&text, &fault).await;
            world.addresses.lock().unwrap()[which].clone_from(&proxies[which].address);
            turn += 1;
        }
        tokio::time::sleep(pause).await;
    }
    world.over.store(true, Ordering::Relaxed);
    for client in writers.into_iter().chain(readers) {
        tokio::time::timeout(PATIENCE * 3, client).await.expect("clients end").unwrap();
    }
    let (moved, read) = (world.moved.load(Ordering::Relaxed), world.read.load(Ordering::Relaxed));
    eprintln!("{moved} transfers, {read} sums, {turn} kills");
    assert!(moved > 0 && read > 0, "{moved} transfers, {read} sums");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_sum_is_whole() {
    busy("calm", 8, |_| None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_sum_is_whole_whoever_dies() {
    let mut points = POINTS.iter().cycle();
    let next = |random: &mut Random| points.next().map(|point| format!("{point}:{}", 1 + random.next() % 20));
    busy("dying", 30, next).await;
}

/// Locks of the gate in a database, those that are waited for too.
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE relation = 'pgbraid.gate'::regclass";

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_can_be_stopped_and_holds_nobody_up() {
    let three = Three::make("wait", ATOMIC).await;
    let proxy = Inside::start(&three.text(ATOMIC)).await;
    let target = proxy.target("app", "app", "bank");
    let mut raw = settled(&target).await;
    // As a transaction that isn't finished does.
    let mut holder = Raw::login(&Target::new(cluster().address(PRIMARY), "app", "app", &three.names[2])).await;
    said(&mut holder, "BEGIN; LOCK TABLE pgbraid.gate IN ROW EXCLUSIVE MODE").await;
    let sum = "SELECT sum(balance) FROM accounts";

    said(&mut raw, "SET statement_timeout = '700ms'").await;
    let told = said(&mut raw, sum).await;
    assert!(
        told.starts_with(
            "57014: canceling statement due to statement timeout (the statement waited too long for transactions"
        ),
        "{told}"
    );
    assert!(told.contains("the shard s3"), "{told}");
    said(&mut raw, "BEGIN").await;
    assert!(said(&mut raw, sum).await.starts_with("57014"));
    assert!(said(&mut raw, sum).await.starts_with("25P02"), "the block has failed");
    said(&mut raw, "ROLLBACK").await;
    // What could be had before isn't lost: ROLLBACK TO, and the snapshots are taken together all the same.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SAVEPOINT a";
    assert_eq!(said(&mut raw, begin).await, "SAVEPOINT");
    assert!(said(&mut raw, sum).await.starts_with("57014"));
    assert_eq!(said(&mut raw, "ROLLBACK TO a").await, "ROLLBACK");
    let told = said(&mut raw, sum).await;
    assert!(told.starts_with("57014"), "it takes no snapshots without the gates: {told}");
    said(&mut raw, "ROLLBACK").await;
    said(&mut raw, "RESET statement_timeout").await;

    let (mut waiting, frames) = Raw::login_with(&target, &[]).await.unwrap();
    let key = frames.iter().find(|frame| frame.kind == b'K').unwrap().body.clone();
    for before in ["SELECT 1", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"] {
        said(&mut waiting, before).await;
        waiting.send(&build::query(sum)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        // Meanwhile others write and read elsewhere, and it holds nothing for long.
        let (one, two) = (three.one, three.two);
        let change = format!(
            "UPDATE accounts SET balance = balance + CASE id WHEN {one} THEN 1 ELSE -1 END WHERE id IN ({one}, {two})"
        );
        assert_eq!(said(&mut raw, &change).await, "UPDATE 2");
        assert_eq!(
            simply(&mut raw, &[&format!("SELECT balance FROM accounts WHERE id IN ({one}, {two})")]).await,
            Ok(2 * BALANCE)
        );
        let here = format!("SELECT balance FROM accounts WHERE id = {}", three.three);
        assert_eq!(simply(&mut raw, &[&here]).await, Ok(BALANCE), "one shard needs no gate");
        let process = u32::from_be_bytes(key[..4].try_into().unwrap());
        Raw::open(&target.address).await.unwrap().send(&build::cancel(process, &key[4..])).await.unwrap();
        let frames = waiting.until_ready(1).await.unwrap();
        assert_eq!(frames.iter().find(|frame| frame.kind == b'E').map(Frame::sqlstate).as_deref(), Some("57014"));
        said(&mut waiting, "ROLLBACK").await;
    }
    // A client that goes leaves nothing.
    waiting.send(&build::query(sum)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(waiting);
    for (shard, expected) in [(1, "0"), (2, "0"), (3, "1")] {
        three.until(shard, LOCKS, expected).await;
    }
    said(&mut holder, "ROLLBACK").await;
    assert_eq!(raw.value(sum).await, ALL.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_rows_while_it_commits_closes_no_gate() {
    let three = Three::make("rows", ATOMIC).await;
    let proxy = Inside::start(&three.text(ATOMIC)).await;
    let target = proxy.target("app", "app", "bank");
    let (mut reads, mut writes) = (settled(&target).await, settled(&target).await);
    for account in [three.one, three.two, three.three] {
        // A deferred constraint must see this row, which is locked till the reader is done.
        said(&mut reads, "BEGIN").await;
        assert_eq!(
            said(&mut reads, &format!("SELECT 1 FROM accounts WHERE id = {account} FOR UPDATE")).await,
            "SELECT 1"
        );
        said(&mut writes, "BEGIN").await;
        for other in [three.one, three.two, three.three] {
            assert_eq!(
                said(&mut writes, &format!("INSERT INTO entries VALUES ({account}, {other}, 0)")).await,
                "INSERT 0 1"
            );
        }
        writes.send(&build::query("COMMIT")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(reads.value("SELECT sum(balance) FROM accounts").await, ALL.to_string());
        assert_eq!(said(&mut reads, "COMMIT").await, "COMMIT");
        let frames = writes.until_ready(1).await.unwrap();
        assert_eq!(frames[0].tag().as_deref(), Some("COMMIT"), "{frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_cant_lock_others_out() {
    let three = Three::make("rights", ATOMIC).await;
    let mut raw = Raw::login(&Target::new(cluster().address(PRIMARY), "other", "other", &three.names[1])).await;
    for (sql, expected) in [
        ("LOCK TABLE pgbraid.gate IN ROW EXCLUSIVE MODE", "LOCK TABLE"),
        ("LOCK TABLE pgbraid.gate IN SHARE MODE", "42501"),
        ("LOCK TABLE pgbraid.gate IN ACCESS EXCLUSIVE MODE", "42501"),
        ("DELETE FROM pgbraid.gate", "42501"),
        ("INSERT INTO pgbraid.gate DEFAULT VALUES", "23514"),
    ] {
        said(&mut raw, "BEGIN").await;
        let told = said(&mut raw, sql).await;
        assert!(told.starts_with(expected), "{sql}: {told}");
        said(&mut raw, "ROLLBACK").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_had_is_refused() {
    let three = Three::make("refused", ATOMIC).await;
    let proxy = Inside::start(&three.text(ATOMIC)).await;
    let mut raw = settled(&proxy.target("app", "app", "bank")).await;
    said(&mut raw, "BEGIN").await;
    let told = said(&mut raw, "COPY accounts TO STDOUT").await;
    assert!(
        told.starts_with("0A000: COPY of a table on several shards can't be atomic in a READ COMMITTED transaction"),
        "{told}"
    );
    said(&mut raw, "ROLLBACK").await;
    // The first message's snapshot is one shard's, and none could be had together with it.
    said(&mut raw, "SET default_transaction_isolation = 'repeatable read'").await;
    let put = |sql: &str| [build::parse("", sql, &[]), build::bind("", "", &[]), build::execute("", 0)].concat();
    let here = format!("SELECT balance FROM accounts WHERE id = {}", three.two);
    raw.send(&[put(&here), put("SELECT balance FROM accounts"), build::sync()].concat()).await.unwrap();
    let frames = raw.until_ready(1).await.unwrap();
    assert_eq!(
        frames.iter().find(|frame| frame.kind == b'E').map(Frame::sqlstate).as_deref(),
        Some("0A000"),
        "{frames:?}"
    );
    assert_eq!(simply(&mut raw, &["BEGIN", &here, "SELECT balance FROM accounts", "COMMIT"]).await, Ok(ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_proxies_take_part_from_the_first_that_reads_so() {
    let three = Three::make("first", "").await;
    let fast = Inside::start(&three.text("")).await;
    let mut writer = settled(&fast.target("app", "app", "bank")).await;
    let change = format!("UPDATE accounts SET owner = 'x' WHERE id IN ({}, {})", three.two, three.three);
    assert_eq!(said(&mut writer, &change).await, "UPDATE 2");
    let (hopeful, hopes) = (three.text("cross_shard_commit = \"best-effort\"\n"), "55000: other proxies read");
    // A commit from before: it must be finished before anybody reads.
    let map = three.on(1, "SELECT replace(id::text, '-', '') FROM pgbraid.map").await;
    let gid = format!("pgbraid:{map}:s1:00000000deadbeef:1");
    let prepare = format!("UPDATE accounts SET owner = 'y' WHERE id = {}; PREPARE TRANSACTION '{gid}:s2'", three.two);
    three.run(2, &format!("SET ROLE app; BEGIN; {prepare}")).await;
    three.run(1, &format!("INSERT INTO pgbraid.commits (gid, participants) VALUES ('{gid}', '{{s2}}')")).await;
    let atomic = Inside::start(&three.text(ATOMIC)).await;
    let mut reader = settled(&atomic.target("app", "app", "bank")).await;
    assert_eq!(three.on(2, PREPARED).await, "0", "it read before");
    assert_eq!(reader.value("SELECT sum(balance) FROM accounts").await, ALL.to_string());
    let told = said(&mut writer, &change).await;
    assert!(told.starts_with("40001: other proxies read over shards atomically by now"), "{told}");
    assert_eq!(said(&mut writer, &change).await, "UPDATE 2");
    let hopeful = Inside::start(&hopeful).await;
    let mut raw = Raw::login(&hopeful.target("app", "app", "bank")).await;
    let begin = Instant::now();
    let mut told = said(&mut raw, "SELECT count(*) FROM accounts").await;
    while told.starts_with("57P03") && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
        told = said(&mut raw, "SELECT count(*) FROM accounts").await;
    }
    assert!(told.starts_with(hopes), "{told}");
    // Without the setting again: commits go on taking part, until the constraint is taken away. It can be put again.
    let gated = "SELECT count(*) FROM pg_locks WHERE relation = 'pgbraid.gate'::regclass AND mode = 'RowExclusiveLock'";
    for (rest, drop, holds) in [("", false, "1"), ("", true, "0"), (ATOMIC, false, "1")] {
        for shard in (1..=3).filter(|_| drop) {
            three.run(shard, "ALTER TABLE pgbraid.commits DROP CONSTRAINT pgbraid_gated").await;
        }
        let mut dying = Proxy::start_to_die(&three.text(rest), "prepared:1").await;
        let mut raw = settled(&dying.target("app", "app", "bank")).await;
        let _ = raw.query(&change).await;
        dying.ended().await;
        assert_eq!(three.on(3, gated).await, holds, "{rest} {drop}");
        three.until(3, PREPARED, "0").await;
    }
}
