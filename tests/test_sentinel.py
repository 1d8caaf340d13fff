"""Redis Sentinel monitors nodes as it monitors its own servers: finds the replicas, and lets one lead when the primary is
gone."""

import shutil
import subprocess
import threading

import pytest
import redis

from ports import free_port
from replication import LARDER, online, servers, settle
from service import PATIENCE_S, wait_until

__all__ = ["servers"]

SENTINEL = shutil.which("redis-sentinel")
pytestmark = pytest.mark.skipif(not SENTINEL, reason="needs redis-sentinel")

# After how long a silence Sentinel holds a server for dead: at all other times, and while one is. As long as it is short, a
# server that a loaded machine does not let run is dead too, and Sentinel may let the one that was killed lead again.
NEVER_MS, DEAD_MS = 3_600_000, 5_000
# Sentinel does nothing for 30 seconds after each moment in which the machine did not let it run.
SENTINEL_PATIENCE_S = 5 * PATIENCE_S


@pytest.fixture
def sentinel(tmp_path):
    """Starts a Sentinel for a primary."""
    processes = []

    def start(primary):
        port = free_port()
        file = tmp_path / "sentinel.conf"
        file.write_text(
            f"port {port}\ndir {tmp_path}\nsentinel monitor shop 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds shop {NEVER_MS}\nsentinel failover-timeout shop 10000\n"
        )
        with open(tmp_path / "sentinel.log", "ab") as log:
            processes.append(subprocess.Popen([SENTINEL, str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        client = redis.Redis(port=port, socket_timeout=PATIENCE_S, decode_responses=True)
        wait_until("Sentinel answers", lambda: answers(client))
        return client

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def answers(client):
    try:
        return client.ping()
    except redis.exceptions.ConnectionError:
        return False


def test_sentinel_lets_a_replica_lead(servers, sentinel, tmp_path):
    nodes = []
    for n in range(3):
        file = tmp_path / f"node{n}.conf"
        file.write_text("# of a test\n")
        # Sentinel writes where the node follows whom into its file.
        nodes.append(servers([LARDER[0], LARDER[1], str(file)]))
    primary, *replicas = nodes
    replicas[1].client.config_set("replica-priority", "0")  # it must never lead
    for replica in replicas:
        replica.follow(primary.port)
    online(primary, 2)
    primary.call("SET", "before", "1")
    watch = sentinel(primary)

    def known():
        return [pairs(facts) for facts in watch.execute_command("SENTINEL", "REPLICAS", "shop")]

    def seen(what, condition):
        wait_until(what, condition, patience_s=SENTINEL_PATIENCE_S)

    seen("Sentinel knows both replicas", lambda: len(known()) == 2)
    seen("Sentinel reads how they are", lambda: all(facts["master-link-status"] == "ok" for facts in known()))
    stopping, told = threading.Event(), []
    listener = threading.Thread(target=listen, args=(watch, stopping, told), daemon=True)
    listener.start()
    primary.kill()
    watch.execute_command("SENTINEL", "SET", "shop", "down-after-milliseconds", DEAD_MS)
    leads, other = replicas

    def address():
        return watch.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop")

    seen("another one leads", lambda: address() == ["127.0.0.1", str(leads.port)])
    watch.execute_command("SENTINEL", "SET", "shop", "down-after-milliseconds", NEVER_MS)
    wait_until("it says so", lambda: leads.info()["role"] == "master")
    wait_until("the other follows it", lambda: other.info()["master_port"] == leads.port and other.is_up())
    leads.call("SET", "after", "1")
    settle(leads, other)
    assert (leads.call("GET", "before"), leads.stats()["sync_full"]) == (b"1", 0)
    assert f"replicaof 127.0.0.1 {leads.port}" in (tmp_path / "node2.conf").read_text()
    assert "replicaof" not in (tmp_path / "node1.conf").read_text()
    # Sentinel makes a replica of the old primary when it comes back.
    primary.restart()
    seen("the old one follows", lambda: primary.info().get("master_port") == leads.port and primary.is_up())
    settle(leads, other, primary)
    wait_until("clients were told", lambda: any(message["channel"] == "+switch-master" for message in told))
    stopping.set()
    listener.join()


def pairs(facts):
    return facts if isinstance(facts, dict) else dict(zip(facts[::2], facts[1::2]))


def listen(watch, stopping, told):
    """What Sentinel publishes, as clients hear it, until the test or Sentinel ends."""
    channel = watch.pubsub()
    try:
        channel.subscribe("+switch-master")
        while not stopping.is_set():
            message = channel.get_message(ignore_subscribe_messages=True, timeout=0.2)
            if message:
                told.append(message)
    except redis.exceptions.ConnectionError:
        pass
