//! The memory file: what keeps a Memcached cache across a planned restart, as memcached's `-e` does.
//!
//! A node that ends in an orderly way writes its strings with flags, CAS uniques and deadlines; the next one takes the
//! file away and loads it. The file is written beside its place, synced and renamed; it ends with a count and a
//! checksum, and one that is damaged, or of another version, is not loaded at all. A node that crashed leaves none, so
//! that old values never pass for new ones.
//!
//! ```text
//! "LRDRMEM1"  last CAS unique (8)
//! 1  key length (4)  value length (4)  flags (4)  CAS (8)  deadline in ms, 0 = none (8)  state (1)  key  value
//! ...
//! 0  count (8)  CRC-64 of all before it (8)
//! ```

use super::{DB, Shared};
use crate::node::{Node, now_ms};
use crc::{CRC_64_XZ, Crc, Digest};
use larder_protocol::number::parse_i64;
use larder_protocol::slot::slot_of;
use larder_store::partition::access::Access;
use larder_store::{Extras, ItemRef, Now, State, Store, Value, ValueRef};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"LRDRMEM1";
const CRC: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);
const RECORD: u8 = 1;
const END: u8 = 0;
/// Longest key or value of a record.
const PART_BYTES_MAX: usize = 1 << 30;

/// Why a memory file is not loaded, or not written.
#[derive(Debug, thiserror::Error)]
pub enum MemoryFileError {
    /// The file system refuses.
    #[error("memory file: {0}")]
    Io(#[from] io::Error),
    /// Not such a file, or of another version.
    #[error("the memory file is of another version, or none")]
    Version,
    /// It does not say what was written.
    #[error("the memory file is damaged")]
    Damaged,
}

struct Summed<W> {
    inner: W,
    digest: Digest<'static, u64>,
}

static SHARED_CRC: Crc<u64> = CRC;

impl<W> Summed<W> {
    fn new(inner: W) -> Summed<W> {
        Summed { inner, digest: SHARED_CRC.digest() }
    }
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<R: Read> Summed<R> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MemoryFileError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(|_| MemoryFileError::Damaged)?;
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn part(&mut self, len: u32, into: &mut Vec<u8>) -> Result<(), MemoryFileError> {
        let len = Some(len as usize).filter(|&len| len <= PART_BYTES_MAX).ok_or(MemoryFileError::Damaged)?;
        into.clear();
        // A length that lies claims no memory: only what is there is read.
        let read = self.inner.by_ref().take(len as u64).read_to_end(into)?;
        if read != len {
            return Err(MemoryFileError::Damaged);
        }
        self.digest.update(into);
        Ok(())
    }
}

/// Whether a file can be written where this one is to be: better known at the start than at the end.
///
/// # Errors
/// The file system refuses.
pub fn check(path: &Path) -> io::Result<()> {
    let beside = beside(path);
    create(&beside)?;
    std::fs::remove_file(beside)
}

/// Where the file is written until it is complete.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes the strings of a node; answers how many.
///
/// # Errors
/// The file system refuses. What was there before is then still there.
pub fn save(node: &Node, path: &Path) -> Result<u64, MemoryFileError> {
    save_store(&node.store, &node.memcached, path)
}

fn save_store(store: &Store, shared: &Shared, path: &Path) -> Result<u64, MemoryFileError> {
    let beside = beside(path);
    let file = create(&beside)?;
    let mut out = Summed::new(BufWriter::new(file));
    out.put(MAGIC)?;
    out.put(&shared.last_cas().to_le_bytes())?;
    let now = Now { ms: now_ms() };
    let mut count = 0u64;
    for id in store.partitions() {
        let partition = store.lock(id);
        let (mut position, mut seen) = (Some(0), Ok(()));
        while let Some(at) = position {
            position = partition.scan(DB, at, now, |item| {
                if seen.is_ok() {
                    match record(&mut out, &item) {
                        Ok(written) => count += u64::from(written),
                        Err(error) => seen = Err(error),
                    }
                }
            });
        }
        seen?;
    }
    out.put(&[END])?;
    out.put(&count.to_le_bytes())?;
    let Summed { mut inner, digest } = out;
    inner.write_all(&digest.finalize().to_le_bytes())?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(beside, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(count)
}

/// Writes a string; false for a value of another type.
fn record(out: &mut Summed<BufWriter<File>>, item: &ItemRef<'_>) -> io::Result<bool> {
    let mut digits = itoa::Buffer::new();
    let value = item.value();
    let data = match &value {
        ValueRef::String(bytes) => *bytes,
        ValueRef::Integer(n) => digits.format(*n).as_bytes(),
        _ => return Ok(false),
    };
    let extras = item.extras();
    out.put(&[RECORD])?;
    out.put(&(item.key().len() as u32).to_le_bytes())?;
    out.put(&(data.len() as u32).to_le_bytes())?;
    out.put(&extras.flags.to_le_bytes())?;
    out.put(&extras.cas.to_le_bytes())?;
    out.put(&extras.deadline.unwrap_or(0).to_le_bytes())?;
    out.put(&[u8::from(extras.state.stale) | u8::from(extras.state.won) << 1])?;
    out.put(item.key())?;
    out.put(data)?;
    Ok(true)
}

/// Loads the file of an earlier run into an empty node, and takes it away: it is good for one start. Without a file
/// nothing happens.
///
/// # Errors
/// The file is damaged, of another version, or cannot be read; then nothing of it is loaded.
pub fn load(node: &Node, path: &Path) -> Result<(), MemoryFileError> {
    if !path.try_exists()? {
        return Ok(());
    }
    let loaded = load_store(&node.store, &node.memcached, path);
    std::fs::remove_file(path)?;
    let keys = loaded?;
    tracing::info!("Memory file loaded, keys: {keys}");
    Ok(())
}

fn load_store(store: &Store, shared: &Shared, path: &Path) -> Result<u64, MemoryFileError> {
    read(path, |_, _, _| {})?; // all of it is good, or none is used
    let now = now_ms();
    let access = Access::lru(now);
    let mut loaded = 0;
    let last_cas = read(path, |key, value, extras| {
        if extras.deadline.is_some_and(|deadline| deadline <= now) {
            return;
        }
        let key = store.key(key, slot_of(key));
        let value = parse_i64(value).map_or(Value::String(value), Value::Integer);
        store.lock(store.partition_of(key.slot)).set(DB, &key, value, extras, access);
        loaded += 1;
    })?;
    shared.resume_cas(last_cas);
    Ok(loaded)
}

/// Reads a file; answers the last CAS unique.
fn read(path: &Path, mut visit: impl FnMut(&[u8], &[u8], Extras)) -> Result<u64, MemoryFileError> {
    let mut input = Summed::new(BufReader::new(File::open(path)?));
    if input.take::<8>()? != *MAGIC {
        return Err(MemoryFileError::Version);
    }
    let last_cas = u64::from_le_bytes(input.take()?);
    let (mut key, mut value, mut count) = (Vec::new(), Vec::new(), 0u64);
    loop {
        match input.take::<1>()? {
            [RECORD] => {}
            [END] => break,
            _ => return Err(MemoryFileError::Damaged),
        }
        let (key_bytes, value_bytes) = (u32::from_le_bytes(input.take()?), u32::from_le_bytes(input.take()?));
        let (flags, cas) = (u32::from_le_bytes(input.take()?), u64::from_le_bytes(input.take()?));
        let deadline = Some(u64::from_le_bytes(input.take()?)).filter(|&deadline| deadline > 0);
        let [state] = input.take::<1>()?;
        let state = State { stale: state & 1 != 0, won: state & 2 != 0 };
        input.part(key_bytes, &mut key)?;
        input.part(value_bytes, &mut value)?;
        visit(&key, &value, Extras { deadline, flags, cas, state, ..Extras::default() });
        count += 1;
    }
    let told = u64::from_le_bytes(input.take()?);
    let sum = input.digest.clone().finalize();
    let mut end = [0; 9];
    let rest = input.inner.read(&mut end)?;
    if told != count || rest != 8 || sum.to_le_bytes() != end[..8] {
        return Err(MemoryFileError::Damaged);
    }
    Ok(last_cas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_store::Config;

    fn store() -> Store {
        Store::new(&Config { partitions: 16, ..Config::new(7, now_ms()) })
    }

    fn filled() -> (Store, Shared) {
        let (store, shared) = (store(), Shared::new(1, "1"));
        shared.resume_cas(77);
        for n in 0..500u64 {
            let name = format!("key:{n}");
            let key = store.key(name.as_bytes(), slot_of(name.as_bytes()));
            let extras = Extras {
                deadline: n.is_multiple_of(3).then_some(now_ms() + 1_000_000),
                flags: n as u32 % 4,
                cas: n % 5,
                state: State { stale: n % 7 == 0, won: n % 11 == 0 },
                ..Extras::default()
            };
            let text = "v".repeat(n as usize);
            let value = if n % 2 == 0 { Value::Integer(n as i64) } else { Value::String(text.as_bytes()) };
            store.lock(store.partition_of(key.slot)).set(DB, &key, value, extras, Access::lru(now_ms()));
        }
        (store, shared)
    }

    fn all(store: &Store) -> Vec<(Vec<u8>, String, Extras)> {
        let mut list = Vec::new();
        for id in store.partitions() {
            let (partition, mut position) = (store.lock(id), Some(0));
            while let Some(at) = position {
                position = partition.scan(DB, at, Now { ms: now_ms() }, |item| {
                    list.push((item.key().to_vec(), format!("{:?}", item.value()), item.extras()));
                });
            }
        }
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    #[test]
    fn what_was_saved_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        let (old, shared) = filled();
        assert_eq!(save_store(&old, &shared, &path).unwrap(), 500);
        let (new, fresh) = (store(), Shared::new(1, "1"));
        assert_eq!(load_store(&new, &fresh, &path).unwrap(), 500);
        assert_eq!(all(&new), all(&old));
        assert_eq!(fresh.last_cas(), 77);
    }

    #[test]
    fn a_damaged_file_is_not_loaded_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        let (old, shared) = filled();
        save_store(&old, &shared, &path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut damages: Vec<Vec<u8>> = (0..60).map(|n| whole[..n * whole.len() / 60].to_vec()).collect();
        for n in 0..60 {
            let mut damaged = whole.clone();
            damaged[n * whole.len() / 60] ^= 0x10;
            damages.push(damaged);
        }
        damages.push([&whole[..], b"x"].concat());
        for damaged in damages {
            std::fs::write(&path, damaged).unwrap();
            let (new, fresh) = (store(), Shared::new(1, "1"));
            assert!(load_store(&new, &fresh, &path).is_err());
            assert!(all(&new).is_empty());
        }
    }
}
