//! Plans of groups as text, for what must never be chosen and who must be ended first.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::*;
use crate::resource::group::{ONLY_SHARD, ObservedMember};
use crate::resource::node::{Process, Settings};
use crate::resource::service_update::Runs;

/// A group of three whose second member lost nothing yet, and whose members are found as the test says.
struct Scene {
    group: Group,
    observed: ObservedGroup,
    members: Vec<Member>,
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 64, 0, number)
}

fn process(number: u8) -> Process {
    Process { pid: u32::from(number), start_ticks: 1, run_id: format!("run{number}") }
}

fn node(number: u8) -> ObservedNode {
    ObservedNode {
        address: address(number),
        port: 6379,
        zone: "us-east-1a".into(),
        created_ms: 1,
        phase: NodePhase::Running,
        process: Some(process(number)),
        start_count: 1,
        started_ms: 1,
        reboots: 0,
        settings: Settings::new(),
        refused: Default::default(),
        pending_reboot: false,
        told_version: 0,
        failures: 0,
        not_before_ms: 0,
        node_type: String::new(),
        runs: Runs::Unrecorded,
    }
}

fn primary(offset: u64) -> Health {
    Health::Well(Replication {
        is_primary: true,
        primary: None,
        link_up: false,
        syncing: false,
        offset,
        history: "h".into(),
    })
}

/// A replica of the first member.
fn replica(offset: u64) -> Replication {
    Replication {
        is_primary: false,
        primary: Some((address(1), 6379)),
        link_up: true,
        syncing: false,
        offset,
        history: "h".into(),
    }
}

impl Scene {
    /// The first member is the primary, the others are in sync since offset 100.
    fn steady() -> Scene {
        let ids: Vec<String> = (1..=3).map(|n| format!("m{n}")).collect();
        let shard = Shard { members: ids.clone(), ..Shard::default() };
        let group = Group {
            id: "g".into(),
            description: "d".into(),
            generation: 1,
            deleting: false,
            created_ms: 1,
            shards: BTreeMap::from([(ONLY_SHARD.into(), shard)]),
            automatic_failover: true,
            multi_az: false,
            at_rest_encryption: false,
            kms_key: None,
            snapshotting_cluster: None,
            user_group: None,
            snapshots: 0,
            auth_generation: 0,
            replication_password: "p".into(),
        };
        let synced = |n: u8| ObservedMember {
            synced_run_id: Some(process(n).run_id),
            synced_offset: 100,
            online: true,
        };
        let acting = Acting {
            cluster: "m1".into(),
            run_id: "run1".into(),
            process: Some(process(1)),
            history: "h".into(),
            reboots: 0,
        };
        let shard = ObservedShard {
            primary: Some(acting),
            members: BTreeMap::from([("m2".into(), synced(2)), ("m3".into(), synced(3))]),
            ..ObservedShard::default()
        };
        let observed = ObservedGroup {
            id: "g".into(),
            applied_generation: 1,
            automatic_failover: true,
            shards: BTreeMap::from([(ONLY_SHARD.into(), shard)]),
            ..ObservedGroup::default()
        };
        let member = |(id, number): (String, u8)| Member {
            id,
            node: Some(node(number)),
            settled: true,
            is_seeded: false,
            health: if number == 1 { primary(200) } else { Health::Well(replica(200)) },
        };
        let members = ids.into_iter().zip(1..).map(member).collect();
        Scene { group, observed, members }
    }

    fn find(&mut self, number: usize, health: Health) -> &mut Scene {
        self.members[number - 1].health = health;
        self
    }

    fn steps(&self) -> Vec<GroupStep> {
        plan_group(&GroupFacts { group: &self.group, observed: &self.observed, members: &self.members })
    }

