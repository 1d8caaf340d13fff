//! What tools read beside a VPC: route tables, network ACLs and internet gateways, of which there is only what every
//! VPC has, and the network interfaces of nodes.

use serde::Deserialize;

use super::filter::{Filter, passes};
use super::network;
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller};
use crate::resource::cluster::Cluster;
use crate::resource::ec2::{SubnetOfVpc, Vpc};
use crate::resource::network::Address;
use crate::state::{find, list_all};

/// Filters alone.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filtered {
    #[serde(default)]
    filter: Vec<Filter>,
}

impl Input for Filtered {}

/// The id of the one thing of its sort that a VPC has.
fn id_in(vpc: &Vpc, prefix: &str) -> String {
    vpc.id.replacen("vpc", prefix, 1)
}

fn vpcs(app: &App) -> Result<Vec<Vpc>, ApiError> {
    Ok(list_all::<Vpc>(app.records.as_ref())?.into_iter().map(|stored| stored.value).collect())
}

/// The main table of each VPC, with its one route.
pub(super) fn route_tables(app: &App, caller: &Caller, input: Filtered) -> Result<Xml, ApiError> {
    let mut found = Vec::new();
    for vpc in vpcs(app)? {
        let values = |name: &str| {
            Some(match name {
                "vpc-id" => vec![vpc.id.clone()],
                "route-table-id" | "association.route-table-id" => vec![id_in(&vpc, "rtb")],
                "association.main" => vec!["true".to_owned()],
                "owner-id" => vec![caller.account.clone()],
                "association.subnet-id" | "association.gateway-id" | "route.gateway-id" => Vec::new(),
                _ => return None,
            })
        };
        if passes(&input.filter, &[], values)? {
            found.push(vpc);
        }
    }
    let mut xml = Xml::new();
    xml.list("routeTableSet", "item", &found, |xml, vpc| {
        xml.text("routeTableId", &id_in(vpc, "rtb")).text("vpcId", &vpc.id).text("ownerId", &caller.account);
        xml.element("routeSet", |xml| {
            xml.element("item", |xml| {
                xml.text("destinationCidrBlock", &vpc.range.to_string())
                    .text("gatewayId", "local")
                    .text("state", "active")
                    .text("origin", "CreateRouteTable");
            });
        });
        xml.element("associationSet", |xml| {
            xml.element("item", |xml| {
                xml.text("routeTableAssociationId", &id_in(vpc, "rtbassoc"))
                    .text("routeTableId", &id_in(vpc, "rtb"))
                    .boolean("main", true);
                xml.element("associationState", |xml| {
                    xml.text("state", "associated");
                });
            });
        });
        xml.empty("propagatingVgwSet").empty("tagSet");
    });
    Ok(xml)
}

/// The default list of each VPC, which lets everything pass.
pub(super) fn network_acls(app: &App, caller: &Caller, input: Filtered) -> Result<Xml, ApiError> {
    let mut found = Vec::new();
    for vpc in vpcs(app)? {
        let values = |name: &str| {
            Some(match name {
                "vpc-id" => vec![vpc.id.clone()],
                "network-acl-id" | "association.network-acl-id" => vec![id_in(&vpc, "acl")],
                "default" => vec!["true".to_owned()],
                "owner-id" => vec![caller.account.clone()],
                "association.subnet-id" => subnets_of(app, &vpc).unwrap_or_default(),
                _ => return None,
            })
        };
        if passes(&input.filter, &[], values)? {
            let subnets = subnets_of(app, &vpc)?;
            found.push((vpc, subnets));
        }
    }
    let mut xml = Xml::new();
    xml.list("networkAclSet", "item", &found, |xml, (vpc, subnets)| {
        let id = id_in(vpc, "acl");
        xml.text("networkAclId", &id)
            .text("vpcId", &vpc.id)
            .text("ownerId", &caller.account)
            .boolean("default", true);
        let entries =
            [(100, false, "allow"), (32_767, false, "deny"), (100, true, "allow"), (32_767, true, "deny")];
        xml.list("entrySet", "item", entries, |xml, (number, egress, action)| {
            xml.number("ruleNumber", number)
                .text("protocol", "-1")
                .text("ruleAction", action)
                .boolean("egress", egress)
                .text("cidrBlock", "0.0.0.0/0");
        });
        xml.list("associationSet", "item", subnets, |xml, subnet| {
            xml.text("networkAclAssociationId", &subnet.replacen("subnet", "aclassoc", 1))
                .text("networkAclId", &id)
                .text("subnetId", subnet);
        });
        xml.empty("tagSet");
    });
    Ok(xml)
}

