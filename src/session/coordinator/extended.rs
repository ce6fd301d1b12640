//! The extended protocol: statements and portals of the client's, each on the shards that its parameters name.

use std::rc::Rc;

use super::block::aborted;
use super::cursor::CursorPlace;
use super::decide::{Decision, Target, is_control, refusal_error, scatter_of};
use super::describe::Prepared;
use super::flow::{Flow, To};
use super::multi::{Bind, put_bound};
use super::shard::{Expect, ShardLink};
use super::simple::not_utf8;
use super::types::Named;
use super::welcome::{NO_DATA, put_body, with_formats};
use super::{Coordinator, Go};
use crate::base::{PgError, SqlState, limits};
use crate::catalog::schema::Oid;
use crate::plan::sharded::BoundValue;
use crate::plan::sharded::Work;
use crate::session::upstream::protocol_error;
use crate::value::key::Format;
use crate::wire::frame::{back, front, split_cstr};
use crate::wire::message;
use crate::wire::reader::Reader;

/// A portal of the client's.
pub(super) struct Portal {
    prepared: Rc<Prepared>,
    place: Place,
    bind: Rc<Bind>,
    /// Rows beyond the limit of an earlier Execute.
    flow: Option<Flow>,
    done: bool,
    /// The session's count of cursors and portals when it was made.
    pub made: u64,
}

enum Place {
    /// It is that shard's own portal.
    Shard(usize, bool),
    Shards(Vec<usize>),
    /// Transactions and settings.
    Control,
    /// Cursors that are held here.
    Held,
    /// EXPLAIN and COPY, whose answers are made here.
    Here,
    /// A definition, on all shards.
    Define,
}

impl Coordinator {
    /// One extended message but Sync.
    pub(super) async fn extended(&mut self, tag: u8, body: &[u8]) -> Go {
        if self.segment.skipping {
            return Ok(());
        }
        self.segment.begin();
        match tag {
            front::PARSE => self.parse(body).await,
            front::BIND => self.bind(body).await,
            front::DESCRIBE => self.describe_message(body).await,
            front::EXECUTE => self.execute(body).await,
            front::CLOSE => self.close(body).await,
            _ => {
                self.settle().await?;
                self.flush().await
            }
        }
    }

    async fn parse(&mut self, body: &[u8]) -> Go {
        let parts = split_cstr(body).and_then(|(name, rest)| split_cstr(rest).map(|(sql, types)| (name, sql, types)));
        let Some((name, sql, types)) = parts else {
            return Err(self.tell_and_end(protocol_error("invalid message format: Parse".into())).await);
        };
        self.settle().await?;
        let sql = std::str::from_utf8(sql).map_err(|_| not_utf8())?;
        if !self.reads_utf8() && !sql.is_ascii() {
            return Err(not_utf8().into());
        }
        if !name.is_empty() && self.statements.contains_key(name) {
            let text = format!("prepared statement \"{}\" already exists", String::from_utf8_lossy(name));
            return Err(PgError::error(SqlState::DUPLICATE_PREPARED_STATEMENT, text).into());
        }
        if self.statements.len() >= limits::SESSION_STATEMENTS {
            return Err(PgError::error(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "too many prepared statements in one session",
            )
            .hint("Close statements that aren't needed any more.")
            .into());
        }
        let prepared = self.text(sql, types, true);
        if prepared.plan.steps.len() > 1 {
            let text = "cannot insert multiple commands into a prepared statement";
            return Err(PgError::error(SqlState::SYNTAX_ERROR, text).into());
        }
        self.refuse_in_failed(&prepared)?;
        let control = prepared.plan.steps.first().is_none_or(|step| is_control(&step.kind));
        if !control {
            self.describe(&prepared).await?;
        }
        match name {
            [] => self.unnamed = Some(prepared),
            name => {
                self.statements.insert(name.to_vec(), prepared);
                self.client.set_prepared(self.statements.len());
            }
        }
        message::put(&mut self.output, back::PARSE_COMPLETE, |_| {});
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<Rc<Prepared>, PgError> {
        let found = if name.is_empty() { self.unnamed.clone() } else { self.statements.get(name).cloned() };
        found.ok_or_else(|| {
            let text = match name {
                [] => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{}\" does not exist", String::from_utf8_lossy(name)),
            };
            PgError::error(SqlState::INVALID_SQL_STATEMENT_NAME, text)
        })
    }

