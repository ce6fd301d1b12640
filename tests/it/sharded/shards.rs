//! Two shards with accounts on each, and proxies in front of them.

use std::time::{Duration, Instant};

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};

use crate::support::proxy::Inside;
use crate::support::raw::{PATIENCE, Raw, Target};

const SCHEMA: &str = "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL, owner text, \
    CONSTRAINT solvent CHECK (balance >= 0));
    CREATE TABLE entries (id bigint, account bigint NOT NULL REFERENCES accounts DEFERRABLE INITIALLY DEFERRED, \
    amount bigint, PRIMARY KEY (account, id));
    CREATE TABLE kinds (code text PRIMARY KEY, name text, n int);
    CREATE TABLE log (line text)";

const TABLES: &str = "accounts = { key = \"id\" }\nentries = { key = \"account\", with = \"accounts\" }\n\
    kinds = { reference = true }\n";

/// How many accounts there are; their ids begin with 1.
pub const ACCOUNTS: i64 = 40;

/// What each has at first.
pub const BALANCE: i64 = 1_000;

/// A server with room for prepared transactions, and the roles.
pub async fn server(prepared: usize) -> Cluster {
    let settings = vec![("max_prepared_transactions".to_owned(), prepared.to_string())];
    let cluster = Cluster::start(ClusterOptions { settings, ..ClusterOptions::default() }).await.unwrap();
    let roles = "CREATE ROLE app LOGIN PASSWORD 'app'; CREATE ROLE other LOGIN PASSWORD 'other';
        CREATE ROLE keeper LOGIN PASSWORD 'k'; GRANT pg_read_all_data, pg_monitor, app TO keeper; GRANT other TO app";
    cluster.execute(PRIMARY, "postgres", roles).await.unwrap();
    cluster
}

/// A shard: its database on a server.
pub async fn make(cluster: &Cluster, database: &str) {
    cluster.execute(PRIMARY, "postgres", &format!("CREATE DATABASE {database} OWNER app")).await.unwrap();
    let grant = format!("GRANT CREATE ON DATABASE {database} TO keeper");
    cluster.execute(PRIMARY, "postgres", &grant).await.unwrap();
    cluster.execute(PRIMARY, database, &format!("SET ROLE app; {SCHEMA}")).await.unwrap();
}

/// The configuration; each shard's server and database.
pub fn configuration(shards: &[(&Cluster, &str)], rest: &str) -> String {
    let mut text = "[users.app]\npassword = \"app\"\n[users.keeper]\npassword = \"k\"\n[databases.bank]\n\
        service_user = \"keeper\"\nhome = \"s1\"\n"
        .to_owned();
    for (at, (cluster, database)) in shards.iter().enumerate() {
        text += &format!("shards.s{} = {:?}\n", at + 1, cluster.url(PRIMARY, database));
    }
    text + rest + "[databases.bank.tables]\n" + TABLES
}

/// Two databases of one server as shards, and a proxy.
pub struct Bank {
    cluster: &'static Cluster,
    name: &'static str,
    pub proxy: Inside,
}

impl Bank {
    pub async fn start(cluster: &'static Cluster, name: &'static str, rest: &str) -> Self {
        for shard in ["s1", "s2"] {
            make(cluster, &format!("{name}_{shard}")).await;
        }
        let (one, two) = (format!("{name}_s1"), format!("{name}_s2"));
        let proxy = Inside::start(&configuration(&[(cluster, &one), (cluster, &two)], rest)).await;
        let bank = Self { cluster, name, proxy };
        fill(&bank.target()).await;
        bank
    }

    pub fn target(&self) -> Target {
        self.proxy.target("app", "app", "bank")
    }

    pub async fn client(&self) -> Raw {
        Raw::login(&self.target()).await
    }

    /// One value from a shard itself.
    pub async fn on(&self, shard: &str, sql: &str) -> String {
        self.cluster.value(PRIMARY, &format!("{}_{shard}", self.name), sql).await.unwrap()
    }

    /// Carries out on a shard itself, as the superuser.
    pub async fn run(&self, shard: &str, sql: &str) {
        self.cluster.execute(PRIMARY, &format!("{}_{shard}", self.name), sql).await.unwrap();
    }

    /// The ids of accounts on a shard, in order.
    pub async fn ids(&self, shard: &str) -> Vec<i64> {
        let list = self.on(shard, "SELECT string_agg(id::text, ',' ORDER BY id) FROM accounts").await;
        list.split(',').map(|id| id.parse().unwrap()).collect()
    }

    /// An account's balance, from the shards themselves.
    pub async fn balance(&self, id: i64) -> i64 {
        let sql = format!("SELECT coalesce(sum(balance), 0) FROM accounts WHERE id = {id}");
        let (one, two) = (self.on("s1", &sql).await, self.on("s2", &sql).await);
        one.parse::<i64>().unwrap() + two.parse::<i64>().unwrap()
    }

    /// Waits until a shard says what is expected.
    pub async fn until(&self, shard: &str, sql: &str, expected: &str) {
        let begin = Instant::now();
        loop {
            let said = self.on(shard, sql).await;
            if said == expected {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{sql} says {said}, not {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing is left prepared, and no decision row.
    pub async fn clean(&self) {
        for shard in ["s1", "s2"] {
            self.until(shard, PREPARED, "0").await;
            self.until(shard, "SELECT count(*) FROM pgbraid.commits", "0").await;
        }
    }
}

/// How many transactions are prepared in a database.
pub const PREPARED: &str = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";

/// The accounts, put through the proxy one by one.
pub async fn fill(target: &Target) {
    let mut raw = Raw::login(target).await;
    let begin = Instant::now();
    for id in 1..=ACCOUNTS {
        let insert = format!("INSERT INTO accounts VALUES ({id}, {BALANCE}, 'owner {}')", id % 7);
        let mut tag = said(&mut raw, &insert).await;
        // Until it has found its servers and made its map.
        while tag.starts_with("57P03") && begin.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tag = said(&mut raw, &insert).await;
        }
        assert_eq!(tag, "INSERT 0 1");
    }
}

/// What a string of statements came to: its last command tag, or the SQLSTATE of its error with the message.
pub async fn said(raw: &mut Raw, sql: &str) -> String {
    let frames = raw.query(sql).await.unwrap();
    match frames.iter().find(|frame| frame.kind == b'E') {
        Some(error) => {
            let fields = error.fields();
            let field = |letter| fields.get(&letter).cloned().unwrap_or_default();
            format!("{}: {} ({}) ({})", field('C'), field('M'), field('D'), field('H'))
        }
        None => frames.iter().rev().find_map(|frame| frame.tag()).unwrap_or_default(),
    }
}
