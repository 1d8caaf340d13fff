//! Keeps the list of events bounded: 14 days, and a number.

use crate::resource::event::{Event, KEPT_MAX, KEPT_MS, first_id_at};
use crate::state::{Expect, Page, Records, Resource, StateError, remove};

/// Most events that one sweep takes away, so that none is long.
const SWEPT_MAX: usize = 1_000;

/// Deletes events that are too old or too many. Answers how many it deleted.
pub(super) fn sweep(records: &dyn Records, now_ms: u64) -> Result<usize, StateError> {
    let all = records.list(Event::KIND, Page::default())?;
    let oldest_kept = first_id_at(now_ms.saturating_sub(KEPT_MS));
    let surplus = all.len().saturating_sub(KEPT_MAX);
    let is_due =
        |(index, record): &(usize, &crate::state::Record)| *index < surplus || record.id < oldest_kept;
    let due = all.iter().enumerate().take_while(is_due).take(SWEPT_MAX);
    let changes: Vec<_> = due.map(|(_, record)| remove::<Event>(&record.id, Expect::Anything)).collect();
    if !changes.is_empty() {
        records.apply(&changes)?;
    }
    Ok(changes.len())
}
