//! One console client's conversation: frames in, answers out.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus,
};
use pgwire::messages::startup::{BackendKeyData, ParameterStatus, SecretKey};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::command::{Request, parse};
use super::table::{SETTINGS, SHOWS, Show, Source, help};
use super::value::{Cell, Column, data_row, row_description};
use super::{Login, SERVER_VERSION};
use crate::base::{PgError, Severity, SqlState, limits};
use crate::telemetry::view::Command;
use crate::wire::frame::{Frame, HEADER, front};
use crate::wire::reader::{ReadError, Reader};

/// A statement, understood.
#[derive(Clone)]
enum Work {
    Empty,
    Help,
    Table(&'static Show),
    Setting(&'static (Column, &'static str)),
    Set(String),
    Do(Command),
}

impl Work {
    fn read(text: &[u8]) -> Result<Self, PgError> {
        const CHARACTER_NOT_IN_REPERTOIRE: SqlState = SqlState(*b"22021");
        let text = std::str::from_utf8(text)
            .map_err(|_| PgError::error(CHARACTER_NOT_IN_REPERTOIRE, "the command isn't valid UTF-8"))?;
        Ok(match parse(text)? {
            Request::Empty => Self::Empty,
            Request::Help => Self::Help,
            Request::Show(name) => {
                let table = SHOWS.iter().find(|show| show.name == name).map(Self::Table);
                let setting = || SETTINGS.iter().find(|((setting, _), _)| *setting == name).map(Self::Setting);
                table.or_else(setting).ok_or_else(|| {
                    PgError::error(SqlState::SYNTAX_ERROR, format!("invalid command 'SHOW {name}'"))
                        .hint("SHOW HELP lists what there is.")
                })?
            }
            Request::Set(name) => Self::Set(name),
            Request::Do(command) => Self::Do(command),
            Request::Unsupported(name) => {
                return Err(PgError::error(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    format!("{name} is a command of PgBouncer that pgbraid doesn't have"),
                )
                .hint("SHOW HELP lists what there is."));
            }
        })
    }

    fn columns(&self) -> Option<&'static [Column]> {
        match self {
            Self::Table(show) => Some(show.columns),
            Self::Setting(setting) => Some(std::slice::from_ref(&setting.0)),
            _ => None,
        }
    }

    fn rows(&self, source: &Source<'_>) -> Vec<Vec<Cell>> {
        match self {
            Self::Table(show) => (show.rows)(source),
            Self::Setting((_, value)) => vec![vec![(*value).into()]],
            _ => Vec::new(),
        }
    }
}

/// A bound statement, and what of its rows was not sent yet.
struct Portal {
    work: Work,
    formats: Vec<i16>,
    rows: Option<std::vec::IntoIter<Vec<Cell>>>,
}

/// Whether the conversation goes on.
#[derive(PartialEq)]
enum Next {
    Read,
    Close,
}

