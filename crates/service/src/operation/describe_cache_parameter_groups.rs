//! DescribeCacheParameterGroups.

use serde::Deserialize;

use super::{App, Caller, Input, Paging, parameter_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::parameter_group::ParameterGroup;
use crate::state;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeCacheParameterGroups {
    cache_parameter_group_name: Option<String>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeCacheParameterGroups {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(parameter_group::SORT, self.cache_parameter_group_name.as_deref().unwrap_or("*"))))
    }
}

/// Answers one group, or all of them page by page.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeCacheParameterGroups) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let groups = match &input.cache_parameter_group_name {
        Some(name) => vec![parameter_group::find(app, name)?],
        None => all(app)?,
    };
    let page = paging.cut(groups, |group| group.name.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("CacheParameterGroups", "CacheParameterGroup", &page.items, |xml, group| {
        parameter_group::write(xml, group, caller);
    });
    Ok(xml)
}

fn all(app: &App) -> Result<Vec<ParameterGroup>, ApiError> {
    let mut groups = ParameterGroup::defaults();
    let stored = state::list_all::<ParameterGroup>(app.records.as_ref())?;
    groups.extend(stored.into_iter().map(|stored| stored.value));
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(groups)
}
