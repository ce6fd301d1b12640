//! Whether what a definition has made can be kept over shards: constraints that one shard can't guard, keys that changed.

use std::collections::BTreeMap;

use super::rules::{family, root};
use super::tables::{Column, Foreign, Relation, Tables, Unique};
use crate::base::{PgError, SqlState};
use crate::catalog::schema::Oid;
use crate::config::{Table, TableRule};
use crate::value::key::KeyType;

type Name = (String, String);

/// What becomes of stored placements.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tables that a statement had declared, and their new names.
    pub renamed: Vec<(Name, Name)>,
    /// Tables that are gone.
    pub dropped: Vec<Name>,
}

/// Judges a definition by what was there before it and what is there after. What was wrong before is nobody's fault now.
/// `computes`: its text gives a column's new values.
///
/// # Errors
/// What can't be kept, and what to do instead.
pub fn judge(before: &Tables, after: &Tables, computes: bool) -> Result<Changes, PgError> {
    let known = troubles(before);
    if let Some((_, error)) = troubles(after).into_iter().find(|(what, _)| !known.contains_key(what)) {
        return Err(error);
    }
    let mut changes = Changes::default();
    for (oid, relation) in &before.relations {
        let Some(table) = before.own_place(relation) else { continue };
        let old = (relation.schema.clone(), relation.name.clone());
        match after.relations.get(oid) {
            None => changes.dropped.push(old),
            Some(now) if (&now.schema, &now.name) != (&old.0, &old.1) => {
                renamed(before, table, relation)?;
                changes.renamed.push((old, (now.schema.clone(), now.name.clone())));
            }
            Some(_) => {}
        }
        key_kept(before, after, *oid, table, computes)?;
    }
    Ok(changes)
}

fn refuse(text: String, hint: impl Into<String>) -> PgError {
    PgError::error(SqlState::FEATURE_NOT_SUPPORTED, text).hint(hint)
}

fn renamed(before: &Tables, table: &Table, relation: &Relation) -> Result<(), PgError> {
    let name = format!("{}.{}", relation.schema, relation.name);
    let named = before.by_configuration.tables.iter().find(|other| match &other.rule {
        _ if other.schema == table.schema && other.name == table.name => true,
        TableRule::Hash { with: Some((schema, name)), .. } => *schema == table.schema && *name == table.name,
        _ => false,
    });
    if named.is_none() {
        return Ok(());
    }
    let hint = "Its rows would belong to no entry any more. Keep the name; a view may give it another one.";
    Err(refuse(format!("the table {name} can't be renamed or moved: the configuration places it by its name"), hint))
}

/// The key of a sharded table is still there, with the values that it had.
fn key_kept(before: &Tables, after: &Tables, oid: Oid, table: &Table, computes: bool) -> Result<(), PgError> {
    let (TableRule::Hash { key, .. } | TableRule::List { key, .. }) = &table.rule else { return Ok(()) };
    let column = |tables: &Tables| tables.columns.get(&(oid, key.clone())).cloned();
    let (Some(was), Some(is)) = (column(before), column(after)) else { return Ok(()) };
    if (was.type_oid, was.typmod) == (is.type_oid, is.typmod) {
        return Ok(());
    }
    let hashed = matches!(table.rule, TableRule::Hash { .. });
    let types = (KeyType::from_oid(was.type_oid), KeyType::from_oid(is.type_oid));
    let same_values = match types {
        (Some(was), Some(now)) if hashed && family(was) == family(now) => is.typmod == -1,
        _ => false,
    };
    if same_values && !computes {
        return Ok(());
    }
    let text = format!(
        "{key} is the sharding key of {}.{}: it can't become {} from {}, as its rows would belong elsewhere",
        table.schema, table.name, is.type_name, was.type_name
    );
    Err(refuse(text, "Make a new table with that key, and copy the rows: INSERT INTO … SELECT."))
}

/// All that is wrong, by what it says.
fn troubles(tables: &Tables) -> BTreeMap<String, PgError> {
    let key = tables.relations.iter().filter_map(|(oid, relation)| placed(tables, *oid, relation));
    let unique = tables.uniques.iter().filter_map(|unique| unguarded(tables, unique));
    let foreign = tables.foreign.iter().filter_map(|foreign| across(tables, foreign));
    key.chain(unique).chain(foreign).map(|error| (error.message().to_owned(), error)).collect()
}

/// A table that can't be placed as it is declared.
fn placed(tables: &Tables, oid: Oid, relation: &Relation) -> Option<PgError> {
    let name = format!("{}.{}", relation.schema, relation.name);
    let own = tables.own_place(relation);
    let place = tables.place(oid);
    let other_parent = relation.parents.iter().any(|parent| tables.place(*parent) != place);
    if !relation.parents.is_empty() && (own.is_some() || other_parent) {
        let text = format!("the table {name} inherits from a table that is placed otherwise");
        return Some(refuse(text, "Parts follow their parents: place the parent, and not the part."));
    }
    let table = own?;
    let (TableRule::Hash { key, .. } | TableRule::List { key, .. }) = &table.rule else { return None };
    let Some(column) = tables.columns.get(&(oid, key.clone())) else {
        let text = format!("the table {name} has no column {key}, which is its sharding key");
        return Some(refuse(text, "The sharding key can be neither dropped nor renamed."));
    };
    if matches!(table.rule, TableRule::List { .. }) {
        return None;
    }
    hashed(tables, table, column).err().map(|what| {
        let text = format!("the table {name} can't be sharded by {key}: {what}");
        refuse(text, "Take a key of another type: an integer, text, uuid, numeric, date or timestamp.")
    })
}

