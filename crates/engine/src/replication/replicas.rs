//! The replicas of this node. Each is a session of a worker that asked for the stream, and is fed from then on: first, if
//! it needs it, with a snapshot, then with the stream from the backlog. What it says (REPLCONF ACK) are commands like
//! any others. So closing, killing, limits and encryption are those of sessions, and nobody writes to a socket but its
//! worker.
//!
//! A worker fills a replica's buffer when the one before was sent, so a replica holds a bounded number of bytes besides
//! what the backlog keeps for it.

use super::greeting::Facts;
use super::sync::{Read, Transfer};
use super::{find_restrained, role};
use crate::log::{Block, Log};
use crate::mailbox::Mail;
use crate::node::{Node, now_ms};
use crate::session::registry::Shared;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that are given to a replica's socket at once, give or take a block.
const FILL_BYTES: usize = 256 * 1024;
/// A buffer up to this is kept for the next bytes of the same replica.
pub const KEPT_BYTES_MAX: usize = 4 * FILL_BYTES;
/// Replicas that are served at most.
const REPLICAS_MAX: usize = 256;

/// How far a replica is.
#[derive(Debug)]
enum Stage {
    /// It waits for a snapshot since then (Unix milliseconds).
    Waiting(u64),
    /// It is sent one.
    Snapshot { transfer: Arc<Transfer>, begun: bool },
    /// It has all of it, and loads. The stream from here on waits for it.
    Loading(u64),
    /// It is sent the stream from here on.
    Stream(u64),
    /// Nothing more is sent.
    Over,
}

/// A replica.
#[derive(Debug)]
pub struct Replica {
    /// Its session.
    pub shared: Arc<Shared>,
    /// What it told of itself.
    pub facts: Facts,
    /// It came with SYNC: it knows nothing of histories.
    plain: bool,
    stage: Mutex<Stage>,
    /// How far it has come in the stream, as it says.
    pub acked: AtomicU64,
    /// How far its file has come, as it says, and one more; 0 = it has never said so.
    on_disk: AtomicU64,
    /// When it said so, Unix milliseconds.
    pub acked_ms: AtomicU64,
    /// Bytes of the snapshot that it was given.
    pub sent: AtomicU64,
    /// When it was last given any, Unix milliseconds.
    fed_ms: AtomicU64,
    /// It has come to the end of the stream once: from then on it may not fall behind too far.
    caught_up: AtomicBool,
    /// Since when it has been too far behind, Unix milliseconds; 0 = it is not.
    late_since_ms: AtomicU64,
    /// A sign of life is due.
    beat: AtomicBool,
    /// What it is sent before anything else.
    first: Mutex<Vec<u8>>,
}

/// What [`Replica::fill`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// There may be bytes to send.
    Sent,
    /// There is nothing for it now; it has everything of the stream up to here, if it is sent the stream.
    Nothing(Option<u64>),
    /// Its connection is of no use any more.
    Close,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Appends blocks until there is enough for one time; how many bytes that was.
fn append(out: &mut Vec<u8>, blocks: &[Block]) -> u64 {
    let (before, mut end, mut count) = (out.len(), out.len(), 0);
    while end < FILL_BYTES && count < blocks.len() {
        end += blocks[count].bytes().len();
        count += 1;
    }
    out.reserve(end - before);
    blocks[..count].iter().for_each(|block| out.extend_from_slice(block.bytes()));
    (end - before) as u64
}

impl Replica {
    fn new(shared: Arc<Shared>, facts: Facts, plain: bool, stage: Stage, first: Vec<u8>) -> Arc<Replica> {
        let now = now_ms();
        Arc::new(Replica {
            shared,
            facts,
            plain,
            stage: Mutex::new(stage),
            acked: AtomicU64::new(0),
            on_disk: AtomicU64::new(0),
            acked_ms: AtomicU64::new(now),
            sent: AtomicU64::new(0),
            fed_ms: AtomicU64::new(now),
            caught_up: AtomicBool::new(false),
            late_since_ms: AtomicU64::new(0),
            beat: AtomicBool::new(false),
            first: Mutex::new(first),
        })
    }

