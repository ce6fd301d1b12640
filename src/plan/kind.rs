//! Recognises what a statement is by its first words, as `gram.y` does; what doesn't fit is [`Kind::Unknown`].

use super::settings;
use super::words::Words;
use super::{Discard, Isolation, Kind, Pin, TransactionModes};
use crate::sql::TokenKind;
use std::ops::Range;

/// What is still to be found out about a statement: what its tables and functions make of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// Touches no table and runs no code of users.
    Nothing,
    /// SELECT and its like: may be proven to read only.
    Query,
    /// Whatever else names tables and functions: INSERT, UPDATE, COPY, TRUNCATE, the query of a cursor.
    Tables,
    /// Definitions: may change everything.
    Everything,
    /// Runs what can't be seen here.
    Unseen,
}

pub(super) struct Recognised {
    pub kind: Kind,
    pub body: Body,
    pub pin: Option<Pin>,
}

fn plain(kind: Kind) -> Recognised {
    Recognised { kind, body: Body::Nothing, pin: None }
}

fn pinned(kind: Kind, pin: Pin) -> Recognised {
    Recognised { kind, body: Body::Nothing, pin: Some(pin) }
}

fn with(kind: Kind, body: Body) -> Recognised {
    Recognised { kind, body, pin: None }
}

/// Recognises one statement.
pub(super) fn recognise(words: Words<'_>) -> Recognised {
    let unknown = || with(Kind::Unknown, Body::Unseen);
    if words.tokens.iter().any(|token| token.kind == TokenKind::UnicodeQuoted) {
        return unknown();
    }
    let Some(first) = words.first() else { return unknown() };
    if first.kind == TokenKind::LeftParen {
        return with(Kind::Read, Body::Query);
    }
    if first.kind != TokenKind::Word {
        return unknown();
    }
    let verb = first.name(words.sql);
    let mut rest = words;
    rest.skip();
    session(&verb, rest).or_else(|| data(&verb, words, rest)).unwrap_or_else(unknown)
}

/// Statements about transactions, settings and the session's own objects.
fn session(verb: &str, mut rest: Words<'_>) -> Option<Recognised> {
    let found = match verb {
        "begin" => {
            let _ = rest.eat("work") || rest.eat("transaction");
            plain(Kind::Begin(modes(rest)?))
        }
        "start" if rest.eat("transaction") => plain(Kind::Begin(modes(rest)?)),
        "commit" | "rollback" if rest.eat("prepared") => {
            if !rest.eat_kind(TokenKind::Text) {
                return None;
            }
            end(rest, plain(Kind::FinishPrepared))?
        }
        "commit" | "end" => {
            let chain = chain(&mut rest)?;
            end(rest, plain(Kind::Commit { chain }))?
        }
        "rollback" | "abort" => {
            let _ = rest.eat("work") || rest.eat("transaction");
            if verb == "rollback" && rest.eat("to") {
                let savepoint = rest;
                let name =
                    if rest.eat("savepoint") && !rest.done() { rest.name()? } else { take(&mut rest, savepoint)? };
                return end(rest, plain(Kind::RollbackTo(name.0)));
            }
            let chain = chain(&mut rest)?;
            end(rest, plain(Kind::Rollback { chain }))?
        }
        "savepoint" => {
            let name = rest.name()?.0;
            end(rest, plain(Kind::Savepoint(name)))?
        }
        "release" => {
            let savepoint = rest;
            let name = if rest.eat("savepoint") && !rest.done() { rest.name()? } else { take(&mut rest, savepoint)? };
            end(rest, plain(Kind::Release(name.0)))?
        }
        "prepare" => prepare(rest)?,
        "execute" => {
            let (name, name_span) = rest.name()?;
            with(Kind::Execute { name, name_span }, Body::Unseen)
        }
        "deallocate" => deallocate(rest)?,
        "set" => settings::set(rest)?,
        "reset" => settings::reset(rest)?,
        "show" => settings::show(rest)?,
        "discard" => {
            let what = match rest.name()?.0.as_str() {
                "all" => Discard::All,
                "plans" => Discard::Plans,
                "sequences" => Discard::Sequences,
                "temp" | "temporary" => Discard::Temporary,
                _ => return None,
            };
            end(rest, plain(Kind::Discard(what)))?
        }
        "listen" => {
            let name = rest.name()?.0;
            end(rest, pinned(Kind::Listen(name), Pin::Listen))?
        }
        "unlisten" => {
            let name = if rest.eat_operator("*") { None } else { Some(rest.name()?.0) };
            end(rest, plain(Kind::Unlisten(name)))?
        }
        "notify" => plain(Kind::Notify),
        "declare" => declare(rest)?,
        "fetch" | "move" => plain(Kind::Fetch),
        "close" => {
            let all = rest.at("all");
            let name = rest.name()?.0;
            end(rest, plain(Kind::Close(Some(name).filter(|_| !all))))?
        }
        "load" => pinned(Kind::Load, Pin::Load),
        "do" | "call" => with(Kind::Call, Body::Unseen),
        _ => return None,
    };
    Some(found)
}

