//! What calling a function may do, from its label, its name and its body.

use super::Function;
use crate::sql::{Lexer, Token, TokenKind};
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// What running something does, from harmless to anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The same answer on every server that has the same data of the tables named.
    #[default]
    None,
    /// Reads tables that aren't named in the statement.
    ReadsUnnamed,
    /// The answer hangs on the server, or differs from call to call.
    Local,
    /// Changes something that isn't in a table (a sequence, a large object), and not the session.
    Writes,
    /// Code that can't be seen: may write every table and change the session.
    Unseen,
}

/// A row about functions, as `QUERIES` gives it.
pub(super) struct Row<'a> {
    pub name: &'a str,
    pub builtin: bool,
    pub volatility: &'a str,
    pub language: &'a str,
    pub one_argument: bool,
    pub body: Option<&'a str>,
}

/// The effects of all functions by name, the worst where several share it.
///
/// `definitions` are relations and the texts that reading them runs, `operators` users' operators and their functions:
/// a body reaches both.
pub(super) fn effects(
    rows: &[Row<'_>],
    definitions: &[(&str, &str)],
    operators: &[(&str, &str)],
) -> FxHashMap<Box<str>, Function> {
    let mut effects: FxHashMap<Node<'_>, Effect> = FxHashMap::default();
    for row in rows {
        let effect = if row.builtin { builtin(row.name, row.volatility) } else { label(row) };
        let known = effects.entry(Node::Function(row.name.into())).or_default();
        *known = (*known).max(effect);
    }
    // What a body calls, its function does too, through any number of calls.
    let mut reaches: Vec<(Node<'_>, Vec<Node<'_>>)> = Vec::new();
    reaches.extend(rows.iter().filter_map(|row| Some((Node::Function(row.name.into()), reached(row.body?)))));
    reaches.extend(definitions.iter().map(|(name, text)| (Node::Relation((*name).into()), reached(text))));
    reaches.extend(
        operators.iter().map(|(name, of)| (Node::Operator((*name).into()), vec![Node::Function((*of).into())])),
    );
    loop {
        let mut changed = false;
        for (node, reached) in &reaches {
            let worst = reached.iter().filter_map(|node| effects.get(node)).max().copied().unwrap_or_default();
            let effect = effects.entry(node.clone()).or_default();
            changed |= worst > *effect;
            *effect = worst.max(*effect);
        }
        if !changed {
            break;
        }
    }
    let mut functions: FxHashMap<Box<str>, Function> = FxHashMap::default();
    for row in rows {
        let effect = effects.get(&Node::Function(row.name.into())).copied().unwrap_or(Effect::Unseen);
        let function = functions.entry(row.name.into()).or_insert(Function { effect, one_argument: false });
        function.one_argument |= row.one_argument;
    }
    functions
}

/// Something that a body may run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node<'a> {
    Function(Cow<'a, str>),
    Relation(Cow<'a, str>),
    Operator(Cow<'a, str>),
}

/// What a body may run: each name before a parenthesis or after a dot as a function, each name as a relation, each
/// operator.
fn reached(body: &str) -> Vec<Node<'static>> {
    let sql = body.as_bytes();
    let tokens: Vec<Token> =
        Lexer::new(sql, true).filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment)).collect();
    let mut nodes = Vec::new();
    let mut before = None;
    for (at, token) in tokens.iter().enumerate() {
        let called = tokens.get(at + 1).is_some_and(|next| next.kind == TokenKind::LeftParen);
        if token.is_name() {
            let name = token.name(sql);
            if called || before == Some(TokenKind::Dot) {
                nodes.push(Node::Function(name.clone().into()));
            }
            nodes.push(Node::Relation(name.into()));
        } else if token.kind == TokenKind::Operator {
            nodes.push(Node::Operator(token.name(sql).into()));
        }
        before = Some(token.kind);
    }
    nodes
}

/// What a function of users does by its label. A STABLE or IMMUTABLE one in PostgreSQL's own languages can't write
/// (SPI refuses), but may read any table; its body is looked through for calls besides.
fn label(row: &Row<'_>) -> Effect {
    let native = matches!(row.language, "sql" | "plpgsql");
    match (row.volatility, row.language) {
        ("i", "c" | "internal") => Effect::None,
        ("s", "c" | "internal") => Effect::Local,
        ("v", "c") if HARMLESS.contains(&row.name) => Effect::Local,
        ("i" | "s", "aggregate") => Effect::None,
        ("i" | "s", _) if native => body(row.body.unwrap_or_default(), row.volatility == "i"),
        ("i", _) => Effect::ReadsUnnamed,
        _ => Effect::Unseen,
    }
}

/// What a body in SQL or PL/pgSQL does besides its calls.
fn body(text: &str, immutable: bool) -> Effect {
    let sql = text.as_bytes();
    let mut reads = !immutable;
    for token in Lexer::new(sql, true) {
        if token.kind == TokenKind::Error || token.kind == TokenKind::UnicodeQuoted || token.is(sql, "execute") {
            return Effect::Unseen;
        }
        reads |= ["from", "table", "join"].iter().any(|word| token.is(sql, word));
    }
    if reads { Effect::ReadsUnnamed } else { Effect::None }
}

/// Volatile functions of well-known extensions that only draw random numbers or read the clock.
const HARMLESS: &[&str] =
    &["gen_random_bytes", "gen_random_uuid", "gen_salt", "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4"];

/// What a function that comes with PostgreSQL does.
fn builtin(name: &str, volatility: &str) -> Effect {
    let starts = |prefix: &str| name.starts_with(prefix);
    // They run SQL that is given as text, or change settings.
    if matches!(name, "set_config" | "ts_stat" | "ts_rewrite")
        || name.contains("_to_xml")
        || starts("binary_upgrade_")
        || starts("pg_restore_")
    {
        return Effect::Unseen;
    }
    if matches!(name, "nextval" | "setval" | "lowrite" | "lo_put") || starts("lo_") || starts("pg_logical_") {
        return Effect::Writes;
    }
    if (starts("pg_") && !PORTABLE.contains(&name))
        || starts("txid_")
        || starts("inet_client_")
        || starts("inet_server_")
        || volatility == "v"
        || matches!(name, "current_setting" | "mxid_age" | "version" | "row_security_active" | "current_query")
    {
        return Effect::Local;
    }
    Effect::None
}

/// Functions named `pg_…` that answer alike on every server.
const PORTABLE: &[&str] = &[
    "pg_char_to_encoding",
    "pg_client_encoding",
    "pg_collation_for",
    "pg_column_size",
    "pg_encoding_max_length",
    "pg_encoding_to_char",
    "pg_input_error_info",
    "pg_input_is_valid",
    "pg_lsn_larger",
    "pg_lsn_smaller",
    "pg_size_bytes",
    "pg_size_pretty",
    "pg_typeof",
];
