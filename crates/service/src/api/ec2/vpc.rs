//! CreateVpc, DescribeVpcs, DeleteVpc.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;

use super::filter::{Filter, TagSpecification, page, passes, tag_context, tags_for, write_tags};
use super::{done, network, new_id};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::operation::{App, Caller, retrying};
use crate::random::{number_below, seventeen_digits};
use crate::resource::ec2::{SecurityGroup, SubnetOfVpc, Vpc};
use crate::state::{Expect, create as created, list_all, remove};

/// Most VPCs: each takes a /16 of the loopback range, which has 255 to give.
const VPCS_MAX: usize = 100;
/// Longest and shortest range of a VPC.
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateVpc {
    cidr_block: String,
    instance_tenancy: Option<String>,
    #[serde(default)]
    amazon_provided_ipv6_cidr_block: bool,
    ipv4_ipam_pool_id: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

impl Input for CreateVpc {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "vpc", "*")])
    }

    fn context(&self) -> Context {
        tag_context(&self.tag_specification)
    }
}

/// Reads a range. Bits beyond the prefix are cut off, as EC2 does.
pub(super) fn range(text: &str) -> Result<Ipv4Net, ApiError> {
    let range = text.parse::<Ipv4Net>().map(|range| range.trunc());
    range.map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        ApiError::invalid_value(format!(
            "Value ({shown}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ))
    })
}

pub(super) fn create(app: &App, caller: &Caller, input: CreateVpc) -> Result<Xml, ApiError> {
    if input.amazon_provided_ipv6_cidr_block || input.ipv4_ipam_pool_id.is_some() {
        return Err(ApiError::new("UnsupportedOperation", "Only stated IPv4 ranges are available."));
    }
    if input.instance_tenancy.is_some_and(|tenancy| tenancy != "default") {
        return Err(ApiError::new("UnsupportedOperation", "Only the default tenancy is available."));
    }
    let range = range(&input.cidr_block)?;
    if !PREFIXES.contains(&range.prefix_len()) {
        return Err(ApiError::new("InvalidVpc.Range", format!("The CIDR '{range}' is invalid.")));
    }
    let tags = tags_for(&input.tag_specification, "vpc")?;
    let vpc = retrying(|| {
        let all = list_all::<Vpc>(app.records.as_ref())?;
        if all.len() >= VPCS_MAX {
            return Err(ApiError::new("VpcLimitExceeded", "The maximum number of VPCs has been reached."));
        }
        let taken: Vec<u8> = all.iter().map(|stored| stored.value.base.octets()[1]).collect();
        let (id, default_group_id) = (new_id("vpc"), new_id("sg"));
        let vpc = Vpc {
            range,
            base: free_base(&taken),
            is_default: false,
            default_group_id: default_group_id.clone(),
            dns_support: true,
            dns_hostnames: false,
            address_metrics: false,
            id,
        };
        let group = SecurityGroup::default_of(&vpc.id, default_group_id, seventeen_digits);
        let mut changes = vec![network::turnstile(app)?, created(&vpc)?, created(&group)?];
        changes.extend(network::tag_change("vpc", &vpc.id, tags.clone())?);
        app.records.apply(&changes)?;
        Ok(vpc)
    })?;
    let mut xml = Xml::new();
    let tags = network::tags(app, "vpc", &vpc.id)?;
    xml.element("vpc", |xml| write(xml, caller, &vpc, &tags));
    Ok(xml)
}

/// A /16 that no other VPC has: any of them, so that two services on one machine seldom take the same.
fn free_base(taken: &[u8]) -> Ipv4Addr {
    let first = number_below(254);
    // There are at most a hundred VPCs, so one of 254 is free.
    let free = (0..254).map(|n| 1 + ((first + n) % 254) as u8).find(|octet| !taken.contains(octet));
    Ipv4Addr::new(127, free.unwrap_or(255), 0, 0)
}

fn write(xml: &mut Xml, caller: &Caller, vpc: &Vpc, tags: &[(String, String)]) {
    xml.text("vpcId", &vpc.id)
        .text("ownerId", &caller.account)
        .text("state", "available")
        .text("cidrBlock", &vpc.range.to_string())
        .text("dhcpOptionsId", "default")
        .text("instanceTenancy", "default")
        .boolean("isDefault", vpc.is_default);
    xml.element("cidrBlockAssociationSet", |xml| {
        xml.element("item", |xml| {
            xml.text("associationId", &vpc.id.replacen("vpc-", "vpc-cidr-assoc-", 1))
                .text("cidrBlock", &vpc.range.to_string());
            xml.element("cidrBlockState", |xml| {
                xml.text("state", "associated");
            });
        });
    });
    write_tags(xml, tags);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeVpcs {
    #[serde(default)]
    vpc_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl Input for DescribeVpcs {}

pub(super) fn describe(app: &App, caller: &Caller, input: DescribeVpcs) -> Result<Xml, ApiError> {
    for id in &input.vpc_id {
        network::vpc(app, id)?;
    }
    let mut found = Vec::new();
    for Vpc { id, .. } in list_all::<Vpc>(app.records.as_ref())?.into_iter().map(|stored| stored.value) {
        if !input.vpc_id.is_empty() && !input.vpc_id.contains(&id) {
            continue;
        }
        let vpc = network::vpc(app, &id)?.value;
        let tags = network::tags(app, "vpc", &id)?;
        let values = |name: &str| {
            Some(vec![match name {
                "vpc-id" => vpc.id.clone(),
                "cidr" | "cidr-block" | "cidrBlock" | "cidr-block-association.cidr-block" => {
                    vpc.range.to_string()
                }
                "is-default" | "isDefault" => vpc.is_default.to_string(),
                "state" | "cidr-block-association.state" => {
                    if name == "state" { "available" } else { "associated" }.to_owned()
                }
                "owner-id" => caller.account.clone(),
                "dhcp-options-id" => "default".to_owned(),
                _ => return None,
            }])
        };
        if passes(&input.filter, &tags, values)? {
            found.push((vpc, tags));
        }
    }
    let (vpcs, next) = page(found, input.next_token.as_deref(), input.max_results, |(vpc, _)| vpc.id.clone());
    let mut xml = Xml::new();
    xml.list("vpcSet", "item", &vpcs, |xml, (vpc, tags)| write(xml, caller, vpc, tags));
    xml.optional("nextToken", next.as_deref());
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteVpc {
    vpc_id: String,
}

impl Input for DeleteVpc {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "vpc", &self.vpc_id)])
    }

    fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        network::tags_of_arn(app, arn)
    }
}

pub(super) fn delete(app: &App, _caller: &Caller, input: DeleteVpc) -> Result<Xml, ApiError> {
    retrying(|| {
        let stored = network::vpc(app, &input.vpc_id)?;
        let id = &stored.value.id;
        let records = app.records.as_ref();
        let groups = list_all::<SecurityGroup>(records)?;
        let others = |group: &SecurityGroup| group.vpc_id == *id && group.id != stored.value.default_group_id;
        if list_all::<SubnetOfVpc>(records)?.iter().any(|subnet| subnet.value.vpc_id == *id)
            || groups.iter().any(|group| others(&group.value))
        {
            let message = format!("The vpc '{id}' has dependencies and cannot be deleted.");
            return Err(ApiError::new("DependencyViolation", message));
        }
        let changes = [
            network::turnstile(app)?,
            remove::<Vpc>(id, Expect::Revision(stored.revision)),
            remove::<SecurityGroup>(&stored.value.default_group_id, Expect::Anything),
            network::untag("vpc", id),
            network::untag("security-group", &stored.value.default_group_id),
        ];
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(done())
}
