//! Plans as text. A scene changes a settled cluster in one way, and the plan must be what is written here.

use super::*;
use crate::resource::cluster::Changing;
use crate::resource::cluster::scale::Scale;
use crate::resource::cluster::tests::{memcached, redis, settled};
use crate::resource::node::Stage;

struct Scene {
    cluster: Cluster,
    observed: Observed,
    alive: BTreeSet<String>,
    settings: WantedSettings,
    now_ms: u64,
    with_names: bool,
}

impl Scene {
    /// Everything is as it should be.
    fn settled(cluster: Cluster) -> Scene {
        let mut observed = settled(&cluster);
        if cluster.engine == Engine::Memcached {
            observed.membership.version = 1;
            observed.membership.node_ids = cluster.nodes.keys().cloned().collect();
        }
        for node in observed.nodes.values_mut() {
            node.told_version = observed.membership.version;
        }
        let alive = cluster.nodes.keys().cloned().collect();
        Scene { cluster, observed, alive, settings: WantedSettings::new(), now_ms: 1_000, with_names: false }
    }

    fn want(&mut self, name: &str, value: &str, applies: Applies) {
        self.settings
            .insert(name.to_owned(), Setting { value: value.to_owned(), applies, is_default: false });
    }

    fn die(&mut self, id: &str) -> &mut ObservedNode {
        self.alive.remove(id);
        self.observed.nodes.get_mut(id).unwrap()
    }

    fn text(&self) -> String {
        let facts = Facts {
            cluster: &self.cluster,
            settings: &self.settings,
            observed: &self.observed,
            alive: &self.alive,
            with_names: self.with_names,
            now_ms: self.now_ms,
        };
        let plan = plan(&facts);
        let mut lines: Vec<String> = plan.steps.iter().map(Step::to_string).collect();
        lines.extend(plan.again_ms.map(|at| format!("plan again at {at}")));
        lines.join("\n")
    }
}

#[test]
fn nothing_to_do() {
    assert_eq!(Scene::settled(redis()).text(), "");
    assert_eq!(Scene::settled(memcached(3)).text(), "");
}

