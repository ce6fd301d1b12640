//! Every metric by name, and the page that Prometheus reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{Key, Label};
use metrics_exporter_prometheus::LabelSet;
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};

use super::cell::{BOUNDS_US, HistogramSnapshot};
use super::commits::CommitMetrics;
use super::gather::GatherMetrics;
use super::pool::{PoolLabels, PoolSnapshot};
use super::server::{ServerLabels, ServerSnapshot};
use super::session::SessionSnapshot;

/// What a metric is called and means. `docs/operating.md` has the same table; a test compares them.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub help: &'static str,
    pub labels: &'static [&'static str],
}

/// What a metric shows of a snapshot.
enum Value<'a> {
    Count(u64),
    Level(i64),
    Number(f64),
    Times(&'a HistogramSnapshot),
    /// One line for each value of one more label.
    By(&'static str, Vec<(&'a str, i64)>),
}

struct Row<S: 'static> {
    metric: Metric,
    value: fn(&S) -> Value<'_>,
}

const POOL: &[&str] = &["database", "user", "server"];
const SERVER: &[&str] = &["database", "server"];

macro_rules! row {
    ($kind:ident, $name:literal, $labels:expr, $help:literal, $value:expr) => {
        Row { metric: Metric { name: $name, kind: stringify!($kind), help: $help, labels: $labels }, value: $value }
    };
}

const POOLS: &[Row<PoolSnapshot>] = &[
    row!(
        counter,
        "pgbraid_transactions_total",
        POOL,
        "Transactions that ended; a statement outside a block is one.",
        |s| { Value::Count(s.totals.transactions) }
    ),
    row!(
        counter,
        "pgbraid_queries_total",
        POOL,
        "Queries: Query messages, and Executes of the extended protocol.",
        |s| { Value::Count(s.totals.queries) }
    ),
    row!(histogram, "pgbraid_query_seconds", POOL, "Time from a query's arrival to the end of its answer.", |s| {
        Value::Times(&s.query)
    }),
    row!(counter, "pgbraid_transaction_seconds_total", POOL, "Time spent in transactions.", |s| {
        Value::Number(seconds(s.totals.transaction_us))
    }),
    row!(histogram, "pgbraid_wait_seconds", POOL, "Time that clients waited for a server connection.", |s| {
        Value::Times(&s.wait)
    }),
    row!(counter, "pgbraid_server_assignments_total", POOL, "How often a client got a server connection.", |s| {
        Value::Count(s.totals.assignments)
    }),
    row!(counter, "pgbraid_client_received_bytes_total", POOL, "Bytes from clients.", |s| {
        Value::Count(s.totals.received)
    }),
    row!(counter, "pgbraid_client_sent_bytes_total", POOL, "Bytes to clients.", |s| Value::Count(s.totals.sent)),
    row!(counter, "pgbraid_server_received_bytes_total", POOL, "Bytes from servers.", |s| Value::Count(s.from_server)),
    row!(counter, "pgbraid_server_sent_bytes_total", POOL, "Bytes to servers.", |s| Value::Count(s.to_server)),
    row!(counter, "pgbraid_client_parses_total", POOL, "Statements that clients prepared (Parse messages).", |s| {
        Value::Count(s.totals.client_parses)
    }),
    row!(counter, "pgbraid_server_parses_total", POOL, "Statements prepared on servers (Parse messages).", |s| {
        Value::Count(s.totals.server_parses)
    }),
    row!(counter, "pgbraid_binds_total", POOL, "Bind messages of clients.", |s| Value::Count(s.totals.binds)),
    row!(counter, "pgbraid_server_connects_total", POOL, "Server connections made.", |s| Value::Count(s.connects)),
    row!(counter, "pgbraid_server_connect_failures_total", POOL, "Server connections that couldn't be made.", |s| {
        Value::Count(s.connect_failures)
    }),
    row!(
        gauge,
        "pgbraid_server_connections",
        &["database", "user", "server", "state"],
        "Server connections: `active` are held by a client, `idle` by nobody.",
        |s| Value::By("state", vec![("active", s.active), ("idle", s.idle)])
    ),
    row!(gauge, "pgbraid_clients_waiting", POOL, "Clients that wait for a server connection.", |s| {
        Value::Level(s.waiting)
    }),
];

