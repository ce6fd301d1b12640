//! Keeps a sharded database's placement: the stored map, the tables' places, the differences of schemas.

mod judge;
mod keeper;
mod own;
mod preview;
mod rows;
mod rules;
mod stored;
mod tables;
mod unique;

pub use judge::{Changes, judge};
pub use own::{forget, own_view, place, rename};
pub use preview::{Preview, RowQuestion, placement, preview, row_questions};
pub use stored::{Stored, literal, read_stored, with_statements};
pub use tables::{Tables, declared_by, questions};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Control;
use super::login::Identity;
use keeper::Session;

use super::sharded::{ShardedDatabase, View, turned};
use crate::base::{PgError, limits};
use crate::catalog::schema::Schema;
use crate::catalog::{Difference, type_map};
use crate::config::{self, TableRule};
use crate::topology::placement::Placement;

/// How long nothing is looked at if nobody says that something changed.
const LOOK: Duration = Duration::from_secs(1);

/// Between two looks at tables that couldn't be placed.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps `sharded`'s view up to date, for ever, as the service user `identity`.
pub async fn run(sharded: Arc<ShardedDatabase>, identity: Arc<Identity>) {
    let mut keeper = Keeper {
        sharded,
        identity,
        told: Vec::new(),
        stored: None,
        troubles: Vec::new(),
        refused: false,
        again: Instant::now(),
    };
    loop {
        keeper.turn().await;
        let _ = tokio::time::timeout(LOOK, keeper.sharded.changed.notified()).await;
    }
}

struct Keeper {
    sharded: Arc<ShardedDatabase>,
    identity: Arc<Identity>,
    /// What was logged last.
    told: Vec<String>,
    /// The stored placement, since it was found to agree with the configuration.
    stored: Option<Stored>,
    /// Tables that couldn't be placed for what is in them.
    troubles: Vec<Difference>,
    /// Nothing is answered until somebody has put something right.
    refused: bool,
    /// When all this is looked at again.
    again: Instant,
}

/// Why there is no view.
enum Trouble {
    /// It passes by itself.
    Wait(String),
    /// Somebody must do something.
    Refuse(PgError),
}

impl Keeper {
    async fn turn(&mut self) {
        let sharded = self.sharded.clone();
        let Some(schemas) = self.schemas() else { return };
        let current = sharded.last_view().filter(|view| same(&view.read, &schemas));
        if current.is_some() && !self.troubles_due() {
            // It may have been doubted in between: who waits looks again.
            return sharded.say_current();
        }
        if std::mem::take(&mut self.refused) && self.again > Instant::now() {
            self.refused = true;
            return;
        }
        match self.view(schemas).await {
            Ok(view) => {
                self.tell(view.differences.iter().map(ToString::to_string).collect());
                sharded.put_in_force(view);
            }
            Err(Trouble::Wait(why)) => {
                self.tell(vec![why.clone()]);
                sharded.wait_for(why);
            }
            Err(Trouble::Refuse(error)) => {
                let details = [error.detail_text(), error.hint_text()];
                self.tell(vec![
                    details
                        .into_iter()
                        .flatten()
                        .fold(error.message().to_owned(), |all, more| format!("{all}. {more}")),
                ]);
                (self.refused, self.again) = (true, Instant::now() + AGAIN);
                sharded.refuse(error);
            }
        }
    }

    fn troubles_due(&self) -> bool {
        !self.troubles.is_empty() && self.again <= Instant::now()
    }

    /// All shards' schemas, if all are known.
    fn schemas(&mut self) -> Option<Vec<Arc<Schema>>> {
        let sharded = self.sharded.clone();
        let schemas: Vec<_> = sharded.shards.iter().map(|shard| shard.believed_schema()).collect();
        let missing: Vec<&str> = schemas
            .iter()
            .zip(&sharded.shards)
            .filter(|(schema, _)| schema.is_none())
            .map(|(_, shard)| shard.shard.name.as_str())
            .collect();
        if !missing.is_empty() && sharded.last_view().is_none() {
            sharded.wait_for(format!("the schema of {} hasn't been read yet", missing.join(", ")));
        }
        schemas.into_iter().collect()
    }

