//! The catalog's queries on a real server: what they tell, when the poll notices a change, and that what is proven to
//! read really does.

use crate::support::servers::shop;
use pgbraid::catalog::{Catalog, POLL, QUERIES, Rows};
use pgbraid::cli::cluster::PRIMARY;
use pgbraid::plan::{Context, plan};
use tokio_postgres::{Client, SimpleQueryMessage};

const SCHEMA: &str = include_str!("../../src/plan/testdata/schema.sql");
const FIXTURE: &str = include_str!("../../src/plan/testdata/catalog.tsv");

/// A connection to a new database that holds the schema of the planner's unit tests.
async fn database(name: &str) -> Client {
    let cluster = &shop().cluster;
    cluster.execute(PRIMARY, "postgres", &format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
    cluster.execute(PRIMARY, "postgres", &format!("CREATE DATABASE {name}")).await.unwrap();
    let client = cluster.connect(PRIMARY, name).await.unwrap();
    client.batch_execute(SCHEMA).await.unwrap();
    client
}

async fn rows(client: &Client, sql: &str) -> Rows {
    let messages = client.simple_query(sql).await.unwrap();
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

async fn answers(client: &Client) -> Vec<(&'static str, Rows)> {
    client.batch_execute("SET search_path = pg_catalog").await.unwrap();
    let mut answers = Vec::new();
    for query in QUERIES {
        answers.push((query.name, rows(client, query.sql).await));
    }
    client.batch_execute("RESET search_path").await.unwrap();
    answers
}

/// The catalog of the database that `client` is connected to.
pub async fn read(client: &Client) -> Catalog {
    Catalog::from_rows(&answers(client).await)
}

#[tokio::test]
async fn the_unit_tests_catalog_is_what_a_server_tells() {
    let client = database("catalog_told").await;
    let version = rows(&client, "SHOW server_version_num").await;
    let answers = answers(&client).await;
    let catalog = Catalog::from_rows(&answers);
    assert!(catalog.is_known());
    for (sql, proven) in [
        ("SELECT * FROM v_nested", true),
        ("SELECT stab_atomic(a) FROM t", true),
        ("SELECT * FROM tenants", true),
        ("SELECT * FROM v_vol", false),
        ("SELECT liar_twice(1) FROM t", false),
        ("SELECT ('s'::regclass).nextval FROM t", false),
        ("SELECT * FROM mixed", false),
        ("SELECT a @@@ 1 FROM t", false),
    ] {
        assert_eq!(proves(&catalog, sql), proven, "{sql}");
    }
    // Other versions print definitions in other words.
    if !version[0][0].as_deref().unwrap().starts_with("15") {
        return;
    }
    let builtin = |line: &str| line.contains("\tpg_catalog\t") || line.contains("\tinformation_schema\t");
    let escape = |text: &String| text.replace('\\', "\\\\").replace('\n', "\\n");
    let mut told: Vec<String> = Vec::new();
    for (name, rows) in &answers {
        let field = |value: &Option<String>| value.as_ref().map_or("\\N".to_owned(), escape);
        let line =
            |row: &Vec<Option<String>>| format!("{name}\t{}", row.iter().map(field).collect::<Vec<_>>().join("\t"));
        told.extend(rows.iter().map(line).filter(|line| !builtin(line)));
    }
    let mut kept: Vec<&str> = FIXTURE.lines().filter(|line| !builtin(line)).collect();
    told.sort();
    kept.sort();
    assert_eq!(told, kept, "regenerate src/plan/testdata/catalog.tsv");
}

fn proves(catalog: &Catalog, sql: &str) -> bool {
    let context = Context { catalog, search_path_is_default: true, standard_conforming_strings: true };
    plan(sql.as_bytes(), &context).replica.is_some()
}

#[tokio::test]
async fn an_ordinary_role_may_read_the_catalog() {
    let client = database("catalog_role").await;
    client
        .batch_execute("DROP ROLE IF EXISTS nobody_much; CREATE ROLE nobody_much; SET ROLE nobody_much")
        .await
        .unwrap();
    assert!(proves(&Catalog::from_rows(&answers(&client).await), "SELECT * FROM v_nested, tenants"));
    assert_eq!(rows(&client, POLL).await.len(), 1);
    client.batch_execute("RESET ROLE; DROP ROLE nobody_much").await.unwrap();
}

#[tokio::test]
async fn the_poll_notices_definitions_and_nothing_else() {
    let client = database("catalog_poll").await;
    let mut before = rows(&client, POLL).await;
    let changes = [
        ("CREATE TABLE n (a int)", true),
        ("INSERT INTO n VALUES (1)", false),
        ("UPDATE n SET a = 2", false),
        ("ANALYZE n", false),
        ("VACUUM n", false),
        ("CREATE TEMP TABLE private (a int)", false),
        ("SELECT nextval('s')", false),
        ("ALTER TABLE n ADD b int DEFAULT vol(1)", true),
        ("ALTER TABLE n SET UNLOGGED", true),
        ("ALTER TABLE n RENAME TO m", true),
        ("ALTER FUNCTION imm(int) VOLATILE", true),
        ("CREATE OR REPLACE VIEW v_plain AS SELECT a, b FROM t WHERE a > 1", true),
        ("CREATE POLICY q ON m USING (a > 0)", true),
        ("ALTER POLICY q ON m USING (vol(a) > 0)", true),
        ("ALTER TABLE m ENABLE ROW LEVEL SECURITY", true),
        ("CREATE TRIGGER x BEFORE INSERT ON m FOR EACH ROW EXECUTE FUNCTION trg()", true),
        ("CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = vol_op)", true),
        ("ALTER TABLE m ADD CHECK (vol(a) > 0)", true),
        ("ALTER TABLE u ADD PRIMARY KEY (a); ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u ON DELETE CASCADE", true),
        ("ALTER SCHEMA shop RENAME TO market", true),
        ("ALTER TABLE measures DETACH PARTITION measures_1", true),
        ("DROP TABLE m", true),
    ];
    for (sql, noticed) in changes {
        client.batch_execute(sql).await.unwrap();
        let after = rows(&client, POLL).await;
        assert_eq!(before != after, noticed, "{sql}");
        before = after;
    }
}
