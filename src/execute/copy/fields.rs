//! Finds one field of a row: PostgreSQL's `CopyReadAttributesText`, `CopyReadAttributesCSV`.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::plan::sharded::copy_options::{CopyFormat, CopyKind};

/// What a row says of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    Value(Cow<'a, [u8]>),
    Null,
    /// The marker of the column's default.
    Default,
    /// The row is too short, or isn't well formed: no server takes it.
    Broken,
}

/// The field of this number (from 0) of a row in text or CSV, without the row's end.
pub fn field<'a>(row: &'a [u8], format: &CopyFormat, number: usize) -> Field<'a> {
    match format.kind {
        CopyKind::Csv => in_csv(row, format, number),
        CopyKind::Text | CopyKind::Binary => in_text(row, format, number),
    }
}

/// Appends a value as the client would write it. False: it can't be written.
pub fn put(out: &mut Vec<u8>, value: Option<&[u8]>, format: &CopyFormat) -> bool {
    let Some(value) = value else {
        out.extend_from_slice(&format.null);
        return true;
    };
    if format.kind == CopyKind::Csv {
        put_quoted(out, value, format);
        return true;
    }
    let begin = out.len();
    for &byte in value {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ if byte == format.delimiter => out.extend_from_slice(&[b'\\', byte]),
            _ => out.push(byte),
        }
    }
    let written = out.get(begin..).unwrap_or_default();
    if written == format.null || format.default.as_deref() == Some(written) {
        // Not the marker itself: its first byte by its number.
        let Some((first, rest)) = value.split_first() else { return false };
        let rest = rest.to_vec();
        out.truncate(begin);
        out.extend_from_slice(format!("\\{first:03o}").as_bytes());
        out.extend_from_slice(&rest);
    }
    true
}

/// A value of CSV in quotes.
pub fn put_quoted(out: &mut Vec<u8>, value: &[u8], format: &CopyFormat) {
    out.push(format.quote);
    for &byte in value {
        if byte == format.quote || byte == format.escape {
            out.push(format.escape);
        }
        out.push(byte);
    }
    out.push(format.quote);
}

/// The row without its first `count` fields, as far as they are well formed.
pub fn without_first<'a>(row: &'a [u8], count: usize, format: &CopyFormat) -> &'a [u8] {
    let mut rest = row;
    for _ in 0..count {
        let end = match format.kind {
            CopyKind::Csv => csv_field(rest, format, false).filter(|found| found.followed).map(|found| found.end),
            _ => Some(text_end(rest, format.delimiter)).filter(|end| end.1).map(|end| end.0),
        };
        match end {
            Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
            None => break,
        }
    }
    rest
}

fn in_text<'a>(row: &'a [u8], format: &CopyFormat, number: usize) -> Field<'a> {
    let mut rest = row;
    for _ in 0..number {
        match text_end(rest, format.delimiter) {
            (end, true) => rest = rest.get(end + 1..).unwrap_or_default(),
            (_, false) => return Field::Broken,
        }
    }
    let (end, _) = text_end(rest, format.delimiter);
    let mut raw = rest.get(..end).unwrap_or_default();
    let trailing = raw.iter().rev().take_while(|byte| **byte == b'\\').count();
    if trailing % 2 == 1 && ends_open(raw) {
        // A backslash with nothing behind it stands for nothing.
        raw = raw.get(..raw.len() - 1).unwrap_or_default();
    }
    if raw == format.null {
        Field::Null
    } else if format.default.as_deref() == Some(raw) {
        Field::Default
    } else {
        Field::Value(unescape(raw))
    }
}

/// Whether the last backslash escapes nothing.
fn ends_open(raw: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = raw.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found + 2;
    }
    at > raw.len()
}

/// Where the field at the start of `rest` ends, and whether a delimiter follows.
fn text_end(rest: &[u8], delimiter: u8) -> (usize, bool) {
    let mut at = 0;
    while let Some(found) = rest.get(at..).and_then(|rest| memchr2(delimiter, b'\\', rest)) {
        at += found;
        if rest.get(at) == Some(&delimiter) {
            return (at, true);
        }
        at += 2;
    }
    (rest.len(), false)
}

fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut value = raw.get(..first).unwrap_or_default().to_vec();
    let mut bytes = raw.get(first..).unwrap_or_default().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        let Some(byte) = bytes.next() else { break };
        value.push(match byte {
            b'0'..=b'7' => {
                let mut code = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|byte| matches!(byte, b'0'..=b'7')) else { break };
                    code = code * 8 + u32::from(digit - b'0');
                }
                code as u8
            }
            b'x' if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut code = 0;
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(u8::is_ascii_hexdigit) else { break };
                    code = code * 16 + char::from(digit).to_digit(16).unwrap_or(0);
                }
                code as u8
            }
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        });
    }
    Cow::Owned(value)
}

fn in_csv<'a>(row: &'a [u8], format: &CopyFormat, number: usize) -> Field<'a> {
    let mut rest = row;
    let mut left = number;
    loop {
        let Some(found) = csv_field(rest, format, left == 0) else { return Field::Broken };
        if left > 0 {
            if !found.followed {
                return Field::Broken;
            }
            rest = rest.get(found.end + 1..).unwrap_or_default();
            left -= 1;
            continue;
        }
        let raw = rest.get(..found.end).unwrap_or_default();
        let is_null = !found.quoted && raw == format.null;
        if !found.quoted && !is_null && format.default.as_deref() == Some(raw) {
            return Field::Default;
        }
        return match found.value {
            _ if is_null && format.force_not_null => Field::Value(Cow::Owned(format.null.clone())),
            _ if is_null => Field::Null,
            value if format.force_null && *value == *format.null => Field::Null,
            value => Field::Value(value),
        };
    }
}

struct Found<'a> {
    end: usize,
    followed: bool,
    quoted: bool,
    value: Cow<'a, [u8]>,
}

/// The field at the start of `rest`. `None`: its quotes don't end.
fn csv_field<'a>(rest: &'a [u8], format: &CopyFormat, wanted: bool) -> Option<Found<'a>> {
    let mut at = 0;
    let mut quoted = false;
    let mut value: Cow<'a, [u8]> = Cow::Borrowed(&[]);
    let mut take = |part: &'a [u8]| {
        if !wanted || part.is_empty() {
        } else if value.is_empty() {
            value = Cow::Borrowed(part);
        } else {
            value.to_mut().extend_from_slice(part);
        }
    };
    loop {
        let tail = rest.get(at..).unwrap_or_default();
        let found = memchr2(format.delimiter, format.quote, tail).unwrap_or(tail.len());
        take(tail.get(..found).unwrap_or_default());
        at += found;
        match rest.get(at) {
            Some(byte) if *byte == format.delimiter => break,
            Some(_) => at += 1,
            None => break,
        }
        quoted = true;
        // Within quotes.
        loop {
            let tail = rest.get(at..).unwrap_or_default();
            let found = memchr2(format.escape, format.quote, tail)?;
            take(tail.get(..found).unwrap_or_default());
            at += found;
            let next = tail.get(found + 1..found + 2).unwrap_or_default();
            let escapes = next.first().is_some_and(|next| *next == format.escape || *next == format.quote);
            if tail.get(found) == Some(&format.escape) && escapes {
                take(next);
                at += 2;
                continue;
            }
            at += 1;
            if tail.get(found) == Some(&format.quote) {
                break;
            }
            take(tail.get(found..found + 1).unwrap_or_default());
        }
    }
    let followed = at < rest.len();
    Some(Found { end: at, followed, quoted, value })
}
