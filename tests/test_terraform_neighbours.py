"""Terraform's AWS provider with networks, IAM and alarms: make, an empty second plan, change, destroy."""

import botocore.exceptions
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
variable "threshold" { default = 80 }
variable "client_range" { default = "10.20.0.0/16" }

provider "aws" {
  region                      = "us-east-1"
  skip_metadata_api_check     = true
  skip_region_validation      = true
  endpoints {
    elasticache = var.endpoint
    ec2         = var.endpoint
    iam         = var.endpoint
    sts         = var.endpoint
    cloudwatch  = var.endpoint
  }
}

data "aws_caller_identity" "me" {}

data "aws_vpc" "default" { default = true }

resource "aws_vpc" "main" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "main" }
}

resource "aws_subnet" "a" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = "10.20.1.0/24"
  availability_zone = "us-east-1a"
  tags              = { Name = "a" }
}

resource "aws_security_group" "cache" {
  name        = "cache"
  description = "cache"
  vpc_id      = aws_vpc.main.id
  ingress {
    from_port   = 6379
    to_port     = 6379
    protocol    = "tcp"
    cidr_blocks = [var.client_range]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "bare" {
  name_prefix = "bare"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "one" {
  security_group_id            = aws_security_group.bare.id
  referenced_security_group_id = aws_security_group.cache.id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6380
  tags                         = { Name = "one" }
}

resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.bare.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_security_group_rule" "old" {
  type              = "ingress"
  security_group_id = aws_security_group.bare.id
  from_port         = 11211
  to_port           = 11211
  protocol          = "tcp"
  cidr_blocks       = ["10.20.1.0/24"]
}

resource "aws_elasticache_subnet_group" "app" {
  name       = "tf-own"
  subnet_ids = [aws_subnet.a.id]
}

resource "aws_iam_user" "app" {
  name          = "tf-app"
  force_destroy = true
  tags = { team = "search" }
}

resource "aws_iam_access_key" "app" { user = aws_iam_user.app.name }

resource "aws_iam_policy" "read" {
  name = "tf-read"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "elasticache:Describe*", Resource = "*",
                   Condition = { NumericLessThan = { "elasticache:NumNodeGroups" = tostring(var.threshold) } } }]
  })
}

resource "aws_iam_user_policy_attachment" "read" {
  user       = aws_iam_user.app.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_user_policy" "own" {
  name = "own"
  user = aws_iam_user.app.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Resource = aws_iam_role.deploy.arn }]
  })
}

resource "aws_iam_group" "team" { name = "tf-team" }

resource "aws_iam_user_group_membership" "app" {
  user   = aws_iam_user.app.name
  groups = [aws_iam_group.team.name]
}

resource "aws_iam_role" "deploy" {
  name = "tf-deploy"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole",
                   Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" } }]
  })
}

resource "aws_iam_role_policy_attachment" "deploy" {
  role       = aws_iam_role.deploy.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonElastiCacheFullAccess"
}

resource "aws_iam_instance_profile" "deploy" {
  name = "tf-deploy"
  role = aws_iam_role.deploy.name
  tags = { team = "search" }
}

resource "aws_iam_account_alias" "alias" { account_alias = "tf-larder" }

resource "aws_iam_group_policy" "team" {
  name   = "look"
  group  = aws_iam_group.team.name
  policy = aws_iam_policy.read.policy
}

resource "aws_cloudwatch_metric_alarm" "misses" {
  alarm_name          = "tf-misses"
  comparison_operator = "LessThanThreshold"
  threshold           = var.threshold
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  metric_query {
    id          = "rate"
    expression  = "100 * hits / (hits + misses)"
    label       = "Hit rate"
    return_data = true
  }
  metric_query {
    id = "hits"
    metric {
      namespace   = "AWS/ElastiCache"
      metric_name = "CacheHits"
      period      = 300
      stat        = "Sum"
      dimensions  = { CacheClusterId = "none" }
    }
  }
  metric_query {
    id = "misses"
    metric {
      namespace   = "AWS/ElastiCache"
      metric_name = "CacheMisses"
      period      = 300
      stat        = "Sum"
      dimensions  = { CacheClusterId = "none" }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "tail" {
  alarm_name          = "tf-tail"
  namespace           = "AWS/ElastiCache"
  metric_name         = "GetTypeCmdsLatency"
  dimensions          = { CacheClusterId = "none" }
  extended_statistic  = "p99"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 500
  period              = 60
  evaluation_periods  = 1
}

resource "aws_cloudwatch_metric_alarm" "cpu" {
  alarm_name          = "tf-cpu"
  namespace           = "AWS/ElastiCache"
  metric_name         = "CPUUtilization"
  dimensions          = { CacheClusterId = "none", CacheNodeId = "0001" }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.threshold
  period              = 60
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  tags                = { team = "search" }
}
"""

CHANGE = ["-var", "threshold=90", "-var", "client_range=10.0.0.0/8"]


@pytest.fixture
def terraform(tmp_path, own_service):
    return prepare(tmp_path / "tf", own_service, MAIN)


@pytest.mark.slow
def test_networks_iam_and_alarms(terraform, own_service):
    quiet = ("-input=false", "-no-color")
    terraform("apply", "-auto-approve", *quiet)
    again = terraform("plan", *quiet, "-detailed-exitcode", check=False)
    assert again.returncode == 0, f"the second plan is not empty:\n{again.stdout}{again.stderr}"
    terraform("apply", "-auto-approve", *quiet, *CHANGE)
    again = terraform("plan", *quiet, "-detailed-exitcode", *CHANGE, check=False)
    assert again.returncode == 0, f"the plan after the change is not empty:\n{again.stdout}{again.stderr}"
    (alarm,) = own_service.api("cloudwatch").describe_alarms(AlarmNames=["tf-cpu"])["MetricAlarms"]
    assert alarm["Threshold"] == 90
    terraform("destroy", "-auto-approve", *quiet, *CHANGE)
    assert [vpc["IsDefault"] for vpc in own_service.api("ec2").describe_vpcs()["Vpcs"]] == [True]
    with pytest.raises(botocore.exceptions.ClientError):
        own_service.api("iam").get_user(UserName="tf-app")
