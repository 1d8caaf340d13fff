//! The latency monitor: events that took longer than `latency-monitor-threshold`, second by second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Samples of an event.
const SAMPLES_MAX: usize = 160;

/// A command that is not quick.
pub const COMMAND: &str = "command";
/// A command that is said to be fast.
pub const FAST_COMMAND: &str = "fast-command";
/// A round of reclaiming expired keys.
pub const EXPIRE_CYCLE: &str = "expire-cycle";
/// A round of eviction.
pub const EVICTION_CYCLE: &str = "eviction-cycle";

/// The worst of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix seconds.
    pub time: u64,
    /// Milliseconds.
    pub latency: u64,
}

/// What is known of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The oldest first.
    pub samples: VecDeque<Sample>,
    /// The worst ever, milliseconds.
    pub max: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    events: Mutex<BTreeMap<&'static str, Series>>,
}

impl LatencyMonitor {
    /// Notes that an event took so many milliseconds.
    pub fn add(&self, event: &'static str, latency: u64) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        self.add_at(event, Sample { time, latency });
    }

    fn add_at(&self, event: &'static str, sample: Sample) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let series = events.entry(event).or_default();
        series.max = series.max.max(sample.latency);
        match series.samples.back_mut().filter(|last| last.time == sample.time) {
            Some(last) => last.latency = last.latency.max(sample.latency),
            None => {
                series.samples.push_back(sample);
                if series.samples.len() > SAMPLES_MAX {
                    series.samples.pop_front();
                }
            }
        }
    }

    /// All events.
    pub fn all(&self) -> BTreeMap<&'static str, Series> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets these events, or all; how many there were.
    pub fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let before = events.len();
        events.retain(|event, _| {
            !names.is_empty() && !names.iter().any(|name| name.eq_ignore_ascii_case(event.as_bytes()))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_each_second_is_kept() {
        let monitor = LatencyMonitor::default();
        for (time, latency) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            monitor.add_at(COMMAND, Sample { time, latency });
        }
        let series = &monitor.all()[COMMAND];
        let expected = [Sample { time: 1, latency: 9 }, Sample { time: 2, latency: 3 }];
        assert_eq!((series.max, series.samples.iter().copied().collect::<Vec<_>>()), (9, expected.to_vec()));
        for time in 0..1000 {
            monitor.add_at(FAST_COMMAND, Sample { time, latency: 1 });
        }
        assert_eq!(monitor.all()[FAST_COMMAND].samples.len(), SAMPLES_MAX);
        assert_eq!(monitor.reset(&[b"COMMAND", b"none"]), 1);
        assert_eq!(monitor.reset(&[]), 1);
        assert!(monitor.all().is_empty());
    }
}
