"""A node as Memcached clients see it: memcapable of libmemcached, pymemcache, users, a restart that keeps the keys."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest
from pymemcache.client.base import Client

from ports import free_port
from service import BINARY

DEADLINE = 60
# Debian calls it by a name of its own.
MEMCAPABLE = shutil.which("memcapable") or shutil.which("memccapable")


class Cache:
    """A `larder memcached` of this test's own."""

    def __init__(self, tmp_path, *options, environment=None):
        self.port = free_port()
        self.log = open(tmp_path / f"log-{self.port}", "wb")
        command = [BINARY, "memcached", "-l", "127.0.0.1", "-p", str(self.port), "-t", "2", *options]
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env={**os.environ, **(environment or {})}
        )
        until = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, "did not start"
                time.sleep(0.05)

    def ask(self, request, until=b"\r\n"):
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as client:
            client.sendall(request)
            answer = b""
            while not answer.endswith(until):
                piece = client.recv(65536)
                if not piece:
                    break
                answer += piece
            return answer

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(DEADLINE)
        self.log.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@pytest.mark.skipif(not MEMCAPABLE, reason="memcapable is not installed")
def test_memcapable(tmp_path):
    with Cache(tmp_path) as cache:
        done = subprocess.run(
            [MEMCAPABLE, "-h", "127.0.0.1", "-p", str(cache.port), "-t", "30"],
            capture_output=True, text=True, timeout=300,
        )
        assert "All tests passed" in done.stdout, done.stdout + done.stderr
        assert done.returncode == 0


def test_pymemcache(tmp_path):
    with Cache(tmp_path) as cache:
        client = Client(("127.0.0.1", cache.port))
        client.set("a", b"1", flags=5)
        value, cas = client.gets("a")
        assert value == b"1"
        assert client.cas("a", b"2", cas) is True
        assert client.cas("a", b"3", cas) is False
        assert client.incr("a", 40) == 42
        client.set_many({f"k{n}": str(n).encode() for n in range(300)})
        assert len(client.get_many([f"k{n}" for n in range(400)])) == 300
        assert client.stats()[b"curr_items"] == 301
        client.flush_all()
        assert client.get("a") is None
        client.close()


def test_meta_commands(tmp_path):
    with Cache(tmp_path) as cache:
        answer = cache.ask(b"ms a 2 F7 T90\r\nhi\r\nmg a v f t\r\nmd a I T30\r\nmg a v\r\nmg a v\r\nmn\r\n", b"MN\r\n")
        assert answer == b"HD\r\nVA 2 f7 t90\r\nhi\r\nHD\r\nVA 2 X W\r\nhi\r\nVA 2 Z X\r\nhi\r\nMN\r\n"


def test_every_item_is_listed(tmp_path):
    with Cache(tmp_path) as cache:
        sets = b"".join(b"set key:%d 0 0 1 noreply\r\nx\r\n" % n for n in range(20000))
        cache.ask(sets + b"version\r\n")
        listed = cache.ask(b"lru_crawler mgdump all\r\n", b"EN\r\n")
        assert len({line for line in listed.split(b"\r\n") if line.startswith(b"mg ")}) == 20000
        assert b"key=key%3A7 exp=-1" in cache.ask(b"lru_crawler metadump all\r\n", b"END\r\n")


def sasl(user, password):
    body = b"PLAIN\0" + user + b"\0" + password
    return struct.pack(">BBHBBHIIQ", 0x80, 0x21, 5, 0, 0, 0, len(body), 0, 0) + body


def test_users(tmp_path):
    users = tmp_path / "users"
    users.write_text("bob:secret\n")
    with Cache(tmp_path, "-Y", str(users)) as cache:
        assert cache.ask(b"get a\r\n") == b"CLIENT_ERROR unauthenticated\r\n"
        assert cache.ask(b"set x 0 0 9\r\nbob wrong\r\n") == b"CLIENT_ERROR unauthenticated\r\n"
        assert cache.ask(b"set x 0 0 10\r\nbob secret\r\nget a\r\n", b"END\r\n") == b"STORED\r\nEND\r\n"
    with Cache(tmp_path, "-S", environment={"MEMCACHED_SASL_PWDB": str(users)}) as cache:
        assert cache.ask(sasl(b"bob", b"wrong"), b"Auth failure.")[6:8] == b"\0\x20"
        assert cache.ask(sasl(b"bob", b"secret"), b"Authenticated")[6:8] == b"\0\0"
        stranger = struct.pack(">BBHBBHIIQ", 0x80, 0, 1, 0, 0, 0, 1, 0, 0) + b"a"
        assert cache.ask(stranger, b"Auth failure.")[6:8] == b"\0\x20"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_planned_restart_keeps_the_keys(tmp_path, threads):
    memory = tmp_path / "memory"
    options = ("-t", threads, "-e", str(memory))
    cache = Cache(tmp_path, *options)
    cache.ask(b"set a 7 1000 2\r\nhi\r\nset n 0 0 2\r\n42\r\n", b"STORED\r\nSTORED\r\n")
    unique = cache.ask(b"gets a\r\n", b"END\r\n")
    assert cache.stop(signal.SIGUSR1) == 0
    assert memory.exists()
    with Cache(tmp_path, *options) as cache:
        assert not memory.exists()
        assert cache.ask(b"gets a\r\n", b"END\r\n") == unique
        assert cache.ask(b"incr n 1\r\n") == b"43\r\n"
    damaged = bytearray(memory.read_bytes())
    damaged[20] ^= 1
    memory.write_bytes(damaged)
    with Cache(tmp_path, *options) as cache:
        assert cache.ask(b"get a n\r\n", b"END\r\n") == b"END\r\n"


def test_command_line(tmp_path):
    run = lambda *words: subprocess.run([BINARY, "memcached", *words], capture_output=True, text=True, timeout=60)
    assert run("-V").stdout.startswith("memcached 1.6.")
    assert run("-h").returncode == 0
    refused = run("-Z")
    assert refused.returncode == 2 and "TLS" in refused.stderr
    with Cache(tmp_path, "-A", "-m", "100", "-c", "50", "-I", "2m") as cache:
        settings = cache.ask(b"stats settings\r\n", b"END\r\n")
        assert b"STAT maxbytes 104857600\r\n" in settings and b"STAT item_size_max 2097152\r\n" in settings
        assert b"STAT maxconns 50\r\n" in settings
        cache.ask(b"shutdown\r\n")
        assert cache.process.wait(DEADLINE) == 0
