"""Forty caches on one machine: made, used, taken over by the next service, and gone; what calls take meanwhile is recorded."""

import time

import pytest
import redis

from service import PATIENCE_S, endpoint_of, wait_until

CACHES = 40
# The nodes share the machine while they start.
ALL_S = 10 * PATIENCE_S


def settled(api):
    """All caches, once each of them is available."""
    found = api.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    return len(found) == CACHES and all(c["CacheClusterStatus"] == "available" for c in found) and found


@pytest.mark.alone
@pytest.mark.slow
def test_forty_caches(own_service, record_property):
    service, api = own_service, own_service.client()
    for n in range(CACHES):
        service.create(f"cache-{n:02}", wait=False)
    caches = wait_until("all are available", lambda: settled(api), ALL_S, 1)
    assert len({endpoint_of(cache) for cache in caches}) == CACHES
    for cache in caches:
        host, port = endpoint_of(cache)
        assert redis.Redis(host, port, socket_timeout=PATIENCE_S).set("name", cache["CacheClusterId"])

    took = []
    for n in range(5 * CACHES):
        began = time.monotonic()
        api.describe_cache_clusters(CacheClusterId=f"cache-{n % CACHES:02}", ShowCacheNodeInfo=True)
        took.append(time.monotonic() - began)
    took.sort()
    record_property("describe_p99_seconds", took[len(took) * 99 // 100])

    pids = service.node_pids()
    assert len(pids) == CACHES
    service.kill()
    service.start()
    caches = wait_until("all are available again", lambda: settled(api), ALL_S, 1)
    assert service.node_pids() == pids, "the next service took all of them over"
    for cache in caches:
        host, port = endpoint_of(cache)
        client = redis.Redis(host, port, socket_timeout=PATIENCE_S, decode_responses=True)
        assert client.get("name") == cache["CacheClusterId"]
    for cache in caches:
        api.delete_cache_cluster(CacheClusterId=cache["CacheClusterId"])
    wait_until("all are gone", lambda: not api.describe_cache_clusters()["CacheClusters"], ALL_S, 1)
    assert not service.node_pids()
