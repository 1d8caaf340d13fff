//! Bytes in order, addressed by their offset: in memory up to a bound, beyond it in a file that nobody else sees.
//!
//! The backlog is one, and so is a snapshot on its way to replicas: whoever reads slowly costs disk, not memory, and
//! never makes the writer wait.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks that one read answers at most.
const BLOCKS_PER_READ_MAX: usize = 16;
/// Bytes after which a read ends, give or take a block: about what a replica is given at once. What is read beyond that from
/// the file is read again the next time.
const BYTES_PER_READ: usize = 256 * 1024;

/// Bytes from an offset on.
#[derive(Clone, Debug)]
pub struct Block {
    /// Offset of the first byte.
    pub offset: u64,
    bytes: Arc<Vec<u8>>,
    /// Bytes before this one were asked for by nobody.
    start: usize,
}

impl Block {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[derive(Debug)]
enum Place {
    Memory(Arc<Vec<u8>>),
    /// In the file, from here on.
    File(u64),
}

#[derive(Debug)]
struct Chunk {
    offset: u64,
    len: usize,
    place: Place,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Spool {
    chunks: VecDeque<Chunk>,
    /// Offset of the next byte.
    end: u64,
    memory_bytes: usize,
    file: Option<File>,
    file_end: u64,
    /// Chunks at the front that are in the file.
    spilled: usize,
}

impl Spool {
    /// An empty one whose first byte will have this offset.
    pub fn new(offset: u64) -> Spool {
        Spool { end: offset, ..Spool::default() }
    }

    /// Offset of the first byte that is still here.
    pub fn first(&self) -> u64 {
        self.chunks.front().map_or(self.end, |chunk| chunk.offset)
    }

    /// Offset of the next byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Adds a block at the end.
    pub fn push(&mut self, bytes: Vec<u8>) {
        let (offset, len) = (self.end, bytes.len());
        self.end += len as u64;
        self.memory_bytes += bytes.capacity();
        self.chunks.push_back(Chunk { offset, len, place: Place::Memory(Arc::new(bytes)) });
    }

    /// The length of the first block.
    pub fn first_len(&self) -> Option<usize> {
        self.chunks.front().map(|chunk| chunk.len)
    }

    /// Drops the first block; its memory, if nobody else has it, for another one.
    pub fn drop_first(&mut self) -> Option<Vec<u8>> {
        match self.chunks.pop_front()?.place {
            Place::Memory(bytes) => {
                self.memory_bytes -= bytes.capacity();
                Arc::try_unwrap(bytes).ok()
            }
            Place::File(_) => {
                self.spilled -= 1;
                if self.spilled == 0 {
                    (self.file, self.file_end) = (None, 0);
                }
                None
            }
        }
    }

    /// Drops all blocks that end before an offset, or there.
    pub fn drop_before(&mut self, offset: u64) {
        while self.chunks.front().is_some_and(|chunk| chunk.offset + chunk.len as u64 <= offset) {
            self.drop_first();
        }
    }

    /// Moves the oldest blocks in memory to the file until at most so many bytes are in memory.
    ///
    /// # Errors
    /// The file cannot be written; nothing is lost by that.
    pub fn spill(&mut self, memory_bytes_max: usize) -> io::Result<()> {
        while self.memory_bytes > memory_bytes_max {
            let Some(chunk) = self.chunks.get_mut(self.spilled) else { return Ok(()) };
            let Place::Memory(bytes) = &chunk.place else { return Ok(()) };
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(hidden_file()?),
            };
            file.write_all_at(bytes, self.file_end)?;
            self.memory_bytes -= bytes.capacity();
            chunk.place = Place::File(self.file_end);
            self.file_end += chunk.len as u64;
            self.spilled += 1;
        }
        Ok(())
    }

    /// The bytes from an offset on, up to a bounded number of blocks; nothing at the end. `None` if they are not here,
    /// or cannot be read.
    pub fn read(&self, offset: u64) -> Option<Vec<Block>> {
        if offset < self.first() || offset > self.end {
            return None;
        }
        let at = self.chunks.partition_point(|chunk| chunk.offset + chunk.len as u64 <= offset);
        let mut bytes = 0;
        let chunks = self.chunks.range(at..).take(BLOCKS_PER_READ_MAX).take_while(|chunk| {
            let goes_on = bytes < BYTES_PER_READ;
            bytes += chunk.len;
            goes_on
        });
        let blocks = chunks.map(|chunk| {
            let bytes = match &chunk.place {
                Place::Memory(bytes) => bytes.clone(),
                Place::File(at) => {
                    let mut bytes = vec![0; chunk.len];
                    self.file.as_ref()?.read_exact_at(&mut bytes, *at).ok()?;
                    Arc::new(bytes)
                }
            };
            let start = offset.saturating_sub(chunk.offset) as usize;
            Some(Block { offset: chunk.offset + start as u64, bytes, start })
        });
        blocks.collect()
    }
}

/// A file in the working directory that has no name: it goes with the process.
fn hidden_file() -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("temp-{}-{number}.spool", std::process::id());
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&name)?;
    std::fs::remove_file(&name)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(spool: &Spool, mut offset: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let blocks = spool.read(offset).unwrap();
            if blocks.is_empty() {
                return bytes;
            }
            for block in blocks {
                assert_eq!(block.offset, offset);
                bytes.extend_from_slice(block.bytes());
                offset += block.bytes().len() as u64;
            }
        }
    }

    #[test]
    fn what_is_spilled_is_read_like_the_rest() {
        let mut spool = Spool::new(100);
        let expected: Vec<u8> = (0..200u8).collect();
        for part in expected.chunks(10) {
            spool.push(part.into());
        }
        spool.spill(50).unwrap();
        assert_eq!((spool.memory_bytes(), spool.first(), spool.end()), (50, 100, 300));
        assert_eq!(all(&spool, 100), expected);
        assert_eq!(all(&spool, 155), expected[55..]);
        assert!(spool.read(99).is_none() && spool.read(301).is_none());
        spool.drop_before(255);
        assert_eq!((spool.first(), spool.memory_bytes(), spool.file.is_none()), (250, 50, true));
        spool.spill(0).unwrap();
        assert_eq!(all(&spool, 250), expected[150..]);
    }
}
