//! Replication groups on the simulated host: every workflow is killed at each of its instants, and at no instant may two
//! members of a group accept writes.

use std::collections::BTreeMap;

use super::*;
use crate::act::group::{Doubts, Outcome as GroupOutcome};
use crate::resource::auth_token::Strategy;
use crate::resource::group::{
    Group, ONLY_NODE, ONLY_SHARD, ObservedGroup, Shard, Status as GroupStatus, change, member_id,
};

impl SimNode {
    pub(super) fn is_at(&self, address: SocketAddrV4) -> bool {
        (self.launch.address, self.launch.port) == (*address.ip(), address.port())
    }

    /// Its connection ends. Who was being given the data of another one has let go of its own.
    pub(super) fn cut(&mut self) {
        self.link_up = false;
        if self.syncing > 0 {
            (self.syncing, self.data) = (0, 0);
            self.history = format!("broken {}", self.process.run_id);
        }
    }
}

/// Turns of the world that a whole copy of the data takes.
const SYNC_TURNS: u32 = 3;

/// Replicas take over what their primary has, as real ones do all the time: the rest of the history that they have in
/// common, or all of it, which takes a while. They find a primary by its address, whichever process listens there, and
/// nobody is given anything by one that is a replica without a primary itself.
pub(super) fn replicate(nodes: &mut BTreeMap<NodeKey, SimNode>) {
    let primaries: Vec<SimNode> =
        nodes.values().filter(|node| node.follows.is_none() && !node.hangs).cloned().collect();
    for node in nodes.values_mut().filter(|node| !node.hangs) {
        let Some(address) = node.follows else { continue };
        match primaries.iter().find(|primary| primary.is_at(address)) {
            None => node.cut(),
            Some(primary) if node.history == primary.history => {
                (node.data, node.link_up) = (primary.data, true);
            }
            Some(_) if node.syncing == 0 => node.syncing = SYNC_TURNS,
            Some(primary) => {
                node.syncing -= 1;
                if node.syncing == 0 {
                    (node.data, node.link_up) = (primary.data, true);
                    node.history.clone_from(&primary.history);
                }
            }
        }
    }
}

/// All nodes of these tests belong to one group of more than one member, or to none.
pub(super) fn check_one_primary(nodes: &BTreeMap<NodeKey, SimNode>) {
    let primaries: Vec<_> =
        nodes.iter().filter(|(_, node)| node.follows.is_none()).map(|(key, _)| key).collect();
    assert!(primaries.len() < 2, "two accept writes: {primaries:?}");
}

/// A group of that many members, and their clusters.
pub(super) fn group_of(count: usize) -> (Group, Vec<Cluster>) {
    let mut template = redis();
    template.group = Some("shop".into());
    let clusters: Vec<Cluster> =
        (1..=count).map(|n| Cluster { id: member_id("shop", n), ..template.clone() }).collect();
    let members = clusters.iter().map(|cluster| cluster.id.clone()).collect();
    let group = Group {
        id: "shop".into(),
        description: "d".into(),
        generation: 1,
        deleting: false,
        created_ms: 1,
        shards: BTreeMap::from([(ONLY_SHARD.into(), Shard { members, ..Shard::default() })]),
        automatic_failover: count > 1,
        multi_az: false,
        at_rest_encryption: false,
        kms_key: None,
        snapshotting_cluster: None,
        user_group: None,
        auth_generation: 0,
        snapshots: 0,
        replication_password: "secret".into(),
    };
    (group, clusters)
}

impl World {
    pub(super) fn desire_group(&self, group: &Group) {
        let change = match find::<Group>(&*self.records, &group.id).unwrap() {
            Some(old) => replace(group, old.revision).unwrap(),
            None => create(group).unwrap(),
        };
        self.records.apply(&[change]).unwrap();
    }

    pub(super) fn group(&self) -> Option<Group> {
        find::<Group>(&*self.records, "shop").unwrap().map(|stored| stored.value)
    }

    pub(super) fn observed_group(&self) -> Option<ObservedGroup> {
        find::<ObservedGroup>(&*self.records, "shop").unwrap().map(|stored| stored.value)
    }

    pub(super) fn primary(&self) -> String {
        self.observed_group().unwrap().primary(ONLY_SHARD).unwrap().to_owned()
    }

