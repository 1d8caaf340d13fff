//! CreateSubnet, DescribeSubnets, DeleteSubnet.

use serde::Deserialize;

use super::filter::{Filter, TagSpecification, page, passes, tag_context, tags_for, write_tags};
use super::{done, network, new_id, vpc::range};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::operation::{App, Caller, retrying};
use crate::resource::cluster::Cluster;
use crate::resource::ec2::SubnetOfVpc;
use crate::resource::network::{Address, DEFAULT_ZONES, Subnet};
use crate::resource::subnet_group::SubnetGroup;
use crate::state::{Expect, create as created, list_all, remove};

/// Most subnets of one VPC (quota).
const SUBNETS_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateSubnet {
    vpc_id: String,
    cidr_block: String,
    availability_zone: Option<String>,
    availability_zone_id: Option<String>,
    ipv6_cidr_block: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

impl Input for CreateSubnet {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "subnet", "*"), super::arn(caller, "vpc", &self.vpc_id)])
    }

    fn context(&self) -> Context {
        tag_context(&self.tag_specification)
    }
}

/// Zones with their ids.
pub(super) fn zones(region: &str) -> Vec<(String, String)> {
    let id = crate::name::endpoint::region_code(region);
    DEFAULT_ZONES
        .iter()
        .enumerate()
        .map(|(n, letter)| (format!("{region}{letter}"), format!("{id}-az{}", n + 1)))
        .collect()
}

fn zone(app: &App, input: &CreateSubnet) -> Result<String, ApiError> {
    let zones = zones(&app.region);
    let found = match (&input.availability_zone, &input.availability_zone_id) {
        (Some(name), _) => zones.iter().find(|(zone, _)| zone == name),
        (None, Some(id)) => zones.iter().find(|(_, zone)| zone == id),
        (None, None) => zones.first(),
    };
    let names: Vec<&str> = zones.iter().map(|(name, _)| name.as_str()).collect();
    found.map(|(name, _)| name.clone()).ok_or_else(|| {
        ApiError::invalid_value(format!(
            "Value for parameter availabilityZone is invalid. Subnets can currently only be created in the following \
             availability zones: {}.",
            names.join(", ")
        ))
    })
}

pub(super) fn create(app: &App, caller: &Caller, input: CreateSubnet) -> Result<Xml, ApiError> {
    if input.ipv6_cidr_block.is_some() {
        return Err(ApiError::new("UnsupportedOperation", "Only IPv4 ranges are available."));
    }
    let range = range(&input.cidr_block)?;
    let zone = zone(app, &input)?;
    let tags = tags_for(&input.tag_specification, "subnet")?;
    let subnet = retrying(|| {
        let vpc = network::vpc(app, &input.vpc_id)?.value;
        if !vpc.range.contains(&range) || !(16..=28).contains(&range.prefix_len()) {
            return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{range}' is invalid.")));
        }
        let all = list_all::<SubnetOfVpc>(app.records.as_ref())?;
        let siblings: Vec<_> =
            all.iter().map(|stored| &stored.value).filter(|s| s.vpc_id == vpc.id).collect();
        if siblings.len() >= SUBNETS_MAX {
            return Err(ApiError::new(
                "SubnetLimitExceeded",
                "The maximum number of subnets has been reached.",
            ));
        }
        if siblings.iter().any(|other| other.range.contains(&range) || range.contains(&other.range)) {
            let message = format!("The CIDR '{range}' conflicts with another subnet");
            return Err(ApiError::new("InvalidSubnet.Conflict", message));
        }
        let place = Subnet {
            id: new_id("subnet"),
            zone: zone.clone(),
            base: vpc.to_loopback(range),
            prefix: range.prefix_len(),
        };
        let subnet =
            SubnetOfVpc { subnet: place, vpc_id: vpc.id, range, is_default: false, public_on_launch: false };
        let mut changes = vec![network::turnstile(app)?, created(&subnet)?];
        changes.extend(network::tag_change("subnet", &subnet.subnet.id, tags.clone())?);
        app.records.apply(&changes)?;
        Ok(subnet)
    })?;
    let tags = network::tags(app, "subnet", &subnet.subnet.id)?;
    let mut xml = Xml::new();
    xml.element("subnet", |xml| write(xml, app, caller, &subnet, 0, &tags));
    Ok(xml)
}

