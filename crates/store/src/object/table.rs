//! The members of a grown hash, set or sorted set, found by name.
//!
//! Linear hashing: the table grows and shrinks by one bucket at a time, so no edit ever moves more than one bucket's
//! members, and there are a few more members than slots in the buckets. A bucket is one cache line: twelve 4-byte handles, a
//! byte of hash for each, and the number of a spill, with room for four more, for what does not fit. Buckets and spills lie
//! in segments of 64, so growing copies nothing; a clone shares them.
//!
//! A scan walks the hash space in bit-reversed order; its cursor is the place where it stands. Every bucket covers a
//! contiguous range of that order at any table size, so a member that is present throughout a scan is returned.
//!
//! A table from which many members went is *compacted* by a walk of the same kind, a few members at each edit: their entries
//! move out of the arena's old chunks, and chains use the spills of the lowest numbers, so that the last segments can go.
//!
//! An entry in the arena is `[lengths][name][payload]`.

use super::arena::{Arena, ENTRY_BYTES_MAX, Handle};
use super::shared::Shared;
use super::{Random, below};
use lengths::{Lengths, read_lengths, read_varint};
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

mod lengths;

const SLOTS: usize = 12;
const SEGMENT: usize = 64;
/// Handles in a spill.
const SPILL_SLOTS: usize = 4;
/// Members per bucket, times 16, above which the table grows and below which it shrinks: loads of 107 % and 88 %.
const GROW_LOAD_X16: usize = 205;
const SHRINK_LOAD_X16: usize = 168;
/// Members that an edit moves in the mean while the table is compacted: it is done before half of them are gone.
const MOVES_PER_EDIT: isize = 2;

#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    slots: [Handle; SLOTS],
    tags: [u8; SLOTS],
    /// Number of the spill plus one, or 0.
    next: u32,
}

/// Room for members that do not fit in their bucket.
#[derive(Clone, Debug, Default)]
#[repr(align(8))]
struct Spill {
    slots: [Handle; SPILL_SLOTS],
    tags: [u8; SPILL_SLOTS],
    /// Number of the next spill plus one, or 0.
    next: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64 && size_of::<Spill>() == 24);

/// Where a member's handle lies.
#[derive(Clone, Copy)]
struct Spot {
    bucket: At,
    slot: usize,
}

#[derive(Clone, Copy)]
enum At {
    Home(usize),
    Spill(usize),
}

/// A bucket or a spill.
#[derive(Clone, Copy)]
struct Shelf<'a> {
    slots: &'a [Handle],
    next: u32,
}

struct ShelfMut<'a> {
    slots: &'a mut [Handle],
    tags: &'a mut [u8],
    next: &'a mut u32,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    arena: Arena,
    segments: Vec<Shared<Vec<Bucket>>>,
    bucket_count: usize,
    spills: Vec<Shared<Vec<Spill>>>,
    /// Of each segment of spills, a bit for each unused one.
    spills_free: Vec<u64>,
    /// Segments before this one have no unused spills.
    spills_full: usize,
    /// Most spills that a bucket ever had; bounds the rejection sampling of random members.
    chain_max: usize,
    len: usize,
    /// How far compacting is, if it is on.
    walk: Option<Walk>,
    /// Payload bytes when all entries have the same.
    fixed: Option<usize>,
    secrets: RapidSecrets,
}

/// A walk over all buckets that moves members together.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    /// As the cursor of a scan.
    place: u64,
    /// Members that may still be moved; less than 0 after a bucket with more.
    credit: isize,
}

/// A decoded entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) payload: &'a [u8],
    total: usize,
}

