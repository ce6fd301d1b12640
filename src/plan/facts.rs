//! What a statement's tokens can make a server do: the relations that they may name and the functions that they may
//! call, views and policies opened.
//!
//! Everything is counted that *could* be meant: each identifier that is some relation's name, each name before a
//! parenthesis and each name after a dot (`('s'::regclass).nextval` is a call too).

use super::scan::{self, Places};
use super::words::Words;
use super::{Context, ReadSet, TableKey};
use crate::base::limits;
use crate::catalog::{Catalog, Effect};
use crate::sql::{Token, TokenKind, statement};
use std::collections::BTreeSet;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The worst that functions, operators, casts do.
    pub effect: Effect,
    /// INSERT, UPDATE, DELETE or MERGE as a word.
    pub changes: bool,
    pub into: bool,
    pub locks: bool,
    /// A session-level advisory lock may be taken.
    pub advisory: bool,
    /// State that only this server connection has (`setseed`, `dblink_connect`).
    pub keeps: bool,
    /// A function is called that may do more than answer.
    pub acts: bool,
    /// The transaction's moment is named.
    moment: bool,
    /// The first reason why only the primary may answer.
    pub primary: Option<&'static str>,
    /// Relations of users, those of views included.
    pub relations: BTreeSet<String>,
    /// Some relation isn't in the catalog.
    pub unknown: bool,
}

impl Facts {
    fn deny(&mut self, reason: &'static str) {
        self.primary.get_or_insert(reason);
    }

    fn effect(&mut self, effect: Effect, reason: &'static str) {
        self.effect = self.effect.max(effect);
        if effect > Effect::ReadsUnnamed {
            self.deny(reason);
        }
    }

    fn function(&mut self, effect: Effect) {
        let reason = if effect == Effect::Local { "volatile function" } else { "function with effects" };
        self.effect(effect, reason);
    }

    /// Whether it does nothing but answer, though another server may answer otherwise: what a hint may send to a replica.
    pub fn only_answers(&self) -> bool {
        let touches = self.changes || self.into || self.locks || self.advisory || self.keeps || self.unknown;
        !touches && !self.acts && self.effect <= Effect::Local && self.primary != Some("temporary schema")
    }

    /// Whether the answer may hang on the moment at which the transaction began.
    pub fn moment(&self) -> bool {
        self.moment || self.effect >= Effect::ReadsUnnamed
    }

    /// The tables that the answer depends on.
    pub fn reads(&self) -> ReadSet {
        if self.effect >= Effect::ReadsUnnamed {
            return ReadSet::All;
        }
        let keys: BTreeSet<_> = self.relations.iter().map(|name| TableKey::of(name)).collect();
        ReadSet::Tables(keys.into_iter().collect())
    }
}

/// Gathers the facts of one statement.
pub(super) fn gather(words: Words<'_>, context: &Context<'_>) -> Facts {
    let mut gatherer = Gatherer { context, facts: Facts::default(), queue: Vec::new() };
    gatherer.facts.effect(context.catalog.implied(), "volatile cast or operator");
    gatherer.tokens(words, true);
    gatherer.open();
    gatherer.facts
}

struct Gatherer<'a> {
    context: &'a Context<'a>,
    facts: Facts,
    /// Relations whose definitions are still to be opened.
    queue: Vec<String>,
}

