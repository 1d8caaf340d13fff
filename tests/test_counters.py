"""What exporters rely on is true: each counter of INFO stats moves by what happened, and by nothing else."""

import socket
import time

import pytest
import redis

from service import Node, wait_until


@pytest.fixture
def own():
    """A node of this test's own, with a door for Memcached."""
    node = Node()
    # Whoever looked whether it listens has come and gone.
    client = redis.Redis(port=node.port)
    wait_until("the knocks at its doors are counted", lambda: client.info("stats")["total_connections_received"] >= 3)
    wait_until("they are gone", lambda: client.info("clients")["connected_clients"] == 1)
    client.close()
    yield node
    node.stop()


def memcached(node, request, end):
    with socket.create_connection(("127.0.0.1", node.memcached_port), timeout=60) as client:
        client.sendall(request)
        answer = b""
        while not answer.endswith(end):
            piece = client.recv(65536)
            assert piece, answer
            answer += piece
        return answer


class Watch:
    """Differences of INFO's numbers."""

    def __init__(self, client):
        self.client = client
        self.before = client.info("everything")

    def moved(self, *names):
        now = self.client.info("everything")
        return {name: now[name] - self.before[name] for name in names}


def test_counters_of_keys_and_commands(own):
    client = redis.Redis(port=own.port)
    watch = Watch(client)
    client.mset({"a": 1, "b": 2})
    client.get("a"), client.get("none"), client.mget("a", "b", "none")
    assert watch.moved("keyspace_hits", "keyspace_misses") == {"keyspace_hits": 3, "keyspace_misses": 2}
    # MSET, GET twice, MGET; the INFO that began, and the two since.
    assert watch.moved("total_commands_processed")["total_commands_processed"] == 4 + 2

    watch = Watch(client)
    client.set("soon", 1, px=1)
    client.hset("h", mapping={"f": 1, "g": 2})
    client.execute_command("HPEXPIRE", "h", 1, "FIELDS", 1, "f")
    wait_until("what died is gone", lambda: client.dbsize() == 3 and client.hlen("h") == 1)
    wait_until("the key is counted", lambda: watch.moved("expired_keys")["expired_keys"] == 1)
    wait_until("the field is counted", lambda: watch.moved("expired_fields")["expired_fields"] == 1)

    def share_of_the_dead():
        pipe = client.pipeline(transaction=False)
        [pipe.set(f"dies:{i}", 1, px=1) for i in range(1000)]
        pipe.execute()
        return client.info("stats")["expired_stale_perc"]

    pipe = client.pipeline(transaction=False)
    [pipe.set(f"lives:{i}", 1, ex=3600) for i in range(100)]
    pipe.execute()
    wait_until("keys that die all the time are seen among those that live", lambda: 0 < share_of_the_dead() <= 100)
    wait_until("they are no longer", lambda: client.info("stats")["expired_stale_perc"] == 0)

    watch = Watch(client)
    for wrong in (("GET",), ("NOSUCH",), ("INCR", "h"), ("GET", "h")):
        with pytest.raises(redis.ResponseError):
            client.execute_command(*wrong)
    assert watch.moved("total_error_replies")["total_error_replies"] == 4
    errors = client.info("errorstats")
    assert errors["errorstat_WRONGTYPE"] == {"count": 2} and errors["errorstat_ERR"]["count"] >= 2
    stats = client.info("commandstats")
    assert stats["cmdstat_incr"]["failed_calls"] == 1 and stats["cmdstat_get"]["rejected_calls"] == 1


def test_errors_for_those_who_wait_are_counted(own):
    client = redis.Redis(port=own.port)
    client.xgroup_create("stream", "group", mkstream=True)
    client.config_resetstat()

    def waits(*words):
        waiter = redis.Redis(port=own.port, single_connection_client=True)
        number = waiter.client_id()
        waiter.connection.send_command(*words)
        wait_until("it waits", lambda: client.info("clients")["blocked_clients"] == 1)
        return waiter, number

    def fails(waiter, code):
        with pytest.raises(redis.ResponseError, match=code):
            waiter.connection.read_response()
        waiter.close()

    waiter, _ = waits("XREADGROUP", "GROUP", "group", "me", "BLOCK", "0", "STREAMS", "stream", ">")
    client.xgroup_destroy("stream", "group")
    fails(waiter, "NOGROUP")
    waiter, number = waits("BLPOP", "list", "0")
    client.client_unblock(number, error=True)
    fails(waiter, "UNBLOCKED")
    assert client.info("stats")["total_error_replies"] == 2
    errors = client.info("errorstats")
    assert errors["errorstat_NOGROUP"] == {"count": 1} and errors["errorstat_UNBLOCKED"] == {"count": 1}


