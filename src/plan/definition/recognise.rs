//! Reads how a definition runs from its words. Kinds of objects that aren't listed here are refused.

use super::super::kind::names_temporary_schema;
use super::super::words::Words;
use super::{Definition, Each, Everywhere, Filled, NewIndex, NewTable, Truncated};
use crate::sql::{Lexer, TokenKind, statement};

/// Objects whose definitions PostgreSQL makes, changes and drops in transactions, beside tables, indexes and roles.
const PLAIN: &[&[&str]] = &[
    &["access", "method"],
    &["aggregate"],
    &["cast"],
    &["collation"],
    &["constraint", "trigger"],
    &["conversion"],
    &["default", "conversion"],
    &["default", "privileges"],
    &["domain"],
    &["event", "trigger"],
    &["extension"],
    &["foreign", "data", "wrapper"],
    &["foreign", "table"],
    &["function"],
    &["language"],
    &["materialized", "view"],
    &["operator"],
    &["owned"],
    &["policy"],
    &["procedural", "language"],
    &["procedure"],
    &["publication"],
    &["recursive", "view"],
    &["routine"],
    &["rule"],
    &["schema"],
    &["sequence"],
    &["server"],
    &["statistics"],
    &["table"],
    &["text", "search"],
    &["transform"],
    &["trigger"],
    &["trusted", "language"],
    &["trusted", "procedural", "language"],
    &["type"],
    &["user", "mapping"],
    &["view"],
];

/// Objects that belong to one server or to one database of it.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "database",
        "databases are made and changed on each server, not through a sharded database",
        "Connect to the servers themselves; the configuration says which databases are shards.",
    ),
    (
        "tablespace",
        "tablespaces are made and changed on each server, not through a sharded database",
        "Connect to the servers themselves.",
    ),
    (
        "system",
        "ALTER SYSTEM changes one server, not a sharded database",
        "Connect to the servers themselves, or edit their postgresql.conf.",
    ),
    (
        "subscription",
        "a subscription would bring the same rows to every shard",
        "SET pgbraid.shard = '…' makes it on a shard of your choice.",
    ),
    ("large", "large objects aren't supported on a sharded database", "Keep the data in a column of type bytea."),
];

/// What such a statement begins with.
const VERBS: &[&str] = &[
    "alter",
    "analyse",
    "analyze",
    "checkpoint",
    "cluster",
    "comment",
    "create",
    "drop",
    "grant",
    "import",
    "reassign",
    "refresh",
    "reindex",
    "revoke",
    "security",
    "vacuum",
    "truncate",
    "lock",
];

/// What a definition or a command of maintenance is. None: it is neither, or can't be read.
pub fn definition(sql: &str, standard_strings: bool) -> Option<Definition> {
    let mut tokens = Lexer::new(sql.as_bytes(), standard_strings);
    let first = tokens.find(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment))?;
    // Long INSERTs aren't read twice.
    if !VERBS.iter().any(|verb| first.is(sql.as_bytes(), verb)) {
        return None;
    }
    let split = statement::split(sql.as_bytes(), standard_strings)?;
    let [range] = split.statements.as_slice() else { return None };
    let tokens = split.tokens.get(range.clone())?;
    if tokens.iter().any(|token| token.kind == TokenKind::UnicodeQuoted) {
        return None;
    }
    let words = Words { sql: sql.as_bytes(), tokens, standard_strings };
    let verb = words.first().filter(|token| token.kind == TokenKind::Word)?.name(sql.as_bytes());
    let mut rest = words;
    rest.skip();
    match verb.as_str() {
        "create" => create(rest),
        "alter" => alter(rest),
        "drop" => drop(rest),
        "comment" | "security" => Some(about(rest)),
        "grant" | "revoke" => Some(grant(rest)),
        "truncate" => truncate(rest),
        "lock" => plain(Everywhere { harmless: true, in_block: true, ..Everywhere::default() }),
        "reassign" => plain(Everywhere { harmless: true, ..Everywhere::default() }),
        "import" => refused(
            "IMPORT FOREIGN SCHEMA over shards could give each shard other tables",
            "CREATE FOREIGN TABLE with the columns written out.",
            "definition",
        ),
        "refresh" => refresh(rest),
        "vacuum" => each("VACUUM", false),
        "analyze" | "analyse" => each("ANALYZE", true),
        "cluster" => each("CLUSTER", rest.first().is_some()),
        "checkpoint" => each("CHECKPOINT", true),
        "reindex" => reindex(rest),
        _ => None,
    }
}

