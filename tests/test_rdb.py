"""Files of snapshots: here and at real servers, while clients write, and when things go wrong.

The peers are redis-server, if it is installed, and the servers that LARDER_PEERS names (as in test_redis_dump.py).
"""

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis

from ports import free_port
from service import BINARY, PATIENCE_S
from test_redis_dump import PEERS, fill, fill_streams, read

FAR_MS = 4_000_000_000_000


class Server:
    """A server whose file is in a folder of its own."""

    def __init__(self, command, folder, *directives, expect=True):
        self.port, self.folder = free_port(), Path(folder)
        root = command[1] if command[0] == "chroot" else "/"
        inside = "/" + os.path.relpath(self.folder, root)
        self.log = self.folder / f"log-{self.port}"
        command = [*command, "--port", str(self.port), "--dir", inside, *directives]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.client = redis.Redis(port=self.port, socket_timeout=PATIENCE_S)
        if expect:
            self.wait_until_ready()

    def wait_until_ready(self):
        def is_ready():
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            try:
                return self.client.ping()
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                return False

        wait(is_ready)
        return self

    def db(self, number):
        return redis.Redis(port=self.port, db=number, socket_timeout=PATIENCE_S)

    def save_in_background(self):
        self.client.bgsave()
        wait(lambda: not self.client.info("persistence")["rdb_bgsave_in_progress"])

    def end(self, how=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout=PATIENCE_S)


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def larder(*directives):
    return [str(BINARY), "node", "--threads", "2", "--enable-debug-command", "yes", "--enable-protected-configs", "yes", *directives]


@pytest.fixture
def start(tmp_path):
    """Starts servers that are gone after the test."""
    started = []

    def one(command=None, folder=tmp_path, *directives, **options):
        server = Server(command or larder(), folder, *directives, **options)
        started.append(server)
        return server

    one.folder = tmp_path
    yield one
    for server in started:
        server.end()


def image(server, databases=(0, 3, 15)):
    """Every key of a server: type, value and deadline."""
    found = {}
    for db in databases:
        client = server.db(db)
        for key in client.scan_iter(count=1000):
            kind, value = read(client, key)
            found[db, key] = (kind, value, client.execute_command("PEXPIRETIME", key))
        client.close()
    return found


def fill_all(server):
    fill(server.client)
    fill_streams(server.client)
    server.client.pexpireat("list:all", FAR_MS)
    for db in (3, 15):
        other = server.db(db)
        other.mset({f"key:{at}": at for at in range(500)})
        other.pexpireat("key:7", FAR_MS + db)
        other.close()


def peer_folder(peer, tmp_path):
    """A folder that the peer can see."""
    if peer[0] != "chroot":
        return tmp_path
    folder = Path(peer[1]) / "tmp" / f"larder-{os.getpid()}-{free_port()}"
    folder.mkdir(mode=0o777)
    return folder


