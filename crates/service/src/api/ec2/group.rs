//! CreateSecurityGroup, DescribeSecurityGroups, DeleteSecurityGroup.

use serde::Deserialize;

use super::filter::{Filter, TagSpecification, page, passes, tag_context, tags_for, write_tags};
use super::{network, new_id};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::operation::{App, Caller, retrying};
use crate::resource::cluster::Cluster;
use crate::resource::ec2::{Peer, Rule, SecurityGroup};
use crate::state::{Expect, create as created, list_all, remove};

/// Most groups (quota).
const GROUPS_MAX: usize = 2_500;
/// Longest name and description.
const CHARS_MAX: usize = 255;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateSecurityGroup {
    group_name: String,
    group_description: String,
    vpc_id: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

impl Input for CreateSecurityGroup {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        let vpc = match &self.vpc_id {
            Some(id) => id.clone(),
            None => network::default_vpc(app)?.value.id,
        };
        Ok(vec![super::arn(caller, "security-group", "*"), super::arn(caller, "vpc", &vpc)])
    }

    fn context(&self) -> Context {
        tag_context(&self.tag_specification)
    }
}

pub(super) fn create(app: &App, caller: &Caller, input: CreateSecurityGroup) -> Result<Xml, ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    for (parameter, value) in
        [("groupName", &input.group_name), ("groupDescription", &input.group_description)]
    {
        if value.is_empty() || value.len() > CHARS_MAX || !value.chars().all(allowed) {
            let shown: String = value.chars().take(64).collect();
            let message = format!(
                "Value ({shown}) for parameter {parameter} is invalid. Character sets beyond ASCII are not supported."
            );
            return Err(ApiError::invalid_value(message));
        }
    }
    if input.group_name == "default" || input.group_name.starts_with("sg-") {
        return Err(ApiError::invalid_value("The name of the group is reserved."));
    }
    let tags = tags_for(&input.tag_specification, "security-group")?;
    let group = retrying(|| {
        let vpc = match &input.vpc_id {
            Some(id) => network::vpc(app, id)?.value,
            None => network::default_vpc(app)?.value,
        };
        let all = list_all::<SecurityGroup>(app.records.as_ref())?;
        if all.len() >= GROUPS_MAX {
            return Err(ApiError::new("SecurityGroupLimitExceeded", "There are too many security groups."));
        }
        if all.iter().any(|other| other.value.vpc_id == vpc.id && other.value.name == input.group_name) {
            let message =
                format!("The security group '{}' already exists for VPC '{}'", input.group_name, vpc.id);
            return Err(ApiError::new("InvalidGroup.Duplicate", message));
        }
        let (name, description) = (input.group_name.clone(), input.group_description.clone());
        let group = SecurityGroup::new(new_id("sg"), name, description, vpc.id, new_id("sgr"));
        let mut changes = vec![network::turnstile(app)?, created(&group)?];
        changes.extend(network::tag_change("security-group", &group.id, tags.clone())?);
        app.records.apply(&changes)?;
        Ok(group)
    })?;
    let mut xml = super::done();
    xml.text("groupId", &group.id).text("securityGroupArn", &super::arn(caller, "security-group", &group.id));
    write_tags(&mut xml, &network::tags(app, "security-group", &group.id)?);
    Ok(xml)
}

