"""The command line: tables for people, JSON for programs, a prompt, and errors that say what to do next."""

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import botocore.exceptions
import pytest
import redis

from service import BINARY, PATIENCE_S, clean_environment, endpoint_of, run, wait_until

ESCAPE = "\x1b"


def larder(*arguments, check=True, **environment):
    return run([str(BINARY), *arguments], check=check, env=clean_environment(environment))


# -- help and errors --------------------------------------------------------------------------------------------


def test_every_command_has_help_with_examples():
    top = larder("--help").stdout
    for command in re.findall(r"^  ([a-z]+) +[A-Z]", top.split("Commands:")[1].split("Options:")[0], re.MULTILINE):
        text = larder(command, "--help").stdout
        assert "Examples:" in text and f"larder {command}" in text, command
        assert max(map(len, text.splitlines())) <= 110, command


def test_wrong_use_is_exit_code_2():
    assert larder("nonsense", check=False).returncode == 2
    assert larder("create", check=False).returncode == 2
    assert larder("up", "--listen", "nowhere", check=False).returncode == 2


def test_no_service_is_exit_code_3_and_says_what_to_do(tmp_path):
    said = larder("caches", check=False, LARDER_DATA=str(tmp_path))
    assert said.returncode == 3 and "larder up" in said.stderr and said.stdout == ""


def test_a_stopped_service_says_so(own_service):
    own_service.stop()
    said = own_service.larder("caches", check=False)
    assert said.returncode == 3
    assert own_service.endpoint in said.stderr and "Is it running?" in said.stderr


def test_a_wrong_key_says_so(service):
    said = larder("caches", check=False, AWS_ENDPOINT_URL_ELASTICACHE=service.endpoint,
                  AWS_ACCESS_KEY_ID=service.info["access_key_id"], AWS_SECRET_ACCESS_KEY="wrong")
    assert said.returncode == 5 and "SignatureDoesNotMatch" in said.stderr and "larder env" in said.stderr


def test_keys_of_another_account_in_the_shell_do_not_disturb(service):
    said = larder("caches", LARDER_DATA=str(service.folder), AWS_ACCESS_KEY_ID="AKIAREAL", AWS_SECRET_ACCESS_KEY="real")
    assert said.returncode == 0


def test_a_cache_that_is_not_there_is_exit_code_4(service):
    for command in (["show", "nobody"], ["delete", "nobody", "--yes"], ["connect", "nobody", "ping"]):
        said = service.larder(*command, check=False)
        assert said.returncode == 4 and "CacheClusterNotFound" in said.stderr, command


def test_errors_of_the_api_are_shown(service):
    said = service.larder("create", "bad--name", check=False)
    assert said.returncode == 1 and "InvalidParameterValue" in said.stderr


# -- caches -----------------------------------------------------------------------------------------------------


def test_create_show_list_delete(service):
    made = json.loads(service.larder("create", "cli-one", "--wait", "--tag", "team=search", "--output", "json").stdout)
    assert made["name"] == "cli-one" and made["status"] == "available" and made["nodes"][0]["port"] == 6379
    shown = json.loads(service.larder("show", "cli-one", "-o", "json").stdout)
    assert shown == made
    page = service.larder("show", "cli-one").stdout
    assert "cli-one" in page and made["nodes"][0]["address"] in page and ESCAPE not in page
    listed = json.loads(service.larder("caches", "--output", "json").stdout)
    assert made in listed
    table = service.larder("caches").stdout.splitlines()
    assert table[0].split()[:3] == ["NAME", "ENGINE", "STATUS"]
    assert any(line.startswith("cli-one ") and " available " in line for line in table)
    asked = service.larder("delete", "cli-one", check=False)
    assert asked.returncode == 2 and "--yes" in asked.stderr
    assert service.larder("delete", "cli-one", "--yes", "--wait").stdout == "cli-one is deleted\n"
    assert service.larder("show", "cli-one", check=False).returncode == 4


