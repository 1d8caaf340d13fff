//! The end of the stream, as replicas read it: a [`Spool`] of which the last bytes are kept, and more while a replica
//! needs them.
//!
//! Blocks are shared, so that a sender holds what it is sending without holding the backlog. What falls out while a
//! sender still holds it is freed when that one is done.

use super::spool::{Block, Spool};

/// A block that has this many bytes is full: the next bytes begin another.
const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks that are kept to be filled again: fresh memory costs more than what is written to it.
const SPARES_MAX: usize = 4;
/// Bytes in memory beyond the capacity before what a replica still needs goes to a file.
const PINNED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// See the module. The offset of a byte is the number of bytes before it since the history began.
#[derive(Debug)]
pub struct Backlog {
    spool: Spool,
    /// Bytes that do not fill a block yet, behind the last block.
    open: Vec<u8>,
    spares: Vec<Vec<u8>>,
    end: u64,
    capacity: usize,
    /// Nothing from this offset on is let go.
    pinned: u64,
}

impl Backlog {
    /// An empty one whose first byte will have this offset.
    pub fn new(offset: u64, capacity: usize) -> Backlog {
        Backlog {
            spool: Spool::new(offset),
            open: Vec::new(),
            spares: Vec::new(),
            end: offset,
            capacity,
            pinned: u64::MAX,
        }
    }

    /// Offset of the next byte of the stream.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Offset of the first byte that is still here.
    pub fn first(&self) -> u64 {
        self.spool.first()
    }

    /// Bytes held.
    pub fn held_bytes(&self) -> usize {
        (self.end - self.first()) as usize
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        let spares: usize = self.spares.iter().map(Vec::capacity).sum();
        self.spool.memory_bytes() + self.open.capacity() + spares
    }

    /// Most bytes to hold, give or take a block.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.shrink();
    }

    /// Bytes that it may hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keeps everything from this offset on, however much that is; `u64::MAX`: no more than the capacity. What was kept for
    /// an offset before it goes at once: perhaps nothing more is ever written.
    pub fn pin(&mut self, offset: u64) {
        let moves_on = offset > self.pinned;
        self.pinned = offset;
        if moves_on {
            self.shrink();
        }
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(BLOCK_BYTES - self.open.len()));
            self.open.extend_from_slice(part);
            rest = after;
            if self.open.len() == BLOCK_BYTES {
                self.close();
            }
        }
        self.shrink();
    }

    /// The bytes from an offset on, up to a bounded number of blocks; nothing at the end. `None` if they are gone, or
    /// not there yet: then only a full synchronisation helps.
    pub fn read(&mut self, offset: u64) -> Option<Vec<Block>> {
        if offset < self.first() || offset > self.end {
            return None;
        }
        self.close();
        self.spool.read(offset)
    }

    fn close(&mut self) {
        if self.open.len() >= BLOCK_BYTES / 2 {
            let next = self.spares.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES));
            self.spool.push(std::mem::replace(&mut self.open, next));
        } else if !self.open.is_empty() {
            // It would hold much more than it has.
            self.spool.push(self.open.as_slice().to_vec());
            self.open.clear();
        }
    }

    /// Lets old blocks go, but never so many that less than the capacity is left, and none that is pinned.
    fn shrink(&mut self) {
        while let Some(len) = self.spool.first_len() {
            let after = self.spool.first() + len as u64;
            if self.held_bytes() < self.capacity + len || after > self.pinned {
                break;
            }
            if let Some(mut spare) = self.spool.drop_first()
                && spare.capacity() == BLOCK_BYTES
                && self.spares.len() < SPARES_MAX
            {
                spare.clear();
                self.spares.push(spare);
            }
        }
        let most = self.capacity + PINNED_BYTES_MAX;
        if self.spool.memory_bytes() > most && self.spool.spill(most - BLOCK_BYTES).is_err() {
            // Neither memory nor disk: whoever needs it has to begin anew.
            while self.spool.memory_bytes() > most {
                self.spool.drop_first();
            }
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    /// All that there is from an offset on, in as many reads as that takes.
    fn text(backlog: &mut Backlog, offset: u64) -> Option<Vec<u8>> {
        let mut at = offset;
        let mut all = Vec::new();
        loop {
            let blocks = backlog.read(at)?;
            if blocks.is_empty() {
                return Some(all);
            }
            for block in blocks {
                assert_eq!(block.offset, at);
                at += block.bytes().len() as u64;
                all.extend_from_slice(block.bytes());
            }
        }
    }

    #[test]
    fn what_was_pushed_is_read_from_any_offset() {
        let mut backlog = Backlog::new(100, 1024);
        assert_eq!(text(&mut backlog, 100), Some(Vec::new()));
        backlog.push(b"hello");
        assert_eq!(text(&mut backlog, 100).unwrap(), b"hello");
        backlog.push(b" world");
        assert_eq!(text(&mut backlog, 103).unwrap(), b"lo world");
        assert_eq!(text(&mut backlog, 106).unwrap(), b"world");
        assert_eq!(text(&mut backlog, 111), Some(Vec::new()));
        assert_eq!((text(&mut backlog, 112), text(&mut backlog, 99)), (None, None));
        assert_eq!((backlog.first(), backlog.end(), backlog.held_bytes()), (100, 111, 11));
    }

    #[test]
    fn the_ring_keeps_its_capacity_and_little_more() {
        let capacity = 4 * BLOCK_BYTES;
        let mut backlog = Backlog::new(0, capacity);
        let mut all = Vec::new();
        for n in 0..100_000u32 {
            let line = format!("{n} ");
            all.extend_from_slice(line.as_bytes());
            backlog.push(line.as_bytes());
            let held = backlog.held_bytes();
            assert!(held >= capacity.min(all.len()) && held <= capacity + 2 * BLOCK_BYTES, "{held}");
        }
        let first = backlog.first();
        assert!(text(&mut backlog, first - 1).is_none());
        assert_eq!(text(&mut backlog, first).unwrap(), all[first as usize..]);
        backlog.set_capacity(BLOCK_BYTES);
        assert!(backlog.first() > first);
    }
    #[test]
    fn what_was_kept_for_somebody_goes_when_nobody_needs_it() {
        let mut backlog = Backlog::new(0, BLOCK_BYTES);
        backlog.pin(10);
        for _ in 0..20 {
            backlog.push(&[b'x'; BLOCK_BYTES]);
        }
        assert_eq!(backlog.first(), 0);
        backlog.pin(10 * BLOCK_BYTES as u64 + 1);
        assert_eq!(backlog.first(), 10 * BLOCK_BYTES as u64);
        backlog.pin(u64::MAX);
        assert!(backlog.held_bytes() <= 2 * BLOCK_BYTES, "{}", backlog.held_bytes());
    }
}
