//! `pgbraid explain` for a sharded database: the plan over shards, from the home shard's schema and the stored map.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::cluster::text;
use super::failure::Failure;
use crate::backend::placement::{Stored, placement, read_stored};
use crate::catalog::schema::Schema;
use crate::catalog::{READING, SCHEMA_QUERIES};
use crate::config::Database;
use crate::config::model::Reads;
use crate::plan::sharded::{self, Access, Finish, ShardSet, Vouched, Work, explain};
use crate::sql::parse;

/// What a plan is made by.
pub struct Known {
    schema: Schema,
    stored: Stored,
}

/// Reads it from the home shard.
pub async fn read(client: &Client) -> Result<Known, Failure> {
    let failed = |error: Error| Failure::new(text(&error));
    client.batch_execute(READING).await.map_err(failed)?;
    let mut answers = Vec::with_capacity(SCHEMA_QUERIES.len());
    for query in SCHEMA_QUERIES {
        answers.push((query.name, rows(client, query.sql).await.map_err(failed)?));
    }
    let schema = Schema::from_rows(&answers).ok_or_else(|| Failure::new("the home shard's schema can't be read"))?;
    let (present, read) = read_stored();
    let there = rows(client, present).await.map_err(failed)?;
    let there = there.first().is_some_and(|row| row.first() == Some(&Some("true".to_owned())));
    let stored = if there { Stored::from_rows(&rows(client, read).await.map_err(failed)?) } else { None };
    let stored = stored.ok_or_else(|| {
        Failure::new("no map of keys is stored yet").hint("`pgbraid serve` makes it when it starts for the first time.")
    })?;
    Ok(Known { schema, stored })
}

async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
    let messages = client.simple_query(sql).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

/// The plan in words.
pub fn told(config: &Database, known: &Known, sql: &str) -> Result<String, Failure> {
    let placement = placement(config, &known.schema, &known.stored)
        .ok_or_else(|| Failure::new("the stored map isn't this configuration's").hint("`pgbraid check` says more."))?;
    let statement = parse(sql, true).map_err(|stopped| {
        Failure::new(format!("reading the statement stopped at byte {}: {} expected", stopped.at + 1, stopped.expected))
    })?;
    let path = ["pg_catalog".to_owned(), "public".to_owned()];
    let context = sharded::Context {
        schema: &known.schema,
        placement: &placement,
        search_path: &path,
        standard_strings: true,
        unique_per_shard: config.unique_per_shard,
        vouched: &|name: &str| {
            let found = config.functions.iter().find(|function| function.name == name)?;
            Some(match found.reads {
                Reads::None => Vouched::None,
                Reads::Key => Vouched::Key,
            })
        },
    };
    let first = || sharded::prior::prior(sql, &statement, &context, &[]);
    let prior = || first().map(|prior| explain::prior(&prior));
    let serves = first().is_some_and(|prior| prior.serves(true));
    let finds = |plan: &sharded::Plan| matches!(&plan.work, Work::Scatter(scatter) if matches!(scatter.finish, Finish::Found(_)));
    let lines = match sharded::plan(sql, &statement, &context, &[]) {
        Err(refusal) => prior().unwrap_or_else(|| explain::refused(&refusal, &[])),
        Ok(plan) if matches!(plan.work, Work::Refuse(_)) && prior().is_some() => prior().unwrap_or_default(),
        Ok(plan) if finds(&plan) && serves => prior().unwrap_or_default(),
        Ok(plan) => {
            let shards = match sharded::shards(&plan.access, &placement, &|_| None) {
                ShardSet::Home | ShardSet::Any => vec![placement.home],
                ShardSet::Some(shards) => shards,
                ShardSet::All | ShardSet::NoKey(_) => (0..placement.shards.len()).collect(),
            };
            let by_parameter = matches!(plan.access, Access::Keys(_)) && shards.len() == placement.shards.len();
            let mut lines = explain::lines(&plan, &placement, &shards, &|_| None);
            if by_parameter && shards.len() > 1 {
                lines.push("  With the parameters' values it may be fewer shards, or one.".to_owned());
            }
            lines
        }
    };
    Ok(lines.join("\n") + "\n")
}
