//! The locks of the partitions.
//!
//! With several workers each partition has a mutex (a futex that spins briefly and then parks). With one worker an
//! atomic exchange per lock and unlock would be the largest single cost of a pipelined GET, for nothing: then the
//! store is *exclusive*, the first thread that locks anything owns it, and a lock is a plain flag. Any other thread
//! that tries is a mistake of ours and aborts the process.
//!
//! Measured with one worker, 50 connections, pipeline 16, GET: 0.61 us of CPU per request with mutexes, see the
//! README for without.
//!
//! Invariant of the unsafe code: a value is reached only through a [`Held`]. Either its mutex is held, or the store is
//! exclusive, the current thread is the owner, and the flag was down; the flag is up while the `Held` lives. Which of
//! the two holds is fixed when the locks are made.

use crossbeam_utils::CachePadded;
#[cfg(feature = "loom")]
use loom::cell::{MutPtr, UnsafeCell};
#[cfg(feature = "loom")]
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(feature = "loom")]
use loom::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "loom"))]
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::sync::PoisonError;
#[cfg(not(feature = "loom"))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(feature = "loom"))]
use std::sync::{Mutex, MutexGuard};

/// A lock with its value, after what may be read without it.
#[derive(Debug)]
#[repr(C)]
struct Lock<H, T> {
    hints: H,
    mutex: Mutex<()>,
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time (see the head); what is read without the lock is Sync itself.
unsafe impl<H: Sync, T: Send> Sync for Lock<H, T> {}

/// All locks of a store.
#[derive(Debug)]
pub(crate) struct Locks<H, T> {
    locks: Box<[CachePadded<Lock<H, T>>]>,
    /// The thread that an exclusive store belongs to, 0 before the first lock; none for a shared store.
    owner: Option<AtomicUsize>,
}

/// A number that no other living thread has, and that is not 0.
#[inline]
fn this_thread() -> usize {
    thread_local! {
        static PLACE: u8 = const { 0 };
    }
    // A thread that is being torn down has no number any more; it must not lock, and finds that it is not the owner.
    PLACE.try_with(|place| std::ptr::from_ref(place).addr()).unwrap_or(0)
}

impl<H, T> Locks<H, T> {
    /// Bytes of a lock and what it holds.
    pub(crate) const EACH_BYTES: usize = size_of::<CachePadded<Lock<H, T>>>();

    pub(crate) fn new(values: impl Iterator<Item = (H, T)>, exclusive: bool) -> Locks<H, T> {
        let lock = |(hints, value)| {
            CachePadded::new(Lock {
                hints,
                mutex: Mutex::new(()),
                held: AtomicBool::new(false),
                value: UnsafeCell::new(value),
            })
        };
        Locks { locks: values.map(lock).collect(), owner: exclusive.then(AtomicUsize::default) }
    }

    pub(crate) fn len(&self) -> usize {
        self.locks.len()
    }

    #[inline]
    pub(crate) fn hints(&self, index: usize) -> &H {
        &self.locks[index].hints
    }

    /// Locks; waits for another thread, aborts on a second lock by the same one.
    #[inline]
    pub(crate) fn lock(&self, index: usize) -> Held<'_, H, T> {
        let lock = &*self.locks[index];
        let mutex = match &self.owner {
            Some(owner) => {
                lock.take(owner);
                None
            }
            // A panic aborts the process, so that a poisoned lock is never seen.
            None => Some(lock.mutex.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        Held::new(lock, mutex)
    }

    /// Locks if nobody holds it.
    #[inline]
    pub(crate) fn try_lock(&self, index: usize) -> Option<Held<'_, H, T>> {
        let lock = &*self.locks[index];
        let mutex = match &self.owner {
            Some(_) if lock.held.load(Ordering::Relaxed) => return None,
            Some(owner) => {
                lock.take(owner);
                None
            }
            None => Some(lock.mutex.try_lock().ok()?),
        };
        Some(Held::new(lock, mutex))
    }
}

impl<H, T> Lock<H, T> {
    #[inline]
    fn take(&self, owner: &AtomicUsize) {
        let (me, known) = (this_thread(), owner.load(Ordering::Relaxed));
        if known != me {
            adopt(owner, me);
        }
        if self.held.load(Ordering::Relaxed) {
            misused("a partition is locked twice");
        }
        self.held.store(true, Ordering::Relaxed);
    }
}

#[cold]
fn adopt(owner: &AtomicUsize, me: usize) {
    if me == 0 || owner.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire).is_err() {
        misused("an exclusive store is used by a second thread");
    }
}

