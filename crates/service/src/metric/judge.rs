//! Looking at all alarms, and at what their metrics have been.

use super::MetricStore;
use super::alarm::Alarm;
use super::query::{self, QueryError};
use crate::state::{Records, StateError, list_all, replace};

/// Sets the states of all alarms by their latest values.
///
/// # Errors
/// If a disk fails.
pub(super) fn judge_all(records: &dyn Records, store: &MetricStore, now_ms: u64) -> Result<(), StateError> {
    for stored in list_all::<Alarm>(records)? {
        let mut alarm = stored.value;
        let now = now_ms / 1000;
        let queries = alarm.queries();
        let period = query::period(&queries);
        let end = now / period * period;
        let begin = end.saturating_sub(period * alarm.evaluation_periods as u64);
        let found = match query::evaluate(records, store, &queries, begin..end) {
            Ok(found) => found,
            Err(QueryError::State(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(alarm = alarm.name, "cannot be judged: {error}");
                Vec::new()
            }
        };
        let series =
            found.into_iter().next().and_then(|(_, series)| series.into_iter().next()).unwrap_or_default();
        let latest: Vec<Option<f64>> = (0..alarm.evaluation_periods as u64)
            .map(|n| series.values.get(&(begin + n * period)).copied())
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
