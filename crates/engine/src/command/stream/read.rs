//! XREAD and XREADGROUP: what is new in streams, and what a consumer has pending.

use super::{id, put_array, put_entry, put_id, scratch};
use crate::blocked::{Nothing, Wait, Wants};
use crate::command::collection::{Answer, integer, is, text};
use crate::command::{Call, CommandError, Keyspace};
use crate::notify::Classes;
use larder_protocol::number::parse_i64;
use larder_protocol::resp::args::OwnedArgs;
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Entry, Group, Id};

/// What stands in front of the streams.
struct Options<'a> {
    count: usize,
    /// How long to wait, in milliseconds; 0: for ever.
    block_ms: Option<u64>,
    /// Group and consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// Where the first key is, and how many there are.
    first: usize,
    streams: usize,
}

/// Where to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Behind this id.
    After(Id),
    /// From this id on.
    At(Id),
    /// `>`: what nobody in the group was given.
    New,
}

fn options<'a>(call: &Call<'a>, grouped: bool) -> Result<Options<'a>, CommandError> {
    let args = call.args;
    let mut options =
        Options { count: usize::MAX, block_ms: None, group: None, no_ack: false, first: 0, streams: 0 };
    let mut at = 1;
    while at < args.len() {
        let (word, more) = (args.get(at), args.len() - 1 - at);
        if is(word, "BLOCK") && more > 0 {
            at += 1;
            options.block_ms = Some(timeout(args.get(at))?);
        } else if is(word, "COUNT") && more > 0 {
            at += 1;
            let count = usize::try_from(integer(args.get(at))?.max(0)).unwrap_or(usize::MAX);
            options.count = if count == 0 { usize::MAX } else { count };
        } else if is(word, "STREAMS") && more > 0 {
            options.first = at + 1;
            if !more.is_multiple_of(2) {
                return Err(unbalanced(grouped));
            }
            options.streams = more / 2;
            break;
        } else if is(word, "GROUP") && more >= 2 {
            if !grouped {
                return Err(only_grouped("GROUP"));
            }
            options.group = Some((args.get(at + 1), args.get(at + 2)));
            at += 2;
        } else if is(word, "NOACK") {
            if !grouped {
                return Err(only_grouped("NOACK"));
            }
            options.no_ack = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    match options {
        Options { first: 0, .. } => Err(CommandError::Syntax),
        Options { group: None, .. } if grouped => Err(text("ERR Missing GROUP option for XREADGROUP")),
        options => Ok(options),
    }
}

fn unbalanced(grouped: bool) -> CommandError {
    let name = if grouped { "xreadgroup" } else { "xread" };
    let last = if grouped { "an ID or '>'" } else { "an ID or '$'" };
    CommandError::new(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key {last} must be specified."
    ))
}

fn only_grouped(option: &str) -> CommandError {
    CommandError::new(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    ))
}

fn timeout(bytes: &[u8]) -> Result<u64, CommandError> {
    let ms = parse_i64(bytes).ok_or(text("ERR timeout is not an integer or out of range"))?;
    u64::try_from(ms).map_err(|_| text("ERR timeout is negative"))
}

const DOLLAR_IN_GROUP: &str = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history \
                               of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ \
                               ID would just return an empty result set.";
const NEW_WITHOUT_GROUP: &str = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
                                 <consumer> option.";

