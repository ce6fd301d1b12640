//! The place in the tokens where reading stands, and the small questions that the grammar asks of it.

use super::Stopped;
use super::keywords::{Category, Keyword};
use crate::base::limits::{SQL_HEIGHT, SQL_NESTING};
use crate::sql::ast::{Ident, Name, Span};
use crate::sql::literal;
use crate::sql::{Lexer, Token, TokenKind};

pub(super) type Read<T> = Result<T, Stopped>;

/// A token with its keyword. The end of the text is one of kind `Space`, which nothing else here is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tok {
    pub kind: TokenKind,
    pub word: Keyword,
    pub span: Span,
}

pub(super) struct Parser<'a> {
    pub sql: &'a str,
    pub standard_strings: bool,
    tokens: Vec<Tok>,
    /// The current token, kept at hand.
    pub tok: Tok,
    at: usize,
    /// How deep the functions of the grammar call each other.
    depth: usize,
    /// The tallest expression read since somebody set this to 0.
    pub tallest: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(sql: &'a str, standard_strings: bool) -> Read<Self> {
        let bytes = sql.as_bytes();
        let mut tokens = Vec::with_capacity(sql.len() / 5 + 8);
        for token in Lexer::new(bytes, standard_strings) {
            let span = Span::new(token.start, token.end);
            let word = match token.kind {
                TokenKind::Space | TokenKind::Comment => continue,
                TokenKind::Error => return Err(Stopped { at: token.start, expected: "a token" }),
                TokenKind::Word => Keyword::of(token.bytes(bytes)),
                _ => Keyword::Plain,
            };
            tokens.push(Tok { kind: token.kind, word, span });
        }
        let end = sql.len() as u32;
        tokens.push(Tok { kind: TokenKind::Space, word: Keyword::Plain, span: Span::new(end, end) });
        let tok = tokens.first().copied().ok_or(Stopped { at: 0, expected: "a statement" })?;
        Ok(Self { sql, standard_strings, tokens, tok, at: 0, depth: 0, tallest: 0 })
    }

    /// The token `ahead` of the current one; the end's for ever after the end.
    pub(super) fn ahead(&self, ahead: usize) -> Tok {
        self.tokens.get(self.at + ahead).or(self.tokens.last()).copied().unwrap_or(self.tok)
    }

    pub(super) fn advance(&mut self) -> Tok {
        let tok = self.tok;
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
            self.tok = self.ahead(0);
        }
        tok
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Goes back to a place that `place` told.
    pub(super) fn back_to(&mut self, place: usize) {
        self.at = place;
        self.tok = self.ahead(0);
    }

    pub(super) fn stop<T>(&self, expected: &'static str) -> Read<T> {
        Err(Stopped { at: self.tok.span.start, expected })
    }

    /// Bytes up to the end of the last token that was read.
    pub(super) fn since(&self, start: u32) -> Span {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        Span::new(start, last.map_or(start, |tok| tok.span.end).max(start))
    }

    pub(super) fn start(&self) -> u32 {
        self.tok.span.start
    }

    /// Runs `read` one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= SQL_NESTING {
            return self.stop("less nesting: too deeply nested");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Refuses trees that are too tall to be walked or dropped.
    pub(super) fn check_height(&self, height: usize) -> Read<()> {
        if height > SQL_HEIGHT { self.stop("less nesting: too deeply nested") } else { Ok(()) }
    }

    pub(super) fn is(&self, word: Keyword) -> bool {
        self.tok.word == word
    }

    /// Whether the next tokens are these keywords.
    pub(super) fn are(&self, words: &[Keyword]) -> bool {
        words.iter().enumerate().all(|(i, &word)| self.ahead(i).word == word)
    }

    pub(super) fn take(&mut self, word: Keyword) -> bool {
        let found = self.is(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn take_all(&mut self, words: &[Keyword]) -> bool {
        let found = self.are(words);
        if found {
            for _ in words {
                self.advance();
            }
        }
        found
    }

    pub(super) fn want(&mut self, word: Keyword) -> Read<Tok> {
        if self.is(word) { Ok(self.advance()) } else { self.stop(word.spelling()) }
    }

    /// Of these, the one that comes next.
    pub(super) fn take_any(&mut self, words: &[Keyword]) -> Option<Keyword> {
        let found = words.iter().copied().find(|&word| self.is(word));
        if found.is_some() {
            self.advance();
        }
        found
    }

    pub(super) fn is_kind(&self, kind: TokenKind) -> bool {
        self.tok.kind == kind
    }

    pub(super) fn take_kind(&mut self, kind: TokenKind) -> bool {
        let found = self.is_kind(kind);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn want_kind(&mut self, kind: TokenKind) -> Read<Tok> {
        if self.is_kind(kind) {
            return Ok(self.advance());
        }
        self.stop(match kind {
            TokenKind::LeftParen => "(",
            TokenKind::RightParen => ")",
            TokenKind::Comma => ",",
            TokenKind::Text => "a string constant",
            TokenKind::Number => "a number",
            _ => "another token",
        })
    }

    /// A token's text.
    pub(super) fn text(&self, tok: Tok) -> &'a str {
        tok.span.of(self.sql)
    }

    /// Whether the token `ahead` is this operator or symbol.
    pub(super) fn is_symbol_at(&self, ahead: usize, symbol: &str) -> bool {
        let tok = self.ahead(ahead);
        matches!(tok.kind, TokenKind::Operator | TokenKind::Symbol) && self.text(tok) == symbol
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.tok.kind, TokenKind::Operator | TokenKind::Symbol) && self.text(self.tok) == symbol
    }

    pub(super) fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn want_symbol(&mut self, symbol: &'static str) -> Read<()> {
        if self.take_symbol(symbol) { Ok(()) } else { self.stop(symbol) }
    }

    /// Whether a token is a name of one of the categories. Identifiers and unreserved keywords always are.
    fn names(tok: Tok, more: &[Category]) -> bool {
        match tok.kind {
            TokenKind::Word => {
                let category = tok.word.category();
                category == Category::Free || more.contains(&category)
            }
            TokenKind::Quoted | TokenKind::UnicodeQuoted => true,
            _ => false,
        }
    }

    /// `ColId`
    pub(super) fn is_column_id(tok: Tok) -> bool {
        Self::names(tok, &[Category::Column])
    }

    /// `type_function_name`
    pub(super) fn is_function_id(tok: Tok) -> bool {
        Self::names(tok, &[Category::Function])
    }

    /// `ColLabel`: any word.
    pub(super) fn is_label(tok: Tok) -> bool {
        matches!(tok.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted)
    }

    /// `BareColLabel`
    pub(super) fn is_bare_label(tok: Tok) -> bool {
        Self::is_label(tok) && tok.word.is_bare_label()
    }

    /// The current token as an identifier, whatever it is by category.
    pub(super) fn ident(&mut self) -> Read<Ident> {
        if !Self::is_label(self.tok) {
            return self.stop("a name");
        }
        let tok = self.advance();
        if tok.kind == TokenKind::UnicodeQuoted {
            return self.unicode_ident(tok);
        }
        let token = Token { kind: tok.kind, start: tok.span.start, end: tok.span.end };
        Ok(Ident { value: token.name(self.sql.as_bytes()), span: tok.span })
    }

    /// `U&"…" [UESCAPE '…']`
    fn unicode_ident(&mut self, tok: Tok) -> Read<Ident> {
        let mut escape = '\\';
        if self.take(Keyword::Uescape) {
            let word = self.want_kind(TokenKind::Text)?;
            let value = literal::text_value(self.text(word).as_bytes(), self.standard_strings).unwrap_or_default();
            let mut chars = value.chars();
            escape = match (chars.next(), chars.next()) {
                (Some(c), None) if !c.is_ascii_hexdigit() && !"+'\" \t\n\r\u{b}\u{c}".contains(c) => c,
                _ => return self.stop("one escape character"),
            };
        }
        let inside = self.text(tok).get(3..).and_then(|text| text.strip_suffix('"')).unwrap_or_default();
        let Some(mut value) = unescape(&inside.replace("\"\"", "\""), escape) else {
            return Err(Stopped { at: tok.span.start, expected: "a readable identifier" });
        };
        let mut end = value.len().min(63);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        value.truncate(end);
        Ok(Ident { value, span: self.since(tok.span.start) })
    }

    pub(super) fn column_id(&mut self) -> Read<Ident> {
        if Self::is_column_id(self.tok) { self.ident() } else { self.stop("a name") }
    }

    /// `(a, b)`: `name_list` in parentheses.
    pub(super) fn column_ids_in_parens(&mut self) -> Read<Vec<Ident>> {
        self.want_kind(TokenKind::LeftParen)?;
        let ids = self.list(Self::column_id)?;
        self.want_kind(TokenKind::RightParen)?;
        Ok(ids)
    }

    /// `qualified_name`, `any_name`: `ColId` and labels after dots.
    pub(super) fn qualified_name(&mut self) -> Read<Name> {
        let first = self.column_id()?;
        self.rest_of_name(first)
    }

    pub(super) fn rest_of_name(&mut self, first: Ident) -> Read<Name> {
        let mut span = first.span;
        let mut parts = vec![first];
        while self.is_kind(TokenKind::Dot) && Self::is_label(self.ahead(1)) {
            self.advance();
            let part = self.ident()?;
            span = span.to(part.span);
            parts.push(part);
        }
        Ok(Name { parts, span })
    }

    /// One or more, with commas between them.
    pub(super) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut items = vec![read(self)?];
        while self.take_kind(TokenKind::Comma) {
            items.push(read(self)?);
        }
        Ok(items)
    }
}

/// `\0041`, `\+000041` and the doubled escape character.
fn unescape(text: &str, escape: char) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != escape {
            value.push(c);
            continue;
        }
        let next = chars.next()?;
        if next == escape {
            value.push(escape);
            continue;
        }
        let mut code = if next == '+' { 0 } else { next.to_digit(16)? };
        for _ in 0..if next == '+' { 6 } else { 3 } {
            code = code * 16 + chars.next()?.to_digit(16)?;
        }
        // Surrogates, which PostgreSQL pairs, aren't characters: not read.
        value.push(char::from_u32(code).filter(|&c| c != '\0')?);
    }
    Some(value)
}
