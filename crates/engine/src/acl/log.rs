//! The log of refusals (ACL LOG). Refusals of the same kind within a minute are one entry that counts them.

use super::permission::Reason;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long after its last refusal an entry takes another one, milliseconds.
const GROUPING_MS: u64 = 60_000;
/// Entries from the newest on that are looked at for one to count in.
const GROUPING_ENTRIES: usize = 10;

/// Where a refused command came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// From a client, by itself.
    TopLevel,
    /// Within MULTI.
    Multi,
}

impl Context {
    /// As ACL LOG calls it.
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
        }
    }
}

/// What was refused to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Where it came from.
    pub context: Context,
    /// The command, key or channel, or the command that should have authenticated.
    pub object: Vec<u8>,
    /// Who wanted it.
    pub user: Vec<u8>,
}

/// Refusals of one kind.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counts up from 0, and is never used again.
    pub id: u64,
    /// How many there were.
    pub count: u64,
    /// What they have in common.
    pub refusal: Refusal,
    /// The last caller, as CLIENT INFO describes it.
    pub client: String,
    /// Unix milliseconds of the first.
    pub created_ms: u64,
    /// Unix milliseconds of the last.
    pub updated_ms: u64,
}

#[derive(Debug, Default)]
struct Entries {
    /// The newest first.
    list: VecDeque<Entry>,
    next_id: u64,
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<Entries>,
    denied: [AtomicU64; 5],
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a refusal; at most `max` entries are kept.
    pub fn add(&self, refusal: Refusal, client: String, now_ms: u64, max: usize) {
        self.denied[refusal.reason as usize].fetch_add(1, Ordering::Relaxed);
        let mut entries = self.lock();
        let same = |entry: &Entry| {
            entry.refusal == refusal && now_ms.saturating_sub(entry.updated_ms) <= GROUPING_MS
        };
        let known = entries.list.iter().take(GROUPING_ENTRIES).position(same);
        let entry = match known.and_then(|at| entries.list.remove(at)) {
            Some(entry) => Entry { count: entry.count + 1, client, updated_ms: now_ms, ..entry },
            None => {
                let id = entries.next_id;
                entries.next_id += 1;
                Entry { id, count: 1, refusal, client, created_ms: now_ms, updated_ms: now_ms }
            }
        };
        entries.list.push_front(entry);
        entries.list.truncate(max);
    }

    /// The newest entries.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.lock().list.iter().take(count).cloned().collect()
    }

    /// Forgets the entries.
    pub fn clear(&self) {
        self.lock().list.clear();
    }

    /// Drops the oldest entries beyond a number.
    pub fn shrink(&self, max: usize) {
        self.lock().list.truncate(max);
    }

    /// Refusals ever, for INFO.
    pub fn denied(&self, reason: Reason) -> u64 {
        self.denied[reason as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &str, reason: Reason) -> Refusal {
        Refusal { reason, context: Context::TopLevel, object: object.into(), user: b"u".to_vec() }
    }

    #[test]
    fn the_same_refusal_within_a_minute_is_counted_and_comes_to_the_front() {
        let log = Log::default();
        log.add(refusal("get", Reason::Command), "a".into(), 1000, 10);
        log.add(refusal("set", Reason::Command), "b".into(), 2000, 10);
        log.add(refusal("get", Reason::Command), "c".into(), 61_000, 10);
        let entries = log.newest(9);
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].id, entries[0].count, entries[0].client.as_str()), (0, 2, "c"));
        assert_eq!((entries[0].created_ms, entries[0].updated_ms), (1000, 61_000));
        log.add(refusal("get", Reason::Command), "d".into(), 121_001, 10);
        assert_eq!(log.newest(9).len(), 3);
        assert_eq!(log.newest(9)[0].id, 2);
        assert_eq!(log.denied(Reason::Command), 4);
    }

    #[test]
    fn other_reasons_and_contexts_are_other_entries() {
        let log = Log::default();
        log.add(refusal("x", Reason::Key), String::new(), 0, 10);
        log.add(refusal("x", Reason::Channel), String::new(), 0, 10);
        let multi = Refusal { context: Context::Multi, ..refusal("x", Reason::Key) };
        log.add(multi, String::new(), 0, 10);
        assert_eq!(log.newest(9).len(), 3);
    }

    #[test]
    fn the_oldest_are_dropped() {
        let log = Log::default();
        for n in 0..5 {
            log.add(refusal(&n.to_string(), Reason::Key), String::new(), n, 3);
        }
        assert_eq!(log.newest(9).iter().map(|entry| entry.id).collect::<Vec<_>>(), [4, 3, 2]);
        log.shrink(1);
        assert_eq!(log.newest(9).len(), 1);
        log.add(refusal("y", Reason::Key), String::new(), 9, 0);
        assert!(log.newest(9).is_empty());
        log.clear();
    }
}
