//! Clusters that are taken into a replication group, and those that stay when their group goes: killed at every instant,
//! and nothing is lost or started anew.

use super::group::{group_of, killed_from};
use super::*;
use crate::resource::group::{ONLY_NODE, ONLY_SHARD, change};

/// Writes that the cluster holds before it is taken over.
const WRITTEN: u64 = 7;

/// A cluster alone in which something was written.
async fn alone() -> World {
    let world = World::new();
    world.desire(&redis());
    world.run("pages").await.unwrap();
    world.host.nodes.lock().unwrap().get_mut(&world.key("pages")).unwrap().data = WRITTEN;
    world
}

/// A group around that cluster with so many replicas, as CreateReplicationGroup writes it.
fn adopt(world: &World, replicas: usize) {
    let (mut group, clusters) = group_of(replicas);
    let mut primary = find::<Cluster>(&*world.records, "pages").unwrap().unwrap().value;
    primary.group = Some(group.id.clone());
    world.desire(&primary);
    clusters.iter().for_each(|cluster| world.desire(cluster));
    group.shards.get_mut(ONLY_SHARD).unwrap().members.insert(0, primary.id);
    group.automatic_failover = replicas > 0;
    world.desire_group(&group);
}

#[tokio::test]
async fn a_cluster_is_taken_into_a_group_with_its_data_wherever_it_is_killed() {
    for replicas in [0, 2] {
        let happens = |world: &World| adopt(world, replicas);
        killed_from(alone, happens, |world| {
            world.check_group(replicas + 1);
            assert_eq!(world.primary(), "pages");
            let nodes = world.host.snapshot();
            assert!(nodes.values().all(|node| node.data == WRITTEN), "nothing was lost");
            assert_eq!(world.host.starts.load(Ordering::SeqCst), replicas + 1, "nobody was started anew");
            let made = |e: &&String| *e == "Replication group shop created";
            assert_eq!(world.events().iter().filter(made).count(), 1);
            assert!(!world.events().iter().any(|e| e.starts_with("Failover")), "{:?}", world.events());
        })
        .await;
    }
}

/// It dies before the group has seen it: with its data gone there is nothing to prefer it for, and it must still be named
/// before it serves.
#[tokio::test]
async fn a_cluster_that_dies_while_it_is_taken_over_is_the_primary_of_the_group() {
    let happens = |world: &World| {
        adopt(world, 2);
        world.host.kill("pages", ONLY_NODE);
    };
    killed_from(alone, happens, |world| world.check_group(3)).await;
}

/// Wants the group gone and its primary kept, as DeleteReplicationGroup writes it.
fn retain(world: &World) {
    let (mut group, kept) = (world.group().unwrap(), world.primary());
    for member in group.members() {
        let mut cluster = find::<Cluster>(&*world.records, member).unwrap().unwrap().value;
        if cluster.id == kept {
            cluster.group = None;
        } else {
            cluster.delete();
        }
        world.desire(&cluster);
    }
    group.shards.get_mut(ONLY_SHARD).unwrap().members.retain(|id| *id != kept);
    group.deleting = true;
    group.generation += 1;
    world.desire_group(&group);
}

/// The group is gone, and that member is left as it was: a cluster alone.
fn check_kept(world: &World, kept: &str, starts: usize) {
    assert!(world.group().is_none() && world.observed_group().is_none());
    let clusters = list_all::<Cluster>(&*world.records).unwrap();
    assert_eq!(clusters.iter().map(|cluster| cluster.value.id.as_str()).collect::<Vec<_>>(), [kept]);
    let nodes = world.host.snapshot();
    assert_eq!(nodes.len(), 1);
    let node = &nodes[&world.key(kept)];
    assert_eq!((node.follows, node.data), (None, 1), "it accepts writes and has its data");
    assert_eq!(world.host.starts.load(Ordering::SeqCst), starts, "it was not started anew");
    assert_eq!(world.addresses().len(), 1);
    let cluster = &clusters[0].value;
    let observed = world.observed(kept).unwrap();
    assert_eq!(cluster.status(Some(&observed)), Status::Available);
    assert_eq!(cluster.parameter_apply_status(Some(&observed)), "in-sync");
    assert_eq!(world.events().iter().filter(|e| *e == "Replication group shop deleted").count(), 1);
}

#[tokio::test]
async fn a_primary_that_is_kept_stays_as_it_is_wherever_it_is_killed() {
    for members in [1, 3] {
        let begin = async || World::with_group(members).await;
        killed_from(begin, retain, |world| check_kept(world, "shop-001", members)).await;
    }
}

/// One that began as a replica, and would be one again if the group were still asked.
#[tokio::test]
async fn a_promoted_primary_that_is_kept_starts_as_a_primary_from_then_on() {
    let begin = async || {
        let world = World::with_group(3).await;
        let mut group = world.group().unwrap();
        group.automatic_failover = false;
        change::promote(&mut group, world.observed_group().as_ref(), "shop-003").unwrap();
        world.desire_group(&group);
        world.run_group().await.unwrap();
        world
    };
    killed_from(begin, retain, |world| check_kept(world, "shop-003", 3)).await;
    let world = begin().await;
    retain(&world);
    world.run_group().await.unwrap();
    world.host.kill("shop-003", ONLY_NODE);
    world.run("shop-003").await.unwrap();
    let nodes = world.host.snapshot();
    assert_eq!(nodes[&world.key("shop-003")].follows, None, "nobody would name it");
}
