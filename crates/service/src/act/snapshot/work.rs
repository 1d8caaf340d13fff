//! Doing what is left to be done for one snapshot.

use super::super::group::{Recorded, node_key};
use super::super::step::event_of;
use super::super::{ActError, Tools};
use super::Job;
use crate::host::{Host, HostError, NodeKey};
use crate::resource::event::SourceType;
use crate::resource::group::{ONLY_NODE, ONLY_SHARD, ObservedGroup};
use crate::resource::node::{NodePhase, Observed, Process};
use crate::resource::snapshot::{ObservedSnapshot, Origin, Phase, SORT, Snapshot};
use crate::resource::tag::TagSet;
use crate::state::{Change, Expect, Records, StateError, create, find, put_any, remove, replace};
use crate::vault::{Sum, Vault};

/// Longest failure text that is kept.
const FAILURE_CHARS_MAX: usize = 500;
/// How often a record is tried to be changed that somebody else changes, too.
const CONFLICTS_MAX: usize = 50;

impl<H: Host> Tools<H> {
    /// Works with files on a thread that may block.
    pub(in crate::act) async fn with_vault<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T, HostError> + Send + 'static,
    ) -> Result<T, HostError> {
        let vault = self.vault.clone();
        let task = tokio::task::spawn_blocking(move || work(&vault));
        task.await.unwrap_or_else(|e| Err(HostError::io("working on a snapshot")(std::io::Error::other(e))))
    }

    /// Takes or copies it.
    pub(super) async fn make(&self, snapshot: &Snapshot) -> Result<(), ActError> {
        let name = snapshot.name.clone();
        let sum = match &snapshot.origin {
            Origin::Cache => {
                let (key, process) = self.giver(snapshot).await?;
                let incoming = self.with_vault({
                    let name = name.clone();
                    move |vault| vault.incoming(&name)
                });
                self.host.save(&key, &process, &incoming.await?).await?;
                self.with_vault(move |vault| vault.seal(&name)).await?
            }
            Origin::Copy { of } => {
                let (of, source) = (of.clone(), of.clone());
                let found =
                    self.with_records(move |records| find::<ObservedSnapshot>(records, &source)).await?;
                let missing = || ActError::Missing(format!("there is no snapshot {of} any more"));
                let expected = found.map(|stored| sum_of(&stored.value)).ok_or_else(missing)?;
                self.with_vault(move |vault| vault.copy(&of, &name, &expected)).await?
            }
        };
        let (done, now_ms) = (snapshot.clone(), (self.clock)());
        self.observe_snapshot(snapshot, move |records, observed| {
            observed.phase = Phase::Done;
            observed.taken_ms = now_ms;
            (observed.bytes, observed.sha256) = (sum.bytes, sum.sha256.clone());
            observed.failure = None;
            let mut changes = release(records, &done)?;
            if done.origin == Origin::Cache {
                changes.push(create(&event(&done, "succeeded", now_ms))?);
            }
            Ok(changes)
        })
        .await?;
        Ok(())
    }

    /// The node that gives its data: of a group a replica, or else the primary, that surely holds them.
    async fn giver(&self, snapshot: &Snapshot) -> Result<(NodeKey, Process), ActError> {
        let Some(group) = &snapshot.group else {
            let id = snapshot.cluster.id.clone();
            let observed = self.with_records(move |records| find::<Observed>(records, &id)).await?;
            let node = observed.and_then(|mut stored| stored.value.nodes.remove(ONLY_NODE));
            let process = node.filter(|node| node.phase == NodePhase::Running).and_then(|node| node.process);
            let missing = || ActError::Missing(format!("{} has no running node", snapshot.cluster.id));
            return Ok((node_key(&snapshot.cluster.id), process.ok_or_else(missing)?));
        };
        let id = group.id.clone();
        let recorded = self.with_records(move |records| Recorded::of(records, &id)).await?;
        let recorded = recorded
            .ok_or_else(|| ActError::Missing(format!("there is no replication group {}", group.id)))?;
        let observed = &recorded.observed;
        let wished = recorded.group.snapshotting_cluster.as_deref().or(Some(snapshot.cluster.id.as_str()));
        let mut candidates: Vec<&str> = observed.readers(ONLY_SHARD).collect();
        candidates.sort_by_key(|id| Some(*id) != wished);
        let primary = observed.primary(ONLY_SHARD);
        match primary {
            Some(primary) if wished == Some(primary) => candidates.insert(0, primary),
            primary => candidates.extend(primary),
        }
        for member in candidates {
            let Ok((key, process, address)) = recorded.process(member) else { continue };
            let Ok(Some(seen)) = self.host.replication(&key, &process, address).await else { continue };
            let acting = observed.shards.get(ONLY_SHARD).and_then(|shard| shard.primary.as_ref());
            let holds_data = if Some(member) == primary {
                seen.is_primary && acting.is_some_and(|acting| acting.run_id == process.run_id)
            } else {
                seen.link_up && !seen.syncing
            };
            if holds_data {
                return Ok((key, process));
            }
        }
        Err(ActError::Missing(format!("no member of {} can give its data now", group.id)))
    }

    /// Writes its file into a bucket.
    pub(super) async fn export(
        &self,
        snapshot: &Snapshot,
        observed: &ObservedSnapshot,
    ) -> Result<(), ActError> {
        let missing = || ActError::Missing("it is not known where it is to go".to_owned());
        let object = snapshot.export.clone().ok_or_else(missing)?;
        let (name, expected, number) = (snapshot.name.clone(), sum_of(observed), snapshot.exports);
        self.with_vault(move |vault| vault.export(&name, &object, &expected)).await?;
        self.observe_snapshot(snapshot, move |_, observed| {
            observed.exports = observed.exports.max(number);
            observed.failure = None;
            Ok(vec![])
        })
        .await?;
        Ok(())
    }

    /// Deletes its file, then its records.
    pub(super) async fn forget_snapshot(&self, snapshot: &Snapshot) -> Result<(), ActError> {
        let name = snapshot.name.clone();
        self.with_vault(move |vault| vault.remove(&name)).await?;
        let (gone, name) = (snapshot.clone(), snapshot.name.clone());
        self.observe_snapshot(snapshot, move |records, _| release(records, &gone)).await?;
        self.with_records(move |records| {
            let changes = [
                remove::<Snapshot>(&name, Expect::Anything),
                remove::<ObservedSnapshot>(&name, Expect::Anything),
                remove::<TagSet>(&TagSet::id_of(SORT, &name), Expect::Anything),
            ];
            records.apply(&changes).map(drop)
        })
        .await?;
        Ok(())
    }

    /// Notes why it did not work, and gives it up if that was the last time.
    pub(super) async fn note_snapshot_failure(
        &self,
        snapshot: &Snapshot,
        job: Job,
        error: &ActError,
        give_up: bool,
    ) -> Result<(), StateError> {
        let text: String = error.to_string().chars().take(FAILURE_CHARS_MAX).collect();
        let (failed, now_ms) = (snapshot.clone(), (self.clock)());
        self.observe_snapshot(snapshot, move |records, observed| {
            observed.failure = Some(text.clone());
            if !give_up {
                return Ok(vec![]);
            }
            if job == Job::Export {
                observed.exports = failed.exports;
                return Ok(vec![create(&event(&failed, "could not be exported", now_ms))?]);
            }
            observed.phase = Phase::Failed;
            let mut changes = release(records, &failed)?;
            changes.push(create(&event(&failed, "failed", now_ms))?);
            Ok(changes)
        })
        .await
    }

    /// Changes what is observed of a snapshot, and whatever belongs to the same moment, in one transaction. The records
    /// of caches are changed by their own drivers, too: then it is tried again.
    async fn observe_snapshot(
        &self,
        snapshot: &Snapshot,
        change: impl Fn(&dyn Records, &mut ObservedSnapshot) -> Result<Vec<Change>, StateError> + Send + 'static,
    ) -> Result<(), StateError> {
        let name = snapshot.name.clone();
        self.with_records(move |records| {
            let mut conflicts = 0;
            loop {
                let stored = find::<ObservedSnapshot>(records, &name)?;
                let fresh = || ObservedSnapshot { name: name.clone(), ..ObservedSnapshot::default() };
                let mut observed = stored.map_or_else(fresh, |stored| stored.value);
                let mut changes = change(records, &mut observed)?;
                // Only the one task of the snapshot writes it.
                changes.push(put_any(&observed)?);
                match records.apply(&changes) {
                    Err(StateError::Conflict { .. }) if conflicts < CONFLICTS_MAX => conflicts += 1,
                    done => return done.map(drop),
                }
            }
        })
        .await
    }
}

