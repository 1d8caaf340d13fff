//! Moving what lies badly in memory, a slice of a worker's turns at a time, while the resident size is too near its bound.
//!
//! Workers take turns at the partitions, and go through each bucket by bucket. No worker has a share of its own: a single
//! connection keeps one of them busy, which makes holes everywhere, while the others sleep. A busy worker gives it a quarter
//! of its time, half when it is urgent; an idle one a slice per turn. In a small node, keys that it evicts make it look at
//! more: there, holes are a large part of the memory.

use crate::memory::{self, bound, slab};
use crate::node::Node;
use larder_store::compact::Mover;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a slice takes at most: usually, and when it is urgent.
const SLICE: Duration = Duration::from_micros(500);
const SLICE_PRESSED: Duration = Duration::from_millis(2);
/// The shortest slice worth switching the thread's cache off for.
const SLICE_MIN: Duration = Duration::from_micros(100);
/// How long a partition is held at most, but for what one bucket takes.
const HOLD: Duration = Duration::from_micros(100);
/// Buckets that a slice looks at in any case, and that a hold does: a clock that jumps, because the processor was with other
/// processes meanwhile, would let a walk come to nothing just when memory is short.
const BUCKETS_MIN: usize = 64;
const BUCKETS_MIN_HELD: usize = 8;
/// Buckets to look at for each key that the worker evicted from a small node, whatever the clock says.
const BUCKETS_PER_EVICTION: usize = 4;
/// Buckets that a slice looks at because of evictions, at most: a few hundred microseconds.
const BUCKETS_OWED_MAX: usize = 1024;
/// Times as much time for requests as for a slice: usually, and when it is urgent.
const PAUSE: u32 = 3;
const PAUSE_PRESSED: u32 = 1;
/// A walk that moved less than one of so many blocks was in vain.
const VAIN: usize = 256;
/// Rest after a walk in vain.
const REST: Duration = Duration::from_secs(1);

/// Where a worker is in the walk over all partitions.
#[derive(Debug, Default)]
pub(super) struct Compactor {
    /// The partition that it has taken.
    partition: Option<usize>,
    db: u16,
    position: u32,
    /// The walk that the partition is of.
    walk: usize,
    /// Partitions of it that it is through with.
    done: usize,
    looked: usize,
    moved: usize,
    last: Option<Instant>,
    rests_until: Option<Instant>,
    good: slab::GoodPages,
    /// Buckets to be looked at because of evictions.
    owed: usize,
}

impl Compactor {
    /// Moves things for a slice of time, if it is time for one. To be called once per turn while it is wanted; `evicted` is
    /// how many keys the worker evicted since the last time.
    #[cold]
    #[inline(never)]
    pub(super) fn run(&mut self, node: &Node, evicted: usize) {
        let began = Instant::now();
        if node.settings().maxmemory <= bound::SMALL_BYTES {
            let more = evicted.saturating_mul(BUCKETS_PER_EVICTION);
            self.owed = self.owed.saturating_add(more).min(BUCKETS_OWED_MAX);
        }
        if self.rests_until.is_some_and(|until| began < until) {
            return;
        }
        let (pause, slice) =
            if bound::is_pressed() { (PAUSE_PRESSED, SLICE_PRESSED) } else { (PAUSE, SLICE) };
        let since = self.last.map_or(SLICE, |last| began - last);
        if since < SLICE_MIN * pause {
            return;
        }
        let until = began + (since / pause).min(slice);
        if self.looked == 0 {
            self.good.begin(memory::used_bytes());
        }
        let least = BUCKETS_MIN.max(std::mem::take(&mut self.owed));
        let mut good = std::mem::take(&mut self.good);
        let done = slab::with_mover(&mut good, |mover| {
            let mut buckets = 0;
            while buckets < least || Instant::now() < until {
                let hold = (Instant::now() + HOLD).min(until);
                let (seen, ended) = self.step(node, mover, hold);
                // A partition with nothing in it is a look too.
                buckets += seen.max(1);
                if ended && self.next(node, mover) {
                    break;
                }
            }
            self.count(mover);
        });
        self.good = good;
        self.last = Some(Instant::now());
        if done.is_none() {
            self.rests_until = self.last.map(|last| last + REST);
        }
    }

