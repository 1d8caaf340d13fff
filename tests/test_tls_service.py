"""Encryption in transit as ElastiCache has it: through boto3, with clients that trust the service's authority."""

import pathlib
import ssl
import stat
import time

import botocore.exceptions
import pytest
import redis
from pymemcache.client.base import Client as Memcache

from service import wait_until

DEADLINE = 60


def authority(service):
    return service.info["authority"]


def plain(address, port):
    return redis.Redis(address, port, socket_timeout=DEADLINE, decode_responses=True)


def sealed(service, address, port):
    return redis.Redis(
        address, port, ssl=True, ssl_ca_certs=authority(service), ssl_check_hostname=True, socket_timeout=DEADLINE,
        decode_responses=True,
    )


def refused(client):
    try:
        client.ping()
    except (redis.ConnectionError, redis.ResponseError, redis.TimeoutError):
        return True
    return False


def cluster(api, name):
    [found] = api.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"]
    return found


def available(api, name):
    return wait_until(f"{name} is available", lambda: (c := cluster(api, name))["CacheClusterStatus"] == "available" and c)


def test_the_authority(service):
    path = pathlib.Path(authority(service))
    assert path.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert stat.S_IMODE((path.parent / "ca.key").stat().st_mode) == 0o600
    assert "PRIVATE" not in str(service.environment())


def test_a_redis_cache_that_demands_tls(service):
    api = service.client()
    api.create_cache_cluster(
        CacheClusterId="sealed", Engine="redis", EngineVersion="7.1", CacheNodeType="cache.t3.micro", NumCacheNodes=1,
        TransitEncryptionEnabled=True,
    )
    made = available(api, "sealed")
    assert made["TransitEncryptionEnabled"] and made["TransitEncryptionMode"] == "required"
    where = made["CacheNodes"][0]["Endpoint"]
    client = sealed(service, where["Address"], where["Port"])
    assert client.set("a", "1") and client.get("a") == "1"
    assert refused(plain(where["Address"], where["Port"]))
    # A node that is started anew has it too.
    api.reboot_cache_cluster(CacheClusterId="sealed", CacheNodeIdsToReboot=["0001"])
    available(api, "sealed")
    wait_until("it answers again", lambda: not refused(sealed(service, where["Address"], where["Port"])))
    api.delete_cache_cluster(CacheClusterId="sealed")


def test_memcached_with_tls(service):
    api = service.client()
    api.create_cache_cluster(
        CacheClusterId="sealed-m", Engine="memcached", EngineVersion="1.6.22", CacheNodeType="cache.t3.micro",
        NumCacheNodes=2, TransitEncryptionEnabled=True,
    )
    made = available(api, "sealed-m")
    trust = ssl.create_default_context(cafile=authority(service))
    for node in made["CacheNodes"]:
        where = node["Endpoint"]["Address"], node["Endpoint"]["Port"]
        cache = Memcache(where, tls_context=trust, timeout=DEADLINE)
        assert cache.set("a", b"1", noreply=False) and cache.get("a") == b"1"
    api.delete_cache_cluster(CacheClusterId="sealed-m")
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidParameterCombination"):
        api.create_cache_cluster(
            CacheClusterId="old-m", Engine="memcached", EngineVersion="1.6.6", CacheNodeType="cache.t3.micro",
            NumCacheNodes=1, TransitEncryptionEnabled=True,
        )


def test_the_mode_of_a_group_changes_while_clients_are_served(service):
    api = service.client()
    name = "moving"

    def group():
        [found] = api.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"]
        return found

    def modify(**changes):
        api.modify_replication_group(ReplicationGroupId=name, ApplyImmediately=True, **changes)
        return wait_until("the group is available", lambda: (g := group())["Status"] == "available" and g)

    api.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="moves to TLS", NumCacheClusters=2, Engine="redis",
        EngineVersion="7.1", CacheNodeType="cache.t3.micro",
    )
    made = wait_until("the group is available", lambda: (g := group())["Status"] == "available" and g)
    assert not made["TransitEncryptionEnabled"] and "TransitEncryptionMode" not in made
    where = made["NodeGroups"][0]["PrimaryEndpoint"]
    reader = made["NodeGroups"][0]["ReaderEndpoint"]["Address"]

    def reaches_the_replica(writer, client_of):
        writer.set("b", value := str(time.monotonic()))

        def look():
            try:
                return client_of(reader).get("b") == value
            except redis.RedisError:
                return False

        return wait_until("the replica has it", look)

    old, sealed_client = plain(where["Address"], where["Port"]), sealed(service, where["Address"], where["Port"])
    assert old.set("a", "1") and refused(sealed_client)
    assert reaches_the_replica(old, lambda address: plain(address, where["Port"]))
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidParameterCombination"):
        modify(TransitEncryptionEnabled=True, TransitEncryptionMode="required")
    now = modify(TransitEncryptionEnabled=True, TransitEncryptionMode="preferred")
    assert now["TransitEncryptionEnabled"] and now["TransitEncryptionMode"] == "preferred"
    assert old.get("a") == "1" and sealed_client.get("a") == "1"
    assert reaches_the_replica(old, lambda address: sealed(service, address, where["Port"]))
    now = modify(TransitEncryptionMode="required")
    assert now["TransitEncryptionMode"] == "required"
    assert sealed_client.get("a") == "1"
    assert reaches_the_replica(sealed_client, lambda address: sealed(service, address, where["Port"]))
    assert refused(plain(where["Address"], where["Port"]))
    modify(TransitEncryptionMode="preferred")
    now = modify(TransitEncryptionEnabled=False)
    assert not now["TransitEncryptionEnabled"]
    old = plain(where["Address"], where["Port"])
    assert old.get("a") == "1" and reaches_the_replica(old, lambda address: plain(address, where["Port"]))
    api.delete_replication_group(ReplicationGroupId=name)


def test_an_authority_lasts(own_service):
    before = pathlib.Path(authority(own_service)).read_text()
    own_service.stop()
    own_service.start()
    assert pathlib.Path(authority(own_service)).read_text() == before
