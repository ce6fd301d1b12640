//! A plain socket, TCP or Unix, that can leave one tokio runtime and enter another.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// The socket under a TLS stream. rustls' stream owns its socket for good, so the socket itself has the state "in no
/// runtime": that is how a TLS connection moves to another worker.
#[derive(Debug)]
pub(super) struct Socket {
    plain: Plain,
    /// Bytes read before it was known that the peer speaks TLS; they come first.
    prefix: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
    Parked(Parked),
    /// Only while it moves, or after a failed move.
    Gone,
}

/// A socket that belongs to no runtime.
#[derive(Debug)]
pub(super) enum Parked {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Parked {
    /// Registers with the current runtime.
    pub(super) fn attach(self) -> io::Result<Plain> {
        Ok(match self {
            Self::Tcp(tcp) => Plain::Tcp(TcpStream::from_std(tcp)?),
            Self::Unix(unix) => Plain::Unix(UnixStream::from_std(unix)?),
        })
    }
}

impl Socket {
    pub(super) fn new(plain: Plain, prefix: Vec<u8>) -> Self {
        Self { plain, prefix }
    }

    pub(super) fn park(&mut self) -> io::Result<()> {
        self.plain = Plain::Parked(match std::mem::replace(&mut self.plain, Plain::Gone) {
            Plain::Tcp(tcp) => Parked::Tcp(tcp.into_std()?),
            Plain::Unix(unix) => Parked::Unix(unix.into_std()?),
            Plain::Parked(parked) => parked,
            Plain::Gone => return Err(gone()),
        });
        Ok(())
    }

    pub(super) fn attach(&mut self) -> io::Result<()> {
        self.plain = match std::mem::replace(&mut self.plain, Plain::Gone) {
            Plain::Parked(parked) => parked.attach()?,
            plain @ (Plain::Tcp(_) | Plain::Unix(_)) => plain,
            Plain::Gone => return Err(gone()),
        };
        Ok(())
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match &self.plain {
            Plain::Tcp(tcp) => tcp.poll_read_ready(cx),
            Plain::Unix(unix) => unix.poll_read_ready(cx),
            Plain::Parked(_) | Plain::Gone => Poll::Ready(Err(gone())),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.plain {
            Plain::Tcp(tcp) => tcp.poll_write_ready(cx),
            Plain::Unix(unix) => unix.poll_write_ready(cx),
            Plain::Parked(_) | Plain::Gone => Poll::Ready(Err(gone())),
        }
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        match &self.plain {
            Plain::Tcp(tcp) => tcp.local_addr().ok(),
            Plain::Unix(_) | Plain::Parked(_) | Plain::Gone => None,
        }
    }

    pub(super) fn peer(&self) -> String {
        match &self.plain {
            Plain::Tcp(tcp) => peer_of(tcp),
            Plain::Unix(_) => "unix".into(),
            Plain::Parked(_) | Plain::Gone => "?".into(),
        }
    }
}

pub(super) fn peer_of(tcp: &TcpStream) -> String {
    tcp.peer_addr().map_or_else(|_| "?".into(), |address| address.to_string())
}

pub(super) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket belongs to no runtime")
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            let n = this.prefix.len().min(buf.remaining());
            this.prefix.drain(..n).for_each(|byte| buf.put_slice(&[byte]));
            return Poll::Ready(Ok(()));
        }
        match &mut this.plain {
            Plain::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Plain::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
            Plain::Parked(_) | Plain::Gone => Poll::Ready(Err(gone())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().plain {
            Plain::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Plain::Unix(unix) => Pin::new(unix).poll_write(cx, buf),
            Plain::Parked(_) | Plain::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // sockets hold nothing back
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().plain {
            Plain::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Plain::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Plain::Parked(_) | Plain::Gone => Poll::Ready(Err(gone())),
        }
    }
}
