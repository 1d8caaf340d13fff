"""A node as Memcached clients see it: memcapable of libmemcached, three clients, UDP, users, a restart that keeps the keys."""

import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import memcache
import pylibmc
import pytest
from pymemcache.client.base import Client

from ports import free_port
from service import BINARY, wait_until

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


@pytest.mark.parametrize("binary", [False, True])
def test_libmemcached(tmp_path, binary):
    """pylibmc, which is libmemcached: pools of connections, compression, many keys at once, over text and binary."""
    with Cache(tmp_path) as cache:
        behaviors = {"cas": True, "tcp_nodelay": True}
        client = pylibmc.Client([f"127.0.0.1:{cache.port}"], binary=binary, behaviors=behaviors)
        assert client.set("a", {"x": [1, 2, 3]}) and client.get("a") == {"x": [1, 2, 3]}
        assert client.set("long", "v" * 100_000, min_compress_len=1000) and client.get("long") == "v" * 100_000
        value, cas = client.gets("a")
        assert client.cas("a", 1, cas) and not client.cas("a", 2, cas)
        assert client.set("n", 41) and client.incr("n") == 42 and client.decr("n", 50) == 0
        assert client.add("n", 1) is False
        if binary:  # as with memcached: this library says it by an exception
            with pytest.raises(pylibmc.NotFound):
                client.replace("nowhere", 1)
        else:
            assert client.replace("nowhere", 1) is False
        assert client.set("s", "b") and client.append("s", "c") and client.prepend("s", "a") and client.get("s") == "abc"
        assert client.set_multi({f"k{n}": n for n in range(300)}) == []
        assert client.get_multi([f"k{n}" for n in range(400)]) == {f"k{n}": n for n in range(300)}
        assert client.touch("s", 100) and client.delete("s") and client.get("s") is None
        assert client.flush_all() and client.get("a") is None


