//! DescribeEngineDefaultParameters.

use serde::Deserialize;

use super::{App, Caller, Input, Paging, parameter_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::parameter_group::{DEFAULT_PREFIX, find_family};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeEngineDefaultParameters {
    cache_parameter_group_family: String,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeEngineDefaultParameters {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(parameter_group::SORT, "*")))
    }
}

/// Answers the parameters of a family, page by page; those that depend on the node type come with the first page.
pub(super) fn run(
    app: &App,
    _caller: &Caller,
    input: DescribeEngineDefaultParameters,
) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let family = find_family(&input.cache_parameter_group_family)?;
    let group = parameter_group::find(app, &format!("{DEFAULT_PREFIX}{}", family.name))?;
    let (specific, plain): (Vec<_>, Vec<_>) =
        group.parameters().partition(|parameter| parameter_group::is_node_type_specific(parameter));
    let page = paging.cut(plain, |parameter| parameter.name.to_owned());
    let specific = if paging.is_first() { specific } else { Vec::new() };
    let mut xml = Xml::new();
    xml.element("EngineDefaults", |xml| {
        xml.text("CacheParameterGroupFamily", family.name);
        page.write_marker(xml);
        xml.list("Parameters", "Parameter", &page.items, |xml, parameter| {
            parameter_group::write_parameter(xml, &group, family, parameter);
        });
        parameter_group::write_node_type_specific(xml, &group, family, specific);
    });
    Ok(xml)
}
