//! `pg_prepared_statements` as the client knows it: its own statements under its own names, and nobody else's.
//!
//! Where a query names the view after FROM or JOIN, a sub-query stands in its place: the view's rows of what SQL's
//! PREPARE made here, and those of the client's statements with its names and texts. In a query string the names are
//! written out; in the extended protocol the text stays, and the names are put into a setting of the transaction ahead
//! of each Bind.

use std::ops::Range;

use super::Session;
use super::link::{Edits, Expect, Link, Ours};
use super::statements::Held;
use crate::backend::settings::{Charset, charset, push_literal};
use crate::plan::{Kind, Plan};
use crate::sql::{Token, TokenKind, statement};
use crate::wire::message;

const VIEW: &str = "pg_prepared_statements";

/// The setting, and the name of the statement that sets it.
const SETTING: &str = "pgbraid.prepared";
const NAMES: &[u8] = b"pgbraid_names";

impl Session {
    /// A query string with the view put in place. `None`: it doesn't name it.
    pub(super) fn listing(&mut self, link: &mut Link, sql: &[u8], plan: &Plan) -> Option<(Vec<u8>, Box<Edits>)> {
        if !self.may_list(plan) {
            return None;
        }
        let names = self.names();
        let mut list = String::new();
        push_literal(&mut list, &names);
        let (text, inserted) = replaced(sql, self.standard_strings(), &list)?;
        // Prepared ahead, in an exchange of its own: a Query can't follow an open segment.
        if self.ensure_all(link) {
            message::sync(&mut link.out);
            link.queue.push_back(Expect::Ours(Ours::Value));
        }
        let hidden = vec![false; plan.steps.len()];
        Some((text, Box::new(Edits { hidden, inserted, ..Edits::default() })))
    }

    /// The text of a Parse with the view put in place.
    pub(super) fn parsed_listing(&self, sql: &[u8], plan: &Plan) -> Option<Vec<u8>> {
        if !self.may_list(plan) {
            return None;
        }
        let list = format!("coalesce(pg_catalog.current_setting('{SETTING}', true), '[]')");
        replaced(sql, self.standard_strings(), &list).map(|(text, _)| text)
    }

    /// Puts the client's names in place for a Bind of such a statement.
    pub(super) fn list_names(&mut self, link: &mut Link, plan: &Plan) {
        if !self.may_list(plan) || link.skipping {
            return;
        }
        self.ensure_all(link);
        let mut sql = format!("SELECT pg_catalog.set_config('{SETTING}',");
        push_literal(&mut sql, &self.names());
        sql.push_str(",true)");
        link.expect(Expect::PutBack { left: super::resets::CLOSES });
        message::close_statement(&mut link.out, NAMES);
        message::parse(&mut link.out, NAMES, sql.as_bytes(), &[0, 0]);
        message::run_once(&mut link.out, NAMES);
    }

    /// Sessions within this process have their coordinator's names; a text in another encoding is left alone.
    fn may_list(&self, plan: &Plan) -> bool {
        plan.lists_prepared
            && plan.steps.iter().all(|step| matches!(step.kind, Kind::Read | Kind::Write))
            && self.client.process_id != 0
            && self.status != b'E'
            && charset(self.settings.current()) == Charset::Utf8
    }

    /// The client's statements are on this connection then; not those whose definitions may have changed since: to prepare
    /// one might fail, and the client's transaction with it. Whether something was sent for it.
    fn ensure_all(&mut self, link: &mut Link) -> bool {
        let generation = self.generation();
        let good = self.statements.iter().filter(|(_, held)| held.generation == generation && !held.stale);
        let good: Vec<_> = good.map(|(_, held)| held.statement.clone()).collect();
        let before = link.out.len();
        for statement in good {
            self.ensure_prepared(link, &statement, generation);
        }
        link.out.len() > before
    }

