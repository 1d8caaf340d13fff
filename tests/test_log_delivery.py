"""Log delivery through boto3: slow logs and logs of nodes in the files that stand for CloudWatch Logs and Firehose."""

import json

import botocore.exceptions
import pytest
import redis

from service import endpoint_of, wait_until


def code(call):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"]


def to_group(log, group="/caches/slow", form="json"):
    details = {"CloudWatchLogsDetails": {"LogGroup": group}}
    return {"LogType": log, "DestinationType": "cloudwatch-logs", "DestinationDetails": details, "LogFormat": form}


def to_stream(log, stream="caches", form="text"):
    details = {"KinesisFirehoseDetails": {"DeliveryStream": stream}}
    return {"LogType": log, "DestinationType": "kinesis-firehose", "DestinationDetails": details, "LogFormat": form}


def client(cache):
    host, port = endpoint_of(cache)
    return redis.Redis(host, port, decode_responses=True, client_name="app")


def be_slow(node, name="secret"):
    """Something for the slow log."""
    node.execute_command("LPUSH", "list", *range(20000))
    node.execute_command("SORT", "list", "BY", f"{name}*", "STORE", "sorted")


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def states(configurations):
    return {one["LogType"]: one["Status"] for one in configurations}


SLOW = {"slowlog-log-slower-than": "1000"}


def parameter_group(api, name):
    api.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily="redis7", Description="d")
    values = [{"ParameterName": key, "ParameterValue": value} for key, value in SLOW.items()]
    api.modify_cache_parameter_group(CacheParameterGroupName=name, ParameterNameValues=values)


def test_a_cluster_delivers_its_logs(own_service):
    service, api = own_service, own_service.client()
    parameter_group(api, "slow")
    made = service.create("books", CacheParameterGroupName="slow",
                          LogDeliveryConfigurations=[to_group("slow-log"), to_stream("engine-log")], wait=False)
    assert states(made["LogDeliveryConfigurations"]) == {"slow-log": "enabling", "engine-log": "enabling"}
    assert len(made["PendingModifiedValues"]["LogDeliveryConfigurations"]) == 2
    cache = service.available("books")

    def active():
        found = service.describe("books")["LogDeliveryConfigurations"]
        return states(found) == {"slow-log": "active", "engine-log": "active"} and found

    [slow, _] = wait_until("both are active", active)
    assert slow["DestinationDetails"] == {"CloudWatchLogsDetails": {"LogGroup": "/caches/slow"}}
    assert "LogDeliveryConfigurations" not in service.describe("books")["PendingModifiedValues"]
    path = service.folder / "logs/cloudwatch-logs/%2Fcaches%2Fslow/elasticache/redis/books/0001/slow-log"
    be_slow(client(cache))

    def sorted_once():
        return [entry for entry in map(json.loads, lines(path)) if entry["Command"].startswith("SORT ")]

    [entry] = wait_until("the command is delivered", sorted_once)
    assert (entry["CacheClusterId"], entry["CacheNodeId"], entry["ClientName"]) == ("books", "0001", "app")
    assert entry["Command"] == "SORT ... (5 more arguments)" and entry["Duration (us)"] >= 1000
    assert "secret" not in path.read_text()
    engine = service.folder / "logs/kinesis-firehose/caches"
    wait_until("what the node logged is delivered", lambda: any("Ready to accept" in line for line in lines(engine)))
    assert all(line.startswith("books/0001:M ") and " UTC " in line for line in lines(engine))

    # A later delivery shows that the one before is recorded: a killed service makes that not again. It may repeat the last.
    be_slow(client(cache), name="more")
    wait_until("the next one is delivered", lambda: len(sorted_once()) == 2)
    service.kill()
    be_slow(client(cache), name="again")
    service.start()
    distinct = lambda: {one["Id"] for one in sorted_once()}
    wait_until("what came meanwhile is delivered", lambda: len(distinct()) == 3)
    assert [one["Id"] for one in sorted_once()].count(entry["Id"]) == 1


