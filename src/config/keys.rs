//! The table of keys: every setting with its kind, default, and meaning. Parsing, hints, `SHOW CONFIG` and the
//! documentation all come from it.

use std::time::Duration;

use super::model::*;
use super::sharding;
use super::value::{Field, Kind, Value};

/// What it takes for a changed value to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// SIGHUP or RELOAD.
    Reload,
    /// A new process.
    Restart,
}

/// One key of a section whose values fill a `T`.
pub struct Key<T: 'static> {
    pub name: &'static str,
    pub kind: Kind,
    /// As it would stand in the file; empty: absent unless set.
    pub default: &'static str,
    pub apply: Apply,
    /// One sentence or a few: what it does, what 0 means.
    pub doc: &'static str,
    /// A value to show in `config/everything.toml` where there is no default.
    pub example: &'static str,
    /// Puts a value that was read into the model.
    pub set: fn(&mut T, Value),
    /// Takes it out again.
    pub get: fn(&T) -> Value,
}

/// The sections of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Server,
    Log,
    Auth,
    User,
    Database,
}

impl Section {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Server, Self::Log, Self::Auth, Self::User, Self::Database];

    /// The header as it stands in the file.
    pub fn header(self) -> &'static str {
        match self {
            Self::Server => "[server]",
            Self::Log => "[log]",
            Self::Auth => "[auth]",
            Self::User => "[users.NAME]",
            Self::Database => "[databases.NAME]",
        }
    }

    /// What the section is for.
    pub fn doc(self) -> &'static str {
        match self {
            Self::Server => "Where clients come in, and how many at once.",
            Self::Log => "What is logged, and how. Passwords and parameter values never are.",
            Self::Auth => "How clients prove who they are.",
            Self::User => {
                "One section a user; users are the same for all databases. NAME is the role's name, on the servers too."
            }
            Self::Database => "One section a database. NAME is what clients ask for; `pgbraid` is the admin console's.",
        }
    }
}

/// A key without its type: for hints and documentation.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    pub section: Section,
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub apply: Apply,
    pub doc: &'static str,
    pub example: &'static str,
}

/// Every key of every section, in the order of the documentation.
pub fn all() -> Vec<Described> {
    let mut all = Vec::new();
    all.extend(SERVER.iter().map(|key| key.describe(Section::Server)));
    all.extend(LOG.iter().map(|key| key.describe(Section::Log)));
    all.extend(AUTH.iter().map(|key| key.describe(Section::Auth)));
    all.extend(USER.iter().map(|key| key.describe(Section::User)));
    all.extend(DATABASE.iter().map(|key| key.describe(Section::Database)));
    all
}

impl<T> Key<T> {
    fn describe(&self, section: Section) -> Described {
        let Self { name, kind, default, apply, doc, example, .. } = *self;
        Described { section, name, kind, default, apply, doc, example }
    }
}

const fn time(least: Duration, most: Duration) -> Kind {
    Kind::Time { least, most, off: false }
}

const fn time_or_off(least: Duration, most: Duration) -> Kind {
    Kind::Time { least, most, off: true }
}

const fn count(least: usize, most: usize) -> Kind {
    Kind::Count { least, most }
}

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// `key!(name, kind, default, apply, doc => field)`, with `example "…"` before the arrow where there is no default.
macro_rules! key {
    ($name:literal, $kind:expr, $default:literal, $apply:ident, $doc:literal $(, example $example:literal)?
     => $($field:ident).+) => {
        Key {
            name: $name,
            kind: $kind,
            default: $default,
            apply: Apply::$apply,
            doc: $doc,
            example: concat!("" $(, $example)?),
            set: |target, value| Field::take(&mut target.$($field).+, value),
            get: |target| Field::show(&target.$($field).+),
        }
    };
}

