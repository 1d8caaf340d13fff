//! The rules of CreateReplicationGroup that need nothing but the request and what was looked up for it.

use crate::resource::cluster::create::zone_names;
use crate::resource::network::Subnet;
use crate::resource::refusal::Refusal;

use super::SHARD_MEMBERS_MAX;

/// Longest group id: ids of members have up to ten characters more.
const ID_BYTES_MAX: usize = 40;

/// A group identifier in its stored form (lower case).
///
/// # Errors
/// `InvalidParameterValue`.
pub fn identifier(text: &str) -> Result<String, Refusal> {
    crate::resource::identifier::identifier("ReplicationGroupId", text, ID_BYTES_MAX)
}

/// How many members there will be, and in which zones.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// NumCacheClusters, or ReplicasPerNodeGroup and one more.
    pub members: Option<i64>,
    /// PreferredCacheClusterAZs.
    pub zones: Vec<String>,
    /// AutomaticFailoverEnabled.
    pub automatic_failover: bool,
    /// MultiAZEnabled.
    pub multi_az: bool,
}

impl Layout {
    /// The zone of each member.
    ///
    /// # Errors
    /// `InvalidParameterValue` and `InvalidParameterCombination`.
    pub fn zones(&self, subnets: &[Subnet]) -> Result<Vec<String>, Refusal> {
        let asked =
            self.members.unwrap_or_else(|| i64::try_from(self.zones.len().max(1)).unwrap_or(i64::MAX));
        let count = usize::try_from(asked).ok().filter(|count| (1..=SHARD_MEMBERS_MAX).contains(count));
        let count = count.ok_or_else(|| {
            Refusal::value(format!(
                "The number of cache clusters in a replication group must be between 1 and {SHARD_MEMBERS_MAX}, \
                 but {asked} was requested."
            ))
        })?;
        check_failover(self.automatic_failover, self.multi_az, count)?;
        if !self.zones.is_empty() && self.zones.len() != count {
            return Err(Refusal::combination(
                "The number of PreferredCacheClusterAZs must be equal to the number of cache clusters.",
            ));
        }
        let known = zone_names(subnets);
        let zones = if self.zones.is_empty() { spread(&known, &[], count) } else { self.zones.clone() };
        crate::resource::cluster::create::check_zones(&zones, &known)?;
        check_multi_az(self.multi_az, &zones)?;
        Ok(zones)
    }
}

/// Zones for more members: always the one with the fewest so far.
pub fn spread(known: &[&str], present: &[String], count: usize) -> Vec<String> {
    let mut zones = present.to_vec();
    for _ in 0..count {
        let fewest = known.iter().min_by_key(|zone| zones.iter().filter(|z| z == *zone).count());
        zones.extend(fewest.map(|zone| (*zone).to_owned()));
    }
    zones.split_off(present.len())
}

/// Automatic failover needs a replica, and several zones need automatic failover.
pub fn check_failover(automatic: bool, multi_az: bool, members: usize) -> Result<(), Refusal> {
    if automatic && members < 2 {
        return Err(Refusal::combination(
            "Automatic failover is not supported for a replication group without replicas: at least 2 cache clusters \
             are needed.",
        ));
    }
    if multi_az && !automatic {
        return Err(Refusal::combination("Multi-AZ can only be enabled together with automatic failover."));
    }
    Ok(())
}

/// With Multi-AZ a replica must lie in another zone than the primary.
pub fn check_multi_az(multi_az: bool, zones: &[String]) -> Result<(), Refusal> {
    if multi_az && zones.iter().all(|zone| *zone == zones[0]) {
        return Err(Refusal::combination(
            "Multi-AZ needs cache clusters in at least two availability zones.",
        ));
    }
    Ok(())
}
