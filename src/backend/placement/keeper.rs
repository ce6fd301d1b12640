//! Makes the stored map at the first start, places tables that are declared later, and stamps the shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Trouble;
use super::rows;
use super::rules;
use super::stored::{
    CREATE, CREATE_COMMITS, CREATE_FUNCTIONS, CREATE_GATE, CREATE_STAMP, HAS_FUNCTIONS, HAS_GATE, LOCK, PRESENT, READ,
    Stored, UNGATED, insert_map, insert_table, literal,
};
use crate::backend::commits::PREFIX;
use crate::backend::control::Control;
use crate::backend::exchange::TextRows;
use crate::backend::login::Identity;
use crate::backend::sharded::ShardedDatabase;
use crate::base::{PgError, SqlState, limits};
use crate::catalog::Difference;
use crate::config::model::{CrossShardCommit, CrossShardReads};
use crate::topology::placement::TablePlace;

type Name = (String, String);

/// A shard's connection with what it is called.
struct Shard {
    name: String,
    control: Control,
}

/// Connections to all shards' primaries, for as long as something must be decided.
pub(super) struct Session<'a> {
    sharded: &'a ShardedDatabase,
    shards: Vec<Shard>,
}

/// What was decided of tables that are declared and weren't placed.
pub(super) struct Settled {
    pub stored: Stored,
    /// Tables that can't be used, and why.
    pub troubles: Vec<Difference>,
}

impl<'a> Session<'a> {
    /// # Errors
    /// A shard has no primary, or it can't be connected to.
    pub async fn open(sharded: &'a ShardedDatabase, identity: &Arc<Identity>) -> Result<Self, Trouble> {
        let timeout = sharded.config.pool.connect_timeout;
        let mut shards = Vec::with_capacity(sharded.shards.len());
        for database in &sharded.shards {
            let name = database.shard.name.clone();
            let Some(primary) = database.shard.primary().cloned() else {
                return Err(Trouble::Wait(format!("the shard {name} has no primary that answers")));
            };
            let control = Control::open(&primary, identity, timeout, limits::CATALOG_STATEMENT)
                .await
                .map_err(|error| Trouble::Wait(format!("shard {name}: {}", error.into_error().message())))?;
            let mut shard = Shard { name, control };
            // Rows that a policy would hide count: an error rather than a silence.
            shard.ask("SET row_security = off", limits::CATALOG_STATEMENT).await?;
            shards.push(shard);
        }
        Ok(Self { sharded, shards })
    }

    pub(super) async fn ask(&mut self, shard: usize, sql: &str) -> Result<TextRows, Trouble> {
        let Some(shard) = self.shards.get_mut(shard) else { return Ok(Vec::new()) };
        shard.ask(sql, limits::CATALOG_STATEMENT).await
    }

    pub(super) async fn says(&mut self, shard: usize, sql: &str) -> Result<String, Trouble> {
        let rows = self.ask(shard, sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten().unwrap_or_default())
    }

    /// What is stored; and the map that isn't, made. `places`: where the configuration puts the tables that exist.
    ///
    /// # Errors
    /// Servers that don't answer; rows that forbid a map.
    pub async fn settle(&mut self, places: &BTreeMap<Name, TablePlace>) -> Result<Settled, Trouble> {
        let home = self.sharded.home;
        let begin = format!("BEGIN READ WRITE; {LOCK}");
        self.ask(home, &begin).await?;
        let settled = self.settle_alone(places).await?;
        self.ask(home, "COMMIT").await?;
        self.stamp(&settled.stored, places).await?;
        self.make_commits().await?;
        self.make_unique_ids().await?;
        self.sharded.commits.set_map(&settled.stored.id);
        self.make_gates().await?;
        Ok(settled)
    }

