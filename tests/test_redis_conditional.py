"""Conditional strings and the filters of CLIENT LIST and KILL, as Valkey 9.1 has them, through redis-py."""

import pytest
import redis

from service import wait_until
from test_redis_py import WRONG, fails, r  # noqa: F401 (a fixture)


def test_set_if_equal(r):
    assert r.execute_command("SET", "k", "v", "IFEQ", "x") is None and r.exists("k") == 0
    r.set("k", "10")
    assert r.execute_command("SET", "k", "11", "IFEQ", "010") is None
    assert r.execute_command("SET", "k", "11", "IFEQ", "10") in (True, "OK")
    assert r.execute_command("SET", "k", "w", "IFEQ", "11", "GET", get=True) == "11" and r.get("k") == "w"
    assert r.execute_command("SET", "k", "u", "IFEQ", "zz", "GET", get=True) == "w" and r.get("k") == "w"
    assert r.execute_command("SET", "k", "x", "IFEQ", "w", "EX", 100) and r.ttl("k") == 100
    for wrong in (["IFEQ"], ["IFEQ", "a", "NX"], ["NX", "IFEQ", "a"], ["XX", "IFEQ", "a"], ["IFEQ", "a", "IFEQ", "a"]):
        fails("syntax error", r.execute_command, "SET", "k", "u", *wrong)
    r.lpush("l", 1)
    fails(WRONG, r.execute_command, "SET", "l", "u", "IFEQ", "u")


def test_delete_if_equal(r):
    r.set("k", 5)
    assert r.execute_command("DELIFEQ", "none", "v") == 0
    assert r.execute_command("DELIFEQ", "k", "05") == 0 and r.execute_command("DELIFEQ", "k", "5") == 1
    assert r.exists("k") == 0
    r.lpush("l", "a")
    fails(WRONG, r.execute_command, "DELIFEQ", "l", "a")


def test_several_with_a_deadline(r):
    msetex = lambda *words: r.execute_command("MSETEX", *words)
    assert msetex(2, "a", 1, "b", 2) == 1 and r.mget("a", "b") == ["1", "2"] and r.ttl("a") == -1
    assert msetex(1, "a", 1, "EX", 10) == 1 and msetex(1, "a", 7, "KEEPTTL") == 1 and 0 < r.ttl("a") <= 10
    assert msetex(2, "new", 1, "a", 2, "NX") == 0 and msetex(2, "new", 1, "a", 2, "XX") == 0 and r.exists("new") == 0
    assert msetex(1, "new", 1, "NX") == 1 and msetex(1, "new", 2, "XX", "PXAT", 1) == 1 and r.exists("new") == 0
    assert msetex(2, "a", 1, "a", 2) == 1 and r.get("a") == "2"
    for count in (0, -1, "x", 99999999999):
        fails("invalid numkeys value or out of range", msetex, count, "a", 1)
    for wrong in ([3, "a", 1], [1, "a", 1, "foo"], [1, "a", 1, "NX", "XX"], [1, "a", 1, "EX", 1, "PX", 1], [1, "a", 1, "EX"]):
        fails("syntax error", msetex, *wrong)
    fails("invalid expire time in 'msetex' command", msetex, 1, "a", 1, "EX", 0)
    # Keys are found behind their number: a watcher of the second one is told.
    other = redis.Redis(port=r.connection_pool.connection_kwargs["port"])
    with r.pipeline() as transaction:
        transaction.watch("b")
        other.execute_command("MSETEX", 2, "a", 1, "b", 9)
        transaction.multi()
        transaction.ping()
        with pytest.raises(redis.WatchError):
            transaction.execute()
    assert r.execute_command("COMMAND GETKEYS", "MSETEX", 2, "a", 1, "b", 2, "NX") == ["a", "b"]


def named(port, name, **options):
    client = redis.Redis(port=port, decode_responses=True, single_connection_client=True, **options)
    client.client_setname(name)
    return client


def test_sessions_are_chosen_by_what_they_are(node):
    one, two = named(node.port, "one", db=3), named(node.port, "two")
    two.execute_command("CLIENT", "CAPA", "redirect", "unknown")
    def names(*words):
        lines = one.execute_command("CLIENT", "LIST", *words)
        found = lines if isinstance(lines, list) else [dict(w.split("=", 1) for w in l.split()) for l in lines.splitlines()]
        return {line["name"] for line in found} & {"one", "two"}
    both = {"one", "two"}
    ids = [client.client_id() for client in (one, two)]
    assert names() == both and names("NAME", "one") == {"one"} and names("NOT-NAME", "one") == {"two"}
    assert names("ID", *ids) == both and names("NOT-ID", ids[0]) == {"two"} and names("ID", *ids, "NAME", "two") == {"two"}
    assert names("DB", 3) == {"one"} and names("NOT-DB", 3) == {"two"} and names("SKIPME", "YES") == {"two"}
    assert names("CAPA", "r") == {"two"} and names("NOT-CAPA", "r") == {"one"}
    assert names("IP", "127.0.0.1") == both and names("NOT-IP", "127.0.0.1") == set()
    assert names("FLAGS", "N") == both and names("NOT-FLAGS", "N") == set() and names("TYPE", "primary") == set()
    assert names("USER", "default") == both and names("NOT-TYPE", "normal") == set() and names("IDLE", 1000) == set()
    for message, words in (
        ("Unknown flags found in the provided filter: Z", ("FLAGS", "NZ")),
        ("Unknown capa found in the provided filter: q", ("CAPA", "q")),
        ("DB number should be between 0 and 15", ("DB", 99)),
        ("DB is not an integer or out of range", ("DB", "x")),
        ("idle should be greater than 0", ("IDLE", 0)),
        ("maxage is not an integer or out of range", ("MAXAGE", "x")),
        ("No such user 'nobody'", ("NOT-USER", "nobody")),
        ("Unknown client type 'x'", ("NOT-TYPE", "x")),
        ("syntax error", ("NAME",)),
        ("syntax error", ("FOO", "bar")),
    ):
        fails(message, one.execute_command, "CLIENT", "LIST", *words)
    assert one.execute_command("CLIENT", "KILL", "NAME", "nobody") == 0
    assert one.execute_command("CLIENT", "KILL", "NAME", "two", "NOT-DB", 3, "ID", *ids) == 1
    wait_until("the session is gone", lambda: names() == {"one"})
    fails("Server is not in import mode", one.execute_command, "CLIENT", "IMPORT-SOURCE", "ON")


def test_the_lag_of_expiry_is_told(node):
    client = redis.Redis(port=node.port, decode_responses=True)
    before = client.info("stats")
    for n in range(100):
        client.set(f"lag:{n}", 1, px=1)
    wait_until("they are reclaimed", lambda: client.info("stats")["expired_keys"] >= before["expired_keys"] + 100)
    stats = client.info("stats")
    assert 0 < stats["expire_lag_p50_ms"] <= stats["expire_lag_p99_ms"] <= stats["expire_lag_max_ms"]
    client.config_resetstat()
    assert client.info("stats")["expire_lag_max_ms"] == 0
