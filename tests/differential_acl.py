#!/usr/bin/env python3
"""Random access rules, given to a real redis-server and to a Larder node; what users may do must be the same.

ACL SETUSER must answer the same, ACL GETUSER and LIST show the same flags, passwords, keys and channels, and ACL DRYRUN
decide the same about random commands. What is printed for commands differs between versions of Redis: 7.0 works it out
from what is allowed, later ones keep the rules. So what Larder prints is given to Redis as the rules of another user,
who must be allowed the same; and with --rules-like PORT, of a server that keeps the rules, it is compared as it is.

    tests/differential_acl.py                     a short run; finds target/*/larder, starts both servers
    tests/differential_acl.py --seed 42 --port P  one seed against a node that already listens on P
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from differential import Client, Server, find_larder

STEPS_DEFAULT = 300
DRY_RUNS = 25
USERS = ["u", "v"]
WORDS = ["a", "b", "ab", "abc", "b1", "x", "xyz"]
PATTERNS = ["a", "a*", "b?", "*", "x*z", "[ab]*", "", "*c"]
# Commands whose keys depend on other arguments; {} is a random word.
TEMPLATES = {
    "set": ["set {} {}", "set {} {} GET", "set {} {} EX 10", "set {} {} nx get"],
    "bitfield": ["bitfield {} GET u8 0", "bitfield {} SET u8 0 1", "bitfield {} OVERFLOW SAT GET u4 1", "bitfield {}", "bitfield {} INCRBY u8 0 1 GET u8 1"],
    # PFMERGE without sources needs no permission at all in Redis 7.0, which is a mistake of it.
    "pfmerge": ["pfmerge {} {}", "pfmerge {} {} {}"],
    "zunionstore": ["zunionstore {} 1 {}", "zunionstore {} 2 {} {}", "zunionstore {} 2 {} {} WEIGHTS 1 2"],
    "zinterstore": ["zinterstore {} 2 {} {}"],
    "zdiffstore": ["zdiffstore {} 2 {} {}"],
    "zunion": ["zunion 2 {} {}"],
    "zinter": ["zinter 2 {} {} WITHSCORES"],
    "zdiff": ["zdiff 1 {}"],
    "zintercard": ["zintercard 2 {} {}"],
    "sintercard": ["sintercard 2 {} {}", "sintercard 1 {} LIMIT 1"],
    "lmpop": ["lmpop 2 {} {} LEFT", "lmpop 1 {} RIGHT"],
    "zmpop": ["zmpop 2 {} {} MIN"],
    "blmpop": ["blmpop 0 2 {} {} LEFT"],
    "bzmpop": ["bzmpop 0 2 {} {} MIN"],
    "georadius": ["georadius {} 1 1 1 km", "georadius {} 1 1 1 km STORE {}", "georadius {} 1 1 1 km STOREDIST {}"],
    "georadiusbymember": ["georadiusbymember {} m 1 km", "georadiusbymember {} m 1 km STORE {}"],
}


def plain(reply):
    kind, content = reply
    if isinstance(content, tuple):
        return [plain(item) for item in content]
    return (kind + content).decode("latin-1") if kind == b"-" else content.decode("latin-1") if content is not None else None


def pairs(flat):
    return dict(zip(flat[::2], flat[1::2]))


def commands(client):
    """All commands by full name: COMMAND's rows."""
    found = {}

    def walk(row):
        found[row[0]] = row
        for sub in row[9]:
            walk(sub)

    for row in plain(client.call("COMMAND")):
        walk(row)
    return found


# In other categories since redis-server 7.0: WAIT is a blocking command as of 7.2.
CHANGED = {"wait"}


