//! An item: a key with its value, in one allocation.
//!
//! ```text
//! byte 0      kind (3 bits), which optional fields follow (3 bits), a hash with deadlines of its own or a string with
//!             a state (1 bit), a string that was put together (1 bit)
//! bytes 1-3   access: seconds clock of the last use (LRU), or 16-bit minutes and 8-bit counter (LFU)
//! varint      key length
//! varint      value length (only an inline string has it)
//! 5 bytes     deadline, milliseconds since 2020; all ones if it does not fit: then 8 bytes follow,
//!             Unix milliseconds                      (optional)
//! 4 bytes     Memcached client flags                  (optional)
//! 8 bytes     Memcached CAS unique                    (optional)
//! 1 byte      Memcached state: stale, token given out (optional)
//! key, value
//! ```
//!
//! The value is an inline string, an integer of 8 bytes, or the address of a boxed value: a collection, or a long
//! string, which may be shared with a snapshot: then a change in place copies it first. The size of an allocation follows from its header, so that nothing else has to remember it.
//!
//! Invariant: an [`Item`] owns its allocation; the address is 8-byte aligned and fits in 48 bits; the header
//! describes exactly the bytes that follow it. Everything unsafe about items is in this file.

use super::value::{Extras, IntegerMut, Owned, State, Value, ValueMut, ValueRef};
use crate::compact::Mover;
use crate::object::{Hash, List, Set, SortedSet, Stream};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

/// Longest string that lies inside its item; longer ones are boxed, so that growing them does not copy the key and
/// freeing them can be done elsewhere.
pub const INLINE_STRING_BYTES_MAX: usize = 16 * 1024;

/// Bytes that a long string takes beside its own: two counts of who shares it, and where it is.
/// Bytes of a string beyond which freeing it is no matter of microseconds: allocators give such blocks back to the kernel.
const UNMAPPED_BYTES: usize = 2 << 20;
const LONG_HEAD_BYTES: usize = 2 * size_of::<usize>() + size_of::<Vec<u8>>();

/// What an item costs in the index.
const INDEX_BYTES: usize = 12;
/// Of collections with more members nobody adds up the bytes to compare them.
const MEMBERS_COUNTED: usize = 128;
/// Bytes that a member of a larger one is taken for.
const MEMBER_BYTES: usize = 64;

const KIND: u8 = 0b0000_0111;
const HAS_DEADLINE: u8 = 0b0000_1000;
const HAS_FLAGS: u8 = 0b0001_0000;
const HAS_CAS: u8 = 0b0010_0000;
/// A hash some of whose fields have deadlines. Stands here so that a look at any other key stays one test of a byte.
const HAS_TIMED_FIELDS: u8 = 0b0100_0000;
/// On a value that is no hash the same bit says that a state follows the other optional fields: seldom, and for a short
/// time.
const HAS_STATE: u8 = HAS_TIMED_FIELDS;

/// A string that was put together, not set: OBJECT ENCODING tells the two apart.
const IS_RAW: u8 = 0b1000_0000;

/// Where short deadlines count from, in Unix milliseconds: 1 January 2020. They reach until 2054.
const DEADLINE_EPOCH_MS: u64 = 1_577_836_800_000;
const SHORT_DEADLINE_BYTES: usize = 5;
/// Stands where a short deadline would, when the deadline is too far away or too long ago for one.
const LONG_DEADLINE: u64 = (1 << (8 * SHORT_DEADLINE_BYTES)) - 1;

const INLINE: u8 = 0;
const INTEGER: u8 = 1;
const LONG: u8 = 2;
const HASH: u8 = 3;
const LIST: u8 = 4;
const SET: u8 = 5;
const SORTED_SET: u8 = 6;
const STREAM: u8 = 7;

/// An owned item.
#[derive(Debug)]
pub struct Item(NonNull<u8>);

// SAFETY: an item owns its bytes and boxed value, none of which is tied to a thread.
unsafe impl Send for Item {}

/// Where the parts of an item lie.
#[derive(Clone, Copy)]
struct Shape {
    head: u8,
    optional: usize,
    /// Bytes of the deadline.
    deadline_len: usize,
    key: usize,
    key_len: usize,
    value_len: usize,
}

impl Shape {
    fn size(&self) -> usize {
        self.key + self.key_len + self.value_len
    }

