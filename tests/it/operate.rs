//! Operating a proxy: figures, health, the console's tables and commands, reload, drain, signals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::proxy::{Inside, Proxy};
use crate::support::raw::{PATIENCE, Raw};
use crate::support::servers::shop;

type Row = BTreeMap<String, String>;

/// The rows of a statement, by the names of columns.
async fn rows(client: &Client, sql: &str) -> Vec<Row> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(
            row.columns()
                .iter()
                .enumerate()
                .map(|(at, column)| (column.name().to_owned(), row.get(at).unwrap_or_default().to_owned()))
                .collect(),
        ),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// The first value of a statement.
async fn value(client: &Client, sql: &str) -> String {
    rows(client, sql).await.into_iter().next().and_then(|row| row.into_values().next()).unwrap_or_default()
}

/// Looks again and again until something is so.
async fn until<F: Future<Output = bool>>(what: &str, look: impl Fn() -> F) {
    let begin = Instant::now();
    while !look().await {
        assert!(begin.elapsed() < PATIENCE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn sqlstate(error: &tokio_postgres::Error) -> String {
    error.code().map(|code| code.code().to_owned()).unwrap_or_default()
}

/// `[server]` with `app` as an administrator, and the rest.
fn administered(rest: &str) -> String {
    format!(
        "[server]\nlisten = \"{{listen}}\"\nhttp = \"{{http}}\"\nadmin_users = \"app\"\nshutdown_timeout = \"60s\"\n\n{rest}"
    )
}

/// Servers of a test's own, without the shop: database `postgres` with the roles `app` and `pgbraid`.
async fn small_cluster(mark: &str) -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let sql = format!(
        "CREATE ROLE app LOGIN PASSWORD 'app'; CREATE ROLE pgbraid LOGIN PASSWORD 'service';\
         CREATE TABLE mark AS SELECT '{mark}' AS mark; GRANT SELECT ON mark TO app"
    );
    cluster.execute(PRIMARY, "postgres", &sql).await.unwrap();
    cluster
}

/// Its configuration, with lines in `[databases.shop]`.
fn small_configuration(cluster: &Cluster, lines: &str) -> String {
    administered(&format!(
        "[users.app]\npassword = \"app\"\n[users.pgbraid]\npassword = \"service\"\n\
         [databases.shop]\nservice_user = \"pgbraid\"\nhealth_interval = \"50ms\"\nshards.s1 = {}\n{lines}\n",
        cluster.urls_toml("postgres")
    ))
}

async fn fetch(address: &str, path: &str) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).unwrap_or_default().to_owned(), body.to_owned())
}

#[tokio::test]
async fn figures_grow_and_health_follows_the_primary() {
    let mut cluster = small_cluster("one").await;
    let proxy = Inside::start(&small_configuration(&cluster, "")).await;
    let http = proxy.running.as_ref().unwrap().http().unwrap().to_string();
    assert_eq!(fetch(&http, "/healthz").await.0, "200");
    until("ready", || async { fetch(&http, "/readyz").await.0 == "200" }).await;

    let client = proxy.target("app", "app", "shop").connect().await.unwrap();
    let queries = async || {
        let (_, page) = fetch(&http, "/metrics").await;
        let line = page.lines().find(|line| line.starts_with("pgbraid_queries_total{") && line.contains("\"app\""));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |number| number.parse::<u64>().unwrap())
    };
    let before = queries().await;
    for _ in 0..5 {
        assert_eq!(value(&client, "SELECT mark FROM mark").await, "one");
    }
    assert_eq!(queries().await, before + 5);

    cluster.stop(PRIMARY).await.unwrap();
    until("not ready", || async { fetch(&http, "/readyz").await.0 == "503" }).await;
    assert!(fetch(&http, "/readyz").await.1.contains("no primary"));
    cluster.restart(PRIMARY).await.unwrap();
    until("ready again", || async { fetch(&http, "/readyz").await.0 == "200" }).await;
}