#[allow(clippy::unnecessary_wraps)]
fn plain(everywhere: Everywhere) -> Option<Definition> {
    Some(Definition::All(everywhere))
}

#[allow(clippy::unnecessary_wraps)]
fn refused(message: &str, hint: &str, reason: &'static str) -> Option<Definition> {
    Some(Definition::Refused(message.to_owned(), hint.to_owned(), reason))
}

#[allow(clippy::unnecessary_wraps)]
fn each(what: &'static str, in_block: bool) -> Option<Definition> {
    Some(Definition::Each(Each { what, in_block, index: None }))
}

/// The refusal of an object that belongs to a server.
fn of_a_server(words: Words<'_>) -> Option<Definition> {
    let (_, message, hint) = REFUSED.iter().find(|(word, ..)| words.at(word))?;
    refused(message, hint, "server-object")
}

fn known(words: Words<'_>) -> bool {
    PLAIN.iter().any(|object| {
        let mut words = words;
        words.eat_all(object)
    })
}

fn create(mut rest: Words<'_>) -> Option<Definition> {
    let whole = rest;
    rest.eat_all(&["or", "replace"]);
    let _ = rest.eat("global") || rest.eat("local");
    if rest.at("temp") || rest.at("temporary") || names_temporary_schema(whole) {
        return refused(
            "temporary objects other than tables aren't supported on a sharded database",
            "SET pgbraid.shard = '…' makes them on a shard of your choice, for this session; or use a temporary table.",
            "temporary",
        );
    }
    if let Some(refused) = of_a_server(rest) {
        return Some(refused);
    }
    if at_role(rest) {
        return role(rest);
    }
    rest.eat("unlogged");
    if rest.at("table") {
        rest.skip();
        return table(rest);
    }
    if rest.eat_all(&["materialized", "view"]) {
        return filled(rest, "materialized view");
    }
    let mut index = rest;
    index.eat("unique");
    if index.eat("index") {
        return create_index(index);
    }
    if known(rest) { plain(Everywhere::default()) } else { None }
}

/// Behind TRUNCATE.
fn truncate(mut words: Words<'_>) -> Option<Definition> {
    words.eat("table");
    let mut truncated = Truncated::default();
    loop {
        words.eat("only");
        let table = new_table(&mut words)?;
        truncated.tables.push((table.schema, table.name));
        words.eat_operator("*");
        if !words.eat_kind(TokenKind::Comma) {
            break;
        }
    }
    truncated.cascade = outside(words).any(|word| word == "cascade");
    plain(Everywhere { harmless: true, truncates: Some(truncated), ..Everywhere::default() })
}

/// Behind REFRESH.
fn refresh(mut words: Words<'_>) -> Option<Definition> {
    words.eat_all(&["materialized", "view"]);
    words.eat("concurrently");
    Some(Definition::Refresh(new_table(&mut words)?))
}

/// A name, the last part of it being the object's.
fn new_table(words: &mut Words<'_>) -> Option<NewTable> {
    words.eat_all(&["if", "not", "exists"]);
    let mut parts = words.dotted()?;
    let name = parts.pop()?;
    // A database's name before it is the client's to know; PostgreSQL takes only the one that it is connected to.
    Some(NewTable { schema: parts.pop(), name })
}

