//! Streams (plain, TLS, Unix) and listeners: the only place that names sockets.

mod connect;
mod direct;
mod end_point;
mod framed;
mod listen;
mod pipe;
mod socket;
mod stream;
pub mod tls;
mod verify;

pub use connect::connect;
pub use framed::{Framed, FramedError};
pub use listen::{Claim, TcpAcceptor, UnixAcceptor, resolve};
pub use pipe::{Pipe, pipe};
pub use stream::{Detached, Stream};

use std::path::{Path, PathBuf};

/// The Unix socket of the server on `port` in `dir` (`UNIXSOCK_PATH`).
fn unix_path(dir: &Path, port: u16) -> PathBuf {
    dir.join(format!(".s.PGSQL.{port}"))
}
