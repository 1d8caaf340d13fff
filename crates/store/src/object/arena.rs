//! Memory of the members of one grown value.
//!
//! Entries live in chunks of 64 KiB and are named by a 4-byte handle (their place, in bytes), which is
//! half of a pointer and needs no `unsafe`. The allocator's size classes and headers cost nothing here, and a value of
//! millions of members is dropped by dropping its chunks. Freed places go to lists by exact size and are split when
//! nothing fits. Entries above 1 KiB get an allocation of their own; the handle then has its top bit set. A clone shares
//! the chunks.
//!
//! When most of the chunks' bytes are holes, all chunks *retire*: nothing new is put there, the owner moves what is left to
//! new ones little by little, and then they are released one by one, their numbers to be used again.
//!
//! This file knows places and sizes, not what is inside an entry.

use super::shared::Shared;

/// Name of an entry. Never 0, so that 0 may mean "none".
pub(super) type Handle = u32;

const UNIT_BYTES: usize = 1;
/// A free place holds the handle of the next one.
const PLACE_UNITS_MIN: usize = size_of::<Handle>() / UNIT_BYTES;
const CHUNK_BYTES: usize = 64 << 10;
const CHUNK_UNITS: usize = CHUNK_BYTES / UNIT_BYTES;
/// Largest entry that lives in a chunk.
pub(super) const ENTRY_BYTES_MAX: usize = 1 << 10;
const LARGE_BIT: u32 = 1 << 31;
/// Chunks that 31 bits of units can name: 2 GiB.
const CHUNKS_MAX: usize = (LARGE_BIT as usize) / CHUNK_UNITS;
/// Chunks in use while none retire; entries beyond get an allocation each. The rest is room to move to.
const CHUNKS_USED_MAX: usize = CHUNKS_MAX / 4 * 3;

/// A large entry, if there is one.
type Large = Option<Shared<Box<[u8]>>>;
/// Large entries of a segment.
const LARGE_SEGMENT: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Shared<Vec<u8>>>,
    /// The chunk that grows.
    last: usize,
    /// Numbers of chunks that are empty and unused.
    vacant: Vec<u32>,
    /// Which of the chunks, from the first one on, retire.
    retiring: Vec<bool>,
    /// First free place of each size (in units); a free place starts with the handle of the next one.
    free: Vec<u32>,
    free_bytes: usize,
    /// In segments.
    large: Vec<Shared<Vec<Large>>>,
    large_len: usize,
    large_free: Vec<u32>,
    large_bytes: usize,
}

fn units(len: usize) -> usize {
    len.div_ceil(UNIT_BYTES).max(PLACE_UNITS_MIN)
}

impl Arena {
    pub(super) fn new() -> Self {
        Arena { chunks: vec![Shared::new(vec![0; UNIT_BYTES])], ..Arena::default() } // handle 0 stays unused
    }

    /// An entry's bytes, from its start to (at least) its end; what is behind is not the entry's.
    #[inline]
    pub(super) fn get(&self, handle: Handle) -> &[u8] {
        if handle & LARGE_BIT != 0 {
            let index = (handle & !LARGE_BIT) as usize;
            let entry = &self.large[index / LARGE_SEGMENT][index % LARGE_SEGMENT];
            return entry.as_ref().map_or(&[], |entry| entry);
        }
        let place = handle as usize;
        &self.chunks[place / CHUNK_UNITS][place % CHUNK_UNITS * UNIT_BYTES..]
    }

    /// As [`Arena::get`], to write inside the entry.
    pub(super) fn get_mut(&mut self, handle: Handle) -> &mut [u8] {
        if handle & LARGE_BIT != 0 {
            return self.large_mut(handle).as_mut().map_or(&mut [], |entry| &mut **entry);
        }
        let place = handle as usize;
        &mut self.chunks[place / CHUNK_UNITS][place % CHUNK_UNITS * UNIT_BYTES..]
    }

    /// Stores the concatenation of `parts`.
    pub(super) fn insert(&mut self, parts: &[&[u8]]) -> Handle {
        let len = parts.iter().map(|part| part.len()).sum();
        let handle = if len <= ENTRY_BYTES_MAX { self.take_place(units(len)) } else { None };
        let Some(handle) = handle else { return self.insert_large(parts, len) };
        let mut rest = self.get_mut(handle);
        for part in parts {
            let (front, back) = rest.split_at_mut(part.len());
            front.copy_from_slice(part);
            rest = back;
        }
        handle
    }

    /// Frees an entry of `len` bytes (the length that it was inserted with).
    pub(super) fn remove(&mut self, handle: Handle, len: usize) {
        if handle & LARGE_BIT != 0 {
            let index = handle & !LARGE_BIT;
            self.large_bytes -= self.large_mut(handle).take().map_or(0, |entry| entry.len());
            self.large_free.push(index);
        } else if !self.is_retiring(handle) {
            self.give_place(handle, units(len));
        }
    }

