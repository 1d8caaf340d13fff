"""`larder why`: what a node knows of a key, over both of its doors."""

import json

import pytest
import redis

from service import BINARY, Node, clean_environment, run, wait_until


@pytest.fixture
def node():
    node = Node()
    yield node
    node.stop()


def why(*arguments, check=True):
    return run([str(BINARY), "why", *arguments], check=check, env=clean_environment({}))


def test_a_key_is_known_by_why_it_is_not_there(node):
    client = redis.Redis(port=node.port)
    client.set("gone", "v")
    client.delete("gone")
    client.set("short", "v", px=1)
    wait_until("the key expires", lambda: client.info("stats")["expired_keys"] == 1)
    client.set("there", "value", ex=1000)
    redis_door, memcached_door = f"127.0.0.1:{node.port}", f"127.0.0.1:{node.memcached_port}"
    for key, state in [("gone", "deleted"), ("short", "expired"), ("never", "unknown"), ("there", "present")]:
        over_redis = json.loads(why(redis_door, key, "--output", "json").stdout)
        over_memcached = json.loads(why(memcached_door, key, "--engine", "memcached", "--output", "json").stdout)
        assert over_redis[0]["state"] == over_memcached[0]["state"] == state
        assert over_redis[0]["node"] == redis_door
    assert over_redis[0]["bytes"] > 5 and 0 < over_redis[0]["ttl_ms"] <= 1_000_000 and over_redis[0]["read"] == 0
    assert "gone was deleted" in why(redis_door, "gone").stdout
    assert "there is there: " in why(redis_door, "there").stdout


def test_a_key_that_memcached_cannot_have_is_refused(node):
    said = why(f"127.0.0.1:{node.memcached_port}", "a b", "--engine", "memcached", check=False)
    assert said.returncode == 1 and "neither blanks" in said.stderr


KEYS = 40_000


def test_evicted_keys_say_so(node):
    client = redis.Redis(port=node.port)
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory-policy", "allkeys-lhd")
    # Buffers of the process count, too: with much less than this no key at all might have room.
    client.config_set("maxmemory", used + (16 << 20))
    for start in range(0, KEYS, 1000):
        with client.pipeline(transaction=False) as pipeline:
            for n in range(start, start + 1000):
                pipeline.set(f"k:{n}", "v" * 1000)
            pipeline.execute()
    client.config_set("maxmemory", 0)
    gone = [n for n in range(KEYS) if not client.exists(f"k:{n}")]
    stats = client.info("stats")
    assert stats["evicted_keys"] == len(gone) > 10_000
    # As many are remembered as there are keys, and each of them is counted where it is asked for.
    assert 1000 < stats["keyspace_misses_evicted"] <= stats["keyspace_misses"]
    said = json.loads(why(f"127.0.0.1:{node.port}", f"k:{gone[-1]}", "--output", "json").stdout)
    assert said[0]["state"] in ("evicted", "unknown")
    assert stats["keyspace_misses_deleted"] == stats["keyspace_misses_flushed"] == 0
