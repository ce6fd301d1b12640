//! One worker: a thread with a runtime of its own, on which its clients live and die.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use super::admission::{Admission, CONSOLE};
use super::seats::Taken;
use super::shared::{Mail, Shared, Stage};
use super::turns::Turns;
use crate::backend::Offer;
use crate::base::{PgError, SqlState, limits};
use crate::config::Scheduling;
use crate::net::{Detached, Stream, TcpAcceptor};
use crate::session::accept::{Accepted, NewClient, accept};
use crate::session::{Seat, Worker, serve};
use crate::sql::fingerprint::FingerprintKey;

/// What a worker starts with.
pub struct Post {
    pub number: usize,
    pub shared: Arc<Shared>,
    pub listen: Vec<std::net::SocketAddr>,
    pub mail: mpsc::UnboundedReceiver<Mail>,
    pub offers: mpsc::UnboundedReceiver<Offer>,
    /// Told once it listens.
    pub ready: oneshot::Sender<io::Result<()>>,
}

/// How often idle connections are looked after.
const TEND: Duration = Duration::from_secs(1);
/// Pause after the system refused to accept (file descriptors ran out).
const PAUSE: Duration = Duration::from_millis(50);

/// The body of a worker's thread; returns when the proxy has stopped.
pub fn work(post: Post) {
    // Not a `LocalSet`: that one writes to an eventfd whenever the driver wakes one of its tasks.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let scheduling = post.shared.config.load().server.scheduling;
    let turns = (scheduling == Scheduling::Auto).then(|| Turns::new(post.shared.telemetry.sessions()));
    if let Some(turns) = turns.flatten() {
        builder.on_thread_park(move || turns.sleeps());
    }
    match builder.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime.block_on(run(post)),
        Err(error) => drop(post.ready.send(Err(error))),
    }
}

