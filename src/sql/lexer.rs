//! Cuts SQL text into tokens exactly as PostgreSQL's `scan.l` (versions 14 to 18) does.
//!
//! Where versions differ (junk after a number, `\v` as space) the newer reading, or an error, is taken: none of the
//! differences moves the end of a string or a comment, so nothing can hide in them.

use super::token::{Token, TokenKind};

const SPACE: u8 = 1;
const IDENT_START: u8 = 2;
const DIGIT: u8 = 4;
const OPERATOR: u8 = 8;

/// The classes that each byte belongs to.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80..=0xff => IDENT_START,
            b'0'..=b'9' => DIGIT,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<'
            | b'>' | b'=' => OPERATOR,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// Whether `byte` is of one of the classes `mask`. The index is a byte: always inside the table.
fn class(byte: u8, mask: u8) -> bool {
    CLASS[byte as usize] & mask != 0
}

fn is_ident(byte: u8) -> bool {
    class(byte, IDENT_START | DIGIT) || byte == b'$'
}

/// An iterator over all tokens of a text, spaces and comments included: their bytes cover the text without a gap.
#[derive(Clone)]
pub struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
    standard_strings: bool,
}

impl<'a> Lexer<'a> {
    /// `standard_strings` is the session's `standard_conforming_strings`. Texts of 4 GiB and more are one error.
    pub fn new(sql: &'a [u8], standard_strings: bool) -> Self {
        Self { sql, at: 0, standard_strings }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    /// Moves on while the bytes satisfy `want`.
    fn skip(&mut self, want: impl Fn(u8) -> bool) {
        while let Some(&byte) = self.sql.get(self.at) {
            if !want(byte) {
                break;
            }
            self.at += 1;
        }
    }

    /// Moves over one token and tells its kind. `None`: not a token; the rest of the text is an error.
    fn scan(&mut self, first: u8) -> Option<TokenKind> {
        if class(first, SPACE) {
            self.skip(|byte| class(byte, SPACE));
            return Some(TokenKind::Space);
        }
        if class(first, IDENT_START) {
            return self.word(first);
        }
        if class(first, DIGIT) {
            return self.number();
        }
        if class(first, OPERATOR) {
            return self.operator(first);
        }
        let symbol = |lexer: &mut Self, length: usize, kind| {
            lexer.at += length;
            Some(kind)
        };
        match first {
            b'(' => symbol(self, 1, TokenKind::LeftParen),
            b')' => symbol(self, 1, TokenKind::RightParen),
            b',' => symbol(self, 1, TokenKind::Comma),
            b';' => symbol(self, 1, TokenKind::Semicolon),
            b'[' | b']' => symbol(self, 1, TokenKind::Symbol),
            b':' => symbol(self, 1 + usize::from(matches!(self.peek(1), Some(b':' | b'='))), TokenKind::Symbol),
            b'.' if self.peek(1).is_some_and(|byte| class(byte, DIGIT)) => self.number(),
            b'.' if self.peek(1) == Some(b'.') => symbol(self, 2, TokenKind::Symbol),
            b'.' => symbol(self, 1, TokenKind::Dot),
            b'\'' => self.text(0, !self.standard_strings, true),
            b'"' => self.quoted(0, TokenKind::Quoted),
            b'$' => self.dollar(),
            _ => None,
        }
    }

    fn word(&mut self, first: u8) -> Option<TokenKind> {
        match (first | 0x20, self.peek(1)) {
            (b'e', Some(b'\'')) => return self.text(1, true, true),
            (b'n', Some(b'\'')) => return self.text(1, !self.standard_strings, true),
            (b'b' | b'x', Some(b'\'')) => return self.text(1, false, false).map(|_| TokenKind::Bits),
            (b'u', Some(b'&')) => match self.peek(2) {
                // PostgreSQL refuses it without standard_conforming_strings.
                Some(b'\'') if self.standard_strings => return self.text(2, false, true),
                Some(b'\'') => return None,
                Some(b'"') => return self.quoted(2, TokenKind::UnicodeQuoted),
                _ => {}
            },
            _ => {}
        }
        self.skip(is_ident);
        Some(TokenKind::Word)
    }

    /// A string whose opening quote is `prefix` bytes ahead, with those that continue it on later lines.
    fn text(&mut self, prefix: usize, backslashes: bool, doubled: bool) -> Option<TokenKind> {
        self.at += prefix + 1;
        loop {
            match self.peek(0)? {
                b'\\' if backslashes => {
                    self.peek(1).filter(|&byte| byte != 0)?;
                    self.at += 2;
                }
                0 => return None,
                b'\'' if doubled && self.peek(1) == Some(b'\'') => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    match self.continuation() {
                        Some(next) => self.at = next,
                        None => return Some(TokenKind::Text),
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// Where a string goes on whose closing quote was just passed: `quotecontinue` of `scan.l`, white space with a
    /// newline in it (and comments with `--`), then a quote.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut newline = false;
        loop {
            match *self.sql.get(at)? {
                b'\n' | b'\r' => {
                    newline = true;
                    at += 1;
                }
                byte if class(byte, SPACE) => at += 1,
                b'-' if self.sql.get(at + 1) == Some(&b'-') => {
                    let rest = self.sql.get(at..)?;
                    // The comment's own newline must follow.
                    at += memchr::memchr2(b'\n', b'\r', rest)?;
                }
                b'\'' if newline => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn quoted(&mut self, prefix: usize, kind: TokenKind) -> Option<TokenKind> {
        self.at += prefix + 1;
        let start = self.at;
        loop {
            match self.peek(0)? {
                b'"' if self.peek(1) == Some(b'"') => self.at += 2,
                // PostgreSQL: zero-length delimited identifier.
                b'"' if self.at == start => return None,
                b'"' => {
                    self.at += 1;
                    return Some(kind);
                }
                0 => return None,
                _ => self.at += 1,
            }
        }
    }

    /// `$1`, or a string between dollar signs. The closing mark is the next place where the opening one occurs: a tag
    /// holds no dollar sign, so no occurrence can overlap another mark.
    fn dollar(&mut self) -> Option<TokenKind> {
        let rest = self.sql.get(self.at + 1..)?;
        let first = *rest.first()?;
        if class(first, DIGIT) {
            self.at += 1;
            self.skip(|byte| class(byte, DIGIT));
            return self.no_junk(TokenKind::Param);
        }
        let tag = rest.iter().position(|&byte| byte == b'$')?;
        let name = rest.get(..tag)?;
        if name.first().is_some_and(|&byte| !class(byte, IDENT_START))
            || !name.iter().all(|&byte| class(byte, IDENT_START | DIGIT))
        {
            return None;
        }
        let mark = self.sql.get(self.at..self.at + tag + 2)?;
        let body = self.sql.get(self.at + tag + 2..)?;
        let length = memchr::memmem::find(body, mark)?;
        if memchr::memchr(0, body.get(..length)?).is_some() {
            return None;
        }
        self.at += tag + 2 + length + mark.len();
        Some(TokenKind::Text)
    }

    /// A number or parameter may not run into an identifier (an error since PostgreSQL 15).
    fn no_junk(&self, kind: TokenKind) -> Option<TokenKind> {
        match self.peek(0) {
            Some(byte) if class(byte, IDENT_START) => None,
            _ => Some(kind),
        }
    }

    fn number(&mut self) -> Option<TokenKind> {
        if self.peek(0) == Some(b'0') {
            let digit: Option<fn(u8) -> bool> = match self.peek(1).map(|byte| byte | 0x20) {
                Some(b'x') => Some(|byte| byte.is_ascii_hexdigit()),
                Some(b'o') => Some(|byte| (b'0'..=b'7').contains(&byte)),
                Some(b'b') => Some(|byte| byte == b'0' || byte == b'1'),
                _ => None,
            };
            if let Some(digit) = digit {
                self.at += 2;
                let start = self.at;
                self.digits(digit);
                return if self.at == start { None } else { self.no_junk(TokenKind::Number) };
            }
        }
        let decimal = |byte| class(byte, DIGIT);
        self.digits(decimal);
        // `1..2` is a number and two dots.
        if self.peek(0) == Some(b'.') && self.peek(1) != Some(b'.') {
            self.at += 1;
            if self.peek(0).is_some_and(decimal) {
                self.digits(decimal);
            }
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if !self.peek(1 + sign).is_some_and(decimal) {
                return None;
            }
            self.at += 1 + sign;
            self.digits(decimal);
        }
        self.no_junk(TokenKind::Number)
    }

    /// Digits with single underscores between them (a leading one is allowed after `0x`).
    fn digits(&mut self, digit: impl Fn(u8) -> bool) {
        loop {
            let ahead = usize::from(self.peek(0) == Some(b'_'));
            if !self.peek(ahead).is_some_and(&digit) {
                break;
            }
            self.at += 1 + ahead;
        }
    }

    fn operator(&mut self, first: u8) -> Option<TokenKind> {
        match (first, self.peek(1)) {
            (b'-', Some(b'-')) => {
                self.skip(|byte| byte != b'\n' && byte != b'\r');
                return Some(TokenKind::Comment);
            }
            (b'/', Some(b'*')) => return self.comment(),
            _ => {}
        }
        let rest = self.sql.get(self.at..)?;
        let mut length = rest.iter().position(|&byte| !class(byte, OPERATOR)).unwrap_or(rest.len());
        // A comment ends it.
        if let Some(comment) =
            rest.get(..length)?.windows(2).position(|pair| pair == b"--" || pair == b"/*").filter(|&at| at > 0)
        {
            length = comment;
        }
        // A trailing + or - belongs to it only if it holds a character that SQL's own operators don't have.
        let whole = rest.get(..length)?;
        if !whole.iter().any(|byte| b"~!@#^&|`?%".contains(byte)) {
            while length > 1 && matches!(rest.get(length - 1), Some(b'+' | b'-')) {
                length -= 1;
            }
        }
        self.at += length;
        Some(TokenKind::Operator)
    }

    fn comment(&mut self) -> Option<TokenKind> {
        self.at += 2;
        let mut depth = 1usize;
        loop {
            let rest = self.sql.get(self.at..)?;
            let next = memchr::memchr2(b'*', b'/', rest)?;
            self.at += next;
            match (self.peek(0)?, self.peek(1)?) {
                (b'*', b'/') => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Some(TokenKind::Comment);
                    }
                }
                (b'/', b'*') => {
                    self.at += 2;
                    depth += 1;
                }
                _ => self.at += 1,
            }
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.at;
        let first = *self.sql.get(start)?;
        let kind = if self.sql.len() > u32::MAX as usize { None } else { self.scan(first) };
        let kind = kind.unwrap_or_else(|| {
            self.at = self.sql.len();
            TokenKind::Error
        });
        Some(Token { kind, start: start as u32, end: self.at as u32 })
    }
}
