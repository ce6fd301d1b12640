//! Plays a script twice: against PostgreSQL, and through a proxy with a single server connection that a second client
//! dirties between each two steps. What the client hears must be the same.

use std::sync::OnceLock;

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};

use crate::support::build;
use crate::support::proxy::Inside;
use crate::support::raw::{Frame, Raw, Target};

/// One thing that happens in a script.
#[derive(Clone)]
pub enum Step {
    /// The client says this; as many ReadyForQuery end the answer.
    Say(Vec<u8>, usize),
    /// The client says this; a frame of this kind ends the answer.
    Until(Vec<u8>, u8),
    /// From here on the client keeps its server connection: nobody else can use it.
    Pinned,
    /// From here on it doesn't.
    Shared,
    /// The client vanishes and comes back as a new one.
    Again,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Say(bytes, _) | Self::Until(bytes, _) => write!(f, "{}", bytes.escape_ascii()),
            Self::Pinned => f.write_str("Pinned"),
            Self::Shared => f.write_str("Shared"),
            Self::Again => f.write_str("Again"),
        }
    }
}

/// A conversation.
#[derive(Debug)]
pub struct Script {
    pub name: &'static str,
    /// Start-up parameters.
    pub startup: &'static [(&'static str, &'static str)],
    pub steps: Vec<Step>,
}

pub fn script(name: &'static str, steps: impl IntoIterator<Item = Step>) -> Script {
    Script { name, startup: &[], steps: steps.into_iter().collect() }
}

/// A simple query.
pub fn q(sql: &str) -> Step {
    Step::Say(build::query(sql), 1)
}

/// Parse, Bind, Describe, Execute, Sync with the unnamed statement.
pub fn x(sql: &str, values: &[&str]) -> Step {
    let values: Vec<_> = values.iter().map(|value| Some(*value)).collect();
    Step::Say(build::extended(sql, &values), 1)
}

/// Messages, the last of which is a Sync.
pub fn say<const N: usize>(messages: [Vec<u8>; N]) -> Step {
    let syncs = messages.iter().filter(|message| message.first() == Some(&b'S')).count();
    Step::Say(messages.concat(), syncs)
}

/// The servers that these tests share, and the users they need.
pub struct World {
    pub cluster: Cluster,
}

const USERS: &str = "CREATE ROLE tester SUPERUSER LOGIN PASSWORD 'tester'; \
    CREATE ROLE plain LOGIN PASSWORD 'plain'; CREATE ROLE worker; CREATE ROLE other; GRANT worker, other TO plain; \
    GRANT ALL ON SCHEMA public TO plain; \
    CREATE SCHEMA dirt; CREATE TABLE dirt.things (id int, word text); INSERT INTO dirt.things VALUES (1, 'dirt'); \
    GRANT ALL ON SCHEMA dirt TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA dirt TO PUBLIC; \
    CREATE TABLE things (id int PRIMARY KEY, word text); INSERT INTO things SELECT i, 'word ' || i FROM generate_series(1, 100) i; \
    GRANT ALL ON things TO PUBLIC";

pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
                cluster.execute(PRIMARY, "postgres", "CREATE DATABASE turns").await.unwrap();
                cluster.execute(PRIMARY, "turns", USERS).await.unwrap();
                World { cluster }
            })
        });
        thread.join().expect("the server starts")
    })
}

impl World {
    /// The server itself.
    pub fn direct(&self, user: &str) -> Target {
        Target::new(self.cluster.address(PRIMARY), user, user, "turns")
    }

    /// A proxy's configuration in front of it, with these lines for the database.
    pub fn configuration(&self, lines: &str) -> String {
        format!(
            "[users.tester]\npassword = \"tester\"\n[users.plain]\npassword = \"plain\"\n\
             [databases.turns]\nshards.s1 = {}\n{lines}\n",
            self.cluster.urls_toml("turns")
        )
    }

    pub async fn execute(&self, sql: &str) {
        self.cluster.execute(PRIMARY, "turns", sql).await.unwrap();
    }
}

/// What the second client does to the connection, one after the other. Its answers are compared too: it must find
/// nothing of the first client's.
fn dirt() -> Vec<Step> {
    let look = "SELECT current_setting('TimeZone'), current_setting('work_mem'), current_setting('search_path'), \
                nullif(current_setting('turns.x', true), ''), current_user, session_user, current_setting('application_name'), \
                current_setting('client_encoding'), current_setting('DateStyle'), \
                (SELECT count(*) FROM pg_listening_channels()), \
                (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), \
                (SELECT count(*) FROM pg_cursors WHERE is_holdable), \
                (SELECT count(*) FROM pg_prepared_statements WHERE from_sql), \
                current_setting('transaction_read_only'), current_setting('statement_timeout')";
    vec![
        q(look),
        q("SET timezone = 'Asia/Tokyo'; SET work_mem = '3MB'; SET search_path = dirt, public; SET turns.x = 'dirt'"),
        q(look),
        say([
            build::parse("", "SELECT 'unnamed dirt', $1", &[25]),
            build::parse("s", "SELECT 'named dirt', $1::int", &[]),
            build::parse("t", "SELECT word FROM things", &[]),
            build::bind("", "t", &[]),
            build::execute("", 0),
            build::sync(),
        ]),
        q("SET ROLE worker"),
        q(look),
        q("SELECT 1/0"),
        x("SELECT $1 || ' of the other', current_user", &["word"]),
        q("SET client_encoding = latin1; SET datestyle = 'German, DMY'; SET application_name = 'dirt'"),
        q(look),
        say([build::bind("", "s", &[Some("1")]), build::execute("", 0), build::sync()]),
        q("BEGIN; SET LOCAL statement_timeout = '1h'; SAVEPOINT a; SET work_mem = '5MB'; ROLLBACK TO a; COMMIT"),
        q(look),
        q("RESET ALL; RESET ROLE"),
        q(look),
        say([build::close(b'S', "s"), build::close(b'S', "t"), build::sync()]),
        q("DISCARD ALL"),
    ]
}

