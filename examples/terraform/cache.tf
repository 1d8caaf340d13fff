resource "aws_elasticache_parameter_group" "tuned" {
  name        = "${var.name}-tuned"
  family      = "redis7"
  description = "Evicts what was not used for long, and tells of keys that expire"

  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lru"
  }
  parameter {
    name  = "notify-keyspace-events"
    value = "Ex"
  }
}

resource "aws_elasticache_replication_group" "main" {
  replication_group_id       = var.name
  description                = "Sessions and baskets"
  engine                     = "redis"
  engine_version             = "7.1"
  node_type                  = var.node_type
  num_cache_clusters         = 1
  parameter_group_name       = aws_elasticache_parameter_group.tuned.name
  subnet_group_name          = aws_elasticache_subnet_group.cache.name
  security_group_ids         = [aws_security_group.cache.id]
  user_group_ids             = [aws_elasticache_user_group.shop.user_group_id]
  transit_encryption_enabled = true
  snapshot_retention_limit   = 3
  snapshot_window            = "03:00-04:00"
  maintenance_window         = "sun:05:00-sun:06:00"
  apply_immediately          = true
}

resource "aws_elasticache_cluster" "pages" {
  cluster_id         = "${var.name}-pages"
  engine             = "memcached"
  engine_version     = "1.6.22"
  node_type          = "cache.t4g.micro"
  num_cache_nodes    = 2
  az_mode            = "cross-az"
  subnet_group_name  = aws_elasticache_subnet_group.cache.name
  security_group_ids = [aws_security_group.cache.id]
  apply_immediately  = true
}
