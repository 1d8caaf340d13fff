//! AuthorizeCacheSecurityGroupIngress.

use serde::Deserialize;

use super::{App, Caller, Input, cache_security_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuthorizeCacheSecurityGroupIngress {
    cache_security_group_name: String,
}

impl Input for AuthorizeCacheSecurityGroupIngress {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(cache_security_group::SORT, &self.cache_security_group_name)))
    }
}

/// Refuses, as ElastiCache does in accounts with VPCs.
pub(super) fn run(
    _app: &App,
    _caller: &Caller,
    input: AuthorizeCacheSecurityGroupIngress,
) -> Result<Xml, ApiError> {
    Err(cache_security_group::refusal(&input.cache_security_group_name))
}