fn hashed(tables: &Tables, table: &Table, column: &Column) -> Result<(), String> {
    let Some(key_type) = KeyType::from_oid(column.type_oid) else {
        return Err(format!("its type is {}, by whose hash nothing can be placed", column.type_name));
    };
    if !column.deterministic {
        return Err("its collation isn't deterministic: equal keys have unequal hashes".to_owned());
    }
    let root = root(&tables.config, table);
    if let TableRule::Hash { with: Some((schema, name)), .. } = &root.rule {
        return Err(format!("{schema}.{name}, with which it is to be co-located, isn't a sharded table"));
    }
    let TableRule::Hash { key, .. } = &root.rule else { return Err("it is co-located with a list".to_owned()) };
    let found = tables.relations.iter().find(|(_, r)| r.schema == root.schema && r.name == root.name);
    let root_column = found.and_then(|(oid, _)| tables.columns.get(&(*oid, key.clone())));
    let root_type = root_column.and_then(|column| KeyType::from_oid(column.type_oid));
    match root_type {
        Some(root_type) if family(root_type) != family(key_type) => Err(format!(
            "its type is {}, and the key of {}.{}, with which it is co-located, is {}",
            column.type_name,
            root.schema,
            root.name,
            root_column.map_or("", |column| column.type_name.as_str())
        )),
        _ => Ok(()),
    }
}

/// A sharded table's key, its number in one of the table's parts.
fn key_number(tables: &Tables, of: Oid) -> Option<(&Table, &str, i32)> {
    let table = tables.place(of)?;
    let (TableRule::Hash { key, .. } | TableRule::List { key, .. }) = &table.rule else { return None };
    let column = tables.columns.get(&(of, key.clone()))?;
    Some((table, key.as_str(), column.number))
}

/// A unique index that each shard could only guard among its own rows.
fn unguarded(tables: &Tables, unique: &Unique) -> Option<PgError> {
    let (_, key, number) = key_number(tables, unique.of)?;
    if unique.columns.contains(&number) || tables.config.unique_per_shard {
        return None;
    }
    let relation = tables.relations.get(&unique.of)?;
    let kind = if unique.exclusion { "exclusion constraint" } else { "unique index" };
    let text = format!(
        "the {kind} {} of {}.{} doesn't compare the sharding key {key} by =, so it could only hold on each shard for itself",
        unique.name, relation.schema, relation.name
    );
    let hint = if unique.exclusion {
        format!("Put `{key} WITH =` into it, or write unique_per_shard = true in the configuration.")
    } else {
        format!(
            "Put the key into it: PRIMARY KEY ({key}, …), UNIQUE ({key}, …). Or write unique_per_shard = true in the \
             configuration: each shard then keeps its own rows apart only."
        )
    };
    Some(refuse(text, hint))
}

/// A foreign key whose rows may lie on different shards.
fn across(tables: &Tables, foreign: &Foreign) -> Option<PgError> {
    let (from, to) = (tables.relations.get(&foreign.of)?, tables.relations.get(&foreign.target)?);
    let (place, target) = (tables.place(foreign.of), tables.place(foreign.target));
    let because = match (place.map(|table| &table.rule), target.map(|table| &table.rule)) {
        // Each shard has all that it refers to; the home shard has all rows of its own tables.
        (None, None) | (_, Some(TableRule::Reference)) => return None,
        (Some(_), None) => "rows of a table that is on the home shard only",
        (None | Some(TableRule::Reference), Some(_)) => "rows of a sharded table, which are each on one shard only",
        (Some(_), Some(_)) => match key_number(tables, foreign.of).zip(key_number(tables, foreign.target)) {
            Some(((table, key, number), (other, _, other_number))) => {
                let mut pairs = foreign.columns.iter().zip(&foreign.target_columns);
                let on_key = pairs.any(|(own, theirs)| *own == number && *theirs == other_number);
                if on_key && together(tables, table, other) {
                    if foreign.empties {
                        let text = format!("the foreign key {} would empty the sharding key {key}", foreign.name);
                        return Some(refuse(text, "Use NO ACTION or CASCADE in it."));
                    }
                    return None;
                }
                "rows that may be on another shard"
            }
            None => "rows that may be on another shard",
        },
    };
    let text = format!(
        "the foreign key {} of {}.{} refers to {}.{}: {because}",
        foreign.name, from.schema, from.name, to.schema, to.name
    );
    let hint = "A foreign key may refer to a reference table, or join co-located tables by their sharding keys: FOREIGN KEY \
                (key, …) REFERENCES other (key, …).";
    Some(refuse(text, hint))
}

/// Whether equal keys of both are on one shard.
fn together(tables: &Tables, one: &Table, two: &Table) -> bool {
    match (&one.rule, &two.rule) {
        (TableRule::Hash { .. }, TableRule::Hash { .. }) => {
            let (one, two) = (root(&tables.config, one), root(&tables.config, two));
            (&one.schema, &one.name) == (&two.schema, &two.name)
        }
        (TableRule::List { values, rest, .. }, TableRule::List { values: others, rest: other, .. }) => {
            values == others && rest == other
        }
        _ => false,
    }
}
