"""Snapshots through boto3: taken while the cache serves, copied, exported, restored, deleted; by hand and by window."""

import datetime
import os
import signal

import botocore.exceptions
import pytest
import redis

from service import PATIENCE_S, Service, endpoint_of, wait_until
from test_groups import available as group_available, client as group_client
from test_groups import primary_of


def code(call):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"]


def connect(cache):
    host, port = endpoint_of(cache)
    return redis.Redis(host, port, socket_timeout=PATIENCE_S, decode_responses=True)


def describe(api, name):
    [snapshot] = api.describe_snapshots(SnapshotName=name)["Snapshots"]
    return snapshot


def done(api, name, status="available"):
    return wait_until(f"{name} is {status}", lambda: (s := describe(api, name))["SnapshotStatus"] == status and s)


def gone(api, name):
    def look():
        try:
            api.describe_snapshots(SnapshotName=name)
        except api.exceptions.SnapshotNotFoundFault:
            return True
        return False

    wait_until(f"{name} is gone", look)


def files(service):
    return sorted(str(p.relative_to(service.folder)) for p in (service.folder / "snapshots").rglob("*") if p.is_file())


def test_a_snapshot_is_taken_and_restored(own_service):
    service, api = own_service, own_service.client()
    cache = service.create("books")
    node = connect(cache)
    node.mset({f"k{n}": f"v{n}" for n in range(1000)})
    node.set("soon", "x", ex=1000)
    created = api.create_snapshot(CacheClusterId="Books", SnapshotName="First", Tags=[{"Key": "a", "Value": "b"}])
    snapshot = created["Snapshot"]
    assert (snapshot["SnapshotName"], snapshot["SnapshotStatus"]) == ("first", "creating")
    assert (snapshot["CacheClusterId"], snapshot["SnapshotSource"]) == ("books", "manual")
    snapshot = done(api, "first")
    assert snapshot["NodeSnapshots"][0]["CacheSize"] == "1 MB"
    assert api.list_tags_for_resource(ResourceName=snapshot["ARN"])["TagList"] == [{"Key": "a", "Value": "b"}]
    service.available("books")
    assert node.get("k1") == "v1", "the cache served on"
    assert any("Snapshot succeeded for snapshot with ID 'first'" in text for text in service.events("books"))
    assert code(lambda: api.create_snapshot(CacheClusterId="books", SnapshotName="first")) == "SnapshotAlreadyExistsFault"
    assert code(lambda: api.create_snapshot(SnapshotName="x1")) == "InvalidParameterValue"
    assert code(lambda: api.create_snapshot(CacheClusterId="nobody", SnapshotName="x1")) == "CacheClusterNotFound"

    api.create_cache_cluster(CacheClusterId="again", SnapshotName="first", CacheNodeType="cache.t3.small")
    again = service.available("again")
    assert (again["Engine"], again["CacheNodeType"]) == ("redis", "cache.t3.small")
    second = connect(again)
    assert second.dbsize() == 1001 and second.get("k999") == "v999" and second.ttl("soon") > 0
    # What was restored once is not restored again: a node that starts anew is empty, as every cache's.
    second.set("later", "x")
    pid = service.node_pids()["again-0001"]
    os.kill(pid, signal.SIGKILL)
    wait_until("another process runs", lambda: service.node_pids().get("again-0001") not in (None, pid))

    def is_empty():
        try:
            return connect(service.describe("again")).dbsize() == 0
        except redis.RedisError:
            return False

    wait_until("it is empty", is_empty)
    assert code(lambda: api.create_cache_cluster(
        CacheClusterId="older", SnapshotName="first", Engine="redis", EngineVersion="6.2")) == "InvalidParameterCombination"
    assert code(lambda: api.create_cache_cluster(CacheClusterId="none", SnapshotName="nosuch",
                                                 CacheNodeType="cache.t3.micro")) == "SnapshotNotFoundFault"
    api.delete_snapshot(SnapshotName="first")
    gone(api, "first")
    assert files(service) == []


def test_copies_exports_and_seeds(own_service):
    service, api = own_service, own_service.client()
    node = connect(service.create("books"))
    node.set("k", "v")
    api.create_snapshot(CacheClusterId="books", SnapshotName="first")
    done(api, "first")
    copied = api.copy_snapshot(SourceSnapshotName="first", TargetSnapshotName="second")["Snapshot"]
    assert copied["SnapshotStatus"] == "copying"
    done(api, "second")
    done(api, "first")
    assert code(lambda: api.copy_snapshot(SourceSnapshotName="first", TargetSnapshotName="second")
                ) == "SnapshotAlreadyExistsFault"
    assert files(service) == ["snapshots/first/0001.rdb", "snapshots/second/0001.rdb"]

    export = {"SourceSnapshotName": "second", "TargetSnapshotName": "out", "TargetBucket": "backups"}
    assert code(lambda: api.copy_snapshot(**export)) == "InvalidParameterValue", "there is no bucket"
    bucket = service.folder / "buckets" / "backups"
    bucket.mkdir(parents=True)
    exported = api.copy_snapshot(**export)["Snapshot"]
    assert (exported["SnapshotName"], exported["SnapshotStatus"]) == ("out", "exporting")
    done(api, "second")
    assert [p.name for p in bucket.iterdir()] == ["out-0001.rdb"]
    assert (bucket / "out-0001.rdb").read_bytes() == (service.folder / "snapshots/second/0001.rdb").read_bytes()
    assert code(lambda: api.copy_snapshot(**export)) == "InvalidParameterValue", "the object is there"

    api.create_cache_cluster(CacheClusterId="seeded", Engine="valkey", CacheNodeType="cache.t3.micro",
                             SnapshotArns=["arn:aws:s3:::backups/out-0001.rdb"])
    assert connect(service.available("seeded")).get("k") == "v"
    (bucket / "bad.rdb").write_bytes(b"REDIS0011 this is no such file")
    api.create_cache_cluster(CacheClusterId="broken", Engine="redis", CacheNodeType="cache.t3.micro",
                             SnapshotArns=["arn:aws:s3:::backups/bad.rdb"])
    wait_until("it is given up", lambda: service.describe("broken")["CacheClusterStatus"] == "restore-failed")
    for arn in ("arn:aws:s3:::backups/nosuch.rdb", "arn:aws:s3:::nosuch/x.rdb", "arn:aws:s3:::backups/../x", "x"):
        assert code(lambda: api.create_cache_cluster(
            CacheClusterId="x1", Engine="redis", CacheNodeType="cache.t3.micro", SnapshotArns=[arn])
        ) == "InvalidParameterValue"