/// Reads a name at an earlier place: the word that was taken for a keyword was the name.
fn take<'a>(rest: &mut Words<'a>, earlier: Words<'a>) -> Option<(String, Range<usize>)> {
    *rest = earlier;
    rest.name()
}

/// `found`, if nothing follows.
fn end(rest: Words<'_>, found: Recognised) -> Option<Recognised> {
    rest.done().then_some(found)
}

/// `[WORK | TRANSACTION] [AND [NO] CHAIN]`
fn chain(rest: &mut Words<'_>) -> Option<bool> {
    let _ = rest.eat("work") || rest.eat("transaction");
    if !rest.eat("and") {
        return Some(false);
    }
    let chain = !rest.eat("no");
    rest.eat("chain").then_some(chain)
}

/// A list of transaction modes up to the end, with or without commas.
pub(super) fn modes(mut rest: Words<'_>) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    while !rest.done() {
        if rest.eat_all(&["isolation", "level"]) {
            modes.isolation = Some(isolation(&mut rest)?);
        } else if rest.eat_all(&["read", "only"]) {
            modes.read_only = Some(true);
        } else if rest.eat_all(&["read", "write"]) {
            modes.read_only = Some(false);
        } else if !(rest.eat("deferrable") || rest.eat_all(&["not", "deferrable"])) {
            return None;
        }
        if rest.eat_kind(TokenKind::Comma) && rest.done() {
            return None;
        }
    }
    Some(modes)
}

fn isolation(rest: &mut Words<'_>) -> Option<Isolation> {
    let levels: [(&[&str], Isolation); 4] = [
        (&["read", "uncommitted"], Isolation::ReadUncommitted),
        (&["read", "committed"], Isolation::ReadCommitted),
        (&["repeatable", "read"], Isolation::RepeatableRead),
        (&["serializable"], Isolation::Serializable),
    ];
    levels.into_iter().find(|(words, _)| rest.eat_all(words)).map(|(_, level)| level)
}

fn prepare(mut rest: Words<'_>) -> Option<Recognised> {
    if rest.at("transaction") && rest.tokens.get(1).is_some_and(|token| token.kind == TokenKind::Text) {
        return (rest.tokens.len() == 2).then(|| plain(Kind::PrepareTransaction));
    }
    let (name, name_span) = rest.name()?;
    if rest.at_kind(TokenKind::LeftParen) {
        rest.group()?;
    }
    rest.eat("as").then(|| plain(Kind::Prepare { name, name_span }))
}

fn deallocate(mut rest: Words<'_>) -> Option<Recognised> {
    if rest.at("prepare") && rest.tokens.len() > 1 {
        rest.skip();
    }
    if rest.eat("all") {
        return end(rest, plain(Kind::Deallocate(None)));
    }
    let name = rest.name()?;
    end(rest, plain(Kind::Deallocate(Some(name))))
}

fn declare(mut rest: Words<'_>) -> Option<Recognised> {
    rest.name()?;
    let mut hold = false;
    while !rest.eat("for") {
        hold |= rest.at("with") && rest.then("hold");
        rest.first()?;
        rest.skip();
    }
    Some(Recognised { kind: Kind::Declare { hold }, body: Body::Tables, pin: hold.then_some(Pin::HoldCursor) })
}

/// Statements on data and definitions.
fn data(verb: &str, words: Words<'_>, rest: Words<'_>) -> Option<Recognised> {
    let found = match verb {
        "select" | "values" | "table" | "with" => with(Kind::Read, Body::Query),
        "insert" | "update" | "delete" | "merge" | "truncate" => with(Kind::Write, Body::Tables),
        "copy" => copy(rest)?,
        "explain" => explain(rest)?,
        "lock" | "checkpoint" => plain(Kind::Write),
        "create" => Recognised { kind: Kind::Write, body: Body::Everything, pin: temporary(rest) },
        "alter" | "analyse" | "analyze" | "cluster" | "comment" | "drop" | "grant" | "import" | "reassign"
        | "refresh" | "reindex" | "revoke" | "security" | "vacuum" => with(Kind::Write, Body::Everything),
        _ => return None,
    };
    // `CREATE TABLE … AS EXECUTE name`
    if let (Body::Everything, Some(execute)) = (&found.body, executes(words)) {
        return Some(Recognised { pin: found.pin, ..execute });
    }
    Some(found)
}

