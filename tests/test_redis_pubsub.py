"""Publish and subscribe through redis-py, in RESP2 and RESP3 alike."""

import socket
import threading
import time

import pytest
import redis

from service import PATIENCE_S, wait_until


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def r(request, node):
    client = redis.Redis(port=node.port, protocol=request.param, decode_responses=True)
    client.flushall()
    yield client
    client.close()


def heard(listener, count):
    """The next messages, confirmations included: (type, pattern, channel, data)."""
    found, until = [], time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < until:
        message = listener.get_message(timeout=0.1)
        if message:
            found.append((message["type"], message["pattern"], message["channel"], message["data"]))
    return found


def test_channels_patterns_and_confirmations(r):
    with r.pubsub() as listener:
        listener.subscribe("a", "b")
        listener.psubscribe("a*", "[xy]z")
        assert heard(listener, 4) == [
            ("subscribe", None, "a", 1), ("subscribe", None, "b", 2), ("psubscribe", None, "a*", 3), ("psubscribe", None, "[xy]z", 4),
        ]
        assert r.publish("a", "1") == 2 and r.publish("xz", "2") == 1 and r.publish("zz", "3") == 0
        assert heard(listener, 3) == [("message", None, "a", "1"), ("pmessage", "a*", "a", "1"), ("pmessage", "[xy]z", "xz", "2")]
        assert r.pubsub_numsub("a", "b", "c") == [("a", 1), ("b", 1), ("c", 0)]
        assert sorted(r.pubsub_channels()) == ["a", "b"] and r.pubsub_channels("b*") == ["b"] and r.pubsub_numpat() == 2
        listener.unsubscribe("a")
        assert heard(listener, 1) == [("unsubscribe", None, "a", 3)]
        assert r.publish("a", "4") == 1
        listener.unsubscribe()
        listener.punsubscribe()
        assert heard(listener, 4)[0] == ("pmessage", "a*", "a", "4")
        assert r.publish("a", "5") == 0
    wait_until("nobody listens", lambda: r.pubsub_channels() == [] and r.pubsub_numpat() == 0)


def test_channels_of_shards(r):
    with r.pubsub() as listener:
        listener.ssubscribe("a", "b")
        assert heard(listener, 2) == [("ssubscribe", None, "a", 1), ("ssubscribe", None, "b", 2)]
        assert r.spublish("a", "1") == 1 and r.publish("a", "2") == 0
        assert heard(listener, 1) == [("smessage", None, "a", "1")]
        assert sorted(r.pubsub_shardchannels()) == ["a", "b"] and r.pubsub_shardnumsub("a", "c") == [("a", 1), ("c", 0)]
        listener.sunsubscribe()
        assert len(heard(listener, 2)) == 2 and r.spublish("a", "3") == 0


def test_bytes_arrive_as_they_were_sent(node):
    client = redis.Redis(port=node.port)
    with client.pubsub() as listener:
        listener.subscribe(b"\x00\r\n\xff")
        assert heard(listener, 1)
        for message in (b"", b"\r\n", bytes(range(256)), b"x" * 1_000_000):
            assert client.publish(b"\x00\r\n\xff", message) == 1
            assert heard(listener, 1) == [("message", None, b"\x00\r\n\xff", message)]


def test_ping_while_listening(node):
    with redis.Redis(port=node.port, protocol=2, decode_responses=True).pubsub() as listener:
        listener.subscribe("a")
        assert heard(listener, 1)
        listener.ping("hello")
        assert heard(listener, 1) == [("pong", None, None, "hello")]


def test_threads_handlers_and_many_listeners(r):
    seen, lock = [], threading.Lock()

    def note(message):
        with lock:
            seen.append(message["data"])

    listeners = [r.pubsub(ignore_subscribe_messages=True) for _ in range(20)]
    for listener in listeners:
        listener.subscribe(**{"news": note})
    threads = [listener.run_in_thread(sleep_time=0.01, daemon=True) for listener in listeners]
    wait_until("all listen", lambda: r.pubsub_numsub("news") == [("news", 20)])
    for number in range(50):
        assert r.publish("news", number) == 20
    wait_until("all is heard", lambda: len(seen) == 1000)
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join()
    wait_until("nobody listens", lambda: r.publish("news", "x") == 0)
    assert len(seen) == 1000


def test_messages_of_a_publisher_come_in_order(r):
    with r.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("a")
        wait_until("it listens", lambda: r.pubsub_numsub("a") == [("a", 1)])
        pipe = r.pipeline(transaction=False)
        for number in range(2000):
            pipe.publish("a", number)
        assert pipe.execute() == [1] * 2000
        assert [int(message[3]) for message in heard(listener, 2000)] == list(range(2000))


def test_a_transaction_publishes(r):
    with r.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("a")
        wait_until("it listens", lambda: r.pubsub_numsub("a") == [("a", 1)])
        assert r.pipeline().set("k", 1).publish("a", "x").execute() == [True, 1]
        assert heard(listener, 1) == [("message", None, "a", "x")]


def test_listeners_in_info_and_client_list(r):
    with r.pubsub() as listener:
        listener.subscribe("a")
        listener.psubscribe("b*", "c*")
        assert len(heard(listener, 3)) == 3
        info = r.info()
        assert (info["pubsub_channels"], info["pubsub_patterns"], info["pubsub_clients"]) == (1, 2, 1)
        (line,) = r.client_list(_type="pubsub")
        assert (line["sub"], line["psub"], line["ssub"]) == ("1", "2", "0") and "P" in line["flags"]


def test_a_session_that_is_killed_listens_no_more(r):
    with r.pubsub() as listener:
        listener.subscribe("a")
        assert heard(listener, 1)
        (line,) = r.client_list(_type="pubsub")
        assert r.client_kill_filter(_id=line["id"]) == 1
        wait_until("nobody listens", lambda: r.publish("a", "x") == 0)


def test_who_has_quit_is_not_there_any_more(node):
    with redis.Redis(port=node.port, decode_responses=True) as other:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", node.port)) as listener:
                listener.sendall(b"CLIENT SETNAME listener\r\nSUBSCRIBE channel\r\nQUIT\r\n")
                heard = b""
                while heard.count(b"+OK\r\n") < 2:
                    heard += listener.recv(4096)
                assert other.publish("channel", "message") == 0
                assert "listener" not in {client["name"] for client in other.client_list()}
