variable "name" {
  description = "What the names of everything begin with."
  type        = string
  default     = "shop"
}

variable "node_type" {
  description = "Node type of the replication group."
  type        = string
  default     = "cache.t4g.micro"
}

variable "app_range" {
  description = "Addresses that may connect to the caches."
  type        = string
  default     = "127.0.0.0/8"
}

variable "password" {
  description = "Password of the application's user, 16 to 128 characters."
  type        = string
  default     = "correct-horse-battery-staple"
  sensitive   = true
}

variable "cpu_alarm_percent" {
  description = "Processor time at which the alarm goes off."
  type        = number
  default     = 80
}
