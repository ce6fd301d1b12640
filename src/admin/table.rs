//! What SHOW shows: one table of name, columns, function.
//!
//! Names, types and order of columns are those of PgBouncer 1.24 (its `doc/usage.md`); a test compares them with the
//! installed one. What pgbraid has no such thing for is 0 or empty.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::value::{Cell, Column, Type, timestamp};
use crate::telemetry::pool::Totals;
use crate::telemetry::stats::StatsRow;
use crate::telemetry::view::{
    ClientRow, ClientState, DatabaseRow, Peer, PoolRow, ReplicaRow, RunState, ServerRow, ServerState, UserRow, View,
};
use crate::telemetry::{Telemetry, resident_bytes};

/// Where rows come from.
pub(super) struct Source<'a> {
    pub view: &'a dyn View,
    pub telemetry: &'a Telemetry,
}

/// One word after SHOW.
pub(super) struct Show {
    pub name: &'static str,
    pub columns: &'static [Column],
    pub rows: fn(&Source<'_>) -> Vec<Vec<Cell>>,
}

use Type::{Int4, Numeric, Text};

macro_rules! columns {
    ($($kind:ident: $($name:ident)+;)+) => { &[$($((stringify!($name), $kind)),+),+] };
}

const SOCKET: &[Column] = columns![
    Text: type user database replication state addr; Int4: port; Text: local_addr; Int4: local_port;
    Text: connect_time request_time; Int4: wait wait_us close_needed; Text: ptr link; Int4: remote_pid;
    Text: tls application_name; Int4: prepared_statements id;
];

const SUMS: &[Column] = columns![
    Text: database;
    Numeric: server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time
        client_parse_count server_parse_count bind_count;
];

/// Every table, in the order of SHOW HELP.
pub(super) const SHOWS: &[Show] = &[
    Show { name: "clients", columns: SOCKET, rows: clients },
    Show {
        name: "config",
        columns: columns![Text: key value default changeable;],
        rows: |source| {
            let config = source.view.config().into_iter();
            config
                .map(|row| {
                    let changeable = if row.changeable { "yes" } else { "no" };
                    vec![row.key.into(), row.value.into(), row.default.into(), changeable.into()]
                })
                .collect()
        },
    },
    Show {
        name: "databases",
        columns: columns![
            Text: name host; Int4: port; Text: database force_user;
            Int4: pool_size min_pool_size reserve_pool_size server_lifetime; Text: pool_mode load_balance_hosts;
            Int4: max_connections current_connections max_client_connections current_client_connections paused disabled;
        ],
        rows: databases,
    },
    Show { name: "lists", columns: columns![Text: list; Int4: items;], rows: lists },
    Show { name: "mem", columns: columns![Text: name; Int4: size used free memtotal;], rows: memory },
    Show { name: "pins", columns: columns![Text: pin; Numeric: clients total;], rows: pins },
    Show {
        name: "pools",
        columns: columns![
            Text: database user;
            Int4: cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel
                sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us;
            Text: pool_mode load_balance_hosts;
        ],
        rows: pools,
    },
    Show {
        name: "replicas",
        columns: columns![
            Text: database shard server role; Int4: up; Text: position; Numeric: lag_bytes lag_us; Text: error;
        ],
        rows: replicas,
    },
    Show { name: "servers", columns: SOCKET, rows: servers },
    Show {
        name: "state",
        columns: columns![Text: key value;],
        rows: |source| {
            let state = source.view.state();
            let row = |key: &str, is: bool| vec![key.into(), if is { "yes" } else { "no" }.into()];
            vec![
                row("active", state == RunState::Active),
                row("paused", state == RunState::Paused),
                row("suspended", false),
                row("draining", state == RunState::Draining),
            ]
        },
    },
    Show {
        name: "stats",
        columns: columns![
            Text: database;
            Numeric: total_server_assignment_count total_xact_count total_query_count total_received total_sent
                total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count
                total_bind_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent
                avg_xact_time avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count;
        ],
        rows: |source| stats(source, |row| sums(row.total).into_iter().chain(sums(row.average)).collect()),
    },
    Show { name: "stats_averages", columns: SUMS, rows: |source| stats(source, |row| sums(row.average).into()) },
    Show { name: "stats_totals", columns: SUMS, rows: |source| stats(source, |row| sums(row.total).into()) },
    Show { name: "totals", columns: columns![Text: name; Numeric: value;], rows: totals },
    Show {
        name: "users",
        columns: columns![
            Text: name pool_size reserve_pool_size pool_mode;
            Int4: max_user_connections current_connections max_user_client_connections current_client_connections;
        ],
        rows: users,
    },
    Show {
        name: "version",
        columns: columns![Text: version;],
        rows: |_| vec![vec![format!("PgBouncer 1.24.0 (pgbraid {})", env!("CARGO_PKG_VERSION")).into()]],
    },
];

/// Settings that drivers ask for by SHOW on every connection: one row, one column of that name.
pub(super) const SETTINGS: &[(Column, &str)] = &[
    (("client_encoding", Text), "UTF8"),
    (("datestyle", Text), "ISO"),
    (("default_transaction_isolation", Text), "read committed"),
    (("server_version", Text), super::SERVER_VERSION),
    (("standard_conforming_strings", Text), "on"),
    (("timezone", Text), "GMT"),
    (("transaction_isolation", Text), "read committed"),
    (("transaction_read_only", Text), "off"),
];

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The seconds and what is left of them in microseconds.
fn split(duration: Option<Duration>) -> [Cell; 2] {
    let duration = duration.unwrap_or_default();
    [duration.as_secs().into(), u64::from(duration.subsec_micros()).into()]
}

/// What a row of SHOW CLIENTS or SERVERS has beside its [`Peer`].
struct Socket<'a> {
    kind: &'a str,
    id: u64,
    user: String,
    database: String,
    state: &'a str,
    waiting: Option<Duration>,
    closing: bool,
    link: Option<String>,
    remote_pid: u64,
    application_name: String,
    prepared_statements: usize,
}