/// Behind CREATE TABLE.
fn table(rest: Words<'_>) -> Option<Definition> {
    let mut words = rest;
    let table = new_table(&mut words)?;
    if outside(words).any(|word| word == "as") {
        return filled(rest, "table");
    }
    plain(Everywhere { table: Some(table), ..Everywhere::default() })
}

/// Words outside of parentheses.
fn outside(mut words: Words<'_>) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        loop {
            let token = words.first()?;
            if token.kind == TokenKind::LeftParen {
                words.group()?;
                continue;
            }
            words.skip();
            if token.kind == TokenKind::Word {
                return Some(token.name(words.sql).to_ascii_lowercase());
            }
        }
    })
}

/// `name [(columns)] [USING …] [WITH (…)] [TABLESPACE …] AS query [WITH [NO] DATA]`
fn filled(rest: Words<'_>, what: &str) -> Option<Definition> {
    let mut words = rest;
    let table = new_table(&mut words)?;
    while !words.at("as") {
        words.first()?;
        if words.group().is_none() {
            words.skip();
        }
    }
    words.skip();
    if words.at("execute") {
        return refused(
            &format!("a {what} from EXECUTE isn't supported on a sharded database"),
            "Write the query itself behind AS.",
            "statement",
        );
    }
    let tokens = words.tokens;
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(words.sql, word));
    let count = tokens.len();
    let ends = |words: &[&str]| {
        count > words.len() && words.iter().enumerate().all(|(at, word)| is(count - words.len() + at, word))
    };
    if ends(&["with", "no", "data"]) {
        return plain(Everywhere { table: Some(table), ..Everywhere::default() });
    }
    let tail = if ends(&["with", "data"]) { 2 } else { 0 };
    let query = tokens.get(..count - tail)?;
    let span = |tokens: &[crate::sql::Token]| Some(tokens.first()?.start as usize..tokens.last()?.end as usize);
    let with_data = if tail > 0 { span(tokens.get(count - tail..)?) } else { None };
    Some(Definition::Filled(Filled { table, query: span(query)?, with_data }))
}

/// Behind CREATE [UNIQUE] INDEX.
fn create_index(mut words: Words<'_>) -> Option<Definition> {
    if !words.eat("concurrently") {
        return plain(Everywhere::default());
    }
    let _ = words.eat_all(&["if", "not", "exists"]);
    if words.at("on") {
        return refused(
            "CREATE INDEX CONCURRENTLY over shards needs the index's name",
            "Name the index: if a shard fails, the same statement then goes on where it stopped.",
            "index-name",
        );
    }
    let (name, _) = words.name()?;
    if !words.eat("on") {
        return None;
    }
    words.eat("only");
    let start = words.first()?.start as usize;
    let before = words;
    words.dotted()?;
    let taken = before.tokens.len() - words.tokens.len();
    let end = before.tokens.get(taken.checked_sub(1)?)?.end as usize;
    let table = String::from_utf8_lossy(words.sql.get(start..end)?).into_owned();
    let index = Some(NewIndex { name, table });
    Some(Definition::Each(Each { what: "CREATE INDEX CONCURRENTLY", in_block: false, index }))
}

fn at_role(words: Words<'_>) -> bool {
    words.at("role") || words.at("group") || (words.at("user") && !words.then("mapping"))
}

/// CREATE or ALTER of a role.
fn role(words: Words<'_>) -> Option<Definition> {
    let mut password = None;
    for pair in words.tokens.windows(2) {
        if let [word, text] = pair
            && word.is(words.sql, "password")
            && text.kind == TokenKind::Text
        {
            password = Some(text.start as usize..text.end as usize);
        }
    }
    plain(Everywhere { password, of_servers: true, harmless: true, ..Everywhere::default() })
}

