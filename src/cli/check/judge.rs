//! What the servers' answers mean for a configuration.

use std::collections::BTreeMap;

use crate::config::{Config, Database};

use super::ask::{Answer, Facts, Outcome, has_verifier};
use super::{Finding, Level, sharding};

/// The oldest PostgreSQL that pgbraid serves (`server_version_num`).
const OLDEST: i32 = 140_000;

/// Findings in the order of the configuration: each server, then what only all servers together show.
pub(super) fn judge(config: &Config, answers: &[Answer]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for answer in answers {
        let mut judge =
            Judge { config, about: format!("{} at {}", answer.database, answer.server), findings: Vec::new() };
        judge.server(answer);
        findings.append(&mut judge.findings);
    }
    for database in config.databases.values() {
        let own: Vec<&Answer> = answers.iter().filter(|answer| answer.database == database.name).collect();
        findings.extend(one_primary(database, &own));
        if database.is_sharded() {
            findings.extend(sharding::judge(database, &own));
        }
    }
    findings.extend(enough_connections(config, answers));
    findings
}

struct Judge<'a> {
    config: &'a Config,
    about: String,
    findings: Vec<Finding>,
}

impl Judge<'_> {
    fn add(&mut self, level: Level, text: impl Into<String>) {
        self.findings.push(Finding { level, about: self.about.clone(), text: text.into() });
    }

    fn server(&mut self, answer: &Answer) {
        let facts = match &answer.outcome {
            Outcome::Failed(reason) => return self.add(Level::Bad, reason.clone()),
            Outcome::Reachable => {
                return self.add(Level::Note, "answers; without a `service_user` nothing more can be asked");
            }
            Outcome::Facts(facts) => facts,
        };
        let role = if facts.in_recovery { "a replica" } else { "a primary" };
        self.add(Level::Good, format!("PostgreSQL {}, {role}", facts.version_text));
        if facts.version < OLDEST {
            self.add(Level::Bad, format!("PostgreSQL {} is too old: 14 or later is needed", facts.version_text));
        }
        if let Some(reason) = &facts.auth_query {
            self.add(Level::Bad, format!("`auth.query` fails: {reason}"));
        }
        let service = self.config.databases.get(&answer.database).and_then(|d| d.service_user.as_deref()).unwrap_or("");
        self.service_user(service, facts);
        self.users(service, facts);
    }

    fn service_user(&mut self, name: &str, facts: &Facts) {
        if facts.superuser {
            self.add(Level::Note, format!("the service user `{name}` is a superuser, which is more than it needs"));
        } else if !facts.monitor {
            let text = format!("the service user `{name}` can't see why a replica lags: GRANT pg_monitor TO {name}");
            self.add(Level::Note, text);
        }
        let sharded = self
            .config
            .databases
            .values()
            .any(|database| database.shards.len() > 1 && database.service_user.as_deref() == Some(name));
        let outside: Vec<&str> = facts
            .roles
            .iter()
            .filter(|role| role.as_str() != name && !facts.member_of.contains(role))
            .map(String::as_str)
            .collect();
        if sharded && !facts.superuser && !outside.is_empty() {
            let text = format!(
                "the service user `{name}` can't finish what was left prepared of transactions over several shards: \
                 GRANT {} TO {name}",
                outside.join(", ")
            );
            self.add(Level::Note, text);
        }
        if !facts.superuser && !facts.member_of.is_empty() {
            self.add(Level::Good, format!("the service user `{name}` is a member of {}", facts.member_of.join(", ")));
        }
    }

    fn users(&mut self, service: &str, facts: &Facts) {
        let users = &self.config.users;
        let missing: Vec<&str> =
            users.keys().filter(|name| *name != service && !facts.roles.contains(name)).map(String::as_str).collect();
        if !missing.is_empty() {
            self.add(Level::Note, format!("has no role that may log in for {}", missing.join(", ")));
        }
        let verified: Vec<(&String, &str)> = users
            .iter()
            .filter(|(_, user)| has_verifier(user))
            .filter_map(|(name, user)| Some((name, user.password.as_ref()?.reveal())))
            .collect();
        let Some(verifiers) = &facts.verifiers else {
            let names: Vec<&str> = verified.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            let text = format!(
                "`{service}` may not read pg_authid: whether the verifiers of {names} are the server's own wasn't compared"
            );
            return self.add(Level::Note, text);
        };
        for (name, ours) in verified {
            match verifiers.get(name) {
                Some(Some(theirs)) if theirs == ours => {
                    self.add(Level::Good, format!("the verifier of `{name}` is the server's own"));
                }
                Some(_) => {
                    let text = format!(
                        "the verifier of `{name}` isn't the server's own, so that pgbraid can't log in with it: copy \
                         rolpassword from pg_authid, or set the plain password"
                    );
                    self.add(Level::Bad, text);
                }
                // Told above: no such role.
                None => {}
            }
        }
    }
}

