"""The append-only file on a disk that fails: what a node said to be safe is there afterwards."""

import random
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import redis

from differential_log import PATIENCE_SECONDS
from test_aof_rewrite import KILLS, nodes

__all__ = ["nodes"]

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """The library that makes a disk fail."""
    library = tmp_path_factory.mktemp("disk") / "failing_disk.so"
    source = Path(__file__).parent / "failing_disk.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def fails(disk, how, **when):
    return {"LD_PRELOAD": str(disk), "FAILS_HOW": how, **{name: str(value) for name, value in when.items()}}


class Counters:
    """Clients that count up lists and remember what they were told last, until the node has ended."""

    def __init__(self, node, count=3):
        self.acknowledged = [0] * count
        self.threads = [threading.Thread(target=self.write, args=(node.connect(), n)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def write(self, client, worker):
        try:
            while True:
                client.rpush(f"l{worker}", self.acknowledged[worker] + 1)
                self.acknowledged[worker] += 1
        except redis.exceptions.RedisError:
            pass

    def check(self, node):
        for worker, last in enumerate(self.acknowledged):
            values = [int(n) for n in node.client.lrange(f"l{worker}", 0, -1)]
            assert values == list(range(1, len(values) + 1)) and last <= len(values) <= last + 1


@pytest.mark.parametrize("how", ["write", "sync"])
def test_a_disk_that_fails_at_any_moment_loses_nothing_that_was_promised(tmp_path, nodes, disk, how):
    """With `always` the node ends; what it has acknowledged is on the disk."""
    options = ["--appendonly", "yes", "--appendfsync", "always", "--threads", "2"]
    dice = random.Random(how)
    node = nodes(tmp_path, *options, environment=fails(disk, how, FAILS_AT=1 + dice.randrange(100)))
    for _ in range(max(3, KILLS // 4)):
        counters = Counters(node)
        for thread in counters.threads:
            thread.join()
        assert node.process.wait(PATIENCE_SECONDS) == 1
        # The next one lives until its disk fails.
        node = nodes(tmp_path, *options, environment=fails(disk, how, FAILS_AT=4 + dice.randrange(100)))
        counters.check(node)
        node.client.delete("l0", "l1", "l2")


@pytest.mark.parametrize("how", ["write", "sync"])
def test_what_a_disk_forgot_is_not_said_to_be_safe(tmp_path, nodes, disk, how):
    """An fsync that works after one that failed says nothing of what was written before."""
    gate = tmp_path / "gate"
    node = nodes(
        tmp_path, "--appendonly", "yes", "--threads", "2", environment=fails(disk, how, FAILS_WHILE=gate)
    )
    waitaof = lambda: node.client.execute_command("WAITAOF", 1, 0, 0)
    expected = []

    def write(value):
        node.client.rpush("l", value)
        expected.append(b"%d" % value)

    for round_ in range(3):
        write(10 * round_)
        assert waitaof() == [1, 0]
        gate.touch()
        write(10 * round_ + 1)
        node.until(lambda: node.persistence()["aof_last_write_status"] == "err")
        with pytest.raises(redis.exceptions.ResponseError, match="MISCONF|Errors writing"):
            node.client.rpush("l", "refused")
        gate.unlink()
        node.until(lambda: node.persistence()["aof_last_write_status"] == "ok")
        write(10 * round_ + 2)
        assert waitaof() == [1, 0]
        assert node.client.lrange("l", 0, -1) == expected
    node.kill()
    node = nodes(tmp_path, "--appendonly", "yes")
    assert node.client.lrange("l", 0, -1) == expected
