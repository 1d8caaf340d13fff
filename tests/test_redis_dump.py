"""DUMP here and RESTORE there, and the other way round, for every type and form; and SORT, through redis-py.

The peers are redis-server, if it is installed, and the servers that LARDER_PEERS names: commands, separated by `;`.
"""

import os
import shlex
import shutil
import subprocess
import time

import pytest
import redis

from ports import free_port
from service import PATIENCE_S
from test_redis_py import WRONG, fails, r  # noqa: F401 (a fixture)

PEERS = [["redis-server"]] if shutil.which("redis-server") else []
PEERS += [shlex.split(command) for command in os.environ.get("LARDER_PEERS", "").split(";") if command.strip()]

READS = {
    b"string": lambda c, k: c.get(k),
    b"list": lambda c, k: c.lrange(k, 0, -1),
    b"set": lambda c, k: c.smembers(k),
    b"zset": lambda c, k: c.zrange(k, 0, -1, withscores=True),
    b"hash": lambda c, k: (c.hgetall(k), deadlines(c, k)),
    b"stream": lambda c, k: (c.xrange(k), stream_facts(c, k)),
}


def deadlines(client, key):
    """When fields die; a server that does not know of it has none."""
    fields = sorted(client.hkeys(key))
    try:
        times = client.execute_command("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
    except redis.ResponseError:
        return {}
    return {field: time for field, time in zip(fields, times) if time != -1}


def stream_facts(client, key):
    """What can be seen of a stream beside its entries, and what does not change with time."""
    about = client.execute_command("XINFO", "STREAM", key, "FULL", "COUNT", 0)
    about = about if isinstance(about, dict) else dict(zip(about[::2], about[1::2]))
    return {word: about.get(word) for word in (b"length", b"last-generated-id", b"max-deleted-entry-id", b"entries-added")}, [
        (group[b"name"], group[b"last-delivered-id"], group[b"entries-read"], group[b"pending"], [consumer[:1] + consumer[2:] for consumer in group[b"consumers"]])
        for group in map(mapping, about[b"groups"])
    ]


def mapping(pairs):
    found = pairs if isinstance(pairs, dict) else dict(zip(pairs[::2], pairs[1::2]))
    consumers = [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2])) for one in found[b"consumers"]]
    return {**found, b"consumers": [[one[b"name"], one[b"seen-time"], one.get(b"pending", one.get(b"pel"))] for one in consumers]}


def read(client, key):
    kind = client.type(key)
    return kind, READS[kind](client, key)


