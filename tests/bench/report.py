"""Figures to text: lines while it runs, and docs/benchmarks.md."""

import os
import platform
import statistics
import subprocess
import time

import costs


class Figures(dict):
    """What was measured of one target: the median of each figure; `rounds` has all."""

    def __init__(self, rounds):
        super().__init__({k: None if rounds[0][k] is None else statistics.median(r[k] for r in rounds) for k in rounds[0]})
        self.rounds = rounds


def number(value, digits=1):
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}"


def ratios(mine, base, key):
    """The ratios round by round: what both met alike, such as other work on the machine, falls out."""
    return [a[key] / b[key] for a, b in zip(mine.rounds, base.rounds)]


def paired(mine, base, key):
    """The median of these ratios; None where one of both has no such figure."""
    if not base or not mine or base[key] is None or mine[key] is None:
        return None
    return statistics.median(ratios(mine, base, key))


def spread(mine, base, key):
    """The median in words, and where the middle half of the rounds lies."""
    seen = ratios(mine, base, key)
    if len(seen) < 4:
        return f"{statistics.median(seen):.2f}×"
    low, middle, high = statistics.quantiles(seen, n=4, method="inclusive")
    return f"{middle:.2f}× ({low:.2f}–{high:.2f})"


def has_goal(cell):
    """Whether CPU and transactions of it are judged beside PgBouncer's."""
    return cell[0] in ("select", "tpcb") and cell[2] in (8, 32)


def busy_cores(seconds):
    """How many cores other programs keep busy, seen for some seconds."""

    def ticks():
        with open("/proc/stat", encoding="ascii") as f:
            fields = [int(x) for x in f.readline().split()[1:9]]
        return sum(fields) - fields[3] - fields[4]

    before = ticks()
    time.sleep(seconds)
    return (ticks() - before) / seconds / os.sysconf("SC_CLK_TCK")


def line(name, medians):
    """One cell as it is printed while the benchmark runs."""
    words = " ".join(str(w) for w in name)
    cells = []
    for target, figures in medians.items():
        cells.append(f"{target} " + " ".join(f"{number(v)} {k}" for k, v in figures.items() if v is not None))
    return f"{words:28} " + " | ".join(cells)


