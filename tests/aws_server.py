"""moto's server in the place of AWS's own services, for tests that need a bucket or a topic."""

import socket
import subprocess
import sys
from pathlib import Path

import boto3
import botocore.config

from ports import free_port
from service import REGION, clean_environment, wait_until

# The account that everything in the server belongs to.
ACCOUNT = "123456789012"


class AwsServer:
    def __init__(self):
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.start()

    def client(self, service):
        config = botocore.config.Config(s3={"addressing_style": "path"})
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="y",
            config=config,
        )

    def start(self):
        command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment()
        )
        wait_until("moto answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, "moto ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()
