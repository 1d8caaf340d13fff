"""Documented behaviour of the commands, by group, through redis-py, in RESP2 and RESP3 alike."""

import threading
import time

import pytest
import redis

from service import wait_until


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def r(request, node):
    client = redis.Redis(port=node.port, protocol=request.param, decode_responses=True)
    client.flushall()
    yield client
    client.close()


def fails(text, call, *arguments, **options):
    with pytest.raises(redis.ResponseError, match=text):
        call(*arguments, **options)


WRONG = "Operation against a key holding the wrong kind of value"


# -- strings ----------------------------------------------------------------------------------------------------


def test_set_and_its_options(r):
    assert r.set("k", "v") is True and r.get("k") == "v" and r.get("none") is None
    assert r.set("k", "x", nx=True) is None and r.set("new", "x", nx=True) is True
    assert r.set("k", "y", xx=True) is True and r.set("none", "y", xx=True) is None
    assert r.set("k", "z", get=True) == "y"
    r.set("k", "v", ex=100)
    assert 0 < r.ttl("k") <= 100
    r.set("k", "w", keepttl=True)
    assert 0 < r.pttl("k") <= 100_000
    r.set("k", "w")
    assert r.ttl("k") == -1
    fails("syntax error", r.execute_command, "SET", "k", "v", "NX", "XX")
    fails("invalid expire time in 'set' command", r.execute_command, "SET", "k", "v", "EX", "0")
    fails("wrong number of arguments for 'set' command", r.execute_command, "SET", "k")


def test_counters(r):
    assert r.incr("n") == 1 and r.incrby("n", 41) == 42 and r.decrby("n", 2) == 40 and r.decr("n") == 39
    assert r.incrbyfloat("f", 0.1) == 0.1 and r.incrbyfloat("f", 0.2) == pytest.approx(0.3)
    r.set("s", "abc")
    fails("value is not an integer or out of range", r.incr, "s")
    fails("value is not a valid float", r.incrbyfloat, "s", 1)
    r.set("max", 2**63 - 1)
    fails("increment or decrement would overflow", r.incr, "max")


def test_parts_of_strings(r):
    assert r.append("k", "Hello") == 5 and r.append("k", " World") == 11
    assert r.getrange("k", 0, 4) == "Hello" and r.getrange("k", -5, -1) == "World" and r.strlen("k") == 11
    assert r.setrange("k", 6, "Redis") == 11 and r.get("k") == "Hello Redis"
    r.setrange("pad", 2, "x")
    assert r.get("pad") == "\0\0x"
    assert r.getset("k", "v") == "Hello Redis" and r.getdel("k") == "v" and not r.exists("k")
    r.set("k", "v")
    assert r.getex("k", ex=50) == "v" and 0 < r.ttl("k") <= 50 and r.getex("k", persist=True) == "v" and r.ttl("k") == -1


def test_many_strings(r):
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "none", "b") == ["1", None, "2"]
    assert not r.msetnx({"a": 5, "c": 5}) and r.get("c") is None
    assert r.msetnx({"x": 1, "y": 2})
    r.setex("e", 100, "v")
    r.psetex("p", 100_000, "v")
    assert 0 < r.ttl("e") <= 100 and 0 < r.ttl("p") <= 100
    assert not r.setnx("a", 1) and r.setnx("fresh", 1)


def test_large_and_binary_values(node):
    raw = redis.Redis(port=node.port)
    value = bytes(range(256)) * 40_000
    raw.set(b"\x00\xff\r\n", value)
    assert raw.get(b"\x00\xff\r\n") == value
    raw.delete(b"\x00\xff\r\n")


# -- keys -------------------------------------------------------------------------------------------------------


