//! The shards of a plan's access, once values are bound.

use super::{Access, KeyCondition, KeyValue};
use crate::topology::placement::{KeyPlace, Placement, ShardIndex, TablePlace};
use crate::value::key::{Format, hash, hash_assigned};

/// A bound parameter: its type as the server described it, its format, its bytes (`None`: NULL).
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    pub type_oid: u32,
    pub format: Format,
    pub value: Option<&'a [u8]>,
}

/// What is evaluated before is asked for as parameters from here on: no statement has as many of its own.
pub const ONCE: u32 = 1 << 20;

/// Where a statement's rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardSet {
    Home,
    /// Any one shard: reference tables only, or keys that no row has.
    Any,
    /// These, in order; never empty.
    Some(Vec<ShardIndex>),
    All,
    /// A row to be inserted has no key, or one that isn't known, for this column.
    NoKey(String),
}

/// The shards for the values given. A key that isn't known means all shards.
pub fn shards<'a>(access: &Access, placement: &Placement, param: &dyn Fn(u32) -> Option<Bound<'a>>) -> ShardSet {
    let conditions = match access {
        Access::Home => return ShardSet::Home,
        Access::Any => return ShardSet::Any,
        Access::All => return ShardSet::All,
        Access::Keys(conditions) => conditions,
    };
    let mut found = Vec::new();
    for condition in conditions {
        for value in &condition.values {
            match places(condition, value, placement, param) {
                Some(places) if condition.assigned.is_some() && places.is_empty() => {
                    return ShardSet::NoKey(condition.column.clone());
                }
                Some(places) => found.extend(places),
                None if condition.assigned.is_some() => return ShardSet::NoKey(condition.column.clone()),
                None => return ShardSet::All,
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { ShardSet::Any } else { ShardSet::Some(found) }
}

/// The shard of each row to be inserted, by its key's value. `None`: one of them has none that is known.
pub fn row_shards<'a>(
    key: &KeyCondition,
    placement: &Placement,
    param: &dyn Fn(u32) -> Option<Bound<'a>>,
) -> Option<Vec<ShardIndex>> {
    let one = |value: &KeyValue| match places(key, value, placement, param)?.as_slice() {
        [shard] => Some(*shard),
        _ => None,
    };
    key.values.iter().map(one).collect()
}

/// The shards of one value; `None`: not known.
fn places<'a>(
    condition: &KeyCondition,
    value: &KeyValue,
    placement: &Placement,
    param: &dyn Fn(u32) -> Option<Bound<'a>>,
) -> Option<Vec<ShardIndex>> {
    let mut shards = Vec::new();
    let single =
        single(value, param).map(|(type_oid, format, bytes)| place(condition, type_oid, format, bytes, placement));
    let all = match single {
        Some(_) => Vec::new(),
        None => found(condition, value, placement, param)?,
    };
    for (_, place) in single.into_iter().chain(all) {
        match place {
            KeyPlace::Shard(shard) => shards.push(shard),
            KeyPlace::Nowhere => {}
            KeyPlace::Unknown => return None,
        }
    }
    if shards.is_empty() && condition.assigned.is_some_and(|assigned| assigned.not_null) {
        // NULL: whichever shard gets the row says so in PostgreSQL's words.
        shards.push(FIRST);
    }
    Some(shards)
}

/// Any shard will do.
const FIRST: ShardIndex = 0;

/// The shard of a row by the value that is assigned to its key. `None`: it has none that is known.
pub fn value_shard(
    key: &KeyCondition,
    placement: &Placement,
    type_oid: u32,
    format: Format,
    value: Option<&[u8]>,
) -> Option<ShardIndex> {
    match place(key, type_oid, format, value, placement).1 {
        KeyPlace::Shard(shard) => Some(shard),
        _ if value.is_none() && key.assigned.is_some_and(|assigned| assigned.not_null) => Some(FIRST),
        _ => None,
    }
}

/// The type, format and bytes of what is one value; `None`: it isn't, or isn't known.
fn single<'v, 'a: 'v>(
    value: &'v KeyValue,
    param: &dyn Fn(u32) -> Option<Bound<'a>>,
) -> Option<(u32, Format, Option<&'v [u8]>)> {
    match value {
        KeyValue::Literal { type_oid, text, .. } => Some((*type_oid, Format::Text, Some(text.as_bytes()))),
        KeyValue::Once(at) => {
            let bound = param(ONCE.saturating_add(u32::try_from(*at).ok()?))?;
            Some((bound.type_oid, bound.format, bound.value))
        }
        KeyValue::Param { number, type_oid } => {
            let bound = param(*number)?;
            let type_oid = if bound.type_oid == 0 { *type_oid } else { bound.type_oid };
            Some((type_oid, bound.format, bound.value))
        }
        KeyValue::ParamArray { .. } | KeyValue::Null => None,
    }
}

