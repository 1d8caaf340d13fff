//! COMMAND: the command table, told to clients.

use super::arguments;
use super::dispatch::full_name;
use super::table::{Command, Keys, flag};
use super::{Call, CommandError, facts};
use larder_protocol::glob;
use larder_protocol::number::parse_i64;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::Reply;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    summary: "Describes all commands.",
    since: "2.8.13",
    group: "server",
    complexity: "O(N) where N is the total number of commands",
    arity: -1,
    flags: flag::LOADING | flag::STALE,
    categories: &["connection"],
    handler: all,
    subcommands: SUBCOMMANDS,
    ..Command::DEFAULT
}];

const fn row(
    name: &'static str,
    summary: &'static str,
    syntax: &'static str,
    since: &'static str,
    arity: i8,
    handler: super::Handler,
) -> Command {
    Command {
        name,
        summary,
        syntax,
        since,
        group: "server",
        arity,
        flags: flag::LOADING | flag::STALE,
        categories: &["connection"],
        handler,
        ..Command::DEFAULT
    }
}

const SUBCOMMANDS: &[Command] = &[
    row("count", "Returns the number of commands.", "", "2.8.13", 2, count),
    row("info", "Describes commands.", "[command-name [command-name ...]]", "2.8.13", -2, info),
    row("docs", "Documents commands.", "[command-name [command-name ...]]", "7.0.0", -2, docs),
    row(
        "list",
        "Lists the names of commands.",
        "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        "7.0.0",
        -2,
        list,
    ),
    row("getkeys", "Finds the keys of a command.", "command [arg [arg ...]]", "2.8.13", -3, getkeys),
    row(
        "getkeysandflags",
        "Finds the keys of a command and what it does to them.",
        "command [arg [arg ...]]",
        "7.0.0",
        -3,
        getkeysandflags,
    ),
    row("help", "Returns a help text.", "", "5.0.0", 2, help_command),
];

/// The help text of a container, as HELP shows it.
pub(super) fn help(call: &mut Call<'_>, container: &str, rows: &[Command]) {
    let out = &mut *call.out;
    out.array(2 * rows.len() + 1);
    out.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for row in rows {
        out.simple(format!("{} {}", row.name.to_uppercase(), row.syntax).trim_end());
        out.simple(&format!("    {}", row.summary));
    }
}

fn help_command(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "COMMAND", SUBCOMMANDS);
    Ok(())
}

fn count(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.integer(call.node.table.rows().len() as i64);
    Ok(())
}

fn all(call: &mut Call<'_>) -> Result<(), CommandError> {
    let rows = call.node.table.rows();
    call.out.array(rows.len());
    rows.iter().for_each(|row| describe(call.out, row, row));
    Ok(())
}

/// A row by `name` or `container|name`.
fn find(call: &Call<'_>, name: &[u8]) -> Option<(&'static Command, &'static Command)> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let row = call.node.table.get(parts.next()?)?;
    match parts.next() {
        None => Some((row, row)),
        Some(second) => {
            let found = row.subcommands.iter().find(|sub| second.eq_ignore_ascii_case(sub.name.as_bytes()));
            found.map(|sub| (row, sub))
        }
    }
}

fn info(call: &mut Call<'_>) -> Result<(), CommandError> {
    if call.args.len() == 2 {
        return all(call);
    }
    let names = call.args.from(2);
    call.out.array(names.len());
    for name in names.iter() {
        match find(call, name) {
            Some((container, row)) => describe(call.out, container, row),
            None => call.out.null_array(),
        }
    }
    Ok(())
}

fn flags_of(row: &Command) -> Vec<&'static str> {
    flag::NAMES.iter().filter(|(bit, _)| row.is(*bit)).map(|(_, name)| *name).collect()
}

fn is_movable(row: &Command) -> bool {
    matches!(
        row.keys,
        Keys::Counted { .. }
            | Keys::CountedPairs { .. }
            | Keys::Named { .. }
            | Keys::Streams { .. }
            | Keys::Sort { .. }
            | Keys::Migrated
    )
}

fn describe(out: &mut Reply, container: &Command, row: &Command) {
    out.array(10);
    out.bulk(full_name(container, row).as_bytes());
    out.integer(row.arity.into());
    let mut flags = flags_of(row);
    flags.extend((is_movable(row) && !row.is(flag::MOVABLEKEYS)).then_some("movablekeys"));
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    let name = full_name(container, row);
    let specifications = facts::specifications(&name);
    let (first, last, step) = match row.keys {
        Keys::Range { first, last, step } => (first.into(), last.into(), step.into()),
        Keys::Counted { target: true, .. } | Keys::Named { .. } | Keys::Sort { .. } => (1, 1, 1),
        Keys::Migrated => (3, 3, 1),
        Keys::None => specifications.and_then(facts::range_of_no_keys).unwrap_or((0, 0, 0)),
        _ => (0, 0, 0),
    };
    [first, last, step].into_iter().for_each(|number| out.integer(number));
    let categories = row.acl_categories();
    out.set(categories.len());
    categories.iter().for_each(|category| out.simple(&format!("@{category}")));
    let tips = facts::tips(&name);
    out.array(tips.clone().count());
    tips.for_each(|tip| out.bulk(tip.as_bytes()));
    match specifications {
        Some(line) => facts::write_specifications(out, line),
        None => key_specifications(out, row),
    }
    out.array(row.subcommands.len());
    row.subcommands.iter().for_each(|sub| describe(out, row, sub));
}

