//! The counters of `stats`: a set per worker, so that counting never makes two cores wait for each other.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is counted: the names are those of memcached's `stats` (protocol.txt, "General-purpose statistics").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    CmdGet,
    CmdSet,
    CmdFlush,
    CmdTouch,
    CmdMeta,
    GetHits,
    GetMisses,
    GetExpired,
    DeleteMisses,
    DeleteHits,
    IncrMisses,
    IncrHits,
    DecrMisses,
    DecrHits,
    CasMisses,
    CasHits,
    CasBadval,
    TouchHits,
    TouchMisses,
    StoreTooLarge,
    StoreNoMemory,
    AuthCmds,
    AuthErrors,
    IdleKicks,
    ConnYields,
    TotalItems,
    ListenDisabled,
}

/// The names in `stats`, by [`Counter`].
pub(crate) const NAMES: [&str; COUNT] = [
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "cmd_meta",
    "get_hits",
    "get_misses",
    "get_expired",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "auth_cmds",
    "auth_errors",
    "idle_kicks",
    "conn_yields",
    "total_items",
    "listen_disabled_num",
];

const COUNT: usize = Counter::ListenDisabled as usize + 1;

/// All counters of a node.
#[derive(Debug)]
pub(crate) struct Counters {
    workers: Box<[CachePadded<[AtomicU64; COUNT]>]>,
    /// What was counted when `stats reset` came: a counter itself is written by its worker alone.
    before: Mutex<[u64; COUNT]>,
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Counters {
        let workers = (0..workers.max(1)).map(|_| CachePadded::default()).collect();
        Counters { workers, before: Mutex::default() }
    }

    /// Only the worker itself counts in its set, so that no locked instruction is needed.
    #[inline]
    pub(crate) fn add(&self, worker: usize, counter: Counter, n: u64) {
        if let Some(counters) = self.workers.get(worker) {
            let counter = &counters[counter as usize];
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        }
    }

    /// The sums over all workers, by [`Counter`].
    pub(crate) fn sums(&self) -> [u64; COUNT] {
        let (mut sums, before) = (self.totals(), self.before());
        sums.iter_mut().zip(before.iter()).for_each(|(sum, before)| *sum = sum.saturating_sub(*before));
        sums
    }

    fn totals(&self) -> [u64; COUNT] {
        let mut sums = [0; COUNT];
        for worker in &self.workers {
            for (sum, counter) in sums.iter_mut().zip(worker.iter()) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        sums
    }

    pub(crate) fn reset(&self) {
        let totals = self.totals();
        *self.before() = totals;
    }

    fn before(&self) -> MutexGuard<'_, [u64; COUNT]> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
