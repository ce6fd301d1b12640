//! From AuthenticationOk to the first request: start-up parameters, what the server reports, the cancel key.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::accept::NewClient;
use super::client::Client;
use super::context::{LocalDatabase, Worker};
use super::coordinator::shard::Mirror;
use super::coordinator::{self, ShardedSeat};
use super::effects::Transaction;
use super::route::Target;
use super::statements::Statements;
use super::timeouts::Timeouts;
use super::{Reads, Session, link};
use crate::backend::ShardedDatabase;
use crate::backend::database::{Purpose, Template};
use crate::backend::login::Identity;
use crate::backend::monitor;
use crate::backend::settings::{Settings, Tracker};
use crate::base::{Lsn, PgError, SqlState, limits};
use crate::config::User;
use crate::net::Stream;
use crate::wire::{Buffer, message};

/// What a session is made from, besides the client itself.
pub struct Seat {
    pub worker: Rc<Worker>,
    pub database: Rc<LocalDatabase>,
    /// The sharded database of which `database` is the home shard, where the client asked for one.
    pub sharded: Option<Arc<ShardedDatabase>>,
    /// The user's entry in `[users]`, if there is one.
    pub user: Option<User>,
    pub client: Arc<Client>,
}

/// Serves a client that has authenticated, until it goes.
pub async fn serve(seat: Seat, new: Box<NewClient>) {
    if let Some(sharded) = &seat.sharded {
        let database = seat.worker.sharded(sharded);
        let seat = ShardedSeat { worker: seat.worker, database, user: seat.user, client: seat.client };
        return Box::pin(coordinator::serve(seat, new)).await;
    }
    serve_one(seat, new, None, Purpose::Clients).await;
}

/// Serves a coordinator as a client is served; what it must know is shown in `mirror`.
pub(super) async fn serve_within(seat: Seat, new: Box<NewClient>, mirror: Rc<Mirror>, purpose: Purpose) {
    serve_one(seat, new, Some(mirror), purpose).await;
}

async fn serve_one(seat: Seat, new: Box<NewClient>, mirror: Option<Rc<Mirror>>, purpose: Purpose) {
    let NewClient { stream, parameters, leftover, user, credentials, .. } = *new;
    let mut session = Box::new(make_session(seat, stream, Identity { user, credentials }));
    session.mirror = mirror;
    session.purpose = purpose;
    if purpose == Purpose::Gather {
        // It waits in its transaction for the shards' rows, and ends with the statement.
        session.timeouts.idle_transaction = None;
    }
    if !leftover.is_empty() {
        session.need_input();
        session.input.extend(&leftover);
    }
    if Box::pin(session.welcome(parameters)).await {
        session.run().await;
    }
}

fn make_session(seat: Seat, stream: Stream, identity: Identity) -> Session {
    let default_consistency = seat.database.shared.config().replicas.consistency;
    // Before what it stands for is read: a reload in between is seen as one.
    let epoch = seat.database.shared.epoch();
    let timeouts = Timeouts::new(&seat.database.shared.config().pool);
    Session {
        number: seat.worker.unique(),
        worker: seat.worker,
        database: seat.database,
        pools: Vec::new(),
        identity: Arc::new(identity),
        user: seat.user,
        client: seat.client,
        stream,
        input: Buffer::default(),
        output: Buffer::default(),
        ready: 0,
        passing: 0,
        rejecting: false,
        settings: Tracker::new(Arc::default()),
        reads: RefCell::new(Reads::under(&Arc::default())),
        reported: Arc::default(),
        statements: Statements::default(),
        status: b'I',
        transaction: Transaction::default(),
        redefined: crate::backend::statements::OWN_GENERATIONS,
        pin: None,
        purpose: Purpose::Clients,
        kept: None,
        default_consistency,
        own_write: 0,
        seen: Lsn(0),
        force_primary: false,
        timeouts,
        epoch,
        failure: None,
        mirror: None,
    }
}

