"""Client-side caching: what CLIENT TRACKING tells, on connections of redis-py."""

import time

import pytest
import redis

from service import PATIENCE_S, Node, wait_until


@pytest.fixture
def other(node):
    client = redis.Redis(port=node.port, decode_responses=True)
    client.flushall()
    yield client
    client.close()


class Cache:
    """A connection of RESP3 that keeps what is pushed to it."""

    def __init__(self, node, *options):
        self.connection = redis.Redis(port=node.port, protocol=3, decode_responses=True).connection_pool.get_connection()
        self.pushed = []
        self.connection._parser.set_invalidation_push_handler(self.pushed.append)
        assert self.call("CLIENT", "TRACKING", "ON", *options) == "OK"

    def call(self, *args):
        self.connection.send_command(*args)
        return self.connection.read_response()

    def invalid(self, count):
        """The next invalidated keys, one list per message; `None` for all keys."""
        until = time.monotonic() + PATIENCE_S
        while len(self.pushed) < count and time.monotonic() < until:
            self.call("PING")
        found, self.pushed[:] = [message[1] for message in self.pushed], []
        return found


def names(keys):
    return [key.decode() if isinstance(key, bytes) else key for key in keys]


@pytest.fixture
def cache(node, other):
    cache = Cache(node)
    yield cache
    cache.connection.disconnect()


def test_a_key_that_was_read_and_changes(cache, other):
    other.set("k", 1)
    assert cache.call("GET", "k") == "1"
    other.set("k", 2)
    other.set("k", 3)
    assert [names(keys) for keys in cache.invalid(1)] == [["k"]]
    other.set("k", 4)
    assert cache.call("PING") == "PONG" and cache.pushed == []  # it was not read again


def test_every_kind_of_change(cache, other):
    changes = [
        lambda: other.delete("k"), lambda: other.expire("k", 100), lambda: other.rename("k", "n"), lambda: other.append("k", "x"),
        lambda: other.set("k", 1, px=1), lambda: other.getset("k", 2), lambda: other.incr("k"), lambda: other.copy("o", "k", replace=True),
        lambda: other.move("k", 3),
    ]
    for change in changes:
        other.set("k", 1)
        other.set("o", 1)
        assert cache.call("GET", "k") == "1"
        change()
        assert names(cache.invalid(1)[0]) == ["k"]
        other.flushall()
        cache.invalid(1)


def test_keys_that_expire_and_flushes(cache, other):
    other.set("k", 1, px=50)
    cache.call("GET", "k")
    assert names(cache.invalid(1)[0]) == ["k"]
    cache.call("MGET", "a", "b")
    other.flushdb()
    assert cache.invalid(1) == [None]


def test_collections_and_transactions(cache, other):
    other.hset("h", "a", 1)
    other.zadd("z", {"a": 1})
    cache.call("HGETALL", "h")
    cache.call("ZRANGE", "z", 0, -1)
    other.pipeline().hdel("h", "a").zincrby("z", 1, "a").execute()
    assert sorted(names(keys)[0] for keys in cache.invalid(2)) == ["h", "z"]


def test_broadcasts(node, other):
    cache = Cache(node, "BCAST", "PREFIX", "user:", "PREFIX", "item:")
    other.set("user:1", 1)
    other.set("none", 1)
    other.set("item:1", 1)
    assert [names(keys) for keys in cache.invalid(2)] == [["user:1"], ["item:1"]]
    assert other.info("stats")["tracking_total_prefixes"] == 2
    with pytest.raises(redis.ResponseError, match="overlaps with an existing prefix"):
        cache.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:1")
    cache.connection.disconnect()
    wait_until("it is gone", lambda: other.info("stats")["tracking_total_prefixes"] == 0)


def test_opt_in_and_opt_out(node, other):
    asked, refusing = Cache(node, "OPTIN"), Cache(node, "OPTOUT")
    asked.call("CLIENT", "CACHING", "YES")
    asked.call("GET", "a")
    asked.call("GET", "b")
    refusing.call("CLIENT", "CACHING", "NO")
    refusing.call("GET", "a")
    refusing.call("GET", "b")
    other.mset({"a": 1, "b": 1})
    assert [names(keys) for keys in asked.invalid(1)] == [["a"]]
    assert [names(keys) for keys in refusing.invalid(1)] == [["b"]]


def test_no_loop(node, other):
    cache = Cache(node, "NOLOOP")
    cache.call("GET", "k")
    cache.call("SET", "k", 1)
    cache.call("GET", "k")
    other.set("k", 2)
    assert [names(keys) for keys in cache.invalid(1)] == [["k"]]


def test_redirection_to_a_listener_of_resp2(node, other):
    listener = redis.Redis(port=node.port, decode_responses=True).pubsub(ignore_subscribe_messages=True)
    listener.subscribe("__redis__:invalidate")
    wait_until("it listens", lambda: other.pubsub_numsub("__redis__:invalidate")[0][1] == 1)
    (line,) = other.client_list(_type="pubsub")
    cache = Cache(node, "REDIRECT", line["id"])
    assert cache.call("CLIENT", "GETREDIR") == int(line["id"])
    cache.call("GET", "k")
    other.set("k", 1)
    message = None
    while message is None:
        message = listener.get_message(timeout=1)
    assert message["data"] == ["k"]
    listener.close()
    cache.call("GET", "k")

    def is_broken():
        cache.call("GET", "k")
        other.set("k", 1)
        return "broken_redirect" in cache.call("CLIENT", "TRACKINGINFO")["flags"]

    wait_until("the redirection is found broken", is_broken)


def test_the_table_is_bounded(node, other):
    other.config_set("tracking-table-max-keys", 10)
    cache = Cache(node)
    for number in range(100):
        cache.call("GET", f"k{number}")
    assert len(cache.invalid(90)) == 90
    info = other.info("stats")
    assert info["tracking_total_keys"] == 10 and info["tracking_total_items"] == 10
    other.config_set("tracking-table-max-keys", 1_000_000)


def test_a_cache_of_redis_py():
    cache_module = pytest.importorskip("redis.cache")
    node = Node("--engine-version", "7.4.0")  # what the client asks for
    try:
        cached = redis.Redis(port=node.port, protocol=3, decode_responses=True, cache_config=cache_module.CacheConfig())
        other = redis.Redis(port=node.port)
        other.set("k", 1)
        assert cached.get("k") == "1" and cached.get("k") == "1"
        other.set("k", 2)
        wait_until("the cache has heard of it", lambda: cached.get("k") == "2")
        cached.close()
    finally:
        node.stop()
