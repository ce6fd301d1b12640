//! Rows are cut as PostgreSQL cuts them, however they come.

use proptest::prelude::*;

use super::context::renumber;
use super::fields::{Field, field};
use super::journal::Journal;
use super::splitter::{Part, Splitter};
use super::{Ends, Line};
use crate::plan::sharded::copy_options::{CopyFormat, CopyKind};

fn format(kind: CopyKind) -> CopyFormat {
    let csv = kind == CopyKind::Csv;
    CopyFormat {
        kind,
        delimiter: if csv { b',' } else { b'\t' },
        null: if csv { Vec::new() } else { b"\\N".to_vec() },
        ..CopyFormat::default()
    }
}

/// All parts, each as its letter, bytes and the lines up to it.
fn parts(format: &CopyFormat, data: &[u8], chunk: usize) -> Vec<(char, Vec<u8>, u64)> {
    let mut splitter = Splitter::new(format.clone());
    let mut found = Vec::new();
    let mut chunks = data.chunks(chunk.max(1));
    let mut wrong = false;
    loop {
        let part = match splitter.peek() {
            Part::More => {
                match chunks.next() {
                    Some(bytes) => splitter.push(bytes),
                    None => splitter.finish(),
                }
                continue;
            }
            Part::End => return found,
            Part::Head(bytes, _) => ('h', bytes.to_vec()),
            Part::Row(bytes, _) => ('r', bytes.to_vec()),
            Part::Wrong(bytes) => {
                wrong = true;
                ('w', [bytes, &chunks.by_ref().collect::<Vec<_>>().concat()].concat())
            }
        };
        splitter.consume();
        found.push((part.0, part.1, splitter.line()));
        if wrong {
            return found;
        }
    }
}

