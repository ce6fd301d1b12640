//! A token of SQL text: its kind and its bytes.

/// What a token is, as far as planning cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Whitespace between tokens.
    Space,
    /// `-- …` or `/* … */`
    Comment,
    /// A keyword or an identifier without quotes.
    Word,
    /// `"…"`
    Quoted,
    /// `U&"…"`: what it names may hang on a UESCAPE that follows.
    UnicodeQuoted,
    /// A string constant: `'…'`, `E'…'`, `N'…'`, `U&'…'`, `$tag$…$tag$`, with its continuation lines.
    Text,
    /// `B'…'`, `X'…'`
    Bits,
    Number,
    /// `$1`
    Param,
    Operator,
    LeftParen,
    RightParen,
    Comma,
    Semicolon,
    Dot,
    /// `[ ] : :: := ..`
    Symbol,
    /// Something that no PostgreSQL takes, from here to the end of the text.
    Error,
}

/// A token: bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub start: u32,
    pub end: u32,
}

impl Token {
    /// Its bytes within `sql`, the text that it was cut from.
    pub fn bytes<'a>(&self, sql: &'a [u8]) -> &'a [u8] {
        sql.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Whether it is the keyword `word` (lower case), which an identifier in quotes never is.
    pub fn is(&self, sql: &[u8], word: &str) -> bool {
        self.kind == TokenKind::Word && self.bytes(sql).eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether it names something: a word (keyword or not) or an identifier in quotes.
    pub fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Quoted)
    }

    /// The name that it stands for: lower-cased ASCII without quotes, what is inside with them (`""` is `"`), cut to
    /// 63 bytes. Bytes outside UTF-8 read as U+FFFD, which no catalog holds.
    pub fn name(&self, sql: &[u8]) -> String {
        let bytes = self.bytes(sql);
        let mut name = if self.kind == TokenKind::Quoted {
            let inside = bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default();
            String::from_utf8_lossy(inside).replace("\"\"", "\"")
        } else {
            String::from_utf8_lossy(bytes).to_ascii_lowercase()
        };
        // `truncate_identifier`, in UTF-8.
        let mut end = name.len().min(NAME_BYTES);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name
    }
}

/// PostgreSQL's `NAMEDATALEN` without the terminator.
const NAME_BYTES: usize = 63;
