"""CloudWatch through boto3 (CBOR), through JSON and Query as older clients speak it, and the page for Prometheus."""

import datetime
import json
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import pytest
import redis

from service import endpoint_of, wait_until

# Nodes are sampled at the turn of each minute.
SAMPLED_S = 400


REDIS = {"CacheNodeType": "cache.t3.micro", "Engine": "redis"}
# Alarms on a cluster: one that goes off, and one of each other kind.
COMMON = {"EvaluationPeriods": 1, "Threshold": 99.0, "ComparisonOperator": "GreaterThanOrEqualToThreshold"}
RECKONED = [{"Name": "CacheClusterId", "Value": "reckoned"}]


def metric_of(name, dimensions):
    return {"Namespace": "AWS/ElastiCache", "MetricName": name, "Dimensions": dimensions}


def alarm(name, **changes):
    return {
        "AlarmName": name, "Namespace": "AWS/ElastiCache", "MetricName": "CurrConnections", "Period": 60,
        "Dimensions": [{"Name": "CacheClusterId", "Value": name}], "Statistic": "Maximum", "EvaluationPeriods": 1,
        "Threshold": 0.0, "ComparisonOperator": "GreaterThanOrEqualToThreshold", **changes,
    }


QUERIES = [
    {"Id": "c", "MetricStat": {"Metric": metric_of("CurrConnections", RECKONED), "Period": 60, "Stat": "Maximum"},
     "ReturnData": False},
    {"Id": "e", "Expression": "FILL(c, 0) + 100", "Label": "more", "ReturnData": True},
]


@pytest.fixture(scope="module")
def cloudwatch(service):
    """All that these tests look at, made before the first of them: what takes a minute takes the same minute for all."""
    cloudwatch, api = service.api("cloudwatch"), service.client()
    api.create_replication_group(ReplicationGroupId="grouped", ReplicationGroupDescription="d", NumCacheClusters=1, **REDIS)
    for name in ("measured", "reckoned", "watched"):
        service.create(name, wait=False)
    with redis.Redis(*endpoint_of(service.available("measured"))) as client:
        client.set("k", "v")
        client.get("nothing")
        client.execute_command("LARDER.OUTCOME", "k", "STALE", 2)
    cloudwatch.put_metric_alarm(AlarmName="reckoned", Metrics=QUERIES, **COMMON)
    cloudwatch.put_metric_alarm(AlarmName="p99", **metric_of("CurrConnections", RECKONED), Period=60, ExtendedStatistic="p99", **COMMON)
    cloudwatch.put_metric_alarm(**alarm("watched"))
    return cloudwatch


