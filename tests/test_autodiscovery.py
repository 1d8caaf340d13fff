"""ElastiCache Auto Discovery: what AWS's cluster clients ask a memcached configuration endpoint."""

import socket

import elasticache_auto_discovery
import pytest

from service import PATIENCE_S, endpoint_of, wait_until


@pytest.fixture(scope="module")
def pages(service):
    return service.create("discovered", engine="memcached", nodes=3)


def ask(address, text):
    """Sends lines; answers all up to END, an error or the version."""
    with socket.create_connection(address, timeout=PATIENCE_S) as sock:
        sock.sendall(text)
        answer = b""
        while not answer.endswith((b"END\r\n", b"ERROR\r\n")) and b"VERSION" not in answer:
            piece = sock.recv(65536)
            if not piece:
                break
            answer += piece
        return answer


def discover(address):
    """(version, [(host, ip, port)]) as AWS's clients read the answer."""
    answer = ask(address, b"config get cluster\r\n")
    head, rest = answer.split(b"\r\n", 1)
    word, kind, flags, size = head.split(b" ")
    assert (word, kind, flags) == (b"CONFIG", b"cluster", b"0")
    data, end = rest[: int(size)], rest[int(size):]
    assert end == b"\r\nEND\r\n"
    version, nodes, last = data.split(b"\n")
    assert last == b""
    return int(version), [tuple(node.decode().split("|")) for node in nodes.split(b" ")]


def where(cache):
    return cache["ConfigurationEndpoint"]["Address"], cache["ConfigurationEndpoint"]["Port"]


def test_the_configuration_endpoint_names_all_nodes(service, pages):
    version, nodes = discover(where(pages))
    assert version >= 1
    assert {(host or ip, int(port)) for host, ip, port in nodes} | {(ip, int(port)) for _, ip, port in nodes} >= {
        endpoint_of(pages, index) for index in range(3)
    }
    assert len(nodes) == 3 and all(ip for _, ip, _ in nodes)


def test_every_node_gives_the_same_answer(service, pages):
    answers = [discover(endpoint_of(pages, index)) for index in range(3)]
    assert answers[0] == answers[1] == answers[2] == discover(where(pages))


def test_old_clients_ask_by_a_key(service, pages):
    answer = ask(where(pages), b"get AmazonElastiCache:cluster\r\n")
    assert answer.startswith(b"VALUE AmazonElastiCache:cluster 0 ") or answer == b"END\r\n"


def test_clients_cannot_set_the_configuration(service, pages):
    before = discover(where(pages))
    answer = ask(where(pages), b"config set cluster 0 5\r\nhello\r\nversion\r\n")
    assert b"ERROR" in answer
    assert discover(where(pages)) == before


def test_added_and_removed_nodes_are_discovered(service):
    cache = service.create("growing", engine="memcached", nodes=1)
    first_version, nodes = discover(where(cache))
    assert len(nodes) == 1
    client = service.client()
    client.modify_cache_cluster(CacheClusterId="growing", NumCacheNodes=3, ApplyImmediately=True)

    def count_is(wanted):
        def look():
            found = service.describe("growing")
            if found["CacheClusterStatus"] != "available" or len(found["CacheNodes"]) != wanted:
                return None
            answer = discover(where(found))
            return answer if len(answer[1]) == wanted else None

        return look

    version, _ = wait_until("three nodes are discovered", count_is(3))
    assert version > first_version
    client.modify_cache_cluster(
        CacheClusterId="growing", NumCacheNodes=2, CacheNodeIdsToRemove=["0003"], ApplyImmediately=True
    )
    last_version, _ = wait_until("two nodes are discovered", count_is(2))
    assert last_version > version
    service.delete("growing")


def test_a_client_of_others_reads_the_nodes(pages):
    host, port = where(pages)
    told = elasticache_auto_discovery.discover(f"{host}:{port}", PATIENCE_S)
    assert [tuple(part.decode() for part in node) for node in told] == discover(where(pages))[1]


