//! Rules as things of their own: DescribeSecurityGroupRules, ModifySecurityGroupRules, and how a rule is read.

use serde::Deserialize;

use super::filter::{Filter, page, passes, write_tags};
use super::{done, network, rule::rule_id};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller, retrying};
use crate::resource::ec2::{Peer, Rule, SecurityGroup};
use crate::state::{list_all, replace};

/// A new rule, checked.
pub(super) fn rule(
    egress: bool,
    protocol: &str,
    from: Option<i32>,
    to: Option<i32>,
    peer: Peer,
    description: Option<String>,
) -> Result<Rule, ApiError> {
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "-1" | "all" => "-1".to_owned(),
        "tcp" | "6" => "tcp".to_owned(),
        "udp" | "17" => "udp".to_owned(),
        "icmp" | "1" => "icmp".to_owned(),
        "icmpv6" | "58" => "icmpv6".to_owned(),
        other if other.parse::<u8>().is_ok() => other.to_owned(),
        _ => return Err(ApiError::invalid_value("Invalid value for IP protocol. Unknown protocol.")),
    };
    let (from, to) = match protocol.as_str() {
        "tcp" | "udp" => {
            let from = from.ok_or_else(|| ApiError::missing("FromPort"))?;
            let to = to.ok_or_else(|| ApiError::missing("ToPort"))?;
            let is_all = (from, to) == (-1, -1);
            if !is_all && (!(0..=65_535).contains(&from) || !(from..=65_535).contains(&to)) {
                return Err(ApiError::invalid_value(format!(
                    "Invalid value for portRange. Must specify both from and to ports with TCP/UDP: {from}-{to}."
                )));
            }
            (from, to)
        }
        "icmp" | "icmpv6" => (from.unwrap_or(-1), to.unwrap_or(-1)),
        _ => (-1, -1),
    };
    if description.as_ref().is_some_and(|text| text.chars().count() > 255) {
        return Err(ApiError::invalid_value("A description can have at most 255 characters."));
    }
    let description = description.filter(|text| !text.is_empty());
    Ok(Rule { id: rule_id(), egress, protocol, from, to, peer, description })
}

/// Reads a range of addresses.
pub(super) fn v4(text: &str) -> Result<Peer, ApiError> {
    let range = text.parse::<ipnet::Ipv4Net>().ok().filter(|range| *range == range.trunc());
    range.map(Peer::V4).ok_or_else(|| malformed(text))
}

/// Reads a range of addresses of the newer sort.
pub(super) fn v6(text: &str) -> Result<Peer, ApiError> {
    let range = text.parse::<ipnet::Ipv6Net>().map_err(|_| malformed(text))?;
    Ok(Peer::V6(range.to_string()))
}

fn malformed(text: &str) -> ApiError {
    let shown: String = text.chars().take(64).collect();
    ApiError::invalid_value(format!("CIDR block {shown} is malformed"))
}

/// A rule in words, for messages.
pub(super) fn shown(rule: &Rule) -> String {
    let peer = match &rule.peer {
        Peer::V4(range) => range.to_string(),
        Peer::V6(range) => range.clone(),
        Peer::Group(id) => id.clone(),
    };
    format!("peer: {peer}, {}, from port: {}, to port: {}, ALLOW", rule.protocol, rule.from, rule.to)
}

