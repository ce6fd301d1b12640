//! The coordinator's talk with its client: frames in, messages out, and noticing that it went.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::{Coordinator, Go, Stop};
use crate::base::{PgError, limits};
use crate::session::relay::{poll_fill, poll_send};
use crate::session::run::going_away;
use crate::session::upstream::protocol_error;
use crate::wire::{Frame, message};

impl Coordinator {
    /// The next frame of the client's, whole at the start of the input.
    pub(super) async fn client_frame(&mut self) -> Go<Frame> {
        loop {
            let frame = match Frame::parse(self.input.filled()) {
                Ok(frame) => frame,
                Err(error) => {
                    let error = protocol_error(format!("invalid message length ({error:?})"));
                    return Err(self.tell_and_end(error).await);
                }
            };
            if let Some(frame) = frame {
                if self.input.len() >= frame.len {
                    return Ok(frame);
                }
                if frame.len > limits::STATEMENT {
                    let text = format!("a message of {} bytes is longer than a sharded database takes", frame.len);
                    let error = PgError::fatal(crate::base::SqlState::PROGRAM_LIMIT_EXCEEDED, text)
                        .hint("Send smaller values, or use a database without shards for it.");
                    return Err(self.tell_and_end(error).await);
                }
                self.input.reserve_total(frame.len);
            }
            self.flush().await?;
            self.more_input().await?;
        }
    }

    /// Waits for the client, or for what shards say unasked (notifications).
    async fn more_input(&mut self) -> Go {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.worker.give_buffer(std::mem::take(&mut self.input));
        }
        if self.client.is_ending() && self.block.is_none() {
            return Err(self.tell_and_end(going_away()).await);
        }
        let client = self.client.clone();
        let came = poll_fn(|cx| {
            client.register(cx.waker());
            if client.is_killed() || (client.is_ending() && self.block.is_none()) {
                return Poll::Ready(Ok(true));
            }
            if self.poll_unasked(cx) {
                return Poll::Ready(Ok(true));
            }
            if self.input.capacity() == 0 {
                if self.stream.poll_read_ready(cx)?.is_pending() {
                    return Poll::Pending;
                }
                self.input = self.worker.take_buffer();
            }
            match poll_fill(&mut self.stream, &mut self.input, cx) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(result) => Poll::Ready(result.map(|_| true)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match came {
            Ok(_) if client.is_killed() => Err(self.tell_and_end(going_away()).await),
            Ok(_) => Ok(()),
            Err(_) => Err(Stop::Over),
        }
    }

    /// Reads what idle shards say: notifications and notices. Whether anything came for the client.
    fn poll_unasked(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.output.len();
        for at in 0..self.links.len() {
            let Some(mut link) = self.links.get_mut(at).and_then(Option::take) else { continue };
            let mut alive = true;
            if link.expect.is_empty() && link.out.is_empty() {
                loop {
                    match link.poll_more(cx, &self.worker, 0) {
                        Poll::Ready(Ok(())) => self.unasked(&mut link),
                        Poll::Ready(Err(_)) => {
                            // It ended (its server, say): begun anew when it is needed.
                            alive = false;
                            break;
                        }
                        Poll::Pending => break,
                    }
                }
                link.rest(&self.worker);
            }
            if alive {
                if let Some(slot) = self.links.get_mut(at) {
                    *slot = Some(link);
                }
            } else if link.joined
                && let Some(block) = &mut self.block
            {
                block.failed = true;
            }
        }
        self.output.len() > before
    }

    /// Writes all that is for the client.
    pub(super) async fn flush(&mut self) -> Go {
        if self.output.is_empty() {
            return Ok(());
        }
        poll_fn(|cx| self.poll_flush(cx)).await.map_err(|_| Stop::Over)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.write_copy();
        poll_send(&mut self.stream, &mut self.output, &mut self.sent, cx)?;
        if !self.output.is_empty() {
            return Poll::Pending;
        }
        self.output_sent();
        if self.output.capacity() > limits::RELAY_BUFFER {
            self.output = Vec::new();
        }
        if self.stream.is_tls() { Pin::new(&mut self.stream).poll_flush(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Waits for something to come from shards; ends if the client goes meanwhile.
    pub(super) async fn or_gone<T>(&mut self, wait: impl Future<Output = T>) -> Go<T> {
        let mut wait = std::pin::pin!(wait);
        if self.committing {
            return Ok(wait.await);
        }
        let client = self.client.clone();
        let mut late = None;
        // Until it is over.
        let mut known = None;
        let several = self.block.as_ref().is_some_and(|block| block.members.len() > 1);
        poll_fn(|cx| {
            if let Poll::Ready(value) = wait.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if several && known.is_none() {
                let late = late.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::LOCK_WAIT)));
                if late.as_mut().poll(cx).is_ready() {
                    known = self.enter_wait();
                }
            }
            client.register(cx.waker());
            if client.is_killed() {
                return Poll::Ready(Err(Stop::Over));
            }
            if self.input.capacity() == 0 {
                match self.stream.poll_read_ready(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(_) => self.input = self.worker.take_buffer(),
                }
            }
            // A pipeline that is longer than the buffer is read on when its turn comes.
            while !self.input.spare().is_empty() && self.input.len() < limits::RELAY_BUFFER {
                match poll_fill(&mut self.stream, &mut self.input, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Stop::Over)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Tells a fatal error; the session is over.
    pub(super) async fn tell_and_end(&mut self, error: PgError) -> Stop {
        message::error_response(&mut self.output, &error.into_fatal());
        let _ = tokio::time::timeout(limits::FAREWELL, self.flush()).await;
        Stop::Over
    }

    /// Tells that a statement failed. In a block the block has failed.
    pub(super) fn tell(&mut self, error: PgError) {
        let error = self.deadlock(error.code().as_str().as_bytes()).unwrap_or(error);
        self.worker.metrics.error(error.code());
        message::error_response(&mut self.output, &error.into_error());
        if let Some(block) = &mut self.block {
            block.failed = true;
        }
    }

    pub(super) fn ready(&mut self) {
        self.report();
        self.output.append(&mut self.tail);
        let status = self.status();
        if status == b'I' {
            self.parts.forget();
            self.temporary.settle();
        }
        message::ready_for_query(&mut self.output, status);
    }
}
