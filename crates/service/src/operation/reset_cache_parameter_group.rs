//! ResetCacheParameterGroup.

use serde::Deserialize;

use super::event::note;
use super::parameter_group::{self, ParameterNameValue};
use super::{App, Caller, Input, retrying};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::parameter_group::ParameterGroup;
use crate::state;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResetCacheParameterGroup {
    cache_parameter_group_name: String,
    reset_all_parameters: Option<bool>,
    parameter_name_values: Option<Vec<ParameterNameValue>>,
}

impl Input for ResetCacheParameterGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(parameter_group::SORT, &self.cache_parameter_group_name)))
    }
}

/// Takes some or all parameters of a group back to their defaults; nodes follow. Answers its name.
pub(super) fn run(app: &App, _caller: &Caller, input: ResetCacheParameterGroup) -> Result<Xml, ApiError> {
    // Values may stand in the request; they say nothing.
    let names = input.parameter_name_values.unwrap_or_default().into_iter().map(|p| p.parameter_name);
    let names: Vec<String> = names.collect();
    let all = input.reset_all_parameters.unwrap_or(false);
    let name = retrying(|| reset(app, &input.cache_parameter_group_name, all, &names))?;
    let mut xml = Xml::new();
    xml.text("CacheParameterGroupName", &name);
    Ok(xml)
}

fn reset(app: &App, name: &str, all: bool, names: &[String]) -> Result<String, ApiError> {
    let stored = parameter_group::find_own(app, name, "reset")?;
    let mut group = stored.value;
    let in_use = parameter_group::is_used(app, &group.name)?;
    change(&mut group, all, names, in_use)?;
    let what = if all { "all parameters".to_owned() } else { names.join(", ") };
    let message = format!("Reset {what} to the default");
    let event = note(app, SourceType::CacheParameterGroup, &group.name, message)?;
    app.records.apply(&[state::replace(&group, stored.revision)?, event])?;
    Ok(group.name)
}

fn change(group: &mut ParameterGroup, all: bool, names: &[String], in_use: bool) -> Result<(), ApiError> {
    match (all, names.is_empty()) {
        (true, true) => Ok(group.reset_all(in_use)?),
        (true, false) => Err(ApiError::invalid_combination(
            "ParameterNameValues cannot be given when ResetAllParameters is true.",
        )),
        (false, true) => Err(ApiError::invalid_combination(
            "Either ResetAllParameters must be true, or ParameterNameValues must be given.",
        )),
        (false, false) => {
            parameter_group::check_count(names.len())?;
            Ok(group.reset(names, in_use)?)
        }
    }
}
