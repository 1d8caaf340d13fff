"""Files as Redis 2.4 to 7.0 wrote them, made by hand: a node has in it what they say, and so does redis-server 7.0."""

import shutil
import struct
import time

import pytest

import old_rdb as old
from service import PATIENCE_S
from test_rdb import image, start

__all__ = ["start"]

DIES_MS, DIES_S = 4_000_000_000_123, 2_000_000_000  # in 2096 and 2033
LONG, HUGE = b"l" * 300, b"h" * 20_000
WIDE = [-3, 0, 12, 13, 127, -128, 128, -32_768, 40_000, -8_388_608, 2**31 - 1, -(2**31), 2**40, -(2**63)]


def texts(*members):
    return [member if isinstance(member, bytes) else b"%d" % member for member in members]


def flat(pairs):
    return [part for pair in pairs.items() for part in pair]


def plain():
    """What every version has: the forms of Redis 2.0."""
    strings = {
        b"empty": (old.string(b""), b""),
        b"short": (old.string(b"value"), b"value"),
        b"of 64": (old.string(b"x" * 64), b"x" * 64),
        b"of 20000": (old.string(HUGE), HUGE),
        **{b"number %d" % n: (old.number(n), b"%d" % n) for n in (0, -1, 127, 128, -129, 32_767, -70_000, 2**31, 10**17)},
        b"short by lzf": (old.lzf_run(b"abc", 20), b"abc" * 20),
        b"long by lzf": (old.lzf_run(b"0123456789", 3000), b"0123456789" * 3000),
        b"far by lzf": (old.lzf_run(bytes(range(32)), 100), bytes(range(32)) * 100),
    }
    for key, (form, value) in strings.items():
        yield key, 0, form, value
    members = [b"a", b"", 7, -70_000, LONG]
    forms = b"".join(old.number(member) if isinstance(member, int) else old.string(member) for member in members)
    yield b"linked list", 1, old.length(5) + forms, texts(*members)
    yield b"linked list of one", 1, old.length(1) + old.lzf_run(b"ab", 40), [b"ab" * 40]
    yield b"table set", 2, old.length(5) + forms, set(texts(*members))
    many = [b"m%d" % n for n in range(700)]
    yield b"table set of 700", 2, old.length(700) + b"".join(map(old.string, many)), set(many)
    scores = {b"a": 1.5, b"b": float("inf"), b"c": float("-inf"), b"d": -0.25, b"e": 1e300}
    form = old.length(5) + b"".join(old.string(member) + old.score_text(score) for member, score in scores.items())
    yield b"skip list", 3, form, sorted(scores.items(), key=lambda pair: pair[1])
    pairs = dict(zip(texts(*members), texts(*reversed(members))))
    yield b"table hash", 4, old.length(5) + b"".join(map(old.string, flat(pairs))), (pairs, {})


def packed():
    """What Redis 2.2 to 2.6 added."""
    pairs = {b"field": b"value", b"": b"empty", b"long": LONG, LONG: b"1"}
    yield b"zipmap", 9, old.string(old.zipmap(pairs)), (pairs, {})
    yield b"zipmap with room", 9, old.string(old.zipmap(pairs, free=3)), (pairs, {})
    many = {b"f%d" % n: b"%d" % n for n in range(300)}
    yield b"zipmap that does not count", 9, old.string(old.zipmap(many)), (many, {})
    yield b"zipmap by lzf", 9, old.lzf_run(b"\x01\x01f\x01\x00v\xff", 1), ({b"f": b"v"}, {})
    members = [b"a", *WIDE, LONG, b"behind a long one", HUGE, b"behind a longer one", b""]
    yield b"ziplist", 10, old.string(old.ziplist(*members)), texts(*members)
    for size, numbers in ((2, [-32_768, 0, 32_767]), (4, [-70_000, 1, 2**31 - 1]), (8, [-(2**63), 5, 2**63 - 1])):
        yield b"intset of %d" % size, 11, old.string(old.intset(numbers, size)), set(texts(*numbers))
    scores = {b"low": -7, b"a": 1, b"half": 1.5, b"z": 1_000_000, LONG: 2**40}
    members = flat({member: score if isinstance(score, int) else b"%r" % score for member, score in scores.items()})
    expected = [(member, float(score)) for member, score in scores.items()]
    yield b"sorted ziplist", 12, old.string(old.ziplist(*members)), expected
    yield b"hash ziplist", 13, old.string(old.ziplist(b"f", 1, b"g", LONG, LONG, b"v", 5, -5)), (
        {b"f": b"1", b"g": LONG, LONG: b"v", b"5": b"-5"},
        {},
    )


