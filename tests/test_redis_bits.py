"""Documented behaviour of bitmaps, HyperLogLogs and geo commands through redis-py, in RESP2 and RESP3 alike."""

import random

import pytest
import redis

from test_redis_py import WRONG, fails, r  # noqa: F401 (a fixture)


@pytest.fixture
def raw(node):
    client = redis.Redis(port=node.port)
    client.flushall()
    yield client
    client.close()


# -- bitmaps ----------------------------------------------------------------------------------------------------


def test_single_bits(r):
    assert r.setbit("k", 7, 1) == 0 and r.getbit("k", 7) == 1 and r.getbit("k", 8) == 0 and r.getbit("none", 5) == 0
    assert r.get("k") == "\x01" and r.setbit("k", 7, 0) == 1 and r.setbit("k", 100, 0) == 0 and r.strlen("k") == 13
    fails("bit offset is not an integer or out of range", r.setbit, "k", 2**32, 1)
    fails("bit offset is not an integer or out of range", r.execute_command, "GETBIT", "k", "-1")
    fails("bit is not an integer or out of range", r.execute_command, "SETBIT", "k", 1, 2)
    r.lpush("list", 1)
    fails(WRONG, r.setbit, "list", 1, 1)


def test_bits_keep_the_deadline_and_tell_watchers(r):
    r.set("k", "abc", ex=100)
    r.setbit("k", 1, 1)
    assert r.ttl("k") > 0
    other = redis.Redis(port=r.connection_pool.connection_kwargs["port"])
    for bit, succeeds in ((1, False), (1, True)):
        with r.pipeline() as transaction:
            transaction.watch("k")
            other.setbit("k", 0, bit)  # the second time nothing changes
            transaction.multi()
            transaction.ping()
            if succeeds:
                assert transaction.execute() == [True]
            else:
                with pytest.raises(redis.WatchError):
                    transaction.execute()


def test_whoever_writes_bits_makes_a_string_raw_also_if_nothing_changes(r):
    for before, encoding in (("12", "int"), ("abc", "embstr")):
        r.set("k", before)
        assert r.object("encoding", "k") == encoding
        r.getbit("k", 0), r.execute_command("BITFIELD", "k", "GET", "u8", 0)
        assert r.object("encoding", "k") == encoding
        assert r.setbit("k", 0, 0) == 0 and r.get("k") == before
        assert r.object("encoding", "k") == "raw"
        r.set("k", before)
        r.execute_command("BITFIELD", "k", "SET", "u1", 0, 0)
        assert r.object("encoding", "k") == "raw" and r.get("k") == before


def test_counting_and_finding_bits(r):
    r.set("k", "foobar")
    assert r.bitcount("k") == 26 and r.bitcount("k", 0, 0) == 4 and r.bitcount("k", 1, 1) == 6
    assert r.bitcount("k", 5, 30, "BIT") == 17 and r.bitcount("k", -2, -1) == 7 and r.bitcount("none") == 0
    r.execute_command("SET", "ones", b"\xff\xff\xff")
    assert r.bitpos("ones", 0) == 24 and r.bitpos("ones", 0, 0, -1) == -1 and r.bitpos("ones", 1, 2) == 16
    assert r.bitpos("none", 0) == 0 and r.bitpos("none", 1) == -1 and r.bitpos("ones", 1, 7, 15, "BIT") == 7
    # Without an end it is the last byte, as in Valkey 9.
    assert r.execute_command("BITCOUNT", "k", 0) == 26 and r.execute_command("BITCOUNT", "k", -2) == 7
    fails("not an integer", r.execute_command, "BITCOUNT", "k", "x")
    fails("syntax error", r.execute_command, "BITCOUNT", "k", 0, 1, "X")
    fails("The bit argument must be 1 or 0", r.execute_command, "BITPOS", "k", 2)
    # Arguments are read before the key is looked at.
    fails("value is not an integer", r.execute_command, "BITCOUNT", "none", "x", 1)


def test_combining_bits(raw):
    raw.set("a", b"\xff\x0f"), raw.set("b", b"\x0f\x0f\x0f"), raw.set("c", b"\x01")
    for operation, keys, result in [
        ("AND", "ab", b"\x0f\x0f\x00"), ("OR", "ab", b"\xff\x0f\x0f"), ("XOR", "abc", b"\xf1\x00\x0f"),
        ("NOT", "a", b"\x00\xf0"), ("DIFF", "abc", b"\xf0\x00\x00"), ("DIFF1", "abc", b"\x00\x00\x0f"),
        ("ANDOR", "abc", b"\x0f\x0f\x00"), ("ONE", "abc", b"\xf0\x00\x0f"),
    ]:
        assert raw.bitop(operation, "to", *keys) == len(result) and raw.get("to") == result, operation
    assert raw.bitop("AND", "to", "none") == 0 and not raw.exists("to")
    assert raw.bitop("OR", "a", "a", "b") == 3 and raw.get("a") == b"\xff\x0f\x0f"
    fails("BITOP NOT must be called with a single source key", raw.bitop, "NOT", "to", "a", "b")
    fails("BITOP DIFF must be called with at least two source keys", raw.bitop, "DIFF", "to", "a")
    fails("syntax error", raw.bitop, "NAND", "to", "a", "b")