@pytest.mark.parametrize("peer", PEERS, ids=lambda command: command[-1])
def test_files_of_a_peer_are_loaded_and_ours_by_the_peer(peer, start, tmp_path):
    folder = peer_folder(peer, tmp_path)
    quiet = ("--save", "", "--protected-mode", "no")
    there = start(peer, folder, *quiet)
    fill_all(there)
    there.client.save()
    expected = image(there)
    there.end()
    here = start(None, folder)
    assert image(here) == expected
    # What was written here with other thresholds and orders goes back.
    assert here.client.execute_command("DEBUG", "RELOAD")
    assert image(here) == expected
    here.client.set("made here", "x")
    here.client.save()
    expected[0, b"made here"] = (b"string", b"x", -1)
    head = (folder / "dump.rdb").read_bytes()[:9]
    here.end()
    again = start(peer, folder, *quiet, expect=False)
    try:
        again.wait_until_ready()
    except AssertionError:
        assert f"Can't handle RDB format version {int(head[5:])}" in again.log.read_text()
        pytest.skip(f"the peer is too old for {head}")
    assert image(again) == expected
    again.end()
    if folder != tmp_path:
        shutil.rmtree(folder)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_snapshot_is_one_instant(start, threads):
    server = start(None, start.folder, "--threads", threads)
    pairs = 300
    pipe = server.client.pipeline(transaction=False)
    for at in range(60_000):
        pipe.set(f"filler:{at}", "x" * 40)
        if at % 1000 == 999:
            pipe.execute()
    for at in range(pairs):
        pipe.mset({f"left:{at}": 0, f"right:{at}": 0}).rpush(f"list:{at}", *range(50)).hset(f"hash:{at}", "n", 0)
        pipe.set(f"long:{at}", "y" * 20_000)
    pipe.execute()
    stop, written = threading.Event(), [0]

    def change(seed):
        client = redis.Redis(port=server.port)
        for at in itertools.count(seed):
            if stop.is_set():
                break
            n = at * 7919 % pairs
            pipe = client.pipeline(transaction=True)
            pipe.incr(f"left:{n}").append(f"long:{n}", "z").lpop(f"list:{n}").rpush(f"list:{n}", at)
            pipe.hincrby(f"hash:{n}", "n", 1).incr(f"right:{n}")
            pipe.rename(f"filler:{at % 60_000}", f"moved:{at % 60_000}") if at % 3 == 0 else pipe.ping()
            try:
                pipe.execute()
            except redis.ResponseError:
                pass  # renamed before
            written[0] += 1
        client.close()

    writers = [threading.Thread(target=change, args=(seed,)) for seed in (0, 1_000_003)]
    [writer.start() for writer in writers]
    try:
        for _ in range(3):
            wait(lambda before=written[0]: written[0] > before + 50)
            server.save_in_background()
            copy = server.folder / "copy"
            copy.mkdir(exist_ok=True)
            shutil.copy(server.folder / "dump.rdb", copy / "dump.rdb")
            loaded = start(None, copy)
            get = loaded.client.mget
            left, right = (list(map(int, get([f"{side}:{n}" for n in range(pairs)]))) for side in ("left", "right"))
            assert left == right and sum(left) > 0
            counts = [int(loaded.client.hget(f"hash:{n}", "n")) for n in range(pairs)]
            assert counts == left
            assert [loaded.client.strlen(f"long:{n}") for n in range(pairs)] == [20_000 + count for count in left]
            assert all(loaded.client.llen(f"list:{n}") == 50 for n in range(pairs))
            assert loaded.client.dbsize() == 60_000 + 5 * pairs  # a key that moved is there once
            loaded.end()
    finally:
        stop.set()
        [writer.join() for writer in writers]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_large_collections_are_as_they_were_while_they_change(start, threads):
    """They are shared with the snapshot and written by another thread while their members come, change and go."""
    server = start(None, start.folder, "--threads", threads)
    count = 60_000
    pipe = server.client.pipeline(transaction=False)
    for first in range(0, count, 1000):
        members = range(first, first + 1000)
        pipe.hset("hash", mapping={f"f{n}": 0 for n in members}).sadd("set", *(f"m{n}" for n in members))
        pipe.zadd("zset", {f"m{n}": 0 for n in members}).rpush("list", *(f"{n}:0" for n in members))
        pipe.hset("wide", mapping={f"f{n}": "x" * 2000 for n in members if n % 50 == 0})
    pipe.execute()
    # What all members have in common is a number, which each step changes in some of them and in a string.
    stop, written = threading.Event(), [0]

    def change():
        client = redis.Redis(port=server.port)
        for step in itertools.count(1):
            if stop.is_set():
                break
            n = step * 7919 % count
            pipe = client.pipeline(transaction=True)
            pipe.set("step", step).hset("hash", f"f{n}", step).zadd("zset", {f"m{n}": step})
            # The member that had this place before goes: a fast writer comes round again.
            pipe.srem("set", f"m{n}", f"s{step - count}").sadd("set", f"s{step}").lset("list", n, f"{n}:{step}")
            pipe.hset("wide", f"f{n - n % 50}", f"{step}" + "y" * 1500).xadd("stream", {"step": step})
            pipe.execute()
            written[0] = step
        client.close()

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(2):
            wait(lambda before=written[0]: written[0] > before + 300)
            server.save_in_background()
            copy = server.folder / "copy"
            copy.mkdir(exist_ok=True)
            shutil.copy(server.folder / "dump.rdb", copy / "dump.rdb")
            client = start(None, copy).client
            last = int(client.get("step"))
            fields, scores = client.hgetall("hash"), dict(client.zrange("zset", 0, -1, withscores=True))
            items, members = client.lrange("list", 0, -1), client.smembers("set")
            assert len(fields) == len(scores) == len(items) == len(members) == count
            steps = {step * 7919 % count: step for step in range(1, last + 1)}
            for n in range(count):
                step = steps.get(n, 0)
                assert int(fields[b"f%d" % n]) == step and scores[b"m%d" % n] == step
                assert items[n] == b"%d:%d" % (n, step)
            assert all(b"s%d" % step in members for step in steps.values())
            assert client.xlen("stream") == last
            latest = {n - n % 50: step for n, step in sorted(steps.items(), key=lambda pair: pair[1])}
            for n, value in client.hgetall("wide").items():
                step = latest.get(int(n[1:]))
                assert value == (b"x" * 2000 if step is None else b"%d" % step + b"y" * 1500)
            client.shutdown(nosave=True)
    finally:
        stop.set()
        writer.join()


