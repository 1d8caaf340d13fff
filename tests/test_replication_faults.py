"""Replication when something breaks: killed and stopped processes, cut connections, restarts, slow replicas."""

import os
import random
import threading
import time

import pytest
import redis

from replication import LARDER, Proxy, Writer, fill, online, servers, settle
from service import PATIENCE_S, wait_until

__all__ = ["servers"]

# The chaos test goes on for so long.
CHAOS_SECONDS = float(os.environ.get("LARDER_CHAOS_SECONDS", "8"))


def follow(primary, *replicas, port=None):
    for replica in replicas:
        replica.follow(port or primary.port)
    for replica in replicas:
        wait_until("the link is up", replica.is_up)
    online(primary, len(replicas))


def test_a_replica_that_was_killed_gets_everything_again(servers):
    primary, replica = servers(), servers()
    fill(primary)
    follow(primary, replica)
    writer = Writer(primary)
    time.sleep(0.3)
    replica.kill()
    replica.more += ("--replicaof", f"127.0.0.1 {primary.port}")
    replica.restart()
    wait_until("the link is up", replica.is_up)
    writer.stop()
    settle(primary, replica)


def test_a_replica_that_starts_takes_no_writes_at_any_instant(servers):
    replica = servers(LARDER, "--replicaof", "127.0.0.1 1")
    with pytest.raises(redis.exceptions.ReadOnlyError):
        replica.call("SET", "a", "1")
    assert replica.call("ROLE")[0] == b"slave"
    replica.call("REPLICAOF", "NO", "ONE")
    replica.call("SET", "a", "1")


def test_a_replica_that_loads_its_own_file_is_a_replica(servers):
    """Sentinel asks it meanwhile, and would take it for a primary."""
    replica = servers(LARDER)
    replica.call("SET", "a", "1")
    replica.call("SAVE")
    replica.kill()
    replica.answers = lambda: replica.process.poll() is None and is_asked(replica)
    replica.restart("--replicaof", "127.0.0.1 1", "--key-load-delay", "1000000000")
    wait_until("it loads", lambda: replica.client.info("persistence")["loading"] == 1)
    assert replica.info()["role"] == "slave" and replica.info()["master_port"] == 1
    assert replica.call("ROLE")[:3] == [b"slave", b"127.0.0.1", 1]
    replica.call("CONFIG", "SET", "key-load-delay", "0")
    wait_until("it has loaded", lambda: replica.client.info("persistence")["loading"] == 0)
    assert replica.call("ROLE")[:3] == [b"slave", b"127.0.0.1", 1] and replica.call("GET", "a") == b"1"


def is_asked(server):
    try:
        return server.info()
    except redis.exceptions.ConnectionError:
        return False


def test_a_primary_that_was_killed_comes_back_empty_and_so_do_its_replicas(servers):
    primary, replica = servers(), servers()
    fill(primary)
    follow(primary, replica)
    settle(primary, replica)
    primary.kill()
    wait_until("the link is down", lambda: not replica.is_up())
    assert replica.call("DBSIZE") > 0
    primary.restart()
    wait_until("the link is up", replica.is_up)
    settle(primary, replica)
    assert replica.call("DBSIZE") == 1


def test_a_replica_that_saved_goes_on_after_a_restart(servers):
    primary = servers(LARDER, "--repl-backlog-size", "64mb")
    replica = servers(LARDER, "--replicaof", f"127.0.0.1 {primary.port}", "--save", "3600 1")
    fill(primary)
    wait_until("the link is up", replica.is_up)
    settle(primary, replica)
    replica.stop()
    primary.call("SET", "meanwhile", "1")
    before = primary.stats()
    replica.restart()
    settle(primary, replica)
    after = primary.stats()
    assert after["sync_full"] == before["sync_full"]
    assert after["sync_partial_ok"] == before["sync_partial_ok"] + 1


def test_a_replica_that_hangs_stops_nobody_and_its_primary_does_not_grow_without_end(servers):
    limit = 4_000_000
    primary = servers(LARDER, "--client-output-buffer-limit", f"replica {limit} {limit} 60", "--repl-backlog-size", "1mb")
    replica = servers()
    follow(primary, replica)
    replica.rest()
    value = "x" * 100_000
    largest = 0
    for n in range(600):
        primary.call("SET", f"k{n % 10}", value)
        largest = max(largest, primary.client.info("memory")["used_memory"])
        if primary.info()["connected_slaves"] == 0:
            break
    wait_until("it is given up", lambda: primary.info()["connected_slaves"] == 0)
    assert largest < limit + 40_000_000
    replica.go_on()
    wait_until("the link is up", replica.is_up)
    settle(primary, replica)