def test_deliveries_change_and_end(own_service):
    service, api = own_service, own_service.client()
    service.create("books")
    change = {"CacheClusterId": "books", "ApplyImmediately": True}
    assert code(lambda: api.modify_cache_cluster(CacheClusterId="books", LogDeliveryConfigurations=[to_group("slow-log")])
                ) == "InvalidParameterCombination"
    for bad in ({**to_group("slow-log"), "LogType": "audit-log"}, {**to_group("slow-log"), "LogFormat": "xml"},
                to_group("slow-log", "a b"), to_stream("slow-log", "..")):
        assert code(lambda: api.modify_cache_cluster(**change, LogDeliveryConfigurations=[bad])) == "InvalidParameterValue"
    assert code(lambda: service.create("pages", engine="memcached", LogDeliveryConfigurations=[to_group("slow-log")])
                ) == "InvalidParameterCombination"
    assert code(lambda: service.create("old", EngineVersion="5.0.6", LogDeliveryConfigurations=[to_group("slow-log")])
                ) == "InvalidParameterCombination"

    def status():
        return states(service.describe("books")["LogDeliveryConfigurations"])

    # A file where a folder must be: the delivery says so, and works when that is gone.
    (service.folder / "logs").mkdir()
    obstacle = service.folder / "logs/cloudwatch-logs"
    obstacle.write_text("")
    api.modify_cache_cluster(**change, LogDeliveryConfigurations=[to_group("engine-log")])
    wait_until("it fails", lambda: status() == {"engine-log": "error"})
    [failed] = service.describe("books")["LogDeliveryConfigurations"]
    assert "cannot be written" in failed["Message"]
    obstacle.unlink()
    wait_until("it works", lambda: status() == {"engine-log": "active"})
    api.modify_cache_cluster(**change, LogDeliveryConfigurations=[to_stream("engine-log")])
    wait_until("the other one is active", lambda: status() == {"engine-log": "active"} and service.describe("books")[
        "LogDeliveryConfigurations"][0]["DestinationType"] == "kinesis-firehose")
    off = {"LogType": "engine-log", "Enabled": False}
    ended = api.modify_cache_cluster(**change, LogDeliveryConfigurations=[off])["CacheCluster"]
    assert states(ended["LogDeliveryConfigurations"]) == {"engine-log": "disabling"}
    wait_until("it has ended", lambda: status() == {})
    service.delete("books")


def test_a_group_delivers_the_logs_of_its_members(own_service):
    service, api = own_service, own_service.client()
    parameter_group(api, "slow")
    api.create_replication_group(
        ReplicationGroupId="shop", ReplicationGroupDescription="d", NumCacheClusters=1, CacheNodeType="cache.t3.micro",
        Engine="redis", CacheParameterGroupName="slow", LogDeliveryConfigurations=[to_stream("slow-log", "all", "json")])

    def group():
        return api.describe_replication_groups(ReplicationGroupId="shop")["ReplicationGroups"][0]

    wait_until("it is active", lambda: states(group()["LogDeliveryConfigurations"]) == {"slow-log": "active"})
    member = service.available("shop-001")
    assert member["ReplicationGroupLogDeliveryEnabled"] and member["LogDeliveryConfigurations"] == []
    be_slow(client(member))
    path = service.folder / "logs/kinesis-firehose/all"
    wait_until("the command is delivered", lambda: any('"CacheClusterId":"shop-001"' in line for line in lines(path)))
    wait_until("the group can be changed", lambda: group()["Status"] == "available")
    api.modify_replication_group(ReplicationGroupId="shop", ApplyImmediately=True,
                                 LogDeliveryConfigurations=[{"LogType": "slow-log", "Enabled": False}])
    wait_until("it has ended", lambda: group()["LogDeliveryConfigurations"] == [])


def test_who_delivers_logs_needs_permission_where_they_go(own_service):
    service, iam = own_service, own_service.api("iam")
    service.create("books")
    iam.create_user(UserName="worker")
    key = iam.create_access_key(UserName="worker")["AccessKey"]
    worker = service.client(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])

    def may(*actions):
        statement = {"Effect": "Allow", "Action": ["elasticache:*", *actions], "Resource": "*"}
        iam.put_user_policy(UserName="worker", PolicyName="p",
                            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    deliver = lambda to: lambda: worker.modify_cache_cluster(
        CacheClusterId="books", LogDeliveryConfigurations=[to], ApplyImmediately=True)
    may()
    assert code(deliver(to_group("slow-log"))) == "AccessDenied"
    worker.modify_cache_cluster(CacheClusterId="books", AutoMinorVersionUpgrade=False)
    may("logs:*LogDeliver*")
    assert code(deliver(to_group("slow-log"))) == "AccessDenied", "the log group takes more"
    assert code(deliver(to_stream("slow-log"))) == "AccessDenied", "and so does the stream"
    may("logs:*LogDeliver*", "firehose:TagDeliveryStream")
    deliver(to_stream("slow-log"))()
    service.available("books")
    may("logs:*")
    deliver(to_group("slow-log"))()
    deliver({"LogType": "slow-log", "Enabled": False})()
