//! A client's COPY stream, as rows: what comes is kept until it is a whole row.

use super::fields::{self, Field};
use super::lines::Lines;
use super::{Cut, Ends, Line, tuples};
use crate::plan::sharded::copy_options::{CopyFormat, CopyKind};

/// Cuts one stream into header and rows, and counts the lines as PostgreSQL does.
#[derive(Debug)]
pub struct Splitter {
    format: CopyFormat,
    lines: Lines,
    /// What came and was not consumed yet begins at `start`.
    bytes: Vec<u8>,
    start: usize,
    whole: bool,
    /// The header, or the binary format's head, is still to come.
    head: bool,
    /// The stream's end is known by a marker: what follows is ignored.
    ended: bool,
    /// Lines consumed.
    line: u64,
    next: Option<Cut>,
}

/// The next part of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    More,
    End,
    /// The header, or the binary head: for every shard. Its bytes and its line.
    Head(&'a [u8], Line),
    Row(&'a [u8], Line),
    /// What no server takes after what came before: all that is at hand, and all that will come.
    Wrong(&'a [u8]),
}

impl Splitter {
    pub fn new(format: CopyFormat) -> Self {
        let lines = Lines::new(&format);
        let head = format.header || format.kind == CopyKind::Binary;
        Self { format, lines, bytes: Vec::new(), start: 0, whole: false, head, ended: false, line: 0, next: None }
    }

    /// Appends what the client sent.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        if self.start > 0 && self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
        if self.next == Some(Cut::More) {
            self.next = None;
        }
    }

    /// Nothing follows.
    pub fn finish(&mut self) {
        self.whole = true;
        if self.next == Some(Cut::More) {
            self.next = None;
        }
    }

    /// Bytes that wait for the rest of their row.
    pub fn held(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// What comes next; it stays until [`Self::consume`].
    pub fn peek(&mut self) -> Part<'_> {
        if self.ended {
            return Part::End;
        }
        let data = self.bytes.get(self.start..).unwrap_or_default();
        let cut = match self.next {
            Some(cut) => cut,
            None => match (self.format.kind, self.head) {
                (CopyKind::Binary, true) => tuples::head(data, self.whole),
                (CopyKind::Binary, false) => tuples::row(data, self.whole),
                _ => self.lines.cut(data, self.whole),
            },
        };
        self.next = Some(cut);
        match cut {
            Cut::More => Part::More,
            Cut::End => Part::End,
            Cut::Wrong => Part::Wrong(data),
            Cut::Line(line) => {
                let bytes = data.get(..line.len).unwrap_or_default();
                if self.head { Part::Head(bytes, line) } else { Part::Row(bytes, line) }
            }
        }
    }

    /// How many rows lie at hand, the one that was looked at included, but not more than `most`. Not of the binary format.
    pub fn rows_at_hand(&self, most: usize) -> usize {
        let Some(Cut::Line(first)) = self.next else { return 0 };
        let mut lines = self.lines.clone();
        let mut at = self.start + first.len;
        let mut count = 1;
        let mut last = first.last;
        while count < most && !last {
            match lines.cut(self.bytes.get(at..).unwrap_or_default(), self.whole) {
                Cut::Line(line) => (at, count, last) = (at + line.len, count + 1, line.last),
                _ => break,
            }
        }
        count
    }

    /// The part that was looked at is done with.
    pub fn consume(&mut self) {
        match self.next.take() {
            Some(Cut::Line(line)) => {
                self.start += line.len;
                // The binary head isn't counted.
                if self.format.kind != CopyKind::Binary || !self.head {
                    self.line += line.count(line.before);
                }
                self.head = false;
                self.ended |= line.last;
            }
            Some(Cut::End) => self.ended = true,
            Some(Cut::Wrong) => self.start = self.bytes.len(),
            _ => {}
        }
        if self.ended {
            self.bytes = Vec::new();
            self.start = 0;
        }
    }

    /// The lines consumed so far, as PostgreSQL counts them.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How lines end, as far as it is known.
    pub fn ends(&self) -> Ends {
        self.lines.ends()
    }

    /// The field of this number of a row that [`Self::peek`] gave.
    pub fn field<'a>(&self, row: &'a [u8], line: &Line, number: usize) -> Field<'a> {
        field_of(&self.format, row, line, number)
    }

    pub fn format(&self) -> &CopyFormat {
        &self.format
    }
}

/// The field of this number of a row.
pub fn field_of<'a>(format: &CopyFormat, row: &'a [u8], line: &Line, number: usize) -> Field<'a> {
    match format.kind {
        CopyKind::Binary => tuples::field(row, number),
        _ => fields::field(row.get(..line.text).unwrap_or_default(), format, number),
    }
}
