//! When keys of a partition are due: a heap of deadlines.
//!
//! An entry is 8 bytes: the deadline in ticks of 64 ms and the hash of the key. It holds neither key nor address,
//! so nothing has to be kept in step: giving a key another deadline pushes another entry, and an entry whose key is
//! gone or lives longer is dropped when its time comes, after one look into the bucket of that hash. (A timing wheel
//! was considered: 4096 of them cost 24 MB before the first key, and a partition's heap is shallow.)

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Milliseconds of a tick. A key is reclaimed within a tick of its deadline, never before it.
pub(crate) const TICK_MS: u64 = 64;

/// Deadlines of one partition.
#[derive(Debug)]
pub(super) struct Deadlines {
    due: BinaryHeap<Reverse<(u32, u32)>>,
    /// Unix milliseconds from which ticks count: when the process began. 32 bits of ticks are 8.7 years.
    epoch_ms: u64,
}

impl Deadlines {
    pub(super) fn new(epoch_ms: u64) -> Deadlines {
        Deadlines { due: BinaryHeap::new(), epoch_ms }
    }

    /// The first tick at which a deadline has passed; the last tick for one that is more than 8.7 years away.
    fn tick(&self, deadline_ms: u64) -> u32 {
        u32::try_from(deadline_ms.saturating_sub(self.epoch_ms).div_ceil(TICK_MS)).unwrap_or(u32::MAX)
    }

    pub(super) fn push(&mut self, deadline_ms: u64, hash: u32) {
        let tick = self.tick(deadline_ms);
        self.due.push(Reverse((tick, hash)));
    }

    /// Unix milliseconds at which the first entry is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((tick, _))| self.epoch_ms + u64::from(*tick) * TICK_MS)
    }

    /// The hash of an entry that is due.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<u32> {
        if self.next()? > now_ms {
            return None;
        }
        let Reverse((_, hash)) = self.due.pop()?;
        if self.due.capacity() > 64 && self.due.len() < self.due.capacity() / 4 {
            self.due.shrink_to(self.due.len() * 2);
        }
        Some(hash)
    }

    /// Number of entries, those that have become meaningless included.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// Starts again with these (deadline, hash) pairs.
    pub(super) fn rebuild(&mut self, live: impl Iterator<Item = (u64, u32)>) {
        self.due = live.map(|(deadline, hash)| Reverse((self.tick(deadline), hash))).collect();
    }
}
