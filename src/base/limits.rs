//! Every limit, by name, in one place: what an outsider can make pgbraid hold or wait for.

use std::time::Duration;

/// Longest start-up packet taken from a client, in bytes (PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`).
pub const STARTUP_PACKET: usize = 10_000;

/// Longest message taken from a client while it authenticates, in bytes (`PG_MAX_AUTH_TOKEN_LENGTH`).
pub const AUTH_MESSAGE: usize = 65_535;

/// Longest Query or Parse that is held and analysed, in bytes; longer ones are refused with 54000.
/// (Bind, FunctionCall and CopyData aren't held: they pass through in chunks.)
pub const STATEMENT: usize = 64 << 20;

/// Longest control message from a server (error, notice, parameter status, row description) that is held, in bytes.
pub const SERVER_CONTROL_MESSAGE: usize = 16 << 20;

/// Size of the buffers that bytes pass through, in bytes.
pub const RELAY_BUFFER: usize = 32 << 10;

/// Expected answers on one server connection before the client isn't read any further.
pub const PIPELINE_DEPTH: usize = 10_000;

/// How many relay buffers a worker keeps for reuse.
pub const SPARE_BUFFERS: usize = 256;

/// What a link to a server may have grown to and be kept for the next one: bytes to send, and expected answers.
pub const SPARE_OUT: usize = 4 << 10;
pub const SPARE_QUEUE: usize = 64;

/// Statement texts whose plan a worker remembers.
pub const PLAN_CACHE: usize = 4_096;

/// Bytes of one statement's text that the plan cache will hold.
pub const PLAN_CACHE_TEXT: usize = 16 << 10;

/// Texts that a worker knows by their looks, in sets of [`OUTLINES_ALIKE`] that begin alike.
pub const OUTLINE_SETS: usize = 128;
pub const OUTLINES_ALIKE: usize = 4;

/// Bytes of the longest of them.
pub const OUTLINE_TEXT: usize = 1 << 10;

/// Bytes of rows that go along to all shards of a larger table together, by the servers' estimates; of more, keys go along.
pub const BROADCAST_BYTES: usize = 1 << 20;

/// Prepared statements that one client may hold; PostgreSQL has no limit, memory has.
pub const SESSION_STATEMENTS: usize = 50_000;

/// Prepared statements kept on one server connection; the least recently used is closed beyond it.
pub const SERVER_STATEMENTS: usize = 1_000;

/// Statements that a client of a sharded database may prepare by SQL.
pub const SQL_PREPARED: usize = 1_000;

/// Session settings that one client may hold.
pub const SESSION_SETTINGS: usize = 1_000;

/// Shards of one database.
pub const SHARDS: usize = 1_000;

/// How deep a parser may nest before it gives up on a statement.
pub const PARSER_DEPTH: usize = 50;

/// How deep the functions of the SQL parser may call each other; a level of parentheses takes two to four.
pub const SQL_NESTING: usize = 64;

/// How tall an expression's tree, or a chain of joins or set operations, may grow (a chain of operators leans to the
/// left, a level each): what walks a tree or drops it goes as deep.
pub const SQL_HEIGHT: usize = 250;

/// Tokens of one query string that are analysed; a longer one counts as not understood.
pub const PLAN_TOKENS: usize = 2 << 20;

/// Views, policies and the like that one statement's analysis will open.
pub const PLAN_DEFINITIONS: usize = 1_000;

/// A connection that comes free goes to one who waits on its own worker before one on another who came this much earlier at
/// most: to move it costs more system calls than a small query.
pub const NEAR_FIRST: Duration = Duration::from_millis(5);
/// So many of those who wait are looked at for one who is near.
pub const NEAR_LOOKS: usize = 64;

/// Time that a cancel request may take to reach a server.
pub const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Values that one label of a metric may take (SQLSTATEs, reasons); the rest is counted as `other`.
pub const METRIC_LABELS: usize = 200;

/// Sets of labels (database, user, server) that pools are counted by; further users are counted as `other`.
pub const METRIC_POOLS: usize = 2_000;

/// Longest message that the console takes, in bytes.
pub const CONSOLE_MESSAGE: usize = 64 << 10;

/// Prepared statements, and portals, that a console session may hold.
pub const CONSOLE_STATEMENTS: usize = 100;

/// HTTP connections served at once; further ones wait to be accepted.
pub const HTTP_CONNECTIONS: usize = 64;

/// Bytes of one HTTP request.
pub const HTTP_REQUEST: usize = 16 << 10;

/// Time for one HTTP connection, which carries one request, from accept to the last byte.
pub const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// A TCP connection is quiet this long before the kernel asks whether the peer lives.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Between two such questions.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Addresses of one name that are tried.
pub const ADDRESSES: usize = 16;

/// Connections that the kernel holds until a listener takes them.
pub const LISTEN_BACKLOG: i32 = 4_096;

/// Iterations of PBKDF2 that a peer may ask of us (PostgreSQL's default is 4,096).
pub const SCRAM_ITERATIONS: u32 = 1_000_000;

/// Verifiers derived from plain passwords that are kept.
pub const VERIFIER_CACHE: usize = 10_000;

/// Different sets of start-up parameters whose reported values are remembered, a database.
pub const STARTUP_TEMPLATES: usize = 1_000;

/// Time for the last words to a client that is being disconnected.
pub const FAREWELL: Duration = Duration::from_secs(5);

