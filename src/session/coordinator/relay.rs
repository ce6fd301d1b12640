//! Passing on what one shard answers, frame by frame, until it owes nothing more.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use super::shard::{Expect, ShardLink};
use super::{Coordinator, Go, Stop};
use crate::base::{PgError, SqlState, limits};
use crate::wire::frame::{HEADER, back, front};
use crate::wire::{Frame, message};

/// How far the answers at hand were passed on.
enum Passed {
    /// All that is owed was answered.
    All,
    /// More must come from the shard.
    More,
    /// The client must take its bytes first.
    Full,
    /// The server takes COPY data.
    CopyIn,
}

impl Coordinator {
    /// The link to a shard, taken out of its place while it is worked with.
    pub(super) fn take_link(&mut self, shard: usize) -> Go<Box<ShardLink>> {
        match self.links.get_mut(shard).and_then(Option::take) {
            Some(link) => Ok(link),
            None => self.new_link(shard),
        }
    }

    pub(super) fn put_link(&mut self, shard: usize, link: Box<ShardLink>) {
        let known = self.home_mirror.as_ref().is_some_and(|mirror| std::rc::Rc::ptr_eq(mirror, &link.mirror));
        if shard == self.home() && !known {
            self.home_mirror = Some(link.mirror.clone());
        }
        if let Some(slot) = self.links.get_mut(shard) {
            *slot = Some(link);
        }
    }

    /// Sends what stands in a link's `out`, and passes all answers on to the client.
    pub(super) async fn relay(&mut self, shard: usize) -> Go {
        let link = self.take_link(shard)?;
        let link = self.relay_on(link).await?;
        self.put_link(shard, link);
        Ok(())
    }

    /// The same on a link that isn't in its place.
    pub(super) async fn relay_on(&mut self, mut link: Box<ShardLink>) -> Go<Box<ShardLink>> {
        let result = self.relay_link(&mut link).await;
        match result {
            Ok(()) => {
                self.after_answers(&mut link);
                Ok(link)
            }
            Err(Stop::Over) => {
                link.cancel();
                Err(Stop::Over)
            }
            // The link is of no use any more.
            Err(stop) => Err(self.lost(&link, stop)),
        }
    }

    /// A link ended in the middle: what was in flight failed.
    fn lost(&mut self, link: &ShardLink, stop: Stop) -> Stop {
        if (link.joined || link.status != b'I')
            && let Some(block) = &mut self.block
        {
            block.failed = true;
        }
        self.segment.lost();
        stop
    }

    fn after_answers(&mut self, link: &mut ShardLink) {
        if link.failed {
            self.segment.skipping = true;
            if let Some(block) = &mut self.block {
                block.failed = true;
            }
        }
        if (link.joined || link.aside)
            && link.status == b'E'
            && let Some(block) = &mut self.block
        {
            block.failed = true;
        }
        link.named = None;
        link.rest(&self.worker);
    }

    async fn relay_link(&mut self, link: &mut ShardLink) -> Go {
        loop {
            match self.pass_on(link) {
                Passed::All => {
                    // A Flush asks for nothing but is to be sent all the same.
                    poll_fn(|cx| link.poll_send(cx)).await.map_err(|error| shard_lost(&error))?;
                    return Ok(());
                }
                Passed::Full => self.flush().await?,
                Passed::CopyIn => self.copy_in(link).await?,
                Passed::More => {
                    if self.output.len() >= limits::RELAY_BUFFER / 2 && !link.input.is_empty() {
                        self.flush().await?;
                    }
                    let worker = self.worker.clone();
                    let need = match Frame::parse(link.input.filled()) {
                        Ok(Some(frame)) if !is_bulk(frame.tag) || link.is_renamed(frame.tag) => frame.len,
                        _ => 0,
                    };
                    if need > limits::SHARD_MESSAGE {
                        return Err(shard_lost(&io::ErrorKind::InvalidData.into()).into());
                    }
                    let more = self.or_gone(poll_fn(|cx| link.poll_more(cx, &worker, need))).await?;
                    if let Err(error) = more {
                        return Err(match link.last_words.take() {
                            // It said why: the client has been told.
                            Some(()) => Stop::Told,
                            None => shard_lost(&error).into(),
                        });
                    }
                }
            }
        }
    }

    /// Passes on the whole frames at hand, and pieces of long rows.
    fn pass_on(&mut self, link: &mut ShardLink) -> Passed {
        loop {
            if self.output.len() >= limits::RELAY_BUFFER {
                return Passed::Full;
            }
            if link.passing > 0 {
                let count = link.passing.min(link.input.len());
                self.output.extend_from_slice(link.input.filled().get(..count).unwrap_or_default());
                link.input.consume(count);
                link.passing -= count;
                if link.passing > 0 {
                    return Passed::More;
                }
                continue;
            }
            if link.expect.is_empty() {
                return Passed::All;
            }
            let Ok(Some(frame)) = Frame::parse(link.input.filled()) else { return Passed::More };
            if is_bulk(frame.tag) && !link.is_renamed(frame.tag) {
                link.passing = frame.len;
                continue;
            }
            if link.input.len() < frame.len {
                return Passed::More;
            }
            let copy = self.answered(link, frame);
            link.input.consume(frame.len);
            if copy {
                return Passed::CopyIn;
            }
        }
    }

