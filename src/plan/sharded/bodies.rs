//! Whether code of users may run where a statement runs: read from its body, or vouched for by the configuration.
//!
//! A body of SQL or PL/pgSQL without dynamic SQL is judged by the words in it: what it doesn't name it doesn't touch. So a
//! variable that bears a table's name counts as the table.

use super::functions::{CLOCKS, HOME_ONLY, QUERIES};
use super::{Context, Vouched};
use crate::catalog::code::SETS;
use crate::catalog::schema::{Relation, RelationKind, Volatility};
use crate::topology::placement::TablePlace;

/// Where code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// On the home shard, which has the rows of unsharded tables.
    Home,
    /// On the shard that has the rows.
    Shard,
    /// On every shard, and must do the same on all of them.
    Copies,
}

/// Words that do what isn't judged here: dynamic SQL, definitions, messages, what belongs to a session.
const ACTS: &[&str] = &[
    "alter", "cluster", "copy", "create", "discard", "drop", "execute", "grant", "listen", "load", "lock", "notify",
    "prepare", "refresh", "reindex", "reset", "revoke", "truncate", "unlisten", "vacuum",
];

/// Functions that act on a session, on other databases, or on what is only on one shard.
const LOCAL: &[&str] =
    &["set_config", "pg_notify", "dblink", "lo_", "pg_export_snapshot", "pg_logical", "loread", "lowrite"];

/// Functions within functions are followed so far.
const MOST_DEPTH: usize = 16;

/// Code that was judged.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// It does the same wherever the rows are.
    Fit,
    /// The same, but its clock is that of one shard.
    Clock,
    /// Why it can't be proven.
    Unfit(String),
}

/// Judges all functions of this name: which one is called isn't resolved.
pub fn judge(context: &Context<'_>, name: &str, place: Where) -> Judged {
    let mut clock = false;
    match follow(context, name, place, &mut Vec::new(), &mut clock) {
        Some(why) => Judged::Unfit(why),
        None if clock => Judged::Clock,
        None => Judged::Fit,
    }
}

/// The reason why not.
fn follow(context: &Context<'_>, name: &str, place: Where, seen: &mut Vec<String>, clock: &mut bool) -> Option<String> {
    if (context.vouched)(name) == Some(Vouched::None) || seen.iter().any(|other| other == name) {
        return None;
    }
    if seen.len() >= MOST_DEPTH {
        return Some(format!("{name} is called too deep within others"));
    }
    seen.push(name.to_owned());
    let own = context.schema.functions.get(name).into_iter().flatten().filter(|function| !function.builtin);
    for function in own {
        let Some(body) = &function.body else {
            return Some(format!("the body of {name} can't be read"));
        };
        for word in body.words.iter() {
            if let Some(why) = told(context, word, place, clock) {
                return Some(format!("the body of {name} {why}"));
            }
            if let Some(why) = called(context, word, place, seen, clock) {
                return Some(why);
            }
        }
    }
    None
}

/// What a word calls: a function, what is behind an operator, and what runs beside a write to a table of that name.
fn called(context: &Context<'_>, word: &str, place: Where, seen: &mut Vec<String>, clock: &mut bool) -> Option<String> {
    let schema = context.schema;
    let function = schema.functions.get(word).is_some_and(|all| all.iter().any(|one| !one.builtin));
    let mut next: Vec<&str> = if function { vec![word] } else { Vec::new() };
    next.extend(schema.operators.get(word).into_iter().flatten().map(String::as_str));
    for relation in relations(context, word) {
        let others = relation.also.iter().filter_map(|name| schema.relations.get(name));
        for relation in std::iter::once(relation).chain(others) {
            if relation.rules || !relation.policies_read.is_empty() {
                return Some(format!(
                    "\"{}\", which is named, has rules or policies that read other tables",
                    relation.name
                ));
            }
            next.extend(relation.code.iter().map(|caller| caller.function.as_str()));
        }
    }
    next.into_iter().find_map(|name| follow(context, name, place, seen, clock))
}

/// Relations of users of this name, in whatever schema.
fn relations<'a>(context: &Context<'a>, word: &str) -> impl Iterator<Item = &'a Relation> {
    context.schema.relations.values().filter(move |relation| {
        relation.name == word && !matches!(relation.schema.as_str(), "pg_catalog" | "information_schema")
    })
}

