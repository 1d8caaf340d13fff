//! What the operations on parameter groups share: looking one up, and its form in answers.

use serde::Deserialize;

use super::{App, Caller};
use crate::front::{ApiError, Xml};
use crate::resource::cluster::Cluster;
use crate::resource::engine_version::Family;
use crate::resource::parameter::{DefaultValue, Parameter};
use crate::resource::parameter_group::{CHANGES_MAX, DEFAULT_PREFIX, ParameterGroup};
use crate::resource::refusal::Refusal;
use crate::state::{self, Stored};

/// Sort of resource in ARNs.
pub const SORT: &str = "parametergroup";

/// One parameter of a request that sets or resets some.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ParameterNameValue {
    pub(super) parameter_name: String,
    pub(super) parameter_value: Option<String>,
}

/// The group that users know by that name, one that they made or a default group.
///
/// # Errors
/// `CacheParameterGroupNotFound`.
pub fn find(app: &App, name: &str) -> Result<ParameterGroup, ApiError> {
    let name = name.to_ascii_lowercase();
    if name.starts_with(DEFAULT_PREFIX) {
        let default = ParameterGroup::defaults().into_iter().find(|group| group.name == name);
        return default.ok_or_else(|| not_found(&name));
    }
    let found = state::find::<ParameterGroup>(app.records.as_ref(), &name)?;
    found.map(|stored| stored.value).ok_or_else(|| not_found(&name))
}

/// A group that a user made, with its revision, for `verb`ing it.
///
/// # Errors
/// `CacheParameterGroupNotFound`, or `InvalidCacheParameterGroupState` for a default group.
pub(super) fn find_own(app: &App, name: &str, verb: &str) -> Result<Stored<ParameterGroup>, ApiError> {
    let name = name.to_ascii_lowercase();
    if find(app, &name)?.is_default() {
        let message = format!("The default cache parameter group {name} cannot be {verb}.");
        return Err(ApiError::new("InvalidCacheParameterGroupState", message));
    }
    let found = state::find::<ParameterGroup>(app.records.as_ref(), &name)?;
    found.ok_or_else(|| not_found(&name))
}

fn not_found(name: &str) -> ApiError {
    let shown: String = name.chars().take(255).collect();
    ApiError::new("CacheParameterGroupNotFound", format!("CacheParameterGroup {shown} not found."))
}

/// Whether caches use the group.
pub(super) fn is_used(app: &App, name: &str) -> Result<bool, ApiError> {
    let clusters = state::list_all::<Cluster>(app.records.as_ref())?;
    Ok(clusters.iter().any(|stored| stored.value.uses_parameter_group(name)))
}

/// Refuses a number of parameters that one call cannot change.
pub(super) fn check_count(count: usize) -> Result<(), Refusal> {
    if (1..=CHANGES_MAX).contains(&count) {
        return Ok(());
    }
    Err(Refusal::value(format!("The parameter ParameterNameValues must have 1 to {CHANGES_MAX} elements.")))
}

/// Writes the members of a group.
pub(super) fn write(xml: &mut Xml, group: &ParameterGroup, caller: &Caller) {
    xml.text("CacheParameterGroupName", &group.name)
        .text("CacheParameterGroupFamily", &group.family)
        .text("Description", &group.description)
        .boolean("IsGlobal", false)
        .text("ARN", &caller.arn(SORT, &group.name).to_string());
}

/// Writes the members of a parameter whose value is the same for all node types.
pub(super) fn write_parameter(xml: &mut Xml, group: &ParameterGroup, family: &Family, parameter: &Parameter) {
    xml.text("ParameterName", parameter.name);
    xml.text("ParameterValue", group.value(parameter).unwrap_or_default());
    write_facts(xml, group, family, parameter);
    xml.text("ChangeType", parameter.change.as_str());
}

/// Writes the list of the parameters whose value depends on the node type.
pub(super) fn write_node_type_specific<'a>(
    xml: &mut Xml,
    group: &ParameterGroup,
    family: &Family,
    parameters: impl IntoIterator<Item = &'a Parameter>,
) {
    xml.list(
        "CacheNodeTypeSpecificParameters",
        "CacheNodeTypeSpecificParameter",
        parameters,
        |xml, parameter| {
            xml.text("ParameterName", parameter.name);
            write_facts(xml, group, family, parameter);
            let values = parameter.values_by_node_type();
            xml.list(
                "CacheNodeTypeSpecificValues",
                "CacheNodeTypeSpecificValue",
                values,
                |xml, (node_type, value)| {
                    xml.text("CacheNodeType", node_type).number("Value", value);
                },
            );
            xml.text("ChangeType", parameter.change.as_str());
        },
    );
}

fn write_facts(xml: &mut Xml, group: &ParameterGroup, family: &Family, parameter: &Parameter) {
    xml.text("Description", parameter.description)
        .text("Source", source(group, parameter))
        .text("DataType", parameter.data_type());
    xml.optional("AllowedValues", Some(parameter.allowed).filter(|allowed| !allowed.is_empty()))
        .boolean("IsModifiable", parameter.modifiable)
        .text("MinimumEngineVersion", parameter.minimum_version(family));
}

/// Whether the value comes from the user or from ElastiCache. (`engine-default` exists in requests, but AWS shows all
/// that users did not set as `system`.)
pub(super) fn source(group: &ParameterGroup, parameter: &Parameter) -> &'static str {
    if group.values.contains_key(parameter.name) { "user" } else { "system" }
}

/// Whether the parameter belongs into the list of those that depend on the node type.
pub(super) fn is_node_type_specific(parameter: &Parameter) -> bool {
    matches!(parameter.default, DefaultValue::PerNodeType(_))
}