def test_events(service):
    service.larder("create", "cli-events", "--engine", "memcached", "--nodes", "2", "--wait")
    events = json.loads(service.larder("events", "cli-events", "--output", "json").stdout)
    assert events and {event["source"] for event in events} == {"cli-events"}
    assert [event["date"] for event in events] == sorted(event["date"] for event in events)
    assert events[0]["message"] in service.larder("events", "--minutes", "10").stdout


def test_env_for_each_shell(service):
    variables = json.loads(service.larder("env", "--output", "json").stdout)
    assert variables["AWS_ENDPOINT_URL_ELASTICACHE"] == service.endpoint
    assert service.environment() | variables == service.environment()
    assert "set -gx AWS_REGION 'us-east-1';" in service.larder("env", "--shell", "fish").stdout
    assert "$Env:AWS_REGION = 'us-east-1'" in service.larder("env", "--shell", "powershell").stdout


def test_dns_tells_what_is(service):
    said = json.loads(service.larder("dns", "--output", "json").stdout)
    assert said["server"] == f"127.0.0.1:{service.dns_port}" and said["server_answers"] is True
    assert str(service.dns_port) in service.larder("dns", "status").stdout
    assert "cache.amazonaws.com" in service.larder("dns", "explain").stdout


# -- connect ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sessions(service):
    return service.create("cli-sessions")


def test_connect_with_one_command(service, sessions):
    assert service.larder("connect", "cli-sessions", "set", "k", "a value").stdout == "OK\n"
    assert service.larder("connect", "cli-sessions", "get", "k").stdout == "a value\n"
    assert json.loads(service.larder("connect", "cli-sessions", "-o", "json", "get", "k").stdout) == "a value"
    redis.Redis(*endpoint_of(sessions)).hset("h", mapping={"f": "1", "g": "2"})
    resp3 = service.larder("connect", "-3", "cli-sessions", "--output", "json", "hgetall", "h").stdout
    assert json.loads(resp3) == {"f": "1", "g": "2"}
    wrong = service.larder("connect", "cli-sessions", "hget", "k", "f", check=False)
    assert wrong.returncode == 1 and "WRONGTYPE" in wrong.stderr


def test_connect_with_a_pipe(service, sessions):
    said = service.larder("connect", "cli-sessions", input='set "a b" 1\nincr "a b"\nget \'a b\'\n')
    assert said.stdout == "OK\n2\n2\n"


def test_connect_over_tls_with_a_token_or_as_a_user(service):
    api, secret = service.client(), "the-token-of-the-cli"
    api.create_replication_group(
        ReplicationGroupId="cli-vault", ReplicationGroupDescription="d", NumCacheClusters=1, Engine="redis",
        EngineVersion="7.1", CacheNodeType="cache.t3.micro", TransitEncryptionEnabled=True, AuthToken=secret)
    group = lambda: api.describe_replication_groups(ReplicationGroupId="cli-vault")["ReplicationGroups"][0]
    available = lambda: wait_until("the group is available", lambda: group()["Status"] == "available")
    available()
    connect = lambda *words, auth="", check=True: run(
        [str(BINARY), "connect", *words], check=check,
        env=clean_environment({"LARDER_DATA": str(service.folder), "REDISCLI_AUTH": auth}))
    assert connect("cli-vault", "set", "k", "v", auth=secret).stdout == "OK\n", "a group stands for its primary"
    assert connect("cli-vault-001", "get", "k", auth=secret).stdout == "v\n"
    wrong = connect("cli-vault", "get", "k", auth="another-token-of-16", check=False)
    assert wrong.returncode != 0 and "WRONGPASS" in wrong.stderr
    assert "NOAUTH" in connect("cli-vault", "get", "k", check=False).stderr
    where = "{Address}:{Port}".format(**group()["NodeGroups"][0]["PrimaryEndpoint"])
    assert connect(where, "--cacert", service.info["authority"], "get", "k", auth=secret).stdout == "v\n"
    assert connect(where, "get", "k", auth=secret, check=False).returncode != 0, "not in the clear"

    api.create_user(UserId="cli-ann", UserName="cli-ann", Engine="redis", AccessString="on ~* +@all",
                    AuthenticationMode={"Type": "iam"})
    api.create_user(UserId="cli-bob", UserName="cli-bob", Engine="redis", AccessString="on ~* +@all", Passwords=[secret])
    api.create_user_group(UserGroupId="cli-team", Engine="redis", UserIds=["default", "cli-ann", "cli-bob"])
    api.modify_replication_group(ReplicationGroupId="cli-vault", UserGroupIdsToAdd=["cli-team"], ApplyImmediately=True,
                                 AuthTokenUpdateStrategy="DELETE")
    available()
    assert connect("cli-vault", "--user", "cli-ann", "--iam", "acl", "whoami").stdout == "cli-ann\n"
    assert connect("cli-vault", "--user", "cli-bob", "acl", "whoami", auth=secret).stdout == "cli-bob\n"
    assert "WRONGPASS" in connect("cli-vault", "--user", "cli-bob", "--iam", "ping", check=False).stderr
    assert connect(where, "--user", "cli-ann", "--iam", "ping", check=False).returncode != 0
    api.delete_replication_group(ReplicationGroupId="cli-vault")