async fn run(post: Post) {
    let Post { number, shared, listen, mail, offers, ready } = post;
    let acceptors: io::Result<Vec<_>> = listen.into_iter().map(TcpAcceptor::bind).collect();
    let acceptors = match acceptors {
        Ok(acceptors) => acceptors,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let key = FingerprintKey::new(shared.fingerprint_seed);
    let worker = Rc::new(Worker::new(number, shared.telemetry.clone(), shared.registry.clone(), key));
    let door = Rc::new(Door { admission: Admission { shared: shared.clone(), worker: worker.clone() } });
    for acceptor in acceptors {
        spawn_local(listen_on(acceptor, door.clone()));
    }
    spawn_local(answer_offers(offers, worker.clone()));
    spawn_local(tend(worker.clone()));
    spawn_local(read_mail(mail, door));
    let _ = ready.send(Ok(()));
    let mut stage = shared.stage.subscribe();
    let _ = stage.wait_for(|stage| *stage == Stage::Stopped).await;
}

/// Where clients come in.
struct Door {
    admission: Admission,
}

async fn listen_on(acceptor: TcpAcceptor, door: Rc<Door>) {
    let mut stage = door.admission.shared.stage.subscribe();
    loop {
        let stream = tokio::select! {
            stream = acceptor.accept() => stream,
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
        };
        match stream {
            Ok(stream) => {
                door.clone().admit(stream);
            }
            Err(error) => {
                tracing::error!("can't accept clients: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Door {
    /// Serves a client that came in here, or sends it to the worker where its place is.
    fn admit(self: Rc<Self>, stream: Stream) {
        let shared = self.admission.shared.clone();
        let seat = shared.seats.take();
        if seat.worker() == self.admission.worker.number {
            spawn_local(self.receive(stream, seat));
        } else if let (Some(other), Ok(detached)) = (shared.mail.get(seat.worker()), stream.detach()) {
            let _ = other.send(Mail::Client(detached, seat));
        }
    }

    async fn receive(self: Rc<Self>, stream: Stream, _seat: Taken) {
        let shared = self.admission.shared.clone();
        let _here = self.admission.worker.metrics.clients.raise();
        let Some((seat, new)) = Box::pin(self.let_in(stream)).await else { return };
        let client = seat.client.clone();
        // The future of the session is all that an idle client keeps.
        Box::pin(serve(seat, new)).await;
        shared.delist(&client);
        if shared.config.load().log.connections {
            tracing::info!(client = %client.peer, user = %client.user, database = %client.database, "left");
        }
    }

    /// A client for a session; everything else that comes is dealt with here.
    async fn let_in(self: Rc<Self>, stream: Stream) -> Option<(Seat, Box<NewClient>)> {
        let shared = &self.admission.shared;
        let settings = shared.accept.load_full();
        match accept(stream, &settings, &self.admission).await {
            Ok(Accepted::Closed) => {}
            Ok(Accepted::Cancel { process_id, key, stream }) => {
                self.admission.worker.metrics.cancels.inc();
                shared.cancel(process_id, &key).await;
                // Closed when the server has it: clients wait for that.
                drop(stream);
            }
            Ok(Accepted::Client(new)) if new.database == CONSOLE => self.console(new).await,
            Ok(Accepted::Client(new)) => return self.seat(new).await,
            Err(error) => {
                self.admission.worker.metrics.login_failed(error.code());
                tracing::info!(sqlstate = %error.code(), "login failed: {}", error.message());
            }
        }
        None
    }

    async fn seat(&self, mut new: Box<NewClient>) -> Option<(Seat, Box<NewClient>)> {
        let shared = &self.admission.shared;
        let client = match shared.enlist(&new) {
            Ok(client) => client,
            Err(error) => {
                self.admission.worker.metrics.login_failed(error.code());
                tell(&mut new.stream, &error).await;
                return None;
            }
        };
        // Only now: a reload that takes the database away ends those on the list.
        let Some(database) = shared.database(&new.database) else {
            shared.delist(&client);
            let text = format!("database \"{}\" does not exist", new.database);
            tell(&mut new.stream, &PgError::fatal(SqlState::INVALID_CATALOG_NAME, text)).await;
            return None;
        };
        if shared.config.load().log.connections {
            tracing::info!(client = %client.peer, user = %client.user, database = %client.database, "came in");
        }
        let seat = Seat {
            worker: self.admission.worker.clone(),
            database: self.admission.worker.database(&database),
            sharded: shared.sharded(&new.database),
            user: shared.config.load().users.get(&new.user).cloned(),
            client,
        };
        Some((seat, new))
    }

    async fn console(&self, mut new: Box<NewClient>) {
        let shared = &self.admission.shared;
        if !shared.config.load().server.admin_users.contains(&new.user) {
            let error = PgError::fatal(
                SqlState::INVALID_AUTHORIZATION,
                format!("role \"{}\" may not use the console", new.user),
            )
            .hint("Add it to server.admin_users.");
            return tell(&mut new.stream, &error).await;
        }
        super::control::console(shared, &mut new).await;
    }
}

async fn tell(stream: &mut Stream, error: &PgError) {
    use tokio::io::AsyncWriteExt;
    let mut bytes = Vec::new();
    crate::wire::message::error_response(&mut bytes, error);
    let _ = tokio::time::timeout(limits::FAREWELL, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    })
    .await;
}

async fn read_mail(mut mail: mpsc::UnboundedReceiver<Mail>, door: Rc<Door>) {
    while let Some(mail) = mail.recv().await {
        match mail {
            Mail::Client(detached, seat) => {
                if let Ok(stream) = Detached::attach(detached) {
                    spawn_local(door.clone().receive(stream, seat));
                }
            }
            Mail::Reloaded => {
                let current = door.admission.shared.databases.load_full();
                let wanted = |database: &Arc<crate::backend::Database>| {
                    current.get(&*database.name).is_some_and(|other| Arc::ptr_eq(other, database))
                };
                door.admission.worker.keep_databases(wanted);
            }
        }
    }
}

async fn answer_offers(mut offers: mpsc::UnboundedReceiver<Offer>, worker: Rc<Worker>) {
    while let Some(Offer(pool)) = offers.recv().await {
        for database in worker.databases() {
            database.each_pool(|local| {
                if Arc::ptr_eq(&local.shared, &pool) {
                    local.answer_offer();
                }
            });
        }
    }
}

async fn tend(worker: Rc<Worker>) {
    let mut tick = tokio::time::interval(TEND);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        worker.tend_sharded();
        for database in worker.databases() {
            for pool in database.pools() {
                pool.tend();
                pool.fill().await;
            }
        }
    }
}
