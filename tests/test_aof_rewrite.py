"""The append-only file while it is written anew, turned on and off, and while the disk is full."""

import os
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ports import free_port
from service import BINARY, wait_until
from test_log import KILLS, WRITES_SECONDS, contents, everything
from test_redis_dump import PEERS
from differential_log import PATIENCE_SECONDS, Server, play

LIMIT_BYTES = 256 * 1024


class Node:
    """A node whose files may be bounded in size, which stands for a full disk."""

    def __init__(self, folder, *options, limit=None, environment=None):
        self.folder, self.port = Path(folder), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)

        def bound():
            # Exceeding the bound is to be an error of the call, not the end of the process.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        command = [str(BINARY), "node", "--port", str(self.port), "--dir", str(folder), "--save", "", *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            preexec_fn=bound if limit else None,
            restore_signals=limit is None,
            env={**os.environ, **(environment or {})},
        )
        self.client = self.connect()
        self.until(self.is_ready)

    def connect(self):
        return redis.Redis(port=self.port, socket_timeout=PATIENCE_SECONDS, retry=Retry(NoBackoff(), 0))

    def is_ready(self):
        assert self.process.poll() is None, "the node does not start"
        try:
            return self.client.ping()
        except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
            return False

    def until(self, condition):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, "it does not come to that"
            time.sleep(0.01)

    def persistence(self):
        return self.client.info("persistence")

    def is_quiet(self):
        return self.persistence()["aof_rewrite_in_progress"] == 0

    def rewrite(self):
        self.client.execute_command("BGREWRITEAOF")
        self.until(self.is_quiet)
        assert self.persistence()["aof_last_bgrewrite_status"] == "ok"

    def files(self):
        return sorted(path.name for path in (self.folder / "appendonlydir").iterdir())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def nodes():
    """Makes nodes, and ends them."""
    made = []

    def make(*args, **kwargs):
        made.append(Node(*args, **kwargs))
        return made[-1]

    yield make
    for node in made:
        if node.process.poll() is None:
            node.kill()


class Writers:
    """Clients that count up lists and keys of their own, and remember what they were told last."""

    def __init__(self, node, count=4):
        self.acknowledged = [0] * count
        self.begun = [threading.Event() for _ in range(count)]
        self.ending = False
        self.threads = [threading.Thread(target=self.write, args=(node, n)) for n in range(count)]
        for thread in self.threads:
            thread.start()
        for event in self.begun:
            assert event.wait(PATIENCE_SECONDS)

    def write(self, node, worker):
        client = node.connect()
        try:
            while not self.ending:
                n = self.acknowledged[worker] + 1
                pipe = client.pipeline(transaction=n % 3 == 0)
                pipe.rpush(f"l{worker}", n)
                pipe.incr(f"k{worker}")
                pipe.execute()
                self.acknowledged[worker] = n
                self.begun[worker].set()
        except (redis.exceptions.ConnectionError, redis.exceptions.ResponseError):
            pass

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join()

    def check(self, node):
        """Nothing that was acknowledged is lost, and nothing is there twice."""
        for worker, last in enumerate(self.acknowledged):
            values = [int(n) for n in node.client.lrange(f"l{worker}", 0, -1)]
            assert values == list(range(1, len(values) + 1)) and last <= len(values) <= last + 1
            assert last <= int(node.client.get(f"k{worker}")) <= last + 1


