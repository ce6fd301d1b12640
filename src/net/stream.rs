//! One connection, whatever carries it: TCP, a Unix socket, TLS over either.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

use super::direct::Direct;
use super::end_point;
use super::pipe::Pipe;
use super::socket::{Parked, Plain, Socket, gone, peer_of};

/// One connection. Plain sockets cost nothing more than tokio's own; TLS state is boxed so that the type stays small.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(Direct<TcpStream>),
    Unix(Direct<UnixStream>),
    /// The other end is in this process.
    Pipe(Pipe),
    /// Nothing any more: TLS was to be put on it, and failed.
    Gone,
    /// We are the TLS client: a connection to a server.
    ToServer(Box<client::TlsStream<Socket>>),
    /// We are the TLS server: a connection from a client.
    FromClient(Box<FromClient>),
}

#[derive(Debug)]
struct FromClient {
    tls: server::TlsStream<Socket>,
    /// Hash of our own certificate (`tls-server-end-point`).
    end_point: Option<Arc<[u8]>>,
}

/// A connection that belongs to no runtime, on its way to another thread. The TLS state goes with it.
#[derive(Debug)]
pub struct Detached(DetachedKind);

#[derive(Debug)]
enum DetachedKind {
    Plain(Parked),
    ToServer(Box<client::TlsStream<Socket>>),
    FromClient(Box<FromClient>),
}

