//! Transactions that write on several shards: committed everywhere or nowhere.

use std::sync::OnceLock;

use pgbraid::cli::cluster::Cluster;

use super::shards::{ACCOUNTS, BALANCE, Bank, PREPARED, said, server};
use crate::support::build;
use crate::support::raw::Raw;

fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| in_thread(64))
}

fn in_thread(prepared: usize) -> Cluster {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(server(prepared))
    });
    thread.join().expect("the server starts")
}

/// Statements that move money from one account to another.
fn transfer(from: i64, to: i64, amount: i64) -> [String; 2] {
    let change = |id, sign| format!("UPDATE accounts SET balance = balance {sign} {amount} WHERE id = {id}");
    [change(from, '-'), change(to, '+')]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_commits_on_both_shards_or_on_none() {
    let bank = Bank::start(cluster(), "both", "").await;
    let (here, there) = (bank.ids("s1").await, bank.ids("s2").await);
    assert!(here.len() > 3 && there.len() > 3 && here.len() + there.len() == ACCOUNTS as usize);
    let mut raw = bank.client().await;
    for (from, to) in [(here[0], there[0]), (there[1], here[1])] {
        assert_eq!(said(&mut raw, "BEGIN").await, "BEGIN");
        for sql in transfer(from, to, 7) {
            assert_eq!(said(&mut raw, &sql).await, "UPDATE 1");
        }
        assert_eq!(said(&mut raw, "COMMIT").await, "COMMIT");
        assert_eq!((bank.balance(from).await, bank.balance(to).await), (BALANCE - 7, BALANCE + 7));
    }
    bank.clean().await;

    // ROLLBACK, and a failure of the last statement.
    for end in ["ROLLBACK", "COMMIT"] {
        said(&mut raw, "BEGIN").await;
        for sql in transfer(here[2], there[2], 5) {
            assert_eq!(said(&mut raw, &sql).await, "UPDATE 1");
        }
        if end == "COMMIT" {
            let broke = format!("UPDATE accounts SET balance = -1 WHERE id = {}", there[2]);
            assert!(said(&mut raw, &broke).await.starts_with("23514"));
        }
        assert_eq!(said(&mut raw, end).await, "ROLLBACK");
        assert_eq!((bank.balance(here[2]).await, bank.balance(there[2]).await), (BALANCE, BALANCE));
    }

    // A savepoint that is rolled back on both, and the unsharded table beside them.
    said(&mut raw, "BEGIN").await;
    said(&mut raw, &transfer(here[3], there[3], 1)[0]).await;
    said(&mut raw, "SAVEPOINT a").await;
    said(&mut raw, &transfer(here[3], there[3], 100)[1]).await;
    said(&mut raw, "ROLLBACK TO a").await;
    said(&mut raw, &transfer(here[3], there[3], 1)[1]).await;
    assert_eq!(said(&mut raw, "INSERT INTO log VALUES ('x')").await, "INSERT 0 1");
    assert_eq!(said(&mut raw, "COMMIT AND CHAIN").await, "COMMIT");
    assert_eq!(said(&mut raw, "ROLLBACK").await, "ROLLBACK");
    assert_eq!((bank.balance(here[3]).await, bank.balance(there[3]).await), (BALANCE - 1, BALANCE + 1));
    assert_eq!(bank.on("s1", "SELECT count(*) FROM log").await, "1");
    bank.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_at_the_end_fails_on_both() {
    let bank = Bank::start(cluster(), "ends", "").await;
    let (here, there) = (bank.ids("s1").await[0], bank.ids("s2").await[0]);
    let mut raw = bank.client().await;
    // A deferred constraint is looked at when the transaction ends: on the shard that prepares, and on the anchor.
    for (broken, good) in [(here, there), (there, here)] {
        let ids = bank.ids(if broken == here { "s1" } else { "s2" }).await;
        said(&mut raw, "BEGIN").await;
        let entry = format!("INSERT INTO entries VALUES (1, {}, 5)", broken);
        assert_eq!(said(&mut raw, &entry).await, "INSERT 0 1");
        let gone =
            format!("UPDATE entries SET id = 2 WHERE account = {broken}; DELETE FROM accounts WHERE id = {broken}");
        assert_eq!(said(&mut raw, &gone).await, "DELETE 1");
        assert_eq!(said(&mut raw, &format!("UPDATE accounts SET balance = 1 WHERE id = {good}")).await, "UPDATE 1");
        assert!(said(&mut raw, "COMMIT").await.starts_with("23503"), "a row refers to what is gone");
        assert_eq!(said(&mut raw, "ROLLBACK").await, "ROLLBACK");
        assert_eq!(bank.balance(good).await, BALANCE);
        assert_eq!(bank.ids(if broken == here { "s1" } else { "s2" }).await, ids);
    }
    bank.clean().await;

    // What can't be prepared.
    said(&mut raw, "BEGIN").await;
    for sql in transfer(here, there, 5) {
        assert_eq!(said(&mut raw, &sql).await, "UPDATE 1");
    }
    said(&mut raw, "SET LOCAL pgbraid.shard = 's2'").await;
    let end = said(&mut raw, "ROLLBACK").await;
    assert_eq!(end, "ROLLBACK");
    bank.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_up_to_sync_are_one_transaction() {
    let bank = Bank::start(cluster(), "segment", "").await;
    let (here, there) = (bank.ids("s1").await[0], bank.ids("s2").await[0]);
    let mut raw = bank.client().await;
    let put = |sql: &str| [build::parse("", sql, &[]), build::bind("", "", &[]), build::execute("", 0)].concat();
    for (amount, good) in [(3, true), (5_000, false)] {
        let [take, give] = transfer(there, here, amount);
        // The second fails where there is too little.
        let bytes = [put(&give), put(&take), build::sync()].concat();
        raw.send(&bytes).await.unwrap();
        let frames = raw.until_ready(1).await.unwrap();
        assert_eq!(frames.iter().all(|frame| frame.kind != b'E'), good, "{frames:?}");
    }
    assert_eq!((bank.balance(here).await, bank.balance(there).await), (BALANCE + 3, BALANCE - 3));
    // A string of statements is one, too.
    let [take, give] = transfer(here, there, 3);
    assert_eq!(said(&mut raw, &format!("{take}; {give}")).await, "UPDATE 1");
    let [take, give] = transfer(here, there, 5_000);
    assert!(said(&mut raw, &format!("{give}; {take}")).await.starts_with("23514"));
    assert_eq!((bank.balance(here).await, bank.balance(there).await), (BALANCE, BALANCE));
    bank.clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_left_prepared_is_finished() {
    let bank = Bank::start(cluster(), "left", "").await;
    let (here, there) = (bank.ids("s1").await[0], bank.ids("s2").await[0]);
    let map = bank.on("s1", "SELECT replace(id::text, '-', '') FROM pgbraid.map").await;
    let name = |sequence: u32| format!("pgbraid:{map}:s1:00000000deadbeef:{sequence:x}");
    let prepare = |sequence: u32, amount: i64| {
        format!(
            "SET ROLE app; BEGIN; UPDATE accounts SET balance = {amount} WHERE id = {there}; \
             PREPARE TRANSACTION '{}:s2'",
            name(sequence)
        )
    };
    // Nobody decided: rolled back, and a decision that came later would find that.
    bank.run("s2", &prepare(1, 1)).await;
    assert_eq!(bank.on("s2", PREPARED).await, "1");
    bank.until("s2", PREPARED, "0").await;
    assert_eq!(bank.balance(there).await, BALANCE);
    let verdict = format!("SELECT verdict FROM pgbraid.commits WHERE gid = '{}'", name(1));
    assert_eq!(bank.on("s1", &verdict).await, "aborted");

    // The anchor committed.
    bank.run("s2", &prepare(2, 2)).await;
    let decide = format!("INSERT INTO pgbraid.commits (gid, participants) VALUES ('{}', '{{s2}}')", name(2));
    bank.run("s1", &format!("SET ROLE app; {decide}")).await;
    bank.until("s2", PREPARED, "0").await;
    assert_eq!(bank.balance(there).await, 2);

    // The anchor is committing, slowly: the recoverer waits for it.
    bank.run("s2", &prepare(3, 3)).await;
    let mut owner = Raw::login(&crate::support::raw::Target::new(cluster().address(0), "app", "app", "left_s1")).await;
    let insert = format!("INSERT INTO pgbraid.commits (gid, participants) VALUES ('{}', '{{s2}}')", name(3));
    let update = format!("UPDATE accounts SET balance = 33 WHERE id = {here}");
    assert_eq!(said(&mut owner, &format!("BEGIN; {update}; {insert}")).await, "INSERT 0 1");
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(bank.on("s2", PREPARED).await, "1", "it isn't decided yet");
    assert_eq!(said(&mut owner, "COMMIT").await, "COMMIT");
    bank.until("s2", PREPARED, "0").await;
    assert_eq!((bank.balance(here).await, bank.balance(there).await), (33, 3));

    // Others' transactions, and those of another map, are left alone.
    let theirs = format!("BEGIN; UPDATE accounts SET owner = 'x' WHERE id = {there}; PREPARE TRANSACTION");
    bank.run("s2", &format!("{theirs} 'pgbraid:{}:s1:0:1:s2'", "0".repeat(32))).await;
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(bank.on("s2", PREPARED).await, "1");
    bank.run("s2", &format!("ROLLBACK PREPARED 'pgbraid:{}:s1:0:1:s2'", "0".repeat(32))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_prepared_transactions_it_is_refused_or_done_as_well_as_can_be() {
    let cluster: &'static Cluster = Box::leak(Box::new(in_thread(0)));
    for (name, rest, end) in [("never", "", "55000"), ("hopes", "cross_shard_commit = \"best-effort\"\n", "COMMIT")] {
        let bank = Bank::start(cluster, name, rest).await;
        let (here, there) = (bank.ids("s1").await[0], bank.ids("s2").await[0]);
        let mut raw = bank.client().await;
        said(&mut raw, "BEGIN").await;
        for sql in transfer(here, there, 5) {
            assert_eq!(said(&mut raw, &sql).await, "UPDATE 1");
        }
        let answer = said(&mut raw, "COMMIT").await;
        assert!(answer.starts_with(end), "{answer}");
        let moved = i64::from(end == "COMMIT") * 5;
        assert_eq!(answer.contains("max_prepared_transactions"), moved == 0, "{answer}");
        assert_eq!((bank.balance(here).await, bank.balance(there).await), (BALANCE - moved, BALANCE + moved));
        // One shard needs nothing of it.
        said(&mut raw, "ROLLBACK").await;
        assert_eq!(said(&mut raw, &transfer(here, there, 0)[0]).await, "UPDATE 1");
        drop(bank);
    }
    let pid = cluster.pid(0);
    assert!(pid.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_a_block_is_that_of_the_shard_it_began_on() {
    let bank = Bank::start(cluster(), "clock", "").await;
    let (here, there) = (bank.ids("s1").await[0], bank.ids("s2").await[0]);
    let mut raw = bank.client().await;
    for (first, second) in [(here, there), (there, here)] {
        said(&mut raw, "BEGIN").await;
        let change = |id: i64| format!("UPDATE accounts SET owner = now()::text WHERE id = {id} RETURNING owner");
        let select = |id: i64| format!("SELECT now()::text FROM accounts WHERE id = {id}");
        let began = raw.value(&select(first)).await;
        for sql in [
            select(second),
            change(second),
            change(first),
            select(second),
            "SELECT max(now()::text) FROM accounts".into(),
        ] {
            assert_eq!(raw.value(&sql).await, began, "{sql}");
        }
        raw.send(&build::extended(&select(second), &[])).await.unwrap();
        let frames = raw.until_ready(1).await.unwrap();
        let rows: Vec<_> =
            frames.iter().filter(|frame| frame.kind == b'D').map(|frame| frame.values()[0].clone()).collect();
        assert_eq!(rows, [Some(began)], "by the extended protocol");
        said(&mut raw, "ROLLBACK").await;
    }
}
