//! A file that is written from its beginning to its end, with its checksum.
//!
//! It is written past the page cache where the file system allows it. Who writes shares a processor with those who serve
//! requests, and on many machines the kernel displaces nobody in the middle of a call: one that copies into the page cache and
//! hands a megabyte of it to the disk makes them wait for it. A direct write is over soon, and the thread sleeps while the disk works.

use larder_rdb::Checksum;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Bytes that are written at once.
const PORTION_BYTES: usize = 128 * 1024;
/// What the address, the size and the place in the file of a direct write are multiples of: no disk has larger blocks.
const BLOCK_BYTES: usize = 4096;
/// Bytes after which the kernel is asked to make them durable, so that the last fsync does not take long: where the page cache has
/// them, and of direct writes, of which only what the disk and the file system still keep is left to do.
const SYNC_BYTES: u64 = 1024 * 1024;
const SYNC_DIRECT_BYTES: u64 = 32 * 1024 * 1024;

/// A file that is being written. What was put into it is there only after [`Output::finish`].
pub struct Output {
    file: File,
    /// Bytes in the file, and how many of them were made durable.
    size: u64,
    synced: u64,
    /// A portion, from an address on that a direct write may have, and how much of it is filled.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    sum: Option<Checksum>,
    incremental: bool,
    is_direct: bool,
}

impl Output {
    /// An empty file. `checksum`: compute one. `incremental`: it gets durable little by little.
    ///
    /// # Errors
    /// As the file system says.
    pub fn create(path: &Path, checksum: bool, incremental: bool) -> io::Result<Output> {
        let file = File::create(path)?;
        let buffer = vec![0; PORTION_BYTES + BLOCK_BYTES];
        let start = buffer.as_ptr().align_offset(BLOCK_BYTES);
        let is_direct = incremental && fcntl_setfl(&file, OFlags::DIRECT).is_ok();
        let sum = checksum.then(Checksum::default);
        Ok(Output { file, size: 0, synced: 0, buffer, start, filled: 0, sum, incremental, is_direct })
    }

    /// The checksum of what was put so far, if it is computed.
    pub fn sum(&self) -> Option<&Checksum> {
        self.sum.as_ref()
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// As the file system says.
    pub fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PORTION_BYTES - self.filled));
            let at = self.start + self.filled;
            self.buffer[at..at + now.len()].copy_from_slice(now);
            if let Some(sum) = &mut self.sum {
                sum.update(now);
            }
            self.filled += now.len();
            bytes = later;
            if self.filled == PORTION_BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Makes it durable; its size.
    ///
    /// # Errors
    /// As the file system says.
    pub fn finish(mut self) -> io::Result<u64> {
        if self.filled > 0 {
            self.use_cache()?; // it may end in the middle of a block
            self.write()?;
        }
        self.file.sync_all()?;
        Ok(self.size)
    }

    /// Writes what the buffer holds.
    fn write(&mut self) -> io::Result<()> {
        let end = self.start + self.filled;
        while self.filled > 0 {
            match self.file.write(&self.buffer[end - self.filled..end]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.filled -= written;
                    self.size += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file system does not write in this way after all, or not the rest of what it has written in part.
                Err(error) if self.is_direct && Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                    self.use_cache()?
                }
                Err(error) => return Err(error),
            }
        }
        self.sync()
    }

    /// From here on it is written through the page cache.
    fn use_cache(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_direct) {
            fcntl_setfl(&self.file, OFlags::empty())?;
        }
        Ok(())
    }

    /// Makes durable what was written since the last time, if it is much.
    fn sync(&mut self) -> io::Result<()> {
        let (new, most) =
            (self.size - self.synced, if self.is_direct { SYNC_DIRECT_BYTES } else { SYNC_BYTES });
        if self.incremental && new >= most {
            self.file.sync_data()?;
            // What was written will not be read again soon: the page cache is for others.
            let new = std::num::NonZeroU64::new(new);
            let _ = rustix::fs::fadvise(&self.file, self.synced, new, rustix::fs::Advice::DontNeed); // a hint
            self.synced = self.size;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::fcntl_getfl;

    /// Bytes that do not repeat soon.
    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
    }

    fn is_direct(out: &Output) -> bool {
        fcntl_getfl(&out.file).unwrap().contains(OFlags::DIRECT)
    }

    #[test]
    fn what_is_put_is_in_the_file_in_either_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let lengths =
            [0, 1, BLOCK_BYTES, PORTION_BYTES, PORTION_BYTES + 1, 3 * PORTION_BYTES - BLOCK_BYTES, 3_000_000];
        for (len, incremental) in lengths.into_iter().flat_map(|len| [(len, true), (len, false)]) {
            let wanted = bytes(len);
            for step in [len.max(1), 64 * 1024 + 5, 1 + len / 7] {
                let mut out = Output::create(&path, true, incremental).unwrap();
                assert_eq!(is_direct(&out), out.is_direct);
                assert!(incremental || !out.is_direct, "the page cache is to keep it");
                wanted.chunks(step).for_each(|part| out.put(part).unwrap());
                assert_eq!(out.sum().unwrap().sum(), Checksum::of(&wanted));
                assert_eq!(out.finish().unwrap(), len as u64);
                assert!(std::fs::read(&path).unwrap() == wanted, "{len} bytes, {step} at a time");
            }
        }
    }

    #[test]
    fn a_direct_write_that_is_refused_goes_through_the_page_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let wanted = bytes(3 * PORTION_BYTES + 77);
        let mut out = Output::create(&path, false, true).unwrap();
        if !out.is_direct {
            return; // there is nothing to be refused on this file system
        }
        // No disk takes bytes from an odd address, as none takes the rest of a block after a short write.
        out.start = (out.start + 1) % BLOCK_BYTES;
        out.put(&wanted).unwrap();
        // A file system may take all.
        assert_eq!(is_direct(&out), out.is_direct);
        out.finish().unwrap();
        assert!(std::fs::read(&path).unwrap() == wanted);
    }

    #[test]
    fn it_gets_durable_little_by_little() {
        let folder = tempfile::tempdir().unwrap();
        let some = bytes(PORTION_BYTES);
        for (incremental, cached) in [(true, false), (true, true), (false, true)] {
            let mut out = Output::create(&folder.path().join("file"), false, incremental).unwrap();
            if cached {
                out.use_cache().unwrap();
                assert!(!is_direct(&out));
            }
            let most = if out.is_direct { SYNC_DIRECT_BYTES } else { SYNC_BYTES };
            while out.size < most {
                assert_eq!(out.synced, 0);
                out.put(&some).unwrap();
            }
            assert_eq!(out.synced, if incremental { most } else { 0 });
        }
    }
}
