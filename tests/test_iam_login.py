"""Logging in to a node with tokens of IAM, as ElastiCache's own examples make them: a presigned URL without its scheme."""

import json
import socket
import ssl
import threading
import time
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import redis

from certificates import Authority
from service import REGION, wait_until
from test_tls import TlsNode

DEADLINE = 60
# How long a session may last without a new token.
SESSION_S = 3


def token(cache, user, key, secret, session=None, region=REGION, expires=900, action="connect", service="elasticache"):
    credentials = botocore.credentials.Credentials(key, secret, session)
    query = urllib.parse.urlencode({"Action": action, "User": user})
    request = botocore.awsrequest.AWSRequest("GET", f"http://{cache}/?{query}")
    botocore.auth.SigV4QueryAuth(credentials, service, region, expires=expires).add_auth(request)
    return request.url.removeprefix("http://")


def connect(where, **options):
    return redis.Redis(where["Address"], where["Port"], socket_timeout=DEADLINE, decode_responses=True, ssl=True,
                       ssl_cert_reqs="none", **options)


def refused(where, name, password):
    with pytest.raises(redis.AuthenticationError):
        connect(where, username=name, password=password).ping()


def test_tokens_let_in_whom_policies_let_in(service):
    api, iam, sts = service.client(), service.api("iam"), service.api("sts")
    info = service.info
    root = info["access_key_id"], info["secret_access_key"]
    api.create_user(
        UserId="ann", UserName="ann", Engine="redis", AccessString="on ~* +@all", AuthenticationMode={"Type": "iam"}
    )
    api.create_user(
        UserId="bob", UserName="bob", Engine="redis", AccessString="on ~* +@all",
        AuthenticationMode={"Type": "password", "Passwords": ["bob-has-a-password"]},
    )
    with pytest.raises(Exception, match="must be the same"):
        api.create_user(
            UserId="eve", UserName="adam", Engine="redis", AccessString="on ~* +@all",
            AuthenticationMode={"Type": "iam"},
        )
    api.create_user_group(UserGroupId="people", Engine="redis", UserIds=["default", "ann", "bob"])
    api.create_replication_group(
        ReplicationGroupId="vault", ReplicationGroupDescription="x", NumCacheClusters=1, Engine="redis",
        EngineVersion="7.1", CacheNodeType="cache.t3.micro", UserGroupIds=["people"],
        TransitEncryptionEnabled=True,
    )

    def group():
        [found] = api.describe_replication_groups(ReplicationGroupId="vault")["ReplicationGroups"]
        return found["Status"] == "available" and found

    where = wait_until("the group is available", group)["NodeGroups"][0]["PrimaryEndpoint"]
    assert api.describe_users(UserId="ann")["Users"][0]["Authentication"] == {"Type": "iam"}

    good = token("vault", "ann", *root)
    wait_until("the users are there", lambda: not_refused(where, "ann", good))
    for protocol in (2, 3):
        client = connect(where, username="ann", password=good, protocol=protocol)
        assert client.execute_command("ACL", "WHOAMI") == "ann"
        assert client.set("a", "1") and client.get("a") == "1"
    # Requests behind AUTH wait for the verdict, in their order.
    trust = ssl.create_default_context(cafile=info["authority"])
    with trust.wrap_socket(socket.create_connection((where["Address"], where["Port"]), timeout=DEADLINE),
                           server_hostname=where["Address"]) as plain:
        plain.sendall(f"AUTH ann {good}\r\nSET b 2\r\nGET b\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 4:
            answer += plain.recv(100)
        assert answer == b"+OK\r\n+OK\r\n$1\r\n2\r\n"
    assert connect(where, username="bob", password="bob-has-a-password").ping()

    for bad in (
        "nonsense", "vault/?Action=connect", good[:-1], good + "0", token("other", "ann", *root),
        token("vault", "bob", *root), token("vault", "ann", root[0], "x" * 40), token("vault", "ann", "AKIAX" * 4, root[1]),
        token("vault", "ann", *root, expires=3600), token("vault", "ann", *root, region="eu-west-1"),
        token("vault", "ann", *root, action="disconnect"), token("vault", "ann", *root, service="s3"), "x" * 9000,
    ):
        refused(where, "ann", bad)
    refused(where, "bob", token("vault", "bob", *root))

    # A user of IAM, who may only with a policy, and a role.
    iam.create_user(UserName="token-worker")
    key = iam.create_access_key(UserName="token-worker")["AccessKey"]
    mine = token("vault", "ann", key["AccessKeyId"], key["SecretAccessKey"])
    refused(where, "ann", mine)
    account = info["account"]
    statement = {
        "Effect": "Allow", "Action": "elasticache:Connect",
        "Resource": [
            f"arn:aws:elasticache:{REGION}:{account}:replicationgroup:vault",
            f"arn:aws:elasticache:{REGION}:{account}:user:ann",
        ],
    }
    put = lambda **changes: iam.put_user_policy(
        UserName="token-worker", PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement | changes]}),
    )
    put()
    assert connect(where, username="ann", password=mine).ping()
    put(Resource=statement["Resource"][:1])
    refused(where, "ann", mine)

    # Where TLS is only preferred, a token in the clear is refused; a password is not.
    api.modify_replication_group(ReplicationGroupId="vault", TransitEncryptionMode="preferred", ApplyImmediately=True)
    wait_until("the mode is there", group)
    fresh = token("vault", "ann", *root)
    assert connect(where, username="ann", password=fresh).ping()
    plain = dict(socket_timeout=DEADLINE, decode_responses=True)
    assert redis.Redis(where["Address"], where["Port"], username="bob", password="bob-has-a-password", **plain).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(where["Address"], where["Port"], username="ann", password=fresh, **plain).ping()

    # Without the service nobody new gets in, and who is in stays.
    client = connect(where, username="ann", password=token("vault", "ann", *root))
    assert client.ping()
    service.process.send_signal(19)  # SIGSTOP: it hangs
    try:
        began = time.monotonic()
        refused(where, "ann", token("vault", "ann", *root))
        assert client.ping() and time.monotonic() - began < DEADLINE
        assert connect(where, username="bob", password="bob-has-a-password").ping()
    finally:
        service.process.send_signal(18)


