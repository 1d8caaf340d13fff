//! Locks and atomics of what threads hand to one another. In models (feature `loom`) they are loom's, which tries all
//! interleavings.

#[cfg(feature = "loom")]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
#[cfg(feature = "loom")]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(feature = "loom")]
pub(crate) use loom::thread::{Thread, current};
#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "loom"))]
pub(crate) use std::thread::{Thread, current};

use std::sync::PoisonError;
use std::time::Duration;

/// Locks. A panic ends the process, so nobody ever meets what one left behind.
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps until it is woken, or for so long. In models nobody is woken by time.
pub(crate) fn park(_at_most: Duration) {
    #[cfg(feature = "loom")]
    loom::thread::park();
    #[cfg(not(feature = "loom"))]
    std::thread::park_timeout(_at_most);
}