def facts(servers, bouncer, options, busy):
    """What the figures depend on, without naming the machine."""
    model = "unknown processor"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            model = next((row.split(":", 1)[1].strip() for row in f if row.startswith("model name")), model)
    except OSError:
        pass
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(f.readline().split()[1]) / 1048576
    postgres = subprocess.run([os.path.join(servers.bin, "postgres"), "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[2]
    braid = subprocess.run([options.binary, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip() or "pgbraid"
    cores = len(os.sched_getaffinity(0))
    return (f"{cores} cores ({model}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]}; PostgreSQL {postgres}, PgBouncer {bouncer}, "
            f"{braid}; {options.rounds} rounds of {options.seconds} s, pgbench scale {options.scale}. Before it began, other programs kept "
            f"{busy:.1f} cores busy")


def verdict(cpu):
    return "yes" if cpu <= 1.0 else "acceptable" if cpu <= 1.15 else "no"


def goal_rows(results):
    """The goals beside what was measured: (goal, measured, met or not)."""
    out = []
    for name, cell in results.items():
        if not has_goal(name) or not cell.get("pgbouncer"):
            continue
        what = f"select {name[1]}" if name[0] == "select" else "TPC-B"
        cpu, rate = (paired(cell["pgbraid"], cell["pgbouncer"], key) for key in ("cpu", "tps"))
        out.append((f"CPU a transaction ≤ 1.0× PgBouncer's (1.15× acceptable), {what}, {name[2]} clients",
                    spread(cell["pgbraid"], cell["pgbouncer"], "cpu"), verdict(cpu)))
        out.append((f"transactions/s ≥ PgBouncer's, {what}, {name[2]} clients",
                    spread(cell["pgbraid"], cell["pgbouncer"], "tps"), "yes" if rate >= 1.0 else "no"))
    for name, cell in results.items():
        if name[0] == "idle":
            kib = cell["pgbraid"]["kib"]
            out.append((f"≤ 4 KiB of memory an idle client ({name[1]:,} clients)", f"{kib:.1f} KiB", "yes" if kib <= 4 else "no"))
        if name[0] == "rows" and name[1] != "COPY in":
            speed = paired(cell["direct"], cell["pgbraid"], "s")
            out.append((f"large result by {name[1]} ≥ 0.95× direct", f"{speed:.2f}×", "yes" if speed >= 0.95 else "no"))
            grown = cell["pgbraid"]["grown_kib"]
            out.append((f"memory doesn't grow with the result ({name[1]})", f"+{grown / 1024:.1f} MiB at its peak", "yes" if grown < 8192 else "no"))
    return out


def shard_rows(results):
    """The goals over shards beside what was measured."""
    out = []
    for name, cell in results.items():
        if name[0] != "shards":
            continue
        what = name[1]
        if what.startswith("point select"):
            cpu = paired(cell["routed"], cell["pass-through"], "cpu")
            out.append([f"routed {what}, 8 clients: CPU ≤ 1.15× the unsharded pass-through (and 15 µs on a quiet machine)",
                        f"{cell['routed']['cpu']:.1f} µs, {cpu:.2f}×", "yes" if cpu <= 1.15 else "no"])
        elif what.startswith("ORDER BY"):
            cpu = paired(cell["routed"], cell["pass-through"], "cpu")
            out.append([f"{what} over two shards, 8 clients: CPU ≤ 35 µs (on a machine where the pass-through takes 13, so 2.7×)",
                        f"{cell['routed']['cpu']:.1f} µs, {cpu:.2f}× the pass-through", "yes" if cpu <= 2.7 else "no"])
        elif what.startswith("GROUP BY"):
            times = paired(cell["over both"], cell["slowest shard alone"], "s")
            out.append([f"{what} over two shards: time to the slowest shard's own, as near 1 as can be (the shards share the cores)",
                        f"{times:.2f}×", "–"])
        elif what.startswith("merging"):
            small, large = cell["10,000 rows"], cell["1,000,000 rows"]
            out.append([f"{what}: rows a second, on {number(large['cpu_us_row'], 2)} µs of CPU each", f"{number(large['rows/s'])}/s", "–"])
            out.append([f"{what}: memory that doesn't grow with the result", f"+{large['grown_kib'] / 1024:.1f} MiB",
                        "yes" if large["grown_kib"] < 8192 else "no"])
            first = paired(large, small, "first_ms")
            out.append([f"{what}: time to the first row doesn't hang on the size (a million rows to ten thousand)",
                        f"{large['first_ms']:.1f} ms, {first:.2f}×", "yes" if first <= 1.5 else "no"])
    return out


def write_rows(results):
    """The goals of writes over shards beside what was measured."""
    out = []
    for name, cell in results.items():
        if name[0] != "writes":
            continue
        what, one, two = name[1], cell["one PostgreSQL"], cell["two shards"]
        if what.startswith("COPY"):
            rate = paired(one, two, "s")
            out.append([f"{what} into two shards: rate ≥ 1.0× one PostgreSQL's (all on the same cores)", f"{rate:.2f}×", "yes" if rate >= 1 else "no"])
            out.append([f"{what} into two shards: CPU a row ≤ 0.5 µs", f"{two['cpu_us_row']:.2f} µs", "yes" if two["cpu_us_row"] <= 0.5 else "no"])
        elif what.startswith("transactions"):
            for where in ("one shard", "two shards"):
                out.append([f"{what}, {where}: time to one PostgreSQL's own", f"{paired(cell[where], one, 'ms'):.2f}×", "–"])
            out.append([f"{what}: two shards to one shard", f"{paired(two, cell['one shard'], 'ms'):.2f}×, {two['ms']:.2f} ms", "–"])
        elif what.startswith("INSERT"):
            out.append([f"{what} over two shards: time to one PostgreSQL's own", f"{paired(two, one, 'ms'):.2f}×, {two['cpu_us_row']:.2f} µs of CPU a row", "–"])
    return out


def join_rows(results):
    """The goal of joins off the key beside what was measured."""
    out = []
    for name, cell in results.items():
        two = cell.get("two shards")
        if name[0] == "tpch" and two and two["least_kib"]:
            times = two["given_kib"] / two["least_kib"]
            out.append([f"{name[1]}: bytes that shards give ≤ 1.2× the needed columns of the smaller side and of the larger one's matching rows",
                        f"{times:.2f}×, and {two['told_kib'] / two['least_kib']:.2f}× told to servers (rows and keys that go along, and the rows for the rest)",
                        "yes" if times <= 1.2 else "no"])
    return out


def tpch_table(results):
    """TPC-H query by query."""
    rows = []
    for name, cell in results.items():
        if name[0] == "tpch":
            one, two = cell["one PostgreSQL"], cell["two shards"]
            rows.append([name[1], number(one["ms"]), number(two["ms"]), f"{paired(two, one, 'ms'):.2f}×", number(two["given_kib"]), number(two["told_kib"])])
    rows.sort(key=lambda row: (len(row[0]), row[0]))
    return table(["query", "one PostgreSQL ms", "two shards ms", "ratio", "servers gave KiB", "were told KiB"], rows) if rows else ""


def goals(results):
    rows = [*goal_rows(results), *shard_rows(results), *write_rows(results), *join_rows(results)]
    return "\n".join(f"{verdict:10} {measured:>10}  {goal}" for goal, measured, verdict in rows)


def order(cell):
    """Cells of one kind by number of clients."""
    name = cell[0]
    kinds = ("simple", "extended", "prepared")
    return [name[0], *(kinds.index(word) if word in kinds else word for word in name[1:] if not isinstance(word, int))].__repr__(), str(name[-1]).zfill(8)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join([" --- "] + [" ---: "] * (len(head) - 1)) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def transaction_table(results, choose, mine="pgbraid"):
    rows = []
    for name, cell in results.items():
        if not choose(name):
            continue
        words = [w for w in name if w != "replica"]
        title = f"{words[0]} {words[1]}, {words[2]}"
        d, b, p = cell.get("direct"), cell.get("pgbouncer"), cell[mine]
        part = lambda x, k, digits=1: number(x[k], digits) if x else "–"
        times = lambda k: "–" if paired(p, b, k) is None else f"{paired(p, b, k):.2f}×"
        rows.append([title, part(d, "tps"), part(b, "tps"), part(p, "tps"), times("tps"), part(b, "cpu"), part(p, "cpu"), times("cpu"),
                     part(d, "ms", 2), part(b, "ms", 2), part(p, "ms", 2)])
    head = ["pgbench, clients", "direct tps", "PgBouncer tps", "pgbraid tps", "ratio", "PgBouncer CPU µs", "pgbraid CPU µs", "ratio",
            "direct ms", "PgBouncer ms", "pgbraid ms"]
    return table(head, rows) if rows else ""


INTRODUCTION = """# Benchmarks

Written by `make bench` (`tests/bench/run.py`), figures and all; don't edit it. {facts}.

PostgreSQL, PgBouncer, pgbraid and pgbench share these cores, over TCP on loopback, perhaps with other programs. So absolute
figures are worth little: they vary from day to day. Each cell is measured on all targets in turn, in another order each
round; figures are medians over the rounds, ratios are medians of the rounds' own ratios, pgbraid to PgBouncer. They, and CPU
a transaction, are what to look at. Where goals are set, cells take four times the rounds, and in brackets stands where the middle
half of the ratios lies: one round may be off by a third. Four times within such a cell the proxies are started anew: how a
process lies in memory and on the cores is chance that stays with it. CPU is the proxy's own, user and system, from the kernel's
accounting of its threads while all clients are logged in.

Both proxies pool by transaction with the same number of server connections; pgbraid runs with its defaults: statements
parsed, reads told from writes, sessions tracked, prepared statements shared. fsync is off, so that TPC-B measures the way to
the server and not the disk. PgBouncer shares prepared statements since 1.21; an older one is measured with them in session
pooling, as long as there are no more clients than server connections.

`make bench ARGS="--help"` tells how to run parts of it, for longer, or another binary beside it.
"""


def markdown(facts_line, results, wanted):
    parts = [INTRODUCTION.format(facts=facts_line)]
    results = dict(sorted(results.items(), key=order))
    missing = [part for part in wanted if not any(name[0] == part for name in results)]
    if missing:
        parts.append(f"The run was interrupted; not measured: {', '.join(missing)}. `make bench ARGS=--resume` goes on with it.\n")
    rows = goal_rows(results)
    if rows:
        parts.append("## Goals\n\n" + table(["goal", "measured", "met"], [list(r) for r in rows]) + "\n")
    parts.append("## Transactions\n\n" + transaction_table(results, lambda n: n[0] in ("select", "tpcb")) + "\n")
    connects = transaction_table(results, lambda n: n[0] == "connect")
    if connects:
        parts.append("## A connection for every query\n\n`pgbench -C -S`, with SCRAM-SHA-256 on both sides of the client.\n\n" + connects + "\n")
    split = transaction_table(results, lambda n: n[0] == "replica", "split")
    if split:
        parts.append("## With a replica\n\nThe same with a streaming replica on the same cores, and reads going there; PgBouncer and the direct "
                     "connection use the primary alone.\n\n" + split + "\n")
    over = shard_rows(results)
    if over:
        parts.append("## Two shards\n\n" + table(["goal", "measured", "met"], over) + "\n")
    written = write_rows(results)
    if written:
        parts.append("## Writes over two shards\n\nThe shards are databases of the server beside which they are measured.\n\n"
                     + table(["goal", "measured", "met"], written) + "\n")
    joined = tpch_table(results)
    if joined:
        parts.append("## TPC-H over two shards\n\nThe queries of `tests/corpus/tpch` at a fiftieth of scale 1, and a join of two tables off their keys; orders and "
                     "lineitem lie by the order, part and partsupp by the part, customer by itself, the others are reference tables. The shards are "
                     "databases of the server beside which they are measured. What servers give and are told is all that goes between them and pgbraid "
                     "for one run.\n\n" + joined + "\n\n" + table(["goal", "measured", "met"], join_rows(results)) + "\n")
    idle = [[f"{name[1]:,}", *(number(cell[t]["kib"]) for t in ("pgbouncer", "pgbraid"))] for name, cell in results.items() if name[0] == "idle"]
    if idle:
        parts.append("## Idle clients\n\nGrowth of the process (proportional set size) a client that has run one query and is silent.\n\n"
                     + table(["clients", "PgBouncer KiB each", "pgbraid KiB each"], idle) + "\n")
    large = []
    for name, cell in results.items():
        if name[0] == "rows":
            d, b, p = cell["direct"], cell["pgbouncer"], cell["pgbraid"]
            large.append([name[1], number(d["s"], 2), number(b["s"], 2), number(p["s"], 2), f"{paired(d, p, 's'):.2f}×", number(b["cpu_s"], 2),
                          number(p["cpu_s"], 2), number(b["grown_kib"] / 1024), number(p["grown_kib"] / 1024)])
    head = ["a million rows", "direct s", "PgBouncer s", "pgbraid s", "speed to direct", "PgBouncer CPU s", "pgbraid CPU s", "PgBouncer peak +MiB",
            "pgbraid peak +MiB"]
    if large:
        parts.append("## Large results and loads\n\nThe client reads and drops bytes as fast as they come.\n\n" + table(head, large) + "\n")
    where = where_time_goes(results)
    if where:
        parts.append(where)
    return "\n".join(parts)


def where_time_goes(results):
    """The profile: shares of the samples, and system calls."""
    cell = next((cell for name, cell in results.items() if name[0] == "profile"), None)
    if not cell:
        return ""
    targets = list(cell)
    parts = [part for part, _ in costs.PARTS if any(part in cell[t] for t in targets)]
    calls = sorted({key for t in targets for key in cell[t] if key.startswith("calls: ")})
    text = f"## Where the time goes\n\n`pgbench -S`, simple protocol, {costs.CLIENTS} clients"
    if parts:
        rows = [[part, *(f"{cell[t].get(part, 0):.1f} %" for t in targets)] for part in parts]
        rows.append(["kernel in all", *(f"{sum(share for part, share in cell[t].items() if part.startswith('kernel')):.1f} %" for t in targets)])
        text += f"; samples of the process by `{costs.COMMAND}`:\n\n" + table(["part", *targets], rows) + "\n"
    if calls:
        rows = [[key.removeprefix("calls: "), *(f"{cell[t].get(key, 0):.2f}" for t in targets)] for key in calls]
        text += "\n\nSystem calls a transaction (`strace -f -c -p PID`, which slows what it watches: more events come at once then):\n\n"
        text += table(["call", *targets], rows) + "\n"
    return text
