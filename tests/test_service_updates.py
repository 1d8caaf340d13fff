"""Service updates: a later release of Larder takes over caches of an earlier one, and nodes are updated when asked.

The earlier release is the same program under an earlier version, which is all that a service update looks at.
"""

import botocore.exceptions
import pytest
import redis

from service import BINARY, Service, endpoint_of, wait_until

EARLIER = b"0.0.9"


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """(earlier program, version of the present one)"""
    folder = tmp_path_factory.mktemp("releases")
    program = BINARY.read_bytes()
    version = b"0.1.0"
    assert version in program, "the version of the workspace was changed: change it here, too"
    earlier = folder / "larder"
    earlier.write_bytes(program.replace(version, EARLIER))
    earlier.chmod(0o755)
    return earlier, version.decode()


def code(call):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"]


def version_of(cache, index=0):
    host, port = endpoint_of(cache, index)
    return redis.Redis(host, port, decode_responses=True).info("server")["larder_version"]


def test_an_installation_without_an_earlier_release_has_none(service):
    api = service.client()
    assert api.describe_service_updates()["ServiceUpdates"] == []
    assert api.describe_update_actions()["UpdateActions"] == []
    assert code(lambda: api.describe_service_updates(ServiceUpdateName="larder-9.9.9")) == "ServiceUpdateNotFoundFault"
    assert code(lambda: api.batch_apply_update_action(ServiceUpdateName="x", CacheClusterIds=["a"])
                ) == "ServiceUpdateNotFoundFault"
    assert code(lambda: api.describe_service_updates(ServiceUpdateStatus=["new"])) == "InvalidParameterValue"


