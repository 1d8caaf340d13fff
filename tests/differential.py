#!/usr/bin/env python3
"""Random commands on all types, sent to a real redis-server 7.0 and to a Larder node; every reply must be the same.

Replies are compared with their wire types (RESP2 in even rounds, RESP3 in odd ones). Where Redis promises no order,
members are sorted first; where it draws at random, shapes and membership are checked and both sides are made equal
again. The seed is printed; the same seed gives the same commands.

    tests/differential.py                     a short run; finds target/*/larder, starts both servers
    LARDER_DIFFERENTIAL_STEPS=1000000 ...     a long run
    LARDER_DIFFERENTIAL_KINDS=f               families of commands; f (hash fields with deadlines) is not among those
                                              that are played unless told, because redis-server 7.0 does not have it
    tests/differential.py --peer "command"    another server than redis-server
    tests/differential.py --seed 42 --port P  one seed against a node that already listens on P
"""

import argparse
import os
import random
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import differential_bits as bits
import differential_values as values
from differential_fields import field_commands
from differential_versions import Peer
from ports import free_port

STEPS_DEFAULT = 20_000
STEPS_PER_ROUND = 2_000
START_SECONDS_MAX = 30

# Limits low enough for short histories to cross every encoding, on both sides.
LIMITS = {
    "hash-max-listpack-entries": "8",
    "zset-max-listpack-entries": "8",
    "set-max-intset-entries": "8",
    "list-max-listpack-size": "4",
    "hll-sparse-max-bytes": "300",
}


class Typed(tuple):
    """A reply with its wire type: (type byte, content)."""


class Client:
    def __init__(self, port, protocol):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(START_SECONDS_MAX)
        self.file = self.socket.makefile("rb")
        if protocol == 3:
            self.call("HELLO", "3")

    def call(self, *args):
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in args]
        head = b"*%d\r\n" % len(parts)
        self.socket.sendall(head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"connection ended in {line!r}")
        kind, rest = line[:1], line[1:-2]
        if kind in b"$=":
            size = int(rest)
            return Typed((kind, None if size < 0 else self.file.read(size + 2)[:-2]))
        if kind in b"*~>%":
            size = int(rest) * (2 if kind == b"%" else 1)
            return Typed((kind, None if size < 0 else tuple(self.read() for _ in range(size))))
        return Typed((kind, rest))

    def close(self):
        self.file.close()
        self.socket.close()


class Server:
    """A server process on a free port, stopped by its own id."""

    def __init__(self, command, folder):
        self.port = free_port()
        limits = [word for name, value in LIMITS.items() for word in (f"--{name}", value)]
        log = open(folder / f"{self.port}.log", "wb")
        # The folder is not there for a server in another root; it saves nothing.
        place = [] if command[0] == "chroot" else ["--dir", str(folder)]
        self.process = subprocess.Popen([*command, "--port", str(self.port), *place, *limits], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                Client(self.port, 2).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command[0]} did not start: {Path(log.name).read_text(errors='replace')}")
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Arguments:
    """Random arguments: mostly meaningful, sometimes wrong."""

    def __init__(self, dice):
        self.dice = dice

    def key(self):
        # Keys lean towards one type each, so that WRONGTYPE comes up but does not drown the rest.
        # Nobody but their own commands touches HyperLogLogs: a corrupt one is left half changed by Redis, not by Larder.
        kind = self.kind if self.dice.random() < 0.96 else self.dice.choice("hlsztbg")
        return f"{kind}{self.dice.randrange(4)}"

    def member(self):
        dice = self.dice
        pick = dice.random()
        if pick < 0.55:
            return f"m{dice.randrange(24)}"
        if pick < 0.9:
            return str(dice.randrange(-12, 12))
        if pick < 0.97:
            return str(dice.choice([2**15, -(2**15) - 1, 2**31, -(2**63), 2**63 - 1, 2**63, "007", "-0", "+1", " 1"]))
        return dice.choice([b"", b"\x00\xff\r\n", b"x" * 65, b"y" * 300])

    def value(self):
        return self.member() if self.dice.random() < 0.95 else b"v" * self.dice.choice([64, 65, 5_000, 70_000])

    def integer(self):
        dice = self.dice
        if dice.random() < 0.93:
            return dice.randrange(-8, 9)
        return dice.choice(["", "x", "1.5", " 1", "01", 2**63 - 1, -(2**63), 2**63, -(2**63) + 1])

    def rank(self):
        # 7.0 negates the smallest integer unnoticed; 7.2 and Larder refuse it.
        rank = self.integer()
        return -1 if rank == -(2**63) else rank

    def count(self):
        dice = self.dice
        return dice.randrange(0, 6) if dice.random() < 0.92 else dice.choice([-1, "", "x", 2**63, 2**63 - 1, 1000])

    def score(self):
        dice = self.dice
        if dice.random() < 0.93:
            return str(dice.randrange(-16, 17) / 2).removesuffix(".0")
        return dice.choice(["inf", "-inf", "+inf", "nan", "", "x", "1e3", "1e21", "-1e300", "9007199254740993", " 1"])

    def score_bound(self):
        return ("(" if self.dice.random() < 0.3 else "") + self.score()

    def name_bound(self):
        dice = self.dice
        pick = dice.random()
        if pick < 0.3:
            return dice.choice("-+")
        if pick < 0.95:
            return dice.choice("[(") + dice.choice(["m1", "m2", "m", "a", "z", "", "m15", "0", "-1"])
        return dice.choice(["", "x", "m1", "(-", "[+", "++"])

    def word(self, *words):
        word = self.dice.choice(words)
        pick = self.dice.random()
        return "junk" if pick < 0.03 else word.lower() if pick < 0.3 else word

    def some(self, make, least=1, most=4):
        return [item for _ in range(self.dice.randint(least, most)) for item in listed(make())]

    def keys(self):
        keys = self.some(self.key, 1, 3)
        count = len(keys) if self.dice.random() < 0.95 else self.dice.choice([0, -1, 9, "x", 2**63 - 1])
        return [count, *keys]

    def options(self, *makers):
        """Each option with a chance of a third, in random order."""
        chosen = [maker for maker in makers if self.dice.random() < 0.33]
        self.dice.shuffle(chosen)
        return [item for maker in chosen for item in listed(maker())]