def test_long_bitmaps(raw):
    """Beyond what lies inside an item, and over several blocks of BITOP."""
    dice = random.Random(1)
    a, b = dice.randbytes(100_001), dice.randbytes(70_000)
    raw.set("a", a), raw.set("b", b)
    both = int.from_bytes(a, "big") | int.from_bytes(b + bytes(30_001), "big")
    assert raw.bitop("OR", "to", "a", "b") == 100_001 and raw.get("to") == both.to_bytes(100_001, "big")
    assert raw.bitcount("to") == both.bit_count()
    assert raw.setbit("to", 100_001 * 8 - 1, 1) == both & 1 and raw.setbit("to", 1_000_000, 1) == 0
    assert raw.strlen("to") == 125_001 and raw.bitpos("to", 1, 100_001) == 1_000_000


def test_fields(r):
    fields = r.bitfield("k")
    assert fields.incrby("i5", 100, 1).get("u4", 0).execute() == [1, 0]
    assert r.bitfield("k").set("u8", 0, 255).set("u8", "#1", 7).get("u16", 0).execute() == [0, 0, 0xFF07]
    count = lambda: r.bitfield("c").incrby("u2", 100, 1).overflow("SAT").incrby("u2", 102, 1).execute()
    assert [count() for _ in range(4)] == [[1, 1], [2, 2], [3, 3], [0, 3]]
    assert r.bitfield("c").overflow("FAIL").incrby("u2", 102, 1).execute() == [None]
    assert r.bitfield_ro("k", "u8", 0, items=[("i8", 0)]) == [255, -1]
    fails("Invalid bitfield type", r.execute_command, "BITFIELD", "k", "GET", "u64", 0)
    fails("Invalid OVERFLOW type", r.execute_command, "BITFIELD", "k", "OVERFLOW", "MAYBE")
    fails("only supports the GET subcommand", r.execute_command, "BITFIELD_RO", "k", "SET", "u8", 0, 1)


# -- HyperLogLogs -----------------------------------------------------------------------------------------------


def test_hyperloglogs(r):
    assert r.pfadd("h", "a", "b", "c", "d") == 1 and r.pfadd("h", "a", "d") == 0 and r.pfcount("h") == 4
    assert r.pfadd("other", "c", "d", "e") == 1 and r.pfcount("h", "other", "none") == 5
    assert r.pfmerge("merged", "h", "other") and r.pfcount("merged") == 5 and r.pfcount("none") == 0
    r.set("s", "text"), r.lpush("list", 1)
    fails("not a valid HyperLogLog", r.pfadd, "s", "x")
    fails(WRONG, r.pfcount, "list")


def test_hyperloglogs_count_many(raw):
    for start in range(0, 50_000, 1000):
        raw.pfadd("h", *range(start, start + 1000))
    assert raw.pfcount("h") == pytest.approx(50_000, rel=0.03)
    assert raw.strlen("h") == 12_304 and raw.execute_command("PFDEBUG", "ENCODING", "h") == b"dense"
    # A sketch is a string: it can be carried elsewhere.
    raw.set("copy", raw.get("h"))
    assert raw.pfcount("copy") == raw.pfcount("h") and raw.pfadd("copy", 1) == 0


def test_hyperloglogs_from_elsewhere(raw):
    """Bytes as redis-server 7.0 makes them; broken ones are refused."""
    raw.pfadd("h", "x")
    assert raw.get("h") == b"HYLL\x01" + bytes(10) + b"\x80\x7f\xf5\x84\x08"
    assert raw.pfcount("h") == 1 and raw.get("h") == b"HYLL\x01\0\0\0\x01" + bytes(7) + b"\x7f\xf5\x84\x08"
    for tail in (b"", b"\x00", b"\x40", b"\x7f\xff\x00", b"\xff" * 40):
        raw.set("broken", b"HYLL\x01" + bytes(10) + b"\x80" + tail)
        fails("Corrupted HLL object", raw.pfcount, "broken")
        fails("Corrupted HLL object", raw.pfmerge, "to", "broken")
    assert not raw.exists("to")


