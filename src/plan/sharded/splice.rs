//! Rewrites a text by replacing ranges: what isn't replaced stays as the client wrote it.

use super::Piece;
use crate::sql::ast::Span;

/// What stands in place of a range.
type Edit = (Span, Vec<Piece>);

/// Replacements in one text.
#[derive(Clone, Default)]
pub struct Edits {
    list: Vec<Edit>,
}

impl Edits {
    pub fn replace(&mut self, span: Span, with: impl Into<String>) {
        self.list.push((span, vec![Piece::Text(with.into())]));
    }

    pub fn pieces(&mut self, span: Span, with: Vec<Piece>) {
        self.list.push((span, with));
    }

    pub fn insert(&mut self, at: u32, text: impl Into<String>) {
        self.replace(Span::new(at, at), text);
    }

    /// Inserts what stands only where rows are told apart.
    pub fn insert_apart(&mut self, at: u32, text: impl Into<String>) {
        self.pieces(Span::new(at, at), vec![Piece::Apart(text.into())]);
    }

    /// Whether something inside `span` is replaced.
    pub fn touches(&self, span: Span) -> bool {
        self.list.iter().any(|(edit, _)| edit.start >= span.start && edit.end <= span.end)
    }

    /// The text of `within`, rewritten. A replacement inside another one is dropped.
    pub fn apply(&self, sql: &str, within: Span) -> Vec<Piece> {
        let inside = |span: &Span| span.start >= within.start && span.end <= within.end;
        let mut list: Vec<&Edit> = self.list.iter().filter(|(span, _)| inside(span)).collect();
        list.sort_by_key(|edit| order(edit));
        rewritten(sql, within, &list)
    }

    /// The same of many parts of one text (rows of VALUES) that don't overlap.
    pub fn apply_each(&self, sql: &str, parts: impl Iterator<Item = Span>) -> Vec<Vec<Piece>> {
        let mut list: Vec<&Edit> = self.list.iter().collect();
        list.sort_by_key(|edit| order(edit));
        let of = |part: Span| {
            let from = list.partition_point(|(span, _)| span.start < part.start);
            let inside = list.get(from..).unwrap_or_default();
            let inside = inside.get(..inside.partition_point(|(span, _)| span.start <= part.end)).unwrap_or_default();
            let inside: Vec<&Edit> = inside.iter().copied().filter(|(span, _)| span.end <= part.end).collect();
            rewritten(sql, part, &inside)
        };
        parts.map(of).collect()
    }
}

/// Outer ones before those inside.
fn order((span, _): &Edit) -> (u32, std::cmp::Reverse<u32>) {
    (span.start, std::cmp::Reverse(span.end))
}

/// `list`: what is replaced within, in order.
fn rewritten(sql: &str, within: Span, list: &[&Edit]) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut at = within.start;
    for (span, with) in list {
        if span.start < at {
            continue;
        }
        join(&mut out, Piece::Text(Span::new(at, span.start).of(sql).to_string()));
        for (turn, piece) in with.iter().enumerate() {
            match turn {
                0 => join(&mut out, piece.clone()),
                _ => push(&mut out, piece.clone()),
            }
        }
        at = span.end;
    }
    join(&mut out, Piece::Text(Span::new(at, within.end).of(sql).to_string()));
    out
}

/// Appends a piece at the border of a replacement: with a space, where two tokens would become one
/// (`SELECT` and what replaces `-x` behind it).
fn join(out: &mut Vec<Piece>, piece: Piece) {
    let end = match out.last() {
        Some(Piece::Text(text)) => text.bytes().last(),
        Some(Piece::Once(_)) => Some(b'0'),
        Some(Piece::Input(_) | Piece::Semi(_) | Piece::Apart(_)) | None => None,
    };
    let start = match &piece {
        Piece::Text(text) => text.bytes().next(),
        Piece::Once(_) => Some(b'$'),
        Piece::Input(_) | Piece::Semi(_) | Piece::Apart(_) => None,
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'"' | b'\'') || byte >= 0x80;
    let sign = |byte: u8| b"~!@#^&|`?+-*/%<>=:".contains(&byte);
    if let (Some(end), Some(start)) = (end, start)
        && ((word(end) && word(start)) || (sign(end) && sign(start)))
    {
        push(out, text(" "));
    }
    push(out, piece);
}

/// Appends a piece; neighbouring texts become one.
pub fn push(out: &mut Vec<Piece>, piece: Piece) {
    match (out.last_mut(), piece) {
        (_, Piece::Text(text)) if text.is_empty() => {}
        (Some(Piece::Text(last)), Piece::Text(text)) => last.push_str(&text),
        (_, piece) => out.push(piece),
    }
}

/// A piece of text.
pub fn text(text: impl Into<String>) -> Piece {
    Piece::Text(text.into())
}

/// The pieces as one text, for proofs and tests: `{0}` an input, `{once 0}` a value.
pub fn shown(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Once(at) => out.push_str(&format!("{{once {at}}}")),
            Piece::Input(at) => out.push_str(&format!("{{{at}}}")),
            Piece::Semi(semi) => out.push_str(&format!(" {{{} in {}.{}}}", semi.test, semi.input, semi.column)),
            Piece::Apart(part) => out.push_str(&format!("{{apart {part}}}")),
        }
    }
    out
}
