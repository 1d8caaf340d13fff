//! The driver of update actions: starts the nodes of a cache anew, one after the other, until all of them run the release
//! that somebody wished for. It writes what is *desired* of clusters (a reboot) and groups (a promotion), as the second
//! half of a BatchApplyUpdateAction call; their own drivers do the rest.

use std::time::Duration;

use super::Tools;
use super::step::event_of;
use crate::host::Host;
use crate::plan::update::{Next, next_of_cluster, next_of_group};
use crate::resource::cluster::Cluster;
use crate::resource::event::SourceType;
use crate::resource::group::{Group, ObservedGroup};
use crate::resource::node::Observed;
use crate::resource::service_update::{NodeUpdate, Release, ServiceUpdate, Severity, UpdateAction, nodes};
use crate::resource::window::Weekly;
use crate::state::{
    Expect, Page, Records, Resource, StateError, create, find, find_shared, list_all, list_shared, remove,
    replace,
};

/// How often caches that are being updated are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether there are any, although nothing was heard.
const SCAN_EVERY: Duration = Duration::from_secs(30);

/// Drives all update actions until the record file fails.
pub(super) async fn supervise<H: Host>(tools: &Tools<H>) -> StateError {
    let mut changes = tools.records.watch(UpdateAction::KIND);
    loop {
        let (release, now_ms) = (tools.release.clone(), (tools.clock)());
        let turn = move |records: &dyn Records| {
            if let Some(release) = &release {
                begin_due(records, release, now_ms)?;
            }
            turn(records)
        };
        let is_busy = match tools.with_records(turn).await {
            Ok(is_busy) => is_busy,
            // Somebody else changed a cache at the same moment: it is read again.
            Err(StateError::Conflict { .. }) => true,
            Err(error) => return error,
        };
        let pause = if is_busy { LOOK_EVERY } else { SCAN_EVERY };
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Makes a service update of a release that runs here for the first time, and tells of it at each node.
pub fn announce(records: &dyn Records, release: &Release, now_ms: u64) -> Result<(), StateError> {
    let known = list_all::<ServiceUpdate>(records)?;
    if known.iter().any(|stored| stored.value.release == *release) {
        return Ok(());
    }
    let is_first = known.is_empty() && list_all::<Cluster>(records)?.is_empty();
    let severity = Severity::OF_THIS_RELEASE;
    let update = ServiceUpdate { release: release.clone(), released_ms: now_ms, is_first, severity };
    let mut changes = vec![create(&update)?];
    if !is_first {
        tracing::info!(release = %release, "a new release: nodes that run an older one can be updated");
        for observed in list_all::<Observed>(records)? {
            for node in observed.value.nodes.keys() {
                let message = format!("Service update {} is available for cache node {node}", update.name());
                changes.push(create(&event_of(
                    SourceType::CacheCluster,
                    &observed.value.id,
                    message,
                    now_ms,
                ))?);
            }
        }
    }
    records.apply(&changes).map(drop)
}

/// Wishes for the update of caches whose maintenance window is open, where it should have been applied by now and comes
/// unasked. Whoever stopped it for a cache has an action there, and is left in peace.
pub(super) fn begin_due(records: &dyn Records, release: &Release, now_ms: u64) -> Result<(), StateError> {
    let mut known = list_shared::<ServiceUpdate>(records, Page::default())?.into_iter();
    let Some(update) = known.find(|stored| stored.value.release == *release).map(|stored| stored.value)
    else {
        return Ok(());
    };
    if update.is_first || !update.is_due(now_ms) {
        return Ok(());
    }
    for cluster in list_shared::<Cluster>(records, Page::default())? {
        let cluster = cluster.value;
        let is_open = Weekly::parse(&cluster.maintenance_window).is_ok_and(|window| window.is_open(now_ms));
        let observed = find_shared::<Observed>(records, &cluster.id)?.map(|stored| stored.value);
        let far = nodes(&cluster, observed.as_deref(), release);
        if cluster.deleting || !is_open || !far.iter().any(|(_, update)| *update == NodeUpdate::Waiting) {
            continue;
        }
        let (cache, is_group, created_ms) = match &cluster.group {
            None => (cluster.id.clone(), false, cluster.created_ms),
            Some(id) => match find_shared::<Group>(records, id)? {
                Some(group) if !group.value.deleting => (id.clone(), true, group.value.created_ms),
                _ => continue,
            },
        };
        let action = UpdateAction {
            update: update.name(),
            release: release.clone(),
            cache,
            is_group,
            cache_created_ms: created_ms,
            asked_ms: now_ms,
            stopped_ms: None,
            by_system: true,
        };
        if find_shared::<UpdateAction>(records, &action.id())?.is_none() {
            tracing::info!(
                cache = action.cache,
                update = action.update,
                "the maintenance window brings a service update"
            );
            records.apply(&[create(&action)?])?;
        }
    }
    Ok(())
}

/// Takes the next step of every cache. Answers whether there is more to come.
pub(super) fn turn(records: &dyn Records) -> Result<bool, StateError> {
    let mut is_busy = false;
    for action in list_all::<UpdateAction>(records)?.into_iter().map(|stored| stored.value) {
        let (created_ms, next) = match next(records, &action)? {
            Some(found) => found,
            None => (None, Next::Done),
        };
        if created_ms != Some(action.cache_created_ms) {
            records.apply(&[remove::<UpdateAction>(&action.id(), Expect::Anything)])?;
            continue;
        }
        if action.stopped_ms.is_some() {
            continue;
        }
        is_busy |= next != Next::Done;
        carry_out(records, &action, &next)?;
    }
    Ok(is_busy)
}

/// When the cache of an action was created, and what is next for it; none if there is no such cache.
fn next(records: &dyn Records, action: &UpdateAction) -> Result<Option<(Option<u64>, Next)>, StateError> {
    let seen = |id: &str| -> Result<Option<Observed>, StateError> {
        Ok(find::<Observed>(records, id)?.map(|stored| stored.value))
    };
    if !action.is_group {
        let Some(cluster) = find::<Cluster>(records, &action.cache)? else { return Ok(None) };
        let cluster = cluster.value;
        let next = next_of_cluster(&cluster, seen(&cluster.id)?.as_ref(), &action.release);
        return Ok(Some((Some(cluster.created_ms), next)));
    }
    let Some(group) = find::<Group>(records, &action.cache)? else { return Ok(None) };
    let group = group.value;
    let observed = find::<ObservedGroup>(records, &group.id)?.map(|stored| stored.value);
    let mut members = Vec::new();
    for id in group.members() {
        if let Some(cluster) = find::<Cluster>(records, id)? {
            members.push((cluster.value, seen(id)?));
        }
    }
    let next = next_of_group(&group, observed.as_ref(), &members, &action.release);
    Ok(Some((Some(group.created_ms), next)))
}

fn carry_out(records: &dyn Records, action: &UpdateAction, next: &Next) -> Result<(), StateError> {
    match next {
        Next::Done | Next::Wait => Ok(()),
        Next::Restart { cluster, node } => {
            let Some(stored) = find::<Cluster>(records, cluster)? else { return Ok(()) };
            tracing::info!(
                cluster,
                node,
                update = action.update,
                "a node is started anew for a service update"
            );
            let mut cluster = stored.value;
            cluster.reboot(std::slice::from_ref(node));
            records.apply(&[replace(&cluster, stored.revision)?]).map(drop)
        }
        Next::HandOver { shard, to } => {
            let Some(stored) = find::<Group>(records, &action.cache)? else { return Ok(()) };
            tracing::info!(
                group = action.cache,
                to,
                update = action.update,
                "the primary hands over for a service update"
            );
            let mut group = stored.value;
            if let Some(shard) = group.shards.get_mut(shard) {
                shard.promotions += 1;
                shard.promote = Some(to.clone());
                group.generation += 1;
            }
            records.apply(&[replace(&group, stored.revision)?]).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::tests::{memcached, settled};
    use crate::resource::service_update::Runs;
    use crate::state::{FileRecords, put_any};

    #[test]
    fn what_is_due_comes_with_the_maintenance_window() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let release = Release::parse("0.2.0").unwrap();
        let severity = Severity::Important;
        let update = ServiceUpdate { release: release.clone(), released_ms: 0, is_first: false, severity };
        // A Thursday at midnight, as the epoch was.
        let thursday_ms = update.apply_by_ms().div_ceil(7 * 24 * 3600 * 1000) * 7 * 24 * 3600 * 1000;
        let mut cluster = memcached(2);
        cluster.maintenance_window = "thu:02:00-thu:03:00".into();
        let changes = [create(&cluster), create(&settled(&cluster)), create(&update)];
        records.apply(&changes.map(Result::unwrap)).unwrap();
        let actions = || list_all::<UpdateAction>(&records).unwrap();
        let hours = |count: u64| count * 3600 * 1000;
        begin_due(&records, &release, thursday_ms).unwrap();
        assert!(actions().is_empty(), "the window is closed");
        begin_due(&records, &release, hours(2)).unwrap();
        assert!(actions().is_empty(), "there is time yet");
        begin_due(&records, &Release::parse("0.3.0").unwrap(), thursday_ms + hours(2)).unwrap();
        assert!(actions().is_empty(), "nodes would be started with another release");
        begin_due(&records, &release, thursday_ms + hours(2)).unwrap();
        let [action] = actions().try_into().unwrap();
        assert_eq!((action.value.cache.as_str(), action.value.stopped_ms), (cluster.id.as_str(), None));
        let stopped = UpdateAction { stopped_ms: Some(1), ..action.value };
        records.apply(&[put_any(&stopped).unwrap()]).unwrap();
        begin_due(&records, &release, thursday_ms + hours(2)).unwrap();
        assert_eq!(actions().len(), 1);
        assert_eq!(actions()[0].value, stopped, "who stopped it meant it");
    }

    #[test]
    fn a_cache_is_updated_node_by_node_and_a_stop_ends_that() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let release = Release::parse("0.2.0").unwrap();
        let cluster = memcached(3);
        let action = UpdateAction {
            update: "larder-0.2.0".into(),
            release: release.clone(),
            cache: cluster.id.clone(),
            is_group: false,
            cache_created_ms: cluster.created_ms,
            asked_ms: 5,
            stopped_ms: None,
            by_system: false,
        };
        let changes = [create(&cluster), create(&settled(&cluster)), create(&action)];
        records.apply(&changes.map(Result::unwrap)).unwrap();
        let reboots = || {
            let cluster = find::<Cluster>(&records, &cluster.id).unwrap().unwrap().value;
            cluster.nodes.values().map(|node| node.reboots).collect::<Vec<_>>()
        };
        let obey = || {
            let cluster = find::<Cluster>(&records, &cluster.id).unwrap().unwrap().value;
            let mut observed = settled(&cluster);
            for (node, wanted) in observed.nodes.values_mut().zip(cluster.nodes.values()) {
                if wanted.reboots > 0 {
                    node.runs = Runs::Release(release.clone());
                }
            }
            records.apply(&[put_any(&observed).unwrap()]).unwrap();
        };
        assert!(turn(&records).unwrap());
        assert!(turn(&records).unwrap());
        assert_eq!(reboots(), [1, 0, 0], "one at a time");
        obey();
        assert!(turn(&records).unwrap());
        assert_eq!(reboots(), [1, 1, 0]);
        let stopped = UpdateAction { stopped_ms: Some(6), ..action.clone() };
        records.apply(&[put_any(&stopped).unwrap()]).unwrap();
        obey();
        assert!(!turn(&records).unwrap());
        assert_eq!(reboots(), [1, 1, 0], "it was stopped");
        records.apply(&[put_any(&action).unwrap()]).unwrap();
        turn(&records).unwrap();
        obey();
        assert!(!turn(&records).unwrap(), "all run it");
        assert_eq!(reboots(), [1, 1, 1]);
        records.apply(&[remove::<Cluster>(&cluster.id, Expect::Anything)]).unwrap();
        assert!(!turn(&records).unwrap());
        assert!(find::<UpdateAction>(&records, &action.id()).unwrap().is_none(), "it went with its cache");
    }
}
