//! One PostgreSQL server: its directory, its settings, its process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::binaries::Binaries;
use crate::cli::failure::Failure;

/// Keeps the server from outliving us: a shell that holds the other end of a pipe of ours. The alternative,
/// `PR_SET_PDEATHSIG`, follows the thread that started the server, which in tests ends long before the process.
const SUPERVISOR: &str = include_str!("supervise.sh");

/// How long a server may take to accept connections, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest directory in which a Unix socket still fits (`sockaddr_un` has 108 bytes).
const SOCKET_DIR: usize = 80;

/// One server, running or not.
#[derive(Debug)]
pub struct Node {
    pub(super) name: String,
    pub(super) port: u16,
    dir: PathBuf,
    binaries: Binaries,
    account: Account,
    /// Remove the directory when we die.
    scratch: bool,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    supervisor: Child,
    /// Dropped: the supervisor stops the server at once.
    commands: ChildStdin,
    pid: u32,
}

impl Node {
    pub(super) fn new(root: &Path, name: &str, binaries: &Binaries, account: Account, scratch: bool) -> Self {
        Self {
            name: name.to_owned(),
            port: 0,
            dir: root.join(name),
            binaries: binaries.clone(),
            account,
            scratch,
            running: None,
        }
    }

    /// PGDATA.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What the server says.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Where the server's Unix socket is; none if the path would be too long for one.
    pub(super) fn socket_dir(&self) -> Option<&Path> {
        (self.dir.as_os_str().len() <= SOCKET_DIR).then_some(self.dir.as_path())
    }

    /// The data directory has been made before.
    pub(super) fn exists(&self) -> bool {
        self.data().join("PG_VERSION").exists()
    }

    /// Makes the server's directory.
    pub(super) fn make_dir(&self) -> Result<(), Failure> {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::create_dir_all(&self.dir)
            .and_then(|()| std::fs::set_permissions(&self.dir, private))
            .map_err(|e| Failure::of(self.dir.display(), e))?;
        self.account.own(&self.dir)
    }

    /// Runs one of PostgreSQL's programs to its end as the servers' account. It ends early if we do.
    pub(super) async fn run(&self, program: &str, args: &[String], password: &str) -> Result<(), Failure> {
        let failed = |e| Failure::of(program, e);
        let mut command = self.supervised(program);
        command.args(args).env("PGPASSWORD", password).env("LC_ALL", "C").stdout(Stdio::null());
        let mut supervisor = command.spawn().map_err(failed)?;
        let commands = supervisor.stdin.take();
        let status = loop {
            match supervisor.try_wait().map_err(failed)? {
                Some(status) => break status,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        drop(commands);
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("{program} failed for {}:\n{}", self.dir.display(), self.log_tail()))
            .hint("The servers' account needs to reach the directory and to write in it; --dir chooses another."))
    }

