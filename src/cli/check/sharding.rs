//! What `check` asks the shards of a sharded database, and what it makes of the answers.

use std::sync::Arc;

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::ask::{Answer, Outcome};
use super::{Finding, Level};
use crate::backend::placement::{Preview, Stored, placement, preview, read_stored, with_statements};
use crate::catalog::schema::Schema;
use crate::catalog::{READING, SCHEMA_QUERIES};
use crate::config::Database;
use crate::topology::placement::Placement;

/// What a shard's primary said.
#[derive(Debug)]
pub(super) struct ShardFacts {
    schema: Option<Arc<Schema>>,
    stored: Option<Stored>,
    prepared: i64,
}

impl PartialEq for ShardFacts {
    fn eq(&self, other: &Self) -> bool {
        self.stored == other.stored && self.prepared == other.prepared
    }
}

/// Reads the schema and what is stored.
pub(super) async fn ask(client: &Client) -> Result<ShardFacts, Error> {
    client.batch_execute(READING).await?;
    let mut answers = Vec::with_capacity(SCHEMA_QUERIES.len());
    for query in SCHEMA_QUERIES {
        answers.push((query.name, rows(client, query.sql).await?));
    }
    let (present, read) = read_stored();
    let there = rows(client, present).await?.first().is_some_and(|row| row.first() == Some(&Some("true".to_owned())));
    let stored = if there { Stored::from_rows(&rows(client, read).await?) } else { None };
    let prepared = rows(client, "SELECT pg_catalog.current_setting('max_prepared_transactions')").await?;
    let prepared = prepared.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(ShardFacts { schema: Schema::from_rows(&answers).map(Arc::new), stored, prepared })
}

pub(super) async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
    let messages = client.simple_query(sql).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

/// Where the rows are to be, if the shards have told enough.
pub(super) fn placed(database: &Arc<Database>, answers: &[&Answer]) -> Option<Placement> {
    let facts = answers.iter().filter_map(|answer| match &answer.outcome {
        Outcome::Facts(facts) => facts.shard.clone(),
        _ => None,
    });
    let home = facts.into_iter().find(|facts| facts.stored.is_some())?;
    let stored = home.stored.as_ref()?;
    let effective = with_statements(database, &stored.by_statement);
    placement(&effective, home.schema.as_ref()?, stored)
}

/// Findings about a sharded database, from the answers of its servers.
pub(super) fn judge(database: &Arc<Database>, answers: &[&Answer]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let about = |shard: &str| format!("{}, shard {shard}", database.name);
    let mut schemas = Vec::with_capacity(database.shards.len());
    let mut stored = None;
    for shard in &database.shards {
        let facts = answers.iter().filter(|answer| shard.servers.contains(&answer.server)).find_map(|answer| {
            match &answer.outcome {
                Outcome::Facts(facts) => facts.shard.clone(),
                _ => None,
            }
        });
        let Some(facts) = facts else { continue };
        if facts.prepared == 0 {
            let text = "max_prepared_transactions is 0: a transaction that changes rows on several shards needs it";
            findings.push(Finding { level: Level::Note, about: about(&shard.name), text: text.to_owned() });
        }
        if let Some(found) = &facts.stored {
            if shard.name == database.home_shard() {
                stored = Some(found.clone());
            } else {
                let home = database.home_shard();
                let text = format!("a map of keys is stored here, and the configuration says home = \"{home}\"");
                findings.push(Finding { level: Level::Bad, about: about(&shard.name), text });
            }
        }
        schemas.extend(facts.schema.clone().map(|schema| (shard.name.clone(), schema)));
    }
    let by_statement = stored.as_ref().map(|stored| stored.by_statement.clone()).unwrap_or_default();
    for ((schema, table), rule) in &by_statement {
        let text = format!("the table {schema}.{table} was placed by a statement: {rule}");
        findings.push(Finding { level: Level::Note, about: about(database.home_shard()), text });
    }
    let effective = with_statements(database, &by_statement);
    let Some(Preview { differences, missing, unguarded }) = preview(&effective, &schemas) else { return findings };
    for difference in differences {
        findings.push(Finding { level: Level::Bad, about: about(&difference.shard), text: difference.what });
    }
    for table in missing {
        let text = format!("the table {table} of [databases.{}.tables] isn't there yet", database.name);
        findings.push(Finding { level: Level::Note, about: database.name.clone(), text });
    }
    for [index, table, key] in unguarded {
        let end = match database.unique_per_shard {
            true => "each shard keeps only its own rows apart, as unique_per_shard = true admits",
            false => "rows that it would have to judge can't be written, unless unique_per_shard = true admits it",
        };
        let text = format!("{index} of {table} lacks the sharding key {key}: {end}");
        findings.push(Finding { level: Level::Note, about: database.name.clone(), text });
    }
    let home = schemas.iter().find(|(name, _)| name == database.home_shard());
    let (level, text) = match (stored, home) {
        (Some(stored), Some((_, schema))) => match stored.agrees(database, schema) {
            Ok(()) => (Level::Good, format!("the configuration agrees with the stored map of epoch {}", stored.epoch)),
            Err(error) => {
                let hint = error.hint_text().unwrap_or_default();
                (Level::Bad, format!("{} ({hint})", error.message()))
            }
        },
        (None, Some(_)) => (Level::Note, "no map of keys is stored yet: the first start makes it".to_owned()),
        _ => return findings,
    };
    findings.push(Finding { level, about: about(database.home_shard()), text });
    findings
}
