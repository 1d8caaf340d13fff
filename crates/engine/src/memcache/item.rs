//! Requests about keys: read, store, remove, count, touch.
//!
//! Rules that are memcached's and not Redis': a value carries the client's flags; a CAS unique changes with the value
//! (an item gets one when first asked for it, so that plain caching pays nothing); a number that becomes shorter
//! keeps its length with blanks behind it; what cannot be stored does not leave an old value behind.

use super::counters::Counter;
use super::detail::Event;
use super::watch::Stored;
use super::{DB, Turn, discovery};
use crate::command::keyspace::free;
use larder_protocol::memcache::request::{Verb, Words, item_bytes};
use larder_protocol::memcache::text::unsigned;
use larder_protocol::number::parse_i64;
use larder_store::{Extras, ItemRef, Key, Partition, State, Value, ValueMut, ValueRef};
use std::borrow::Cow;

/// Keys of a `get` that are looked up together, so that their loads from memory overlap.
const KEYS_TOGETHER: usize = 16;

/// Longest value that can be counted with; longer ones are in memcached's chunks, and are no numbers there.
const NUMBER_BYTES_MAX: usize = 512 * 1024;

const STORED: &[u8] = b"STORED\r\n";
const NOT_STORED: &[u8] = b"NOT_STORED\r\n";
const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";
pub(super) const NOT_A_NUMBER: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";

