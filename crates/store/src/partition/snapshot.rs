//! Snapshots: all keys as they were at one instant, while the keyspace goes on changing.
//!
//! At the cut, with all partitions held, each partition turns its *generation* over: a bit that every item has in its
//! slot of the table. From then on an item whose bit is the old one has not been saved. Who is about to change, replace
//! or remove such an item saves it first, as it still is; what is new is born with the new generation; and a walk over
//! the table saves the rest, a bucket at a time, at the positions of bit-reversed hash space that SCAN uses, so that
//! growing and shrinking tables lose nothing. Each item is saved exactly once, in no particular order. A database that
//! is emptied meanwhile gives its table to the walk, which takes it apart; a database that is exchanged takes its
//! position along, and the number that it had at the cut.
//!
//! Nothing is copied and nobody forks: what a snapshot costs is the buffer of what is saved but not yet written. Without
//! a snapshot a change pays one branch, a read nothing.
//!
//! Invariant: while no snapshot is taken, every slot's bit is the partition's generation.

use super::bucket::Place;
use super::item::Item;
use super::table::{GENERATION, Table};
use super::value::{Extras, ValueRef};
use super::{Cleared, Image, Partition, Removed};
use std::fmt;
use std::sync::Arc;

/// Bytes of items that are saved at once. A key with more of them comes alone.
const STEP_BYTES: usize = 2048;

/// Who is given the items of a snapshot, each once. It is called while the item's partition is held.
pub trait Saver: fmt::Debug + Send + Sync {
    /// Takes what it needs of an item: the item may be gone when this returns.
    fn save(&self, entry: &Entry<'_>);
}

/// An item as it was at the cut.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The database that it was in.
    pub db: u16,
    item: &'a Item,
}

impl<'a> Entry<'a> {
    /// The key.
    pub fn key(&self) -> &'a [u8] {
        self.item.key()
    }

    /// The value.
    pub fn value(&self) -> ValueRef<'a> {
        self.item.value()
    }

    /// Deadline, flags and CAS.
    pub fn extras(&self) -> Extras {
        self.item.extras()
    }

    /// The 24-bit access word.
    pub fn access(&self) -> u32 {
        self.item.access()
    }

    /// A large value, shared instead of copied: whoever changes the key meanwhile changes a copy of the parts that it
    /// touches (of a string, of the whole).
    pub fn share(&self) -> Option<Image> {
        let string = self.item.share_long().map(Image::String);
        string.or_else(|| Image::of_collection(&self.item.value()))
    }

    /// About as many bytes as the key costs. O(1).
    pub fn approximate_bytes(&self) -> usize {
        self.item.approximate_bytes()
    }
}

/// How far the walk has come in a database.
#[derive(Debug)]
struct Walk {
    /// The number that the database had at the cut.
    origin: u16,
    /// Where to go on; none when all is saved.
    position: Option<u32>,
}

/// A snapshot that a partition takes part in.
#[derive(Debug)]
pub(super) struct Saving {
    saver: Arc<dyn Saver>,
    /// By the number that each database has now.
    walks: Vec<Walk>,
    /// What databases that were emptied held, with the numbers they had at the cut.
    cleared: Vec<(u16, Table)>,
}

impl Saving {
    fn walk(&mut self, db: u16) -> &mut Walk {
        let have = self.walks.len();
        if have <= db.into() {
            let none = (have as u16..=db).map(|origin| Walk { origin, position: None });
            self.walks.extend(none);
        }
        &mut self.walks[usize::from(db)]
    }
}

impl Partition {
    /// Begins a snapshot: what is here now is what will be saved. False if one is being taken already. To be called for
    /// all partitions while all are held: that is the instant of the snapshot.
    pub fn begin_saving(&mut self, saver: &Arc<dyn Saver>) -> bool {
        if self.saving.is_some() {
            return false;
        }
        if self.is_empty() {
            return true;
        }
        self.generation ^= GENERATION;
        let tables = std::iter::once(&self.first).chain(&self.more);
        let walks =
            tables.zip(0..).map(|(table, origin)| Walk { origin, position: (table.len() > 0).then_some(0) });
        let walks = walks.collect();
        self.saving = Some(Box::new(Saving { saver: saver.clone(), walks, cleared: Vec::new() }));
        true
    }