    /// Bytes in use or reserved.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity()).sum::<usize>()
            + self.chunks.capacity() * size_of::<Shared<Vec<u8>>>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.retiring.capacity()
            + self.free.capacity() * size_of::<u32>()
            + self.large.capacity() * size_of::<Shared<Vec<Large>>>()
            + self.large.iter().map(|segment| segment.capacity()).sum::<usize>() * size_of::<Large>()
            + self.large_free.capacity() * size_of::<u32>()
            + self.large_bytes
    }

    /// True if most of the chunks' bytes are free and none retire, so that moving the rest pays.
    #[inline]
    pub(super) fn is_sparse(&self) -> bool {
        let chunk_bytes = self.used() * CHUNK_BYTES;
        chunk_bytes > 2 * CHUNK_BYTES && self.free_bytes > chunk_bytes / 4 * 3 && self.retiring.is_empty()
    }

    /// Chunks that hold something.
    fn used(&self) -> usize {
        self.chunks.len() - self.vacant.len()
    }

    /// Retires all chunks. What is in them can be read, and written in place, until they are released.
    pub(super) fn retire(&mut self) {
        self.retiring = vec![true; self.chunks.len()];
        self.vacant.iter().for_each(|&index| self.retiring[index as usize] = false);
        if self.open_chunk() {
            self.free.clear();
            self.free_bytes = 0;
        } else {
            self.retiring.clear();
        }
    }

    /// True if the entry should be moved: inserted again, and removed from here.
    pub(super) fn is_retiring(&self, handle: Handle) -> bool {
        // A large entry's number is beyond all chunks.
        self.retiring.get(handle as usize / CHUNK_UNITS).is_some_and(|&retiring| retiring)
    }

    /// Releases one retired chunk, in which nothing may be left; false if none retire any more.
    pub(super) fn release_chunk(&mut self) -> bool {
        while let Some(retiring) = self.retiring.pop() {
            if retiring {
                let index = self.retiring.len();
                self.chunks[index] = Shared::default();
                self.vacant.push(index as u32);
                return true;
            }
        }
        false
    }

    fn insert_large(&mut self, parts: &[&[u8]], len: usize) -> Handle {
        let entry = Shared::new(parts.concat().into_boxed_slice());
        self.large_bytes += len;
        let index = self.large_free.pop().unwrap_or_else(|| self.new_large());
        *self.large_mut(index) = Some(entry);
        index | LARGE_BIT
    }

    fn new_large(&mut self) -> u32 {
        let index = self.large_len;
        self.large_len += 1;
        match self.large.last_mut() {
            Some(segment) if segment.len() < LARGE_SEGMENT => segment.push(None),
            _ => self.large.push(Shared::new(vec![None])),
        }
        index as u32
    }

    fn large_mut(&mut self, handle: Handle) -> &mut Large {
        let index = (handle & !LARGE_BIT) as usize;
        &mut self.large[index / LARGE_SEGMENT][index % LARGE_SEGMENT]
    }

    /// A place of exactly `size` units: a free one of that size, else new room, else a part of a bigger free one.
    fn take_place(&mut self, size: usize) -> Option<Handle> {
        if let Some(handle) = self.take_free(size) {
            return Some(handle);
        }
        self.bump(size).or_else(|| self.take_split(size)).or_else(|| {
            self.start_chunk()?;
            self.bump(size)
        })
    }

    fn take_free(&mut self, size: usize) -> Option<Handle> {
        let handle = *self.free.get(size)?;
        if handle == 0 {
            return None;
        }
        let mut next = [0; 4];
        next.copy_from_slice(&self.get(handle)[..4]);
        self.free[size] = u32::from_le_bytes(next);
        self.free_bytes -= size * UNIT_BYTES;
        Some(handle)
    }

    fn take_split(&mut self, size: usize) -> Option<Handle> {
        let bigger = (size + PLACE_UNITS_MIN..self.free.len()).find(|&bigger| self.free[bigger] != 0)?;
        let handle = self.take_free(bigger)?;
        self.give_place(handle + size as u32, bigger - size);
        Some(handle)
    }

    fn give_place(&mut self, handle: Handle, size: usize) {
        if self.free.len() <= size {
            self.free.resize(size + 1, 0);
        }
        let next = self.free[size].to_le_bytes();
        self.get_mut(handle)[..4].copy_from_slice(&next);
        self.free[size] = handle;
        self.free_bytes += size * UNIT_BYTES;
    }

    /// New room at the end of the last chunk.
    fn bump(&mut self, size: usize) -> Option<Handle> {
        let whole = self.used() > 8;
        let index = self.last;
        let chunk = &mut self.chunks[index];
        let (at, len) = (chunk.len(), size * UNIT_BYTES);
        if at + len > CHUNK_BYTES {
            return None;
        }
        if at + len > chunk.capacity() {
            // The first chunk grows by eighths; when there are many, a whole one costs little in proportion.
            let more = if whole { CHUNK_BYTES - at } else { len.max(at / 8).next_multiple_of(UNIT_BYTES) };
            chunk.reserve_exact(more.min(CHUNK_BYTES - at));
        }
        chunk.resize(at + len, 0);
        Some((index * CHUNK_UNITS + at / UNIT_BYTES) as Handle)
    }

    /// Opens a chunk; what is left of the last one becomes a free place.
    fn start_chunk(&mut self) -> Option<()> {
        let left = self.last;
        if !self.open_chunk() {
            return None;
        }
        let at = self.chunks[left].len();
        if at + PLACE_UNITS_MIN * UNIT_BYTES <= CHUNK_BYTES {
            self.chunks[left].resize(CHUNK_BYTES, 0);
            self.give_place(
                (left * CHUNK_UNITS + at / UNIT_BYTES) as Handle,
                (CHUNK_BYTES - at) / UNIT_BYTES,
            );
        }
        Some(())
    }

    /// Makes an empty chunk the last one; false if there are no more.
    fn open_chunk(&mut self) -> bool {
        if self.used() >= CHUNKS_USED_MAX && self.retiring.is_empty() {
            return false;
        }
        self.last = match self.vacant.pop() {
            Some(index) => index as usize,
            None if self.chunks.len() == CHUNKS_MAX => return false,
            None => {
                self.chunks.push(Shared::default());
                self.chunks.len() - 1
            }
        };
        if self.last == 0 {
            self.chunks[0].push(0); // handle 0 stays unused
        }
        true
    }
}
