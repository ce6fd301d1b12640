//! `check --data`: whether rows lie where the map says, and whether the copies of reference tables are equal. Reads all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ask::{Answer, Outcome, values};
use super::{Finding, Level, sharding};
use crate::backend::placement::row_questions;
use crate::config::{Config, Database, ServerAddress};

/// What the shards said of one table: of copies or not, and each shard's name with its answer.
type Said = (bool, Vec<(String, Result<String, String>)>);

/// Looks at the rows of a sharded database, on the shards' primaries.
pub(super) async fn look(config: &Config, database: &Arc<Database>, answers: &[&Answer]) -> Vec<Finding> {
    let bad = |text: String| Finding { level: Level::Bad, about: database.name.clone(), text };
    let Some(placement) = sharding::placed(database, answers) else {
        return vec![bad(
            "its rows can't be looked at: no map of keys is stored that fits the configuration".to_owned()
        )];
    };
    let mut findings = Vec::new();
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    for (at, shard) in database.shards.iter().enumerate() {
        let Some(server) = primary(&shard.servers, answers) else {
            findings.push(bad(format!("the rows of shard {} can't be looked at: no primary answers", shard.name)));
            continue;
        };
        let questions = row_questions(&placement, at);
        match values(config, database, server, questions.iter().map(|question| question.sql.as_str())).await {
            Ok(values) => {
                for (question, value) in questions.into_iter().zip(values) {
                    let entry = said.entry(question.table).or_insert((question.copies, Vec::new()));
                    entry.1.push((shard.name.clone(), value));
                }
            }
            Err(reason) => findings.push(bad(format!("the rows of shard {} can't be looked at: {reason}", shard.name))),
        }
    }
    for (table, (copies, answers)) in said {
        let (level, text) = if copies { equal(&table, &answers) } else { at_home(&table, &answers) };
        findings.push(Finding { level, about: database.name.clone(), text });
    }
    findings
}

fn primary<'a>(servers: &'a [ServerAddress], answers: &[&Answer]) -> Option<&'a ServerAddress> {
    let is_primary = |server: &&ServerAddress| {
        answers.iter().any(|answer| {
            answer.server == **server && matches!(&answer.outcome, Outcome::Facts(facts) if !facts.in_recovery)
        })
    };
    servers.iter().find(is_primary)
}

fn failed(table: &str, answers: &[(String, Result<String, String>)]) -> Option<(Level, String)> {
    let (shard, reason) = answers.iter().find_map(|(shard, answer)| Some((shard, answer.as_ref().err()?)))?;
    Some((Level::Bad, format!("the rows of {table} on shard {shard} can't be looked at: {reason}")))
}

/// Copies of a reference table.
fn equal(table: &str, answers: &[(String, Result<String, String>)]) -> (Level, String) {
    if let Some(failed) = failed(table, answers) {
        return failed;
    }
    let first = answers.first().map(|(_, answer)| answer);
    match answers.iter().find(|(_, answer)| Some(answer) != first) {
        None => (Level::Good, format!("all copies of {table} are equal")),
        Some((shard, _)) => {
            let one = answers.first().map_or("", |(shard, _)| shard.as_str());
            (
                Level::Bad,
                format!("the copies of the reference table {table} on the shards {one} and {shard} aren't equal"),
            )
        }
    }
}

/// Rows of a sharded table.
fn at_home(table: &str, answers: &[(String, Result<String, String>)]) -> (Level, String) {
    if let Some(failed) = failed(table, answers) {
        return failed;
    }
    let astray: Vec<&str> =
        answers.iter().filter(|(_, answer)| answer.as_deref() == Ok("true")).map(|(shard, _)| shard.as_str()).collect();
    match astray.as_slice() {
        [] => (Level::Good, format!("all rows of {table} lie where the map says")),
        shards => (Level::Bad, format!("rows of {table} that belong elsewhere are on {}", shards.join(", "))),
    }
}
