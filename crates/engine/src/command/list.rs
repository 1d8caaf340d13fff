//! List commands. The blocking forms are in `blocking`.

use super::collection::{
    Answer, at_least, bulk, bulk_of, end, integer, is, keys_end, negatable, positive, text, window,
};
use super::table::{ONE_KEY, TWO_KEYS, flag};
use super::{Call, Command, CommandError, Keys, long};
use crate::notify::Classes;
use larder_store::object::{Element, End, List};
use std::ops::Range;

/// The list commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "lpush",
        summary: "Adds elements at the head of a list.",
        syntax: "key element [element ...]",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = elements given",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: lpush,
        ..Command::DEFAULT
    },
    Command {
        name: "rpush",
        summary: "Adds elements at the tail of a list.",
        syntax: "key element [element ...]",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = elements given",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: rpush,
        ..Command::DEFAULT
    },
    Command {
        name: "lpushx",
        summary: "Adds elements at the head of a list that exists.",
        syntax: "key element [element ...]",
        since: "2.2.0",
        group: "list",
        complexity: "O(N), N = elements given",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: lpushx,
        ..Command::DEFAULT
    },
    Command {
        name: "rpushx",
        summary: "Adds elements at the tail of a list that exists.",
        syntax: "key element [element ...]",
        since: "2.2.0",
        group: "list",
        complexity: "O(N), N = elements given",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: rpushx,
        ..Command::DEFAULT
    },
    Command {
        name: "lpop",
        summary: "Takes elements from the head of a list.",
        syntax: "key [count]",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = elements returned",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: lpop,
        ..Command::DEFAULT
    },
    Command {
        name: "rpop",
        summary: "Takes elements from the tail of a list.",
        syntax: "key [count]",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = elements returned",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: rpop,
        ..Command::DEFAULT
    },
    Command {
        name: "llen",
        summary: "Returns the length of a list.",
        syntax: "key",
        since: "1.0.0",
        group: "list",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: llen,
        ..Command::DEFAULT
    },
    Command {
        name: "lrange",
        summary: "Returns the elements between two indexes of a list.",
        syntax: "key start stop",
        since: "1.0.0",
        group: "list",
        complexity: "O(S+N), S = nodes up to the start, N = elements returned",
        arity: 4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: lrange,
        ..Command::DEFAULT
    },
    Command {
        name: "lindex",
        summary: "Returns the element at an index of a list.",
        syntax: "key index",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = nodes up to the nearer end",
        arity: 3,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: lindex,
        ..Command::DEFAULT
    },
    Command {
        name: "lset",
        summary: "Overwrites the element at an index of a list.",
        syntax: "key index element",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = nodes up to the nearer end",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: lset,
        ..Command::DEFAULT
    },
    Command {
        name: "linsert",
        summary: "Puts an element in front of or behind the first one equal to a pivot.",
        syntax: "key <BEFORE | AFTER> pivot element",
        since: "2.2.0",
        group: "list",
        complexity: "O(N), N = elements up to the pivot",
        arity: 5,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: linsert,
        ..Command::DEFAULT
    },
    Command {
        name: "lrem",
        summary: "Removes elements equal to a value from a list.",
        syntax: "key count element",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = elements of the list",
        arity: 4,
        flags: flag::WRITE,
        keys: ONE_KEY,
        handler: lrem,
        ..Command::DEFAULT
    },
    Command {
        name: "ltrim",
        summary: "Keeps only the elements between two indexes of a list.",
        syntax: "key start stop",
        since: "1.0.0",
        group: "list",
        complexity: "O(N), N = elements removed",
        arity: 4,
        flags: flag::WRITE,
        keys: ONE_KEY,
        handler: ltrim,
        ..Command::DEFAULT
    },
    Command {
        name: "lpos",
        summary: "Returns the indexes of elements equal to a value.",
        syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        since: "6.0.6",
        group: "list",
        complexity: "O(N), N = elements compared",
        arity: -3,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: lpos,
        ..Command::DEFAULT
    },
    Command {
        name: "lmove",
        summary: "Takes an element from one end of a list and puts it at an end of another.",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
        since: "6.2.0",
        group: "list",
        arity: 5,
        flags: flag::WRITE | flag::DENYOOM,
        keys: TWO_KEYS,
        handler: lmove,
        ..Command::DEFAULT
    },
    Command {
        name: "rpoplpush",
        summary: "Takes the tail of a list and puts it at the head of another.",
        syntax: "source destination",
        since: "1.2.0",
        group: "list",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: TWO_KEYS,
        handler: rpoplpush,
        ..Command::DEFAULT
    },
    Command {
        name: "lmpop",
        summary: "Takes elements from the first of several lists that has any.",
        syntax: "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        since: "7.0.0",
        group: "list",
        complexity: "O(K+N), K = keys given, N = elements returned",
        arity: -4,
        flags: flag::WRITE | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 1, target: false },
        handler: lmpop,
        ..Command::DEFAULT
    },
];

