//! Publish and subscribe: who listens to what, and how a message gets there.
//!
//! [`Hub`] knows the listeners of every channel and pattern. Publishing puts one shared copy of a message into the
//! mailbox of each worker that serves a listener, while the list of listeners is held: who stops listening afterwards
//! knows that all that was meant for it is in its worker's mailbox already. Channels are spread over many lists with a
//! lock each, so publishing in one channel seldom waits for another.
//!
//! Locks are taken in this order: partitions of the keyspace, a list of listeners, a mailbox.

pub mod message;

use crate::mailbox::{Form, Mail, Mailbox, Place};
use larder_protocol::glob;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// Lists that channels are spread over.
const SHARDS: usize = 64;

/// What is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Channels by name (SUBSCRIBE).
    Channel,
    /// Channels by pattern (PSUBSCRIBE).
    Pattern,
    /// Channels of a shard of the keyspace (SSUBSCRIBE): a name space of their own.
    Shard,
}

/// Who listens to one channel or pattern.
#[derive(Debug, Default)]
struct Audience {
    places: BTreeSet<Place>,
    /// The same by worker, made when first needed.
    dealt: OnceLock<Vec<Arc<[Place]>>>,
}

impl Audience {
    fn add(&mut self, place: Place) {
        self.places.insert(place);
        self.dealt = OnceLock::new();
    }

    fn remove(&mut self, place: Place) {
        self.places.remove(&place);
        self.dealt = OnceLock::new();
    }

    /// The listeners of each worker that has any.
    fn dealt(&self) -> &[Arc<[Place]>] {
        self.dealt.get_or_init(|| {
            let all: Vec<Place> = self.places.iter().copied().collect();
            all.chunk_by(|a, b| a.worker == b.worker).map(Arc::from).collect()
        })
    }

    /// Puts a message into the listeners' mailboxes; answers how many there are.
    fn send(&self, mailboxes: &[Mailbox], bytes: &Arc<[u8]>) -> usize {
        for to in self.dealt() {
            let mail = Mail::Deliver { to: to.clone(), bytes: bytes.clone(), form: Form::Push };
            mailboxes[to[0].worker as usize].send(mail); // nobody is dealt nobody
        }
        self.places.len()
    }
}

type List = HashMap<Box<[u8]>, Audience>;

/// Channels by name.
#[derive(Debug)]
struct Channels {
    shards: Vec<Mutex<List>>,
    hasher: RandomState,
    count: AtomicUsize,
}

impl Default for Channels {
    fn default() -> Channels {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Channels { shards, hasher: RandomState::new(), count: AtomicUsize::new(0) }
    }
}

impl Channels {
    fn shard(&self, name: &[u8]) -> MutexGuard<'_, List> {
        let at = self.hasher.hash_one(name) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, name: &[u8], place: Place) {
        let mut list = self.shard(name);
        if !list.contains_key(name) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        list.entry(name.into()).or_default().add(place);
    }

    fn remove(&self, name: &[u8], place: Place) {
        let mut list = self.shard(name);
        let Some(audience) = list.get_mut(name) else { return };
        audience.remove(place);
        if audience.places.is_empty() {
            list.remove(name);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn publish(&self, mailboxes: &[Mailbox], name: &[u8], message: impl FnOnce() -> Arc<[u8]>) -> usize {
        if self.count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let list = self.shard(name);
        list.get(name).map_or(0, |audience| audience.send(mailboxes, &message()))
    }

    fn listeners(&self, name: &[u8]) -> usize {
        self.shard(name).get(name).map_or(0, |audience| audience.places.len())
    }

    fn names(&self, pattern: Option<&[u8]>) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        for shard in &self.shards {
            let list = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name, false));
            names.extend(list.keys().filter(|name| wanted(name)).map(|name| name.to_vec()));
        }
        names
    }
}

/// Patterns, in the order in which they were first asked for.
#[derive(Debug, Default)]
struct Patterns {
    numbers: HashMap<Arc<[u8]>, u64>,
    audiences: BTreeMap<u64, (Arc<[u8]>, Audience)>,
    last: u64,
}