def test_large_collections_that_change_at_once_do_not_end_a_snapshot(start):
    """All of them are handed to it before anybody can have written one; they are shared, and take little."""
    server = start(None, start.folder, "--threads", "1")
    keys, count = [f"set:{n}" for n in range(6)], 300_000
    for first in range(0, count, 10_000):
        members = [f"m{n}" for n in range(first, first + 10_000)]
        for key in keys:
            server.client.sadd(key, *members)
    pipe = server.client.pipeline(transaction=False)
    pipe.bgsave()
    for key in keys:
        pipe.srem(key, "m0")
    pipe.execute()
    wait(lambda: not server.client.info("persistence")["rdb_bgsave_in_progress"])
    assert server.client.info("persistence")["rdb_last_bgsave_status"] == "ok"
    server.end()
    again = start()
    for key in keys:
        assert again.client.scard(key) == count and again.client.sismember(key, "m0")


def test_a_flush_and_a_swap_do_not_disturb_a_snapshot(start):
    server = start()
    pipe = server.client.pipeline(transaction=False)
    for at in range(40_000):
        pipe.set(f"key:{at}", at)
    pipe.execute()
    server.db(3).set("other", 1)
    pipe = server.client.pipeline(transaction=False)
    pipe.bgsave().swapdb(0, 3).execute_command("FLUSHDB").set("new", 1)
    pipe.execute()
    wait(lambda: not server.client.info("persistence")["rdb_bgsave_in_progress"])
    assert server.client.dbsize() == 1 and server.db(3).dbsize() == 40_000
    server.end()
    again = start()
    assert again.client.dbsize() == 40_000 and again.db(3).keys() == [b"other"]
    assert again.client.get("key:39999") == b"39999"


@pytest.mark.parametrize("points", ["", "3600 1000000"])
def test_what_was_flushed_does_not_come_back_where_there_are_save_points(start, points):
    server = start(None, start.folder, "--save", points)
    server.client.mset({f"key{n}": n for n in range(10)})
    server.client.save()
    server.client.config_set("rdb-key-save-delay", 1_000_000_000)
    server.client.bgsave()
    assert server.client.info("persistence")["rdb_bgsave_in_progress"] == 1
    assert server.client.flushall()
    wait(lambda: server.client.info("persistence")["rdb_bgsave_in_progress"] == 0)
    assert server.client.info("persistence")["rdb_changes_since_last_save"] == (0 if points else 10)
    server.client.set("after", 1)
    server.end()
    assert start().client.dbsize() == (0 if points else 10)


