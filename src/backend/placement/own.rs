//! What a transaction that has changed definitions plans by, and how it changes stored placements with them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::rules;
use super::stored::literal;
use crate::backend::sharded::{ShardedDatabase, View, turned};
use crate::catalog::schema::{Oid, Schema};
use crate::config;
use crate::topology::placement::Placement;

/// The view of one transaction. `base`: what was known before it. `types`: as [`View::types`].
pub fn own_view(
    sharded: &ShardedDatabase,
    base: &View,
    config: &Arc<config::Database>,
    schema: Arc<Schema>,
    types: Vec<FxHashMap<Oid, Oid>>,
    generation: u64,
) -> View {
    let (mut tables, _) = rules::places(config, &schema);
    // What couldn't be trusted before can't be now.
    tables.retain(|name, _| {
        let was_there = base.schema.relations.contains_key(name);
        !was_there || base.placement.tables.contains_key(name) || !base.config.tables.iter().any(|t| is(t, name))
    });
    let placement = Placement { home: sharded.home, tables, ..Placement::clone(&base.placement) };
    View {
        generation,
        placement: Arc::new(placement),
        config: config.clone(),
        schema,
        types_there: turned(&types),
        types,
        differences: base.differences.clone(),
        read: base.read.clone(),
    }
}

fn is(table: &config::Table, name: &(String, String)) -> bool {
    table.schema == name.0 && table.name == name.1
}

/// A statement that places a new table, on the home shard, in the transaction that made it.
pub fn place(table: &config::Table) -> String {
    format!(
        "SELECT pgbraid.place({}, {}, {})",
        literal(&table.schema),
        literal(&table.name),
        literal(&table.rule.to_string())
    )
}

/// A statement that lets a placement follow its table to a new name.
pub fn rename(old: &(String, String), new: &(String, String)) -> String {
    let names = [&old.0, &old.1, &new.0, &new.1].map(|name| literal(name));
    format!("SELECT pgbraid.rename({})", names.join(", "))
}

/// A statement that forgets the placement of a table that is gone.
pub fn forget(name: &(String, String)) -> String {
    format!("SELECT pgbraid.forget({}, {})", literal(&name.0), literal(&name.1))
}