/// The event of a value that was added at an end.
pub(super) fn pushed(end: End) -> &'static str {
    match end {
        End::Left => "lpush",
        End::Right => "rpush",
    }
}

/// The event of a value that was taken from an end.
pub(super) fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Left => b"LPOP",
        End::Right => b"RPOP",
    }
}

/// The event of elements that were taken from an end.
pub(super) fn popped(end: End) -> &'static str {
    match end {
        End::Left => "lpop",
        End::Right => "rpop",
    }
}

fn push(call: &mut Call<'_>, side: End, only_existing: bool) -> Answer {
    let args = call.args;
    if only_existing && call.keys.write_list(args.get(1))?.is_none() {
        call.out.integer(0);
        return Ok(());
    }
    let limits = call.node.limits();
    let list = call.keys.write_list_or_create(args.get(1))?;
    (2..args.len()).for_each(|at| list.push(side, args.get(at), &limits));
    let len = list.len();
    call.keys.changed(args.get(1));
    call.keys.notify(Classes::LIST, pushed(side), args.get(1));
    call.out.integer(len as i64);
    Ok(())
}

fn lpush(call: &mut Call<'_>) -> Answer {
    push(call, End::Left, false)
}

fn rpush(call: &mut Call<'_>) -> Answer {
    push(call, End::Right, false)
}

fn lpushx(call: &mut Call<'_>) -> Answer {
    push(call, End::Left, true)
}

fn rpushx(call: &mut Call<'_>) -> Answer {
    push(call, End::Right, true)
}

fn pop(call: &mut Call<'_>, side: End) -> Answer {
    let args = call.args;
    if args.len() > 3 {
        return Err(CommandError::WrongArity);
    }
    let count = if args.len() == 3 { Some(positive(args.get(2))?) } else { None };
    let Some(list) = call.keys.write_list(args.get(1))? else {
        match count {
            Some(_) => call.out.null_array(),
            None => call.out.null(),
        }
        return Ok(());
    };
    let taken = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        call.out.array(taken);
    }
    (0..taken).filter_map(|_| list.pop(side)).for_each(|value| call.out.bulk(&value));
    if taken > 0 {
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::LIST, popped(side), args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    Ok(())
}

fn lpop(call: &mut Call<'_>) -> Answer {
    pop(call, End::Left)
}

fn rpop(call: &mut Call<'_>) -> Answer {
    pop(call, End::Right)
}

fn llen(call: &mut Call<'_>) -> Answer {
    let len = call.keys.read_list(call.args.get(1))?.map_or(0, List::len);
    call.out.integer(len as i64);
    Ok(())
}

fn lrange(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (start, stop) = (integer(args.get(2))?, integer(args.get(3))?);
    let Some(list) = call.keys.read_list(args.get(1))? else {
        call.out.array(0);
        return Ok(());
    };
    let (start, count) = window(start, stop, list.len());
    call.out.array(count);
    if long::is_long(call.session, count, 0) {
        let elements = long::Elements::new(list.part(start, count), count);
        return long::begin(call, elements);
    }
    call.out.bulks(|bulks| list.visit(start, count, |value| bulk_of(bulks, value)));
    Ok(())
}

