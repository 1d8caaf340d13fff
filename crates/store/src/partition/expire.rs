//! When keys of a table are due: the earliest deadline of every few buckets, and a tree of minima over them.
//!
//! Deadlines stand in the items alone. A leaf here is 4 bytes for [`LEAF_BUCKETS`] neighbouring buckets of the table: the
//! tick, of 32 ms, before which none of their items dies. When it has come, those buckets are looked through, what is
//! dead is taken out, and the leaf is computed anew from what is left. That is a third of a byte per key, where a heap or
//! a wheel of handles needs eight.
//!
//! Invariant: a leaf is never later than the earliest deadline in its buckets (it may be earlier: a key that was removed
//! or lives longer is found out about at the next look), and a node never later than its children.

use crate::compact::Mover;

/// Milliseconds of a tick. A key is reclaimed within a tick of its deadline, never before it.
pub(crate) const TICK_MS: u64 = 32;

/// Buckets of a leaf. More would make the look at a leaf longer, for less memory than is worth it.
pub(super) const LEAF_BUCKETS: usize = 2;

/// Children of a node.
const FAN: usize = 16;

/// No deadline: a tick that never comes.
pub(super) const NEVER: u32 = u32::MAX;

/// The earliest deadlines of one table.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// Minima: those of the leaves first, the last level being at most [`FAN`] long. Empty until there is a deadline.
    levels: Vec<Vec<u32>>,
    first: u32,
    /// Unix milliseconds from which ticks count: when the process began. 32 bits of ticks are 4.3 years.
    epoch_ms: u64,
}

impl Deadlines {
    pub(super) fn new(epoch_ms: u64) -> Deadlines {
        Deadlines { levels: Vec::new(), first: NEVER, epoch_ms }
    }

    /// Lets the levels take other memory where they lie badly.
    pub(super) fn compact(&mut self, mover: &mut Mover<'_>) {
        mover.renew(&mut self.levels);
        self.levels.iter_mut().for_each(|level| mover.renew(level));
    }

    /// The epoch that ticks count from.
    pub(super) fn epoch_ms(&self) -> u64 {
        self.epoch_ms
    }

    /// The first tick at which a deadline has passed. A deadline more than 4.3 years after the process began is left to
    /// whoever asks for its key.
    pub(super) fn tick(&self, deadline_ms: u64) -> u32 {
        u32::try_from(deadline_ms.saturating_sub(self.epoch_ms).div_ceil(TICK_MS)).unwrap_or(NEVER)
    }

    /// Unix milliseconds at which the earliest leaf is due; `None` when there is no deadline.
    #[inline]
    pub(super) fn next(&self) -> Option<u64> {
        (self.first != NEVER).then(|| self.epoch_ms + u64::from(self.first) * TICK_MS)
    }

    /// Notes a deadline in a bucket of a table that has `buckets` of them. O(log buckets); O(buckets) the first time.
    pub(super) fn note(&mut self, bucket: usize, buckets: usize, tick: u32) {
        if tick == NEVER {
            return;
        }
        if self.levels.first().is_none_or(|leaves| leaves.len() < buckets.div_ceil(LEAF_BUCKETS)) {
            self.reach(buckets);
        }
        self.first = self.first.min(tick);
        let mut at = bucket / LEAF_BUCKETS;
        for level in &mut self.levels {
            match level.get_mut(at) {
                Some(least) if *least > tick => *least = tick,
                _ => return,
            }
            at /= FAN;
        }
    }

    /// Makes room for that many buckets.
    fn reach(&mut self, buckets: usize) {
        let mut wanted = buckets.div_ceil(LEAF_BUCKETS);
        for depth in 0.. {
            if depth == self.levels.len() {
                // A new root: over one that has become too wide, or the first.
                let below = depth.checked_sub(1).map(|below| &self.levels[below]);
                let minima = below.map_or(Vec::new(), |below| below.chunks(FAN).map(least).collect());
                self.levels.push(minima);
            }
            let level = &mut self.levels[depth];
            if level.len() < wanted {
                if level.capacity() < wanted {
                    // An eighth more, as the table does.
                    level.reserve_exact(wanted + wanted / 8 - level.len());
                }
                level.resize(wanted, NEVER);
            }
            if wanted <= FAN {
                return;
            }
            wanted = wanted.div_ceil(FAN);
        }
    }

    /// The table has lost its last bucket, `from`, whose items are in another one now.
    pub(super) fn moved(&mut self, from: usize, to: usize) {
        let Some(leaves) = self.levels.first() else { return };
        let tick = leaves.get(from / LEAF_BUCKETS).copied().unwrap_or(NEVER);
        let mut left = from.div_ceil(LEAF_BUCKETS).max(1);
        for level in &mut self.levels {
            // Nodes above a leaf that went may stay too early, until somebody looks.
            level.truncate(left);
            if level.capacity() > 64 && left < level.capacity() / 2 {
                level.shrink_to(left + left / 8);
            }
            left = left.div_ceil(FAN);
        }
        self.note(to, from, tick);
    }

    /// The leaf to look at first, if its time has come. Whoever asks looks, and says what was found to
    /// [`Deadlines::looked`]: that brings the next leaf to the front, also where a node was too early.
    pub(super) fn due(&self, now_ms: u64) -> Option<usize> {
        if self.next()? > now_ms {
            return None;
        }
        let mut at = 0;
        for level in self.levels.iter().rev() {
            let children = level.iter().enumerate().skip(at * FAN).take(FAN);
            at = children.min_by_key(|(_, tick)| **tick).map_or(0, |(child, _)| child);
        }
        Some(at)
    }

    /// Leaves there are.
    pub(super) fn leaves(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// The first leaf from `at` on that may have a deadline. O(log n), but for nodes that are too early.
    pub(super) fn leaf_from(&self, mut at: usize) -> Option<usize> {
        let mut depth = 0;
        loop {
            let level = self.levels.get(depth)?;
            let is_root = depth + 1 == self.levels.len();
            let end = if is_root { level.len() } else { (at / FAN + 1) * FAN };
            let found = (at..end.min(level.len())).find(|node| level[*node] != NEVER);
            match (found, depth.checked_sub(1)) {
                (Some(leaf), None) => return Some(leaf),
                (Some(node), Some(below)) => (at, depth) = (node * FAN, below),
                (None, _) if is_root => return None,
                (None, _) => (at, depth) = (end / FAN, depth + 1),
            }
        }
    }

    /// Notes what a look at a leaf has found: the earliest tick that is left in its buckets.
    pub(super) fn looked(&mut self, leaf: usize, tick: u32) {
        if let Some(there) = self.levels.first_mut().and_then(|leaves| leaves.get_mut(leaf)) {
            *there = tick;
        }
        self.correct(leaf);
    }

    /// Computes the nodes over a leaf anew.
    fn correct(&mut self, leaf: usize) {
        let mut at = leaf;
        for depth in 1..self.levels.len() {
            at /= FAN;
            let below = &self.levels[depth - 1];
            let minimum = least(below.get(at * FAN..).map_or(&[], |rest| &rest[..rest.len().min(FAN)]));
            if let Some(node) = self.levels[depth].get_mut(at) {
                *node = minimum;
            }
        }
        self.first = self.levels.last().map_or(NEVER, |root| least(root));
        if self.first == NEVER {
            self.levels = Vec::new();
        }
    }

    /// Bytes that this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.levels.iter().map(|level| level.capacity() * size_of::<u32>()).sum()
    }
}

fn least(ticks: &[u32]) -> u32 {
    ticks.iter().copied().min().unwrap_or(NEVER)
}

#[cfg(test)]
mod tests;
