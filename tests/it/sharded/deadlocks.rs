//! Transactions that wait for each other over several shards: the youngest is told so, and the others go on.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pgbraid::cli::cluster::Cluster;

use super::shards::{BALANCE, Bank, configuration, said, server};
use crate::support::proxy::Inside;
use crate::support::raw::Raw;

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

fn add(id: i64) -> String {
    format!("UPDATE accounts SET balance = balance + 1 WHERE id = {id}")
}

/// Says it in the background.
fn put(mut raw: Raw, sql: String) -> tokio::task::JoinHandle<(Raw, String)> {
    tokio::spawn(async move {
        let answer = said(&mut raw, &sql).await;
        (raw, answer)
    })
}

/// Waits until so many processes wait for locks.
async fn wait_for(bank: &Bank, count: &str) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND backend_type = 'client backend' \
        AND datname LIKE split_part(current_database(), '_', 1) || '\\_s_'";
    bank.until("s1", sql, count).await;
}

/// Each session has its first account and asks for its second; the last one closes the ring. The answers.
async fn ring(bank: &Bank, sessions: Vec<Raw>, accounts: &[(i64, i64)]) -> (Vec<Raw>, Vec<String>) {
    let mut ready = Vec::new();
    for (mut raw, (has, _)) in sessions.into_iter().zip(accounts) {
        assert_eq!(said(&mut raw, "BEGIN").await, "BEGIN");
        assert_eq!(said(&mut raw, &add(*has)).await, "UPDATE 1");
        ready.push(raw);
    }
    let mut waiting = Vec::new();
    for (turn, (raw, (_, wants))) in ready.into_iter().zip(accounts).enumerate() {
        waiting.push(put(raw, add(*wants)));
        if turn + 1 < accounts.len() {
            wait_for(bank, &(turn + 1).to_string()).await;
        }
    }
    let (mut raws, mut answers) = (Vec::new(), Vec::new());
    // What one lets go of frees another.
    while !waiting.is_empty() {
        let Some(at) = waiting.iter().position(tokio::task::JoinHandle::is_finished) else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let task = waiting.remove(at);
        let (mut raw, answer) = task.await.unwrap();
        if answer == "UPDATE 1" {
            assert_eq!(said(&mut raw, "COMMIT").await, "COMMIT");
        } else {
            assert!(said(&mut raw, "SELECT 1").await.starts_with("25P02"));
            assert_eq!(said(&mut raw, "ROLLBACK").await, "ROLLBACK");
        }
        assert_eq!(said(&mut raw, "SELECT 1").await, "SELECT 1");
        raws.push(raw);
        answers.push(answer);
    }
    (raws, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_youngest_of_a_ring_is_told() {
    let bank = Bank::start(cluster(), "rings", "").await;
    let (here, there) = (bank.ids("s1").await, bank.ids("s2").await);
    // Another proxy in front of the same shards.
    let (one, two) = ("rings_s1".to_owned(), "rings_s2".to_owned());
    let other = Inside::start(&configuration(&[(cluster(), &one), (cluster(), &two)], "")).await;
    for (turn, accounts) in [
        vec![(here[0], there[0]), (there[0], here[0])],
        vec![(there[0], here[0]), (here[0], there[0])],
        // The last has one shard only, and so the server's own process stands in the ring.
        vec![(here[0], there[0]), (here[1], here[0]), (there[0], here[1])],
        vec![(here[0], there[0]), (there[0], here[1]), (here[1], there[1]), (there[1], here[0])],
    ]
    .into_iter()
    .enumerate()
    {
        for proxies in 1..=2 {
            let mut sessions = Vec::new();
            for at in 0..accounts.len() {
                sessions.push(match at % proxies {
                    0 => bank.client().await,
                    _ => Raw::login(&other.target("app", "app", "bank")).await,
                });
            }
            let begun = Instant::now();
            let (_, answers) = ring(&bank, sessions, &accounts).await;
            eprintln!("ring {turn} with {proxies} proxies: {:?}", begun.elapsed());
            let told = &answers[0];
            assert!(told.starts_with("40P01: deadlock detected (Process "), "{answers:?}");
            assert!(told.contains(" on the shard s1 waits for process "), "{told}");
            assert!(told.contains(" on the shard s2 waits for process "), "{told}");
            assert!(answers[1..].iter().all(|answer| answer == "UPDATE 1"), "{answers:?}");
        }
    }
    bank.clean().await;
    bank.until("s1", "SELECT count(*) FROM pgbraid.waits", "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_over_shards_that_meet_are_told_apart() {
    let bank = Bank::start(cluster(), "meet", "").await;
    let (here, there) = (bank.ids("s1").await[0], bank.ids("s2").await[0]);
    let (mut one, mut two) = (bank.client().await, bank.client().await);
    // One statement over all shards, outside a block: it has what it got on one shard, and waits on the other.
    said(&mut one, "BEGIN").await;
    said(&mut one, &add(there)).await;
    let all = put(two, "UPDATE accounts SET balance = balance + 5".to_owned());
    wait_for(&bank, "1").await;
    let first = put(one, add(here));
    let (raw, answer) = all.await.unwrap();
    assert!(answer.starts_with("40P01: deadlock detected"), "{answer}");
    two = raw;
    let (raw, answer) = first.await.unwrap();
    assert_eq!(answer, "UPDATE 1");
    one = raw;
    assert_eq!(said(&mut one, "COMMIT").await, "COMMIT");
    assert_eq!((bank.balance(here).await, bank.balance(there).await), (BALANCE + 1, BALANCE + 1));

    // Who only waits long isn't stopped, and a statement that is cancelled isn't called a deadlock.
    said(&mut one, "BEGIN").await;
    said(&mut one, &add(there)).await;
    said(&mut two, "BEGIN").await;
    said(&mut two, &add(here)).await;
    let waiting = put(two, add(there));
    wait_for(&bank, "1").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!waiting.is_finished());
    assert_eq!(said(&mut one, "COMMIT").await, "COMMIT");
    let (raw, answer) = waiting.await.unwrap();
    two = raw;
    assert_eq!((answer.as_str(), said(&mut two, "COMMIT").await.as_str()), ("UPDATE 1", "COMMIT"));
    said(&mut two, "SET statement_timeout = '2s'").await;
    said(&mut one, "BEGIN").await;
    said(&mut one, &add(there)).await;
    let answer = said(&mut two, "UPDATE accounts SET balance = balance + 5").await;
    assert!(answer.starts_with("57014"), "{answer}");
    assert_eq!(said(&mut one, "COMMIT").await, "COMMIT");
    bank.clean().await;
}
