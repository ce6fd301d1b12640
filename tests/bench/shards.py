"""Two shards behind pgbraid: routed statements beside the unsharded pass-through, scatters, groups and merges."""

import os
import statistics
import time

import report
from client import Client
from servers import PASSWORD, SERVICE, USER, cpu_ns, forget_peak, memory_kib, peak_kib

SHARDS = ("shard1", "shard2")
ACCOUNTS = 1_000_000
TABLE = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))"


def start(servers, binary):
    """A proxy over two shards (two databases of one server) with a million accounts: its process and port."""
    for name in SHARDS:
        servers.psql(servers.port, f"CREATE DATABASE {name} OWNER {USER}", user="postgres", password="super", database="postgres")
        servers.psql(servers.port, f"GRANT CREATE ON DATABASE {name} TO {SERVICE}", user="postgres", password="super", database="postgres")
        servers.psql(servers.port, TABLE, database=name)
    servers.psql(servers.port, f"GRANT pg_read_all_data TO {SERVICE}", user="postgres", password="super", database="postgres")
    urls = "\n".join(f'shards.{name} = ["postgres://127.0.0.1:{servers.port}/{name}"]' for name in SHARDS)
    process, port = servers.pgbraid(binary, "pgbraid-shards", extra=f"""
[databases.sharded]
service_user = "{SERVICE}"
home = "{SHARDS[0]}"
pool_size = 32
{urls}

[databases.sharded.tables]
pgbench_accounts = {{ key = "aid" }}
""")
    end = time.monotonic() + 60
    buckets = {}
    while not buckets:
        try:
            rows = servers.psql(servers.port, "SELECT bucket, shard FROM pgbraid.buckets", user="postgres", password="super", database=SHARDS[0])
            buckets = dict(row.split("|") for row in rows.splitlines())
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    for name in SHARDS:
        mine = ",".join(bucket for bucket, shard in buckets.items() if shard == name)
        servers.psql(servers.port, f"INSERT INTO pgbench_accounts SELECT i, i % 100, i::bigint * 7919 % 100000, '' FROM generate_series(1, {ACCOUNTS}) i "
                     f"WHERE (hashint8extended(i, 0) & {len(buckets) - 1}) = ANY ('{{{mine}}}'::bigint[])", database=name)
        servers.psql(servers.port, "VACUUM (ANALYZE)", user="postgres", password="super", database=name)
    return process, port


def measure(bench, servers, binary, target_type):
    """Fills bench.results with the cells named `shards`."""
    process, port = start(servers, binary)
    plain = target_type("pass-through", port, process)
    sharded = target_type("routed", port, process, database="sharded")
    point = servers.write("point.sql", "\\set aid random(1, 500000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n")
    os.chmod(point, 0o644)
    for t in (plain, sharded):
        bench.pgbench(t, 8, 1, "-f", point)
    for protocol in ("simple", "prepared"):
        bench.cell(("shards", f"point select {protocol}", 8), [plain, sharded],
                   lambda t: bench.pgbench(t, 8, bench.options.seconds, "-M", protocol, "-f", point))
    script = servers.write("scatter.sql", "SELECT aid, abalance FROM pgbench_accounts ORDER BY aid DESC LIMIT 10;\n")
    os.chmod(script, 0o644)
    for protocol in ("simple", "prepared"):
        bench.cell(("shards", f"ORDER BY LIMIT 10 {protocol}", 8), [plain, sharded],
                   lambda t: bench.pgbench(t, 8, bench.options.seconds, "-M", protocol, "-f", script))
    large(bench, servers, process, port)


def timed(client, sql):
    begin = time.perf_counter()
    client.query(sql)
    return time.perf_counter() - begin


def large(bench, servers, process, port):
    """A million rows grouped, and merged in order."""
    shards = [Client(servers.port, USER, PASSWORD, name, timeout=120) for name in SHARDS]
    over = Client(port, USER, PASSWORD, "sharded", timeout=120)
    group = "SELECT bid, count(*), sum(abalance), avg(abalance) FROM pgbench_accounts GROUP BY bid"
    ours, own = [], []
    for _ in range(bench.options.rounds):
        own.append(max(timed(client, group) for client in shards))
        ours.append(timed(over, group))
    bench.results[("shards", "GROUP BY of a million rows", 1)] = {
        "slowest shard alone": {"s": statistics.median(own)}, "over both": {"s": statistics.median(ours)}}
    rest = memory_kib(process.pid)
    forget_peak(process.pid)
    cpu = cpu_ns(process.pid)
    begin = time.perf_counter()
    over.drain("SELECT aid, abalance FROM pgbench_accounts ORDER BY aid")
    seconds = time.perf_counter() - begin
    bench.results[("shards", "merging a million rows", 1)] = {
        "over both": {"rows/s": ACCOUNTS / seconds, "s": seconds, "cpu_s": (cpu_ns(process.pid) - cpu) / 1e9,
                      "grown_kib": max(0, peak_kib(process.pid) - rest)}}
    for name in ("GROUP BY of a million rows", "merging a million rows"):
        bench.say(report.line(("shards", name, 1), bench.results[("shards", name, 1)]))
    for client in (*shards, over):
        client.close()

