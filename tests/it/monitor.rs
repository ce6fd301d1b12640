//! The monitor on a real primary with replicas: roles, positions, failures, failover, the catalog.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pgbraid::backend::login::{Credentials, Identity};
use pgbraid::backend::{Database, monitor};
use pgbraid::base::footprint::{ReadSet, TableKey};
use pgbraid::base::{Lsn, Secret};
use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use pgbraid::cli::failure::Failure;
use pgbraid::config::{Consistency, ProcessEnvironment, parse};
use pgbraid::telemetry::Telemetry;
use pgbraid::topology::Role::{Primary, Replica, Unknown};
use pgbraid::topology::{Need, ReadNeed, Role};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// A monitor at work on a cluster.
struct Watching {
    cluster: Cluster,
    database: Arc<Database>,
    telemetry: Telemetry,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Watching {
    async fn start(replicas: usize, settings: &[(&str, &str)]) -> Result<Self, Failure> {
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let cluster = Cluster::start(ClusterOptions { replicas, settings, ..ClusterOptions::default() }).await?;
        let sql = "CREATE TABLE t (n int); CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher";
        cluster.execute(PRIMARY, "postgres", sql).await?;
        cluster.wait_for_catchup().await?;
        Ok(Self::watch(cluster))
    }

    fn watch(cluster: Cluster) -> Self {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[auth]\nmethod = \"trust\"\n[users.watcher]\npassword = \"w\"\n\
             [databases.postgres]\nservice_user = \"watcher\"\nhealth_interval = \"50ms\"\nshards.s1 = {}\n",
            cluster.urls_toml("postgres")
        );
        let config = parse(&text, "test", &ProcessEnvironment).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let database = Arc::new(Database::new(config.databases["postgres"].clone(), Arc::new([])));
        let identity =
            Arc::new(Identity { user: "watcher".into(), credentials: Credentials::Password(Secret::new("w")) });
        let telemetry = Telemetry::new();
        let (shutdown, ended) = watch::channel(false);
        let task = tokio::spawn(monitor::run(database.clone(), identity, telemetry.clone(), ended));
        Self { cluster, database, telemetry, shutdown, task }
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !condition(self) {
            let states: Vec<_> = self.database.shard.servers.iter().map(|server| server.state()).collect();
            assert!(begin.elapsed() < PATIENCE, "never came: {what}; servers: {states:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_roles(&self, roles: &[Role]) {
        self.until(&format!("{roles:?}"), |this| this.roles() == roles).await;
    }

    fn roles(&self) -> Vec<Role> {
        self.database.shard.servers.iter().map(|server| server.role()).collect()
    }

    fn trouble(&self, at: usize) -> String {
        self.database.shard.servers[at].state().trouble.unwrap_or_default()
    }

    fn fit(&self, need: Need) -> Option<String> {
        let read = ReadNeed { consistency: Consistency::Proxy, need, after: Lsn(0) };
        let at = self.database.shard.fit_replica(&read, u64::MAX - 1, &[])?;
        self.database.shard.servers.get(at).map(|server| server.address.to_string())
    }

    /// A commit on the primary and what the proxy notes of it. Returns what a read of the table needs then.
    async fn write(&self, primary: usize) -> Result<Lsn, Failure> {
        self.cluster.execute(primary, "postgres", "INSERT INTO t VALUES (1)").await?;
        self.database.shard.tokens.raise_tables(&[TableKey(1)]);
        self.until("resolved", |this| matches!(this.need(), Need::Position(_))).await;
        match self.need() {
            Need::Position(lsn) => Ok(lsn),
            Need::Unresolved => Err(Failure::new("a commit came from nowhere")),
        }
    }

    fn need(&self) -> Need {
        self.database.shard.tokens.need(&ReadSet::Tables([TableKey(1)].into()))
    }

    async fn stop(self) -> Result<(), Failure> {
        let _ = self.shutdown.send(true);
        self.task.await.map_err(|error| Failure::new(error.to_string()))
    }
}

#[tokio::test]
async fn roles_are_found_and_positions_followed() -> Result<(), Failure> {
    let this = Watching::start(2, &[]).await?;
    this.until_roles(&[Primary, Replica, Replica]).await;
    assert!(this.telemetry.render().contains("primary"));
    this.until("a fit replica", |this| this.fit(Need::Position(Lsn(1))).is_some()).await;

    // The commit's position lies at or behind the end of its record.
    let needed = this.write(PRIMARY).await?;
    this.until("replicas that have it", |this| this.fit(Need::Position(needed)).is_some()).await;
    this.until("both", |this| this.database.shard.servers[1..].iter().all(|server| server.replayed() >= needed)).await;
    for at in [1, 2] {
        assert_eq!(this.cluster.value(at, "postgres", "SELECT count(*) FROM t").await?, "1");
    }

    // Replay stands still: its position does too, and the other serves.
    this.cluster.pause_replay(1).await?;
    let needed = this.write(PRIMARY).await?;
    this.until("the other replica", |this| this.database.shard.servers[2].replayed() >= needed).await;
    assert!(this.database.shard.servers[1].replayed() < needed);
    assert_eq!(this.fit(Need::Position(needed)), Some(this.cluster.address(2)));
    this.until("lag is seen", |this| this.database.shard.servers[1].lag_micros() > 0).await;
    this.cluster.resume_replay(1).await?;
    this.until("caught up", |this| this.database.shard.servers[1].replayed() >= needed).await;
    this.until("no lag", |this| this.database.shard.servers[1].lag_micros() == 0).await;
    this.stop().await
}

#[tokio::test]
async fn replicas_that_break_are_not_used_until_they_answer_again() -> Result<(), Failure> {
    let mut this = Watching::start(2, &[]).await?;
    this.until_roles(&[Primary, Replica, Replica]).await;
    this.cluster.kill_9(1).await?;
    this.until_roles(&[Primary, Unknown, Replica]).await;
    assert!(!this.trouble(1).is_empty());
    assert_eq!(this.database.shard.servers[1].replayed(), Lsn(0));
    let needed = this.write(PRIMARY).await?;
    this.cluster.restart(1).await?;
    this.until_roles(&[Primary, Replica, Replica]).await;
    this.until("caught up", |this| this.database.shard.servers[1].replayed() >= needed).await;

    // It accepts, and never answers.
    this.cluster.freeze(2)?;
    this.until_roles(&[Primary, Replica, Unknown]).await;
    this.cluster.thaw(2)?;
    this.until_roles(&[Primary, Replica, Replica]).await;

    this.cluster.kill_9(PRIMARY).await?;
    this.until_roles(&[Unknown, Replica, Replica]).await;
    this.database.shard.tokens.raise_tables(&[TableKey(1)]);
    this.cluster.restart(PRIMARY).await?;
    this.until_roles(&[Primary, Replica, Replica]).await;
    this.until("resolved", |this| matches!(this.need(), Need::Position(_))).await;
    this.stop().await
}

#[tokio::test]
async fn a_failover_changes_the_primary_and_leaves_the_former_out() -> Result<(), Failure> {
    let mut this = Watching::start(2, &[]).await?;
    this.until_roles(&[Primary, Replica, Replica]).await;
    let before = this.write(PRIMARY).await?;
    this.cluster.wait_for_catchup().await?;
    // Replica 2 gets something that replica 1, soon the primary, never had.
    this.cluster.stop(1).await?;
    this.write(PRIMARY).await?;
    let lost = this.write(PRIMARY).await?;
    this.until("replica 2 has it", |this| this.database.shard.servers[2].replayed() >= lost).await;
    this.cluster.kill_9(PRIMARY).await?;
    this.cluster.restart(1).await?;
    this.until_roles(&[Unknown, Replica, Replica]).await;
    this.cluster.promote(1).await?;
    this.until_roles(&[Unknown, Primary, Unknown]).await;
    assert!(this.trouble(2).contains("timeline"), "{}", this.trouble(2));
    let after = this.write(1).await?;
    assert!(after > before);
    assert_eq!(this.fit(Need::Position(before)), None, "what replica 2 has isn't the new primary's");

    // Two that say so: the one of the higher timeline.
    this.cluster.restart(PRIMARY).await?;
    this.until("the former is known as such", |this| this.trouble(0).contains("former primary")).await;
    assert_eq!(this.roles(), [Unknown, Primary, Unknown]);
    this.stop().await
}

#[tokio::test]
async fn the_catalog_follows_definitions() -> Result<(), Failure> {
    let this = Watching::start(1, &[]).await?;
    this.until_roles(&[Primary, Replica]).await;
    this.until("catalog", |this| this.database.catalog().is_known()).await;
    let first = this.database.catalog().clone();
    assert!(first.relation("t").is_some());
    assert!(first.relation("u").is_none());

    // Around the proxy: seen before long.
    this.cluster.execute(PRIMARY, "postgres", "CREATE TABLE u (n int)").await?;
    this.until("u", |this| this.database.catalog().relation("u").is_some()).await;

    // Through it: nothing is proven from the acknowledgement until the new catalog is there.
    this.cluster.execute(PRIMARY, "postgres", "CREATE VIEW v AS SELECT 1 AS one").await?;
    let generation = this.database.generation();
    this.database.shard.tokens.raise_all();
    this.database.distrust_catalog();
    assert!(this.database.generation() > generation);
    assert!(!this.database.catalog().is_known() || this.database.catalog().relation("v").is_some());
    this.until("v", |this| this.database.catalog().relation("v").is_some()).await;
    this.until("verified", |this| this.database.shard.tokens.unverified().is_none()).await;

    // Something ran that may have changed definitions: no replica until that was looked into.
    let same = this.database.catalog().clone();
    this.database.shard.tokens.raise_all();
    assert!(this.fit(Need::Position(Lsn(0))).is_none() || this.database.shard.tokens.unverified().is_none());
    this.until("a fit replica", |this| this.fit(Need::Position(Lsn(0))).is_some()).await;
    assert!(Arc::ptr_eq(&same, &this.database.catalog()), "nothing new was read");
    this.stop().await
}

#[tokio::test]
async fn commits_that_are_not_flushed_are_covered_all_the_same() -> Result<(), Failure> {
    // The WAL writer sleeps long: what is committed so isn't flushed by itself.
    let this = Watching::start(1, &[("wal_writer_delay", "10s"), ("wal_writer_flush_after", "1GB")]).await?;
    this.until_roles(&[Primary, Replica]).await;
    this.write(PRIMARY).await?;
    assert!(!this.database.asynchronous.load(Ordering::Acquire));
    this.cluster.execute(PRIMARY, "postgres", "ALTER ROLE postgres SET synchronous_commit = off").await?;
    this.until("seen", |this| this.database.asynchronous.load(Ordering::Acquire)).await;
    for n in 2..20 {
        let needed = this.write(PRIMARY).await?;
        let replayed = || this.database.shard.servers[1].replayed();
        if replayed() >= needed {
            assert_eq!(this.cluster.value(1, "postgres", "SELECT count(*) FROM t").await?, n.to_string());
        }
    }
    this.cluster.execute(PRIMARY, "postgres", "SET synchronous_commit = on; CREATE TABLE flushed ()").await?;
    let needed = this.write(PRIMARY).await?;
    this.cluster.execute(PRIMARY, "postgres", "SET synchronous_commit = on; DROP TABLE flushed").await?;
    this.until("caught up", |this| this.database.shard.servers[1].replayed() >= needed).await;
    this.stop().await
}

#[tokio::test]
async fn a_service_user_without_privileges_is_enough() -> Result<(), Failure> {
    let cluster = Cluster::start(ClusterOptions { replicas: 1, ..ClusterOptions::default() }).await?;
    cluster.execute(PRIMARY, "postgres", "CREATE TABLE t (n int); CREATE ROLE watcher LOGIN PASSWORD 'w'").await?;
    cluster.wait_for_catchup().await?;
    let this = Watching::watch(cluster);
    this.until_roles(&[Primary, Replica]).await;
    this.until("catalog", |this| this.database.catalog().is_known()).await;
    let needed = this.write(PRIMARY).await?;
    this.until("caught up", |this| this.database.shard.servers[1].replayed() >= needed).await;
    this.stop().await
}
