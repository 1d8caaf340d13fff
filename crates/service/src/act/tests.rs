//! The driver against a simulated host, killed at every instant that matters.
//!
//! Each act on the world (a commit, a start, a stop, ...) has an instant just before and one just after it. A run is
//! repeated as often as it has such instants, each time killed at another one; a new driver over what was left must
//! then reach the same end.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::driver::Outcome;
use super::{Driver, Tools};
use crate::host::{Host, HostError, Launch, NOBODY, NodeKey, Started};
use crate::name::Names;
use crate::name::endpoint::Zone;
use crate::plan::{Applies, Setting, WantedSettings};
use crate::resource::cluster::tests::{memcached, redis};
use crate::resource::cluster::{Changing, Cluster, Status, WantedNode};
use crate::resource::event::Event;
use crate::resource::network::{Address, Network};
use crate::resource::node::{Observed, Process, Replication, Settings};
use crate::resource::service_update::Runs;
use crate::resource::transit::Transit;
use crate::state::mortal::{Fuse, MortalRecords};
use crate::state::{FileRecords, Records, StateError, create, find, list_all, replace};
use crate::vault::Vault;

mod adopted;
mod changes;
mod group;
mod many;
mod snapshot;

thread_local! {
    static NOW_MS: Cell<u64> = const { Cell::new(1_000_000) };
}

fn clock() -> u64 {
    NOW_MS.get()
}

fn advance_to(at_ms: u64) {
    NOW_MS.set(NOW_MS.get().max(at_ms));
}

#[derive(Clone)]
struct SimNode {
    process: Process,
    launch: Launch,
    settings: Settings,
    told: Option<String>,
    /// Whom it follows; none makes it a primary.
    follows: Option<SocketAddrV4>,
    /// Writes that it holds, of all that were made in the world so far.
    data: u64,
    /// The history that these belong to.
    history: String,
    /// Turns of the world that pass until it has been given the whole data of its primary.
    syncing: u32,
    /// Whether it is connected to its primary.
    link_up: bool,
    /// Whether it answers nobody.
    hangs: bool,
    /// What it runs.
    runs: Runs,
}

/// A host whose nodes outlive every driver.
struct SimHost {
    fuse: Arc<Fuse>,
    nodes: Mutex<BTreeMap<NodeKey, SimNode>>,
    starts: AtomicUsize,
    refuses: Mutex<HashSet<String>>,
    cannot_start: Mutex<HashSet<NodeKey>>,
    occupied: Mutex<HashSet<Ipv4Addr>>,
    /// What nodes run that are started from now on.
    runs: Mutex<Runs>,
    /// What happens in the world meanwhile: called before each act and each look.
    meanwhile: Mutex<Option<Meanwhile>>,
}

type Meanwhile = Box<dyn FnMut(&mut BTreeMap<NodeKey, SimNode>) + Send>;

impl SimHost {
    /// One act on the world, with an instant before and one after it.
    fn act<T>(&self, act: impl FnOnce(&mut BTreeMap<NodeKey, SimNode>) -> T) -> Result<T, HostError> {
        let gone = || HostError::Unanswered { what: "was killed".into() };
        if self.fuse.burnt() {
            return Err(gone());
        }
        self.pass_time();
        let answer = act(&mut self.nodes.lock().unwrap());
        if self.fuse.burnt() { Err(gone()) } else { Ok(answer) }
    }

    fn pass_time(&self) {
        if let Some(meanwhile) = &mut *self.meanwhile.lock().unwrap() {
            meanwhile(&mut self.nodes.lock().unwrap());
        }
    }

    fn kill(&self, cluster: &str, node: &str) {
        let key = NodeKey { cluster: cluster.into(), node: node.into() };
        self.nodes.lock().unwrap().remove(&key).expect("a running node");
    }

    fn snapshot(&self) -> BTreeMap<NodeKey, SimNode> {
        self.nodes.lock().unwrap().clone()
    }
}

