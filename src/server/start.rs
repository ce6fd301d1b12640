//! Starting a proxy, and its end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::control;
use super::shared::{Ending, Mail, Origin, Shared, Stage};
use super::worker::{Post, work};
use crate::base::{PgError, SqlState};
use crate::config::Config;
use crate::net::{self, Claim, UnixAcceptor};
use crate::session::accept::AcceptSettings;

/// A proxy that serves clients. Dropping it stops it at once; [`Running::drain`] lets transactions end first.
pub struct Running {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    http: Option<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a proxy: when this returns, clients can connect.
///
/// # Errors
/// An address that is taken, a certificate that can't be read.
pub async fn start(config: Config) -> Result<Running, PgError> {
    start_from(config, None).await
}

/// The same with a configuration that RELOAD and SIGHUP read again.
///
/// # Errors
/// As with [`start`].
pub async fn start_from(config: Config, origin: Option<Origin>) -> Result<Running, PgError> {
    let accept = AcceptSettings::from_config(&config)?;
    let count = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let (offer_senders, offers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let (mail_senders, mail): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
    let shared = Arc::new(Shared::new(config, accept, offer_senders.into(), mail_senders, origin)?);
    let mut running = Running { shared: shared.clone(), addresses: Vec::new(), http: None, threads: Vec::new() };
    // Held until the workers listen beside it: so a port that was left to the system is the same for all.
    let claimed = claim(&shared.config.load().server.listen).await?;
    for claim in &claimed {
        running.addresses.push(claim.address().map_err(|error| cannot_listen("TCP", &error))?);
    }
    for (number, (mail, offers)) in mail.into_iter().zip(offers).enumerate() {
        let (ready, told) = oneshot::channel();
        let post = Post { number, shared: shared.clone(), listen: running.addresses.clone(), mail, offers, ready };
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || work(post));
        running.threads.push(thread.map_err(|error| cannot_listen("a worker", &error))?);
        let told = told.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        told.map_err(|error| cannot_listen("a worker", &error))?;
    }
    drop(claimed);
    let port = running.addresses.first().map_or(6432, SocketAddr::port);
    let (http, thread) = control::start(shared.clone(), port).await?;
    running.http = http;
    running.threads.push(thread);
    Ok(running)
}

impl Running {
    /// Where it listens, with the ports that the system gave.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Reads the configuration again, on a thread that serves nobody. The log has what came of it.
    pub async fn reload(&self) {
        let shared = self.shared.clone();
        let _ = tokio::task::spawn_blocking(move || shared.reload_from_origin()).await;
    }

    /// Waits until the console is told SHUTDOWN.
    pub fn asked_to_end(&self) -> impl Future<Output = Ending> + use<> {
        let mut asked = self.shared.ending.subscribe();
        async move {
            match asked.wait_for(Option::is_some).await {
                Ok(ending) => (*ending).unwrap_or(Ending::Drained),
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// No new clients; those in a transaction may end it, for `shutdown_timeout`.
    pub async fn drain(self) {
        let shared = self.shared.clone();
        shared.stage.send_replace(Stage::Draining);
        let limit = shared.config.load().server.shutdown_timeout;
        tracing::info!("draining: {} clients", shared.client_count());
        let emptied = async {
            while shared.client_count() > 0 {
                shared.end_clients();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(limit, emptied).await.is_err() {
            tracing::warn!("{} clients were still there after {limit:?}", shared.client_count());
        }
        let threads = tokio::task::spawn_blocking(move || drop(self));
        let _ = threads.await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stage.send_replace(Stage::Stopped);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn claim(listen: &[String]) -> Result<Vec<Claim>, PgError> {
    let mut claimed = Vec::new();
    for name in listen {
        let addresses = net::resolve(name).await.map_err(|error| cannot_listen(name, &error))?;
        for address in addresses {
            claimed.push(Claim::new(address).map_err(|error| cannot_listen(name, &error))?);
        }
    }
    Ok(claimed)
}

/// Clients that come by Unix sockets can't share a port: one acceptor hands them out.
pub(super) async fn hand_out(acceptor: UnixAcceptor, shared: Arc<Shared>) {
    let mut stage = shared.stage.subscribe();
    loop {
        let stream = tokio::select! {
            stream = acceptor.accept() => stream,
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
        };
        match stream.and_then(net::Stream::detach) {
            Ok(detached) => {
                let seat = shared.seats.take();
                if let Some(worker) = shared.mail.get(seat.worker()) {
                    let _ = worker.send(Mail::Client(detached, seat));
                }
            }
            Err(error) => {
                tracing::error!("can't accept clients: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

pub(super) fn cannot_listen(what: &str, error: &io::Error) -> PgError {
    PgError::fatal(SqlState::CANNOT_CONNECT, format!("can't listen on {what}: {error}"))
        .hint("Is another process there? Choose another address in [server].")
}
