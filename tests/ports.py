"""Ports for the servers that tests start."""

import random
import socket

# Not the one that a test seeds.
_random = random.SystemRandom()


def free_port():
    """A port of 127.0.0.1 that is free for TCP and UDP now.

    It lies below those that the kernel gives to outgoing connections, which could take it before the server does.
    """
    while True:
        port = _random.randrange(10_000, 32_000)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
