//! Streams: nodes of entries in listpacks, then the groups.
//!
//! A node's listpack begins with its master entry: how many entries live and how many are deleted, the fields of the
//! first one, and 0. An entry is flags, its id as a difference to the node's, its fields unless they are the master's,
//! values, and the number of elements of all that. An id is 16 bytes, highest first.

use crate::error::{Error, Problem};
use crate::kind;
use crate::load::listpack;
use crate::read::Reader;
use crate::save;
use crate::write::Writer;
use larder_store::object::packed::{Iter, Packed};
use larder_store::object::{Element, stream};
use std::collections::BTreeMap;
use stream::{Entry, Group, Id, Stream};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// Elements of an entry beside fields and values: flags and the two halves of the id.
const ENTRY_HEAD: usize = 3;
/// Entries and bytes of a node as it is written.
const NODE_ENTRIES: usize = 100;
const NODE_BYTES: usize = 4096;
/// Entries of a stream whose nodes are kept while they are counted.
const ENTRIES_KEPT: usize = 1000;
/// Bytes of an id, and of a pending entry with it.
const ID_BYTES: usize = 16;
const PENDING_BYTES: usize = ID_BYTES + 9;
/// How many times its own size the entries of a node may come to when each has the fields that stand once, and what is
/// always allowed.
const EXPANSION_MAX: usize = 256;
const EXPANSION_BYTES_MIN: usize = 1 << 20;
/// A time that never was.
const NEVER: u64 = u64::MAX;

/// Reads a stream of one of the three versions.
pub(crate) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Stream, Error> {
    let mut stream = Stream::default();
    for _ in 0..reader.count(ID_BYTES)? {
        node(&mut stream, reader)?;
    }
    let len = reader.length()?;
    let last = id(reader)?;
    if len != stream.len() as u64 || last < stream.last_id {
        return Err(reader.error(Problem::Inconsistent));
    }
    stream.last_id = last;
    stream.entries_added = len;
    if kind != kind::STREAM {
        id(reader)?; // the first id, which the entries tell
        stream.max_deleted_id = id(reader)?;
        stream.entries_added = reader.length()?;
    }
    for _ in 0..reader.count(4)? {
        let name = reader.string()?;
        let mut group = group(kind, reader)?;
        if kind == kind::STREAM {
            // Versions before 7.0 did not count; it is known where nothing was deleted.
            group.entries_read = stream.added_up_to(group.last_id);
        }
        if stream.groups.insert(name.into(), group).is_some() {
            return Err(reader.error(Problem::Repeated));
        }
    }
    Ok(stream)
}

/// An id as two lengths.
fn id(reader: &mut Reader<'_>) -> Result<Id, Error> {
    Ok(Id { ms: reader.length()?, seq: reader.length()? })
}

/// An id as 16 bytes.
fn raw_id(reader: &mut Reader<'_>) -> Result<Id, Error> {
    Ok(Id { ms: reader.u64_be()?, seq: reader.u64_be()? })
}

fn node(stream: &mut Stream, reader: &mut Reader<'_>) -> Result<(), Error> {
    let key = reader.string()?;
    let first = raw_id(&mut Reader::within(&key, reader.offset()))?;
    let entries = listpack(reader)?.packed;
    let broken = reader.error(Problem::Packed("node of a stream"));
    let mut elements = entries.iter();
    let (live, deleted, width) = (integer(&mut elements), integer(&mut elements), integer(&mut elements));
    let fields = take(&mut elements, width).ok_or(broken)?;
    integer(&mut elements).filter(|end| *end == 0).ok_or(broken)?;
    let (mut alive, mut dead) = (0, 0);
    // Fields that stand once in the input are seen with every entry: a node may not make more of itself than this.
    let mut budget = entries.byte_len().saturating_mul(EXPANSION_MAX).max(EXPANSION_BYTES_MIN);
    let width: usize = fields.iter().map(Vec::len).sum();
    while let Some(flags) = elements.next() {
        let flags = if let Element::Int(flags) = flags { flags } else { return Err(broken) };
        let (id, values) = entry(&mut elements, flags, first, fields.len()).ok_or(broken)?;
        if flags & DELETED != 0 {
            dead += 1;
            continue;
        }
        let parts: Vec<&[u8]> = match flags & SAME_FIELDS {
            0 => values.iter().map(Vec::as_slice).collect(),
            _ => {
                budget = budget.checked_sub(width).ok_or(broken)?;
                fields.iter().zip(&values).flat_map(|(field, value)| [&**field, &**value]).collect()
            }
        };
        // A node stays a node, whatever the limits are here.
        let most = usize::from(alive == 0);
        if !stream.add(id, &parts, 0, most) {
            return Err(broken);
        }
        alive += 1;
    }
    match live == Some(alive) && deleted == Some(dead) {
        true => Ok(()),
        false => Err(broken),
    }
}

