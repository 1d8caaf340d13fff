//! Who watches which key (WATCH). Few at a time, so a list per partition is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A session's mark: set when something that it watches has changed.
#[derive(Clone, Debug, Default)]
pub struct Watcher(Arc<AtomicBool>);

impl Watcher {
    /// True when a watched key has changed.
    pub fn is_changed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Marks it, for a change that the keyspace does not see.
    pub fn mark(&self) {
        self.0.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct Watch {
    db: u16,
    key: Box<[u8]>,
    watcher: Watcher,
}

/// The watches of a partition.
#[derive(Debug, Default)]
pub(super) struct Watches(Vec<Watch>);

impl Watches {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, db: u16, key: &[u8], watcher: &Watcher) {
        self.0.push(Watch { db, key: key.into(), watcher: watcher.clone() });
    }

    pub(super) fn remove(&mut self, db: u16, key: &[u8], watcher: &Watcher) {
        self.0.retain(|w| !(w.db == db && *w.key == *key && Arc::ptr_eq(&w.watcher.0, &watcher.0)));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    pub(super) fn changed(&self, db: u16, key: &[u8]) {
        self.0.iter().filter(|w| w.db == db && *w.key == *key).for_each(|w| w.watcher.mark());
    }

    /// A database was emptied: keys that `existed` have changed.
    pub(super) fn cleared(&self, db: u16, existed: impl Fn(&[u8]) -> bool) {
        self.0.iter().filter(|w| w.db == db && existed(&w.key)).for_each(|w| w.watcher.mark());
    }

    /// Two databases were exchanged: whoever watches a key in either sees a change.
    pub(super) fn swapped(&self, a: u16, b: u16) {
        self.0.iter().filter(|w| w.db == a || w.db == b).for_each(|w| w.watcher.mark());
    }
}