@pytest.mark.parametrize("program", ["larder", "redis"])
@pytest.mark.parametrize("points", ["", "3600 1000000"])
def test_what_counts_as_unsaved_after_a_flush(start, program, points):
    if program == "redis" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = start(["redis-server"] if program == "redis" else None, start.folder, "--save", points)

    def changes_after(flush):
        before = server.client.info("persistence")["rdb_changes_since_last_save"]
        server.client.mset({f"key{n}": n for n in range(5)})
        server.client.execute_command(*flush.split())
        after = server.client.info("persistence")["rdb_changes_since_last_save"]
        return after if points and flush.startswith("FLUSHALL") else after - before

    # FLUSHALL saves where there are save points; FLUSHDB never does.
    for flush in ("FLUSHALL", "FLUSHDB", "FLUSHALL SYNC", "FLUSHDB ASYNC", "FLUSHALL ASYNC"):
        assert changes_after(flush) == (0 if points and "ALL" in flush else 10), flush
    pipe = server.client.pipeline()
    pipe.set("a", 1).flushall().set("b", 1).execute()
    unsaved = server.client.info("persistence")["rdb_changes_since_last_save"]
    assert unsaved == 1 if points else unsaved > 1


def test_a_flush_while_the_base_of_a_log_is_written_saves_later(start):
    server = start(larder("--appendonly", "yes", "--save", "3600 1000000"))
    server.client.mset({f"key{n}": n for n in range(10)})
    server.client.save()
    server.client.config_set("rdb-key-save-delay", 1_000_000_000)
    server.client.bgrewriteaof()
    wait(lambda: server.client.info("persistence")["aof_rewrite_in_progress"] == 1)
    saves = server.client.info("persistence")["rdb_saves"]
    assert server.client.flushall()
    server.client.config_set("rdb-key-save-delay", 0)
    wait(lambda: server.client.info("persistence")["rdb_saves"] > saves)
    server.client.config_set("appendonly", "no")
    server.end()
    assert start().client.dbsize() == 0


def test_a_kill_leaves_the_old_file_or_the_new_one(start, tmp_path):
    server = start()
    server.client.set("generation", 0)
    server.client.save()
    for round_ in range(6):
        pipe = server.client.pipeline(transaction=False)
        for at in range(20_000):
            pipe.set(f"key:{at}", f"{round_}" * 50)
        pipe.set("generation", round_ + 1)
        pipe.execute()
        server.client.bgsave()
        time.sleep(0.01 * round_)
        server.end()
        server = start()
        generation = int(server.client.get("generation"))
        assert generation in (0, round_ + 1, *range(round_ + 1))
        if generation:
            assert set(server.client.mget([f"key:{at}" for at in range(20_000)])) == {f"{generation - 1}".encode() * 50}
        assert not list(tmp_path.glob("temp-*.rdb"))


def test_the_end_of_a_node_saves_if_there_are_save_points(start):
    server = start(None, start.folder, "--save", "900 1")
    server.client.set("a", 1)
    assert server.end(signal.SIGTERM) == 0
    server = start(None, start.folder, "--save", "900 1", "300 10")
    assert server.client.config_get("save") == {"save": "900 1 300 10"}
    assert server.client.get("a") == b"1"
    server.client.set("a", 2)
    server.client.shutdown(nosave=True)
    server.process.wait(timeout=PATIENCE_S)
    server = start()
    assert server.client.get("a") == b"1"
    server.client.set("a", 3)
    server.client.shutdown(save=True)
    server.process.wait(timeout=PATIENCE_S)
    server = start()
    assert server.client.get("a") == b"3"
    server.client.set("a", 4)
    assert server.end(signal.SIGTERM) == 0  # no save points: nothing is saved
    assert start().client.get("a") == b"3"


def test_save_points_save(start):
    server = start(None, start.folder, "--save", "1 3")
    before = server.client.lastsave()
    for at in range(3):
        server.client.set(f"k{at}", at)
    wait(lambda: server.client.info("persistence")["rdb_saves"] == 1)
    assert (server.folder / "dump.rdb").exists() and server.client.lastsave() >= before
    assert server.client.info("persistence")["rdb_changes_since_last_save"] == 0