    /// The name of its state in INFO.
    pub fn state_name(&self) -> &'static str {
        match &*lock(&self.stage) {
            Stage::Waiting(_) => "wait_bgsave",
            Stage::Snapshot { .. } | Stage::Loading(_) | Stage::Over => "send_bulk",
            Stage::Stream(_) => "online",
        }
    }

    /// True once it is sent the stream.
    pub fn is_online(&self) -> bool {
        matches!(&*lock(&self.stage), Stage::Stream(_))
    }

    /// The address that it is known by.
    pub fn ip(&self) -> String {
        let of_connection = || {
            let address = self.shared.address.parse::<std::net::SocketAddr>();
            address.map_or_else(|_| "127.0.0.1".into(), |address| address.ip().to_canonical().to_string())
        };
        self.facts.ip.clone().unwrap_or_else(of_connection)
    }

    /// Since when it waits for a snapshot.
    pub(super) fn waits_since(&self) -> Option<u64> {
        match &*lock(&self.stage) {
            Stage::Waiting(since) => Some(*since),
            _ => None,
        }
    }

    /// It is sent this snapshot, if it still waits for one.
    pub(super) fn receive(&self, transfer: Arc<Transfer>) {
        let mut stage = lock(&self.stage);
        if let Stage::Waiting(_) = *stage {
            self.acked.store(0, Ordering::Relaxed);
            *stage = Stage::Snapshot { transfer, begun: false };
        }
    }

    /// True if nothing more is sent to it.
    pub(super) fn is_over(&self) -> bool {
        matches!(*lock(&self.stage), Stage::Over)
    }

    /// The first byte of the stream that it still needs.
    fn needs(&self) -> Option<u64> {
        match &*lock(&self.stage) {
            Stage::Snapshot { transfer, .. } => Some(transfer.offset),
            Stage::Loading(from) => Some(*from),
            Stage::Stream(at) => Some(*at),
            Stage::Waiting(_) | Stage::Over => None,
        }
    }

    /// What it says of how far it has come.
    pub fn acknowledge(&self, offset: u64, on_disk: Option<u64>) {
        self.acked.fetch_max(offset, Ordering::AcqRel);
        let on_disk = on_disk.map_or(0, |on_disk| on_disk.saturating_add(1));
        self.on_disk.fetch_max(on_disk, Ordering::AcqRel);
        self.acked_ms.store(now_ms(), Ordering::Relaxed);
        let mut stage = lock(&self.stage);
        if let Stage::Loading(from) = *stage {
            *stage = Stage::Stream(from);
            tracing::info!("Synchronization with replica {} succeeded", self.shared.address);
        }
    }

    /// Adds what it is sent next to a buffer.
    pub fn fill(&self, node: &Node, out: &mut Vec<u8>) -> Fed {
        let before = out.len();
        out.append(&mut lock(&self.first));
        let mut stage = lock(&self.stage);
        let fed = loop {
            match &mut *stage {
                Stage::Waiting(_) => break Fed::Nothing(None),
                Stage::Loading(_) => break Fed::Nothing(None),
                Stage::Over => break Fed::Close,
                Stage::Snapshot { transfer, begun } => {
                    let (transfer, at) = (transfer.clone(), self.sent.load(Ordering::Relaxed));
                    let whole = !self.facts.takes_mark || !transfer.streams;
                    if !*begun {
                        match transfer.head(whole, self.plain) {
                            Some(head) => out.extend_from_slice(&head),
                            None if transfer.is_failed() => break Fed::Close,
                            None => break Fed::Nothing(None),
                        }
                        *begun = true;
                    }
                    match transfer.read(at) {
                        Read::Blocks(blocks) => {
                            self.sent.store(at + append(out, &blocks), Ordering::Release);
                            if out.len() >= FILL_BYTES {
                                break Fed::Sent;
                            }
                        }
                        Read::Nothing => break Fed::Nothing(None),
                        Read::Failed => break Fed::Close,
                        Read::End => {
                            let from = transfer.offset;
                            if !whole {
                                out.extend_from_slice(transfer.mark.as_bytes());
                            }
                            // Behind a mark nothing may come until it says that it has found it.
                            *stage = match (self.facts.only_snapshot, whole) {
                                (true, _) => Stage::Over,
                                (false, true) => Stage::Stream(from),
                                (false, false) => Stage::Loading(from),
                            };
                            if self.facts.only_snapshot && out.len() > before {
                                break Fed::Sent;
                            }
                        }
                    }
                }
                Stage::Stream(at) => {
                    let Some(blocks) = node.log.read(*at) else {
                        tracing::warn!(
                            "Replica {} is too far behind: what it needs is gone",
                            self.shared.address
                        );
                        break Fed::Close;
                    };
                    if blocks.is_empty() {
                        self.caught_up.store(true, Ordering::Relaxed);
                        break Fed::Nothing(Some(*at));
                    }
                    *at += append(out, &blocks);
                    if out.len() >= FILL_BYTES {
                        break Fed::Sent;
                    }
                }
            }
        };
        let waits = matches!(&*stage, Stage::Waiting(_) | Stage::Snapshot { begun: false, .. });
        if self.beat.swap(false, Ordering::Relaxed) && waits {
            out.push(b'\n');
        }
        drop(stage);
        let bytes = out.len() - before;
        if bytes == 0 {
            return fed;
        }
        self.fed_ms.store(now_ms(), Ordering::Relaxed);
        node.replication.stats.output_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if fed == Fed::Close { fed } else { Fed::Sent }
    }

    /// Ends the connection.
    pub fn close(&self, node: &Node) {
        self.shared.killed.store(true, Ordering::Relaxed);
        node.mailboxes[self.shared.place.worker as usize].send(Mail::Kill);
    }

    /// True if nothing was heard of it for too long.
    fn is_silent(&self, now_ms: u64, patience_ms: u64) -> bool {
        let last = match &*lock(&self.stage) {
            Stage::Waiting(_) | Stage::Over => return false,
            // While it is sent the snapshot it need not say anything, but has to take it.
            Stage::Snapshot { begun: false, .. } => return false,
            Stage::Snapshot { .. } => self.fed_ms.load(Ordering::Relaxed),
            Stage::Loading(_) => self.shared.last_ms.load(Ordering::Relaxed),
            Stage::Stream(_) => self.acked_ms.load(Ordering::Relaxed),
        };
        now_ms.saturating_sub(last) > patience_ms
    }
}

