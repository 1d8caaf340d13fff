//! Commands on keys whatever their values are: removing, renaming, copying, moving, and OBJECT.

use super::collection::{Answer, is, text};
use super::table::{ALL_KEYS, Keys, ONE_KEY, TWO_KEYS, flag};
use super::{Call, Command, CommandError};
use crate::notify::Classes;
use larder_protocol::number;
use larder_store::partition::access::decayed;
use larder_store::{Removed, Value, ValueRef};

/// The commands on keys.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "del",
        summary: "Removes keys.",
        syntax: "key [key ...]",
        complexity: "O(N), N = keys given",
        arity: -2,
        flags: flag::WRITE,
        keys: ALL_KEYS,
        handler: del,
        ..Command::DEFAULT
    },
    Command {
        name: "unlink",
        summary: "Removes keys; large values are freed in the background.",
        syntax: "key [key ...]",
        since: "4.0.0",
        complexity: "O(N), N = keys given",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: ALL_KEYS,
        handler: unlink,
        ..Command::DEFAULT
    },
    Command {
        name: "exists",
        summary: "Counts how many of the keys exist; a key given twice counts twice.",
        syntax: "key [key ...]",
        complexity: "O(N), N = keys given",
        arity: -2,
        flags: flag::READONLY | flag::FAST,
        keys: ALL_KEYS,
        handler: exists,
        ..Command::DEFAULT
    },
    Command {
        name: "touch",
        summary: "Notes a use of keys and counts those that exist.",
        syntax: "key [key ...]",
        since: "3.2.1",
        complexity: "O(N), N = keys given",
        arity: -2,
        flags: flag::READONLY | flag::FAST,
        keys: ALL_KEYS,
        handler: touch,
        ..Command::DEFAULT
    },
    Command {
        name: "type",
        summary: "Tells the type of the value at a key.",
        syntax: "key",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: kind,
        ..Command::DEFAULT
    },
    Command {
        name: "rename",
        summary: "Gives a key another name, in place of whatever had that name.",
        syntax: "key newkey",
        arity: 3,
        flags: flag::WRITE,
        keys: TWO_KEYS,
        handler: rename,
        ..Command::DEFAULT
    },
    Command {
        name: "renamenx",
        summary: "Gives a key another name only if no key has it.",
        syntax: "key newkey",
        arity: 3,
        flags: flag::WRITE | flag::FAST,
        keys: TWO_KEYS,
        handler: renamenx,
        ..Command::DEFAULT
    },
    Command {
        name: "copy",
        summary: "Copies the value of a key to another key or database.",
        syntax: "source destination [DB destination-db] [REPLACE]",
        since: "6.2.0",
        complexity: "O(N), N = members of the value",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: TWO_KEYS,
        handler: copy,
        ..Command::DEFAULT
    },
    Command {
        name: "move",
        summary: "Moves a key to another database.",
        syntax: "key db",
        arity: 3,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: move_key,
        ..Command::DEFAULT
    },
    Command {
        name: "object",
        summary: "Tells about the value at a key.",
        since: "2.2.3",
        complexity: "Depends on the subcommand",
        arity: -2,
        subcommands: OBJECT,
        ..Command::DEFAULT
    },
];

/// The second argument: the key of OBJECT's subcommands.
const OBJECT_KEY: Keys = Keys::Range { first: 2, last: 2, step: 1 };

const OBJECT: &[Command] = &[
    Command {
        name: "encoding",
        summary: "Tells how the value at a key is stored.",
        syntax: "key",
        since: "2.2.3",
        arity: 3,
        flags: flag::READONLY,
        keys: OBJECT_KEY,
        handler: encoding,
        ..Command::DEFAULT
    },
    Command {
        name: "freq",
        summary: "Tells the logarithmic count of the uses of a key.",
        syntax: "key",
        since: "4.0.0",
        arity: 3,
        flags: flag::READONLY,
        keys: OBJECT_KEY,
        handler: freq,
        ..Command::DEFAULT
    },
    Command {
        name: "idletime",
        summary: "Tells the seconds since the last use of a key.",
        syntax: "key",
        since: "2.2.3",
        arity: 3,
        flags: flag::READONLY,
        keys: OBJECT_KEY,
        handler: idletime,
        ..Command::DEFAULT
    },
    Command {
        name: "refcount",
        summary: "Tells how many share the value at a key.",
        syntax: "key",
        since: "2.2.3",
        arity: 3,
        flags: flag::READONLY,
        keys: OBJECT_KEY,
        handler: refcount,
        ..Command::DEFAULT
    },
    Command {
        name: "help",
        summary: "Lists the subcommands.",
        since: "6.2.0",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        handler: object_help,
        ..Command::DEFAULT
    },
];

