//! Finishes what proxies left prepared on shards: finds out how each transaction ended, or sees to it that it didn't.
//!
//! An absent decision row proves nothing, for the anchor may be committing it. So an `aborted` row is put under the same
//! key first: the unique index makes it and a living owner wait for each other, and whoever comes second reads the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commits::{Name, Order, PREFIX, Verdict, label};
use super::control::Control;
use super::exchange::TextRows;
use super::login::Identity;
use super::placement::literal;
use super::sharded::ShardedDatabase;
use crate::base::{PgError, SqlState, limits};
use crate::sql::quote::ident;
use crate::topology::placement::ShardIndex;

/// How often shards are looked at if nobody asks.
const LOOK: Duration = Duration::from_secs(1);

/// Time for one question to a shard.
const QUESTION: Duration = Duration::from_secs(10);

/// Between two looks at decision rows that a proxy left behind.
const SWEEP: Duration = Duration::from_secs(30);

/// Recovers `sharded`'s transactions, for ever, as the service user `identity`.
pub async fn run(sharded: Arc<ShardedDatabase>, identity: Arc<Identity>) {
    let controls = sharded.shards.iter().map(|_| None).collect();
    let mut recoverer = Recoverer {
        sharded,
        identity,
        controls,
        orders: Vec::new(),
        blocked: BTreeMap::new(),
        told: BTreeMap::new(),
        swept: Instant::now(),
    };
    loop {
        recoverer.turn().await;
        let commits = recoverer.sharded.commits.clone();
        let _ = tokio::time::timeout(LOOK, commits.urge.notified()).await;
    }
}

struct Recoverer {
    sharded: Arc<ShardedDatabase>,
    identity: Arc<Identity>,
    /// A connection to each shard's primary, where there is one.
    controls: Vec<Option<Control>>,
    orders: Vec<Order>,
    /// Since when a decision waits for somebody's lock.
    blocked: BTreeMap<Name, Instant>,
    /// What was logged last of a shard.
    told: BTreeMap<ShardIndex, String>,
    swept: Instant,
}

/// A part that is prepared on a shard.
struct Part {
    shard: ShardIndex,
    gid: String,
    owner: String,
    age: Duration,
}

/// Why something couldn't be done now.
type Failure = PgError;

