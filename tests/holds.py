#!/usr/bin/env python3
"""How long a partition is held: the longest hold, in processor time, while tables grow, keys die, values go.

Needs a node that measures it:

    cargo build --release -p larder-engine --example node --features holds
    tests/holds.py target/release/examples/node [SIZE]

Processor time of the thread that holds, so other work of the machine does not count. What is O(n) by nature holds its
partition for as long as it takes, and is shown for comparison: marked with a star.
"""

import socket
import subprocess
import sys
import tempfile
import time

from ports import free_port

MILLION = 1_000_000
BATCH = 500
EACH = 100
START_SECONDS_MAX = 30
PATIENCE_SECONDS = 120
MAXMEMORY = 256 << 20


def encode(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Node:
    def __init__(self, program, threads):
        self.port, self.folder = free_port(), tempfile.TemporaryDirectory()
        command = [program, "--port", str(self.port), "--threads", str(threads), "--dir", self.folder.name,
                   "--save", "", "--enable-debug-command", "yes"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        self.socket.sendall(encode(*words))
        return self.read()

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(line)
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def many(self, commands):
        """Pipelined, a batch at a time."""
        batch = []
        for command in commands:
            batch.append(encode(*command))
            if len(batch) == BATCH:
                self.send(batch)
                batch = []
        self.send(batch)

    def send(self, batch):
        self.socket.sendall(b"".join(batch))
        for _ in batch:
            self.read()

    def until(self, condition):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > end:
                sys.exit("waited in vain")
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def batches(total, make):
    """Numbers from 0 on in groups, each made to the words of a command."""
    return (make(range(at, min(at + EACH, total))) for at in range(0, total, EACH))


def collection(kind, key, total):
    make = {
        "set": lambda some: ["SADD", key, *(f"m{n}" for n in some)],
        "hash": lambda some: ["HSET", key, *(word for n in some for word in (f"f{n}", n))],
        "zset": lambda some: ["ZADD", key, *(word for n in some for word in (n * 7919 % total, f"m{n}"))],
        "list": lambda some: ["RPUSH", key, *(f"m{n}" for n in some)],
        "stream": None,
    }[kind]
    return batches(total, make)


REMOVAL = {
    "set": lambda some: ["SREM", "c", *(f"m{n}" for n in some)],
    "hash": lambda some: ["HDEL", "c", *(f"f{n}" for n in some)],
    "zset": lambda some: ["ZREM", "c", *(f"m{n}" for n in some)],
    "list": lambda some: ["LPOP", "c", len(some)],
}


def measure(node, size):
    """Yields names of what was just done; what was held meanwhile belongs to that."""
    keys = lambda prefix, *tail: ([*("SET", f"{prefix}{n}", n), *tail] for n in range(size))
    node.many(keys("k"))
    yield "growth, keys of all partitions"
    node.many(keys("{tag}"))
    yield "growth, keys of one partition"
    node.call("KEYS", "*x*")
    yield "* KEYS, two million keys, half of them in one partition"
    node.call("FLUSHALL")
    yield "FLUSHALL"
    for kind, removal in REMOVAL.items():
        node.many(collection(kind, "c", size))
        yield f"growth of a {kind}"
        node.many(batches(size, removal))
        yield f"shrinking of a {kind}"
        for command in (["UNLINK", "c"], ["DEL", "c"], ["PEXPIRE", "c", 100]):
            node.many(collection(kind, "c", size))
            node.call("DEBUG", "HOLDS")
            node.call(*command)
            node.until(lambda: node.call("DBSIZE") == 0)
            yield f"{command[0]} of a {kind}"
    at = int(time.time() * 1000) + 1000 * (size // 30_000 + 5)
    node.many(keys("k", "PXAT", at))
    yield "growth, keys with deadlines"
    node.until(lambda: node.call("DBSIZE") == 0)
    yield "expiry of all of them at once"
    node.many(keys("{tag}", "PXAT", int(time.time() * 1000) + 1000 * (size // 30_000 + 5)))
    yield "growth, keys with deadlines in one partition"
    node.until(lambda: node.call("DBSIZE") == 0)
    yield "expiry of all of them at once"
    node.many(keys("{tag}"))
    node.call("DEBUG", "HOLDS")
    node.call("PEXPIRE", "{tag}1", 10 ** 9)
    yield "the first deadline in a full partition"
    node.call("FLUSHALL")
    node.many(collection("hash", "c", size))
    at = int(time.time() * 1000) + 1000 * (size // 30_000 + 5)
    node.many(batches(size, lambda some: ["HPEXPIREAT", "c", at, "FIELDS", len(some), *(f"f{n}" for n in some)]))
    yield "deadlines of fields"
    node.until(lambda: node.call("DBSIZE") == 0)
    yield "expiry of all fields of a hash at once"
    node.call("CONFIG", "SET", "maxmemory", MAXMEMORY, "maxmemory-policy", "allkeys-lru")
    node.many(["SET", f"k{n}", b"v" * (n % 1000)] for n in range(size))
    yield "eviction"
    node.call("CONFIG", "SET", "maxmemory", 0)
    node.call("FLUSHALL")
    node.many(collection("set", "c", size))
    node.call("DEBUG", "HOLDS")
    for command in (["SMEMBERS", "c"], ["SUNIONSTORE", "d", "c"], ["COPY", "c", "e"]):
        node.call(*command)
        yield f"* {command[0]} of all members of a set"


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    for threads in (1, 2):
        node = Node(program, threads)
        try:
            node.call("DEBUG", "HOLDS")
            for name in measure(node, int(wanted[0]) if wanted else MILLION):
                longest, *counts = node.call("DEBUG", "HOLDS")
                above = sum(count for power, count in enumerate(counts) if power > 20)
                print(f"{threads} workers, {name}: longest {longest / 1e6:.3f} ms, {above} above 1 ms, of {sum(counts)}", flush=True)
        finally:
            node.stop()


if __name__ == "__main__":
    main()