def test_python_memcached(tmp_path):
    with Cache(tmp_path) as cache:
        client = memcache.Client([f"127.0.0.1:{cache.port}"], cache_cas=True)
        assert client.set("a", {"x": 1}) and client.get("a") == {"x": 1}
        assert client.gets("a") == {"x": 1} and client.cas("a", 2) and client.get("a") == 2
        assert client.set("n", 1) and client.incr("n", 2) == 3 and client.decr("n", 9) == 0
        assert client.set_multi({f"k{n}": n for n in range(300)}) == []
        assert len(client.get_multi([f"k{n}" for n in range(400)])) == 300
        assert client.delete_multi([f"k{n}" for n in range(300)]) and client.get_multi(["k1", "k2"]) == {}
        (_, stats), = client.get_stats()
        assert stats["curr_items"] == "2"
        client.disconnect_all()


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
        for value, answer in (
            (b"9\r\nbob wrong", b"CLIENT_ERROR authentication failure"),
            (b"11\r\nbob secret ", b"CLIENT_ERROR authentication failure"),
            (b"3\r\nbob", b"CLIENT_ERROR bad authentication token format"),
            (b"3000\r\n" + b"x" * 3000, b"CLIENT_ERROR bad authentication token format"),
            (b"10\r\nbob secretXX", b"CLIENT_ERROR bad command line termination"),
        ):
            assert cache.ask(b"set x 0 0 " + value + b"\r\n")[:len(answer) + 2] == answer + b"\r\n"
        assert cache.ask(b"set x 0 0 10\r\nbob secret\r\nget a\r\n", b"END\r\n") == b"STORED\r\nEND\r\n"
    with Cache(tmp_path, "-S", environment={"MEMCACHED_SASL_PWDB": str(users)}) as cache:
        assert cache.ask(sasl(b"bob", b"wrong"), b"Auth failure.")[6:8] == b"\0\x20"
        assert cache.ask(sasl(b"bob", b"secret"), b"Authenticated")[6:8] == b"\0\0"
        stranger = struct.pack(">BBHBBHIIQ", 0x80, 0, 1, 0, 0, 0, 1, 0, 0) + b"a"
        assert cache.ask(stranger, b"Auth failure.")[6:8] == b"\0\x20"
        for opcode in (0x07, 0x17, 0x1f, 0xff):  # what a stranger asks is not looked at
            assert cache.ask(struct.pack(">BB22x", 0x80, opcode), b"Auth failure.")[6:8] == b"\0\x20"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_planned_restart_keeps_the_keys(tmp_path, threads):
    memory = tmp_path / "memory"
    options = ("-t", threads, "-e", str(memory))
    cache = Cache(tmp_path, *options)
    assert b"STAT memory_file %s\r\n" % os.fsencode(memory) in cache.ask(b"stats settings\r\n", b"END\r\n")
    cache.ask(b"set a 7 1000 2\r\nhi\r\nset n 0 0 2\r\n42\r\n", b"STORED\r\nSTORED\r\n")
    unique = cache.ask(b"gets a\r\n", b"END\r\n")
    assert cache.stop(signal.SIGUSR1) == 0
    assert memory.exists()
    with Cache(tmp_path, *options) as cache:
        # Who connects early waits until the keys are there.
        assert cache.ask(b"version\r\n").startswith(b"VERSION")
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
    assert refused.returncode == 64 and "ssl_chain_cert" in refused.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = run("-l", "127.0.0.1", "-p", str(taken.getsockname()[1]))
        assert refused.returncode == 71 and "failed to listen on one of interface(s) 127.0.0.1" in refused.stderr
    if os.geteuid() == 0:
        assert run("-u", "nobody-at-all").returncode == 67
    # What could not be kept at the end is said at the start.
    refused = run("-p", "-1", "-e", str(tmp_path / "nowhere" / "memory"))
    assert refused.returncode == 1 and "failed to open file for mmap" in refused.stderr
    refused = run("-o", "ext_path=/tmp/x:64m")
    assert refused.returncode == 1 and "ext_path" in refused.stderr
    with Cache(tmp_path, "-k", "-o", "watcher_logbuf_size=32") as cache:
        assert b"STAT watcher_logbuf_size 32768\r\n" in cache.ask(b"stats settings\r\n", b"END\r\n")
        if os.geteuid() == 0:
            locked = next(line for line in open(f"/proc/{cache.process.pid}/status") if line.startswith("VmLck:"))
            assert int(locked.split()[1]) > 0
    with Cache(tmp_path, "-A", "-m", "100", "-c", "50", "-I", "2m") as cache:
        settings = cache.ask(b"stats settings\r\n", b"END\r\n")
        assert b"STAT maxbytes 104857600\r\n" in settings and b"STAT item_size_max 2097152\r\n" in settings
        assert b"STAT maxconns 50\r\n" in settings
        cache.ask(b"shutdown\r\n")
        assert cache.process.wait(DEADLINE) == 0


def test_little_memory_holds_items(tmp_path):
    """What a node needs for itself leaves room in the least that `cache_memlimit` takes, also with memcached's four threads."""
    with Cache(tmp_path, "-m", "8", "-t", "4") as cache:
        for part in range(20):  # one session each, so that all threads have some
            batch = b"".join(
                b"set key:%d:%d 0 0 1000 noreply\r\n%s\r\n" % (part, n, b"v" * 1000) for n in range(50)
            )
            assert cache.ask(batch + b"mn\r\n", b"MN\r\n") == b"MN\r\n"
        assert b"STAT curr_items 1000\r\n" in cache.ask(b"stats\r\n", b"END\r\n")


