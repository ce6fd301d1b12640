//! Real PostgreSQL servers on loopback, a primary with streaming replicas: for the demo and for the tests.

mod account;
mod binaries;
mod node;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::rand::SecureRandom;
use tokio_postgres::SimpleQueryMessage;

use super::failure::Failure;
use crate::base::Lsn;
use account::Account;
pub use binaries::Binaries;
use node::Node;
pub use node::free_port;

/// The primary's number; replicas are 1, 2, ….
pub const PRIMARY: usize = 0;

/// How long a replica may take to catch up or to pause.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// How many streaming replicas.
    pub replicas: usize,
    /// Where the servers' files are kept. None: in a temporary directory that is removed at the end. An existing
    /// directory of an earlier cluster is used as it is (with the replicas that it has, and new ones if more are asked).
    pub dir: Option<PathBuf>,
    /// Lines for `postgresql.conf`, on all servers; they win over ours.
    pub settings: Vec<(String, String)>,
    /// Files to write into PGDATA before the first start: name and text (certificates, keys).
    pub files: Vec<(String, String)>,
    /// `pg_hba.conf`; scram-sha-256 from loopback and Unix sockets unless said.
    pub hba: Option<String>,
    /// Write to disk as if the machine could lose power. Tests and the demo don't need it.
    pub fsync: bool,
}

/// A primary and its replicas. Dropped, all servers stop at once.
#[derive(Debug)]
pub struct Cluster {
    // Before `root`: the servers end before their files go.
    nodes: Vec<Node>,
    password: String,
    root: Root,
}

/// Where all files are.
#[derive(Debug)]
enum Root {
    Temporary(tempfile::TempDir),
    Given(PathBuf),
}

impl Root {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Given(dir) => dir,
        }
    }
}

impl Cluster {
    /// Makes and starts the servers; returns when the replicas stream.
    ///
    /// # Errors
    /// PostgreSQL is missing, or one of its programs fails: with its own words.
    pub async fn start(options: ClusterOptions) -> Result<Self, Failure> {
        let binaries = Binaries::find()?;
        let root = match &options.dir {
            Some(dir) => Root::Given(given_dir(dir)?),
            None => Root::Temporary(
                tempfile::Builder::new()
                    .prefix("pgbraid-")
                    .tempdir()
                    .map_err(|e| Failure::of("no temporary directory", e))?,
            ),
        };
        let account = Account::choose()?;
        account.own(root.path())?;
        let scratch = matches!(root, Root::Temporary(_));
        let password = superuser_password(root.path())?;
        let mut cluster = Self { nodes: Vec::new(), password, root };
        let mut primary = Node::new(cluster.root.path(), "primary", &binaries, account, scratch);
        if !primary.exists() {
            cluster.init_primary(&primary, &options).await?;
        }
        primary.start().await?;
        cluster.nodes.push(primary);
        for i in 1..=options.replicas {
            let name = format!("replica{i}");
            let mut replica = Node::new(cluster.root.path(), &name, &binaries, account, scratch);
            cluster.join_replica(&replica).await?;
            replica.start().await?;
            cluster.nodes.push(replica);
        }
        cluster.wait_for_catchup().await?;
        Ok(cluster)
    }

    async fn init_primary(&self, node: &Node, options: &ClusterOptions) -> Result<(), Failure> {
        node.make_dir()?;
        // In a directory that only the servers' account may enter.
        let password_file = self.root.path().join(&node.name).join("pwfile");
        std::fs::write(&password_file, &self.password).map_err(|e| Failure::of(password_file.display(), e))?;
        let args = [
            format!("--pgdata={}", node.data().display()),
            "--username=postgres".into(),
            format!("--pwfile={}", password_file.display()),
            "--auth=scram-sha-256".into(),
            "--encoding=UTF8".into(),
            "--locale=C.UTF-8".into(),
            "--no-sync".into(),
        ];
        let made = node.run("initdb", &args, "").await;
        let _ = std::fs::remove_file(&password_file);
        made?;
        node.write("pgbraid.conf", &settings(options))?;
        let conf = node.data().join("postgresql.conf");
        let own = std::fs::read_to_string(&conf).map_err(|e| Failure::of(conf.display(), e))?;
        node.write("postgresql.conf", &format!("{own}\ninclude 'pgbraid.conf'\n"))?;
        node.write("pg_hba.conf", options.hba.as_deref().unwrap_or(HBA))?;
        options.files.iter().try_for_each(|(name, text)| node.write(name, text))
    }

