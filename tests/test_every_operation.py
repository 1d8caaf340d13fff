"""Every operation of ElastiCache as boto3 knows it: pages of all lists, waiters, and with wrong parameters an error that the
API's own model has for that operation, with its status and a message that names what is wrong."""

import botocore.exceptions
import pytest
from botocore import xform_name

WAITERS = {"cache_cluster_available", "cache_cluster_deleted", "replication_group_available", "replication_group_deleted"}
# What is not available: whatever is asked, the action is not known.
NOT_AVAILABLE = ("Serverless", "GlobalReplicationGroup", "Migration", "ShardConfiguration")
# Errors that any operation of AWS may give, and that of a snapshot which a new cluster names: the model does not list them.
COMMON = {"SnapshotNotFoundFault": 404, "MissingParameter": 400, "InvalidParameterValue": 400, "InvalidParameterCombination": 400}

RESERVED = "a1b2c3d4-0000-4000-8000-000000000000"
TAGS = [{"Key": f"k{n}", "Value": "v"} for n in range(51)]
ARN = "arn:aws:elasticache:us-east-1:000000000000:"
CLUSTER = {"CacheClusterId": "nobody"}
GROUP = {"ReplicationGroupId": "nobody"}
MADE = {"CacheClusterId": "made", "Engine": "redis", "CacheNodeType": "cache.t3.micro", "NumCacheNodes": 1}
GROUP_MADE = {"ReplicationGroupId": "made", "ReplicationGroupDescription": "d", "CacheNodeType": "cache.t3.micro"}
USER = {"UserId": "made", "UserName": "made", "Engine": "redis", "AccessString": "on", "NoPasswordRequired": True}
SECURITY = {"CacheSecurityGroupName": "nobody"}
EC2 = {"EC2SecurityGroupName": "g", "EC2SecurityGroupOwnerId": "000000000000"}

