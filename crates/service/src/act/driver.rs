//! The loops: one supervisor, and one task per cluster that passes until nothing is left to do.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use super::sweep::sweep;
use super::{ActError, Tools};
use crate::host::{Host, NodeKey};
use crate::plan::{Facts, Step, plan};
use crate::resource::cluster::{Cluster, Status};
use crate::resource::ec2::SecurityGroup;
use crate::resource::node::{Observed, Process};
use crate::resource::parameter_group::ParameterGroup;
use crate::resource::snapshot::{ObservedSnapshot, Phase, Snapshot};
use crate::resource::window::Weekly;
use crate::state::{Resource, StateError, Stored, find, list_all, replace};

/// Clusters that are worked on at the same time; the others wait for their turn.
const PARALLEL_MAX: usize = 16;
/// How often a cluster is looked at although nothing was heard of it: the health of its nodes, its window.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often the list of clusters is read although nothing was heard.
const SCAN_EVERY: Duration = Duration::from_secs(30);
/// How often old events are taken away.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Plans made in one turn; a cluster that still is not settled then gives others their turn.
const ROUNDS_MAX: usize = 32;
/// How often it is looked whether the last snapshot of a deleted cluster is there, in milliseconds.
const FINAL_SNAPSHOT_POLL_MS: u64 = 250;
/// Pause after a failed turn that did not say when to try again; doubles up to the longest.
const RETRY: Duration = Duration::from_millis(250);
/// Longest pause.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// What a turn of one cluster came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is no such cluster any more.
    Gone,
    /// As it should be.
    Settled,
    /// Something was put off until then, Unix milliseconds.
    Until(u64),
    /// A step failed, or there was too much to do for one turn.
    Unfinished,
}

/// Drives all clusters of a service.
pub struct Driver<H> {
    tools: Tools<H>,
}

/// The task of one cluster.
struct Task {
    wake: Arc<Notify>,
    revision: u64,
    handle: AbortHandle,
}

impl<H: Host> Driver<H> {
    /// A driver with these tools.
    pub fn new(tools: Tools<H>) -> Driver<H> {
        Driver { tools }
    }

    /// Drives until `stop` is ready, or until the record file fails. Steps that are being done then are dropped where
    /// they are: the next driver does them again.
    ///
    /// # Errors
    /// The failure of the record file.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), StateError> {
        let (mut running, mut groups, mut snapshots) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let ended = tokio::select! {
            () = stop => Ok(()),
            error = self.supervise(&mut running) => Err(error),
            error = super::group::supervise(&self.tools, &mut groups) => Err(error),
            error = super::snapshot::supervise(&self.tools, &mut snapshots) => Err(error),
            error = super::update::supervise(&self.tools) => Err(error),
        };
        snapshots.shutdown().await;
        groups.shutdown().await;
        running.shutdown().await;
        ended
    }

    async fn supervise(&self, running: &mut JoinSet<Result<(), StateError>>) -> StateError {
        let (mut clusters, mut groups) =
            (self.tools.records.watch(Cluster::KIND), self.tools.records.watch(ParameterGroup::KIND));
        let mut rules = self.tools.records.watch(SecurityGroup::KIND);
        let mut scan = tokio::time::interval(SCAN_EVERY);
        let mut sweeping = tokio::time::interval(SWEEP_EVERY);
        let mut tasks: HashMap<String, Task> = HashMap::new();
        let turns = Arc::new(Semaphore::new(PARALLEL_MAX));
        loop {
            let mut all = false;
            tokio::select! {
                // Senders live as long as the records, so these only end with changes.
                _ = clusters.changed() => {}
                _ = groups.changed() => all = true,
                _ = rules.changed() => all = true,
                _ = scan.tick() => {}
                _ = sweeping.tick() => {
                    let now_ms = (self.tools.clock)();
                    if let Err(error) = self.tools.with_records(move |records| sweep(records, now_ms)).await {
                        return error;
                    }
                    continue;
                }
                Some(ended) = running.join_next() => {
                    if let Ok(Err(error)) = ended {
                        return error;
                    }
                    all = false;
                }
            }
            if let Err(error) = self.refresh(&mut tasks, running, &turns, all).await {
                return error;
            }
        }
    }

    /// Makes sure that each cluster has a task, and wakes those whose records changed.
    async fn refresh(
        &self,
        tasks: &mut HashMap<String, Task>,
        running: &mut JoinSet<Result<(), StateError>>,
        turns: &Arc<Semaphore>,
        all: bool,
    ) -> Result<(), StateError> {
        let clusters = self.tools.with_records(|records| list_all::<Cluster>(records)).await?;
        tasks.retain(|_, task| !task.handle.is_finished());
        for Stored { value: cluster, revision } in clusters {
            if let Some(task) = tasks.get_mut(&cluster.id) {
                if all || task.revision != revision {
                    task.revision = revision;
                    task.wake.notify_one();
                }
                continue;
            }
            let wake = Arc::new(Notify::new());
            let work = drive(self.tools.clone(), cluster.id.clone(), Arc::clone(&wake), Arc::clone(turns));
            let handle = running.spawn(work);
            tasks.insert(cluster.id, Task { wake, revision, handle });
        }
        Ok(())
    }
}