def test_keys_come_and_go(r):
    r.mset({"a": 1, "b": 2, "c": 3})
    assert r.exists("a", "a", "none") == 2 and r.delete("a", "none") == 1 and r.unlink("b") == 1
    assert r.dbsize() == 1 and r.type("c") == "string" and r.type("none") == "none"
    assert r.rename("c", "d") and r.get("d") == "3"
    fails("no such key", r.rename, "none", "x")
    r.set("e", 1)
    assert r.renamenx("d", "e") is False
    assert r.copy("d", "copy") and r.get("copy") == "3" and not r.copy("d", "copy") and r.copy("d", "copy", replace=True)
    assert r.touch("d", "none") == 1 and r.randomkey() in {"d", "e", "copy"}
    assert sorted(r.keys("*")) == ["copy", "d", "e"] and r.keys("[c-d]") == ["d"]


def test_expiry(r):
    r.set("k", "v")
    assert r.expire("k", 100) and 99 <= r.ttl("k") <= 100 and r.ttl("none") == -2
    assert not r.expire("k", 200, nx=True) and r.expire("k", 200, gt=True) and not r.expire("k", 300, lt=True)
    at = int(time.time()) + 500
    assert r.expireat("k", at) and r.expiretime("k") == at and r.pexpiretime("k") == at * 1000
    assert r.persist("k") and not r.persist("k") and r.ttl("k") == -1
    assert r.expire("k", -1) and not r.exists("k")
    r.set("brief", "v", px=30)
    wait_until("it expires", lambda: r.get("brief") is None)
    assert r.exists("brief") == 0 and "brief" not in r.keys("*")


def test_scan_returns_every_key_that_stays(r):
    names = {f"key:{number}" for number in range(3000)}
    r.mset(dict.fromkeys(names, 1))
    seen = []
    for count, name in enumerate(r.scan_iter(match="key:*", count=50)):
        seen.append(name)
        if count % 10 == 0:
            r.set(f"other:{count}", 1)  # a table that grows meanwhile
    assert set(seen) == names
    r.sadd("set", 1)
    assert list(r.scan_iter(_type="set")) == ["set"]


def test_databases(r):
    r.set("k", "zero")
    other = redis.Redis(connection_pool=redis.ConnectionPool(
        port=r.connection_pool.connection_kwargs["port"], db=1, decode_responses=True))
    assert other.get("k") is None
    assert r.move("k", 1) and other.get("k") == "zero" and not r.exists("k")
    r.swapdb(0, 1)
    assert r.get("k") == "zero"
    fails("DB index is out of range", r.execute_command, "SELECT", "99999")
    r.flushdb()
    assert r.dbsize() == 0


def test_encodings(r):
    r.set("int", 12)
    r.set("short", "abc")
    r.set("long", "x" * 100)
    assert [r.object("encoding", key) for key in ("int", "short", "long")] == ["int", "embstr", "raw"]
    r.hset("h", "f", "v")
    r.rpush("l", "a")
    r.sadd("ints", 1, 2)
    r.sadd("words", "a")
    r.zadd("z", {"a": 1})
    assert [r.object("encoding", key) for key in ("h", "ints", "z")] == ["listpack", "intset", "listpack"]
    assert r.object("encoding", "l") in ("listpack", "quicklist")  # since 7.2, small ones are packed
    assert r.object("encoding", "words") in ("listpack", "hashtable")
    r.hset("h", "f", "x" * 100)
    r.zadd("z", {"x" * 100: 1})
    r.sadd("ints", "word")
    assert [r.object("encoding", key) for key in ("h", "z")] == ["hashtable", "skiplist"]
    assert r.object("encoding", "ints") in ("listpack", "hashtable")


# -- hashes -----------------------------------------------------------------------------------------------------


def test_hashes(r):
    assert r.hset("h", mapping={"a": 1, "b": 2}) == 2 and r.hset("h", "a", 3) == 0
    assert r.hget("h", "a") == "3" and r.hget("h", "none") is None and r.hmget("h", "a", "none") == ["3", None]
    assert r.hgetall("h") == {"a": "3", "b": "2"} and r.hgetall("none") == {}
    assert sorted(r.hkeys("h")) == ["a", "b"] and sorted(r.hvals("h")) == ["2", "3"] and r.hlen("h") == 2
    assert r.hexists("h", "a") and not r.hsetnx("h", "a", 9) and r.hstrlen("h", "a") == 1
    assert r.hincrby("h", "n", 5) == 5 and r.hincrbyfloat("h", "n", 0.5) == 5.5
    assert r.hdel("h", "a", "none") == 1
    assert r.hrandfield("h") in {"b", "n"} and len(r.hrandfield("h", -5)) == 5
    fails("hash value is not an integer", r.hincrby, "h", "n", 1)
    r.set("s", "v")
    fails(WRONG, r.hget, "s", "f")
    assert r.hdel("h", "b", "n") == 2 and not r.exists("h")


