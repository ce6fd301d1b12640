//! What the body of a function of users says by its words: which names stand in it, and what a trigger does with its row.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::sql::{Lexer, Token, TokenKind};

/// Stands among the words where a statement of the body sets a setting: no name has a blank in it.
pub const SETS: &str = "set ";

/// A body in SQL or PL/pgSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// All names, keywords and operators in it, as the catalog spells them.
    pub words: Arc<[String]>,
    /// As a trigger before each row it may put another row in NEW's place, and not only change columns that it names.
    pub replaces_row: bool,
    /// As one it may leave the row out.
    pub skips_row: bool,
}

impl Body {
    /// `None`: it can't be read.
    pub fn read(body: &str) -> Option<Self> {
        let bytes = body.as_bytes();
        let mut words = BTreeSet::new();
        let mut tokens = Vec::new();
        for token in Lexer::new(bytes, true) {
            match token.kind {
                TokenKind::Space | TokenKind::Comment => continue,
                TokenKind::UnicodeQuoted | TokenKind::Error => return None,
                TokenKind::Word | TokenKind::Quoted => {
                    words.insert(token.name(bytes));
                }
                TokenKind::Operator => {
                    words.insert(String::from_utf8_lossy(token.bytes(bytes)).into_owned());
                }
                _ => {}
            }
            tokens.push(token);
        }
        let tokens = Tokens { bytes, tokens: &tokens };
        if tokens.set() {
            words.insert(SETS.to_owned());
        }
        Some(Self {
            words: words.into_iter().collect(),
            replaces_row: tokens.replaces_row(),
            skips_row: tokens.returns("null"),
        })
    }

    /// Whether it has this word.
    pub fn has(&self, word: &str) -> bool {
        self.words.binary_search_by(|other| other.as_str().cmp(word)).is_ok()
    }
}

struct Tokens<'a> {
    bytes: &'a [u8],
    tokens: &'a [Token],
}

impl Tokens<'_> {
    fn is(&self, at: Option<usize>, text: &str) -> bool {
        let token = at.and_then(|at| self.tokens.get(at));
        token.is_some_and(|token| token.bytes(self.bytes).eq_ignore_ascii_case(text.as_bytes()))
    }

    fn places(&self, word: &str) -> impl Iterator<Item = usize> {
        (0..self.tokens.len()).filter(move |&at| self.is(Some(at), word))
    }

    /// SET where a statement begins.
    fn set(&self) -> bool {
        self.places("set").any(|at| {
            let before = at.checked_sub(1);
            before.is_none() || [";", "begin", "then", "else", "loop"].iter().any(|word| self.is(before, word))
        })
    }

    /// `RETURN word;`
    fn returns(&self, word: &str) -> bool {
        self.places("return").any(|at| self.is(Some(at + 1), word) && self.is(Some(at + 2), ";"))
    }

    /// NEW stands elsewhere than before a dot and behind RETURN, or RETURN gives something that is neither NEW, OLD nor NULL.
    fn replaces_row(&self) -> bool {
        let used = self.places("new").any(|at| !self.is(Some(at + 1), ".") && !self.is(at.checked_sub(1), "return"));
        let plain = |at: usize| {
            ["new", "old", "null"].iter().any(|word| self.is(Some(at + 1), word)) && self.is(Some(at + 2), ";")
        };
        used || self.places("return").any(|at| !plain(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_rows_are_seen() {
        for (text, replaces, skips, sets) in [
            ("BEGIN NEW.a := upper(NEW.b); RETURN NEW; END", false, false, false),
            ("BEGIN IF NEW.a THEN RETURN NULL; END IF; RETURN NEW; END", false, true, false),
            ("BEGIN RETURN OLD; END", false, false, false),
            ("BEGIN NEW := OLD; RETURN NEW; END", true, false, false),
            ("BEGIN RETURN row(7, NEW.b); END", true, false, false),
            ("BEGIN RETURN r; END", true, false, false),
            ("BEGIN SELECT * INTO NEW FROM x; RETURN NEW; END", true, false, false),
            ("BEGIN RETURN NEW.a; END", true, false, false),
            ("BEGIN set timezone = 'x'; RETURN NEW; END", false, false, true),
            ("UPDATE t SET a = 1", false, false, false),
            ("SET LOCAL ROLE x", false, false, true),
            ("BEGIN IF x THEN SET a.b = 1; END IF; RETURN NEW; END", false, false, true),
        ] {
            let body = Body::read(text).unwrap();
            assert_eq!((body.replaces_row, body.skips_row, body.has(SETS)), (replaces, skips, sets), "{text}");
        }
        let body = Body::read("select \"Odd\" === lower($1) -- comment\n from t").unwrap();
        for word in ["Odd", "===", "lower", "select", "t"] {
            assert!(body.has(word), "{word}");
        }
        assert!(!body.has("comment"));
        assert_eq!(Body::read("select U&\"t\""), None);
    }
}