@pytest.mark.parametrize("options", [("-m", "1", "-I", "512k"), ("-m", "2"), ("-m", "3")], ids=["1", "2", "3"])
def test_the_least_memory_holds_items_too(tmp_path, options):
    """A pipeline of more than all of the memory is stored, too, and what came last is there."""
    with Cache(tmp_path, "-t", "4", *options) as cache:
        value = b"v" * 1000
        batch = b"".join(b"set key:%d 0 0 1000 noreply\r\n%s\r\n" % (n, value) for n in range(5000))
        assert cache.ask(batch + b"set last 0 0 2\r\nok\r\n") == b"STORED\r\n"
        assert cache.ask(b"get last\r\n", b"END\r\n") == b"VALUE last 0 2\r\nok\r\nEND\r\n"
        kept = cache.ask(b"".join(b"mg key:%d s\r\n" % n for n in range(5000)) + b"mn\r\n", b"MN\r\n").count(b"HD s1000")
        assert kept * 1000 > int(options[1]) * 2**20 / 4


def test_a_free_port_is_chosen_and_told(tmp_path):
    """As suites start memcached: `-p -1`, and a file that says which port it became."""
    told = tmp_path / "ports"
    command = [BINARY, "memcached", "-l", "127.0.0.1", "-p", "-1", "-U", "-1"]
    environment = {**os.environ, "MEMCACHED_PORT_FILENAME": str(told)}
    # Somebody else may take a port between its choice and its use.
    for _ in range(5):
        with open(tmp_path / "log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            wait_until("the ports are told", lambda: told.exists() or process.poll() is not None)
            if process.poll() is not None:
                continue
            ports = dict(line.split(" INET: ") for line in told.read_text().splitlines())
            assert sorted(ports) == ["TCP", "UDP"]
            client = Client(("127.0.0.1", int(ports["TCP"])))
            assert client.stats(b"settings")[b"udpport"] in (int(ports["UDP"]), ports["UDP"].encode())
            client.close()
            return
        finally:
            process.terminate()
            process.wait(DEADLINE)
    raise AssertionError("no port was free")


def test_udp(tmp_path):
    udp = free_port()
    with Cache(tmp_path, "-U", str(udp)) as cache, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", udp))
        client.settimeout(DEADLINE)

        def ask(number, text):
            client.send(struct.pack(">HHHH", number, 0, 1, 0) + text)
            parts, count = {}, 1
            while len(parts) < count:
                piece = client.recv(65536)
                got, part, of, nothing = struct.unpack(">HHHH", piece[:8])
                if got == number:  # garbage with a header of its own may have been answered as well
                    assert nothing == 0
                    parts[part], count = piece[8:], of
            return b"".join(parts[part] for part in range(count))

        def answers():
            try:
                return ask(0, b"version\r\n").startswith(b"VERSION ")
            except ConnectionRefusedError:
                return False

        wait_until("datagrams are taken", answers)
        assert ask(1, b"set a 7 0 5\r\nhello\r\n") == b"STORED\r\n"
        assert cache.ask(b"get a\r\n", b"END\r\n") == b"VALUE a 7 5\r\nhello\r\nEND\r\n"
        cache.ask(b"set large 0 0 20000\r\n" + b"v" * 20000 + b"\r\n")
        assert ask(2, b"get large\r\n") == b"VALUE large 0 20000\r\n" + b"v" * 20000 + b"\r\nEND\r\n"
        # What is no request does not stop the next one.
        for garbage in (b"", b"1234567", b"\0" * 9, b"\x80" * 60000):
            client.send(garbage)
        while ask(3, b"version\r\n")[:7] != b"VERSION":
            pass
        assert b"STAT udpport %d\r\n" % udp in cache.ask(b"stats settings\r\n", b"END\r\n")


def test_idle_sessions_are_closed_and_counted(tmp_path):
    with Cache(tmp_path, "-o", "idle_timeout=1") as cache:
        with socket.create_connection(("127.0.0.1", cache.port), timeout=DEADLINE) as client:
            client.sendall(b"get a\r\n")
            assert client.recv(100) == b"END\r\n"
            assert client.recv(100) == b""
        assert b"STAT idle_kicks 1\r\n" in cache.ask(b"stats\r\n", b"END\r\n")


def test_users_are_read_again(tmp_path):
    users = tmp_path / "users"
    users.write_text("bob:old\n")
    with Cache(tmp_path, "-Y", str(users)) as cache:
        attempt = b"set x 0 0 7\r\nbob new\r\n"
        assert cache.ask(attempt) == b"CLIENT_ERROR authentication failure\r\n"
        users.write_text("nonsense\n")
        cache.process.send_signal(signal.SIGHUP)
        users.write_text("bob:new\n")
        cache.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + DEADLINE
        while cache.ask(attempt) != b"STORED\r\n":
            assert time.monotonic() < until
            time.sleep(0.05)


def test_prefixes_are_counted_from_the_start(tmp_path):
    with Cache(tmp_path, "-D", ":") as cache:
        cache.ask(b"set a:1 0 0 1\r\nx\r\nget a:1\r\nget a:2\r\ndelete a:1\r\n", b"DELETED\r\n")
        assert cache.ask(b"stats detail dump\r\n", b"END\r\n") == b"PREFIX a get 2 hit 1 set 1 del 1\r\nEND\r\n"


SOAK_MEMORY = 64 << 20
# What a node of this size may have resident beside its memory: program, allocator, buffers of its sessions.
SOAK_BESIDE = 64 << 20


# Opcodes of the binary protocol that the soak uses.
GET, SET, DELETE, INCREMENT, NOOP, APPEND, TOUCH, SETQ = 0x00, 0x01, 0x04, 0x05, 0x0A, 0x0E, 0x1C, 0x11


def packet(opcode, key=b"", value=b"", extras=b""):
    body = extras + key + value
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), 0, 0) + body