    /// A JSON array: of each statement the server's name, and the columns that are the client's own.
    fn names(&self) -> String {
        let mut json = String::from("[");
        for (name, held) in self.statements.iter() {
            if json.len() > 1 {
                json.push(',');
            }
            let Held { statement, original, prepared, parameters, .. } = held;
            json.push_str("{\"key\":");
            push_json(&mut json, statement.name.as_bytes());
            json.push_str(",\"name\":");
            push_json(&mut json, name);
            json.push_str(",\"statement\":");
            push_json(&mut json, original.as_deref().unwrap_or(&statement.key.sql));
            // Behind the number of the parameters, which is there as soon as they are known.
            if let Some(types) = parameters.get(2..) {
                json.push_str(",\"parameter_types\":[");
                for (at, oid) in types.chunks_exact(4).filter_map(|oid| oid.first_chunk()).enumerate() {
                    json.push_str(&format!("{}\"{}\"", if at > 0 { "," } else { "" }, u32::from_be_bytes(*oid)));
                }
                json.push(']');
            }
            json.push_str(&format!(",\"at\":{}.{:06}}}", prepared / 1_000_000, prepared % 1_000_000));
        }
        json.push(']');
        json
    }
}

fn push_json(json: &mut String, text: &[u8]) {
    json.push('"');
    for char in String::from_utf8_lossy(text).chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            char if char < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => json.push(char),
        }
    }
    json.push('"');
}

/// The text with a sub-query in the view's place, and where in it (in characters) what was put in stands. `None`: it
/// isn't there, or something else by that name may be meant.
fn replaced(sql: &[u8], standard_strings: bool, list: &str) -> Option<(Vec<u8>, Vec<Range<usize>>)> {
    let statement::Statements { tokens, statements, .. } = statement::split(sql, standard_strings)?;
    // What keeps a query for later (CREATE VIEW) would keep the names of now.
    let runs_now = |range: &Range<usize>| {
        tokens
            .get(range.start)
            .is_some_and(|first| first.kind == TokenKind::LeftParen || QUERIES.iter().any(|word| first.is(sql, word)))
    };
    if !statements.iter().all(runs_now) {
        return None;
    }
    let (mut text, mut copied, mut inserted) = (Vec::new(), 0, Vec::new());
    let tokens_of = |range: &Range<usize>| tokens.get(range.clone()).unwrap_or_default();
    let all = statements.iter().flat_map(|range| (0..range.len()).map(move |at| (tokens_of(range), at)));
    for (tokens, at) in all {
        let Some(token) = tokens.get(at).filter(|token| token.is_name() && token.name(sql) == VIEW) else { continue };
        let after = tokens.get(at + 1);
        if after.is_some_and(|next| next.kind == TokenKind::Dot) {
            // A column of it.
            continue;
        }
        let begin = from_place(sql, tokens, at)?;
        let start = tokens.get(begin)?.start as usize;
        text.extend_from_slice(sql.get(copied..start)?);
        copied = token.end as usize;
        let place = super::resets::characters(&text);
        let named = after.is_some_and(|next| is_alias(sql, next));
        let with =
            format!("({})", QUERY.replace("$names", list)) + if named { "" } else { " AS pg_prepared_statements" };
        text.extend_from_slice(with.as_bytes());
        let longer = with.chars().count().checked_sub(copied - start)?;
        inserted.push(place..place + longer);
    }
    if inserted.is_empty() {
        return None;
    }
    text.extend_from_slice(sql.get(copied..)?);
    Some((text, inserted))
}

/// What may begin a statement that the view is put in place in.
const QUERIES: &[&str] = &["delete", "explain", "insert", "select", "update", "values", "with"];

