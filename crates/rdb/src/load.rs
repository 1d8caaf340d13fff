//! From bytes to values.

use crate::error::{Error, Problem};
use crate::kind;
use crate::read::{Reader, Text};
use crate::{stream, ziplist, zipmap};
use larder_protocol::number;
use larder_store::Value;
use larder_store::object::packed::{Packed, parse_canonical};
use larder_store::object::{
    Adopted, Digits, Element, End, FIELD_DEADLINE_MAX_MS, Hash, Limits, List, Set, SortedSet,
};
use std::borrow::Cow;
use std::collections::HashSet;

/// How values are built.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// When a packed value becomes a real structure.
    pub limits: &'a Limits,
    /// Look for members that stand twice in packed values too (`sanitize-dump-payload`). Grown values are always looked
    /// through, and bytes are always checked: a value that was built never does harm.
    pub thorough: bool,
}

/// Bytes of a listpack before its entries: its size and their number.
const LISTPACK_HEAD: usize = 6;
const LISTPACK_END: u8 = 0xff;
/// A number of entries that says to count them.
const COUNT_UNKNOWN: u16 = u16::MAX;
/// A node of a list that is one plain string, and one that is a listpack.
const NODE_PLAIN: u64 = 1;
const NODE_PACKED: u64 = 2;

/// Reads the value of a type that [`kind`] names.
pub fn value<'a>(kind: u8, reader: &mut Reader<'a>, options: &Options<'_>) -> Result<Value<'a>, Error> {
    let value = match kind {
        kind::STRING => return string(reader),
        kind::LIST => list(reader, options)?,
        kind::LIST_ZIPLIST => list_of_ziplist(reader, options)?,
        kind::LIST_QUICKLIST => list_of_ziplists(reader, options)?,
        kind::LIST_QUICKLIST_2 => list_of_nodes(reader)?,
        kind::SET => set(reader, options)?,
        kind::SET_INTSET => set_of_integers(reader, options)?,
        kind::SET_LISTPACK => set_of_listpack(reader, options)?,
        kind::ZSET | kind::ZSET_2 => sorted_set(kind, reader, options)?,
        kind::ZSET_ZIPLIST => sorted_set_of_ziplist(reader, options)?,
        kind::ZSET_LISTPACK => sorted_set_of_listpack(reader, options)?,
        kind::HASH => hash(reader, options)?,
        kind::HASH_ZIPMAP => hash_of_zipmap(reader, options)?,
        kind::HASH_ZIPLIST => hash_of_ziplist(reader, options)?,
        kind::HASH_LISTPACK => hash_of_listpack(reader, options)?,
        kind::HASH_2 => hash_with_deadlines(reader, options)?,
        kind::HASH_METADATA => hash_with_distances(reader, options)?,
        kind::HASH_LISTPACK_EX => hash_of_triples(reader, options)?,
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => {
            Value::Stream(Box::new(stream::read(kind, reader)?))
        }
        other => return Err(reader.error(Problem::Unknown(other))),
    };
    match is_empty(&value) {
        true => Err(reader.error(Problem::Empty)),
        false => Ok(value),
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::List(list) => list.is_empty(),
        Value::Set(set) => set.is_empty(),
        Value::SortedSet(set) => set.is_empty(),
        Value::Hash(hash) => hash.is_empty(),
        _ => false,
    }
}

fn string<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, Error> {
    Ok(match reader.text()? {
        Text::Integer(n) => Value::Integer(n),
        Text::Bytes(bytes) => match (parse_canonical(&bytes), bytes) {
            (Some(n), _) => Value::Integer(n),
            (None, Cow::Borrowed(bytes)) => Value::String(bytes),
            (None, Cow::Owned(bytes)) => Value::Long(bytes),
        },
    })
}

/// A string that holds a packed form, and where it begins in the input (if it is compressed, so do its errors).
fn blob<'a>(reader: &mut Reader<'a>) -> Result<(Cow<'a, [u8]>, usize), Error> {
    let bytes = reader.string()?;
    let base = match &bytes {
        Cow::Borrowed(bytes) => reader.offset() - bytes.len(),
        Cow::Owned(_) => reader.offset(),
    };
    Ok((bytes, base))
}

/// Takes over the entries of a listpack.
pub(crate) fn listpack(reader: &mut Reader<'_>) -> Result<Adopted, Error> {
    let (bytes, base) = blob(reader)?;
    let broken = Error { offset: base, problem: Problem::Packed("listpack") };
    let mut head = Reader::within(&bytes, base);
    let (size, count) = (head.u32()?, head.u16()?);
    let entries = bytes[LISTPACK_HEAD..].strip_suffix(&[LISTPACK_END]).ok_or(broken)?;
    let adopted = Packed::adopt(entries).filter(|_| size as usize == bytes.len()).ok_or(broken)?;
    match count == COUNT_UNKNOWN || usize::from(count) == adopted.packed.len() {
        true => Ok(adopted),
        false => Err(broken),
    }
}