def listed(item):
    return item if isinstance(item, list) else [item]


def hash_commands(a):
    field, key = a.member, a.key
    return [
        (6, "HSET", lambda: [key(), *a.some(lambda: [field(), a.value()])]),
        (1, "HMSET", lambda: [key(), *a.some(lambda: [field(), a.value()])]),
        (1, "HSETNX", lambda: [key(), field(), a.value()]),
        (2, "HGET", lambda: [key(), field()]),
        (1, "HMGET", lambda: [key(), *a.some(field)]),
        (2, "HGETALL", lambda: [key()]),
        (1, "HKEYS", lambda: [key()]),
        (1, "HVALS", lambda: [key()]),
        (4, "HDEL", lambda: [key(), *a.some(field, 1, 8)]),
        (1, "HEXISTS", lambda: [key(), field()]),
        (1, "HLEN", lambda: [key()]),
        (1, "HSTRLEN", lambda: [key(), field()]),
        (2, "HINCRBY", lambda: [key(), field(), a.integer()]),
        (2, "HINCRBYFLOAT", lambda: [key(), field(), a.dice.choice(["0.5", "-2.25", "3", "0.1", "-0.7", "1e-3", "1e20", "1e3", "x", "", "nan", "inf", "1e5000"])]),
        (2, "HRANDFIELD", lambda: [key(), *a.options(a.integer)]),
        (1, "HRANDFIELD", lambda: [key(), a.integer(), a.word("WITHVALUES")]),
        (1, "HSCAN", lambda: [key(), 0, *scan_options(a)]),
    ]


def scan_options(a):
    return a.options(
        lambda: [a.word("MATCH"), a.dice.choice(["*", "m*", "m1?", "[0-4]", "\\m2", "nothing"])],
        lambda: [a.word("COUNT"), a.integer()],
    )


def list_commands(a):
    key, side = a.key, lambda: a.word("LEFT", "RIGHT")
    return [
        (4, "LPUSH", lambda: [key(), *a.some(a.value)]),
        (4, "RPUSH", lambda: [key(), *a.some(a.value)]),
        (1, "LPUSHX", lambda: [key(), *a.some(a.value)]),
        (1, "RPUSHX", lambda: [key(), *a.some(a.value)]),
        (2, "LPOP", lambda: [key(), *a.options(a.count)]),
        (2, "RPOP", lambda: [key(), *a.options(a.count)]),
        (1, "LLEN", lambda: [key()]),
        (3, "LRANGE", lambda: [key(), a.integer(), a.integer()]),
        (2, "LINDEX", lambda: [key(), a.integer()]),
        (2, "LSET", lambda: [key(), a.integer(), a.value()]),
        (2, "LINSERT", lambda: [key(), a.word("BEFORE", "AFTER"), a.member(), a.value()]),
        (2, "LREM", lambda: [key(), a.integer(), a.member()]),
        (1, "LTRIM", lambda: [key(), a.integer(), a.integer()]),
        (3, "LPOS", lambda: [key(), a.member(), *a.options(
            lambda: [a.word("RANK"), a.rank()],
            lambda: [a.word("COUNT"), a.count()],
            lambda: [a.word("MAXLEN"), a.count()])]),
        (2, "LMOVE", lambda: [key(), key(), side(), side()]),
        (1, "RPOPLPUSH", lambda: [key(), key()]),
        (2, "LMPOP", lambda: [*a.keys(), side(), *a.options(lambda: [a.word("COUNT"), a.count()])]),
    ]