    /// Copies the primary for a new replica, with a physical slot of its own; or points an old copy at the primary's
    /// port of today.
    async fn join_replica(&self, node: &Node) -> Result<(), Failure> {
        let name = &node.name;
        let source = format!(
            "host=127.0.0.1 port={} user=postgres password={} application_name={name}",
            self.port(PRIMARY),
            self.password
        );
        if node.exists() {
            let upstream = format!("primary_conninfo = '{source}'\nprimary_slot_name = '{name}'\n");
            return node.write("postgresql.auto.conf", &upstream);
        }
        node.make_dir()?;
        let slot = format!("SELECT pg_create_physical_replication_slot('{name}', true)");
        self.execute(PRIMARY, "postgres", &slot).await?;
        let args = [
            format!("--pgdata={}", node.data().display()),
            format!("--dbname={source}"),
            format!("--slot={name}"),
            "--write-recovery-conf".into(),
            "--wal-method=stream".into(),
            "--checkpoint=fast".into(),
            "--no-sync".into(),
        ];
        node.run("pg_basebackup", &args, &self.password).await
    }

    /// How many servers, the primary included.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The name of server `i`: `primary`, `replica1`, ….
    pub fn name(&self, i: usize) -> &str {
        self.nodes.get(i).map_or("none", |node| node.name.as_str())
    }

    /// Where all servers listen.
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port of server `i`; 0 if there is none of that number. It stays the same over a restart.
    pub fn port(&self, i: usize) -> u16 {
        self.nodes.get(i).map_or(0, |node| node.port)
    }

    /// `host:port` of server `i`.
    pub fn address(&self, i: usize) -> String {
        format!("{}:{}", self.host(), self.port(i))
    }

    /// `postgres://host:port/database` of server `i`, as the config's `shards` want it.
    pub fn url(&self, i: usize, database: &str) -> String {
        format!("postgres://{}/{database}", self.address(i))
    }

    /// `["postgres://…", …]`: all servers, for a config's `shards.s1`.
    pub fn urls_toml(&self, database: &str) -> String {
        let urls: Vec<String> = (0..self.size()).map(|i| format!("{:?}", self.url(i, database))).collect();
        format!("[{}]", urls.join(", "))
    }

    /// The directory of server `i`'s Unix socket.
    pub fn socket_dir(&self, i: usize) -> Option<&Path> {
        self.nodes.get(i).and_then(Node::socket_dir)
    }

    /// PGDATA of server `i`.
    pub fn data_dir(&self, i: usize) -> Option<PathBuf> {
        self.nodes.get(i).map(Node::data)
    }

    /// The log file of server `i`.
    pub fn log_file(&self, i: usize) -> Option<PathBuf> {
        self.nodes.get(i).map(Node::log)
    }

    /// The first process of server `i`, if it runs.
    pub fn pid(&self, i: usize) -> Option<u32> {
        self.nodes.get(i).and_then(Node::pid)
    }

    /// The directory of all files.
    pub fn dir(&self) -> &Path {
        self.root.path()
    }

    /// The password of the superuser `postgres`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// How to log in at server `i` as the superuser.
    pub fn login(&self, i: usize, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host(self.host()).port(self.port(i)).dbname(database).user("postgres").password(&self.password);
        config.connect_timeout(Duration::from_secs(10));
        config
    }

