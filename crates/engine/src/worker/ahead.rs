//! Looking ahead: while one request is executed, the processor loads what later ones will touch.
//!
//! A key is reached over four cache lines that depend on each other: its partition, its bucket, perhaps an overflow
//! bucket, its item. Each is asked for a few requests before the next is needed, so that the waits of several requests
//! overlap, and few enough before it that nothing is pushed out of the first-level cache again.

use super::Entry;
use larder_store::{Key, Store};

/// Requests between two steps towards the same key.
const STRIDE: usize = 8;

/// The requests of a batch, as far as their keys are asked for.
pub(super) struct Ahead<'a> {
    store: &'a Store,
    entries: &'a [Entry],
    /// Which of the last requests may have their items behind overflow buckets: a bit each.
    late: u64,
}

impl<'a> Ahead<'a> {
    /// Asks for what the first requests need.
    pub(super) fn new(store: &'a Store, entries: &'a [Entry]) -> Ahead<'a> {
        let mut ahead = Ahead { store, entries, late: 0 };
        if entries.len() > 1 {
            // As if earlier requests had been executed, each step for those that are not beyond their distance.
            (0..3 * STRIDE).for_each(|at| ahead.partition(at));
            (0..2 * STRIDE + STRIDE / 2).for_each(|at| ahead.bucket(at));
            (0..STRIDE + STRIDE / 2).for_each(|at| ahead.item(at));
            (0..STRIDE).for_each(|at| ahead.overflow(at));
        }
        ahead
    }

    /// Goes on by one, before request `at` is executed.
    #[inline]
    pub(super) fn step(&mut self, at: usize) {
        self.partition(at + 3 * STRIDE);
        self.bucket(at + 2 * STRIDE + STRIDE / 2);
        self.item(at + STRIDE + STRIDE / 2);
        self.overflow(at + STRIDE);
    }

    #[inline]
    fn key(&self, at: usize) -> Option<Key<'static>> {
        self.entries.get(at)?.key.map(|(slot, hash)| Key { bytes: &[], slot, hash })
    }

    #[inline]
    fn partition(&self, at: usize) {
        if let Some(key) = self.key(at) {
            self.store.prefetch_partition(&key);
        }
    }

    #[inline]
    fn bucket(&self, at: usize) {
        if let Some(key) = self.key(at) {
            self.store.prefetch_bucket(&key);
        }
    }

    #[inline]
    fn item(&mut self, at: usize) {
        let late = self.key(at).is_some_and(|key| self.store.prefetch_item(0, &key));
        let bit = 1 << (at % 64);
        self.late = if late { self.late | bit } else { self.late & !bit };
    }

    #[inline]
    fn overflow(&self, at: usize) {
        if self.late & 1 << (at % 64) != 0
            && let Some(key) = self.key(at)
        {
            self.store.prefetch_overflow(0, &key);
        }
    }
}
