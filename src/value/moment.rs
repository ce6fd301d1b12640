//! Reads dates and timestamps whose text means the same under every DateStyle and TimeZone.

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const EPOCH: i64 = 10_957;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// `YYYY-MM-DD` as days since 2000-01-01.
pub fn date(text: &[u8]) -> Option<i32> {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else { return None };
    let year = number(&[y0, y1, y2, y3])?;
    let month = number(&[m0, m1])?;
    let day = number(&[d0, d1])?;
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_of(year, month) {
        return None;
    }
    // Days from civil (Howard Hinnant): years begin in March, so that the leap day is the last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let year_of_era = shifted % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468 - EPOCH).ok()
}

/// `YYYY-MM-DD`, or with ` HH:MM:SS` and up to six digits of a second, as microseconds since 2000-01-01; infinities.
pub fn timestamp(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => return Some(i64::MAX),
        b"-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (day, rest) = text.split_at_checked(10)?;
    let day = i64::from(date(day)?) * DAY;
    match rest {
        [] => Some(day),
        [b' ' | b'T', time @ ..] => Some(day + time_of_day(time)?),
        _ => None,
    }
}

/// As `timestamp`, with an offset in numbers, without which its meaning is the session's.
pub fn timestamptz(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => return Some(i64::MAX),
        b"-infinity" => return Some(i64::MIN),
        _ => {}
    }
    // The date has dashes too; a time begins at the twelfth byte.
    let sign = 11 + text.get(11..)?.iter().position(|byte| matches!(byte, b'+' | b'-'))?;
    let (local, offset) = text.split_at_checked(sign)?;
    let east = match offset {
        [b'+', ..] => 1,
        _ => -1,
    };
    let seconds = match *offset.get(1..)? {
        [h0, h1] => number(&[h0, h1])? * 3600,
        [h0, h1, b':', m0, m1] => number(&[h0, h1])? * 3600 + sixtieth(m0, m1)? * 60,
        [h0, h1, b':', m0, m1, b':', s0, s1] => number(&[h0, h1])? * 3600 + sixtieth(m0, m1)? * 60 + sixtieth(s0, s1)?,
        _ => return None,
    };
    // The server's own limit is a second below sixteen hours.
    if seconds >= 16 * 3600 {
        return None;
    }
    Some(timestamp(local)? - east * seconds * SECOND)
}

/// `HH:MM:SS` with up to six digits of a second, in microseconds. Midnight as 24:00 and leap seconds aren't read.
fn time_of_day(text: &[u8]) -> Option<i64> {
    let (&[h0, h1, b':', m0, m1, b':', s0, s1], rest) = text.split_first_chunk::<8>()? else { return None };
    let hour = number(&[h0, h1])?;
    if hour > 23 {
        return None;
    }
    let micros = match rest {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
            (digits.len()..6).fold(number(digits)?, |micros, _| micros * 10)
        }
        _ => return None,
    };
    Some((hour * 3600 + sixtieth(m0, m1)? * 60 + sixtieth(s0, s1)?) * SECOND + micros)
}

fn sixtieth(tens: u8, ones: u8) -> Option<i64> {
    number(&[tens, ones]).filter(|&value| value < 60)
}

/// Decimal digits only; callers give few.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