def test_counters_of_connections_and_bytes(own):
    client = redis.Redis(port=own.port, single_connection_client=True)
    watch = Watch(client)
    others = [redis.Redis(port=own.port, single_connection_client=True) for _ in range(3)]
    [other.ping() for other in others]
    assert watch.moved("total_connections_received")["total_connections_received"] == 3
    connected = lambda: client.info("clients")["connected_clients"]
    wait_until("all are there, and no other", lambda: connected() == 4)
    [other.close() for other in others]
    wait_until("they are gone", lambda: connected() == 1)
    watch = Watch(client)
    client.set("k", "x" * 100_000)
    client.get("k")
    moved = watch.moved("total_net_input_bytes", "total_net_output_bytes", "total_reads_processed", "total_writes_processed")
    assert 100_000 <= moved["total_net_input_bytes"] <= 101_000
    assert 100_000 <= moved["total_net_output_bytes"] <= 120_000
    assert moved["total_reads_processed"] >= 3 and moved["total_writes_processed"] >= 2
    client.config_set("maxclients", 1)
    with pytest.raises(redis.ConnectionError):
        redis.Redis(port=own.port).ping()
    assert watch.moved("rejected_connections")["rejected_connections"] == 1


def test_requests_of_memcached_count_too(own):
    client = redis.Redis(port=own.port)
    watch = Watch(client)
    memcached(own, b"set a 0 0 1\r\nx\r\nget a\r\nget a none\r\nmg a v\r\nmn\r\n", b"MN\r\n")
    # Five requests, and the INFO before.
    assert watch.moved("total_commands_processed")["total_commands_processed"] == 5 + 1
    assert client.get("a") == b"x"


def test_counters_of_memory_users_and_payloads(own):
    client = redis.Redis(port=own.port, single_connection_client=True)
    watch = Watch(client)
    client.config_set("sanitize-dump-payload", "yes")
    client.set("a", 1)
    client.restore("b", 0, client.dump("a"))
    assert watch.moved("dump_payload_sanitizations")["dump_payload_sanitizations"] == 1
    client.acl_setuser("u", enabled=True, nopass=True, commands=["+get", "+select"], keys=["a"], reset=True)
    client.execute_command("ACL", "SETUSER", "u", "db=0")
    user = redis.Redis(port=own.port, username="u", password="x", single_connection_client=True)
    assert user.get("a") == b"1"
    watch = Watch(client)
    for refused in (("SET", "a", 1), ("GET", "b"), ("SELECT", 1)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            user.execute_command(*refused)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=own.port, username="u2", password="x").ping()
    denied = watch.moved(*(f"acl_access_denied_{what}" for what in ("cmd", "key", "db", "auth", "channel")))
    assert [denied[f"acl_access_denied_{what}"] for what in ("cmd", "key", "db", "auth", "channel")] == [1, 1, 1, 1, 0]

    client.config_set("maxmemory-policy", "allkeys-lru")
    for at in range(2000):
        client.set(f"fill{at}", "x" * 10_000)
    client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
    wait_until("keys make room", lambda: client.set("more", 1) and watch.moved("evicted_keys")["evicted_keys"] > 100)
    keys = client.dbsize()
    assert watch.moved("evicted_keys")["evicted_keys"] >= 2000 + 2 - keys - 1

    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    wait_until("the excess is noticed", lambda: client.info("stats")["current_eviction_exceeded_time"] > 0)
    client.config_set("maxmemory", 0)
    wait_until("its end is", lambda: client.info("stats")["current_eviction_exceeded_time"] == 0)
    assert client.info("stats")["total_eviction_exceeded_time"] > 0