impl Host for SimHost {
    async fn is_alive(&self, key: &NodeKey, recorded: &Process) -> Result<bool, HostError> {
        Ok(self.nodes.lock().unwrap().get(key).is_some_and(|node| node.process == *recorded))
    }

    fn is_free(&self, address: Ipv4Addr, _port: u16) -> bool {
        !self.occupied.lock().unwrap().contains(&address)
    }

    async fn start(&self, key: &NodeKey, launch: &Launch) -> Result<Started, HostError> {
        if self.cannot_start.lock().unwrap().contains(key) {
            return Err(HostError::Died { log: Some("boom".into()) });
        }
        let node = self.act(|nodes| {
            let fresh = || {
                let pid = self.starts.fetch_add(1, Ordering::SeqCst) as u32 + 1;
                SimNode {
                    process: Process { pid, start_ticks: u64::from(pid), run_id: format!("run{pid}") },
                    history: format!("history{pid}"),
                    syncing: 0,
                    link_up: false,
                    launch: launch.clone(),
                    settings: launch.settings.clone(),
                    told: None,
                    follows: launch.as_replica.then_some(NOBODY),
                    data: launch
                        .seed
                        .as_ref()
                        .map_or(0, |file| std::fs::read_to_string(file).unwrap().parse().unwrap()),
                    hangs: false,
                    runs: self.runs.lock().unwrap().clone(),
                }
            };
            nodes.entry(key.clone()).or_insert_with(fresh).clone()
        })?;
        Ok(Started { process: node.process, settings: node.settings, runs: node.runs })
    }

    async fn stop(&self, key: &NodeKey) -> Result<(), HostError> {
        self.act(|nodes| drop(nodes.remove(key)))
    }

    async fn set(&self, key: &NodeKey, name: &str, value: &str) -> Result<bool, HostError> {
        let refuses = self.refuses.lock().unwrap().contains(name);
        self.act(|nodes| {
            let node = nodes.get_mut(key).filter(|_| !refuses);
            node.map(|node| node.settings.insert(name.to_owned(), value.to_owned())).is_some()
        })
    }

    async fn tell(&self, key: &NodeKey, payload: &str) -> Result<(), HostError> {
        self.act(|nodes| {
            if let Some(node) = nodes.get_mut(key) {
                node.told = Some(payload.to_owned());
            }
        })
    }

    async fn remove(&self, key: &NodeKey) -> Result<(), HostError> {
        self.stop(key).await
    }

    async fn replication(
        &self,
        key: &NodeKey,
        recorded: &Process,
        _address: SocketAddrV4,
    ) -> Result<Option<Replication>, HostError> {
        self.pass_time();
        let mut nodes = self.nodes.lock().unwrap();
        group::replicate(&mut nodes);
        let Some(node) = nodes.get(key).filter(|node| node.process == *recorded) else { return Ok(None) };
        if node.hangs {
            return Err(HostError::Unanswered { what: "hangs".into() });
        }
        Ok(Some(Replication {
            is_primary: node.follows.is_none(),
            primary: node.follows.map(|address| (*address.ip(), address.port())),
            link_up: node.link_up,
            syncing: node.syncing > 0,
            offset: node.data,
            history: node.history.clone(),
        }))
    }

    async fn follow(
        &self,
        key: &NodeKey,
        recorded: &Process,
        primary: Option<SocketAddrV4>,
    ) -> Result<(), HostError> {
        self.act(|nodes| {
            if let Some(node) = nodes.get_mut(key).filter(|node| node.process == *recorded) {
                if node.follows != primary {
                    node.cut();
                }
                node.follows = primary;
            }
            group::check_one_primary(nodes);
        })
    }

    async fn hold_writes(&self, _key: &NodeKey, _time: Option<std::time::Duration>) -> Result<(), HostError> {
        self.act(|_| {})
    }

