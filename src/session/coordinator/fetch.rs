//! What FETCH, MOVE and CLOSE ask for, and where it takes a cursor.

use crate::sql::{Lexer, TokenKind};

/// FETCH, MOVE or CLOSE of one cursor.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    /// `fetch`, `move`, `close`
    pub word: String,
    pub name: String,
    pub way: Way,
}

/// The direction, as `FetchStmt` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// So many rows forwards; negative: backwards. [`ALL`]: all.
    Rows(i64),
    Absolute(i64),
    Relative(i64),
}

/// All rows that are left.
pub(super) const ALL: i64 = i64::MAX;

/// A cursor over `n` rows stands before the first (0), on one, or behind the last (n + 1).
pub(super) type Place = u64;

/// `FETCH [direction] [FROM | IN] name`. `None`: not read.
pub(super) fn read(sql: &str) -> Option<Asked> {
    let bytes = sql.as_bytes();
    let tokens: Vec<_> = Lexer::new(bytes, true)
        .filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment | TokenKind::Semicolon))
        .collect();
    let (first, rest) = tokens.split_first()?;
    let (last, middle) = rest.split_last()?;
    let words: Vec<String> =
        middle.iter().map(|token| String::from_utf8_lossy(token.bytes(bytes)).to_ascii_lowercase()).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    if matches!(words.last(), Some(&("from" | "in"))) {
        words.pop();
    }
    Some(Asked { word: first.name(bytes).to_ascii_lowercase(), name: last.name(bytes), way: way(&words)? })
}

fn way(words: &[&str]) -> Option<Way> {
    let number = |words: &[&str]| match words {
        ["-", digits] => digits.parse::<i64>().ok().map(|n| -n),
        ["+", digits] | [digits] => digits.parse::<i64>().ok(),
        _ => None,
    };
    Some(match words {
        [] | ["next" | "forward"] => Way::Rows(1),
        ["prior" | "backward"] => Way::Rows(-1),
        ["all"] | ["forward", "all"] => Way::Rows(ALL),
        ["backward", "all"] => Way::Rows(-ALL),
        ["first"] => Way::Absolute(1),
        ["last"] => Way::Absolute(-1),
        ["absolute", rest @ ..] => Way::Absolute(number(rest)?),
        ["relative", rest @ ..] => Way::Relative(number(rest)?),
        ["forward", rest @ ..] => Way::Rows(number(rest)?),
        ["backward", rest @ ..] => Way::Rows(number(rest)?.checked_neg()?),
        rest => Way::Rows(number(rest)?),
    })
}

/// From where to where a cursor over `rows` rows goes (`DoPortalRunFetch`): the rows that are given, in their order
/// (from 1), and its new place.
pub(super) fn walk(way: Way, at: Place, rows: u64) -> (Vec<std::ops::RangeInclusive<u64>>, bool, Place) {
    let on_row = at >= 1 && at <= rows;
    let one = |to: i64| match u64::try_from(to) {
        Ok(to) if to >= 1 && to <= rows => (vec![to..=to], false, to),
        Ok(0) | Err(_) => (vec![], false, 0),
        Ok(_) => (vec![], false, rows + 1),
    };
    let signed = |place: u64| i64::try_from(place).unwrap_or(i64::MAX);
    match way {
        Way::Rows(0) | Way::Relative(0) if on_row => (vec![at..=at], false, at),
        Way::Rows(0) | Way::Relative(0) => (vec![], false, at),
        Way::Rows(count) if count > 0 => {
            let last = at.saturating_add(count.unsigned_abs());
            let given = at + 1..=last.min(rows);
            (vec![given], false, last.min(rows + 1))
        }
        Way::Rows(count) => {
            let first = at.saturating_sub(count.unsigned_abs());
            (vec![first.max(1)..=at.saturating_sub(1)], true, first)
        }
        Way::Relative(count) => one(signed(at).saturating_add(count)),
        Way::Absolute(count) if count >= 0 => one(count),
        Way::Absolute(count) => one(signed(rows).saturating_add(1).saturating_add(count)),
    }
}

/// The farthest row that must be known to go there. `None`: all rows.
pub(super) fn reach(way: Way, at: Place) -> Option<u64> {
    match way {
        Way::Rows(ALL) => None,
        Way::Rows(count) if count > 0 => Some(at.saturating_add(count.unsigned_abs())),
        Way::Relative(count) if count > 0 => Some(at.saturating_add(count.unsigned_abs())),
        Way::Absolute(count) if count >= 0 => Some(count.unsigned_abs()),
        Way::Absolute(_) => None,
        _ => Some(at),
    }
}

/// Whether a cursor that stands there must go back for it.
pub(super) fn backwards(way: Way, at: Place) -> bool {
    match way {
        Way::Rows(count) | Way::Relative(count) => count < 0 || (count == 0 && at > 0),
        Way::Absolute(count) => count < 0 || (at > 0 && count.unsigned_abs() <= at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_read() {
        let way = |sql: &str| read(sql).map(|asked| asked.way);
        assert_eq!(way("FETCH c"), Some(Way::Rows(1)));
        assert_eq!(way("fetch -3 in c;"), Some(Way::Rows(-3)));
        assert_eq!(way("MOVE BACKWARD ALL FROM \"C\""), Some(Way::Rows(-ALL)));
        assert_eq!(way("FETCH ABSOLUTE -2 FROM c"), Some(Way::Absolute(-2)));
        assert_eq!(way("FETCH LAST c"), Some(Way::Absolute(-1)));
        assert_eq!(way("FETCH sideways FROM c"), None);
        assert_eq!(read("CLOSE \"My C\"").map(|asked| asked.name).as_deref(), Some("My C"));
    }

    #[test]
    fn cursors_walk() {
        assert_eq!(walk(Way::Rows(3), 0, 5), (vec![1..=3], false, 3));
        assert_eq!(walk(Way::Rows(3), 3, 5), (vec![4..=5], false, 6));
        assert_eq!(walk(Way::Rows(2), 3, 5), (vec![4..=5], false, 5));
        assert_eq!(walk(Way::Rows(-2), 6, 5), (vec![4..=5], true, 4));
        assert_eq!(walk(Way::Absolute(-1), 0, 5), (vec![5..=5], false, 5));
        assert_eq!(walk(Way::Absolute(9), 0, 5), (vec![], false, 6));
        assert_eq!(walk(Way::Relative(-9), 3, 5), (vec![], false, 0));
    }
}