/// The life of one cluster's task: turn after turn until the cluster is gone.
async fn drive<H: Host>(
    tools: Tools<H>,
    id: String,
    wake: Arc<Notify>,
    turns: Arc<Semaphore>,
) -> Result<(), StateError> {
    let mut exits = Exits::default();
    let mut retry = RETRY;
    loop {
        let outcome = {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            tools.turn(&id).await?
        };
        let pause = match outcome {
            Outcome::Gone => return Ok(()),
            Outcome::Settled => LOOK_EVERY,
            Outcome::Until(at_ms) => {
                Duration::from_millis(at_ms.saturating_sub((tools.clock)())).min(LOOK_EVERY)
            }
            Outcome::Unfinished => retry,
        };
        retry = if outcome == Outcome::Unfinished { (retry * 2).min(RETRY_MAX) } else { RETRY };
        exits.follow(&tools, &id, &wake).await?;
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Watches the processes of one cluster, so that the end of one is noticed at once.
#[derive(Default)]
struct Exits {
    watched: HashMap<NodeKey, (Process, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Exits {
    async fn follow<H: Host>(
        &mut self,
        tools: &Tools<H>,
        id: &str,
        wake: &Arc<Notify>,
    ) -> Result<(), StateError> {
        let cluster = id.to_owned();
        let observed = tools.with_records(move |records| find::<Observed>(records, &cluster)).await?;
        let nodes = observed.map(|stored| stored.value.nodes).unwrap_or_default();
        let mut processes: HashMap<NodeKey, Process> = nodes
            .into_iter()
            .filter_map(|(node, seen)| Some((NodeKey { cluster: id.to_owned(), node }, seen.process?)))
            .collect();
        self.watched.retain(|key, (process, task)| {
            let stays = processes.get(key) == Some(process) && !task.is_finished();
            if stays {
                processes.remove(key);
            } else {
                task.abort();
            }
            stays
        });
        for (key, process) in processes {
            let (host, wake, watched) = (Arc::clone(&tools.host), Arc::clone(wake), process.clone());
            let task = self.tasks.spawn(async move {
                host.exited(&watched).await;
                wake.notify_one();
            });
            self.watched.insert(key, (process, task));
        }
        while self.tasks.try_join_next().is_some() {}
        Ok(())
    }
}

impl<H: Host> Tools<H> {
    /// Plans and does steps until there are none, or one failed.
    pub(super) async fn turn(&self, id: &str) -> Result<Outcome, StateError> {
        for _ in 0..ROUNDS_MAX {
            let name = id.to_owned();
            let (cluster, observed) = self
                .with_records(move |records| {
                    Ok((find::<Cluster>(records, &name)?, find::<Observed>(records, &name)?))
                })
                .await?;
            let Some(cluster) = cluster else { return Ok(Outcome::Gone) };
            let observed = observed.map(|stored| stored.value).unwrap_or_default();
            if self.open_window(&cluster, &observed).await? {
                continue;
            }
            let cluster = cluster.value;
            if cluster.deleting && self.waits_for_snapshot(&cluster).await? {
                return Ok(Outcome::Until((self.clock)() + FINAL_SNAPSHOT_POLL_MS));
            }
            let planned = match self.plan(&cluster, &observed).await {
                Ok(planned) => planned,
                Err(ActError::State(error)) => return Err(error),
                Err(error) => {
                    tracing::warn!(cluster = cluster.id, "cannot plan: {error}");
                    return Ok(Outcome::Unfinished);
                }
            };
            if planned.steps.is_empty() {
                return Ok(planned.again_ms.map_or(Outcome::Settled, Outcome::Until));
            }
            if !self.perform_all(&cluster, &planned.steps).await? {
                return Ok(Outcome::Unfinished);
            }
        }
        Ok(Outcome::Unfinished)
    }

    /// Whether a cluster must stay for its last snapshot. One that failed keeps it, until somebody deletes that snapshot.
    async fn waits_for_snapshot(&self, cluster: &Cluster) -> Result<bool, StateError> {
        let Some(name) = cluster.final_snapshot.clone() else { return Ok(false) };
        self.with_records(move |records| {
            let observed = find::<ObservedSnapshot>(records, &name)?;
            let is_there = observed.is_some_and(|stored| stored.value.phase == Phase::Done);
            Ok(!is_there && find::<Snapshot>(records, &name)?.is_some())
        })
        .await
    }

    async fn plan(&self, cluster: &Cluster, observed: &Observed) -> Result<crate::plan::Plan, ActError> {
        let mut alive = BTreeSet::new();
        for (node, seen) in &observed.nodes {
            let key = NodeKey { cluster: cluster.id.clone(), node: node.clone() };
            if let Some(process) = &seen.process
                && self.host.is_alive(&key, process).await?
            {
                alive.insert(node.clone());
            }
        }
        let settings =
            if cluster.deleting { Default::default() } else { self.wanted_settings(cluster).await? };
        let (with_names, now_ms) = (self.names.resolves(), (self.clock)());
        let facts = Facts { cluster, settings: &settings, observed, alive: &alive, with_names, now_ms };
        Ok(plan(&facts))
    }

    /// Does the steps in order. A node whose step failed is left alone, and so is what concerns all nodes; the other
    /// nodes go on. Answers whether all went well.
    async fn perform_all(&self, cluster: &Cluster, steps: &[Step]) -> Result<bool, StateError> {
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        let mut all_well = true;
        for step in steps {
            let is_blocked = match step.node() {
                Some(node) => failed.contains(node),
                None => !all_well,
            };
            if is_blocked {
                continue;
            }
            match self.perform(cluster, step).await {
                Ok(()) => {}
                Err(ActError::State(error)) if !matches!(error, StateError::Conflict { .. }) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(cluster = cluster.id, %step, "a step failed: {error}");
                    all_well = false;
                    failed.extend(step.node());
                    if !matches!(step, Step::Start { .. }) {
                        self.record_failure(cluster, step, &error).await?;
                    }
                }
            }
        }
        Ok(all_well)
    }

    /// Takes over changes that wait for the maintenance window, if it is open. The one change of a desired record
    /// that is not made by an operation: it is the second half of a ModifyCacheCluster call.
    async fn open_window(&self, cluster: &Stored<Cluster>, observed: &Observed) -> Result<bool, StateError> {
        let Stored { value, revision } = cluster;
        let is_due = !value.pending.is_empty()
            && value.status(Some(observed)) == Status::Available
            && Weekly::parse(&value.maintenance_window).is_ok_and(|window| window.is_open((self.clock)()));
        if !is_due {
            return Ok(false);
        }
        let mut changed = value.clone();
        changed.apply_pending();
        let change = replace(&changed, *revision)?;
        let applied = self.with_records(move |records| records.apply(&[change])).await;
        match applied {
            Ok(_) | Err(StateError::Conflict { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
