//! Events, as they happen, in the service's own log: whoever watches the terminal sees what the API would tell.

use std::sync::Arc;
use std::time::Duration;

use crate::resource::event::{Event, first_id_at};
use crate::state::{Page, Records, Resource, StateError, list};

/// How far back a look goes. An event is written at once, so its date is never older than a slow disk explains.
const LOOK_BACK_MS: u64 = 60_000;
/// How long a look waits for more events.
const TOGETHER: Duration = Duration::from_millis(100);

/// Writes every event from now on to the log, until dropped. `clock` answers Unix milliseconds.
pub async fn follow(records: Arc<dyn Records>, clock: fn() -> u64) {
    let mut changes = records.watch(Event::KIND);
    let mut last = fresh(&*records, clock(), 0).map_or(0, |events| newest(&events, 0));
    while changes.changed().await.is_ok() {
        // Many that come together are read together: each look reads all of the last minute.
        tokio::time::sleep(TOGETHER).await;
        changes.borrow_and_update();
        match fresh(&*records, clock(), last) {
            Ok(events) => {
                last = newest(&events, last);
                for (_, event) in events {
                    tracing::info!("{}: {}", event.source_id, event.message);
                }
            }
            Err(error) => tracing::warn!("reading the events: {error}"),
        }
    }
}

/// Events that were written after the revision `last`, in the order in which they were written.
fn fresh(records: &dyn Records, now_ms: u64, last: u64) -> Result<Vec<(u64, Event)>, StateError> {
    written_after(records, now_ms.saturating_sub(LOOK_BACK_MS), last)
}

/// Events from that time on that were written after the revision `last`, in the order in which they were written.
///
/// # Errors
/// If a record cannot be read.
pub(crate) fn written_after(
    records: &dyn Records,
    from_ms: u64,
    last: u64,
) -> Result<Vec<(u64, Event)>, StateError> {
    let after = first_id_at(from_ms);
    let stored = list::<Event>(records, Page { after: Some(&after), ..Page::default() })?;
    let written = stored.into_iter().map(|stored| (stored.revision, stored.value));
    let mut events: Vec<_> = written.filter(|(revision, _)| *revision > last).collect();
    events.sort_by_key(|(revision, _)| *revision);
    Ok(events)
}

fn newest(events: &[(u64, Event)], last: u64) -> u64 {
    events.last().map_or(last, |(revision, _)| *revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::event::SourceType;
    use crate::state::{FileRecords, create};

    #[test]
    fn each_event_is_told_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let records = FileRecords::open(folder.path()).unwrap();
        // The second has the smaller id: the order of ids within a millisecond is chance.
        let write = |sequence: u64, message: &str| {
            let event = Event {
                date_ms: 100_000,
                sequence,
                source_id: "sessions".to_owned(),
                source_type: SourceType::CacheCluster,
                message: message.to_owned(),
                topic: None,
            };
            records.apply(&[create(&event).unwrap()]).unwrap();
        };
        write(9, "first");
        write(1, "second");
        let events = fresh(&records, 100_000, 0).unwrap();
        let messages: Vec<&str> = events.iter().map(|(_, event)| event.message.as_str()).collect();
        assert_eq!(messages, ["first", "second"]);
        let last = newest(&events, 0);
        assert!(fresh(&records, 100_000, last).unwrap().is_empty());
        write(5, "third");
        assert_eq!(fresh(&records, 100_000, last).unwrap()[0].1.message, "third");
    }
}
