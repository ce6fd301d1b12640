"""Writes over two shards behind pgbraid beside one PostgreSQL: COPY in, commits of two shards, INSERT of many rows."""

import os
import time

from client import Client
from servers import DATABASE, PASSWORD, SERVICE, USER, cpu_ns
from shards import database, read_buckets

SHARDS = ("written1", "written2")
TABLES = """
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE loaded (id int, name text)
"""
# The last that is measured.
LAST = "INSERT of 1,000 rows"


def start(servers, binary):
    """A proxy over two shards (databases of one server), and the same tables in a third database: its process and port."""
    for name in SHARDS:
        servers.psql(servers.port, f"CREATE DATABASE {name} OWNER {USER}", user="postgres", password="super", database="postgres")
        servers.psql(servers.port, f"GRANT CREATE ON DATABASE {name} TO {SERVICE}", user="postgres", password="super", database="postgres")
        servers.psql(servers.port, TABLES, database=name)
    servers.psql(servers.port, "DROP TABLE IF EXISTS one_accounts, loaded; CREATE TABLE loaded (id int, name text); "
                 "CREATE TABLE one_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84)); "
                 "INSERT INTO one_accounts SELECT i, 0, 0, '' FROM generate_series(1, 10000) i")
    servers.psql(servers.port, f"GRANT pg_read_all_data, {USER} TO {SERVICE}", user="postgres", password="super", database="postgres")
    extra = database("written", SHARDS, servers) + 'loaded = { key = "id", with = "pgbench_accounts" }\n'
    process, port = servers.pgbraid(binary, "pgbraid-writes", extra=extra)
    buckets = read_buckets(servers, SHARDS[0])
    servers.psql(port, "INSERT INTO pgbench_accounts SELECT i, 0, 0, '' FROM generate_series(1, 10000) i", database="written")
    return process, port, buckets


def measure(bench, servers, binary, target_type):
    """Fills bench.results with the cells named `writes`."""
    process, port, _ = start(servers, binary)
    loads(bench, servers, process, port)
    commits(bench, servers, target_type("two shards", port, process, database="written"), target_type("one PostgreSQL", servers.port))
    inserts(bench, servers, process, port)


def loads(bench, servers, process, port):
    """COPY of two million rows: seconds, and the proxy's CPU a row."""
    rows = 2 * bench.options.rows
    chunks = ["".join(f"{i}\trow number {i} of many rows\n" for i in range(at, at + 1000)).encode() for at in range(0, rows, 1000)]
    ours, own = [], []
    for turn in range(2 * bench.options.rounds):
        for braided in ((True, False), (False, True))[turn % 2]:
            client = Client(port if braided else servers.port, USER, PASSWORD, "written" if braided else DATABASE, timeout=300)
            client.query("TRUNCATE loaded")
            cpu = cpu_ns(process.pid)
            begin = time.perf_counter()
            client.copy_in("COPY loaded FROM STDIN", chunks)
            seconds = time.perf_counter() - begin
            (ours if braided else own).append({"s": seconds, "cpu_us_row": (cpu_ns(process.pid) - cpu) / 1000 / rows if braided else None})
            client.close()
    bench.keep(("writes", "COPY of two million rows", 1), {"one PostgreSQL": own, "two shards": ours})


def commits(bench, servers, braid, one):
    """Two updates in a transaction: of rows of one shard, and of two."""
    shard_of = {}
    for name in SHARDS:
        shard_of[name] = servers.psql(servers.port, "SELECT string_agg(aid::text, ',') FROM (SELECT aid FROM pgbench_accounts ORDER BY aid LIMIT 2) x",
                                      database=name).split(",")
    (a, b), (c, _) = shard_of.values()
    texts = {"one shard": (a, b, "pgbench_accounts", braid), "two shards": (a, c, "pgbench_accounts", braid), "one PostgreSQL": (a, c, "one_accounts", one)}
    seen = {name: [] for name in texts}
    scripts = {}
    for name, (first, second, table, _) in texts.items():
        update = "UPDATE {} SET abalance = abalance + 1 WHERE aid = {};\n"
        scripts[name] = servers.write(f"{name.replace(' ', '-')}.sql", "BEGIN;\n" + update.format(table, first) + update.format(table, second) + "COMMIT;\n")
        os.chmod(scripts[name], 0o644)
    for _ in range(bench.options.rounds):
        for name, (_, _, _, target) in texts.items():
            seen[name].append(bench.pgbench(target, 1, bench.options.seconds, "-f", scripts[name]))
    bench.keep(("writes", "transactions of two updates", 1), seen)


def inserts(bench, servers, process, port):
    """One INSERT of 1,000 rows, again and again."""
    ours, own = [], []
    for turn in range(bench.options.rounds):
        for braided in ((True, False), (False, True))[turn % 2]:
            client = Client(port if braided else servers.port, USER, PASSWORD, "written" if braided else DATABASE, timeout=300)
            client.query("TRUNCATE loaded")
            cpu, count = cpu_ns(process.pid), 100
            begin = time.perf_counter()
            for at in range(count):
                client.query("INSERT INTO loaded VALUES " + ",".join(f"({at * 1000 + i},'row number {i}')" for i in range(1000)))
            seconds = time.perf_counter() - begin
            (ours if braided else own).append({"ms": seconds * 1000 / count, "cpu_us_row": (cpu_ns(process.pid) - cpu) / 1e6 / count if braided else None})
            client.close()
    bench.keep(("writes", LAST, 1), {"one PostgreSQL": own, "two shards": ours})
