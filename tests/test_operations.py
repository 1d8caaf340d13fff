"""What an operator sees and sets: logs of slow and large commands, INFO, LATENCY, MONITOR, MEMORY, CONFIG, the start."""

import os
import re
import signal
import socket
import subprocess

import pytest
import redis

from ports import free_port
from service import BINARY, Node, wait_until


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def r(request, node):
    client = redis.Redis(port=node.port, protocol=request.param, decode_responses=True)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="module")
def open_node():
    """A node whose DEBUG may be used."""
    node = Node("--enable-debug-command", "local", "--enable-protected-configs", "yes")
    yield node
    node.stop()


def fails(text, call, *arguments, **options):
    with pytest.raises(redis.ResponseError, match=text):
        call(*arguments, **options)


# -- slow and large commands ------------------------------------------------------------------------------------


@pytest.fixture
def logs_everything(r):
    r.config_set("slowlog-log-slower-than", 0)
    r.slowlog_reset()
    yield r
    r.config_set("slowlog-log-slower-than", 10000)
    r.config_set("slowlog-max-len", 128)


def test_slow_commands_are_logged(logs_everything):
    r = logs_everything
    r.client_setname("me")
    r.set("k", "v" * 200)
    r.mset({f"k{i}": "v" for i in range(30)})
    entries = r.execute_command("SLOWLOG", "GET", 3)
    ids = [entry[0] for entry in entries]
    assert ids == sorted(ids, reverse=True) and len(set(ids)) == 3
    assert entries[0][1] > 1_600_000_000 and entries[0][2] >= 0
    assert entries[0][3][:2] == ["MSET", "k0"] and entries[0][3][-1] == "... (30 more arguments)"
    assert entries[1][3][2] == "v" * 128 + "... (72 more bytes)"
    assert entries[0][4].startswith("127.0.0.1:") and entries[0][5] == "me"
    assert r.slowlog_len() > 3
    r.config_set("slowlog-max-len", 2)
    r.ping()
    assert r.slowlog_len() == 2
    assert r.slowlog_reset()
    r.config_set("slowlog-log-slower-than", -1)
    assert [entry["command"] for entry in r.slowlog_get()] == [b"SLOWLOG RESET"]
    fails("count should be greater than or equal to -1", r.execute_command, "SLOWLOG", "GET", -2)


def test_arguments_are_shortened_and_secrets_hidden(logs_everything, node):
    r = logs_everything
    with socket.create_connection(("127.0.0.1", node.port)) as raw:
        raw.sendall(b"SET k " + b"x" * 200 + b"\r\nMSET " + b"a " * 40 + b"\r\nAUTH default secret\r\n")
        wait_until("three replies", lambda: raw.recv(1000))
        raw.sendall(b"SLOWLOG GET -1\r\n")
        answer = b""
        while b"72 more bytes" not in answer or not answer.endswith(b"\r\n"):
            answer += raw.recv(65536)
    assert b"x" * 128 + b"... (72 more bytes)" in answer and b"... (10 more arguments)" in answer
    assert b"secret" not in answer and b"(redacted)" in answer
    assert r.slowlog_len() >= 3


def test_parts_of_a_transaction_are_logged_and_exec_is_not(logs_everything):
    r = logs_everything
    r.pipeline(transaction=True).set("a", 1).incr("a").execute()
    names = [entry[3][0] for entry in r.execute_command("SLOWLOG", "GET", -1)]
    assert "SET" in names and "INCRBY" in names and "EXEC" not in names


def test_large_requests_and_replies_are_logged(r):
    r.config_set("commandlog-request-larger-than", 5000, "commandlog-reply-larger-than", 5000)
    for kind in ("slow", "large-request", "large-reply"):
        r.execute_command("COMMANDLOG", "RESET", kind)
    r.set("large", "x" * 10_000)
    r.get("large")
    request = r.execute_command("COMMANDLOG", "GET", -1, "large-request")
    reply = r.execute_command("COMMANDLOG", "GET", -1, "large-reply")
    assert len(request) == 1 and request[0][2] > 10_000 and request[0][3][0] == "SET"
    assert len(reply) == 1 and reply[0][2] > 10_000 and reply[0][3] == ["GET", "large"]
    assert r.execute_command("COMMANDLOG", "LEN", "large-reply") == 1
    fails("type should be one of the following", r.execute_command, "COMMANDLOG", "LEN", "other")
    r.config_set("commandlog-request-larger-than", 1048576, "commandlog-reply-larger-than", 1048576)


