//! Columns and values of the console's rows, in the text and binary formats.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};

/// A column's type, as PgBouncer chooses it for the column of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int4,
    /// PgBouncer's choice for statistics, so that they may grow beyond int8.
    Numeric,
}

impl Type {
    /// OID and size (`pg_type.dat`).
    fn oid_and_size(self) -> (u32, i16) {
        match self {
            Self::Text => (25, -1),
            Self::Int4 => (23, 4),
            Self::Numeric => (1700, -1),
        }
    }
}

pub(super) type Column = (&'static str, Type);

/// One value. Integers take the form that their column's type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Int(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(n: u64) -> Self {
        Self::Int(n)
    }
}

impl From<usize> for Cell {
    fn from(n: usize) -> Self {
        Self::Int(n as u64)
    }
}

impl From<u16> for Cell {
    fn from(n: u16) -> Self {
        Self::Int(n.into())
    }
}

impl From<bool> for Cell {
    /// 0 and 1, as PgBouncer says it.
    fn from(yes: bool) -> Self {
        Self::Int(yes.into())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Whether the column at `index` is asked for in binary: one code for all, or one a column, or none (text).
pub(super) fn is_binary(formats: &[i16], index: usize) -> bool {
    let code = if formats.len() == 1 { formats.first() } else { formats.get(index) };
    code.is_some_and(|code| *code == 1)
}

pub(super) fn row_description(columns: &[Column], formats: &[i16]) -> RowDescription {
    let field = |(index, (name, kind)): (usize, &Column)| {
        let (oid, size) = kind.oid_and_size();
        let format = i16::from(is_binary(formats, index));
        FieldDescription::new((*name).to_owned(), 0, 0, oid, size, -1, format)
    };
    RowDescription::new(columns.iter().enumerate().map(field).collect())
}

pub(super) fn data_row(columns: &[Column], cells: &[Cell], formats: &[i16]) -> DataRow {
    let mut data = BytesMut::new();
    for (index, ((_, kind), cell)) in columns.iter().zip(cells).enumerate() {
        let value = match cell {
            Cell::Null => {
                data.put_i32(-1);
                continue;
            }
            Cell::Text(text) => text.as_bytes().to_vec(),
            Cell::Int(n) if is_binary(formats, index) => binary(*n, *kind),
            Cell::Int(n) if *kind == Type::Int4 => int4(*n).to_string().into_bytes(),
            Cell::Int(n) => n.to_string().into_bytes(),
        };
        data.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        data.put_slice(&value);
    }
    DataRow::new(data, i16::try_from(columns.len()).unwrap_or(i16::MAX))
}

/// The largest int4 stands for what is beyond.
fn int4(n: u64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn binary(n: u64, kind: Type) -> Vec<u8> {
    match kind {
        Type::Text => n.to_string().into_bytes(),
        Type::Int4 => int4(n).to_be_bytes().to_vec(),
        Type::Numeric => numeric(n),
    }
}

/// `numeric_send`: number of base-10,000 digits, weight of the first, sign, display scale, the digits.
fn numeric(mut n: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    while n > 0 {
        digits.push((n % 10_000) as u16);
        n /= 10_000;
    }
    let count = digits.len() as u16;
    let header = [count, count.saturating_sub(1), 0, 0];
    header.into_iter().chain(digits.into_iter().rev()).flat_map(u16::to_be_bytes).collect()
}

/// `2026-11-23 20:32:25 UTC`
pub(super) fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", second / 3_600, second / 60 % 60, second % 60)
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant's `civil_from_days`, for days after the epoch).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_a_calendar_does() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_795_465_945, "2026-11-23 20:32:25 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn numerics_in_binary() {
        // What a server sends for 0, 1, 10000 and 123456789 (SELECT numeric_send(…)).
        for (n, words) in [
            (0, &[0u16, 0, 0, 0][..]),
            (1, &[1, 0, 0, 0, 1]),
            (10_000, &[2, 1, 0, 0, 1, 0]),
            (123_456_789, &[3, 2, 0, 0, 1, 2_345, 6_789]),
        ] {
            let bytes: Vec<u8> = words.iter().copied().flat_map(u16::to_be_bytes).collect();
            assert_eq!(numeric(n), bytes, "{n}");
        }
    }
}
