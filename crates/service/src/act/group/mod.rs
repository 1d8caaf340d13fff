//! The driver of replication groups: finds out how every member is, a few times a second, and makes the roles of members
//! and the endpoints follow. The nodes themselves are the business of the members' clusters; this task only tells them
//! whom to follow, and ends a primary that was lost.

mod step;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::{ActError, Tools};
use crate::host::{Host, HostError, NodeKey};
use crate::plan::group::{GroupFacts, Health, Member, plan_group};
use crate::resource::cluster::Cluster;
use crate::resource::group::{Group, ONLY_NODE, ObservedGroup};
use crate::resource::node::{Observed, Process};
use crate::state::{Records, Resource, StateError, find, list_all};

/// How often the members of a group are asked how they are. Together with `LOST_AFTER` and the time limit of an answer
/// this decides how soon a primary that hangs is replaced: well below two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often a group of one member is looked at: nobody could take its place.
const LOOK_EVERY_ALONE: Duration = Duration::from_secs(2);
/// A member that could not be used for so long is lost.
const LOST_AFTER: Duration = Duration::from_millis(700);
/// How often the list of groups is read although nothing was heard.
const SCAN_EVERY: Duration = Duration::from_secs(30);
/// Plans made in one turn.
const ROUNDS_MAX: usize = 8;
/// Longest pause after failures; it begins with `LOOK_EVERY` and doubles.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What a turn of one group came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is no such group any more.
    Gone,
    /// Nothing to do now.
    Idle {
        /// Whether it has one member only, and is as it should be.
        alone: bool,
    },
    /// A step failed, or there was too much to do for one turn.
    Unfinished,
}

/// Since when members could not be used, by cluster id. Kept in memory: a service that starts anew doubts nobody.
pub(super) type Doubts = HashMap<String, Instant>;

/// The task of one group.
struct Task {
    wake: Arc<Notify>,
    handle: AbortHandle,
}

/// Drives all groups until the record file fails.
pub(super) async fn supervise<H: Host>(
    tools: &Tools<H>,
    running: &mut JoinSet<Result<(), StateError>>,
) -> StateError {
    let mut groups = tools.records.watch(Group::KIND);
    let mut scan = tokio::time::interval(SCAN_EVERY);
    let mut tasks: HashMap<String, Task> = HashMap::new();
    loop {
        tokio::select! {
            _ = groups.changed() => {}
            _ = scan.tick() => {}
            Some(ended) = running.join_next() => {
                if let Ok(Err(error)) = ended {
                    return error;
                }
            }
        }
        let found = match tools.with_records(|records| list_all::<Group>(records)).await {
            Ok(found) => found,
            Err(error) => return error,
        };
        tasks.retain(|_, task| !task.handle.is_finished());
        for id in found.into_iter().map(|stored| stored.value.id) {
            let task = tasks.entry(id.clone()).or_insert_with(|| {
                let wake = Arc::new(Notify::new());
                let handle = running.spawn(drive(tools.clone(), id, Arc::clone(&wake)));
                Task { wake, handle }
            });
            task.wake.notify_one();
        }
    }
}

