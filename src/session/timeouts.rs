//! `idle_transaction_timeout` and `query_timeout`: a clock that runs only where one of them is set.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::Session;
use super::link::Link;
use super::relay::End;
use crate::backend::cancel;
use crate::base::{PgError, SqlState, limits};

/// The limits of a session, and the clock that watches them.
#[derive(Debug, Default)]
pub struct Timeouts {
    /// None: no limit.
    pub idle_transaction: Option<Duration>,
    pub query: Option<Duration>,
    clock: Option<Pin<Box<Sleep>>>,
    /// What the clock runs for: the server's answer (true), or the client's next request.
    answering: Option<bool>,
    fired: bool,
}

impl Timeouts {
    pub fn new(pool: &crate::config::Pool) -> Self {
        let limit = |time: Duration| (!time.is_zero()).then_some(time);
        Self {
            idle_transaction: limit(pool.idle_transaction_timeout),
            query: limit(pool.query_timeout),
            ..Self::default()
        }
    }

    #[inline]
    fn are_set(&self) -> bool {
        self.idle_transaction.is_some() || self.query.is_some()
    }

    /// The clock stands still.
    pub fn stop(&mut self) {
        self.answering = None;
        self.fired = false;
    }
}

impl Session {
    /// Called when nothing can be moved: what happens if it stays so for too long.
    #[inline]
    pub(super) fn poll_timeouts(&mut self, link: &Link, cx: &mut Context<'_>) -> Option<End> {
        if !self.timeouts.are_set() {
            return None;
        }
        let answering = !link.queue.is_empty();
        if self.timeouts.answering != Some(answering) {
            self.timeouts.answering = Some(answering);
            self.timeouts.fired = false;
            let limit = if answering { self.timeouts.query } else { self.timeouts.idle_transaction };
            let Some(limit) = limit else {
                self.timeouts.clock = None;
                return None;
            };
            let until = Instant::now() + limit;
            match &mut self.timeouts.clock {
                Some(clock) => clock.as_mut().reset(until),
                clock => *clock = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        let clock = self.timeouts.clock.as_mut().filter(|_| !self.timeouts.fired)?;
        if clock.as_mut().poll(cx) == Poll::Pending {
            return None;
        }
        self.timeouts.fired = true;
        if answering {
            self.cancel_query(link);
            return None;
        }
        let text = "terminating connection due to idle-in-transaction timeout";
        let error = PgError::fatal(SqlState::IDLE_IN_TRANSACTION_TIMEOUT, text)
            .hint("idle_transaction_timeout of the database in pgbraid's configuration.");
        Some(End::ClientGone(Some(error)))
    }

    /// Sends a cancel request for what runs; the server's own error tells the client.
    fn cancel_query(&self, link: &Link) {
        let target = link.conn.cancel.clone();
        let threat = target.threaten();
        tokio::task::spawn_local(async move {
            let address = &target.server.address;
            let _ = cancel::cancel(address, target.process_id, &target.key, limits::CANCEL_TIMEOUT).await;
            drop(threat);
        });
    }
}
