//! AuthorizeSecurityGroupIngress and Egress, RevokeSecurityGroupIngress and Egress.

use serde::Deserialize;

use super::filter::{TagSpecification, tag_context, tags_for, write_tags};
use super::{network, new_id, rules};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::operation::{App, Caller, retrying};
use crate::resource::ec2::{Peer, Rule, SecurityGroup};
use crate::state::{list_all, replace};

/// Most rules of one direction of a group (quota).
const RULES_MAX: usize = 60;

/// The parameters of all four.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfRules {
    group_id: Option<String>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<Permission>,
    #[serde(default)]
    security_group_rule_id: Vec<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
    // The short form, for one range.
    ip_protocol: Option<String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    cidr_ip: Option<String>,
    source_security_group_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Permission {
    ip_protocol: String,
    from_port: Option<i32>,
    to_port: Option<i32>,
    #[serde(default)]
    ip_ranges: Vec<Range>,
    #[serde(default, rename = "Ipv6Ranges")]
    v6_ranges: Vec<RangeV6>,
    #[serde(default)]
    groups: Vec<GroupRef>,
    #[serde(default)]
    prefix_list_ids: Vec<PrefixList>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Range {
    cidr_ip: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RangeV6 {
    cidr_ipv6: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupRef {
    group_id: Option<String>,
    group_name: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct PrefixList {}

impl Input for OfRules {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "security-group", &self.group_id(app)?)])
    }

    fn context(&self) -> Context {
        tag_context(&self.tag_specification)
    }

    fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        network::tags_of_arn(app, arn)
    }
}

/// The group of that name in a VPC.
fn named(app: &App, vpc_id: &str, name: &str) -> Result<String, ApiError> {
    let all = list_all::<SecurityGroup>(app.records.as_ref())?;
    let found = all.into_iter().find(|group| group.value.vpc_id == vpc_id && group.value.name == name);
    found.map(|group| group.value.id).ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        ApiError::new("InvalidGroup.NotFound", format!("The security group '{shown}' does not exist"))
    })
}

impl OfRules {
    fn group_id(&self, app: &App) -> Result<String, ApiError> {
        if let Some(id) = &self.group_id {
            return Ok(id.clone());
        }
        match &self.group_name {
            Some(name) => named(app, &network::default_vpc(app)?.value.id, name),
            None => Err(ApiError::missing("GroupId")),
        }
    }

    /// The rules that the parameters describe.
    fn rules(&self, app: &App, group: &SecurityGroup, egress: bool) -> Result<Vec<Rule>, ApiError> {
        let mut all = Vec::new();
        let mut add = |protocol: &str, from, to, peer, description: &Option<String>| {
            all.push(rules::rule(egress, protocol, from, to, peer, description.clone())?);
            Ok::<_, ApiError>(())
        };
        if let Some(protocol) = &self.ip_protocol {
            let peer = match (&self.cidr_ip, &self.source_security_group_name) {
                (Some(range), _) => rules::v4(range)?,
                (None, Some(name)) => Peer::Group(named(app, &group.vpc_id, name)?),
                (None, None) => return Err(ApiError::missing("CidrIp")),
            };
            add(protocol, self.from_port, self.to_port, peer, &None)?;
        }
        for permission in &self.ip_permissions {
            if !permission.prefix_list_ids.is_empty() {
                return Err(ApiError::new("UnsupportedOperation", "Prefix lists are not available here."));
            }
            let Permission { ip_protocol: protocol, from_port: from, to_port: to, .. } = permission;
            for range in &permission.ip_ranges {
                add(protocol, *from, *to, rules::v4(&range.cidr_ip)?, &range.description)?;
            }
            for range in &permission.v6_ranges {
                add(protocol, *from, *to, rules::v6(&range.cidr_ipv6)?, &range.description)?;
            }
            for other in &permission.groups {
                let id = match (&other.group_id, &other.group_name) {
                    (Some(id), _) => network::group(app, id)?.value.id,
                    (None, Some(name)) => named(app, &group.vpc_id, name)?,
                    (None, None) => return Err(ApiError::missing("GroupId")),
                };
                add(protocol, *from, *to, Peer::Group(id), &other.description)?;
            }
        }
        Ok(all)
    }
}

