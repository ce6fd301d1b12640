//! One server connection: what it has of settings and statements, and a few exchanges of our own on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::pool::Pool;
use super::settings::Settings;
use super::statements::OnServer;
use crate::base::{PgError, SqlState, limits};
use crate::net::Stream;
use crate::topology::Server;
use crate::wire::frame::{Frame, HEADER, back};
use crate::wire::message;

/// What a server reported by ParameterStatus, in order of name. Shared by connections that agree.
pub type Parameters = Vec<(String, String)>;

/// Where a cancel request for a connection goes, and how many are on their way: a connection isn't given to its next
/// user before they have arrived.
#[derive(Debug)]
pub struct CancelTarget {
    pub server: Arc<Server>,
    pub process_id: i32,
    pub key: Vec<u8>,
    on_their_way: AtomicUsize,
}

impl CancelTarget {
    pub fn new(server: Arc<Server>, process_id: i32, key: Vec<u8>) -> Self {
        Self { server, process_id, key, on_their_way: AtomicUsize::new(0) }
    }

    #[inline]
    pub fn is_threatened(&self) -> bool {
        self.on_their_way.load(Ordering::Acquire) > 0
    }

    /// A cancel request is on its way until the guard is dropped.
    pub fn threaten(self: &Arc<Self>) -> Threat {
        self.on_their_way.fetch_add(1, Ordering::AcqRel);
        Threat(self.clone())
    }
}

/// Held by whoever sends a cancel request, until the server has closed that request's connection.
#[derive(Debug)]
pub struct Threat(Arc<CancelTarget>);

impl Drop for Threat {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A server connection. Dropping it closes it and gives its place in the pool to whoever waits.
pub struct ServerConn {
    pub stream: Stream,
    pub server: Arc<Server>,
    pub cancel: Arc<CancelTarget>,
    /// The settings in force on it, besides those of its login.
    pub settings: Arc<Settings>,
    pub reported: Arc<Parameters>,
    pub statements: OnServer,
    /// Whose unnamed statement it holds: a number that a session made up, 0 = nobody's.
    pub unnamed: u64,
    pub expires: Instant,
    pub idle_since: Instant,
    held: Held,
}

/// A connection's place in its pool, given back when the connection goes.
struct Held(Arc<Pool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

impl std::fmt::Debug for ServerConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection {} to {}", self.cancel.process_id, self.server.address)
    }
}

/// The answer to a query of our own: rows of text.
pub type TextRows = Vec<Vec<Option<String>>>;

impl ServerConn {
    /// A connection for which `pool` has counted a place.
    pub fn new(stream: Stream, cancel: CancelTarget, reported: Parameters, pool: Arc<Pool>, expires: Instant) -> Self {
        let server = cancel.server.clone();
        Self {
            stream,
            server,
            cancel: Arc::new(cancel),
            settings: Arc::default(),
            reported: Arc::new(reported),
            statements: OnServer::default(),
            unnamed: 0,
            expires,
            idle_since: Instant::now(),
            held: Held(pool),
        }
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.held.0
    }

    /// Moves to the runtime of the calling thread.
    ///
    /// # Errors
    /// Those of the operating system; the connection is closed then.
    pub fn move_here(self) -> io::Result<Self> {
        let stream = self.stream.detach()?.attach()?;
        Ok(Self { stream, ..self })
    }

    /// Takes in what the server said while nobody used the connection. False: it ended, or said what it shouldn't.
    pub fn is_usable(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        if self.stream.poll_read_ready(&mut context).is_pending() {
            return true;
        }
        let mut bytes = [0; 4096];
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(&mut context, &mut buf) {
            Poll::Pending => true,
            Poll::Ready(Err(_)) => false,
            Poll::Ready(Ok(())) => !buf.filled().is_empty() && self.take_idle_messages(buf.filled()),
        }
    }