/// `[server]`
pub static SERVER: &[Key<Server>] = &[
    key!("listen", Kind::Addresses, "\"127.0.0.1:6432\"", Restart,
        "TCP addresses on which clients are served, `host:port`: one, or a list. An empty list: Unix sockets only."
        => listen),
    key!("unix_socket_dir", Kind::Paths, "[]", Restart,
        "Folders in which a Unix socket `.s.PGSQL.<port>` is made, with the port of the first `listen` address (6432 \
         where there is none): one, or a list."
        => unix_socket_dirs),
    key!("http", Kind::Address, "", Restart,
        "Address of `/metrics`, `/healthz` and `/readyz`, `host:port`. Off unless set.",
        example "\"127.0.0.1:9187\""
        => http),
    key!("workers", count(0, 1_024), "0", Restart,
        "Threads that serve clients. 0: one a core."
        => workers),
    key!("scheduling", Kind::Choice(Scheduling::NAMES), "\"auto\"", Restart,
        "`auto`: while a worker has much to do and gets its turns soon, it doesn't take the core from another thread when it \
         wakes (Linux's SCHED_BATCH, docs/operating.md), which takes less CPU a statement. `normal`: it always does."
        => scheduling),
    key!("max_clients", count(1, 1_000_000), "10000", Reload,
        "Clients at once. One more is refused with SQLSTATE 53300."
        => max_clients),
    key!("tls", Kind::Choice(ClientTls::NAMES), "\"allow\"", Reload,
        "`allow`: the client decides; without `tls_cert` there is no TLS. `require`: a client without TLS is refused. \
         `disable`: no TLS."
        => tls),
    key!("tls_cert", Kind::Path, "", Reload,
        "PEM file with the certificate that clients see, and the chain behind it. Read anew at each reload.",
        example "\"server.crt\""
        => tls_cert),
    key!("tls_key", Kind::Path, "", Reload,
        "PEM file with the certificate's private key.",
        example "\"server.key\""
        => tls_key),
    key!("tls_client_ca", Kind::Path, "", Reload,
        "PEM file with the authorities whose client certificates are taken. Needed for `method = \"cert\"`.",
        example "\"clients-ca.crt\""
        => tls_client_ca),
    key!("login_timeout", time(MS, HOUR), "\"60s\"", Reload,
        "Time that a client has for start-up and authentication."
        => login_timeout),
    key!("shutdown_timeout", time_or_off(MS, YEAR), "\"30s\"", Reload,
        "How long running transactions may go on after SIGTERM. 0: not at all."
        => shutdown_timeout),
    key!("admin_users", Kind::Texts, "[]", Reload,
        "Users who may use the admin console, the virtual database `pgbraid`: one, or a list."
        => admin_users),
];

/// `[log]`
pub static LOG: &[Key<Log>] = &[
    Key {
        name: "format",
        kind: Kind::Choice(&["text", "json"]),
        default: "\"text\"",
        apply: Apply::Restart,
        doc: "`text` for people, `json` for machines: one object a line.",
        example: "",
        set: |log, value| log.json = value == Value::Text("json".to_owned()),
        get: |log| Value::Text(if log.json { "json" } else { "text" }.to_owned()),
    },
    key!("level", Kind::Choice(LogLevel::NAMES), "\"info\"", Reload,
        "The least severe lines that are logged."
        => level),
    key!("connections", Kind::Flag, "true", Reload,
        "Log each client's coming and going."
        => connections),
];

/// `[auth]`
pub static AUTH: &[Key<Auth>] = &[
    key!("method", Kind::Choice(AuthMethod::NAMES), "\"scram-sha-256\"", Reload,
        "`scram-sha-256` (over TLS with channel binding where the client can), `md5`, `cert` (the certificate's common \
         name must be the user's), or `trust` (anyone is whoever they say)."
        => method),
    key!("query", Kind::Text, "", Reload,
        "For users without a password in `[users]`: a query with one parameter, the user's name, that gives one row with \
         name and password or verifier. It runs as the database's `service_user`.",
        example "\"SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1 AND rolcanlogin\""
        => query),
    key!("query_cache", time_or_off(MS, HOUR), "\"10s\"", Reload,
        "How long an answer of `query` is believed. 0: ask each time."
        => query_cache),
];

/// `[users.NAME]`
pub static USER: &[Key<User>] = &[
    key!("password", Kind::Secret, "", Reload,
        "The password in plain text, or a `SCRAM-SHA-256$…` verifier or `md5…` hash as PostgreSQL stores them, or \
         `env:NAME` for an environment variable, or `file:PATH` for a file (a newline at its end is dropped). With a \
         verifier, clients log in by SCRAM and pgbraid logs in at the servers with what their proof yields; the servers \
         must then hold the same verifier, byte for byte.",
        example "\"env:APP_PASSWORD\""
        => password),
    key!("pool_mode", Kind::Choice(PoolMode::NAMES), "", Reload,
        "Overrides the database's.",
        example "\"session\""
        => pool_mode),
    key!("pool_size", count(1, 10_000), "", Reload,
        "Overrides the database's.",
        example "5"
        => pool_size),
    key!("max_clients", count(1, 1_000_000), "", Reload,
        "This user's clients at once, over all databases. No limit of its own unless set.",
        example "1000"
        => max_clients),
];

