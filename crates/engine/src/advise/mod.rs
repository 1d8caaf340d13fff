//! Is the cache worth it? Watches live traffic for a while and gathers evidence: LARDER.ADVISE, `stats advise`.
//!
//! What is gathered, and at what cost, while a watch is on (while none is, reads and writes pay nothing for it):
//!
//! - [`curve`]: which hit ratio a cache of any size would have had, from keys that are chosen by their hash; of the same
//!   keys, how old values are when they are read and how often they are written anew. At most [`FOLLOWED_PER_SECOND_MAX`]
//!   uses a second are looked at: beyond that fewer keys are followed, and when they are few already, the rest of the
//!   second is let go.
//! - Keys and prefixes in use ([`crate::frequent`]), from uses that are drawn by lot, at most
//!   [`DRAWN_PER_SECOND_MAX`] a second or so.
//! - [`census`]: what some keys that are there look like, when the report is asked for.
//!
//! A watch takes about five megabytes, ends by itself, and is forgotten [`KEPT_MS`] later. The module judges nothing: it
//! reports figures ([`report`]), and what follows from them is said by who asked.

pub mod census;
pub mod curve;
mod node;
pub mod report;
pub mod spread;

use crate::command::collection::dice;
use crate::frequent::Frequent;
use curve::{Curve, Found};
use larder_store::partition::Counters;
use larder_store::{ItemRef, Key, Reason};
use spread::Spread;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Longest watch, in seconds.
pub const SECONDS_MAX: u64 = 3600;
/// Watch if nobody says how long.
pub const SECONDS_DEFAULT: u64 = 60;
/// A watch that ended is kept for so long.
pub const KEPT_MS: u64 = 15 * 60 * 1000;
/// Uses of followed keys that are looked at in a second.
pub const FOLLOWED_PER_SECOND_MAX: u32 = 50_000;
/// Uses drawn by lot in a second before fewer are drawn.
pub const DRAWN_PER_SECOND_MAX: u32 = 5_000;
/// One of so many uses is drawn, at the least.
const ONE_IN_MAX: u32 = 1 << 16;
/// Keys and prefixes that are counted at the same time.
const KEYS_MAX: usize = 512;
const PREFIXES_MAX: usize = 128;
/// Bytes of a key or a prefix that are told apart.
const KEY_BYTES_MAX: usize = 128;
const PREFIX_BYTES_MAX: usize = 64;

/// What was seen of a key or prefix, each times the number of uses that it stands for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// Reads.
    pub reads: u64,
    /// Of these, those that found it.
    pub hits: u64,
    /// Those that did not: evicted, expired, deleted, flushed, unknown.
    pub misses: [u64; 5],
    /// Writes.
    pub writes: u64,
    /// Removals by clients.
    pub removals: u64,
    /// Values that were seen: their number, those with a deadline, their bytes together, and those of the largest.
    pub values: u64,
    /// Of the values, those with a deadline.
    pub volatile: u64,
    /// Bytes of the values together.
    pub bytes: u64,
    /// Bytes of the largest.
    pub largest: u64,
}

impl Use {
    fn saw(&mut self, value: Value, times: u64) {
        self.values += times;
        self.volatile += u64::from(value.volatile) * times;
        self.bytes += value.bytes * times;
        self.largest = self.largest.max(value.bytes);
    }
}

/// A value that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Bytes that it takes, with its key.
    pub bytes: u64,
    /// It has a deadline.
    pub volatile: bool,
}

impl Value {
    /// Of an item. O(1).
    pub fn of(item: &ItemRef<'_>) -> Value {
        Value { bytes: item.approximate_bytes() as u64, volatile: item.deadline().is_some() }
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was read, and there.
    Hit(Value),
    /// It was read, and not there, as far as is known for this reason.
    Miss(Option<Reason>),
    /// It got a value.
    Written(Value),
    /// A client removed it.
    Removed,
}

/// What a node has counted by some moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// By its keyspace.
    pub keys: Counters,
    /// Commands executed.
    pub commands: u64,
    /// Bytes received and sent.
    pub traffic_bytes: u64,
}