def set_commands(a):
    key, keys = a.key, lambda: a.some(a.key, 1, 3)
    algebra = [(1, name, keys) for name in ("SINTER", "SUNION", "SDIFF")]
    stores = [(1, name, lambda: [key(), *keys()]) for name in ("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE")]
    return algebra + stores + [
        (6, "SADD", lambda: [key(), *a.some(a.member)]),
        (3, "SREM", lambda: [key(), *a.some(a.member, 1, 8)]),
        (1, "SISMEMBER", lambda: [key(), a.member()]),
        (1, "SMISMEMBER", lambda: [key(), *a.some(a.member)]),
        (2, "SMEMBERS", lambda: [key()]),
        (1, "SCARD", lambda: [key()]),
        (2, "SPOP", lambda: [key(), *a.options(a.count)]),
        (2, "SRANDMEMBER", lambda: [key(), *a.options(a.integer)]),
        (2, "SMOVE", lambda: [key(), key(), a.member()]),
        (1, "SINTERCARD", lambda: [*a.keys(), *a.options(lambda: [a.word("LIMIT"), a.count()])]),
        (1, "SSCAN", lambda: [key(), 0, *scan_options(a)]),
    ]


def sorted_set_commands(a):
    key = a.key
    limit = lambda: [a.word("LIMIT"), a.integer(), a.integer()]
    with_scores = lambda: a.word("WITHSCORES")
    weights = lambda: [a.word("WEIGHTS"), *a.some(a.score, 1, 3)]
    aggregate = lambda: [a.word("AGGREGATE"), a.word("SUM", "MIN", "MAX")]
    by_score, by_rank = a.score_bound, a.integer
    # By name only among equal scores: what a range by name is elsewhere, nobody promises.
    named = lambda: f"zn{a.dice.randrange(2)}"
    merged = lambda: [*a.keys(), *a.options(weights, aggregate, with_scores)]
    stored = lambda: [key(), *a.keys(), *a.options(weights, aggregate)]
    flags = lambda: a.options(*(lambda word=word: a.word(word) for word in ("NX", "XX", "GT", "LT", "CH")))
    return [
        (8, "ZADD", lambda: [key(), *flags(), *a.some(lambda: [a.score(), a.member()])]),
        (1, "ZADD", lambda: [key(), *flags(), a.word("INCR"), a.score(), a.member()]),
        (2, "ZADD", lambda: [named(), *a.some(lambda: ["0", f"m{a.dice.randrange(24)}"])]),
        (1, "ZINCRBY", lambda: [key(), a.score(), a.member()]),
        (3, "ZREM", lambda: [key(), *a.some(a.member, 1, 8)]),
        (1, "ZSCORE", lambda: [key(), a.member()]),
        (1, "ZMSCORE", lambda: [key(), *a.some(a.member)]),
        (1, "ZCARD", lambda: [key()]),
        (1, "ZCOUNT", lambda: [key(), by_score(), by_score()]),
        (1, "ZLEXCOUNT", lambda: [named(), a.name_bound(), a.name_bound()]),
        (2, "ZRANGE", lambda: [key(), by_rank(), by_rank(), *a.options(
            lambda: a.word("REV"), lambda: a.word("BYSCORE"), limit, with_scores)]),
        (2, "ZRANGE", lambda: [key(), by_score(), by_score(), a.word("BYSCORE"), *a.options(
            lambda: a.word("REV"), limit, with_scores)]),
        (2, "ZRANGE", lambda: [named(), a.name_bound(), a.name_bound(), a.word("BYLEX"), *a.options(
            lambda: a.word("REV"), limit, with_scores)]),
        (1, "ZRANGESTORE", lambda: [key(), key(), by_rank(), by_rank(), *a.options(lambda: a.word("REV"), limit)]),
        (1, "ZRANGESTORE", lambda: [key(), key(), by_score(), by_score(), a.word("BYSCORE"), *a.options(
            lambda: a.word("REV"), limit)]),
        (1, "ZRANGEBYSCORE", lambda: [key(), by_score(), by_score(), *a.options(limit, with_scores)]),
        (1, "ZREVRANGEBYSCORE", lambda: [key(), by_score(), by_score(), *a.options(limit, with_scores)]),
        (1, "ZREVRANGE", lambda: [key(), by_rank(), by_rank(), *a.options(limit, with_scores)]),
        (1, "ZRANGEBYLEX", lambda: [named(), a.name_bound(), a.name_bound(), *a.options(limit, with_scores)]),
        (1, "ZREVRANGEBYLEX", lambda: [named(), a.name_bound(), a.name_bound(), *a.options(limit)]),
        (1, "ZRANK", lambda: [key(), a.member()]),
        (1, "ZREVRANK", lambda: [key(), a.member()]),
        (1, "ZPOPMIN", lambda: [key(), *a.options(a.count)]),
        (1, "ZPOPMAX", lambda: [key(), *a.options(a.count)]),
        (1, "ZMPOP", lambda: [*a.keys(), a.word("MIN", "MAX"), *a.options(lambda: [a.word("COUNT"), a.count()])]),
        (1, "ZRANDMEMBER", lambda: [key(), *a.options(a.integer)]),
        (1, "ZRANDMEMBER", lambda: [key(), a.integer(), with_scores()]),
        (1, "ZREMRANGEBYRANK", lambda: [key(), by_rank(), by_rank()]),
        (1, "ZREMRANGEBYSCORE", lambda: [key(), by_score(), by_score()]),
        (1, "ZREMRANGEBYLEX", lambda: [named(), a.name_bound(), a.name_bound()]),
        (1, "ZINTER", merged),
        (1, "ZUNION", merged),
        (1, "ZDIFF", lambda: [*a.keys(), *a.options(with_scores)]),
        (1, "ZINTERCARD", lambda: [*a.keys(), *a.options(lambda: [a.word("LIMIT"), a.count()])]),
        (1, "ZINTERSTORE", stored),
        (1, "ZUNIONSTORE", stored),
        (1, "ZDIFFSTORE", lambda: [key(), *a.keys()]),
        (1, "ZSCAN", lambda: [key(), 0, *scan_options(a)]),
    ]


