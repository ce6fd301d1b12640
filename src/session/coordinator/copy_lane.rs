//! One shard's part of `COPY … FROM STDIN`: the rows that it is sent, and what it says meanwhile.

use std::io;
use std::task::{Context, Poll};

use super::shard::ShardLink;
use super::stream::News;
use crate::base::{PgError, limits};
use crate::execute::copy::journal::Journal;
use crate::execute::copy::{Ends, Line, context};
use crate::plan::sharded::Copied;
use crate::session::Worker;
use crate::wire::frame::{HEADER, back, front, split_cstr};
use crate::wire::message;

/// A shard that takes rows.
pub(super) struct Lane {
    pub shard: usize,
    pub link: Box<ShardLink>,
    journal: Journal,
    /// Where the message begins that rows are being put into.
    frame: Option<usize>,
    /// Rows that it got, and lines as it counts them.
    pub rows: u64,
    pub lines: u64,
    /// It got the header, or has none to get.
    pub headed: bool,
    /// Its transaction counts as one that writes.
    pub writes: bool,
    /// It got what it must refuse.
    pub must_fail: bool,
    /// The error that it has said.
    pub failure: Option<(PgError, Vec<u8>)>,
    /// Its connection broke.
    pub lost: Option<io::Error>,
}

impl Lane {
    pub fn new(shard: usize, link: Box<ShardLink>, journal: usize) -> Self {
        Self {
            shard,
            link,
            journal: Journal::new(journal),
            frame: None,
            rows: 0,
            lines: 0,
            headed: false,
            writes: false,
            must_fail: false,
            failure: None,
            lost: None,
        }
    }

    /// Bytes as they are.
    pub fn give(&mut self, bytes: &[u8]) {
        if self.frame.is_none() {
            self.frame = Some(self.link.out.len());
            self.link.out.push(front::COPY_DATA);
            self.link.out.extend_from_slice(&[0; 4]);
        }
        self.link.out.extend_from_slice(bytes);
    }

    /// A line of the client's, which has this number there. `ends`: how lines end, once the first is known.
    pub fn give_line(&mut self, bytes: &[u8], line: &Line, ends: Ends, number: u64) {
        self.give(bytes);
        self.lines += line.count(if self.lines == 0 { Ends::Unknown } else { ends });
        self.journal.note(self.lines, number);
    }

    /// Ends the message that rows are put into.
    pub fn close_frame(&mut self) {
        let Some(start) = self.frame.take() else { return };
        let length = (self.link.out.len() - start - 1) as u32;
        if let Some(field) = self.link.out.get_mut(start + 1..start + HEADER) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// It has enough to send: no more for it at present.
    pub fn is_full(&self) -> bool {
        self.link.out.len() >= limits::RELAY_BUFFER
    }

    pub fn has_failed(&self) -> bool {
        self.failure.is_some() || self.lost.is_some()
    }

    /// Sends, and reads what it says unasked: that is an error, or what it says to everybody.
    pub fn poll(&mut self, cx: &mut Context<'_>, worker: &Worker, news: &mut Vec<News>) {
        while !self.has_failed() {
            let frame = match self.link.poll_frame(cx, worker) {
                Poll::Pending => return,
                Poll::Ready(Ok(frame)) => frame,
                Poll::Ready(Err(error)) => {
                    self.lost = Some(error);
                    return;
                }
            };
            let bytes = self.link.input.filled().get(..frame.len).unwrap_or_default();
            let body = bytes.get(HEADER..).unwrap_or_default();
            match frame.tag {
                back::ERROR_RESPONSE => {
                    self.failure = Some((message::read_error(body).into_error(), bytes.to_vec()));
                }
                back::PARAMETER_STATUS | back::NOTICE_RESPONSE | back::NOTIFICATION_RESPONSE => {
                    news.push((self.shard, frame.tag, body.to_vec()));
                }
                _ => {}
            }
            self.link.input.consume(frame.len);
        }
    }

    /// An error of its, with the client's line instead of its own, and that line. `next`: the client's next one.
    pub fn renumbered(&self, frame: &[u8], copied: &Copied, next: u64) -> (Vec<u8>, Option<u64>) {
        let relation = &copied.relation;
        let mut line = None;
        let mut out = Vec::new();
        message::put(&mut out, back::ERROR_RESPONSE, |out| {
            let mut rest = frame.get(HEADER..).unwrap_or_default();
            while let Some((&field, behind)) = rest.split_first() {
                let Some((value, after)) = split_cstr(behind) else { break };
                rest = after;
                out.push(field);
                let told = std::str::from_utf8(value).ok().filter(|_| field == b'W');
                match told.and_then(|text| context::renumber(text, relation, |line| self.journal.find(line, next))) {
                    Some((text, number)) => {
                        line = number;
                        let text = match &copied.format {
                            Ok(format) => context::as_sent(&text, copied.fills.len(), format),
                            Err(_) => text,
                        };
                        message::put_cstr(out, text.as_bytes());
                    }
                    None => message::put_cstr(out, value),
                }
            }
            out.push(0);
        });
        (out, line)
    }
}