    /// Goes on in the partition for a while: how many buckets it looked at, and whether the database ended.
    fn step(&mut self, node: &Node, mover: &mut Mover<'_>, until: Instant) -> (usize, bool) {
        let Some(partition) = self.partition else { return (0, true) };
        let mut partition = node.store.lock(node.store.partition_at(partition));
        let (mut next, mut seen) = (Some(self.position), 0);
        while let Some(position) = next {
            self.position = position;
            if seen >= BUCKETS_MIN_HELD && Instant::now() >= until {
                break;
            }
            seen += 1;
            next = partition.compact(self.db, position, mover);
        }
        (seen, next.is_none())
    }

    /// Counts what the mover did.
    fn count(&mut self, mover: &mut Mover<'_>) {
        let (looked, moved) = (std::mem::take(&mut mover.looked), std::mem::take(&mut mover.moved));
        let keys = std::mem::take(&mut mover.keys);
        self.looked += looked;
        self.moved += moved;
        let blocks = [moved as u64, (looked - moved) as u64];
        bound::note_moved(bound::Moved { blocks, keys: keys.map(|count| count as u64) });
    }

    /// Takes the next database or partition; true at the end of a walk over all of them.
    fn next(&mut self, node: &Node, mover: &mut Mover<'_>) -> bool {
        self.position = 0;
        self.db += 1;
        if self.partition.is_some() && usize::from(self.db) < usize::from(node.store.databases()) {
            return false;
        }
        self.db = 0;
        let turn = node.moving_turn.fetch_add(1, Ordering::Relaxed);
        let (walk, partition) = (turn / node.store.partition_count(), turn % node.store.partition_count());
        self.partition = Some(partition);
        self.done += 1;
        if std::mem::replace(&mut self.walk, walk) == walk {
            return false;
        }
        self.count(mover);
        let (looked, moved) = (std::mem::take(&mut self.looked), std::mem::take(&mut self.moved));
        let vain = std::mem::take(&mut self.done) > 1 && (moved * VAIN < looked || looked == 0);
        self.rests_until = vain.then(|| Instant::now() + REST);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::mailbox::Mailbox;
    use crate::run::Startup;

    fn node() -> Node {
        let mailboxes = (0..2).map(|_| Mailbox::new().unwrap()).collect();
        Node::new(Settings::default(), &Startup::default(), 7, mailboxes, crate::command::families())
    }

    /// Takes partitions until so many were taken, or a walk ends: which ones, and whether it ended.
    fn take(compactor: &mut Compactor, node: &Node, count: usize) -> (Vec<usize>, bool) {
        let (mut taken, mut nowhere) = (Vec::new(), |_| false);
        let mut mover = Mover::new(&mut nowhere);
        while taken.len() < count {
            let before = compactor.partition;
            let ended = compactor.next(node, &mut mover);
            taken.extend(compactor.partition.filter(|_| compactor.partition != before));
            if ended {
                return (taken, true);
            }
        }
        (taken, false)
    }

    #[test]
    fn a_worker_goes_through_all_partitions_while_the_others_sleep() {
        let node = node();
        let (all, mut busy) = (node.store.partition_count(), Compactor::default());
        assert_eq!(take(&mut busy, &node, all), ((0..all).collect(), false));
        let (next, ended) = take(&mut busy, &node, 1);
        assert_eq!((next, ended), (vec![0], true));
        assert!(busy.rests_until.is_some(), "nothing was there to be moved");
    }

    #[test]
    fn workers_share_a_walk_and_a_late_one_does_not_rest_for_what_others_found() {
        let node = node();
        let (all, mut one, mut other) =
            (node.store.partition_count(), Compactor::default(), Compactor::default());
        let mut taken = Vec::new();
        for _ in 0..all / 2 {
            taken.extend(take(&mut one, &node, 1).0);
            taken.extend(take(&mut other, &node, 1).0);
        }
        assert_eq!(taken, (0..all).collect::<Vec<_>>());
        let mut late = Compactor::default();
        assert_eq!(take(&mut late, &node, 1), (vec![0], true));
        assert!(late.rests_until.is_none());
    }
}