def test_large_hashes_are_scanned_whole(r):
    wanted = {f"f{number}": str(number) for number in range(2000)}
    r.hset("h", mapping=wanted)
    assert dict(r.hscan_iter("h", count=30)) == wanted
    assert r.hgetall("h") == wanted


# -- lists ------------------------------------------------------------------------------------------------------


def test_lists(r):
    assert r.rpush("l", "a", "b") == 2 and r.lpush("l", "z") == 3 and r.lrange("l", 0, -1) == ["z", "a", "b"]
    assert r.lpushx("none", "v") == 0 and r.rpushx("l", "c") == 4 and r.llen("l") == 4
    assert r.lindex("l", 0) == "z" and r.lindex("l", -1) == "c" and r.lindex("l", 99) is None
    assert r.lset("l", 1, "A") and r.linsert("l", "before", "b", "x") == 5 and r.lrem("l", 0, "x") == 1
    fails("index out of range", r.lset, "l", 99, "v")
    assert r.lpos("l", "b") == 2 and r.lpos("l", "none") is None
    assert r.lpop("l") == "z" and r.rpop("l") == "c" and r.lpop("l", 5) == ["A", "b"]
    assert r.lpop("l") is None and not r.exists("l")
    r.rpush("l", *range(10))
    assert r.ltrim("l", 2, 4) and r.lrange("l", 0, -1) == ["2", "3", "4"]
    assert r.lmove("l", "m", "LEFT", "RIGHT") == "2" and r.rpoplpush("l", "m") == "4" and r.lrange("m", 0, -1) == ["4", "2"]
    r.set("s", "v")
    fails(WRONG, r.lpush, "s", "v")


def test_long_lists(r):
    r.rpush("l", *range(5000))
    assert r.lrange("l", 2498, 2501) == ["2498", "2499", "2500", "2501"] and r.lindex("l", 4321) == "4321"
    assert r.linsert("l", "after", "2500", "middle") == 5001 and r.lrange("l", 2500, 2502) == ["2500", "middle", "2501"]


# -- sets -------------------------------------------------------------------------------------------------------


def test_sets(r):
    assert r.sadd("s", "a", "b", "a") == 2 and r.smembers("s") == {"a", "b"} and r.scard("s") == 2
    assert r.sismember("s", "a") and r.smismember("s", "a", "none") == [1, 0] and r.srem("s", "a", "none") == 1
    r.sadd("x", 1, 2, 3)
    r.sadd("y", 2, 3, 4)
    assert r.sinter("x", "y") == {"2", "3"} and r.sunion("x", "y") == {"1", "2", "3", "4"} and r.sdiff("x", "y") == {"1"}
    assert r.sinterstore("i", "x", "y") == 2 and r.sunionstore("u", "x", "y") == 4 and r.sdiffstore("d", "x", "y") == 1
    assert r.sintercard(2, ["x", "y"], limit=1) == 1
    assert r.smove("x", "y", "1") and not r.smove("x", "y", "99") and r.sismember("y", "1")
    assert r.srandmember("y") in {"1", "2", "3", "4"} and len(r.srandmember("y", -10)) == 10
    assert r.spop("y") is not None and len(r.spop("y", 9)) == 3 and not r.exists("y")
    many = {f"m{number}" for number in range(2000)}
    r.sadd("many", *many)
    assert set(r.sscan_iter("many", count=30)) == many


# -- sorted sets ------------------------------------------------------------------------------------------------


