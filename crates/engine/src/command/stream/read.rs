//! XREAD and XREADGROUP: reading from several streams, waiting for entries if there are none.

use super::{id, pending, put_array, put_entry, scratch};
use crate::blocked::{Nothing, Wait, Wants};
use crate::command::blocking::until;
use crate::command::collection::{Answer, integer, is, text};
use crate::command::{Call, CommandError};
use larder_protocol::number::parse_i64;
use larder_protocol::resp::args::OwnedArgs;
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Id, Stream};

/// What was asked for beside the streams.
struct Options<'a> {
    /// `None`: do not wait. `Some(None)`: for ever. Unix milliseconds.
    deadline_ms: Option<Option<u64>>,
    /// Most entries of each stream.
    count: usize,
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    /// Where the keys begin, and how many there are.
    first: usize,
    streams: usize,
}

fn timeout(call: &Call<'_>, bytes: &[u8]) -> Result<Option<u64>, CommandError> {
    let ms = parse_i64(bytes).ok_or(text("ERR timeout is not an integer or out of range"))?;
    let unsigned = u64::try_from(ms).map_err(|_| text("ERR timeout is negative"))?;
    until(call, unsigned, ms as f64)
}

fn options<'a>(call: &Call<'a>, grouped: bool) -> Result<Options<'a>, CommandError> {
    let args = call.args;
    let (mut deadline_ms, mut count, mut group, mut no_ack) = (None, usize::MAX, None, false);
    let mut at = 1;
    while at < args.len() {
        let (word, more) = (args.get(at), args.len() - 1 - at);
        if is(word, "BLOCK") && more > 0 {
            at += 1;
            deadline_ms = Some(timeout(call, args.get(at))?);
        } else if is(word, "COUNT") && more > 0 {
            at += 1;
            count = match integer(args.get(at))? {
                count @ 1.. => usize::try_from(count).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
        } else if is(word, "STREAMS") && more > 0 {
            break;
        } else if is(word, "GROUP") && more >= 2 {
            if !grouped {
                return Err(text(
                    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            group = Some((args.get(at + 1), args.get(at + 2)));
            at += 2;
        } else if is(word, "NOACK") {
            if !grouped {
                return Err(text(
                    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            no_ack = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    let rest = args.len().saturating_sub(at + 1);
    if rest == 0 {
        return Err(CommandError::Syntax);
    }
    if !rest.is_multiple_of(2) {
        return Err(text(match grouped {
            false => {
                "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified."
            }
            true => {
                "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified."
            }
        }));
    }
    if grouped && group.is_none() {
        return Err(text("ERR Missing GROUP option for XREADGROUP"));
    }
    Ok(Options { deadline_ms, count, group, no_ack, first: at + 1, streams: rest / 2 })
}

/// Waits, or answers that there is nothing.
fn nothing(call: &mut Call<'_>, options: &Options<'_>, wants: Wants, args: Option<OwnedArgs>) {
    let Some(deadline_ms) = options.deadline_ms else {
        call.out.null_array();
        return;
    };
    let keys = options.first..options.first + options.streams;
    call.wait(Wait { deadline_ms, wants, keys, target: None, nothing: Nothing::Array, args });
}

/// Writes a stream's name and entries. A map's key and value are written alike, but are no array of their own.
fn put_stream(items: &mut Reply, key: &[u8], count: usize, entries: &Reply) {
    if !items.is_resp3() {
        items.array(2);
    }
    items.bulk(key);
    put_array(items, count, entries);
}

fn put_streams(out: &mut Reply, count: usize, items: &Reply) {
    match out.is_resp3() {
        true => out.map(count),
        false => out.array(count),
    }
    out.raw(items.as_bytes());
}

/// The id after which XREAD reads. `$` is what is there now, `+` the last entry of what is there now.
fn after(bytes: &[u8], stream: Option<&Stream>) -> Result<Id, CommandError> {
    match (bytes, stream) {
        (b"$" | b"+", None) => Ok(Id::MIN),
        (b"$", Some(stream)) => Ok(stream.last_id),
        (b"+", Some(stream)) if stream.is_empty() => Ok(stream.last_id),
        (b"+", Some(stream)) => Ok(stream.last_id.previous().unwrap_or_default()),
        (b">", _) => Err(text(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        _ => id::strict(bytes, 0),
    }
}

pub(super) fn xread(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let options = options(call, false)?;
    let keys = options.first..options.first + options.streams;
    let mut ids = Vec::with_capacity(options.streams);
    for at in keys.clone() {
        let stream = call.keys.peek_stream(args.get(at))?;
        ids.push(after(args.get(at + options.streams), stream)?);
    }
    let (mut items, mut entries, mut streams) = (scratch(call), scratch(call), 0);
    for (at, id) in keys.zip(&ids) {
        let (Some(stream), Some(low)) = (call.keys.read_stream(args.get(at))?, id.next()) else { continue };
        let mut count = 0;
        entries.truncate(0);
        stream.range(low, Id::MAX, &mut |entry| {
            put_entry(&mut entries, &entry);
            count += 1;
            count < options.count
        });
        if count > 0 {
            put_stream(&mut items, args.get(at), count, &entries);
            streams += 1;
        }
    }
    if streams > 0 {
        put_streams(call.out, streams, &items);
    } else {
        let again = options.deadline_ms.is_some().then(|| resolved(call, &options, &ids));
        nothing(call, &options, Wants::Stream, again);
    }
    Ok(())
}

/// The arguments with the ids that they stood for at the time.
fn resolved(call: &Call<'_>, options: &Options<'_>, ids: &[Id]) -> OwnedArgs {
    let ids: Vec<String> = ids.iter().map(Id::to_string).collect();
    let fixed = (0..options.first + options.streams).map(|at| call.args.get(at));
    OwnedArgs::copy(fixed.chain(ids.iter().map(|id| id.as_bytes())).collect::<Vec<_>>())
}

/// What XREADGROUP reads of a stream.
#[derive(Clone, Copy)]
enum From {
    /// What nobody of the group was given.
    New,
    /// What the consumer was given, after this id.
    History(Id),
}

fn from(bytes: &[u8]) -> Result<From, CommandError> {
    match bytes {
        b">" => Ok(From::New),
        b"$" => Err(text(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer \
             by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty \
             result set.",
        )),
        b"+" => Err(text(
            "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer \
             by specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty \
             result set.",
        )),
        _ => id::strict(bytes, 0).map(From::History),
    }
}

pub(super) fn xreadgroup(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let options = options(call, true)?;
    let Some((group, consumer)) = options.group else { return Err(CommandError::Syntax) };
    let keys = options.first..options.first + options.streams;
    let mut froms = Vec::with_capacity(options.streams);
    for at in keys.clone() {
        let key = args.get(at);
        let stream = call.keys.peek_stream(key)?;
        if stream.is_none_or(|stream| !stream.groups.contains_key(group)) {
            return Err(no_group(key, group));
        }
        froms.push(from(args.get(at + options.streams))?);
    }
    let now_ms = call.keys.now_ms();
    let (mut items, mut entries, mut streams) = (scratch(call), scratch(call), 0);
    for (at, from) in keys.zip(&froms) {
        let key = args.get(at);
        let Some(stream) = call.keys.write_stream(key)? else { continue };
        let mut taker = pending::Taker::new(stream, group, consumer, now_ms);
        entries.truncate(0);
        let count = match *from {
            From::New => taker.take_new(options.count, !options.no_ack, &mut entries),
            From::History(id) => taker.history(id, options.count, &mut entries),
        };
        if taker.changed {
            call.keys.count_changes(1);
        }
        if count > 0 || matches!(from, From::History(_)) {
            put_stream(&mut items, key, count, &entries);
            streams += 1;
        }
    }
    match streams {
        0 => nothing(call, &options, Wants::Group, None),
        _ => put_streams(call.out, streams, &items),
    }
    Ok(())
}

fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    CommandError::new(format!(
        "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
    ))
}
