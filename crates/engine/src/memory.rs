//! How much memory the process holds: an allocator that counts.
//!
//! Every allocation of the process goes through [`Counting`], so `used_memory` and `maxmemory` include tables, items,
//! client buffers and everything else. Counting is two additions to thread-local numbers; a thread tells the shared
//! total only when it moved by [`FLUSH_BYTES`], so the total is exact to that per thread.

pub mod allocator;
pub mod bound;
mod mapped;
mod pool;
pub mod slab;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

/// A thread's change that is worth telling.
const FLUSH_BYTES: i64 = 64 * 1024;

/// Options of jemalloc. Keys and items are spread at random over all memory: large pages save a walk of the page table
/// for each. (GET at pipeline 16 with a million keys: 17 % less CPU.) What was freed goes back to the system within half a
/// second. (Within five, SET at pipeline 100 into an empty node costs 3 % less, as a growing index finds its large pages
/// whole, but a million small keys take 3 to 6 bytes more each.) Near `maxmemory` it goes at once (`bound`).
// SAFETY: jemalloc, as it is built here, looks for a string of C under this name and only reads it; nothing else has the name.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_OPTIONS: &std::ffi::CStr =
    c"thp:always,metadata_thp:always,background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0";

static USED: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static DELTA: Cell<i64> = const { Cell::new(0) };
}

/// An allocator that counts what another one hands out.
#[derive(Debug)]
pub struct Counting<A>(pub A);

/// Alignment that the allocator gives every block. (Its usual 16 would round items of 17 to 24 bytes up to 32, and so
/// on: a tenth of the memory of small items. `.cargo/config.toml` builds it with 8.)
const QUANTUM: usize = 8;

/// Blocks beyond this are whole pages.
const LARGE_BYTES: usize = 32 * 1024;
/// The allocator's page.
const PAGE_BYTES: usize = 4096;

/// The same request with a size that the allocator aligns as asked: a class that is a multiple of the alignment is
/// aligned to it, smaller ones are not.
#[inline]
const fn aligned(layout: Layout) -> Layout {
    if layout.align() > QUANTUM { layout.pad_to_align() } else { layout }
}

/// Rounds a size as jemalloc does: classes of 8 bytes to 64, then four per power of two, then whole pages. What is counted is what is
/// taken from the machine, not what was asked for.
#[inline]
const fn class(size: usize) -> i64 {
    if size <= QUANTUM {
        return QUANTUM as i64;
    }
    if size <= 8 * QUANTUM {
        return size.next_multiple_of(QUANTUM) as i64;
    }
    if size > LARGE_BYTES {
        return size.next_multiple_of(PAGE_BYTES) as i64;
    }
    let shift = usize::BITS - (size - 1).leading_zeros() - 3;
    let step = 1usize << shift;
    ((size + step - 1) & !(step - 1)) as i64
}

#[inline]
fn count(bytes: i64) {
    // A thread that is being torn down has no counter any more; its last few bytes go to the total directly.
    let told = DELTA.try_with(|delta| {
        let now = delta.get() + bytes;
        if now.abs() < FLUSH_BYTES {
            delta.set(now);
            0
        } else {
            delta.set(0);
            now
        }
    });
    match told {
        Ok(0) => {}
        Ok(moved) => tell(moved),
        Err(_) => tell(bytes),
    }
}

