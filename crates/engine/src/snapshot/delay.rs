//! `rdb-key-save-delay` and `key-load-delay`: saves and loads that take their time, so that tests can look at them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long is slept at once: who waits for the end of it sees soon that it is over.
const SLICE: Duration = Duration::from_millis(10);

/// What a delay is, and for how many keys it was kept already.
#[derive(Debug, Default)]
pub struct Delay {
    /// Microseconds for each key; negative: keys for each microsecond; 0 = none.
    pub per_key: AtomicI64,
}

/// The keys that came so far, for one save or load.
#[derive(Debug, Default)]
pub struct Rested(AtomicU64);

impl From<u64> for Rested {
    fn from(keys: u64) -> Rested {
        Rested(AtomicU64::new(keys))
    }
}

impl Delay {
    /// True if there is one.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.per_key.load(Ordering::Relaxed) != 0
    }

    /// Rests for the keys that came since the last time, unless the delay is taken back or `is_over` says so.
    #[inline]
    pub fn rest(&self, keys: u64, rested: &Rested, is_over: impl Fn() -> bool) {
        if self.is_on() {
            self.rest_for(keys.saturating_sub(rested.0.swap(keys, Ordering::Relaxed)), is_over);
        }
    }

    #[cold]
    fn rest_for(&self, keys: u64, is_over: impl Fn() -> bool) {
        let began = Instant::now();
        loop {
            let wanted = Duration::from_micros(match self.per_key.load(Ordering::Relaxed) {
                many @ ..0 => keys / many.unsigned_abs(),
                long => keys.saturating_mul(long.unsigned_abs()),
            });
            let left = wanted.saturating_sub(began.elapsed());
            if left.is_zero() || is_over() {
                return;
            }
            std::thread::sleep(left.min(SLICE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_for_new_keys_until_it_is_over() {
        let (delay, rested) = (Delay::default(), Rested::default());
        delay.rest(10, &rested, || panic!("there is no delay"));
        delay.per_key.store(i64::MAX, Ordering::Relaxed);
        let calls = AtomicU64::new(0);
        delay.rest(10, &rested, || calls.fetch_add(1, Ordering::Relaxed) == 2);
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        delay.rest(10, &rested, || panic!("no key came"));
        delay.per_key.store(-10, Ordering::Relaxed);
        delay.rest(15, &rested, || panic!("five keys are nothing"));
    }
}
