//! Keeping what is resident, not only what is in use, within `maxmemory`.
//!
//! What the allocator hands out is counted exactly, but the process holds more (the pages of the program itself, which
//! are of a file, not counted): freed pages that were not given back yet, slabs of which only some blocks are in use, and
//! large pages that the kernel made of a few small ones. Every [`MEASURE_EVERY_MS`] the kernel and the allocator are
//! asked, and what helps is begun in this order:
//!
//! 1. Near the bound the kernel makes no large pages any more. What was filled with them keeps them.
//! 2. Where slabs are too empty, workers move what is in them (`worker::compactor`).
//! 3. Beyond [`TARGET_BYTES`], or a share of a small `maxmemory`, unused pages are given back at once.
//! 4. What is still too much beyond [`EXCESS_BYTES`] counts as used, so that keys make room for it (or writes are refused,
//!    as the policy says).

use super::{allocator, anonymous_bytes, kept_bytes, pool, used_bytes};
use crate::background;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How far the resident size lies over `maxmemory` at most: the program, its stacks and tables, and what comes between
/// two measurements. `tests/test_bounds.py` holds the node to it. Buffers of clients that grow by more than that at once
/// still exceed it.
pub const RESIDENT_ALLOWANCE_BYTES: u64 = 64 << 20;

/// What is aimed at.
const TARGET_BYTES: u64 = RESIDENT_ALLOWANCE_BYTES / 2;
/// The same as a share of `maxmemory`, where that is less: there a few MiB of unused pages are many keys.
const TARGET_SHARE: u64 = 16;

/// Beyond this, workers give more of their time to moving.
const PRESSED_BYTES: u64 = RESIDENT_ALLOWANCE_BYTES / 8 * 3;

/// Beyond this, keys have to leave for what is resident without being of use.
const EXCESS_BYTES: u64 = RESIDENT_ALLOWANCE_BYTES / 4 * 3;

/// Bytes in sparse slabs from which on moving is worth its time; more of it where more is in use.
const SPARSE_BYTES: u64 = 4 << 20;
/// The same with a small `maxmemory`: this share of it, but at least so many bytes.
const SPARSE_SMALL_SHARE: u64 = 32;
const SPARSE_SMALL_BYTES: u64 = 512 << 10;
/// The share of what is in use that may lie in holes of slabs.
const SPARSE_SHARE: u64 = 12;
/// The same with a small `maxmemory`, where going through all keys takes milliseconds.
const SPARSE_SHARE_SMALL: u64 = 24;

/// Up to this `maxmemory` large pages are never made: a few of them are a large part of it.
pub const SMALL_BYTES: u64 = 256 << 20;

/// The share of `maxmemory` that may be given up for what is resident without being of use: keys that leave do not always
/// empty the pages they were in, and never must all of them leave for it.
const EXCESS_SHARE: u64 = 4;

/// Milliseconds between two measurements.
pub const MEASURE_EVERY_MS: u64 = 20;

static EXCESS: AtomicU64 = AtomicU64::new(0);
static MEASURING: AtomicBool = AtomicBool::new(false);
static SPARSE: AtomicBool = AtomicBool::new(false);
static PRESSED: AtomicBool = AtomicBool::new(false);
/// Blocks moved and left, keys of which something was moved, and keys of which nothing was.
static MOVED: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static LARGE_PAGES: AtomicBool = AtomicBool::new(true);

/// Bytes that `maxmemory` bounds: those in use, those that are kept for large blocks, and those that are resident without
/// being of use, beyond what is allowed.
#[inline]
pub fn bounded_bytes() -> u64 {
    used_bytes() + kept_bytes() + EXCESS.load(Ordering::Relaxed)
}

/// Bytes by which the resident size was too large when last measured.
pub fn excess_bytes() -> u64 {
    EXCESS.load(Ordering::Relaxed)
}

/// True while workers should move what lies in sparse slabs.
#[inline]
pub fn is_sparse() -> bool {
    SPARSE.load(Ordering::Relaxed)
}

/// True when the resident size is so large that moving is urgent.
pub fn is_pressed() -> bool {
    PRESSED.load(Ordering::Relaxed)
}

/// What was moved out of sparse slabs, and what was looked at and left where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Blocks.
    pub blocks: [u64; 2],
    /// Keys of which some block was moved, and others.
    pub keys: [u64; 2],
}

/// Counts what was moved and left.
pub fn note_moved(more: Moved) {
    let counts = more.blocks.into_iter().chain(more.keys);
    MOVED.iter().zip(counts).for_each(|(all, count)| {
        all.fetch_add(count, Ordering::Relaxed);
    });
}

/// What was moved and left since the start, or since CONFIG RESETSTAT.
pub fn moved() -> Moved {
    let [moved, left, keys_moved, keys_left] = std::array::from_fn(|at| MOVED[at].load(Ordering::Relaxed));
    Moved { blocks: [moved, left], keys: [keys_moved, keys_left] }
}

