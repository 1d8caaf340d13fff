//! Moving what lies badly in memory, a slice of a worker's turns at a time, while the resident size is too near its bound.
//!
//! A worker looks after its share of the partitions, bucket by bucket, as expiry does. A busy worker gives it a quarter of
//! its time, half when the bound is passed; an idle one a slice per turn.

use crate::memory::{bound, slab};
use crate::node::Node;
use larder_store::compact::Mover;
use std::time::{Duration, Instant};

/// How long a slice takes at most.
const SLICE: Duration = Duration::from_micros(500);
/// The shortest slice worth switching the thread's cache off for.
const SLICE_MIN: Duration = Duration::from_micros(100);
/// How long a partition is held at most, but for what one bucket takes.
const HOLD: Duration = Duration::from_micros(100);
/// Times as much time for requests as for a slice: usually, and when the bound is passed.
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
        let pause = if bound::is_pressed() { PAUSE_PRESSED } else { PAUSE };
        let since = began - self.last;
        if since < SLICE_MIN * pause {
            return;
        }
        let until = began + (since / pause).min(SLICE);
        let _direct = slab::Direct::begin();
        while Instant::now() < until {
            if self.step(node, (Instant::now() + HOLD).min(until)) && self.next(node, worker, workers) {
                break;
            }
        }
        self.last = Instant::now();
    }

    /// Goes on in the partition for a while; true at the end of a database.
    fn step(&mut self, node: &Node, until: Instant) -> bool {
        let mut badly = slab::lies_badly;
        let mut mover = Mover::new(&mut badly);
        let mut partition = node.store.lock(node.store.partition_at(self.partition));
        let mut next = Some(self.position);
        while let Some(position) = next {
            self.position = position;
            if Instant::now() >= until {
                break;
            }
            next = partition.compact(self.db, position, &mut mover);
        }
        drop(partition);
        self.looked += mover.looked;
        self.moved += mover.moved;
        bound::note_moved(mover.moved as u64);
        next.is_none()
    }

    /// The next database or partition; true at the end of a walk over all of them.
    fn next(&mut self, node: &Node, worker: usize, workers: usize) -> bool {
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
        let (looked, moved) = (std::mem::take(&mut self.looked), std::mem::take(&mut self.moved));
        self.rests_until = (moved * VAIN < looked || looked == 0).then(|| Instant::now() + REST);
        true
    }
}
