#!/usr/bin/env python3
"""Random commands, sent to a real redis-server 7.0 and to a Larder node: every key event must be the same, in order.

A listener on each side has all classes of events; after each command a message in a channel of its own says that no
more events of it can come. The commands are those of differential.py, and commands for keys of any type.

    tests/differential_notifications.py --seed 42 --port P    against a node that already listens on P
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from differential import DRAWN, FAMILIES, KEYS, SCANS, Arguments, Client, Mismatch, Server, find_larder

STEPS_DEFAULT = 5_000
STEPS_PER_ROUND = 1_000
FAR = 99_999_999_999


class Listener:
    """All events of one side."""

    def __init__(self, port):
        self.client = Client(port, 2)
        self.client.call("PSUBSCRIBE", "__key*", "end")
        self.client.read()

    def events(self, caller):
        """What came since the last time: (channel, message), in order."""
        caller.call("PUBLISH", "end", "")
        found = []
        while True:
            _, (_, _, (_, channel), (_, message)) = self.client.read()
            if channel == b"end":
                return found
            found.append((channel, message))


def generic_commands(a):
    def any_key():
        return a.dice.choice(KEYS)

    return [
        (3, "DEL", lambda: a.some(any_key)),
        (1, "UNLINK", lambda: a.some(any_key)),
        (2, "EXISTS", lambda: a.some(any_key)),
        (1, "TOUCH", lambda: a.some(any_key)),
        (1, "TYPE", lambda: [any_key()]),
        (2, "RENAME", lambda: [any_key(), any_key()]),
        (2, "RENAMENX", lambda: [any_key(), any_key()]),
        (2, "COPY", lambda: [any_key(), any_key(), *a.options(lambda: "REPLACE", lambda: ["DB", a.dice.choice([0, 1, 99])])]),
        (1, "MOVE", lambda: [any_key(), a.dice.choice([0, 1, "x"])]),
        (2, "EXPIRE", lambda: [any_key(), a.dice.choice([100, -1, 0, "x"]), *a.options(lambda: a.word("NX", "XX", "GT", "LT"))]),
        (1, "PEXPIREAT", lambda: [any_key(), a.dice.choice([FAR * 1000, 1])]),
        (1, "EXPIREAT", lambda: [any_key(), a.dice.choice([FAR, 1])]),
        (2, "PERSIST", lambda: [any_key()]),
        (1, "TTL", lambda: [any_key()]),
        (1, "OBJECT", lambda: ["ENCODING", any_key()]),
        (1, "FLUSHDB", list),
    ]


def step(dice, arguments, table):
    """A random command that does the same on both sides."""
    while True:
        arguments.kind = dice.choice("hlszztbbppgg")
        rows = table["generic"] if dice.random() < 0.2 else table[arguments.kind]
        _, name, make = dice.choices(rows, [row[0] for row in rows])[0]
        args = [name, *make()]
        if name not in DRAWN and name not in SCANS:
            return args


def forgiven(args, theirs, ours):
    """Misses of commands that fail: the original stops at the first key of a wrong type, Larder may look at others."""
    def without_misses(events):
        return [event for event in events if b"keymiss" not in event[0] + event[1]]

    return without_misses(theirs) == without_misses(ours)


def play(seed, steps, redis_port, larder_port):
    dice = random.Random(seed)
    done = seen = 0
    while done < steps:
        callers = [Client(port, 2 + done // STEPS_PER_ROUND % 2) for port in (redis_port, larder_port)]
        for caller in callers:
            caller.call("FLUSHALL")
            caller.call("CONFIG", "SET", "notify-keyspace-events", "AKEmn")
        listeners = [Listener(port) for port in (redis_port, larder_port)]
        arguments = Arguments(dice)
        table = {kind: family(arguments) for kind, family in FAMILIES.items()}
        table["generic"] = generic_commands(arguments)
        for _ in range(min(STEPS_PER_ROUND, steps - done)):
            args = step(dice, arguments, table)
            replies = [caller.call(*args) for caller in callers]
            events = [listener.events(caller) for listener, caller in zip(listeners, callers)]
            failed = any(reply[0] == b"-" for reply in replies)
            if events[0] != events[1] and not (failed and forgiven(args, *events)):
                raise Mismatch(f"{args!r:.500}\n  redis  {events[0]!r:.2000}\n  larder {events[1]!r:.2000}")
            done, seen = done + 1, seen + len(events[0])
        for client in callers + [listener.client for listener in listeners]:
            client.close()
    print(f"seed {seed}: {done} commands, all {seen} events the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--steps", type=int, default=int(os.environ.get("LARDER_DIFFERENTIAL_STEPS", STEPS_DEFAULT)))
    parser.add_argument("--port", type=int, help="of a node that already listens on 127.0.0.1; its data is erased")
    options = parser.parse_args()
    if not shutil.which("redis-server"):
        sys.exit("redis-server is not installed")
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        servers = [Server(["redis-server", "--save", ""], Path(folder))]
        try:
            if options.port is None:
                servers.append(Server([find_larder(), "node"], Path(folder)))
            play(options.seed, options.steps, servers[0].port, options.port or servers[1].port)
        except (Mismatch, ConnectionError, TimeoutError) as failure:
            sys.exit(f"seed {options.seed}: {failure}")
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
