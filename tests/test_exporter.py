"""The Prometheus exporter for Redis (Debian's) reads a node as it reads a redis-server: the same metrics with the same figures."""

import re
import shutil
import subprocess
import urllib.request

import pytest
import redis

from ports import free_port
from replication import LARDER, REDIS, servers
from service import wait_until

__all__ = ["servers"]

EXPORTER = shutil.which("prometheus-redis-exporter")
pytestmark = pytest.mark.skipif(not EXPORTER, reason="needs prometheus-redis-exporter")

# Figures that follow from what the clients did.
COUNTED = re.compile(
    r"^redis_(db_keys|db_keys_expiring|keyspace_hits_total|keyspace_misses_total|evicted_keys_total|connected_slaves|"
    r"key_size|key_value|stream_length|stream_groups|stream_group_consumers|up|keys_count|instance_info|"
    r"errors_total{err=.WRONGTYPE)\b"
)
# Of an instance, what names the program, the machine or the moment.
OWN = re.compile(r'(run_id|os|redis_build_id|redis_version|process_id|tcp_port)="[^"]*",?')


@pytest.fixture
def scrape():
    processes = []

    def make(port):
        web = free_port()
        command = [EXPORTER, "-redis.addr", f"redis://127.0.0.1:{port}", "-web.listen-address", f"127.0.0.1:{web}"]
        command += ["-check-keys", "a*", "-count-keys", "a*", "-check-streams", "s*", "-export-client-list"]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        def read():
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=60).read().decode()
            except OSError:
                return ""

        return [line for line in wait_until("the exporter answers", read).splitlines() if line.startswith("redis_")]

    yield make
    for process in processes:
        process.kill()
        process.wait()


def test_metrics_are_those_of_a_redis_server(servers, scrape):
    found = []
    for program in (REDIS, LARDER):
        server = servers(program)
        server.client.mset({"a1": "x", "a2": "yy", "b": 1})
        server.client.setex("a3", 1000, "z")
        server.client.xadd("s1", {"a": "b"})
        server.client.xgroup_create("s1", "g", 0)
        assert server.client.get("nope") is None and server.client.get("a1") == b"x"
        with pytest.raises(redis.exceptions.ResponseError):
            server.client.lpush("a1", "x")
        found.append(scrape(server.port))
    names = [{re.split(r"[ {]", line)[0] for line in lines} for lines in found]
    # What Larder has beyond them is its own business.
    assert names[0] - names[1] == set()
    figures = [sorted(OWN.sub("", line) for line in lines if COUNTED.match(line)) for lines in found]
    assert len(figures[0]) > 15 and figures[0] == figures[1]