fn alter(rest: Words<'_>) -> Option<Definition> {
    if rest.at("database") {
        return plain(Everywhere { names_database: true, harmless: true, ..Everywhere::default() });
    }
    if let Some(refused) = of_a_server(rest) {
        return Some(refused);
    }
    if at_role(rest) {
        // `ALTER ROLE … IN DATABASE`
        let database = rest
            .tokens
            .windows(2)
            .any(|pair| matches!(pair, [word, next] if word.is(rest.sql, "in") && next.is(rest.sql, "database")));
        return match role(rest)? {
            Definition::All(all) => plain(Everywhere { names_database: database, of_servers: !database, ..all }),
            other => Some(other),
        };
    }
    let all_in = {
        let mut words = rest;
        let _ = words.eat("table") || words.eat("index") || words.eat_all(&["materialized", "view"]);
        words.at("all") && words.then("in")
    };
    if all_in {
        return refused(
            "moving all tables of a tablespace isn't supported on a sharded database",
            "Name each table: ALTER TABLE … SET TABLESPACE.",
            "server-object",
        );
    }
    if rest.at("table") && outside(rest).any(|word| word == "concurrently") {
        return refused(
            "DETACH PARTITION … CONCURRENTLY isn't supported on a sharded database",
            "DETACH PARTITION without CONCURRENTLY runs on all shards in one transaction.",
            "statement",
        );
    }
    if rest.at("index") || known(rest) {
        return plain(Everywhere { computes: outside(rest).any(|word| word == "using"), ..Everywhere::default() });
    }
    None
}

fn drop(rest: Words<'_>) -> Option<Definition> {
    if let Some(refused) = of_a_server(rest) {
        return Some(refused);
    }
    if at_role(rest) {
        return plain(Everywhere { of_servers: true, harmless: true, ..Everywhere::default() });
    }
    let mut words = rest;
    if words.eat("index") {
        if words.eat("concurrently") {
            return each("DROP INDEX CONCURRENTLY", false);
        }
        return plain(Everywhere::default());
    }
    if known(rest) { plain(Everywhere::default()) } else { None }
}

/// `COMMENT ON …`, `SECURITY LABEL [FOR …] ON …`
fn about(rest: Words<'_>) -> Definition {
    let mut words = rest;
    while !words.done() && !words.eat("on") {
        words.skip();
    }
    if words.at("large") || words.at("tablespace") || words.at("subscription") {
        return of_a_server(words).unwrap_or(Definition::All(Everywhere::default()));
    }
    let of_servers = at_role(words);
    let names_database = words.at("database");
    Definition::All(Everywhere { harmless: true, of_servers, names_database, ..Everywhere::default() })
}

/// GRANT, REVOKE: privileges on objects, or membership of roles.
fn grant(rest: Words<'_>) -> Definition {
    let mut words = rest;
    let mut on = false;
    while !words.done() {
        if words.group().is_some() {
            continue;
        }
        if words.eat("on") {
            on = true;
            break;
        }
        words.skip();
    }
    if on && (words.at("large") || words.at("tablespace")) {
        return of_a_server(words).unwrap_or(Definition::All(Everywhere::default()));
    }
    let names_database = on && words.at("database");
    let of_servers = !on || words.at("parameter");
    Definition::All(Everywhere { harmless: true, of_servers, names_database, ..Everywhere::default() })
}

/// `REINDEX [(options)] INDEX | TABLE | SCHEMA | DATABASE | SYSTEM [CONCURRENTLY] name`
fn reindex(rest: Words<'_>) -> Option<Definition> {
    let mut words = rest;
    let options = words.group().is_some_and(|inside| inside.tokens.iter().any(|t| t.is(inside.sql, "concurrently")));
    let one = words.at("index") || words.at("table");
    let concurrently = options || words.then("concurrently");
    if words.at("database") || words.at("system") {
        return refused(
            "REINDEX DATABASE names a database, which is another on each server",
            "REINDEX SCHEMA or TABLE.",
            "server-object",
        );
    }
    each(if concurrently { "REINDEX CONCURRENTLY" } else { "REINDEX" }, one && !concurrently)
}