/// Refuses members that stand twice, at every `step`-th entry.
fn unique(packed: &Packed, step: usize, reader: &Reader<'_>) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(packed.len() / step);
    match packed.iter().step_by(step).all(|member| seen.insert(member)) {
        true => Ok(()),
        false => Err(reader.error(Problem::Repeated)),
    }
}

fn repeated<T>(fresh: bool, reader: &Reader<'_>, value: T) -> Result<T, Error> {
    if fresh { Ok(value) } else { Err(reader.error(Problem::Repeated)) }
}

fn list(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let mut list = List::new();
    for _ in 0..reader.count(1)? {
        list.push(End::Right, &reader.string()?, options.limits);
    }
    Ok(Value::List(Box::new(list)))
}

fn push_ziplist(list: &mut List, reader: &mut Reader<'_>, options: &Options<'_>) -> Result<(), Error> {
    let (bytes, base) = blob(reader)?;
    ziplist::each(&bytes, base, |element| {
        list.push(End::Right, element.bytes(&mut Digits::new()), options.limits);
        Ok(())
    })
}

fn list_of_ziplist(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let mut list = List::new();
    push_ziplist(&mut list, reader, options)?;
    Ok(Value::List(Box::new(list)))
}

fn list_of_ziplists(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let mut list = List::new();
    for _ in 0..reader.count(1)? {
        push_ziplist(&mut list, reader, options)?;
    }
    Ok(Value::List(Box::new(list)))
}

fn list_of_nodes(reader: &mut Reader<'_>) -> Result<Value<'static>, Error> {
    let mut list = List::new();
    for _ in 0..reader.count(2)? {
        match reader.length()? {
            NODE_PACKED => list.push_node(listpack(reader)?.packed),
            NODE_PLAIN => {
                let mut node = Packed::new();
                node.push(&reader.string()?);
                list.push_node(node);
            }
            _ => return Err(reader.error(Problem::Packed("node of a list"))),
        }
    }
    Ok(Value::List(Box::new(list)))
}

fn set(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let mut set = Set::new();
    for _ in 0..reader.count(1)? {
        let fresh = set.insert(&reader.string()?, options.limits);
        repeated(fresh, reader, ())?;
    }
    Ok(Value::Set(Box::new(set)))
}

fn set_of_integers(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let (bytes, base) = blob(reader)?;
    let broken = Error { offset: base, problem: Problem::Packed("intset") };
    let mut head = Reader::within(&bytes, base);
    let (width, count) = (head.u32()? as usize, head.u32()? as usize);
    let numbers = head.rest();
    if !matches!(width, 2 | 4 | 8) || !numbers.len().is_multiple_of(width) || numbers.len() / width != count {
        return Err(broken);
    }
    let unused = 64 - 8 * width as u32;
    let mut set = Set::new();
    let mut last = None;
    for bytes in numbers.chunks_exact(width) {
        let wide = bytes.iter().rev().fold(0u64, |wide, byte| wide << 8 | u64::from(*byte));
        let n = ((wide << unused) as i64) >> unused;
        if last.is_some_and(|last| last >= n) {
            return Err(broken);
        }
        last = Some(n);
        set.insert(Element::Int(n).bytes(&mut Digits::new()), options.limits);
    }
    Ok(Value::Set(Box::new(set)))
}

fn set_of_listpack(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let entries = listpack(reader)?;
    let count = entries.packed.len();
    if options.thorough || count > options.limits.set_max_listpack_entries {
        unique(&entries.packed, 1, reader)?;
    }
    Ok(Value::Set(Box::new(Set::from_packed(entries, options.limits))))
}

fn sorted_set(kind: u8, reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let mut set = SortedSet::new();
    for _ in 0..reader.count(2)? {
        let member = reader.string()?;
        let score = if kind == kind::ZSET_2 { reader.f64()? } else { reader.f64_text()? };
        if score.is_nan() {
            return Err(reader.error(Problem::Number));
        }
        let fresh = set.insert(&member, score, options.limits).is_none();
        repeated(fresh, reader, ())?;
    }
    Ok(Value::SortedSet(Box::new(set)))
}

/// The score that an entry stands for.
fn score(element: Element<'_>) -> Option<f64> {
    match element {
        Element::Int(n) => Some(n as f64),
        Element::Bytes(text) => number::parse_f64(text),
    }
}

fn sorted_set_of_packed(
    packed: &Packed,
    reader: &Reader<'_>,
    options: &Options<'_>,
) -> Result<Value<'static>, Error> {
    let broken = reader.error(Problem::Packed("sorted set"));
    if !packed.len().is_multiple_of(2) {
        return Err(broken);
    }
    if options.thorough || packed.len() / 2 > options.limits.zset_max_listpack_entries {
        unique(packed, 2, reader)?;
    }
    let mut entries = packed.iter();
    let mut valid = true;
    let pairs = std::iter::from_fn(|| {
        let member = entries.next()?;
        let score = score(entries.next()?);
        valid &= score.is_some();
        Some((member, score?))
    });
    let set = SortedSet::from_pairs(pairs, options.limits);
    if valid { Ok(Value::SortedSet(Box::new(set))) } else { Err(broken) }
}