#[tokio::test]
async fn the_console_shows_what_is_there() {
    let proxy = Inside::start(&administered(&shop().configuration("pool_size = 3"))).await;
    let client = proxy.target("app", "app", "shop").connect().await.unwrap();
    let console = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();

    let of_app = |rows: Vec<Row>| rows.into_iter().find(|row| row["user"] == "app").expect("a row of app");
    let pool = of_app(rows(&console, "SHOW POOLS").await);
    assert_eq!((pool["database"].as_str(), pool["cl_active"].as_str(), pool["sv_active"].as_str()), ("shop", "1", "1"));
    let shown = of_app(rows(&console, "SHOW CLIENTS").await);
    let server = rows(&console, "SHOW SERVERS").await.into_iter().find(|row| row["ptr"] == shown["link"]).unwrap();
    assert_eq!((server["state"].as_str(), &server["link"]), ("active", &shown["ptr"]));
    let of_backend = rows(&client, "SELECT pg_backend_pid(), inet_client_port(), inet_server_port()").await.remove(0);
    assert_eq!(server["remote_pid"], of_backend["pg_backend_pid"]);
    assert_eq!((&server["local_addr"][..], &server["port"]), ("127.0.0.1", &of_backend["inet_server_port"]));
    assert_eq!(server["local_port"], of_backend["inet_client_port"]);
    let listens = proxy.address.rsplit_once(':').unwrap().1;
    assert_eq!((&shown["local_addr"][..], &shown["local_port"][..]), ("127.0.0.1", listens));
    for row in [&server, &shown] {
        assert!(row["request_time"] >= row["connect_time"] && row["tls"].is_empty(), "{row:?}");
    }
    let once = client.prepare("SELECT 1, 2, 3").await.unwrap();
    client.query(&once, &[]).await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let given_back = || async {
        let pool = of_app(rows(&console, "SHOW POOLS").await);
        pool["sv_active"] == "0" && pool["sv_idle"] == "1"
    };
    until("the connection is given back", given_back).await;
    let server = of_app(rows(&console, "SHOW SERVERS").await);
    assert_eq!(server["prepared_statements"], "1");

    let databases = rows(&console, "SHOW DATABASES").await;
    assert_eq!(databases.len(), 2, "{databases:?}");
    assert!(databases.iter().all(|row| row["name"] == "shop" && row["pool_size"] == "3"));
    let stats = rows(&console, "SHOW STATS").await;
    let total: u64 = stats.iter().find(|row| row["database"] == "shop").unwrap()["total_query_count"].parse().unwrap();
    assert!(total >= 3, "{stats:?}");
    let config = rows(&console, "SHOW CONFIG").await;
    let size = config.iter().find(|row| row["key"] == "databases.shop.pool_size").unwrap();
    assert_eq!((size["value"].as_str(), size["changeable"].as_str()), ("3", "yes"));
    assert!(!config.iter().any(|row| row["key"].ends_with(".password") && row["value"] != "…"), "a secret is shown");
    assert!(value(&console, "SHOW VERSION").await.contains("pgbraid"));
    let users = rows(&console, "SHOW USERS").await;
    assert!(users.iter().any(|row| row["name"] == "app" && row["current_client_connections"] == "1"));
    until("both roles", || async {
        let roles: Vec<_> = rows(&console, "SHOW REPLICAS").await.iter().map(|row| row["role"].clone()).collect();
        roles == ["primary", "replica"]
    })
    .await;

    let stranger = proxy.target("pgbraid", &shop().service_password, "pgbraid").connect().await;
    assert_eq!(stranger.err().map(|error| sqlstate(&error)).as_deref(), Some("28000"));
    let error = console.simple_query("PAUSE nonsense").await.unwrap_err();
    assert_eq!(sqlstate(&error), "3D000");
    let error = console.simple_query("RELOAD").await.unwrap_err();
    assert_eq!(sqlstate(&error), "0A000", "there is no file");
}

#[tokio::test]
async fn pause_waits_and_holds_and_resume_lets_go() {
    let proxy = Inside::start(&administered(&shop().configuration(""))).await;
    let (busy, held) = (proxy.target("app", "app", "shop"), proxy.target("app", "app", "shop"));
    let (busy, held) = (busy.connect().await.unwrap(), held.connect().await.unwrap());
    let console = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
    let onlooker = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
    assert_eq!(sqlstate(&console.simple_query("RESUME").await.unwrap_err()), "55000");

    busy.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let pause = tokio::spawn(async move { console.simple_query("PAUSE shop").await.map(|_| console) });
    until("paused", || async { rows(&onlooker, "SHOW DATABASES").await[0]["paused"] == "1" }).await;
    let query = tokio::spawn(async move { value(&held, "SELECT 'late'").await });
    let waiting = || async { rows(&onlooker, "SHOW CLIENTS").await.iter().any(|row| row["state"] == "waiting") };
    until("the query waits", waiting).await;
    assert!(!pause.is_finished(), "a transaction still runs");
    assert_eq!(value(&busy, "SELECT 'in time'").await, "in time");
    busy.batch_execute("COMMIT").await.unwrap();
    let console = pause.await.unwrap().unwrap();
    assert!(!query.is_finished());
    let state = rows(&console, "SHOW STATE").await;
    assert!(state.iter().any(|row| row["key"] == "paused" && row["value"] == "yes"), "{state:?}");
    console.simple_query("RESUME").await.unwrap();
    assert_eq!(query.await.unwrap(), "late");
}

