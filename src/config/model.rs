//! The checked configuration: what the rest of the program sees. Every field has a meaning that some code reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Secret;

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub log: Log,
    pub auth: Auth,
    pub users: BTreeMap<String, User>,
    pub databases: BTreeMap<String, Arc<Database>>,
}

/// `[server]`: where clients come in, and how many at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `listen`: TCP addresses, `host:port`; one or several.
    pub listen: Vec<String>,
    /// `unix_socket_dir`: directories in which `.s.PGSQL.<port>` is made.
    pub unix_socket_dirs: Vec<PathBuf>,
    /// `http`: address of /metrics, /healthz, /readyz; none = off.
    pub http: Option<String>,
    /// `workers`: threads that serve clients; 0 = one a core.
    pub workers: usize,
    /// `scheduling`: whether workers may ask the system to schedule them in batches.
    pub scheduling: Scheduling,
    /// `max_clients`: beyond it a new client gets 53300.
    pub max_clients: usize,
    /// `tls`: `disable`, `allow` (client decides), `require`.
    pub tls: ClientTls,
    /// `tls_cert`, `tls_key`: PEM files; both or none.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// `tls_client_ca`: PEM file; client certificates are verified against it (needed for `auth.method = "cert"`).
    pub tls_client_ca: Option<PathBuf>,
    /// `login_timeout`: time for start-up and authentication.
    pub login_timeout: Duration,
    /// `shutdown_timeout`: how long running transactions may go on after SIGTERM.
    pub shutdown_timeout: Duration,
    /// `admin_users`: who may use the console (virtual database `pgbraid`).
    pub admin_users: Vec<String>,
}

/// `server.tls`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTls {
    Disable,
    Allow,
    Require,
}

/// `server.scheduling`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    Auto,
    Normal,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `format`: `text` or `json`.
    pub json: bool,
    /// `level`: error, warn, info, debug, trace.
    pub level: LogLevel,
    /// `connections`: log each client's coming and going.
    pub connections: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    pub method: AuthMethod,
    /// `query`: one parameter (the user's name), columns name and password/verifier; run as the database's service user
    /// for names that `[users]` lacks.
    pub query: Option<String>,
    /// `query_cache`: how long an answer of `query` is believed.
    pub query_cache: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    ScramSha256,
    Md5,
    Trust,
    Cert,
}

/// `[users.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// `password`: plain, `SCRAM-SHA-256$…` verifier, `md5…` hash, `env:NAME` or `file:PATH` (resolved already).
    pub password: Option<Secret>,
    /// `pool_mode`: overrides the database's.
    pub pool_mode: Option<PoolMode>,
    /// `pool_size`: overrides the database's.
    pub pool_size: Option<usize>,
    /// `max_clients`: this user's clients, over all databases.
    pub max_clients: Option<usize>,
}

/// `[databases.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    pub name: String,
    /// `service_user`: an entry of `[users]`; health, roles, positions, catalog.
    pub service_user: Option<String>,
    /// `shards.NAME = ["postgres://…", …]`, in the file's order.
    pub shards: Vec<Shard>,
    /// `shard_weights.NAME`: shares of buckets, of the shards that have another than 1.
    pub shard_weights: BTreeMap<String, u32>,
    /// `home`: the shard of tables without an entry, of the map, of sequences.
    pub home: Option<String>,
    /// `tables`: in order of schema and name.
    pub tables: Vec<Table>,
    /// `functions`: what the configuration vouches for.
    pub functions: Vec<Function>,
    /// `buckets`: parts of the keys' hashes, a power of two.
    pub buckets: usize,
    /// `cross_shard_commit`: how what was written on several shards is committed.
    pub cross_shard_commit: CrossShardCommit,
    /// `cross_shard_reads`: what a statement over several shards sees of others' commits on several.
    pub cross_shard_reads: CrossShardReads,
    /// `unique_per_shard`: unique indexes without the sharding key are admitted.
    pub unique_per_shard: bool,
    pub pool: Pool,
    pub gather: Gather,
    pub replicas: Replicas,
}

impl Database {
    /// Whether statements need a plan over shards: there are several, or tables that are placed.
    pub fn is_sharded(&self) -> bool {
        self.shards.len() > 1 || !self.tables.is_empty()
    }

    /// The home shard's name: the one named, or the only one.
    pub fn home_shard(&self) -> &str {
        match &self.home {
            Some(home) => home,
            None => self.shards.first().map_or("", |shard| &shard.name),
        }
    }
}

/// One entry of `tables`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub schema: String,
    pub name: String,
    pub rule: TableRule,
}

