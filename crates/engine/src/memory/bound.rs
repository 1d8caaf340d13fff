//! Keeping what is resident, not only what is in use, within `maxmemory`.
//!
//! What the allocator hands out is counted exactly, but the process holds more: pages of which only some blocks are in
//! use, freed pages that were not given back yet, the program itself. Every [`MEASURE_EVERY_MS`] the kernel is asked; if
//! more is resident than `maxmemory` and [`TARGET_BYTES`], unused pages are given back at once, and what is still too
//! much counts as used from then on, so that keys make room for it (or writes are refused, as the policy says).

use super::{allocator, resident_bytes, used_bytes};
use crate::background;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far the resident size should lie over `maxmemory` at most: the program, its stacks and tables, and what comes between
/// two measurements. Not kept yet under fast churn: `tests/test_bounds.py` shows it.
pub const RESIDENT_ALLOWANCE_BYTES: u64 = 64 << 20;

/// What is aimed at.
const TARGET_BYTES: u64 = RESIDENT_ALLOWANCE_BYTES / 2;

/// The share of `maxmemory` that may be given up for what is resident without being of use: keys that leave do not always
/// empty the pages they were in, and never must all of them leave for it.
const EXCESS_SHARE: u64 = 4;

/// Milliseconds between two measurements.
pub const MEASURE_EVERY_MS: u64 = 100;

static EXCESS: AtomicU64 = AtomicU64::new(0);
static MEASURING: AtomicBool = AtomicBool::new(false);

/// Bytes that `maxmemory` bounds: those in use, and those that are resident without being of use, beyond what is allowed.
#[inline]
pub fn bounded_bytes() -> u64 {
    used_bytes() + EXCESS.load(Ordering::Relaxed)
}

/// Bytes by which the resident size was too large when last measured.
pub fn excess_bytes() -> u64 {
    EXCESS.load(Ordering::Relaxed)
}

/// Measures, in the background; `maxmemory` 0 ends the bound.
pub fn measure(maxmemory: u64) {
    if maxmemory == 0 {
        EXCESS.store(0, Ordering::Relaxed);
        return;
    }
    if MEASURING.swap(true, Ordering::Relaxed) {
        return;
    }
    let work = move || {
        if resident_bytes() > maxmemory.saturating_add(TARGET_BYTES) {
            allocator::purge();
        }
        let excess = excess(used_bytes(), resident_bytes(), maxmemory);
        EXCESS.store(excess, Ordering::Relaxed);
        MEASURING.store(false, Ordering::Relaxed);
    };
    if !background::run_later(work) {
        MEASURING.store(false, Ordering::Relaxed);
    }
}

/// What has to count as used so that the resident size falls to the target.
fn excess(used: u64, resident: u64, maxmemory: u64) -> u64 {
    match resident > maxmemory.saturating_add(TARGET_BYTES) {
        true => resident.saturating_sub(used).saturating_sub(TARGET_BYTES).min(maxmemory / EXCESS_SHARE),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_resident_beyond_the_target_counts() {
        let (max, target) = (1 << 30, TARGET_BYTES);
        assert_eq!(excess(max, max + target, max), 0);
        assert_eq!(excess(max / 2, max, max), 0);
        // Keys of as many bytes as there are too many have to go, whatever is in use.
        for used in [max / 8 * 7, max - 1000] {
            let over = excess(used, max + target + 1000, max);
            assert_eq!((used + over).checked_sub(max), Some(1000));
        }
        assert_eq!(excess(max, u64::MAX, u64::MAX), 0);
        assert_eq!(excess(0, 10 * max, max), max / EXCESS_SHARE);
    }
}