def test_a_client_of_others_follows_the_nodes(service):
    """It asks again and again, and spreads its keys over whatever nodes there are. It needs a Python before 3.12."""
    pyclient = pytest.importorskip("elasticache_pyclient")
    cache = service.create("followed", engine="memcached", nodes=1)
    client = pyclient.MemcacheClient("%s:%d" % where(cache), ad_interval=1)

    def works():
        return all(client.set(f"k{n}", str(n)) and client.get(f"k{n}") == str(n) for n in range(100))

    try:
        assert client.cluster_size() == 1 and works()
        change = {"CacheClusterId": "followed", "ApplyImmediately": True}
        zones = {"AZMode": "cross-az", "NewAvailabilityZones": ["us-east-1b", "us-east-1c"]}
        service.client().modify_cache_cluster(**change, NumCacheNodes=3, **zones)
        wait_until("the client has three nodes", lambda: client.cluster_size() == 3)
        assert works()
        wait_until("it is available", lambda: service.describe("followed")["CacheClusterStatus"] == "available")
        service.client().modify_cache_cluster(**change, NumCacheNodes=2, CacheNodeIdsToRemove=["0003"])
        wait_until("the client has two nodes", lambda: client.cluster_size() == 2)
        assert works()
    finally:
        client.stop_timer()
    service.delete("followed")


def test_nodes_are_added_in_the_zones_that_are_named(service):
    """Cross-AZ: AZMode and NewAvailabilityZones of ModifyCacheCluster place the new nodes, and all of them are discovered."""
    cache = service.create("zoned", engine="memcached", nodes=1, PreferredAvailabilityZone="us-east-1a")
    assert [node["CustomerAvailabilityZone"] for node in cache["CacheNodes"]] == ["us-east-1a"]
    client = service.client()
    change = {"CacheClusterId": "zoned", "NumCacheNodes": 3, "ApplyImmediately": True}
    with pytest.raises(client.exceptions.ClientError, match="NewAvailabilityZones"):
        client.modify_cache_cluster(**change, AZMode="cross-az", NewAvailabilityZones=["us-east-1b"])
    client.modify_cache_cluster(**change, AZMode="cross-az", NewAvailabilityZones=["us-east-1b", "us-east-1c"])

    def placed():
        found = service.describe("zoned")
        zones = sorted(node["CustomerAvailabilityZone"] for node in found["CacheNodes"])
        done = found["CacheClusterStatus"] == "available" and zones == ["us-east-1a", "us-east-1b", "us-east-1c"]
        return found if done else None

    found = wait_until("the nodes are in three zones", placed)
    assert found["PreferredAvailabilityZone"] == "Multiple"
    assert len(discover(where(found))[1]) == 3
    for index in range(3):
        assert ask(endpoint_of(found, index), b"version\r\n").startswith(b"VERSION 1.6.")
    service.delete("zoned")


def settings(address):
    lines = ask(address, b"stats settings\r\n").decode().split("\r\n")
    return dict(line.removeprefix("STAT ").split(" ", 1) for line in lines if line.startswith("STAT "))


def locked_kib(address):
    """KiB that the node at this address keeps from being swapped."""
    pid = next(line.split()[2] for line in ask(address, b"stats\r\n").decode().splitlines() if line.startswith("STAT pid "))
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmLck:"))


def of_node_type(client, family, name, node_type):
    """What a parameter is for a type of node, as DescribeEngineDefaultParameters says it."""
    pages = client.get_paginator("describe_engine_default_parameters").paginate(CacheParameterGroupFamily=family)
    for page in pages:
        for parameter in page["EngineDefaults"].get("CacheNodeTypeSpecificParameters", []):
            if parameter["ParameterName"] == name:
                values = parameter["CacheNodeTypeSpecificValues"]
                return next(value["Value"] for value in values if value["CacheNodeType"] == node_type)
    raise AssertionError(f"{family} has no {name} by type of node")


def change(service, cache, group, values):
    """Changes parameters of a running cache and reboots it; before, nothing of it is in force."""
    client, name, address = service.client(), cache["CacheClusterId"], endpoint_of(cache)
    before = settings(address)
    client.modify_cache_parameter_group(
        CacheParameterGroupName=group,
        ParameterNameValues=[{"ParameterName": name, "ParameterValue": value} for name, value in values.items()],
    )
    status = lambda: service.describe(name)["CacheParameterGroup"]
    wait_until("the change waits for a reboot", lambda: status()["ParameterApplyStatus"] == "pending-reboot")
    assert settings(address) == before
    client.reboot_cache_cluster(CacheClusterId=name, CacheNodeIdsToReboot=["0001"])
    wait_until("the change is in force", lambda: status()["ParameterApplyStatus"] == "in-sync")
    return endpoint_of(service.available(name))


