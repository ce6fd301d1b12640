//! The order of PostgreSQL's btree operator classes, on values as they come over the wire.

use std::cmp::Ordering;
use std::sync::Arc;

use super::collation::Order;
use super::key::Format;
use super::libc_collation::Locale;
use super::{numeric, oid};

const MICROS_A_DAY: i128 = 86_400_000_000;

/// Compares two values that aren't NULL.
#[derive(Clone, Debug)]
pub struct Comparator {
    rule: Rule,
    /// For text under a collation of the C library; `None`: by bytes.
    locale: Option<Arc<Locale>>,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    /// bool, "char", oid, bytea, uuid, MAC addresses, LSNs
    Bytes,
    Text,
    Bpchar,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Timetz,
    Interval,
    Inet,
}

/// A comparator for values of a built-in type. `order`: the collation's, for text. `None`: not known here; the values
/// must be sorted by a server. Values that aren't text must come in binary.
pub fn comparator(type_oid: u32, format: Format, order: Option<&Order>) -> Option<Comparator> {
    let text = |rule| collated(rule, order?);
    let plain = |rule| Some(Comparator { rule, locale: None });
    match type_oid {
        oid::TEXT | oid::VARCHAR | oid::NAME => return text(Rule::Text),
        oid::BPCHAR => return text(Rule::Bpchar),
        _ if format == Format::Text => return None,
        _ => {}
    }
    match type_oid {
        oid::BOOL | oid::CHAR | oid::OID | oid::BYTEA | oid::UUID => plain(Rule::Bytes),
        oid::MACADDR | oid::MACADDR8 | oid::PG_LSN => plain(Rule::Bytes),
        oid::INT2 => plain(Rule::Int2),
        oid::INT4 | oid::DATE => plain(Rule::Int4),
        oid::INT8 | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::MONEY => plain(Rule::Int8),
        oid::FLOAT4 => plain(Rule::Float4),
        oid::FLOAT8 => plain(Rule::Float8),
        oid::NUMERIC => plain(Rule::Numeric),
        oid::TIMETZ => plain(Rule::Timetz),
        oid::INTERVAL => plain(Rule::Interval),
        oid::INET | oid::CIDR => plain(Rule::Inet),
        _ => None,
    }
}

fn collated(rule: Rule, order: &Order) -> Option<Comparator> {
    let locale = match order {
        Order::Bytes => None,
        Order::Libc { locale, .. } if matches!(locale.as_str(), "C" | "POSIX") => None,
        // By code point, which for UTF-8 is by bytes, in every release that has it; servers give it no version.
        Order::Libc { locale, .. } if matches!(locale.as_str(), "C.UTF-8" | "C.utf8") => None,
        Order::Libc { locale, version } => Some(Arc::new(Locale::open(locale, version.as_deref()?)?)),
        Order::Icu { .. } => return None,
    };
    Some(Comparator { rule, locale })
}

impl Comparator {
    /// Values that aren't of the type's form, which no server sends, are ordered by their bytes.
    #[inline]
    pub fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        let known = match self.rule {
            Rule::Bytes => return left.cmp(right),
            Rule::Text => return self.text(left, right),
            Rule::Bpchar => return self.text(without_blanks(left), without_blanks(right)),
            Rule::Int2 => by(left, right, |value| value.try_into().ok().map(i16::from_be_bytes)),
            Rule::Int4 => by(left, right, |value| value.try_into().ok().map(i32::from_be_bytes)),
            Rule::Int8 => by(left, right, |value| value.try_into().ok().map(i64::from_be_bytes)),
            Rule::Float4 => floats(left, right, |value| value.try_into().ok().map(f32::from_be_bytes).map(f64::from)),
            Rule::Float8 => floats(left, right, |value| value.try_into().ok().map(f64::from_be_bytes)),
            Rule::Numeric => numeric::compare_binary(left, right),
            Rule::Timetz => by(left, right, timetz),
            Rule::Interval => by(left, right, interval),
            Rule::Inet => inet(left, right),
        };
        known.unwrap_or_else(|| left.cmp(right))
    }

    fn text(&self, left: &[u8], right: &[u8]) -> Ordering {
        match &self.locale {
            None => left.cmp(right),
            Some(locale) => locale.compare(left, right),
        }
    }
}

#[inline]
fn by<T: Ord>(left: &[u8], right: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Option<Ordering> {
    Some(read(left)?.cmp(&read(right)?))
}

/// `float8_cmp_internal`: NaN is greatest and equal to NaN, -0 is 0.
#[inline]
fn floats(left: &[u8], right: &[u8], read: impl Fn(&[u8]) -> Option<f64>) -> Option<Ordering> {
    let (left, right) = (read(left)?, read(right)?);
    Some(left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan())))
}

/// `timetz_cmp_internal`: by the moment in UTC, then by zone (seconds west).
fn timetz(value: &[u8]) -> Option<(i64, i32)> {
    let (&micros, zone) = value.split_first_chunk::<8>()?;
    let zone = i32::from_be_bytes(zone.try_into().ok()?);
    Some((i64::from_be_bytes(micros).checked_add(i64::from(zone) * 1_000_000)?, zone))
}

/// `interval_cmp_value`: a month is thirty days, a day 24 hours.
fn interval(value: &[u8]) -> Option<i128> {
    let (&micros, rest) = value.split_first_chunk::<8>()?;
    let (&days, months) = rest.split_first_chunk::<4>()?;
    let days = i128::from(i32::from_be_bytes(days)) + 30 * i128::from(i32::from_be_bytes(months.try_into().ok()?));
    Some(i128::from(i64::from_be_bytes(micros)) + days * MICROS_A_DAY)
}

/// `network_cmp_internal`: family; the bits that both networks have; the shorter network; the whole address.
fn inet(left: &[u8], right: &[u8]) -> Option<Ordering> {
    let (left_family, left_bits, left) = address(left)?;
    let (right_family, right_bits, right) = address(right)?;
    if left_family != right_family {
        return Some(left_family.cmp(&right_family));
    }
    let common = left_bits.min(right_bits);
    let prefix = |address: &[u8]| -> Vec<u8> {
        let kept = |i: usize| usize::from(common).saturating_sub(i * 8).min(8);
        address.iter().enumerate().map(|(i, byte)| byte & !(0xff_u16 >> kept(i)) as u8).collect()
    };
    Some(prefix(left).cmp(&prefix(right)).then(left_bits.cmp(&right_bits)).then_with(|| left.cmp(right)))
}

/// Family, bits and the address; the third byte tells a cidr, which doesn't matter to the order.
fn address(value: &[u8]) -> Option<(u8, u8, &[u8])> {
    match *value {
        [family, bits, _, length, ref address @ ..] if address.len() == usize::from(length) => {
            Some((family, bits, address))
        }
        _ => None,
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|&&byte| byte == b' ').count();
    text.get(..text.len() - blanks).unwrap_or(&[])
}
