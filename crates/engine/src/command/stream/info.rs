//! XINFO: what a stream, its groups and their consumers look like.

use super::{misused, put_entry, put_id};
use crate::command::collection::{Answer, integer, is};
use crate::command::introspection::help;
use crate::command::table::{Keys, flag};
use crate::command::{Call, Command, CommandError};
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Consumer, Entry, Group, Id, Stream};

const ROW: Command = Command {
    since: "5.0.0",
    group: "stream",
    keys: Keys::Range { first: 2, last: 2, step: 1 },
    flags: flag::READONLY,
    ..Command::DEFAULT
};

/// What XINFO can tell.
pub(super) const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "stream",
        summary: "Describes a stream.",
        syntax: "key [FULL [COUNT count]]",
        arity: -3,
        handler: stream,
        ..ROW
    },
    Command {
        name: "groups",
        summary: "Describes the consumer groups of a stream.",
        syntax: "key",
        arity: 3,
        handler: groups,
        ..ROW
    },
    Command {
        name: "consumers",
        summary: "Describes the consumers of a group.",
        syntax: "key group",
        arity: 4,
        handler: consumers,
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

/// Entries and pending ones that FULL shows unless told.
const FULL_COUNT_DEFAULT: usize = 10;

fn show_help(call: &mut Call<'_>) -> Answer {
    help(call, "XINFO", SUBCOMMANDS);
    Ok(())
}

/// The stream of argument 2, for who writes while looking at it.
fn with_stream(call: &mut Call<'_>, show: impl FnOnce(&mut Reply, &Stream) -> Answer) -> Answer {
    let key = call.args.get(2);
    let out = &mut *call.out;
    match call.keys.read_stream(key)? {
        Some(stream) => show(out, stream),
        None => Err(CommandError::NoSuchKey),
    }
}

fn field(out: &mut Reply, name: &str) {
    out.bulk(name.as_bytes());
}

fn count(out: &mut Reply, name: &str, value: usize) {
    field(out, name);
    out.integer(value as i64);
}

fn number(out: &mut Reply, name: &str, value: Option<i64>) {
    field(out, name);
    match value {
        Some(value) => out.integer(value),
        None => out.null(),
    }
}

fn named_id(out: &mut Reply, name: &str, id: Id) {
    field(out, name);
    put_id(out, id);
}

/// How many entries FULL shows, if it is asked for; 0: all.
fn full(call: &Call<'_>) -> Result<Option<usize>, CommandError> {
    let args = call.args;
    match args.len() {
        3 => Ok(None),
        4 if is(args.get(3), "FULL") => Ok(Some(FULL_COUNT_DEFAULT)),
        6 if is(args.get(3), "FULL") && is(args.get(4), "COUNT") => {
            Ok(Some(usize::try_from(integer(args.get(5))?).unwrap_or(FULL_COUNT_DEFAULT)))
        }
        _ => Err(misused(args.get(1), "XINFO")),
    }
}

fn stream(call: &mut Call<'_>) -> Answer {
    if call.keys.read_stream(call.args.get(2))?.is_none() {
        return Err(CommandError::NoSuchKey);
    }
    let full = full(call)?;
    with_stream(call, |out, stream| {
        out.map(if full.is_some() { 9 } else { 10 });
        count(out, "length", stream.len());
        // As many keys as nodes; a radix tree's own nodes are one more at least.
        count(out, "radix-tree-keys", stream.node_count());
        count(out, "radix-tree-nodes", stream.node_count() + 1);
        named_id(out, "last-generated-id", stream.last_id);
        named_id(out, "max-deleted-entry-id", stream.max_deleted_id);
        number(out, "entries-added", Some(stream.entries_added as i64));
        named_id(out, "recorded-first-entry-id", stream.first_id().unwrap_or(Id::MIN));
        match full {
            Some(most) => show_full(out, stream, if most == 0 { usize::MAX } else { most }),
            None => {
                count(out, "groups", stream.groups.len());
                field(out, "first-entry");
                entry(out, |visit| stream.range(Id::MIN, Id::MAX, visit));
                field(out, "last-entry");
                entry(out, |visit| stream.range_back(Id::MIN, Id::MAX, visit));
            }
        }
        Ok(())
    })
}

/// The first entry that a walk meets, or null.
fn entry(out: &mut Reply, walk: impl FnOnce(&mut dyn FnMut(Entry<'_>) -> bool)) {
    let mut any = false;
    walk(&mut |entry| {
        put_entry(out, &entry);
        any = true;
        false
    });
    if !any {
        out.null();
    }
}

fn show_full(out: &mut Reply, stream: &Stream, most: usize) {
    field(out, "entries");
    out.array(stream.len().min(most));
    let mut left = most;
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        put_entry(out, &entry);
        left -= 1;
        left > 0
    });
    field(out, "groups");
    out.array(stream.groups.len());
    for (name, group) in &stream.groups {
        out.map(7);
        field(out, "name");
        out.bulk(name);
        named_id(out, "last-delivered-id", group.last_id);
        number(out, "entries-read", group.entries_read.map(|read| read as i64));
        number(out, "lag", stream.lag(group));
        count(out, "pel-count", group.pending.len());
        field(out, "pending");
        out.array(group.pending.len().min(most));
        for (id, pending) in group.pending.iter().take(most) {
            out.array(4);
            put_id(out, id);
            out.bulk(&pending.consumer);
            out.integer(pending.delivered_ms as i64);
            out.integer(pending.count as i64);
        }
        field(out, "consumers");
        out.array(group.consumers.len());
        group.consumers.values().for_each(|consumer| show_consumer(out, group, consumer, most));
    }
}

fn show_consumer(out: &mut Reply, group: &Group, consumer: &Consumer, most: usize) {
    out.map(5);
    field(out, "name");
    out.bulk(&consumer.name);
    number(out, "seen-time", Some(consumer.seen_ms as i64));
    field(out, "active-time");
    out.integer(consumer.active_ms.map_or(-1, |ms| ms as i64));
    count(out, "pel-count", consumer.pending.len());
    field(out, "pending");
    out.array(consumer.pending.len().min(most));
    for (id, ()) in consumer.pending.iter().take(most) {
        let pending = group.pending.get(id);
        out.array(3);
        put_id(out, id);
        out.integer(pending.map_or(0, |pending| pending.delivered_ms as i64));
        out.integer(pending.map_or(0, |pending| pending.count as i64));
    }
}

fn groups(call: &mut Call<'_>) -> Answer {
    with_stream(call, |out, stream| {
        out.array(stream.groups.len());
        for (name, group) in &stream.groups {
            out.map(6);
            field(out, "name");
            out.bulk(name);
            count(out, "consumers", group.consumers.len());
            count(out, "pending", group.pending.len());
            named_id(out, "last-delivered-id", group.last_id);
            number(out, "entries-read", group.entries_read.map(|read| read as i64));
            number(out, "lag", stream.lag(group));
        }
        Ok(())
    })
}

fn consumers(call: &mut Call<'_>) -> Answer {
    let (key, name, now_ms) = (call.args.get(2), call.args.get(3), call.keys.now_ms());
    with_stream(call, |out, stream| {
        let group = stream.groups.get(name).ok_or_else(|| {
            let (name, key) = (String::from_utf8_lossy(name), String::from_utf8_lossy(key));
            CommandError::new(format!("NOGROUP No such consumer group '{name}' for key name '{key}'"))
        })?;
        out.array(group.consumers.len());
        for consumer in group.consumers.values() {
            out.map(4);
            field(out, "name");
            out.bulk(&consumer.name);
            count(out, "pending", consumer.pending.len());
            number(out, "idle", Some(now_ms.saturating_sub(consumer.seen_ms) as i64));
            field(out, "inactive");
            out.integer(consumer.active_ms.map_or(-1, |ms| now_ms.saturating_sub(ms) as i64));
        }
        Ok(())
    })
}
