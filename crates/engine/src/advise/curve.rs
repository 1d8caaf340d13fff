//! The miss-ratio curve from a sample of the keys: SHARDS (Waldspurger, Park, Garthwaite and Ahmad, FAST 2015).
//!
//! What an LRU cache of any size would have hit follows from one number for each read: how many bytes of other keys were
//! used since the same key was used last. To know that exactly takes every key. But of keys that are chosen by their hash,
//! a share R sees a share R of those bytes, so the distance among them divided by R is about the true one. When there are
//! more chosen keys than [`SAMPLES_MAX`], half of them are let go, and R is halved: memory is bounded whatever the traffic.
//! The chosen keys may by chance be used more or less than others; the difference to what was to be expected is counted
//! at the shortest distance, because what makes it is mostly one very hot key (the paper's SHARDS-adj).
//!
//! That is exact enough from some thousand keys on. Short distances, where a few hot keys decide, a second sample tells
//! better: one of more keys (all of them, while the traffic allows it), of which only those used last are kept. So
//! the curve is that of the second sample up to the bytes that it always held, and beyond that the first one's, of which
//! the error found at that size is taken off, less and less, as what is left to hit becomes less.
//!
//! Keys that were there before anybody watched have no known distance at their first read. Theirs lies between the bytes
//! that were used since the watch began and the size of the cache, and is taken for evenly spread between the two.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Keys that each sample has at the same time, at most.
pub const SAMPLES_MAX: usize = 16 * 1024;
/// Keys that are followed however many uses they have.
const FOLLOWED_MIN: usize = 4096;
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

/// Ids are keyed hashes already. The table tells entries apart by the upper bits, which are small in ids that are followed.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.rotate_left(32);
    }
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

/// What a sample does when it has too many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    /// It follows half of those that it followed, and each as long as it likes.
    Fewer,
    /// It forgets the half that was not used for longest.
    Newest,
}

/// See the module.
pub struct Curve {
    /// Few keys, whenever they were used last.
    far: Sampled,
    /// More keys, if they were used lately.
    near: Sampled,
}

/// Keys that are followed, and what was seen of them.
struct Sampled {
    full: Full,
    /// Distances up to here are known, in bytes of all keys.
    horizon: f64,
    /// Keys whose hash is below are followed; of 2^32.
    below: u64,
    samples: HashMap<u64, Sample, BuildHasherDefault<IdHasher>>,
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
        Curve { far: Sampled::new(Full::Fewer), near: Sampled::new(Full::Newest) }
    }
}

impl Curve {
    /// Keys with ids whose upper half is below are followed.
    pub fn below(&self) -> u64 {
        self.near.below.max(self.far.below)
    }

    /// The share of keys that is followed whenever they were used.
    pub fn rate(&self) -> f64 {
        self.far.rate()
    }

    /// Keys that are followed whenever they were used.
    pub fn samples(&self) -> usize {
        self.far.samples.len()
    }

    /// Reads that were counted, in terms of the rate.
    pub fn reads(&self) -> f64 {
        self.far.reads
    }

    /// Share of the reads whose distance is not known: their keys were there before.
    pub fn carried_share(&self) -> f64 {
        self.far.carried.iter().sum::<f64>() / self.far.reads.max(1.0)
    }

    /// Bytes of all keys that were used, about.
    pub fn used_bytes(&self) -> f64 {
        self.far.used_bytes()
    }

    /// A read of a key. Answers how many milliseconds ago a value that was found was written, if that was seen.
    /// O(log) amortised.
    pub fn read(&mut self, id: u64, found: Found, now_ms: u64) -> Option<u64> {
        self.near.read(id, found, now_ms);
        self.far.read(id, found, now_ms)
    }

    /// A key got a value of so many bytes.
    pub fn write(&mut self, id: u64, bytes: u64, now_ms: u64) -> Option<Rewritten> {
        self.near.write(id, bytes, now_ms);
        self.far.write(id, bytes, now_ms)
    }

    /// A key was removed by a client.
    pub fn removed(&mut self, id: u64) {
        self.near.removed(id);
        self.far.removed(id);
    }

