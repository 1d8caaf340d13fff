//! The network that caches live in: a range of loopback addresses that plays a VPC, one subnet per zone.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::state::Resource;

/// First address of the default VPC.
pub const DEFAULT_VPC_BASE: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 0);
/// Prefix length of the default VPC.
pub const DEFAULT_VPC_PREFIX: u8 = 16;
/// Prefix length of its subnets.
pub const DEFAULT_SUBNET_PREFIX: u8 = 20;
/// Zone letters of the default subnets.
pub const DEFAULT_ZONES: [char; 3] = ['a', 'b', 'c'];
/// AWS keeps the first four addresses and the last one of each subnet for itself; so do we.
pub const RESERVED_FIRST_COUNT: u32 = 4;

/// A VPC with its subnets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// `vpc-` and 17 hexadecimal digits.
    pub vpc_id: String,
    /// `sg-` and 17 hexadecimal digits.
    pub default_security_group_id: String,
    /// Subnets in the order of their zones: of the default VPC in the record, of all VPCs where operations look.
    pub subnets: Vec<Subnet>,
    /// Whether VPC, subnets and security group have records of their own, which then count instead of this one.
    #[serde(default)]
    pub split: bool,
    /// The VPC of each subnet that is not in the default one.
    #[serde(skip)]
    pub vpc_of: BTreeMap<String, String>,
}

/// A part of a VPC in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// `subnet-` and 17 hexadecimal digits.
    pub id: String,
    /// Availability zone, such as `us-east-1a`.
    pub zone: String,
    /// First address of the range.
    pub base: Ipv4Addr,
    /// Prefix length of the range, 1 to 30.
    pub prefix: u8,
}

impl Resource for Network {
    const KIND: &'static str = "network";

    fn id(&self) -> String {
        DEFAULT_NETWORK_ID.to_owned()
    }
}

/// Id of the one network record.
pub const DEFAULT_NETWORK_ID: &str = "default";

impl Network {
    /// The default network of a region. `vpc_base` is the first address of its /16; `digits` answers 17 random hexadecimal digits at each call.
    pub fn default_of(region: &str, vpc_base: Ipv4Addr, mut digits: impl FnMut() -> String) -> Network {
        let size = 1u32 << (32 - DEFAULT_SUBNET_PREFIX);
        let subnet = |(index, letter): (usize, &char), id: String| Subnet {
            id: format!("subnet-{id}"),
            zone: format!("{region}{letter}"),
            base: Ipv4Addr::from(u32::from(vpc_base) + index as u32 * size),
            prefix: DEFAULT_SUBNET_PREFIX,
        };
        Network {
            vpc_id: format!("vpc-{}", digits()),
            default_security_group_id: format!("sg-{}", digits()),
            split: false,
            vpc_of: BTreeMap::new(),
            subnets: DEFAULT_ZONES.iter().enumerate().map(|zone| subnet(zone, digits())).collect(),
        }
    }

    /// The VPC of a subnet.
    pub fn vpc_of(&self, subnet_id: &str) -> &str {
        self.vpc_of.get(subnet_id).unwrap_or(&self.vpc_id)
    }

    /// The subnet of that id.
    pub fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|s| s.id == id)
    }
}

impl Subnet {
    /// How many addresses nodes may have here.
    pub fn usable_count(&self) -> u32 {
        (1u32 << (32 - self.prefix)) - RESERVED_FIRST_COUNT - 1
    }

    /// The usable address of that number, counted from zero.
    pub fn usable(&self, index: u32) -> Option<Ipv4Addr> {
        let address = u32::from(self.base) + RESERVED_FIRST_COUNT + index;
        (index < self.usable_count()).then(|| Ipv4Addr::from(address))
    }
}

/// An address that is in use: its existence as a record is what keeps two nodes from having the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: Ipv4Addr,
    /// Cluster that has it.
    pub cluster_id: String,
    /// Node that has it.
    pub node_id: String,
}

impl Resource for Address {
    const KIND: &'static str = "address";

    fn id(&self) -> String {
        self.address.to_string()
    }
}