#[tokio::test]
async fn reconnect_and_kill() {
    let proxy = Inside::start(&administered(&shop().configuration(""))).await;
    let target = proxy.target("app", "app", "shop");
    let (client, idle) = (target.connect().await.unwrap(), target.connect().await.unwrap());
    let console = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
    // A connection that is in use when it is to be replaced isn't used again.
    client.batch_execute("BEGIN").await.unwrap();
    let before = value(&client, "SELECT pg_backend_pid()").await;
    console.simple_query("RECONNECT shop").await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    assert_ne!(value(&client, "BEGIN; SELECT pg_backend_pid()").await, before);

    let mut asleep = Raw::login(&target).await;
    asleep.send(&crate::support::build::query("SELECT pg_sleep(600)")).await.unwrap();
    console.simple_query("KILL shop").await.unwrap();
    let frames = asleep.until_closed().await.unwrap();
    assert_eq!(frames.last().map(|frame| frame.sqlstate()).as_deref(), Some("57P01"), "{frames:?}");
    for client in [&client, &idle] {
        until("the client is gone", || async { client.is_closed() }).await;
    }
    until("nobody is there", || async { rows(&console, "SHOW CLIENTS").await.is_empty() }).await;
    console.simple_query("RESUME shop").await.unwrap();
    assert_eq!(value(&target.connect().await.unwrap(), "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_reload_changes_limits_and_says_mistakes_and_drops_nobody() {
    let configuration = administered(&shop().configuration("pool_size = 1"));
    let mut proxy = Proxy::start(&configuration).await;
    let (first, second) = (proxy.shop().connect().await.unwrap(), proxy.shop().connect().await.unwrap());
    let console = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
    first.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let waits = tokio::spawn(async move { value(&second, "BEGIN; SELECT 'served'").await });
    let waiting = || async { rows(&console, "SHOW POOLS").await.iter().any(|row| row["cl_waiting"] == "1") };
    until("the second waits", waiting).await;
    proxy.reload(&configuration.replace("pool_size = 1", "pool_size = 2"));
    assert_eq!(waits.await.unwrap(), "served");
    first.batch_execute("COMMIT").await.unwrap();
    assert!(proxy.log().contains("databases.shop.pool_size was 1, is now 2"), "{}", proxy.log());

    // A mistake changes nothing, and is told with its place.
    let file = proxy.config_file();
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("pool_size = 2", "pool_size = -2")).unwrap();
    let error = console.simple_query("RELOAD").await.unwrap_err();
    assert_eq!(sqlstate(&error), "F0000");
    assert!(error.as_db_error().and_then(|error| error.detail()).is_some_and(|text| text.contains("pool_size")));
    proxy.signal("HUP");
    until("two mistakes in the log", || async { proxy.log().matches("nothing was changed").count() == 2 }).await;
    let size = async || {
        let config = rows(&console, "SHOW CONFIG").await;
        config.into_iter().find(|row| row["key"] == "databases.shop.pool_size").unwrap()["value"].clone()
    };
    assert_eq!(size().await, "2");

    // By the console; what needs a restart stays as it is.
    let better = good.replace("pool_size = 2", "pool_size = 5").replace("[server]", "[server]\nworkers = 7");
    std::fs::write(&file, better).unwrap();
    console.simple_query("RELOAD").await.unwrap();
    assert_eq!(size().await, "5");
    until("the log names the restart", || async { proxy.log().contains("needs a restart") }).await;
    let config = rows(&console, "SHOW CONFIG").await;
    assert_eq!(config.iter().find(|row| row["key"] == "server.workers").unwrap()["value"], "0");
    assert_eq!(value(&first, "SELECT 'still here'").await, "still here");
}

#[tokio::test]
async fn a_reload_changes_the_pool_mode_of_living_sessions() {
    let session = administered(&shop().configuration("pool_size = 1\npool_mode = \"session\""));
    let transaction = session.replace("pool_mode = \"session\"", "pool_mode = \"transaction\"");
    let mut proxy = Proxy::start(&session).await;
    let (first, second) = (proxy.shop().connect().await.unwrap(), proxy.shop().connect().await.unwrap());
    let console = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
    let waiting = || async { rows(&console, "SHOW POOLS").await.iter().any(|row| row["cl_waiting"] == "1") };
    let pinned = || async {
        rows(&console, "SHOW PINS").await.iter().any(|row| row["pin"].contains("session") && row["clients"] == "1")
    };
    first.batch_execute("SET work_mem = '7MB'").await.unwrap();
    first.batch_execute("DO $$BEGIN PERFORM set_config('app.hidden', 'kept', false); END$$").await.unwrap();
    let waits = tokio::spawn(async move { (value(&second, "SHOW work_mem").await, second) });
    until("the second waits", waiting).await;

    proxy.reload(&transaction);
    let look = "SELECT current_setting('work_mem') || current_setting('app.hidden', true)";
    let begin = Instant::now();
    while !waits.is_finished() {
        assert!(begin.elapsed() < PATIENCE, "the connection is never let go");
        assert_eq!(value(&first, look).await, "7MBkept");
    }
    let (work_mem, second) = waits.await.unwrap();
    assert_ne!(work_mem, "7MB");
    assert_eq!(value(&first, look).await, "7MBkept");
    assert!(!pinned().await);

    proxy.reload(&session);
    while !pinned().await {
        assert!(begin.elapsed() < PATIENCE, "the connection is never kept");
        assert_eq!(value(&first, look).await, "7MBkept");
    }
    let waits = tokio::spawn(async move { value(&second, "SELECT 'served'").await });
    until("the second waits", waiting).await;
    drop(first);
    assert_eq!(waits.await.unwrap(), "served");
}

#[tokio::test]
async fn a_reload_moves_sessions_to_other_servers() {
    let (old, new) = (small_cluster("old").await, small_cluster("new").await);
    let configuration = small_configuration(&old, "");
    let mut proxy = Proxy::start(&configuration).await;
    let target = proxy.target("app", "app", "shop");
    let client = target.connect().await.unwrap();
    let prepared = client.prepare("SELECT mark FROM mark").await.unwrap();
    assert_eq!(client.query_one(&prepared, &[]).await.unwrap().get::<_, String>(0), "old");
    let console = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
    // As in a planned switch: nothing that comes after the pause reaches the old servers.
    console.simple_query("PAUSE").await.unwrap();
    let busy = target.connect();
    let held = tokio::spawn(async move { client.query_one(&prepared, &[]).await.map(|row| row.get::<_, String>(0)) });
    until("it waits", || async { rows(&console, "SHOW CLIENTS").await.iter().any(|row| row["state"] == "waiting") })
        .await;
    proxy.reload(&small_configuration(&new, ""));
    until("the new server", || async {
        rows(&console, "SHOW DATABASES").await[0]["port"] == new.port(PRIMARY).to_string()
    })
    .await;
    assert!(!held.is_finished(), "the pause outlives the reload");
    console.simple_query("RESUME").await.unwrap();
    assert_eq!(held.await.unwrap().unwrap(), "new");
    let stays = busy.await.unwrap();
    assert_eq!(value(&stays, "SELECT mark FROM mark").await, "new");

    // Without the database its clients are ended, the others' aren't.
    proxy.reload(&configuration.replace("[databases.shop]", "[databases.other]"));
    until("the client is ended", || async { stays.is_closed() }).await;
    assert_eq!(sqlstate(&target.connect().await.err().unwrap()), "3D000");
    let other = proxy.target("app", "app", "other").connect().await.unwrap();
    assert_eq!(value(&other, "SELECT mark FROM mark").await, "old");
}

#[tokio::test]
async fn a_drain_lets_a_transaction_end_and_nobody_in() {
    let mut proxy = Proxy::start(&administered(&shop().configuration(""))).await;
    let (busy, idle) = (proxy.shop().connect().await.unwrap(), proxy.shop().connect().await.unwrap());
    assert_eq!(value(&idle, "SELECT 1").await, "1");
    busy.batch_execute("BEGIN; SELECT 1").await.unwrap();
    proxy.signal("TERM");
    until("the idle one is told", || async { idle.is_closed() }).await;
    until("nobody comes in", || async { proxy.shop().connect().await.is_err() }).await;
    assert!(proxy.page("/readyz").await.0.contains("503"));
    assert_eq!(value(&busy, "SELECT 'to the end'").await, "to the end");
    busy.batch_execute("COMMIT").await.unwrap();
    assert_eq!(proxy.ended().await, 0);
}

#[tokio::test]
async fn shutdown_by_the_console_ends_the_process() {
    for command in ["SHUTDOWN", "SHUTDOWN WAIT_FOR_SERVERS"] {
        let mut proxy = Proxy::start(&administered(&shop().configuration(""))).await;
        let client = proxy.shop().connect().await.unwrap();
        assert_eq!(value(&client, "SELECT 1").await, "1");
        let console = proxy.target("app", "app", "pgbraid").connect().await.unwrap();
        // At once may be before the answer is out.
        let _ = console.simple_query(command).await;
        assert_eq!(proxy.ended().await, 0, "{command}");
    }
}