#[cold]
fn tell(bytes: i64) {
    let used = USED.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if used > PEAK.load(Ordering::Relaxed) {
        PEAK.store(used, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on, padded the same way when memory is taken and when it is given back; counting
// allocates nothing.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let layout = aligned(layout);
        count(class(layout.size()));
        if mapped::is_large(layout) {
            // SAFETY: the caller's promise, of a large layout.
            return unsafe { self.alloc_large(layout, false) };
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        let layout = aligned(layout);
        count(-class(layout.size()));
        if mapped::is_large(layout) {
            // SAFETY: the caller's promise, of a large layout.
            return unsafe { self.dealloc_large(start, layout) };
        }
        // SAFETY: the caller's promise is handed on; `alloc` padded the layout too.
        unsafe { self.0.dealloc(start, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let layout = aligned(layout);
        count(class(layout.size()));
        if mapped::is_large(layout) {
            // SAFETY: the caller's promise, of a large layout.
            return unsafe { self.alloc_large(layout, true) };
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (layout, size) = match layout.align() {
            ..=QUANTUM => (layout, size),
            align => (aligned(layout), size.next_multiple_of(align)),
        };
        // SAFETY: the caller's promise: the size is not 0, and not too large when it is rounded up to the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let same = match (mapped::is_large(layout), mapped::is_large(wanted)) {
            // SAFETY: the caller's promise is handed on; the old layout is as `alloc` padded it.
            (false, false) => unsafe { self.0.realloc(start, layout, size) },
            // SAFETY: a large block that begins there is a mapping.
            (true, true) if mapped::may_be_mapped(start) => unsafe {
                mapped::remap(start, layout.size(), size)
            },
            _ => std::ptr::null_mut(),
        };
        if !same.is_null() {
            count(class(size) - class(layout.size()));
            return same;
        }
        if !mapped::is_large(layout) && !mapped::is_large(wanted) {
            return same; // there is no memory
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { self.move_over(start, layout, wanted) }
    }
}

impl<A: GlobalAlloc> Counting<A> {
    /// A large block: a mapping, or where there are enough of these, a displaced block of the allocator's.
    ///
    /// # Safety
    /// The layout is large and as [`aligned`] makes it. A `clean` block is full of zeros.
    unsafe fn alloc_large(&self, layout: Layout, clean: bool) -> *mut u8 {
        let mapping = mapped::map(layout.size(), clean);
        if !mapping.is_null() {
            return mapping;
        }
        let Some(around) = mapped::around(layout) else { return mapping };
        // SAFETY: the size is not 0.
        let start = unsafe { if clean { self.0.alloc_zeroed(around) } else { self.0.alloc(around) } };
        if start.is_null() {
            return start;
        }
        // SAFETY: the block is longer than that.
        unsafe { start.add(mapped::displacement(layout)) }
    }

    /// Gives a large block back.
    ///
    /// # Safety
    /// The block came from [`Counting::alloc_large`] with this layout, and is not used any more.
    unsafe fn dealloc_large(&self, start: *mut u8, layout: Layout) {
        if mapped::may_be_mapped(start) {
            // SAFETY: a large block that begins there is a mapping.
            return unsafe { mapped::unmap(start, layout.size()) };
        }
        let Some(around) = mapped::around(layout) else { return };
        // SAFETY: a large block that is no mapping is displaced: it begins so far behind that of the allocator's.
        unsafe { self.0.dealloc(start.sub(mapped::displacement(layout)), around) }
    }

    /// A block in the place of another one, of which one at least is large.
    ///
    /// # Safety
    /// The block has the first layout, and both are as [`aligned`] makes them.
    #[cold]
    unsafe fn move_over(&self, start: *mut u8, from: Layout, to: Layout) -> *mut u8 {
        // SAFETY: the layouts are valid; both blocks are as long as what is copied, and do not overlap.
        unsafe {
            let target = self.alloc(to);
            if !target.is_null() {
                std::ptr::copy_nonoverlapping(start, target, from.size().min(to.size()));
                self.dealloc(start, from);
            }
            target
        }
    }
}

/// Bytes in use, exact to 64 KiB per thread. Zero when [`Counting`] is not the process's allocator.
pub fn used_bytes() -> u64 {
    u64::try_from(USED.load(Ordering::Relaxed)).unwrap_or(0)
}

/// The most that was ever in use.
pub fn peak_bytes() -> u64 {
    u64::try_from(PEAK.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Bytes of large blocks that nobody uses any more, which are kept for the next ones for a moment.
#[inline]
pub fn kept_bytes() -> u64 {
    pool::bytes()
}

/// Gives back what [`kept_bytes`] tells of.
pub fn release_kept() {
    pool::release();
}

/// Resident bytes of the process, from the kernel; zero where it does not tell.
pub fn resident_bytes() -> u64 {
    statm().0
}

/// Resident bytes that are no file's: what the process itself took. The program's own pages are the page cache's, and
/// go when memory is short.
pub fn anonymous_bytes() -> u64 {
    let (resident, of_files) = statm();
    resident.saturating_sub(of_files)
}

/// Bytes that are resident, and those of them that are of files.
fn statm() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let page_bytes = rustix::param::page_size() as u64;
    (pages.next().unwrap_or(0) * page_bytes, pages.next().unwrap_or(0) * page_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tikv_jemallocator::Jemalloc;

    #[test]
    fn classes_are_those_of_the_allocator() {
        for size in 1..=100_000 {
            // SAFETY: the size is not 0, and no flags are given.
            let real = unsafe { tikv_jemalloc_sys::nallocx(size, 0) };
            assert_eq!(
                class(size),
                real as i64,
                "{size}; is CFLAGS set by somebody else than .cargo/config.toml?"
            );
        }
    }

    #[test]
    fn what_is_to_be_aligned_is() {
        let allocator = Counting(Jemalloc);
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in (1..300).chain([mapped::MAPPED_BYTES - 4, mapped::MAPPED_BYTES, 5 << 20]) {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the layouts are valid, and those that the blocks have.
                unsafe {
                    let start = allocator.alloc(layout);
                    assert!(start.addr().is_multiple_of(align), "{layout:?}");
                    let moved = allocator.realloc(start, layout, size + 8);
                    assert!(moved.addr().is_multiple_of(align), "{layout:?}");
                    allocator.dealloc(moved, Layout::from_size_align(size + 8, align).unwrap());
                }
            }
        }
    }

    #[test]
    fn there_are_large_blocks_beyond_the_bound_of_mappings() {
        const MORE: usize = 8;
        let allocator = Counting(Jemalloc);
        let layout = Layout::from_size_align(mapped::MAPPED_BYTES, 64).unwrap();
        // Nothing is written to most of them, so they take no memory.
        // SAFETY: the layouts are valid, and those that the blocks have; each byte that is read was written.
        unsafe {
            let mut blocks: Vec<*mut u8> =
                (0..mapped::MAPPINGS_MAX as usize + MORE).map(|_| allocator.alloc(layout)).collect();
            let displaced = |block: &&mut *mut u8| !mapped::may_be_mapped(**block);
            assert!(blocks.iter().all(|block| !block.is_null() && block.addr().is_multiple_of(64)));
            assert!(blocks.iter_mut().filter(displaced).count() >= MORE);
            for (number, block) in blocks.iter_mut().filter(displaced).take(MORE).enumerate() {
                block.write_bytes(number as u8, layout.size());
                *block = allocator.realloc(*block, layout, 2 * layout.size());
                assert!(!block.is_null());
                let kept = std::slice::from_raw_parts(*block, layout.size());
                assert!(kept.iter().all(|byte| *byte == number as u8));
                *block = allocator.realloc(*block, twice(layout), layout.size());
            }
            // A mapping that cannot grow where it is becomes another one, or is displaced.
            let first = blocks[0];
            first.write_bytes(7, layout.size());
            blocks[0] = allocator.realloc(first, layout, 2 * layout.size());
            assert!(std::slice::from_raw_parts(blocks[0], layout.size()).iter().all(|byte| *byte == 7));
            blocks[0] = allocator.realloc(blocks[0], twice(layout), layout.size());
            let zeros = allocator.alloc_zeroed(layout);
            assert!(std::slice::from_raw_parts(zeros, layout.size()).iter().all(|byte| *byte == 0));
            blocks.push(zeros);
            blocks.into_iter().for_each(|block| allocator.dealloc(block, layout));
            let again = allocator.alloc(layout);
            assert!(mapped::may_be_mapped(again), "there is room again");
            allocator.dealloc(again, layout);
        }
    }

    fn twice(layout: Layout) -> Layout {
        Layout::from_size_align(2 * layout.size(), layout.align()).unwrap()
    }

    #[test]
    fn large_blocks_grow_and_shrink_with_what_is_in_them() {
        let allocator = Counting(Jemalloc);
        let before = mapped::bytes();
        let layout = |size| Layout::from_size_align(size, 64).unwrap();
        let mut size = 64 * 1024;
        // SAFETY: the layouts are valid, and those that the blocks have; each byte that is read was written.
        unsafe {
            let mut start = allocator.alloc(layout(size));
            start.write_bytes(1, size);
            let mut others = Vec::new();
            // Up past the limit, sometimes with a neighbour in the way, and down again.
            for step in 0..120 {
                let next = if step < 60 { size / 8 * 9 } else { size / 9 * 8 }.next_multiple_of(64);
                start = allocator.realloc(start, layout(size), next);
                assert!(!start.is_null() && start.addr().is_multiple_of(64));
                let kept = std::slice::from_raw_parts(start, size.min(next));
                assert!(kept.iter().step_by(1009).all(|byte| *byte == 1) && kept.last() == Some(&1));
                if next > size {
                    start.add(size).write_bytes(1, next - size);
                }
                size = next;
                others.extend((step % 7 == 0).then(|| vec![0u8; 3 << 20]));
            }
            allocator.dealloc(start, layout(size));
            let zeros = allocator.alloc_zeroed(layout(3 << 20));
            assert!(std::slice::from_raw_parts(zeros, 3 << 20).iter().all(|byte| *byte == 0));
            assert!(mapped::bytes() >= before + (3 << 20));
            allocator.dealloc(zeros, layout(3 << 20));
        }
    }
}
