"""Replication: nodes that follow each other and real servers, through full and partial synchronisations, under load."""

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from certificates import Authority
from ports import free_port
from replication import LARDER, PEERS, REDIS, Barrier, Proxy, Writer, contents, fill, name, names, online, servers, settle
from service import PATIENCE_S, wait_until

__all__ = ["servers"]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_a_node_follows_a_real_server(servers, peer, threads):
    primary = servers(peer)
    fill(primary)
    replica = servers(LARDER, "--threads", threads)
    replica.call("SET", "of its own", "1")
    writer = Writer(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, replica)
    with pytest.raises(redis.exceptions.ReadOnlyError):
        replica.call("SET", "a", "1")


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_a_real_server_follows_a_node(servers, peer, threads):
    primary = servers(LARDER, "--threads", threads)
    fill(primary)
    replica = servers(peer)
    writer = Writer(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, replica)
    assert primary.info()["connected_slaves"] == 1
    assert primary.info()["slave0"]["state"] == "online"


@pytest.mark.parametrize("larder_is", ["primary", "replica"])
@pytest.mark.parametrize("peer", PEERS, ids=name)
def test_a_peer_that_would_synchronise_over_two_connections_does_it_over_one(servers, peer, larder_is):
    here, there = servers(LARDER), servers(peer)
    try:
        there.call("CONFIG", "SET", "dual-channel-replication-enabled", "yes")
    except redis.ResponseError:
        pytest.skip("the peer knows only one connection")
    primary, replica = (here, there) if larder_is == "primary" else (there, here)
    fill(primary)
    writer = Writer(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    writer.stop()
    settle(primary, replica)
    with pytest.raises(redis.ResponseError):
        here.call("CONFIG", "SET", "dual-channel-replication-enabled", "yes")


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("load", ["disabled", "swapdb", "flush-before-load"])
def test_nodes_follow_each_other_in_a_chain(servers, diskless, load):
    primary = servers(LARDER, "--repl-diskless-sync", diskless)
    fill(primary)
    middle = servers(LARDER, "--repl-diskless-load", load)
    last = servers(LARDER, "--repl-diskless-load", load)
    # Who has keys keeps them until all of the snapshot is there, unless it is told to load it as it comes.
    middle.call("SET", "of its own", "1")
    writer = Writer(primary)
    middle.follow(primary.port)
    wait_until("the middle is up", middle.is_up)
    last.follow(middle.port)
    wait_until("the last is up", last.is_up)
    time.sleep(0.5)
    writer.stop()
    settle(primary, middle, last)
    assert middle.call("ROLE")[0] == b"slave" and primary.call("ROLE")[0] == b"master"


HELD_BYTES = 200_000
# Who is held sends nothing for as long as the test takes.
PATIENT = ("--repl-timeout", "600")


@pytest.fixture
def barrier():
    made = []

    def make(to):
        made.append(Barrier(to))
        return made[-1]

    yield make
    for one in made:
        one.close()


def fill_much(server, version):
    """Keys of which a snapshot is much longer than what a barrier lets through."""
    pipe = server.client.pipeline(transaction=False)
    for n in range(1000):
        pipe.set(f"much{n}", random.randbytes(1500), ex=5000)  # nothing that could be compressed
    pipe.set("version", version)
    pipe.execute()


def part(relay, primary):
    """Cuts the replica off, until its primary knows: what it still sends to it would stay in the backlog."""
    relay.shut = True
    relay.cut()
    wait_until("the primary knows", lambda: primary.client.info("replication")["connected_slaves"] == 0)


def loads(server, how):
    figures = server.client.info("persistence")
    return figures[how] == 1


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
def test_old_keys_are_served_while_the_new_ones_are_loaded_beside_them(servers, barrier, program, threads):
    primary = servers(program, "--repl-backlog-size", "16kb", *PATIENT)
    replica = servers(LARDER, "--repl-diskless-load", "swapdb", "--threads", threads, *PATIENT)
    fill(primary)
    fill_much(primary, "old")
    relay = barrier(primary.port)
    replica.follow(relay.port)
    wait_until("the link is up", replica.is_up)
    settle(primary, replica)
    part(relay, primary)
    primary.call("DEL", "s1", "h1")
    fill_much(primary, "new")  # more than the backlog holds: the same history, all of it anew
    before = replica.call("DBSIZE")
    watcher = replica.client.pipeline()
    watcher.watch("version")
    for comes_to_its_end in (False, True):
        relay.hold(HELD_BYTES)
        wait_until("it loads beside", lambda: loads(replica, "async_loading"))
        assert not loads(replica, "loading")
        assert replica.call("GET", "version") == b"old" and replica.call("DBSIZE") == before
        assert replica.call("EXISTS", "s1", "h1") == 2 and replica.info()["master_sync_in_progress"] == 1
        for refused in (["BGSAVE"], ["REPLICAOF", "NO", "ONE"]):
            with pytest.raises(redis.exceptions.ResponseError, match="LOADING"):
                raw(replica, *refused)
        if not comes_to_its_end:
            relay.shut = True
            relay.opened.set()
            relay.cut()
            wait_until("it gave up", lambda: not loads(replica, "async_loading"))
            assert replica.call("GET", "version") == b"old" and replica.call("DBSIZE") == before
    relay.opened.set()
    settle(primary, replica)
    assert replica.call("GET", "version") == b"new" and replica.call("EXISTS", "s1", "h1") == 0
    assert primary.call("DBSIZE") == replica.call("DBSIZE")
    watcher.multi()
    watcher.get("version")
    with pytest.raises(redis.exceptions.WatchError):
        watcher.execute()


@pytest.mark.parametrize("threads", ["1", "2"])
def test_nothing_but_the_end_reaches_keys_that_are_loaded_beside(servers, barrier, threads):
    primary = servers(LARDER, "--repl-backlog-size", "16kb", *PATIENT)
    options = [*PATIENT, "--replica-read-only", "no", "--enable-debug-command", "yes", "--appendonly", "yes"]
    replica = servers(LARDER, "--repl-diskless-load", "swapdb", "--threads", threads, *options)
    fill(primary)
    fill_much(primary, "old")
    relay = barrier(primary.port)
    replica.follow(relay.port)
    wait_until("the link is up", replica.is_up)
    settle(primary, replica)
    wait_until("no file is written", lambda: not loads(replica, "aof_rewrite_in_progress"))
    part(relay, primary)
    fill_much(primary, "new")
    before = [replica.call(*words) for words in (["DBSIZE"], ["DEBUG", "DIGEST"])]
    listed = replica.client.info("keyspace")
    relay.hold(HELD_BYTES)
    wait_until("it loads beside", lambda: loads(replica, "async_loading"))
    wait_until("many keys came", lambda: replica.client.info("persistence")["rdb_last_load_keys_loaded"] > 20)
    assert [replica.call(*words) for words in (["DBSIZE"], ["DEBUG", "DIGEST"])] == before
    assert {db: facts["keys"] for db, facts in replica.client.info("keyspace").items()} == {
        db: facts["keys"] for db, facts in listed.items()
    }
    for refused in (["SAVE"], ["BGSAVE"], ["BGREWRITEAOF"], ["DEBUG", "RELOAD"]):
        with pytest.raises(redis.exceptions.ResponseError, match="LOADING"):
            raw(replica, *refused)
    assert replica.call("EXISTS", replica.call("RANDOMKEY")) == 1
    replica.call("SWAPDB", "0", "1")
    assert replica.call("DBSIZE") == listed["db1"]["keys"]
    replica.call("SWAPDB", "0", "1")
    # What makes room is what is served.
    for name, value in (("replica-ignore-maxmemory", "no"), ("maxmemory-policy", "allkeys-lru"), ("maxmemory", "1")):
        replica.call("CONFIG", "SET", name, value)
    wait_until("all keys made room", lambda: replica.call("PING") and replica.call("DBSIZE") == 0)
    replica.call("CONFIG", "SET", "maxmemory", "0")
    replica.call("SET", "of its own", "1")
    replica.call("FLUSHALL")
    assert loads(replica, "async_loading") and replica.call("DBSIZE") == 0
    relay.opened.set()
    settle(primary, replica)
    assert primary.call("DBSIZE") == replica.call("DBSIZE")
    wait_until("the file is written anew", lambda: not loads(replica, "aof_rewrite_in_progress"))
    replica.kill()
    replica.restart("--replicaof", "")
    assert contents(replica) == contents(primary)


def test_what_only_a_replica_that_is_gone_needed_is_gone_with_it(servers, barrier):
    primary, replica = servers(LARDER, "--repl-backlog-size", "16kb", *PATIENT), servers(LARDER, *PATIENT)
    relay = barrier(primary.port)
    relay.hold(HELD_BYTES)
    replica.follow(relay.port)
    wait_until("the link is up", replica.is_up)
    held = lambda: primary.client.info("replication")["repl_backlog_histlen"]
    for _ in range(50):
        primary.call("SET", "much", "x" * 300_000)
    assert held() > 2_000_000  # the system's buffers hold the rest
    part(relay, primary)
    assert held() < 200_000  # and nothing was written since
    relay.hold(None)
    settle(primary, replica)
    assert primary.client.info("stats")["sync_full"] == 2


def test_a_replica_that_only_ended_its_side_is_gone(servers):
    primary = servers(LARDER, *PATIENT)
    with socket.create_connection(("127.0.0.1", primary.port)) as replica:
        replica.sendall(b"PSYNC ? -1\r\n")  # of no capability: it need not say that it has loaded
        online(primary)
        for _ in range(50):
            primary.call("SET", "much", "x" * 300_000)  # more than fits into its socket, of which nobody reads
        wait_until("it is idle", lambda: primary.client.client_list(_type="replica")[0]["idle"] != "0")
        assert primary.client.info("replication")["repl_backlog_histlen"] > 2_000_000
        replica.shutdown(socket.SHUT_WR)
        wait_until("it is gone", lambda: primary.client.info("replication")["connected_slaves"] == 0)


def raw(server, *words):
    """What the server answers, errors as they are: the driver sees LOADING as a connection that is to be made anew."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b" ".join(word.encode() for word in words) + b"\r\n")
        line = connection.makefile("rb").readline().rstrip()
    if line.startswith(b"-"):
        raise redis.exceptions.ResponseError(line[1:].decode())
    return line


def test_keys_of_another_history_are_not_served_beside_new_ones_but_come_back(servers, barrier):
    primary = servers(LARDER, *PATIENT)
    fill_much(primary, "new")
    replica = servers(LARDER, "--repl-diskless-load", "swapdb", "--appendonly", "yes", *PATIENT)
    fill(replica)
    before = contents(replica)
    relay = barrier(primary.port)
    relay.hold(HELD_BYTES)
    replica.follow(relay.port)
    wait_until("it loads", lambda: loads(replica, "loading"))
    with pytest.raises(redis.exceptions.ResponseError, match="LOADING"):
        raw(replica, "GET", "s1")
    relay.shut = True
    relay.opened.set()
    relay.cut()
    wait_until("it gave up", lambda: not loads(replica, "loading"))
    assert contents(replica) == before
    relay.hold(HELD_BYTES)
    relay.opened.set()
    settle(primary, replica)
    # The file is that of the new keys, too.
    wait_until("the file is written anew", lambda: replica.client.info("persistence")["aof_rewrites"] >= 1)
    wait_until("and is whole", lambda: not loads(replica, "aof_rewrite_in_progress"))
    replica.stop()
    replica.restart("--replicaof", "", "--appendonly", "yes")
    assert contents(replica) == contents(primary)


def test_in_import_mode_nothing_dies_and_who_imports_sees_it(servers, tmp_path):
    primary = servers(LARDER, "--appendonly", "yes")
    replica = servers(LARDER)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    source = redis.Redis(port=primary.port, single_connection_client=True)
    with pytest.raises(redis.ResponseError, match="Server is not in import mode"):
        source.execute_command("CLIENT", "IMPORT-SOURCE", "ON")
    assert source.execute_command("CLIENT", "IMPORT-SOURCE", "OFF") == b"OK"
    primary.call("CONFIG", "SET", "import-mode", "yes")
    assert source.execute_command("CLIENT", "IMPORT-SOURCE", "ON") == b"OK"
    assert b"flags=I " in source.execute_command("CLIENT", "LIST", "FLAGS", "I")
    # Deadlines in the past need no waiting.
    for client in (source, primary.client):
        name = "source" if client is source else "other"
        client.set(f"{name}:string", "5", pxat=1000)
        client.sadd(f"{name}:set", "a")
        client.pexpireat(f"{name}:set", 1000)
        client.hset(f"{name}:hash", mapping={"gone": 1, "here": 2})
        assert client.execute_command("HPEXPIREAT", f"{name}:hash", 1000, "FIELDS", 1, "gone") == [1]
    for key in ("source", "other"):
        assert source.get(f"{key}:string") == b"5" and primary.call("GET", f"{key}:string") is None
        assert source.smembers(f"{key}:set") == {b"a"} and primary.call("SCARD", f"{key}:set") == 0
        assert source.hgetall(f"{key}:hash") == {b"gone": b"1", b"here": b"2"}
        assert primary.client.hgetall(f"{key}:hash") == {b"here": b"2"}
    for words in (["MULTI"], ["INCR", "source:string"], ["GET", "source:string"]):
        source.execute_command(*words)
    assert source.execute_command("EXEC") == [6, b"6"]
    assert primary.call("DBSIZE") == 6 and len(source.keys()) == 6 and len(primary.client.keys()) == 2
    # Who does not import, and writes to what is not there any more, begins anew; replicas and the file are told.
    primary.call("SADD", "source:set", "b")
    with primary.client.pipeline() as pipe:
        pipe.incr("other:string")
        pipe.execute()
    primary.call("HSET", "other:hash", "more", "3")
    settle(primary, replica)
    assert source.smembers("source:set") == {b"b"} and primary.call("GET", "other:string") == b"1"
    assert source.hgetall("other:hash") == {b"here": b"2", b"more": b"3"}
    assert replica.call("DBSIZE") == primary.call("DBSIZE") == 7
    # Nothing makes room either.
    primary.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    primary.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(redis.ResponseError, match="OOM|maxmemory"):
        primary.call("SET", "more", "1")
    primary.call("CONFIG", "SET", "maxmemory", "0")
    assert primary.call("DBSIZE") == 7 and primary.stats()["evicted_keys"] == 0
    assert source.execute_command("RESET") in ("RESET", b"RESET") and source.get("source:string") is None
    primary.kill()
    primary.restart("--import-mode", "yes")
    source = redis.Redis(port=primary.port, single_connection_client=True)
    source.execute_command("CLIENT", "IMPORT-SOURCE", "ON")
    assert source.get("source:string") == b"6" and source.smembers("source:set") == {b"b"}
    wait_until("the link is up again", replica.is_up)
    primary.call("CONFIG", "SET", "import-mode", "no")
    wait_until("what is dead goes", lambda: primary.call("DBSIZE") == 5)
    settle(primary, replica)
    wait_until("there, too", lambda: replica.call("DBSIZE") == primary.call("DBSIZE"))
    source.close()


def test_digests_say_nothing_of_when_a_consumer_was_seen(servers):
    primary, replica = (servers(LARDER, "--enable-debug-command", "yes") for _ in range(2))
    client = primary.client
    digest = lambda server: server.call("DEBUG", "DIGEST-VALUE", "s")
    seen = [digest(primary)]

    def changes(does):
        seen.append(digest(primary))
        assert (seen[-1] != seen[-2]) == does

    client.xadd("s", {"a": 1}, id="1-1")
    client.xadd("s", {"a": 1}, id="2-1")
    changes(True)
    client.xgroup_create("s", "g", 0)
    changes(True)
    client.xreadgroup("g", "c", {"s": ">"}, count=1)
    changes(True)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    for _ in range(3):
        time.sleep(0.01)  # what is seen later is seen at another time
        client.xreadgroup("g", "c", {"s": "0"})
        changes(False)
    client.xreadgroup("g", "c", {"s": ">"})
    changes(True)
    client.xack("s", "g", "1-1")
    changes(True)
    client.xdel("s", "1-1")
    changes(True)
    settle(primary, replica)
    assert digest(primary) == digest(replica)
    assert primary.call("DEBUG", "DIGEST") == replica.call("DEBUG", "DIGEST")


def test_wait(servers):
    primary, replica = servers(), servers()
    assert primary.call("WAIT", "0", "100") == 0
    assert primary.call("WAIT", "1", "50") == 0
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    online(primary)
    for n in range(50):
        primary.call("SET", "a", str(n))
        assert primary.call("WAIT", "1", str(PATIENCE_S * 1000)) == 1
        assert replica.call("GET", "a") == str(n).encode()
    assert primary.call("WAIT", "2", "50") == 1


@pytest.mark.parametrize("programs", [(LARDER, LARDER), (REDIS, LARDER), (LARDER, REDIS)], ids=names)
def test_a_cut_connection_is_gone_on_with(servers, programs):
    large = ("--repl-backlog-size", "64mb")  # a build without optimisation may be far behind
    primary, replica = servers(programs[0], *large), servers(programs[1], *large)
    fill(primary)
    proxy = Proxy(primary.port)
    replica.follow(proxy.port)
    wait_until("the link is up", replica.is_up)
    writer = Writer(primary)
    for _ in range(3):
        time.sleep(0.3)
        before = primary.client.info("stats")["sync_partial_ok"]
        proxy.cut()
        wait_until("it goes on", lambda: primary.client.info("stats")["sync_partial_ok"] > before)
    writer.stop()
    settle(primary, replica)
    assert primary.client.info("stats")["sync_full"] == 1
    proxy.close()


def test_who_followed_goes_on_with_who_takes_over(servers):
    primary, first, second = servers(), servers(), servers()
    fill(primary)
    for replica in (first, second):
        replica.follow(primary.port)
    wait_until("both are up", lambda: first.is_up() and second.is_up())
    settle(primary, first, second)
    primary.kill()
    first.call("REPLICAOF", "NO", "ONE")
    second.follow(first.port)
    first.call("SET", "after", "1")
    settle(first, second)
    stats = first.client.info("stats")
    assert (stats["sync_full"], stats["sync_partial_ok"]) == (0, 1)
    assert second.info()["master_replid"] == first.info()["master_replid"]


def test_hand_over_without_a_lost_write(servers):
    primary, replica = servers(), servers()
    fill(primary)
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    online(primary)
    acknowledged, refused = [], threading.Event()

    def write():
        client = redis.Redis(port=primary.port, socket_timeout=PATIENCE_S)
        for n in range(1_000_000):
            try:
                client.rpush("written", n)
            except redis.exceptions.ReadOnlyError:
                break
            acknowledged.append(n)
        refused.set()

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.3)
    primary.call("FAILOVER")
    assert refused.wait(PATIENCE_S)
    thread.join()
    wait_until("the roles are changed", lambda: primary.is_up() and replica.info()["role"] == "master")
    assert [int(n) for n in replica.client.lrange("written", 0, -1)] == acknowledged
    settle(replica, primary)
    assert replica.client.info("stats")["sync_full"] == 0


REFUSED = (redis.exceptions.ReadOnlyError, redis.exceptions.ExecAbortError, redis.exceptions.BusyLoadingError)


@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
def test_a_replica_that_does_not_want_to_lead_is_not_waited_for(servers, program):
    primary, replica = servers(program), servers(program)
    replica.follow(primary.port)
    online(primary)
    settle(primary, replica)
    replica.call("ACL", "SETUSER", "default", "-psync")
    primary.call("FAILOVER", "TO", "127.0.0.1", replica.port)
    wait_until("it is over", lambda: primary.info()["master_failover_state"] == "no-failover")
    assert primary.info()["role"] == "master" and replica.info()["role"] == "slave"
    primary.call("SET", "a", "1")
    replica.call("ACL", "SETUSER", "default", "+psync")
    wait_until("the link is up", replica.is_up)
    settle(primary, replica)


class Mute:
    """A replica that confirms whatever there is, and says nothing to a primary that asks it to lead."""

    def __init__(self, primary):
        self.primary, self.ending = primary, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.socket = socket.create_connection(("127.0.0.1", primary.port), PATIENCE_S)
        for words in ("PING", f"REPLCONF listening-port {self.port}", "REPLCONF capa eof capa psync2"):
            self.socket.sendall(words.encode() + b"\r\n")
            assert self.socket.recv(100).startswith(b"+")
        self.socket.sendall(b"PSYNC ? -1\r\n")
        self.threads = [threading.Thread(target=work) for work in (self.read, self.confirm)]
        for thread in self.threads:
            thread.start()

    def read(self):
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass

    def confirm(self):
        try:
            while not self.ending:
                offset = str(self.primary.info()["master_repl_offset"]).encode()
                words = [b"REPLCONF", b"ACK", offset]
                self.socket.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
                time.sleep(0.05)
        except OSError:
            pass

    def end(self):
        self.ending = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the primary has closed it
        for thread in self.threads:
            thread.join()
        self.socket.close()
        self.listener.close()


@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
def test_while_a_replica_is_asked_to_lead_writes_are_refused(servers, program):
    primary = servers(program)
    mute = Mute(primary)
    try:
        online(primary)
        with redis.Redis(port=primary.port, socket_timeout=PATIENCE_S) as waiting:
            blocked = threading.Thread(target=lambda: answers.append(refusal(waiting, "BLPOP", "list", 0)))
            answers = []
            blocked.start()
            wait_until("it waits", lambda: primary.client.info("clients")["blocked_clients"] == 1)
            primary.call("FAILOVER")
            def asked():
                return primary.info()["master_failover_state"] == "failover-in-progress"

            wait_until("it is asked", asked)
            assert primary.info()["role"] == "slave" and asked()
            assert refusal(primary, "SET", "a", "1").startswith("You can't write against a read only replica")
            blocked.join(PATIENCE_S)
            assert [answer.split(" ", 1)[0] for answer in answers] == ["UNBLOCKED"]
            primary.call("FAILOVER", "ABORT")
            assert primary.info()["role"] == "master"
            primary.call("SET", "a", "1")
    finally:
        mute.end()


def refusal(who, *words):
    """What an error says."""
    with pytest.raises(redis.exceptions.ResponseError) as error:
        (who.execute_command if isinstance(who, redis.Redis) else who.call)(*words)
    return str(error.value)


class PipelinedWriters:
    """Clients that append numbers to lists of their own, many at a time, wherever there is a primary."""

    def __init__(self, nodes, count=4):
        self.ending = False
        self.acknowledged = [[] for _ in range(count)]
        self.executor = ThreadPoolExecutor(count)
        self.futures = [self.executor.submit(self.write, list(nodes), n) for n in range(count)]

    def write(self, nodes, worker):
        clients = [redis.Redis(port=node.port, socket_timeout=PATIENCE_S) for node in nodes]
        at, number = 0, 0
        while not self.ending:
            pipe = clients[at].pipeline(transaction=worker % 2 == 0)
            numbers = range(number, number + 40)
            for n in numbers:
                pipe.rpush(f"written:{worker}", n)
            number += len(numbers)
            try:
                answers = pipe.execute(raise_on_error=False)
            except REFUSED as error:
                answers = [error] * len(numbers)
            self.acknowledged[worker] += [n for n, a in zip(numbers, answers) if isinstance(a, int)]
            if not isinstance(answers[-1], int):
                at = (at + 1) % len(clients)

    def end(self):
        self.ending = True
        for future in self.futures:
            future.result(PATIENCE_S)
        self.executor.shutdown()


def test_hand_overs_beneath_pipelines(servers):
    """A write that was admitted before its node became a replica, and waited for its partition, must not be carried out:
    nobody else would ever have it."""
    pair = [servers(), servers()]
    pair[1].follow(pair[0].port)
    wait_until("the link is up", pair[1].is_up)
    online(pair[0])
    writers = PipelinedWriters(pair)
    for _ in range(10):
        primary, replica = pair
        primary.call("FAILOVER")
        wait_until("the roles are changed", lambda: primary.is_up() and replica.info()["role"] == "master")
        online(replica)
        pair.reverse()
    writers.end()
    primary, replica = pair
    settle(primary, replica)
    for worker, acknowledged in enumerate(writers.acknowledged):
        lists = [[int(n) for n in node.client.lrange(f"written:{worker}", 0, -1)] for node in pair]
        assert lists[0] == lists[1] == acknowledged
    assert sum(node.client.info("stats")["sync_full"] for node in pair) == 1


def test_expired_keys_wait_for_the_primary(servers):
    primary, replica = servers(), servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    primary.call("SET", "a", "1", "PX", "100")
    wait_until("it has come", lambda: replica.call("EXISTS", "a") == 1 or primary.call("EXISTS", "a") == 0)
    wait_until("it is gone", lambda: replica.call("GET", "a") is None)
    wait_until("the primary says so", lambda: replica.call("DBSIZE") == 0)
    assert replica.client.info("stats")["expired_keys"] == 0


@pytest.mark.parametrize("program", [LARDER, REDIS], ids=name)
def test_what_is_written_on_a_replica_dies_there(servers, program):
    debug = ["--enable-debug-command", "yes"]
    primary, replica = servers(program, *debug), servers(program, "--replica-read-only", "no", "--appendonly", "yes")
    replica.follow(primary.port)
    online(primary)
    settle(primary, replica)
    primary.client.set("theirs", 1, px=60)
    replica.client.set("a", 1, px=50)
    replica.client.set("b", 1)
    replica.client.pexpire("b", 50)
    replica.client.set("stays", 1, px=50)
    replica.client.persist("stays")
    replica.client.set("c", 1, px=3_600_000)
    replica.client.rename("c", "d")
    replica.client.pexpireat("d", 1 + int(time.time() * 1000))
    primary.client.set("later", 1, px=3_600_000)
    wait_until("its own keys are gone", lambda: replica.client.keys() and int(replica.stats()["slave_expires_tracked_keys"]) == 0)
    wait_until("the primary's are", lambda: sorted(replica.client.keys()) == [b"later", b"settled", b"stays"])
    wait_until("they are there no more", lambda: replica.client.dbsize() == 3)
    # Those of the primary are only hidden.
    primary.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    primary.client.set("theirs", 1, px=1)
    wait_until("it is hidden", lambda: replica.client.dbsize() == 4 and not replica.client.exists("theirs"))
    replica.client.set("e", 1, px=1)
    wait_until("its own is gone", lambda: replica.client.dbsize() == 4 and int(replica.stats()["slave_expires_tracked_keys"]) == 0)
    # The file of the replica says so, too.
    wait_until("the file is written anew", lambda: not loads(replica, "aof_rewrite_in_progress"))
    replica.kill()
    replica.restart()
    assert not replica.client.exists("a", "b", "d", "e") and replica.client.get("stays") == b"1"


def test_fields_die_when_the_primary_says_so(servers):
    primary, replica = servers(), servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    primary.call("HSET", "h", "a", "1", "b", "2")
    primary.call("HPEXPIRE", "h", "100", "FIELDS", "1", "a")
    wait_until("the primary removes it", lambda: primary.call("HLEN", "h") == 1)
    settle(primary, replica)
    assert replica.call("HGET", "h", "a") is None and replica.call("HLEN", "h") == 1
    assert replica.client.info("stats")["expired_keys"] == 0


def test_messages_reach_who_listens_to_a_replica(servers):
    primary, replica = servers(), servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    online(primary)
    listener = replica.client.pubsub()
    listener.subscribe("news")
    assert listener.get_message(timeout=PATIENCE_S)["type"] == "subscribe"
    primary.call("PUBLISH", "news", "hello")
    assert listener.get_message(timeout=PATIENCE_S)["data"] == b"hello"


def test_links_are_sessions_to_look_at_and_to_close(servers):
    primary, replica = servers(), servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    online(primary)
    [shown] = primary.client.client_list(_type="replica")
    assert "S" in shown["flags"]
    [shown] = replica.client.client_list(_type="master")
    assert "M" in shown["flags"] and shown["addr"] == f"127.0.0.1:{primary.port}"
    before = primary.client.info("stats")["sync_partial_ok"]
    assert primary.call("CLIENT", "KILL", "TYPE", "replica") == 1
    wait_until("it comes again", lambda: primary.client.info("stats")["sync_partial_ok"] == before + 1)
    assert replica.call("CLIENT", "KILL", "TYPE", "master") == 1
    wait_until("it comes again", lambda: primary.client.info("stats")["sync_partial_ok"] == before + 2)


def test_another_history_is_another_history(servers):
    primary = servers(LARDER, "--enable-debug-command", "yes")
    replica = servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    online(primary)
    before = primary.info()["master_replid"]
    primary.call("DEBUG", "CHANGE-REPL-ID")
    assert primary.info()["master_replid"] != before
    primary.call("CLIENT", "KILL", "TYPE", "replica")
    wait_until("everything came again", lambda: primary.client.info("stats")["sync_full"] == 2)
    settle(primary, replica)
    assert replica.info()["master_replid"] == primary.info()["master_replid"]


@pytest.mark.parametrize("programs", [(LARDER, LARDER), (REDIS, LARDER), (LARDER, REDIS)], ids=names)
def test_a_link_with_tls_and_a_password(servers, tmp_path, programs):
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.sign("node")
    tls = (
        "--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(authority.certificate),
        "--tls-replication", "yes",
    )
    port = free_port()
    primary = servers(programs[0], *tls, "--tls-port", str(port))
    primary.client.config_set("requirepass", "secret")
    primary.client = redis.Redis(port=primary.port, password="secret", socket_timeout=PATIENCE_S)
    primary.call("SET", "a", "1")
    replica = servers(programs[1], *tls, "--masterauth", "wrong")
    replica.follow(port)
    wait_until("it is refused", lambda: "Unable to AUTH to MASTER" in (replica.folder / "log").read_text())
    replica.client.config_set("masterauth", "secret")
    wait_until("the link is up", replica.is_up)
    wait_until("it has come", lambda: replica.call("GET", "a") == b"1")
    primary.call("SET", "b", "x" * 5_000_000)
    wait_until("it has come", lambda: replica.call("STRLEN", "b") == 5_000_000)
    assert primary.call("WAIT", "1", str(PATIENCE_S * 1000)) == 1
    if programs[1] == LARDER:
        replica.client.config_set("tls-replication", "no")
        wait_until("plain, it is not served there", lambda: not replica.is_up())
        replica.follow(primary.port)
        wait_until("the link is up", replica.is_up)


def test_the_memcached_door_of_a_replica(servers):
    port = free_port()
    primary, replica = servers(), servers(LARDER, "--memcached-port", str(port))
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    primary.call("SET", "a", "1")
    wait_until("it has come", lambda: replica.call("GET", "a") == b"1")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        file = client.makefile("rwb")
        file.write(b"set a 0 0 1\r\n2\r\nget a\r\n")
        file.flush()
        assert file.readline().startswith(b"SERVER_ERROR READONLY")
        assert [file.readline() for _ in range(3)] == [b"VALUE a 0 1\r\n", b"1\r\n", b"END\r\n"]


def test_a_delayed_flush_of_memcached_does_not_outlive_its_primary(servers):
    """Asked for while the node was a primary, due when it follows another: the keys are that one's."""
    port = free_port()
    former, primary = servers(LARDER, "--memcached-port", str(port)), servers()

    def ask(text):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
            client.sendall(text)
            return client.makefile("rb").readline()

    assert ask(b"flush_all 3\r\n") == b"OK\r\n"
    asked = time.time()
    primary.call("SET", "a", "1")
    former.follow(primary.port)
    wait_until("the key has come", lambda: former.is_up() and former.call("GET", "a") == b"1")
    wait_until("the flush would be due", lambda: time.time() > asked + 4)
    assert ask(b"get a\r\n") == b"VALUE a 0 1\r\n" and former.call("GET", "a") == b"1"
    assert primary.call("GET", "a") == b"1"
    # As a primary again it does what it is asked for.
    former.call("REPLICAOF", "NO", "ONE")
    assert ask(b"flush_all 1\r\n") == b"OK\r\n"
    wait_until("it is flushed", lambda: former.call("GET", "a") is None)


REFUSALS = [
    ("REPLICAOF", "127.0.0.1", "x"), ("REPLICAOF", "127.0.0.1", "70000"), ("REPLICAOF", "a"), ("WAIT", "x", "0"),
    ("WAIT", "0", "-1"), ("WAIT", "0", "x"), ("FAILOVER", "TO", "127.0.0.1"), ("FAILOVER",), ("FAILOVER", "ABORT"),
    ("FAILOVER", "TIMEOUT", "0"), ("FAILOVER", "TO", "127.0.0.1", "1", "FORCE"), ("REPLCONF", "x"), ("REPLCONF", "x", "y"),
    ("REPLCONF", "listening-port", "x"), ("PSYNC", "?", "x"), ("REPLICAOF", "no", "one"), ("ROLE",), ("WAIT", "0", "0"),
]


def test_what_is_refused_is_refused_as_in_redis(servers):
    def answer(server, words):
        try:
            return server.call(*words)
        except redis.exceptions.ResponseError as error:
            return str(error)

    real, own = servers(REDIS), servers()
    wrong = [(words, answer(own, words), answer(real, words)) for words in REFUSALS]
    assert not [one for one in wrong if one[1] != one[2]]


def diverged(server):
    return server.stats()["unexpected_error_replies"]


@pytest.mark.parametrize("words", [["LPUSH"], ["MULTI", "LPUSH", "EXEC"]], ids=["alone", "in a transaction"])
def test_a_command_of_the_primary_that_fails_is_counted_and_may_end_the_replica(servers, words):
    """The replica took a write of its own, which makes the primary's fail."""
    primary = servers()
    replicas = [servers(LARDER, "--replica-read-only", "no") for _ in range(2)]
    replicas[1].call("CONFIG", "SET", "propagation-error-behavior", "panic-on-replicas")
    for replica in replicas:
        replica.follow(primary.port)
        wait_until("the link is up", replica.is_up)
        replica.call("SET", "list", "no list")
        assert diverged(replica) == 0
    online(primary, 2)
    pipe = primary.client.pipeline(transaction=words[0] == "MULTI")
    pipe.lpush("list", "x").set("behind", "1")
    pipe.execute()
    wait_until("the first one goes on", lambda: replicas[0].call("GET", "behind") == b"1")
    assert diverged(replicas[0]) == 1 and replicas[0].call("GET", "list") == b"no list"
    assert replicas[1].process.wait(timeout=PATIENCE_S) == 1
    assert f"The command '{words[-1]}' of the primary failed" in (replicas[1].folder / "log").read_text()


def test_a_command_of_the_file_that_fails_is_counted_and_may_end_the_start(servers):
    node = servers(LARDER, "--appendonly", "yes")
    node.call("SET", "list", "no list")
    assert node.call("WAITAOF", "1", "0", "0") == [1, 0]
    node.kill()
    (file,) = node.folder.glob("appendonlydir/*.incr.aof")
    with open(file, "ab") as log:
        log.write(b"*3\r\n$5\r\nLPUSH\r\n$4\r\nlist\r\n$1\r\nx\r\n*3\r\n$3\r\nSET\r\n$6\r\nbehind\r\n$1\r\n1\r\n")
    for behavior in ("ignore", "panic-on-replicas"):
        node.restart("--propagation-error-behavior", behavior)
        assert diverged(node) == 1 and node.call("GET", "behind") == b"1"
        node.kill()
    with pytest.raises(AssertionError, match="of the append-only file failed"):
        node.restart("--propagation-error-behavior", "panic")
    assert node.process.wait() == 1


def test_a_replica_shows_no_field_whose_time_is_over(servers):
    """Its primary, which would remove them, is stopped."""
    primary, replica = servers(), servers()
    replica.follow(primary.port)
    wait_until("the link is up", replica.is_up)
    long = {f"f{n}": n for n in range(1000)}  # no small hash any more
    primary.client.hset("small", mapping={"stays": 1, "dies": 2, "dies too": 3})
    primary.client.hset("grown", mapping=long)
    # Each of them outlives the way to the replica, also where that takes long, and dies while the primary stands still.
    at = int(time.time() * 1000) + 8000
    primary.call("HPEXPIREAT", "small", at, "FIELDS", "2", "dies", "dies too")
    primary.call("HPEXPIREAT", "grown", at, "FIELDS", "500", *(f"f{n}" for n in range(500)))
    primary.call("RPUSH", "list", "small")
    wait_until("the replica has them", lambda: replica.call("EXISTS", "list"))
    primary.rest()
    wait_until("they die", lambda: replica.call("HGET", "small", "dies") is None)
    assert replica.call("HGET", "small", "dies too") is None
    assert replica.client.hgetall("small") == {b"stays": b"1"} and replica.client.hlen("small") == 1
    assert replica.call("HMGET", "small", "dies", "stays") == [None, b"1"]
    assert replica.call("HEXISTS", "small", "dies") == 0 and replica.call("HSTRLEN", "small", "dies") == 0
    assert replica.call("HPTTL", "small", "FIELDS", "2", "dies", "stays") == [-2, -1]
    assert {replica.call("HRANDFIELD", "small") for _ in range(20)} == {b"stays"}
    assert replica.client.hlen("grown") == 500 and len(replica.client.hkeys("grown")) == 500
    seen = {field for field, _ in replica.client.hscan_iter("grown", count=7)}
    assert seen == {b"f%d" % n for n in range(500, 1000)}
    assert replica.call("SORT_RO", "list", "BY", "nosort", "GET", "*->dies", "GET", "*->stays") == [None, b"1"]
    pipe = replica.client.pipeline(transaction=True)
    assert pipe.hget("small", "dies").hget("grown", "f1").hget("grown", "f700").execute() == [None, None, b"700"]
    primary.go_on()
    wait_until("the primary removes them", lambda: primary.stats()["expired_fields"] == 502)
    settle(primary, replica)
