//! Builds a schema from the answers to its queries.

use rustc_hash::FxHashMap;

use super::SCHEMA_QUERIES;
use super::code::Body;
use super::defaults::Defaults;
use super::read::Rows;
use super::schema::{
    Caller, Collation, Column, ForeignKey, Function, FunctionKind, Guard, Oid, Provider, Relation, RelationKind,
    Schema, Type, Volatility,
};

/// The database's own collation, in `pg_attribute.attcollation`.
const DEFAULT_COLLATION: Oid = 100;

/// How deep partitions of partitions are followed.
const MOST_GENERATIONS: usize = 64;

fn text(row: &[Option<String>], at: usize) -> &str {
    row.get(at).and_then(Option::as_deref).unwrap_or_default()
}

fn owned(row: &[Option<String>], at: usize) -> String {
    text(row, at).to_owned()
}

fn oid(row: &[Option<String>], at: usize) -> Oid {
    text(row, at).parse().unwrap_or(0)
}

fn flag(row: &[Option<String>], at: usize) -> bool {
    text(row, at) == "true"
}

fn numbers(row: &[Option<String>], at: usize) -> impl Iterator<Item = i32> {
    text(row, at).split_ascii_whitespace().filter_map(|number| number.parse().ok())
}

/// Relations by OID, and the place of each column by its number.
#[derive(Default)]
struct Reading {
    relations: FxHashMap<Oid, Relation>,
    columns: FxHashMap<(Oid, i32), usize>,
}

impl Schema {
    /// The schema that these answers to [`SCHEMA_QUERIES`] describe, each with its query's name. None without an answer
    /// to each of them.
    pub fn from_rows(answers: &[(&str, Rows)]) -> Option<Self> {
        let rows = |name: &str| answers.iter().find(|(of, _)| *of == name).map(|(_, rows)| rows.as_slice());
        if SCHEMA_QUERIES.iter().any(|query| rows(query.name).is_none()) {
            return None;
        }
        let rows = |name: &str| rows(name).unwrap_or_default();
        let database = rows("database").first()?;
        let collation = Collation {
            name: "\"default\"".to_owned(),
            provider: provider(text(database, 2), text(database, 3)),
            locale: owned(database, 3),
            deterministic: true,
            version: database.get(4).cloned().flatten(),
        };
        let collations: FxHashMap<Oid, Collation> = rows("collations")
            .iter()
            .map(|row| {
                let collation = Collation {
                    name: owned(row, 1),
                    provider: provider(text(row, 2), text(row, 3)),
                    locale: owned(row, 3),
                    deterministic: flag(row, 4),
                    version: row.get(5).cloned().flatten(),
                };
                (oid(row, 0), collation)
            })
            .chain([(DEFAULT_COLLATION, collation.clone())])
            .collect();

        let mut reading = Reading::default();
        rows("relations").iter().for_each(|row| reading.relation(row));
        rows("columns").iter().for_each(|row| reading.column(row, &collations));
        rows("code").iter().for_each(|row| reading.code(row));
        rows("policies").iter().for_each(|row| reading.policy(row));
        rows("indexes").iter().for_each(|row| reading.index(row));
        rows("foreign keys").iter().for_each(|row| reading.foreign_key(row));
        reading.inherit_guards();
        reading.written_with();

        let mut schema = Self {
            collation,
            version: text(database, 0).parse().unwrap_or(0),
            encoding: owned(database, 1),
            types: rows("types").iter().map(|row| (oid(row, 0), read_type(row))).collect(),
            ..Self::default()
        };
        schema.defaults = Defaults::from_rows(rows("defaults"));
        for row in rows("labels") {
            schema.labels.entry(oid(row, 0)).or_default().push(owned(row, 1));
        }
        for row in rows("operators") {
            schema.operators.entry(owned(row, 0)).or_default().push(owned(row, 1));
        }
        rows("functions").iter().for_each(|row| schema.add_function(row));
        let named = reading.relations.into_values();
        schema.relations = named.map(|relation| ((relation.schema.clone(), relation.name.clone()), relation)).collect();
        Some(schema)
    }

    /// Only the types, from the answer to the query of that name.
    pub fn of_types(rows: &Rows) -> Self {
        let types = rows.iter().map(|row| (oid(row, 0), read_type(row))).collect();
        Self { types, ..Self::default() }
    }

