//! Subnet groups: which subnets the nodes of a cache may live in.

use serde::{Deserialize, Serialize};

use super::network::{Network, Subnet};
use super::refusal::Refusal;
use crate::state::Resource;

/// Name of the group that is always there.
pub const DEFAULT_NAME: &str = "default";
/// Most groups of one account and region (quota L-3E7F7726).
pub const GROUPS_MAX: usize = 300;
/// Most subnets of one group (quota L-A87EE522).
pub const SUBNETS_MAX: usize = 20;

/// A subnet group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetGroup {
    /// Name, lower case.
    pub name: String,
    /// Words of the user.
    pub description: String,
    /// The VPC of its subnets.
    pub vpc_id: String,
    /// Ids of its subnets, without repetition, at least one.
    pub subnet_ids: Vec<String>,
}

impl Resource for SubnetGroup {
    const KIND: &'static str = "subnet-group";

    fn id(&self) -> String {
        self.name.clone()
    }
}

impl SubnetGroup {
    /// The group that is always there: all subnets of the default VPC.
    pub fn default_of(network: &Network) -> SubnetGroup {
        SubnetGroup {
            name: DEFAULT_NAME.to_owned(),
            description: "Default CacheSubnetGroup".to_owned(),
            vpc_id: network.vpc_id.clone(),
            subnet_ids: network
                .subnets
                .iter()
                .filter(|subnet| network.vpc_of(&subnet.id) == network.vpc_id)
                .map(|subnet| subnet.id.clone())
                .collect(),
        }
    }

    /// Replaces the subnets.
    ///
    /// # Errors
    /// `InvalidParameterValue` for none, `CacheSubnetQuotaExceededFault` for too many, `InvalidSubnet` for unknown.
    pub fn set_subnets(&mut self, asked: Vec<String>, network: &Network) -> Result<(), Refusal> {
        let mut ids: Vec<String> = Vec::new();
        for id in asked {
            if network.subnet(&id).is_none() {
                let shown: String = id.chars().take(64).collect();
                let message = format!("The subnet ID '{shown}' does not exist.");
                return Err(Refusal::new("InvalidSubnet", message));
            }
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return Err(Refusal::value("The parameter SubnetIds must be provided and must not be empty."));
        }
        if ids.len() > SUBNETS_MAX {
            let message = format!("A subnet group can have at most {SUBNETS_MAX} subnets.");
            return Err(Refusal::new("CacheSubnetQuotaExceededFault", message));
        }
        let vpc_id = ids.first().map(|id| network.vpc_of(id)).unwrap_or_default();
        if let Some(other) = ids.iter().find(|id| network.vpc_of(id) != vpc_id) {
            let message = format!("The subnet {other} is not in the VPC of the others, {vpc_id}.");
            return Err(Refusal::new("InvalidSubnet", message));
        }
        self.vpc_id = vpc_id.to_owned();
        self.subnet_ids = ids;
        Ok(())
    }

    /// Its subnets, in the group's order.
    pub fn subnets<'a>(&'a self, network: &'a Network) -> impl Iterator<Item = &'a Subnet> {
        self.subnet_ids.iter().filter_map(|id| network.subnet(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let mut count = 0;
        Network::default_of("us-east-1", crate::resource::network::DEFAULT_VPC_BASE, || {
            count += 1;
            format!("{count:017x}")
        })
    }

    #[test]
    fn subnets_are_known_and_not_repeated() {
        let network = network();
        let mut group = SubnetGroup::default_of(&network);
        assert_eq!(group.subnets(&network).count(), 3);
        let first = network.subnets[0].id.clone();
        group.set_subnets(vec![first.clone(), first.clone()], &network).unwrap();
        assert_eq!(group.subnet_ids, [first]);
        for (asked, code) in
            [(vec![], "InvalidParameterValue"), (vec!["subnet-0".to_owned()], "InvalidSubnet")]
        {
            assert_eq!(group.set_subnets(asked, &network).unwrap_err().code, code);
        }
        assert_eq!(group.subnet_ids.len(), 1);
    }
}
