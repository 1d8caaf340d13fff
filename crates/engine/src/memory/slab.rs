//! Which blocks lie badly: those in slabs of the allocator that are emptier than others of their kind.
//!
//! A slab is the pages that small blocks of one size are cut from. It stays resident while one block of it is in use.
//! Moving the blocks of the emptier half of all slabs into the holes of the fuller half empties the former.

use super::mapped;
use larder_store::compact::Mover;
use std::ffi::c_void;
use std::sync::OnceLock;

/// How full slabs of a size are to be, of 16, for nothing of them to be moved: what comes and goes needs holes.
const FULL_SIXTEENTHS: usize = 15;

/// What the allocator answers about a block, in its order.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// Where the slab lies from which the next blocks are taken.
    current: *const u8,
    /// Free blocks of the block's slab.
    free: usize,
    /// All blocks of the slab.
    blocks: usize,
    /// Bytes of the slab.
    bytes: usize,
    /// Free blocks of all slabs for this size.
    kind_free: usize,
    /// All blocks of all slabs for this size.
    kind_blocks: usize,
}

const NOTHING: Answer =
    Answer { current: std::ptr::null(), free: 0, blocks: 0, bytes: 0, kind_free: 0, kind_blocks: 0 };

/// The allocator's number for the question, asked once.
fn question() -> Option<&'static [usize; 3]> {
    static QUESTION: OnceLock<Option<[usize; 3]>> = OnceLock::new();
    QUESTION
        .get_or_init(|| {
            let (mut parts, mut len) = ([0; 3], 3);
            // SAFETY: the name ends with a zero, and `len` is how many parts there is room for.
            let error = unsafe {
                let name = c"experimental.utilization.query".as_ptr();
                tikv_jemalloc_sys::mallctlnametomib(name, parts.as_mut_ptr(), &raw mut len)
            };
            (error == 0 && len == 3).then_some(parts)
        })
        .as_ref()
}

/// # Safety
/// The block is in use, and the allocator's.
unsafe fn ask(block: *const u8) -> Option<Answer> {
    let (mut answer, mut len, mut block) = (NOTHING, size_of::<Answer>(), block);
    let question = question()?;
    // SAFETY: the control reads an address, which is that of a block it knows, and writes six words, for which there is
    // room.
    let error = unsafe {
        tikv_jemalloc_sys::mallctlbymib(
            question.as_ptr(),
            question.len(),
            (&raw mut answer).cast::<c_void>(),
            &raw mut len,
            (&raw mut block).cast::<c_void>(),
            size_of::<*const u8>(),
        )
    };
    (error == 0).then_some(answer)
}

impl Answer {
    /// True if the block should be taken out of its slab.
    fn is_bad(&self, block: *const u8) -> bool {
        let is_slab = self.kind_blocks > 0 && self.free > 0;
        let is_current = block.addr().wrapping_sub(self.current.addr()) < self.bytes;
        if !is_slab || is_current {
            return false; // it would only come back
        }
        let used = |free: usize, blocks: usize| (blocks - free.min(blocks)) as u128;
        let (kind, all) = (used(self.kind_free, self.kind_blocks), self.kind_blocks as u128);
        // No fuller than the mean, and the mean leaves something to win.
        used(self.free, self.blocks) * all <= kind * self.blocks as u128
            && kind * 16 < all * FULL_SIXTEENTHS as u128
    }
}

/// True if a block should be moved elsewhere.
///
/// # Safety
/// The block is in use, and the allocator's.
unsafe fn lies_badly(block: *const u8) -> bool {
    if mapped::may_be_mapped(block) {
        return false; // the allocator does not know it
    }
    // SAFETY: the caller's promise is handed on.
    unsafe { ask(block) }.is_some_and(|answer| answer.is_bad(block))
}

/// Bytes of a page, the smallest piece that a slab is made of.
const PAGE_SHIFT: u32 = 12;
/// Pages that are remembered, at least and at most.
const PAGES_MIN: usize = 1 << 10;
const PAGES_MAX: usize = 1 << 16;

/// Pages of which nothing need be moved, as far as a walk over all blocks has found out: some thirty small blocks share a
/// page, and asking the allocator takes ten times as long as looking here.
///
/// What is remembered is a hint: a page whose slab becomes sparse meanwhile is found by the next walk.
#[derive(Debug, Default)]
pub struct GoodPages {
    /// Words of pages, each at the place that its number leads to.
    pages: Vec<u32>,
    walk: u32,
}

impl GoodPages {
    /// Begins a walk over so many bytes: nothing is known of any page.
    pub fn begin(&mut self, bytes: u64) {
        let pages = usize::try_from(bytes >> PAGE_SHIFT).unwrap_or(PAGES_MAX);
        let pages = pages.clamp(PAGES_MIN, PAGES_MAX).next_power_of_two();
        if self.pages.len() != pages {
            self.pages = vec![0; pages];
        }
        self.walk = self.walk.wrapping_add(1);
    }

    /// Where a page stands, and its word in this walk.
    fn entry(&self, block: *const u8) -> (usize, u32) {
        let page = (block.addr() >> PAGE_SHIFT) as u64;
        let word = (page ^ u64::from(self.walk) << 36).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (page as usize & self.pages.len().wrapping_sub(1), word as u32 | 1)
    }

