//! `COPY (query) TO`: the answer to a query, message by message, as that of a COPY.
//!
//! Values are what the query's answer has: COPY writes what types' output functions give, as answers do. Around them stands
//! what PostgreSQL's `CopyAttributeOutText` and `CopyAttributeOutCSV` put there.

use super::fields::put_quoted;
use super::{BINARY_END, BINARY_HEAD};
use crate::plan::sharded::copy_options::{CopyFormat, CopyKind, Forced};
use crate::wire::frame::{HEADER, back, split_cstr};
use crate::wire::message;
use crate::wire::reader::Reader;

/// A COPY whose rows come as a query's.
pub struct Writer {
    format: CopyFormat,
    /// Quoted always: by column.
    forced: Vec<bool>,
    /// A message that isn't whole yet.
    held: Vec<u8>,
    rows: u64,
    /// The head of a stream in binary stands before its first row, in one message with it.
    headed: bool,
}

impl Writer {
    pub fn new(format: CopyFormat) -> Self {
        Self { format, forced: Vec::new(), held: Vec::new(), rows: 0, headed: false }
    }

    /// Turns messages of the query's answer into those of the COPY's. Others stay as they are.
    pub fn turn(&mut self, messages: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = if self.held.is_empty() {
            messages
        } else {
            self.held.extend_from_slice(messages);
            // A long row comes in many pieces.
            if whole(&self.held).is_none() {
                return;
            }
            joined = std::mem::take(&mut self.held);
            joined.as_slice()
        };
        while let Some(length) = whole(rest) {
            let (frame, behind) = rest.split_at(length);
            let body = frame.get(HEADER..).unwrap_or_default();
            match frame.first() {
                Some(&back::ROW_DESCRIPTION) => self.begin(body, out),
                Some(&back::DATA_ROW) => self.row(body, out),
                Some(&back::COMMAND_COMPLETE) => self.end(out),
                _ => out.extend_from_slice(frame),
            }
            rest = behind;
        }
        self.held.extend_from_slice(rest);
    }

    fn is_binary(&self) -> bool {
        self.format.kind == CopyKind::Binary
    }

    /// CopyOutResponse, and the line of columns' names.
    fn begin(&mut self, description: &[u8], out: &mut Vec<u8>) {
        let mut names = Vec::new();
        let mut rest = description.get(2..).unwrap_or_default();
        while let Some((name, behind)) = split_cstr(rest) {
            names.push(name);
            rest = behind.get(18..).unwrap_or_default();
        }
        let force = |(at, name): (usize, &&[u8])| match &self.format.force_quote {
            Forced::None => false,
            Forced::All => true,
            // The first of that name (`CopyGetAttnums`).
            Forced::Of(columns) => {
                columns.iter().any(|column| column.as_bytes() == *name)
                    && names.iter().position(|one| one == name) == Some(at)
            }
        };
        self.forced = names.iter().enumerate().map(force).collect();
        let format = u16::from(self.is_binary());
        message::put(out, back::COPY_OUT_RESPONSE, |out| {
            out.push(u8::from(format == 1));
            out.extend_from_slice(&(names.len() as u16).to_be_bytes());
            names.iter().for_each(|_| out.extend_from_slice(&format.to_be_bytes()));
        });
        if self.format.header && !self.is_binary() {
            message::put(out, back::COPY_DATA, |out| self.line(names.into_iter().map(Some), &[], out));
        }
    }

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) {
        self.rows += 1;
        let head = if self.is_binary() && !std::mem::replace(&mut self.headed, true) { BINARY_HEAD } else { &[] };
        message::put(out, back::COPY_DATA, |out| {
            out.extend_from_slice(head);
            if self.is_binary() {
                // A row in binary is a DataRow's body.
                out.extend_from_slice(row);
            } else {
                self.line(values(row), &self.forced, out);
            }
        });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.is_binary() {
            let head = if std::mem::replace(&mut self.headed, true) { &[] } else { BINARY_HEAD };
            message::put(out, back::COPY_DATA, |out| {
                out.extend_from_slice(head);
                out.extend_from_slice(BINARY_END);
            });
        }
        message::put(out, back::COPY_DONE, |_| {});
        message::command_complete(out, &format!("COPY {}", self.rows));
    }

    fn line<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>, forced: &[bool], out: &mut Vec<u8>) {
        let alone = self.forced.len() == 1;
        for (at, value) in values.enumerate() {
            if at > 0 {
                out.push(self.format.delimiter);
            }
            match (value, self.format.kind) {
                (None, _) => out.extend_from_slice(&self.format.null),
                (Some(value), CopyKind::Csv) => {
                    self.csv(value, forced.get(at).copied().unwrap_or(false), alone, out);
                }
                (Some(value), _) => self.text(value, out),
            }
        }
        out.push(b'\n');
    }

    /// `CopyAttributeOutText`
    fn text(&self, value: &[u8], out: &mut Vec<u8>) {
        for &byte in value {
            let letter = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                _ if byte == self.format.delimiter => byte,
                _ => {
                    out.push(byte);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    }

    /// `CopyAttributeOutCSV`
    fn csv(&self, value: &[u8], forced: bool, alone: bool, out: &mut Vec<u8>) {
        let format = &self.format;
        let special = |byte: &u8| *byte == format.delimiter || *byte == format.quote || matches!(byte, b'\n' | b'\r');
        let quoted = forced || value == format.null || alone && value == b"\\." || value.iter().any(special);
        if !quoted {
            out.extend_from_slice(value);
            return;
        }
        put_quoted(out, value, format);
    }
}

/// The length of the message at the start, if it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..HEADER)?.try_into().ok().map(u32::from_be_bytes)? as usize + 1;
    (bytes.len() >= length).then_some(length)
}

