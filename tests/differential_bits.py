"""Families of the differential test that work on bits: bitmaps, HyperLogLogs, and geo, whose scores are bits."""

REGISTERS = 16_384

OFFSETS = [0, 1, 7, 8, 9, 63, 64, 100, 1_000, 140_000]
BAD_OFFSETS = [-1, "x", "", "+1", "01", " 1", 2**32, 2**63, 2**63 - 1, "#1"]


def pick(a, good, bad, chance=0.05):
    return a.dice.choice(bad if a.dice.random() < chance else good)


def bitmap_commands(a):
    key, dice = a.key, a.dice
    offset = lambda: pick(a, OFFSETS, BAD_OFFSETS)
    index = lambda: pick(a, [0, 0, -1, -1, 1, 2, -2, 3, 5, -5, 8, 12, 17, -20, 60, -60, 200], ["x", "", 2**63, 2**63 - 1, -(2**63)], 0.08)
    unit = lambda: a.word("BYTE", "BIT")
    encoding = lambda: pick(a, [f"{kind}{bits}" for kind in "iu" for bits in (1, 2, 3, 5, 8, 13, 16, 32, 63)] + ["i64"], ["u64", "i65", "u0", "x8", "", "i", "U8", "u08", "u+8", "i-3"], 0.04)
    place = lambda: dice.choice(OFFSETS) if dice.random() < 0.6 else pick(a, ["#0", "#1", "#7", 3, 33], [*BAD_OFFSETS, "#", "#-1", "#x", f"#{2**55}", "##1"], 0.08)
    number = lambda: pick(a, [0, 1, -1, 2, 100, -100, 255, -129, 65_536, 2**31, -(2**40), 2**63 - 1, -(2**62)], ["x", "", 2**63, "1.5"])
    getting = lambda: [a.word("GET"), encoding(), place()]
    # Redis saturates a SET of less than about -2**62 to the greatest value of the type, because its sum overflows.
    setting = lambda: [a.word("SET", "INCRBY"), encoding(), place(), number()]
    adding = lambda: [a.word("INCRBY"), encoding(), place(), dice.choice([-(2**63), 1 - 2**63])]
    overflow = lambda: [a.word("OVERFLOW"), a.word("WRAP", "SAT", "FAIL")]
    step = lambda: dice.choice([getting, getting, setting, setting, setting, setting, adding, overflow, overflow])()
    operation = lambda: a.word("AND", "OR", "XOR", "AND", "OR", "XOR", "NOT")
    return [
        (5, "SETBIT", lambda: [key(), offset(), pick(a, [0, 1], [2, -1, "x", ""])]),
        (3, "GETBIT", lambda: [key(), offset()]),
        (3, "BITCOUNT", lambda: [key(), *a.options(lambda: [index(), index(), *a.options(unit)])]),
        (4, "BITPOS", lambda: [key(), pick(a, [0, 1], [2, "x", ""]), *a.options(lambda: [index(), *a.options(index)])]),
        (3, "BITPOS", lambda: [key(), dice.randrange(2), index(), index(), unit()]),
        (4, "BITOP", lambda: [operation(), key(), *a.some(key, 1, 4)]),
        (2, "BITOP", lambda: [a.word("NOT"), key(), key()]),
        (8, "BITFIELD", lambda: [key(), *a.some(step, 0, 5)]),
        (2, "BITFIELD_RO", lambda: [key(), *a.some(getting, 0, 4)]),
        (0.5, "BITFIELD_RO", lambda: [key(), *a.some(step, 0, 4)]),
        (2, "SET", lambda: [key(), bytes(dice.choice([0, 255, dice.randrange(256)]) for _ in range(dice.choice([0, 1, 2, 7, 8, 9, 31, 20_000])))]),
        (1, "SET", lambda: [key(), dice.choice([0, 12, -345, 2**62])]),
        (1, "SETRANGE", lambda: [key(), dice.choice([0, 3, 70, 16_384]), bytes([dice.choice([0, 255])]) * 9]),
        (1, "GET", lambda: [key()]),
        (1, "STRLEN", lambda: [key()]),
        (1, "EXPIREAT", lambda: [key(), 4_000_000_000]),
        (1, "DEL", lambda: [key()]),
    ]


