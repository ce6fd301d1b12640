//! Cuts COPY's binary format into rows: PostgreSQL's `ReceiveCopyBinaryHeader`, `NextCopyFrom`.

use super::fields::Field;
use super::{Cut, Line};

/// What a binary stream begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

fn int(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|bytes| i32::from_be_bytes(*bytes))
}

fn count(data: &[u8]) -> Option<i16> {
    data.first_chunk::<2>().map(|bytes| i16::from_be_bytes(*bytes))
}

/// The stream's head, as a line.
pub fn head(data: &[u8], whole: bool) -> Cut {
    let known = data.len().min(SIGNATURE.len());
    if data.get(..known) != SIGNATURE.get(..known) {
        return Cut::Wrong;
    }
    // Flags, then the length of an extension.
    let length = int(data, SIGNATURE.len() + 4).map(usize::try_from);
    let len = match length {
        None => return if whole { Cut::Wrong } else { Cut::More },
        Some(Err(_)) => return Cut::Wrong,
        Some(Ok(length)) => length.saturating_add(SIGNATURE.len() + 8),
    };
    match data.len() >= len {
        true => Cut::Line(Line { len, text: len, ..Line::default() }),
        false if whole => Cut::Wrong,
        false => Cut::More,
    }
}

/// The next row.
pub fn row(data: &[u8], whole: bool) -> Cut {
    let more = if whole { Cut::Wrong } else { Cut::More };
    let fields = match count(data) {
        None if whole => return Cut::End,
        None => return Cut::More,
        Some(-1) if data.len() > 2 => return Cut::Wrong,
        Some(-1) if whole => return Cut::End,
        Some(-1) => return Cut::More,
        Some(count) => count,
    };
    if fields < 0 {
        return Cut::Wrong;
    }
    let mut at = 2_usize;
    for _ in 0..fields {
        let Some(length) = int(data, at) else { return more };
        at += 4;
        match usize::try_from(length) {
            Ok(length) => at = at.saturating_add(length),
            Err(_) if length == -1 => {}
            Err(_) => return Cut::Wrong,
        }
    }
    if at > data.len() {
        return more;
    }
    Cut::Line(Line { len: at, text: at, ..Line::default() })
}

/// The field of this number of a row.
pub fn field(row: &[u8], number: usize) -> Field<'_> {
    let mut at = 2;
    for turn in 0..=number {
        let Some(length) = int(row, at).filter(|_| count(row).is_some_and(|count| turn < count.max(0) as usize)) else {
            return Field::Broken;
        };
        at += 4;
        let length = usize::try_from(length).ok();
        let value = row.get(at..at.saturating_add(length.unwrap_or(0))).unwrap_or_default();
        if turn == number {
            return if length.is_some() { Field::Value(value.into()) } else { Field::Null };
        }
        at += value.len();
    }
    Field::Broken
}
