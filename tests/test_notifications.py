"""Events of caches at a topic of a server that speaks SNS (moto's), read from a queue that listens to it."""

import json
import urllib.request

import botocore.exceptions
import pytest

from aws_server import ACCOUNT, AwsServer
from service import REGION, Service, wait_until


class Listener:
    """A topic, and all that was published there."""

    def __init__(self, server, name="caches"):
        self.sns, self.sqs = server.client("sns"), server.client("sqs")
        self.arn = self.sns.create_topic(Name=name)["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.sns.subscribe(TopicArn=self.arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
        self.heard = []

    def hears(self, event, source):
        """Waits for a message, which must have AWS's form."""

        def look():
            for message in self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
                envelope = json.loads(message["Body"])
                assert envelope["TopicArn"] == self.arn
                self.heard += json.loads(envelope["Message"]).items()
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
            return (f"ElastiCache:{event}", source) in self.heard

        wait_until(f"{event} of {source} was published", look, interval_s=0.2)


@pytest.fixture
def server():
    server = AwsServer()
    yield server
    server.stop()


@pytest.fixture
def service(tmp_path, server):
    key = {"LARDER_SNS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "LARDER_SNS_SECRET_ACCESS_KEY": "not-so-secret"}
    options = ["--sns-endpoint", server.endpoint, "--account", ACCOUNT]
    service = Service(tmp_path / "data", options=options, environment=key)
    try:
        yield service.start()
    finally:
        service.clean_up()


def topic(api, cluster):
    found = api.describe_cache_clusters(CacheClusterId=cluster)["CacheClusters"][0]
    return found.get("NotificationConfiguration")


def test_events_of_a_cluster_are_published(service, server):
    api, listener = service.client(), Listener(server)
    made = api.create_cache_cluster(
        CacheClusterId="pages", Engine="memcached", CacheNodeType="cache.t3.micro", NumCacheNodes=1,
        NotificationTopicArn=listener.arn,
    )["CacheCluster"]
    assert made["NotificationConfiguration"] == {"TopicArn": listener.arn, "TopicStatus": "active"}
    listener.hears("AddCacheNodeComplete", "pages")
    listener.hears("CacheClusterProvisioningComplete", "pages")
    api.get_waiter("cache_cluster_available").wait(CacheClusterId="pages", WaiterConfig={"Delay": 1, "MaxAttempts": 120})

    # A silent topic hears nothing of what happens; when it is active again it hears what happens then.
    api.modify_cache_cluster(CacheClusterId="pages", NotificationTopicStatus="inactive")
    assert topic(api, "pages")["TopicStatus"] == "inactive"
    api.reboot_cache_cluster(CacheClusterId="pages", CacheNodeIdsToReboot=["0001"])
    api.get_waiter("cache_cluster_available").wait(CacheClusterId="pages", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    wait_until("the reboot is an event", lambda: "Cache node 0001 restarted" in service.events("pages"))
    # What the service has not looked at yet would be judged by the topic as it is then.
    other = Listener(server, "others")
    api.create_cache_cluster(
        CacheClusterId="other", Engine="memcached", CacheNodeType="cache.t3.micro", NumCacheNodes=1,
        NotificationTopicArn=other.arn,
    )
    other.hears("CacheClusterProvisioningComplete", "other")
    api.modify_cache_cluster(CacheClusterId="pages", NotificationTopicStatus="active")

    # A service that is killed goes on where it was, and the deletion is published although the cache is gone.
    service.kill()
    service.start()
    api = service.client()
    api.delete_cache_cluster(CacheClusterId="pages")
    listener.hears("DeleteCacheClusterComplete", "pages")
    assert ("ElastiCache:CacheNodesRebooted", "pages") not in listener.heard
    assert all(source == "pages" for _, source in listener.heard)


def test_a_server_that_is_gone_holds_nobody_up_and_is_tried_again(service, server):
    api, listener = service.client(), Listener(server)
    wrong = listener.arn + "-that-nobody-made"
    for name, arn in [("lost", wrong), ("found", listener.arn)]:
        api.create_replication_group(
            ReplicationGroupId=name, ReplicationGroupDescription="d", Engine="valkey", CacheNodeType="cache.t3.micro",
            NumCacheClusters=1, NotificationTopicArn=arn,
        )
    listener.hears("CreateReplicationGroupComplete", "found")
    assert topic(api, "found-001") == {"TopicArn": listener.arn, "TopicStatus": "active"}
    page = wait_until("the topic that nobody made is counted", lambda: counted(service, "failed") and metrics(service))
    assert 'larder_notifications_total{outcome="published"}' in page

    def refused(**parameters):
        with pytest.raises(botocore.exceptions.ClientError) as refusal:
            api.modify_replication_group(ReplicationGroupId="found", ApplyImmediately=True, **parameters)
        return refusal.value.response["Error"]["Code"]

    assert refused(NotificationTopicArn=listener.arn.replace(ACCOUNT, "1" * 12)) == "InvalidParameterValue"
    assert refused(NotificationTopicStatus="loud") == "InvalidParameterValue"
    server.stop()
    failed = counted(service, "failed")
    api.create_snapshot(ReplicationGroupId="found", SnapshotName="one")
    api.get_waiter("replication_group_available").wait(
        ReplicationGroupId="found", WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    wait_until("it is given up", lambda: counted(service, "failed") > failed)
    server.start()  # moto forgot its topics
    listener = Listener(server)
    api.create_snapshot(ReplicationGroupId="found", SnapshotName="two")
    listener.hears("SnapshotComplete", "found")


def metrics(service):
    with urllib.request.urlopen(service.endpoint + "/metrics") as answer:
        return answer.read().decode()


def counted(service, outcome):
    line = next(line for line in metrics(service).splitlines() if f'outcome="{outcome}"' in line)
    return int(line.split()[-1])
