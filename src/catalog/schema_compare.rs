//! In what two shards' schemas differ: by names, as objects of users have other OIDs on each.

use super::schema::{Oid, Relation, Schema};

/// One thing in which a shard differs from the home shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The shard that differs.
    pub shard: String,
    /// The table that isn't the same, where it is one.
    pub relation: Option<(String, String)>,
    /// What is different, in a sentence without the shard: "the table public.orders isn't there".
    pub what: String,
    /// Nothing that compares texts or types can be trusted: statements over shards are refused.
    pub whole: bool,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shard {}: {}", self.shard, self.what)
    }
}

/// The differences of `other`, the schema of `shard`, from `home`'s. `everywhere`: whether a relation must be the same
/// on all shards (sharded and reference tables, views); others are compared only where both have them.
pub fn compare(
    home: &Schema,
    home_name: &str,
    other: &Schema,
    shard: &str,
    everywhere: impl Fn(&Relation) -> bool,
) -> Vec<Difference> {
    let mut found = Comparison { home, home_name, other, shard, differences: Vec::new() };
    found.database();
    found.relations(everywhere);
    found.functions();
    found.enums();
    found.differences
}

struct Comparison<'a> {
    home: &'a Schema,
    home_name: &'a str,
    other: &'a Schema,
    shard: &'a str,
    differences: Vec<Difference>,
}

