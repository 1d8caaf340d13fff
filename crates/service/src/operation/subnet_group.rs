//! What the operations on subnet groups share: looking one up, and its form in answers.

use super::{App, Caller};
use crate::front::{ApiError, Xml};
use crate::resource::cluster::Cluster;
use crate::resource::ec2::SubnetOfVpc;
use crate::resource::network::{DEFAULT_NETWORK_ID, Network};
use crate::resource::subnet_group::{DEFAULT_NAME, SubnetGroup};
use crate::state::{self, Stored};

/// Sort of resource in ARNs.
pub const SORT: &str = "subnetgroup";

/// The default VPC, and the subnets of all VPCs.
///
/// # Errors
/// `InternalFailure`: the service makes it at its first start.
pub fn network(app: &App) -> Result<Network, ApiError> {
    let found = state::find::<Network>(app.records.as_ref(), DEFAULT_NETWORK_ID)?;
    let mut network = found.ok_or_else(|| ApiError::internal(&"there is no network record"))?.value;
    if network.split {
        let subnets = state::list_all::<SubnetOfVpc>(app.records.as_ref())?.into_iter().map(|s| s.value);
        let of_vpcs: Vec<SubnetOfVpc> = subnets.collect();
        let others = of_vpcs.iter().filter(|subnet| subnet.vpc_id != network.vpc_id);
        network.vpc_of = others.map(|s| (s.subnet.id.clone(), s.vpc_id.clone())).collect();
        network.subnets = of_vpcs.into_iter().map(|subnet| subnet.subnet).collect();
        network.subnets.sort_by(|a, b| (&a.zone, a.base).cmp(&(&b.zone, b.base)));
    }
    Ok(network)
}

/// The group that users know by that name; `default` is always there.
///
/// # Errors
/// `CacheSubnetGroupNotFoundFault`.
pub fn find(app: &App, name: &str) -> Result<SubnetGroup, ApiError> {
    let name = name.to_ascii_lowercase();
    if name == DEFAULT_NAME {
        return Ok(SubnetGroup::default_of(&network(app)?));
    }
    Ok(find_stored(app, &name)?.value)
}

/// A group that a user made, with its revision.
pub(super) fn find_stored(app: &App, name: &str) -> Result<Stored<SubnetGroup>, ApiError> {
    let found = state::find::<SubnetGroup>(app.records.as_ref(), &name.to_ascii_lowercase())?;
    found.ok_or_else(|| not_found(name))
}

fn not_found(name: &str) -> ApiError {
    let shown: String = name.chars().take(255).collect();
    ApiError::new("CacheSubnetGroupNotFoundFault", format!("Cache Subnet Group {shown} does not exist."))
}

/// The caches whose nodes live in a group.
pub(super) fn clusters_of(app: &App, name: &str) -> Result<Vec<Cluster>, ApiError> {
    let all = state::list_all::<Cluster>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    Ok(all.filter(|cluster| cluster.subnet_group == name).collect())
}

/// Writes the members of a group.
pub(super) fn write(xml: &mut Xml, group: &SubnetGroup, network: &Network, caller: &Caller) {
    xml.text("CacheSubnetGroupName", &group.name)
        .text("CacheSubnetGroupDescription", &group.description)
        .text("VpcId", &group.vpc_id)
        .list("Subnets", "Subnet", group.subnets(network), |xml, subnet| {
            xml.text("SubnetIdentifier", &subnet.id);
            xml.element("SubnetAvailabilityZone", |xml| {
                xml.text("Name", &subnet.zone);
            });
            xml.texts("SupportedNetworkTypes", "member", ["ipv4"]);
        })
        .text("ARN", &caller.arn(SORT, &group.name).to_string())
        .texts("SupportedNetworkTypes", "member", ["ipv4"]);
}
