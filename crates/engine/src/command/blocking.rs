//! The blocking forms of the list and sorted set commands: what to do when there is nothing to take.
//!
//! A handler tries; if it finds nothing it asks for a wait (`Call::wait`) and is run again when a key may have come.

use super::collection::{Answer, end, text};
use super::list::popped;
use super::table::{Command, Keys, TWO_KEYS, flag};
use super::{Call, CommandError, list, zset};
use crate::blocked::{Nothing, Wait, Wants};
use crate::notify::Classes;
use larder_protocol::number;
use larder_store::object::End;

/// Keys from argument 1 to the last but one, which is the timeout.
const KEYS_THEN_TIMEOUT: Keys = Keys::Range { first: 1, last: -2, step: 1 };

const COUNTED: Keys = Keys::Counted { count_at: 2, target: false };

const FLAGS: u32 = flag::WRITE | flag::BLOCKING | flag::NOSCRIPT;

/// The youngest may be called by a script, where they do not wait.
const POP_FLAGS: u32 = flag::WRITE | flag::BLOCKING | flag::MOVABLEKEYS;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "blpop",
        summary: "Takes the head of the first list that has any, waiting for one.",
        syntax: "key [key ...] timeout",
        since: "2.0.0",
        group: "list",
        complexity: "O(N), N = keys given",
        arity: -3,
        flags: FLAGS,
        keys: KEYS_THEN_TIMEOUT,
        handler: blpop,
        ..Command::DEFAULT
    },
    Command {
        name: "brpop",
        summary: "Takes the tail of the first list that has any, waiting for one.",
        syntax: "key [key ...] timeout",
        since: "2.0.0",
        group: "list",
        complexity: "O(N), N = keys given",
        arity: -3,
        flags: FLAGS,
        keys: KEYS_THEN_TIMEOUT,
        handler: brpop,
        ..Command::DEFAULT
    },
    Command {
        name: "blmove",
        summary: "Takes an element from one end of a list and puts it at an end of another, waiting for one.",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
        since: "6.2.0",
        group: "list",
        arity: 6,
        flags: FLAGS | flag::DENYOOM,
        keys: TWO_KEYS,
        handler: blmove,
        ..Command::DEFAULT
    },
    Command {
        name: "brpoplpush",
        summary: "Takes the tail of a list and puts it at the head of another, waiting for one.",
        syntax: "source destination timeout",
        since: "2.2.0",
        group: "list",
        arity: 4,
        flags: FLAGS | flag::DENYOOM,
        keys: TWO_KEYS,
        handler: brpoplpush,
        ..Command::DEFAULT
    },
    Command {
        name: "blmpop",
        summary: "Takes elements from the first of several lists that has any, waiting for one.",
        syntax: "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        since: "7.0.0",
        group: "list",
        complexity: "O(K+N), K = keys given, N = elements returned",
        arity: -5,
        flags: POP_FLAGS,
        keys: COUNTED,
        handler: blmpop,
        ..Command::DEFAULT
    },
    Command {
        name: "bzpopmin",
        summary: "Takes the member with the lowest score of the first sorted set that has any, waiting for one.",
        syntax: "key [key ...] timeout",
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(log(N)), N = members of the set",
        arity: -3,
        flags: FLAGS | flag::FAST,
        keys: KEYS_THEN_TIMEOUT,
        handler: bzpopmin,
        ..Command::DEFAULT
    },
    Command {
        name: "bzpopmax",
        summary: "Takes the member with the highest score of the first sorted set that has any, waiting for one.",
        syntax: "key [key ...] timeout",
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(log(N)), N = members of the set",
        arity: -3,
        flags: FLAGS | flag::FAST,
        keys: KEYS_THEN_TIMEOUT,
        handler: bzpopmax,
        ..Command::DEFAULT
    },
    Command {
        name: "bzmpop",
        summary: "Takes members from either end of the first sorted set that has any, waiting for one.",
        syntax: "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
        since: "7.0.0",
        group: "sorted-set",
        complexity: "O(K) + O(M*log(N)), K = keys given, N = members of the set, M = members returned",
        arity: -5,
        flags: POP_FLAGS,
        keys: COUNTED,
        handler: bzmpop,
        ..Command::DEFAULT
    },
];

/// When a wait of so many seconds from now is over, Unix milliseconds; 0 seconds: never.
fn deadline(call: &Call<'_>, at: usize) -> Result<Option<u64>, CommandError> {
    let seconds =
        number::parse_f64(call.args.get(at)).ok_or(text("ERR timeout is not a float or out of range"))?;
    let ms = (seconds * 1000.0).ceil();
    if seconds < 0.0 {
        return Err(text("ERR timeout is negative"));
    }
    until(call, ms as u64, ms)
}