impl Table {
    /// An empty table; `fixed` = payload bytes if all members have the same number.
    pub(super) fn new(seed: u64, fixed: Option<usize>) -> Self {
        Table {
            arena: Arena::new(),
            segments: vec![Shared::new(vec![Bucket::default()])],
            bucket_count: 1,
            spills: Vec::new(),
            spills_free: Vec::new(),
            spills_full: 0,
            chain_max: 0,
            len: 0,
            walk: None,
            fixed,
            secrets: RapidSecrets::seed(seed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let buckets: usize = self.segments.iter().map(|segment| segment.capacity()).sum();
        let spills: usize = self.spills.iter().map(|segment| segment.capacity()).sum();
        size_of::<Self>()
            + self.arena.memory_bytes()
            + (self.segments.capacity() + self.spills.capacity()) * size_of::<Shared<Vec<Bucket>>>()
            + buckets * size_of::<Bucket>()
            + spills * size_of::<Spill>()
            + self.spills_free.capacity() * size_of::<u64>()
    }

    /// The entry that a handle names.
    #[inline]
    pub(super) fn entry(&self, handle: Handle) -> Entry<'_> {
        let bytes = self.arena.get(handle);
        let mut at = 0;
        let (name_len, payload_len) = match self.fixed {
            Some(payload_len) => (read_varint(bytes, &mut at), payload_len),
            None => read_lengths(bytes, &mut at),
        };
        let total = at + name_len + payload_len;
        Entry { name: &bytes[at..at + name_len], payload: &bytes[at + name_len..total], total }
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<Handle> {
        self.locate(name).map(|spot| self.shelf(spot.bucket).slots[spot.slot])
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).map(|handle| self.entry(handle).payload)
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.locate(name).is_some()
    }

    /// Adds a member that is known to be absent.
    pub(super) fn insert_new(&mut self, name: &[u8], payload: &[u8]) -> Handle {
        let handle = self.store(name, payload);
        let hash = self.hash(name);
        self.link(self.home(hash), hash, handle);
        self.len += 1;
        if self.len * 16 > self.bucket_count * GROW_LOAD_X16 {
            self.grow();
        }
        handle
    }

    /// Sets a member's payload; true if it is new.
    pub(super) fn insert(&mut self, name: &[u8], payload: &[u8]) -> bool {
        match self.locate(name) {
            Some(spot) => self.replace(spot, name, payload),
            None => {
                self.insert_new(name, payload);
                return true;
            }
        }
        false
    }

    /// Overwrites a payload of fixed size in place.
    pub(super) fn overwrite(&mut self, handle: Handle, payload: &[u8]) {
        let total = self.entry(handle).total;
        self.arena.get_mut(handle)[total - payload.len()..total].copy_from_slice(payload);
    }

    /// Removes a member; false if there was none.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let Some(spot) = self.locate(name) else { return false };
        let handle = std::mem::take(&mut self.shelf_mut(spot.bucket).slots[spot.slot]);
        self.arena.remove(handle, self.entry(handle).total);
        self.len -= 1;
        if self.bucket_count > 1 && self.len * 16 < (self.bucket_count - 1) * SHRINK_LOAD_X16 {
            self.shrink();
        }
        true
    }

    /// A bounded part of the work of moving members together, if there is any; for who adds and removes members to do after
    /// each. Gives the handles of those that moved; what the old ones name can be read until the next call.
    #[inline]
    pub(super) fn compact(&mut self) -> Vec<Handle> {
        match self.walk {
            None if !self.arena.is_sparse() => Vec::new(),
            walk => self.go_on(walk),
        }
    }

    #[cold]
    fn go_on(&mut self, walk: Option<Walk>) -> Vec<Handle> {
        let mut walk = walk.unwrap_or_else(|| {
            self.arena.retire();
            Walk::default()
        });
        let mut moved = Vec::new();
        if walk.place <= u64::from(u32::MAX) {
            walk.credit += MOVES_PER_EDIT;
            while walk.credit > 0 && walk.place <= u64::from(u32::MAX) {
                let (home, next) = self.step(walk.place);
                walk.place = next;
                walk.credit -= self.gather(home, &mut moved) as isize + 1;
            }
            self.walk = Some(walk);
        } else {
            let released = self.arena.release_chunk();
            self.walk = Some(walk).filter(|_| self.release_spills() || released);
        }
        moved
    }

    /// Moves the entries of a bucket out of retiring chunks, and its chain to spills of low numbers; how many there are.
    fn gather(&mut self, home: usize, moved: &mut Vec<Handle>) -> usize {
        let handles = self.drain(home);
        let len = handles.len();
        for mut handle in handles {
            let hash = self.hash(self.entry(handle).name);
            if self.arena.is_retiring(handle) {
                handle = self.renew(handle);
                moved.push(handle);
            }
            self.link(home, hash, handle);
        }
        len
    }