/// `<word> <key> <flags> <length>[ <cas>]`, and the value.
pub(crate) fn value_line(
    out: &mut Vec<u8>,
    word: &[u8],
    key: &[u8],
    flags: u32,
    data: &[u8],
    cas: Option<u64>,
) {
    let mut digits = itoa::Buffer::new();
    out.reserve(word.len() + key.len() + data.len() + 64);
    out.extend_from_slice(word);
    out.push(b' ');
    out.extend_from_slice(key);
    if flags == 0 {
        out.extend_from_slice(b" 0 ");
    } else {
        out.push(b' ');
        out.extend_from_slice(digits.format(flags).as_bytes());
        out.push(b' ');
    }
    out.extend_from_slice(digits.format(data.len()).as_bytes());
    if let Some(cas) = cas {
        out.push(b' ');
        out.extend_from_slice(digits.format(cas).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// The value if it is a string.
pub(super) fn string<'v>(value: &ValueRef<'v>, digits: &'v mut itoa::Buffer) -> Option<&'v [u8]> {
    match value {
        ValueRef::String(bytes) => Some(bytes),
        ValueRef::Integer(n) => Some(digits.format(*n).as_bytes()),
        _ => None,
    }
}

/// A string as the store takes it: as an integer where it is the canonical form of one.
pub(super) fn value(bytes: &[u8]) -> Value<'_> {
    parse_i64(bytes).map_or(Value::String(bytes), Value::Integer)
}

/// The same of a value that came with a request: one that was received apart is long, and goes into the store as it is.
#[inline]
pub(super) fn value_of(data: Cow<'_, [u8]>) -> Value<'_> {
    match data {
        Cow::Borrowed(bytes) => value(bytes),
        Cow::Owned(bytes) => Value::Long(bytes),
    }
}

/// `get`, `gets`, `gat`, `gats`.
pub(super) fn get(turn: &mut Turn<'_>, keys: Words<'_>, cas: bool, touch: Option<i32>, out: &mut Vec<u8>) {
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let mut together: [Option<Key<'_>>; KEYS_TOGETHER] = [None; KEYS_TOGETHER];
        for (slot, bytes) in together.iter_mut().zip(&mut keys) {
            *slot = Some(turn.key(bytes));
        }
        let found = together.iter().flatten();
        if together[1].is_some() {
            found.clone().for_each(|key| turn.store.prefetch_bucket(key));
            turn.prefetch_items(found.clone());
        }
        found.for_each(|key| get_one(turn, key, cas, touch, out));
    }
    out.extend_from_slice(b"END\r\n");
}

pub(super) fn get_one(turn: &mut Turn<'_>, key: &Key<'_>, cas: bool, touch: Option<i32>, out: &mut Vec<u8>) {
    turn.count(Counter::CmdGet);
    if touch.is_some() {
        turn.count(Counter::CmdTouch);
    }
    if key.bytes == discovery::KEY && turn.shared.discovery.value(out) {
        return turn.count(Counter::GetHits);
    }
    let partition = match touch {
        Some(_) => turn.hold(key),
        None => Some(turn.store.lock(turn.store.partition_of(key.slot))),
    };
    let Some(mut partition) = partition else { return };
    turn.watch_fetch(&partition, key);
    turn.note_read(&partition, key);
    let expired = partition.counters().expired;
    let item = partition.read(DB, key, turn.now, turn.access);
    let old = item.and_then(|item| answer(turn, &item, cas, out));
    turn.log_gone(&mut partition);
    let Some(old) = old else {
        turn.count_miss(&partition, expired);
        turn.detail(key.bytes, Event::Get { hit: false });
        return if touch.is_some() {
            turn.count(Counter::TouchMisses)
        };
    };
    turn.count(Counter::GetHits);
    turn.detail(key.bytes, Event::Get { hit: true });
    let mut extras = old.0;
    if let Some(exptime) = touch {
        turn.count(Counter::TouchHits);
        extras.deadline = turn.deadline(exptime);
    }
    if touch.is_some() || old.1 {
        set_extras(turn, &mut partition, key, extras);
    }
}

/// Writes an item's value, if it is a string; answers its extras, and whether it got its CAS unique just now.
fn answer(turn: &Turn<'_>, item: &ItemRef<'_>, cas: bool, out: &mut Vec<u8>) -> Option<(Extras, bool)> {
    let mut digits = itoa::Buffer::new();
    let value = item.value();
    let data = string(&value, &mut digits)?;
    let mut extras = item.extras();
    let new = cas && extras.cas == 0;
    if new {
        extras.cas = turn.shared.next_cas();
    }
    value_line(out, b"VALUE", item.key(), extras.flags, data, cas.then_some(extras.cas));
    Some((extras, new))
}

/// Gives an item other extras; removes it if its time is over by them.
pub(super) fn set_extras(turn: &mut Turn<'_>, partition: &mut Partition, key: &Key<'_>, extras: Extras) {
    turn.changes += 1;
    let before = partition.peek(DB, key, turn.now).and_then(|item| item.deadline());
    if turn.is_over(extras.deadline) {
        turn.log(&[b"UNLINK", key.bytes]);
        free(partition.remove(DB, key, turn.now));
    } else {
        match extras.deadline {
            same if same == before => {}
            None => turn.log(&[b"PERSIST", key.bytes]),
            Some(at) => turn.log(&[b"PEXPIREAT", key.bytes, itoa::Buffer::new().format(at).as_bytes()]),
        }
        partition.set_extras(DB, key, extras, turn.now);
    }
}

/// Logs that a value was put at a key.
fn log_value(turn: &mut Turn<'_>, key: &Key<'_>, value: &Value<'_>, deadline: Option<u64>) {
    if turn.log.is_none_or(|log| !log.is_on()) {
        return;
    }
    let (mut digits, mut time) = (itoa::Buffer::new(), itoa::Buffer::new());
    let data: &[u8] = match value {
        Value::String(bytes) => bytes,
        Value::Long(bytes) => bytes,
        Value::Integer(n) => digits.format(*n).as_bytes(),
        _ => return,
    };
    match deadline {
        None => turn.log(&[b"SET", key.bytes, data]),
        Some(at) => turn.log(&[b"SET", key.bytes, data, b"PXAT", time.format(at).as_bytes()]),
    }
}

/// Puts a value in place of whatever was there; removes that if the value's time is over already.
pub(super) fn put(
    turn: &mut Turn<'_>,
    partition: &mut Partition,
    key: &Key<'_>,
    value: Value<'_>,
    extras: Extras,
) {
    turn.changes += 1;
    free(if turn.is_over(extras.deadline) {
        turn.log(&[b"UNLINK", key.bytes]);
        partition.remove(DB, key, turn.now)
    } else {
        log_value(turn, key, &value, extras.deadline);
        partition.set(DB, key, value, extras, turn.access)
    });
    turn.note_change(partition, key);
}

/// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
pub(super) fn store(
    turn: &mut Turn<'_>,
    verb: Verb,
    key: &Key<'_>,
    flags: u32,
    exptime: i32,
    data: Cow<'_, [u8]>,
) -> &'static [u8] {
    turn.count(Counter::CmdSet);
    turn.detail(key.bytes, Event::Set);
    let Some(mut partition) = turn.hold(key) else { return b"" };
    turn.watch_fetch(&partition, key);
    let bytes = data.len();
    let answer = store_held(turn, &mut partition, verb, key, flags, exptime, data);
    let (command, status) = (command(verb), status(answer));
    turn.watch_store(&partition, key, &Stored { status, command, deadline: turn.deadline(exptime), bytes });
    answer
}

/// What a verb is in the lines of `watch`.
fn command(verb: Verb) -> &'static str {
    match verb {
        Verb::Set => "set",
        Verb::Add => "add",
        Verb::Replace => "replace",
        Verb::Append => "append",
        Verb::Prepend => "prepend",
        Verb::Cas(_) => "cas",
    }
}

/// What an answer is in the lines of `watch`.
fn status(answer: &[u8]) -> &'static str {
    match answer {
        STORED => "stored",
        NOT_STORED => "not_stored",
        NOT_FOUND => "not_found",
        NO_MEMORY => "no_memory",
        _ => "exists",
    }
}

