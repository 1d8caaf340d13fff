"""A Larder service or node as a test starts it: free ports, a folder of its own, stopped by process id.

Each service of a run takes its own /16 of the loopback range for its caches, so that it meets neither a service
that runs on this machine nor another one of the same test run.
"""

import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import boto3
import botocore.config

from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("LARDER_BIN", ROOT / "target" / "release" / "larder")).resolve()
REGION = "us-east-1"
# A bound for everything that should come soon. Generous: a loaded machine is no failure.
PATIENCE_S = 120
# The same for a program that does much, such as terraform on a machine that does much else.
PROGRAM_PATIENCE_S = 1200

_networks = itertools.count(os.getpid())
# Which of the processes of one run this is: each has a part of the range for itself.
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4


def next_network():
    """The next /16 that this process may use, of 127.80 to 127.247; it begins at a place that depends on the process."""
    return f"127.{80 + 42 * _process + next(_networks) % 42}.0.0/16"


def wait_until(what, condition, patience_s=PATIENCE_S, interval_s=0.05):
    """Polls until `condition` answers something true, and answers that."""
    end = time.monotonic() + patience_s
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience_s} s in vain until {what}")
        time.sleep(interval_s)


def clean_environment(extra=None):
    """The environment of this process without anybody's AWS settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LARDER_"))}
    kept["AWS_CONFIG_FILE"] = kept["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
    kept["AWS_EC2_METADATA_DISABLED"] = "true"
    kept["AWS_PAGER"] = ""
    # The console scripts of the virtual environment, `larder` itself, then what the machine has.
    folders = [str(pathlib.Path(sys.executable).parent), str(BINARY.parent), kept.get("PATH", os.defpath)]
    kept["PATH"] = os.pathsep.join(folders)
    kept.update(extra or {})
    return kept


class Service:
    """`larder up`, and what a test does with it."""

    def __init__(self, folder, network=None, options=(), environment=None, binary=BINARY):
        self.folder = pathlib.Path(folder)
        self.network = network or next_network()
        self.port = free_port()
        self.dns_port = free_port()
        self.options = list(options)
        self.variables = environment or {}
        self.binary = binary
        self.process = None
        self.log = self.folder.parent / f"{self.folder.name}.log"

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self, output=None):
        command = [
            str(self.binary), "up", "--data-dir", str(self.folder), "--listen", f"127.0.0.1:{self.port}",
            "--dns-listen", f"127.0.0.1:{self.dns_port}", "--region", REGION, "--vpc-cidr", self.network, *self.options,
        ]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output or log, stderr=output or log,
                env=clean_environment(self.variables),
            )
        wait_until(f"the service answers; its log:\n{self.tail()}", self.answers)
        return self

    def answers(self):
        assert self.process.poll() is None, f"the service ended with {self.process.returncode}:\n{self.tail()}"
        try:
            info = self.info
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return info["pid"] == self.process.pid
        except (OSError, ValueError):
            return False

    def kill(self):
        """kill -9: the service notices nothing."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, and the exit code after an orderly end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)

    def clean_up(self):
        """Ends whatever is left of the service and its nodes, by process id."""
        if self.process and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        for _, pid in node_processes(self.folder):
            os.kill(pid, signal.SIGKILL)

    def tail(self, lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def node_pids(self):
        """Process ids of the nodes that live, by the name of their folder. No folder may have two."""
        found = {}
        for name, pid in node_processes(self.folder):
            assert name not in found, f"two processes run for {name}"
            found[name] = pid
        return found

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    # -- how others see it --------------------------------------------------------------------------------------

    @property
    def info(self):
        return json.loads((self.folder / "service.json").read_text())

    @property
    def endpoint(self):
        return self.info["endpoint"]

    def environment(self):
        """What `eval "$(larder env)"` leaves in a shell."""
        exported = subprocess.run(
            ["sh", "-c", f'eval "$({BINARY} env --shell bash --data-dir {self.folder})"; env -0'],
            env=clean_environment(), capture_output=True, check=True,
        )
        pairs = (line.split("=", 1) for line in exported.stdout.decode().split("\0") if "=" in line)
        return dict(pairs)

    def client(self, **changes):
        """A boto3 client; `changes` replace arguments of boto3.client."""
        arguments = {
            "endpoint_url": self.endpoint,
            "region_name": REGION,
            "aws_access_key_id": self.info["access_key_id"],
            "aws_secret_access_key": self.info["secret_access_key"],
            "config": botocore.config.Config(retries={"max_attempts": 1}, parameter_validation=False),
        }
        return boto3.client("elasticache", **(arguments | changes))

    def api(self, name, **changes):
        """A boto3 client of a neighbour of ElastiCache: iam, sts, ec2, cloudwatch."""
        arguments = {
            "endpoint_url": self.endpoint,
            "region_name": REGION,
            "aws_access_key_id": self.info["access_key_id"],
            "aws_secret_access_key": self.info["secret_access_key"],
            "config": botocore.config.Config(retries={"max_attempts": 1}),
        }
        return boto3.client(name, **(arguments | changes))

    def larder(self, *arguments, check=True, **options):
        """Runs the command line against this service."""
        command = [str(BINARY), *arguments]
        environment = clean_environment({"LARDER_DATA": str(self.folder)})
        return run(command, check=check, env=environment, **options)

    def aws(self, *arguments, check=True):
        """Runs the real AWS CLI against this service, in a shell environment made by `larder env`."""
        return run(["aws", "elasticache", *arguments], check=check, env=self.environment())

    # -- caches -------------------------------------------------------------------------------------------------

    def create(self, name, engine="redis", nodes=1, wait=True, **more):
        parameters = {
            "CacheClusterId": name, "Engine": engine, "CacheNodeType": "cache.t3.micro", "NumCacheNodes": nodes, **more
        }
        created = self.client().create_cache_cluster(**parameters)["CacheCluster"]
        return self.available(name) if wait else created

    def describe(self, name):
        answer = self.client().describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)
        return answer["CacheClusters"][0]

    def available(self, name):
        """Waits until the cache is available and answers what the API says of it."""

        def look():
            cache = self.describe(name)
            return cache if cache["CacheClusterStatus"] == "available" else None

        return wait_until(f"{name} is available; the service's log:\n{self.tail()}", look)

    def delete(self, name):
        client = self.client()
        client.delete_cache_cluster(CacheClusterId=name)

        def gone():
            try:
                client.describe_cache_clusters(CacheClusterId=name)
            except client.exceptions.CacheClusterNotFoundFault:
                return True
            return False

        wait_until(f"{name} is gone", gone)

    def events(self, name, sort="cache-cluster"):
        answer = self.client().describe_events(SourceIdentifier=name, SourceType=sort, Duration=60)
        return [event["Message"] for event in answer["Events"]]