pub(super) struct Session<'a> {
    user: &'a str,
    source: Source<'a>,
    out: BytesMut,
    statements: HashMap<Vec<u8>, Work>,
    portals: HashMap<Vec<u8>, Portal>,
    /// An extended message failed: everything up to Sync is passed over.
    skipping: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(user: &'a str, source: Source<'a>) -> Self {
        Self {
            user,
            source,
            out: BytesMut::new(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
        }
    }

    pub(super) async fn run<S>(mut self, stream: &mut S, login: &Login<'_>) -> std::io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.greet(login);
        self.flush(stream).await?;
        let mut input = BytesMut::from(login.leftover);
        loop {
            let Some((tag, body)) = self.message(stream, &mut input).await? else { return Ok(()) };
            let next = match self.handle(tag, &body).await {
                Ok(next) => next,
                Err(error) => self.fail(tag, &error),
            };
            if matches!(tag, front::QUERY | front::SYNC | front::FLUSH | front::FUNCTION_CALL)
                || next == Next::Close
                || self.out.len() > limits::RELAY_BUFFER
            {
                self.flush(stream).await?;
            }
            if next == Next::Close {
                return Ok(());
            }
        }
    }

    fn greet(&mut self, login: &Login<'_>) {
        for (name, value) in [
            ("server_version", SERVER_VERSION),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
            ("TimeZone", "GMT"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("is_superuser", "on"),
        ] {
            self.say(&ParameterStatus::new(name.to_owned(), value.to_owned()));
        }
        let key = SecretKey::Bytes(Bytes::copy_from_slice(login.key));
        self.say(&BackendKeyData::new(login.process_id, key));
        self.ready();
    }

    /// The next message; `None`: the client is gone, or was told that what it sent is no message.
    async fn message<S>(&mut self, stream: &mut S, input: &mut BytesMut) -> std::io::Result<Option<(u8, BytesMut)>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            let needed = match Frame::parse(input) {
                Ok(Some(frame)) if frame.len > limits::CONSOLE_MESSAGE + 1 => {
                    return self.refuse(stream, format!("message of {} bytes is too long", frame.len - 1)).await;
                }
                Ok(Some(frame)) if frame.len <= input.len() => {
                    let mut body = input.split_to(frame.len);
                    body.advance(HEADER);
                    return Ok(Some((frame.tag, body)));
                }
                Ok(Some(frame)) => frame.len,
                Ok(None) => HEADER,
                Err(error) => return self.refuse(stream, format!("{error:?}")).await,
            };
            if input.is_empty() {
                *input = BytesMut::new();
            }
            input.reserve(needed.saturating_sub(input.len()));
            if stream.read_buf(input).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn refuse<S>(&mut self, stream: &mut S, why: String) -> std::io::Result<Option<(u8, BytesMut)>>
    where
        S: AsyncWrite + Unpin,
    {
        self.error(&PgError::fatal(SqlState::PROTOCOL_VIOLATION, format!("invalid message: {why}")));
        self.flush(stream).await?;
        Ok(None)
    }

    async fn handle(&mut self, tag: u8, body: &[u8]) -> Result<Next, PgError> {
        match tag {
            front::TERMINATE => return Ok(Next::Close),
            front::SYNC => {
                self.skipping = false;
                // Outside of transactions a portal lives until Sync.
                self.portals.clear();
                self.ready();
            }
            _ if self.skipping => {}
            front::QUERY => {
                let text = string(body).map_err(malformed)?;
                self.query(Work::read(text)?).await?;
                self.ready();
            }
            front::PARSE => self.parse(body)?,
            front::BIND => self.bind(body)?,
            front::DESCRIBE => self.describe(body)?,
            front::EXECUTE => self.execute(body).await?,
            front::CLOSE => {
                let (kind, name) = target(body).map_err(malformed)?;
                match kind {
                    b'S' => drop(self.statements.remove(name)),
                    _ => drop(self.portals.remove(name)),
                }
                self.say(&CloseComplete::new());
            }
            // Flush: what there is goes out in any case. Outside of COPY its messages are passed over, as PostgreSQL does.
            front::FLUSH | front::COPY_DATA | front::COPY_DONE | front::COPY_FAIL => {}
            front::FUNCTION_CALL => {
                return Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "the console has no functions"));
            }
            _ => {
                return Err(PgError::fatal(
                    SqlState::PROTOCOL_VIOLATION,
                    format!("invalid frontend message type {tag}"),
                ));
            }
        }
        Ok(Next::Read)
    }

    /// Tells an error; what comes behind it depends on the message that failed.
    fn fail(&mut self, tag: u8, error: &PgError) -> Next {
        self.error(error);
        if error.severity() == Severity::Fatal {
            return Next::Close;
        }
        match tag {
            front::QUERY | front::FUNCTION_CALL => self.ready(),
            _ => self.skipping = true,
        }
        Next::Read
    }

    async fn query(&mut self, work: Work) -> Result<(), PgError> {
        let Some(columns) = work.columns() else { return self.act(&work).await };
        self.say(&row_description(columns, &[]));
        for row in work.rows(&self.source) {
            self.say(&data_row(columns, &row, &[]));
        }
        self.say(&CommandComplete::new("SHOW".to_owned()));
        Ok(())
    }

    /// What returns no rows.
    async fn act(&mut self, work: &Work) -> Result<(), PgError> {
        let tag = match work {
            Work::Empty => {
                self.say(&EmptyQueryResponse::new());
                return Ok(());
            }
            Work::Table(_) | Work::Setting(_) => "SHOW",
            Work::Help => {
                self.notice("Console usage", Some(help(&self.source)));
                "SHOW"
            }
            Work::Set(name) => {
                self.notice(&format!("{name} has no meaning in the console; SET ignored"), None);
                "SET"
            }
            Work::Do(command) => {
                tracing::info!(user = self.user, command = ?command, "console command");
                if let Some(notice) = self.source.view.command(command.clone()).await? {
                    self.notice(&notice, None);
                }
                command.name()
            }
        };
        self.say(&CommandComplete::new(tag.to_owned()));
        Ok(())
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), PgError> {
        let (name, text) = parsed(body).map_err(malformed)?;
        if !name.is_empty() && self.statements.contains_key(name) {
            let name = String::from_utf8_lossy(name);
            return Err(PgError::error(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        let work = Work::read(text)?;
        room(self.statements.len(), "prepared statements")?;
        self.statements.insert(name.to_vec(), work);
        self.say(&ParseComplete::new());
        Ok(())
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), PgError> {
        let bound = Bound::read(body).map_err(malformed)?;
        let work = self.statements.get(bound.statement).cloned().ok_or_else(|| missing_statement(bound.statement))?;
        if bound.parameters > 0 {
            return Err(PgError::error(
                SqlState::PROTOCOL_VIOLATION,
                format!("bind message supplies {} parameters, but commands of the console have none", bound.parameters),
            ));
        }
        room(self.portals.len(), "portals")?;
        self.portals.insert(bound.portal.to_vec(), Portal { work, formats: bound.formats, rows: None });
        self.say(&BindComplete::new());
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), PgError> {
        let (kind, name) = target(body).map_err(malformed)?;
        let (work, formats) = if kind == b'S' {
            let work = self.statements.get(name).cloned().ok_or_else(|| missing_statement(name))?;
            self.say(&ParameterDescription::new(Vec::new()));
            (work, Vec::new())
        } else {
            let portal = self.portals.get(name).ok_or_else(|| missing_portal(name))?;
            (portal.work.clone(), portal.formats.clone())
        };
        match work.columns() {
            Some(columns) => self.say(&row_description(columns, &formats)),
            None => self.say(&NoData::new()),
        }
        Ok(())
    }

    async fn execute(&mut self, body: &[u8]) -> Result<(), PgError> {
        let (name, limit) = executed(body).map_err(malformed)?;
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let Some(mut portal) = self.portals.remove(name) else { return Err(missing_portal(name)) };
        let Some(columns) = portal.work.columns() else {
            // It has run: the portal is gone, so that a second Execute doesn't do it again.
            return self.act(&portal.work).await;
        };
        let mut rows = portal.rows.take().unwrap_or_else(|| portal.work.rows(&self.source).into_iter());
        for row in rows.by_ref().take(limit) {
            self.say(&data_row(columns, &row, &portal.formats));
        }
        if rows.len() > 0 {
            self.say(&PortalSuspended::new());
        } else {
            self.say(&CommandComplete::new("SHOW".to_owned()));
        }
        portal.rows = Some(rows);
        self.portals.insert(name.to_vec(), portal);
        Ok(())
    }

    fn ready(&mut self) {
        self.say(&ReadyForQuery::new(TransactionStatus::Idle));
    }

    fn notice(&mut self, message: &str, detail: Option<String>) {
        let mut fields = fields("NOTICE", SqlState::SUCCESSFUL_COMPLETION, message);
        fields.extend(detail.map(|detail| (b'D', detail)));
        self.say(&NoticeResponse::new(fields));
    }

    fn error(&mut self, error: &PgError) {
        let mut fields = fields(error.severity().as_str(), error.code(), error.message());
        fields.extend(error.detail_text().map(|text| (b'D', text.to_owned())));
        fields.extend(error.hint_text().map(|text| (b'H', text.to_owned())));
        self.say(&ErrorResponse::new(fields));
    }

    /// Appends a message to what is written at the next flush.
    fn say(&mut self, message: &impl Message) {
        let before = self.out.len();
        // The encoder refuses only what is longer than its kind of message may be.
        if message.encode(&mut self.out).is_err() {
            self.out.truncate(before);
        }
    }

    async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> std::io::Result<()> {
        stream.write_all_buf(&mut self.out).await?;
        // An idle console holds no buffers.
        self.out = BytesMut::new();
        stream.flush().await
    }
}

fn fields(severity: &str, code: SqlState, message: &str) -> Vec<(u8, String)> {
    vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', code.as_str().to_owned()),
        (b'M', message.to_owned()),
    ]
}

/// What a Bind says.
struct Bound<'a> {
    portal: &'a [u8],
    statement: &'a [u8],
    parameters: u16,
    formats: Vec<i16>,
}

