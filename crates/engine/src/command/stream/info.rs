//! XINFO: what streams, groups and consumers are like.

use super::{misused, put_entry, put_id};
use crate::command::collection::{Answer, integer, is};
use crate::command::introspection::help;
use crate::command::table::{Keys, flag};
use crate::command::{Call, Command, CommandError};
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Consumer, Group, Id, Stream};

/// Entries, and pending entries, that XINFO STREAM FULL shows unless told.
const SHOWN_DEFAULT: usize = 10;

const ROW: Command = Command {
    since: "5.0.0",
    group: "stream",
    keys: Keys::Range { first: 2, last: 2, step: 1 },
    flags: flag::READONLY,
    ..Command::DEFAULT
};

/// What XINFO can do.
pub(super) const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "consumers",
        summary: "Describes the consumers of a group.",
        syntax: "key group",
        arity: 4,
        handler: consumers,
        ..ROW
    },
    Command {
        name: "groups",
        summary: "Describes the groups of a stream.",
        syntax: "key",
        arity: 3,
        handler: groups,
        ..ROW
    },
    Command {
        name: "stream",
        summary: "Describes a stream.",
        syntax: "key [FULL [COUNT count]]",
        arity: -3,
        handler: stream,
        ..ROW
    },
    Command {
        name: "help",
        summary: "Returns a help text.",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        keys: Keys::None,
        handler: show_help,
        ..ROW
    },
];

fn show_help(call: &mut Call<'_>) -> Answer {
    help(call, "XINFO", SUBCOMMANDS);
    Ok(())
}

fn put_known(out: &mut Reply, name: &str, count: Option<i64>) {
    out.bulk(name.as_bytes());
    match count {
        Some(count) => out.integer(count),
        None => out.null(),
    }
}

fn put_number(out: &mut Reply, name: &str, n: u64) {
    put_known(out, name, Some(n as i64));
}

fn groups(call: &mut Call<'_>) -> Answer {
    let stream = call.keys.read_stream(call.args.get(2))?.ok_or(CommandError::NoSuchKey)?;
    let out = &mut *call.out;
    out.array(stream.groups.len());
    for (name, group) in &stream.groups {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        put_number(out, "consumers", group.consumers.len() as u64);
        put_number(out, "pending", group.pending.len() as u64);
        out.bulk(b"last-delivered-id");
        put_id(out, group.last_id);
        put_known(out, "entries-read", group.entries_read.map(|count| count as i64));
        put_known(out, "lag", stream.lag(group));
    }
    Ok(())
}

fn consumers(call: &mut Call<'_>) -> Answer {
    let (args, now_ms) = (call.args, call.keys.now_ms());
    let stream = call.keys.read_stream(args.get(2))?.ok_or(CommandError::NoSuchKey)?;
    let group =
        stream.groups.get(args.get(3)).ok_or_else(|| super::group::no_group(args.get(3), args.get(2)))?;
    let out = &mut *call.out;
    out.array(group.consumers.len());
    for consumer in group.consumers.values() {
        out.map(4);
        out.bulk(b"name");
        out.bulk(&consumer.name);
        put_number(out, "pending", consumer.pending.len() as u64);
        put_number(out, "idle", now_ms.saturating_sub(consumer.seen_ms));
        out.bulk(b"inactive");
        out.integer(consumer.active_ms.map_or(-1, |ms| now_ms.saturating_sub(ms) as i64));
    }
    Ok(())
}

/// How much of everything the long form shows; `None`: the short form was asked for.
fn shown(call: &Call<'_>) -> Result<Option<usize>, CommandError> {
    let args = call.args;
    match args.len() {
        3 => return Ok(None),
        4 | 6 if is(args.get(3), "FULL") => {}
        _ => return Err(misused(call, "XINFO")),
    }
    if args.len() == 4 {
        return Ok(Some(SHOWN_DEFAULT));
    }
    if !is(args.get(4), "COUNT") {
        return Err(misused(call, "XINFO"));
    }
    Ok(Some(match integer(args.get(5))? {
        0 => usize::MAX,
        count => usize::try_from(count).unwrap_or(SHOWN_DEFAULT),
    }))
}

