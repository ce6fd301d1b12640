//! A sharding key's value and its hash: PostgreSQL's own extended hash functions with seed 0.

use super::numeric::Numeric;
use super::{jenkins, moment, oid, read};

/// Types by which hash placement works (those whose extended hash any shard can compute in SQL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    Int2,
    Int4,
    Int8,
    Text,
    Varchar,
    Bpchar,
    Uuid,
    Numeric,
    Timestamp,
    Timestamptz,
    Date,
}

/// What is known of a key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHash {
    Hash(u64),
    /// No row of the table can have this key: NULL, or a value that the key's type can't hold.
    Nowhere,
    /// Not computable here.
    Unknown,
}

/// A value's format on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Binary,
}

impl KeyType {
    pub const ALL: [Self; 11] = [
        Self::Int2,
        Self::Int4,
        Self::Int8,
        Self::Text,
        Self::Varchar,
        Self::Bpchar,
        Self::Uuid,
        Self::Numeric,
        Self::Timestamp,
        Self::Timestamptz,
        Self::Date,
    ];

    /// `None`: a type that hash placement can't have.
    pub fn from_oid(oid: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.oid() == oid)
    }

    /// By the name that `name` gives.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    pub fn oid(self) -> u32 {
        match self {
            Self::Int2 => oid::INT2,
            Self::Int4 => oid::INT4,
            Self::Int8 => oid::INT8,
            Self::Text => oid::TEXT,
            Self::Varchar => oid::VARCHAR,
            Self::Bpchar => oid::BPCHAR,
            Self::Uuid => oid::UUID,
            Self::Numeric => oid::NUMERIC,
            Self::Timestamp => oid::TIMESTAMP,
            Self::Timestamptz => oid::TIMESTAMPTZ,
            Self::Date => oid::DATE,
        }
    }

    /// The type's name in `pg_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int2 => "int2",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Text => "text",
            Self::Varchar => "varchar",
            Self::Bpchar => "bpchar",
            Self::Uuid => "uuid",
            Self::Numeric => "numeric",
            Self::Timestamp => "timestamp",
            Self::Timestamptz => "timestamptz",
            Self::Date => "date",
        }
    }

    /// The expression that computes the same hash on a server, as int8, whatever the session's settings. It is immutable,
    /// of built-in functions only, so publications take it in their row filters. A date that is infinite fails in it.
    pub fn sql_hash(self, column: &str) -> String {
        let column = format!("\"{}\"", column.replace('"', "\"\""));
        match self {
            Self::Int2 | Self::Int4 | Self::Int8 => {
                format!("pg_catalog.hashint8extended({column}::pg_catalog.int8, 0)")
            }
            Self::Text | Self::Varchar => format!("pg_catalog.hashtextextended({column}::pg_catalog.text, 0)"),
            Self::Bpchar => format!("pg_catalog.hashbpcharextended({column}, 0)"),
            Self::Uuid => format!("pg_catalog.uuid_hash_extended({column}, 0)"),
            Self::Numeric => format!("pg_catalog.hash_numeric_extended({column}, 0)"),
            Self::Timestamp => format!("pg_catalog.timestamp_hash_extended({column}, 0)"),
            Self::Timestamptz => {
                format!("pg_catalog.timestamp_hash_extended(pg_catalog.timezone('UTC', {column}), 0)")
            }
            Self::Date => {
                format!("pg_catalog.hashint4extended({column} OPERATOR(pg_catalog.-) pg_catalog.date '2000-01-01', 0)")
            }
        }
    }

    /// Whether an integer fits the column; only asked of integer keys.
    #[inline]
    fn holds(self, value: i64) -> bool {
        match self {
            Self::Int2 => i16::try_from(value).is_ok(),
            Self::Int4 => i32::try_from(value).is_ok(),
            _ => true,
        }
    }
}

