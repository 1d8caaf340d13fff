//! Commands about the connection itself: PING, ECHO, SELECT, AUTH, HELLO, QUIT, RESET. CLIENT has a file of its own.

use super::table::{Command, flag};
use super::{Call, CommandError};
use crate::acl::identity::Identity;
use crate::acl::users::DEFAULT;
use crate::iam;
use crate::session::ReplyMode;
use crate::session::transaction::Transaction;
use larder_protocol::number::parse_i64;
use larder_protocol::resp::reply::Version;
use std::time::{Duration, Instant};

const FLAGS: u32 = flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST | flag::ALLOW_BUSY;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ping",
        summary: "Tells that the server is there.",
        syntax: "[message]",
        group: "connection",
        arity: -1,
        flags: flag::FAST,
        handler: ping,
        ..Command::DEFAULT
    },
    Command {
        name: "echo",
        summary: "Returns the given string.",
        syntax: "message",
        group: "connection",
        arity: 2,
        flags: flag::FAST | flag::LOADING | flag::STALE,
        handler: echo,
        ..Command::DEFAULT
    },
    Command {
        name: "select",
        summary: "Changes the database of the session.",
        syntax: "index",
        group: "connection",
        arity: 2,
        flags: flag::FAST | flag::LOADING | flag::STALE,
        handler: select,
        ..Command::DEFAULT
    },
    Command {
        name: "auth",
        summary: "Authenticates the session.",
        syntax: "[username] password",
        group: "connection",
        complexity: "O(N) where N is the number of passwords defined for the user",
        arity: -2,
        flags: FLAGS | flag::NO_AUTH,
        handler: auth,
        ..Command::DEFAULT
    },
    Command {
        name: "hello",
        summary: "Chooses the protocol version, and may authenticate and name the session.",
        syntax: "[protover [AUTH username password] [SETNAME clientname]]",
        since: "6.0.0",
        group: "connection",
        arity: -1,
        flags: FLAGS | flag::NO_AUTH,
        handler: hello,
        ..Command::DEFAULT
    },
    Command {
        name: "readonly",
        summary: "Allows reads from a replica, which are allowed anyway.",
        since: "3.0.0",
        group: "cluster",
        categories: &["connection"],
        arity: 1,
        flags: flag::FAST | flag::LOADING | flag::STALE,
        handler: granted,
        ..Command::DEFAULT
    },
    Command {
        name: "readwrite",
        summary: "Takes back what READONLY allowed; there is nothing to take back.",
        since: "3.0.0",
        group: "cluster",
        categories: &["connection"],
        arity: 1,
        flags: flag::FAST | flag::LOADING | flag::STALE,
        handler: granted,
        ..Command::DEFAULT
    },
    Command {
        name: "quit",
        summary: "Closes the connection.",
        group: "connection",
        arity: -1,
        flags: FLAGS | flag::NO_AUTH | flag::NOT_QUEUED,
        handler: quit,
        ..Command::DEFAULT
    },
    Command {
        name: "reset",
        summary: "Resets the session to how it was when it connected.",
        since: "6.2.0",
        group: "connection",
        flags: FLAGS | flag::NO_AUTH | flag::NOT_QUEUED,
        handler: reset,
        ..Command::DEFAULT
    },
];

fn text(message: &'static str) -> CommandError {
    CommandError::Text(message.into())
}

fn ping(call: &mut Call<'_>) -> Result<(), CommandError> {
    match call.args.len() {
        1 | 2 if call.session.subscriptions.is_some() && !call.out.is_resp3() => {
            call.out.array(2);
            call.out.bulk(b"pong");
            call.out.bulk(if call.args.len() == 2 { call.args.get(1) } else { b"" });
        }
        1 => call.out.simple("PONG"),
        2 => call.out.bulk(call.args.get(1)),
        _ => return Err(CommandError::WrongArity),
    }
    Ok(())
}

fn echo(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.bulk(call.args.get(1));
    Ok(())
}

/// As Valkey 9 answers where there is no cluster: `valkey-cli` sends READONLY before it looks for large keys.
fn granted(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.ok();
    Ok(())
}

fn select(call: &mut Call<'_>) -> Result<(), CommandError> {
    let index = parse_i64(call.args.get(1)).ok_or(CommandError::NotInteger)?;
    match u16::try_from(index) {
        Ok(index) if index < call.keys.databases() => call.session.db = index,
        _ => return Err(text("ERR DB index is out of range")),
    }
    call.out.ok();
    Ok(())
}

