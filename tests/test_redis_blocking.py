"""Waiting for keys through redis-py, and compared with the real server; the transcript tests have the rest."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from service import BINARY, PATIENCE_S, wait_until
from test_redis_py import fails, r  # noqa: F401 (a fixture)

SCRIPT = Path(__file__).with_name("differential_blocking.py")


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server to compare with")
@pytest.mark.parametrize("seed", [1, 2])
def test_waits_end_as_those_of_redis_server(seed):
    command = [sys.executable, str(SCRIPT), "--seed", str(seed), "--steps", "1500"]
    environment = {**os.environ, "LARDER_BIN": str(BINARY)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def another(r, **options):
    """A client like this one."""
    known = r.connection_pool.connection_kwargs
    settings = {name: known.get(name) for name in ("port", "protocol", "decode_responses")}
    return redis.Redis(**{**settings, "socket_timeout": PATIENCE_S, **options})


def in_background(r, name, *args, **options):
    """Calls a method of another client on a thread, and waits until that client waits."""
    other, result = another(r), []
    before = r.info("clients")["blocked_clients"]
    thread = threading.Thread(target=lambda: result.append(getattr(other, name)(*args, **options)))
    thread.start()
    wait_until("it waits", lambda: r.info("clients")["blocked_clients"] > before)

    def end():
        thread.join(PATIENCE_S)
        other.close()
        return result[0]

    return end


def test_lists(r):
    end = in_background(r, "blpop", ["a", "b"])
    assert r.rpush("b", "1", "2") == 2 and list(end()) == ["b", "1"]
    assert list(r.brpop(["a", "b"], timeout=1)) == ["b", "2"] and r.blpop("a", timeout=0.01) is None
    end = in_background(r, "blmove", "a", "b", 0)
    r.rpush("a", "x")
    assert end() == "x" and r.lrange("b", 0, -1) == ["x"]
    end = in_background(r, "blmpop", 0, 2, "a", "c", direction="LEFT", count=2)
    r.rpush("c", "1", "2", "3")
    assert end() == ["c", ["1", "2"]] and r.lrange("c", 0, -1) == ["3"]
    assert r.brpoplpush("c", "d", timeout=1) == "3" and r.brpoplpush("c", "d", timeout=0.01) is None


def test_sorted_sets(r):
    end = in_background(r, "bzpopmin", ["a", "b"])
    r.zadd("b", {"m": 1.5, "n": 2})
    assert list(end()) == ["b", "m", 1.5] and list(r.bzpopmax("b")) == ["b", "n", 2]
    end = in_background(r, "bzmpop", 0, 2, ["a", "b"], max=True)
    r.zadd("a", {"m": 3})
    key, members = end()
    assert key == "a" and [[member, float(score)] for member, score in members] == [["m", 3.0]]


def test_unblocking(r):
    with another(r, single_connection_client=True) as other:
        id = other.client_id()
        thread = threading.Thread(target=lambda: fails("client unblocked via CLIENT UNBLOCK", other.blpop, "a"))
        thread.start()
        wait_until("it waits", lambda: r.info("clients")["blocked_clients"] == 1)
        assert [client["flags"] for client in r.client_list(client_id=[id])] == ["b"]
        assert r.client_unblock(id, error=True)
        thread.join(PATIENCE_S)
        assert not thread.is_alive() and not r.client_unblock(id)


def test_pausing(r):
    assert r.client_pause(100_000, all=False)
    with another(r, socket_timeout=0.05, retry=None, client_name="impatient") as other:
        with pytest.raises(redis.TimeoutError):
            other.set("k", "v")
    wait_until("it is gone", lambda: "impatient" not in {client["name"] for client in r.client_list()})
    assert r.get("k") is None and r.client_unpause() and r.set("k", "w")
    # What a client wanted that has gone away is not done.
    assert r.get("k") == "w"


def test_who_is_held_back_by_a_pause_counts_among_those_who_wait(r):
    r.client_pause(60_000, all=False)
    end = in_background(r, "set", "key", "value")
    assert "b" in {flag for client in r.client_list() for flag in client["flags"]}
    assert r.get("key") is None
    r.client_unpause()
    assert end() is True
    assert r.info("clients")["blocked_clients"] == 0
    assert "b" not in {flag for client in r.client_list() for flag in client["flags"]}


def logged(r, name):
    """How often a command is in the slow log."""
    return sum(entry["command"].split()[0].upper() == name.encode() for entry in r.slowlog_get(100))


def test_who_waits_is_logged_when_it_is_over(r):
    """Once, with what it took to execute, not how long it waited."""
    before = r.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"]
    r.config_set("slowlog-log-slower-than", 0)
    try:
        for end in (
            lambda number: r.rpush("list", "element"),
            lambda number: r.client_unblock(number),
            lambda number: r.client_unblock(number, error=True),
        ):
            r.slowlog_reset()
            other, outcome = another(r), []
            number = other.client_id()

            def wait(other=other, outcome=outcome):
                try:
                    outcome.append(other.blpop("list", 0))
                except redis.ResponseError as error:
                    outcome.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            wait_until("it waits", lambda: r.info("clients")["blocked_clients"] == 1)
            assert logged(r, "BLPOP") == 0
            end(number)
            thread.join(PATIENCE_S)
            assert len(outcome) == 1
            wait_until("it is logged", lambda: logged(r, "BLPOP") == 1)
            other.close()
    finally:
        r.config_set("slowlog-log-slower-than", before)


def test_a_wait_that_ends_with_an_error_is_a_call_that_failed(r):
    r.config_resetstat()
    other, outcome = another(r), []
    number = other.client_id()

    def wait():
        with pytest.raises(redis.ResponseError) as refused:
            other.blpop("list", 0)
        outcome.append(str(refused.value))

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until("it waits", lambda: r.info("clients")["blocked_clients"] == 1)
    r.client_unblock(number, error=True)
    thread.join(PATIENCE_S)
    assert outcome == ["UNBLOCKED client unblocked via CLIENT UNBLOCK"]
    figures = r.info("commandstats")["cmdstat_blpop"]
    assert (figures["calls"], figures["rejected_calls"], figures["failed_calls"]) == (1, 0, 1)
    assert r.info("errorstats")["errorstat_UNBLOCKED"] == {"count": 1}
    other.close()