/// Counts from 0 again.
pub fn forget_moved() {
    MOVED.iter().for_each(|count| count.store(0, Ordering::Relaxed));
}

/// To be called with the first `maxmemory`, before much is allocated: what is in a large page by then stays in it.
pub fn prepare(maxmemory: u64) {
    if maxmemory > 0 && large_pages_are_too_large(0, maxmemory) {
        allow_large_pages(false);
    }
}

/// Measures, in the background; `maxmemory` 0 ends the bound.
pub fn measure(maxmemory: u64) {
    if pool::grow_old() {
        background::run_later(pool::release);
    }
    if maxmemory == 0 {
        EXCESS.store(0, Ordering::Relaxed);
        SPARSE.store(false, Ordering::Relaxed);
        PRESSED.store(false, Ordering::Relaxed);
        allow_large_pages(true);
        return;
    }
    if MEASURING.swap(true, Ordering::Relaxed) {
        return;
    }
    let work = move || {
        judge(maxmemory);
        MEASURING.store(false, Ordering::Relaxed);
    };
    if !background::run_later(work) {
        MEASURING.store(false, Ordering::Relaxed);
    }
}

fn judge(maxmemory: u64) {
    let (resident, used) = (anonymous_bytes(), used_bytes());
    if large_pages_are_too_large(resident, maxmemory) {
        allow_large_pages(false);
    } else if resident < maxmemory / 2 && maxmemory > SMALL_BYTES {
        allow_large_pages(true);
    }
    let holes = match resident > maxmemory {
        true => allocator::figures(used, resident).holes_bytes(),
        false => 0, // they hurt nobody, and asking for them is work
    };
    SPARSE.store(is_worth_moving(holes, used, maxmemory, is_sparse()), Ordering::Relaxed);
    let target = maxmemory.saturating_add(TARGET_BYTES.min(maxmemory / TARGET_SHARE));
    PRESSED.store(resident > maxmemory.saturating_add(PRESSED_BYTES), Ordering::Relaxed);
    if resident > target {
        allocator::purge();
    }
    EXCESS.store(excess(used_bytes(), anonymous_bytes(), maxmemory), Ordering::Relaxed);
}

fn large_pages_are_too_large(resident: u64, maxmemory: u64) -> bool {
    maxmemory <= SMALL_BYTES || resident > maxmemory / 8 * 7
}

/// Tells the kernel, when that is something new, whether it may make large pages of small ones; and whether pages of large
/// blocks are kept.
fn allow_large_pages(allowed: bool) {
    if LARGE_PAGES.swap(allowed, Ordering::Relaxed) != allowed {
        pool::allow(allowed);
        // Where the kernel has no such switch, it makes them as before.
        let _ = rustix::thread::disable_transparent_huge_pages(!allowed);
    }
}

/// Whether moving should begin, or go on once it began.
fn is_worth_moving(holes: u64, used: u64, maxmemory: u64, moving: bool) -> bool {
    let small = (maxmemory / SPARSE_SMALL_SHARE).clamp(SPARSE_SMALL_BYTES, SPARSE_BYTES);
    let share = if maxmemory <= SMALL_BYTES { SPARSE_SHARE_SMALL } else { SPARSE_SHARE };
    let allowed = small.max(used / share);
    let allowed = if moving { allowed / 4 * 3 } else { allowed };
    holes > allowed
}

/// What has to count as used so that the resident size falls.
fn excess(used: u64, resident: u64, maxmemory: u64) -> u64 {
    match resident > maxmemory.saturating_add(EXCESS_BYTES) {
        true => resident.saturating_sub(used).saturating_sub(EXCESS_BYTES).min(maxmemory / EXCESS_SHARE),
        false => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_resident_beyond_the_target_counts() {
        let (max, target) = (1 << 30, EXCESS_BYTES);
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

    #[test]
    fn moving_ends_below_where_it_began() {
        let used = 960 << 20;
        let allowed = used / SPARSE_SHARE;
        let max = 1 << 30;
        assert!(is_worth_moving(allowed + 1, used, max, false));
        assert!(!is_worth_moving(allowed, used, max, false));
        assert!(is_worth_moving(allowed, used, max, true));
        assert!(!is_worth_moving(allowed / 4 * 3, used, max, true));
        assert!(!is_worth_moving(SPARSE_BYTES, 1 << 20, max, false), "too little to bother");
        assert!(is_worth_moving(SPARSE_BYTES, 20 << 20, 20 << 20, false), "a fifth of a small node");
        assert!(!is_worth_moving(SPARSE_SMALL_BYTES, 1 << 20, 1 << 20, false), "too little for any");
    }

    #[test]
    fn large_pages_end_near_the_bound_and_with_a_small_one() {
        assert!(large_pages_are_too_large(0, SMALL_BYTES));
        assert!(!large_pages_are_too_large(1 << 30, 2 << 30));
        assert!(large_pages_are_too_large((2 << 30) - 1, 2 << 30));
    }
}
