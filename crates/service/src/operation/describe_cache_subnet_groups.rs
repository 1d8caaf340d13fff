//! DescribeCacheSubnetGroups.

use serde::Deserialize;

use super::{App, Caller, Input, Paging, subnet_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::network::Network;
use crate::resource::subnet_group::SubnetGroup;
use crate::state;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeCacheSubnetGroups {
    cache_subnet_group_name: Option<String>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeCacheSubnetGroups {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(subnet_group::SORT, self.cache_subnet_group_name.as_deref().unwrap_or("*"))))
    }
}

/// Answers one group, or all of them page by page.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeCacheSubnetGroups) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let network = subnet_group::network(app)?;
    let groups = match &input.cache_subnet_group_name {
        Some(name) => vec![subnet_group::find(app, name)?],
        None => all(app, &network)?,
    };
    let page = paging.cut(groups, |group| group.name.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("CacheSubnetGroups", "CacheSubnetGroup", &page.items, |xml, group| {
        subnet_group::write(xml, group, &network, caller);
    });
    Ok(xml)
}

fn all(app: &App, network: &Network) -> Result<Vec<SubnetGroup>, ApiError> {
    let stored = state::list_all::<SubnetGroup>(app.records.as_ref())?;
    let mut groups: Vec<SubnetGroup> = stored.into_iter().map(|stored| stored.value).collect();
    groups.push(SubnetGroup::default_of(network));
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(groups)
}
