//! Reads PostgreSQL's queries and DML into the tree, by its own grammar (`gram.y` of 14 to 17).
//!
//! Recursive descent over our own tokens, with PostgreSQL's own table of precedence. What isn't known is stopped at, never
//! guessed: an answer is the tree that the server will see, or none.

mod call;
mod cursor;
mod dml;
#[cfg(test)]
mod explicit;
mod expr;
mod from;
mod group;
mod keywords;
mod select;
mod special;
mod types;
mod utility;

use cursor::Parser;
use keywords::{Category, Keyword};

use super::TokenKind;
use super::ast::Statement;

/// Where and why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The byte where the token begins that didn't fit.
    pub at: u32,
    /// What would have fitted.
    pub expected: &'static str,
}

/// Parses one statement; a semicolon after it is taken. `standard_strings`: the session's
/// `standard_conforming_strings`.
pub fn parse(sql: &str, standard_strings: bool) -> Result<Statement, Stopped> {
    let mut parser = Parser::new(sql, standard_strings)?;
    let statement = parser.statement()?;
    parser.take_kind(TokenKind::Semicolon);
    if parser.is_kind(TokenKind::Space) { Ok(statement) } else { parser.stop("the end of the statement") }
}

/// Whether a name must stand in quotes (`quote_identifier`).
pub fn needs_quotes(name: &str) -> bool {
    let plain = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.is_empty()
        || !name.bytes().all(plain)
        || name.starts_with(|first: char| first.is_ascii_digit())
        || Keyword::of(name.as_bytes()).category() != Category::Free
}

#[cfg(test)]
mod tests;
