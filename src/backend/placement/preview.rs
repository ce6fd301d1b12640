//! What is to be said of shards' schemas and the configuration without a running database.

use std::sync::Arc;

use super::{Stored, rows, rules};
use crate::catalog::schema::Schema;
use crate::catalog::{Difference, compare};
use crate::config::Database;
use crate::topology::placement::{Placement, ShardIndex, TablePlace};

/// What schemas and configuration give.
#[derive(Debug, Default)]
pub struct Preview {
    pub differences: Vec<Difference>,
    /// Declared tables that the home shard doesn't have.
    pub missing: Vec<String>,
    /// Unique indexes of sharded tables that lack the key: the index, the table, the key.
    pub unguarded: Vec<[String; 3]>,
}

/// From schemas by shard. None without the home shard's.
pub fn preview(config: &Database, schemas: &[(String, Arc<Schema>)]) -> Option<Preview> {
    let home_name = config.home_shard();
    let (_, home) = schemas.iter().find(|(name, _)| name == home_name)?;
    let (tables, mut differences) = rules::places(config, home);
    let placement = Placement {
        shards: config.shards.iter().map(|shard| shard.name.clone()).collect(),
        home: rules::position(config, home_name)?,
        tables,
        epoch: 0,
        buckets: Vec::new(),
    };
    let named: Vec<_> = schemas.iter().map(|(name, schema)| (name.as_str(), schema)).collect();
    differences.extend(self::differences(&placement, home, home_name, &named));
    let declared = config.tables.iter().map(|table| (table.schema.clone(), table.name.clone()));
    let missing = declared.filter(|name| !home.relations.contains_key(name));
    let missing = missing.map(|(schema, name)| format!("{schema}.{name}")).collect();
    let mut unguarded = Vec::new();
    for (name, place) in &placement.tables {
        let (TablePlace::Hash { key, .. } | TablePlace::List { key, .. }) = place else { continue };
        let Some(relation) = home.relations.get(name) else { continue };
        let table = format!("{}.{}", relation.schema, relation.name);
        unguarded.extend(relation.unguarded(key).map(|guard| [guard.name.clone(), table.clone(), key.clone()]));
    }
    Some(Preview { differences, missing, unguarded })
}

/// The placement that is stored, without what a running database has yet to verify. None: it isn't this configuration's.
pub fn placement(config: &Database, home: &Schema, stored: &Stored) -> Option<Placement> {
    stored.agrees(config, home).ok()?;
    let (tables, _) = rules::places(config, home);
    let tables = tables.into_iter().filter(|(name, _)| stored.tables.contains_key(name)).collect();
    Some(Placement {
        shards: config.shards.iter().map(|shard| shard.name.clone()).collect(),
        home: rules::position(config, config.home_shard())?,
        tables,
        epoch: stored.epoch,
        buckets: stored.map(config)?,
    })
}

/// What to ask a shard about the rows of one table.
#[derive(Debug)]
pub struct RowQuestion {
    pub table: String,
    /// The answer is the same on all shards where the copies are equal; else it is `true` where rows lie astray.
    pub copies: bool,
    pub sql: String,
}

/// A question for each placed table, for shard `at`.
pub fn row_questions(placement: &Placement, at: ShardIndex) -> Vec<RowQuestion> {
    let question = |(name, place): (&(String, String), &TablePlace)| {
        let (copies, sql) = match place {
            TablePlace::Reference => (true, rows::fingerprint(name)),
            _ => (false, rows::astray(name, place, &placement.buckets, at)?),
        };
        Some(RowQuestion { table: format!("{}.{}", name.0, name.1), copies, sql })
    };
    placement.tables.iter().filter_map(question).collect()
}

/// In what the shards differ from the home shard.
pub(super) fn differences(
    placement: &Placement,
    home: &Arc<Schema>,
    home_name: &str,
    schemas: &[(&str, &Arc<Schema>)],
) -> Vec<Difference> {
    let everywhere = |relation: &_| rules::is_everywhere(placement, relation);
    let others = schemas.iter().filter(|(name, _)| *name != home_name);
    others.flat_map(|(name, schema)| compare(home, home_name, schema, name, everywhere)).collect()
}