@pytest.mark.parametrize("room", [100_000, 192 * 1024, 300_001])
def test_a_disk_that_is_full_stops_writes_and_leaves_nothing_behind(start, room):
    server = start(None, start.folder, "--save", "900 1000000")
    server.client.set("a", os.urandom(400_000))
    server.client.save()
    saved = (server.folder / "dump.rdb").read_bytes()
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    server.save_in_background()
    info = server.client.info("persistence")
    assert info["rdb_last_bgsave_status"] == "err" and info["rdb_saves"] == 1
    with pytest.raises(redis.ResponseError, match="MISCONF .*stop-writes-on-bgsave-error"):
        server.client.set("a", 2)
    with pytest.raises(redis.ResponseError):
        server.client.save()
    assert server.client.strlen("a") == 400_000
    assert (server.folder / "dump.rdb").read_bytes() == saved and not list(server.folder.glob("temp-*"))
    server.client.config_set("stop-writes-on-bgsave-error", "no")
    server.client.set("b", 2)
    server.process.send_signal(signal.SIGTERM)
    wait(lambda: "can't exit" in server.log.read_text())
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    server.save_in_background()
    assert server.client.info("persistence")["rdb_last_bgsave_status"] == "ok"
    assert server.end(signal.SIGTERM) == 0


def test_bgsave_is_refused_scheduled_and_cancelled(start):
    server = start()
    pipe = server.client.pipeline(transaction=False)
    for at in range(50_000):
        pipe.set(f"key:{at}", os.urandom(20))
    pipe.execute()

    def cancel_the_second():
        """False if the node did not run for so long that the first was over by then."""
        (server.folder / "dump.rdb").unlink(missing_ok=True)
        pipe = server.client.pipeline(transaction=False)
        pipe.execute_command("BGSAVE").execute_command("BGSAVE").execute_command("BGSAVE", "CANCEL")
        started, again, cancelled = pipe.execute(raise_on_error=False)
        wait(lambda: not server.client.info("persistence")["rdb_bgsave_in_progress"])
        assert started is True
        return cancelled is True and "already in progress" in str(again)

    wait(cancel_the_second)
    assert not list(server.folder.glob("*.rdb"))
    assert server.client.info("persistence")["rdb_last_bgsave_status"] == "ok"
    for wrong in (["BGSAVE", "CANCEL"], ["BGSAVE", "NONSENSE"], ["BGSAVE", "SCHEDULE", "NOW"]):
        with pytest.raises(redis.ResponseError):
            server.client.execute_command(*wrong)
    wait(lambda: server.client.info("persistence")["current_save_keys_total"] == 0)
    server.save_in_background()
    assert (server.folder / "dump.rdb").exists()


def test_saves_and_loads_can_be_made_slow(start):
    server = start(larder("--rdb-key-save-delay", "1000000000"))
    server.client.mset({f"key{n}": n for n in range(10)})
    server.client.bgsave()
    assert server.client.info("persistence")["rdb_bgsave_in_progress"] == 1
    server.client.config_set("rdb-key-save-delay", 0)
    wait(lambda: server.client.info("persistence")["rdb_bgsave_in_progress"] == 0)
    server.client.config_set("rdb-key-save-delay", 1_000_000_000)
    server.client.bgsave()
    assert server.client.execute_command("BGSAVE", "CANCEL") in (b"Background saving cancelled", True)
    wait(lambda: server.client.info("persistence")["rdb_bgsave_in_progress"] == 0)
    server.end()
    server = start(larder("--key-load-delay", "1000000000"), expect=False)
    loads = lambda: server.client.info("persistence")
    wait(lambda: server.process.poll() is None and is_asked(loads) and loads()["rdb_last_load_keys_loaded"] == 10)
    assert loads()["loading"] == 1
    server.client.config_set("key-load-delay", 0)
    wait(lambda: loads()["loading"] == 0 and server.client.dbsize() == 10)


