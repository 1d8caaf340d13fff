//! Latencies of a command, counted in buckets that are never more than 0.8 % wide. One thread writes, any may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Values below it are counted exactly; above, each power of two has half as many buckets.
const EXACT: u64 = 256;
const HALF: u64 = EXACT / 2;
/// The longest latency that is told apart, nanoseconds.
pub const MAX_NS: u64 = 1_000_000_000;
const BUCKETS: usize = index(MAX_NS) + 1;

const fn index(ns: u64) -> usize {
    if ns < EXACT {
        return ns as usize;
    }
    let shift = (ns.ilog2() - EXACT.ilog2() + 1) as u64;
    (EXACT + (shift - 1) * HALF + (ns >> shift) - HALF) as usize
}

/// The greatest value that falls into a bucket.
const fn greatest(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let shift = (index - EXACT) / HALF + 1;
    let mantissa = (index - EXACT) % HALF + HALF;
    ((mantissa + 1) << shift) - 1
}

/// See the module.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Histogram {
    /// Counts `count` latencies of so many nanoseconds. Only the owner calls it.
    pub fn record(&self, ns: u64, count: u64) {
        let bucket = &self.buckets[index(ns.clamp(1, MAX_NS))];
        bucket.store(bucket.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }
}

/// What several histograms counted together.
#[derive(Default)]
pub struct Summary {
    /// By bucket: its greatest value in nanoseconds, and how many fell into it. Only buckets that are not empty.
    counts: std::collections::BTreeMap<u64, u64>,
    total: u64,
}

impl Summary {
    /// Adds what a histogram counted.
    pub fn add(&mut self, histogram: &Histogram) {
        for (index, bucket) in histogram.buckets.iter().enumerate() {
            let count = bucket.load(Ordering::Relaxed);
            if count > 0 {
                *self.counts.entry(greatest(index)).or_default() += count;
                self.total += count;
            }
        }
    }

    /// How many latencies were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency in nanoseconds that `percent` of all do not exceed.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((percent.clamp(0.0, 100.0) / 100.0 * self.total as f64) + 0.5) as u64;
        let mut seen = 0;
        for (greatest, count) in &self.counts {
            seen += count;
            if seen >= wanted.max(1) {
                return *greatest;
            }
        }
        0
    }

    /// Pairs of microseconds and how many latencies were not longer, in steps of powers of two, up to the one that
    /// holds all (LATENCY HISTOGRAM).
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut steps: Vec<(u64, u64)> = Vec::new();
        let mut seen = 0;
        let mut limit = 1024;
        let mut counts = self.counts.iter().peekable();
        while seen < self.total {
            let mut here = 0;
            let most = greatest(index(limit));
            while let Some((_, count)) = counts.next_if(|(greatest, _)| **greatest <= most) {
                here += count;
            }
            seen += here;
            if here > 0 {
                steps.push((most / 1000, seen));
            }
            limit *= 2;
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for ns in (1..5000).chain((5000..MAX_NS).step_by(99_991)) {
            let at = index(ns);
            assert!(at >= last && at < BUCKETS, "{ns}");
            last = at;
            let most = greatest(at);
            assert!(most >= ns && (most - ns) * 128 <= ns, "{ns} {most}");
            assert_eq!(index(most), at);
        }
        assert_eq!(greatest(index(1000)), 1003);
    }

    #[test]
    fn percentiles_and_steps() {
        let histogram = Histogram::default();
        histogram.record(1000, 90);
        histogram.record(10_000, 9);
        histogram.record(u64::MAX, 1);
        let mut summary = Summary::default();
        summary.add(&histogram);
        assert_eq!((summary.total(), summary.percentile(50.0)), (100, 1003));
        assert_eq!(summary.percentile(99.0), 10_047);
        assert!(summary.percentile(100.0) >= MAX_NS);
        assert_eq!(summary.cumulative(), [(1, 90), (16, 99), (1_082_130, 100)]);
        histogram.reset();
        let mut summary = Summary::default();
        summary.add(&histogram);
        assert_eq!((summary.total(), summary.percentile(50.0), summary.cumulative()), (0, 0, vec![]));
    }
}
