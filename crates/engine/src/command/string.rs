//! String commands. LCS, which shares nothing with them, is in [`super::lcs`].
//!
//! Changes keep the deadline where Redis keeps it, and forget the Memcached CAS unique: whoever holds the old one
//! must not succeed with it.

use super::collection::{Answer, integer, is, text};
use super::conditional::equals;
use super::expire::{Term, notify_deadline, propagate_deadline, propagate_string};
use super::extended::{Extended, Trouble};
use super::keyspace::{Counter, string_value};
use super::table::{ALL_KEYS, Keys, ONE_KEY, TWO_KEYS, flag};
use super::{Call, Command, CommandError, Keyspace};
use crate::notify::Classes;
use larder_protocol::resp::args::Args;
use larder_store::object::{Digits, Element};
use larder_store::partition::item::INLINE_STRING_BYTES_MAX;
use larder_store::{Extras, Value, ValueMut, ValueRef};

/// Keys and values in turn.
const PAIRS: Keys = Keys::Range { first: 1, last: -1, step: 2 };

/// The string commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "set",
        summary: "Sets a key to a string, with conditions and a deadline if wanted.",
        syntax: "key value [NX | XX | IFEQ comparison-value] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        group: "string",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: set,
        ..Command::DEFAULT
    },
    Command {
        name: "get",
        summary: "Reads the string at a key.",
        syntax: "key",
        group: "string",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: get,
        ..Command::DEFAULT
    },
    Command {
        name: "getex",
        summary: "Reads the string at a key and changes its deadline.",
        syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
        since: "6.2.0",
        group: "string",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: getex,
        ..Command::DEFAULT
    },
    Command {
        name: "getdel",
        summary: "Reads the string at a key and removes the key.",
        syntax: "key",
        since: "6.2.0",
        group: "string",
        arity: 2,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: getdel,
        ..Command::DEFAULT
    },
    Command {
        name: "getset",
        summary: "Sets a key to a string and answers the string it had before.",
        syntax: "key value",
        group: "string",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: getset,
        ..Command::DEFAULT
    },
    Command {
        name: "setnx",
        summary: "Sets a key to a string only if the key does not exist.",
        syntax: "key value",
        group: "string",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: setnx,
        ..Command::DEFAULT
    },
    Command {
        name: "setex",
        summary: "Sets a key to a string that lives for some seconds.",
        syntax: "key seconds value",
        since: "2.0.0",
        group: "string",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: setex,
        ..Command::DEFAULT
    },
    Command {
        name: "psetex",
        summary: "Sets a key to a string that lives for some milliseconds.",
        syntax: "key milliseconds value",
        since: "2.6.0",
        group: "string",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: psetex,
        ..Command::DEFAULT
    },
    Command {
        name: "mget",
        summary: "Reads the strings at several keys.",
        syntax: "key [key ...]",
        group: "string",
        complexity: "O(N), N = keys given",
        arity: -2,
        flags: flag::READONLY | flag::FAST,
        keys: ALL_KEYS,
        handler: mget,
        ..Command::DEFAULT
    },
    Command {
        name: "mset",
        summary: "Sets several keys to strings at once.",
        syntax: "key value [key value ...]",
        since: "1.0.1",
        group: "string",
        complexity: "O(N), N = keys given",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: PAIRS,
        handler: mset,
        ..Command::DEFAULT
    },
    Command {
        name: "msetnx",
        summary: "Sets several keys to strings at once, only if none of them exists.",
        syntax: "key value [key value ...]",
        since: "1.0.1",
        group: "string",
        complexity: "O(N), N = keys given",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: PAIRS,
        handler: msetnx,
        ..Command::DEFAULT
    },
    Command {
        name: "append",
        summary: "Adds bytes to the end of a string.",
        syntax: "key value",
        since: "2.0.0",
        group: "string",
        complexity: "O(1) amortised",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: append,
        ..Command::DEFAULT
    },
    Command {
        name: "strlen",
        summary: "Tells the length of a string in bytes.",
        syntax: "key",
        since: "2.2.0",
        group: "string",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: strlen,
        ..Command::DEFAULT
    },
    Command {
        name: "setrange",
        summary: "Overwrites a part of a string from an offset on, with zero bytes before it where there are none.",
        syntax: "key offset value",
        since: "2.2.0",
        group: "string",
        complexity: "O(1) and the copy of the value",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: setrange,
        ..Command::DEFAULT
    },
    Command {
        name: "getrange",
        summary: "Reads a part of a string.",
        syntax: "key start end",
        since: "2.4.0",
        group: "string",
        complexity: "O(N), N = bytes answered",
        arity: 4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: getrange,
        ..Command::DEFAULT
    },
    Command {
        name: "substr",
        summary: "Reads a part of a string: the old name of GETRANGE.",
        syntax: "key start end",
        group: "string",
        complexity: "O(N), N = bytes answered",
        arity: 4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: getrange,
        ..Command::DEFAULT
    },
    Command {
        name: "incr",
        summary: "Adds one to the integer at a key.",
        syntax: "key",
        group: "string",
        arity: 2,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: incr,
        ..Command::DEFAULT
    },
    Command {
        name: "decr",
        summary: "Takes one from the integer at a key.",
        syntax: "key",
        group: "string",
        arity: 2,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: decr,
        ..Command::DEFAULT
    },
    Command {
        name: "incrby",
        summary: "Adds to the integer at a key.",
        syntax: "key increment",
        group: "string",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: incrby,
        ..Command::DEFAULT
    },
    Command {
        name: "decrby",
        summary: "Takes from the integer at a key.",
        syntax: "key decrement",
        group: "string",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: decrby,
        ..Command::DEFAULT
    },
    Command {
        name: "incrbyfloat",
        summary: "Adds to the floating point number at a key.",
        syntax: "key increment",
        since: "2.6.0",
        group: "string",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: incrbyfloat,
        ..Command::DEFAULT
    },
    Command {
        name: "lcs",
        summary: "Finds the longest common subsequence of two strings.",
        syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
        since: "7.0.0",
        group: "string",
        complexity: "O(N*M), N and M = lengths of the strings",
        arity: -3,
        flags: flag::READONLY,
        keys: TWO_KEYS,
        handler: super::lcs::lcs,
        ..Command::DEFAULT
    },
];

