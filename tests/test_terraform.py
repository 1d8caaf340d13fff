"""Terraform's AWS provider, as it is: make, plan again without a change, destroy."""

import pytest

from terraform import prepare

MAIN = """
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
}

output "sessions" { value = aws_elasticache_cluster.sessions.cache_nodes[0].address }
output "pages"    { value = aws_elasticache_cluster.pages.configuration_endpoint }
"""


@pytest.fixture
def terraform(tmp_path, own_service):
    return prepare(tmp_path / "tf", own_service, MAIN)


def test_apply_plan_destroy(terraform, own_service):
    terraform("apply", "-auto-approve", "-input=false", "-no-color")
    assert own_service.describe("tf-sessions")["CacheClusterStatus"] == "available"
    assert len(own_service.describe("tf-pages")["CacheNodes"]) == 2
    again = terraform("plan", "-input=false", "-no-color", "-detailed-exitcode", check=False)
    assert again.returncode == 0, f"the second plan is not empty:\n{again.stdout}"
    terraform("destroy", "-auto-approve", "-input=false", "-no-color")
    assert own_service.client().describe_cache_clusters()["CacheClusters"] == []
    assert not own_service.node_pids()