def quick():
    """Redis 3.2: a list of ziplists."""
    nodes = [[b"a", 1], [HUGE], [*WIDE], [b"z"]]
    form = old.length(4) + b"".join(old.string(old.ziplist(*node)) for node in nodes)
    yield b"quicklist", 14, form, texts(*sum(nodes, []))


def binary_scores():
    """Redis 4.0: scores of eight bytes."""
    scores = {b"low": float("-inf"), b"a": -1.1, b"b": 0.1, b"c": 5e-324, b"high": float("inf")}
    form = old.length(5) + b"".join(old.string(member) + struct.pack("<d", score) for member, score in scores.items())
    yield b"skip list of doubles", 5, form, sorted(scores.items(), key=lambda pair: pair[1])


STREAM_ENTRIES = {
    (1_500_000_000_000, 0): {b"f": b"v", b"n": 1},
    (1_500_000_000_000, 1): {b"f": b"gone", b"n": 2},
    (1_500_000_000_000, 7): {b"other": b"fields", b"than": b"those", b"of": LONG},
    (1_500_000_777_000, 0): {b"f": HUGE, b"n": -70_000},
}
STREAM_GROUPS = {
    b"readers": (
        (1_500_000_000_000, 7),
        {
            b"alice": {(1_500_000_000_000, 0): (1_500_000_001_000, 3)},
            b"bob": {(1_500_000_000_000, 7): (1_500_000_002_000, 1)},
            b"carol": {},
        },
    ),
    b"idle": ((0, 0), {}),
}


def streams(version):
    """Redis 5.0, and 7.0 with what it added."""
    gone = {(1_500_000_000_000, 1)}
    yield (
        b"stream",
        {1: 15, 2: 19}[version],
        old.stream(version, STREAM_ENTRIES, gone, STREAM_GROUPS),
        [
            (b"%d-%d" % id, dict(zip(fields, texts(*fields.values()))))
            for id, fields in STREAM_ENTRIES.items()
            if id not in gone
        ],
    )


def listpacks():
    """Redis 7.0: listpacks in the place of ziplists."""
    pairs = {b"f": b"1", b"g": LONG, b"%d" % 2**40: b"-70000"}
    yield b"hash listpack", 16, old.string(old.listpack(b"f", 1, b"g", LONG, 2**40, -70_000)), (pairs, {})
    members = [b"a", -2, b"half", b"0.5", LONG, 4096]
    yield b"sorted listpack", 17, old.string(old.listpack(*members)), [(b"a", -2.0), (b"half", 0.5), (LONG, 4096.0)]
    form = old.length(3) + old.length(2) + old.string(old.listpack(*WIDE, LONG, HUGE))
    form += old.length(1) + old.string(b"p" * 9000) + old.length(2) + old.string(old.listpack(b"z"))
    yield b"list of listpacks", 18, form, [*texts(*WIDE, LONG, HUGE), b"p" * 9000, b"z"]


def aux(name, value):
    return name, old.number(value) if isinstance(value, int) else old.string(value)


# Who wrote which version, with the values that it knows and what it says of itself.
AGES = {
    "2.4": (2, [plain, packed], []),
    "2.6": (6, [plain, packed], []),
    "2.8": (6, [plain, packed], []),
    "3.2": (
        7,
        [plain, packed, quick],
        [aux(b"redis-ver", b"3.2.12"), aux(b"redis-bits", 64), aux(b"ctime", 1_500_000_000), aux(b"used-mem", 823_000)],
    ),
    "4.0": (
        8,
        [plain, packed, quick, binary_scores],
        [
            aux(b"redis-ver", b"4.0.14"),
            aux(b"repl-stream-db", 0),
            aux(b"repl-id", b"0123456789abcdef0123456789abcdef01234567"),
            aux(b"repl-offset", 4711),
            aux(b"aof-preamble", 0),
            aux(b"lua", b"return redis.call('get', KEYS[1])"),
        ],
    ),
    "5.0": (
        9,
        [plain, packed, quick, binary_scores, lambda: streams(1)],
        [aux(b"redis-ver", b"5.0.14"), aux(b"ctime", 1_600_000_000)],
    ),
    "6.2": (9, [plain, packed, quick, binary_scores, lambda: streams(1)], [aux(b"redis-ver", b"6.2.14")]),
    "7.0": (
        10,
        [plain, packed, quick, binary_scores, lambda: streams(1), listpacks],
        [aux(b"redis-ver", b"7.0.15"), aux(b"aof-base", 0)],
    ),
    "7.0 with streams of its own": (10, [lambda: streams(2), listpacks], [aux(b"something new", b"x")]),
}
KINDS = {0: b"string", 1: b"list", 2: b"set", 3: b"zset", 4: b"hash", 5: b"zset", 9: b"hash", 10: b"list", 11: b"set"}
KINDS |= {12: b"zset", 13: b"hash", 14: b"list", 15: b"stream", 16: b"hash", 17: b"zset", 18: b"list", 19: b"stream"}


