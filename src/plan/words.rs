//! A cursor over one statement's tokens.

use crate::sql::literal::text_value;
use crate::sql::{Token, TokenKind};
use std::ops::Range;

/// Reads a statement from left to right.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub sql: &'a [u8],
    pub tokens: &'a [Token],
    pub standard_strings: bool,
}

impl<'a> Words<'a> {
    pub fn first(&self) -> Option<Token> {
        self.tokens.first().copied()
    }

    pub fn done(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether the next token is the keyword.
    pub fn at(&self, word: &str) -> bool {
        self.tokens.first().is_some_and(|token| token.is(self.sql, word))
    }

    /// Whether the token after the next is the keyword.
    pub fn then(&self, word: &str) -> bool {
        self.tokens.get(1).is_some_and(|token| token.is(self.sql, word))
    }

    pub fn at_kind(&self, kind: TokenKind) -> bool {
        self.tokens.first().is_some_and(|token| token.kind == kind)
    }

    pub fn at_operator(&self, operator: &str) -> bool {
        self.first().is_some_and(|token| {
            matches!(token.kind, TokenKind::Operator | TokenKind::Symbol)
                && token.bytes(self.sql) == operator.as_bytes()
        })
    }

    pub fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    /// Takes the keyword if it is next.
    pub fn eat(&mut self, word: &str) -> bool {
        let found = self.at(word);
        if found {
            self.skip();
        }
        found
    }

    /// Takes all these keywords if they are next.
    pub fn eat_all(&mut self, words: &[&str]) -> bool {
        let found = words
            .iter()
            .enumerate()
            .all(|(at, word)| self.tokens.get(at).is_some_and(|token| token.is(self.sql, word)));
        if found {
            self.tokens = self.tokens.get(words.len()..).unwrap_or_default();
        }
        found
    }

    pub fn eat_kind(&mut self, kind: TokenKind) -> bool {
        let found = self.at_kind(kind);
        if found {
            self.skip();
        }
        found
    }

    pub fn eat_operator(&mut self, operator: &str) -> bool {
        let found = self.at_operator(operator);
        if found {
            self.skip();
        }
        found
    }

    /// Takes a name and tells where it stands.
    pub fn name(&mut self) -> Option<(String, Range<usize>)> {
        let token = self.first().filter(Token::is_name)?;
        self.skip();
        Some((token.name(self.sql), token.start as usize..token.end as usize))
    }

    /// Takes a string constant.
    pub fn text(&mut self) -> Option<String> {
        let token = self.first().filter(|token| token.kind == TokenKind::Text)?;
        self.skip();
        text_value(token.bytes(self.sql), self.standard_strings)
    }

    /// Takes a dotted name: `a`, `a.b`, `a.b.c`.
    pub fn dotted(&mut self) -> Option<Vec<String>> {
        let mut parts = vec![self.name()?.0];
        while self.eat_kind(TokenKind::Dot) {
            parts.push(self.name()?.0);
        }
        Some(parts)
    }

    /// Takes what is in parentheses, if they are next.
    pub fn group(&mut self) -> Option<Words<'a>> {
        if !self.at_kind(TokenKind::LeftParen) {
            return None;
        }
        let mut depth = 0usize;
        for (at, token) in self.tokens.iter().enumerate() {
            match token.kind {
                TokenKind::LeftParen => depth += 1,
                TokenKind::RightParen => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                let inside = Words { tokens: self.tokens.get(1..at)?, ..*self };
                self.tokens = self.tokens.get(at + 1..)?;
                return Some(inside);
            }
        }
        None
    }
}