fn log_in(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    let by_token = call.node.users.get(user).filter(|found| found.is_iam() && found.is_enabled());
    let accepted = match by_token {
        Some(found) => Some(found).filter(|_| iam::accepts(call.session, user, password)),
        None => call.node.users.authenticate(user, password),
    };
    let Some(found) = accepted else {
        super::acl::note_failed_login(call, user);
        return Err(text("WRONGPASS invalid username-password pair or user is disabled."));
    };
    let lasts = Duration::from_secs(call.node.settings().iam.session_seconds);
    call.session.ends = found.is_iam().then(|| Instant::now() + lasts);
    call.session.authenticated = true;
    call.session.shared.set_user(found.name());
    call.session.identity.become_user(found);
    Ok(())
}

fn auth(call: &mut Call<'_>) -> Result<(), CommandError> {
    let args = call.args;
    match args.len() {
        2 if call.node.users.get(DEFAULT).is_some_and(|user| user.takes_any_password()) => {
            return Err(text(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            ));
        }
        2 => log_in(call, DEFAULT, args.get(1))?,
        3 => log_in(call, args.get(1), args.get(2))?,
        _ => return Err(CommandError::Syntax),
    }
    call.out.ok();
    Ok(())
}

/// True for a name without blanks, line ends and other characters that would break CLIENT LIST.
pub(super) fn is_printable(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn hello(call: &mut Call<'_>) -> Result<(), CommandError> {
    let args = call.args;
    let version = match args.len() {
        1 => None,
        _ => match parse_i64(args.get(1)) {
            Some(2) => Some(Version::Resp2),
            Some(3) => Some(Version::Resp3),
            Some(_) => return Err(text("NOPROTO unsupported protocol version")),
            None => return Err(text("ERR Protocol version is not an integer or out of range")),
        },
    };
    let (mut at, mut name) = (2, None);
    while at < args.len() {
        match args.get(at) {
            word if word.eq_ignore_ascii_case(b"AUTH") && at + 2 < args.len() => {
                log_in(call, args.get(at + 1), args.get(at + 2))?;
                at += 3;
            }
            word if word.eq_ignore_ascii_case(b"SETNAME") && at + 1 < args.len() => {
                name = Some(args.get(at + 1));
                at += 2;
            }
            word => {
                let word = String::from_utf8_lossy(word);
                return Err(CommandError::new(format!("ERR Syntax error in HELLO option '{word}'")));
            }
        }
    }
    if !call.session.authenticated && !call.node.users.is_open() {
        return Err(text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        super::client::set_name(call, name)?;
    }
    if let Some(version) = version {
        call.out.set_version(version);
    }
    greet(call);
    Ok(())
}

fn greet(call: &mut Call<'_>) {
    let id = call.session.id() as i64;
    let settings = call.node.settings();
    let out = &mut *call.out;
    out.map(7);
    out.bulk(b"server");
    out.bulk(settings.server_name().as_bytes());
    out.bulk(b"version");
    out.bulk(settings.engine_version.as_bytes());
    out.bulk(b"proto");
    out.integer(if out.is_resp3() { 3 } else { 2 });
    out.bulk(b"id");
    out.integer(id);
    out.bulk(b"mode");
    out.bulk(b"standalone");
    out.bulk(b"role");
    out.bulk(b"master");
    out.bulk(b"modules");
    out.array(0);
}

fn quit(call: &mut Call<'_>) -> Result<(), CommandError> {
    let (session, node) = (&mut *call.session, call.node);
    session.closing = true;
    // Whoever has seen the reply finds nobody here: no listener is counted, and who redirects here hears that it is broken.
    session.listen_no_more(&node.hub);
    session.cache_no_more(node);
    node.monitors.remove(session.shared.place);
    node.sessions.remove(session.id());
    call.out.ok();
    Ok(())
}

fn reset(call: &mut Call<'_>) -> Result<(), CommandError> {
    let session = &mut *call.session;
    session.transaction = None::<Transaction>;
    session.watching.clear(&call.node.store);
    session.db = 0;
    call.node.monitors.remove(session.shared.place);
    session.listen_no_more(&call.node.hub);
    session.cache_no_more(call.node);
    session.reply_mode = ReplyMode::On;
    (session.no_touch, session.no_evict, session.imports) = (false, false, false);
    session.shared.imports.store(false, std::sync::atomic::Ordering::Relaxed);
    session.authenticated = session.local || call.node.users.is_open();
    session.identity = Identity::new(session.local);
    session.ends = None;
    session.shared.set_user(DEFAULT);
    session.shared.set_names(|names| names.name.clear());
    call.out.set_version(Version::Resp2);
    call.out.simple("RESET");
    Ok(())
}