/// Longest string that Redis keeps in one piece with its header, as OBJECT ENCODING shows.
pub(super) const EMBEDDED_STRING_BYTES_MAX: usize = 44;
/// Integers below this are shared in Redis.
const SHARED_INTEGERS: i64 = 10_000;
/// The reference count of shared values.
const SHARED: i64 = i32::MAX as i64;

const SAME_OBJECT: &str = "ERR source and destination objects are the same";

/// The name of a value's type.
pub(super) fn type_name(value: &ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::String(_) | ValueRef::Integer(_) => "string",
        ValueRef::Hash(_) => "hash",
        ValueRef::List(_) => "list",
        ValueRef::Set(_) => "set",
        ValueRef::SortedSet(_) => "zset",
        ValueRef::Stream(_) => "stream",
    }
}

/// Answers for how many of the keys `does` is true.
fn count(call: &mut Call<'_>, mut does: impl FnMut(&mut Call<'_>, &[u8]) -> bool) -> Answer {
    let args = call.args;
    let done = args.from(1).iter().filter(|key| does(call, key)).count();
    call.out.integer(done as i64);
    Ok(())
}

fn del(call: &mut Call<'_>) -> Answer {
    count(call, |call, key| call.keys.remove_and_notify(key))
}

fn unlink(call: &mut Call<'_>) -> Answer {
    del(call)
}

fn exists(call: &mut Call<'_>) -> Answer {
    count(call, |call, key| call.keys.read_untouched(key).is_some())
}

fn touch(call: &mut Call<'_>) -> Answer {
    count(call, |call, key| call.keys.read(key).is_some())
}

fn kind(call: &mut Call<'_>) -> Answer {
    let item = call.keys.read_untouched(call.args.get(1));
    call.out.simple(item.map_or("none", |item| type_name(&item.value())));
    Ok(())
}

/// Puts a value that was taken out elsewhere, with its deadline.
fn put(call: &mut Call<'_>, key: &[u8], removed: Removed) {
    let extras = removed.extras();
    call.keys.set(key, Value::from(removed.into_value()), extras);
}

/// Renames; false if there is a key of the new name and it must stay.
fn rename_unless(call: &mut Call<'_>, keep_existing: bool) -> Result<bool, CommandError> {
    let (from, to) = (call.args.get(1), call.args.get(2));
    if !call.keys.exists(from) {
        return Err(CommandError::NoSuchKey);
    }
    if keep_existing && call.keys.exists(to) {
        return Ok(false);
    }
    if from != to
        && let Some(removed) = call.keys.take(from)
    {
        if call.keys.exists(to) {
            call.keys.notify(Classes::NEW, "new", to);
        }
        put(call, to, removed);
        call.keys.notify(Classes::GENERIC, "rename_from", from);
        call.keys.notify(Classes::GENERIC, "rename_to", to);
    }
    Ok(true)
}

fn rename(call: &mut Call<'_>) -> Answer {
    rename_unless(call, false)?;
    call.out.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_>) -> Answer {
    let done = rename_unless(call, true)?;
    call.out.integer(i64::from(done));
    Ok(())
}

/// The number of a database.
fn database(call: &Call<'_>, argument: &[u8]) -> Result<u16, CommandError> {
    let number = number::parse_i64(argument).ok_or(CommandError::NotInteger)?;
    let number = i32::try_from(number)
        .map_err(|_| text("ERR value is out of range, value must between -2147483648 and 2147483647"))?;
    let known = u16::try_from(number).ok().filter(|db| *db < call.keys.databases());
    known.ok_or(text("ERR DB index is out of range"))
}

