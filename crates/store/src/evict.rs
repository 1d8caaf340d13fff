//! Choosing what leaves when memory is short: the eight policies of Redis, by sampling.
//!
//! A round looks at a few keys of one partition, chosen at random, or of several if it has few, and takes the one that
//! the policy likes least. Keys are spread over partitions by their hash, so these are a random sample of all.

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
        ("volatile-lru", Policy::VolatileLru),
        ("volatile-lfu", Policy::VolatileLfu),
        ("volatile-random", Policy::VolatileRandom),
        ("volatile-ttl", Policy::VolatileTtl),
        ("allkeys-lru", Policy::AllKeysLru),
        ("allkeys-lfu", Policy::AllKeysLfu),
        ("allkeys-random", Policy::AllKeysRandom),
        ("noeviction", Policy::NoEviction),
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

/// How often a round begins anew, because somebody else took away the key that it had chosen.
const TRIES_MAX: usize = 64;

/// A key that may leave.
struct Candidate {
    score: u64,
    partition: crate::PartitionId,
    db: u16,
    key: Vec<u8>,
}

impl Store {
    /// Evicts one key: gives back its database, its bytes, and the value to be dropped. `told` hears of it while the
    /// partition is still held, so before anybody can make the key anew. `None` when the policy lets nothing go. Expected O(samples) unless nearly all partitions are empty.
    pub fn evict_one(
        &self,
        round: &Round,
        random: &mut dyn FnMut() -> u64,
        told: &mut dyn FnMut(u16, &[u8]),
    ) -> Option<(u16, Vec<u8>, Removed)> {
        if round.policy == Policy::NoEviction {
            return None;
        }
        (0..TRIES_MAX).find_map(|_| match self.choose(round, random) {
            None => Some(None),
            Some(chosen) => {
                let mut partition = self.lock(chosen.partition);
                let removed = partition.evict(chosen.db, &self.key(&chosen.key, 0))?;
                told(chosen.db, &chosen.key);
                drop(partition);
                Some(Some((chosen.db, chosen.key, removed)))
            }
        })?
    }

    /// The worst of a sample. Where keys are few a partition holds less than a sample: its neighbours add theirs.
    fn choose(&self, round: &Round, random: &mut dyn FnMut() -> u64) -> Option<Candidate> {
        let (mut best, mut seen) = (None, 0);
        let start = random() as usize;
        for step in 0..self.partition_count() {
            let id = self.partition_at((start + step) % self.partition_count());
            seen += self.sample(id, round, random, &mut best);
            if seen >= round.samples {
                break;
            }
        }
        best
    }

    /// Compares some keys of a partition with the worst so far; answers how many.
    fn sample(
        &self,
        id: crate::PartitionId,
        round: &Round,
        random: &mut dyn FnMut() -> u64,
        best: &mut Option<Candidate>,
    ) -> usize {
        let partition = self.lock(id);
        if partition.is_empty() {
            return 0;
        }
        let mut seen_in_all = 0;
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
                    if best.as_ref().is_none_or(|worst| score > worst.score) {
                        *best = Some(Candidate { score, partition: id, db, key: item.key().to_vec() });
                    }
                });
                if seen >= round.samples {
                    break;
                }
                if position.is_none() && !std::mem::replace(&mut wrapped, true) {
                    position = Some(0);
                }
            }
            seen_in_all += seen.min(wanted); // the second turn sees some a second time
        }
        seen_in_all
    }
}
