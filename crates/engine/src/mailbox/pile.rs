//! What a mailbox keeps: a pile that anybody adds to and its owner takes whole.
//!
//! Who finds it empty wakes the owner, once for all that comes until it is taken. The owner looks whether it is empty
//! before it sleeps, and a wake-up that came before ends the next sleep at once. So nothing is left lying.

use crate::sync::{AtomicUsize, Mutex, lock};
use std::sync::atomic::Ordering;

/// See the module.
#[derive(Debug)]
pub(super) struct Pile<T> {
    all: Mutex<Vec<T>>,
    /// How many are in it.
    count: AtomicUsize,
    /// Their bytes.
    bytes: AtomicUsize,
}

impl<T> Default for Pile<T> {
    fn default() -> Pile<T> {
        Pile { all: Mutex::new(Vec::new()), count: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }
}

impl<T> Pile<T> {
    /// Adds one; true if there was none.
    pub(super) fn add(&self, one: T, bytes: usize) -> bool {
        let mut all = lock(&self.all);
        if bytes > 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        all.push(one);
        self.count.store(all.len(), Ordering::Release);
        all.len() == 1
    }

    /// How many there are. Takes no lock.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Their bytes. Takes no lock.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes all.
    pub(super) fn take(&self) -> Vec<T> {
        let mut all = lock(&self.all);
        self.count.store(0, Ordering::Release);
        self.bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut *all)
    }
}

#[cfg(all(test, feature = "loom"))]
mod model {
    use super::*;
    use crate::sync::Sleeper;
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// Switches of threads that are tried where none has to be; more of them take hours.
    const PREEMPTIONS_MAX: usize = 2;

    /// Two senders and an owner that sleeps: everything arrives, in the order of each sender, and nobody sleeps over it.
    #[test]
    fn nothing_is_left_lying() {
        let mut tries = loom::model::Builder::new();
        tries.preemption_bound = Some(PREEMPTIONS_MAX);
        tries.check(|| {
            let (pile, owner) = (Arc::new(Pile::default()), Arc::new(Sleeper::default()));
            let senders: Vec<_> = [[1, 2], [11, 12]]
                .into_iter()
                .map(|mail| {
                    let (pile, owner) = (pile.clone(), owner.clone());
                    thread::spawn(move || {
                        for one in mail {
                            if pile.add(one, 1) {
                                owner.wake();
                            }
                        }
                    })
                })
                .collect();
            let mut seen = Vec::new();
            while seen.len() < 4 {
                if pile.len() == 0 {
                    owner.sleep(Duration::MAX);
                }
                seen.extend(pile.take());
            }
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            let of = |range: std::ops::Range<i32>| -> Vec<_> {
                seen.iter().copied().filter(|one| range.contains(one)).collect()
            };
            assert_eq!((of(0..10), of(10..20)), (vec![1, 2], vec![11, 12]));
            assert_eq!((pile.len(), pile.bytes()), (0, 0));
        });
    }
}