def made(age):
    """The file of a version, and what is in it."""
    version, families, about = AGES[age]
    records, expected = [], {}
    for key, kind, form, value in (row for family in families for row in family()):
        records.append(old.record(kind, key, form))
        expected[0, key] = (KINDS[kind], value, -1)
    more = [old.record(0, b"dies", old.string(b"soon"), old.dies_s(DIES_S)), old.record(0, b"dead", old.string(b"x"), old.dies_s(1))]
    expected[3, b"dies"] = (b"string", b"soon", DIES_S * 1000)
    if version >= 3:
        more.append(old.record(4, b"dies too", old.length(1) + old.string(b"f") + old.string(b"v"), old.dies_ms(DIES_MS)))
        expected[3, b"dies too"] = (b"hash", ({b"f": b"v"}, {}), DIES_MS)
    if version >= 9:
        # How long it has not been used, or how often it has been.
        more.append(old.record(0, b"idle", old.string(b"i"), b"\xf8" + old.length(1000)))
        more.append(old.record(0, b"frequent", old.string(b"f"), old.dies_ms(DIES_MS) + b"\xf9\xc8"))
        expected[3, b"idle"] = (b"string", b"i", -1)
        expected[3, b"frequent"] = (b"string", b"f", DIES_MS)
    return old.file(version, {0: records, 3: more}, about), expected


def seen(server):
    """Every key, with what a stream shows of its groups left for a look of its own."""
    found = image(server)
    return {
        place: (kind, [(id, fields) for id, fields in value[0]] if kind == b"stream" else value, dies)
        for place, (kind, value, dies) in found.items()
    }


def check_groups(client):
    groups = {group["name"]: group for group in client.xinfo_groups("stream")}
    assert {name: group["last-delivered-id"] for name, group in groups.items()} == {
        name: b"%d-%d" % delivered for name, (delivered, _) in STREAM_GROUPS.items()
    }
    now = time.time() * 1000
    pending = client.xpending_range("stream", "readers", "-", "+", 10)
    assert [(one["message_id"], one["consumer"], one["times_delivered"]) for one in pending] == [
        (b"1500000000000-0", b"alice", 3),
        (b"1500000000000-7", b"bob", 1),
    ]
    for one, delivered in zip(pending, (1_500_000_001_000, 1_500_000_002_000)):
        assert abs(now - one["time_since_delivered"] - delivered) < 600_000
    assert {one["name"]: one["pending"] for one in client.xinfo_consumers("stream", "readers")} == {
        b"alice": 1,
        b"bob": 1,
        b"carol": 0,
    }
    about = client.xinfo_stream("stream")
    assert about["length"] == 3 and about["last-generated-id"] == b"1500000777000-0"
    # What must come next is what was not delivered.
    assert [id for id, _ in client.xreadgroup("readers", "carol", {"stream": ">"})[0][1]] == [b"1500000777000-0"]


@pytest.mark.parametrize("age", AGES)
def test_a_file_of_an_old_version_is_loaded(age, start, tmp_path):
    file, expected = made(age)
    (tmp_path / "dump.rdb").write_bytes(file)
    server = start(None, tmp_path, "--sanitize-dump-payload", "yes")
    assert seen(server) == expected
    if (0, b"stream") in expected:
        check_groups(server.client)
    # It stays what it was in the form of today.
    assert server.client.execute_command("DEBUG", "RELOAD")
    assert seen(server) == expected


@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
@pytest.mark.parametrize("age", AGES)
def test_the_original_reads_the_same_in_it(age, start, tmp_path):
    """So the files that the tests make are what they are held for."""
    file, expected = made(age)
    (tmp_path / "dump.rdb").write_bytes(file)
    server = start(["redis-server"], tmp_path, "--save", "", "--sanitize-dump-payload", "yes")
    assert seen(server) == expected
    if (0, b"stream") in expected:
        check_groups(server.client)


@pytest.mark.parametrize("age", ["2.4", "3.2", "7.0 with streams of its own"])
def test_no_part_of_it_is_taken_for_the_whole(age, start, tmp_path):
    file, _ = made(age)
    for end in (len(file) - 1, len(file) // 2, 30):
        (tmp_path / "dump.rdb").write_bytes(file[:end] if age != "2.4" else file[: min(end, len(file) - 2)])
        server = start(None, tmp_path, expect=False)
        assert server.process.wait(timeout=PATIENCE_S) != 0
        assert "unexpected end of input" in server.log.read_text()
