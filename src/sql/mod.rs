//! Lexing, fingerprinting and splitting of SQL text by PostgreSQL's own lexical rules. Pure.

pub mod ast;
pub mod custom;
pub mod fingerprint;
pub mod lexer;
pub mod literal;
pub mod outline;
pub mod parse;
pub mod quote;
pub mod siphash;
pub mod statement;
pub mod token;

pub use fingerprint::{FingerprintKey, fingerprint};
pub use lexer::Lexer;
pub use parse::{Stopped, parse};
pub use token::{Token, TokenKind};

#[cfg(test)]
mod tests;
