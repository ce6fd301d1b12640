//! A client that speaks the protocol by hand: sends any bytes, reads frames, takes nothing for granted.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use postgres_protocol::authentication::{md5_hash, sasl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a peer may be silent. Generous: a test fails by it, none passes by it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where and as whom to log in.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`
    pub address: String,
    pub user: String,
    pub password: String,
    pub database: String,
}

impl Target {
    pub fn new(address: impl Into<String>, user: &str, password: &str, database: &str) -> Self {
        let (user, password, database) = (user.to_owned(), password.to_owned(), database.to_owned());
        Self { address: address.into(), user, password, database }
    }

    /// The same target for tokio-postgres.
    pub fn config(&self) -> tokio_postgres::Config {
        let (host, port) = self.address.rsplit_once(':').unwrap();
        let mut config = tokio_postgres::Config::new();
        config.host(host).port(port.parse().unwrap()).user(&self.user).password(&self.password).dbname(&self.database);
        config
    }

    /// A tokio-postgres client; its connection is carried by a task of the present runtime.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = self.config().connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// `postgres://user:password@host:port/database`
    pub fn url(&self) -> String {
        format!("postgres://{}:{}@{}/{}", self.user, self.password, self.address, self.database)
    }
}

/// One message from a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub body: Vec<u8>,
}

impl Frame {
    /// The fields of an ErrorResponse or NoticeResponse, by their letter.
    pub fn fields(&self) -> BTreeMap<char, String> {
        let fields = self.body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
        fields.map(|field| (char::from(field[0]), String::from_utf8_lossy(&field[1..]).into_owned())).collect()
    }

    /// The SQLSTATE of an ErrorResponse or NoticeResponse, else "".
    pub fn sqlstate(&self) -> String {
        match self.kind {
            b'E' | b'N' => self.fields().remove(&'C').unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// The tag of a CommandComplete.
    pub fn tag(&self) -> Option<String> {
        let text = self.body.strip_suffix(b"\0")?;
        (self.kind == b'C').then(|| String::from_utf8_lossy(text).into_owned())
    }

    /// The values of a DataRow as text.
    pub fn values(&self) -> Vec<Option<String>> {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        self.bytes().into_iter().map(|value| value.map(text)).collect()
    }

    /// The values of a DataRow.
    pub fn bytes(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.kind, b'D', "{self:?} is no row");
        let mut rest = &self.body[2..];
        let mut values = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            let (value, after) = rest[4..].split_at(usize::try_from(length).unwrap_or(0));
            values.push((length >= 0).then(|| value.to_vec()));
            rest = after;
        }
        values
    }
}

impl std::fmt::Debug for Frame {
    /// `T"…"`: the letter and the body, what isn't ASCII escaped.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\"{}\"", char::from(self.kind), self.body.escape_ascii())
    }
}

/// One connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    held: Vec<u8>,
    /// What BackendKeyData said: process id and key.
    pub key: Option<(u32, Vec<u8>)>,
    /// What ParameterStatus said so far.
    pub parameters: BTreeMap<String, String>,
}

