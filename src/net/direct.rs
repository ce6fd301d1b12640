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

macro_rules! socket {
    ($($kind:ty),+) => {$(
        impl Socket for $kind {
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
    )+};
}

socket!(TcpStream, UnixStream);

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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn run(test: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(test)
    }

    fn pair() -> io::Result<(Direct<UnixStream>, UnixStream)> {
        let (near, far) = UnixStream::pair()?;
        Ok((Direct::new(near), far))
    }

    #[test]
    fn whoever_waits_is_woken_whoever_waited_before() -> io::Result<()> {
        run(async {
            let (mut near, mut far) = pair()?;
            let mut buffer = [0; 4];
            for turn in 0..20_u8 {
                // A waiter of another address each time, that comes to nothing; sometimes tokio's own.
                let mut cx = Context::from_waker(std::task::Waker::noop());
                assert!(near.poll_read(&mut buffer, &mut cx).is_pending());
                if turn % 3 == 0 {
                    let mut byte = [0];
                    let own = near.tokio();
                    assert!(pin!(own.read(&mut byte)).poll(&mut cx).is_pending());
                }
                let say = async {
                    tokio::task::yield_now().await;
                    far.write_all(&[turn; 6]).await
                };
                let hear = async {
                    let mut heard = 0;
                    while heard < 6 {
                        // Full, then the rest; asked twice where nothing is there.
                        heard += poll_fn(|cx| match near.poll_read(&mut buffer, cx) {
                            Poll::Pending => near.poll_read(&mut buffer, cx),
                            ready => ready,
                        })
                        .await?;
                    }
                    Ok::<_, io::Error>(())
                };
                tokio::try_join!(say, hear)?;
            }
            drop(far);
            assert_eq!(poll_fn(|cx| near.poll_read(&mut buffer, cx)).await?, 0);
            Ok(())
        })
    }

    #[test]
    fn who_reads_and_reads_lets_others_have_a_turn() -> io::Result<()> {
        run(async {
            let (mut near, mut far) = pair()?;
            far.write_all(&[0; 1000]).await?;
            let (mut pauses, mut byte) = (0, [0]);
            for _ in 0..1000 {
                poll_fn(|cx| {
                    let read = near.poll_read(&mut byte, cx);
                    pauses += usize::from(read.is_pending());
                    read
                })
                .await?;
            }
            assert!(pauses >= 1000 / usize::from(READS) - 1, "{pauses}");
            Ok(())
        })
    }

    #[test]
    fn what_the_peer_does_not_take_is_waited_for() -> io::Result<()> {
        run(async {
            let (near, mut far) = pair()?;
            let bytes = vec![7; 4 << 20];
            let say = async {
                let mut said = 0;
                while said < bytes.len() {
                    said += poll_fn(|cx| near.poll_write(bytes.get(said..).unwrap_or_default(), cx)).await?;
                }
                Ok::<_, io::Error>(())
            };
            let mut heard = vec![0; bytes.len()];
            tokio::try_join!(say, far.read_exact(&mut heard))?;
            assert_eq!(heard, bytes);
            Ok(())
        })
    }
}
