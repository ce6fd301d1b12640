//! PostgreSQL's numeric: its binary and text formats, its order, its hash. Digits are of base 10,000.

use std::cmp::Ordering;

use super::jenkins;

/// Text longer than this isn't read: nobody has such keys.
const LONGEST: usize = 4096;
/// Largest exponent that is read.
const LARGEST_EXPONENT: i64 = 4096;

/// A value without its display scale: equal values are equal here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numeric {
    MinusInfinity,
    Finite {
        negative: bool,
        /// The first digit stands for `digit * 10000^weight`.
        weight: i64,
        /// Without zeros at either end; empty for zero.
        digits: Vec<u16>,
    },
    Infinity,
    Nan,
}

impl Numeric {
    /// By value; zeros at both ends are taken off.
    fn finite(negative: bool, weight: i64, digits: &[u16]) -> Self {
        let leading = digits.iter().take_while(|&&digit| digit == 0).count();
        let rest = digits.get(leading..).unwrap_or(&[]);
        let trailing = rest.iter().rev().take_while(|&&digit| digit == 0).count();
        let digits = rest.get(..rest.len() - trailing).unwrap_or(&[]).to_vec();
        if digits.is_empty() {
            return Self::Finite { negative: false, weight: 0, digits };
        }
        Self::Finite { negative, weight: weight - leading as i64, digits }
    }

    /// The binary format (`numeric_send`). `None`: not one that a server sends, or would take as it stands.
    pub fn from_binary(bytes: &[u8]) -> Option<Self> {
        let (&[n0, n1, w0, w1, s0, s1, d0, d1], digits) = bytes.split_first_chunk::<8>()?;
        let count = usize::from(u16::from_be_bytes([n0, n1]));
        let weight = i64::from(i16::from_be_bytes([w0, w1]));
        let (digits, rest) = digits.as_chunks::<2>();
        if digits.len() != count || !rest.is_empty() {
            return None;
        }
        let negative = match u16::from_be_bytes([s0, s1]) {
            0 => false,
            0x4000 => true,
            0xc000 => return Some(Self::Nan),
            0xd000 => return Some(Self::Infinity),
            0xf000 => return Some(Self::MinusInfinity),
            _ => return None,
        };
        let digits: Vec<u16> = digits.iter().map(|&digit| u16::from_be_bytes(digit)).collect();
        if digits.iter().any(|&digit| digit >= 10_000) {
            return None;
        }
        let value = Self::finite(negative, weight, &digits);
        // `numeric_recv` cuts what the display scale hides.
        (value.scale() <= i64::from(u16::from_be_bytes([d0, d1]))).then_some(value)
    }

