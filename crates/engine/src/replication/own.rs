//! Keys with a deadline that were written on a replica itself (`replica-read-only no`).
//!
//! A replica lets no key die by itself: its primary says when. Of these its primary knows nothing, so the replica remembers
//! which they are, and ends them. Beyond a bound they are only hidden, as all dead keys of a replica are.

use crate::node::Node;
use crate::notify;
use larder_protocol::slot::slot_of;
use larder_store::Now;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys that are remembered.
const KEYS_MAX: usize = 1 << 20;
/// Bytes of their names.
const BYTES_MAX: usize = 64 << 20;
/// Keys that end in one round.
const KEYS_PER_ROUND: usize = 128;

type Name = (u16, Arc<[u8]>);

#[derive(Debug, Default)]
struct All {
    deadlines: HashMap<Name, u64>,
    due: BTreeSet<(u64, u16, Arc<[u8]>)>,
    bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Own {
    all: Mutex<All>,
    /// The first deadline, Unix milliseconds.
    next_ms: AtomicU64,
}

impl Default for Own {
    fn default() -> Own {
        Own { all: Mutex::default(), next_ms: AtomicU64::new(u64::MAX) }
    }
}

impl Own {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_next(&self, all: &All) {
        self.next_ms.store(all.due.first().map_or(u64::MAX, |(at, ..)| *at), Ordering::Relaxed);
    }

    /// A key got this deadline here, or has none any more.
    pub fn note(&self, db: u16, key: &[u8], deadline: Option<u64>) {
        let mut all = self.lock();
        let name: Name = (db, key.into());
        if let Some(before) = all.deadlines.remove(&name) {
            all.due.remove(&(before, db, name.1.clone()));
            all.bytes -= key.len();
        }
        if let Some(deadline) = deadline
            && all.deadlines.len() < KEYS_MAX
            && all.bytes + key.len() <= BYTES_MAX
        {
            all.bytes += key.len();
            all.due.insert((deadline, db, name.1.clone()));
            all.deadlines.insert(name, deadline);
        }
        self.find_next(&all);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().deadlines.len()
    }

    /// There are none any more: the node leads, or has other keys.
    pub fn clear(&self) {
        let mut all = self.lock();
        *all = All::default();
        self.find_next(&all);
    }

    /// Takes some whose time is over.
    fn take_due(&self, now_ms: u64) -> Vec<(u64, Name)> {
        if self.next_ms.load(Ordering::Relaxed) > now_ms {
            return Vec::new();
        }
        let mut all = self.lock();
        let mut taken = Vec::new();
        while taken.len() < KEYS_PER_ROUND
            && all.due.first().is_some_and(|(at, ..)| *at <= now_ms)
            && let Some((deadline, db, key)) = all.due.pop_first()
        {
            all.bytes -= key.len();
            let name = (db, key);
            all.deadlines.remove(&name);
            taken.push((deadline, name));
        }
        self.find_next(&all);
        taken
    }
}

/// Ends some of the keys whose time is over, on a worker.
pub fn expire(node: &Node, worker: usize, now: Now) {
    for (deadline, (db, key)) in node.replication.own.take_due(now.ms) {
        let key = node.store.key(&key, slot_of(&key));
        let mut partition = node.store.lock(node.store.partition_of(key.slot));
        // What the primary made of the key meanwhile is the primary's.
        let ours =
            partition.peek(db, &key, Now { ms: 0 }).is_some_and(|item| item.deadline() == Some(deadline));
        if ours {
            partition.bury_kept(db, &key, now);
            notify::expired(node, worker, partition.take_gone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(own: &Own, now_ms: u64) -> Vec<(u64, u16, Vec<u8>)> {
        own.take_due(now_ms).into_iter().map(|(at, (db, key))| (at, db, key.to_vec())).collect()
    }

    #[test]
    fn the_last_deadline_of_a_key_counts() {
        let own = Own::default();
        own.note(0, b"a", Some(10));
        own.note(1, b"a", Some(20));
        own.note(0, b"b", Some(1));
        own.note(0, b"a", Some(30));
        own.note(0, b"b", None);
        assert_eq!((own.count(), due(&own, 19)), (2, vec![]));
        assert_eq!(due(&own, 30), [(20, 1, b"a".to_vec()), (30, 0, b"a".to_vec())]);
        assert_eq!((own.count(), due(&own, u64::MAX)), (0, vec![]));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let own = Own::default();
        let long = vec![b'x'; BYTES_MAX];
        own.note(0, &long, Some(1));
        own.note(0, b"a", Some(1));
        assert_eq!(own.count(), 1);
        own.clear();
        own.note(0, b"a", Some(1));
        assert_eq!(due(&own, 1).len(), 1);
    }
}
