//! How recently and how often a key was used: 24 bits in each item.
//!
//! With an LRU policy (and none) they are a clock in seconds, modulo 2^23 (97 days), and a bit that says whether the
//! value was ever read, which Memcached tells its clients. With an LFU policy the upper 16
//! bits are the minute of the last decay and the lower 8 a logarithmic counter (Morris, CACM 1978). The meaning and
//! the constants are those of Redis, so that OBJECT IDLETIME and OBJECT FREQ tell the same. What they are with
//! `allkeys-lhd` says [`super::density`].

use super::density::Moment;
use super::departed::{Departure, Reason};

/// Counter of a new key, so that it is not evicted before it had a chance.
pub const LFU_INITIAL: u32 = 5;

/// Bits of the LRU clock.
const MASK: u32 = (1 << 23) - 1;

/// In an LRU word, and in one of hit density: the value was read since it was set.
pub(super) const FETCHED: u32 = 1 << 23;

/// How an access is noted: made once per command from the configuration, the clock and a random number.
#[derive(Clone, Copy, Debug)]
pub enum Access {
    /// Note nothing (CLIENT NO-TOUCH, and looks that are not uses).
    None {
        /// The word of a key that is created nevertheless.
        created: u32,
    },
    /// Seconds clock.
    Lru {
        /// Seconds, already reduced to 23 bits.
        clock: u32,
    },
    /// Logarithmic counter.
    Lfu {
        /// Minutes, already reduced to 16 bits.
        minutes: u32,
        /// A random number.
        random: u32,
        /// `lfu-log-factor`.
        log_factor: u32,
        /// `lfu-decay-time`, minutes per step of decay; 0 = never.
        decay_minutes: u32,
    },
    /// Least hit density.
    Lhd(Moment),
}

impl Access {
    /// An LRU access at a Unix time.
    pub fn lru(now_ms: u64) -> Access {
        Access::Lru { clock: (now_ms / 1000) as u32 & MASK }
    }

    /// An LFU access at a Unix time.
    pub fn lfu(now_ms: u64, random: u32, log_factor: u32, decay_minutes: u32) -> Access {
        Access::Lfu { minutes: (now_ms / 60_000) as u32 & 0xffff, random, log_factor, decay_minutes }
    }

    /// The same that notes nothing.
    pub fn silent(self) -> Access {
        Access::None { created: self.of_new() }
    }

    /// The word of a new item.
    #[inline]
    pub fn of_new(self) -> u32 {
        match self {
            Access::None { created } => created,
            Access::Lru { clock } => clock,
            Access::Lfu { minutes, .. } => minutes << 8 | LFU_INITIAL,
            Access::Lhd(moment) => moment.of_new(),
        }
    }

    /// The word of an item whose key may have left before.
    pub(super) fn of_known(self, known: Option<Departure>) -> u32 {
        match (self, known) {
            (Access::Lhd(moment), Some(Departure { reason: Reason::Evicted, uses })) => {
                moment.of_returned(uses)
            }
            _ => self.of_new(),
        }
    }

    /// The word after the value was read.
    #[inline]
    pub fn after_read(self, word: u32) -> u32 {
        match self {
            Access::Lru { clock } => clock | FETCHED,
            Access::Lhd(moment) => moment.after_use(word) | FETCHED,
            _ => self.after_use(word),
        }
    }

    /// The word after another value was put in its place: nobody has read that one.
    #[inline]
    pub fn after_set(self, word: u32) -> u32 {
        match self {
            Access::Lru { clock } => clock,
            Access::Lhd(moment) => moment.after_set(word),
            Access::None { .. } | Access::Lfu { .. } => self.after_use(word),
        }
    }

    /// Whether the value was read since it was set. An LFU word tells by its counter, which may have decayed.
    pub fn is_fetched(self, word: u32) -> bool {
        match self {
            Access::Lfu { .. } => word & 0xff != LFU_INITIAL,
            _ => word & FETCHED != 0,
        }
    }

    /// Seconds since the value was last used, as far as the word tells: an LFU word knows minutes.
    pub fn idle_seconds(self, word: u32, now_ms: u64) -> u32 {
        match self {
            Access::Lfu { minutes, .. } => (minutes.wrapping_sub(word >> 8) & 0xffff) * 60,
            Access::Lhd(moment) => moment.idle_seconds(word),
            _ => idle_seconds(word, now_ms),
        }
    }

    /// The word after another use, which may have been a change.
    #[inline]
    pub fn after_use(self, word: u32) -> u32 {
        match self {
            Access::None { .. } => word,
            Access::Lru { clock } => clock | word & FETCHED,
            Access::Lhd(moment) => moment.after_use(word),
            Access::Lfu { minutes, random, log_factor, decay_minutes } => {
                let counter = decayed(word, minutes, decay_minutes);
                minutes << 8 | increased(counter, random, log_factor)
            }
        }
    }
}

/// True for an LRU word of a value that was not read since it was set.
pub(super) fn is_unread(word: u32) -> bool {
    word & FETCHED == 0
}

/// The counter of an LFU word now.
pub fn decayed(word: u32, minutes: u32, decay_minutes: u32) -> u32 {
    let elapsed = minutes.wrapping_sub(word >> 8) & 0xffff;
    let steps = elapsed.checked_div(decay_minutes).unwrap_or(0);
    (word & 0xff).saturating_sub(steps)
}

/// Counts one use with a probability that falls as the counter rises.
fn increased(counter: u32, random: u32, log_factor: u32) -> u32 {
    if counter == 255 {
        return counter;
    }
    let above = f64::from(counter.saturating_sub(LFU_INITIAL));
    let probability = 1.0 / (above * f64::from(log_factor) + 1.0);
    counter + u32::from(f64::from(random) / f64::from(u32::MAX) < probability)
}

/// Seconds since the last use of an LRU word.
pub fn idle_seconds(word: u32, now_ms: u64) -> u32 {
    ((now_ms / 1000) as u32).wrapping_sub(word) & MASK
}