/// A string value as bytes or integer. Errors: the value is no string.
#[inline]
pub(super) fn element(value: ValueRef<'_>) -> Result<Element<'_>, CommandError> {
    match value {
        ValueRef::String(bytes) => Ok(Element::Bytes(bytes)),
        ValueRef::Integer(n) => Ok(Element::Int(n)),
        _ => Err(CommandError::WrongType),
    }
}

/// Writes the string at a key, or null; true if there is one.
#[inline]
fn answer_value(call: &mut Call<'_>) -> Result<bool, CommandError> {
    match call.keys.read(call.args.get(1)).map(|item| item.value()) {
        Some(ValueRef::String(bytes)) => call.out.bulk(bytes),
        Some(ValueRef::Integer(n)) => call.out.bulk_integer(n),
        Some(_) => return Err(CommandError::WrongType),
        None => {
            call.out.null();
            return Ok(false);
        }
    }
    Ok(true)
}

fn get(call: &mut Call<'_>) -> Answer {
    answer_value(call).map(|_| ())
}

fn set(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    if args.len() > 3 {
        return set_with_options(call);
    }
    call.keys.set(args.get(1), string_value(args.get(2)), Extras::default());
    call.keys.notify(Classes::STRING, "set", args.get(1));
    call.out.ok();
    Ok(())
}

/// The options of SET.
#[derive(Default)]
struct SetOptions<'a> {
    nx: bool,
    xx: bool,
    equal: Option<&'a [u8]>,
    get: bool,
    keep: bool,
    term: Option<(Term, &'a [u8])>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: Args<'a>) -> Result<SetOptions<'a>, CommandError> {
        let mut options = SetOptions::default();
        let mut at = 3;
        while at < args.len() {
            match args.get(at) {
                word if is(word, "NX") && !options.xx && options.equal.is_none() => options.nx = true,
                word if is(word, "XX") && !options.nx && options.equal.is_none() => options.xx = true,
                word if is(word, "IFEQ") && !options.nx && !options.xx && options.equal.is_none() => {
                    at += 1;
                    let given = (at < args.len()).then(|| args.get(at));
                    options.equal = Some(given.ok_or(CommandError::Syntax)?);
                }
                word if is(word, "GET") => options.get = true,
                word if is(word, "KEEPTTL") && options.term.is_none() => options.keep = true,
                word => {
                    let term = if options.keep { None } else { timed(args, at, word, options.term) };
                    options.term = Some(term.ok_or(CommandError::Syntax)?);
                    at += 1;
                }
            }
            at += 1;
        }
        Ok(options)
    }
}

