"""MIGRATE: keys go to another server, of ours or not, and are on one side only."""

import socket
import threading

import pytest
import redis

from replication import LARDER, PEERS, REDIS, contents, fill, name, names, servers
from service import PATIENCE_S

__all__ = ["servers"]



def migrate(server, to, *words, key="", db=0):
    return server.call("MIGRATE", "127.0.0.1", getattr(to, "port", to), key, db, PATIENCE_S * 1000, *words)


# Redis 7.0 reads no payload of ours; the peers that LARDER_PEERS names do.
BETWEEN = [(LARDER, LARDER), (REDIS, LARDER), *((LARDER, peer) for peer in PEERS if peer is not REDIS)]


@pytest.mark.parametrize("programs", BETWEEN, ids=names)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_values_of_all_types_go_over_with_their_deadlines(servers, programs, threads):
    here, there = (servers(program, *(["--threads", threads] if program is LARDER else [])) for program in programs)
    fill(here)
    before = contents(here)
    names = [key for db, key in before if db == 0]
    for at in range(0, len(names), 500):
        assert migrate(here, there, "KEYS", *names[at : at + 500]) == b"OK"
    assert here.client.dbsize() == 0
    after = contents(there)
    assert {place: facts[:3] for place, facts in after.items()} == {
        place: facts[:3] for place, facts in before.items() if place[0] == 0
    }
    for place, facts in after.items():
        died, dies = before[place][3], facts[3]
        assert dies == died if died < 0 else abs(dies - died) < PATIENCE_S * 1000


@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
def test_answers_are_those_of_redis(servers, program):
    here = servers(program, "--notify-keyspace-events", "KEA")
    there = servers(program)
    there.call("CONFIG", "SET", "requirepass", "secret")
    there.client = redis.Redis(port=there.port, password="secret", socket_timeout=PATIENCE_S)

    def error(*words, **more):
        with pytest.raises(redis.exceptions.ResponseError) as refused:
            migrate(here, there, *words, **more)
        return str(refused.value)

    assert migrate(here, there, key="nothing") == b"NOKEY"
    assert migrate(here, there, "AUTH", "secret", "KEYS") == b"NOKEY"
    here.client.set("a", 1)
    assert error(key="a") == "Target instance replied with error: NOAUTH Authentication required."
    assert error("AUTH", "wrong", key="a").startswith("Target instance replied with error: WRONGPASS")
    assert error("AUTH", "secret", key="a", db=99) == "Target instance replied with error: ERR DB index is out of range"
    # What is refused goes to no other database; Redis stores it in the first one.
    assert there.client.dbsize() == (0 if program is LARDER else 1)
    there.client.flushall()
    assert migrate(here, there, "AUTH", "secret", "COPY", key="a") == b"OK" and here.client.exists("a")
    busy = "Target instance replied with error: BUSYKEY Target key name already exists."
    assert error("AUTH2", "default", "secret", key="a") == busy
    here.client.mset({"a": 2, "b": 2})
    assert error("AUTH", "secret", "KEYS", "a", "b", "nothing") == busy
    assert here.client.keys() == [b"a"] and there.client.mget("a", "b") == [b"1", b"2"]
    with here.client.pubsub() as listener:
        listener.psubscribe("__keyevent@0__:*")
        assert listener.get_message(timeout=PATIENCE_S)["type"] == "psubscribe"
        assert migrate(here, there, "AUTH", "secret", "REPLACE", key="a", db=3) == b"OK"
        assert listener.get_message(timeout=PATIENCE_S)["channel"] == b"__keyevent@0__:del"
    assert here.client.dbsize() == 0 and there.client.info("keyspace")["db3"]["keys"] == 1
    here.client.set("a", 1)
    for words in (["FAR"], ["AUTH"], ["AUTH2", "default"]):
        assert error(*words, key="a") == "syntax error"
    assert "must be set to the empty string" in error("KEYS", "a", key="a")
    with pytest.raises(redis.exceptions.ResponseError, match="not an integer"):
        here.call("MIGRATE", "127.0.0.1", there.port, "a", 0, "soon")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
        with pytest.raises(redis.exceptions.ResponseError, match="^IOERR error or timeout reading"):
            here.call("MIGRATE", "127.0.0.1", port, "a", 0, 10)
    with pytest.raises(redis.exceptions.ResponseError, match="^IOERR error or timeout writing"):
        here.call("MIGRATE", "127.0.0.1", port, "a", 0, 1000)
    assert here.client.get("a") == b"1", "who fails keeps it"
    keys = here.call("COMMAND GETKEYS", "MIGRATE", "h", "1", "", "0", "1", "AUTH2", "keys", "keys", "KEYS", "a", "b")
    assert keys == ["a", "b"]


def test_what_went_over_is_gone_from_replicas_and_from_the_file(servers):
    here, there, replica = servers(LARDER, "--appendonly", "yes"), servers(LARDER), servers(LARDER)
    replica.follow(here.port)
    here.client.mset({f"key{n}": n for n in range(10)})
    assert migrate(here, there, "KEYS", "key1", "key2") == b"OK"
    assert here.call("WAITAOF", 1, 0, 0) == [1, 0] and here.call("WAIT", 1, 0) == 1
    assert replica.client.dbsize() == 8 and there.client.dbsize() == 2
    here.kill()
    here.restart()
    assert here.client.dbsize() == 8


def test_a_server_that_talks_nonsense_or_stops_in_between_takes_nothing_away(servers):
    here = servers(LARDER, "--threads", "2")
    for said in (b"", b":1\r\n", b"+OK\r\n:1\r\n", b"x" * 100_000, b"+OK\r\n+OK"):
        here.client.mset({"a": 1, "b": "2" * 1_000_000})
        listener = socket.create_server(("127.0.0.1", 0))

        def talk():
            peer, _ = listener.accept()
            with peer:
                try:
                    peer.sendall(said)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(1 << 16):
                        pass
                except ConnectionError:
                    pass  # it has heard enough

        talker = threading.Thread(target=talk)
        talker.start()
        with pytest.raises(redis.exceptions.ResponseError, match="^IOERR"):
            migrate(here, listener.getsockname()[1], "KEYS", "a", "b")
        talker.join()
        listener.close()
        assert here.client.exists("a", "b") == 2
