#!/usr/bin/env python3
"""What a request over Memcached's text protocol costs: CPU time of the server's threads, server beside server.

    cargo build --release && cargo build --release -p larder-engine --example memcached_load
    bench/memcached.py --server "memcached=memcached -U 0 -m 1024" --server "larder=target/release/larder memcached -U 0 -m 1024"

With one worker the server has core 0 and the load core 1. `--workers 1,2` adds runs without pinning, two programs of
load, with one worker and with two: a request should cost as much. `--memory` tells resident bytes per item beyond its
16-byte key and 32-byte value, four million of them, for each number of workers.
"""

import argparse
import os
import pathlib
import shlex
import socket
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOAD = ROOT / "target/release/examples/memcached_load"
# Words of the load: what it asks for, how often, pipeline.
TESTS = {
    "get-p1": ("get", 400_000, 1),
    "set-p1": ("set", 400_000, 1),
    "get-p16": ("get", 3_000_000, 16),
    "set-p16": ("set", 3_000_000, 16),
    "multiget-100": ("multiget", 60_000, 1),
}
ITEMS = 4_000_000
KEY, VALUE = 16, 32
START_SECONDS_MAX = 30
SETTLE_SECONDS = 3  # allocators give back what they do not need a while later


class Server:
    def __init__(self, command, workers, pinned):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = [*shlex.split(command), "-p", str(self.port), "-t", str(workers)]
        if os.geteuid() == 0:
            words += ["-u", "root"]
        self.process = subprocess.Popen(["taskset", "-c", "0", *words] if pinned else words, stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"did not start: {shlex.join(words)}")
                time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def cpu_seconds(self):
        """From the scheduler, of all its threads."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def resident(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def load(self, kind, requests, *more, programs=1, pinned=True):
        words = [LOAD, str(self.port), kind, str(requests), *map(str, more)]
        words = ["taskset", "-c", "1", *words] if pinned else words
        running = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(programs)]
        if any(program.wait() for program in running):
            raise SystemExit("the load failed")


def cost(command, test, workers, two):
    """Microseconds of CPU time per request."""
    kind, requests, pipeline = TESTS[test]
    programs = 2 if two else 1
    with Server(command, workers, pinned=not two) as server:
        server.load("fill", 1_000_000)
        before = server.cpu_seconds()
        server.load(kind, requests, pipeline, programs=programs, pinned=not two)
        return (server.cpu_seconds() - before) / requests / programs * 1e6


def memory(command, workers):
    with Server(command, workers, pinned=False) as server:
        empty = server.resident()
        server.load("fill", ITEMS, 100, 50, ITEMS, pinned=False)
        time.sleep(SETTLE_SECONDS)
        return (server.resident() - empty) / ITEMS - KEY - VALUE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", action="append", required=True, help="NAME=COMMAND; the first is the unit")
    parser.add_argument("--tests", default=",".join(TESTS), help="of: " + ",".join(TESTS))
    parser.add_argument("--rounds", type=int, default=3, help="in turn; medians are compared (3)")
    parser.add_argument("--workers", help="numbers of workers to compare, such as 1,2")
    parser.add_argument("--memory", action="store_true", help="bytes per item instead of time")
    options = parser.parse_args()
    servers = dict(server.split("=", 1) for server in options.server)
    counts = [int(count) for count in (options.workers or "1").split(",")]
    cells = [(name, count) for name in servers for count in counts]
    if options.memory:
        for name, count in cells:
            found = [memory(servers[name], count) for _ in range(options.rounds)]
            print(f"{name}, {count} worker(s): bytes per item over key and value: " + ", ".join(f"{one:.1f}" for one in found), flush=True)
        return
    for test in options.tests.split(","):
        found = {cell: [] for cell in cells}
        for number in range(options.rounds):
            for name, count in cells if number % 2 == 0 else cells[::-1]:
                found[name, count].append(cost(servers[name], test, count, options.workers is not None))
        unit = statistics.median(found[cells[0]])
        for name, count in cells:
            middle = statistics.median(found[name, count])
            rounds = " ".join(f"{one:.3f}" for one in found[name, count])
            print(f"{test:13} {name:12} {count} worker(s): {middle:7.3f} us ({unit / middle:.2f})  rounds: {rounds}", flush=True)


if __name__ == "__main__":
    main()
