"""A primary that says anything: its replica stays alive and small, whatever comes."""

import random
import socket
import struct
import threading
import time

import pytest
import redis

from replication import LARDER, servers
from service import wait_until

__all__ = ["servers"]

ID = b"0123456789012345678901234567890123456789"
MARK = b"abcdefghijabcdefghijabcdefghijabcdefghij"
MEMORY_BYTES_MAX = 400 << 20


class Liar:
    """Somebody whom nodes take for a primary: what it answers to PSYNC comes from a list, one for each connection."""

    def __init__(self, answers):
        self.answers, self.served = list(answers), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.serve(connection)
            except OSError:
                pass
            connection.close()

    def serve(self, connection):
        answer = self.answers[min(self.served, len(self.answers) - 1)]
        connection.settimeout(10)
        seen = b""
        while b"PSYNC" not in seen:
            piece = connection.recv(4096)
            if not piece:
                return
            seen = (seen + piece)[-200:]
            if b"PSYNC" not in seen:
                connection.sendall(b"+OK\r\n")
        connection.sendall(answer)
        self.served += 1

    def close(self):
        self.listener.close()


def length(n):
    return b"\x81" + struct.pack(">Q", n)


def answers():
    """Claims beyond everything, then noise behind heads that are right."""
    full = b"+FULLRESYNC " + ID + b" 1\r\n"
    head = b"REDIS0011\xfe\x00"
    claims = b"\xfb" + length(1 << 62) + length(1 << 62)
    huge = b"$%d\r\n" % (2**64 - 1)
    yield b"+FULLRESYNC " + ID + b" %d\r\n" % (2**64 - 1) + b"$9\r\nREDIS0011"
    yield full + huge + head + claims
    yield full + b"$EOF:" + MARK + b"\r\n" + head + claims
    yield full + huge + head + b"\x00\x01k" + length(1 << 60) + b"x" * 1000
    yield full + huge + head + b"\x02\x01k" + length(1 << 60) + b"\x01x" * 100
    yield full + b"$18\r\n" + head + b"\xff" + b"\x00" * 6
    yield full + b"$EOF:" + MARK[:-1] + b"\r\n" + head
    yield b"+CONTINUE\r\n*1\r\n$4\r\nPING\r\n"
    yield b"x" * 100_000
    whole = b"REDIS0011\xff" + b"\x00" * 8
    loads = full + b"$%d\r\n" % len(whole) + whole
    yield loads + b"*1073741824\r\n"
    yield loads + b"*3\r\n$3\r\nSET\r\n$%d\r\n" % (1 << 60)
    yield loads + b"*2\r\n$5\r\nMULTI\r\n$-1\r\n"
    dice = random.Random(7)
    for start in (full + huge, full + huge + head, full + b"$EOF:" + MARK + b"\r\n" + head, loads):
        for _ in range(8):
            yield start + dice.randbytes(dice.randrange(1, 3000))


def accepts(node, *words):
    try:
        return node.call(*words)
    except redis.exceptions.BusyLoadingError:
        return False


@pytest.mark.parametrize("load", ["disabled", "flush-before-load"])
def test_no_primary_does_harm(servers, load):
    node = servers(LARDER, "--repl-diskless-load", load)
    node.call("SET", "of its own", "1")
    lies = list(answers())
    liar = Liar(lies)
    try:
        node.follow(liar.port)
        wait_until("all was said", lambda: node.answers() and liar.served >= len(lies), patience_s=600)
        with open(f"/proc/{node.process.pid}/status") as status:
            (peak,) = [int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")]
        assert peak < MEMORY_BYTES_MAX
    finally:
        liar.close()
    # The last lie may still be being loaded.
    wait_until("it is a primary", lambda: accepts(node, "REPLICAOF", "NO", "ONE"))
    wait_until("it takes writes", lambda: accepts(node, "SET", "alive", "1"))
    assert node.call("GET", "alive") == b"1"


def test_roles_change_at_any_instant_of_a_synchronisation(servers):
    """A node that leads again leads with all its keys or with none, and does not go on loading for nobody."""
    node = servers(LARDER, "--repl-diskless-load", "flush-before-load")
    pair = b"\x00\x03key" + length(100_000) + b"v" * 100_000
    whole = b"REDIS0011\xfe\x00" + b"".join(pair.replace(b"key", b"%03d" % n) for n in range(20)) + b"\xff" + b"\x00" * 8
    liar = Liar([b"+FULLRESYNC " + ID + b" 1\r\n$%d\r\n" % len(whole) + whole])
    dice = random.Random(3)
    try:
        for _ in range(20):
            served = liar.served
            node.follow(liar.port)
            if dice.random() < 0.8:
                wait_until("it is served", lambda: liar.served > served, interval_s=0.001)
            time.sleep(dice.random() * 0.02)
            wait_until("it is a primary", lambda: accepts(node, "REPLICAOF", "NO", "ONE"), interval_s=0.001)
            wait_until("it takes writes", lambda: accepts(node, "SET", "alive", "1"), interval_s=0.001)
            assert node.call("DBSIZE") in (1, 21)
            node.call("FLUSHALL")
    finally:
        liar.close()
