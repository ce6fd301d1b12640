"""TPC-H's 22 queries over two shards beside one PostgreSQL with all the rows, and a join off the key: times, and bytes moved."""

import os
import re
import socket
import threading
import time

from client import Client
from servers import PASSWORD, SERVICE, USER, free_port
from shards import read_buckets

SHARDS = ("tpch1", "tpch2")
WHOLE = "tpch"
# The last that is measured.
LAST = "join of 100,000 and 1,000,000 rows off the key"
CORPUS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "corpus/tpch")
# Each sharded table, its key, and with which table's rows its own lie.
KEYS = {"orders": ("o_orderkey", None), "lineitem": ("l_orderkey", "orders"), "part": ("p_partkey", None), "partsupp": ("ps_partkey", "part"),
        "customer": ("c_custkey", None), "small": ("id", None), "large": ("id", None)}
SIDES = """
CREATE TABLE tpch.small (id int PRIMARY KEY, code int, name text, note text);
CREATE TABLE tpch.large (id int PRIMARY KEY, code int, amount int, note text);
"""
# One of ten rows of the large table has a partner in the small one.
SIDES_ROWS = """
INSERT INTO tpch.small SELECT i, i * 10, 'name of number ' || i, repeat('x', 50) FROM generate_series(1, {rows} / 10) i;
INSERT INTO tpch.large SELECT i, (i::bigint * 7919 % {rows})::int + 1, i % 1000, repeat('y', 50) FROM generate_series(1, {rows}) i;
"""
JOIN = "SELECT count(*), sum(l.amount), max(s.name) FROM small s JOIN large l ON l.code = s.code"
# DataRow's head, and a value's length.
ROW, VALUE = 7, 4


class Relay:
    """Passes a server's connections on and counts their bytes."""

    def __init__(self, port):
        self.target, self.port = port, free_port()
        self.given = self.told = 0
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._pass, args=(client, server, "told"), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, "given"), daemon=True).start()

    def _pass(self, one, other, count):
        try:
            while data := one.recv(1 << 18):
                setattr(self, count, getattr(self, count) + len(data))
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def configuration(name, port):
    urls = "\n".join(f'shards.{shard} = ["postgres://127.0.0.1:{port}/{shard}"]' for shard in SHARDS)
    tables = "\n".join(f'"tpch.{table}" = {{ key = "{key}"' + (f', with = "tpch.{other}"' if other else "") + " }" for table, (key, other) in KEYS.items())
    whole = "\n".join(f'"tpch.{table}" = {{ reference = true }}' for table in ("supplier", "nation", "region"))
    return f"""
[databases.{name}]
service_user = "{SERVICE}"
home = "{SHARDS[0]}"
{urls}

[databases.{name}.tables]
{tables}
{whole}
"""


def start(servers, binary, scale, rows):
    """The same rows in one database and over two, behind a proxy that reaches them twice: straight, and counted."""
    as_super = {"user": "postgres", "password": "super"}
    read = lambda name: open(os.path.join(CORPUS, name), encoding="utf-8").read()
    filled = read("rows.sql").replace("{scale}", str(scale)) + SIDES_ROWS.replace("{rows}", str(rows))
    for name in (WHOLE, *SHARDS):
        servers.psql(servers.port, f"CREATE DATABASE {name} OWNER {USER}", database="postgres", **as_super)
        servers.psql(servers.port, f"GRANT CREATE ON DATABASE {name} TO {SERVICE}", database="postgres", **as_super)
        servers.psql(servers.port, read("schema.sql") + SIDES, database=name)
    servers.psql(servers.port, f"GRANT pg_read_all_data TO {SERVICE}", database="postgres", **as_super)
    relay = Relay(servers.port)
    extra = configuration("straight", servers.port) + configuration("counted", relay.port)
    _, port = servers.pgbraid(binary, "pgbraid-tpch", extra=extra)
    # The map is made for empty tables.
    buckets = read_buckets(servers, SHARDS[0])
    for name in (WHOLE, *SHARDS):
        servers.psql(servers.port, filled, database=name)
    for name in SHARDS:
        mine = ",".join(bucket for bucket, shard in buckets.items() if shard == name)
        for table, (key, _) in KEYS.items():
            servers.psql(servers.port, f"DELETE FROM tpch.{table} WHERE NOT (hashint4extended({key}, 0) & {len(buckets) - 1}) = "
                         f"ANY ('{{{mine}}}'::bigint[])", database=name)
    for name in (WHOLE, *SHARDS):
        servers.psql(servers.port, "VACUUM (ANALYZE)", database=name, **as_super)
    return port, relay


def queries():
    """The queries by name."""
    with open(os.path.join(CORPUS, "queries.sql"), encoding="utf-8") as f:
        found = re.findall(r"-- name: (\w+)\n(.*?);\n", f.read(), re.S)
    return [(f"TPC-H {name}", sql) for name, sql in found]


def measure(bench, servers, binary):
    """Fills bench.results with the cells named `tpch`."""
    rows = bench.options.rows
    port, relay = start(servers, binary, 20 if rows >= 1_000_000 else 4, rows)
    clients = {"one PostgreSQL": Client(servers.port, USER, PASSWORD, WHOLE, timeout=300)}
    clients["two shards"] = Client(port, USER, PASSWORD, "straight", timeout=300)
    counted = Client(port, USER, PASSWORD, "counted", timeout=300)
    for client in (*clients.values(), counted):
        client.query("SET search_path TO tpch")
    ideal = least(servers)
    for name, sql in [*queries(), (LAST, JOIN)]:
        # Once for the caches and once for the bytes.
        counted.query(sql)
        given, told = relay.given, relay.told
        counted.query(sql)
        moved = {"given_kib": (relay.given - given) / 1024, "told_kib": (relay.told - told) / 1024, "least_kib": ideal if name == LAST else None}
        seen = {where: [] for where in clients}
        for turn in range(bench.options.rounds):
            for where in list(clients)[:: 1 if turn % 2 else -1]:
                begin = time.perf_counter()
                clients[where].query(sql)
                figures = {"ms": (time.perf_counter() - begin) * 1000}
                seen[where].append(figures | moved if where == "two shards" else figures)
        bench.keep(("tpch", name, 1), seen)
    for client in (*clients.values(), counted):
        client.close()


def least(servers):
    """What the join needs, in KiB: its columns of the small table, and of the rows of the large one that have a partner there."""
    sql = (f"SELECT (SELECT sum({ROW} + 2 * {VALUE} + 4 + length(name)) FROM small) + (SELECT sum({ROW} + 2 * {VALUE} + 4 + 4) FROM large l "
           "WHERE EXISTS (SELECT FROM small s WHERE s.code = l.code))")
    return int(servers.psql(servers.port, "SET search_path TO tpch; " + sql, database=WHOLE)) / 1024