impl Comparison<'_> {
    fn note(&mut self, relation: Option<&Relation>, what: String, whole: bool) {
        let relation = relation.map(|relation| (relation.schema.clone(), relation.name.clone()));
        self.differences.push(Difference { shard: self.shard.to_owned(), relation, what, whole });
    }

    fn database(&mut self) {
        let (home, other) = (self.home, self.other);
        if home.encoding != other.encoding {
            let what = format!("its encoding is {}, that of {} is {}", other.encoding, self.home_name, home.encoding);
            self.note(None, what, true);
        }
        if home.version / 10_000 != other.version / 10_000 {
            let (mine, theirs) = (other.version / 10_000, home.version / 10_000);
            self.note(None, format!("it is PostgreSQL {mine}, {} is {theirs}", self.home_name), false);
        }
        let (mine, theirs) = (&other.collation, &home.collation);
        if (mine.provider, &mine.locale) != (theirs.provider, &theirs.locale) {
            let what = format!("its collation is {}, that of {} is {}", mine.locale, self.home_name, theirs.locale);
            self.note(None, what, true);
        } else if mine.version != theirs.version {
            let words = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
            let what = format!(
                "its collation {} has version {}, that of {} has {}",
                mine.locale,
                words(&mine.version),
                self.home_name,
                words(&theirs.version)
            );
            self.note(None, what, true);
        }
    }

    fn relations(&mut self, everywhere: impl Fn(&Relation) -> bool) {
        let (home, other) = (self.home, self.other);
        let mut names: Vec<_> = home.relations.keys().chain(other.relations.keys()).collect();
        names.retain(|(schema, _)| !matches!(schema.as_str(), "pg_catalog" | "information_schema" | "pgbraid"));
        names.sort();
        names.dedup();
        for name in names {
            let (schema, table) = name;
            match (home.relations.get(name), other.relations.get(name)) {
                (Some(mine), None) if everywhere(mine) => {
                    self.note(Some(mine), format!("{schema}.{table} isn't there"), false);
                }
                (None, Some(theirs)) if everywhere(theirs) => {
                    let what = format!("{schema}.{table} is there, and isn't on {}", self.home_name);
                    self.note(Some(theirs), what, false);
                }
                (Some(mine), Some(theirs)) if everywhere(mine) => self.relation(mine, theirs),
                _ => {}
            }
        }
    }

    fn relation(&mut self, home: &Relation, other: &Relation) {
        let name = format!("{}.{}", home.schema, home.name);
        if home.kind != other.kind {
            return self.note(Some(home), format!("{name} is another kind of relation"), false);
        }
        let columns = |relation: &Relation| relation.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let (mine, theirs) = (columns(home), columns(other));
        if mine != theirs {
            let what =
                format!("{name} has the columns {}; on {} {}", theirs.join(", "), self.home_name, mine.join(", "));
            return self.note(Some(home), what, false);
        }
        for (mine, theirs) in home.columns.iter().zip(&other.columns) {
            let column = format!("{name}.{}", mine.name);
            if mine.type_name != theirs.type_name {
                let what = format!("{column} is {}, on {} it is {}", theirs.type_name, self.home_name, mine.type_name);
                self.note(Some(home), what, false);
            }
            if mine.not_null != theirs.not_null {
                let null = |not_null| if not_null { "NOT NULL" } else { "nullable" };
                let what =
                    format!("{column} is {}, on {} {}", null(theirs.not_null), self.home_name, null(mine.not_null));
                self.note(Some(home), what, false);
            }
            if mine.collation != theirs.collation && self.home.collation == self.other.collation {
                self.note(Some(home), format!("{column} has another collation than on {}", self.home_name), false);
            }
            if (&mine.default, mine.identity, mine.generated) != (&theirs.default, theirs.identity, theirs.generated) {
                self.note(Some(home), format!("{column} has another default than on {}", self.home_name), false);
            }
        }
        if home.primary_key != other.primary_key || home.guards.len() != other.guards.len() {
            self.note(Some(home), format!("{name} has other unique indexes than on {}", self.home_name), false);
        }
        if home.definition != other.definition {
            self.note(Some(home), format!("{name} has another definition than on {}", self.home_name), false);
        }
        if home.row_security != other.row_security || home.triggers != other.triggers {
            let what = format!("{name} has other triggers or row security than on {}", self.home_name);
            self.note(Some(home), what, false);
        }
    }

    fn functions(&mut self) {
        let (home, other) = (self.home, self.other);
        let mut names: Vec<_> = home.bodies.keys().chain(other.bodies.keys()).collect();
        names.retain(|(schema, ..)| schema != "pgbraid");
        names.sort();
        names.dedup();
        for name in names {
            let (schema, function, arguments) = name;
            let function = format!("the function {schema}.{function}({})", arguments.join(", "));
            match (home.bodies.get(name), other.bodies.get(name)) {
                (Some(_), None) => self.note(None, format!("{function} isn't there"), false),
                (None, Some(_)) => {
                    self.note(None, format!("{function} is there, and isn't on {}", self.home_name), false);
                }
                (Some(mine), Some(theirs)) if mine != theirs => {
                    self.note(None, format!("{function} is another than on {}", self.home_name), false);
                }
                _ => {}
            }
        }
    }

    fn enums(&mut self) {
        let named = |schema: &Schema| {
            let mut named: Vec<(String, Vec<String>)> =
                schema.labels.iter().map(|(oid, labels)| (schema.type_name(*oid), labels.clone())).collect();
            named.sort();
            named
        };
        let (mine, theirs) = (named(self.home), named(self.other));
        for (name, labels) in &mine {
            match theirs.iter().find(|(other, _)| other == name) {
                None => self.note(None, format!("the type {name} isn't there"), false),
                Some((_, others)) if others != labels => {
                    let what = format!(
                        "the type {name} has the labels {}; on {} {}",
                        others.join(", "),
                        self.home_name,
                        labels.join(", ")
                    );
                    self.note(None, what, false);
                }
                Some(_) => {}
            }
        }
    }
}

/// OIDs of `other`'s types of users, with those of the same names on `home`, where they differ.
pub fn type_map(home: &Schema, other: &Schema) -> rustc_hash::FxHashMap<Oid, Oid> {
    let by_name: rustc_hash::FxHashMap<(&str, &str), Oid> =
        home.types.values().map(|known| ((known.schema.as_str(), known.name.as_str()), known.oid)).collect();
    let same = |known: &super::schema::Type| by_name.get(&(known.schema.as_str(), known.name.as_str())).copied();
    let pairs = other.types.values().filter_map(|known| Some((known.oid, same(known)?)));
    pairs.filter(|(theirs, mine)| theirs != mine).collect()
}
