"""Streams through redis-py: what its parsers make of the replies, in both protocols."""

import time

import pytest

from test_redis_blocking import in_background
from test_redis_py import fails, r  # noqa: F401 (a fixture)


def entries(reply):
    """What XREAD gives, as a dictionary whatever the protocol."""
    if isinstance(reply, dict):
        return {key: value[0] if value and isinstance(value[0], list) else value for key, value in reply.items()}
    return {key: value for key, value in reply}


@pytest.fixture
def s(r):  # noqa: F811
    """A client of a node with a stream of three entries and a group that has read nothing."""
    for ms in (1, 2, 3):
        assert r.xadd("s", {"f": ms, "g": "x"}, id=f"{ms}-1") == f"{ms}-1"
    assert r.xgroup_create("s", "g", id="0")
    return r


def test_entries(s):
    assert s.xlen("s") == 3 and s.type("s") == "stream" and s.object("encoding", "s") == "stream"
    assert s.xrange("s", "(1-1", count=1) == [("2-1", {"f": "2", "g": "x"})]
    assert [id for id, _ in s.xrevrange("s")] == ["3-1", "2-1", "1-1"]
    fails("equal or smaller", s.xadd, "s", {"f": 1}, id="3-1")
    assert s.xadd("s", {"f": 4}, id="3-*") == "3-2" and s.xdel("s", "3-2", "9-9") == 1
    assert s.xtrim("s", maxlen=2, approximate=False) == 1 and s.xadd("none", {"f": 1}, nomkstream=True) is None
    assert s.xadd("s", {"f": 5}, minid="3-0", approximate=False) and s.xlen("s") == 2
    assert list(s.scan_iter(_type="stream")) == ["s"] and s.memory_usage("s") > 0


def test_reading(s):
    assert entries(s.xread({"s": "1-1", "none": "0"}, count=1)) == {"s": [("2-1", {"f": "2", "g": "x"})]}
    assert not s.xread({"s": "$"}) and not s.xread({"s": "3-1"}, block=5)
    assert entries(s.xread({"s": "+"})) == {"s": [("3-1", {"f": "3", "g": "x"})]}
    fails("WRONGTYPE", lambda: s.set("text", 1) and s.xread({"text": "0"}))
    end = in_background(s, "xread", {"s": "$", "t": "$"}, block=0)
    s.xadd("t", {"f": 1}, id="7-7")
    assert entries(end()) == {"t": [("7-7", {"f": "1"})]}


def test_groups(s):
    assert [id for id, _ in entries(s.xreadgroup("g", "ann", {"s": ">"}, count=2))["s"]] == ["1-1", "2-1"]
    assert entries(s.xreadgroup("g", "bob", {"s": ">"}, noack=True)) == {"s": [("3-1", {"f": "3", "g": "x"})]}
    assert not s.xreadgroup("g", "bob", {"s": ">"})
    pending = {"pending": 2, "min": "1-1", "max": "2-1", "consumers": [{"name": "ann", "pending": 2}]}
    assert s.xpending("s", "g") == pending and s.xack("s", "g", "1-1", "1-1", "8-8") == 1
    (one,) = s.xpending_range("s", "g", "-", "+", 10, consumername="ann")
    assert (one["message_id"], one["consumer"], one["times_delivered"]) == ("2-1", "ann", 1)
    assert s.xpending_range("s", "g", "-", "+", 10, idle=1_000_000) == []
    # The history of a consumer counts as a delivery; an entry that was deleted has no fields.
    s.xreadgroup("g", "ann", {"s": "0"})
    assert s.xpending_range("s", "g", "-", "+", 10)[0]["times_delivered"] == 2
    s.xdel("s", "2-1")
    assert entries(s.xreadgroup("g", "ann", {"s": "0"}))["s"][0][0] == "2-1"
    fails("NOGROUP No such key 's' or consumer group 'x' in XREADGROUP", s.xreadgroup, "x", "ann", {"s": ">"})
    fails("BUSYGROUP", s.xgroup_create, "s", "g")


def test_claims(s):
    s.xreadgroup("g", "ann", {"s": ">"})
    assert s.xclaim("s", "g", "bob", 0, ["1-1", "9-9"]) == [("1-1", {"f": "1", "g": "x"})]
    assert s.xclaim("s", "g", "bob", 1_000_000, ["2-1"]) == []
    assert s.xclaim("s", "g", "bob", 0, ["2-1"], justid=True, idle=500, retrycount=7) == ["2-1"]
    one = s.xpending_range("s", "g", "2-1", "2-1", 1)[0]
    assert one["times_delivered"] == 7 and one["time_since_delivered"] >= 500
    s.xdel("s", "1-1")
    cursor, claimed, gone = s.xautoclaim("s", "g", "eve", 0, count=2)
    assert (cursor, [id for id, _ in claimed], gone) == ("3-1", ["2-1"], ["1-1"])
    cursor, claimed, *_ = s.execute_command("XAUTOCLAIM", "s", "g", "eve", 0, cursor, "JUSTID")
    assert cursor == "0-0" and s.xpending("s", "g")["pending"] == 2


def test_descriptions(s):
    s.xreadgroup("g", "ann", {"s": ">"}, count=1)
    s.xreadgroup("g", "bob", {"s": "0"})
    info = s.xinfo_stream("s")
    assert (info["length"], info["groups"], info["entries-added"], info["last-generated-id"]) == (3, 1, 3, "3-1")
    assert info["first-entry"] == ("1-1", {"f": "1", "g": "x"}) and info["max-deleted-entry-id"] == "0-0"
    (group,) = s.xinfo_groups("s")
    assert (group["name"], group["consumers"], group["pending"]) == ("g", 2, 1)
    assert (group["entries-read"], group["lag"], group["last-delivered-id"]) == (1, 2, "1-1")
    ann, bob = s.xinfo_consumers("s", "g")
    assert (ann["name"], ann["pending"], bob["name"], bob["pending"]) == ("ann", 1, "bob", 0)
    # Bob was seen and got nothing.
    assert ann["inactive"] >= 0 and bob["idle"] >= 0 and bob["inactive"] == -1
    full = s.xinfo_stream("s", full=True)
    assert len(full["entries"]) == 3 and full["groups"][0]["pel-count"] == 1
    assert abs(time.time() * 1000 - full["groups"][0]["consumers"][0]["active-time"]) < 60_000
    s.xdel("s", "2-1")
    assert s.xinfo_groups("s")[0]["lag"] is None
    fails("no such key", s.xinfo_stream, "none")
    assert "STREAM" in " ".join(s.execute_command("XINFO", "HELP"))


def test_nodes_have_limits(s):
    s.config_set("stream-node-max-entries", 4)
    try:
        for at in range(20):
            s.xadd("small", {"f": at})
        assert s.xinfo_stream("small")["radix-tree-keys"] == 5
        # Whole nodes go, so what is left is a little more.
        assert s.xtrim("small", maxlen=5, approximate=True) == 12 and s.xlen("small") == 8
    finally:
        s.config_set("stream-node-max-entries", 100)


def test_keys_are_found(s):
    assert s.command_getkeys("XREAD", "COUNT", 1, "STREAMS", "a", "b", "0", "0") == ["a", "b"]
    assert s.command_getkeys("XREADGROUP", "GROUP", "streams", "c", "STREAMS", "a", ">") == ["a"]