/// Time for making a server connection clean that a client left; it is closed after that.
pub const CLEANING: Duration = Duration::from_secs(10);

/// The largest process id that an operating system gives (Linux, `PID_MAX_LIMIT`): those told to clients are above it, so
/// that none is taken for a server's.
pub const PROCESS_ID: i32 = 1 << 22;

/// Bytes of a cancel key with protocol 3.2 (PostgreSQL's own length).
pub const CANCEL_KEY: usize = 32;

/// Answers of `auth.query` that are remembered.
pub const AUTH_QUERY_CACHE: usize = 10_000;

/// Time that a replica has for an answer about itself, at least; a later one finds it out of use.
pub const REPLICA_ANSWER: Duration = Duration::from_secs(2);

/// Time after which a server gives up on a question about itself whose asker is gone.
pub const CONTROL_STATEMENT: Duration = Duration::from_secs(30);

/// Time for one query of those that read a database's catalog.
pub const CATALOG_STATEMENT: Duration = Duration::from_secs(120);

/// Names that may be settings of a client's own, that one probe asks for.
pub const PROBED_NAMES: usize = 50;

/// Longest such name, in bytes.
pub const SETTING_NAME: usize = 128;

/// Longest single message (a row, say) that a sharded database's answer may have where it is looked into, in bytes.
pub const SHARD_MESSAGE: usize = 256 << 20;

/// Bytes of a shard's answer to a question of the coordinator's own.
pub const GATHER_BYTES: usize = 256 << 20;

/// Bytes of keys that go along to a shard, so that rows without them stay there.
pub const SEMI_JOIN_BYTES: usize = 4 << 20;

/// Keys go along where what they might save is more than so many times what they are.
pub const SEMI_JOIN_PAYS: f64 = 4.0;

/// What servers estimate of a statement's inputs is asked again after so many executions, or so long.
pub const SIZES_KEPT: u32 = 32;
pub const SIZES_KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(60);

/// Values of one statement that are evaluated in one SELECT: a target list has at most 1,664 entries.
pub const DRAWN_COLUMNS: usize = 1_000;

/// Rows of a COPY that values are drawn for at a time.
pub const COPY_DRAWN: usize = 10_000;

/// Longest row of a COPY that is dealt out to shards, in bytes.
pub const COPY_ROW: usize = 256 << 20;

/// Bytes that tell, for one COPY, which lines of the client's the shards' lines are: enough for all rows that servers
/// may not have looked at yet.
pub const COPY_JOURNAL: usize = 8 << 20;

/// Bytes of rows that one shard is asked for at a time, for a portal or cursor that is read bit by bit.
pub const FLOW_BYTES: usize = 256 << 10;

/// Rows of them.
pub const FLOW_ROWS: usize = 1_000;

/// Bytes of a query's rows that one INSERT takes to the shards, where `INSERT … SELECT` is carried out in parts.
pub const FEED_BYTES: usize = 1 << 20;

/// Rows of them.
pub const FEED_ROWS: usize = 5_000;

/// Bytes of gathered rows that one COPY takes to a temporary table.
pub const SPOOL_BYTES: usize = 1 << 20;

/// Statements of one client that are kept prepared on one shard's session; beyond it another makes room.
pub const SHARD_STATEMENTS: usize = 500;

/// Decision rows of finished transactions over shards that wait to be removed, a shard.
pub const FINISHED_COMMITS: usize = 100_000;

/// A statement of a transaction over several shards that has waited for so long may be in a deadlock that no server sees.
pub const LOCK_WAIT: Duration = Duration::from_millis(300);

/// A prepared transaction of another proxy's is left to its owner for so long.
pub const PREPARED_AGE: Duration = Duration::from_secs(5);

/// Time for finding out how a transaction over shards ended whose shard didn't say; beyond it the client is told so.
pub const RESOLUTION: Duration = Duration::from_secs(60);

/// A transaction that holds up a recovery for so long is taken for hung, and its server process ended.
pub const HUNG_COMMIT: Duration = Duration::from_secs(20);

/// Statements of one worker that hold the gates of shards at once; so many sessions of the service user a shard.
pub const GATE_SESSIONS: usize = 4;

/// A gate's session is closed when it hasn't been needed for so long.
pub const GATE_IDLE: Duration = Duration::from_secs(60);

/// A server lets go of a gate that its holder has forgotten after so long.
pub const GATE_HOLD: Duration = Duration::from_secs(10);

/// A reader lets go of all gates when it has waited for one for so long, so that writers aren't held up; twice as long
/// each time.
pub const GATE_PATIENCE: Duration = Duration::from_millis(250);

/// The longest of these waits.
pub const GATE_PATIENCE_MOST: Duration = Duration::from_secs(4);

/// Time for a statement to wait for the gates of its shards in all.
pub const GATE_WAIT: Duration = Duration::from_secs(60);

/// Time for a statement to wait until the definitions of all shards were looked at once more, before it is refused for
/// them.
pub const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// Clients that a worker gets before the next worker gets any.
pub const WORKER_FEW: usize = 16;

/// Notices of shards that are held before they are passed on: those that several say alike are told once.
pub const NEWS: usize = 256;

/// Bytes of one sub-query's values that are written into a statement that is run with them.
pub const PRIOR_VALUE: usize = 16 << 20;
