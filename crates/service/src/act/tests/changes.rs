//! Changes of what runs: encryption, users, node types, parameters, releases. Each is killed at every of its instants.

use super::group::killed_everywhere;
use super::*;
use crate::act::update;
use crate::resource::cluster::scale::Scale;
use crate::resource::group::ONLY_NODE;
use crate::resource::service_update::{Release, UpdateAction};
use crate::resource::transit::Transit;

/// Changes all members and what their nodes are to be given, as ModifyReplicationGroup does.
fn change_all(world: &World, settings: &[(&str, &str)], change: impl Fn(&mut Cluster)) {
    for stored in list_all::<Cluster>(&*world.records).unwrap() {
        let mut cluster = stored.value;
        change(&mut cluster);
        cluster.changed(Changing::Modify);
        world.records.apply(&[replace(&cluster, stored.revision).unwrap()]).unwrap();
    }
    for (name, value) in settings {
        let setting = Setting { value: (*value).to_owned(), applies: Applies::Live, is_default: false };
        world.wanted.lock().unwrap().insert((*name).to_owned(), setting);
    }
    let mut group = world.group().unwrap();
    group.generation += 1;
    world.desire_group(&group);
}

/// All nodes have what they are to have, and are the processes that they were.
fn check_changed(world: &World, count: usize) {
    world.check_group(count);
    assert_eq!(world.primary(), "shop-001");
    assert_eq!(world.host.starts.load(Ordering::SeqCst), count, "nobody was started anew");
    for (key, node) in world.host.snapshot() {
        for (name, setting) in &*world.wanted.lock().unwrap() {
            assert_eq!(node.settings.get(name), Some(&setting.value), "{key:?}: {name}");
        }
        let observed = world.observed(&key.cluster).unwrap();
        assert_eq!(observed.nodes[ONLY_NODE].settings, node.settings, "what is recorded is what is there");
    }
}

#[tokio::test]
async fn a_mode_of_encryption_reaches_every_member_wherever_it_is_killed() {
    for steps in [&[Transit::Preferred][..], &[Transit::Preferred, Transit::Required]] {
        let happens = |world: &World| {
            for mode in steps {
                let word = if *mode == Transit::Required { "required" } else { "preferred" };
                let settings = [("tls-cert-file", "a.pem"), ("tls-mode", word), ("tls-replication", "yes")];
                change_all(world, &settings, |cluster| cluster.transit = *mode);
            }
        };
        killed_everywhere(2, happens, |world| check_changed(world, 2)).await;
    }
}

#[tokio::test]
async fn other_users_reach_every_member_wherever_it_is_killed() {
    let happens = |world: &World| {
        let mut group = world.group().unwrap();
        group.user_group = Some("team".into());
        world.desire_group(&group);
        change_all(world, &[("user ann", "on #00 ~* +@all"), ("user default", "off")], |_| {});
    };
    killed_everywhere(2, happens, |world| {
        check_changed(world, 2);
        assert_eq!(world.observed_group().unwrap().user_group.as_deref(), Some("team"));
    })
    .await;
}