fn integer(elements: &mut Iter<'_>) -> Option<i64> {
    match elements.next()? {
        Element::Int(n) => Some(n),
        Element::Bytes(_) => None,
    }
}

/// The next elements, as many as are told; no more is allocated than there are.
fn take(elements: &mut Iter<'_>, count: Option<i64>) -> Option<Vec<Vec<u8>>> {
    let count = usize::try_from(count?).ok()?;
    let taken: Vec<Vec<u8>> = elements.by_ref().take(count).map(|element| element.to_vec()).collect();
    (taken.len() == count).then_some(taken)
}

/// An entry behind its flags: its values, or fields and values if it has fields of its own.
fn entry(elements: &mut Iter<'_>, flags: i64, first: Id, width: usize) -> Option<(Id, Vec<Vec<u8>>)> {
    let (ms, seq) = (integer(elements)?, integer(elements)?);
    let id = Id { ms: first.ms.wrapping_add(ms as u64), seq: first.seq.wrapping_add(seq as u64) };
    let (parts, count) = if flags & SAME_FIELDS != 0 {
        let values = take(elements, Some(width as i64))?;
        let count = ENTRY_HEAD + values.len();
        (values, count)
    } else {
        let width = integer(elements)?;
        let parts = take(elements, width.checked_mul(2))?;
        let count = ENTRY_HEAD + 1 + parts.len();
        (parts, count)
    };
    (integer(elements)? == count as i64).then_some((id, parts))
}

fn group(kind: u8, reader: &mut Reader<'_>) -> Result<Group, Error> {
    let mut group = Group { last_id: id(reader)?, ..Group::default() };
    if kind != kind::STREAM {
        group.entries_read = Some(reader.length()?).filter(|read| *read != NEVER);
    }
    let mut pending = BTreeMap::new();
    for _ in 0..reader.count(PENDING_BYTES)? {
        let (id, delivered_ms, count) = (raw_id(reader)?, reader.u64()?, reader.length()?);
        if pending.insert(id, (delivered_ms, count)).is_some() {
            return Err(reader.error(Problem::Repeated));
        }
    }
    for _ in 0..reader.count(1)? {
        consumer(kind, &mut group, &mut pending, reader)?;
    }
    match pending.is_empty() {
        true => Ok(group),
        // An entry that is nobody's.
        false => Err(reader.error(Problem::Inconsistent)),
    }
}

fn consumer(
    kind: u8,
    group: &mut Group,
    pending: &mut BTreeMap<Id, (u64, u64)>,
    reader: &mut Reader<'_>,
) -> Result<(), Error> {
    let name = reader.string()?;
    let seen_ms = reader.u64()?;
    if !group.add_consumer(&name, seen_ms) {
        return Err(reader.error(Problem::Repeated));
    }
    let active_ms = match kind {
        kind::STREAM_3 => Some(reader.u64()?).filter(|active| *active != NEVER),
        // Versions before knew one time only.
        _ => Some(seen_ms),
    };
    if let Some(consumer) = group.consumers.get_mut(&*name) {
        consumer.active_ms = active_ms;
    }
    for _ in 0..reader.count(ID_BYTES)? {
        let id = raw_id(reader)?;
        let (delivered_ms, count) = pending.remove(&id).ok_or(reader.error(Problem::Inconsistent))?;
        group.assign(id, &name, delivered_ms, count);
    }
    Ok(())
}

/// Writes a stream in the latest version.
pub(crate) fn write(stream: &Stream, writer: &mut Writer, relief: save::Relief<'_>) {
    let put = |(first, packed): (Id, Packed), writer: &mut Writer| {
        writer.length(ID_BYTES as u64);
        write_raw_id(first, writer);
        save::listpack(&packed, writer);
    };
    if stream.len() <= ENTRIES_KEPT {
        let mut all = Vec::new();
        nodes(stream, &mut |node| all.push(node));
        writer.length(all.len() as u64);
        all.into_iter().for_each(|node| put(node, writer));
    } else {
        // The number of nodes comes first. Packing them twice needs no memory.
        let mut count = 0;
        nodes(stream, &mut |_| count += 1);
        writer.length(count);
        nodes(stream, &mut |node| {
            put(node, writer);
            relief(writer);
        });
    }
    writer.length(stream.len() as u64);
    write_id(stream.last_id, writer);
    write_id(stream.first_id().unwrap_or_default(), writer);
    write_id(stream.max_deleted_id, writer);
    writer.length(stream.entries_added);
    writer.length(stream.groups.len() as u64);
    for (name, group) in &stream.groups {
        writer.string(name);
        write_group(group, writer, relief);
    }
}