impl<'a> Bound<'a> {
    fn read(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut body = Reader::new(body);
        let (portal, statement) = (body.cstr()?, body.cstr()?);
        codes(&mut body)?;
        let parameters = body.u16()?;
        for _ in 0..parameters {
            body.value()?;
        }
        let formats = codes(&mut body)?;
        body.finish()?;
        Ok(Self { portal, statement, parameters, formats })
    }
}

/// A count and that many format codes.
fn codes(body: &mut Reader<'_>) -> Result<Vec<i16>, ReadError> {
    let count = body.u16()?;
    (0..count).map(|_| body.i16()).collect()
}

/// The body of a Query.
fn string(body: &[u8]) -> Result<&[u8], ReadError> {
    let mut body = Reader::new(body);
    let text = body.cstr()?;
    body.finish()?;
    Ok(text)
}

/// Name and text of a Parse. The types of parameters don't matter: a command has none.
fn parsed(body: &[u8]) -> Result<(&[u8], &[u8]), ReadError> {
    let mut body = Reader::new(body);
    let (name, text) = (body.cstr()?, body.cstr()?);
    for _ in 0..body.u16()? {
        body.u32()?;
    }
    body.finish()?;
    Ok((name, text))
}

/// Portal and row limit of an Execute.
fn executed(body: &[u8]) -> Result<(&[u8], i32), ReadError> {
    let mut body = Reader::new(body);
    let (name, limit) = (body.cstr()?, body.i32()?);
    body.finish()?;
    Ok((name, limit))
}

/// `S` or `P`, and a name: the body of Describe and Close.
fn target(body: &[u8]) -> Result<(u8, &[u8]), ReadError> {
    let mut body = Reader::new(body);
    let (kind, name) = (body.u8()?, body.cstr()?);
    body.finish()?;
    Ok((kind, name))
}

fn room(held: usize, what: &str) -> Result<(), PgError> {
    if held < limits::CONSOLE_STATEMENTS {
        return Ok(());
    }
    let message = format!("the console holds at most {} {what} a session", limits::CONSOLE_STATEMENTS);
    Err(PgError::error(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("Close those that aren't needed."))
}

fn malformed(error: ReadError) -> PgError {
    PgError::error(SqlState::PROTOCOL_VIOLATION, error.to_string())
}

fn missing_statement(name: &[u8]) -> PgError {
    let name = String::from_utf8_lossy(name);
    PgError::error(SqlState::INVALID_SQL_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist"))
}

fn missing_portal(name: &[u8]) -> PgError {
    const INVALID_CURSOR_NAME: SqlState = SqlState(*b"34000");
    PgError::error(INVALID_CURSOR_NAME, format!("portal \"{}\" does not exist", String::from_utf8_lossy(name)))
}
