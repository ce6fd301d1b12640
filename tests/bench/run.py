#!/usr/bin/env python3
"""pgbraid beside PgBouncer and a direct connection, in one run on one machine: `make bench`.

Every cell is measured on all of them in turn, several rounds, and the median counts; what is judged are ratios. The
result goes to docs/benchmarks.md. Only Python's standard library, PostgreSQL, PgBouncer and the release build are used.
"""

import argparse
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import costs
import report
import shards
import tpch
import writes
from client import Client
from servers import DATABASE, PASSWORD, POOL, SESSIONS, USER, Failure, Servers, cpu_ns, forget_peak, memory_kib, peak_kib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARTS = ("select", "tpcb", "shards", "writes", "tpch", "rows", "idle", "connect", "replica", "profile")
# What was measured so far: a run that was interrupted goes on from it.
KEPT = os.path.join(ROOT, "target/bench.json")
# Those first that goals are set for.
CLIENTS = (8, 32, 1, 256)
# How many times as many rounds they take: one round's ratio may be off by a third, as the scheduler happens to place threads.
GOAL_ROUNDS = 4


class Target:
    """Something to connect to: PostgreSQL itself or a proxy."""

    def __init__(self, name, port, process=None, prepares=True, database=DATABASE, origin=None):
        self.name, self.port, self.process, self.prepares, self.database = name, port, process, prepares, database
        # Whose process it is, and how to start that one anew.
        self.origin, self.start = origin or self, None

    @property
    def pid(self):
        return self.origin.process.pid if self.origin.process else None

    def renew(self, servers):
        """Starts the proxy anew, on its port: how a process lies in memory and on the cores is chance, and stays with it."""
        if self.origin.start:
            servers.stop(self.origin.process)
            self.origin.process = self.origin.start()

    def able(self, protocol, clients):
        """What of it can take this load. A PgBouncer that doesn't share prepared statements has them in session pooling, while each
        client has a server connection of its own."""
        if protocol != "prepared" or self.prepares:
            return self
        return Target(self.name, self.port, database=SESSIONS, origin=self) if clients <= POOL else None


class Watch:
    """Notes the CPU that a process has used, again and again, until `end`."""

    def __init__(self, pid):
        self.pid, self.seen, self.over = pid, [], threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while self.pid:
            self.seen.append((time.monotonic(), cpu_ns(self.pid)))
            if self.over.wait(0.05):
                self.seen.append((time.monotonic(), cpu_ns(self.pid)))
                return

    def end(self):
        self.over.set()
        self.thread.join()

    def whole(self):
        """Nanoseconds used in all."""
        return self.seen[-1][1] - self.seen[0][1] if self.seen else 0

    def steady(self, seconds):
        """Nanoseconds used a second in the last `seconds`, but for their edges."""
        if not self.seen:
            return 0
        last = self.seen[-1][0]
        inner = [look for look in self.seen if last - 0.95 * seconds < look[0] < last - 0.1] or [self.seen[0], self.seen[-1]]
        (begin, before), (end, after) = inner[0], inner[-1]
        return (after - before) / (end - begin) if end > begin else 0


