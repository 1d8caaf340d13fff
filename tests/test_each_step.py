"""A node that is killed, or whose disk is full, at each step by which it changes its files: while it saves, writes its
append-only file anew, and takes over what a primary has. Nothing that it acknowledged is lost, and no file is half written."""

import itertools
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from replication import LARDER, contents, servers
from service import BINARY, wait_until
from test_aof_rewrite import KILLS, Writers, nodes

__all__ = ["nodes", "servers"]

pytestmark = [
    pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler"),
    pytest.mark.slow,
]

# More steps than any of this takes: a loop that does not end is a mistake.
STEPS_MAX = 400
HOWS = ["kill", "full"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """What makes a process stop at a step."""
    built = tmp_path_factory.mktemp("step") / "failing_step.so"
    source = Path(__file__).parent / "failing_step.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(built), str(source), "-ldl"], check=True)
    return built


class Gate:
    """When steps are counted, and what happens at which."""

    def __init__(self, library, folder, near, but=None):
        self.path, self.hit = near / "gate", near / "gate.hit"
        self.environment = {"LD_PRELOAD": str(library), "STEP_FOLDER": str(folder), "STEP_GATE": str(self.path)}
        if but:
            self.environment["STEP_NOT"] = but

    def shut(self, how, step):
        self.hit.unlink(missing_ok=True)
        written = self.path.with_suffix(".new")
        written.write_text(f"{how} {step}")
        written.rename(self.path)

    def open(self):
        """True if the step was reached, where the disk is full."""
        self.path.unlink()
        return self.hit.exists()


def steps(apart=1):
    """All of them, or, unless there is time, some: as many as so far apart come, beginning anywhere."""
    apart = 1 if KILLS >= 100 else apart
    for step in itertools.count(random.randint(1, apart), apart):
        assert step < STEPS_MAX, "it does not come to its end"
        yield step


def figures(client):
    """What INFO says, or nothing if the process has ended."""
    try:
        return client.info("persistence")
    except redis.exceptions.ConnectionError:
        return None


def ended(process):
    """A process that answers no more is about to end."""
    return process.wait(timeout=120) is not None


def is_sound(path):
    return subprocess.run([BINARY, "rdb", "check", str(path)], capture_output=True).returncode == 0


@pytest.mark.parametrize("how", HOWS)
def test_a_save_that_stops_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path, nodes, library, how):
    folder = tmp_path / "node"
    gate = Gate(library, folder, tmp_path)
    options = ["--stop-writes-on-bgsave-error", "no", "--threads", "2"]
    keys = [f"key{n}" for n in range(300)]

    def change(version):
        node.client.mset({key: f"{version}" for key in keys})

    def version():
        seen = set(node.client.mget(keys))
        assert len(seen) == 1, seen
        return int(seen.pop())

    node = nodes(folder, *options, environment=gate.environment)
    change(0)
    node.client.save()
    saved, reached = 0, 0
    for step in steps():
        change(step)
        gate.shut(how, step)
        try:
            node.client.bgsave()
        except redis.exceptions.ConnectionError:
            pass  # it was killed before it answered
        wait_until("it has saved, or ended", lambda: (figures(node.client) or {}).get("rdb_bgsave_in_progress") != 1)
        alive = figures(node.client) is not None
        hit = gate.open() or not alive
        if how == "full":
            assert alive and version() == step
            assert sorted(path.name for path in folder.iterdir()) == ["dump.rdb"] and is_sound(folder / "dump.rdb")
        else:
            assert alive or ended(node.process)
            if not alive:
                node = nodes(folder, *options, environment=gate.environment)
                assert version() in (saved, step)
                saved = version()
                assert sorted(path.name for path in folder.iterdir()) == ["dump.rdb"]
        if not hit:
            break
        reached = step
    assert reached >= 4, "a file is made, written, synced and renamed"
    change(step + 1)
    node.client.save()
    node.kill()
    node = nodes(folder, *options)
    assert version() == step + 1


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_a_rewrite_that_stops_at_any_step_loses_nothing(tmp_path, nodes, library, preamble, how):
    folder = tmp_path / "node"
    gate = Gate(library, folder, tmp_path, but=".incr.aof")
    options = ["--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", preamble, "--threads", "2"]

    def start():
        return nodes(folder, *options, environment=gate.environment)

    def rewritten():
        now = figures(node.client)
        return now is None or now["aof_rewrite_in_progress"] == 0 and now["aof_rewrite_scheduled"] == 0

    node = start()
    node.client.mset({f"key{n}": n for n in range(500)})
    reached = 0
    for step in steps():
        node.client.delete(*(f"{kind}{worker}" for kind in "lk" for worker in range(2)))
        writers = Writers(node, 2)
        gate.shut(how, step)
        try:
            node.client.bgrewriteaof()
        except redis.exceptions.ConnectionError:
            pass
        wait_until("it is written anew, or has ended", rewritten)
        alive = figures(node.client) is not None
        hit = gate.open() or not alive
        writers.end()
        # With `always` a node ends that cannot write on, which is as good as a kill.
        assert alive or ended(node.process)
        if not alive:
            node = start()
        writers.check(node)
        assert node.client.dbsize() == 504
        if not hit:
            break
        reached = step
    assert reached >= 8, "an increment, a base and two manifests are made"
    node.rewrite()
    assert len(node.files()) == 3, node.files()
    node.kill()
    node = start()
    writers.check(node)
    assert node.client.dbsize() == 504


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("load", ["disabled", "swapdb"])
def test_a_replica_that_stops_at_any_step_of_a_full_synchronisation_gets_it_all(servers, tmp_path, library, load, how):
    primary = servers(LARDER)
    primary.client.mset({f"key{n}": n for n in range(500)})
    gate = Gate(library, tmp_path / "server1" / "appendonlydir", tmp_path)
    options = ["--appendonly", "yes", "--repl-diskless-load", load, "--replica-read-only", "no"]
    replica = servers([*LARDER], *options, environment=gate.environment)

    def is_through():
        now = figures(replica.client)
        return now is None or replica.is_up() and (gate.hit.exists() or now["aof_rewrites"] > rewritten)

    def state():
        return replica.client.get("mine"), replica.client.get("version")

    def equal():
        wait_until("the replica has everything", lambda: contents(replica) == contents(primary))

    reached = 0
    for step in steps(apart=4):
        # What it has is of no history of the primary: all of it comes anew.
        replica.call("REPLICAOF", "NO", "ONE")
        wait_until("it writes again", lambda: write(replica, step))
        wait_until("its file is whole", lambda: is_whole(replica))
        assert replica.call("WAITAOF", 1, 0, 0) == [1, 0]
        old, new = state(), (None, b"%d" % step)
        rewritten = figures(replica.client)["aof_rewrites"]
        primary.client.set("version", step)
        gate.shut(how, step)
        try:
            replica.follow(primary.port)
        except redis.exceptions.ConnectionError:
            pass
        wait_until("its file has everything, or cannot be written, or it has ended", is_through)
        alive = figures(replica.client) is not None
        hit = gate.open() or not alive
        if not alive:
            assert how == "kill" and ended(replica.process)
            replica.restart()
            assert state() in (old, new), "the file is that of before, or the new one"
            replica.follow(primary.port)
        equal()
        if not hit:
            break
        reached = step
        # What is in its file by now is what it has, too.
        if alive:
            wait_until("its file is whole", lambda: is_whole(replica))
            replica.kill()
            replica.restart()
            assert state() == new
    assert reached >= 8, "an increment, a base and two manifests are made"


def write(server, value):
    try:
        return server.client.set("mine", value)
    except redis.exceptions.ResponseError:
        return False  # its disk has just got room again


def is_whole(server):
    now = figures(server.client)
    writes = now["aof_rewrite_in_progress"] + now["aof_rewrite_scheduled"]
    return writes == 0 and now["aof_last_write_status"] == "ok"
