"""Ports for the servers that tests start."""

import itertools
import os
import random
import socket

# Below those that the kernel gives to outgoing connections, which could take one before the server does.
_FIRST, _END = 10_000, 32_000


def _own_ports():
    """The ports of this process among those that run tests side by side, one after another, from a place by chance.

    Between a look at a port and the server's start another process must not choose the same; and a port just let go by
    a killed server comes back last.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = (_END - _FIRST) // workers
    first = _FIRST + worker * share
    # Not the generator that a test seeds.
    start = random.SystemRandom().randrange(share)
    return (first + (start + step) % share for step in itertools.count())


_ports = _own_ports()


def free_port():
    """A port of 127.0.0.1 that is free for TCP and UDP now, and that no other test is about to use."""
    for port in _ports:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
