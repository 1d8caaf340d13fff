//! What passes through a node: counters that every turn of every worker adds to.
//!
//! Each worker has counters of its own, which only it writes, so that no cache line travels between cores for them;
//! who reads them adds them up.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commands executed.
    pub commands: u64,
    /// Bytes received.
    pub input_bytes: u64,
    /// Bytes sent.
    pub output_bytes: u64,
    /// Times that bytes came from a session.
    pub reads: u64,
    /// Times that bytes were sent to a session.
    pub writes: u64,
    /// Rounds of the loop.
    pub turns: u64,
}

impl Figures {
    fn parts(&self) -> [u64; 6] {
        [self.commands, self.input_bytes, self.output_bytes, self.reads, self.writes, self.turns]
    }
}

/// The counters of all workers.
#[derive(Debug)]
pub struct Traffic(Box<[CachePadded<[AtomicU64; 6]>]>);

impl Traffic {
    /// Counters for some workers.
    pub fn new(workers: usize) -> Traffic {
        Traffic((0..workers).map(|_| CachePadded::default()).collect())
    }

    /// Adds to the counters of a worker. Only that worker does it: no lock prefix, no waiting.
    pub fn add(&self, worker: usize, more: &Figures) {
        for (counter, more) in self.0[worker].iter().zip(more.parts()) {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        }
    }

    /// The sums over all workers.
    pub fn total(&self) -> Figures {
        let sum = |at: usize| self.0.iter().map(|own| own[at].load(Ordering::Relaxed)).sum();
        let [commands, input_bytes, output_bytes, reads, writes, turns] = std::array::from_fn(sum);
        Figures { commands, input_bytes, output_bytes, reads, writes, turns }
    }

    /// Starts counting anew, but for the turns (CONFIG RESETSTAT). What a worker adds at the same instant may survive.
    pub fn reset(&self) {
        self.0.iter().flat_map(|own| &own[..5]).for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_workers() {
        let traffic = Traffic::new(2);
        let some = Figures { commands: 1, input_bytes: 2, output_bytes: 3, reads: 4, writes: 5, turns: 6 };
        traffic.add(0, &some);
        traffic.add(1, &some);
        traffic.add(1, &Figures { commands: 10, ..Figures::default() });
        let expected =
            Figures { commands: 12, input_bytes: 4, output_bytes: 6, reads: 8, writes: 10, turns: 12 };
        assert_eq!(traffic.total(), expected);
        traffic.reset();
        assert_eq!(traffic.total(), Figures { turns: 12, ..Figures::default() });
    }
}