/// Writes a rule.
pub(super) fn write(xml: &mut Xml, caller: &Caller, group_id: &str, rule: &Rule) {
    xml.text("securityGroupRuleId", &rule.id)
        .text("securityGroupRuleArn", &super::arn(caller, "security-group-rule", &rule.id))
        .text("groupId", group_id)
        .text("groupOwnerId", &caller.account)
        .boolean("isEgress", rule.egress)
        .text("ipProtocol", &rule.protocol)
        .number("fromPort", rule.from)
        .number("toPort", rule.to);
    match &rule.peer {
        Peer::V4(range) => xml.text("cidrIpv4", &range.to_string()),
        Peer::V6(range) => xml.text("cidrIpv6", range),
        Peer::Group(id) => xml.element("referencedGroupInfo", |xml| {
            xml.text("groupId", id).text("userId", &caller.account);
        }),
    };
    xml.optional("description", rule.description.as_deref());
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeSecurityGroupRules {
    #[serde(default)]
    security_group_rule_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl Input for DescribeSecurityGroupRules {}

pub(super) fn describe(
    app: &App,
    caller: &Caller,
    input: DescribeSecurityGroupRules,
) -> Result<Xml, ApiError> {
    let mut all = Vec::new();
    for SecurityGroup { id, rules, .. } in
        list_all::<SecurityGroup>(app.records.as_ref())?.into_iter().map(|s| s.value)
    {
        all.extend(rules.into_iter().map(|rule| (id.clone(), rule)));
    }
    for id in &input.security_group_rule_id {
        if !all.iter().any(|(_, rule)| rule.id == *id) {
            return Err(super::not_found("InvalidSecurityGroupRuleId.NotFound", "security group rule", id));
        }
    }
    let mut found = Vec::new();
    for (group_id, rule) in all {
        if !input.security_group_rule_id.is_empty() && !input.security_group_rule_id.contains(&rule.id) {
            continue;
        }
        let tags = network::tags(app, "security-group-rule", &rule.id)?;
        let values = |name: &str| match name {
            "group-id" => Some(vec![group_id.clone()]),
            "security-group-rule-id" => Some(vec![rule.id.clone()]),
            _ => None,
        };
        if passes(&input.filter, &tags, values)? {
            found.push((group_id, rule, tags));
        }
    }
    found.sort_by(|a, b| a.1.id.cmp(&b.1.id));
    let (found, next) =
        page(found, input.next_token.as_deref(), input.max_results, |(_, rule, _)| rule.id.clone());
    let mut xml = Xml::new();
    xml.list("securityGroupRuleSet", "item", &found, |xml, (group_id, rule, tags)| {
        write(xml, caller, group_id, rule);
        write_tags(xml, tags);
    });
    xml.optional("nextToken", next.as_deref());
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifySecurityGroupRules {
    group_id: String,
    security_group_rule: Vec<Update>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    security_group_rule_id: String,
    security_group_rule: Wanted,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wanted {
    ip_protocol: String,
    from_port: Option<i32>,
    to_port: Option<i32>,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    referenced_group_id: Option<String>,
    description: Option<String>,
}

impl Input for ModifySecurityGroupRules {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![super::arn(caller, "security-group", &self.group_id)])
    }

    fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        network::tags_of_arn(app, arn)
    }
}

pub(super) fn modify(app: &App, _caller: &Caller, input: ModifySecurityGroupRules) -> Result<Xml, ApiError> {
    retrying(|| {
        let mut stored = network::group(app, &input.group_id)?;
        for Update { security_group_rule_id: id, security_group_rule: wanted } in &input.security_group_rule {
            let present = stored.value.rules.iter_mut().find(|rule| rule.id == *id);
            let present = present.ok_or_else(|| {
                super::not_found("InvalidSecurityGroupRuleId.NotFound", "security group rule", id)
            })?;
            let peer = match (&wanted.cidr_ipv4, &wanted.cidr_ipv6, &wanted.referenced_group_id) {
                (Some(range), None, None) => v4(range)?,
                (None, Some(range), None) => v6(range)?,
                (None, None, Some(id)) => Peer::Group(network::group(app, id)?.value.id),
                _ => return Err(ApiError::missing("CidrIpv4")),
            };
            let (from, to, description) = (wanted.from_port, wanted.to_port, wanted.description.clone());
            let new = rule(present.egress, &wanted.ip_protocol, from, to, peer, description)?;
            *present = Rule { id: id.clone(), ..new };
        }
        app.records.apply(&[replace(&stored.value, stored.revision)?, network::turnstile(app)?])?;
        Ok(())
    })?;
    Ok(done())
}
