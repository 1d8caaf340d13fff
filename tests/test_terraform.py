"""Terraform's AWS provider, as it is: make, plan again without a change, destroy."""

import pytest
import redis

from ports import free_port
from service import Service
from terraform import prepare

HEAD = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "5.100.0" }
  }
}

variable "endpoint" {}
variable "subnet" {}

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  endpoints { elasticache = var.endpoint }
}
"""

MAIN = HEAD + """
resource "aws_elasticache_subnet_group" "app" {
  name       = "tf-app"
  subnet_ids = [var.subnet]
}

resource "aws_elasticache_parameter_group" "tuned" {
  name   = "tf-tuned"
  family = "redis7"
  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lru"
  }
}

resource "aws_elasticache_cluster" "sessions" {
  cluster_id           = "tf-sessions"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = "cache.t3.micro"
  num_cache_nodes      = 1
  parameter_group_name = aws_elasticache_parameter_group.tuned.name
  subnet_group_name    = aws_elasticache_subnet_group.app.name
  apply_immediately    = true
  tags                 = { team = "search" }
}

resource "aws_elasticache_cluster" "pages" {
  cluster_id        = "tf-pages"
  engine            = "memcached"
  node_type         = "cache.t3.small"
  num_cache_nodes   = 2
  subnet_group_name = aws_elasticache_subnet_group.app.name

  notification_topic_arn = "arn:aws:sns:us-east-1:000000000000:caches"
}

output "sessions" { value = aws_elasticache_cluster.sessions.cache_nodes[0].address }
output "pages"    { value = aws_elasticache_cluster.pages.configuration_endpoint }
"""

# One member: replicas need a node program that replicates (test_groups.py).
GROUPS = HEAD + """
variable "node_type" {}

resource "aws_elasticache_user" "default" {
  user_id              = "tf-default"
  user_name            = "default"
  engine               = "redis"
  access_string        = "off -@all"
  no_password_required = true
}

resource "aws_elasticache_user" "ann" {
  user_id       = "tf-ann"
  user_name     = "ann"
  engine        = "redis"
  access_string = "on ~app:* -@all +@read"
  passwords     = ["correct-horse-battery"]
}

resource "aws_elasticache_user_group" "team" {
  user_group_id = "tf-team"
  engine        = "redis"
  user_ids      = [aws_elasticache_user.default.user_id]
  lifecycle {
    ignore_changes = [user_ids]
  }
}

resource "aws_elasticache_user_group_association" "ann" {
  user_group_id = aws_elasticache_user_group.team.user_group_id
  user_id       = aws_elasticache_user.ann.user_id
}

resource "aws_elasticache_replication_group" "shop" {
  replication_group_id = "tf-shop"
  description          = "a shop"
  node_type            = var.node_type
  engine               = "redis"
  engine_version       = "7.1"
  num_cache_clusters   = 1
  apply_immediately    = true
  tags                 = { team = "search" }

  notification_topic_arn = "arn:aws:sns:us-east-1:000000000000:caches"
}

variable "token" {}
variable "strategy" {}

resource "aws_elasticache_replication_group" "vault" {
  replication_group_id       = "tf-vault"
  description                = "behind a token"
  node_type                  = "cache.t3.micro"
  engine                     = "redis"
  engine_version             = "7.1"
  num_cache_clusters         = 1
  apply_immediately          = true
  transit_encryption_enabled = true
  auth_token                 = var.token
  auth_token_update_strategy = var.strategy
}

data "aws_elasticache_replication_group" "shop" {
  replication_group_id = aws_elasticache_replication_group.shop.replication_group_id
}

data "aws_elasticache_user" "ann" {
  user_id = aws_elasticache_user.ann.user_id
}

output "primary" { value = data.aws_elasticache_replication_group.shop.primary_endpoint_address }
"""


@pytest.fixture
def own_service(tmp_path):
    """A service that publishes where nothing answers, which must not matter to anybody."""
    service = Service(tmp_path / "data", options=["--sns-endpoint", f"http://127.0.0.1:{free_port()}"])
    try:
        yield service.start()
    finally:
        service.clean_up()


@pytest.fixture
def terraform(tmp_path, own_service):
    return prepare(tmp_path / "tf", own_service, MAIN)


@pytest.mark.slow
def test_apply_plan_destroy(terraform, own_service):
    terraform("apply", "-auto-approve", "-input=false", "-no-color")
    assert own_service.describe("tf-sessions")["CacheClusterStatus"] == "available"
    assert len(own_service.describe("tf-pages")["CacheNodes"]) == 2
    assert own_service.describe("tf-pages")["NotificationConfiguration"]["TopicStatus"] == "active"
    again = terraform("plan", "-input=false", "-no-color", "-detailed-exitcode", check=False)
    assert again.returncode == 0, f"the second plan is not empty:\n{again.stdout}"
    terraform("destroy", "-auto-approve", "-input=false", "-no-color")
    assert own_service.client().describe_cache_clusters()["CacheClusters"] == []
    assert not own_service.node_pids()


@pytest.mark.slow
def test_groups_and_users(terraform, tmp_path, own_service):
    (tmp_path / "tf" / "main.tf").write_text(GROUPS)

    def apply(node_type, token, strategy):
        values = [f"-var=node_type={node_type}", f"-var=token={token}", f"-var=strategy={strategy}"]
        terraform("apply", "-auto-approve", "-input=false", "-no-color", *values)
        again = terraform("plan", "-input=false", "-no-color", "-detailed-exitcode", *values, check=False)
        assert again.returncode == 0, f"the second plan is not empty:\n{again.stdout}"
        return values

    def lets_in(token):
        [group] = api.describe_replication_groups(ReplicationGroupId="tf-vault")["ReplicationGroups"]
        where = group["NodeGroups"][0]["PrimaryEndpoint"]
        client = redis.Redis(where["Address"], where["Port"], password=token, ssl=True,
                             ssl_ca_certs=own_service.info["authority"])
        try:
            return client.ping()
        except redis.AuthenticationError:
            return False

    api = own_service.client()
    old, new = "the-old-token-of-all", "the-new-token-of-all"
    for node_type, token, strategy, accepted in [
        ("cache.t3.micro", old, "ROTATE", [old]),
        ("cache.t3.small", new, "ROTATE", [old, new]),
        ("cache.t3.small", new, "SET", [new]),
    ]:
        values = apply(node_type, token, strategy)
        [group] = api.describe_replication_groups(ReplicationGroupId="tf-shop")["ReplicationGroups"]
        assert (group["Status"], group["CacheNodeType"]) == ("available", node_type)
        assert [token for token in (old, new) if lets_in(token)] == accepted
        [team] = api.describe_user_groups()["UserGroups"]
        assert team["UserIds"] == ["tf-ann", "tf-default"]
    terraform("destroy", "-auto-approve", "-input=false", "-no-color", *values)
    assert api.describe_replication_groups()["ReplicationGroups"] == []
    assert [user["UserId"] for user in api.describe_users()["Users"]] == ["default"]
    assert not own_service.node_pids()
