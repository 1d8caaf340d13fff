# Whoever names no user is this one, and may do nothing.
resource "aws_elasticache_user" "default" {
  user_id              = "${var.name}-default"
  user_name            = "default"
  engine               = "redis"
  access_string        = "off -@all"
  no_password_required = true
}

resource "aws_elasticache_user" "app" {
  user_id       = "${var.name}-app"
  user_name     = "shop"
  engine        = "redis"
  access_string = "on ~shop:* -@all +@read +@write +@connection -@dangerous"
  passwords     = [var.password]
}

resource "aws_elasticache_user_group" "shop" {
  user_group_id = var.name
  engine        = "redis"
  user_ids      = [aws_elasticache_user.default.user_id, aws_elasticache_user.app.user_id]
}

# Somebody who may look at caches and their metrics, and change nothing.
resource "aws_iam_user" "watcher" {
  name = "${var.name}-watcher"
}

resource "aws_iam_policy" "look" {
  name        = "${var.name}-look"
  description = "To look at caches and their metrics"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["elasticache:Describe*", "elasticache:List*", "cloudwatch:Get*", "cloudwatch:List*", "cloudwatch:Describe*"]
      Resource = "*"
    }]
  })
}

resource "aws_iam_user_policy_attachment" "look" {
  user       = aws_iam_user.watcher.name
  policy_arn = aws_iam_policy.look.arn
}

resource "aws_iam_access_key" "watcher" {
  user = aws_iam_user.watcher.name
}
