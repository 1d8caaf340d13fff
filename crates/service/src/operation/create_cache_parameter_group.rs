//! CreateCacheParameterGroup.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::event::note;
use super::{App, Caller, Input, parameter_group, validate};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::parameter_group::{GROUPS_MAX, ParameterGroup, find_family};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{self, StateError};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateCacheParameterGroup {
    cache_parameter_group_name: String,
    cache_parameter_group_family: String,
    description: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreateCacheParameterGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(parameter_group::SORT, &self.cache_parameter_group_name)))
    }
}

/// Makes a group with the family's defaults. Answers it.
pub(super) fn run(app: &App, caller: &Caller, input: CreateCacheParameterGroup) -> Result<Xml, ApiError> {
    let group = ParameterGroup {
        name: validate::parameter_group_name(&input.cache_parameter_group_name)?,
        family: find_family(&input.cache_parameter_group_family)?.name.to_owned(),
        description: validate::description("Description", &input.description)?,
        values: BTreeMap::new(),
    };
    let mut tags = TagSet::none(parameter_group::SORT, &group.name);
    tags.add(input.tags)?;
    let count = state::list_all::<ParameterGroup>(app.records.as_ref())?.len();
    if count >= GROUPS_MAX {
        let message = format!("There can be at most {GROUPS_MAX} cache parameter groups.");
        return Err(ApiError::new("CacheParameterGroupQuotaExceeded", message));
    }
    match app.records.apply(&[
        state::create(&group)?,
        state::create(&tags)?,
        note(app, SourceType::CacheParameterGroup, &group.name, "Cache parameter group created")?,
    ]) {
        Err(StateError::Conflict { .. }) => return Err(exists(&group.name)),
        other => other?,
    };
    let mut xml = Xml::new();
    xml.element("CacheParameterGroup", |xml| parameter_group::write(xml, &group, caller));
    Ok(xml)
}

fn exists(name: &str) -> ApiError {
    let message = format!("Parameter group {name} already exists");
    ApiError::new("CacheParameterGroupAlreadyExists", message)
}
