//! What a new configuration changes, and what that takes; and every setting with its value, for the console.

use std::sync::Arc;

use super::keys::{self, Apply, Key};
use super::model::{Config, Database};
use super::value::Value;

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `server.listen`, `databases.shop.pool_size`, or `databases.shop` where a whole section came or went.
    pub key: String,
    /// As in the file; secrets are hidden. Empty: not set.
    pub old: String,
    pub new: String,
    pub apply: Apply,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, old, new, .. } = self;
        match (old.as_str(), new.as_str()) {
            ("", new) => write!(f, "{key} is now {new}"),
            (old, "") => write!(f, "{key} is no longer {old}"),
            (old, new) if old == new => write!(f, "{key} has changed"),
            (old, new) => write!(f, "{key} was {old}, is now {new}"),
        }
    }
}

/// One setting and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// As in [`Change::key`].
    pub key: String,
    /// As in the file; secrets are hidden. Empty: not set.
    pub value: String,
    pub default: &'static str,
    pub apply: Apply,
}

/// Every setting of a configuration, in the order of the documentation.
pub fn settings(config: &Config) -> Vec<Shown> {
    list(config)
        .into_iter()
        .map(|Entry { key, value, default, apply }| Shown { key, value: value.to_string(), default, apply })
        .collect()
}

/// The settings in which two configurations differ.
///
/// Files that are named (certificates) may have changed behind an unchanged name: a reload reads them anew anyway.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    let (before, after) = (list(old), list(new));
    for entry in &after {
        match before.iter().find(|other| other.key == entry.key) {
            Some(other) if other.value != entry.value => changes.push(Change {
                key: entry.key.clone(),
                old: other.value.to_string(),
                new: entry.value.to_string(),
                apply: if is_kept(old, new, &entry.key) { Apply::Restart } else { entry.apply },
            }),
            _ => {}
        }
    }
    sections("users", old.users.keys(), new.users.keys(), &mut changes);
    sections("databases", old.databases.keys(), new.databases.keys(), &mut changes);
    changes
}

/// Puts the values that only a new process can change back to what they are: what is shown and compared from then on is
/// what is in force.
pub fn keep_until_restart(running: &Config, new: &mut Config) {
    fn keep<T>(keys: &[Key<T>], running: &T, new: &mut T) {
        for key in keys.iter().filter(|key| key.apply == Apply::Restart) {
            (key.set)(new, (key.get)(running));
        }
    }
    keep(keys::SERVER, &running.server, &mut new.server);
    keep(keys::LOG, &running.log, &mut new.log);
    keep(keys::AUTH, &running.auth, &mut new.auth);
    for (name, database) in &mut new.databases {
        if let Some(old) = running.databases.get(name).filter(|old| old.is_sharded() || database.is_sharded()) {
            *database = Arc::new(Database {
                shards: old.shards.clone(),
                shard_weights: old.shard_weights.clone(),
                home: old.home.clone(),
                tables: old.tables.clone(),
                functions: old.functions.clone(),
                buckets: old.buckets,
                cross_shard_commit: old.cross_shard_commit,
                cross_shard_reads: old.cross_shard_reads,
                unique_per_shard: old.unique_per_shard,
                ..(**database).clone()
            });
        }
    }
}

/// Whether a sharded database keeps this setting until a restart, though others change it by a reload.
fn is_kept(old: &Config, new: &Config, key: &str) -> bool {
    let Some((database, "shards")) = key.strip_prefix("databases.").and_then(|rest| rest.rsplit_once('.')) else {
        return false;
    };
    [old, new].iter().any(|config| config.databases.get(database).is_some_and(|database| database.is_sharded()))
}

/// Named sections that came or went.
fn sections<'a>(
    kind: &str,
    old: impl Iterator<Item = &'a String>,
    new: impl Iterator<Item = &'a String>,
    changes: &mut Vec<Change>,
) {
    let (old, new): (Vec<_>, Vec<_>) = (old.collect(), new.collect());
    let change = |name: &str, old: &str, new: &str| Change {
        key: format!("{kind}.{name}"),
        old: old.to_owned(),
        new: new.to_owned(),
        apply: Apply::Reload,
    };
    changes.extend(old.iter().filter(|name| !new.contains(name)).map(|name| change(name, "there", "")));
    changes.extend(new.iter().filter(|name| !old.contains(name)).map(|name| change(name, "", "there")));
}

struct Entry {
    key: String,
    value: Value,
    default: &'static str,
    apply: Apply,
}

fn list(config: &Config) -> Vec<Entry> {
    let mut entries = Vec::new();
    section("server", keys::SERVER, &config.server, &mut entries);
    section("log", keys::LOG, &config.log, &mut entries);
    section("auth", keys::AUTH, &config.auth, &mut entries);
    for (name, user) in &config.users {
        section(&format!("users.{name}"), keys::USER, user, &mut entries);
    }
    for (name, database) in &config.databases {
        section(&format!("databases.{name}"), keys::DATABASE, database.as_ref(), &mut entries);
    }
    entries
}

fn section<T>(path: &str, keys: &[Key<T>], target: &T, entries: &mut Vec<Entry>) {
    entries.extend(keys.iter().map(|key| Entry {
        key: format!("{path}.{}", key.name),
        value: (key.get)(target),
        default: key.default,
        apply: key.apply,
    }));
}
