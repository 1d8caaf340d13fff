//! Looking ahead: while requests are read and executed, the processor loads what later ones will touch.
//!
//! A key is reached over cache lines that depend on each other: its partition, its bucket, perhaps an overflow bucket,
//! its item. Each is asked for long enough before the next is needed that the waits of many keys overlap, and not so
//! long before it that nothing is left of it in the first-level cache.
//!
//! Keys are taken in *groups*, in loops that do nothing else. A request for memory costs little as long as the
//! processor knows where the page lies; when it does not, which at a million keys is nearly always, the request itself
//! waits for that to be looked up. In a short loop several such look-ups are under way at once; between the
//! instructions of one request and the next, hardly two are.

use crate::command::known::KeyAt;
use larder_store::{Key, Store};
use std::ops::Range;

/// Keys of a group.
const GROUP: usize = 8;
/// How many groups ahead of the one that is executed buckets are asked for.
const BUCKETS: usize = 3;
/// The same for items.
const ITEMS: usize = 2;
/// The same for items that are not in the first buckets.
const OVERFLOW: usize = 1;

/// How far the keys of a batch are asked for.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Keys whose buckets were asked for.
    read: usize,
    /// Keys that were used.
    used: usize,
    /// Which of the last keys may have their items behind overflow buckets: a bit each.
    late: u64,
}

// The last bit that is asked for is still there.
const _: () = assert!(GROUP * (ITEMS + 1) <= u64::BITS as usize);

impl Ahead {
    /// Keys were read: asks for the buckets of those that will be used first.
    #[inline]
    pub(crate) fn read(&mut self, store: &Store, keys: &[KeyAt]) {
        let end = keys.len().min(BUCKETS * GROUP);
        buckets(store, keys, self.read.min(end)..end);
        self.read = end;
    }

    /// The batch is read: asks for what the first groups need. What is alone gains nothing from it.
    pub(crate) fn begin(&mut self, store: &Store, keys: &[KeyAt]) {
        if keys.len() > 1 {
            (0..ITEMS).for_each(|number| self.items(store, keys, number));
            (0..OVERFLOW).for_each(|number| self.overflow(store, keys, number));
        }
    }

    /// Goes on before a request with `count` keys is executed.
    #[inline]
    pub(crate) fn step(&mut self, store: &Store, keys: &[KeyAt], count: u32) {
        let group = self.used.div_ceil(GROUP);
        self.used += count as usize;
        for number in group..self.used.div_ceil(GROUP) {
            self.go_on(store, keys, number);
        }
    }

    /// Before a group is executed.
    #[inline(never)]
    fn go_on(&mut self, store: &Store, keys: &[KeyAt], number: usize) {
        self.overflow(store, keys, number + OVERFLOW);
        self.items(store, keys, number + ITEMS);
        buckets(store, keys, group(number + BUCKETS, keys));
    }

    /// Asks for the items of a group.
    #[inline]
    fn items(&mut self, store: &Store, keys: &[KeyAt], number: usize) {
        for at in group(number, keys) {
            let (late, bit) = (store.prefetch_item(0, &hashed(keys, at)), 1 << (at % 64));
            self.late = if late { self.late | bit } else { self.late & !bit };
        }
    }

    /// Asks for the items of a group that are not in the first buckets.
    #[inline]
    fn overflow(&self, store: &Store, keys: &[KeyAt], number: usize) {
        for at in group(number, keys) {
            if self.late & 1 << (at % 64) != 0 {
                store.prefetch_overflow(0, &hashed(keys, at));
            }
        }
    }
}

#[inline]
fn buckets(store: &Store, keys: &[KeyAt], range: Range<usize>) {
    for key in &keys[range] {
        store.prefetch_bucket(&key.hashed());
    }
}

#[inline]
fn group(number: usize, keys: &[KeyAt]) -> Range<usize> {
    let end = keys.len();
    (number * GROUP).min(end)..((number + 1) * GROUP).min(end)
}

#[inline]
fn hashed(keys: &[KeyAt], at: usize) -> Key<'static> {
    keys[at].hashed()
}