def string_commands(a):
    key = a.key
    far = lambda: a.dice.choice([4_000_000_000, 4_000_000_500, 4_000_001_000])
    # Deadlines are absolute and far away, so that no reply depends on when it is made.
    term = lambda: [a.word("EXAT"), far()] if a.dice.random() < 0.5 else [a.word("PXAT"), far() * 1000 + 7]
    bad_term = lambda: [a.word("EX", "PX", "EXAT", "PXAT"), a.dice.choice([0, -1, "x", 2**63 - 1, 2**63])]
    kept = lambda: a.word("KEEPTTL")
    condition, got = lambda: a.word("NX", "XX"), lambda: a.word("GET")
    small = lambda: a.dice.choice([0, 1, 2, 3, 7, 40, -1, 2**29, 2**63 - 1, "x"])
    pattern = lambda: a.dice.choice(["*", "t*", "?0", "[hl]?", "t1", "[^t]*", "nothing"])
    number = lambda: a.dice.choice(["0.5", "-2.25", "3", "0.1", "1e-3", "1e20", "x", "", "nan", "inf"])
    return [
        (4, "SET", lambda: [key(), a.value()]),
        (4, "SET", lambda: [key(), a.value(), *a.options(condition, got, term, kept)]),
        (1, "SET", lambda: [key(), a.value(), *a.options(condition, got, bad_term)]),
        (4, "GET", lambda: [key()]),
        (2, "GETEX", lambda: [key(), *a.options(term, lambda: a.word("PERSIST"))]),
        (1, "GETEX", lambda: [key(), *bad_term()]),
        (1, "GETDEL", lambda: [key()]),
        (1, "GETSET", lambda: [key(), a.value()]),
        (1, "SETNX", lambda: [key(), a.value()]),
        (1, "SETEX", lambda: [key(), a.dice.choice([0, -1, "x", 2**63 - 1]), a.value()]),
        (1, "PSETEX", lambda: [key(), a.dice.choice([0, -1, "x", 2**63 - 1]), a.value()]),
        (2, "MGET", lambda: a.some(key)),
        (1, "MSET", lambda: a.some(lambda: [key(), a.value()])),
        (1, "MSETNX", lambda: a.some(lambda: [key(), a.value()])),
        (3, "APPEND", lambda: [key(), a.value()]),
        (1, "STRLEN", lambda: [key()]),
        (2, "SETRANGE", lambda: [key(), small(), a.value()]),
        (2, "GETRANGE", lambda: [key(), a.integer(), a.integer()]),
        (1, "SUBSTR", lambda: [key(), a.integer(), a.integer()]),
        (2, "INCR", lambda: [key()]),
        (1, "DECR", lambda: [key()]),
        (2, "INCRBY", lambda: [key(), a.integer()]),
        (1, "DECRBY", lambda: [key(), a.integer()]),
        (2, "INCRBYFLOAT", lambda: [key(), number()]),
        (1, "LCS", lambda: [f"t{a.dice.randrange(4)}", key(), *a.options(
            lambda: a.word("LEN"), lambda: a.word("IDX"), lambda: a.word("WITHMATCHLEN"),
            lambda: [a.word("MINMATCHLEN"), a.integer()])]),
        (2, "EXPIREAT", lambda: [key(), far(), *a.options(*[lambda word=word: a.word(word) for word in ("NX", "XX", "GT", "LT")])]),
        (2, "PEXPIREAT", lambda: [key(), far() * 1000, *a.options(*[lambda word=word: a.word(word) for word in ("NX", "XX", "GT", "LT")])]),
        (1, "EXPIRE", lambda: [key(), a.dice.choice([0, -1, "x", 2**63 - 1, -(2**63)])]),
        (1, "PEXPIREAT", lambda: [key(), a.dice.choice([0, -1, 1, "x", 2**63])]),
        (2, "EXPIRETIME", lambda: [key()]),
        (2, "PEXPIRETIME", lambda: [key()]),
        (1, "PERSIST", lambda: [key()]),
        (1, "DEL", lambda: a.some(key, 1, 2)),
        (1, "UNLINK", lambda: [key()]),
        (1, "EXISTS", lambda: a.some(key)),
        (1, "TOUCH", lambda: a.some(key)),
        (1, "TYPE", lambda: [key()]),
        (2, "RENAME", lambda: [key(), key()]),
        (1, "RENAMENX", lambda: [key(), key()]),
        (2, "COPY", lambda: [key(), key(), *a.options(
            lambda: a.word("REPLACE"), lambda: [a.word("DB"), a.dice.choice([0, 1, 16, "x", -1])])]),
        (1, "MOVE", lambda: [key(), a.dice.choice([0, 1, 16, "x"])]),
        (0.3, "SWAPDB", lambda: [a.dice.choice([0, 1, 16, "x"]), a.dice.choice([0, 1, "x"])]),
        (1, "KEYS", lambda: [pattern()]),
        (1, "SCAN", lambda: [0, *scan_options(a), *a.options(lambda: ["TYPE", a.dice.choice(["string", "ZSET", "junk"])])]),
        (1, "DBSIZE", lambda: []),
    ]


