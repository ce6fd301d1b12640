//! Commands that run shard by shard, and roles, which belong to servers.

use pgbraid::cli::cluster::PRIMARY;

use super::defined::{PLACES, Three, all, make, said, server};
use crate::support::proxy::Inside;
use crate::support::raw::Raw;

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_made_concurrently_and_goes_on_where_it_stopped() {
    let three = Three::start("concurrent", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, &["CREATE TABLE customers (id bigint PRIMARY KEY, email text)"]).await;
    all(&mut raw, &["CREATE INDEX CONCURRENTLY by_email ON customers (email)"]).await;
    assert!(said(&mut raw, "CREATE INDEX CONCURRENTLY by_email ON customers (email)").await.starts_with("42P07"));
    // Rows on the last shard stand against it.
    three
        .run("s3", "INSERT INTO customers VALUES (1, 'a'); ALTER TABLE customers DROP CONSTRAINT customers_pkey")
        .await;
    three.run("s3", "INSERT INTO customers VALUES (1, 'a')").await;
    let sql = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS by_both ON public.customers (id, email)";
    let text = said(&mut raw, sql).await;
    assert!(text.starts_with("23505: could not create unique index \"by_both\""), "{text}");
    assert!(text.contains("CREATE INDEX CONCURRENTLY stands so: s1: done, s2: done, s3: failed."), "{text}");
    let again = said(&mut raw, sql).await;
    assert!(again.contains("stands so: s1: done before, s2: done before, s3: failed."), "{again}");
    three.run("s3", "TRUNCATE customers; ALTER TABLE customers ADD PRIMARY KEY (id)").await;
    assert_eq!(said(&mut raw, sql).await, "CREATE INDEX");
    three.same().await;
    assert_eq!(three.everywhere("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_both'::regclass").await, "t");
    // One that shards can't guard isn't left behind.
    let text = said(&mut raw, "CREATE UNIQUE INDEX CONCURRENTLY wrong ON customers (email)").await;
    assert!(text.starts_with("0A000: the unique index wrong of public.customers"), "{text}");
    assert_eq!(three.everywhere("SELECT to_regclass('wrong') IS NULL").await, "t");
    assert_eq!(said(&mut raw, "DROP INDEX CONCURRENTLY by_email").await, "DROP INDEX");
    three.same().await;
    all(&mut raw, &["BEGIN"]).await;
    let text = said(&mut raw, "CREATE INDEX CONCURRENTLY late ON customers (email)").await;
    assert!(text.starts_with("25001: CREATE INDEX CONCURRENTLY cannot run inside a transaction block"), "{text}");
    all(&mut raw, &["ROLLBACK"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_runs_on_all_shards() {
    let three = Three::start("maintained", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, &["CREATE TABLE customers (id bigint PRIMARY KEY, email text)", "CREATE TABLE plain (a int)"]).await;
    for id in 1..=12 {
        assert_eq!(said(&mut raw, &format!("INSERT INTO customers VALUES ({id}, 'x')")).await, "INSERT 0 1");
    }
    assert_eq!(said(&mut raw, "ANALYZE customers").await, "ANALYZE");
    for shard in ["s1", "s2", "s3"] {
        assert_ne!(
            three.on(shard, "SELECT reltuples FROM pg_class WHERE relname = 'customers'").await,
            "-1",
            "{shard}"
        );
    }
    for (sql, tag) in [
        ("VACUUM (FREEZE) customers", "VACUUM"),
        ("REINDEX TABLE customers", "REINDEX"),
        ("REINDEX INDEX CONCURRENTLY customers_pkey", "REINDEX"),
        ("CLUSTER customers USING customers_pkey", "CLUSTER"),
        ("BEGIN", "BEGIN"),
        ("ANALYZE", "ANALYZE"),
        ("COMMIT", "COMMIT"),
    ] {
        assert_eq!(said(&mut raw, sql).await, tag, "{sql}");
    }
    assert!(said(&mut raw, "VACUUM nowhere").await.starts_with("42P01"));
    let frames = raw.query("BEGIN; VACUUM customers").await.unwrap();
    assert!(super::defined::told(&frames).starts_with("25001"), "{frames:?}");
    assert_eq!(said(&mut raw, "ROLLBACK").await, "ROLLBACK");
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_and_lock_reach_all_shards() {
    let three = Three::start("emptied", PLACES).await;
    let mut raw = three.client().await;
    all(
        &mut raw,
        &[
            "CREATE TABLE customers (id bigint PRIMARY KEY, name text)",
            "CREATE TABLE orders (customer_id bigint REFERENCES customers, id bigint)",
            "CREATE TABLE plain (a int)",
            "INSERT INTO plain VALUES (1)",
        ],
    )
    .await;
    for id in 1..=12 {
        assert_eq!(said(&mut raw, &format!("INSERT INTO customers VALUES ({id}, 'x')")).await, "INSERT 0 1");
        assert_eq!(said(&mut raw, &format!("INSERT INTO orders VALUES ({id}, 1)")).await, "INSERT 0 1");
    }
    all(&mut raw, &["BEGIN", "TRUNCATE customers, plain CASCADE"]).await;
    assert_eq!(raw.value("SELECT count(*) FROM customers").await, "0");
    all(&mut raw, &["ROLLBACK"]).await;
    assert_eq!(raw.value("SELECT count(*) FROM orders").await, "12");
    assert!(said(&mut raw, "TRUNCATE customers").await.starts_with("0A000: cannot truncate a table referenced"));
    assert!(said(&mut raw, "LOCK TABLE customers").await.starts_with("25P01"));
    all(&mut raw, &["BEGIN", "LOCK TABLE customers IN EXCLUSIVE MODE"]).await;
    let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'customers'::regclass AND mode = 'ExclusiveLock' \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(three.everywhere(locked).await, "1");
    all(&mut raw, &["COMMIT", "TRUNCATE customers, plain CASCADE"]).await;
    for table in ["customers", "orders", "plain"] {
        assert_eq!(three.everywhere(&format!("SELECT count(*) FROM {table}")).await, "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_shard_is_one_sessions_own() {
    let three = Three::start("chosen", PLACES).await;
    let mut raw = three.client().await;
    all(&mut raw, &["CREATE TABLE customers (id bigint PRIMARY KEY, name text)"]).await;
    for id in 1..=12 {
        assert_eq!(said(&mut raw, &format!("INSERT INTO customers VALUES ({id}, 'x')")).await, "INSERT 0 1");
    }
    let sql = "SELECT count(*) FROM customers";
    let (one, two) = (three.target().connect().await.unwrap(), three.target().connect().await.unwrap());
    one.batch_execute("SET pgbraid.shard = 's2'").await.unwrap();
    for _ in 0..3 {
        let there: i64 = three.on("s2", sql).await.parse().unwrap();
        assert_eq!(one.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), there);
        assert_eq!(two.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_has_one_verifier_on_all_servers() {
    let (one, two) = (server().await, server().await);
    make(&one, "shop").await;
    make(&two, "shop").await;
    let configuration = format!(
        "[users.app]\npassword = \"app\"\n[users.keeper]\npassword = \"k\"\n[databases.shop]\nservice_user = \"keeper\"\n\
         connect_timeout = \"60s\"\nhome = \"s1\"\nshards.s1 = {:?}\nshards.s2 = {:?}\n{PLACES}",
        one.url(PRIMARY, "shop"),
        two.url(PRIMARY, "shop")
    );
    let proxy = Inside::start(&configuration).await;
    let mut raw = Raw::login(&proxy.target("app", "app", "shop")).await;
    let verifiers = async || {
        let sql = "SELECT rolpassword FROM pg_authid WHERE rolname = 'clerk'";
        let one = one.value(PRIMARY, "shop", sql).await.unwrap();
        assert_eq!(two.value(PRIMARY, "shop", sql).await.unwrap(), one);
        one
    };
    assert_eq!(said(&mut raw, "CREATE ROLE clerk LOGIN PASSWORD 'it''s a secret'").await, "CREATE ROLE");
    let first = verifiers().await;
    assert!(first.starts_with("SCRAM-SHA-256$4096:"), "{first}");
    assert_eq!(said(&mut raw, "ALTER ROLE clerk PASSWORD 'another'").await, "ALTER ROLE");
    assert_ne!(verifiers().await, first);
    let target = crate::support::raw::Target::new(two.address(PRIMARY), "clerk", "another", "shop");
    assert_eq!(Raw::login(&target).await.value("SELECT current_user").await, "clerk");
    // The databases bear one name here, so it can be named.
    assert_eq!(said(&mut raw, "ALTER DATABASE shop SET work_mem = '5MB'").await, "ALTER DATABASE");
    assert_eq!(said(&mut raw, "GRANT reader TO clerk").await.split(':').next(), Some("GRANT ROLE"));
    assert_eq!(said(&mut raw, "DROP ROLE clerk").await, "DROP ROLE");
    for cluster in [&one, &two] {
        let count =
            cluster.value(PRIMARY, "shop", "SELECT count(*) FROM pg_roles WHERE rolname = 'clerk'").await.unwrap();
        assert_eq!(count, "0");
    }
}