def sparse_sketch(dice):
    """A HyperLogLog with opcodes that are right but that no server would write so."""
    left, code = REGISTERS, b""
    while left:
        kind = dice.choice("zzvvvvX" if len(code) < 200 else "X")
        if kind == "X":
            size = left if len(code) >= 200 else dice.randint(1, min(left, dice.choice([3, 400, 5000])))
            code += bytes([0x40 | (size - 1) >> 8, (size - 1) & 0xFF])
        elif kind == "z":
            size = dice.randint(1, min(left, 64))
            code += bytes([size - 1])
        else:
            size = dice.randint(1, min(left, 4))
            code += bytes([0x80 | dice.choice([0, 1, 1, 2, 31]) << 2 | size - 1])
        left -= size
    return b"HYLL\x01\0\0\0" + bytes(7) + b"\x80" + code


def hyperloglog_commands(a):
    key, dice = a.key, a.dice
    element = lambda: dice.choice([dice.randrange(100), dice.randrange(10**6), "x" * dice.randrange(20), dice.randbytes(dice.randrange(40))])
    # Now and then enough for a dense one.
    elements = lambda: a.some(element, 0, dice.choice([1, 3, 3, 30, 30, 400, 2000]))
    keys = lambda: a.some(key, 0, 3)
    return [
        (10, "PFADD", lambda: [key(), *elements()]),
        (4, "PFCOUNT", lambda: [key()]),
        (3, "PFCOUNT", lambda: [key(), *keys()]),
        (3, "PFMERGE", lambda: [key(), *keys()]),
        (3, "GET", lambda: [key()]),
        (1, "SET", lambda: [key(), sparse_sketch(dice)]),
        (0.5, "SET", lambda: [key(), dice.choice([b"HYLL", b"HYLL" + bytes(12), b"HYLL\2" + bytes(20), b"HYLM\1" + bytes(20), b"", "12"])]),
        (0.3, "SETRANGE", lambda: [key(), dice.randrange(8, 15), dice.randbytes(1)]),
        (0.5, "PFDEBUG", lambda: [a.word("ENCODING", "DECODE", "TODENSE", "GETREG"), key()]),
        (1.5, "DEL", lambda: [key()]),
    ]