    /// A parameter that a reload of the server's configuration changed, a notice. Nothing else comes unasked.
    fn take_idle_messages(&mut self, mut bytes: &[u8]) -> bool {
        while let Ok(Some(frame)) = Frame::parse(bytes) {
            let Some((message, rest)) = bytes.split_at_checked(frame.len) else { return false };
            let body = message.get(HEADER..).unwrap_or_default();
            match (frame.tag, message::read_parameter_status(body)) {
                (back::PARAMETER_STATUS, Some((name, value))) => self.report(name, value),
                (back::NOTICE_RESPONSE, _) => {}
                _ => return false,
            }
            bytes = rest;
        }
        bytes.is_empty()
    }

    /// Notes what a ParameterStatus said.
    pub fn report(&mut self, name: String, value: String) {
        set_parameter(Arc::make_mut(&mut self.reported), name, value);
    }

    /// Runs a query string of our own by itself, outside any client's traffic, and gives the rows of all its
    /// statements. Only on a connection without anything in flight.
    ///
    /// # Errors
    /// The server's error (the connection is usable then), or 08006 (it isn't: the second value is true).
    pub async fn run(&mut self, sql: &str) -> Result<TextRows, (PgError, bool)> {
        let mut out = Vec::with_capacity(sql.len() + 6);
        message::query(&mut out, sql.as_bytes());
        self.stream.write_all(&out).await.map_err(|error| lost(&self.server, &error))?;
        self.stream.flush().await.map_err(|error| lost(&self.server, &error))?;
        let mut rows = TextRows::new();
        let mut failure = None;
        loop {
            let (tag, body) = self.read_frame().await?;
            match tag {
                back::DATA_ROW => rows.push(text_row(&body).ok_or_else(|| self.malformed())?),
                back::ERROR_RESPONSE => failure = Some(message::read_error(&body)),
                back::PARAMETER_STATUS => {
                    if let Some((name, value)) = message::read_parameter_status(&body) {
                        self.report(name, value);
                    }
                }
                back::READY_FOR_QUERY => {
                    return match failure {
                        Some(error) => Err((error, false)),
                        None => Ok(rows),
                    };
                }
                back::COPY_IN_RESPONSE | back::COPY_BOTH_RESPONSE | back::AUTHENTICATION => {
                    return Err(self.malformed());
                }
                _ => {}
            }
        }
    }

    async fn read_frame(&mut self) -> Result<(u8, Vec<u8>), (PgError, bool)> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).await.map_err(|error| lost(&self.server, &error))?;
        let frame = match Frame::parse(&header) {
            Ok(Some(frame)) if frame.len <= limits::SERVER_CONTROL_MESSAGE => frame,
            _ => return Err(self.malformed()),
        };
        let mut body = vec![0; frame.len - HEADER];
        self.stream.read_exact(&mut body).await.map_err(|error| lost(&self.server, &error))?;
        Ok((frame.tag, body))
    }

    fn malformed(&self) -> (PgError, bool) {
        let text = format!("server {} sent a malformed message", self.server.address);
        (PgError::error(SqlState::PROTOCOL_VIOLATION, text), true)
    }
}

fn text_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let columns = message::read_data_row(body)?;
    Some(columns.into_iter().map(|value| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect())
}

fn lost(server: &Server, error: &io::Error) -> (PgError, bool) {
    (connection_lost(server, &error.to_string()), true)
}

/// What a client is told when its server connection breaks under it.
pub fn connection_lost(server: &Server, why: &str) -> PgError {
    PgError::error(SqlState::CONNECTION_FAILURE, format!("connection to server {} was lost: {why}", server.address))
        .hint("The statement may or may not have been carried out. Run the transaction again if that is safe.")
}

/// Sets one entry of a sorted list of parameters.
pub fn set_parameter(parameters: &mut Parameters, name: String, value: String) {
    match parameters.binary_search_by(|(other, _)| other.as_str().cmp(&name)) {
        Ok(at) => {
            if let Some(entry) = parameters.get_mut(at) {
                entry.1 = value;
            }
        }
        Err(at) => parameters.insert(at, (name, value)),
    }
}
