//! Locks and atomics of what threads hand to one another. In models (feature `loom`) they are loom's, which tries all
//! interleavings.

#[cfg(feature = "loom")]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
#[cfg(feature = "loom")]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::{Mutex, MutexGuard};

use std::sync::PoisonError;
use std::time::Duration;

/// Locks. A panic ends the process, so nobody ever meets what one left behind.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that sleeps until it is woken. A wake-up while it is awake ends its next sleep at once.
#[derive(Debug, Default)]
pub(crate) struct Sleeper(imp::Sleeper);

impl Sleeper {
    /// Says that it is this thread. Who wakes it before wakes nobody.
    pub(crate) fn claim(&self) {
        self.0.claim();
    }

    /// Sleeps, for so long at most; the thread is the one that claimed it. In models nobody is woken by time.
    pub(crate) fn sleep(&self, at_most: Duration) {
        self.0.sleep(at_most);
    }

    /// Wakes it.
    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}

#[cfg(not(feature = "loom"))]
mod imp {
    use std::sync::OnceLock;
    use std::thread::{Thread, current, park_timeout};
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(super) struct Sleeper(OnceLock<Thread>);

    impl Sleeper {
        pub(super) fn claim(&self) {
            let _ = self.0.set(current()); // there is one
        }

        pub(super) fn sleep(&self, at_most: Duration) {
            park_timeout(at_most);
        }

        pub(super) fn wake(&self) {
            if let Some(thread) = self.0.get() {
                thread.unpark();
            }
        }
    }
}

#[cfg(feature = "loom")]
mod imp {
    use loom::sync::Notify;
    use std::time::Duration;

    // Not `park`: in loom a thread that waits for a lock is woken by `unpark` too, and does not expect it.
    #[derive(Debug)]
    pub(super) struct Sleeper(Notify);

    impl Default for Sleeper {
        fn default() -> Sleeper {
            Sleeper(Notify::new())
        }
    }

    impl Sleeper {
        pub(super) fn claim(&self) {}

        pub(super) fn sleep(&self, _at_most: Duration) {
            self.0.wait();
        }

        pub(super) fn wake(&self) {
            self.0.notify();
        }
    }
}
