//! Cache security groups, of the time before VPCs: an account with a VPC has none, and cannot make any.

use super::cache_cluster::no_cache_security_groups;
use crate::front::ApiError;

/// Sort of resource in ARNs.
pub(super) const SORT: &str = "securitygroup";

/// The refusal that every operation on such a group answers with.
pub(super) fn refusal(name: &str) -> ApiError {
    match no_cache_security_groups(&[name.to_owned()]) {
        Err(refusal) => ApiError::invalid_value(refusal.message),
        Ok(()) => ApiError::internal(&"cache security groups are not refused"),
    }
}
