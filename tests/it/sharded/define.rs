//! Definitions through the proxy: on all shards or on none, alone and in blocks, seen at once.

use pgbraid::cli::cluster::PRIMARY;

use super::defined::{PLACES, Three, all, cluster, said};

/// A schema with something of every kind.
const EVERYTHING: &[&str] = &[
    "CREATE SCHEMA IF NOT EXISTS extra",
    "CREATE EXTENSION IF NOT EXISTS plpgsql",
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE DOMAIN code AS text CHECK (length(VALUE) = 2)",
    "CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, mood mood DEFAULT 'good')",
    "CREATE TABLE countries (code code PRIMARY KEY, name text)",
    "CREATE TABLE orders (customer_id bigint REFERENCES customers ON DELETE CASCADE, id bigint, country code REFERENCES \
     countries, total numeric(10,2) CHECK (total >= 0), PRIMARY KEY (customer_id, id))",
    "CREATE UNLOGGED TABLE settings (name text PRIMARY KEY, value jsonb)",
    "CREATE SEQUENCE extra.numbers START 7",
    "CREATE UNIQUE INDEX ON customers (id, lower(name))",
    "CREATE INDEX orders_total ON orders (total) WHERE total > 100",
    "CREATE VIEW rich AS SELECT customer_id, sum(total) FROM orders GROUP BY 1",
    "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2'",
    "CREATE PROCEDURE nothing() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$",
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "CREATE TRIGGER stamp BEFORE INSERT ON settings FOR EACH ROW EXECUTE FUNCTION stamp()",
    "CREATE RULE calm AS ON DELETE TO settings DO INSTEAD NOTHING",
    "ALTER TABLE settings ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY open ON settings USING (true)",
    "CREATE COLLATION bytes (provider = libc, locale = 'C')",
    "CREATE TABLE measures (at date, value int) PARTITION BY RANGE (at)",
    "CREATE TABLE measures_old PARTITION OF measures FOR VALUES FROM (MINVALUE) TO ('2020-01-01')",
    "CREATE TABLE twin (LIKE orders INCLUDING ALL)",
    "CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = '0')",
    "CREATE STATISTICS both_of ON total, country FROM orders",
    "COMMENT ON TABLE orders IS 'what was ordered'",
    "COMMENT ON COLUMN orders.total IS 'in euros'",
    "GRANT SELECT, INSERT (name) ON customers TO reader",
    "GRANT USAGE ON SCHEMA extra TO reader",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA extra GRANT SELECT ON TABLES TO reader",
    "CREATE TABLE extra.later (a int)",
    "ALTER TABLE customers ADD COLUMN joined date DEFAULT '2020-01-01', ALTER COLUMN name DROP NOT NULL",
    "ALTER TABLE orders ADD CONSTRAINT small CHECK (total < 1000000) NOT VALID",
    "ALTER TABLE orders VALIDATE CONSTRAINT small",
    "ALTER INDEX orders_total RENAME TO orders_by_total",
    "ALTER TYPE mood ADD VALUE 'middling' BEFORE 'bad'",
    "ALTER VIEW rich RENAME TO wealthy",
    "ALTER FUNCTION twice(int) RENAME TO double",
    "REVOKE INSERT (name) ON customers FROM reader",
    "DROP TABLE twin, measures CASCADE",
    "DROP AGGREGATE total(int)",
];

