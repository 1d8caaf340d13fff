"""What a new user does, word for word, with the real AWS CLI, redis-cli, redis-py and pymemcache."""

import json

import pymemcache
import redis

from service import BINARY, run, which


def test_a_first_cache_of_each_engine(own_service):
    shell = own_service.environment()
    assert {"AWS_ENDPOINT_URL_ELASTICACHE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} <= set(shell)
    subnet = shell["LARDER_DEFAULT_SUBNET"]
    aws = own_service.aws

    group = aws("create-cache-subnet-group", "--cache-subnet-group-name", "app", "--cache-subnet-group-description",
                "app", "--subnet-ids", subnet)
    assert json.loads(group.stdout)["CacheSubnetGroup"]["Subnets"][0]["SubnetIdentifier"] == subnet

    created = aws("create-cache-cluster", "--cache-cluster-id", "sessions", "--engine", "redis", "--cache-node-type",
                  "cache.t2.micro", "--num-cache-nodes", "1", "--cache-subnet-group-name", "app",
                  "--snapshot-retention-limit", "0")
    assert json.loads(created.stdout)["CacheCluster"]["CacheClusterStatus"] == "creating"
    aws("wait", "cache-cluster-available", "--cache-cluster-id", "sessions")
    address = aws("describe-cache-clusters", "--cache-cluster-id", "sessions", "--show-cache-node-info", "--query",
                  "CacheClusters[0].CacheNodes[0].Endpoint.Address", "--output", "text").stdout.strip()
    assert address and address != "None"

    client = redis.Redis(host=address, port=6379, decode_responses=True)
    if which("redis-cli"):
        said = run(["redis-cli", "-h", address, "set", "user:1", "ann", "ex", "60"])
        assert said.stdout.strip() == "OK"
    else:
        client.set("user:1", "ann", ex=60)
    assert client.get("user:1") == "ann"
    assert 0 < client.ttl("user:1") <= 60
    # A cache.t2.micro has 581959680 bytes (0.555 GB); a quarter is reserved unless its parameter group says otherwise.
    assert client.info("memory")["maxmemory"] == 581_959_680 * 3 // 4

    aws("create-cache-cluster", "--cache-cluster-id", "pages", "--engine", "memcached", "--cache-node-type",
        "cache.t3.small", "--num-cache-nodes", "3")
    aws("wait", "cache-cluster-available", "--cache-cluster-id", "pages")
    pages = own_service.describe("pages")
    assert len(pages["CacheNodes"]) == 3
    nodes = [(n["Endpoint"]["Address"], n["Endpoint"]["Port"]) for n in pages["CacheNodes"]]
    assert {port for _, port in nodes} == {11211} and len(set(nodes)) == 3
    assert pages["ConfigurationEndpoint"]["Port"] == 11211
    for index, where in enumerate(nodes):
        one = pymemcache.Client(where)
        assert one.set("page", f"body {index}")
        assert one.get("page") == f"body {index}".encode()

    table = run([str(BINARY), "caches"], env=shell).stdout
    assert "sessions" in table and "pages" in table and "available" in table


def test_the_engine_alone_is_a_server_in_one_line(node):
    client = redis.Redis(port=node.port)
    assert client.set("k", "v") and client.get("k") == b"v"
    assert pymemcache.Client(("127.0.0.1", node.memcached_port)).get("k") == b"v"


def test_a_stop_ends_service_and_nodes(own_service):
    own_service.create("brief")
    assert own_service.node_pids()
    assert own_service.stop() == 0
    assert not own_service.node_pids()