/// The hash of the key column's value that PostgreSQL's `=` between the column's type and type `from` finds equal to this
/// value. `from` 0 (or `unknown`): a literal or parameter without a type, which the server reads as the column's.
/// Text is in the server's encoding. What the server would refuse is `Unknown`: it must come to say so.
#[inline]
pub fn hash(key: KeyType, from: u32, format: Format, value: Option<&[u8]>) -> KeyHash {
    let Some(value) = value else { return KeyHash::Nowhere };
    let from = resolved(key, from, format);
    match key {
        KeyType::Int2 | KeyType::Int4 | KeyType::Int8 => hash_for_int(key, from, format, value),
        KeyType::Numeric => hash_for_numeric(from, format, value),
        KeyType::Text | KeyType::Varchar | KeyType::Bpchar => hash_for_text(key, from, value),
        _ if from == key.oid() => hash_own(key, format, value).map_or(KeyHash::Unknown, KeyHash::Hash),
        _ => KeyHash::Unknown,
    }
}

/// The hash of what the key column holds after this value was assigned to it (INSERT, UPDATE), which is not always a
/// value equal to it: 5.5 becomes 6 in an integer column. `typmod`: the column's, -1 for none. `Nowhere`: NULL.
pub fn hash_assigned(key: KeyType, typmod: i32, from: u32, format: Format, value: Option<&[u8]>) -> KeyHash {
    let Some(bytes) = value else { return KeyHash::Nowhere };
    let from = resolved(key, from, format);
    if !kept(key, typmod, from, format, bytes) {
        return KeyHash::Unknown;
    }
    let from = match (key, from) {
        // An assignment casts char(n) to text, which takes the blanks off.
        (KeyType::Varchar, oid::BPCHAR) => return KeyHash::Hash(jenkins::hash_bytes(without_blanks(bytes))),
        // Text assigned to char(n) has no blanks at the end that count.
        (KeyType::Bpchar, oid::TEXT) => oid::BPCHAR,
        (_, from) => from,
    };
    match hash(key, from, format, value) {
        // Not equal to any value of the column: it is rounded or refused.
        KeyHash::Nowhere => KeyHash::Unknown,
        known => known,
    }
}

/// The value's type, once one without a type has taken the column's.
#[inline]
fn resolved(key: KeyType, from: u32, format: Format) -> u32 {
    match (from, format) {
        (0, _) | (oid::UNKNOWN, Format::Text) => key.oid(),
        (from, _) => from,
    }
}

/// Whether the column's length or precision surely leaves the value as it is.
fn kept(key: KeyType, typmod: i32, from: u32, format: Format, value: &[u8]) -> bool {
    if typmod < 0 {
        return true;
    }
    match key {
        // A length in characters and 4. What is too long loses blanks at its end, which don't count in char(n), or is
        // refused.
        KeyType::Varchar => value.len() as i64 <= i64::from(typmod) - 4 || value.last() != Some(&b' '),
        KeyType::Numeric => {
            // Eleven bits, with a sign since PostgreSQL 15.
            let scale = i64::from(((typmod - 4) & 0x7ff) ^ 1024) - 1024;
            numeric(from, format, value).is_some_and(|value| value.scale() <= scale && scale >= 0)
        }
        KeyType::Timestamp | KeyType::Timestamptz => {
            let micros = match format {
                Format::Binary => value.try_into().ok().map(i64::from_be_bytes),
                Format::Text if key == KeyType::Timestamp => moment::timestamp(value),
                Format::Text => moment::timestamptz(value),
            };
            let unit = 10_i64.pow(6 - typmod.clamp(0, 6) as u32);
            micros.is_some_and(|micros| micros % unit == 0 || matches!(micros, i64::MIN | i64::MAX))
        }
        _ => true,
    }
}

#[inline]
fn hash_for_int(key: KeyType, from: u32, format: Format, value: &[u8]) -> KeyHash {
    let int = match from {
        oid::INT2 | oid::INT4 | oid::INT8 => match int(from, format, value) {
            Some(int) => int,
            None => return KeyHash::Unknown,
        },
        oid::NUMERIC => match numeric(from, format, value) {
            Some(numeric) => match numeric.to_int() {
                Some(int) => int,
                None => return KeyHash::Nowhere,
            },
            None => return KeyHash::Unknown,
        },
        _ => return KeyHash::Unknown,
    };
    if key.holds(int) { KeyHash::Hash(jenkins::hash_int(int)) } else { KeyHash::Nowhere }
}

