"""The append-only file: what commands become in it, and that it brings everything back, here and in a real server."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import differential_log
from differential_log import PATIENCE_SECONDS, Server, play, steps
from ports import free_port
from service import BINARY
from test_redis_dump import PEERS

LARDER = [str(BINARY), "node"]
KILLS = int(os.environ.get("LARDER_AOF_KILLS", "12"))
# How long clients write before a kill, at most, once each has written; and how many kills one file has to bear.
WRITES_SECONDS, KILLS_PER_FILE = 0.1, 25

MORE = """
SET a 1 | SET b 2 EX 1000 | SET float 1.5 | INCRBYFLOAT float 2 | HSET h a 1 b 2 c 3 | HINCRBYFLOAT h a 0.5
RPUSH l a b c d | LPOP l | SADD s a b c d e f | SPOP s 2 | ZADD z 1 a 2 b 3 c | ZPOPMIN z | SETEX c 1000 v
XADD st * a 1 | XADD st * a 2 | XGROUP CREATE st g 0 | XREADGROUP GROUP g c COUNT 1 STREAMS st >
SELECT 3 | SET in3 1 | EXPIRE in3 500 | MULTI | SET m 1 | INCR m | EXEC | SELECT 0 | PFADD pf a b c | SETBIT bits 7 1
GEOADD geo 13.361389 38.115556 Palermo | GETEX b EX 2000 | COPY a a2 | RENAME a2 a3 | SORT l ALPHA STORE sorted
expire gone 20 | SET gone2 1 | DEL gone2
"""


def everything():
    """Steps that leave much behind."""
    first = steps()
    more = [step.strip() for line in MORE.strip().splitlines() for step in line.split("|")]
    return first[: first.index("FLUSHDB ASYNC")] + more


def contents(port):
    """Every key of every database: its type, its value and when it dies."""
    found = {}
    for db in range(5):
        client = redis.Redis(port=port, db=db)
        for key in sorted(client.keys()):
            kind = client.type(key)
            value = {
                b"string": lambda k: client.get(k),
                b"list": lambda k: client.lrange(k, 0, -1),
                b"hash": lambda k: client.hgetall(k),
                b"set": lambda k: client.smembers(k),
                b"zset": lambda k: client.zrange(k, 0, -1, withscores=True),
                b"stream": lambda k: [
                    client.xrange(k),
                    [(g["name"], g["pending"], g["last-delivered-id"]) for g in client.xinfo_groups(k)],
                ],
            }[kind](key)
            found[db, key] = (kind, value, client.execute_command("PEXPIRETIME", key))
        client.close()
    return found


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer[0] if len(peer) == 1 else "peer")
def test_commands_become_what_they_become_in_a_peer(peer):
    assert differential_log.main(LARDER, peer) == []


@pytest.mark.parametrize("threads", [1, 4])
def test_everything_is_back_after_a_restart_and_in_redis(tmp_path, threads):
    program = [*LARDER, "--threads", str(threads)]
    server = Server(program, tmp_path / "node")
    for step in everything():
        play(server, step)
    before = contents(server.port)
    assert len(before) > 20
    server.stop()
    shutil.copytree(tmp_path / "node" / "appendonlydir", tmp_path / "redis" / "appendonlydir")
    again = Server(program, tmp_path / "node")
    assert contents(again.port) == before
    again.call("main", ["SET", "more", "1"])
    again.stop()
    third = Server(program, tmp_path / "node")
    assert third.call("main", ["GET", "more"]) == "1"
    third.stop()
    real = Server(["redis-server"], tmp_path / "redis")
    try:
        assert contents(real.port) == before
    finally:
        real.stop()


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_a_file_of_redis_is_loaded(tmp_path, preamble):
    """The base holds half of it."""
    real = Server(["redis-server", "--aof-use-rdb-preamble", preamble], tmp_path)
    for step in everything():
        play(real, step)
    real.call("main", ["BGREWRITEAOF"])
    until = time.monotonic() + PATIENCE_SECONDS
    while "aof_rewrite_in_progress:0" not in real.call("main", ["INFO", "persistence"]):
        assert time.monotonic() < until
    real.call("main", ["RPUSH", "l", "after"])
    real.call("main", ["HSET", "h", "after", "1"])
    before = contents(real.port)
    real.stop()
    server = Server(LARDER, tmp_path)
    try:
        assert contents(server.port) == before
    finally:
        server.stop()


def write_until_killed(server, workers=4):
    """Clients that count up keys of their own; what each was told last, once the node has been killed."""
    acknowledged = [0] * workers
    begun = [threading.Event() for _ in range(workers)]

    def write(worker):
        client = redis.Redis(port=server.port, socket_timeout=PATIENCE_SECONDS, retry=Retry(NoBackoff(), 0))
        try:
            for n in range(1, 1_000_000):
                pipe = client.pipeline(transaction=n % 3 == 0)
                pipe.set(f"k{worker}", n)
                pipe.rpush(f"l{worker}", n)
                pipe.execute()
                acknowledged[worker] = n
                begun[worker].set()
        except redis.exceptions.ConnectionError:
            pass

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for event in begun:
        assert event.wait(PATIENCE_SECONDS)
    return acknowledged, threads


@pytest.mark.parametrize("threads", [1, 2])
def test_no_acknowledged_write_is_lost(tmp_path, threads):
    program = [*LARDER, "--threads", str(threads), "--appendfsync", "always"]
    dice = random.Random(threads)
    server = Server(program, tmp_path)
    try:
        for kill in range(KILLS // 2):
            acknowledged, writers = write_until_killed(server)
            time.sleep(dice.random() * WRITES_SECONDS)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            for writer in writers:
                writer.join()
            server = Server(program, tmp_path)
            for worker, last in enumerate(acknowledged):
                assert int(server.call("main", ["GET", f"k{worker}"])) >= last
                values = [int(n) for n in server.call("main", ["LRANGE", f"l{worker}", "0", "-1"])]
                assert values == list(range(1, len(values) + 1)) and len(values) >= last
            server.call("main", ["FLUSHALL"])
            if kill % KILLS_PER_FILE == KILLS_PER_FILE - 1:
                # What all the kills before have left need not be loaded again and again.
                server.stop()
                shutil.rmtree(tmp_path / "appendonlydir")
                server = Server(program, tmp_path)
    finally:
        server.stop()


def cut_file(folder):
    (file,) = folder.glob("appendonlydir/*.incr.aof")
    return file


def refused(folder, *options):
    """What a node says that does not start."""
    options = ["--port", str(free_port()), "--dir", str(folder), "--appendonly", "yes", *options]
    run = subprocess.run([*LARDER, *options], capture_output=True, timeout=PATIENCE_SECONDS)
    assert run.returncode == 1
    return run.stdout + run.stderr


def test_a_file_that_is_cut_is_loaded_up_to_the_last_whole_step(tmp_path):
    server = Server(LARDER, tmp_path)
    for step in ["SET a 1", "MULTI", "SET a 2", "SET b 2", "EXEC"]:
        play(server, step)
    server.stop()
    file = cut_file(tmp_path)
    whole = file.read_bytes()
    end = whole.index(b"EXEC") + 2
    file.write_bytes(whole[:end])
    assert b"Unexpected end of file" in refused(tmp_path, "--aof-load-truncated", "no")
    assert file.read_bytes() == whole[:end]
    server = Server(LARDER, tmp_path)
    assert (server.call("main", ["GET", "a"]), server.call("main", ["GET", "b"])) == ("1", None)
    server.call("main", ["SET", "c", "3"])
    server.stop()
    server = Server(LARDER, tmp_path)
    assert (server.call("main", ["GET", "a"]), server.call("main", ["GET", "c"])) == ("1", "3")
    server.stop()


def test_a_corrupt_tail_is_cut_only_if_that_is_allowed(tmp_path):
    server = Server(LARDER, tmp_path)
    server.call("main", ["SET", "a", "1"])
    server.stop()
    file = cut_file(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole + b"\0" * 100)
    for most in ["0", "99"]:
        assert b"Bad file format" in refused(tmp_path, "--aof-load-corrupt-tail-max-size", most)
    server = Server([*LARDER, "--aof-load-corrupt-tail-max-size", "100"], tmp_path)
    assert server.call("main", ["GET", "a"]) == "1"
    server.stop()
    assert file.read_bytes().startswith(whole) and b"\0" not in file.read_bytes()


def test_a_single_file_of_older_versions_is_taken_over(tmp_path):
    commands = [[b"SELECT", b"2"], [b"SET", b"a", b"1"], [b"RPUSH", b"l", b"x", b"y"]]
    (tmp_path / "appendonly.aof").write_bytes(b"".join(map(differential_log.encode, commands)))
    for _ in range(2):
        server = Server(LARDER, tmp_path)
        found = contents(server.port)
        assert found[2, b"a"][1] == b"1" and found[2, b"l"][1] == [b"x", b"y"]
        server.stop()
    assert not (tmp_path / "appendonly.aof").exists()


def test_an_upgrade_that_redis_began_is_finished(tmp_path):
    """Redis names the old file in a manifest, and brings it into the folder only then."""
    (tmp_path / "appendonly.aof").write_bytes(differential_log.encode([b"SET", b"a", b"1"]))
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("file appendonly.aof seq 1 type b\n")
    for _ in range(2):
        server = Server(LARDER, tmp_path)
        assert contents(server.port)[0, b"a"][1] == b"1"
        server.stop()
    assert not (tmp_path / "appendonly.aof").exists()


@pytest.mark.parametrize("preamble", ["yes", "no"])
@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
def test_a_file_that_begins_with_nothing_has_a_base(tmp_path, preamble):
    server = Server([*LARDER, "--aof-use-rdb-preamble", preamble], tmp_path)
    server.stop()
    kind = "rdb" if preamble == "yes" else "aof"
    names = {path.name for path in (tmp_path / "appendonlydir").iterdir()}
    assert names == {f"appendonly.aof.1.base.{kind}", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"}
    peer = Server(["redis-server"], tmp_path)
    assert contents(peer.port) == {}
    peer.stop()


def test_why_a_file_is_not_loaded_stands_in_the_log(tmp_path):
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    options = ["--appendonly", "yes", "--port", "0", "--unixsocket", "s", "--logfile", "log", "--dir", str(tmp_path)]
    ended = subprocess.run([*LARDER, *options], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    said = "appendonly.aof.1.incr.aof: No such file or directory"
    assert ended.returncode == 1 and said in ended.stderr and said in (tmp_path / "log").read_text()


def test_nothing_dies_while_a_file_is_loaded_before_the_file_says_so(tmp_path):
    commands = [
        "SET dead v PXAT 1000", "APPEND dead x", "SET again v PXAT 1000", "UNLINK again", "APPEND again x",
        "HSET h a 1 b 1", "HPEXPIREAT h 1000 FIELDS 1 a", "HINCRBY h a 5", "XADD s 1-1 a b", "XGROUP CREATE s g 0",
        "XCLAIM s g c 0 1-1 TIME 1700000000000 RETRYCOUNT 3 FORCE JUSTID LASTID 1-1",
    ]  # fmt: skip
    text = b"".join(differential_log.encode([word.encode() for word in line.split()]) for line in commands)
    (tmp_path / "appendonly.aof").write_bytes(text)
    server = Server(LARDER, tmp_path)
    try:
        assert server.call("main", ["GET", "dead"]) is None
        assert server.call("main", ["GET", "again"]) == "x"
        assert server.call("main", ["HGETALL", "h"]) == ["b", "1"]
        ((_, consumer, idle, count),) = server.call("main", ["XPENDING", "s", "g", "-", "+", "10"])
        assert (consumer, count) == ("c", ":3") and int(idle[1:]) < 1e12
    finally:
        server.stop()
