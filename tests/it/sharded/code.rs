//! Code of users that runs beside statements: triggers, functions, policies, views. What would see only one shard's rows is
//! refused, what touches no table runs.

use super::defined::{PLACES, Three, all, said};
use crate::support::raw::Raw;

const DEFINED: &[&str] = &[
    "CREATE TABLE customers (id bigint PRIMARY KEY, name text, at timestamptz)",
    "CREATE TABLE orders (customer_id bigint, id bigint, total int, PRIMARY KEY (customer_id, id))",
    "CREATE TABLE countries (code text PRIMARY KEY, name text)",
    "CREATE TABLE notes (id int, text text)",
    "CREATE TABLE members (who text, customer_id bigint)",
    "CREATE FUNCTION upper_name() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$",
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.at := now(); RETURN NEW; END $$",
    "CREATE FUNCTION moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := NEW.id + 1; RETURN NEW; END $$",
    "CREATE FUNCTION swaps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW := OLD; RETURN NEW; END $$",
    "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes VALUES (1, 'x'); RETURN NEW; END $$",
    "CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM orders; RETURN NEW; END $$",
    "CREATE FUNCTION dynamic() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN NEW; END $$",
    "CREATE FUNCTION plus(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n + 1; END $$",
    "CREATE FUNCTION steady(n int) RETURNS int LANGUAGE sql STABLE AS $$ SELECT n * 2 $$",
    "CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM orders $$",
    "CREATE FUNCTION note_count() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM notes $$",
];

async fn started(name: &'static str) -> (Three, Raw) {
    started_with(name, "").await
}