    async fn view(&mut self, schemas: Vec<Arc<Schema>>) -> Result<View, Trouble> {
        let sharded = &self.sharded;
        let Some(home) = schemas.get(sharded.home).cloned() else {
            return Err(Trouble::Wait("there is no home shard".to_owned()));
        };
        let by_statement = match &self.stored {
            Some(_) => self.declared().await?,
            None => BTreeMap::new(),
        };
        if let Some(stored) = &mut self.stored {
            stored.by_statement = by_statement;
        }
        let config = &self.config();
        let (mut tables, mut differences) = rules::places(config, &home);
        // What isn't the same on all shards can't be judged yet; it is among the differences.
        let mut ready = tables.clone();
        ready.retain(|name, place| schemas.iter().all(|schema| rules::fits(schema, &home, name, place)));
        let is_stored = |stored: &Stored| {
            let mut declared = sharded.config.tables.iter().map(|table| (table.schema.clone(), table.name.clone()));
            declared.all(|name| !ready.contains_key(&name) || stored.tables.contains_key(&name))
        };
        if !self.stored.as_ref().is_some_and(is_stored) || self.troubles_due() {
            let settled = Session::open(&self.sharded, &self.identity).await?.settle(&ready).await?;
            self.stored = Some(settled.stored);
            self.troubles = settled.troubles;
            self.again = Instant::now() + AGAIN;
            tables = rules::places(&self.config(), &home).0;
        }
        let config = &self.config();
        differences.extend(self.troubles.iter().cloned());
        tables.retain(|name, _| !self.troubles.iter().any(|trouble| trouble.relation.as_ref() == Some(name)));
        let Some((buckets, epoch)) = self.stored.as_ref().and_then(|stored| Some((stored.map(config)?, stored.epoch)))
        else {
            return Err(Trouble::Wait("the stored map isn't known".to_owned()));
        };
        let placement = Placement {
            shards: config.shards.iter().map(|shard| shard.name.clone()).collect(),
            home: sharded.home,
            tables,
            epoch,
            buckets,
        };
        let named: Vec<_> = placement.shards.iter().map(String::as_str).zip(&schemas).collect();
        differences.extend(preview::differences(&placement, &home, config.home_shard(), &named));
        let types: Vec<_> = schemas.iter().map(|schema| type_map(&home, schema)).collect();
        Ok(View {
            generation: sharded.next_generation(),
            placement: Arc::new(placement),
            config: config.clone(),
            types_there: turned(&types),
            types,
            schema: home,
            differences,
            read: schemas,
        })
    }

    /// The configuration, with what statements declared.
    fn config(&self) -> Arc<config::Database> {
        let config = &self.sharded.config;
        self.stored.as_ref().map_or_else(|| config.clone(), |stored| with_statements(config, &stored.by_statement))
    }

    /// What statements have declared by now: with a new schema there may be more.
    async fn declared(&self) -> Result<BTreeMap<(String, String), TableRule>, Trouble> {
        let timeout = self.sharded.config.pool.connect_timeout;
        let home = self.sharded.home_shard().and_then(|shard| shard.shard.primary().cloned());
        let home = home.ok_or_else(|| Trouble::Wait("the home shard has no primary that answers".to_owned()))?;
        let wait = |error: PgError| Trouble::Wait(format!("the home shard: {}", error.message()));
        let mut control = Control::open(&home, &self.identity, timeout, limits::CATALOG_STATEMENT)
            .await
            .map_err(|error| wait(error.into_error()))?;
        let rows = control.query(stored::READ_TABLES, limits::CATALOG_STATEMENT).await;
        let rows = rows.map_err(|(error, _)| wait(error))?;
        Stored::statements(&rows).ok_or_else(|| Trouble::Wait("a stored placement can't be read".to_owned()))
    }

    /// Logs what is new.
    fn tell(&mut self, now: Vec<String>) {
        for text in now.iter().filter(|text| !self.told.contains(text)) {
            tracing::warn!(database = &*self.sharded.name, "{text}");
        }
        self.told = now;
    }
}

fn same(a: &[Arc<Schema>], b: &[Arc<Schema>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}
