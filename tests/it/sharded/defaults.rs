//! What sessions begin with: ALTER DATABASE, ALTER ROLE and servers' own settings, by which statements are read and answered.

use super::defined::{PLACES, Three, all, said, told};
use crate::support::patience::Patience;
use crate::support::raw::{Raw, Target};

const COUNT: &str = "SELECT count(*) FROM customers";

/// Thirty rows in public, and other tables of that name: one row in `tenant`, two in the schema of a role.
async fn filled(name: &'static str, role: &str) -> Three {
    let more = format!("{PLACES}[users.{role}]\npassword = \"a\"\n");
    let three = Three::start(name, &more).await;
    three
        .run("s1", &format!("CREATE ROLE {role} LOGIN PASSWORD 'a'; GRANT {role} TO keeper; GRANT {role} TO app"))
        .await;
    for shard in ["s1", "s2", "s3"] {
        let sql = format!(
            "CREATE TABLE customers (id bigint PRIMARY KEY, at timestamptz DEFAULT '2020-01-01 00:00+00');
             CREATE SCHEMA tenant; CREATE TABLE tenant.customers (id bigint);
             CREATE SCHEMA {role}; CREATE TABLE {role}.customers (id bigint);
             GRANT USAGE ON SCHEMA tenant, {role} TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA public, tenant, {role} TO PUBLIC"
        );
        three.run(shard, &sql).await;
    }
    three
        .run("s1", &format!("INSERT INTO tenant.customers VALUES (1); INSERT INTO {role}.customers VALUES (1), (2)"))
        .await;
    let mut raw = three.client().await;
    let rows: Vec<String> = (1..=30).map(|id| format!("({id})")).collect();
    all(&mut raw, &[&format!("INSERT INTO customers (id) VALUES {}", rows.join(", "))]).await;
    three
}