#[cold]
fn misused(what: &str) -> ! {
    // A panic could be caught and the lock taken all the same.
    eprintln!("larder-store: {what}");
    std::process::abort()
}

/// A value whose lock is held.
#[derive(Debug)]
pub(crate) struct Held<'a, H, T> {
    lock: &'a Lock<H, T>,
    /// Tells loom from when to when the value is reached.
    #[cfg(feature = "loom")]
    value: MutPtr<T>,
    /// Dropped after the flag; none in an exclusive store.
    _mutex: Option<MutexGuard<'a, ()>>,
    /// Shared between threads only if the value may be.
    _value: PhantomData<&'a mut T>,
    #[cfg(feature = "holds")]
    _hold: crate::holds::Hold,
}

impl<'a, H, T> Held<'a, H, T> {
    #[inline]
    fn new(lock: &'a Lock<H, T>, mutex: Option<MutexGuard<'a, ()>>) -> Self {
        Held {
            lock,
            #[cfg(feature = "loom")]
            value: lock.value.get_mut(),
            _mutex: mutex,
            _value: PhantomData,
            #[cfg(feature = "holds")]
            _hold: crate::holds::Hold::begin(),
        }
    }

    #[inline]
    pub(crate) fn hints(&self) -> &'a H {
        &self.lock.hints
    }
}

impl<H, T> std::ops::Deref for Held<'_, H, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        #[cfg(not(feature = "loom"))]
        // SAFETY: the lock is held as long as `self` lives.
        let value = unsafe { &*self.lock.value.get() };
        #[cfg(feature = "loom")]
        // SAFETY: as above.
        let value = unsafe { self.value.deref() };
        value
    }
}

impl<H, T> std::ops::DerefMut for Held<'_, H, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        #[cfg(not(feature = "loom"))]
        // SAFETY: the lock is held as long as `self` lives, and `self` is borrowed exclusively.
        let value = unsafe { &mut *self.lock.value.get() };
        #[cfg(feature = "loom")]
        // SAFETY: as above.
        let value = unsafe { self.value.deref() };
        value
    }
}

impl<H, T> Drop for Held<'_, H, T> {
    #[inline]
    fn drop(&mut self) {
        // Without meaning in a shared store, and cheaper to do than to ask.
        self.lock.held.store(false, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn locks(exclusive: bool) -> Locks<(), u64> {
        Locks::new((0..4).map(|n| ((), n)), exclusive)
    }

    #[test]
    fn a_shared_store_is_counted_up_by_many_threads() {
        let locks = Arc::new(locks(false));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let locks = locks.clone();
                std::thread::spawn(move || (0..1000).for_each(|_| *locks.lock(1) += 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*locks.lock(1), 4001);
    }

    #[test]
    fn a_held_lock_is_not_taken_twice() {
        for exclusive in [false, true] {
            let locks = locks(exclusive);
            let held = locks.lock(2);
            assert!(locks.try_lock(2).is_none());
            assert!(locks.try_lock(3).is_some());
            drop(held);
            assert!(locks.try_lock(2).is_some());
        }
    }
}

/// All interleavings of a few threads: `cargo test -p larder-store --features loom model`.
#[cfg(all(test, feature = "loom"))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    fn locks() -> Arc<Locks<(), u64>> {
        Arc::new(Locks::new((0..2).map(|_| ((), 0)), false))
    }

    #[test]
    fn one_thread_at_a_time_reaches_a_value() {
        loom::model(|| {
            let locks = locks();
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let locks = locks.clone();
                    thread::spawn(move || *locks.lock(0) += 1)
                })
                .collect();
            let tried = locks.try_lock(0).map(|mut value| *value += 1);
            others.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(*locks.lock(0), 2 + u64::from(tried.is_some()));
        });
    }

    #[test]
    fn several_locks_in_ascending_order_are_one_step() {
        loom::model(|| {
            let locks = locks();
            let other = {
                let locks = locks.clone();
                thread::spawn(move || {
                    let (mut first, mut second) = (locks.lock(0), locks.lock(1));
                    (*first, *second) = (*first + 1, *second + 1);
                })
            };
            {
                let (first, second) = (locks.lock(0), locks.lock(1));
                assert_eq!(*first, *second);
            }
            other.join().unwrap();
        });
    }
}