fn subnets_of(app: &App, vpc: &Vpc) -> Result<Vec<String>, ApiError> {
    let all = list_all::<SubnetOfVpc>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    Ok(all.filter(|subnet| subnet.vpc_id == vpc.id).map(|subnet| subnet.subnet.id).collect())
}

/// There are none: nothing here leads out.
pub(super) fn internet_gateways(_app: &App, _caller: &Caller, input: Filtered) -> Result<Xml, ApiError> {
    let known = |name: &str| {
        matches!(name, "attachment.vpc-id" | "attachment.state" | "internet-gateway-id" | "owner-id")
            .then(Vec::new)
    };
    passes(&input.filter, &[], known)?;
    let mut xml = Xml::new();
    xml.empty("internetGatewaySet");
    Ok(xml)
}

/// The interfaces of nodes.
pub(super) fn describe(app: &App, caller: &Caller, input: Filtered) -> Result<Xml, ApiError> {
    let records = app.records.as_ref();
    let subnets = list_all::<SubnetOfVpc>(records)?;
    let mut found = Vec::new();
    for address in list_all::<Address>(records)?.into_iter().map(|stored| stored.value) {
        let within = |subnet: &SubnetOfVpc| {
            ipnet::Ipv4Net::new_assert(subnet.subnet.base, subnet.subnet.prefix).contains(&address.address)
        };
        let Some(subnet) = subnets.iter().map(|stored| &stored.value).find(|subnet| within(subnet)) else {
            continue;
        };
        let groups = match find::<Cluster>(records, &address.cluster_id)? {
            Some(cluster) => network::security_groups_of(records, &cluster.value)?,
            None => Vec::new(),
        };
        let id = format!("eni-0{:016x}", u64::from(u32::from(address.address)));
        let description = format!("ElastiCache {}-{}", address.cluster_id, address.node_id);
        let values = |name: &str| {
            Some(match name {
                "network-interface-id" => vec![id.clone()],
                "subnet-id" => vec![subnet.subnet.id.clone()],
                "vpc-id" => vec![subnet.vpc_id.clone()],
                "group-id" => groups.clone(),
                "description" => vec![description.clone()],
                "status" => vec!["in-use".to_owned()],
                "requester-id" => vec!["amazon-elasticache".to_owned()],
                "availability-zone" => vec![subnet.subnet.zone.clone()],
                "private-ip-address" | "addresses.private-ip-address" => vec![address.address.to_string()],
                "owner-id" | "attachment.instance-owner-id" => vec![caller.account.clone()],
                "attachment.instance-id" | "attachment.attachment-id" => Vec::new(),
                "interface-type" => vec!["interface".to_owned()],
                _ => return None,
            })
        };
        if passes(&input.filter, &[], values)? {
            found.push((id, subnet, groups, description, address));
        }
    }
    let mut xml = Xml::new();
    xml.list("networkInterfaceSet", "item", &found, |xml, (id, subnet, groups, description, address)| {
        xml.text("networkInterfaceId", id)
            .text("subnetId", &subnet.subnet.id)
            .text("vpcId", &subnet.vpc_id)
            .text("availabilityZone", &subnet.subnet.zone)
            .text("description", description)
            .text("ownerId", &caller.account)
            .text("requesterId", "amazon-elasticache")
            .boolean("requesterManaged", true)
            .text("status", "in-use")
            .text("privateIpAddress", &address.address.to_string())
            .text("interfaceType", "interface");
        xml.list("groupSet", "item", groups, |xml, group| {
            xml.text("groupId", group);
        });
        xml.empty("tagSet");
    });
    Ok(xml)
}