fn said(format: &CopyFormat, data: &str) -> String {
    let parts = parts(format, data.as_bytes(), 2);
    let show = |(kind, bytes, line): &(char, Vec<u8>, u64)| format!("{kind}{line}:{}", bytes.escape_ascii());
    parts.iter().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn text_is_cut_at_lines() {
    let text = format(CopyKind::Text);
    for (data, parts) in [
        ("", ""),
        ("a\nb\n", r"r1:a\n r2:b\n"),
        ("a\nb", r"r1:a\n r2:b"),
        ("\n\n", r"r1:\n r2:\n"),
        ("a\r\nb\r\n", r"r1:a\r\n r2:b\r\n"),
        ("a\rb\r", r"r1:a\r r2:b\r"),
        ("a\\\nb\n\\\\\n", r"r1:a\\\nb\n r2:\\\\\n"),
        ("a\nb\\", r"r1:a\n r2:b\\"),
        ("a\n\\.\nb\n", r"r1:a\n"),
        ("a\nb\\.\nc\n", r"r1:a\n r2:b\\.\n"),
        ("a\r\n\\.\r\nb\r\n", r"r1:a\r\n"),
        ("\\\\.\n", r"r1:\\\\.\n"),
        // Styles that don't fit.
        ("a\nb\rc\n", r"r1:a\n w1:b\rc\n"),
        ("a\rb\nc\r", r"r1:a\r w1:b\nc\r"),
        ("a\r\nb\n", r"r1:a\r\n w1:b\n"),
        ("a\r\nb\rc\r\n", r"r1:a\r\n w1:b\rc\r\n"),
        ("a\n\\.\r\n", r"r1:a\n w1:\\.\r\n"),
        ("a\r\n\\.\n", r"r1:a\r\n w1:\\.\n"),
        ("a\n\\.x\n", r"r1:a\n w1:\\.x\n"),
        ("a\n\\.", r"r1:a\n w1:\\."),
    ] {
        assert_eq!(said(&text, data), parts, "{data:?}");
    }
    let header = CopyFormat { header: true, ..text };
    assert_eq!(said(&header, "id\n1\n"), r"h1:id\n r2:1\n");
}

#[test]
fn csv_is_cut_outside_of_quotes() {
    let csv = format(CopyKind::Csv);
    for (data, parts) in [
        ("a,\"b\nc\",d\ne\n", r#"r1:a,\"b\nc\",d\n r2:e\n"#),
        ("\"a\"\"\nb\"\n1\n", r#"r1:\"a\"\"\nb\"\n r2:1\n"#),
        // Once lines are known to end in line feeds, those in quotes count.
        ("1\n\"a\nb\nc\"\n2\n", r#"r1:1\n r4:\"a\nb\nc\"\n r5:2\n"#),
        ("1\r\n\"a\r\nb\"\r\n", r#"r1:1\r\n r3:\"a\r\nb\"\r\n"#),
        ("a\\\nb\n", r"r1:a\\\n r2:b\n"),
        ("a\n\\.\nb\n", r"r1:a\n"),
        ("a\n\\.b\nc\n", r"r1:a\n r2:\\.b\n r3:c\n"),
        ("a\n\\.", r"r1:a\n r2:\\."),
        ("a\n\"b\nc", r#"r1:a\n r3:\"b\nc"#),
        ("a\n\\.\r\n", r"r1:a\n w1:\\.\r\n"),
        ("a\nb\r\n", r"r1:a\n w1:b\r\n"),
    ] {
        assert_eq!(said(&csv, data), parts, "{data:?}");
    }
    let other = CopyFormat { quote: b'\'', escape: b'\\', ..csv.clone() };
    assert_eq!(said(&other, "'a\\'\nb'\n'\\\\'\nc\n"), r"r1:\'a\\\'\nb\'\n r2:\'\\\\\'\n r3:c\n");
    let later = CopyFormat { csv_end: false, ..csv };
    assert_eq!(said(&later, "a\n\\.\nb\n"), r"r1:a\n r2:\\.\n r3:b\n");
}

#[test]
fn binary_is_cut_at_tuples() {
    let binary = format(CopyKind::Binary);
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let row = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff";
    let data = [&head[..], row, row, b"\xff\xff"].concat();
    for chunk in [1, 2, 5, 100] {
        let parts = parts(&binary, &data, chunk);
        let kinds: Vec<(char, usize, u64)> =
            parts.iter().map(|(kind, bytes, line)| (*kind, bytes.len(), *line)).collect();
        assert_eq!(kinds, [('h', 19, 0), ('r', 11, 1), ('r', 11, 2)]);
    }
    assert_eq!(super::tuples::field(row, 0), Field::Value(b"a".into()));
    assert_eq!(super::tuples::field(row, 1), Field::Null);
    assert_eq!(super::tuples::field(row, 2), Field::Broken);
    for wrong in [&b"PGCOPX"[..], &[&head[..], b"\0\x01\xff\xff\xff\xfe"].concat(), &[&data[..], b"x"].concat()] {
        assert_eq!(parts(&binary, wrong, 3).last().map(|part| part.0), Some('w'));
    }
}

#[test]
fn fields_are_read() {
    let value = |text: &str| Field::Value(text.as_bytes().to_vec().into());
    let text = format(CopyKind::Text);
    let of = |row: &'static str, number| field(row.as_bytes(), &text, number);
    assert_eq!(of("a\tb\tc", 0), value("a"));
    assert_eq!(of("a\tb\tc", 2), value("c"));
    assert_eq!(of("a\tb\tc", 3), Field::Broken);
    assert_eq!(of("a\\\tb\t\\N", 0), value("a\tb"));
    assert_eq!(of("a\\\tb\t\\N", 1), Field::Null);
    assert_eq!(of("\\\\N\t", 0), value("\\N"));
    assert_eq!(of("\\\\N\t", 1), value(""));
    assert_eq!(of("\\101\\x42\\x4q\\n\\q\\8\\18\\xg\\7778", 0), value("AB\u{4}q\nq8\u{1}8xg\u{ff}8").latin());
    assert_eq!(of("a\\", 0), value("a"));
    let empty = CopyFormat { null: Vec::new(), default: Some(b"D".to_vec()), ..text.clone() };
    assert_eq!(field(b"\tD", &empty, 0), Field::Null);
    assert_eq!(field(b"\\", &empty, 0), Field::Null);
    assert_eq!(field(b"\tD", &empty, 1), Field::Default);

    let csv = format(CopyKind::Csv);
    let of = |row: &'static str, number| field(row.as_bytes(), &csv, number);
    assert_eq!(of("a,\"b,\"\"c\",", 1), value("b,\"c"));
    assert_eq!(of("a,\"b,\"\"c\",", 2), Field::Null);
    assert_eq!(of("1\"2\"3,x", 0), value("123"));
    assert_eq!(of("\"\",x", 0), value(""));
    assert_eq!(of("\"a,x", 0), Field::Broken);
    assert_eq!(of("a", 1), Field::Broken);
    let forced = CopyFormat { force_null: true, null: b"x".to_vec(), ..csv.clone() };
    assert_eq!(field(b"\"x\"", &forced, 0), Field::Null);
    let forced = CopyFormat { force_not_null: true, null: b"x".to_vec(), ..csv.clone() };
    assert_eq!(field(b"x", &forced, 0), value("x"));
    let other = CopyFormat { quote: b'\'', escape: b'\\', ..csv };
    assert_eq!(field(b"'a\\'b\\c\\\\',2", &other, 0), value("a'b\\c\\"));
}

impl Field<'_> {
    /// Characters up to U+00FF as the bytes that they are numbered by.
    fn latin(self) -> Self {
        match self {
            Self::Value(value) => {
                let text = String::from_utf8(value.into_owned()).unwrap();
                Self::Value(text.chars().map(|c| c as u8).collect::<Vec<_>>().into())
            }
            other => other,
        }
    }
}

#[test]
fn values_are_written_so_that_they_are_read_again() {
    let text = format(CopyKind::Text);
    let marked = CopyFormat { null: b"5".to_vec(), default: Some(b"a".to_vec()), delimiter: b':', ..text.clone() };
    let csv = CopyFormat { delimiter: b'5', quote: b'1', escape: b'2', null: b"x".to_vec(), ..format(CopyKind::Csv) };
    for format in [text, marked, format(CopyKind::Csv), csv] {
        for value in ["5", "a", "x", "12:25", "-1 2\\3", "\\N", "a\nb\rc", "1\t2,\"3\"", "é"] {
            let mut row = Vec::new();
            assert!(super::fields::put(&mut row, Some(value.as_bytes()), &format));
            row.push(format.delimiter);
            assert!(super::fields::put(&mut row, None, &format));
            row.extend([format.delimiter, b'z']);
            assert_eq!(field(&row, &format, 0), Field::Value(value.as_bytes().into()), "{value:?} in {format:?}");
            assert_eq!(field(&row, &format, 1), Field::Null);
            assert_eq!(super::fields::without_first(&row, 2, &format), b"z");
        }
    }
    assert!(!super::fields::put(
        &mut Vec::new(),
        Some(b""),
        &CopyFormat { null: Vec::new(), ..format(CopyKind::Text) }
    ));
}

#[test]
fn the_journal_finds_lines_and_forgets_the_oldest() {
    let mut journal = Journal::new(1 << 20);
    assert_eq!(journal.find(1, 7), Some(7));
    let lines: Vec<(u64, u64)> = (1..5_000).map(|n| (n + n / 7, n * 3 + n / 100 * 1_000)).collect();
    for (shard, client) in &lines {
        journal.note(*shard, *client);
    }
    for (shard, client) in &lines {
        assert_eq!(journal.find(*shard, 0), Some(*client), "{shard}");
    }
    // In the middle of a row that has two lines.
    assert_eq!((lines[6], journal.find(7, 0)), ((8, 21), Some(20)));
    assert_eq!(journal.find(journal.last() + 1, 99), Some(99));
    let mut small = Journal::new(0);
    (1..100_000).for_each(|n| small.note(n, 2 * n));
    assert_eq!(small.find(99_999, 0), Some(199_998));
    assert_eq!(small.find(99_000, 0), Some(198_000));
    assert_eq!(small.find(1, 0), None);
}

#[test]
fn contexts_name_the_clients_line() {
    let of = |context: &str| renumber(context, "t", |line| (line < 1_000).then_some(line * 10));
    let some = |text: &str, line| Some((text.to_owned(), line));
    assert_eq!(of("COPY t, line 3"), some("COPY t, line 30", Some(30)));
    assert_eq!(of("COPY t, line 3: \"4\t5\""), some("COPY t, line 30: \"4\t5\"", Some(30)));
    let column = "COPY t, line 3, column a: \"x\nCOPY t, line 4\"";
    assert_eq!(of(column), some("COPY t, line 30, column a: \"x\nCOPY t, line 4\"", Some(30)));
    assert_eq!(of("COPY t, Zeile 3, Spalte a: »1«"), some("COPY t, Zeile 30, Spalte a: »1«", Some(30)));
    let below = "SQL function \"f\" statement 1\nCOPY t, line 12";
    assert_eq!(of(below), some("SQL function \"f\" statement 1\nCOPY t, line 120", Some(120)));
    assert_eq!(of("COPY t, line 5000"), some("COPY t, line", None));
    assert_eq!(of("COPY t, column a: \"3\""), None);
    assert_eq!(of("COPY tt, line 3"), None);
    assert_eq!(of("while doing 3 things"), None);
}

/// PostgreSQL's `CopyReadLineText`, byte by byte as it is written there.
struct Plainly<'a> {
    data: &'a [u8],
    csv: Option<(u8, u8)>,
    ends: Ends,
    line: u64,
    at: usize,
}

/// How a line ended.
#[derive(PartialEq)]
enum Ended {
    Line,
    /// The data's end.
    Data,
    Marker,
    Wrong,
}

impl Plainly<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.data.get(at).copied()
    }

    /// All rows with their lines, and whether the rest was refused.
    fn rows(mut self) -> (Vec<(Vec<u8>, u64)>, bool) {
        let mut rows = Vec::new();
        loop {
            let start = self.at;
            self.line += 1;
            let ended = self.one(start);
            if ended == Ended::Wrong {
                return (rows, true);
            }
            let end = self.at.min(self.data.len());
            // What stands before a marker is a row; the marker by itself isn't.
            let marked = ended == Ended::Marker && self.data[start..].starts_with(b"\\.");
            if end > start && !marked {
                rows.push((self.data[start..end].to_vec(), self.line));
            }
            if ended != Ended::Line {
                return (rows, false);
            }
        }
    }

    fn one(&mut self, start: usize) -> Ended {
        let (mut in_quote, mut escaped) = (false, false);
        loop {
            let Some(c) = self.byte(self.at) else { return Ended::Data };
            let first = self.at == start;
            self.at += 1;
            if let Some((quote, escape)) = self.csv {
                let escape = (escape != quote).then_some(escape);
                if in_quote && Some(c) == escape {
                    escaped = !escaped;
                }
                if c == quote && !escaped {
                    in_quote = !in_quote;
                }
                escaped &= Some(c) == escape;
                self.line += u64::from(in_quote && c == if self.ends == Ends::Feed { b'\n' } else { b'\r' });
            }
            match c {
                b'\r' if !in_quote => {
                    match (self.ends, self.byte(self.at)) {
                        (Ends::Unknown | Ends::Both, Some(b'\n')) => {
                            self.at += 1;
                            self.ends = Ends::Both;
                        }
                        (Ends::Unknown, _) => self.ends = Ends::Return,
                        (Ends::Return, _) => {}
                        _ => return Ended::Wrong,
                    }
                    return Ended::Line;
                }
                b'\n' if !in_quote => {
                    if matches!(self.ends, Ends::Return | Ends::Both) {
                        return Ended::Wrong;
                    }
                    self.ends = Ends::Feed;
                    return Ended::Line;
                }
                b'\\' if self.csv.is_none() || first => match self.byte(self.at) {
                    None => return Ended::Data,
                    Some(b'.') => match self.marker() {
                        Some(ended) => return ended,
                        None if self.csv.is_none() => return Ended::Wrong,
                        None => {}
                    },
                    Some(_) => self.at += usize::from(self.csv.is_none()),
                },
                _ => {}
            }
        }
    }

    /// Behind a backslash, at a period. `None`: it is no marker.
    fn marker(&mut self) -> Option<Ended> {
        let mut at = self.at + 1;
        if self.ends == Ends::Both {
            self.byte(at).filter(|byte| *byte == b'\r')?;
            at += 1;
        }
        let last = self.byte(at).filter(|byte| matches!(byte, b'\r' | b'\n'))?;
        let fits = match self.ends {
            Ends::Unknown => true,
            Ends::Feed | Ends::Both => last == b'\n',
            Ends::Return => last == b'\r',
        };
        self.at = at + 1;
        Some(if fits { Ended::Marker } else { Ended::Wrong })
    }
}

/// Bytes among which all that matters is frequent.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'\n'), 1 => Just(b'\r'), 2 => Just(b'"'), 1 => Just(b'\''), 2 => Just(b'\\'), 1 => Just(b'.'),
        2 => Just(b','), 1 => Just(b'\t'), 3 => Just(b'a'), 1 => Just(b'x'), 1 => Just(b'4'), 1 => Just(b'N'),
    ];
    let piece = prop_oneof![
        8 => proptest::collection::vec(byte, 0..6),
        1 => Just(b"\r\n".to_vec()), 1 => Just(b"\n\\.\n".to_vec()), 1 => Just(b"\"\n\"".to_vec()),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn rows_are_cut_as_postgresql_cuts_them(data in stream(), chunk in 1_usize..9, style in 0..3) {
        let (format, csv) = match style {
            0 => (format(CopyKind::Text), None),
            1 => (format(CopyKind::Csv), Some((b'"', b'"'))),
            _ => (CopyFormat { quote: b'\'', escape: b'\\', ..format(CopyKind::Csv) }, Some((b'\'', b'\\'))),
        };
        let found = parts(&format, &data, chunk);
        let (rows, wrong) = Plainly { data: &data, csv, ends: Ends::Unknown, line: 0, at: 0 }.rows();
        let cut: Vec<(Vec<u8>, u64)> =
            found.iter().filter(|part| part.0 == 'r').map(|(_, bytes, line)| (bytes.clone(), *line)).collect();
        prop_assert_eq!(&cut, &rows);
        prop_assert_eq!(found.last().is_some_and(|part| part.0 == 'w'), wrong);
        for (bytes, _) in &cut {
            // Whatever it is, it is read.
            (0..4).for_each(|number| drop(field(bytes, &format, number)));
        }
    }
}

#[test]
fn lines_count_what_is_in_quotes_by_how_lines_end() {
    let line = Line { feeds: 3, returns: 2, ..Line::default() };
    assert_eq!((line.count(Ends::Feed), line.count(Ends::Both), line.count(Ends::Unknown)), (4, 3, 3));
}
