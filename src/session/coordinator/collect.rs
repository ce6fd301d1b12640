//! Questions of the coordinator's own to one shard, and their whole answer.

use std::future::poll_fn;

use super::relay::shard_lost;
use super::shard::ShardLink;
use super::{Coordinator, Go, Stop};
use crate::backend::memory::Held;
use crate::base::{PgError, SqlState, limits};
use crate::wire::frame::{HEADER, back};
use crate::wire::message;

/// All that a shard said up to ReadyForQuery.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Body of ParameterDescription.
    pub params: Option<Vec<u8>>,
    /// Body of RowDescription.
    pub row: Option<Vec<u8>>,
    /// That of a second one: a portal's behind its statement's.
    pub portal: Option<Vec<u8>>,
    /// Bodies of DataRows.
    pub rows: Vec<Vec<u8>>,
    /// The last CommandComplete's.
    pub tag: Vec<u8>,
    pub error: Option<PgError>,
    /// Notices as they came, for who passes them on.
    pub notices: Vec<u8>,
    /// The error as it came: its place and all.
    pub error_frame: Vec<u8>,
}

/// What becomes of an answer's rows.
pub(super) enum Keep<'a> {
    /// They are a few of our own.
    Answer,
    /// They are the client's: within a statement's budget.
    Within(&'a mut Held),
    Nothing,
}

impl Answer {
    /// The answer, or the error in it.
    pub fn good(self) -> Result<Self, PgError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

impl Coordinator {
    /// Sends what stands in the link's `out` and takes the answer up to ReadyForQuery. Nothing of it reaches the client
    /// but what servers say to everybody: settings and notifications (notices are the caller's).
    pub(super) async fn ask(&mut self, link: &mut ShardLink) -> Go<Answer> {
        self.ask_within(link, &mut Keep::Answer).await
    }

    /// Waits until nothing more comes. Nobody wants the rows.
    pub(super) async fn run_out(&mut self, link: &mut ShardLink) -> Go {
        self.ask_within(link, &mut Keep::Nothing).await.map(|_| ())
    }

    /// As [`Self::ask`], with rows as they are to be kept.
    pub(super) async fn ask_within(&mut self, link: &mut ShardLink, keep: &mut Keep<'_>) -> Go<Answer> {
        let mut answer = Answer::default();
        let mut held = 0;
        loop {
            let worker = self.worker.clone();
            let frame = self.or_gone(poll_fn(|cx| link.poll_frame(cx, &worker))).await;
            let frame = match frame {
                Err(stop) => {
                    link.cancel();
                    return Err(stop);
                }
                Ok(Ok(frame)) => frame,
                Ok(Err(error)) => {
                    let lost = answer.error.take().unwrap_or_else(|| shard_lost(&error));
                    return Err(Stop::Error(Box::new(lost)));
                }
            };
            let bytes = link.input.filled().get(..frame.len).unwrap_or_default();
            let body = bytes.get(HEADER..).unwrap_or_default();
            match frame.tag {
                back::PARAMETER_DESCRIPTION => answer.params = Some(body.to_vec()),
                back::ROW_DESCRIPTION if answer.row.is_some() => answer.portal = Some(body.to_vec()),
                back::ROW_DESCRIPTION => answer.row = Some(body.to_vec()),
                back::DATA_ROW => {
                    let room = match keep {
                        Keep::Nothing => None,
                        Keep::Within(budget) => Some(budget.add(body.len())),
                        Keep::Answer => {
                            held += body.len();
                            Some(if held > limits::GATHER_BYTES { Err(too_much()) } else { Ok(()) })
                        }
                    };
                    if let Some(Err(error)) = room {
                        link.cancel();
                        return Err(error.into());
                    }
                    answer.rows.extend(room.map(|_| body.to_vec()));
                }
                back::COMMAND_COMPLETE => {
                    answer.tag = body.strip_suffix(b"\0").unwrap_or(body).to_vec();
                }
                back::ERROR_RESPONSE if answer.error.is_none() => {
                    answer.error_frame = bytes.to_vec();
                    answer.error = Some(message::read_error(body).into_error());
                }
                back::NOTICE_RESPONSE => {
                    held += bytes.len();
                    if held <= limits::GATHER_BYTES {
                        answer.notices.extend_from_slice(bytes);
                    }
                }
                back::PARAMETER_STATUS if link.aside => {}
                back::PARAMETER_STATUS => {
                    let body = body.to_vec();
                    self.pass_parameter(link.shard, &body);
                }
                back::NOTIFICATION_RESPONSE => self.tail.extend_from_slice(bytes),
                back::READY_FOR_QUERY => {
                    link.status = body.first().copied().unwrap_or(b'I');
                    link.input.consume(frame.len);
                    link.expect.clear();
                    link.settle_prepared(answer.error.is_some() || link.failed);
                    link.open = false;
                    link.failed = false;
                    link.rest(&self.worker);
                    link.cancelled().await;
                    return Ok(answer);
                }
                _ => {}
            }
            link.input.consume(frame.len);
        }
    }

    /// Runs a statement of our own on a shard's link.
    pub(super) async fn run_on(&mut self, link: &mut ShardLink, sql: &str) -> Go<Answer> {
        link.query(sql, true);
        self.ask(link).await
    }
}

/// More than the proxy takes for an answer of its own.
pub(super) fn too_much() -> PgError {
    let most = limits::GATHER_BYTES >> 20;
    PgError::error(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("an answer of more than {most} MB, or of too many columns"),
    )
    .hint("Let the statement read less: add conditions, or put the sharding key into WHERE.")
}