/// A time option and its argument; `None` if it is none, lacks the argument, or another unit was given before.
pub(super) fn timed<'a>(
    args: Args<'a>,
    at: usize,
    word: &[u8],
    before: Option<(Term, &[u8])>,
) -> Option<(Term, &'a [u8])> {
    let term = Term::named(word)?;
    let fits = at + 1 < args.len() && before.is_none_or(|(other, _)| other == term);
    fits.then(|| (term, args.get(at + 1)))
}

fn set_with_options(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let options = SetOptions::parse(*args)?;
    let now = call.keys.now_ms();
    let mut deadline = match options.term {
        Some((term, amount)) => Some(term.parse(amount, now, "set")?),
        None => None,
    };
    let key = args.get(1);
    if options.get {
        answer_value(call)?;
    }
    let old = call.keys.peek(key).map(|item| item.deadline());
    let differs = match options.equal {
        Some(wanted) => !equals(&call.keys, key, wanted)?,
        None => false,
    };
    if differs || options.nx && old.is_some() || options.xx && old.is_none() {
        if !options.get {
            call.out.null();
        }
        return Ok(());
    }
    if options.keep {
        deadline = old.flatten();
    }
    call.keys.set(key, string_value(args.get(2)), Extras { deadline, ..Extras::default() });
    propagate_string(&mut call.keys, key, args.get(2), deadline);
    call.keys.notify(Classes::STRING, "set", key);
    if options.term.is_some() {
        call.keys.notify(Classes::GENERIC, "expire", key);
    }
    if !options.get {
        call.out.ok();
    }
    Ok(())
}

fn getex(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (mut persist, mut term) = (false, None);
    let mut at = 2;
    while at < args.len() {
        match args.get(at) {
            word if is(word, "PERSIST") && term.is_none() => persist = true,
            word => {
                let read = if persist { None } else { timed(*args, at, word, term) };
                term = Some(read.ok_or(CommandError::Syntax)?);
                at += 1;
            }
        }
        at += 1;
    }
    if !answer_value(call)? {
        return Ok(());
    }
    let key = args.get(1);
    if let Some((term, amount)) = term {
        let deadline = term.parse(amount, call.keys.now_ms(), "getex")?;
        call.keys.set_deadline(key, Some(deadline));
        propagate_deadline(&mut call.keys, key);
        notify_deadline(&mut call.keys, key);
    } else if persist && call.keys.peek(key).is_some_and(|item| item.deadline().is_some()) {
        call.keys.set_deadline(key, None);
        propagate_deadline(&mut call.keys, key);
        call.keys.notify(Classes::GENERIC, "persist", key);
    }
    Ok(())
}

fn getdel(call: &mut Call<'_>) -> Answer {
    if answer_value(call)? {
        call.keys.remove(call.args.get(1));
        call.propagate(&[b"DEL", call.args.get(1)]);
        call.keys.notify(Classes::GENERIC, "del", call.args.get(1));
    }
    Ok(())
}

fn getset(call: &mut Call<'_>) -> Answer {
    answer_value(call)?;
    call.keys.set_string(call.args.get(1), call.args.get(2));
    call.propagate(&[b"SET", call.args.get(1), call.args.get(2)]);
    call.keys.notify(Classes::STRING, "set", call.args.get(1));
    Ok(())
}

fn setnx(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let fresh = !call.keys.exists(args.get(1));
    if fresh {
        call.keys.set_string(args.get(1), args.get(2));
        call.keys.notify(Classes::STRING, "set", args.get(1));
    }
    call.out.integer(i64::from(fresh));
    Ok(())
}

