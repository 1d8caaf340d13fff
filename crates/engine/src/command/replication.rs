//! Commands of replication: who follows whom, what replicas and primaries say to each other, and waiting for replicas.

use super::collection::{Answer, text};
use super::table::{Command, Scope, flag};
use super::{Call, CommandError};
use crate::blocked::Wait;
use crate::config::replication::parse_primary;
use crate::node::now_ms;
use crate::replication::greeting::{Asked, Facts, Told};
use crate::replication::replicas::accept;
use crate::replication::wait::{Waiting, ask};
use crate::replication::{Link, failover, role, show};
use crate::session::ReplyMode;
use larder_protocol::number::parse_i64;

const ADMIN: u32 = flag::ADMIN | flag::NOSCRIPT;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "replicaof",
        summary: "Makes the server a replica of another, or a primary.",
        syntax: "<host port | NO ONE>",
        since: "5.0.0",
        group: "server",
        arity: 3,
        flags: ADMIN | flag::STALE | flag::NO_ASYNC_LOADING,
        scope: Scope::Still,
        handler: replica_of,
        ..Command::DEFAULT
    },
    Command {
        name: "slaveof",
        summary: "Makes the server a replica of another, or a primary.",
        syntax: "<host port | NO ONE>",
        group: "server",
        arity: 3,
        flags: ADMIN | flag::STALE | flag::NO_ASYNC_LOADING,
        scope: Scope::Still,
        handler: replica_of,
        ..Command::DEFAULT
    },
    Command {
        name: "replconf",
        summary: "What replicas tell primaries of themselves.",
        since: "3.0.0",
        group: "server",
        arity: -1,
        flags: ADMIN | flag::LOADING | flag::STALE | flag::ALLOW_BUSY,
        handler: replconf,
        ..Command::DEFAULT
    },
    Command {
        name: "psync",
        summary: "Asks for the stream of changes, from where the asker is.",
        syntax: "replicationid offset",
        since: "2.8.0",
        group: "server",
        arity: -3,
        flags: ADMIN | flag::NO_ASYNC_LOADING | flag::NO_MULTI,
        scope: Scope::Still,
        handler: psync,
        ..Command::DEFAULT
    },
    Command {
        name: "sync",
        summary: "Asks for all data and then the stream of changes.",
        group: "server",
        arity: 1,
        flags: ADMIN | flag::NO_ASYNC_LOADING | flag::NO_MULTI,
        scope: Scope::Still,
        handler: sync,
        ..Command::DEFAULT
    },
    Command {
        name: "role",
        summary: "Returns the replication role.",
        since: "2.8.12",
        group: "server",
        flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST,
        categories: &["admin", "dangerous"],
        handler: tell_role,
        ..Command::DEFAULT
    },
    Command {
        name: "failover",
        summary: "Hands over to a replica.",
        syntax: "[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
        since: "6.2.0",
        group: "server",
        arity: -1,
        flags: ADMIN | flag::STALE,
        scope: Scope::Still,
        handler: fail_over,
        ..Command::DEFAULT
    },
    Command {
        name: "wait",
        summary: "Waits until replicas have what the session wrote.",
        syntax: "numreplicas timeout",
        since: "3.0.0",
        group: "generic",
        arity: 3,
        flags: flag::BLOCKING,
        categories: &["connection"],
        handler: wait,
        ..Command::DEFAULT
    },
];

fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn replica_of(call: &mut Call<'_>) -> Answer {
    let wanted = format!("{} {}", word(call.args.get(1)), word(call.args.get(2)));
    if failover_is_on(call) {
        return Err(text("ERR REPLICAOF not allowed while failing over."));
    }
    match parse_primary(&wanted) {
        Ok(None) => {
            role::lead(call.node);
            call.out.ok();
        }
        Ok(Some(primary)) => match role::follow(call.node, call.keys.locked(), primary, false) {
            true => call.out.ok(),
            false => call.out.simple("OK Already connected to specified master"),
        },
        Err(error) => return Err(CommandError::new(format!("ERR {error}"))),
    }
    Ok(())
}

fn failover_is_on(call: &Call<'_>) -> bool {
    call.node.replication.failover.state_name() != "no-failover"
}

fn replconf(call: &mut Call<'_>) -> Answer {
    // It is kept until the session asks for data.
    match call.session.greeting.get_or_insert_default().take(call.args)? {
        Told::Noted => call.out.ok(),
        Told::Nothing => {}
        Told::Reached { offset, on_disk } => {
            if let Some(replica) = call.session.replica.clone() {
                replica.acknowledge(offset, on_disk);
                crate::replication::wait::look(call.node, call.keys.now_ms());
                if on_disk.is_some() {
                    call.node.wake_who_waits_for_disk();
                }
                call.session.greeting = None;
            }
        }
    }
    Ok(())
}