const SESSIONS: &[Row<SessionSnapshot>] = &[
    row!(gauge, "pgbraid_clients", &[], "Client connections.", |s| Value::Level(s.clients)),
    row!(
        gauge,
        "pgbraid_workers_batched",
        &[],
        "Workers that are scheduled in batches now (`server.scheduling`).",
        |s| { Value::Level(s.batched) }
    ),
    row!(counter, "pgbraid_logins_total", &[], "Logins that succeeded.", |s| Value::Count(s.logins)),
    row!(counter, "pgbraid_login_failures_total", &["sqlstate"], "Logins that were refused.", |s| {
        by("sqlstate", &s.login_failures)
    }),
    row!(counter, "pgbraid_errors_total", &["sqlstate"], "Errors that clients were told, whoever raised them.", |s| {
        by("sqlstate", &s.errors)
    }),
    row!(counter, "pgbraid_pins_total", &["pin"], "Sessions that had to keep their server connection, by what.", |s| {
        by("pin", &s.pins)
    }),
    row!(
        counter,
        "pgbraid_replica_reads_total",
        &["reason"],
        "Reads that replicas answered, by what they had to see.",
        |s| { by("reason", &s.replica_reads) }
    ),
    row!(
        counter,
        "pgbraid_primary_reads_total",
        &["reason"],
        "Statements that went to the primary although there are replicas, and why.",
        |s| by("reason", &s.primary_reads)
    ),
    row!(
        counter,
        "pgbraid_shard_statements_total",
        &["rung"],
        "Statements of sharded databases: routed to one shard, scattered over several, or finished by a PostgreSQL.",
        |s| by("rung", &s.rungs)
    ),
    row!(
        counter,
        "pgbraid_refusals_total",
        &["reason"],
        "Statements of sharded databases that were refused, and why.",
        |s| by("reason", &s.refusals)
    ),
    row!(counter, "pgbraid_retries_total", &[], "Reads run again on another server after the first failed.", |s| {
        Value::Count(s.retries)
    }),
    row!(counter, "pgbraid_cancels_total", &[], "Cancel requests of clients.", |s| Value::Count(s.cancels)),
];

const SERVERS: &[Row<ServerSnapshot>] = &[
    row!(gauge, "pgbraid_server_up", SERVER, "1 if the server's last health check succeeded.", |s| {
        Value::Level(i64::from(s.up))
    }),
    row!(gauge, "pgbraid_server_primary", SERVER, "1 if the server is the primary, 0 if a replica.", |s| {
        Value::Level(i64::from(s.primary))
    }),
    row!(gauge, "pgbraid_server_replay_lag_bytes", SERVER, "WAL that the replica has yet to replay.", |s| {
        Value::Count(s.lag_bytes)
    }),
    row!(gauge, "pgbraid_server_replay_lag_seconds", SERVER, "How far the replica's replay is behind in time.", |s| {
        Value::Number(seconds(s.lag_us))
    }),
];

const COMMITS: &[Row<CommitMetrics>] = &[
    row!(
        counter,
        "pgbraid_shard_commits_total",
        &["database"],
        "Transactions that were committed on several shards.",
        |s| { Value::Count(s.committed.value()) }
    ),
    row!(
        counter,
        "pgbraid_shard_deadlocks_total",
        &["database"],
        "Transactions over several shards that were stopped, since they and others waited for each other.",
        |s| Value::Count(s.deadlocks.value())
    ),
    row!(
        counter,
        "pgbraid_recovered_parts_total",
        &["database"],
        "Prepared parts of such transactions that somebody left and that were finished by recovery.",
        |s| Value::Count(s.recovered.value())
    ),
    row!(
        gauge,
        "pgbraid_prepared_parts",
        &["database"],
        "Parts that are prepared now, of all proxies' transactions.",
        |s| { Value::Level(s.prepared.value()) }
    ),
    row!(
        gauge,
        "pgbraid_parts_in_doubt",
        &["database"],
        "Prepared parts whose owner is gone and that can't be finished yet.",
        |s| Value::Level(s.in_doubt.value())
    ),
];

const GATHER: &[Row<GatherMetrics>] = &[
    row!(
        gauge,
        "pgbraid_gather_memory_bytes",
        &["database"],
        "Rows of shards that statements hold in the proxy's memory.",
        |s| Value::Level(s.memory.value())
    ),
    row!(
        gauge,
        "pgbraid_gather_table_bytes",
        &["database"],
        "Rows of shards that statements have in temporary tables.",
        |s| Value::Level(s.tables.value())
    ),
    row!(
        counter,
        "pgbraid_gather_spooled_total",
        &["database"],
        "Statements whose rows went to temporary tables, since memory didn't suffice.",
        |s| Value::Count(s.spooled.value())
    ),
    row!(
        counter,
        "pgbraid_gather_broadcasts_total",
        &["database"],
        "Statements for which a small table's rows went along to the shards of a larger one.",
        |s| Value::Count(s.broadcasts.value())
    ),
];

/// The process itself.
pub(super) struct Process {
    pub started: f64,
    pub resident: Option<u64>,
}

const PROCESS: &[Row<Process>] = &[
    row!(gauge, "pgbraid_info", &["version"], "Always 1; the label tells the version.", |_| {
        Value::By("version", vec![(env!("CARGO_PKG_VERSION"), 1)])
    }),
    row!(gauge, "process_start_time_seconds", &[], "Start of the process, in seconds since 1970.", |p| {
        Value::Number(p.started)
    }),
    row!(gauge, "process_resident_memory_bytes", &[], "Memory in use (Linux only).", |p| {
        Value::Count(p.resident.unwrap_or(0))
    }),
];