impl Options<'_> {
    fn key<'a>(&self, call: &Call<'a>, at: usize) -> &'a [u8] {
        call.args.get(self.first + at)
    }

    /// Where to read each stream on; in the order of the keys, with the errors of each key before the next one's.
    fn starts(&self, call: &mut Call<'_>) -> Result<Vec<From>, CommandError> {
        (0..self.streams).map(|at| self.start(call, at)).collect()
    }

    fn start(&self, call: &mut Call<'_>, at: usize) -> Result<From, CommandError> {
        let (key, word) = (self.key(call, at), call.args.get(self.first + self.streams + at));
        let stream = call.keys.read_stream(key)?;
        if let Some((group, _)) = self.group
            && stream.is_none_or(|stream| !stream.groups.contains_key(group))
        {
            let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
            return Err(CommandError::new(format!(
                "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
            )));
        }
        match word {
            b"$" if self.group.is_some() => Err(text(DOLLAR_IN_GROUP)),
            b"$" => Ok(From::After(stream.map_or(Id::MIN, |stream| stream.last_id))),
            // The entry with the last id, if it is still there.
            b"+" if self.group.is_none() => Ok(match stream {
                Some(stream) if !stream.is_empty() => From::At(stream.last_id),
                stream => From::After(stream.map_or(Id::MIN, |stream| stream.last_id)),
            }),
            b">" if self.group.is_none() => Err(text(NEW_WITHOUT_GROUP)),
            b">" => Ok(From::New),
            _ => id::strict(word, 0).map(From::After),
        }
    }

    /// Waits for entries behind where this call would have gone on.
    fn wait(&self, call: &mut Call<'_>, starts: &[From]) -> Answer {
        let Some(ms) = self.block_ms else {
            call.out.null_array();
            return Ok(());
        };
        let deadline_ms = (ms > 0).then(|| call.keys.now_ms().saturating_add(ms).min(i64::MAX as u64));
        let mut args: Vec<Vec<u8>> = call.args.iter().map(<[u8]>::to_vec).collect();
        for (at, start) in starts.iter().enumerate() {
            if let From::After(id) = start {
                args[self.first + self.streams + at] = id.to_string().into_bytes();
            }
        }
        call.wait(Wait {
            deadline_ms,
            wants: if self.group.is_some() { Wants::Group } else { Wants::Stream },
            keys: self.first..self.first + self.streams,
            target: None,
            nothing: Nothing::Array,
            args: Some(OwnedArgs::copy(args.iter().map(Vec::as_slice))),
        });
        Ok(())
    }
}

/// Entries of one stream, ready to be written.
struct Found {
    items: Reply,
    count: usize,
}

impl Found {
    fn nothing(call: &Call<'_>) -> Found {
        Found { items: scratch(call), count: 0 }
    }

    fn add(&mut self, entry: &Entry<'_>) {
        put_entry(&mut self.items, entry);
        self.count += 1;
    }
}

/// Writes what was found, stream by stream.
fn write(call: &mut Call<'_>, options: &Options<'_>, found: &[(usize, Found)]) {
    if call.out.is_resp3() {
        call.out.map(found.len());
    } else {
        call.out.array(found.len());
    }
    for (at, found) in found {
        if !call.out.is_resp3() {
            call.out.array(2);
        }
        call.out.bulk(options.key(call, *at));
        put_array(call.out, found.count, &found.items);
    }
}

pub(super) fn xread(call: &mut Call<'_>) -> Answer {
    let options = options(call, false)?;
    let starts = options.starts(call)?;
    let mut all = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let mut found = Found::nothing(call);
        let low = match *start {
            From::At(id) => Some(id),
            From::After(id) => id.next(),
            From::New => None,
        };
        let stream = call.keys.peek_stream(options.key(call, at))?;
        if let (Some(stream), Some(low)) = (stream, low) {
            stream.range(low, Id::MAX, &mut |entry| {
                found.add(&entry);
                found.count < options.count
            });
        }
        if found.count > 0 {
            all.push((at, found));
        }
    }
    if all.is_empty() {
        return options.wait(call, &starts);
    }
    write(call, &options, &all);
    Ok(())
}

pub(super) fn xreadgroup(call: &mut Call<'_>) -> Answer {
    let options = options(call, true)?;
    let starts = options.starts(call)?;
    let mut all = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        note_consumer(call, &options, at)?;
        let found = match *start {
            From::New => give_new(call, &options, at)?,
            From::After(id) | From::At(id) => Some(show_pending(call, &options, at, id)?),
        };
        all.extend(found.map(|found| (at, found)));
    }
    if all.is_empty() {
        return options.wait(call, &starts);
    }
    write(call, &options, &all);
    Ok(())
}

