//! Fields of hashes with deadlines of their own: hiding and reclaiming them.
//!
//! A hash that has such fields is marked in its item. Whoever opens it, to read or to write, first removes what is due:
//! nobody behind the door meets a dead field, and each field costs its removal once. A hash nobody opens is visited
//! when its earliest field is due: its partition's deadlines hold an entry for it, as they do for a key.
//!
//! Invariant: the deadlines hold an entry for every marked hash, at the time that the hash itself remembers as its
//! next visit, which is not after its earliest deadline. A visit that comes too early looks and makes the next entry.

use super::gone::Left;
use super::item::ValueMut;
use super::table::Place;
use super::{Key, Now, Partition};
use crate::object::Hash;

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

    /// Prepares a hash for a new place: there is no visit of it yet.
    pub(super) fn adopt(&mut self, fields: &mut Hash, hash: u32) {
        let earliest = fields.earliest_deadline();
        fields.set_visit(earliest);
        self.register(earliest, hash);
    }

    /// Marks the hash at a place according to its fields, and makes sure of a visit in time.
    fn settle(&mut self, db: u16, hash: u32, place: Place) {
        let table = self.table_mut(db);
        let mut item = table.get_mut(place);
        let ValueMut::Hash(fields) = item.item().value_mut() else { return };
        let earliest = fields.earliest_deadline();
        let wanted = earliest.filter(|earliest| fields.visit().is_none_or(|visit| visit > *earliest));
        if wanted.is_some() || earliest.is_none() {
            fields.set_visit(wanted);
        }
        table.mark_timed_fields(place, earliest.is_some());
        self.register(wanted, hash);
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

    /// Visits the hashes with this hash of their key whose visit is due.
    pub(super) fn expire_fields(&mut self, db: u16, hash: u32, now: Now) {
        while let Some(place) = self.table(db).and_then(|table| {
            table.find_by_hash(hash, |item| {
                item.timed_hash().and_then(Hash::visit).is_some_and(|visit| visit <= now.ms)
            })
        }) {
            self.purge(db, place, now, FIELDS_PER_VISIT);
            let mut item = self.table_mut(db).get_mut(place);
            let Some(fields) = item.item().timed_hash_mut() else { return };
            let more = fields.is_due(now.ms);
            fields.set_visit(None);
            self.settle(db, hash, place);
            if more {
                return; // its entry is due already, and comes back to this bucket
            }
        }
    }
}

#[cfg(test)]
mod tests;
