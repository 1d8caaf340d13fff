//! Doing one step: record that it begins, do it, record what came of it together with its events.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{ActError, Tools, place};
use crate::host::{Host, Launch, NodeKey, Started};
use crate::plan::{Step, is_user, refused_user};
use crate::random::number_below;
use crate::resource::cluster::{Cluster, Engine};
use crate::resource::ec2::SubnetOfVpc;
use crate::resource::event::{Event, SourceType};
use crate::resource::group::Group;
use crate::resource::network::{Address, DEFAULT_NETWORK_ID, Network};
use crate::resource::node::{Membership, NodePhase, Observed, ObservedNode, Settings, Stage, StepRecord};
use crate::resource::notification::Topic;
use crate::resource::service_update::Runs;
use crate::resource::tag::TagSet;
use crate::state::{Change, Expect, Records, StateError, Stored, create, find, list_all, remove, replace};

/// A node that ends this soon after its start is believed to end soon again.
const SHORT_LIFE_MS: u64 = 10_000;
/// First pause before a failing node is started again; doubles each time.
const PAUSE_MS: u64 = 500;
/// Longest pause.
const PAUSE_MS_MAX: u64 = 30_000;
/// Addresses that are tried for a node before the step is given up.
const PLACE_TRIES_MAX: usize = 5_000;
/// How often a record is tried to be changed that somebody else changes, too.
const CONFLICTS_MAX: usize = 50;
/// Longest failure text that is kept.
const FAILURE_CHARS_MAX: usize = 500;

/// What a change of the observed record brings with it.
#[derive(Default)]
struct Also {
    events: Vec<String>,
    changes: Vec<Change>,
}

impl Also {
    fn event(message: impl Into<String>) -> Also {
        Also { events: vec![message.into()], ..Also::default() }
    }
}

/// How long to wait before the next start after so many failures in a row.
pub(super) fn pause_ms(failures: u32) -> u64 {
    (PAUSE_MS << failures.saturating_sub(1).min(16)).min(PAUSE_MS_MAX)
}

impl<H: Host> Tools<H> {
    /// Does a step. Failures are recorded; the next plan asks for the step again.
    pub(super) async fn perform(&self, cluster: &Cluster, step: &Step) -> Result<(), ActError> {
        tracing::debug!(cluster = cluster.id, %step, "step");
        match step {
            Step::Place { node, subnet_id } => self.place(cluster, node, subnet_id).await,
            Step::Start { node } => self.start(cluster, node, step).await,
            Step::Stop { node } => self.stop(cluster, node, step).await,
            Step::Set { node, changes } => self.set(cluster, node, changes, step).await,
            Step::NotePending { node, pending } => self.note_pending(cluster, node, *pending).await,
            Step::Stage { nodes, next_ms } => self.stage(cluster, nodes.clone(), *next_ms).await,
            Step::Enlist { nodes, with_names } => self.enlist(cluster, nodes.clone(), *with_names).await,
            Step::Tell { node } => self.tell(cluster, node).await,
            Step::Remove { node } => self.remove(cluster, node, step).await,
            Step::Settle { generation } => self.settle(cluster, *generation).await,
            Step::Forget => self.forget(cluster).await,
        }
    }