impl Session {
    /// Says all that comes before the first ReadyForQuery. False: the client was told why not, or is gone.
    async fn welcome(&mut self, parameters: Vec<(String, String)>) -> bool {
        match self.start_up(parameters).await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                self.worker.metrics.login_failed(error.code());
                tracing::info!(
                    client = %self.client.peer, user = %self.client.user, database = %self.client.database,
                    sqlstate = %error.code(), "login failed: {}", error.message()
                );
                self.say(|out| message::error_response(out, &error.into_fatal()));
                let _ = tokio::time::timeout(limits::FAREWELL, self.flush()).await;
                return false;
            }
        }
        self.worker.metrics.logins.inc();
        self.pin_by_mode();
        let reported = self.reported.clone();
        let client = self.client.clone();
        self.say(|out| {
            for (name, value) in reported.iter() {
                // Whichever server was asked: what isn't a read is answered by the primary.
                let value = if name == "in_hot_standby" { "off" } else { value };
                message::parameter_status(out, name, value);
            }
            message::backend_key_data(out, client.process_id, &client.key);
            message::ready_for_query(out, b'I');
        });
        self.flush().await.is_ok()
    }

    /// Puts the start-up parameters in force. What the server makes of them is asked once for each set of them.
    async fn start_up(&mut self, parameters: Vec<(String, String)>) -> Result<bool, PgError> {
        let settings = startup_settings(parameters)?;
        self.note_commit_settings(&settings);
        let shared = self.database.shared.clone();
        if let Some((settings, template)) = shared.template(&self.identity.user, &settings) {
            self.settings = Tracker::new(settings);
            self.reported = template.reported;
            self.say(|out| out.extend_from_slice(&template.notices));
            self.follow_catalog();
            return Ok(true);
        }
        let Ok(found) = self.find_connection(Target::Primary).await else { return Ok(false) };
        let (mut conn, pool, side) = found?;
        debug_assert_eq!(side, link::Side::Primary);
        let settings = Arc::new(settings);
        let mut notices = Vec::new();
        if let Some(script) = self.fitting(&conn, &settings)
            && let Err((error, lost)) = self.dress_now(&mut conn, &settings, &script, &mut notices).await
        {
            if !lost {
                pool.checkin(conn);
            }
            return Err(error);
        }
        self.follow_catalog();
        self.reported = conn.reported.clone();
        self.say(|out| out.extend_from_slice(&notices));
        let template = Template { reported: self.reported.clone(), notices: notices.into() };
        shared.set_template(&self.identity.user, settings.clone(), template);
        self.settings = Tracker::new(settings);
        pool.checkin(conn);
        Ok(true)
    }

    /// Has the catalog followed in its user's name, where nobody does.
    fn follow_catalog(&self) {
        let database = &self.database.shared;
        if database.needs_follower() {
            let (database, telemetry) = (database.clone(), self.worker.telemetry.clone());
            tokio::task::spawn_local(monitor::follow_catalog(database, self.identity.clone(), telemetry));
        }
    }
}

/// The settings in a start-up packet.
///
/// # Errors
/// As [`in_order`]; 54000 where there are too many.
fn startup_settings(parameters: Vec<(String, String)>) -> Result<Settings, PgError> {
    let all = in_order(parameters)?;
    if all.len() > limits::SESSION_SETTINGS {
        return Err(PgError::fatal(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many start-up parameters"));
    }
    Ok(Settings::from_startup(all))
}

/// The parameters of a start-up packet as settings: first those within `options`, of which the last counts, then the
/// others. Where two name one setting the later counts (`process_startup_options`).
///
/// # Errors
/// 0A000 for switches of `options` other than `-c` and `--name=value`.
pub(super) fn in_order(parameters: Vec<(String, String)>) -> Result<Vec<(String, String)>, PgError> {
    let (options, named): (Vec<_>, Vec<_>) = parameters.into_iter().partition(|(name, _)| name == "options");
    let mut all = options.last().map_or(Ok(Vec::new()), |(_, value)| read_options(value))?;
    all.extend(named);
    Ok(all)
}

/// `-c name=value`, `-cname=value`, `--name=value`, parted by blanks; a backslash keeps the next byte as it is
/// (`pg_split_opts`). Dashes in a `--name` stand for underscores (`ParseLongOption`).
fn read_options(options: &str) -> Result<Vec<(String, String)>, PgError> {
    let unsupported = |word: &str| {
        let name = word.split('=').next().unwrap_or_default().to_owned();
        PgError::fatal(SqlState::FEATURE_NOT_SUPPORTED, format!("unsupported switch in start-up options: {name}"))
            .hint("-c name=value and --name=value are supported.")
    };
    let mut words = split_options(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => long.to_owned(),
            (None, Some("")) => words.next().ok_or_else(|| unsupported(&word))?,
            (None, Some(short)) => short.to_owned(),
            (None, None) => return Err(unsupported(&word)),
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| unsupported(&word))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn split_options(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_postgres_does() {
        let read = |text: &str| read_options(text).map_err(|error| error.code().to_string());
        let pairs = |pairs: &[(&str, &str)]| -> Result<Vec<(String, String)>, String> {
            Ok(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
        };
        assert_eq!(read("-c search_path=a,b  --work-mem=1MB"), pairs(&[("search_path", "a,b"), ("work_mem", "1MB")]));
        assert_eq!(read(r"-capp.x=a\ b\\c"), pairs(&[("app.x", r"a b\c")]));
        assert_eq!(read(" "), pairs(&[]));
        assert_eq!(read("-e"), Err("0A000".into()));
        assert_eq!(read("-c"), Err("0A000".into()));
    }
}
