//! The control thread: Unix sockets' acceptors, monitors of servers, metrics; all that isn't on a query's path.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};

use super::admission::service_identity;
use super::shared::{Shared, Stage};
use super::start::{cannot_listen, hand_out};
use crate::backend::monitor;
use crate::base::PgError;
use crate::net::UnixAcceptor;
use crate::session::accept::NewClient;

/// Starts the thread. Returns where HTTP is served.
///
/// # Errors
/// An address or a socket that is taken.
pub async fn start(shared: Arc<Shared>, port: u16) -> Result<(Option<SocketAddr>, JoinHandle<()>), PgError> {
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
    if let Err(error) = listen_on_sockets(&shared, port) {
        return drop(ready.send(Err(error)));
    }
    watch_servers(&shared);
    let _ = ready.send(Ok(None));
    let mut stage = shared.stage.subscribe();
    let _ = stage.wait_for(|stage| *stage == Stage::Stopped).await;
}

/// Starts the monitors. They end with this thread.
fn watch_servers(shared: &Arc<Shared>) {
    for database in shared.databases.load().values() {
        if let Some(identity) = service_identity(shared, &database.config()) {
            let (database, telemetry) = (database.clone(), shared.telemetry.clone());
            spawn_local(async move {
                let (_open, shutdown) = watch::channel(false);
                monitor::run(database, Arc::new(identity), telemetry, shutdown).await;
            });
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

/// Serves a client of the console until it leaves or `stop`.
pub async fn console(_shared: &Arc<Shared>, _new: &mut NewClient, stop: impl Future<Output = ()>) {
    stop.await;
}
