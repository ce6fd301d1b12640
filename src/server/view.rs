//! The running proxy as the console and the health endpoints see it, and what administrators do to it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shared::{Ending, Shared, Stage};
use crate::backend::{CancelTarget, Database, Pool};
use crate::base::{PgError, SqlState};
use crate::config::keys::Apply;
use crate::config::{self, Host, PoolMode};
use crate::session::Client;
use crate::session::client::State;
use crate::telemetry::view::{
    ClientRow, ClientState, Command, CommandFuture, ConfigRow, DatabaseRow, Peer, PoolRow, ReplicaRow, RunState,
    ServerRow, ServerState, UserRow, View,
};
use crate::topology::{Role, Server};

/// A running proxy, shown.
pub struct Shown(pub Arc<Shared>);

/// Between two looks at connections that PAUSE waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl View for Shown {
    fn ready(&self) -> Result<(), Vec<String>> {
        let mut reasons = Vec::new();
        if self.0.stage() != Stage::Serving {
            reasons.push("shutting down".to_owned());
        }
        for database in self.databases_by_name() {
            if database.shard.primary().is_none() {
                reasons.push(format!("database \"{}\" has no primary that answers", database.name));
            }
        }
        for sharded in self.0.sharded.load().values() {
            if let Err(error) = sharded.view() {
                reasons.push(error.message().to_owned());
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn state(&self) -> RunState {
        let databases = self.databases_by_name();
        if self.0.stage() != Stage::Serving {
            RunState::Draining
        } else if !databases.is_empty() && databases.iter().all(|database| database.is_paused()) {
            RunState::Paused
        } else {
            RunState::Active
        }
    }

    fn pools(&self) -> Vec<PoolRow> {
        let mut rows: BTreeMap<(String, String), PoolRow> = BTreeMap::new();
        let fresh = |database: &str, user: &str| PoolRow {
            database: database.to_owned(),
            user: user.to_owned(),
            mode: self.mode(database, user),
            ..PoolRow::default()
        };
        for database in self.databases_by_name() {
            for pool in database.pools() {
                let key = (database.name.to_string(), pool.user.to_string());
                let row = rows.entry(key).or_insert_with(|| fresh(&database.name, &pool.user));
                let connections = pool.connections();
                let idle = pool.idle().min(connections.len());
                row.servers_idle += idle;
                row.servers_active += connections.len() - idle;
                row.servers_login += pool.open().saturating_sub(connections.len());
                row.cancels += connections.iter().filter(|connection| connection.is_threatened()).count();
                row.longest_wait = row.longest_wait.max(pool.longest_wait());
            }
        }
        for client in self.0.clients() {
            let key = (client.database.clone(), client.user.clone());
            let row = rows.entry(key).or_insert_with(|| fresh(&client.database, &client.user));
            match client.waiting() {
                Some(waiting) => {
                    row.clients_waiting += 1;
                    row.longest_wait = row.longest_wait.max(waiting);
                }
                None => row.clients_active += 1,
            }
        }
        rows.into_values().collect()
    }

    fn clients(&self) -> Vec<ClientRow> {
        let mut clients = self.0.clients();
        clients.sort_by_key(|client| client.connected);
        clients.iter().map(|client| self.client(client)).collect()
    }

    fn servers(&self) -> Vec<ServerRow> {
        let clients = self.0.clients();
        let held = clients.iter().filter_map(|client| Some((client.server()?, client)));
        let held: HashMap<_, _> = held.map(|(target, client)| (Arc::as_ptr(&target), client)).collect();
        let mut rows = Vec::new();
        for database in self.databases_by_name() {
            for pool in database.pools() {
                for connection in pool.connections() {
                    rows.push(self.server(&database, &pool, &connection, held.get(&Arc::as_ptr(&connection)).copied()));
                }
            }
        }
        rows.sort_by_key(|row| row.id);
        rows
    }

    fn databases(&self) -> Vec<DatabaseRow> {
        let clients = self.0.clients();
        let mut rows = Vec::new();
        for database in self.databases_by_name() {
            let config = database.config();
            let pools = database.pools();
            for server in &database.shard.servers {
                let (host, port) = place(server);
                rows.push(DatabaseRow {
                    name: database.name.to_string(),
                    host,
                    port,
                    server_database: server.address.dbname.clone(),
                    pool_size: config.pool.size,
                    min_pool_size: config.pool.min_size,
                    mode: config.pool.mode.as_str(),
                    max_lifetime: config.pool.max_lifetime,
                    server_connections: open(pools.iter().filter(|pool| Arc::ptr_eq(&pool.server, server))),
                    client_connections: clients
                        .iter()
                        .filter(|client| *client.database == *database.served_as())
                        .count(),
                    paused: database.is_paused(),
                });
            }
        }
        rows
    }

    fn users(&self) -> Vec<UserRow> {
        let clients = self.0.clients();
        let pools: Vec<_> = self.databases_by_name().iter().flat_map(|database| database.pools()).collect();
        let config = self.0.config.load();
        let row = |(name, user): (&String, &config::User)| UserRow {
            name: name.clone(),
            mode: user.pool_mode.map(PoolMode::as_str),
            pool_size: user.pool_size,
            server_connections: open(pools.iter().filter(|pool| *pool.user == **name)),
            max_clients: user.max_clients,
            client_connections: clients.iter().filter(|client| client.user == *name).count(),
        };
        config.users.iter().map(row).collect()
    }

    fn replicas(&self) -> Vec<ReplicaRow> {
        let databases = self.databases_by_name();
        databases
            .iter()
            .flat_map(|database| database.shard.servers.iter().map(|server| replica(database, server)))
            .collect()
    }

    fn config(&self) -> Vec<ConfigRow> {
        let settings = config::settings(&self.0.config.load()).into_iter();
        settings
            .map(|setting| ConfigRow {
                key: setting.key,
                value: setting.value,
                default: (!setting.default.is_empty()).then(|| setting.default.to_owned()),
                changeable: setting.apply == Apply::Reload,
            })
            .collect()
    }

    fn commands(&self) -> &'static [&'static str] {
        &[
            "RELOAD",
            "PAUSE [<db>]",
            "RESUME [<db>]",
            "RECONNECT [<db>]",
            "KILL [<db>]",
            "SHUTDOWN",
            "SHUTDOWN WAIT_FOR_SERVERS",
        ]
    }

    fn command(&self, command: Command) -> CommandFuture<'_> {
        Box::pin(self.carry_out(command))
    }
}

