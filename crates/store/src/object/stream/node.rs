//! A run of entries in one buffer.
//!
//! An entry is `ms difference with two flags below it, seq, [field count, fields,] values`, with lengths and numbers as
//! varints. An entry with the field names of the node's first one leaves them out. A deleted entry is only marked.

use super::{Entry, Id};

const DELETED: u8 = 1;
const SAME_FIELDS: u8 = 2;
/// Bits of the flags.
const FLAGS: u32 = 2;
/// A node is written anew when so many of its entries are deleted, and they are as many as those that are not.
const MARKED_MIN: u32 = 8;

#[derive(Clone, Debug)]
pub(super) struct Node {
    first: Id,
    last: Id,
    fields: Box<[Box<[u8]>]>,
    entries: Vec<u8>,
    live: u32,
    /// Deleted ones, whether they still take room or not: a node is full after so many entries as it was given.
    deleted: u32,
    /// Deleted ones that still take room.
    marked: u32,
}

fn put_number(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push(n as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Reads the buffer from a place on. What was written is read back, so it never runs over the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn number(&mut self) -> u64 {
        let (mut n, mut shift) = (0, 0);
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 63 {
                break;
            }
        }
        n
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = self.number() as usize;
        let end = self.at.saturating_add(len).min(self.bytes.len());
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        bytes
    }
}

impl Node {
    /// A node for entries of probably so many bytes.
    pub(super) fn new(first: Id, parts: &[&[u8]], bytes: usize) -> Node {
        let fields = parts.iter().step_by(2).map(|&field| field.into()).collect();
        let entries = Vec::with_capacity(bytes);
        Node { first, last: first, fields, entries, live: 0, deleted: 0, marked: 0 }
    }

    /// Bytes that its entries take.
    pub(super) fn entries_bytes(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn first(&self) -> Id {
        self.first
    }

    /// The last id that was added, deleted or not.
    pub(super) fn last(&self) -> Id {
        self.last
    }

    pub(super) fn live(&self) -> usize {
        self.live as usize
    }

    /// Entries that it was given, deleted ones included.
    pub(super) fn written(&self) -> usize {
        (self.live + self.deleted) as usize
    }

    /// True if none of its entries was deleted.
    pub(super) fn is_whole(&self) -> bool {
        self.deleted == 0
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.entries.len() + self.fields.iter().map(|field| field.len()).sum::<usize>()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity()
            + self.fields.iter().map(|field| field.len() + size_of::<Box<[u8]>>()).sum::<usize>()
    }

    /// Gives back room for more entries: none will come.
    pub(super) fn seal(&mut self) {
        self.entries.shrink_to_fit();
    }

    pub(super) fn push(&mut self, id: Id, parts: &[&[u8]]) {
        let fields = parts.iter().step_by(2);
        let same = parts.len() / 2 == self.fields.len() && fields.zip(&self.fields).all(|(a, b)| **a == **b);
        self.put_head(if same { SAME_FIELDS } else { 0 }, id.ms - self.first.ms);
        put_number(&mut self.entries, id.seq);
        if !same {
            put_number(&mut self.entries, parts.len() as u64 / 2);
            parts.iter().step_by(2).for_each(|field| put_bytes(&mut self.entries, field));
        }
        parts.iter().skip(1).step_by(2).for_each(|value| put_bytes(&mut self.entries, value));
        self.last = id;
        self.live += 1;
    }

    /// Writes flags and a difference of milliseconds: as many as there is room for beside the flags in one number, and the
    /// others, which there hardly ever are, in another.
    fn put_head(&mut self, flags: u8, ms: u64) {
        let most = u64::MAX >> FLAGS;
        put_number(&mut self.entries, ms.min(most) << FLAGS | u64::from(flags));
        if ms >= most {
            put_number(&mut self.entries, ms - most);
        }
    }

    /// Reads the beginning of an entry: its flags and id.
    fn head(&self, reader: &mut Reader<'_>) -> (u8, Id) {
        let number = reader.number();
        let mut ms = number >> FLAGS;
        if ms == u64::MAX >> FLAGS {
            ms += reader.number();
        }
        (number as u8 & (DELETED | SAME_FIELDS), Id { ms: self.first.ms + ms, seq: reader.number() })
    }

    /// Reads the rest of an entry.
    fn parts<'a>(&'a self, reader: &mut Reader<'a>, flags: u8) -> Vec<&'a [u8]> {
        if flags & SAME_FIELDS != 0 {
            return self.fields.iter().flat_map(|field| [&**field, reader.bytes()]).collect();
        }
        let count = reader.number();
        let mut parts: Vec<&[u8]> = (0..count).flat_map(|_| [reader.bytes(), &[]]).collect();
        parts.iter_mut().skip(1).step_by(2).for_each(|value| *value = reader.bytes());
        parts
    }

    /// Goes over the rest of an entry.
    fn skip(&self, reader: &mut Reader<'_>, flags: u8) {
        let count = match flags & SAME_FIELDS {
            0 => 2 * reader.number(),
            _ => self.fields.len() as u64,
        };
        (0..count).for_each(|_| {
            reader.bytes();
        });
    }

    /// Visits live entries from `low` to `high` with their place; false when `visit` wants no more or the end is passed.
    fn each<'a>(&'a self, low: Id, high: Id, mut visit: impl FnMut(usize, Entry<'a>) -> bool) -> bool {
        let mut reader = Reader { bytes: &self.entries, at: 0 };
        while reader.at < self.entries.len() {
            let at = reader.at;
            let (flags, id) = self.head(&mut reader);
            if id > high {
                return false;
            }
            if flags & DELETED != 0 || id < low {
                self.skip(&mut reader, flags);
            } else if !visit(at, Entry { id, parts: self.parts(&mut reader, flags) }) {
                return false;
            }
        }
        true
    }

    /// Visits live entries within the bounds; false when `visit` wants no more.
    pub(super) fn forward(&self, low: Id, high: Id, visit: &mut dyn FnMut(Entry<'_>) -> bool) -> bool {
        self.each(low, high, |_, entry| visit(entry))
    }

    /// The same, last entry first.
    pub(super) fn backward(&self, low: Id, high: Id, visit: &mut dyn FnMut(Entry<'_>) -> bool) -> bool {
        let mut found = Vec::new();
        self.each(low, high, |_, entry| {
            found.push(entry);
            true
        });
        found.into_iter().rev().all(visit)
    }

    /// Marks an entry as deleted; false if there is none.
    pub(super) fn mark(&mut self, id: Id) -> bool {
        let mut place = None;
        self.each(id, id, |at, _| {
            place = Some(at);
            false
        });
        let Some(at) = place else { return false };
        self.entries[at] |= DELETED;
        self.live -= 1;
        self.deleted += 1;
        self.marked += 1;
        if self.marked >= self.live.max(MARKED_MIN) {
            self.compact();
        }
        true
    }

    /// Writes the entries anew without those that are deleted.
    fn compact(&mut self) {
        let mut kept = Vec::with_capacity(self.entries.len() / 2);
        let mut reader = Reader { bytes: &self.entries, at: 0 };
        while reader.at < self.entries.len() {
            let from = reader.at;
            let (flags, _) = self.head(&mut reader);
            self.skip(&mut reader, flags);
            if flags & DELETED == 0 {
                kept.extend_from_slice(&self.entries[from..reader.at]);
            }
        }
        kept.shrink_to_fit();
        (self.entries, self.marked) = (kept, 0);
    }
}
