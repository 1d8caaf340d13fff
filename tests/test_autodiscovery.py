"""ElastiCache Auto Discovery: what AWS's cluster clients ask a memcached configuration endpoint."""

import socket

import pytest

from service import endpoint_of, wait_until


@pytest.fixture(scope="module")
def pages(service):
    return service.create("discovered", engine="memcached", nodes=3)


def ask(address, text):
    """Sends lines; answers all up to END, an error or the version."""
    with socket.create_connection(address, timeout=10) as sock:
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
