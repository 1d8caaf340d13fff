//! What a session listens to.

use crate::mailbox::Place;
use crate::pubsub::{Hub, Kind};
use std::collections::BTreeSet;

/// The channels and patterns of a session. The [`Hub`] knows the same the other way round.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeSet<Box<[u8]>>,
    patterns: BTreeSet<Box<[u8]>>,
    shard: BTreeSet<Box<[u8]>>,
    bytes: usize,
}

/// Bytes that a name takes beside its own, at either of the two places where it is noted.
const NAME_BYTES: usize = 48;

fn memory_of(name: &[u8]) -> usize {
    2 * (name.len() + NAME_BYTES)
}

impl Subscriptions {
    fn of(&mut self, kind: Kind) -> &mut BTreeSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard,
        }
    }

    /// Begins to listen; nothing happens if the session does already.
    pub fn add(&mut self, hub: &Hub, kind: Kind, name: &[u8], place: Place) {
        if !self.of(kind).contains(name) {
            self.of(kind).insert(name.into());
            self.bytes += memory_of(name);
            hub.add(kind, name, place);
        }
    }

    /// Ends to listen; nothing happens if the session does not.
    pub fn remove(&mut self, hub: &Hub, kind: Kind, name: &[u8], place: Place) {
        if self.of(kind).remove(name) {
            self.bytes -= memory_of(name);
            hub.remove(kind, name, place);
        }
    }

    /// Ends to listen to anything.
    pub fn clear(&mut self, hub: &Hub, place: Place) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            std::mem::take(self.of(kind)).iter().for_each(|name| hub.remove(kind, name, place));
        }
        self.bytes = 0;
    }

    /// Bytes that the names take here and at the [`Hub`], about. O(1).
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// What is listened to, in order.
    pub fn names(&mut self, kind: Kind) -> Vec<Box<[u8]>> {
        self.of(kind).iter().cloned().collect()
    }

    /// Number of channels, patterns and shard channels.
    pub fn counts(&self) -> [usize; 3] {
        [self.channels.len(), self.patterns.len(), self.shard.len()]
    }

    /// The number that a confirmation tells: of channels and patterns together, or of shard channels.
    pub fn told(&self, kind: Kind) -> usize {
        let [channels, patterns, shard] = self.counts();
        if kind == Kind::Shard { shard } else { channels + patterns }
    }

    /// True when nothing is listened to.
    pub fn is_empty(&self) -> bool {
        self.counts() == [0; 3]
    }

    /// True if all of it is allowed; `may` is asked for each name, and told whether it is a pattern.
    pub fn all(&self, may: impl Fn(&[u8], bool) -> bool) -> bool {
        self.channels.iter().chain(&self.shard).all(|name| may(name, false))
            && self.patterns.iter().all(|name| may(name, true))
    }
}