    /// The text format (`numeric_in` of PostgreSQL 15; later ones read more). `None`: not read here, or not at all.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let text = super::read::trim(text);
        let (negative, unsigned) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if text.eq_ignore_ascii_case(b"nan") {
            return Some(Self::Nan);
        }
        if unsigned.eq_ignore_ascii_case(b"infinity") || unsigned.eq_ignore_ascii_case(b"inf") {
            return Some(if negative { Self::MinusInfinity } else { Self::Infinity });
        }
        let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => {
                let (mantissa, exponent) = unsigned.split_at_checked(at)?;
                (mantissa, super::read::digits_with_sign(exponent.get(1..)?)?)
            }
            None => (unsigned, 0),
        };
        if exponent.abs() > LARGEST_EXPONENT {
            return None;
        }
        let (whole, part) = match mantissa.iter().position(|&byte| byte == b'.') {
            Some(at) => (mantissa.get(..at)?, mantissa.get(at + 1..)?),
            None => (mantissa, [].as_slice()),
        };
        if whole.is_empty() && part.is_empty() || !whole.iter().chain(part).all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self::from_decimal(negative, whole, part, exponent))
    }

    /// From checked decimal digits before and after the point.
    fn from_decimal(negative: bool, whole: &[u8], part: &[u8], exponent: i64) -> Self {
        // Decimal digits before the point once the exponent is applied, then filled up in front to whole digits.
        let before = whole.len() as i64 + exponent;
        let front = (-before).rem_euclid(4) as usize;
        let weight = (before + front as i64) / 4 - 1;
        let mut digits = Vec::with_capacity((front + whole.len() + part.len()) / 4 + 1);
        let (mut digit, mut filled) = (0_u16, front);
        for byte in whole.iter().chain(part) {
            digit = digit * 10 + u16::from(byte.wrapping_sub(b'0'));
            filled += 1;
            if filled == 4 {
                digits.push(digit);
                (digit, filled) = (0, 0);
            }
        }
        if filled > 0 {
            digits.push((filled..4).fold(digit, |digit, _| digit * 10));
        }
        Self::finite(negative, weight, &digits)
    }

    /// An integer as numeric.
    pub fn from_int(value: i64) -> Self {
        let mut rest = value.unsigned_abs();
        let mut digits = [0; 5];
        for digit in digits.iter_mut().rev() {
            *digit = (rest % 10_000) as u16;
            rest /= 10_000;
        }
        Self::finite(value < 0, 4, &digits)
    }

    /// The int8 of the same value, if there is one.
    pub fn to_int(&self) -> Option<i64> {
        let Self::Finite { negative, weight, digits } = self else { return None };
        if digits.is_empty() {
            return Some(0);
        }
        // Digits after the point: no integer. An int8 has five digits at most.
        if *weight + 1 < digits.len() as i64 || *weight > 4 {
            return None;
        }
        let mut value = 0_i128;
        for place in 0..=*weight {
            let digit = usize::try_from(place).ok().and_then(|place| digits.get(place)).copied().unwrap_or(0);
            value = value * 10_000 + i128::from(digit);
        }
        i64::try_from(if *negative { -value } else { value }).ok()
    }

    /// Decimal digits after the point that aren't zeros at the end.
    pub fn scale(&self) -> i64 {
        let Self::Finite { weight, digits, .. } = self else { return 0 };
        let Some(&last) = digits.last() else { return 0 };
        let zeros = match last {
            last if last % 1000 == 0 => 3,
            last if last % 100 == 0 => 2,
            last if last % 10 == 0 => 1,
            _ => 0,
        };
        ((digits.len() as i64 - 1 - weight) * 4 - zeros).max(0)
    }

    /// `hash_numeric_extended(value, 0)`.
    pub fn hash(&self) -> u64 {
        let Self::Finite { weight, digits, .. } = self else { return 0 };
        if digits.is_empty() {
            return u64::MAX;
        }
        let bytes: Vec<u8> = digits.iter().flat_map(|digit| digit.to_le_bytes()).collect();
        jenkins::hash_bytes(&bytes) ^ *weight as u64
    }

    /// `cmp_numerics`: NaN on top, equal to itself.
    pub fn compare(&self, other: &Self) -> Ordering {
        let sign = |value: &Self| match value {
            Self::MinusInfinity => -2,
            Self::Finite { digits, .. } if digits.is_empty() => 0,
            Self::Finite { negative: true, .. } => -1,
            Self::Finite { .. } => 1,
            Self::Infinity => 2,
            Self::Nan => 3,
        };
        let by_sign = sign(self).cmp(&sign(other));
        match (self, other) {
            (
                Self::Finite { negative, weight, digits },
                Self::Finite { weight: other_weight, digits: other_digits, .. },
            ) if by_sign == Ordering::Equal => {
                let size = weight.cmp(other_weight).then_with(|| digits.cmp(other_digits));
                if *negative { size.reverse() } else { size }
            }
            _ => by_sign,
        }
    }
}

/// `cmp_numerics` on the binary format, without copying. `None`: not of that format.
pub fn compare_binary(left: &[u8], right: &[u8]) -> Option<Ordering> {
    let (left, right) = (Wire::of(left)?, Wire::of(right)?);
    let by_class = left.class.cmp(&right.class);
    let by_size = || left.weight.cmp(&right.weight).then_with(|| left.digits.cmp(right.digits));
    Some(by_class.then_with(|| match left.class {
        Class::Negative => by_size().reverse(),
        Class::Positive => by_size(),
        _ => Ordering::Equal,
    }))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    MinusInfinity,
    Negative,
    Zero,
    Positive,
    Infinity,
    Nan,
}

/// A value in the binary format, its digits without zeros at either end.
struct Wire<'a> {
    class: Class,
    weight: i64,
    /// Most significant byte first, so that they compare as they stand.
    digits: &'a [[u8; 2]],
}

impl<'a> Wire<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (&[_, _, w0, w1, s0, s1, _, _], digits) = bytes.split_first_chunk::<8>()?;
        let (all, _) = digits.as_chunks::<2>();
        let zero = |digit: &&[u8; 2]| **digit == [0, 0];
        let leading = all.iter().take_while(zero).count();
        let rest = all.get(leading..)?;
        let digits = rest.get(..rest.len() - rest.iter().rev().take_while(zero).count())?;
        let class = match u16::from_be_bytes([s0, s1]) {
            0 | 0x4000 if digits.is_empty() => Class::Zero,
            0 => Class::Positive,
            0x4000 => Class::Negative,
            0xc000 => Class::Nan,
            0xd000 => Class::Infinity,
            0xf000 => Class::MinusInfinity,
            _ => return None,
        };
        Some(Self { class, weight: i64::from(i16::from_be_bytes([w0, w1])) - leading as i64, digits })
    }
}