async fn started_with(name: &'static str, more: &str) -> (Three, Raw) {
    let three = Three::start(name, &format!("{PLACES}{more}")).await;
    let mut raw = three.client().await;
    all(&mut raw, DEFINED).await;
    let rows: Vec<String> = (1..=12).map(|id| format!("({id}, 'n{id}')")).collect();
    all(
        &mut raw,
        &[
            &format!("INSERT INTO customers (id, name) VALUES {}", rows.join(", ")),
            "INSERT INTO orders VALUES (1, 1, 10), (2, 2, 20), (3, 3, 30), (4, 4, 40), (5, 5, 50), (6, 6, 60)",
            "INSERT INTO countries VALUES ('fr', 'France')",
        ],
    )
    .await;
    (three, raw)
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_judged_by_what_they_name() {
    let (three, mut raw) = started("code").await;
    let one = "UPDATE customers SET name = name || 'x' WHERE id = 1";
    let many = "UPDATE customers SET name = name || 'x'";
    let note = "INSERT INTO notes VALUES (2, 'y')";
    for (table, function, statement, said_of_it) in [
        ("customers", "upper_name", many, "UPDATE 12"),
        ("customers", "stamp", one, "UPDATE 1"),
        ("customers", "stamp", many, "0A000"),
        ("customers", "moves", one, "0A000"),
        ("customers", "swaps", one, "0A000"),
        ("customers", "noted", one, "0A000"),
        ("customers", "counted", one, "0A000"),
        ("customers", "dynamic", one, "0A000"),
        ("countries", "upper_name", "UPDATE countries SET name = 'x'", "UPDATE 1"),
        ("countries", "stamp", "UPDATE countries SET name = 'x'", "0A000"),
        ("notes", "noted", "UPDATE notes SET text = 'z'", "UPDATE 0"),
        ("notes", "counted", note, "0A000"),
        ("notes", "dynamic", note, "0A000"),
    ] {
        let create =
            format!("CREATE TRIGGER t BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()");
        all(&mut raw, &[&create]).await;
        let told = said(&mut raw, statement).await;
        assert!(told.starts_with(said_of_it), "{table} {function} {statement}: {told}");
        all(&mut raw, &[&format!("DROP TRIGGER t ON {table}")]).await;
    }
    assert_eq!(raw.value("SELECT count(*) FROM customers WHERE name ~ '^N[0-9]+X'").await, "12");
    assert_eq!(three.everywhere("SELECT name FROM countries").await, "X");
    all(&mut raw, &["CREATE RULE r AS ON INSERT TO notes DO ALSO DELETE FROM orders"]).await;
    assert!(said(&mut raw, note).await.starts_with("0A000"), "a rule of an unsharded table");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_judged_by_what_they_name() {
    let (_three, mut raw) = started("calls").await;
    for (sql, value) in [
        ("SELECT plus(1)", "2"),
        ("SELECT sum(plus(total)) FROM orders", "216"),
        ("SELECT plus(total) FROM orders WHERE customer_id = 3", "31"),
        ("SELECT count(*) FROM orders WHERE total > steady(20)", "2"),
        ("SELECT note_count()", "0"),
    ] {
        assert_eq!(raw.value(sql).await, value, "{sql}");
    }
    for sql in [
        "SELECT order_count()",
        "SELECT id FROM orders WHERE customer_id = 3 AND total > order_count()",
        "SELECT id FROM orders WHERE customer_id = 3 AND total > note_count()",
    ] {
        let told = said(&mut raw, sql).await;
        assert!(told.starts_with("0A000: pgbraid can't prove which tables function"), "{sql}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_security_is_asked_where_the_rows_are_and_as_who_asks() {
    let (three, mut raw) = started_with("rls", "[users.rls_ann]\npassword = \"a\"\n").await;
    three.run("s1", "CREATE ROLE rls_ann LOGIN PASSWORD 'a'; GRANT rls_ann TO keeper").await;
    all(
        &mut raw,
        &[
            "GRANT SELECT ON customers, orders, members, countries TO rls_ann",
            "ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY own ON customers USING (id <= 5 OR current_user = 'app')",
            "CREATE VIEW every AS SELECT id, name FROM customers",
            "CREATE VIEW counts AS SELECT count(*) AS n FROM customers",
            "CREATE VIEW firsts AS SELECT id FROM customers ORDER BY id LIMIT 8",
            "GRANT SELECT ON every, counts, firsts TO rls_ann",
        ],
    )
    .await;
    let mut ann = Raw::login(&three.proxy.target("rls_ann", "a", "shop")).await;
    for (sql, value) in [
        ("SELECT count(*) FROM customers", "5"),
        ("SELECT count(*) FROM customers WHERE id = 7", "0"),
        ("SELECT count(*) FROM (SELECT *, row_number() OVER () FROM customers) x", "5"),
        ("SELECT count(*) FROM every", "12"),
        ("SELECT max(id) FROM every", "12"),
        ("SELECT count(*) FROM (SELECT *, row_number() OVER () FROM every) x", "12"),
        ("SELECT count(*) FROM every WHERE id = 7", "1"),
    ] {
        assert_eq!(ann.value(sql).await, value, "{sql}");
    }
    // The owner of the view sees all rows, and may count them; the client mustn't count the tables' instead.
    for (sql, value) in [("SELECT n FROM counts", "12"), ("SELECT count(*) FROM firsts", "8")] {
        let told = said(&mut ann, sql).await;
        assert!(told.starts_with("0A000") || ann.value(sql).await == value, "{sql}: {told}");
    }
    // A policy that reads a table which isn't on every shard.
    for (table, fit) in [("members", false), ("orders", false), ("countries", true)] {
        let (column, own) = if table == "countries" { ("name", "name") } else { ("customer_id::text", "id::text") };
        let policy = format!("CREATE POLICY other ON customers USING ({own} IN (SELECT {column} FROM {table}))");
        all(&mut raw, &[&policy]).await;
        let told = said(&mut ann, "SELECT count(*) FROM customers").await;
        assert_eq!(told.starts_with("0A000"), !fit, "{table}: {told}");
        all(&mut raw, &["DROP POLICY other ON customers"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_materialized_view_from_before_isnt_refreshed_from_one_shards_rows() {
    let (three, mut raw) = started("refresh").await;
    for shard in ["s1", "s2", "s3"] {
        let sql = "CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS n FROM public.orders WITH NO DATA;
            CREATE MATERIALIZED VIEW texts AS SELECT count(*) AS n FROM public.notes WITH NO DATA";
        three.run(shard, sql).await;
    }
    all(&mut raw, &["INSERT INTO notes VALUES (1, 'x')", "CREATE INDEX ON notes (id)"]).await;
    let told = said(&mut raw, "REFRESH MATERIALIZED VIEW sums").await;
    assert!(told.starts_with("0A000"), "{told}");
    all(&mut raw, &["REFRESH MATERIALIZED VIEW public.texts"]).await;
    assert_eq!(raw.value("SELECT n FROM texts").await, "1");
}