/// Makes the consumer if it is not there, and notes that it asked.
fn note_consumer(call: &mut Call<'_>, options: &Options<'_>, at: usize) -> Answer {
    let Some((group, consumer)) = options.group else { return Ok(()) };
    let (key, now_ms) = (options.key(call, at), call.keys.now_ms());
    let stream = call.keys.write_stream(key)?;
    let made = stream.and_then(|stream| stream.groups.get_mut(group)).is_some_and(|group| {
        let made = group.add_consumer(consumer, now_ms);
        if let Some(consumer) = group.consumers.get_mut(consumer) {
            consumer.seen_ms = now_ms;
        }
        made
    });
    if made {
        call.keys.count_changes(1);
        call.propagate(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        call.keys.notify(Classes::STREAM, "xgroup-createconsumer", key);
    }
    Ok(())
}

/// Gives the consumer what nobody in the group was given; `None` if there is nothing.
fn give_new(call: &mut Call<'_>, options: &Options<'_>, at: usize) -> Result<Option<Found>, CommandError> {
    let Some((group, consumer)) = options.group else { return Ok(None) };
    let (key, now_ms) = (options.key(call, at), call.keys.now_ms());
    let (mut found, mut ids) = (Found::nothing(call), Vec::new());
    if let Some(stream) = call.keys.peek_stream(key)?
        && let Some(low) = stream.groups.get(group).and_then(|group| group.last_id.next())
    {
        stream.range(low, Id::MAX, &mut |entry| {
            found.add(&entry);
            ids.push(entry.id);
            found.count < options.count
        });
    }
    let Some(stream) = call.keys.write_stream(key)?.filter(|_| !ids.is_empty()) else { return Ok(None) };
    // Taken out, because it looks at the stream that it is part of.
    let Some((name, mut group)) = stream.groups.remove_entry(group) else { return Ok(None) };
    for id in &ids {
        group.advance(stream, *id);
        if !options.no_ack {
            group.assign(*id, consumer, now_ms, 1);
        }
    }
    if !options.no_ack {
        note_active(&mut group, consumer, now_ms);
    }
    let (last_id, entries_read) = (group.last_id, group.entries_read);
    stream.groups.insert(name, group);
    call.keys.count_changes(1);
    if call.keys.is_logged() {
        let claims = ids.iter().map(|id| (*id, 1)).filter(|_| !options.no_ack);
        let names = (key, options.group.map_or(&b""[..], |(group, _)| group), consumer);
        propagate_claims(&mut call.keys, names, claims, now_ms, last_id);
        propagate_group(&mut call.keys, names, last_id, entries_read);
    }
    Ok(Some(found))
}

/// Logs how far a group has read.
fn propagate_group(
    keys: &mut Keyspace<'_>,
    (key, group, _): (&[u8], &[u8], &[u8]),
    last_id: Id,
    entries_read: Option<u64>,
) {
    let read = entries_read.map_or("-1".to_owned(), |read| read.to_string());
    let id = last_id.to_string();
    keys.propagate(&[b"XGROUP", b"SETID", key, group, id.as_bytes(), b"ENTRIESREAD", read.as_bytes()]);
}

/// Logs that entries were given to a consumer, each with how often it was given out.
pub(super) fn propagate_claims(
    keys: &mut Keyspace<'_>,
    (key, group, consumer): (&[u8], &[u8], &[u8]),
    claims: impl Iterator<Item = (Id, u64)>,
    delivered_ms: u64,
    last_id: Id,
) {
    let (time, last) = (delivered_ms.to_string(), last_id.to_string());
    for (id, count) in claims {
        let (id, count) = (id.to_string(), count.to_string());
        keys.propagate(&[
            b"XCLAIM",
            key,
            group,
            consumer,
            b"0",
            id.as_bytes(),
            b"TIME",
            time.as_bytes(),
            b"RETRYCOUNT",
            count.as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            last.as_bytes(),
        ]);
    }
}

fn note_active(group: &mut Group, consumer: &[u8], now_ms: u64) {
    if let Some(consumer) = group.consumers.get_mut(consumer) {
        consumer.active_ms = Some(now_ms);
    }
}

/// Shows what the consumer has pending behind an id, and counts that as given out again.
fn show_pending(
    call: &mut Call<'_>,
    options: &Options<'_>,
    at: usize,
    after: Id,
) -> Result<Found, CommandError> {
    let (mut found, key, now_ms) = (Found::nothing(call), options.key(call, at), call.keys.now_ms());
    let Some((group, consumer)) = options.group else { return Ok(found) };
    let Some(low) = after.next() else { return Ok(found) };
    let mut shown = Vec::new();
    if let Some(stream) = call.keys.peek_stream(key)?
        && let Some(consumer) = stream.groups.get(group).and_then(|group| group.consumers.get(consumer))
    {
        for (id, ()) in consumer.pending.range(low..).take(options.count) {
            let mut there = false;
            stream.range(id, id, &mut |entry| {
                found.add(&entry);
                there = true;
                false
            });
            if there {
                shown.push(id);
            } else {
                found.items.array(2);
                put_id(&mut found.items, id);
                found.items.null_array();
                found.count += 1;
            }
        }
    }
    let group = call.keys.write_stream(key)?.and_then(|stream| stream.groups.get_mut(group));
    if let Some(group) = group.filter(|_| !shown.is_empty()) {
        for id in shown {
            if let Some(pending) = group.pending.get_mut(id) {
                pending.delivered_ms = now_ms;
                pending.count += 1;
            }
        }
        note_active(group, consumer, now_ms);
        call.keys.count_changes(1);
        // As in the original, how often history was read is known to this node only.
        call.keys.propagate_nothing();
    }
    Ok(found)
}