    fn add_function(&mut self, row: &[Option<String>]) {
        let function = Function {
            schema: owned(row, 0),
            name: owned(row, 1),
            kind: match text(row, 2) {
                "p" => FunctionKind::Procedure,
                "a" => FunctionKind::Aggregate,
                "w" => FunctionKind::Window,
                _ => FunctionKind::Function,
            },
            volatility: match text(row, 3) {
                "i" => Volatility::Immutable,
                "s" => Volatility::Stable,
                _ => Volatility::Volatile,
            },
            strict: flag(row, 4),
            builtin: flag(row, 5),
            arguments: text(row, 6).split_ascii_whitespace().filter_map(|oid| oid.parse().ok()).collect(),
            returns: oid(row, 7),
            set: flag(row, 8),
            ordered_set: flag(row, 9),
            body: row.get(11).and_then(Option::as_deref).and_then(Body::read),
        };
        if let Some(body) = row.get(10).cloned().flatten() {
            let arguments = function.arguments.iter().map(|oid| self.type_name(*oid)).collect();
            self.bodies.insert((function.schema.clone(), function.name.clone(), arguments), body);
        }
        self.functions.entry(function.name.clone()).or_default().push(function);
    }

    /// A type's name with its schema; what shards agree on where OIDs differ.
    pub fn type_name(&self, oid: Oid) -> String {
        self.types.get(&oid).map_or_else(|| oid.to_string(), |known| format!("{}.{}", known.schema, known.name))
    }
}

impl Reading {
    fn relation(&mut self, row: &[Option<String>]) {
        let kind = match text(row, 3) {
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::Materialized,
            "f" => RelationKind::Foreign,
            "S" => RelationKind::Sequence,
            _ => RelationKind::Table,
        };
        let triggers = flag(row, 5);
        let relation = Relation {
            schema: owned(row, 1),
            name: owned(row, 2),
            kind,
            columns: Vec::new(),
            guards: Vec::new(),
            inherited_guards: Vec::new(),
            primary_key: None,
            foreign_keys: Vec::new(),
            parent: row.get(8).cloned().flatten().map(|name| (owned(row, 7), name)),
            definition: row.get(9).cloned().flatten(),
            row_security: flag(row, 4),
            code: Vec::new(),
            transitions: flag(row, 10),
            also: Vec::new(),
            triggers,
            rules: flag(row, 6),
            policies_read: Vec::new(),
        };
        self.relations.insert(oid(row, 0), relation);
    }

    fn column(&mut self, row: &[Option<String>], collations: &FxHashMap<Oid, Collation>) {
        let of = oid(row, 0);
        let Some(relation) = self.relations.get_mut(&of) else { return };
        self.columns.insert((of, text(row, 1).parse().unwrap_or(0)), relation.columns.len());
        relation.columns.push(Column {
            name: owned(row, 2),
            type_oid: oid(row, 3),
            typmod: text(row, 4).parse().unwrap_or(-1),
            type_name: owned(row, 5),
            not_null: flag(row, 6),
            collation: match oid(row, 7) {
                0 => None,
                // One that isn't listed: nothing is taken for granted of it.
                collation => Some(collations.get(&collation).cloned().unwrap_or(Collation {
                    name: "unknown".to_owned(),
                    provider: Provider::Libc,
                    ..Collation::default()
                })),
            },
            default: row.get(8).cloned().flatten(),
            identity: flag(row, 9),
            generated: flag(row, 10),
        });
    }

    fn code(&mut self, row: &[Option<String>]) {
        if let Some(relation) = self.relations.get_mut(&oid(row, 0)) {
            relation.code.push(Caller { function: owned(row, 1), before_row: flag(row, 2) });
        }
    }

    fn policy(&mut self, row: &[Option<String>]) {
        if let Some(relation) = self.relations.get_mut(&oid(row, 0)) {
            relation.policies_read.push((owned(row, 1), owned(row, 2)));
        }
    }

    /// Columns' places; None where a number isn't a user's column.
    fn places(&self, of: Oid, numbers: impl Iterator<Item = i32>) -> Option<Vec<usize>> {
        numbers.map(|number| self.columns.get(&(of, number)).copied()).collect()
    }