    /// Copies an entry to a new place and gives up the old one, which must be retiring.
    fn renew(&mut self, handle: Handle) -> Handle {
        let total = self.entry(handle).total;
        let mut bytes = [0; ENTRY_BYTES_MAX];
        bytes[..total].copy_from_slice(&self.arena.get(handle)[..total]);
        self.arena.remove(handle, total);
        self.arena.insert(&[&bytes[..total]])
    }

    /// All members, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.handles().map(|handle| self.entry(handle))
    }

    fn handles(&self) -> impl Iterator<Item = Handle> {
        let buckets = self.segments.iter().flat_map(|segment| segment.iter()).flat_map(|bucket| bucket.slots);
        let spills = self.spills.iter().flat_map(|segment| segment.iter()).flat_map(|spill| spill.slots);
        buckets.chain(spills).filter(|&handle| handle != 0)
    }

    /// Visits members in the order of [`Table::iter`] from a place on, a whole bucket or spill at a time, until a visit says
    /// that it was enough; gives the next place, `None` at the end. Places are worth something until the table is changed.
    pub(super) fn walk<'a>(
        &'a self,
        place: usize,
        visit: &mut dyn FnMut(Entry<'a>) -> bool,
    ) -> Option<usize> {
        let (mut at, mut more) = (place, true);
        while more {
            let slots: &[Handle] = match at.checked_sub(self.bucket_count) {
                None => &self.segments[at / SEGMENT][at % SEGMENT].slots,
                Some(spill) => &self.spills.get(spill / SEGMENT)?.get(spill % SEGMENT)?.slots,
            };
            for &handle in slots.iter().filter(|&&handle| handle != 0) {
                more &= visit(self.entry(handle));
            }
            at += 1;
        }
        Some(at)
    }

    /// Visits whole buckets from `cursor` on until `count` members were seen; gives the next cursor, 0 at the end.
    pub(super) fn scan<'a>(&'a self, cursor: u64, count: usize, visit: &mut dyn FnMut(Entry<'a>)) -> u64 {
        let mut place = cursor & u64::from(u32::MAX);
        let (mut seen, mut buckets) = (0, 0);
        // As Redis does, a scan of nearly empty tables stops after ten buckets for each member asked for.
        while seen < count && buckets < count.saturating_mul(10) {
            let (home, next) = self.step(place);
            for &handle in self.chain(home).flat_map(|shelf| shelf.slots).filter(|&&handle| handle != 0) {
                visit(self.entry(handle));
                seen += 1;
            }
            buckets += 1;
            place = next;
            if place > u64::from(u32::MAX) {
                return 0;
            }
        }
        place
    }

    /// The bucket at a place of the bit-reversed order, and the place behind it, which is beyond 32 bits at the end.
    fn step(&self, place: u64) -> (usize, u64) {
        let home = self.home(u64::from((place as u32).reverse_bits()));
        let width = 1u64 << (32 - self.depth(home));
        (home, (place & !(width - 1)) + width)
    }

    /// A uniformly random member: a random slot among as many per bucket as the longest chain has, until one is used.
    pub(super) fn random(&self, random: Random<'_>) -> Option<Entry<'_>> {
        if self.len == 0 {
            return None;
        }
        loop {
            let home = below(random, self.bucket_count);
            let slot = below(random, SLOTS + self.chain_max * SPILL_SLOTS);
            let handle = self.chain(home).flat_map(|shelf| shelf.slots).nth(slot);
            if let Some(&handle) = handle.filter(|&&handle| handle != 0) {
                return Some(self.entry(handle));
            }
        }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        rapidhash_v3_seeded(name, &self.secrets)
    }

    /// The byte of the hash that is kept beside the handle; its bits are not those that choose the bucket.
    fn tag(hash: u64) -> u8 {
        (hash >> 56) as u8
    }

    /// The bucket of a hash at the present size.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        let mask = self.bucket_count.next_power_of_two() - 1;
        let index = hash as usize & mask & u32::MAX as usize;
        if index >= self.bucket_count { index & (mask >> 1) } else { index }
    }

    /// How many low bits of the hash the members of a bucket share.
    fn depth(&self, home: usize) -> u32 {
        let full = self.bucket_count.next_power_of_two();
        let bits = full.trailing_zeros();
        let partner = home | (full / 2);
        if bits > 0 && partner >= self.bucket_count { bits - 1 } else { bits }
    }

    #[inline]
    fn shelf(&self, at: At) -> Shelf<'_> {
        match at {
            At::Home(index) => {
                let Bucket { slots, next, .. } = &self.segments[index / SEGMENT][index % SEGMENT];
                Shelf { slots, next: *next }
            }
            At::Spill(index) => {
                let Spill { slots, next, .. } = &self.spills[index / SEGMENT][index % SEGMENT];
                Shelf { slots, next: *next }
            }
        }
    }

    #[inline]
    fn shelf_mut(&mut self, at: At) -> ShelfMut<'_> {
        match at {
            At::Home(index) => {
                let Bucket { slots, tags, next } = &mut self.segments[index / SEGMENT][index % SEGMENT];
                ShelfMut { slots, tags, next }
            }
            At::Spill(index) => {
                let Spill { slots, tags, next } = &mut self.spills[index / SEGMENT][index % SEGMENT];
                ShelfMut { slots, tags, next }
            }
        }
    }

    fn next(&self, at: At) -> Option<At> {
        match self.shelf(at).next {
            0 => None,
            number => Some(At::Spill(number as usize - 1)),
        }
    }

    fn chain(&self, home: usize) -> impl Iterator<Item = Shelf<'_>> {
        std::iter::successors(Some(At::Home(home)), |&at| self.next(at)).map(|at| self.shelf(at))
    }

    fn locate(&self, name: &[u8]) -> Option<Spot> {
        let hash = self.hash(name);
        let tag = Self::tag(hash);
        let home = self.home(hash);
        let bucket = &self.segments[home / SEGMENT][home % SEGMENT];
        // Of fixed length, so that the tags are compared all at once.
        for slot in 0..SLOTS {
            let handle = bucket.slots[slot];
            if bucket.tags[slot] == tag && handle != 0 && self.entry(handle).name == name {
                return Some(Spot { bucket: At::Home(home), slot });
            }
        }
        let mut next = bucket.next;
        while next != 0 {
            let index = next as usize - 1;
            let spill = &self.spills[index / SEGMENT][index % SEGMENT];
            for slot in 0..SPILL_SLOTS {
                let handle = spill.slots[slot];
                if spill.tags[slot] == tag && handle != 0 && self.entry(handle).name == name {
                    return Some(Spot { bucket: At::Spill(index), slot });
                }
            }
            next = spill.next;
        }
        None
    }

    fn store(&mut self, name: &[u8], payload: &[u8]) -> Handle {
        let lengths = match self.fixed {
            Some(_) => {
                let mut lengths = Lengths::new();
                lengths.push(name.len());
                lengths
            }
            None => Lengths::of(name.len(), payload.len()),
        };
        self.arena.insert(&[lengths.as_slice(), name, payload])
    }

    fn replace(&mut self, spot: Spot, name: &[u8], payload: &[u8]) {
        let handle = self.shelf(spot.bucket).slots[spot.slot];
        let old = self.entry(handle);
        if old.payload.len() == payload.len() {
            return self.overwrite(handle, payload);
        }
        self.arena.remove(handle, old.total);
        let fresh = self.store(name, payload);
        self.shelf_mut(spot.bucket).slots[spot.slot] = fresh;
    }

    /// Puts a handle in the first unused slot of a chain.
    fn link(&mut self, home: usize, hash: u64, handle: Handle) {
        let (mut at, mut length) = (At::Home(home), 0);
        loop {
            let shelf = self.shelf_mut(at);
            if let Some(slot) = shelf.slots.iter().position(|&used| used == 0) {
                shelf.slots[slot] = handle;
                shelf.tags[slot] = Self::tag(hash);
                break;
            }
            at = match self.next(at) {
                Some(next) => next,
                None => self.lengthen(at),
            };
            length += 1;
        }
        self.chain_max = self.chain_max.max(length);
    }

    fn lengthen(&mut self, at: At) -> At {
        let index = self.take_spill().unwrap_or_else(|| self.new_spill());
        *self.shelf_mut(at).next = index as u32 + 1;
        At::Spill(index)
    }

    /// The unused spill of the lowest number.
    fn take_spill(&mut self) -> Option<usize> {
        let ahead = self.spills_free[self.spills_full..].iter().position(|&free| free != 0);
        self.spills_full = ahead.map_or(self.spills.len(), |ahead| self.spills_full + ahead);
        let free = self.spills_free.get_mut(self.spills_full)?;
        let bit = free.trailing_zeros() as usize;
        *free &= *free - 1;
        Some(self.spills_full * SEGMENT + bit)
    }

    fn give_spill(&mut self, index: usize) {
        self.spills_free[index / SEGMENT] |= 1 << (index % SEGMENT);
        self.spills_full = self.spills_full.min(index / SEGMENT);
    }

    fn new_spill(&mut self) -> usize {
        let whole = self.spills.len() > 1;
        match self.spills.last_mut() {
            Some(segment) if segment.len() < SEGMENT => {
                let len = segment.len();
                if len == segment.capacity() {
                    segment.reserve_exact(if whole { SEGMENT } else { 4 + len / 8 }.min(SEGMENT - len));
                }
                segment.push(Spill::default());
            }
            _ => {
                self.spills.push(Shared::new(vec![Spill::default()]));
                self.spills_free.push(0);
            }
        }
        (self.spills.len() - 1) * SEGMENT + self.spills.last().map_or(0, |segment| segment.len()) - 1
    }

    /// Releases the last segment of spills if none of them is used.
    fn release_spills(&mut self) -> bool {
        let used = self.spills.last().zip(self.spills_free.last());
        let unused = used.is_some_and(|(segment, free)| free.count_ones() as usize == segment.len());
        if unused {
            self.spills.pop();
            self.spills_free.pop();
            self.spills_full = self.spills_full.min(self.spills.len());
        }
        unused
    }

    /// Takes all handles out of a chain and frees its spills.
    fn drain(&mut self, home: usize) -> Vec<Handle> {
        let mut handles = Vec::with_capacity(SLOTS * 2);
        let mut at = Some(At::Home(home));
        while let Some(place) = at {
            at = self.next(place);
            let shelf = self.shelf_mut(place);
            handles.extend(shelf.slots.iter().filter(|&&handle| handle != 0));
            shelf.slots.fill(0);
            *shelf.next = 0;
            if let At::Spill(index) = place {
                self.give_spill(index);
            }
        }
        handles
    }

    fn relink(&mut self, handles: Vec<Handle>) {
        for handle in handles {
            let hash = self.hash(self.entry(handle).name);
            self.link(self.home(hash), hash, handle);
        }
    }

    /// Adds one bucket and shares its partner's members between the two.
    fn grow(&mut self) {
        let index = self.bucket_count;
        if index > u32::MAX as usize / 2 {
            return; // a cursor names 2^32 places; chains just get longer
        }
        if index.is_multiple_of(SEGMENT) {
            self.segments.push(Shared::default());
        }
        let whole = index >= SEGMENT;
        let segment = &mut *self.segments[index / SEGMENT];
        let len = segment.len();
        if len == segment.capacity() {
            // Of one that was copied, because it was shared, the room was not.
            segment.reserve_exact(if whole { SEGMENT - len } else { 1 + len / 8 });
        }
        segment.push(Bucket::default());
        self.bucket_count += 1;
        let partner = index - (self.bucket_count.next_power_of_two() / 2);
        let handles = self.drain(partner);
        self.relink(handles);
    }

    /// Removes the last bucket; its members go back to its partner.
    fn shrink(&mut self) {
        let handles = self.drain(self.bucket_count - 1);
        self.bucket_count -= 1;
        let index = self.bucket_count;
        self.segments[index / SEGMENT].pop();
        if index.is_multiple_of(SEGMENT) {
            self.segments.pop();
        }
        self.relink(handles);
    }
}

#[cfg(test)]
mod tests;
