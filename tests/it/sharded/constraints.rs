//! Constraints that one shard can't guard, and keys that must stay as they are: refused, and nothing kept.

use super::defined::{PLACES, Three, all, said};

#[tokio::test(flavor = "multi_thread")]
async fn constraints_that_would_hold_on_each_shard_only_are_refused() {
    let three = Three::start("guard", PLACES).await;
    let mut raw = three.client().await;
    all(
        &mut raw,
        &[
            "CREATE TABLE customers (id bigint PRIMARY KEY, email text)",
            "CREATE TABLE countries (code text PRIMARY KEY)",
            "CREATE TABLE settings (id bigint PRIMARY KEY)",
        ],
    )
    .await;
    let before = three.same().await;
    for (sql, part) in [
        (
            "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint)",
            "orders_pkey of public.orders doesn't compare",
        ),
        ("CREATE UNIQUE INDEX ON customers (email)", "doesn't compare the sharding key id by ="),
        ("CREATE UNIQUE INDEX ON customers (lower(email))", "doesn't compare the sharding key id by ="),
        ("CREATE UNIQUE INDEX ON customers (email) WHERE email > ''", "doesn't compare the sharding key id by ="),
        ("ALTER TABLE customers ADD UNIQUE (email)", "doesn't compare the sharding key id by ="),
        ("ALTER TABLE customers ADD EXCLUDE USING btree (email WITH =)", "the exclusion constraint"),
        ("CREATE TABLE orders (customer_id bigint, setting bigint REFERENCES settings)", "on the home shard only"),
        ("CREATE TABLE orders (customer_id bigint, other bigint REFERENCES customers)", "may be on another shard"),
        (
            "CREATE TABLE orders (customer_id bigint REFERENCES customers ON DELETE SET NULL)",
            "would empty the sharding key customer_id",
        ),
        ("ALTER TABLE settings ADD customer bigint REFERENCES customers", "each on one shard only"),
        ("ALTER TABLE countries ADD capital bigint REFERENCES settings", "on the home shard only"),
        ("ALTER TABLE countries ADD best bigint REFERENCES customers", "each on one shard only"),
        ("ALTER TABLE customers DROP COLUMN id", "has no column id, which is its sharding key"),
        ("ALTER TABLE customers RENAME COLUMN id TO number", "has no column id, which is its sharding key"),
        ("ALTER TABLE customers ALTER id TYPE text", "it can't become text from bigint"),
        ("ALTER TABLE customers ALTER id TYPE int USING (id * 2)", "it can't become integer from bigint"),
        ("ALTER TABLE customers RENAME TO clients", "the configuration places it by its name"),
        ("ALTER TABLE customers SET SCHEMA pg_catalog", ""),
        ("CREATE TABLE orders (id bigint)", "has no column customer_id, which is its sharding key"),
        ("CREATE TABLE orders (customer_id bytea)", "its type is bytea, by whose hash nothing can be placed"),
        ("CREATE TABLE orders (customer_id text)", "its type is text, and the key of public.customers"),
        ("CREATE TABLE orders () INHERITS (settings)", ""),
    ] {
        let text = said(&mut raw, sql).await;
        assert!(text.contains(part), "{sql}: {text}");
        assert!(text.starts_with("0A000: ") && !text.ends_with("()") || part.is_empty(), "{sql}: {text}");
        assert!(text.contains(": "), "{sql}: {text}");
    }
    assert_eq!(three.same().await, before, "nothing is kept");
    all(
        &mut raw,
        &[
            "CREATE TABLE orders (customer_id int REFERENCES customers ON DELETE CASCADE, id bigint, country text REFERENCES \
             countries, PRIMARY KEY (id, customer_id))",
            "ALTER TABLE customers ADD UNIQUE (email, id)",
            "ALTER TABLE orders ALTER customer_id TYPE bigint",
            "ALTER TABLE settings ADD country text REFERENCES countries",
            "DROP TABLE orders",
        ],
    )
    .await;
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_wrong_before_holds_nothing_up() {
    let three = Three::start("old", PLACES).await;
    for shard in ["s1", "s2", "s3"] {
        three.run(shard, "CREATE TABLE customers (id bigint, email text UNIQUE)").await;
    }
    let mut raw = three.client().await;
    all(&mut raw, &["ALTER TABLE customers ADD COLUMN name text", "CREATE INDEX ON customers (name)"]).await;
    assert!(said(&mut raw, "ALTER TABLE customers ADD UNIQUE (name)").await.starts_with("0A000"));
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_defined_on_the_shards_themselves_is_seen_before_a_statement_is_refused_for_it() {
    let three = Three::start("aside", PLACES).await;
    let mut raw = three.client().await;
    let ask = "SELECT count(*) FROM customers c JOIN orders o ON o.customer_id = c.id";
    assert!(said(&mut raw, ask).await.starts_with("42P01"));
    for shard in ["s1", "s2"] {
        three.run(shard, "CREATE TABLE customers (id bigint); CREATE TABLE orders (customer_id bigint)").await;
    }
    let told = said(&mut raw, ask).await;
    assert!(told.starts_with("55000") && told.contains("s3"), "{told}");
    three.run("s3", "CREATE TABLE customers (id bigint)").await;
    let told = said(&mut raw, ask).await;
    assert!(told.starts_with("55000") && told.contains("orders"), "{told}");
    three.run("s3", "CREATE TABLE orders (customer_id bigint)").await;
    all(&mut raw, &[ask, "INSERT INTO orders SELECT n FROM generate_series(1, 30) AS n", ask]).await;
    // With parameters, too.
    for shard in ["s1", "s2", "s3"] {
        three.run(shard, "CREATE TABLE countries (code text)").await;
    }
    let client = three.target().connect().await.unwrap();
    let found = client.query("SELECT code FROM countries WHERE code = $1", &[&"a"]).await;
    assert!(found.as_ref().is_ok_and(Vec::is_empty), "{found:?}");
    three.same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_unique_index_would_miss_on_other_shards_arent_written() {
    let three = Three::start("apart", PLACES).await;
    for shard in ["s1", "s2", "s3"] {
        let sql = "CREATE TABLE customers (id bigint PRIMARY KEY, email text UNIQUE, name text);
            CREATE UNIQUE INDEX low ON customers (lower(name)) WHERE name > 'm';
            CREATE TABLE orders (customer_id bigint, id bigint, n int, PRIMARY KEY (customer_id, id)) PARTITION BY RANGE (customer_id);
            CREATE TABLE orders_all PARTITION OF orders DEFAULT;
            ALTER TABLE orders_all ADD UNIQUE (id)";
        three.run(shard, sql).await;
    }
    let mut raw = three.client().await;
    for (sql, index) in [
        ("INSERT INTO customers VALUES (1, 'a', 'b')", "customers_email_key"),
        ("INSERT INTO customers (id) VALUES (1), (2), (3)", "customers_email_key"),
        ("INSERT INTO customers VALUES (1, 'a') ON CONFLICT (id) DO NOTHING", "customers_email_key"),
        ("INSERT INTO orders VALUES (1, 1, 1)", "orders_all_id_key"),
        ("UPDATE customers SET email = 'x' WHERE id = 1", "customers_email_key"),
        ("UPDATE customers SET name = 'x'", "low"),
        ("UPDATE orders SET id = id + 1", "orders_all_id_key"),
    ] {
        let text = said(&mut raw, sql).await;
        assert!(text.starts_with("0A000: ") && text.contains(index), "{sql}: {text}");
    }
    all(
        &mut raw,
        &["UPDATE orders SET n = 2", "DELETE FROM customers", "UPDATE orders SET n = 1 WHERE customer_id = 1"],
    )
    .await;

    let admitted = three.again(&format!("unique_per_shard = true\n{PLACES}")).await;
    let mut raw = admitted.client().await;
    let rows: Vec<String> = (1..=30).map(|id| format!("({id}, 'e{id}', 'n{id}')")).collect();
    all(
        &mut raw,
        &[
            &format!("INSERT INTO customers VALUES {}", rows.join(", ")),
            "UPDATE customers SET name = 'z' || name",
            "CREATE UNIQUE INDEX ON customers (name, email)",
            "INSERT INTO orders VALUES (1, 1, 1), (2, 2, 2)",
        ],
    )
    .await;
    assert!(
        said(&mut raw, "INSERT INTO customers VALUES (1, 'other')").await.starts_with("23505"),
        "its own rows are kept apart"
    );
    three.same().await;
}
