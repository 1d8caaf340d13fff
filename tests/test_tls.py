"""TLS as clients see it: redis-py, redis-cli, pymemcache, and peers that want no good."""

import os
import shutil
import socket
import ssl
import subprocess

import pytest
import redis
from pymemcache.client.base import Client as Memcache
from pymemcache.exceptions import MemcacheError

from certificates import Authority
from ports import free_port
from service import BINARY, wait_until

DEADLINE = 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class TlsNode:
    """A `larder node` with TLS; its administration is on the Unix socket."""

    def __init__(self, folder, authority, name="node", **directives):
        self.certificate, self.key = authority.sign(name)
        self.authority = authority
        self.ports = {"tls-port": free_port()} | {
            name.replace("_", "-"): free_port() for name, value in directives.items() if value == "free"
        }
        self.socket = folder / "node.sock"
        self.log = folder / "node.log"
        directives = {name.replace("_", "-"): value for name, value in directives.items()}
        words = {
            "port": 0, "tls-auth-clients": "no", "threads": 2, "unixsocket": self.socket, "save": "",
            "loglevel": "debug", "tls-cert-file": self.certificate, "tls-key-file": self.key,
        } | directives | self.ports
        command = [str(BINARY), "node"] + [str(part) for name, value in words.items() for part in (f"--{name}", value)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        wait_until("the node answers", self._answers)
        self.admin = redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def _answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return redis.Redis(unix_socket_path=str(self.socket)).ping()
        except redis.ConnectionError:
            return False

    @property
    def port(self):
        return self.ports["tls-port"]

    def client(self, port=None, **options):
        defaults = {"ssl_ca_certs": str(self.authority.certificate), "decode_responses": True, "socket_timeout": DEADLINE}
        return redis.Redis("127.0.0.1", port or self.port, ssl=True, **(defaults | options))

    def connect(self):
        """A bare connection over TLS."""
        trust = ssl.create_default_context(cafile=self.authority.certificate)
        return trust.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE),
                                 server_hostname="127.0.0.1")

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory, authority):
    with TlsNode(tmp_path_factory.mktemp("node"), authority) as node:
        yield node


def context(authority, version=None):
    made = ssl.create_default_context(cafile=str(authority.certificate))
    if version:
        made.minimum_version = made.maximum_version = version
    return made


@pytest.mark.parametrize("io_engine", ["auto", "epoll"])
def test_commands_of_all_sizes(tmp_path, authority, io_engine):
    with TlsNode(tmp_path, authority, io_engine=io_engine) as node:
        client = node.client()
        assert client.ping()
        for size in (0, 1, 16_384, 16_385, 1_000_000, 20_000_000):
            client.set("k", "v" * size)
            assert client.get("k") == "v" * size
        with client.pipeline(transaction=False) as pipe:
            for i in range(5000):
                pipe.set(f"k{i}", i)
                pipe.get(f"k{i}")
            assert pipe.execute()[1::2] == [str(i) for i in range(5000)]
        listener = client.pubsub()
        listener.subscribe("news")
        assert listener.get_message(timeout=DEADLINE)["type"] == "subscribe"
        node.admin.publish("news", "hello")
        assert listener.get_message(timeout=DEADLINE)["data"] == "hello"
        assert node.client().blpop("nothing", timeout=0.05) is None
        assert node.admin.info("server")["tcp_port"] == node.port
        # The driver takes a serial number of digits, or with one E among them, for a number.
        node.admin.response_callbacks.pop("INFO")
        shown = node.admin.execute_command("INFO", "tls")
        lines = dict(line.split(":") for line in shown.splitlines() if ":" in line)
        assert int(lines["tls_server_cert_serial"], 16) > 0 and int(lines["tls_server_cert_expires_in_seconds"]) > 0
        assert lines["tls_client_cert_serial"] == "none"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_versions_kinds_of_keys_and_resumption(node, authority, version, kind):
    certificate, key = authority.sign(f"node-{kind}", kind=kind)
    node.admin.execute_command("CONFIG", "SET", "tls-cert-file", str(certificate), "tls-key-file", str(key))
    wanted, resumed = context(authority, version), []
    session = None
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as plain:
            with wanted.wrap_socket(plain, server_hostname="localhost", session=session) as client:
                client.sendall(b"PING\r\n")
                assert client.recv(100) == b"+PONG\r\n"
                assert client.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
                resumed.append(client.session_reused)
                session = client.session
    assert resumed == [False, True, True]


def test_the_end_is_said(node, authority):
    with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as plain:
        client = context(authority).wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        client.sendall(b"PING\r\nQUIT\r\n")
        answer = b""
        while piece := client.recv(100):  # an end without a word would raise
            answer += piece
        assert answer == b"+PONG\r\n+OK\r\n"


