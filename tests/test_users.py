"""Users and user groups through boto3: what they may is enforced by the nodes of the groups they are attached to."""

import os
import signal

import botocore.exceptions
import pytest
import redis

from service import Service, wait_until

PASSWORD, OTHER = "correct-horse-battery", "another-password-16"


@pytest.fixture()
def service(tmp_path):
    service = Service(tmp_path / "data").start()
    yield service
    service.clean_up()


@pytest.fixture()
def api(service):
    return service.client()


def code(call):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"]


def user(api, name="ann", access="on ~app:* +@read +@write +ping", **more):
    more = more or {"Passwords": [PASSWORD]}
    return api.create_user(UserId=name, UserName=name, Engine="redis", AccessString=access, **more)


def group(api, users=("default", "ann"), name="team"):
    return api.create_user_group(UserGroupId=name, Engine="redis", UserIds=list(users))


def cache(api, **more):
    api.create_replication_group(
        **{"ReplicationGroupId": "shop", "ReplicationGroupDescription": "d", "CacheNodeType": "cache.t3.micro",
           "TransitEncryptionEnabled": True, **more})
    return available(api)


def available(api):
    def look():
        [group] = api.describe_replication_groups(ReplicationGroupId="shop")["ReplicationGroups"]
        return group["Status"] == "available" and group

    return wait_until("the group is available", look)


def client(found, name=None, password=None):
    where = found["NodeGroups"][0]["PrimaryEndpoint"]
    return redis.Redis(where["Address"], where["Port"], username=name, password=password, decode_responses=True, ssl=True,
                       ssl_cert_reqs="none")


def may(found, name, password, *command):
    try:
        client(found, name, password).execute_command(*command)
        return True
    except (redis.exceptions.NoPermissionError, redis.AuthenticationError):
        return False


def test_users_are_made_changed_and_deleted(api):
    [default] = api.describe_users(UserId="default")["Users"]
    assert default["Authentication"] == {"Type": "no-password"} and default["Status"] == "active"
    made = user(api, access="+get ~keys*")
    assert made["AccessString"] == "off ~keys* -@all +get" and made["Status"] == "active"
    assert made["Authentication"] == {"Type": "password", "PasswordCount": 1} and made["MinimumEngineVersion"] == "6.0"
    assert code(lambda: user(api)) == "UserAlreadyExists"
    changed = api.modify_user(UserId="ann", AppendAccessString="+set", AuthenticationMode={
        "Type": "password", "Passwords": [PASSWORD, OTHER]})
    assert changed["AccessString"] == "off ~keys* -@all +get +set"
    assert changed["Authentication"]["PasswordCount"] == 2
    free = user(api, "bob", NoPasswordRequired=True)
    assert free["Authentication"] == {"Type": "no-password"}
    found = api.describe_users(Filters=[{"Name": "user-id", "Values": ["bob", "nobody"]}])["Users"]
    assert [u["UserId"] for u in found] == ["bob"]
    [page] = api.get_paginator("describe_users").paginate()
    assert [u["UserId"] for u in page["Users"]] == ["ann", "bob", "default"]
    api.add_tags_to_resource(ResourceName=free["ARN"], Tags=[{"Key": "a", "Value": "b"}])
    assert api.list_tags_for_resource(ResourceName=free["ARN"])["TagList"] == [{"Key": "a", "Value": "b"}]
    for call, expected in [
        (lambda: user(api, "x", Passwords=["short"]), "InvalidParameterValue"),
        (lambda: user(api, "x", NoPasswordRequired=False), "InvalidParameterValue"),
        (lambda: user(api, "x", access="on nopass"), "InvalidParameterValue"),
        (lambda: user(api, "x", AuthenticationMode={"Type": "iam", "Passwords": ["x" * 16]}), "InvalidParameterCombination"),
        (lambda: api.modify_user(UserId="default", AccessString="on"), "InvalidParameterValue"),
        (lambda: api.modify_user(UserId="nobody", AccessString="on"), "UserNotFound"),
        (lambda: api.delete_user(UserId="nobody"), "UserNotFound"),
        (lambda: api.describe_users(UserId="nobody"), "UserNotFound"),
        (lambda: group(api, ["ann"]), "DefaultUserRequired"),
        (lambda: group(api, ["default", "nobody"]), "UserNotFound"),
        (lambda: api.describe_user_groups(UserGroupId="nobody"), "UserGroupNotFound"),
    ]:
        assert code(call) == expected
    made = group(api)
    assert made["Status"] == "creating" and made["UserIds"] == ["ann", "default"]
    assert api.delete_user(UserId="ann")["Status"] == "deleting"
    [left] = api.describe_user_groups(UserGroupId="team")["UserGroups"]
    assert left["UserIds"] == ["default"] and left["Status"] == "active"
    assert code(lambda: api.modify_user_group(UserGroupId="team", UserIdsToRemove=["ann"])) == "InvalidParameterValue"
    api.delete_user_group(UserGroupId="team")
    assert not api.describe_user_groups()["UserGroups"]