pub(super) fn authorize_ingress(app: &App, caller: &Caller, input: OfRules) -> Result<Xml, ApiError> {
    authorize(app, caller, &input, false)
}

pub(super) fn authorize_egress(app: &App, caller: &Caller, input: OfRules) -> Result<Xml, ApiError> {
    authorize(app, caller, &input, true)
}

fn authorize(app: &App, caller: &Caller, input: &OfRules, egress: bool) -> Result<Xml, ApiError> {
    let tags = tags_for(&input.tag_specification, "security-group-rule")?;
    let (group_id, added) = retrying(|| {
        let mut stored = network::group(app, &input.group_id(app)?)?;
        let added = input.rules(app, &stored.value, egress)?;
        if added.is_empty() {
            return Err(ApiError::missing("IpPermissions"));
        }
        let mut changes = Vec::new();
        for rule in &added {
            if stored.value.rules.iter().any(|present| present.is_same(rule)) {
                let message = format!("the specified rule \"{}\" already exists", rules::shown(rule));
                return Err(ApiError::new("InvalidPermission.Duplicate", message));
            }
            stored.value.rules.push(rule.clone());
            changes.extend(network::tag_change("security-group-rule", &rule.id, tags.clone())?);
        }
        if stored.value.rules.iter().filter(|rule| rule.egress == egress).count() > RULES_MAX {
            let message = format!("The maximum number of rules per security group is {RULES_MAX}.");
            return Err(ApiError::new("RulesPerSecurityGroupLimitExceeded", message));
        }
        changes.push(replace(&stored.value, stored.revision)?);
        // Rules that name groups must not race with the end of these.
        changes.push(network::turnstile(app)?);
        app.records.apply(&changes)?;
        Ok((stored.value.id, added))
    })?;
    let mut written = Vec::new();
    for rule in added {
        let tags = network::tags(app, "security-group-rule", &rule.id)?;
        written.push((rule, tags));
    }
    let mut xml = super::done();
    xml.list("securityGroupRuleSet", "item", &written, |xml, (rule, tags)| {
        rules::write(xml, caller, &group_id, rule);
        write_tags(xml, tags);
    });
    Ok(xml)
}

pub(super) fn revoke_ingress(app: &App, _caller: &Caller, input: OfRules) -> Result<Xml, ApiError> {
    revoke(app, &input, false)
}

pub(super) fn revoke_egress(app: &App, _caller: &Caller, input: OfRules) -> Result<Xml, ApiError> {
    revoke(app, &input, true)
}

fn revoke(app: &App, input: &OfRules, egress: bool) -> Result<Xml, ApiError> {
    let missing = |what: String| {
        let code = "InvalidPermission.NotFound";
        ApiError::new(code, format!("The specified rule \"{what}\" does not exist in this security group."))
    };
    retrying(|| {
        let mut stored = network::group(app, &input.group_id(app)?)?;
        let described = input.rules(app, &stored.value, egress)?;
        let mut changes = Vec::new();
        let all = &mut stored.value.rules;
        for id in &input.security_group_rule_id {
            let at = all.iter().position(|rule| rule.id == *id && rule.egress == egress);
            let at = at.ok_or_else(|| {
                super::not_found("InvalidSecurityGroupRuleId.NotFound", "security group rule", id)
            })?;
            changes.push(network::untag("security-group-rule", &all.remove(at).id));
        }
        for rule in &described {
            let at = all.iter().position(|present| present.is_same(rule));
            let at = at.ok_or_else(|| missing(rules::shown(rule)))?;
            changes.push(network::untag("security-group-rule", &all.remove(at).id));
        }
        changes.push(replace(&stored.value, stored.revision)?);
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(super::done())
}

/// A new rule's id; kept here because rules are made in two places.
pub(super) fn rule_id() -> String {
    new_id("sgr")
}
