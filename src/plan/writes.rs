//! What a statement may write: its targets, and what foreign keys, partitions and triggers reach from them.

use super::facts::Facts;
use super::words::Words;
use super::{TableKey, WriteSet};
use crate::catalog::{Catalog, Effect};
use crate::sql::TokenKind;
use std::collections::BTreeSet;

/// The tables named as targets, and how far a write of them reaches.
#[derive(Debug, Default)]
struct Targets {
    names: Vec<String>,
    /// Rows change or go: actions of foreign keys follow.
    changes: bool,
    /// TRUNCATE … CASCADE
    cascades: bool,
}

/// What the statement may write, and whether code that can't be seen may run.
pub(super) fn writes(words: Words<'_>, facts: &Facts, catalog: &Catalog) -> (WriteSet, bool) {
    if facts.effect == Effect::Unseen {
        return (WriteSet::All, true);
    }
    match targets(words).and_then(|targets| reach(&targets, catalog)) {
        Some(keys) if keys.is_empty() => (WriteSet::None, false),
        Some(keys) => (WriteSet::Tables(keys.into_iter().collect()), false),
        None => (WriteSet::All, true),
    }
}

/// All tables that are written when the targets are. `None`: that can't be told.
fn reach(targets: &Targets, catalog: &Catalog) -> Option<BTreeSet<TableKey>> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut queue: Vec<&str> = targets.names.iter().map(String::as_str).collect();
    while let Some(name) = queue.pop() {
        if !seen.insert(name) {
            continue;
        }
        let relation = catalog.relation(name)?;
        let writable = relation.plain && relation.primary.is_none_or(|reason| reason == "unlogged table");
        if !writable || relation.code {
            return None;
        }
        queue.extend(relation.parents.iter().chain(&relation.children).map(|name| &**name));
        if targets.changes {
            queue.extend(relation.actions.iter().map(|name| &**name));
        }
        if targets.cascades {
            queue.extend(relation.actions.iter().chain(&relation.referencing).map(|name| &**name));
        }
    }
    Some(seen.into_iter().map(TableKey::of).collect())
}

/// Finds the targets of every INSERT, UPDATE, DELETE, MERGE, TRUNCATE and COPY FROM, in common table expressions too.
/// `None`: one of these words stands where it isn't understood.
fn targets(words: Words<'_>) -> Option<Targets> {
    let mut targets = Targets::default();
    let mut rest = words;
    if rest.eat("copy") {
        return copy(rest);
    }
    if rest.eat("truncate") {
        return truncate(rest);
    }
    let mut before: Option<&str> = None;
    let mut dotted = false;
    while let Some(token) = rest.first() {
        let verb =
            ["insert", "update", "delete", "merge"].into_iter().find(|verb| !dotted && token.is(words.sql, verb));
        let here = rest;
        rest.skip();
        let found = match verb {
            None => {
                dotted = token.kind == TokenKind::Dot;
                before = ["then", "do", "for", "key", "instead"].into_iter().find(|word| token.is(words.sql, word));
                continue;
            }
            // MERGE: WHEN … THEN UPDATE; ON CONFLICT DO UPDATE; FOR [NO KEY] UPDATE
            Some(verb) if before.is_some_and(|word| word != "instead") => {
                targets.changes |= verb != "insert";
                before = None;
                continue;
            }
            Some("insert") => rest.eat("into"),
            Some("update") => {
                targets.changes = true;
                true
            }
            Some("delete") => {
                targets.changes = true;
                rest.eat("from")
            }
            Some(_) => {
                targets.changes = true;
                rest.eat("into")
            }
        };
        before = None;
        dotted = false;
        if !found || here.tokens.len() == rest.tokens.len() {
            return None;
        }
        rest.eat("only");
        targets.names.push(table(&mut rest)?);
    }
    Some(targets)
}

/// A table's name without its schema.
fn table(rest: &mut Words<'_>) -> Option<String> {
    // ONLY (t)
    if rest.at_kind(TokenKind::LeftParen) {
        return rest.group()?.dotted()?.pop();
    }
    rest.dotted()?.pop()
}

fn copy(mut rest: Words<'_>) -> Option<Targets> {
    if rest.at_kind(TokenKind::LeftParen) {
        let query = rest.group()?;
        return targets(query);
    }
    if rest.at("binary") && rest.tokens.get(1).is_some_and(|token| token.is_name()) {
        rest.skip();
    }
    let name = table(&mut rest)?;
    let _ = rest.group();
    let names = if rest.at("from") { vec![name] } else { Vec::new() };
    Some(Targets { names, ..Targets::default() })
}

fn truncate(mut rest: Words<'_>) -> Option<Targets> {
    rest.eat("table");
    let mut found = Targets::default();
    loop {
        rest.eat("only");
        found.names.push(table(&mut rest)?);
        rest.eat_operator("*");
        if !rest.eat_kind(TokenKind::Comma) {
            break;
        }
    }
    let _ = rest.eat_all(&["restart", "identity"]) || rest.eat_all(&["continue", "identity"]);
    found.cascades = rest.eat("cascade");
    let _ = rest.eat("restrict");
    rest.done().then_some(found)
}
