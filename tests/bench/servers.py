"""What is measured: PostgreSQL, PgBouncer and pgbraid as processes of an unprivileged user on loopback."""

import glob
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

USER, PASSWORD, DATABASE = "bench", "bench", "bench"
# PgBouncer's name for the same in session pooling.
SESSIONS = "bench_sessions"
SERVICE = "service"
# Server connections that a proxy may hold.
POOL = 32


class Failure(Exception):
    """Something that the user has to put right."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def server_binaries():
    """The directory with initdb and its relatives: on the PATH, else Debian's newest."""
    found = shutil.which("initdb")
    if found:
        return os.path.dirname(os.path.realpath(found))
    newest = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    if not newest:
        raise Failure("PostgreSQL's server programs are missing: run docker/deps.sh bench")
    return os.path.dirname(newest[-1])


def account():
    """Arguments for Popen that make a child unprivileged; nothing if we are so ourselves."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise Failure("there is neither a user `postgres` nor `nobody` to run servers as")


class Servers:
    """A folder with servers; all are stopped when the block ends."""

    def __init__(self):
        self.account = account()
        self.bin = server_binaries()
        self.running = []

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="pgbraid-bench-")
        os.chmod(self.dir, 0o755)
        self._own(self.dir)
        return self

    def __exit__(self, *_):
        for process, how in reversed(self.running):
            self._stop(process, how)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _own(self, path):
        if self.account:
            os.chown(path, self.account["user"], self.account["group"])

    def _stop(self, process, how):
        if process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self, process):
        """Stops one of the servers before the end."""
        for entry in self.running:
            if entry[0] is process:
                self.running.remove(entry)
                self._stop(*entry)
                return

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        self._own(path)
        return path

    def run(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.dir, **self.account)
        if done.returncode:
            raise Failure(f"{command[0]} failed:\n{done.stdout}")
        return done.stdout

    def start(self, name, command, port, how=signal.SIGTERM):
        """Starts a server and waits until it listens."""
        path = os.path.join(self.dir, f"{name}.log")
        with open(path, "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, **self.account)
        self.running.append((process, how))
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return process
            except OSError:
                time.sleep(0.05)
        with open(path, encoding="utf-8", errors="replace") as log:
            raise Failure(f"{name} doesn't listen:\n{log.read()[-2000:]}")

    # --- PostgreSQL ----------------------------------------------------------------------------------------------

    def postgres(self):
        """A primary with the database and its users; its port."""
        self.data = os.path.join(self.dir, "primary")
        secret = self.write("superuser", "super\n")
        self.run(os.path.join(self.bin, "initdb"), "-D", self.data, "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8",
                 "--locale=C", "--no-sync", f"--pwfile={secret}")
        self.port = free_port()
        settings = {
            "listen_addresses": "'127.0.0.1'", "port": self.port, "unix_socket_directories": "''", "max_connections": 400,
            "shared_buffers": "'512MB'", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
            "wal_level": "replica", "max_wal_size": "'4GB'", "checkpoint_timeout": "'1h'", "autovacuum": "off",
            "max_prepared_transactions": 10, "logging_collector": "off",
        }
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as f:
            f.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self._postgres("primary", self.data, self.port)
        for sql in (f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'", f"CREATE ROLE {SERVICE} LOGIN PASSWORD '{SERVICE}' IN ROLE pg_monitor",
                    f"CREATE DATABASE {DATABASE} OWNER {USER}"):
            self.psql(self.port, sql, user="postgres", password="super", database="postgres")
        return self.port

    def _postgres(self, name, data, port):
        # SIGINT is PostgreSQL's fast shutdown.
        return self.start(name, [os.path.join(self.bin, "postgres"), "-D", data], port, signal.SIGINT)

    def replica(self):
        """A streaming replica of the primary: its process and port."""
        data, port = os.path.join(self.dir, "replica"), free_port()
        self.run(os.path.join(self.bin, "pg_basebackup"), "-D", data, "-R", "-c", "fast", "--no-sync", "-d",
                 f"host=127.0.0.1 port={self.port} user=postgres password=super")
        with open(os.path.join(data, "postgresql.auto.conf"), "a", encoding="utf-8") as f:
            f.write(f"port = {port}\n")
        return self._postgres("replica", data, port), port

    def psql(self, port, sql, user=USER, password=PASSWORD, database=DATABASE):
        environment = dict(os.environ, PGPASSWORD=password)
        done = subprocess.run([os.path.join(self.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), "-U", user,
                               "-d", database, "-c", sql], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        if done.returncode:
            raise Failure(f"{sql}: {done.stdout}")
        return done.stdout.strip()

    # --- proxies -------------------------------------------------------------------------------------------------

    def pgbouncer(self, port=None):
        """PgBouncer in transaction pooling: its process, port, version, and whether it shares prepared statements."""
        program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
        if not program:
            raise Failure("pgbouncer is missing: run docker/deps.sh bench")
        said = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True).stdout
        version = re.search(r"(\d+)\.(\d+)\S*", said)
        prepares = (int(version[1]), int(version[2])) >= (1, 21)
        port = port or free_port()
        users = self.write("users.txt", f'"{USER}" "{PASSWORD}"\n')
        config = self.write("pgbouncer.ini", "\n".join([
            "[databases]", f"{DATABASE} = host=127.0.0.1 port={self.port} dbname={DATABASE}",
            f"{SESSIONS} = host=127.0.0.1 port={self.port} dbname={DATABASE} pool_mode=session",
            "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =", "auth_type = scram-sha-256", f"auth_file = {users}",
            "pool_mode = transaction", f"default_pool_size = {POOL}", "max_client_conn = 20000", "log_connections = 0", "log_disconnections = 0",
            "ignore_startup_parameters = extra_float_digits", *(["max_prepared_statements = 200"] if prepares else []), ""]))
        return self.start("pgbouncer", [program, "-q", config], port), port, version[0], prepares

    def pgbraid(self, binary, name="pgbraid", replica=None, service=True, extra="", port=None):
        """pgbraid with its defaults: its process and port."""
        port = port or free_port()
        servers = ", ".join(f'"postgres://127.0.0.1:{p}/{DATABASE}"' for p in (self.port, replica) if p)
        config = self.write(f"{name}.toml", f"""
[server]
listen = "127.0.0.1:{port}"
max_clients = 20000

[log]
connections = false

[auth]
method = "scram-sha-256"

[users.{USER}]
password = "{PASSWORD}"

[users.{SERVICE}]
password = "{SERVICE}"

[databases.{DATABASE}]
{f'service_user = "{SERVICE}"' if service else ""}
pool_size = {POOL}
shards.s1 = [{servers}]
{extra}""")
        # The unprivileged user may not be allowed to enter the build's folder.
        copy = os.path.join(self.dir, f"{name}.run")
        if not os.path.exists(copy):
            shutil.copy(binary, copy)
            os.chmod(copy, 0o755)
        process = self.start(name, [copy, "serve", "--config", config], port)
        end = time.monotonic() + 30
        while True:  # until it knows its servers' roles
            try:
                self.psql(port, "SELECT 1")
                return process, port
            except Failure:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)


# --- what the operating system knows about a process -------------------------------------------------------------


def cpu_ns(pid):
    """Nanoseconds of CPU of all threads of a process (schedstat counts exactly, not by ticks)."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        except OSError:
            pass
    return total


def memory_kib(pid):
    """The memory that a process holds for itself, in KiB: its share of shared pages, and no page twice."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