    /// One whole frame that isn't a row. True: COPY data is to be sent now.
    fn answered(&mut self, link: &mut ShardLink, frame: Frame) -> bool {
        let input = std::mem::take(&mut link.input);
        let bytes = input.filled().get(..frame.len).unwrap_or_default();
        let body = bytes.get(HEADER..).unwrap_or_default();
        let front = link.expect.front().copied();
        let ours = match front {
            Some(
                Expect::Parse { ours } | Expect::Bind { ours } | Expect::Describe { ours } | Expect::Close { ours },
            ) => ours,
            Some(Expect::Query { ours }) => ours,
            _ => false,
        };
        let mut copy = false;
        match frame.tag {
            back::READY_FOR_QUERY => {
                link.status = body.first().copied().unwrap_or(b'I');
                link.expect.pop_front();
                link.settle_prepared(link.failed);
                if link.failed {
                    link.unnamed = 0;
                }
                link.failed = false;
                link.open = false;
            }
            back::ERROR_RESPONSE => {
                if !ours || !matches!(front, Some(Expect::Query { .. })) {
                    self.pass_error(bytes, body);
                }
                link.last_words = Some(());
                if matches!(front, Some(Expect::Query { .. })) {
                    link.query_failed = true;
                } else {
                    link.failed = true;
                    while link.expect.front().is_some_and(|expect| *expect != Expect::Sync) {
                        link.expect.pop_front();
                    }
                }
            }
            back::PARAMETER_STATUS if link.aside => {}
            back::PARAMETER_STATUS => self.pass_parameter(link.shard, body),
            back::NOTICE_RESPONSE | back::NOTIFICATION_RESPONSE => self.output.extend_from_slice(bytes),
            back::COPY_IN_RESPONSE | back::COPY_BOTH_RESPONSE => {
                self.output.extend_from_slice(bytes);
                // A Sync that was sent already is swallowed by COPY.
                link.expect.retain(|expect| *expect != Expect::Sync);
                copy = true;
            }
            _ => {
                if !ours {
                    self.pass_frame(link, frame.tag, bytes, body);
                }
                let done = match front {
                    Some(Expect::Query { .. } | Expect::Sync) | None => false,
                    Some(Expect::Describe { .. }) => frame.tag != back::PARAMETER_DESCRIPTION,
                    Some(Expect::Execute) => matches!(
                        frame.tag,
                        back::COMMAND_COMPLETE | back::EMPTY_QUERY_RESPONSE | back::PORTAL_SUSPENDED
                    ),
                    Some(_) => true,
                };
                if done {
                    link.expect.pop_front();
                }
            }
        }
        link.input = input;
        copy
    }

    /// A part of an answer, in the home shard's names for types.
    fn pass_frame(&mut self, link: &mut ShardLink, tag: u8, bytes: &[u8], body: &[u8]) {
        if tag == back::ROW_DESCRIPTION
            && let Some(row) = self.row_from(link.shard, body)
        {
            if matches!(link.expect.front(), Some(Expect::Query { .. })) {
                link.named = self.named_row(link.shard, &row);
            }
            return super::welcome::put_body(&mut self.output, back::ROW_DESCRIPTION, &row);
        }
        let start = self.output.len() + HEADER;
        self.output.extend_from_slice(bytes);
        let body = self.output.get_mut(start..);
        if let (true, Some(named), Some(body)) = (tag == back::DATA_ROW, &link.named, body) {
            named.to_client(body);
        }
    }

    /// An error of a shard's, for the client: the session goes on.
    pub(super) fn pass_error(&mut self, bytes: &[u8], body: &[u8]) {
        if let Some(code) = message::error_field(body, b'C') {
            self.worker.metrics.error(SqlState::from_bytes(code));
        }
        let fatal = message::error_field(body, b'V') == Some(b"FATAL");
        let deadlock = message::error_field(body, b'C').and_then(|code| self.deadlock(code));
        if let Some(error) = deadlock {
            message::error_response(&mut self.output, &error);
        } else if fatal {
            message::error_response(&mut self.output, &message::read_error(body).into_error());
        } else if self.text_offset > 0 {
            put_shifted(&mut self.output, body, self.text_offset);
        } else {
            self.output.extend_from_slice(bytes);
        }
    }

    /// A setting that servers report. The home shard's session has what the client's is to have.
    pub(super) fn pass_parameter(&mut self, shard: usize, body: &[u8]) {
        if shard == self.home()
            && let Some((name, value)) = message::read_parameter_status(body)
        {
            self.news.insert(name, value);
        }
    }

