"""What Valkey 9 has and Redis 7.0 has not: options, rules and fields, with the answers of Valkey 9.1.2. `LARDER_PEERS` may name a
valkey-server (with other commands, separated by `;`); then polygons at random are compared with it too."""

import os
import random
import shlex

import pytest
import redis

from differential import Client, Server
from differential_acl import pairs, plain
from service import Node
from test_redis_py import fails, r  # noqa: F401 (a fixture)

SICILY = {"Palermo": (13.361389, 38.115556), "Catania": (15.087269, 37.502669), "mid": (14.0, 37.6)}
BOX = "BYPOLYGON 4 12 37 12 39 16 39 16 37"


def sicily(client):
    client.geoadd("Sicily", [part for name, (x, y) in SICILY.items() for part in (x, y, name)])
    return lambda line: client.execute_command(*f"GEOSEARCH Sicily {line}".split())


def test_polygons(r):
    search = sicily(r)
    assert search(f"{BOX} ASC") == ["mid", "Palermo", "Catania"]
    assert search("BYPOLYGON 3 12 37 12 39 16 39") == ["Palermo"]
    assert search("BYPOLYGON 5 12 37 16 39 12 39 16 37 14 36") == ["mid"]
    distances = search(f"{BOX} DESC WITHDIST")
    assert [[name, f"{float(at):.4f}"] for name, at in distances] == [
        ["Catania", "111411.0839"], ["Palermo", "56987.4933"], ["mid", "46374.7338"],
    ]
    assert search(f"{BOX} COUNT 1 ASC") == ["mid"] and len(search(f"{BOX} COUNT 1 ANY")) == 1
    assert r.execute_command("GEOSEARCHSTORE", "to", "Sicily", *BOX.split(), "STOREDIST") == 3
    assert abs(r.zscore("to", "mid") - 46374.73376438257) < 0.001
    assert r.execute_command("GEOSEARCH", "none", *BOX.split()) == []
    few = "GEOSEARCH BYPOLYGON must have at least 3 vertices"
    for line, error in {
        "BYPOLYGON 2 12 37 12 39 16 39": few,
        "BYPOLYGON 4 12 37 12 39 16 39 16": few,
        "BYPOLYGON -1 12 37 12 39 16 39": few,
        "BYPOLYGON x 12 37 12 39 16 39": "invalid number of vertices",
        "BYPOLYGON 4611686018427387905 12 37 12 39 16 39": "invalid number of vertices",
        "BYPOLYGON 3 12 37 12 39 200 39": "invalid longitude,latitude pair 200.000000,39.000000",
        "BYPOLYGON 3 12 37 12 39 x 39": "value is not a valid float",
        f"FROMMEMBER mid {BOX}": "syntax error",
        f"{BOX} FROMLONLAT 15 37": "syntax error",
        f"{BOX} BYRADIUS 10 km": "syntax error",
        f"BYBOX 1 1 km {BOX}": "syntax error",
    }.items():
        fails(error, search, line)


def test_halves_of_pairs(r):
    r.hset("h", mapping={"a": 1, "b": 2})
    r.zadd("z", {"a": 1, "b": 2})
    r.sadd("s", 1)
    ask = lambda line: r.execute_command(*line.split())
    assert r.hscan("h", no_values=True)[1] == ["a", "b"]
    for line, members in {
        "HSCAN h 0 NOVALUES COUNT 10 MATCH a": ["a"],
        "HSCAN h 0 MATCH a NOVALUES": ["a"],
        "ZSCAN z 0 NOSCORES": ["a", "b"],
    }.items():
        assert Client(r.connection_pool.connection_kwargs["port"], 2).call(*line.split())[1][1][1] == tuple(
            (b"$", member.encode()) for member in members
        )
    for line in ("HSCAN h 0 NOSCORES", "SSCAN s 0 NOSCORES"):
        fails("NOSCORES option can only be used in ZSCAN", ask, line)
    for line in ("ZSCAN z 0 NOVALUES", "SSCAN s 0 NOVALUES"):
        fails("NOVALUES option can only be used in HSCAN", ask, line)


def test_sketches_test_themselves(r):
    assert r.execute_command("PFSELFTEST") in ("OK", True)


def tokens(documents):
    """All tokens in the arguments of COMMAND DOCS."""
    found = set()
    for argument in documents:
        flat = pairs(argument)
        found |= {flat["token"]} if "token" in flat else set()
        found |= tokens(flat.get("arguments", []))
    return found


def test_words_are_documented(node):
    client = Client(node.port, 2)
    for command, words in {
        "hscan": {"NOVALUES"}, "zscan": {"NOSCORES"}, "xadd": {"=", "~", "*", "MAXLEN"}, "xtrim": {"=", "~", "MINID"},
        "geosearch": {"BYPOLYGON"}, "hsetex": {"NX", "XX", "FNX"},
    }.items():
        documented = pairs(plain(client.call("COMMAND", "DOCS", command))[1])
        assert words <= tokens(documented["arguments"]), command


@pytest.fixture
def own():
    node = Node()
    yield node
    node.stop()