fn store_held(
    turn: &mut Turn<'_>,
    partition: &mut Partition,
    verb: Verb,
    key: &Key<'_>,
    flags: u32,
    exptime: i32,
    data: Cow<'_, [u8]>,
) -> &'static [u8] {
    if turn.memory_full {
        turn.count(Counter::StoreNoMemory);
        forget(turn, partition, key, verb);
        return NO_MEMORY;
    }
    if let Err(answer) = admit(turn, partition, key, verb) {
        return answer;
    }
    let stored = match verb {
        Verb::Append => join(turn, partition, key, &data, false),
        Verb::Prepend => join(turn, partition, key, &data, true),
        Verb::Set | Verb::Add | Verb::Replace | Verb::Cas(_) => {
            let extras = Extras { deadline: turn.deadline(exptime), flags, ..Extras::default() };
            put(turn, partition, key, value_of(data), extras);
            true
        }
    };
    if !stored {
        return NOT_STORED;
    }
    turn.count(Counter::TotalItems);
    STORED
}

/// Whether a verb may store, by what is there.
fn admit(turn: &Turn<'_>, partition: &Partition, key: &Key<'_>, verb: Verb) -> Result<(), &'static [u8]> {
    let there = match verb {
        Verb::Set => return Ok(()),
        _ => partition.peek(DB, key, turn.now),
    };
    match (verb, there) {
        (Verb::Add, Some(_)) => Err(NOT_STORED),
        (Verb::Add, None) => Ok(()),
        (Verb::Cas(_), None) => {
            turn.count(Counter::CasMisses);
            Err(NOT_FOUND)
        }
        (Verb::Cas(unique), Some(item)) if unique == 0 || unique != item.extras().cas => {
            turn.count(Counter::CasBadval);
            Err(b"EXISTS\r\n")
        }
        (Verb::Cas(_), Some(_)) => {
            turn.count(Counter::CasHits);
            Ok(())
        }
        (_, None) => Err(NOT_STORED),
        (_, Some(_)) => Ok(()),
    }
}

/// Adds to a string at one end, keeping its flags and deadline; false if there is none or it would grow too large.
fn join(turn: &mut Turn<'_>, partition: &mut Partition, key: &Key<'_>, data: &[u8], before: bool) -> bool {
    let Some(item) = partition.peek(DB, key, turn.now) else { return false };
    let mut digits = itoa::Buffer::new();
    let (value, extras) = (item.value(), Extras { cas: 0, state: State::default(), ..item.extras() });
    let Some(old) = string(&value, &mut digits) else { return false };
    if item_bytes(key.bytes.len(), old.len() + data.len(), extras.flags) > turn.shared.item_size_max() {
        return false;
    }
    join_values(turn, partition, key, data, before, extras);
    true
}

/// Adds to the string that is there, at one end, and gives it these extras.
pub(super) fn join_values(
    turn: &mut Turn<'_>,
    partition: &mut Partition,
    key: &Key<'_>,
    data: &[u8],
    before: bool,
    extras: Extras,
) {
    if !before && extend(turn, partition, key, data) {
        turn.log(&[b"APPEND", key.bytes, data]);
        return set_extras(turn, partition, key, extras);
    }
    let mut digits = itoa::Buffer::new();
    let Some(item) = partition.peek(DB, key, turn.now) else { return };
    let value = item.value();
    let Some(old) = string(&value, &mut digits) else { return };
    let joined = if before { [data, old] } else { [old, data] }.concat();
    put(turn, partition, key, self::value(&joined), extras);
}

/// Appends to a long string in place; false if the value is not held as one.
fn extend(turn: &Turn<'_>, partition: &mut Partition, key: &Key<'_>, data: &[u8]) -> bool {
    match partition.write(DB, key, turn.now, turn.access).map(|item| item.into_value()) {
        Some(ValueMut::Long(bytes)) => {
            bytes.extend_from_slice(data);
            true
        }
        _ => false,
    }
}

/// A value that is too large was announced: what `set` was to replace must not be read any more.
pub(super) fn oversized(turn: &mut Turn<'_>, verb: Verb, key: &[u8]) {
    turn.count(Counter::StoreTooLarge);
    turn.watch_oversized(key, command(verb));
    let key = turn.key(key);
    let Some(mut partition) = turn.hold(&key) else { return };
    turn.watch_fetch(&partition, &key);
    forget(turn, &mut partition, &key, verb);
}

