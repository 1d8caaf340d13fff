//! What the Memcached sessions of a node share: counters, rules, users, CAS uniques, the pending `flush_all`.

use super::auth::Auth;
use super::counters::{Counter, Counters};
use super::detail::Detail;
use super::discovery::Discovery;
use super::watch::Watchers;
use super::{DB, ITEM_SIZE_MAX_BYTES, REQUESTS_PER_TURN_MAX, Rules};
use crate::advise::Advisor;
use crate::log::{Effects, Log};
use crate::prefixes::Prefixes;
use arc_swap::{ArcSwap, Guard};
use larder_store::{Now, Store};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// No flush is pending.
const NEVER: u64 = u64::MAX;

/// What all Memcached sessions of a node share.
#[derive(Debug)]
pub struct Shared {
    pub(super) counters: Counters,
    pub(super) discovery: Discovery,
    /// The last CAS unique that was given out.
    last_cas: AtomicU64,
    /// When a delayed `flush_all` falls due, Unix milliseconds.
    pub(super) flush_at_ms: AtomicU64,
    item_size_max: AtomicU64,
    pub(super) verbosity: AtomicU32,
    pub(super) version: String,
    /// Lines are read as by memcached from 1.6.32 on.
    pub(super) strict: bool,
    pub(super) detail: Detail,
    /// Hits and misses by what keys begin with, over all doors of the node.
    pub prefixes: Arc<Prefixes>,
    /// A watch over the traffic, over all doors of the node.
    pub advisor: Arc<Advisor>,
    /// Who watches what.
    pub watchers: Watchers,
    rules: OnceLock<Rules>,
    auth: ArcSwap<Auth>,
}

impl Shared {
    /// For a node with this many workers, which answers `version` with this text.
    pub fn new(workers: usize, version: &str) -> Shared {
        Shared {
            counters: Counters::new(workers),
            discovery: Discovery::default(),
            last_cas: AtomicU64::new(0),
            flush_at_ms: AtomicU64::new(NEVER),
            item_size_max: AtomicU64::new(ITEM_SIZE_MAX_BYTES as u64),
            verbosity: AtomicU32::new(0),
            version: version.to_owned(),
            strict: is_strict(version),
            detail: Detail::default(),
            prefixes: Arc::default(),
            advisor: Arc::default(),
            watchers: Watchers::default(),
            rules: OnceLock::new(),
            auth: ArcSwap::default(),
        }
    }

    /// Says what is fixed from now on; only the first call counts.
    pub fn set_rules(&self, rules: Rules) {
        self.detail.set(rules.detail);
        self.watchers.watcher_bytes.store(rules.watcher_bytes, Ordering::Relaxed);
        self.watchers.worker_bytes.store(rules.worker_bytes, Ordering::Relaxed);
        let _ = self.rules.set(rules);
    }

    pub(super) fn rules(&self) -> &Rules {
        self.rules.get_or_init(Rules::default)
    }

    /// Says who may come in from now on. Sessions that came in before stay.
    pub fn set_auth(&self, auth: Auth) {
        self.auth.store(Arc::new(auth));
    }

    pub(super) fn auth(&self) -> Guard<Arc<Auth>> {
        self.auth.load()
    }

    /// True if connections beyond the limit wait until there is room.
    pub fn is_patient(&self) -> bool {
        self.rules().patient
    }

    /// Counts a connection that has to wait for room.
    pub fn count_waiting(&self, worker: usize) {
        self.counters.add(worker, Counter::ListenDisabled, 1);
    }

    pub(super) fn dumps(&self) -> bool {
        !self.rules().dump_disabled
    }

    pub(super) fn may_shut_down(&self) -> bool {
        self.rules().shutdown
    }

    pub(super) fn requests_per_turn(&self) -> usize {
        self.rules().requests_per_turn.clamp(1, REQUESTS_PER_TURN_MAX)
    }

    /// The last CAS unique that was given out.
    pub fn last_cas(&self) -> u64 {
        self.last_cas.load(Ordering::Relaxed)
    }

    /// Goes on with CAS uniques behind those that an earlier process gave out.
    pub fn resume_cas(&self, last: u64) {
        self.last_cas.fetch_max(last, Ordering::Relaxed);
    }

    /// Counts a session that was closed because nothing came from it.
    pub fn count_idle_kick(&self, worker: usize) {
        self.counters.add(worker, Counter::IdleKicks, 1);
    }

    /// Largest item in bytes, counted as memcached counts (`memcached-max-item-size`).
    pub fn item_size_max(&self) -> usize {
        self.item_size_max.load(Ordering::Relaxed) as usize
    }

    /// Changes the largest item; sessions go by it from their next turn on.
    pub fn set_item_size_max(&self, bytes: usize) {
        self.item_size_max.store(bytes as u64, Ordering::Relaxed);
    }

    /// A CAS unique that was never given out before. Items get one only when somebody asks for it, and none where CAS is
    /// disabled.
    pub(super) fn next_cas(&self) -> u64 {
        if self.rules().cas_disabled {
            return 0;
        }
        self.last_cas.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Carries out a delayed `flush_all` that has fallen due. Sessions do this on each of their turns; a worker that
    /// serves Redis clients too calls it from its timer. One load when nothing is due. A node that follows another one
    /// by then has that one's keys, which are not its own to take away: there it comes to nothing.
    #[inline]
    pub fn flush_if_due(
        &self,
        store: &Store,
        now: Now,
        log: Option<(&Log, usize)>,
        follows: impl FnOnce() -> bool,
    ) {
        let at = self.flush_at_ms.load(Ordering::Relaxed);
        if at <= now.ms
            && self.flush_at_ms.compare_exchange(at, NEVER, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            flush(store, log, now, follows);
        }
    }
}

/// True if memcached of this version, or of a later one, reads lines strictly.
fn is_strict(version: &str) -> bool {
    const FIRST: [u32; 3] = [1, 6, 32];
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    FIRST.map(|_| numbers.next().unwrap_or(0)) >= FIRST
}

/// Takes everything out of the database; it is freed in the background. O(partitions).
fn flush(store: &Store, log: Option<(&Log, usize)>, now: Now, follows: impl FnOnce() -> bool) {
    let mut cleared = Vec::new();
    // For the log it is one step: so nothing else may happen meanwhile.
    let mut held = store.lock_all();
    // Whoever makes the node a replica holds all partitions as well.
    if follows() {
        return;
    }
    if let Some((log, worker)) = log.filter(|(log, _)| log.is_on()) {
        let mut effects = Effects::default();
        effects.add(DB, [&b"FLUSHDB"[..]].into_iter());
        log.append(worker, &effects);
    }
    held.iter_mut().filter(|partition| partition.len(DB) > 0).for_each(|partition| {
        let keys = partition.clear(DB, now);
        partition.note_flushed(DB, &keys);
        cleared.push(keys);
    });
    drop(held);
    crate::command::keyspace::free_all(cleared);
}
