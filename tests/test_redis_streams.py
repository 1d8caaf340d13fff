"""Streams through redis-py; the differential tests have the rest."""

import threading

from service import PATIENCE_S, wait_until
from test_redis_blocking import another
from test_redis_py import WRONG, fails, r  # noqa: F401 (a fixture)


def flat(reply):
    """RESP2 and RESP3 alike: [(stream, [(id, fields), ...]), ...]."""
    if isinstance(reply, dict):
        return [(key, [tuple(entry) for part in entries for entry in part]) for key, entries in reply.items()]
    return [(key, [tuple(entry) for entry in entries]) for key, entries in reply]


def fill(r, count=3):
    return [r.xadd("s", {"n": n}, id=f"{n}-0") for n in range(1, count + 1)]


def test_adding_and_ranges(r):
    assert fill(r) == ["1-0", "2-0", "3-0"] and r.xlen("s") == 3 and r.type("s") == "stream"
    assert r.xrange("s", "2", "+") == [("2-0", {"n": "2"}), ("3-0", {"n": "3"})]
    assert r.xrange("s", "(1-0", count=1) == [("2-0", {"n": "2"})] and r.xrevrange("s", count=1) == [("3-0", {"n": "3"})]
    assert r.xadd("s", {"n": 4}, id="3-*") == "3-1" and r.xdel("s", "3-1", "9-9") == 1
    fails("equal or smaller", r.xadd, "s", {"n": 1}, id="3-0")
    assert r.xadd("s", {"n": 5}, maxlen=2, approximate=False) and r.xlen("s") == 2
    assert r.xtrim("s", maxlen=0, approximate=False) == 2 and r.exists("s")
    assert r.xadd("none", {"n": 1}, nomkstream=True) is None
    r.set("text", 1)
    fails(WRONG, r.xadd, "text", {"n": 1})
    assert r.object("encoding", "s") == "stream" and r.memory_usage("s") > 0


def test_reading(r):
    fill(r)
    assert flat(r.xread({"s": "1-0", "none": 0})) == [("s", [("2-0", {"n": "2"}), ("3-0", {"n": "3"})])]
    assert flat(r.xread({"s": 0}, count=1)) == [("s", [("1-0", {"n": "1"})])] and not r.xread({"s": "$"})
    assert not r.xread({"s": "$"}, block=10)
    result, other = [], another(r)
    thread = threading.Thread(target=lambda: result.append(other.xread({"s": "$", "t": "$"}, block=0)))
    thread.start()
    wait_until("it waits", lambda: r.info("clients")["blocked_clients"] == 1)
    r.xadd("t", {"n": 9}, id="9-0")
    thread.join(PATIENCE_S)
    assert flat(result[0]) == [("t", [("9-0", {"n": "9"})])]
    other.close()


def test_groups(r):
    fails("requires the key to exist", r.xgroup_create, "s", "g")
    fill(r)
    assert r.xgroup_create("s", "g", id=0) and r.xgroup_create("s", "late")
    fails("BUSYGROUP", r.xgroup_create, "s", "g")
    fails("NOGROUP", r.xreadgroup, "none", "c", {"s": ">"})
    assert flat(r.xreadgroup("g", "one", {"s": ">"}, count=2)) == [("s", [("1-0", {"n": "1"}), ("2-0", {"n": "2"})])]
    assert flat(r.xreadgroup("g", "two", {"s": ">"})) == [("s", [("3-0", {"n": "3"})])] and not r.xreadgroup("g", "two", {"s": ">"})
    assert not r.xreadgroup("late", "one", {"s": ">"})
    # What is pending comes again, as often as it is asked for.
    assert flat(r.xreadgroup("g", "one", {"s": 0}))[0][1] == [("1-0", {"n": "1"}), ("2-0", {"n": "2"})]
    pending = r.xpending("s", "g")
    assert (pending["pending"], pending["min"], pending["max"]) == (3, "1-0", "3-0")
    assert pending["consumers"] == [{"name": "one", "pending": 2}, {"name": "two", "pending": 1}]
    entries = r.xpending_range("s", "g", "-", "+", 10, consumername="one")
    assert [(entry["message_id"], entry["times_delivered"]) for entry in entries] == [("1-0", 2), ("2-0", 2)]
    assert r.xpending_range("s", "g", "-", "+", 10, idle=3_600_000) == [] and r.xack("s", "g", "1-0", "7-7") == 1
    group = r.xinfo_groups("s")[0]
    assert (group["name"], group["consumers"], group["pending"], group["entries-read"], group["lag"]) == ("g", 2, 2, 3, 0)
    assert [consumer["pending"] for consumer in r.xinfo_consumers("s", "g")] == [1, 1]
    assert r.xgroup_delconsumer("s", "g", "two") == 1 and r.xgroup_createconsumer("s", "g", "two") == 1
    assert r.xgroup_setid("s", "g", 0) and r.xgroup_destroy("s", "late") == 1
    for end, last in (("-", "0-0"), ("+", f"{2**64 - 1}-{2**64 - 1}")):
        assert r.xgroup_setid("s", "g", end) and r.xinfo_groups("s")[0]["last-delivered-id"] == last
    fails("Invalid stream ID specified as stream command argument", r.xgroup_create, "s", "other", "-")


def test_claiming(r):
    fill(r)
    r.xgroup_create("s", "g", id=0)
    r.xreadgroup("g", "one", {"s": ">"})
    assert r.xclaim("s", "g", "two", 0, ["1-0"]) == [("1-0", {"n": "1"})] and r.xclaim("s", "g", "two", 3_600_000, ["2-0"]) == []
    assert r.xclaim("s", "g", "two", 0, ["2-0"], justid=True, idle=5000) == ["2-0"]
    r.xdel("s", "3-0")
    reply = r.xautoclaim("s", "g", "three", 0, count=2)
    assert reply[0] == "3-0" and [id for id, _ in reply[1]] == ["1-0", "2-0"] and reply[2] == []
    reply = r.xautoclaim("s", "g", "three", 0, start_id="3-0")
    assert reply[0] == "0-0" and reply[1] == [] and reply[2] == ["3-0"]
    assert r.xpending("s", "g")["consumers"] == [{"name": "three", "pending": 2}]


def test_describing(r):
    fill(r)
    r.xgroup_create("s", "g", id=0)
    info = r.xinfo_stream("s")
    assert (info["length"], info["last-generated-id"], info["groups"]) == (3, "3-0", 1) and info["first-entry"][0] == "1-0"
    full = r.xinfo_stream("s", full=True)
    assert len(full["entries"]) == 3 and full["entries-added"] == 3
    fails("no such key", r.xinfo_stream, "none")
    assert r.copy("s", "t") and r.xlen("t") == 3 and r.xinfo_groups("t")[0]["name"] == "g"


def test_a_group_that_goes_ends_the_wait(r):
    fill(r)
    r.xgroup_create("s", "g")
    other = another(r)
    thread = threading.Thread(target=lambda: fails("NOGROUP", other.xreadgroup, "g", "c", {"s": ">"}, block=0))
    thread.start()
    wait_until("it waits", lambda: r.info("clients")["blocked_clients"] == 1)
    r.delete("s")
    thread.join(PATIENCE_S)
    assert not thread.is_alive() and r.info("clients")["blocked_clients"] == 0
    other.close()
