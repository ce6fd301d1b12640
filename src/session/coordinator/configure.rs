//! `SELECT set_config(…)` in a transaction over shards: what SET is, and told to all shards as SET is.

use super::block::is_planned_by;
use super::describe::Prepared;
use super::multi::{Bind, Extra, Question, all_types, put_question};
use super::welcome::put_body;
use super::{Coordinator, Go};
use crate::backend::settings::push_literal;
use crate::base::{PgError, SqlState};
use crate::sql::literal::text_value;
use crate::sql::{Lexer, Token, TokenKind};
use crate::wire::frame::back;
use crate::wire::message;

/// One call: name, value, whether it is local.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call([Argument; 3]);

#[derive(Clone, Debug, PartialEq)]
enum Argument {
    Text(String),
    Null,
    Param(usize),
}

impl Coordinator {
    /// Runs it on the home shard for the client, and what it sets on the others.
    pub(super) async fn configure(&mut self, prepared: &Prepared, calls: &[Call], bind: &Bind, describe: bool) -> Go {
        let home = self.home();
        let mut sets = Vec::new();
        for Call([name, value, local]) in calls {
            let text = |argument: &Argument| argument.value(bind);
            let (name, value) = (text(name)?, text(value)?);
            let local = text(local)?.is_some_and(|word| is_true(&word));
            sets.push((name, value, local));
        }
        let mut link = self.engage(home).await?;
        let question = Question {
            sql: prepared.sql.clone(),
            types: all_types(prepared, &Extra::default()),
            results: bind.results.clone(),
            named: None,
        };
        put_question(&mut link, &question, bind, &Extra::default(), true, false);
        link.sync();
        let answer = self.ask(&mut link).await?;
        self.put_link(home, link);
        if let Some(error) = &answer.error {
            return Err(self.tell_frame(error, &answer.error_frame));
        }
        let script = script(&sets);
        for shard in (0..self.links.len()).filter(|&shard| shard != home) {
            if self.links.get(shard).and_then(Option::as_ref).is_some_and(|link| link.joined) {
                let mut link = self.take_link(shard)?;
                let told = self.run_on(&mut link, &script).await?;
                self.put_link(shard, link);
                told.good()?;
            }
        }
        for (name, value, _) in &mut sets {
            // NULL is what RESET is.
            let reset = name.as_ref().filter(|_| value.is_none()).map(|name| name.to_ascii_lowercase());
            if let Some(name) = reset.filter(|name| !is_planned_by(name)) {
                *value = Some(self.shown(&name).await?);
            }
        }
        self.note_configured(&sets, script);
        if describe && let Some(row) = &answer.row {
            put_body(&mut self.output, back::ROW_DESCRIPTION, row);
        }
        for row in &answer.rows {
            put_body(&mut self.output, back::DATA_ROW, row);
        }
        message::command_complete(&mut self.output, "SELECT 1");
        Ok(())
    }
}

impl Argument {
    fn value(&self, bind: &Bind) -> Result<Option<String>, PgError> {
        let at = match self {
            Self::Text(text) => return Ok(Some(text.clone())),
            Self::Null => return Ok(None),
            Self::Param(at) => *at,
        };
        let value = bind.values.get(at).cloned().flatten();
        let text = value.map(|bytes| match (bind.format(at), bytes.as_slice()) {
            // The third one is a boolean.
            (1, [0]) => Some("false".to_owned()),
            (1, [1]) => Some("true".to_owned()),
            _ => String::from_utf8(bytes).ok(),
        });
        match text {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, "a setting's value must be UTF-8")
                .hint("SET client_encoding TO 'UTF8'.")),
        }
    }
}

/// A name, a value, whether it is local.
pub(super) type Setting = (Option<String>, Option<String>, bool);

fn script(sets: &[Setting]) -> String {
    let mut sql = String::from("SELECT ");
    for (at, (name, value, local)) in sets.iter().enumerate() {
        sql.push_str(if at == 0 { "pg_catalog.set_config(" } else { ", pg_catalog.set_config(" });
        for text in [name, value] {
            match text {
                Some(text) => push_literal(&mut sql, text),
                None => sql.push_str("NULL"),
            }
            sql.push_str(", ");
        }
        sql.push_str(if *local { "true)" } else { "false)" });
    }
    sql
}

/// A boolean's words as PostgreSQL reads them (`parse_bool_with_len`). What it doesn't know was an error before.
fn is_true(word: &str) -> bool {
    let word = word.trim().to_ascii_lowercase();
    !word.is_empty() && (word == "1" || word == "on" || "true".starts_with(&word) || "yes".starts_with(&word))
}

