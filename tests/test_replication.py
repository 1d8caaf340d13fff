"""Replication: nodes that follow each other and real servers, through full and partial synchronisations, under load."""

import os
import shlex
import socket
import subprocess
import threading
import time

import pytest
import redis

from ports import free_port
from service import BINARY

LARDER = [str(BINARY), "node"]
REDIS = ["redis-server"]
PATIENCE_SECONDS = 60
# Other servers that can be started with `--port`, as `LARDER_PEERS` names them.
PEERS = [REDIS] + [shlex.split(peer) for peer in os.environ.get("LARDER_PEERS", "").split(";") if peer.strip()]
QUICK = ["--save", "", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]


def wait_until(what, so):
    until = time.monotonic() + PATIENCE_SECONDS
    while not so():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.02)


class Server:
    def __init__(self, program, folder, *more):
        folder.mkdir(parents=True, exist_ok=True)
        self.program, self.folder, self.more = program, folder, more
        self.port = free_port()
        self.start()

    def start(self):
        command = [*self.program, "--port", str(self.port), *QUICK, *self.more]
        if self.program[0] == LARDER[0] and "--threads" not in self.more:
            command += ["--threads", "2"]
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        self.client = redis.Redis(port=self.port, socket_timeout=PATIENCE_SECONDS)
        wait_until("the server answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            return self.client.ping()
        except redis.exceptions.BusyLoadingError:
            return False
        except redis.exceptions.ConnectionError:
            return False

    def call(self, *words):
        return self.client.execute_command(*words)

    def info(self):
        return self.client.info("replication")

    def follow(self, port):
        self.call("REPLICAOF", "127.0.0.1", port)

    def is_up(self):
        try:
            return self.info().get("master_link_status") == "up"
        except redis.exceptions.ConnectionError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def servers(tmp_path):
    made = []

    def make(program=LARDER, *more):
        server = Server(program, tmp_path / f"server{len(made)}", *more)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def contents(server):
    """Every key of every database: its type, its value and when it dies."""
    found = {}
    for db in range(3):
        client = redis.Redis(port=server.port, db=db)
        for key in sorted(client.scan_iter(count=1000)):
            kind = client.type(key)
            value = {
                b"string": lambda k: client.get(k),
                b"list": lambda k: client.lrange(k, 0, -1),
                b"hash": lambda k: client.hgetall(k),
                b"set": lambda k: client.smembers(k),
                b"zset": lambda k: client.zrange(k, 0, -1, withscores=True),
                b"stream": lambda k: [client.xrange(k), [(g["name"], g["pending"]) for g in client.xinfo_groups(k)]],
                b"none": lambda k: None,
            }[kind](key)
            if value is not None:
                found[db, key] = (kind, value, client.execute_command("PEXPIRETIME", key))
        client.close()
    return found


def fill(server):
    client = server.client
    pipe = client.pipeline(transaction=False)
    for n in range(2000):
        pipe.set(f"s{n}", "x" * (n % 50), ex=1000 + n if n % 3 == 0 else None)
    for n in range(100):
        pipe.rpush(f"l{n}", *range(n + 1))
        pipe.hset(f"h{n}", mapping={f"f{i}": i for i in range(n + 1)})
        pipe.sadd(f"set{n}", *[f"m{i}" for i in range(n + 1)])
        pipe.sadd(f"ints{n}", *range(n + 1))
        pipe.zadd(f"z{n}", {f"m{i}": i / 3 for i in range(n + 1)})
        pipe.xadd(f"st{n}", {"a": n}, id=f"{n + 1}-1")
    pipe.xgroup_create("st1", "g", 0)
    pipe.xreadgroup("g", "c", {"st1": ">"})
    pipe.set("large", "y" * 300_000)
    pipe.execute()
    other = redis.Redis(port=server.port, db=1)
    other.set("in1", "1")
    other.close()


class Writer:
    """Somebody who writes without end."""

    def __init__(self, server):
        self.stopping = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self.run, args=(server.port,))
        self.thread.start()

    def run(self, port):
        clients = [redis.Redis(port=port, db=db, socket_timeout=PATIENCE_SECONDS) for db in range(2)]
        while not self.stopping.is_set():
            n = self.count = self.count + 1
            pipe = clients[n % 2].pipeline(transaction=n % 5 == 0)
            pipe.incr(f"counter{n % 7}")
            pipe.set(f"w{n % 500}", n, px=100_000 + n)
            pipe.rpush(f"wl{n % 10}", n)
            pipe.ltrim(f"wl{n % 10}", -20, -1)
            pipe.hset(f"wh{n % 10}", n % 30, n)
            pipe.spop(f"ints{n % 100}")
            pipe.set("short", n, px=5)
            pipe.execute()

    def stop(self):
        self.stopping.set()
        self.thread.join()


def offset(server):
    info = server.info()
    return int(info["master_repl_offset"])


def settle(primary, *replicas):
    """Waits until the replicas have all of the stream, and compares."""
    wait_until("the links are up", lambda: all(replica.is_up() for replica in replicas))
    primary.call("SET", "settled", str(time.monotonic()))
    marker = primary.call("GET", "settled")
    for replica in replicas:
        wait_until("the replica has the last write", lambda: replica.call("GET", "settled") == marker)
    expected = contents(primary)
    for replica in replicas:
        found = contents(replica)
        assert found == expected


