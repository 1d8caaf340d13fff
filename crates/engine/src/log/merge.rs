//! The log thread: segments into one stream.

use super::effects::{ANY_DB, encode_select};
use super::segment::{Audience, Taken};
use super::{Log, lock};
use crate::sync::{self, fence};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes after which what was merged goes to the sinks, though there is more.
const ROUND_BYTES_MAX: usize = 1024 * 1024;
/// How long the log thread sleeps at most: sinks have work that time brings.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Points whose offsets are remembered.
const POINTS_MAX: usize = 64;

/// What a marked point is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A replica is sent the snapshot: the stream selects its database anew after it.
    Replica,
    /// The append-only file is written anew: what comes after the point goes to another file.
    File,
}

/// Where the part of the stream goes that is for the append-only file.
pub trait Sink {
    /// Takes bytes: whole records, the last of which has this number.
    fn write(&mut self, bytes: &[u8], number: u64);
    /// All records up to a cut have been written: the next ones go to another file.
    fn rotate(&mut self, number: u64);
    /// The stream for replicas has grown.
    fn streamed(&mut self) {}
    /// Does what time brings; called after each round, and when there was nothing for a while.
    fn tick(&mut self);
}

/// Points that were marked: those that are still ahead, and the offsets of the last that were reached.
#[derive(Debug, Default)]
pub(super) struct Points {
    ahead: VecDeque<(u64, Cut)>,
    reached: VecDeque<(u64, u64)>,
}

impl Points {
    pub(super) fn add(&mut self, number: u64, cut: Cut) {
        self.ahead.push_back((number, cut));
    }

    pub(super) fn offset_of(&self, number: u64) -> Option<u64> {
        self.reached.iter().rev().find(|(at, _)| *at == number).map(|(_, offset)| *offset)
    }

    fn next(&self) -> Option<u64> {
        self.ahead.front().map(|(number, _)| *number)
    }

    fn reach(&mut self, offset: u64) -> Option<(u64, Cut)> {
        let (number, cut) = self.ahead.pop_front()?;
        if self.reached.len() == POINTS_MAX {
            self.reached.pop_front();
        }
        self.reached.push_back((number, offset));
        Some((number, cut))
    }
}

/// One of the two forms of the stream while a round is put together.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// The database that whoever reads it is in.
    db: Option<u16>,
}

impl Output {
    fn add(&mut self, first_db: u16, last_db: u16, bytes: &[u8]) {
        if first_db != ANY_DB {
            if self.db != Some(first_db) {
                encode_select(&mut self.bytes, first_db);
            }
            self.db = Some(last_db);
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > 2 * ROUND_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

/// The state of the log thread.
struct Merger {
    taken: Vec<Taken>,
    /// The number of the next record.
    next: u64,
    /// The worker whose record was the last: its next one is probably the next.
    likely: usize,
    file: Output,
    stream: Output,
    /// So far the file gets in this round what the stream gets: it is put together once, as the stream.
    joint: bool,
    /// Bytes of records since the last round.
    read: usize,
}

pub(super) fn run(log: &Log, sink: &mut dyn Sink) {
    let mut merger = Merger {
        taken: (0..log.desks.len()).map(|_| Taken::default()).collect(),
        next: 1,
        likely: 0,
        file: Output::default(),
        stream: Output::default(),
        joint: false,
        read: 0,
    };
    loop {
        let closing = log.closing.load(Ordering::Acquire);
        merger.collect(log);
        while merger.round(log, sink) {}
        sink.tick();
        if merger.next <= log.number() {
            continue; // more came meanwhile
        }
        if closing {
            return;
        }
        log.idle.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst); // either we see what was logged, or who logged it sees that we sleep
        let marked = lock(&log.points).next().is_some();
        if merger.next > log.number() && !marked && !log.closing.load(Ordering::Acquire) {
            log.sleeper.sleep(SLEEP_MAX);
        }
        log.idle.store(false, Ordering::Relaxed);
    }
}

impl Merger {
    fn collect(&mut self, log: &Log) {
        for (taken, desk) in self.taken.iter_mut().zip(&log.desks) {
            let mut segment = sync::lock(&desk.segment);
            log.head.taken.fetch_add(segment.len(), Ordering::Relaxed);
            desk.bytes.store(0, Ordering::Relaxed);
            taken.take(&mut segment);
        }
    }

    /// Puts records together up to a bound or a cut and gives them to the sinks; false if there was nothing to do.
    fn round(&mut self, log: &Log, sink: &mut dyn Sink) -> bool {
        let (filed, replicated) = (log.filed.load(Ordering::Acquire), log.replicated.load(Ordering::Acquire));
        let cut = lock(&log.points).next();
        let last = cut.unwrap_or(u64::MAX);
        let before = self.next;
        self.joint = filed && replicated && self.file.db == self.stream.db;
        while self.next <= last && self.read < ROUND_BYTES_MAX && self.read_next(last, filed, replicated) {}
        if self.next > before {
            self.give(log, sink);
        }
        if cut.is_some_and(|cut| self.next == cut + 1) {
            self.reach(log, sink);
            return true;
        }
        self.next > before
    }

    fn read_next(&mut self, last: u64, filed: bool, replicated: bool) -> bool {
        let workers = self.taken.len();
        let bytes_max = ROUND_BYTES_MAX - self.read;
        for step in 0..workers {
            let at = (self.likely + step) % workers;
            let Merger { taken, next, file, stream, joint, read, .. } = self;
            let found = taken[at].read(*next, last, bytes_max, |record, bytes| {
                *read += bytes.len();
                if *joint && record.audience != Audience::All {
                    file.bytes.extend_from_slice(&stream.bytes);
                    (file.db, *joint) = (stream.db, false);
                }
                if filed && !*joint && record.audience != Audience::Replicas {
                    file.add(record.first_db, record.last_db, bytes);
                }
                if replicated && record.audience != Audience::File {
                    stream.add(record.first_db, record.last_db, bytes);
                }
            });
            if found > 0 {
                (self.likely, self.next) = (at, self.next + found);
                return true;
            }
        }
        false
    }

    fn give(&mut self, log: &Log, sink: &mut dyn Sink) {
        if !self.stream.bytes.is_empty() {
            lock(&log.backlog).push(&self.stream.bytes);
            log.grown.notify_all();
        }
        let file = if self.joint { &self.stream.bytes } else { &self.file.bytes };
        if !file.is_empty() {
            sink.write(file, self.next - 1);
        }
        if self.joint {
            self.file.db = self.stream.db;
        }
        let streamed = !self.stream.bytes.is_empty();
        self.stream.clear();
        self.file.clear();
        log.head.taken.fetch_sub(std::mem::take(&mut self.read), Ordering::Relaxed);
        log.merged.store(self.next - 1, Ordering::Release);
        if streamed {
            sink.streamed();
        }
    }

    fn reach(&mut self, log: &Log, sink: &mut dyn Sink) {
        let backlog = lock(&log.backlog);
        let reached = lock(&log.points).reach(backlog.end());
        drop(backlog);
        log.grown.notify_all();
        match reached {
            Some((_, Cut::Replica)) => self.stream.db = None,
            Some((number, Cut::File)) => {
                self.file.db = None;
                sink.rotate(number);
            }
            None => {}
        }
    }
}
