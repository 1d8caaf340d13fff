//! What a worker has logged and the log thread has not taken yet.
//!
//! Invariant: a sequence number is taken and its record added while the segment is locked. So whoever holds the lock
//! of a segment knows that every number taken for it is in it, and a gap between two segments is filled by looking
//! once more.

use std::collections::VecDeque;
use std::mem;

/// Who is told of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// The file and the replicas.
    All,
    /// The file: the node is a replica itself, and hands on what its primary sends.
    File,
    /// The replicas: it changes no key.
    Replicas,
}

/// A step in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    /// Where its bytes end.
    pub(super) end: usize,
    pub(super) first_db: u16,
    pub(super) last_db: u16,
    pub(super) audience: Audience,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<Record>,
    /// Those that came before: a long step has one of its own.
    full: Vec<Segment>,
    full_bytes: usize,
    /// How often in a row far less was in it than it holds.
    sparse: u32,
}

/// A buffer that grew beyond this is given back once it is empty. A log thread that shares a busy worker's core comes to a
/// segment every few milliseconds only, and fresh memory costs more than what is written to it.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// One beyond this is given back after so many uses in a row that needed less than an eighth of it.
const SPARSE_BYTES: usize = 256 * 1024;
const SPARSE_USES_MAX: u32 = 64;

impl Segment {
    /// Bytes of all that was logged.
    pub(super) fn len(&self) -> usize {
        self.full_bytes + self.bytes.len()
    }

    /// Adds a step whose bytes are these and nobody else's. They are not copied.
    pub(super) fn add_apart(&mut self, bytes: Vec<u8>, record: Record) {
        self.full_bytes += self.bytes.len() + bytes.len();
        if !self.records.is_empty() {
            let (bytes, records) = (mem::take(&mut self.bytes), mem::take(&mut self.records));
            self.full.push(Segment { bytes, records, ..Segment::default() });
        }
        self.full.push(Segment { bytes, records: vec![record], ..Segment::default() });
    }

    /// Makes it ready for use again.
    fn clear(&mut self) {
        let (used, holds) = (self.bytes.len(), self.bytes.capacity());
        self.sparse = if holds > SPARSE_BYTES && used < holds / 8 { self.sparse + 1 } else { 0 };
        self.records.clear();
        self.bytes.clear();
        if holds > KEPT_BYTES_MAX || self.sparse > SPARSE_USES_MAX {
            *self = Segment::default();
        }
    }
}

/// Segments of one worker that the log thread took, in order, and how far it has read them.
#[derive(Debug, Default)]
pub(super) struct Taken {
    segments: VecDeque<Segment>,
    record: usize,
    start: usize,
    spare: Segment,
}

impl Taken {
    /// Takes what is in a segment, leaving room for more.
    pub(super) fn take(&mut self, from: &mut Segment) {
        self.segments.extend(mem::take(&mut from.full));
        from.full_bytes = 0;
        if !from.records.is_empty() {
            self.segments.push_back(mem::replace(from, mem::take(&mut self.spare)));
        }
    }

    /// Reads the record with this number, and those that follow it in order and are like it (the same database, the same
    /// audience), up to the number `last` and about so many bytes. Answers how many: none if the next is another.
    pub(super) fn read(
        &mut self,
        number: u64,
        last: u64,
        bytes_max: usize,
        visit: impl FnOnce(Record, &[u8]),
    ) -> u64 {
        let Some(segment) = self.segments.front() else { return 0 };
        let first = segment.records[self.record];
        if first.number != number {
            return 0;
        }
        let (mut end, mut count) = (first.end, 1);
        if first.first_db == first.last_db {
            for next in &segment.records[self.record + 1..] {
                let alike = next.number == number + count
                    && next.number <= last
                    && (next.first_db, next.last_db) == (first.first_db, first.last_db)
                    && next.audience == first.audience;
                if !alike || end - self.start >= bytes_max {
                    break;
                }
                (end, count) = (next.end, count + 1);
            }
        }
        visit(first, &segment.bytes[self.start..end]);
        (self.record, self.start) = (self.record + count as usize, end);
        if self.record == segment.records.len() {
            (self.record, self.start) = (0, 0);
            if let Some(mut done) = self.segments.pop_front() {
                done.clear();
                self.spare = done;
            }
        }
        count
    }
}
