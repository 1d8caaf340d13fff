//! DEBUG DIGEST and DIGEST-VALUE: do two keyspaces, or two values, hold the same? And DEBUG POPULATE, which fills one.
//!
//! The digest of an empty keyspace is zero. That of any other is the sum, bit by bit without carry, of those of its keys, so
//! that the order in which they lie does not matter; the same goes for members of sets, fields of hashes and members of
//! sorted sets. How a value is kept does not matter either. Digests compare nodes of this engine, not those of others.

use super::Call;
use super::collection::{Answer, integer, text};
use crate::memory::bound;
use aws_lc_rs::digest::{SHA256, digest};
use larder_store::object::stream::{Id, Stream};
use larder_store::object::{Digits, Element};
use larder_store::{ItemRef, ValueRef};

/// Bytes of a digest, 40 digits.
const DIGEST_BYTES: usize = 20;
/// Most keys that DEBUG POPULATE makes.
const POPULATE_MAX: i64 = 1 << 32;
/// Longest value that it makes, in bytes.
const VALUE_BYTES_MAX: i64 = 512 * 1024 * 1024;
/// Keys after which it looks whether memory is left.
const LOOK_EVERY: i64 = 256;

type Digest = [u8; DIGEST_BYTES];

/// The digest of some texts, one behind the other: the length of each counts.
fn of(parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    let mut found = [0; DIGEST_BYTES];
    found.copy_from_slice(&digest(&SHA256, &bytes).as_ref()[..DIGEST_BYTES]);
    found
}

fn add(sum: &mut Digest, other: &Digest) {
    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum ^= other);
}

fn bytes(element: Element<'_>) -> Vec<u8> {
    element.bytes(&mut Digits::new()).to_vec()
}

/// The digest of a value, whatever it is kept as.
fn of_value(value: &ValueRef<'_>) -> Digest {
    let mut members = [0; DIGEST_BYTES];
    let kind: &[u8] = match value {
        ValueRef::String(text) => return of(&[b"string", text]),
        ValueRef::Integer(n) => return of(&[b"string", itoa::Buffer::new().format(*n).as_bytes()]),
        ValueRef::List(list) => {
            for (at, element) in list.iter().enumerate() {
                add(&mut members, &of(&[&(at as u64).to_le_bytes(), &bytes(element)]));
            }
            b"list"
        }
        ValueRef::Set(set) => {
            set.iter().for_each(|member| add(&mut members, &of(&[&bytes(member)])));
            b"set"
        }
        ValueRef::Hash(hash) => {
            hash.iter().for_each(|(field, value)| add(&mut members, &of(&[&bytes(field), &bytes(value)])));
            b"hash"
        }
        ValueRef::SortedSet(set) => {
            set.iter()
                .for_each(|(member, score)| add(&mut members, &of(&[&bytes(member), &score.to_le_bytes()])));
            b"zset"
        }
        ValueRef::Stream(stream) => return of_stream(stream),
    };
    of(&[kind, &members])
}

/// The digest of a stream with its groups. When consumers were last seen, and how often and when they read again what they
/// have, is no part of it: no replica and no file is told of that.
fn of_stream(stream: &Stream) -> Digest {
    let mut members = [0; DIGEST_BYTES];
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        let parts: Vec<&[u8]> = entry.parts.to_vec();
        add(&mut members, &of(&[&id(entry.id), &of(&parts)]));
        true
    });
    for (name, group) in &stream.groups {
        let (mut held, read) = ([0; DIGEST_BYTES], group.entries_read.map(u64::to_le_bytes));
        for (pending, facts) in group.pending.iter() {
            add(&mut held, &of(&[b"pending", &id(pending), &facts.consumer]));
        }
        group.consumers.keys().for_each(|consumer| add(&mut held, &of(&[b"consumer", consumer])));
        let read: &[u8] = read.as_ref().map_or(&[], |read| read);
        add(&mut members, &of(&[b"group", name, &id(group.last_id), read, &held]));
    }
    let (last, deleted) = (id(stream.last_id), id(stream.max_deleted_id));
    of(&[b"stream", &last, &deleted, &stream.entries_added.to_le_bytes(), &members])
}

fn id(id: Id) -> [u8; 16] {
    ((u128::from(id.ms) << 64) | u128::from(id.seq)).to_be_bytes()
}

fn of_item(db: u16, item: &ItemRef<'_>) -> Digest {
    let expires: &[u8] = if item.deadline().is_some() { b"expires" } else { b"" };
    of(&[&db.to_le_bytes(), item.key(), &of_value(&item.value()), expires])
}

fn digits(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// DEBUG DIGEST.
pub(super) fn keyspace(call: &mut Call<'_>) -> Answer {
    let (now, databases) = (call.keys.now(), call.keys.databases());
    let mut sum = [0; DIGEST_BYTES];
    call.keys.each_partition(|_, partition| {
        for db in (0..databases).filter(|db| partition.len(*db) > 0).collect::<Vec<_>>() {
            let mut position = Some(0);
            while let Some(at) = position {
                position = partition.scan(db, at, now, |item| add(&mut sum, &of_item(db, &item)));
            }
        }
    });
    call.out.simple(&digits(&sum));
    Ok(())
}

/// DEBUG DIGEST-VALUE.
pub(super) fn values(call: &mut Call<'_>) -> Answer {
    call.out.array(call.args.len() - 2);
    for key in call.args.from(2).iter() {
        let found = call.keys.peek_value(key).map_or([0; DIGEST_BYTES], |value| of_value(&value));
        call.out.simple(&digits(&found));
    }
    Ok(())
}

/// DEBUG POPULATE.
pub(super) fn populate(call: &mut Call<'_>) -> Answer {
    let count = integer(call.args.get(2))?;
    let size = if call.args.len() > 4 { integer(call.args.get(4))? } else { 0 };
    if !(0..=POPULATE_MAX).contains(&count) || !(0..=VALUE_BYTES_MAX).contains(&size) {
        return Err(text("ERR value is out of range, must be positive"));
    }
    let prefix = if call.args.len() > 3 { call.args.get(3) } else { b"key" };
    let maxmemory = call.node.settings().maxmemory;
    for number in 0..count {
        if number % LOOK_EVERY == 0 && maxmemory > 0 && bound::bounded_bytes() > maxmemory {
            return Err(text("OOM command not allowed when used memory > 'maxmemory'."));
        }
        let key = [prefix, format!(":{number}").as_bytes()].concat();
        if call.keys.exists(&key) {
            continue;
        }
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size as usize, 0);
        }
        call.keys.set_string(&key, &value);
        call.propagate(&[b"SET", &key, &value]);
    }
    call.out.ok();
    Ok(())
}