# -- figures ----------------------------------------------------------------------------------------------------


def test_commands_are_counted(r):
    r.config_resetstat()
    pipeline = r.pipeline(transaction=False)
    for _ in range(100):
        pipeline.set("k", "v")
        pipeline.get("k")
    pipeline.execute()
    fails("WRONGTYPE", r.lpush, "k", 1)
    fails("wrong number", r.execute_command, "GET")
    stats = r.info("commandstats")
    assert stats["cmdstat_get"]["calls"] == 100 and stats["cmdstat_set"]["calls"] == 100
    assert stats["cmdstat_get"]["rejected_calls"] == 1 and stats["cmdstat_lpush"]["failed_calls"] == 1
    assert "cmdstat_config|resetstat" in stats
    errors = r.info("errorstats")
    assert errors["errorstat_WRONGTYPE"]["count"] == 1 and errors["errorstat_ERR"]["count"] == 1
    latencies = r.info("latencystats")["latency_percentiles_usec_get"]
    assert 0 < latencies["p50"] <= latencies["p99"] <= latencies["p99.9"]
    histogram = r.execute_command("LATENCY", "HISTOGRAM", "get")
    flat = histogram["get"] if isinstance(histogram, dict) else histogram[1]
    assert 100 in (flat.values() if isinstance(flat, dict) else flat)


def test_sections_of_info(r):
    default = r.execute_command("INFO")
    assert "used_memory" in default and "cmdstat_get" not in str(default)
    assert any(key.startswith("cmdstat_") for key in r.info("all"))
    assert "commandstats" not in str(r.info("nosuch"))
    both = r.execute_command("INFO", "server", "cpu")
    assert "run_id" in both and "used_cpu_sys" in both and "used_memory" not in both
    everything = r.info("everything")
    for field in (
        "process_id tcp_port uptime_in_seconds connected_clients maxclients used_memory_startup used_memory_dataset_perc "
        "allocator_allocated mem_clients_normal rdb_last_save_time aof_last_write_status instantaneous_input_kbps "
        "total_reads_processed expired_time_cap_reached_count role repl_backlog_size used_cpu_user_children cluster_enabled"
    ).split():
        assert field in everything, field


def test_memory(r):
    r.set("k", "v" * 1000)
    assert 1000 < r.memory_usage("k") < 2000 and r.memory_usage("none") is None
    stats = r.memory_stats()
    assert stats["keys.count"] >= 1 and stats["total.allocated"] >= stats["dataset.bytes"] > 1000
    assert r.memory_purge() is True
    assert "jemalloc" in r.memory_malloc_stats()
    assert r.execute_command("MEMORY", "DOCTOR")


def test_slow_events_are_seen(open_node):
    r = redis.Redis(port=open_node.port, decode_responses=True)
    assert "off" in r.execute_command("LATENCY", "DOCTOR")
    r.config_set("latency-monitor-threshold", 10)
    r.execute_command("DEBUG", "SLEEP", "0.05")
    latest = r.latency_latest()
    assert latest[0][0] == "command" and latest[0][2] >= 50 and latest[0][3] >= 50
    assert r.latency_history("command")[0][1] >= 50
    assert "command - high" in r.execute_command("LATENCY", "GRAPH", "command")
    assert "SLOWLOG" in r.execute_command("LATENCY", "DOCTOR")
    fails("No samples available for event 'x'", r.execute_command, "LATENCY", "GRAPH", "x")
    assert r.latency_reset() == 1 and r.latency_latest() == []
    slow = r.slowlog_get(1)[0]
    assert slow["duration"] >= 50_000


# -- MONITOR ----------------------------------------------------------------------------------------------------