/// What one word of a body says against it.
fn told(context: &Context<'_>, word: &str, place: Where, clock: &mut bool) -> Option<String> {
    if word == SETS || word == "set_config" {
        return Some("sets a setting, which other shards wouldn't have".to_owned());
    }
    if ACTS.contains(&word) {
        return Some(format!("has {}", word.to_ascii_uppercase()));
    }
    if QUERIES.contains(&word) || word.contains("_to_xml") {
        return Some(format!("calls {word}, which runs a query of its own"));
    }
    if CLOCKS.contains(&word) {
        *clock = true;
    }
    if place != Where::Home {
        let local = HOME_ONLY.contains(&word) || word.contains("advisory");
        if local || LOCAL.iter().any(|start| word.starts_with(start)) {
            return Some(format!("calls {word}"));
        }
    }
    let builtin = context.schema.functions.get(word).into_iter().flatten().filter(|function| function.builtin);
    if place == Where::Copies
        && builtin.clone().count() > 0
        && builtin.clone().any(|function| function.volatility != Volatility::Immutable)
    {
        return Some(format!("calls {word}, whose value may be another on each shard"));
    }
    for relation in relations(context, word) {
        let placed = context.placement.table(&relation.schema, &relation.name);
        let plain = matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned | RelationKind::Sequence);
        let at_home = place == Where::Home && plain && placed.is_none() && relation.parent.is_none();
        // A copy may be read anywhere; that it isn't changed can't be seen from one word.
        let copy = matches!(placed, Some(TablePlace::Reference));
        if !at_home {
            let kind = if copy { "the reference table" } else { "the relation" };
            return Some(format!("names {kind} {}", relation.name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::world::world;
    use super::*;
    use crate::catalog::schema::{Function, FunctionKind};

    fn with(body: &str) -> String {
        let mut world = world();
        let add = |world: &mut super::super::tests::world::World, name: &str, body: Option<&str>| {
            let function = Function {
                schema: "public".into(),
                name: name.into(),
                kind: FunctionKind::Function,
                volatility: Volatility::Volatile,
                strict: false,
                builtin: false,
                arguments: vec![],
                returns: 0,
                set: false,
                ordered_set: false,
                body: body.and_then(crate::catalog::code::Body::read),
            };
            world.schema.functions.insert(name.into(), vec![function]);
        };
        add(&mut world, "f", Some(body));
        add(&mut world, "stamp", Some("begin new.at := now(); return new; end"));
        add(&mut world, "reads", Some("select count(*) from orders"));
        add(&mut world, "c", None);
        let path = ["public".to_string()];
        let context = Context {
            schema: &world.schema,
            placement: &world.placement,
            search_path: &path,
            standard_strings: true,
            unique_per_shard: false,
            vouched: &|_| None,
        };
        let show = |place| match judge(&context, "f", place) {
            Judged::Fit => "fit".to_owned(),
            Judged::Clock => "clock".to_owned(),
            Judged::Unfit(why) => why,
        };
        format!("{} / {} / {}", show(Where::Home), show(Where::Shard), show(Where::Copies))
    }

    #[test]
    fn bodies_are_judged_by_their_words() {
        for (body, judged) in [
            ("begin new.name := upper(new.name); return new; end", "fit / fit / fit"),
            ("begin raise notice 'orders %', 1; return null; end", "fit / fit / fit"),
            (
                "begin new.at := now(); return new; end",
                "clock / clock / the body of f calls now, whose value may be another on each shard",
            ),
            ("select stamp()", "clock / clock / the body of stamp calls now, whose value may be another on each shard"),
            (
                "insert into notes values (1)",
                "fit / the body of f names the relation notes / the body of f names the relation notes",
            ),
            (
                "select 1 from public.\"orders\"",
                "the body of f names the relation orders / the body of f names the relation orders / \
                 the body of f names the relation orders",
            ),
            (
                "select reads()",
                "the body of reads names the relation orders / the body of reads names the relation orders / \
                 the body of reads names the relation orders",
            ),
            ("select c()", "the body of c can't be read / the body of c can't be read / the body of c can't be read"),
            (
                "begin execute 'delete from orders'; end",
                "the body of f has EXECUTE / the body of f has EXECUTE / the body of f has EXECUTE",
            ),
            ("select nextval('s')", "fit / the body of f calls nextval / the body of f calls nextval"),
            ("select f()", "fit / fit / fit"),
            (
                "begin set timezone = 'UTC'; end",
                "the body of f sets a setting, which other shards wouldn't have / the body of f sets a setting, which other \
                 shards wouldn't have / the body of f sets a setting, which other shards wouldn't have",
            ),
        ] {
            assert_eq!(with(body), judged, "{body}");
        }
    }
}
