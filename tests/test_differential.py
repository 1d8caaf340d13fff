"""The differential test, short and with known seeds: run `tests/differential.py` itself for long runs with new ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from service import BINARY

SCRIPT = Path(__file__).with_name("differential.py")
STEPS = "6000"


PEERS = [peer.strip() for peer in os.environ.get("LARDER_PEERS", "").split(";") if peer.strip()]


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server to compare with")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_replies_are_those_of_redis_server(seed):
    play(seed)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("kinds", [None, "f"])
def test_replies_are_those_of_other_servers(peer, kinds):
    play(4, "--peer", peer, **{"LARDER_DIFFERENTIAL_KINDS": kinds} if kinds else {})


def play(seed, *options, **settings):
    steps = os.environ.get("LARDER_DIFFERENTIAL_STEPS", STEPS)
    environment = {**os.environ, "LARDER_BIN": str(BINARY), "LARDER_DIFFERENTIAL_STEPS": steps, **settings}
    command = [sys.executable, str(SCRIPT), "--seed", str(seed), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
