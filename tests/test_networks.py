"""EC2's networks through boto3, and security groups that nodes hold at their doors."""

import socket

import botocore.exceptions
import pytest

from service import endpoint_of, wait_until


def code_of(call, *arguments, **named):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **named)
    return caught.value.response["Error"]["Code"]


def answers(address, source="127.0.0.1"):
    """Whether a node answers a client that calls from there."""
    try:
        with socket.create_connection(address, timeout=5, source_address=(source, 0)) as client:
            client.sendall(b"PING\r\n")
            return client.recv(64) == b"+PONG\r\n"
    except OSError:
        return False


def test_the_default_network(service):
    ec2 = service.api("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 3
    assert service.info["default_subnet_id"] in [subnet["SubnetId"] for subnet in subnets]
    (group,) = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    )["SecurityGroups"]
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"][-1] for zone in zones] == ["a", "b", "c"]


def test_rules_are_held_at_the_node_at_once(own_service):
    ec2, cache = own_service.api("ec2"), own_service.client()
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    assert code_of(ec2.create_subnet, VpcId=vpc, CidrBlock="10.0.1.128/25") == "InvalidSubnet.Conflict"
    assert code_of(ec2.create_subnet, VpcId=vpc, CidrBlock="10.1.0.0/24") == "InvalidSubnet.Range"
    group = ec2.create_security_group(GroupName="cache", Description="cache", VpcId=vpc)["GroupId"]
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="own", CacheSubnetGroupDescription="own", SubnetIds=[subnet]
    )
    node = own_service.create("walled", CacheSubnetGroupName="own", SecurityGroupIds=[group])
    address = endpoint_of(node)
    assert not answers(address), "no rule admits anybody yet"
    rule = {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "IpRanges": [{"CidrIp": "127.0.0.2/32"}]}
    (made,) = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])["SecurityGroupRules"]
    wait_until("the rule admits its address", lambda: answers(address, "127.0.0.2"))
    assert not answers(address, "127.0.0.3")
    assert code_of(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[rule]) == "InvalidPermission.Duplicate"
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[{
        "SecurityGroupRuleId": made["SecurityGroupRuleId"],
        "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "CidrIpv4": "127.0.0.3/32"},
    }])
    wait_until("the changed rule admits the other", lambda: answers(address, "127.0.0.3"))
    wait_until("and the first one no more", lambda: not answers(address, "127.0.0.2"))
    ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[made["SecurityGroupRuleId"]])
    wait_until("without the rule nobody is admitted", lambda: not answers(address, "127.0.0.3"))
    whole = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[whole])
    wait_until("this machine is in the range of the VPC", lambda: answers(address))
    elsewhere = {"CacheClusterId": "x", "Engine": "redis", "CacheNodeType": "cache.t3.micro", "NumCacheNodes": 1}
    assert code_of(cache.create_cache_cluster, **elsewhere, SecurityGroupIds=[group]) == "InvalidParameterCombination", (
        "the subnet group is in another VPC")
    assert code_of(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    assert code_of(ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
    assert code_of(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
    own_service.delete("walled")
    cache.delete_cache_subnet_group(CacheSubnetGroupName="own")
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    assert code_of(ec2.describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"


def test_what_a_replication_group_uses_cannot_be_deleted(own_service):
    ec2, cache = own_service.api("ec2"), own_service.client()
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    cache.create_cache_subnet_group(CacheSubnetGroupName="own", CacheSubnetGroupDescription="own", SubnetIds=[subnet])
    cache.create_replication_group(
        ReplicationGroupId="shop", ReplicationGroupDescription="d", Engine="redis", CacheNodeType="cache.t3.micro",
        NumCacheClusters=1, CacheSubnetGroupName="own", SecurityGroupIds=[group],
    )
    assert code_of(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    assert code_of(ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
    waiter = {"ReplicationGroupId": "shop", "WaiterConfig": {"Delay": 1, "MaxAttempts": 300}}
    cache.get_waiter("replication_group_available").wait(**waiter)
    cache.delete_replication_group(ReplicationGroupId="shop")
    cache.get_waiter("replication_group_deleted").wait(**waiter)
    cache.delete_cache_subnet_group(CacheSubnetGroupName="own")
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)


def test_members_of_a_group_are_admitted(own_service):
    ec2 = own_service.api("ec2")
    clients = ec2.create_security_group(GroupName="clients", Description="c")["GroupId"]
    servers = ec2.create_security_group(GroupName="servers", Description="s")["GroupId"]
    pair = {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "UserIdGroupPairs": [{"GroupId": clients}]}
    ec2.authorize_security_group_ingress(GroupId=servers, IpPermissions=[pair])
    client = endpoint_of(own_service.create("client", SecurityGroupIds=[clients]))
    server = endpoint_of(own_service.create("server", SecurityGroupIds=[servers]))
    wait_until("a member is admitted", lambda: answers(server, client[0]))
    assert not answers(server)
    assert code_of(ec2.delete_security_group, GroupId=clients) == "DependencyViolation"


def test_tags_and_pages(service):
    ec2 = service.api("ec2")
    spec = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "one"}]}]
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24", TagSpecifications=spec)["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "team", "Value": "search"}])
    found = ec2.describe_vpcs(Filters=[{"Name": "tag:team", "Values": ["sea*"]}])["Vpcs"]
    assert [v["VpcId"] for v in found] == [vpc]
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "team"}])
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [vpc]}])["Tags"]
    assert [(tag["Key"], tag["Value"]) for tag in tags] == [("Name", "one")]
    pages = ec2.get_paginator("describe_subnets").paginate(PaginationConfig={"PageSize": 5})
    assert len([s for page in pages for s in page["Subnets"]]) >= 3
    assert code_of(ec2.describe_vpcs, Filters=[{"Name": "colour", "Values": ["red"]}]) == "InvalidParameterValue"
    ec2.delete_vpc(VpcId=vpc)
