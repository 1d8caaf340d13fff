//! Choosing what leaves when memory is short: the eight policies of Redis and `allkeys-lhd`, by sampling.
//!
//! A round looks at a few keys of one partition, chosen at random, or of several if it has few, and takes the one that
//! the policy likes least. Keys are spread over partitions by their hash, so these are a random sample of all.

use crate::Store;
use crate::partition::access::{Access, decayed, idle_seconds};
use crate::partition::density::Densities;
use crate::partition::{ItemRef, Now, Partition, Removed};

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
    /// Of all keys the one whose memory can be expected to bring the fewest hits.
    AllKeysLhd,
}

impl Policy {
    /// The policies by their names in the configuration.
    pub const NAMES: [(&'static str, Policy); 9] = [
        ("volatile-lru", Policy::VolatileLru),
        ("volatile-lfu", Policy::VolatileLfu),
        ("volatile-random", Policy::VolatileRandom),
        ("volatile-ttl", Policy::VolatileTtl),
        ("allkeys-lru", Policy::AllKeysLru),
        ("allkeys-lfu", Policy::AllKeysLfu),
        ("allkeys-random", Policy::AllKeysRandom),
        ("allkeys-lhd", Policy::AllKeysLhd),
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

    /// True where uses are noted for hit densities.
    pub fn is_lhd(self) -> bool {
        self == Policy::AllKeysLhd
    }

    /// How gladly an item is let go: higher leaves first.
    fn score(self, item: &ItemRef<'_>, now: Now, decay_minutes: u32, densities: &Densities) -> u64 {
        let word = item.access();
        match self {
            Policy::NoEviction | Policy::AllKeysRandom | Policy::VolatileRandom => 0,
            Policy::AllKeysLru | Policy::VolatileLru => u64::from(idle_seconds(word, now.ms)),
            Policy::AllKeysLfu | Policy::VolatileLfu => {
                u64::from(255 - decayed(word, (now.ms / 60_000) as u32 & 0xffff, decay_minutes))
            }
            Policy::AllKeysLhd => {
                let density = densities.of(word, now.ms) / item.approximate_bytes() as f32;
                // Bits of positive numbers are in the order of the numbers.
                u64::from(u32::MAX - density.to_bits())
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

/// Looks at a few buckets each that a partition is held for at most.
const LOOKS_MAX: usize = 64;

/// Densities differ more than ages do: it pays to look at so many times more keys.
const LHD_SAMPLES: usize = 3;

/// Keys that a pool keeps.
const POOL_MAX: usize = 16;

/// Longer keys are compared with the others of their round, and not kept.
const POOL_KEY_BYTES_MAX: usize = 256;

/// A key that may leave.
#[derive(Debug)]
struct Candidate {
    score: u64,
    partition: crate::PartitionId,
    db: u16,
    key: Vec<u8>,
}

/// What a thread that evicts remembers between rounds: keys that it looked at and would have let go next, of `allkeys-lhd`,
/// so that a round compares more keys than it looks at. That is a hint: a key is judged anew before it leaves.
#[derive(Debug, Default)]
pub struct Pool {
    /// In the order of their scores: the last leaves first.
    candidates: Vec<Candidate>,
    /// The policy that they were judged by.
    policy: Policy,
    /// Keys that left.
    evicted: usize,
}

impl Pool {
    /// How many keys left since this was asked last.
    pub fn take_evicted(&mut self) -> usize {
        std::mem::take(&mut self.evicted)
    }

    /// Puts a candidate in its place, unless all others are worse.
    fn offer(&mut self, score: u64, partition: crate::PartitionId, db: u16, key: &[u8]) {
        let is_full = self.candidates.len() >= POOL_MAX;
        if is_full && self.candidates.first().is_some_and(|first| score <= first.score) {
            return;
        }
        let same = |other: &Candidate| other.partition == partition && other.db == db && other.key == key;
        let mut candidate = match self.candidates.iter().position(same) {
            Some(at) => self.candidates.remove(at),
            None => {
                let old = is_full.then(|| self.candidates.remove(0).key);
                let mut bytes = old.filter(|old| old.capacity() <= POOL_KEY_BYTES_MAX).unwrap_or_default();
                bytes.clear();
                bytes.extend_from_slice(key);
                Candidate { score, partition, db, key: bytes }
            }
        };
        candidate.score = score;
        self.put(candidate);
    }

    fn put(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|other| other.score <= candidate.score);
        self.candidates.insert(at, candidate);
    }
}

/// The worst of the keys that were looked at.
struct Sample<'a> {
    round: &'a Round,
    densities: &'a Densities,
    /// Keys to look at.
    wanted: usize,
    best: Option<Candidate>,
    /// Takes part instead of `best` where the policy has one.
    pool: Option<&'a mut Pool>,
    seen: usize,
}

impl Store {
    /// Evicts one key: gives back its database, its bytes, and the value to be dropped. `told` hears of it while the
    /// partition is still held, so before anybody can make the key anew. `None` when the policy lets nothing go. Expected O(samples) unless nearly all partitions are empty.
    pub fn evict_one(
        &self,
        round: &Round,
        pool: &mut Pool,
        random: &mut dyn FnMut() -> u64,
        told: &mut dyn FnMut(u16, &[u8]),
    ) -> Option<(u16, Vec<u8>, Removed)> {
        if round.policy == Policy::NoEviction {
            return None;
        }
        if pool.policy != round.policy {
            *pool = Pool { policy: round.policy, evicted: pool.evicted, ..Pool::default() };
        }
        let access = match round.policy {
            Policy::AllKeysLhd => {
                self.common.densities.learn();
                self.lhd_access(round.now.ms, 0)
            }
            _ => Access::None { created: 0 },
        };
        let left = (0..TRIES_MAX).find_map(|_| match self.choose(round, pool, random) {
            None => Some(None),
            Some(chosen) => {
                let mut partition = self.lock(chosen.partition);
                if let Some(better) = pool.candidates.last() {
                    // It may have been used since it was judged.
                    let score = self.score_of(&partition, &chosen, round)?;
                    if score < better.score {
                        pool.put(Candidate { score, ..chosen });
                        return None;
                    }
                }
                let removed = partition.evict(chosen.db, &self.key(&chosen.key, 0), access)?;
                told(chosen.db, &chosen.key);
                drop(partition);
                Some(Some((chosen.db, chosen.key, removed)))
            }
        });
        pool.candidates.retain(|kept| kept.key.len() <= POOL_KEY_BYTES_MAX);
        pool.evicted += usize::from(matches!(left, Some(Some(_))));
        left?
    }

    /// How gladly a key is let go now; `None` if it is there no more.
    fn score_of(&self, partition: &Partition, chosen: &Candidate, round: &Round) -> Option<u64> {
        let item = partition.peek(chosen.db, &self.key(&chosen.key, 0), Now { ms: 0 })?;
        Some(round.policy.score(&item, round.now, round.decay_minutes, &self.common.densities))
    }

    fn new_sample<'a>(&'a self, round: &'a Round) -> Sample<'a> {
        let factor = if round.policy.is_lhd() { LHD_SAMPLES } else { 1 };
        let wanted = round.samples.saturating_mul(factor);
        Sample { round, densities: &self.common.densities, wanted, best: None, pool: None, seen: 0 }
    }

    /// The worst of a sample. Where keys are few a partition holds less than a sample: its neighbours add theirs.
    fn choose(&self, round: &Round, pool: &mut Pool, random: &mut dyn FnMut() -> u64) -> Option<Candidate> {
        let mut sample = self.new_sample(round);
        sample.pool = round.policy.is_lhd().then_some(pool);
        let start = random() as usize;
        let mut overlooked = None;
        for step in 0..self.partition_count() {
            let id = self.partition_at((start + step) % self.partition_count());
            let before = sample.seen;
            let any = self.sample(id, random, &mut sample);
            if sample.seen >= sample.wanted {
                return sample.worst();
            }
            if any && sample.seen == before {
                overlooked = Some(id);
            }
        }
        match (sample.worst(), overlooked) {
            (None, Some(id)) => self.search(id, round),
            (best, _) => best,
        }
    }

    /// Adds some keys of a partition to a sample; false if it has none that may leave.
    fn sample(
        &self,
        id: crate::PartitionId,
        random: &mut dyn FnMut() -> u64,
        sample: &mut Sample<'_>,
    ) -> bool {
        let mut partition = self.lock(id);
        if partition.is_empty() {
            return false;
        }
        let (volatile, wanted) = (sample.round.policy.is_volatile(), sample.wanted);
        let mut any = false;
        for db in 0..self.databases() {
            let len = if volatile { partition.volatile_len(db) } else { partition.len(db) };
            if len == 0 {
                continue;
            }
            any = true;
            let mut seen = 0;
            if volatile {
                let all = len.min(wanted);
                partition.sample_volatile(db, random() as usize, LOOKS_MAX, |item| {
                    sample.see(id, db, &item);
                    seen += 1;
                    seen >= all
                });
            } else {
                partition.sample(db, random() as u32, wanted, |item| {
                    sample.see(id, db, &item);
                    seen += 1;
                });
            }
            sample.seen += seen;
        }
        any
    }

    /// Looks for any key with a deadline in a partition where sampling found none: those with deadlines years away. The
    /// partition is let go every [`LOOKS_MAX`] buckets.
    fn search(&self, id: crate::PartitionId, round: &Round) -> Option<Candidate> {
        let mut sample = self.new_sample(round);
        for db in 0..self.databases() {
            let mut position = Some(0);
            while position.is_some() && sample.best.is_none() {
                let partition = self.lock(id);
                for _ in 0..LOOKS_MAX {
                    let Some(at) =
                        position.filter(|_| partition.volatile_len(db) > 0 && sample.best.is_none())
                    else {
                        position = None;
                        break;
                    };
                    position = partition.scan(db, at, Now { ms: 0 }, |item| {
                        if item.deadline().is_some() {
                            sample.see(id, db, &item);
                        }
                    });
                }
            }
        }
        sample.best
    }
}

impl Sample<'_> {
    /// What leaves first of what was seen, and of the pool.
    fn worst(&mut self) -> Option<Candidate> {
        match &mut self.pool {
            Some(pool) => pool.candidates.pop(),
            None => self.best.take(),
        }
    }

    /// Compares a key with the worst so far.
    fn see(&mut self, partition: crate::PartitionId, db: u16, item: &ItemRef<'_>) {
        let Round { policy, now, decay_minutes, .. } = *self.round;
        let score = policy.score(item, now, decay_minutes, self.densities);
        if let Some(pool) = &mut self.pool {
            pool.offer(score, partition, db, item.key());
        } else if self.best.as_ref().is_none_or(|worst| score > worst.score) {
            self.best = Some(Candidate { score, partition, db, key: item.key().to_vec() });
        }
    }
}

#[cfg(test)]
mod tests;