    fn layout(size: usize) -> Layout {
        // Sizes come from lengths below 2^32, far from what Layout refuses.
        Layout::from_size_align(size, 8).unwrap_or(Layout::new::<u64>())
    }

    fn deadline_at(&self) -> usize {
        self.optional
    }

    fn flags_at(&self) -> usize {
        self.optional + self.deadline_len
    }

    fn cas_at(&self) -> usize {
        self.flags_at() + if self.head & HAS_FLAGS != 0 { 4 } else { 0 }
    }

    fn state_at(&self) -> usize {
        self.cas_at() + if self.head & HAS_CAS != 0 { 8 } else { 0 }
    }
}

/// True for the first byte of an item that has a state.
const fn has_state(head: u8) -> bool {
    head & HAS_STATE != 0 && head & KIND != HASH
}

/// Bytes of flags, CAS and state.
const fn optional_len(head: u8) -> usize {
    (if head & HAS_FLAGS != 0 { 4 } else { 0 })
        + (if head & HAS_CAS != 0 { 8 } else { 0 })
        + (if has_state(head) { 1 } else { 0 })
}

/// A deadline in its short form, if it has one.
fn short_deadline(deadline: u64) -> Option<u64> {
    deadline.checked_sub(DEADLINE_EPOCH_MS).filter(|short| *short < LONG_DEADLINE)
}

fn deadline_len(deadline: Option<u64>) -> usize {
    match deadline {
        None => 0,
        Some(deadline) if short_deadline(deadline).is_some() => SHORT_DEADLINE_BYTES,
        Some(_) => SHORT_DEADLINE_BYTES + 8,
    }
}

/// Only strings have a state.
const fn may_have_state(kind: u8) -> bool {
    matches!(kind, INLINE | INTEGER | LONG)
}

fn extras_bits(kind: u8, extras: Extras) -> u8 {
    (if extras.deadline.is_some() { HAS_DEADLINE } else { 0 })
        | (if extras.flags != 0 { HAS_FLAGS } else { 0 })
        | (if extras.cas != 0 { HAS_CAS } else { 0 })
        | (if extras.raw { IS_RAW } else { 0 })
        | (if !extras.state.is_usual() && may_have_state(kind) { HAS_STATE } else { 0 })
}