/// Rules of one direction in EC2's older form: by protocol and ports, with all that they are about.
fn write_permissions(xml: &mut Xml, name: &str, group: &SecurityGroup, egress: bool, account: &str) {
    let mut sorts: Vec<(&str, i32, i32, Vec<&Rule>)> = Vec::new();
    for rule in group.rules.iter().filter(|rule| rule.egress == egress) {
        let key = (rule.protocol.as_str(), rule.from, rule.to);
        match sorts.iter_mut().find(|(protocol, from, to, _)| (*protocol, *from, *to) == key) {
            Some((.., rules)) => rules.push(rule),
            None => sorts.push((key.0, key.1, key.2, vec![rule])),
        }
    }
    xml.list(name, "item", &sorts, |xml, (protocol, from, to, rules)| {
        xml.text("ipProtocol", protocol);
        if *protocol != "-1" {
            xml.number("fromPort", from).number("toPort", to);
        }
        type Of = fn(&Peer) -> Option<String>;
        let lists: [(&str, &str, Of); 3] = [
            ("groups", "groupId", |peer| match peer {
                Peer::Group(id) => Some(id.clone()),
                _ => None,
            }),
            ("ipRanges", "cidrIp", |peer| match peer {
                Peer::V4(range) => Some(range.to_string()),
                _ => None,
            }),
            ("ipv6Ranges", "cidrIpv6", |peer| match peer {
                Peer::V6(range) => Some(range.clone()),
                _ => None,
            }),
        ];
        for (list, member, of) in lists {
            let peers = rules.iter().filter_map(|rule| Some((of(&rule.peer)?, &rule.description)));
            xml.list(list, "item", peers, |xml, (peer, description)| {
                if member == "groupId" {
                    xml.text("userId", account);
                }
                xml.text(member, &peer).optional("description", description.as_deref());
            });
        }
        xml.empty("prefixListIds");
    });
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeSecurityGroups {
    #[serde(default)]
    group_id: Vec<String>,
    #[serde(default)]
    group_name: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl Input for DescribeSecurityGroups {}

pub(super) fn describe(app: &App, caller: &Caller, input: DescribeSecurityGroups) -> Result<Xml, ApiError> {
    for id in &input.group_id {
        network::group(app, id)?;
    }
    let mut found = Vec::new();
    for group in list_all::<SecurityGroup>(app.records.as_ref())?.into_iter().map(|stored| stored.value) {
        let is_named = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        if !is_named(&input.group_id, &group.id) || !is_named(&input.group_name, &group.name) {
            continue;
        }
        let tags = network::tags(app, "security-group", &group.id)?;
        let values = |name: &str| {
            let of_rules = |egress: bool, of: &dyn Fn(&Rule) -> Option<String>| {
                group.rules.iter().filter(|rule| rule.egress == egress).filter_map(of).collect()
            };
            let (egress, rest) = match name.strip_prefix("egress.") {
                Some(rest) => (true, rest),
                None => (false, name),
            };
            Some(match rest {
                "group-id" => vec![group.id.clone()],
                "group-name" => vec![group.name.clone()],
                "description" => vec![group.description.clone()],
                "vpc-id" => vec![group.vpc_id.clone()],
                "owner-id" => vec![caller.account.clone()],
                "ip-permission.cidr" => of_rules(egress, &|rule| match &rule.peer {
                    Peer::V4(range) => Some(range.to_string()),
                    _ => None,
                }),
                "ip-permission.group-id" => of_rules(egress, &|rule| match &rule.peer {
                    Peer::Group(id) => Some(id.clone()),
                    _ => None,
                }),
                "ip-permission.protocol" => of_rules(egress, &|rule| Some(rule.protocol.clone())),
                "ip-permission.from-port" => of_rules(egress, &|rule| Some(rule.from.to_string())),
                "ip-permission.to-port" => of_rules(egress, &|rule| Some(rule.to.to_string())),
                _ => return None,
            })
        };
        if passes(&input.filter, &tags, values)? {
            found.push((group, tags));
        }
    }
    for name in &input.group_name {
        if !found.iter().any(|(group, _)| group.name == *name) {
            let shown: String = name.chars().take(64).collect();
            let message = format!("The security group '{shown}' does not exist");
            return Err(ApiError::new("InvalidGroup.NotFound", message));
        }
    }
    let (groups, next) =
        page(found, input.next_token.as_deref(), input.max_results, |(group, _)| group.id.clone());
    let mut xml = Xml::new();
    xml.list("securityGroupInfo", "item", &groups, |xml, (group, tags)| {
        xml.text("ownerId", &caller.account)
            .text("groupId", &group.id)
            .text("groupName", &group.name)
            .text("groupDescription", &group.description)
            .text("vpcId", &group.vpc_id)
            .text("securityGroupArn", &super::arn(caller, "security-group", &group.id));
        write_permissions(xml, "ipPermissions", group, false, &caller.account);
        write_permissions(xml, "ipPermissionsEgress", group, true, &caller.account);
        write_tags(xml, tags);
    });
    xml.optional("nextToken", next.as_deref());
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteSecurityGroup {
    group_id: Option<String>,
    group_name: Option<String>,
}

impl DeleteSecurityGroup {
    fn id(&self, app: &App) -> Result<String, ApiError> {
        if let Some(id) = &self.group_id {
            return Ok(id.clone());
        }
        let name = self.group_name.as_deref().ok_or_else(|| ApiError::missing("GroupId"))?;
        let vpc = network::default_vpc(app)?.value.id;
        let all = list_all::<SecurityGroup>(app.records.as_ref())?;
        let found = all.into_iter().find(|group| group.value.vpc_id == vpc && group.value.name == name);
        Ok(found.map_or_else(|| name.to_owned(), |group| group.value.id))
    }
}

impl Input for DeleteSecurityGroup {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "security-group", &self.id(app)?)])
    }

    fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        network::tags_of_arn(app, arn)
    }
}

pub(super) fn delete(app: &App, _caller: &Caller, input: DeleteSecurityGroup) -> Result<Xml, ApiError> {
    let id = retrying(|| {
        let stored = network::group(app, &input.id(app)?)?;
        let group = &stored.value;
        if group.name == "default" {
            let message = format!(
                "the specified group: \"{}\" name: \"default\" cannot be deleted by a user",
                group.id
            );
            return Err(ApiError::new("CannotDelete", message));
        }
        let records = app.records.as_ref();
        let others = list_all::<SecurityGroup>(records)?;
        let refers = |other: &SecurityGroup| {
            other.id != group.id && other.rules.iter().any(|rule| rule.peer == Peer::Group(group.id.clone()))
        };
        let in_use = list_all::<Cluster>(records)?
            .iter()
            .any(|cluster| cluster.value.security_group_ids.contains(&group.id));
        if in_use || others.iter().any(|other| refers(&other.value)) {
            let message = format!("resource {} has a dependent object", group.id);
            return Err(ApiError::new("DependencyViolation", message));
        }
        let mut changes = vec![
            network::turnstile(app)?,
            remove::<SecurityGroup>(&group.id, Expect::Revision(stored.revision)),
            network::untag("security-group", &group.id),
        ];
        changes.extend(group.rules.iter().map(|rule| network::untag("security-group-rule", &rule.id)));
        app.records.apply(&changes)?;
        Ok(group.id.clone())
    })?;
    let mut xml = super::done();
    xml.text("groupId", &id);
    Ok(xml)
}