fn write_id(id: Id, writer: &mut Writer) {
    writer.length(id.ms);
    writer.length(id.seq);
}

fn write_raw_id(id: Id, writer: &mut Writer) {
    writer.raw(&id.ms.to_be_bytes());
    writer.raw(&id.seq.to_be_bytes());
}

/// A node under way: its entries are packed as they come, what stands before them when it is full.
struct NodeWriter {
    first: Id,
    fields: Vec<Vec<u8>>,
    entries: Packed,
    count: usize,
}

impl NodeWriter {
    fn new(entry: &Entry<'_>) -> NodeWriter {
        let fields = entry.parts.iter().step_by(2).map(|field| field.to_vec()).collect();
        NodeWriter { first: entry.id, fields, entries: Packed::new(), count: 0 }
    }

    fn is_full(&self) -> bool {
        self.count >= NODE_ENTRIES || self.entries.byte_len() >= NODE_BYTES
    }

    fn push(&mut self, entry: &Entry<'_>) {
        let fields = entry.parts.iter().step_by(2);
        let same = fields.clone().count() == self.fields.len() && fields.eq(self.fields.iter());
        let packed = &mut self.entries;
        push_integer(packed, if same { SAME_FIELDS } else { 0 });
        push_integer(packed, entry.id.ms.wrapping_sub(self.first.ms) as i64);
        push_integer(packed, entry.id.seq.wrapping_sub(self.first.seq) as i64);
        let mut elements = ENTRY_HEAD;
        if same {
            entry.parts.iter().skip(1).step_by(2).for_each(|value| packed.push(value));
            elements += entry.parts.len() / 2;
        } else {
            push_integer(packed, (entry.parts.len() / 2) as i64);
            entry.parts.iter().for_each(|part| packed.push(part));
            elements += 1 + entry.parts.len();
        }
        push_integer(packed, elements as i64);
        self.count += 1;
    }

    fn finish(self) -> (Id, Packed) {
        let mut packed = Packed::new();
        push_integer(&mut packed, self.count as i64);
        push_integer(&mut packed, 0);
        push_integer(&mut packed, self.fields.len() as i64);
        self.fields.iter().for_each(|field| packed.push(field));
        push_integer(&mut packed, 0);
        packed.append(&self.entries);
        (self.first, packed)
    }
}

fn push_integer(packed: &mut Packed, n: i64) {
    packed.insert(packed.end(), &Element::Int(n));
}

/// Packs the entries, node by node.
fn nodes(stream: &Stream, done: &mut dyn FnMut((Id, Packed))) {
    let mut open: Option<NodeWriter> = None;
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        if let Some(full) = open.take_if(|node| node.is_full()) {
            done(full.finish());
        }
        open.get_or_insert_with(|| NodeWriter::new(&entry)).push(&entry);
        true
    });
    open.map(NodeWriter::finish).into_iter().for_each(done);
}

fn write_group(group: &Group, writer: &mut Writer, relief: save::Relief<'_>) {
    write_id(group.last_id, writer);
    writer.length(group.entries_read.unwrap_or(NEVER));
    writer.length(group.pending.len() as u64);
    for (id, pending) in group.pending.iter() {
        write_raw_id(id, writer);
        writer.raw(&pending.delivered_ms.to_le_bytes());
        writer.length(pending.count);
        relief(writer);
    }
    writer.length(group.consumers.len() as u64);
    for (name, consumer) in &group.consumers {
        writer.string(name);
        writer.raw(&consumer.seen_ms.to_le_bytes());
        if !writer.uses_old_forms() {
            writer.raw(&consumer.active_ms.unwrap_or(NEVER).to_le_bytes());
        }
        writer.length(consumer.pending.len() as u64);
        consumer.pending.iter().for_each(|(id, ())| {
            write_raw_id(id, writer);
            relief(writer);
        });
    }
}
