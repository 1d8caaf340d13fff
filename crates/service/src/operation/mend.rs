//! What an earlier version wrote otherwise than this one would, put right when the records are opened.

use crate::resource::cluster::Cluster;
use crate::resource::ec2::Vpc;
use crate::resource::network::{DEFAULT_NETWORK_ID, Network};
use crate::resource::subnet_group::SubnetGroup;
use crate::state::{Records, StateError, find, list_all, replace};

/// A cache that named no security group had the default one of the default VPC, also where its subnet group lies in
/// another VPC. It is given the default one of its own VPC, whose rules hold it from then on. Nobody could have asked for
/// what it had: a group of another VPC is refused.
///
/// # Errors
/// If a record cannot be read or written.
pub fn mend_security_groups(records: &dyn Records) -> Result<(), StateError> {
    let Some(network) = find::<Network>(records, DEFAULT_NETWORK_ID)? else { return Ok(()) };
    let elsewhere = [network.value.default_security_group_id];
    let mut changes = Vec::new();
    for stored in list_all::<Cluster>(records)? {
        let mut cluster = stored.value;
        if cluster.security_group_ids != elsewhere {
            continue;
        }
        // The default subnet group has no record, and lies in the default VPC.
        let Some(group) = find::<SubnetGroup>(records, &cluster.subnet_group)? else { continue };
        let Some(vpc) = find::<Vpc>(records, &group.value.vpc_id)? else { continue };
        if elsewhere == [vpc.value.default_group_id.as_str()] {
            continue;
        }
        tracing::info!("{} is given the security group of its own VPC, {}", cluster.id, vpc.value.id);
        cluster.security_group_ids = vec![vpc.value.default_group_id];
        changes.push(replace(&cluster, stored.revision)?);
    }
    if changes.is_empty() {
        return Ok(());
    }
    records.apply(&changes).map(drop)
}