impl Shown {
    async fn carry_out(&self, command: Command) -> Result<Option<String>, PgError> {
        match command {
            Command::Reload => return self.reload().await,
            Command::Pause(name) => pause(self.chosen(name.as_deref())?).await,
            Command::Resume(name) => {
                let chosen = self.chosen(name.as_deref())?;
                if chosen.iter().all(|database| !database.is_paused()) {
                    let error = PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "nothing is paused");
                    return Err(error.hint("SHOW DATABASES tells what is."));
                }
                chosen.iter().for_each(|database| database.set_paused(false));
            }
            Command::Reconnect(name) => {
                for database in self.chosen(name.as_deref())? {
                    database.pools().iter().for_each(|pool| pool.new_era());
                    database.clear_templates();
                }
            }
            Command::Kill(name) => {
                let chosen = self.chosen(name.as_deref())?;
                for database in &chosen {
                    database.set_paused(true);
                    database.pools().iter().for_each(|pool| pool.new_era());
                }
                for client in self.0.clients() {
                    if chosen.iter().any(|database| *database.served_as() == *client.database) {
                        client.kill();
                    }
                }
                return Ok(Some("new clients wait until RESUME".to_owned()));
            }
            Command::Shutdown { now } => {
                let ending = if now { Ending::Now } else { Ending::Drained };
                self.0.ending.send_replace(Some(ending));
            }
        }
        Ok(None)
    }

    async fn reload(&self) -> Result<Option<String>, PgError> {
        let shared = self.0.clone();
        // It reads files: not on a thread that serves clients.
        let changes = tokio::task::spawn_blocking(move || shared.reload_from_origin()).await;
        let changes = changes
            .unwrap_or_else(|_| Err(PgError::error(SqlState::INTERNAL_ERROR, "the reload ended without an answer")))?;
        let waiting: Vec<_> = changes.iter().filter(|change| change.apply == Apply::Restart).collect();
        let names: Vec<_> = waiting.iter().map(|change| change.key.as_str()).collect();
        Ok(match names.as_slice() {
            [] => None,
            names => Some(format!("not before a restart: {}", names.join(", "))),
        })
    }

    /// The database of that name, all its shards, or all databases.
    fn chosen(&self, name: Option<&str>) -> Result<Vec<Arc<Database>>, PgError> {
        let Some(name) = name else { return Ok(self.databases_by_name()) };
        let parts = match self.0.databases.load().get(name) {
            Some(database) => vec![database.clone()],
            None => self.0.parts(name),
        };
        match parts.is_empty() {
            false => Ok(parts),
            true => {
                let text = format!("database \"{name}\" does not exist");
                Err(PgError::error(SqlState::INVALID_CATALOG_NAME, text).hint("SHOW DATABASES lists them."))
            }
        }
    }

    fn databases_by_name(&self) -> Vec<Arc<Database>> {
        let mut databases: Vec<_> = self.0.databases.load().values().cloned().collect();
        databases.sort_by(|a, b| a.name.cmp(&b.name));
        databases
    }

    fn mode(&self, database: &str, user: &str) -> &'static str {
        let config = self.0.config.load();
        let of_user = config.users.get(user).and_then(|user| user.pool_mode);
        let served_as = self.0.databases.load().get(database).map(|part| part.served_as().to_owned());
        let of_database = config.databases.get(served_as.as_deref().unwrap_or(database));
        let of_database = of_database.map(|database| database.pool.mode);
        of_user.or(of_database).unwrap_or(PoolMode::Transaction).as_str()
    }

    fn number(&self, connection: &CancelTarget) -> u64 {
        connection.number(|| self.0.numbers.fetch_add(1, Ordering::Relaxed)).into()
    }

    fn client(&self, client: &Arc<Client>) -> ClientRow {
        let (address, port) = match client.peer.rsplit_once(':') {
            Some((address, port)) => (address.to_owned(), port.parse().unwrap_or(0)),
            None => (client.peer.clone(), 0),
        };
        ClientRow {
            id: u64::try_from(client.process_id).unwrap_or(0),
            user: client.user.clone(),
            database: client.database.clone(),
            state: match client.state() {
                State::Active => ClientState::Active,
                State::Idle => ClientState::Idle,
                State::Waiting => ClientState::Waiting,
            },
            peer: Peer {
                requested: client.requested(),
                ..peer(address, port, client.tls.as_deref(), client.local, client.connected)
            },
            waiting: client.waiting(),
            server: client.server().map(|connection| self.number(&connection)),
            application_name: client.application_name.clone(),
            prepared_statements: usize::try_from(client.prepared()).unwrap_or(usize::MAX),
            pin: client.pin(),
        }
    }

    fn server(
        &self,
        database: &Database,
        pool: &Pool,
        connection: &Arc<CancelTarget>,
        client: Option<&Arc<Client>>,
    ) -> ServerRow {
        let (host, port) = place(&connection.server);
        ServerRow {
            id: self.number(connection),
            user: pool.user.to_string(),
            database: database.name.to_string(),
            state: if client.is_some() { ServerState::Active } else { ServerState::Idle },
            peer: Peer {
                requested: Some(connection.requested()),
                ..peer(host, port, connection.tls.as_deref(), connection.local, connection.connected)
            },
            client: client.map(|client| u64::try_from(client.process_id).unwrap_or(0)),
            backend_pid: connection.process_id,
            application_name: client.map(|client| client.application_name.clone()).unwrap_or_default(),
            prepared_statements: usize::try_from(connection.prepared()).unwrap_or(0),
            closing: false,
        }
    }
}

