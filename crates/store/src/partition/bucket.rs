//! A bucket of a table: slots that hold the addresses of items, and how a key is found among them.
//!
//! Invariant: every non-zero slot is an item that the table owns, under the tag of its hash; every child address is a bucket
//! that the chain owns. Which hash belongs to which bucket is up to `table`.

use super::item::Item;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Slots of a bucket.
const SLOTS: usize = 7;
/// Slots of an overflow bucket, which seldom holds more than one item or two.
const OVERFLOW_SLOTS: usize = 3;
/// The bits of a slot that are the address of its item.
pub(super) const ADDRESS: u64 = ((1 << 48) - 1) & !7;

/// Slots, and where those are that did not fit.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Chunk<const N: usize> {
    pub(super) child: Option<Box<Overflow>>,
    /// Cells, because a place found through `&Table` is written through `&mut Table`.
    pub(super) slots: [Cell<u64>; N],
}

/// What holds the items that did not fit into a bucket.
pub(super) type Overflow = Chunk<OVERFLOW_SLOTS>;

/// One cache line of the index.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct Bucket(pub(super) Chunk<SLOTS>);

const _: () = assert!(size_of::<Bucket>() == 64 && size_of::<Overflow>() == 32);

impl<const N: usize> Default for Chunk<N> {
    fn default() -> Self {
        Chunk { child: None, slots: std::array::from_fn(|_| Cell::new(0)) }
    }
}

/// Where an item is filed. Valid until the table changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(pub(super) NonNull<Cell<u64>>);

/// Odd, and so never zero: an empty slot has no tag.
#[inline]
pub(super) fn tag(hash: u32) -> u64 {
    u64::from(hash >> 16 | 1)
}

/// Borrows the item of a slot without taking it out.
#[inline]
pub(super) fn borrow(slot: u64) -> ManuallyDrop<Item> {
    // SAFETY: a non-zero slot holds an address from `Item::into_address`; ManuallyDrop keeps the table the owner.
    ManuallyDrop::new(unsafe { Item::from_address(slot & ADDRESS) })
}

impl<const N: usize> Chunk<N> {
    /// The overflow buckets behind this one.
    pub(super) fn overflow(&self) -> impl Iterator<Item = &Overflow> {
        std::iter::successors(self.child.as_deref(), |chunk| chunk.child.as_deref())
    }

    /// Finds a key among the slots.
    #[inline]
    pub(super) fn find(&self, hash: u32, key: &[u8]) -> Option<Place> {
        self.fitting(hash)
            .find(|cell| same(borrow(cell.get()).key(), key))
            .map(|cell| Place(NonNull::from(cell)))
    }

    /// The slots with the tag of this hash.
    #[inline]
    pub(super) fn fitting(&self, hash: u32) -> impl Iterator<Item = &Cell<u64>> {
        let mut bits = self.fitting_bits(hash);
        std::iter::from_fn(move || {
            let at = (bits.trailing_zeros() / 4) as usize;
            bits &= bits.wrapping_sub(1);
            self.slots.get(at.wrapping_sub(1)) // of no bits that is the eighth, which there is not
        })
    }

    /// The slots with the tag of this hash: bit 7 for the first, and every fourth after it. Without branches, for which
    /// slot fits cannot be predicted.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn fitting_bits(&self, hash: u32) -> u32 {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
        };
        let words = std::ptr::from_ref(self).cast::<__m128i>();
        // SAFETY: a chunk is N + 1 words, 4 or 8, all of which are read, while nobody writes; the loads need no alignment.
        // SSE2 is part of the architecture.
        unsafe {
            let wanted = _mm_set1_epi16(tag(hash) as i16);
            // The upper quarter of each word is a tag, and that of the child's address zero, which no tag is.
            let fits = |at: usize| _mm_cmpeq_epi16(_mm_loadu_si128(words.add(at)), wanted);
            let four = |at: usize| _mm_movemask_epi8(_mm_packs_epi16(fits(at), fits(at + 1))) as u32;
            let all = if N == SLOTS { four(0) | four(2) << 16 } else { four(0) };
            all & 0x8888_8888
        }
    }

    /// The same where there are no such instructions.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    fn fitting_bits(&self, hash: u32) -> u32 {
        let fits = |(at, cell): (usize, &Cell<u64>)| u32::from(cell.get() >> 48 == tag(hash)) << (4 * at + 7);
        self.slots.iter().enumerate().map(fits).fold(0, |all, bit| all | bit)
    }

    /// Lets the processor load the items that may have this hash; true if there are any.
    #[inline]
    pub(super) fn prefetch_items(&self, hash: u32) -> bool {
        let mut found = false;
        for cell in self.fitting(hash) {
            // Two lines: a small item seldom lies in one.
            let item = (cell.get() & ADDRESS) as *const u8;
            super::prefetch(item);
            super::prefetch(item.wrapping_add(64));
            found = true;
        }
        found
    }

    /// Files an item.
    pub(super) fn push(&mut self, item: u64) {
        match self.slots.iter().find(|slot| slot.get() == 0) {
            Some(slot) => slot.set(item),
            None => self.child.get_or_insert_default().push(item),
        }
    }

    /// The slots of this bucket and of those behind it.
    pub(super) fn cells(&self) -> impl Iterator<Item = &Cell<u64>> {
        self.slots.iter().chain(self.overflow().flat_map(|chunk| &chunk.slots))
    }

    /// Visits what is filed.
    pub(super) fn each(&self, mut visit: impl FnMut(u64)) {
        self.cells().map(Cell::get).filter(|slot| *slot != 0).for_each(&mut visit);
    }

    /// Fills a hole from the overflow buckets, and frees the last of them when it is empty.
    pub(super) fn tidy(&mut self) {
        let Some(child) = &mut self.child else { return };
        child.tidy();
        if let Some(hole) = self.slots.iter().find(|slot| slot.get() == 0)
            && let Some(moved) = child.slots.iter().find(|slot| slot.get() != 0)
        {
            hole.set(moved.take());
        }
        if child.child.is_none() && child.slots.iter().all(|slot| slot.get() == 0) {
            self.child = None;
        }
    }
}

/// Compares keys: short ones in words of eight bytes, which beats a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    const INLINE_MAX: usize = 32;
    let len = a.len();
    if len != b.len() {
        return false;
    }
    // From both ends, where the two may overlap.
    match len {
        0..4 => a.iter().zip(b).all(|(a, b)| a == b),
        4..8 => ends::<4>(a) == ends::<4>(b),
        8..=16 => ends::<8>(a) == ends::<8>(b),
        17..=INLINE_MAX => ends::<16>(a) == ends::<16>(b),
        _ => a == b,
    }
}

/// The first and the last `N` bytes.
#[inline]
fn ends<const N: usize>(bytes: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (bytes.first_chunk(), bytes.last_chunk())
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn keys_of_every_length_differ_in_any_byte() {
        for len in 0..70 {
            let key: Vec<u8> = (0..len).collect();
            assert!(same(&key, &key.clone()));
            assert!(!same(&key, &[key.as_slice(), b"x"].concat()));
            for at in 0..key.len() {
                let mut other = key.clone();
                other[at] ^= 0x10;
                assert!(!same(&key, &other), "{len} {at}");
            }
        }
    }
}