#[tokio::test(flavor = "multi_thread")]
async fn definitions_of_every_kind_are_on_all_shards() {
    let three = Three::start("kinds", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, EVERYTHING).await;
    let lines = three.same().await;
    for part in [
        "type mood good,middling,bad",
        "column customers.joined date",
        "comment orders 0 what was ordered",
        "view  SELECT",
        "schema extra",
        "index CREATE INDEX orders_by_total",
        "policy open on settings",
    ] {
        assert!(lines.contains(part), "{part}\n{lines}");
    }
    assert!(!lines.contains("measures") && !lines.contains("twin"), "{lines}");
    // The next statement is planned by it.
    for id in 1..=12 {
        let sql = format!("INSERT INTO customers VALUES ({id}, 'c{id}', 'middling')");
        assert_eq!(said(&mut raw, &sql).await, "INSERT 0 1");
    }
    assert_eq!(
        raw.value("SELECT count(*) FROM customers WHERE mood = 'middling' AND joined = '2020-01-01'").await,
        "12"
    );
    for shard in ["s1", "s2", "s3"] {
        assert_ne!(three.on(shard, "SELECT count(*) FROM customers").await, "0", "{shard}");
    }
    // Notices come once, and so do errors.
    let frames = raw.query("DROP TABLE IF EXISTS nowhere").await.unwrap();
    assert_eq!(frames.iter().filter(|frame| frame.kind == b'N').count(), 1, "{frames:?}");
    let frames = raw.query("DROP TABLE nowhere").await.unwrap();
    assert_eq!(frames.iter().filter(|frame| frame.kind == b'E').count(), 1, "{frames:?}");
    assert_eq!(frames.last().unwrap().body, b"I");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_one_shard_leaves_nothing_anywhere() {
    let three = Three::start("fails", PLACES).await;
    three.run("s3", "CREATE TABLE customers (id bigint)").await;
    let mut raw = three.client().await;
    let sql = "CREATE TABLE customers (id bigint PRIMARY KEY)";
    let text = said(&mut raw, sql).await;
    assert!(text.starts_with("42P07: relation \"customers\" already exists (It failed on the shard s3"), "{text}");
    assert!(text.contains("nothing was kept on any shard"), "{text}");
    let there = "SELECT count(*) FROM pg_class WHERE relname IN ('customers', 'more', 'other')";
    for (shard, count) in [("s1", "0"), ("s2", "0"), ("s3", "1")] {
        assert_eq!(three.on(shard, there).await, count, "{shard}");
    }
    // In a block: the block has failed, and only its end is left.
    assert_eq!(said(&mut raw, "BEGIN").await, "BEGIN");
    assert_eq!(said(&mut raw, "CREATE TABLE more (id int)").await, "CREATE TABLE");
    assert!(said(&mut raw, sql).await.starts_with("42P07"));
    assert!(said(&mut raw, "SELECT 1").await.starts_with("25P02"));
    assert_eq!(said(&mut raw, "COMMIT").await, "ROLLBACK");
    // With a savepoint it goes on.
    assert_eq!(said(&mut raw, "BEGIN").await, "BEGIN");
    assert_eq!(said(&mut raw, "CREATE TABLE more (id int)").await, "CREATE TABLE");
    assert_eq!(said(&mut raw, "SAVEPOINT s").await, "SAVEPOINT");
    assert!(said(&mut raw, sql).await.starts_with("42P07"));
    assert_eq!(said(&mut raw, "ROLLBACK TO s").await, "ROLLBACK");
    assert_eq!(said(&mut raw, "CREATE TABLE other (id int)").await, "CREATE TABLE");
    assert_eq!(said(&mut raw, "ROLLBACK").await, "ROLLBACK");
    for (shard, count) in [("s1", "0"), ("s2", "0"), ("s3", "1")] {
        assert_eq!(three.on(shard, there).await, count, "{shard}");
    }
    // Several statements of one string are one transaction.
    assert!(said(&mut raw, &format!("CREATE TABLE more (id int); {sql}")).await.starts_with("42P07"));
    assert_eq!(three.on("s1", there).await, "0");
    three.run("s3", "DROP TABLE customers").await;
    assert_eq!(said(&mut raw, &format!("CREATE TABLE more (id int); {sql}")).await, "CREATE TABLE");
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_uses_what_it_has_made() {
    let three = Three::start("migrates", PLACES).await;
    let mut raw = three.client().await;
    all(
        &mut raw,
        &[
            "BEGIN",
            "CREATE TYPE mood AS ENUM ('good', 'bad')",
            "CREATE TABLE customers (id bigint PRIMARY KEY, name text)",
            "CREATE TABLE settings (name text PRIMARY KEY, value text)",
            "INSERT INTO settings VALUES ('version', '1')",
            "INSERT INTO customers VALUES (1, 'one')",
        ],
    )
    .await;
    assert_eq!(raw.value("SELECT name FROM customers WHERE id = 1").await, "one");
    assert_eq!(raw.value("SELECT count(*) FROM customers").await, "1");
    // Another session sees nothing of it, and isn't held up.
    let mut other = three.client().await;
    assert!(said(&mut other, "SELECT * FROM customers").await.starts_with("42P01"));
    all(
        &mut raw,
        &[
            "ALTER TABLE customers ADD COLUMN mood mood DEFAULT 'good'",
            "SAVEPOINT before",
            "ALTER TABLE customers ADD COLUMN extra int DEFAULT 5",
        ],
    )
    .await;
    assert_eq!(raw.value("SELECT extra FROM customers WHERE id = 1").await, "5");
    all(&mut raw, &["ROLLBACK TO before"]).await;
    assert!(said(&mut raw, "SELECT extra FROM customers WHERE id = 1").await.starts_with("42703"));
    all(&mut raw, &["ROLLBACK TO before", "UPDATE settings SET value = '2' WHERE name = 'version'"]).await;
    assert_eq!(raw.value("SELECT mood FROM customers WHERE id = 1").await, "good");
    all(&mut raw, &["COMMIT"]).await;
    three.same().await;
    assert_eq!(raw.value("SELECT id || name || mood FROM customers").await, "1onegood");
    assert_eq!(three.on("s1", "SELECT value FROM settings").await, "2");
    assert_eq!(three.on("s2", "SELECT count(*) FROM settings").await, "0", "unsharded rows are on the home shard");
    // And the other session's next statement knows it.
    assert_eq!(other.value("SELECT id || name || mood FROM customers").await, "1onegood");
    all(&mut other, &["BEGIN", "DROP TABLE customers", "ROLLBACK"]).await;
    assert_eq!(other.value("SELECT count(*) FROM customers").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_define_with_prepared_statements() {
    let three = Three::start("drivers", PLACES).await;
    let mut client = three.target().connect().await.unwrap();
    client.execute("CREATE TABLE customers (id bigint PRIMARY KEY, name text)", &[]).await.unwrap();
    client.execute("INSERT INTO customers VALUES ($1, $2)", &[&1_i64, &"one"]).await.unwrap();
    let select = client.prepare("SELECT * FROM customers WHERE id = $1").await.unwrap();
    assert_eq!(client.query_one(&select, &[&1_i64]).await.unwrap().len(), 2);
    let transaction = client.transaction().await.unwrap();
    transaction.execute("ALTER TABLE customers ADD COLUMN age int DEFAULT 30", &[]).await.unwrap();
    let row = transaction.query_one("SELECT age FROM customers WHERE id = $1", &[&1_i64]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 30);
    transaction.execute("CREATE TABLE notes (customer_id bigint, text text)", &[]).await.unwrap();
    transaction.execute("INSERT INTO notes VALUES ($1, $2)", &[&1_i64, &"a note"]).await.unwrap();
    transaction.commit().await.unwrap();
    let error = client.query_one(&select, &[&1_i64]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("0A000"), "{error:?}");
    let row = client.query_one("SELECT age FROM customers WHERE id = $1", &[&1_i64]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 30);
    let row = client.query_one("SELECT text FROM notes WHERE customer_id = $1", &[&1_i64]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "a note");
    three.same().await;
    let error = client.execute("CREATE TABLE notes (a int)", &[]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("42P07"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_define_at_once_wait_for_each_other_and_both_succeed() {
    let three = Three::start("race", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, &["CREATE TABLE customers (id bigint PRIMARY KEY)", "CREATE TABLE plain (id int)"]).await;
    let work = async |mut raw: crate::support::raw::Raw, prefix: char| {
        for turn in 0..8 {
            for table in ["customers", "plain"] {
                let sql = format!("ALTER TABLE {table} ADD COLUMN {prefix}{turn} int");
                assert_eq!(said(&mut raw, &sql).await, "ALTER TABLE", "{sql}");
            }
        }
    };
    tokio::join!(work(three.client().await, 'a'), work(three.client().await, 'b'));
    three.same().await;
    assert_eq!(
        three.everywhere("SELECT count(*) FROM pg_attribute WHERE attrelid = 'plain'::regclass AND attnum > 0").await,
        "17"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_queries_are_filled_on_the_home_shard() {
    let three = Three::start("filled", PLACES).await;
    let mut raw = three.client().await;
    all(
        &mut raw,
        &[
            "CREATE TABLE customers (id bigint PRIMARY KEY, name text)",
            "CREATE TABLE settings (name text PRIMARY KEY, value int)",
            "INSERT INTO settings VALUES ('a', 1), ('b', 2)",
        ],
    )
    .await;
    assert_eq!(said(&mut raw, "CREATE TABLE copied AS SELECT * FROM settings WHERE value > 1").await, "SELECT 1");
    assert_eq!(
        said(&mut raw, "CREATE MATERIALIZED VIEW seen AS SELECT name FROM settings WITH DATA").await,
        "SELECT 2"
    );
    assert_eq!(said(&mut raw, "CREATE TABLE shape AS SELECT * FROM customers WITH NO DATA").await, "CREATE TABLE AS");
    three.same().await;
    assert_eq!(raw.value("SELECT name FROM copied").await, "b");
    assert_eq!(raw.value("SELECT count(*) FROM seen").await, "2");
    assert_eq!(three.on("s2", "SELECT count(*) FROM copied").await, "0");
    all(&mut raw, &["INSERT INTO settings VALUES ('c', 3)", "REFRESH MATERIALIZED VIEW seen"]).await;
    assert_eq!(raw.value("SELECT count(*) FROM seen").await, "3");
    for (sql, part) in [
        ("CREATE TABLE bad AS SELECT * FROM customers", "would hold one shard's rows only"),
        ("CREATE MATERIALIZED VIEW bad AS SELECT count(*) FROM customers", "would hold one shard's rows only"),
        ("CREATE TABLE bad AS SELECT * FROM customers WHERE id = 1", "would hold one shard's rows only"),
        ("CREATE TABLE orders AS SELECT 1::bigint AS customer_id", "the table orders is placed over shards"),
        ("CREATE TABLE countries AS SELECT name FROM settings", "the table countries is placed over shards"),
        ("SELECT * INTO bad FROM customers", ""),
        ("CREATE TEMP VIEW bad AS SELECT 1", "temporary objects other than tables aren't supported"),
    ] {
        let text = said(&mut raw, sql).await;
        assert!(text.starts_with("0A000: ") && text.contains(part), "{sql}: {text}");
    }
    three.same().await;
    // The session's own, on the home shard only.
    assert_eq!(said(&mut raw, "CREATE TEMP TABLE mine (a int)").await, "CREATE TABLE");
    assert_eq!(said(&mut raw, "ALTER TABLE mine ADD b int").await, "ALTER TABLE");
    assert_eq!(three.on("s2", "SELECT count(*) FROM pg_class WHERE relname = 'mine'").await, "0");
    assert_eq!(said(&mut raw, "DROP TABLE mine").await, "DROP TABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_servers_is_refused() {
    let three = Three::start("refused", PLACES).await;
    let mut raw = three.client().await;
    for sql in [
        "CREATE DATABASE d",
        "DROP DATABASE shop",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "CREATE TABLESPACE t LOCATION '/nowhere'",
        "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
        "COMMENT ON DATABASE shop IS 'x'",
        "REINDEX DATABASE shop",
        "IMPORT FOREIGN SCHEMA s FROM SERVER x INTO public",
        "DO $$ BEGIN CREATE TABLE t (a int); END $$",
    ] {
        let text = said(&mut raw, sql).await;
        assert!(text.starts_with("0A000: ") && !text.ends_with("()"), "{sql}: {text}");
    }
    let count =
        cluster().value(PRIMARY, "postgres", "SELECT count(*) FROM pg_database WHERE datname = 'd'").await.unwrap();
    assert_eq!(count, "0");
}
