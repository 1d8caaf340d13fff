"""IAM and STS through boto3: users with keys, what their policies let them do, roles and sessions."""

import json

import botocore.exceptions
import pytest

from service import wait_until


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def code_of(call, *arguments, **named):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **named)
    return caught.value.response["Error"]["Code"]


def keys(answer):
    key = answer["AccessKey"] if "AccessKey" in answer else answer["Credentials"]
    return {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
        "aws_session_token": key.get("SessionToken"),
    }


@pytest.fixture
def iam(service):
    return service.api("iam")


def make_user(iam, name, *statements):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
    return keys(iam.create_access_key(UserName=name))


def test_a_user_may_what_its_policies_say(service, iam):
    key = make_user(iam, "reader", {"Effect": "Allow", "Action": "elasticache:Describe*", "Resource": "*"})
    client = service.client(**key)
    client.describe_cache_subnet_groups()
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.create_cache_parameter_group(
            CacheParameterGroupName="denied", CacheParameterGroupFamily="redis7", Description="d"
        )
    error = caught.value.response["Error"]
    assert error["Code"] == "AccessDenied"
    assert "user/reader is not authorized to perform: elasticache:CreateCacheParameterGroup on resource: arn:aws:" in error["Message"]
    assert code_of(service.api("iam", **key).list_users) == "AccessDenied"
    assert code_of(service.api("ec2", **key).describe_vpcs) == "UnauthorizedOperation"
    identity = service.api("sts", **key).get_caller_identity()
    assert identity["Arn"].endswith(":user/reader") and identity["UserId"].startswith("AIDA")
    iam.attach_user_policy(UserName="reader", PolicyArn="arn:aws:iam::aws:policy/AmazonVPCFullAccess")
    service.api("ec2", **key).describe_vpcs()
    iam.update_access_key(UserName="reader", AccessKeyId=key["aws_access_key_id"], Status="Inactive")
    assert code_of(client.describe_cache_subnet_groups) == "InvalidClientTokenId"


@pytest.mark.parametrize("holds, fails", [
    ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}),
    ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
    ({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}),
    ({"StringEquals": {"aws:ResourceTag/team": "a"}}, {"StringEquals": {"aws:ResourceTag/team": "b"}}),
], ids=["time", "address", "region", "tag"])
def test_conditions_are_asked_on_every_call(service, iam, request, holds, fails):
    name = "condition-" + request.node.callspec.id
    statement = {"Effect": "Allow", "Action": "elasticache:DescribeCacheParameters", "Resource": "*"}
    client = service.client(**make_user(iam, name, {**statement, "Condition": holds}))
    service.client().create_cache_parameter_group(
        CacheParameterGroupName=name, CacheParameterGroupFamily="redis7", Description="d",
        Tags=[{"Key": "team", "Value": "a"}])
    client.describe_cache_parameters(CacheParameterGroupName=name)
    iam.put_user_policy(
        UserName=name, PolicyName="own", PolicyDocument=document({**statement, "Condition": fails}))
    assert code_of(client.describe_cache_parameters, CacheParameterGroupName=name) == "AccessDenied"


