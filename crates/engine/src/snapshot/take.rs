//! Taking a snapshot: the cut, the walk in slices of the workers' turns, and its end.
//!
//! Any worker saves: it serialises what it is about to change, or what it walks over, into a buffer of its own and sends
//! full buffers to the [`Queue`]. Partitions are walked by whichever worker has time, one worker per partition. The last
//! one to finish flushes all buffers and closes the queue.

use super::delay::{Delay, Rested};
use super::queue::{BUFFER_BYTES, Piece, Queue};
use crate::background::drop_later;
use crate::command::locked::Held;
use crate::node::Node;
use crate::usage::Usage;
use larder_rdb::file::write::{self, Use};
use larder_rdb::{Writer, kind};
use larder_store::evict::Policy;
use larder_store::partition::access::idle_seconds;
use larder_store::{Entry, Image, Saver};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of a piece, but for values that are larger.
const PIECE_BYTES: usize = 64 * 1024;
/// How long the walk holds a partition.
const HOLD: Duration = Duration::from_micros(50);
/// How long a slice of the walk takes at most: of a worker that has nothing else to do, of one that serves requests, and of one
/// that comes to it late.
const SLICE_IDLE: Duration = Duration::from_micros(500);
const SLICE_BUSY: Duration = Duration::from_micros(100);
const SLICE_LATE: Duration = Duration::from_micros(200);
/// The shortest slice, so that a snapshot ends under any load; and when one ends for whom requests wait.
const SLICE_MIN: Duration = Duration::from_micros(50);
const SLICE_LEAST: Duration = Duration::from_micros(20);
/// A busy worker lets so many times as much time pass for requests before the next slice.
const PAUSE: u32 = 3;
/// So long it then waits for a turn in which nobody asks for anything; after that it is late, and there is a slice whoever waits.
const GRACE: Duration = Duration::from_micros(200);
/// How long after a request a worker counts as busy.
const BUSY_FOR: Duration = Duration::from_millis(5);
/// A slice that took more processor time than this is counted: nobody should wait so long for a snapshot.
const SLICE_LONG: Duration = Duration::from_millis(2);
/// Items of a collection from which on it is freed elsewhere.
const LARGE: usize = 64;
/// How long a walk that cannot go on waits for the disk.
pub(crate) const REST: Duration = Duration::from_millis(1);

const WALKING: u8 = 0;
const COMPLETE: u8 = 1;
const FAILED: u8 = 2;
const CANCELLED: u8 = 3;

/// What a snapshot is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file, for BGSAVE, SAVE, save points and SHUTDOWN.
    Save,
    /// The base of an append-only file.
    LogBase,
    /// A replica.
    Replica,
    /// A replica of a version before 7.2, which does not know the newer forms.
    OldReplica,
}

/// How a snapshot stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The walk goes on.
    Walking,
    /// All is in the queue, or was taken from it.
    Complete,
    /// It did not work out.
    Failed(String),
    /// Somebody gave it up.
    Cancelled,
}

/// What a thread is serialising.
#[derive(Debug)]
struct Slot {
    writer: Writer,
    /// The database that was named last in this piece.
    db: Option<u16>,
}

/// A snapshot that is being taken, and what comes out of it.
#[derive(Debug)]
pub struct Snapshot {
    /// What for.
    pub purpose: Purpose,
    /// Unix milliseconds of the cut.
    pub cut_ms: u64,
    /// `stats.changes` at the cut.
    pub changes: u64,
    /// Keys at the cut.
    pub keys: u64,
    began: Instant,
    queue: Queue,
    /// Buffers, by thread.
    slots: Box<[Mutex<Slot>]>,
    compress: bool,
    policy: Policy,
    state: AtomicU8,
    failure: Mutex<String>,
    saved: AtomicU64,
    /// How long who takes the pieces rests, and for which keys it did.
    delay: Arc<Delay>,
    rested: Rested,
    slices: Slices,
    cut_busy_us: AtomicU64,
    partitions: usize,
    /// Partitions that were given to a worker, and those that are saved.
    claimed: AtomicUsize,
    finished: AtomicUsize,
    /// The same for giving up.
    swept: AtomicUsize,
    cleaned: AtomicUsize,
}

/// Processor time of this thread.
fn busy_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

