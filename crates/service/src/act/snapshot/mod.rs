//! The driver of snapshots: takes, copies, exports and deletes them, one task each, and asks for the automatic ones.
//!
//! A snapshot is done when its file is whole and the record says so; a service that is killed before that begins it
//! again. What keeps failing is given up after a while: the snapshot is `failed`, and the cache is available again.

mod schedule;
mod work;

#[cfg(test)]
pub(super) use schedule::schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::{ActError, Tools};
use crate::host::Host;
use crate::resource::snapshot::{ObservedSnapshot, Phase, Snapshot};
use crate::state::{Resource, StateError, find, list_all};

/// Snapshots that are worked on at the same time; the others wait for their turn.
const PARALLEL_MAX: usize = 4;
/// How often it is looked whether automatic snapshots are due.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// First pause after a failure; doubles up to the longest.
const RETRY: Duration = Duration::from_millis(250);
/// Longest pause.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Failures in a row after which a snapshot is given up.
const TRIES_MAX: u32 = 30;

/// What is left to be done for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    /// Take it, or copy it.
    Make,
    /// Write it into a bucket.
    Export,
    /// Delete it.
    Delete,
}

fn job(snapshot: &Snapshot, observed: Option<&ObservedSnapshot>) -> Option<Job> {
    if snapshot.deleting {
        return Some(Job::Delete);
    }
    if !snapshot.has_work(observed) {
        return None;
    }
    let is_made = observed.is_some_and(|observed| observed.phase == Phase::Done);
    Some(if is_made { Job::Export } else { Job::Make })
}

/// Drives all snapshots until the record file fails.
pub(super) async fn supervise<H: Host>(
    tools: &Tools<H>,
    running: &mut JoinSet<Result<(), StateError>>,
) -> StateError {
    let mut changes = tools.records.watch(Snapshot::KIND);
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut busy: BTreeMap<String, AbortHandle> = BTreeMap::new();
    let turns = Arc::new(Semaphore::new(PARALLEL_MAX));
    loop {
        tokio::select! {
            _ = changes.changed() => {}
            _ = look.tick() => {
                if let Err(error) = tools.schedule().await {
                    return error;
                }
            }
            Some(ended) = running.join_next() => {
                if let Ok(Err(error)) = ended {
                    return error;
                }
            }
        }
        busy.retain(|_, task| !task.is_finished());
        let waiting = match tools.with_records(|records| unfinished(records)).await {
            Ok(waiting) => waiting,
            Err(error) => return error,
        };
        for name in waiting {
            let work = || drive(tools.clone(), name.clone(), Arc::clone(&turns));
            busy.entry(name.clone()).or_insert_with(|| running.spawn(work()));
        }
    }
}

/// Names of all snapshots for which something is left to be done.
fn unfinished(records: &dyn crate::state::Records) -> Result<BTreeSet<String>, StateError> {
    let observed: BTreeMap<String, ObservedSnapshot> = list_all::<ObservedSnapshot>(records)?
        .into_iter()
        .map(|stored| (stored.value.name.clone(), stored.value))
        .collect();
    let all = list_all::<Snapshot>(records)?.into_iter().map(|stored| stored.value);
    let left = all.filter(|snapshot| snapshot.has_work(observed.get(&snapshot.name)));
    Ok(left.map(|snapshot| snapshot.name).collect())
}

/// Works on one snapshot until nothing is left to be done for it.
async fn drive<H: Host>(tools: Tools<H>, name: String, turns: Arc<Semaphore>) -> Result<(), StateError> {
    let (mut pause, mut tries) = (RETRY, 0);
    loop {
        let outcome = {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            tools.snapshot_turn(&name, tries + 1 >= TRIES_MAX).await?
        };
        if outcome == Turn::Settled {
            return Ok(());
        }
        if outcome == Turn::Failed {
            tries += 1;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        } else {
            (pause, tries) = (RETRY, 0);
        }
    }
}

/// What a turn of one snapshot came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing is left to be done, or the snapshot is gone.
    Settled,
    /// Something was done.
    Worked,
    /// It did not work this time.
    Failed,
}

impl<H: Host> Tools<H> {
    /// Does what is left to be done first. `is_last` says that a failure is the last one.
    pub(super) async fn snapshot_turn(&self, name: &str, is_last: bool) -> Result<Turn, StateError> {
        let id = name.to_owned();
        let (snapshot, observed) = self
            .with_records(move |records| {
                let observed = find::<ObservedSnapshot>(records, &id)?.map(|stored| stored.value);
                Ok((find::<Snapshot>(records, &id)?.map(|stored| stored.value), observed))
            })
            .await?;
        let Some(snapshot) = snapshot else { return Ok(Turn::Settled) };
        let observed = observed.unwrap_or_default();
        let Some(job) = job(&snapshot, Some(&observed)) else { return Ok(Turn::Settled) };
        tracing::debug!(snapshot = name, ?job, "step");
        let outcome = match job {
            Job::Make => self.make(&snapshot).await,
            Job::Export => self.export(&snapshot, &observed).await,
            Job::Delete => self.forget_snapshot(&snapshot).await,
        };
        match outcome {
            Ok(()) => Ok(Turn::Worked),
            Err(ActError::State(error)) if !matches!(error, StateError::Conflict { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(snapshot = name, ?job, "a step failed: {error}");
                // What cannot be deleted is tried again and again: nothing waits for it.
                let give_up = is_last && job != Job::Delete;
                self.note_snapshot_failure(&snapshot, job, &error, give_up).await?;
                Ok(Turn::Failed)
            }
        }
    }
}
