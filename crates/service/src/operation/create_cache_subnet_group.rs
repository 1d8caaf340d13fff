//! CreateCacheSubnetGroup.

use serde::Deserialize;

use super::event::note;
use super::{App, Caller, Input, subnet_group, validate};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::subnet_group::{DEFAULT_NAME, GROUPS_MAX, SubnetGroup};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{self, StateError};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateCacheSubnetGroup {
    cache_subnet_group_name: String,
    cache_subnet_group_description: String,
    subnet_ids: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreateCacheSubnetGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(subnet_group::SORT, &self.cache_subnet_group_name)))
    }
}

/// Makes a group. Answers it.
pub(super) fn run(app: &App, caller: &Caller, input: CreateCacheSubnetGroup) -> Result<Xml, ApiError> {
    let name = validate::subnet_group_name(&input.cache_subnet_group_name)?;
    let description =
        validate::description("CacheSubnetGroupDescription", &input.cache_subnet_group_description)?;
    let network = subnet_group::network(app)?;
    let mut group = SubnetGroup { name, description, ..SubnetGroup::default_of(&network) };
    group.set_subnets(input.subnet_ids, &network)?;
    let mut tags = TagSet::none(subnet_group::SORT, &group.name);
    tags.add(input.tags)?;
    check_quota(app)?;
    store(app, &group, &tags)?;
    let mut xml = Xml::new();
    xml.element("CacheSubnetGroup", |xml| subnet_group::write(xml, &group, &network, caller));
    Ok(xml)
}

fn check_quota(app: &App) -> Result<(), ApiError> {
    let count = state::list_all::<SubnetGroup>(app.records.as_ref())?.len();
    if count >= GROUPS_MAX {
        let message = format!("There can be at most {GROUPS_MAX} cache subnet groups.");
        return Err(ApiError::new("CacheSubnetGroupQuotaExceeded", message));
    }
    Ok(())
}

fn store(app: &App, group: &SubnetGroup, tags: &TagSet) -> Result<(), ApiError> {
    let exists = || {
        let message = format!("Cache subnet group {} already exists.", group.name);
        ApiError::new("CacheSubnetGroupAlreadyExists", message)
    };
    if group.name == DEFAULT_NAME {
        return Err(exists());
    }
    match app.records.apply(&[
        state::create(group)?,
        state::create(tags)?,
        note(app, SourceType::CacheSubnetGroup, &group.name, "Cache subnet group created")?,
    ]) {
        Err(StateError::Conflict { .. }) => Err(exists()),
        other => Ok(other.map(drop)?),
    }
}
