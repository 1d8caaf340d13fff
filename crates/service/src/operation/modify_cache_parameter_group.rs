//! ModifyCacheParameterGroup.

use serde::Deserialize;

use super::event::note;
use super::parameter_group::{self, ParameterNameValue};
use super::{App, Caller, Input, retrying};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::state;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyCacheParameterGroup {
    cache_parameter_group_name: String,
    parameter_name_values: Vec<ParameterNameValue>,
}

impl Input for ModifyCacheParameterGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(parameter_group::SORT, &self.cache_parameter_group_name)))
    }
}

/// Sets parameters of a group; nodes follow. Answers its name.
pub(super) fn run(app: &App, _caller: &Caller, input: ModifyCacheParameterGroup) -> Result<Xml, ApiError> {
    let mut changes = Vec::new();
    for change in input.parameter_name_values {
        let Some(value) = change.parameter_value else {
            let message = format!("The parameter {} must have a ParameterValue.", change.parameter_name);
            return Err(ApiError::invalid_value(message));
        };
        changes.push((change.parameter_name, value));
    }
    let name = retrying(|| set(app, &input.cache_parameter_group_name, &changes))?;
    let mut xml = Xml::new();
    xml.text("CacheParameterGroupName", &name);
    Ok(xml)
}

fn set(app: &App, name: &str, changes: &[(String, String)]) -> Result<String, ApiError> {
    let stored = parameter_group::find_own(app, name, "modified")?;
    parameter_group::check_count(changes.len())?;
    let mut group = stored.value;
    group.set(changes, parameter_group::is_used(app, &group.name)?)?;
    let mut records = vec![state::replace(&group, stored.revision)?];
    for (parameter, value) in changes {
        let message = format!("Updated parameter {parameter} to {value}");
        records.push(note(app, SourceType::CacheParameterGroup, &group.name, message)?);
    }
    app.records.apply(&records)?;
    Ok(group.name)
}