    /// Turns of the group and of all clusters, until nothing is left to do or the fuse burns.
    pub(super) async fn run_group(&self) -> Result<(), StateError> {
        let (tools, mut doubts) = (self.tools(), Doubts::new());
        for _ in 0..200 {
            let mut is_quiet = true;
            let clusters = list_all::<Cluster>(&*self.records).unwrap();
            for cluster in clusters {
                match tools.turn(&cluster.value.id).await? {
                    Outcome::Until(at_ms) => {
                        advance_to(at_ms);
                        is_quiet = false;
                    }
                    Outcome::Unfinished => is_quiet = false,
                    Outcome::Gone | Outcome::Settled => {}
                }
            }
            let outcome = tools.group_turn("shop", &mut doubts).await?;
            replicate(&mut self.host.nodes.lock().unwrap());
            check_one_primary(&self.host.snapshot());
            let is_done = match outcome {
                GroupOutcome::Gone => true,
                GroupOutcome::Idle { .. } => {
                    let group = self.group().unwrap();
                    group.status(self.observed_group().as_ref()) == GroupStatus::Available
                        && self.online() + 1 == group.members().count()
                        && doubts.is_empty()
                        && self.has_primary()
                }
                GroupOutcome::Unfinished => false,
            };
            if is_quiet && is_done {
                return Ok(());
            }
            if !doubts.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        panic!("no end of turns: {:#?}", self.observed_group());
    }

    /// Whether the recorded primary is the process that accepts writes.
    fn has_primary(&self) -> bool {
        let observed = self.observed_group().unwrap();
        let Some(acting) = &observed.shards[ONLY_SHARD].primary else { return false };
        let nodes = self.host.snapshot();
        let node = nodes.get(&self.key(&acting.cluster));
        node.is_some_and(|node| node.process.run_id == acting.run_id && node.follows.is_none())
    }

    fn online(&self) -> usize {
        self.observed_group().map_or(0, |observed| observed.readers(ONLY_SHARD).count())
    }

    /// A client writes to the primary.
    fn write(&self) {
        let mut nodes = self.host.nodes.lock().unwrap();
        nodes.values_mut().filter(|node| node.follows.is_none()).for_each(|node| node.data += 1);
        replicate(&mut nodes);
    }

    pub(super) fn key(&self, cluster: &str) -> NodeKey {
        NodeKey { cluster: cluster.into(), node: ONLY_NODE.into() }
    }

    /// Everything that must hold once nothing is left to do.
    pub(super) fn check_group(&self, count: usize) {
        let (group, observed) = (self.group().unwrap(), self.observed_group().unwrap());
        assert_eq!(group.status(Some(&observed)), GroupStatus::Available);
        let nodes = self.host.snapshot();
        assert_eq!(nodes.len(), count);
        let primary = &nodes[&self.key(&self.primary())];
        assert_eq!(primary.follows, None);
        for (key, node) in &nodes {
            if key.cluster != self.primary() {
                let address = SocketAddrV4::new(primary.launch.address, primary.launch.port);
                assert_eq!(node.follows, Some(address), "{key:?}");
                assert_eq!(node.data, primary.data);
            }
        }
        assert_eq!(self.online(), count - 1);
    }

    pub(super) async fn with_group(count: usize) -> World {
        let world = World::new();
        world.make_group(count).await;
        world
    }

    /// A group in which something was written.
    pub(super) async fn make_group(&self, count: usize) {
        let (group, clusters) = group_of(count);
        clusters.iter().for_each(|cluster| self.desire(cluster));
        self.desire_group(&group);
        self.run_group().await.unwrap();
        self.write();
    }
}

/// Makes a group, changes the world, and kills what follows at each of its instants in turn.
pub(super) async fn killed_everywhere(count: usize, happens: impl Fn(&World), check: impl Fn(&World)) {
    killed_from(async || World::with_group(count).await, happens, check).await;
}

/// The same from another beginning.
pub(super) async fn killed_from(
    begin: impl AsyncFn() -> World,
    happens: impl Fn(&World),
    check: impl Fn(&World),
) {
    for instant in 0.. {
        let world = begin().await;
        happens(&world);
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.run_group().await;
        let was_hit = world.host.fuse.is_spent();
        if was_hit {
            world.host.fuse.mend();
            world.run_group().await.unwrap();
        } else {
            outcome.unwrap();
        }
        check(&world);
        if !was_hit {
            assert!(instant > 1, "the fuse was never in the way");
            return;
        }
    }
}

#[tokio::test]
async fn creating_a_group_survives_a_kill_at_every_instant() {
    for instant in 0.. {
        let world = World::new();
        let (group, clusters) = group_of(3);
        clusters.iter().for_each(|cluster| world.desire(cluster));
        world.desire_group(&group);
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.run_group().await;
        let was_hit = world.host.fuse.is_spent();
        if was_hit {
            world.host.fuse.mend();
            world.run_group().await.unwrap();
        } else {
            outcome.unwrap();
        }
        world.check_group(3);
        assert_eq!(world.primary(), "shop-001");
        assert_eq!(world.events().iter().filter(|e| *e == "Replication group shop created").count(), 1);
        if !was_hit {
            return;
        }
    }
}

#[tokio::test]
async fn a_group_of_one_is_a_primary_from_the_start() {
    let world = World::with_group(1).await;
    world.check_group(1);
    world.host.kill("shop-001", ONLY_NODE);
    world.run_group().await.unwrap();
    world.check_group(1);
}

#[tokio::test]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let happens = |world: &World| world.host.kill("shop-001", ONLY_NODE);
    killed_everywhere(3, happens, |world| {
        world.check_group(3);
        assert_eq!(world.primary(), "shop-002");
        assert_eq!(world.host.snapshot()[&world.key("shop-002")].data, 1, "nothing was lost");
        let said = "Failover from primary node shop-001 to replica node shop-002 completed";
        assert_eq!(
            world.events().iter().filter(|e| *e == said).count(),
            2,
            "for the cluster and for the group"
        );
    })
    .await;
}