def stream_commands(a):
    key, pick = a.key, a.dice.choice
    number = lambda: a.dice.randrange(1, 60)
    name = lambda: f"{number()}-{a.dice.randrange(3)}"
    id_ = lambda: pick([name(), name(), name(), number(), "0", "x", "5-x", "-1", ""])
    new = lambda: pick([name(), name(), f"{number()}-*", f"{number()}-*", number(), "0-0", "x-*"])
    bound = lambda: pick(["-", "+", name(), number(), "(" + name(), f"({number()}", "(", "x", "(+"])
    count = lambda: ["COUNT", pick([0, 1, 2, 5, 100, -1, "x"])]
    length = lambda: [a.word("MAXLEN"), *pick([[], ["="], ["~"]]), pick([0, 1, 3, 5, 50, -1, "x"])]
    lowest = lambda: [a.word("MINID"), *pick([[], ["="], ["~"]]), id_()]
    limit = lambda: ["LIMIT", pick([0, 1, 3, 100, -1, "x"])]
    pairs = lambda: [part for _ in range(a.dice.randrange(1, 4)) for part in (pick(["f", "g"]), a.value())]
    group, consumer = lambda: pick(["g1", "g2"]), lambda: pick(["c1", "c2"])
    read = lambda: ["ENTRIESREAD", pick([0, 3, -1, -2, "x"])]
    pending = lambda: [bound(), bound(), pick([0, 1, 5, 100, -1, "x"]), *pick([[], [consumer()]])]
    def streams(special):
        some = a.some(key, 1, 3)
        starts = [pick([*special, id_()]) for _ in some]
        return [a.word("STREAMS"), *some, *(starts if not NEWEST or a.dice.random() < 0.97 else starts[1:])]
    return [
        (12, "XADD", lambda: [key(), f"{number()}-*", *pairs()]),
        (4, "XADD", lambda: [key(), *a.options(lambda: "NOMKSTREAM", length, lowest, limit), new(), *pairs()]),
        (2, "XLEN", lambda: [key()]),
        (4, "XRANGE", lambda: [key(), bound(), bound(), *a.options(count)]),
        (4, "XREVRANGE", lambda: [key(), bound(), bound(), *a.options(count)]),
        (3, "XDEL", lambda: [key(), *a.some(id_)]),
        (2, "XTRIM", lambda: [key(), *a.options(length, lowest, limit)]),
        (1, "XSETID", lambda: [key(), id_(), *a.options(
            lambda: ["ENTRIESADDED", pick([0, 3, 90, -1, "x"])], lambda: ["MAXDELETEDID", id_()])]),
        (2, "XGROUP", lambda: ["CREATE", key(), group(), pick(["$", id_()]), *a.options(lambda: "MKSTREAM", read)]),
        (1, "XGROUP", lambda: ["SETID", key(), group(), pick(["$", id_()]), *a.options(read)]),
        (1, "XGROUP", lambda: ["DESTROY", key(), group()]),
        (1, "XGROUP", lambda: ["DELCONSUMER", key(), group(), consumer()]),
        (1, "XACK", lambda: [key(), group(), *a.some(id_)]),
        (3, "XREAD", lambda: [*a.options(lambda: ["COUNT", pick([0, 1, 2, -1, "x"])], lambda: ["BLOCK", pick([1, 1, 1, -1, "x"])]),
                              *streams(["$", *NEWEST])]),
        (8, "XREADGROUP", lambda: ["GROUP", group(), consumer(), *a.options(
            lambda: ["COUNT", pick([0, 1, 2, -1, "x"])], lambda: "NOACK", lambda: ["BLOCK", 1]), *streams([">", ">", ">", ">", ">", "$"])]),
        (3, "XPENDING", lambda: [key(), group(), *pick([[], [], pending(), ["IDLE", pick([0, 10**9, -1, "x"]), *pending()]])]),
        (4, "XCLAIM", lambda: [key(), group(), consumer(), pick([0, 0, 0, 10**9, -1, "x"]), *a.some(id_), *a.options(
            lambda: ["IDLE", pick([0, 10**6, "x"])], lambda: ["TIME", pick([0, 10**12, 10**15, "x"])], lambda: "JUSTID", lambda: "FORCE",
            lambda: ["RETRYCOUNT", pick([0, 3, -1, "x"])], lambda: ["LASTID", id_()])]),
        (3, "XAUTOCLAIM", lambda: [key(), group(), consumer(), pick([0, 0, 0, 10**9, -1, "x"]), bound(), *a.options(
            lambda: ["COUNT", pick([1, 2, 3, 0, "x"])], lambda: "JUSTID")]),
        *XINFOS(key, group, pick),
        (0.5, "DEL", lambda: [key()]),
        # 7.0 forgets the largest deleted id of what it copies.
        (0.5 if NEWEST else 0, "COPY", lambda: [key(), key(), *a.options(lambda: "REPLACE")]),
        (0.5, "RENAME", lambda: [key(), key()]),
        (0.5, "TYPE", lambda: [key()]),
        (0.5, "OBJECT", lambda: ["ENCODING", f"x{a.dice.randrange(4)}"]),
    ]


