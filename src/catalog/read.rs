//! Builds a catalog from the answers to its queries.

use super::functions::{self, Effect};
use super::{Catalog, Name, Relation};
use crate::sql::custom::custom_settings;
use crate::sql::{Lexer, TokenKind};
use rustc_hash::FxHashMap;

/// The rows of one query's answer.
pub type Rows = Vec<Vec<Option<String>>>;

fn column(row: &[Option<String>], at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

impl Catalog {
    /// The catalog that these answers to [`QUERIES`](super::QUERIES) describe, each with its query's name.
    /// Without an answer to each of them it knows nothing.
    pub fn from_rows(answers: &[(&str, Rows)]) -> Self {
        let answers: FxHashMap<&str, &Rows> = answers.iter().map(|(name, rows)| (*name, rows)).collect();
        if super::QUERIES.iter().any(|query| !answers.contains_key(query.name)) {
            return Self::unknown();
        }
        let rows = |name: &str| answers.get(name).map(|rows| rows.as_slice()).unwrap_or_default();
        let functions: Vec<_> = rows("functions")
            .iter()
            .map(|row| functions::Row {
                name: column(row, 0),
                builtin: column(row, 1) == "b",
                volatility: column(row, 2),
                language: column(row, 3),
                one_argument: column(row, 4) == "true",
                body: row.get(5).and_then(Option::as_deref),
            })
            .collect();
        let pairs = |name| rows(name).iter().map(|row| (column(row, 0), column(row, 1))).collect::<Vec<_>>();
        let functions = functions::effects(&functions, &pairs("definitions"), &pairs("operators"));
        let bodies = rows("functions").iter().filter_map(|row| row.get(5).and_then(Option::as_deref));
        let mut custom_settings: Vec<_> = bodies.flat_map(custom_settings).collect();
        custom_settings.sort();
        custom_settings.dedup();
        let mut catalog = Self { known: true, functions, custom_settings, ..Self::default() };
        for row in rows("relations") {
            catalog.add_relation(row);
        }
        for row in rows("definitions") {
            if let Some(relation) = catalog.relations.get_mut(column(row, 0)) {
                match row.get(1).and_then(Option::as_deref) {
                    Some(text) => relation.definitions.push(text.into()),
                    // Dropped while it was read.
                    None => relation.primary = Some("unknown view"),
                }
            }
        }
        for row in rows("edges") {
            catalog.add_edge(column(row, 0), column(row, 1), column(row, 2));
        }
        for row in rows("expressions") {
            if catalog.effect_of(column(row, 1)) >= Effect::Unseen
                && let Some(relation) = catalog.relations.get_mut(column(row, 0))
            {
                relation.code = true;
            }
        }
        for row in rows("operators") {
            let effect = catalog.effect_of(column(row, 1));
            let name = column(row, 0);
            if IMPLIED_OPERATORS.contains(&name) {
                catalog.implied = catalog.implied.max(effect);
            }
            let known = catalog.operators.entry(name.into()).or_default();
            *known = (*known).max(effect);
        }
        for row in rows("implied") {
            let effect = match column(row, 0) {
                "f" => catalog.effect_of(column(row, 1)),
                _ => catalog.effect_of_expression(column(row, 1)),
            };
            catalog.implied = catalog.implied.max(effect);
        }
        catalog.event_triggers = rows("database").first().is_none_or(|row| column(row, 0) != "false");
        catalog
    }

    fn effect_of(&self, function: &str) -> Effect {
        self.function(function).map_or(Effect::Unseen, |function| function.effect)
    }

    /// The worst of the functions that a constraint's text calls.
    fn effect_of_expression(&self, text: &str) -> Effect {
        let sql = text.as_bytes();
        let effects = Lexer::new(sql, true).map(|token| match token.kind {
            TokenKind::Error | TokenKind::UnicodeQuoted => Effect::Unseen,
            TokenKind::Operator => self.operator(&token.name(sql)),
            _ if token.is_name() => self.function(&token.name(sql)).map_or(Effect::None, |function| function.effect),
            _ => Effect::None,
        });
        effects.max().unwrap_or_default()
    }

    fn add_relation(&mut self, row: &[Option<String>]) {
        let name: Name = column(row, 1).into();
        match column(row, 0) {
            "pg_catalog" => {
                self.system.insert(name);
                return;
            }
            "information_schema" => {
                self.information_schema.insert(name);
                return;
            }
            _ => {}
        }
        let (kind, persistence) = (column(row, 2), column(row, 3));
        let primary = match (kind, persistence) {
            ("S", _) => Some("sequence"),
            ("f", _) => Some("foreign table"),
            (_, "u") => Some("unlogged table"),
            ("r" | "p" | "v" | "m", "p") => None,
            _ => Some("unknown relation"),
        };
        let plain = matches!(kind, "r" | "p");
        let relation = self.relations.entry(name).or_insert_with(|| Relation { plain: true, ..Relation::default() });
        relation.primary = relation.primary.or(primary);
        relation.plain &= plain;
        relation.code |= column(row, 4) != "false";
    }

    fn add_edge(&mut self, kind: &str, from: &str, to: &str) {
        let mut push = |of: &str, list: fn(&mut Relation) -> &mut Vec<Name>, what: &str| {
            if let Some(relation) = self.relations.get_mut(of) {
                list(relation).push(what.into());
            }
        };
        match kind {
            "i" => {
                push(from, |child| &mut child.parents, to);
                push(to, |parent| &mut parent.children, from);
            }
            "a" => push(from, |referenced| &mut referenced.actions, to),
            _ => push(from, |referenced| &mut referenced.referencing, to),
        }
    }
}

/// Operators that SQL's own words stand for: LIKE, IN, BETWEEN, USING, ORDER BY, DISTINCT, ….
const IMPLIED_OPERATORS: &[&str] =
    &["=", "<>", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*"];