    /// Whether fewer uses can be followed without following too few keys.
    pub fn is_plenty(&self) -> bool {
        self.near.below > self.far.below || self.far.samples.len() > FOLLOWED_MIN
    }

    /// Follows about half of the uses: less of what was used lately first. What was counted is what would have been
    /// counted without the keys that go.
    pub fn halve(&mut self) {
        if self.near.below <= self.far.below {
            self.far.halve();
        }
        self.near.halve();
    }

    /// The share of hits in a cache of so many bytes, where `cache_bytes` is what the real one holds and `all_reads` how
    /// many reads there were of all keys. `None` while nothing was read.
    pub fn hit_ratio(&self, bytes: u64, cache_bytes: u64, all_reads: u64) -> Option<f64> {
        if self.far.reads < 1.0 {
            return None;
        }
        let size = bytes as f64;
        let far = |size| self.far.known(size, all_reads);
        let (known, end) = (self.near.horizon.min(size), far(f64::INFINITY));
        let error = self.near.known(known, all_reads) - far(known);
        let left = ((end - far(size)) / (end - far(known)).max(f64::EPSILON)).clamp(0.0, 1.0);
        let left = if size > self.near.horizon { left } else { 1.0 };
        let ratio = far(size) + error * left + self.far.carried(size, cache_bytes as f64, all_reads);
        Some(ratio.clamp(0.0, 1.0))
    }
}

impl Sampled {
    fn new(full: Full) -> Sampled {
        Sampled {
            full,
            horizon: f64::INFINITY,
            below: 1 << 32,
            samples: HashMap::default(),
            sums: vec![0; PLACES + 1],
            bytes: 0,
            next: 0,
            distances: vec![0.0; BUCKETS],
            carried: vec![0.0; BUCKETS],
            cold: 0.0,
            reads: 0.0,
        }
    }

    /// The share of keys that is followed.
    fn rate(&self) -> f64 {
        self.below as f64 / (1u64 << 32) as f64
    }

    /// Bytes of all keys that were used, about.
    fn used_bytes(&self) -> f64 {
        self.bytes as f64 / self.rate()
    }

    fn is_followed(&self, id: u64) -> bool {
        id >> 32 < self.below
    }

    fn read(&mut self, id: u64, found: Found, now_ms: u64) -> Option<u64> {
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

    fn write(&mut self, id: u64, bytes: u64, now_ms: u64) -> Option<Rewritten> {
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

    fn removed(&mut self, id: u64) {
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
            match self.full {
                Full::Fewer => self.halve(),
                Full::Newest => self.forget_oldest(),
            }
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
    fn halve(&mut self) {
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

    /// Forgets the half of the keys that was not used for longest.
    fn forget_oldest(&mut self) {
        let mut places: Vec<u32> = self.samples.values().map(|sample| sample.place).collect();
        let middle = places.len() / 2;
        let (_, first, _) = places.select_nth_unstable(middle);
        let first = *first;
        self.samples.retain(|_, sample| sample.place >= first);
        self.renumber();
        self.horizon = self.horizon.min(self.used_bytes());
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

    /// The share of the reads whose distance is known and at most so long, corrected by what the sample was read too much.
    fn known(&self, size: f64, all_reads: u64) -> f64 {
        let expected = (all_reads as f64 * self.rate()).max(1.0);
        let mut hits = expected - self.reads; // at the shortest distance
        for (at, count) in self.distances.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let (from, to) = (if at == 0 { 0.0 } else { end(at - 1) }, end(at));
            hits += count * ((size - from) / (to - from)).clamp(0.0, 1.0);
        }
        hits / expected
    }

    /// The same of first reads that were hits: between the bytes used by then and the size of the cache.
    fn carried(&self, size: f64, cache_bytes: f64, all_reads: u64) -> f64 {
        let expected = (all_reads as f64 * self.rate()).max(1.0);
        let mut hits = 0.0;
        for (at, count) in self.carried.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let from = end(at).min(cache_bytes);
            let share = if size >= cache_bytes { 1.0 } else { (size - from) / (cache_bytes - from).max(1.0) };
            hits += count * share.clamp(0.0, 1.0);
        }
        hits / expected
    }
}

#[cfg(test)]
mod tests;
