"""Notifications of keys through redis-py, and the differential test of them, short and with known seeds."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from service import BINARY, PATIENCE_S, wait_until

SCRIPT = Path(__file__).with_name("differential_notifications.py")
STEPS = "2000"


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def r(request, node):
    client = redis.Redis(port=node.port, protocol=request.param, decode_responses=True)
    client.flushall()
    yield client
    client.config_set("notify-keyspace-events", "")
    client.close()


class Listener:
    def __init__(self, r, flags, pattern="__key*"):
        r.config_set("notify-keyspace-events", flags)
        self.pubsub = r.pubsub(ignore_subscribe_messages=True)
        self.pubsub.psubscribe(pattern)
        wait_until("it listens", lambda: r.pubsub_numpat() > 0)

    def next(self, count):
        found, until = [], time.monotonic() + PATIENCE_S
        while len(found) < count and time.monotonic() < until:
            message = self.pubsub.get_message(timeout=0.1)
            if message:
                found.append((message["channel"], message["data"]))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pubsub.close()


def test_flags_are_shown_in_canonical_form(r):
    for given, shown in [("KEA", "AKE"), ("AKEmn", "AKEm"), ("nmtdEK", "tdnKEm"), ("KE$lsg", "g$lsKE"), ("", "")]:
        r.config_set("notify-keyspace-events", given)
        assert r.config_get("notify-keyspace-events") == {"notify-keyspace-events": shown}
    with pytest.raises(redis.ResponseError, match="Invalid event class character"):
        r.config_set("notify-keyspace-events", "KEq")


def test_events_name_database_key_and_command(r, node):
    with Listener(r, "KEA") as listener:
        r.set("k", "v", ex=100)
        assert listener.next(4) == [
            ("__keyspace@0__:k", "set"), ("__keyevent@0__:set", "k"), ("__keyspace@0__:k", "expire"), ("__keyevent@0__:expire", "k"),
        ]
        other = redis.Redis(port=node.port, db=5)
        other.rpush("l", 1)
        assert listener.next(2) == [("__keyspace@5__:l", "rpush"), ("__keyevent@5__:rpush", "l")]
        r.rename("k", "n")
        assert [event for channel, event in listener.next(4) if "keyspace" in channel] == ["rename_from", "rename_to"]


def test_only_the_classes_that_are_wanted(r):
    with Listener(r, "Els") as listener:
        r.set("k", "v")
        r.hset("h", "a", 1)
        r.sadd("s", "a")
        r.delete("k")
        r.lpush("l", 1)
        assert listener.next(2) == [("__keyevent@0__:sadd", "s"), ("__keyevent@0__:lpush", "l")]


def test_misses_and_new_keys(r):
    with Listener(r, "Emn") as listener:
        r.get("none")
        r.set("k", "v")
        r.set("k", "w")
        r.lpush("l", 1)
        assert listener.next(3) == [("__keyevent@0__:keymiss", "none"), ("__keyevent@0__:new", "k"), ("__keyevent@0__:new", "l")]


def test_keys_whose_time_is_over_without_anybody_asking(r):
    with Listener(r, "Ex") as listener:
        for number in range(100):
            r.set(f"k{number}", "v", px=20)
        assert sorted(listener.next(100)) == sorted(("__keyevent@0__:expired", f"k{number}") for number in range(100))


def test_transactions_tell_in_order(r):
    with Listener(r, "Kg$l") as listener:
        r.pipeline().set("k", 1).incr("k").rpush("l", 1, 2).lpop("l", 2).delete("k").execute()
        assert [event for _, event in listener.next(6)] == ["set", "incrby", "rpush", "lpop", "del", "del"]


def test_who_waits_is_told_of_too(r, node):
    waiting = redis.Redis(port=node.port, decode_responses=True)
    with Listener(r, "El") as listener:
        r.rpush("q", 1)
        assert waiting.blpop("q", 1) == ("q", "1")
        assert listener.next(2) == [("__keyevent@0__:rpush", "q"), ("__keyevent@0__:lpop", "q")]


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server to compare with")
@pytest.mark.parametrize("seed", [1, 2])
def test_events_are_those_of_redis_server(seed):
    environment = {**os.environ, "LARDER_BIN": str(BINARY), "LARDER_DIFFERENTIAL_STEPS": os.environ.get("LARDER_DIFFERENTIAL_STEPS", STEPS)}
    command = [sys.executable, str(SCRIPT), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