#[tokio::test]
async fn a_primary_that_hangs_is_ended_before_another_one_accepts_writes() {
    let world = World::with_group(3).await;
    world.host.nodes.lock().unwrap().get_mut(&world.key("shop-001")).unwrap().hangs = true;
    // The simulated host checks at every promotion that nobody else accepts writes.
    world.run_group().await.unwrap();
    world.check_group(3);
    assert_eq!(world.primary(), "shop-002");
}

#[tokio::test]
async fn the_replica_with_the_most_data_takes_over() {
    let world = World::with_group(3).await;
    world.host.nodes.lock().unwrap().get_mut(&world.key("shop-003")).unwrap().data += 5;
    world.host.kill("shop-001", ONLY_NODE);
    world.run_group().await.unwrap();
    assert_eq!(world.primary(), "shop-003");
}

#[tokio::test]
async fn a_test_failover_survives_a_kill_at_every_instant() {
    let happens = |world: &World| {
        let mut group = world.group().unwrap();
        change::test_failover(&mut group, world.observed_group().as_ref(), ONLY_SHARD).unwrap();
        world.desire_group(&group);
    };
    killed_everywhere(2, happens, |world| {
        world.check_group(2);
        assert_eq!(world.primary(), "shop-002");
        assert_eq!(world.host.snapshot()[&world.key("shop-001")].data, 1);
    })
    .await;
}

#[tokio::test]
async fn a_promotion_by_hand_survives_a_kill_at_every_instant_and_keeps_all_processes() {
    let happens = |world: &World| {
        let mut group = world.group().unwrap();
        group.automatic_failover = false;
        change::promote(&mut group, world.observed_group().as_ref(), "shop-003").unwrap();
        world.desire_group(&group);
    };
    killed_everywhere(3, happens, |world| {
        world.check_group(3);
        assert_eq!(world.primary(), "shop-003");
        assert_eq!(world.host.starts.load(Ordering::SeqCst), 3, "nobody was ended");
    })
    .await;
}

#[tokio::test]
async fn without_automatic_failover_the_primary_gets_its_data_back_from_a_replica() {
    let happens = |world: &World| {
        let mut group = world.group().unwrap();
        group.automatic_failover = false;
        group.generation += 1;
        world.desire_group(&group);
        world.host.kill("shop-001", ONLY_NODE);
    };
    killed_everywhere(2, happens, |world| {
        world.check_group(2);
        assert_eq!(world.primary(), "shop-001");
        assert_eq!(world.host.snapshot()[&world.key("shop-001")].data, 1, "nothing was lost");
        assert!(!world.events().iter().any(|e| e.starts_with("Failover")), "{:?}", world.events());
    })
    .await;
}

#[tokio::test]
async fn a_reboot_of_the_primary_empties_the_group_and_is_no_failover_wherever_it_is_killed() {
    let happens = |world: &World| {
        let mut cluster = find::<Cluster>(&*world.records, "shop-001").unwrap().unwrap().value;
        cluster.reboot(&[ONLY_NODE.into()]);
        world.desire(&cluster);
    };
    killed_everywhere(2, happens, |world| {
        world.check_group(2);
        assert_eq!(world.primary(), "shop-001");
        assert!(world.host.snapshot().values().all(|node| node.data == 0));
        assert!(!world.events().iter().any(|e| e.starts_with("Failover")), "{:?}", world.events());
    })
    .await;
}

