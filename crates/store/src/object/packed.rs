//! A packed sequence of small values in one allocation.
//!
//! An entry is `[head][data][length of both]`. The trailing length is written so that it can be read from its last
//! byte towards the front, so the sequence can be walked from both ends, and since no entry knows anything about its
//! neighbours, an edit never changes more than the entry itself. Values that are canonical decimal integers are
//! stored as integers of 1 to 9 bytes. The entries are those of the listpack format that the Redis documentation
//! describes, without its 6-byte frame and end mark.
//!
//! Positions are byte offsets of entries; an edit makes all positions behind it invalid. This file owns the bytes
//! and knows nothing about what they mean to a hash, list, set or sorted set.

mod adopt;

pub use adopt::Adopted;

use crate::compact::Mover;
use std::cmp::Ordering;

/// A value as it is stored: either bytes or an integer that stands for its decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element<'a> {
    /// Bytes that are not a canonical 64-bit decimal integer (inside a packed sequence).
    Bytes(&'a [u8]),
    /// A canonical decimal integer.
    Int(i64),
}

/// Room for the digits of an integer element.
pub type Digits = itoa::Buffer;

impl<'a> Element<'a> {
    /// Classifies bytes: a canonical decimal integer becomes [`Element::Int`].
    pub fn parse(bytes: &'a [u8]) -> Self {
        match parse_canonical(bytes) {
            Some(value) => Element::Int(value),
            None => Element::Bytes(bytes),
        }
    }

    /// The element as bytes; an integer is written to `digits` first.
    pub fn bytes<'b>(&'b self, digits: &'b mut Digits) -> &'b [u8] {
        match self {
            Element::Bytes(bytes) => bytes,
            Element::Int(value) => digits.format(*value).as_bytes(),
        }
    }

    /// An owned copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes(&mut Digits::new()).to_vec()
    }

    /// Length in bytes of what [`Element::bytes`] gives.
    pub fn len(&self) -> usize {
        match self {
            Element::Bytes(bytes) => bytes.len(),
            Element::Int(value) => decimal_len(*value),
        }
    }

    /// True for the empty string.
    pub fn is_empty(&self) -> bool {
        matches!(self, Element::Bytes([]))
    }

    /// True if both stand for the same bytes, however they are stored.
    pub fn same(&self, other: &[u8]) -> bool {
        self.bytes(&mut Digits::new()) == other
    }

    /// Orders by bytes, as `memcmp` does and then by length.
    pub fn order(&self, other: &Element<'_>) -> Ordering {
        self.bytes(&mut Digits::new()).cmp(other.bytes(&mut Digits::new()))
    }
}

fn decimal_len(value: i64) -> usize {
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log as usize + 1);
    digits + usize::from(value < 0)
}

/// The integer that `bytes` are the canonical decimal form of, if they are: no sign but '-', no leading zeros.
pub fn parse_canonical(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: u64 = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit); // 19 digits always fit in 64 bits
    }
    match negative {
        false => i64::try_from(value).ok(),
        true if value <= i64::MIN.unsigned_abs() => Some((value as i64).wrapping_neg()),
        true => None,
    }
}

/// Largest head: a string's marker and its four length bytes, or a marker and eight bytes of integer.
const HEAD_MAX: usize = 9;
/// Largest trailing length: five groups of seven bits.
const TAIL_MAX: usize = 5;

/// Longest string with a head of one byte, and so with a tail of one.
const SHORT_MAX: usize = 0x3f;
/// The head of such a string, without its length.
const SHORT: u8 = 0x80;

/// Marker bytes of the wide encodings.
const STRING_32: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;

/// The packed sequence.
///
/// Free bytes may lie in front of the entries as well as behind them, so that a queue grows and shrinks at either end
/// without moving what is between.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    /// Entries, after `free` bytes that mean nothing.
    bytes: Vec<u8>,
    free: u32,
    count: u32,
}