def geo_commands(a):
    key, dice = a.key, a.dice
    member = lambda: f"m{dice.randrange(40)}"
    # Most places lie near a few others, the rest anywhere, some at the edges.
    towns = [(13.361389, 38.115556), (-0.1276, 51.5072), (179.95, -16.5), (-179.9, -16.6), (25.0, 84.0), (-70.0, -70.2), (0.0, 0.0)]
    edges = ["-180", "180", "85.05112878", "-85.05112878", "0", "1e-9"]
    bad = ["90.1", "-90.1", "181", "-180.0000001", "x", "", "nan", "inf", "-inf"]

    # No two members lie in the same place: the order of equal distances is left to the sorting algorithm.
    def place():
        chance = dice.random()
        if chance < 0.02:
            return dice.choice([[dice.choice(edges[:2] + edges[4:]), repr(dice.uniform(-85, 85))], [repr(dice.uniform(-180, 180)), dice.choice(edges[2:])]])
        if chance < 0.03:
            return [dice.choice(bad + edges), dice.choice(bad)]
        if chance < 0.25:
            return [repr(dice.uniform(-180, 180)), repr(dice.uniform(-85.05, 85.05))]
        (longitude, latitude), reach = dice.choice(towns), dice.choice([0.001, 0.1, 1.0, 5.0])
        longitude += dice.uniform(-reach, reach)
        return [repr(max(-180.0, min(180.0, longitude))), repr(max(-85.05, min(85.05, latitude + dice.uniform(-reach, reach))))]

    strange = lambda: dice.choice([[score, f"strange{at}"] for at, score in enumerate([1, -1, -5.5, 1e300, 2**52, 2**52 - 1, 2**63, 2**64, "inf", "-inf", 77.5, 1e19])])
    unit = lambda: a.word("m", "km", "ft", "mi", "KM", "km")
    length = lambda: dice.choice([0, 1, 10, 100.5, 250, 1000, 5000, 12_000, 20_000, 40_000, 1e6, 1e7]) if dice.random() < 0.95 else dice.choice([-1, "x", "", "nan", "inf", 1e300])
    count = lambda: [a.word("COUNT"), a.count(), *(["ANY"] if dice.random() < 0.3 else [])]
    order = lambda: a.word("ASC", "DESC")
    shown = [lambda word=word: a.word(word) for word in ("WITHDIST", "WITHHASH", "WITHCOORD")]
    centre = lambda: [a.word("FROMMEMBER"), member()] if dice.random() < 0.4 else [a.word("FROMLONLAT"), *place()]
    shape = lambda: [a.word("BYRADIUS"), length(), unit()] if dice.random() < 0.5 else [a.word("BYBOX"), length(), length(), unit()]
    # Distances as scores are places too, close to one another in the far south-west: nobody searches there.
    apart = lambda: f"gd{dice.randrange(2)}"
    stored = lambda: dice.choice([lambda: [a.word("STORE"), key()], lambda: [a.word("STOREDIST"), apart()]])()
    distances = lambda: a.word("STOREDIST")
    found = lambda: a.options(count, order, *shown)
    area = lambda: [*centre(), *shape(), *(shape() if dice.random() < 0.02 else []), *(centre() if dice.random() < 0.02 else [])]
    return [
        (8, "GEOADD", lambda: [key(), *a.options(lambda: a.word("NX", "XX"), lambda: a.word("CH")), *a.some(lambda: [*place(), member()], 1, 8)]),
        (0.3, "GEOADD", lambda: [key(), *a.some(lambda: a.word("NX", "XX", "CH", "GT", "INCR"), 2, 4), *a.some(member, 0, 4)]),
        (1, "GEOPOS", lambda: [key(), *a.some(member, 0, 6)]),
        (1, "GEOHASH", lambda: [key(), *a.some(member, 0, 6)]),
        (2, "GEODIST", lambda: [key(), member(), member(), *a.options(unit)]),
        (8, "GEOSEARCH", lambda: [key(), *area(), *found()]),
        (1, "GEOSEARCH", lambda: [key(), *shape(), *found(), *centre()]),
        (0.5, "GEOSEARCH", lambda: [key(), *a.options(centre, shape, count, order), *a.options(centre, shape), "ASC", "ASC", "ASC"]),
        (1, "GEOSEARCHSTORE", lambda: [key(), key(), *area(), *a.options(count, order)]),
        (1, "GEOSEARCHSTORE", lambda: [apart(), key(), *area(), *a.options(count, order, distances)]),
        (0.5, "GEOSEARCHSTORE", lambda: [key(), key(), *area(), *found()]),
        (1, "ZRANGE", lambda: [apart(), 0, -1, "WITHSCORES"]),
        (4, "GEORADIUS", lambda: [key(), *place(), length(), unit(), *found()]),
        (1, "GEORADIUS", lambda: [key(), *place(), length(), unit(), *a.options(count, order, stored)]),
        (0.2, "GEORADIUS", lambda: [key(), *place(), length(), unit(), *found(), *stored()]),
        (1, "GEORADIUS_RO", lambda: [key(), *place(), length(), unit(), *found(), *(stored() if dice.random() < 0.05 else [])]),
        (3, "GEORADIUSBYMEMBER", lambda: [key(), member(), length(), unit(), *found()]),
        (1, "GEORADIUSBYMEMBER", lambda: [key(), member(), length(), unit(), *a.options(count, order, stored)]),
        (1, "GEORADIUSBYMEMBER_RO", lambda: [key(), member(), length(), unit(), *found()]),
        (1, "ZREM", lambda: [key(), *a.some(member, 1, 12)]),
        (0.3, "ZADD", lambda: [key(), *strange()]),
        (1, "ZRANGE", lambda: [key(), 0, -1, "WITHSCORES"]),
        (0.5, "DEL", lambda: [key()]),
    ]


def forgiven(args, theirs, ours):
    """Differences that are meant: an end of BITCOUNT may be left out, as in Valkey 9; 7.0 looks at the key before it reads the range of BITCOUNT and BITPOS, 7.2 and Larder
    read the range first; and LCS of bitmaps takes Redis more memory than it grants itself."""
    name, kind, content = args[0], *theirs
    if name == "BITCOUNT" and len(args) == 3 and content == b"ERR syntax error":
        return True
    if name in ("BITCOUNT", "BITPOS"):
        return ours[0] == b"-" and (content in (b"0", b"-1") or content.startswith(b"WRONGTYPE"))
    return name == "LCS" and kind == b"-" and b"Insufficient memory" in content
