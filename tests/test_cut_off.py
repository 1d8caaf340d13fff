"""A primary that runs and cannot be reached: in a network namespace of its own, where an address can be cut off."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest
import redis

from service import BINARY, PATIENCE_S, PROGRAM_PATIENCE_S, Service, wait_until
from test_groups import (
    NODE, Watch, accepts_writes, client, create, describe, members, primary_of, write_to_all,
)

INSIDE = "CUT_OFF_NAMESPACE"


def may_cut():
    """Whether this machine lets us make a namespace."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True).returncode == 0


def cut(address, is_cut):
    """Nothing reaches the address any more, not even over connections that are open; or all does again."""
    subprocess.run(["ip", "route", "add" if is_cut else "del", "unreachable", f"{address}/32"], check=True)


@pytest.mark.skipif(INSIDE in os.environ or not may_cut(), reason="needs a network namespace")
def test_in_a_namespace(tmp_path):
    command = f"ip link set lo up && exec {sys.executable} -m pytest -x -q --basetemp={tmp_path / 'inside'} {__file__}"
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", command], capture_output=True, text=True, timeout=PROGRAM_PATIENCE_S,
        cwd=pathlib.Path(__file__).parent, env={**os.environ, INSIDE: "yes", "LARDER_BIN": str(BINARY)},
    )
    print(done.stdout)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(INSIDE not in os.environ, reason="runs inside test_in_a_namespace")
def test_a_primary_that_is_cut_off_is_ended_before_another_one_accepts_writes(tmp_path):
    service = Service(tmp_path / "data", options=NODE).start()
    try:
        api = service.client()
        group = create(api)
        write_to_all(group)
        old = primary_of(group)
        pid = service.node_pids()[f"{old}-0001"]
        [address] = [
            member["ReadEndpoint"]["Address"] for member in group["NodeGroups"][0]["NodeGroupMembers"]
            if member["CacheClusterId"] == old
        ]
        watch = Watch(group)
        watch.start()
        cut(address, True)
        began = time.monotonic()
        group = wait_until("another one is the primary", lambda: (g := describe(api)) and primary_of(g) != old and g,
                           interval_s=0.01)
        assert pid not in service.node_pids().values(), "the old one was ended before"
        wait_until("it accepts writes", lambda: accepts_writes(client(group)), interval_s=0.01)
        print(f"replaced after {time.monotonic() - began:.2f} s (promise: under 2 s)")
        assert client(group, socket_timeout=PATIENCE_S).get("k") == "v"
        assert client(group, "ReaderEndpoint", socket_timeout=PATIENCE_S).get("k") == "v"
        cut(address, False)

        def is_back():
            node = members(describe(api))[old]
            try:
                return node.get("k") == "v" and node.info("replication")["master_link_status"] == "up"
            except redis.RedisError:
                return False

        wait_until("the old one is a replica", is_back)
        watch.stop()
        assert not watch.overlaps, "two members accepted writes"
    finally:
        service.clean_up()