@pytest.mark.parametrize(
    ("family", "version"), [("memcached1.4", "1.4.34"), ("memcached1.5", "1.5.16"), ("memcached1.6", "1.6.22")]
)
def test_parameters_take_effect(service, family, version):
    """Of a cache that runs, after a reboot. Those that are not here are fixed, or tune what there is not (slabs, lists)."""
    client, group = service.client(), f"group-{family.replace('.', '-')}"
    client.create_cache_parameter_group(CacheParameterGroupName=group, CacheParameterGroupFamily=family, Description="x")
    name = f"tuned-{version.replace('.', '-')}"
    cache = service.create(name, engine="memcached", EngineVersion=version, CacheParameterGroupName=group)
    node_type, address = cache["CacheNodeType"], endpoint_of(cache)
    defaults = settings(address)
    memory = int(of_node_type(client, family, "max_cache_memory", node_type))
    expected = {
        "maxconns_fast": "no", "flush_enabled": "yes", "item_size_max": "1048576", "cas_enabled": "yes", "track_sizes": "no",
        "idle_timeout": "0", "evictions": "on", "binding_protocol": "auto-negotiate",
        # These can only be looked at.
        "tcp_backlog": "1024", "reqs_per_event": "20", "maxconns": "65000",
        "num_threads": of_node_type(client, family, "num_threads", node_type), "maxbytes": str((memory - 100) << 20),
    }
    assert {key: defaults[key] for key in expected} == expected
    assert locked_kib(address) == 0  # lock_down_paged_memory, which is 0 for all
    fixed = {"num_threads": "1", "lock_down_paged_memory": "1", "max_cache_memory": "64", "backlog_queue_limit": "5",
             "requests_per_event": "5", "max_simultaneous_connections": "5", "hashpower_init": "20", "config_max": "5"}
    for parameter, value in fixed.items():
        with pytest.raises(client.exceptions.ClientError, match="cannot be modified"):
            client.modify_cache_parameter_group(
                CacheParameterGroupName=group,
                ParameterNameValues=[{"ParameterName": parameter, "ParameterValue": value}],
            )

    values = {
        "max_item_size": "2097152", "idle_timeout": "100", "disable_flush_all": "1", "maxconns_fast": "1",
        "binding_protocol": "ascii", "watcher_logbuf_size": "32", "worker_logbuf_size": "16", "memcached_connections_overhead": "50",
        "cas_disabled": "1", "track_sizes": "1",
    }
    address = change(service, cache, group, values)
    told = settings(address)
    expected = {
        "item_size_max": "2097152", "idle_timeout": "100", "flush_enabled": "no", "maxconns_fast": "yes",
        "binding_protocol": "ascii", "watcher_logbuf_size": "32768", "worker_logbuf_size": "16384",
        "cas_enabled": "no", "track_sizes": "yes", "maxbytes": str((memory - 50) << 20),
    }
    assert {key: told[key] for key in expected} == expected
    assert ask(address, b"flush_all\r\nversion\r\n").startswith(b"CLIENT_ERROR flush_all not allowed\r\n")
    # Neither binary requests, nor uniques to compare; sizes are counted.
    assert ask(address, b"\x80\x0b" + b"\0" * 22 + b"\r\n") == b"ERROR\r\n"  # a line like others
    assert ask(address, b"set a 0 0 1\r\nx\r\ngets a\r\n") == b"STORED\r\nVALUE a 0 1 0\r\nx\r\nEND\r\n"
    assert ask(address, b"stats sizes\r\n") == b"STAT 64 1\r\nEND\r\n"
    value = b"x" * 1_500_000
    assert ask(address, b"set large 0 0 1500000\r\n" + value + b"\r\nversion\r\n").startswith(b"STORED\r\n")

    # With 16 MiB for items: which of them give way.
    little = {"memcached_connections_overhead": str(memory - 16), "disable_flush_all": "0"}
    address = change(service, cache, group, {**little, "error_on_memory_exhausted": "1"})
    assert settings(address)["evictions"] == "off"
    assert fill(address, 0).count(b"SERVER_ERROR out of memory") > 0 and is_there(address, 0)
    address = change(service, cache, group, {**little, "error_on_memory_exhausted": "0"})
    assert b"SERVER_ERROR" not in fill(address, 0) and not all(is_there(address, number) for number in range(ITEMS))
    if family == "memcached1.4":
        address = change(service, cache, group, {"expirezero_does_not_evict": "1"})
        # Items that die anyway make room for others, and those that never die stay.
        first = fill(address, 0, items=40)
        assert b"SERVER_ERROR" not in first and b"SERVER_ERROR" not in fill(address, 10_000, begin=1000)
        assert all(is_there(address, number) for number in range(40))
        assert not all(is_there(address, number) for number in range(1000, 1000 + ITEMS))
        assert fill(address, 0, begin=2000).count(b"SERVER_ERROR out of memory") > 0
        assert all(is_there(address, number) for number in range(40))
    service.delete(name)


