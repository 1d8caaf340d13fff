//! Consumer groups: who was given which entry, and when.

use super::ids::Ids;
use super::{Id, Stream};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An entry that was given out and not yet acknowledged.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Whose it is.
    pub consumer: Arc<[u8]>,
    /// When it was given out last: Unix milliseconds.
    pub delivered_ms: u64,
    /// How often it was given out.
    pub count: u64,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name, shared with what is pending for it.
    pub name: Arc<[u8]>,
    /// When it last asked: Unix milliseconds.
    pub seen_ms: u64,
    /// When it last got something: Unix milliseconds.
    pub active_ms: Option<u64>,
    /// What is pending for it.
    pub pending: Ids<()>,
}

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last id that was given out.
    pub last_id: Id,
    /// How many entries were read up to it, if known.
    pub entries_read: Option<u64>,
    /// What is pending, by id.
    pub pending: Ids<Pending>,
    /// Consumers by name.
    pub consumers: BTreeMap<Arc<[u8]>, Consumer>,
}

impl Group {
    /// Bytes beside the group's own size. O(consumers and chunks of ids).
    pub fn memory_bytes(&self) -> usize {
        let ids: usize = self.consumers.values().map(|consumer| consumer.pending.memory_bytes()).sum();
        let names: usize = self.consumers.keys().map(|name| name.len() + size_of::<Consumer>()).sum();
        names + ids + self.pending.memory_bytes()
    }

    /// Makes a consumer; false if there is one.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: u64) -> bool {
        if self.consumers.contains_key(name) {
            return false;
        }
        let name: Arc<[u8]> = name.into();
        let consumer =
            Consumer { name: name.clone(), seen_ms: now_ms, active_ms: None, pending: Ids::default() };
        self.consumers.insert(name, consumer);
        true
    }

    /// Notes that an entry, the next one, is being given out. The stream is the group's own. Entries that went before
    /// the group came to them count as read, if that can be told.
    pub fn advance(&mut self, stream: &Stream, id: Id) {
        if id <= self.last_id {
            return;
        }
        self.entries_read = match self.entries_read {
            Some(read) if !stream.begins_after(self.last_id) && !stream.has_gap_from(id) => Some(read + 1),
            _ => stream.added_up_to(id),
        };
        self.last_id = id;
    }

    /// Gives an entry to a consumer that exists, taking it from who had it.
    pub fn assign(&mut self, id: Id, name: &[u8], delivered_ms: u64, count: u64) {
        self.acknowledge(id);
        if let Some(consumer) = self.consumers.get_mut(name) {
            consumer.pending.insert(id, ());
            self.pending.insert(id, Pending { consumer: consumer.name.clone(), delivered_ms, count });
        }
    }

    /// Forgets a pending entry; false if it was not pending.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        let Some(pending) = self.pending.remove(id) else { return false };
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.pending.remove(id);
        }
        true
    }

    /// Removes a consumer and what is pending for it; says how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(name)?;
        consumer.pending.iter().for_each(|(id, ())| drop(self.pending.remove(id)));
        Some(consumer.pending.len())
    }
}
