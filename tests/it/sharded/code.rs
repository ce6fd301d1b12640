//! Code of users that runs beside statements: triggers, functions, policies, views. What would see only one shard's rows is
//! refused, what touches no table runs.

use super::defined::{PLACES, Three, all, said, told};
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
async fn triggers_of_whole_statements_of_parts_and_of_other_tables_count() {
    let (_three, mut raw) = started("code_beside").await;
    // What a trigger may leave out, or sees together, is one shard's to judge.
    let define = [
        "CREATE FUNCTION skips() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.total > 5 THEN RETURN NULL; END IF; RETURN NEW; END $$",
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN row(7, 7, 7); END $$",
        "CREATE FUNCTION together() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*) FROM added) > 1 THEN RAISE 'many'; END IF; RETURN NULL; END $$",
    ];
    all(&mut raw, &define).await;
    let (one, many) =
        ("INSERT INTO orders VALUES (1, 9, 9)", "INSERT INTO orders VALUES (1, 9, 1), (2, 9, 1), (3, 9, 1), (4, 9, 1)");
    for (trigger, one_says, many_says) in [
        ("BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION skips()", "INSERT 0 0", "0A000"),
        ("BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION other()", "0A000", "0A000"),
        (
            "AFTER INSERT ON orders REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION together()",
            "INSERT 0 1",
            "0A000",
        ),
    ] {
        all(&mut raw, &[&format!("CREATE TRIGGER t {trigger}"), "BEGIN"]).await;
        let told = said(&mut raw, one).await;
        assert!(told.starts_with(one_says), "{trigger}: {told}");
        all(&mut raw, &["ROLLBACK", "BEGIN"]).await;
        let told = said(&mut raw, many).await;
        assert!(told.starts_with(many_says), "{trigger}: {told}");
        all(&mut raw, &["ROLLBACK", "DROP TRIGGER t ON orders"]).await;
    }
    // Triggers of what a foreign key's action reaches, and of a part.
    all(
        &mut raw,
        &[
            "ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE",
            "CREATE TRIGGER t BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION noted()",
        ],
    )
    .await;
    for statement in ["DELETE FROM orders WHERE customer_id = 1", "DELETE FROM customers WHERE id = 1"] {
        let told = said(&mut raw, statement).await;
        assert!(told.starts_with("0A000") && told.contains("noted"), "{statement}: {told}");
    }
    all(&mut raw, &["DROP TABLE orders", "CREATE TABLE orders (customer_id bigint, id int) PARTITION BY LIST (id)"])
        .await;
    all(
        &mut raw,
        &[
            "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES IN (1)",
            "CREATE TRIGGER t AFTER INSERT ON orders_1 FOR EACH ROW EXECUTE FUNCTION noted()",
        ],
    )
    .await;
    assert!(said(&mut raw, "INSERT INTO orders VALUES (1, 1)").await.starts_with("0A000"), "a part's trigger");
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
    all(
        &mut raw,
        &[
            "CREATE FUNCTION by_default(a bigint DEFAULT order_count()) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT a $$",
            "CREATE FUNCTION sets() RETURNS int LANGUAGE plpgsql AS $$ BEGIN SET timezone = 'Asia/Tokyo'; RETURN 1; END $$",
            "CREATE FUNCTION more(int, int) RETURNS bool LANGUAGE sql STABLE AS $$ SELECT order_count() > $1 + $2 $$",
            "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = more)",
            "CREATE FUNCTION loud() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes VALUES (7, 'x'); RETURN 1; END $$",
        ],
    )
    .await;
    assert_eq!(raw.value("SELECT loud()").await, "1");
    all(&mut raw, &["CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION counted()"]).await;
    for sql in ["SELECT by_default()", "SELECT sets()", "SELECT 1 === 2", "SELECT loud()"] {
        let told = said(&mut raw, sql).await;
        assert!(told.starts_with("0A000: pgbraid can't prove"), "{sql}: {told}");
    }
    all(&mut raw, &["DROP TRIGGER t ON notes"]).await;
    // A function that reads the home shard's tables, beside a reference table in a block that began elsewhere.
    for key in 1..=6 {
        all(&mut raw, &["BEGIN"]).await;
        raw.value(&format!("SELECT count(*) FROM orders WHERE customer_id = {key}")).await;
        assert_eq!(raw.value("SELECT note_count() FROM countries").await, "1", "{key}");
        all(&mut raw, &["ROLLBACK"]).await;
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

/// What triggers say of rows is told, whichever shards have them; of the copies of a reference table once.
#[tokio::test(flavor = "multi_thread")]
async fn notices_of_triggers_are_told() {
    let three = Three::start("codenotices", PLACES).await;
    let mut raw = three.client().await;
    let made = [
        "CREATE TABLE customers (id bigint PRIMARY KEY, n bigint)",
        "CREATE TABLE countries (code text PRIMARY KEY, n bigint)",
        "CREATE FUNCTION says() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE NOTICE 'written'; RETURN NEW; END$$",
        "CREATE TRIGGER says AFTER INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION says()",
        "CREATE TRIGGER says AFTER INSERT OR UPDATE ON countries FOR EACH ROW EXECUTE FUNCTION says()",
    ];
    all(&mut raw, &made).await;
    for (sql, rows) in [
        ("INSERT INTO customers VALUES (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)", 5),
        ("INSERT INTO customers SELECT g, g FROM generate_series(6, 20) g", 15),
        ("UPDATE customers SET n = n + 1", 20),
        ("UPDATE customers c SET n = c.n + o.id FROM customers o WHERE o.n = c.id + 1 AND o.id > 10", 10),
        ("INSERT INTO countries VALUES ('FR', 1), ('DE', 2)", 2),
        ("UPDATE countries SET n = 3", 2),
    ] {
        let frames = raw.query(sql).await.unwrap();
        let notices = frames.iter().filter(|frame| frame.kind == b'N').count();
        assert_eq!(notices, rows, "{sql}: {}", told(&frames));
    }
    three.same().await;
}

/// TRUNCATE's triggers run on every shard: what they write must not be written by each.
#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_truncate_are_judged() {
    let three = Three::start("codetruncate", PLACES).await;
    let mut raw = three.client().await;
    let made = [
        "CREATE TABLE customers (id bigint PRIMARY KEY, n bigint)",
        "CREATE TABLE orders (customer_id bigint, id bigint, PRIMARY KEY (customer_id, id))",
        "CREATE FUNCTION notes_it() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN INSERT INTO orders VALUES (1, 1); RETURN NULL; END$$",
        "CREATE FUNCTION says_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'empty'; RETURN NULL; END$$",
        "CREATE TRIGGER says_it AFTER TRUNCATE ON customers FOR EACH STATEMENT EXECUTE FUNCTION says_it()",
        "INSERT INTO customers VALUES (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)",
        "TRUNCATE customers",
        "INSERT INTO customers VALUES (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)",
        "CREATE TRIGGER notes_it AFTER TRUNCATE ON customers FOR EACH STATEMENT EXECUTE FUNCTION notes_it()",
    ];
    all(&mut raw, &made).await;
    for sql in ["TRUNCATE customers", "TRUNCATE TABLE ONLY orders, public.customers RESTART IDENTITY CASCADE"] {
        let told = said(&mut raw, sql).await;
        assert!(told.starts_with("0A000") && told.contains("notes_it"), "{sql}: {told}");
    }
    assert_eq!(raw.value("SELECT count(*) FROM customers").await, "5");
    all(&mut raw, &["TRUNCATE orders"]).await;
}