/// All replicas.
#[derive(Debug)]
pub struct Replicas {
    all: Mutex<BTreeMap<u64, Arc<Replica>>>,
    count: AtomicUsize,
    /// By worker: it has a replica that waits for more of the stream.
    hungry: Vec<AtomicBool>,
    /// The thread that makes snapshots is told.
    wanted: Condvar,
    /// The database in which the stream of a node that follows is.
    stream_db: AtomicU16,
    /// Since when there is none, Unix milliseconds.
    none_since_ms: AtomicU64,
    ticked_ms: AtomicU64,
    pinged_ms: AtomicU64,
    /// From where a snapshot that is being begun needs the stream; `u64::MAX` while none is.
    snapshot_from: AtomicU64,
}

impl Replicas {
    pub(super) fn new(workers: usize) -> Replicas {
        Replicas {
            all: Mutex::default(),
            count: AtomicUsize::new(0),
            hungry: (0..workers.max(1)).map(|_| AtomicBool::new(false)).collect(),
            wanted: Condvar::new(),
            stream_db: AtomicU16::new(0),
            none_since_ms: AtomicU64::new(now_ms()),
            ticked_ms: AtomicU64::new(0),
            pinged_ms: AtomicU64::new(0),
            snapshot_from: AtomicU64::new(u64::MAX),
        }
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        lock(&self.all).values().cloned().collect()
    }

    /// How many there are. Takes no lock.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Those who are sent the stream and were heard of within so many seconds.
    pub fn count_good(&self, lag_max: u64) -> usize {
        let now = now_ms();
        let good = |replica: &&Arc<Replica>| {
            let lag = now.saturating_sub(replica.acked_ms.load(Ordering::Relaxed)) / 1000;
            replica.is_online() && lag <= lag_max
        };
        lock(&self.all).values().filter(good).count()
    }

    /// Those who have come to this offset, and those whose files have.
    pub fn count_acked(&self, offset: u64) -> (usize, usize) {
        let all = lock(&self.all);
        let online = all.values().filter(|replica| replica.is_online());
        online.fold((0, 0), |(acked, on_disk), replica| {
            let (reached, safe) = (&replica.acked, &replica.on_disk);
            (
                acked + usize::from(reached.load(Ordering::Acquire) >= offset),
                on_disk + usize::from(safe.load(Ordering::Acquire) > offset),
            )
        })
    }

    pub(super) fn stream_db(&self) -> u16 {
        self.stream_db.load(Ordering::Relaxed)
    }

    pub(super) fn set_stream_db(&self, db: u16) {
        self.stream_db.store(db, Ordering::Relaxed);
    }

