//! What temporary tables a statement names or makes, read from its words.

use crate::sql::{Lexer, Token, TokenKind};

/// A statement's tokens without spaces and comments.
struct Words<'a> {
    bytes: &'a [u8],
    tokens: Vec<Token>,
    at: usize,
}

impl<'a> Words<'a> {
    fn of(sql: &'a str) -> Self {
        let bytes = sql.as_bytes();
        let shown = |token: &Token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment);
        Self { bytes, tokens: Lexer::new(bytes, true).filter(shown).collect(), at: 0 }
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(self.bytes, word))
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.is(self.at, word);
        self.at += usize::from(found);
        found
    }

    fn skip(&mut self, words: &[&str]) {
        while words.iter().any(|word| self.eat(word)) {}
    }

    fn find(&mut self, word: &str) -> bool {
        let found = (self.at..self.tokens.len()).find(|at| self.is(*at, word));
        self.at = found.map_or(self.tokens.len(), |at| at + 1);
        found.is_some()
    }

    /// A name with what qualifies it.
    fn dotted(&mut self) -> Vec<String> {
        let mut parts = Vec::new();
        while let Some(token) = self.tokens.get(self.at).filter(|token| token.is_name()) {
            parts.push(token.name(self.bytes));
            self.at += 1;
            if self.tokens.get(self.at).is_none_or(|token| token.kind != TokenKind::Dot) {
                break;
            }
            self.at += 1;
        }
        parts
    }

    /// Names with commas between them.
    fn list(&mut self) -> Vec<String> {
        let mut names = self.dotted();
        while self.tokens.get(self.at).is_some_and(|token| token.kind == TokenKind::Comma) {
            self.at += 1;
            names.extend(self.dotted());
        }
        names
    }

    /// All names of the statement, and whether a parenthesis follows.
    fn all(&self) -> Vec<(String, bool)> {
        let called = |at: usize| self.tokens.get(at + 1).is_some_and(|token| token.kind == TokenKind::LeftParen);
        let named = self.tokens.iter().enumerate().filter(|(_, token)| token.is_name());
        named.map(|(at, token)| (token.name(self.bytes), called(at))).collect()
    }

    /// The names that stand right behind these words.
    fn behind(&mut self, words: &[&str]) -> Vec<String> {
        let mut names = Vec::new();
        while self.at < self.tokens.len() {
            if words.iter().any(|word| self.is(self.at, word)) {
                self.at += 1;
                let opened = self.tokens.get(self.at).is_some_and(|token| token.kind == TokenKind::LeftParen);
                self.at += usize::from(opened);
                names.extend(self.list());
            } else {
                self.at += 1;
            }
        }
        names
    }
}

/// The names in a text that may be tables', and whether a parenthesis follows. Of a definition these are what it is
/// about: names of columns, and what bodies of functions say, don't make it one of a temporary table.
pub(super) fn names(sql: &str) -> Vec<(String, bool)> {
    let mut words = Words::of(sql);
    match about(&mut words) {
        Some(names) => names.into_iter().map(|name| (name, false)).collect(),
        None => words.all(),
    }
}

fn about(words: &mut Words<'_>) -> Option<Vec<String>> {
    if words.eat("create") {
        return created_about(words);
    }
    if words.eat("alter") || words.eat("drop") {
        words.skip(&["materialized", "foreign"]);
        return Some(if ["table", "index", "view", "sequence"].iter().any(|kind| words.eat(kind)) {
            words.skip(&["concurrently", "if", "exists", "only"]);
            words.list()
        } else {
            // Of triggers, rules and policies: their table.
            words.behind(&["on"])
        });
    }
    if words.eat("comment") {
        words.find("on");
        let column = words.eat("column");
        words.skip(&["table", "index", "view", "sequence"]);
        let mut names = words.dotted();
        if column {
            names.pop();
        }
        names.extend(words.behind(&["on"]));
        return Some(names);
    }
    if words.eat("grant") || words.eat("revoke") {
        words.find("on");
        words.skip(&["table", "sequence"]);
        return Some(words.list());
    }
    None
}

/// Behind CREATE.
fn created_about(words: &mut Words<'_>) -> Option<Vec<String>> {
    words.skip(&["or", "replace", "global", "local", "temp", "temporary", "unlogged", "unique", "recursive"]);
    if words.eat("table") {
        words.skip(&["if", "not", "exists"]);
        let start = words.at;
        if words.find("as") {
            // Of any table.
            return None;
        }
        words.at = start;
        let mut names = words.dotted();
        names.extend(words.behind(&["like", "inherits", "of", "references"]));
        return Some(names);
    }
    if words.eat("view") {
        return None;
    }
    if words.eat("index") || words.eat("trigger") || words.eat("policy") {
        words.find("on");
        words.skip(&["only"]);
        return Some(words.dotted());
    }
    if words.eat("rule") {
        words.find("to");
        return Some(words.dotted());
    }
    Some(words.behind(&["on"]))
}

/// `CREATE [LOCAL | GLOBAL] TEMP[ORARY] TABLE [IF NOT EXISTS] name`
pub(super) fn created(sql: &str) -> Option<String> {
    let mut words = Words::of(sql);
    words.find("create");
    words.skip(&["local", "global", "temp", "temporary"]);
    if !words.eat("table") {
        return None;
    }
    words.skip(&["if", "not", "exists"]);
    words.dotted().pop()
}

/// `CREATE [UNIQUE] INDEX [CONCURRENTLY] [IF NOT EXISTS] name ON …`, `CREATE [OR REPLACE] [RECURSIVE] VIEW name …`
pub(super) fn made_of(sql: &str) -> Option<String> {
    let mut words = Words::of(sql);
    if !words.eat("create") {
        return None;
    }
    words.skip(&["unique", "or", "replace", "recursive", "temp", "temporary"]);
    if !words.eat("index") && !words.eat("view") {
        return None;
    }
    words.skip(&["concurrently", "if", "not", "exists"]);
    if words.is(words.at, "on") { None } else { words.dotted().pop() }
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
