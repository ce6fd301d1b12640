//! A client's coming in to a sharded database, and the loop that serves it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::describe::LocalSharded;
use super::segment::Segment;
use super::shard::{Origin, ShardLink};
use super::{Coordinator, Go, Stop};
use crate::backend::database::Purpose;
use crate::base::{PgError, SqlState};
use crate::catalog::defaults::spoken;
use crate::config::User;
use crate::session::accept::NewClient;
use crate::session::client::{Client, State};
use crate::session::context::Worker;
use crate::session::upstream::protocol_error;
use crate::session::welcome::in_order;
use crate::wire::frame::{HEADER, back, front};
use crate::wire::{Buffer, message};

/// What a coordinator is made from, besides the client itself.
pub struct ShardedSeat {
    pub worker: Rc<Worker>,
    pub database: Rc<LocalSharded>,
    pub user: Option<User>,
    pub client: Arc<Client>,
}

/// Serves a client of a sharded database, until it goes.
pub async fn serve(seat: ShardedSeat, new: Box<NewClient>) {
    let NewClient { stream, parameters, leftover, user, credentials, peer, .. } = *new;
    let told = seat.client.process_id;
    let origin =
        Origin { told, worker: seat.worker.clone(), user_name: user, user: seat.user, credentials, parameters, peer };
    let mut input = Buffer::default();
    if !leftover.is_empty() {
        input = seat.worker.take_buffer();
        input.extend(&leftover);
    }
    let shards = seat.database.shared.shards.len();
    let mut coordinator = Box::new(Coordinator {
        origin,
        worker: seat.worker,
        database: seat.database,
        client: seat.client,
        stream,
        input,
        output: Vec::new(),
        sent: 0,
        copying: None,
        links: (0..shards).map(|_| None).collect(),
        home_mirror: None,
        reads: RefCell::default(),
        parts: Default::default(),
        reported: Default::default(),
        news: Default::default(),
        tail: Vec::new(),
        statements: Default::default(),
        unnamed: None,
        portals: Default::default(),
        cursors: Default::default(),
        temporary: Default::default(),
        made: 0,
        block: None,
        committing: false,
        segment: Segment::default(),
        text_offset: 0,
        sql_prepared: Default::default(),
    });
    if coordinator.welcome().await.is_ok() {
        while coordinator.turn().await.is_ok() {}
    }
    coordinator.client.follow(None);
}

impl Coordinator {
    /// Logs in on the home shard and passes on what it says.
    async fn welcome(&mut self) -> Go {
        let home = self.home();
        self.origin.parameters = match in_order(std::mem::take(&mut self.origin.parameters)) {
            Ok(parameters) => parameters,
            Err(error) => return Err(self.refuse_login(error).await),
        };
        // Without a view nothing is planned yet, and the client is told so by what it asks.
        let shared = self.database.shared.clone();
        if let Ok(view) = self.or_gone(async move { shared.settled().await }).await? {
            let shards: Vec<_> = view.read.iter().map(|schema| &schema.defaults).collect();
            let mut parameters = spoken(&view.schema.defaults, &shards, &self.origin.user_name);
            // What the client says itself comes later, and counts.
            parameters.append(&mut self.origin.parameters);
            self.origin.parameters = parameters;
        }
        let mut link = self.new_link(home)?;
        let answer = match self.ask(&mut link).await {
            Ok(answer) => answer,
            Err(Stop::Error(error)) => return Err(self.refuse_login(*error).await),
            Err(stop) => return Err(stop),
        };
        if let Err(error) = answer.good() {
            return Err(self.refuse_login(error).await);
        }
        self.put_link(home, link);
        self.worker.metrics.logins.inc();
        let client = self.client.clone();
        self.report();
        message::backend_key_data(&mut self.output, client.process_id, &client.key);
        self.ready();
        self.flush().await
    }

    async fn refuse_login(&mut self, error: PgError) -> Stop {
        self.tell_and_end(error).await
    }

    /// A link to a shard, whose welcome hasn't been read yet.
    pub(super) fn new_link(&self, shard: usize) -> Go<Box<ShardLink>> {
        let Some(database) = self.database.shared.shards.get(shard) else {
            return Err(PgError::error(SqlState::INTERNAL_ERROR, "no such shard").into());
        };
        let link = ShardLink::start(shard, &self.origin, database, Purpose::Clients);
        self.client.follow(Some(link.client.clone()));
        self.parts.add(shard, link.client.clone());
        Ok(Box::new(link))
    }

