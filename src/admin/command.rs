//! From a console statement's text to what it asks for.

use crate::base::{PgError, SqlState};
use crate::telemetry::view::Command;

/// What a statement asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Request {
    /// Nothing but blanks, comments, semicolons.
    Empty,
    Help,
    /// `SHOW name`, in lower case; the table of tables may not know it.
    Show(String),
    /// A setting that drivers set on every connection; it has no meaning here.
    Set(String),
    Do(Command),
    /// What PgBouncer has and pgbraid hasn't.
    Unsupported(String),
}

/// Settings that drivers send unasked: taken and ignored, as PgBouncer does with those that it knows.
const IGNORED_SETTINGS: [&str; 12] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "extra_float_digits",
    "intervalstyle",
    "names",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
];

/// Reads one statement.
///
/// # Errors
/// 42601 where it isn't a command of the console.
pub(super) fn parse(text: &str) -> Result<Request, PgError> {
    let words = words(text).ok_or_else(|| invalid(text))?;
    let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    let database = || words.get(1).map(|word| unquote(word));
    Ok(match upper.as_slice() {
        [] => Request::Empty,
        ["SHOW", "HELP"] | ["HELP"] => Request::Help,
        ["SHOW", "TIME", "ZONE"] => Request::Show("timezone".to_owned()),
        ["SHOW", name] => Request::Show(name.to_ascii_lowercase()),
        ["SET", "SESSION" | "LOCAL", name, ..] | ["SET", name, ..] => set(name)?,
        ["RELOAD"] => Request::Do(Command::Reload),
        ["PAUSE"] | ["PAUSE", _] => Request::Do(Command::Pause(database())),
        ["RESUME"] | ["RESUME", _] => Request::Do(Command::Resume(database())),
        ["RECONNECT"] | ["RECONNECT", _] => Request::Do(Command::Reconnect(database())),
        ["KILL"] | ["KILL", _] => Request::Do(Command::Kill(database())),
        ["SHUTDOWN"] => Request::Do(Command::Shutdown { now: true }),
        ["SHUTDOWN", "WAIT_FOR_SERVERS"] => Request::Do(Command::Shutdown { now: false }),
        ["SHUTDOWN", "WAIT_FOR_CLIENTS"] | ["SUSPEND" | "DISABLE" | "ENABLE" | "KILL_CLIENT" | "WAIT_CLOSE", ..] => {
            Request::Unsupported(upper.join(" "))
        }
        _ => return Err(invalid(text)),
    })
}

fn set(name: &str) -> Result<Request, PgError> {
    let name = if name == "TIME" { "timezone".to_owned() } else { name.to_ascii_lowercase() };
    if IGNORED_SETTINGS.contains(&name.as_str()) {
        return Ok(Request::Set(name));
    }
    Err(PgError::error(SqlState::FEATURE_NOT_SUPPORTED, format!("setting \"{name}\" can't be changed in the console"))
        .hint("Change the configuration file and say RELOAD; SHOW CONFIG tells what RELOAD applies."))
}

fn invalid(text: &str) -> PgError {
    const SHOWN: usize = 100;
    let mut shown: String = text.trim().chars().take(SHOWN).collect();
    if shown.len() < text.trim().len() {
        shown.push('…');
    }
    PgError::error(SqlState::SYNTAX_ERROR, format!("invalid command '{shown}'"))
        .hint("This is pgbraid's console, not a database. SHOW HELP lists its commands; in drivers use autocommit.")
}

/// Words, numbers, quoted names and strings; comments, commas and `=` are blanks. One trailing semicolon or several are
/// dropped; `None`: something else, or a second statement.
fn words(text: &str) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut ended = false;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '=' || c == ',');
        let Some(first) = rest.chars().next() else { return Some(words) };
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, behind)| behind);
            continue;
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/")?.1;
            continue;
        }
        if first == ';' {
            ended = true;
            rest = rest.get(1..)?;
            continue;
        }
        if ended {
            return None;
        }
        let length = match first {
            '"' | '\'' => rest.get(1..)?.find(first)? + 2,
            _ => rest.find(|c: char| !word_char(c)).unwrap_or(rest.len()),
        };
        if length == 0 {
            return None;
        }
        words.push(rest.get(..length)?);
        rest = rest.get(length..)?;
    }
}

fn word_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | '$' | '/')
}

fn unquote(word: &str) -> String {
    let quoted = |quote: char| word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let shop = Some("shop".to_owned());
        for (text, request) in [
            ("", Request::Empty),
            (" ; ;\n", Request::Empty),
            ("-- ping", Request::Empty),
            ("/* a */ show /* b */ Pools;", Request::Show("pools".into())),
            ("SHOW HELP", Request::Help),
            ("show time zone", Request::Show("timezone".into())),
            ("reload;", Request::Do(Command::Reload)),
            ("PAUSE", Request::Do(Command::Pause(None))),
            ("pause shop;", Request::Do(Command::Pause(shop.clone()))),
            ("RESUME \"shop\"", Request::Do(Command::Resume(shop.clone()))),
            ("kill 'shop'", Request::Do(Command::Kill(shop))),
            ("SHUTDOWN", Request::Do(Command::Shutdown { now: true })),
            ("shutdown wait_for_servers", Request::Do(Command::Shutdown { now: false })),
            ("SET extra_float_digits = 3", Request::Set("extra_float_digits".into())),
            ("SET SESSION TimeZone TO 'Europe/Zurich'", Request::Set("timezone".into())),
            ("SET client_encoding='utf-8'", Request::Set("client_encoding".into())),
            ("suspend", Request::Unsupported("SUSPEND".into())),
        ] {
            assert_eq!(parse(text).ok(), Some(request), "{text}");
        }
    }

    #[test]
    fn what_is_no_command() {
        for text in
            ["SELECT 1", "SHOW", "SHOW POOLS; SHOW STATS", "BEGIN", "RELOAD now please", "PAUSE \"a", "/* x", "\u{e9}("]
        {
            let error = parse(text).expect_err(text);
            assert_eq!(error.code(), SqlState::SYNTAX_ERROR, "{text}");
            assert!(error.hint_text().is_some_and(|hint| hint.contains("SHOW HELP")));
        }
        assert_eq!(parse("SET pool_size = 3").map_err(|e| e.code()), Err(SqlState::FEATURE_NOT_SUPPORTED));
        let long = "é".repeat(500);
        assert!(parse(&long).expect_err("no command").message().chars().count() < 130);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_command_or_an_error(text in "[ -~\\n\u{e9}\u{2026}]{0,60}|.{0,60}") {
            if let Err(error) = parse(&text) {
                proptest::prop_assert!(error.message().chars().count() < 140);
            }
        }
    }
}
