//! A proxy under test, in a process of its own: the binary that users run.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use pgbraid::cli::cluster::free_port;
use pgbraid::cli::demo::shop;

use super::raw::{PATIENCE, Raw, Target};

/// Ends the proxy when the test process ends, however that happens (the servers' supervisor does the same for them).
const SUPERVISOR: &str = include_str!("../../../src/cli/cluster/supervise.sh");

/// A running proxy. Dropped, it is ended.
#[derive(Debug)]
pub struct Proxy {
    /// `host:port` for clients.
    pub address: String,
    /// `host:port` of /metrics.
    pub http: String,
    /// The proxy's process.
    pub pid: u32,
    supervisor: Child,
    commands: Option<ChildStdin>,
    dir: tempfile::TempDir,
}

impl Proxy {
    /// Starts `pgbraid serve` and waits until it listens. `[server]` with free ports is put before the configuration,
    /// unless it has one; then `{listen}` and `{http}` in it stand for the addresses.
    pub async fn start(configuration: &str) -> Self {
        Self::start_with(configuration, None).await
    }

    /// The same; it dies by itself at a point of its work (`base::fault`).
    pub async fn start_to_die(configuration: &str, fault: &str) -> Self {
        Self::start_with(configuration, Some(fault)).await
    }

    async fn start_with(configuration: &str, fault: Option<&str>) -> Self {
        loop {
            match Self::start_on_free_ports(configuration, fault).await {
                Ok(proxy) => return proxy,
                // Free ports are those that connections to others take too.
                Err(why) => assert!(why.contains("Address already in use"), "the proxy ended at once: {why}"),
            }
        }
    }

    async fn start_on_free_ports(configuration: &str, fault: Option<&str>) -> Result<Self, String> {
        let port = free_port().unwrap();
        let other = std::iter::repeat_with(|| free_port().unwrap()).find(|other| *other != port).unwrap();
        let (address, http) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{other}"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pgbraid.toml");
        std::fs::write(&file, complete(configuration, &address, &http)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, "proxy-supervisor"]).arg(dir.path().join("log")).arg("");
        command.arg(env!("CARGO_BIN_EXE_pgbraid")).arg("serve").arg("--config").arg(&file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(fault) = fault {
            command.env("PGBRAID_FAULT", fault);
        }
        let mut supervisor = command.spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let pid = pid.trim().parse().unwrap();
        let commands = supervisor.stdin.take();
        let mut proxy = Self { address, http, pid, supervisor, commands, dir };
        let begin = Instant::now();
        while Raw::open(&proxy.address).await.is_err() {
            if let Some(status) = proxy.supervisor.try_wait().unwrap() {
                return Err(format!("{status:?}\n{}", proxy.log()));
            }
            assert!(begin.elapsed() < PATIENCE, "the proxy doesn't listen:\n{}", proxy.log());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(proxy)
    }

    /// The shop through this proxy, as the application's user.
    pub fn shop(&self) -> Target {
        self.target(shop::APP_USER, shop::APP_PASSWORD, shop::DATABASE)
    }

    /// Any user and database through this proxy.
    pub fn target(&self, user: &str, password: &str, database: &str) -> Target {
        Target::new(self.address.clone(), user, password, database)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("pgbraid.toml")
    }

    /// Writes another configuration and sends SIGHUP.
    pub fn reload(&mut self, configuration: &str) {
        std::fs::write(self.config_file(), complete(configuration, &self.address, &self.http)).unwrap();
        self.signal("HUP");
    }

    /// Sends a signal: `HUP`, `TERM`, `STOP`, …
    pub fn signal(&mut self, name: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{name}").unwrap();
    }

    /// Waits until the proxy has ended by itself; its exit code (128 + n after a signal n).
    pub async fn ended(&mut self) -> i32 {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.supervisor.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(begin.elapsed() < PATIENCE, "the proxy doesn't end:\n{}", self.log());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL, and waits.
    pub async fn kill_9(&mut self) {
        // It may have died by itself.
        let _ = writeln!(self.commands.as_mut().unwrap(), "KILL");
        self.ended().await;
    }

    /// One page of its HTTP server: status line and body.
    pub async fn page(&self, path: &str) -> (String, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&self.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.commands.as_mut().map(|commands| writeln!(commands, "KILL"));
        drop(self.commands.take());
        let _ = self.supervisor.wait();
        if std::thread::panicking() {
            eprintln!("the proxy's log:\n{}", self.log());
        }
    }
}

fn complete(configuration: &str, address: &str, http: &str) -> String {
    if configuration.contains("[server]") {
        configuration.replace("{listen}", address).replace("{http}", http)
    } else {
        format!("[server]\nlisten = \"{address}\"\nhttp = \"{http}\"\n\n{configuration}")
    }
}

/// A proxy inside the test's process: no log of its own, but its state can be looked at, and it starts at once.
pub struct Inside {
    /// `host:port` for clients.
    pub address: String,
    /// Taken by `drain`.
    pub running: Option<pgbraid::server::Running>,
}

impl Inside {
    /// Starts a proxy; a configuration as for [`Proxy::start`]. The ports are left to the system.
    pub async fn start(configuration: &str) -> Self {
        let text = complete(configuration, "127.0.0.1:0", "localhost:0");
        let config = pgbraid::config::parse(&text, "test.toml", &pgbraid::config::ProcessEnvironment);
        let config = config.unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"));
        let running = pgbraid::server::start(config).await.unwrap();
        Self { address: running.addresses()[0].to_string(), running: Some(running) }
    }

    /// Any user and database through this proxy.
    pub fn target(&self, user: &str, password: &str, database: &str) -> Target {
        Target::new(self.address.clone(), user, password, database)
    }

    /// As SIGTERM does.
    pub async fn drain(&mut self) {
        self.running.take().expect("not drained yet").drain().await;
    }
}