/// When a wait of so many milliseconds from now is over; 0: never. `exact` is the same number before it was rounded
/// into the range.
fn until(call: &Call<'_>, ms: u64, exact: f64) -> Result<Option<u64>, CommandError> {
    let out_of_range = || text("ERR timeout is out of range");
    if exact >= i64::MAX as f64 {
        return Err(out_of_range());
    }
    match ms {
        0 => Ok(None),
        ms => match call.keys.now_ms().checked_add(ms) {
            Some(at) if i64::try_from(at).is_ok() => Ok(Some(at)),
            _ => Err(out_of_range()),
        },
    }
}

/// Waits for the keys in this range of the arguments.
fn wait(call: &mut Call<'_>, wants: Wants, keys: std::ops::Range<usize>, deadline_ms: Option<u64>) -> Answer {
    call.wait(Wait { deadline_ms, wants, keys, target: None, nothing: Nothing::Array, args: None });
    Ok(())
}

fn pop(call: &mut Call<'_>, side: End) -> Answer {
    let timeout_at = call.args.len() - 1;
    let deadline_ms = deadline(call, timeout_at)?;
    for at in 1..timeout_at {
        let key = call.args.get(at);
        let Some(value) = call.keys.write_list(key)?.and_then(|list| list.pop(side)) else { continue };
        call.out.array(2);
        call.out.bulk(key);
        call.out.bulk(&value);
        call.keys.changed(key);
        call.propagate(&[list::pop_name(side), key]);
        call.keys.notify(Classes::LIST, popped(side), key);
        call.keys.drop_if_empty(key);
        return Ok(());
    }
    wait(call, Wants::List, 1..timeout_at, deadline_ms)
}

fn blpop(call: &mut Call<'_>) -> Answer {
    pop(call, End::Left)
}

fn brpop(call: &mut Call<'_>) -> Answer {
    pop(call, End::Right)
}

fn transfer(call: &mut Call<'_>, from: End, to: End, deadline_ms: Option<u64>) -> Answer {
    if call.keys.peek_list(call.args.get(1))?.is_some() {
        let (args, two) = (call.args, call.args.len() == 4);
        match two {
            true => call.propagate(&[b"RPOPLPUSH", args.get(1), args.get(2)]),
            false => call.propagate(&[b"LMOVE", args.get(1), args.get(2), args.get(3), args.get(4)]),
        }
        return list::transfer(call, from, to);
    }
    let (wants, nothing) = (Wants::List, Nothing::Bulk);
    call.wait(Wait { deadline_ms, wants, keys: 1..2, target: Some(2), nothing, args: None });
    Ok(())
}

fn blmove(call: &mut Call<'_>) -> Answer {
    let (from, to) = (end(call.args.get(3))?, end(call.args.get(4))?);
    let deadline_ms = deadline(call, 5)?;
    transfer(call, from, to, deadline_ms)
}

fn brpoplpush(call: &mut Call<'_>) -> Answer {
    let deadline_ms = deadline(call, 3)?;
    transfer(call, End::Right, End::Left, deadline_ms)
}

fn blmpop(call: &mut Call<'_>) -> Answer {
    let deadline_ms = deadline(call, 1)?;
    match list::pop_from_first(call, 2)? {
        None => Ok(()),
        Some(keys) => wait(call, Wants::List, keys, deadline_ms),
    }
}

fn bzpop(call: &mut Call<'_>, highest: bool) -> Answer {
    let timeout_at = call.args.len() - 1;
    let deadline_ms = deadline(call, timeout_at)?;
    for at in 1..timeout_at {
        if zset::pop_one(call, call.args.get(at), highest)? {
            return Ok(());
        }
    }
    wait(call, Wants::SortedSet, 1..timeout_at, deadline_ms)
}

fn bzpopmin(call: &mut Call<'_>) -> Answer {
    bzpop(call, false)
}

fn bzpopmax(call: &mut Call<'_>) -> Answer {
    bzpop(call, true)
}

fn bzmpop(call: &mut Call<'_>) -> Answer {
    let deadline_ms = deadline(call, 1)?;
    match zset::pop_from_first(call, 2)? {
        None => Ok(()),
        Some(keys) => wait(call, Wants::SortedSet, keys, deadline_ms),
    }
}
