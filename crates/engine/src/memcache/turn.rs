//! A turn of a session: what it is served with, and what requests need of it whatever protocol they came in.

use super::counters::Counter;
use super::detail::Event;
use super::run::Run;
use super::shared::Shared;
use super::watch::Lines;
use super::{DB, Host};
use crate::advise;
use crate::log::{Effects, Log};
use crate::prefixes;
use larder_protocol::memcache::request::Apart;
use larder_protocol::slot::slot_of;
use larder_store::partition::access::Access;
use larder_store::{Guard, ItemRef, Key, Now, Partition, Store, ValueRef};
use std::borrow::Cow;

/// What a session is served with.
pub struct Turn<'a> {
    /// The keyspace.
    pub store: &'a Store,
    /// What the node's Memcached sessions share.
    pub shared: &'a Shared,
    /// Number of the worker, for its counters.
    pub worker: usize,
    /// The time.
    pub now: Now,
    /// How a use of a key is noted.
    pub access: Access,
    /// True when memory is at its limit and nothing can be evicted: values are refused.
    pub memory_full: bool,
    /// Why writes are refused: the node follows another one, or too few follow it. A write that finds so with its partition
    /// held says it here, and does and answers nothing.
    pub refusal: Option<&'static str>,
    /// The node around the session.
    pub host: &'a dyn Host,
    /// Room to read requests into.
    pub run: &'a mut Run,
    /// The value of the request that comes first, where it was received apart from the input (see [`Outcome::apart`]).
    pub parcel: Option<Vec<u8>>,
    /// Requests carried out; the turn adds to it.
    pub requests: u64,
    /// Id of the session that is served.
    pub client: u64,
    /// What the turn has to tell to those who watch.
    pub lines: Option<Box<Lines>>,
    /// Changes made to keys; the turn adds to it.
    pub changes: u64,
    /// The log; none in tests.
    pub log: Option<&'a Log>,
    /// Sequence number of the last change that was logged.
    pub logged: u64,
}

impl<'a> Turn<'a> {
    #[inline]
    pub(super) fn flush_if_due(&self) {
        let log = self.log.map(|log| (log, self.worker));
        self.shared.flush_if_due(self.store, self.now, log, || self.host.follows());
    }