fn forget(turn: &mut Turn<'_>, partition: &mut Partition, key: &Key<'_>, verb: Verb) {
    if verb == Verb::Set {
        remove(turn, partition, key);
    }
}

/// Removes a key; true if it was there.
pub(super) fn remove(turn: &mut Turn<'_>, partition: &mut Partition, key: &Key<'_>) -> bool {
    let removed = partition.remove(DB, key, turn.now);
    let found = removed.is_some();
    turn.changes += u64::from(found);
    if found {
        turn.log(&[b"DEL", key.bytes]);
        turn.note_change(partition, key);
    }
    turn.log_gone(partition);
    free(removed);
    found
}

/// False for a value that is too large, which is counted.
pub(super) fn admit_value(turn: &Turn<'_>, key: &Key<'_>, value_bytes: usize, flags: u32) -> bool {
    let fits = item_bytes(key.bytes.len(), value_bytes, flags) <= turn.shared.item_size_max();
    if !fits {
        turn.count(Counter::StoreTooLarge);
    }
    fits
}

/// `delete`.
pub(super) fn delete(turn: &mut Turn<'_>, key: &[u8]) -> &'static [u8] {
    turn.detail(key, Event::Delete);
    let key = turn.key(key);
    let Some(mut partition) = turn.hold(&key) else { return b"" };
    turn.watch_fetch(&partition, &key);
    turn.watch_delete(&partition, &key, "delete");
    let found = remove(turn, &mut partition, &key);
    turn.count(if found { Counter::DeleteHits } else { Counter::DeleteMisses });
    if found { b"DELETED\r\n" } else { NOT_FOUND }
}

/// `incr`, `decr`.
pub(super) fn arithmetic(turn: &mut Turn<'_>, key: &[u8], delta: u64, up: bool, out: &mut Vec<u8>) {
    let (hits, misses) =
        if up { (Counter::IncrHits, Counter::IncrMisses) } else { (Counter::DecrHits, Counter::DecrMisses) };
    let key = turn.key(key);
    let Some(mut partition) = turn.hold(&key) else { return };
    turn.watch_fetch(&partition, &key);
    let Some(item) = partition.peek(DB, &key, turn.now) else {
        turn.count(misses);
        return out.extend_from_slice(NOT_FOUND);
    };
    let extras = Extras { cas: 0, ..item.extras() };
    let Some((number, len)) = number(&item.value()) else {
        return out.extend_from_slice(NOT_A_NUMBER);
    };
    turn.count(hits);
    let result = if up { number.wrapping_add(delta) } else { number.saturating_sub(delta) };
    let mut digits = itoa::Buffer::new();
    let text = digits.format(result).as_bytes();
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
    put_number(turn, &mut partition, &key, text, len, extras);
}

/// Puts a number in place of one that took `len` bytes, with blanks behind it where it is shorter. One that became longer
/// is as new. (memcached makes any anew while another request or thread holds it: `get` and `incr` in one pipeline.)
pub(super) fn put_number(
    turn: &mut Turn<'_>,
    partition: &mut Partition,
    key: &Key<'_>,
    text: &[u8],
    len: usize,
    extras: Extras,
) {
    if text.len() > len {
        return put(turn, partition, key, value(text), Extras { state: State::default(), ..extras });
    }
    if text.len() == len {
        return put(turn, partition, key, value(text), extras);
    }
    let mut padded = text.to_vec();
    padded.resize(len, b' ');
    put(turn, partition, key, Value::String(&padded), extras);
}

/// A value as a number, and its length as a string.
pub(super) fn number(value: &ValueRef<'_>) -> Option<(u64, usize)> {
    let mut digits = itoa::Buffer::new();
    let text = string(value, &mut digits).filter(|text| text.len() <= NUMBER_BYTES_MAX)?;
    Some((unsigned(text)?, text.len()))
}

/// `touch`.
pub(super) fn touch(turn: &mut Turn<'_>, key: &[u8], exptime: i32) -> &'static [u8] {
    turn.count(Counter::CmdTouch);
    let key = turn.key(key);
    let Some(mut partition) = turn.hold(&key) else { return b"" };
    turn.watch_fetch(&partition, &key);
    let Some(item) = partition.read(DB, &key, turn.now, turn.access) else {
        turn.log_gone(&mut partition);
        turn.count(Counter::TouchMisses);
        return NOT_FOUND;
    };
    let extras = Extras { deadline: turn.deadline(exptime), ..item.extras() };
    turn.count(Counter::TouchHits);
    set_extras(turn, &mut partition, &key, extras);
    b"TOUCHED\r\n"
}