/// A shard has one primary, and its servers are of one cluster.
fn one_primary(database: &Database, answers: &[&Answer]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let facts: Vec<(&Answer, &Facts)> = answers
        .iter()
        .filter_map(|answer| match &answer.outcome {
            Outcome::Facts(facts) => Some((*answer, facts.as_ref())),
            _ => None,
        })
        .collect();
    for shard in &database.shards {
        let about = format!("{}, shard {}", database.name, shard.name);
        let mut bad = |text: String| findings.push(Finding { level: Level::Bad, about: about.clone(), text });
        let own: Vec<&(&Answer, &Facts)> =
            facts.iter().filter(|(answer, _)| shard.servers.contains(&answer.server)).collect();
        let primaries: Vec<String> =
            own.iter().filter(|(_, facts)| !facts.in_recovery).map(|(answer, _)| answer.server.to_string()).collect();
        if primaries.len() > 1 {
            bad(format!("{} are all primaries; a shard has one", primaries.join(", ")));
        }
        if primaries.is_empty() && own.len() == shard.servers.len() {
            bad("none of its servers is a primary: nothing can be written".to_owned());
        }
        let mut systems: Vec<i64> = own.iter().filter_map(|(_, facts)| facts.system).collect();
        systems.sort_unstable();
        systems.dedup();
        if systems.len() > 1 && primaries.len() <= 1 {
            bad("its servers aren't of one cluster (their system identifiers differ)".to_owned());
        }
    }
    findings
}

/// The pools of all databases and users on one server fit into its `max_connections`.
fn enough_connections(config: &Config, answers: &[Answer]) -> Vec<Finding> {
    let mut servers: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for answer in answers {
        let Outcome::Facts(facts) = &answer.outcome else { continue };
        let Some(database) = config.databases.get(&answer.database) else { continue };
        let clients = config.users.iter().filter(|(name, _)| Some(*name) != database.service_user.as_ref());
        let pools: usize = clients.map(|(_, user)| user.pool_size.unwrap_or(database.pool.size)).sum();
        let entry = servers.entry(answer.server.to_string()).or_insert((0, facts.connections));
        // And one for the service user.
        entry.0 += pools + 1;
    }
    servers
        .into_iter()
        .filter(|(_, (wanted, there))| wanted > there)
        .map(|(about, (wanted, there))| Finding {
            level: Level::Note,
            about,
            text: format!(
                "its pools may want {wanted} connections, and it has {there} (max_connections less those reserved): lower \
                 `pool_size`, or raise max_connections"
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProcessEnvironment, parse};

    const VERIFIER: &str = "SCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\
                            AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn config() -> Config {
        let text = format!(
            "[users.app]\npassword = \"{VERIFIER}\"\n[users.pgbraid]\npassword = \"x\"\n[databases.d]\n\
             service_user = \"pgbraid\"\nshards.s = [\"postgres://a\", \"postgres://b\"]\n"
        );
        parse(&text, "", &ProcessEnvironment).unwrap()
    }

    fn facts(in_recovery: bool) -> Facts {
        Facts {
            version: 150_004,
            version_text: "15.4".into(),
            in_recovery,
            system: Some(1),
            connections: 97,
            monitor: true,
            roles: vec!["app".into(), "pgbraid".into()],
            verifiers: Some([("app".to_owned(), Some(VERIFIER.to_owned()))].into()),
            ..Facts::default()
        }
    }

    /// The findings that aren't good, for a primary and a replica changed by `change`.
    fn found(change: impl Fn(&mut Facts, &mut Facts)) -> String {
        let (mut a, mut b) = (facts(false), facts(true));
        change(&mut a, &mut b);
        let config = config();
        let servers = &config.databases["d"].shards[0].servers;
        let answers: Vec<Answer> = [a, b]
            .into_iter()
            .zip(servers)
            .map(|(facts, server)| Answer {
                database: "d".into(),
                server: server.clone(),
                outcome: Outcome::Facts(Box::new(facts)),
            })
            .collect();
        let findings = judge(&config, &answers);
        let lines = findings.iter().filter(|f| f.level != Level::Good).map(Finding::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_sound_pair_has_no_finding() {
        assert_eq!(found(|_, _| {}), "");
    }

    #[test]
    fn what_would_not_work_is_found() {
        type Change = fn(&mut Facts, &mut Facts);
        let cases: &[(Change, &str)] = &[
            (|a, _| a.version = 130_000, "FAIL  d at a:5432: PostgreSQL 15.4 is too old"),
            (|a, _| a.in_recovery = true, "FAIL  d, shard s: none of its servers is a primary"),
            (|_, b| b.in_recovery = false, "FAIL  d, shard s: a:5432, b:5432 are all primaries"),
            (|_, b| b.system = Some(2), "FAIL  d, shard s: its servers aren't of one cluster"),
            (|_, b| b.auth_query = Some("x".into()), "FAIL  d at b:5432: `auth.query` fails: x"),
            (
                |_, b| b.verifiers = Some([("app".into(), None)].into()),
                "FAIL  d at b:5432: the verifier of `app` isn't",
            ),
            (|_, b| b.verifiers = None, "note  d at b:5432: `pgbraid` may not read pg_authid"),
            (|_, b| b.roles.clear(), "note  d at b:5432: has no role that may log in for app"),
            (|a, _| a.monitor = false, "note  d at a:5432: the service user `pgbraid` can't see why"),
            (|a, _| a.connections = 20, "note  a:5432: its pools may want 21 connections, and it has 20"),
        ];
        for (change, part) in cases {
            assert!(found(change).starts_with(part), "wants {part}\ngot {}", found(change));
            assert!(!found(change).contains("SCRAM"), "a verifier is shown");
        }
    }
}
