//! Network and access: subnets, zones, security groups, encryption, users.

use askama::Template;

use super::{Choice, Draft, Form};
use crate::console::parameters::Parameters;
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError, Element};

/// Fields of this page.
pub(super) const FIELDS: &[&str] = &[
    "subnet_group",
    "new_group",
    "new_subnet",
    "zone",
    "security_group",
    "in_transit",
    "at_rest",
    "user_group",
    "auth_token",
];
/// The choice of a subnet group that is to be made.
pub(super) const NEW: &str = "+";
/// Most nodes for which a zone can be chosen here.
const ZONES_MAX: usize = 60;

#[derive(Template)]
#[template(path = "create/network.html")]
struct Page<'a> {
    frame: Frame,
    form: Form,
    draft: &'a Draft,
    subnet_groups: Vec<Choice>,
    subnets: Vec<Choice>,
    security_groups: Vec<Choice>,
    user_groups: Vec<Choice>,
    /// For each node its label and the zones.
    nodes: Vec<(String, Vec<Choice>)>,
}

pub(super) fn page(visit: &Visit<'_>, draft: &Draft, refused: Option<ApiError>) -> Result<Answer, ApiError> {
    let page = Page {
        form: Form::of(draft, "network", FIELDS, refused),
        frame: visit.frame("create", "Network and access"),
        subnet_groups: subnet_groups(visit, draft),
        subnets: subnets(visit, draft),
        security_groups: security_groups(visit, draft),
        user_groups: user_groups(visit, draft),
        nodes: nodes(visit, draft),
        draft,
    };
    Ok(html(page.form.status(), &page))
}

/// Members of an answer of EC2. Who may not see them is not kept from making a cache without a wish.
fn of_ec2(visit: &Visit<'_>, action: &'static str, list: &str) -> Vec<Element> {
    let answer = visit.ec2(&Parameters::of(action)).unwrap_or_default();
    answer.children.into_iter().find(|child| child.name == list).map(|list| list.children).unwrap_or_default()
}

/// Zones of the region.
pub(super) fn zones(visit: &Visit<'_>) -> Vec<String> {
    let zones = of_ec2(visit, "DescribeAvailabilityZones", "availabilityZoneInfo");
    zones.iter().map(|zone| zone.text_at(&["zoneName"]).to_owned()).collect()
}

fn subnet_groups(visit: &Visit<'_>, draft: &Draft) -> Vec<Choice> {
    let chosen = draft.text("subnet_group");
    let mut choices = vec![Choice::of("", "default: the subnets of the default VPC", chosen)];
    let found = visit.all(Parameters::of("DescribeCacheSubnetGroups"), "CacheSubnetGroups");
    for group in found.unwrap_or_default() {
        let name = group.text_at(&["CacheSubnetGroupName"]);
        if name != "default" {
            let zones: Vec<&str> = group
                .list("Subnets")
                .iter()
                .map(|subnet| subnet.text_at(&["SubnetAvailabilityZone", "Name"]))
                .collect();
            choices.push(Choice::of(name, format!("{name}: {}", zones.join(", ")), chosen));
        }
    }
    choices.push(Choice::of(NEW, "A new one, as below", chosen));
    choices
}

fn subnets(visit: &Visit<'_>, draft: &Draft) -> Vec<Choice> {
    let chosen = draft.fields.texts("new_subnet");
    let of = |subnet: &Element| {
        let text = |name: &str| subnet.text_at(&[name]).to_owned();
        let id = text("subnetId");
        Choice {
            text: format!("{id}: {}, {} in {}", text("availabilityZone"), text("cidrBlock"), text("vpcId")),
            chosen: chosen.contains(&id.as_str()),
            value: id,
        }
    };
    of_ec2(visit, "DescribeSubnets", "subnetSet").iter().map(of).collect()
}

fn security_groups(visit: &Visit<'_>, draft: &Draft) -> Vec<Choice> {
    let chosen = draft.fields.texts("security_group");
    let of = |group: &Element| {
        let text = |name: &str| group.text_at(&[name]).to_owned();
        let id = text("groupId");
        Choice {
            text: format!("{} ({id}, {})", text("groupName"), text("vpcId")),
            chosen: chosen.contains(&id.as_str()),
            value: id,
        }
    };
    of_ec2(visit, "DescribeSecurityGroups", "securityGroupInfo").iter().map(of).collect()
}

fn user_groups(visit: &Visit<'_>, draft: &Draft) -> Vec<Choice> {
    let chosen = draft.text("user_group");
    let mut choices = vec![Choice::of("", "No access control: who reaches the cache may use it", chosen)];
    let found = visit.all(Parameters::of("DescribeUserGroups"), "UserGroups").unwrap_or_default();
    let ids = found.iter().map(|group| group.text_at(&["UserGroupId"]));
    choices.extend(ids.map(|id| Choice::of(id, format!("User group {id}"), chosen)));
    choices
}

fn nodes(visit: &Visit<'_>, draft: &Draft) -> Vec<(String, Vec<Choice>)> {
    let zones = zones(visit);
    let typed: Vec<&str> = draft
        .fields
        .pairs()
        .iter()
        .filter(|(name, _)| name == "zone")
        .map(|(_, zone)| zone.as_str())
        .collect();
    let label = |at: usize| match (draft.is_memcached(), at) {
        (true, at) => format!("Node {}", at + 1),
        (false, 0) => "Primary".to_owned(),
        (false, at) => format!("Replica {at}"),
    };
    let choices = |at: usize| {
        let chosen = typed.get(at).copied().unwrap_or_default();
        let none = Choice::of("", "No preference", chosen);
        let zones = zones.iter().map(|zone| Choice::of(zone, zone.clone(), chosen));
        std::iter::once(none).chain(zones).collect()
    };
    (0..draft.node_count().min(ZONES_MAX)).map(|at| (label(at), choices(at))).collect()
}