fn access_flags(row: &Command) -> &'static [&'static str] {
    if row.is(flag::WRITE) { &["RW", "update"] } else { &["RO", "access"] }
}

/// Keys that stand behind a word.
fn behind_word(out: &mut Reply, row: &Command, word: &str, from: u8, find: &[(&str, i64)]) {
    begin_specification(out, row);
    out.bulk(b"keyword");
    out.bulk(b"spec");
    out.map(2);
    out.bulk(b"keyword");
    out.bulk(word.as_bytes());
    out.bulk(b"startfrom");
    out.integer(from.into());
    end_specification(out, find, "range");
}

fn key_specifications(out: &mut Reply, row: &Command) {
    match row.keys {
        Keys::None => out.array(0),
        Keys::Range { first, last, step } => {
            out.array(1);
            // A range's last key is counted from its first; a negative one from the end.
            let last = if last < 0 { last } else { last - first };
            key_specification(
                out,
                row,
                first.into(),
                &[("lastkey", last.into()), ("keystep", step.into()), ("limit", 0)],
                "range",
            );
        }
        Keys::Counted { count_at, target } => {
            out.array(1 + usize::from(target));
            if target {
                let only = [("lastkey", 0), ("keystep", 1), ("limit", 0)];
                key_specification(out, row, 1, &only, "range");
            }
            let counted = [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
            key_specification(out, row, count_at.into(), &counted, "keynum");
        }
        Keys::CountedPairs { count_at } => {
            out.array(1);
            let counted = [("keynumidx", 0), ("firstkey", 1), ("keystep", 2)];
            key_specification(out, row, count_at.into(), &counted, "keynum");
        }
        Keys::Migrated => {
            out.array(1);
            key_specification(out, row, 3, &[("lastkey", 0), ("keystep", 1), ("limit", 0)], "range");
        }
        Keys::Sort { .. } => {
            out.array(1);
            key_specification(out, row, 1, &[("lastkey", 0), ("keystep", 1), ("limit", 0)], "range");
        }
        Keys::Streams { from } => {
            out.array(1);
            behind_word(out, row, "STREAMS", from, &[("lastkey", -1), ("keystep", 1), ("limit", 2)]);
        }
        Keys::Named { from, words } => {
            out.array(1 + words.len());
            let only = [("lastkey", 0), ("keystep", 1), ("limit", 0)];
            key_specification(out, row, 1, &only, "range");
            words.iter().for_each(|word| behind_word(out, row, word, from, &only));
        }
    }
}

fn key_specification(out: &mut Reply, row: &Command, index: i64, find: &[(&str, i64)], kind: &str) {
    begin_specification(out, row);
    out.bulk(b"index");
    out.bulk(b"spec");
    out.map(1);
    out.bulk(b"index");
    out.integer(index);
    end_specification(out, find, kind);
}

fn begin_specification(out: &mut Reply, row: &Command) {
    out.map(3);
    out.bulk(b"flags");
    let flags = access_flags(row);
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    out.bulk(b"begin_search");
    out.map(2);
    out.bulk(b"type");
}

fn end_specification(out: &mut Reply, find: &[(&str, i64)], kind: &str) {
    out.bulk(b"find_keys");
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(find.len());
    for (name, value) in find {
        out.bulk(name.as_bytes());
        out.integer(*value);
    }
}

fn docs(call: &mut Call<'_>) -> Result<(), CommandError> {
    let rows: Vec<(&Command, &Command)> = if call.args.len() == 2 {
        call.node.table.rows().iter().map(|row| (*row, *row)).collect()
    } else {
        call.args.from(2).iter().filter_map(|name| find(call, name)).collect()
    };
    call.out.map(rows.len());
    rows.iter().for_each(|(container, row)| document(call.out, container, row));
    Ok(())
}

/// The documented fields.
fn document(out: &mut Reply, container: &Command, row: &Command) {
    out.bulk(full_name(container, row).as_bytes());
    let documented = arguments::parse(row.syntax);
    out.map(4 + usize::from(!documented.is_empty()) + usize::from(!row.subcommands.is_empty()));
    for (name, value) in
        [("summary", row.summary), ("since", row.since), ("group", row.group), ("complexity", row.complexity)]
    {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    if !documented.is_empty() {
        out.bulk(b"arguments");
        arguments::write(out, &documented);
    }
    if !row.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(row.subcommands.len());
        row.subcommands.iter().for_each(|sub| document(out, row, sub));
    }
}

/// Chooses rows by name and row.
type Wanted = Box<dyn Fn(&str, &Command) -> bool>;

fn list(call: &mut Call<'_>) -> Result<(), CommandError> {
    let args = call.args;
    let wanted: Wanted = match args.len() {
        2 => Box::new(|_, _| true),
        5 if args.get(2).eq_ignore_ascii_case(b"filterby") => {
            let value = args.get(4).to_vec();
            match args.get(3).to_ascii_lowercase().as_slice() {
                b"module" => Box::new(|_, _| false),
                b"aclcat" => {
                    let category = String::from_utf8_lossy(&value).to_lowercase();
                    Box::new(move |_, row| row.acl_categories().iter().any(|c| *c == category))
                }
                b"pattern" => Box::new(move |name, _| glob::matches(&value, name.as_bytes(), true)),
                _ => return Err(CommandError::Syntax),
            }
        }
        _ => return Err(CommandError::Syntax),
    };
    let rows = call.node.table.numbered().iter().map(|(container, row)| (full_name(container, row), *row));
    let names: Vec<String> = rows.filter(|(name, row)| wanted(name, row)).map(|(name, _)| name).collect();
    call.out.array(names.len());
    names.iter().for_each(|name| call.out.bulk(name.as_bytes()));
    Ok(())
}

fn keys_of(call: &Call<'_>) -> Result<(&'static Command, Vec<usize>), CommandError> {
    let text = |message: &'static str| CommandError::Text(message.into());
    let args = call.args.from(2);
    let row = call.node.table.get(args.get(0)).ok_or(text("ERR Invalid command specified"))?;
    let is_asked = |sub: &&Command| args.len() > 1 && args.get(1).eq_ignore_ascii_case(sub.name.as_bytes());
    let row = match (row.subcommands, row.subcommands.iter().find(is_asked)) {
        ([], _) => row,
        (_, Some(sub)) => sub,
        (_, None) => return Err(text("ERR Invalid command specified")),
    };
    if matches!(row.keys, Keys::None) {
        return Err(text("ERR The command has no key arguments"));
    }
    if !row.accepts(args.len()) {
        return Err(text("ERR Invalid number of arguments specified for command"));
    }
    let mut keys = Vec::new();
    row.each_key(&args, |at| keys.push(at));
    let counted = match row.keys {
        Keys::Counted { count_at, .. } => Some((usize::from(count_at), 1)),
        Keys::CountedPairs { count_at } => Some((usize::from(count_at), 2)),
        _ => None,
    };
    // More keys are announced than follow.
    let lacks = counted.is_some_and(|(at, step)| {
        let count = parse_i64(args.get(at)).and_then(|count| usize::try_from(count).ok());
        count.is_none_or(|count| count > (args.len() - at - 1) / step)
    });
    if keys.is_empty() || lacks {
        return Err(text("ERR Invalid arguments specified for command"));
    }
    Ok((row, keys))
}

fn getkeys(call: &mut Call<'_>) -> Result<(), CommandError> {
    let (_, keys) = keys_of(call)?;
    let args = call.args.from(2);
    call.out.array(keys.len());
    keys.iter().for_each(|at| call.out.bulk(args.get(*at)));
    Ok(())
}

fn getkeysandflags(call: &mut Call<'_>) -> Result<(), CommandError> {
    let (row, keys) = keys_of(call)?;
    let args = call.args.from(2);
    call.out.array(keys.len());
    for at in keys {
        call.out.array(2);
        call.out.bulk(args.get(at));
        let flags = flags_of_key(call, row, &args, at);
        call.out.set(flags.len());
        flags.iter().for_each(|flag| call.out.simple(flag));
    }
    Ok(())
}

/// What a command does to the key at an argument; `args` are its own.
fn flags_of_key(call: &Call<'_>, row: &Command, args: &Args<'_>, at: usize) -> Vec<&'static str> {
    let has = |from: usize, words: &[&str]| {
        args.iter().skip(from).any(|word| words.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes())))
    };
    match row.name {
        // Their options decide.
        "set" if !has(3, &["get"]) => return vec!["OW", "update"],
        "bitfield" if !has(2, &["set", "incrby"]) => return vec!["RO", "access"],
        // No specification leads to the key behind STORE.
        "sort" if at != 1 => return vec!["OW", "update"],
        _ => {}
    }
    let container = call.node.table.get(call.args.get(2)).unwrap_or(row);
    let line = facts::specifications(&full_name(container, row));
    let found = line.and_then(|line| facts::flags_at(line, args, at));
    let flags = found.unwrap_or_else(|| access_flags(row).to_vec());
    flags.into_iter().filter(|flag| *flag != "variable_flags").collect()
}
