#!/usr/bin/env python3
"""pgbraid beside PgBouncer and a direct connection, in one run on one machine: `make bench`.

Every cell is measured on all of them in turn, several rounds, and the median counts; what is judged are ratios. The
result goes to docs/benchmarks.md. Only Python's standard library, PostgreSQL, PgBouncer and the release build are used.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import time

import report
import shards
from client import Client
from servers import DATABASE, PASSWORD, USER, Failure, Servers, cpu_ns, forget_peak, memory_kib, peak_kib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARTS = ("select", "tpcb", "connect", "idle", "rows", "replica", "shards")
CLIENTS = (1, 8, 32, 256)


class Target:
    """Something to connect to: PostgreSQL itself or a proxy."""

    def __init__(self, name, port, process=None, prepares=True, database=DATABASE):
        self.name, self.port, self.process, self.prepares, self.database = name, port, process, prepares, database

    @property
    def pid(self):
        return self.process.pid if self.process else None


class Bench:
    def __init__(self, servers, options):
        self.servers, self.options = servers, options
        self.results = {}

    def say(self, text):
        print(text, flush=True)

    def pgbench(self, target, clients, seconds, *arguments):
        """One run of pgbench: transactions a second, milliseconds each, CPU of the proxy a transaction in microseconds."""
        command = [os.path.join(self.servers.bin, "pgbench"), "-n", "-h", "127.0.0.1", "-p", str(target.port), "-U", USER, "-c", str(clients),
                   "-j", str(min(clients, 2)), "-T", str(seconds), *arguments, target.database]
        before = cpu_ns(target.pid) if target.pid else 0
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, PGPASSWORD=PASSWORD),
                              timeout=seconds + 120)
        after = cpu_ns(target.pid) if target.pid else 0
        count = re.search(r"actually processed: (\d+)", done.stdout)
        if done.returncode or not count or int(count[1]) == 0:
            raise Failure(f"pgbench against {target.name}: {done.stderr[-800:]}\n{done.stdout}")
        rate = float(re.search(r"^tps = ([\d.]+)", done.stdout, re.M)[1])
        latency = float(re.search(r"latency average = ([\d.]+)", done.stdout)[1])
        return {"tps": rate, "ms": latency, "cpu": (after - before) / 1000 / int(count[1]) if target.pid else None}

    def cell(self, name, targets, measure):
        """Measures a cell on all targets in turn, and keeps each figure's median over the rounds."""
        seen = {t.name: [] for t in targets}
        for round_ in range(self.options.rounds):
            # Another order each round, so that none always comes first.
            for i in range(len(targets)):
                target = targets[(i + round_) % len(targets)]
                seen[target.name].append(measure(target))
        medians = {}
        for target, rounds in seen.items():
            keys = rounds[0].keys()
            medians[target] = {k: None if rounds[0][k] is None else statistics.median(r[k] for r in rounds) for k in keys}
        self.results[name] = medians
        self.say(report.line(name, medians))

    def transactions(self, targets, part, clients, protocols=("simple", "extended", "prepared")):
        kinds = {"select": ["-S"], "tpcb": ["-b", "tpcb-like"], "connect": ["-S", "-C"]}
        for protocol in protocols:
            for n in clients:
                able = [t for t in targets if protocol != "prepared" or t.prepares]
                self.cell((part, protocol, n), able, lambda t: self.pgbench(t, n, self.options.seconds, "-M", protocol, *kinds[part]))

    # --- memory ------------------------------------------------------------------------------------------------------

    def idle(self, proxies):
        """Memory of clients that have spoken and are silent now."""
        wanted = self.options.idle_clients
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        count = min(wanted, soft - 200)
        if count < wanted:
            self.say(f"idle: only {count} clients (the limit of open files is {soft})")
        for proxy in proxies:
            open_clients = []
            try:
                # One client first: what the proxy makes once isn't the clients'.
                open_clients.append(Client(proxy.port, USER, PASSWORD, DATABASE))
                open_clients[0].query("SELECT 1")
                time.sleep(1)
                before = memory_kib(proxy.pid)
                for _ in range(count):
                    open_clients.append(Client(proxy.port, USER, PASSWORD, DATABASE))
                    open_clients[-1].query("SELECT 1")
                time.sleep(3)
                after = memory_kib(proxy.pid)
            finally:
                for client in open_clients:
                    client.close()
            self.results.setdefault(("idle", count), {})[proxy.name] = {"kib": (after - before) / count}
        self.say(report.line(("idle", count), self.results[("idle", count)]))

    # --- large data --------------------------------------------------------------------------------------------------

    def rows(self, targets):
        """A million rows out, by SELECT and by COPY, and in by COPY: time, CPU and the proxy's peak of memory."""
        n = self.options.rows
        direct = Client(self.servers.port, USER, PASSWORD, DATABASE)
        direct.query("DROP TABLE IF EXISTS big, big_in")
        direct.query(f"CREATE TABLE big AS SELECT i AS id, md5(i::text) AS name, i * 1.25 AS price, now() AS made FROM generate_series(1, {n}) i")
        direct.query("CREATE UNLOGGED TABLE big_in (id int, name text)")
        direct.query("VACUUM big")
        chunks = ["".join(f"{i}\trow number {i} of many rows\n" for i in range(at, at + 1000)).encode() for at in range(0, n, 1000)]

        def measure(target, act):
            client = Client(target.port, USER, PASSWORD, DATABASE, timeout=120)
            rest = memory_kib(target.pid) if target.pid else None
            if target.pid:
                forget_peak(target.pid)
            cpu = cpu_ns(target.pid) if target.pid else 0
            begin = time.perf_counter()
            act(client)
            seconds = time.perf_counter() - begin
            used = {"s": seconds, "cpu_s": (cpu_ns(target.pid) - cpu) / 1e9 if target.pid else None,
                    "grown_kib": max(0, peak_kib(target.pid) - rest) if target.pid else None}
            client.close()
            return used

        self.cell(("rows", "SELECT"), targets, lambda t: measure(t, lambda c: c.drain("SELECT * FROM big")))
        self.cell(("rows", "COPY out"), targets, lambda t: measure(t, lambda c: c.drain("COPY big TO STDOUT")))

        def copy_in(client):
            client.copy_in("COPY big_in FROM STDIN", chunks)

        def fresh(target):
            direct.query("TRUNCATE big_in")
            return measure(target, copy_in)

        self.cell(("rows", "COPY in"), targets, fresh)
        direct.query("DROP TABLE big, big_in")
        direct.close()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a second a cell, one round: a look, not a measurement; writes no file")
    parser.add_argument("--only", metavar="PART[,PART]", help=f"of {', '.join(PARTS)}; writes no file")
    parser.add_argument("--clients", metavar="N[,N]", help="numbers of clients instead of 1,8,32,256; writes no file")
    parser.add_argument("--rounds", type=int, help="rounds a cell (3)")
    parser.add_argument("--seconds", type=int, help="seconds a run of pgbench (3)")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/release/pgbraid"), help="the pgbraid to measure")
    parser.add_argument("--no-service", action="store_true", help="pgbraid without a service user: no health checks, no reads on replicas")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs/benchmarks.md"), help="where the table goes; - for nowhere")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1 if options.quick else 3)
    options.parts = options.only.split(",") if options.only else list(PARTS)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.client_numbers = [int(n) for n in options.clients.split(",")] if options.clients else list(CLIENTS)
    options.scale = 5 if options.quick else 20
    options.rows = 100_000 if options.quick else 1_000_000
    options.idle_clients = 1_000 if options.quick else 5_000
    whole = not (options.quick or options.only or options.clients)
    if not whole and options.out == parser.get_default("out"):
        options.out = "-"
    return options