def name(program):
    return os.path.basename(program[0]) if program[0] != "chroot" else os.path.basename(program[2])


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_a_node_follows_a_real_server(servers, peer, threads):
    primary = servers(peer)
    fill(primary)
    replica = servers(LARDER, "--threads", threads)
    replica.call("SET", "of its own", "1")
    writer = Writer(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, replica)
    with pytest.raises(redis.exceptions.ReadOnlyError):
        replica.call("SET", "a", "1")


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_a_real_server_follows_a_node(servers, peer, threads):
    primary = servers(LARDER, "--threads", threads)
    fill(primary)
    replica = servers(peer)
    writer = Writer(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, replica)
    assert primary.info()["connected_slaves"] == 1
    assert primary.info()["slave0"]["state"] == "online"


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("load", ["disabled", "flush-before-load"])
def test_nodes_follow_each_other_in_a_chain(servers, diskless, load):
    primary = servers(LARDER, "--repl-diskless-sync", diskless)
    fill(primary)
    middle = servers(LARDER, "--repl-diskless-load", load)
    last = servers(LARDER, "--repl-diskless-load", load)
    writer = Writer(primary)
    middle.follow(primary.port)
    wait_until("the middle is up", middle.is_up)
    last.follow(middle.port)
    wait_until("the last is up", last.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, middle, last)
    assert middle.call("ROLE")[0] == b"slave" and primary.call("ROLE")[0] == b"master"


def test_wait(servers):
    primary, replica = servers(), servers()
    assert primary.call("WAIT", "0", "100") == 0
    assert primary.call("WAIT", "1", "50") == 0
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    wait_until("it is online", lambda: primary.info()["slave0"]["state"] == "online")
    for n in range(50):
        primary.call("SET", "a", str(n))
        assert primary.call("WAIT", "1", str(PATIENCE_SECONDS * 1000)) == 1
        assert replica.call("GET", "a") == str(n).encode()
    assert primary.call("WAIT", "2", "50") == 1


class Proxy:
    """A TCP relay whose connections can be cut."""

    def __init__(self, to):
        self.to, self.pairs = to, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                a, _ = self.listener.accept()
                b = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.pairs.append((a, b))
            for pair in ((a, b), (b, a)):
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    def copy(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.close()
        self.cut()


@pytest.mark.parametrize("programs", [(LARDER, LARDER), (REDIS, LARDER), (LARDER, REDIS)], ids=str)
def test_a_cut_connection_is_gone_on_with(servers, programs):
    primary, replica = servers(programs[0]), servers(programs[1])
    fill(primary)
    proxy = Proxy(primary.port)
    replica.follow(proxy.port)
    wait_until("the link is up", replica.is_up)
    writer = Writer(primary)
    for _ in range(3):
        time.sleep(0.3)
        before = primary.client.info("stats")["sync_partial_ok"]
        proxy.cut()
        wait_until("it goes on", lambda: primary.client.info("stats")["sync_partial_ok"] > before)
    writer.stop()
    settle(primary, replica)
    assert primary.client.info("stats")["sync_full"] == 1
    proxy.close()


def test_who_followed_goes_on_with_who_takes_over(servers):
    primary, first, second = servers(), servers(), servers()
    fill(primary)
    for replica in (first, second):
        replica.follow(primary.port)
    wait_until("both are up", lambda: first.is_up() and second.is_up())
    settle(primary, first, second)
    primary.kill()
    first.call("REPLICAOF", "NO", "ONE")
    second.follow(first.port)
    first.call("SET", "after", "1")
    settle(first, second)
    stats = first.client.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (0, 1)
    assert second.info()["master_replid"] == first.info()["master_replid"]


def test_hand_over_without_a_lost_write(servers):
    primary, replica = servers(), servers()
    fill(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    wait_until("it is online", lambda: primary.info()["slave0"]["state"] == "online")
    acknowledged, refused = [], threading.Event()

    def write():
        client = redis.Redis(port=primary.port, socket_timeout=PATIENCE_SECONDS)
        for n in range(1_000_000):
            try:
                client.rpush("written", n)
            except redis.exceptions.ReadOnlyError:
                break
            acknowledged.append(n)
        refused.set()

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.3)
    primary.call("FAILOVER")
    assert refused.wait(PATIENCE_SECONDS)
    thread.join()
    wait_until("the roles are changed", lambda: primary.is_up() and replica.info()["role"] == "master")
    assert [int(n) for n in replica.client.lrange("written", 0, -1)] == acknowledged
    settle(replica, primary)
    assert replica.client.info("stats")["sync_full"] == 0


def test_expired_keys_wait_for_the_primary(servers):
    primary, replica = servers(), servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    primary.call("SET", "a", "1", "PX", "100")
    wait_until("it has come", lambda: replica.call("EXISTS", "a") == 1 or primary.call("EXISTS", "a") == 0)
    wait_until("it is gone", lambda: replica.call("GET", "a") is None)
    wait_until("the primary says so", lambda: replica.call("DBSIZE") == 0)
    assert replica.client.info("stats")["expired_keys"] == 0