/// What was heard, step by step.
type Heard = Vec<(String, Vec<Frame>)>;

/// One server connection for both clients.
pub const SHARED: &str = "pool_size = 1\npool_wait = \"10s\"";

/// Plays a script at both ends and compares.
pub async fn compare(user: &str, script: &Script, configuration: &str) {
    let world = world();
    let direct = play(&world.direct(user), script, Some(0)).await;
    let proxy = Inside::start(&world.configuration(configuration)).await;
    let through = Target::new(proxy.address.clone(), user, user, "turns");
    // Alone first: a difference is easier to read. Then with the dirt, beginning at each of several places.
    for offset in [None, Some(0), Some(4), Some(11)] {
        let direct = match offset {
            Some(0) => direct.clone(),
            _ => play(&world.direct(user), script, offset).await,
        };
        let proxied = play(&through, script, offset).await;
        for ((what, direct), (_, proxied)) in direct.iter().zip(&proxied) {
            assert_eq!(
                direct, proxied,
                "script {:?}, dirt from {offset:?}, at {what}: PostgreSQL on the left, the proxy on the right",
                script.name
            );
        }
        assert_eq!(direct.len(), proxied.len());
    }
}

async fn play(target: &Target, script: &Script, dirt_from: Option<usize>) -> Heard {
    let mut heard = Heard::new();
    let mut client = come_in(target, script, &mut heard).await;
    let mut other = match dirt_from {
        Some(_) => Some(Raw::login(target).await),
        None => None,
    };
    let dirt = dirt();
    let mut next = dirt_from.unwrap_or(0);
    let (mut shared, mut status) = (true, b'I');
    for (at, step) in script.steps.iter().enumerate() {
        if let Some(other) = &mut other
            && shared
            && status == b'I'
            && matches!(step, Step::Say(..) | Step::Until(..))
        {
            let Step::Say(bytes, ready) = &dirt[next % dirt.len()] else { continue };
            let what = format!("the other's step {} before step {at} {step:?}", next % dirt.len());
            other.send(bytes).await.expect(&what);
            let frames =
                other.until_ready(*ready).await.unwrap_or_else(|error| panic!("{}: {what}: {error}", script.name));
            heard.push((what, frames.into_iter().map(normal).collect()));
            next += 1;
        }
        let what = format!("step {at} {step:?}");
        let frames = match step {
            Step::Say(bytes, ready) => {
                client.send(bytes).await.expect(&what);
                client.until_ready(*ready).await
            }
            Step::Until(bytes, kind) => {
                client.send(bytes).await.expect(&what);
                until(&mut client, *kind).await
            }
            Step::Pinned => {
                shared = false;
                continue;
            }
            Step::Shared => {
                shared = true;
                continue;
            }
            Step::Again => {
                drop(client);
                client = come_in(target, script, &mut heard).await;
                status = b'I';
                continue;
            }
        };
        let frames = frames.unwrap_or_else(|error| panic!("{}: {what}: {error}", script.name));
        let ended = matches!(step, Step::Until(..)) || frames.last().is_some_and(|frame| frame.kind == b'Z');
        assert!(ended, "{}, dirt from {dirt_from:?}, {what}: the session ended with {frames:?}", script.name);
        status = frames.iter().rev().find(|frame| frame.kind == b'Z').map_or(b'?', |frame| frame.body[0]);
        heard.push((what, frames.into_iter().map(normal).collect()));
    }
    let parameters = format!("{:?}", client.parameters).into_bytes();
    heard.push(("parameters at the end".to_owned(), vec![Frame { kind: b'S', body: parameters }]));
    heard
}

async fn until(raw: &mut Raw, kind: u8) -> std::io::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    loop {
        let frame = raw.expect().await?;
        let last = frame.kind == kind;
        frames.push(frame);
        if last {
            return Ok(frames);
        }
    }
}

async fn come_in(target: &Target, script: &Script, heard: &mut Heard) -> Raw {
    let (raw, mut frames) = Raw::login_with(target, script.startup).await.expect("login");
    // Servers report in an order of their own.
    let reports = frames.split_mut(|frame| frame.kind != b'S').max_by_key(|run| run.len()).unwrap();
    reports.sort_by(|a, b| a.body.cmp(&b.body));
    heard.push(("login".to_owned(), frames.into_iter().map(normal).collect()));
    raw
}

/// Makes equal what can't be: process ids, the OIDs of tables, where in PostgreSQL's source an error was raised, and the
/// hint that the proxy adds to a changed result type.
///
/// One more difference remains, and the scripts look past it: PostgreSQL never forgets the name of a setting like `a.b`.
/// Where another client has used it on this connection, `current_setting('a.b', true)` is empty, not NULL.
fn normal(mut frame: Frame) -> Frame {
    match frame.kind {
        b'K' => frame.body.clear(),
        b'A' => frame.body[..4].fill(0),
        b'E' => {
            let mut body = Vec::new();
            for field in frame.body.split_inclusive(|byte| *byte == 0) {
                if !matches!(field.first(), Some(b'F' | b'L' | b'R')) && !field.ends_with(b"prepare it again.\0") {
                    body.extend_from_slice(field);
                }
            }
            frame.body = body;
        }
        b'T' => {
            let mut at = 2;
            while let Some(name) = frame.body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
                at += name + 1;
                frame.body[at..at + 4].fill(0);
                at += 18;
            }
        }
        _ => {}
    }
    frame
}
