data "aws_availability_zones" "all" {
  state = "available"
}

resource "aws_vpc" "main" {
  cidr_block           = "10.42.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_subnet" "cache" {
  count             = 2
  vpc_id            = aws_vpc.main.id
  cidr_block        = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
  availability_zone = data.aws_availability_zones.all.names[count.index]
  tags              = { Name = "${var.name}-${count.index}" }
}

resource "aws_elasticache_subnet_group" "cache" {
  name       = var.name
  subnet_ids = aws_subnet.cache[*].id
}

resource "aws_security_group" "cache" {
  name        = "${var.name}-cache"
  description = "Who may connect to the caches"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "redis" {
  security_group_id = aws_security_group.cache.id
  description       = "The application"
  cidr_ipv4         = var.app_range
  ip_protocol       = "tcp"
  from_port         = 6379
  to_port           = 6379
}

resource "aws_vpc_security_group_ingress_rule" "memcached" {
  security_group_id = aws_security_group.cache.id
  description       = "The application"
  cidr_ipv4         = var.app_range
  ip_protocol       = "tcp"
  from_port         = 11211
  to_port           = 11211
}
