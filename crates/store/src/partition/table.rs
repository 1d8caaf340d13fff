//! The index of a partition: a linear-hashing table of items.
//!
//! Buckets are 64 bytes, one cache line (`bucket`): the address of an overflow bucket (half as large) and seven slots, each the
//! 48-bit address of an item with a 16-bit tag from its hash, so that a look-up touches an item only when the tag fits.
//! Items are aligned to 8 bytes, so the lowest bits of an address are free: one of them says whether a snapshot that is
//! being taken has the item already (see `snapshot`).
//!
//! Linear hashing (Litwin, VLDB 1980) grows the table by one bucket at a time: bucket `split` gives half of its items
//! to a new last bucket. There is never a rehash, so never a pause, and the load stays where it is best instead of
//! swinging by a factor of two. The bucket of a hash is its low `level + 1` bits if that bucket exists, else its low
//! `level` bits.
//!
//! A scan position is a point in *bit-reversed* hash space. Each bucket owns one interval of it, and growing or
//! shrinking only cuts or joins neighbouring intervals: whatever happens between two calls, going on at a position
//! misses nothing that was there all the time (it may see an item again after buckets were joined).
//!
//! Invariant: every non-zero slot is an item that the table owns, filed in the chain of its hash's bucket under its
//! tag; every child address is a bucket that the chain owns. What is unsafe about buckets is in this file and in `bucket`.

use super::bucket::{ADDRESS, Bucket, Chunk, Overflow, Place, borrow, tag};
use super::expire::{Deadlines, LEAF_BUCKETS, NEVER};
use super::item::Item;
use super::value::{Extras, ValueMut, ValueRef};
use crate::compact::Mover;
use crate::key::Seed;
use crate::object::Hash;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// The bit of a slot that differs from the partition's generation while a snapshot still has to save the item.
pub(super) const GENERATION: u64 = 1;
/// Items per bucket, times 16, above which the table grows: 6 of 7. Fuller buckets would save less than a byte per key,
/// and more keys would lie in overflow buckets.
const GROW_AT_SIXTEENTHS: usize = 96;
/// It shrinks when so small a share of its items left since it grew last, and at least so many. Growing and shrinking are a
/// bucket's work each, so that little keeps them from taking turns; what is not given back is memory that holds nothing, where
/// fewer and larger items take the place of many small ones.
const SHRINK_SHARE: usize = 8;
const SHRINK_ITEMS: usize = 8;

/// Buckets whose items are asked for at once where a sample is taken, at most.
const AHEAD_MAX: usize = 8;

/// Buckets that are made in advance, at most: a hash leads to no more.
const BUCKETS_MAX: usize = 1 << 28;

/// Items by the hash and bytes of their keys.
#[derive(Debug)]
pub(crate) struct Table {
    buckets: Vec<Bucket>,
    /// Buckets before the current round of splits: a power of two.
    base: u32,
    len: usize,
    /// Items with a deadline.
    volatile: usize,
    /// Hashes that are marked as having fields with deadlines.
    timed: usize,
    deadlines: Deadlines,
}

impl Table {
    /// An empty table. `epoch_ms` is the time that ticks of deadlines count from.
    pub(crate) fn new(epoch_ms: u64) -> Table {
        Table {
            buckets: Vec::new(),
            base: 0,
            len: 0,
            volatile: 0,
            timed: 0,
            deadlines: Deadlines::new(epoch_ms),
        }
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self) -> Table {
        let empty = Table::new(self.deadlines.epoch_ms());
        std::mem::replace(self, empty)
    }

