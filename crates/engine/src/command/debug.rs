//! DEBUG: what test suites ask of a server, and LOLWUT.

use super::introspection::help;
use super::table::{Command, Keys, Scope, flag};
use super::{Call, CommandError, digest};
use crate::replication::history::History;
use larder_protocol::glob;
use larder_protocol::number::{parse_f64, parse_i64};
use std::sync::atomic::Ordering;
use std::time::Duration;

const FLAGS: u32 = flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE;
/// Longest DEBUG SLEEP, seconds.
const SLEEP_MAX: f64 = 3600.0;
/// What DEBUG PROTOCOL DOUBLE answers: clients' tests compare with it.
#[expect(clippy::approx_constant, reason = "it is these four digits that are expected")]
const EXAMPLE_DOUBLE: f64 = 3.141;
/// Longest text that DEBUG STRINGMATCH-LEN tries.
const MATCH_BYTES_MAX: i64 = 16 * 1024 * 1024;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "debug",
        summary: "Commands for tests of the server.",
        group: "server",
        complexity: "Depends on subcommand.",
        arity: -2,
        flags: FLAGS,
        subcommands: SUBCOMMANDS,
        ..Command::DEFAULT
    },
    Command {
        name: "lolwut",
        summary: "Draws something, and tells the version.",
        syntax: "[VERSION version]",
        since: "5.0.0",
        group: "server",
        complexity: "",
        arity: -1,
        flags: flag::READONLY | flag::FAST,
        handler: lolwut,
        ..Command::DEFAULT
    },
    Command {
        name: "module",
        summary: "Commands about modules.",
        since: "4.0.0",
        group: "server",
        complexity: "Depends on subcommand.",
        arity: -2,
        subcommands: MODULE,
        ..Command::DEFAULT
    },
];

const ROW: Command = Command { group: "server", flags: FLAGS, arity: 3, ..Command::DEFAULT };

const SUBCOMMANDS: &[Command] = &[
    Command { name: "sleep", summary: "Does nothing for a while.", syntax: "seconds", handler: sleep, ..ROW },
    Command {
        name: "object",
        summary: "Tells how a value is stored.",
        syntax: "key",
        keys: Keys::Range { first: 2, last: 2, step: 1 },
        arity: -3,
        handler: object,
        ..ROW
    },
    Command {
        name: "set-active-expire",
        summary: "Whether keys are removed before somebody asks for them.",
        syntax: "<0 | 1>",
        handler: set_active_expire,
        ..ROW
    },
    Command {
        name: "stringmatch-len",
        summary: "Matches a text of so many letters against a pattern.",
        syntax: "length pattern",
        arity: 4,
        handler: stringmatch,
        ..ROW
    },
    Command {
        name: "jmap",
        summary: "Refused: there is no such thing here.",
        arity: 2,
        handler: refused,
        ..ROW
    },
    Command {
        name: "change-repl-id",
        summary: "Begins another history of replication, as if nobody had been in this one.",
        arity: 2,
        scope: Scope::Still,
        handler: change_history,
        ..ROW
    },
    Command { name: "log", summary: "Writes to the log.", syntax: "message", handler: log, ..ROW },
    Command { name: "error", summary: "Answers with an error.", syntax: "message", handler: error, ..ROW },
    Command {
        name: "dict-stats",
        summary: "Tells about the tables of a database.",
        syntax: "db",
        handler: table_stats,
        scope: Scope::Each,
        ..ROW
    },
    Command {
        name: "htstats",
        summary: "Tells about the tables of a database.",
        syntax: "db",
        handler: table_stats,
        scope: Scope::Each,
        arity: -3,
        ..ROW
    },
    Command {
        name: "protocol",
        summary: "Answers with a value of each kind.",
        syntax: "<string | integer | double | null | array | set | map | attrib | push | bignum | true | false | verbatim>",
        handler: protocol,
        ..ROW
    },
    Command {
        name: "digest",
        summary: "Sums up all keys and their values, in 40 digits.",
        arity: 2,
        scope: Scope::All,
        handler: |call| check(call).and_then(|()| digest::keyspace(call)),
        ..ROW
    },
    Command {
        name: "digest-value",
        summary: "Sums up the values of keys, each in 40 digits.",
        syntax: "key [key ...]",
        arity: -2,
        keys: Keys::Range { first: 2, last: -1, step: 1 },
        handler: |call| check(call).and_then(|()| digest::values(call)),
        ..ROW
    },
    Command {
        name: "populate",
        summary: "Makes so many keys, named by a prefix and a number.",
        syntax: "count [prefix [size]]",
        arity: -3,
        scope: Scope::All,
        handler: |call| check(call).and_then(|()| digest::populate(call)),
        ..ROW
    },
    Command {
        name: "reload",
        summary: "Saves the keyspace, empties it and loads it again.",
        syntax: "[MERGE] [NOFLUSH] [NOSAVE]",
        arity: -2,
        scope: Scope::Still,
        handler: reload,
        ..ROW
    },
    #[cfg(feature = "holds")]
    Command {
        name: "holds",
        summary: "Tells how long partitions were held since the last call.",
        arity: 2,
        handler: holds,
        ..ROW
    },
    Command { name: "help", summary: "Returns a help text.", arity: 2, handler: show_help, ..ROW },
];

