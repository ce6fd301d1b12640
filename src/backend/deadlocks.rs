//! Finds transactions over several shards that wait for each other, which no server sees by itself, and stops the youngest.
//!
//! Each server says which of its processes wait for which; processes of one transaction are one. Servers are asked one
//! after the other, so what is seen need not have been at any one moment. But who waits in a ring keeps what he has and goes
//! on waiting: only what two looks have found of the same waits counts. A wait that other proxies need to know of stands in
//! a table on the home shard while it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::cancel;
use super::commits::label;
use super::control::Control;
use super::exchange::TextRows;
use super::login::Identity;
use super::placement::literal;
use super::sharded::ShardedDatabase;
use super::wait_graph::{Edge, Node, rings};
use super::waits::Known;
use crate::base::{PgError, SqlState, limits};
use crate::topology::placement::ShardIndex;

/// Between two looks while somebody waits.
const LOOK: Duration = Duration::from_millis(400);

/// Time for one question to a shard.
const QUESTION: Duration = Duration::from_secs(5);

/// Processes that wait for a lock, and for whom.
const WAITS: &str = "SELECT l.pid::text, array_to_string(pg_blocking_pids(l.pid), ' ') \
     FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND pid IS NOT NULL) l";

const CREATE: &str = "BEGIN READ WRITE; CREATE UNLOGGED TABLE pgbraid.waits (instance text NOT NULL, number bigint NOT NULL, \
     begun bigint NOT NULL, processes text NOT NULL, seen timestamptz NOT NULL DEFAULT clock_timestamp()); COMMIT";

/// Searches `sharded`'s transactions, for ever, as the service user `identity`.
pub async fn run(sharded: Arc<ShardedDatabase>, identity: Arc<Identity>) {
    let controls = sharded.shards.iter().map(|_| None).collect();
    let mut search = Search { sharded, identity, controls, before: BTreeSet::new(), told: false, warned: false };
    loop {
        if search.sharded.waits.is_empty() {
            search.withdraw().await;
            search.sharded.waits.urge.notified().await;
        }
        search.look().await;
        tokio::time::sleep(LOOK).await;
    }
}

struct Search {
    sharded: Arc<ShardedDatabase>,
    identity: Arc<Identity>,
    controls: Vec<Option<Control>>,
    /// What the last look found.
    before: BTreeSet<Edge>,
    /// Other proxies know of waits of ours.
    told: bool,
    warned: bool,
}

/// A wait, whichever proxy's.
struct Seen {
    node: Node,
    begun: u64,
    processes: Vec<(ShardIndex, i32)>,
}

/// Who waits for whom on one shard.
type Blocked = BTreeMap<i32, Vec<i32>>;

impl Search {
    async fn look(&mut self) {
        let own = self.sharded.waits.all();
        let mut blocked: BTreeMap<ShardIndex, Blocked> = BTreeMap::new();
        self.ask_about(own.iter().flat_map(|known| &known.processes), &mut blocked).await;
        let waits = |known: &Known| {
            known.processes.iter().any(|(shard, pid)| blocked.get(shard).is_some_and(|on| on.contains_key(pid)))
        };
        let own: Vec<Known> = own.into_iter().filter(waits).collect();
        if own.is_empty() {
            self.before.clear();
            self.withdraw().await;
            return;
        }
        let mut all: Vec<Seen> = own.iter().map(|known| self.seen(known)).collect();
        match self.others(&own).await {
            Ok(others) => all.extend(others),
            // Deadlocks within this process are found all the same.
            Err(error) => self.warn(&error),
        }
        self.ask_about(all.iter().flat_map(|seen| &seen.processes), &mut blocked).await;
        let edges = edges(&all, &blocked);
        let lasting: BTreeSet<Edge> = edges.intersection(&self.before).cloned().collect();
        self.before = edges;
        for ring in rings(&lasting) {
            let mut members: Vec<&Seen> = all.iter().filter(|seen| ring.contains(&seen.node)).collect();
            // Every proxy that sees the ring chooses the same.
            members.sort_by(|a, b| (a.begun, &a.node).cmp(&(b.begun, &b.node)));
            if let Some(Seen { node: Node::Transaction { instance, number }, .. }) = members.last()
                && instance == self.sharded.commits.instance()
            {
                let detail = self.detail(&ring, &all, &blocked);
                self.stop(*number, detail);
            }
        }
    }