def test_a_full_synchronisation_ends_whatever_the_limit_is(servers):
    primary = servers(LARDER, "--client-output-buffer-limit", "replica 1 1 1", "--repl-backlog-size", "16kb")
    pipe = primary.client.pipeline(transaction=False)
    for n in range(300):
        pipe.set(f"large{n}", os.urandom(50_000))
    pipe.execute()
    replica = servers(LARDER, "--repl-diskless-load", "flush-before-load")
    proxy = Proxy(primary.port, bytes_per_second=20_000_000)
    replica.follow(proxy.port)
    sent = 0
    while not replica.is_up():
        primary.call("SET", f"during{sent % 100}", os.urandom(10_000))
        sent += 1
    primary.client.config_set("client-output-buffer-limit", "replica 0 0 0")
    settle(primary, replica)
    assert primary.stats()["sync_full"] == 1
    proxy.close()


def test_disks_of_replicas(servers):
    primary = servers(LARDER, "--appendonly", "yes")
    replica = servers(LARDER, "--appendonly", "yes", "--appendfsync", "everysec")
    primary.call("SET", "a", "0")
    assert primary.call("WAITAOF", "1", "0", str(PATIENCE_S * 1000)) == [1, 0]
    assert primary.call("WAITAOF", "1", "1", "50") == [1, 0]
    follow(primary, replica)
    for n in range(3):
        primary.call("SET", "a", n)
        assert primary.call("WAITAOF", "1", "1", str(PATIENCE_S * 1000)) == [1, 1]
    assert primary.call("WAITAOF", "0", "2", "50") == [1, 1]
    with pytest.raises(redis.exceptions.ResponseError, match="WAITAOF cannot be used with replica"):
        replica.call("WAITAOF", "0", "0", "0")


def test_too_few_replicas(servers):
    primary, replica = servers(LARDER, "--min-replicas-to-write", "1"), servers()
    with pytest.raises(redis.exceptions.ResponseError, match="NOREPLICAS"):
        primary.call("SET", "a", "1")
    follow(primary, replica)
    primary.call("SET", "a", "1")
    assert primary.info()["min_slaves_good_slaves"] == 1
    primary.client.config_set("min-replicas-max-lag", "1")
    replica.rest()

    def is_refused():
        try:
            return not primary.call("SET", "a", "1")
        except redis.exceptions.ResponseError as error:
            return "NOREPLICAS" in str(error)

    wait_until("the lag is too long", is_refused)
    replica.go_on()
    wait_until("it is good again", lambda: not is_refused())


