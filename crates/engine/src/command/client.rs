//! CLIENT: what a server knows of its sessions, and what one may do to them.

use super::client_filter;
use super::connection::is_printable;
use super::table::{Command, Scope, flag};
use super::waitaof::UNBLOCKED;
use super::wake::{end, end_with_error};
use super::{Call, CommandError};
use crate::mailbox::{Mail, Mailbox};
use crate::node::Node;
use crate::pause::Held;
use crate::session::ReplyMode;
use crate::session::registry::{Shared, disk_wait};
use crate::tracking::Tracker;
use larder_protocol::number::parse_i64;
use std::sync::atomic::Ordering;

const FLAGS: u32 = flag::NOSCRIPT | flag::LOADING | flag::STALE;

/// What CLIENT LIST and CLIENT KILL choose sessions by.
const FILTERS: &str = "[ID client-id [client-id ...]] [NOT-ID client-id [client-id ...]] [TYPE <NORMAL | MASTER | PRIMARY | REPLICA | SLAVE | PUBSUB>] [NOT-TYPE <NORMAL | MASTER | PRIMARY | REPLICA | SLAVE | PUBSUB>] [ADDR ip:port] [NOT-ADDR ip:port] [LADDR ip:port] [NOT-LADDR ip:port] [USER username] [NOT-USER username] [SKIPME <YES | NO>] [MAXAGE seconds] [IDLE seconds] [NAME name] [NOT-NAME name] [FLAGS flags] [NOT-FLAGS flags] [LIB-NAME lib-name] [NOT-LIB-NAME lib-name] [LIB-VER lib-ver] [NOT-LIB-VER lib-ver] [DB db] [NOT-DB db] [CAPA capa] [NOT-CAPA capa] [IP ip] [NOT-IP ip]";
const KILLED: &str = "<ip:port | [ID client-id [client-id ...]] [NOT-ID client-id [client-id ...]] [TYPE <NORMAL | MASTER | PRIMARY | REPLICA | SLAVE | PUBSUB>] [NOT-TYPE <NORMAL | MASTER | PRIMARY | REPLICA | SLAVE | PUBSUB>] [ADDR ip:port] [NOT-ADDR ip:port] [LADDR ip:port] [NOT-LADDR ip:port] [USER username] [NOT-USER username] [SKIPME <YES | NO>] [MAXAGE seconds] [IDLE seconds] [NAME name] [NOT-NAME name] [FLAGS flags] [NOT-FLAGS flags] [LIB-NAME lib-name] [NOT-LIB-NAME lib-name] [LIB-VER lib-ver] [NOT-LIB-VER lib-ver] [DB db] [NOT-DB db] [CAPA capa] [NOT-CAPA capa] [IP ip] [NOT-IP ip]>";

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    summary: "Commands about client sessions.",
    since: "2.4.0",
    group: "connection",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::DEFAULT
}];

const fn row(
    name: &'static str,
    summary: &'static str,
    syntax: &'static str,
    since: &'static str,
    arity: i8,
    flags: u32,
    handler: super::Handler,
) -> Command {
    Command { name, summary, syntax, since, group: "connection", arity, flags, handler, ..Command::DEFAULT }
}