/// A new session, once one begins with this value.
async fn begins_with(target: &Target, name: &str, value: &str) -> Raw {
    let patience = Patience::new("new sessions begin with what was altered");
    loop {
        let mut raw = Raw::login(target).await;
        if raw.value(&format!("SHOW {name}")).await == value {
            return raw;
        }
        patience.more();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_that_was_altered_is_the_one_that_names_are_looked_up_in() {
    let three = filled("path", "path_ann").await;
    let mut old = three.client().await;
    assert_eq!(old.value(COUNT).await, "30");
    for shard in ["s1", "s2", "s3"] {
        three.run(shard, &format!("RESET ROLE; ALTER DATABASE path_{shard} SET search_path = tenant, public")).await;
    }
    let mut new = begins_with(&three.target(), "search_path", "tenant, public").await;
    assert_eq!(new.value(COUNT).await, "1");
    assert_eq!(new.value("SELECT count(*) FROM public.customers").await, "30");
    assert_eq!(old.value(COUNT).await, "30", "a session keeps what it began with");
    all(&mut new, &["SET search_path = public"]).await;
    assert_eq!(new.value(COUNT).await, "30");
    all(&mut new, &["RESET search_path"]).await;
    assert_eq!(new.value(COUNT).await, "1");
    all(&mut new, &["SET search_path = public", "DISCARD ALL"]).await;
    assert_eq!(new.value(COUNT).await, "1");
    let more = [("options", "-c search_path=public")];
    let (mut own, _) = Raw::login_with(&three.target(), &more).await.unwrap();
    assert_eq!(own.value(COUNT).await, "30", "what the client says itself counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_session_is_decides_what_user_means() {
    let three = filled("user", "user_ann").await;
    let mut app = three.client().await;
    let ann = three.proxy.target("user_ann", "a", "shop");
    let mut raw = Raw::login(&ann).await;
    for turn in 0..2 {
        assert_eq!(raw.value(COUNT).await, "2", "{turn}");
        assert_eq!(app.value(COUNT).await, "30", "{turn}");
    }
    all(&mut app, &["SET ROLE user_ann"]).await;
    assert_eq!(app.value(COUNT).await, "2");
    all(&mut app, &["RESET ROLE", "BEGIN", "SET LOCAL ROLE user_ann"]).await;
    assert_eq!(app.value(COUNT).await, "2");
    all(&mut app, &["COMMIT"]).await;
    assert_eq!(app.value(COUNT).await, "30");
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_with_other_settings_answer_with_the_home_shards() {
    let three = filled("zone", "zone_ann").await;
    let sql = "RESET ROLE; ALTER DATABASE zone_s2 SET timezone = 'Asia/Tokyo'; ALTER DATABASE zone_s2 SET datestyle = 'German';
        ALTER DATABASE zone_s3 SET default_transaction_read_only = on";
    let home = three.on("s1", "SELECT current_setting('timezone')").await;
    three.run("s2", sql).await;
    let at = three.on("s1", "SELECT at FROM public.customers LIMIT 1").await;
    // Connections that were there before have the old settings.
    let again = three.again(PLACES).await;
    let mut raw = begins_with(&again.target(), "timezone", &home).await;
    let patience = Patience::new("the other shard's settings are known");
    loop {
        let frames = raw.query("SELECT at FROM customers").await.unwrap();
        let mut values: Vec<_> =
            frames.iter().filter(|frame| frame.kind == b'D').map(|frame| frame.values()[0].clone()).collect();
        assert_eq!(values.len(), 30, "{}", told(&frames));
        values.dedup();
        if values == [Some(at.clone())] {
            break;
        }
        patience.more();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        raw = again.client().await;
    }
    assert_eq!(said(&mut raw, "UPDATE customers SET at = at").await, "UPDATE 30");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_isolation_that_a_session_begins_with_counts() {
    let three = filled("isolation", "isolation_ann").await;
    let mut raw = three.client().await;
    let key = |shard: &'static str| async { three.on(shard, "SELECT min(id) FROM public.customers").await };
    let (one, two) = (key("s1").await, key("s2").await);
    let read = |id: &str| format!("SELECT count(*) FROM customers WHERE id = {id}");
    for set in [
        "SET default_transaction_isolation = serializable",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ] {
        all(&mut raw, &[set, "BEGIN", &read(&one)]).await;
        let told = said(&mut raw, &read(&two)).await;
        assert!(told.starts_with("0A000: a SERIALIZABLE transaction can't run on several shards"), "{told}");
        all(
            &mut raw,
            &["ROLLBACK", "RESET default_transaction_isolation", "BEGIN", &read(&one), &read(&two), "COMMIT"],
        )
        .await;
    }
    // One snapshot on all shards, taken when the first is read.
    all(&mut raw, &["SET default_transaction_isolation = 'repeatable read'", "BEGIN", &read(&one)]).await;
    three.run("s2", "INSERT INTO public.customers (id) SELECT id FROM generate_series(1000, 1050) id").await;
    assert_eq!(raw.value("SELECT count(*) FROM customers").await, "30");
    all(&mut raw, &["COMMIT"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_that_is_gone_hides_nothing() {
    let three = filled("gone", "gone_ann").await;
    let mut raw = three.client().await;
    all(&mut raw, &["BEGIN", "CREATE TEMP TABLE orders (a int) ON COMMIT DROP"]).await;
    let told = said(&mut raw, "SELECT 1").await;
    assert_eq!(told, "SELECT 1");
    all(&mut raw, &["COMMIT"]).await;
    let create = "CREATE TABLE orders (customer_id bigint, id bigint, PRIMARY KEY (customer_id, id))";
    assert!(said(&mut raw, create).await.starts_with("0A000"), "it may still be there");
    let mut other = three.client().await;
    let rows: Vec<String> = (1..=30).map(|id| format!("({id}, {id})")).collect();
    all(&mut other, &[create, &format!("INSERT INTO orders VALUES {}", rows.join(", "))]).await;
    assert!(said(&mut raw, "SELECT count(*) FROM orders").await.starts_with("0A000"), "not one shard's rows");
    all(&mut raw, &["DISCARD TEMP"]).await;
    assert_eq!(raw.value("SELECT count(*) FROM orders").await, "30");
}

/// A definition is one of a temporary table by what it is about, not by the names of columns in it.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_temporary_tables_may_be_columns_in_definitions() {
    let three = filled("named", "named_ann").await;
    let mut raw = three.client().await;
    all(&mut raw, &["CREATE TEMP TABLE a (n int)", "CREATE TEMP TABLE b (n int)"]).await;
    let definitions = [
        "CREATE TABLE whole (a int, b int)",
        "ALTER TABLE whole ADD COLUMN c int CHECK (c > a)",
        "CREATE INDEX whole_a ON whole (a)",
        "COMMENT ON COLUMN whole.a IS 'b'",
        "CREATE FUNCTION a_of(a int) RETURNS int LANGUAGE sql AS 'SELECT a'",
    ];
    all(&mut raw, &definitions).await;
    assert_eq!(
        three.everywhere("SELECT count(*) FROM information_schema.columns WHERE table_name = 'whole'").await,
        "3"
    );
    let found = "SELECT count(*) FROM pg_class, pg_proc WHERE relname = 'whole_a' AND proname = 'a_of'";
    assert_eq!(three.everywhere(found).await, "1");
    // What is made of temporary tables is the session's too.
    let own = ["INSERT INTO a VALUES (7)", "CREATE INDEX a_n ON a (n)", "CREATE VIEW of_a AS SELECT n + 1 AS m FROM a"];
    all(&mut raw, &own).await;
    assert_eq!(raw.value("SELECT m FROM of_a").await, "8");
    all(&mut raw, &["DROP INDEX a_n", "CREATE INDEX a_n ON a (n DESC)", "DROP VIEW of_a"]).await;
    for sql in ["CREATE TABLE of_b AS SELECT * FROM b", "CREATE TABLE of_b (LIKE b)", "DROP TABLE a, whole"] {
        assert!(said(&mut raw, sql).await.starts_with("0A000"), "{sql}");
    }
    all(&mut raw, &["DROP TABLE a, b", "DROP TABLE whole"]).await;
    assert_eq!(three.everywhere("SELECT count(*) FROM pg_class WHERE relname IN ('whole', 'of_b')").await, "0");
}
