//! The log: one order of all writes of a node, for the append-only file and for replicas.
//!
//! A command that changed something takes the next sequence number while it still holds the partitions of its keys, and
//! adds its effects ([`effects`]) in RESP to the segment of a worker ([`segment`]). So commands that touch the same key
//! have the order of their numbers, and all workers encode at the same time. One thread ([`merge`]) takes the segments,
//! puts the records in the order of their numbers into one stream, and gives it to the sinks: the append-only file
//! ([`aof`]) and the backlog that replicas are sent from ([`backlog`]). Nobody else knows of segments.
//!
//! While neither sink is on, nothing happens here: commands find out with the same look at [`Node::wanted`] that tells
//! them whether anybody wants to hear of events.
//!
//! What replication needs:
//! - [`Log::set_replicated`] turns the backlog on; [`Log::read`] gives blocks of the stream from an offset on, and
//!   [`Log::wait_beyond`] waits for more. The first block that a reader gets after [`Log::cut`] begins with SELECT.
//! - [`Log::cut`] is called with all partitions held, and marks a point: what was logged before it is in the snapshot
//!   that is being made, what is logged after it is not. [`Log::offset_of`] is the offset of that point in the stream,
//!   as soon as the log thread has come to it.
//! - [`Log::follow`] says that the node is a replica: its own effects go to its file only, and what its primary sends
//!   comes by [`Log::append_raw`] with the primary's offsets.
//! - [`Log::tell_replicas`] adds what is for replicas only: PUBLISH, PING, REPLCONF GETACK.
//!
//! - [`Applier`] executes commands of another node, or of a file, as they are.
//!
//! The ids of the history live with replication; the offset lives here.
//!
//! [`Node::wanted`]: crate::node::Node::wanted

pub mod aof;
mod apply;
mod backlog;
pub mod effects;
pub mod merge;
mod segment;
pub mod spool;

pub use apply::{Applier, Source};
pub use backlog::Backlog;
pub use effects::Effects;
pub use merge::Cut;
pub use spool::Block;

use crate::sync::{self, Sleeper, fence};
use aof::Aof;
use crossbeam_utils::CachePadded;
use effects::{ANY_DB, encode};
use larder_protocol::resp::args::Args;
use merge::{Points, Sink};
use segment::{Audience, Record, Segment};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that wait for the log thread beyond which workers execute nothing more until it has caught up.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What all writers share: on a cache line of its own, because each record changes it.
#[derive(Debug, Default)]
struct Head {
    /// The last sequence number that was given out.
    number: sync::AtomicU64,
    /// Bytes that the log thread has taken and not given to the sinks yet.
    taken: sync::AtomicUsize,
}

/// What a worker logs, until the log thread takes it.
#[derive(Debug, Default)]
struct Desk {
    segment: sync::Mutex<Segment>,
    /// Bytes in the segment, for a look without the lock: stored by whoever has it.
    bytes: sync::AtomicUsize,
}

/// See the module.
#[derive(Debug)]
pub struct Log {
    head: CachePadded<Head>,
    desks: Vec<CachePadded<Desk>>,
    /// The append-only file is on.
    filed: AtomicBool,
    /// Replicas, or the backlog for them, are on.
    replicated: AtomicBool,
    /// The node is a replica.
    following: AtomicBool,
    /// The last sequence number that has reached the sinks.
    merged: AtomicU64,
    backlog: Mutex<Backlog>,
    /// Told when the backlog has grown, or a cut has been reached.
    grown: Condvar,
    points: Mutex<Points>,
    /// The log thread sleeps until it is woken.
    idle: sync::AtomicBool,
    sleeper: Sleeper,
    closing: sync::AtomicBool,
    /// What is known of the append-only file.
    pub aof: Aof,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// The log of a node with this many workers and a backlog of so many bytes.
    pub fn new(workers: usize, backlog_bytes: usize) -> Log {
        Log {
            head: CachePadded::default(),
            desks: (0..workers.max(1)).map(|_| CachePadded::default()).collect(),
            filed: AtomicBool::new(false),
            replicated: AtomicBool::new(false),
            following: AtomicBool::new(false),
            merged: AtomicU64::new(0),
            backlog: Mutex::new(Backlog::new(0, backlog_bytes)),
            grown: Condvar::new(),
            points: Mutex::default(),
            idle: sync::AtomicBool::new(false),
            sleeper: Sleeper::default(),
            closing: sync::AtomicBool::new(false),
            aof: Aof::default(),
        }
    }

