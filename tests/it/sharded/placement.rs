//! The stored map and the shards' schemas: what the first start makes, what later starts refuse, what differs.
//!
//! Two databases of one server stand for two shards.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pgbraid::backend::{ShardedDatabase, View};
use pgbraid::base::PgError;
use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use pgbraid::topology::placement::TablePlace;

use crate::support::proxy::Inside;
use crate::support::raw::PATIENCE;

const TABLES: &str = "CREATE TABLE customers (id bigint PRIMARY KEY, name text);
    CREATE TABLE orders (id bigint, customer_id int NOT NULL, PRIMARY KEY (customer_id, id));
    CREATE TABLE countries (code text PRIMARY KEY, name text)";

const PLACES: &str = "[databases.shop.tables]\ncustomers = { key = \"id\" }\n\
    orders = { key = \"customer_id\", with = \"customers\" }\ncountries = { reference = true }\n";

fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
                let role = "CREATE ROLE keeper LOGIN PASSWORD 'k'; GRANT pg_read_all_data, pg_monitor TO keeper";
                cluster.execute(PRIMARY, "postgres", role).await.unwrap();
                cluster
            })
        });
        thread.join().expect("the cluster starts")
    })
}

/// Two databases that stand for two shards.
struct Pair(&'static str);

impl Pair {
    async fn new(name: &'static str, sql: &str) -> Self {
        let pair = Self(name);
        for shard in ["s1", "s2"] {
            let create = format!("CREATE DATABASE {name}_{shard}");
            cluster().execute(PRIMARY, "postgres", &create).await.unwrap();
            let grant = format!("GRANT CREATE ON DATABASE {name}_{shard} TO keeper");
            cluster().execute(PRIMARY, "postgres", &grant).await.unwrap();
            pair.run(shard, sql).await;
        }
        pair
    }

    fn database(&self, shard: &str) -> String {
        format!("{}_{shard}", self.0)
    }

    async fn run(&self, shard: &str, sql: &str) {
        cluster().execute(PRIMARY, &self.database(shard), sql).await.unwrap();
    }

    async fn value(&self, shard: &str, sql: &str) -> String {
        cluster().value(PRIMARY, &self.database(shard), sql).await.unwrap()
    }

    fn configuration(&self, home: &str, rest: &str) -> String {
        let url = |shard: &str| cluster().url(PRIMARY, &self.database(shard));
        format!(
            "[auth]\nmethod = \"trust\"\n[users.keeper]\npassword = \"k\"\n[databases.shop]\n\
             service_user = \"keeper\"\nhome = \"{home}\"\nshards.s1 = {:?}\nshards.s2 = {:?}\n{rest}",
            url("s1"),
            url("s2")
        )
    }

    async fn start(&self, rest: &str) -> Proxy {
        Proxy(Inside::start(&self.configuration("s1", rest)).await)
    }
}

struct Proxy(Inside);

impl Proxy {
    fn shop(&self) -> Arc<ShardedDatabase> {
        self.0.running.as_ref().unwrap().shared().sharded("shop").unwrap()
    }

    async fn view(&self) -> Result<Arc<View>, PgError> {
        self.shop().settled().await
    }

    async fn until(&self, what: &str, holds: impl Fn(&Result<Arc<View>, PgError>) -> bool) {
        let begin = Instant::now();
        loop {
            let view = self.view().await;
            if holds(&view) {
                return;
            }
            let found = view.map(|view| view.differences.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert!(begin.elapsed() < PATIENCE, "{what}: {found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn refusal(view: Result<Arc<View>, PgError>) -> String {
    match view {
        Ok(_) => panic!("it isn't refused"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proxies_at_once_make_one_map_and_a_restart_keeps_it() {
    let pair = Pair::new("both", TABLES).await;
    let (one, two) = tokio::join!(pair.start(PLACES), pair.start(PLACES));
    let (first, second) = tokio::join!(one.view(), two.view());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.placement, second.placement);
    assert_eq!(first.placement.buckets.len(), 4096);
    for shard in 0..2 {
        let share = first.placement.buckets.iter().filter(|of| **of == shard).count();
        assert!((1_500..2_600).contains(&share), "{share} buckets on shard {shard}");
    }
    let orders = first.placement.table("public", "orders").unwrap();
    assert!(
        matches!(orders, TablePlace::Hash { key, group, .. } if key == "customer_id" && group == "public.customers")
    );
    assert_eq!(pair.value("s1", "SELECT count(*) FROM pgbraid.map").await, "1");
    assert_eq!(pair.value("s1", "SELECT count(*) FROM pgbraid.buckets").await, "4096");
    assert_eq!(pair.value("s2", "SELECT name FROM pgbraid.shard").await, "s2");
    for (bucket, shard) in first.placement.buckets.iter().enumerate().step_by(97) {
        let sql = format!("SELECT shard FROM pgbraid.buckets WHERE bucket = {bucket}");
        assert_eq!(pair.value("s1", &sql).await, first.placement.shards[usize::from(*shard)], "bucket {bucket}");
    }
    let id = pair.value("s1", "SELECT id FROM pgbraid.map").await;
    drop((one, two));

    // Rows come that rendezvous wouldn't explain; other weights are wished for: the stored map stays.
    pair.run("s2", "INSERT INTO customers SELECT g, 'x' FROM generate_series(1, 100) g").await;
    let again = pair.start(&format!("shard_weights.s2 = 9\n{PLACES}")).await;
    assert_eq!(again.view().await.unwrap().placement, first.placement);
    assert_eq!(pair.value("s1", "SELECT id FROM pgbraid.map").await, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_shard_that_holds_rows_gets_all_keys() {
    let pair = Pair::new("full", TABLES).await;
    pair.run("s1", "INSERT INTO orders VALUES (1, 1), (1, 2)").await;
    let proxy = pair.start(PLACES).await;
    let view = proxy.view().await.unwrap();
    assert!(view.placement.buckets.iter().all(|shard| *shard == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_on_several_shards_without_a_map_are_refused() {
    let pair = Pair::new("strewn", TABLES).await;
    for shard in ["s1", "s2"] {
        pair.run(shard, "INSERT INTO customers SELECT g, 'x' FROM generate_series(1, 100) g").await;
    }
    let proxy = pair.start(PLACES).await;
    let said = refusal(proxy.view().await);
    assert!(said.contains("several shards hold rows") && said.contains("s2: public.customers"), "{said}");
    assert_eq!(pair.value("s1", "SELECT to_regclass('pgbraid.map') IS NULL").await, "t");
    // It is put right while the proxy runs.
    pair.run("s2", "DELETE FROM customers").await;
    proxy.until("the map is made", Result::is_ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_is_refused_by_name() {
    let pair = Pair::new("changed", TABLES).await;
    drop(pair.start(PLACES).await.view().await.unwrap());
    for (home, rest, part) in [
        ("s1", PLACES.replace("\"id\"", "\"name\""), "places the table public.customers by `key name`".to_owned()),
        ("s1", PLACES.replace("countries", "lands"), "the table public.countries has no entry".to_owned()),
        ("s1", format!("buckets = 64\n{PLACES}"), "says buckets = 64, and the stored map has 4096".to_owned()),
        ("s2", PLACES.to_owned(), "stored on the shard s1, and the configuration says home = \"s2\"".to_owned()),
    ] {
        let proxy = Proxy(Inside::start(&pair.configuration(home, &rest)).await);
        let said = refusal(proxy.view().await);
        assert!(said.contains(&part), "{said}");
    }
    let swapped = pair.configuration("s1", PLACES);
    let (one, two) = (format!("{}\"", pair.database("s1")), format!("{}\"", pair.database("s2")));
    let swapped = swapped.replace(&one, "?").replace(&two, &one).replace('?', &two);
    let proxy = Proxy(Inside::start(&swapped).await);
    assert!(refusal(proxy.view().await).contains("home"));
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_of_schemas_are_reported_and_end_when_they_are_mended() {
    let pair = Pair::new("differ", TABLES).await;
    pair.run(
        "s1",
        "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    )
    .await;
    pair.run("s2", "CREATE TYPE mood AS ENUM ('bad', 'good'); ALTER TABLE customers ALTER COLUMN name TYPE varchar(9)")
        .await;
    pair.run("s2", "DROP TABLE orders; ALTER TABLE countries ALTER COLUMN name SET NOT NULL").await;
    let proxy = pair.start(PLACES).await;
    let view = proxy.view().await.unwrap();
    let found: Vec<String> = view.differences.iter().map(ToString::to_string).collect();
    for part in [
        "shard s2: public.orders isn't there",
        "shard s2: public.customers.name is character varying(9), on s1 it is text",
        "shard s2: public.countries.name is NOT NULL, on s1 nullable",
        "shard s2: the function public.f() isn't there",
        "shard s2: the type public.mood has the labels bad, good; on s1 good, bad",
    ] {
        assert!(found.iter().any(|text| text == part), "{part}\n{found:#?}");
    }
    assert!(view.trouble("public", "orders").is_some());
    let generation = view.generation;
    pair.run(
        "s2",
        "CREATE TABLE orders (id bigint, customer_id int NOT NULL, PRIMARY KEY (customer_id, id));
         ALTER TABLE countries ALTER COLUMN name DROP NOT NULL; ALTER TABLE customers ALTER COLUMN name TYPE text;
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP TYPE mood;
         CREATE TYPE mood AS ENUM ('good', 'bad')",
    )
    .await;
    proxy.until("nothing differs", |view| view.as_ref().is_ok_and(|view| view.differences.is_empty())).await;
    let view = proxy.view().await.unwrap();
    assert!(view.generation > generation);
    let mood = view.schema.types.values().find(|known| known.name == "mood").unwrap().oid;
    assert!(view.types[0].is_empty() && view.types[1].values().any(|canonical| *canonical == mood));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_declared_later_is_verified() {
    let pair = Pair::new("later", TABLES).await;
    drop(pair.start(PLACES).await.view().await.unwrap());
    for shard in ["s1", "s2"] {
        pair.run(shard, "CREATE TABLE notes (customer_id bigint, text text)").await;
        pair.run(shard, "CREATE TABLE tags (tag text)").await;
    }
    pair.run("s2", "INSERT INTO notes SELECT g, '' FROM generate_series(1, 50) g; INSERT INTO tags VALUES ('a')").await;
    let more = "notes = { key = \"customer_id\", with = \"customers\" }\ntags = { reference = true }\n";
    let proxy = pair.start(&format!("{PLACES}{more}")).await;
    let view = proxy.view().await.unwrap();
    let found: Vec<String> = view.differences.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|text| text.contains("public.notes can't be placed: it has rows")), "{found:#?}");
    assert!(
        found.iter().any(|text| text.contains("public.tags can't be placed: the shards have unequal")),
        "{found:#?}"
    );
    assert_eq!(view.placement.table("public", "notes"), None);
    pair.run("s2", "DELETE FROM notes; DELETE FROM tags").await;
    proxy.until("it is placed", |view| view.as_ref().is_ok_and(|view| view.differences.is_empty())).await;
    assert!(proxy.view().await.unwrap().placement.table("public", "notes").is_some());
}

/// The number that a shard's `pgbraid.unique_id()` gives.
const NUMBER: &str = "SELECT (pgbraid.unique_id() >> 14) & 255";

/// A shard that was made from another's dump, without its rows, has that one's number until the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_made_from_anothers_dump_gets_its_own_number() {
    let pair = Pair::new("dumped", TABLES).await;
    drop(pair.start(PLACES).await.view().await.unwrap());
    assert_eq!((pair.value("s1", NUMBER).await, pair.value("s2", NUMBER).await), ("0".into(), "1".into()));
    let definition = pair.value("s1", "SELECT pg_get_functiondef('pgbraid.unique_id()'::regprocedure)").await;
    pair.run("s2", &format!("{definition}; DELETE FROM pgbraid.shard")).await;
    assert_eq!(pair.value("s2", NUMBER).await, "0");
    drop(pair.start(PLACES).await.view().await.unwrap());
    assert_eq!((pair.value("s1", NUMBER).await, pair.value("s2", NUMBER).await), ("0".into(), "1".into()));

    // A function that can't be replaced would give numbers twice.
    pair.run("s2", &format!("{definition}; ALTER FUNCTION pgbraid.unique_id() OWNER TO postgres")).await;
    let proxy = pair.start(PLACES).await;
    let said = refusal(proxy.view().await);
    assert!(said.contains("the shard s2 gives another shard's numbers"), "{said}");
    pair.run("s2", "ALTER FUNCTION pgbraid.unique_id() OWNER TO keeper").await;
    proxy.until("it is replaced", Result::is_ok).await;
    assert_eq!(pair.value("s2", NUMBER).await, "1");
}

/// Who doesn't own what is stored: after an upgrade what is new lacks, and all else works.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_user_that_owns_nothing_works_without_what_is_new() {
    let pair = Pair::new("owned", TABLES).await;
    drop(pair.start(PLACES).await.view().await.unwrap());
    for shard in ["s1", "s2"] {
        pair.run(shard, "REASSIGN OWNED BY keeper TO postgres; DROP FUNCTION pgbraid.unique_id()").await;
    }
    for lacking in ["SELECT", "DROP TABLE pgbraid.numbers"] {
        pair.run("s1", lacking).await;
        let view = pair.start(PLACES).await.view().await.unwrap();
        assert_eq!(view.placement.shards.len(), 2);
        assert_eq!(pair.value("s1", "SELECT to_regprocedure('pgbraid.unique_id()') IS NULL").await, "t");
    }
}

/// What `pgbraid check` prints, and whether it is content.
fn check(configuration: &str) -> (bool, String) {
    check_with(configuration, &[])
}

fn check_with(configuration: &str, more: &[&str]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pgbraid.toml");
    std::fs::write(&file, configuration).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pgbraid"));
    let output = command.arg("check").args(more).arg("--config").arg(&file).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_of_the_map_and_of_differences() {
    let pair = Pair::new("checked", TABLES).await;
    let configuration = pair.configuration("s1", PLACES);
    let (sound, text) = check(&configuration);
    assert!(sound && text.contains("note  shop, shard s1: no map of keys is stored yet"), "{text}");
    drop(pair.start(PLACES).await.view().await.unwrap());
    let (sound, text) = check(&configuration);
    assert!(sound && text.contains("ok    shop, shard s1: the configuration agrees with the stored map"), "{text}");
    pair.run("s2", "ALTER TABLE customers DROP COLUMN name").await;
    let (sound, text) = check(&configuration);
    let part = "FAIL  shop, shard s2: public.customers has the columns id; on s1 id, name";
    assert!(!sound && text.contains(part), "{text}");
    let (sound, text) = check(&pair.configuration("s1", &PLACES.replace("\"id\"", "\"name\"")));
    assert!(!sound && text.contains("places the table public.customers by `key name`"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_looks_at_rows_where_it_is_asked_to() {
    let pair = Pair::new("rows", TABLES).await;
    let configuration = pair.configuration("s1", PLACES);
    drop(pair.start(PLACES).await.view().await.unwrap());
    for shard in ["s1", "s2"] {
        pair.run(shard, "INSERT INTO countries VALUES ('fr', 'France'), ('it', 'Italia')").await;
    }
    let (sound, text) = check_with(&configuration, &["--data"]);
    assert!(sound && text.contains("ok    shop: all copies of public.countries are equal"), "{text}");
    assert!(text.contains("ok    shop: all rows of public.orders lie where the map says"), "{text}");
    pair.run("s2", "UPDATE countries SET name = 'Italy' WHERE code = 'it'").await;
    pair.run("s1", "INSERT INTO orders SELECT g, g FROM generate_series(1, 50) g").await;
    assert!(check(&configuration).0, "no row is looked at unless asked");
    let (sound, text) = check_with(&configuration, &["--data"]);
    let unequal = "FAIL  shop: the copies of the reference table public.countries on the shards s1 and s2 aren't equal";
    assert!(!sound && text.contains(unequal), "{text}");
    assert!(text.contains("FAIL  shop: rows of public.orders that belong elsewhere are on s1"), "{text}");
}
