//! One locked piece of the keyspace, and the only door to the keys in it.
//!
//! Whoever reads or writes a key comes through [`Partition`]: a dead key is hidden here, access and hits are noted
//! here, deadlines are registered for reclaiming here, and watchers are told here. A caller holds the partition's
//! lock (see [`crate::Store`]); time is handed in.
//!
//! In reading order: [`item`] (a key with its value), `table` (the index), [`expire`] (reclaiming), `fields` (of hashes,
//! with deadlines of their own), [`access`] (the clock of LRU and LFU), `density`, `departed` (why keys left), `watch`,
//! `snapshot`, `image` (large values for it).

pub mod access;
mod bucket;
pub(crate) mod density;
mod departed;
mod expire;
mod fields;
mod gone;
mod image;
pub mod item;
mod reclaim;
mod snapshot;
mod table;
pub mod value;
mod watch;

#[cfg(test)]
mod tests;

use crate::compact::Mover;
use crate::key::{Key, Seed};
use access::Access;
use bucket::Place;
use density::Densities;
use departed::Departed;
use departed::Departure;
pub use departed::Reason;
use gone::GoneList;
pub(crate) use gone::Keeping;
pub use gone::{Gone, Left};
pub use image::Image;
use item::Item;
pub use reclaim::Due;
use snapshot::Saving;
pub use snapshot::{Entry, Saver};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use table::{ItemMut, ItemRef};
pub(crate) use table::{Table, index_of};
use value::{Extras, Owned, Value};
pub use watch::Watcher;
use watch::Watches;

/// The time of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Unix time in milliseconds.
    pub ms: u64,
}

/// What a partition has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Of the misses, those of keys that are known to have left, by [`Reason`].
    pub missed: [u64; 4],
    /// Keys removed because their time was over.
    pub expired: u64,
    /// Fields of hashes removed because their time was over.
    pub expired_fields: u64,
    /// Keys removed to make room.
    pub evicted: u64,
    /// Of the expired keys, those whose value was never read: known where uses are noted by [`Access::Lru`].
    pub expired_unread: u64,
    /// The same of those removed to make room.
    pub evicted_unread: u64,
}

impl Counters {
    /// Adds what another partition has counted.
    pub fn add(&mut self, other: &Counters) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.missed.iter_mut().zip(other.missed).for_each(|(sum, missed)| *sum += missed);
        self.expired += other.expired;
        self.expired_fields += other.expired_fields;
        self.evicted += other.evicted;
        self.expired_unread += other.expired_unread;
        self.evicted_unread += other.evicted_unread;
    }
}

/// What all partitions of a store have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) densities: Densities,
    /// Keys that left of which a partition remembers why, at most.
    pub(crate) remembered: AtomicUsize,
}

impl Common {
    pub(crate) fn new(remembered: usize) -> Arc<Common> {
        Arc::new(Common { densities: Densities::new(), remembered: AtomicUsize::new(remembered) })
    }
}

/// A partition with few keys may remember this many that left.
const REMEMBERED_MIN: usize = 32;

/// Keys of a database that was emptied which a partition notes one by one.
const FLUSHED_NOTED_MAX: usize = 256;

/// A locked piece of the keyspace.
#[derive(Debug)]
#[repr(C)] // what every look-up reads comes first, then what every change reads
pub struct Partition {
    first: Table,
    /// Tables of the databases from 1 on, made when first written to.
    more: Vec<Table>,
    counters: Counters,
    watches: Watches,
    /// A snapshot that is being taken.
    saving: Option<Box<Saving>>,
    /// What every item's bit in the table is, but for those that a snapshot still has to save.
    generation: u64,
    epoch_ms: u64,
    seed: Seed,
    gone: GoneList,
    departed: Departed,
    common: Arc<Common>,
    /// Frees what is reclaimed.
    free: fn(Removed),
    /// How often two databases were exchanged.
    swaps: u64,
}

/// A key and its value, taken out of a partition. Dropping it frees the value, which may take long.
#[derive(Debug)]
pub struct Removed(Item);

impl Removed {
    /// The value.
    pub fn into_value(self) -> Owned {
        self.0.into_value()
    }

    /// The value, as it was.
    pub fn value(&self) -> crate::ValueRef<'_> {
        self.0.value()
    }

    /// The 24-bit access word.
    pub fn access(&self) -> u32 {
        self.0.access()
    }

    /// True if freeing it takes long: more than `members` members, or a long string.
    pub fn is_large(&self, members: usize) -> bool {
        self.0.is_large(members)
    }

    /// Bytes that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// Deadline, flags and CAS it had.
    pub fn extras(&self) -> Extras {
        self.0.extras()
    }
}