/// Whether somebody wants to hear of a use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    id: u64,
    /// It is followed.
    followed: bool,
    /// It was drawn by lot: it stands for so many uses.
    times: u32,
}

struct Watch {
    began_ms: u64,
    ended_ms: Option<u64>,
    /// What had been counted when it began, and when it ended.
    before: Counted,
    after: Option<Counted>,
    curve: Curve,
    ages: Spread,
    rewrites: Spread,
    rewritten_unread: u64,
    keys: Frequent<Use>,
    prefixes: Frequent<Use>,
    second_ms: u64,
    followed: u32,
    drawn: u32,
}

/// The watch of a node, if there is one.
pub struct Advisor {
    on: AtomicBool,
    /// See [`Curve::below`].
    below: AtomicU64,
    one_in: AtomicU32,
    rests_until_ms: AtomicU64,
    ends_ms: AtomicU64,
    watch: Mutex<Option<Box<Watch>>>,
}

impl fmt::Debug for Advisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Advisor").field("on", &self.is_on()).finish_non_exhaustive()
    }
}

impl Default for Advisor {
    fn default() -> Advisor {
        Advisor {
            on: AtomicBool::new(false),
            below: AtomicU64::new(0),
            one_in: AtomicU32::new(1),
            rests_until_ms: AtomicU64::new(0),
            ends_ms: AtomicU64::new(0),
            watch: Mutex::new(None),
        }
    }
}

/// One of so many times true.
fn drawn(one_in: u32) -> bool {
    one_in <= 1 || dice()().is_multiple_of(u64::from(one_in))
}

/// Where the prefix of a key ends: before the first delimiter.
fn prefix_of(key: &[u8], delimiter: u8) -> &[u8] {
    let end = match delimiter {
        0 => memchr::memchr3(b':', b'/', b'|', key),
        own => memchr::memchr(own, key),
    };
    &key[..end.unwrap_or(0).min(PREFIX_BYTES_MAX)]
}

impl Advisor {
    /// True while a watch is on.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Begins a watch in the place of the one before. `before` is what was counted by now.
    pub fn start(&self, now_ms: u64, seconds: u64, before: Counted) {
        let watch = Watch {
            began_ms: now_ms,
            ended_ms: None,
            before,
            after: None,
            curve: Curve::default(),
            ages: Spread::default(),
            rewrites: Spread::default(),
            rewritten_unread: 0,
            keys: Frequent::new(KEYS_MAX),
            prefixes: Frequent::new(PREFIXES_MAX),
            second_ms: now_ms,
            followed: 0,
            drawn: 0,
        };
        let mut current = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        self.below.store(watch.curve.below(), Ordering::Relaxed);
        self.one_in.store(1, Ordering::Relaxed);
        self.rests_until_ms.store(0, Ordering::Relaxed);
        self.ends_ms.store(now_ms + seconds.clamp(1, SECONDS_MAX) * 1000, Ordering::Relaxed);
        *current = Some(Box::new(watch));
        self.on.store(true, Ordering::Relaxed);
    }

