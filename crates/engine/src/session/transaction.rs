//! MULTI and WATCH, as a session remembers them.

use crate::command::Command;
use larder_protocol::resp::args::{Args, OwnedArgs};
use larder_protocol::slot::slot_of;
use larder_store::{Now, Store, Watcher};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Most bytes of queued arguments; beyond it the transaction is refused, so that a session cannot grow without end.
pub const QUEUED_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Bytes that a watched key takes beside its own, at either of the two places where it is noted.
const WATCHED_BYTES: usize = 48;

/// Commands between MULTI and EXEC.
#[derive(Default)]
pub struct Transaction {
    /// The commands in order.
    pub queued: Vec<(&'static Command, OwnedArgs)>,
    /// A command was refused while queueing: EXEC will refuse everything.
    pub aborted: bool,
    /// Memory was short when EXEC came, and some of the commands need it: EXEC will refuse everything.
    pub out_of_memory: bool,
    bytes: usize,
}

impl Transaction {
    /// Queues a command; false if there is no room for it.
    pub fn queue(&mut self, command: &'static Command, args: &Args<'_>) -> bool {
        let owned = OwnedArgs::copy(args.iter());
        self.bytes += owned.memory_bytes();
        self.queued.push((command, owned));
        self.bytes <= QUEUED_BYTES_MAX
    }

    /// Bytes of the queued arguments.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

/// The keys that a session watches.
#[derive(Default)]
pub struct Watching {
    watcher: Watcher,
    /// By database and key: whether it existed. If it did and does not at EXEC although nobody changed it, its time was over.
    keys: BTreeMap<(u16, Box<[u8]>), bool>,
    bytes: usize,
}

impl Watching {
    /// Number of watched keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes that the watches take, about. O(1).
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// True when nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Watches a key. Takes its partition's lock, so none may be held.
    pub fn add(&mut self, store: &Store, db: u16, bytes: &[u8], now: Now) {
        let Entry::Vacant(place) = self.keys.entry((db, bytes.into())) else { return };
        let key = store.key(bytes, slot_of(bytes));
        let mut partition = store.lock(store.partition_of(key.slot));
        place.insert(partition.watch(db, &key, &self.watcher, now));
        // Here, and at the partition.
        self.bytes += 2 * (bytes.len() + WATCHED_BYTES);
    }

    /// True when a watched key has changed. The partitions of the keys are not held, but a change marks the watcher
    /// before the partition is let go, so what is seen here under the locks of EXEC is final for the keys it locks.
    pub fn is_changed(&self) -> bool {
        self.watcher.is_changed()
    }

    /// The watched keys, with their database and whether they existed.
    pub fn keys(&self) -> impl Iterator<Item = (u16, &[u8], bool)> {
        self.keys.iter().map(|((db, key), existed)| (*db, &**key, *existed))
    }

    /// Ends all watches. Takes the partitions' locks, so none may be held.
    pub fn clear(&mut self, store: &Store) {
        for (db, bytes) in std::mem::take(&mut self.keys).into_keys() {
            let key = store.key(&bytes, slot_of(&bytes));
            store.lock(store.partition_of(key.slot)).unwatch(db, &key, &self.watcher);
        }
        self.bytes = 0;
        self.watcher = Watcher::default();
    }
}