thread_local! {
    /// Which of the buffers this thread writes to.
    static SLOT: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

impl Saver for Snapshot {
    fn save(&self, entry: &Entry<'_>) {
        if self.state.load(Ordering::Relaxed) != WALKING {
            return;
        }
        self.saved.fetch_add(1, Ordering::Relaxed);
        let at = SLOT.with(|slot| *slot) % self.slots.len();
        let mut slot = self.slots[at].lock().unwrap_or_else(PoisonError::into_inner);
        let Slot { writer, db } = &mut *slot;
        if writer.is_empty() {
            writer.refill(|| self.queue.spare(), BUFFER_BYTES);
        }
        if *db != Some(entry.db) {
            write::select(entry.db, writer);
            *db = Some(entry.db);
        }
        let used = match self.policy {
            policy if policy.is_lfu() => Use::Frequency(entry.access() as u8),
            policy if policy.is_lru() => Use::Idle(idle_seconds(entry.access(), self.cut_ms).into()),
            _ => Use::Unknown,
        };
        write::prefix(entry.extras().deadline, used, writer);
        let image = entry.share().map(|image| (image, entry.approximate_bytes()));
        match image.is_some() {
            true => write::key_before(entry.key(), &entry.value(), writer),
            false => write::key(entry.key(), &entry.value(), writer),
        }
        if writer.len() >= PIECE_BYTES || image.is_some() {
            self.flush(&mut slot, image);
        }
    }
}

impl Snapshot {
    /// Makes the cut: everything that `held`, which is all partitions, holds now will come out of the snapshot. `cut` is
    /// called at that very instant, for whoever has to note how far a log has come. False if a snapshot is being taken
    /// already (`cut` is not called then).
    pub(super) fn begin(
        node: &Node,
        purpose: Purpose,
        aux: &[(&str, Vec<u8>)],
        held: &mut dyn Held,
        cut: &mut dyn FnMut(),
    ) -> Option<Arc<Snapshot>> {
        let busy_before = busy_time();
        let settings = node.settings();
        let databases = node.store.databases();
        let mut counts = vec![(0u64, 0u64); databases.into()];
        let (mut timed, mut busy) = (0, false);
        held.visit(&mut |partition| {
            busy |= partition.is_saving();
            for (db, count) in counts.iter_mut().enumerate() {
                count.0 += partition.len(db as u16) as u64;
                count.1 += partition.volatile_len(db as u16) as u64;
                timed += partition.timed_len(db as u16);
            }
        });
        if busy {
            return None;
        }
        let mut head = Writer::uncompressed();
        let old = purpose == Purpose::OldReplica;
        let version = match (timed > 0, old) {
            (true, _) => kind::VERSION_VALKEY_9,
            (false, true) => kind::VERSION_REDIS_7_0,
            (false, false) => kind::VERSION,
        };
        write::head(version, &mut head);
        aux.iter().for_each(|(name, value)| write::aux(name, value, &mut head));
        for (db, (keys, volatile)) in counts.iter().enumerate().filter(|(_, (keys, _))| *keys > 0) {
            write::select(db as u16, &mut head);
            write::resize(*keys, *volatile, &mut head);
        }
        let slot = || {
            let compress = settings.persistence.compress;
            let mut writer = if compress { Writer::new() } else { Writer::uncompressed() };
            writer.use_old_forms(old);
            Mutex::new(Slot { writer, db: None })
        };
        let snapshot = Arc::new(Snapshot {
            purpose,
            cut_ms: crate::node::now_ms(),
            changes: node.stats.changes.load(Ordering::Relaxed),
            keys: counts.iter().map(|(keys, _)| keys).sum(),
            began: Instant::now(),
            queue: Queue::new(crate::memory::used_bytes()),
            slots: (0..node.mailboxes.len()).map(|_| slot()).collect(),
            compress: settings.persistence.compress,
            policy: settings.maxmemory_policy,
            state: AtomicU8::new(WALKING),
            failure: Mutex::default(),
            saved: AtomicU64::new(0),
            delay: node.snapshots.delay.clone(),
            rested: Rested::default(),
            slices: Slices::default(),
            cut_busy_us: AtomicU64::new(0),
            partitions: node.store.partition_count(),
            claimed: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            swept: AtomicUsize::new(0),
            cleaned: AtomicUsize::new(0),
        });
        snapshot.queue.push(Piece { bytes: head.take(), image: None });
        let saver: Arc<dyn Saver> = snapshot.clone();
        held.visit(&mut |partition| {
            partition.begin_saving(&saver);
        });
        cut();
        snapshot.cut_busy_us.store(micros(busy_time().saturating_sub(busy_before)), Ordering::Relaxed);
        Some(snapshot)
    }

    /// What comes out, in pieces: a whole file but for its end and checksum.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// True if long strings are to be compressed.
    pub fn compresses(&self) -> bool {
        self.compress
    }

    /// How it stands.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            WALKING => State::Walking,
            COMPLETE => State::Complete,
            CANCELLED => State::Cancelled,
            _ => State::Failed(self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    /// Who takes the pieces rests for those that it took, if that is asked for.
    pub fn rest(&self) {
        let is_over = || !matches!(self.state(), State::Walking | State::Complete);
        self.delay.rest(self.keys_saved(), &self.rested, is_over);
    }

    /// Keys that were saved so far.
    pub fn keys_saved(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    /// What the slices of the walk took.
    pub fn slices(&self) -> &Slices {
        &self.slices
    }

    /// How long all partitions were held for the cut, microseconds of processor time.
    pub fn cut_busy_us(&self) -> u64 {
        self.cut_busy_us.load(Ordering::Relaxed)
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Says that it cannot be written; the walk ends soon. A snapshot of which all was taken already fails nevertheless.
    pub fn fail(&self, why: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why;
        self.give_up(FAILED);
    }

    /// Gives it up.
    pub fn cancel(&self) {
        self.give_up(CANCELLED);
    }

    fn give_up(&self, how: u8) {
        for from in [WALKING, COMPLETE] {
            if self.state.compare_exchange(from, how, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                break;
            }
        }
        self.queue.close(true);
    }

    fn flush(&self, slot: &mut Slot, image: Option<(Image, usize)>) {
        slot.db = None;
        let bytes = if slot.writer.len() < PIECE_BYTES / 2 {
            let bytes = slot.writer.as_bytes().to_vec();
            slot.writer.clear();
            bytes
        } else {
            slot.writer.take()
        };
        if !self.queue.push(Piece { bytes, image }) {
            self.fail("keys change faster than the snapshot can be written".into());
        }
    }

    /// All partitions are saved: sends the rest.
    fn complete(&self) {
        for slot in &self.slots {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if !slot.writer.is_empty() {
                self.flush(&mut slot, None);
            }
        }
        if self.state.compare_exchange(WALKING, COMPLETE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.queue.close(false);
        }
    }

    /// Saves everything at once, with all partitions held: SAVE. Another thread takes the pieces meanwhile.
    pub(super) fn run_through(&self, held: &mut dyn Held) {
        held.visit(&mut |partition| {
            let mut go_on = || !self.queue.is_full();
            while self.state.load(Ordering::Relaxed) == WALKING && !partition.save_some(&mut go_on, &mut drop)
            {
                self.queue.wait_for_room(REST);
            }
        });
        if self.state.load(Ordering::Acquire) == WALKING {
            self.complete();
        } else {
            held.visit(&mut |partition| drop(partition.stop_saving(self)));
        }
    }
}

/// A worker's part in the snapshot that is being taken.
#[derive(Debug, Default)]
pub struct Walker {
    snapshot: Option<Arc<Snapshot>>,
    /// The partition that it is at.
    partition: Option<usize>,
    /// When the walk wants to go on: at once, or after the disk has had some time.
    waits: Option<Duration>,
    /// When the last slice ended, and how long requests come first then.
    last: Option<Instant>,
    pause: Duration,
    busy_until: Option<Instant>,
}

/// How long the slices of a walk took. Processor time does not have in it what other work of the machine took, but what the
/// host of a virtual machine took it may have: an idle loop shows as much.
#[derive(Debug, Default)]
pub struct Slices {
    count: AtomicU64,
    total_us: AtomicU64,
    longest_us: AtomicU64,
    longest_busy_us: AtomicU64,
    /// Of those longer than [`SLICE_LONG`]: how many, and in how many of them the kernel had pages to find, or gave the
    /// processor to others.
    long: [AtomicU64; 3],
}

impl Slices {
    fn note(&self, elapsed: Duration, busy: Duration, usage: Usage) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(micros(busy), Ordering::Relaxed);
        self.longest_us.fetch_max(micros(elapsed), Ordering::Relaxed);
        self.longest_busy_us.fetch_max(micros(busy), Ordering::Relaxed);
        if busy > SLICE_LONG {
            for (count, is_so) in self.long.iter().zip([true, usage.faults > 0, usage.displaced > 0]) {
                count.fetch_add(u64::from(is_so), Ordering::Relaxed);
            }
        }
    }
}

impl std::fmt::Display for Slices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let [long, touched, displaced] = self.long.each_ref().map(get);
        let (count, total_ms) = (get(&self.count), get(&self.total_us) / 1000);
        let (longest, busy) = (get(&self.longest_us), get(&self.longest_busy_us));
        write!(
            f,
            "{count} slices of {total_ms} ms of processor time in all, none longer than {longest} us ({busy} us of processor \
             time); {long} took more than 2 ms of it, new pages in {touched} of these and other threads in {displaced}"
        )
    }
}

impl Walker {
    /// How long the worker may sleep at most.
    #[inline]
    pub fn waits(&self) -> Option<Duration> {
        self.waits
    }

    /// Saves for a slice of time, if it is time for one. `served` says that there were requests, whose replies go out only
    /// after this; `has_more` that others wait, as far as that is known. To be called once per turn while a snapshot is taken.
    #[cold]
    #[inline(never)]
    pub fn run(&mut self, node: &Node, served: bool, has_more: &mut dyn FnMut() -> bool) {
        let began = Instant::now();
        if self.snapshot.is_none() {
            self.snapshot = node.snapshots.current();
            self.partition = None;
        }
        let Some(snapshot) = self.snapshot.clone() else {
            self.waits = None;
            return;
        };
        if served {
            self.busy_until = Some(began + BUSY_FOR);
        }
        let busy = self.busy_until.is_some_and(|until| began < until);
        let since = self.last.map_or(BUSY_FOR, |last| began - last);
        // A replica that takes its snapshot keeps the worker busy itself: the walk must not wait for it.
        let gives_way = matches!(snapshot.purpose, Purpose::Save | Purpose::LogBase);
        let (pause, grace) =
            if gives_way { (self.pause, GRACE) } else { (SLICE_MIN * PAUSE, Duration::ZERO) };
        let late = busy && since >= pause + grace;
        if busy && !late && (served || since < pause) {
            // What was served is answered before: there is a slice in the first turn in which nobody has asked for anything.
            self.waits = Some(pause.saturating_sub(since));
            return;
        }
        let (busy_before, usage) = (busy_time(), Usage::of_this_thread());
        let slice = match (busy, late) {
            (true, true) => (since / PAUSE).clamp(SLICE_MIN, SLICE_LATE),
            (true, false) => (since / PAUSE).clamp(SLICE_MIN, SLICE_BUSY),
            (false, _) => SLICE_IDLE,
        };
        let mut is_wanted = || gives_way && !late && began.elapsed() >= SLICE_LEAST && has_more();
        self.waits = self.walk(node, &snapshot, began + slice, &mut is_wanted);
        let busy = busy_time().saturating_sub(busy_before);
        snapshot.slices.note(began.elapsed(), busy, Usage::of_this_thread().since(usage));
        if self.waits.is_none() {
            self.snapshot = None;
        }
        let ended = Instant::now();
        self.pause = (ended - began).max(SLICE_LEAST).saturating_mul(PAUSE);
        self.last = Some(ended);
    }

    /// A slice until then, or until the worker is wanted elsewhere.
    fn walk(
        &mut self,
        node: &Node,
        snapshot: &Snapshot,
        until: Instant,
        is_wanted: &mut dyn FnMut() -> bool,
    ) -> Option<Duration> {
        while Instant::now() < until && !is_wanted() {
            if snapshot.state.load(Ordering::Acquire) != WALKING {
                self.partition = None;
                return clean(node, snapshot);
            }
            if snapshot.queue.is_full() {
                return Some(REST);
            }
            let at = match self.partition {
                Some(at) => at,
                None => match snapshot.claimed.fetch_add(1, Ordering::Relaxed) {
                    at if at < snapshot.partitions => at,
                    // The others are still busy with theirs, and it may yet have to be given up.
                    _ => return (snapshot.state() == State::Walking).then_some(REST),
                },
            };
            self.partition = Some(at);
            let mut partition = node.store.lock(node.store.partition_at(at));
            let hold = (Instant::now() + HOLD).min(until);
            let mut go_on = || Instant::now() < hold && !snapshot.queue.is_full() && !is_wanted();
            let mut free = |removed: larder_store::Removed| {
                if removed.is_large(LARGE) {
                    drop_later(removed);
                }
            };
            let done = partition.save_some(&mut go_on, &mut free);
            drop(partition);
            if done {
                self.partition = None;
                if snapshot.finished.fetch_add(1, Ordering::AcqRel) + 1 == snapshot.partitions {
                    snapshot.complete();
                    if snapshot.state.load(Ordering::Acquire) == COMPLETE {
                        node.snapshots.walked(snapshot);
                        return None;
                    }
                }
            }
        }
        Some(Duration::ZERO)
    }
}

/// Ends a snapshot that was given up in one partition.
fn clean(node: &Node, snapshot: &Snapshot) -> Option<Duration> {
    if snapshot.state.load(Ordering::Acquire) == COMPLETE {
        return None;
    }
    let at = snapshot.swept.fetch_add(1, Ordering::Relaxed);
    if at >= snapshot.partitions {
        return None;
    }
    let cleared = node.store.lock(node.store.partition_at(at)).stop_saving(snapshot);
    if !cleared.is_empty() {
        drop_later(cleared);
    }
    if snapshot.cleaned.fetch_add(1, Ordering::AcqRel) + 1 == snapshot.partitions {
        node.snapshots.walked(snapshot);
        return None;
    }
    Some(Duration::ZERO)
}