#[tokio::test]
async fn another_node_type_up_and_down_survives_a_kill_at_every_instant() {
    for (node_type, bytes) in [("cache.r7g.large", "9000000000"), ("cache.t2.micro", "400000000")] {
        let happens = |world: &World| {
            change_all(world, &[("maxmemory", bytes), ("node-memory-bytes", bytes)], |cluster| {
                cluster.node_type = node_type.to_owned();
            });
        };
        killed_everywhere(2, happens, |world| {
            check_changed(world, 2);
            for cluster in ["shop-001", "shop-002"] {
                assert_eq!(world.observed(cluster).unwrap().node_type, node_type);
            }
            let said = format!("Succeeded applying modification to cache node type to {node_type}.");
            assert_eq!(
                world.events().iter().filter(|text| **text == said).count(),
                2,
                "once for each member"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_parameter_that_waits_for_a_reboot_comes_with_it_wherever_it_is_killed() {
    let happens = |world: &World| {
        let setting = Setting { value: "32".into(), applies: Applies::Reboot, is_default: false };
        world.wanted.lock().unwrap().insert("databases".into(), setting);
        let mut cluster = find::<Cluster>(&*world.records, "shop-002").unwrap().unwrap().value;
        cluster.reboot(&[ONLY_NODE.to_owned()]);
        world.desire(&cluster);
    };
    killed_everywhere(2, happens, |world| {
        world.check_group(2);
        let status = |id: &str| {
            let cluster = find::<Cluster>(&*world.records, id).unwrap().unwrap().value;
            cluster.parameter_apply_status(world.observed(id).as_ref()).to_owned()
        };
        assert_eq!((status("shop-001").as_str(), status("shop-002").as_str()), ("pending-reboot", "in-sync"));
        let nodes = world.host.snapshot();
        assert_eq!(nodes[&world.key("shop-002")].settings["databases"], "32");
        assert_eq!(world.host.starts.load(Ordering::SeqCst), 3, "it was started anew exactly once");
    })
    .await;
}

/// What an update action does, until it is done or the fuse burns.
async fn run_update(world: &World) -> Result<(), StateError> {
    for _ in 0..50 {
        let is_busy = match update::turn(&*world.tools().records) {
            Err(StateError::Conflict { .. }) => true,
            other => other?,
        };
        world.run_group().await?;
        if !is_busy {
            return Ok(());
        }
    }
    panic!("no end of the update");
}

#[tokio::test]
async fn an_update_action_survives_a_kill_at_every_instant_and_loses_nothing() {
    let release = |text: &str| Release::parse(text).unwrap();
    for instant in 0.. {
        let world = World::new();
        *world.host.runs.lock().unwrap() = Runs::Release(release("0.1.0"));
        world.make_group(2).await;
        *world.host.runs.lock().unwrap() = Runs::Release(release("0.2.0"));
        let action = UpdateAction {
            update: "larder-0.2.0".into(),
            release: release("0.2.0"),
            cache: "shop".into(),
            is_group: true,
            cache_created_ms: world.group().unwrap().created_ms,
            asked_ms: clock(),
            stopped_ms: None,
            by_system: false,
        };
        world.records.apply(&[create(&action).unwrap()]).unwrap();
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = run_update(&world).await;
        let was_killed = world.host.fuse.is_spent();
        if was_killed {
            world.host.fuse.mend();
            run_update(&world).await.unwrap();
        } else {
            outcome.unwrap();
        }
        world.check_group(2);
        for (key, node) in world.host.snapshot() {
            assert_eq!(node.runs, Runs::Release(release("0.2.0")), "{key:?}");
            assert_eq!(node.data, 1, "nothing was lost");
        }
        assert_eq!(world.host.starts.load(Ordering::SeqCst), 4, "each was started anew exactly once");
        if !was_killed {
            assert!(instant > 4, "the fuse was never in the way");
            return;
        }
    }
}

/// What ModifyCacheCluster makes of a memcached cluster with another node type.
fn scaled(before: &Cluster, percentage: u8) -> Cluster {
    changed(before, |cluster| {
        cluster.node_type = "cache.m5.large".to_owned();
        cluster.scale = Some(Scale { percentage, interval_minutes: 2 });
    })
}

#[tokio::test]
async fn another_node_type_of_memcached_in_stages_survives_a_kill_at_every_instant() {
    let before = memcached(3);
    for (percentage, stages) in [(10, 3), (50, 2), (100, 1)] {
        let after = scaled(&before, percentage);
        super::killed_everywhere(Some(before.clone()), after.clone(), |world| {
            world.check_settled(&after);
            let observed = world.observed(&after.id).unwrap();
            assert!(observed.nodes.values().all(|node| node.node_type == after.node_type));
            assert_eq!((observed.node_type, observed.stage), (after.node_type.clone(), None));
            assert_eq!(world.host.starts.load(Ordering::SeqCst), 6, "each was started anew exactly once");
            assert!(observed.membership.version > 1, "clients look at the list again");
            let events = world.events();
            let begun = events.iter().filter(|text| text.starts_with("Replacing cache nodes")).count();
            assert_eq!(begun, stages, "{events:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn nodes_leave_the_list_before_they_are_replaced_and_stages_keep_their_distance() {
    let world = World::new();
    let before = memcached(4);
    world.desire(&before);
    world.run(&before.id).await.unwrap();
    let addresses: BTreeMap<String, String> = world
        .observed(&before.id)
        .unwrap()
        .nodes
        .iter()
        .map(|(id, node)| (id.clone(), node.address.to_string()))
        .collect();
    let first_starts = world.host.snapshot();
    let gone = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&gone);
    *world.host.meanwhile.lock().unwrap() = Some(Box::new(move |nodes| {
        let runs = |id: &str| nodes.keys().any(|key| key.node == id);
        for (id, address) in addresses.iter().filter(|(id, _)| !runs(id)) {
            seen.lock().unwrap().push((clock(), id.clone()));
            // Those of the same stage are on their way out, too, and clients of the others do not ask them.
            let stays = |other: &str| (other <= "0002") != (id.as_str() <= "0002");
            for (_, node) in nodes.iter().filter(|(key, _)| stays(&key.node)) {
                let told = node.told.clone().unwrap_or_default();
                assert!(!told.contains(address), "{id} is gone, and clients are told of it: {told}");
            }
        }
    }));
    let after = scaled(&before, 50);
    world.desire(&after);
    world.wanted.lock().unwrap().get_mut("maxmemory-policy").unwrap().value = "allkeys-lhd".into();
    let tools = world.tools();
    let begun = clock();
    let Outcome::Until(next_ms) = tools.turn(&after.id).await.unwrap() else { panic!("no second stage") };
    assert!(next_ms >= begun + 120_000, "two minutes after the first stage");
    for (key, node) in world.host.snapshot() {
        let is_new = node.process != first_starts[&key].process;
        assert_eq!(is_new, ["0001", "0002"].contains(&key.node.as_str()), "half of them");
        let policy = if is_new { "allkeys-lhd" } else { "volatile-lru" };
        assert_eq!(node.settings["maxmemory-policy"], policy, "who waits stays as it is");
    }
    assert_eq!(after.status(world.observed(&after.id).as_ref()), Status::Modifying);
    world.run(&after.id).await.unwrap();
    *world.host.meanwhile.lock().unwrap() = None;
    world.check_settled(&after);
    let late: HashSet<String> =
        gone.lock().unwrap().iter().filter(|(at, _)| *at >= next_ms).map(|(_, id)| id.clone()).collect();
    assert_eq!(late, HashSet::from(["0003".to_owned(), "0004".to_owned()]), "the others came later");
}