    /// Connects to server `i` as the superuser. The connection is carried by a task of the present runtime.
    ///
    /// # Errors
    /// The server's.
    pub async fn connect(&self, i: usize, database: &str) -> Result<tokio_postgres::Client, Failure> {
        let (client, connection) = self
            .login(i, database)
            .connect(tokio_postgres::NoTls)
            .await
            .map_err(|e| Failure::of(format_args!("could not connect to {}", self.name(i)), text(&e)))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements on server `i` as the superuser; without BEGIN several form one transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn execute(&self, i: usize, database: &str, sql: &str) -> Result<(), Failure> {
        self.query(i, database, sql).await.map(|_| ())
    }

    /// Runs statements on server `i` as the superuser and gives all their rows as text.
    ///
    /// # Errors
    /// The server's.
    pub async fn query(&self, i: usize, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let client = self.connect(i, database).await?;
        let messages =
            client.simple_query(sql).await.map_err(|e| Failure::of(format_args!("on {}", self.name(i)), text(&e)))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|c| row.get(c).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// The server's, or that there is no such value.
    pub async fn value(&self, i: usize, database: &str, sql: &str) -> Result<String, Failure> {
        let rows = self.query(i, database, sql).await?;
        let first = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        first.ok_or_else(|| Failure::new(format!("no value from: {sql}")))
    }

    /// Stops replay on replica `i`, and returns when it has stopped: later commits aren't seen there.
    ///
    /// # Errors
    /// The server's.
    pub async fn pause_replay(&self, i: usize) -> Result<(), Failure> {
        self.execute(i, "postgres", "SELECT pg_wal_replay_pause()").await?;
        self.until(i, "SELECT pg_get_wal_replay_pause_state() = 'paused'").await
    }

    /// Lets replay go on at replica `i`.
    ///
    /// # Errors
    /// The server's.
    pub async fn resume_replay(&self, i: usize) -> Result<(), Failure> {
        self.execute(i, "postgres", "SELECT pg_wal_replay_resume()").await
    }

    /// Waits until all running replicas have replayed what the primary has flushed.
    ///
    /// # Errors
    /// A server's, or that it takes too long.
    pub async fn wait_for_catchup(&self) -> Result<(), Failure> {
        let replicas: Vec<usize> = (1..self.size()).filter(|i| self.pid(*i).is_some()).collect();
        if replicas.is_empty() {
            return Ok(());
        }
        let flushed = self.value(PRIMARY, "postgres", "SELECT pg_current_wal_flush_lsn()").await?;
        let flushed: Lsn = flushed.parse().map_err(|e| Failure::of("flush position", e))?;
        for i in replicas {
            self.until(i, &format!("SELECT pg_last_wal_replay_lsn() >= '{flushed}'")).await?;
        }
        Ok(())
    }

    /// Asks server `i` until it answers `t`.
    ///
    /// # Errors
    /// The server's, or that it takes too long.
    pub async fn until(&self, i: usize, sql: &str) -> Result<(), Failure> {
        let client = self.connect(i, "postgres").await?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let messages = client.simple_query(sql).await.map_err(|e| Failure::of(self.name(i), text(&e)))?;
            if messages.iter().any(|m| matches!(m, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"))) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Failure::new(format!("{} took too long over: {sql}", self.name(i))))
    }

    /// Kills every process of server `i`, as a loss of power would.
    ///
    /// # Errors
    /// The system's.
    pub async fn kill_9(&mut self, i: usize) -> Result<(), Failure> {
        self.node(i)?.kill_9().await
    }

    /// Stops server `i` in order; its clients are told 57P01.
    ///
    /// # Errors
    /// The system's.
    pub async fn stop(&mut self, i: usize) -> Result<(), Failure> {
        self.node(i)?.stop().await
    }

    /// Starts server `i` again, on its old port.
    ///
    /// # Errors
    /// The server doesn't start: with the end of its log.
    pub async fn restart(&mut self, i: usize) -> Result<(), Failure> {
        let node = self.node(i)?;
        node.stop().await?;
        node.start().await
    }

    /// Stops all processes of server `i` from running, without ending them: it accepts (the kernel does) and never
    /// answers.
    ///
    /// # Errors
    /// The system's.
    pub fn freeze(&mut self, i: usize) -> Result<(), Failure> {
        self.node(i)?.signal_all("STOP")
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// The system's.
    pub fn thaw(&mut self, i: usize) -> Result<(), Failure> {
        self.node(i)?.signal_all("CONT")
    }

    /// Makes replica `i` a primary and returns when it is one. The other servers don't follow by themselves.
    ///
    /// # Errors
    /// The server's.
    pub async fn promote(&self, i: usize) -> Result<(), Failure> {
        self.execute(i, "postgres", "SELECT pg_promote(true, 60)").await?;
        self.until(i, "SELECT NOT pg_is_in_recovery()").await
    }

    fn node(&mut self, i: usize) -> Result<&mut Node, Failure> {
        self.nodes.get_mut(i).ok_or_else(|| Failure::new(format!("there is no server {i}")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All at once, then wait: one after the other takes as long again for each.
        let supervisors: Vec<_> = self.nodes.iter_mut().filter_map(Node::release).collect();
        for mut supervisor in supervisors {
            let _ = supervisor.wait();
        }
    }
}

/// Who may come in: passwords are needed over TCP and over Unix sockets.
const HBA: &str = "\
# TYPE  DATABASE     USER  ADDRESS       METHOD
local   all          all                 scram-sha-256
host    all          all   127.0.0.1/32  scram-sha-256
host    all          all   ::1/128       scram-sha-256
host    replication  all   127.0.0.1/32  scram-sha-256
";

/// `pgbraid.conf`, which `postgresql.conf` includes.
fn settings(options: &ClusterOptions) -> String {
    let durable = if options.fsync { "on" } else { "off" };
    let ours = [
        ("listen_addresses", "127.0.0.1"),
        ("max_connections", "200"),
        ("shared_buffers", "64MB"),
        ("wal_level", "replica"),
        ("max_wal_senders", "20"),
        ("max_replication_slots", "20"),
        ("max_prepared_transactions", "100"),
        ("hot_standby_feedback", "on"),
        ("wal_retrieve_retry_interval", "200ms"),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("lc_messages", "C"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_line_prefix", "%m [%p] %q%u@%d/%a "),
        ("logging_collector", "off"),
    ];
    let given = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    ours.into_iter().chain(given).map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect()
}

/// The directory given by the user, made if it is missing, as an absolute path.
fn given_dir(dir: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(dir).map_err(|e| Failure::of(dir.display(), e))?;
    std::fs::canonicalize(dir).map_err(|e| Failure::of(dir.display(), e))
}

/// The superuser's password: a random one, kept beside the servers for a later start.
fn superuser_password(root: &Path) -> Result<String, Failure> {
    let file = root.join("superuser.password");
    if let Ok(password) = std::fs::read_to_string(&file) {
        return Ok(password.trim().to_owned());
    }
    let password = random_hex()?;
    write_private(&file, &password)?;
    Ok(password)
}

/// A password that nobody guesses: 128 random bits.
///
/// # Errors
/// The system gives none.
pub fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    let fill = ring::rand::SystemRandom::new().fill(&mut bytes);
    fill.map_err(|_| Failure::new("the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only we may read.
///
/// # Errors
/// The system's.
pub fn write_private(file: &Path, text: &str) -> Result<(), Failure> {
    let _ = std::fs::remove_file(file);
    let mut open = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(open.write(true).create_new(true), 0o600);
    let written = open.open(file).and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()));
    written.map_err(|e| Failure::of(file.display(), e))
}

/// An error in the server's own words where it has any.
pub fn text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
