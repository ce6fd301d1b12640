//! What the console and the health endpoints ask of a running proxy: plain rows, taken as snapshots.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use crate::base::{Lsn, PgError, SqlState};

/// A running proxy, seen from outside. `server` implements it.
pub trait View: Send + Sync {
    /// Every database has a primary that answers and the proxy isn't draining; else what is wrong, one sentence each.
    ///
    /// # Errors
    /// The reasons, never empty.
    fn ready(&self) -> Result<(), Vec<String>>;

    fn state(&self) -> RunState;

    fn pools(&self) -> Vec<PoolRow>;

    fn clients(&self) -> Vec<ClientRow>;

    fn servers(&self) -> Vec<ServerRow>;

    fn databases(&self) -> Vec<DatabaseRow>;

    fn users(&self) -> Vec<UserRow>;

    fn replicas(&self) -> Vec<ReplicaRow>;

    /// In the order of the documentation. Never a secret.
    fn config(&self) -> Vec<ConfigRow>;

    /// The commands that [`View::command`] carries out, as SHOW HELP lists them: `PAUSE [<db>]`.
    fn commands(&self) -> &'static [&'static str] {
        &[]
    }

    /// Does what an administrator asks. The answer comes when it is done (PAUSE: when no server connection is in use);
    /// a sentence in it is shown as a notice.
    ///
    /// # Errors
    /// 0A000 for what isn't offered (the default for everything), 3D000 for an unknown database, else what went wrong.
    fn command(&self, command: Command) -> CommandFuture<'_> {
        let error = PgError::error(SqlState::FEATURE_NOT_SUPPORTED, format!("{} is not supported", command.name()))
            .hint("SHOW HELP lists what is.");
        Box::pin(std::future::ready(Err(error)))
    }
}

/// What [`View::command`] returns.
pub type CommandFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<String>, PgError>> + Send + 'a>>;

/// What an administrator may ask for. `None`: all databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Reload,
    Pause(Option<String>),
    Resume(Option<String>),
    Reconnect(Option<String>),
    Kill(Option<String>),
    /// `now`: without waiting for running transactions.
    Shutdown {
        now: bool,
    },
}

impl Command {
    /// The command's first word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reload => "RELOAD",
            Self::Pause(_) => "PAUSE",
            Self::Resume(_) => "RESUME",
            Self::Reconnect(_) => "RECONNECT",
            Self::Kill(_) => "KILL",
            Self::Shutdown { .. } => "SHUTDOWN",
        }
    }
}

/// What the proxy as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RunState {
    #[default]
    Active,
    Paused,
    /// Shutting down: no new work.
    Draining,
}

/// One pool in SHOW POOLS, summed over workers and servers: a (database, user).
#[derive(Clone, Debug, Default)]
pub struct PoolRow {
    pub database: String,
    pub user: String,
    /// Clients that hold a server connection, or are idle.
    pub clients_active: usize,
    pub clients_waiting: usize,
    pub servers_active: usize,
    pub servers_idle: usize,
    /// Server connections that are being made.
    pub servers_login: usize,
    /// Cancel requests on their way to a server.
    pub cancels: usize,
    /// How long the first in the queue has waited.
    pub longest_wait: Duration,
    /// `transaction` or `session`.
    pub mode: &'static str,
}

/// What a connection is about, whichever side it is on.
#[derive(Clone, Debug)]
pub struct Peer {
    /// An address, or `unix`.
    pub address: String,
    pub port: u16,
    pub local_address: String,
    pub local_port: u16,
    /// Protocol and cipher, or empty.
    pub tls: String,
    pub connected: SystemTime,
    /// When the last request came (client) or went (server).
    pub requested: Option<SystemTime>,
}

/// One client in SHOW CLIENTS.
#[derive(Clone, Debug)]
pub struct ClientRow {
    /// Unique in this process.
    pub id: u64,
    pub user: String,
    pub database: String,
    pub state: ClientState,
    pub peer: Peer,
    /// How long it has waited for a server connection.
    pub waiting: Option<Duration>,
    /// `id` of the server connection it holds.
    pub server: Option<u64>,
    pub application_name: String,
    pub prepared_statements: usize,
    /// What keeps its server connection its own, if anything.
    pub pin: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Holds a server connection.
    Active,
    Idle,
    Waiting,
    /// Start-up and authentication.
    Login,
}

/// One server connection in SHOW SERVERS.
#[derive(Clone, Debug)]
pub struct ServerRow {
    /// Unique in this process.
    pub id: u64,
    pub user: String,
    pub database: String,
    pub state: ServerState,
    pub peer: Peer,
    /// `id` of the client that holds it.
    pub client: Option<u64>,
    /// Process id of the server's backend.
    pub backend_pid: i32,
    pub application_name: String,
    pub prepared_statements: usize,
    /// It will be closed when released.
    pub closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    Active,
    Idle,
    /// Being made.
    Login,
    /// A probe or a reset runs on it.
    Tested,
}

/// One server of one database in SHOW DATABASES.
#[derive(Clone, Debug, Default)]
pub struct DatabaseRow {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Its name on the server.
    pub server_database: String,
    pub pool_size: usize,
    pub min_pool_size: usize,
    /// `transaction` or `session`.
    pub mode: &'static str,
    pub max_lifetime: Duration,
    pub server_connections: usize,
    pub client_connections: usize,
    pub paused: bool,
}

/// One user of `[users]` in SHOW USERS.
#[derive(Clone, Debug, Default)]
pub struct UserRow {
    pub name: String,
    pub mode: Option<&'static str>,
    pub pool_size: Option<usize>,
    pub server_connections: usize,
    pub max_clients: Option<usize>,
    pub client_connections: usize,
}

/// One server in SHOW REPLICAS.
#[derive(Clone, Debug, Default)]
pub struct ReplicaRow {
    pub database: String,
    pub shard: String,
    /// `host:port`
    pub server: String,
    /// `primary`, `replica`, or `unknown` where it hasn't answered yet.
    pub role: &'static str,
    pub up: bool,
    /// Flushed at the primary, replayed at a replica.
    pub position: Option<Lsn>,
    pub lag_bytes: Option<u64>,
    pub lag: Option<Duration>,
    /// What it said when it last failed.
    pub error: Option<String>,
}

/// One setting in SHOW CONFIG.
#[derive(Clone, Debug, Default)]
pub struct ConfigRow {
    pub key: String,
    pub value: String,
    pub default: Option<String>,
    /// RELOAD applies it.
    pub changeable: bool,
}
