//! A stream: entries in order of their ids, in compact nodes, with consumer groups.
//!
//! Ids only grow, so entries are only ever added at the end. A node keeps ids as differences to its first one and
//! names its first entry's fields once. It knows no clock: times are handed in.

mod group;
mod ids;
mod node;

use super::shared::Shared;
pub use group::{Consumer, Group, Pending};
pub use ids::Ids;
use node::Node;
use std::collections::{BTreeMap, VecDeque};

/// Most bytes that a node has room for before they are needed.
const ROOM_MAX_BYTES: usize = 16 << 10;

/// The id of an entry: milliseconds and a number within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Unix milliseconds, by custom.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl Id {
    /// The smallest id.
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    /// The largest id.
    pub const MAX: Id = Id { ms: u64::MAX, seq: u64::MAX };

    /// The next id, if there is one.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id before, if there is one.
    pub fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// What may be removed by a trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// Keep at most so many entries.
    Length(u64),
    /// Keep entries with at least this id.
    Lowest(Id),
}

/// An entry: its id, then its fields and values in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its id.
    pub id: Id,
    /// Fields and values in turn.
    pub parts: Vec<&'a [u8]>,
}

/// A stream value.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    nodes: VecDeque<Shared<Node>>,
    len: u64,
    /// The largest id that was ever added, or what XSETID said.
    pub last_id: Id,
    /// The largest id that was ever deleted.
    pub max_deleted_id: Id,
    /// How many entries were ever added.
    pub entries_added: u64,
    /// Consumer groups by name.
    pub groups: BTreeMap<Box<[u8]>, Group>,
}

impl Stream {
    /// Number of entries. O(1).
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// True if it has no entries; it may still have groups.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes that the value holds beside its own size. O(nodes + groups).
    pub fn memory_bytes(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(|node| size_of::<Node>() + node.memory_bytes()).sum();
        let groups =
            self.groups.iter().map(|(name, group)| name.len() + size_of::<Group>() + group.memory_bytes());
        self.nodes.capacity() * size_of::<Shared<Node>>() + nodes + groups.sum::<usize>()
    }

    /// Adds an entry. False if its id is not above the last one. Zero limits are none. O(parts).
    pub fn add(&mut self, id: Id, parts: &[&[u8]], max_bytes: usize, max_entries: usize) -> bool {
        if id <= self.last_id {
            return false;
        }
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let fits = self.nodes.back().is_some_and(|node| {
            (max_bytes == 0 || node.size_bytes() + size < max_bytes)
                && (max_entries == 0 || node.written() < max_entries)
        });
        if !fits {
            // Nodes of a stream are much alike: as much room as the last one took spares growing step by step, which
            // would leave memory of every size behind.
            let bytes = self.nodes.back_mut().map_or(0, |node| {
                node.seal();
                node.entries_bytes().min(ROOM_MAX_BYTES)
            });
            self.nodes.push_back(Shared::new(Node::new(id, parts, bytes)));
        }
        if let Some(node) = self.nodes.back_mut() {
            node.push(id, parts);
        }
        self.len += 1;
        self.last_id = id;
        self.entries_added += 1;
        true
    }

    /// The first node that may hold `id` or something after it.
    fn node_of(&self, id: Id) -> usize {
        self.nodes.partition_point(|node| node.first() <= id).saturating_sub(1)
    }

