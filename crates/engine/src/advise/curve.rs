//! The miss-ratio curve from a sample of the keys: SHARDS (Waldspurger, Park, Garthwaite and Ahmad, FAST 2015).
//!
//! What an LRU cache of any size would have hit follows from one number for each read: how many bytes of other keys were
//! used since the same key was used last. To know that exactly takes every key. But of keys that are chosen by their hash,
//! a share R sees a share R of those bytes, so the distance among them divided by R is about the true one. When there are
//! more chosen keys than [`SAMPLES_MAX`], half of them are let go, and R is halved: memory is bounded whatever the traffic.
//! The chosen keys may by chance be used more or less than others; the difference to what was to be expected is counted
//! at the shortest distance, because what makes it is mostly one very hot key (the paper's SHARDS-adj).
//!
//! Keys that were there before anybody watched have no known distance at their first read. Theirs lies between the bytes
//! that were used since the watch began and the size of the cache, and is taken for evenly spread between the two.

use std::collections::HashMap;

/// Keys that are followed at the same time, at most.
pub const SAMPLES_MAX: usize = 16 * 1024;
/// Places in the order of use: so many uses pass until the order is written anew.
const PLACES: usize = 4 * SAMPLES_MAX;
/// Parts of each doubling of the distance that are told apart: 2 per cent.
const PARTS: usize = 32;
/// Doublings: distances up to 2^48 bytes.
const DOUBLINGS: usize = 48;
const BUCKETS: usize = PARTS * DOUBLINGS;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// With a value that takes so many bytes.
    Hit(u64),
    /// Without, though more memory would have helped.
    Miss,
    /// Without, however large the cache: deleted, expired, flushed.
    Gone,
}

/// A key that is followed.
#[derive(Clone, Copy, Debug)]
struct Sample {
    place: u32,
    /// 0 for a key that has no value.
    bytes: u64,
    /// When it was written last, as far as that was seen; 0 = not.
    written_ms: u64,
    /// It was read since.
    read: bool,
}

/// What a write came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Milliseconds since the write before.
    pub after_ms: u64,
    /// Somebody read the value that was replaced.
    pub read: bool,
}

/// See the module.
pub struct Curve {
    /// Keys whose hash is below are followed; of 2^32.
    below: u64,
    samples: HashMap<u64, Sample>,
    /// Sums of bytes over places, as a Fenwick tree.
    sums: Vec<u64>,
    bytes: u64,
    next: usize,
    /// Reads by distance.
    distances: Vec<f64>,
    /// First reads that were hits, by the bytes that had been used by then.
    carried: Vec<f64>,
    /// Reads that no memory makes hits.
    cold: f64,
    reads: f64,
}

/// A point: a size, and the share of reads that would have been hits.
pub type Point = (u64, f64);

fn bucket(bytes: f64) -> usize {
    if bytes <= 1.0 {
        return 0;
    }
    ((bytes.log2() * PARTS as f64) as usize).min(BUCKETS - 1)
}

/// The largest distance of a bucket.
fn end(bucket: usize) -> f64 {
    ((bucket + 1) as f64 / PARTS as f64).exp2()
}

impl Default for Curve {
    fn default() -> Curve {
        Curve {
            below: 1 << 32,
            samples: HashMap::new(),
            sums: vec![0; PLACES + 1],
            bytes: 0,
            next: 0,
            distances: vec![0.0; BUCKETS],
            carried: vec![0.0; BUCKETS],
            cold: 0.0,
            reads: 0.0,
        }
    }
}

impl Curve {
    /// Keys with ids whose upper half is below are followed.
    pub fn below(&self) -> u64 {
        self.below
    }

    /// The share of keys that is followed.
    pub fn rate(&self) -> f64 {
        self.below as f64 / (1u64 << 32) as f64
    }

    /// Keys that are followed.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Reads that were counted, in terms of the rate.
    pub fn reads(&self) -> f64 {
        self.reads
    }

    /// Share of the reads whose distance is not known: their keys were there before.
    pub fn carried_share(&self) -> f64 {
        self.carried.iter().sum::<f64>() / self.reads.max(1.0)
    }

    /// Bytes of all keys that were used, about.
    pub fn used_bytes(&self) -> f64 {
        self.bytes as f64 / self.rate()
    }

    fn is_followed(&self, id: u64) -> bool {
        id >> 32 < self.below
    }

