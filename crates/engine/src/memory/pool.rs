//! Mappings that blocks no longer need, kept for a moment with the pages in them: who stores large values again and again
//! would otherwise have the kernel clear the same pages for each of them.
//!
//! What is here is in use by nobody and still resident, so it counts where `maxmemory` is compared, and it is bounded: at most
//! [`BYTES_MAX`], nothing near `maxmemory`, and nothing once no block was taken or kept for [`IDLE_LOOKS`] looks.
//!
//! Invariant: each range is mapped, and no block has any part of it. Ranges do not overlap. One that begins at a multiple of
//! [`ALIGN`] may begin a mapping of its own, and is never joined to what lies before it: a block that reaches from one mapping
//! into another is refused by the kernel when it grows, and copied.

use super::mapped::{ALIGN, give_back};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are kept: what two values of 10 MB and the buffer that a third arrives in take.
pub(super) const BYTES_MAX: usize = 32 << 20;
/// Ranges that are kept.
const RANGES_MAX: usize = 16;
/// A larger range is split for a block only if that takes this share of it; what is left over is of use to that block alone,
/// when it grows.
const SPLIT_SHARE: usize = 16;
/// Looks, see [`grow_old`], without a block that was taken or kept, after which nothing is kept: half a second.
const IDLE_LOOKS: u32 = 25;

struct Range {
    start: *mut u8,
    length: usize,
}

impl Range {
    const NONE: Range = Range { start: std::ptr::null_mut(), length: 0 };

    fn end(&self) -> *mut u8 {
        self.start.wrapping_add(self.length)
    }

    fn is_aligned(&self) -> bool {
        self.start.addr().is_multiple_of(ALIGN)
    }
}

/// Ranges, those kept longest first.
struct Pool {
    ranges: [Range; RANGES_MAX],
    count: usize,
    bytes: usize,
}

// SAFETY: what the addresses lead to is nobody else's, see the invariant.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { ranges: [const { Range::NONE }; RANGES_MAX], count: 0, bytes: 0 });
/// As in the pool, to be read without its lock.
static BYTES: AtomicU64 = AtomicU64::new(0);
static ALLOWED: AtomicBool = AtomicBool::new(true);
static TOUCHED: AtomicBool = AtomicBool::new(false);
static IDLE: AtomicU32 = AtomicU32::new(0);

impl Pool {
    fn remove(&mut self, at: usize) -> Range {
        let range = std::mem::replace(&mut self.ranges[at], Range::NONE);
        self.ranges[at..self.count].rotate_left(1);
        self.count -= 1;
        self.bytes -= range.length;
        range
    }

    /// Adds a range; there is room for it.
    fn push(&mut self, range: Range) {
        if range.length > 0 {
            self.bytes += range.length;
            self.ranges[self.count] = range;
            self.count += 1;
        }
    }

    fn find(&self, is_it: impl Fn(&Range) -> bool) -> Option<usize> {
        self.ranges[..self.count].iter().position(is_it)
    }

    fn tell(&self) {
        BYTES.store(self.bytes as u64, Ordering::Relaxed);
        TOUCHED.store(true, Ordering::Relaxed);
    }
}

fn lock() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are kept.
#[inline]
pub(super) fn bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// A range of that length, with whatever was in it, that begins at a multiple of [`ALIGN`]. `None` if none is kept that fits.
pub(super) fn take(length: usize) -> Option<*mut u8> {
    if bytes() == 0 {
        return None;
    }
    let mut pool = lock();
    let exact = pool.find(|range| range.is_aligned() && range.length == length);
    // The largest: a block that is about to grow finds the rest of it behind itself.
    let largest = || {
        let fits = |range: &Range| {
            range.is_aligned() && range.length > length && range.length / SPLIT_SHARE <= length
        };
        (0..pool.count).filter(|at| fits(&pool.ranges[*at])).max_by_key(|at| pool.ranges[*at].length)
    };
    let at = exact.or_else(largest)?;
    let Range { start, length: whole } = pool.remove(at);
    pool.push(Range { start: start.wrapping_add(length), length: whole - length });
    pool.tell();
    Some(start)
}