# Since 7.2 who asks is known from then on, also if there is nothing to give: redis-server 7.0 tells other consumers.
NEWEST = []


def XINFOS(key, group, pick):
    if not NEWEST:
        return []
    return [
        (2, "XINFO", lambda: ["STREAM", key(), *pick([[], ["FULL"], ["FULL", "COUNT", pick([0, 1, 2, "x"])], ["x"]])]),
        (2, "XINFO", lambda: ["GROUPS", key()]), (2, "XINFO", lambda: ["CONSUMERS", key(), group()]),
        (1, "XGROUP", lambda: ["CREATECONSUMER", key(), group(), pick(["c1", "c2"])]),
    ]


FAMILIES = {"t": string_commands, "h": hash_commands, "l": list_commands, "s": set_commands, "z": sorted_set_commands, "b": bits.bitmap_commands, "p": bits.hyperloglog_commands, "g": bits.geo_commands, "x": stream_commands, "f": field_commands, "v": values.value_commands}
KINDS = os.environ.get("LARDER_DIFFERENTIAL_KINDS", "hlszzttbbppggxvv")
UNORDERED = {"KEYS", "HKEYS", "HVALS", "SMEMBERS", "SINTER", "SUNION", "SDIFF"}
DRAWN = {"HRANDFIELD", "SRANDMEMBER", "ZRANDMEMBER", "SPOP"}
SCANS = {"SCAN", "HSCAN", "SSCAN", "ZSCAN"}
KEYS = [f"{kind}{number}" for kind in "hlsztbpgxf" for number in range(4)] + ["zn0", "zn1", "gd0", "gd1"] + values.KEYS
# Doubles shorter than this print the same in every version.
DIGITS_EXACT = 15
# Draws with more repetitions than these would only test the patience of both servers.
DRAWS_MAX = 10_000


def pairs(items):
    return tuple(sorted(zip(items[::2], items[1::2])))


def shape(reply):
    """The wire types of a drawn reply, without its contents."""
    kind, content = reply
    return (kind, tuple(shape(item) for item in content)) if isinstance(content, tuple) else (kind, content is None)