const SUBCOMMANDS: &[Command] = &[
    row("id", "Returns the id of the session.", "", "5.0.0", 2, FLAGS, id),
    row(
        "tracking",
        "Tracks which keys the session may have cached, to tell it when they change.",
        "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
        "6.0.0",
        -3,
        FLAGS,
        super::tracking::tracking,
    ),
    row(
        "caching",
        "Says whether the keys of the next command are tracked.",
        "<YES | NO>",
        "6.0.0",
        3,
        FLAGS,
        super::tracking::caching,
    ),
    row(
        "getredir",
        "Returns the id of the session that is told of changed keys instead.",
        "",
        "6.0.0",
        2,
        FLAGS,
        super::tracking::getredir,
    ),
    row(
        "trackinginfo",
        "Tells how the session tracks.",
        "",
        "6.2.0",
        2,
        FLAGS,
        super::tracking::trackinginfo,
    ),
    row("getname", "Returns the name of the session.", "", "2.6.9", 2, FLAGS, getname),
    row("setname", "Names the session.", "connection-name", "2.6.9", 3, FLAGS, setname),
    row(
        "setinfo",
        "Notes the client library.",
        "<LIB-NAME libname | LIB-VER libver>",
        "7.2.0",
        4,
        FLAGS | flag::ALLOW_BUSY,
        setinfo,
    ),
    row("info", "Describes the session.", "", "6.2.0", 2, FLAGS, info),
    row("list", "Lists open sessions.", FILTERS, "2.4.0", -2, FLAGS | flag::ADMIN, list),
    row("kill", "Closes sessions.", KILLED, "2.4.0", -3, FLAGS | flag::ADMIN, kill),
    Command {
        scope: Scope::All, // whoever waits is taken out of line under the locks of its keys
        ..row(
            "unblock",
            "Ends a session's wait.",
            "client-id [TIMEOUT | ERROR]",
            "5.0.0",
            -3,
            FLAGS | flag::ADMIN,
            unblock,
        )
    },
    row(
        "pause",
        "Holds commands back for a while.",
        "timeout [WRITE | ALL]",
        "2.9.50",
        -3,
        FLAGS | flag::ADMIN,
        pause,
    ),
    row(
        "unpause",
        "Goes on with commands that were held back.",
        "",
        "6.2.0",
        2,
        FLAGS | flag::ADMIN,
        unpause,
    ),
    row("reply", "Tells whether to send replies.", "<ON | OFF | SKIP>", "3.2.0", 3, FLAGS, reply),
    row(
        "no-evict",
        "Protects the session from eviction.",
        "<ON | OFF>",
        "7.0.0",
        3,
        FLAGS | flag::ADMIN,
        no_evict,
    ),
    row(
        "no-touch",
        "Lets commands leave access times alone.",
        "<ON | OFF>",
        "7.2.0",
        3,
        FLAGS | flag::ALLOW_BUSY,
        no_touch,
    ),
    row(
        "capa",
        "Tells what the client is capable of.",
        "capability [capability ...]",
        "8.0.0",
        -3,
        FLAGS | flag::ALLOW_BUSY,
        capa,
    ),
    row(
        "import-source",
        "Marks the session as the source of an import.",
        "<ON | OFF>",
        "8.1.0",
        3,
        FLAGS,
        import_source,
    ),
    row("help", "Returns a help text.", "", "5.0.0", 2, flag::LOADING | flag::STALE, help),
];

fn text(message: &'static str) -> CommandError {
    CommandError::Text(message.into())
}

fn id(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.integer(call.session.id() as i64);
    Ok(())
}

fn getname(call: &mut Call<'_>) -> Result<(), CommandError> {
    match call.session.shared.names().name {
        name if name.is_empty() => call.out.null(),
        name => call.out.bulk(name.as_bytes()),
    }
    Ok(())
}

pub(super) fn set_name(call: &mut Call<'_>, name: &[u8]) -> Result<(), CommandError> {
    if !is_printable(name) {
        return Err(text("ERR Client names cannot contain spaces, newlines or special characters."));
    }
    let name = String::from_utf8_lossy(name).into_owned();
    call.session.shared.set_names(|names| names.name = name);
    Ok(())
}

fn setname(call: &mut Call<'_>) -> Result<(), CommandError> {
    set_name(call, call.args.get(2))?;
    call.out.ok();
    Ok(())
}

fn setinfo(call: &mut Call<'_>) -> Result<(), CommandError> {
    let (attribute, value) = (call.args.get(2), call.args.get(3));
    if !is_printable(value) {
        let attribute = String::from_utf8_lossy(attribute).to_lowercase();
        return Err(CommandError::new(format!(
            "ERR {attribute} cannot contain spaces, newlines or special characters."
        )));
    }
    let value = String::from_utf8_lossy(value).into_owned();
    match attribute {
        a if a.eq_ignore_ascii_case(b"lib-name") => {
            call.session.shared.set_names(|names| names.library = value)
        }
        a if a.eq_ignore_ascii_case(b"lib-ver") => {
            call.session.shared.set_names(|names| names.library_version = value);
        }
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(CommandError::new(format!("ERR Unrecognized option '{other}'")));
        }
    }
    call.out.ok();
    Ok(())
}

