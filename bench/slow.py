#!/usr/bin/env python3
"""What a slow command costs those who ask for other keys: latencies of GET beside it, on the same worker and on another.

    bench/slow.py target/release/larder

A node with two workers holds a million keys and a set of a million members. One session asks for a random key at a
fixed rate on each worker, whether or not the last reply has come: a latency counts from when the request was due. Once
in two seconds another process sends the slow command from a session of worker 0 and throws its reply away.
"""

import argparse
import multiprocessing
import random
import select
import socket
import subprocess
import tempfile
import time

KEYS = 1_000_000
RATE = 500  # requests per second and worker
SLOW_EVERY = 2.0
FILL = 2_000  # a line is at most 64 KiB long
START_SECONDS_MAX = 30
COMMANDS = ["", "KEYS *", "SMEMBERS set", "SUNIONSTORE other set", "DEL set", "UNLINK set", "FLUSHALL"]
# What these remove is made anew before each of them.
REMOVING = {"DEL set", "UNLINK set", "FLUSHALL"}


def connect(port):
    for _ in range(START_SECONDS_MAX * 10):
        try:
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return client
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the node does not start")


def send(client, *requests):
    """Inline commands that are answered with one line each."""
    client.sendall(b"".join(f"{request}\r\n".encode() for request in requests))
    seen = 0
    while seen < len(requests):
        seen += client.recv(1 << 16).count(b"\n")


def worker_of(client):
    client.sendall(b"CLIENT INFO\r\n")
    return int(client.recv(4096).split(b"io-thread=")[1].split()[0])


def on_worker(port, worker):
    """A session that this worker serves."""
    while True:
        client = connect(port)
        if worker_of(client) == worker:
            return client
        client.close()


def fill(client, keys):
    for start in range(0, KEYS, FILL):
        numbers = range(start, start + FILL)
        if keys:
            send(client, *(f"SET key:{number} value:{number}" for number in numbers))
        send(client, "SADD set " + " ".join(f"member:{number}" for number in numbers))


def read_all(client, idle=0.5):
    """Throws away a reply of any length; its end is that nothing more comes."""
    while select.select([client], [], [], idle)[0]:
        client.recv(1 << 20)


def slow(port, command, seconds, begun):
    client = on_worker(port, 0)
    end = time.monotonic() + seconds
    begun.set()
    while command and time.monotonic() < end:
        if command in REMOVING:
            fill(client, command == "FLUSHALL")
        due = time.monotonic() + SLOW_EVERY
        client.sendall(f"{command}\r\n".encode())
        read_all(client)
        time.sleep(max(0.0, due - time.monotonic()))


def probe(port, worker, seconds, answer):
    client, dice, waiting, late = on_worker(port, worker), random.Random(worker), [], []
    client.setblocking(False)
    due = time.monotonic()
    end = due + seconds
    rest = b""
    while due < end or waiting:
        now = time.monotonic()
        while due <= now and due < end:
            waiting.append(due)
            client.send(f"EXISTS key:{dice.randrange(KEYS)}\r\n".encode())
            due += 1 / RATE
        if select.select([client], [], [], max(0.0, min(due - time.monotonic(), 0.01)))[0]:
            rest = client.recv(1 << 16)
            now = time.monotonic()
            for _ in range(rest.count(b"\n")):
                late.append(now - waiting.pop(0))
    answer.put((worker, late))


def measure(port, command, seconds):
    begun, answer = multiprocessing.Event(), multiprocessing.Queue()
    disturber = multiprocessing.Process(target=slow, args=(port, command, seconds, begun))
    disturber.start()
    begun.wait()
    probes = [multiprocessing.Process(target=probe, args=(port, worker, seconds, answer)) for worker in (0, 1)]
    [process.start() for process in probes]
    found = dict(answer.get() for _ in probes)
    [process.join() for process in (*probes, disturber)]
    cells = []
    for worker in (1, 0):
        late = sorted(found[worker])
        cells.append(" / ".join(f"{1000 * late[min(int(len(late) * share), len(late) - 1)]:.1f}" for share in (0.5, 0.99, 1)))
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("larder", help="the program")
    parser.add_argument("--seconds", type=float, default=20, help="for each command (20)")
    parser.add_argument("--only", help="one of: " + ", ".join(filter(None, COMMANDS)))
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        node = subprocess.Popen(
            [options.larder, "node", "--port", str(port), "--threads", "2", "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            fill(connect(port), True)
            print("slow command | other worker: half / 99 % / all, ms | same worker: half / 99 % / all, ms")
            for command in [options.only] if options.only else COMMANDS:
                print(" | ".join([command or "none", *measure(port, command, options.seconds)]), flush=True)
        finally:
            node.terminate()
            node.wait()


if __name__ == "__main__":
    main()