/// Lengthens a block that ends there, by what lies behind it and was kept; false if that is not enough, and then it is free
/// for the kernel to use.
pub(super) fn take_behind(end: *mut u8, length: usize) -> bool {
    if bytes() == 0 || end.addr().is_multiple_of(ALIGN) {
        return false;
    }
    let mut pool = lock();
    let Some(at) = pool.find(|range| range.start == end) else { return false };
    let range = pool.remove(at);
    let enough = range.length >= length;
    let left = if enough { length } else { 0 };
    if enough {
        pool.push(Range { start: end.wrapping_add(left), length: range.length - left });
    }
    pool.tell();
    drop(pool);
    if !enough {
        // SAFETY: nobody has any part of it, and it is in the pool no more.
        unsafe { give_back(range.start, range.length) };
    }
    enough
}

/// Keeps a range, if so much may be kept; false if it is still the caller's. What was kept longest goes for it.
///
/// # Safety
/// The range is a whole block of one mapping, which nobody uses any more.
pub(super) unsafe fn keep(start: *mut u8, length: usize) -> bool {
    if length > BYTES_MAX || !ALLOWED.load(Ordering::Relaxed) {
        return false;
    }
    let mut gone = [const { Range::NONE }; RANGES_MAX + 1];
    let mut pool = lock();
    let mut range = Range { start, length };
    let behind = pool.find(|other| other.start == range.end() && !other.is_aligned());
    if let Some(at) = behind {
        range.length += pool.remove(at).length;
    }
    let mut count = 0;
    while pool.count > 0 && (pool.count == RANGES_MAX || pool.bytes + range.length > BYTES_MAX) {
        gone[count] = pool.remove(0);
        count += 1;
    }
    if range.length <= BYTES_MAX {
        pool.push(range);
    } else {
        gone[count] = range;
        count += 1;
    }
    pool.tell();
    drop(pool);
    for range in &gone[..count] {
        // SAFETY: nobody has any part of it, and it is in the pool no more.
        unsafe { give_back(range.start, range.length) };
    }
    true
}

/// From now on ranges are kept, or are not: then those that are kept go.
pub(super) fn allow(allowed: bool) {
    ALLOWED.store(allowed, Ordering::Relaxed);
    if !allowed {
        release();
    }
}

/// Gives back all that is kept.
pub(super) fn release() {
    if bytes() == 0 {
        return;
    }
    let mut pool = lock();
    let ranges = std::mem::replace(&mut pool.ranges, [const { Range::NONE }; RANGES_MAX]);
    (pool.count, pool.bytes) = (0, 0);
    pool.tell();
    drop(pool);
    for range in ranges.iter().filter(|range| range.length > 0) {
        // SAFETY: nobody has any part of it, and it is in the pool no more.
        unsafe { give_back(range.start, range.length) };
    }
}