    async fn save(&self, key: &NodeKey, recorded: &Process, to: &std::path::Path) -> Result<(), HostError> {
        self.act(|nodes| {
            let node = nodes.get(key).filter(|node| node.process == *recorded && !node.hangs);
            let gone = || HostError::Unanswered { what: "is gone".into() };
            std::fs::write(to, node.ok_or_else(gone)?.data.to_string()).map_err(HostError::io("saving"))
        })?
    }

    async fn kill(&self, key: &NodeKey, recorded: &Process) -> Result<(), HostError> {
        self.act(|nodes| nodes.retain(|other, node| other != key || node.process != *recorded))
    }

    async fn exited(&self, _process: &Process) {
        std::future::pending().await
    }
}

struct World {
    records: Arc<FileRecords>,
    host: Arc<SimHost>,
    wanted: Arc<Mutex<WantedSettings>>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let fuse = Arc::new(Fuse::default());
        let records = Arc::new(FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap());
        let mut number = 0;
        let network = Network::default_of("us-east-1", crate::resource::network::DEFAULT_VPC_BASE, || {
            number += 1;
            format!("{number:017x}")
        });
        records.apply(&[create(&network).unwrap()]).unwrap();
        let host = SimHost {
            fuse,
            nodes: Mutex::default(),
            starts: AtomicUsize::new(0),
            refuses: Mutex::default(),
            cannot_start: Mutex::default(),
            occupied: Mutex::default(),
            runs: Mutex::new(Runs::Another),
            meanwhile: Mutex::default(),
        };
        let setting = Setting { value: "volatile-lru".into(), applies: Applies::Live, is_default: false };
        let wanted = WantedSettings::from([("maxmemory-policy".to_owned(), setting)]);
        let folder = tempfile::tempdir().unwrap();
        World { records, host: Arc::new(host), wanted: Arc::new(Mutex::new(wanted)), folder }
    }

    /// A new driver over what is there, as after a restart of the service.
    fn tools(&self) -> Tools<SimHost> {
        let wanted = Arc::clone(&self.wanted);
        Tools {
            records: MortalRecords::new(Arc::clone(&self.records), Arc::clone(&self.host.fuse)),
            host: Arc::clone(&self.host),
            settings: Arc::new(move |_, _| Ok(wanted.lock().unwrap().clone())),
            vault: Vault::new(self.folder.path(), self.folder.path().join("buckets")),
            names: Arc::new(Names::new(Zone { suffix: "abc123".into(), region_code: "use1".into() })),
            clock,
            release: None,
        }
    }

    fn desire(&self, cluster: &Cluster) {
        let change = match find::<Cluster>(&*self.records, &cluster.id).unwrap() {
            Some(old) => replace(cluster, old.revision).unwrap(),
            None => create(cluster).unwrap(),
        };
        self.records.apply(&[change]).unwrap();
    }

    fn observed(&self, id: &str) -> Option<Observed> {
        find::<Observed>(&*self.records, id).unwrap().map(|stored| stored.value)
    }

    /// Turns until nothing is left to do, or until the fuse burns.
    async fn run(&self, id: &str) -> Result<Outcome, StateError> {
        let tools = self.tools();
        for _ in 0..100 {
            match tools.turn(id).await? {
                Outcome::Until(at_ms) => advance_to(at_ms),
                Outcome::Unfinished => {}
                end => return Ok(end),
            }
        }
        panic!("no end of turns: {:#?}", self.observed(id));
    }

    /// Everything that must hold once nothing is left to do.
    fn check_settled(&self, cluster: &Cluster) {
        let observed = self.observed(&cluster.id).expect("observed");
        assert_eq!(cluster.status(Some(&observed)), Status::Available);
        let running = self.host.snapshot();
        let running: Vec<&str> = running.keys().map(|key| key.node.as_str()).collect();
        let wanted: Vec<&str> = cluster.nodes.keys().map(String::as_str).collect();
        assert_eq!(running, wanted, "a process per node, no other");
        let taken: HashSet<Ipv4Addr> = self.addresses().into_iter().map(|a| a.address).collect();
        let used: HashSet<Ipv4Addr> = observed.nodes.values().map(|node| node.address).collect();
        assert_eq!((used.len(), taken), (wanted.len(), used), "an address per node, no other");
        for (key, node) in self.host.snapshot() {
            let seen = &observed.nodes[&key.node];
            assert_eq!(seen.process.as_ref(), Some(&node.process));
            assert_eq!((seen.address, seen.port), (node.launch.address, node.launch.port));
            assert_eq!(seen.settings, node.settings);
            if cluster.engine == crate::resource::cluster::Engine::Memcached {
                let names = self.tools().names;
                assert_eq!(node.told.as_deref(), Some(names.discovery(&observed).as_str()));
            }
        }
    }

    fn addresses(&self) -> Vec<Address> {
        list_all::<Address>(&*self.records).unwrap().into_iter().map(|stored| stored.value).collect()
    }

    fn events(&self) -> Vec<String> {
        list_all::<Event>(&*self.records).unwrap().into_iter().map(|stored| stored.value.message).collect()
    }
}

