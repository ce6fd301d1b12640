//! SET, RESET and SHOW in all their forms.

use super::kind::{Body, Recognised, modes};
use super::words::Words;
use super::{Isolation, Kind, Pin, Set, SetValue};
use crate::sql::TokenKind;

fn plain(kind: Kind) -> Recognised {
    Recognised { kind, body: Body::Nothing, pin: None }
}

fn setting(local: bool, name: &str, value: SetValue) -> Option<Recognised> {
    // The next CREATE TABLE would make a temporary one.
    let temporary = matches!(&value, SetValue::List(list) if list.iter().any(|item| item.contains("pg_temp")));
    let pin = (name == "search_path" && temporary).then_some(Pin::TemporaryTable);
    Some(Recognised { kind: Kind::Set(Set { local, name: name.to_owned(), value }), body: Body::Nothing, pin })
}

fn one(value: impl Into<String>) -> SetValue {
    SetValue::List(vec![value.into()])
}

/// What follows SET (`VariableSetStmt`, `ConstraintsSetStmt`).
pub(super) fn set(mut rest: Words<'_>) -> Option<Recognised> {
    if rest.at("constraints") {
        let mut constraints = rest;
        constraints.skip();
        if !constraints.at("to") && !constraints.at_operator("=") {
            return Some(plain(Kind::SetConstraints));
        }
    }
    if rest.eat_all(&["session", "characteristics", "as", "transaction"]) {
        return characteristics(rest);
    }
    // `SET SESSION SESSION AUTHORIZATION …` has the word twice.
    let local = if rest.at("session") && rest.then("authorization") {
        false
    } else {
        let local = rest.at("local");
        let _ = rest.eat("local") || rest.eat("session");
        local
    };
    if rest.eat("transaction") {
        if rest.eat("snapshot") {
            rest.eat_kind(TokenKind::Text);
            return rest.done().then(|| plain(Kind::SetTransaction(Default::default())));
        }
        return if rest.done() { None } else { Some(plain(Kind::SetTransaction(modes(rest)?))) };
    }
    if let Some((name, value)) = special(rest) {
        return setting(local, name, value);
    }
    let name = variable(&mut rest)?;
    if rest.eat_all(&["from", "current"]) {
        return if rest.done() { setting(local, &name, SetValue::Other) } else { None };
    }
    if !rest.eat("to") && !rest.eat_operator("=") {
        return None;
    }
    if rest.eat("default") {
        return if rest.done() { setting(local, &name, SetValue::Default) } else { None };
    }
    let value = list(rest).map_or(SetValue::Other, SetValue::List);
    setting(local, &name, value)
}

fn list(mut rest: Words<'_>) -> Option<Vec<String>> {
    let mut list = vec![value(&mut rest)?];
    while rest.eat_kind(TokenKind::Comma) {
        list.push(value(&mut rest)?);
    }
    rest.done().then_some(list)
}

/// The forms with keywords of their own.
fn special(mut rest: Words<'_>) -> Option<(&'static str, SetValue)> {
    let found = if rest.eat_all(&["time", "zone"]) {
        ("timezone", zone(&mut rest)?)
    } else if rest.eat("names") {
        let default = rest.done() || rest.eat("default");
        ("client_encoding", if default { SetValue::Default } else { one(rest.text()?) })
    } else if rest.eat_all(&["session", "authorization"]) {
        let default = rest.eat("default");
        ("session_authorization", if default { SetValue::Default } else { one(value(&mut rest)?) })
    } else if rest.eat_all(&["xml", "option"]) {
        let name = rest.name().filter(|(name, _)| name == "document" || name == "content")?;
        ("xmloption", one(name.0))
    } else if rest.at("role") && !rest.then("to") && rest.tokens.get(1).is_some_and(|next| next.kind != TokenKind::Dot)
    {
        rest.skip();
        if rest.at_operator("=") {
            return None;
        }
        // NONE isn't what RESET makes of it: a role may have a setting `role` of its own (ALTER ROLE … SET).
        ("role", one(value(&mut rest)?))
    } else if rest.at("schema") && rest.tokens.get(1).is_some_and(|next| next.kind == TokenKind::Text) {
        rest.skip();
        ("search_path", one(rest.text()?))
    } else {
        return None;
    };
    rest.done().then_some(found)
}