impl Recoverer {
    async fn turn(&mut self) {
        let commits = self.sharded.commits.clone();
        let Some(map) = commits.map() else { return };
        // Before the look at what is prepared: an order's parts were prepared before it.
        self.orders.extend(commits.take_orders());
        self.orders.retain(|order| !order.answer.is_closed());
        let mut parts: BTreeMap<Name, Vec<Part>> = BTreeMap::new();
        let mut seen = Vec::new();
        for shard in 0..self.controls.len() {
            match self.prepared(shard, &map).await {
                Ok(found) => {
                    self.told.remove(&shard);
                    seen.push(shard);
                    for part in found {
                        if let Some(name) = Name::of_part(&part.gid) {
                            parts.entry(name).or_default().push(part);
                        }
                    }
                }
                Err(error) => self.tell(shard, &error),
            }
        }
        let count: usize = parts.values().map(Vec::len).sum();
        commits.figures.prepared.set(count as i64);
        self.serve_orders(&mut parts, &seen).await;
        let mut in_doubt = 0;
        for (name, parts) in parts {
            let due = |part: &Part| commits.is_own(&name) || part.age >= limits::PREPARED_AGE;
            if !commits.lives(&name) && parts.iter().any(due) {
                in_doubt += self.recover(&name, parts).await;
            }
        }
        commits.figures.in_doubt.set(in_doubt);
        self.remove_finished().await;
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.sweep(&map, &seen).await;
        }
    }

    /// Transactions that sessions wait for.
    async fn serve_orders(&mut self, parts: &mut BTreeMap<Name, Vec<Part>>, seen: &[ShardIndex]) {
        for order in std::mem::take(&mut self.orders) {
            let mine = parts.remove(&order.name).unwrap_or_default();
            let verdict = match self.decide(&order.name).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    self.tell_name(&order.name, &error);
                    self.orders.push(order);
                    continue;
                }
            };
            let mut whole = order.parts.iter().all(|shard| seen.contains(shard));
            for part in mine {
                whole &= self.finish(&part, verdict).await;
            }
            match whole {
                true => drop(order.answer.send(verdict)),
                false => self.orders.push(order),
            }
        }
    }

    /// Finishes a transaction that nobody is at work on. How many of its parts remain.
    async fn recover(&mut self, name: &Name, parts: Vec<Part>) -> i64 {
        let verdict = match self.decide(name).await {
            Ok(verdict) => verdict,
            Err(error) => {
                self.tell_name(name, &error);
                return parts.len() as i64;
            }
        };
        let mut left = 0;
        for part in parts {
            if self.finish(&part, verdict).await {
                self.sharded.commits.figures.recovered.inc();
                tracing::warn!(
                    database = &*self.sharded.name,
                    "a transaction that was left prepared on the shard {} was finished: {verdict:?}",
                    self.shard_name(part.shard)
                );
            } else {
                left += 1;
            }
        }
        left
    }

    /// Our transactions that are prepared on a shard.
    async fn prepared(&mut self, shard: ShardIndex, map: &str) -> Result<Vec<Part>, Failure> {
        let sql = format!(
            "SELECT gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::text FROM pg_prepared_xacts \
             WHERE database = current_database() AND starts_with(gid, {})",
            literal(&format!("{PREFIX}{map}:"))
        );
        let rows = self.ask(shard, &sql).await?;
        let part = |row: Vec<Option<String>>| {
            let mut values = row.into_iter().flatten();
            let (gid, owner, age) = (values.next()?, values.next()?, values.next()?);
            let age = Duration::try_from_secs_f64(age.parse().ok()?).unwrap_or_default();
            Some(Part { shard, gid, owner, age })
        };
        Ok(rows.into_iter().filter_map(part).collect())
    }

    /// How a transaction ended; one that hasn't decided yet is aborted by this.
    async fn decide(&mut self, name: &Name) -> Result<Verdict, Failure> {
        let labels = self.sharded.config.shards.iter().map(|shard| label(&shard.name));
        let anchor = labels.into_iter().position(|shard| shard == name.anchor);
        let Some(anchor) = anchor else {
            let text = format!("a prepared transaction's anchor is the shard {}, which isn't configured", name.anchor);
            return Err(PgError::error(SqlState::UNDEFINED_OBJECT, text));
        };
        let sql = decision(name);
        let hung = self.blocked.get(name).is_some_and(|since| since.elapsed() >= limits::HUNG_COMMIT);
        let answer = if hung { self.ask_by_force(anchor, &sql).await } else { self.ask(anchor, &sql).await };
        match answer {
            Ok(rows) => {
                self.blocked.remove(name);
                match rows.first().and_then(|row| row.first()).and_then(Option::as_deref) {
                    Some("committed") => Ok(Verdict::Committed),
                    Some("aborted") => Ok(Verdict::Aborted),
                    // Somebody removed it in between: there is nothing left to be finished, or it comes again.
                    _ => Err(PgError::error(SqlState::INTERNAL_ERROR, "a decision row is gone")),
                }
            }
            Err(error) => {
                if error.code().as_str() == "55P03" {
                    self.blocked.entry(name.clone()).or_insert_with(Instant::now);
                }
                // The connection may be within the block.
                if let Some(slot) = self.controls.get_mut(anchor) {
                    *slot = None;
                }
                Err(error)
            }
        }
    }

    /// The same where an owner holds the row for long: its server process is ended while we wait.
    async fn ask_by_force(&mut self, shard: ShardIndex, sql: &str) -> Result<TextRows, Failure> {
        let pid = self.ask(shard, "SELECT pg_backend_pid()::text").await?;
        let pid = pid.into_iter().flatten().flatten().next().unwrap_or_default();
        let mut watcher = self.open(shard).await?;
        let end = format!("SELECT pg_terminate_backend(pid)::text FROM unnest(pg_blocking_pids({pid})) pid");
        let name = self.shard_name(shard);
        let watch = async {
            // It must be waiting to be seen to wait.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let ended = watcher.query(&end, QUESTION).await;
            tracing::warn!(
                "a commit on the shard {name} hung for long: its server process was told to end ({ended:?})"
            );
        };
        tokio::join!(self.ask(shard, sql), watch).0
    }

    /// Commits a part or rolls it back. True: it is gone.
    async fn finish(&mut self, part: &Part, verdict: Verdict) -> bool {
        let word = match verdict {
            Verdict::Committed => "COMMIT",
            Verdict::Aborted => "ROLLBACK",
        };
        // Who prepared it may finish it, and so may a member of that role.
        let result = match self.ask(part.shard, &format!("SET ROLE {}", ident(&part.owner))).await {
            Ok(_) => self.ask(part.shard, &format!("{word} PREPARED {}", literal(&part.gid))).await,
            Err(error) => Err(error),
        };
        let _ = self.ask(part.shard, "RESET ROLE").await;
        match result {
            Ok(_) => {
                self.raise(part.shard);
                true
            }
            Err(error) if error.code() == SqlState::UNDEFINED_OBJECT => {
                self.raise(part.shard);
                true
            }
            // Somebody else is just finishing it.
            Err(error) if error.code() == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => false,
            Err(error) => {
                self.tell(part.shard, &error);
                false
            }
        }
    }

    /// Reads on replicas must see what was committed just now.
    fn raise(&self, shard: ShardIndex) {
        if let Some(database) = self.sharded.shards.get(shard) {
            database.written_elsewhere();
        }
    }

    /// Decision rows of transactions that this process finished.
    async fn remove_finished(&mut self) {
        for (anchor, names) in self.sharded.commits.take_finished() {
            let list: Vec<String> = names.iter().map(|name| literal(name)).collect();
            self.remove(anchor, &format!("gid IN ({})", list.join(","))).await;
        }
    }

    async fn remove(&mut self, shard: ShardIndex, which: &str) {
        let sql = format!("BEGIN READ WRITE; DELETE FROM pgbraid.commits WHERE {which}; COMMIT");
        if let Err(error) = self.ask(shard, &sql).await {
            self.tell(shard, &error);
            if let Some(slot) = self.controls.get_mut(shard) {
                *slot = None;
            }
        }
    }

    /// Old rows, of proxies that died: a commit's when no participant holds its part any more; an abort's when no
    /// transaction that began before it is left on the anchor, for one of them might be the owner's.
    async fn sweep(&mut self, map: &str, seen: &[ShardIndex]) {
        for anchor in seen.iter().copied() {
            let begins = literal(&format!("{PREFIX}{map}:"));
            let old = format!(
                "SELECT gid, array_to_string(participants, ',') FROM pgbraid.commits \
                 WHERE verdict = 'committed' AND starts_with(gid, {begins}) \
                 AND at < clock_timestamp() - interval '10 minutes' ORDER BY at LIMIT 1000"
            );
            let Ok(rows) = self.ask(anchor, &old).await else { continue };
            let mut held = Vec::new();
            let mut known = Vec::new();
            // After the rows were read: their parts had been prepared by then.
            for shard in 0..self.controls.len() {
                if !rows.is_empty()
                    && let Ok(parts) = self.prepared(shard, map).await
                {
                    known.push(label(&self.shard_name(shard)));
                    held.extend(parts.into_iter().filter_map(|part| Name::of_part(&part.gid)));
                }
            }
            let gone = |row: &Vec<Option<String>>| {
                let mut values = row.iter().flatten();
                let (name, participants) = (values.next()?, values.next()?);
                let reached = participants.split(',').all(|shard| known.iter().any(|other| other == shard));
                let free = !held.iter().any(|other| other.to_string() == *name);
                (reached && free).then(|| literal(name))
            };
            let gone: Vec<String> = rows.iter().filter_map(gone).collect();
            if !gone.is_empty() {
                self.remove(anchor, &format!("gid IN ({})", gone.join(","))).await;
            }
            let ended = format!(
                "verdict = 'aborted' AND starts_with(gid, {begins}) AND at < clock_timestamp() - interval '1 hour' AND \
                 at < (SELECT CASE WHEN bool_or(state IS NULL AND backend_type IS NULL) THEN '-infinity' ELSE \
                 coalesce(min(xact_start), 'infinity') END FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())"
            );
            self.remove(anchor, &ended).await;
        }
    }

    async fn open(&self, shard: ShardIndex) -> Result<Control, Failure> {
        let database = self.sharded.shards.get(shard);
        let Some(primary) = database.and_then(|database| database.shard.primary().cloned()) else {
            return Err(PgError::error(SqlState::CONNECTION_FAILURE, "it has no primary that answers"));
        };
        let timeout = self.sharded.config.pool.connect_timeout;
        let opened = Control::open(&primary, &self.identity, timeout, limits::CONTROL_STATEMENT).await;
        opened.map_err(|error| error.into_error())
    }

    async fn ask(&mut self, shard: ShardIndex, sql: &str) -> Result<TextRows, Failure> {
        let primary = self.sharded.shards.get(shard).and_then(|database| database.shard.primary().cloned());
        let mut control = match self.controls.get_mut(shard).and_then(Option::take) {
            // A connection to what isn't the primary any more is of no use.
            Some(control) if primary.is_some_and(|primary| Arc::ptr_eq(&primary, control.server())) => control,
            _ => self.open(shard).await?,
        };
        match control.query(sql, QUESTION).await {
            Ok(rows) => {
                if let Some(slot) = self.controls.get_mut(shard) {
                    *slot = Some(control);
                }
                Ok(rows)
            }
            Err((error, lost)) => {
                if let Some(slot) = self.controls.get_mut(shard).filter(|_| !lost) {
                    *slot = Some(control);
                }
                Err(error)
            }
        }
    }

    fn shard_name(&self, shard: ShardIndex) -> String {
        self.sharded.config.shards.get(shard).map_or_else(String::new, |shard| shard.name.clone())
    }

    fn tell_name(&mut self, name: &Name, error: &PgError) {
        let labels = self.sharded.config.shards.iter().map(|shard| label(&shard.name));
        let anchor = labels.into_iter().position(|shard| shard == name.anchor);
        self.tell(anchor.unwrap_or(usize::MAX), error);
    }

    /// Logs what is new of a shard.
    fn tell(&mut self, shard: ShardIndex, error: &PgError) {
        let hint = match error.code().as_str() {
            "42501" => ". The service user must be a member of the applications' roles, with SET (docs/operating.md)",
            _ => "",
        };
        let text = format!("shard {}: {}{hint}", self.shard_name(shard), error.message());
        if self.told.get(&shard) != Some(&text) {
            tracing::warn!(database = &*self.sharded.name, "transactions over shards can't be looked after: {text}");
            self.told.insert(shard, text);
        }
    }
}

/// Puts an `aborted` row, unless there is a row, and reads the verdict.
fn decision(name: &Name) -> String {
    let gid = literal(&name.to_string());
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; INSERT INTO pgbraid.commits (gid, verdict) VALUES ({gid}, 'aborted') \
         ON CONFLICT DO NOTHING; COMMIT; SELECT verdict FROM pgbraid.commits WHERE gid = {gid}"
    )
}
