//! The keyspace in memory: partitions, items, types, expiry, eviction. No sockets, files, threads or clock.
//!
//! A [`Store`] is many [`Partition`]s, each a fixed range of the 16384 hash slots behind its own lock. A caller locks
//! exactly the partitions that its keys live in, in ascending order, and does what it wants through them. Time and
//! randomness are handed in, so whatever happens here can be made to happen again.
//!
//! In reading order: [`key`], [`partition`], [`object`], [`evict`].

pub mod evict;
pub mod key;
pub mod object;
pub mod partition;

pub use key::{Key, Seed};
pub use partition::item::{Extras, Owned, Value, ValueMut, ValueRef};
pub use partition::{Cleared, ItemMut, ItemRef, Now, Partition, Removed, Watcher};

use crossbeam_utils::CachePadded;
use partition::{index_of, prefetch};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Hash slots of a keyspace.
pub const SLOTS: u32 = 16384;

/// How a store is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of partitions: a power of two, at most 16384. Default 4096.
    pub partitions: u16,
    /// Number of databases, at least 1. Default 16.
    pub databases: u16,
    /// A random number, the secret of the hash function.
    pub seed: u64,
    /// Unix milliseconds now: deadlines are counted from here.
    pub now_ms: u64,
}

impl Config {
    /// The defaults with a secret and the time.
    pub fn new(seed: u64, now_ms: u64) -> Config {
        Config { partitions: 4096, databases: 16, seed, now_ms }
    }
}

/// Number of a partition. Partitions are locked in ascending order of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionId(u16);

impl PartitionId {
    /// The number.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// A partition with its lock, and what may be read without holding it.
#[derive(Debug)]
struct Cell {
    partition: Mutex<Partition>,
    /// Address and number of the buckets of database 0: hints for prefetching, may be out of date.
    buckets: AtomicPtr<u8>,
    count: AtomicU32,
    /// When the next key is due, Unix milliseconds; `u64::MAX` for never.
    due: AtomicU64,
}

/// The whole keyspace.
#[derive(Debug)]
pub struct Store {
    cells: Box<[CachePadded<Cell>]>,
    seed: Seed,
    /// `slot >> shift` is the partition.
    shift: u32,
    databases: u16,
}

/// A locked partition.
#[derive(Debug)]
pub struct Guard<'a> {
    partition: MutexGuard<'a, Partition>,
    cell: &'a Cell,
}

impl std::ops::Deref for Guard<'_> {
    type Target = Partition;

    #[inline]
    fn deref(&self) -> &Partition {
        &self.partition
    }
}

impl std::ops::DerefMut for Guard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Partition {
        &mut self.partition
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        let (buckets, count) = self.partition.first().extent();
        if self.cell.count.load(Ordering::Relaxed) != count {
            self.cell.count.store(count, Ordering::Relaxed);
            self.cell.buckets.store(buckets.cast_mut().cast(), Ordering::Relaxed);
        }
        let due = self.partition.next_deadline().unwrap_or(u64::MAX);
        if self.cell.due.load(Ordering::Relaxed) != due {
            self.cell.due.store(due, Ordering::Relaxed);
        }
    }
}

impl Store {
    /// An empty keyspace. The number of partitions is rounded up to a power of two and kept within 1 to 16384.
    pub fn new(config: &Config) -> Store {
        let partitions = u32::from(config.partitions).clamp(1, SLOTS).next_power_of_two();
        let seed = Seed::new(config.seed);
        let cell = || {
            CachePadded::new(Cell {
                partition: Mutex::new(Partition::new(seed, config.now_ms)),
                buckets: AtomicPtr::default(),
                count: AtomicU32::new(0),
                due: AtomicU64::new(u64::MAX),
            })
        };
        Store {
            cells: (0..partitions).map(|_| cell()).collect(),
            seed,
            shift: (SLOTS / partitions).trailing_zeros(),
            databases: config.databases.max(1),
        }
    }

    /// A key with its hash. `slot` is the key's hash slot, below 16384.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8], slot: u16) -> Key<'a> {
        Key { bytes, slot, hash: self.seed.hash(bytes) }
    }

    /// Number of databases.
    pub fn databases(&self) -> u16 {
        self.databases
    }

    /// Number of partitions.
    pub fn partition_count(&self) -> usize {
        self.cells.len()
    }

    /// The partition with an index below [`Store::partition_count`].
    pub fn partition_at(&self, index: usize) -> PartitionId {
        PartitionId(index as u16)
    }

    /// All partitions in locking order.
    pub fn partitions(&self) -> impl DoubleEndedIterator<Item = PartitionId> + use<> {
        (0..self.cells.len() as u16).map(PartitionId)
    }

    /// The partition of a hash slot.
    #[inline]
    pub fn partition_of(&self, slot: u16) -> PartitionId {
        PartitionId((u32::from(slot) % SLOTS >> self.shift) as u16)
    }

    /// Locks a partition. Whoever locks several does it in ascending order.
    #[inline]
    pub fn lock(&self, id: PartitionId) -> Guard<'_> {
        let cell = &*self.cells[id.index()];
        // A panic aborts the process, so that a poisoned lock is never seen.
        let partition = cell.partition.lock().unwrap_or_else(PoisonError::into_inner);
        Guard { partition, cell }
    }

    /// Locks all partitions, in order.
    pub fn lock_all(&self) -> Vec<Guard<'_>> {
        self.partitions().map(|id| self.lock(id)).collect()
    }

    /// Hints the processor to load the bucket of a key of database 0. Takes no lock.
    #[inline]
    pub fn prefetch_bucket(&self, key: &Key<'_>) {
        let cell = &self.cells[self.partition_of(key.slot).index()];
        let count = cell.count.load(Ordering::Relaxed);
        if count > 0 {
            let at = index_of(key.hash, count) * 64;
            prefetch(cell.buckets.load(Ordering::Relaxed).wrapping_add(at));
        }
    }

    /// Hints the processor to load the item of a key. Does nothing when the partition is locked.
    #[inline]
    pub fn prefetch_item(&self, db: u16, key: &Key<'_>) {
        let cell = &self.cells[self.partition_of(key.slot).index()];
        if let Ok(partition) = cell.partition.try_lock()
            && let Some(table) = partition.table(db)
        {
            table.prefetch_item(key.hash);
        }
    }

    /// True when the partition has a key whose time is over. Takes no lock.
    #[inline]
    pub fn is_due(&self, id: PartitionId, now: Now) -> bool {
        self.cells[id.index()].due.load(Ordering::Relaxed) <= now.ms
    }
}