def test_caches_of_an_earlier_release_are_updated(tmp_path, releases):
    earlier, version = releases
    service = Service(tmp_path / "data", binary=earlier)
    try:
        service.start()
        api = service.client()
        assert api.describe_service_updates()["ServiceUpdates"] == []
        assert version_of(service.create("books")) == EARLIER.decode()
        service.create("pages", engine="memcached", nodes=3)
        api.create_replication_group(ReplicationGroupId="shop", ReplicationGroupDescription="d", NumCacheClusters=1,
                                     CacheNodeType="cache.t3.micro", Engine="redis")
        service.available("shop-001")
        service.kill()
        service.binary = BINARY
        service.start()

        [update] = api.describe_service_updates()["ServiceUpdates"]
        name = update["ServiceUpdateName"]
        assert (name, update["ServiceUpdateStatus"]) == (f"larder-{version}", "available")
        assert update["ServiceUpdateSeverity"] in ("critical", "important", "medium", "low")
        assert update["ServiceUpdateType"] == "security-update" and update["EstimatedUpdateTime"] == "1 minute per node"
        assert update["Engine"] == "redis, valkey, memcached" and "memcached 1.4.5 and onwards" in update["EngineVersion"]
        assert "ServiceUpdateEndDate" not in update, "no later release took its place"
        assert update["ServiceUpdateRecommendedApplyByDate"] > update["ServiceUpdateReleaseDate"]
        urgent = update["ServiceUpdateSeverity"] in ("critical", "important")
        assert update["AutoUpdateAfterRecommendedApplyByDate"] == urgent
        assert f"Service update {name} is available for cache node 0003" in service.events("pages")
        later = service.create("later")

        def actions(**filters):
            found = api.describe_update_actions(**filters)["UpdateActions"]
            return {a.get("CacheClusterId") or a["ReplicationGroupId"]: a for a in found}

        waiting = actions(UpdateActionStatus=["not-applied"])
        assert sorted(waiting) == ["books", "pages", "shop"], "what was made later has nothing to update"
        assert waiting["pages"]["NodesUpdated"] == "0/3" and waiting["pages"]["Engine"] == "memcached"
        assert "ReplicationGroupId" in waiting["shop"]
        assert all(a["SlaMet"] == "n/a" for a in waiting.values()), "there is time yet"
        assert list(actions(CacheClusterIds=["Books"])) == ["books"]
        assert list(actions(Engine="memcached")) == ["pages"]
        assert actions(ServiceUpdateStatus=["expired"]) == {}
        assert len(list(api.get_paginator("describe_update_actions").paginate(PaginationConfig={"PageSize": 20}))) == 1

        pids = service.node_pids()
        asked = api.batch_apply_update_action(
            ServiceUpdateName=name, CacheClusterIds=["books", "pages", "later", "shop-001", "nobody"],
            ReplicationGroupIds=["shop"])
        done = {a.get("CacheClusterId") or a["ReplicationGroupId"] for a in asked["ProcessedUpdateActions"]}
        failed = {a["CacheClusterId"]: a["ErrorType"] for a in asked["UnprocessedUpdateActions"]}
        assert done == {"books", "pages", "shop"}
        assert failed == {"later": "InvalidParameterValue", "shop-001": "InvalidParameterValue",
                          "nobody": "CacheClusterNotFound"}
        wait_until("all are updated", lambda: all(a["UpdateActionStatus"] == "complete" for a in actions().values()))
        assert all(a["SlaMet"] == "yes" for a in actions().values())
        nodes = actions(ShowNodeLevelUpdateStatus=True)["pages"]["CacheNodeUpdateStatus"]
        assert [(node["CacheNodeId"], node["NodeUpdateStatus"], node["NodeUpdateInitiatedBy"]) for node in nodes] == [
            (f"000{n}", "complete", "customer") for n in (1, 2, 3)]
        assert all(node["NodeUpdateInitiatedDate"] <= node["NodeUpdateEndDate"] for node in nodes)
        [shard] = actions(ShowNodeLevelUpdateStatus=True)["shop"]["NodeGroupUpdateStatus"]
        assert shard["NodeGroupMemberUpdateStatus"][0]["CacheClusterId"] == "shop-001"
        assert version_of(service.available("books")) == version
        now = service.node_pids()
        assert all(now[node] != pid for node, pid in pids.items() if node != "later-0001")
        assert now["later-0001"] == pids["later-0001"], "what ran the release was left alone"
        assert version_of(later) == version
        stopped = api.batch_stop_update_action(ServiceUpdateName=name, CacheClusterIds=["books"])
        assert stopped["UnprocessedUpdateActions"][0]["ErrorType"] == "InvalidParameterValue"
        again = api.batch_apply_update_action(ServiceUpdateName=name, CacheClusterIds=["books"])
        assert again["UnprocessedUpdateActions"], "it is complete"
    finally:
        service.clean_up()


def test_an_action_can_be_stopped_and_goes_on(tmp_path, releases):
    earlier, version = releases
    service = Service(tmp_path / "data", binary=earlier)
    try:
        service.start()
        api = service.client()
        names = [f"pages-{n}" for n in range(2)]
        for name in names:
            service.create(name, engine="memcached", nodes=8)
        service.kill()
        service.binary = BINARY
        service.start()
        # A slow client may come too late to stop the first one: then it is complete, and the next one is tried.
        for name in names:
            cache = {"ServiceUpdateName": f"larder-{version}", "CacheClusterIds": [name]}
            api.batch_apply_update_action(**cache)
            stopped = api.batch_stop_update_action(**cache)["ProcessedUpdateActions"]
            if stopped:
                break
        assert stopped[0]["UpdateActionStatus"] in ("stopping", "stopped")

        def action():
            return api.describe_update_actions(CacheClusterIds=[name])["UpdateActions"][0]

        wait_until("it has stopped", lambda: action()["UpdateActionStatus"] == "stopped")
        pids = service.node_pids()
        assert int(action()["NodesUpdated"].split("/")[0]) < 8
        service.kill()
        service.start()
        assert action()["UpdateActionStatus"] == "stopped" and service.node_pids() == pids
        api.batch_apply_update_action(**cache)
        service.kill()  # the next service goes on with it
        service.start()
        wait_until("it is complete", lambda: action()["UpdateActionStatus"] == "complete")
        assert action()["NodesUpdated"] == "8/8"
    finally:
        service.clean_up()
