//! Reads integers and UUIDs in text as PostgreSQL's input functions do.

/// Without the blanks around that C's `isspace` knows.
pub fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let front = text.iter().take_while(blank).count();
    let rest = text.get(front..).unwrap_or(&[]);
    let back = rest.iter().rev().take_while(blank).count();
    rest.get(..rest.len() - back).unwrap_or(&[])
}

/// `int8in` of PostgreSQL 15. `None`: not an int8, or written as only later servers read it.
#[inline]
pub fn int(text: &[u8]) -> Option<i64> {
    digits_with_sign(trim(text))
}

/// A sign and decimal digits, nothing else.
#[inline]
pub fn digits_with_sign(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    // Counted downwards: the least int8 has no positive twin.
    let mut value = 0_i64;
    for byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// `uuid_in`: hexadecimal in any case, a dash allowed after every four digits, braces allowed around.
pub fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut rest = match text {
        [b'{', inner @ .., b'}'] => inner,
        _ => text,
    };
    let mut uuid = [0; 16];
    for (i, byte) in uuid.iter_mut().enumerate() {
        let (&[high, low], after) = rest.split_first_chunk::<2>()?;
        *byte = nibble(high)? << 4 | nibble(low)?;
        rest = match after {
            [b'-', after @ ..] if i % 2 == 1 && i < 15 => after,
            _ => after,
        };
    }
    rest.is_empty().then_some(uuid)
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
