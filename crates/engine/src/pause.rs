//! CLIENT PAUSE: for a while, what sessions ask for is held back.
//!
//! The keys stay as they are meanwhile, so that a replica can reach what its primary has: nothing is evicted, and no key is
//! removed because its time is over, neither by the timers nor by who reads it. It is hidden. Whoever may write all the same
//! (the service, on the Unix socket) removes the dead keys that it writes to, and this is logged as ever.

use crate::node::Node;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// What may change keys, or is passed on to replicas.
    Writes,
    /// Everything.
    All,
}

/// The pause of a node.
#[derive(Debug, Default)]
pub struct Pause {
    until_ms: AtomicU64,
    all: AtomicBool,
    /// Who settles what follows from it.
    settling: Mutex<()>,
}

impl Node {
    /// Begins a pause, or goes on with one: see [`Pause::begin`].
    pub fn hold_back(&self, held: Held, now_ms: u64, until_ms: u64) {
        self.pause.begin(held, now_ms, until_ms);
        self.settle_pause(now_ms);
    }

    /// Ends the pause.
    pub fn hold_back_no_more(&self, now_ms: u64) {
        self.pause.end();
        self.settle_pause(now_ms);
    }

    /// Keeps dead keys from reads as long as there is a pause. One that is over by its time ends with the next of these looks.
    pub fn settle_pause(&self, now_ms: u64) {
        let _settling = self.pause.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let until_ms = self.pause.until_ms.load(Ordering::Acquire);
        if until_ms > 0 && until_ms <= now_ms {
            // Unless another one begins right now.
            let _ = self.pause.until_ms.compare_exchange(until_ms, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        self.store.keep_dead_from_reads(self.pause.held(now_ms).is_some());
    }
}

impl Pause {
    /// True if there may be a pause; [`Pause::held`] knows whether it is over.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.until_ms.load(Ordering::Relaxed) > 0
    }

    /// What is held back at this time, Unix milliseconds.
    pub fn held(&self, now_ms: u64) -> Option<Held> {
        (self.until_ms.load(Ordering::Acquire) > now_ms).then(|| match self.all.load(Ordering::Relaxed) {
            true => Held::All,
            false => Held::Writes,
        })
    }

    /// Milliseconds until the end.
    pub fn left_ms(&self, now_ms: u64) -> u64 {
        self.until_ms.load(Ordering::Relaxed).saturating_sub(now_ms)
    }

    /// Begins a pause. One that goes on already becomes neither shorter nor weaker.
    fn begin(&self, held: Held, now_ms: u64, until_ms: u64) {
        let before = self.held(now_ms);
        self.all.store(held == Held::All || before == Some(Held::All), Ordering::Relaxed);
        match before {
            Some(_) => self.until_ms.fetch_max(until_ms, Ordering::Release),
            None => self.until_ms.swap(until_ms, Ordering::Release),
        };
    }

    fn end(&self) {
        self.until_ms.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_becomes_neither_shorter_nor_weaker() {
        let pause = Pause::default();
        assert_eq!(pause.held(1000), None);
        pause.begin(Held::All, 1000, 2000);
        pause.begin(Held::Writes, 1100, 1500);
        assert_eq!((pause.held(1999), pause.left_ms(1500)), (Some(Held::All), 500));
        assert_eq!(pause.held(2000), None);
        pause.begin(Held::Writes, 2500, 2600);
        assert_eq!(pause.held(2500), Some(Held::Writes));
        pause.end();
        assert!(!pause.is_set());
    }
}