impl Patterns {
    fn add(&mut self, pattern: &[u8], place: Place) {
        if let Some(number) = self.numbers.get(pattern) {
            if let Some((_, audience)) = self.audiences.get_mut(number) {
                audience.add(place);
            }
            return;
        }
        self.last += 1;
        let pattern: Arc<[u8]> = pattern.into();
        let mut audience = Audience::default();
        audience.add(place);
        self.numbers.insert(pattern.clone(), self.last);
        self.audiences.insert(self.last, (pattern, audience));
    }

    fn remove(&mut self, pattern: &[u8], place: Place) {
        let Some(number) = self.numbers.get(pattern).copied() else { return };
        let Some((_, audience)) = self.audiences.get_mut(&number) else { return };
        audience.remove(place);
        if audience.places.is_empty() {
            self.audiences.remove(&number);
            self.numbers.remove(pattern);
        }
    }
}

/// Who listens to what. See the module.
#[derive(Debug, Default)]
pub struct Hub {
    channels: Channels,
    shard_channels: Channels,
    patterns: RwLock<Patterns>,
    pattern_count: AtomicUsize,
}

impl Hub {
    /// A session begins to listen.
    pub fn add(&self, kind: Kind, name: &[u8], place: Place) {
        match kind {
            Kind::Channel => self.channels.add(name, place),
            Kind::Shard => self.shard_channels.add(name, place),
            Kind::Pattern => self.with_patterns(|patterns| patterns.add(name, place)),
        }
    }

    /// A session listens no more. Whatever was published for it before is in its worker's mailbox.
    pub fn remove(&self, kind: Kind, name: &[u8], place: Place) {
        match kind {
            Kind::Channel => self.channels.remove(name, place),
            Kind::Shard => self.shard_channels.remove(name, place),
            Kind::Pattern => self.with_patterns(|patterns| patterns.remove(name, place)),
        }
    }

    fn with_patterns(&self, change: impl FnOnce(&mut Patterns)) {
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut patterns);
        self.pattern_count.store(patterns.numbers.len(), Ordering::Relaxed);
    }

    /// Publishes a message; answers how many listeners it has. O(1) without listeners and patterns, else
    /// O(workers + patterns); what each listener costs is done by its worker.
    #[inline]
    pub fn publish(&self, mailboxes: &[Mailbox], channel: &[u8], message: &[u8]) -> usize {
        let exact =
            self.channels.publish(mailboxes, channel, || message::of_channel("message", channel, message));
        if self.pattern_count.load(Ordering::Relaxed) == 0 {
            return exact;
        }
        exact + self.publish_to_patterns(mailboxes, channel, message)
    }

    #[cold]
    fn publish_to_patterns(&self, mailboxes: &[Mailbox], channel: &[u8], message: &[u8]) -> usize {
        let patterns = self.patterns.read().unwrap_or_else(PoisonError::into_inner);
        let matching = patterns.audiences.values().filter(|(glob, _)| glob::matches(glob, channel, false));
        matching
            .map(|(glob, listeners)| listeners.send(mailboxes, &message::of_pattern(glob, channel, message)))
            .sum()
    }

    /// Publishes a message in a channel of a shard; answers how many listeners it has.
    pub fn publish_to_shard(&self, mailboxes: &[Mailbox], channel: &[u8], message: &[u8]) -> usize {
        self.shard_channels.publish(mailboxes, channel, || message::of_channel("smessage", channel, message))
    }

    /// True when nobody listens to any channel or pattern.
    pub fn is_quiet(&self) -> bool {
        self.channels.count.load(Ordering::Relaxed) == 0 && self.pattern_count.load(Ordering::Relaxed) == 0
    }

    /// Number of channels (or patterns, or channels of shards) that somebody listens to.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel => &self.channels.count,
            Kind::Shard => &self.shard_channels.count,
            Kind::Pattern => &self.pattern_count,
        }
        .load(Ordering::Relaxed)
    }

    /// Number of sessions that listen to a channel by its name.
    pub fn listeners(&self, shard: bool, channel: &[u8]) -> usize {
        if shard { self.shard_channels.listeners(channel) } else { self.channels.listeners(channel) }
    }

    /// The channels that somebody listens to by their name, all or those that match a pattern.
    pub fn names(&self, shard: bool, pattern: Option<&[u8]>) -> Vec<Vec<u8>> {
        if shard { self.shard_channels.names(pattern) } else { self.channels.names(pattern) }
    }
}

#[cfg(test)]
mod tests;