    /// One message of the client's.
    async fn turn(&mut self) -> Go {
        let frame = self.client_frame().await?;
        let bytes = self.input.filled().get(..frame.len).unwrap_or_default().to_vec();
        self.input.consume(frame.len);
        let body = bytes.get(HEADER..).unwrap_or_default();
        self.client.set_state(State::Active);
        let result = match frame.tag {
            front::TERMINATE => Err(Stop::Over),
            front::QUERY => self.simple(body).await,
            front::SYNC => self.synced().await,
            front::PARSE | front::BIND | front::DESCRIBE | front::EXECUTE | front::CLOSE | front::FLUSH => {
                self.extended(frame.tag, body).await
            }
            front::COPY_DATA | front::COPY_DONE | front::COPY_FAIL => {
                // The Execute before it may not have been sent yet.
                self.give_back(&bytes);
                match self.settle().await {
                    Ok(()) => {
                        self.drop_copy();
                        Ok(())
                    }
                    other => other,
                }
            }
            front::FUNCTION_CALL => {
                let text = "the function call message isn't supported on a sharded database";
                self.tell(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint("Use SELECT function(…)."));
                self.ready();
                Ok(())
            }
            tag => Err(self.tell_and_end(protocol_error(format!("invalid frontend message type {tag}"))).await),
        };
        self.client.set_state(State::Idle);
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Over) => Err(Stop::Over),
            // Within extended messages: the rest is skipped up to Sync.
            Err(Stop::Error(error)) => {
                // What was asked before is answered before.
                match self.settle().await {
                    Ok(()) => self.tell(*error),
                    Err(Stop::Error(earlier)) => self.tell(*earlier),
                    Err(Stop::Told) => {}
                    Err(Stop::Over) => return Err(Stop::Over),
                }
                self.segment.skipping = true;
                Ok(())
            }
            Err(Stop::Told) => {
                self.segment.skipping = true;
                Ok(())
            }
        }
    }

    /// Puts a frame back to be read again.
    fn give_back(&mut self, bytes: &[u8]) {
        if self.input.capacity() == 0 {
            self.input = self.worker.take_buffer();
        }
        self.input.insert(0, bytes);
    }

    /// Drops the COPY message at hand, if no COPY took it.
    fn drop_copy(&mut self) {
        if let Ok(Some(frame)) = crate::wire::Frame::parse(self.input.filled())
            && matches!(frame.tag, front::COPY_DATA | front::COPY_DONE | front::COPY_FAIL)
            && self.input.len() >= frame.len
        {
            self.input.consume(frame.len);
        }
    }
}

/// The body of a RowDescription, its columns' formats set as asked in Bind.
pub(super) fn with_formats(row: &[u8], formats: &[i16]) -> Vec<u8> {
    let mut row = row.to_vec();
    let Some(count) = row.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes)) else { return row };
    let mut at = 2;
    for column in 0..usize::from(count) {
        let Some(end) = row.get(at..).and_then(|rest| memchr::memchr(0, rest)) else { break };
        at += end + 1 + 18;
        let format = match formats {
            [] => 0,
            [one] => *one,
            many => many.get(column).copied().unwrap_or(0),
        };
        if let Some(field) = row.get_mut(at.saturating_sub(2)..at) {
            field.copy_from_slice(&format.to_be_bytes());
        }
    }
    row
}

/// The format of each column in a RowDescription's body.
pub(super) fn formats_of(row: &[u8]) -> Vec<i16> {
    let mut formats = Vec::new();
    let mut at = 2;
    while let Some(end) = row.get(at..).and_then(|rest| memchr::memchr(0, rest)) {
        at += end + 1 + 18;
        let Some(field) = row.get(at - 2..at).and_then(|field| field.first_chunk::<2>()) else { break };
        formats.push(i16::from_be_bytes(*field));
    }
    formats
}

/// Appends a message with this body.
pub(super) fn put_body(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    message::put(out, tag, |out| out.extend_from_slice(body));
}

pub(super) const NO_DATA: u8 = back::NO_DATA;
