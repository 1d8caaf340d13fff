output "primary_endpoint" {
  value = aws_elasticache_replication_group.main.primary_endpoint_address
}

output "pages_endpoint" {
  description = "Configuration endpoint: clients with Auto Discovery find all nodes by it."
  value       = aws_elasticache_cluster.pages.configuration_endpoint
}

output "password" {
  value     = var.password
  sensitive = true
}

output "watcher_key" {
  value = aws_iam_access_key.watcher.id
}

output "watcher_secret" {
  value     = aws_iam_access_key.watcher.secret
  sensitive = true
}
