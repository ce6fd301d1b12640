//! The rows of one COPY: which shard each goes to, and what every shard is given.

use std::collections::VecDeque;
use std::sync::Arc;

use super::copy_lane::Lane;
use super::shard::ShardLink;
use crate::backend::View;
use crate::base::{PgError, SqlState, limits};
use crate::execute::copy::fields::{self, Field};
use crate::execute::copy::splitter::{Part, Splitter, field_of};
use crate::execute::copy::{Ends, Line};
use crate::plan::sharded::copy_options::{CopyFormat, CopyKind};
use crate::plan::sharded::{Copied, CopyKey, Fill, KeyFrom, key_place};
use crate::topology::placement::KeyPlace;
use crate::value::key::Format;
use crate::wire::frame::back;
use crate::wire::message;

/// A COPY that is under way.
pub(super) struct Intake<'a> {
    pub copied: &'a Copied,
    pub sql: String,
    pub view: Arc<View>,
    pub lanes: Vec<Lane>,
    /// Bytes of the client's present message that are still to come.
    pub left: usize,
    pub deal: Dealing<'a>,
    /// A session beside the lanes, for questions about keys.
    pub side: Option<Box<ShardLink>>,
    /// The clocks among the fills, in their order.
    pub clocks: Vec<Option<Vec<u8>>>,
}

/// How rows are dealt.
pub(super) enum Dealing<'a> {
    ByKey(Box<ByKey<'a>>),
    /// To everybody as they come.
    Copies,
}

pub(super) struct ByKey<'a> {
    key: &'a CopyKey,
    format: CopyFormat,
    splitter: Splitter,
    /// For shards that come later: the header.
    head: Option<(Vec<u8>, Line)>,
    /// All that comes is for this lane, which must refuse it.
    raw: Option<usize>,
    /// Where the next row goes, if a server had to be asked.
    pub asked: Option<Place>,
    /// Text outside ASCII isn't in the bytes that the servers hash.
    ascii: bool,
    /// Columns that the home shard gives, and their values for the next rows.
    fills: &'a [Fill],
    pub drawn: VecDeque<Vec<Option<Vec<u8>>>>,
}

/// What dealing needs before it goes on.
pub(super) enum Need {
    /// More from the client.
    More,
    /// This shard is to take rows.
    Shard(usize),
    /// Values of the home shard's for so many rows.
    Draw(usize),
    /// A server must say what this key is: it isn't written as pgbraid reads it.
    Key(Vec<u8>),
}

/// Where a row goes.
#[derive(Clone)]
pub(super) enum Place {
    Shard(usize),
    /// A server must say what this key is.
    Ask(Vec<u8>),
    /// Wherever: it is refused. `surely`: whatever WHERE says.
    Anywhere {
        surely: bool,
    },
}

impl<'a> ByKey<'a> {
    pub fn new(key: &'a CopyKey, fills: &'a [Fill], format: CopyFormat, ascii: bool) -> Self {
        let splitter = Splitter::new(format.clone());
        Self { key, format, splitter, head: None, raw: None, asked: None, ascii, fills, drawn: VecDeque::new() }
    }

    /// What stands before the client's own fields. `None`: a value can't be written in the client's format.
    fn before<'v>(&self, values: impl Iterator<Item = Option<&'v [u8]>>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for value in values {
            if !fields::put(&mut out, value, &self.format) {
                return None;
            }
            out.push(self.format.delimiter);
        }
        Some(out)
    }
}

impl<'a> Intake<'a> {
    pub fn new(copied: &'a Copied, sql: String, view: Arc<View>) -> Self {
        Self { copied, sql, view, lanes: Vec::new(), left: 0, deal: Dealing::Copies, side: None, clocks: Vec::new() }
    }

    /// The sharding key, and the format that its values come in.
    pub fn key(&self) -> Option<(&'a CopyKey, Format)> {
        match &self.deal {
            Dealing::ByKey(by) => {
                let binary = by.format.kind == CopyKind::Binary;
                Some((by.key, if binary { Format::Binary } else { Format::Text }))
            }
            Dealing::Copies => None,
        }
    }

