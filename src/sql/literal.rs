//! The values of string constants.

/// The value of a string token (`'…'`, `E'…'`, `N'…'`, `$$…$$`), continuation lines joined.
/// `None`: not plainly readable (`U&'…'`, or escapes that don't give UTF-8).
pub fn text_value(token: &[u8], standard_strings: bool) -> Option<String> {
    let (prefix, escapes) = match token.first()? {
        b'\'' => (0, !standard_strings),
        b'n' | b'N' => (1, !standard_strings),
        b'e' | b'E' => (1, true),
        b'$' => {
            let mark = token.iter().skip(1).position(|&byte| byte == b'$')? + 2;
            let body = token.get(mark..token.len().checked_sub(mark)?)?;
            return String::from_utf8(body.to_vec()).ok();
        }
        _ => return None,
    };
    let mut value = Vec::new();
    let mut bytes = token.get(prefix + 1..)?.iter().copied().peekable();
    loop {
        match bytes.next()? {
            b'\'' if bytes.peek() == Some(&b'\'') => {
                bytes.next();
                value.push(b'\'');
            }
            b'\'' => {
                // The end, or white space up to the quote that opens the next part.
                let mut comment = false;
                loop {
                    match bytes.next() {
                        None => return String::from_utf8(value).ok(),
                        Some(b'-') => comment = true,
                        Some(b'\n' | b'\r') => comment = false,
                        Some(b'\'') if !comment => break,
                        Some(_) => {}
                    }
                }
            }
            b'\\' if escapes => escape(&mut bytes, &mut value)?,
            byte => value.push(byte),
        }
    }
}

/// What follows a backslash in `E'…'`.
fn escape(bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>, value: &mut Vec<u8>) -> Option<()> {
    let byte = match bytes.next()? {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        first @ b'0'..=b'7' => digits(bytes, 8, 2, u32::from(first - b'0')) as u8,
        b'x' if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => digits(bytes, 16, 2, 0) as u8,
        kind @ (b'u' | b'U') => {
            let code = digits(bytes, 16, if kind == b'u' { 4 } else { 8 }, 0);
            let mut buffer = [0; 4];
            value.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
            return Some(());
        }
        other => other,
    };
    value.push(byte);
    Some(())
}

/// Reads at most `most` digits of base `base`.
fn digits(bytes: &mut std::iter::Peekable<impl Iterator<Item = u8>>, base: u32, most: usize, start: u32) -> u32 {
    let mut number = start;
    for _ in 0..most {
        let Some(digit) = bytes.peek().and_then(|&byte| char::from(byte).to_digit(base)) else { break };
        number = number.wrapping_mul(base) + digit;
        bytes.next();
    }
    number
}
