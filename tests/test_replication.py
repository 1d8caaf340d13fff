"""Replication: nodes that follow each other and real servers, through full and partial synchronisations, under load."""

import threading
import time

import pytest
import redis

from replication import LARDER, PEERS, REDIS, Proxy, Writer, fill, name, names, online, servers, settle
from service import PATIENCE_S, wait_until

__all__ = ["servers"]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_a_node_follows_a_real_server(servers, peer, threads):
    primary = servers(peer)
    fill(primary)
    replica = servers(LARDER, "--threads", threads)
    replica.call("SET", "of its own", "1")
    writer = Writer(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, replica)
    with pytest.raises(redis.exceptions.ReadOnlyError):
        replica.call("SET", "a", "1")


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_a_real_server_follows_a_node(servers, peer, threads):
    primary = servers(LARDER, "--threads", threads)
    fill(primary)
    replica = servers(peer)
    writer = Writer(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, replica)
    assert primary.info()["connected_slaves"] == 1
    assert primary.info()["slave0"]["state"] == "online"


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("load", ["disabled", "flush-before-load"])
def test_nodes_follow_each_other_in_a_chain(servers, diskless, load):
    primary = servers(LARDER, "--repl-diskless-sync", diskless)
    fill(primary)
    middle = servers(LARDER, "--repl-diskless-load", load)
    last = servers(LARDER, "--repl-diskless-load", load)
    writer = Writer(primary)
    middle.follow(primary.port)
    wait_until("the middle is up", middle.is_up)
    last.follow(middle.port)
    wait_until("the last is up", last.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, middle, last)
    assert middle.call("ROLE")[0] == b"slave" and primary.call("ROLE")[0] == b"master"


def test_wait(servers):
    primary, replica = servers(), servers()
    assert primary.call("WAIT", "0", "100") == 0
    assert primary.call("WAIT", "1", "50") == 0
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    online(primary)
    for n in range(50):
        primary.call("SET", "a", str(n))
        assert primary.call("WAIT", "1", str(PATIENCE_S * 1000)) == 1
        assert replica.call("GET", "a") == str(n).encode()
    assert primary.call("WAIT", "2", "50") == 1


@pytest.mark.parametrize("programs", [(LARDER, LARDER), (REDIS, LARDER), (LARDER, REDIS)], ids=names)
def test_a_cut_connection_is_gone_on_with(servers, programs):
    large = ("--repl-backlog-size", "64mb")  # a build without optimisation may be far behind
    primary, replica = servers(programs[0], *large), servers(programs[1], *large)
    fill(primary)
    proxy = Proxy(primary.port)
    replica.follow(proxy.port)
    wait_until("the link is up", replica.is_up)
    writer = Writer(primary)
    for _ in range(3):
        time.sleep(0.3)
        before = primary.client.info("stats")["sync_partial_ok"]
        proxy.cut()
        wait_until("it goes on", lambda: primary.client.info("stats")["sync_partial_ok"] > before)
    writer.stop()
    settle(primary, replica)
    assert primary.client.info("stats")["sync_full"] == 1
    proxy.close()


def test_who_followed_goes_on_with_who_takes_over(servers):
    primary, first, second = servers(), servers(), servers()
    fill(primary)
    for replica in (first, second):
        replica.follow(primary.port)
    wait_until("both are up", lambda: first.is_up() and second.is_up())
    settle(primary, first, second)
    primary.kill()
    first.call("REPLICAOF", "NO", "ONE")
    second.follow(first.port)
    first.call("SET", "after", "1")
    settle(first, second)
    stats = first.client.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (0, 1)
    assert second.info()["master_replid"] == first.info()["master_replid"]


def test_hand_over_without_a_lost_write(servers):
    primary, replica = servers(), servers()
    fill(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    online(primary)
    acknowledged, refused = [], threading.Event()

    def write():
        client = redis.Redis(port=primary.port, socket_timeout=PATIENCE_S)
        for n in range(1_000_000):
            try:
                client.rpush("written", n)
            except redis.exceptions.ReadOnlyError:
                break
            acknowledged.append(n)
        refused.set()

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.3)
    primary.call("FAILOVER")
    assert refused.wait(PATIENCE_S)
    thread.join()
    wait_until("the roles are changed", lambda: primary.is_up() and replica.info()["role"] == "master")
    assert [int(n) for n in replica.client.lrange("written", 0, -1)] == acknowledged
    settle(replica, primary)
    assert replica.client.info("stats")["sync_full"] == 0


def test_expired_keys_wait_for_the_primary(servers):
    primary, replica = servers(), servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    primary.call("SET", "a", "1", "PX", "100")
    wait_until("it has come", lambda: replica.call("EXISTS", "a") == 1 or primary.call("EXISTS", "a") == 0)
    wait_until("it is gone", lambda: replica.call("GET", "a") is None)
    wait_until("the primary says so", lambda: replica.call("DBSIZE") == 0)
    assert replica.client.info("stats")["expired_keys"] == 0
