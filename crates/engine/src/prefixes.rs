//! Hits and misses by what keys begin with, while somebody asks for it (`miss-prefix-delimiter`).
//!
//! The prefix of a key ends before the first delimiter; keys without one share an empty prefix. The [`PREFIXES_MAX`] most
//! used are kept ([`crate::frequent`]).

use crate::frequent::Frequent;
use larder_store::Reason;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Prefixes that are counted at the same time, at most.
pub const PREFIXES_MAX: usize = 256;
/// Bytes of a prefix that are told apart.
const PREFIX_BYTES_MAX: usize = 64;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The key was there.
    Hit,
    /// It was not, as far as is known for this reason.
    Miss(Option<Reason>),
}

/// What was counted of a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that found their key.
    pub hits: u64,
    /// Of these, values that were stale, and answers that the source has nothing, as their readers say.
    pub reported: [u64; 2],
    /// Reads that did not: evicted, expired, deleted, flushed, unknown.
    pub misses: [u64; 5],
    /// Reads that may have been of it before it was counted by itself, at most.
    pub before: u64,
}

/// What only who reads a value knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It was past its time, and served all the same.
    Stale = 0,
    /// It says that the source has nothing.
    Negative = 1,
}

/// Names of [`Counts::reported`].
pub const REPORTED: [&str; 2] = ["stale", "negative"];

/// Names of the kinds of misses, in the order of [`Counts::misses`].
pub const MISSES: [&str; 5] = ["evicted", "expired", "deleted", "flushed", "unknown"];

/// The counts, and whether counting is on.
#[derive(Debug)]
pub struct Prefixes {
    /// 0 = off.
    delimiter: AtomicU8,
    counts: Mutex<Frequent<Counts>>,
    /// Of all keys, whether counting by prefix is on or not.
    reported: [AtomicU64; 2],
}

impl Default for Prefixes {
    fn default() -> Prefixes {
        Prefixes {
            delimiter: AtomicU8::new(0),
            counts: Mutex::new(Frequent::new(PREFIXES_MAX)),
            reported: Default::default(),
        }
    }
}

impl Prefixes {
    /// One load while nobody asked for it.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.delimiter.load(Ordering::Relaxed) != 0
    }

    /// The delimiter; 0 while nothing is counted.
    pub fn delimiter(&self) -> u8 {
        self.delimiter.load(Ordering::Relaxed)
    }

    /// Counts by this delimiter from now on; 0 counts nothing. Another one begins anew.
    pub fn set_delimiter(&self, delimiter: u8) {
        if self.delimiter.swap(delimiter, Ordering::Relaxed) != delimiter {
            self.reset();
        }
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Counts a read. O(1) expected; O([`PREFIXES_MAX`]) for a prefix that takes another's place.
    #[cold]
    pub fn note(&self, key: &[u8], outcome: Outcome) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.used(self.prefix(key), 1);
        match outcome {
            Outcome::Hit => counts.hits += 1,
            Outcome::Miss(reason) => counts.misses[reason.map_or(4, |reason| reason as usize - 1)] += 1,
        }
    }

    /// What a key is counted under.
    pub fn prefix<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        let end = memchr::memchr(self.delimiter(), key).unwrap_or(0);
        &key[..end.min(PREFIX_BYTES_MAX)]
    }

    /// Counts hits with a prefix of which their readers say more.
    pub fn report(&self, prefix: &[u8], what: Reported, count: u64) {
        self.reported[what as usize].fetch_add(count, Ordering::Relaxed);
        if self.is_on() {
            let prefix = &prefix[..prefix.len().min(PREFIX_BYTES_MAX)];
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.used(prefix, 0).reported[what as usize] += count;
        }
    }

    /// What was reported of all keys: [`REPORTED`].
    pub fn reported(&self) -> [u64; 2] {
        [0, 1].map(|at| self.reported[at].load(Ordering::Relaxed))
    }

    /// Begins to count anew what is reported of all keys.
    pub fn reset_reported(&self) {
        self.reported.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// What was counted, the most used first.
    pub fn all(&self) -> Vec<(Box<[u8]>, Counts)> {
        let all = self.counts.lock().unwrap_or_else(PoisonError::into_inner).all();
        all.into_iter().map(|(name, counts, before)| (name, Counts { before, ..counts })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_counted_by_prefix_and_outcome() {
        let prefixes = Prefixes::default();
        assert!(!prefixes.is_on());
        prefixes.set_delimiter(b':');
        for (key, outcome) in [
            ("user:1", Outcome::Hit),
            ("user:2:x", Outcome::Miss(Some(Reason::Evicted))),
            ("user:3", Outcome::Miss(None)),
            ("plain", Outcome::Miss(Some(Reason::Flushed))),
        ] {
            prefixes.note(key.as_bytes(), outcome);
        }
        prefixes.report(b"", Reported::Negative, 7);
        let all = prefixes.all();
        assert_eq!(
            (&*all[0].0, all[0].1),
            (&b"user"[..], Counts { hits: 1, misses: [1, 0, 0, 0, 1], ..Counts::default() })
        );
        assert_eq!(
            (&*all[1].0, all[1].1),
            (&b""[..], Counts { misses: [0, 0, 0, 1, 0], reported: [0, 7], ..Counts::default() })
        );
        prefixes.set_delimiter(b'/');
        assert!(prefixes.all().is_empty());
        prefixes.report(b"user", Reported::Stale, 2);
        assert_eq!((prefixes.all()[0].1.reported, prefixes.reported()), ([2, 0], [2, 7]));
        prefixes.reset_reported();
        assert_eq!(prefixes.reported(), [0, 0]);
    }

    #[test]
    fn prefixes_in_use_stay_however_many_come() {
        let prefixes = Prefixes::default();
        prefixes.set_delimiter(b':');
        for n in 0..100_000 {
            prefixes.note(format!("p{n}:k").as_bytes(), Outcome::Hit);
            if n % 10 == 0 {
                prefixes.note(b"often:k", Outcome::Hit);
            }
        }
        prefixes.note(&vec![b'x'; 1 << 20], Outcome::Hit);
        let all = prefixes.all();
        assert!(all.len() <= PREFIXES_MAX && all.iter().all(|(name, _)| name.len() <= PREFIX_BYTES_MAX));
        assert_eq!((&*all[0].0, all[0].1.hits), (&b"often"[..], 10_000));
    }
}
