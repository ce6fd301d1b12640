//! A connection within the process: two ends, bytes written into one come out of the other, with bounded room between.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

use crate::wire::Buffer;

/// One end.
#[derive(Debug)]
pub struct Pipe {
    shared: Arc<Mutex<[Lane; 2]>>,
    /// The lane that this end reads.
    reads: usize,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    /// Made with the first byte, let go with the last if it had to grow beyond [`KEPT`].
    bytes: Buffer,
    reader: Option<Waker>,
    writer: Option<Waker>,
    closed: bool,
}

/// Bytes that one direction may hold.
const ROOM: usize = 32 * 1024;

/// Bytes that one direction keeps room for when nothing is in it: what a small statement takes.
const KEPT: usize = 512;

/// Two ends of a new connection.
pub fn pipe() -> (Pipe, Pipe) {
    let shared = Arc::new(Mutex::new([Lane::default(), Lane::default()]));
    (Pipe { shared: shared.clone(), reads: 0 }, Pipe { shared, reads: 1 })
}

fn note(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

impl Pipe {
    fn lanes(&self) -> MutexGuard<'_, [Lane; 2]> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when a read would give bytes or the end.
    pub fn poll_read_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(self.reads) else { return Poll::Ready(Ok(())) };
        if !lane.bytes.is_empty() || lane.closed {
            return Poll::Ready(Ok(()));
        }
        note(&mut lane.reader, cx);
        Poll::Pending
    }

    pub(super) fn poll_read(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(self.reads) else { return Poll::Ready(Ok(())) };
        if lane.bytes.is_empty() {
            if lane.closed {
                return Poll::Ready(Ok(()));
            }
            note(&mut lane.reader, cx);
            return Poll::Pending;
        }
        let count = lane.bytes.len().min(buf.remaining());
        buf.put_slice(lane.bytes.filled().get(..count).unwrap_or_default());
        lane.bytes.consume(count);
        if lane.bytes.is_empty() && lane.bytes.capacity() > KEPT {
            lane.bytes = Buffer::default();
        }
        if let Some(writer) = lane.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(1 - self.reads) else { return Poll::Ready(Ok(0)) };
        if lane.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = ROOM.saturating_sub(lane.bytes.len());
        if room == 0 {
            note(&mut lane.writer, cx);
            return Poll::Pending;
        }
        let count = bytes.len().min(room);
        lane.bytes.extend(bytes.get(..count).unwrap_or_default());
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(count))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for lane in self.lanes().iter_mut() {
            lane.closed = true;
            for waker in [lane.reader.take(), lane.writer.take()].into_iter().flatten() {
                waker.wake();
            }
        }
    }
}