    fn add(&self, replica: &Arc<Replica>) -> bool {
        let mut all = lock(&self.all);
        if all.len() >= REPLICAS_MAX {
            return false;
        }
        all.insert(replica.shared.id, replica.clone());
        self.count.store(all.len(), Ordering::Relaxed);
        replica.shared.is_replica.store(true, Ordering::Relaxed);
        self.wanted.notify_all();
        true
    }

    /// Forgets a replica whose session is gone. What was kept in the backlog for nobody else goes with it.
    pub fn remove(&self, id: u64, log: &Log) {
        let mut all = lock(&self.all);
        if let Some(replica) = all.remove(&id) {
            *lock(&replica.stage) = Stage::Over;
            if all.is_empty() {
                self.none_since_ms.store(now_ms(), Ordering::Relaxed);
            }
            self.pin_for(&all, log);
        }
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// A snapshot is begun whose stream begins at this offset or behind it: the backlog keeps that until
    /// [`Replicas::snapshot_is_handed_over`].
    pub(super) fn snapshot_begins(&self, log: &Log) {
        let all = lock(&self.all);
        log.with_backlog(|backlog| self.snapshot_from.store(backlog.end(), Ordering::Relaxed));
        self.pin_for(&all, log);
    }

    /// Those who wait for the snapshot say from now on what they need, or it came to nothing.
    pub(super) fn snapshot_is_handed_over(&self, log: &Log) {
        let all = lock(&self.all);
        self.snapshot_from.store(u64::MAX, Ordering::Relaxed);
        self.pin_for(&all, log);
    }

    /// Those who wait for a snapshot; waits a while for some.
    pub(super) fn waiting(&self, patience: Duration) -> Vec<Arc<Replica>> {
        let waiting = |all: &BTreeMap<u64, Arc<Replica>>| -> Vec<Arc<Replica>> {
            all.values().filter(|replica| replica.waits_since().is_some()).cloned().collect()
        };
        let all = lock(&self.all);
        let found = waiting(&all);
        if !found.is_empty() {
            return found;
        }
        let (all, _) = self.wanted.wait_timeout(all, patience).unwrap_or_else(PoisonError::into_inner);
        waiting(&all)
    }

    /// Ends the connections of all: what they follow is not what it was.
    pub fn close_all(&self, node: &Node) {
        self.all().iter().for_each(|replica| replica.close(node));
    }

    /// A worker whose replicas have everything will be woken when there is more.
    pub fn set_hungry(&self, worker: usize) {
        self.hungry[worker].store(true, Ordering::SeqCst);
    }

    /// The stream has grown: wakes the workers that wait for it.
    pub fn wake(&self, node: &Node) {
        if self.count() == 0 {
            return;
        }
        for (worker, hungry) in self.hungry.iter().enumerate() {
            if hungry.swap(false, Ordering::SeqCst) {
                node.mailboxes[worker].wake();
            }
        }
    }

    /// Keeps what the replicas need in the backlog.
    fn pin(&self, log: &Log) {
        self.pin_for(&lock(&self.all), log);
    }

    /// The same with all of them locked, so that nobody pins what was true before. A replica that is fed holds its stage
    /// while it reads the backlog, so they are looked at before that is locked.
    fn pin_for(&self, all: &BTreeMap<u64, Arc<Replica>>, log: &Log) {
        let needed = all.values().filter_map(|replica| replica.needs()).min().unwrap_or(u64::MAX);
        let needed = needed.min(self.snapshot_from.load(Ordering::Relaxed));
        log.with_backlog(|backlog| backlog.pin(needed));
    }
}

/// A session asks to be a replica, from `resume` on if it can: the id of its history and its position in it. `None` if
/// there are too many.
pub fn accept(
    node: &Node,
    shared: Arc<Shared>,
    facts: Facts,
    resume: Option<(&str, u64)>,
    plain: bool,
) -> Option<Arc<Replica>> {
    let replication = &node.replication;
    let (mut reply, mut stage) = (Vec::new(), Stage::Waiting(now_ms()));
    let state = replication.state();
    let going_on = resume.filter(|(id, position)| {
        state.history.covers(id, *position)
            && node.log.is_replicated()
            && node.log.with_backlog(|backlog| (backlog.first()..=backlog.end()).contains(position))
    });
    if let Some((_, position)) = going_on {
        stage = Stage::Stream(position);
        reply = match facts.psync2 {
            true => format!("+CONTINUE {}\r\n", state.history.id).into_bytes(),
            false => b"+CONTINUE\r\n".to_vec(),
        };
        replication.stats.partial.fetch_add(1, Ordering::Relaxed);
        tracing::info!("Partial resynchronization request from {} accepted at {position}", shared.address);
    } else {
        let counter =
            if resume.is_some() { &replication.stats.partial_refused } else { &replication.stats.full };
        counter.fetch_add(1, Ordering::Relaxed);
        if resume.is_some() {
            replication.stats.full.fetch_add(1, Ordering::Relaxed);
        }
        tracing::info!("Full resync requested by replica {}", shared.address);
    }
    let replica = Replica::new(shared, facts, plain, stage, reply);
    if let Some((_, position)) = going_on {
        replica.acked.store(position, Ordering::Relaxed);
        replica.caught_up.store(true, Ordering::Relaxed);
    }
    drop(state);
    replication.replicas.add(&replica).then_some(replica)
}

/// What time brings: signs of life, silence, replicas that fall behind, a backlog that nobody wants.
pub(super) fn tick(node: &Node, now_ms: u64) {
    let replicas = &node.replication.replicas;
    if node.log.is_replicated() {
        if replicas.count() > 0 {
            hold_limit(node, now_ms);
        }
        replicas.pin(&node.log);
    }
    if now_ms.saturating_sub(replicas.ticked_ms.load(Ordering::Relaxed)) < 1000 {
        return;
    }
    replicas.ticked_ms.store(now_ms, Ordering::Relaxed);
    find_restrained(node);
    let settings = node.settings();
    let wishes = &settings.replication;
    if node.log.is_replicated() {
        node.log.with_backlog(|backlog| {
            if backlog.capacity() != wishes.backlog_bytes {
                backlog.set_capacity(wishes.backlog_bytes);
            }
        });
    }
    let all = replicas.all();
    if all.is_empty() {
        let idle = now_ms.saturating_sub(replicas.none_since_ms.load(Ordering::Relaxed)) / 1000;
        let kept = wishes.backlog_ttl == 0 || idle < wishes.backlog_ttl;
        if !kept && node.log.is_replicated() && !node.replication.is_following() {
            role::forget_history(node);
        }
        return;
    }
    if now_ms.saturating_sub(replicas.pinged_ms.load(Ordering::Relaxed)) >= wishes.ping_period * 1000 {
        replicas.pinged_ms.store(now_ms, Ordering::Relaxed);
        if node.pause.held(now_ms).is_none() {
            node.log.tell_replicas(0, [&b"PING"[..]].into_iter());
        }
        for replica in &all {
            replica.beat.store(true, Ordering::Relaxed);
            node.mailboxes[replica.shared.place.worker as usize].wake();
        }
    }
    for replica in &all {
        if replica.is_silent(now_ms, wishes.timeout * 1000) {
            tracing::warn!("Disconnecting timedout replica {}", replica.shared.address);
            replica.close(node);
        }
    }
}

/// Gives up replicas that had caught up once and are too far behind now. What the backlog holds anyway is never too far.
fn hold_limit(node: &Node, now_ms: u64) {
    let (end, settings) = (node.log.offset(), node.settings());
    let (limit, backlog) = (settings.output_limits.replica, settings.replication.backlog_bytes);
    for replica in node.replication.replicas.all() {
        let Some(at) = replica.needs().filter(|_| replica.caught_up.load(Ordering::Relaxed)) else {
            continue;
        };
        let behind = end.saturating_sub(at) as usize;
        if behind <= backlog {
            replica.late_since_ms.store(0, Ordering::Relaxed);
            continue;
        }
        let late = limit.soft > 0 && behind > limit.soft;
        let since = replica.late_since_ms.load(Ordering::Relaxed);
        let since = match (late, since) {
            (false, _) => 0,
            (true, 0) => now_ms,
            (true, since) => since,
        };
        replica.late_since_ms.store(since, Ordering::Relaxed);
        let too_long = late && now_ms - since > limit.soft_seconds * 1000;
        if limit.is_hard_exceeded(behind) || too_long {
            tracing::warn!("Replica {} is {behind} bytes behind: disconnected", replica.shared.address);
            node.stats.output_limit_closed.fetch_add(1, Ordering::Relaxed);
            replica.close(node);
        }
    }
}
