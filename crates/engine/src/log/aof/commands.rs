//! A base of commands instead of a snapshot (`aof-use-rdb-preamble no`).
//!
//! The records that come out of the snapshot are read again, a batch at a time, on the thread that writes the base: so
//! neither the walk nor a writer that saves an item first has more to do than otherwise.

use crate::log::effects::{encode, encode_select};
use crate::snapshot::file::{place, take_in_turns};
use crate::snapshot::output::Output;
use crate::snapshot::{Snapshot, State};
use larder_protocol::number::Buffer;
use larder_rdb::Writer;
use larder_rdb::file::read::{FileReader, Part, Wishes};
use larder_rdb::file::record::Record;
use larder_rdb::file::write as records;
use larder_rdb::load::Options;
use larder_store::Value;
use larder_store::object::stream::{Group, Id, Stream};
use larder_store::object::{Digits, Hash, Limits};
use std::io::{self, Read};
use std::path::Path;

/// Members that one command adds.
const MEMBERS_MAX: usize = 64;
/// Bytes of commands after which they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Takes what comes out of a snapshot and writes it as commands to a file that appears when it is whole and durable, on a thread
/// that gives way as that of [`crate::snapshot::file`] does. Answers its size. `stamp`: the second that stands before all of them.
///
/// # Errors
/// The system refuses, or the snapshot failed or was cancelled; the temporary file is removed.
pub(super) fn write(
    snapshot: &Snapshot,
    path: &Path,
    incremental: bool,
    stamp: Option<u64>,
) -> io::Result<u64> {
    place(path, |temporary| {
        let mut base = Base::create(snapshot, temporary, incremental)?;
        base.commands.extend(stamp.map(super::stamp).unwrap_or_default().into_bytes());
        take_in_turns(snapshot.queue(), "rewrite-low", &mut |goes_on| base.take(goes_on))?;
        base.out.finish()
    })
}

/// The base that is being written.
struct Base<'a> {
    reader: FileReader<Pieces<'a>>,
    commands: Vec<u8>,
    db: Option<u16>,
    out: Output,
}

