//! RemoveTagsFromResource.

use serde::Deserialize;

use super::{App, Caller, Input, retrying, tag};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemoveTagsFromResource {
    resource_name: String,
    tag_keys: Vec<String>,
}

impl Input for RemoveTagsFromResource {
    fn resource(&self, _caller: &Caller) -> Result<Option<Arn>, ApiError> {
        tag::arn(&self.resource_name).map(Some)
    }
}

/// Takes tags away; keys that are not there are as they should be. Answers the tags that are left.
pub(super) fn run(app: &App, caller: &Caller, input: RemoveTagsFromResource) -> Result<Xml, ApiError> {
    let arn = tag::arn(&input.resource_name)?;
    retrying(|| {
        let mut tagged = tag::find(app, caller, &arn)?;
        tagged.tags.remove(&input.tag_keys);
        tagged.store(app)?;
        Ok(tagged.answer())
    })
}
