"""Users and their permissions: categories as those of redis-server, rules, checks, and what redis-py makes of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from differential import Client, Server
from differential_acl import CHANGED, TEMPLATES, commands, plain
from ports import free_port
from redis.backoff import NoBackoff
from redis.retry import Retry
from service import BINARY, Node, wait_until

SCRIPT = Path(__file__).with_name("differential_acl.py")

needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server to compare with")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = Server(["redis-server", "--save", ""], tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_node():
    """A node of this test's own, whose users it may change."""
    node = Node()
    yield node
    node.stop()


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def admin(request, own_node):
    client = redis.Redis(port=own_node.port, protocol=request.param, decode_responses=True)
    yield client
    client.close()


def as_user(admin, name, password="p"):
    port = admin.connection_pool.connection_kwargs["port"]
    return redis.Redis(port=port, username=name, password=password, decode_responses=True, retry=Retry(NoBackoff(), 0))


# -- compared with redis-server -------------------------------------------------------------------------------------


@needs_redis
def test_categories_of_all_commands_are_those_of_redis(redis_server, node):
    theirs, ours = (commands(Client(port, 2)) for port in (redis_server.port, node.port))
    different = {
        name: (sorted(row[6]), sorted(theirs[name][6]))
        for name, row in ours.items()
        if name in theirs and name not in CHANGED and set(row[6]) != set(theirs[name][6])
    }
    assert different == {}


@needs_redis
def test_acl_cat_lists_what_redis_lists(redis_server, node):
    theirs, ours = Client(redis_server.port, 2), Client(node.port, 2)
    categories = plain(ours.call("ACL", "CAT"))
    assert categories == plain(theirs.call("ACL", "CAT"))
    both = set(commands(ours)) & set(commands(theirs)) - CHANGED
    for category in categories:
        here, there = (set(plain(client.call("ACL", "CAT", category))) & both for client in (ours, theirs))
        assert here == there, category