const fn varint_len(n: usize) -> usize {
    match n {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

impl Item {
    /// Makes an item. `access` is the 24-bit access word. O(key + inline value).
    pub fn new(key: &[u8], value: Value<'_>, extras: Extras, access: u32) -> Item {
        let (kind, value_len) = match &value {
            Value::String(bytes) if bytes.len() <= INLINE_STRING_BYTES_MAX => (INLINE, bytes.len()),
            Value::Long(bytes) if bytes.len() <= INLINE_STRING_BYTES_MAX => (INLINE, bytes.len()),
            Value::String(_) | Value::Long(_) => (LONG, 8),
            Value::Integer(_) => (INTEGER, 8),
            Value::Hash(_) => (HASH, 8),
            Value::List(_) => (LIST, 8),
            Value::Set(_) => (SET, 8),
            Value::SortedSet(_) => (SORTED_SET, 8),
            Value::Stream(_) => (STREAM, 8),
        };
        let timed = matches!(&value, Value::Hash(hash) if hash.timed_len() > 0);
        let head = kind | extras_bits(kind, extras) | if timed { HAS_TIMED_FIELDS } else { 0 };
        let mut at = 4 + varint_len(key.len()) + if kind == INLINE { varint_len(value_len) } else { 0 };
        let (optional, deadline_len) = (at, deadline_len(extras.deadline));
        at += deadline_len + optional_len(head);
        let shape = Shape { head, optional, deadline_len, key: at, key_len: key.len(), value_len };
        let item = Item::allocate(shape.size());
        item.write_header(&shape, kind, access);
        item.write_extras(&shape, extras);
        item.put(shape.key, key);
        item.put_value(shape.key + shape.key_len, value);
        item
    }

    fn allocate(size: usize) -> Item {
        let layout = Shape::layout(size);
        // SAFETY: the layout has a size of at least the four bytes of the header.
        let start = unsafe { alloc(layout) };
        Item(NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)))
    }

    fn write_header(&self, shape: &Shape, kind: u8, access: u32) {
        let [a, b, c, _] = access.to_le_bytes();
        self.put(0, &[shape.head, a, b, c]);
        let mut at = 4;
        at += self.put_varint(at, shape.key_len);
        if kind == INLINE {
            self.put_varint(at, shape.value_len);
        }
    }

    fn write_extras(&self, shape: &Shape, extras: Extras) {
        if let Some(deadline) = extras.deadline {
            let short = short_deadline(deadline).unwrap_or(LONG_DEADLINE).to_le_bytes();
            self.put(shape.deadline_at(), &short[..SHORT_DEADLINE_BYTES]);
            if shape.deadline_len > SHORT_DEADLINE_BYTES {
                self.put(shape.deadline_at() + SHORT_DEADLINE_BYTES, &deadline.to_le_bytes());
            }
        }
        if extras.flags != 0 {
            self.put(shape.flags_at(), &extras.flags.to_le_bytes());
        }
        if extras.cas != 0 {
            self.put(shape.cas_at(), &extras.cas.to_le_bytes());
        }
        if has_state(shape.head) {
            self.put(shape.state_at(), &[extras.state.byte()]);
        }
    }

    fn put_value(&self, at: usize, value: Value<'_>) {
        let boxed = |address: usize| self.put(at, &(address as u64).to_le_bytes());
        match value {
            Value::String(bytes) if bytes.len() <= INLINE_STRING_BYTES_MAX => self.put(at, bytes),
            Value::Long(bytes) if bytes.len() <= INLINE_STRING_BYTES_MAX => self.put(at, &bytes),
            Value::String(bytes) => boxed(Arc::into_raw(Arc::new(bytes.to_vec())).expose_provenance()),
            Value::Long(bytes) => boxed(Arc::into_raw(Arc::new(bytes)).expose_provenance()),
            Value::Integer(n) => self.put(at, &n.to_le_bytes()),
            Value::Hash(hash) => boxed(Box::into_raw(hash).expose_provenance()),
            Value::List(list) => boxed(Box::into_raw(list).expose_provenance()),
            Value::Set(set) => boxed(Box::into_raw(set).expose_provenance()),
            Value::SortedSet(set) => boxed(Box::into_raw(set).expose_provenance()),
            Value::Stream(stream) => boxed(Box::into_raw(stream).expose_provenance()),
        }
    }

    /// Writes within the allocation: `at + bytes.len()` is at most the item's size.
    fn put(&self, at: usize, bytes: &[u8]) {
        // SAFETY: callers stay within the size that the item was allocated with; the item is not shared while it is
        // written, because `&self` here is only reached through an owner or a partition's lock.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(at), bytes.len()) }
    }

    fn put_varint(&self, mut at: usize, mut n: usize) -> usize {
        let start = at;
        loop {
            let more = n >= 0x80;
            self.put(at, &[(n & 0x7f) as u8 | if more { 0x80 } else { 0 }]);
            at += 1;
            n >>= 7;
            if !more {
                return at - start;
            }
        }
    }

    #[inline]
    fn byte(&self, at: usize) -> u8 {
        // SAFETY: offsets are within the header, which every item has.
        unsafe { *self.0.as_ptr().add(at) }
    }

    #[inline]
    fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: the header describes the allocation, and offset and length come from it.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    fn word(&self, at: usize) -> u64 {
        // SAFETY: as for `bytes`; the read may be unaligned.
        u64::from_le(unsafe { self.0.as_ptr().add(at).cast::<u64>().read_unaligned() })
    }

    #[inline]
    fn varint(&self, at: &mut usize) -> usize {
        let first = self.byte(*at);
        *at += 1;
        if first < 0x80 {
            return first as usize;
        }
        let (mut n, mut shift) = ((first & 0x7f) as usize, 7);
        loop {
            let byte = self.byte(*at);
            *at += 1;
            n |= ((byte & 0x7f) as usize) << shift;
            shift += 7;
            if byte < 0x80 {
                return n;
            }
        }
    }

    #[inline]
    fn shape(&self) -> Shape {
        let head = self.byte(0);
        let mut at = 4;
        let key_len = self.varint(&mut at);
        let value_len = if head & KIND == INLINE { self.varint(&mut at) } else { 8 };
        let deadline_len = match head & HAS_DEADLINE {
            0 => 0,
            _ if self.short_deadline_at(at) == LONG_DEADLINE => SHORT_DEADLINE_BYTES + 8,
            _ => SHORT_DEADLINE_BYTES,
        };
        let key = at + deadline_len + optional_len(head);
        Shape { head, optional: at, deadline_len, key, key_len, value_len }
    }

    #[inline]
    fn short_deadline_at(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..SHORT_DEADLINE_BYTES].copy_from_slice(self.bytes(at, SHORT_DEADLINE_BYTES));
        u64::from_le_bytes(bytes)
    }

    #[inline]
    fn deadline_in(&self, shape: &Shape) -> Option<u64> {
        match shape.deadline_len {
            0 => None,
            SHORT_DEADLINE_BYTES => Some(DEADLINE_EPOCH_MS + self.short_deadline_at(shape.deadline_at())),
            _ => Some(self.word(shape.deadline_at() + SHORT_DEADLINE_BYTES)),
        }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        self.bytes(shape.key, shape.key_len)
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        let shape = self.shape();
        let at = shape.key + shape.key_len;
        let kind = shape.head & KIND;
        if kind == INLINE {
            return ValueRef::String(self.bytes(at, shape.value_len));
        }
        // SAFETY: the kind says what was boxed, and the item owns it; `&self` borrows the item.
        unsafe {
            match kind {
                INTEGER => ValueRef::Integer(self.word(at) as i64),
                LONG => ValueRef::String(&*self.boxed::<Vec<u8>>(at)),
                HASH => ValueRef::Hash(&*self.boxed(at)),
                LIST => ValueRef::List(&*self.boxed(at)),
                SET => ValueRef::Set(&*self.boxed(at)),
                SORTED_SET => ValueRef::SortedSet(&*self.boxed(at)),
                _ => ValueRef::Stream(&*self.boxed(at)),
            }
        }
    }

    /// The value, to be changed in place.
    pub fn value_mut(&mut self) -> ValueMut<'_> {
        let shape = self.shape();
        let at = shape.key + shape.key_len;
        // SAFETY: as in `value`; the header describes the allocation, and `&mut self` makes the borrow exclusive.
        unsafe {
            match shape.head & KIND {
                INLINE => {
                    ValueMut::Inline(std::slice::from_raw_parts_mut(self.0.as_ptr().add(at), shape.value_len))
                }
                INTEGER => ValueMut::Integer(IntegerMut(&mut *self.0.as_ptr().add(at).cast::<[u8; 8]>())),
                LONG => {
                    let mut bytes = Arc::from_raw(self.boxed::<Vec<u8>>(at).cast_const());
                    Arc::make_mut(&mut bytes);
                    let address = Arc::into_raw(bytes).expose_provenance();
                    self.put(at, &(address as u64).to_le_bytes());
                    ValueMut::Long(&mut *self.boxed(at))
                }
                HASH => ValueMut::Hash(&mut *self.boxed(at)),
                LIST => ValueMut::List(&mut *self.boxed(at)),
                SET => ValueMut::Set(&mut *self.boxed(at)),
                SORTED_SET => ValueMut::SortedSet(&mut *self.boxed(at)),
                _ => ValueMut::Stream(&mut *self.boxed(at)),
            }
        }
    }

    /// A long string together with the item: it stays as it is however the item changes.
    pub fn share_long(&self) -> Option<Arc<Vec<u8>>> {
        let shape = self.shape();
        if shape.head & KIND != LONG {
            return None;
        }
        // SAFETY: the kind says that this is the address of a shared string, of which the item keeps its own count.
        let bytes = unsafe { Arc::from_raw(self.boxed::<Vec<u8>>(shape.key + shape.key_len).cast_const()) };
        let shared = bytes.clone();
        std::mem::forget(bytes);
        Some(shared)
    }

    fn boxed<T>(&self, at: usize) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.word(at) as usize)
    }

    /// Deadline, flags and CAS.
    pub fn extras(&self) -> Extras {
        let shape = self.shape();
        let flag = |bit| shape.head & bit != 0;
        Extras {
            deadline: self.deadline_in(&shape),
            flags: if flag(HAS_FLAGS) { self.flags_at(shape.flags_at()) } else { 0 },
            cas: if flag(HAS_CAS) { self.word(shape.cas_at()) } else { 0 },
            raw: flag(IS_RAW),
            state: if has_state(shape.head) {
                State::of(self.byte(shape.state_at()))
            } else {
                State::default()
            },
        }
    }

    /// True if it carries a CAS unique.
    #[inline]
    pub fn has_cas(&self) -> bool {
        self.byte(0) & HAS_CAS != 0
    }

    fn flags_at(&self, at: usize) -> u32 {
        let bytes = self.bytes(at, 4);
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// When the key dies, in Unix milliseconds.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        if self.byte(0) & HAS_DEADLINE == 0 {
            return None;
        }
        self.deadline_in(&self.shape())
    }

    /// True if the key or fields of it have deadlines; also for the few strings that have a state.
    #[inline]
    pub fn is_volatile(&self) -> bool {
        self.byte(0) & (HAS_DEADLINE | HAS_TIMED_FIELDS) != 0
    }

    /// True for a hash that is marked as having fields with deadlines.
    #[inline]
    pub fn has_timed_fields(&self) -> bool {
        self.byte(0) & (HAS_TIMED_FIELDS | KIND) == HAS_TIMED_FIELDS | HASH
    }

    /// Marks a hash as having fields with deadlines, or as having none.
    pub(super) fn mark_timed_fields(&mut self, timed: bool) {
        let head = self.byte(0) & !HAS_TIMED_FIELDS;
        self.put(0, &[head | if timed { HAS_TIMED_FIELDS } else { 0 }]);
    }

    /// The value if it is a hash that is marked as having fields with deadlines.
    pub(super) fn timed_hash(&self) -> Option<&Hash> {
        match self.value() {
            ValueRef::Hash(hash) if self.has_timed_fields() => Some(hash),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn timed_hash_mut(&mut self) -> Option<&mut Hash> {
        let marked = self.has_timed_fields();
        match self.value_mut() {
            ValueMut::Hash(hash) if marked => Some(hash),
            _ => None,
        }
    }

    /// When the key dies or the first of its fields does.
    pub(super) fn earliest_deadline(&self) -> Option<u64> {
        let field = self.timed_hash().and_then(Hash::earliest_deadline);
        self.deadline().into_iter().chain(field).min()
    }

    /// True if the time of the key is over: its own, or that of all its fields. One test of a byte for most keys.
    #[inline]
    pub fn is_dead(&self, now_ms: u64) -> bool {
        self.is_volatile()
            && (self.deadline().is_some_and(|deadline| deadline <= now_ms)
                || self.timed_hash().is_some_and(|hash| hash.is_over(now_ms)))
    }

    /// The 24-bit access word.
    pub fn access(&self) -> u32 {
        u32::from_le_bytes([self.byte(1), self.byte(2), self.byte(3), 0])
    }

    /// Sets the 24-bit access word.
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let [a, b, c, _] = access.to_le_bytes();
        self.put(1, &[a, b, c]);
    }

    /// Replaces an inline string without anything optional by one of the same length; false if the item is another one.
    #[inline]
    pub fn overwrite_plain(&mut self, bytes: &[u8]) -> bool {
        if self.byte(0) != INLINE {
            return false;
        }
        let mut at = 4;
        let key_len = self.varint(&mut at);
        let fits = self.varint(&mut at) == bytes.len();
        if fits {
            self.put(at + key_len, bytes);
        }
        fits
    }

    /// Replaces an inline string by one of the same length, without a new allocation; false if that cannot be.
    #[inline]
    pub fn overwrite(&mut self, bytes: &[u8]) -> bool {
        let shape = self.shape();
        let fits = shape.head & KIND == INLINE && shape.value_len == bytes.len();
        if fits {
            self.put(shape.key + shape.key_len, bytes);
        }
        fits
    }

    /// Replaces an integer by another; false if the value is none.
    pub fn overwrite_integer(&mut self, n: i64) -> bool {
        let shape = self.shape();
        let fits = shape.head & KIND == INTEGER;
        if fits {
            self.put(shape.key + shape.key_len, &n.to_le_bytes());
        }
        fits
    }

    /// Changes deadline, flags and CAS in place where their room stays the same; false if it does not.
    pub fn overwrite_extras(&mut self, extras: Extras) -> bool {
        let shape = self.shape();
        let has = |bit| shape.head & bit != 0;
        let same = shape.deadline_len == deadline_len(extras.deadline)
            && has(HAS_FLAGS) == (extras.flags != 0)
            && has(HAS_CAS) == (extras.cas != 0)
            && has(IS_RAW) == extras.raw
            && has_state(shape.head) == (!extras.state.is_usual() && may_have_state(shape.head & KIND));
        if same {
            self.write_extras(&shape, extras);
        }
        same
    }

    /// Takes the item apart: its value moves out, and its allocation is freed.
    pub fn into_value(self) -> Owned {
        let shape = self.shape();
        let at = shape.key + shape.key_len;
        // SAFETY: the kind says what was boxed; the item is forgotten below, so the box has one owner.
        let owned = unsafe {
            match shape.head & KIND {
                INLINE => Owned::Bytes(self.bytes(at, shape.value_len).to_vec()),
                INTEGER => Owned::Integer(self.word(at) as i64),
                LONG => {
                    Owned::Bytes(Arc::unwrap_or_clone(Arc::from_raw(self.boxed::<Vec<u8>>(at).cast_const())))
                }
                HASH => Owned::Hash(Box::from_raw(self.boxed(at))),
                LIST => Owned::List(Box::from_raw(self.boxed(at))),
                SET => Owned::Set(Box::from_raw(self.boxed(at))),
                SORTED_SET => Owned::SortedSet(Box::from_raw(self.boxed(at))),
                _ => Owned::Stream(Box::from_raw(self.boxed(at))),
            }
        };
        self.free(shape.size());
        owned
    }

    /// The same item with other extras: bytes move to a new allocation, a boxed value stays where it is.
    pub(super) fn with_extras(self, extras: Extras) -> Item {
        let old = self.shape();
        let kind = old.head & KIND;
        let timed = if kind == HASH { old.head & HAS_TIMED_FIELDS } else { 0 };
        let head = kind | extras_bits(kind, extras) | timed;
        let deadline_len = deadline_len(extras.deadline);
        let key = old.optional + deadline_len + optional_len(head);
        let new = Shape { head, deadline_len, key, ..old };
        let item = Item::allocate(new.size());
        item.write_header(&new, kind, self.access());
        item.write_extras(&new, extras);
        item.put(new.key, self.bytes(old.key, old.key_len + old.value_len));
        self.free(old.size());
        item
    }

    /// The same item in other memory as far as it lies badly: the item itself, and the value that it points to.
    pub(super) fn elsewhere(self, mover: &mut Mover<'_>) -> Item {
        let shape = self.shape();
        let at = shape.key + shape.key_len;
        let boxed = |address: usize| self.put(at, &(address as u64).to_le_bytes());
        // SAFETY: the kind says what was boxed, and the item owns it; its address is replaced by that of the box which
        // the value is in afterwards.
        unsafe {
            match shape.head & KIND {
                HASH => {
                    let mut value = mover.rebox(Box::from_raw(self.boxed::<Hash>(at)));
                    value.compact(mover);
                    boxed(Box::into_raw(value).expose_provenance());
                }
                LIST => {
                    let mut value = mover.rebox(Box::from_raw(self.boxed::<List>(at)));
                    value.compact(mover);
                    boxed(Box::into_raw(value).expose_provenance());
                }
                SET => {
                    let mut value = mover.rebox(Box::from_raw(self.boxed::<Set>(at)));
                    value.compact(mover);
                    boxed(Box::into_raw(value).expose_provenance());
                }
                SORTED_SET => {
                    let mut value = mover.rebox(Box::from_raw(self.boxed::<SortedSet>(at)));
                    value.compact(mover);
                    boxed(Box::into_raw(value).expose_provenance());
                }
                STREAM => {
                    let value = mover.rebox(Box::from_raw(self.boxed::<Stream>(at)));
                    boxed(Box::into_raw(value).expose_provenance());
                }
                _ => {} // in the item itself, or a long string, which is whole pages
            }
        }
        let size = shape.size();
        if !mover.wants(self.0.as_ptr()) {
            return self;
        }
        let item = Item::allocate(size);
        item.put(0, self.bytes(0, size));
        self.free(size);
        item
    }

    fn free(self, size: usize) {
        let start = self.0.as_ptr();
        std::mem::forget(self);
        // SAFETY: allocated with the same layout, and nobody else has the address.
        unsafe { dealloc(start, Shape::layout(size)) }
    }

    /// True for a string so long that the kernel has to take its pages away, and for a collection of more than `members`.
    pub fn is_large(&self, members: usize) -> bool {
        match self.value() {
            ValueRef::String(bytes) => bytes.len() >= UNMAPPED_BYTES,
            ValueRef::Integer(_) => false,
            ValueRef::Hash(hash) => hash.len() > members,
            ValueRef::List(list) => list.len() > members,
            ValueRef::Set(set) => set.len() > members,
            ValueRef::SortedSet(set) => set.len() > members,
            ValueRef::Stream(stream) => stream.len() > members,
        }
    }

    /// Bytes of the item's own allocation.
    pub fn size_bytes(&self) -> usize {
        self.shape().size()
    }

    /// Bytes of the allocation and of what it points to.
    pub fn memory_bytes(&self) -> usize {
        self.size_bytes()
            + match self.value() {
                ValueRef::String(bytes) if self.byte(0) & KIND == LONG => bytes.len() + LONG_HEAD_BYTES,
                ValueRef::String(_) | ValueRef::Integer(_) => 0,
                ValueRef::Hash(hash) => size_of::<Hash>() + hash.memory_bytes(),
                ValueRef::List(list) => size_of::<List>() + list.memory_bytes(),
                ValueRef::Set(set) => size_of::<Set>() + set.memory_bytes(),
                ValueRef::SortedSet(set) => size_of::<SortedSet>() + set.memory_bytes(),
                ValueRef::Stream(stream) => size_of::<Stream>() + stream.memory_bytes(),
            }
    }

    /// About as many bytes as the key costs, its place in the index included. O(1).
    pub fn approximate_bytes(&self) -> usize {
        let shape = self.shape();
        if matches!(shape.head & KIND, INLINE | INTEGER) {
            return INDEX_BYTES + shape.size(); // eviction asks that of many
        }
        let members = match self.value() {
            ValueRef::String(_) | ValueRef::Integer(_) => return INDEX_BYTES + self.memory_bytes(),
            ValueRef::Hash(hash) => hash.len(),
            ValueRef::List(list) => list.len(),
            ValueRef::Set(set) => set.len(),
            ValueRef::SortedSet(set) => set.len(),
            ValueRef::Stream(stream) => stream.len(),
        };
        match members {
            0..=MEMBERS_COUNTED => INDEX_BYTES + self.memory_bytes(),
            _ => INDEX_BYTES + members.saturating_mul(MEMBER_BYTES),
        }
    }

    /// Gives up ownership for an address that fits in 48 bits.
    pub(super) fn into_address(self) -> u64 {
        let address = self.0.as_ptr().expose_provenance() as u64;
        std::mem::forget(self);
        debug_assert!(address < 1 << 48);
        address
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `address` came from [`Item::into_address`], and nothing else takes it back while this item lives.
    pub(super) unsafe fn from_address(address: u64) -> Item {
        let start = std::ptr::with_exposed_provenance_mut::<u8>(address as usize);
        // SAFETY: an address of an item is never null.
        Item(unsafe { NonNull::new_unchecked(start) })
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let shape = self.shape();
        if shape.head & KIND > INTEGER {
            let at = shape.key + shape.key_len;
            // SAFETY: the kind says what was boxed, the item owns it, and it is dropped once, here.
            unsafe {
                match shape.head & KIND {
                    LONG => drop(Arc::from_raw(self.boxed::<Vec<u8>>(at).cast_const())),
                    HASH => drop(Box::from_raw(self.boxed::<Hash>(at))),
                    LIST => drop(Box::from_raw(self.boxed::<List>(at))),
                    SET => drop(Box::from_raw(self.boxed::<Set>(at))),
                    SORTED_SET => drop(Box::from_raw(self.boxed::<SortedSet>(at))),
                    _ => drop(Box::from_raw(self.boxed::<Stream>(at))),
                }
            }
        }
        // SAFETY: allocated with this layout; the item is gone after this.
        unsafe { dealloc(self.0.as_ptr(), Shape::layout(shape.size())) }
    }
}
