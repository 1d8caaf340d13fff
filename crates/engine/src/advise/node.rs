//! The watch of a node: begun, ended and reported.

use super::Counted;
use super::census::Census;
use super::report::About;
use crate::command::collection::dice;
use crate::memory;
use crate::node::{Node, now_ms};
use larder_store::Now;
use larder_store::evict::Policy;
use larder_store::partition::Counters;

impl Node {
    /// What was counted so far. No partition may be held.
    fn counted(&self) -> Counted {
        let (mut keys, traffic) = (Counters::default(), self.traffic.total());
        self.store.partitions().for_each(|id| keys.add(self.store.lock(id).counters()));
        let traffic_bytes = traffic.input_bytes + traffic.output_bytes;
        Counted { keys, commands: traffic.commands, traffic_bytes }
    }

    /// Begins to watch the traffic, for so many seconds.
    pub fn start_advice(&self, seconds: u64) {
        self.advisor.start(now_ms(), seconds, self.counted());
        self.find_wanted();
    }

    /// Ends the watch.
    pub fn stop_advice(&self) {
        self.advisor.stop(now_ms(), self.counted());
        self.find_wanted();
    }

    /// Ends the watch, and forgets what it found.
    pub fn forget_advice(&self) {
        self.advisor.forget();
        self.find_wanted();
    }

    /// Ends the watch when its time is over. Called once a second.
    pub fn look_after_advice(&self, now_ms: u64) {
        if self.advisor.is_due(now_ms) {
            self.stop_advice();
        }
    }

    /// What the watch has found, as JSON; `None` if there was none. No partition may be held.
    pub fn advice(&self) -> Option<String> {
        if !self.advisor.was_on() {
            return None;
        }
        let (settings, now) = (self.settings(), now_ms());
        let access = self.access(&settings, now, 0);
        let delimiter = settings.miss_prefix_delimiter;
        let census = Census::take(&self.store, Now { ms: now }, access, delimiter, &mut dice());
        let policy = Policy::NAMES.iter().find(|(_, policy)| *policy == settings.maxmemory_policy);
        let about = About {
            now_ms: now,
            counted: self.counted(),
            used_bytes: memory::used_bytes(),
            memory_max_bytes: settings.maxmemory,
            policy: policy.map_or("", |(name, _)| name),
        };
        self.advisor.report(about, &census)
    }
}
