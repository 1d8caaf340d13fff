//! From values to bytes, in the forms of Redis 7.2 and Valkey 8; a hash with deadlines of fields in that of Valkey 9.

use crate::write::Writer;
use crate::{kind, stream};
use larder_protocol::number::Buffer;
use larder_store::ValueRef;
use larder_store::object::packed::Packed;
use larder_store::object::{Digits, Element, Hash, List, Set, SortedSet};

/// A list node with one element of more bytes than this is written as a plain string.
const PLAIN_NODE_BYTES: usize = 8 << 10;
/// Bytes of a part of a large value.
pub const PART_BYTES: usize = 64 << 10;

/// The type in which a value is written.
pub fn kind_of(value: &ValueRef<'_>) -> u8 {
    match value {
        ValueRef::String(_) | ValueRef::Integer(_) => kind::STRING,
        ValueRef::List(_) => kind::LIST_QUICKLIST_2,
        ValueRef::Set(set) if set.packed().is_some() => kind::SET_LISTPACK,
        ValueRef::Set(set) if set.encoding() == "intset" => kind::SET_INTSET,
        ValueRef::Set(_) => kind::SET,
        ValueRef::SortedSet(set) if set.encoding() == "listpack" => kind::ZSET_LISTPACK,
        ValueRef::SortedSet(_) => kind::ZSET_2,
        ValueRef::Stream(_) => kind::STREAM_3,
        ValueRef::Hash(hash) if hash.timed_len() > 0 => kind::HASH_2,
        ValueRef::Hash(hash) if hash.packed().is_some() => kind::HASH_LISTPACK,
        ValueRef::Hash(_) => kind::HASH,
    }
}

/// The type in which a value is written by this writer.
pub fn kind_for(value: &ValueRef<'_>, writer: &Writer) -> u8 {
    match kind_of(value) {
        kind::SET_LISTPACK if writer.uses_old_forms() => kind::SET,
        kind::STREAM_3 if writer.uses_old_forms() => kind::STREAM_2,
        other => other,
    }
}

/// Writes a value, without its type.
pub fn value(value: &ValueRef<'_>, writer: &mut Writer) {
    write(value, writer, &mut |_| {});
}

/// The same, but that `part` is given what was written whenever that is [`PART_BYTES`], so that a collection of any size
/// needs no more memory than its longest member. The last part stays in the writer.
pub fn value_in_parts(value: &ValueRef<'_>, writer: &mut Writer, part: &mut dyn FnMut(&[u8])) {
    write(value, writer, &mut |writer| {
        if writer.len() >= PART_BYTES {
            part(writer.as_bytes());
            writer.clear();
        }
    });
}

/// What is called after each member.
pub(crate) type Relief<'a> = &'a mut dyn FnMut(&mut Writer);

fn write(value: &ValueRef<'_>, writer: &mut Writer, relief: Relief<'_>) {
    match value {
        ValueRef::String(bytes) => writer.string(bytes),
        ValueRef::Integer(n) => writer.integer(*n),
        ValueRef::List(value) => list(value, writer, relief),
        ValueRef::Set(value) => set(value, writer, relief),
        ValueRef::SortedSet(value) => sorted_set(value, writer, relief),
        ValueRef::Hash(value) => hash(value, writer, relief),
        ValueRef::Stream(value) => stream::write(value, writer, relief),
    }
}

fn element(element: &Element<'_>, writer: &mut Writer) {
    match element {
        Element::Int(n) => writer.integer(*n),
        Element::Bytes(bytes) => writer.string(bytes),
    }
}

pub(crate) fn listpack(packed: &Packed, writer: &mut Writer) {
    let entries = packed.as_bytes();
    let size = entries.len() + 7;
    let count = u16::try_from(packed.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(entries);
    bytes.push(0xff);
    writer.string(&bytes);
}

fn list(list: &List, writer: &mut Writer, relief: Relief<'_>) {
    let nodes = list.nodes();
    writer.length(nodes.len() as u64);
    for node in nodes {
        if node.len() == 1 && node.byte_len() > PLAIN_NODE_BYTES {
            writer.length(1);
            element(&node.get(0), writer);
        } else {
            writer.length(2);
            listpack(node, writer);
        }
        relief(writer);
    }
}

fn set(set: &Set, writer: &mut Writer, relief: Relief<'_>) {
    if let Some(packed) = set.packed().filter(|_| !writer.uses_old_forms()) {
        return listpack(packed, writer);
    }
    if set.encoding() == "intset" {
        return integers(set, writer);
    }
    writer.length(set.len() as u64);
    set.iter().for_each(|member| {
        element(&member, writer);
        relief(writer);
    });
}

fn integers(set: &Set, writer: &mut Writer) {
    let numbers =
        || set.iter().filter_map(|member| if let Element::Int(n) = member { Some(n) } else { None });
    let width = numbers().fold(2, |width, n| match n {
        -0x8000..=0x7fff => width,
        -0x8000_0000..=0x7fff_ffff => width.max(4),
        _ => 8,
    });
    let mut bytes = Vec::with_capacity(8 + set.len() * width);
    bytes.extend_from_slice(&(width as u32).to_le_bytes());
    bytes.extend_from_slice(&(set.len() as u32).to_le_bytes());
    numbers().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()[..width]));
    writer.string(&bytes);
}

fn sorted_set(set: &SortedSet, writer: &mut Writer, relief: Relief<'_>) {
    if set.encoding() == "listpack" {
        // Scores are eight bytes with us, but text in a listpack.
        let (mut packed, mut text) = (Packed::new(), Buffer::new());
        for (member, score) in set.iter() {
            packed.insert(packed.end(), &member);
            packed.push(text.format_f64(score));
        }
        return listpack(&packed, writer);
    }
    writer.length(set.len() as u64);
    for (member, score) in set.iter_from(set.len().saturating_sub(1), true) {
        element(&member, writer);
        writer.raw(&score.to_le_bytes());
        relief(writer);
    }
}

fn hash(hash: &Hash, writer: &mut Writer, relief: Relief<'_>) {
    if let Some(packed) = hash.packed() {
        return listpack(packed, writer);
    }
    writer.length(hash.len() as u64);
    let timed = hash.timed_len() > 0;
    for (field, value) in hash.iter() {
        let mut digits = Digits::new();
        let field = field.bytes(&mut digits);
        writer.string(field);
        element(&value, writer);
        if timed {
            writer.raw(&hash.deadline(field).unwrap_or(u64::MAX).to_le_bytes());
        }
        relief(writer);
    }
}
