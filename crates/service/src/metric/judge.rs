//! Looking at all alarms, and at what their metrics have been.

use std::collections::BTreeMap;

use super::alarm::Alarm;
use super::{MetricStore, NAMESPACE, Point, catalogue};
use crate::resource::node::Observed;
use crate::state::{Records, StateError, find, list_all, replace};

/// Values of a metric by the beginning of their period, in Unix seconds.
///
/// `CacheClusterId` with `CacheNodeId` names a node; without it, all nodes of the cluster together.
///
/// # Errors
/// If a disk fails.
pub(crate) fn values(
    records: &dyn Records,
    store: &MetricStore,
    metric: u8,
    dimensions: &[(String, String)],
    range: std::ops::Range<u64>,
    period: u64,
) -> Result<BTreeMap<u64, Point>, StateError> {
    let mut joined: BTreeMap<u64, Point> = BTreeMap::new();
    for node in nodes(records, dimensions)? {
        for (minute, point) in
            store.points(&node, metric, range.start.div_ceil(60), range.end.div_ceil(60))?
        {
            let begin = minute * 60 / period * period;
            let present = joined.get(&begin).copied();
            joined.insert(begin, present.map_or(point, |present| present.join(point)));
        }
    }
    Ok(joined)
}

/// The nodes that dimensions name, also of clusters that are gone if the node is named.
fn nodes(records: &dyn Records, dimensions: &[(String, String)]) -> Result<Vec<String>, StateError> {
    let get =
        |wanted: &str| dimensions.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let known = dimensions.iter().all(|(name, _)| matches!(name.as_str(), "CacheClusterId" | "CacheNodeId"));
    match (get("CacheClusterId"), get("CacheNodeId"), known) {
        (Some(cluster), Some(node), true) => Ok(vec![format!("{cluster}/{node}")]),
        (Some(cluster), None, true) => {
            let observed = find::<Observed>(records, cluster)?.map(|stored| stored.value.nodes);
            let nodes = observed.unwrap_or_default();
            Ok(nodes.keys().map(|node| format!("{cluster}/{node}")).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Sets the states of all alarms by their latest values.
///
/// # Errors
/// If a disk fails.
pub(super) fn judge_all(records: &dyn Records, store: &MetricStore, now_ms: u64) -> Result<(), StateError> {
    for stored in list_all::<Alarm>(records)? {
        let mut alarm = stored.value;
        let now = now_ms / 1000;
        let end = now / alarm.period * alarm.period;
        let begin = end.saturating_sub(alarm.period * alarm.evaluation_periods as u64);
        let found = match catalogue::find(&alarm.metric).filter(|_| alarm.namespace == NAMESPACE) {
            Some((metric, _)) => values(records, store, metric, &alarm.dimensions, begin..end, alarm.period)?,
            None => BTreeMap::new(),
        };
        let latest: Vec<Option<f64>> = (0..alarm.evaluation_periods as u64)
            .map(|n| found.get(&(begin + n * alarm.period))?.statistic(&alarm.statistic))
            .collect();
        let (state, reason) = alarm.judge(&latest);
        if state == alarm.state {
            continue;
        }
        tracing::info!(alarm = alarm.name, from = alarm.state, to = state, "an alarm changed its state");
        (alarm.state, alarm.reason) = (state, reason);
        (alarm.state_ms, alarm.changed_ms) = (now_ms, now_ms);
        match records.apply(&[replace(&alarm, stored.revision)?]) {
            Err(StateError::Conflict { .. }) => {} // changed by a call meanwhile: the next round judges it
            other => drop(other?),
        }
    }
    Ok(())
}