/// Each single value's bucket, if it has one, and place; `None`: the values aren't known.
pub fn found<'a>(
    condition: &KeyCondition,
    value: &KeyValue,
    placement: &Placement,
    param: &dyn Fn(u32) -> Option<Bound<'a>>,
) -> Option<Vec<(Option<usize>, KeyPlace)>> {
    Some(match value {
        KeyValue::Null => Vec::new(),
        KeyValue::Once(_) | KeyValue::Literal { .. } | KeyValue::Param { .. } => {
            let (type_oid, format, bytes) = single(value, param)?;
            vec![place(condition, type_oid, format, bytes, placement)]
        }
        KeyValue::ParamArray { number, type_oid } => {
            let bound = param(*number)?;
            let Some(bytes) = bound.value else { return Some(Vec::new()) };
            let (element, values) = match bound.format {
                Format::Binary => binary_array(bytes)?,
                Format::Text => (*type_oid, text_array(bytes)?),
            };
            let mut out = Vec::new();
            for value in &values {
                out.push(place(condition, element, bound.format, value.as_deref(), placement));
            }
            out
        }
    })
}

/// Where a row goes whose key has this value, assigned to the column.
pub fn key_place(
    condition: &KeyCondition,
    type_oid: u32,
    format: Format,
    bytes: Option<&[u8]>,
    placement: &Placement,
) -> KeyPlace {
    place(condition, type_oid, format, bytes, placement).1
}

fn place(
    condition: &KeyCondition,
    type_oid: u32,
    format: Format,
    bytes: Option<&[u8]>,
    placement: &Placement,
) -> (Option<usize>, KeyPlace) {
    let list = |place| (None, place);
    match &condition.place {
        TablePlace::Hash { key_type, .. } => {
            let hashed = match condition.assigned {
                Some(assigned) => hash_assigned(*key_type, assigned.typmod, type_oid, format, bytes),
                None => hash(*key_type, type_oid, format, bytes),
            };
            (placement.bucket(hashed), placement.place(hashed))
        }
        TablePlace::List { values, rest, .. } => {
            let Some(bytes) = bytes else { return list(KeyPlace::Nowhere) };
            // Only text of which the column's own spelling is known: words, plain integers.
            let text = std::str::from_utf8(bytes).ok().filter(|_| format == Format::Text);
            let plain = matches!(type_oid, 0 | 25 | 1043)
                || (matches!(type_oid, 20 | 21 | 23) && text.is_some_and(canonical_int));
            list(match text.filter(|_| plain) {
                Some(text) => values
                    .get(text)
                    .or(rest.as_ref().filter(|_| type_oid != 0))
                    .map_or(KeyPlace::Unknown, |&shard| KeyPlace::Shard(shard)),
                None => KeyPlace::Unknown,
            })
        }
        TablePlace::Reference => list(KeyPlace::Unknown),
    }
}

fn canonical_int(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|value| value.to_string() == text)
}

/// The elements of a one-dimensional array in binary format, with their type.
#[allow(clippy::type_complexity)]
fn binary_array(bytes: &[u8]) -> Option<(u32, Vec<Option<Vec<u8>>>)> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(i32::from_be_bytes);
    let (dimensions, element) = (word(0)?, word(8)? as u32);
    if dimensions == 0 {
        return Some((element, Vec::new()));
    }
    if dimensions != 1 {
        return None;
    }
    let count = usize::try_from(word(12)?).ok()?;
    let mut at = 20;
    let mut out = Vec::new();
    for _ in 0..count {
        let length = word(at)?;
        at += 4;
        if length < 0 {
            out.push(None);
            continue;
        }
        let length = length as usize;
        out.push(Some(bytes.get(at..at.checked_add(length)?)?.to_vec()));
        at += length;
    }
    Some((element, out))
}

/// What stands around elements without being of them (`array_isspace`).
const BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\x0b', '\x0c'];

/// The elements of `{a,"b",NULL}`; `None` for what isn't plainly one dimension.
fn text_array(bytes: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches(BLANKS);
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    if inner.trim_matches(BLANKS).is_empty() {
        return Some(Vec::new());
    }
    let mut out = Vec::new();
    let mut rest = inner;
    loop {
        let trimmed = rest.trim_start_matches(BLANKS);
        let (value, after) = match trimmed.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted_element(quoted)?;
                (Some(value), after.trim_start_matches(BLANKS))
            }
            None => {
                let end = trimmed.find(',').unwrap_or(trimmed.len());
                let (word, after) = trimmed.split_at(end);
                let word = word.trim_end_matches(BLANKS);
                if word.is_empty() || word.contains(['{', '}', '"', '\\']) {
                    return None;
                }
                let value = (!word.eq_ignore_ascii_case("null")).then(|| word.as_bytes().to_vec());
                (value, after)
            }
        };
        out.push(value);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(out),
            None => return None,
        }
    }
}

fn quoted_element(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, next)) = chars.next() {
        match next {
            '"' => return Some((value.into_bytes(), text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}