    /// Within the home shard's transaction, holding the lock.
    async fn settle_alone(&mut self, places: &BTreeMap<Name, TablePlace>) -> Result<Settled, Trouble> {
        let home = self.sharded.home;
        let stored = match self.read(home).await? {
            Some(stored) => stored,
            None => {
                self.no_map_elsewhere().await?;
                let buckets = self.first_map(places).await?;
                self.make_schema(home).await?;
                self.ask(home, CREATE).await?;
                self.ask(home, &insert_map(&self.sharded.config, &buckets)).await?;
                tracing::info!(database = &*self.sharded.name, "the map of keys was made and stored on the home shard");
                self.read(home).await?.ok_or_else(|| Trouble::Wait("the map was stored and isn't there".to_owned()))?
            }
        };
        let Some(home_schema) = self.sharded.shards.get(home).and_then(|shard| shard.believed_schema()) else {
            return Err(Trouble::Wait("the home shard's schema is being read".to_owned()));
        };
        stored.agrees(&self.sharded.config, &home_schema).map_err(Trouble::Refuse)?;
        self.make_functions(home).await?;
        let mut settled = Settled { stored, troubles: Vec::new() };
        let map = settled.stored.map(&self.sharded.config).unwrap_or_default();
        for table in &self.sharded.config.tables {
            let name = (table.schema.clone(), table.name.clone());
            let Some(place) = places.get(&name).filter(|_| !settled.stored.tables.contains_key(&name)) else {
                continue;
            };
            match self.verify(&name, place, &map).await? {
                None => {
                    let rule = table.rule.to_string();
                    self.ask(home, &insert_table(&name, &rule)).await?;
                    settled.stored.tables.insert(name, rule);
                }
                Some((shard, what)) => settled.troubles.push(Difference {
                    shard,
                    relation: Some(name.clone()),
                    what: format!("{}.{} can't be placed: {what}", name.0, name.1),
                    whole: false,
                }),
            }
        }
        Ok(settled)
    }

    /// What transactions over shards need, on every shard.
    async fn make_commits(&mut self) -> Result<(), Trouble> {
        for at in 0..self.shards.len() {
            let present = self.ask(at, PRESENT).await?;
            if present.first().and_then(|row| row.get(3)).and_then(Option::as_deref) != Some("true") {
                self.ask(at, &format!("BEGIN READ WRITE; {LOCK}; {CREATE_COMMITS}; COMMIT")).await?;
            }
        }
        Ok(())
    }

    /// The gates of all shards, where this or another proxy reads by them.
    async fn make_gates(&mut self) -> Result<(), Trouble> {
        let config = self.sharded.config.clone();
        let atomic = config.cross_shard_reads == CrossShardReads::Atomic && self.shards.len() > 1;
        let mut kept = false;
        for at in 0..self.shards.len() {
            let mut there = self.says(at, HAS_GATE).await? == "true";
            if atomic && !there {
                self.ask(at, &format!("BEGIN READ WRITE; {LOCK}; {CREATE_GATE}; COMMIT")).await?;
                there = true;
            }
            kept |= there;
        }
        if !kept {
            return Ok(());
        }
        if config.cross_shard_commit == CrossShardCommit::BestEffort {
            let text = format!(
                "other proxies read \"{}\" with cross_shard_reads = \"atomic\", and this one has cross_shard_commit = \
                 \"best-effort\"",
                self.sharded.name
            );
            return Err(refuse(text, "Write cross_shard_commit = \"two-phase\": what it commits can't be seen whole."));
        }
        self.sharded.gates.keep();
        match atomic {
            true => self.all_gated().await,
            false => Ok(()),
        }
    }

    /// What was prepared before there were gates must be gone. After all shards have theirs: none comes any more.
    async fn all_gated(&mut self) -> Result<(), Trouble> {
        let begins = literal(&format!("{PREFIX}{}:", self.sharded.commits.map().unwrap_or_default()));
        for at in 0..self.shards.len() {
            let gid = self.says(at, &format!("{UNGATED}{begins})")).await?;
            if !gid.is_empty() {
                let shard = self.shard_name(at);
                return Err(Trouble::Wait(format!(
                    "on the shard {shard} a transaction from before cross_shard_reads = \"atomic\" isn't finished: {gid}"
                )));
            }
        }
        Ok(())
    }