    /// The statement as it means now: the schema may have changed since it was prepared.
    async fn fresh(&mut self, prepared: Rc<Prepared>) -> Go<Rc<Prepared>> {
        self.await_view(&prepared).await?;
        let reads_as_then = prepared.key.is_read_by(&self.reads(), self.own_names());
        if prepared.generation == self.generation() && reads_as_then {
            return Ok(prepared);
        }
        let fresh = self.text(&prepared.sql, &prepared.types, true);
        let Some(before) = prepared.described.get() else { return Ok(fresh) };
        self.describe(&fresh).await?;
        if fresh.described.get().is_none_or(|now| now.columns != before.columns) {
            let text = "cached plan must not change result type";
            return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).into());
        }
        Ok(fresh)
    }

    /// The same, kept under its name: looked for once, not with every execution. What is planned by a block's own
    /// definitions isn't kept.
    async fn renewed(&mut self, name: &[u8], prepared: Rc<Prepared>) -> Go<Rc<Prepared>> {
        let fresh = self.fresh(prepared.clone()).await?;
        if !Rc::ptr_eq(&fresh, &prepared) && !self.has_own() {
            match name {
                [] => self.unnamed = Some(fresh.clone()),
                name => {
                    self.statements.insert(name.to_vec(), fresh.clone());
                }
            }
        }
        Ok(fresh)
    }

    async fn bind(&mut self, body: &[u8]) -> Go {
        let Some((portal, name, rest)) =
            split_cstr(body).and_then(|(portal, rest)| split_cstr(rest).map(|(name, rest)| (portal, name, rest)))
        else {
            return Err(self.tell_and_end(protocol_error("invalid message format: Bind".into())).await);
        };
        let prepared = self.statement(name)?;
        self.refuse_in_failed(&prepared)?;
        if let Some(name) = std::str::from_utf8(portal).ok().filter(|name| !name.is_empty()) {
            self.is_free(name)?;
        }
        let prepared = self.renewed(name, prepared).await?;
        let Some(bind) = read_bind(rest) else {
            return Err(self.tell_and_end(protocol_error("invalid message format: Bind".into())).await);
        };
        let decision = self.decide(&prepared).await?;
        counted(name, &prepared, &bind)?;
        let place = self.place(&prepared, &decision, &bind).await?;
        match &place {
            Place::Shard(shard, writes) => {
                let (shard, writes) = (*shard, *writes);
                if self.segment.active.is_some_and(|active| active != shard) {
                    self.settle().await?;
                }
                if writes {
                    self.may_write(shard).await?;
                }
                let mut link = self.engage_for_segment(shard).await?;
                self.worker.metrics.routed.inc();
                match self.bind_for(shard, &prepared, &bind) {
                    Some(bind) => {
                        let mut rest = Vec::new();
                        put_bound(&mut rest, &bind);
                        self.put_bind(&mut link, &prepared, name.is_empty(), portal, &rest);
                    }
                    None => self.put_bind(&mut link, &prepared, name.is_empty(), portal, rest),
                }
                self.put_link(shard, link);
            }
            Place::Shards(_) | Place::Control | Place::Held | Place::Here | Place::Define => {
                self.settle().await?;
                message::put(&mut self.output, back::BIND_COMPLETE, |_| {});
            }
        }
        let portal = portal.to_vec();
        self.made += 1;
        let made = self.made;
        let new = Portal { prepared, place, bind: Rc::new(bind), flow: None, done: false, made };
        if let Some(mut old) = self.portals.insert(portal, new)
            && let Some(flow) = &mut old.flow
        {
            self.close_flow(flow);
        }
        Ok(())
    }

    /// A link in the state that messages may be put into it.
    pub(super) async fn engage_for_segment(&mut self, shard: usize) -> Go<Box<ShardLink>> {
        let ready = self.segment.active == Some(shard)
            || self.links.get(shard).and_then(Option::as_ref).is_some_and(|link| link.open);
        let link = if ready { self.take_link(shard)? } else { self.engage(shard).await? };
        self.segment.active = Some(shard);
        Ok(link)
    }

    fn put_bind(&mut self, link: &mut ShardLink, prepared: &Prepared, unnamed: bool, portal: &[u8], rest: &[u8]) {
        let name = if unnamed { String::new() } else { format!("c{}", prepared.id) };
        let there = if unnamed { link.unnamed == prepared.id } else { link.prepared.contains(&prepared.id) };
        if !there {
            let types = self.types_for(link.shard, &prepared.types);
            if unnamed {
                message::parse(&mut link.out, b"", prepared.sql.as_bytes(), &types);
                link.expect.push_back(Expect::Parse { ours: true });
                link.unnamed = prepared.id;
            } else {
                link.prepare(prepared.id, &name, &prepared.sql, &types);
            }
        }
        message::put(&mut link.out, front::BIND, |out| {
            message::put_cstr(out, portal);
            message::put_cstr(out, name.as_bytes());
            out.extend_from_slice(rest);
        });
        link.expect.push_back(Expect::Bind { ours: false });
        link.open = true;
    }

    async fn place(&mut self, prepared: &Prepared, decision: &Decision, bind: &Bind) -> Go<Place> {
        let plan = match decision {
            Decision::Transaction | Decision::Settings => return Ok(Place::Control),
            Decision::Home { writes } => {
                self.note_temporary(prepared);
                self.note_prepared(prepared);
                return Ok(Place::Shard(self.home(), *writes));
            }
            Decision::Configure(_) => return Ok(Place::Here),
            Decision::Shard(shard) => return Ok(Place::Shard(*shard, true)),
            Decision::Cursor if self.held_name(&prepared.sql).is_some() => {
                // Its rows are read as it was declared.
                let held = self.held_name(&prepared.sql).and_then(|name| self.held_row(&name));
                let binary = held.is_some_and(|(_, binary)| binary);
                let asked = |format: &i16| (*format == 1) != binary;
                let other = if bind.results.is_empty() { binary } else { bind.results.iter().any(asked) };
                if other && Self::fetches(&prepared.sql) {
                    return Err(PgError::error(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        "FETCH from a cursor over several shards gives values in the format that it was declared with",
                    )
                    .hint(
                        "DECLARE it BINARY if its values are wanted so, or execute the query itself with a row limit.",
                    )
                    .into());
                }
                return Ok(Place::Held);
            }
            Decision::Cursor if super::simple::closes_all(prepared) => return Ok(Place::Held),
            Decision::Cursor => return Ok(Place::Shard(self.cursor_shard(&prepared.sql), false)),
            Decision::Refused(error, reason) => return Err(self.refuse((**error).clone(), reason)),
            Decision::Define(_) => return Ok(Place::Define),
            Decision::Explain(_) | Decision::Prior(..) => return Ok(Place::Here),
            Decision::CopyOut(plan, _) | Decision::Planned(plan) | Decision::Declare(plan, _) => plan,
        };
        if let Work::Refuse(refusal) = &plan.work {
            return Err(self.refuse(refusal_error(refusal), refusal.reason));
        }
        let view = self.view().await?;
        let values = self.bound(prepared, bind);
        let target = match self.target(&plan.access, &view, &|number| values(number))? {
            Target::One(shard) if self.asks_other_clock(plan, shard) && matches!(decision, Decision::Planned(_)) => {
                Target::Many(vec![shard])
            }
            target => target,
        };
        match target {
            Target::One(shard) => {
                if let Decision::CopyOut(..) = decision {
                    self.refuse_named_copy(shard, &prepared.sql)?;
                }
                if let Decision::Declare(_, cursor) = decision {
                    self.is_free(&cursor.name)?;
                    self.note_cursor(cursor, CursorPlace::Shard(shard));
                }
                Ok(Place::Shard(shard, plan.writes))
            }
            Target::Many(shards) => match decision {
                Decision::Planned(plan) => {
                    if let Err(refusal) = scatter_of(plan) {
                        return Err(self.refuse(refusal_error(refusal), refusal.reason));
                    }
                    Ok(Place::Shards(shards))
                }
                Decision::Declare(..) => Ok(Place::Held),
                _ => Ok(Place::Here),
            },
        }
    }

    /// Bound parameters as the planner asks for them.
    pub(super) fn bound<'a>(
        &self,
        prepared: &'a Prepared,
        bind: &'a Bind,
    ) -> impl Fn(u32) -> Option<BoundValue<'a>> + use<'a> {
        let utf8 = self.reads_utf8();
        move |number| {
            let at = number.checked_sub(1)? as usize;
            let value = bind.values.get(at)?;
            let type_oid: Oid =
                prepared.described.get().and_then(|described| described.params.get(at).copied()).unwrap_or(0);
            let format = if bind.format(at) == 1 { Format::Binary } else { Format::Text };
            let text = format == Format::Text || matches!(type_oid, 0 | 25 | 1042 | 1043);
            if !utf8 && text && value.as_ref().is_some_and(|value| !value.is_ascii()) {
                // Its bytes aren't those that the servers hash.
                return None;
            }
            Some(BoundValue { type_oid, format, value: value.as_deref() })
        }
    }

    /// Has a portal over shards described as the home shard plans it.
    async fn plan_portal(&mut self, name: &[u8]) -> Go {
        let Some(portal) = self.portals.get(name) else { return Ok(()) };
        let (prepared, bind) = (portal.prepared.clone(), portal.bind.clone());
        if prepared.described.get().is_some_and(|described| described.portal.get().is_none()) {
            self.settle().await?;
            self.hold_segment().await?;
            self.describe_portal(&prepared, &bind).await?;
        }
        Ok(())
    }

    async fn describe_message(&mut self, body: &[u8]) -> Go {
        let Some((&kind, name)) = body.split_first().and_then(|(kind, rest)| Some((kind, split_cstr(rest)?.0))) else {
            return Err(self.tell_and_end(protocol_error("invalid message format: Describe".into())).await);
        };
        if kind == b'S' {
            self.settle().await?;
            let prepared = self.statement(name)?;
            let described = prepared.described.get();
            let params = described.map(|described| described.params.as_slice()).unwrap_or_default();
            message::put(&mut self.output, back::PARAMETER_DESCRIPTION, |out| {
                out.extend_from_slice(&(params.len() as u16).to_be_bytes());
                params.iter().for_each(|oid| out.extend_from_slice(&oid.to_be_bytes()));
            });
            let fetched = self.held_name(&prepared.sql).filter(|_| Self::fetches(&prepared.sql));
            let held = fetched.and_then(|name| self.held_row(&name)).map(|(row, _)| with_formats(&row, &[]));
            match held.as_deref().or_else(|| described.and_then(|described| described.row.as_deref())) {
                Some(row) => put_body(&mut self.output, back::ROW_DESCRIPTION, row),
                None => put_body(&mut self.output, NO_DATA, &[]),
            }
            return Ok(());
        }
        let cursor = std::str::from_utf8(name).ok().and_then(|name| self.cursors.get(name));
        let cursor = cursor.map(|cursor| match cursor.place {
            CursorPlace::Shard(shard) => Place::Shard(shard, false),
            CursorPlace::Rows(_) => Place::Held,
        });
        let place = match (self.portals.get(name), &cursor) {
            (Some(portal), _) => &portal.place,
            // A cursor of SQL is a portal too.
            (None, Some(place)) => place,
            (None, None) => return Err(no_portal(name).into()),
        };
        match place {
            Place::Shard(shard, _) => {
                let shard = *shard;
                if self.segment.active.is_some_and(|active| active != shard) {
                    self.settle().await?;
                }
                let mut link = self.take_link(shard)?;
                message::put(&mut link.out, front::DESCRIBE, |out| out.extend_from_slice(body));
                link.expect.push_back(Expect::Describe { ours: false });
                link.open = true;
                self.put_link(shard, link);
                self.segment.active = Some(shard);
            }
            Place::Control | Place::Define => {
                self.settle().await?;
                put_body(&mut self.output, NO_DATA, &[]);
            }
            Place::Held => {
                let sql = self.portals.get(name).map(|portal| portal.prepared.sql.clone());
                let named = String::from_utf8_lossy(name).into_owned();
                let fetched = sql.and_then(|sql| self.held_name(&sql)).unwrap_or(named);
                let rows = self.portals.get(name).is_none_or(|portal| Self::fetches(&portal.prepared.sql));
                let row = self.held_row(&fetched).filter(|_| rows).map(|(row, _)| row);
                self.settle().await?;
                match row {
                    Some(row) => put_body(&mut self.output, back::ROW_DESCRIPTION, &row),
                    None => put_body(&mut self.output, NO_DATA, &[]),
                }
            }
            Place::Shards(_) | Place::Here => {
                if matches!(place, Place::Shards(_)) {
                    self.plan_portal(name).await?;
                }
                let row = self.portals.get(name).and_then(|portal| {
                    let described = portal.prepared.described.get()?;
                    Some(with_formats(described.told()?, &portal.bind.results))
                });
                self.settle().await?;
                match row {
                    Some(row) => put_body(&mut self.output, back::ROW_DESCRIPTION, &row),
                    None => put_body(&mut self.output, NO_DATA, &[]),
                }
            }
        }
        Ok(())
    }

    async fn execute(&mut self, body: &[u8]) -> Go {
        let parts =
            split_cstr(body).and_then(|(name, rest)| Some((name, u32::from_be_bytes(*rest.first_chunk::<4>()?))));
        let Some((name, limit)) = parts else {
            return Err(self.tell_and_end(protocol_error("invalid message format: Execute".into())).await);
        };
        let name = name.to_vec();
        if !self.portals.contains_key(&name)
            && let Some(cursor) = std::str::from_utf8(&name).ok().map(str::to_owned)
            && self.held_row(&cursor).is_some()
        {
            self.settle().await?;
            self.hold_segment().await?;
            return self.execute_cursor(&cursor, limit).await;
        }
        if !self.portals.contains_key(&name)
            && let Some(shard) = self.shard_cursor(&name)
        {
            return self.execute_on(shard, body, None).await;
        }
        let Some(portal) = self.portals.get_mut(&name) else { return Err(no_portal(&name).into()) };
        if self.block.as_ref().is_some_and(|block| block.failed)
            && matches!(portal.place, Place::Shards(_) | Place::Held | Place::Here | Place::Define)
        {
            return Err(aborted().into());
        }
        let prepared = portal.prepared.clone();
        match &portal.place {
            Place::Shard(shard, _) => {
                let shard = *shard;
                let bind = portal.bind.clone();
                let named = self.named_results(shard, prepared.described.get(), &bind);
                self.execute_on(shard, body, named).await?;
                self.forget_closed(&prepared);
                Ok(())
            }
            Place::Control => {
                self.settle().await?;
                self.hold_segment().await?;
                self.control(&prepared).await
            }
            Place::Held => {
                let bind = portal.bind.clone();
                self.settle().await?;
                self.hold_segment().await?;
                match &*self.decide(&prepared).await? {
                    Decision::Declare(_, cursor) => self.declare(&prepared, cursor, &bind).await,
                    _ if super::simple::closes_all(&prepared) => self.close_all().await,
                    _ => self.held_cursor(&prepared.sql, false).await.map(|_| ()),
                }
            }
            Place::Here | Place::Define => {
                let (bind, done) = (portal.bind.clone(), std::mem::replace(&mut portal.done, true));
                self.execute_here(&prepared, &bind, (done, limit)).await
            }
            Place::Shards(shards) => {
                let (shards, bind) = (shards.clone(), portal.bind.clone());
                let (flow, done) = (portal.flow.take(), std::mem::replace(&mut portal.done, true));
                self.settle().await?;
                let flow = match flow {
                    Some(flow) => flow,
                    None if done => {
                        message::command_complete(&mut self.output, "SELECT 0");
                        return Ok(());
                    }
                    None => {
                        let Decision::Planned(plan) = &*self.decide(&prepared).await? else { return Ok(()) };
                        let scatter = scatter_of(plan).map_err(refusal_error)?;
                        if limit == 0 || super::change::runs_whole(&prepared, scatter)? {
                            return self.scatter(&prepared, (scatter, plan.writes), &shards, &bind, false).await;
                        }
                        self.hold_portals().await?;
                        self.open_flow(&prepared, scatter, &shards, &bind).await?
                    }
                };
                self.execute_flow(&name, flow, limit).await
            }
        }
    }

    /// Execute of what is answered here.
    async fn execute_here(&mut self, prepared: &Rc<Prepared>, bind: &Bind, (done, limit): (bool, u32)) -> Go {
        self.settle().await?;
        self.hold_segment().await?;
        match &*self.decide(prepared).await? {
            Decision::Define(definition) if !done => self.define(prepared, definition, true).await,
            Decision::Configure(calls) if !done => self.configure(prepared, calls, bind, false).await,
            Decision::Prior(prior, instead) if !done => {
                if limit > 0 {
                    super::change::in_one_piece(prepared)?;
                }
                self.run_prior(prepared, (prior, instead.as_deref()), bind, false).await
            }
            Decision::Explain(explain) if !done => self.explain(prepared, explain, bind, false).await,
            Decision::CopyOut(plan, copy) if !done => {
                let view = self.view().await?;
                match self.target(&plan.access, &view, &|_| None)? {
                    Target::Many(shards) => self.copy_out(prepared, plan, copy, &shards).await,
                    Target::One(shard) => self.copy_out(prepared, plan, copy, &[shard]).await,
                }
            }
            _ => {
                message::command_complete(&mut self.output, "SELECT 0");
                Ok(())
            }
        }
    }

    /// Execute of a shard's own portal.
    async fn execute_on(&mut self, shard: usize, body: &[u8], named: Option<Rc<Named>>) -> Go {
        if named.is_some() || self.segment.active.is_some_and(|active| active != shard) {
            self.settle().await?;
        }
        let mut link = self.take_link(shard)?;
        message::put(&mut link.out, front::EXECUTE, |out| out.extend_from_slice(body));
        link.expect.push_back(Expect::Execute);
        let renamed = named.is_some();
        link.named = named;
        link.open = true;
        self.put_link(shard, link);
        self.segment.active = Some(shard);
        // Rows of what is executed next may name other types, or none.
        if renamed { self.settle().await } else { Ok(()) }
    }

    /// The next rows of a portal over shards.
    async fn execute_flow(&mut self, name: &[u8], mut flow: Flow, limit: u32) -> Go {
        let most = if limit == 0 { usize::MAX } else { limit as usize };
        let told = self.flow_rows(&mut flow, most, &mut To::Client).await?;
        // PostgreSQL suspends a portal also when exactly the last row was fetched.
        if told < most {
            message::command_complete(&mut self.output, &format!("SELECT {told}"));
            return Ok(());
        }
        put_body(&mut self.output, back::PORTAL_SUSPENDED, &[]);
        if let Some(portal) = self.portals.get_mut(name) {
            portal.flow = Some(flow);
        }
        Ok(())
    }

    fn shard_cursor(&self, name: &[u8]) -> Option<usize> {
        match self.cursors.get(std::str::from_utf8(name).ok()?)?.place {
            CursorPlace::Shard(shard) => Some(shard),
            CursorPlace::Rows(_) => None,
        }
    }

    async fn close(&mut self, body: &[u8]) -> Go {
        let Some((&kind, name)) = body.split_first().and_then(|(kind, rest)| Some((kind, split_cstr(rest)?.0))) else {
            return Err(self.tell_and_end(protocol_error("invalid message format: Close".into())).await);
        };
        if kind == b'P'
            && let Some(Portal { place: Place::Shard(shard, _), .. }) = self.portals.get(name)
        {
            let shard = *shard;
            self.portals.remove(name);
            if self.segment.active.is_some_and(|active| active != shard) {
                self.settle().await?;
            }
            let mut link = self.take_link(shard)?;
            message::put(&mut link.out, front::CLOSE, |out| out.extend_from_slice(body));
            link.expect.push_back(Expect::Close { ours: false });
            link.open = true;
            self.put_link(shard, link);
            self.segment.active = Some(shard);
            return Ok(());
        }
        self.settle().await?;
        if kind == b'S' {
            if name.is_empty() {
                self.unnamed = None;
            } else {
                self.statements.remove(name);
                self.client.set_prepared(self.statements.len());
            }
        } else if let Some(mut portal) = self.portals.remove(name) {
            if let Some(flow) = &mut portal.flow {
                self.close_flow(flow);
            }
        } else if let Ok(name) = std::str::from_utf8(name) {
            self.drop_cursor(name);
        }
        message::put(&mut self.output, back::CLOSE_COMPLETE, |_| {});
        Ok(())
    }
}

