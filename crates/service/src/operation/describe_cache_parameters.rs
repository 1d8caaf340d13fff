//! DescribeCacheParameters.

use serde::Deserialize;

use super::{App, Caller, Input, Paging, parameter_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::parameter::Parameter;

/// Which parameters are asked for.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Source {
    User,
    System,
    EngineDefault,
}

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeCacheParameters {
    cache_parameter_group_name: String,
    source: Option<Source>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeCacheParameters {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(parameter_group::SORT, &self.cache_parameter_group_name)))
    }
}

/// Answers the parameters of a group, page by page; those that depend on the node type come with the first page.
pub(super) fn run(app: &App, _caller: &Caller, input: DescribeCacheParameters) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let group = parameter_group::find(app, &input.cache_parameter_group_name)?;
    let family = group.family()?;
    let wanted = |parameter: &&Parameter| {
        input.source.is_none_or(|source| match source {
            Source::User => parameter_group::source(&group, parameter) == "user",
            Source::System => parameter_group::source(&group, parameter) == "system",
            Source::EngineDefault => false,
        })
    };
    let parameters = group.parameters().filter(wanted);
    let (specific, plain): (Vec<_>, Vec<_>) =
        parameters.partition(|p| parameter_group::is_node_type_specific(p));
    let page = paging.cut(plain, |parameter| parameter.name.to_owned());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("Parameters", "Parameter", &page.items, |xml, parameter| {
        parameter_group::write_parameter(xml, &group, family, parameter);
    });
    let specific = if paging.is_first() { specific } else { Vec::new() };
    parameter_group::write_node_type_specific(&mut xml, &group, family, specific);
    Ok(xml)
}
