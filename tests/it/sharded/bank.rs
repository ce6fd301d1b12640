//! Clients move money between shards while proxies and servers are killed: none is made, none is lost.
//!
//! `PGBRAID_BANK_SECONDS` says for how long; `PGBRAID_BANK_SEED` repeats a run's choices.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pgbraid::cli::cluster::{Cluster, PRIMARY};

use super::shards::{ACCOUNTS, BALANCE, configuration, fill, make, server};
use crate::support::proxy::Proxy;
use crate::support::random::Random;
use crate::support::raw::{PATIENCE, Raw, Target};

const DATABASES: [&str; 2] = ["bank_s1", "bank_s2"];

/// Where a proxy dies: once at each step of a commit, and anywhere.
const POINTS: [&str; 8] = ["begin", "preparing", "prepared", "deciding", "decided", "finishing", "finished", "undoing"];

/// No part stays prepared for longer than this, also where the machine is slow and servers are being restarted.
const RECOVERED: f64 = 45.0;

struct World {
    /// Where the proxies listen now.
    addresses: Mutex<[String; 2]>,
    next: AtomicI64,
    /// Transfers whose COMMIT was acknowledged.
    done: Mutex<Vec<i64>>,
    failed: AtomicU64,
    over: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sum_never_changes() {
    let setting = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse().ok());
    let seconds = setting("PGBRAID_BANK_SECONDS").unwrap_or(120);
    let seed = setting("PGBRAID_BANK_SEED").unwrap_or(20);
    let mut clusters = [server(64).await, server(64).await];
    for (cluster, database) in clusters.iter().zip(DATABASES) {
        make(cluster, database).await;
    }
    let text =
        configuration(&[(&clusters[0], DATABASES[0]), (&clusters[1], DATABASES[1])], "connect_timeout = \"5s\"\n");
    let mut proxies = [Proxy::start(&text).await, Proxy::start(&text).await];
    fill(&proxies[0].target("app", "app", "bank")).await;
    let world = Arc::new(World {
        addresses: Mutex::new([proxies[0].address.clone(), proxies[1].address.clone()]),
        next: AtomicI64::new(1),
        done: Mutex::default(),
        failed: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..6).map(|at| tokio::spawn(client(world.clone(), seed + at))).collect();
    let mut random = Random(seed);
    let begin = Instant::now();
    let mut turn = 0;
    let mut oldest = 0.0_f64;
    while begin.elapsed() < Duration::from_secs(seconds) {
        let which = turn % 2;
        if turn % 3 == 2 {
            clusters[which].kill_9(PRIMARY).await.unwrap();
            tokio::time::sleep(Duration::from_millis(200 + random.next() % 1_000)).await;
            clusters[which].restart(PRIMARY).await.unwrap();
        } else {
            // It dies by itself at a step, or is killed where it happens to be.
            let point = POINTS[turn % POINTS.len()];
            let fault = format!("{point}:{}", 1 + random.next() % 20);
            proxies[which].kill_9().await;
            proxies[which] = Proxy::start_to_die(&text, &fault).await;
            world.addresses.lock().unwrap()[which].clone_from(&proxies[which].address);
        }
        tokio::time::sleep(Duration::from_millis(500 + random.next() % 1_500)).await;
        for (cluster, database) in clusters.iter().zip(DATABASES) {
            oldest = oldest.max(age(cluster, database).await);
        }
        assert!(oldest < RECOVERED, "a part has been prepared for {oldest} seconds");
        turn += 1;
    }
    world.over.store(true, Ordering::Relaxed);
    for client in clients {
        tokio::time::timeout(PATIENCE * 2, client).await.expect("clients end").unwrap();
    }
    // One proxy that lives finishes all that is left.
    proxies[0].kill_9().await;
    proxies[0] = Proxy::start(&text).await;
    let begin = Instant::now();
    for (cluster, database) in clusters.iter().zip(DATABASES) {
        while age(cluster, database).await > 0.0 {
            assert!(begin.elapsed() < PATIENCE, "parts stay prepared:\n{}", proxies[0].log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    judge(&clusters, &world, turn, oldest).await;
}

/// The age of the oldest part that is prepared; 0: there is none.
async fn age(cluster: &Cluster, database: &str) -> f64 {
    let sql = "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - prepared)), 0)::text FROM pg_prepared_xacts";
    cluster.value(PRIMARY, database, sql).await.unwrap().parse().unwrap()
}

/// All money is there; each transfer is there whole or not at all; each acknowledged one is there.
async fn judge(clusters: &[Cluster; 2], world: &World, turns: usize, oldest: f64) {
    let mut sum = 0;
    let mut transfers: HashMap<i64, Vec<i64>> = HashMap::new();
    for (cluster, database) in clusters.iter().zip(DATABASES) {
        let total = cluster.value(PRIMARY, database, "SELECT coalesce(sum(balance), 0) FROM accounts").await.unwrap();
        sum += total.parse::<i64>().unwrap();
        let wrong = format!(
            "SELECT count(*) FROM accounts a WHERE balance <> {BALANCE} + \
             (SELECT coalesce(sum(amount), 0) FROM entries e WHERE e.account = a.id)"
        );
        assert_eq!(cluster.value(PRIMARY, database, &wrong).await.unwrap(), "0", "balances that aren't their entries'");
        for row in cluster.query(PRIMARY, database, "SELECT id, amount FROM entries").await.unwrap() {
            let number = |at: usize| row[at].as_ref().unwrap().parse::<i64>().unwrap();
            transfers.entry(number(0)).or_default().push(number(1));
        }
    }
    assert_eq!(sum, ACCOUNTS * BALANCE, "money was made or lost");
    for (id, amounts) in &transfers {
        assert!(amounts.len() == 2 && amounts.iter().sum::<i64>() == 0, "transfer {id} is there in part: {amounts:?}");
    }
    let done = world.done.lock().unwrap();
    for id in done.iter() {
        assert!(transfers.contains_key(id), "transfer {id} was acknowledged and isn't there");
    }
    eprintln!(
        "{} transfers, {} of them acknowledged, {} attempts failed, {turns} kills, oldest part {oldest:.1} s",
        transfers.len(),
        done.len(),
        world.failed.load(Ordering::Relaxed)
    );
    // How many hangs on the machine; that it was not nothing shows that the rest was put to the test.
    assert!(!done.is_empty(), "nothing was done");
}

/// Moves money until it is over.
async fn client(world: Arc<World>, seed: u64) {
    let mut random = Random(seed.wrapping_mul(7_919));
    let mut raw = None;
    while !world.over.load(Ordering::Relaxed) {
        let id = world.next.fetch_add(1, Ordering::Relaxed);
        if raw.is_none() {
            let address = world.addresses.lock().unwrap()[random.below(2)].clone();
            let target = Target::new(address, "app", "app", "bank");
            let login = Raw::login_with(&target, &[("options", "-c lock_timeout=1s")]);
            raw = tokio::time::timeout(Duration::from_secs(20), login)
                .await
                .ok()
                .and_then(Result::ok)
                .map(|(raw, _)| raw);
        }
        let Some(connection) = &mut raw else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        match tokio::time::timeout(PATIENCE, transfer(connection, id, &mut random)).await {
            Ok(Ok(true)) => world.done.lock().unwrap().push(id),
            Ok(Ok(false)) => {
                world.failed.fetch_add(1, Ordering::Relaxed);
                if !matches!(connection.query("ROLLBACK").await, Ok(frames) if frames.iter().any(|frame| frame.kind == b'Z'))
                {
                    raw = None;
                }
            }
            Ok(Err(_)) => {
                world.failed.fetch_add(1, Ordering::Relaxed);
                raw = None;
            }
            Err(_) => panic!("a transfer hangs"),
        }
    }
}

/// Whether it was acknowledged.
async fn transfer(raw: &mut Raw, id: i64, random: &mut Random) -> std::io::Result<bool> {
    let from = 1 + random.below(ACCOUNTS as usize) as i64;
    let to = 1 + (from + random.below(ACCOUNTS as usize - 1) as i64) % ACCOUNTS;
    let amount = 1 + random.below(9) as i64;
    let mut statements = match random.below(3) {
        // Statements over several shards, in a block or alone.
        0 | 1 => vec![
            format!(
                "UPDATE accounts SET balance = balance + CASE id WHEN {to} THEN {amount} ELSE -{amount} END WHERE id IN ({from}, {to})"
            ),
            format!("INSERT INTO entries VALUES ({id}, {from}, -{amount}), ({id}, {to}, {amount})"),
        ],
        _ => vec![
            format!("UPDATE accounts SET balance = balance - {amount} WHERE id = {from}"),
            format!("INSERT INTO entries VALUES ({id}, {from}, -{amount})"),
            format!("UPDATE accounts SET balance = balance + {amount} WHERE id = {to}"),
            format!("INSERT INTO entries VALUES ({id}, {to}, {amount})"),
        ],
    };
    if random.below(2) == 0 {
        statements.insert(0, "BEGIN".to_owned());
        statements.push("COMMIT".to_owned());
    } else {
        // One string is one transaction.
        statements = vec![statements.join("; ")];
    }
    for sql in &statements {
        let frames = raw.query(sql).await?;
        if frames.last().is_none_or(|frame| frame.kind != b'Z') {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if frames.iter().any(|frame| frame.kind == b'E') {
            return Ok(false);
        }
        if sql == "COMMIT" {
            return Ok(frames.iter().any(|frame| frame.tag().as_deref() == Some("COMMIT")));
        }
    }
    Ok(true)
}