    async fn read(&mut self, shard: usize) -> Result<Option<Stored>, Trouble> {
        if self.says(shard, PRESENT).await? != "true" {
            return Ok(None);
        }
        let stored = Stored::from_rows(&self.ask(shard, READ).await?);
        stored.map(Some).ok_or_else(|| {
            let text = format!("the stored map on the shard {} isn't whole", self.shard_name(shard));
            refuse(text, "Restore the tables in the schema pgbraid from a backup.")
        })
    }

    async fn make_schema(&mut self, shard: usize) -> Result<(), Trouble> {
        let present = self.ask(shard, PRESENT).await?;
        let there = present.first().and_then(|row| row.get(1)).and_then(Option::as_deref) == Some("true");
        if !there {
            self.ask(shard, "CREATE SCHEMA pgbraid").await?;
        }
        Ok(())
    }

    /// What lets statements place tables. Without it (the service user may not own what is there) they can't, and all
    /// else works.
    async fn make_functions(&mut self, shard: usize) -> Result<(), Trouble> {
        let mut there = self.says(shard, HAS_FUNCTIONS).await? == "true";
        if !there {
            self.ask(shard, "SAVEPOINT functions").await?;
            match self.ask(shard, CREATE_FUNCTIONS).await {
                Ok(_) => there = true,
                Err(Trouble::Refuse(error)) => {
                    self.ask(shard, "ROLLBACK TO SAVEPOINT functions").await?;
                    tracing::warn!(database = &*self.sharded.name, "statements can't place tables: {error}");
                }
                Err(wait) => return Err(wait),
            }
        }
        self.sharded.let_statements_place(there);
        Ok(())
    }

    /// A map on a shard that isn't the home shard is one of this database with another `home`.
    async fn no_map_elsewhere(&mut self) -> Result<(), Trouble> {
        for at in (0..self.shards.len()).filter(|at| *at != self.sharded.home) {
            if let Some(stored) = self.read(at).await? {
                let (name, home) = (&self.sharded.name, self.sharded.config.home_shard());
                let text = format!(
                    "the map of \"{name}\" is stored on the shard {}, and the configuration says home = \"{home}\"",
                    self.shard_name(at)
                );
                return Err(refuse(text, format!("Write home = \"{}\" again.", stored.home)));
            }
        }
        Ok(())
    }

    pub(super) fn home(&self) -> usize {
        self.sharded.home
    }