ITEM_BYTES = 100_000
# Of them 40 MB, where 16 MiB are there for them.
ITEMS = 400


def fill(address, lives, items=ITEMS, begin=0):
    """Stores items; answers all that was said to it."""
    said = b""
    for number in range(begin, begin + items):
        said += ask(address, b"set fill:%d 0 %d %d\r\n%s\r\nversion\r\n" % (number, lives, ITEM_BYTES, b"v" * ITEM_BYTES))
    return said


def is_there(address, number):
    return ask(address, b"get fill:%d\r\n" % number).startswith(b"VALUE")


def test_another_node_type_comes_in_stages(own_service):
    api = own_service.client()
    before = own_service.create("grows", engine="memcached", nodes=3, CacheNodeType="cache.t3.micro")
    addresses = [endpoint_of(before, index) for index in range(3)]
    for address in addresses:
        assert ask(address, b"set a 0 0 1\r\n1\r\nget a\r\n").endswith(b"END\r\n")
    version, _ = discover(where(before))
    stages = {"ScalePercentage": 50, "ScaleIntervalMinutes": 30}
    changed = api.modify_cache_cluster(
        CacheClusterId="grows", CacheNodeType="cache.t3.small", ScaleConfig=stages, ApplyImmediately=True
    )["CacheCluster"]
    assert changed["CacheClusterStatus"] == "modifying"
    own_service.kill()
    own_service.start()
    api = own_service.client()

    def bytes_of(address):
        """The memory that a node has for items; nothing while it is being replaced."""
        try:
            return int(next(line.split()[2] for line in ask(address, b"stats\r\n").splitlines() if b"limit_maxbytes" in line))
        except OSError:
            return None

    # Two of three in the first stage; the third one half an hour later, and until then with all that it has.
    old = bytes_of(addresses[2])
    wait_until("the first stage is done", lambda: all((bytes_of(address) or 0) > old for address in addresses[:2]))
    wait_until("all three are on the list again", lambda: len(discover(addresses[2])[1]) == 3)
    assert discover(addresses[2])[0] > version
    assert bytes_of(addresses[2]) == old
    assert ask(addresses[2], b"get a\r\n") == b"VALUE a 0 1\r\n1\r\nEND\r\n"
    assert ask(addresses[0], b"get a\r\n") == b"END\r\n"
    now = own_service.describe("grows")
    assert (now["CacheClusterStatus"], now["CacheNodeType"]) == ("modifying", "cache.t3.micro")
    assert now["PendingModifiedValues"] == {"CacheNodeType": "cache.t3.small", "ScaleConfig": stages}
    shown = own_service.larder("show", "grows").stdout
    assert "cache.t3.small, 50 % of the nodes every 30 minutes" in shown
    own_service.delete("grows")

    # All at once.
    before = own_service.create("jumps", engine="memcached", nodes=2, CacheNodeType="cache.t3.micro")
    version, _ = discover(where(before))
    api.modify_cache_cluster(
        CacheClusterId="jumps", CacheNodeType="cache.t3.small", ScaleConfig={"ScalePercentage": 100}, ApplyImmediately=True
    )
    after = own_service.available("jumps")
    assert (after["CacheNodeType"], after["PendingModifiedValues"]) == ("cache.t3.small", {})
    assert all(bytes_of(endpoint_of(after, index)) > old for index in range(2))
    assert discover(where(after))[0] > version
    assert "Succeeded applying modification to cache node type to cache.t3.small." in own_service.events("jumps")