def number(reply):
    """Redis 7.0 prints doubles with 17 digits, later versions and Larder the shortest form that reads back equal.
    The sign of -0 is lost and kept there by rules that nobody wrote down; Larder keeps it."""
    kind, content = reply
    if kind in b"$," and content == b"-0":
        return Typed((kind, b"0"))
    if isinstance(content, tuple):
        return Typed((kind, tuple(number(item) for item in content)))
    if kind in b"$," and content is not None and len(content) >= DIGITS_EXACT:
        try:
            return Typed((kind, repr(float(content)).encode()))
        except ValueError:
            pass
    return reply


# What follows these names in XINFO depends on clocks, or on how the server lays nodes out.
VAGUE = {b"idle", b"inactive", b"seen-time", b"active-time", b"radix-tree-keys", b"radix-tree-nodes"}
CLOCKS = 10**9


def timeless(reply):
    """A reply without times: numbers after vague names, and numbers that only a clock can say."""
    kind, content = reply
    if kind == b":" and abs(int(content)) > CLOCKS:
        return Typed((kind, b"time"))
    if not isinstance(content, tuple):
        return reply
    items = [timeless(item) for item in content]
    for at in range(1, len(items)):
        if items[at - 1][1] in VAGUE and items[at] != (b":", b"-1"):
            items[at] = Typed((b":", b"time"))
    return Typed((kind, tuple(items)))


def idle_left_out(reply):
    """The entries of XPENDING without the time that they have been idle for."""
    kind, content = reply
    is_entry = isinstance(content, tuple) and len(content) == 4 and all(item[0] != b"*" for item in content) and content[3][0] == b":"
    if is_entry:
        return Typed((kind, (*content[:2], Typed((b":", b"time")), content[3])))
    return Typed((kind, tuple(map(idle_left_out, content)))) if isinstance(content, tuple) else reply


def normal(name, reply):
    if name == "XINFO":
        return timeless(reply)
    if name == "XPENDING":
        return idle_left_out(reply)
    if name.startswith("Z"):
        reply = number(reply)
    kind, content = reply
    if not isinstance(content, tuple):
        return reply
    if name == "HGETALL":
        return (kind, pairs(content))
    return (kind, tuple(sorted(content))) if name in UNORDERED else reply


class Mismatch(Exception):
    pass


class Round:
    def __init__(self, dice, redis, larder):
        self.dice, self.redis, self.larder = dice, redis, larder
        self.arguments = Arguments(dice)
        self.peer = Peer(redis)
        self.table = {kind: family(self.arguments) for kind, family in FAMILIES.items()}

    def step(self):
        if self.dice.random() < 0.01:
            return self.same(self.dice.choice([["DEL", self.dice.choice(KEYS)], ["SET", self.dice.choice(KEYS), "text"]]))
        self.arguments.kind = kind = self.dice.choice(KINDS)
        weights = [row[0] for row in self.table[kind]]
        _, name, make = self.dice.choices(self.table[kind], weights)[0]
        args = [name, *make()]
        if self.dice.random() < 0.01:
            args = args[: self.dice.randrange(1, len(args) + 1)]
        if name in SCANS and len(args) > (1 if name == "SCAN" else 2):
            return self.scan(args)
        if name in DRAWN:
            return self.draw(args)
        if name in ("SORT", "SORT_RO"):
            return values.sort(self, args)
        if name == "DUMP":
            return values.dump(self, args)
        return self.same(args)

    def same(self, args):
        theirs, ours = self.redis.call(*args), self.larder.call(*args)
        self.check(args, normal(args[0], theirs), normal(args[0], ours))

    def check(self, args, theirs, ours):
        # Which of several reasons to refuse an XSETID is told, and the words about lists of streams, changed after 7.0.
        # They forget to clear the error of a number out of range that they met before, and refuse all that follow.
        if args[0] in ("SORT", "SORT_RO") and b"can't be converted" in (theirs[1] or b"") and ours[0] != b"-":
            stored = [word.upper() for word in map(str, args)]
            if "STORE" in stored[2:-1]:
                target = args[stored.index("STORE", 2) + 1]
                self.forget(target)
            return
        refused = args[0].startswith("X") and theirs[0] == ours[0] == b"-"
        if refused and (args[0] == "XSETID" if NEWEST else b"Unbalanced" in ours[1] and b"Unbalanced" in theirs[1]):
            return
        if theirs != ours and not bits.forgiven(args, theirs, ours) and not self.peer.forgives(args, theirs, ours, self.forget):
            raise Mismatch(f"{args!r:.2000}\n  redis  {theirs!r:.2000}\n  larder {ours!r:.2000}")

    def forget(self, key):
        """Makes both sides equal again after a difference that is meant."""
        for side in (self.redis, self.larder):
            side.call("DEL", key)

    def scan(self, args):
        """Walks to the end on both sides and compares what was seen."""
        walks = []
        for client in (self.redis, self.larder):
            seen, cursor = set(), b"0"
            while True:
                at = 1 if args[0] == "SCAN" else 2
                reply = client.call(*args[:at], cursor, *args[at + 1 :])
                if reply[0] == b"-":
                    seen = reply
                    break
                (_, cursor), (_, items) = reply[1]
                seen.update(items if args[0] in ("SCAN", "SSCAN") else zip(items[::2], items[1::2]))
                if cursor == b"0":
                    break
            walks.append(seen if isinstance(seen, Typed) else {number(Typed((b"*", item))) for item in map(tuple, seen)} if args[0] == "ZSCAN" else seen)
        self.check(args, *walks)

    def draw(self, args):
        if len(args) > 2 and str(args[2]).lstrip("-").isdigit() and int(args[2]) < -DRAWS_MAX:
            return
        before = self.members(args)
        theirs, ours = self.redis.call(*args), self.larder.call(*args)
        if theirs[0] == b"-" or ours[0] == b"-":
            return self.check(args, theirs, ours)
        # What is drawn decides how long a double is, not what it is: shapes have no lengths.
        self.check(args, shape(theirs), shape(ours))
        drawn = flat(normal(args[0], ours))
        if before is not None and not set(drawn) <= before:
            raise Mismatch(f"{args}\n  larder drew {drawn}\n  of {before}")
        distinct = args[0] in ("SPOP", "SRANDMEMBER") and len(args) > 2 and not str(args[2]).startswith("-")
        if distinct and len(set(drawn)) != len(drawn):
            raise Mismatch(f"{args}\n  larder drew the same member twice: {drawn}")
        if args[0] == "SPOP" and drawn:
            if len(drawn) < len(before):
                self.larder.call("SADD", args[1], *drawn)
            else:
                self.redis.call("DEL", args[1])
                return
            self.larder.call("SREM", args[1], *flat(theirs))

    def members(self, args):
        """All that may be drawn: members, and values or scores."""
        whole = {"H": ["HGETALL"], "S": ["SMEMBERS"], "Z": ["ZRANGE", "0", "-1", "WITHSCORES"]}[args[0][0]]
        if len(args) < 2:
            return None
        reply = normal(args[0], self.redis.call(whole[0], args[1], *whole[1:]))
        return set(flat(reply)) if reply[0] != b"-" else None

    def compare_all(self):
        for key in KEYS:
            for args in (["GET", key], ["PEXPIRETIME", key], ["HGETALL", key], ["LRANGE", key, 0, -1], ["SMEMBERS", key], ["ZRANGE", key, 0, -1, "WITHSCORES"]):
                self.same(args)