    /// True while anybody wants to know what is written.
    pub fn is_on(&self) -> bool {
        self.filed.load(Ordering::Relaxed) || self.replicated.load(Ordering::Relaxed)
    }

    /// Turns the backlog on or off. The node has to look again at what is wanted; so that nothing is missed, all
    /// partitions are held meanwhile, or nothing runs yet.
    pub fn set_replicated(&self, on: bool) {
        self.replicated.store(on, Ordering::Release);
    }

    /// True while the backlog is on.
    #[inline]
    pub fn is_replicated(&self) -> bool {
        self.replicated.load(Ordering::Relaxed)
    }

    /// The same for the append-only file.
    pub fn set_filed(&self, on: bool) {
        self.filed.store(on, Ordering::Release);
    }

    /// True while the append-only file is on.
    pub fn is_filed(&self) -> bool {
        self.filed.load(Ordering::Relaxed)
    }

    /// Logs a command as it came. The partitions of its keys are held. Answers its sequence number.
    #[inline]
    pub fn append_command(&self, worker: usize, db: u16, args: &Args<'_>) -> u64 {
        let audience = self.audience();
        self.record(worker, (db, db), audience, |bytes| encode(bytes, args.iter()))
    }

    /// Logs effects as one step. The partitions that they change are held. Answers the sequence number.
    pub fn append(&self, worker: usize, effects: &Effects) -> u64 {
        let audience = self.audience();
        self.record(worker, effects.databases(), audience, |bytes| effects.write(bytes))
    }

    /// The same; what is long is not copied.
    pub fn append_owned(&self, worker: usize, mut effects: Effects) -> u64 {
        match effects.take_large() {
            None => self.append(worker, &effects),
            Some(bytes) => self.record_apart(worker, effects.databases(), bytes),
        }
    }

    #[cold]
    fn record_apart(&self, worker: usize, (first_db, last_db): (u16, u16), bytes: Vec<u8>) -> u64 {
        let audience = self.audience();
        let desk = &*self.desks[worker % self.desks.len()];
        let mut segment = sync::lock(&desk.segment);
        let end = bytes.len();
        let number = self.next_number();
        segment.add_apart(bytes, Record { number, end, first_db, last_db, audience });
        desk.bytes.store(segment.len(), Ordering::Relaxed);
        number
    }

