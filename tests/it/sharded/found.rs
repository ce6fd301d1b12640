//! UPDATE and DELETE of rows that a query over shards finds: beside other sessions, without privileges, and when a shard is
//! lost.

use std::time::{Duration, Instant};

use super::defined::{PLACES, Three, all, cluster, said, told};
use super::moves::somebody_waits;
use crate::support::build;
use crate::support::raw::PATIENCE;
use pgbraid::cli::cluster::PRIMARY;

/// Customers on all shards, and orders about other customers than their own.
const MADE: &[&str] = &[
    "CREATE TABLE customers (id bigint PRIMARY KEY, name text, n int)",
    "CREATE TABLE orders (customer_id bigint, id bigint, about bigint, note text, PRIMARY KEY (customer_id, id))",
    "CREATE TABLE countries (code text PRIMARY KEY, n int)",
    "INSERT INTO customers SELECT g, 'x', g FROM generate_series(1, 30) g",
    "INSERT INTO orders SELECT g, g, g % 30 + 1, 'note ' || g FROM generate_series(1, 30) g",
    "INSERT INTO countries VALUES ('DE', 1), ('FR', 2)",
];

/// Statements that write customer `n` by an order on another shard, each with the tag's word.
fn writes(n: usize) -> [(String, &'static str); 5] {
    [
        (
            format!("UPDATE customers SET name = o.note FROM orders o WHERE o.about = customers.id AND n = {n}"),
            "UPDATE",
        ),
        (
            format!(
                "UPDATE customers SET name = 'y' WHERE n = {n} AND EXISTS (SELECT FROM orders WHERE about = customers.id)"
            ),
            "UPDATE",
        ),
        (
            format!(
                "UPDATE customers SET (name, n) = (SELECT note, about FROM orders WHERE about = customers.id) WHERE n = {n}"
            ),
            "UPDATE",
        ),
        (
            format!(
                "MERGE INTO customers c USING orders o ON o.about = c.id AND c.n = {n} WHEN MATCHED THEN UPDATE SET name = o.note \
                 WHEN NOT MATCHED AND o.about = 1000 THEN INSERT (id) VALUES (o.about)"
            ),
            "MERGE",
        ),
        (format!("DELETE FROM customers USING orders o WHERE o.about = customers.id AND n = {n}"), "DELETE"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn others_wait_and_see_what_was_written() {
    let three = Three::start("found", PLACES).await;
    let mut one = three.client().await;
    all(&mut one, MADE).await;
    let mut two = three.client().await;
    for (turn, (sql, word)) in (1..=3).flat_map(writes).take(11).enumerate() {
        let n = turn / 5 + 1;
        all(&mut one, &["BEGIN"]).await;
        assert_eq!(said(&mut one, &sql).await, format!("{word} 1"), "{sql}");
        // Who only reads doesn't wait.
        assert_eq!(said(&mut two, &format!("SELECT FROM customers WHERE n = {n}")).await, "SELECT 1");
        let other = format!("UPDATE customers SET name = name || '!' WHERE n = {n}");
        let waiting = tokio::spawn(async move {
            let answer = said(&mut two, &other).await;
            (two, answer)
        });
        somebody_waits(&three).await;
        assert_eq!(said(&mut one, "COMMIT").await, "COMMIT");
        let (again, answer) = waiting.await.unwrap();
        two = again;
        assert_eq!(answer, if word == "DELETE" { "UPDATE 0" } else { "UPDATE 1" }, "{sql}");
        let all = one.value(&format!("SELECT coalesce(min(name), '') FROM customers WHERE n = {n}")).await;
        assert!(word == "DELETE" || all.ends_with('!'), "{sql}: {all}");
    }
    three.same().await;
}

/// A row that another session writes meanwhile is looked at as that session leaves it; so is one that it makes fit.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_as_others_leave_them() {
    let three = Three::start("finds", PLACES).await;
    let mut one = three.client().await;
    all(&mut one, MADE).await;
    let mut two = three.client().await;
    for block in [false, true] {
        for (turn, (sql, word)) in writes(77).into_iter().enumerate() {
            let id = 1 + turn + usize::from(block) * 10;
            // Not yet, and one more that is to go.
            all(&mut one, &["BEGIN", &format!("UPDATE customers SET n = 77 WHERE id = {id}")]).await;
            all(&mut one, &[&format!("UPDATE customers SET n = -77 WHERE id = {}", id + 4)]).await;
            all(&mut two, if block { &["BEGIN"] } else { &[] }).await;
            let text = sql.clone();
            let waiting = tokio::spawn(async move {
                let answer = said(&mut two, &text).await;
                (two, answer)
            });
            somebody_waits(&three).await;
            assert_eq!(said(&mut one, "COMMIT").await, "COMMIT");
            let (again, answer) = waiting.await.unwrap();
            two = again;
            assert_eq!(answer, format!("{word} 1"), "{sql}");
            all(&mut two, if block { &["COMMIT"] } else { &[] }).await;
            all(&mut one, &["UPDATE customers SET n = 0 WHERE n IN (77, -77)"]).await;
        }
    }
    // One snapshot: a row that was changed since is an error, as with one PostgreSQL.
    for (turn, (sql, _)) in writes(0).into_iter().enumerate() {
        all(&mut one, &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM customers"]).await;
        all(&mut two, &[&format!("UPDATE customers SET name = 'since {turn}' WHERE n = 0")]).await;
        let answer = said(&mut one, &sql).await;
        assert!(answer.starts_with("40001"), "{sql}: {answer}");
        all(&mut one, &["ROLLBACK"]).await;
    }
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_shard_undoes_all() {
    let three = Three::start("foundlost", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, MADE).await;
    let before = raw.value("SELECT string_agg(format('%s %s', id, name), ',' ORDER BY id) FROM customers").await;
    for shard in ["s2", "s3"] {
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'foundlost_{shard}' AND usename = 'app' \
             AND state = 'idle in transaction'"
        );
        for sql in [
            "UPDATE customers SET name = o.note FROM orders o WHERE o.about = customers.id",
            "DELETE FROM customers WHERE EXISTS (SELECT FROM orders WHERE about = customers.id)",
            "MERGE INTO customers c USING orders o ON o.about = c.id AND c.id < 20 WHEN MATCHED THEN DELETE WHEN NOT MATCHED \
             THEN INSERT (id) VALUES (o.about + 100)",
        ] {
            all(&mut raw, &["BEGIN", sql]).await;
            assert_ne!(cluster().value(PRIMARY, "postgres", &end).await.unwrap(), "0");
            let answer = said(&mut raw, "COMMIT").await;
            assert_ne!(answer, "COMMIT", "{shard}: {sql}");
            said(&mut raw, "ROLLBACK").await;
            let after = raw.value("SELECT string_agg(format('%s %s', id, name), ',' ORDER BY id) FROM customers").await;
            assert_eq!(before, after, "{shard}: {sql}");
        }
        // In the middle of the statement: the shard's part waits for a lock while its connection is ended.
        let mut other = three.client().await;
        let row = three.on(shard, "SELECT min(id) FROM customers").await;
        all(&mut other, &["BEGIN", &format!("SELECT FROM customers WHERE id = {row} FOR UPDATE")]).await;
        all(&mut raw, &["BEGIN ISOLATION LEVEL REPEATABLE READ"]).await;
        let sql = "UPDATE customers SET name = o.note FROM orders o WHERE o.about = customers.id";
        let waiting = tokio::spawn(async move {
            let answer = said(&mut raw, sql).await;
            (raw, answer)
        });
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'foundlost_{shard}' AND wait_event_type = 'Lock'"
        );
        let begin = Instant::now();
        while cluster().value(PRIMARY, "postgres", &waits).await.unwrap() == "0" {
            assert!(begin.elapsed() < PATIENCE, "nobody waits");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'foundlost_{shard}' AND usename = 'app' \
             AND wait_event_type = 'Lock'"
        );
        assert_eq!(cluster().value(PRIMARY, "postgres", &end).await.unwrap(), "1");
        let (again, answer) = waiting.await.unwrap();
        raw = again;
        assert!(!answer.starts_with("UPDATE"), "{answer}");
        all(&mut raw, &["ROLLBACK"]).await;
        all(&mut other, &["COMMIT"]).await;
        let after = raw.value("SELECT string_agg(format('%s %s', id, name), ',' ORDER BY id) FROM customers").await;
        assert_eq!(before, after, "{shard}");
    }
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_are_those_of_the_statement() {
    let three = Three::start("foundmay", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, MADE).await;
    all(&mut raw, &["GRANT reader TO app"]).await;
    let sql = "UPDATE customers SET name = o.note FROM orders o WHERE o.about = customers.id AND o.id < 5";
    let none = "UPDATE customers SET name = o.note FROM orders o WHERE o.about = customers.id AND false";
    for (grant, wanted) in [
        ("GRANT SELECT ON orders TO reader", "0A000"),
        ("GRANT UPDATE ON customers TO reader", "0A000"),
        ("GRANT SELECT ON customers TO reader", "UPDATE"),
        ("REVOKE SELECT ON orders FROM reader", "42501"),
        ("GRANT SELECT (about, id) ON orders TO reader", "42501"),
        ("GRANT SELECT ON orders TO reader", "UPDATE"),
    ] {
        all(&mut raw, &[grant, "SET ROLE reader"]).await;
        for sql in [sql, none] {
            let answer = said(&mut raw, sql).await;
            assert!(answer.starts_with(wanted), "{grant}: {sql}: {answer}");
        }
        all(&mut raw, &["RESET ROLE"]).await;
    }
    // Columns alone: the table can't be locked.
    all(&mut raw, &["REVOKE UPDATE ON customers FROM reader", "GRANT UPDATE (name) ON customers TO reader"]).await;
    all(&mut raw, &["SET ROLE reader"]).await;
    let answer = said(&mut raw, sql).await;
    assert!(answer.starts_with("0A000") && answer.contains("locked"), "{answer}");
    all(&mut raw, &["BEGIN ISOLATION LEVEL REPEATABLE READ"]).await;
    assert_eq!(said(&mut raw, sql).await, "UPDATE 4");
    all(&mut raw, &["ROLLBACK", "RESET ROLE", "ALTER TABLE customers ENABLE ROW LEVEL SECURITY"]).await;
    let answer = said(&mut raw, sql).await;
    assert!(answer.starts_with("0A000") && answer.contains("row security"), "{answer}");
    all(&mut raw, &["ALTER TABLE customers DISABLE ROW LEVEL SECURITY"]).await;
    // A deferrable primary key tells rows apart only later, and there may be none.
    for change in ["ADD PRIMARY KEY (id) DEFERRABLE", "ADD UNIQUE (id)"] {
        all(
            &mut raw,
            &["ALTER TABLE customers DROP CONSTRAINT customers_pkey", &format!("ALTER TABLE customers {change}")],
        )
        .await;
        let answer = said(&mut raw, sql).await;
        assert!(answer.starts_with("0A000") && answer.contains("primary key"), "{change}: {answer}");
    }
    three.same().await;
}

/// Copies of a reference table take the same values, whichever row gives them.
#[tokio::test(flavor = "multi_thread")]
async fn copies_stay_equal() {
    let three = Three::start("foundcopies", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, MADE).await;
    let sum = "SELECT string_agg(format('%s %s', code, n), ',' ORDER BY code) FROM countries";
    for sql in [
        "UPDATE countries SET n = c.n + 1 FROM customers c WHERE c.id = countries.n",
        "UPDATE countries SET n = 9 FROM customers c WHERE c.n > countries.n",
        "UPDATE countries SET n = (SELECT count(*) FROM orders WHERE length(note) = length(countries.code) + 4)",
        "DELETE FROM countries USING customers c WHERE c.n = 9 AND code = 'FR'",
    ] {
        assert!(!said(&mut raw, sql).await.ends_with(" 0"), "{sql}");
        three.everywhere(sum).await;
    }
    let answer = said(&mut raw, "UPDATE countries SET n = c.n FROM customers c").await;
    assert!(answer.starts_with("0A000") && answer.contains("different values"), "{answer}");
    three.same().await;
}

/// Reading a statement locks its table a little: two transactions that have read theirs don't wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_were_described_take_turns() {
    let three = Three::start("foundturns", PLACES).await;
    let mut one = three.client().await;
    all(&mut one, MADE).await;
    let mut two = three.client().await;
    for raw in [&mut one, &mut two] {
        all(raw, &["BEGIN", "SELECT count(*) FROM countries"]).await;
    }
    let sql = |alias: &str| {
        format!("UPDATE customers {alias} SET n = {alias}.n + 1 FROM orders o WHERE o.about = {alias}.id")
    };
    for (raw, alias) in [(&mut one, "a"), (&mut two, "b")] {
        raw.send(&[build::parse("s", &sql(alias), &[]), build::describe(b'S', "s"), build::sync()].concat())
            .await
            .unwrap();
        let frames = raw.until_ready(1).await.unwrap();
        assert!(frames.iter().all(|frame| frame.kind != b'E'), "{frames:?}");
    }
    let run = || [build::bind("", "s", &[]), build::execute("", 0), build::sync()].concat();
    one.send(&run()).await.unwrap();
    assert_eq!(told(&one.until_ready(1).await.unwrap()), "UPDATE 30");
    two.send(&run()).await.unwrap();
    somebody_waits(&three).await;
    assert_eq!(said(&mut one, "COMMIT").await, "COMMIT");
    assert_eq!(told(&two.until_ready(1).await.unwrap()), "UPDATE 30");
    assert_eq!(said(&mut two, "COMMIT").await, "COMMIT");
    assert_eq!(one.value("SELECT sum(n) FROM customers").await, (465 + 60).to_string());
    three.same().await;
}
