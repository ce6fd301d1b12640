//! Who may read what, over shards: as with one PostgreSQL.

use super::defined::{PLACES, Three, all, told};

/// A view over groups, which no shard has whole.
#[tokio::test(flavor = "multi_thread")]
async fn views_ask_for_their_own_privileges() {
    let three = Three::start("privileges", PLACES).await;
    let mut raw = three.client().await;
    let made = [
        "CREATE TABLE customers (id bigint PRIMARY KEY, country text)",
        "CREATE VIEW per_country AS SELECT country, count(*) AS n FROM customers GROUP BY country",
        "CREATE VIEW plain AS SELECT id, country FROM customers WHERE country <> 'XX'",
        "INSERT INTO customers SELECT g, 'c' || g % 3 FROM generate_series(1, 60) g",
        "GRANT reader TO app",
    ];
    all(&mut raw, &made).await;
    let reads = [
        "SELECT * FROM per_country ORDER BY country",
        "SELECT sum(n) FROM per_country",
        "SELECT count(*) FROM plain",
        "SELECT p.id, x.n FROM plain p JOIN per_country x USING (country) ORDER BY 1 LIMIT 3",
        "SELECT id FROM plain ORDER BY id LIMIT 2",
    ];
    // The tables, and not the views.
    all(&mut raw, &["GRANT SELECT ON customers TO reader", "SET ROLE reader"]).await;
    for sql in reads {
        let said = told(&raw.query(sql).await.unwrap());
        assert!(said.starts_with("42501"), "{sql}: {said}");
    }
    for sql in reads {
        let block = format!("BEGIN; DECLARE c CURSOR FOR {sql}; FETCH c");
        let said = told(&raw.query(&block).await.unwrap());
        assert!(said.starts_with("42501"), "{sql}: {said}");
        all(&mut raw, &["ROLLBACK"]).await;
    }
    assert_eq!(raw.value("SELECT count(*) FROM customers").await, "60");
    // The views, and not the tables: the owner's privileges count for what is within.
    all(&mut raw, &["RESET ROLE", "REVOKE SELECT ON customers FROM reader"]).await;
    all(&mut raw, &["GRANT SELECT ON per_country, plain TO reader", "SET ROLE reader"]).await;
    let said = told(&raw.query("SELECT count(*) FROM customers").await.unwrap());
    assert!(said.starts_with("42501"), "{said}");
    for sql in reads {
        let frames = raw.query(sql).await.unwrap();
        if frames.iter().any(|frame| frame.kind == b'E') {
            let said = told(&frames);
            assert!(said.starts_with("0A000") && said.contains("view"), "{sql}: {said}");
        }
        let frames = raw.query(&format!("BEGIN; DECLARE c CURSOR FOR {sql}; FETCH c")).await.unwrap();
        if frames.iter().any(|frame| frame.kind == b'E') {
            let said = told(&frames);
            assert!(said.starts_with("0A000") && said.contains("view"), "{sql}: {said}");
        }
        all(&mut raw, &["ROLLBACK"]).await;
    }
    assert_eq!(raw.value("SELECT count(*) FROM plain").await, "60");
    all(&mut raw, &["RESET ROLE"]).await;
}

/// `EXISTS (SELECT * …)` needs no columns, and the privilege on all of them.
#[tokio::test(flavor = "multi_thread")]
async fn stars_ask_for_all_columns() {
    let three = Three::start("starmay", PLACES).await;
    let mut raw = three.client().await;
    let made = [
        "CREATE TABLE customers (id bigint PRIMARY KEY, country text)",
        "CREATE TABLE orders (customer_id bigint, id bigint, about bigint, secret text, PRIMARY KEY (customer_id, id))",
        "CREATE TABLE countries (code text PRIMARY KEY, secret text)",
        "INSERT INTO customers SELECT g, 'c' || g % 3 FROM generate_series(1, 60) g",
        "INSERT INTO orders SELECT g, g, g + 1 FROM generate_series(1, 60) g",
        "INSERT INTO countries VALUES ('c1'), ('c2')",
        "GRANT reader TO app",
        "GRANT SELECT ON customers TO reader",
        "GRANT SELECT (customer_id, id, about) ON orders TO reader",
        "GRANT SELECT (code) ON countries TO reader",
    ];
    all(&mut raw, &made).await;
    let asks = |star: &str| {
        [
            format!("SELECT count(*) FROM customers c WHERE EXISTS (SELECT {star} FROM orders o WHERE o.about = c.id)"),
            format!(
                "SELECT count(*) FROM customers c, orders p WHERE p.about = c.id AND EXISTS (SELECT {star} FROM countries o \
                 WHERE o.code = c.country)"
            ),
        ]
    };
    for star in ["*", "o.*"] {
        all(&mut raw, &["SET ROLE reader"]).await;
        for sql in asks(star) {
            let said = told(&raw.query(&sql).await.unwrap());
            assert!(said.starts_with("42501"), "{sql}: {said}");
        }
        for sql in asks("1") {
            assert_ne!(raw.value(&sql).await, "0", "{sql}");
        }
        all(&mut raw, &["RESET ROLE"]).await;
        for sql in asks(star) {
            assert_ne!(raw.value(&sql).await, "0", "{sql}");
        }
    }
}