/// A copy of a value. O(N) in its members.
fn copied(value: ValueRef<'_>) -> Value<'static> {
    match value {
        ValueRef::String(bytes) => Value::Long(bytes.to_vec()),
        ValueRef::Integer(n) => Value::Integer(n),
        ValueRef::Hash(hash) => Value::Hash(Box::new(hash.clone())),
        ValueRef::List(list) => Value::List(Box::new(list.clone())),
        ValueRef::Set(set) => Value::Set(Box::new(set.clone())),
        ValueRef::SortedSet(set) => Value::SortedSet(Box::new(set.clone())),
        ValueRef::Stream(stream) => Value::Stream(Box::new(stream.clone())),
    }
}

fn copy(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let source_db = call.keys.db();
    let (mut target_db, mut replace) = (source_db, false);
    let mut at = 3;
    while at < args.len() {
        match args.get(at) {
            word if is(word, "REPLACE") => replace = true,
            word if is(word, "DB") && at + 1 < args.len() => {
                at += 1;
                target_db = database(call, args.get(at))?;
            }
            _ => return Err(CommandError::Syntax),
        }
        at += 1;
    }
    let (from, to) = (args.get(1), args.get(2));
    if from == to && source_db == target_db {
        return Err(text(SAME_OBJECT));
    }
    let value = call.keys.read(from).map(|item| (copied(item.value()), item.extras()));
    call.keys.select(target_db);
    let mut done = false;
    if let Some((value, extras)) = value
        && (replace || !call.keys.exists(to))
    {
        if call.keys.exists(to) {
            call.keys.notify(Classes::NEW, "new", to);
        }
        call.keys.set(to, value, extras);
        call.keys.notify(Classes::GENERIC, "copy_to", to);
        done = true;
    }
    call.keys.select(source_db);
    call.out.integer(i64::from(done));
    Ok(())
}

fn move_key(call: &mut Call<'_>) -> Answer {
    let key = call.args.get(1);
    let source_db = call.keys.db();
    let target_db = database(call, call.args.get(2))?;
    if source_db == target_db {
        return Err(text(SAME_OBJECT));
    }
    call.keys.select(target_db);
    let blocked = call.keys.exists(key);
    call.keys.select(source_db);
    let removed = if blocked { None } else { call.keys.take(key) };
    call.out.integer(i64::from(removed.is_some()));
    if let Some(removed) = removed {
        call.keys.select(target_db);
        put(call, key, removed);
        call.keys.select(source_db);
        call.keys.notify(Classes::GENERIC, "move_from", key);
        call.keys.select(target_db);
        call.keys.notify(Classes::GENERIC, "move_to", key);
        call.keys.select(source_db);
    }
    Ok(())
}

fn encoding(call: &mut Call<'_>) -> Answer {
    match call.keys.peek(call.args.get(2)) {
        None => call.out.null(),
        Some(item) => call.out.bulk(encoding_name(&item.value(), item.extras().raw).as_bytes()),
    }
    Ok(())
}

pub(super) fn encoding_name(value: &ValueRef<'_>, raw: bool) -> &'static str {
    match value {
        ValueRef::Integer(_) => "int",
        ValueRef::String(bytes) if !raw && bytes.len() <= EMBEDDED_STRING_BYTES_MAX => "embstr",
        ValueRef::String(_) => "raw",
        ValueRef::Hash(hash) => hash.encoding(),
        ValueRef::List(list) => list.encoding(),
        ValueRef::Set(set) => set.encoding(),
        ValueRef::SortedSet(set) => set.encoding(),
        ValueRef::Stream(_) => "stream",
    }
}

fn freq(call: &mut Call<'_>) -> Answer {
    let now = call.keys.now_ms();
    let settings = call.node.settings();
    let Some(item) = call.keys.peek(call.args.get(2)) else {
        call.out.null();
        return Ok(());
    };
    if !settings.maxmemory_policy.is_lfu() {
        return Err(text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let minutes = (now / 60_000) as u32 & 0xffff;
    call.out.integer(decayed(item.access(), minutes, settings.lfu_decay_time).into());
    Ok(())
}

fn idletime(call: &mut Call<'_>) -> Answer {
    let now = call.keys.now_ms();
    let Some(item) = call.keys.peek(call.args.get(2)) else {
        call.out.null();
        return Ok(());
    };
    if call.node.settings().maxmemory_policy.is_lfu() {
        return Err(text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
             between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let access = call.node.access(&call.node.settings(), now, 0);
    call.out.integer(access.idle_seconds(item.access(), now).into());
    Ok(())
}

/// Nothing is shared here; the answers are those of Redis for the same value.
fn refcount(call: &mut Call<'_>) -> Answer {
    let settings = call.node.settings();
    let policy = settings.maxmemory_policy;
    let noting = policy.is_lfu() || policy.is_lru() || policy.is_lhd();
    let sharing = settings.maxmemory == 0 || !noting;
    match call.keys.peek_value(call.args.get(2)) {
        None => call.out.null(),
        Some(ValueRef::Integer(0..SHARED_INTEGERS)) if sharing => call.out.integer(SHARED),
        Some(_) => call.out.integer(1),
    }
    Ok(())
}

const OBJECT_HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

fn object_help(call: &mut Call<'_>) -> Answer {
    call.out.array(OBJECT_HELP.len());
    OBJECT_HELP.iter().for_each(|line| call.out.simple(line));
    Ok(())
}