    pub(super) fn shards_count(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn warn(&self, what: &str) {
        tracing::warn!(database = &*self.sharded.name, "{what}");
    }

    pub(super) fn shard_name(&self, at: usize) -> String {
        self.shards.get(at).map_or_else(String::new, |shard| shard.name.clone())
    }

    /// The first map: by weight where all tables are empty; all keys to the one shard that has rows; by weight too if
    /// the rows of several lie just so.
    async fn first_map(&mut self, places: &BTreeMap<Name, TablePlace>) -> Result<Vec<u16>, Trouble> {
        let wish = rules::fresh_buckets(&self.sharded.config);
        let hashed: Vec<(&Name, &TablePlace)> =
            places.iter().filter(|(_, place)| matches!(place, TablePlace::Hash { .. })).collect();
        let mut full: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for at in 0..self.shards.len() {
            for (name, _) in &hashed {
                if self.says(at, &rows::any(name)).await? == "true" {
                    full.entry(at).or_default().push(format!("{}.{}", name.0, name.1));
                }
            }
        }
        let mut shards = full.keys();
        match (shards.next(), shards.next()) {
            (None, _) => return Ok(wish),
            (Some(only), None) => return Ok(vec![u16::try_from(*only).unwrap_or(0); wish.len()]),
            _ => {}
        }
        for (name, place) in &hashed {
            if self.verify(name, place, &wish).await?.is_some() {
                let found: Vec<String> = full
                    .iter()
                    .map(|(at, tables)| format!("{}: {}", self.shard_name(*at), tables.join(", ")))
                    .collect();
                let text = format!(
                    "there is no stored map of \"{}\", and several shards hold rows of its sharded tables",
                    self.sharded.name
                );
                let hint = "Bring all rows of sharded tables to one shard, or empty the tables, and start again: the \
                            first start gives all keys to the shard that holds rows.";
                return Err(refuse_with(text, found.join("; "), hint));
            }
        }
        Ok(wish)
    }

    /// Whether a table's rows are where they belong: else which shard has others, and what to do.
    async fn verify(
        &mut self,
        name: &Name,
        place: &TablePlace,
        map: &[u16],
    ) -> Result<Option<(String, String)>, Trouble> {
        let mut copy: Option<String> = None;
        for at in 0..self.shards.len() {
            match rows::astray(name, place, map, at) {
                Some(question) => {
                    if self.says(at, &question).await? == "true" {
                        let what = "it has rows there whose keys belong to another shard; move or delete them";
                        return Ok(Some((self.shard_name(at), what.to_owned())));
                    }
                }
                None => {
                    let mine = self.says(at, &rows::fingerprint(name)).await?;
                    match &copy {
                        Some(first) if *first != mine => {
                            let what = "the shards have unequal copies of this reference table; make them equal";
                            return Ok(Some((self.shard_name(at), what.to_owned())));
                        }
                        _ => copy = Some(mine),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Every shard bears the map's id and its own name: servers that were swapped in the configuration are noticed.
    async fn stamp(&mut self, stored: &Stored, places: &BTreeMap<Name, TablePlace>) -> Result<(), Trouble> {
        let map = stored.map(&self.sharded.config).unwrap_or_default();
        for at in 0..self.shards.len() {
            let name = self.shard_name(at);
            let present = self.ask(at, PRESENT).await?;
            let stamped = present.first().and_then(|row| row.get(2)).and_then(Option::as_deref) == Some("true");
            if stamped {
                let rows = self.ask(at, "SELECT map::text, name FROM pgbraid.shard").await?;
                if let Some([Some(id), Some(stamp)]) = rows.first().map(Vec::as_slice) {
                    if *id == stored.id && *stamp == name {
                        continue;
                    }
                    let what =
                        if *id == stored.id { format!("the shard {stamp}") } else { "of another map".to_owned() };
                    let text = format!("the servers of {name} of \"{}\" are stamped as {what}", self.sharded.name);
                    return Err(refuse(text, "Are two shards' servers swapped in the configuration?"));
                }
            }
            for (table, place) in places.iter().filter(|(table, _)| stored.tables.contains_key(*table)) {
                let Some(question) = rows::astray(table, place, &map, at) else { continue };
                if self.says(at, &question).await? == "true" {
                    let text = format!(
                        "the shard {name} of \"{}\" is new, and holds rows of {}.{} that aren't its own",
                        self.sharded.name, table.0, table.1
                    );
                    return Err(refuse(text, "Empty the sharded tables of a shard before it is added."));
                }
            }
            self.ask(at, "BEGIN READ WRITE").await?;
            self.make_schema(at).await?;
            if !stamped {
                self.ask(at, CREATE_STAMP).await?;
            }
            let stamp = format!(
                "INSERT INTO pgbraid.shard (map, name) VALUES ({}, {}); COMMIT",
                literal(&stored.id),
                literal(&name)
            );
            self.ask(at, &stamp).await?;
        }
        Ok(())
    }
}

impl Shard {
    async fn ask(&mut self, sql: &str, timeout: Duration) -> Result<TextRows, Trouble> {
        self.control.query(sql, timeout).await.map_err(|(error, lost)| {
            let text = format!("shard {}: {}", self.name, error.message());
            match error.code().as_str() {
                // Two proxies at once: who comes second sees what the first made.
                "23505" | "42P06" | "42P07" | "55P03" => Trouble::Wait(text),
                _ if lost => Trouble::Wait(text),
                "42501" => refuse(
                    text,
                    "The service user needs CREATE on the database and SELECT on the sharded and reference tables \
                     (docs/operating.md).",
                ),
                _ => refuse(text, "See the server's log."),
            }
        })
    }
}

fn refuse(text: impl Into<String>, hint: impl Into<String>) -> Trouble {
    Trouble::Refuse(PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text).hint(hint))
}

fn refuse_with(text: String, detail: String, hint: &str) -> Trouble {
    Trouble::Refuse(PgError::error(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, text).detail(detail).hint(hint))
}
