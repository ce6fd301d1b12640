//! One client's conversation.

pub mod accept;
pub mod auth;
pub mod client;
pub mod context;
mod downstream;
mod effects;
mod link;
mod lost;
mod probe;
mod relay;
mod route;
mod run;
mod statements;
mod upstream;
mod welcome;

pub use client::Client;
pub use context::{LocalDatabase, Worker};
pub use welcome::{Seat, serve};

use std::rc::Rc;
use std::sync::Arc;

use crate::backend::conn::Parameters;
use crate::backend::login::Identity;
use crate::backend::settings::{Tracker, Value};
use crate::base::{Lsn, PgError};
use crate::config::{Consistency, User};
use crate::net::Stream;
use crate::plan::{Pin, Plan};
use crate::topology::Sequence;
use crate::wire::Buffer;
use context::Reading;
use effects::Transaction;
use link::Link;
use statements::Statements;

/// A client that has come in, between its first request and its last.
pub struct Session {
    worker: Rc<Worker>,
    database: Rc<LocalDatabase>,
    identity: Arc<Identity>,
    user: Option<User>,
    client: Arc<Client>,
    stream: Stream,
    /// From the client, not yet looked at.
    input: Buffer,
    /// For the client; what lies behind `ready` came from a server and hasn't been looked at.
    output: Buffer,
    ready: usize,
    /// Bytes of the client's current frame that are still to be passed on as they come.
    passing: usize,
    /// A request failed here before a server saw it: its messages are dropped up to Sync.
    rejecting: bool,
    settings: Tracker,
    /// What the client knows by ParameterStatus.
    reported: Arc<Parameters>,
    statements: Statements,
    /// Transaction status as the client last heard it.
    status: u8,
    transaction: Transaction,
    pin: Option<Pin>,
    /// The link of a pinned session, while no request runs.
    kept: Option<Box<Link>>,
    default_consistency: Consistency,
    /// The session's latest write, for `consistency = session`.
    own_write: Sequence,
    /// What the session has seen on replicas.
    seen: Lsn,
    /// A read failed on a replica: this request goes to the primary.
    force_primary: bool,
    /// An error to tell the client in place of what the server can't say any more.
    failure: Option<PgError>,
}

impl Session {
    /// The plan of a query string as this session reads it.
    #[inline]
    fn plan(&self, sql: &[u8]) -> Rc<Plan> {
        let settings = self.settings.current();
        let reading = Reading {
            search_path_is_default: settings.get("search_path").is_none(),
            standard_strings: match settings.get("standard_conforming_strings") {
                None => true,
                Some(Value::Config(text)) => text == "on",
                Some(Value::List(values)) => values.iter().all(|value| value == "on"),
            },
        };
        self.database.plan(sql, reading, &self.worker.key)
    }

    fn search_path(&self) -> Option<Value> {
        self.settings.current().get("search_path").cloned()
    }

    fn set_pin(&mut self, pin: Option<Pin>) {
        if let (Some(pin), true) = (pin, self.pin != pin) {
            self.worker.metrics.pinned(client::pin_name(pin));
        }
        self.pin = pin;
        self.client.set_pin(pin);
    }
}