    fn text(&self) -> String {
        self.steps().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn nothing_to_do() {
    assert_eq!(Scene::steady().text(), "");
}

#[test]
fn the_replica_with_the_most_takes_over() {
    let mut scene = Scene::steady();
    scene.find(1, Health::Down).find(3, Health::Well(replica(201)));
    assert_eq!(scene.text(), "choose m3 (Failure); fence m1; promote m3");
}

#[test]
fn whoever_was_promoted_last_is_ended_first_whatever_became_of_its_cluster() {
    let mut scene = Scene::steady();
    // Its cluster believes that nothing runs; the process may be there all the same.
    scene.members[0].node.as_mut().unwrap().process = None;
    scene.find(1, Health::Down);
    let fence = GroupStep::Fence { member: "m1".into(), process: process(1) };
    assert!(scene.steps().contains(&fence), "{}", scene.text());
    // Nor does it help that its cluster is gone.
    scene.members.remove(0);
    assert!(scene.steps().contains(&fence), "{}", scene.text());
}

#[test]
fn a_later_process_is_not_ended_for_an_earlier_one() {
    let mut scene = Scene::steady();
    scene.members[0].node.as_mut().unwrap().process = Some(process(9));
    let nobody = Replication { primary: None, link_up: false, offset: 0, ..replica(0) };
    scene.find(1, Health::Well(nobody));
    assert_eq!(scene.text(), "choose m2 (Failure); promote m2");
}

#[test]
fn who_is_being_given_a_copy_is_not_chosen() {
    let mut scene = Scene::steady();
    let copying = Replication { syncing: true, link_up: false, ..replica(300) };
    scene.find(1, Health::Down).find(3, Health::Well(copying.clone()));
    assert!(scene.text().starts_with("choose m2 (Failure)"), "{}", scene.text());
    // It may have the data still, or soon: nobody else is better.
    scene.find(2, Health::Well(copying));
    assert_eq!(scene.text(), "");
}

#[test]
fn who_has_less_than_it_had_let_go_of_its_data() {
    let mut scene = Scene::steady();
    let broken = Replication { link_up: false, ..replica(99) };
    scene.find(1, Health::Down).find(2, Health::Well(broken.clone()));
    assert_eq!(scene.text(), "withdraw m2; choose m3 (Failure); fence m1; promote m3");
    // Nobody has the data: the primary begins anew when it is back.
    scene.find(3, Health::Well(broken));
    scene.observed.shards.get_mut(ONLY_SHARD).unwrap().members.values_mut().for_each(|m| m.online = false);
    assert_eq!(scene.text(), "");
    scene.members[0].node.as_mut().unwrap().process = Some(process(9));
    scene.find(1, Health::Well(Replication { primary: None, link_up: false, ..replica(0) }));
    assert_eq!(scene.text(), "choose m1 (Restart); promote m1");
}

#[test]
fn who_has_the_history_of_the_primary_has_its_data_although_nobody_saw_it_come() {
    let mut scene = Scene::steady();
    scene.observed.shards.get_mut(ONLY_SHARD).unwrap().members.clear();
    scene.members[0].node.as_mut().unwrap().process = Some(process(9));
    scene.find(
        1,
        Health::Well(Replication { primary: None, link_up: false, history: "new".into(), ..replica(0) }),
    );
    let broken = Replication { link_up: false, ..replica(200) };
    scene.find(2, Health::Well(broken.clone())).find(3, Health::Well(broken));
    assert_eq!(scene.text(), "choose m2 (Failure); promote m2");
}

#[test]
fn a_history_that_changes_is_noted() {
    let mut scene = Scene::steady();
    let changed = Replication { history: "h2".into(), ..replica(200) };
    for n in [2, 3] {
        scene.find(n, Health::Well(changed.clone()));
    }
    scene.find(1, Health::Well(Replication { is_primary: true, primary: None, link_up: false, ..changed }));
    assert_eq!(scene.text(), "note the history of the primary");
}

#[test]
fn a_replica_counts_once_it_has_the_history_of_the_primary() {
    let mut scene = Scene::steady();
    scene.observed.shards.get_mut(ONLY_SHARD).unwrap().members.remove("m3");
    // The link may be that to an earlier process at the same address.
    scene.find(3, Health::Well(Replication { history: "earlier".into(), ..replica(200) }));
    assert_eq!(scene.text(), "");
    scene.find(3, Health::Well(replica(200)));
    assert_eq!(scene.text(), "enroll m3");
}

#[test]
fn the_first_member_is_the_first_primary_unless_it_cannot_start() {
    let mut scene = Scene::steady();
    scene.observed = ObservedGroup { id: "g".into(), ..ObservedGroup::default() };
    let waits = |node: &mut Member| {
        node.health = Health::Well(Replication { primary: None, link_up: false, ..replica(0) });
    };
    scene.members.iter_mut().for_each(waits);
    scene.find(1, Health::Down);
    for failures in 0..STARTS_AWAITED {
        scene.members[0].node.as_mut().unwrap().failures = failures;
        assert_eq!(scene.text(), "", "the others wait for it");
    }
    scene.members[0].node.as_mut().unwrap().failures = STARTS_AWAITED;
    assert_eq!(scene.text(), "choose m2 (First); promote m2");
}
