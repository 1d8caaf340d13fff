//! Which node of a cache is started anew next, so that all of them come to run a release. One at a time: of a group first
//! the replicas, and a primary only when nobody can take its place.

use std::collections::BTreeSet;

use crate::resource::cluster::{Cluster, Status};
use crate::resource::group::{Group, ONLY_NODE, ObservedGroup, Status as GroupStatus};
use crate::resource::node::Observed;
use crate::resource::service_update::{NodeUpdate, Release, nodes};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// All nodes run the release.
    Done,
    /// Something else goes on; look again.
    Wait,
    /// Start this node anew.
    Restart {
        /// Its cluster.
        cluster: String,
        /// The node.
        node: String,
    },
    /// Let this replica take the place of the primary, which is then a replica.
    HandOver {
        /// The shard.
        shard: String,
        /// The replica.
        to: String,
    },
}

/// The next node of a cluster that is in no group.
pub fn next_of_cluster(cluster: &Cluster, observed: Option<&Observed>, release: &Release) -> Next {
    let far = nodes(cluster, observed, release);
    if !far.is_empty() && far.iter().all(|(_, update)| *update == NodeUpdate::Complete) {
        return Next::Done;
    }
    if cluster.status(observed) != Status::Available {
        return Next::Wait;
    }
    let waiting = far.into_iter().find(|(_, update)| *update == NodeUpdate::Waiting);
    waiting.map_or(Next::Wait, |(node, _)| Next::Restart { cluster: cluster.id.clone(), node })
}

