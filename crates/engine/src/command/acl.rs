//! ACL: users and what they may do. The rules themselves are read, printed and checked in [`crate::acl`].

use super::introspection::help;
use super::table::{Command, flag};
use super::{Call, CommandError};
use crate::acl::catalog::{CATEGORIES, category};
use crate::acl::log::{Context, Entry, Refusal};
use crate::acl::permission::{Denied, Reason, check};
use crate::acl::user::{RulesError, User, is_name};
use crate::acl::users::DEFAULT;
use crate::acl::{Selector, file, may_read_all};
use crate::mailbox::Mail;
use crate::node::{Node, now_ms};
use crate::session::Client;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use larder_protocol::number::parse_i64;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::Reply;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const FLAGS: u32 = flag::NOSCRIPT | flag::LOADING | flag::STALE;

/// Bits of a password that ACL GENPASS makes unless told otherwise.
const PASSWORD_BITS: i64 = 256;
/// Most bits that it makes.
const PASSWORD_BITS_MAX: i64 = 4096;
/// Entries that ACL LOG shows unless told otherwise.
const LOG_ENTRIES: usize = 10;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "acl",
    summary: "Commands about users and their permissions.",
    since: "6.0.0",
    group: "server",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::DEFAULT
}];

const ROW: Command = Command { since: "6.0.0", group: "server", flags: FLAGS, ..Command::DEFAULT };
const ADMIN: Command = Command { flags: FLAGS | flag::ADMIN, ..ROW };

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "cat",
        summary: "Lists categories of commands, or the commands of one.",
        syntax: "[category]",
        complexity: "O(1) since the categories and commands are a fixed set.",
        arity: -2,
        handler: cat,
        ..ROW
    },
    Command {
        name: "deluser",
        summary: "Deletes users and closes their connections.",
        syntax: "username [username ...]",
        complexity: "O(1) amortized time considering the typical user.",
        arity: -3,
        handler: deluser,
        ..ADMIN
    },
    Command {
        name: "dryrun",
        summary: "Tells whether a user may run a command, without running it.",
        syntax: "username command [arg [arg ...]]",
        since: "7.0.0",
        complexity: "O(1).",
        arity: -4,
        handler: dryrun,
        ..ADMIN
    },
    Command {
        name: "genpass",
        summary: "Makes up a password.",
        syntax: "[bits]",
        arity: -2,
        handler: genpass,
        ..ROW
    },
    Command {
        name: "getuser",
        summary: "Returns the rules of a user.",
        syntax: "username",
        complexity: "O(N). Where N is the number of password, command and pattern rules that the user has.",
        arity: 3,
        handler: getuser,
        ..ADMIN
    },
    Command {
        name: "list",
        summary: "Returns the rules of all users, as a file has them.",
        complexity: "O(N). Where N is the number of configured users.",
        arity: 2,
        handler: list,
        ..ADMIN
    },
    Command {
        name: "load",
        summary: "Reads the users from the file again.",
        complexity: "O(N). Where N is the number of configured users.",
        arity: 2,
        handler: load,
        ..ADMIN
    },
    Command {
        name: "log",
        summary: "Lists refusals, or forgets them.",
        syntax: "[count | RESET]",
        complexity: "O(N) with N being the number of entries shown.",
        arity: -2,
        handler: log,
        ..ADMIN
    },
    Command {
        name: "save",
        summary: "Writes the users to the file.",
        complexity: "O(N). Where N is the number of configured users.",
        arity: 2,
        handler: save,
        ..ADMIN
    },
    Command {
        name: "setuser",
        summary: "Makes a user, or changes its rules.",
        syntax: "username [rule [rule ...]]",
        complexity: "O(N). Where N is the number of rules provided.",
        arity: -3,
        handler: setuser,
        ..ADMIN
    },
    Command {
        name: "users",
        summary: "Returns the names of all users.",
        complexity: "O(N). Where N is the number of configured users.",
        arity: 2,
        handler: names,
        ..ADMIN
    },
    Command { name: "whoami", summary: "Returns the user of the session.", arity: 2, handler: whoami, ..ROW },
    Command {
        name: "help",
        summary: "Returns a help text.",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        handler: show_help,
        ..ROW
    },
];

