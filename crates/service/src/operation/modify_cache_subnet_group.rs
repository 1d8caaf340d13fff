//! ModifyCacheSubnetGroup.

use serde::Deserialize;

use super::event::note;
use super::{App, Caller, Input, retrying, subnet_group, validate};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::network::Network;
use crate::resource::subnet_group::{DEFAULT_NAME, SubnetGroup};
use crate::state;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyCacheSubnetGroup {
    cache_subnet_group_name: String,
    cache_subnet_group_description: Option<String>,
    subnet_ids: Option<Vec<String>>,
}

impl Input for ModifyCacheSubnetGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(subnet_group::SORT, &self.cache_subnet_group_name)))
    }
}

/// Changes the description, and replaces the subnets, of a group. Answers it.
pub(super) fn run(app: &App, caller: &Caller, input: ModifyCacheSubnetGroup) -> Result<Xml, ApiError> {
    if input.cache_subnet_group_name.eq_ignore_ascii_case(DEFAULT_NAME) {
        return Err(ApiError::invalid_value("The default cache subnet group cannot be modified."));
    }
    let network = subnet_group::network(app)?;
    let group = retrying(|| modify(app, &network, &input))?;
    let mut xml = Xml::new();
    xml.element("CacheSubnetGroup", |xml| subnet_group::write(xml, &group, &network, caller));
    Ok(xml)
}

fn modify(app: &App, network: &Network, input: &ModifyCacheSubnetGroup) -> Result<SubnetGroup, ApiError> {
    let stored = subnet_group::find_stored(app, &input.cache_subnet_group_name)?;
    let mut group = stored.value;
    if let Some(description) = &input.cache_subnet_group_description {
        group.description = validate::description("CacheSubnetGroupDescription", description)?;
    }
    if let Some(asked) = &input.subnet_ids {
        group.set_subnets(asked.clone(), network)?;
        check_unused(app, &group)?;
    }
    app.records.apply(&[
        state::replace(&group, stored.revision)?,
        note(app, SourceType::CacheSubnetGroup, &group.name, "Cache subnet group modified")?,
    ])?;
    Ok(group)
}

/// Refuses a group without a subnet that nodes live in.
fn check_unused(app: &App, group: &SubnetGroup) -> Result<(), ApiError> {
    for cluster in subnet_group::clusters_of(app, &group.name)? {
        let left = cluster.nodes.values().find(|node| !group.subnet_ids.contains(&node.subnet_id));
        if let Some(node) = left {
            let message =
                format!("The subnet {} is in use by the cache cluster {}.", node.subnet_id, cluster.id);
            return Err(ApiError::new("SubnetInUse", message));
        }
    }
    Ok(())
}