/// The calls of a statement that does nothing else. `None`: it does, or its arguments aren't constants and parameters.
pub(super) fn read(sql: &str, standard_strings: bool) -> Option<Vec<Call>> {
    let bytes = sql.as_bytes();
    let tokens: Vec<Token> = Lexer::new(bytes, standard_strings)
        .filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment | TokenKind::Semicolon))
        .collect();
    let mut reader = Reader { bytes, tokens: &tokens, standard_strings };
    reader.word("select")?;
    let mut calls = Vec::new();
    loop {
        calls.push(reader.call()?);
        if reader.tokens.is_empty() {
            return Some(calls);
        }
        reader.kind(TokenKind::Comma)?;
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    tokens: &'a [Token],
    standard_strings: bool,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    fn kind(&mut self, kind: TokenKind) -> Option<Token> {
        self.next().filter(|token| token.kind == kind)
    }

    fn is(&self, kind: TokenKind) -> bool {
        self.tokens.first().is_some_and(|token| token.kind == kind)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.next().filter(|token| token.is(self.bytes, word)).map(|_| ())
    }

    /// `[pg_catalog.] set_config (…) [[AS] alias]`
    fn call(&mut self) -> Option<Call> {
        let mut name = self.next().filter(Token::is_name)?.name(self.bytes);
        if name == "pg_catalog" && self.is(TokenKind::Dot) {
            self.next();
            name = self.next().filter(Token::is_name)?.name(self.bytes);
        }
        if name != "set_config" {
            return None;
        }
        self.kind(TokenKind::LeftParen)?;
        let name = self.argument()?;
        self.kind(TokenKind::Comma)?;
        let value = self.argument()?;
        self.kind(TokenKind::Comma)?;
        let local = self.argument()?;
        self.kind(TokenKind::RightParen)?;
        if self.tokens.first().is_some_and(|token| token.is(self.bytes, "as")) {
            self.next();
            self.next().filter(Token::is_name)?;
        } else if self.tokens.first().is_some_and(Token::is_name) {
            let from = self.next().is_some_and(|token| token.is(self.bytes, "from"));
            return (!from).then_some(Call([name, value, local]));
        }
        Some(Call([name, value, local]))
    }

    /// A constant or a parameter, perhaps with a cast to a type of one word.
    fn argument(&mut self) -> Option<Argument> {
        let token = self.next()?;
        let argument = match token.kind {
            TokenKind::Text => Argument::Text(text_value(token.bytes(self.bytes), self.standard_strings)?),
            TokenKind::Param => {
                let digits = std::str::from_utf8(token.bytes(self.bytes).get(1..)?).ok()?;
                Argument::Param(digits.parse::<usize>().ok()?.checked_sub(1)?)
            }
            _ if token.is(self.bytes, "null") => Argument::Null,
            _ if token.is(self.bytes, "true") => Argument::Text("true".to_owned()),
            _ if token.is(self.bytes, "false") => Argument::Text("false".to_owned()),
            _ => return None,
        };
        if self.tokens.first().is_some_and(|token| token.bytes(self.bytes) == b"::") {
            self.next();
            let target = self.next().filter(Token::is_name)?.name(self.bytes);
            if !matches!(target.as_str(), "text" | "varchar" | "bool" | "boolean") {
                return None;
            }
        }
        Some(argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_have_many_names() {
        for word in ["t", "TRUE", " tr ", "y", "Yes", "on", "1"] {
            assert!(is_true(word), "{word}");
        }
        for word in ["", "f", "false", "no", "off", "0"] {
            assert!(!is_true(word), "{word}");
        }
    }

    #[test]
    fn calls_are_read() {
        let calls = read("SELECT set_config('a.b', $1::text, true) AS x, pg_catalog.set_config($2, 'c', $3)", true);
        let text = |text: &str| Argument::Text(text.to_owned());
        assert_eq!(
            calls,
            Some(vec![
                Call([text("a.b"), Argument::Param(0), text("true")]),
                Call([Argument::Param(1), text("c"), Argument::Param(2)]),
            ])
        );
        assert_eq!(read("SELECT set_config('a', 'b', true), f()", true), None);
        assert_eq!(read("SELECT set_config('a', name, true) FROM customers", true), None);
        assert_eq!(read("SELECT set_config('a', 'b', true) FROM customers", true), None);
        let sets = [(Some("a".to_owned()), Some("it's".to_owned()), false), (None, None, true)];
        assert_eq!(
            script(&sets),
            "SELECT pg_catalog.set_config('a', 'it''s', false), pg_catalog.set_config(NULL, NULL, true)"
        );
    }
}
