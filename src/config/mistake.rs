//! A mistake in a configuration: where it is, what is wrong, what to do.

use std::collections::BTreeMap;

/// One mistake, at its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl std::fmt::Display for Mistake {
    /// `line:column: message`, and the hint on a line of its own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Mistakes on their way, by byte offset.
#[derive(Default)]
pub(super) struct Mistakes {
    found: Vec<(usize, String, Option<String>)>,
}

impl Mistakes {
    /// A mistake at a byte offset.
    pub fn add(&mut self, offset: usize, message: impl Into<String>) {
        self.found.push((offset, message.into(), None));
    }

    /// A mistake at a byte offset, with what to do.
    pub fn hinted(&mut self, offset: usize, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push((offset, message.into(), Some(hint.into())));
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Forgets mistakes on lines of `text` where `first`, found by the TOML parser, sees one already: they follow from
    /// it. What is left joins `first`.
    pub fn after(mut self, first: Mistakes, text: &str) -> Mistakes {
        let broken: Vec<usize> = first.found.iter().map(|(offset, ..)| position(text, *offset).0).collect();
        self.found.retain(|(offset, ..)| !broken.contains(&position(text, *offset).0));
        self.found.extend(first.found);
        self
    }

    /// All of them in order of place.
    pub fn finish(mut self, text: &str) -> Vec<Mistake> {
        self.found.sort_by_key(|(offset, ..)| *offset);
        self.found
            .into_iter()
            .map(|(offset, message, hint)| {
                let (line, column) = position(text, offset);
                Mistake { line, column, message, hint }
            })
            .collect()
    }
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).unwrap_or("").chars().count() + 1;
    (line, column)
}

/// Where each thing was written: byte offsets by path (`["databases", "shop", "pool_size"]`).
#[derive(Default)]
pub(super) struct Places {
    known: BTreeMap<Vec<String>, usize>,
}

impl Places {
    pub fn note(&mut self, path: &[&str], offset: usize) {
        self.known.insert(owned(path), offset);
    }

    /// Whether the text says anything at that path, right or wrong.
    pub fn is_set(&self, path: &[&str]) -> bool {
        self.known.contains_key(&owned(path))
    }

    /// The offset of the path, or of the nearest thing around it.
    pub fn at(&self, path: &[&str]) -> usize {
        let mut path = owned(path);
        loop {
            if let Some(offset) = self.known.get(&path) {
                return *offset;
            }
            if path.pop().is_none() {
                return 0;
            }
        }
    }
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|part| (*part).to_owned()).collect()
}