class Pairs(threading.Thread):
    """Writes two keys at once, again and again, wherever the primary is just now."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.going, self.acknowledged = server, True, 0

    def run(self):
        while self.going:
            try:
                client = redis.Redis(port=self.server.port, socket_timeout=PATIENCE_S, retry=None)
                while self.going:
                    n = self.acknowledged + 1
                    client.mset({"left": n, "right": n, f"more{n % 400}": "x" * 500})
                    self.acknowledged = n
            except redis.exceptions.RedisError:
                time.sleep(0.05)

    def stop(self):
        self.going = False
        self.join()


class Reader(threading.Thread):
    """Reads both keys of a replica and notes where they are no pair: half of one set of data, half of another."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.going, self.wrong, self.seen = server, True, [], 0

    def run(self):
        while self.going:
            try:
                client = redis.Redis(port=self.server.port, socket_timeout=PATIENCE_S, retry=None)
                while self.going:
                    pair = client.mget("left", "right")
                    self.seen += pair[0] is not None
                    if pair[0] != pair[1]:
                        self.wrong.append(pair)
            except redis.exceptions.RedisError:
                time.sleep(0.05)

    def stop(self):
        self.going = False
        self.join()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_replica_that_loads_beside_its_keys_is_whole_whoever_is_killed(servers, threads):
    """Its primary or itself is killed at any moment, of a load too; each synchronisation is a full one."""
    chance = random.Random(int(os.environ.get("LARDER_CHAOS_SEED", time.time_ns() % 1_000_000)))
    logs = ["--appendonly", "yes", "--repl-backlog-size", "16kb"]
    primary = servers(LARDER, "--appendfsync", "always", "--threads", threads, *logs)
    replica = servers(LARDER, "--repl-diskless-load", "swapdb", "--threads", threads, *logs)
    fill(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    pairs, reader = Pairs(primary), Reader(replica)
    pairs.start()
    reader.start()
    # All of it anew at random instants, and a kill a random while later.
    for _ in range(max(6, int(CHAOS_SECONDS / 2))):
        if chance.random() < 0.5:
            replica.call("REPLICAOF", "NO", "ONE")
            time.sleep(chance.uniform(0, 0.2))
            replica.follow(primary.port)
        time.sleep(chance.uniform(0, 0.3))
        act = chance.choice(["replica", "primary", "both", "nobody"])
        if act in ("primary", "both"):
            primary.kill()
        if act in ("replica", "both"):
            replica.kill()
        if act in ("primary", "both"):
            primary.restart()
            acknowledged = pairs.acknowledged  # it writes on, and more is acknowledged meanwhile
            assert int(primary.call("GET", "left") or 0) >= acknowledged
        if act in ("replica", "both"):
            replica.restart("--replicaof", f"127.0.0.1 {primary.port}")
    last = pairs.acknowledged
    wait_until("it writes on", lambda: pairs.acknowledged > last)
    wait_until("the link is up", replica.is_up)
    pairs.stop()
    settle(primary, replica)
    reader.stop()
    assert reader.seen and reader.wrong == []
    assert int(primary.call("GET", "left")) >= pairs.acknowledged


class Careful(threading.Thread):
    """Writes keys of its own, each once, and remembers those that a replica has acknowledged."""

    def __init__(self, number, where):
        super().__init__(daemon=True)
        self.number, self.where, self.going, self.kept = number, where, True, []

    def run(self):
        n = 0
        while self.going:
            try:
                client = redis.Redis(port=self.where(), socket_timeout=2, retry=None)
                while self.going:
                    n += 1
                    key = f"careful:{self.number}:{n}"
                    client.set(key, n)
                    if client.execute_command("WAIT", 1, 1000) >= 1:
                        self.kept.append((key, n))
            except redis.exceptions.RedisError:
                time.sleep(0.05)

    def stop(self):
        self.going = False
        self.join()


def far(server):
    """How far a replica is, as whoever chooses the next primary asks; -1 if it cannot be one."""
    try:
        client = redis.Redis(port=server.port, socket_timeout=PATIENCE_S, retry=None)
        info = client.info("replication")
        return int(info["slave_repl_offset"]) if info["role"] == "slave" and not info["master_sync_in_progress"] else -1
    except redis.exceptions.RedisError:
        return -1


def test_what_a_replica_acknowledged_stays_whatever_breaks(servers):
    """One primary, two replicas. Processes are killed or stopped for a while and connections cut; whoever is killed comes
    back as a replica, and the replica that is ahead takes its place, as Sentinel would do it."""
    chance = random.Random(int(os.environ.get("LARDER_CHAOS_SEED", time.time_ns() % 1_000_000)))
    nodes = [servers(LARDER, "--repl-timeout", "5") for _ in range(3)]
    proxies = {id(node): Proxy(node.port) for node in nodes}
    primary = nodes[0]

    def behind(leader):
        for node in nodes:
            if node is not leader:
                node.follow(proxies[id(leader)].port)

    behind(primary)
    online(primary, 2)
    writers = [Careful(n, lambda: primary.port) for n in range(3)]
    for writer in writers:
        writer.start()
    until, done = time.monotonic() + CHAOS_SECONDS, []
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.1, 0.6))
        act = chance.choice(["cut", "rest", "kill replica", "kill primary"])
        done.append(act)
        others = [node for node in nodes if node is not primary]
        if act == "cut":
            proxies[id(primary)].cut()
        elif act == "rest":
            node = chance.choice(others)
            node.rest()
            time.sleep(chance.uniform(0.1, 1.0))
            node.go_on()
        elif act == "kill replica":
            node = chance.choice(others)
            node.kill()
            node.restart("--replicaof", f"127.0.0.1 {proxies[id(primary)].port}")
            wait_until("the replica is back", lambda: online_count(primary) == 2)
        else:
            wait_until("both replicas are there", lambda: online_count(primary) == 2)
            old = primary
            old.kill()
            # If the one that is ahead did not answer, the other would be taken, and what only the first has be lost.
            wait_until(f"both can take its place after {done}", lambda: min(map(far, others)) >= 0)
            primary = max(others, key=far)
            primary.call("REPLICAOF", "NO", "ONE")
            [other] = [node for node in others if node is not primary]
            other.follow(proxies[id(primary)].port)
            old.restart("--replicaof", f"127.0.0.1 {proxies[id(primary)].port}")
            wait_until("the others follow", lambda: online_count(primary) == 2)
    for writer in writers:
        writer.stop()
    wait_until("both replicas are there", lambda: online_count(primary) == 2)
    kept = [pair for writer in writers for pair in writer.kept]
    assert kept
    for key, n in kept:
        assert primary.client.get(key) == str(n).encode(), (key, done)
    settle(primary, *[node for node in nodes if node is not primary])
    for proxy in proxies.values():
        proxy.close()


def online_count(primary):
    info = primary.info()
    return sum(info[f"slave{n}"]["state"] == "online" for n in range(info["connected_slaves"]))