    /// A read of a key. Answers how many milliseconds ago a value that was found was written, if that was seen.
    /// O(log) amortised.
    pub fn read(&mut self, id: u64, found: Found, now_ms: u64) -> Option<u64> {
        if !self.is_followed(id) {
            return None;
        }
        self.reads += 1.0;
        let known = self.samples.get(&id).copied();
        let mut sample = known.unwrap_or(Sample { place: 0, bytes: 0, written_ms: 0, read: false });
        match (known.map(|known| known.bytes).filter(|bytes| *bytes > 0), found) {
            (Some(_), Found::Gone) | (None, Found::Miss | Found::Gone) => self.cold += 1.0,
            (Some(bytes), _) => {
                let others = self.bytes - self.sum_to(sample.place as usize);
                let at = bucket(others as f64 / self.rate() + bytes as f64);
                self.distances[at] += 1.0;
            }
            (None, Found::Hit(_)) => {
                let used = bucket(self.used_bytes());
                self.carried[used] += 1.0;
            }
        }
        let mut age = None;
        match found {
            Found::Hit(bytes) => {
                sample.bytes = bytes;
                sample.read = true;
                age = (sample.written_ms > 0).then(|| now_ms.saturating_sub(sample.written_ms));
            }
            Found::Gone => sample = Sample { bytes: 0, written_ms: 0, ..sample },
            Found::Miss => {}
        }
        self.move_to_front(id, sample);
        age
    }

    /// A key got a value of so many bytes.
    pub fn write(&mut self, id: u64, bytes: u64, now_ms: u64) -> Option<Rewritten> {
        if !self.is_followed(id) {
            return None;
        }
        let known = self.samples.get(&id).copied();
        let rewritten = known
            .filter(|known| known.written_ms > 0 && known.bytes > 0)
            .map(|known| Rewritten { after_ms: now_ms.saturating_sub(known.written_ms), read: known.read });
        self.move_to_front(id, Sample { place: 0, bytes, written_ms: now_ms, read: false });
        rewritten
    }

    /// A key was removed by a client.
    pub fn removed(&mut self, id: u64) {
        if let Some(sample) = self.samples.get_mut(&id) {
            let (place, bytes) = (sample.place as usize, sample.bytes);
            *sample = Sample { bytes: 0, written_ms: 0, ..*sample };
            self.add(place, bytes.wrapping_neg());
        }
    }

    fn move_to_front(&mut self, id: u64, sample: Sample) {
        if let Some(old) = self.samples.get(&id).copied() {
            self.add(old.place as usize, old.bytes.wrapping_neg());
        } else if self.samples.len() >= SAMPLES_MAX {
            self.halve();
            if !self.is_followed(id) {
                return;
            }
        }
        if self.next == PLACES {
            self.samples.remove(&id);
            self.renumber();
        }
        let place = self.next;
        self.next += 1;
        self.samples.insert(id, Sample { place: place as u32, ..sample });
        self.add(place, sample.bytes);
    }

    /// Lets half of the keys go. What was counted is what would have been counted without them.
    pub fn halve(&mut self) {
        self.below /= 2;
        let below = self.below;
        self.samples.retain(|id, _| id >> 32 < below);
        for counts in [&mut self.distances, &mut self.carried] {
            counts.iter_mut().for_each(|count| *count /= 2.0);
        }
        self.cold /= 2.0;
        self.reads /= 2.0;
        self.renumber();
    }

    /// Gives the keys the first places, in the same order.
    fn renumber(&mut self) {
        let mut order: Vec<(u32, u64)> =
            self.samples.iter().map(|(id, sample)| (sample.place, *id)).collect();
        order.sort_unstable();
        self.sums.fill(0);
        self.bytes = 0;
        self.next = order.len();
        for (place, (_, id)) in order.into_iter().enumerate() {
            if let Some(sample) = self.samples.get_mut(&id) {
                sample.place = place as u32;
                let bytes = sample.bytes;
                self.add(place, bytes);
            }
        }
    }

    fn add(&mut self, place: usize, bytes: u64) {
        self.bytes = self.bytes.wrapping_add(bytes);
        let mut at = place + 1;
        while at <= PLACES {
            self.sums[at] = self.sums[at].wrapping_add(bytes);
            at += at & at.wrapping_neg();
        }
    }

    /// Bytes at places up to this one.
    fn sum_to(&self, place: usize) -> u64 {
        let (mut at, mut sum) = (place + 1, 0u64);
        while at > 0 {
            sum = sum.wrapping_add(self.sums[at]);
            at &= at - 1;
        }
        sum
    }

    /// The share of hits in a cache of so many bytes, where `cache_bytes` is what the real one holds and `all_reads` how
    /// many reads there were of all keys. `None` while nothing was read.
    pub fn hit_ratio(&self, bytes: u64, cache_bytes: u64, all_reads: u64) -> Option<f64> {
        let expected = (all_reads as f64 * self.rate()).max(1.0);
        if self.reads < 1.0 {
            return None;
        }
        let size = bytes as f64;
        let mut hits = expected - self.reads; // at the shortest distance
        for (at, count) in self.distances.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let (from, to) = (if at == 0 { 0.0 } else { end(at - 1) }, end(at));
            hits += count * ((size - from) / (to - from)).clamp(0.0, 1.0);
        }
        let most = cache_bytes as f64;
        for (at, count) in self.carried.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let from = end(at).min(most);
            let share = if size >= most { 1.0 } else { (size - from) / (most - from).max(1.0) };
            hits += count * share.clamp(0.0, 1.0);
        }
        Some((hits / expected).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;
