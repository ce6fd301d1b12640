//! What temporary tables a statement names or makes, read from its words.

use super::words::Words;
use crate::sql::{Lexer, Token, TokenKind};

/// The tokens of a statement without spaces and comments.
fn tokens(sql: &str) -> Vec<Token> {
    let shown = |token: &Token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment);
    Lexer::new(sql.as_bytes(), true).filter(shown).collect()
}

fn words<'a>(sql: &'a str, tokens: &'a [Token]) -> Words<'a> {
    Words { sql: sql.as_bytes(), tokens, standard_strings: true }
}

/// Takes any of these keywords, as long as they come.
fn skip(words: &mut Words<'_>, any: &[&str]) {
    while any.iter().any(|word| words.eat(word)) {}
}

/// Goes on behind a keyword; to the end where it doesn't come.
fn find(words: &mut Words<'_>, word: &str) -> bool {
    while !words.done() {
        if words.eat(word) {
            return true;
        }
        words.skip();
    }
    false
}

/// The parts of names with commas between them.
fn list(words: &mut Words<'_>) -> Vec<String> {
    let mut names = words.dotted().unwrap_or_default();
    while words.eat_kind(TokenKind::Comma) {
        names.extend(words.dotted().unwrap_or_default());
    }
    names
}

/// The names that stand right behind these keywords.
fn behind(words: &mut Words<'_>, any: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    while !words.done() {
        if any.iter().any(|word| words.eat(word)) {
            words.eat_kind(TokenKind::LeftParen);
            names.extend(list(words));
        } else {
            words.skip();
        }
    }
    names
}

/// All names of a statement, and whether a parenthesis follows.
fn all(words: Words<'_>) -> Vec<(String, bool)> {
    let called = |at: usize| words.tokens.get(at + 1).is_some_and(|token| token.kind == TokenKind::LeftParen);
    let named = words.tokens.iter().enumerate().filter(|(_, token)| token.is_name());
    named.map(|(at, token)| (token.name(words.sql), called(at))).collect()
}

/// The names in a text that may be tables', and whether a parenthesis follows. Of a definition these are what it is
/// about: names of columns, and what bodies of functions say, don't make it one of a temporary table.
pub fn names(sql: &str) -> Vec<(String, bool)> {
    let tokens = tokens(sql);
    let words = words(sql, &tokens);
    match about(&mut { words }) {
        Some(names) => names.into_iter().map(|name| (name, false)).collect(),
        None => all(words),
    }
}

fn about(words: &mut Words<'_>) -> Option<Vec<String>> {
    if words.eat("create") {
        return created_about(words);
    }
    if words.eat("alter") || words.eat("drop") {
        skip(words, &["materialized", "foreign"]);
        return Some(if ["table", "index", "view", "sequence"].iter().any(|kind| words.eat(kind)) {
            skip(words, &["concurrently", "if", "exists", "only"]);
            list(words)
        } else {
            // Of triggers, rules and policies: their table.
            behind(words, &["on"])
        });
    }
    if words.eat("comment") {
        find(words, "on");
        let column = words.eat("column");
        skip(words, &["table", "index", "view", "sequence"]);
        let mut names = words.dotted().unwrap_or_default();
        if column {
            names.pop();
        }
        names.extend(behind(words, &["on"]));
        return Some(names);
    }
    if words.eat("grant") || words.eat("revoke") {
        find(words, "on");
        skip(words, &["table", "sequence"]);
        return Some(list(words));
    }
    None
}

/// Behind CREATE.
fn created_about(words: &mut Words<'_>) -> Option<Vec<String>> {
    skip(words, &["or", "replace", "global", "local", "temp", "temporary", "unlogged", "unique", "recursive"]);
    if words.eat("table") {
        skip(words, &["if", "not", "exists"]);
        if find(&mut { *words }, "as") {
            // Of any table.
            return None;
        }
        let mut names = words.dotted().unwrap_or_default();
        names.extend(behind(words, &["like", "inherits", "of", "references"]));
        return Some(names);
    }
    if words.eat("view") {
        return None;
    }
    if words.eat("index") || words.eat("trigger") || words.eat("policy") {
        find(words, "on");
        skip(words, &["only"]);
        return Some(words.dotted().unwrap_or_default());
    }
    if words.eat("rule") {
        find(words, "to");
        return Some(words.dotted().unwrap_or_default());
    }
    Some(behind(words, &["on"]))
}

/// `CREATE [LOCAL | GLOBAL] TEMP[ORARY] TABLE [IF NOT EXISTS] name`
pub fn created(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let mut words = words(sql, &tokens);
    find(&mut words, "create");
    skip(&mut words, &["local", "global", "temp", "temporary"]);
    if !words.eat("table") {
        return None;
    }
    skip(&mut words, &["if", "not", "exists"]);
    words.dotted()?.pop()
}

/// `CREATE [UNIQUE] INDEX [CONCURRENTLY] [IF NOT EXISTS] name ON …`, `CREATE [OR REPLACE] [RECURSIVE] VIEW name …`
pub fn made_of(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let mut words = words(sql, &tokens);
    if !words.eat("create") {
        return None;
    }
    skip(&mut words, &["unique", "or", "replace", "recursive", "temp", "temporary"]);
    if !words.eat("index") && !words.eat("view") {
        return None;
    }
    skip(&mut words, &["concurrently", "if", "not", "exists"]);
    if words.at("on") { None } else { words.dotted()?.pop() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_temporary_tables_are_found() {
        assert_eq!(created("CREATE TEMP TABLE mine (a int)").as_deref(), Some("mine"));
        assert_eq!(
            created("create local temporary table if not exists pg_temp.\"My T\" as select 1").as_deref(),
            Some("My T")
        );
        assert_eq!(created("CREATE TEMP VIEW v AS SELECT 1"), None);
    }

    #[test]
    fn names_of_what_is_made_of_them_are_found() {
        for (sql, name) in [
            ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"I\" ON mine (a)", Some("I")),
            ("CREATE INDEX ON mine (a)", None),
            ("create or replace view v as select * from mine", Some("v")),
            ("CREATE TABLE t AS SELECT * FROM mine", None),
            ("INSERT INTO mine VALUES (1)", None),
        ] {
            assert_eq!(made_of(sql).as_deref(), name, "{sql}");
        }
    }

    #[test]
    fn a_definition_names_what_it_is_about() {
        for (sql, expected) in [
            ("CREATE TABLE t (a int, b int REFERENCES s.r (c), LIKE u) INHERITS (p, q)", "t s r u p q"),
            ("CREATE TABLE t PARTITION OF p FOR VALUES IN (a)", "t p"),
            ("CREATE INDEX i ON ONLY t (a)", "t"),
            ("CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'", ""),
            ("CREATE TRIGGER a BEFORE INSERT ON t EXECUTE FUNCTION b()", "t"),
            ("CREATE RULE a AS ON INSERT TO t DO NOTHING", "t"),
            ("ALTER TABLE IF EXISTS ONLY s.t ADD COLUMN a int, DROP COLUMN b", "s t"),
            ("DROP TABLE IF EXISTS t, s.u CASCADE", "t s u"),
            ("DROP TRIGGER a ON t", "t"),
            ("COMMENT ON COLUMN t.a IS 'b'", "t"),
            ("GRANT SELECT (a), UPDATE ON TABLE t, u TO b", "t u"),
            ("SELECT a FROM t", "select a from t"),
        ] {
            let names: Vec<String> = names(sql).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names.join(" "), expected, "{sql}");
        }
    }
}