const MODULE_FLAGS: u32 = flag::ADMIN | flag::NOSCRIPT | flag::NO_ASYNC_LOADING;

const MODULE: &[Command] = &[
    Command {
        name: "list",
        summary: "Returns all loaded modules.",
        since: "4.0.0",
        arity: 2,
        flags: flag::ADMIN | flag::NOSCRIPT,
        handler: modules,
        ..ROW
    },
    Command {
        name: "load",
        summary: "Refused: modules are not available.",
        since: "4.0.0",
        syntax: "path [arg [arg ...]]",
        arity: -3,
        flags: MODULE_FLAGS,
        handler: module_refused,
        ..ROW
    },
    Command {
        name: "loadex",
        summary: "Refused: modules are not available.",
        since: "7.0.0",
        syntax: "path [CONFIG name value [CONFIG name value ...]] [ARGS args [args ...]]",
        arity: -3,
        flags: MODULE_FLAGS,
        handler: module_refused,
        ..ROW
    },
    Command {
        name: "unload",
        summary: "Refused: modules are not available.",
        since: "4.0.0",
        syntax: "name",
        flags: MODULE_FLAGS,
        handler: module_unknown,
        ..ROW
    },
    Command {
        name: "help",
        summary: "Returns a help text.",
        since: "5.0.0",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        handler: module_help,
        ..ROW
    },
];

fn text(message: &'static str) -> CommandError {
    CommandError::Text(message.into())
}

/// What is dangerous needs a directive.
fn not_allowed(command: &str, directive: &str) -> CommandError {
    CommandError::new(format!(
        "ERR {command} command not allowed. If the {directive} option is set to \"local\", you can run it from a local \
         connection, otherwise you need to set this option in the configuration file, and then restart the server."
    ))
}

fn check(call: &Call<'_>) -> Result<(), CommandError> {
    let allowed = call.node.settings().debug_commands;
    match allowed.admits(call.session.is_of_this_machine()) {
        true => Ok(()),
        false => Err(not_allowed("DEBUG", "enable-debug-command")),
    }
}

fn show_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    help(call, "DEBUG", SUBCOMMANDS);
    Ok(())
}

fn sleep(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let seconds = parse_f64(call.args.get(2)).unwrap_or(0.0).clamp(0.0, SLEEP_MAX);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    call.out.ok();
    Ok(())
}

fn reload(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    super::persistence::reload(call)
}

/// The longest hold, nanoseconds of processor time, and how many were in which power of two. Measuring begins with the
/// first call.
#[cfg(feature = "holds")]
fn holds(call: &mut Call<'_>) -> Result<(), CommandError> {
    use larder_store::holds;
    use rustix::time::{ClockId, clock_gettime};

    check(call)?;
    holds::measure(|| {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).map_or(0, |time| time.as_nanos() as u64)
    });
    let (longest, counts) = holds::take();
    call.out.array(1 + counts.len());
    call.out.integer(longest as i64);
    counts.iter().for_each(|count| call.out.integer(*count as i64));
    Ok(())
}

fn set_active_expire(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let active = parse_i64(call.args.get(2)).unwrap_or(0) != 0;
    call.node.active_expire.store(active, Ordering::Relaxed);
    call.out.ok();
    Ok(())
}

fn stringmatch(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let length = parse_i64(call.args.get(2)).ok_or(CommandError::NotInteger)?;
    if !(0..=MATCH_BYTES_MAX).contains(&length) {
        return Err(CommandError::OutOfRange);
    }
    let subject = vec![b'a'; length as usize];
    let matches = glob::matches(call.args.get(3), &subject, false);
    call.out.integer(i64::from(matches));
    Ok(())
}

fn change_history(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    call.node.replication.state().history = History::begin();
    call.out.ok();
    Ok(())
}