def test_sorted_sets(r):
    assert r.zadd("z", {"a": 1, "b": 2, "c": 3}) == 3 and r.zadd("z", {"a": 5}, ch=True) == 1
    assert r.zscore("z", "a") == 5.0 and r.zscore("z", "none") is None and r.zmscore("z", ["b", "none"]) == [2.0, None]
    assert r.zrange("z", 0, -1) == ["b", "c", "a"] and r.zrevrange("z", 0, 0) == ["a"]
    assert pairs(r.zrange("z", 0, 0, withscores=True)) == [("b", 2.0)]
    assert r.zadd("z", {"b": 9}, nx=True) == 0 and r.zadd("z", {"b": 1}, gt=True) == 0 and r.zscore("z", "b") == 2.0
    assert r.zincrby("z", 1.5, "b") == 3.5 and r.zadd("z", {"b": 1}, incr=True) == 4.5
    assert r.zrank("z", "c") == 0 and r.zrevrank("z", "c") == 2 and r.zrank("z", "none") is None
    assert r.zcard("z") == 3 and r.zcount("z", "(3", "+inf") == 2
    assert r.zrangebyscore("z", "-inf", 4.5) == ["c", "b"] and r.zrevrangebyscore("z", "+inf", "(4.5") == ["a"]
    assert r.zrange("z", "-inf", "+inf", byscore=True, offset=1, num=1) == ["b"]
    assert r.zrem("z", "a", "none") == 1 and r.zremrangebyrank("z", 0, 0) == 1 and r.zremrangebyscore("z", 0, 9) == 1
    assert not r.exists("z")
    fails("value is not a valid float", r.execute_command, "ZADD", "z", "nan", "a")
    fails("syntax error|XX and NX", r.execute_command, "ZADD", "z", "NX", "XX", "1", "a")


def pairs(reply):
    """Members with scores as pairs: RESP3 answers a lone pair without the list around it."""
    return [tuple(pair) for pair in (reply if isinstance(reply[0], (list, tuple)) else [reply])]


def test_sorted_sets_by_name_and_together(r):
    r.zadd("lex", dict.fromkeys("abcde", 0))
    assert r.zrangebylex("lex", "[b", "(d") == ["b", "c"] and r.zlexcount("lex", "-", "+") == 5
    assert r.zremrangebylex("lex", "-", "[b") == 2 and r.zrevrangebylex("lex", "+", "-") == ["e", "d", "c"]
    r.zadd("x", {"a": 1, "b": 2})
    r.zadd("y", {"b": 10, "c": 20})
    assert r.zunionstore("u", ["x", "y"]) == 3 and r.zscore("u", "b") == 12.0
    assert r.zinterstore("i", {"x": 2, "y": 1}) == 1 and r.zscore("i", "b") == 14.0
    assert r.zdiff(["x", "y"]) == ["a"] and r.zinter(["x", "y"]) == ["b"] and r.zintercard(2, ["x", "y"]) == 1
    assert pairs(r.zpopmin("u")) == [("a", 1.0)] and pairs(r.zpopmax("u", 1)) == [("c", 20.0)]
    assert r.zrangestore("copy", "x", 0, 0) == 1 and r.zrandmember("x") in {"a", "b"}


def test_large_sorted_sets(r):
    r.zadd("z", {f"m{number}": number for number in range(3000)})
    assert r.zrange("z", 1500, 1501) == ["m1500", "m1501"] and r.zrank("z", "m2999") == 2999
    assert len(dict(r.zscan_iter("z", count=30))) == 3000
    assert r.zadd("z", {"inf": float("inf"), "-inf": float("-inf")}) == 2 and r.zrange("z", 0, 0) == ["-inf"]


# -- transactions -----------------------------------------------------------------------------------------------


def test_transactions(r):
    with r.pipeline(transaction=True) as batch:
        batch.set("a", 1).incr("a").lpush("a", "x").get("a")
        results = batch.execute(raise_on_error=False)
    assert results[:2] == [True, 2] and isinstance(results[2], redis.ResponseError) and results[3] == "2"
    with pytest.raises(redis.ResponseError, match="unknown command 'NOSUCH'"):
        with r.pipeline() as batch:
            batch.execute_command("NOSUCH")
            batch.set("b", 1)
            batch.execute()
    assert not r.exists("b")