/// Everything that one database had in one partition; dropping it frees it.
#[derive(Debug)]
pub struct Cleared(Table);

impl Cleared {
    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Hints the processor to load what is at an address. Never faults, whatever the address.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching is a hint without effect on memory; any address may be given.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl Partition {
    pub(crate) fn new(
        seed: Seed,
        epoch_ms: u64,
        (telling, keeping): (Arc<AtomicBool>, Arc<Keeping>),
        common: Arc<Common>,
    ) -> Partition {
        Partition {
            first: Table::new(epoch_ms),
            more: Vec::new(),
            seed,
            epoch_ms,
            watches: Watches::default(),
            counters: Counters::default(),
            gone: GoneList::new(telling, keeping),
            departed: Departed::default(),
            common,
            free: drop,
            swaps: 0,
            generation: 0,
            saving: None,
        }
    }

    /// The same partition with another way to free what it reclaims.
    pub(crate) fn freeing(self, free: fn(Removed)) -> Partition {
        Partition { free, ..self }
    }

    pub(crate) fn first(&self) -> &Table {
        &self.first
    }

    #[inline]
    pub(crate) fn table(&self, db: u16) -> Option<&Table> {
        match db {
            0 => Some(&self.first),
            _ => self.more.get(db as usize - 1),
        }
    }

    #[inline(always)]
    fn table_mut(&mut self, db: u16) -> &mut Table {
        if db == 0 { &mut self.first } else { self.make_table(db) }
    }

    #[cold]
    fn make_table(&mut self, db: u16) -> &mut Table {
        let index = db as usize - 1;
        if index >= self.more.len() {
            let epoch_ms = self.epoch_ms;
            self.more.resize_with(index + 1, || Table::new(epoch_ms));
        }
        &mut self.more[index]
    }

    #[inline]
    fn find(&self, db: u16, key: &Key<'_>) -> Option<Place> {
        self.table(db)?.find(key.hash, key.bytes)
    }

    /// What has been counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Starts counting anew.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::default();
    }

