//! AddTagsToResource.

use serde::Deserialize;

use super::{App, Caller, Input, retrying, tag};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::tag::Tag;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddTagsToResource {
    resource_name: String,
    tags: Vec<Tag>,
}

impl Input for AddTagsToResource {
    fn resource(&self, _caller: &Caller) -> Result<Option<Arn>, ApiError> {
        tag::arn(&self.resource_name).map(Some)
    }
}

/// Adds tags; keys that are there get the new value. Answers all tags.
pub(super) fn run(app: &App, caller: &Caller, input: AddTagsToResource) -> Result<Xml, ApiError> {
    let arn = tag::arn(&input.resource_name)?;
    retrying(|| {
        let mut tagged = tag::find(app, caller, &arn)?;
        tagged.tags.add(input.tags.clone())?;
        tagged.store(app)?;
        Ok(tagged.answer())
    })
}