fn refused(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let name = String::from_utf8_lossy(call.args.get(1)).to_uppercase();
    Err(CommandError::new(format!("ERR DEBUG {name} is not available")))
}

fn log(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(call.args.get(2)));
    call.out.ok();
    Ok(())
}

fn error(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let message = String::from_utf8_lossy(call.args.get(2)).replace(['\r', '\n'], " ");
    Err(CommandError::new(message))
}

fn table_stats(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let db = parse_i64(call.args.get(2)).and_then(|db| u16::try_from(db).ok());
    let db = db.filter(|db| *db < call.keys.databases()).ok_or(text("ERR Out of range database"))?;
    let (mut keys, mut volatile, mut bytes) = (0, 0, 0);
    call.keys.each_partition(|_, partition| {
        keys += partition.len(db);
        volatile += partition.volatile_len(db);
        bytes += partition.index_bytes();
    });
    let report = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n number of elements: {keys}\n elements with a time to \
         live: {volatile}\n index bytes (all databases): {bytes}\n"
    );
    call.out.verbatim("txt", &report);
    Ok(())
}

fn protocol(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let out = &mut *call.out;
    match call.args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.integer(12345),
        b"double" => out.double(EXAMPLE_DOUBLE),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|number| out.integer(number));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|number| out.integer(number));
        }
        b"map" => {
            out.map(3);
            for number in 0..3 {
                out.integer(number);
                out.boolean(number == 1);
            }
        }
        b"bignum" if out.is_resp3() => out.raw(b"(1234567999999999999999999999999999999\r\n"),
        b"bignum" => out.bulk(b"1234567999999999999999999999999999999"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        b"verbatim" => out.verbatim("txt", "This is a verbatim\nstring"),
        b"push" if out.is_resp3() => {
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.integer(42);
            out.bulk(b"Some real reply following the push reply");
        }
        b"attrib" => {
            if out.is_resp3() {
                out.raw(b"|1\r\n");
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.integer(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => return Err(text("ERR RESP2 is not supported by this command")),
        _ => {
            return Err(text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn object(call: &mut Call<'_>) -> Result<(), CommandError> {
    check(call)?;
    let now_ms = call.keys.now_ms();
    let Some(item) = call.keys.peek(call.args.get(2)) else { return Err(CommandError::NoSuchKey) };
    let (encoding, bytes) =
        (super::keys::encoding_name(&item.value(), item.extras().raw), item.memory_bytes());
    let line = format!(
        "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{bytes} lru:{} lru_seconds_idle:0",
        (now_ms / 1000) & 0xff_ffff
    );
    call.out.simple(&line);
    Ok(())
}

fn modules(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.array(0);
    Ok(())
}

/// Whether the caller may use commands about modules at all.
fn admit_modules(call: &Call<'_>) -> Result<(), CommandError> {
    match call.node.settings().module_commands.admits(call.session.is_of_this_machine()) {
        true => Ok(()),
        false => Err(not_allowed("MODULE", "enable-module-command")),
    }
}

fn module_unknown(call: &mut Call<'_>) -> Result<(), CommandError> {
    admit_modules(call)?;
    Err(text("ERR Error unloading module: no such module with that name"))
}

fn module_refused(call: &mut Call<'_>) -> Result<(), CommandError> {
    admit_modules(call)?;
    Err(text("ERR Error loading the extension. Modules are not available."))
}

fn module_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "MODULE", MODULE);
    Ok(())
}

/// Jars on the shelves of a larder; which are full changes with the number of keys.
fn lolwut(call: &mut Call<'_>) -> Result<(), CommandError> {
    let args = call.args;
    match args.len() {
        1 => {}
        2 => return Err(CommandError::Syntax),
        _ if args.get(1).eq_ignore_ascii_case(b"version") => {
            parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
        }
        _ => {}
    }
    let mut seed = call.keys.now_ms() | 1;
    let mut full = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.is_multiple_of(3)
    };
    let mut drawn = String::new();
    for _ in 0..3 {
        let jars: Vec<bool> = (0..12).map(|_| full()).collect();
        for row in
            [["  ___  ", "  ___  "], [" (___) ", " (___) "], [" |   | ", " |%%%| "], [" |___| ", " |%%%| "]]
        {
            jars.iter().for_each(|full| drawn.push_str(row[usize::from(*full)]));
            drawn.push('\n');
        }
        drawn.push_str(&"=".repeat(84));
        drawn.push('\n');
    }
    drawn.push_str(&format!("\nLarder ver. {}\n", env!("CARGO_PKG_VERSION")));
    call.out.verbatim("txt", &drawn);
    Ok(())
}
