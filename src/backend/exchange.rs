//! A query of our own on a server connection, by the simple protocol: text in, rows of text out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::conn::{Parameters, connection_lost, set_parameter};
use crate::base::{PgError, SqlState, limits};
use crate::net::Stream;
use crate::topology::Server;
use crate::wire::frame::{Frame, HEADER, back};
use crate::wire::{Buffer, message};

/// Bytes taken from the socket at once.
const READ: usize = 8 << 10;

/// The answer to a query of our own: rows of text.
pub type TextRows = Vec<Vec<Option<String>>>;

/// A server connection without anything in flight, for as long as one exchange takes.
pub struct Exchange<'a> {
    pub stream: &'a mut Stream,
    pub server: &'a Server,
    /// What the server reports in between is noted here.
    pub reported: &'a mut Arc<Parameters>,
    /// Where its notifications are put, as they came; they are the client's.
    pub heard: Option<&'a mut Vec<u8>>,
    /// Where notices are put, where somebody wants them.
    pub notices: Option<&'a mut Vec<u8>>,
}

impl Exchange<'_> {
    /// Runs a query string by itself and gives the rows of all its statements. Not cancel safe: a connection whose
    /// exchange was dropped is of no more use.
    ///
    /// # Errors
    /// The server's error (the connection is usable then), or 08006 (it isn't: the second value is true).
    pub async fn run(&mut self, sql: &str) -> Result<TextRows, (PgError, bool)> {
        let mut out = Vec::with_capacity(sql.len() + 6);
        message::query(&mut out, sql.as_bytes());
        self.stream.write_all(&out).await.map_err(|error| self.lost(&error))?;
        self.stream.flush().await.map_err(|error| self.lost(&error))?;
        let mut rows = TextRows::new();
        let mut failure = None;
        let mut input = Buffer::new(READ);
        loop {
            let (tag, body) = match self.read_frame(&mut input).await {
                Ok(frame) => frame,
                // A server that closes says why before.
                Err((error, _)) => return Err((failure.unwrap_or(error), true)),
            };
            match tag {
                back::DATA_ROW => rows.push(text_row(&body).ok_or_else(|| self.malformed())?),
                back::ERROR_RESPONSE => failure = Some(message::read_error(&body)),
                back::PARAMETER_STATUS => {
                    if let Some((name, value)) = message::read_parameter_status(&body) {
                        set_parameter(Arc::make_mut(self.reported), name, value);
                    }
                }
                back::NOTIFICATION_RESPONSE => {
                    if let Some(heard) = &mut self.heard {
                        message::put(heard, tag, |out| out.extend_from_slice(&body));
                    }
                }
                back::NOTICE_RESPONSE => {
                    if let Some(notices) = &mut self.notices {
                        message::put(notices, tag, |out| out.extend_from_slice(&body));
                    }
                }
                back::READY_FOR_QUERY if !self.take_idle_messages(input.filled()) => return Err(self.malformed()),
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

    /// Takes in what the server says unasked. Ready(true): it said something that it may. Ready(false): the connection
    /// ended, or it said what it shouldn't.
    pub fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.stream.poll_read_ready(context).is_pending() {
            return Poll::Pending;
        }
        let mut bytes = [0; 4096];
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *self.stream).poll_read(context, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(())) => Poll::Ready(!buf.filled().is_empty() && self.take_idle_messages(buf.filled())),
        }
    }

    /// A parameter that a reload of the server's configuration changed, a notice. Nothing else comes unasked.
    fn take_idle_messages(&mut self, mut bytes: &[u8]) -> bool {
        while let Ok(Some(frame)) = Frame::parse(bytes) {
            let Some((message, rest)) = bytes.split_at_checked(frame.len) else { return false };
            let body = message.get(HEADER..).unwrap_or_default();
            match (frame.tag, message::read_parameter_status(body)) {
                (back::PARAMETER_STATUS, Some((name, value))) => {
                    set_parameter(Arc::make_mut(self.reported), name, value);
                }
                (back::NOTICE_RESPONSE, _) => {}
                (back::NOTIFICATION_RESPONSE, _) if self.heard.is_some() => {
                    if let Some(heard) = &mut self.heard {
                        message::put(heard, frame.tag, |out| out.extend_from_slice(body));
                    }
                }
                _ => return false,
            }
            bytes = rest;
        }
        bytes.is_empty()
    }

    async fn read_frame(&mut self, input: &mut Buffer) -> Result<(u8, Vec<u8>), (PgError, bool)> {
        loop {
            let frame = Frame::parse(input.filled()).map_err(|_| self.malformed())?;
            if let Some(frame) = frame {
                if frame.len > limits::SERVER_CONTROL_MESSAGE {
                    return Err(self.malformed());
                }
                if let Some(body) = input.filled().get(HEADER..frame.len) {
                    let body = body.to_vec();
                    input.consume(frame.len);
                    return Ok((frame.tag, body));
                }
                input.reserve_total(frame.len);
            }
            let count = self.stream.read(input.spare()).await.map_err(|error| self.lost(&error))?;
            if count == 0 {
                return Err(self.lost(&io::ErrorKind::UnexpectedEof.into()));
            }
            input.advance_tail(count);
        }
    }

    fn malformed(&self) -> (PgError, bool) {
        let text = format!("server {} sent a malformed message", self.server.address);
        (PgError::error(SqlState::PROTOCOL_VIOLATION, text), true)
    }

    fn lost(&self, error: &io::Error) -> (PgError, bool) {
        (connection_lost(self.server, &error.to_string()), true)
    }
}

fn text_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let columns = message::read_data_row(body)?;
    Some(columns.into_iter().map(|value| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect())
}
