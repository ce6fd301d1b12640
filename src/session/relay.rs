//! The relay: bytes both ways between a client and its server connection, until the request is answered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use super::Session;
use super::downstream::{Misbehaved, misbehaved};
use super::link::Link;
use super::run::going_away;
use super::upstream::Halt;
use crate::backend::conn::connection_lost;
use crate::base::PgError;
use crate::net::Stream;
use crate::wire::Buffer;

/// How a relay ended.
#[derive(Debug)]
pub enum End {
    /// All is answered, and no transaction is open.
    Settled,
    /// The read failed on a replica before anything was forwarded: run it again elsewhere.
    Retry,
    /// The transaction goes over from a replica to the primary, where the next message is taken.
    Leave,
    /// The client went away, said good-bye, or broke the protocol (which it is told).
    ClientGone(Option<PgError>),
    /// The server connection is of no use any more; what the client shall be told.
    ServerLost(PgError),
}

/// What came of asking a server for more.
enum Heard {
    Something,
    /// It will wake us.
    Nothing,
    /// It wasn't asked: there is no room.
    Full,
}

impl Session {
    /// Moves bytes until something ends it.
    pub(super) fn poll_relay(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<End> {
        // Who will wake us needs no second look: nothing becomes ready while we look.
        let (mut server_waits, mut client_waits) = (false, false);
        loop {
            // Whether another turn can do more than this one. What was only written frees nothing, unless for lack of its
            // room something was left alone.
            let mut moved = false;
            let busy = match self.take_input(link) {
                Ok(Halt::End) => return Poll::Ready(End::ClientGone(None)),
                Ok(Halt::Leave) => return Poll::Ready(End::Leave),
                Ok(halt) => halt == Halt::Busy,
                Err(error) => return Poll::Ready(End::ClientGone(Some(error))),
            };
            self.make_up(link);
            match poll_send(&mut link.conn.stream, &mut link.out, &mut link.written, cx) {
                Ok(count) => {
                    moved |= busy && count > 0;
                    link.pool.metrics.to_server.add(count as u64);
                }
                // The server may have said why before it closed: read that first.
                Err(error) => link.doomed = link.doomed || error.kind() != io::ErrorKind::WouldBlock,
            }
            let full = self.output.spare().is_empty();
            // What was doomed meanwhile ends here.
            if !server_waits || link.doomed {
                match self.poll_server(link, cx) {
                    Ok(Heard::Something) => moved = true,
                    Ok(Heard::Nothing) => server_waits = true,
                    Ok(Heard::Full) => {}
                    Err(end) => return Poll::Ready(end),
                }
            }
            if let Some(end) = self.settled(link) {
                return Poll::Ready(end);
            }
            match self.poll_client_out(link, cx) {
                Ok(progress) => moved |= full && progress,
                Err(_) => return Poll::Ready(End::ClientGone(None)),
            }
            if !client_waits && self.passing_room(link) {
                match poll_fill(&mut self.stream, &mut self.input, cx) {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(End::ClientGone(None)),
                    Poll::Ready(Ok(count)) => {
                        link.pool.metrics.from_client.add(count as u64);
                        moved = true;
                    }
                    Poll::Pending => client_waits = true,
                }
            }
            if !moved {
                self.client.register_still(cx.waker());
                if self.client.is_killed() {
                    return Poll::Ready(End::ClientGone(Some(going_away())));
                }
                return match self.poll_timeouts(link, cx) {
                    Some(end) => Poll::Ready(end),
                    None => Poll::Pending,
                };
            }
        }
    }

    /// A pinned session between two requests: passes on what the server says unasked. `None`: the client has sent
    /// something.
    pub(super) fn poll_idle(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<Option<End>> {
        loop {
            let heard = match self.poll_server(link, cx) {
                Ok(heard) => matches!(heard, Heard::Something),
                Err(end) => return Poll::Ready(Some(end)),
            };
            if self.poll_client_out(link, cx).is_err() {
                return Poll::Ready(Some(End::ClientGone(None)));
            }
            match poll_fill(&mut self.stream, &mut self.input, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(End::ClientGone(None))),
                Poll::Ready(Ok(_)) => return Poll::Ready(None),
                Poll::Pending if !heard => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }

    /// Room for more from the client, unless the server is behind with taking it.
    fn passing_room(&mut self, link: &Link) -> bool {
        link.out.len() - link.written < crate::base::limits::RELAY_BUFFER && !self.input.spare().is_empty()
    }

    /// All that was sent is answered and no transaction is open: the connection isn't needed any more.
    fn settled(&mut self, link: &Link) -> Option<End> {
        if !link.is_settled() || link.passing > 0 {
            return None;
        }
        if let Some(error) = self.failure.take().filter(|_| link.doomed) {
            return Some(End::ServerLost(error));
        }
        if link.discarding {
            return Some(End::Retry);
        }
        (self.status == b'I' && self.passing == 0).then_some(End::Settled)
    }

    /// Reads what the server sent, if the client takes it fast enough.
    fn poll_server(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Result<Heard, End> {
        if self.output.spare().is_empty() {
            // Full: a slow client stops its server, not us. What waits for a retry waits no longer, unless it has failed
            // already: then all of this is older, and goes out.
            if !link.discarding {
                link.retry = None;
            }
            return Ok(Heard::Full);
        }
        match poll_fill(&mut link.conn.stream, &mut self.output, cx) {
            Poll::Pending if link.doomed => Err(self.server_lost(link, "it closed the connection")),
            Poll::Pending => Ok(Heard::Nothing),
            Poll::Ready(Ok(0)) => Err(self.server_lost(link, "it closed the connection")),
            Poll::Ready(Err(error)) => Err(self.server_lost(link, &error.to_string())),
            Poll::Ready(Ok(count)) => {
                link.pool.metrics.from_server.add(count as u64);
                match self.scan_output(link) {
                    Ok(()) => Ok(Heard::Something),
                    Err(what) => Err(self.server_misbehaved(link, &what)),
                }
            }
        }
    }

    fn server_lost(&mut self, link: &mut Link, why: &str) -> End {
        link.doomed = true;
        let told = self.failure.take();
        if (link.retry.is_some() || link.discarding) && link.passing == 0 {
            return End::Retry;
        }
        End::ServerLost(told.unwrap_or_else(|| connection_lost(&link.conn.server, why)))
    }

    fn server_misbehaved(&mut self, link: &mut Link, what: &Misbehaved) -> End {
        link.doomed = true;
        let error = misbehaved(link, what);
        tracing::error!(server = %link.conn.server.address, "{error}");
        End::ServerLost(error)
    }

    fn poll_client_out(&mut self, link: &mut Link, cx: &mut Context<'_>) -> io::Result<bool> {
        // Of an answer that may yet come from elsewhere nothing.
        let ready = link.retry.as_ref().map_or(self.ready, |retry| retry.kept);
        if ready == 0 {
            return Ok(false);
        }
        let count = self.poll_flush_up_to(ready, cx)?;
        if let Some(retry) = &mut link.retry {
            retry.kept -= count;
        }
        link.pool.metrics.to_client.add(count as u64);
        Ok(count > 0)
    }

    /// Writes what is ready for the client, as far as its socket takes it.
    pub(super) fn poll_flush_ready(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        self.poll_flush_up_to(self.ready, cx)
    }

    fn poll_flush_up_to(&mut self, ready: usize, cx: &mut Context<'_>) -> io::Result<usize> {
        let mut written = 0;
        while written < ready {
            let bytes = self.output.filled().get(..ready - written).unwrap_or_default();
            match self.stream.poll_put(bytes, cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.output.consume(count);
                    self.ready -= count;
                    written += count;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if self.stream.is_tls() {
            let _ = Pin::new(&mut self.stream).poll_flush(cx)?;
        }
        Ok(written)
    }
}

/// Reads once into a buffer's spare room. The caller has seen that there is some.
pub(in crate::session) fn poll_fill(
    stream: &mut Stream,
    buffer: &mut Buffer,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let read = stream.poll_take(buffer.spare(), cx);
    if let Poll::Ready(Ok(count)) = read {
        buffer.advance_tail(count);
    }
    read
}

/// Writes as much of `out` as the socket takes.
pub(in crate::session) fn poll_send(
    stream: &mut Stream,
    out: &mut Vec<u8>,
    written: &mut usize,
    cx: &mut Context<'_>,
) -> io::Result<usize> {
    let mut sent = 0;
    while *written < out.len() {
        match stream.poll_put(out.get(*written..).unwrap_or_default(), cx) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => {
                *written += count;
                sent += count;
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
    }
    if *written == out.len() && sent > 0 {
        out.clear();
        *written = 0;
        if out.capacity() > 4 * crate::base::limits::RELAY_BUFFER {
            *out = Vec::new();
        }
    }
    if stream.is_tls() {
        let _ = Pin::new(stream).poll_flush(cx)?;
    }
    Ok(sent)
}