    /// Tells settings that changed, as PostgreSQL does before ReadyForQuery.
    pub(super) fn report(&mut self) {
        let mut news: Vec<(String, String)> = std::mem::take(&mut self.news).into_iter().collect();
        // In the order in which PostgreSQL keeps them.
        news.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        for (name, value) in news {
            if self.reported.get(&name) != Some(&value) {
                message::parameter_status(&mut self.output, &name, &value);
                self.reported.insert(name, value);
            }
        }
    }

    /// Messages that come while nothing is asked.
    pub(super) fn unasked(&mut self, link: &mut ShardLink) {
        while let Ok(Some(frame)) = Frame::parse(link.input.filled()) {
            let Some(bytes) = link.input.filled().get(..frame.len) else { return };
            match frame.tag {
                back::NOTIFICATION_RESPONSE | back::NOTICE_RESPONSE => self.output.extend_from_slice(bytes),
                back::ERROR_RESPONSE => {
                    let error = message::read_error(bytes.get(HEADER..).unwrap_or_default());
                    tracing::info!(sqlstate = %error.code(), "a shard ended an idle session: {}", error.message());
                }
                _ => {}
            }
            link.input.consume(frame.len);
        }
    }

    /// The client's COPY data goes to the shard until it ends, or the server refuses it.
    async fn copy_in(&mut self, link: &mut ShardLink) -> Go {
        self.flush().await?;
        loop {
            while let Ok(Some(frame)) = Frame::parse(self.input.filled()) {
                if self.input.len() < frame.len {
                    if frame.tag == front::COPY_DATA && self.input.len() >= limits::RELAY_BUFFER {
                        self.input.reserve_total(frame.len.min(limits::STATEMENT));
                    }
                    break;
                }
                match frame.tag {
                    front::COPY_DATA | front::COPY_DONE | front::COPY_FAIL => {
                        link.out.extend_from_slice(self.input.filled().get(..frame.len).unwrap_or_default());
                        self.input.consume(frame.len);
                        if frame.tag != front::COPY_DATA {
                            if self.in_extended() {
                                // The server keeps its answer back until it is asked for it.
                                message::put(&mut link.out, front::FLUSH, |_| {});
                            }
                            return Ok(());
                        }
                    }
                    front::SYNC | front::FLUSH => self.input.consume(frame.len),
                    // Anything else ends COPY with an error on the server's side.
                    _ => {
                        message::put(&mut link.out, front::COPY_FAIL, |body| {
                            message::put_cstr(body, b"unexpected message type during COPY from stdin");
                        });
                        return Ok(());
                    }
                }
                if link.out.len() >= limits::RELAY_BUFFER {
                    break;
                }
            }
            let worker = self.worker.clone();
            let refused = poll_fn(|cx| {
                match link.poll_more(cx, &worker, 0) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(shard_lost(&error).into())),
                    Poll::Pending => {}
                }
                if link.out.len() >= limits::RELAY_BUFFER {
                    return Poll::Pending;
                }
                if self.input.capacity() == 0 {
                    self.input = self.worker.take_buffer();
                }
                match Frame::parse(self.input.filled()) {
                    Ok(Some(frame)) if frame.len > limits::STATEMENT => return Poll::Ready(Err(Stop::Over)),
                    Ok(Some(frame)) => self.input.reserve_total(frame.len),
                    _ => {}
                }
                match crate::session::relay::poll_fill(&mut self.stream, &mut self.input, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Stop::Over)),
                    Poll::Ready(Ok(_)) => Poll::Ready(Ok(false)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await?;
            if refused && has_error(link) {
                return Ok(());
            }
        }
    }
}

/// The error with its place counted in a longer text, of which the statement's begins after `offset` characters.
fn put_shifted(out: &mut Vec<u8>, body: &[u8], offset: usize) {
    message::put(out, back::ERROR_RESPONSE, |out| {
        let mut rest = body;
        while let Some((&field, behind)) = rest.split_first() {
            let Some((value, after)) = crate::wire::frame::split_cstr(behind) else { break };
            out.push(field);
            let place =
                std::str::from_utf8(value).ok().filter(|_| field == b'P').and_then(|text| text.parse::<usize>().ok());
            match place {
                Some(place) => message::put_cstr(out, (place + offset).to_string().as_bytes()),
                None => message::put_cstr(out, value),
            }
            rest = after;
        }
        out.push(0);
    });
}

/// Whether the server has said an error.
fn has_error(link: &ShardLink) -> bool {
    let mut rest = link.input.filled();
    while let Ok(Some(frame)) = Frame::parse(rest) {
        if frame.tag == back::ERROR_RESPONSE {
            return true;
        }
        let Some(behind) = rest.get(frame.len..) else { return false };
        rest = behind;
    }
    false
}

/// Rows and COPY data: passed on in the pieces in which they come.
fn is_bulk(tag: u8) -> bool {
    matches!(tag, back::DATA_ROW | back::COPY_DATA)
}

pub(super) fn shard_lost(error: &io::Error) -> PgError {
    PgError::error(SqlState::CONNECTION_FAILURE, "the connection to a shard was lost")
        .detail(error.to_string())
        .hint("What ran there has failed. Run the transaction again.")
}