/// As many parameters and formats as `exec_bind_message` wants.
fn counted(name: &[u8], prepared: &Prepared, bind: &Bind) -> Result<(), PgError> {
    let Some(described) = prepared.described.get() else { return Ok(()) };
    let (given, wanted) = (bind.values.len(), described.params.len());
    let broken = |text: String| Err(PgError::error(SqlState::PROTOCOL_VIOLATION, text));
    if bind.formats.len() > 1 && bind.formats.len() != given {
        let formats = bind.formats.len();
        return broken(format!("bind message has {formats} parameter formats but {given} parameters"));
    }
    if given != wanted {
        let name = String::from_utf8_lossy(name);
        let text =
            format!("bind message supplies {given} parameters, but prepared statement \"{name}\" requires {wanted}");
        return broken(text);
    }
    let (formats, columns) = (bind.results.len(), described.columns.len());
    if formats > 1 && formats != columns {
        return broken(format!("bind message has {formats} result formats but query has {columns} columns"));
    }
    Ok(())
}

fn no_portal(name: &[u8]) -> PgError {
    let text = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
    PgError::error(SqlState::INVALID_CURSOR_NAME, text)
}

/// What follows the names in a Bind message.
fn read_bind(body: &[u8]) -> Option<Bind> {
    let mut reader = Reader::new(body);
    let mut bind = Bind::default();
    for _ in 0..reader.u16().ok()? {
        bind.formats.push(reader.i16().ok()?);
    }
    for _ in 0..reader.u16().ok()? {
        bind.values.push(reader.value().ok()?.map(<[u8]>::to_vec));
    }
    for _ in 0..reader.u16().ok()? {
        bind.results.push(reader.i16().ok()?);
    }
    reader.finish().ok()?;
    Some(bind)
}
