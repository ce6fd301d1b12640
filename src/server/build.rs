//! Makes the running databases of a configuration: one for each database, or one for each shard of a sharded one.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use super::shared::Shared;
use crate::backend::database::{Whole, pool_limits};
use crate::backend::{Database, Offer, ShardedDatabase};
use crate::config::{self, Config};

type Offers = Arc<[mpsc::UnboundedSender<Offer>]>;

/// What a configuration's databases become.
#[derive(Default)]
pub struct Built {
    pub databases: HashMap<String, Arc<Database>>,
    pub sharded: HashMap<String, Arc<ShardedDatabase>>,
}

/// All databases, new.
pub fn all(config: &Config, offers: &Offers) -> Built {
    let mut built = Built::default();
    for database in config.databases.values() {
        built.add(database, None, |part, whole| Arc::new(Database::part(part, offers.clone(), whole)));
    }
    built
}

/// The databases of a new configuration: those that go on, with their new settings, and new ones.
pub fn fit(shared: &Shared, before: &HashMap<String, Arc<Database>>, new: &Config) -> Built {
    let mut built = Built::default();
    let running = shared.sharded.load_full();
    for database in new.databases.values() {
        let part = |part: Arc<config::Database>, whole: Option<Whole>| {
            let same = before.get(&part.name).filter(|database| {
                let running = database.config();
                running.shards == part.shards
                    && running.service_user == part.service_user
                    && database.is_shard() == whole.is_some()
            });
            let Some(database) = same else { return Arc::new(Database::part(part, shared.offers.clone(), whole)) };
            if **database.config() != *part {
                database.reconfigure(part.clone());
            }
            for pool in database.pools() {
                let limits = pool_limits(&part, new.users.get(&*pool.user), pool.purpose);
                if **pool.limits() != limits {
                    pool.set_limits(Arc::new(limits));
                }
            }
            database.clone()
        };
        built.add(database, running.get(&database.name), part);
    }
    built
}

impl Built {
    fn add(
        &mut self,
        config: &Arc<config::Database>,
        running: Option<&Arc<ShardedDatabase>>,
        mut make: impl FnMut(Arc<config::Database>, Option<Whole>) -> Arc<Database>,
    ) {
        if !config.is_sharded() {
            self.databases.insert(config.name.clone(), make(config.clone(), None));
            return;
        }
        let changed = running.map_or_else(Arc::default, |running| running.notified_of_changes());
        let mut shards = Vec::with_capacity(config.shards.len());
        for shard in &config.shards {
            let whole = Whole { name: config.name.as_str().into(), changed: Arc::<Notify>::clone(&changed) };
            let part = make(part_of(config, shard), Some(whole));
            self.databases.insert(part.name.to_string(), part.clone());
            shards.push(part);
        }
        let same = running.filter(|running| {
            running.config.service_user == config.service_user
                && running.shards.len() == shards.len()
                && running.shards.iter().zip(&shards).all(|(old, new)| Arc::ptr_eq(old, new))
        });
        let sharded = same.cloned().unwrap_or_else(|| Arc::new(ShardedDatabase::new(config.clone(), shards, changed)));
        self.sharded.insert(config.name.clone(), sharded);
    }
}

/// The configuration of one shard as a database of its own.
fn part_of(config: &config::Database, shard: &config::Shard) -> Arc<config::Database> {
    Arc::new(config::Database {
        name: format!("{}/{}", config.name, shard.name),
        shards: vec![shard.clone()],
        ..config.clone()
    })
}
