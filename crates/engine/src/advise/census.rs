//! What some of the keys that are there look like: how large, with a deadline or without, read or never.

use super::{PREFIX_BYTES_MAX, prefix_of};
use crate::frequent::Frequent;
use larder_store::partition::access::Access;
use larder_store::{ItemRef, Now, Store, ValueRef};

/// Up to so many keys, all are looked at.
const ALL_KEYS_MAX: usize = 10_000;
/// Keys that are looked at where there are more.
const LOOKED_MAX: u64 = 4_000;
/// Buckets that are looked at for them, at most.
const LOOKS_MAX: usize = 8_000;
/// Prefixes that are told apart.
const PREFIXES_MAX: usize = 128;
/// Large keys that are named.
const LARGE_MAX: usize = 16;
/// Upper ends of the classes of sizes, in bytes; the last class has none.
pub const SIZES: [u64; 6] = [64, 256, 1024, 16 << 10, 128 << 10, 1 << 20];
/// Keys that were not used for so long are told.
const IDLE_SECONDS: u32 = 3600;
/// Kinds of values.
pub const KINDS: [&str; 6] = ["string", "list", "set", "zset", "hash", "stream"];

/// What was found of keys with a common prefix, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// Keys.
    pub keys: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, keys without a deadline.
    pub lasting: u64,
    /// Keys that nobody has read since they were stored.
    pub unread: u64,
}

/// See the module.
pub struct Census {
    /// Keys of the database.
    pub keys_total: u64,
    /// What was looked at.
    pub all: Share,
    /// Keys that were not used for an hour.
    pub idle_hour: u64,
    /// Whether it is known which values were read.
    pub knows_reads: bool,
    /// Keys by size: one more class than [`SIZES`].
    pub sizes: [u64; SIZES.len() + 1],
    /// Keys by kind of value: [`KINDS`].
    pub kinds: [u64; KINDS.len()],
    /// By prefix.
    pub prefixes: Frequent<Share>,
    /// The largest, largest first: bytes, kind, key.
    pub large: Vec<(u64, &'static str, Box<[u8]>)>,
}

fn kind(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::String(_) | ValueRef::Integer(_) => 0,
        ValueRef::List(_) => 1,
        ValueRef::Set(_) => 2,
        ValueRef::SortedSet(_) => 3,
        ValueRef::Hash(_) => 4,
        ValueRef::Stream(_) => 5,
    }
}

impl Census {
    /// Looks at keys of the first database. No partition may be held.
    pub fn take(
        store: &Store,
        now: Now,
        access: Access,
        delimiter: u8,
        random: &mut dyn FnMut() -> u64,
    ) -> Census {
        let keys_total: usize = store.partitions().map(|id| store.lock(id).len(0)).sum();
        let mut census = Census {
            keys_total: keys_total as u64,
            all: Share::default(),
            idle_hour: 0,
            knows_reads: !matches!(access, Access::Lfu { .. }),
            sizes: [0; SIZES.len() + 1],
            kinds: [0; KINDS.len()],
            prefixes: Frequent::new(PREFIXES_MAX),
            large: Vec::new(),
        };
        if keys_total <= ALL_KEYS_MAX {
            for id in store.partitions() {
                let (partition, mut position) = (store.lock(id), Some(0));
                while let Some(at) = position {
                    position = partition.scan(0, at, now, |item| census.add(&item, now, access, delimiter));
                }
            }
            return census;
        }
        for _ in 0..LOOKS_MAX {
            if census.all.keys >= LOOKED_MAX {
                break;
            }
            let id = store.partition_at(random() as usize & (store.partition_count() - 1));
            let partition = store.lock(id);
            partition.scan(0, random() as u32, now, |item| census.add(&item, now, access, delimiter));
        }
        census
    }

    fn add(&mut self, item: &ItemRef<'_>, now: Now, access: Access, delimiter: u8) {
        let bytes = item.approximate_bytes() as u64;
        let lasting = u64::from(item.deadline().is_none());
        let unread = u64::from(self.knows_reads && !access.is_fetched(item.access()));
        let prefix = prefix_of(item.key(), delimiter);
        debug_assert!(prefix.len() <= PREFIX_BYTES_MAX);
        for share in [&mut self.all, self.prefixes.used(prefix, bytes)] {
            share.keys += 1;
            share.bytes += bytes;
            share.lasting += lasting;
            share.unread += unread;
        }
        self.idle_hour += u64::from(access.idle_seconds(item.access(), now.ms) >= IDLE_SECONDS);
        self.sizes[SIZES.iter().position(|most| bytes <= *most).unwrap_or(SIZES.len())] += 1;
        let kind = kind(&item.value());
        self.kinds[kind] += 1;
        let smallest = self.large.last().map_or(0, |(bytes, ..)| *bytes);
        if self.large.len() < LARGE_MAX || bytes > smallest {
            let at = self.large.partition_point(|(other, ..)| *other >= bytes);
            self.large.insert(
                at,
                (bytes, KINDS[kind], item.key()[..item.key().len().min(super::KEY_BYTES_MAX)].into()),
            );
            self.large.truncate(LARGE_MAX);
        }
    }
}
