//! What the operations share: finding things, their tags, and the default VPC.

use super::not_found;
use crate::front::ApiError;
use crate::operation::{App, Caller};
use crate::resource::cluster::Cluster;
use crate::resource::ec2::{SecurityGroup, SubnetOfVpc, Vpc};
use crate::resource::network::{DEFAULT_NETWORK_ID, DEFAULT_VPC_PREFIX, Network};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{self, Change, Records, Resource, StateError, Stored, create, find, list_all, replace};

/// What EC2 calls a tag set that is too large.
fn tag_error(refusal: crate::resource::refusal::Refusal) -> ApiError {
    match refusal.code {
        "TagQuotaPerResourceExceeded" => ApiError::new("TagLimitExceeded", refusal.message),
        code => ApiError::new(code, refusal.message),
    }
}

/// Changes that make the default VPC with its subnets and its security group, as the network says.
///
/// # Errors
/// If the default range is none.
pub fn default_records(
    network: &Network,
    base: std::net::Ipv4Addr,
    digits: impl FnMut() -> String,
) -> Result<Vec<Change>, StateError> {
    let range = |base, prefix| ipnet::Ipv4Net::new_assert(base, prefix);
    let vpc = Vpc {
        id: network.vpc_id.clone(),
        range: range(base, DEFAULT_VPC_PREFIX),
        base,
        is_default: true,
        default_group_id: network.default_security_group_id.clone(),
        dns_support: true,
        dns_hostnames: true,
        address_metrics: false,
    };
    let group = SecurityGroup::default_of(&vpc.id, vpc.default_group_id.clone(), digits);
    let mut changes = vec![create(&vpc)?, create(&group)?];
    for subnet in &network.subnets {
        changes.push(create(&SubnetOfVpc {
            subnet: subnet.clone(),
            vpc_id: vpc.id.clone(),
            range: range(subnet.base, subnet.prefix),
            is_default: true,
            public_on_launch: true,
        })?);
    }
    Ok(changes)
}

/// The VPC of that id.
pub(super) fn vpc(app: &App, id: &str) -> Result<Stored<Vpc>, ApiError> {
    find::<Vpc>(app.records.as_ref(), id)?.ok_or_else(|| not_found("InvalidVpcID.NotFound", "vpc", id))
}

/// The subnet of that id.
pub(super) fn subnet(app: &App, id: &str) -> Result<Stored<SubnetOfVpc>, ApiError> {
    let found = find::<SubnetOfVpc>(app.records.as_ref(), id)?;
    found.ok_or_else(|| not_found("InvalidSubnetID.NotFound", "subnet", id))
}

/// The security group of that id.
pub(super) fn group(app: &App, id: &str) -> Result<Stored<SecurityGroup>, ApiError> {
    let found = find::<SecurityGroup>(app.records.as_ref(), id)?;
    found.ok_or_else(|| {
        let shown: String = id.chars().take(64).collect();
        ApiError::new("InvalidGroup.NotFound", format!("The security group '{shown}' does not exist"))
    })
}

/// The default VPC, if it was not deleted.
pub(super) fn default_vpc(app: &App) -> Result<Stored<Vpc>, ApiError> {
    let all = list_all::<Vpc>(app.records.as_ref())?;
    let found = all.into_iter().find(|stored| stored.value.is_default);
    found.ok_or_else(|| ApiError::new("VPCIdNotSpecified", "No default VPC for this user"))
}

/// A change that rewrites the network record as it was. Everything that makes or removes parts of networks carries
/// it, so that no two of these happen on the same facts.
pub(super) fn turnstile(app: &App) -> Result<Change, ApiError> {
    let found = find::<Network>(app.records.as_ref(), DEFAULT_NETWORK_ID)?;
    let stored = found.ok_or_else(|| ApiError::internal(&"there is no network record"))?;
    Ok(replace(&stored.value, stored.revision)?)
}

