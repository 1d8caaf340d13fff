//! The keyspace in memory: partitions, items, types, expiry, eviction. No sockets, files, threads or clock.
//!
//! A [`Store`] is many [`Partition`]s, each a fixed range of the 16384 hash slots behind its own lock. A caller locks
//! exactly the partitions that its keys live in, in ascending order, and does what it wants through them. Time and
//! randomness are handed in, so whatever happens here can be made to happen again.
//!
//! In reading order: [`key`], [`partition`], [`object`], [`evict`].

pub mod compact;
pub mod evict;
#[cfg(feature = "holds")]
pub mod holds;
pub mod key;
mod lock;
pub mod object;
pub mod partition;

pub use key::{Key, Seed};
pub use partition::value::{Extras, IntegerMut, Owned, State, Value, ValueMut, ValueRef};
pub use partition::{
    Cleared, Due, Entry, Gone, Image, ItemMut, ItemRef, Left, Now, Partition, Reason, Removed, Saver, Watcher,
};

use lock::{Held, Locks};
use partition::access::Access;
use partition::{Common, Keeping, index_of, prefetch};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Keys of which a store remembers why they left, unless it is told otherwise.
pub const REMEMBERED_DEFAULT: usize = 16 << 20;

/// Keys that a partition remembers at a time, at least, if it remembers any.
pub const REMEMBERED_STEP: usize = 8;

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
    /// What is done with a value whose time was over: a large one is better freed where nobody waits. Default `drop`.
    pub free: fn(Removed),
    /// Only one thread will ever lock partitions; the process aborts if a second one does. Default false.
    pub exclusive: bool,
}

/// The share of memory that partitions may take while nothing is in them.
const PARTITIONS_SHARE: u64 = 16;
/// Most partitions of a node.
const MOST_PARTITIONS: u16 = 4096;

impl Config {
    /// As many partitions as this number of workers needs for seldom meeting in one: 512 for each, at most 4096. Fewer
    /// partitions are fewer cache lines. A single worker has the store to itself.
    #[must_use]
    pub fn for_workers(self, workers: usize) -> Config {
        let partitions = workers.saturating_mul(512).next_power_of_two().clamp(512, MOST_PARTITIONS.into());
        Config { partitions: partitions as u16, exclusive: workers == 1, ..self }
    }

    /// No more partitions than a node that may use this many bytes has room for; 0 = any number of bytes.
    #[must_use]
    pub fn for_memory(self, bytes: u64) -> Config {
        if bytes == 0 {
            return self;
        }
        let most = (bytes / PARTITIONS_SHARE / Locks::<Hints, Partition>::EACH_BYTES as u64).max(1);
        Config { partitions: self.partitions.min(1 << most.ilog2().min(MOST_PARTITIONS.ilog2())), ..self }
    }

    /// The defaults with a secret and the time.
    pub fn new(seed: u64, now_ms: u64) -> Config {
        Config { partitions: MOST_PARTITIONS, databases: 16, seed, now_ms, free: drop, exclusive: false }
    }
}

/// Number of a partition. Partitions are locked in ascending order of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(u16);

impl PartitionId {
    /// The number.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// What may be read of a partition without holding its lock.
#[derive(Debug)]
#[repr(C)]
struct Hints {
    /// Address and number of the buckets of database 0: for prefetching, may be out of date.
    buckets: AtomicPtr<u8>,
    count: AtomicU32,
    /// When the next key is due, Unix milliseconds; `u64::MAX` for never.
    due: AtomicU64,
}

/// The whole keyspace.
#[derive(Debug)]
pub struct Store {
    partitions: Locks<Hints, Partition>,
    seed: Seed,
    /// `slot >> shift` is the partition.
    shift: u32,
    databases: u16,
    /// True while somebody wants to hear which keys left because their time was over.
    telling: Arc<AtomicBool>,
    common: Arc<Common>,
    keeping: Arc<Keeping>,
}

/// A locked partition.
#[derive(Debug)]
pub struct Guard<'a>(Held<'a, Hints, Partition>);

impl std::ops::Deref for Guard<'_> {
    type Target = Partition;

    #[inline]
    fn deref(&self) -> &Partition {
        &self.0
    }
}

impl std::ops::DerefMut for Guard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Partition {
        &mut self.0
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        let hints = self.0.hints();
        let (buckets, count) = self.0.first().extent();
        // The index may move while the number of its buckets stays.
        let moved = hints.buckets.load(Ordering::Relaxed).cast_const() != buckets.cast();
        if moved || hints.count.load(Ordering::Relaxed) != count {
            hints.count.store(count, Ordering::Relaxed);
            hints.buckets.store(buckets.cast_mut().cast(), Ordering::Relaxed);
        }
        let due = self.0.next_deadline().unwrap_or(u64::MAX);
        if hints.due.load(Ordering::Relaxed) != due {
            hints.due.store(due, Ordering::Relaxed);
        }
    }
}