def signed(service, headers, body):
    """A call to CloudWatch as clients of other ages make it."""
    session = boto3.Session(service.info["access_key_id"], service.info["secret_access_key"])
    request = botocore.awsrequest.AWSRequest("POST", service.endpoint + "/", data=body, headers=headers)
    botocore.auth.SigV4Auth(session.get_credentials(), "monitoring", "us-east-1").add_auth(request)
    raw = urllib.request.Request(service.endpoint + "/", data=body.encode(), headers=dict(request.headers))
    with urllib.request.urlopen(raw, timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_metrics_of_a_node(service, cloudwatch):
    dimensions = [{"Name": "CacheClusterId", "Value": "measured"}, {"Name": "CacheNodeId", "Value": "0001"}]
    listed = lambda: cloudwatch.list_metrics(Namespace="AWS/ElastiCache", MetricName="CurrItems", Dimensions=dimensions)["Metrics"]
    wait_until("the node is sampled", listed, SAMPLED_S, 1)
    now = datetime.datetime.now(datetime.timezone.utc)
    span = {"StartTime": now - datetime.timedelta(hours=1), "EndTime": now + datetime.timedelta(hours=1)}

    def value():
        metric = {"Namespace": "AWS/ElastiCache", "MetricName": "CurrItems", "Dimensions": dimensions}
        stat = {"Metric": metric, "Period": 60, "Stat": "Maximum"}
        answer = cloudwatch.get_metric_data(MetricDataQueries=[{"Id": "a", "MetricStat": stat}], **span)
        return answer["MetricDataResults"][0]["Values"]

    wait_until("the key is counted", lambda: 1.0 in value(), SAMPLED_S, 1)
    statistics = cloudwatch.get_metric_statistics(
        Namespace="AWS/ElastiCache", MetricName="BytesUsedForCache", Dimensions=dimensions[:1], Period=300,
        Statistics=["Average", "SampleCount"], **span,
    )
    point = statistics["Datapoints"][0]
    assert point["Unit"] == "Bytes" and point["Average"] > 0 and isinstance(point["Timestamp"], datetime.datetime)
    with urllib.request.urlopen(service.endpoint + "/metrics", timeout=30) as page:
        text = page.read().decode()
    assert 'larder_curr_items{cache_cluster_id="measured",cache_node_id="0001"}' in text
    for name in ("misses_evicted", "misses_expired", "misses_deleted", "misses_flushed", "misses_unknown", "hits_stale", "hits_negative"):
        assert f'larder_cache_{name}{{cache_cluster_id="measured",cache_node_id="0001"}}' in text
    for name in ("CacheMissesUnknown", "CacheHitsStale"):
        told = lambda: sum(point["Sum"] for point in cloudwatch.get_metric_statistics(
            Namespace="AWS/ElastiCache", MetricName=name, Dimensions=dimensions[:1], Period=3600, Statistics=["Sum"], **span)["Datapoints"])
        wait_until(f"{name} is told", lambda: told() > 0, SAMPLED_S, 1)
    queries = [
        {"Id": "items", "MetricStat": {"Metric": metric_of("CurrItems", dimensions), "Period": 60, "Stat": "p90"},
         "ReturnData": False},
        {"Id": "double", "Expression": "items * 2 + METRIC_COUNT(METRICS()) - 1", "Label": "twice"},
    ]
    [result] = cloudwatch.get_metric_data(MetricDataQueries=queries, **span)["MetricDataResults"]
    assert (result["Id"], result["Label"]) == ("double", "twice") and 2.0 in result["Values"]
    for expression in ("nothing + 1", "1 + 1", "SEARCH('x', 'Sum', 60)", "double", "items +"):
        broken = [queries[0], {"Id": "double", "Expression": expression}]
        with pytest.raises(botocore.exceptions.ClientError, match="The expression of double"):
            cloudwatch.get_metric_data(MetricDataQueries=broken, **span)
    [percentiles, *_] = cloudwatch.get_metric_statistics(
        Namespace="AWS/ElastiCache", MetricName="CurrItems", Dimensions=dimensions, Period=3600,
        ExtendedStatistics=["p100", "p50"], **span)["Datapoints"]
    assert percentiles["ExtendedStatistics"]["p100"] >= percentiles["ExtendedStatistics"]["p50"] >= 0


@pytest.mark.slow
def test_metrics_of_a_group(cloudwatch):
    group = {"Name": "ReplicationGroupId", "Value": "grouped"}

    def listed():
        found = cloudwatch.list_metrics(Namespace="AWS/ElastiCache", Dimensions=[group])["Metrics"]
        return {(metric["MetricName"], *(d["Value"] for d in metric["Dimensions"])) for metric in found}

    found = wait_until("the group is sampled", listed, SAMPLED_S, 1)
    assert {("EngineCPUUtilization", "grouped"), ("EngineCPUUtilization", "grouped", "Primary"),
            ("EngineCPUUtilization", "grouped", "0001", "Primary")} <= found
    assert not any(name == "CurrItems" for name, *_ in found)
    now = datetime.datetime.now(datetime.timezone.utc)
    for dimensions, is_there in (([group], True), ([group, {"Name": "Role", "Value": "Primary"}], True),
                                 ([group, {"Name": "Role", "Value": "Replica"}], False)):
        points = cloudwatch.get_metric_statistics(
            **metric_of("EngineCPUUtilization", dimensions), Period=60, Statistics=["Maximum"],
            StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(hours=1))["Datapoints"]
        assert bool(points) == is_there, dimensions


@pytest.mark.slow
def test_alarms_on_expressions_and_percentiles(cloudwatch):
    alarms = {alarm["AlarmName"]: alarm for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert alarms["reckoned"]["Metrics"] == QUERIES and "MetricName" not in alarms["reckoned"]
    assert alarms["p99"]["ExtendedStatistic"] == "p99" and "Statistic" not in alarms["p99"]
    states = lambda: {alarm["AlarmName"]: alarm["StateValue"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
    wait_until("both are judged", lambda: states()["reckoned"] == "ALARM" and states()["p99"] == "OK", SAMPLED_S, 1)
    bad = {"AlarmName": "bad", **COMMON}
    for wrong in ({"Metrics": QUERIES[:1]}, {"Metrics": QUERIES, "Period": 60},
                  {"Metrics": [QUERIES[0], {"Id": "e", "Expression": "c +"}]}):
        with pytest.raises(botocore.exceptions.ClientError):
            cloudwatch.put_metric_alarm(**bad, **wrong)
    with pytest.raises(botocore.exceptions.ClientError, match="Composite alarms are not available"):
        cloudwatch.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(reckoned) AND ALARM(p99)")


@pytest.mark.slow
def test_alarms_change_their_state(cloudwatch):
    state = lambda name: cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]
    # Of a cluster that is not there nothing is known, and with "ignore" its state stays whatever it is.
    cloudwatch.put_metric_alarm(**alarm("unknown", TreatMissingData="ignore", Tags=[{"Key": "team", "Value": "search"}]))
    assert state("unknown") == "INSUFFICIENT_DATA"
    cloudwatch.set_alarm_state(AlarmName="unknown", StateValue="OK", StateReason="by hand")
    wait_until("the alarm goes off", lambda: state("watched") == "ALARM", SAMPLED_S, 1)
    assert state("unknown") == "OK"
    arn = cloudwatch.describe_alarms(AlarmNames=["unknown"])["MetricAlarms"][0]["AlarmArn"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "search"}]
    cloudwatch.delete_alarms(AlarmNames=["unknown"])
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.set_alarm_state(AlarmName="unknown", StateValue="OK", StateReason="gone")


def test_each_operation_has_the_error_that_its_model_names_for_what_is_not_there(cloudwatch):
    cloudwatch.put_metric_alarm(**alarm("there"))
    arn = cloudwatch.describe_alarms(AlarmNames=["there"])["MetricAlarms"][0]["AlarmArn"]
    with pytest.raises(cloudwatch.exceptions.ResourceNotFoundException):
        cloudwatch.list_tags_for_resource(ResourceARN=arn[:-5] + "gone")
    with pytest.raises(cloudwatch.exceptions.InvalidParameterValueException):
        cloudwatch.tag_resource(ResourceARN="there", Tags=[{"Key": "a", "Value": "b"}])
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.delete_alarms(AlarmNames=["gone"])
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.set_alarm_state(AlarmName="gone", StateValue="OK", StateReason="by hand")
    cloudwatch.disable_alarm_actions(AlarmNames=["gone", "there"])
    assert not cloudwatch.describe_alarms(AlarmNames=["there"])["MetricAlarms"][0]["ActionsEnabled"]
    cloudwatch.enable_alarm_actions(AlarmNames=["there", "gone"])
    assert cloudwatch.describe_alarms(AlarmNames=["there"])["MetricAlarms"][0]["ActionsEnabled"]
    cloudwatch.delete_alarms(AlarmNames=["there"])


def test_older_clients_speak_json_and_query(service):
    service.api("cloudwatch").put_metric_alarm(**alarm("old"))
    target = {"X-Amz-Target": "GraniteServiceVersion20100801.DescribeAlarms", "Content-Type": "application/x-amz-json-1.0"}
    answer = json.loads(signed(service, target, '{"AlarmNames": ["old"]}'))
    assert answer["MetricAlarms"][0]["Period"] == 60
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1=old"
    assert "<AlarmName>old</AlarmName>" in signed(service, form, body)
    with pytest.raises(urllib.error.HTTPError) as caught:
        signed(service, target, '{"AlarmNames": 1}')
    assert json.load(caught.value)["__type"].endswith("ValidationError")
    service.api("cloudwatch").delete_alarms(AlarmNames=["old"])