fn set_for(call: &mut Call<'_>, term: Term, command: &str) -> Answer {
    let args = call.args;
    let deadline = Some(term.parse(args.get(2), call.keys.now_ms(), command)?);
    call.keys.set(args.get(1), string_value(args.get(3)), Extras { deadline, ..Extras::default() });
    propagate_string(&mut call.keys, args.get(1), args.get(3), deadline);
    call.keys.notify(Classes::STRING, "set", args.get(1));
    call.keys.notify(Classes::GENERIC, "expire", args.get(1));
    call.out.ok();
    Ok(())
}

fn setex(call: &mut Call<'_>) -> Answer {
    set_for(call, Term::EX, "setex")
}

fn psetex(call: &mut Call<'_>) -> Answer {
    set_for(call, Term::PX, "psetex")
}

fn mget(call: &mut Call<'_>) -> Answer {
    call.out.array(call.args.len() - 1);
    for key in call.args.from(1).iter() {
        match call.keys.read(key).map(|item| item.value()) {
            Some(ValueRef::String(bytes)) => call.out.bulk(bytes),
            Some(ValueRef::Integer(n)) => call.out.bulk_integer(n),
            _ => call.out.null(),
        }
    }
    Ok(())
}

fn set_pairs(call: &mut Call<'_>) {
    for at in (1..call.args.len()).step_by(2) {
        call.keys.set_string(call.args.get(at), call.args.get(at + 1));
        call.keys.notify(Classes::STRING, "set", call.args.get(at));
    }
}

fn mset(call: &mut Call<'_>) -> Answer {
    if call.args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity);
    }
    set_pairs(call);
    call.out.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_>) -> Answer {
    if call.args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity);
    }
    let fresh = (1..call.args.len()).step_by(2).all(|at| !call.keys.exists(call.args.get(at)));
    if fresh {
        set_pairs(call);
    }
    call.out.integer(i64::from(fresh));
    Ok(())
}