def test_wrong_authority_name_and_date(tmp_path, node, authority):
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        node.client(ssl_ca_certs=str(stranger.certificate)).ping()
    certificate, key = authority.sign("expired", days=-1)
    node.admin.execute_command("CONFIG", "SET", "tls-cert-file", str(certificate), "tls-key-file", str(key))
    with pytest.raises(redis.ConnectionError, match="expired"):
        node.client().ping()
    node.admin.execute_command(
        "CONFIG", "SET", "tls-cert-file", str(node.certificate), "tls-key-file", str(node.key)
    )
    assert node.client().ping()


def test_certificates_of_clients(tmp_path, node, authority):
    good, bad = authority.sign("client"), Authority(tmp_path / "stranger").sign("client")
    shown = lambda pair: {"ssl_certfile": str(pair[0]), "ssl_keyfile": str(pair[1])}
    with pytest.raises(redis.ResponseError, match="tls-ca-cert-file"):
        node.admin.config_set("tls-auth-clients", "yes")
    node.admin.execute_command(
        "CONFIG", "SET", "tls-ca-cert-file", str(authority.certificate), "tls-auth-clients", "yes"
    )
    try:
        assert node.client(**shown(good)).ping()
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            node.client().ping()
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            node.client(**shown(bad)).ping()
        node.admin.config_set("tls-auth-clients", "optional")
        assert node.client().ping() and node.client(**shown(good)).ping()
        with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
            node.client(**shown(bad)).ping()
    finally:
        node.admin.config_set("tls-auth-clients", "no")
    assert node.client(**shown(bad)).ping()


def test_mistakes_change_nothing(node):
    for name, value in [
        ("tls-cert-file", "/nowhere"), ("tls-protocols", "SSLv3"), ("tls-protocols", "TLSv1.1"), ("tls-ciphers", "RC4"),
        ("tls-ciphersuites", "x"), ("tls-key-file", ""), ("tls-key-file-pass", "secret"), ("tls-mode", "maybe"),
        ("tls-port", "70000"), ("tls-dh-params-file", "x"),
    ]:
        before = node.admin.config_get(name)
        with pytest.raises(redis.ResponseError, match=name):
            node.admin.config_set(name, value)
        assert node.admin.config_get(name) == before
        assert node.client().ping()


def test_protocols_and_ciphers_are_held(node, authority):
    node.admin.config_set("tls-protocols", "TLSv1.3")
    try:
        with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as plain:
            with pytest.raises(ssl.SSLError):
                context(authority, ssl.TLSVersion.TLSv1_2).wrap_socket(plain, server_hostname="localhost")
        node.admin.execute_command(
            "CONFIG", "SET", "tls-protocols", "", "tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"
        )
        with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as plain:
            with context(authority).wrap_socket(plain, server_hostname="localhost") as client:
                assert client.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
    finally:
        node.admin.execute_command("CONFIG", "SET", "tls-protocols", "", "tls-ciphersuites", "")


def test_modes_change_while_the_node_runs(tmp_path, authority):
    with TlsNode(tmp_path, authority, port="free", memcached_port="free") as node:
        port, memcached = node.ports["port"], node.ports["memcached-port"]

        def plain():
            return redis.Redis("127.0.0.1", port, socket_timeout=DEADLINE)

        def cache(tls):
            wanted = context(authority) if tls else None
            return Memcache(("localhost", memcached), tls_context=wanted, timeout=DEADLINE)

        old = plain()
        assert old.ping()
        assert cache(False).set("a", b"1", noreply=False)
        with pytest.raises(redis.RedisError):
            node.client(port).ping()
        node.admin.config_set("tls-mode", "preferred")
        assert plain().ping() and node.client(port).ping()
        assert cache(False).get("a") == b"1" and cache(True).get("a") == b"1"
        cache(True).set("b", b"x" * 100_000, noreply=False)
        assert cache(True).get("b") == b"x" * 100_000
        node.admin.config_set("tls-mode", "required")
        assert old.ping(), "sessions that there are stay"
        assert node.client(port).ping() and cache(True).get("a") == b"1"
        with pytest.raises((redis.ConnectionError, redis.ResponseError)):
            plain().ping()
        with pytest.raises((OSError, MemcacheError)):
            cache(False).get("a")
        node.admin.config_set("tls-mode", "no")
        assert plain().ping()