fn write(
    xml: &mut Xml,
    app: &App,
    caller: &Caller,
    subnet: &SubnetOfVpc,
    used: u32,
    tags: &[(String, String)],
) {
    let SubnetOfVpc { subnet: place, vpc_id, range, is_default, public_on_launch } = subnet;
    let zone_id = zones(&app.region).into_iter().find(|(name, _)| *name == place.zone).map(|(_, id)| id);
    xml.text("subnetId", &place.id)
        .text("subnetArn", &super::arn(caller, "subnet", &place.id))
        .text("state", "available")
        .text("ownerId", &caller.account)
        .text("vpcId", vpc_id)
        .text("cidrBlock", &range.to_string())
        .empty("ipv6CidrBlockAssociationSet")
        .number("availableIpAddressCount", place.usable_count().saturating_sub(used))
        .text("availabilityZone", &place.zone)
        .optional("availabilityZoneId", zone_id.as_deref())
        .boolean("defaultForAz", *is_default)
        .boolean("mapPublicIpOnLaunch", *public_on_launch)
        .boolean("assignIpv6AddressOnCreation", false)
        .boolean("mapCustomerOwnedIpOnLaunch", false)
        .boolean("enableDns64", false)
        .boolean("ipv6Native", false);
    xml.element("privateDnsNameOptionsOnLaunch", |xml| {
        xml.text("hostnameType", "ip-name")
            .boolean("enableResourceNameDnsARecord", false)
            .boolean("enableResourceNameDnsAAAARecord", false);
    });
    write_tags(xml, tags);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeSubnets {
    #[serde(default)]
    subnet_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl Input for DescribeSubnets {}

pub(super) fn describe(app: &App, caller: &Caller, input: DescribeSubnets) -> Result<Xml, ApiError> {
    for id in &input.subnet_id {
        network::subnet(app, id)?;
    }
    let records = app.records.as_ref();
    let addresses = list_all::<Address>(records)?;
    let mut found = Vec::new();
    for subnet in list_all::<SubnetOfVpc>(records)?.into_iter().map(|stored| stored.value) {
        let place = &subnet.subnet;
        if !input.subnet_id.is_empty() && !input.subnet_id.contains(&place.id) {
            continue;
        }
        let tags = network::tags(app, "subnet", &place.id)?;
        let values = |name: &str| {
            Some(vec![match name {
                "subnet-id" => place.id.clone(),
                "vpc-id" => subnet.vpc_id.clone(),
                "cidr" | "cidr-block" | "cidrBlock" => subnet.range.to_string(),
                "availability-zone" | "availabilityZone" => place.zone.clone(),
                "availability-zone-id" => {
                    zones(&app.region).into_iter().find(|(zone, _)| *zone == place.zone)?.1
                }
                "default-for-az" | "defaultForAz" => subnet.is_default.to_string(),
                "map-public-ip-on-launch" => subnet.public_on_launch.to_string(),
                "state" => "available".to_owned(),
                "owner-id" => caller.account.clone(),
                "subnet-arn" => super::arn(caller, "subnet", &place.id),
                _ => return None,
            }])
        };
        if passes(&input.filter, &tags, values)? {
            let range = ipnet::Ipv4Net::new_assert(place.base, place.prefix);
            let used = addresses.iter().filter(|address| range.contains(&address.value.address)).count();
            found.push((subnet, u32::try_from(used).unwrap_or(u32::MAX), tags));
        }
    }
    let (subnets, next) =
        page(found, input.next_token.as_deref(), input.max_results, |(subnet, ..)| subnet.subnet.id.clone());
    let mut xml = Xml::new();
    xml.list("subnetSet", "item", &subnets, |xml, (subnet, used, tags)| {
        write(xml, app, caller, subnet, *used, tags);
    });
    xml.optional("nextToken", next.as_deref());
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteSubnet {
    subnet_id: String,
}

impl Input for DeleteSubnet {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "subnet", &self.subnet_id)])
    }

    fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        network::tags_of_arn(app, arn)
    }
}

pub(super) fn delete(app: &App, _caller: &Caller, input: DeleteSubnet) -> Result<Xml, ApiError> {
    retrying(|| {
        let stored = network::subnet(app, &input.subnet_id)?;
        let id = &stored.value.subnet.id;
        let records = app.records.as_ref();
        let in_group =
            list_all::<SubnetGroup>(records)?.iter().any(|group| group.value.subnet_ids.contains(id));
        let has_node = |cluster: &Cluster| cluster.nodes.values().any(|node| node.subnet_id == *id);
        if in_group || list_all::<Cluster>(records)?.iter().any(|cluster| has_node(&cluster.value)) {
            let message = format!("The subnet '{id}' has dependencies and cannot be deleted.");
            return Err(ApiError::new("DependencyViolation", message));
        }
        let changes = [
            network::turnstile(app)?,
            remove::<SubnetOfVpc>(id, Expect::Revision(stored.revision)),
            network::untag("subnet", id),
        ];
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(done())
}