/// The position that an index names, if it is in the list.
fn position(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|&index| index < len)
}

fn lindex(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let Some(list) = call.keys.read_list(args.get(1))? else {
        call.out.null();
        return Ok(());
    };
    let index = integer(args.get(2))?;
    match position(index, list.len()).and_then(|index| list.get(index)) {
        Some(value) => bulk(call.out, value),
        None => call.out.null(),
    }
    Ok(())
}

fn lset(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let limits = call.node.limits();
    let list = call.keys.write_list(args.get(1))?.ok_or(CommandError::NoSuchKey)?;
    let index = integer(args.get(2))?;
    let index = position(index, list.len()).ok_or(text("ERR index out of range"))?;
    list.set(index, args.get(3), &limits);
    call.keys.changed(args.get(1));
    call.keys.notify(Classes::LIST, "lset", args.get(1));
    call.out.simple("OK");
    Ok(())
}

fn linsert(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let behind = match args.get(2) {
        word if is(word, "AFTER") => 1,
        word if is(word, "BEFORE") => 0,
        _ => return Err(CommandError::Syntax),
    };
    let limits = call.node.limits();
    let Some(list) = call.keys.write_list(args.get(1))? else {
        call.out.integer(0);
        return Ok(());
    };
    let Some(pivot) = list.position(args.get(3)) else {
        call.out.integer(-1);
        return Ok(());
    };
    list.insert(pivot + behind, args.get(4), &limits);
    let len = list.len();
    call.keys.changed(args.get(1));
    call.keys.notify(Classes::LIST, "linsert", args.get(1));
    call.out.integer(len as i64);
    Ok(())
}

