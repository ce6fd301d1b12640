//! `pgbraid demo`: PostgreSQL servers with a sample shop, and the proxy in front of them, in one command.

pub mod shop;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::cluster::{Binaries, Cluster, ClusterOptions, random_hex, write_private};
use super::failure::Failure;
use super::progress::Progress;
use super::{args, process};
use crate::{config, server};

/// Where the proxy listens unless told.
const LISTEN: (&str, u16) = ("127.0.0.1", 6432);

/// Where /metrics is unless told.
const HTTP: (&str, u16) = ("127.0.0.1", 9187);

/// How many ports are tried from the usual one on.
const PORTS: u16 = 100;

/// How long the proxy may take until it lets a client in.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo until SIGINT or SIGTERM, or until the statement of `--exec` is done.
///
/// # Errors
/// A server doesn't start, a port is taken, a directory can't be written.
pub async fn run(args: args::Demo) -> Result<ExitCode, Failure> {
    let mut ending = process::Ending::new()?;
    // Whichever future is dropped takes the servers that it started with it.
    tokio::select! {
        () = ending.asked() => Ok(ExitCode::SUCCESS),
        done = demo(&args) => done,
    }
}

async fn demo(args: &args::Demo) -> Result<ExitCode, Failure> {
    let mut progress = Progress::new();
    let listen = address("listen", args.listen.as_deref(), LISTEN)?;
    let http = address("http", args.http.as_deref(), HTTP)?;
    let (shards, replicas) = (usize::from(args.shards), usize::from(args.replicas));
    progress.say(&format!("Starting PostgreSQL: {} …", parts(shards, replicas)));
    let clusters = start(args, shards, replicas).await?;
    let service_password = random_hex()?;
    let told = |share| progress.bar("Loading the sample shop", share);
    match clusters.as_slice() {
        [cluster] => shop::load(cluster, &service_password, told).await?,
        _ => shop::load_sharded(&clusters, &service_password, told).await?,
    }
    progress.end();
    for cluster in &clusters {
        cluster.wait_for_catchup().await?;
    }

    let dir = args.dir.as_deref().or_else(|| clusters.first().map(Cluster::dir)).unwrap_or(Path::new(""));
    let file = std::fs::canonicalize(dir).map_err(|e| Failure::of(dir.display(), e))?.join("pgbraid.toml");
    write_private(&file, &configuration(&listen, &http, &service_password, &clusters))?;
    let config = super::load(&file)?;
    process::log_to_stderr(&config::Log { level: config::LogLevel::Warn, ..config.log.clone() });
    // Declared after the servers, so that it is gone before them.
    let _proxy = server::start(config).await.map_err(|e| super::refused(&e))?;
    let_in(&listen).await?;
    match &args.exec {
        Some(sql) => exec(&listen, sql).await,
        None => {
            println!("{}", welcome(&listen, &http, &file, &clusters));
            std::future::pending().await
        }
    }
}

/// What is started, in words.
fn parts(shards: usize, replicas: usize) -> String {
    let many = |count: usize| if count == 1 { "" } else { "s" };
    let each = format!("a primary and {replicas} streaming replica{}", many(replicas));
    if shards == 1 { each } else { format!("{shards} shards, each {each}") }
}

/// Whether the folder that was named fits the number of shards.
fn check_folder(args: &args::Demo) -> Result<(), Failure> {
    let Some(dir) = &args.dir else { return Ok(()) };
    let (held, wanted) = if args.shards > 1 { ("primary", "one shard") } else { ("s1", "several shards") };
    if !dir.join(held).exists() {
        return Ok(());
    }
    let failure = Failure::new(format!("{} holds a shop on {wanted}", dir.display()));
    Err(failure.hint("Say how many with --shards, or choose another folder."))
}

/// Starts all shards' servers at once; in the folder that was named, if one was, each shard in a folder of its own.
async fn start(args: &args::Demo, shards: usize, replicas: usize) -> Result<Vec<Cluster>, Failure> {
    check_folder(args)?;
    let names = shop::shard_names(shards);
    let dir = |name: &String| args.dir.as_ref().map(|dir| if shards == 1 { dir.clone() } else { dir.join(name) });
    let starts = names.iter().map(|name| {
        let fsync = args.dir.is_some();
        let settings = vec![("max_prepared_transactions".to_owned(), "100".to_owned())];
        Cluster::start(ClusterOptions { replicas, dir: dir(name), fsync, settings, ..Default::default() })
    });
    futures_util::future::try_join_all(starts).await
}

/// The address to listen on: the one asked for, or the usual one with the next port that is free.
fn address(option: &str, asked: Option<&str>, usual: (&str, u16)) -> Result<String, Failure> {
    if let Some(asked) = asked {
        let bound = TcpListener::bind(asked).and_then(|listener| listener.local_addr());
        return match (bound, asked.strip_suffix(":0")) {
            // Port 0: one that is free.
            (Ok(found), Some(host)) => Ok(format!("{host}:{}", found.port())),
            (Ok(_), None) => Ok(asked.to_owned()),
            (Err(e), _) => Err(Failure::of(format_args!("--{option} {asked}"), e).hint("Choose another port.")),
        };
    }
    let (host, first) = usual;
    (first..first + PORTS)
        .find(|port| TcpListener::bind((host, *port)).is_ok())
        .map(|port| format!("{host}:{port}"))
        .ok_or_else(|| {
            Failure::new(format!("all ports from {first} to {} are taken", first + PORTS - 1))
                .hint(format!("Choose another with --{option} HOST:PORT."))
        })
}