/// A few bytes on the stack.
struct Small<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Small<N> {
    fn new(parts: &[&[u8]]) -> Self {
        let mut small = Small { bytes: [0; N], len: 0 };
        for part in parts {
            small.bytes[small.len..small.len + part.len()].copy_from_slice(part);
            small.len += part.len();
        }
        small
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Head of an entry; for integers it is the whole entry but for the tail.
fn head_of(element: &Element<'_>) -> Small<HEAD_MAX> {
    match *element {
        Element::Int(value) => int_head(value),
        Element::Bytes(bytes) => match bytes.len() {
            len @ 0..=SHORT_MAX => Small::new(&[&[SHORT | len as u8]]),
            len @ 0x40..=0xfff => Small::new(&[&[0xe0 | (len >> 8) as u8, len as u8]]),
            len => Small::new(&[&[STRING_32], &(len as u32).to_le_bytes()]),
        },
    }
}

fn int_head(value: i64) -> Small<HEAD_MAX> {
    let wide = value.to_le_bytes();
    match value {
        0..=0x7f => Small::new(&[&[value as u8]]),
        -0x1000..=0xfff => {
            let bits = (value as u16) & 0x1fff;
            Small::new(&[&[0xc0 | (bits >> 8) as u8, bits as u8]])
        }
        -0x8000..=0x7fff => Small::new(&[&[INT_16], &wide[..2]]),
        -0x80_0000..=0x7f_ffff => Small::new(&[&[INT_24], &wide[..3]]),
        -0x8000_0000..=0x7fff_ffff => Small::new(&[&[INT_32], &wide[..4]]),
        _ => Small::new(&[&[INT_64], &wide]),
    }
}

/// The trailing length: seven bits a byte, most significant first; all bytes but the first carry the high bit.
fn tail_of(len: usize) -> Small<TAIL_MAX> {
    let mut reversed = [0; TAIL_MAX];
    let (mut used, mut rest) = (0, len);
    loop {
        reversed[TAIL_MAX - 1 - used] = (rest & 0x7f) as u8 | 0x80;
        used += 1;
        rest >>= 7;
        if rest == 0 {
            break;
        }
    }
    reversed[TAIL_MAX - used] &= 0x7f;
    Small::new(&[&reversed[TAIL_MAX - used..]])
}

fn tail_len(len: usize) -> usize {
    match len {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        _ => 5,
    }
}

/// Sign-extends the `bits` low bits of `value`.
fn sign_extend(value: u64, bits: u32) -> i64 {
    ((value << (64 - bits)) as i64) >> (64 - bits)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Bytes that an element takes in a packed sequence.
#[inline]
pub fn packed_len(element: &Element<'_>) -> usize {
    let body = match element {
        Element::Bytes(bytes) if bytes.len() <= SHORT_MAX => return bytes.len() + 2,
        Element::Bytes(bytes) => head_of(element).len + bytes.len(),
        Element::Int(_) => head_of(element).len,
    };
    body + tail_len(body)
}

/// Decodes the entry at the front of `bytes`: the element and the length of head and data. Strings come first: of them
/// there are most.
#[inline]
fn decode(bytes: &[u8]) -> (Element<'_>, usize) {
    match bytes[0] {
        short @ 0x80..=0xbf => {
            let end = 1 + usize::from(short & 0x3f);
            (Element::Bytes(&bytes[1..end]), end)
        }
        high @ 0xe0..=0xef => {
            let end = 2 + (usize::from(high & 0x0f) << 8 | usize::from(bytes[1]));
            (Element::Bytes(&bytes[2..end]), end)
        }
        STRING_32 => {
            let end = 5 + little_endian(&bytes[1..5]) as usize;
            (Element::Bytes(&bytes[5..end]), end)
        }
        _ => decode_int(bytes),
    }
}

fn decode_int(bytes: &[u8]) -> (Element<'_>, usize) {
    let int = |width: usize| {
        let value = little_endian(&bytes[1..1 + width]);
        (Element::Int(sign_extend(value, width as u32 * 8)), 1 + width)
    };
    match bytes[0] {
        small @ 0..=0x7f => (Element::Int(i64::from(small)), 1),
        high @ 0xc0..=0xdf => {
            let bits = u64::from(high & 0x1f) << 8 | u64::from(bytes[1]);
            (Element::Int(sign_extend(bits, 13)), 2)
        }
        INT_16 => int(2),
        INT_24 => int(3),
        INT_32 => int(4),
        _ => int(8),
    }
}

/// Length of the whole entry at the front of `bytes`.
#[inline]
fn entry_len(bytes: &[u8]) -> usize {
    let body = match bytes[0] {
        0..=0x7f => 1,
        short @ 0x80..=0xbf => 1 + usize::from(short & 0x3f),
        0xc0..=0xdf => 2,
        high @ 0xe0..=0xef => 2 + (usize::from(high & 0x0f) << 8 | usize::from(bytes[1])),
        STRING_32 => 5 + little_endian(&bytes[1..5]) as usize,
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        _ => 9,
    };
    body + tail_len(body)
}

impl Packed {
    /// An empty sequence; allocates nothing.
    pub const fn new() -> Self {
        Packed { bytes: Vec::new(), free: 0, count: 0 }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes used by the entries.
    pub fn byte_len(&self) -> usize {
        self.bytes.len() - self.free as usize
    }

    #[inline]
    fn entries(&self) -> &[u8] {
        &self.bytes[self.free as usize..]
    }

    /// Takes another block of memory if this one lies badly.
    pub(super) fn compact(&mut self, mover: &mut Mover<'_>) {
        mover.renew(&mut self.bytes);
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Position behind the last entry: where [`Packed::insert`] appends.
    pub fn end(&self) -> usize {
        self.byte_len()
    }

    /// Position of the first entry.
    pub fn first(&self) -> Option<usize> {
        (!self.is_empty()).then_some(0)
    }

    /// Position of the last entry.
    pub fn last(&self) -> Option<usize> {
        self.before(self.end())
    }

    /// Position of the entry behind the one at `at`.
    #[inline]
    pub fn after(&self, at: usize) -> Option<usize> {
        let next = at + entry_len(&self.entries()[at..]);
        (next < self.end()).then_some(next)
    }

    /// Position of the entry in front of `at` (an entry's position, or the end).
    #[inline]
    pub fn before(&self, at: usize) -> Option<usize> {
        if at == 0 {
            return None;
        }
        let entries = self.entries();
        let (mut body, mut shift, mut cursor) = (0usize, 0, at);
        loop {
            cursor -= 1;
            let byte = entries[cursor];
            body |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(cursor - body);
            }
        }
    }

    /// The element at a position.
    #[inline]
    pub fn get(&self, at: usize) -> Element<'_> {
        decode(&self.entries()[at..]).0
    }

    /// Position of the entry number `index` (from 0). Walks from the nearer end.
    pub fn seek(&self, index: usize) -> Option<usize> {
        let count = self.len();
        if index >= count {
            return None;
        }
        if index <= count / 2 {
            return (0..index).try_fold(0, |at, _| self.after(at));
        }
        (index..count).try_fold(self.end(), |at, _| self.before(at))
    }

    /// Inserts in front of the entry at `at` (or at [`Packed::end`]).
    pub fn insert(&mut self, at: usize, element: &Element<'_>) {
        if let Element::Bytes(bytes) = element
            && bytes.len() <= SHORT_MAX
        {
            return self.insert_short(at, bytes);
        }
        let head = head_of(element);
        let data = match element {
            Element::Bytes(bytes) => *bytes,
            Element::Int(_) => &[],
        };
        let tail = tail_of(head.len + data.len());
        self.open_gap(at, head.len + data.len() + tail.len);
        let mut cursor = self.free as usize + at;
        for part in [head.as_slice(), data, tail.as_slice()] {
            self.bytes[cursor..cursor + part.len()].copy_from_slice(part);
            cursor += part.len();
        }
        self.count += 1;
    }

    /// The same for a string whose head and tail are a byte each, as most are.
    #[inline]
    fn insert_short(&mut self, at: usize, bytes: &[u8]) {
        let len = bytes.len();
        self.open_gap(at, len + 2);
        let start = self.free as usize + at;
        if let Some([head, data @ .., tail]) = self.bytes.get_mut(start..start + len + 2) {
            *head = SHORT | len as u8;
            data.copy_from_slice(bytes);
            *tail = len as u8 + 1;
        }
        self.count += 1;
    }

    /// Appends; bytes that are a canonical integer are stored as one.
    pub fn push(&mut self, bytes: &[u8]) {
        self.insert(self.end(), &Element::parse(bytes));
    }

    /// Puts `element` in the place of the entry at `at`.
    pub fn replace(&mut self, at: usize, element: &Element<'_>) {
        self.remove(at);
        self.insert(at, element);
    }

    /// Removes the entry at `at`; the entry that followed it is at `at` now.
    pub fn remove(&mut self, at: usize) {
        self.remove_range(at, 1);
    }

    /// Removes up to `count` entries from position `at` on; tells how many there were.
    pub fn remove_range(&mut self, at: usize, count: usize) -> usize {
        let (mut end, mut removed) = (at, 0);
        let entries = self.entries();
        while removed < count && end < entries.len() {
            end += entry_len(&entries[end..]);
            removed += 1;
        }
        let free = self.free as usize;
        match at {
            0 => self.free += end as u32,
            _ => drop(self.bytes.drain(free + at..free + end)),
        }
        self.count -= removed as u32;
        if self.is_empty() {
            self.bytes.clear();
            self.free = 0;
        }
        self.shrink();
        removed
    }

    /// Cuts the sequence at `at` and gives what was behind.
    pub fn split_off(&mut self, at: usize) -> Packed {
        let mut right = Packed { bytes: self.entries()[at..].to_vec(), free: 0, count: 0 };
        let mut cursor = 0;
        while cursor < right.bytes.len() {
            cursor += entry_len(&right.bytes[cursor..]);
            right.count += 1;
        }
        self.bytes.truncate(self.free as usize + at);
        self.count -= right.count;
        self.shrink();
        right
    }

    /// Appends all entries of `other`.
    pub fn append(&mut self, other: &Packed) {
        self.bytes.reserve_exact(other.byte_len());
        self.bytes.extend_from_slice(other.entries());
        self.count += other.count;
    }

    /// Position of the first entry equal to `needle`, looking at every `step`-th from position `from` on.
    pub fn find(&self, from: usize, needle: &Element<'_>, step: usize) -> Option<usize> {
        let mut at = from;
        let entries = self.entries();
        while at < entries.len() {
            if decode(&entries[at..]).0 == *needle {
                return Some(at);
            }
            for _ in 0..step {
                if at < entries.len() {
                    at += entry_len(&entries[at..]);
                }
            }
        }
        None
    }

    /// Visits up to `count` elements from position `from` on; tells how many there were.
    #[inline]
    pub fn visit<'a>(&'a self, from: usize, count: usize, mut visit: impl FnMut(Element<'a>)) -> usize {
        let mut rest = self.entries().get(from..).unwrap_or_default();
        for visited in 0..count {
            if rest.is_empty() {
                return visited;
            }
            let head = rest[0];
            if head & !SHORT_MAX as u8 == SHORT {
                let end = 1 + usize::from(head & SHORT_MAX as u8);
                visit(Element::Bytes(&rest[1..end]));
                rest = &rest[end + 1..];
            } else {
                let (element, body) = decode(rest);
                visit(element);
                rest = &rest[body + tail_len(body)..];
            }
        }
        count
    }

    /// All elements, from either end.
    pub fn iter(&self) -> Iter<'_> {
        Iter { packed: self, front: 0, back: self.end() }
    }

    /// Elements from position `from` on (to the end), from either end.
    pub fn iter_from(&self, from: usize) -> Iter<'_> {
        Iter { packed: self, front: from, back: self.end() }
    }

    /// Elements in front of position `to`, from either end.
    pub fn iter_before(&self, to: usize) -> Iter<'_> {
        Iter { packed: self, front: 0, back: to }
    }

