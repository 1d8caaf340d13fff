//! Durations by their order of magnitude: four steps for each doubling.

/// Steps of each doubling.
const STEPS: u32 = 4;
/// Up to 2^40 milliseconds.
const LEN: usize = 40 * STEPS as usize;

/// Counts of durations.
#[derive(Clone, Debug)]
pub struct Spread {
    counts: Box<[u64]>,
    total: u64,
}

impl Default for Spread {
    fn default() -> Spread {
        Spread { counts: vec![0; LEN].into(), total: 0 }
    }
}

impl Spread {
    /// Counts one.
    pub fn note(&mut self, ms: u64) {
        let at = ((ms as f64 + 1.0).log2() * f64::from(STEPS)) as usize;
        self.counts[at.min(LEN - 1)] += 1;
        self.total += 1;
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// So many per cent were no longer than this, about; `None` while there are none.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let mut left = (self.total * percent).div_ceil(100).max(1);
        for (at, count) in self.counts.iter().enumerate() {
            if *count >= left {
                return Some((((at + 1) as f64 / f64::from(STEPS)).exp2() - 1.0).round() as u64);
            }
            left -= count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_step() {
        let mut spread = Spread::default();
        assert_eq!(spread.percentile(50), None);
        (0..=1000).for_each(|ms| spread.note(ms));
        for (percent, exact) in [(50, 500.0), (90, 900.0), (99, 990.0)] {
            let found = spread.percentile(percent).unwrap() as f64;
            assert!((exact * 0.99..=exact * 1.25).contains(&found), "{percent}: {found}");
        }
        spread.note(u64::MAX / 2);
        assert_eq!(spread.total(), 1002);
    }
}
