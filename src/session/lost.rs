//! A server connection was lost under a session: one error for each request that it leaves unanswered, and the session
//! lives on where nothing of it was on that connection.

use super::Session;
use super::link::{ClientParse, Expect, Link};
use super::run::Over;
use crate::backend::settings::Event;
use crate::base::{PgError, SqlState, limits};
use crate::plan::{Kind, Plan};
use crate::wire::frame::{HEADER, back, front, split_cstr};
use crate::wire::{Frame, message};

impl Session {
    pub(super) async fn after_loss(&mut self, mut link: Box<Link>, error: PgError) -> Result<(), Over> {
        self.worker.metrics.error(error.code());
        tracing::warn!(
            client = %self.client.peer, user = %self.client.user, database = %self.client.database,
            server = %link.conn.server.address, sqlstate = %error.code(), "{}", error.message()
        );
        // What was sent may have been committed.
        if self.transaction_wrote() {
            self.raise_tokens();
        }
        if link.passing > 0 {
            // A message was cut in its middle: nothing can be said after it.
            return Err(Over);
        }
        self.output.remove(self.ready..self.output.len());
        if self.pin.is_some() {
            self.say(|out| message::error_response(out, &error.into_fatal()));
            let _ = tokio::time::timeout(limits::FAREWELL, self.flush()).await;
            return Err(Over);
        }
        let in_block = self.status != b'I';
        self.settings.apply(&Event::Rollback);
        self.transaction.reset();
        self.statements.clear_portals();
        self.status = if in_block { b'E' } else { b'I' };
        let error = error.into_error();
        let (told_here, told) = self.answer_queue(&mut link, &error);
        self.rejecting = link.segment_open || link.skipping;
        if self.rejecting && !told_here && !link.skipping {
            self.say(|out| message::error_response(out, &error));
        }
        // Nothing ran: the next statement is told.
        self.failure = (in_block && !told && !self.rejecting)
            .then(|| error.hint("The transaction is rolled back. End it, and run it again."));
        self.flush().await
    }

    /// A connection was lost at the end of a transaction that had been answered, while it was asked what is left on it.
    /// The session lives on unless it was told of something that it keeps there.
    pub(super) async fn after_probe_lost(&mut self, error: PgError) -> Result<(), Over> {
        self.worker.metrics.error(error.code());
        if self.pin.is_some() || self.transaction.keeps {
            return Err(self.tell_and_end(error).await);
        }
        if self.transaction.opaque {
            let hint = "Code that can't be seen into ran on it: what it may have left in the session (temporary tables, \
                        locks, settings) is gone. The session itself goes on.";
            self.failure = Some(error.into_error().hint(hint));
        }
        self.transaction.reset();
        Ok(())
    }

    /// A request of a session that has an error to be told, or whose transaction was lost with its connection: answered
    /// without waiting for a server. False: only a server can answer it.
    pub(super) fn answer_lost(&mut self) -> bool {
        let Ok(Some(frame)) = Frame::parse(self.input.filled()) else { return false };
        let body = self.input.filled().get(HEADER..frame.len).unwrap_or_default();
        if frame.tag == front::CLOSE {
            self.say(|out| message::put(out, back::CLOSE_COMPLETE, |_| {}));
            self.drop_frame(frame);
            return true;
        }
        let ends = if self.status == b'I' { None } else { self.ending(frame.tag, body) };
        match (ends, self.failure.take()) {
            (Some(Ending { commits: true, .. }), Some(error)) => {
                // "ROLLBACK" might pass unread: a client that commits must hear of it. The transaction is over.
                self.status = b'I';
                self.reject_lost(error);
            }
            (Some(Ending { alone: true, .. }), _) if frame.tag == front::QUERY => {
                self.status = b'I';
                self.statements.unnamed.clear();
                self.say(|out| {
                    message::command_complete(out, "ROLLBACK");
                    message::ready_for_query(out, b'I');
                });
                self.drop_frame(frame);
            }
            // What follows it, or how it was prepared, is a server's to say.
            (Some(_), _) => return false,
            (None, untold) => self.reject_lost(untold.unwrap_or_else(in_failed_transaction)),
        }
        true
    }

    fn reject_lost(&mut self, error: PgError) {
        self.worker.metrics.error(error.code());
        self.reject_request(error);
    }

    /// Whether a request begins with the end of the transaction.
    fn ending(&self, tag: u8, body: &[u8]) -> Option<Ending> {
        let second = || split_cstr(body).and_then(|(_, rest)| split_cstr(rest)).map(|(text, _)| text);
        let plan = match tag {
            front::QUERY => self.plan(split_cstr(body)?.0),
            front::PARSE => self.plan(second()?),
            front::BIND => match second()? {
                b"" => self.statements.unnamed.plan.clone()?,
                name => self.statements.get(name)?.plan.clone(),
            },
            _ => return None,
        };
        Ending::of(&plan)
    }

    /// An error for the first message of each segment, ReadyForQuery for each that asked for it. Whether there was an
    /// error in the segment that is still open, and whether in any.
    fn answer_queue(&mut self, link: &mut Link, error: &PgError) -> (bool, bool) {
        let status = self.status;
        let (mut told, mut ever) = (false, false);
        for expect in std::mem::take(&mut link.queue) {
            match expect {
                Expect::Ours(_) | Expect::PutBack { .. } | Expect::CopyEnd => {}
                Expect::Sync => {
                    // Without a block it is the commit of what was answered already.
                    if !told {
                        self.say(|out| message::error_response(out, error));
                        ever = true;
                    }
                    self.say(|out| message::ready_for_query(out, status));
                    told = false;
                }
                other => {
                    if !told {
                        self.say(|out| message::error_response(out, error));
                        (told, ever) = (true, true);
                    }
                    match other {
                        Expect::Query { .. } | Expect::Function => {
                            self.say(|out| message::ready_for_query(out, status));
                            told = false;
                        }
                        Expect::Parse { client: Some(ClientParse::Named(name)), .. } => {
                            self.statements.remove(&name);
                        }
                        _ => {}
                    }
                }
            }
        }
        (told, ever)
    }

    pub(super) fn transaction_wrote(&self) -> bool {
        self.transaction.writes_all || !self.transaction.writes.is_empty()
    }
}

/// How a request ends the transaction.
struct Ending {
    /// It means to commit it.
    commits: bool,
    /// It does nothing else.
    alone: bool,
}

impl Ending {
    fn of(plan: &Plan) -> Option<Self> {
        let alone = plan.steps.len() == 1;
        match plan.steps.first()?.kind {
            Kind::Commit { chain } => Some(Self { commits: true, alone: alone && !chain }),
            Kind::PrepareTransaction => Some(Self { commits: true, alone }),
            Kind::Rollback { chain } => Some(Self { commits: false, alone: alone && !chain }),
            _ => None,
        }
    }
}

fn in_failed_transaction() -> PgError {
    let text = "current transaction is aborted, commands ignored until end of transaction block";
    PgError::error(SqlState::IN_FAILED_SQL_TRANSACTION, text)
        .hint("Its server connection was lost; ROLLBACK, and run the transaction again.")
}
