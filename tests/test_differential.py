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


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server to compare with")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_replies_are_those_of_redis_server(seed):
    environment = {**os.environ, "LARDER_BIN": str(BINARY), "LARDER_DIFFERENTIAL_STEPS": os.environ.get("LARDER_DIFFERENTIAL_STEPS", STEPS)}
    command = [sys.executable, str(SCRIPT), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