/// Whether a statement of [`Body::Everything`] changes definitions that a proof rests on. Maintenance doesn't, nor what
/// has effects on performance alone; who makes temporary objects is pinned to them.
pub(super) fn defines(mut words: Words<'_>) -> bool {
    if words.eat("create") {
        let _ = words.eat("unique");
        return !words.at("index") && temporary(words).is_none();
    }
    let tame = ["analyse", "analyze", "cluster", "comment", "refresh", "reindex", "vacuum"];
    !tame.iter().any(|word| words.at(word))
}

/// The prepared statement that a CREATE TABLE AS runs: `… AS EXECUTE name`.
fn executes(mut words: Words<'_>) -> Option<Recognised> {
    while !words.done() {
        if words.eat_all(&["as", "execute"]) {
            let (name, name_span) = words.name()?;
            return Some(with(Kind::Execute { name, name_span }, Body::Unseen));
        }
        words.skip();
    }
    None
}

/// CREATE [OR REPLACE] [GLOBAL | LOCAL] TEMP…, or in a temporary schema.
fn temporary(rest: Words<'_>) -> Option<Pin> {
    let mut head = rest;
    head.eat_all(&["or", "replace"]);
    let _ = head.eat("global") || head.eat("local");
    (head.at("temp") || head.at("temporary") || names_temporary_schema(rest)).then_some(Pin::TemporaryTable)
}

/// Whether the temporary schema is named anywhere.
pub(super) fn names_temporary_schema(words: Words<'_>) -> bool {
    words.tokens.iter().any(|token| token.is_name() && token.name(words.sql).starts_with("pg_temp"))
}

/// SELECT … INTO [GLOBAL | LOCAL] TEMP…
pub(super) fn selects_into_temporary(mut words: Words<'_>) -> bool {
    let whole = words;
    while !words.done() {
        if words.eat("into") {
            let _ = words.eat("global") || words.eat("local");
            if words.at("temp") || words.at("temporary") {
                return true;
            }
        } else {
            words.skip();
        }
    }
    names_temporary_schema(whole)
}

fn copy(mut rest: Words<'_>) -> Option<Recognised> {
    if rest.at_kind(TokenKind::LeftParen) {
        rest.group()?;
    } else {
        if rest.at("binary") && rest.tokens.get(1).is_some_and(|token| token.is_name()) {
            rest.skip();
        }
        rest.dotted()?;
        if rest.at_kind(TokenKind::LeftParen) {
            rest.group()?;
        }
    }
    let into = rest.eat("from");
    if !into && !rest.eat("to") {
        return None;
    }
    // Either word is taken in either direction.
    let client = rest.at("stdin") || rest.at("stdout");
    if !client && !rest.at("program") && !rest.at_kind(TokenKind::Text) {
        return None;
    }
    let kind = match (into, client) {
        (true, true) => Kind::CopyIn,
        (true, false) => Kind::Write,
        (false, true) => Kind::CopyOut,
        (false, false) => Kind::Read,
    };
    Some(with(kind, Body::Tables))
}

fn explain(mut rest: Words<'_>) -> Option<Recognised> {
    let mut analyze = false;
    let query = ["select", "values", "table", "with"];
    let mut inside = rest;
    if let Some(options) = inside.group()
        && !options.at_kind(TokenKind::LeftParen)
        && !query.iter().any(|word| options.at(word))
    {
        rest = inside;
        analyze = options.tokens.iter().any(|token| token.is(rest.sql, "analyze") || token.is(rest.sql, "analyse"))
            || options.tokens.iter().any(|token| token.kind == TokenKind::Quoted);
    } else {
        while rest.at("analyze") || rest.at("analyse") || rest.at("verbose") {
            analyze |= !rest.at("verbose");
            rest.skip();
        }
    }
    let first = rest.first()?;
    let verb = first.name(rest.sql);
    if first.kind == TokenKind::Word && verb == "execute" {
        rest.skip();
        return session(&verb, rest);
    }
    if let Some(execute) = executes(rest) {
        return Some(execute);
    }
    if !analyze {
        return Some(plain(Kind::Read));
    }
    match verb.as_str() {
        "create" | "refresh" => Some(with(Kind::Write, Body::Everything)),
        "declare" => Some(with(Kind::Write, Body::Unseen)),
        _ => Some(with(Kind::Read, Body::Tables)),
    }
}
