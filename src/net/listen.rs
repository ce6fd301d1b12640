//! Listeners: TCP ports that several workers share, and Unix sockets.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::Stream;
use crate::base::limits;

/// A TCP listener. Each worker opens its own on the same address (`SO_REUSEPORT`); the kernel spreads the clients.
#[derive(Debug)]
pub struct TcpAcceptor(TcpListener);

impl TcpAcceptor {
    /// Listens on `address`; port 0 takes a free one (`local_addr` tells which; the other workers then name it).
    ///
    /// # Errors
    /// The operating system's: address in use by another program or user, not ours, forbidden.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = bound(address)?;
        socket.listen(limits::LISTEN_BACKLOG)?;
        Ok(Self(TcpListener::from_std(socket.into())?))
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next client.
    ///
    /// # Errors
    /// The operating system's; those of one connection (reset before it was taken) are passed over. When file
    /// descriptors run out the caller should pause before it tries again.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            match self.0.accept().await {
                Ok((tcp, _)) => match Stream::from_tcp(tcp) {
                    Ok(stream) => return Ok(stream),
                    Err(_) => continue, // gone already
                },
                Err(error) if of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// An address that is ours, before anybody listens on it. It takes no client: one whom it took would be lost with it.
#[derive(Debug)]
pub struct Claim(Socket);

impl Claim {
    /// Takes `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// As with [`TcpAcceptor::bind`]; also where a process of the same user listens that would share the port.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        // A socket that shares nothing finds every listener. It goes before ours comes.
        drop(opened(address, false)?);
        bound(address).map(Self)
    }

    /// The address, with the port that the system gave.
    ///
    /// # Errors
    /// The operating system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    opened(address, true)
}

fn opened(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` may both be configured.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A listener on `DIR/.s.PGSQL.PORT`; the file goes when it is dropped.
#[derive(Debug)]
pub struct UnixAcceptor {
    listener: UnixListener,
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl UnixAcceptor {
    /// Listens in `dir`. A socket file that nobody listens on any more is removed.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens there or the path isn't a socket; else the operating system's.
    pub fn bind(dir: &Path, port: u16) -> io::Result<Self> {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        let path = super::unix_path(dir, port);
        if let Ok(found) = std::fs::symlink_metadata(&path) {
            if !found.file_type().is_socket() || std::os::unix::net::UnixStream::connect(&path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{} is in use", path.display())));
            }
            std::fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        // As PostgreSQL's `unix_socket_permissions`: who may enter the directory may connect, and must authenticate.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
        let inode = inode(&path);
        Ok(Self { listener, path, inode })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next client; errors as with `TcpAcceptor`.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            match self.listener.accept().await {
                Ok((unix, _)) => return Ok(Stream::from_unix(unix)),
                Err(error) if of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for UnixAcceptor {
    fn drop(&mut self) {
        // Another process may have taken the path meanwhile: its file isn't ours to remove.
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

/// The addresses that `host:port` stands for; `*` and an empty host stand for all.
///
/// # Errors
/// The name can't be resolved.
pub async fn resolve(listen: &str) -> io::Result<Vec<SocketAddr>> {
    let listen = match listen.strip_prefix("*:").or_else(|| listen.strip_prefix(':')) {
        Some(port) => format!("0.0.0.0:{port}"),
        None => listen.to_owned(),
    };
    Ok(tokio::net::lookup_host(listen).await?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_workers_share_one_port() {
        let first = TcpAcceptor::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = TcpAcceptor::bind(first.local_addr().unwrap()).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
        let client = std::net::TcpStream::connect(first.local_addr().unwrap()).unwrap();
        let stream = tokio::select! { s = first.accept() => s, s = second.accept() => s }.unwrap();
        assert_eq!(stream.peer(), client.local_addr().unwrap().to_string());
    }

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".s.PGSQL.6432");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // leaves its file behind
        assert!(path.exists());
        let listener = UnixAcceptor::bind(dir.path(), 6432).unwrap();
        assert_eq!(UnixAcceptor::bind(dir.path(), 6432).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        std::fs::write(&path, "not a socket").unwrap();
        assert_eq!(UnixAcceptor::bind(dir.path(), 6432).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
