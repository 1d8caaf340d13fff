//! What looks at every item: `lru_crawler metadump` and `mgdump` (a line for each, written piece by piece) and `stats
//! sizes` (counted piece by piece), over as many turns as it takes, so that neither memory nor other sessions suffer.

use super::{DB, OUTPUT_PER_TURN_BYTES_MAX, Turn};
use larder_protocol::memcache::request::{KEY_BYTES_MAX, item_bytes};
use larder_store::{ItemRef, ValueRef};
use std::collections::BTreeMap;
use std::io::Write;

/// Buckets visited per turn at most: an empty keyspace writes nothing and must end its turns too.
const BUCKETS_PER_TURN_MAX: usize = 4096;

/// Sizes are counted in steps of so many bytes.
const SIZE_STEP_BYTES: usize = 32;

/// How many items have which size, in steps. There are never many: as many steps as 64 GiB of items can be spread over
/// are 63,000.
pub(super) type Sizes = BTreeMap<usize, u64>;

/// What is made of the items.
#[derive(Debug)]
pub(super) enum Kind {
    /// Lines with what is known of them.
    Facts,
    /// Lines that are requests to read them.
    Requests,
    /// A line for each size.
    Sizes(Sizes),
}

/// A walk on its way.
#[derive(Debug)]
pub(super) struct Dump {
    kind: Kind,
    /// Bytes of the line that asked for it: dropped when it is done.
    pub(super) line_bytes: usize,
    begun: bool,
    partition: usize,
    position: u32,
}

impl Dump {
    pub(super) fn new(kind: Kind, line_bytes: usize) -> Dump {
        Dump { kind, line_bytes, begun: false, partition: 0, position: 0 }
    }

    /// Goes on; true when all is written.
    pub(super) fn go_on(&mut self, turn: &Turn<'_>, out: &mut Vec<u8>) -> bool {
        if !std::mem::replace(&mut self.begun, true) && !matches!(self.kind, Kind::Sizes(_)) {
            out.extend_from_slice(b"OK\r\n");
        }
        let end = out.len() + OUTPUT_PER_TURN_BYTES_MAX;
        for _ in 0..BUCKETS_PER_TURN_MAX {
            if self.partition >= turn.store.partition_count() {
                self.end(out);
                return true;
            }
            if out.len() >= end {
                return false;
            }
            let partition = turn.store.lock(turn.store.partition_at(self.partition));
            let next = partition.scan(DB, self.position, turn.now, |item| match &mut self.kind {
                Kind::Facts => line(turn, &item, out),
                Kind::Requests => request(&item, out),
                Kind::Sizes(sizes) => count(&item, sizes),
            });
            match next {
                Some(position) => self.position = position,
                None => (self.partition, self.position) = (self.partition + 1, 0),
            }
        }
        false
    }

    fn end(&self, out: &mut Vec<u8>) {
        if let Kind::Sizes(sizes) = &self.kind {
            for (size, count) in sizes {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "STAT {size} {count}\r\n");
            }
        }
        out.extend_from_slice(if matches!(self.kind, Kind::Requests) { b"EN\r\n" } else { b"END\r\n" });
    }
}

fn count(item: &ItemRef<'_>, sizes: &mut Sizes) {
    let Some(len) = string_bytes(item) else { return };
    let size = item_bytes(item.key().len(), len, item.extras().flags);
    *sizes.entry(size.next_multiple_of(SIZE_STEP_BYTES)).or_default() += 1;
}

fn string_bytes(item: &ItemRef<'_>) -> Option<usize> {
    match item.value() {
        ValueRef::String(bytes) => Some(bytes.len()),
        ValueRef::Integer(n) => Some(itoa::Buffer::new().format(n).len()),
        _ => None,
    }
}

/// Appends a key with all but letters, digits and `-._~` as `%` and two digits.
pub(super) fn escape(key: &[u8], out: &mut Vec<u8>) {
    for &byte in key {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

fn line(turn: &Turn<'_>, item: &ItemRef<'_>, out: &mut Vec<u8>) {
    let Some(len) = string_bytes(item) else { return };
    out.extend_from_slice(b"key=");
    escape(item.key(), out);
    let extras = item.extras();
    let expires = extras.deadline.map_or(-1, |at| (at / 1000) as i64);
    let used = turn.now.ms / 1000 - u64::from(turn.access.idle_seconds(item.access(), turn.now.ms));
    let fetched = if turn.access.is_fetched(item.access()) { "yes" } else { "no" };
    let size = item_bytes(item.key().len(), len, extras.flags);
    // Writing to a Vec cannot fail.
    let _ = writeln!(
        out,
        " exp={expires} la={used} cas={} fetch={fetched} cls=1 size={size} flags={} ",
        extras.cas, extras.flags
    );
}

/// `mg KEY`, in base64 where the key is no word.
fn request(item: &ItemRef<'_>, out: &mut Vec<u8>) {
    let key = item.key();
    if string_bytes(item).is_none() || key.len() > KEY_BYTES_MAX {
        return;
    }
    out.extend_from_slice(b"mg ");
    if key.iter().all(u8::is_ascii_graphic) {
        out.extend_from_slice(key);
    } else {
        out.extend_from_slice(data_encoding::BASE64.encode(key).as_bytes());
        out.extend_from_slice(b" b");
    }
    out.extend_from_slice(b"\r\n");
}