    /// True if the block should be moved.
    ///
    /// # Safety
    /// The block is in use, and the allocator's.
    unsafe fn is_bad(&mut self, block: *const u8) -> bool {
        let (at, word) = self.entry(block);
        if self.pages.get(at).is_some_and(|known| *known == word) {
            return false;
        }
        // SAFETY: the caller's promise is handed on.
        let bad = unsafe { lies_badly(block) };
        if let Some(known) = self.pages.get_mut(at).filter(|_| !bad) {
            *known = word;
        }
        bad
    }
}

/// True if what the process allocates is jemalloc's, and not another allocator's.
fn is_ours() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| {
        let Ok(allocated) = tikv_jemalloc_ctl::thread::allocatedp::read() else { return false };
        let before = allocated.get();
        drop(std::hint::black_box(Box::new([0u64; 8])));
        allocated.get() != before
    })
}

/// Does something with a mover that takes blocks out of sparse slabs; `None` where the process's allocator has none.
pub fn with_mover<R>(good: &mut GoodPages, work: impl FnOnce(&mut Mover<'_>) -> R) -> Option<R> {
    if !is_ours() {
        return None;
    }
    // SAFETY: a mover asks only about blocks that the store has in use, and all of the process are jemalloc's.
    let mut badly = |block| unsafe { good.is_bad(block) };
    let _direct = Direct::begin();
    Some(work(&mut Mover::new(&mut badly)))
}

/// While this lives, what the thread frees goes back to its slab at once, and what it allocates comes from the oldest
/// slab with room: not from the blocks that it freed last, which are those to be emptied.
#[derive(Debug)]
struct Direct(bool);

impl Direct {
    /// Begins it for this thread.
    fn begin() -> Direct {
        Direct(set_cache(false))
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        if self.0 {
            set_cache(true);
        }
    }
}

/// Switches this thread's cache of blocks; true if it was on.
fn set_cache(on: bool) -> bool {
    let (mut before, mut len, mut on) = (false, size_of::<bool>(), on);
    // SAFETY: the name ends with a zero, and the control reads and writes one bool each.
    let error = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"thread.tcache.enabled".as_ptr(),
            (&raw mut before).cast::<c_void>(),
            &raw mut len,
            (&raw mut on).cast::<c_void>(),
            size_of::<bool>(),
        )
    };
    error == 0 && before
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{GlobalAlloc, Layout};
    use tikv_jemallocator::Jemalloc;

    const LAYOUT: Layout = Layout::new::<[u64; 20]>();

    #[test]
    fn blocks_of_sparse_slabs_lie_badly_until_they_were_moved() {
        const BLOCKS: usize = 64 * 1024;
        // A thread of its own, so that its cache and nobody else's is switched.
        let work = || {
            let direct = Direct::begin();
            assert!(!set_cache(false), "it is off");
            // SAFETY: the layout is not empty; each block is given back once, with the same layout.
            unsafe {
                let mut blocks: Vec<*mut u8> = (0..BLOCKS).map(|_| Jemalloc.alloc(LAYOUT)).collect();
                let (mut good, bytes) = (GoodPages::default(), (BLOCKS * LAYOUT.size()) as u64);
                good.begin(bytes);
                blocks.iter().for_each(|block| {
                    good.is_bad(*block);
                });
                let bad = |blocks: &[*mut u8]| blocks.iter().filter(|block| lies_badly(**block)).count();
                assert!(bad(&blocks) < BLOCKS / 64, "full slabs are fine");
                // Every fifth stays.
                let mut at = 0;
                blocks.retain(|block| {
                    at += 1;
                    at % 5 == 0 || {
                        Jemalloc.dealloc(*block, LAYOUT);
                        false
                    }
                });
                assert!(bad(&blocks) > blocks.len() / 4);
                let found = blocks.iter().filter(|block| good.is_bad(**block)).count();
                assert!(found < bad(&blocks), "pages are remembered for a walk: {found}");
                for _ in 0..20 {
                    good.begin(bytes);
                    for block in &mut blocks {
                        if good.is_bad(*block) {
                            let other = Jemalloc.alloc(LAYOUT);
                            Jemalloc.dealloc(std::mem::replace(block, other), LAYOUT);
                        }
                    }
                }
                assert!(bad(&blocks) < blocks.len() / 64, "{}", bad(&blocks));
                blocks.into_iter().for_each(|block| Jemalloc.dealloc(block, LAYOUT));
            }
            drop(direct);
            assert!(set_cache(true), "it is on again");
        };
        std::thread::spawn(work).join().unwrap();
    }

    #[test]
    fn full_and_current_slabs_stay() {
        let answer = Answer { free: 8, blocks: 10, bytes: 100, kind_free: 50, kind_blocks: 100, ..NOTHING };
        let block = std::ptr::without_provenance::<u8>;
        assert!(answer.is_bad(block(1000)));
        assert!(!Answer { current: block(950), ..answer }.is_bad(block(1000)));
        assert!(!Answer { free: 4, ..answer }.is_bad(block(1000)));
        assert!(!Answer { kind_free: 5, ..answer }.is_bad(block(1000)));
        assert!(!NOTHING.is_bad(block(1000)), "whole pages");
    }

    #[test]
    fn another_allocator_is_not_asked() {
        assert!(!is_ours(), "tests run on the system's");
        assert!(with_mover(&mut GoodPages::default(), |_| ()).is_none());
    }
}
