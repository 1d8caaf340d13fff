//! SLOWLOG and COMMANDLOG: what was slow or large.

use super::introspection::help;
use super::table::{Command, flag};
use super::{Call, CommandError};
use crate::commandlog::Kind;
use larder_protocol::number::parse_i64;

const FLAGS: u32 = flag::ADMIN | flag::LOADING | flag::STALE;
/// Entries that SLOWLOG GET shows when nobody says how many.
const SHOWN: usize = 10;

const CONTAINER: Command =
    Command { group: "server", complexity: "Depends on subcommand.", arity: -2, ..Command::DEFAULT };

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "slowlog",
        summary: "Commands about slow commands.",
        since: "2.2.12",
        subcommands: SLOWLOG,
        ..CONTAINER
    },
    Command {
        name: "commandlog",
        summary: "Commands about slow commands, large requests and large replies.",
        since: "8.1.0",
        subcommands: COMMANDLOG,
        ..CONTAINER
    },
];

const SLOW: Command =
    Command { since: "2.2.12", group: "server", flags: FLAGS, arity: 2, ..Command::DEFAULT };
const LOGGED: Command = Command { since: "8.1.0", arity: 3, ..SLOW };

const SLOWLOG: &[Command] = &[
    Command {
        name: "get",
        summary: "Returns the slow log's entries.",
        syntax: "[count]",
        complexity: "O(N) where N is the number of entries returned",
        arity: -2,
        handler: slowlog_get,
        ..SLOW
    },
    Command {
        name: "len",
        summary: "Returns the number of entries in the slow log.",
        handler: slowlog_len,
        ..SLOW
    },
    Command {
        name: "reset",
        summary: "Clears all entries from the slow log.",
        complexity: "O(N) where N is the number of entries in the slowlog",
        handler: slowlog_reset,
        ..SLOW
    },
    Command {
        name: "help",
        summary: "Returns a help text.",
        since: "6.2.0",
        flags: flag::LOADING | flag::STALE,
        handler: slowlog_help,
        ..SLOW
    },
];

const COMMANDLOG: &[Command] = &[
    Command {
        name: "get",
        summary: "Returns the entries of a log.",
        syntax: "count <SLOW | LARGE-REQUEST | LARGE-REPLY>",
        complexity: "O(N) where N is the number of entries returned",
        arity: 4,
        handler: commandlog_get,
        ..LOGGED
    },
    Command {
        name: "len",
        summary: "Returns the number of entries in a log.",
        syntax: "<SLOW | LARGE-REQUEST | LARGE-REPLY>",
        handler: commandlog_len,
        ..LOGGED
    },
    Command {
        name: "reset",
        summary: "Clears all entries from a log.",
        syntax: "<SLOW | LARGE-REQUEST | LARGE-REPLY>",
        complexity: "O(N) where N is the number of entries in the commandlog",
        handler: commandlog_reset,
        ..LOGGED
    },
    Command {
        name: "help",
        summary: "Returns a help text.",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        handler: commandlog_help,
        ..LOGGED
    },
];

fn slowlog_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "SLOWLOG", SLOWLOG);
    Ok(())
}

fn commandlog_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "COMMANDLOG", COMMANDLOG);
    Ok(())
}

fn count_of(word: &[u8]) -> Result<usize, CommandError> {
    match parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        _ => Err(CommandError::Text("ERR count should be greater than or equal to -1".into())),
    }
}

fn kind_of(word: &[u8]) -> Result<Kind, CommandError> {
    Kind::find(word).ok_or(CommandError::Text(
        "ERR type should be one of the following: slow, large-request, large-reply".into(),
    ))
}

fn show(call: &mut Call<'_>, kind: Kind, count: usize) {
    let entries = call.node.commandlog.newest(kind, count);
    call.out.array(entries.len());
    for entry in entries {
        call.out.array(6);
        call.out.integer(entry.id as i64);
        call.out.integer(entry.time as i64);
        call.out.integer(entry.value as i64);
        call.out.array(entry.args.len());
        entry.args.iter().for_each(|arg| call.out.bulk(arg));
        call.out.bulk(entry.address.as_bytes());
        call.out.bulk(entry.name.as_bytes());
    }
}

fn slowlog_get(call: &mut Call<'_>) -> Result<(), CommandError> {
    let count = match call.args.len() {
        2 => SHOWN,
        3 => count_of(call.args.get(2))?,
        _ => {
            return Err(CommandError::Text(
                "ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.".into(),
            ));
        }
    };
    show(call, Kind::Slow, count);
    Ok(())
}

fn commandlog_get(call: &mut Call<'_>) -> Result<(), CommandError> {
    let count = count_of(call.args.get(2))?;
    let kind = kind_of(call.args.get(3))?;
    show(call, kind, count);
    Ok(())
}

fn slowlog_len(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.integer(call.node.commandlog.len(Kind::Slow) as i64);
    Ok(())
}

fn commandlog_len(call: &mut Call<'_>) -> Result<(), CommandError> {
    let kind = kind_of(call.args.get(2))?;
    call.out.integer(call.node.commandlog.len(kind) as i64);
    Ok(())
}

fn slowlog_reset(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.node.commandlog.reset(Kind::Slow);
    call.out.ok();
    Ok(())
}

fn commandlog_reset(call: &mut Call<'_>) -> Result<(), CommandError> {
    let kind = kind_of(call.args.get(2))?;
    call.node.commandlog.reset(kind);
    call.out.ok();
    Ok(())
}