class Bench:
    def __init__(self, servers, options):
        self.servers, self.options = servers, options
        self.facts = ""
        self.results = {}
        self.logins = {}

    def keep(self, name, rounds):
        """Notes what was measured: for each target its rounds."""
        self.results[name] = {target: report.Figures(figures) for target, figures in rounds.items()}
        self.say(report.line(name, self.results[name]))
        if self.options.whole:
            cells = [[name, {target: figures.rounds for target, figures in cell.items()}] for name, cell in self.results.items()]
            with open(KEPT, "w", encoding="utf-8") as f:
                json.dump({"facts": self.facts, "cells": cells}, f)

    def resume(self):
        """Takes over what an earlier run measured, and the facts that hold for it."""
        with open(KEPT, encoding="utf-8") as f:
            kept = json.load(f)
        self.facts = kept["facts"]
        for name, cell in kept["cells"]:
            self.results[tuple(name)] = {target: report.Figures(rounds) for target, rounds in cell.items()}

    def say(self, text):
        print(text, flush=True)

    def pgbench(self, target, clients, seconds, *arguments):
        """One run of pgbench of about so many seconds. Its clock runs already while clients log in, which takes long where there are
        many: how long is learnt."""
        key = (target.name, clients, "-C" in arguments)
        for _ in range(6):
            login = self.logins.get(key, 0)
            figures, self.logins[key] = self.run_pgbench(target, clients, seconds, math.ceil(seconds + login), *arguments)
            if figures:
                return figures
        raise Failure(f"pgbench against {target.name}: {clients} clients don't get to work")

    def run_pgbench(self, target, clients, seconds, whole, *arguments):
        """Transactions a second, milliseconds each, CPU of the proxy a transaction in microseconds; and how long logging in took. No
        figures if hardly any time was left after it."""
        command = [os.path.join(self.servers.bin, "pgbench"), "-n", "-h", "127.0.0.1", "-p", str(target.port), "-U", USER, "-c", str(clients),
                   "-j", str(min(clients, 2)), "-T", str(whole), *arguments, target.database]
        watch = Watch(target.pid)
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, PGPASSWORD=PASSWORD),
                                  timeout=whole + 120)
        finally:
            watch.end()
        count = re.search(r"actually processed: (\d+)", done.stdout)
        if done.returncode or not count:
            raise Failure(f"pgbench against {target.name}: {done.stderr[-800:]}\n{done.stdout}")
        login = re.search(r"initial connection time = ([\d.]+)", done.stdout)
        login = float(login[1]) / 1000 if login else 0.0 if int(count[1]) else whole + 1.0
        if int(count[1]) == 0 or whole - login < 0.6 * seconds:
            return None, max(login, self.logins.get((target.name, clients, "-C" in arguments), 0)) * 1.2
        rate = float(re.search(r"^tps = ([\d.]+)", done.stdout, re.M)[1])
        latency = float(re.search(r"latency average = ([\d.]+)", done.stdout)[1])
        # Logins cost much more than statements: they count only where every transaction logs in.
        cpu = watch.whole() / int(count[1]) if "-C" in arguments else watch.steady(whole - login) / rate
        return {"tps": rate, "ms": latency, "cpu": cpu / 1000 if target.pid else None}, login

    def cell(self, name, targets, measure, times=1):
        """Measures a cell on all targets in turn, `times` as many rounds as usual, and keeps each figure's median over them.
        Where they are more than usual, each so many of them have proxies that were started anew."""
        if name in self.results:
            return
        seen = {t.name: [] for t in targets}
        for round_ in range(self.options.rounds * times):
            if times > 1 and round_ % self.options.rounds == 0:
                for target in targets:
                    target.renew(self.servers)
            # Another order each round, so that none always comes first.
            for i in range(len(targets)):
                target = targets[(i + round_) % len(targets)]
                seen[target.name].append(measure(target))
        self.keep(name, seen)

    def transactions(self, targets, part, clients, protocols=("simple", "extended", "prepared")):
        kinds = {"select": ["-S"], "tpcb": ["-b", "tpcb-like"], "connect": ["-S", "-C"]}
        for protocol in protocols:
            for n in clients:
                able = [a for a in (t.able(protocol, n) for t in targets) if a]
                times = GOAL_ROUNDS if report.has_goal((part, protocol, n)) and not self.options.quick else 1
                self.cell((part, protocol, n), able, lambda t: self.pgbench(t, n, self.options.seconds, "-M", protocol, *kinds[part]), times)

    # --- memory ------------------------------------------------------------------------------------------------------

    def idle(self, proxies):
        """Memory of clients that have spoken and are silent now."""
        wanted = self.options.idle_clients
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        count = min(wanted, soft - 200)
        if count < wanted:
            self.say(f"idle: only {count} clients (the limit of open files is {soft})")
        if ("idle", count) in self.results:
            return
        seen = {}
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
            seen[proxy.name] = [{"kib": (after - before) / count}]
        self.keep(("idle", count), seen)

    # --- large data --------------------------------------------------------------------------------------------------

    def rows(self, targets):
        """A million rows out, by SELECT and by COPY, and in by COPY: time, CPU and the proxy's peak of memory."""
        n = self.options.rows
        if ("rows", "COPY in") in self.results:
            return
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
    parser.add_argument("--long", action="store_true", help="7 rounds of 5 s: hours instead of half an hour")
    parser.add_argument("--resume", action="store_true", help="goes on with a run that was interrupted; what it measured stays")
    parser.add_argument("--report", action="store_true", help="measures nothing: writes the table of what is there")
    parser.add_argument("--rounds", type=int, help=f"rounds a cell (3); {GOAL_ROUNDS} times as many where goals are set")
    parser.add_argument("--seconds", type=int, help="seconds a run of pgbench (2)")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/release/pgbraid"), help="the pgbraid to measure")
    parser.add_argument("--against", metavar="FILE", help="another pgbraid, measured beside it as `other`; writes no file")
    parser.add_argument("--no-service", action="store_true", help="pgbraid without a service user: no health checks, no reads on replicas")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs/benchmarks.md"), help="where the table goes; - for nowhere")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 7 if options.long else 3)
    options.seconds = options.seconds or (1 if options.quick else 5 if options.long else 2)
    options.parts = options.only.split(",") if options.only else list(PARTS)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.client_numbers = [int(n) for n in options.clients.split(",")] if options.clients else list(CLIENTS)
    options.scale = 5 if options.quick else 20
    options.rows = 100_000 if options.quick else 1_000_000
    options.idle_clients = 1_000 if options.quick else 5_000
    options.whole = not (options.quick or options.only or options.clients or options.against)
    if not options.whole and options.out == parser.get_default("out"):
        options.out = "-"
    return options