    /// True while there is something left to save.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Saves items until nothing is left or `go_on`, asked after each bucket and after each [`STEP_BYTES`] of items, says no.
    /// True when all is saved.
    /// What an emptied database held is given to `free` once it is saved.
    pub fn save_some(&mut self, go_on: &mut dyn FnMut() -> bool, free: &mut dyn FnMut(Removed)) -> bool {
        let Some(mut saving) = self.saving.take() else { return true };
        let (saver, generation) = (saving.saver.clone(), self.generation);
        while let Some((origin, table)) = saving.cleared.last_mut() {
            let db = *origin;
            let more = table.dismantle(generation, |item, unsaved| {
                if unsaved {
                    saver.save(&Entry { db, item: &item });
                }
                free(Removed(item));
            });
            if !more {
                saving.cleared.pop();
            }
            if !go_on() {
                self.saving = Some(saving);
                return false;
            }
        }
        for db in 0..saving.walks.len() {
            let Walk { origin, position } = &mut saving.walks[db];
            let db_at_cut = *origin;
            while let Some(at) = *position {
                let table = self.table_mut(db as u16);
                let mut bytes = 0;
                *position = table.sweep(at, generation, |item| {
                    saver.save(&Entry { db: db_at_cut, item });
                    bytes += item.approximate_bytes();
                    bytes < STEP_BYTES
                });
                if !go_on() {
                    self.saving = Some(saving);
                    return false;
                }
            }
        }
        true
    }

    /// Gives the snapshot of this saver up, if it is being taken. O(buckets): items are not touched.
    pub fn stop_saving(&mut self, saver: &dyn Saver) -> Vec<Cleared> {
        let theirs = |saving: &mut Box<Saving>| std::ptr::addr_eq(Arc::as_ptr(&saving.saver), saver);
        let Some(saving) = self.saving.take_if(theirs) else { return Vec::new() };
        let generation = self.generation;
        for (db, mut walk) in saving.walks.into_iter().enumerate() {
            while let Some(at) = walk.position {
                walk.position = self.table_mut(db as u16).sweep(at, generation, |_| true);
            }
        }
        saving.cleared.into_iter().map(|(_, table)| Cleared(table)).collect()
    }

    /// Saves the item at a place if a snapshot has not got it yet: called before anything happens to it.
    #[inline]
    pub(super) fn save_first(&mut self, db: u16, place: Place) {
        if self.saving.is_some() {
            self.save_now(db, place);
        }
    }

    #[cold]
    #[inline(never)]
    fn save_now(&mut self, db: u16, place: Place) {
        let generation = self.generation;
        let Some(mut saving) = self.saving.take() else { return };
        if let Some(item) = self.table_mut(db).renew(place, generation) {
            let db = saving.walk(db).origin;
            saving.saver.save(&Entry { db, item: item.item() });
        }
        self.saving = Some(saving);
    }

    /// Keeps what an emptied database held, if a snapshot still needs it; gives back what is to be dropped.
    pub(super) fn save_cleared(&mut self, db: u16, table: Table) -> Table {
        let Some(saving) = &mut self.saving else { return table };
        let walk = saving.walk(db);
        match walk.position.take() {
            Some(_) => {
                let origin = walk.origin;
                saving.cleared.push((origin, table));
                Table::new(self.epoch_ms)
            }
            None => table,
        }
    }

    /// Two databases were exchanged: the walks go with them.
    pub(super) fn save_swapped(&mut self, low: u16, high: u16) {
        if let Some(saving) = &mut self.saving {
            saving.walk(high);
            saving.walks.swap(low.into(), high.into());
        }
    }
}

#[cfg(test)]
mod tests;
