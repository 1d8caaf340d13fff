"""The examples for Terraform and for the AWS CLI, run as their READMEs say, against a service of their own."""

import shutil

import botocore.exceptions
import pytest
import redis

from service import PATIENCE_S, ROOT, run
from terraform import prepare_folder

EXAMPLES = ROOT / "examples"
PASSWORD = "correct-horse-battery-staple"


def as_app(service, host):
    """The application's user, over TLS; an address stands for the name where this machine does not resolve names."""
    authority = str(service.folder / "tls" / "ca.pem")
    return redis.Redis(host, 6379, username="shop", password=PASSWORD, ssl=True, ssl_ca_certs=authority,
                       ssl_check_hostname=True, socket_timeout=PATIENCE_S, decode_responses=True)


def check_cache(service, host):
    """The group serves its user and nobody else."""
    app = as_app(service, host)
    assert app.set("shop:greeting", "hello") and app.get("shop:greeting") == "hello"
    with pytest.raises(redis.exceptions.NoPermissionError):
        app.get("other")
    with pytest.raises(redis.exceptions.NoPermissionError):
        app.flushall()
    stranger = redis.Redis(host, 6379, ssl=True, ssl_ca_certs=str(service.folder / "tls" / "ca.pem"), socket_timeout=PATIENCE_S)
    with pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()


def check_nothing_left(service):
    api = service.client()
    assert api.describe_replication_groups()["ReplicationGroups"] == []
    assert api.describe_cache_clusters()["CacheClusters"] == []
    assert [user["UserId"] for user in api.describe_users()["Users"]] == ["default"]
    assert [vpc["IsDefault"] for vpc in service.api("ec2").describe_vpcs()["Vpcs"]] == [True]
    assert service.api("iam").list_users()["Users"] == []
    assert service.api("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert not service.node_pids()


def test_terraform(tmp_path, own_service):
    folder = tmp_path / "terraform"
    shutil.copytree(EXAMPLES / "terraform", folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    terraform = prepare_folder(folder, own_service.environment())
    quiet = ("-input=false", "-no-color")
    assert terraform("fmt", "-check", "-diff", check=False).stdout == ""
    terraform("apply", "-auto-approve", *quiet)
    again = terraform("plan", *quiet, "-detailed-exitcode", check=False)
    assert again.returncode == 0, f"the second plan is not empty:\n{again.stdout}{again.stderr}"
    check_cache(own_service, terraform("output", "-raw", "primary_endpoint").stdout)
    pages = own_service.describe("shop-pages")
    assert terraform("output", "-raw", "pages_endpoint").stdout == "{Address}:{Port}".format(**pages["ConfigurationEndpoint"])
    watcher = {"aws_access_key_id": terraform("output", "-raw", "watcher_key").stdout,
               "aws_secret_access_key": terraform("output", "-raw", "watcher_secret").stdout}
    may_look = own_service.client(**watcher)
    assert len(may_look.describe_cache_clusters()["CacheClusters"]) == 2
    with pytest.raises(botocore.exceptions.ClientError, match="not authorized"):
        may_look.delete_replication_group(ReplicationGroupId="shop")
    change = ("-var", "node_type=cache.t4g.small", "-var", "cpu_alarm_percent=90")
    terraform("apply", "-auto-approve", *quiet, *change)
    again = terraform("plan", *quiet, "-detailed-exitcode", *change, check=False)
    assert again.returncode == 0, f"the plan after the change is not empty:\n{again.stdout}{again.stderr}"
    assert own_service.describe("shop-001")["CacheNodeType"] == "cache.t4g.small"
    terraform("destroy", "-auto-approve", *quiet, *change)
    check_nothing_left(own_service)


def test_cloud_shell(own_service):
    environment = {**own_service.environment(), "PASSWORD": PASSWORD}
    made = run([str(EXAMPLES / "cloud-shell" / "make-caches.sh"), "shop"], env=environment)
    check_cache(own_service, made.stdout.strip())
    [alarm] = own_service.api("cloudwatch").describe_alarms(AlarmNames=["shop-cpu"])["MetricAlarms"]
    assert alarm["Threshold"] == 80
    for _ in range(2):  # it may be repeated
        run([str(EXAMPLES / "cloud-shell" / "delete-caches.sh"), "shop"], env=environment)
        check_nothing_left(own_service)
