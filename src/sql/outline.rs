//! A text with its plain literals left open, to know texts that differ in nothing else without cutting them into tokens.

use super::lexer::Lexer;
use super::token::TokenKind;

/// A statement's text and where its plain literals are: decimal digits alone, and `'…'` with neither quotes nor backslashes
/// within. A text that agrees with it everywhere else has the same fingerprint.
///
/// For the lexer goes over both texts in one state. At a literal's place it finds, in both, a run of digits and then the same
/// byte, by which the number ends (it isn't one that may go on with a number); or a quote, bytes that neither end nor escape
/// a string, a quote, and then the same byte again, which tells whether the string goes on. Of a literal's value the
/// fingerprint knows nothing.
#[derive(Debug)]
pub struct Outline {
    text: Box<[u8]>,
    literals: Box<[Literal]>,
}

/// What is left open: bytes `start..end` of the text.
#[derive(Debug)]
struct Literal {
    start: u32,
    end: u32,
    /// What stands between quotes; else digits.
    quoted: bool,
}

impl Outline {
    /// Of a text that has a fingerprint.
    pub fn new(sql: &[u8], standard_strings: bool) -> Self {
        let literals = Lexer::new(sql, standard_strings).filter_map(|token| {
            let (start, end) = (token.start, token.end);
            match (token.kind, token.bytes(sql)) {
                (TokenKind::Number, digits) if digits.iter().all(u8::is_ascii_digit) => {
                    Some(Literal { start, end, quoted: false })
                }
                (TokenKind::Text, [b'\'', body @ .., b'\'']) if body_end(body).is_none() => {
                    Some(Literal { start: start + 1, end: end - 1, quoted: true })
                }
                _ => None,
            }
        });
        Self { literals: literals.collect(), text: sql.into() }
    }

    /// How many literals are left open.
    pub fn open(&self) -> usize {
        self.literals.len()
    }

    /// Whether `sql` differs from the text in literals alone.
    #[inline]
    pub fn fits(&self, sql: &[u8]) -> bool {
        let (mut known, mut rest) = (0, sql);
        for literal in &self.literals {
            let fixed = self.text.get(known..literal.start as usize).unwrap_or_default();
            let Some(behind) = rest.strip_prefix(fixed) else { return false };
            let Some(length) = literal.length(behind) else { return false };
            rest = behind.get(length..).unwrap_or_default();
            known = literal.end as usize;
        }
        self.text.get(known..) == Some(rest)
    }

    /// What a text that fits has in the places left open: digits, or what stands between quotes (then true).
    pub fn values<'a>(&'a self, sql: &'a [u8]) -> impl Iterator<Item = (&'a [u8], bool)> + 'a {
        let (mut known, mut at) = (0, 0);
        self.literals.iter().map_while(move |literal| {
            at += (literal.start - known) as usize;
            known = literal.end;
            let rest = sql.get(at..)?;
            let value = rest.get(..literal.length(rest)?)?;
            at += value.len();
            Some((value, literal.quoted))
        })
    }
}

impl Literal {
    /// How far a value in its place goes. `None`: there is none.
    #[inline]
    fn length(&self, rest: &[u8]) -> Option<usize> {
        if self.quoted {
            return body_end(rest);
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(digits)
    }
}

/// Where what can't stand in a plain string is. (Where it isn't a quote, what follows the literal doesn't agree.)
fn body_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr3(b'\'', b'\\', 0, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::fingerprint::{FingerprintKey, fingerprint};

    fn print(sql: &[u8], standard_strings: bool) -> Option<u128> {
        fingerprint(sql, &FingerprintKey::new(7), standard_strings)
    }

    fn fits(known: &str, given: &str) -> bool {
        print(known.as_bytes(), true).is_some() && Outline::new(known.as_bytes(), true).fits(given.as_bytes())
    }

    #[test]
    fn literals_alone_may_differ() {
        for (known, given, same) in [
            ("SELECT 1", "SELECT 1", true),
            ("SELECT 1", "SELECT 22", true),
            ("SELECT 1", "SELECT 1 ", false),
            ("SELECT 1", "SELECT ", false),
            ("SELECT 1", "SELECT 1.5", false),
            ("SELECT 1", "SELECT 1e5", false),
            ("SELECT 1", "SELECT 0x1F", false),
            ("SELECT 1", "SELECT 1_000", false),
            ("SELECT 1..2", "SELECT 17..2", true),
            ("SELECT 1.5", "SELECT 1.5", true),
            ("SELECT 1.5", "SELECT 2.5", false),
            ("SELECT $1", "SELECT $1", true),
            ("SELECT $1", "SELECT $2", false),
            ("SELECT a1", "SELECT a2", false),
            ("SELECT 'a'", "SELECT ''", true),
            ("SELECT ''", "SELECT 'x -- y'", true),
            ("SELECT 'a'", "SELECT 'it''s'", false),
            ("SELECT 'a'", r"SELECT '\'", false),
            ("SELECT 'a', 'b'", "SELECT 'a'', ''b'", false),
            ("SELECT 'a'", "SELECT 'a", false),
            ("SELECT E'a'", "SELECT E'b'", false),
            ("SELECT 'a'\n'b'", "SELECT 'a'\n'b'", true),
            ("SELECT 'a'\n'b'", "SELECT 'b'\n'b'", false),
            ("SELECT $$a$$", "SELECT $$b$$", false),
            ("SELECT \"1\"", "SELECT \"2\"", false),
            ("SELECT 1 -- 2", "SELECT 1 -- 3", false),
            ("BEGIN", "BEGIN", true),
            ("BEGIN", "begin", false),
            ("SET x = 1", "SET x = 1", false),
        ] {
            assert_eq!(fits(known, given), same, "{known:?} and {given:?}");
        }
    }

    #[test]
    fn values_are_those_of_the_text() {
        let outline = Outline::new(b"SELECT 1, 'a', 1.5, $1 WHERE x = 22 AND y = 'b'", true);
        let given = b"SELECT 77, 'it', 1.5, $1 WHERE x = 0 AND y = ''";
        assert!(outline.fits(given));
        let values: Vec<_> = outline.values(given).collect();
        assert_eq!(values, [(&b"77"[..], false), (b"it", true), (b"0", false), (b"", true)]);
        assert_eq!(outline.open(), values.len());
    }

    proptest! {
        #[test]
        fn what_fits_has_the_same_fingerprint(
            known in r#"([a-z$_.(),;:+=-]{1,3}|[0-9]{1,3}|[xeb.]?'[a'\\]{0,3}'?|"[a0]"?|[ \n]|--|/\*|\*/|\$\$){1,12}"#,
            numbers in prop::collection::vec(r"[0-9a_.'\\]{0,3}", 8),
            standard_strings: bool,
        ) {
            let known = known.as_bytes();
            let Some(same) = print(known, standard_strings) else { return Ok(()) };
            let outline = Outline::new(known, standard_strings);
            prop_assert!(outline.fits(known));
            let mut given = Vec::new();
            let mut at = 0;
            for (literal, other) in outline.literals.iter().zip(&numbers) {
                given.extend_from_slice(&known[at..literal.start as usize]);
                given.extend_from_slice(other.as_bytes());
                at = literal.end as usize;
            }
            given.extend_from_slice(&known[at..]);
            if outline.fits(&given) {
                prop_assert_eq!(print(&given, standard_strings), Some(same), "{:?}", String::from_utf8_lossy(&given));
            }
        }
    }
}
