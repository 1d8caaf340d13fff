//! How long partitions are held, for measuring (feature `holds`): the longest, and how many were as long as which power
//! of two. The store reads no clock; who measures gives it one. The processor time of the calling thread tells what a
//! hold costs, also on a machine that does other things meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Powers of two that are told apart, in nanoseconds.
pub const POWERS: usize = 40;

static CLOCK: OnceLock<fn() -> u64> = OnceLock::new();
static LONGEST: AtomicU64 = AtomicU64::new(0);
static COUNTS: [AtomicU64; POWERS] = [const { AtomicU64::new(0) }; POWERS];

/// From now on holds are measured with this clock, which counts nanoseconds.
pub fn measure(clock: fn() -> u64) {
    let _first_wins = CLOCK.set(clock);
}

/// The longest hold, nanoseconds, and the numbers of holds below each power of two (and at least the one before).
pub fn take() -> (u64, [u64; POWERS]) {
    let counts = std::array::from_fn(|power| COUNTS[power].swap(0, Ordering::Relaxed));
    (LONGEST.swap(0, Ordering::Relaxed), counts)
}

/// A hold that goes on.
#[derive(Debug)]
pub(crate) struct Hold(Option<u64>);

impl Hold {
    pub(crate) fn begin() -> Hold {
        Hold(CLOCK.get().map(|clock| clock()))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let (Some(began), Some(clock)) = (self.0, CLOCK.get()) {
            let took = clock().saturating_sub(began);
            LONGEST.fetch_max(took, Ordering::Relaxed);
            let power = (u64::BITS - took.leading_zeros()) as usize;
            COUNTS[power.min(POWERS - 1)].fetch_add(1, Ordering::Relaxed);
        }
    }
}