def endpoint_of(cache, index=0):
    """(address, port) of one node."""
    endpoint = cache["CacheNodes"][index]["Endpoint"]
    return endpoint["Address"], endpoint["Port"]


def run(command, check=True, **options):
    """Runs a program to its end; its output stands in the failure."""
    options.setdefault("stdin", subprocess.DEVNULL) if "input" not in options else None
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_PATIENCE_S, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def node_processes(folder):
    """(name of the node's folder, process id) of every process that works in a node's folder of this data folder."""
    nodes = str(pathlib.Path(folder).resolve() / "nodes") + "/"
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                place = os.readlink(f"/proc/{entry}/cwd")
            except OSError:  # gone, or dead and not yet waited for
                continue
            if place.startswith(nodes):
                found.append((place.removeprefix(nodes), int(entry)))
    return found


class Node:
    """`larder node` alone, with a folder of its own for what it saves."""

    def __init__(self, *directives):
        self.port = free_port()
        self.memcached_port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        command = [
            str(BINARY), "node", "--port", str(self.port), "--memcached-port", str(self.memcached_port),
            "--threads", "2", "--dir", self.folder.name, *directives,
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until("the node listens", self.listens)

    def listens(self):
        assert self.process.poll() is None, f"the node ended with {self.process.returncode}"
        try:
            for port in (self.port, self.memcached_port):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def which(program):
    return shutil.which(program, path=clean_environment()["PATH"])
