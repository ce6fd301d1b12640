//! The two systems that are compared: one plain database with all rows, and three shards behind the proxy.
//!
//! All four are databases of one server, which is quick to start. User-defined types get other OIDs in each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use pgbraid::topology::rendezvous;

use crate::support::proxy::Inside;
use crate::support::raw::Target;

const SCHEMA: &str = include_str!("../../corpus/oracle/schema.sql");
const ROWS: &str = include_str!("../../corpus/oracle/rows.sql");

/// The placement, as the configuration has it.
const PLACES: &str = "\
customers = { key = \"id\" }
orders    = { key = \"customer_id\", with = \"customers\" }
items     = { key = \"customer_id\", with = \"customers\" }
events    = { key = \"id\" }
readings  = { key = \"device\" }
things    = { key = \"id\" }
countries = { reference = true }
products  = { reference = true }
";

/// Each sharded table, and PostgreSQL's own hash of its key.
pub const SHARDED: &[(&str, &str)] = &[
    ("customers", "hashint8extended(id, 0)"),
    ("orders", "hashint8extended(customer_id, 0)"),
    ("items", "hashint4extended(customer_id, 0)"),
    ("events", "uuid_hash_extended(id, 0)"),
    ("readings", "hashtextextended(device, 0)"),
    ("things", "hashint8extended(id, 0)"),
];

/// The other tables.
pub const WHOLE: &[&str] = &["countries", "products", "settings"];

const SHARDS: &[&str] = &["s1", "s2", "s3"];

/// The database of one system without a proxy, and the sharded one's name at the proxy.
const PLAIN: &str = "plain";

const BUCKETS: usize = 4096;

/// Both systems, running.
pub struct System {
    runtime: tokio::runtime::Runtime,
    cluster: Cluster,
    more: More,
    proxy: Inside,
    plain_types: HashMap<u32, String>,
    proxy_types: HashMap<u32, String>,
    turn: Mutex<()>,
}

/// The systems that the tests of this process share. They stop when the process ends.
pub fn system() -> &'static System {
    static SHARED: OnceLock<System> = OnceLock::new();
    SHARED.get_or_init(|| own(More::default()))
}

/// What a test has besides the oracle's tables.
#[derive(Clone, Copy, Default)]
pub struct More {
    /// Tables, in every database.
    pub schema: &'static str,
    /// Their entries in the configuration.
    pub places: &'static str,
    /// Of `[databases.…]`.
    pub settings: &'static str,
    /// Those of the tables that are sharded, as [`SHARDED`]: each shard keeps its own rows.
    pub sharded: &'static [(&'static str, &'static str)],
}

/// Systems of a test's own.
pub fn own(more: More) -> System {
    std::thread::spawn(move || start(more)).join().expect("the systems start")
}

fn start(more: More) -> System {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (cluster, proxy) = runtime.block_on(async {
        let settings = [("timezone", "UTC"), ("max_prepared_transactions", "100")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).await.unwrap();
        let roles = "CREATE ROLE app LOGIN PASSWORD 'app'; CREATE ROLE keeper LOGIN PASSWORD 'k';
            GRANT pg_read_all_data, pg_monitor TO keeper";
        cluster.execute(PRIMARY, "postgres", roles).await.unwrap();
        fill(&cluster, PLAIN, None, more).await;
        let weights: Vec<(String, f64)> = SHARDS.iter().map(|name| ((*name).to_owned(), 1.0)).collect();
        let map = rendezvous::fill(BUCKETS, &weights);
        for (at, shard) in SHARDS.iter().enumerate() {
            let mine: Vec<String> = (0..BUCKETS)
                .filter(|bucket| usize::from(map[*bucket]) == at)
                .map(|bucket| bucket.to_string())
                .collect();
            fill(&cluster, shard, Some((at, mine.join(","))), more).await;
        }
        let proxy = Inside::start(&configuration(&cluster, more)).await;
        let view = proxy.running.as_ref().unwrap().shared().sharded(PLAIN).unwrap().settled().await.unwrap();
        let found: Vec<String> = view.differences.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{found:#?}");
        (cluster, proxy)
    });
    let mut system = System {
        runtime,
        cluster,
        more,
        proxy,
        plain_types: HashMap::new(),
        proxy_types: HashMap::new(),
        turn: Mutex::default(),
    };
    system.plain_types = system.runtime.block_on(types(&system.plain()));
    system.proxy_types = system.runtime.block_on(types(&system.sharded()));
    system
}

/// Makes one database; a shard keeps only its own rows, and only the first has the unsharded table's.
async fn fill(cluster: &Cluster, name: &str, shard: Option<(usize, String)>, more: More) {
    let create = format!("CREATE DATABASE {name} OWNER app");
    cluster.execute(PRIMARY, "postgres", &create).await.unwrap();
    let grant = format!("GRANT CREATE ON DATABASE {name} TO keeper");
    cluster.execute(PRIMARY, "postgres", &grant).await.unwrap();
    let english = "CREATE COLLATION english (provider = libc, locale = 'en_US.UTF-8')";
    if cluster.execute(PRIMARY, name, english).await.is_err() {
        eprintln!("the locale en_US.UTF-8 isn't installed: ICU's English stands in for it");
        let instead = "CREATE COLLATION english (provider = icu, locale = 'en-US')";
        cluster.execute(PRIMARY, name, instead).await.unwrap();
    }
    let folded = "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    cluster.execute(PRIMARY, name, folded).await.unwrap();
    cluster.execute(PRIMARY, name, &format!("SET ROLE app;\n{SCHEMA}")).await.unwrap();
    cluster.execute(PRIMARY, name, &format!("SET ROLE app;\n{ROWS}")).await.unwrap();
    cluster.execute(PRIMARY, name, &format!("SET ROLE app;\n{}", more.schema)).await.unwrap();
    let Some((at, mine)) = shard else { return };
    for (table, hash) in SHARDED.iter().chain(more.sharded) {
        let count = format!("SELECT count(*) FROM {table}");
        let foreign = format!("DELETE FROM {table} WHERE NOT ({hash} & {}) = ANY ('{{{mine}}}')", BUCKETS - 1);
        cluster.execute(PRIMARY, name, &foreign).await.unwrap();
        assert_ne!(cluster.value(PRIMARY, name, &count).await.unwrap(), "0", "{name} has no rows of {table}");
    }
    if at > 0 {
        cluster.execute(PRIMARY, name, "DELETE FROM settings").await.unwrap();
    }
}

fn configuration(cluster: &Cluster, more: More) -> String {
    let shards: Vec<String> =
        SHARDS.iter().map(|name| format!("shards.{name} = {:?}\n", cluster.url(PRIMARY, name))).collect();
    format!(
        "[users.app]\npassword = \"app\"\n[users.keeper]\npassword = \"k\"\n[databases.{PLAIN}]\n\
         service_user = \"keeper\"\nhome = \"s1\"\n{}\n{}[databases.{PLAIN}.tables]\n{PLACES}{}",
        more.settings,
        shards.concat(),
        more.places
    )
}

/// User-defined types by OID, as a client would look them up.
async fn types(target: &Target) -> HashMap<u32, String> {
    let client = target.connect().await.unwrap();
    let sql = "SELECT oid::int8, typname::text FROM pg_type WHERE oid >= 16384";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (u32::try_from(row.get::<_, i64>(0)).unwrap(), row.get(1))).collect()
}

impl System {
    /// Tests that change rows take turns: between their two writes the databases differ.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs work beside the proxy.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The plain database.
    pub fn plain(&self) -> Target {
        Target::new(self.cluster.address(PRIMARY), "app", "app", PLAIN)
    }

    /// The sharded database, through the proxy.
    pub fn sharded(&self) -> Target {
        self.proxy.target("app", "app", PLAIN)
    }

    /// A configuration for another proxy in front of the same servers, with these lines more for the database.
    pub fn configuration(&self, settings: &str) -> String {
        let added = format!("home = \"s1\"\n{settings}\n");
        configuration(&self.cluster, self.more).replacen("home = \"s1\"\n", &added, 1)
    }

    /// Statements of the proxy's that had temporary tables.
    pub fn spooled(&self) -> u64 {
        self.memory().spooled.value()
    }

    /// Statements of the proxy's for which rows went along to others' shards.
    pub fn broadcasts(&self) -> u64 {
        self.memory().broadcasts.value()
    }

    /// Says something to each shard's server.
    pub async fn on_shards(&self, sql: &str) {
        for shard in SHARDS {
            self.cluster.execute(PRIMARY, shard, sql).await.unwrap();
        }
    }

    /// Bytes of rows that statements hold in the proxy, and in temporary tables.
    pub fn gathered(&self) -> (i64, i64) {
        (self.memory().memory.value(), self.memory().tables.value())
    }

    fn memory(&self) -> std::sync::Arc<pgbraid::telemetry::GatherMetrics> {
        let shared = self.proxy.running.as_ref().unwrap().shared();
        shared.sharded(PLAIN).unwrap().memory.figures().clone()
    }

    /// A type's name, or its number if it is built in.
    pub fn type_name(&self, plain: bool, oid: u32) -> String {
        let types = if plain { &self.plain_types } else { &self.proxy_types };
        types.get(&oid).cloned().unwrap_or_else(|| oid.to_string())
    }

    /// Whether the rows of all tables are the plain database's, by a sum of their hashes.
    pub async fn same_sums(&self) -> bool {
        let tables = SHARDED.iter().map(|(table, _)| *table).chain(WHOLE.iter().copied());
        let sums: Vec<String> = tables
            .map(|table| {
                format!("(SELECT coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {table} t)")
            })
            .collect();
        let sql = format!("SELECT {}", sums.join(", "));
        let all = async |database: &str| -> Vec<i128> {
            let rows = self.cluster.query(PRIMARY, database, &sql).await.unwrap();
            rows[0].iter().map(|sum| sum.as_ref().unwrap().parse().unwrap()).collect()
        };
        let plain = all(PLAIN).await;
        let mut total = vec![0; plain.len()];
        for (at, shard) in SHARDS.iter().enumerate() {
            for (table, sum) in all(shard).await.into_iter().enumerate() {
                let copy = table >= SHARDED.len() && WHOLE[table - SHARDED.len()] != "settings";
                match (copy, at) {
                    (true, 0) => total[table] = sum,
                    (true, _) if total[table] != sum => return false,
                    (true, _) => {}
                    (false, _) => total[table] += sum,
                }
            }
        }
        total == plain
    }

    /// What remains after all statements: the rows of each table lie on one shard, where they belong, and are the
    /// plain database's.
    pub async fn same_rows(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let rows = async |database: &str, table: &str| {
            let sql = format!("SELECT t::text FROM {table} t");
            let rows = self.cluster.query(PRIMARY, database, &sql).await.unwrap();
            rows.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect::<Vec<_>>()
        };
        for table in SHARDED.iter().map(|(table, _)| *table).chain(WHOLE.iter().copied()) {
            let mut plain = rows(PLAIN, table).await;
            plain.sort();
            let mut union = Vec::new();
            for shard in SHARDS {
                let mut part = rows(shard, table).await;
                if WHOLE.contains(&table) && table != "settings" {
                    part.sort();
                    if part != plain {
                        faults.push(format!("{table} on {shard} isn't the plain database's"));
                    }
                    union = part;
                } else {
                    union.append(&mut part);
                }
            }
            union.sort();
            if union != plain {
                faults.push(format!("{table}: {} rows on shards, {} in the plain database", union.len(), plain.len()));
            }
        }
        faults
    }
}
