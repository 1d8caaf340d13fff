"""Servers that replicate, as tests start them: Larder's nodes, redis-server and others; somebody who writes; a relay whose
connections can be cut; and what servers hold, to compare."""

import os
import shlex
import signal
import socket
import subprocess
import threading
import time

import pytest
import redis

from ports import free_port
from service import BINARY, PATIENCE_S, wait_until

LARDER = [str(BINARY), "node"]
REDIS = ["redis-server"]
# Other servers that can be started with `--port`, as `LARDER_PEERS` names them.
PEERS = [REDIS] + [shlex.split(peer) for peer in os.environ.get("LARDER_PEERS", "").split(";") if peer.strip()]
QUICK = ["--save", "", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server:
    """A server in a folder of its own, which can be killed and started again."""

    def __init__(self, program, folder, *more, environment=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.program, self.folder, self.more = program, folder, more
        self.environment = {**os.environ, **(environment or {})}
        self.port = free_port()
        self.start()

    def start(self, *once):
        command = [*self.program, "--port", str(self.port), *QUICK, *self.more, *once]
        if self.program[0] == LARDER[0] and "--threads" not in self.more:
            command += ["--threads", "2"]
        if self.program[0] == "chroot":  # its folder is not this one: it must not load what somebody left there
            command += ["--dir", "/tmp", "--dbfilename", f"replication-{self.port}.rdb"]
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=self.environment,
        )
        self.client = redis.Redis(port=self.port, socket_timeout=PATIENCE_S)
        wait_until("the server answers", self.answers)

    def restart(self, *once):
        """Starts it again at its port, which somebody's connection may hold for a while."""
        wait_until("its port is free", lambda: is_free(self.port))
        self.start(*once)

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

    def rest(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stats(self):
        return self.client.info("stats")

    def stop(self):
        if self.process.poll() is None:
            self.go_on()
            self.process.terminate()
            try:
                self.process.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def servers(tmp_path):
    made = []

    def make(program=LARDER, *more, **environment):
        server = Server(program, tmp_path / f"server{len(made)}", *more, **environment)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def reads(pipe, key, kind):
    """Asks for the value of a key, and for when it dies."""
    {
        b"string": lambda: pipe.get(key),
        b"list": lambda: pipe.lrange(key, 0, -1),
        b"hash": lambda: pipe.hgetall(key),
        b"set": lambda: pipe.smembers(key),
        b"zset": lambda: pipe.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: pipe.xrange(key),
    }[kind]()
    pipe.execute_command("XINFO", "GROUPS", key) if kind == b"stream" else pipe.exists(key)
    pipe.execute_command("PEXPIRETIME", key)


def contents(server):
    """Every key of every database: its type, its value and when it dies."""
    found = {}
    for db in range(3):
        client = redis.Redis(port=server.port, db=db, socket_timeout=PATIENCE_S)
        pipe = client.pipeline(transaction=False)
        keys = sorted(client.scan_iter(count=1000))
        for key in keys:
            pipe.type(key)
        kinds = [(key, kind) for key, kind in zip(keys, pipe.execute()) if kind != b"none"]
        for key, kind in kinds:
            reads(pipe, key, kind)
        answers = iter(pipe.execute())
        for (key, kind), value, more, dies in zip(kinds, answers, answers, answers):
            if more != 0:  # it may have died meanwhile
                found[db, key] = (kind, value, group_facts(more) if kind == b"stream" else None, dies)
        client.close()
    return found


def group_facts(groups):
    """What replicas have to know of the groups of a stream."""
    facts = [dict(zip(group[::2], group[1::2])) for group in groups]
    return [(group[b"name"], group[b"pending"], group[b"last-delivered-id"]) for group in facts]


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
    """Somebody who writes without end, as long as the server lives."""

    def __init__(self, server):
        self.stopping = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self.run, args=(server.port,), daemon=True)
        self.thread.start()

    def run(self, port):
        clients = [redis.Redis(port=port, db=db, socket_timeout=PATIENCE_S) for db in range(2)]
        try:
            while not self.stopping.is_set():
                self.write(clients)
        except redis.exceptions.ConnectionError:
            pass

    def write(self, clients):
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


def online(primary, count=1):
    """Waits until so many replicas are sent the stream."""
    def look():
        info = primary.info()
        return info["connected_slaves"] == count and all(info[f"slave{n}"]["state"] == "online" for n in range(count))

    wait_until(f"{count} replicas are online", look)


def name(program):
    return os.path.basename(program[0]) if program[0] != "chroot" else os.path.basename(program[2])


def names(programs):
    return "-".join(map(name, programs))


class Proxy:
    """A TCP relay whose connections can be cut, and which can be slow."""

    def __init__(self, to, bytes_per_second=None):
        self.to, self.pairs, self.rate = to, [], bytes_per_second
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                a, _ = self.listener.accept()
            except OSError:
                return
            try:
                b = socket.create_connection(("127.0.0.1", self.to))
            except OSError:  # nobody is there just now
                a.close()
                continue
            self.pairs.append((a, b))
            for pair in ((a, b), (b, a)):
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    def copy(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
                if self.rate:
                    time.sleep(len(data) / self.rate)
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


class Barrier(Proxy):
    """A relay that lets only so many bytes through to each who connects, until it is opened; or nobody, while it is shut."""

    def __init__(self, to):
        self.limit, self.shut, self.opened = None, False, threading.Event()
        super().__init__(to)

    def hold(self, limit):
        self.limit, self.shut = limit, False
        self.opened.clear()

    def copy(self, source, target):
        inwards = any(source is b for _, b in self.pairs)
        refused = self.shut  # only this one: by the time that its thread runs, others may be let in
        left = limit = self.limit  # after the look whether it is shut: the limit is set first
        try:
            while not refused and (data := source.recv(16384)):
                if inwards and limit is not None and not self.opened.is_set():
                    left -= len(data)
                    if left < 0:
                        self.opened.wait()
                        if self.shut:
                            break  # what waited goes nowhere
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.opened.set()
        super().close()
