"""Two shards behind pgbraid: routed statements beside the unsharded pass-through, scatters, groups and merges."""

import os
import time

from client import Client
from servers import PASSWORD, SERVICE, USER, Failure, cpu_ns, forget_peak, memory_kib, peak_kib

# Two shards, and four that are merged.
SHARDS = ("shard1", "shard2")
FOUR = ("quarter1", "quarter2", "quarter3", "quarter4")
# The last that is measured.
LAST = "merging a million rows of four shards"
TABLE = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))"


def database(name, shards, servers):
    """The part of the configuration for a database over shards."""
    urls = "\n".join(f'shards.{shard} = ["postgres://127.0.0.1:{servers.port}/{shard}"]' for shard in shards)
    return f"""
[databases.{name}]
service_user = "{SERVICE}"
home = "{shards[0]}"
pool_size = 32
{urls}

[databases.{name}.tables]
pgbench_accounts = {{ key = "aid" }}
"""


def start(servers, binary, rows):
    """A proxy over shards (databases of one server) with accounts spread over them: its process and port."""
    for name in (*SHARDS, *FOUR):
        servers.psql(servers.port, f"CREATE DATABASE {name} OWNER {USER}", user="postgres", password="super", database="postgres")
        servers.psql(servers.port, f"GRANT CREATE ON DATABASE {name} TO {SERVICE}", user="postgres", password="super", database="postgres")
        servers.psql(servers.port, TABLE, database=name)
    servers.psql(servers.port, f"GRANT pg_read_all_data TO {SERVICE}", user="postgres", password="super", database="postgres")
    process, port = servers.pgbraid(binary, "pgbraid-shards", extra=database("sharded", SHARDS, servers) + database("sharded4", FOUR, servers))
    for shards in (SHARDS, FOUR):
        fill(servers, shards, rows)
    return process, port


def read_buckets(servers, home):
    """The proxy's map, once it is there: each bucket's shard."""
    end = time.monotonic() + 60
    while True:
        try:
            found = servers.psql(servers.port, "SELECT bucket, shard FROM pgbraid.buckets", user="postgres", password="super", database=home)
            if found:
                return dict(row.split("|") for row in found.splitlines())
        except Failure:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def fill(servers, shards, rows):
    """Puts each account where the proxy's map says."""
    buckets = read_buckets(servers, shards[0])
    for name in shards:
        mine = ",".join(bucket for bucket, shard in buckets.items() if shard == name)
        servers.psql(servers.port, f"INSERT INTO pgbench_accounts SELECT i, i % 100, i::bigint * 7919 % 100000, '' FROM generate_series(1, {rows}) i "
                     f"WHERE (hashint8extended(i, 0) & {len(buckets) - 1}) = ANY ('{{{mine}}}'::bigint[])", database=name)
        servers.psql(servers.port, "VACUUM (ANALYZE)", user="postgres", password="super", database=name)


def measure(bench, servers, binary, target_type):
    """Fills bench.results with the cells named `shards`."""
    process, port = start(servers, binary, bench.options.rows)
    plain = target_type("pass-through", port, process)
    sharded = target_type("routed", port, process, database="sharded")
    point = servers.write("point.sql", "\\set aid random(1, 100000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n")
    os.chmod(point, 0o644)
    for t in (plain, sharded):
        bench.pgbench(t, 8, 2, "-f", point)
    for protocol in ("simple", "prepared"):
        bench.cell(("shards", f"point select {protocol}", 8), [plain, sharded],
                   lambda t: bench.pgbench(t, 8, bench.options.seconds, "-M", protocol, "-f", point))
    script = servers.write("scatter.sql", "SELECT aid, abalance FROM pgbench_accounts ORDER BY aid DESC LIMIT 10;\n")
    os.chmod(script, 0o644)
    for protocol in ("simple", "prepared"):
        bench.cell(("shards", f"ORDER BY LIMIT 10 {protocol}", 8), [plain, sharded],
                   lambda t: bench.pgbench(t, 8, bench.options.seconds, "-M", protocol, "-f", script))
    grouped(bench, servers, port)
    merged(bench, process, port)


def timed(client, sql):
    begin = time.perf_counter()
    client.query(sql)
    return time.perf_counter() - begin


def first_and_last(client, sql):
    """Seconds to the first row, and to the end."""
    begin = time.perf_counter()
    client.send(b"Q", sql.encode() + b"\0")
    while client.message()[0] != b"D":
        pass
    first = time.perf_counter() - begin
    client.drain_rest()
    return first, time.perf_counter() - begin


def grouped(bench, servers, port):
    """A million rows grouped, beside what the slower shard takes for its half alone."""
    shards = [Client(servers.port, USER, PASSWORD, name, timeout=120) for name in SHARDS[:2]]
    over = Client(port, USER, PASSWORD, "sharded", timeout=120)
    group = "SELECT bid, count(*), sum(abalance), avg(abalance) FROM pgbench_accounts GROUP BY bid"
    ours, own = [], []
    for _ in range(2 * bench.options.rounds):
        own.append({"s": max(timed(client, group) for client in shards)})
        ours.append({"s": timed(over, group)})
    for client in (*shards, over):
        client.close()
    bench.keep(("shards", "GROUP BY of a million rows", 1), {"slowest shard alone": own, "over both": ours})


def merged(bench, process, port):
    """Sorted rows of four shards made one stream: ten thousand, and a million."""
    over = Client(port, USER, PASSWORD, "sharded4", timeout=120)
    seen = {"10,000 rows": [], "1,000,000 rows": []}
    for _ in range(bench.options.rounds):
        for name, rounds in seen.items():
            rows = min(int(name.split()[0].replace(",", "")), bench.options.rows)
            rest = memory_kib(process.pid)
            forget_peak(process.pid)
            cpu = cpu_ns(process.pid)
            first, whole = first_and_last(over, f"SELECT aid, abalance FROM pgbench_accounts WHERE aid <= {rows} ORDER BY aid")
            rounds.append({"first_ms": first * 1000, "rows/s": rows / whole, "cpu_us_row": (cpu_ns(process.pid) - cpu) / 1000 / rows,
                           "grown_kib": max(0, peak_kib(process.pid) - rest)})
    over.close()
    bench.keep(("shards", LAST, 1), seen)