def measure(options):
    with Servers() as servers:
        bench = Bench(servers, options)
        direct = Target("direct", servers.postgres())
        process, port, version, prepares = servers.pgbouncer()
        bouncer = Target("pgbouncer", port, process, prepares)
        process, port = servers.pgbraid(options.binary, service=not options.no_service)
        braid = Target("pgbraid", port, process)
        facts = report.facts(servers, version, options)
        bench.say(facts)
        initialise = [os.path.join(servers.bin, "pgbench"), "-i", "-q", "-I", "dtGvp", "-s", str(options.scale), "-h", "127.0.0.1",
                      "-p", str(servers.port), "-U", USER, DATABASE]
        subprocess.run(initialise, check=True, env=dict(os.environ, PGPASSWORD=PASSWORD), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        targets = [direct, bouncer, braid]
        for t in targets:  # warm caches, full pools
            bench.pgbench(t, 8, 1, "-S")
        if "idle" in options.parts:
            bench.idle([bouncer, braid])
        if "select" in options.parts:
            bench.transactions(targets, "select", options.client_numbers)
        if "tpcb" in options.parts:
            bench.transactions(targets, "tpcb", options.client_numbers, ("simple",))
        if "connect" in options.parts:
            bench.transactions(targets, "connect", [8], ("simple",))
        if "rows" in options.parts:
            bench.rows(targets)
        if "replica" in options.parts:
            process, port = servers.replica()
            proxy, split_port = servers.pgbraid(options.binary, "pgbraid-split", port)
            split = Target("split", split_port, proxy)
            servers.psql(split_port, "SELECT 1")
            time.sleep(2)  # roles and positions are known
            for part, protocols in (("select", ("simple", "prepared")), ("tpcb", ("simple",))):
                for protocol in protocols:
                    for n in [n for n in options.client_numbers if n in (8, 32)]:
                        name = ("replica", part, protocol, n)
                        kind = ["-S"] if part == "select" else ["-b", "tpcb-like"]
                        able = [t for t in (direct, bouncer, split) if protocol != "prepared" or t.prepares]
                        bench.cell(name, able, lambda t: bench.pgbench(t, n, options.seconds, "-M", protocol, *kind))
        if "shards" in options.parts:
            shards.measure(bench, servers, options.binary, Target)
        return facts, bench.results


def main():
    options = parse_arguments()
    if not os.path.exists(options.binary):
        sys.exit(f"{os.path.relpath(options.binary)} is missing: cargo build --release (`make bench` does it)")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    begin = time.monotonic()
    try:
        facts, results = measure(options)
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    text = report.markdown(facts, results, options)
    print()
    print(report.goals(results))
    if options.out != "-":
        with open(options.out, "w", encoding="utf-8") as f:
            f.write(text)
        print(f"written: {os.path.relpath(options.out)}")
    print(f"{time.monotonic() - begin:.0f} s")


main()
