"""The ElastiCache API through boto3: objects, lists in pages, waiters, error codes."""

import pytest
import redis

from service import endpoint_of, wait_until


@pytest.fixture(scope="module")
def api(service):
    return service.client()


def refused(call, **parameters):
    """The error code and HTTP status with which a call is refused."""
    with pytest.raises(Exception) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


# -- clusters ---------------------------------------------------------------------------------------------------


def test_the_life_of_a_cluster(service, api):
    created = api.create_cache_cluster(
        CacheClusterId="Life", Engine="redis", CacheNodeType="cache.t3.micro", NumCacheNodes=1,
        PreferredMaintenanceWindow="SUN:05:00-SUN:06:00", Tags=[{"Key": "team", "Value": "search"}],
    )["CacheCluster"]
    assert created["CacheClusterId"] == "life"  # stored in lower case
    assert created["CacheClusterStatus"] == "creating"
    assert created["PreferredMaintenanceWindow"] == "sun:05:00-sun:06:00"
    assert not created.get("CacheNodes")
    assert created["ARN"] == "arn:aws:elasticache:us-east-1:000000000000:cluster:life"

    api.get_waiter("cache_cluster_available").wait(CacheClusterId="life", WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    cache = service.describe("LIFE")
    assert cache["EngineVersion"].count(".") == 2
    [node] = cache["CacheNodes"]
    assert node["CacheNodeId"] == "0001" and node["CacheNodeStatus"] == "available"
    assert node["CustomerAvailabilityZone"].startswith("us-east-1")
    assert cache["CacheParameterGroup"]["ParameterApplyStatus"] == "in-sync"
    plain = api.describe_cache_clusters(CacheClusterId="life")["CacheClusters"][0]
    assert not plain.get("CacheNodes")  # only with ShowCacheNodeInfo

    assert refused(
        api.create_cache_cluster, CacheClusterId="LIFE", Engine="redis", CacheNodeType="cache.t3.micro", NumCacheNodes=1
    ) == ("CacheClusterAlreadyExists", 400)

    assert api.delete_cache_cluster(CacheClusterId="life")["CacheCluster"]["CacheClusterStatus"] == "deleting"
    api.get_waiter("cache_cluster_deleted").wait(CacheClusterId="life", WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    assert refused(api.describe_cache_clusters, CacheClusterId="life") == ("CacheClusterNotFound", 404)
    assert refused(api.delete_cache_cluster, CacheClusterId="life") == ("CacheClusterNotFound", 404)


def test_a_reboot_empties_the_node(service, api):
    cache = service.create("reboot")
    client = redis.Redis(*endpoint_of(cache))
    client.set("k", "v")
    said = api.reboot_cache_cluster(CacheClusterId="reboot", CacheNodeIdsToReboot=["0001"])["CacheCluster"]
    assert said["CacheClusterStatus"] == "rebooting cluster nodes"
    service.available("reboot")

    def empty():
        try:
            return redis.Redis(*endpoint_of(cache)).dbsize() == 0
        except redis.ConnectionError:
            return False

    wait_until("the node is empty", empty)
    assert refused(api.reboot_cache_cluster, CacheClusterId="reboot", CacheNodeIdsToReboot=["0009"])[1] in (400, 404)


def test_a_node_type_bounds_the_memory(service, api):
    cache = service.create("bounded", CacheNodeType="cache.t3.small")
    memory = redis.Redis(*endpoint_of(cache)).info("memory")
    assert abs(memory["maxmemory"] / (1.37 * 0.75 * 2**30) - 1) < 0.01


def test_hidden_commands_are_hidden(service, api):
    client = redis.Redis(*endpoint_of(service.create("hidden")))
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.config_set("maxmemory", "1")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("SHUTDOWN")


@pytest.mark.parametrize("parameters, code", [
    ({"CacheClusterId": "9lives"}, "InvalidParameterValue"),
    ({"CacheClusterId": "a--b"}, "InvalidParameterValue"),
    ({"CacheClusterId": "a" * 51}, "InvalidParameterValue"),
    ({"Engine": "oracle"}, "InvalidParameterValue"),
    ({"EngineVersion": "1.0"}, "InvalidParameterCombination"),
    ({"CacheNodeType": "cache.t99.huge"}, "InvalidParameterValue"),
    ({"NumCacheNodes": 2}, "InvalidParameterValue"),
    ({"Engine": "memcached", "NumCacheNodes": 61}, None),
    ({"CacheSubnetGroupName": "nowhere"}, "CacheSubnetGroupNotFoundFault"),
    ({"CacheParameterGroupName": "nothing"}, "CacheParameterGroupNotFound"),
    ({"CacheParameterGroupName": "default.memcached1.6"}, None),
    ({"PreferredMaintenanceWindow": "someday"}, "InvalidParameterValue"),
    ({"SnapshotRetentionLimit": 36}, "InvalidParameterValue"),
    ({"Port": 70000}, "InvalidParameterValue"),
])
def test_clusters_that_cannot_be(api, parameters, code):
    whole = {"CacheClusterId": "never", "Engine": "redis", "CacheNodeType": "cache.t3.micro", "NumCacheNodes": 1}
    got, status = refused(api.create_cache_cluster, **(whole | parameters))
    assert status == (404 if got == "CacheParameterGroupNotFound" else 400)
    assert got == code if code else got


# -- lists ------------------------------------------------------------------------------------------------------


def test_lists_come_in_pages(api):
    names = [f"page-{number:02}" for number in range(45)]
    for name in names:
        api.create_cache_parameter_group(
            CacheParameterGroupName=name, CacheParameterGroupFamily="redis7", Description="one of many"
        )
    first = api.describe_cache_parameter_groups(MaxRecords=20)
    assert len(first["CacheParameterGroups"]) == 20 and first["Marker"]
    pages = api.get_paginator("describe_cache_parameter_groups").paginate(PaginationConfig={"PageSize": 20})
    found = [group["CacheParameterGroupName"] for page in pages for group in page["CacheParameterGroups"]]
    assert len(found) == len(set(found)) and set(names) <= set(found)
    for name in names:
        api.delete_cache_parameter_group(CacheParameterGroupName=name)
    assert refused(api.describe_cache_parameter_groups, MaxRecords=101) == ("InvalidParameterValue", 400)


def test_engine_versions(api):
    versions = api.describe_cache_engine_versions()["CacheEngineVersions"]
    assert {"redis", "valkey", "memcached"} <= {version["Engine"] for version in versions}
    newest = api.describe_cache_engine_versions(Engine="redis", DefaultOnly=True)["CacheEngineVersions"]
    assert [version["Engine"] for version in newest] == ["redis"]
    only = api.describe_cache_engine_versions(CacheParameterGroupFamily="memcached1.6")["CacheEngineVersions"]
    assert only and {version["Engine"] for version in only} == {"memcached"}


# -- subnet groups ----------------------------------------------------------------------------------------------


def test_subnet_groups(service, api):
    subnet = service.info["default_subnet_id"]
    made = api.create_cache_subnet_group(
        CacheSubnetGroupName="Net", CacheSubnetGroupDescription="one", SubnetIds=[subnet]
    )["CacheSubnetGroup"]
    assert made["CacheSubnetGroupName"] == "net" and made["VpcId"].startswith("vpc-")
    again = dict(CacheSubnetGroupName="net", CacheSubnetGroupDescription="one", SubnetIds=[subnet])
    assert refused(api.create_cache_subnet_group, **again) == ("CacheSubnetGroupAlreadyExists", 400)
    changed = api.modify_cache_subnet_group(CacheSubnetGroupName="net", CacheSubnetGroupDescription="two")
    assert changed["CacheSubnetGroup"]["CacheSubnetGroupDescription"] == "two"
    assert refused(
        api.create_cache_subnet_group, CacheSubnetGroupName="bad", CacheSubnetGroupDescription="x", SubnetIds=["subnet-0"]
    ) == ("InvalidSubnet", 400)

    service.create("netted", CacheSubnetGroupName="net")
    assert refused(api.delete_cache_subnet_group, CacheSubnetGroupName="net") == ("CacheSubnetGroupInUse", 400)
    service.delete("netted")
    api.delete_cache_subnet_group(CacheSubnetGroupName="net")
    assert refused(api.describe_cache_subnet_groups, CacheSubnetGroupName="net") == (
        "CacheSubnetGroupNotFoundFault", 400)


# -- parameter groups -------------------------------------------------------------------------------------------


def parameters_of(api, group, **more):
    pages = api.get_paginator("describe_cache_parameters").paginate(CacheParameterGroupName=group, **more)
    return {p["ParameterName"]: p for page in pages for p in page["Parameters"]}


def test_parameters_reach_the_nodes(service, api):
    api.create_cache_parameter_group(
        CacheParameterGroupName="reaching", CacheParameterGroupFamily="redis7", Description="reaching"
    )
    before = parameters_of(api, "reaching")
    assert before["maxmemory-policy"]["ParameterValue"] == "volatile-lru"
    assert before["maxmemory-policy"]["Source"] != "user"
    cache = service.create("reaching", EngineVersion="7.1", CacheParameterGroupName="reaching")
    api.modify_cache_parameter_group(
        CacheParameterGroupName="reaching",
        ParameterNameValues=[{"ParameterName": "maxmemory-policy", "ParameterValue": "allkeys-lfu"}],
    )
    after = parameters_of(api, "reaching", Source="user")
    assert {name: p["ParameterValue"] for name, p in after.items()} == {"maxmemory-policy": "allkeys-lfu"}
    client = redis.Redis(*endpoint_of(cache))
    wait_until("the node obeys", lambda: client.info("memory")["maxmemory_policy"] == "allkeys-lfu")

    assert refused(api.delete_cache_parameter_group, CacheParameterGroupName="reaching") == (
        "InvalidCacheParameterGroupState", 400)
    service.delete("reaching")
    api.reset_cache_parameter_group(CacheParameterGroupName="reaching", ResetAllParameters=True)
    assert parameters_of(api, "reaching", Source="user") == {}
    api.delete_cache_parameter_group(CacheParameterGroupName="reaching")
    assert refused(api.describe_cache_parameters, CacheParameterGroupName="reaching") == (
        "CacheParameterGroupNotFound", 404)


def test_another_version_reaches_the_node(service, api):
    cache = service.create("versions", EngineVersion="7.0")
    address = endpoint_of(cache)
    client = redis.Redis(*address)
    client.set("k", "v")
    assert client.info("server")["redis_version"].startswith("7.0.")

    def changed(**more):
        api.modify_cache_cluster(CacheClusterId="versions", ApplyImmediately=True, **more)
        cache = service.available("versions")
        assert cache["CacheParameterGroup"]["ParameterApplyStatus"] == "in-sync", "the node took it over while it ran"
        return cache["EngineVersion"]

    version = changed(EngineVersion="7.1")
    assert client.info("server")["redis_version"] == version and version.startswith("7.1.")
    changed(CacheNodeType="cache.t3.small")
    assert client.info("memory")["total_system_memory"] > 1 << 30
    version = changed(Engine="valkey", EngineVersion="8.0")
    seen = client.info("server")
    assert (seen["server_name"], seen["valkey_version"]) == ("valkey", version) and version.startswith("8.0.")
    assert client.get("k") == b"v", "it kept its data"
    service.delete("versions")


@pytest.mark.parametrize("name, value", [
    ("no-such-parameter", "1"), ("maxmemory-policy", "sometimes"), ("timeout", "-5"), ("timeout", "soon"),
    ("maxmemory", "100"),
])
def test_parameters_that_cannot_be(api, name, value):
    group = {"CacheParameterGroupName": "strict", "CacheParameterGroupFamily": "redis7", "Description": "strict"}
    try:
        api.create_cache_parameter_group(**group)
    except api.exceptions.CacheParameterGroupAlreadyExistsFault:
        pass
    wrong = [{"ParameterName": name, "ParameterValue": value}]
    assert refused(
        api.modify_cache_parameter_group, CacheParameterGroupName="strict", ParameterNameValues=wrong
    ) == ("InvalidParameterValue", 400)


def test_default_groups_are_there_and_stay(api):
    names = [g["CacheParameterGroupName"] for g in api.describe_cache_parameter_groups()["CacheParameterGroups"]]
    assert {"default.redis7", "default.memcached1.6", "default.valkey8"} <= set(names)
    change = [{"ParameterName": "timeout", "ParameterValue": "10"}]
    assert refused(
        api.modify_cache_parameter_group, CacheParameterGroupName="default.redis7", ParameterNameValues=change
    ) == ("InvalidCacheParameterGroupState", 400)
    assert refused(api.delete_cache_parameter_group, CacheParameterGroupName="default.redis7") == (
        "InvalidCacheParameterGroupState", 400)
    defaults = api.describe_engine_default_parameters(CacheParameterGroupFamily="redis7")["EngineDefaults"]
    assert defaults["CacheParameterGroupFamily"] == "redis7" and defaults["Parameters"]


# -- tags and events --------------------------------------------------------------------------------------------


def test_tags(service, api):
    service.create("tagged", wait=False, Tags=[{"Key": "a", "Value": "1"}])
    arn = service.describe("tagged")["ARN"]
    tags = lambda answer: {tag["Key"]: tag["Value"] for tag in answer["TagList"]}
    service.available("tagged")
    assert tags(api.list_tags_for_resource(ResourceName=arn)) == {"a": "1"}
    added = api.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}])
    assert tags(added) == {"a": "2", "b": ""}
    assert tags(api.remove_tags_from_resource(ResourceName=arn, TagKeys=["a"])) == {"b": ""}
    too_many = [{"Key": f"k{number}", "Value": "v"} for number in range(51)]
    assert refused(api.add_tags_to_resource, ResourceName=arn, Tags=too_many) == ("TagQuotaPerResourceExceeded", 400)
    assert refused(api.list_tags_for_resource, ResourceName="arn:nonsense") == ("InvalidARN", 400)
    gone = "arn:aws:elasticache:us-east-1:000000000000:cluster:nobody"
    assert refused(api.list_tags_for_resource, ResourceName=gone) == ("CacheClusterNotFound", 404)


def test_events(service, api):
    service.create("eventful")
    messages = wait_until("the creation is an event", lambda: service.events("eventful"))
    assert any("created" in message.lower() for message in messages)
    assert refused(api.describe_events, SourceIdentifier="eventful") == ("InvalidParameterCombination", 400)
    assert api.describe_events(SourceType="cache-parameter-group", Duration=1)["Events"] is not None


# -- what is not there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["describe_serverless_caches", "describe_global_replication_groups"])
def test_operations_that_are_not_available_say_so(api, operation):
    assert refused(getattr(api, operation)) == ("InvalidAction", 400)
