"""`maxmemory` bounds what is resident: with every policy, values of changing sizes, many and greedy clients.

LARDER_SOAK_MINUTES asks for the long one: full load with churn, expiry, eviction, connects and disconnects.
"""

import os
import random
import socket
import threading
import time

import pytest
import redis

from service import Node, wait_until

pytestmark = pytest.mark.alone

MAXMEMORY = 48 << 20
# engine::memory::bound::RESIDENT_ALLOWANCE_BYTES
ALLOWANCE = 64 << 20


POLICIES = [
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random",
    "volatile-ttl", "allkeys-lhd",
]


def resident(node):
    """What the node took itself. The program's own pages are the page cache's: of a debug build they are 30 MiB and more."""
    with open(f"/proc/{node.process.pid}/status") as status:
        return sum(int(line.split()[1]) << 10 for line in status if line.startswith(("RssAnon", "RssShmem")))


class Watch(threading.Thread):
    """The most that was resident while it ran."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.most, self.stopped = node, 0, threading.Event()

    def run(self):
        while not self.stopped.wait(0.01):
            try:
                self.most = max(self.most, resident(self.node))
            except OSError:
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()


def fill(port, total, size, ttl, prefix):
    """Sets values of about a size, as many bytes of them as asked for. Refusals are no error here; how many there were."""
    refused, per, value = 0, max(1, (256 << 10) // size), b"x" * size
    tail = b"$2\r\nEX\r\n$%d\r\n%d\r\n" % (len(str(ttl)), ttl) if ttl else b""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as answers:
        for batch in range(0, total * 4 // (size * 3) + 1, per):
            requests = []
            for n in range(batch, batch + per):
                key, some = f"{prefix}:{n}".encode(), value[random.randrange(size // 2) :]
                requests.append(b"*%d\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n%s" % (
                    5 if ttl else 3, len(key), key, len(some), some, tail))
            connection.sendall(b"".join(requests))
            refused += sum(answers.readline() != b"+OK\r\n" for _ in range(per))
    return refused


@pytest.mark.parametrize("policy", POLICIES)
def test_the_resident_size_is_bounded(policy):
    node = Node("--maxmemory", str(MAXMEMORY), "--maxmemory-policy", policy)
    try:
        client = redis.Redis(port=node.port)
        with Watch(node) as watch:
            refused = sum(
                fill(node.port, 2 * MAXMEMORY, size, 1000 + size, f"{policy}:{size}") for size in (900, 300, 20000)
            )
        assert watch.most <= MAXMEMORY + ALLOWANCE, f"{watch.most >> 20} MiB"
        assert (refused > 0) == (policy == "noeviction")
        stats = client.info()
        assert (stats["evicted_keys"] > 0) == (policy != "noeviction")
        # It did not get there by throwing everything away.
        assert stats["used_memory_dataset"] > MAXMEMORY // 4, stats["used_memory"]
    finally:
        node.stop()


def test_buffers_of_clients_count():
    node = Node("--maxmemory", str(MAXMEMORY), "--maxmemory-policy", "allkeys-random")
    greedy = []
    try:
        client = redis.Redis(port=node.port)
        fill(node.port, MAXMEMORY, 1000, None, "k")
        client.set("large", b"y" * (1 << 20))
        keys = client.dbsize()
        with Watch(node) as watch:
            # Some do not read what they asked for, some never end what they began, some do nothing at all.
            for n in range(300):
                connection = socket.create_connection(("127.0.0.1", node.port))
                connection.settimeout(5)
                greedy.append(connection)
                if n < 20:
                    connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2000000\r\n" + b"z" * 1_000_000)
                elif n < 30:
                    connection.sendall(b"GET large\r\n" * 2)
            fill(node.port, MAXMEMORY, 1000, None, "more")
        assert watch.most <= MAXMEMORY + ALLOWANCE, f"{watch.most >> 20} MiB"
        assert client.dbsize() < keys, "the buffers took room from the keys"
    finally:
        for connection in greedy:
            connection.close()
        node.stop()


def test_the_largest_clients_are_closed():
    node = Node("--maxmemory-clients", "40mb")
    connections = []
    try:
        client = redis.Redis(port=node.port)
        client.client_no_evict("ON")
        client.set("large", b"y" * (1 << 20))

        def connect(name):
            connection = socket.create_connection(("127.0.0.1", node.port))
            connection.settimeout(20)
            connection.sendall(b"CLIENT SETNAME %s\r\n" % name.encode())
            assert connection.recv(100) == b"+OK\r\n"
            connections.append(connection)
            return connection

        def names():
            return {line["name"] for line in client.client_list()}

        small = connect("small")
        middle = connect("middle")
        middle.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$9000000\r\n" + b"z" * 4_000_000)
        protected = connect("protected")
        protected.sendall(b"CLIENT NO-EVICT ON\r\n")
        assert protected.recv(100) == b"+OK\r\n"
        protected.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$9000000\r\n" + b"z" * 8_000_000)
        assert client.info("stats")["evicted_clients"] == 0
        # Does not read what it asks for.
        connect("large").sendall(b"GET large\r\n" * 30)
        wait_until("the largest is closed", lambda: "large" not in names())
        assert {"small", "middle", "protected"} <= names()
        assert client.info("stats")["evicted_clients"] == 1
        small.sendall(b"PING\r\n")
        assert small.recv(100) == b"+PONG\r\n"
        # The next one in size has to go when there may be less, the protected one stays.
        (held,) = (int(line["tot-mem"]) for line in client.client_list() if line["name"] == "protected")
        assert held >= 8_000_000
        client.config_set("maxmemory-clients", held + (1 << 20))
        small.sendall(b"PING\r\n")
        wait_until("the next is closed", lambda: "middle" not in names())
        assert {"small", "protected"} <= names()
        assert client.config_get("maxmemory-clients") == {"maxmemory-clients": str(held + (1 << 20))}
        client.config_set("maxmemory-clients", "5%")
        assert client.config_get("maxmemory-clients") == {"maxmemory-clients": "5%"}
    finally:
        for connection in connections:
            connection.close()
        node.stop()


def load(port, seed, over, failures):
    """One client after another, each with a mixed load, until it is over."""
    dice = random.Random(seed)
    try:
        while not over.is_set():
            client = redis.Redis(port=port, socket_timeout=60)
            for _ in range(dice.randrange(1, 60)):
                pipe = client.pipeline(transaction=dice.random() < 0.2)
                for _ in range(100):
                    n = dice.randrange(200_000)
                    match dice.randrange(8):
                        case 0 | 1:
                            pipe.set(f"s{n}", b"v" * dice.randrange(10, 3000))
                        case 2:
                            pipe.set(f"e{n}", b"v" * dice.randrange(10, 500), px=dice.randrange(1, 5000))
                        case 3:
                            pipe.hset(f"h{n % 5000}", f"f{dice.randrange(1000)}", b"v" * dice.randrange(100))
                        case 4:
                            pipe.zadd(f"z{n % 3000}", {f"m{dice.randrange(2000)}": n})
                        case 5:
                            pipe.sadd(f"m{n % 3000}", *(dice.randrange(10_000) for _ in range(10)))
                        case 6:
                            pipe.lpush(f"l{n % 1000}", b"v" * 50).ltrim(f"l{n % 1000}", 0, 200)
                        case _:
                            pipe.unlink(f"s{n}", f"h{n % 5000}")
                for answer in pipe.execute(raise_on_error=False):
                    if isinstance(answer, redis.ResponseError):
                        failures.append(str(answer))
            client.close()
    except Exception as error:  # what ends a thread must be seen by the test
        failures.append(repr(error))


# While it fills, and until what lies in it has been replaced once, the size may grow: a soak begins after that.
FILLING_SECONDS_MAX = 600


@pytest.mark.skipif("LARDER_SOAK_MINUTES" not in os.environ, reason="LARDER_SOAK_MINUTES is not set")
def test_a_long_time_at_full_load_leaves_the_size_flat():
    minutes = float(os.environ["LARDER_SOAK_MINUTES"])
    node = Node("--maxmemory", str(2 * MAXMEMORY), "--maxmemory-policy", "allkeys-lru")
    over, failures, sizes = threading.Event(), [], []
    threads = [threading.Thread(target=load, args=(node.port, seed, over, failures)) for seed in range(6)]
    try:
        client = redis.Redis(port=node.port)
        for thread in threads:
            thread.start()
        with Watch(node) as watch:
            wait_until("each key was replaced once", lambda: replaced_once(client) or failures, FILLING_SECONDS_MAX)
            before = client.info()
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until and not failures:
                time.sleep(min(5, 60 * minutes / 30))
                sizes.append(resident(node))
        over.set()
        for thread in threads:
            thread.join()
        assert not failures, failures[:5]
        stats = client.info()
        done = {name: stats[name] - before[name] for name in (
            "total_commands_processed", "total_connections_received", "expired_keys", "evicted_keys")}
        print(done, {name: stats[name] for name in ("expire_lag_p99_ms", "used_memory", "used_memory_rss")},
              "most", watch.most, "sizes", sizes)
        assert watch.most <= 2 * MAXMEMORY + ALLOWANCE
        # All of it went on during the whole soak.
        assert min(done.values()) > 0, done
        # Flat: neither the level nor the peaks of the last third are above those of the first.
        third = len(sizes) // 3
        first, last = sizes[:third], sizes[-third:]
        assert sum(last) <= sum(first) * 1.05, f"{sum(first) // third} became {sum(last) // third}"
        assert max(last) <= max(first) * 1.1, f"{max(first)} became {max(last)}"
        client.flushall()
        wait_until("the memory goes back", lambda: resident(node) < ALLOWANCE)
    finally:
        over.set()
        node.stop()


def replaced_once(client):
    """Whether more keys were evicted than there are."""
    stats = client.info()
    return stats["evicted_keys"] > stats["db0"]["keys"]
