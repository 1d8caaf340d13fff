//! Very large blocks, each a mapping of its own, which grows without being copied.
//!
//! The index of a partition and the buffer of a value are vectors that grow by a part of their size. An allocator would
//! copy a hundred megabytes for that, while the partition is held; the kernel moves entries of page tables instead: with
//! both ends at a multiple of what one table holds, one entry for each [`ALIGN`] bytes.
//!
//! The kernel bounds the mappings of a process (`vm.max_map_count`, 65530 where nobody changed it), and one that reached
//! that bound cannot go on. So there are at most [`MAPPINGS_MAX`]; further large blocks are the allocator's, a little
//! *displaced*, so that where a block begins tells what it is.
//!
//! A block that is not used any more leaves its pages to the next ones for a moment ([`pool`]).
//!
//! Invariant: a block of at least [`MAPPED_BYTES`] that begins at a multiple of [`ALIGN`] is a mapping, as long as its size,
//! rounded up to pages. Another one of that size begins by its [`displacement`] behind a block of the allocator that is
//! aligned to twice as much (so never at a multiple of [`ALIGN`]). Smaller blocks, and those that must be aligned to [`ALIGN`] or more,
//! are the allocator's as they are.

use super::pool;
use rustix::mm::{
    Advice, MapFlags, MremapFlags, ProtFlags, madvise, mmap_anonymous, mremap, mremap_fixed, munmap,
};
use std::alloc::Layout;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks from this size on are mappings. Smaller ones are copied in a fraction of a millisecond.
pub(super) const MAPPED_BYTES: usize = 2 << 20;
/// What a table of pages covers, and a large page.
pub(super) const ALIGN: usize = 2 << 20;
const PAGE_BYTES: usize = 4096;
const CACHE_LINE_BYTES: usize = 64;

/// Mappings at a time: a quarter of what kernels allow. The allocator needs some, and a mapping whose neighbour is like it
/// counts as one with it.
pub(super) const MAPPINGS_MAX: u64 = 16 * 1024;

/// Bytes in all mappings.
static MAPPED: AtomicU64 = AtomicU64::new(0);
/// How many there are.
static MAPPINGS: AtomicU64 = AtomicU64::new(0);

/// Bytes in blocks that are mappings.
pub(super) fn bytes() -> u64 {
    MAPPED.load(Ordering::Relaxed)
}

/// True if a block of this size and alignment is a mapping, or displaced.
#[inline]
pub(super) const fn is_large(layout: Layout) -> bool {
    layout.size() >= MAPPED_BYTES && layout.align() < ALIGN
}

/// How far a displaced block begins behind the allocator's: within its first page, unless it is to be aligned to more.
pub(super) fn displacement(layout: Layout) -> usize {
    layout.align().max(CACHE_LINE_BYTES)
}

/// What a displaced block is a part of. `None` for sizes that no block has.
pub(super) fn around(layout: Layout) -> Option<Layout> {
    let before = displacement(layout);
    Layout::from_size_align(layout.size().checked_add(before)?, before * 2).ok()
}

/// True if a block may be a mapping, going by where it is.
#[inline]
pub(super) fn may_be_mapped(block: *const u8) -> bool {
    block.addr().is_multiple_of(ALIGN)
}

fn length(size: usize) -> usize {
    size.next_multiple_of(PAGE_BYTES)
}

/// A mapping, full of zeros if it is to be `clean`; null if there are enough, or the kernel has none. `size` is that of a
/// valid layout.
pub(super) fn map(size: usize, clean: bool) -> *mut u8 {
    let length = length(size);
    if MAPPINGS.fetch_add(1, Ordering::Relaxed) >= MAPPINGS_MAX {
        MAPPINGS.fetch_sub(1, Ordering::Relaxed);
        return std::ptr::null_mut();
    }
    if let Some(start) = if clean { None } else { pool::take(length) } {
        MAPPED.fetch_add(length as u64, Ordering::Relaxed);
        return start;
    }
    let Some(start) = reserve(length) else {
        MAPPINGS.fetch_sub(1, Ordering::Relaxed);
        return std::ptr::null_mut();
    };
    // SAFETY: the range is the mapping that was just made. It works without large pages too.
    let _ = unsafe { madvise(start, length, Advice::LinuxHugepage) };
    MAPPED.fetch_add(length as u64, Ordering::Relaxed);
    start.cast()
}

/// A mapping that begins where it should.
fn reserve(length: usize) -> Option<*mut c_void> {
    let new = |length| {
        // SAFETY: without an address the kernel chooses a range that nobody uses.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        start.ok()
    };
    let start = new(length)?;
    if start.addr().is_multiple_of(ALIGN) {
        return Some(start);
    }
    // SAFETY: it was just made, and nobody has seen it.
    let _ = unsafe { munmap(start, length) };
    let wide = new(length.checked_add(ALIGN)?)?;
    let before = wide.addr().next_multiple_of(ALIGN) - wide.addr();
    let start = wide.wrapping_byte_add(before);
    // SAFETY: both ranges are parts of what was just made, outside of what is kept. A range of no pages is refused, which
    // changes nothing.
    unsafe {
        let _ = munmap(wide, before);
        let _ = munmap(start.wrapping_byte_add(length), ALIGN - before);
    }
    Some(start)
}

/// Gives a block back.
///
/// # Safety
/// The block came from [`map`] or [`remap`] with this size, and is not used any more.
pub(super) unsafe fn unmap(block: *mut u8, size: usize) {
    // SAFETY: the caller's promise: the range is a whole block, of one mapping.
    unsafe {
        if !pool::keep(block, length(size)) {
            give_back(block, length(size));
        }
    }
    MAPPED.fetch_sub(length(size) as u64, Ordering::Relaxed);
    MAPPINGS.fetch_sub(1, Ordering::Relaxed);
}

/// Gives pages back to the kernel.
///
/// # Safety
/// The range is part of a mapping of ours, and nobody uses it any more.
pub(super) unsafe fn give_back(start: *mut u8, length: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { munmap(start.cast(), length) };
}

/// Makes a block longer or shorter; it may move. Null if there is no memory, and then it is as it was.
///
/// # Safety
/// The block came from here with the size `from`; both sizes are at least [`MAPPED_BYTES`].
pub(super) unsafe fn remap(block: *mut u8, from: usize, to: usize) -> *mut u8 {
    let (before, after) = (length(from), length(to));
    if before == after {
        return block;
    }
    if after > before && pool::take_behind(block.wrapping_add(before), after - before) {
        MAPPED.fetch_add((after - before) as u64, Ordering::Relaxed);
        return block;
    }
    // SAFETY: the caller's promise: the range is a whole block, of one mapping, which stays where it is.
    let there = unsafe { mremap(block.cast(), before, after, MremapFlags::empty()) };
    let start = match there {
        Ok(start) => start,
        Err(_) => {
            let Some(target) = reserve(after) else { return std::ptr::null_mut() };
            // SAFETY: as above; the target is a mapping that nobody has seen, whose place the block takes.
            match unsafe { mremap_fixed(block.cast(), before, after, MremapFlags::MAYMOVE, target) } {
                Ok(start) => start,
                Err(_) => {
                    // SAFETY: nobody has seen the target.
                    let _ = unsafe { munmap(target, after) };
                    return std::ptr::null_mut();
                }
            }
        }
    };
    MAPPED.fetch_add((after as u64).wrapping_sub(before as u64), Ordering::Relaxed);
    start.cast()
}