    /// Changes the observed record, and whatever belongs to the same moment, in one transaction.
    async fn observe<T: Send + 'static>(
        &self,
        cluster: &Cluster,
        change: impl FnOnce(&mut Observed) -> (T, Also) + Send + 'static,
    ) -> Result<T, StateError> {
        let (id, now_ms) = (cluster.id.clone(), (self.clock)());
        self.with_records(move |records| {
            let stored = find::<Observed>(records, &id)?;
            let revision = stored.as_ref().map(|s| s.revision);
            let mut observed =
                stored.map_or_else(|| Observed { id: id.clone(), ..Observed::default() }, |s| s.value);
            let before = observed.clone();
            let (answer, also) = change(&mut observed);
            let mut changes = also.changes;
            if observed != before {
                changes.push(match revision {
                    Some(revision) => replace(&observed, revision)?,
                    None => create(&observed)?,
                });
            }
            for message in also.events {
                changes.push(create(&event(&id, message, now_ms))?);
            }
            if !changes.is_empty() {
                records.apply(&changes)?;
            }
            Ok(answer)
        })
        .await
    }

    /// The node as it was recorded.
    async fn recorded(&self, cluster: &Cluster, node: &str) -> Result<ObservedNode, ActError> {
        let id = cluster.id.clone();
        let observed = self.with_records(move |records| find::<Observed>(records, &id)).await?;
        let found = observed.and_then(|mut stored| stored.value.nodes.remove(node));
        found.ok_or_else(|| ActError::Missing(format!("cache node {node} has no address yet")))
    }

    fn begun(&self, step: &Step) -> StepRecord {
        StepRecord { step: step.to_string(), began_ms: (self.clock)(), failure: None }
    }

    async fn place(&self, cluster: &Cluster, node: &str, subnet_id: &str) -> Result<(), ActError> {
        let wanted = subnet_id.to_owned();
        let (subnet, taken) = self
            .with_records(move |records| {
                let subnet = match find::<SubnetOfVpc>(records, &wanted)? {
                    Some(stored) => Some(stored.value.subnet),
                    // Before subnets had records of their own, they stood in that of the network.
                    None => find::<Network>(records, DEFAULT_NETWORK_ID)?
                        .and_then(|network| network.value.subnet(&wanted).cloned()),
                };
                let taken: HashSet<Ipv4Addr> =
                    list_all::<Address>(records)?.iter().map(|stored| stored.value.address).collect();
                Ok((subnet, taken))
            })
            .await?;
        let subnet = subnet.ok_or_else(|| ActError::Missing(format!("there is no subnet {subnet_id}")))?;
        let key = key(cluster, node);
        for address in place::candidates(&subnet, &taken, &key).take(PLACE_TRIES_MAX) {
            if self.host.is_free(address, cluster.port)
                && self.take(cluster, node, &subnet.zone, address).await?
            {
                return Ok(());
            }
        }
        let why =
            if taken.len() < subnet.usable_count() as usize { ": other programs listen there" } else { "" };
        Err(ActError::NoAddress { subnet_id: subnet_id.to_owned(), port: cluster.port, why })
    }

    /// Takes an address for a node; answers whether nobody was faster.
    async fn take(
        &self,
        cluster: &Cluster,
        node: &str,
        zone: &str,
        address: Ipv4Addr,
    ) -> Result<bool, ActError> {
        let record = Address { address, cluster_id: cluster.id.clone(), node_id: node.to_owned() };
        let also = Also { changes: vec![create(&record)?], ..Also::default() };
        let (node, fresh) = (node.to_owned(), fresh_node(cluster, zone, address, (self.clock)()));
        let taken = self.observe(cluster, move |observed| {
            observed.nodes.insert(node, fresh);
            ((), also)
        });
        match taken.await {
            Ok(()) => Ok(true),
            Err(StateError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn start(&self, cluster: &Cluster, node: &str, step: &Step) -> Result<(), ActError> {
        let settings: Settings = self
            .wanted_settings(cluster)
            .await?
            .into_iter()
            .filter(|(name, _)| !is_user(name))
            .map(|(name, setting)| (name, setting.value))
            .collect();
        let (id, begun, now_ms) = (node.to_owned(), self.begun(step), (self.clock)());
        let may_start =
            self.observe(cluster, move |observed| begin_start(observed, &id, begun, now_ms)).await?;
        if !may_start {
            return Ok(());
        }
        let recorded = self.recorded(cluster, node).await?;
        let as_replica = self.starts_as_replica(cluster).await?;
        let started = match self.seed(cluster).await {
            Ok(seed) => {
                let launch = Launch {
                    as_replica,
                    is_memcached: cluster.engine == Engine::Memcached,
                    address: recorded.address,
                    port: recorded.port,
                    settings,
                    seed,
                };
                self.host.start(&key(cluster, node), &launch).await
            }
            Err(ActError::Host(error)) => Err(error),
            Err(error) => return Err(error),
        };
        match started {
            Ok(started) => {
                let reboots = cluster.nodes.get(node).map_or(0, |wanted| wanted.reboots);
                let (id, now_ms, node_type) = (node.to_owned(), (self.clock)(), cluster.node_type.clone());
                self.observe(cluster, move |observed| {
                    let also = end_start(observed, &id, started, reboots, now_ms);
                    if let Some(node) = observed.nodes.get_mut(&id) {
                        node.node_type = node_type;
                    }
                    ((), also)
                })
                .await?;
                Ok(())
            }
            Err(error) => {
                let (id, text, now_ms) = (node.to_owned(), error.to_string(), (self.clock)());
                self.observe(cluster, move |observed| ((), fail_start(observed, &id, &text, now_ms))).await?;
                Err(error.into())
            }
        }
    }

    /// The file that a node begins with, as long as its cluster was never available: later it begins empty.
    async fn seed(&self, cluster: &Cluster) -> Result<Option<PathBuf>, ActError> {
        let Some(seed) = cluster.seed.clone() else { return Ok(None) };
        let id = cluster.id.clone();
        let observed = self.with_records(move |records| find::<Observed>(records, &id)).await?;
        if observed.is_some_and(|stored| stored.value.applied_generation > 0) {
            return Ok(None);
        }
        let cluster = cluster.id.clone();
        Ok(Some(self.with_vault(move |vault| vault.seed(&seed, &cluster)).await?))
    }

    /// Takes the file away that a cluster began with: it was loaded, or nobody wants it any more.
    async fn forget_seed(&self, cluster: &Cluster) -> Result<(), ActError> {
        if cluster.seed.is_none() {
            return Ok(());
        }
        let id = cluster.id.clone();
        Ok(self.with_vault(move |vault| vault.forget_seed(&id)).await?)
    }

    /// Whether the node must wait to be told what it is, because another member of its group may be the primary.
    async fn starts_as_replica(&self, cluster: &Cluster) -> Result<bool, StateError> {
        let Some(group) = cluster.group.clone() else { return Ok(false) };
        let group = self.with_records(move |records| find::<Group>(records, &group)).await?;
        Ok(group.is_some_and(|group| group.value.starts_as_replica(&cluster.id)))
    }

    async fn stop(&self, cluster: &Cluster, node: &str, step: &Step) -> Result<(), ActError> {
        let (id, begun) = (node.to_owned(), self.begun(step));
        self.observe(cluster, move |observed| {
            observed.step = Some(begun);
            let Some(node) = observed.nodes.get_mut(&id) else { return ((), Also::default()) };
            let is_new = node.phase != NodePhase::Rebooting;
            node.phase = NodePhase::Rebooting;
            ((), if is_new { Also::event(format!("Cache node {id} shutdown")) } else { Also::default() })
        })
        .await?;
        self.host.stop(&key(cluster, node)).await?;
        let id = node.to_owned();
        self.observe(cluster, move |observed| {
            if let Some(node) = observed.nodes.get_mut(&id) {
                node.process = None;
            }
            ((), Also::default())
        })
        .await?;
        Ok(())
    }

    async fn set(
        &self,
        cluster: &Cluster,
        node: &str,
        changes: &[(String, String)],
        step: &Step,
    ) -> Result<(), ActError> {
        let begun = self.begun(step);
        self.observe(cluster, move |observed| {
            observed.step = Some(begun);
            ((), Also::default())
        })
        .await?;
        for (name, value) in changes {
            let taken_over = self.host.set(&key(cluster, node), name, value).await?;
            let (id, name, value) = (node.to_owned(), name.clone(), value.clone());
            self.observe(cluster, move |observed| {
                if let Some(node) = observed.nodes.get_mut(&id) {
                    if taken_over && is_user(&name) && value.is_empty() {
                        node.settings.remove(&name);
                    } else if taken_over {
                        node.settings.insert(name, value);
                    } else if is_user(&name) {
                        let message = format!("Cache node {id} refused the access string of the {name}");
                        node.refused.insert(refused_user(&name, &value));
                        return ((), Also::event(message));
                    } else {
                        node.refused.insert(name);
                    }
                }
                ((), Also::default())
            })
            .await?;
        }
        Ok(())
    }

    async fn note_pending(&self, cluster: &Cluster, node: &str, pending: bool) -> Result<(), ActError> {
        let id = node.to_owned();
        self.observe(cluster, move |observed| {
            if let Some(node) = observed.nodes.get_mut(&id) {
                node.pending_reboot = pending;
            }
            ((), Also::default())
        })
        .await?;
        Ok(())
    }

    async fn stage(&self, cluster: &Cluster, nodes: Vec<String>, next_ms: u64) -> Result<(), ActError> {
        let message = format!("Replacing cache nodes {} by {}", nodes.join(", "), cluster.node_type);
        self.observe(cluster, move |observed| {
            // Where all are replaced at once the list stays as it is, and clients are to look at it all the same.
            observed.membership.version += u64::from(nodes.len() == observed.membership.node_ids.len());
            observed.stage = Some(Stage { nodes, next_ms });
            ((), Also::event(message))
        })
        .await?;
        Ok(())
    }

    async fn enlist(&self, cluster: &Cluster, nodes: Vec<String>, with_names: bool) -> Result<(), ActError> {
        self.observe(cluster, move |observed| {
            let list = &mut observed.membership;
            if list.node_ids != nodes || list.with_names != with_names {
                let version = list.version + 1;
                *list = Membership { version, node_ids: nodes, with_names };
            }
            ((), Also::default())
        })
        .await?;
        Ok(())
    }

    async fn tell(&self, cluster: &Cluster, node: &str) -> Result<(), ActError> {
        let id = cluster.id.clone();
        let observed = self.with_records(move |records| find::<Observed>(records, &id)).await?;
        let observed =
            observed.ok_or_else(|| ActError::Missing("the cluster has no nodes".to_owned()))?.value;
        let version = observed.membership.version;
        self.host.tell(&key(cluster, node), &self.names.discovery(&observed)).await?;
        let id = node.to_owned();
        self.observe(cluster, move |observed| {
            if let Some(node) = observed.nodes.get_mut(&id) {
                node.told_version = version;
            }
            ((), Also::default())
        })
        .await?;
        Ok(())
    }

    async fn remove(&self, cluster: &Cluster, node: &str, step: &Step) -> Result<(), ActError> {
        let (id, begun) = (node.to_owned(), self.begun(step));
        self.observe(cluster, move |observed| {
            observed.step = Some(begun);
            if let Some(node) = observed.nodes.get_mut(&id) {
                node.phase = NodePhase::Leaving;
            }
            ((), Also::default())
        })
        .await?;
        self.host.remove(&key(cluster, node)).await?;
        let (id, is_whole) = (node.to_owned(), cluster.deleting);
        self.observe(cluster, move |observed| {
            let Some(node) = observed.nodes.remove(&id) else { return ((), Also::default()) };
            let changes = vec![remove::<Address>(&node.address.to_string(), Expect::Anything)];
            let events = if is_whole { vec![] } else { vec![format!("Removed cache node {id}")] };
            ((), Also { events, changes })
        })
        .await?;
        Ok(())
    }

    async fn settle(&self, cluster: &Cluster, generation: u64) -> Result<(), ActError> {
        let (group, node_type) = (cluster.parameter_group.clone(), cluster.node_type.clone());
        let version = format!("{} {}", cluster.engine.as_str(), cluster.engine_version);
        self.forget_seed(cluster).await?;
        self.observe(cluster, move |observed| {
            let mut events = vec![];
            if observed.applied_generation == 0 {
                events.push("Cache cluster created".to_owned());
            } else {
                if observed.node_type != node_type {
                    events
                        .push(format!("Succeeded applying modification to cache node type to {node_type}."));
                }
                if observed.version != version && !observed.version.is_empty() {
                    events.push(format!("Succeeded applying modification to engine version to {version}."));
                }
                if observed.parameter_group != group {
                    events.push(format!("Updated to use a CacheParameterGroup {group}"));
                }
            }
            observed.applied_generation = observed.applied_generation.max(generation);
            observed.parameter_group = group;
            for node in observed.nodes.values_mut() {
                node.node_type.clone_from(&node_type);
            }
            observed.node_type = node_type;
            observed.stage = None;
            observed.version = version;
            observed.step = None;
            ((), Also { events, ..Also::default() })
        })
        .await?;
        Ok(())
    }

    async fn forget(&self, cluster: &Cluster) -> Result<(), ActError> {
        let id = cluster.id.clone();
        let mut deleted = event(&id, "Cache cluster deleted".to_owned(), (self.clock)());
        // Nobody could look it up any more.
        deleted.topic = cluster.topic.as_ref().and_then(Topic::active).map(str::to_owned);
        self.forget_seed(cluster).await?;
        self.with_records(move |records| {
            let changes = [
                remove::<Cluster>(&id, Expect::Anything),
                remove::<Observed>(&id, Expect::Anything),
                remove::<TagSet>(&TagSet::id_of("cluster", &id), Expect::Anything),
                create(&deleted)?,
            ];
            records.apply(&changes).map(drop)
        })
        .await?;
        Ok(())
    }

    /// Records that a step failed and, the first time in a row, says so in an event. Starts do that themselves.
    pub(super) async fn record_failure(
        &self,
        cluster: &Cluster,
        step: &Step,
        error: &ActError,
    ) -> Result<(), StateError> {
        let text: String = error.to_string().chars().take(FAILURE_CHARS_MAX).collect();
        let record = StepRecord { failure: Some(text.clone()), ..self.begun(step) };
        let message = match step {
            Step::Place { node, .. } => format!("Failed to add cache node {node}: {text}"),
            other => format!("Failed to {other}: {text}"),
        };
        self.observe(cluster, move |observed| {
            let old = observed.step.replace(record.clone());
            let is_known = old.is_some_and(|old| old.step == record.step && old.failure == record.failure);
            ((), if is_known { Also::default() } else { Also::event(message) })
        })
        .await
    }
}

/// Notes that all nodes were stopped on purpose, so that the next driver starts them without calling it a recovery.
/// To be called when no driver runs any more.
pub fn note_all_stopped(records: &dyn Records, now_ms: u64) -> Result<(), StateError> {
    for Stored { value: Observed { id, .. }, .. } in list_all::<Observed>(records)? {
        let mut conflicts = 0;
        // The last write of a driver that was dropped may still be under way.
        while let Err(error) = note_stopped(records, &id, now_ms) {
            conflicts += 1;
            if conflicts > CONFLICTS_MAX || !matches!(error, StateError::Conflict { .. }) {
                return Err(error);
            }
        }
    }
    Ok(())
}

fn note_stopped(records: &dyn Records, id: &str, now_ms: u64) -> Result<(), StateError> {
    let Some(Stored { value: mut observed, revision }) = find::<Observed>(records, id)? else {
        return Ok(());
    };
    let mut changes = vec![];
    for (node_id, node) in &mut observed.nodes {
        if node.phase == NodePhase::Running {
            node.phase = NodePhase::Rebooting;
            node.process = None;
            changes.push(create(&event(id, format!("Cache node {node_id} shutdown"), now_ms))?);
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    changes.push(replace(&observed, revision)?);
    records.apply(&changes).map(drop)
}

fn key(cluster: &Cluster, node: &str) -> NodeKey {
    NodeKey { cluster: cluster.id.clone(), node: node.to_owned() }
}

fn event(cluster_id: &str, message: String, now_ms: u64) -> Event {
    event_of(SourceType::CacheCluster, cluster_id, message, now_ms)
}

/// Something that happened to a resource of any sort.
pub(super) fn event_of(source_type: SourceType, id: &str, message: String, now_ms: u64) -> Event {
    Event {
        date_ms: now_ms,
        sequence: sequence(),
        source_id: id.to_owned(),
        source_type,
        message,
        topic: None,
    }
}

/// Keeps events of one millisecond in their order, and those of two services in one millisecond apart.
fn sequence() -> u64 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = u64::from(COUNT.fetch_add(1, Ordering::Relaxed));
    count << 32 | u64::from(number_below(u32::MAX))
}

fn fresh_node(cluster: &Cluster, zone: &str, address: Ipv4Addr, now_ms: u64) -> ObservedNode {
    ObservedNode {
        address,
        port: cluster.port,
        zone: zone.to_owned(),
        created_ms: now_ms,
        phase: NodePhase::Placed,
        process: None,
        start_count: 0,
        started_ms: 0,
        reboots: 0,
        settings: Settings::new(),
        refused: Default::default(),
        pending_reboot: false,
        told_version: 0,
        failures: 0,
        not_before_ms: 0,
        runs: Runs::Unrecorded,
        node_type: String::new(),
    }
}

/// Before a start. Answers whether it may be made now: a node that keeps ending soon after its start must wait.
fn begin_start(observed: &mut Observed, id: &str, begun: StepRecord, now_ms: u64) -> (bool, Also) {
    observed.step = Some(begun);
    let Some(node) = observed.nodes.get_mut(id) else { return (true, Also::default()) };
    if node.phase != NodePhase::Running {
        return (true, Also::default());
    }
    node.phase = NodePhase::Recovering;
    node.process = None;
    let lived_long = now_ms.saturating_sub(node.started_ms) >= SHORT_LIFE_MS;
    node.failures = if lived_long { 0 } else { node.failures + 1 };
    // The first early end may be an accident, such as a kill by hand: it is made good at once.
    let may_start = node.failures <= 1;
    if !may_start {
        node.not_before_ms = now_ms + pause_ms(node.failures);
    }
    (may_start, Also::event(format!("Recovering cache nodes {id}")))
}

fn end_start(observed: &mut Observed, id: &str, started: Started, reboots: u64, now_ms: u64) -> Also {
    let Some(node) = observed.nodes.get_mut(id) else { return Also::default() };
    let message = match node.phase {
        NodePhase::Placed => format!("Added cache node {id} in availability zone {}", node.zone),
        NodePhase::Rebooting => format!("Cache node {id} restarted"),
        _ => format!("Finished recovery for cache nodes {id}"),
    };
    node.phase = NodePhase::Running;
    node.process = Some(started.process);
    node.settings = started.settings;
    node.runs = started.runs;
    node.start_count += 1;
    node.started_ms = now_ms;
    node.reboots = reboots;
    node.refused.clear();
    node.told_version = 0;
    node.not_before_ms = 0;
    Also::event(message)
}

fn fail_start(observed: &mut Observed, id: &str, why: &str, now_ms: u64) -> Also {
    let why: String = why.chars().take(FAILURE_CHARS_MAX).collect();
    if let Some(step) = &mut observed.step {
        step.failure = Some(why.clone());
    }
    let Some(node) = observed.nodes.get_mut(id) else { return Also::default() };
    node.failures += 1;
    node.not_before_ms = now_ms + pause_ms(node.failures);
    if node.failures > 1 {
        return Also::default();
    }
    Also::event(format!("Failed to start cache node {id}: {why}"))
}