def not_refused(where, name, password):
    try:
        return connect(where, username=name, password=password).ping()
    except redis.AuthenticationError:
        return False


def is_kept(node):
    """Shows new tokens for longer than a session lasts; whether none of them came too late. Then the session ends."""
    with node.connect() as session:
        stream, began, turn = session.makefile("rb"), time.monotonic(), 0
        shown = began
        while shown < began + 2 * SESSION_S:
            now = time.monotonic()
            try:
                session.sendall(b"AUTH ann good%d\r\nPING\r\n" % turn)
                goes_on = stream.readline() == b"+OK\r\n" and stream.readline() == b"+PONG\r\n"
            except OSError:
                goes_on = False
            if not goes_on:
                assert time.monotonic() - shown >= SESSION_S, "it ended too early"
                return False
            shown, turn = now, turn + 1
            time.sleep(SESSION_S / 10)
        assert stream.readline() == b"", "it ends"
        return True


def test_a_session_ends_unless_it_shows_a_new_token(tmp_path):
    """A node with an authenticator of this test."""

    path = tmp_path / "iam.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    asked = []

    def answer():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                asked.append(peer.makefile().readline())
                peer.sendall(b"OK\n" if " good" in asked[-1] else b"NO bad\n")

    threading.Thread(target=answer, daemon=True).start()
    directives = {"port": "free", "tls-mode": "preferred", "iam-authenticator": path, "iam-cache": "shop",
                  "iam-session-seconds": SESSION_S}
    try:
        with TlsNode(tmp_path, Authority(tmp_path / "authority"), **directives) as node:
            node.admin.execute_command("ACL", "SETUSER", "ann", "on", "iam", "~*", "+@all")
            assert "user ann on iam" in "\n".join(node.admin.execute_command("ACL", "LIST"))
            with node.connect() as session:
                stream = session.makefile("rb")
                session.sendall(b"AUTH ann bad\r\n")
                assert stream.readline().startswith(b"-WRONGPASS")
                session.sendall(b"AUTH ann good\r\n")
                assert stream.readline() == b"+OK\r\n"
                assert asked == ["connect shop ann bad\n", "connect shop ann good\n"]
            # A token in the clear is not even asked about: neither where TLS is offered, nor where there is none.
            with socket.create_connection(("127.0.0.1", node.ports["port"]), timeout=DEADLINE) as plain:
                stream = plain.makefile("rb")
                plain.sendall(b"AUTH ann good\r\nHELLO 3 AUTH ann good\r\n")
                assert stream.readline().startswith(b"-WRONGPASS") and stream.readline().startswith(b"-WRONGPASS")
                assert len(asked) == 2
            # A machine that lets this test wait for as long as a session lasts ends it rightly; then it is tried again.
            wait_until("new tokens keep a session", lambda: is_kept(node), 20 * SESSION_S)
    finally:
        listener.close()