# By operation: parameters that are wrong, the code, and a word that the message must have.
WRONG = {
    "AddTagsToResource": [
        ({"ResourceName": ARN + "cluster:nobody", "Tags": TAGS[:1]}, "CacheClusterNotFound", "nobody"),
        ({"ResourceName": ARN + "snapshot:nobody", "Tags": TAGS[:1]}, "SnapshotNotFoundFault", "nobody"),
        ({"ResourceName": ARN + "user:nobody", "Tags": TAGS[:1]}, "UserNotFound", "nobody"),
        ({"ResourceName": ARN + "usergroup:nobody", "Tags": TAGS[:1]}, "UserGroupNotFound", "nobody"),
        ({"ResourceName": ARN + "replicationgroup:nobody", "Tags": TAGS[:1]}, "ReplicationGroupNotFoundFault", "nobody"),
        ({"ResourceName": ARN + "subnetgroup:nobody", "Tags": TAGS[:1]}, "CacheSubnetGroupNotFoundFault", "nobody"),
        ({"ResourceName": ARN + "parametergroup:nobody", "Tags": TAGS[:1]}, "CacheParameterGroupNotFound", "nobody"),
        ({"ResourceName": "nonsense", "Tags": TAGS[:1]}, "InvalidARN", "nonsense"),
    ],
    "AuthorizeCacheSecurityGroupIngress": [({**SECURITY, **EC2}, "InvalidParameterValue", "")],
    "BatchApplyUpdateAction": [
        ({"ServiceUpdateName": "nobody", "CacheClusterIds": ["a"]}, "ServiceUpdateNotFoundFault", "nobody")],
    "BatchStopUpdateAction": [
        ({"ServiceUpdateName": "nobody", "CacheClusterIds": ["a"]}, "ServiceUpdateNotFoundFault", "nobody")],
    "CopySnapshot": [
        ({"SourceSnapshotName": "nobody", "TargetSnapshotName": "t"}, "SnapshotNotFoundFault", "nobody"),
        ({"SourceSnapshotName": "nobody", "TargetSnapshotName": "9t"}, "InvalidParameterValue", "TargetSnapshotName")],
    "CreateCacheCluster": [
        ({**MADE, "CacheClusterId": "9lives"}, "InvalidParameterValue", ""),
        ({**MADE, "CacheNodeType": "cache.t99.huge"}, "InvalidParameterValue", "cache.t99.huge"),
        ({**MADE, "CacheParameterGroupName": "nobody"}, "CacheParameterGroupNotFound", "nobody"),
        ({**MADE, "CacheSubnetGroupName": "nobody"}, "CacheSubnetGroupNotFoundFault", "nobody"),
        ({**MADE, "SnapshotName": "nobody"}, "SnapshotNotFoundFault", "nobody"),
        ({"CacheClusterId": "made", "ReplicationGroupId": "nobody"}, "ReplicationGroupNotFoundFault", "nobody"),
        ({**MADE, "SecurityGroupIds": ["sg-nobody"]}, "InvalidParameterValue", "sg-nobody"),
        ({**MADE, "Tags": TAGS}, "TagQuotaPerResourceExceeded", ""),
        ({**MADE, "NotificationTopicArn": "arn:aws:sns:us-east-1:1:t"}, "InvalidParameterCombination", "NotificationTopicArn")],
    "CreateCacheParameterGroup": [
        ({"CacheParameterGroupName": "made", "CacheParameterGroupFamily": "redis99", "Description": "d"}, "InvalidParameterValue", "redis99"),
        ({"CacheParameterGroupName": "default.x", "CacheParameterGroupFamily": "redis7", "Description": "d"}, "InvalidParameterValue", "")],
    "CreateCacheSecurityGroup": [({"CacheSecurityGroupName": "made", "Description": "d"}, "InvalidParameterValue", "")],
    "CreateCacheSubnetGroup": [
        ({"CacheSubnetGroupName": "made", "CacheSubnetGroupDescription": "d", "SubnetIds": ["subnet-nobody"]}, "InvalidSubnet", "subnet-nobody")],
    "CreateReplicationGroup": [
        ({**GROUP_MADE, "ReplicationGroupId": "9x"}, "InvalidParameterValue", ""),
        ({**GROUP_MADE, "CacheParameterGroupName": "nobody"}, "CacheParameterGroupNotFound", "nobody"),
        ({**GROUP_MADE, "CacheSubnetGroupName": "nobody"}, "CacheSubnetGroupNotFoundFault", "nobody"),
        ({"ReplicationGroupId": "made", "ReplicationGroupDescription": "d", "PrimaryClusterId": "nobody"}, "CacheClusterNotFound", "nobody"),
        ({**GROUP_MADE, "UserGroupIds": ["nobody"], "TransitEncryptionEnabled": True}, "UserGroupNotFound", "nobody"),
        ({**GROUP_MADE, "Tags": TAGS}, "TagQuotaPerResourceExceeded", ""),
        ({**GROUP_MADE, "ClusterMode": "enabled"}, "InvalidParameterCombination", "ClusterMode"),
        ({**GROUP_MADE, "NumNodeGroups": 2}, "InvalidParameterCombination", "NumNodeGroups")],
    "CreateSnapshot": [
        ({**CLUSTER, "SnapshotName": "made"}, "CacheClusterNotFound", "nobody"),
        ({**GROUP, "SnapshotName": "made"}, "ReplicationGroupNotFoundFault", "nobody"),
        ({"SnapshotName": "made"}, "InvalidParameterValue", "CacheClusterId"),
        ({**CLUSTER, **GROUP, "SnapshotName": "made"}, "InvalidParameterCombination", "CacheClusterId")],
    "CreateUser": [
        ({**USER, "Engine": "oracle"}, "InvalidParameterValue", "oracle"),
        ({**USER, "AccessString": "on nonsense"}, "InvalidParameterValue", ""),
        ({**USER, "UserId": "default"}, "UserAlreadyExists", "default"),
        ({**USER, "Tags": TAGS}, "TagQuotaPerResourceExceeded", "")],
    "CreateUserGroup": [
        ({"UserGroupId": "made", "Engine": "redis", "UserIds": ["default", "nobody"]}, "UserNotFound", "nobody"),
        ({"UserGroupId": "made", "Engine": "redis", "UserIds": []}, "DefaultUserRequired", "")],
    "DecreaseReplicaCount": [
        ({**GROUP, "NewReplicaCount": 1, "ApplyImmediately": True}, "ReplicationGroupNotFoundFault", "nobody"),
        ({**GROUP, "NewReplicaCount": 1, "ApplyImmediately": False}, "InvalidParameterValue", "ApplyImmediately")],
    "DeleteCacheCluster": [(CLUSTER, "CacheClusterNotFound", "nobody")],
    "DeleteCacheParameterGroup": [
        ({"CacheParameterGroupName": "nobody"}, "CacheParameterGroupNotFound", "nobody"),
        ({"CacheParameterGroupName": "default.redis7"}, "InvalidCacheParameterGroupState", "default.redis7")],
    "DeleteCacheSecurityGroup": [(SECURITY, "InvalidParameterValue", "")],
    "DeleteCacheSubnetGroup": [({"CacheSubnetGroupName": "nobody"}, "CacheSubnetGroupNotFoundFault", "nobody")],
    "DeleteReplicationGroup": [
        (GROUP, "ReplicationGroupNotFoundFault", "nobody"),
        ({**GROUP, "RetainPrimaryCluster": True, "FinalSnapshotIdentifier": "s"}, "InvalidParameterCombination", "FinalSnapshotIdentifier")],
    "DeleteSnapshot": [({"SnapshotName": "nobody"}, "SnapshotNotFoundFault", "nobody")],
    "DeleteUser": [
        ({"UserId": "nobody"}, "UserNotFound", "nobody"), ({"UserId": "default"}, "InvalidParameterValue", "default")],
    "DeleteUserGroup": [({"UserGroupId": "nobody"}, "UserGroupNotFound", "nobody")],
    "DescribeCacheClusters": [
        (CLUSTER, "CacheClusterNotFound", "nobody"), ({"MaxRecords": 101}, "InvalidParameterValue", "MaxRecords"),
        ({"Marker": "\x01"}, "InvalidParameterValue", "Marker")],
    "DescribeCacheEngineVersions": [({"MaxRecords": 1}, "InvalidParameterValue", "MaxRecords")],
    "DescribeCacheParameterGroups": [({"CacheParameterGroupName": "nobody"}, "CacheParameterGroupNotFound", "nobody")],
    "DescribeCacheParameters": [
        ({"CacheParameterGroupName": "nobody"}, "CacheParameterGroupNotFound", "nobody"),
        ({"CacheParameterGroupName": "default.redis7", "Source": "nobody"}, "InvalidParameterValue", "Source")],
    "DescribeCacheSecurityGroups": [(SECURITY, "CacheSecurityGroupNotFound", "nobody")],
    "DescribeCacheSubnetGroups": [({"CacheSubnetGroupName": "nobody"}, "CacheSubnetGroupNotFoundFault", "nobody")],
    "DescribeEngineDefaultParameters": [({"CacheParameterGroupFamily": "redis99"}, "InvalidParameterValue", "redis99")],
    "DescribeEvents": [
        ({"SourceIdentifier": "x"}, "InvalidParameterCombination", "SourceType"),
        ({"SourceType": "x"}, "InvalidParameterValue", ""), ({"Duration": 0}, "InvalidParameterValue", "Duration")],
    "DescribeReplicationGroups": [(GROUP, "ReplicationGroupNotFoundFault", "nobody")],
    "DescribeReservedCacheNodes": [({"ReservedCacheNodeId": "nobody"}, "ReservedCacheNodeNotFound", "nobody")],
    "DescribeReservedCacheNodesOfferings": [
        ({"ReservedCacheNodesOfferingId": RESERVED}, "ReservedCacheNodesOfferingNotFound", RESERVED)],
    "DescribeServiceUpdates": [({"ServiceUpdateName": "nobody"}, "ServiceUpdateNotFoundFault", "nobody")],
    "DescribeSnapshots": [
        ({"SnapshotName": "nobody"}, "SnapshotNotFoundFault", "nobody"),
        ({"SnapshotSource": "nobody"}, "InvalidParameterValue", "nobody")],
    "DescribeUpdateActions": [({"UpdateActionStatus": ["nobody"]}, "InvalidParameterValue", "nobody")],
    "DescribeUserGroups": [({"UserGroupId": "nobody"}, "UserGroupNotFound", "nobody")],
    "DescribeUsers": [
        ({"UserId": "nobody"}, "UserNotFound", "nobody"),
        ({"Filters": [{"Name": "nobody", "Values": ["x"]}]}, "InvalidParameterValue", "nobody")],
    "IncreaseReplicaCount": [
        ({**GROUP, "NewReplicaCount": 1, "ApplyImmediately": True}, "ReplicationGroupNotFoundFault", "nobody"),
        ({**GROUP, "NewReplicaCount": 1, "ApplyImmediately": False}, "InvalidParameterValue", "ApplyImmediately")],
    "ListAllowedNodeTypeModifications": [
        (CLUSTER, "CacheClusterNotFound", "nobody"), (GROUP, "ReplicationGroupNotFoundFault", "nobody"),
        ({}, "InvalidParameterCombination", "CacheClusterId")],
    "ListTagsForResource": [
        ({"ResourceName": ARN + "cluster:nobody"}, "CacheClusterNotFound", "nobody"),
        ({"ResourceName": "nonsense"}, "InvalidARN", "nonsense")],
    "ModifyCacheCluster": [(CLUSTER, "CacheClusterNotFound", "nobody")],
    "ModifyCacheParameterGroup": [
        ({"CacheParameterGroupName": "nobody", "ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "1"}]},
         "CacheParameterGroupNotFound", "nobody"),
        ({"CacheParameterGroupName": "default.redis7", "ParameterNameValues": [{"ParameterName": "timeout", "ParameterValue": "1"}]},
         "InvalidCacheParameterGroupState", "default.redis7")],
    "ModifyCacheSubnetGroup": [
        ({"CacheSubnetGroupName": "nobody", "CacheSubnetGroupDescription": "d"}, "CacheSubnetGroupNotFoundFault", "nobody")],
    "ModifyReplicationGroup": [
        ({**GROUP, "ReplicationGroupDescription": "d"}, "ReplicationGroupNotFoundFault", "nobody"),
        (GROUP, "InvalidParameterCombination", "")],
    "ModifyUser": [
        ({"UserId": "nobody", "AccessString": "on"}, "UserNotFound", "nobody"),
        ({"UserId": "default", "AccessString": "on"}, "InvalidParameterValue", "default")],
    "ModifyUserGroup": [
        ({"UserGroupId": "nobody", "UserIdsToAdd": ["x"]}, "UserGroupNotFound", "nobody"),
        ({"UserGroupId": "nobody"}, "InvalidParameterCombination", "")],
    "PurchaseReservedCacheNodesOffering": [
        ({"ReservedCacheNodesOfferingId": RESERVED}, "ReservedCacheNodesOfferingNotFound", RESERVED)],
    "RebootCacheCluster": [({**CLUSTER, "CacheNodeIdsToReboot": ["0001"]}, "CacheClusterNotFound", "nobody")],
    "RemoveTagsFromResource": [
        ({"ResourceName": ARN + "cluster:nobody", "TagKeys": ["k"]}, "CacheClusterNotFound", "nobody"),
        ({"ResourceName": "nonsense", "TagKeys": ["k"]}, "InvalidARN", "nonsense")],
    "ResetCacheParameterGroup": [
        ({"CacheParameterGroupName": "nobody", "ResetAllParameters": True}, "CacheParameterGroupNotFound", "nobody")],
    "RevokeCacheSecurityGroupIngress": [({**SECURITY, **EC2}, "InvalidParameterValue", "")],
    "TestFailover": [({**GROUP, "NodeGroupId": "0001"}, "ReplicationGroupNotFoundFault", "nobody")],
}


@pytest.fixture(scope="module")
def api(service):
    return service.client()


def refusal(api, operation, parameters):
    """(code, status, message) of a call that is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(api, xform_name(operation))(**parameters)
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def is_available(operation):
    return not any(word in operation for word in NOT_AVAILABLE)


def modelled(api, operation):
    """The codes that the model has for an operation, with their status."""
    errors = [shape.metadata["error"] for shape in api.meta.service_model.operation_model(operation).error_shapes]
    return {error["code"]: error["httpStatusCode"] for error in errors}


def test_the_list_of_operations_is_whole(api):
    operations = set(api.meta.service_model.operation_names)
    assert {operation for operation in operations if is_available(operation)} == set(WRONG)
    assert set(api.waiter_names) == WAITERS, "tests of clusters and groups use all of them"


@pytest.mark.parametrize("operation", sorted(WRONG))
def test_what_is_wrong_is_told_as_the_model_has_it(api, operation):
    statuses = COMMON | modelled(api, operation)
    for parameters, expected, word in WRONG[operation]:
        code, status, message = refusal(api, operation, parameters)
        assert (code, status) == (expected, statuses.get(expected)), (parameters, message)
        assert message and word.lower() in message.lower(), (parameters, message)


@pytest.mark.parametrize("operation", sorted(WRONG))
def test_what_must_be_given_is_missed(api, operation):
    shape = api.meta.service_model.operation_model(operation).input_shape
    if shape.required_members:
        code, status, message = refusal(api, operation, {})
        assert (code, status) == ("MissingParameter", 400), message
        assert any(name in message for name in shape.required_members), message


def test_what_is_not_available_is_no_action(api):
    for operation in filter(lambda name: not is_available(name), api.meta.service_model.operation_names):
        code, status, message = refusal(api, operation, {})
        assert (code, status) == ("InvalidAction", 400) and operation in message, operation


def test_every_list_comes_in_pages(service, api):
    needs = {
        "DescribeCacheParameters": {"CacheParameterGroupName": "default.redis7"},
        "DescribeEngineDefaultParameters": {"CacheParameterGroupFamily": "redis7"},
    }
    for number in range(25):
        api.create_user(**{**USER, "UserId": f"paged-{number:02}", "UserName": f"paged-{number:02}"})
        api.create_user_group(UserGroupId=f"paged-{number:02}", Engine="redis", UserIds=["default"])
        api.create_cache_subnet_group(CacheSubnetGroupName=f"paged-{number:02}", CacheSubnetGroupDescription="d",
                                      SubnetIds=[service.info["default_subnet_id"]])
        api.create_cache_parameter_group(CacheParameterGroupName=f"paged-{number:02}", CacheParameterGroupFamily="redis7",
                                         Description="d")
    # Lists that are surely longer than a page.
    long = {"DescribeUsers", "DescribeUserGroups", "DescribeCacheSubnetGroups", "DescribeCacheParameterGroups",
            "DescribeCacheParameters", "DescribeEngineDefaultParameters", "DescribeReservedCacheNodesOfferings",
            "DescribeCacheEngineVersions"}
    for operation in filter(is_available, api.meta.service_model.operation_names):
        if not api.can_paginate(xform_name(operation)) or operation == "DescribeCacheSecurityGroups":
            continue
        paginator = api.get_paginator(xform_name(operation))
        pages = paginator.paginate(PaginationConfig={"PageSize": 20}, **needs.get(operation, {}))
        [key] = paginator.result_keys
        found = [[repr(item) for item in key.search(page) or []] for page in pages]
        assert all(len(page) == 20 for page in found[:-1]) and len(found[-1]) <= 20, operation
        assert len(found) > 1 or operation not in long, operation
        everything = [item for page in found for item in page]
        assert len(everything) == len(set(everything)), f"{operation} tells something twice"
    for number in range(25):
        api.delete_user_group(UserGroupId=f"paged-{number:02}")
        api.delete_user(UserId=f"paged-{number:02}")
        api.delete_cache_subnet_group(CacheSubnetGroupName=f"paged-{number:02}")
        api.delete_cache_parameter_group(CacheParameterGroupName=f"paged-{number:02}")