    /// A supervisor for one of PostgreSQL's programs, in a process group of its own: Ctrl-C is for us, and we stop the
    /// servers in order.
    fn supervised(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(SUPERVISOR).arg("pgbraid-supervisor").arg(self.log());
        command.arg(if self.scratch { self.dir.as_os_str() } else { "".as_ref() });
        command.arg(self.binaries.program(program));
        self.account.apply(&mut command);
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Writes a file into PGDATA, readable by the servers' account alone.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.data().join(name);
        std::fs::write(&path, text).map_err(|e| Failure::of(path.display(), e))?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).map_err(|e| Failure::of(path.display(), e))?;
        self.account.own(&path)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Starts the server and waits until it accepts connections. A port of 0 stands for any that is free.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let any = self.port == 0;
            if any {
                self.port = free_port()?;
            }
            self.spawn()?;
            match self.until_ready().await {
                Ok(()) => return Ok(()),
                // Between our asking for a port and the server's taking it somebody else may have taken it.
                Err(_) if any && tries < 5 && self.log_tail().contains("could not bind") => {
                    self.port = 0;
                    tries += 1;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn spawn(&mut self) -> Result<(), Failure> {
        let mut command = self.supervised("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        let sockets = self.socket_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
        command.arg("-c").arg(format!("unix_socket_directories={sockets}"));
        let start = |e| Failure::of("could not start PostgreSQL", e);
        let mut supervisor = command.spawn().map_err(start)?;
        let mut line = String::new();
        if let Some(stdout) = supervisor.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(start)?;
        }
        match (line.trim().parse(), supervisor.stdin.take()) {
            (Ok(pid), Some(commands)) => {
                self.running = Some(Running { supervisor, commands, pid });
                Ok(())
            }
            _ => {
                let _ = supervisor.kill();
                let _ = supervisor.wait();
                Err(Failure::new("could not start PostgreSQL: its supervisor said nothing"))
            }
        }
    }

    /// Waits until `postmaster.pid` says `ready` (as `pg_ctl -w` does: the file's eighth line).
    async fn until_ready(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        let file = self.data().join("postmaster.pid");
        loop {
            let Some(running) = self.running.as_mut() else {
                return Err(Failure::new("the server isn't running"));
            };
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let mut lines = text.lines();
            let ours = lines.next().is_some_and(|pid| pid.trim() == running.pid.to_string());
            if ours && lines.nth(6).is_some_and(|status| status.trim() == "ready") {
                return Ok(());
            }
            let ended = running.supervisor.try_wait().ok().flatten().is_some();
            if ended || begin.elapsed() > PATIENCE {
                let what = if ended { "ended at once" } else { "did not become ready" };
                let failure = Failure::new(format!("the server {} {what}:\n{}", self.name, self.log_tail()));
                self.drop_running();
                return Err(failure);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The last lines of the log.
    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
    }

    /// Sends a signal to the server's first process.
    pub(super) fn signal(&mut self, name: &str) -> Result<(), Failure> {
        match self.running.as_mut() {
            Some(running) => writeln!(running.commands, "{name}").map_err(|e| Failure::of("signal", e)),
            None => Err(Failure::new(format!("the server {} isn't running", self.name))),
        }
    }

    /// Sends a signal to the server's first process and all its children.
    pub(super) fn signal_all(&mut self, name: &str) -> Result<(), Failure> {
        let Some(running) = self.running.as_ref() else {
            return Err(Failure::new(format!("the server {} isn't running", self.name)));
        };
        // The first process first, so that it starts no more children.
        kill(name, &[running.pid])?;
        let children = children(running.pid);
        if children.is_empty() { Ok(()) } else { kill(name, &children) }
    }

    /// As a machine that loses its power: SIGKILL to every process of the server.
    pub(super) async fn kill_9(&mut self) -> Result<(), Failure> {
        let Some(running) = self.running.as_ref() else { return Ok(()) };
        // The parent is stopped first: dead, it would leave children that nobody can name.
        kill("STOP", &[running.pid])?;
        let mut pids = children(running.pid);
        pids.push(running.pid);
        kill("KILL", &pids)?;
        self.ended().await
    }

    /// An orderly stop, clients' transactions rolled back (`pg_ctl stop -m fast`).
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        if self.running.is_none() {
            return Ok(());
        }
        self.signal("INT")?;
        self.ended().await
    }

    async fn ended(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        loop {
            match self.running.as_mut().map(|running| running.supervisor.try_wait()) {
                None | Some(Ok(Some(_)) | Err(_)) => break,
                Some(Ok(None)) if begin.elapsed() > PATIENCE => break,
                Some(Ok(None)) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        self.drop_running();
        Ok(())
    }

    /// Lets go of the supervisor, which ends the server at once if it still runs; doesn't wait.
    pub(super) fn release(&mut self) -> Option<Child> {
        self.running.take().map(|running| {
            drop(running.commands);
            running.supervisor
        })
    }

    fn drop_running(&mut self) {
        if let Some(mut supervisor) = self.release() {
            let _ = supervisor.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.drop_running();
    }
}

/// A port that nobody listens on just now.
pub fn free_port() -> Result<u16, Failure> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| Failure::of("no free port", e))
}

/// The processes that `pid` has started (Linux; elsewhere none are found).
fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let parent = pid.to_string();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|child| {
            // proc(5): "pid (comm) state ppid …"; comm may hold anything, so count from its last parenthesis.
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(parent.as_str())
        })
        .collect()
}

/// Sends a signal by the shell's own `kill`. A process that is gone already is no failure.
fn kill(signal: &str, pids: &[u32]) -> Result<(), Failure> {
    let pids = pids.iter().map(u32::to_string);
    Command::new("sh")
        .args(["-c", r#"for pid; do kill -s "$0" "$pid"; done"#, signal])
        .args(pids)
        .stderr(Stdio::null())
        .status()
        .map(|_| ())
        .map_err(|e| Failure::of("kill", e))
}