def test_nodes_enforce_what_users_may(service, api):
    user(api)
    group(api)
    found = cache(api, UserGroupIds=["team"])
    assert found["UserGroupIds"] == ["team"]
    [attached] = api.describe_user_groups()["UserGroups"]
    assert attached["ReplicationGroups"] == ["shop"]
    assert may(found, "ann", PASSWORD, "SET", "app:1", "x") and may(found, "ann", PASSWORD, "GET", "app:1")
    assert not may(found, "ann", PASSWORD, "SET", "other", "x")
    assert not may(found, "ann", PASSWORD, "CLIENT", "LIST")
    assert not may(found, "ann", OTHER, "PING")
    assert client(found).ping(), "the default user may do everything"

    # Changes reach the node while it runs, and sessions go on.
    [pid] = service.node_pids().values()
    session = client(found, "ann", PASSWORD)
    assert session.get("app:1") == "x"
    api.modify_user(UserId="ann", AccessString="on ~* +@read", Passwords=[OTHER])
    found = available(api)
    assert may(found, "ann", OTHER, "GET", "other") and not may(found, "ann", OTHER, "SET", "app:1", "y")
    assert not may(found, "ann", PASSWORD, "PING")

    # Another default user, which closes the cache to those without a password.
    api.create_user(UserId="closed", UserName="default", Engine="redis", AccessString="off -@all",
                    NoPasswordRequired=True)
    api.modify_user_group(UserGroupId="team", UserIdsToAdd=["closed"], UserIdsToRemove=["default"])
    found = available(api)
    assert not may(found, None, None, "PING")
    assert may(found, "ann", OTHER, "GET", "x")
    assert code(lambda: api.delete_user(UserId="closed")) == "DefaultUserAssociatedToUserGroup"
    assert code(lambda: api.delete_user_group(UserGroupId="team")) == "InvalidUserGroupState"

    # A node that was started anew knows its users, and nobody else came in meanwhile.
    os.kill(pid, signal.SIGKILL)
    wait_until("the new node knows its users", lambda: service.node_pids() and list(
        service.node_pids().values()) != [pid] and reachable(found))
    assert not may(found, None, None, "PING")

    # Who left is not known any more.
    api.modify_user_group(UserGroupId="team", UserIdsToRemove=["ann"])
    found = available(api)
    assert not may(found, "ann", OTHER, "GET", "x")
    api.modify_replication_group(ReplicationGroupId="shop", RemoveUserGroups=True, ApplyImmediately=True)
    found = available(api)
    assert found["UserGroupIds"] == [] and client(found).ping()
    api.delete_user_group(UserGroupId="team")
    [node] = api.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    assert node["CacheParameterGroup"]["ParameterApplyStatus"] == "in-sync"


def reachable(found):
    try:
        return may(found, "ann", OTHER, "GET", "x")
    except redis.RedisError:
        return False


def test_a_command_that_the_engine_does_not_know_concerns_its_user_only(service, api):
    user(api, "odd", access="on ~* +nosuchcommand")
    user(api)
    group(api, ["default", "ann", "odd"])
    found = cache(api, UserGroupIds=["team"])
    assert may(found, "ann", PASSWORD, "PING") and not may(found, "odd", PASSWORD, "PING")
    assert any("refused" in text for text in service.events("shop-001"))
    api.modify_user(UserId="odd", AccessString="on ~* +ping")
    assert may(available(api), "odd", PASSWORD, "PING")


def test_users_need_encryption_in_transit(service, api):
    user(api)
    group(api)
    assert code(lambda: cache(api, UserGroupIds=["team"], TransitEncryptionEnabled=False)) == "InvalidParameterCombination"
    assert not api.describe_replication_groups()["ReplicationGroups"]
    cache(api, TransitEncryptionEnabled=False)
    modify = lambda **changes: api.modify_replication_group(ReplicationGroupId="shop", ApplyImmediately=True, **changes)
    assert code(lambda: modify(UserGroupIdsToAdd=["team"])) == "InvalidParameterCombination"
    modify(TransitEncryptionEnabled=True, TransitEncryptionMode="preferred")
    available(api)
    modify(UserGroupIdsToAdd=["team"])
    assert may(available(api), "ann", PASSWORD, "SET", "app:1", "x")
    assert code(lambda: modify(TransitEncryptionEnabled=False)) == "InvalidParameterCombination"
    modify(TransitEncryptionEnabled=False, RemoveUserGroups=True)
    assert not available(api)["TransitEncryptionEnabled"]
