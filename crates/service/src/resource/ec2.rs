//! Networks as EC2 knows them: VPCs, subnets, security groups.
//!
//! A VPC has the range that its owner states. On one machine that range cannot be what sockets listen on, so each VPC
//! also has a /16 of the loopback range, and an address of the stated range has its counterpart there at the same
//! distance from the beginning. Users see stated ranges in EC2's answers, and loopback addresses as endpoints of
//! caches, which connect as they are. The default VPC's stated range is its loopback range.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::network::Subnet;
use crate::state::Resource;

/// The address that programs on this machine call from, unless they choose another one.
pub const THIS_MACHINE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// `vpc-` and 17 hexadecimal digits.
    pub id: String,
    /// Its range as its owner stated it.
    pub range: Ipv4Net,
    /// First address of its /16 of the loopback range.
    pub base: Ipv4Addr,
    /// Whether it is the default VPC.
    pub is_default: bool,
    /// Its security group `default`.
    pub default_group_id: String,
    /// Attribute of that name.
    pub dns_support: bool,
    /// Attribute of that name.
    pub dns_hostnames: bool,
    /// Attribute of that name.
    pub address_metrics: bool,
}

/// A subnet with what its VPC makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetOfVpc {
    /// Id, zone and the range in which nodes listen.
    pub subnet: Subnet,
    /// Its VPC.
    pub vpc_id: String,
    /// Its range as its owner stated it.
    pub range: Ipv4Net,
    /// Whether it is a default subnet of its zone.
    pub is_default: bool,
    /// Attribute of that name.
    pub public_on_launch: bool,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// `sg-` and 17 hexadecimal digits.
    pub id: String,
    /// Name, unique in its VPC.
    pub name: String,
    /// Words of the user.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Rules.
    pub rules: Vec<Rule>,
}

/// A rule: what it admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `sgr-` and 17 hexadecimal digits.
    pub id: String,
    /// Whether it is about what leaves.
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, a number, or `-1` for everything.
    pub protocol: String,
    /// First port; -1 with no ports.
    pub from: i32,
    /// Last port.
    pub to: i32,
    /// Who is meant.
    pub peer: Peer,
    /// Words of the user.
    pub description: Option<String>,
}

/// Who a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// A range of addresses.
    V4(Ipv4Net),
    /// A range of addresses of the newer sort, which nodes here do not have.
    V6(String),
    /// The members of a security group.
    Group(String),
}

macro_rules! kinds {
    ($($type:ident $kind:literal $($id:ident).+,)*) => {$(
        impl Resource for $type {
            const KIND: &'static str = $kind;

            fn id(&self) -> String {
                self.$($id).+.clone()
            }
        }
    )*};
}

kinds! {
    Vpc "vpc" id,
    SubnetOfVpc "subnet" subnet.id,
    SecurityGroup "security-group" id,
}

impl Vpc {
    /// Where a part of its range lies in the loopback range.
    pub fn to_loopback(&self, part: Ipv4Net) -> Ipv4Addr {
        let distance = u32::from(part.network()).wrapping_sub(u32::from(self.range.network()));
        Ipv4Addr::from(u32::from(self.base).wrapping_add(distance))
    }
}

impl SecurityGroup {
    /// A new group, from which everything may leave.
    pub fn new(
        id: String,
        name: String,
        description: String,
        vpc_id: String,
        rule_id: String,
    ) -> SecurityGroup {
        let everything = Rule {
            id: rule_id,
            egress: true,
            protocol: "-1".to_owned(),
            from: -1,
            to: -1,
            peer: Peer::V4(Ipv4Net::default()),
            description: None,
        };
        SecurityGroup { id, name, description, vpc_id, rules: vec![everything] }
    }

    /// The group `default` of a VPC: its members may reach each other.
    pub fn default_of(vpc_id: &str, id: String, mut digits: impl FnMut() -> String) -> SecurityGroup {
        let mut rule_id = || format!("sgr-{}", digits());
        let ingress = Rule {
            id: rule_id(),
            egress: false,
            protocol: "-1".to_owned(),
            from: -1,
            to: -1,
            peer: Peer::Group(id.clone()),
            description: None,
        };
        let description = "default VPC security group".to_owned();
        let mut group =
            SecurityGroup::new(id, "default".to_owned(), description, vpc_id.to_owned(), rule_id());
        group.rules.push(ingress);
        group
    }
}

