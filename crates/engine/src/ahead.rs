//! Looking ahead: while one request is read or executed, the processor loads what later ones will touch.
//!
//! A key is reached over four cache lines that depend on each other: its partition, its bucket, perhaps an overflow
//! bucket, its item. Each is asked for a few keys before the next is needed, so that the waits of several keys overlap,
//! and few enough before it that nothing is pushed out of the first-level cache again.
//!
//! The first keys of a batch get their start while its requests are still being read: most batches are short, and would
//! otherwise be over before anything has come.

use crate::command::known::KeyAt;
use larder_store::{Key, Store};

/// Keys that are read or used between asking for a key's partition and for its bucket.
const TO_BUCKET: usize = 4;
/// The same until its item is asked for.
const TO_ITEM: usize = 12;
/// The same until an item is asked for that is not in the first bucket.
const TO_OVERFLOW: usize = 20;
/// The same until the key is used.
const TO_USE: usize = 28;

/// How far the keys of a batch are asked for.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Keys whose partitions were asked for.
    time: usize,
    /// Which of the last keys may have their items behind overflow buckets: a bit each.
    late: u64,
}

impl Ahead {
    /// Keys were read: asks for what the first ones of the batch need.
    #[inline]
    pub(crate) fn read(&mut self, store: &Store, keys: &[KeyAt]) {
        while self.time < keys.len().min(TO_USE) {
            self.tick(store, keys);
        }
    }

    /// The batch is read: the first keys catch up with where they have to be when their requests are executed. What is
    /// alone gains nothing from it.
    pub(crate) fn begin(&mut self, store: &Store, keys: &[KeyAt]) {
        if keys.len() > 1 {
            let now = std::mem::replace(&mut self.time, TO_USE);
            let between = |lead: usize| now.saturating_sub(lead)..(TO_USE - lead).min(keys.len());
            between(TO_BUCKET).for_each(|at| bucket(store, keys, at));
            between(TO_ITEM).for_each(|at| self.item(store, keys, at));
            between(TO_OVERFLOW).for_each(|at| self.overflow(store, keys, at));
        }
    }

    /// Goes on before a request with `count` keys is executed.
    #[inline]
    pub(crate) fn step(&mut self, store: &Store, keys: &[KeyAt], count: u32) {
        (0..count).for_each(|_| self.tick(store, keys));
    }

    #[inline]
    fn tick(&mut self, store: &Store, keys: &[KeyAt]) {
        let now = self.time;
        self.time += 1;
        if let Some(key) = key(keys, now) {
            store.prefetch_partition(&key);
        }
        // Before the first key there is none: the numbers wrap around to where nothing is.
        bucket(store, keys, now.wrapping_sub(TO_BUCKET));
        self.item(store, keys, now.wrapping_sub(TO_ITEM));
        self.overflow(store, keys, now.wrapping_sub(TO_OVERFLOW));
    }

    #[inline]
    fn item(&mut self, store: &Store, keys: &[KeyAt], at: usize) {
        let late = key(keys, at).is_some_and(|key| store.prefetch_item(0, &key));
        let bit = 1 << (at % 64);
        self.late = if late { self.late | bit } else { self.late & !bit };
    }

    #[inline]
    fn overflow(&self, store: &Store, keys: &[KeyAt], at: usize) {
        if self.late & 1 << (at % 64) != 0
            && let Some(key) = key(keys, at)
        {
            store.prefetch_overflow(0, &key);
        }
    }
}

#[inline]
fn key(keys: &[KeyAt], at: usize) -> Option<Key<'static>> {
    keys.get(at).map(KeyAt::hashed)
}

#[inline]
fn bucket(store: &Store, keys: &[KeyAt], at: usize) {
    if let Some(key) = key(keys, at) {
        store.prefetch_bucket(&key);
    }
}