    /// What the client sent.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.deal {
            Dealing::Copies => self.lanes.iter_mut().for_each(|lane| lane.give(bytes)),
            Dealing::ByKey(by) => match by.raw.and_then(|raw| self.lanes.get_mut(raw)) {
                Some(lane) => lane.give(bytes),
                None => by.splitter.push(bytes),
            },
        }
    }

    pub fn finish(&mut self) {
        if let Dealing::ByKey(by) = &mut self.deal {
            by.splitter.finish();
        }
    }

    /// The client's lines so far.
    pub fn line(&self) -> u64 {
        match &self.deal {
            Dealing::ByKey(by) => by.splitter.line(),
            Dealing::Copies => 0,
        }
    }

    /// Deals whole rows out, as far as the shards that they go to take part.
    pub fn deal(&mut self) -> Result<Need, PgError> {
        let Dealing::ByKey(by) = &mut self.deal else { return Ok(Need::More) };
        if by.raw.is_some() {
            return Ok(Need::More);
        }
        loop {
            let (before, ends) = (by.splitter.line(), by.splitter.ends());
            let held = by.splitter.held();
            if !by.fills.is_empty() && by.drawn.is_empty() && matches!(by.splitter.peek(), Part::Row(..)) {
                return Ok(Need::Draw(by.splitter.rows_at_hand(limits::COPY_DRAWN)));
            }
            let drawn = by.drawn.front();
            let prefix = by.before(drawn.into_iter().flatten().map(Option::as_deref)).ok_or_else(unwritable)?;
            let names = by.fills.iter().map(|fill| Some(fill.column.as_bytes()));
            let names = if by.head.is_none() { by.before(names).ok_or_else(unwritable)? } else { Vec::new() };
            match by.splitter.peek() {
                Part::More if held > limits::COPY_ROW => return Err(too_long(before + 1)),
                Part::More | Part::End => return Ok(Need::More),
                Part::Head(bytes, line) => {
                    let bytes = [names.as_slice(), bytes].concat();
                    let bytes = by.head.insert((bytes, line)).0.as_slice();
                    let number = before + line.count(line.before);
                    self.lanes.iter_mut().for_each(|lane| head(lane, bytes, &line, by.format.kind, number));
                }
                Part::Row(bytes, line) => {
                    let number = before + line.count(line.before);
                    let found = match &by.asked {
                        Some(place) => place.clone(),
                        None => match by.key.from {
                            KeyFrom::Field(at) => {
                                let field = field_of(&by.format, bytes, &line, at);
                                place(by.key, &by.format, by.ascii, &self.view, field, number)?
                            }
                            KeyFrom::Fill(at) => {
                                let value = drawn.and_then(|drawn| drawn.get(at)).and_then(Option::as_deref);
                                let field = value.map_or(Field::Null, |value| Field::Value(value.into()));
                                place(by.key, &by.format, by.ascii, &self.view, field, number)?
                            }
                        },
                    };
                    let lane = match found {
                        Place::Ask(value) => return Ok(Need::Key(value)),
                        Place::Shard(shard) => match self.lanes.iter().position(|lane| lane.shard == shard) {
                            Some(at) if self.lanes.get(at).is_some_and(|lane| lane.writes) => at,
                            _ => return Ok(Need::Shard(shard)),
                        },
                        Place::Anywhere { .. } => steady(&self.lanes),
                    };
                    let Some(lane) = self.lanes.get_mut(lane) else { return Ok(Need::More) };
                    if let (Some((bytes, line)), false) = (&by.head, lane.headed) {
                        head(lane, bytes, line, by.format.kind, 1);
                    }
                    lane.must_fail |= matches!(found, Place::Anywhere { surely: true });
                    by.asked = None;
                    by.drawn.pop_front();
                    lane.give(&prefix);
                    lane.give_line(bytes, &line, ends, number);
                    lane.rows += 1;
                }
                Part::Wrong(bytes) => {
                    let at = steady(&self.lanes);
                    let Some(lane) = self.lanes.get_mut(at) else { return Ok(Need::More) };
                    if ends == Ends::Return && lane.lines == 1 && bytes.starts_with(b"\n") {
                        // To the shard it would look like the end of its first line.
                        lane.failure = Some(literal_feed(&self.copied.relation, by.format.kind, lane.lines + 1));
                    }
                    lane.give(bytes);
                    lane.must_fail = true;
                    by.raw = Some(at);
                    return Ok(Need::More);
                }
            }
            by.splitter.consume();
        }
    }
}