impl Base<'_> {
    fn create<'a>(snapshot: &'a Snapshot, path: &Path, incremental: bool) -> io::Result<Base<'a>> {
        let out = Output::create(path, false, incremental)?;
        let input =
            Pieces { snapshot, bytes: Vec::new(), at: 0, writer: Writer::uncompressed(), over: false };
        let wishes = Wishes { checksum: false, any_version: true, size: None };
        let reader = FileReader::open(input, wishes).map_err(io::Error::other)?;
        Ok(Base { reader, commands: Vec::new(), db: None, out })
    }

    /// Writes commands until there are no more, which it answers, or `goes_on` says that it is enough.
    fn take(&mut self, goes_on: &dyn Fn() -> bool) -> io::Result<bool> {
        let limits = Limits::default();
        let options = Options { limits: &limits, thorough: false };
        while goes_on() {
            match self.reader.next_part().map_err(io::Error::other)? {
                Part::Keys(batch) => {
                    let number = u16::try_from(batch.db).map_err(io::Error::other)?;
                    if self.db.replace(number) != Some(number) {
                        encode_select(&mut self.commands, number);
                    }
                    for record in batch.records(&options) {
                        put(&record.map_err(io::Error::other)?, &mut self.commands);
                        if self.commands.len() >= WRITE_BYTES {
                            self.out.put(&self.commands)?;
                            self.commands.clear();
                        }
                    }
                }
                Part::End { .. } => {
                    self.out.put(&self.commands)?;
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(false)
    }
}

/// What comes out of the snapshot, as one stream of bytes.
struct Pieces<'a> {
    snapshot: &'a Snapshot,
    bytes: Vec<u8>,
    at: usize,
    writer: Writer,
    over: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.bytes.len() {
            if self.over {
                return Ok(0);
            }
            self.at = 0;
            match self.snapshot.queue().pop() {
                Some(piece) => {
                    self.bytes.clear();
                    let bytes = &mut self.bytes;
                    piece.each_part(self.snapshot.queue(), &mut self.writer, &mut |part| {
                        bytes.extend_from_slice(part);
                        Ok(())
                    })?;
                    self.snapshot.rest();
                }
                None => {
                    match self.snapshot.state() {
                        State::Complete => {}
                        State::Failed(why) => return Err(io::Error::other(why)),
                        State::Walking | State::Cancelled => return Err(io::Error::other("cancelled")),
                    }
                    self.over = true;
                    records::end(&mut self.writer);
                    self.bytes = self.writer.take();
                    self.bytes.extend_from_slice(&records::checksum(None));
                }
            }
        }
        let len = into.len().min(self.bytes.len() - self.at);
        into[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

fn put(record: &Record<'_>, out: &mut Vec<u8>) {
    let key = &*record.key;
    match &record.value {
        Value::String(bytes) => command(out, &[b"SET", key, bytes]),
        Value::Long(bytes) => command(out, &[b"SET", key, bytes]),
        Value::Integer(n) => command(out, &[b"SET", key, itoa::Buffer::new().format(*n).as_bytes()]),
        Value::List(list) => members(out, b"RPUSH", key, 1, list.iter().map(|element| element.to_vec())),
        Value::Set(set) => members(out, b"SADD", key, 1, set.iter().map(|member| member.to_vec())),
        Value::SortedSet(set) => {
            let pairs = set
                .iter()
                .flat_map(|(member, score)| [Buffer::new().format_f64(score).to_vec(), member.to_vec()]);
            members(out, b"ZADD", key, 2, pairs);
        }
        Value::Hash(hash) => {
            let pairs = hash.iter().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]);
            members(out, b"HSET", key, 2, pairs);
            if hash.timed_len() > 0 {
                deadlines(hash, key, out);
            }
        }
        Value::Stream(value) => stream(value, key, out),
    }
    if let Some(deadline) = record.deadline {
        command(out, &[b"PEXPIREAT", key, itoa::Buffer::new().format(deadline).as_bytes()]);
    }
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    encode(out, words.iter().copied());
}

/// Commands that add members, each of which is so many words.
fn members(
    out: &mut Vec<u8>,
    name: &[u8],
    key: &[u8],
    words_each: usize,
    words: impl Iterator<Item = Vec<u8>>,
) {
    let mut group: Vec<Vec<u8>> = Vec::new();
    let mut flush = |group: &mut Vec<Vec<u8>>| {
        let words: Vec<&[u8]> = [name, key].into_iter().chain(group.iter().map(Vec::as_slice)).collect();
        command(out, &words);
        group.clear();
    };
    for word in words {
        group.push(word);
        if group.len() == MEMBERS_MAX * words_each {
            flush(&mut group);
        }
    }
    if !group.is_empty() {
        flush(&mut group);
    }
}

fn deadlines(hash: &Hash, key: &[u8], out: &mut Vec<u8>) {
    for (field, _) in hash.iter() {
        let mut digits = Digits::new();
        let field = field.bytes(&mut digits);
        if let Some(deadline) = hash.deadline(field) {
            let deadline = deadline.to_string();
            command(out, &[b"HPEXPIREAT", key, deadline.as_bytes(), b"FIELDS", b"1", field]);
        }
    }
}

fn stream(stream: &Stream, key: &[u8], out: &mut Vec<u8>) {
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        let id = entry.id.to_string();
        let head = [&b"XADD"[..], key, id.as_bytes()];
        let words: Vec<&[u8]> = head.into_iter().chain(entry.parts.iter().copied()).collect();
        command(out, &words);
        true
    });
    let text = |id: Id| id.to_string();
    if stream.is_empty() {
        // One that is trimmed away at once: there is a stream then. The smallest id that may be added will do.
        let id = text(stream.last_id.max(Id { ms: 0, seq: 1 }));
        command(out, &[b"XADD", key, b"MAXLEN", b"0", id.as_bytes(), b"x", b"y"]);
    }
    let (last, added, deleted) =
        (text(stream.last_id), stream.entries_added.to_string(), text(stream.max_deleted_id));
    let (last, added, deleted) = (last.as_bytes(), added.as_bytes(), deleted.as_bytes());
    command(out, &[b"XSETID", key, last, b"ENTRIESADDED", added, b"MAXDELETEDID", deleted]);
    for (name, value) in &stream.groups {
        group(value, name, key, out);
    }
}

fn group(group: &Group, name: &[u8], key: &[u8], out: &mut Vec<u8>) {
    let last = group.last_id.to_string();
    let read = group.entries_read.map_or("-1".to_owned(), |read| read.to_string());
    let words: [&[u8]; 7] =
        [b"XGROUP", b"CREATE", key, name, last.as_bytes(), b"ENTRIESREAD", read.as_bytes()];
    command(out, &words);
    for consumer in group.consumers.keys() {
        command(out, &[b"XGROUP", b"CREATECONSUMER", key, name, consumer]);
    }
    for (id, pending) in group.pending.iter() {
        let (id, time, count) = (id.to_string(), pending.delivered_ms.to_string(), pending.count.to_string());
        let words: [&[u8]; 12] = [
            b"XCLAIM",
            key,
            name,
            &pending.consumer,
            b"0",
            id.as_bytes(),
            b"TIME",
            time.as_bytes(),
            b"RETRYCOUNT",
            count.as_bytes(),
            b"FORCE",
            b"JUSTID",
        ];
        command(out, &words);
    }
}