    /// The value of a request: its parcel, or what stood in the input.
    #[inline]
    pub(super) fn take_value<'v>(&mut self, here: &'v [u8]) -> Cow<'v, [u8]> {
        self.parcel.take().map_or(Cow::Borrowed(here), Cow::Owned)
    }

    /// Holds the partition of a key that is to be written; none if that is refused by now.
    #[inline]
    pub(super) fn hold(&mut self, key: &Key<'_>) -> Option<Guard<'a>> {
        let partition = self.store.lock(self.store.partition_of(key.slot));
        if self.refusal.is_none() {
            self.refusal = self.host.refusal_by_now();
        }
        self.refusal.is_none().then_some(partition)
    }

    #[inline]
    pub(super) fn count(&self, counter: Counter) {
        self.shared.counters.add(self.worker, counter, 1);
    }

    /// Counts a miss. The partition had counted this many expired keys before it was asked.
    #[inline]
    pub(super) fn count_miss(&self, partition: &Partition, expired_before: u64) {
        self.count(Counter::GetMisses);
        if partition.counters().expired != expired_before {
            self.count(Counter::GetExpired);
        }
    }

    #[inline]
    pub(super) fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.store.key(bytes, slot_of(bytes))
    }

    /// Lets the processor load the items of these keys, whose buckets it has been told to load.
    pub(super) fn prefetch_items<'k>(&self, keys: impl Iterator<Item = &'k Key<'k>> + Clone) {
        let mut late = 0u64;
        for (at, key) in keys.clone().enumerate() {
            late |= u64::from(self.store.prefetch_item(DB, key)).checked_shl(at as u32).unwrap_or(0);
        }
        for key in keys.enumerate().filter(|(at, _)| late.checked_shr(*at as u32).unwrap_or(0) & 1 != 0) {
            self.store.prefetch_overflow(DB, key.1);
        }
    }

    /// When something with this expiration time dies: `None` = never. Up to 30 days it counts from now.
    pub(super) fn deadline(&self, exptime: i32) -> Option<u64> {
        const RELATIVE_SECONDS_MAX: i32 = 60 * 60 * 24 * 30;
        match exptime {
            0 => None,
            ..0 => Some(self.now.ms),
            1..=RELATIVE_SECONDS_MAX => Some(self.now.ms + exptime as u64 * 1000),
            _ => Some(exptime as u64 * 1000),
        }
    }

    /// The same for the binary protocol, where it is not negative.
    pub(super) fn deadline_unsigned(&self, exptime: u32) -> Option<u64> {
        match i32::try_from(exptime) {
            Ok(exptime) => self.deadline(exptime),
            Err(_) => Some(u64::from(exptime) * 1000),
        }
    }

    /// Notes that a key is about to be read, for who wants to hear of it. The partition is held.
    #[inline]
    pub(super) fn note_read(&self, partition: &Partition, key: &Key<'_>) {
        if self.shared.prefixes.is_on() || self.shared.advisor.is_on() {
            self.note_wanted(partition, key, true);
        }
    }

    /// Notes that a key got another value, or none any more. The partition is held.
    #[inline]
    pub(super) fn note_change(&self, partition: &Partition, key: &Key<'_>) {
        if self.shared.advisor.is_on() {
            self.note_wanted(partition, key, false);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_wanted(&self, partition: &Partition, key: &Key<'_>, read: bool) {
        let strings = |item: &ItemRef<'_>| matches!(item.value(), ValueRef::String(_) | ValueRef::Integer(_));
        let there = partition.peek(DB, key, self.now).filter(strings);
        let reason = || partition.reason(DB, key, self.now);
        if read && self.shared.prefixes.is_on() {
            let outcome = match there {
                Some(_) => prefixes::Outcome::Hit,
                None => prefixes::Outcome::Miss(reason()),
            };
            self.shared.prefixes.note(key.bytes, outcome);
        }
        let advisor = &self.shared.advisor;
        let look = advisor.is_on().then(|| advisor.look(key, DB, self.now.ms)).flatten();
        if let Some(look) = look {
            let event = match (read, there.as_ref().map(advise::Value::of)) {
                (true, Some(value)) => advise::Event::Hit(value),
                (true, None) => advise::Event::Miss(reason()),
                (false, Some(value)) => advise::Event::Written(value),
                (false, None) => advise::Event::Removed,
            };
            advisor.note(look, key.bytes, event, self.shared.prefixes.delimiter(), self.now.ms);
        }
    }

    /// Counts a use of a key for `stats detail`, if that is asked for.
    #[inline]
    pub(super) fn detail(&self, key: &[u8], event: Event) {
        if self.shared.detail.is_on() {
            self.shared.detail.note(key, self.shared.rules().prefix_end, event);
        }
    }

    /// Logs a change as the command of Redis that does the same. Flags and the CAS unique have no such command: after a
    /// restart, and on replicas, flags are 0 and an item gets another CAS unique. The partition is held.
    pub(super) fn log(&mut self, args: &[&[u8]]) {
        if let Some(log) = self.log.filter(|log| log.is_on()) {
            let mut effects = Effects::default();
            effects.add(DB, args.iter().copied());
            self.logged = log.append(self.worker, &effects);
        }
    }

    /// Logs the keys whose time was over. The partition is still held.
    pub(super) fn log_gone(&mut self, partition: &mut Partition) {
        let Some(log) = self.log.filter(|log| log.is_on()) else { return };
        for gone in partition.take_gone() {
            let mut effects = Effects::default();
            effects.add_gone(&gone);
            self.logged = log.append(self.worker, &effects);
        }
    }

    pub(super) fn is_over(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now.ms)
    }
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes of input that are done with.
    pub consumed: usize,
    /// Bytes that surely have to come before there is more to do; 0 when the turn ended for another reason and the
    /// session wants another one with the input that is left.
    pub need: usize,
    /// True when the session ends after its answers are sent.
    pub close: bool,
    /// The request that begins where the input is done with waits for this value, and would take it as a parcel of the turn
    /// instead of in the input: for a large one that saves a copy, and the memory for it. Whoever does so says
    /// [`Session::keep_apart`](super::Session::keep_apart).
    pub apart: Option<Apart>,
}
