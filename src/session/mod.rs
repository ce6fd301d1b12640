//! One client's conversation.

pub mod accept;
pub mod auth;
pub mod client;
pub mod context;
mod coordinator;
mod downstream;
mod dress;
mod effects;
mod familiar;
mod leave;
mod link;
mod listed;
mod lost;
mod named;
mod probe;
mod relay;
mod reload;
mod resets;
mod route;
mod run;
mod statements;
mod timeouts;
mod upstream;
mod welcome;

pub use client::Client;
pub use context::{LocalDatabase, Worker};
pub use welcome::{Seat, serve};

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::backend::LocalPool;
use crate::backend::conn::Parameters;
use crate::backend::database::Purpose;
use crate::backend::login::Identity;
use crate::backend::settings::{Settings, Tracker, Value};
use crate::base::{Lsn, PgError};
use crate::catalog::defaults::SEARCH_PATH;
use crate::config::{Consistency, User};
use crate::net::Stream;
use crate::plan::{Pin, Plan};
use crate::topology::Sequence;
use crate::wire::Buffer;
use context::Reading;
use effects::Transaction;
use link::Link;
use statements::Statements;
use timeouts::Timeouts;

/// A client that has come in, between its first request and its last.
pub struct Session {
    /// Its own in this process.
    number: u64,
    worker: Rc<Worker>,
    database: Rc<LocalDatabase>,
    /// Its user's pools at the database's servers, as far as they were needed.
    pools: Vec<Option<Rc<LocalPool>>>,
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
    reads: RefCell<Reads>,
    /// What the client knows by ParameterStatus.
    reported: Arc<Parameters>,
    statements: Statements,
    /// Transaction status as the client last heard it.
    status: u8,
    transaction: Transaction,
    /// The schema's generation in a transaction that changes definitions, which nobody else sees yet: above all that are
    /// everybody's, and another with each change.
    redefined: u64,
    pin: Option<Pin>,
    /// What its connections are for.
    purpose: Purpose,
    /// The link of a pinned session, while no request runs.
    kept: Option<Box<Link>>,
    default_consistency: Consistency,
    /// The session's latest write, for `consistency = session`.
    own_write: Sequence,
    /// What the session has seen on replicas.
    seen: Lsn,
    /// A read failed on a replica: this request goes to the primary.
    force_primary: bool,
    timeouts: Timeouts,
    /// Of the database, when this session last looked at its configuration.
    epoch: u64,
    /// An error to tell the client in place of what the server can't say any more.
    failure: Option<PgError>,
    /// The coordinator's view of it, if it serves one.
    mirror: Option<Rc<coordinator::shard::Mirror>>,
}

impl Session {
    /// The plan of a query string as this session reads it.
    #[inline]
    fn plan(&self, sql: &[u8]) -> Rc<Plan> {
        let mut reads = self.reads.borrow_mut();
        let settings = self.settings.current();
        if !Arc::ptr_eq(&reads.under, settings) {
            *reads = Reads::under(settings);
        }
        // The lexer needs bytes below 0x80 to be ASCII wherever they stand.
        if reads.hides_ascii && !sql.is_ascii() {
            return Rc::new(Plan::unknown(sql.len()));
        }
        self.database.plan(sql, reads.reading, &self.worker.key)
    }

    fn standard_strings(&self) -> bool {
        standard_strings(self.settings.current())
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

/// How texts are read under some settings.
struct Reads {
    under: Arc<Settings>,
    reading: Reading,
    /// The client's encoding hides ASCII bytes within other characters.
    hides_ascii: bool,
}

impl Reads {
    fn under(settings: &Arc<Settings>) -> Self {
        let reading = Reading {
            search_path_is_default: is_default_path(settings.get("search_path")),
            standard_strings: standard_strings(settings),
        };
        let encoding = settings.get("client_encoding").map(value_text);
        Self { under: settings.clone(), reading, hides_ascii: encoding.is_some_and(|name| !is_ascii_superset(name)) }
    }
}

fn standard_strings(settings: &Settings) -> bool {
    match settings.get("standard_conforming_strings") {
        None => true,
        Some(value) => ["on", "true", "yes", "1"].contains(&value_text(value)),
    }
}

/// A setting's value, where it is one word.
pub(super) fn value_text(value: &Value) -> &str {
    match value {
        Value::Config(text) => text,
        Value::List(values) => values.first().map_or("", String::as_str),
    }
}

/// Whether names are looked up where PostgreSQL does by itself.
fn is_default_path(search_path: Option<&Value>) -> bool {
    search_path.is_none_or(|path| matches!(path, Value::Config(text) if text == SEARCH_PATH))
}

/// Client-only encodings hide ASCII bytes within others' characters (`pg_wchar.h`, PG_ENCODING_BE_LAST); these don't.
fn is_ascii_superset(encoding: &str) -> bool {
    let plain: String = encoding.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    plain.starts_with("utf8")
        || plain.starts_with("unicode")
        || plain.starts_with("latin")
        || plain.starts_with("iso8859")
        || plain.starts_with("win125")
        || plain.starts_with("windows125")
        || ["sqlascii", "euccn", "eucjp", "euckr", "euctw", "koi8r", "koi8u", "win866", "win874"]
            .contains(&plain.as_str())
}