/// SET SESSION CHARACTERISTICS AS TRANSACTION: the value is a list of settings and values by turns.
fn characteristics(rest: Words<'_>) -> Option<Recognised> {
    if rest.done() {
        return None;
    }
    let modes = modes(rest)?;
    let mut list = Vec::new();
    if let Some(isolation) = modes.isolation {
        let level = match isolation {
            Isolation::ReadUncommitted => "read uncommitted",
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        };
        list.extend(["default_transaction_isolation".to_owned(), level.to_owned()]);
    }
    if let Some(read_only) = modes.read_only {
        let value = if read_only { "on" } else { "off" };
        list.extend(["default_transaction_read_only".to_owned(), value.to_owned()]);
    }
    if let Some(at) = rest.tokens.iter().position(|token| token.is(rest.sql, "deferrable")) {
        let not = at.checked_sub(1).and_then(|at| rest.tokens.get(at)).is_some_and(|token| token.is(rest.sql, "not"));
        list.extend(["default_transaction_deferrable".to_owned(), if not { "off" } else { "on" }.to_owned()]);
    }
    setting(false, "session characteristics", SetValue::List(list))
}

/// A setting's name, one or more parts (`var_name`), lower-cased as it is looked up.
fn variable(rest: &mut Words<'_>) -> Option<String> {
    Some(rest.dotted()?.join(".").to_ascii_lowercase())
}

/// One value: a string, a word, a signed number. DEFAULT inside a list is no value.
fn value(rest: &mut Words<'_>) -> Option<String> {
    let token = rest.first()?;
    match token.kind {
        TokenKind::Text => rest.text(),
        TokenKind::Word if token.is(rest.sql, "default") => None,
        TokenKind::Word | TokenKind::Quoted => rest.name().map(|(name, _)| name),
        TokenKind::Number => {
            rest.skip();
            Some(String::from_utf8_lossy(token.bytes(rest.sql)).into_owned())
        }
        TokenKind::Operator => {
            let sign = if rest.eat_operator("-") {
                "-"
            } else if rest.eat_operator("+") {
                ""
            } else {
                return None;
            };
            let number = rest.first().filter(|token| token.kind == TokenKind::Number)?;
            rest.skip();
            Some(format!("{sign}{}", String::from_utf8_lossy(number.bytes(rest.sql))))
        }
        _ => None,
    }
}

fn zone(rest: &mut Words<'_>) -> Option<SetValue> {
    if rest.eat("default") || rest.eat("local") {
        return Some(SetValue::Default);
    }
    if rest.at("interval") {
        rest.tokens = &[];
        return Some(SetValue::Other);
    }
    Some(one(value(rest)?))
}

/// What follows RESET.
pub(super) fn reset(mut rest: Words<'_>) -> Option<Recognised> {
    if rest.at("all") && rest.tokens.len() == 1 {
        return Some(plain(Kind::ResetAll));
    }
    let name = special_name(&mut rest)?;
    rest.done().then(|| plain(Kind::Reset(name)))
}

/// What follows SHOW.
pub(super) fn show(mut rest: Words<'_>) -> Option<Recognised> {
    let name = special_name(&mut rest)?;
    rest.done().then(|| plain(Kind::Show(name)))
}

fn special_name(rest: &mut Words<'_>) -> Option<String> {
    let forms: [(&[&str], &str); 3] = [
        (&["time", "zone"], "timezone"),
        (&["transaction", "isolation", "level"], "transaction_isolation"),
        (&["session", "authorization"], "session_authorization"),
    ];
    for (words, name) in forms {
        if rest.eat_all(words) {
            return Some(name.to_owned());
        }
    }
    variable(rest)
}
