//! DescribeCacheSecurityGroups.

use serde::Deserialize;

use super::{App, Caller, Input, Paging, cache_security_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeCacheSecurityGroups {
    cache_security_group_name: Option<String>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeCacheSecurityGroups {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(self.cache_security_group_name.as_deref().map(|name| caller.arn(cache_security_group::SORT, name)))
    }
}

/// Answers that there are none: they cannot be made.
pub(super) fn run(_app: &App, _caller: &Caller, input: DescribeCacheSecurityGroups) -> Result<Xml, ApiError> {
    Paging::new(input.marker.as_deref(), input.max_records)?;
    if let Some(name) = &input.cache_security_group_name {
        let shown: String = name.chars().take(64).collect();
        return Err(ApiError::new(
            "CacheSecurityGroupNotFound",
            format!("CacheSecurityGroup not found: {shown}"),
        ));
    }
    let mut xml = Xml::new();
    xml.empty("CacheSecurityGroups");
    Ok(xml)
}