impl Rule {
    /// Whether it is about the same traffic.
    pub fn is_same(&self, other: &Rule) -> bool {
        self.egress == other.egress
            && self.protocol == other.protocol
            && (self.from, self.to) == (other.from, other.to)
            && self.peer == other.peer
    }

    /// Whether it lets TCP in to a port.
    fn admits(&self, port: u16) -> bool {
        let port = i32::from(port);
        !self.egress
            && match self.protocol.as_str() {
                "-1" => true,
                "tcp" | "6" => self.from == -1 || (self.from..=self.to).contains(&port),
                _ => false,
            }
    }
}

/// The ranges of addresses that may reach a port of a node that is in these groups; none at all if nothing may.
///
/// Programs on this machine are members of the group `default` of every VPC, and lie within the range of every VPC:
/// they play the instances that would be there.
pub fn sources(
    groups: &[SecurityGroup],
    vpcs: &[Vpc],
    port: u16,
    members: impl Fn(&str) -> Vec<Ipv4Addr>,
) -> Vec<Ipv4Net> {
    let mut sources = Vec::new();
    for rule in groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.admits(port)) {
        match &rule.peer {
            Peer::V4(range) => {
                sources.push(*range);
                for vpc in vpcs {
                    if range.contains(&vpc.range) {
                        sources.extend([Ipv4Net::new_assert(vpc.base, 16), Ipv4Net::from(THIS_MACHINE)]);
                    } else if vpc.range.contains(range) {
                        sources.push(Ipv4Net::new_assert(vpc.to_loopback(*range), range.prefix_len()));
                    }
                }
            }
            Peer::V6(_) => {}
            Peer::Group(id) => {
                sources.extend(members(id).into_iter().map(Ipv4Net::from));
                if vpcs.iter().any(|vpc| vpc.default_group_id == *id) {
                    sources.push(Ipv4Net::from(THIS_MACHINE));
                }
            }
        }
    }
    Ipv4Net::aggregate(&sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpc() -> Vpc {
        Vpc {
            id: "vpc-1".into(),
            range: "10.0.0.0/16".parse().unwrap(),
            base: Ipv4Addr::new(127, 77, 0, 0),
            is_default: false,
            default_group_id: "sg-d".into(),
            dns_support: true,
            dns_hostnames: false,
            address_metrics: false,
        }
    }

    fn group(protocol: &str, ports: (i32, i32), peer: Peer) -> SecurityGroup {
        let rule = Rule {
            id: "sgr-1".into(),
            egress: false,
            protocol: protocol.into(),
            from: ports.0,
            to: ports.1,
            peer,
            description: None,
        };
        let mut group =
            SecurityGroup::new("sg-1".into(), "a".into(), "a".into(), "vpc-1".into(), "sgr-0".into());
        group.rules.push(rule);
        group
    }

    fn texts(group: SecurityGroup) -> Vec<String> {
        let members = |id: &str| if id == "sg-2" { vec![Ipv4Addr::new(127, 77, 0, 9)] } else { Vec::new() };
        sources(&[group], &[vpc()], 6379, members).iter().map(Ipv4Net::to_string).collect()
    }

    #[test]
    fn rules_become_sources() {
        let v4 = |text: &str| Peer::V4(text.parse().unwrap());
        assert_eq!(texts(group("tcp", (6379, 6379), v4("0.0.0.0/0"))), ["0.0.0.0/0"]);
        assert_eq!(
            texts(group("tcp", (6000, 7000), v4("10.0.0.0/16"))),
            ["10.0.0.0/16", "127.0.0.1/32", "127.77.0.0/16"]
        );
        assert_eq!(texts(group("6", (6379, 6379), v4("10.0.1.0/24"))), ["10.0.1.0/24", "127.77.1.0/24"]);
        assert_eq!(texts(group("-1", (-1, -1), Peer::Group("sg-2".into()))), ["127.77.0.9/32"]);
        assert_eq!(texts(group("-1", (-1, -1), Peer::Group("sg-d".into()))), ["127.0.0.1/32"]);
        for (protocol, ports) in [("tcp", (80, 443)), ("udp", (6379, 6379)), ("icmp", (-1, -1))] {
            assert!(texts(group(protocol, ports, v4("0.0.0.0/0"))).is_empty(), "{protocol}");
        }
        assert!(texts(group("-1", (-1, -1), Peer::V6("::/0".into()))).is_empty());
    }
}