    /// Visits entries from `low` to `high`, both included, until `visit` says false. O(log(nodes) + visited).
    pub fn range(&self, low: Id, high: Id, visit: &mut dyn FnMut(Entry<'_>) -> bool) {
        for node in self.nodes.range(self.node_of(low).min(self.nodes.len())..) {
            if node.first() > high || !node.forward(low, high, visit) {
                return;
            }
        }
    }

    /// The same from `high` down to `low`.
    pub fn range_back(&self, low: Id, high: Id, visit: &mut dyn FnMut(Entry<'_>) -> bool) {
        let end = self.nodes.partition_point(|node| node.first() <= high);
        for node in self.nodes.range(..end).rev() {
            if !node.backward(low, high, visit) || node.first() < low {
                return;
            }
        }
    }

    /// True if there is an entry with this id.
    pub fn contains(&self, id: Id) -> bool {
        let mut found = false;
        self.range(id, id, &mut |_| {
            found = true;
            false
        });
        found
    }

    /// Id of the first entry.
    pub fn first_id(&self) -> Option<Id> {
        let mut first = None;
        self.range(Id::MIN, Id::MAX, &mut |entry| {
            first = Some(entry.id);
            false
        });
        first
    }

    /// Removes an entry; false if there is none.
    pub fn remove(&mut self, id: Id) -> bool {
        let at = self.node_of(id);
        let Some(node) = self.nodes.get_mut(at) else { return false };
        if !node.mark(id) {
            return false;
        }
        if node.live() == 0 {
            self.nodes.remove(at);
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        true
    }

    /// Removes old entries: with `whole`, only whole nodes and at most `limit` entries (0: no limit). Gives how many.
    pub fn trim(&mut self, trim: Trim, whole: bool, limit: u64) -> u64 {
        let mut removed = 0;
        while let Some(node) = self.nodes.front() {
            let live = node.live() as u64;
            let goes = match trim {
                Trim::Length(most) => self.len - live.min(self.len) >= most && self.len > most,
                Trim::Lowest(lowest) => node.last() < lowest,
            };
            if !goes || (limit > 0 && removed + live > limit) {
                break;
            }
            self.len -= live;
            removed += live;
            self.nodes.pop_front();
        }
        if !whole {
            removed += self.trim_entries(trim);
        }
        removed
    }

    /// Removes old entries of the first node, which has to stay.
    fn trim_entries(&mut self, trim: Trim) -> u64 {
        let mut old = Vec::new();
        let excess = match trim {
            Trim::Length(most) => self.len.saturating_sub(most),
            Trim::Lowest(_) => u64::MAX,
        };
        if let Some(node) = self.nodes.front() {
            node.forward(Id::MIN, Id::MAX, &mut |entry| {
                let goes = (old.len() as u64) < excess
                    && !matches!(trim, Trim::Lowest(lowest) if entry.id >= lowest);
                if goes {
                    old.push(entry.id);
                }
                goes
            });
        }
        if let Some(node) = self.nodes.front_mut() {
            self.len -= old.iter().filter(|id| node.mark(**id)).count() as u64;
            if node.live() == 0 {
                self.nodes.pop_front();
            }
        }
        old.len() as u64
    }

    /// True if an entry at or after `from` was deleted, as far as the largest deleted id tells. An empty stream has no
    /// gaps.
    pub fn has_gap_from(&self, from: Id) -> bool {
        self.len > 0 && self.max_deleted_id != Id::MIN && from <= self.max_deleted_id
    }

    /// True if all entries are after this id. O(1), unless the first ones were deleted.
    pub fn begins_after(&self, id: Id) -> bool {
        match self.nodes.front() {
            Some(node) if id < node.first() => true,
            Some(node) if node.is_whole() => false,
            _ => self.first_id().is_none_or(|first| id < first),
        }
    }

    /// How many entries had been added up to `id`, if that can be told.
    pub fn added_up_to(&self, id: Id) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != Id::MIN && id < self.max_deleted_id {
            return None;
        }
        if id == self.last_id {
            return Some(self.entries_added);
        }
        if id > self.last_id {
            return None;
        }
        let first = self.first_id()?;
        if self.max_deleted_id == Id::MIN || self.max_deleted_id < first {
            if id < first {
                return Some(self.entries_added - self.len);
            }
            if id == first {
                return Some(self.entries_added - self.len + 1);
            }
        }
        None
    }

    /// How many entries a group has yet to read, if that can be told. Less than none if somebody said so (ENTRIESREAD).
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        match group.entries_read {
            Some(read) if !self.has_gap_from(group.last_id) => {
                Some((self.entries_added as i64).wrapping_sub(read as i64))
            }
            _ => Some((self.entries_added - self.added_up_to(group.last_id)?) as i64),
        }
    }
}

#[cfg(test)]
mod tests;