def is_asked(ask):
    try:
        return ask()
    except redis.exceptions.ConnectionError:
        return False


def test_a_node_that_loads_says_so(start, tmp_path):
    server = start()
    pipe = server.client.pipeline(transaction=False)
    for at in range(30_000):
        pipe.set(f"key:{at}", os.urandom(30))
    pipe.set("over", 1, px=1)
    pipe.execute()
    server.client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    server.client.save()
    server.end()
    whole = (tmp_path / "dump.rdb").read_bytes()
    (tmp_path / "dump.rdb").unlink()
    os.mkfifo(tmp_path / "dump.rdb")
    server = start(None, tmp_path, "--memcached-port", str(free_port()), expect=False)
    with open(tmp_path / "dump.rdb", "wb") as pipe:
        pipe.write(whole[: len(whole) // 2])
        pipe.flush()

        def is_loading():
            assert server.process.poll() is None
            try:
                server.client.get("key:1")
            except redis.ConnectionError as error:  # BusyLoadingError is one
                return "LOADING" in str(error) or "loading" in str(error)
            return False

        wait(is_loading)
        info = server.client.info("persistence")
        assert info["loading"] == 1 and "loading_loaded_bytes" in info
        pipe.write(whole[len(whole) // 2 :])
    server.wait_until_ready()
    wait(lambda: server.client.info("persistence")["loading"] == 0)
    assert server.client.dbsize() >= 30_000 and server.client.get("over") is None


def test_a_broken_file_ends_the_start_with_its_place(start, tmp_path):
    server = start()
    fill(server.client)
    server.client.save()
    server.end()
    whole = (tmp_path / "dump.rdb").read_bytes()
    for broken, word in ((whole[:-100], "unexpected end of input at byte"), (b"no such file", "Wrong signature"),
                         (whole[:9] + b"\xc8" + whole[10:], "unknown encoding 200 at byte 9"),
                         (whole[:-1] + bytes([whole[-1] ^ 1]), "Wrong RDB checksum")):
        (tmp_path / "dump.rdb").write_bytes(broken)
        server = start(expect=False)
        assert server.process.wait(timeout=PATIENCE_S) != 0
        assert word in server.log.read_text()
        assert (tmp_path / "dump.rdb").read_bytes() == broken


def test_people_can_look_into_a_file(start, tmp_path):
    server = start()
    server.client.set("greeting", "hello")
    server.client.set("short", 1, ex=1000)
    server.client.rpush("list", *range(7))
    server.db(3).hset("hash\x07", "a", "b")
    server.client.save()
    file = tmp_path / "dump.rdb"

    def run(*words):
        return subprocess.run([str(BINARY), "rdb", *words], capture_output=True, text=True, timeout=PATIENCE_S)

    checked = run("check", file)
    assert checked.returncode == 0 and "sound:" in checked.stdout and "checksum right" in checked.stdout, checked
    answer = json.loads(run("check", file, "--output", "json").stdout)
    assert answer["sound"] and answer["checksum"] == "right" and answer["version"] == 11
    assert {d["db"]: (d["keys"], d["expires"], d["types"]) for d in answer["databases"]} == {
        0: (3, 1, {"string": 2, "list": 1}), 3: (1, 0, {"hash": 1})}
    shown = run("show", file).stdout
    assert "greeting" in shown and "\x07" not in shown
    rows = {row["key"]: row for row in json.loads(run("show", file, "--output", "json").stdout)}
    assert rows["list"]["members"] == 7 and rows["list"]["type"] == "list" and rows["hash\x07"]["db"] == 3
    assert rows["short"]["expires_at_ms"] > time.time() * 1000 and rows["greeting"]["expires_at_ms"] is None
    file.write_bytes(file.read_bytes()[:-20])
    broken = run("check", file)
    assert broken.returncode == 1 and "at byte" in broken.stderr
    assert json.loads(run("check", file, "--output", "json").stdout)["sound"] is False
    assert run("check", tmp_path / "none").returncode == 1