/// One look; true if nothing was taken or kept for so many of them that what is kept should go.
pub(super) fn grow_old() -> bool {
    if bytes() == 0 {
        return false;
    }
    if TOUCHED.swap(false, Ordering::Relaxed) {
        IDLE.store(0, Ordering::Relaxed);
    }
    IDLE.fetch_add(1, Ordering::Relaxed) >= IDLE_LOOKS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Counting;
    use std::alloc::{GlobalAlloc, Layout};
    use tikv_jemallocator::Jemalloc;

    const MB: usize = 1 << 20;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    #[test]
    fn a_block_leaves_its_pages_to_the_next_one_of_its_size_but_not_what_is_in_them_to_a_clean_one() {
        let allocator = Counting(Jemalloc);
        release();
        // SAFETY: the layouts are those that the blocks have; what is read was written, or is a clean block's.
        unsafe {
            let first = allocator.alloc(layout(10 * MB));
            first.write_bytes(7, 10 * MB);
            allocator.dealloc(first, layout(10 * MB));
            assert_eq!(bytes(), 10 * MB as u64);
            let clean = allocator.alloc_zeroed(layout(10 * MB));
            assert!(std::slice::from_raw_parts(clean, 10 * MB).iter().all(|byte| *byte == 0));
            let again = allocator.alloc(layout(10 * MB));
            assert_eq!((again, bytes()), (first, 0));
            allocator.dealloc(clean, layout(10 * MB));
            allocator.dealloc(again, layout(10 * MB));
        }
        assert_eq!(bytes(), 20 * MB as u64);
        release();
        assert_eq!(bytes(), 0);
    }

    #[test]
    fn a_block_grows_into_what_was_left_over_of_a_larger_one() {
        let allocator = Counting(Jemalloc);
        release();
        // SAFETY: the layouts are those that the blocks have; what is read was written.
        unsafe {
            let large = allocator.alloc(layout(17 * MB));
            allocator.dealloc(large, layout(17 * MB));
            let mut block = allocator.alloc(layout(3 * MB));
            assert_eq!((block, bytes()), (large, 14 * MB as u64));
            block.write_bytes(1, 3 * MB);
            for (from, to) in [(3, 5), (5, 17)] {
                block = allocator.realloc(block, layout(from * MB), to * MB);
                assert_eq!((block, bytes()), (large, (17 - to as u64) * MB as u64));
            }
            // Beyond what was left over, it goes where there is room.
            block = allocator.realloc(block, layout(17 * MB), 40 * MB);
            assert!(std::slice::from_raw_parts(block, 3 * MB).iter().all(|byte| *byte == 1));
            allocator.dealloc(block, layout(40 * MB));
        }
        assert_eq!(bytes(), 0, "that was more than is kept");
    }

    #[test]
    fn what_is_kept_is_bounded_and_goes_when_nobody_takes_it_or_may() {
        let allocator = Counting(Jemalloc);
        // SAFETY: the layouts are those that the blocks have.
        unsafe {
            let blocks: Vec<_> = (0..40).map(|n| allocator.alloc(layout((2 + n % 5) * MB))).collect();
            for (n, block) in blocks.into_iter().enumerate() {
                allocator.dealloc(block, layout((2 + n % 5) * MB));
                assert!(bytes() <= BYTES_MAX as u64);
            }
            assert!(bytes() > BYTES_MAX as u64 / 2);
            assert!(!grow_old());
            assert!((0..IDLE_LOOKS).any(|_| grow_old()));
            allow(false);
            assert_eq!(bytes(), 0);
            let block = allocator.alloc(layout(3 * MB));
            allocator.dealloc(block, layout(3 * MB));
            assert_eq!(bytes(), 0);
            allow(true);
        }
    }

    #[test]
    fn blocks_keep_what_is_in_them_whatever_the_others_do() {
        let allocator = Counting(Jemalloc);
        let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
        let mut random = 1u64;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (random >> 33) as usize % below
        };
        // Marks at the ends of each page that are cheap to write and to read.
        let marks = |size: usize| (0..size).step_by(4096).chain([size - 1]);
        for step in 0..3000 {
            let size = draw(9 * MB) + 1;
            // SAFETY: the layouts are those that the blocks have; what is read was written.
            unsafe {
                match draw(3) {
                    0 if blocks.len() < 12 => {
                        let (start, byte) = (allocator.alloc(layout(size)), step as u8);
                        marks(size).for_each(|at| start.add(at).write(byte));
                        blocks.push((start, size, byte));
                    }
                    1 if !blocks.is_empty() => {
                        let at = draw(blocks.len());
                        let (start, before, byte) = blocks[at];
                        let start = allocator.realloc(start, layout(before), size);
                        let kept = |at: &usize| *at < before.min(size) && at.is_multiple_of(4096);
                        assert!(marks(size).filter(kept).all(|at| start.add(at).read() == byte));
                        marks(size).for_each(|at| start.add(at).write(byte));
                        blocks[at] = (start, size, byte);
                    }
                    _ if !blocks.is_empty() => {
                        let (start, size, byte) = blocks.swap_remove(draw(blocks.len()));
                        assert!(marks(size).all(|at| start.add(at).read() == byte), "step {step}");
                        allocator.dealloc(start, layout(size));
                    }
                    _ => {}
                }
            }
            assert!(bytes() <= BYTES_MAX as u64);
        }
        for (start, size, byte) in blocks {
            // SAFETY: as above.
            unsafe {
                assert!(marks(size).all(|at| start.add(at).read() == byte));
                allocator.dealloc(start, layout(size));
            }
        }
    }
}
