//! Splits a query string into its statements.

use super::lexer::Lexer;
use super::token::{Token, TokenKind};
use crate::base::limits;
use std::ops::Range;

/// The tokens of a query string (without spaces and comments) and its statements as ranges of them.
pub struct Statements {
    pub tokens: Vec<Token>,
    /// Ranges of `tokens`, without the semicolons; none is empty.
    pub statements: Vec<Range<usize>>,
    /// The comments that may hold hints.
    pub comments: Vec<Token>,
}

/// Cuts `sql` at its top-level semicolons. `None`: it can't be told (a lexical error, a NUL, parentheses that don't match, a
/// function body within a function body, more than [`limits::PLAN_TOKENS`] tokens).
///
/// Semicolons within parentheses (CREATE RULE) and within `BEGIN ATOMIC … END` don't cut.
pub fn split(sql: &[u8], standard_strings: bool) -> Option<Statements> {
    if memchr::memchr(0, sql).is_some() {
        return None;
    }
    let mut out = Statements { tokens: Vec::new(), statements: Vec::new(), comments: Vec::new() };
    let mut start = 0;
    let mut depth = 0usize;
    let mut body = false;
    for token in Lexer::new(sql, standard_strings) {
        match token.kind {
            TokenKind::Space => continue,
            TokenKind::Comment => {
                if super::fingerprint::has_hint(token.bytes(sql)) {
                    out.comments.push(token);
                }
                continue;
            }
            TokenKind::Error => return None,
            TokenKind::LeftParen => depth += 1,
            TokenKind::RightParen => depth = depth.checked_sub(1)?,
            TokenKind::Semicolon if depth == 0 && !body => {
                if start < out.tokens.len() {
                    out.statements.push(start..out.tokens.len());
                }
                start = out.tokens.len();
                continue;
            }
            TokenKind::Word if depth == 0 => {
                let statement = out.tokens.get(start..)?;
                if token.is(sql, "atomic")
                    && statement.last().is_some_and(|last| last.is(sql, "begin"))
                    && creates_routine(sql, statement)
                {
                    if body {
                        return None;
                    }
                    body = true;
                } else if body && token.is(sql, "end") {
                    // The body's own END follows a semicolon or ATOMIC; that of a CASE, or a label, never does.
                    let last = statement.last()?;
                    body = !(last.kind == TokenKind::Semicolon || last.is(sql, "atomic"));
                }
            }
            _ => {}
        }
        if out.tokens.len() >= limits::PLAN_TOKENS {
            return None;
        }
        out.tokens.push(token);
    }
    if depth > 0 || body {
        return None;
    }
    if start < out.tokens.len() {
        out.statements.push(start..out.tokens.len());
    }
    Some(out)
}

/// Whether the statement begins with CREATE [OR REPLACE] FUNCTION or PROCEDURE.
fn creates_routine(sql: &[u8], statement: &[Token]) -> bool {
    let mut words = statement.iter();
    if !words.next().is_some_and(|word| word.is(sql, "create")) {
        return false;
    }
    words
        .find(|word| !word.is(sql, "or") && !word.is(sql, "replace"))
        .is_some_and(|word| word.is(sql, "function") || word.is(sql, "procedure"))
}