    fn stop(&self, number: u64, detail: String) {
        tracing::info!(database = &*self.sharded.name, "transactions over shards waited for each other: {detail}");
        let requests = self.sharded.waits.stop(number, detail);
        if !requests.is_empty() {
            self.sharded.commits.figures.deadlocks.inc();
        }
        for (target, threat) in requests {
            tokio::task::spawn_local(async move {
                let address = &target.server.address;
                let _ = cancel::cancel(address, target.process_id, &target.key, limits::CANCEL_TIMEOUT).await;
                drop(threat);
            });
        }
    }

    fn seen(&self, known: &Known) -> Seen {
        let node = Node::Transaction { instance: self.sharded.commits.instance().to_owned(), number: known.number };
        Seen { node, begun: known.begun, processes: known.processes.clone() }
    }

    /// Asks the shards of these processes that haven't been asked yet. One that doesn't answer tells nothing.
    async fn ask_about(
        &mut self,
        processes: impl Iterator<Item = &(ShardIndex, i32)>,
        blocked: &mut BTreeMap<ShardIndex, Blocked>,
    ) {
        let shards: BTreeSet<ShardIndex> = processes.map(|(shard, _)| *shard).collect();
        for shard in shards {
            if blocked.contains_key(&shard) {
                continue;
            }
            let rows = self.ask(shard, WAITS).await.unwrap_or_default();
            let row = |row: Vec<Option<String>>| {
                let mut values = row.into_iter().flatten();
                let (pid, by) = (values.next()?.parse().ok()?, values.next()?);
                Some((pid, by.split(' ').filter_map(|pid| pid.parse().ok()).collect()))
            };
            blocked.insert(shard, rows.into_iter().filter_map(row).collect());
        }
    }

    /// Tells other proxies of our waits, and hears of theirs.
    async fn others(&mut self, own: &[Known]) -> Result<Vec<Seen>, PgError> {
        let home = self.sharded.home;
        if !self.told {
            let there = self.ask(home, "SELECT to_regclass('pgbraid.waits')::text").await?;
            if there.first().and_then(|row| row.first()).is_none_or(Option::is_none) {
                self.ask(home, CREATE).await?;
            }
        }
        let instance = self.sharded.commits.instance().to_owned();
        let mut rows = Vec::new();
        for known in own {
            let processes: Vec<String> =
                known.processes.iter().map(|(shard, pid)| format!("{pid}:{}", label(&self.name(*shard)))).collect();
            rows.push(format!(
                "({}, {}, {}, {})",
                literal(&instance),
                known.number,
                known.begun,
                literal(&processes.join(" "))
            ));
        }
        let sql = format!(
            "BEGIN READ WRITE; {}; INSERT INTO pgbraid.waits (instance, number, begun, processes) VALUES {}; COMMIT; \
             SELECT instance, number::text, begun::text, processes FROM pgbraid.waits \
             WHERE instance <> {} AND seen > clock_timestamp() - interval '3 s'",
            delete(&instance),
            rows.join(", "),
            literal(&instance)
        );
        self.told = true;
        let rows = self.ask(home, &sql).await?;
        Ok(rows.into_iter().filter_map(|row| self.read(row)).collect())
    }