/// Security groups of a cluster: those it names, or the default group of its VPC.
///
/// # Errors
/// Those of the record file.
pub fn security_groups_of(records: &dyn Records, cluster: &Cluster) -> Result<Vec<String>, StateError> {
    if !cluster.security_group_ids.is_empty() {
        return Ok(cluster.security_group_ids.clone());
    }
    let subnet = cluster.nodes.values().next().map(|node| node.subnet_id.as_str());
    let subnet = match subnet {
        Some(id) => find::<SubnetOfVpc>(records, id)?,
        None => None,
    };
    let vpc = match subnet {
        Some(subnet) => find::<Vpc>(records, &subnet.value.vpc_id)?,
        None => list_all::<Vpc>(records)?.into_iter().find(|vpc| vpc.value.is_default),
    };
    Ok(vpc.map(|vpc| vpc.value.default_group_id).into_iter().collect())
}

/// Tags of something, by its sort (`vpc`, `subnet`, ...).
pub(super) fn tags(app: &App, sort: &str, id: &str) -> Result<Vec<(String, String)>, ApiError> {
    let found = find::<TagSet>(app.records.as_ref(), &TagSet::id_of(sort, id))?;
    Ok(found.map(|stored| stored.value.tags.into_iter().collect()).unwrap_or_default())
}

/// The change that gives something new its tags, if it has any.
pub(super) fn tag_change(sort: &str, id: &str, tags: Vec<Tag>) -> Result<Option<Change>, ApiError> {
    if tags.is_empty() {
        return Ok(None);
    }
    let mut set = TagSet::none(sort, id);
    set.add(tags).map_err(tag_error)?;
    Ok(Some(create(&set)?))
}

/// The change that adds and removes tags of something.
pub(super) fn retag(
    app: &App,
    sort: &str,
    id: &str,
    add: &[Tag],
    remove: impl Fn(&str, &str) -> bool,
) -> Result<Change, ApiError> {
    let found = find::<TagSet>(app.records.as_ref(), &TagSet::id_of(sort, id))?;
    let (mut set, revision) = match found {
        Some(stored) => (stored.value, Some(stored.revision)),
        None => (TagSet::none(sort, id), None),
    };
    set.tags.retain(|key, value| !remove(key, value));
    set.add(add.to_vec()).map_err(tag_error)?;
    Ok(match revision {
        Some(revision) => replace(&set, revision)?,
        None => create(&set)?,
    })
}

/// The change that takes away the tags of something.
pub(super) fn untag(sort: &str, id: &str) -> Change {
    state::remove::<TagSet>(&TagSet::id_of(sort, id), state::Expect::Anything)
}

/// Tags of what an ARN of EC2 names.
pub(super) fn tags_of_arn(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
    let part = arn.splitn(6, ':').nth(5).and_then(|part| part.split_once('/'));
    part.map_or(Ok(Vec::new()), |(sort, id)| tags(app, sort, id))
}

/// The sort of a thing by the prefix of its id, and whether it is there.
pub(super) fn sort_of(app: &App, id: &str) -> Result<Option<&'static str>, ApiError> {
    let prefix = id.split('-').next().unwrap_or_default();
    let records = app.records.as_ref();
    let (sort, kind) = match prefix {
        "vpc" => ("vpc", Vpc::KIND),
        "subnet" => ("subnet", SubnetOfVpc::KIND),
        "sg" => ("security-group", SecurityGroup::KIND),
        "sgr" => {
            let all = list_all::<SecurityGroup>(records)?;
            let is_there = all.iter().any(|group| group.value.rules.iter().any(|rule| rule.id == id));
            return Ok(is_there.then_some("security-group-rule"));
        }
        _ => return Ok(None),
    };
    Ok(records.get(kind, id)?.map(|_| sort))
}

/// The sort of caller's things, for ARNs.
pub(super) fn own_arn(caller: &Caller, id: &str) -> String {
    let sort = match id.split('-').next().unwrap_or_default() {
        "vpc" => "vpc",
        "subnet" => "subnet",
        "sgr" => "security-group-rule",
        _ => "security-group",
    };
    super::arn(caller, sort, id)
}