/// Changes the bytes of a string, in place where it is long; a missing one is empty. Answers the new length.
fn edit(
    keys: &mut Keyspace<'_>,
    key: &[u8],
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, CommandError> {
    let (mut bytes, extras) = match keys.peek(key) {
        None => (Vec::new(), Extras { raw: true, ..Extras::default() }),
        Some(item) => {
            let (value, extras) = (element(item.value())?, item.extras());
            if extras.cas == 0 && value.len() > INLINE_STRING_BYTES_MAX {
                return edit_in_place(keys, key, change);
            }
            (value.to_vec(), Extras { cas: 0, raw: true, ..extras })
        }
    };
    change(&mut bytes);
    let len = bytes.len();
    keys.set(key, Value::Long(bytes), extras);
    Ok(len)
}

fn edit_in_place(
    keys: &mut Keyspace<'_>,
    key: &[u8],
    change: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, CommandError> {
    let Some(ValueMut::Long(bytes)) = keys.write(key) else { return Err(CommandError::WrongType) };
    change(bytes);
    let len = bytes.len();
    keys.changed(key);
    Ok(len)
}

/// The length of the string at a key; 0 if there is none.
fn length(keys: &Keyspace<'_>, key: &[u8]) -> Result<usize, CommandError> {
    keys.peek_value(key).map_or(Ok(0), |value| element(value).map(|value| value.len()))
}

/// Errors: a string of `len` bytes and `more` would be longer than a request may carry.
fn check_size(call: &Call<'_>, len: usize, more: usize) -> Result<(), CommandError> {
    let most = usize::try_from(call.node.settings().proto_max_bulk_len).unwrap_or(usize::MAX);
    match len.checked_add(more) {
        Some(total) if total <= most => Ok(()),
        _ => Err(text("ERR string exceeds maximum allowed size (proto-max-bulk-len)")),
    }
}

fn append(call: &mut Call<'_>) -> Answer {
    let (key, more) = (call.args.get(1), call.args.get(2));
    let len = if call.keys.exists(key) {
        check_size(call, length(&call.keys, key)?, more.len())?;
        edit(&mut call.keys, key, |bytes| bytes.extend_from_slice(more))?
    } else {
        call.keys.set_string(key, more);
        more.len()
    };
    call.keys.notify(Classes::STRING, "append", key);
    call.out.integer(len as i64);
    Ok(())
}

fn strlen(call: &mut Call<'_>) -> Answer {
    let value = call.keys.read(call.args.get(1)).map(|item| element(item.value())).transpose()?;
    call.out.integer(value.map_or(0, |value| value.len() as i64));
    Ok(())
}

fn setrange(call: &mut Call<'_>) -> Answer {
    let (key, part) = (call.args.get(1), call.args.get(3));
    let offset =
        usize::try_from(integer(call.args.get(2))?).map_err(|_| text("ERR offset is out of range"))?;
    let mut len = length(&call.keys, key)?;
    if !part.is_empty() {
        check_size(call, offset, part.len())?;
        let end = offset + part.len();
        len = edit(&mut call.keys, key, |bytes| {
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[offset..end].copy_from_slice(part);
        })?;
        call.keys.notify(Classes::STRING, "setrange", key);
    }
    call.out.integer(len as i64);
    Ok(())
}

/// The bytes from `start` to `end`, both included and counted from the end where negative. A negative index before
/// the beginning is the beginning.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = bytes.len() as i64;
    if bytes.is_empty() || start < 0 && end < 0 && start > end {
        return &[];
    }
    let absolute = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (absolute(start), absolute(end).min(len - 1));
    if start > end { &[] } else { &bytes[start as usize..=end as usize] }
}

fn getrange(call: &mut Call<'_>) -> Answer {
    let (start, end) = (integer(call.args.get(2))?, integer(call.args.get(3))?);
    match call.keys.read(call.args.get(1)) {
        Some(item) => call.out.bulk(part(element(item.value())?.bytes(&mut Digits::new()), start, end)),
        None => call.out.bulk(b""),
    }
    Ok(())
}

fn add(call: &mut Call<'_>, by: i64) -> Answer {
    let key = call.args.get(1);
    let overflow = || text("ERR increment or decrement would overflow");
    let (old, extras) = match call.keys.counter(key) {
        Counter::Integer(mut integer) => {
            let new = integer.get().checked_add(by).ok_or_else(overflow)?;
            integer.set(new);
            call.keys.changed(key);
            call.keys.notify(Classes::STRING, "incrby", key);
            call.out.integer(new);
            return Ok(());
        }
        Counter::Missing => (0, Extras::default()),
        Counter::Other => match call.keys.peek(key) {
            None => (0, Extras::default()),
            Some(item) => {
                let old = match element(item.value())? {
                    Element::Int(n) => n,
                    Element::Bytes(bytes) => integer(bytes)?,
                };
                (old, Extras { cas: 0, raw: false, ..item.extras() })
            }
        },
    };
    let new = old.checked_add(by).ok_or_else(overflow)?;
    call.keys.set(key, Value::Integer(new), extras);
    call.keys.notify(Classes::STRING, "incrby", key);
    call.out.integer(new);
    Ok(())
}

fn incr(call: &mut Call<'_>) -> Answer {
    add(call, 1)
}

fn decr(call: &mut Call<'_>) -> Answer {
    add(call, -1)
}

fn incrby(call: &mut Call<'_>) -> Answer {
    add(call, integer(call.args.get(2))?)
}

fn decrby(call: &mut Call<'_>) -> Answer {
    let by = integer(call.args.get(2))?.checked_neg();
    add(call, by.ok_or(text("ERR decrement would overflow"))?)
}

fn incrbyfloat(call: &mut Call<'_>) -> Answer {
    let key = call.args.get(1);
    let (old, extras) = match call.keys.peek(key) {
        None => (Ok(Extended::ZERO), Extras::default()),
        Some(item) => {
            let old = Extended::parse(element(item.value())?.bytes(&mut Digits::new()));
            (old, Extras { cas: 0, raw: false, ..item.extras() })
        }
    };
    let by = Extended::parse(call.args.get(2));
    if [old, by].contains(&Err(Trouble::NotFloat)) {
        return Err(CommandError::NotFloat);
    }
    let sum = old.and_then(|old| old.plus(by?));
    let digits = sum.map_err(|_| text("ERR increment would produce NaN or Infinity"))?.print();
    call.keys.set(key, Value::String(digits.as_bytes()), extras);
    call.propagate(&[b"SET", key, digits.as_bytes(), b"KEEPTTL"]);
    call.keys.notify(Classes::STRING, "incrbyfloat", key);
    call.out.bulk(digits.as_bytes());
    Ok(())
}