/// Every metric there is, in the page's order.
pub fn metrics() -> Vec<Metric> {
    let pools = POOLS.iter().map(|row| row.metric);
    let sessions = SESSIONS.iter().map(|row| row.metric);
    let servers = SERVERS.iter().map(|row| row.metric);
    let commits = COMMITS.iter().map(|row| row.metric);
    let gather = GATHER.iter().map(|row| row.metric);
    pools
        .chain(sessions)
        .chain(servers)
        .chain(commits)
        .chain(gather)
        .chain(PROCESS.iter().map(|row| row.metric))
        .collect()
}

type ByDatabase<M> = (Arc<str>, Arc<M>);

/// The page.
pub(super) fn render(
    pools: &BTreeMap<PoolLabels, PoolSnapshot>,
    sessions: &SessionSnapshot,
    servers: &[(ServerLabels, ServerSnapshot)],
    (commits, gather): (&[ByDatabase<CommitMetrics>], &[ByDatabase<GatherMetrics>]),
    process: &Process,
) -> String {
    let mut page = String::with_capacity(8_192 + pools.len() * 6_144);
    let pools: Vec<_> = pools
        .iter()
        .map(|(l, s)| (vec![("database", &*l.database), ("user", &*l.user), ("server", &*l.server)], s))
        .collect();
    families(&mut page, POOLS, &pools);
    families(&mut page, SESSIONS, &[(Vec::new(), sessions)]);
    let servers: Vec<_> = servers
        .iter()
        .map(|((database, server), s)| (vec![("database", &**database), ("server", &**server)], s))
        .collect();
    families(&mut page, SERVERS, &servers);
    let commits: Vec<_> = commits.iter().map(|(database, s)| (vec![("database", &**database)], &**s)).collect();
    families(&mut page, COMMITS, &commits);
    let gather: Vec<_> = gather.iter().map(|(database, s)| (vec![("database", &**database)], &**s)).collect();
    families(&mut page, GATHER, &gather);
    families(&mut page, PROCESS, &[(Vec::new(), process)]);
    page
}

/// The families of `rows` for each of `members`. Families without a member aren't mentioned.
fn families<S>(page: &mut String, rows: &'static [Row<S>], members: &[(Vec<(&'static str, &str)>, &S)]) {
    for row in rows.iter().filter(|_| !members.is_empty()) {
        write_help_line(page, row.metric.name, None, None, row.metric.help);
        write_type_line(page, row.metric.name, None, None, row.metric.kind);
        for (labels, snapshot) in members {
            sample(page, row.metric.name, labels, &(row.value)(snapshot));
        }
    }
}

fn sample(page: &mut String, name: &'static str, labels: &[(&'static str, &str)], value: &Value<'_>) {
    match value {
        Value::Count(n) => line(page, name, None, labels, None::<&str>, n),
        Value::Level(n) => line(page, name, None, labels, None::<&str>, n),
        Value::Number(n) => line(page, name, None, labels, None::<&str>, n),
        Value::By(key, values) => {
            for (value, n) in values {
                let labels: Vec<_> = labels.iter().copied().chain([(*key, *value)]).collect();
                line(page, name, None, &labels, None::<&str>, n);
            }
        }
        Value::Times(times) => {
            let mut below = 0;
            for (bound, count) in BOUNDS_US.iter().zip(times.buckets) {
                below += count;
                line(page, name, Some("bucket"), labels, Some(seconds(*bound)), below);
            }
            line(page, name, Some("bucket"), labels, Some("+Inf"), times.count());
            line(page, name, Some("sum"), labels, None::<&str>, seconds(times.sum_us));
            line(page, name, Some("count"), labels, None::<&str>, times.count());
        }
    }
}

fn line(
    page: &mut String,
    name: &'static str,
    suffix: Option<&'static str>,
    labels: &[(&'static str, &str)],
    bound: Option<impl std::fmt::Display>,
    value: impl std::fmt::Display,
) {
    let labels: Vec<Label> = labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect();
    let labels = LabelSet::from_key_and_global(&Key::from_parts(name, labels), &Default::default());
    write_metric_line(page, name, suffix, &labels, bound.map(|bound| ("le", bound)), value, None);
}

fn by<'a>(label: &'static str, counts: &'a BTreeMap<String, u64>) -> Value<'a> {
    Value::By(label, counts.iter().map(|(value, n)| (value.as_str(), i64::try_from(*n).unwrap_or(i64::MAX))).collect())
}

#[expect(clippy::cast_precision_loss, reason = "exact to 285 years")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_metric() {
        let documentation = include_str!("../../docs/operating.md");
        let of_a_metric = |line: &&str| {
            line.split('|').nth(2).is_some_and(|kind| ["counter", "gauge", "histogram"].contains(&kind.trim()))
        };
        let described: Vec<&str> = documentation.lines().filter(of_a_metric).collect();
        let metrics: Vec<String> = metrics()
            .iter()
            .map(|metric| {
                let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
                format!("| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(" "), metric.help)
            })
            .collect();
        assert_eq!(described.join("\n"), metrics.join("\n"), "docs/operating.md lacks lines, or has old ones");
    }
}