/// The letters of a session's flags.
pub(super) fn flags_of(shared: &Shared) -> String {
    let tracker = shared.tracker();
    let tracks = |what: fn(&Tracker) -> bool| tracker.as_deref().is_some_and(what);
    let mut flags = String::new();
    for (set, letter) in [
        (shared.is_replica.load(Ordering::Relaxed), 'S'),
        (shared.is_primary.load(Ordering::Relaxed), 'M'),
        (shared.queued.load(Ordering::Relaxed) >= 0, 'x'),
        (shared.listens(), 'P'),
        (tracks(|_| true), 't'),
        (tracks(Tracker::is_broken), 'R'),
        (tracks(|tracker| tracker.broadcasts), 'B'),
        (shared.blocked.load(Ordering::Relaxed) || shared.waits_beside_keys(), 'b'),
        (shared.unix, 'U'),
        (shared.no_evict.load(Ordering::Relaxed), 'e'),
        (shared.no_touch.load(Ordering::Relaxed), 'T'),
        (shared.imports.load(Ordering::Relaxed), 'I'),
        (shared.killed.load(Ordering::Relaxed), 'c'),
    ] {
        flags.extend(set.then_some(letter));
    }
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// One line of CLIENT LIST.
pub(super) fn describe(shared: &Shared, now_ms: u64) -> String {
    let names = shared.names();
    let get = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed);
    let tracker = shared.tracker();
    let subscriptions = |kind: usize| shared.subscriptions[kind].load(Ordering::Relaxed);
    let flags = flags_of(shared);
    let capa = if shared.redirects.load(Ordering::Relaxed) { "r" } else { "" };
    format!(
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} capa={capa} db={} sub={} psub={} ssub={} multi={} \
         watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={} tot-mem={} events=r \
         cmd={} user={} redir={} resp={} lib-name={} lib-ver={} io-thread={}",
        shared.id,
        shared.address,
        shared.local_address,
        names.name,
        now_ms.saturating_sub(shared.created_ms) / 1000,
        now_ms.saturating_sub(get(&shared.last_ms)) / 1000,
        shared.db.load(Ordering::Relaxed),
        subscriptions(0),
        subscriptions(1),
        subscriptions(2),
        shared.queued.load(Ordering::Relaxed),
        shared.watched.load(Ordering::Relaxed),
        get(&shared.input_bytes),
        get(&shared.output_bytes),
        get(&shared.total_bytes).max(get(&shared.input_bytes) + get(&shared.output_bytes)),
        shared.command(),
        String::from_utf8_lossy(&shared.user()),
        tracker.as_ref().map_or(-1, |tracker| tracker.redirect() as i64),
        shared.resp.load(Ordering::Relaxed),
        names.library,
        names.library_version,
        shared.place.worker,
    )
}

/// Brings the public side of the caller up to date: it is what the caller looks at.
fn publish(call: &Call<'_>) {
    let (session, shared) = (&*call.session, &call.session.shared);
    shared.db.store(session.db, Ordering::Relaxed);
    shared.watched.store(session.watching.len() as u32, Ordering::Relaxed);
    shared.resp.store(if call.out.is_resp3() { 3 } else { 2 }, Ordering::Relaxed);
    shared.no_touch.store(session.no_touch, Ordering::Relaxed);
    let name = match call.args.get(1) {
        word if word.eq_ignore_ascii_case(b"list") => "client|list",
        word if word.eq_ignore_ascii_case(b"info") => "client|info",
        _ => "client|kill",
    };
    shared.note(name, call.keys.now_ms());
}

fn info(call: &mut Call<'_>) -> Result<(), CommandError> {
    publish(call);
    let line = describe(&call.session.shared, call.keys.now_ms()) + "\n";
    call.out.verbatim("txt", &line);
    Ok(())
}

fn list(call: &mut Call<'_>) -> Result<(), CommandError> {
    publish(call);
    let wanted = client_filter::read(call, false)?;
    let me = call.session.id();
    let now_ms = call.keys.now_ms();
    let lines: String = call
        .node
        .sessions
        .all()
        .iter()
        .filter(|shared| wanted.includes(shared) && !(wanted.skip_me == Some(true) && shared.id == me))
        .map(|shared| describe(shared, now_ms) + "\n")
        .collect();
    call.out.verbatim("txt", &lines);
    Ok(())
}

fn kill(call: &mut Call<'_>) -> Result<(), CommandError> {
    let args = call.args;
    if args.len() == 3 {
        let address = String::from_utf8_lossy(args.get(2)).into_owned();
        return match kill_where(call, false, &|shared| shared.address == address) {
            0 => Err(text("ERR No such client")),
            _ => {
                call.out.ok();
                Ok(())
            }
        };
    }
    let wanted = client_filter::read(call, true)?;
    let killed = kill_where(call, wanted.skip_me.unwrap_or(true), &|shared| wanted.includes(shared));
    call.out.integer(killed);
    Ok(())
}

/// Clients say what they can do; what is not known is no error. Redirection to another node is all there is to know, and
/// a node that has no cluster never asks for it.
fn capa(call: &mut Call<'_>) -> Result<(), CommandError> {
    if call.args.from(2).iter().any(|word| word.eq_ignore_ascii_case(b"redirect")) {
        call.session.shared.redirects.store(true, Ordering::Relaxed);
    }
    call.out.ok();
    Ok(())
}