def test_monitor_shows_what_others_do(r, node):
    watcher = redis.Redis(port=node.port, decode_responses=True)
    with watcher.monitor() as monitor:
        r.set("k", 'a "quoted"\nline')
        r.config_get("port")
        seen = monitor.next_command()
        while seen["command"].split()[0].upper() in ("HELLO", "CLIENT"):
            seen = monitor.next_command()
        assert seen["command"] == 'SET k a "quoted"\\nline' and seen["db"] == 0
        assert re.match(r"\d+", seen["client_port"]) and seen["client_type"] == "tcp"
        r.pipeline(transaction=True).incr("n").execute()
        names = [monitor.next_command()["command"].split()[0] for _ in range(3)]
        assert names == ["MULTI", "INCRBY", "EXEC"]


# -- configuration ----------------------------------------------------------------------------------------------


def test_every_directive_is_known(r):
    everything = r.config_get("*")
    for name in ("appendonly", "save", "tls-port", "cluster-enabled", "hz", "slave-priority", "replica-priority",
                 "lua-time-limit", "io-threads", "slowlog-max-len", "enable-debug-command", "unixsocketperm"):
        assert name in everything, name
    assert len(everything) > 230
    assert r.config_set("hz", 20) and r.config_get("hz") == {"hz": "20"}
    fails("couldn't be parsed into an integer", r.config_set, "hz", "x")
    assert r.config_set("rdma-port", "0")
    fails("RDMA is not available yet", r.config_set, "rdma-port", 6380)
    fails("immutable config", r.config_set, "daemonize", "yes")
    fails("protected config", r.config_set, "dir", "/tmp")
    fails("duplicate parameter", r.config_set, "maxmemory", 1, "maxmemory", 2)
    before = r.config_get("timeout")["timeout"]
    fails("maxmemory", r.config_set, "timeout", 99, "maxmemory", "x")
    assert r.config_get("timeout")["timeout"] == before


FORMS = {
    ("2", "bignum"): b"$37\r\n1234567999999999999999999999999999999\r\n",
    ("3", "bignum"): b"(1234567999999999999999999999999999999\r\n",
    ("2", "attrib"): b"$39\r\nSome real reply following the attribute\r\n",
    ("3", "attrib"): b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
    ("2", "push"): b"-ERR RESP2 is not supported by this command\r\n",
    ("3", "push"): b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n",
}


@pytest.mark.parametrize("version, form", FORMS)
def test_debug_protocol_answers_in_forms_that_commands_seldom_have(open_node, version, form):
    with socket.create_connection(("127.0.0.1", open_node.port)) as client:
        client.sendall(b"HELLO %s\r\nDEBUG PROTOCOL %s\r\nECHO the-end\r\n" % (version.encode(), form.encode()))
        heard = b""
        while not heard.endswith(b"the-end\r\n"):
            heard += client.recv(65536)
    assert heard.removesuffix(b"$7\r\nthe-end\r\n").endswith(b"modules\r\n*0\r\n" + FORMS[version, form])


def test_debug_needs_permission(r, open_node):
    fails("DEBUG command not allowed", r.execute_command, "DEBUG", "SLEEP", "0")
    fails("MODULE command not allowed", r.execute_command, "MODULE", "LOAD", "x")
    assert r.execute_command("MODULE", "LIST") == []
    other = redis.Redis(port=open_node.port, decode_responses=True)
    other.set("k", "12")
    assert "encoding:int" in other.execute_command("DEBUG", "OBJECT", "k")
    assert other.execute_command("DEBUG", "STRINGMATCH-LEN", "10", "a*a") == 1
    other.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    other.psetex("gone", 1, "x")
    wait_until("the key is dead", lambda: other.pttl("gone") == -2)
    other.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    wait_until("it is reclaimed", lambda: other.dbsize() == 1)


def test_commands_about_commands(r):
    assert "config|get" in r.command_list(pattern="config*")
    assert "monitor" in r.command_list(category="admin")
    assert r.command_count() == len([name for name in r.command_list() if "|" not in name])
    assert "Larder ver." in r.execute_command("LOLWUT")
    for container in ("SLOWLOG", "COMMANDLOG", "LATENCY", "MEMORY", "CONFIG", "CLIENT", "MODULE"):
        assert container in r.execute_command(container, "HELP")[0]


