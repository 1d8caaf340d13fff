"""Hash fields with deadlines, for the differential test against a server that has them (Redis 8)."""

FUTURE = 4_000_000_000


def field_commands(a):
    key, pick = a.key, a.dice.choice
    field = lambda: pick(["a", "b", "c", "d", "1", "2", "x" * 70])
    fields = lambda: (lambda some: ["FIELDS", pick([len(some)] * 12 + [0, "x", 9]), *some])(a.some(field))
    condition = lambda: pick([[], [], [], [a.word("NX", "XX", "GT", "LT")]])
    # Times are far away or over, so that no clock decides a reply.
    seconds = lambda: pick([FUTURE, FUTURE + 5, FUTURE + 10, FUTURE + 10, 1, 0, -1, "x", 2**46 // 1000, 2**46 // 1000 + 1, 2**62])
    ms = lambda: pick([FUTURE * 1000, FUTURE * 1000 + 7, FUTURE * 1000 + 9, 1, 0, -1, 2**46 - 1, 2**46, 2**63 - 1])
    term = lambda: pick([["EXAT", seconds()], ["PXAT", ms()], ["PERSIST"], ["KEEPTTL"], ["EX", "x"], ["PX", -1], []])
    pairs = lambda: (lambda some: ["FIELDS", pick([len(some) // 2] * 12 + [0, "x", 9]), *some])(
        [part for _ in range(a.dice.randrange(1, 4)) for part in (field(), a.value())])
    return [
        (6, "HSET", lambda: [key(), *a.some(lambda: [field(), a.value()])]),
        (8, "HEXPIREAT", lambda: [key(), seconds(), *condition(), *fields()]),
        (8, "HPEXPIREAT", lambda: [key(), ms(), *condition(), *fields()]),
        (1, "HEXPIRE", lambda: [key(), pick([0, -1, "x", 2**62]), *condition(), *fields()]),
        (1, "HPEXPIRE", lambda: [key(), pick([0, -1, "x", 2**62]), *condition(), *fields()]),
        (4, "HEXPIRETIME", lambda: [key(), *fields()]),
        (4, "HPEXPIRETIME", lambda: [key(), *fields()]),
        (2, "HPERSIST", lambda: [key(), *fields()]),
        (4, "HGETEX", lambda: [key(), *term(), *fields()]),
        (4, "HSETEX", lambda: [key(), *a.options(lambda: a.word("FNX", "FXX"), lambda: a.word("FXX")), *term(), *pairs()]),
        (2, "HGETDEL", lambda: [key(), *fields()]),
        (2, "HGETALL", lambda: [key()]), (1, "HLEN", lambda: [key()]), (1, "HMGET", lambda: [key(), *a.some(field)]),
        (1, "HINCRBY", lambda: [key(), field(), a.integer()]), (1, "HSETNX", lambda: [key(), field(), 1]),
        (2, "HDEL", lambda: [key(), *a.some(field)]), (1, "HSCAN", lambda: [key(), 0]),
        (1, "RENAME", lambda: [key(), key()]), (1, "COPY", lambda: [key(), key(), *a.options(lambda: "REPLACE")]),
        (0.3, "DEL", lambda: [key()]), (0.3, "EXISTS", lambda: [key()]),
    ]
