//! From the configuration's words and the schema to places of tables.

use std::collections::BTreeMap;

use crate::catalog::Difference;
use crate::catalog::schema::{Relation, RelationKind, Schema};
use crate::config::{Database, Table, TableRule};
use crate::topology::placement::{Placement, ShardIndex, TablePlace};
use crate::topology::rendezvous;
use crate::value::key::KeyType;

type Name = (String, String);

/// The places of the tables that are there, and of their partitions; and what is wrong with those that can't be placed.
pub(super) fn places(config: &Database, schema: &Schema) -> (BTreeMap<Name, TablePlace>, Vec<Difference>) {
    let mut places = BTreeMap::new();
    let mut troubles = Vec::new();
    for table in &config.tables {
        let name = (table.schema.clone(), table.name.clone());
        let Some(relation) = schema.relations.get(&name) else { continue };
        match place(config, schema, table, relation) {
            Ok(place) => {
                places.insert(name, place);
            }
            Err(what) => troubles.push(Difference {
                shard: config.home_shard().to_owned(),
                relation: Some(name),
                what: format!("{}.{} can't be placed: {what}", table.schema, table.name),
                whole: false,
            }),
        }
    }
    let placed: Vec<Name> = places.keys().cloned().collect();
    for relation in schema.relations.values().filter(|relation| relation.parent.is_some()) {
        let name = (relation.schema.clone(), relation.name.clone());
        if let Some(ancestor) = ancestor(schema, relation, &placed)
            && let Some(place) = places.get(&ancestor).cloned()
        {
            places.entry(name).or_insert(place);
        }
    }
    (places, troubles)
}

/// The nearest placed ancestor of a partition.
fn ancestor(schema: &Schema, relation: &Relation, placed: &[Name]) -> Option<Name> {
    let mut next = relation.parent.clone();
    for _ in 0..schema.relations.len() {
        let name = next?;
        if placed.contains(&name) {
            return Some(name);
        }
        next = schema.relations.get(&name)?.parent.clone();
    }
    None
}

fn place(config: &Database, schema: &Schema, table: &Table, relation: &Relation) -> Result<TablePlace, String> {
    if !matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned) {
        return Err("it isn't a table".to_owned());
    }
    match &table.rule {
        TableRule::Reference => Ok(TablePlace::Reference),
        TableRule::Hash { key, .. } => {
            let key_type = key_type(relation, key)?;
            let root = root(config, table);
            let root_name = (root.schema.clone(), root.name.clone());
            if let (TableRule::Hash { key: root_key, .. }, Some(root_relation)) =
                (&root.rule, schema.relations.get(&root_name))
            {
                let root_type = self::key_type(root_relation, root_key)?;
                if family(root_type) != family(key_type) {
                    return Err(format!(
                        "its key {key} is {key_type:?}, and that of {}.{}, with which it is co-located, is {root_type:?}",
                        root.schema, root.name
                    ));
                }
            }
            Ok(TablePlace::Hash { key: key.clone(), key_type, group: format!("{}.{}", root.schema, root.name) })
        }
        TableRule::List { key, values, rest } => {
            if !relation.columns.iter().any(|column| column.name == *key) {
                return Err(format!("it has no column {key}"));
            }
            let shard = |name: &String| position(config, name);
            let values: BTreeMap<String, ShardIndex> =
                values.iter().filter_map(|(value, name)| Some((value.clone(), shard(name)?))).collect();
            let rest = rest.as_ref().and_then(shard);
            // Tables with one list lie together.
            let group = format!("list {values:?} {rest:?}");
            Ok(TablePlace::List { key: key.clone(), group, values, rest })
        }
    }
}

/// A shard's place in the configuration.
pub(super) fn position(config: &Database, shard: &str) -> Option<ShardIndex> {
    config.shards.iter().position(|known| known.name == shard)
}

/// The table whose key decides.
pub(super) fn root<'a>(config: &'a Database, table: &'a Table) -> &'a Table {
    let mut current = table;
    for _ in 0..config.tables.len() {
        let TableRule::Hash { with: Some((schema, name)), .. } = &current.rule else { break };
        let next = config.tables.iter().find(|other| other.schema == *schema && other.name == *name);
        let Some(next) = next else { break };
        current = next;
    }
    current
}

fn key_type(relation: &Relation, key: &str) -> Result<KeyType, String> {
    let column = relation.columns.iter().find(|column| column.name == key).ok_or(format!("it has no column {key}"))?;
    if column.collation.as_ref().is_some_and(|collation| !collation.deterministic) {
        return Err(format!("its key {key} has a collation that isn't deterministic: equal keys have unequal hashes"));
    }
    KeyType::from_oid(column.type_oid).ok_or_else(|| {
        format!("its key {key} is {}, by whose hash nothing can be placed (a list can)", column.type_name)
    })
}

/// Types whose equal values have equal hashes.
pub(super) fn family(key: KeyType) -> KeyType {
    match key {
        KeyType::Int2 | KeyType::Int4 | KeyType::Int8 => KeyType::Int8,
        KeyType::Text | KeyType::Varchar => KeyType::Text,
        other => other,
    }
}

/// Whether a shard has a placed table, with its key as the home shard has it.
pub(super) fn fits(schema: &Schema, home: &Schema, name: &Name, place: &TablePlace) -> bool {
    let column = |schema: &Schema, key: &str| {
        let column = schema.relations.get(name)?.columns.iter().find(|column| column.name == key)?;
        Some(column.type_name.clone())
    };
    match place {
        TablePlace::Reference => schema.relations.contains_key(name),
        TablePlace::Hash { key, .. } | TablePlace::List { key, .. } => {
            let there = column(schema, key);
            there.is_some() && there == column(home, key)
        }
    }
}

/// The wish: buckets by weight.
pub(super) fn fresh_buckets(config: &Database) -> Vec<u16> {
    let weight = |name: &str| f64::from(config.shard_weights.get(name).copied().unwrap_or(1));
    let shards: Vec<_> = config.shards.iter().map(|shard| (shard.name.clone(), weight(&shard.name))).collect();
    rendezvous::fill(config.buckets, &shards)
}

/// Whether all shards must have the same of it: placed tables, and views that name one.
pub(super) fn is_everywhere(placement: &Placement, relation: &Relation) -> bool {
    if placement.table(&relation.schema, &relation.name).is_some() {
        return true;
    }
    let Some(definition) = &relation.definition else { return false };
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    definition.split(|c| !is_part(c)).any(|word| placement.tables.keys().any(|(_, name)| name == word))
}
