"""Compares who is served, and with what, when several clients wait for keys of a real redis-server and of a node.

Redis before 7.2 serves a wait with the key that came; Redis 7.2, Valkey 8 and Larder try the command again, which looks
at its keys in their order. What SWAPDB wakes first is nobody's promise, so it is not here. Clients wait for one key each, unless `--peer` names a program that does as Larder does.

Several clients per server do the same in the same order. After each step those that do not wait any more must have got
the same reply on both. Run it with `--seed` to repeat a run, and with `--steps` for a long one.
"""

import argparse
import random
import select
import shlex
import sys
import tempfile
import time
from pathlib import Path

from differential import Client, Mismatch, Server, find_larder, number

CLIENTS = 7
STEPS_DEFAULT = 3000
PATIENCE_SECONDS = 120


class Side:
    """One server with its clients."""

    def __init__(self, port, protocols):
        self.operator = Client(port, 2)
        self.clients = [Client(port, protocol) for protocol in protocols]
        self.ids = [client.call("CLIENT", "ID")[1] for client in self.clients]

    def blocked(self):
        return int(self.operator.call("INFO", "clients")[1].split(b"blocked_clients:")[1].split(b"\r\n")[0])

    def close(self):
        for client in [self.operator, *self.clients]:
            client.close()


def send(client, args):
    parts = [str(part).encode() for part in args]
    client.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))


