//! From the server to the client: each of the server's frames is matched with what was expected, and passed on,
//! swallowed, or put in another's place.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::sync::Arc;

use super::Session;
use super::link::{ClientParse, Described, Expect, Link, Ours};
use crate::backend::statements::NAME_PREFIX;
use crate::base::{PgError, SqlState, limits};
use crate::wire::Frame;
use crate::wire::frame::{HEADER, back, split_cstr};
use crate::wire::message;

/// What becomes of a frame.
enum Fate {
    Forward,
    Swallow,
    Replace(Vec<u8>),
}

/// The server broke the protocol; its connection can't be used any further.
#[derive(Debug)]
pub struct Misbehaved(pub String);

impl Session {
    /// Looks at what came from the server: behind `self.ready` in `self.output`.
    pub(super) fn scan_output(&mut self, link: &mut Link) -> Result<(), Misbehaved> {
        loop {
            let rest = self.output.filled().get(self.ready..).unwrap_or_default();
            if link.passing > 0 {
                let count = rest.len().min(link.passing);
                self.ready += count;
                link.passing -= count;
                if link.passing > 0 {
                    return Ok(());
                }
                continue;
            }
            let frame = match Frame::parse(rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Misbehaved(format!("invalid message length ({error:?})"))),
            };
            match frame.tag {
                back::DATA_ROW | back::COPY_DATA if !held(link) => {
                    link.retry = None;
                    link.passing = frame.len;
                    continue;
                }
                back::PARSE_COMPLETE | back::BIND_COMPLETE | back::ROW_DESCRIPTION | back::NO_DATA
                    if rest.len() >= frame.len && !link.discarding && passes(link, frame.tag) =>
                {
                    self.ready += frame.len;
                    self.make_up(link);
                    continue;
                }
                _ => {}
            }
            if frame.len > limits::SERVER_CONTROL_MESSAGE {
                return Err(Misbehaved(format!("message \"{}\" of {} bytes", char::from(frame.tag), frame.len)));
            }
            if rest.len() < frame.len {
                self.output.reserve_total(self.ready + frame.len);
                return Ok(());
            }
            self.take_answer(link, frame)?;
            self.make_up(link);
        }
    }

    fn take_answer(&mut self, link: &mut Link, frame: Frame) -> Result<(), Misbehaved> {
        let output = std::mem::take(&mut self.output);
        let body = output.filled().get(self.ready + HEADER..self.ready + frame.len).unwrap_or_default();
        let fate = self.judge(link, frame.tag, body);
        self.output = output;
        let range = self.ready..self.ready + frame.len;
        match fate? {
            Fate::Forward if !link.discarding => self.ready += frame.len,
            Fate::Forward | Fate::Swallow => self.output.remove(range),
            Fate::Replace(bytes) => {
                self.output.remove(range);
                self.output.insert(self.ready, &bytes);
                self.ready += bytes.len();
            }
        }
        Ok(())
    }

    /// Says what is ours to say, as far as its turn has come.
    #[inline]
    pub(super) fn make_up(&mut self, link: &mut Link) {
        if matches!(link.queue.front(), Some(Expect::MadeUpParse | Expect::MadeUpClose | Expect::CopyEnd)) {
            self.make_up_now(link);
        }
    }

    #[cold]
    fn make_up_now(&mut self, link: &mut Link) {
        while let Some(expect) = link.queue.front() {
            let bytes: &[u8] = match expect {
                Expect::MadeUpParse => &[back::PARSE_COMPLETE, 0, 0, 0, 4],
                Expect::MadeUpClose => &[back::CLOSE_COMPLETE, 0, 0, 0, 4],
                Expect::CopyEnd => &[],
                _ => return,
            };
            if !link.discarding {
                self.output.insert(self.ready, bytes);
                self.ready += bytes.len();
            }
            link.queue.pop_front();
        }
    }

    fn judge(&mut self, link: &mut Link, tag: u8, body: &[u8]) -> Result<Fate, Misbehaved> {
        let ours = matches!(link.queue.front(), Some(Expect::Ours(_)));
        match tag {
            back::READY_FOR_QUERY => return self.ready_for_query(link, body),
            back::ERROR_RESPONSE => return Ok(self.error_response(link, body)),
            back::PARAMETER_STATUS => return Ok(self.parameter_status(link, body, ours)),
            back::NOTIFICATION_RESPONSE if !ours => return Ok(self.notification(link, body)),
            back::NOTICE_RESPONSE if !ours => return Ok(self.notice(link, body)),
            _ if ours => return Ok(Fate::Swallow),
            _ => {}
        }
        let Some(expect) = link.queue.front_mut() else {
            return Err(Misbehaved(format!("message \"{}\" that nothing asked for", char::from(tag))));
        };
        match (tag, expect) {
            (_, Expect::PutBack { left }) => {
                *left -= usize::from(tag == back::CLOSE_COMPLETE);
                if *left == 0 {
                    link.queue.pop_front();
                }
                return Ok(Fate::Swallow);
            }
            (_, Expect::Query { edits: Some(edits), .. }) if edits.hides() => {
                edits.at += usize::from(tag == back::COMMAND_COMPLETE);
                return Ok(Fate::Swallow);
            }
            (back::COMMAND_COMPLETE, Expect::Query { effects, step, edits }) => {
                if let Some(edits) = edits {
                    edits.at += 1;
                }
                let done = effects.clone().map(|plan| (plan, *step));
                *step += 1;
                link.copy_in = false;
                link.retry = None;
                self.command_complete(link, body, done);
            }
            (back::COMMAND_COMPLETE, Expect::Execute { effects }) => {
                let done = effects.take().map(|plan| (plan, 0));
                link.queue.pop_front();
                link.copy_in = false;
                link.retry = None;
                self.command_complete(link, body, done);
            }
            (back::EMPTY_QUERY_RESPONSE, Expect::Query { .. }) => {}
            (back::EMPTY_QUERY_RESPONSE | back::PORTAL_SUSPENDED, Expect::Execute { .. }) => {
                link.retry = None;
                link.queue.pop_front();
            }
            (back::PARSE_COMPLETE, Expect::Parse { statement, ours, .. }) => {
                let (id, ours) = (statement.as_ref().map(|statement| statement.id), *ours);
                link.queue.pop_front();
                if let Some(id) = id {
                    link.conn.statements.confirm(id);
                }
                return Ok(if ours { Fate::Swallow } else { Fate::Forward });
            }
            (back::CLOSE_COMPLETE, Expect::Close { ours }) => {
                let ours = *ours;
                link.queue.pop_front();
                return Ok(if ours { Fate::Swallow } else { Fate::Forward });
            }
            (back::BIND_COMPLETE, Expect::Bind { .. }) => drop(link.queue.pop_front()),
            (back::NO_DATA | back::ROW_DESCRIPTION, Expect::Describe(_)) => return Ok(self.described(link, body)),
            (back::PARAMETER_DESCRIPTION, Expect::Describe(whose)) => return Ok(self.parameters_of(whose, body)),
            (back::FUNCTION_CALL_RESPONSE, Expect::Function) | (back::ROW_DESCRIPTION, Expect::Query { .. }) => {}
            (back::COPY_IN_RESPONSE, Expect::Query { .. } | Expect::Execute { .. }) => self.copy_in(link),
            (
                back::COPY_OUT_RESPONSE | back::COPY_DONE | back::COPY_DATA | back::DATA_ROW,
                Expect::Query { .. } | Expect::Execute { .. },
            ) => {}
            (tag, expect) => {
                return Err(Misbehaved(format!("message \"{}\" in place of {expect:?}", char::from(tag))));
            }
        }
        Ok(Fate::Forward)
    }

    /// What a statement of ours has to say isn't for the client.
    fn notice(&self, link: &Link, body: &[u8]) -> Fate {
        match link.queue.front() {
            Some(Expect::PutBack { .. }) => Fate::Swallow,
            Some(Expect::Query { edits: Some(edits), .. }) if edits.hides() => Fate::Swallow,
            Some(Expect::Query { edits: Some(edits), .. }) => {
                edits.relocated(back::NOTICE_RESPONSE, body).map_or(Fate::Forward, Fate::Replace)
            }
            _ => Fate::Forward,
        }
    }

    /// A notification bears the process id that its sender was told.
    fn notification(&self, link: &Link, body: &[u8]) -> Fate {
        let mut bytes = Vec::new();
        message::put(&mut bytes, back::NOTIFICATION_RESPONSE, |out| out.extend_from_slice(body));
        self.attribute(link, &mut bytes);
        Fate::Replace(bytes)
    }

    /// Puts the process id that a client was told in the place of its server's in notifications: applications know their
    /// own by it. Nobody who listens shares the connection, so what was sent on it is the session's. On others it is the
    /// client's that was the last to notify; where that is nobody here, the server's own.
    pub(super) fn attribute(&self, link: &Link, mut notifications: &mut [u8]) {
        while let Ok(Some(frame)) = Frame::parse(notifications) {
            let Some((message, rest)) = notifications.split_at_mut_checked(frame.len) else { break };
            if let Some(sender) = message.get_mut(HEADER..HEADER + 4).and_then(|bytes| bytes.first_chunk_mut()) {
                let told = self.told_at(link, i32::from_be_bytes(*sender));
                if told != 0 {
                    *sender = told.to_be_bytes();
                }
            }
            notifications = rest;
        }
    }

    /// The process id that the client was told who notified last as the server's process `process_id`.
    fn told_at(&self, link: &Link, process_id: i32) -> i32 {
        if link.conn.cancel.process_id == process_id {
            return self.client.told;
        }
        let pools = self.database.shared.pools();
        let mut connections = pools.iter().flat_map(|pool| pool.connections());
        let found = connections
            .find(|other| other.process_id == process_id && Arc::ptr_eq(&other.server, &link.conn.cancel.server));
        found.map_or(0, |other| other.notifier())
    }

    /// The types of a statement's parameters came, with which it is listed.
    fn parameters_of(&mut self, whose: &Described, body: &[u8]) -> Fate {
        match whose {
            Described::Portal | Described::Statement(_) => return Fate::Forward,
            Described::Learn(name) => {
                if let Some(held) = self.statements.get_mut(name) {
                    held.parameters = body.into();
                }
            }
            Described::Verify(_) => {}
        }
        Fate::Swallow
    }

    /// A description came: kept as a hash, or compared with the one that the client knows.
    fn described(&mut self, link: &mut Link, body: &[u8]) -> Fate {
        match link.queue.pop_front() {
            Some(Expect::Describe(Described::Statement(name))) => {
                if let Some(held) = self.statements.get_mut(&name) {
                    held.described = Some(description_hash(body));
                }
                Fate::Forward
            }
            Some(Expect::Describe(Described::Learn(name))) => {
                if let Some(held) = self.statements.get_mut(&name) {
                    held.described = Some(description_hash(body));
                }
                Fate::Swallow
            }
            Some(Expect::Describe(Described::Verify(name))) => {
                link.verifying = false;
                if let Some(held) = self.statements.get_mut(&name) {
                    held.stale = held.described != Some(description_hash(body));
                }
                Fate::Swallow
            }
            _ => Fate::Forward,
        }
    }

    /// The server waits for COPY data. A Sync that the client sent right behind its Execute will go unanswered.
    fn copy_in(&mut self, link: &mut Link) {
        link.copy_in = true;
        link.retry = None;
        if !matches!(link.queue.front(), Some(Expect::Execute { .. })) {
            return;
        }
        let end = link.queue.iter().position(|expect| matches!(expect, Expect::CopyEnd)).unwrap_or(link.queue.len());
        let mut at = 0;
        let before = link.queue.len();
        link.queue.retain(|expect| {
            at += 1;
            at > end || !matches!(expect, Expect::Sync)
        });
        // A Sync behind the end of the data, sent with all the rest, closes the segment.
        let closed = link.queue.iter().any(|expect| matches!(expect, Expect::Sync));
        link.segment_open |= link.queue.len() != before && !closed;
    }

    fn parameter_status(&mut self, link: &mut Link, body: &[u8], ours: bool) -> Fate {
        let Some((name, value)) = message::read_parameter_status(body) else { return Fate::Swallow };
        // What DISCARD ALL made of a start-up setting isn't the last word.
        let again = matches!(
            link.queue.front(),
            Some(Expect::Query { edits: Some(edits), .. }) if edits.last || edits.then.is_some()
        );
        // A client doesn't see which of the servers it is on.
        let hidden = ours || again || name == "in_hot_standby";
        if !hidden {
            crate::backend::conn::set_parameter(
                std::sync::Arc::make_mut(&mut self.reported),
                name.clone(),
                value.clone(),
            );
        }
        link.conn.report(name, value);
        if hidden { Fate::Swallow } else { Fate::Forward }
    }

    fn error_response(&mut self, link: &mut Link, body: &[u8]) -> Fate {
        let code = message::error_field(body, b'C').map_or(SqlState::INTERNAL_ERROR, SqlState::from_bytes);
        let fatal = matches!(message::error_field(body, b'V'), Some(b"FATAL" | b"PANIC"));
        link.failed = true;
        link.copy_in = false;
        link.doomed |= fatal;
        if let Some(Expect::Ours(ours)) = link.queue.front() {
            if *ours == Ours::Settings {
                link.doomed = true;
                self.failure = Some(message::read_error(body));
            }
            return Fate::Swallow;
        }
        let instead = match link.queue.front_mut() {
            Some(Expect::Bind { instead }) => instead.take(),
            _ => None,
        };
        if code == SqlState::FEATURE_NOT_SUPPORTED && message::error_field(body, b'R') == Some(b"RevalidateCachedQuery")
        {
            // The schema changed unnoticed: from now on statements are looked at again before they run.
            self.database.shared.schema_changed();
        }
        link.verifying = false;
        if !matches!(link.queue.front(), Some(Expect::Query { .. } | Expect::Function) | None) {
            self.skip_to_sync(link);
            if matches!(link.queue.front(), Some(Expect::Ours(_))) {
                // A statement prepared for what comes next, which will tell of the same trouble.
                return Fate::Swallow;
            }
        }
        if link.retry.is_some() && code != SqlState::QUERY_CANCELED {
            link.discarding = true;
            return Fate::Swallow;
        }
        link.retry = None;
        self.worker.metrics.error(code);
        if fatal {
            // Told in our words once the connection has ended: the session lives on.
            self.failure = Some(message::read_error(body));
            return Fate::Swallow;
        }
        if let Some(instead) = instead {
            return Fate::Replace(instead.into());
        }
        if let Some(Expect::Query { edits: Some(edits), .. }) = link.queue.front()
            && let Some(relocated) = edits.relocated(back::ERROR_RESPONSE, body)
        {
            return Fate::Replace(relocated);
        }
        self.with_client_names(body).map_or(Fate::Forward, Fate::Replace)
    }

    /// What the server skips after an error didn't happen.
    fn skip_to_sync(&mut self, link: &mut Link) {
        while let Some(expect) = link.queue.front() {
            if matches!(expect, Expect::Sync | Expect::Ours(_)) {
                return;
            }
            if let Some(Expect::Parse { statement, client, .. }) = link.queue.pop_front() {
                if let Some(statement) = statement {
                    link.conn.statements.forget(statement.id);
                }
                match client {
                    Some(ClientParse::Named(name)) => {
                        self.statements.remove(&name);
                        self.client.set_prepared(self.statements.len());
                    }
                    Some(ClientParse::Unnamed) => {
                        self.statements.unnamed.clear();
                        link.conn.unnamed = 0;
                    }
                    None => link.conn.unnamed = 0,
                }
            }
        }
        link.skipping = true;
    }

    /// The error with the client's own name of a prepared statement where the server says ours.
    fn with_client_names(&self, body: &[u8]) -> Option<Vec<u8>> {
        let at = memchr::memmem::find(body, NAME_PREFIX.as_bytes())?;
        let from = body.get(at..)?;
        let digits = from.get(NAME_PREFIX.len()..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (ours, behind) = from.split_at_checked(NAME_PREFIX.len() + digits)?;
        let name = self.statements.client_name(ours)?;
        let mut bytes = Vec::new();
        message::put(&mut bytes, back::ERROR_RESPONSE, |out| {
            out.extend_from_slice(body.get(..at).unwrap_or_default());
            out.extend_from_slice(name);
            out.extend_from_slice(behind);
        });
        Some(bytes)
    }

    fn ready_for_query(&mut self, link: &mut Link, body: &[u8]) -> Result<Fate, Misbehaved> {
        let (Some(status @ (b'I' | b'T' | b'E')), Some(expect)) = (body.first().copied(), link.queue.pop_front())
        else {
            return Err(Misbehaved("ReadyForQuery that nothing asked for".into()));
        };
        let failed = std::mem::take(&mut link.failed);
        let mut ending = Fate::Forward;
        match expect {
            Expect::Ours(ours) => {
                let news = self.our_query_done(link, ours);
                return Ok(if news.is_empty() { Fate::Swallow } else { Fate::Replace(news) });
            }
            Expect::Query { edits: Some(edits), .. } => match edits.then {
                Some(script) if !failed => {
                    self.after_discard(link, &script);
                    return Ok(Fate::Swallow);
                }
                _ if edits.last => ending = Fate::Replace(self.discarded(link, status, failed)),
                _ => link.holding = false,
            },
            Expect::Sync | Expect::Query { .. } | Expect::Function => {}
            other => return Err(Misbehaved(format!("ReadyForQuery in place of {other:?}"))),
        }
        self.status = status;
        if !link.discarding {
            link.retry = None;
        }
        if status == b'I' {
            self.transaction_done(link, failed);
        }
        Ok(ending)
    }
}

