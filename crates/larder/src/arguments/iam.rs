//! Users, keys and policies.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Asking;

const IAM_EXAMPLES: &str = "\
Examples:
  larder iam create-user ci                         make a user, and its first key
  larder iam attach ci AmazonElastiCacheReadOnlyAccess
  larder iam create-policy deploy policy.json       make a policy of one's own
  larder iam simulate ci elasticache:CreateCacheCluster";

#[derive(Args, Debug)]
#[command(after_help = IAM_EXAMPLES)]
pub(crate) struct Iam {
    #[command(subcommand)]
    pub(crate) action: IamAction,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Subcommand, Debug)]
pub(crate) enum IamAction {
    /// List the users
    Users,
    /// Make a user and its first key
    CreateUser { user: String },
    /// Delete a user with its keys and policies
    DeleteUser { user: String },
    /// List the keys of a user
    Keys { user: String },
    /// Make a key
    CreateKey { user: String },
    /// Delete a key
    DeleteKey { user: String, key: String },
    /// List the policies, or those of a user
    Policies { user: Option<String> },
    /// Make a policy from a file
    CreatePolicy { name: String, file: PathBuf },
    /// Delete a policy
    DeletePolicy { policy: String },
    /// Give a user a policy
    Attach { user: String, policy: String },
    /// Take a policy from a user
    Detach { user: String, policy: String },
    /// Tell whether a user might do something
    Simulate {
        user: String,
        /// Such as elasticache:CreateCacheCluster
        action: String,
        /// ARN of what it is done to [default: anything]
        resource: Option<String>,
    },
}