/// `[databases.NAME]`
pub static DATABASE: &[Key<Database>] = &[
    key!("service_user", Kind::Text, "", Reload,
        "An entry of `[users]` with a plain password, as which pgbraid itself asks the servers for their roles, positions \
         and catalogs. Needed where there are replicas, and for `auth.query`.",
        example "\"pgbraid\""
        => service_user),
    Key {
        name: "shards",
        kind: Kind::Shards,
        default: "",
        apply: Apply::Reload,
        doc: "`shards.NAME = [\"postgres://host:port/dbname?…\", …]`: the servers, primary and replicas in any order (which \
              is which is found by asking). Several shards: the database is sharded. Parameters: `sslmode` (`disable`, `allow`, `prefer`, `require`, \
              `verify-ca`, `verify-full`), `sslrootcert`, `sslcert`, `sslkey` (PEM files), `host` (a folder of Unix \
              sockets), and `weight` (a replica's share of reads, 1 unless set; 0: no reads).",
        example: "[\"postgres://10.0.0.1:5432/shop?sslmode=prefer&weight=1\"]",
        // The list is read by `config::shards`, which needs the places of its items.
        set: |_, _| {},
        get: |database| {
            Value::List(database.shards.iter().flat_map(|shard| &shard.servers).map(super::url::show).collect())
        },
    },
    key!("home", Kind::Text, "", Restart,
        "The shard where tables without an entry in `tables` live, and the stored map of keys. Needed where there are \
         several shards.",
        example "\"s1\""
        => home),
    Key {
        name: "shard_weights",
        kind: Kind::Weights,
        default: "",
        apply: Apply::Restart,
        doc: "`shard_weights.NAME = 2`: twice the keys of a shard with 1, which is what each has unless set. It counts \
              where keys are spread for the first time, and where they are moved.",
        example: "{ s1 = 2 }",
        // This and the next two are read by `config::sharding`.
        set: |_, _| {},
        get: |database| sharding::show_weights(&database.shard_weights),
    },
    key!("buckets", count(16, 65_536), "4096", Restart,
        "How many buckets the hashes of keys fall into, a power of two: the parts that move when a shard comes. Stored \
         at the first start; it can't be changed then."
        => buckets),
    key!("cross_shard_commit", Kind::Choice(CrossShardCommit::NAMES), "\"two-phase\"", Restart,
        "How a transaction that changed rows on several shards is committed. `two-phase`: everywhere or nowhere, whatever \
         dies meanwhile; the servers need `max_prepared_transactions` of at least the connections that write. \
         `best-effort`: on one shard after the other, for servers without it; what fails in between leaves the changes on \
         some shards only."
        => cross_shard_commit),
    key!("cross_shard_reads", Kind::Choice(CrossShardReads::NAMES), "\"fast\"", Restart,
        "What a statement that reads several shards sees of a transaction that another session is committing on several. \
         `fast`: perhaps what it did on some of them, for a moment. `atomic`: all of it or nothing, also if proxies die in \
         the middle; such statements cost more and run on primaries, and such commits wait for each other's readers for a \
         moment. The first proxy that starts with it has all others' commits take part (`docs/transactions.md`)."
        => cross_shard_reads),
    key!("unique_per_shard", Kind::Flag, "false", Restart,
        "Admits unique indexes and exclusion constraints of sharded tables that lack the sharding key. Each shard then keeps \
         only its own rows apart: equal rows on two shards, which one PostgreSQL would refuse, are stored. Without it such \
         indexes can't be made, and rows that they would have to judge aren't written. Fit for values that can't be equal \
         by their making, such as a sequence's or a UUID's."
        => unique_per_shard),
    Key {
        name: "tables",
        kind: Kind::Tables,
        default: "",
        apply: Apply::Restart,
        doc: "Which tables are spread over the shards, and how; `orders` is `public.orders`, others stand as \
              `\"schema.name\"`. `{ key = \"id\" }`: by the hash of a column. `{ key = \"customer_id\", with = \
              \"customers\" }`: the same, and its rows lie where the rows of `customers` with that key do. `{ key = \
              \"region\", list = { s1 = [\"eu\"], s2 = [\"us\"] }, rest = \"s1\" }`: by lists of values. `{ reference = \
              true }`: whole on every shard. A table without an entry is on the home shard.",
        example: "{ customers = { key = \"id\" }, orders = { key = \"customer_id\", with = \"customers\" }, countries = { \
                  reference = true } }",
        set: |_, _| {},
        get: |database| sharding::show_tables(&database.tables),
    },
    Key {
        name: "functions",
        kind: Kind::Functions,
        default: "",
        apply: Apply::Restart,
        doc: "What functions that aren't PostgreSQL's own touch, where pgbraid can't see it; it believes you. `{ reads = \
              \"none\" }`: no table. `{ reads = \"key\" }`: only rows of the key in its first argument.",
        example: "{ price_of = { reads = \"none\" } }",
        set: |_, _| {},
        get: |database| sharding::show_functions(&database.functions),
    },
    key!("pool_mode", Kind::Choice(PoolMode::NAMES), "\"transaction\"", Reload,
        "`transaction`: a server connection is the client's for one transaction. `session`: for as long as it stays."
        => pool.mode),
    key!("pool_size", count(1, 10_000), "20", Reload,
        "Server connections a server, user and database, over all workers."
        => pool.size),
    key!("min_pool_size", count(0, 10_000), "0", Reload,
        "Server connections kept open, for users whose password is known."
        => pool.min_size),
    key!("pool_wait", time(MS, YEAR), "\"120s\"", Reload,
        "How long a client waits for a server connection; then it gets SQLSTATE 57014."
        => pool.wait),
    key!("max_waiting", count(0, 1_000_000), "0", Reload,
        "Clients that may wait for one pool. One more is refused with SQLSTATE 53300. 0: no limit."
        => pool.max_waiting),
    key!("idle_timeout", time(MS, YEAR), "\"10m\"", Reload,
        "A server connection unused for so long is closed (± 10 %, so that not all go at once)."
        => pool.idle_timeout),
    key!("max_lifetime", time(MS, YEAR), "\"1h\"", Reload,
        "A server connection older than this is replaced when no client has it (± 10 %)."
        => pool.max_lifetime),
    key!("connect_timeout", time(MS, HOUR), "\"15s\"", Reload,
        "Time for TCP, TLS and login at a server."
        => pool.connect_timeout),
    key!("idle_transaction_timeout", time_or_off(MS, YEAR), "0", Reload,
        "A client idle in a transaction for so long is disconnected. 0: never."
        => pool.idle_transaction_timeout),
    key!("query_timeout", time_or_off(MS, YEAR), "0", Reload,
        "A statement that runs for so long is cancelled. 0: never."
        => pool.query_timeout),
    key!("gather_memory", count(0, 1_000_000), "256", Restart,
        "Megabytes of rows that one statement over several shards may collect in the proxy. What a read gathers beyond it \
         goes to temporary tables (`gather_limit`); what must be held is refused with SQLSTATE 53400. Rows that are only \
         passed on aren't collected."
        => gather.memory),
    key!("gather_memory_total", count(0, 10_000_000), "1024", Restart,
        "The same for all statements of the database that run at the same time."
        => gather.total),
    key!("gather_limit", count(0, 100_000_000), "4096", Restart,
        "Megabytes of rows that one statement may gather in temporary tables of a server, where `gather_memory` is too \
         little; one that needs more is refused with SQLSTATE 53400. 0: no temporary tables."
        => gather.limit),
    key!("gather_limit_total", count(0, 1_000_000_000), "16384", Restart,
        "The same for all statements of the database that run at the same time."
        => gather.limit_total),
    key!("gather_connections", count(1, 10_000), "4", Reload,
        "Server connections, a user, whose temporary tables take what is gathered. They come on top of `pool_size`; who \
         finds none free waits for `pool_wait`."
        => gather.connections),
    key!("gather_on", Kind::Text, "", Restart,
        "The shard whose primary has these temporary tables. Without it the home shard's.",
        example "\"s1\""
        => gather.on),
    key!("consistency", Kind::Choice(Consistency::NAMES), "\"proxy\"", Reload,
        "What a read on a replica sees at least; sessions may choose with `SET pgbraid.consistency`. `proxy`: every commit \
         acknowledged through this proxy. `session`: the session's own commits, and what it has read. `eventual`: whatever \
         a replica within `max_lag` has. `primary`: everything, replicas aren't used."
        => replicas.consistency),
    key!("max_lag", time(MS, YEAR), "\"10s\"", Reload,
        "A replica further behind serves no reads."
        => replicas.max_lag),
    key!("replica_wait", time_or_off(MS, HOUR), "0", Reload,
        "How long a read may wait for a replica to catch up before it goes to the primary. 0: not at all."
        => replicas.wait),
    key!("health_interval", time(Duration::from_millis(10), HOUR), "\"500ms\"", Reload,
        "How often each server is asked for its role and position."
        => replicas.health_interval),
];