def test_connect_to_one_memcached_node(service):
    service.larder("create", "cli-pages", "--engine", "memcached", "--nodes", "2", "--wait")
    assert service.larder("connect", "cli-pages", "--node", "0002", "set", "k", "0", "0", "5", "hello").stdout == "STORED\n"
    assert service.larder("connect", "cli-pages", "--node", "0002", "get", "k").stdout == "VALUE k 0 5\nhello\nEND\n"
    assert service.larder("connect", "cli-pages", "get", "k").stdout == "END\n"
    assert service.larder("connect", "cli-pages", input="set j 0 0 3\nabc\nget j\n").stdout == (
        "STORED\nVALUE j 0 3\nabc\nEND\n")
    assert service.larder("connect", "cli-pages", "--node", "0009", "version", check=False).returncode == 4


class Prompt:
    """`larder connect` on a terminal of its own."""

    def __init__(self, service, *arguments, **environment):
        self.seen = ""
        pid, self.terminal = pty.fork()
        if pid == 0:
            command = [str(BINARY), "connect", *arguments]
            os.execve(command[0], command, clean_environment(
                {"LARDER_DATA": str(service.folder), "TERM": "xterm", "COLUMNS": "100"} | environment))
        self.pid = pid

    def read_until(self, text, patience_s=30):
        end = time.monotonic() + patience_s
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not appear in {self.seen!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError as error:
                    assert error.errno == errno.EIO
                    assert text in self.seen, f"it ended before {text!r}: {self.seen!r}"
        before, self.seen = self.seen.split(text, 1)
        return before

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def close(self):
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_the_prompt(service, sessions):
    prompt = Prompt(service, "cli-sessions", NO_COLOR="1")
    prompt.read_until("cli-sessions> ")
    prompt.type("set user:1 ")
    prompt.read_until("value")  # the hint, from the server's own table
    prompt.type('"ann b"\r')
    prompt.read_until("OK\r\n")
    prompt.read_until("cli-sessions> ")
    prompt.type("get user:1\r")
    prompt.read_until('"ann b"\r\n')
    prompt.read_until("cli-sessions> ")
    prompt.type("strl\t")
    prompt.read_until("strlen")
    prompt.type("user:1\r")
    prompt.read_until("(integer) 5\r\n")
    prompt.read_until("cli-sessions> ")
    prompt.type("nosuch\r")
    prompt.read_until("(error) ERR unknown command")
    prompt.read_until("cli-sessions> ")
    prompt.type("quit\r")
    wait_until("the prompt ends", lambda: os.waitid(os.P_PID, prompt.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    assert prompt.close() == 0
    history = (service.folder / "history").read_text()
    assert "get user:1" in history
    assert os.stat(service.folder / "history").st_mode & 0o077 == 0


def test_secrets_are_not_remembered(service, sessions):
    prompt = Prompt(service, "cli-sessions", NO_COLOR="1")
    prompt.read_until("cli-sessions> ")
    prompt.type("auth very-secret\r")
    prompt.read_until("ERR")
    prompt.read_until("cli-sessions> ")
    prompt.type("\x04")
    wait_until("the prompt ends", lambda: os.waitid(os.P_PID, prompt.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    prompt.close()
    file = service.folder / "history"
    assert not file.exists() or "very-secret" not in file.read_text()


# -- up ---------------------------------------------------------------------------------------------------------


def test_the_banner_says_how_to_begin(own_service):
    # It comes just after the service can be reached.
    text = wait_until("the banner is printed", lambda: "logged here" in (t := own_service.log.read_text()) and t)
    for part in (own_service.endpoint, str(own_service.folder), own_service.info["access_key_id"],
                 own_service.info["default_subnet_id"], "aws elasticache create-cache-cluster", "env --data-dir"):
        assert part in text, part
    assert own_service.info["secret_access_key"] not in text
    assert ESCAPE not in text


def test_a_second_interrupt_ends_at_once(own_service):
    own_service.create("slow")
    own_service.process.send_signal(signal.SIGINT)
    own_service.process.send_signal(signal.SIGINT)
    assert own_service.process.wait(timeout=PATIENCE_S) in (0, 130)


def test_an_interrupt_ends_the_caches_though_nobody_reads_the_log(own_service):
    """As in `larder up | tee log`, where Ctrl-C ends tee too."""
    own_service.create("piped")
    own_service.stop()
    reading, writing = os.pipe()
    own_service.start(output=writing)
    os.close(writing)
    own_service.available("piped")
    wait_until("the node runs again", own_service.node_pids)
    os.close(reading)
    own_service.process.send_signal(signal.SIGINT)
    assert own_service.process.wait(timeout=PATIENCE_S) == 0
    assert not own_service.node_pids()


def test_kept_nodes_run_on_and_are_taken_over(tmp_path):
    from service import Service

    service = Service(tmp_path / "data", options=["--keep-nodes"])
    try:
        service.start()
        cache = service.create("kept")
        client = redis.Redis(*endpoint_of(cache))
        client.set("k", "v")
        pids = service.node_pids()
        assert service.stop() == 0
        assert client.get("k") == b"v"
        service.start()
        assert service.available("kept")["CacheNodes"] == cache["CacheNodes"]
        assert service.node_pids() == pids and client.get("k") == b"v"
    finally:
        service.clean_up()


def test_the_port_of_the_api_leads_a_browser_to_the_console(service):
    import urllib.request

    request = urllib.request.Request(service.endpoint + "/", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        page = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.url.startswith(service.info["console"])
    assert "Larder" in page and "larder env" in page
    assert service.info["secret_access_key"] not in page and service.info["access_key_id"] not in page


# -- node -------------------------------------------------------------------------------------------------------


def test_a_node_refuses_what_it_does_not_know():
    for wrong in (["--no-such-directive", "1"], ["--port", "many"], ["/no/such/file.conf"]):
        said = larder("node", *wrong, check=False)
        assert said.returncode == 1 and said.stderr.startswith("larder: "), wrong


def test_a_node_stops_on_a_signal(tmp_path):
    from service import Node

    node = Node("--dir", str(tmp_path))
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(timeout=PATIENCE_S) == 0


def test_output_into_a_closed_pipe_is_no_error(service):
    command = f"{BINARY} events --minutes 20000 | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60,
                          env=clean_environment({"LARDER_DATA": str(service.folder)}))
    assert done.stdout.strip() == "0" and "panic" not in done.stderr


def test_iam_for_people(own_service, tmp_path):
    made = json.loads(own_service.larder("iam", "create-user", "ann", "--output", "json").stdout)
    client = own_service.client(
        aws_access_key_id=made["AccessKeyId"], aws_secret_access_key=made["SecretAccessKey"]
    )
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        client.describe_events()
    own_service.larder("iam", "attach", "ann", "AmazonElastiCacheReadOnlyAccess")
    client.describe_events()
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({
        "Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "elasticache:DescribeEvents", "Resource": "*"},
    }))
    own_service.larder("iam", "create-policy", "no-events", str(policy))
    own_service.larder("iam", "attach", "ann", "no-events")
    assert "explicitDeny" in own_service.larder("iam", "simulate", "ann", "elasticache:DescribeEvents").stdout
    assert "AmazonElastiCacheReadOnlyAccess" in own_service.larder("iam", "policies", "ann").stdout
    assert made["AccessKeyId"] in own_service.larder("iam", "keys", "ann").stdout
    refused = own_service.larder("iam", "delete-policy", "no-events", check=False)
    assert refused.returncode != 0 and "DeleteConflict" in refused.stderr
    own_service.larder("iam", "delete-user", "ann")
    own_service.larder("iam", "delete-policy", "no-events")
    assert own_service.larder("iam", "users").stdout.startswith("There are no users.")
    assert json.loads(own_service.larder("iam", "users", "--output", "json").stdout) == []
    environment = own_service.environment()
    for name in ("ELASTICACHE", "EC2", "IAM", "STS", "CLOUDWATCH"):
        assert environment[f"AWS_ENDPOINT_URL_{name}"] == own_service.endpoint


def test_groups_snapshots_and_users_for_people(own_service):
    larder = own_service.larder
    made = larder("create", "shop", "--replicas", "0", "--wait").stdout
    assert "shop is available at" in made
    shown = larder("show", "shop").stdout
    assert "Primary endpoint" in shown and "shop-001  primary" in shown, shown
    group = json.loads(larder("show", "shop", "--output", "json").stdout)
    assert group["members"][0]["role"] == "primary"
    node = redis.Redis(group["primary_endpoint"]["address"], group["primary_endpoint"]["port"], decode_responses=True)
    node.set("k", "v")
    assert "There are no snapshots" in larder("snapshots").stdout
    assert "shop-1 is there" in larder("backup", "shop", "--wait").stdout
    table = larder("snapshots", "shop").stdout
    assert "SNAPSHOT" in table and "shop-1" in table and "available" in table and "manual" in table, table
    assert "again is available" in larder("restore", "shop-1", "again", "--wait").stdout
    cache = json.loads(larder("show", "again", "--output", "json").stdout)
    restored = redis.Redis(cache["nodes"][0]["address"], cache["nodes"][0]["port"], decode_responses=True)
    assert restored.get("k") == "v"
    said = larder("failover", "shop", check=False)
    assert said.returncode == 1 and "TestFailoverNotAvailableFault" in said.stderr
    assert larder("failover", "nobody", check=False).returncode == 4
    assert larder("show", "nobody", check=False).returncode == 4
    assert larder("restore", "nobody", "new", check=False).returncode == 4
    assert larder("create", "x1", "--engine", "memcached", "--replicas", "1", check=False).returncode == 2
    assert "default" in larder("users").stdout
    assert json.loads(larder("users", "--output", "json").stdout)[0]["id"] == "default"


def test_caches_that_it_makes_keep_what_brings_hits(service):
    made = json.loads(service.larder("create", "hits", "--wait", "--output", "json").stdout)
    assert made["parameter_group"] == "larder-cache-redis7"
    api = service.client()
    values = api.describe_cache_parameters(CacheParameterGroupName="larder-cache-redis7", Source="user")["Parameters"]
    assert [(value["ParameterName"], value["ParameterValue"]) for value in values] == [("maxmemory-policy", "allkeys-lhd")]
    usual = json.loads(service.larder("create", "usual", "--parameter-group", "default.redis7", "--output", "json").stdout)
    assert usual["parameter_group"] == "default.redis7"
