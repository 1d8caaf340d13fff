//! Who watches which key (WATCH), found by the key: one session may watch a million keys of a partition, and neither a change
//! nor the end of its watches may cost a look at each.

use std::collections::HashMap;
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
    watcher: Watcher,
    /// The key was dead already, and is still here: when it is reclaimed, nothing changes.
    dead: bool,
}

/// The watches of a partition.
#[derive(Debug, Default)]
pub(super) struct Watches(HashMap<Box<[u8]>, Vec<Watch>>);

impl Watches {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, db: u16, key: &[u8], watcher: &Watcher, dead: bool) {
        let watch = Watch { db, watcher: watcher.clone(), dead };
        match self.0.get_mut(key) {
            Some(watches) => watches.push(watch),
            None => drop(self.0.insert(key.into(), vec![watch])),
        }
    }

    pub(super) fn remove(&mut self, db: u16, key: &[u8], watcher: &Watcher) {
        let Some(watches) = self.0.get_mut(key) else { return };
        watches.retain(|watch| !(watch.db == db && Arc::ptr_eq(&watch.watcher.0, &watcher.0)));
        if watches.is_empty() {
            self.0.remove(key);
        }
        if self.0.is_empty() {
            self.0 = HashMap::default();
        }
    }

    pub(super) fn changed(&self, db: u16, key: &[u8]) {
        let watches = self.0.get(key).into_iter().flatten();
        watches.filter(|watch| watch.db == db).for_each(|watch| watch.watcher.mark());
    }

    /// A dead key was removed: a change for those who saw it alive.
    pub(super) fn reclaimed(&mut self, db: u16, key: &[u8]) {
        let watches = self.0.get_mut(key).into_iter().flatten();
        for watch in watches.filter(|watch| watch.db == db) {
            match watch.dead {
                true => watch.dead = false,
                false => watch.watcher.mark(),
            }
        }
    }

    /// A database was emptied: keys that `lived` have changed.
    pub(super) fn cleared(&self, db: u16, lived: impl Fn(&[u8]) -> bool) {
        self.mark_all(|other| other == db, lived);
    }

    /// Two databases were exchanged: keys that `lived` in either have changed in both.
    pub(super) fn swapped(&self, a: u16, b: u16, lived: impl Fn(&[u8]) -> bool) {
        self.mark_all(|db| db == a || db == b, lived);
    }

    fn mark_all(&self, concerns: impl Fn(u16) -> bool, lived: impl Fn(&[u8]) -> bool) {
        for (key, watches) in &self.0 {
            let mut concerned = watches.iter().filter(|watch| concerns(watch.db)).peekable();
            if concerned.peek().is_some() && lived(key) {
                concerned.for_each(|watch| watch.watcher.mark());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough that a look at each for each would go on for minutes.
    const KEYS: u32 = if cfg!(miri) { 100 } else { 200_000 };

    #[test]
    fn many_keys_are_watched_and_changed_and_left() {
        let (mut watches, mine, other) = (Watches::default(), Watcher::default(), Watcher::default());
        for n in 0..KEYS {
            watches.add(0, &n.to_le_bytes(), &mine, false);
        }
        watches.add(1, &7u32.to_le_bytes(), &other, false);
        for n in 0..KEYS {
            watches.changed(2, &n.to_le_bytes());
        }
        assert!(!mine.is_changed() && !other.is_changed());
        watches.changed(1, &7u32.to_le_bytes());
        assert!(!mine.is_changed() && other.is_changed());
        watches.changed(0, &7u32.to_le_bytes());
        assert!(mine.is_changed());
        for n in 0..KEYS {
            watches.remove(0, &n.to_le_bytes(), &mine);
        }
        assert!(!watches.is_empty());
        watches.remove(1, &7u32.to_le_bytes(), &other);
        assert!(watches.is_empty());
    }

    #[test]
    fn a_key_that_was_dead_does_not_change_when_it_goes() {
        let (mut watches, dead, alive) = (Watches::default(), Watcher::default(), Watcher::default());
        watches.add(0, b"key", &dead, true);
        watches.add(0, b"key", &alive, false);
        watches.reclaimed(0, b"key");
        assert!(!dead.is_changed() && alive.is_changed());
        watches.reclaimed(0, b"key");
        assert!(dead.is_changed());
    }
}
