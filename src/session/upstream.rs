//! From the client to the server: each of the client's frames is looked at, registered, rewritten where it names a
//! prepared statement, and put into the link's outgoing bytes.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::downstream::stale_statement;
use super::effects::not_on_a_replica;
use super::link::{ClientParse, Described, Expect, Link, Ours, Side};
use super::statements::Held;
use crate::backend::settings::{Event, Value};
use crate::backend::statements::{NAME_PREFIX, Standing, Statement, StatementKey};
use crate::base::{PgError, SqlState, limits};
use crate::plan::{Kind, Plan};
use crate::wire::Frame;
use crate::wire::frame::{HEADER, front, split_cstr};
use crate::wire::message;

/// Why no more of the client's bytes were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The next frame isn't complete yet.
    NeedMore,
    /// The server must answer, or take its bytes, first.
    Busy,
    /// The client said Terminate.
    End,
    /// The next frame is for the primary, and the transaction is on a replica.
    Leave,
}

/// The name of a statement that no server has: what is bound to it fails.
const NO_STATEMENT: &[u8] = b"?";

impl Session {
    /// Takes as many of the client's frames as the link may have now.
    pub(super) fn take_input(&mut self, link: &mut Link) -> Result<Halt, PgError> {
        loop {
            let backlog = link.out.len() - link.written;
            if backlog >= limits::RELAY_BUFFER || link.queue.len() >= limits::PIPELINE_DEPTH || link.waits() {
                return Ok(Halt::Busy);
            }
            if self.passing > 0 {
                if !self.pass_on(link) {
                    return Ok(Halt::NeedMore);
                }
                continue;
            }
            let frame = match Frame::parse(self.input.filled()) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(Halt::NeedMore),
                Err(error) => return Err(protocol_error(format!("invalid message length ({error:?})"))),
            };
            // A new request on a replica is decided about anew, once this one is answered.
            if link.side == Side::Replica && self.status == b'I' && !link.segment_open && !link.is_fresh() {
                return Ok(Halt::Busy);
            }
            if let Some(halt) = self.take_frame(link, frame)? {
                return Ok(halt);
            }
        }
    }

    fn pass_on(&mut self, link: &mut Link) -> bool {
        let filled = self.input.filled();
        let count = filled.len().min(self.passing);
        link.out.extend_from_slice(filled.get(..count).unwrap_or_default());
        self.input.consume(count);
        self.passing -= count;
        self.passing == 0
    }

    /// One frame. `None`: taken; go on.
    fn take_frame(&mut self, link: &mut Link, frame: Frame) -> Result<Option<Halt>, PgError> {
        let whole = match frame.tag {
            front::QUERY | front::PARSE => limits::STATEMENT,
            front::BIND | front::COPY_DATA | front::FUNCTION_CALL => 0,
            front::DESCRIBE | front::CLOSE | front::EXECUTE | front::COPY_FAIL => limits::RELAY_BUFFER,
            front::SYNC | front::FLUSH | front::COPY_DONE | front::TERMINATE => HEADER,
            tag => return Err(protocol_error(format!("invalid frontend message type {tag}"))),
        };
        if whole > 0 && frame.len > whole {
            return Err(message_too_long(frame.tag, frame.len));
        }
        let needed = if whole == 0 { frame.len.min(limits::RELAY_BUFFER) } else { frame.len };
        if self.input.len() < needed {
            self.input.reserve_total(needed);
            return Ok(Some(Halt::NeedMore));
        }
        // The input is set aside while its bytes are read, so that the rest of the session can be changed.
        let input = std::mem::take(&mut self.input);
        let bytes = input.filled().get(..needed).unwrap_or_default();
        let body = bytes.get(HEADER..).unwrap_or_default();
        if link.side == Side::Replica && self.wants_primary(link, frame.tag, body) {
            self.input = input;
            return Ok(Some(if link.is_settled() { Halt::Leave } else { Halt::Busy }));
        }
        if frame.tag == front::BIND && self.verify_first(link, body) {
            self.input = input;
            return Ok(Some(Halt::Busy));
        }
        self.keep_for_retry(link, bytes);
        let taken = match frame.tag {
            front::QUERY => self.take_query(link, bytes, body),
            front::PARSE => self.take_parse(link, bytes, body),
            front::BIND => self.take_bind(link, frame, body),
            front::DESCRIBE => self.take_describe(link, bytes, body),
            front::CLOSE => self.take_close(link, bytes, body),
            front::EXECUTE => self.take_execute(link, bytes, body),
            front::SYNC => self.take_sync(link, bytes),
            front::FLUSH => {
                link.segment_open = true;
                link.out.extend_from_slice(bytes);
                Ok(())
            }
            front::FUNCTION_CALL => {
                self.before_opaque(link);
                link.opening = None;
                link.expect(Expect::Function);
                link.out.extend_from_slice(bytes);
                Ok(())
            }
            front::COPY_DONE | front::COPY_FAIL => {
                link.expect(Expect::CopyEnd);
                link.out.extend_from_slice(bytes);
                Ok(())
            }
            front::TERMINATE => {
                // What was asked before it is still carried out, as PostgreSQL does.
                self.input = input;
                let answered = link.queue.is_empty() && link.written == link.out.len();
                return Ok(Some(if answered { Halt::End } else { Halt::Busy }));
            }
            _ => {
                link.out.extend_from_slice(bytes);
                Ok(())
            }
        };
        self.input = input;
        self.input.consume(needed);
        self.passing = frame.len - needed;
        taken.map(|()| None)
    }

    fn keep_for_retry(&mut self, link: &mut Link, bytes: &[u8]) {
        if let Some(retry) = &mut link.retry {
            if retry.request.len() + bytes.len() > limits::RELAY_BUFFER {
                link.retry = None;
            } else {
                retry.request.extend_from_slice(bytes);
            }
        }
    }

    fn take_query(&mut self, link: &mut Link, bytes: &[u8], body: &[u8]) -> Result<(), PgError> {
        let Some((sql, [])) = split_cstr(body) else {
            return Err(protocol_error("invalid message format: a Query is one string".into()));
        };
        self.statements.unnamed.clear();
        link.conn.unnamed = 0;
        let plan = self.plan(sql);
        link.pool.metrics.queries.inc();
        if let Some(refusal) = self.refusal(link, &plan) {
            message::query(&mut link.out, refusal.as_bytes());
            link.expect(Expect::Query { effects: None, step: 0, edits: None });
            return Ok(());
        }
        if link.side == Side::Replica {
            self.note_aboard(link, &plan, Some(sql));
        }
        self.before_statement(link, &plan);
        let effects = self.note_plan(link, &plan);
        if plan.opaque {
            self.note_names(sql);
        }
        if let Some((text, edits)) = self.edited(link, sql, &plan).or_else(|| self.listing(link, sql, &plan)) {
            link.holding = edits.then.is_some();
            link.expect(Expect::Query { effects, step: 0, edits: Some(edits) });
            message::query(&mut link.out, &text);
            return Ok(());
        }
        link.expect(Expect::Query { effects, step: 0, edits: None });
        match self.renamed_sql(link, sql, &plan) {
            Some(renamed) => message::query(&mut link.out, &renamed),
            None => link.out.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn take_parse(&mut self, link: &mut Link, bytes: &[u8], body: &[u8]) -> Result<(), PgError> {
        let parts = split_cstr(body).and_then(|(name, rest)| split_cstr(rest).map(|(sql, types)| (name, sql, types)));
        let Some((name, sql, types)) = parts else {
            return Err(protocol_error("invalid message format: Parse".into()));
        };
        let plan = self.plan(sql);
        link.pool.metrics.client_parses.inc();
        if !link.segment_open {
            self.before_statement(link, &plan);
        }
        link.segment_open = true;
        let refusal = self.refusal(link, &plan);
        let sql = refusal.as_ref().map_or(sql, String::as_bytes);
        let renamed = if refusal.is_none() { self.served(sql, &plan) } else { None };
        for used in renamed.iter().flat_map(|(_, used)| used) {
            self.ensure_prepared(link, used, 0);
        }
        if name.is_empty() {
            let unnamed = &mut self.statements.unnamed;
            unnamed.sql.clear();
            unnamed.sql.extend_from_slice(sql);
            unnamed.types.clear();
            unnamed.types.extend_from_slice(types);
            unnamed.id = self.worker.unique();
            unnamed.plan = Some(plan);
            if !link.skipping {
                link.conn.unnamed = unnamed.id;
            }
            link.expect(Expect::Parse { statement: None, client: Some(ClientParse::Unnamed), ours: false });
            match (&renamed, &refusal) {
                (Some((renamed, _)), _) => message::parse(&mut link.out, b"", renamed, types),
                (None, Some(_)) => message::parse(&mut link.out, b"", sql, types),
                (None, None) => link.out.extend_from_slice(bytes),
            }
            return Ok(());
        }
        if let Some(held) = self.statements.get(name) {
            // It exists: the server says so, of a statement of the same name on its side.
            let statement = held.statement.clone();
            self.ensure_prepared(link, &statement, 0);
            self.send_parse(link, &statement, None);
            return Ok(());
        }
        if self.statements.len() >= limits::SESSION_STATEMENTS {
            return Err(too_many_statements());
        }
        let original = renamed.is_some().then(|| sql.into());
        let sql = renamed.as_ref().map_or(sql, |(renamed, _)| renamed);
        let key = StatementKey { sql: sql.into(), types: types.into(), search_path: self.search_path() };
        let statement = self.worker.registry.intern(key);
        let generation = self.generation();
        if !link.skipping {
            if let Some(retry) = &mut link.retry {
                retry.prepared.push(name.into());
            }
            let now = self.worker.unix_micros(Instant::now());
            let held = Held::new(statement.clone(), plan, generation, now, original);
            self.statements.insert(name, held);
            self.client.set_prepared(self.statements.len());
        }
        // Whether the server would take it now is the server's to say, unless it has just taken the very same.
        let surely = link.queue.is_empty() && self.status != b'E';
        match link.conn.statements.standing(statement.id, generation) {
            Some(Standing::Prepared) if surely => link.expect(Expect::MadeUpParse),
            _ => {
                if link.conn.statements.contains(statement.id) {
                    self.send_close(link, &statement);
                }
                self.send_parse(link, &statement, Some(ClientParse::Named(name.into())));
                link.conn.statements.sent(&statement, link.segment, generation);
            }
        }
        message::describe_statement(&mut link.out, statement.name.as_bytes());
        link.expect(Expect::Describe(Described::Learn(name.into())));
        Ok(())
    }

    fn take_bind(&mut self, link: &mut Link, frame: Frame, body: &[u8]) -> Result<(), PgError> {
        let parts =
            split_cstr(body).and_then(|(portal, rest)| split_cstr(rest).map(|(name, rest)| (portal, name, rest)));
        let Some((portal, name, rest)) = parts else {
            return Err(protocol_error("invalid message format: Bind".into()));
        };
        link.segment_open = true;
        link.pool.metrics.binds.inc();
        let (mut server_name, mut plan) = self.server_statement(link, name);
        let stale = self.statements.get(name).is_some_and(|held| held.stale);
        let mut instead = stale.then(stale_statement);
        if link.side == Side::Replica
            && let Some(bound) = &plan
        {
            if self.replica_refused(link, bound) {
                instead = Some(not_on_a_replica(bound));
                (server_name, plan) = (NO_STATEMENT.to_vec(), None);
            } else {
                self.note_aboard(link, bound, None);
                self.note_bound(link, (portal, name), rest);
            }
        }
        if let Some(plan) = &plan {
            link.pool.metrics.queries.inc();
            let effects = self.note_plan(link, plan);
            if plan.opaque {
                let text = match self.statements.get(name) {
                    Some(held) => held.statement.key.sql.to_vec(),
                    None => self.statements.unnamed.sql.clone(),
                };
                self.note_names(&text);
                self.note_names(rest);
            }
            self.list_names(link, plan);
            self.statements.bind_portal(portal, effects);
        } else {
            self.statements.bind_portal(portal, None);
        }
        link.expect(Expect::Bind { instead });
        // The same frame with another name in it; what follows the names may still be on its way.
        let length = frame.len - 1 - name.len() + server_name.len();
        link.out.push(front::BIND);
        link.out.extend_from_slice(&(length as u32).to_be_bytes());
        message::put_cstr(&mut link.out, portal);
        message::put_cstr(&mut link.out, &server_name);
        link.out.extend_from_slice(rest);
        Ok(())
    }

    fn take_describe(&mut self, link: &mut Link, bytes: &[u8], body: &[u8]) -> Result<(), PgError> {
        let (kind, name) = kind_and_name(body, "Describe")?;
        link.segment_open = true;
        if kind == b'S' {
            let (server_name, _) = self.server_statement(link, name);
            message::describe_statement(&mut link.out, &server_name);
            link.expect(Expect::Describe(Described::Statement(name.into())));
        } else {
            link.out.extend_from_slice(bytes);
            link.expect(Expect::Describe(Described::Portal));
        }
        Ok(())
    }

    fn take_close(&mut self, link: &mut Link, bytes: &[u8], body: &[u8]) -> Result<(), PgError> {
        let (kind, name) = kind_and_name(body, "Close")?;
        link.segment_open = true;
        if kind == b'S' && name.is_empty() {
            self.statements.unnamed.clear();
            link.conn.unnamed = 0;
        } else if kind == b'S' && !link.skipping && self.statements.remove(name).is_some() {
            self.client.set_prepared(self.statements.len());
            link.retry = None;
            // The server keeps it for others.
            link.expect(Expect::MadeUpClose);
            return Ok(());
        } else if kind == b'S' && name.starts_with(NAME_PREFIX.as_bytes()) {
            link.expect(Expect::MadeUpClose);
            return Ok(());
        }
        link.expect(Expect::Close { ours: false });
        link.out.extend_from_slice(bytes);
        Ok(())
    }

    fn take_execute(&mut self, link: &mut Link, bytes: &[u8], body: &[u8]) -> Result<(), PgError> {
        let Some((portal, limit)) = split_cstr(body) else {
            return Err(protocol_error("invalid message format: Execute".into()));
        };
        if limit != [0; 4] {
            // The portal may stay open.
            link.opening = None;
        }
        link.segment_open = true;
        let effects = self.statements.portal(portal).cloned();
        let resets = effects.clone().filter(|_| !self.settings.base().is_empty());
        link.expect(Expect::Execute { effects });
        link.out.extend_from_slice(bytes);
        if let Some(plan) = resets {
            self.put_back_behind(link, &plan);
        }
        Ok(())
    }

    fn take_sync(&mut self, link: &mut Link, bytes: &[u8]) -> Result<(), PgError> {
        link.out.extend_from_slice(bytes);
        if link.copy_in && !link.queue.iter().any(|expect| matches!(expect, Expect::CopyEnd)) {
            // The server takes no notice of a Sync within COPY.
            return Ok(());
        }
        link.skipping = false;
        link.segment_open = false;
        link.segment += 1;
        link.queue.push_back(Expect::Sync);
        Ok(())
    }

    /// The server's name for a statement of the client's, prepared there if it wasn't, and its plan.
    fn server_statement(&mut self, link: &mut Link, name: &[u8]) -> (Vec<u8>, Option<Rc<Plan>>) {
        if name.is_empty() {
            self.ensure_used(link, name);
            self.ensure_unnamed(link);
            return (Vec::new(), self.statements.unnamed.plan.clone());
        }
        self.plan_again(name);
        self.ensure_used(link, name);
        match self.statements.get(name) {
            // A name that no server knows: the error that comes is put in PostgreSQL's words for a changed result type.
            Some(held) if held.stale => (NO_STATEMENT.to_vec(), None),
            Some(held) => {
                let (statement, plan, generation) = (held.statement.clone(), held.plan.clone(), held.generation);
                self.ensure_prepared(link, &statement, generation);
                (statement.name.as_bytes().to_vec(), Some(plan))
            }
            // It may be one that SQL's PREPARE made on this very connection. Not one of ours.
            None if name.starts_with(NAME_PREFIX.as_bytes()) => ([b"?", name].concat(), None),
            None => (name.to_vec(), None),
        }
    }

    /// The schema changed since the client was given the statement's description: asks whether it still has it, before
    /// the statement is run. True: the answer must come first.
    ///
    /// PostgreSQL refuses to run such a statement ("cached plan must not change result type",
    /// `RevalidateCachedQuery`), as the client would misread the rows.
    fn verify_first(&mut self, link: &mut Link, body: &[u8]) -> bool {
        let name = split_cstr(body).and_then(|(_, rest)| split_cstr(rest)).map(|(name, _)| name);
        let generation = self.generation();
        let Some(name) = name.filter(|_| !link.skipping) else { return false };
        let Some(held) = self.statements.get_mut(name) else { return false };
        // What EXECUTE gives is that of the statement it names.
        if held.generation == generation || held.original.is_some() {
            return false;
        }
        held.generation = generation;
        if held.described.is_none() {
            return false;
        }
        let statement = held.statement.clone();
        self.ensure_prepared(link, &statement, generation);
        message::describe_statement(&mut link.out, statement.name.as_bytes());
        message::put(&mut link.out, front::FLUSH, |_| {});
        link.expect(Expect::Describe(Described::Verify(name.into())));
        link.segment_open = true;
        link.verifying = true;
        true
    }

    /// A plan made for an older catalog is made again.
    fn plan_again(&mut self, name: &[u8]) {
        let generation = self.database.shared.generation();
        let Some(held) = self.statements.get(name).filter(|held| held.planned != generation) else { return };
        let plan = self.plan(held.original.as_deref().unwrap_or(&held.statement.key.sql));
        if let Some(held) = self.statements.get_mut(name) {
            held.plan = plan;
            held.planned = generation;
        }
    }

    fn ensure_unnamed(&mut self, link: &mut Link) {
        let unnamed = &self.statements.unnamed;
        if unnamed.id == link.conn.unnamed || link.skipping {
            return;
        }
        link.conn.unnamed = unnamed.id;
        if unnamed.id == 0 {
            // Another client's must not be found in its place.
            link.expect(Expect::Close { ours: true });
            message::close_statement(&mut link.out, b"");
        } else {
            link.expect(Expect::Parse { statement: None, client: None, ours: true });
            let renamed = unnamed.plan.as_ref().and_then(|plan| self.served(&unnamed.sql, plan));
            let sql = renamed.as_ref().map_or(&unnamed.sql, |(renamed, _)| renamed);
            message::parse(&mut link.out, b"", sql, &unnamed.types);
        }
    }

    /// Sees to it that the server has the statement when it comes to the next message. `generation`: the schema's when
    /// the client prepared it; what was prepared before that may mean something else.
    pub(super) fn ensure_prepared(&mut self, link: &mut Link, statement: &Arc<Statement>, generation: u64) {
        if link.skipping {
            return;
        }
        match link.conn.statements.standing(statement.id, generation) {
            Some(Standing::Prepared) => return,
            // In this very segment: if it fails, so does what follows.
            Some(Standing::Sent(segment)) if segment == link.segment => return,
            _ => {}
        }
        if link.conn.statements.contains(statement.id) {
            self.send_close(link, statement);
        }
        link.pool.metrics.server_parses.inc();
        let sent_to = self.generation();
        link.conn.statements.sent(statement, link.segment, sent_to);
        link.expect(Expect::Parse { statement: Some(statement.clone()), client: None, ours: true });
        message::parse(&mut link.out, statement.name.as_bytes(), &statement.key.sql, &statement.key.types);
        if let Some(surplus) = link.conn.statements.surplus() {
            self.send_close(link, &surplus);
        }
    }

    fn send_parse(&mut self, link: &mut Link, statement: &Arc<Statement>, client: Option<ClientParse>) {
        link.pool.metrics.server_parses.inc();
        let known = client.is_some().then(|| statement.clone());
        link.expect(Expect::Parse { statement: known, client, ours: false });
        message::parse(&mut link.out, statement.name.as_bytes(), &statement.key.sql, &statement.key.types);
    }

    fn send_close(&mut self, link: &mut Link, statement: &Arc<Statement>) {
        if !link.skipping {
            link.conn.statements.forget(statement.id);
        }
        link.expect(Expect::Close { ours: true });
        message::close_statement(&mut link.out, statement.name.as_bytes());
    }

    /// Puts what the next statement will look for in its place: `SHOW pgbraid.token`.
    fn before_statement(&mut self, link: &mut Link, plan: &Plan) {
        let shows_token = |kind: &Kind| matches!(kind, Kind::Show(name) if name == "pgbraid.token");
        if link.segment_open || !plan.steps.iter().any(|step| shows_token(&step.kind)) {
            return;
        }
        link.expect(Expect::Ours(Ours::Value));
        message::query(&mut link.out, self.token_sql().as_bytes());
        link.conn.unnamed = 0;
        link.tracker().apply(&Event::Set("pgbraid.token".into(), Value::Config(String::new())));
    }

    fn before_opaque(&mut self, link: &mut Link) {
        self.transaction.opaque = true;
        self.transaction.writes_all = true;
        link.conn.cancel.notifies(self.client.told);
        link.retry = None;
    }
}

fn kind_and_name<'a>(body: &'a [u8], what: &str) -> Result<(u8, &'a [u8]), PgError> {
    let parts = body.split_first().and_then(|(kind, rest)| Some((*kind, split_cstr(rest)?)));
    match parts {
        Some((kind @ (b'S' | b'P'), (name, []))) => Ok((kind, name)),
        _ => Err(protocol_error(format!("invalid message format: {what}"))),
    }
}

/// The client broke the protocol: its connection ends.
pub(in crate::session) fn protocol_error(text: String) -> PgError {
    PgError::fatal(SqlState::PROTOCOL_VIOLATION, text)
}

fn too_many_statements() -> PgError {
    PgError::error(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many prepared statements in one session")
        .hint("Close statements that aren't needed any more.")
}

fn message_too_long(tag: u8, len: usize) -> PgError {
    let text = format!("message of type \"{}\" with {len} bytes is too long", char::from(tag));
    PgError::fatal(SqlState::PROGRAM_LIMIT_EXCEEDED, text)
        .hint(format!("A statement may have {} bytes; send large values as parameters, or by COPY.", limits::STATEMENT))
}