impl Stream {
    /// Takes a TCP connection: no delay (small messages wait for nothing), keepalive on (a dead peer is noticed).
    pub fn from_tcp(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&tcp);
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(crate::base::limits::KEEPALIVE_IDLE)
            .with_interval(crate::base::limits::KEEPALIVE_INTERVAL);
        socket.set_tcp_keepalive(&keepalive)?;
        Ok(Self(Kind::Tcp(Direct::new(tcp))))
    }

    pub fn from_unix(unix: UnixStream) -> Self {
        Self(Kind::Unix(Direct::new(unix)))
    }

    /// One end of a connection within the process.
    pub fn from_pipe(pipe: Pipe) -> Self {
        Self(Kind::Pipe(pipe))
    }

    pub(super) fn to_server(tls: client::TlsStream<Socket>) -> Self {
        Self(Kind::ToServer(Box::new(tls)))
    }

    pub(super) fn from_client(tls: server::TlsStream<Socket>, end_point: Option<Arc<[u8]>>) -> Self {
        Self(Kind::FromClient(Box::new(FromClient { tls, end_point })))
    }

    /// The socket, to put TLS on it; `prefix` is what was already read from it. `None` if TLS is on it.
    pub(super) fn into_socket(self, prefix: Vec<u8>) -> Option<Socket> {
        match self.0 {
            Kind::Tcp(tcp) => Some(Socket::new(Plain::Tcp(tcp.socket), prefix)),
            Kind::Unix(unix) => Some(Socket::new(Plain::Unix(unix.socket), prefix)),
            Kind::ToServer(_) | Kind::FromClient(_) | Kind::Pipe(_) | Kind::Gone => None,
        }
    }

    /// A place holder while TLS is put on a stream.
    pub(super) fn gone() -> Self {
        Self(Kind::Gone)
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.0, Kind::ToServer(_) | Kind::FromClient(_))
    }

    pub fn is_unix(&self) -> bool {
        matches!(self.0, Kind::Unix(_))
    }

    /// Who is at the other end, for logs: `address:port`, or `unix`. A system call.
    pub fn peer(&self) -> String {
        match &self.0 {
            Kind::Tcp(tcp) => peer_of(&tcp.socket),
            Kind::Unix(_) => "unix".into(),
            Kind::Pipe(_) => "within".into(),
            Kind::Gone => "?".into(),
            Kind::ToServer(tls) => tls.get_ref().0.peer(),
            Kind::FromClient(client) => client.tls.get_ref().0.peer(),
        }
    }

    /// Our own end of a TCP connection. A system call.
    pub fn local(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.socket.local_addr().ok(),
            Kind::Unix(_) | Kind::Pipe(_) | Kind::Gone => None,
            Kind::ToServer(tls) => tls.get_ref().0.local(),
            Kind::FromClient(client) => client.tls.get_ref().0.local(),
        }
    }

    /// Version and cipher of TLS, as `TLSv1.3/TLS13_AES_256_GCM_SHA384`.
    pub fn tls_summary(&self) -> Option<Box<str>> {
        let (version, suite) = match &self.0 {
            Kind::Tcp(_) | Kind::Unix(_) | Kind::Pipe(_) | Kind::Gone => return None,
            Kind::ToServer(tls) => (tls.get_ref().1.protocol_version(), tls.get_ref().1.negotiated_cipher_suite()),
            Kind::FromClient(client) => {
                let connection = client.tls.get_ref().1;
                (connection.protocol_version(), connection.negotiated_cipher_suite())
            }
        };
        let version = version.and_then(|version| version.as_str()).unwrap_or("TLS").replace('_', ".");
        let suite = suite.and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        Some(format!("{version}/{suite}").into())
    }

    /// The channel binding data `tls-server-end-point` (RFC 5929 §4): hash of the TLS server's certificate. `None`
    /// without TLS, or where the certificate's signature has no hash that we can compute (Ed25519, SHA-224).
    pub fn tls_server_end_point(&self) -> Option<Vec<u8>> {
        match &self.0 {
            Kind::Tcp(_) | Kind::Unix(_) | Kind::Pipe(_) | Kind::Gone => None,
            Kind::ToServer(tls) => end_point::hash(tls.get_ref().1.peer_certificates()?.first()?),
            Kind::FromClient(client) => client.end_point.as_deref().map(<[u8]>::to_vec),
        }
    }

    /// The common name in the verified client certificate, if the client showed one.
    pub fn client_common_name(&self) -> Option<String> {
        match &self.0 {
            Kind::FromClient(client) => end_point::common_name(client.tls.get_ref().1.peer_certificates()?.first()?),
            _ => None,
        }
    }

    /// The protocol agreed on by ALPN, if any.
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Tcp(_) | Kind::Unix(_) | Kind::Pipe(_) | Kind::Gone => None,
            Kind::ToServer(tls) => tls.get_ref().1.alpn_protocol(),
            Kind::FromClient(client) => client.tls.get_ref().1.alpn_protocol(),
        }
    }

    /// Ready when a read would give bytes, end of stream or an error. May be a false alarm: whoever waits by it must
    /// then try to read.
    #[inline]
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Tcp(tcp) => tcp.poll_read_ready(cx),
            Kind::Unix(unix) => unix.poll_read_ready(cx),
            Kind::Pipe(pipe) => pipe.poll_read_ready(cx),
            Kind::Gone => Poll::Ready(Err(gone())),
            Kind::ToServer(tls) => {
                let (socket, session) = tls.get_ref();
                tls_read_ready(socket, session, cx)
            }
            Kind::FromClient(client) => {
                let (socket, session) = client.tls.get_ref();
                tls_read_ready(socket, session, cx)
            }
        }
    }

    /// Nothing is known to have come, not even the end. Costs no lock and no waker.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.is_quiet(),
            Kind::Unix(unix) => unix.is_quiet(),
            _ => false,
        }
    }

    /// Reads once: as `poll_read`, for less.
    #[inline]
    pub fn poll_take(&mut self, buffer: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(tcp) => tcp.poll_read(buffer, cx),
            Kind::Unix(unix) => unix.poll_read(buffer, cx),
            _ => {
                let mut room = ReadBuf::new(buffer);
                Pin::new(self).poll_read(cx, &mut room).map_ok(|()| room.filled().len())
            }
        }
    }

    /// Writes once: as `poll_write`, for less.
    #[inline]
    pub fn poll_put(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(tcp) => tcp.poll_write(bytes, cx),
            Kind::Unix(unix) => unix.poll_write(bytes, cx),
            _ => Pin::new(self).poll_write(cx, bytes),
        }
    }

    /// Leaves the current runtime.
    ///
    /// # Errors
    /// Those of the operating system; the connection is lost then.
    pub fn detach(self) -> io::Result<Detached> {
        Ok(Detached(match self.0 {
            Kind::Tcp(tcp) => DetachedKind::Plain(Parked::Tcp(tcp.socket.into_std()?)),
            Kind::Unix(unix) => DetachedKind::Plain(Parked::Unix(unix.socket.into_std()?)),
            Kind::Pipe(_) | Kind::Gone => return Err(gone()),
            Kind::ToServer(mut tls) => {
                tls.get_mut().0.park()?;
                DetachedKind::ToServer(tls)
            }
            Kind::FromClient(mut client) => {
                client.tls.get_mut().0.park()?;
                DetachedKind::FromClient(client)
            }
        }))
    }
}

