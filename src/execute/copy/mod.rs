//! The rows of COPY: cut from the client's stream and dealt to shards, or written for the client. Pure.
//!
//! `lines` cuts text and CSV, `tuples` the binary format, as PostgreSQL's `copyfromparse.c` does; `fields` finds the
//! sharding key in a row; `journal` remembers which of the client's lines each shard got, for errors that name
//! a line. `writer` makes the answer to a query that of a COPY.

pub mod context;
pub mod fields;
pub mod journal;
pub mod lines;
pub mod splitter;
pub mod tuples;
pub mod writer;

#[cfg(test)]
mod tests;

/// What streams in binary that we write begin with: signature, flags, no extension (`BinarySignature`).
pub const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What they end with.
pub const BINARY_END: &[u8] = &[0xff, 0xff];

/// What the bytes at hand begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It can't be told before more comes.
    More,
    Line(Line),
    /// The client's marker, or the end of its stream: no row any more.
    End,
    /// What PostgreSQL refuses, in words that hang on what came before.
    Wrong,
}

/// A row, or the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its bytes with its end.
    pub len: usize,
    /// Its bytes without.
    pub text: usize,
    /// Line feeds, and carriage returns, within quotes.
    pub feeds: u64,
    pub returns: u64,
    /// How lines were known to end before it.
    pub before: Ends,
    /// The stream's end is part of it.
    pub last: bool,
}

impl Line {
    /// How far PostgreSQL counts lines for it.
    pub fn count(&self, ends: Ends) -> u64 {
        1 + if ends == Ends::Feed { self.feeds } else { self.returns }
    }
}

/// How lines end: as the first one does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ends {
    #[default]
    Unknown,
    Feed,
    Return,
    Both,
}
