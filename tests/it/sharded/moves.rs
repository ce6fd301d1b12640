//! UPDATE of a sharding key: what others see of rows that move, and tables whose rows can't.

use std::time::{Duration, Instant};

use super::defined::{PLACES, Three, all, said};
use crate::support::raw::PATIENCE;

/// Waits until somebody waits for a lock on some shard.
pub async fn somebody_waits(three: &Three) {
    let begin = Instant::now();
    loop {
        for shard in ["s1", "s2", "s3"] {
            let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                (SELECT oid FROM pg_database WHERE datname = current_database())";
            if three.on(shard, waits).await != "0" {
                return;
            }
        }
        assert!(begin.elapsed() < PATIENCE, "nobody waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_row_finds_it_where_it_went() {
    let three = Three::start("moves", PLACES).await;
    let mut one = three.client().await;
    all(
        &mut one,
        &[
            "CREATE TABLE customers (id bigint PRIMARY KEY, name text, n int GENERATED ALWAYS AS IDENTITY, m bigint \
             GENERATED ALWAYS AS (id * 2) STORED)",
            "INSERT INTO customers (id, name, n) OVERRIDING SYSTEM VALUE SELECT g, 'x', g FROM generate_series(1, 30) g",
        ],
    )
    .await;
    let mut two = three.client().await;
    for (turn, id) in (1..=9).enumerate() {
        let other =
            ["UPDATE customers SET name = name || 'y' WHERE n = ", "DELETE FROM customers WHERE n = "][turn % 2];
        let locks = "SELECT name FROM customers WHERE n = ";
        all(&mut one, &["BEGIN", &format!("UPDATE customers SET id = id + 1000, name = 'moved' WHERE id = {id}")])
            .await;
        // Who only reads doesn't wait.
        assert_eq!(said(&mut two, &format!("SELECT count(*) FROM customers WHERE n = {id}")).await, "SELECT 1");
        let sql = if turn % 3 == 2 { format!("{locks}{id} FOR UPDATE") } else { format!("{other}{id}") };
        let waiting = tokio::spawn(async move {
            let answer = said(&mut two, &sql).await;
            (two, sql, answer)
        });
        somebody_waits(&three).await;
        assert_eq!(said(&mut one, "COMMIT").await, "COMMIT");
        let (again, sql, answer) = waiting.await.unwrap();
        two = again;
        assert!(answer.ends_with(" 1"), "{sql}: {answer}");
        if sql.starts_with("UPDATE") {
            let changed =
                format!("SELECT 1 FROM customers WHERE id = {} AND name = 'movedy' AND m = id * 2", id + 1000);
            assert_eq!(said(&mut one, &changed).await, "SELECT 1");
        }
    }
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_hang_on_arent_moved() {
    let three = Three::start("stays", PLACES).await;
    let mut raw = three.client().await;
    all(
        &mut raw,
        &[
            "CREATE TABLE countries (code text PRIMARY KEY)",
            "CREATE TABLE customers (id bigint PRIMARY KEY, name text)",
            "CREATE TABLE orders (customer_id bigint REFERENCES customers ON UPDATE CASCADE, id bigint, country text \
             REFERENCES countries)",
            "INSERT INTO countries VALUES ('DE')",
            "INSERT INTO customers SELECT g, 'x' FROM generate_series(1, 20) g",
            "INSERT INTO orders SELECT g, g, 'DE' FROM generate_series(1, 10) g",
        ],
    )
    .await;
    let text = said(&mut raw, "UPDATE customers SET id = id + 100").await;
    assert!(text.starts_with("0A000") && text.contains("\"orders\" refers to"), "{text}");
    // What they themselves refer to must be where they go.
    assert_eq!(said(&mut raw, "UPDATE orders SET customer_id = customer_id + 10").await, "UPDATE 10");
    assert!(said(&mut raw, "UPDATE orders SET customer_id = customer_id + 10").await.starts_with("23503"));
    assert!(
        said(&mut raw, "UPDATE orders SET customer_id = 5, country = 'XX' WHERE id = 3").await.starts_with("23503")
    );
    assert_eq!(said(&mut raw, "SELECT FROM orders WHERE customer_id BETWEEN 11 AND 20").await, "SELECT 10");
    for (change, part) in [
        ("ALTER TABLE orders ENABLE ROW LEVEL SECURITY", "row security"),
        ("ALTER TABLE orders DISABLE ROW LEVEL SECURITY", "UPDATE 10"),
        ("ALTER TABLE orders ADD UNIQUE (customer_id, id) DEFERRABLE", "deferrable"),
    ] {
        said(&mut raw, change).await;
        let text = said(&mut raw, "UPDATE orders SET customer_id = customer_id - 1").await;
        assert!(text.contains(part), "{change}: {text}");
    }
    all(
        &mut raw,
        &[
            "DROP TABLE orders",
            "CREATE TABLE orders (customer_id bigint, id bigint) PARTITION BY RANGE (customer_id)",
            "CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (100)",
            "CREATE TABLE orders_high PARTITION OF orders DEFAULT",
        ],
    )
    .await;
    for table in ["orders", "orders_low"] {
        let text = said(&mut raw, &format!("UPDATE {table} SET customer_id = customer_id + 1")).await;
        assert!(text.starts_with("0A000") && text.contains("partitions"), "{text}");
    }
}