# -- the start --------------------------------------------------------------------------------------------------


def test_configuration_file_and_rewrite(tmp_path):
    file = tmp_path / "node.conf"
    file.write_text(
        '# mine\nmaxmemory 100mb\n\n# second comment\nrequirepass "a b"\nappendonly no\nsave ""\ntimeout 5\ntimeout 7\n'
    )
    port = free_port()
    log = tmp_path / "log"
    pidfile = tmp_path / "pid"
    process = subprocess.Popen(
        [BINARY, "node", file, "--port", str(port), "--logfile", log, "--pidfile", pidfile,
         "--unixsocket", tmp_path / "s", "--unixsocketperm", "700"],
        stdin=subprocess.DEVNULL)
    try:
        wait_until("it is ready", lambda: log.exists() and "Ready to accept connections unix" in log.read_text())
        text = log.read_text()
        pid = process.pid
        assert re.search(rf"^{pid}:M \d\d \w\w\w \d{{4}} \d\d:\d\d:\d\d\.\d{{3}} \* Server initialized", text, re.M)
        assert f"PID: {pid}" in text and "* Ready to accept connections tcp\n" in text
        assert pidfile.read_text().strip() == str(pid) and (tmp_path / "s").stat().st_mode & 0o777 == 0o700
        r = redis.Redis(port=port, password="a b", decode_responses=True)
        assert r.config_get("timeout", "maxmemory") == {"timeout": "7", "maxmemory": str(100 << 20)}
        r.config_set("maxmemory", "200mb", "maxclients", 500)
        assert r.config_rewrite()
        lines = file.read_text().splitlines()
        assert lines[:2] == ["# mine", f"maxmemory {200 << 20}"] and lines[3:5] == ["# second comment", 'requirepass "a b"']
        assert "maxclients 500" in lines and lines.count("timeout 7") == 1 and f"port {port}" in lines
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0 and not pidfile.exists() and not (tmp_path / "s").exists()
        assert "bye bye" in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_standard_input_and_includes(tmp_path):
    (tmp_path / "more.conf").write_text("timeout 11\n")
    port = free_port()
    process = subprocess.Popen([BINARY, "node", "--port", str(port), "-"], cwd=tmp_path, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write("maxclients 77\ninclude more.conf\n")
        process.stdin.close()
        for line in process.stdout:
            if "Ready to accept connections tcp" in line:
                break
        r = redis.Redis(port=port, decode_responses=True)
        assert r.config_get("maxclients", "timeout") == {"maxclients": "77", "timeout": "11"}
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def test_in_the_background(tmp_path):
    port, pidfile = free_port(), tmp_path / "pid"
    subprocess.run([BINARY, "node", "--port", str(port), "--daemonize", "yes", "--pidfile", pidfile], check=True,
                   timeout=60, stdin=subprocess.DEVNULL)
    wait_until("its pid is told", lambda: pidfile.exists() and pidfile.read_text().strip())
    pid = int(pidfile.read_text())
    r = redis.Redis(port=port)
    try:
        wait_until("it listens", lambda: answers(r))
        assert r.info("server")["process_id"] == pid
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until("it is gone", lambda: not pidfile.exists())


def answers(r):
    try:
        return r.ping()
    except redis.ConnectionError:
        return False


def test_systemd_is_told(tmp_path):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(30)
    process = subprocess.Popen([BINARY, "node", "--port", str(free_port()), "--supervised", "systemd"],
                               env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        assert "READY=1" in notify.recv(1000).decode()
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert "STOPPING=1" in notify.recv(1000).decode()


@pytest.mark.parametrize("arguments, said", [
    (["--nosuch", "1"], "Bad directive or wrong number of arguments"),
    (["--requirepass", "a", "b"], "wrong number of arguments"),
    (["--rdma-port", "6380"], "RDMA is not available yet"),
    (["--port", "x"], "couldn't be parsed into an integer"),
    (["/no/such.conf"], "can't open config file '/no/such.conf'"),
])
def test_mistakes_end_it_at_once(arguments, said):
    done = subprocess.run([BINARY, "node", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and said in done.stderr