    /// Unix milliseconds at which the next look for dead items is due; `None` when there are no deadlines.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.next()
    }

    /// Notes that an item with this hash dies, or has a field that dies, at this time. O(log n).
    #[inline]
    pub(crate) fn note_deadline(&mut self, hash: u32, deadline_ms: u64) {
        let (bucket, tick) = (self.index(hash), self.deadlines.tick(deadline_ms));
        self.deadlines.note(bucket, self.buckets.len(), tick);
    }

    /// The buckets to look through first, if their time has come. [`Table::looked`] ends the look.
    pub(crate) fn due(&self, now_ms: u64) -> Option<usize> {
        self.deadlines.due(now_ms)
    }

    /// The first item of those buckets that is wanted, and a hash that leads to its bucket.
    pub(crate) fn find_due(
        &self,
        leaf: usize,
        wanted: impl Fn(&ItemRef<'_>) -> bool,
    ) -> Option<(u32, Place)> {
        let first = leaf * LEAF_BUCKETS;
        let buckets = self.buckets.get(first..)?.iter().take(LEAF_BUCKETS);
        let mut cells =
            buckets.enumerate().flat_map(|(at, Bucket(bucket))| bucket.cells().map(move |cell| (at, cell)));
        let (at, cell) = cells.find(|(_, cell)| {
            cell.get() != 0 && wanted(&ItemRef { item: borrow(cell.get()), table: PhantomData })
        })?;
        Some(((first + at) as u32, Place(NonNull::from(cell))))
    }

    /// Ends a look at buckets: what is left in them says when they are due again.
    pub(crate) fn looked(&mut self, leaf: usize) {
        let mut tick = NEVER;
        for Bucket(bucket) in self.buckets.iter().skip(leaf * LEAF_BUCKETS).take(LEAF_BUCKETS) {
            bucket.each(|slot| tick = tick.min(self.tick_of(slot)));
        }
        self.deadlines.looked(leaf, tick);
    }

    /// The tick at which an item or the first of its fields dies.
    fn tick_of(&self, slot: u64) -> u32 {
        let item = borrow(slot);
        match item.is_volatile() {
            true => item.earliest_deadline().map_or(NEVER, |at| self.deadlines.tick(at)),
            false => NEVER,
        }
    }

    /// Number of items.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Number of items with a deadline.
    pub(crate) fn volatile(&self) -> usize {
        self.volatile
    }

    /// Number of hashes that have fields with deadlines.
    pub(crate) fn timed(&self) -> usize {
        self.timed
    }

    /// Address and number of the buckets, for prefetching.
    pub(crate) fn extent(&self) -> (*const Bucket, u32) {
        (self.buckets.as_ptr(), self.buckets.len() as u32)
    }

    #[inline]
    fn index(&self, hash: u32) -> usize {
        index_of(hash, self.buckets.len() as u32)
    }

    /// Finds a key.
    #[inline]
    pub(crate) fn find(&self, hash: u32, key: &[u8]) -> Option<Place> {
        let bucket = &self.buckets.get(self.index(hash))?.0;
        bucket.find(hash, key).or_else(|| bucket.overflow().find_map(|chunk| chunk.find(hash, key)))
    }

    /// True if the key is here, and its time is not over.
    pub(super) fn lives(&self, hash: u32, key: &[u8], now_ms: u64) -> bool {
        self.find(hash, key).is_some_and(|place| !self.get(place).is_dead(now_ms))
    }

    /// Hints the processor to load the items whose tag fits.
    #[inline]
    pub(crate) fn prefetch_item(&self, hash: u32) -> bool {
        let Some(Bucket(bucket)) = self.buckets.get(self.index(hash)) else { return false };
        match &bucket.child {
            Some(child) if !bucket.prefetch_items(hash) => {
                super::prefetch(std::ptr::from_ref::<Overflow>(child).cast());
                true
            }
            Some(_) => false,
            None => {
                bucket.prefetch_items(hash);
                false
            }
        }
    }

    /// The second half of [`Table::prefetch_item`] for a key that is not in its first bucket: its item, or what is behind
    /// the overflow bucket.
    #[inline]
    pub(crate) fn prefetch_overflow(&self, hash: u32) {
        let bucket = self.buckets.get(self.index(hash));
        if let Some(child) = bucket.and_then(|Bucket(bucket)| bucket.child.as_deref())
            && !child.prefetch_items(hash)
            && let Some(next) = &child.child
        {
            super::prefetch(std::ptr::from_ref::<Overflow>(next).cast());
        }
    }

    /// The item at a place.
    #[inline]
    pub(crate) fn get(&self, place: Place) -> ItemRef<'_> {
        // SAFETY: a place is valid until the table changes, which `&self` forbids.
        ItemRef { item: borrow(unsafe { place.0.as_ref() }.get()), table: PhantomData }
    }

    /// The item at a place, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, place: Place) -> ItemMut<'_> {
        // SAFETY: as in `get`; `&mut self` makes it exclusive.
        ItemMut { item: borrow(unsafe { place.0.as_ref() }.get()), table: PhantomData }
    }

    /// Puts another item with the same key where one is; gives the old one back.
    pub(crate) fn replace(&mut self, place: Place, item: Item) -> Item {
        self.volatile += usize::from(item.deadline().is_some());
        self.timed += usize::from(item.has_timed_fields());
        let address = item.into_address();
        // SAFETY: as in `get_mut`; the old address is overwritten, so that its item has one owner.
        let old = unsafe {
            let slot = place.0.as_ref();
            let old = slot.replace(slot.get() & !ADDRESS | address);
            Item::from_address(old & ADDRESS)
        };
        self.volatile -= usize::from(old.deadline().is_some());
        self.timed -= usize::from(old.has_timed_fields());
        old
    }

    /// Marks the hash at a place as having fields with deadlines, or as having none.
    pub(crate) fn mark_timed_fields(&mut self, place: Place, timed: bool) {
        let mut item = self.get_mut(place);
        let before = item.item().has_timed_fields();
        item.item().mark_timed_fields(timed);
        self.timed = self.timed + usize::from(timed) - usize::from(before);
    }

    /// Gives the item at a place other extras, in another allocation.
    pub(crate) fn rebuild(&mut self, place: Place, extras: Extras) {
        // SAFETY: as in `replace`; between the two lines nobody can see the slot.
        unsafe {
            let slot = place.0.as_ref();
            let old = Item::from_address(slot.get() & ADDRESS);
            self.count_volatile(old.deadline().is_some(), extras.deadline.is_some());
            slot.set(slot.get() & !ADDRESS | old.with_extras(extras).into_address());
        }
    }

    /// Makes the buckets that so many items need at once, if there are none yet: then no item is filed twice.
    pub(super) fn reserve(&mut self, items: usize) {
        let count = (items.saturating_mul(16) / GROW_AT_SIXTEENTHS).min(BUCKETS_MAX);
        if !self.buckets.is_empty() || count == 0 {
            return;
        }
        self.buckets.reserve_exact(count);
        self.buckets.resize_with(count, Bucket::default);
        self.base = 1 << count.ilog2();
    }

    /// Gives back the buckets that were made for items that did not come.
    pub(super) fn fit(&mut self) {
        while self.is_sparse() {
            self.shrink();
        }
    }

    fn is_sparse(&self) -> bool {
        let fewer = self.buckets.len().saturating_sub(1) * GROW_AT_SIXTEENTHS;
        (self.len + (self.len / SHRINK_SHARE).max(SHRINK_ITEMS)) * 16 < fewer
    }

    /// Files an item whose key is not there. O(1), amortised and at worst one bucket's items.
    /// `generation` is that of the partition.
    pub(crate) fn insert(&mut self, seed: &Seed, hash: u32, item: Item, generation: u64) {
        if self.buckets.is_empty() {
            self.buckets.push(Bucket::default());
            self.base = 1;
        }
        self.len += 1;
        self.volatile += usize::from(item.deadline().is_some());
        self.timed += usize::from(item.has_timed_fields());
        let slot = tag(hash) << 48 | item.into_address() | generation;
        let index = self.index(hash);
        self.buckets[index].0.push(slot);
        if self.len * 16 > self.buckets.len() * GROW_AT_SIXTEENTHS {
            self.grow(seed);
        }
    }

    /// Takes the item at a place out.
    pub(crate) fn remove(&mut self, hash: u32, place: Place) -> Item {
        // SAFETY: as in `get_mut`; the slot is emptied, so that the item has one owner.
        let item = unsafe { Item::from_address(place.0.as_ref().take() & ADDRESS) };
        self.len -= 1;
        self.volatile -= usize::from(item.deadline().is_some());
        self.timed -= usize::from(item.has_timed_fields());
        let index = self.index(hash);
        self.buckets[index].0.tidy();
        if self.is_sparse() {
            self.shrink();
        }
        item
    }

    fn count_volatile(&mut self, before: bool, after: bool) {
        self.volatile = self.volatile + usize::from(after) - usize::from(before);
    }

    fn grow(&mut self, seed: &Seed) {
        let count = self.buckets.len();
        if count == self.buckets.capacity() {
            // An eighth more: the copy is short, and unused room stays below what doubling would leave.
            self.buckets.reserve_exact((count / 8).max(1));
        }
        let from = count - self.base as usize;
        let Bucket(old) = std::mem::take(&mut self.buckets[from]);
        self.buckets.push(Bucket::default());
        let (mut stay, mut go) = (Chunk::default(), Chunk::default());
        let (bit, mut tick) = (self.base, NEVER);
        old.each(|slot| super::prefetch((slot & ADDRESS) as *const u8));
        old.each(|slot| {
            let hash = seed.hash(borrow(slot).key());
            if hash & bit == 0 {
                stay.push(slot);
            } else {
                tick = tick.min(self.tick_of(slot));
                go.push(slot);
            }
        });
        self.deadlines.note(count, self.buckets.len(), tick);
        self.buckets[from] = Bucket(stay);
        self.buckets[count] = Bucket(go);
        if self.buckets.len() == 2 * self.base as usize {
            self.base *= 2;
        }
    }

    fn shrink(&mut self) {
        if self.buckets.len() == self.base as usize {
            self.base /= 2;
        }
        let Some(Bucket(last)) = self.buckets.pop() else { return };
        let to = self.buckets.len() - self.base as usize;
        last.each(|slot| self.buckets[to].0.push(slot));
        self.deadlines.moved(self.buckets.len(), to);
        if self.buckets.capacity() > 16 && self.buckets.len() < self.buckets.capacity() / 8 * 7 {
            self.buckets.shrink_to(self.buckets.len() * 17 / 16);
        }
    }

    /// Visits all items of the bucket at a position of bit-reversed hash space, and answers the position of the next
    /// bucket: `None` after the last.
    pub(crate) fn scan(&self, position: u32, mut visit: impl FnMut(ItemRef<'_>)) -> Option<u32> {
        let (index, next) = self.bucket_at(position)?;
        let Bucket(bucket) = &self.buckets[index];
        bucket.each(|slot| super::prefetch((slot & ADDRESS) as *const u8));
        bucket.each(|slot| visit(ItemRef { item: borrow(slot), table: PhantomData }));
        next
    }

    /// Visits the items of neighbouring buckets, from some place on and once around, until so many were visited. One whose
    /// neighbours are full is visited less often: about once for each time that its own bucket is the first.
    pub(super) fn sample(&self, random: u32, wanted: usize, mut visit: impl FnMut(ItemRef<'_>)) {
        let count = self.buckets.len();
        let first = ((u64::from(random) * count as u64) >> 32) as usize;
        let around = || self.buckets[first..].iter().chain(&self.buckets[..first]);
        // The processor waits for the buckets once, and for the items once.
        let ahead = (wanted * 16).div_ceil(GROW_AT_SIXTEENTHS).min(AHEAD_MAX);
        around().take(ahead).for_each(|bucket| super::prefetch(std::ptr::from_ref(bucket).cast()));
        for Bucket(bucket) in around().take(ahead) {
            bucket.slots.iter().for_each(|slot| super::prefetch((slot.get() & ADDRESS) as *const u8));
        }
        let mut seen = 0;
        for Bucket(bucket) in around() {
            bucket.each(|slot| {
                visit(ItemRef { item: borrow(slot), table: PhantomData });
                seen += 1;
            });
            if seen >= wanted {
                return;
            }
        }
    }

    /// Visits items with a deadline, from some place on and around, until one says that it was enough, or for `looks`
    /// looks at neighbouring buckets.
    pub(super) fn sample_volatile(
        &mut self,
        random: usize,
        looks: usize,
        mut visit: impl FnMut(ItemRef<'_>) -> bool,
    ) {
        let Some(first) = random.checked_rem(self.deadlines.leaves()) else { return };
        let (mut at, mut around) = (first, false);
        for _ in 0..looks {
            let leaf = match self.deadlines.leaf_from(at) {
                Some(leaf) if !around || leaf < first => leaf,
                None if !around => {
                    (at, around) = (0, true);
                    continue;
                }
                _ => return,
            };
            at = leaf + 1;
            let (mut timed, mut enough) = (false, false);
            for Bucket(bucket) in self.buckets.iter().skip(leaf * LEAF_BUCKETS).take(LEAF_BUCKETS) {
                bucket.each(|slot| {
                    let item = ItemRef { item: borrow(slot), table: PhantomData };
                    timed |= item.is_volatile();
                    if item.deadline().is_some() {
                        enough |= visit(item);
                    }
                });
            }
            if enough {
                return;
            }
            if !timed {
                self.looked(leaf); // what it had is gone
            }
        }
    }

    /// Visits the items of the bucket at a position that are not of this generation, and makes them of it, until `visit`
    /// answers false; answers as [`Table::scan`] does, or with the same position if it was stopped.
    pub(super) fn sweep(
        &mut self,
        position: u32,
        generation: u64,
        mut visit: impl FnMut(&Item) -> bool,
    ) -> Option<u32> {
        let (index, next) = self.bucket_at(position)?;
        let Bucket(bucket) = &self.buckets[index];
        // The next bucket was asked for by the visit before, and the items of this one too.
        if let Some((index, after)) = next.and_then(|next| self.bucket_at(next)) {
            self.buckets[index].0.each(|slot| {
                let item = (slot & ADDRESS) as *const u8;
                super::prefetch(item);
                super::prefetch(item.wrapping_add(64));
            });
            if let Some((index, _)) = after.and_then(|after| self.bucket_at(after)) {
                super::prefetch(std::ptr::from_ref(&self.buckets[index]).cast());
            }
        }
        for cell in bucket.cells().filter(|cell| cell.get() != 0) {
            if cell.get() & GENERATION != generation {
                cell.set(cell.get() ^ GENERATION);
                if !visit(&borrow(cell.get())) {
                    return Some(position);
                }
            }
        }
        next
    }

    /// Lets what belongs to the bucket at a position take other memory where a block of it lies badly; answers as
    /// [`Table::scan`] does. The first bucket brings the index itself with it.
    pub(super) fn compact(&mut self, position: u32, mover: &mut Mover<'_>) -> Option<u32> {
        let (index, next) = self.bucket_at(position)?;
        if position == 0 {
            mover.renew(&mut self.buckets);
            self.deadlines.compact(mover);
        }
        let Bucket(bucket) = &mut self.buckets[index];
        bucket.each(|slot| super::prefetch((slot & ADDRESS) as *const u8));
        let mut link = &mut bucket.child;
        while let Some(chunk) = link.take() {
            link = &mut link.insert(mover.rebox(chunk)).child;
        }
        for cell in bucket.cells().filter(|cell| cell.get() != 0) {
            // SAFETY: the table owns the item, and nobody can see the slot before it has the new address.
            let item = unsafe { Item::from_address(cell.get() & ADDRESS) };
            let before = mover.moved;
            cell.set(cell.get() & !ADDRESS | item.elsewhere(mover).into_address());
            mover.keys[usize::from(mover.moved == before)] += 1;
        }
        next
    }

    /// Takes a bucket out of a table that is of no other use any more, with the items in it and whether each is of
    /// another generation than this; false after the last.
    pub(super) fn dismantle(&mut self, generation: u64, mut visit: impl FnMut(Item, bool)) -> bool {
        let Some(Bucket(bucket)) = self.buckets.pop() else { return false };
        bucket.each(|slot| {
            // SAFETY: the table owned the item; its bucket was taken out and is not read again.
            let item = unsafe { Item::from_address(slot & ADDRESS) };
            visit(item, slot & GENERATION != generation);
        });
        true
    }

    /// The item at a place if it is not of this generation; makes it of it.
    pub(super) fn renew(&mut self, place: Place, generation: u64) -> Option<ItemRef<'_>> {
        // SAFETY: as in `get_mut`.
        let slot = unsafe { place.0.as_ref() };
        if slot.get() & GENERATION == generation {
            return None;
        }
        slot.set(slot.get() ^ GENERATION);
        Some(self.get(place))
    }

    /// The bucket at a position, and the position of the next.
    fn bucket_at(&self, position: u32) -> Option<(usize, Option<u32>)> {
        let count = self.buckets.len() as u32;
        if count == 0 {
            return None;
        }
        let index = index_of(position.reverse_bits(), count);
        // The bucket is named by `bits` low bits of the hash, so it owns 2^(32 - bits) positions.
        let split = count - self.base;
        let doubled = (index as u32) < split || index as u32 >= self.base;
        let bits = self.base.trailing_zeros() + u32::from(doubled);
        let owned = 1u64 << (32 - bits);
        let next = (u64::from(position) & !(owned - 1)) + owned;
        Some((index, u32::try_from(next).ok()))
    }

    /// Visits all items.
    #[cfg(test)]
    pub(crate) fn each(&self, mut visit: impl FnMut(ItemRef<'_>)) {
        for Bucket(bucket) in &self.buckets {
            bucket.each(|slot| visit(ItemRef { item: borrow(slot), table: PhantomData }));
        }
    }

    /// How many buckets there are.
    #[cfg(test)]
    pub(crate) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// Bytes of the buckets.
    pub(crate) fn memory_bytes(&self) -> usize {
        let children: usize = self.buckets.iter().map(|bucket| bucket.0.overflow().count()).sum();
        self.buckets.capacity() * size_of::<Bucket>()
            + children * size_of::<Overflow>()
            + self.deadlines.memory_bytes()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for Bucket(bucket) in &self.buckets {
            // SAFETY: the table owns its items and is going away; no slot is read again.
            bucket.each(|slot| drop(unsafe { Item::from_address(slot & ADDRESS) }));
        }
    }
}

/// The bucket of a hash among `count` buckets: its low bits, one fewer where that bucket does not exist yet.
#[inline]
pub(crate) fn index_of(hash: u32, count: u32) -> usize {
    let base = 1u32 << (31 - (count | 1).leading_zeros());
    let wide = hash & (2 * (base - 1) + 1);
    (if wide < count { wide } else { hash & (base - 1) }) as usize
}

/// An item in its table.
#[derive(Debug)]
pub struct ItemRef<'a> {
    item: ManuallyDrop<Item>,
    table: PhantomData<&'a Table>,
}

impl<'a> ItemRef<'a> {
    /// The key.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        // SAFETY: the table owns the item and is borrowed for 'a.
        unsafe { std::mem::transmute::<&[u8], &'a [u8]>(self.item.key()) }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'a> {
        // SAFETY: as for `key`.
        unsafe { std::mem::transmute::<ValueRef<'_>, ValueRef<'a>>(self.item.value()) }
    }

    /// When the key dies, in Unix milliseconds.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        self.item.deadline()
    }

    /// True if the time of the key, or of all its fields, is over.
    #[inline]
    pub(super) fn is_dead(&self, now_ms: u64) -> bool {
        self.item.is_dead(now_ms)
    }

    /// True if the key or fields of it have deadlines.
    #[inline]
    pub(super) fn is_volatile(&self) -> bool {
        self.item.is_volatile()
    }

    /// When the key dies or the first of its fields does.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        self.item.earliest_deadline()
    }

    /// The value if it is a hash that has fields with deadlines.
    pub(super) fn timed_hash(&self) -> Option<&Hash> {
        self.item.timed_hash()
    }

    /// Deadline, flags and CAS.
    pub fn extras(&self) -> Extras {
        self.item.extras()
    }

    /// The item as a plain reference.
    pub(super) fn item(&self) -> &Item {
        &self.item
    }

    /// The 24-bit access word.
    pub fn access(&self) -> u32 {
        self.item.access()
    }

    /// About as many bytes as the key costs, its slot in the table included. O(1).
    pub fn approximate_bytes(&self) -> usize {
        self.item.approximate_bytes()
    }

    /// Bytes that the item takes, without its slot in the table.
    pub fn memory_bytes(&self) -> usize {
        self.item.memory_bytes()
    }
}

/// An item in its table, to be changed in place.
#[derive(Debug)]
pub struct ItemMut<'a> {
    item: ManuallyDrop<Item>,
    table: PhantomData<&'a mut Table>,
}

impl<'a> ItemMut<'a> {
    /// The item as a plain reference.
    pub fn item(&mut self) -> &mut Item {
        &mut self.item
    }

    /// The value, to be changed in place.
    pub fn into_value(mut self) -> ValueMut<'a> {
        // SAFETY: the table owns the item and is exclusively borrowed for 'a.
        unsafe { std::mem::transmute::<ValueMut<'_>, ValueMut<'a>>(self.item.value_mut()) }
    }
}
