terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

# Region, credentials and endpoints come from the environment.
provider "aws" {
  skip_metadata_api_check = true
  default_tags {
    tags = { example = "terraform" }
  }
}
