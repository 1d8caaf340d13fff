"""AUTH tokens of replication groups through boto3: given at the start or later, rotated, set, and given up for users."""

import os
import signal
import time

import botocore.exceptions
import pytest
import redis

from service import PATIENCE_S, wait_until
from test_groups import far_window

FIRST, SECOND, THIRD = "the-first-token-1", "the-second-token-2", "the-third-token-3"


@pytest.fixture
def api(own_service):
    return own_service.client()


def group(api, name="shop"):
    [found] = api.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"]
    return found


def available(api, name="shop"):
    return wait_until("the group is available", lambda: (g := group(api, name))["Status"] == "available" and g)


def create(api, name="shop", **more):
    api.create_replication_group(**{
        "ReplicationGroupId": name, "ReplicationGroupDescription": "a shop", "NumCacheClusters": 1, "Engine": "redis",
        "EngineVersion": "7.1", "CacheNodeType": "cache.t3.micro", "TransitEncryptionEnabled": True, **more,
    })
    return available(api, name)


def modify(api, name="shop", **changes):
    said = api.modify_replication_group(ReplicationGroupId=name, **{"ApplyImmediately": True, **changes})
    available(api, name)
    return said["ReplicationGroup"]


def refused(call):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"]


def client(service, password=None, where=None, **more):
    where = where or group(service.client())["NodeGroups"][0]["PrimaryEndpoint"]
    return redis.Redis(
        where["Address"], where["Port"], password=password, ssl=True, ssl_ca_certs=service.info["authority"],
        socket_timeout=PATIENCE_S, decode_responses=True, **more,
    )


def lets_in(service, password=None, where=None):
    try:
        with client(service, password, where) as node:
            return node.set("k", "v")
    except redis.AuthenticationError:
        return False


def rotated_by(api, name, token, strategy):
    """Changes the token of a cluster that is in no group."""
    said = api.modify_cache_cluster(CacheClusterId=name, AuthToken=token, AuthTokenUpdateStrategy=strategy,
                                    ApplyImmediately=True)
    return said["CacheCluster"]["PendingModifiedValues"]["AuthTokenStatus"]