/// Databases that are being paused; resumed if the pause isn't brought to its end.
struct Pausing(Vec<Arc<Database>>);

impl Drop for Pausing {
    fn drop(&mut self) {
        self.0.iter().for_each(|database| database.set_paused(false));
    }
}

/// Holds new work back and waits until no server connection is in use.
async fn pause(databases: Vec<Arc<Database>>) {
    for database in &databases {
        database.set_paused(true);
    }
    let mut pausing = Pausing(databases);
    // Twice: who looked right before the pause began may take a connection right after our first look.
    let mut quiet = 0;
    while quiet < 2 {
        tokio::time::sleep(LOOK_AGAIN).await;
        quiet = if pausing.0.iter().any(|database| in_use(database)) { 0 } else { quiet + 1 };
    }
    pausing.0.clear();
}

fn in_use(database: &Database) -> bool {
    database.pools().iter().any(|pool| pool.connections().len() > pool.idle())
}

fn open<'a>(pools: impl Iterator<Item = &'a Arc<Pool>>) -> usize {
    pools.map(|pool| pool.open()).sum()
}

fn place(server: &Server) -> (String, u16) {
    let host = match &server.address.host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(dir) => dir.display().to_string(),
    };
    (host, server.address.port)
}

fn peer(
    address: String,
    port: u16,
    tls: Option<&str>,
    local: Option<SocketAddr>,
    connected: std::time::SystemTime,
) -> Peer {
    Peer {
        address,
        port,
        local_address: local.map_or_else(|| "unix".to_owned(), |local| local.ip().to_string()),
        local_port: local.map_or(0, |local| local.port()),
        tls: tls.unwrap_or_default().to_owned(),
        connected,
        requested: None,
    }
}

fn replica(database: &Database, server: &Server) -> ReplicaRow {
    let state = server.state();
    let is_replica = state.role == Role::Replica;
    ReplicaRow {
        database: database.name.to_string(),
        shard: database.shard.name.clone(),
        server: server.address.to_string(),
        role: match state.role {
            Role::Unknown => "unknown",
            Role::Primary => "primary",
            Role::Replica => "replica",
        },
        up: state.role != Role::Unknown,
        position: is_replica.then_some(state.replayed),
        lag_bytes: None,
        lag: (is_replica && state.lag_micros != u64::MAX).then(|| Duration::from_micros(state.lag_micros)),
        error: state.trouble,
    }
}
