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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::event::SourceType;
    use crate::state::{FileRecords, create, list_all};

    fn event(date_ms: u64, sequence: u64) -> Event {
        let (source_id, message) = ("a".to_owned(), "m".to_owned());
        Event { date_ms, sequence, source_id, source_type: SourceType::CacheCluster, message, topic: None }
    }

    fn store(records: &FileRecords, events: impl Iterator<Item = Event>) {
        let changes: Vec<_> = events.map(|event| create(&event).unwrap()).collect();
        records.apply(&changes).unwrap();
    }

    #[test]
    fn old_events_go_and_young_ones_stay() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let now_ms = 100 * KEPT_MS;
        store(
            &records,
            [0, now_ms - KEPT_MS - 1, now_ms - KEPT_MS, now_ms].into_iter().map(|at| event(at, 1)),
        );
        assert_eq!(sweep(&records, now_ms).unwrap(), 2);
        let kept: Vec<u64> = list_all::<Event>(&records).unwrap().iter().map(|e| e.value.date_ms).collect();
        assert_eq!(kept, [now_ms - KEPT_MS, now_ms]);
        assert_eq!(sweep(&records, now_ms).unwrap(), 0);
    }

    #[test]
    fn the_oldest_of_too_many_go_a_bounded_number_at_a_time() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let surplus = SWEPT_MAX + 5;
        store(&records, (0..(KEPT_MAX + surplus) as u64).map(|n| event(7, n)));
        assert_eq!([(); 3].map(|()| sweep(&records, 7).unwrap()), [SWEPT_MAX, 5, 0]);
        assert_eq!(list_all::<Event>(&records).unwrap()[0].value.sequence, surplus as u64);
    }
}