/// Brings `before` about, changes it to `after`, and kills the second part at each of its instants in turn.
async fn killed_everywhere(before: Option<Cluster>, after: Cluster, check: impl Fn(&World)) {
    for instant in 0.. {
        let world = World::new();
        if let Some(before) = &before {
            world.desire(before);
            assert_eq!(world.run(&before.id).await.unwrap(), Outcome::Settled);
        }
        world.desire(&after);
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.run(&after.id).await;
        if !world.host.fuse.is_spent() {
            assert!(instant > 4, "the fuse was never in the way");
            outcome.unwrap();
            check(&world);
            return;
        }
        world.host.fuse.mend();
        world.run(&after.id).await.unwrap();
        check(&world);
    }
}

fn changed(cluster: &Cluster, change: impl FnOnce(&mut Cluster)) -> Cluster {
    let mut changed = cluster.clone();
    change(&mut changed);
    changed.generation += 1;
    changed.changing = Changing::Modify;
    changed
}

#[tokio::test]
async fn creating_survives_a_kill_at_every_instant() {
    for cluster in [redis(), memcached(3)] {
        killed_everywhere(None, cluster.clone(), |world| {
            world.check_settled(&cluster);
            assert_eq!(
                world.host.starts.load(Ordering::SeqCst),
                cluster.nodes.len(),
                "none was started twice"
            );
            let events = world.events();
            assert_eq!(events.iter().filter(|e| *e == "Cache cluster created").count(), 1, "{events:?}");
            assert_eq!(
                events.iter().filter(|e| e.starts_with("Added")).count(),
                cluster.nodes.len(),
                "{events:?}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn growing_and_shrinking_survive_a_kill_at_every_instant() {
    let (one, three) = (memcached(1), memcached(3));
    let grown = changed(&one, |cluster| cluster.nodes = three.nodes.clone());
    killed_everywhere(Some(one.clone()), grown.clone(), |world| world.check_settled(&grown)).await;
    let shrunk = changed(&three, |cluster| cluster.nodes.retain(|id, _| id == "0002"));
    killed_everywhere(Some(three), shrunk.clone(), |world| world.check_settled(&shrunk)).await;
}

#[tokio::test]
async fn a_reboot_survives_a_kill_at_every_instant() {
    let before = memcached(2);
    let mut after = before.clone();
    after.reboot(&["0002".to_owned()]);
    killed_everywhere(Some(before), after.clone(), |world| {
        world.check_settled(&after);
        assert_eq!(world.host.starts.load(Ordering::SeqCst), 3, "0002 was started anew exactly once");
        let events = world.events();
        for message in ["Cache node 0002 shutdown", "Cache node 0002 restarted"] {
            assert_eq!(events.iter().filter(|e| *e == message).count(), 1, "{events:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn deleting_survives_a_kill_at_every_instant() {
    let before = memcached(2);
    let mut after = before.clone();
    after.delete();
    killed_everywhere(Some(before), after, |world| {
        assert!(world.host.snapshot().is_empty());
        assert!(world.addresses().is_empty());
        assert!(world.observed("pages").is_none());
        assert!(find::<Cluster>(&*world.records, "pages").unwrap().is_none());
        assert_eq!(world.events().iter().filter(|e| *e == "Cache cluster deleted").count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_dead_node_is_started_again_and_events_say_so() {
    let (world, cluster) = (World::new(), memcached(2));
    world.desire(&cluster);
    world.run("pages").await.unwrap();
    let before = world.observed("pages").unwrap();
    advance_to(clock() + 60_000);
    world.host.kill("pages", "0002");
    assert_eq!(world.tools().turn("pages").await.unwrap(), Outcome::Settled);
    world.check_settled(&cluster);
    let after = world.observed("pages").unwrap();
    assert_eq!(after.nodes["0002"].address, before.nodes["0002"].address, "it keeps its address");
    assert_eq!(after.nodes["0001"], before.nodes["0001"], "the other one was left alone");
    let events = world.events();
    for message in ["Recovering cache nodes 0002", "Finished recovery for cache nodes 0002"] {
        assert_eq!(events.iter().filter(|e| *e == message).count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn a_node_that_keeps_dying_is_started_less_and_less_often() {
    let (world, cluster) = (World::new(), redis());
    world.desire(&cluster);
    world.run("pages").await.unwrap();
    let mut pauses = vec![];
    for _ in 0..9 {
        world.host.kill("pages", "0001");
        match world.tools().turn("pages").await.unwrap() {
            Outcome::Until(at_ms) => {
                pauses.push(at_ms - clock());
                advance_to(at_ms);
                assert_eq!(world.tools().turn("pages").await.unwrap(), Outcome::Settled);
            }
            outcome => {
                assert_eq!(outcome, Outcome::Settled);
                pauses.push(0);
            }
        }
    }
    assert_eq!(pauses, [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    advance_to(clock() + 60_000);
    world.host.kill("pages", "0001");
    assert_eq!(world.tools().turn("pages").await.unwrap(), Outcome::Settled, "a long life is forgiven much");
}

#[tokio::test]
async fn a_node_that_cannot_start_does_not_hold_up_the_others() {
    let (world, cluster) = (World::new(), memcached(3));
    let bad = NodeKey { cluster: "pages".into(), node: "0001".into() };
    world.host.cannot_start.lock().unwrap().insert(bad.clone());
    world.desire(&cluster);
    for _ in 0..20 {
        if let Outcome::Until(at_ms) = world.tools().turn("pages").await.unwrap() {
            advance_to(at_ms);
        }
    }
    let running: Vec<String> = world.host.snapshot().into_keys().map(|key| key.node).collect();
    assert_eq!(running, ["0002", "0003"]);
    assert_eq!(cluster.status(world.observed("pages").as_ref()), Status::Creating);
    let events = world.events();
    assert_eq!(
        events.iter().filter(|e| e.starts_with("Failed to start cache node 0001")).count(),
        1,
        "{events:?}"
    );
    world.host.cannot_start.lock().unwrap().clear();
    world.run("pages").await.unwrap();
    world.check_settled(&cluster);
}

#[tokio::test]
async fn settings_follow_the_parameter_group() {
    let (world, cluster) = (World::new(), redis());
    world.desire(&cluster);
    world.run("pages").await.unwrap();
    let want = |name: &str, value: &str, applies| {
        let setting = Setting { value: value.into(), applies, is_default: false };
        world.wanted.lock().unwrap().insert(name.into(), setting);
    };
    want("maxmemory-policy", "allkeys-lru", Applies::Live);
    want("timeout", "20", Applies::Live);
    want("databases", "32", Applies::Reboot);
    world.host.refuses.lock().unwrap().insert("timeout".into());
    world.run("pages").await.unwrap();
    let observed = world.observed("pages").unwrap();
    assert_eq!(observed.nodes["0001"].settings["maxmemory-policy"], "allkeys-lru");
    assert_eq!(cluster.parameter_apply_status(Some(&observed)), "pending-reboot");
    let mut rebooted = cluster.clone();
    rebooted.reboot(&["0001".into()]);
    world.desire(&rebooted);
    world.run("pages").await.unwrap();
    world.check_settled(&rebooted);
    let observed = world.observed("pages").unwrap();
    assert_eq!(rebooted.parameter_apply_status(Some(&observed)), "in-sync");
    assert_eq!(observed.nodes["0001"].settings["databases"], "32");
}

#[tokio::test]
async fn addresses_where_a_stranger_listens_are_passed_over() {
    let (world, mut cluster) = (World::new(), redis());
    let first = {
        world.desire(&cluster);
        world.run("pages").await.unwrap();
        world.addresses()[0].address
    };
    let world = World::new();
    world.host.occupied.lock().unwrap().insert(first);
    world.desire(&cluster);
    world.run("pages").await.unwrap();
    assert_ne!(world.addresses()[0].address, first);
    let nowhere = WantedNode { zone: "z".into(), subnet_id: "subnet-gone".into(), reboots: 0 };
    cluster.nodes.insert("0002".into(), nowhere);
    cluster.generation += 1;
    world.desire(&cluster);
    for _ in 0..3 {
        assert_eq!(world.tools().turn("pages").await.unwrap(), Outcome::Unfinished);
    }
    assert_eq!(world.events().iter().filter(|e| e.starts_with("Failed to add cache node 0002")).count(), 1);
}

#[tokio::test]
async fn what_waits_is_taken_over_when_the_window_opens() {
    let (world, mut cluster) = (World::new(), memcached(1));
    // The clock of the tests begins 16 minutes after a Thursday's midnight.
    cluster.maintenance_window = "thu:02:00-thu:03:00".into();
    cluster.pending.add = vec![cluster.nodes["0001"].clone()];
    cluster.pending.transit = Some(Transit::Required);
    cluster.transit = Transit::Preferred;
    world.desire(&cluster);
    world.run("pages").await.unwrap();
    assert_eq!(world.host.snapshot().len(), 1);
    let waits = find::<Cluster>(&*world.records, "pages").unwrap().unwrap().value;
    assert_eq!((waits.transit, waits.pending.transit), (Transit::Preferred, Some(Transit::Required)));
    advance_to(2 * 3_600_000);
    world.run("pages").await.unwrap();
    let now = find::<Cluster>(&*world.records, "pages").unwrap().unwrap().value;
    assert!(now.pending.is_empty());
    assert_eq!(now.nodes.len(), 2);
    assert_eq!((now.transit, now.pending.transit), (Transit::Required, None));
    world.check_settled(&now);
}

#[tokio::test]
async fn five_clusters_are_created_once_although_the_service_dies_in_between() {
    let world = World::new();
    for n in 0..5 {
        let mut cluster = if n % 2 == 0 { redis() } else { memcached(3) };
        cluster.id = format!("c{n}");
        world.desire(&cluster);
    }
    for instant in [3, 9, 20, 40] {
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let ended = Driver::new(world.tools()).run(std::future::pending()).await;
        assert!(matches!(ended, Err(StateError::Failed(_))), "{ended:?}");
        world.host.fuse.mend();
    }
    let driver = tokio::spawn(Driver::new(world.tools()).run(std::future::pending()));
    let is_done = || {
        let clusters = list_all::<Cluster>(&*world.records).unwrap();
        clusters.iter().all(|c| c.value.status(world.observed(&c.value.id).as_ref()) == Status::Available)
    };
    for _ in 0..2_000 {
        if is_done() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    driver.abort();
    assert!(is_done());
    assert_eq!(world.host.snapshot().len(), 9);
    assert_eq!(world.host.starts.load(Ordering::SeqCst), 9, "none twice");
    assert_eq!(world.addresses().len(), 9);
}