/// The proxy's configuration, as a person would write it.
fn configuration(listen: &str, http: &str, service_password: &str, clusters: &[Cluster]) -> String {
    let names = shop::shard_names(clusters.len());
    let shards: Vec<String> = names
        .iter()
        .zip(clusters)
        .map(|(name, cluster)| format!("shards.{name} = {}\n", cluster.urls_toml(shop::DATABASE)))
        .collect();
    let sharding = match clusters {
        [_] => String::new(),
        _ => format!("home = \"s1\"\n\n[databases.{}.tables]\n{}", shop::DATABASE, shop::TABLES),
    };
    format!(
        "# Written by `pgbraid demo`.\n\
         [server]\n\
         listen = {listen:?}\n\
         http = {http:?}\n\
         admin_users = [{app:?}]\n\n\
         [users.{app}]\n\
         password = {password:?}\n\n\
         [users.{service}]\n\
         password = {service_password:?}\n\n\
         [databases.{database}]\n\
         service_user = {service:?}\n\
         {shards}{sharding}",
        app = shop::APP_USER,
        password = shop::APP_PASSWORD,
        service = shop::SERVICE_USER,
        database = shop::DATABASE,
        shards = shards.concat(),
    )
}

/// What a person needs to know now.
fn welcome(listen: &str, http: &str, file: &Path, clusters: &[Cluster]) -> String {
    let (host, port) = connectable(listen);
    let servers = |cluster: &Cluster| {
        let servers: Vec<_> =
            (0..cluster.size()).map(|i| format!("{} {}", cluster.name(i), cluster.address(i))).collect();
        servers.join(", ")
    };
    let servers: Vec<String> = match clusters {
        [cluster] => vec![servers(cluster)],
        _ => {
            let names = shop::shard_names(clusters.len());
            names.iter().zip(clusters).map(|(name, cluster)| format!("{name}: {}", servers(cluster))).collect()
        }
    };
    format!(
        "\nThe shop is open, with {orders} orders:\n\n    psql \"postgres://{user}:{password}@{host}:{port}/{database}\"\n\n\
         Servers: {servers}\nFigures: http://{http}/metrics\nConfig:  {file}\nCtrl-C stops everything.",
        orders = shop::ORDERS,
        user = shop::APP_USER,
        password = shop::APP_PASSWORD,
        database = shop::DATABASE,
        servers = servers.join("; "),
        file = file.display(),
    )
}

/// Host and port under which a listener is reached from this machine.
fn connectable(listen: &str) -> (&str, &str) {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]" | "*", port)) => ("127.0.0.1", port),
        Some((host, port)) => (host, port),
        None => (listen, "5432"),
    }
}

/// Waits until the proxy lets a client in.
async fn let_in(listen: &str) -> Result<(), Failure> {
    let (host, port) = connectable(listen);
    let mut login = tokio_postgres::Config::new();
    login.host(host.trim_matches(['[', ']'])).port(port.parse().unwrap_or_default());
    login.user(shop::APP_USER).password(shop::APP_PASSWORD).dbname(shop::DATABASE);
    let begin = Instant::now();
    loop {
        let error = match login.connect(tokio_postgres::NoTls).await {
            Ok((client, connection)) => {
                let connection = tokio::spawn(connection);
                let answer = client.simple_query("SELECT 1").await;
                connection.abort();
                match answer {
                    Ok(_) => return Ok(()),
                    Err(e) => e,
                }
            }
            Err(e) => e,
        };
        if begin.elapsed() > PATIENCE {
            return Err(Failure::of("the proxy doesn't let clients in", super::cluster::text(&error)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs one statement through the proxy with psql, which prints rows and errors as people know them.
async fn exec(listen: &str, sql: &str) -> Result<ExitCode, Failure> {
    let (host, port) = connectable(listen);
    let mut psql = Command::new(Binaries::find()?.program("psql"));
    psql.args(["-X", "--no-password", "-P", "pager=off", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    psql.arg(format!("host={} port={port}", host.trim_matches(['[', ']'])));
    psql.env("PGUSER", shop::APP_USER).env("PGPASSWORD", shop::APP_PASSWORD).env("PGDATABASE", shop::DATABASE);
    psql.env("PGAPPNAME", "pgbraid demo").stdin(Stdio::null());
    let mut psql = Running(psql.spawn().map_err(|e| Failure::of("psql", e))?);
    loop {
        match psql.0.try_wait().map_err(|e| Failure::of("psql", e))? {
            Some(status) => return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A child that doesn't outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_unless_it_was_asked_for() -> Result<(), Box<dyn std::error::Error>> {
        let taken = TcpListener::bind(("127.0.0.1", 0))?;
        let port = taken.local_addr()?.port();
        let asked = taken.local_addr()?.to_string();
        assert!(address("listen", Some(&asked), LISTEN).is_err());
        let free = address("listen", Some("127.0.0.1:0"), LISTEN)?;
        assert!(free.starts_with("127.0.0.1:") && !free.ends_with(":0"), "{free}");
        if port < u16::MAX - PORTS {
            let next = address("listen", None, ("127.0.0.1", port))?;
            assert_ne!(next, asked);
        }
        Ok(())
    }

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        assert_eq!(connectable("0.0.0.0:6432"), ("127.0.0.1", "6432"));
        assert_eq!(connectable("[::1]:6432"), ("[::1]", "6432"));
        assert_eq!(connectable("localhost:1"), ("localhost", "1"));
    }
}
