"""Anything may be killed at any moment: the service continues from its records, and nodes come back."""

import os
import signal
import threading
import time

import pymemcache
import pytest
import redis

from service import endpoint_of, wait_until


def test_the_service_is_killed_while_it_makes_five_caches(own_service):
    own_service.create("before")
    kept = redis.Redis(*endpoint_of(own_service.describe("before")))
    kept.set("k", "untouched")
    first_pid = own_service.node_pids()

    names = [f"five-{number}" for number in range(5)]
    client = own_service.client()
    accepted = []

    def create_all():
        for name in names:
            try:
                client.create_cache_cluster(
                    CacheClusterId=name, Engine="redis", CacheNodeType="cache.t3.micro", NumCacheNodes=1
                )
                accepted.append(name)
            except Exception:  # the service dies in the middle of this: what was not answered was not promised
                return

    creator = threading.Thread(target=create_all)
    creator.start()
    wait_until("three are accepted", lambda: len(accepted) >= 3, interval_s=0.001)
    own_service.kill()
    creator.join()
    assert kept.get("k") == b"untouched"  # nobody needs the service to read a cache

    own_service.start()
    for name in names:
        if name not in accepted:
            try:
                own_service.create(name, wait=False)
            except own_service.client().exceptions.CacheClusterAlreadyExistsFault:
                pass  # written, but the answer was lost
    endpoints = [endpoint_of(own_service.available(name)) for name in names]
    listed = [c["CacheClusterId"] for c in own_service.client().describe_cache_clusters()["CacheClusters"]]
    assert sorted(listed) == sorted(["before", *names])
    assert len(set(endpoints)) == 5

    for address, port in endpoints:
        assert redis.Redis(address, port).ping()
    assert kept.get("k") == b"untouched"
    # One process for each node: none twice, and the old one is still the same.
    pids = own_service.node_pids()
    assert len(pids) == 6 and first_pid.items() <= pids.items()


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_the_service_is_killed_at_some_moment_of_one_creation(own_service, after_s):
    own_service.create("one", wait=False)
    time.sleep(after_s)
    own_service.kill()
    own_service.start()
    assert redis.Redis(*endpoint_of(own_service.available("one"))).ping()
    assert len(own_service.node_pids()) == 1


def test_the_service_is_killed_while_it_deletes(own_service):
    own_service.create("gone")
    own_service.client().delete_cache_cluster(CacheClusterId="gone")
    own_service.kill()
    own_service.start()
    client = own_service.client()
    wait_until("it is gone", lambda: not client.describe_cache_clusters()["CacheClusters"])
    wait_until("its process is gone", lambda: not own_service.node_pids())


def test_clients_notice_nothing_of_a_service_that_is_killed(own_service):
    cache = own_service.create("calm", engine="memcached", nodes=2)
    clients = [pymemcache.Client(endpoint_of(cache, index)) for index in range(2)]
    for client in clients:
        client.set("k", b"v")
    own_service.kill()
    assert [client.get("k") for client in clients] == [b"v", b"v"]
    own_service.start()
    assert own_service.available("calm")["CacheNodes"] == cache["CacheNodes"]
    assert [client.get("k") for client in clients] == [b"v", b"v"]  # over the same connections


def test_a_killed_node_is_back_soon_and_an_event_says_so(own_service, record_property):
    cache = own_service.create("phoenix")
    where = endpoint_of(cache)
    [pid] = own_service.node_pids().values()
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()

    def answers():
        try:
            return redis.Redis(*where, socket_timeout=1).ping()
        except redis.RedisError:
            return False

    wait_until("the node answers again", answers, interval_s=0.01)
    seconds = time.monotonic() - killed
    record_property("seconds_until_back", seconds)
    print(f"back after {seconds:.2f} s (promise: under 2 s)")
    [new_pid] = wait_until("the new process is known", lambda: list(own_service.node_pids().values()))
    assert new_pid != pid
    said = wait_until(
        "an event tells it",
        lambda: [m for m in own_service.events("phoenix") if "restart" in m.lower() or "recover" in m.lower()],
    )
    assert said
    assert own_service.available("phoenix")["CacheNodes"][0]["Endpoint"]["Address"] == where[0]


def test_a_node_that_died_while_nobody_watched_is_started_again(own_service):
    cache = own_service.create("unwatched")
    [pid] = own_service.node_pids().values()
    own_service.kill()
    os.kill(pid, signal.SIGKILL)
    own_service.start()
    where = endpoint_of(cache)

    def answers():
        try:
            return redis.Redis(*where, socket_timeout=1).ping()
        except redis.RedisError:
            return False

    wait_until("the node answers again", answers)
    assert len(own_service.node_pids()) == 1


def test_a_second_service_for_the_same_folder_is_refused(own_service):
    from service import BINARY, clean_environment, run

    second = run(
        [str(BINARY), "up", "--data-dir", str(own_service.folder), "--listen", "127.0.0.1:0", "--dns-listen", "none"],
        check=False, env=clean_environment(),
    )
    assert second.returncode == 1
    assert "larder: the service cannot start" in second.stderr
    assert own_service.answers()