/// A DataRow's values.
fn values(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut reader = Reader::new(row);
    let count = reader.u16().unwrap_or(0);
    (0..count).map_while(move |_| reader.value().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(format: CopyFormat, names: &[&str], rows: &[&[Option<&str>]], cut: usize) -> Vec<u8> {
        let mut messages = Vec::new();
        message::put(&mut messages, back::ROW_DESCRIPTION, |out| {
            out.extend_from_slice(&(names.len() as u16).to_be_bytes());
            for name in names {
                message::put_cstr(out, name.as_bytes());
                out.extend_from_slice(&[0; 18]);
            }
        });
        for row in rows {
            message::put(&mut messages, back::DATA_ROW, |out| {
                out.extend_from_slice(&(row.len() as u16).to_be_bytes());
                for value in *row {
                    let length = value.map_or(-1, |value| value.len() as i32);
                    out.extend_from_slice(&length.to_be_bytes());
                    out.extend_from_slice(value.unwrap_or_default().as_bytes());
                }
            });
        }
        message::command_complete(&mut messages, &format!("SELECT {}", rows.len()));
        let mut writer = Writer::new(format);
        let mut out = Vec::new();
        for part in messages.chunks(cut) {
            writer.turn(part, &mut out);
        }
        out
    }

    /// What the messages of data hold.
    fn data(mut messages: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        while let Some(length) = whole(messages) {
            let (frame, rest) = messages.split_at(length);
            if frame[0] == back::COPY_DATA {
                data.extend_from_slice(&frame[HEADER..]);
            }
            messages = rest;
        }
        assert!(messages.is_empty());
        data
    }

    #[test]
    fn lines_are_postgresqls() {
        let text = CopyFormat::default();
        let rows: &[&[Option<&str>]] = &[&[Some("a\tb\\"), None], &[Some("\n\r\u{8}\u{b}\u{c}"), Some("\\N")]];
        for cut in [1, 7, 1000] {
            let out = turned(text.clone(), &["x", "y"], rows, cut);
            assert_eq!(data(&out), b"a\\tb\\\\\t\\N\n\\n\\r\\b\\v\\f\t\\\\N\n");
            assert!(out.ends_with(b"COPY 2\0"));
        }
        let other = CopyFormat { delimiter: b'|', header: true, null: b"none".to_vec(), ..text.clone() };
        let out = turned(other, &["a|b", "y"], &[&[Some("x|y"), None]], 5);
        assert_eq!(data(&out), b"a\\|b|y\nx\\|y|none\n");
        let csv = CopyFormat { kind: CopyKind::Csv, delimiter: b',', null: Vec::new(), header: true, ..text.clone() };
        let rows: &[&[Option<&str>]] =
            &[&[Some("a,b"), None, Some("")], &[Some("say \"x\""), Some("plain"), Some("l\nm")]];
        let out = turned(csv.clone(), &["x", "y,", "z"], rows, 9);
        assert_eq!(data(&out), b"x,\"y,\",z\n\"a,b\",,\"\"\n\"say \"\"x\"\"\",plain,\"l\nm\"\n");
        let forced = CopyFormat { force_quote: Forced::Of(vec!["y".into()]), escape: b'\\', header: false, ..csv };
        let out = turned(forced.clone(), &["x", "y"], &[&[Some("1"), Some("\\\"")], &[Some("2"), None]], 9);
        assert_eq!(data(&out), b"1,\"\\\\\\\"\"\n2,\n");
        let twice = CopyFormat { header: true, ..forced.clone() };
        assert_eq!(data(&turned(twice, &["y", "x", "y"], &[&[Some("1"); 3]], 9)), b"y,x,y\n\"1\",1,1\n");
        let alone = CopyFormat { kind: CopyKind::Csv, delimiter: b',', null: Vec::new(), ..text };
        assert_eq!(data(&turned(alone, &["x"], &[&[Some("\\.")], &[Some("")]], 3)), b"\"\\.\"\n\"\"\n");
    }

    #[test]
    fn a_long_row_in_many_pieces_is_copied_once() {
        // Copied again with each piece they would be 256 GB.
        let long = "x".repeat(32 << 20);
        let out = turned(CopyFormat::default(), &["x"], &[&[Some(&long)], &[Some("y")]], 2 << 10);
        assert_eq!(data(&out).len(), long.len() + 3);
    }

    #[test]
    fn binary_has_a_head_and_an_end() {
        let binary = CopyFormat { kind: CopyKind::Binary, ..CopyFormat::default() };
        let end = [BINARY_HEAD, BINARY_END].concat();
        assert_eq!(data(&turned(binary.clone(), &["x"], &[], 4)), end);
        let one = [BINARY_HEAD, b"\0\x01\0\0\0\x02ab", BINARY_END].concat();
        assert_eq!(data(&turned(binary, &["x"], &[&[Some("ab")]], 4)), one);
    }
}