fn lrem(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let count = integer(args.get(2))?;
    let limits = call.node.limits();
    let list = call.keys.write_list(args.get(1))?;
    let removed = list.map_or(0, |list| list.remove_equal(count, args.get(3), &limits));
    if removed > 0 {
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::LIST, "lrem", args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    call.out.integer(removed as i64);
    Ok(())
}

fn ltrim(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (start, stop) = (integer(args.get(2))?, integer(args.get(3))?);
    let limits = call.node.limits();
    if let Some(list) = call.keys.write_list(args.get(1))? {
        let (start, count) = window(start, stop, list.len());
        list.remove_range(start + count, usize::MAX, &limits);
        list.remove_range(0, start, &limits);
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::LIST, "ltrim", args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    call.out.simple("OK");
    Ok(())
}

/// `[RANK rank] [COUNT count] [MAXLEN length]` of LPOS.
struct Find {
    rank: i64,
    count: Option<usize>,
    looked_max: usize,
}

fn find_options(call: &Call<'_>) -> Result<Find, CommandError> {
    let mut find = Find { rank: 1, count: None, looked_max: 0 };
    let mut at = 3;
    while at < call.args.len() {
        if at + 1 >= call.args.len() {
            return Err(CommandError::Syntax);
        }
        let value = call.args.get(at + 1);
        match call.args.get(at) {
            word if is(word, "RANK") => find.rank = rank(value)?,
            word if is(word, "COUNT") => {
                find.count = Some(at_least(value, 0, "ERR COUNT can't be negative")?)
            }
            word if is(word, "MAXLEN") => {
                find.looked_max = at_least(value, 0, "ERR MAXLEN can't be negative")?
            }
            _ => return Err(CommandError::Syntax),
        }
        at += 2;
    }
    Ok(find)
}

fn rank(value: &[u8]) -> Result<i64, CommandError> {
    match negatable(value)? {
        0 => Err(text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        )),
        rank => Ok(rank),
    }
}

fn lpos(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let find = find_options(call)?;
    let list = call.keys.read_list(args.get(1))?;
    let found = list.map_or(Vec::new(), |list| matches(list, args.get(2), &find));
    match find.count {
        Some(_) => {
            call.out.array(found.len());
            found.iter().for_each(|&index| call.out.integer(index as i64));
        }
        None => match found.first() {
            Some(&index) => call.out.integer(index as i64),
            None => call.out.null(),
        },
    }
    Ok(())
}

fn matches(list: &List, value: &[u8], find: &Find) -> Vec<usize> {
    let needle = Element::parse(value);
    let looked_max = if find.looked_max == 0 { usize::MAX } else { find.looked_max };
    let wanted = match find.count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let skip = usize::try_from(find.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let last = list.len() - 1;
    if find.rank > 0 {
        let hits = list.iter().take(looked_max).enumerate().filter(|(_, element)| *element == needle);
        hits.map(|(index, _)| index).skip(skip).take(wanted).collect()
    } else {
        let hits = list.iter().rev().take(looked_max).enumerate().filter(|(_, element)| *element == needle);
        hits.map(|(index, _)| last - index).skip(skip).take(wanted).collect()
    }
}

/// Moves one element; both keys may be the same.
pub(super) fn transfer(call: &mut Call<'_>, from: End, to: End) -> Answer {
    let (source, target) = (call.args.get(1), call.args.get(2));
    if call.keys.write_list(source)?.is_none() {
        call.out.null();
        return Ok(());
    }
    call.keys.write_list(target)?;
    let Some(value) = call.keys.write_list(source)?.and_then(|list| list.pop(from)) else { return Ok(()) };
    let limits = call.node.limits();
    call.keys.write_list_or_create(target)?.push(to, &value, &limits);
    call.keys.changed(target);
    call.keys.changed(source);
    call.keys.notify(Classes::LIST, pushed(to), target);
    call.keys.notify(Classes::LIST, popped(from), source);
    call.keys.drop_if_empty(source);
    call.out.bulk(&value);
    Ok(())
}

fn lmove(call: &mut Call<'_>) -> Answer {
    let (from, to) = (end(call.args.get(3))?, end(call.args.get(4))?);
    transfer(call, from, to)
}

fn rpoplpush(call: &mut Call<'_>) -> Answer {
    transfer(call, End::Right, End::Left)
}

fn lmpop(call: &mut Call<'_>) -> Answer {
    if pop_from_first(call, 1)?.is_some() {
        call.out.null_array();
    }
    Ok(())
}

/// `numkeys key [key ...] LEFT|RIGHT [COUNT count]` from an argument on: pops from the first list that has any. If none
/// has, nothing is written, and the answer is which arguments are the keys.
pub(super) fn pop_from_first(call: &mut Call<'_>, at: usize) -> Result<Option<Range<usize>>, CommandError> {
    let args = call.args;
    let first = at + 1;
    let keys_end = keys_end(call, at, "ERR numkeys should be greater than 0")?;
    if keys_end >= args.len() {
        return Err(CommandError::Syntax);
    }
    let side = end(args.get(keys_end))?;
    let count = match args.len() - keys_end {
        1 => 1,
        3 if is(args.get(keys_end + 1), "COUNT") => {
            at_least(args.get(keys_end + 2), 1, "ERR count should be greater than 0")?
        }
        _ => return Err(CommandError::Syntax),
    };
    for at in first..keys_end {
        let Some(list) = call.keys.write_list(args.get(at))? else { continue };
        let taken = count.min(list.len());
        call.out.array(2);
        call.out.bulk(args.get(at));
        call.out.array(taken);
        (0..taken).filter_map(|_| list.pop(side)).for_each(|value| call.out.bulk(&value));
        call.keys.changed(args.get(at));
        call.propagate(&[pop_name(side), args.get(at), itoa::Buffer::new().format(taken).as_bytes()]);
        call.keys.notify(Classes::LIST, popped(side), args.get(at));
        call.keys.drop_if_empty(args.get(at));
        return Ok(None);
    }
    Ok(Some(first..keys_end))
}