impl Detached {
    /// Enters the current runtime.
    ///
    /// # Errors
    /// Those of the operating system; the connection is lost then.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(Stream(match self.0 {
            DetachedKind::Plain(parked) => match parked.attach()? {
                Plain::Tcp(tcp) => Kind::Tcp(Direct::new(tcp)),
                Plain::Unix(unix) => Kind::Unix(Direct::new(unix)),
                Plain::Parked(_) | Plain::Gone => return Err(gone()),
            },
            DetachedKind::ToServer(mut tls) => {
                tls.get_mut().0.attach()?;
                Kind::ToServer(tls)
            }
            DetachedKind::FromClient(mut client) => {
                client.tls.get_mut().0.attach()?;
                Kind::FromClient(client)
            }
        }))
    }
}

/// What TLS has encrypted and the socket didn't take goes out whenever the stream is waited on: a record can't be given
/// back to the caller, who believes that it was written.
fn push(tls: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) {
    // An error shows at the next write; until then the peer's last words may still be read.
    let _ = Pin::new(tls).poll_flush(cx);
}

/// Bytes that are decrypted already count as readable; a socket that takes what is left to be written is a false alarm
/// that leads to `push`.
fn tls_read_ready<Side>(
    socket: &Socket,
    session: &rustls::ConnectionCommon<Side>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if !session.wants_read() {
        return Poll::Ready(Ok(()));
    }
    if session.wants_write() && socket.poll_write_ready(cx).is_ready() {
        return Poll::Ready(Ok(()));
    }
    socket.poll_read_ready(cx)
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp.tokio()).poll_read(cx, buf),
            Kind::Unix(unix) => Pin::new(unix.tokio()).poll_read(cx, buf),
            Kind::Pipe(pipe) => pipe.poll_read(cx, buf),
            Kind::Gone => Poll::Ready(Err(gone())),
            Kind::ToServer(tls) => {
                if tls.get_ref().1.wants_write() {
                    push(tls.as_mut(), cx);
                }
                Pin::new(tls).poll_read(cx, buf)
            }
            Kind::FromClient(client) => {
                if client.tls.get_ref().1.wants_write() {
                    push(&mut client.tls, cx);
                }
                Pin::new(&mut client.tls).poll_read(cx, buf)
            }
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp.tokio()).poll_write(cx, buf),
            Kind::Unix(unix) => Pin::new(unix.tokio()).poll_write(cx, buf),
            Kind::Pipe(pipe) => pipe.poll_write(cx, buf),
            Kind::Gone => Poll::Ready(Err(gone())),
            Kind::ToServer(tls) => Pin::new(tls).poll_write(cx, buf),
            Kind::FromClient(client) => Pin::new(&mut client.tls).poll_write(cx, buf),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(_) | Kind::Unix(_) | Kind::Pipe(_) | Kind::Gone => Poll::Ready(Ok(())),
            Kind::ToServer(tls) => Pin::new(tls).poll_flush(cx),
            Kind::FromClient(client) => Pin::new(&mut client.tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp.tokio()).poll_shutdown(cx),
            Kind::Unix(unix) => Pin::new(unix.tokio()).poll_shutdown(cx),
            Kind::Pipe(_) => Poll::Ready(Ok(())),
            Kind::Gone => Poll::Ready(Err(gone())),
            Kind::ToServer(tls) => Pin::new(tls).poll_shutdown(cx),
            Kind::FromClient(client) => Pin::new(&mut client.tls).poll_shutdown(cx),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Tcp(tcp) => Pin::new(tcp.tokio()).poll_write_vectored(cx, bufs),
            Kind::Unix(unix) => Pin::new(unix.tokio()).poll_write_vectored(cx, bufs),
            Kind::Pipe(pipe) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                pipe.poll_write(cx, first.map(|buf| &**buf).unwrap_or_default())
            }
            Kind::Gone => Poll::Ready(Err(gone())),
            Kind::ToServer(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
            Kind::FromClient(client) => Pin::new(&mut client.tls).poll_write_vectored(cx, bufs),
        }
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        true
    }
}

const _: () = {
    const fn send<T: Send>() {}
    send::<Detached>();
    send::<Stream>();
};