@pytest.fixture(scope="module", params=PEERS, ids=lambda command: command[-1])
def peer(request):
    port = free_port()
    command = [*request.param, "--port", str(port), "--save", "", "--protected-mode", "no", "--dir", "/tmp", "--dbfilename", f"none-{port}.rdb"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    yield client
    client.close()
    process.terminate()
    process.wait()


@pytest.fixture
def here(node):
    client = redis.Redis(port=node.port)
    client.flushall()
    yield client
    client.config_set("sanitize-dump-payload", "no")
    client.close()


BYTES = [b"", b"a", b"-1", b"127", b"128", b"-32769", b"2147483648", b"9223372036854775807", b"9223372036854775808",
         b"007", b"\x00\xff\r\n", b"x" * 20, b"x" * 70, bytes(range(256)), b"ab" * 3000, os.urandom(300), b"z" * 70_000]


def fill(client):
    """One key for each type and form that a server can be brought to make."""
    for at, value in enumerate(BYTES):
        client.set(f"string{at}", value)
    integers = list(range(-5, 40)) + [2**15, -(2**31), 2**31, 2**62]
    members = [value for value in BYTES if value] + [b"%d" % n for n in integers]
    short = [value for value in members if len(value) < 60]
    for name, some in (("short", short), ("all", members), ("integers", integers), ("one", [b"a"]), ("small", [3, 1, 2]),
                       ("wide", [2**40, -7]), ("many", range(1000))):
        client.rpush(f"list:{name}", *some)
        client.sadd(f"set:{name}", *some)
        client.zadd(f"zset:{name}", {member: score for score, member in enumerate(some)})
        client.hset(f"hash:{name}", mapping={member: member for member in some})
    client.rpush("list:long", *[b"y" * 5000] * 20)
    client.rpush("list:giant", b"small", b"q" * 100_000, b"small")
    scores = [0.5, -1.25, 3, 1e300, 5e-324, float("inf"), float("-inf"), 0.1, 2**53, -(2**53) - 2]
    client.zadd("zset:scores", {f"m{at}": score for at, score in enumerate(scores)})
    client.zadd("zset:scores:grown", {b"n" * 65 + b"%d" % at: score for at, score in enumerate(scores)})


def fill_streams(client, groups=True):
    for at in range(1, 300):
        client.execute_command("XADD", "stream:same", f"{at}-1", "field", f"value{at}", "n", at)
        client.execute_command("XADD", "stream:mixed", f"{at // 7 + 1}-{at % 7}" if at >= 7 else f"1-{at}", *["f", "v", "g", "w"][: 2 + at % 2 * 2], str(at % 3), "x" * (at % 90))
    client.xdel("stream:same", "1-1", "5-1", "77-1")
    client.execute_command("XADD", "stream:empty", "5-5", "a", "b")
    client.xdel("stream:empty", "5-5")
    if groups:
        for name in ("g1", "g2"):
            client.xgroup_create("stream:same", name, "10-1")
        client.xgroup_createconsumer("stream:same", "g1", "idle")
        client.xreadgroup("g1", "worker", {"stream:same": ">"}, count=5)
        client.xack("stream:same", "g1", "12-1")


def knows(client, payload):
    """False if the payload's version is newer than the server."""
    version = int.from_bytes(payload[-10:-8], "little")
    info = client.info("server")
    if "valkey_version" in info:
        return version <= 11 or (version == 80 and int(info["valkey_version"].split(".")[0]) >= 9)
    return version <= (10 if info["redis_version"] < "7.2" else 11 if info["redis_version"] < "7.4" else 12)


def test_values_of_a_peer_come_here_and_go_back(peer, here):
    peer.flushall()
    for sanitize in ("no", "yes"):
        here.flushall()
        here.config_set("sanitize-dump-payload", sanitize)
        fill(peer)
        taken = 0
        for key in sorted(peer.keys()):
            value = read(peer, key)
            here.restore(key, 0, peer.dump(key))
            assert read(here, key) == value, key
            payload = here.dump(key)
            if knows(peer, payload):
                peer.restore(key, 0, payload, replace=True)
                assert read(peer, key) == value, key
                taken += 1
        assert taken > 40


def test_our_values_go_to_a_peer(peer, here):
    peer.flushall()
    fill(here)
    for key in sorted(here.keys()):
        payload = here.dump(key)
        if knows(peer, payload):
            peer.restore(key, 0, payload)
            assert read(peer, key) == read(here, key), key
            # How long a string is embedded, and when a list gets a second node, is each server's own affair.
            if peer.type(key) not in (b"string", b"list"):
                assert peer.object("encoding", key) == here.object("encoding", key), key


def test_streams_go_round(peer, here):
    peer.flushall()
    fill_streams(peer)
    for key in (b"stream:same", b"stream:mixed", b"stream:empty"):
        here.restore(key, 0, peer.dump(key))
        assert here.xrange(key) == peer.xrange(key)
        payload = here.dump(key)
        if knows(peer, payload):
            before = read(peer, key)
            peer.restore(key, 0, payload, replace=True)
            assert read(peer, key) == before
        again = redis.Redis(port=here.connection_pool.connection_kwargs["port"])
        again.restore(b"again", 0, payload, replace=True)
        assert again.dump(b"again") == payload and again.xlen(b"again") == peer.xlen(key)


def test_deadlines_of_fields_go_round(peer, here):
    peer.flushall()
    for key, extra in (("few", {}), ("many", {f"f{at}": at for at in range(600)})):
        peer.hset(key, mapping={"a": 1, "b": 2, "c": "x", **extra})
        try:
            peer.execute_command("HPEXPIREAT", key, 4_000_000_000_123, "FIELDS", 1, "a")
            peer.execute_command("HPEXPIREAT", key, 3_000_000_000_001, "FIELDS", 1, "b")
        except redis.ResponseError:
            pytest.skip("fields have no deadlines there")
        here.restore(key, 0, peer.dump(key))
        assert here.execute_command("HPEXPIRETIME", key, "FIELDS", 3, "a", "b", "c") == [4_000_000_000_123, 3_000_000_000_001, -1]
        assert here.hgetall(key) == peer.hgetall(key)
        payload = here.dump(key)
        if knows(peer, payload):
            peer.restore(key, 0, payload, replace=True)
            assert read(peer, key) == read(here, key)


def crc64(data):
    sum_ = 0
    for byte in data:
        sum_ ^= byte
        for _ in range(8):
            sum_ = sum_ >> 1 ^ (0x95AC9329AC4BC9B5 if sum_ & 1 else 0)
    return sum_


def payload(body, version=9):
    body += version.to_bytes(2, "little")
    return body + crc64(body).to_bytes(8, "little")


def ziplist(*entries):
    """A ziplist as Redis 2.8 wrote it; entries are bytes, or integers of two bytes."""
    body, last, tail = b"", 0, 10
    for entry in entries:
        tail = 10 + len(body)
        head = bytes([last]) if last < 254 else b"\xfe" + last.to_bytes(4, "little")
        if isinstance(entry, int):
            data = bytes([0xF1 + entry]) if 0 <= entry <= 12 else b"\xc0" + entry.to_bytes(2, "little", signed=True)
        elif len(entry) < 64:
            data = bytes([len(entry)]) + entry
        elif len(entry) < 16384:
            data = (0x4000 | len(entry)).to_bytes(2, "big") + entry
        else:
            data = b"\x80" + len(entry).to_bytes(4, "big") + entry
        body += head + data
        last = len(head + data)
    return (11 + len(body)).to_bytes(4, "little") + tail.to_bytes(4, "little") + len(entries).to_bytes(2, "little") + body + b"\xff"


def string(data):
    return b"\x80" + len(data).to_bytes(4, "big") + data


OLD = {
    "list": b"\x01\x03\x01a\xc0\x05\x01b",
    "list ziplist": b"\x0a" + string(ziplist(b"a", 0, 12, -300, b"x" * 70, b"y" * 300, b"z" * 20_000, b"end")),
    "list quicklist": b"\x0e\x02" + string(ziplist(b"a", 1)) + string(ziplist(b"b" * 260, 2)),
    "set intset 2": b"\x0b" + string(b"\x02\0\0\0\x02\0\0\0\xff\xff\x01\0"),
    "set intset 8": b"\x0b" + string(b"\x08\0\0\0\x01\0\0\0" + (2**40).to_bytes(8, "little")),
    "zset text": b"\x03\x03\x01b\x031.5\x01a\xff\x01c\xfe",
    "zset ziplist": b"\x0c" + string(ziplist(b"a", b"-1.5", b"b", 3)),
    "hash zipmap": b"\x09" + string(b"\x02\x01a\x01\x00b\x02cc\x01\x02dxx\xff"),
    "hash zipmap wide": b"\x09" + string(b"\x01\xfe\x2c\x01\0\0" + b"f" * 300 + b"\x01\x00v\xff"),
    "hash ziplist": b"\x0d" + string(ziplist(b"a", 7, b"b", b"v" * 100)),
    "compressed": b"\x00\xc3\x0a\x40\x46\x01xx\xe0\x39\x00\x01xx\x00\x00",
}


@pytest.mark.parametrize("name", OLD)
def test_forms_of_old_versions(name, peer, here):
    peer.flushall()
    answers = []
    for client in (peer, here):
        try:
            client.restore("k", 0, payload(OLD[name]))
            answers.append(read(client, "k"))
        except redis.ResponseError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]