    /// Makes room at `at`. Grows by an eighth at most, so that slack stays small.
    #[inline]
    fn open_gap(&mut self, at: usize, size: usize) {
        let (old, end) = (self.byte_len(), self.bytes.len());
        let (front, back) = (self.free as usize, self.bytes.capacity() - end);
        if at == 0 && old > 0 {
            if front < size {
                self.move_to(size, size);
            }
            self.free -= size as u32;
            return;
        }
        if back < size {
            self.move_to(0, size);
        }
        let (at, end) = (self.free as usize + at, self.bytes.len());
        self.bytes.resize(end + size, 0);
        if at < end {
            self.bytes.copy_within(at..end, at + size);
        }
    }

    /// Moves the entries so that at least so much is free in front of them or behind, and half of what more there is
    /// on either side.
    #[cold]
    fn move_to(&mut self, front: usize, size: usize) {
        let old = self.byte_len();
        if self.bytes.capacity() < old + size + old / 16 {
            self.bytes.reserve_exact(self.grown(size, old) - self.bytes.len());
        }
        // Who only ever appends has nothing in front.
        let spare = self.bytes.capacity() - old - size;
        let to = match (front, self.free) {
            (0, 0) => return,
            _ => front + spare / 2,
        };
        let from = self.free as usize;
        if to > from {
            self.bytes.resize(to + old, 0);
        }
        self.bytes.copy_within(from..from + old, to);
        self.bytes.truncate(to + old);
        self.free = to as u32;
    }

    fn grown(&self, size: usize, old: usize) -> usize {
        old + (size + old / 8).next_multiple_of(8)
    }

    /// Gives memory back when more than half of it is unused.
    fn shrink(&mut self) {
        let len = self.byte_len();
        if self.bytes.capacity() > 64 && len < self.bytes.capacity() / 2 {
            self.bytes.drain(..self.free as usize);
            self.free = 0;
            self.bytes.shrink_to(len + len / 8);
        }
    }
}

/// Iterator of [`Packed::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    packed: &'a Packed,
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (element, body) = decode(&self.packed.entries()[self.front..]);
        self.front += body + tail_len(body);
        Some(element)
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    fn next_back(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        self.back = self.packed.before(self.back)?;
        Some(self.packed.get(self.back))
    }
}
