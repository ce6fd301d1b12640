//! A plain socket on the path of a query: read and written without tokio's accounting where it is known to be ready, and
//! waited for once, not again with every look.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// So many reads in a row give something; then other tasks have their turn. In place of tokio's budget, which costs more
/// than the reads' own bookkeeping.
const READS: u8 = 64;

/// A socket, and who waits to read it.
#[derive(Debug)]
pub(super) struct Direct<S> {
    pub(super) socket: S,
    /// Whose waker tokio holds for reading, by its address; 0: nobody's that we know of. While the socket isn't readable
    /// that waker stays where it is: only what makes it readable takes it, and only reading ends that. So whoever put it
    /// there needn't do so again. Another's can't have the same address meanwhile, as the one there keeps it.
    waiter: usize,
    reads: u8,
}

/// What of tokio's sockets is needed.
pub(super) trait Socket: AsFd {
    /// Does it if the socket is ready, as far as is known; `WouldBlock` makes that unknown again.
    fn attempt<R>(&self, interest: Interest, act: impl FnOnce() -> io::Result<R>) -> io::Result<R>;
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Socket for TcpStream {
    #[inline]
    fn attempt<R>(&self, interest: Interest, act: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.try_io(interest, act)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }
}

impl Socket for UnixStream {
    #[inline]
    fn attempt<R>(&self, interest: Interest, act: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.try_io(interest, act)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }
}

impl<S: Socket> Direct<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, waiter: 0, reads: 0 }
    }

    /// The socket, for reading by tokio's own means.
    #[inline]
    pub(super) fn tokio(&mut self) -> &mut S {
        self.waiter = 0;
        &mut self.socket
    }

    /// Nothing is known to have come.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        would_block(&self.socket.attempt(Interest::READABLE, || Ok(())))
    }

    /// Ready when a read would give something; may be a false alarm.
    #[inline]
    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_quiet() {
            return Poll::Ready(Ok(()));
        }
        self.reads = 0;
        if self.waiter == address(cx) {
            return Poll::Pending;
        }
        let ready = self.socket.poll_readable(cx);
        self.waiter = if ready.is_pending() { address(cx) } else { 0 };
        ready
    }

    /// Reads once.
    #[inline]
    pub(super) fn poll_read(&mut self, buffer: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.reads >= READS {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let (mut tried, mut count) = (false, None);
            let read = self.socket.attempt(Interest::READABLE, || {
                tried = true;
                let got = rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty())?.0;
                count = Some(got);
                // All that was there: what comes next is told. So do tokio's own reads where the system tells of edges.
                if got > 0 && got < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if tried {
                self.waiter = 0;
            }
            match (count, read) {
                (Some(count), _) => {
                    self.reads += 1;
                    return Poll::Ready(Ok(count));
                }
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => {}
            }
            if self.poll_read_ready(cx)?.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Writes once.
    #[inline]
    pub(super) fn poll_write(&self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let mut count = None;
            let written = self.socket.attempt(Interest::WRITABLE, || {
                let put = rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL)?;
                count = Some(put);
                if put > 0 && put < bytes.len() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (count, written) {
                (Some(count), _) => return Poll::Ready(Ok(count)),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => {}
            }
            if self.socket.poll_writable(cx)?.is_pending() {
                return Poll::Pending;
            }
        }
    }
}

fn address(cx: &Context<'_>) -> usize {
    cx.waker().data().addr()
}

fn would_block<R>(tried: &io::Result<R>) -> bool {
    tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