/// The client doesn't see what comes now, or not yet.
#[inline]
fn held(link: &Link) -> bool {
    match link.queue.front() {
        Some(Expect::Ours(_) | Expect::PutBack { .. }) => true,
        Some(Expect::Query { edits: Some(edits), .. }) => edits.hides(),
        _ => link.discarding,
    }
}

/// An answer that was expected, is the client's and changes nothing here: true, and no longer expected.
#[inline]
fn passes(link: &mut Link, tag: u8) -> bool {
    match (tag, link.queue.front()) {
        (back::ROW_DESCRIPTION, Some(Expect::Query { edits: None, .. })) => return true,
        (back::PARSE_COMPLETE, Some(Expect::Parse { statement: None, ours: false, .. }))
        | (back::BIND_COMPLETE, Some(Expect::Bind { .. }))
        | (back::ROW_DESCRIPTION | back::NO_DATA, Some(Expect::Describe(Described::Portal))) => {}
        _ => return false,
    }
    link.queue.pop_front();
    true
}

/// What the client is told when a server breaks the protocol.
pub(super) fn misbehaved(link: &Link, what: &Misbehaved) -> PgError {
    let text = format!("server {} broke the protocol: {}", link.conn.server.address, what.0);
    PgError::error(SqlState::PROTOCOL_VIOLATION, text)
}

/// The error to the letter: drivers know it by the routine, and prepare the statement again.
pub(super) fn stale_statement() -> Box<[u8]> {
    let mut bytes = Vec::new();
    message::put(&mut bytes, back::ERROR_RESPONSE, |out| {
        out.extend_from_slice(
            b"SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0Fplancache.c\0RRevalidateCachedQuery\0\0",
        );
    });
    bytes.into()
}

/// What of a RowDescription (or NoData) makes the result type: names, types, typmods. Not the table that a column comes
/// from: one that was dropped and made again is as good (`equalTupleDescs`).
fn description_hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (count, mut rest) = body.split_first_chunk::<2>().unwrap_or((&[0, 0], &[]));
    hasher.write(count);
    while let Some((name, behind)) = split_cstr(rest) {
        // Table's OID and column's number, then type, length, typmod; the format last.
        let Some((column, behind)) = behind.split_first_chunk::<18>() else { break };
        hasher.write(name);
        hasher.write(column.get(6..16).unwrap_or_default());
        rest = behind;
    }
    hasher.finish()
}
