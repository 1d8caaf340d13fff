//! The rules of operations that change a group: who may be promoted, how many replicas there are, what may go.

use super::create::check_failover;
use super::{Group, ONLY_SHARD, ObservedGroup, SHARD_MEMBERS_MAX, Shard, Status};
use crate::resource::refusal::Refusal;

/// Most replicas of a shard.
const REPLICAS_MAX: usize = SHARD_MEMBERS_MAX - 1;

/// Refuses a change of a group that is busy.
///
/// # Errors
/// `InvalidReplicationGroupState`.
pub fn check_available(group: &Group, observed: Option<&ObservedGroup>) -> Result<(), Refusal> {
    match group.status(observed) {
        Status::Available => Ok(()),
        status => Err(not_available(group, status)),
    }
}

fn not_available(group: &Group, status: Status) -> Refusal {
    Refusal::new(
        "InvalidReplicationGroupState",
        format!("Replication group {} is not in available state: it is {}.", group.id, status.as_str()),
    )
}

/// Wants another member to be the primary.
///
/// # Errors
/// If it is none that could be, or with automatic failover.
pub fn promote(group: &mut Group, observed: Option<&ObservedGroup>, cluster: &str) -> Result<bool, Refusal> {
    let cluster = cluster.to_ascii_lowercase();
    let found = group.shards.iter().find(|(_, shard)| shard.members.contains(&cluster));
    let Some(shard_id) = found.map(|(id, _)| id.clone()) else {
        return Err(Refusal::value(format!("{cluster} is not a member of replication group {}.", group.id)));
    };
    if observed.and_then(|observed| observed.primary(&shard_id)) == Some(&cluster) {
        return Ok(false);
    }
    if group.automatic_failover || group.multi_az {
        return Err(Refusal::combination(
            "A replica cannot be promoted by hand while automatic failover or Multi-AZ is enabled. Disable both \
             first.",
        ));
    }
    if let Some(shard) = group.shards.get_mut(&shard_id) {
        shard.promotions += 1;
        shard.promote = Some(cluster);
    }
    group.generation += 1;
    Ok(true)
}

/// Wants a failover of a shard, as TestFailover asks.
///
/// # Errors
/// `NodeGroupNotFoundFault`, `TestFailoverNotAvailableFault`, `InvalidReplicationGroupState`.
pub fn test_failover(
    group: &mut Group,
    observed: Option<&ObservedGroup>,
    shard_id: &str,
) -> Result<(), Refusal> {
    if !group.shards.contains_key(shard_id) {
        let shown: String = shard_id.chars().take(64).collect();
        return Err(Refusal::new("NodeGroupNotFoundFault", format!("Node group {shown} not found.")));
    }
    check_available(group, observed)?;
    let has_replica = observed.is_some_and(|observed| observed.readers(shard_id).next().is_some());
    if !group.automatic_failover || !has_replica {
        return Err(Refusal::new(
            "TestFailoverNotAvailableFault",
            format!(
                "TestFailover needs automatic failover and a replica that is in sync; replication group {} has not \
                 both.",
                group.id
            ),
        ));
    }
    if let Some(shard) = group.shards.get_mut(shard_id) {
        shard.failovers += 1;
    }
    group.generation += 1;
    Ok(())
}

/// The number of replicas that IncreaseReplicaCount asks for, checked against the present one.
///
/// # Errors
/// `InvalidParameterValue`, `NoOperationFault`.
pub fn more_replicas(shard: &Shard, asked: i64) -> Result<usize, Refusal> {
    let present = shard.members.len().saturating_sub(1);
    match replica_count(asked)? {
        count if count > present => Ok(count),
        count if count == present => Err(no_operation()),
        count => Err(Refusal::value(format!(
            "NewReplicaCount {count} is less than the present number of replicas, {present}."
        ))),
    }
}