def test_the_length_of_sparse_sketches_is_configured(raw):
    raw.config_set("hll-sparse-max-bytes", 60)
    raw.pfadd("h", *range(5))
    assert raw.execute_command("PFDEBUG", "ENCODING", "h") == b"sparse"
    raw.pfadd("h", *range(50))
    assert raw.execute_command("PFDEBUG", "ENCODING", "h") == b"dense"
    raw.config_set("hll-sparse-max-bytes", 3000)


# -- places -----------------------------------------------------------------------------------------------------

SICILY = (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")


def test_places(r):
    assert r.geoadd("g", SICILY) == 2 and r.geoadd("g", SICILY) == 0
    assert r.geoadd("g", (13.5, 38.0, "Palermo"), nx=True, ch=True) == 0
    assert r.geoadd("g", (13.5, 38.0, "Palermo"), ch=True) == 1 and r.geoadd("g", SICILY[:3]) == 0
    assert r.zscore("g", "Palermo") == 3479099956230698
    assert r.geodist("g", "Palermo", "Catania") == 166274.1516 and r.geodist("g", "Palermo", "Catania", "km") == 166.2742
    assert r.geodist("g", "Palermo", "none") is None
    assert r.geohash("g", "Palermo", "none", "Catania") == ["sqc8b49rny0", None, "sqdtr74hyu0"]
    palermo, nowhere = r.geopos("g", "Palermo", "none")
    assert tuple(palermo) == (13.361389338970184, 38.1155563954963) and nowhere is None
    fails("invalid longitude,latitude pair 200.000000,1.000000", r.geoadd, "g", (200, 1, "x"))
    fails("unsupported unit provided. please use M, KM, FT, MI", r.execute_command, "GEODIST", "g", "Palermo", "Catania", "parsec")


def test_searching_places(r):
    r.geoadd("g", (*SICILY, 12.758489, 38.788135, "edge1", 17.241510, 38.788135, "edge2"))
    search = lambda **more: r.geosearch("g", longitude=15, latitude=37, **more)
    assert search(radius=200, unit="km", sort="ASC") == ["Catania", "Palermo"]
    assert search(width=400, height=400, unit="km", sort="DESC") == ["edge1", "edge2", "Palermo", "Catania"]
    found = search(radius=200, unit="km", sort="ASC", count=1, withdist=True, withhash=True, withcoord=True)
    assert found == [["Catania", 56.4413, 3479447370796909, (15.087267458438873, 37.50266842333162)]]
    assert len(search(radius=2000, unit="km", count=2, any=True)) == 2
    assert r.geosearch("g", member="Palermo", radius=1, unit="m") == ["Palermo"]
    assert r.geosearch("none", member="Palermo", radius=1, unit="m") == []
    fails("could not decode requested zset member", r.geosearch, "g", member="none", radius=1, unit="m")
    fails("ANY argument requires COUNT", r.execute_command, "GEOSEARCH", "g", "FROMMEMBER", "edge1", "BYRADIUS", 1, "m", "ANY")


def test_storing_places(r):
    r.geoadd("g", SICILY)
    assert r.geosearchstore("to", "g", longitude=15, latitude=37, radius=100, unit="km") == 1
    assert r.zrange("to", 0, -1, withscores=True) in ([("Catania", 3479447370796909)], [["Catania", 3479447370796909]])
    assert r.geosearchstore("to", "g", longitude=15, latitude=37, radius=200, unit="km", storedist=True) == 2
    assert r.zscore("to", "Catania") == pytest.approx(56.4413, abs=1e-4)
    assert r.geosearchstore("to", "g", longitude=0, latitude=0, radius=1, unit="km") == 0 and not r.exists("to")


def test_the_older_searches(r):
    r.geoadd("g", SICILY)
    assert r.georadius("g", 15, 37, 200, "km", sort="ASC") == ["Catania", "Palermo"]
    assert r.georadiusbymember("g", "Palermo", 200, "km", sort="DESC") == ["Catania", "Palermo"]
    assert r.georadius("g", 15, 37, 200, "km", store="to") == 2 and r.zcard("to") == 2
    # The key behind STORE is found though it has no fixed place, also within a transaction.
    with r.pipeline() as transaction:
        transaction.georadiusbymember("g", "Palermo", 1, "km", store_dist="distances")
        transaction.zscore("distances", "Palermo")
        assert transaction.execute() == [1, 0]
    assert r.command_getkeys("GEORADIUS", "g", 1, 1, 1, "km", "ASC", "STORE", "to") == ["g", "to"]
    fails("syntax error", r.execute_command, "GEORADIUS_RO", "g", 15, 37, 1, "km", "STORE", "to")
