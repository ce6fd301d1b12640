//! The control thread: Unix sockets' acceptors, monitors of servers, metrics; all that isn't on a query's path.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::admission::service_identity;
use super::shared::{Shared, Stage};
use super::start::{cannot_listen, hand_out};
use super::view::Shown;
use crate::admin;
use crate::backend::login::Identity;
use crate::backend::{Database, ShardedDatabase, deadlocks, monitor, placement, recovery};
use crate::base::PgError;
use crate::http;
use crate::net::UnixAcceptor;
use crate::session::accept::NewClient;

/// How often figures are remembered for averages.
const TICK: Duration = Duration::from_secs(2);

/// Starts the thread. Returns where HTTP is served.
///
/// # Errors
/// An address or a socket that is taken.
pub async fn start(
    shared: Arc<Shared>,
    port: u16,
) -> Result<(Option<SocketAddr>, std::thread::JoinHandle<()>), PgError> {
    let (ready, told) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => LocalSet::new().block_on(&runtime, run(shared, port, ready)),
                Err(error) => drop(ready.send(Err(cannot_listen("control", &error)))),
            }
        })
        .map_err(|error| cannot_listen("control", &error))?;
    let http = told.await.map_err(|_| cannot_listen("control", &std::io::ErrorKind::BrokenPipe.into()))??;
    Ok((http, thread))
}

async fn run(shared: Arc<Shared>, port: u16, ready: oneshot::Sender<Result<Option<SocketAddr>, PgError>>) {
    let begun = match listen_on_sockets(&shared, port) {
        Ok(()) => serve_http(&shared).await,
        Err(error) => Err(error),
    };
    let failed = begun.is_err();
    let _ = ready.send(begun);
    if failed {
        return;
    }
    spawn_local(tick(shared.clone()));
    let mut monitors = Monitors::default();
    let mut reloaded = shared.reloaded.subscribe();
    let mut stage = shared.stage.subscribe();
    loop {
        monitors.fit(&shared);
        tokio::select! {
            _ = reloaded.changed() => {}
            _ = stage.wait_for(|stage| *stage == Stage::Stopped) => return,
        }
    }
}

fn listen_on_sockets(shared: &Arc<Shared>, port: u16) -> Result<(), PgError> {
    for dir in &shared.config.load().server.unix_socket_dirs {
        let acceptor =
            UnixAcceptor::bind(dir, port).map_err(|error| cannot_listen(&dir.display().to_string(), &error))?;
        spawn_local(hand_out(acceptor, shared.clone()));
    }
    Ok(())
}

/// Metrics and health, where they are wanted. Until the end: `/readyz` tells of a drain.
async fn serve_http(shared: &Arc<Shared>) -> Result<Option<SocketAddr>, PgError> {
    let Some(name) = shared.config.load().server.http.clone() else { return Ok(None) };
    let listener = TcpListener::bind(&name).await.map_err(|error| cannot_listen(&name, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(&name, &error))?;
    let mut stage = shared.stage.subscribe();
    let stopped = async move { drop(stage.wait_for(|stage| *stage == Stage::Stopped).await) };
    let serving = http::serve(listener, Arc::new(Shown(shared.clone())), shared.telemetry.clone(), stopped);
    spawn_local(async move {
        if let Err(error) = serving.await {
            tracing::error!("HTTP on {name} ended: {error}");
        }
    });
    Ok(Some(address))
}

async fn tick(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        shared.telemetry.tick(Instant::now());
    }
}

/// One monitor for each database with a service user.
#[derive(Default)]
struct Monitors {
    databases: HashMap<String, Watched>,
    /// Keepers of the placement of sharded databases.
    keepers: HashMap<String, Kept>,
}

struct Kept {
    sharded: Arc<ShardedDatabase>,
    identity: Arc<Identity>,
    keeper: JoinHandle<()>,
    recoverer: JoinHandle<()>,
    search: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.abort();
        self.recoverer.abort();
        self.search.abort();
    }
}

struct Watched {
    database: Arc<Database>,
    identity: Arc<Identity>,
    /// Dropped, it ends the monitor.
    _shutdown: watch::Sender<bool>,
}

impl Monitors {
    /// Starts what is missing, ends what has no database any more or another identity.
    fn fit(&mut self, shared: &Arc<Shared>) {
        let databases = shared.databases.load_full();
        let mut running = std::mem::take(&mut self.databases);
        for (name, database) in databases.iter() {
            let Some(identity) = service_identity(shared, &database.config()) else { continue };
            let same = running
                .remove(name)
                .filter(|watched| Arc::ptr_eq(&watched.database, database) && *watched.identity == identity);
            let watched = same.unwrap_or_else(|| Watched::start(shared, database, Arc::new(identity)));
            self.databases.insert(name.clone(), watched);
        }
        let mut running = std::mem::take(&mut self.keepers);
        for (name, sharded) in shared.sharded.load_full().iter() {
            let Some(identity) = service_identity(shared, &sharded.config).map(Arc::new) else { continue };
            let same =
                running.remove(name).filter(|kept| Arc::ptr_eq(&kept.sharded, sharded) && *kept.identity == *identity);
            sharded.gates.serve_as(identity.clone());
            let kept = same.unwrap_or_else(|| Kept {
                keeper: spawn_local(placement::run(sharded.clone(), identity.clone())),
                recoverer: spawn_local(recovery::run(sharded.clone(), identity.clone())),
                search: spawn_local(deadlocks::run(sharded.clone(), identity.clone())),
                sharded: sharded.clone(),
                identity,
            });
            shared.telemetry.show_commits(name, &sharded.commits.figures);
            shared.telemetry.show_gather(name, sharded.memory.figures());
            self.keepers.insert(name.clone(), kept);
        }
    }
}

impl Watched {
    fn start(shared: &Arc<Shared>, database: &Arc<Database>, identity: Arc<Identity>) -> Self {
        let (shutdown, told) = watch::channel(false);
        spawn_local(monitor::run(database.clone(), identity.clone(), shared.telemetry.clone(), told));
        Self { database: database.clone(), identity, _shutdown: shutdown }
    }
}

/// Serves a client of the console until it leaves. A drain doesn't end it: it may want to look on.
pub async fn console(shared: &Arc<Shared>, new: &mut NewClient) {
    let Ok((process_id, key)) = shared.cancel_key(new.minor) else { return };
    let view = Shown(shared.clone());
    let login = admin::Login { user: &new.user, process_id, key: &key, leftover: &new.leftover };
    if let Err(error) = admin::console(&mut new.stream, login, &view, &shared.telemetry).await {
        tracing::debug!(client = %new.peer, user = %new.user, "the console's connection broke: {error}");
    }
}