/// The members that go when DecreaseReplicaCount asks for a number or names some: never the primary.
///
/// # Errors
/// `InvalidParameterValue`, `InvalidParameterCombination`, `NoOperationFault`.
pub fn fewer_replicas(
    group: &Group,
    shard: &Shard,
    primary: Option<&str>,
    asked: Option<i64>,
    named: &[String],
) -> Result<Vec<String>, Refusal> {
    let named: Vec<String> = named.iter().map(|id| id.to_ascii_lowercase()).collect();
    if let Some(unknown) = named.iter().find(|id| !shard.members.contains(id)) {
        let shown: String = unknown.chars().take(64).collect();
        return Err(Refusal::value(format!("{shown} is not a member of replication group {}.", group.id)));
    }
    if named.iter().any(|id| Some(id.as_str()) == primary) {
        return Err(Refusal::value("The primary cannot be removed by DecreaseReplicaCount."));
    }
    let mut going = named;
    going.sort();
    going.dedup();
    if let Some(asked) = asked {
        let (count, present) = (replica_count(asked)?, shard.members.len().saturating_sub(1));
        if count == present {
            return Err(no_operation());
        }
        if count > present {
            return Err(Refusal::value(format!(
                "NewReplicaCount {count} is more than the present number of replicas, {present}."
            )));
        }
        if going.is_empty() {
            let replicas = shard.members.iter().rev().filter(|id| Some(id.as_str()) != primary);
            going = replicas.take(present - count).cloned().collect();
        } else if going.len() != present - count {
            return Err(Refusal::combination("The number of ReplicasToRemove does not fit NewReplicaCount."));
        }
    }
    if going.is_empty() {
        return Err(Refusal::combination("NewReplicaCount or ReplicasToRemove must be given."));
    }
    if group.automatic_failover && shard.members.len() - going.len() < 2 {
        return Err(Refusal::value(
            "A replication group with automatic failover must keep at least one replica.",
        ));
    }
    Ok(going)
}

/// Takes a member out, because its cluster is deleted.
///
/// # Errors
/// `InvalidCacheClusterState` for the primary and for the last member.
pub fn leave(group: &mut Group, observed: Option<&ObservedGroup>, cluster: &str) -> Result<(), Refusal> {
    if group.members().count() == 1 {
        return Err(Refusal::cluster_state(format!(
            "Cache cluster {cluster} is the only member of a replication group and cannot be deleted. Delete the \
             replication group {} instead.",
            group.id
        )));
    }
    let is_primary = group.shards.iter().any(|(id, shard)| {
        let primary =
            observed.and_then(|observed| observed.primary(id)).or(shard.members.first().map(String::as_str));
        primary == Some(cluster)
    });
    if is_primary {
        return Err(Refusal::cluster_state(format!(
            "Cache cluster {cluster} is serving as primary for replication group {} and cannot be deleted.",
            group.id
        )));
    }
    let remaining = group.members().count() - 1;
    check_failover(group.automatic_failover, group.multi_az, remaining)
        .map_err(|refusal| Refusal::cluster_state(refusal.message))?;
    remove_members(group, &[cluster.to_owned()]);
    Ok(())
}

/// Takes members out of their shards.
pub fn remove_members(group: &mut Group, going: &[String]) {
    for shard in group.shards.values_mut() {
        shard.members.retain(|id| !going.contains(id));
        if shard.promote.as_ref().is_some_and(|id| going.contains(id)) {
            shard.promote = None;
        }
    }
    if group.snapshotting_cluster.as_ref().is_some_and(|id| going.contains(id)) {
        group.snapshotting_cluster = None;
    }
    group.generation += 1;
}

/// The one shard of a group with cluster mode disabled, for operations that name one or none.
///
/// # Errors
/// `NodeGroupNotFoundFault`.
pub fn only_shard<'a>(group: &'a Group, asked: Option<&str>) -> Result<&'a Shard, Refusal> {
    let id = asked.unwrap_or(ONLY_SHARD);
    let shown = || id.chars().take(64).collect::<String>();
    let missing = || Refusal::new("NodeGroupNotFoundFault", format!("Node group {} not found.", shown()));
    group.shards.get(id).ok_or_else(missing)
}

fn replica_count(asked: i64) -> Result<usize, Refusal> {
    let count = usize::try_from(asked).ok().filter(|count| *count <= REPLICAS_MAX);
    count.ok_or_else(|| {
        Refusal::value(format!("NewReplicaCount must be between 0 and {REPLICAS_MAX}, but is {asked}."))
    })
}

fn no_operation() -> Refusal {
    Refusal::new("NoOperationFault", "The operation was not performed because no changes were required.")
}