#[test]
fn a_new_cluster_is_placed_started_and_announced() {
    let mut scene = Scene::settled(memcached(2));
    scene.observed = Observed { id: scene.cluster.id.clone(), ..Observed::default() };
    scene.alive.clear();
    insta::assert_snapshot!(scene.text(), @r"
    place 0001 in subnet-00000000000000003
    start 0001
    place 0002 in subnet-00000000000000003
    start 0002
    enlist 0001 0002 by address
    tell 0001 the members
    tell 0002 the members
    settle generation 1
    ");
}

#[test]
fn a_dead_node_starts_again_and_is_told_the_members_it_forgot() {
    let mut scene = Scene::settled(memcached(2));
    scene.die("0002");
    insta::assert_snapshot!(scene.text(), @r"
    start 0002
    tell 0002 the members
    ");
}

#[test]
fn a_node_that_keeps_failing_is_put_off_and_keeps_the_change_open() {
    let mut scene = Scene::settled(memcached(2));
    scene.die("0002").not_before_ms = 9_000;
    scene.cluster.generation += 1;
    scene.cluster.changing = Changing::Modify;
    insta::assert_snapshot!(scene.text(), @"plan again at 9000");
    scene.now_ms = 9_000;
    insta::assert_snapshot!(scene.text(), @r"
    start 0002
    tell 0002 the members
    settle generation 2
    ");
}

#[test]
fn a_node_that_leaves_disappears_from_the_list_first() {
    let mut scene = Scene::settled(memcached(3));
    scene.cluster.nodes.remove("0002");
    scene.cluster.generation += 1;
    insta::assert_snapshot!(scene.text(), @r"
    enlist 0001 0003 by address
    tell 0001 the members
    tell 0003 the members
    remove 0002
    settle generation 2
    ");
}

#[test]
fn another_node_type_comes_stage_by_stage() {
    let mut scene = Scene::settled(memcached(3));
    scene.cluster.node_type = "cache.m5.large".to_owned();
    scene.cluster.scale = Some(Scale { percentage: 34, interval_minutes: 2 });
    scene.cluster.generation += 1;
    scene.want(NODE_MEMORY, "9", Applies::Own);
    scene.want("maxmemory", "8", Applies::Live);
    scene.want("engine-version", "1.6.24", Applies::Restart);
    scene.want("allowed-sources", "none", Applies::Own);
    insta::assert_snapshot!(scene.text(), @"replace 0001 0002 in a stage, the next one from 121000");
    let stage =
        |nodes: &[&str]| Stage { nodes: nodes.iter().map(|id| (*id).into()).collect(), next_ms: 121_000 };
    scene.observed.stage = Some(stage(&["0001", "0002"]));
    insta::assert_snapshot!(scene.text(), @r"
    set 0003 allowed-sources=none
    enlist 0003 by address
    tell 0003 the members
    stop 0001
    start 0001
    stop 0002
    start 0002
    ");
    // The stage is done: its nodes come back to the list, and the other one waits.
    for id in ["0001", "0002"] {
        let node = scene.observed.nodes.get_mut(id).unwrap();
        node.node_type = scene.cluster.node_type.clone();
        node.settings = scene.settings.iter().map(|(name, s)| (name.clone(), s.value.clone())).collect();
        node.told_version = 0;
    }
    scene.observed.membership.node_ids = vec!["0003".to_owned()];
    insta::assert_snapshot!(scene.text(), @r"
    set 0003 allowed-sources=none
    enlist 0001 0002 0003 by address
    tell 0001 the members
    tell 0002 the members
    tell 0003 the members
    plan again at 121000
    ");
    // One that ends by itself has nothing to wait for.
    scene.alive.remove("0003");
    assert!(scene.text().contains("start 0003"), "{}", scene.text());
    scene.alive.insert("0003".to_owned());
    scene.now_ms = 121_000;
    insta::assert_snapshot!(scene.text(), @"replace 0003 in a stage, the next one from 241000");
}

/// Where all nodes are replaced at once, nobody would be left on a list without them.
#[test]
fn a_stage_of_all_nodes_leaves_the_list_alone() {
    let mut scene = Scene::settled(memcached(1));
    scene.cluster.node_type = "cache.m5.large".to_owned();
    scene.observed.stage = Some(Stage { nodes: vec!["0001".to_owned()], next_ms: 9 });
    scene.cluster.generation += 1;
    insta::assert_snapshot!(scene.text(), @r"
    stop 0001
    start 0001
    ");
}

#[test]
fn members_are_told_anew_when_names_begin_to_resolve() {
    let mut scene = Scene::settled(memcached(2));
    scene.with_names = true;
    insta::assert_snapshot!(scene.text(), @r"
    enlist 0001 0002 by name
    tell 0001 the members
    tell 0002 the members
    ");
}

#[test]
fn a_reboot_stops_and_starts() {
    let mut scene = Scene::settled(memcached(2));
    scene.cluster.reboot(&["0002".to_owned()]);
    insta::assert_snapshot!(scene.text(), @r"
    stop 0002
    start 0002
    tell 0002 the members
    settle generation 2
    ");
}

#[test]
fn an_interrupted_reboot_goes_on() {
    let mut scene = Scene::settled(redis());
    scene.cluster.reboot(&["0001".to_owned()]);
    scene.observed.nodes.get_mut("0001").unwrap().phase = NodePhase::Rebooting;
    let before_the_stop = scene.text();
    scene.alive.clear();
    let after_the_stop = scene.text();
    insta::assert_snapshot!(before_the_stop, @r"
    stop 0001
    start 0001
    settle generation 2
    ");
    insta::assert_snapshot!(after_the_stop, @r"
    start 0001
    settle generation 2
    ");
}

#[test]
fn settings_change_live_where_they_can() {
    let mut scene = Scene::settled(redis());
    scene.want("maxmemory-policy", "allkeys-lru", Applies::Live);
    scene.want("databases", "32", Applies::Reboot);
    insta::assert_snapshot!(scene.text(), @r"
    set 0001 maxmemory-policy=allkeys-lru
    note 0001 needs a reboot
    ");
}

#[test]
fn a_refused_live_change_waits_for_a_reboot_but_some_changes_restart_at_once() {
    let mut scene = Scene::settled(redis());
    scene.want("timeout", "20", Applies::Live);
    scene.observed.nodes.get_mut("0001").unwrap().refused.insert("timeout".to_owned());
    insta::assert_snapshot!(scene.text(), @"note 0001 needs a reboot");
    scene.want("engine-version", "1.6.22", Applies::Restart);
    insta::assert_snapshot!(scene.text(), @r"
    stop 0001
    start 0001
    ");
}

/// What another release of Larder says otherwise is no change that anybody asked for.
#[test]
fn a_node_of_an_earlier_release_waits_for_nothing() {
    let mut scene = Scene::settled(redis());
    scene.want("restricted-commands", "config newer", Applies::Own);
    scene.want("hz", "20", Applies::Reboot);
    scene.want("timeout", "20", Applies::Live);
    let node = scene.observed.nodes.get_mut("0001").unwrap();
    node.settings.insert("restricted-commands".to_owned(), "config".to_owned());
    node.settings.insert("written-no-more".to_owned(), "1".to_owned());
    node.refused.extend(["restricted-commands".to_owned(), "timeout".to_owned()]);
    for name in ["hz", "timeout"] {
        scene.settings.get_mut(name).unwrap().is_default = true;
    }
    assert_eq!(scene.text(), "");
    // What somebody set, or set back, waits.
    for name in ["hz", "timeout"] {
        let mut set = Scene { settings: scene.settings.clone(), ..Scene::settled(redis()) };
        set.observed = scene.observed.clone();
        set.settings.get_mut(name).unwrap().is_default = false;
        assert_eq!(set.text(), "note 0001 needs a reboot", "{name}");
        set.settings.get_mut(name).unwrap().is_default = true;
        set.observed.nodes.get_mut("0001").unwrap().settings.insert(name.to_owned(), "30".to_owned());
        assert_eq!(set.text(), "note 0001 needs a reboot", "{name}");
    }
}

#[test]
fn a_reboot_note_goes_when_the_setting_is_taken_back() {
    let mut scene = Scene::settled(redis());
    scene.observed.nodes.get_mut("0001").unwrap().pending_reboot = true;
    insta::assert_snapshot!(scene.text(), @"note 0001 needs no reboot");
}

#[test]
fn another_parameter_group_of_the_same_content_only_settles() {
    let mut scene = Scene::settled(redis());
    scene.cluster.parameter_group = "mine".to_owned();
    insta::assert_snapshot!(scene.text(), @"settle generation 1");
}

#[test]
fn deleting_removes_every_node_also_half_made_ones() {
    let mut scene = Scene::settled(memcached(2));
    scene.die("0002").phase = NodePhase::Placed;
    scene.cluster.delete();
    insta::assert_snapshot!(scene.text(), @r"
    remove 0001
    remove 0002
    forget
    ");
}