fn hash_for_numeric(from: u32, format: Format, value: &[u8]) -> KeyHash {
    numeric(from, format, value).map_or(KeyHash::Unknown, |value| KeyHash::Hash(value.hash()))
}

/// The rules are those of operator resolution: text with char(n) compares as text, for which char(n) loses its blanks;
/// varchar with char(n) compares as char(n), where blanks at the end of either side don't count.
fn hash_for_text(key: KeyType, from: u32, value: &[u8]) -> KeyHash {
    let stripped = without_blanks(value);
    let hashed = match (key, from) {
        (KeyType::Text | KeyType::Varchar, oid::TEXT | oid::VARCHAR) => value,
        (KeyType::Text, oid::BPCHAR) => stripped,
        (KeyType::Bpchar, oid::BPCHAR | oid::VARCHAR) => stripped,
        (KeyType::Bpchar, oid::TEXT) if stripped.len() == value.len() => value,
        (KeyType::Bpchar, oid::TEXT) => return KeyHash::Nowhere,
        _ => return KeyHash::Unknown,
    };
    KeyHash::Hash(jenkins::hash_bytes(hashed))
}

/// Keys that compare with their own type only.
fn hash_own(key: KeyType, format: Format, value: &[u8]) -> Option<u64> {
    match (key, format) {
        (KeyType::Uuid, Format::Text) => read::uuid(value).map(|uuid| jenkins::hash_bytes(&uuid)),
        (KeyType::Uuid, Format::Binary) => (value.len() == 16).then(|| jenkins::hash_bytes(value)),
        (KeyType::Date, Format::Text) => moment::date(value).map(|days| jenkins::hash_word(days as u32)),
        (KeyType::Date, Format::Binary) => {
            // The infinities have no distance from a day: the SQL expression fails for them.
            let days = i32::from_be_bytes(value.try_into().ok()?);
            (!matches!(days, i32::MIN | i32::MAX)).then(|| jenkins::hash_word(days as u32))
        }
        (KeyType::Timestamp, Format::Text) => moment::timestamp(value).map(jenkins::hash_int),
        (KeyType::Timestamptz, Format::Text) => moment::timestamptz(value).map(jenkins::hash_int),
        (KeyType::Timestamp | KeyType::Timestamptz, Format::Binary) => {
            value.try_into().ok().map(|micros| jenkins::hash_int(i64::from_be_bytes(micros)))
        }
        _ => None,
    }
}

/// A value of an integer type.
#[inline]
fn int(from: u32, format: Format, value: &[u8]) -> Option<i64> {
    match (from, format) {
        (oid::INT2, Format::Binary) => value.try_into().ok().map(|bytes| i16::from_be_bytes(bytes).into()),
        (oid::INT4, Format::Binary) => value.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).into()),
        (oid::INT8, Format::Binary) => value.try_into().ok().map(i64::from_be_bytes),
        (_, Format::Binary) => None,
        (oid::INT2, Format::Text) => read::int(value).filter(|&int| KeyType::Int2.holds(int)),
        (oid::INT4, Format::Text) => read::int(value).filter(|&int| KeyType::Int4.holds(int)),
        (_, Format::Text) => read::int(value),
    }
}

/// A value that numeric comparison takes exactly.
fn numeric(from: u32, format: Format, value: &[u8]) -> Option<Numeric> {
    match (from, format) {
        (oid::NUMERIC, Format::Text) => Numeric::from_text(value),
        (oid::NUMERIC, Format::Binary) => Numeric::from_binary(value),
        (oid::INT2 | oid::INT4 | oid::INT8, _) => int(from, format, value).map(Numeric::from_int),
        _ => None,
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|&&byte| byte == b' ').count();
    text.get(..text.len() - blanks).unwrap_or(&[])
}