/// The life of one group's task: turn after turn until the group is gone.
async fn drive<H: Host>(tools: Tools<H>, id: String, wake: Arc<Notify>) -> Result<(), StateError> {
    let mut doubts = Doubts::new();
    let mut retry = LOOK_EVERY;
    loop {
        let outcome = tools.group_turn(&id, &mut doubts).await?;
        let pause = match outcome {
            Outcome::Gone => return Ok(()),
            Outcome::Idle { alone: true } => LOOK_EVERY_ALONE,
            Outcome::Idle { alone: false } => LOOK_EVERY,
            Outcome::Unfinished => retry,
        };
        retry = if outcome == Outcome::Unfinished { (retry * 2).min(RETRY_MAX) } else { LOOK_EVERY };
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A group with its members, as they are recorded.
pub(super) struct Recorded {
    pub(super) group: Group,
    pub(super) observed: ObservedGroup,
    /// Clusters by id, with what is observed of them.
    pub(super) clusters: BTreeMap<String, (Cluster, Option<Observed>)>,
}

impl Recorded {
    pub(super) fn of(records: &dyn Records, id: &str) -> Result<Option<Recorded>, StateError> {
        let Some(group) = find::<Group>(records, id)? else { return Ok(None) };
        let group = group.value;
        let observed = find::<ObservedGroup>(records, id)?.map(|stored| stored.value).unwrap_or_default();
        // A group that goes away waits for every cluster that still says it belongs to it.
        let clusters: Vec<Cluster> = if group.deleting {
            let all = list_all::<Cluster>(records)?.into_iter().map(|stored| stored.value);
            all.filter(|cluster| cluster.group.as_deref() == Some(id)).collect()
        } else {
            let found: Result<Vec<_>, StateError> =
                group.members().map(|member| find::<Cluster>(records, member)).collect();
            found?.into_iter().flatten().map(|stored| stored.value).collect()
        };
        let mut by_id = BTreeMap::new();
        for cluster in clusters {
            let seen = find::<Observed>(records, &cluster.id)?.map(|stored| stored.value);
            by_id.insert(cluster.id.clone(), (cluster, seen));
        }
        Ok(Some(Recorded { group, observed, clusters: by_id }))
    }

    /// A member's running process and where it listens.
    pub(super) fn process(&self, member: &str) -> Result<(NodeKey, Process, SocketAddrV4), ActError> {
        let node = self.clusters.get(member).and_then(|(_, seen)| seen.as_ref()?.nodes.get(ONLY_NODE));
        let found = node.and_then(|node| Some((node.process.clone()?, node.address, node.port)));
        let (process, address, port) =
            found.ok_or_else(|| ActError::Missing(format!("{member} has no running node")))?;
        Ok((node_key(member), process, SocketAddrV4::new(address, port)))
    }
}

pub(super) fn node_key(member: &str) -> NodeKey {
    NodeKey { cluster: member.to_owned(), node: ONLY_NODE.to_owned() }
}

impl<H: Host> Tools<H> {
    /// Finds out how the members are, plans and does steps until there are none, or one failed.
    pub(super) async fn group_turn(&self, id: &str, doubts: &mut Doubts) -> Result<Outcome, StateError> {
        for _ in 0..ROUNDS_MAX {
            let name = id.to_owned();
            let recorded = self.with_records(move |records| Recorded::of(records, &name)).await?;
            let Some(recorded) = recorded else { return Ok(Outcome::Gone) };
            let members = self.look(&recorded, doubts).await;
            let facts =
                GroupFacts { group: &recorded.group, observed: &recorded.observed, members: &members };
            let steps = plan_group(&facts);
            if steps.is_empty() {
                let status = recorded.group.status(Some(&recorded.observed));
                let is_settled = matches!(
                    status,
                    crate::resource::group::Status::Available | crate::resource::group::Status::Snapshotting
                );
                return Ok(Outcome::Idle { alone: is_settled && members.len() < 2 });
            }
            for step in &steps {
                match self.perform_group(&recorded, step).await {
                    Ok(()) => {}
                    Err(ActError::State(error)) if !matches!(error, StateError::Conflict { .. }) => {
                        return Err(error);
                    }
                    Err(error) => {
                        tracing::warn!(group = id, %step, "a step failed: {error}");
                        self.record_group_failure(&recorded, step, &error).await?;
                        return Ok(Outcome::Unfinished);
                    }
                }
            }
        }
        Ok(Outcome::Unfinished)
    }

    /// Asks all members at once.
    async fn look(&self, recorded: &Recorded, doubts: &mut Doubts) -> Vec<Member> {
        let began = Instant::now();
        let mut asked = JoinSet::new();
        for id in recorded.clusters.keys() {
            let Ok((key, process, address)) = recorded.process(id) else { continue };
            let (host, id) = (Arc::clone(&self.host), id.clone());
            asked.spawn(async move { (id, host.replication(&key, &process, address).await) });
        }
        let mut answers = HashMap::new();
        while let Some(answered) = asked.join_next().await {
            if let Ok((id, answer)) = answered {
                answers.insert(id, answer);
            }
        }
        let member = |(id, (cluster, seen)): (&String, &(Cluster, Option<Observed>))| Member {
            id: id.clone(),
            node: seen.as_ref().and_then(|seen| seen.nodes.get(ONLY_NODE).cloned()),
            settled: cluster.is_settled(seen.as_ref()),
            is_seeded: cluster.seed.is_some(),
            health: health(id, answers.remove(id), began, doubts),
        };
        recorded.clusters.iter().map(member).collect()
    }
}

/// What an answer, or the lack of one, means after all that went before.
fn health(
    id: &str,
    answer: Option<Result<Option<crate::resource::node::Replication>, HostError>>,
    began: Instant,
    doubts: &mut Doubts,
) -> Health {
    match answer {
        Some(Ok(Some(replication))) => {
            doubts.remove(id);
            Health::Well(replication)
        }
        Some(Ok(None)) | None => {
            doubts.remove(id);
            Health::Down
        }
        Some(Err(error)) => {
            let since = *doubts.entry(id.to_owned()).or_insert(began);
            if since.elapsed() < LOST_AFTER {
                return Health::Doubtful;
            }
            tracing::debug!(member = id, "a member is lost: {error}");
            Health::Lost
        }
    }
}