impl<'a> Gatherer<'a> {
    fn catalog(&self) -> &'a Catalog {
        self.context.catalog
    }

    /// Opens the relations found until no new one comes up.
    fn open(&mut self) {
        let mut opened = 0;
        while let Some(name) = self.queue.pop() {
            opened += 1;
            let Some(relation) = self.catalog().relation(&name) else { continue };
            if opened > limits::PLAN_DEFINITIONS {
                self.facts.effect(Effect::Unseen, "too many views");
                return;
            }
            if let Some(reason) = relation.primary {
                self.facts.deny(reason);
            }
            for child in &relation.children {
                self.relation(child);
            }
            for definition in &relation.definitions {
                let sql = definition.as_bytes();
                match statement::split(sql, true) {
                    Some(split) => {
                        let words = Words { sql, tokens: &split.tokens, standard_strings: true };
                        self.tokens(words, false);
                    }
                    None => self.facts.effect(Effect::Unseen, "not parsed"),
                }
            }
        }
    }

    fn relation(&mut self, name: &str) {
        if !self.facts.relations.contains(name) {
            self.facts.relations.insert(name.to_owned());
            self.queue.push(name.to_owned());
        }
    }

    fn tokens(&mut self, words: Words<'_>, top: bool) {
        let places = scan::scan(words.sql, words.tokens);
        self.unresolved(words, &places);
        for (at, token) in words.tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Word | TokenKind::Quoted => self.word(words, at, token, &places, top),
                TokenKind::Operator => {
                    let effect = self.catalog().operator(&token.name(words.sql));
                    self.facts.effect(effect, "volatile operator");
                }
                // A view's; of the statement's own they aren't a plan's to tell, as texts that differ in literals share one.
                TokenKind::Text if !top => self.facts.moment |= names_moment(token.bytes(words.sql)),
                TokenKind::UnicodeQuoted | TokenKind::Error => self.facts.effect(Effect::Unseen, "not parsed"),
                _ => {}
            }
        }
    }

    /// Notices relations that the catalog doesn't know.
    fn unresolved(&mut self, words: Words<'_>, places: &Places) {
        let sql = words.sql;
        let name = |at: usize| words.tokens.get(at).map(|token| token.name(sql));
        let ctes: BTreeSet<String> = places.ctes.iter().filter_map(|&at| name(at)).collect();
        for &at in &places.relations {
            let Some(relation) = name(at) else { continue };
            let qualified = preceded_by_dot(words.tokens, at);
            if !qualified && ctes.contains(&relation) {
                continue;
            }
            let known = self.catalog().relation(&relation).is_some();
            if self.catalog().is_information_schema(&relation) && !self.context.search_path_is_default {
                self.facts.deny("system catalog");
            } else if !known && !self.catalog().is_system(&relation) && !information_schema(words, at) {
                self.facts.unknown = true;
                self.facts.deny("unknown relation");
            }
        }
    }

    fn word(&mut self, words: Words<'_>, at: usize, token: &Token, places: &Places, top: bool) {
        let sql = words.sql;
        let name = token.name(sql);
        let dot = preceded_by_dot(words.tokens, at);
        if token.kind == TokenKind::Word && !dot {
            self.keyword(words, at, &name);
        }
        if self.catalog().relation(&name).is_some() {
            self.relation(&name);
        }
        if name.starts_with("pg_temp") {
            self.facts.deny("temporary schema");
        } else if name == "information_schema" || self.catalog().is_system(&name) || name.starts_with("pg_toast") {
            self.facts.deny("system catalog");
        }
        let call = words.tokens.get(at + 1).is_some_and(|next| next.kind == TokenKind::LeftParen);
        if call {
            self.call(words, at, &name, token.kind == TokenKind::Word && !dot, places);
        } else if dot
            && let Some(function) = self.catalog().function(&name)
            && function.one_argument
        {
            self.facts.acts |= acts(&name, function.effect);
            self.facts.function(function.effect);
        }
        if call || dot {
            self.facts.advisory |= LOCKS.contains(&name.as_str());
            self.facts.keeps |= KEEPS.contains(&name.as_str());
        }
        // Whoever hides a call in the one place that isn't looked at: a name of this kind anywhere is enough.
        if top && LOCKS.contains(&name.as_str()) {
            self.facts.advisory = true;
        }
    }

    fn keyword(&mut self, words: Words<'_>, at: usize, name: &str) {
        match name {
            "insert" | "update" | "delete" | "merge" | "truncate" => {
                self.facts.changes = true;
                self.facts.deny("writes");
            }
            "into" => {
                let before = at.checked_sub(1).and_then(|before| words.tokens.get(before));
                let target = before.is_some_and(|verb| verb.is(words.sql, "insert") || verb.is(words.sql, "merge"));
                self.facts.into |= !target;
                self.facts.deny("writes");
            }
            "for" => {
                let locking = ["update", "share", "no", "key"];
                let next = words.tokens.get(at + 1);
                if next.is_some_and(|next| locking.iter().any(|word| next.is(words.sql, word))) {
                    self.facts.locks = true;
                    self.facts.deny("locks rows");
                }
            }
            "current_date" | "current_time" | "current_timestamp" | "localtime" | "localtimestamp" => {
                self.facts.moment = true;
            }
            _ => {}
        }
    }

    /// A name before a parenthesis.
    fn call(&mut self, words: Words<'_>, at: usize, name: &str, bare: bool, places: &Places) {
        self.facts.moment |= matches!(name, "now" | "transaction_timestamp" | "age");
        let Some(function) = self.catalog().function(name) else {
            let syntax = bare && SYNTAX.binary_search(&name).is_ok();
            if !syntax && places.aliases.binary_search(&at).is_err() && !target(words, at) {
                self.facts.effect(Effect::Unseen, "unknown function");
            }
            return;
        };
        let effect = match name {
            "set_config" if local_setting(words, at) => Effect::Local,
            "current_setting" if custom_setting(words, at) => Effect::None,
            // The age of a transaction counts from the server's next one; that of a date doesn't.
            "age" if words.tokens.iter().any(|token| XIDS.iter().any(|xid| token.is(words.sql, xid))) => Effect::Local,
            _ => function.effect,
        };
        self.facts.acts |= acts(name, effect);
        self.facts.function(effect);
    }
}

/// Whether a text may hold a moment's: `'now'::timestamp`.
pub fn names_moment(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    MOMENTS.iter().any(|moment| memchr::memmem::find(&lower, moment).is_some())
}

/// Words that stand for a moment in the input of date and time types.
const MOMENTS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];

/// Whether a function that is called may do more than answer: take locks, end backends, remember.
fn acts(name: &str, effect: Effect) -> bool {
    effect > Effect::Local
        || (effect == Effect::Local
            && ANSWERS.binary_search(&name).is_err()
            && !["pg_get_", "pg_stat_get_", "inet_", "has_"].iter().any(|prefix| name.starts_with(prefix)))
}