/// Gives a lane the header.
fn head(lane: &mut Lane, bytes: &[u8], line: &Line, kind: CopyKind, number: u64) {
    lane.headed = true;
    match kind {
        CopyKind::Binary => lane.give(bytes),
        _ => lane.give_line(bytes, line, line.before, number),
    }
}

/// PostgreSQL's error for a line feed where lines end in carriage returns, in that line of the shard's.
fn literal_feed(relation: &str, kind: CopyKind, line: u64) -> (PgError, Vec<u8>) {
    let (text, hint) = match kind {
        CopyKind::Csv => ("unquoted newline found in data", "Use quoted CSV field to represent newline."),
        _ => ("literal newline found in data", "Use \"\\n\" to represent newline."),
    };
    let context = format!("COPY {relation}, line {line}");
    let error = PgError::error(SqlState::BAD_COPY_FILE_FORMAT, text).hint(hint);
    let mut frame = Vec::new();
    message::put(&mut frame, back::ERROR_RESPONSE, |out| {
        for (field, value) in [
            (b'S', "ERROR"),
            (b'V', "ERROR"),
            (b'C', error.code().as_str()),
            (b'M', text),
            (b'H', hint),
            (b'W', &context),
        ] {
            out.push(field);
            message::put_cstr(out, value.as_bytes());
        }
        out.push(0);
    });
    (error, frame)
}

/// The lane that knows best what came before: for what is refused.
fn steady(lanes: &[Lane]) -> usize {
    lanes.iter().enumerate().max_by_key(|(_, lane)| lane.lines).map_or(0, |(at, _)| at)
}

/// The shard of a row.
fn place(
    key: &CopyKey,
    format: &CopyFormat,
    ascii: bool,
    view: &View,
    field: Field<'_>,
    number: u64,
) -> Result<Place, PgError> {
    let value = match field {
        Field::Value(value) => value,
        Field::Broken => return Ok(Place::Anywhere { surely: true }),
        Field::Null if key.not_null => return Ok(Place::Anywhere { surely: false }),
        Field::Null => return Err(no_value(key, number, "is NULL")),
        Field::Default => return Err(no_value(key, number, "is left to its default")),
    };
    let binary = format.kind == CopyKind::Binary;
    let text = !binary || matches!(key.type_oid, 25 | 1042 | 1043);
    if ascii && text && !value.is_ascii() {
        return Err(no_value(key, number, "isn't in UTF-8"));
    }
    let form = if binary { Format::Binary } else { Format::Text };
    match key_place(&key.condition, key.type_oid, form, Some(&value), &view.placement) {
        KeyPlace::Shard(shard) => Ok(Place::Shard(shard)),
        KeyPlace::Nowhere | KeyPlace::Unknown => Ok(Place::Ask(value.into_owned())),
    }
}

pub(super) fn no_value(key: &CopyKey, line: u64, why: &str) -> PgError {
    let text = format!("the sharding key \"{}\" of a row {why}: pgbraid can't tell its shard", key.name);
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text)
        .detail(format!("It is the row in line {line} of COPY."))
        .hint(format!("Give \"{}\" a value of its type, in UTF-8, dates and times as ISO writes them.", key.name))
}

fn unwritable() -> PgError {
    let text = "a default's value can't be written in the format of this COPY: it is what stands for NULL";
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint("COPY values for that column too.")
}

fn too_long(line: u64) -> PgError {
    let most = limits::COPY_ROW >> 20;
    PgError::error(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("line {line} of COPY is longer than {most} MB"))
        .hint("Check the quotes and the ends of lines, or COPY it to its shard with pgbraid.shard.")
}

/// Whether a client's encoding is the bytes that the servers hash; false: for ASCII only. `None`: rows can't even be cut
/// in it, as bytes of ASCII may be parts of other characters.
pub(super) fn reading(client: &str, server: &str) -> Option<bool> {
    let plain = |name: &str| -> String {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        if name == "unicode" { "utf8".to_owned() } else { name }
    };
    let (client, server) = (plain(client), plain(server));
    if client == server || client == "sqlascii" {
        return Some(true);
    }
    let safe = ["utf8", "latin", "iso8859", "win", "koi8", "euc", "abc", "tcvn", "vscii", "alt"];
    safe.iter().any(|start| client.starts_with(start)).then_some(false)
}