def flat(reply):
    kind, content = reply
    if isinstance(content, tuple):
        return [leaf for item in content for leaf in flat(item)]
    return [] if content is None or kind == b"_" else [content]


def play(seed, steps, redis_port, larder_port):
    dice = random.Random(seed)
    done = 0
    for round_number in range((steps + STEPS_PER_ROUND - 1) // STEPS_PER_ROUND):
        protocol = 2 + round_number % 2
        redis, larder = Client(redis_port, protocol), Client(larder_port, protocol)
        game = Round(dice, redis, larder)
        try:
            game.same(["FLUSHALL"])
            for _ in range(min(STEPS_PER_ROUND, steps - done)):
                game.step()
                done += 1
            game.compare_all()
        except (Mismatch, ConnectionError, TimeoutError) as failure:
            sys.exit(f"seed {seed}, step {done}, RESP{protocol}: {failure}")
        redis.close()
        larder.close()
    print(f"seed {seed}: {done} commands, all replies the same")


def find_larder():
    if "LARDER_BIN" in os.environ:
        return os.environ["LARDER_BIN"]
    root = Path(__file__).resolve().parent.parent
    for profile in ("release", "bench-fast", "debug"):
        program = root / "target" / profile / "larder"
        if program.exists():
            return str(program)
    sys.exit("no larder binary: build it, or give --port of a node that runs")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--steps", type=int, default=int(os.environ.get("LARDER_DIFFERENTIAL_STEPS", STEPS_DEFAULT)))
    parser.add_argument("--port", type=int, help="of a node that already listens on 127.0.0.1; its data is erased")
    parser.add_argument("--peer", default="redis-server", help="command of the server to compare with")
    options = parser.parse_args()
    if options.peer != "redis-server":
        NEWEST.append("+")
    if options.peer == "redis-server" and not shutil.which("redis-server"):
        sys.exit("redis-server is not installed")
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        servers = [Server([*shlex.split(options.peer), "--save", ""], Path(folder))]
        try:
            if options.port is None:
                servers.append(Server([find_larder(), "node"], Path(folder)))
            play(options.seed, options.steps, servers[0].port, options.port or servers[1].port)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