/// Who imports sees, and may write, what is expired while the server is in import mode.
fn import_source(call: &mut Call<'_>) -> Result<(), CommandError> {
    let ends = call.args.get(2).eq_ignore_ascii_case(b"off");
    if !ends && !call.node.settings().replication.imports {
        return Err(text("ERR Server is not in import mode"));
    }
    call.session.imports = on_or_off(call)?;
    call.session.shared.imports.store(call.session.imports, Ordering::Relaxed);
    call.out.ok();
    Ok(())
}

/// Marks sessions killed and tells their workers; the caller's own session ends after its reply.
pub(super) fn kill_where(call: &mut Call<'_>, skip_me: bool, wanted: &dyn Fn(&Shared) -> bool) -> i64 {
    let me = call.session.id();
    let mut killed = 0;
    for shared in call.node.sessions.all() {
        if !wanted(&shared) || skip_me && shared.id == me {
            continue;
        }
        killed += 1;
        if shared.id == me {
            call.session.closing = true;
        } else {
            shared.killed.store(true, Ordering::Relaxed);
            let mailbox: &Mailbox = &call.node.mailboxes[shared.place.worker as usize];
            mailbox.send(Mail::Kill);
        }
    }
    killed
}

fn reply(call: &mut Call<'_>) -> Result<(), CommandError> {
    match call.args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => {
            call.session.reply_mode = ReplyMode::On;
            call.out.ok();
        }
        b"off" => call.session.reply_mode = ReplyMode::Off,
        b"skip" if call.session.reply_mode == ReplyMode::On => call.session.reply_mode = ReplyMode::SkipNext,
        b"skip" => {}
        _ => return Err(CommandError::Syntax),
    }
    Ok(())
}

fn unblock(call: &mut Call<'_>) -> Result<(), CommandError> {
    let args = call.args;
    let with_error = match (args.len(), args.get(3).to_ascii_lowercase().as_slice()) {
        (3, _) | (4, b"timeout") => false,
        (4, b"error") => true,
        (4, _) => return Err(text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(too_many("UNBLOCK")),
    };
    let id = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    let waiter = u64::try_from(id).ok().and_then(|id| call.node.blocked.of_session(id));
    let ended = waiter.is_some_and(|waiter| match with_error {
        true => end_with_error(call.node, &waiter, UNBLOCKED),
        false => end(call.node, &waiter, waiter.nothing().to_vec(), 0),
    });
    let session = u64::try_from(id).ok().and_then(|id| call.node.sessions.get(id));
    let ended = ended || session.is_some_and(|session| unblock_disk_wait(call.node, &session, with_error));
    call.out.integer(i64::from(ended));
    Ok(())
}

/// Ends a WAITAOF, if the session is in one: its worker answers it.
fn unblock_disk_wait(node: &Node, session: &Shared, with_error: bool) -> bool {
    let how = if with_error { disk_wait::FAILS } else { disk_wait::TIME_IS_UP };
    let asked = session
        .disk_wait
        .compare_exchange(disk_wait::WAITS, how, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok();
    if asked {
        node.mailboxes[session.place.worker as usize].wake();
    }
    asked
}

fn too_many(name: &str) -> CommandError {
    CommandError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try CLIENT HELP."
    ))
}

fn pause(call: &mut Call<'_>) -> Result<(), CommandError> {
    let args = call.args;
    let held = match (args.len(), args.get(3).to_ascii_lowercase().as_slice()) {
        (3, _) | (4, b"all") => Held::All,
        (4, b"write") => Held::Writes,
        (4, _) => return Err(text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(too_many("PAUSE")),
    };
    let ms = parse_i64(args.get(2)).ok_or(text("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| text("ERR timeout is negative"))?;
    let now_ms = call.keys.now_ms();
    let until_ms = now_ms.checked_add(ms).filter(|until| i64::try_from(*until).is_ok());
    let until_ms = until_ms.ok_or(text("ERR timeout is out of range"))?;
    call.node.hold_back(held, now_ms, until_ms);
    call.out.ok();
    Ok(())
}

fn unpause(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.node.hold_back_no_more(call.keys.now_ms());
    call.node.mailboxes.iter().for_each(Mailbox::wake);
    call.out.ok();
    Ok(())
}

fn on_or_off(call: &Call<'_>) -> Result<bool, CommandError> {
    match call.args.get(2).to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

fn no_evict(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.session.no_evict = on_or_off(call)?;
    call.session.shared.no_evict.store(call.session.no_evict, Ordering::Relaxed);
    call.out.ok();
    Ok(())
}

fn no_touch(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.session.no_touch = on_or_off(call)?;
    call.session.shared.no_touch.store(call.session.no_touch, Ordering::Relaxed);
    call.out.ok();
    Ok(())
}

fn help(call: &mut Call<'_>) -> Result<(), CommandError> {
    super::introspection::help(call, "CLIENT", SUBCOMMANDS);
    Ok(())
}
