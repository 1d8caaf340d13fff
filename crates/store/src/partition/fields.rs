//! Fields of hashes with deadlines of their own: hiding and reclaiming them.
//!
//! A hash that has such fields is marked in its item. Whoever opens it, to read or to write, first removes what is due:
//! nobody behind the door meets a dead field, and each field costs its removal once. A hash nobody opens is visited
//! when its earliest field is due, as a key is when it is due itself: its table's deadlines are never later than that.

use super::bucket::Place;
use super::gone::Left;
use super::reclaim::{Due, Late};
use super::value::ValueMut;
use super::{ItemRef, Key, Now, Partition};

/// Fields removed per visit of a hash that nobody opened; the rest waits for the next round.
const FIELDS_PER_VISIT: usize = 256;

impl Partition {
    /// Says that a hash that is or was timed was changed in place, so that it is marked and visited when it has to be.
    /// Every change of a field's deadline needs it; a change that only removes deadlines may come without. O(1).
    pub fn fields_changed(&mut self, db: u16, key: &Key<'_>) {
        if let Some(place) = self.find(db, key) {
            self.settle(db, key.hash, place);
        }
    }

    /// Counts fields that were removed because they were given a deadline in the past.
    pub fn count_expired_fields(&mut self, fields: u64) {
        self.counters.expired_fields += fields;
    }

    /// Number of hashes of a database that have fields with deadlines.
    pub fn timed_len(&self, db: u16) -> usize {
        self.table(db).map_or(0, super::Table::timed)
    }

    /// Marks the hash at a place according to its fields, and makes sure of a visit in time.
    fn settle(&mut self, db: u16, hash: u32, place: Place) {
        let table = self.table_mut(db);
        let mut item = table.get_mut(place);
        let ValueMut::Hash(fields) = item.item().value_mut() else { return };
        let earliest = fields.earliest_deadline();
        table.mark_timed_fields(place, earliest.is_some());
        earliest.into_iter().for_each(|at| table.note_deadline(hash, at));
    }

    /// Removes at most `budget` fields that are due from the hash at a place.
    pub(super) fn purge(&mut self, db: u16, place: Place, now: Now, budget: usize) {
        self.save_first(db, place);
        let (mut names, wanted) = (Vec::new(), self.gone.is_wanted());
        let table = self.table_mut(db);
        let mut item = table.get_mut(place);
        let Some(fields) = item.item().timed_hash_mut() else { return };
        let removed = fields.purge(now.ms, budget, |field| {
            if wanted {
                names.push(field.into());
            }
        });
        self.counters.expired_fields += removed as u64;
        if removed == 0 || self.watches.is_empty() && !wanted {
            return;
        }
        let key: Option<Box<[u8]>> = self.table(db).map(|table| table.get(place).key().into());
        key.into_iter().for_each(|key| {
            self.watches.changed(db, &key);
            self.gone.note(db, &key, Left::Fields, std::mem::take(&mut names));
        });
    }

    /// Removes fields that are due from the hashes in the buckets of a leaf: a portion of one of them, because the leaf
    /// stays due while there are more. Takes the mark from hashes that have no deadlines any more.
    pub(super) fn expire_fields(&mut self, db: u16, leaf: usize, now: Now, late: &mut Late<'_>) {
        let due = |item: &ItemRef<'_>| item.timed_hash().is_some_and(|fields| fields.is_due(now.ms));
        let unsettled = |item: &ItemRef<'_>| {
            due(item) || item.timed_hash().is_some_and(|fields| fields.earliest_deadline().is_none())
        };
        while let Some((bucket, place)) = self.table(db).and_then(|table| table.find_due(leaf, unsettled)) {
            let first = self.table(db).and_then(|table| table.get(place).earliest_deadline());
            first
                .filter(|first| *first <= now.ms)
                .into_iter()
                .for_each(|first| late(Due::Fields, now.ms - first));
            self.purge(db, place, now, FIELDS_PER_VISIT);
            let more = due(&self.table_mut(db).get(place));
            self.settle(db, bucket, place);
            if more {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