/// The rows of the view, whatever columns this version has. A statement of the client's may be missing at the server: it
/// was prepared before definitions changed, and wasn't used since.
const QUERY: &str = "SELECT (pg_catalog.jsonb_populate_record(s, CASE \
     WHEN n.value IS NULL THEN '{}' \
     WHEN s.name IS NULL THEN n.value OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('prepare_time', \
     n.prepared, 'from_sql', false, 'generic_plans', 0, 'custom_plans', 0) \
     ELSE n.value OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('prepare_time', n.prepared) END)).* \
     FROM pg_catalog.pg_prepared_statements s FULL JOIN (SELECT value, \
     pg_catalog.to_timestamp(CAST(value OPERATOR(pg_catalog.->>) 'at' AS pg_catalog.float8)) AS prepared \
     FROM pg_catalog.jsonb_array_elements(CAST($names AS pg_catalog.jsonb))) n \
     ON (n.value OPERATOR(pg_catalog.->>) 'key') OPERATOR(pg_catalog.=) s.name \
     WHERE s.from_sql OR n.value IS NOT NULL";

/// The first token of the name whose last is at `at`, where it stands behind FROM or JOIN, in `pg_catalog` if anywhere.
fn from_place(sql: &[u8], tokens: &[Token], at: usize) -> Option<usize> {
    let before = |at: usize| at.checked_sub(1).and_then(|before| tokens.get(before));
    let mut begin = at;
    if before(at).is_some_and(|dot| dot.kind == TokenKind::Dot) {
        begin = at.checked_sub(2)?;
        if tokens.get(begin)?.name(sql) != "pg_catalog" {
            return None;
        }
    }
    before(begin).filter(|word| word.is(sql, "from") || word.is(sql, "join")).map(|_| begin)
}

/// Whether the token behind a table's name is its alias, or AS.
fn is_alias(sql: &[u8], token: &Token) -> bool {
    token.is_name() && !CLAUSES.iter().any(|word| token.is(sql, word))
}

/// Words that go on after a table without being its alias.
const CLAUSES: &[&str] = &[
    "cross",
    "except",
    "fetch",
    "for",
    "full",
    "group",
    "having",
    "inner",
    "intersect",
    "join",
    "left",
    "limit",
    "natural",
    "offset",
    "on",
    "order",
    "right",
    "tablesample",
    "union",
    "using",
    "where",
    "window",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_is_put_in_place() {
        let text = |sql: &str| {
            replaced(sql.as_bytes(), true, "''").map(|(text, inserted)| {
                let text = String::from_utf8(text).unwrap().replace(&QUERY.replace("$names", "''"), "…");
                (text, inserted.len())
            })
        };
        let is = |text: &str, count| Some((text.to_owned(), count));
        assert_eq!(
            text("SELECT name FROM pg_prepared_statements"),
            is("SELECT name FROM (…) AS pg_prepared_statements", 1)
        );
        assert_eq!(
            text("select p.name from Pg_Catalog.pg_prepared_statements AS p where true"),
            is("select p.name from (…) AS p where true", 1)
        );
        assert_eq!(
            text("SELECT pg_prepared_statements.name FROM pg_prepared_statements WHERE true"),
            is("SELECT pg_prepared_statements.name FROM (…) AS pg_prepared_statements WHERE true", 1)
        );
        assert_eq!(
            text("SELECT 1 FROM a JOIN pg_prepared_statements p ON true"),
            is("SELECT 1 FROM a JOIN (…) p ON true", 1)
        );
        assert_eq!(text("SELECT 'pg_prepared_statements'"), None);
        assert_eq!(text("CREATE VIEW v AS SELECT 1 FROM pg_prepared_statements"), None);
        assert_eq!(text("SELECT 1 FROM mine.pg_prepared_statements"), None);
        assert_eq!(text("SELECT pg_prepared_statements FROM pg_prepared_statements"), None);
    }

    #[test]
    fn names_are_json() {
        let mut json = String::new();
        push_json(&mut json, "a\"b\\c\n\u{e9}".as_bytes());
        assert_eq!(json, "\"a\\\"b\\\\c\\u000a\u{e9}\"");
    }
}