@needs_redis
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rules_and_decisions_are_those_of_redis(seed):
    environment = {**os.environ, "LARDER_BIN": str(BINARY)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--seed", str(seed)], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"


@needs_redis
def test_each_command_reads_and_writes_its_keys_as_in_redis(redis_server, node):
    """With a key that may only be read, only be written, or only lie there, all commands are decided alike."""
    theirs, ours = Client(redis_server.port, 2), Client(node.port, 2)
    here, there = commands(ours), commands(theirs)
    lines = [template.split() for templates in TEMPLATES.values() for template in templates]
    for name in here:
        if name in there and here[name][1] == there[name][1] and name not in TEMPLATES and not here[name][9]:
            words = name.split("|")
            lines.append(words + ["{}"] * (abs(int(here[name][1])) - len(words)))
    try:
        for client in (theirs, ours):
            client.call("ACL", "SETUSER", "keys", "reset", "+@all", "%R~r", "%W~w", "%R~n1", "%W~n2")
        for line in lines:
            if line[0] not in here:
                continue
            for first, rest in [("r", "r"), ("w", "w"), ("r", "w"), ("w", "r"), ("n", "n")]:
                count = iter([first])
                words = [next(count, rest) if word == "{}" else word for word in line]
                answers = [
                    plain(client.call("ACL", "DRYRUN", "keys", *words)).replace("User keys has", "This user has")
                    for client in (theirs, ours)
                ]
                assert answers[0] == answers[1], words
    finally:
        ours.call("ACL", "DELUSER", "keys")


# -- users ----------------------------------------------------------------------------------------------------------


def test_a_user_is_made_shown_and_deleted(admin):
    assert admin.acl_users() == ["default"] and admin.acl_whoami() == "default"
    assert admin.acl_list() == ["user default on nopass ~* &* +@all"]
    assert admin.acl_setuser(
        "alice", enabled=True, passwords=["+p", "+q"], commands=["+get", "+set", "+config|get"], keys=["a:*"],
        channels=["news"], categories=["+@hash"], selectors=[("+mget", "%R~b:*")],
    )
    user = admin.acl_getuser("alice")
    assert "on" in user["flags"] and len(user["passwords"]) == 2
    assert user["commands"] == ["+get", "+set", "+config|get"]
    assert user["categories"] == ["-@all", "+@hash"]
    assert user["keys"] == ["~a:*"] and user["channels"] == ["&news"]
    assert admin.acl_getuser("nobody") is None
    assert admin.acl_users() == ["alice", "default"]
    assert admin.acl_deluser("alice", "nobody") == 1
    assert admin.acl_users() == ["default"]
    with pytest.raises(redis.ResponseError, match="The 'default' user cannot be removed"):
        admin.acl_deluser("default")


WRONGPASS = (b"-", b"WRONGPASS invalid username-password pair or user is disabled.")


def test_passwords(admin):
    admin.execute_command("ACL SETUSER", "u", "on", ">p", ">q", "+acl|whoami")
    assert as_user(admin, "u", "p").acl_whoami() == as_user(admin, "u", "q").acl_whoami() == "u"
    with pytest.raises(redis.AuthenticationError, match="invalid username-password pair or user is disabled"):
        as_user(admin, "u", "x").acl_whoami()
    client = Client(admin.connection_pool.connection_kwargs["port"], 2)
    for name, password in [("u", "x"), ("nobody", "p"), ("u", "")]:
        assert client.call("AUTH", name, password) == WRONGPASS
    admin.execute_command("ACL SETUSER", "u", "<p")
    assert client.call("AUTH", "u", "p") == WRONGPASS and client.call("AUTH", "u", "q")[1] == b"OK"
    admin.execute_command("ACL SETUSER", "u", "off")
    # Who is in stays in; nobody else comes.
    assert client.call("ACL", "WHOAMI")[1] == b"u" and client.call("AUTH", "u", "q") == WRONGPASS
    assert len(admin.acl_genpass()) == 64 and len(admin.acl_genpass(5)) == 2
    for bits in (0, 4097):
        with pytest.raises(redis.ResponseError, match="a positive number up to 4096"):
            admin.execute_command("ACL GENPASS", bits)


def test_hello_authenticates(own_node):
    Client(own_node.port, 2).call("ACL", "SETUSER", "u", "on", ">p", "+ping")
    client = Client(own_node.port, 2)
    assert client.call("HELLO", "3", "AUTH", "u", "x") == WRONGPASS
    assert client.call("HELLO", "3", "AUTH", "u", "p")[0] == b"%"
    assert client.call("ACL", "WHOAMI") == (b"-", b"NOPERM User u has no permissions to run the 'acl|whoami' command")


def test_the_default_user_can_be_shut_out(own_node):
    admin = Client(own_node.port, 2)
    admin.call("ACL", "SETUSER", "root", "on", ">p", "allkeys", "allcommands", "allchannels")
    admin.call("AUTH", "root", "p")
    assert admin.call("ACL", "SETUSER", "default", "off")[1] == b"OK"
    assert Client(own_node.port, 2).call("PING") == (b"-", b"NOAUTH Authentication required.")
    assert admin.call("ACL", "SETUSER", "default", "on", "resetpass", ">d")[1] == b"OK"
    client = Client(own_node.port, 2)
    assert client.call("PING") == (b"-", b"NOAUTH Authentication required.")
    assert client.call("AUTH", "d")[1] == b"OK" and client.call("PING")[1] == b"PONG"
    # CONFIG SET requirepass is a password of the default user, and its only one.
    assert admin.call("CONFIG", "SET", "requirepass", "e")[1] == b"OK"
    assert client.call("AUTH", "d")[1].startswith(b"WRONGPASS") and client.call("AUTH", "e")[1] == b"OK"


# -- permissions ----------------------------------------------------------------------------------------------------


def test_commands_keys_and_their_errors(admin):
    admin.set("a", "1")
    admin.execute_command("ACL SETUSER", "u", "on", ">p", "+get", "+mget", "+@connection", "+config|get", "~a*", "+incr", "%R~r*")
    with as_user(admin, "u") as user:
        assert user.get("a") == "1" and user.ping()
        assert user.config_get("maxclients")
        for command, text in [
            (["SET", "a", "1"], "User u has no permissions to run the 'set' command"),
            (["CONFIG", "SET", "maxclients", "1"], "User u has no permissions to run the 'config|set' command"),
            (["ACL", "WHOAMI"], "User u has no permissions to run the 'acl|whoami' command"),
            (["GET", "b"], "No permissions to access a key"),
            (["MGET", "a", "b"], "No permissions to access a key"),
            (["INCR", "r"], "No permissions to access a key"),
        ]:
            with pytest.raises(redis.exceptions.NoPermissionError) as failure:
                user.execute_command(*command)
            assert str(failure.value) == text
        assert user.get("r") is None
        with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
            user.execute_command("SET", "a")
        with pytest.raises(redis.ResponseError, match="unknown command"):
            user.execute_command("NOPE")
    assert admin.execute_command("ACL DRYRUN", "u", "GET", "a") in ("OK", True)
    assert admin.execute_command("ACL DRYRUN", "u", "GET", "b") == "User u has no permissions to access the 'b' key"
    assert admin.execute_command("ACL DRYRUN", "u", "DEL", "b") == "User u has no permissions to run the 'del' command"


def test_a_change_holds_for_open_sessions_at_once(own_node):
    admin, user = Client(own_node.port, 2), Client(own_node.port, 2)
    admin.call("ACL", "SETUSER", "u", "on", "nopass", "~*", "+@all")
    user.call("AUTH", "u", "")
    for _ in range(20):
        assert user.call("GET", "k")[0] == b"$"
        admin.call("ACL", "SETUSER", "u", "-get")
        assert user.call("GET", "k")[1].startswith(b"NOPERM")
        admin.call("ACL", "SETUSER", "u", "+get")
    # Within one pipeline too.
    user.socket.sendall(b"ACL SETUSER u -get\r\nGET k\r\nACL SETUSER u +get\r\nGET k\r\n")
    assert [user.read()[0] for _ in range(4)] == [b"+", b"-", b"+", b"$"]


def test_transactions(own_node):
    admin, user = Client(own_node.port, 2), Client(own_node.port, 2)
    admin.call("ACL", "SETUSER", "u", "on", "nopass", "~*", "+@all", "-set")
    user.call("AUTH", "u", "")
    assert user.call("MULTI")[1] == b"OK"
    assert user.call("SET", "k", "v")[1] == b"NOPERM User u has no permissions to run the 'set' command"
    assert user.call("EXEC")[1] == b"EXECABORT Transaction discarded because of previous errors."
    changed = b"NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: "
    for rule, back, reason in [
        ("-get", "+get", b"no permission to execute the command or subcommand"),
        ("resetkeys", "allkeys", b"no permission to touch the specified keys"),
    ]:
        user.call("MULTI")
        assert user.call("GET", "k")[1] == b"QUEUED"
        admin.call("ACL", "SETUSER", "u", rule)
        assert user.call("EXEC") == (b"*", ((b"-", changed + reason),))
        admin.call("ACL", "SETUSER", "u", back)
    user.call("MULTI")
    user.call("GET", "k")
    admin.call("ACL", "SETUSER", "u", "-exec")
    assert user.call("EXEC")[1] == b"EXECABORT Transaction discarded because of: NOPERM User u has no permissions to run the 'exec' command"
    assert user.call("DISCARD")[1] == b"ERR DISCARD without MULTI"


def test_sessions_of_a_deleted_user_end(own_node):
    admin, user, other = (Client(own_node.port, 2) for _ in range(3))
    admin.call("ACL", "SETUSER", "u", "on", "nopass", "~*", "+@all")
    admin.call("ACL", "SETUSER", "other", "on", "nopass", "~*", "+@all")
    user.call("AUTH", "u", "")
    other.call("AUTH", "other", "")
    assert b"user=u " in user.call("CLIENT", "INFO")[1]
    assert sum(b"user=u " in line for line in admin.call("CLIENT", "LIST")[1].splitlines()) == 1
    # Made again at once, it is another user.
    admin.socket.sendall(b"ACL DELUSER u\r\nACL SETUSER u on nopass ~* +@all\r\n")
    assert [admin.read()[1], admin.read()[1]] == [b"1", b"OK"]
    with pytest.raises(ConnectionError):
        user.call("PING")
    assert other.call("PING")[1] == b"PONG"
    # Who deletes itself gets its answer first.
    assert other.call("ACL", "DELUSER", "other") == (b":", b"1")
    with pytest.raises(ConnectionError):
        other.call("PING")


def test_client_kill_by_user(own_node):
    admin, user = Client(own_node.port, 2), Client(own_node.port, 2)
    admin.call("ACL", "SETUSER", "u", "on", "nopass", "+@all")
    user.call("AUTH", "u", "")
    assert admin.call("CLIENT", "KILL", "USER", "nobody")[1] == b"ERR No such user 'nobody'"
    assert admin.call("CLIENT", "KILL", "USER", "u") == (b":", b"1")
    wait_until("its session is gone", lambda: b"user=u " not in admin.call("CLIENT", "LIST")[1])


def test_reset_makes_a_session_the_default_user_again(own_node):
    client = Client(own_node.port, 2)
    client.call("ACL", "SETUSER", "u", "on", "nopass", "-@all")
    client.call("AUTH", "u", "")
    assert client.call("PING")[1].startswith(b"NOPERM")
    assert client.call("RESET")[1] == b"RESET"
    assert client.call("ACL", "WHOAMI")[1] == b"default"


# -- log ------------------------------------------------------------------------------------------------------------


def test_the_log_of_refusals(admin):
    admin.execute_command("ACL SETUSER", "u", "on", ">p", "~a", "+get", "+multi")
    client = Client(admin.connection_pool.connection_kwargs["port"], 2)
    client.call("AUTH", "u", "wrong")
    client.call("AUTH", "u", "p")
    for command in (["SET", "a", "1"], ["SET", "b", "1"], ["GET", "b"], ["MULTI"], ["GET", "b"]):
        client.call(*command)
    log = admin.acl_log()
    seen = [(entry["reason"], entry["context"], entry["object"], entry["username"], entry["count"]) for entry in log]
    assert seen == [
        ("key", "multi", "b", "u", 1),
        ("key", "toplevel", "b", "u", 1),
        ("command", "toplevel", "set", "u", 2),
        ("auth", "toplevel", "AUTH", "u", 1),
    ]
    assert [entry["entry-id"] for entry in log] == [3, 2, 1, 0]
    for entry in log:
        assert 0 <= float(entry["age-seconds"]) < 60
        assert entry["timestamp-created"] <= entry["timestamp-last-updated"]
        assert "client-info" in entry
    caller = log[0]["client-info"]  # redis-py takes it apart in RESP2 only
    assert (caller["cmd"], caller["user"]) == ("get", "u") if isinstance(caller, dict) else " cmd=get user=u " in caller
    assert len(admin.acl_log(2)) == 2
    info = admin.info("stats")
    assert (info["acl_access_denied_cmd"], info["acl_access_denied_key"], info["acl_access_denied_auth"]) == (2, 2, 1)
    admin.config_set("acllog-max-len", 1)
    assert len(admin.acl_log()) == 1
    assert admin.acl_log_reset() and admin.acl_log() == []


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_file_of_users(tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("user alice on nopass +@all ~*\nuser default on nopass ~* &* +@all\n")
    node = Node("--aclfile", str(path))
    try:
        admin, alice = Client(node.port, 2), Client(node.port, 2)
        assert plain(admin.call("ACL", "USERS")) == ["alice", "default"]
        alice.call("AUTH", "alice", "")
        admin.call("ACL", "SETUSER", "bob", "on", ">p", "~b*", "(+get ~c)")
        assert admin.call("ACL", "SAVE")[1] == b"OK"
        assert path.read_text().splitlines() == plain(admin.call("ACL", "LIST"))
        # Unchanged users keep their sessions.
        assert admin.call("ACL", "LOAD")[1] == b"OK" and alice.call("ACL", "WHOAMI")[1] == b"alice"
        path.write_text("user alice on +nope\nrubbish\n")
        assert admin.call("ACL", "LOAD")[1].decode() == (
            f"ERR {path}:1: Error in applying operation '+nope': Unknown command or category name in ACL. "
            f"{path}:2 should start with user keyword followed by the username. "
            "WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
        )
        assert alice.call("ACL", "WHOAMI")[1] == b"alice"
        path.write_text("user carol on\n")
        assert admin.call("ACL", "LOAD")[1] == b"OK"
        assert plain(admin.call("ACL", "USERS")) == ["carol", "default"]
        with pytest.raises(ConnectionError):
            alice.call("PING")
    finally:
        node.stop()


def when_it_listens(port):
    def connected():
        try:
            return Client(port, 2)
        except OSError:
            return None

    return wait_until("the node listens", connected)


def test_debug_takes_any_word_for_a_first_argument(admin):
    admin.execute_command("ACL SETUSER", "u", "reset", "+debug|segfault", "+debug|sleep")
    assert "+debug|segfault +debug|sleep" in next(line for line in admin.acl_list() if line.startswith("user u "))
    answer = admin.execute_command("ACL DRYRUN", "u", "DEBUG", "other")
    assert answer == "User u has no permissions to run the 'debug' command"


def test_a_file_is_found_again_after_it_named_another_folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "node.conf").write_text("dir data\n")
    port = free_port()
    process = subprocess.Popen(
        [str(BINARY), "node", "node.conf", "--port", str(port)], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        admin = when_it_listens(port)
        assert admin.call("CONFIG", "REWRITE")[1] == b"OK"
        assert f"port {port}" in (tmp_path / "node.conf").read_text().splitlines()
    finally:
        process.terminate()
        process.wait()


def test_users_in_the_configuration(tmp_path):
    path = tmp_path / "node.conf"
    path.write_text("# my node\nuser alice on >p ~a:* +get (+set ~b)\nacl-pubsub-default allchannels\n")
    port = free_port()
    process = subprocess.Popen([str(BINARY), "node", str(path), "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        admin = when_it_listens(port)
        expected = "user alice on #148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940 ~a:* &* -@all +get (~b &* -@all +set)"
        assert plain(admin.call("ACL", "LIST")) == [expected, "user default on nopass ~* &* +@all"]
        assert admin.call("ACL", "SAVE")[1].startswith(b"ERR This Redis instance is not configured to use an ACL file.")
        admin.call("ACL", "SETUSER", "alice", "-get")
        admin.call("ACL", "SETUSER", "new", "on")
        assert admin.call("CONFIG", "REWRITE")[1] == b"OK"
        lines = path.read_text().splitlines()
        assert lines[0] == "# my node"
        assert [line for line in lines if line.startswith("user ")] == plain(admin.call("ACL", "LIST"))
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(
    "line, error",
    [
        ("user a on +nope", "Error in user declaration '+nope': Unknown command or category name in ACL"),
        ("user a on\nuser a off", "Duplicate user found"),
        ("user a on\naclfile users.acl", "define them in one of the two"),
        ("aclfile missing.acl", "Error loading ACLs, opening file 'missing.acl'"),
    ],
)
def test_wrong_users_keep_a_node_from_starting(tmp_path, line, error):
    path = tmp_path / "node.conf"
    path.write_text(f"port 0\nunixsocket {tmp_path}/s\n{line}\n")
    done = subprocess.run([str(BINARY), "node", str(path)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode != 0 and error in done.stdout + done.stderr
