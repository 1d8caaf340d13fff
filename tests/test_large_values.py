"""Collections of thousands of members come and go in long stretches, at their ends and within: as sessions do that are
ranked by time, as queues do, as logs do that are trimmed. Every reply is that of redis-server, and what is left too."""

import os
import random
import shutil
import subprocess

import pytest
import redis

from service import BINARY
from test_rdb import start  # noqa: F401 (a fixture)

SEEDS = os.environ.get("LARDER_SEED", "1,2").split(",")
ROUNDS = int(os.environ.get("LARDER_ROUNDS", "12"))
STRETCH_MAX = 3000
BATCH = 500


class Random(random.Random):
    """Draws names: of those who were drawn before, mostly."""

    def __init__(self, seed):
        super().__init__(seed)
        self.fresh = 0

    def new(self):
        self.fresh += 1
        return f"m{self.fresh}" if self.fresh % 5 else f"m{self.fresh}" + "x" * self.choice((20, 60, 200, 1500))

    def old(self):
        return f"m{self.randint(max(1, self.fresh - 6000), self.fresh + 1)}"


def rank(draw, step):
    return draw.choice((step, -step, draw.randint(-3000, 3000), draw.randint(0, 40) / 4))


# For each type: commands of one stretch, given the random numbers, a place and how far the stretch has come.
ZSET = (
    lambda draw, place, step: ("ZADD", "zset", step + place, draw.new()),
    lambda draw, place, step: ("ZADD", "zset", -step - place, draw.new()),
    lambda draw, place, step: ("ZADD", "zset", place, draw.new()),
    lambda draw, place, step: ("ZADD", "zset", rank(draw, step), draw.old()),
    lambda draw, place, step: ("ZINCRBY", "zset", place, draw.old()),
    lambda draw, place, step: ("ZREM", "zset", draw.old()),
    lambda draw, place, step: ("ZPOPMIN", "zset"),
    lambda draw, place, step: ("ZPOPMAX", "zset"),
    lambda draw, place, step: ("ZREMRANGEBYRANK", "zset", place, place + 2),
    lambda draw, place, step: ("ZRANK", "zset", draw.old()),
    lambda draw, place, step: ("ZRANGE", "zset", place, place + 5, "REV"),
    lambda draw, place, step: ("ZREMRANGEBYRANK", "zset", -1, -1),
)
LIST = (
    lambda draw, place, step: ("RPUSH", "list", draw.new()),
    lambda draw, place, step: ("LPUSH", "list", draw.new(), draw.new()),
    lambda draw, place, step: ("LPOP", "list"),
    lambda draw, place, step: ("RPOP", "list", 3),
    lambda draw, place, step: ("LSET", "list", place, draw.new()),
    lambda draw, place, step: ("LINDEX", "list", place - step),
    lambda draw, place, step: ("LTRIM", "list", 1, -2),
    lambda draw, place, step: ("LMOVE", "list", "list", "LEFT", "RIGHT"),
    lambda draw, place, step: ("LREM", "list", 1, draw.old()) if step % 20 == 0 else ("LRANGE", "list", place, place + 3),
    lambda draw, place, step: ("LINSERT", "list", "BEFORE", draw.old(), draw.new()) if step % 20 == 0 else ("LLEN", "list"),
)
HASH = (
    lambda draw, place, step: ("HSET", "hash", draw.new(), step),
    lambda draw, place, step: ("HSET", "hash", draw.old(), "v" * draw.choice((1, 5, 70, 1100))),
    lambda draw, place, step: ("HDEL", "hash", draw.old(), draw.old()),
    lambda draw, place, step: ("HGET", "hash", draw.old()),
)
SET = (
    lambda draw, place, step: ("SADD", "set", draw.new(), draw.old()),
    lambda draw, place, step: ("SREM", "set", draw.old(), draw.old(), draw.old()),
    lambda draw, place, step: ("SISMEMBER", "set", draw.old()),
    lambda draw, place, step: ("SADD", "numbers", step * place),
    lambda draw, place, step: ("SREM", "numbers", step * place),
)
STREAM = (
    lambda draw, place, step: ("XADD", "stream", f"{draw.fresh}-*", "f", draw.new()),
    lambda draw, place, step: ("XADD", "stream", f"{draw.fresh}-1", "f", draw.new(), "other", step),
    lambda draw, place, step: ("XDEL", "stream", f"{draw.randint(1, draw.fresh + 1)}-0"),
    lambda draw, place, step: ("XTRIM", "stream", "MAXLEN", max(0, 4000 - step)),
    lambda draw, place, step: ("XRANGE", "stream", draw.randint(1, draw.fresh + 1), "+", "COUNT", 3),
)
KINDS = (ZSET, ZSET, LIST, HASH, SET, STREAM)


def left(client):
    """All that there is, and the same again by the other end where there is one."""
    zset = client.zrange("zset", 0, -1, withscores=True)
    assert client.zrange("zset", 0, -1, desc=True, withscores=True) == zset[::-1]
    assert client.zcard("zset") == len(zset) == len(dict(zset))
    stream = client.xrange("stream")
    assert client.xrevrange("stream") == stream[::-1]
    items = client.lrange("list", 0, -1)
    assert client.llen("list") == len(items)
    return zset, stream, items, client.hgetall("hash"), client.smembers("set"), client.smembers("numbers")


@pytest.fixture
def peer(start):  # noqa: F811
    """A redis-server of its own folder."""
    if not shutil.which("redis-server"):
        pytest.skip("no redis-server to compare with")
    folder = start.folder / "peer"
    folder.mkdir()
    return start(["redis-server"], folder).client


@pytest.mark.parametrize("seed", SEEDS)
def test_stretches_leave_what_they_leave_in_redis(start, peer, seed):  # noqa: F811
    server = start()
    draw = Random(seed)
    for _ in range(ROUNDS):
        kind = draw.choice(KINDS)
        act, place, many = draw.choice(kind), draw.randint(0, 5000), draw.randint(1, STRETCH_MAX)
        commands = [act(draw, place, step) for step in range(many)]
        for first in range(0, len(commands), BATCH):
            batch = commands[first : first + BATCH]
            ours, theirs = (play(client, batch) for client in (server.client, peer))
            for command, one, other in zip(batch, ours, theirs, strict=True):
                assert same(one, other), f"{command}: {one!r} is not {other!r}"
        assert left(server.client) == left(peer)
    server.save_in_background()
    checked = subprocess.run([BINARY, "rdb", "check", server.folder / "dump.rdb"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    server.client.execute_command("DEBUG", "RELOAD")
    assert left(server.client) == left(peer)


def play(client, batch):
    pipe = client.pipeline(transaction=False)
    for command in batch:
        pipe.execute_command(*command)
    return pipe.execute(raise_on_error=False)


def same(one, other):
    return str(one) == str(other) if isinstance(one, redis.ResponseError) else one == other


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_no_more_large_values_give_way_than_must(start, size, threads):  # noqa: F811
    """What is freed in the background is room already: neither do all others go for it, nor is anybody refused."""
    room = 40_000_000
    server = start(None, start.folder, "--maxmemory", str(room), "--maxmemory-policy", "allkeys-lru", "--threads", threads)
    pipe = server.client.pipeline(transaction=False)
    for number in range(160_000_000 // size):
        pipe.set(f"k{number}", "v" * size)
    assert set(pipe.execute()) == {True}
    # A quarter may be taken by what is resident beyond it, and what was being written at last is a value for each batch.
    assert server.client.dbsize() * size > room // 2
    server.client.flushall()
    assert server.client.set("after", "v" * size)