/// The next node of a group with these members.
pub fn next_of_group(
    group: &Group,
    observed: Option<&ObservedGroup>,
    members: &[(Cluster, Option<Observed>)],
    release: &Release,
) -> Next {
    let mut waiting = BTreeSet::new();
    for (cluster, observed) in members {
        match next_of_cluster(cluster, observed.as_ref(), release) {
            Next::Done => {}
            Next::Restart { cluster, .. } => {
                waiting.insert(cluster);
            }
            Next::Wait | Next::HandOver { .. } => return Next::Wait,
        }
    }
    if waiting.is_empty() {
        return if members.is_empty() { Next::Wait } else { Next::Done };
    }
    let Some(observed) = observed.filter(|seen| group.status(Some(seen)) == GroupStatus::Available) else {
        return Next::Wait;
    };
    let mut concerned =
        group.shards.iter().filter(|(_, shard)| shard.members.iter().any(|m| waiting.contains(m)));
    let Some((id, shard)) = concerned.next() else { return Next::Wait };
    let primary = observed.primary(id);
    let online: Vec<&str> = observed.readers(id).collect();
    // As long as a replica does not have the data, the others keep theirs.
    if online.len() + 1 < shard.members.len() {
        return Next::Wait;
    }
    let replica = shard.members.iter().find(|m| waiting.contains(*m) && Some(m.as_str()) != primary);
    match (replica, online.first(), primary) {
        (Some(replica), ..) => Next::Restart { cluster: replica.clone(), node: ONLY_NODE.to_owned() },
        (None, Some(to), _) => Next::HandOver { shard: id.clone(), to: (*to).to_owned() },
        (None, None, Some(alone)) => Next::Restart { cluster: alone.to_owned(), node: ONLY_NODE.to_owned() },
        (None, None, None) => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::tests::{memcached, redis, settled};
    use crate::resource::group::{Acting, ObservedMember, ObservedShard, Shard};
    use crate::resource::service_update::Runs;

    fn release() -> Release {
        Release::parse("0.2.0").unwrap()
    }

    fn run(observed: &mut Observed, node: &str) {
        observed.nodes.get_mut(node).unwrap().runs = Runs::Release(release());
    }

    #[test]
    fn nodes_of_a_cluster_come_one_after_the_other() {
        let mut cluster = memcached(2);
        let mut observed = settled(&cluster);
        let restart = |node: &str| Next::Restart { cluster: cluster.id.clone(), node: node.to_owned() };
        let (first, second) = (restart("0001"), restart("0002"));
        assert_eq!(next_of_cluster(&cluster, Some(&observed), &release()), first);
        cluster.reboot(&["0001".to_owned()]);
        assert_eq!(next_of_cluster(&cluster, Some(&observed), &release()), Next::Wait);
        run(&mut observed, "0001");
        (observed.applied_generation, observed.nodes.get_mut("0001").unwrap().reboots) =
            (cluster.generation, 1);
        assert_eq!(next_of_cluster(&cluster, Some(&observed), &release()), second);
        run(&mut observed, "0002");
        assert_eq!(next_of_cluster(&cluster, Some(&observed), &release()), Next::Done);
        assert_eq!(next_of_cluster(&cluster, None, &release()), Next::Wait);
    }

    fn group_of_three() -> (Group, ObservedGroup, Vec<(Cluster, Option<Observed>)>) {
        let ids = ["g-001", "g-002", "g-003"];
        let shard = Shard { members: ids.map(str::to_owned).to_vec(), ..Shard::default() };
        let group = Group {
            id: "g".into(),
            description: String::new(),
            generation: 1,
            deleting: false,
            created_ms: 1,
            shards: [("0001".to_owned(), shard)].into(),
            automatic_failover: true,
            multi_az: false,
            at_rest_encryption: false,
            kms_key: None,
            snapshotting_cluster: None,
            user_group: None,
            snapshots: 0,
            replication_password: String::new(),
            auth_generation: 0,
        };
        let member = |id: &str| {
            (id.to_owned(), ObservedMember { synced_run_id: None, synced_offset: 0, online: true })
        };
        let seen = ObservedShard {
            primary: Some(Acting {
                cluster: "g-001".into(),
                run_id: "r".into(),
                process: None,
                history: String::new(),
                reboots: 0,
            }),
            members: [member("g-002"), member("g-003")].into(),
            ..ObservedShard::default()
        };
        let observed = ObservedGroup {
            id: "g".into(),
            applied_generation: 1,
            shards: [("0001".to_owned(), seen)].into(),
            ..ObservedGroup::default()
        };
        let members = ids.map(|id| {
            let cluster = Cluster { id: id.into(), group: Some("g".into()), ..redis() };
            let observed = settled(&cluster);
            (cluster, Some(observed))
        });
        (group, observed, members.to_vec())
    }

    #[test]
    fn of_a_group_the_replicas_come_first_and_then_the_primary_hands_over() {
        let (mut group, mut observed, mut members) = group_of_three();
        let restart = |id: &str| Next::Restart { cluster: id.to_owned(), node: "0001".to_owned() };
        let next = |group: &Group, observed: &ObservedGroup, members: &[(Cluster, Option<Observed>)]| {
            next_of_group(group, Some(observed), members, &release())
        };
        assert_eq!(next(&group, &observed, &members), restart("g-002"));
        observed.shards.get_mut("0001").unwrap().members.get_mut("g-002").unwrap().online = false;
        assert_eq!(next(&group, &observed, &members), Next::Wait, "one that has no data yet");
        observed.shards.get_mut("0001").unwrap().members.get_mut("g-002").unwrap().online = true;
        run(members[1].1.as_mut().unwrap(), "0001");
        assert_eq!(next(&group, &observed, &members), restart("g-003"));
        run(members[2].1.as_mut().unwrap(), "0001");
        let hand_over = Next::HandOver { shard: "0001".into(), to: "g-002".into() };
        assert_eq!(next(&group, &observed, &members), hand_over);
        group.generation = 2;
        assert_eq!(next(&group, &observed, &members), Next::Wait, "the group is being changed");
        group.generation = 1;
        run(members[0].1.as_mut().unwrap(), "0001");
        assert_eq!(next(&group, &observed, &members), Next::Done);
    }

    #[test]
    fn a_primary_without_replicas_is_started_anew() {
        let (mut group, mut observed, mut members) = group_of_three();
        members.truncate(1);
        group.shards.get_mut("0001").unwrap().members.truncate(1);
        observed.shards.get_mut("0001").unwrap().members.clear();
        let expected = Next::Restart { cluster: "g-001".into(), node: "0001".into() };
        assert_eq!(next_of_group(&group, Some(&observed), &members, &release()), expected);
    }
}
