//! A server connection was lost under a session: one error for each request that it leaves unanswered, and the session
//! lives on where nothing of it was on that connection.

use super::Session;
use super::link::{ClientParse, Expect, Link};
use super::run::Over;
use crate::backend::settings::Event;
use crate::base::{PgError, limits};
use crate::wire::message;

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
        self.answer_queue(&mut link, &error.into_error());
        self.rejecting = link.segment_open || link.skipping;
        self.flush().await
    }

    /// An error for the first message of each segment, ReadyForQuery for each that asked for it.
    fn answer_queue(&mut self, link: &mut Link, error: &PgError) {
        let status = self.status;
        let mut told = false;
        for expect in std::mem::take(&mut link.queue) {
            match expect {
                Expect::Ours(_) | Expect::CopyEnd => {}
                Expect::Sync => {
                    self.say(|out| message::ready_for_query(out, status));
                    told = false;
                }
                other => {
                    if !told {
                        self.say(|out| message::error_response(out, error));
                        told = true;
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
    }

    pub(super) fn transaction_wrote(&self) -> bool {
        self.transaction.writes_all || !self.transaction.writes.is_empty()
    }
}