def test_tokens_are_rotated_and_set(own_service, api):
    made = create(api, AuthToken=FIRST)
    assert made["AuthTokenEnabled"] and made["AuthTokenLastModifiedDate"]
    [cluster] = api.describe_cache_clusters()["CacheClusters"]
    assert cluster["AuthTokenEnabled"] and cluster["AuthTokenLastModifiedDate"]
    assert lets_in(own_service, FIRST) and not lets_in(own_service) and not lets_in(own_service, SECOND)
    with client(own_service, FIRST) as node, pytest.raises(redis.ResponseError):
        node.config_get("maxmemory")  # hidden as ever
    with client(own_service, FIRST) as open_session:
        assert open_session.ping()
        said = modify(api, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
        assert said["PendingModifiedValues"]["AuthTokenStatus"] == "ROTATING"
        assert "AuthTokenStatus" not in group(api)["PendingModifiedValues"]
        assert lets_in(own_service, FIRST) and lets_in(own_service, SECOND)
        said = modify(api, AuthToken=SECOND, AuthTokenUpdateStrategy="SET")
        assert said["PendingModifiedValues"]["AuthTokenStatus"] == "SETTING"
        assert lets_in(own_service, SECOND) and not lets_in(own_service, FIRST)
        assert open_session.ping(), "who is in stays"
    # A node that starts anew knows them, and lets nobody in before.
    old = own_service.node_pids()
    api.reboot_cache_cluster(CacheClusterId="shop-001", CacheNodeIdsToReboot=["0001"])
    wait_until("it is another process", lambda: (new := own_service.node_pids()) and new != old)
    available(api)

    def is_back():
        try:
            return lets_in(own_service, SECOND)
        except redis.ConnectionError:
            return False

    wait_until("it answers again", is_back)
    assert not lets_in(own_service) and not lets_in(own_service, FIRST)


def test_a_running_group_is_given_its_first_token(own_service, api):
    create(api)
    assert not group(api)["AuthTokenEnabled"] and lets_in(own_service)
    set_first = lambda: modify(api, AuthToken=FIRST, AuthTokenUpdateStrategy="SET")
    assert refused(set_first) == "InvalidParameterCombination"
    modify(api, AuthToken=FIRST)
    assert group(api)["AuthTokenEnabled"]
    assert lets_in(own_service) and lets_in(own_service, FIRST) and not lets_in(own_service, SECOND)
    set_first()
    assert lets_in(own_service, FIRST) and not lets_in(own_service)


def test_from_a_token_to_users(own_service, api):
    create(api, AuthToken=FIRST)
    api.create_user(UserId="opener", UserName="default", Engine="redis", AccessString="on ~app:* -@all +@read",
                    NoPasswordRequired=True)
    api.create_user_group(UserGroupId="team", Engine="redis", UserIds=["opener"])
    add = dict(UserGroupIdsToAdd=["team"])
    assert refused(lambda: modify(api, **add)) == "InvalidParameterCombination"
    assert refused(lambda: modify(api, AuthTokenUpdateStrategy="DELETE")) == "InvalidParameterCombination"
    modify(api, AuthTokenUpdateStrategy="DELETE", **add)
    assert not group(api)["AuthTokenEnabled"] and group(api)["UserGroupIds"] == ["team"]
    with client(own_service) as node:
        assert node.get("app:1") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            node.set("app:1", "x")
    rotate = lambda: modify(api, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
    assert refused(rotate) == "InvalidParameterCombination"
    # And back.
    modify(api, RemoveUserGroups=True, AuthToken=SECOND, AuthTokenUpdateStrategy="SET")
    assert lets_in(own_service, SECOND) and not lets_in(own_service)


def test_what_cannot_be_is_refused(api):
    make = lambda **more: lambda: create(api, "bad", **more)
    for wrong, expected in [
        ({"AuthToken": FIRST, "TransitEncryptionEnabled": False}, "InvalidParameterCombination"),
        ({"AuthToken": "too-short"}, "InvalidParameterValue"),
        ({"AuthToken": "a/slash/is/not/allowed"}, "InvalidParameterValue"),
        ({"AuthToken": "x" * 129}, "InvalidParameterValue"),
        ({"AuthToken": FIRST, "UserGroupIds": ["nobody"]}, "InvalidParameterCombination"),
        ({"AuthToken": FIRST, "EngineVersion": "3.2.4"}, "InvalidParameterCombination"),
    ]:
        assert refused(make(**wrong)) == expected, wrong
    assert not api.describe_replication_groups()["ReplicationGroups"]
    create(api, AuthToken=FIRST)
    for wrong, expected in [
        ({"AuthToken": SECOND, "ApplyImmediately": False}, "InvalidParameterCombination"),
        ({"AuthToken": SECOND, "AuthTokenUpdateStrategy": "MAYBE"}, "InvalidParameterValue"),
        ({"AuthToken": SECOND, "AuthTokenUpdateStrategy": "SET"}, "InvalidParameterCombination"),
        ({"AuthToken": SECOND, "AuthTokenUpdateStrategy": "DELETE"}, "InvalidParameterCombination"),
        ({"AuthTokenUpdateStrategy": "ROTATE"}, "InvalidParameterCombination"),
    ]:
        assert refused(lambda: modify(api, **wrong)) == expected, wrong
    # A token must not travel in the clear.
    modify(api, TransitEncryptionMode="preferred")
    assert refused(lambda: modify(api, TransitEncryptionEnabled=False)) == "InvalidParameterCombination"


def test_a_cluster_in_no_group_has_a_token(own_service, api):
    service = own_service
    make = lambda **more: lambda: service.create("solo", wait=False, **more)
    for wrong, expected in [
        ({"AuthToken": FIRST}, "InvalidParameterCombination"),
        ({"AuthToken": "too-short", "TransitEncryptionEnabled": True}, "InvalidParameterValue"),
        ({"AuthToken": FIRST, "TransitEncryptionEnabled": True, "engine": "memcached"}, "InvalidParameterCombination"),
    ]:
        assert refused(make(**wrong)) == expected, wrong
    made = service.create("solo", TransitEncryptionEnabled=True, AuthToken=FIRST)
    assert made["AuthTokenEnabled"] and made["AuthTokenLastModifiedDate"]
    where = made["CacheNodes"][0]["Endpoint"]
    accepted = lambda: [token for token in (None, FIRST, SECOND) if lets_in(service, token, where)]
    assert accepted() == [FIRST]
    change = lambda **more: lambda: api.modify_cache_cluster(CacheClusterId="solo", **{"ApplyImmediately": True, **more})
    for wrong, expected in [
        ({"AuthToken": SECOND, "ApplyImmediately": False}, "InvalidParameterCombination"),
        ({"AuthToken": SECOND, "AuthTokenUpdateStrategy": "SET"}, "InvalidParameterCombination"),
        ({"AuthTokenUpdateStrategy": "DELETE"}, "InvalidParameterCombination"),
        ({"AuthTokenUpdateStrategy": "ROTATE"}, "InvalidParameterCombination"),
    ]:
        assert refused(change(**wrong)) == expected, wrong
    assert rotated_by(api, "solo", SECOND, "ROTATE") == "ROTATING"
    assert "AuthTokenStatus" not in service.available("solo")["PendingModifiedValues"]
    assert accepted() == [FIRST, SECOND]
    assert rotated_by(api, "solo", SECOND, "SET") == "SETTING"
    service.kill()  # the next service goes on with it
    service.start()
    service.available("solo")
    assert accepted() == [SECOND]


def primary(found):
    [name] = [member["CacheClusterId"] for member in found["NodeGroups"][0]["NodeGroupMembers"]
              if member["CurrentRole"] == "primary"]
    return name


def on_both_replicas(service, login, value):
    """A write that both replicas have."""
    with client(service, single_connection_client=True, **login) as node:
        return node.set("k", value) and node.wait(2, 1000 * PATIENCE_S // 2) == 2


@pytest.mark.parametrize("mode", ["required", "preferred"])
@pytest.mark.parametrize("who", ["token", "users"])
def test_replicas_log_in_and_take_over(own_service, api, mode, who):
    """Replicas authenticate at the primary, over TLS, also the one that was the primary; tokens change with replicas there."""
    more = {"AuthToken": FIRST}
    login = {"password": FIRST}
    if who == "users":
        api.create_user(UserId="closed", UserName="default", Engine="redis", AccessString="off -@all", NoPasswordRequired=True)
        api.create_user(UserId="ann", UserName="ann", Engine="redis", AccessString="on ~* +@all", Passwords=[FIRST])
        api.create_user_group(UserGroupId="team", Engine="redis", UserIds=["closed", "ann"])
        more, login = {"UserGroupIds": ["team"]}, {"username": "ann", "password": FIRST}
    found = create(api, NumCacheClusters=3, AutomaticFailoverEnabled=True, TransitEncryptionMode=mode, **more)
    assert found["TransitEncryptionMode"] == mode
    assert on_both_replicas(own_service, login, "before")
    assert not lets_in(own_service) and not lets_in(own_service, SECOND)
    if who == "token":
        modify(api, AuthToken=SECOND, AuthTokenUpdateStrategy="ROTATE")
        modify(api, AuthToken=SECOND, AuthTokenUpdateStrategy="SET")
        login = {"password": SECOND}
        assert on_both_replicas(own_service, login, "before")
    old = primary(group(api))
    os.kill(own_service.node_pids()[f"{old}-0001"], signal.SIGKILL)
    wait_until("a replica took over", lambda: primary(group(api)) != old)
    with client(own_service, **login) as node:
        assert node.get("k") == "before"

    def all_follow():
        try:
            return on_both_replicas(own_service, login, "after")
        except redis.RedisError:
            return False

    wait_until("the old primary is a replica", all_follow)
    assert not lets_in(own_service)
    for member in group(api)["NodeGroups"][0]["NodeGroupMembers"]:
        with client(own_service, where=member["ReadEndpoint"], **login) as node:
            assert node.get("k") == "after"


def test_a_mode_of_encryption_waits_for_the_window(own_service, api):
    create(api, TransitEncryptionMode="preferred")
    change = lambda **more: api.modify_replication_group(ReplicationGroupId="shop", **more)["ReplicationGroup"]
    said = change(TransitEncryptionMode="required", PreferredMaintenanceWindow=far_window())
    assert said["TransitEncryptionMode"] == "preferred" and said["Status"] == "available"
    waiting = {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "required"}
    assert waiting.items() <= said["PendingModifiedValues"].items()
    [member] = api.describe_cache_clusters()["CacheClusters"]
    assert waiting.items() <= member["PendingModifiedValues"].items()
    said = change(TransitEncryptionMode="preferred")
    assert "TransitEncryptionMode" not in said["PendingModifiedValues"], "the mode that is there cancels it"
    change(TransitEncryptionEnabled=False)
    assert refused(lambda: modify(api, AuthToken=FIRST, ApplyImmediately=True)) == "InvalidParameterCombination"
    said = modify(api, TransitEncryptionMode="required")
    assert said["TransitEncryptionMode"] == "required" and "TransitEncryptionMode" not in said["PendingModifiedValues"]
    assert lets_in(own_service)