class Play:
    def __init__(self, seed, keys_max, redis_port, larder_port):
        self.keys_max = keys_max
        self.dice = random.Random(seed)
        protocols = [self.dice.choice([2, 3]) for _ in range(CLIENTS)]
        self.redis, self.larder = Side(redis_port, protocols), Side(larder_port, protocols)
        self.sides = (self.redis, self.larder)
        self.waiting = {}
        self.entries = 0
        self.told = []

    def command(self, waits):
        pick, key = self.dice.choice, lambda: self.dice.choice("abcdef")
        keys = [key() for _ in range(self.dice.randint(1, self.keys_max))]
        end = lambda: pick(["LEFT", "RIGHT"])
        values = [self.dice.randrange(100) for _ in range(self.dice.randrange(1, 4))]
        count = pick([[], ["COUNT", self.dice.randrange(1, 4)]])
        blocking = [
            ["BLPOP", *keys, 0], ["BRPOP", *keys, 0], ["BLMOVE", key(), key(), end(), end(), 0],
            ["BRPOPLPUSH", key(), key(), 0], ["BLMPOP", 0, len(keys), *keys, end(), *count], ["BZPOPMIN", *keys, 0],
            ["BZPOPMAX", *keys, 0], ["BZMPOP", 0, len(keys), *keys, pick(["MIN", "MAX"]), *count],
        ]
        scores = [part for value in values for part in (value, f"m{value}")]
        other = [
            ["RPUSH", key(), *values], ["LPUSH", key(), *values], ["ZADD", key(), *scores], ["RPUSH", key(), values[0]],
            ["RENAME", key(), key()], ["COPY", key(), key(), "REPLACE"], ["DEL", *keys], ["SET", key(), "text"],
            ["LMOVE", key(), key(), end(), end()], ["ZUNIONSTORE", key(), 2, key(), key()], ["LPOP", key()],
            ["ZADD", key(), *scores[:2]], ["DEL", key()], ["RPUSH", key(), *values],
            ["LINSERT", key(), "BEFORE", 1, 2], ["MOVE", key(), 1],
            ["COPY", key(), key(), "DB", 1], ["SELECT", pick([0, 0, 0, 1])],
        ]
        self.entries += 1
        group, start = pick(["g", "h"]), lambda: pick(["$", "$", "$", 0])
        reading = [
            ["XREAD", *count, "BLOCK", 0, "STREAMS", *keys, *(start() for _ in keys)],
            ["XREADGROUP", "GROUP", group, pick(["c", "d"]), *count, "BLOCK", 0, "STREAMS", keys[0], ">"],
            ["XREADGROUP", "GROUP", group, pick(["c", "d"]), *count, "BLOCK", 0, "STREAMS", keys[0], ">"],
        ]
        adding = [["XADD", key(), f"{self.entries}-1", "f", "v"] for _ in range(4)]
        grouping = [["XGROUP", "CREATE", key(), group, "$", "MKSTREAM"] for _ in range(4)] + [["XGROUP", "DESTROY", key(), group]]
        if self.keys_max > 1:  # a group or stream that goes is told with other words before 7.2
            blocking += reading
            other += adding + grouping
        return pick(blocking if waits else other)

    def step(self):
        idle = [at for at in range(CLIENTS) if at not in self.waiting]
        if not idle or self.waiting and self.dice.random() < 0.05:
            return self.unblock()
        at = self.dice.choice(idle)
        if self.dice.random() < 0.1:
            script = [["MULTI"]] + [self.command(self.dice.random() < 0.2) for _ in range(self.dice.randrange(1, 5))] + [["EXEC"]]
            script = [args for args in script if args[0] != "ZUNIONSTORE"]
        else:
            script = [self.command(self.dice.random() < 0.5)]
            if script[0][0] == "ZUNIONSTORE":
                # The others do not wake anybody when it replaces a value of another type; Larder does.
                script = [["MULTI"], ["DEL", script[0][1]], script[0], ["EXEC"]]
        self.run(at, script)

    def unblock(self):
        at = self.dice.choice(sorted(self.waiting))
        how = self.dice.choice([[], ["TIMEOUT"], ["ERROR"]])
        self.told.append((at, ["CLIENT", "UNBLOCK", *how]))
        for side in self.sides:
            side.operator.call("CLIENT", "UNBLOCK", side.ids[at], *how)
        self.settle()

    def run(self, at, script):
        self.told.append((at, script))
        for args in script[:-1]:
            self.same(at, [side.clients[at].call(*args) for side in self.sides])
        for side in self.sides:
            send(side.clients[at], script[-1])
        self.waiting[at] = script[-1]
        self.settle()

    def settle(self):
        """Waits until both servers have as many waiting clients as stay, and compares what the others got."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            counts = [side.blocked() for side in self.sides]
            if counts[0] == counts[1]:
                served = [self.readable(side) for side in self.sides]
                if served[0] == served[1] and len(self.waiting) - len(served[0]) == counts[0]:
                    break
            if time.monotonic() > until:
                served = [self.readable(side) for side in self.sides]
                got = [{at: side.clients[at].read() for at in found} for side, found in zip(self.sides, served)]
                raise Mismatch(f"waiting: {counts}, served: {got} of {self.waiting}")
        for at in sorted(served[0]):
            self.same(at, [side.clients[at].read() for side in self.sides])
            del self.waiting[at]

    def readable(self, side):
        return {at for at in self.waiting if select.select([side.clients[at].socket], [], [], 0)[0]}

    def same(self, at, replies):
        theirs, ours = map(number, replies)
        if theirs != ours:
            raise Mismatch(f"client {at}\n  redis  {theirs!r}\n  larder {ours!r}")


def play(seed, steps, keys_max, redis_port, larder_port):
    game = Play(seed, keys_max, redis_port, larder_port)
    try:
        for step in range(steps):
            try:
                game.step()
            except (Mismatch, OSError, ValueError) as error:
                last = "\n".join(f"  {told}" for told in game.told[-15:])
                sys.exit(f"seed {seed}, step {step}: {error}\nbefore that:\n{last}")
    finally:
        for side in game.sides:
            side.close()
    print(f"{steps} steps without a difference")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--steps", type=int, default=STEPS_DEFAULT)
    parser.add_argument("--peer", default="", help="command of a server that tries commands again (Valkey 8 or later)")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        servers = [Server([*(shlex.split(options.peer) or ["redis-server"]), "--save", ""], Path(folder))]
        try:
            servers.append(Server([find_larder(), "node", "--threads", "2"], Path(folder)))
            play(options.seed, options.steps, 3 if options.peer else 1, servers[0].port, servers[1].port)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