    /// Takes the next sequence number. A segment is locked.
    #[inline]
    fn next_number(&self) -> u64 {
        let head = &self.head.number;
        match self.desks.len() {
            // Whoever logs holds this one lock: nobody else counts.
            1 => {
                let number = head.load(Ordering::Relaxed) + 1;
                head.store(number, Ordering::Relaxed);
                number
            }
            _ => head.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// Adds a command to what replicas are sent, which changes no key: it is not in the file.
    pub fn tell_replicas<'a>(&self, worker: usize, args: impl ExactSizeIterator<Item = &'a [u8]> + Clone) {
        if self.replicated.load(Ordering::Relaxed) && !self.following.load(Ordering::Relaxed) {
            self.record(worker, (ANY_DB, ANY_DB), Audience::Replicas, |bytes| encode(bytes, args));
        }
    }

    fn audience(&self) -> Audience {
        if self.following.load(Ordering::Relaxed) { Audience::File } else { Audience::All }
    }

    #[inline]
    fn record(
        &self,
        worker: usize,
        (first_db, last_db): (u16, u16),
        audience: Audience,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> u64 {
        let desk = &*self.desks[worker % self.desks.len()];
        let mut segment = sync::lock(&desk.segment);
        write(&mut segment.bytes);
        let end = segment.bytes.len();
        desk.bytes.store(segment.len(), Ordering::Relaxed);
        let number = self.next_number();
        segment.records.push(Record { number, end, first_db, last_db, audience });
        number
    }

    /// Sees to it that the log thread takes what was logged. Called by each worker at the end of its turn, and before
    /// it waits.
    #[inline]
    pub fn hand_over(&self) {
        if self.head.number.load(Ordering::Relaxed) > self.merged.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// True when the log thread has fallen behind: workers execute nothing until it has caught up.
    #[inline]
    pub fn is_behind(&self) -> bool {
        let unwritten = self.aof.unwritten.load(Ordering::Relaxed) as usize;
        self.waiting_bytes() + unwritten > WAITING_BYTES_MAX
    }

    /// Bytes that wait for the log thread.
    pub fn waiting_bytes(&self) -> usize {
        let untaken: usize = self.desks.iter().map(|desk| desk.bytes.load(Ordering::Relaxed)).sum();
        untaken + self.head.taken.load(Ordering::Relaxed)
    }

    /// Wakes the log thread, if it sleeps.
    fn wake(&self) {
        fence(Ordering::SeqCst); // either we see that it sleeps, or it sees what we did
        if self.idle.load(Ordering::Relaxed) {
            self.sleeper.wake();
        }
    }

    /// True while replies to who wrote wait for the disk.
    #[inline]
    pub fn is_strict(&self) -> bool {
        self.aof.strict.load(Ordering::Relaxed)
    }

    /// True if what has this sequence number is on disk as far as that is asked for.
    #[inline]
    pub fn may_be_answered(&self, number: u64) -> bool {
        !self.is_strict() || self.aof.durable.load(Ordering::Acquire) >= number
    }

    /// The last sequence number that was given out: final while all partitions are held.
    pub fn number(&self) -> u64 {
        self.head.number.load(Ordering::Acquire)
    }

    /// The last sequence number that has reached the sinks.
    pub fn merged(&self) -> u64 {
        self.merged.load(Ordering::Acquire)
    }

    /// Marks a point. Called with all partitions held, so that what is in the keyspace is what was logged before it.
    pub fn cut(&self, cut: Cut) -> u64 {
        let number = self.number();
        lock(&self.points).add(number, cut);
        number
    }

    /// The offset in the stream of a point that [`Log::cut`] marked; `None` until the log thread has come to it.
    pub fn offset_of(&self, number: u64) -> Option<u64> {
        lock(&self.points).offset_of(number)
    }

    /// Waits until the log thread has come to a point; `None` if it does not in time.
    pub fn wait_for_point(&self, number: u64, patience: Duration) -> Option<u64> {
        let until = Instant::now() + patience;
        self.wake();
        let mut backlog = lock(&self.backlog);
        loop {
            if let Some(offset) = self.offset_of(number) {
                return Some(offset);
            }
            backlog = self.wait(backlog, until)?;
        }
    }

    /// The offset of the next byte of the stream.
    pub fn offset(&self) -> u64 {
        lock(&self.backlog).end()
    }

    /// Bytes of the stream from an offset on; see [`Backlog::read`].
    pub fn read(&self, offset: u64) -> Option<Vec<Block>> {
        lock(&self.backlog).read(offset)
    }

    /// Looks at the backlog, or changes its size or, when a history begins or is taken over, its offset.
    pub fn with_backlog<T>(&self, look: impl FnOnce(&mut Backlog) -> T) -> T {
        look(&mut lock(&self.backlog))
    }

    /// Waits until there is more of the stream than up to this offset; false if there is not in time.
    pub fn wait_beyond(&self, offset: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut backlog = lock(&self.backlog);
        while backlog.end() <= offset {
            match self.wait(backlog, until) {
                Some(woken) => backlog = woken,
                None => return false,
            }
        }
        true
    }

    fn wait<'a>(&self, backlog: MutexGuard<'a, Backlog>, until: Instant) -> Option<MutexGuard<'a, Backlog>> {
        let left = until.checked_duration_since(Instant::now())?;
        let (backlog, _) = self.grown.wait_timeout(backlog, left).unwrap_or_else(PoisonError::into_inner);
        Some(backlog)
    }

    /// Says whether the node is a replica. All partitions are held: the effects of what runs later go to the file
    /// only, those of what ran before went to the stream as well.
    pub fn follow(&self, following: bool) {
        self.following.store(following, Ordering::Release);
    }

    /// Adds bytes as they came from the primary. Only while the node follows.
    pub fn append_raw(&self, bytes: &[u8]) {
        lock(&self.backlog).push(bytes);
        self.grown.notify_all();
    }

    /// The work of the log thread, until [`Log::close`]. `sink` is told what is for the file.
    pub fn run(&self, sink: &mut dyn Sink) {
        self.sleeper.claim();
        merge::run(self, sink);
    }

    /// Ends the log thread, once it has written everything. Workers have ended.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.sleeper.wake();
    }
}

#[cfg(all(test, feature = "loom"))]
mod model;
#[cfg(all(test, not(feature = "loom")))]
mod tests;
