//! ListTagsForResource.

use serde::Deserialize;

use super::{App, Caller, Input, tag};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsForResource {
    resource_name: String,
}

impl Input for ListTagsForResource {
    fn resource(&self, _caller: &Caller) -> Result<Option<Arn>, ApiError> {
        tag::arn(&self.resource_name).map(Some)
    }
}

/// Answers all tags of a resource.
pub(super) fn run(app: &App, caller: &Caller, input: ListTagsForResource) -> Result<Xml, ApiError> {
    Ok(tag::find(app, caller, &tag::arn(&input.resource_name)?)?.answer())
}