def test_a_final_snapshot_outlives_its_cache(own_service):
    service, api = own_service, own_service.client()
    connect(service.create("books")).set("k", "v")
    said = api.delete_cache_cluster(CacheClusterId="books", FinalSnapshotIdentifier="last")["CacheCluster"]
    assert said["CacheClusterStatus"] == "deleting"
    done(api, "last")
    api.get_waiter("cache_cluster_deleted").wait(CacheClusterId="books", WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    api.create_replication_group(ReplicationGroupId="shop", ReplicationGroupDescription="d", SnapshotName="last")
    group = group_available(api)
    assert group_client(group, socket_timeout=PATIENCE_S).get("k") == "v"
    api.delete_replication_group(ReplicationGroupId="shop", FinalSnapshotIdentifier="of-group")
    snapshot = done(api, "of-group")
    assert (snapshot["ReplicationGroupId"], snapshot["NodeSnapshots"][0]["CacheClusterId"]) == ("shop", "shop-001")
    api.get_waiter("replication_group_deleted").wait(
        ReplicationGroupId="shop", WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    assert not service.node_pids()
    pages = api.create_cache_cluster(CacheClusterId="pages", Engine="memcached", CacheNodeType="cache.t3.micro",
                                     NumCacheNodes=1)
    assert pages["CacheCluster"]["Engine"] == "memcached"
    service.available("pages")
    assert code(lambda: api.create_snapshot(CacheClusterId="pages", SnapshotName="x1")) == "SnapshotFeatureNotSupportedFault"


def test_automatic_snapshots_by_window(own_service):
    service, api = own_service, own_service.client()
    now = datetime.datetime.now(datetime.timezone.utc)
    start, end = now - datetime.timedelta(minutes=30), now + datetime.timedelta(hours=2)
    other = (now + datetime.timedelta(days=2)).strftime("%a").lower()
    far = (now + datetime.timedelta(hours=12)).hour
    service.create("books", SnapshotRetentionLimit=3, SnapshotWindow=f"{start:%H:%M}-{end:%H:%M}",
                   PreferredMaintenanceWindow=f"{other}:{far % 23:02}:00-{other}:{far % 23 + 1:02}:00")

    def automatic():
        found = api.describe_snapshots(CacheClusterId="books", SnapshotSource="system")["Snapshots"]
        return [s for s in found if s["SnapshotStatus"] == "available"]

    [snapshot] = wait_until("there is one", automatic)
    days = [f"automatic.books-{day:%Y-%m-%d}" for day in (now, now + datetime.timedelta(days=1))]
    assert snapshot["SnapshotName"].startswith(tuple(days)), snapshot
    assert snapshot["SnapshotSource"] == "automated" and snapshot["SnapshotRetentionLimit"] == 3
    service.available("books")
    service.delete("books")
    gone(api, snapshot["SnapshotName"])


def test_a_killed_service_finishes_what_it_began(own_service):
    service, api = own_service, own_service.client()
    node = connect(service.create("books"))
    node.mset({f"k{n}": "v" * 100 for n in range(50_000)})
    for turn in range(3):
        api.create_snapshot(CacheClusterId="books", SnapshotName=f"s{turn}")
        service.kill()
        service.start()
        done(api, f"s{turn}")
        service.available("books")
    assert files(service) == [f"snapshots/s{turn}/0001.rdb" for turn in range(3)]
    assert node.dbsize() == 50_000


def test_a_group_with_replicas_gives_its_data_and_gets_them(tmp_path):
    service = Service(tmp_path / "data")
    try:
        api = service.start().client()
        create = {"CacheNodeType": "cache.t3.micro", "Engine": "redis", "EngineVersion": "7.0", "NumCacheClusters": 2,
                  "AutomaticFailoverEnabled": True, "ReplicationGroupDescription": "d"}
        api.create_replication_group(ReplicationGroupId="shop", **create)
        client = group_client(group_available(api), socket_timeout=PATIENCE_S, single_connection_client=True)
        client.set("k", "v")
        assert client.wait(1, 1000 * PATIENCE_S // 2) == 1
        assert api.create_snapshot(ReplicationGroupId="shop", SnapshotName="s1")["Snapshot"]["SnapshotStatus"] == "creating"
        snapshot = done(api, "s1")
        assert snapshot["NodeSnapshots"][0]["CacheClusterId"] == "shop-002", "a replica gives the data"
        group_available(api)
        api.create_replication_group(ReplicationGroupId="copy", SnapshotName="s1", **create)
        group = group_available(api, "copy")
        assert primary_of(group) == "copy-001"
        assert group_client(group, socket_timeout=PATIENCE_S).get("k") == "v"
        wait_until("the replica has it", lambda: group_client(group, "ReaderEndpoint").get("k") == "v")
    finally:
        service.clean_up()
