//! Stream commands.

mod entry;
mod group;
mod id;
mod info;
mod pending;
mod read;

use super::table::{ONE_KEY, flag};
use super::{Call, Command, CommandError, Keys};
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Entry, Id};

const ROW: Command = Command { since: "5.0.0", group: "stream", keys: ONE_KEY, ..Command::DEFAULT };

/// The stream commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xadd",
        summary: "Appends an entry to a stream, which it makes if need be.",
        syntax: "key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
        complexity: "O(1), O(N) when trimming N entries",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        handler: entry::xadd,
        ..ROW
    },
    Command {
        name: "xlen",
        summary: "Returns the number of entries of a stream.",
        syntax: "key",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        handler: entry::xlen,
        ..ROW
    },
    Command {
        name: "xrange",
        summary: "Returns the entries of a stream within a range of ids.",
        syntax: "key start end [COUNT count]",
        complexity: "O(N), N = entries returned",
        arity: -4,
        flags: flag::READONLY,
        handler: entry::xrange,
        ..ROW
    },
    Command {
        name: "xrevrange",
        summary: "Returns the entries of a stream within a range of ids, last one first.",
        syntax: "key end start [COUNT count]",
        complexity: "O(N), N = entries returned",
        arity: -4,
        flags: flag::READONLY,
        handler: entry::xrevrange,
        ..ROW
    },
    Command {
        name: "xdel",
        summary: "Removes entries from a stream.",
        syntax: "key id [id ...]",
        complexity: "O(N), N = ids given",
        arity: -3,
        flags: flag::WRITE | flag::FAST,
        handler: entry::xdel,
        ..ROW
    },
    Command {
        name: "xtrim",
        summary: "Removes old entries of a stream.",
        syntax: "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]",
        complexity: "O(N), N = entries removed",
        arity: -4,
        flags: flag::WRITE,
        handler: entry::xtrim,
        ..ROW
    },
    Command {
        name: "xsetid",
        summary: "Sets the last id of a stream.",
        syntax: "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        handler: entry::xsetid,
        ..ROW
    },
    Command {
        name: "xgroup",
        summary: "Makes, changes and removes consumer groups.",
        arity: -2,
        keys: Keys::None,
        subcommands: group::SUBCOMMANDS,
        ..ROW
    },
    Command {
        name: "xack",
        summary: "Acknowledges entries that a consumer group has pending.",
        syntax: "key group id [id ...]",
        complexity: "O(N), N = ids given",
        arity: -4,
        flags: flag::WRITE | flag::FAST,
        handler: group::xack,
        ..ROW
    },
    Command {
        name: "xpending",
        summary: "Tells what a consumer group has pending.",
        syntax: "key group [[IDLE min-idle-time] start end count [consumer]]",
        complexity: "O(N), N = entries returned",
        arity: -3,
        flags: flag::READONLY,
        handler: pending::xpending,
        ..ROW
    },
    Command {
        name: "xclaim",
        summary: "Gives entries that are pending to another consumer.",
        syntax: "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] \
                 [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
        complexity: "O(log N), N = entries pending in the group",
        arity: -6,
        flags: flag::WRITE | flag::FAST,
        handler: pending::xclaim,
        ..ROW
    },
    Command {
        name: "xautoclaim",
        summary: "Gives entries that have been pending for long to another consumer.",
        syntax: "key group consumer min-idle-time start [COUNT count] [JUSTID]",
        since: "6.2.0",
        complexity: "O(1) if COUNT is small",
        arity: -6,
        flags: flag::WRITE | flag::FAST,
        handler: pending::xautoclaim,
        ..ROW
    },
    Command {
        name: "xinfo",
        summary: "Describes streams, groups and consumers.",
        arity: -2,
        keys: Keys::None,
        subcommands: info::SUBCOMMANDS,
        ..ROW
    },
    Command {
        name: "xread",
        summary: "Returns the entries of streams behind given ids, waiting for them if asked to.",
        syntax: "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
        complexity: "O(N), N = entries returned",
        arity: -4,
        flags: flag::READONLY | flag::BLOCKING | flag::MOVABLEKEYS,
        keys: Keys::Streams { from: 1 },
        handler: read::xread,
        ..ROW
    },
    Command {
        name: "xreadgroup",
        summary: "Gives entries of streams to a consumer of a group, waiting for them if asked to.",
        syntax: "GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
        complexity: "O(M), M = entries returned",
        arity: -7,
        flags: flag::WRITE | flag::BLOCKING | flag::MOVABLEKEYS,
        keys: Keys::Streams { from: 4 },
        handler: read::xreadgroup,
        ..ROW
    },
];

/// What a subcommand answers that was given what it does not know.
fn misused(subcommand: &[u8], container: &str) -> CommandError {
    let name = String::from_utf8_lossy(subcommand);
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP."
    ))
}

fn put_id(out: &mut Reply, id: Id) {
    out.bulk(id.to_string().as_bytes());
}

pub(super) fn put_entry(out: &mut Reply, entry: &Entry<'_>) {
    out.array(2);
    put_id(out, entry.id);
    out.array(entry.parts.len());
    entry.parts.iter().for_each(|part| out.bulk(part));
}

/// Writes an array whose length is known only after its items are.
fn put_array(call_out: &mut Reply, count: usize, items: &Reply) {
    call_out.array(count);
    call_out.raw(items.as_bytes());
}

fn scratch(call: &Call<'_>) -> Reply {
    Reply::new(Vec::new(), call.out.version())
}
