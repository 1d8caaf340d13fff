"""SORT and DUMP for the differential test: random arguments, and what to compare."""

SORT_KEYS = [f"v{kind}{number}" for kind in "lsz" for number in range(2)]
KEYS = [*SORT_KEYS, "vd0", "vd1"]
MEMBERS = 12
# The version of a payload of redis-server 7.0; it takes no newer one.
VERSION_REDIS_7_0 = 10
FOOTER_BYTES = 10


def value_commands(a):
    dice = a.dice
    number = lambda: str(dice.choice([dice.randrange(-5, MEMBERS), dice.randrange(MEMBERS) / 4, "inf", "-inf", " 3", ""]))
    member = lambda: str(dice.randrange(MEMBERS)) if dice.random() < 0.85 else dice.choice(["", "word", "1.5", " 2", "2 ", "nan", "12\0a", "-inf", b"\xff"])
    key = lambda: dice.choice(SORT_KEYS) if dice.random() < 0.95 else dice.choice(["vd0", "vd1", "t1", "h1", "missing"])
    target = lambda: dice.choice(["vd0", "vd1", key()])
    pattern = lambda: dice.choice(["vw_*", "vh_*->f", "vh_*->g", "vw_*_x", "vh_*->", "vh_*", "vw_*->f", "nostar", "*", "#", "vw_1"])
    limit = lambda: [a.word("LIMIT"), a.integer(), a.integer()]
    by, get = lambda: [a.word("BY"), pattern()], lambda: [item for _ in range(dice.randint(1, 2)) for item in (a.word("GET"), pattern())]
    options = lambda: a.options(by, limit, get, lambda: a.word("ASC", "DESC"), lambda: a.word("ALPHA"))
    payload = lambda: dice.choice(["", "junk", "x" * 12, b"\x00\x05hello\n\x00cr\xdfve4 \n", b"\x00\x05hello\n\x00cr\xdfve4 \n"])
    restoring = lambda: a.options(lambda: a.word("REPLACE"), lambda: a.word("ABSTTL"), lambda: [a.word("IDLETIME"), a.integer()], lambda: [a.word("FREQ"), a.integer()])
    return [
        (2, "RPUSH", lambda: [dice.choice(["vl0", "vl1"]), *a.some(member)]),
        (1, "LTRIM", lambda: [dice.choice(["vl0", "vl1"]), a.integer(), a.integer()]),
        (2, "SADD", lambda: [dice.choice(["vs0", "vs1"]), *a.some(member)]),
        (1, "SREM", lambda: [dice.choice(["vs0", "vs1"]), *a.some(member)]),
        (2, "ZADD", lambda: [dice.choice(["vz0", "vz1"]), *a.some(lambda: [dice.randrange(5), member()])]),
        (1, "ZREM", lambda: [dice.choice(["vz0", "vz1"]), *a.some(member)]),
        (0.5, "DEL", lambda: a.some(lambda: dice.choice(KEYS), 1, 2)),
        (3, "SET", lambda: [f"vw_{member()}", number()]),
        (1, "DEL", lambda: a.some(lambda: f"vw_{member()}")),
        (2, "HSET", lambda: [f"vh_{member()}", *a.some(lambda: [dice.choice("fg"), number()], 1, 2)]),
        (6, "SORT", lambda: [key(), *options()]),
        (6, "SORT", lambda: [key(), *options(), a.word("STORE"), target(), *options()]),
        (4, "SORT_RO", lambda: [key(), *options(), *a.options(lambda: [a.word("STORE"), target()])]),
        (1, "LRANGE", lambda: [dice.choice(["vd0", "vd1"]), 0, -1]),
        (8, "DUMP", lambda: [dice.choice(KEYS) if dice.random() < 0.4 else dice.choice("hlsztttx") + str(dice.randrange(4))]),
        (1, "RESTORE", lambda: [dice.choice(["vd0", "vd1"]), dice.choice([0, -1, "x", 2**63]), payload(), *restoring()]),
        # Deadlines are absolute, so that no reply depends on when it is made.
        (0.5, "RESTORE", lambda: [dice.choice(["vd0", "vd1"]), dice.choice([1, 4_000_000_000_000]), payload(), a.word("ABSTTL"), *restoring()]),
    ]


def has(args, word):
    return any(isinstance(arg, str) and arg.upper() == word for arg in args[2:])


def sort(game, args):
    """Compares a SORT, where its order is promised."""
    # A number out of range anywhere before makes redis-server 7.0 refuse all numbers; a failing system call ends that.
    game.redis.call("CONFIG", "SET", "dir", "/nonexistent")
    words = [arg.upper() if isinstance(arg, str) else arg for arg in args]
    of_set = len(args) > 1 and game.redis.call("TYPE", args[1]) == (b"+", b"set")
    patterns = [args[at + 1] for at in range(2, len(args) - 1) if words[at] == "BY"]
    unsorted = of_set and any("*" not in str(pattern) for pattern in patterns)
    # Members with equal texts behind them come in any order.
    equal = "ALPHA" in words and any("*" in str(pattern) for pattern in patterns)
    if not (unsorted or equal):
        return game.same(args)
    if {"LIMIT", "STORE", "GET"} & set(words):
        return None
    theirs, ours = game.redis.call(*args), game.larder.call(*args)
    in_order = lambda reply: (reply[0], sorted(reply[1])) if isinstance(reply[1], tuple) else reply
    return game.check(args, in_order(theirs), in_order(ours))


def dump(game, args):
    """What one side dumps, the other restores; compared are the values, when they are read later."""
    if len(args) != 2:
        return game.same(args)
    key = args[1]
    is_string = game.redis.call("TYPE", key) == (b"+", b"string")
    if is_string:
        game.same(["OBJECT", "ENCODING", key])
    theirs, ours = game.redis.call(*args), game.larder.call(*args)
    if not (theirs[0] == ours[0] == b"$" and None not in (theirs[1], ours[1])):
        return game.check(args, theirs, ours)
    deadline = game.redis.call("PEXPIRETIME", key)
    ttl = deadline[1] if int(deadline[1]) > 0 else b"0"
    restore = ["RESTORE", key, ttl, theirs[1], "REPLACE", "ABSTTL"]
    game.check(restore, game.larder.call(*restore), (b"+", b"OK"))
    version = int.from_bytes(ours[1][-FOOTER_BYTES:][:2], "little")
    if version <= VERSION_REDIS_7_0:
        restore = ["RESTORE", key, ttl, ours[1], "REPLACE", "ABSTTL"]
        game.check(restore, game.redis.call(*restore), (b"+", b"OK"))
    kind = game.redis.call("TYPE", key)[1].decode()
    reads = {"string": ["GET", key], "hash": ["HGETALL", key], "list": ["LRANGE", key, 0, -1], "set": ["SMEMBERS", key], "zset": ["ZRANGE", key, 0, -1, "WITHSCORES"], "stream": ["XRANGE", key, "-", "+"]}
    game.same(reads[kind])
    if is_string:
        game.same(["OBJECT", "ENCODING", key])
    return game.same(["PEXPIRETIME", key])