    /// Ends the watch. `after` is what was counted by now.
    pub fn stop(&self, now_ms: u64, after: Counted) {
        self.on.store(false, Ordering::Relaxed);
        if let Some(watch) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            watch.ended_ms.get_or_insert(now_ms);
            watch.after.get_or_insert(after);
        }
    }

    /// Forgets what was gathered.
    pub fn forget(&self) {
        self.on.store(false, Ordering::Relaxed);
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// True when it is time to end the watch. Forgets one that ended long ago. Asked once a second.
    pub fn is_due(&self, now_ms: u64) -> bool {
        if self.is_on() {
            return now_ms >= self.ends_ms.load(Ordering::Relaxed);
        }
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.as_ref().and_then(|watch| watch.ended_ms).is_some_and(|ended| now_ms > ended + KEPT_MS) {
            *watch = None;
        }
        false
    }

    /// True if there is a watch to report of.
    pub fn was_on(&self) -> bool {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether a use of a key is to be told.
    pub fn look(&self, key: &Key<'_>, db: u16, now_ms: u64) -> Option<Look> {
        // The hash is 32 bits, and of two keys in a million one pair shares them; with the slot hardly any does.
        let mut id = u64::from(key.hash) | u64::from(key.slot) << 32 | u64::from(db) << 46;
        id = (id ^ id >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ id >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^= id >> 31;
        let followed = id >> 32 < self.below.load(Ordering::Relaxed)
            && now_ms >= self.rests_until_ms.load(Ordering::Relaxed);
        let one_in = self.one_in.load(Ordering::Relaxed);
        let times = if drawn(one_in) { one_in } else { 0 };
        (followed || times > 0).then_some(Look { id, followed, times })
    }

    /// Notes what happened to a key.
    pub fn note(&self, look: Look, key: &[u8], event: Event, delimiter: u8, now_ms: u64) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watch) = watch.as_mut().filter(|watch| watch.ended_ms.is_none()) else { return };
        if now_ms.saturating_sub(watch.second_ms) >= 1000 {
            (watch.second_ms, watch.followed, watch.drawn) = (now_ms, 0, 0);
        }
        if look.followed {
            watch.follow(look.id, event, now_ms);
            watch.followed += 1;
            if watch.followed > FOLLOWED_PER_SECOND_MAX {
                if watch.curve.is_plenty() {
                    watch.curve.halve();
                    watch.followed = 0;
                } else {
                    self.rests_until_ms.store(watch.second_ms + 1000, Ordering::Relaxed);
                }
            }
            self.below.store(watch.curve.below(), Ordering::Relaxed);
        }
        if look.times > 0 {
            watch.count(key, event, delimiter, u64::from(look.times));
            watch.drawn += 1;
            if watch.drawn > DRAWN_PER_SECOND_MAX {
                watch.drawn = 0;
                self.one_in.store((look.times * 2).min(ONE_IN_MAX), Ordering::Relaxed);
            }
        }
    }
}

impl Watch {
    fn follow(&mut self, id: u64, event: Event, now_ms: u64) {
        let age = match event {
            Event::Hit(value) => self.curve.read(id, Found::Hit(value.bytes), now_ms),
            Event::Miss(None | Some(Reason::Evicted)) => self.curve.read(id, Found::Miss, now_ms),
            Event::Miss(Some(_)) => self.curve.read(id, Found::Gone, now_ms),
            Event::Written(value) => {
                if let Some(rewritten) = self.curve.write(id, value.bytes, now_ms) {
                    self.rewrites.note(rewritten.after_ms);
                    self.rewritten_unread += u64::from(!rewritten.read);
                }
                None
            }
            Event::Removed => {
                self.curve.removed(id);
                None
            }
        };
        if let Some(age) = age {
            self.ages.note(age);
        }
    }

    fn count(&mut self, key: &[u8], event: Event, delimiter: u8, times: u64) {
        let prefix = prefix_of(key, delimiter);
        let key = &key[..key.len().min(KEY_BYTES_MAX)];
        for counts in [self.keys.used(key, times), self.prefixes.used(prefix, times)] {
            match event {
                Event::Hit(value) => {
                    counts.reads += times;
                    counts.hits += times;
                    counts.saw(value, times);
                }
                Event::Miss(reason) => {
                    counts.reads += times;
                    counts.misses[reason.map_or(4, |reason| reason as usize - 1)] += times;
                }
                Event::Written(value) => {
                    counts.writes += times;
                    counts.saw(value, times);
                }
                Event::Removed => counts.removals += times,
            }
        }
    }
}

#[cfg(test)]
mod tests;