class Game:
    def __init__(self, dice, redis, larder, keeper):
        self.dice, self.redis, self.larder, self.keeper = dice, redis, larder, keeper
        theirs, ours = commands(redis), commands(larder)
        known = sorted(name for name in ours if name in theirs and name not in CHANGED)
        self.names = known
        # A command whose arity changed between the versions is not drawn.
        same = [name for name in known if ours[name][1] == theirs[name][1]]
        self.fixed = [name for name in same if "movablekeys" not in ours[name][2] + theirs[name][2] and not ours[name][9] and name not in TEMPLATES]
        self.arity = {name: int(ours[name][1]) for name in known}
        self.movable = [name for name in known if name in TEMPLATES]
        self.categories = plain(larder.call("ACL", "CAT"))
        assert self.categories == plain(redis.call("ACL", "CAT"))
        # A server that keeps rules is newer and may know other commands; all that are drawn it must know too.
        if keeper:
            others = commands(keeper)
            self.names = [name for name in known if name in others]

    def command_rule(self):
        dice = self.dice
        sign = dice.choice("++-")
        name = dice.choice(self.names)
        return dice.choice([
            f"{sign}{name}", f"{sign}{name}", f"{sign}{name.upper()}",
            f"{sign}@{dice.choice(self.categories)}", f"{sign}@{dice.choice(self.categories)}",
            f"{sign}@all", f"+{dice.choice(['get', 'select', 'del', 'config', 'nope'])}|{dice.choice(WORDS)}",
            dice.choice(["allcommands", "nocommands", "+@nope", "-nope", "+", "-@", "+get|", f"{sign}config", "+config|get|x"]),
        ])

    def key_rule(self):
        dice = self.dice
        pattern = dice.choice(PATTERNS)
        return dice.choice([f"~{pattern}", f"%R~{pattern}", f"%W~{pattern}", f"%RW~{pattern}", f"%{dice.choice('rwx')}~{pattern}", "resetkeys", "resetkeys", "allkeys"])

    def channel_rule(self):
        return self.dice.choice([f"&{self.dice.choice(PATTERNS)}", f"&{self.dice.choice(PATTERNS)}", "resetchannels", "resetchannels", "allchannels"])

    def selector_rule(self):
        return self.dice.choice([self.command_rule, self.command_rule, self.key_rule, self.channel_rule])()

    def rule(self):
        dice = self.dice
        password = dice.choice("pq")
        return [dice.choice([
            self.selector_rule, self.selector_rule, self.selector_rule, self.selector_rule,
            lambda: "(" + " ".join(self.selector_rule() for _ in range(dice.randrange(4))) + ")",
            lambda: dice.choice(["on", "off", "OFF", "nopass", "resetpass", f">{password}", f"<{password}", "#" + "0" * 64, "!" + "0" * 64, "#0"]),
            lambda: dice.choice(["clearselectors", "sanitize-payload", "skip-sanitize-payload", "reset", "", "nonsense", "(", ")"]),
        ])()]

    def command(self):
        dice = self.dice
        if self.movable and dice.random() < 0.3:
            template = dice.choice(TEMPLATES[dice.choice(self.movable)])
            return [dice.choice(WORDS) if word == "{}" else word for word in template.split()]
        name = dice.choice(self.fixed)
        arity = self.arity[name]
        count = arity if arity > 0 else -arity + dice.randrange(4)
        words = name.split("|")
        return words + [dice.choice(WORDS) for _ in range(count - len(words))]

    def fail(self, what, theirs, ours):
        raise AssertionError(f"{what!r}\n  redis  {theirs!r}\n  larder {ours!r}")

    def step(self):
        user = self.dice.choice(USERS)
        rules = [rule for _ in range(self.dice.randrange(1, 5)) for rule in self.rule()]
        line = ["ACL", "SETUSER", user, *rules]
        theirs, ours = plain(self.redis.call(*line)), plain(self.larder.call(*line))
        if theirs != ours:
            self.fail(line, theirs, ours)
        if self.keeper:
            kept = plain(self.keeper.call(*line))
            if kept != ours:
                self.fail(line, kept, ours)
        self.compare_users(user)
        self.compare_decisions(user)

    def compare_users(self, user):
        theirs, ours = (pairs(plain(client.call("ACL", "GETUSER", user)) or []) for client in (self.redis, self.larder))
        if not ours and not theirs:
            return
        if self.keeper:
            kept = pairs(plain(self.keeper.call("ACL", "GETUSER", user)))
            if [kept["commands"], *(pairs(s)["commands"] for s in kept["selectors"])] != [ours["commands"], *(pairs(s)["commands"] for s in ours["selectors"])]:
                self.fail(("rules", user), kept, ours)

        def comparable(description):
            shown = {name: value for name, value in description.items() if name not in ("commands", "selectors")}
            selectors = [{k: v for k, v in pairs(s).items() if k != "commands"} for s in description["selectors"]]
            for part in (shown, *selectors):
                part.pop("databases", None)  # which users may be bound to only since Valkey 9.1
                # Redis prints this pattern as ~*, and then cannot always read what it has printed.
                part["keys"] = part["keys"].replace("%RW~*", "~*")
            return shown, selectors

        if comparable(theirs) != comparable(ours):
            self.fail(("GETUSER", user), theirs, ours)
        # What is printed makes an equal user, in Redis and here.
        listed = next(line for line in plain(self.larder.call("ACL", "LIST")) if line.startswith(f"user {user} "))
        rules = listed.split(" ")[2:]
        for client in (self.redis, self.larder):
            answer = plain(client.call("ACL", "SETUSER", "copy", "reset", *rules))
            if answer != "OK":
                self.fail(("copy", listed), answer, "OK")
        copied = next(line for line in plain(self.larder.call("ACL", "LIST")) if line.startswith("user copy "))
        if copied.replace(" sanitize-payload", "").split(" ")[2:] != listed.replace(" sanitize-payload", "").split(" ")[2:]:
            self.fail(("copy", user), listed, copied)

    def compare_decisions(self, user):
        for _ in range(DRY_RUNS):
            command = self.command()
            theirs, ours, copied, copied_there = (
                self.dry_run(client, name, command)
                for client, name in ((self.redis, user), (self.larder, user), (self.larder, "copy"), (self.redis, "copy"))
            )
            if not theirs == ours == copied == copied_there and "not found" not in ours:
                rules = [line for line in plain(self.larder.call("ACL", "LIST")) if line.startswith((f"user {user} ", "user copy "))]
                self.fail((user, command, rules), (theirs, copied_there), (ours, copied))

    def dry_run(self, client, user, command):
        """What ACL DRYRUN says, in the words of 7.0: later versions name the user."""
        answer = plain(client.call("ACL", "DRYRUN", user, *command))
        return answer.replace(f"User {user} has", "This user has")


