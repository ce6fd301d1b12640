"""Where a proxy's time goes: samples of its processor time by part (perf), and its system calls a transaction (strace)."""

import os
import re
import shutil
import subprocess
import threading
import time

CLIENTS = 8
COMMAND = "perf record -e cpu-clock -F 2000 -p PID sleep 3 && perf report --no-children --sort dso,symbol"
# The first part whose pattern is in a line of the report has it.
PARTS = (
    ("kernel: network", r"\[k\].*\b(_*tcp_|_*ip_|_*inet|_*sk_|skb|_*napi|netif|_*dev_|loopback|sock|_*sys_send|_*sys_recv|_*alloc_skb|_*copy_|simple_copy|nf_|dst_|eth_|"
                        r"lock_sock|release_sock|_*local_bh|do_softirq|net_rx|process_backlog|security_socket|_*kmalloc|_*kfree|kmem_cache|slab)"),
    ("kernel: waking and switching", r"\[k\].*(wake|sched|switch|_raw_spin|rq|pick_|enqueue|dequeue|update_|idle|rcu|finish_task|load_balance|timer|clock)"),
    ("kernel: epoll", r"\[k\].*\b(_*ep_|epoll|do_epoll|ep_|sock_poll|tcp_poll)"),
    ("kernel: the rest (entry and exit of system calls, …)", r"\[k\]"),
    ("libc (memory, copying, wrappers of system calls), vdso (clock)", r"\b(libc|ld-linux|\[vdso\])"),
    ("libevent", r"libevent"),
    ("tokio, mio", r"tokio|mio::"),
    ("pgbraid: statements (lexer, fingerprint, plan)", r"pgbraid::(sql|plan)"),
    ("pgbraid: pools and servers", r"pgbraid::(backend|topology|telemetry)"),
    ("pgbraid: sessions, frames, the relay", r"pgbraid::"),
    ("the rest of the process", r""),
)


def measure(bench, targets):
    """Shares by part for each target, and system calls a transaction, as far as perf and strace are there."""
    name = ("profile", "select simple", CLIENTS)
    if name in bench.results:
        return
    seen = {}
    for target in targets:
        figures = {}
        for tool, look in (("perf", shares), ("strace", calls)):
            if shutil.which(tool):
                figures |= under_load(bench, target, look)
        if figures:
            seen[target.name] = [figures]
    if seen:
        bench.keep(name, seen)


def under_load(bench, target, look):
    """What `look` sees of the process while clients are at work."""
    done = {}
    load = threading.Thread(target=lambda: done.update(bench.pgbench(target, CLIENTS, 8, "-S")))
    load.start()
    time.sleep(bench.logins.get((target.name, CLIENTS, False), 0) + 2)
    found = look(target.pid, os.path.join(bench.servers.dir, "look"))
    load.join()
    return found


def shares(pid, path):
    subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-p", str(pid), "-o", path, "sleep", "3"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    report = subprocess.run(["perf", "report", "-i", path, "--stdio", "--no-children", "--sort", "dso,symbol"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found = {}
    for line in report.splitlines():
        share = re.match(r"\s*([\d.]+)%\s+(.*)", line)
        if share:
            part = next(part for part, pattern in PARTS if re.search(pattern, share[2]))
            found[part] = found.get(part, 0) + float(share[1])
    return found


def calls(pid, path):
    """System calls for each one that sends: two of these are a transaction."""
    watcher = subprocess.Popen(["strace", "-f", "-c", "-o", path, "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(3)
    watcher.terminate()
    watcher.wait()
    counts = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            fields = line.split()
            if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                counts[fields[-1]] = int(fields[3])
    sends = sum(count for call, count in counts.items() if call.startswith(("send", "write")))
    return {f"calls: {call}": 2 * count / sends for call, count in counts.items() if sends and count > sends / 100}