def measure(bench, options):
    busy = report.busy_cores(2)
    with Servers() as servers:
        bench.servers = servers
        direct = Target("direct", servers.postgres())
        process, port, version, prepares = servers.pgbouncer()
        bouncer = Target("pgbouncer", port, process, prepares)
        process, port = servers.pgbraid(options.binary, service=not options.no_service)
        braid = Target("pgbraid", port, process)
        bouncer.start = lambda: servers.pgbouncer(bouncer.port)[0]
        braid.start = lambda: servers.pgbraid(options.binary, service=not options.no_service, port=braid.port)[0]
        bench.facts = bench.facts or report.facts(servers, version, options, busy)
        bench.say(bench.facts)
        initialise = [os.path.join(servers.bin, "pgbench"), "-i", "-q", "-I", "dtGvp", "-s", str(options.scale), "-h", "127.0.0.1",
                      "-p", str(servers.port), "-U", USER, DATABASE]
        subprocess.run(initialise, check=True, env=dict(os.environ, PGPASSWORD=PASSWORD), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        targets = [direct, bouncer, braid]
        if options.against:
            process, port = servers.pgbraid(options.against, "other")
            other = Target("other", port, process)
            other.start = lambda: servers.pgbraid(options.against, "other", port=other.port)[0]
            targets.append(other)
        for t in targets:
            bench.pgbench(t, POOL, 2, "-S")
            if t.able("prepared", POOL) is not t:
                bench.pgbench(t.able("prepared", POOL), POOL, 2, "-S")
        if "select" in options.parts:
            bench.transactions(targets, "select", options.client_numbers)
        if "tpcb" in options.parts:
            bench.transactions(targets, "tpcb", options.client_numbers, ("simple",))
        if "shards" in options.parts and ("shards", shards.LAST, 1) not in bench.results:
            shards.measure(bench, servers, options.binary, Target)
        if "writes" in options.parts and ("writes", writes.LAST, 1) not in bench.results:
            writes.measure(bench, servers, options.binary, Target)
        if "tpch" in options.parts and ("tpch", tpch.LAST, 1) not in bench.results:
            tpch.measure(bench, servers, options.binary)
        if "rows" in options.parts:
            bench.rows(targets)
        if "idle" in options.parts:
            bench.idle([bouncer, braid])
        if "connect" in options.parts:
            bench.transactions(targets, "connect", [8], ("simple",))
        if "profile" in options.parts:
            costs.measure(bench, [bouncer, braid])
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
                        able = [a for a in (t.able(protocol, n) for t in (direct, bouncer, split)) if a]
                        bench.cell(name, able, lambda t: bench.pgbench(t, n, options.seconds, "-M", protocol, *kind))


def main():
    options = parse_arguments()
    if not os.path.exists(options.binary):
        sys.exit(f"{os.path.relpath(options.binary)} is missing: cargo build --release (`make bench` does it)")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    begin = time.monotonic()
    bench = Bench(None, options)
    if options.resume or options.report:
        bench.resume()
    try:
        if not options.report:
            measure(bench, options)
    except (Failure, OSError) as failure:
        sys.exit(f"bench: {failure}")
    text = report.markdown(bench.facts, bench.results, PARTS)
    print()
    print(report.goals(bench.results))
    if options.out != "-":
        with open(options.out, "w", encoding="utf-8") as f:
            f.write(text)
        print(f"written: {os.path.relpath(options.out)}")
    print(f"{time.monotonic() - begin:.0f} s")


main()
