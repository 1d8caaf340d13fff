//! What a worker has logged and the log thread has not taken yet.
//!
//! Invariant: a sequence number is taken and its record added while the segment is locked. So whoever holds the lock
//! of a segment knows that every number taken for it is in it, and a gap between two segments is filled by looking
//! once more.

use std::collections::VecDeque;

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
}

/// A buffer that grew beyond this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

impl Segment {
    /// Makes it ready for use again.
    fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
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
        if !from.records.is_empty() {
            self.segments.push_back(std::mem::replace(from, std::mem::take(&mut self.spare)));
        }
    }

    /// The number of the next record.
    #[inline]
    pub(super) fn next_number(&self) -> Option<u64> {
        Some(self.segments.front()?.records[self.record].number)
    }

    /// Reads the next record if it has this number.
    pub(super) fn read(&mut self, number: u64, visit: impl FnOnce(Record, &[u8])) -> bool {
        if self.next_number() != Some(number) {
            return false;
        }
        let Some(segment) = self.segments.front() else { return false };
        let record = segment.records[self.record];
        visit(record, &segment.bytes[self.start..record.end]);
        (self.record, self.start) = (self.record + 1, record.end);
        if self.record == segment.records.len() {
            (self.record, self.start) = (0, 0);
            if let Some(mut done) = self.segments.pop_front() {
                done.clear();
                self.spare = done;
            }
        }
        true
    }
}
