//! Consumer groups: making and removing them, acknowledging.
//!
//! What happens to a group is no change of its stream to those who watch the key, as in the original.

use super::{id, misused};
use crate::command::collection::{Answer, integer, is, text};
use crate::command::introspection::help;
use crate::command::table::{Keys, flag};
use crate::command::{Call, Command, CommandError};
use crate::notify::Classes;
use larder_store::object::stream::{Group, Id, Stream};

const ROW: Command = Command {
    since: "5.0.0",
    group: "stream",
    keys: Keys::Range { first: 2, last: 2, step: 1 },
    flags: flag::WRITE,
    ..Command::DEFAULT
};

/// What XGROUP can do.
pub(super) const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "create",
        summary: "Makes a consumer group.",
        syntax: "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM,
        handler: create,
        ..ROW
    },
    Command {
        name: "setid",
        summary: "Sets the last delivered id of a consumer group.",
        syntax: "key group <id | $> [ENTRIESREAD entries-read]",
        arity: -5,
        handler: setid,
        ..ROW
    },
    Command {
        name: "destroy",
        summary: "Removes a consumer group.",
        syntax: "key group",
        complexity: "O(N), N = entries pending in the group",
        arity: 4,
        handler: destroy,
        ..ROW
    },
    Command {
        name: "createconsumer",
        summary: "Makes a consumer in a group.",
        syntax: "key group consumer",
        since: "6.2.0",
        arity: 5,
        flags: flag::WRITE | flag::DENYOOM,
        handler: create_consumer,
        ..ROW
    },
    Command {
        name: "delconsumer",
        summary: "Removes a consumer from a group.",
        syntax: "key group consumer",
        arity: 5,
        handler: delete_consumer,
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
    help(call, "XGROUP", SUBCOMMANDS);
    Ok(())
}

const NO_KEY: &str = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
                      the MKSTREAM option to create an empty stream automatically.";

fn no_group(group: &[u8], key: &[u8]) -> CommandError {
    let (group, key) = (String::from_utf8_lossy(group), String::from_utf8_lossy(key));
    CommandError::Text(format!("NOGROUP No such consumer group '{group}' for key name '{key}'").into())
}

/// MKSTREAM and ENTRIESREAD.
fn options(call: &Call<'_>, creating: bool) -> Result<(bool, Option<u64>), CommandError> {
    let (args, mut make, mut read, mut at) = (call.args, false, None, 5);
    while at < args.len() {
        if creating && is(args.get(at), "MKSTREAM") {
            make = true;
        } else if is(args.get(at), "ENTRIESREAD") && at + 1 < args.len() {
            at += 1;
            read = match integer(args.get(at))? {
                -1 => None,
                count => Some(
                    u64::try_from(count)
                        .map_err(|_| text("ERR value for ENTRIESREAD must be positive or -1"))?,
                ),
            };
        } else {
            return Err(misused(args.get(1), "XGROUP"));
        }
        at += 1;
    }
    Ok((make, read))
}

fn start(
    bytes: &[u8],
    stream: Option<&Stream>,
    parse: fn(&[u8], u64) -> Result<Id, CommandError>,
) -> Result<Id, CommandError> {
    match bytes {
        b"$" => Ok(stream.map_or(Id::MIN, |stream| stream.last_id)),
        _ => parse(bytes, 0),
    }
}

fn create(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (make, entries_read) = options(call, true)?;
    let (key, name) = (args.get(2), args.get(3));
    let found = call.keys.peek_stream(key)?;
    if found.is_none() && !make {
        return Err(text(NO_KEY));
    }
    let (last_id, made) = (start(args.get(4), found, id::strict)?, found.is_none());
    let stream = call.keys.write_stream_or_create(key)?;
    if stream.groups.contains_key(name) {
        return Err(text("BUSYGROUP Consumer Group name already exists"));
    }
    stream.groups.insert(name.into(), Group { last_id, entries_read, ..Group::default() });
    match made {
        true => call.keys.changed(key),
        false => call.keys.count_changes(1),
    }
    call.keys.notify(Classes::STREAM, "xgroup-create", key);
    call.out.ok();
    Ok(())
}

fn stream_of<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Stream, CommandError> {
    let key = call.args.get(2);
    call.keys.write_stream(key)?.ok_or(text(NO_KEY))
}

fn setid(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (_, entries_read) = options(call, false)?;
    let stream = stream_of(call)?;
    let found = stream.groups.contains_key(args.get(3));
    if !found {
        return Err(no_group(args.get(3), args.get(2)));
    }
    let last_id = start(args.get(4), Some(stream), id::loose)?;
    if let Some(group) = stream.groups.get_mut(args.get(3)) {
        group.last_id = last_id;
        group.entries_read = entries_read;
    }
    call.keys.count_changes(1);
    call.keys.notify(Classes::STREAM, "xgroup-setid", args.get(2));
    call.out.ok();
    Ok(())
}

fn destroy(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let removed = stream_of(call)?.groups.remove(args.get(3)).is_some();
    if removed {
        call.keys.touched(args.get(2));
        call.keys.notify(Classes::STREAM, "xgroup-destroy", args.get(2));
    }
    call.out.integer(removed.into());
    Ok(())
}

fn group_of<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Group, CommandError> {
    let args = call.args;
    stream_of(call)?.groups.get_mut(args.get(3)).ok_or_else(|| no_group(args.get(3), args.get(2)))
}

fn create_consumer(call: &mut Call<'_>) -> Answer {
    let (args, now_ms) = (call.args, call.keys.now_ms());
    let made = group_of(call)?.add_consumer(args.get(4), now_ms);
    if made {
        call.keys.count_changes(1);
        call.keys.notify(Classes::STREAM, "xgroup-createconsumer", args.get(2));
    }
    call.out.integer(made.into());
    Ok(())
}

fn delete_consumer(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let removed = group_of(call)?.remove_consumer(args.get(4));
    if removed.is_some() {
        call.keys.count_changes(1);
        call.keys.notify(Classes::STREAM, "xgroup-delconsumer", args.get(2));
    }
    call.out.integer(removed.unwrap_or(0) as i64);
    Ok(())
}

pub(super) fn xack(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    if call.keys.peek_stream(args.get(1))?.is_none_or(|stream| !stream.groups.contains_key(args.get(2))) {
        call.out.integer(0);
        return Ok(());
    }
    let ids = (3..args.len()).map(|at| id::strict(args.get(at), 0)).collect::<Result<Vec<_>, _>>()?;
    let group = call.keys.write_stream(args.get(1))?.and_then(|stream| stream.groups.get_mut(args.get(2)));
    let done = group.map_or(0, |group| ids.into_iter().filter(|&id| group.acknowledge(id)).count());
    if done > 0 {
        call.keys.count_changes(1);
    }
    call.out.integer(done as i64);
    Ok(())
}