BROKEN = {
    "empty": b"\x02\x00", "repeated": b"\x02\x02\x01a\x01a", "nan": b"\x03\x01\x01a\xfd", "nothing": b"", "unknown": b"\x7f\x01a",
    "odd listpack": b"\x10" + string(b"\x0a\0\0\0\x01\0\x81a\x02\xff"), "listpack size": b"\x10" + string(b"\x0b\0\0\0\x02\0\x81a\x02\xff"),
    "listpack cut": b"\x14" + string(b"\x0a\0\0\0\x01\0\x85a\x02\xff"), "intset": b"\x0b" + string(b"\x03\0\0\0\x01\0\0\0\x01\0\0"),
    "huge count": b"\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff", "huge string": b"\x00\x81\x00\x00\x00\xff\xff\xff\xff\xff",
    "huge compressed": b"\x00\xc3\x01\x80\xff\xff\xff\xff\x00",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("sanitize", ["no", "yes"])
def test_broken_payloads(name, sanitize, here):
    here.config_set("sanitize-dump-payload", sanitize)
    fails("Bad data format", here.restore, "k", 0, payload(BROKEN[name]))
    assert here.exists("k") == 0


def test_sanitizing_finds_repetitions(here):
    twice = payload(b"\x14" + string(b"\x0d\0\0\0\x02\0\x81a\x02\x81a\x02\xff"), 11)
    here.restore("k", 0, twice)
    here.config_set("sanitize-dump-payload", "clients")
    fails("Bad data format", here.restore, "k", 0, twice, replace=True)
    assert here.execute_command("ACL SETUSER", "default", "skip-sanitize-payload")
    here.restore("k", 0, twice, replace=True)
    here.execute_command("ACL SETUSER", "default", "sanitize-payload")
    fails("CONFIG SET failed", here.config_set, "sanitize-dump-payload", "maybe")


def test_restore_options(here):
    here.set("k", "hello", px=100_000)
    data = here.dump("k")
    assert here.dump("missing") is None
    with pytest.raises(redis.ResponseError, match="^Target key name already exists.$|^BUSYKEY Target key name already exists.$"):
        here.restore("k", 0, data)
    here.restore("k", 0, data, replace=True)
    assert here.pttl("k") == -1
    here.restore("k", 50_000, data, replace=True)
    assert 0 < here.pttl("k") <= 50_000
    here.restore("k", 4_000_000_000_000, data, replace=True, absttl=True)
    assert here.pexpiretime("k") == 4_000_000_000_000
    assert here.restore("k", 1, data, replace=True, absttl=True) == b"OK" and here.exists("k") == 0
    here.restore("k", 0, data, idletime=1000)
    assert 1000 <= here.object("idletime", "k") <= 1000 + PATIENCE_S
    here.config_set("maxmemory-policy", "allkeys-lfu")
    here.restore("k", 0, data, replace=True, frequency=77)
    assert here.object("freq", "k") == 77
    here.config_set("maxmemory-policy", "noeviction")
    wrong = "DUMP payload version or checksum are wrong"
    for broken in (b"", data[:-1], data[:-1] + bytes([data[-1] ^ 1]), payload(b"\x00\x01a", 13), payload(b"\x00\x01a", 79)):
        fails(wrong, here.restore, "other", 0, broken)
    fails("Invalid TTL value, must be >= 0", here.restore, "other", -1, data)
    fails("value is not an integer or out of range", here.execute_command, "RESTORE", "other", "x", data)
    fails("Invalid IDLETIME value, must be >= 0", here.execute_command, "RESTORE", "other", 0, data, "IDLETIME", -1)
    fails("Invalid FREQ value, must be >= 0 and <= 255", here.execute_command, "RESTORE", "other", 0, data, "FREQ", 256)
    fails("syntax error", here.execute_command, "RESTORE", "other", 0, data, "FREQ", 1, "IDLETIME", 1)


def test_sort(r):
    r.rpush("list", 3, 1, 2, 10)
    r.mset({"w_1": 5, "w_2": 4, "w_3": 3, "o_1": "one"})
    r.hset("h_1", "f", "F")
    assert r.sort("list") == ["1", "2", "3", "10"] and r.sort("list", alpha=True, desc=True) == ["3", "2", "10", "1"]
    assert r.sort("list", by="w_*") == ["10", "3", "2", "1"] and r.sort("list", start=1, num=2) == ["2", "3"]
    assert r.sort("list", by="nosort", get=["#", "o_*", "h_*->f"])[3:6] == ["1", "one", "F"]
    assert r.sort("list", get="o_*", store="to") == 4 and r.lrange("to", 0, -1) == ["one", "", "", ""]
    assert r.sort("missing", store="to") == 0 and not r.exists("to")
    assert r.sort_ro("list", desc=True) == ["10", "3", "2", "1"]
    fails("syntax error", r.execute_command, "SORT_RO", "list", "STORE", "to")
    fails(WRONG, r.sort, "w_1")
    r.sadd("words", "a", "b")
    fails("One or more scores can't be converted into double", r.sort, "words")
    assert r.execute_command("COMMAND GETKEYS", "SORT", "list", "BY", "STORE", "STORE", "to") == ["list", "to"]


def test_sort_follows_patterns_for_who_may_read_all(r, node):
    r.rpush("list", 2, 1)
    r.mset({"w_1": 2, "w_2": 1})
    r.execute_command("ACL SETUSER", "some", "reset", "on", "nopass", "+@all", "~list", "~w_*", "~to")
    r.execute_command("ACL SETUSER", "reader", "reset", "on", "nopass", "+@all", "%R~*", "%W~to")
    try:
        some = redis.Redis(port=node.port, username="some", password="x")
        assert some.sort("list") == [b"1", b"2"] and some.sort("list", by="nosort") == [b"2", b"1"]
        fails("BY option of SORT denied due to insufficient ACL permissions.", some.sort, "list", by="w_*")
        fails("GET option of SORT denied due to insufficient ACL permissions.", some.sort, "list", get="#")
        reader = redis.Redis(port=node.port, username="reader", password="x")
        assert reader.sort("list", by="w_*", store="to") == 2 and r.lrange("to", 0, -1) == ["2", "1"]
    finally:
        r.execute_command("ACL DELUSER", "some", "reader")


def test_sort_in_a_transaction_and_for_who_waits(r):
    r.rpush("list", 2, 1)
    r.mset({"w_1": 2, "w_2": 1})
    with r.pipeline(transaction=True) as transaction:
        transaction.sort("list", by="w_*", get="w_*")
        transaction.sort("list", store="to")
        transaction.rpop("to")
        assert transaction.execute() == [["1", "2"], 2, "2"]