    /// Reads a key as a client does: a dead key is not there, a hit or miss is counted, the access is noted. O(1).
    #[inline]
    pub fn read(&mut self, db: u16, key: &Key<'_>, now: Now, access: Access) -> Option<ItemRef<'_>> {
        let Some(place) = self.find(db, key) else {
            self.missed(db, key);
            return None;
        };
        if self.table(db)?.get(place).is_volatile() && !self.survives_read(db, key.hash, place, now) {
            self.missed(db, key);
            return None;
        }
        let table = if db == 0 { &mut self.first } else { self.more.get_mut(db as usize - 1)? };
        let item = table.get(place);
        let (old, new) = (item.access(), access.after_read(item.access()));
        if let Access::Lhd(moment) = access {
            self.common.densities.used(key.hash, old, moment);
        }
        if old != new {
            table.get_mut(place).item().set_access(new);
        }
        self.counters.hits += 1;
        self.table(db).map(|table| table.get(place))
    }

    /// Counts a miss, by what is known of the key.
    fn missed(&mut self, db: u16, key: &Key<'_>) {
        self.counters.misses += 1;
        if let Some(departure) = self.departed.find(marked(db, key.hash)) {
            self.counters.missed[departure.reason as usize - 1] += 1;
        }
    }

    /// Hints the processor to load the item of a key; true if [`Partition::prefetch_overflow`] is the next step.
    #[inline]
    pub fn prefetch_item(&self, db: u16, key: &Key<'_>) -> bool {
        self.table(db).is_some_and(|table| table.prefetch_item(key.hash))
    }

    /// Hints the processor to load the item of a key that [`Partition::prefetch_item`] said more about.
    pub fn prefetch_overflow(&self, db: u16, key: &Key<'_>) {
        if let Some(table) = self.table(db) {
            table.prefetch_overflow(key.hash);
        }
    }

    /// Why a key is not there; `None` if it never was, or left too long ago.
    pub fn reason(&self, db: u16, key: &Key<'_>, now: Now) -> Option<Reason> {
        match self.find(db, key) {
            // Its time is over, and it was not reclaimed yet; or it is there.
            Some(place) => self.table(db)?.get(place).is_dead(now.ms).then_some(Reason::Expired),
            None => self.departed.find(marked(db, key.hash)).map(|departure| departure.reason),
        }
    }

    /// Notes that a key leaves.
    fn leaves(&mut self, db: u16, hash: u32, reason: Reason, uses: u32) {
        let bound = self.common.remembered.load(Ordering::Relaxed);
        let limit = bound.min(self.len(db).max(REMEMBERED_MIN));
        self.departed.note(marked(db, hash), Departure { reason, uses }, limit);
    }

    /// Looks at a key without leaving a trace. O(1).
    #[inline]
    pub fn peek(&self, db: u16, key: &Key<'_>, now: Now) -> Option<ItemRef<'_>> {
        let place = self.find(db, key)?;
        let item = self.table(db)?.get(place);
        (!item.is_dead(now.ms)).then_some(item)
    }

    /// A key to be changed in place; a dead one is removed first. The caller says so with [`Partition::changed`]
    /// when it did change something. O(1).
    #[inline]
    pub fn write(&mut self, db: u16, key: &Key<'_>, now: Now, access: Access) -> Option<ItemMut<'_>> {
        let place = self.living(db, key, now)?;
        Some(self.write_at(db, key, place, access))
    }

    /// The same; what is not there is made first. O(1).
    #[inline]
    pub fn write_or_create(
        &mut self,
        db: u16,
        key: &Key<'_>,
        now: Now,
        access: Access,
        make: fn() -> Value<'static>,
    ) -> Option<ItemMut<'_>> {
        let place = match self.living(db, key, now) {
            Some(place) => place,
            None => {
                self.set(db, key, make(), Extras::default(), access);
                self.find(db, key)?
            }
        };
        Some(self.write_at(db, key, place, access))
    }

    /// The item at a place, to be changed: saved if a snapshot wants it, and its use noted.
    #[inline]
    fn write_at(&mut self, db: u16, key: &Key<'_>, place: Place, access: Access) -> ItemMut<'_> {
        self.save_first(db, place);
        let old = self.table_mut(db).get(place).access();
        if let Access::Lhd(moment) = access {
            self.common.densities.used(key.hash, old, moment);
        }
        let table = self.table_mut(db);
        let used = access.after_use(old);
        let mut item = table.get_mut(place);
        item.item().set_access(used);
        item
    }

    /// The place of a key that lives; removes it if it is dead.
    #[inline]
    fn living(&mut self, db: u16, key: &Key<'_>, now: Now) -> Option<Place> {
        let place = self.find(db, key)?;
        let survives = !self.table(db)?.get(place).is_volatile() || self.survives(db, key.hash, place, now);
        survives.then_some(place)
    }

    /// For a key that has deadlines: whether it lives. Reclaims what does not: the key, or fields of it.
    fn survives(&mut self, db: u16, hash: u32, place: Place, now: Now) -> bool {
        match self.gone.keeps() {
            true => self.is_living(db, place, now),
            false => self.reclaim_dead(db, hash, place, now),
        }
    }

    /// The same for who only looks.
    fn survives_read(&mut self, db: u16, hash: u32, place: Place, now: Now) -> bool {
        match self.gone.keeps_from_reads() {
            true => self.is_living(db, place, now),
            false => self.reclaim_dead(db, hash, place, now),
        }
    }

    fn is_living(&self, db: u16, place: Place, now: Now) -> bool {
        self.table(db).is_some_and(|table| !table.get(place).is_dead(now.ms))
    }

    /// The same, also while what is dead is kept.
    fn reclaim_dead(&mut self, db: u16, hash: u32, place: Place, now: Now) -> bool {
        let Some(item) = self.table(db).map(|table| table.get(place)) else { return false };
        if item.is_dead(now.ms) {
            self.reclaim(db, hash, place);
            return false;
        }
        if item.timed_hash().is_some_and(|fields| fields.is_due(now.ms)) {
            self.purge(db, place, now, usize::MAX);
        }
        true
    }

    fn reclaim(&mut self, db: u16, hash: u32, place: Place) {
        self.save_first(db, place);
        let item = self.table_mut(db).remove(hash, place);
        self.watches.reclaimed(db, item.key());
        let left = match item.timed_hash() {
            Some(fields) if item.deadline().is_none() => {
                self.counters.expired_fields += fields.len() as u64;
                Left::LastFields
            }
            _ => {
                self.counters.expired += 1;
                self.counters.expired_unread += u64::from(access::is_unread(item.access()));
                Left::Key
            }
        };
        self.gone.note(db, item.key(), left, Vec::new());
        let hash = self.seed.hash(item.key());
        self.leaves(db, hash, Reason::Expired, 0);
        (self.free)(Removed(item));
    }

    /// Sets a key to a value, whatever was there; gives back what was. O(1) and the copy of the value.
    #[inline]
    pub fn set(
        &mut self,
        db: u16,
        key: &Key<'_>,
        value: Value<'_>,
        extras: Extras,
        access: Access,
    ) -> Option<Removed> {
        self.changed(db, key);
        let found = self.find(db, key);
        if let (Some(place), Value::String(bytes)) = (found, &value)
            && extras == Extras::default()
            && self.overwrite(db, key.hash, place, bytes, access)
        {
            return None;
        }
        let field = match &value {
            Value::Hash(fields) => fields.earliest_deadline(),
            _ => None,
        };
        let earliest = extras.deadline.into_iter().chain(field).min();
        let Some(place) = found else {
            let known = self.departed.forget(marked(db, key.hash));
            let item = Item::new(key.bytes, value, extras, access.of_known(known));
            let (seed, generation) = (self.seed, self.generation);
            let table = self.table_mut(db);
            table.insert(&seed, key.hash, item, generation);
            earliest.into_iter().for_each(|at| table.note_deadline(key.hash, at));
            return None;
        };
        self.save_first(db, place);
        let table = self.table_mut(db);
        earliest.into_iter().for_each(|at| table.note_deadline(key.hash, at));
        // The key stays the same one, so its frequency of use goes on.
        let old = table.get(place).access();
        let used = access.after_set(old);
        if let Access::Lhd(moment) = access {
            self.common.densities.ended(key.hash, old, moment);
        }
        let table = self.table_mut(db);
        if matches!(value, Value::String(_) | Value::Integer(_)) {
            let mut old = table.get_mut(place);
            let item = old.item();
            let written = item.overwrite_extras(extras)
                && match value {
                    Value::String(bytes) => item.overwrite(bytes),
                    Value::Integer(n) => item.overwrite_integer(n),
                    _ => false,
                };
            if written {
                item.set_access(used);
                return None;
            }
        }
        let item = Item::new(key.bytes, value, extras, used);
        Some(Removed(table.replace(place, item)))
    }

    /// Stores the same value in another form at a key that exists: no change, to nobody. Gives back the old form. O(1).
    pub fn recode(&mut self, db: u16, key: &Key<'_>, value: Value<'_>, extras: Extras) -> Option<Removed> {
        let place = self.find(db, key)?;
        self.save_first(db, place);
        let table = self.table_mut(db);
        let item = Item::new(key.bytes, value, extras, table.get(place).access());
        Some(Removed(table.replace(place, item)))
    }

    /// The common case of a cache: a plain string takes the place of one of the same length. False if it is another case.
    #[inline]
    fn overwrite(&mut self, db: u16, hash: u32, place: Place, bytes: &[u8], access: Access) -> bool {
        self.save_first(db, place);
        let mut item = self.table_mut(db).get_mut(place);
        let item = item.item();
        if !item.overwrite_plain(bytes) {
            return false;
        }
        // The key stays the same one, so its frequency of use goes on.
        let old = item.access();
        item.set_access(access.after_set(old));
        if let Access::Lhd(moment) = access {
            self.common.densities.ended(hash, old, moment);
        }
        true
    }

    /// Makes room in the index for so many keys of a database, if it is empty: filing them is cheaper then. What was too
    /// much is given back as keys leave, or by [`Partition::fit`].
    pub fn reserve(&mut self, db: u16, keys: usize) {
        self.table_mut(db).reserve(keys);
    }

    /// Gives back room in the index for keys that did not come.
    pub fn fit(&mut self) {
        std::iter::once(&mut self.first).chain(&mut self.more).for_each(Table::fit);
    }

    /// Changes deadline, flags and CAS of a living key; false if there is none. O(1), at worst a copy of the item.
    pub fn set_extras(&mut self, db: u16, key: &Key<'_>, extras: Extras, now: Now) -> bool {
        let Some(place) = self.living(db, key, now) else { return false };
        self.save_first(db, place);
        self.changed(db, key);
        let table = self.table_mut(db);
        extras.deadline.into_iter().for_each(|at| table.note_deadline(key.hash, at));
        let mut item = table.get_mut(place);
        if !item.item().overwrite_extras(extras) {
            table.rebuild(place, extras);
        }
        true
    }

    /// Removes a living key. O(1); freeing the value is up to who drops the result.
    pub fn remove(&mut self, db: u16, key: &Key<'_>, now: Now) -> Option<Removed> {
        let place = self.living(db, key, now)?;
        self.save_first(db, place);
        self.changed(db, key);
        let item = self.table_mut(db).remove(key.hash, place);
        if self.common.densities.is_active() {
            self.common.densities.ended(key.hash, item.access(), self.common.densities.moment(now.ms, 0));
        }
        self.leaves(db, key.hash, Reason::Deleted, 0);
        Some(Removed(item))
    }

    /// Removes a key if its time is over. What is done to the others is up to the caller.
    pub fn bury(&mut self, db: u16, key: &Key<'_>, now: Now) {
        self.living(db, key, now);
    }

    /// Removes a key if its time is over, or fields of it, also while such are kept.
    pub fn bury_kept(&mut self, db: u16, key: &Key<'_>, now: Now) {
        if let Some(place) = self.find(db, key) {
            self.reclaim_dead(db, key.hash, place, now);
        }
    }

    /// True if anything in a database has a deadline.
    #[inline]
    pub fn has_deadlines(&self, db: u16) -> bool {
        self.table(db).is_some_and(|table| table.volatile() > 0 || table.timed() > 0)
    }

    /// True if [`Partition::take_gone`] would answer something.
    #[inline]
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Takes the list of the keys and fields whose time was over, in the order in which they left; empty unless
    /// [`Store::tell_gone`](crate::Store::tell_gone) asked for it.
    #[inline]
    pub fn take_gone(&mut self) -> Vec<Gone> {
        if self.gone.is_empty() {
            return Vec::new();
        }
        self.gone.take()
    }

    /// Removes a key to make room. `access` is how a use of it would be noted.
    pub fn evict(&mut self, db: u16, key: &Key<'_>, access: Access) -> Option<Removed> {
        let place = self.find(db, key)?;
        self.save_first(db, place);
        self.changed(db, key);
        self.counters.evicted += 1;
        let item = self.table_mut(db).remove(key.hash, place);
        self.counters.evicted_unread += u64::from(access::is_unread(item.access()));
        let uses = match access {
            Access::Lhd(moment) => {
                self.common.densities.evicted(key.hash, item.access(), moment);
                density::uses(item.access())
            }
            _ => 0,
        };
        self.leaves(db, key.hash, Reason::Evicted, uses);
        Some(Removed(item))
    }

    /// Tells those who watch a key that it changed. Every method that changes a key does it; who changes a value in
    /// place does it with this.
    #[inline]
    pub fn changed(&mut self, db: u16, key: &Key<'_>) {
        if !self.watches.is_empty() {
            self.watches.changed(db, key.bytes);
        }
    }

    /// Watches a key until [`Partition::unwatch`]; true if it lives. That a key which is dead already goes is no change.
    pub fn watch(&mut self, db: u16, key: &Key<'_>, watcher: &Watcher, now: Now) -> bool {
        let lives = match self.find(db, key) {
            Some(place) if self.table(db).is_some_and(|table| table.get(place).is_volatile()) => {
                self.survives_read(db, key.hash, place, now)
            }
            found => found.is_some(),
        };
        let dead = !lives && self.find(db, key).is_some();
        self.watches.add(db, key.bytes, watcher, dead);
        lives
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, db: u16, key: &Key<'_>, watcher: &Watcher) {
        self.watches.remove(db, key.bytes, watcher);
    }

    /// Keys of a database, dead ones not yet reclaimed included.
    pub fn len(&self, db: u16) -> usize {
        self.table(db).map_or(0, Table::len)
    }

    /// True when no database has a key here.
    pub fn is_empty(&self) -> bool {
        self.first.len() == 0 && self.more.iter().all(|table| table.len() == 0)
    }

    /// Keys of a database that have a deadline.
    pub fn volatile_len(&self, db: u16) -> usize {
        self.table(db).map_or(0, Table::volatile)
    }

    /// Visits the living keys of one bucket at a scan position; answers the next position, `None` after the last.
    /// A key that is there from the first position to the last is visited at least once.
    pub fn scan(&self, db: u16, position: u32, now: Now, mut visit: impl FnMut(ItemRef<'_>)) -> Option<u32> {
        self.table(db)?.scan(position, |item| {
            if !item.is_dead(now.ms) {
                visit(item);
            }
        })
    }

    /// Lets what belongs to one bucket at a scan position take other memory where it lies badly; answers as
    /// [`Partition::scan`] does. Nothing that can be seen changes.
    pub fn compact(&mut self, db: u16, position: u32, mover: &mut Mover<'_>) -> Option<u32> {
        match db {
            0 => self.first.compact(position, mover),
            _ => self.more.get_mut(db as usize - 1)?.compact(position, mover),
        }
    }

    /// Visits keys, those whose time is over included, from a random place on and once around, until so many were visited.
    pub fn sample(&self, db: u16, random: u32, wanted: usize, visit: impl FnMut(ItemRef<'_>)) {
        if let Some(table) = self.table(db) {
            table.sample(random, wanted, visit);
        }
    }

    /// Visits keys with a deadline, from a random place on, until one visit says that it was enough, or for `looks` looks
    /// at a few buckets each. O(looks), however few of the keys have one.
    pub fn sample_volatile(
        &mut self,
        db: u16,
        random: usize,
        looks: usize,
        visit: impl FnMut(ItemRef<'_>) -> bool,
    ) {
        let table = match db {
            0 => Some(&mut self.first),
            _ => self.more.get_mut(db as usize - 1),
        };
        if let Some(table) = table {
            table.sample_volatile(random, looks, visit);
        }
    }

    /// Takes all keys of a database out. Why they left is not noted: see [`Partition::note_flushed`].
    pub fn clear(&mut self, db: u16, now: Now) -> Cleared {
        let table = self.table_mut(db).take();
        self.watches.cleared(db, |key| table.lives(self.seed.hash(key), key, now.ms));
        Cleared(self.save_cleared(db, table))
    }

    /// Remembers of some of the keys of a database that was emptied why they left; afterwards, because a whole keyspace is
    /// emptied at one instant, which should not take long. Keys that came since are none of them.
    pub fn note_flushed(&mut self, db: u16, Cleared(table): &Cleared) {
        let limit = self.common.remembered.load(Ordering::Relaxed).min(table.len().max(REMEMBERED_MIN));
        let (mut position, mut left) = (Some(0), FLUSHED_NOTED_MAX.min(limit));
        while let Some(at) = position.filter(|_| left > 0) {
            position = table.scan(at, |item| {
                let hash = self.seed.hash(item.key());
                left = left.saturating_sub(1);
                let came_back = self.table(db).is_some_and(|now| now.find(hash, item.key()).is_some());
                if !came_back {
                    let departure = Departure { reason: Reason::Flushed, uses: 0 };
                    self.departed.note(marked(db, hash), departure, limit);
                }
            });
        }
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: u16, b: u16, now: Now) {
        let (low, high) = (a.min(b), a.max(b));
        self.table_mut(high);
        if low == 0 && high > 0 {
            std::mem::swap(&mut self.first, &mut self.more[high as usize - 1]);
        } else if low < high {
            self.more.swap(low as usize - 1, high as usize - 1);
        }
        self.save_swapped(low, high);
        self.swaps += 1;
        let lives = |db, hash, key: &[u8]| self.table(db).is_some_and(|table| table.lives(hash, key, now.ms));
        self.watches.swapped(low, high, |key| {
            let hash = self.seed.hash(key);
            lives(low, hash, key) || lives(high, hash, key)
        });
    }

    /// How often databases were exchanged; the same in all partitions of a store when none is held. O(1).
    pub fn swaps(&self) -> u64 {
        self.swaps
    }

    /// Lets go of the databases from this number on, which are empty.
    pub fn trim(&mut self, databases: u16) {
        let kept = usize::from(databases.max(1)) - 1;
        debug_assert!(self.more.iter().skip(kept).all(|table| table.len() == 0), "no key is lost");
        self.more.truncate(kept);
        self.more.shrink_to_fit();
    }

    /// When the next look for dead keys is due, in Unix milliseconds rounded up; `None` when no key has a deadline.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        match self.more.as_slice() {
            [] => self.first.next_deadline(),
            more => std::iter::once(&self.first).chain(more).filter_map(Table::next_deadline).min(),
        }
    }

    /// Bytes of the index, without items.
    pub fn index_bytes(&self) -> usize {
        self.departed.memory_bytes()
            + self.first.memory_bytes()
            + self.more.iter().map(Table::memory_bytes).sum::<usize>()
    }
}

/// The hash of a key, which is another in each database.
fn marked(db: u16, hash: u32) -> u32 {
    hash ^ u32::from(db).wrapping_mul(0x9e37_79b9)
}
