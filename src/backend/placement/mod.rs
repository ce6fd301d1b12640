//! Keeps a sharded database's placement: the stored map, the tables' places, the differences of schemas.

mod rules;

use std::sync::Arc;
use std::time::Duration;

use super::login::Identity;
use super::sharded::{ShardedDatabase, View};
use crate::base::PgError;
use crate::catalog::schema::Schema;
use crate::catalog::{compare, type_map};
use crate::topology::placement::Placement;

/// How long nothing is looked at if nobody says that something changed.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps `sharded`'s view up to date, for ever, as the service user `identity`.
pub async fn run(sharded: Arc<ShardedDatabase>, identity: Arc<Identity>) {
    let mut keeper = Keeper { sharded, identity, told: Vec::new() };
    loop {
        keeper.turn().await;
        let _ = tokio::time::timeout(LOOK, keeper.sharded.changed.notified()).await;
    }
}

struct Keeper {
    sharded: Arc<ShardedDatabase>,
    #[allow(dead_code)]
    identity: Arc<Identity>,
    /// What was logged last.
    told: Vec<String>,
}

/// Why there is no view.
enum Trouble {
    /// It passes by itself.
    Wait(String),
    /// Somebody must do something.
    #[allow(dead_code)]
    Refuse(PgError),
}

impl Keeper {
    async fn turn(&mut self) {
        let sharded = self.sharded.clone();
        let Some(schemas) = self.schemas() else { return };
        let current = sharded.last_view().filter(|view| same(&view.read, &schemas));
        if current.is_some() {
            // It may have been doubted in between: who waits looks again.
            return sharded.say_current();
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
                self.tell(vec![error.message().to_owned()]);
                sharded.refuse(error);
            }
        }
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
        let config = &sharded.config;
        let (tables, mut differences) = rules::places(config, &home);
        let placement = Placement {
            shards: config.shards.iter().map(|shard| shard.name.clone()).collect(),
            home: sharded.home,
            tables,
            epoch: 1,
            buckets: rules::fresh_buckets(config),
        };
        for (at, schema) in schemas.iter().enumerate().filter(|(at, _)| *at != sharded.home) {
            let name = placement.shards.get(at).map_or("", String::as_str);
            let everywhere = |relation: &_| rules::is_everywhere(&placement, relation);
            differences.extend(compare(&home, config.home_shard(), schema, name, everywhere));
        }
        Ok(View {
            generation: sharded.next_generation(),
            placement: Arc::new(placement),
            types: schemas.iter().map(|schema| type_map(&home, schema)).collect(),
            schema: home,
            differences,
            read: schemas,
        })
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