fn sum_of(observed: &ObservedSnapshot) -> Sum {
    Sum { bytes: observed.bytes, sha256: observed.sha256.clone() }
}

/// The cache is available again: nothing more is wanted from it for this snapshot.
fn release(records: &dyn Records, snapshot: &Snapshot) -> Result<Vec<Change>, StateError> {
    let mut changes = vec![];
    if snapshot.origin != Origin::Cache {
        return Ok(changes);
    }
    if let Some(stored) = find::<Observed>(records, &snapshot.cluster.id)?
        && stored.value.snapshots < snapshot.cluster.snapshots
    {
        let observed = Observed { snapshots: snapshot.cluster.snapshots, ..stored.value };
        changes.push(replace(&observed, stored.revision)?);
    }
    if let Some(group) = &snapshot.group
        && let Some(stored) = find::<ObservedGroup>(records, &group.id)?
        && stored.value.snapshots < group.number
    {
        let observed = ObservedGroup { snapshots: group.number, ..stored.value };
        changes.push(replace(&observed, stored.revision)?);
    }
    Ok(changes)
}

fn event(snapshot: &Snapshot, what: &str, now_ms: u64) -> crate::resource::event::Event {
    let (source_type, cache) = match &snapshot.group {
        Some(_) => (SourceType::ReplicationGroup, "replication group"),
        None => (SourceType::CacheCluster, "cache cluster"),
    };
    let (name, id) = (&snapshot.name, snapshot.cache_id());
    let message = format!("Snapshot {what} for snapshot with ID '{name}' of {cache} with ID '{id}'");
    event_of(source_type, id, message, now_ms)
}
