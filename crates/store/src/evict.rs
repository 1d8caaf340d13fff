//! Choosing what leaves when memory is short: the eight policies of Redis, by sampling.
//!
//! A round looks at a few keys of one partition, chosen at random, and takes the one that the policy likes least.
//! Keys are spread over partitions by their hash, so a partition's keys are a random sample of all.

use crate::Store;
use crate::partition::access::{decayed, idle_seconds};
use crate::partition::{ItemRef, Now, Removed};

/// `maxmemory-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing leaves; commands that need memory fail.
    #[default]
    NoEviction,
    /// The least recently used of all keys.
    AllKeysLru,
    /// The least recently used of the keys with a deadline.
    VolatileLru,
    /// The least frequently used of all keys.
    AllKeysLfu,
    /// The least frequently used of the keys with a deadline.
    VolatileLfu,
    /// Any key.
    AllKeysRandom,
    /// Any key with a deadline.
    VolatileRandom,
    /// The key with the nearest deadline.
    VolatileTtl,
}

impl Policy {
    /// The policies by their names in the configuration.
    pub const NAMES: [(&'static str, Policy); 8] = [
        ("noeviction", Policy::NoEviction),
        ("allkeys-lru", Policy::AllKeysLru),
        ("volatile-lru", Policy::VolatileLru),
        ("allkeys-lfu", Policy::AllKeysLfu),
        ("volatile-lfu", Policy::VolatileLfu),
        ("allkeys-random", Policy::AllKeysRandom),
        ("volatile-random", Policy::VolatileRandom),
        ("volatile-ttl", Policy::VolatileTtl),
    ];

    /// True when only keys with a deadline may leave.
    pub fn is_volatile(self) -> bool {
        matches!(
            self,
            Policy::VolatileLru | Policy::VolatileLfu | Policy::VolatileRandom | Policy::VolatileTtl
        )
    }

    /// True when the key unused for longest leaves first.
    pub fn is_lru(self) -> bool {
        matches!(self, Policy::AllKeysLru | Policy::VolatileLru)
    }

    /// True when the access word is a frequency.
    pub fn is_lfu(self) -> bool {
        matches!(self, Policy::AllKeysLfu | Policy::VolatileLfu)
    }

    /// How gladly an item is let go: higher leaves first.
    fn score(self, item: &ItemRef<'_>, now: Now, decay_minutes: u32) -> u64 {
        let word = item.access();
        match self {
            Policy::NoEviction | Policy::AllKeysRandom | Policy::VolatileRandom => 0,
            Policy::AllKeysLru | Policy::VolatileLru => u64::from(idle_seconds(word, now.ms)),
            Policy::AllKeysLfu | Policy::VolatileLfu => {
                u64::from(255 - decayed(word, (now.ms / 60_000) as u32 & 0xffff, decay_minutes))
            }
            Policy::VolatileTtl => u64::MAX - item.deadline().unwrap_or(u64::MAX),
        }
    }
}

/// What a round of eviction needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// The policy.
    pub policy: Policy,
    /// Keys to compare (`maxmemory-samples`).
    pub samples: usize,
    /// `lfu-decay-time`.
    pub decay_minutes: u32,
    /// The time.
    pub now: Now,
}

/// Partitions that one round tries before it says that nothing can leave.
const EMPTY_PARTITIONS_MAX: usize = 1 << 14;

impl Store {
    /// Evicts one key: gives back its database, its bytes, and the value to be dropped. `None` when the policy lets
    /// nothing go. Expected O(samples) unless nearly all partitions are empty.
    pub fn evict_one(
        &self,
        round: &Round,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<(u16, Vec<u8>, Removed)> {
        if round.policy == Policy::NoEviction {
            return None;
        }
        let start = random() as usize;
        (0..self.partition_count().min(EMPTY_PARTITIONS_MAX)).find_map(|step| {
            let id = self.partition_at((start + step) % self.partition_count());
            self.evict_from(id, round, random)
        })
    }

    fn evict_from(
        &self,
        id: crate::PartitionId,
        round: &Round,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<(u16, Vec<u8>, Removed)> {
        let mut partition = self.lock(id);
        if partition.is_empty() {
            return None;
        }
        let mut best: Option<(u64, u16, Vec<u8>)> = None;
        for db in 0..self.databases() {
            let wanted =
                if round.policy.is_volatile() { partition.volatile_len(db) } else { partition.len(db) };
            if wanted == 0 {
                continue;
            }
            let mut seen = 0;
            let mut position = Some(random() as u32);
            // Two turns around the table at most: one may begin in its middle.
            let mut wrapped = false;
            while let Some(at) = position {
                position = partition.scan(db, at, Now { ms: 0 }, |item| {
                    if round.policy.is_volatile() && item.deadline().is_none() {
                        return;
                    }
                    seen += 1;
                    let score = round.policy.score(&item, round.now, round.decay_minutes);
                    if best.as_ref().is_none_or(|(worst, _, _)| score > *worst) {
                        best = Some((score, db, item.key().to_vec()));
                    }
                });
                if seen >= round.samples {
                    break;
                }
                if position.is_none() && !std::mem::replace(&mut wrapped, true) {
                    position = Some(0);
                }
            }
        }
        let (_, db, key) = best?;
        let removed = partition.evict(db, &self.key(&key, 0))?;
        Some((db, key, removed))
    }
}