fn sorted_set_of_listpack(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let entries = listpack(reader)?;
    sorted_set_of_packed(&entries.packed, reader, options)
}

/// The entries of a ziplist in our form.
fn repacked(reader: &mut Reader<'_>) -> Result<Adopted, Error> {
    let (bytes, base) = blob(reader)?;
    let (mut packed, mut longest) = (Packed::new(), 0);
    ziplist::each(&bytes, base, |element| {
        longest = longest.max(element.len());
        packed.insert(packed.end(), &element);
        Ok(())
    })?;
    Ok(Adopted { packed, longest })
}

fn sorted_set_of_ziplist(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let entries = repacked(reader)?;
    sorted_set_of_packed(&entries.packed, reader, options)
}

fn hash(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let mut hash = Hash::new();
    for _ in 0..reader.count(2)? {
        let (field, value) = (reader.string()?, reader.string()?);
        let fresh = hash.insert(&field, &value, options.limits);
        repeated(fresh, reader, ())?;
    }
    Ok(Value::Hash(Box::new(hash)))
}

fn hash_of_zipmap(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let (bytes, base) = blob(reader)?;
    let mut hash = Hash::new();
    zipmap::each(&bytes, base, |field, value| {
        let fresh = hash.insert(field, value, options.limits);
        repeated(fresh, reader, ())
    })?;
    Ok(Value::Hash(Box::new(hash)))
}

fn hash_of_packed(
    entries: Adopted,
    reader: &Reader<'_>,
    options: &Options<'_>,
) -> Result<Value<'static>, Error> {
    let grows = entries.packed.len() / 2 > options.limits.hash_max_listpack_entries
        || entries.longest > options.limits.hash_max_listpack_value;
    if options.thorough || grows {
        unique(&entries.packed, 2, reader)?;
    }
    let hash = Hash::from_packed(entries, options.limits);
    hash.map(|hash| Value::Hash(Box::new(hash))).ok_or(reader.error(Problem::Packed("hash")))
}

fn hash_of_ziplist(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let entries = repacked(reader)?;
    hash_of_packed(entries, reader, options)
}

fn hash_of_listpack(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let entries = listpack(reader)?;
    hash_of_packed(entries, reader, options)
}

/// A hash under way whose fields may have deadlines.
struct TimedHash<'a> {
    hash: Hash,
    limits: &'a Limits,
}

impl<'a> TimedHash<'a> {
    fn new(options: &Options<'a>) -> TimedHash<'a> {
        TimedHash { hash: Hash::new(), limits: options.limits }
    }

    fn push(
        &mut self,
        field: &[u8],
        value: &[u8],
        deadline: Option<u64>,
        reader: &Reader<'_>,
    ) -> Result<(), Error> {
        let fresh = self.hash.insert(field, value, self.limits);
        repeated(fresh, reader, ())?;
        if let Some(deadline) = deadline {
            if deadline > FIELD_DEADLINE_MAX_MS {
                return Err(reader.error(Problem::Number));
            }
            self.hash.set_deadline(field, Some(deadline), self.limits);
        }
        Ok(())
    }

    fn finish(self) -> Value<'static> {
        Value::Hash(Box::new(self.hash))
    }
}

/// Valkey: field, value, deadline in Unix milliseconds or -1.
fn hash_with_deadlines(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let mut hash = TimedHash::new(options);
    for _ in 0..reader.count(10)? {
        let (field, value, deadline) = (reader.string()?, reader.string()?, reader.u64()?);
        let deadline = Some(deadline).filter(|deadline| *deadline != u64::MAX);
        hash.push(&field, &value, deadline, reader)?;
    }
    Ok(hash.finish())
}

/// Redis: the earliest deadline, then distance from it plus one (0: none), field, value.
fn hash_with_distances(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    let earliest = reader.u64()?;
    let mut hash = TimedHash::new(options);
    for _ in 0..reader.count(3)? {
        let (distance, field, value) = (reader.length()?, reader.string()?, reader.string()?);
        let deadline = distance.checked_sub(1).map(|distance| earliest.saturating_add(distance));
        hash.push(&field, &value, deadline, reader)?;
    }
    Ok(hash.finish())
}

/// Redis: the earliest deadline, then a listpack of field, value, deadline (0: none).
fn hash_of_triples(reader: &mut Reader<'_>, options: &Options<'_>) -> Result<Value<'static>, Error> {
    reader.u64()?;
    let entries = listpack(reader)?.packed;
    let broken = reader.error(Problem::Packed("hash"));
    let mut hash = TimedHash::new(options);
    let mut elements = entries.iter();
    while let Some(field) = elements.next() {
        let (Some(value), Some(Element::Int(deadline))) = (elements.next(), elements.next()) else {
            return Err(broken);
        };
        let deadline = u64::try_from(deadline).map_err(|_| broken)?;
        let (mut name, mut text) = (Digits::new(), Digits::new());
        let deadline = Some(deadline).filter(|deadline| *deadline != 0);
        hash.push(field.bytes(&mut name), value.bytes(&mut text), deadline, reader)?;
    }
    Ok(hash.finish())
}

#[cfg(test)]
mod tests;