impl Socket<'_> {
    fn row(self, peer: Peer) -> Vec<Cell> {
        let [wait, wait_us] = split(self.waiting);
        vec![
            self.kind.into(),
            self.user.into(),
            self.database.into(),
            "none".into(),
            self.state.into(),
            peer.address.into(),
            peer.port.into(),
            peer.local_address.into(),
            peer.local_port.into(),
            timestamp(peer.connected).into(),
            peer.requested.map(timestamp).unwrap_or_default().into(),
            wait,
            wait_us,
            self.closing.into(),
            format!("{}{}", self.kind.to_ascii_lowercase(), self.id).into(),
            self.link.unwrap_or_default().into(),
            self.remote_pid.into(),
            peer.tls.into(),
            self.application_name.into(),
            self.prepared_statements.into(),
            self.id.into(),
        ]
    }
}

fn clients(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let row = |client: ClientRow| {
        Socket {
            kind: "C",
            id: client.id,
            user: client.user,
            database: client.database,
            state: match client.state {
                ClientState::Active => "active",
                ClientState::Idle => "idle",
                ClientState::Waiting => "waiting",
                ClientState::Login => "login",
            },
            waiting: client.waiting,
            closing: false,
            link: client.server.map(|id| format!("s{id}")),
            remote_pid: 0,
            application_name: client.application_name,
            prepared_statements: client.prepared_statements,
        }
        .row(client.peer)
    };
    source.view.clients().into_iter().map(row).collect()
}

fn servers(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let row = |server: ServerRow| {
        Socket {
            kind: "S",
            id: server.id,
            user: server.user,
            database: server.database,
            state: match server.state {
                ServerState::Active => "active",
                ServerState::Idle => "idle",
                ServerState::Login => "login",
                ServerState::Tested => "tested",
            },
            waiting: None,
            closing: server.closing,
            link: server.client.map(|id| format!("c{id}")),
            remote_pid: u64::try_from(server.backend_pid).unwrap_or(0),
            application_name: server.application_name,
            prepared_statements: server.prepared_statements,
        }
        .row(server.peer)
    };
    source.view.servers().into_iter().map(row).collect()
}

fn databases(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let row = |db: DatabaseRow| {
        vec![
            db.name.into(),
            db.host.into(),
            db.port.into(),
            db.server_database.into(),
            Cell::Null,
            db.pool_size.into(),
            db.min_pool_size.into(),
            0u64.into(),
            db.max_lifetime.as_secs().into(),
            db.mode.into(),
            Cell::Null,
            0u64.into(),
            db.server_connections.into(),
            0u64.into(),
            db.client_connections.into(),
            db.paused.into(),
            false.into(),
        ]
    };
    source.view.databases().into_iter().map(row).collect()
}

fn pools(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let row = |pool: PoolRow| {
        let [maxwait, maxwait_us] = split(Some(pool.longest_wait));
        vec![
            pool.database.into(),
            pool.user.into(),
            pool.clients_active.into(),
            pool.clients_waiting.into(),
            pool.cancels.into(),
            0u64.into(),
            pool.servers_active.into(),
            pool.cancels.into(),
            0u64.into(),
            pool.servers_idle.into(),
            0u64.into(),
            0u64.into(),
            pool.servers_login.into(),
            maxwait,
            maxwait_us,
            pool.mode.into(),
            Cell::Null,
        ]
    };
    source.view.pools().into_iter().map(row).collect()
}

