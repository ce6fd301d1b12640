//! The life of a session: wait for a request, find a server connection for it, relay, let go.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Session;
use super::client::State;
use super::link::{Link, Retry, Side};
use super::relay::{End, poll_fill};
use super::route::Target;
use super::upstream::protocol_error;
use crate::backend::{LocalPool, ServerConn};
use crate::base::{PgError, SqlState, limits};
use crate::plan::Pin;
use crate::topology::{Need, ReadNeed, Role};
use crate::wire::Frame;
use crate::wire::frame::{HEADER, back, front, split_cstr};
use crate::wire::message;

/// The session is over.
pub(super) struct Over;

pub(super) enum Next {
    /// Nothing whole is there yet.
    Wait,
    /// Answered here, without a server.
    Done,
    /// A server must answer.
    Request,
    /// Terminate, or the protocol was broken (the client is told).
    End(Option<PgError>),
}

/// How often a state that others change is looked at while waiting for it.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Session {
    /// Serves the client until it goes or must go.
    pub(super) async fn run(&mut self) {
        while self.turn().await.is_ok() {}
        // Boxed, as all that is large and rare: an idle client keeps only what it waits with.
        Box::pin(self.part()).await;
    }

    async fn turn(&mut self) -> Result<(), Over> {
        if let Some(mirror) = &self.mirror
            && self.status == b'I'
        {
            mirror.show(self.settings.current());
        }
        match self.next_request() {
            Next::Wait => {
                self.flush().await?;
                self.wait_for_input().await
            }
            Next::Done => Ok(()),
            Next::End(None) => Err(Over),
            Next::End(Some(error)) => Err(Box::pin(self.tell_and_end(error)).await),
            Next::Request => self.serve_request().await,
        }
    }

    /// Looks at the first frame of the input.
    fn next_request(&mut self) -> Next {
        if self.passing > 0 {
            let count = self.passing.min(self.input.len());
            self.input.consume(count);
            self.passing -= count;
            return if count > 0 { Next::Done } else { Next::Wait };
        }
        let frame = match Frame::parse(self.input.filled()) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Next::Wait,
            Err(error) => return Next::End(Some(protocol_error(format!("invalid message length ({error:?})")))),
        };
        match frame.tag {
            front::TERMINATE => Next::End(None),
            // What is left of a COPY that failed; PostgreSQL ignores it too.
            front::COPY_DATA | front::COPY_DONE | front::COPY_FAIL => self.drop_frame(frame),
            front::FLUSH if self.kept.is_none() || self.rejecting => self.drop_frame(frame),
            front::SYNC if self.kept.is_none() || self.rejecting => {
                self.rejecting = false;
                let status = self.status;
                self.say(|out| message::ready_for_query(out, status));
                self.drop_frame(frame)
            }
            _ if self.rejecting => self.drop_frame(frame),
            front::QUERY | front::PARSE | front::DESCRIBE | front::CLOSE | front::EXECUTE | front::BIND => {
                let held = if frame.tag == front::BIND { limits::RELAY_BUFFER } else { limits::STATEMENT };
                if self.input.len() < frame.len.min(held) {
                    if frame.tag != front::BIND && frame.len > held {
                        return Next::Request;
                    }
                    self.input.reserve_total(frame.len.min(held));
                    return Next::Wait;
                }
                if frame.tag == front::CLOSE && self.kept.is_none() && self.close_here(frame) {
                    return Next::Done;
                }
                Next::Request
            }
            _ => Next::Request,
        }
    }

    pub(super) fn drop_frame(&mut self, frame: Frame) -> Next {
        let here = frame.len.min(self.input.len());
        self.input.consume(here);
        self.passing = frame.len - here;
        Next::Done
    }

    /// Close of a statement that we know needs no server.
    fn close_here(&mut self, frame: Frame) -> bool {
        let bytes = self.input.filled().get(HEADER..frame.len).unwrap_or_default();
        let Some((b'S', name)) = bytes.split_first().map(|(kind, rest)| (*kind, split_cstr(rest))) else {
            return false;
        };
        let Some((name, _)) = name.filter(|(name, _)| self.statements.get(name).is_some()) else { return false };
        let name = name.to_vec();
        self.statements.remove(&name);
        self.client.set_prepared(self.statements.len());
        self.input.consume(frame.len);
        self.say(|out| message::put(out, back::CLOSE_COMPLETE, |_| {}));
        true
    }

    /// Appends messages of our own for the client.
    pub(super) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        if self.output.capacity() == 0 {
            self.output = self.worker.take_buffer();
        }
        self.output.insert(self.ready, &bytes);
        self.ready += bytes.len();
    }

    pub(super) async fn flush(&mut self) -> Result<(), Over> {
        while self.ready > 0 {
            let written = poll_fn(|cx| match self.poll_flush_ready(cx) {
                Ok(0) => Poll::Pending,
                other => Poll::Ready(other),
            });
            written.await.map_err(|_| Over)?;
        }
        Ok(())
    }

    pub(super) async fn tell_and_end(&mut self, error: PgError) -> Over {
        self.say(|out| message::error_response(out, &error.into_fatal()));
        let _ = tokio::time::timeout(limits::FAREWELL, self.flush()).await;
        Over
    }

    /// Nothing to do: waits for the client, or for what its own server connection has to say. An idle session that
    /// isn't pinned holds no buffers.
    async fn wait_for_input(&mut self) -> Result<(), Over> {
        if self.input.is_empty() && self.kept.is_none() {
            self.give_buffers();
        }
        if let Some(kept) = self.kept.take() {
            return Box::pin(self.wait_with(kept)).await;
        }
        if self.client.is_ending() {
            return Err(Box::pin(self.tell_and_end(going_away())).await);
        }
        let count = poll_fn(|cx| {
            self.client.register_still(cx.waker());
            if self.client.is_ending() {
                return Poll::Ready(Ok(None));
            }
            if self.input.is_empty() && self.stream.poll_read_ready(cx)?.is_pending() {
                return Poll::Pending;
            }
            self.need_input();
            let read = poll_fill(&mut self.stream, &mut self.input, cx);
            if read.is_pending() && self.input.is_empty() {
                // A false alarm: wait for the next, without holding a buffer.
                self.give_buffers();
            }
            read.map_ok(Some)
        });
        match count.await {
            Ok(Some(0)) | Err(_) => Err(Over),
            Ok(_) => Ok(()),
        }
    }

    /// The same for a pinned session, whose server connection may have notifications for it.
    async fn wait_with(&mut self, mut link: Box<Link>) -> Result<(), Over> {
        self.need_input();
        self.need_output();
        let client = self.client.clone();
        let end = poll_fn(|cx| {
            client.register(cx.waker());
            if client.is_ending() {
                return Poll::Ready(None);
            }
            match self.poll_idle(&mut link, cx) {
                Poll::Ready(end) => Poll::Ready(end),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        self.kept = Some(link);
        match end {
            None if client.is_ending() => Err(self.tell_and_end(going_away()).await),
            None => Ok(()),
            Some(End::ServerLost(error)) => {
                self.kept = None;
                Err(self.tell_and_end(error).await)
            }
            Some(_) => Err(Over),
        }
    }

    pub(super) fn need_input(&mut self) {
        if self.input.capacity() == 0 {
            self.input = self.worker.take_buffer();
        }
    }

    pub(super) fn need_output(&mut self) {
        if self.output.capacity() == 0 {
            self.output = self.worker.take_buffer();
        }
    }

    fn give_buffers(&mut self) {
        for buffer in [&mut self.input, &mut self.output] {
            if buffer.capacity() > 0 && buffer.is_empty() {
                self.worker.give_buffer(std::mem::take(buffer));
            }
        }
    }

    /// Gets the request at the start of the input answered.
    async fn serve_request(&mut self) -> Result<(), Over> {
        self.need_output();
        let mut link = match self.kept.take() {
            Some(mut link) => {
                link.started = Instant::now();
                link
            }
            None => {
                self.keep_up();
                let target = self.choose_target();
                match self.link_now(target) {
                    Some(link) => link,
                    None => match Box::pin(self.link_slowly(target)).await? {
                        Some(link) => link,
                        None => return Ok(()),
                    },
                }
            }
        };
        self.timeouts.stop();
        self.client.set_state(State::Active);
        let now = self.worker.unix_micros(link.started);
        self.client.requests(now);
        link.conn.cancel.requests(now);
        let end = poll_fn(|cx| self.poll_relay(&mut link, cx)).await;
        self.client.set_state(State::Idle);
        match end {
            End::Settled if !self.needs_care(&link) => {
                self.let_go(link);
                Ok(())
            }
            end => Box::pin(self.finish(link, end)).await,
        }
    }

    /// More than giving the connection back.
    fn needs_care(&self, link: &Link) -> bool {
        link.doomed
            || self.transaction.opaque
            || self.transaction.loosened
            || self.transaction.pin.is_some()
            || self.pin.is_some()
    }

    async fn finish(&mut self, mut link: Box<Link>, end: End) -> Result<(), Over> {
        match end {
            End::Settled => self.settle(link).await,
            End::Retry => {
                self.worker.metrics.retries.inc();
                self.unlink();
                self.take_back(&mut link);
                if !link.doomed && link.is_settled() {
                    self.let_go(link);
                }
                self.force_primary = true;
                Ok(())
            }
            End::Leave => self.leave(link).await,
            End::ClientGone(error) => {
                self.kept = Some(link);
                Err(match error {
                    Some(error) => self.tell_and_end(error).await,
                    None => Over,
                })
            }
            End::ServerLost(error) => {
                self.unlink();
                self.after_loss(link, error).await
            }
        }
    }

    /// The request will be read again: undoes what the first reading did.
    fn take_back(&mut self, link: &mut Link) {
        let Some(Retry { request, prepared, kept, reported }) = link.retry.take() else { return };
        for name in prepared {
            self.statements.remove(&name);
        }
        self.output.remove(kept..self.output.len());
        self.ready = kept;
        self.reported = reported;
        self.status = b'I';
        self.failure = None;
        self.transaction.reset();
        self.input.insert(0, &request);
    }

    /// A link without waiting: the usual case.
    fn link_now(&mut self, target: Target) -> Option<Box<Link>> {
        let database = &self.database.shared;
        if database.is_paused() || database.is_replaced() || self.status != b'I' || self.failure.is_some() {
            return None;
        }
        let (server, side) = self.pick(target, &[])?;
        let pool = self.pool_of(server)?;
        let want = self.settings.current();
        let conn = pool.try_checkout(want)?;
        if let (Side::Replica, Target::Replica(read)) = (side, target)
            && !read.at_least().is_some_and(|position| conn.covers(position))
        {
            pool.checkin(conn);
            return None;
        }
        if self.fitting(&conn, want).is_some_and(|script| !script.certain) {
            pool.checkin(conn);
            return None;
        }
        pool.metrics.wait.observe_us(0);
        Some(self.make_link(conn, pool, side))
    }

    /// Which of the shard's servers.
    fn pick(&self, target: Target, avoid: &[usize]) -> Option<(usize, Side)> {
        let shard = &self.database.shared.shard;
        if let Target::Replica(read) = target {
            if let Some(server) = shard.fit_replica(&read, self.database.shared.max_lag_micros(), avoid) {
                return Some((server, Side::Replica));
            }
            if self.waits_for_replica(&read) && avoid.is_empty() {
                return None;
            }
        }
        Some((shard.primary_at()?, Side::Primary))
    }

    fn waits_for_replica(&self, _read: &ReadNeed) -> bool {
        !self.database.shared.config().replicas.wait.is_zero()
    }

    /// The pool of this session's user at a server; looked for once.
    fn pool_of(&mut self, server: usize) -> Option<Rc<LocalPool>> {
        if let Some(Some(pool)) = self.pools.get(server) {
            return Some(pool.clone());
        }
        let pool = self.database.pool(&self.worker, &self.identity, self.user.as_ref(), (server, self.purpose))?;
        self.pools.resize(self.database.shared.shard.servers.len(), None);
        if let Some(slot) = self.pools.get_mut(server) {
            *slot = Some(pool.clone());
        }
        Some(pool)
    }

    /// Waits for a connection. `None`: the request was answered with an error.
    async fn link_slowly(&mut self, target: Target) -> Result<Option<Box<Link>>, Over> {
        if (self.status != b'I' || self.failure.is_some()) && self.answer_lost() {
            return Ok(None);
        }
        self.flush().await?;
        // A cancel request that came when nothing ran is forgotten, as by PostgreSQL.
        self.client.take_cancelled();
        self.client.set_state(State::Waiting);
        let started = Instant::now();
        let linked = self.find_connection(target).await;
        self.client.set_state(State::Idle);
        match linked? {
            Ok((conn, pool, side)) => {
                pool.metrics.wait.observe(started.elapsed());
                Ok(Some(self.make_link(conn, pool, side)))
            }
            Err(error) => {
                self.worker.metrics.error(error.code());
                self.reject_request(error);
                Ok(None)
            }
        }
    }

    pub(super) async fn find_connection(&mut self, target: Target) -> Result<Result<Found, PgError>, Over> {
        let mut database = self.database.clone();
        let connect_timeout = database.shared.config().pool.connect_timeout;
        let replica_wait = database.shared.config().replicas.wait;
        let want = self.settings.current().clone();
        let started = Instant::now();
        let mut avoid = Vec::new();
        let mut target = target;
        let commits = database.shared.shard.tokens.latest();
        if matches!(target, Target::Replica(_)) && !replica_wait.is_zero() {
            database.shared.urge.notify_one();
        }
        loop {
            match self.wait_for_database().await? {
                Ok(false) => {}
                Ok(true) => {
                    database = self.database.clone();
                    target = Target::Primary;
                }
                Err(error) => return Ok(Err(error)),
            }
            if let Target::Replica(read) = &mut target
                && read.need == Need::Unresolved
            {
                // All that was acknowledged when the statement came; what comes meanwhile doesn't prolong the wait.
                read.need = database.shared.shard.tokens.need_of(commits);
            }
            if matches!(target, Target::Replica(_)) && started.elapsed() >= replica_wait && !replica_wait.is_zero() {
                let fit = self.pick(target, &avoid);
                if fit.is_none() {
                    target = Target::Primary;
                }
            }
            let Some((server, side)) = self.pick(target, &avoid) else {
                // A replica that is waited for is asked for no longer than that: what comes then counts as any statement.
                let replica_may_come = matches!(target, Target::Replica(_)) && started.elapsed() < replica_wait;
                if !replica_may_come && started.elapsed() >= connect_timeout {
                    return Ok(Err(self.no_primary()));
                }
                if self.or_client_goes(tokio::time::sleep(LOOK_AGAIN)).await?.is_none() {
                    return Ok(Err(cancelled()));
                }
                continue;
            };
            let Some(pool) = self.pool_of(server) else { return Ok(Err(self.no_primary())) };
            let patient = side == Side::Primary;
            let checkout = {
                let (pool, want) = (pool.clone(), want.clone());
                async move { pool.checkout(&want, patient).await }
            };
            let checked_out = self.or_client_goes(checkout).await?;
            let mut conn = match checked_out {
                None => return Ok(Err(cancelled())),
                Some(Ok(conn)) => conn,
                Some(Err(_)) if side == Side::Replica => {
                    avoid.push(server);
                    continue;
                }
                Some(Err(error)) => return Ok(Err(error)),
            };
            if let (Side::Replica, Target::Replica(read)) = (side, target) {
                match proven(conn, &pool, &read).await {
                    Some(same) => conn = same,
                    None => {
                        avoid.push(server);
                        continue;
                    }
                }
            }
            match self.dress(&mut conn, &want).await {
                Ok(()) => return Ok(Ok((conn, pool, side))),
                Err((error, lost)) => {
                    if !lost {
                        pool.checkin(conn);
                    }
                    return Ok(Err(error));
                }
            }
        }
    }

    /// Waits for something; ends the session if the client goes meanwhile. `None`: it cancelled.
    pub(super) async fn or_client_goes<T>(&mut self, wait: impl Future<Output = T>) -> Result<Option<T>, Over> {
        let mut wait = std::pin::pin!(wait);
        let client = self.client.clone();
        let waited = poll_fn(|cx| {
            if let Poll::Ready(value) = wait.as_mut().poll(cx) {
                return Poll::Ready(Ok(Some(value)));
            }
            client.register(cx.waker());
            if client.take_cancelled() {
                return Poll::Ready(Ok(None));
            }
            if client.is_killed() {
                return Poll::Ready(Err(Over));
            }
            if self.input.capacity() > 0
                && !self.input.spare().is_empty()
                && let Poll::Ready(Ok(0) | Err(_)) = poll_fill(&mut self.stream, &mut self.input, cx)
            {
                return Poll::Ready(Err(Over));
            }
            Poll::Pending
        })
        .await;
        if waited.is_err() && client.is_killed() {
            return Err(self.tell_and_end(going_away()).await);
        }
        waited
    }

    fn unlink(&mut self) {
        self.client.set_link(None);
    }

    /// Gives the connection back: nothing is in flight, nothing of the session is left on it.
    pub(super) fn let_go(&mut self, mut link: Box<Link>) {
        self.unlink();
        link.conn.drawn_by = if self.transaction.drew || link.drawn_here { self.number } else { 0 };
        self.transaction.reset();
        if let Some(tracker) = link.tracker.take() {
            let left = tracker.current().clone();
            // The same pointer where the same is meant: the next comparison is quick.
            let own = self.settings.current();
            link.conn.settings = if *left == **own { own.clone() } else { left };
        }
        let done = link.ended;
        link.conn.cancel.set_prepared(link.conn.statements.len());
        let (conn, pool, spare) = link.into_parts();
        self.worker.give_spare(spare);
        if conn.cancel.is_threatened() {
            // A cancel request is on its way to it: it must not hit the next user.
            tokio::task::spawn_local(async move {
                while conn.cancel.is_threatened() {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                pool.checkin(conn);
            });
            return;
        }
        pool.checkin_at(conn, done);
    }

    async fn settle(&mut self, mut link: Box<Link>) -> Result<(), Over> {
        // A coordinator hears it when what it left is known: what comes next runs on other shards under the same settings.
        if self.mirror.is_none() {
            self.flush().await?;
        }
        if link.doomed {
            self.unlink();
            return match self.pin {
                Some(_) => Err(self.tell_and_end(going_away()).await),
                None => Ok(()),
            };
        }
        if let Some(pin) = self.transaction.pin {
            self.set_pin(Some(pin));
        }
        if self.mode_changed() {
            // What it has done to the connection was of no interest so far.
            self.set_pin(None);
            self.transaction.loosened = true;
        }
        let probed =
            matches!(self.pin, None | Some(Pin::TemporaryTable | Pin::AdvisoryLock | Pin::HoldCursor | Pin::Listen));
        if probed && (self.transaction.opaque || self.transaction.loosened || self.pin.is_some()) {
            // A cancel request that is late must not hit the probe.
            self.unlink();
            while link.conn.cancel.is_threatened() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let probed = match self.probe(&mut link).await {
                Ok(()) if self.pin.is_some() => self.dress_kept(&mut link).await,
                probed => probed,
            };
            match probed {
                Ok(()) => {}
                Err((error, false)) => return Err(self.tell_and_end(error).await),
                Err((error, true)) => return self.after_probe_lost(error).await,
            }
        }
        if self.pin.is_some() {
            self.client.set_link(Some(link.conn.cancel.clone()));
            self.transaction.end_kept();
            self.kept = Some(link);
        } else {
            self.let_go(link);
        }
        Ok(())
    }

    /// Answers the request at the start of the input with an error.
    pub(super) fn reject_request(&mut self, error: PgError) {
        let tag = Frame::parse(self.input.filled()).ok().flatten().map(|frame| frame.tag);
        let status = self.status;
        self.say(|out| message::error_response(out, &error.into_error()));
        if matches!(tag, Some(front::QUERY | front::FUNCTION_CALL)) {
            self.say(|out| message::ready_for_query(out, status));
            if let Ok(Some(frame)) = Frame::parse(self.input.filled()) {
                self.drop_frame(frame);
            }
        } else {
            self.rejecting = true;
        }
    }

    /// The session is over: what becomes of its server connection.
    async fn part(&mut self) {
        let Some(link) = self.kept.take() else { return };
        self.unlink();
        let busy = !link.is_settled() || link.passing > 0 || self.passing > 0;
        if self.transaction_wrote() {
            self.raise_tokens();
        }
        let (mut conn, pool, _) = link.into_parts();
        if conn.cancel.is_threatened() {
            return;
        }
        if busy {
            // Its query would run on for nobody.
            let target = conn.cancel.clone();
            let _ = crate::backend::cancel::cancel(
                &target.server.address,
                target.process_id,
                &target.key,
                limits::CANCEL_TIMEOUT,
            )
            .await;
            return;
        }
        if self.pin == Some(Pin::Load) {
            return;
        }
        let clean = async {
            if self.status != b'I' {
                conn.run("ROLLBACK").await?;
            }
            conn.run("DISCARD ALL").await
        };
        if let Ok(Ok(_)) = tokio::time::timeout(limits::CLEANING, clean).await {
            conn.settings = Arc::default();
            conn.statements.clear();
            conn.unnamed = 0;
            pool.checkin(conn);
        }
    }
}

/// The replica's connection, if the read may run on it. Since it was picked the replica may have gone, or begun again at
/// an earlier position.
async fn proven(mut conn: Box<ServerConn>, pool: &LocalPool, read: &ReadNeed) -> Option<Box<ServerConn>> {
    let covers = match read.at_least() {
        Some(position) => conn.ask_covers(position, limits::REPLICA_ANSWER).await,
        None => Ok(false),
    };
    if matches!(covers, Ok(true)) && conn.server.role() == Role::Replica {
        return Some(conn);
    }
    if !matches!(covers, Err((_, true))) {
        pool.checkin(conn);
    }
    None
}

type Found = (Box<ServerConn>, Rc<LocalPool>, Side);

pub(super) fn cancelled() -> PgError {
    PgError::error(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

pub(in crate::session) fn going_away() -> PgError {
    PgError::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}
