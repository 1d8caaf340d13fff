"""`larder advise`: what a node makes of its traffic, over both of its doors, and for a cache of the service."""

import json
import random
import threading
import time

import pytest
import redis
from pymemcache.client.base import Client

from service import BINARY, Node, clean_environment, run, wait_until


@pytest.fixture
def node():
    node = Node()
    yield node
    node.stop()


def advise(*arguments, check=True, env=None):
    return run([str(BINARY), "advise", *arguments], check=check, env=env or clean_environment({}))


def answers(report):
    return {answer["question"]: answer for answer in report["advice"]["answers"]}


def test_traffic_over_redis_becomes_answers(node):
    client = redis.Redis(port=node.port)
    assert client.execute_command("LARDER.ADVISE", "REPORT") is None
    door = f"127.0.0.1:{node.port}"
    said = advise(door, "--last", check=False)
    assert said.returncode == 1 and "watched nothing" in said.stderr
    assert client.execute_command("LARDER.ADVISE", "START", 600) == b"OK"
    dice = random.Random(1)
    for _ in range(3000):
        key = f"user:{min(int(dice.paretovariate(0.7)), 400)}"
        if client.get(key) is None:
            client.set(key, "v" * 100, ex=1000)
    for n in range(100):
        client.set(f"log:{n % 10}", n)
    client.set("blob", "x" * 300_000)
    [report] = json.loads(advise(door, "--last", "--output", "json").stdout)
    advice = report["advice"]
    assert advice["reads"] == 3000 and advice["misses"]["unknown"] > 0
    assert abs(advice["hit_ratio"] - (1 - advice["misses"]["unknown"] / 3000)) < 1e-9
    prefixes = {prefix["prefix"]: prefix for prefix in advice["prefixes"]}
    assert prefixes["user"]["pattern"] == "cache_aside" and prefixes["user"]["with_ttl"] == 1.0
    assert prefixes["log"]["pattern"] == "write_behind"
    ratios = [ratio for _, ratio in advice["curve"]]
    assert ratios == sorted(ratios) and ratios[0] < ratios[-1]
    # Every key was watched from its first use on: at the present size the curve says what happened.
    now = next(size for size in advice["sizes"] if size["name"] == "now")
    assert abs(now["hit_ratio"] - advice["hit_ratio"]) < 0.02
    assert any(size["name"].startswith("cache.") and size["month_usd"] > 0 for size in advice["sizes"])
    assert "`blob`" in " ".join(answers(report)["Which keys need care?"]["evidence"])
    text = advise(door, "--last").stdout
    for part in ["Is it safe?", "Is it effective?", "Which pattern fits?", "PREFIX", "RESERVED 1 YEAR", "Serverless"]:
        assert part in text
    assert client.execute_command("LARDER.ADVISE", "FORGET") == b"OK"
    assert client.execute_command("LARDER.ADVISE", "REPORT") is None


def test_wrong_words_are_refused(node):
    client = redis.Redis(port=node.port)
    for words in [("START", "0"), ("START", "3601"), ("START", "x"), ("STOP", "1"), ("NOSUCH",), ("REPORT", "1")]:
        with pytest.raises(redis.ResponseError):
            client.execute_command("LARDER.ADVISE", *words)
    with pytest.raises(redis.ResponseError):
        client.execute_command("LARDER.OUTCOME", "p:", "STALE")
    with pytest.raises(redis.ResponseError):
        client.execute_command("LARDER.OUTCOME", "p:", "STALE", "-1")
    assert "1..=3600" in advise("127.0.0.1:1", "--seconds", "0", check=False).stderr


def test_traffic_over_memcached_is_watched_while_the_command_waits(node):
    client = Client(("127.0.0.1", node.memcached_port))
    stop = threading.Event()

    def use():
        n = 0
        while not stop.is_set():
            n += 1
            key = f"page:{n % 50}"
            if client.get(key) is None:
                client.set(key, "v" * 50)

    user = threading.Thread(target=use)
    user.start()
    try:
        door = f"127.0.0.1:{node.memcached_port}"
        [report] = json.loads(advise(door, "--engine", "memcached", "--seconds", "2", "--output", "json").stdout)
    finally:
        stop.set()
        user.join()
    advice = report["advice"]
    assert advice["reads"] > 0 and advice["prefixes"][0]["prefix"] == "page"
    assert 1.5 < advice["seconds"]


def test_reported_outcomes_are_counted(node):
    client = redis.Redis(port=node.port)
    client.config_set("miss-prefix-delimiter", ":")
    client.set("user:1", "x")
    client.get("user:1")
    assert client.execute_command("LARDER.OUTCOME", "user:", "STALE", 3, "NEGATIVE", 2) == b"OK"
    stats = client.info("stats")
    assert (stats["keyspace_hits_stale"], stats["keyspace_hits_negative"]) == (3, 2)
    [counts] = client.execute_command("LARDER.PREFIXES")
    counts = dict(zip(counts[::2], counts[1::2]))
    assert (counts[b"prefix"], counts[b"hits"], counts[b"stale"], counts[b"negative"]) == (b"user", 1, 3, 2)
    # A stale item of Memcached counts by itself.
    memcached = Client(("127.0.0.1", node.memcached_port))
    memcached.raw_command(b"ms page:1 1 T60\r\nx", b"\r\n")
    memcached.raw_command(b"md page:1 I T60", b"\r\n")
    memcached.raw_command(b"mg page:1 v", b"x\r\n")
    assert memcached.stats("misses")[b"hits:stale"] in (4, b"4")
    client.config_resetstat()
    assert client.info("stats")["keyspace_hits_stale"] == 0


def test_a_cache_and_a_group_of_the_service(service):
    api = service.client()
    api.create_replication_group(ReplicationGroupId="advised", ReplicationGroupDescription="d", NumCacheClusters=2,
                                 CacheNodeType="cache.t3.small", Engine="valkey", AuthToken="a-token-of-the-cache",
                                 TransitEncryptionEnabled=True, AutomaticFailoverEnabled=True)
    ready = lambda: api.describe_replication_groups(ReplicationGroupId="advised")["ReplicationGroups"][0]["Status"] == "available"
    wait_until("the group is available", ready)
    env = clean_environment({"LARDER_DATA": str(service.folder)})
    # Neither TLS nor the token stands before the nodes' own sockets.
    reports = json.loads(advise("advised", "--seconds", "1", "--output", "json", env=env).stdout)
    assert [report["node"] for report in reports] == ["advised-001", "advised-002"]
    one = json.loads(advise("advised", "--node", "advised-002", "--last", "--output", "json", env=env).stdout)
    assert len(one) == 1
    missing = advise("advised", "--node", "nosuch", "--last", check=False, env=env)
    assert missing.returncode == 4
    why = json.loads(run([str(BINARY), "why", "advised", "k", "--output", "json"], env=env).stdout)
    assert [answer["state"] for answer in why] == ["unknown", "unknown"]