fn stream(call: &mut Call<'_>) -> Answer {
    let key = call.args.get(2);
    if call.keys.peek_stream(key)?.is_none() {
        call.keys.read_stream(key)?;
        return Err(CommandError::NoSuchKey);
    }
    let shown = shown(call)?;
    let Some(stream) = call.keys.read_stream(key)? else { return Ok(()) };
    let out = &mut *call.out;
    out.map(if shown.is_some() { 9 } else { 10 });
    put_number(out, "length", stream.len() as u64);
    put_number(out, "radix-tree-keys", stream.node_count() as u64);
    put_number(out, "radix-tree-nodes", stream.node_count() as u64 + 1);
    let ids = [
        ("last-generated-id", stream.last_id),
        ("max-deleted-entry-id", stream.max_deleted_id),
        ("recorded-first-entry-id", stream.first_id().unwrap_or_default()),
    ];
    for (at, (name, id)) in ids.into_iter().enumerate() {
        if at == 2 {
            put_number(out, "entries-added", stream.entries_added);
        }
        out.bulk(name.as_bytes());
        put_id(out, id);
    }
    match shown {
        Some(most) => full(out, stream, most),
        None => ends(out, stream),
    }
    Ok(())
}

/// The rest of the short form.
fn ends(out: &mut Reply, stream: &Stream) {
    put_number(out, "groups", stream.groups.len() as u64);
    for (name, back) in [("first-entry", false), ("last-entry", true)] {
        out.bulk(name.as_bytes());
        let mut found = false;
        let mut put = |entry: larder_store::object::stream::Entry<'_>| {
            put_entry(out, &entry);
            found = true;
            false
        };
        match back {
            false => stream.range(Id::MIN, Id::MAX, &mut put),
            true => stream.range_back(Id::MIN, Id::MAX, &mut put),
        }
        if !found {
            out.null();
        }
    }
}

/// The rest of the long form.
fn full(out: &mut Reply, stream: &Stream, most: usize) {
    out.bulk(b"entries");
    out.array(stream.len().min(most));
    let mut count = 0;
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        put_entry(out, &entry);
        count += 1;
        count < most
    });
    out.bulk(b"groups");
    out.array(stream.groups.len());
    stream.groups.iter().for_each(|(name, group)| full_group(out, stream, (name, group), most));
}

fn full_group(out: &mut Reply, stream: &Stream, (name, group): (&[u8], &Group), most: usize) {
    out.map(7);
    out.bulk(b"name");
    out.bulk(name);
    out.bulk(b"last-delivered-id");
    put_id(out, group.last_id);
    put_known(out, "entries-read", group.entries_read.map(|count| count as i64));
    put_known(out, "lag", stream.lag(group));
    put_number(out, "pel-count", group.pending.len() as u64);
    out.bulk(b"pending");
    out.array(group.pending.len().min(most));
    for (id, pending) in group.pending.iter().take(most) {
        out.array(4);
        put_id(out, *id);
        out.bulk(&pending.consumer);
        out.integer(pending.delivered_ms as i64);
        out.integer(pending.count as i64);
    }
    out.bulk(b"consumers");
    out.array(group.consumers.len());
    group.consumers.values().for_each(|consumer| full_consumer(out, group, consumer, most));
}

fn full_consumer(out: &mut Reply, group: &Group, consumer: &Consumer, most: usize) {
    out.map(5);
    out.bulk(b"name");
    out.bulk(&consumer.name);
    put_number(out, "seen-time", consumer.seen_ms);
    out.bulk(b"active-time");
    out.integer(consumer.active_ms.map_or(-1, |ms| ms as i64));
    put_number(out, "pel-count", consumer.pending.len() as u64);
    out.bulk(b"pending");
    out.array(consumer.pending.len().min(most));
    for id in consumer.pending.iter().take(most) {
        let pending = group.pending.get(id);
        out.array(3);
        put_id(out, *id);
        out.integer(pending.map_or(0, |pending| pending.delivered_ms as i64));
        out.integer(pending.map_or(0, |pending| pending.count as i64));
    }
}
