//! Counting: each event goes to the `metrics` facade, to `tracing`, and to counters that the cache itself can show.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::outcome::Event;

/// The counters of one cache.
pub(crate) struct Report {
    cache: String,
    counts: Vec<AtomicU64>,
    handles: Vec<metrics::Counter>,
    load_seconds: metrics::Histogram,
}

impl Report {
    pub(crate) fn new(cache: &str) -> Self {
        let handle = |event: &Event| {
            let (name, label, value) = event.metric();
            metrics::counter!(name, "cache" => cache.to_owned(), label => value)
        };
        Self {
            cache: cache.to_owned(),
            counts: Event::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            handles: Event::ALL.iter().map(handle).collect(),
            load_seconds: metrics::histogram!("larder_cache_load_seconds", "cache" => cache.to_owned()),
        }
    }

    pub(crate) fn count(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Ordering::Relaxed);
        self.handles[event as usize].increment(1);
        let (_, _, what) = event.metric();
        tracing::trace!(target: "larder_client", cache = %self.cache, what);
    }

    pub(crate) fn load_took(&self, took: Duration) {
        self.load_seconds.record(took.as_secs_f64());
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts(self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

/// A copy of a cache's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Counts {
    /// How often `event` happened.
    #[must_use]
    pub fn of(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    /// All requests, and those that spared the source.
    #[must_use]
    pub fn requests_and_hits(&self) -> (u64, u64) {
        let is_request = |event: &&Event| event.metric().0 == "larder_cache_requests_total";
        let all = Event::ALL.iter().filter(is_request).map(|event| self.of(*event)).sum();
        let hits = [Event::Hit, Event::StaleRevalidating, Event::StaleSourceFailed, Event::NegativeHit];
        (all, hits.iter().map(|event| self.of(*event)).sum())
    }

    /// The share of requests that spared the source; 0 before the first.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        let (all, hits) = self.requests_and_hits();
        if all == 0 { 0.0 } else { hits as f64 / all as f64 }
    }
}
