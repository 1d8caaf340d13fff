//! When the fields of a hash die: field to deadline and back.
//!
//! It is a sorted set of fields with their deadlines as scores, and so packed while small, and a table with a tree when
//! grown: looking a field up is O(1), the earliest deadline comes first, and how many have passed is a rank.
//! It knows nothing of the hash beside it.

use super::{Digits, Limits, SortedSet};

/// The latest deadline of a field, in Unix milliseconds: 46 bits, the bound of Redis (the year 4199). A double holds it
/// exactly.
pub const FIELD_DEADLINE_MAX_MS: u64 = (1 << 46) - 1;

#[derive(Clone, Debug, Default)]
pub(super) struct Timetable {
    order: SortedSet,
    /// Deadline of the first field, so that asking whether anything is due costs no walk.
    earliest: Option<u64>,
}

impl Timetable {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.order.memory_bytes()
    }

    pub(super) fn earliest(&self) -> Option<u64> {
        self.earliest
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<u64> {
        self.order.score(field).map(|score| score as u64)
    }

    pub(super) fn insert(&mut self, field: &[u8], deadline: u64, limits: &Limits) {
        let deadline = deadline.min(FIELD_DEADLINE_MAX_MS);
        let old = self.order.insert(field, deadline as f64, limits);
        if old.is_some_and(|old| Some(old as u64) == self.earliest) {
            self.find_earliest();
        } else {
            self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        }
    }

    pub(super) fn remove(&mut self, field: &[u8]) {
        if self.order.remove(field).is_some_and(|old| Some(old as u64) == self.earliest) {
            self.find_earliest();
        }
    }

    fn find_earliest(&mut self) {
        self.earliest = self.order.select(0).map(|(_, score)| score as u64);
    }

    /// How many deadlines have passed.
    pub(super) fn due(&self, now_ms: u64) -> usize {
        self.order.partition_point(|score, _| score <= now_ms as f64)
    }

    /// Takes out at most `budget` fields that are due, in order; how many.
    pub(super) fn take_due(&mut self, now_ms: u64, budget: usize, mut gone: impl FnMut(&[u8])) -> usize {
        if self.earliest.is_none_or(|earliest| earliest > now_ms) {
            return 0;
        }
        let count = self.due(now_ms).min(budget);
        for (field, _) in self.order.iter().take(count) {
            gone(field.bytes(&mut Digits::new()));
        }
        self.order.remove_range(0, count);
        self.find_earliest();
        count
    }
}

#[cfg(test)]
mod tests;