def binary_load(client, dice, keys):
    """A batch of requests in the binary protocol, read up to the answer of the no-op behind them."""
    request = b""
    for _ in range(40):
        key, chance = keys(), dice.random()
        if chance < 0.5:
            value = b"b" * int(dice.paretovariate(1.2) * 60 % 40_000)
            opcode, lives = dice.choice((SET, SETQ)), dice.choice((0, 0, 1, 5))
            request += packet(opcode, key, value, struct.pack(">II", 3, lives))
        elif chance < 0.6:
            request += packet(APPEND, key, b"appended")
        elif chance < 0.65:
            request += packet(DELETE, key)
        elif chance < 0.7:
            request += packet(INCREMENT, key, extras=struct.pack(">QQI", 1, 7, 5))
        elif chance < 0.75:
            request += packet(TOUCH, key, extras=struct.pack(">I", 2))
        else:
            request += packet(GET, key)
    client.sendall(request + packet(NOOP))
    answers = client.makefile("rb")
    while True:
        head = answers.read(24)
        assert len(head) == 24, "closed"
        body = struct.unpack(">BBHBBHIIQ", head)[6]
        assert len(answers.read(body)) == body, "closed in an answer"
        if head[1] == NOOP:
            return


def load(port, seed, began, until, failures):
    """Every kind of request, for keys and sizes that change with time, over sessions that come, go, and break off."""
    dice = random.Random(seed)
    try:
        while time.monotonic() < until:
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
                if dice.random() < 0.3:
                    for _ in range(dice.randrange(60)):
                        drift = int((time.monotonic() - began) * 500)
                        binary_load(client, dice, lambda: b"key:%d" % (drift + dice.randrange(100_000)))
                    if dice.random() < 0.1:  # gone in the middle of a request, with answers unread
                        client.sendall(packet(GET, b"key:1") * 100 + packet(SET, b"broken", b"v" * 3000, bytes(8))[:-9])
                    continue
                for _ in range(dice.randrange(60)):
                    # Keys go out of use and others come; sizes that were seldom become frequent.
                    drift = int((time.monotonic() - began) * 500)
                    scale = (40, 300, 90)[int((time.monotonic() - began) / 20) % 3]
                    request = b""
                    for _ in range(40):
                        key = b"key:%d" % (drift + dice.randrange(100_000))
                        chance = dice.random()
                        if chance < 0.5:
                            value = b"v" * int(dice.paretovariate(1.2) * scale % 40_000)
                            request += b"set %s 0 %d %d\r\n%s\r\n" % (key, dice.choice((0, 0, 1, 5)), len(value), value)
                        elif chance < 0.6:
                            request += b"ms %s 5 T%d\r\nhello\r\n" % (key, dice.choice((1, 100)))
                        elif chance < 0.7:
                            request += b"mg %s v c t\r\n" % key
                        elif chance < 0.8:
                            request += b"".join((b"append ", key, b" 0 0 8\r\nappended\r\n", b"gets ", key, b"\r\n"))
                        elif chance < 0.85:
                            request += b"delete %s\r\ntouch %s 2\r\n" % (key, key)
                        else:
                            request += b"get %s %s\r\n" % (key, b"key:%d" % dice.randrange(100_000))
                    if dice.random() < 0.02:  # gone in the middle of a request, with answers unread
                        client.sendall(request + b"set broken 0 0 30000\r\nhalf")
                        break
                    client.sendall(request + b"mn\r\n")
                    tail = b""
                    while not tail.endswith(b"MN\r\n"):
                        piece = client.recv(1 << 20)
                        assert piece, "closed"
                        tail = (tail + piece)[-4:]
    except Exception as error:  # the test's own thread has to hear of it
        failures.append(repr(error))


