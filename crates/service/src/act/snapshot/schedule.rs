//! Automatic snapshots: one of each cache that wants them whenever its window opens, kept for as long as it says.

use std::collections::BTreeMap;

use super::super::Tools;
use crate::host::Host;
use crate::resource::cluster::{Cluster, Status};
use crate::resource::group::{self, Group, ObservedGroup};
use crate::resource::node::Observed;
use crate::resource::snapshot::{Snapshot, automatic_name, check_supported};
use crate::resource::window::Daily;
use crate::state::{Change, Records, StateError, Stored, create, find, list_all, replace};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

impl<H: Host> Tools<H> {
    /// Asks for automatic snapshots that are due, and for the end of those that were kept long enough.
    pub(super) async fn schedule(&self) -> Result<(), StateError> {
        let now_ms = (self.clock)();
        self.with_records(move |records| schedule(records, now_ms)).await
    }
}

/// The second half of what SnapshotWindow and SnapshotRetentionLimit asked for: like the maintenance window, a change
/// of desired records that no operation makes.
pub(in crate::act) fn schedule(records: &dyn Records, now_ms: u64) -> Result<(), StateError> {
    let automatic: Vec<Stored<Snapshot>> =
        list_all::<Snapshot>(records)?.into_iter().filter(|stored| stored.value.automatic).collect();
    let clusters = list_all::<Cluster>(records)?;
    let created: BTreeMap<&str, u64> =
        clusters.iter().map(|stored| (stored.value.id.as_str(), stored.value.created_ms)).collect();
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for snapshot in automatic.iter().map(|stored| &stored.value) {
        let at = newest.entry(snapshot.cache_id()).or_default();
        *at = snapshot.created_ms.max(*at);
    }
    let groups: BTreeMap<String, Stored<Group>> =
        list_all::<Group>(records)?.into_iter().map(|stored| (stored.value.id.clone(), stored)).collect();
    for stored in &automatic {
        if is_over(&stored.value, &created, &groups, now_ms) && !stored.value.deleting {
            let ended = Snapshot { deleting: true, ..stored.value.clone() };
            apply(records, vec![replace(&ended, stored.revision)?])?;
        }
    }
    for stored in &clusters {
        let group = match &stored.value.group {
            None => None,
            // A group is looked at once: with its first member.
            Some(id) => match groups.get(id) {
                Some(group) if group.value.members().next() == Some(&stored.value.id) => Some(group),
                _ => continue,
            },
        };
        if is_due(&stored.value, group.map(|group| &group.value), &newest, now_ms) {
            take(records, stored, group, now_ms)?;
        }
    }
    Ok(())
}

/// Whether an automatic snapshot was kept for long enough, or its cache is gone.
fn is_over(
    snapshot: &Snapshot,
    clusters: &BTreeMap<&str, u64>,
    groups: &BTreeMap<String, Stored<Group>>,
    now_ms: u64,
) -> bool {
    let kept_ms = u64::from(snapshot.cluster.snapshot_retention_days) * DAY_MS;
    let is_old = now_ms.saturating_sub(snapshot.created_ms) > kept_ms;
    let has_cache = match &snapshot.group {
        Some(then) => groups.get(&then.id).is_some_and(|now| now.value.created_ms == then.created_ms),
        None => clusters.get(snapshot.cluster.id.as_str()) == Some(&snapshot.cluster.created_ms),
    };
    is_old || !has_cache
}

/// Whether the window is open, and no snapshot was begun since it opened.
fn is_due(cluster: &Cluster, group: Option<&Group>, newest: &BTreeMap<&str, u64>, now_ms: u64) -> bool {
    if cluster.snapshot_retention_days == 0 || cluster.deleting || check_supported(cluster).is_err() {
        return false;
    }
    let window = cluster.snapshot_window.as_deref().and_then(|text| Daily::parse(text).ok());
    let Some(opened_ms) = window.and_then(|window| window.opened_ms(now_ms)) else { return false };
    let id = group.map_or(&cluster.id, |group| &group.id);
    newest.get(id.as_str()).is_none_or(|created_ms| *created_ms < opened_ms)
}

fn take(
    records: &dyn Records,
    cluster: &Stored<Cluster>,
    group: Option<&Stored<Group>>,
    now_ms: u64,
) -> Result<(), StateError> {
    let observed = find::<Observed>(records, &cluster.value.id)?.map(|stored| stored.value);
    if cluster.value.status(observed.as_ref()) != Status::Available {
        return Ok(());
    }
    let mut changes = vec![];
    let group = match group {
        None => None,
        Some(stored) => {
            let observed = find::<ObservedGroup>(records, &stored.value.id)?.map(|stored| stored.value);
            if stored.value.status(observed.as_ref()) != group::Status::Available {
                return Ok(());
            }
            let changed = Group { snapshots: stored.value.snapshots + 1, ..stored.value.clone() };
            changes.push(replace(&changed, stored.revision)?);
            Some(changed)
        }
    };
    let mut changed = cluster.value.clone();
    changed.snapshots += 1;
    changes.push(replace(&changed, cluster.revision)?);
    let name = automatic_name(group.as_ref().map_or(&changed.id, |group| &group.id), now_ms);
    changes.push(create(&Snapshot::of(&name, &changed, group.as_ref(), now_ms))?);
    apply(records, changes)
}

/// What somebody else changed meanwhile is looked at again next time.
fn apply(records: &dyn Records, changes: Vec<Change>) -> Result<(), StateError> {
    match records.apply(&changes) {
        Ok(_) | Err(StateError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