def play(seed, steps, redis_port, larder_port, keeper_port=None):
    dice = random.Random(seed)
    clients = [Client(port, 2) if port else None for port in (redis_port, larder_port, keeper_port)]
    for client in filter(None, clients):
        client.call("ACL", "DELUSER", *USERS, "copy")
    game = Game(dice, *clients)
    for step in range(steps):
        try:
            game.step()
        except AssertionError as failure:
            sys.exit(f"seed {seed}, step {step}: {failure}")
    print(f"seed {seed}: {steps} lists of rules, {steps * DRY_RUNS} decisions, all the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--steps", type=int, default=int(os.environ.get("LARDER_DIFFERENTIAL_STEPS", STEPS_DEFAULT)))
    parser.add_argument("--port", type=int, help="of a node that already listens on 127.0.0.1")
    parser.add_argument("--rules-like", type=int, metavar="PORT", help="of a server that prints rules as they were given")
    options = parser.parse_args()
    if not shutil.which("redis-server"):
        sys.exit("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        servers = [Server(["redis-server", "--save", ""], Path(folder))]
        try:
            if options.port is None:
                servers.append(Server([find_larder(), "node"], Path(folder)))
            play(options.seed, options.steps, servers[0].port, options.port or servers[1].port, options.rules_like)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
