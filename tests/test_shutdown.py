"""How a node ends: by SHUTDOWN or a signal, saved or not, and not before its replicas have everything."""

import signal
import socket

import pytest
import redis

from replication import LARDER, REDIS, contents, name, online, servers, settle
from service import PATIENCE_S, wait_until

__all__ = ["servers"]


def ends(server):
    return server.process.wait(timeout=PATIENCE_S) == 0


def has_saved(server):
    return (server.folder / "dump.rdb").exists()


@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
@pytest.mark.parametrize(
    "ways, number, saves",
    [
        (["--shutdown-on-sigterm", "save"], signal.SIGTERM, True),
        (["--shutdown-on-sigint", "save"], signal.SIGTERM, False),
        (["--shutdown-on-sigint", "save", "now"], signal.SIGINT, True),
        (["--save", "3600 1", "--shutdown-on-sigterm", "nosave"], signal.SIGTERM, False),
        (["--save", "3600 1", "--shutdown-on-sigterm", "default"], signal.SIGTERM, True),
    ],
)
def test_a_signal_ends_a_node_as_it_is_told(servers, program, ways, number, saves):
    server = servers(program, *ways)
    server.client.set("a", 1)
    server.process.send_signal(number)
    assert ends(server) and has_saved(server) == saves


@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
def test_a_node_that_cannot_save_ends_only_by_force(servers, program):
    server = servers(program, "--enable-protected-configs", "yes")
    server.client.set("a", 1)
    (server.folder / "dump.rdb").mkdir()  # no file can take its place
    with pytest.raises(redis.exceptions.ResponseError, match="Errors trying to SHUTDOWN. Check logs."):
        server.call("SHUTDOWN", "SAVE")
    assert server.client.set("b", 2), "writes go on"
    server.call("CONFIG", "SET", "shutdown-on-sigterm", "save force")
    assert server.call("CONFIG", "GET", "shutdown-on-sigterm")[1] == b"save force"
    server.process.terminate()
    assert ends(server)


@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
def test_a_node_waits_for_replicas_that_lag(servers, program):
    primary = servers(program, "--shutdown-timeout", str(PATIENCE_S), "--repl-timeout", "600")
    replica = servers(LARDER, "--repl-timeout", "600")
    replica.follow(primary.port)
    online(primary)
    settle(primary, replica)
    replica.rest()
    pipe = primary.client.pipeline(transaction=False)
    for n in range(1000):
        pipe.set(f"key{n}", n)
    pipe.execute()
    memory = primary.client.info("memory")
    assert memory["mem_total_replication_buffers"] > 0 and memory["mem_replication_backlog"] > 0
    asks = socket.create_connection(("127.0.0.1", primary.port), timeout=PATIENCE_S)
    asks.sendall(b"SHUTDOWN\r\n")

    def left():
        return primary.client.info("server").get("shutdown_in_milliseconds")

    wait_until("it waits for the replica", left)
    assert primary.call("SHUTDOWN", "ABORT") in (b"OK", True)
    assert asks.recv(100) == b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
    wait_until("it goes on", lambda: left() is None)
    assert primary.client.set("goes on", 1)
    expected = contents(primary)
    primary.process.terminate()
    wait_until("it waits again", left)
    replica.go_on()
    assert ends(primary)
    assert contents(replica) == expected
    asks.close()


def test_who_wants_to_end_now_waits_for_nobody(servers):
    primary = servers(LARDER, "--shutdown-timeout", "600", "--repl-timeout", "600")
    replica = servers(LARDER, "--repl-timeout", "600")
    replica.follow(primary.port)
    online(primary)
    replica.rest()
    primary.client.set("a", 1)
    primary.process.terminate()
    wait_until("it waits", lambda: primary.client.info("server").get("shutdown_in_milliseconds"))
    primary.process.terminate()  # again
    assert ends(primary)
    replica.go_on()
    primary.restart()
    replica.follow(primary.port)
    online(primary)
    replica.rest()
    primary.client.set("b", 1)
    with pytest.raises(redis.exceptions.ConnectionError):
        primary.call("SHUTDOWN", "NOW")
    assert ends(primary)


def test_words_that_make_no_sense_are_refused(servers):
    server = servers(LARDER)

    def refusal(*words):
        with pytest.raises(redis.exceptions.ResponseError) as refused:
            server.call(*words)
        return str(refused.value)

    assert refusal("SHUTDOWN", "ABORT") == "No shutdown in progress."
    for words in (["SAVE", "NOSAVE"], ["ABORT", "NOW"], ["SOON"]):
        assert refusal("SHUTDOWN", *words) == "syntax error"
    assert "can't be used simultaneously" in refusal("CONFIG", "SET", "shutdown-on-sigint", "nosave save")
    assert "must be one of the following" in refusal("CONFIG", "SET", "shutdown-on-sigint", "soon")
    assert server.client.ping()