#[tokio::test]
async fn when_all_died_at_once_the_primary_begins_anew() {
    let world = World::with_group(3).await;
    for n in 1..=3 {
        world.host.kill(&member_id("shop", n), ONLY_NODE);
    }
    world.run_group().await.unwrap();
    world.check_group(3);
}

/// Wants more members.
fn grow(world: &World, count: usize) {
    let mut group = world.group().unwrap();
    let shard = group.shards.get_mut(ONLY_SHARD).unwrap();
    for cluster in group_of(count).1.into_iter().skip(shard.members.len()) {
        world.desire(&cluster);
        shard.members.push(cluster.id);
    }
    group.generation += 1;
    world.desire_group(&group);
}

#[tokio::test]
async fn more_replicas_survive_a_kill_at_every_instant() {
    // A primary that was alone was never told to wait.
    for before in [1, 2] {
        killed_everywhere(
            before,
            |world| grow(world, 3),
            |world| {
                world.check_group(3);
                assert_eq!(world.primary(), "shop-001");
                assert_eq!(world.host.snapshot()[&world.key("shop-003")].data, 1, "nothing was lost");
                assert_eq!(world.host.starts.load(Ordering::SeqCst), 3, "nobody was ended");
            },
        )
        .await;
    }
}

#[tokio::test]
async fn fewer_replicas_survive_a_kill_at_every_instant() {
    let happens = |world: &World| {
        let mut going = find::<Cluster>(&*world.records, "shop-002").unwrap().unwrap().value;
        going.delete();
        world.desire(&going);
        let mut group = world.group().unwrap();
        change::remove_members(&mut group, &["shop-002".into()]);
        world.desire_group(&group);
    };
    killed_everywhere(3, happens, |world| {
        world.check_group(2);
        assert_eq!(world.primary(), "shop-001");
        assert!(find::<Cluster>(&*world.records, "shop-002").unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn deleting_a_group_survives_a_kill_at_every_instant() {
    let happens = |world: &World| {
        let mut group = world.group().unwrap();
        for member in group.members() {
            let mut cluster = find::<Cluster>(&*world.records, member).unwrap().unwrap().value;
            cluster.delete();
            world.desire(&cluster);
        }
        group.deleting = true;
        group.generation += 1;
        world.desire_group(&group);
    };
    killed_everywhere(2, happens, |world| {
        assert!(world.group().is_none() && world.observed_group().is_none());
        assert!(world.host.snapshot().is_empty() && world.addresses().is_empty());
        assert_eq!(world.events().iter().filter(|e| *e == "Replication group shop deleted").count(), 1);
    })
    .await;
}

/// What a cache lets clients in with, as its nodes are told it.
const DEFAULT_USER: &str = "user default";

/// Gives the group another AUTH token, as ModifyReplicationGroup does.
fn change_token(world: &World, token: &str, strategy: Strategy) {
    let mut auth = None;
    for stored in list_all::<Cluster>(&*world.records).unwrap() {
        let mut cluster = stored.value;
        cluster.auth.change(Some(token), strategy, 1).unwrap();
        cluster.changed(Changing::Modify);
        auth = Some(cluster.auth.clone());
        world.records.apply(&[replace(&cluster, stored.revision).unwrap()]).unwrap();
    }
    let rules = Setting { value: auth.unwrap().node_rules(), applies: Applies::Live, is_default: false };
    world.wanted.lock().unwrap().insert(DEFAULT_USER.into(), rules);
    let mut group = world.group().unwrap();
    group.generation += 1;
    group.auth_generation = group.generation;
    world.desire_group(&group);
}

#[tokio::test]
async fn a_change_of_the_auth_token_reaches_every_member_wherever_it_is_killed() {
    const FIRST: &str = "the-first-token-of-all";
    const SECOND: &str = "the-second-token-of-all";
    for steps in [
        &[(FIRST, Strategy::Rotate)][..],
        &[(FIRST, Strategy::Rotate), (SECOND, Strategy::Rotate)],
        &[(FIRST, Strategy::Rotate), (SECOND, Strategy::Rotate), (SECOND, Strategy::Set)],
    ] {
        let happens = |world: &World| steps.iter().for_each(|(token, how)| change_token(world, token, *how));
        killed_everywhere(2, happens, |world| {
            world.check_group(2);
            let (group, observed) = (world.group().unwrap(), world.observed_group().unwrap());
            assert!(observed.applied_generation >= group.auth_generation, "nothing is pending any more");
            let wanted = world.wanted.lock().unwrap()[DEFAULT_USER].value.clone();
            for (key, node) in world.host.snapshot() {
                assert_eq!(node.settings.get(DEFAULT_USER), Some(&wanted), "{key:?} after {steps:?}");
            }
        })
        .await;
    }
}

/// Misfortune for a group: processes are killed at any moment, but never the last one that is known to hold all that was
/// written.
struct Storm {
    random: u64,
    kills: u32,
    written: Arc<Mutex<u64>>,
    records: Arc<FileRecords>,
}

impl Storm {
    /// A number below that.
    fn below(&mut self, bound: u64) -> u64 {
        // The generator of Marsaglia with shifts 13, 7, 17.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn pass(&mut self, nodes: &mut BTreeMap<NodeKey, SimNode>) {
        check_one_primary(nodes);
        match self.below(8) {
            0 => replicate(nodes),
            1 => self.write(nodes),
            2 | 3 if self.kills > 0 && !nodes.is_empty() => {
                let chosen = self.below(nodes.len() as u64) as usize;
                let Some(key) = nodes.keys().nth(chosen).cloned() else { return };
                if self.holders(nodes).iter().any(|holder| *holder != key) {
                    self.kills -= 1;
                    nodes.remove(&key);
                }
            }
            _ => {}
        }
    }

    /// A client writes to whoever accepts it.
    fn write(&self, nodes: &mut BTreeMap<NodeKey, SimNode>) {
        let Some(primary) = nodes.values_mut().find(|node| node.follows.is_none()) else { return };
        let mut written = self.written.lock().unwrap();
        assert_eq!(primary.data, *written, "a primary accepts writes and has not all");
        primary.data += 1;
        *written = primary.data;
        replicate(nodes);
    }

    /// Who holds everything, and is known to.
    fn holders(&self, nodes: &BTreeMap<NodeKey, SimNode>) -> Vec<NodeKey> {
        let observed = find::<ObservedGroup>(&*self.records, "shop").unwrap().unwrap().value;
        let shard = &observed.shards[ONLY_SHARD];
        let acting = shard.primary.as_ref().map(|acting| acting.run_id.as_str());
        let written = *self.written.lock().unwrap();
        let holds = |(key, node): &(&NodeKey, &SimNode)| {
            let run_id = Some(node.process.run_id.as_str());
            let noted = shard.members.get(&key.cluster).and_then(|noted| noted.synced_run_id.as_deref());
            let choice = shard.promoting.as_ref().map(|choice| choice.run_id.as_str());
            let is_known = [acting, noted, choice].contains(&run_id);
            is_known && node.data == written && node.syncing == 0
        };
        nodes.iter().filter(holds).map(|(key, _)| key.clone()).collect()
    }
}

/// Whatever dies in whatever order: as long as one process lives that is known to hold what was written, it is not lost.
#[tokio::test]
async fn nothing_is_lost_in_a_storm() {
    for seed in 1..=60 {
        let world = World::with_group(3).await;
        let written = Arc::new(Mutex::new(1));
        let mut storm = Storm {
            random: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed),
            kills: 6,
            written: Arc::clone(&written),
            records: Arc::clone(&world.records),
        };
        *world.host.meanwhile.lock().unwrap() = Some(Box::new(move |nodes| storm.pass(nodes)));
        for life in 0..3 {
            // A service that is killed between two turns, and its clusters and group at the same time.
            let tools = world.tools();
            let clusters = async {
                for turn in 0..12 {
                    tools.turn(&member_id("shop", turn % 3 + 1)).await.unwrap();
                }
            };
            let group = async {
                let mut doubts = Doubts::new();
                for _ in 0..6 {
                    tools.group_turn("shop", &mut doubts).await.unwrap();
                }
            };
            tokio::join!(clusters, group);
            advance_to(clock() + 60_000 * (life + 1));
        }
        *world.host.meanwhile.lock().unwrap() = None;
        world.run_group().await.unwrap();
        world.check_group(3);
        let primary = &world.host.snapshot()[&world.key(&world.primary())];
        assert_eq!(primary.data, *written.lock().unwrap(), "seed {seed}");
    }
}