def fill(cache, evictions):
    """Fills the memory to the brim, so that all that follows is steady state."""
    for number in range(10_000):
        batch = b"".join(
            b"set fill:%d:%d 0 0 %d noreply\r\n%s\r\n" % (number, n, size, b"v" * size)
            for n, size in enumerate((20, 100, 200, 500, 3000) * 100)
        )
        cache.ask(batch + b"mn\r\n", b"MN\r\n")
        if evictions() > 0:
            return
    raise AssertionError("it does not become full")


@pytest.mark.skipif("LARDER_SOAK_MINUTES" not in os.environ, reason="LARDER_SOAK_MINUTES is not set")
def test_a_long_time_at_full_load_leaves_the_size_flat(tmp_path):
    seconds = 60 * float(os.environ["LARDER_SOAK_MINUTES"])
    with Cache(tmp_path, "-m", str(SOAK_MEMORY >> 20)) as cache:
        def resident():
            with open(f"/proc/{cache.process.pid}/status") as status:
                return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))

        observer = Client(("127.0.0.1", cache.port))
        evictions = lambda: observer.stats()[b"evictions"]
        fill(cache, evictions)
        began = time.monotonic()
        until, failures, sizes = began + seconds, [], []
        threads = [threading.Thread(target=load, args=(cache.port, seed, began, until, failures)) for seed in range(4)]
        for thread in threads:
            thread.start()
        pause, evicted_early = seconds / 100, 0
        half = 40  # of hardly 100
        while time.monotonic() < until:
            time.sleep(pause)
            sizes.append(resident())
            if len(sizes) == half:
                evicted_early = evictions()
        for thread in threads:
            thread.join()
        assert not failures, failures[:5]
        stats = observer.stats()
        print({name: stats[name.encode()] for name in ("cmd_get", "cmd_set", "get_hits", "evictions", "reclaimed",
               "evicted_unfetched", "total_connections")}, "sizes", [size >> 20 for size in sizes])
        assert stats[b"evictions"] > 0 and stats[b"reclaimed"] > 0 and stats[b"curr_connections"] <= 3
        # Keys went all the time, and the later part is as large as the earlier one.
        assert 0 < evicted_early < stats[b"evictions"]
        assert max(sizes) <= SOAK_MEMORY + SOAK_BESIDE
        assert max(sizes[half:]) <= max(sizes[:half]) * 1.03