def test_rules_about_databases(own):
    admin = redis.Redis(port=own.port, decode_responses=True)
    rule = lambda *rules: admin.execute_command("ACL", "SETUSER", "u", *rules)
    line = lambda: next(text for text in admin.acl_list() if text.startswith("user u "))
    rule("on", "nopass", "+@all", "~*", "db=0")
    assert line() == "user u on nopass ~* resetchannels db=0 +@all"
    assert admin.acl_getuser("u")["databases"] == "db=0" and admin.acl_getuser("default")["databases"] == "alldbs"
    for rules, printed in {
        ("db=0,1,2",): "db=0,1,2 +@all", ("alldbs",): "+@all", ("resetdbs",): "resetdbs +@all",
        ("db=0", "db=1"): "db=1 +@all", ("(db=2 +get ~a)",): "db=1 +@all (~a resetchannels db=2 -@all +get)",
    }.items():
        rule(*rules)
        assert line() == f"user u on nopass ~* resetchannels {printed}"
    for wrong, why in {"db=": "Syntax error", "db=x": "Syntax error", "db=-1": "The provided database ID is out of range"}.items():
        fails(f"Error in ACL SETUSER modifier '{wrong}': {why}", rule, wrong)
    user = redis.Redis(port=own.port, username="u", password="x", single_connection_client=True)
    denied = "No permissions to access database"
    for command in ("GET a", "SELECT 3", "FLUSHALL", "MOVE a 3", "COPY a b DB 4", "SWAPDB 0 5", "DBSIZE", "SCAN 0", "KEYS *"):
        with pytest.raises(redis.exceptions.NoPermissionError, match=denied):
            user.execute_command(*command.split())
    with pytest.raises(redis.exceptions.NoPermissionError, match="run the 'select' command"):
        user.execute_command("SELECT", 2)
    assert user.ping() and user.execute_command("SELECT", 1) in (b"OK", True) and user.set("a", 1) and user.dbsize() == 1
    entry = admin.acl_log()[-1]
    assert entry["reason"] == "database"
    dry = lambda *words: admin.execute_command("ACL", "DRYRUN", "u", *words)
    assert dry("select", 3) == "User u has no permissions to access database 3"
    assert dry("move", "a", 3) == "User u has no permissions to access database 3"
    assert dry("get", "a") == "User u has no permissions to access database get"


def test_polygons_as_valkey_has_them(node, tmp_path):
    peers = [peer for peer in os.environ.get("LARDER_PEERS", "").split(";") if "valkey" in peer]
    if not peers:
        pytest.skip("LARDER_PEERS names no valkey-server")
    server = Server([*shlex.split(peers[0]), "--save", ""], tmp_path)
    try:
        sides = [Client(port, 2) for port in (server.port, node.port)]
        seed = random.SystemRandom().randrange(2**32)
        dice = random.Random(seed)
        for side in sides:
            side.call("FLUSHALL")
        for _ in range(300):
            x, y = dice.uniform(-180, 180), dice.uniform(-85, 85)
            if dice.random() < 0.7:
                x, y = dice.uniform(10, 14), dice.uniform(35, 40)
            [side.call("GEOADD", "g", repr(x), repr(y), f"m{x}") for side in sides]
        for _ in range(300):
            wide = dice.choice([0.1, 2, 20])
            x, y = (dice.uniform(10, 14), dice.uniform(35, 40)) if wide < 20 else (dice.uniform(-150, 150), dice.uniform(-60, 60))
            corners = [(x + dice.uniform(-wide, wide), y + dice.uniform(-wide, wide)) for _ in range(dice.randrange(3, 9))]
            words = [repr(part) for corner in corners for part in corner]
            line = ["GEOSEARCH", "g", "BYPOLYGON", len(corners), *words, dice.choice(["ASC", "DESC"]), "WITHDIST"]
            theirs, ours = (side.call(*line) for side in sides)
            assert ours == theirs, f"seed {seed}: {line}"
    finally:
        server.stop()


def test_digests_and_filling():
    node = Node("--enable-debug-command", "yes")
    try:
        client = redis.Redis(port=node.port, decode_responses=True)
        digest = lambda: client.execute_command("DEBUG", "DIGEST")
        empty = digest()
        assert empty == "0" * 40
        client.execute_command("DEBUG", "POPULATE", 1000, "item", 20)
        assert client.dbsize() == 1000 and client.get("item:7") == "value:7" + "\0" * 13
        client.execute_command("DEBUG", "POPULATE", 10)
        assert client.get("key:9") == "value:9" and digest() != empty
        client.rpush("l", *range(300)), client.sadd("s", *"abc"), client.zadd("z", {"a": 1.5}), client.xadd("x", {"f": "v"})
        client.hset("h", mapping={"a": 1, "b": 2})
        before, values = digest(), client.execute_command("DEBUG", "DIGEST-VALUE", "l", "s", "h", "none")
        client.execute_command("DEBUG", "RELOAD")
        assert digest() == before
        assert client.execute_command("DEBUG", "DIGEST-VALUE", "l", "s", "h", "none") == values
        assert values[3] == empty and len(set(values)) == 4
        client.hset("h", "b", 3)
        assert digest() != before
        client.hset("h", "b", 2)
        client.rename("s", "t"), client.rename("t", "s")
        assert digest() == before
        client.expire("h", 1000)
        assert digest() != before
        with pytest.raises(redis.ResponseError, match="out of range"):
            client.execute_command("DEBUG", "POPULATE", -1)
    finally:
        node.stop()