    fn index(&mut self, row: &[Option<String>]) {
        let of = oid(row, 0);
        let Some(equal) = self.places(of, numbers(row, 2)) else { return };
        // Zero stands for an expression; what that reads is listed beside it.
        let reads = self.places(of, numbers(row, 5).filter(|number| *number > 0)).unwrap_or_default();
        let Some(relation) = self.relations.get_mut(&of) else { return };
        if flag(row, 1) {
            relation.primary_key = Some(equal.clone());
        }
        let names = |places: &[usize]| -> Vec<String> {
            places.iter().filter_map(|at| relation.columns.get(*at)).map(|column| column.name.clone()).collect()
        };
        let (equal, reads) = (names(&equal), names(&reads));
        relation.guards.push(Guard {
            name: owned(row, 3),
            exclusion: flag(row, 4),
            deferrable: flag(row, 6),
            equal,
            reads,
        });
    }

    /// What guards a part guards the rows that are put into the whole.
    fn inherit_guards(&mut self) {
        let name = |relation: &Relation| (relation.schema.clone(), relation.name.clone());
        let by_name: FxHashMap<_, Oid> = self.relations.iter().map(|(oid, relation)| (name(relation), *oid)).collect();
        let parent = |of: &Relation| of.parent.as_ref().and_then(|parent| by_name.get(parent)).copied();
        let mut found: Vec<(Oid, Vec<Guard>)> = Vec::new();
        for part in self.relations.values().filter(|part| !part.guards.is_empty()) {
            let mut at = parent(part);
            // A table can't be its own ancestor; the bound is for what was read while it changed.
            for _ in 0..MOST_GENERATIONS {
                let Some(oid) = at else { break };
                found.push((oid, part.guards.clone()));
                at = self.relations.get(&oid).and_then(parent);
            }
        }
        for (of, guards) in found {
            if let Some(relation) = self.relations.get_mut(&of) {
                relation.inherited_guards.extend(guards);
            }
        }
    }

    /// Which relations are written with which: parts with the whole, rows that refer with those that they refer to.
    fn written_with(&mut self) {
        let name = |relation: &Relation| (relation.schema.clone(), relation.name.clone());
        let mut edges: FxHashMap<(String, String), Vec<(String, String)>> = FxHashMap::default();
        for relation in self.relations.values() {
            let acting = relation.foreign_keys.iter().filter(|key| key.acts).map(|key| key.target.clone());
            for from in acting.chain(relation.parent.clone()) {
                edges.entry(from).or_default().push(name(relation));
            }
        }
        for relation in self.relations.values_mut() {
            let own = name(relation);
            let mut reached = Vec::new();
            let mut open = vec![own.clone()];
            while let Some(from) = open.pop() {
                for to in edges.get(&from).into_iter().flatten() {
                    if *to != own && !reached.contains(to) {
                        reached.push(to.clone());
                        open.push(to.clone());
                    }
                }
            }
            relation.also = reached;
        }
    }

    fn foreign_key(&mut self, row: &[Option<String>]) {
        let (of, target) = (oid(row, 0), oid(row, 3));
        let Some(columns) = self.places(of, numbers(row, 2)) else { return };
        let Some(target_places) = self.places(target, numbers(row, 4)) else { return };
        let Some((target, target_columns)) = self.relations.get(&target).map(|target| {
            let names = target_places.iter().filter_map(|at| target.columns.get(*at)).map(|column| column.name.clone());
            ((target.schema.clone(), target.name.clone()), names.collect())
        }) else {
            return;
        };
        if let Some(relation) = self.relations.get_mut(&of) {
            let key = ForeignKey { name: owned(row, 1), columns, target, target_columns, acts: flag(row, 5) };
            relation.foreign_keys.push(key);
        }
    }
}

fn read_type(row: &[Option<String>]) -> Type {
    let byte = |at| text(row, at).bytes().next().unwrap_or(0);
    Type {
        oid: oid(row, 0),
        schema: owned(row, 1),
        name: owned(row, 2),
        kind: byte(3),
        category: byte(4),
        element: oid(row, 5),
        base: oid(row, 6),
        collatable: flag(row, 7),
        bound: oid(row, 8),
    }
}

/// Which rules order texts (`pg_collation.collprovider`). The `builtin` provider orders by code points.
fn provider(provider: &str, locale: &str) -> Provider {
    match (provider, locale) {
        ("b", _) | ("c", "C" | "POSIX" | "C.UTF-8" | "C.utf8") => Provider::Bytes,
        ("i", _) => Provider::Icu,
        _ => Provider::Libc,
    }
}