fn sync(call: &mut Call<'_>) -> Answer {
    begin(call, None, true)
}

fn psync(call: &mut Call<'_>) -> Answer {
    let Asked { id, position, failover } = Asked::read(call.args)?;
    if failover {
        take_over(call, &id)?;
    }
    begin(call, position.map(|position| (id.as_str(), position)), false)
}

/// The primary that this node follows asks it to lead.
fn take_over(call: &mut Call<'_>, id: &str) -> Answer {
    let node = call.node;
    if !node.replication.is_following() {
        return Err(text("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if node.replication.state().history.id != id {
        return Err(text("ERR PSYNC FAILOVER replid must match my replid."));
    }
    tracing::info!("Failover request received from {}", call.session.shared.address);
    role::lead(node);
    Ok(())
}

fn begin(call: &mut Call<'_>, resume: Option<(&str, u64)>, plain: bool) -> Answer {
    let node = call.node;
    if call.session.replica.is_some() {
        return Ok(());
    }
    if node.replication.is_following() && node.replication.state().link != Link::Connected {
        return Err(text("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    if call.session.shared.memcached || call.session.transaction.is_some() {
        return Err(CommandError::Syntax);
    }
    let facts: Facts = call.session.greeting.take().map_or_else(Facts::default, |facts| *facts);
    let accepted = accept(node, call.session.shared.clone(), facts, resume, plain);
    call.session.replica = Some(accepted.ok_or(text("ERR too many replicas"))?);
    // Nothing is answered any more: the stream is all that is sent.
    call.session.reply_mode = ReplyMode::Off;
    Ok(())
}

fn tell_role(call: &mut Call<'_>) -> Answer {
    show::role(call.node, call.out);
    Ok(())
}

fn fail_over(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (mut to, mut forced, mut aborts, mut timeout) = (None, false, false, None);
    let mut at = 1;
    while at < args.len() {
        match args.get(at).to_ascii_lowercase().as_slice() {
            b"timeout" if at + 1 < args.len() && timeout.is_none() => {
                let ms = parse_i64(args.get(at + 1)).ok_or(CommandError::NotInteger)?;
                let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0);
                timeout = Some(ms.ok_or(text("ERR FAILOVER timeout must be greater than 0"))?);
                at += 1;
            }
            b"abort" if args.len() == 2 => aborts = true,
            b"to" if at + 2 < args.len() && to.is_none() => {
                let port = parse_i64(args.get(at + 2)).and_then(|port| u16::try_from(port).ok());
                to = Some((word(args.get(at + 1)), port.ok_or(CommandError::NotInteger)?));
                at += 2;
            }
            b"force" if !forced => forced = true,
            _ => return Err(CommandError::Syntax),
        }
        at += 1;
    }
    if aborts {
        failover::abort(call.node).map_err(text)?;
    } else {
        let worker = call.session.shared.place.worker as usize;
        failover::begin(call.node, worker, to, forced, (call.keys.now_ms(), timeout)).map_err(text)?;
    }
    call.out.ok();
    Ok(())
}

fn timeout_ms(call: &Call<'_>, at: usize) -> Result<Option<u64>, CommandError> {
    let ms = parse_i64(call.args.get(at)).ok_or(text("ERR timeout is not an integer or out of range"))?;
    match u64::try_from(ms) {
        Err(_) => Err(text("ERR timeout is negative")),
        Ok(0) => Ok(None),
        Ok(ms) => {
            let until = call.keys.now_ms().checked_add(ms).filter(|at| i64::try_from(*at).is_ok());
            until.map(Some).ok_or(text("ERR timeout is out of range"))
        }
    }
}

fn wait(call: &mut Call<'_>) -> Answer {
    if call.node.replication.is_following() {
        return Err(text(
            "ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to be \
             writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let replicas = parse_i64(call.args.get(1)).ok_or(CommandError::NotInteger)?;
    let deadline_ms = timeout_ms(call, 2)?;
    wait_for(call, usize::try_from(replicas).unwrap_or(0), deadline_ms)
}

fn wait_for(call: &mut Call<'_>, replicas: usize, deadline_ms: Option<u64>) -> Answer {
    let node = call.node;
    let (session, number) = (call.session.id(), call.session.logged);
    let mut waiting = Waiting { session, number, target: None, replicas, deadline_ms };
    let resolved = waiting.resolve(node);
    let (reply, enough) = waiting.answer(node);
    if enough
        || replicas == 0
        || !call.session.may_wait
        || deadline_ms.is_some_and(|deadline| deadline <= now_ms())
    {
        call.out.raw(&reply);
        return Ok(());
    }
    node.replication.waits.enter(waiting);
    if resolved {
        ask(node, call.session.shared.place.worker as usize);
    }
    node.log.hand_over();
    call.wait(Wait::elsewhere());
    Ok(())
}