def test_peers_that_want_no_good(node):
    """Garbage, halves of handshakes and silence end soon or wait without harm, and others are served meanwhile."""
    before = node.admin.info("clients")["connected_clients"]
    hello = ssl_hello()
    for garbage in (b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\x16" * 70_000, os.urandom(5000)):
        with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as peer:
            try:
                peer.sendall(garbage)
                while peer.recv(4096):
                    pass
            except ConnectionError:
                pass
    slow = [socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) for _ in range(50)]
    for at, peer in enumerate(slow):
        peer.sendall(hello[: at % len(hello)])
    assert node.client().ping()
    for peer in slow:  # the time limit of handshakes ends them
        assert peer.recv(10) == b""
        peer.close()
    wait_until("all are gone", lambda: node.admin.info("clients")["connected_clients"] <= before)


def ssl_hello():
    """The first words of a client."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_many_handshakes_at_once(node, authority):
    """Handshakes have a budget; nobody is forgotten."""
    made = context(authority)
    made.check_hostname = False
    sockets = [socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) for _ in range(300)]
    pairs = []
    for plain in sockets:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = made.wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        plain.sendall(outgoing.read())
        pairs.append((plain, client, incoming, outgoing))
    for plain, client, incoming, outgoing in pairs:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                piece = plain.recv(65536)
                assert piece, "the node hung up"
                incoming.write(piece)
        client.write(b"PING\r\n")
        plain.sendall(outgoing.read())
    for plain, client, incoming, _ in pairs:
        while True:
            try:
                assert client.read(100) == b"+PONG\r\n"
                break
            except ssl.SSLWantReadError:
                piece = plain.recv(65536)
                assert piece, "the node hung up"
                incoming.write(piece)
        plain.close()


def test_tickets_of_old_certificates_are_no_good(node, authority):
    """New certificates forget sessions; and so does the switch."""
    made = context(authority, ssl.TLSVersion.TLSv1_2)

    def connect(session=None):
        with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as plain:
            with made.wrap_socket(plain, server_hostname="localhost", session=session) as client:
                client.sendall(b"PING\r\n")
                assert client.recv(100) == b"+PONG\r\n"
                return client.session, client.session_reused

    session, _ = connect()
    assert connect(session)[1]
    node.admin.config_set("tls-cert-file", str(node.certificate))
    assert not connect(session)[1]
    node.admin.config_set("tls-session-caching", "no")
    session, _ = connect()
    assert not connect(session)[1]
    node.admin.config_set("tls-session-caching", "yes")


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="redis-cli is not installed")
def test_redis_cli(node, authority):
    command = ["redis-cli", "--tls", "--cacert", str(authority.certificate), "-p", str(node.port), "echo", "hi"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE).stdout == "hi\n"


def test_a_start_with_a_mistake_says_which(tmp_path):
    command = [str(BINARY), "node", "--port", "0", "--tls-port", str(free_port())]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode != 0 and "tls-cert-file" in ended.stdout + ended.stderr


def test_memcached_with_tls(tmp_path, authority):
    """memcached's own options."""
    certificate, key = authority.sign("cache")
    port = free_port()
    options = f"ssl_chain_cert={certificate},ssl_key={key}"
    command = [str(BINARY), "memcached", "-p", str(port), "-l", "127.0.0.1", "-t", "2", "-Z", "-o", options]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        made = context(authority)

        def answers():
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                return Memcache(("localhost", port), tls_context=made, timeout=DEADLINE).set("a", b"1", noreply=False)
            except OSError:
                return False

        wait_until("it answers", answers)
        cache = Memcache(("localhost", port), tls_context=made, timeout=DEADLINE)
        assert cache.get("a") == b"1"
        assert cache.stats("settings")[b"ssl_enabled"] in (b"yes", True)
        for size in (65_536, 1_000_000):  # received apart from the input
            value = bytes(at % 251 for at in range(size))
            assert cache.set("large", value, noreply=False) and cache.get("large") == value
            assert cache.append("large", b"x" * 1000, noreply=False) and cache.get("large") == value + b"x" * 1000

        def ask():
            """The answer to `refresh_certs`, and who the session's certificate says it is."""
            with made.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE),
                                  server_hostname="localhost") as session:
                session.sendall(b"refresh_certs\r\n")
                name = dict(part[0] for part in session.getpeercert()["subject"])["commonName"]
                return session.recv(1000), name

        assert ask() == (b"OK\r\n", "cache")
        other, other_key = authority.sign("other")
        certificate.write_bytes(other.read_bytes())
        key.write_bytes(other_key.read_bytes())
        assert ask() == (b"OK\r\n", "cache")
        certificate.write_text("no certificate")
        answer, name = ask()
        assert answer.startswith(b"Error ") and answer.count(b"\r\n") == 1 and name == "other"
        assert ask()[1] == "other"
    finally:
        process.terminate()
        process.wait(DEADLINE)