fn text(message: &'static str) -> CommandError {
    CommandError::Text(message.into())
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Too many arguments of a subcommand that takes some.
fn too_many(call: &Call<'_>) -> CommandError {
    let name = shown(call.args.get(1));
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try ACL HELP."
    ))
}

fn show_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "ACL", SUBCOMMANDS);
    Ok(())
}

fn whoami(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.bulk(call.session.identity.name());
    Ok(())
}

fn cat(call: &mut Call<'_>) -> Result<(), CommandError> {
    let names: Vec<&str> = match call.args.len() {
        2 => CATEGORIES.to_vec(),
        3 => {
            let name = call.args.get(2);
            let unknown = || CommandError::new(format!("ERR Unknown category '{}'", shown(name)));
            let wanted = category(name).ok_or_else(unknown)?;
            let entries = call.node.users.catalog.entries().iter();
            entries.filter(|entry| entry.categories & wanted != 0).map(|entry| entry.name.as_str()).collect()
        }
        _ => return Err(too_many(call)),
    };
    call.out.array(names.len());
    names.iter().for_each(|name| call.out.bulk(name.as_bytes()));
    Ok(())
}

fn genpass(call: &mut Call<'_>) -> Result<(), CommandError> {
    let bits = match call.args.len() {
        2 => PASSWORD_BITS,
        3 => parse_i64(call.args.get(2)).ok_or(CommandError::NotInteger)?,
        _ => return Err(too_many(call)),
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(CommandError::new(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {PASSWORD_BITS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    SystemRandom::new().fill(&mut bytes).map_err(|_| text("ERR the system has no random numbers"))?;
    let mut password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    password.truncate(digits);
    call.out.bulk(password.as_bytes());
    Ok(())
}

fn names(call: &mut Call<'_>) -> Result<(), CommandError> {
    let users = call.node.users.all();
    call.out.array(users.len());
    users.iter().for_each(|user| call.out.bulk(user.name()));
    Ok(())
}

fn list(call: &mut Call<'_>) -> Result<(), CommandError> {
    let users = call.node.users.all();
    call.out.array(users.len());
    users.iter().for_each(|user| call.out.bulk(&user.line()));
    Ok(())
}

fn getuser(call: &mut Call<'_>) -> Result<(), CommandError> {
    let user = call.node.users.get(call.args.get(2));
    match user {
        Some(user) => describe(call.out, &user),
        None => call.out.null(),
    }
    Ok(())
}

fn describe(out: &mut Reply, user: &User) {
    out.map(7);
    out.bulk(b"flags");
    let flags = user.flags();
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    out.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| out.bulk(hash));
    describe_selector(out, user.root());
    out.bulk(b"selectors");
    out.array(user.bracketed().len());
    for selector in user.bracketed() {
        out.map(4);
        describe_selector(out, selector);
    }
}

fn describe_selector(out: &mut Reply, selector: &Selector) {
    out.bulk(b"commands");
    out.bulk(selector.describe_commands());
    out.bulk(b"keys");
    out.bulk(&selector.describe_keys());
    out.bulk(b"channels");
    out.bulk(&selector.describe_channels());
    out.bulk(b"databases");
    out.bulk(&selector.describe_databases());
}

fn setuser(call: &mut Call<'_>) -> Result<(), CommandError> {
    let name = call.args.get(2);
    if !is_name(name) {
        return Err(text("ERR Usernames can't contain spaces or null characters"));
    }
    let all_channels = call.node.settings().acl_all_channels;
    call.node.users.set(name, call.args.from(3).iter(), all_channels).map_err(|error| match error {
        RulesError::Unmatched(rule) => CommandError::new(format!(
            "ERR Unmatched parenthesis in acl selector starting at '{}'.",
            shown(&rule)
        )),
        RulesError::Rule(rule, error) => {
            CommandError::new(format!("ERR Error in ACL SETUSER modifier '{}': {error}", shown(&rule)))
        }
    })?;
    check_channels(call);
    call.out.ok();
    Ok(())
}

/// Who listens to a channel that its user may not use any more is closed by its worker.
fn check_channels(call: &Call<'_>) {
    call.node.mailboxes.iter().for_each(|mailbox| mailbox.send(Mail::CheckChannels));
}

fn deluser(call: &mut Call<'_>) -> Result<(), CommandError> {
    let mut removed = 0;
    for name in call.args.from(2).iter() {
        if name == DEFAULT {
            return Err(text("ERR The 'default' user cannot be removed"));
        }
        if call.node.users.remove(name) {
            removed += 1;
            super::client::kill_where(call, false, &|shared| *shared.user() == *name);
        }
    }
    call.out.integer(removed);
    Ok(())
}

fn path(call: &Call<'_>) -> Result<PathBuf, CommandError> {
    call.node.startup.acl_file.clone().ok_or(text(
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
    ))
}

/// Sessions of users that are gone or have other rules now are closed; the default user's stay.
fn load(call: &mut Call<'_>) -> Result<(), CommandError> {
    let all_channels = call.node.settings().acl_all_channels;
    let before = file::load(&call.node.users, &path(call)?, all_channels)
        .map_err(|error| CommandError::new(format!("ERR {error}")))?;
    let users = &call.node.users;
    let changed = |name: &[u8], user: &Arc<User>| name != DEFAULT && users.get(name).as_ref() != Some(user);
    let changed: Vec<&[u8]> =
        before.iter().filter(|(name, user)| changed(name, user)).map(|(name, _)| &**name).collect();
    if !changed.is_empty() {
        super::client::kill_where(call, false, &|shared| changed.contains(&&*shared.user()));
    }
    check_channels(call);
    call.out.ok();
    Ok(())
}

fn save(call: &mut Call<'_>) -> Result<(), CommandError> {
    let path = path(call)?;
    file::save(&call.node.users, &path).map_err(|error| {
        tracing::warn!("Saving users to {}: {error}", path.display());
        text("ERR There was an error trying to save the ACLs. Please check the server logs for more information")
    })?;
    call.out.ok();
    Ok(())
}

fn dryrun(call: &mut Call<'_>) -> Result<(), CommandError> {
    let users = &call.node.users;
    let (name, args) = (call.args.get(2), call.args.from(3));
    let missing = || CommandError::new(format!("ERR User '{}' not found", shown(name)));
    let user = users.get(name).ok_or_else(missing)?;
    let not_found = || CommandError::new(format!("ERR Command '{}' not found", shown(args.get(0))));
    let container = call.node.table.get(args.get(0)).ok_or_else(not_found)?;
    let is_asked = |row: &&Command| args.get(1).eq_ignore_ascii_case(row.name.as_bytes());
    let command = match container.subcommands {
        [] => container,
        _ if args.len() < 2 => container,
        rows => match rows.iter().find(is_asked) {
            Some(row) => row,
            None if container.name == "debug" => container, // which has none in the original
            None => return Err(not_found()),
        },
    };
    let full_name = users.catalog.name(command);
    if !command.accepts(args.len()) {
        return Err(CommandError::new(format!("ERR wrong number of arguments for '{full_name}' command")));
    }
    match check(&user, &users.catalog, command, &args, call.session.db) {
        Ok(()) => call.out.ok(),
        Err(denied) => call.out.bulk(denied.explanation(&user, full_name, &args).as_bytes()),
    }
    Ok(())
}

fn log(call: &mut Call<'_>) -> Result<(), CommandError> {
    let log = &call.node.users.log;
    let count = match call.args.len() {
        2 => LOG_ENTRIES,
        3 if call.args.get(2).eq_ignore_ascii_case(b"reset") => {
            log.clear();
            call.out.ok();
            return Ok(());
        }
        3 => {
            let count = parse_i64(call.args.get(2)).ok_or(CommandError::NotInteger)?;
            usize::try_from(count).unwrap_or(0)
        }
        _ => return Err(too_many(call)),
    };
    let (entries, now_ms) = (log.newest(count), now_ms());
    call.out.array(entries.len());
    entries.iter().for_each(|entry| show(call.out, entry, now_ms));
    Ok(())
}

fn show(out: &mut Reply, entry: &Entry, now_ms: u64) {
    let refusal = &entry.refusal;
    out.map(10);
    out.bulk(b"count");
    out.integer(entry.count as i64);
    for (name, value) in [
        ("reason", refusal.reason.name().as_bytes()),
        ("context", refusal.context.name().as_bytes()),
        ("object", &refusal.object),
        ("username", &refusal.user),
    ] {
        out.bulk(name.as_bytes());
        out.bulk(value);
    }
    out.bulk(b"age-seconds");
    out.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
    out.bulk(b"client-info");
    out.bulk(entry.client.as_bytes());
    for (name, value) in [
        ("entry-id", entry.id),
        ("timestamp-created", entry.created_ms),
        ("timestamp-last-updated", entry.updated_ms),
    ] {
        out.bulk(name.as_bytes());
        out.integer(value as i64);
    }
}

/// Checks a command of a session whose user may not do everything. `Err` is the reply; false means that there is none,
/// because the user was deleted.
#[cold]
pub(super) fn admit(
    node: &Node,
    client: &mut Client,
    command: &'static Command,
    args: &Args<'_>,
) -> Result<bool, String> {
    let context = if client.transaction.is_some() { Context::Multi } else { Context::TopLevel };
    let Some((user, denied)) = refuse(node, client, command, args, context) else { return Ok(true) };
    if client.closing {
        return Ok(false);
    }
    Err(denied.message(&user, node.users.catalog.name(command)))
}

/// Checks a command that was queued when EXEC runs it. `Err` is the reply.
#[cold]
pub(super) fn admit_queued(
    node: &Node,
    client: &mut Client,
    command: &'static Command,
    args: &Args<'_>,
) -> Result<(), String> {
    match refuse(node, client, command, args, Context::Multi) {
        None => Ok(()),
        Some((_, denied)) => Err(denied.change()),
    }
}

/// True if the session's user may run the command of this name on keys that follow from patterns: it may read all keys.
pub(super) fn admits_patterns(call: &mut Call<'_>, name: &str) -> bool {
    let users = &call.node.users;
    let Some(command) = call.node.table.get(name.as_bytes()) else { return false };
    match call.session.identity.refresh(users) {
        Ok(None) => true,
        Ok(Some(user)) => may_read_all(&user, &users.catalog, command, call.args),
        Err(_) => false,
    }
}

/// What the session's user lacks for a command. It is noted in the log.
fn refuse(
    node: &Node,
    client: &mut Client,
    command: &'static Command,
    args: &Args<'_>,
    context: Context,
) -> Option<(Arc<User>, Denied)> {
    let user = match client.identity.refresh(&node.users) {
        // Another user of that name may have come since the session was told to end.
        Ok(user) if !client.shared.killed.load(Ordering::Relaxed) => user?,
        _ => {
            client.closing = true;
            let user = Arc::new(User::new(client.identity.name(), false));
            return Some((user, Denied { reason: Reason::Command, at: 0 }));
        }
    };
    let denied = check(&user, &node.users.catalog, command, args, client.db).err()?;
    let object = match denied.reason {
        Reason::Key | Reason::Channel => args.get(denied.at),
        Reason::Database if denied.at > 0 => args.get(denied.at),
        Reason::Database | Reason::Command | Reason::Auth => node.users.catalog.name(command).as_bytes(),
    };
    client.shared.note(command.name, now_ms());
    let object = object.to_vec();
    note(node, client, Refusal { reason: denied.reason, context, object, user: user.name().to_vec() });
    Some((user, denied))
}

/// Adds to the log of refusals.
fn note(node: &Node, client: &Client, refusal: Refusal) {
    let now_ms = now_ms();
    let info = super::client::describe(&client.shared, now_ms);
    node.users.log.add(refusal, info, now_ms, node.settings().acl_log_max);
}

/// Notes that somebody failed to become `user`.
pub(super) fn note_failed_login(call: &Call<'_>, user: &[u8]) {
    let object = call.args.get(0).to_vec();
    let refusal = Refusal { reason: Reason::Auth, context: Context::TopLevel, object, user: user.to_vec() };
    call.session.shared.note(call.session.command.map_or("NULL", |command| command.name), now_ms());
    note(call.node, call.session, refusal);
}
