"""Hash fields with deadlines through redis-py, and compared with a real server that has them, if there is one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service import BINARY, wait_until
from test_redis_py import fails, r  # noqa: F401 (a fixture)

SCRIPT = Path(__file__).with_name("differential.py")
PEER = os.environ.get("LARDER_PEER_REDIS_8", "")


@pytest.mark.skipif(not PEER, reason="LARDER_PEER_REDIS_8 does not name the command of a Redis 8")
def test_replies_are_those_of_redis_8():
    environment = {**os.environ, "LARDER_BIN": str(BINARY), "LARDER_DIFFERENTIAL_KINDS": "f"}
    command = [sys.executable, str(SCRIPT), "--seed", "1", "--steps", "6000", "--peer", PEER]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"


def test_deadlines_of_fields(r):
    r.hset("h", mapping={"a": 1, "b": 2, "c": 3})
    assert r.hexpire("h", 100, "a", "none") == [1, -2] and r.httl("h", "a", "b", "none") == [100, -1, -2]
    assert r.hpexpire("h", 50_000, "b", nx=True) == [1] and r.hpexpire("h", 60_000, "b", nx=True) == [0]
    assert r.hexpire("h", 10, "b", gt=True) == [0] and r.hexpire("h", 10, "b", lt=True) == [1]
    at = int(time.time()) + 1000
    assert r.hexpireat("h", at, "c") == [1] and r.hexpiretime("h", "c") == [at]
    assert r.hpexpiretime("h", "c") == [at * 1000] and 990_000 < r.hpttl("h", "c")[0] <= 1_000_000
    assert r.hpersist("h", "c", "none") == [1, -2] and r.hpersist("h", "c") == [-1]
    assert r.hexpire("h", 0, "c") == [2] and not r.hexists("h", "c")
    # A new value has no deadline; an increment keeps it.
    r.hset("h", "a", 5)
    assert r.httl("h", "a") == [-1] and r.hexpire("h", 100, "a") == [1]
    assert r.hincrby("h", "a", 1) == 6 and 90 < r.httl("h", "a")[0] <= 100
    fails("numfields", r.execute_command, "HTTL", "h", "FIELDS", 2, "a")
    fails("Mandatory argument FIELDS", r.execute_command, "HTTL", "h", "FELDS", 1, "a")


def test_values_with_deadlines(r):
    assert r.hsetex("h", mapping={"a": "1", "b": "2"}, ex=100) == 1 and r.httl("h", "a", "b") == [100, 100]
    assert r.hgetex("h", "a", "none", persist=True) == ["1", None] and r.httl("h", "a") == [-1]
    assert r.hgetex("h", "a", px=50_000) == ["1"] and r.httl("h", "a") == [50]
    assert r.hsetex("h", "c", "3", data_persist_option=None, keepttl=True) == 1 and r.httl("h", "c") == [-1]
    assert r.execute_command("HSETEX", "h", "FNX", "FIELDS", 1, "a", "x") == 0
    assert r.hgetdel("h", "a", "b", "none") == ["1", "2", None] and r.hgetall("h") == {"c": "3"}
    assert r.hgetdel("h", "c") == ["3"] and not r.exists("h")


def test_fields_die(r):
    """Whoever asks meets no dead field; one that nobody asks for is reclaimed and counted all the same."""
    before = r.info("stats")["expired_fields"]
    r.hset("asked", mapping={"a": 1, "b": 2})
    r.hset("left", mapping={"a": 1})
    r.hpexpire("asked", 30, "a"), r.hpexpire("left", 30, "a")
    assert r.info("keyspace")["db0"]["subexpiry"] == 2
    wait_until("the field is gone", lambda: r.hgetall("asked") == {"b": "2"})
    assert r.hlen("asked") == 1 and r.hget("asked", "a") is None and r.httl("asked", "a") == [-2]
    wait_until("the hash nobody looked at is gone", lambda: r.dbsize() == 1)
    assert r.info("stats")["expired_fields"] == before + 2
    # Exporters of the days of Redis 7.2 expect these three, and no more.
    assert list(r.info("keyspace")["db0"]) == ["keys", "expires", "avg_ttl"]


def test_deadlines_go_where_the_hash_goes(r):
    r.hsetex("h", "a", "1", ex=100)
    assert r.rename("h", "g") and r.httl("g", "a") == [100] and r.copy("g", "h") and r.httl("h", "a") == [100]
    assert r.hscan("h") == (0, {"a": "1"})
