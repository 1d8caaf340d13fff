"""Commands over many members, which a node carries out in slices: the same replies as at once, of one instant, in order."""

import itertools
import socket
import threading

import pytest
import redis

from service import PATIENCE_S, Node, wait_until

# Beyond what is done at once, and of some slices.
MEMBERS = 20_000
FILL = 1_000

READS = {
    "smembers": ("SMEMBERS", "set"),
    "smembers of integers": ("SMEMBERS", "numbers"),
    "hgetall": ("HGETALL", "hash"),
    "hkeys": ("HKEYS", "hash"),
    "hvals": ("HVALS", "hash"),
    "lrange": ("LRANGE", "list", "0", "-1"),
    "a part of a list": ("LRANGE", "list", "777", "-1234"),
    "zrange": ("ZRANGE", "zset", "0", "-1"),
    "zrange with scores": ("ZRANGE", "zset", "5", "-7", "WITHSCORES"),
    "zrange from the top": ("ZRANGE", "zset", "0", "-1", "REV", "WITHSCORES"),
    "zrange by score": ("ZRANGEBYSCORE", "zset", "(3", "+inf", "WITHSCORES", "LIMIT", "5", "12000"),
    "zrange by name": ("ZRANGEBYLEX", "named", "[member:1", "+"),
    "zrange by name from the top": ("ZREVRANGEBYLEX", "named", "+", "[member:1"),
    "xrange": ("XRANGE", "stream", "-", "+"),
    "xrange with a count": ("XRANGE", "stream", "5", "+", "COUNT", "9000"),
    "xrevrange": ("XREVRANGE", "stream", "+", "7"),
    "sunion": ("SUNION", "set", "numbers", "few", "missing"),
    "sinter": ("SINTER", "set", "half"),
    "sdiff": ("SDIFF", "set", "few", "half"),
    "sunion of one": ("SUNION", "set"),
    "zunion": ("ZUNION", "3", "zset", "named", "few", "WEIGHTS", "1", "2", "-0.5", "WITHSCORES"),
    "zinter": ("ZINTER", "2", "zset", "half", "AGGREGATE", "MAX", "WITHSCORES"),
    "zdiff": ("ZDIFF", "3", "zset", "half", "missing"),
    "sort": ("SORT", "numbers"),
    "sort downwards": ("SORT", "numbers", "DESC", "LIMIT", "3", "6000"),
    "sort text of a list": ("SORT", "list", "ALPHA"),
    "sort text of a sorted set": ("SORT_RO", "zset", "ALPHA", "DESC"),
    "sort by other keys": ("SORT", "numbers", "BY", "key:*", "DESC"),
    "sort by other keys and get": ("SORT", "numbers", "BY", "key:*", "GET", "#", "GET", "key:*", "GET", "missing:*"),
    "sort a part by other keys and get": (
        "SORT", "list", "BY", "key:*", "DESC", "LIMIT", "5", "9000", "GET", "key:*", "GET", "#",
    ),
    "sort a part by other keys": ("SORT", "numbers", "BY", "key:*", "LIMIT", "5", "9000"),
    "sort by texts": ("SORT", "numbers", "BY", "key:*", "ALPHA"),
    "sort by few texts": ("SORT_RO", "list", "BY", "object:*->text", "ALPHA", "DESC", "GET", "#"),
    "sort by fields": ("SORT", "zset", "BY", "object:*->number", "GET", "object:*->text", "GET", "literal"),
    "sort and get": ("SORT", "list", "ALPHA", "LIMIT", "9", "8000", "GET", "key:*"),
    "sort nothing": ("SORT", "list", "BY", "nosort"),
    "sort nothing from the end": ("SORT", "list", "BY", "nosort", "DESC", "LIMIT", "3", "9000"),
    "sort nothing of a sorted set": ("SORT", "zset", "BY", "nosort", "DESC", "LIMIT", "7", "9000", "GET", "#"),
    "sort nothing and get": ("SORT", "numbers", "BY", "nosort", "GET", "key:*", "GET", "#", "LIMIT", "1", "9000"),
    "keys": ("KEYS", "*"),
    "some keys": ("KEYS", "key:*7"),
}
STORES = {
    "sunionstore": ("SUNIONSTORE", "{to}", "set", "numbers", "few"),
    "sinterstore": ("SINTERSTORE", "{to}", "set", "half"),
    "sdiffstore": ("SDIFFSTORE", "{to}", "set", "half"),
    "sunionstore of one": ("SUNIONSTORE", "{to}", "set"),
    "sinterstore of nothing": ("SINTERSTORE", "{to}", "set", "numbers"),
    "sunionstore at a source": ("SUNIONSTORE", "few", "few", "set"),
    "zunionstore": ("ZUNIONSTORE", "{to}", "2", "zset", "few", "WEIGHTS", "2", "1"),
    "zinterstore": ("ZINTERSTORE", "{to}", "2", "half", "zset", "AGGREGATE", "MIN"),
    "zdiffstore": ("ZDIFFSTORE", "{to}", "2", "zset", "half"),
    "zdiffstore of nothing": ("ZDIFFSTORE", "{to}", "2", "zset", "zset"),
    "zrangestore": ("ZRANGESTORE", "{to}", "zset", "7", "-9"),
    "zrangestore from the top": ("ZRANGESTORE", "{to}", "zset", "+inf", "(4", "BYSCORE", "REV", "LIMIT", "3", "9000"),
    "zrangestore by name": ("ZRANGESTORE", "{to}", "named", "[member:1", "+", "BYLEX"),
    "sort and store": ("SORT", "numbers", "STORE", "{to}"),
    "sort by other keys and store": ("SORT", "numbers", "BY", "key:*", "DESC", "GET", "key:*", "LIMIT", "3", "9000", "STORE", "{to}"),
    "sort nothing and store": ("SORT", "numbers", "BY", "nosort", "GET", "key:*", "STORE", "{to}"),
    "sort text downwards and store": ("SORT", "set", "ALPHA", "DESC", "LIMIT", "5", "9000", "STORE", "{to}"),
}
# Each gives one number.
COUNTS = {
    "sintercard": ("SINTERCARD", "2", "set", "half"),
    "sintercard up to a limit": ("SINTERCARD", "2", "set", "half", "LIMIT", "7001"),
    "sintercard of nothing": ("SINTERCARD", "2", "set", "numbers"),
    "zintercard": ("ZINTERCARD", "2", "zset", "half"),
    "zintercard up to a limit": ("ZINTERCARD", "2", "half", "zset", "LIMIT", "7001"),
}
# What is drawn, how many are answered, whether they differ, and what can be drawn.
DRAWS = {
    "srandmember of some": (("SRANDMEMBER", "set", "9000"), 9_000, True, ("SMEMBERS", "set")),
    "srandmember of more than all": (("SRANDMEMBER", "set", "90000"), MEMBERS, True, ("SMEMBERS", "set")),
    "srandmember again and again": (("SRANDMEMBER", "numbers", "-9000"), 9_000, False, ("SMEMBERS", "numbers")),
    "hrandfield of some": (("HRANDFIELD", "hash", "9000"), 9_000, True, ("HKEYS", "hash")),
    "hrandfield again and again": (("HRANDFIELD", "hash", "-30000"), 30_000, False, ("HKEYS", "hash")),
    "zrandmember of some": (("ZRANDMEMBER", "zset", "9000"), 9_000, True, ("ZRANGE", "zset", "0", "-1")),
    "zrandmember again and again": (("ZRANDMEMBER", "zset", "-9000"), 9_000, False, ("ZRANGE", "zset", "0", "-1")),
}


