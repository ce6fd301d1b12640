//! Tables that are placed by a comment in CREATE TABLE: stored with the map, and kept right.

use super::defined::{PLACES, Three, all, said};

const STORED: &str = "SELECT coalesce(string_agg(format('%s: %s, %s', table_name, rule, declared), '; ' ORDER BY table_name), '') \
    FROM pgbraid.tables";

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_places_a_table_and_a_restart_keeps_it() {
    let three = Three::start("comment", PLACES).await;
    let mut raw = three.client().await;
    all(
        &mut raw,
        &[
            "CREATE TABLE customers (id bigint PRIMARY KEY)",
            "CREATE TABLE visits (customer_id bigint, at date) /* pgbraid: key=customer_id, with=customers */",
            "/* pgbraid: key=device */ CREATE TABLE readings (device text, value int, PRIMARY KEY (device, value))",
            "CREATE TABLE currencies (code text PRIMARY KEY) /* pgbraid: reference */",
            "CREATE TABLE parts (device text, n int) PARTITION BY LIST (n) /* pgbraid: key=device, with=readings */",
            "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)",
        ],
    )
    .await;
    let stored = "currencies: reference, statement; customers: key id, configuration; parts: key device with \
        public.readings, statement; readings: key device, statement; visits: key customer_id with public.customers, statement";
    for id in 1..=12 {
        assert_eq!(said(&mut raw, &format!("INSERT INTO visits VALUES ({id}, '2020-01-01')")).await, "INSERT 0 1");
        assert_eq!(said(&mut raw, &format!("INSERT INTO parts VALUES ('d{id}', 1)")).await, "INSERT 0 1");
    }
    assert_eq!(three.on("s1", STORED).await, stored);
    assert_eq!(raw.value("SELECT count(*) FROM visits").await, "12");
    for shard in ["s1", "s2", "s3"] {
        assert_ne!(three.on(shard, "SELECT count(*) FROM visits").await, "0", "{shard}");
        assert_ne!(three.on(shard, "SELECT count(*) FROM parts_1").await, "0", "{shard}");
    }
    three.same().await;
    // Another proxy, with the same configuration, knows them.
    let again = three.again(PLACES).await;
    let mut other = again.client().await;
    assert_eq!(other.value("SELECT count(*) FROM visits JOIN customers ON id = customer_id").await, "0");
    assert_eq!(other.value("SELECT count(*) FROM parts").await, "12");
    // An entry that says the same is no contradiction; one that says something else is.
    let same = three.again(&format!("{PLACES}readings = {{ key = \"device\" }}\n")).await;
    assert_eq!(same.client().await.value("SELECT count(*) FROM readings").await, "0");
    let wrong = three.again(&format!("{PLACES}readings = {{ reference = true }}\n")).await;
    let text = said(&mut wrong.client().await, "SELECT count(*) FROM readings").await;
    assert!(text.starts_with("55000: the configuration places the table public.readings by `reference`"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_places_follow_their_tables() {
    let three = Three::start("follow", PLACES).await;
    let mut raw = three.client().await;
    all(
        &mut raw,
        &[
            "CREATE SCHEMA app",
            "CREATE TABLE app.readings (device text, value int) /* pgbraid: key=device */",
            "CREATE TABLE app.alarms (device text, what text) /* pgbraid: key=device, with=readings */",
            "INSERT INTO app.readings VALUES ('a', 1)",
            "ALTER TABLE app.readings RENAME TO samples",
        ],
    )
    .await;
    let stored = "alarms: key device with app.samples, statement; samples: key device, statement";
    assert_eq!(three.on("s1", STORED).await, stored);
    assert_eq!(raw.value("SELECT count(*) FROM app.samples").await, "1");
    all(&mut raw, &["BEGIN", "DROP TABLE app.samples", "ROLLBACK"]).await;
    assert_eq!(three.on("s1", STORED).await, stored);
    all(&mut raw, &["DROP SCHEMA app CASCADE"]).await;
    assert_eq!(three.on("s1", STORED).await, "");
    // The name is free for something else.
    all(&mut raw, &["CREATE SCHEMA app", "CREATE TABLE app.samples (a int)", "INSERT INTO app.samples VALUES (1)"])
        .await;
    assert_eq!(three.on("s1", "SELECT count(*) FROM app.samples").await, "1");
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_that_can_not_be_followed_are_refused() {
    let three = Three::start("unplaced", PLACES).await;
    let mut raw = three.client().await;
    for (sql, part) in [
        ("CREATE TABLE t (a int) /* pgbraid: key=b */", "has no column b, which is its sharding key"),
        ("CREATE TABLE t (a int PRIMARY KEY, b int) /* pgbraid: key=b */", "doesn't compare the sharding key b"),
        (
            "CREATE TABLE t (a int) /* pgbraid: key=a, with=nowhere */",
            "public.nowhere, with which it is to be co-located",
        ),
        ("CREATE TABLE t (a int) /* pgbraid: key=a, reference */", "can't be read: it has a `key` and `reference`"),
        ("CREATE TABLE t (a int) /* pgbraid: list=x */", "a list of keys stands in the configuration only"),
        ("CREATE TABLE customers (id bigint) /* pgbraid: reference */", "the configuration places public.customers by"),
        ("CREATE TABLE t AS SELECT 1 AS a /* pgbraid: key=a */", "the table t is placed over shards"),
    ] {
        let text = said(&mut raw, sql).await;
        assert!(text.contains(part), "{sql}: {text}");
    }
    three.same().await;
    assert_eq!(three.on("s1", STORED).await, "");
    // Nobody places what has rows, or isn't his.
    all(&mut raw, &["CREATE TABLE settings (a int)", "INSERT INTO settings VALUES (1)"]).await;
    let client = three.target();
    let direct = crate::support::raw::Target {
        address: super::defined::cluster().address(0),
        database: "unplaced_s1".into(),
        ..client
    };
    let direct = direct.connect().await.unwrap();
    for sql in
        ["SELECT pgbraid.place('public', 'settings', 'key a')", "SELECT pgbraid.place('pgbraid', 'map', 'reference')"]
    {
        let error = direct.query(sql, &[]).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{sql}");
    }
    direct.query("SELECT pgbraid.forget('public', 'settings')", &[]).await.unwrap();
}