impl Store {
    /// An empty keyspace. The number of partitions is rounded up to a power of two and kept within 1 to 16384.
    pub fn new(config: &Config) -> Store {
        let partitions = u32::from(config.partitions).clamp(1, SLOTS).next_power_of_two();
        let seed = Seed::new(config.seed);
        let hints = || Hints {
            buckets: AtomicPtr::default(),
            count: AtomicU32::new(0),
            due: AtomicU64::new(u64::MAX),
        };
        let telling = Arc::new(AtomicBool::new(false));
        let keeping = Arc::new(Keeping::default());
        let common = Common::new(REMEMBERED_DEFAULT / partitions as usize);
        let values = (0..partitions).map(|_| {
            let flags = (telling.clone(), keeping.clone());
            (hints(), Partition::new(seed, config.now_ms, flags, common.clone()).freeing(config.free))
        });
        Store {
            partitions: Locks::new(values, config.exclusive),
            seed,
            shift: (SLOTS / partitions).trailing_zeros(),
            databases: config.databases.max(1),
            telling,
            common,
            keeping,
        }
    }

    /// How a use at a time is noted where the keys with the least hit density leave.
    pub fn lhd_access(&self, now_ms: u64, random: u32) -> Access {
        Access::Lhd(self.common.densities.moment(now_ms, random))
    }

    /// Remembers why keys left, of so many keys at most (rounded up to [`REMEMBERED_STEP`] in each partition), and never
    /// of more than there are keys; 0 remembers nothing.
    pub fn remember(&self, keys: usize) {
        let each = keys.div_ceil(self.partition_count()).next_multiple_of(REMEMBERED_STEP);
        self.common.remembered.store(each, Ordering::Relaxed);
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
        self.partitions.len()
    }

    /// The partition with an index below [`Store::partition_count`].
    pub fn partition_at(&self, index: usize) -> PartitionId {
        PartitionId(index as u16)
    }

    /// All partitions in locking order.
    pub fn partitions(&self) -> impl DoubleEndedIterator<Item = PartitionId> + use<> {
        (0..self.partitions.len() as u16).map(PartitionId)
    }

    /// The partition of a hash slot.
    #[inline]
    pub fn partition_of(&self, slot: u16) -> PartitionId {
        PartitionId(((u32::from(slot) % SLOTS) >> self.shift) as u16)
    }

    /// Locks a partition. Whoever locks several does it in ascending order.
    #[inline]
    pub fn lock(&self, id: PartitionId) -> Guard<'_> {
        Guard(self.partitions.lock(id.index()))
    }

    /// Locks all partitions, in order.
    pub fn lock_all(&self) -> Vec<Guard<'_>> {
        self.partitions().map(|id| self.lock(id)).collect()
    }

    /// Hints the processor to load the partition of a key and its bucket of database 0. Takes no lock.
    #[inline]
    pub fn prefetch_bucket(&self, key: &Key<'_>) {
        let hints = self.partitions.hints(self.partition_of(key.slot).index());
        let partition = std::ptr::from_ref(hints).cast::<u8>();
        prefetch(partition.wrapping_add(64));
        prefetch(partition.wrapping_add(128));
        let count = hints.count.load(Ordering::Relaxed);
        if count > 0 {
            let at = index_of(key.hash, count) * 64;
            prefetch(hints.buckets.load(Ordering::Relaxed).wrapping_add(at));
        }
    }

    /// Hints the processor to load the item of a key. Does nothing when the partition is locked. True if the item may
    /// lie behind an overflow bucket, which is loaded first: then [`Store::prefetch_overflow`] is the next step.
    #[inline]
    pub fn prefetch_item(&self, db: u16, key: &Key<'_>) -> bool {
        self.partitions
            .try_lock(self.partition_of(key.slot).index())
            .is_some_and(|partition| partition.table(db).is_some_and(|table| table.prefetch_item(key.hash)))
    }

    /// Hints the processor to load the item of a key that [`Store::prefetch_item`] said more about.
    pub fn prefetch_overflow(&self, db: u16, key: &Key<'_>) {
        if let Some(partition) = self.partitions.try_lock(self.partition_of(key.slot).index())
            && let Some(table) = partition.table(db)
        {
            table.prefetch_overflow(key.hash);
        }
    }

    /// From now on partitions keep lists of the keys whose time was over, or do not. Takes no lock.
    pub fn tell_gone(&self, telling: bool) {
        self.telling.store(telling, Ordering::Relaxed);
    }

    /// From now on keys whose time is over are hidden but stay until they are removed, as in a replica, which does what
    /// its primary says; or are not. Takes no lock.
    pub fn keep_dead(&self, keeping: bool) {
        self.keeping.all.store(keeping, Ordering::Relaxed);
    }

    /// From now on a read that comes upon a key whose time is over leaves it there, hidden, as while writes are held back; or
    /// does not. Who writes removes it as ever. Takes no lock.
    pub fn keep_dead_from_reads(&self, keeping: bool) {
        self.keeping.reads.store(keeping, Ordering::Relaxed);
    }

    /// True while a read may find a hash with fields whose time is over.
    #[inline]
    pub fn keeps_dead_from_reads(&self) -> bool {
        self.keeping.all.load(Ordering::Relaxed) || self.keeping.reads.load(Ordering::Relaxed)
    }

    /// True when the partition has a key whose time is over. Takes no lock.
    #[inline]
    pub fn is_due(&self, id: PartitionId, now: Now) -> bool {
        self.partitions.hints(id.index()).due.load(Ordering::Relaxed) <= now.ms
    }
}