fn users(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let row = |user: UserRow| {
        vec![
            user.name.into(),
            user.pool_size.into(),
            Cell::Null,
            user.mode.into(),
            0u64.into(),
            user.server_connections.into(),
            user.max_clients.unwrap_or(0).into(),
            user.client_connections.into(),
        ]
    };
    source.view.users().into_iter().map(row).collect()
}

fn replicas(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let row = |server: ReplicaRow| {
        vec![
            server.database.into(),
            server.shard.into(),
            server.server.into(),
            server.role.into(),
            server.up.into(),
            server.position.map(|lsn| lsn.to_string()).into(),
            server.lag_bytes.into(),
            server.lag.map(micros).into(),
            server.error.into(),
        ]
    };
    source.view.replicas().into_iter().map(row).collect()
}

/// What keeps sessions on their server connection: how many clients now, how many ever.
fn pins(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let ever = source.telemetry.session_snapshot().pins;
    let mut rows: BTreeMap<String, (u64, u64)> = ever.into_iter().map(|(pin, total)| (pin, (0, total))).collect();
    for pin in source.view.clients().into_iter().filter_map(|client| client.pin) {
        rows.entry(pin.to_owned()).or_default().0 += 1;
    }
    rows.into_iter().map(|(pin, (now, total))| vec![pin.into(), now.into(), total.into()]).collect()
}

fn lists(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let clients = source.view.clients();
    let login = clients.iter().filter(|client| client.state == ClientState::Login).count();
    let items = [
        ("databases", source.view.databases().len()),
        ("users", source.view.users().len()),
        ("pools", source.view.pools().len()),
        ("free_clients", 0),
        ("used_clients", clients.len()),
        ("login_clients", login),
        ("free_servers", 0),
        ("used_servers", source.view.servers().len()),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ];
    items.into_iter().map(|(list, items)| vec![list.into(), items.into()]).collect()
}

/// The process as one row, in KiB so that int4 holds it: there are no slabs as in PgBouncer.
fn memory(_: &Source<'_>) -> Vec<Vec<Cell>> {
    let row =
        |bytes: u64| vec!["resident_kb".into(), 1u64.into(), (bytes >> 10).into(), 0u64.into(), (bytes >> 10).into()];
    resident_bytes().map(row).into_iter().collect()
}

fn stats(source: &Source<'_>, cells: fn(&StatsRow) -> Vec<Cell>) -> Vec<Vec<Cell>> {
    let rows = source.telemetry.stats(Instant::now());
    rows.iter().map(|row| std::iter::once((&*row.database).into()).chain(cells(row)).collect()).collect()
}

/// In the order of PgBouncer's columns.
fn sums(totals: Totals) -> [Cell; 11] {
    [
        totals.assignments,
        totals.transactions,
        totals.queries,
        totals.received,
        totals.sent,
        totals.transaction_us,
        totals.query_us,
        totals.wait_us,
        totals.client_parses,
        totals.server_parses,
        totals.binds,
    ]
    .map(Cell::from)
}

/// Names of SHOW TOTALS; PgBouncer calls two of them otherwise than in SHOW STATS.
const TOTALS: [&str; 11] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "client_parse_count",
    "server_parse_count",
    "bind_count",
];

fn totals(source: &Source<'_>) -> Vec<Vec<Cell>> {
    let (mut total, mut average) = (Totals::default(), Totals::default());
    let mut weighed = (0, 0);
    for row in source.telemetry.stats(Instant::now()) {
        total += row.total;
        average += row.average;
        weighed.0 += row.average.transaction_us * row.average.transactions;
        weighed.1 += row.average.query_us * row.average.queries;
    }
    // Times a transaction and a query don't add up: they are weighed by how many there were.
    average.transaction_us = weighed.0.checked_div(average.transactions).unwrap_or(0);
    average.query_us = weighed.1.checked_div(average.queries).unwrap_or(0);
    let named = |prefix: &'static str, values: [Cell; 11]| {
        TOTALS.iter().zip(values).map(move |(name, value)| vec![format!("{prefix}_{name}").into(), value])
    };
    named("total", sums(total)).chain(named("avg", sums(average))).collect()
}

/// The detail of SHOW HELP, in PgBouncer's form: the tables, then the commands that this proxy offers.
pub(super) fn help(source: &Source<'_>) -> String {
    let names: Vec<String> = SHOWS.iter().map(|show| show.name.to_ascii_uppercase()).collect();
    let shows = names.chunks(6).map(|names| format!("\n\tSHOW {}", names.join("|")));
    let commands = source.view.commands().iter().map(|command| format!("\n\t{command}"));
    shows.chain(commands).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_table() {
        let documentation = include_str!("../../docs/operating.md");
        for show in SHOWS {
            let name = format!("`{}`", show.name.to_ascii_uppercase());
            assert!(documentation.contains(&name), "docs/operating.md doesn't name {name}");
        }
    }
}