def test_watch(r):
    r.set("k", 1)
    with r.pipeline() as batch:
        batch.watch("k")
        r.set("k", 2)  # somebody else, over another connection
        batch.multi()
        batch.set("k", 3)
        with pytest.raises(redis.WatchError):
            batch.execute()
    assert r.get("k") == "2"


def test_increments_of_many_clients_are_not_lost(r, node):
    def work():
        mine = redis.Redis(port=node.port)
        for _ in range(200):
            mine.incr("shared")
            with mine.pipeline() as batch:
                batch.incr("one").incr("two").execute()

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert r.mget("shared", "one", "two") == ["1600"] * 3


# -- connection and server --------------------------------------------------------------------------------------


def test_connection(r):
    assert r.ping() and r.echo("hello") == "hello"
    assert r.client_id() > 0 and r.client_setname("mine") and r.client_getname() == "mine"
    assert any(client["name"] == "mine" for client in r.client_list())
    fails("unknown command 'nosuch', with args beginning with: 'a' ", r.execute_command, "nosuch", "a")
    fails("unknown subcommand|Unknown subcommand", r.execute_command, "CLIENT", "NOSUCH")


def test_hello_tells_the_protocol(r):
    version = int(r.connection_pool.connection_kwargs["protocol"])
    hello = r.execute_command("HELLO", str(version))
    hello = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2]))
    assert hello["proto"] == version and hello["role"] == "master"
    fails("NOPROTO", r.execute_command, "HELLO", "9")


def test_info_and_config(r):
    info = r.info()
    assert info["redis_version"] and info["used_memory"] > 0 and info["connected_clients"] >= 1
    assert r.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"
    assert r.config_set("maxmemory-policy", "allkeys-lru") and r.info("memory")["maxmemory_policy"] == "allkeys-lru"
    r.config_set("maxmemory-policy", "noeviction")
    fails("CONFIG SET failed|Unsupported|Unknown option", r.config_set, "no-such-parameter", 1)
    seconds, micros = r.time()
    assert abs(seconds - time.time()) < 60 and 0 <= micros < 1_000_000


def test_the_command_table_describes_itself(r):
    names = [name for name in r.execute_command("COMMAND LIST") if "|" not in name]
    assert r.command_count() == len(names) > 100
    known, unknown = r.execute_command("COMMAND INFO", "get", "nosuch")
    assert known[0] == "get" and known[1] == 2 and known[3:6] == [1, 1, 1] and unknown is None
    assert r.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]


def test_memory_is_bounded(node):
    """Writes beyond maxmemory are refused, or push out others, as the policy says."""
    from service import Node

    small = Node("--maxmemory", "24mb")
    try:
        r = redis.Redis(port=small.port)
        value = "x" * 10_000
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            for number in range(20_000):
                r.set(f"k{number}", value)
        assert r.get("k0") is not None and r.delete("k0") == 1
        r.config_set("maxmemory-policy", "allkeys-lru")
        for number in range(5000):
            r.set(f"n{number}", value)
        assert r.get("n4999") is not None and r.info("stats")["evicted_keys"] > 0
        assert r.info("memory")["used_memory"] <= 26 << 20
    finally:
        small.stop()


def test_a_pipeline_of_ten_thousand(r):
    batch = r.pipeline(transaction=False)
    for number in range(10_000):
        batch.set(f"p{number}", number)
    assert all(batch.execute())
    assert r.dbsize() == 10_000


def test_rank_with_score(r):
    r.zadd("k", {"a": 1.5, "b": 2})
    for command, rank in (("ZRANK", 0), ("ZREVRANK", 1)):
        assert r.execute_command(command, "k", "a", "withscore")[0] == rank
        assert float(r.execute_command(command, "k", "a", "WITHSCORE")[1]) == 1.5
        assert r.execute_command(command, "k", "none", "WITHSCORE") is None
        fails("syntax error", r.execute_command, command, "k", "a", "x")
        fails("wrong number of arguments", r.execute_command, command, "k", "a", "WITHSCORE", "x")