fn preceded_by_dot(tokens: &[Token], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|token| token.kind == TokenKind::Dot)
}

/// Whether the name at `at`, which isn't a function's, is that of a table with a list of columns behind it: INSERT INTO
/// and COPY; or of something new: CREATE.
fn target(words: Words<'_>, at: usize) -> bool {
    let mut at = at;
    while preceded_by_dot(words.tokens, at) {
        at = at.saturating_sub(2);
    }
    let before = at.checked_sub(1).and_then(|before| words.tokens.get(before));
    let definition = words.at("create") || words.at("alter") || words.at("comment") || words.at("drop");
    definition || ["into", "copy", "binary"].iter().any(|word| before.is_some_and(|token| token.is(words.sql, word)))
}

/// Whether the name at `at` is qualified with `information_schema`.
fn information_schema(words: Words<'_>, at: usize) -> bool {
    at.checked_sub(2)
        .and_then(|schema| words.tokens.get(schema))
        .is_some_and(|schema| schema.name(words.sql) == "information_schema")
}

/// The tokens of each argument of the call whose name is at `at`.
fn arguments(words: Words<'_>, at: usize) -> Vec<&[Token]> {
    let rest = Words { tokens: words.tokens.get(at + 1..).unwrap_or_default(), ..words };
    let Some(inside) = { rest }.group() else { return Vec::new() };
    let mut depth = 0i32;
    inside
        .tokens
        .split(|token| {
            match token.kind {
                TokenKind::LeftParen => depth += 1,
                TokenKind::RightParen => depth -= 1,
                _ => {}
            }
            depth == 0 && token.kind == TokenKind::Comma
        })
        .collect()
}

/// `set_config(…, …, true)`: gone at the end of the transaction.
pub(super) fn local_setting(words: Words<'_>, at: usize) -> bool {
    matches!(arguments(words, at).as_slice(), [_, _, [local]] if local.is(words.sql, "true"))
}

/// `current_setting('app.user')`: a session's own setting, which goes wherever the session goes.
fn custom_setting(words: Words<'_>, at: usize) -> bool {
    let arguments = arguments(words, at);
    let Some([name, cast @ ..]) = arguments.first() else { return false };
    // pg_get_expr prints `'app.user'::text`.
    let plain = cast.is_empty() || matches!(cast, [_, text] if text.is(words.sql, "text"));
    plain && name.kind == TokenKind::Text && name.bytes(words.sql).contains(&b'.')
}

/// Functions that come with PostgreSQL and its extensions, whose answer is another on another server or from call to
/// call, and that do nothing else. Sorted.
const ANSWERS: &[&str] = &[
    "age",
    "clock_timestamp",
    "current_query",
    "current_setting",
    "gen_random_bytes",
    "gen_random_uuid",
    "pg_backend_pid",
    "pg_column_compression",
    "pg_conf_load_time",
    "pg_database_size",
    "pg_encoding_to_char",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_postmaster_start_time",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_is_visible",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_wal_lsn_diff",
    "random",
    "random_normal",
    "timeofday",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "version",
];

/// Words that mean transaction ids are about.
const XIDS: &[&str] = &["xmin", "xmax", "xid", "xid8", "relfrozenxid", "datfrozenxid", "cmin", "cmax"];

const LOCKS: &[&str] =
    &["pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"];

const KEEPS: &[&str] = &["setseed", "dblink_connect", "dblink_connect_u"];

/// Words of PostgreSQL's syntax that may stand before a parenthesis and, not being in the catalog, are no functions.
/// Types whose names aren't functions' are among them. Sorted.
const SYNTAX: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "between",
    "both",
    "by",
    "case",
    "cast",
    "character",
    "coalesce",
    "collation",
    "columns",
    "conflict",
    "copy",
    "cross",
    "cube",
    "cycle",
    "dec",
    "decimal",
    "default",
    "distinct",
    "else",
    "escape",
    "except",
    "exclude",
    "exists",
    "explain",
    "extract",
    "fetch",
    "filter",
    "first",
    "float",
    "following",
    "for",
    "from",
    "greatest",
    "group",
    "grouping",
    "groups",
    "having",
    "ilike",
    "in",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "join",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "key",
    "lateral",
    "leading",
    "least",
    "like",
    "limit",
    "matched",
    "materialized",
    "merge_action",
    "national",
    "natural",
    "nchar",
    "nested",
    "next",
    "not",
    "nothing",
    "nullif",
    "of",
    "offset",
    "on",
    "only",
    "operator",
    "or",
    "order",
    "over",
    "overlay",
    "passing",
    "position",
    "preceding",
    "precision",
    "repeatable",
    "returning",
    "rollup",
    "row",
    "rows",
    "select",
    "set",
    "sets",
    "similar",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "treat",
    "trim",
    "union",
    "unique",
    "using",
    "values",
    "varying",
    "when",
    "where",
    "window",
    "with",
    "within",
    "xmlagg",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
#[test]
fn names_are_sorted() {
    assert!(ANSWERS.is_sorted());
    assert!(SYNTAX.is_sorted());
}