def fill(node, keys=5000):
    pipe = node.client.pipeline(transaction=False)
    for n in range(keys):
        pipe.set(f"key:{n}", "v" * 100)
    pipe.hset("hash", mapping={f"f{n}": "v" * 50 for n in range(keys)})
    pipe.execute()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_no_acknowledged_write_is_lost_while_the_file_is_written_anew(tmp_path, nodes, threads, preamble):
    options = ["--appendonly", "yes", "--appendfsync", "always", "--threads", str(threads)]
    options += ["--aof-use-rdb-preamble", preamble]
    dice = random.Random(threads)
    node = nodes(tmp_path, *options)
    fill(node)
    for _ in range(max(1, KILLS // 4)):
        node.client.delete(*(f"{kind}{worker}" for kind in "lk" for worker in range(4)))
        writers = Writers(node)

        def rewrite(node=node):
            try:
                while True:
                    node.rewrite()
            except (redis.exceptions.RedisError, AssertionError):
                pass

        rewriter = threading.Thread(target=rewrite)
        rewriter.start()
        time.sleep(dice.random() * WRITES_SECONDS)
        node.kill()
        writers.end()
        rewriter.join()
        node = nodes(tmp_path, *options)
        writers.check(node)
        assert node.client.dbsize() == 5001 + 8 and node.client.hlen("hash") == 5000
    node.rewrite()
    # What was replaced is gone.
    assert len(node.files()) == 3, node.files()


def within(program, tmp_path):
    """A new folder that the program can see."""
    parent = Path(program[1]) / "tmp" if program[0] == "chroot" else tmp_path
    return Path(tempfile.mkdtemp(dir=parent))


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_it_is_written_anew_with_everything_in_it_and_peers_load_it(tmp_path, preamble):
    node = [str(BINARY), "node", "--aof-use-rdb-preamble", preamble]
    folder = tmp_path / "node"
    server = Server(node, folder)
    for step in everything():
        play(server, step)
    server.call("main", ["BGREWRITEAOF"])
    client = redis.Redis(port=server.port)
    while client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.01)
    client.rpush("l", "after")
    before = contents(server.port)
    server.stop()
    names = sorted(path.name for path in (folder / "appendonlydir").iterdir())
    base = f"appendonly.aof.2.base.{'rdb' if preamble == 'yes' else 'aof'}"
    assert names == [base, "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"]
    # Redis 7.0 is too old for the snapshots that a node writes.
    peers = [peer for peer in PEERS if preamble == "no" or peer != ["redis-server"]]
    for program in [node, *peers]:
        where = within(program, tmp_path)
        try:
            shutil.copytree(folder / "appendonlydir", where / "appendonlydir")
            again = Server(program, where)
            try:
                assert contents(again.port) == before
            finally:
                again.stop()
        finally:
            shutil.rmtree(where)


@pytest.mark.parametrize("program", ["larder", "redis-server"])
def test_a_base_of_commands_says_when_it_was_written(tmp_path, program):
    options = ["--aof-timestamp-enabled", "yes", "--aof-use-rdb-preamble", "no"]
    server = Server([*([str(BINARY), "node"] if program == "larder" else [program]), *options], tmp_path)
    try:
        server.call("main", ["SET", "k", "v"])
        server.call("main", ["BGREWRITEAOF"])
        base = tmp_path / "appendonlydir" / "appendonly.aof.2.base.aof"
        wait_until("it is there", base.exists)
        lines = base.read_bytes().split(b"\r\n")
        assert lines[0].startswith(b"#TS:") and abs(int(lines[0][4:]) - time.time()) < 60
        assert lines[1:3] == [b"*2", b"$6"] and b"#" not in b"".join(lines[1:])
    finally:
        server.stop()


def test_it_is_turned_on_and_off_while_the_node_runs(tmp_path, nodes):
    node = nodes(tmp_path)
    fill(node)
    writers = Writers(node)
    for _ in range(3):
        node.client.config_set("appendonly", "yes")
        node.until(node.is_quiet)
        node.client.set("during", "on")
        node.client.config_set("appendonly", "no")
        node.client.set("during", "off")
    node.client.config_set("appendonly", "yes")
    node.until(node.is_quiet)
    assert node.persistence()["aof_enabled"] == 1
    writers.end()
    node.client.set("last", "1")
    assert node.client.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
    node.kill()
    node = nodes(tmp_path, "--appendonly", "yes")
    writers.check(node)
    assert node.client.mget("during", "last") == [b"off", b"1"] and node.client.hlen("hash") == 5000
    node.client.config_set("appendonly", "no")
    node.client.set("last", "2")
    node.stop()
    node = nodes(tmp_path, "--appendonly", "yes")
    assert node.client.get("last") == b"1"


def test_a_base_is_written_also_while_the_file_is_off(tmp_path, nodes):
    node = nodes(tmp_path)
    fill(node)
    node.rewrite()
    assert node.files() == ["appendonly.aof.1.base.rdb", "appendonly.aof.manifest"]
    node.client.set("not", "logged")
    node.rewrite()
    assert node.files() == ["appendonly.aof.2.base.rdb", "appendonly.aof.manifest"]
    node.kill()
    node = nodes(tmp_path, "--appendonly", "yes")
    assert node.client.dbsize() == 5002 and node.client.get("not") == b"logged"


def test_it_is_written_anew_by_itself_once_it_has_grown(tmp_path, nodes):
    node = nodes(tmp_path, "--appendonly", "yes", "--auto-aof-rewrite-min-size", "100kb")
    for _ in range(3):
        fill(node)
    node.until(lambda: node.persistence()["aof_last_rewrite_time_sec"] >= 0)
    info = node.persistence()
    assert info["aof_current_size"] < 3_000_000 and info["aof_base_size"] > 100_000
    node.client.config_set("auto-aof-rewrite-percentage", 0)


def write_until_refused(node):
    """What was acknowledged before the node refused, or ended."""
    last = 0
    with pytest.raises(redis.exceptions.RedisError) as error:
        for n in range(1, 1_000_000):
            node.client.set("n", n)
            node.client.append("log", "x" * 100)
            last = n
    return last, error.value


def test_a_full_disk_makes_a_node_refuse_writes_until_there_is_room(tmp_path, nodes):
    node = nodes(tmp_path, "--appendonly", "yes", limit=LIMIT_BYTES)
    last, error = write_until_refused(node)
    assert "MISCONF Errors writing to the AOF file: File too large" in f"MISCONF {error}".replace("MISCONF MISCONF", "MISCONF")
    assert node.persistence()["aof_last_write_status"] == "err" and int(node.client.get("n")) >= last
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    node.until(lambda: node.persistence()["aof_last_write_status"] == "ok")
    node.client.set("after", 1)
    assert node.client.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
    node.kill()
    again = nodes(tmp_path, "--appendonly", "yes")
    assert int(again.client.get("n")) >= last and again.client.get("after") == b"1"
    assert last * 100 <= again.client.strlen("log") <= (last + 1) * 100


# Whether a key dies after the disk was full, and so another command comes for the file, or before that.
@pytest.mark.parametrize("lives_ms", [1, 5000])
def test_what_could_not_be_written_for_too_long_comes_back_with_a_new_base(tmp_path, nodes, lives_ms):
    node = nodes(tmp_path, "--appendonly", "yes", limit=LIMIT_BYTES)
    node.client.set("dies", 1, px=lives_ms)
    node.client.set("large", b"x" * (40 << 20))
    node.until(lambda: node.persistence()["aof_last_write_status"] == "err")
    node.until(lambda: node.persistence()["aof_buffer_length"] == 0)
    with pytest.raises(redis.exceptions.RedisError):
        node.client.set("a", 1)
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    node.until(lambda: node.persistence()["aof_last_write_status"] == "ok")
    node.client.set("a", 2)
    assert node.client.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
    node.kill()
    again = nodes(tmp_path, "--appendonly", "yes")
    assert again.client.get("a") == b"2" and again.client.strlen("large") == 40 << 20
    again.until(lambda: again.client.exists("dies") == 0)


def test_a_full_disk_ends_a_node_that_promised_every_write(tmp_path, nodes):
    node = nodes(tmp_path, "--appendonly", "yes", "--appendfsync", "always", limit=LIMIT_BYTES)
    last, _ = write_until_refused(node)
    assert node.process.wait(PATIENCE_SECONDS) == 1
    again = nodes(tmp_path, "--appendonly", "yes")
    assert last <= int(again.client.get("n")) <= last + 1
    assert last * 100 <= again.client.strlen("log") <= (last + 1) * 100


def test_a_session_waits_for_the_disk(tmp_path, nodes):
    node = nodes(tmp_path, "--appendonly", "yes", "--threads", "2")
    wait = lambda *words: node.client.execute_command("WAITAOF", *words)
    assert wait(0, 0, 0) in ([0, 0], [1, 0])
    node.client.set("a", 1)
    assert wait(1, 0, 0) == [1, 0]
    assert wait(1, 1, 50) == [1, 0]
    for words, error in [
        ((2, 0, 0), "value is out of range, value must between 0 and 1"),
        ((1, -1, 0), "value is out of range, must be positive"),
        ((1, 0, -1), "timeout is negative"),
        ((1, 0, "x"), "timeout is not an integer or out of range"),
    ]:
        with pytest.raises(redis.exceptions.ResponseError, match=error):
            wait(*words)
    # What is sent behind it is executed afterwards.
    pipe = node.client.pipeline(transaction=False)
    pipe.set("b", 1).execute_command("WAITAOF", 1, 0, 0).get("b")
    assert pipe.execute()[1:] == [[1, 0], b"1"]
    transaction = node.client.pipeline(transaction=True)
    transaction.set("c", 1).execute_command("WAITAOF", 1, 3, 0)
    assert transaction.execute()[1] in ([0, 0], [1, 0])
    for setting in ["always", "no"]:
        node.client.config_set("appendfsync", setting)
        node.client.set("a", setting)
        assert wait(1, 0, 0) == [1, 0]
    node.client.config_set("appendonly", "no")
    with pytest.raises(redis.exceptions.ResponseError, match="WAITAOF cannot be used when numlocal is set"):
        wait(1, 0, 0)


def test_client_unblock_ends_a_wait_for_disks(tmp_path, nodes):
    node = nodes(tmp_path, "--appendonly", "yes", "--threads", "2")
    other = redis.Redis(**node.client.connection_pool.connection_kwargs, single_connection_client=True)
    waits = other.client_id()
    other.set("a", 1)
    assert other.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
    assert node.client.client_unblock(waits) == 0, "it waits for nothing"
    for how, expected in [((), [1, 0]), (("TIMEOUT",), [1, 0]), (("ERROR",), "client unblocked via CLIENT UNBLOCK")]:
        seen = []

        def wait():
            try:
                seen.append(other.execute_command("WAITAOF", 1, 1, 0))
            except redis.exceptions.ResponseError as error:
                seen.append(str(error).removeprefix("UNBLOCKED "))

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until("it waits", lambda: node.client.execute_command("CLIENT", "UNBLOCK", waits, *how) == 1)
        thread.join()
        assert seen == [expected]
        assert other.get("a") == b"1"


SLOW_DISK = """
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    while (access(getenv("CLOSED_GATE"), F_OK) == 0) usleep(1000);
    return real(file);
}
"""


@pytest.mark.parametrize("setting", ["everysec", "always"])
def test_a_disk_that_takes_its_time_holds_up_nobody_but_who_waits_for_it(tmp_path, nodes, setting):
    """An fsync takes until a file is gone."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    source, library, gate = tmp_path / "disk.c", tmp_path / "disk.so", tmp_path / "gate"
    source.write_text("#define _GNU_SOURCE\n" + SLOW_DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library), "CLOSED_GATE": str(gate)}
    node = nodes(tmp_path / "node", "--appendonly", "yes", "--appendfsync", setting, "--threads", "1", environment=environment)
    node.client.set("before", 1)
    assert node.client.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
    gate.touch()
    answers = {}

    def write(client):
        answers["set"] = client.set("slow", 1)
        answers["waitaof"] = client.execute_command("WAITAOF", 1, 0, 0)

    writer = threading.Thread(target=write, args=(node.connect(),))
    writer.start()
    node.until(lambda: node.client.get("slow") == b"1")
    # Others read, and with everysec they write, more than once round.
    time.sleep(1.5)
    for n in range(1000):
        assert node.client.get("before") == b"1"
        if setting == "everysec":
            node.client.set("other", n)
    assert "waitaof" not in answers and ("set" in answers) == (setting == "everysec")
    gate.unlink()
    writer.join()
    assert answers == {"set": True, "waitaof": [1, 0]}