def test_groups_deny_and_boundaries(service, iam):
    key = make_user(iam, "worker", {"Effect": "Allow", "Action": "sts:*", "Resource": "*"})
    iam.create_group(GroupName="operators")
    iam.add_user_to_group(GroupName="operators", UserName="worker")
    iam.attach_group_policy(GroupName="operators", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    client = service.client(**key)
    client.describe_events()
    policy = iam.create_policy(
        PolicyName="no-events", PolicyDocument=document({"Effect": "Deny", "Action": "*:DescribeEvents", "Resource": "*"})
    )["Policy"]
    iam.attach_group_policy(GroupName="operators", PolicyArn=policy["Arn"])
    assert code_of(client.describe_events) == "AccessDenied"
    iam.create_policy_version(
        PolicyArn=policy["Arn"], SetAsDefault=True,
        PolicyDocument=document({"Effect": "Deny", "Action": "*:ListNothing", "Resource": "*"}),
    )
    client.describe_events()
    assert code_of(iam.delete_policy, PolicyArn=policy["Arn"]) == "DeleteConflict"
    iam.put_user_permissions_boundary(
        UserName="worker", PermissionsBoundary="arn:aws:iam::aws:policy/AmazonElastiCacheReadOnlyAccess"
    )
    client.describe_events()
    assert code_of(service.api("ec2", **key).describe_vpcs) == "UnauthorizedOperation"
    results = iam.simulate_principal_policy(
        PolicySourceArn=iam.get_user(UserName="worker")["User"]["Arn"],
        ActionNames=["elasticache:DescribeEvents", "ec2:DescribeVpcs"],
    )["EvaluationResults"]
    assert [result["EvalDecision"] for result in results] == ["allowed", "implicitDeny"]


def test_roles_and_sessions(service, iam):
    account = service.api("sts").get_caller_identity()["Account"]
    trust = document({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"})
    role = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust)["Role"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Effect"] == "Allow"
    iam.attach_role_policy(RoleName="deploy", PolicyArn="arn:aws:iam::aws:policy/AmazonElastiCacheReadOnlyAccess")
    key = make_user(iam, "ci", {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]})
    stranger = make_user(iam, "stranger", {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    assume = {"RoleArn": role["Arn"], "RoleSessionName": "run-1"}
    assert code_of(service.api("sts", **stranger).assume_role, **assume) == "AccessDenied"
    session = keys(service.api("sts", **key).assume_role(**assume))
    assert service.api("sts", **session).get_caller_identity()["Arn"].endswith(":assumed-role/deploy/run-1")
    service.client(**session).describe_events()
    assert code_of(service.client(**session).delete_cache_cluster, CacheClusterId="x") == "AccessDenied"
    assert code_of(service.client(**session | {"aws_session_token": None}).describe_events) == "InvalidClientTokenId"
    assert code_of(service.client(**session | {"aws_session_token": "x"}).describe_events) == "InvalidClientTokenId"
    limited = keys(service.api("sts", **key).assume_role(
        **assume, Policy=document({"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    ))
    assert code_of(service.client(**limited).describe_events) == "AccessDenied"
    token = keys(service.api("sts", **key).get_session_token())
    assert service.api("sts", **token).get_caller_identity()["Arn"].endswith(":user/ci")


def test_listing_and_mistakes(service, iam):
    for name in ("list-a", "list-b", "list-c"):
        iam.create_user(UserName=name, Path="/team/", Tags=[{"Key": "k", "Value": name}])
    pages = iam.get_paginator("list_users").paginate(PathPrefix="/team/", PaginationConfig={"PageSize": 2})
    assert [user["UserName"] for page in pages for user in page["Users"]] == ["list-a", "list-b", "list-c"]
    assert iam.list_user_tags(UserName="list-a")["Tags"] == [{"Key": "k", "Value": "list-a"}]
    iam.update_user(UserName="list-a", NewUserName="list-z")
    assert code_of(iam.get_user, UserName="list-a") == "NoSuchEntity"
    assert code_of(iam.create_user, UserName="LIST-Z") == "EntityAlreadyExists"
    assert code_of(iam.create_policy, PolicyName="bad", PolicyDocument="{}") == "MalformedPolicyDocument"
    iam.create_access_key(UserName="list-z")
    iam.create_access_key(UserName="list-z")
    assert code_of(iam.create_access_key, UserName="list-z") == "LimitExceeded"
    assert code_of(iam.delete_user, UserName="list-z") == "DeleteConflict"
    root = iam.list_access_keys()["AccessKeyMetadata"][0]["AccessKeyId"]
    assert code_of(iam.delete_access_key, AccessKeyId=root) == "DeleteConflict"
    wait_until("the key still works", iam.list_users)


def test_instance_profiles_and_what_users_do_not_have(own_service):
    iam = own_service.api("iam")
    trust = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}]}'
    iam.create_role(RoleName="machine", AssumeRolePolicyDocument=trust)
    made = iam.create_instance_profile(InstanceProfileName="Machine", Tags=[{"Key": "a", "Value": "b"}])["InstanceProfile"]
    assert made["Arn"].endswith(":instance-profile/Machine") and made["InstanceProfileId"].startswith("AIPA")
    assert made["Roles"] == [] and made["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.add_role_to_instance_profile(InstanceProfileName="Machine", RoleName="machine")
    with pytest.raises(iam.exceptions.LimitExceededException):
        iam.add_role_to_instance_profile(InstanceProfileName="Machine", RoleName="machine")
    [role] = iam.get_instance_profile(InstanceProfileName="machine")["InstanceProfile"]["Roles"]
    assert role["RoleName"] == "machine"
    for listed in (iam.list_instance_profiles(), iam.list_instance_profiles_for_role(RoleName="machine")):
        assert [profile["InstanceProfileName"] for profile in listed["InstanceProfiles"]] == ["Machine"]
    for call in (lambda: iam.delete_role(RoleName="machine"),
                 lambda: iam.delete_instance_profile(InstanceProfileName="Machine")):
        with pytest.raises(iam.exceptions.DeleteConflictException):
            call()
    iam.tag_instance_profile(InstanceProfileName="Machine", Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_instance_profile(InstanceProfileName="Machine", TagKeys=["a"])
    assert iam.list_instance_profile_tags(InstanceProfileName="Machine")["Tags"] == [{"Key": "c", "Value": "d"}]
    iam.remove_role_from_instance_profile(InstanceProfileName="Machine", RoleName="machine")
    iam.delete_role(RoleName="machine")
    iam.delete_instance_profile(InstanceProfileName="Machine")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_instance_profile(InstanceProfileName="Machine")

    iam.create_user(UserName="ann")
    assert iam.list_mfa_devices(UserName="ann")["MFADevices"] == []
    assert iam.list_ssh_public_keys(UserName="ann")["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(UserName="ann")["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName="ann").get("ServiceSpecificCredentials", []) == []
    for call in (lambda: iam.get_login_profile(UserName="ann"), lambda: iam.list_mfa_devices(UserName="nobody")):
        with pytest.raises(iam.exceptions.NoSuchEntityException):
            call()
    assert iam.list_account_aliases()["AccountAliases"] == []
    iam.create_account_alias(AccountAlias="larder")
    assert iam.list_account_aliases()["AccountAliases"] == ["larder"]
    iam.delete_account_alias(AccountAlias="larder")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.delete_account_alias(AccountAlias="larder")
