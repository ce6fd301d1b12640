#!/usr/bin/env python3
"""What `cross_shard_reads = "atomic"` costs: reads and writes over two shards a second, with it and without. Prints a table.

    cargo build --release && python3 tests/bench/atomic.py [--seconds 3] [--rounds 5] [--clients 8] [--binary FILE]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time

from servers import PASSWORD, SERVICE, USER, Failure, Servers

MODES = ("fast", "atomic")
ROWS = 1000
SUM = "SELECT sum(balance) FROM accounts"
SCRIPTS = {
    "sum": f"{SUM};\n",
    "sum in a READ COMMITTED block": f"BEGIN;\n{SUM};\nCOMMIT;\n",
    "sum in a REPEATABLE READ block": f"BEGIN ISOLATION LEVEL REPEATABLE READ;\n{SUM};\nCOMMIT;\n",
    # Four accounts of the client's own: on both shards seven times of eight.
    "transfer": "\\set a :client_id * 50 + random(1, 40)\n\\set b :a + 1\n\\set c :a + 2\n\\set d :a + 3\n"
                "UPDATE accounts SET balance = balance + CASE WHEN id IN (:a, :b) THEN 1 ELSE -1 END WHERE id IN (:a, :b, :c, :d);\n",
}


def database(mode, servers):
    shards = "".join(f'shards.s{at} = "postgres://127.0.0.1:{servers.port}/{mode}{at}"\n' for at in (1, 2))
    return f"""
[databases.{mode}]
service_user = "{SERVICE}"
home = "s1"
pool_size = 32
cross_shard_reads = "{mode}"
{shards}
[databases.{mode}.tables]
accounts = {{ key = "id" }}
"""


def start(servers, binary):
    """A proxy with two databases of two shards; its port."""
    admin = {"user": "postgres", "password": "super", "database": "postgres"}
    servers.psql(servers.port, f"GRANT pg_read_all_data TO {SERVICE}", **admin)
    for name in (f"{mode}{at}" for mode in MODES for at in (1, 2)):
        servers.psql(servers.port, f"CREATE DATABASE {name} OWNER {USER}", **admin)
        servers.psql(servers.port, f"GRANT CREATE ON DATABASE {name} TO {SERVICE}", **admin)
        servers.psql(servers.port, "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint) WITH (fillfactor = 50)", database=name)
    _, port = servers.pgbraid(binary, extra="".join(database(mode, servers) for mode in MODES))
    rows = ", ".join(f"({row}, 0)" for row in range(1, ROWS + 1))
    for mode in MODES:
        end = time.monotonic() + 60
        while True:
            try:
                servers.psql(port, f"INSERT INTO accounts VALUES {rows}", database=mode)
                break
            except Failure:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
    return port


class Bench:
    def __init__(self, servers, port, seconds):
        self.servers, self.port, self.seconds = servers, port, seconds
        self.scripts = {}
        for at, (name, text) in enumerate(SCRIPTS.items()):
            self.scripts[name] = servers.write(f"script{at}.sql", text)
            os.chmod(self.scripts[name], 0o644)

    def begin(self, mode, name, clients):
        command = [os.path.join(self.servers.bin, "pgbench"), "-n", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-c", str(clients), "-j", "1",
                   "-T", str(self.seconds), "-f", self.scripts[name], mode]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ, PGPASSWORD=PASSWORD))

    @staticmethod
    def rate(process):
        said, _ = process.communicate(timeout=300)
        found = re.search(r"^tps = ([\d.]+)", said, re.M)
        if process.returncode or not found:
            raise Failure(said)
        return float(found[1])

    def together(self, mode, what):
        """Rates of these scripts, each with so many clients, at the same time."""
        return [self.rate(process) for process in [self.begin(mode, name, clients) for name, clients in what]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8, help="at most 8")
    parser.add_argument("--binary", default=os.path.join(os.path.dirname(__file__), "../../target/release/pgbraid"))
    options = parser.parse_args()
    many, half = options.clients, max(1, options.clients // 2)
    cells = [[("sum", 1)], [("sum", many)], [("sum in a READ COMMITTED block", many)], [("sum in a REPEATABLE READ block", many)],
             [("transfer", 1)], [("transfer", many)], [("sum", half), ("transfer", half)]]
    with Servers() as servers:
        servers.postgres()
        bench = Bench(servers, start(servers, options.binary), options.seconds)
        for mode in MODES:
            bench.together(mode, [("sum", many)])
        print("| clients | fast/s | atomic/s | ratio |\n| --- | ---: | ---: | ---: |")
        for cell in cells:
            seen = {mode: [] for mode in MODES}
            for turn in range(options.rounds):
                for mode in MODES if turn % 2 == 0 else reversed(MODES):
                    seen[mode].append(bench.together(mode, cell))
            for at, (name, clients) in enumerate(cell):
                fast, atomic = ([rates[at] for rates in seen[mode]] for mode in MODES)
                ratio = statistics.median(a / f for f, a in zip(fast, atomic))
                beside = "".join(f", beside {other[1]} × {other[0]}" for other in cell if other[0] != name)
                print(f"| {clients} × {name}{beside} | {statistics.median(fast):,.0f} | {statistics.median(atomic):,.0f} | {ratio:.2f}× |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(str(failure))