/// How a table is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableRule {
    /// Whole on every shard.
    Reference,
    /// By its key's hash.
    Hash {
        key: String,
        /// The table with whose keys it is co-located, by schema and name.
        with: Option<(String, String)>,
    },
    /// By lists of the key's values.
    List {
        key: String,
        /// Shard by value.
        values: BTreeMap<String, String>,
        /// The shard of all other values.
        rest: Option<String>,
    },
}

/// One entry of `functions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `None`: of any schema.
    pub schema: Option<String>,
    pub name: String,
    pub reads: Reads,
}

/// What a function reads, as the configuration vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// No table.
    None,
    /// Only rows of the key in its first argument.
    Key,
}

/// One shard: servers that hold the same data, one of them the primary at any time.
#[derive(Clone, Debug, PartialEq)]
pub struct Shard {
    pub name: String,
    pub servers: Vec<ServerAddress>,
}

/// One server's URL: `postgres://host:port/dbname?sslmode=…&weight=…`. A host that begins with `/` (percent-encoded, or
/// given as `?host=/dir`) is a directory of Unix sockets. No user and no password in it: they are the client's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    pub host: Host,
    pub port: u16,
    /// The database's name on the server; that of `[databases.NAME]` unless said.
    pub dbname: String,
    pub sslmode: SslMode,
    pub sslrootcert: Option<PathBuf>,
    pub sslcert: Option<PathBuf>,
    pub sslkey: Option<PathBuf>,
    /// `weight`: a replica's share of reads, 1 unless said; 0 = never reads unless it is the primary.
    pub weight: u32,
}

impl std::fmt::Display for ServerAddress {
    /// `host:port`, as in logs, metrics and errors.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
            Host::Unix(dir) => write!(f, "{}:{}", dir.display(), self.port),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name or an address; names are resolved at each connect.
    Tcp(String),
    /// A directory of Unix sockets.
    Unix(PathBuf),
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolMode {
    Transaction,
    Session,
}

/// Pool settings of a database.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// `pool_mode`
    pub mode: PoolMode,
    /// `pool_size`: server connections a server, user and database, over all workers.
    pub size: usize,
    /// `min_pool_size`: connections kept open for users with a known password.
    pub min_size: usize,
    /// `pool_wait`: how long a client waits for a connection; then 57014, as PgBouncer's `query_wait_timeout`.
    pub wait: Duration,
    /// `max_waiting`: clients that may wait a pool; beyond it 53300 at once. 0 = no limit.
    pub max_waiting: usize,
    /// `idle_timeout`: an unused server connection is closed after it (± 10 %).
    pub idle_timeout: Duration,
    /// `max_lifetime`: a server connection is replaced when idle after it (± 10 %).
    pub max_lifetime: Duration,
    /// `connect_timeout`: TCP, TLS and login at a server.
    pub connect_timeout: Duration,
    /// `idle_transaction_timeout`: a client idle in a transaction is disconnected after it; 0 = never.
    pub idle_transaction_timeout: Duration,
    /// `query_timeout`: a statement is cancelled after it; 0 = never.
    pub query_timeout: Duration,
}

/// Room for rows that statements over shards collect, in megabytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gather {
    /// `gather_memory`: of one statement, in the proxy.
    pub memory: usize,
    /// `gather_memory_total`: of all statements together.
    pub total: usize,
    /// `gather_limit`: of one statement, in temporary tables; 0 = none are made.
    pub limit: usize,
    /// `gather_limit_total`: of all statements together.
    pub limit_total: usize,
    /// `gather_connections`: connections a user that have such tables, over all workers.
    pub connections: usize,
    /// `gather_on`: the shard whose primary has them; none = the home shard's.
    pub on: Option<String>,
}

/// Reads on replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Replicas {
    /// `consistency`: default of `SET pgbraid.consistency`.
    pub consistency: Consistency,
    /// `max_lag`: a replica further behind serves no reads.
    pub max_lag: Duration,
    /// `replica_wait`: how long a read may wait for a replica to catch up before it goes to the primary; 0 = not at all.
    pub wait: Duration,
    /// `health_interval`: how often each server is asked for role and position.
    pub health_interval: Duration,
}

/// How a transaction that wrote on several shards is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CrossShardCommit {
    /// Everywhere or nowhere.
    #[default]
    TwoPhase,
    /// On one shard after the other: what dies in between leaves a part.
    BestEffort,
}

/// What a statement over several shards sees of a transaction that another session commits on several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CrossShardReads {
    /// Perhaps a part of it, while it is being committed.
    #[default]
    Fast,
    /// All or nothing.
    Atomic,
}

/// What a read must see at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Consistency {
    /// Every commit acknowledged through this proxy before the statement came.
    #[default]
    Proxy,
    /// The session's own commits, and what it has read.
    Session,
    /// Whatever a replica within `max_lag` has.
    Eventual,
    /// Everything: replicas are not used.
    Primary,
}