def test_rates_and_loops(own):
    client = redis.Redis(port=own.port)
    until = time.monotonic() + 60
    while client.info("stats")["instantaneous_ops_per_sec"] == 0:
        assert time.monotonic() < until
        [client.ping() for _ in range(100)]
    stats = client.info("stats")
    for name in ("eventloop_cycles", "eventloop_duration_sum", "instantaneous_eventloop_cycles_per_sec"):
        assert stats[name] > 0, name
    assert stats["eventloop_duration_cmd_sum"] <= stats["eventloop_duration_sum"]
    memory = client.info("memory")
    assert memory["number_of_cached_scripts"] == memory["used_memory_scripts"] == memory["used_memory_lua"] == 0


def chi_square(counts, draws):
    expected = draws / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


@pytest.mark.parametrize("keys", [7, 150, 5000])
def test_random_keys_are_drawn_evenly(own, keys):
    client = redis.Redis(port=own.port)
    # Half of them in one slot, so that partitions are filled as unevenly as they can be.
    names = [f"{{tag}}{at}" if at % 2 else f"key:{at}" for at in range(keys)]
    client.mset({name: 1 for name in names})
    counts, draws = dict.fromkeys(names, 0), 20_000
    for _ in range(0, draws, 1000):
        with client.pipeline(transaction=False) as pipeline:
            [pipeline.randomkey() for _ in range(1000)]
            for name in pipeline.execute():
                counts[name.decode()] += 1
    # Over all keys, and over the two kinds: mean and deviation of chi-square are its degrees of freedom and sqrt(2 of them).
    degrees = keys - 1
    assert chi_square(list(counts.values()), sum(counts.values())) < degrees * 1.15 + 8 * (2 * degrees) ** 0.5
    tagged = sum(count for name, count in counts.items() if name.startswith("{"))
    share = sum(name.startswith("{") for name in names) / keys
    deviation = (sum(counts.values()) * share * (1 - share)) ** 0.5
    assert abs(tagged - share * sum(counts.values())) < 6 * deviation + 0.02 * sum(counts.values())


def test_what_is_freed_in_the_background_is_counted(own):
    client = redis.Redis(port=own.port)
    watch = Watch(client)
    for name in ("a", "b"):
        client.sadd(name, *range(100_000))
    client.unlink("a", "b")
    wait_until("both are freed", lambda: client.info("memory")["lazyfree_pending_objects"] == 0)
    assert watch.moved("lazyfreed_objects")["lazyfreed_objects"] == 2
    # Small ones are freed at once, and a whole database counts by its keys.
    client.mset({f"k{n}": n for n in range(300)})
    client.delete("k0")
    client.flushall()
    wait_until("they are freed", lambda: watch.moved("lazyfreed_objects")["lazyfreed_objects"] == 2 + 299)
    client.config_resetstat()
    assert client.info("memory")["lazyfreed_objects"] == 0


def test_how_long_keys_live(own):
    client = redis.Redis(port=own.port)
    assert client.info("keyspace") == {}
    for n in range(1000):
        client.set(f"k{n}", n, ex=1000 + n)
        client.set(f"forever{n}", n)
    found = client.info("keyspace")["db0"]
    assert (found["keys"], found["expires"]) == (2000, 1000)
    assert 1_000_000 < found["avg_ttl"] < 2_000_000


def test_what_was_moved_in_memory_is_counted():
    node = Node("--maxmemory", str(48 << 20), "--maxmemory-policy", "allkeys-lru")
    try:
        client = redis.Redis(port=node.port)
        before = client.info("stats")
        assert before["active_defrag_hits"] == before["active_defrag_key_hits"] == before["total_active_defrag_time"] == 0

        def moved():
            for size in (900, 300, 20_000):
                pipe = client.pipeline(transaction=False)
                for n in range(4_000_000 // size):
                    pipe.set(f"k{size}:{time.monotonic()}", b"x" * (size // 2 + n % size))
                pipe.execute()
            stats = client.info("stats")
            return stats["active_defrag_key_hits"] and stats["total_active_defrag_time"] and stats

        stats = wait_until("keys are moved", moved)
        assert stats["active_defrag_hits"] >= stats["active_defrag_key_hits"]
        client.config_resetstat()
        client.config_set("maxmemory", 0)
        wait_until("it ends", lambda: client.info("stats")["current_active_defrag_time"] == 0)
    finally:
        node.stop()