    fn read(&self, row: Vec<Option<String>>) -> Option<Seen> {
        let mut values = row.into_iter().flatten();
        let (instance, number, begun, processes) = (values.next()?, values.next()?, values.next()?, values.next()?);
        let labels: Vec<String> = self.sharded.config.shards.iter().map(|shard| label(&shard.name)).collect();
        let process = |text: &str| {
            let (pid, shard) = text.split_once(':')?;
            Some((labels.iter().position(|label| label == shard)?, pid.parse().ok()?))
        };
        Some(Seen {
            node: Node::Transaction { instance, number: number.parse().ok()? },
            begun: begun.parse().ok()?,
            processes: processes.split(' ').filter_map(process).collect(),
        })
    }

    /// Nobody of ours waits any more.
    async fn withdraw(&mut self) {
        if std::mem::take(&mut self.told) {
            let sql = format!("BEGIN READ WRITE; {}; COMMIT", delete(self.sharded.commits.instance()));
            if let Err(error) = self.ask(self.sharded.home, &sql).await {
                self.warn(&error);
            }
        }
    }

    /// Who waits for whom in the ring, as PostgreSQL words it.
    fn detail(&self, ring: &BTreeSet<Node>, all: &[Seen], blocked: &BTreeMap<ShardIndex, Blocked>) -> String {
        let within = |shard: ShardIndex, pid: i32| ring.contains(&node(all, shard, pid));
        let mut lines = Vec::new();
        for (shard, on) in blocked {
            for (pid, by) in on.iter().filter(|(pid, _)| within(*shard, **pid)) {
                for other in by.iter().filter(|other| within(*shard, **other)) {
                    let name = self.name(*shard);
                    lines.push(format!("Process {pid} on the shard {name} waits for process {other}."));
                }
            }
        }
        lines.join("\n")
    }

    async fn ask(&mut self, shard: ShardIndex, sql: &str) -> Result<TextRows, PgError> {
        let primary = self.sharded.shards.get(shard).and_then(|database| database.shard.primary().cloned());
        let Some(primary) = primary else {
            return Err(PgError::error(SqlState::CONNECTION_FAILURE, "it has no primary that answers"));
        };
        let mut control = match self.controls.get_mut(shard).and_then(Option::take) {
            Some(control) if Arc::ptr_eq(&primary, control.server()) => control,
            _ => {
                let timeout = self.sharded.config.pool.connect_timeout;
                let opened = Control::open(&primary, &self.identity, timeout, limits::CONTROL_STATEMENT).await;
                opened.map_err(|error| error.into_error())?
            }
        };
        // After an error it may be within a block, and isn't used again.
        let rows = control.query(sql, QUESTION).await.map_err(|(error, _)| error)?;
        if let Some(slot) = self.controls.get_mut(shard) {
            *slot = Some(control);
        }
        Ok(rows)
    }

    fn name(&self, shard: ShardIndex) -> String {
        self.sharded.config.shards.get(shard).map_or_else(String::new, |shard| shard.name.clone())
    }

    fn warn(&mut self, error: &PgError) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                database = &*self.sharded.name,
                "deadlocks with other proxies' transactions over shards can't be found: {}",
                error.message()
            );
        }
    }
}

/// Rows of this proxy, and of any that stopped without a word.
fn delete(instance: &str) -> String {
    let long = "seen < clock_timestamp() - interval '1 minute'";
    format!("DELETE FROM pgbraid.waits WHERE instance = {} OR {long}", literal(instance))
}

fn node(all: &[Seen], shard: ShardIndex, pid: i32) -> Node {
    let owner = all.iter().find(|seen| seen.processes.contains(&(shard, pid)));
    owner.map_or(Node::Process { shard, pid }, |seen| seen.node.clone())
}

fn edges(all: &[Seen], blocked: &BTreeMap<ShardIndex, Blocked>) -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    for (shard, on) in blocked {
        for (pid, by) in on {
            let from = node(all, *shard, *pid);
            edges.extend(by.iter().map(|other| (from.clone(), node(all, *shard, *other))));
        }
    }
    edges
}
