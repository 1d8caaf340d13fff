//! Moving what lies badly in memory, a slice of a worker's turns at a time, while the resident size is too near its bound.
//!
//! A worker looks after its share of the partitions, bucket by bucket, as expiry does. A busy worker gives it a quarter of
//! its time, half when it is urgent; an idle one a slice per turn.

use crate::memory::{bound, slab};
use crate::node::Node;
use larder_store::compact::Mover;
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
/// Times as much time for requests as for a slice: usually, and when it is urgent.
const PAUSE: u32 = 3;
const PAUSE_PRESSED: u32 = 1;
/// A walk that moved less than one of so many blocks was in vain.
const VAIN: usize = 256;
/// Rest after a walk in vain.
const REST: Duration = Duration::from_secs(1);

/// Where a worker's walk is.
#[derive(Debug)]
pub(super) struct Compactor {
    partition: usize,
    db: u16,
    position: u32,
    looked: usize,
    moved: usize,
    last: Instant,
    rests_until: Option<Instant>,
}

impl Compactor {
    pub(super) fn new(worker: usize) -> Compactor {
        Compactor {
            partition: worker,
            db: 0,
            position: 0,
            looked: 0,
            moved: 0,
            last: Instant::now(),
            rests_until: None,
        }
    }

    /// Moves things for a slice of time, if it is time for one. To be called once per turn while it is wanted.
    #[cold]
    #[inline(never)]
    pub(super) fn run(&mut self, node: &Node, worker: usize, workers: usize) {
        let began = Instant::now();
        if self.rests_until.is_some_and(|until| began < until) {
            return;
        }
        let (pause, slice) =
            if bound::is_pressed() { (PAUSE_PRESSED, SLICE_PRESSED) } else { (PAUSE, SLICE) };
        let since = began - self.last;
        if since < SLICE_MIN * pause {
            return;
        }
        let until = began + (since / pause).min(slice);
        let done = slab::with_mover(|mover| {
            let mut buckets = 0;
            while buckets < BUCKETS_MIN || Instant::now() < until {
                let hold = (Instant::now() + HOLD).min(until);
                let (seen, ended) = self.step(node, mover, hold);
                // A partition with nothing in it is a look too.
                buckets += seen.max(1);
                if ended && self.next(node, mover, worker, workers) {
                    break;
                }
            }
            self.count(mover);
        });
        self.last = Instant::now();
        if done.is_none() {
            self.rests_until = Some(self.last + REST);
        }
    }

    /// Goes on in the partition for a while: how many buckets it looked at, and whether the database ended.
    fn step(&mut self, node: &Node, mover: &mut Mover<'_>, until: Instant) -> (usize, bool) {
        let mut partition = node.store.lock(node.store.partition_at(self.partition));
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

    /// The next database or partition; true at the end of a walk over all of them.
    fn next(&mut self, node: &Node, mover: &mut Mover<'_>, worker: usize, workers: usize) -> bool {
        self.position = 0;
        self.db += 1;
        if usize::from(self.db) < usize::from(node.store.databases()) {
            return false;
        }
        self.db = 0;
        self.partition += workers;
        if self.partition < node.store.partition_count() {
            return false;
        }
        self.partition = worker;
        self.count(mover);
        let (looked, moved) = (std::mem::take(&mut self.looked), std::mem::take(&mut self.moved));
        self.rests_until = (moved * VAIN < looked || looked == 0).then(|| Instant::now() + REST);
        true
    }
}