impl Raw {
    /// Connects and says nothing.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = timely(TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, held: Vec::new(), key: None, parameters: BTreeMap::new() })
    }

    /// Logs in and reads up to the first ReadyForQuery; gives the connection and the frames after AuthenticationOk.
    /// An ErrorResponse is the last of the frames.
    pub async fn login_with(target: &Target, more: &[(&str, &str)]) -> io::Result<(Self, Vec<Frame>)> {
        let mut raw = Self::open(&target.address).await?;
        let mut parameters = vec![("user", target.user.as_str()), ("database", target.database.as_str())];
        parameters.extend_from_slice(more);
        raw.send(&super::build::startup(&parameters)).await?;
        let frames = raw.authenticate(&target.user, &target.password).await?;
        Ok((raw, frames))
    }

    /// Logs in; panics with the server's words if that fails.
    pub async fn login(target: &Target) -> Self {
        let (raw, frames) = Self::login_with(target, &[]).await.expect("login");
        assert_eq!(frames.last().map(|frame| frame.kind), Some(b'Z'), "login failed: {frames:?}");
        raw
    }

    /// Answers authentication requests until ReadyForQuery or an error.
    pub async fn authenticate(&mut self, user: &str, password: &str) -> io::Result<Vec<Frame>> {
        let mut scram = sasl::ScramSha256::new(password.as_bytes(), sasl::ChannelBinding::unsupported());
        let mut frames = Vec::new();
        loop {
            let frame = self.expect().await?;
            if frame.kind != b'R' {
                let last = matches!(frame.kind, b'Z' | b'E');
                frames.push(frame);
                if last {
                    return Ok(frames);
                }
                continue;
            }
            let (code, data) = frame.body.split_at(4);
            match code[3] {
                0 => {}
                3 => self.send(&super::build::frame(b'p', &[password.as_bytes(), b"\0"].concat())).await?,
                5 => {
                    let hash = md5_hash(user.as_bytes(), password.as_bytes(), data.try_into().unwrap());
                    self.send(&super::build::frame(b'p', &[hash.as_bytes(), b"\0"].concat())).await?;
                }
                10 => {
                    let first = scram.message();
                    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
                    self.send(&super::build::frame(b'p', &[b"SCRAM-SHA-256\0", &length[..], first].concat())).await?;
                }
                11 => {
                    scram.update(data)?;
                    self.send(&super::build::frame(b'p', scram.message())).await?;
                }
                12 => scram.finish(data)?,
                other => panic!("authentication request {other}"),
            }
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timely(self.stream.write_all(bytes)).await
    }

    /// The next frame; none if the peer has closed the connection in between two frames.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.cut() {
                match frame.kind {
                    b'K' => self.key = Some((u32_at(&frame.body), frame.body[4..].to_vec())),
                    b'S' => {
                        let mut words = frame.body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                        if let (Some(name), Some(value)) = (words.next(), words.next()) {
                            self.parameters.insert(name.into_owned(), value.into_owned());
                        }
                    }
                    _ => {}
                }
                return Ok(Some(frame));
            }
            let mut chunk = vec![0; 64 << 10];
            match timely(self.stream.read(&mut chunk)).await {
                Ok(0) if self.held.is_empty() => return Ok(None),
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the middle of a frame")),
                Ok(n) => self.held.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset && self.held.is_empty() => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }

    /// The next frame; the connection must not be closed.
    pub async fn expect(&mut self) -> io::Result<Frame> {
        self.next().await?.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection"))
    }

    fn cut(&mut self) -> Option<Frame> {
        let length = self.held.get(1..5)?;
        let end = usize::try_from(u32_at(length)).unwrap() + 1;
        assert!(end >= 5, "a frame's length lies");
        let rest = (self.held.len() >= end).then(|| self.held.split_off(end))?;
        let frame = std::mem::replace(&mut self.held, rest);
        Some(Frame { kind: frame[0], body: frame[5..].to_vec() })
    }

    /// Frames up to and with the `n`-th ReadyForQuery; what was read before an end of the connection otherwise.
    pub async fn until_ready(&mut self, n: usize) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let mut seen = 0;
        while seen < n {
            let Some(frame) = self.next().await? else { break };
            seen += usize::from(frame.kind == b'Z');
            frames.push(frame);
        }
        Ok(frames)
    }

    /// A simple query and all its answers.
    pub async fn query(&mut self, sql: &str) -> io::Result<Vec<Frame>> {
        self.send(&super::build::query(sql)).await?;
        self.until_ready(1).await
    }

    /// The first value of the first row of a simple query; panics if there is none.
    pub async fn value(&mut self, sql: &str) -> String {
        let frames = self.query(sql).await.expect(sql);
        let row = frames.iter().find(|frame| frame.kind == b'D');
        row.and_then(|row| row.values().into_iter().next().flatten()).unwrap_or_else(|| panic!("{sql}: {frames:?}"))
    }

    /// Reads to the end; gives the frames before it.
    pub async fn until_closed(&mut self) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await? {
            frames.push(frame);
        }
        Ok(frames)
    }

    /// One byte that isn't a frame: the answer to an SSLRequest.
    pub async fn byte(&mut self) -> io::Result<u8> {
        timely(self.stream.read_u8()).await
    }

    /// The bare stream, for what this client can't do.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

fn u32_at(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

async fn timely<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