def fill(client):
    """A value of each type."""
    for start in range(0, MEMBERS, FILL):
        numbers = range(start, start + FILL)
        pipe = client.pipeline(transaction=False)
        pipe.sadd("set", *(f"member:{n}" for n in numbers))
        pipe.sadd("half", *(f"member:{n}" for n in numbers if n % 2), *(f"other:{n}" for n in numbers))
        pipe.sadd("numbers", *numbers)
        pipe.hset("hash", mapping={f"field:{n}": n if n % 100 else "x" * 2000 for n in numbers})
        pipe.rpush("list", *(n if n % 3 else f"element:{n}" for n in numbers))
        pipe.zadd("zset", {f"member:{n}": n // 3 + 0.5 for n in numbers})
        pipe.zadd("named", {f"member:{n}": 0 for n in numbers})
        for n in numbers:
            pipe.xadd("stream", {"n": n, "text": "x" * (n % 50)}, id=f"{n + 1}-0")
            pipe.set(f"key:{n}", n)
        pipe.execute()
    client.sadd("few", "member:1", "another", "17")
    for n in range(10):
        client.hset(f"object:{n * 3000}", mapping={"text": f"text {n % 3}", "number": n})
        client.hset(f"object:member:{n * 1000}", mapping={"text": "x" * 1000 * n, "number": -n})
    # What the fields' deadlines are kept in must not matter.
    client.execute_command("HEXPIRE", "hash", "1000000", "FIELDS", "1", "field:5")


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def filled(request):
    node = Node("--threads", str(request.param))
    client = redis.Redis(port=node.port)
    fill(client)
    client.close()
    yield node
    node.stop()


class Talk:
    """A connection that is spoken to directly."""

    def __init__(self, node, protocol=2):
        self.connection = redis.Redis(port=node.port, protocol=protocol).connection_pool.get_connection()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.disconnect()

    def send(self, *requests):
        self.connection.send_packed_command(
            itertools.chain(*(self.connection.pack_command(*request) for request in requests))
        )

    def receive(self):
        return self.connection.read_response(disable_decoding=True)

    def ask(self, *request):
        self.send(request)
        return self.receive()

    def ask_at_once(self, *request):
        """What a transaction answers, in which nothing is done in slices."""
        self.send(("MULTI",), request, ("EXEC",))
        assert (self.receive(), self.receive()) == (b"OK", b"QUEUED")
        return self.receive()[0]


def unordered(name, reply):
    command = name.split()[0]
    if isinstance(reply, list) and command in ("keys", "some", "sunion", "sinter", "sdiff"):
        return sorted(reply)
    return reply


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", READS)
def test_replies_are_those_that_are_given_at_once(filled, name, protocol):
    with Talk(filled, protocol) as talk:
        sliced, whole = talk.ask(*READS[name]), talk.ask_at_once(*READS[name])
        assert len(sliced) >= 2_000
        assert unordered(name, sliced) == unordered(name, whole)


@pytest.mark.parametrize("name", STORES)
def test_what_is_stored_is_what_is_stored_at_once(filled, name):
    with Talk(filled) as talk:
        for to, ask in (("sliced", talk.ask), ("whole", talk.ask_at_once)):
            talk.ask("DEL", to, "few")
            talk.ask("SADD", "few", "member:1", "another", "17")
            talk.ask("SET", to, "something else", "EX", "1000")
            command = [word.format(to=to) for word in STORES[name]]
            target = command[command.index("STORE") + 1] if "STORE" in command else command[1]
            count = ask(*command)
            length = "LLEN" if "sort" in name else "ZCARD" if name.startswith("z") else "SCARD"
            assert talk.ask(length, target) == count
            assert talk.ask("TTL", target) == (-1 if count else -2)
            talk.ask("COPY", target, f"{to}:result", "REPLACE")
            if not count:
                talk.ask("DEL", f"{to}:result")
        if name.startswith("z"):
            read = [talk.ask("ZRANGE", f"{to}:result", "0", "-1", "WITHSCORES") for to in ("sliced", "whole")]
        elif "sort" in name:
            read = [talk.ask("LRANGE", f"{to}:result", "0", "-1") for to in ("sliced", "whole")]
        else:
            read = [sorted(talk.ask("SMEMBERS", f"{to}:result")) for to in ("sliced", "whole")]
        assert read[0] == read[1]
        assert talk.ask("OBJECT", "ENCODING", "sliced:result") == talk.ask("OBJECT", "ENCODING", "whole:result")
        talk.ask("DEL", "sliced", "whole", "sliced:result", "whole:result")


@pytest.mark.parametrize("name", COUNTS)
def test_what_is_counted_is_what_is_counted_at_once(filled, name):
    with Talk(filled) as talk:
        count = talk.ask(*COUNTS[name])
        assert count == talk.ask_at_once(*COUNTS[name])
        assert count == (0 if "nothing" in name else 7_001 if "limit" in name else MEMBERS // 2)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", DRAWS)
def test_members_that_are_drawn_are_members(filled, name, protocol):
    request, count, differ, whole = DRAWS[name]
    with Talk(filled, protocol) as talk:
        members = set(talk.ask(*whole))
        drawn = talk.ask(*request)
        assert len(drawn) == count
        assert set(drawn) <= members
        # That so many draws give one member only is as good as impossible.
        assert len(set(drawn)) == count if differ else len(set(drawn)) > 1
        if differ and count < MEMBERS:
            assert set(drawn) != set(talk.ask(*request))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("source", ["set", "numbers"])
@pytest.mark.parametrize("count", [9_000, MEMBERS - 1, MEMBERS, 90_000])
def test_members_that_are_taken_out_are_gone(filled, source, count, protocol):
    with Talk(filled, protocol) as talk:
        talk.ask("COPY", source, "taken")
        talk.ask("EXPIRE", "taken", "1000")
        members = set(talk.ask("SMEMBERS", source))
        talk.send(("SPOP", "taken", count), ("SMEMBERS", "taken"), ("EXISTS", "taken"), ("TTL", "taken"))
        taken = talk.receive()
        rest, there, seconds = set(talk.receive()), talk.receive(), talk.receive()
        assert len(taken) == len(set(taken)) == min(count, MEMBERS)
        assert set(taken) | rest == members and not set(taken) & rest
        assert (there, seconds > 0) == ((1, True) if count < MEMBERS else (0, False))
        talk.ask("DEL", "taken")


def test_members_are_taken_out_at_one_instant(filled):
    """Who adds and removes members meanwhile loses none, and what is taken out was there."""
    over, errors = threading.Event(), []

    def add_and_remove():
        client = redis.Redis(port=filled.port)
        for n in itertools.count():
            if over.is_set():
                break
            client.sadd("taken", f"guest:{n}")
            if n % 2 and not client.srem("taken", f"guest:{n}"):
                errors.append(n)  # it was taken out: counted below
        client.close()
        errors.append(("added", n))

    guest = threading.Thread(target=add_and_remove, daemon=True)
    with Talk(filled) as talk:
        talk.ask("COPY", "set", "taken")
        guest.start()
        try:
            taken = [member for _ in range(6) for member in talk.ask("SPOP", "taken", 4_200 if _ else 5_000)]
        finally:
            over.set()
            guest.join(PATIENCE_S)
        assert not guest.is_alive()
        added = errors.pop()[1]
        rest = talk.ask("SMEMBERS", "taken")
        assert len(taken) == len(set(taken)) and not set(taken) & set(rest)
        own = [member for member in itertools.chain(taken, rest) if member.startswith(b"member:")]
        assert len(own) == MEMBERS
        guests = {member for member in itertools.chain(taken, rest) if member.startswith(b"guest:")}
        kept = {b"guest:%d" % n for n in range(added) if n % 2 == 0}
        assert guests == kept | {b"guest:%d" % n for n in errors}
        talk.ask("DEL", "taken")


@pytest.mark.parametrize("count", ["9000", "-9000"])
def test_values_and_scores_are_drawn_with_their_members(filled, count):
    with Talk(filled) as talk:
        for request, whole in (
            (("HRANDFIELD", "hash", count, "WITHVALUES"), ("HGETALL", "hash")),
            (("ZRANDMEMBER", "zset", count, "WITHSCORES"), ("ZRANGE", "zset", "0", "-1", "WITHSCORES")),
        ):
            everything, drawn = talk.ask(*whole), talk.ask(*request)
            assert len(drawn) == 18_000
            assert set(zip(drawn[::2], drawn[1::2])) <= set(zip(everything[::2], everything[1::2]))
        with Talk(filled, 3) as nested:
            for request in (("HRANDFIELD", "hash", count, "WITHVALUES"), ("ZRANDMEMBER", "zset", count, "WITHSCORES")):
                drawn = nested.ask(*request)
                assert len(drawn) == 9_000 and all(len(pair) == 2 for pair in drawn)


def test_what_is_no_number_is_not_sorted(filled):
    with Talk(filled) as talk:
        for command in (("SORT", "list"), ("SORT", "set"), ("SORT", "list", "STORE", "stored")):
            with pytest.raises(redis.ResponseError, match="can't be converted into double"):
                talk.ask(*command)
        assert talk.ask("EXISTS", "stored") == 0
        assert talk.ask("PING") == b"PONG"


# More than may wait to be sent before nothing more is executed.
LARGE_BYTES = 48 << 20
# So many replies of that would be refused.
LARGE_REPLIES = 12


def test_a_pipeline_of_large_replies_waits_until_they_are_sent(filled):
    with Talk(filled) as talk, Talk(filled) as slow:
        element = "x" * (LARGE_BYTES // 6_000)
        for _ in range(6):
            talk.ask("RPUSH", "large", *[element] * 1_000)
        talk.ask("CONFIG", "RESETSTAT")
        number = slow.ask("CLIENT", "ID")
        slow.send(*[("LRANGE", "large", "0", "-1")] * LARGE_REPLIES, ("ECHO", "behind"))

        def done():
            figures = talk.ask("INFO", "commandstats").split(b"cmdstat_lrange:calls=")
            return int(figures[1].split(b",")[0]) if len(figures) > 1 else 0

        def waiting():
            line = talk.ask("CLIENT", "LIST", "ID", str(number))
            return int(line.split(b"omem=")[1].split()[0])

        wait_until("it waits for its client", lambda: done() > 0 and waiting() > LARGE_BYTES // 2)
        for _ in range(100):
            # It does not read, so nothing more is done, however often others take their turns. One may be on its way.
            assert done() <= 3
            assert waiting() < 4 * LARGE_BYTES
        for _ in range(LARGE_REPLIES):
            assert len(slow.receive()) == 6_000
        assert slow.receive() == b"behind"
        talk.ask("DEL", "large")


def test_a_pipeline_of_large_values_waits_until_they_are_sent(filled):
    """Each reply is short work, so a turn could carry out hundreds of them."""
    size, replies = 4 << 20, 100
    with Talk(filled) as talk, Talk(filled) as slow:
        talk.ask("SET", "large", "x" * size)

        def used():
            return int(talk.ask("INFO", "memory").split(b"used_memory:")[1].split()[0])

        before, number = used(), slow.ask("CLIENT", "ID")
        # What breaks the protocol is told so when what was before it was answered.
        slow.connection._sock.sendall(b"GET large\r\n" * replies + b"ECHO behind\r\n*x\r\n")

        def waiting():
            line = talk.ask("CLIENT", "LIST", "ID", str(number))
            return int(line.split(b"omem=")[1].split()[0])

        wait_until("it waits for its client", lambda: waiting() > 16 << 20)
        for _ in range(100):
            assert used() - before < 200 << 20
        for _ in range(replies):
            assert len(slow.receive()) == size
        assert slow.receive() == b"behind"
        with pytest.raises(redis.ResponseError, match="invalid multibulk length"):
            slow.receive()
        talk.ask("DEL", "large")


class Writer(threading.Thread):
    """Moves every member of a set to its partner and back, in steps that are atomic, until it is told to stop."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.client = redis.Redis(port=node.port)
        self.over = threading.Event()
        self.moved = 0

    def run(self):
        for n in itertools.cycle(range(MEMBERS)):
            if self.over.is_set():
                return
            pipe = self.client.pipeline(transaction=True)
            present = pipe.immediate_execute_command("SISMEMBER", "pairs", f"a:{n}")
            gone, come = ("a", "b") if present else ("b", "a")
            pipe.multi()
            pipe.srem("pairs", f"{gone}:{n}")
            pipe.sadd("pairs", f"{come}:{n}")
            pipe.hset("sums", mapping={f"{n}": self.moved, f"{(n + MEMBERS // 2) % MEMBERS}": -self.moved})
            pipe.rpoplpush("ring", "ring")
            pipe.execute()
            self.moved += 1


def check_pairs(members):
    assert len(members) == MEMBERS
    assert len({member.split(b":")[1] for member in members}) == MEMBERS


def check_sums(pairs):
    assert len(pairs) == 2 * MEMBERS
    assert sum(int(value) for value in pairs[1::2]) == 0


def check_ring(elements):
    values = [int(element) for element in elements]
    assert sorted(values) == list(range(MEMBERS))
    least = values.index(0)
    assert values[least:] + values[:least] == list(range(MEMBERS))


def test_what_other_keys_hold_is_of_one_instant(filled):
    """While two keys are exchanged again and again, a SORT BY and GET sees each value once."""
    over = threading.Event()

    def exchange():
        client = redis.Redis(port=filled.port)
        for n in itertools.cycle(range(0, MEMBERS - 1, 2)):
            if over.is_set():
                break
            pipe = client.pipeline()
            pipe.rename(f"other:{n}", "other:aside").rename(f"other:{n + 1}", f"other:{n}")
            pipe.rename("other:aside", f"other:{n + 1}").execute()
        client.close()

    with Talk(filled) as talk:
        for start in range(0, MEMBERS, FILL):
            pairs = itertools.chain(*((f"other:{n}", n) for n in range(start, start + FILL)))
            talk.ask("MSET", *pairs)
        thread = threading.Thread(target=exchange, daemon=True)
        thread.start()
        try:
            for _ in range(10):
                got = talk.ask("SORT", "numbers", "BY", "other:*", "GET", "other:*")
                assert [int(value) for value in got] == list(range(MEMBERS))
        finally:
            over.set()
            thread.join(PATIENCE_S)
        assert not thread.is_alive()
        for start in range(0, MEMBERS, FILL):
            talk.ask("UNLINK", *(f"other:{n}" for n in range(start, start + FILL)))


def test_a_reader_sees_one_instant(filled):
    writer = Writer(filled)
    for start in range(0, MEMBERS, FILL):
        numbers = range(start, start + FILL)
        writer.client.sadd("pairs", *(f"a:{n}" for n in numbers))
        writer.client.hset("sums", mapping={str(n): 0 for n in numbers})
        writer.client.rpush("ring", *numbers)
    writer.start()
    try:
        with Talk(filled) as talk:
            for _ in range(10):
                check_pairs(talk.ask("SMEMBERS", "pairs"))
                check_pairs(talk.ask("SUNION", "pairs", "missing"))
                check_sums(talk.ask("HGETALL", "sums"))
                check_ring(talk.ask("LRANGE", "ring", "0", "-1"))
                assert talk.ask("SINTERSTORE", "stored", "pairs", "pairs") == MEMBERS
                check_pairs(talk.ask("SMEMBERS", "stored"))
    finally:
        writer.over.set()
        writer.join(PATIENCE_S)
        writer.client.delete("pairs", "sums", "ring", "stored")
        writer.client.close()
    assert not writer.is_alive() and writer.moved > 0


def test_others_are_answered_in_the_middle(filled):
    """A pipeline of long commands is read at once: were each of them carried out at once, nobody could see some done."""
    pipeline = [("SMEMBERS", "set")] * 20

    def some_are_done():
        # Two of three connections are served by the same worker.
        with Talk(filled) as first, Talk(filled) as second, Talk(filled) as third:
            at = {}
            for one in (first, second, third):
                at.setdefault(one.ask("CLIENT", "INFO").split(b"io-thread=")[1].split()[0], []).append(one)
            talk, other = max(at.values(), key=len)[:2]
            other.ask("CONFIG", "RESETSTAT")
            talk.send(*pipeline)
            seen = {0}
            while max(seen) < len(pipeline):
                figures = other.ask("INFO", "commandstats")
                if b"cmdstat_smembers:" in figures:
                    seen.add(int(figures.split(b"cmdstat_smembers:calls=")[1].split(b",")[0]))
            assert [len(talk.receive()) for _ in pipeline] == [MEMBERS] * len(pipeline)
        return len(seen) > 2

    wait_until("some are done and others are not", some_are_done)


def test_each_key_once_while_others_come_and_go(filled):
    over = threading.Event()

    def come_and_go():
        client = redis.Redis(port=filled.port)
        while not over.is_set():
            for start in range(0, MEMBERS, FILL):
                client.mset({f"guest:{n}": n for n in range(start, start + FILL)})
            for start in range(0, MEMBERS, FILL):
                client.delete(*(f"guest:{n}" for n in range(start, start + FILL)))
        client.close()

    guests = threading.Thread(target=come_and_go, daemon=True)
    guests.start()
    try:
        with Talk(filled) as talk:
            for _ in range(10):
                keys = talk.ask("KEYS", "*")
                assert len(keys) == len(set(keys))
                assert sum(key.startswith(b"key:") for key in keys) == MEMBERS
    finally:
        over.set()
        guests.join(PATIENCE_S)
    assert not guests.is_alive()


def test_requests_behind_a_long_one_are_answered_behind_it(filled):
    with Talk(filled) as talk:
        for _ in range(5):
            talk.send(
                ("SMEMBERS", "set"), ("PING", "1"), ("KEYS", "*"), ("SUNIONSTORE", "stored", "set", "half"),
                ("SCARD", "stored"), ("LRANGE", "list", "0", "-1"), ("UNLINK", "stored"), ("PING", "2"),
            )
            assert len(talk.receive()) == MEMBERS
            assert talk.receive() == b"1"
            assert len(talk.receive()) >= MEMBERS
            stored = talk.receive()
            assert stored == MEMBERS * 2 == talk.receive()
            assert len(talk.receive()) == MEMBERS
            assert (talk.receive(), talk.receive()) == (1, b"2")


def test_who_sends_nothing_more_gets_the_whole_reply(filled):
    with socket.create_connection(("127.0.0.1", filled.port), timeout=PATIENCE_S) as client:
        client.sendall(b"SMEMBERS set\r\nKEYS key:*\r\n")
        client.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert received.count(b"\r\n$") == 2 * MEMBERS and received.endswith(b"\r\n")


@pytest.mark.parametrize(
    "request_line", [b"SMEMBERS set", b"KEYS *", b"SUNIONSTORE stored set half", b"HGETALL hash", b"SUNION set half"]
)
def test_a_session_that_goes_in_the_middle_leaves_nothing(filled, request_line):
    with Talk(filled) as talk:
        for turn in range(20):
            client = socket.create_connection(("127.0.0.1", filled.port), timeout=PATIENCE_S)
            client.sendall(b"CLIENT ID\r\n")
            number = client.recv(100)[1:].split()[0]
            client.sendall(request_line + b"\r\n" + request_line + b"\r\n")
            if turn % 2:
                client.close()
            else:
                talk.ask("CLIENT", "KILL", "ID", number)
                try:
                    while client.recv(1 << 20):
                        pass
                except ConnectionError:
                    pass
                client.close()
        wait_until("they are gone", lambda: talk.ask("CLIENT", "LIST").count(b"\n") == 1)
        assert talk.ask("SCARD", "set") == MEMBERS
        assert len(talk.ask("SMEMBERS", "set")) == MEMBERS
        talk.ask("DEL", "stored")


def test_nothing_is_answered_to_who_wants_no_answer(filled):
    with Talk(filled) as talk:
        talk.send(
            ("CLIENT", "REPLY", "SKIP"), ("SMEMBERS", "set"), ("CLIENT", "REPLY", "SKIP"),
            ("SUNIONSTORE", "stored", "set", "half"), ("CLIENT", "REPLY", "SKIP"), ("KEYS", "*"), ("SCARD", "stored"),
        )
        assert talk.receive() == 2 * MEMBERS
        talk.send(("CLIENT", "REPLY", "OFF"), ("HVALS", "hash"), ("SDIFFSTORE", "stored", "set", "half"))
        talk.send(("CLIENT", "REPLY", "ON"), ("SCARD", "stored"))
        assert (talk.receive(), talk.receive()) == (b"OK", MEMBERS // 2)
        assert len(talk.ask("HVALS", "hash")) == MEMBERS
        talk.ask("DEL", "stored")


def test_each_is_counted_watched_and_logged_once(filled):
    with Talk(filled) as talk, Talk(filled) as monitor:
        talk.ask("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000")
        try:
            assert monitor.ask("MONITOR") == b"OK"
            talk.ask("CONFIG", "RESETSTAT")
            talk.ask("SLOWLOG", "RESET")
            talk.send(("ECHO", "before"), ("SMEMBERS", "set"), ("SUNIONSTORE", "stored", "set", "half"))
            talk.send(("KEYS", "*"), ("ECHO", "behind"))
            [talk.receive() for _ in range(5)]
            lines = []
            while b'"behind"' not in (line := monitor.receive()):
                lines.append(line)
            said = [line.split(b'"')[1].lower() for line in lines]
            assert said[said.index(b"echo"):] == [b"echo", b"smembers", b"sunionstore", b"keys"]
            figures = talk.ask("INFO", "commandstats").decode()
            slow = [entry[3][0].lower() for entry in talk.ask("SLOWLOG", "GET", "-1")]
            for command in ("smembers", "sunionstore", "keys"):
                assert f"cmdstat_{command}:calls=1,usec=" in figures
                assert slow.count(command.encode()) == 1
            counted = talk.ask("INFO", "stats")
            # The keys of SMEMBERS and SUNIONSTORE; KEYS reads none.
            assert b"keyspace_hits:3\r" in counted and b"keyspace_misses:0\r" in counted
        finally:
            talk.ask("CONFIG", "SET", "slowlog-log-slower-than", "10000")
            talk.ask("DEL", "stored")


def test_messages_come_between_replies(filled):
    """What a cache is told of a key comes behind the reply that it read the key with, never within it."""
    with Talk(filled, 3) as cache, Talk(filled) as writer:
        pushed = []
        cache.connection._parser.set_invalidation_push_handler(pushed.append)
        cache.connection._parser.set_pubsub_push_handler(lambda message: message)
        assert cache.ask("CLIENT", "TRACKING", "ON") == b"OK"
        for n in range(20):
            cache.send(("SMEMBERS", "set"), ("HGETALL", "hash"))
            writer.ask("SADD", "set", f"new:{n}")
            members = cache.receive()
            assert len(cache.receive()) in (MEMBERS, 2 * MEMBERS)
            # It was read before the change, and is told of it, or behind it.
            assert len(members) in (MEMBERS + n, MEMBERS + n + 1)
            if len(members) == MEMBERS + n:
                wait_until("the change is told", lambda: cache.ask("PING") == b"PONG" and pushed)
            pushed.clear()
        writer.ask("SREM", "set", *(f"new:{n}" for n in range(20)))


def test_databases_that_are_exchanged_are_not_mixed(filled):
    with Talk(filled) as talk, Talk(filled) as other:
        other.ask("SELECT", "1")
        for start in range(0, MEMBERS, FILL):
            other.ask("MSET", *itertools.chain(*((f"else:{n}", "") for n in range(start, start + FILL))))
        for n in range(10):
            talk.send(("KEYS", "*"))
            other.ask("SWAPDB", "0", "1")
            kinds = {key.startswith(b"else:") for key in talk.receive()}
            assert len(kinds) == 1
        assert other.ask("FLUSHDB") == b"OK"


def is_cut_off(node, *request):
    """Whether the session ends instead of a reply."""
    with Talk(node) as talk:
        try:
            talk.ask(*request)
        except redis.ConnectionError:
            return True
    return False


@pytest.mark.parametrize("request_", [("KEYS", "*"), ("SUNION", "set", "numbers"), ("SORT", "numbers")], ids=lambda r: r[0])
def test_what_is_gathered_counts_to_the_limits_of_a_session(filled, request_):
    """No such reply may grow without bound because it is not sent yet."""
    with Talk(filled) as talk:
        limits = talk.ask("CONFIG", "GET", "client-output-buffer-limit")[1]

        def figures():
            stats = talk.ask("INFO", "stats")
            names = (b"client_output_buffer_limit_disconnections:", b"evicted_clients:")
            return [int(stats.split(name)[1].split()[0]) for name in names]

        closed, evicted = figures()
        try:
            talk.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 100kb 0 0")
            assert is_cut_off(filled, *request_)
            assert figures() == [closed + 1, evicted]
        finally:
            talk.ask("CONFIG", "SET", "client-output-buffer-limit", limits)
        try:
            talk.ask("CONFIG", "SET", "maxmemory-clients", "250kb")
            assert is_cut_off(filled, *request_)
            assert figures() == [closed + 1, evicted + 1]
        finally:
            talk.ask("CONFIG", "SET", "maxmemory-clients", "0")
        assert not is_cut_off(filled, *request_)
        wait_until("they are gone", lambda: talk.ask("CLIENT", "LIST").count(b"\n") == 1)


def test_what_would_not_fit_is_not_stored(filled):
    """Memory is full when it is gathered: it is refused then, as if it came then."""
    with Talk(filled) as talk:
        for start in range(0, 5 * MEMBERS, FILL):
            talk.ask("SADD", "long", *(f"{n:0100}" for n in range(start, start + FILL)))

        def has_room():
            try:
                return talk.ask("SET", "little", "x") == b"OK"
            except redis.OutOfMemoryError:
                return False

        used = int(talk.ask("INFO", "memory").split(b"used_memory:")[1].split()[0])
        try:
            talk.ask("CONFIG", "SET", "maxmemory", str(used + (4 << 20)))
            for command in (("SUNIONSTORE", "stored", "long", "set"), ("SORT", "long", "ALPHA", "STORE", "stored")):
                wait_until("there is room", has_room)
                with pytest.raises(redis.OutOfMemoryError):
                    talk.ask(*command)
                assert talk.ask("EXISTS", "stored") == 0
            wait_until("what was gathered is given back", has_room)
        finally:
            talk.ask("CONFIG", "SET", "maxmemory", "0")
        assert talk.ask("SUNIONSTORE", "stored", "long", "set") == 6 * MEMBERS
        talk.ask("DEL", "stored", "long", "little")
