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
    /// The key was dead already, and is still here: when it is reclaimed, nothing changes.
    dead: bool,
}

/// The watches of a partition.
#[derive(Debug, Default)]
pub(super) struct Watches(Vec<Watch>);

impl Watches {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, db: u16, key: &[u8], watcher: &Watcher, dead: bool) {
        self.0.push(Watch { db, key: key.into(), watcher: watcher.clone(), dead });
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

    /// A dead key was removed: a change for those who saw it alive.
    pub(super) fn reclaimed(&mut self, db: u16, key: &[u8]) {
        for watch in self.0.iter_mut().filter(|watch| watch.db == db && *watch.key == *key) {
            match watch.dead {
                true => watch.dead = false,
                false => watch.watcher.mark(),
            }
        }
    }

    /// A database was emptied: keys that `lived` have changed.
    pub(super) fn cleared(&self, db: u16, lived: impl Fn(&[u8]) -> bool) {
        self.0.iter().filter(|w| w.db == db && lived(&w.key)).for_each(|w| w.watcher.mark());
    }

    /// Two databases were exchanged: keys that `lived` in either have changed in both.
    pub(super) fn swapped(&self, a: u16, b: u16, lived: impl Fn(&[u8]) -> bool) {
        let either = self.0.iter().filter(|watch| watch.db == a || watch.db == b);
        either.filter(|watch| lived(&watch.key)).for_each(|watch| watch.watcher.mark());
    }
}
