//! Waiting for keys, and waking up who waits: what stands between a handler and [`crate::blocked`].
//!
//! A command that may change a key for which somebody waits holds, from the start, also the partitions of all that
//! would be touched by serving who waits ([`widen`]). So it serves them itself before it lets go ([`wake`]): a change
//! and what follows from it are one step, and nobody who came later is served before one who came earlier.

use super::Known;
use super::call::Call;
use super::dispatch::{fail, log, partitions, tell};
use super::keyspace::Keyspace;
use super::locked::{Held, Locked};
use super::table::Command;
use crate::blocked::{Waiter, Wants};
use crate::mailbox::Mail;
use crate::node::Node;
use crate::session::{Client, Pending, ReplyMode};
use larder_protocol::resp::args::{Args, OwnedArgs};
use larder_protocol::resp::reply::Reply;
use larder_protocol::slot::slot_of;
use larder_store::partition::access::Access;
use larder_store::{Now, PartitionId, ValueRef};
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How often the partitions to hold are looked up before all are taken: between a look and the locks others may come.
const ATTEMPTS_MAX: usize = 4;

/// The partitions that serving who waits for these keys would touch, whoever else that lets go on included.
fn reach(node: &Node, keys: &[&[u8]]) -> Vec<PartitionId> {
    let mut ids = Vec::new();
    let mut seen: HashSet<Box<[u8]>> = HashSet::new();
    let mut open: Vec<Box<[u8]>> = keys.iter().map(|&key| key.into()).collect();
    while let Some(key) = open.pop() {
        node.blocked.reach(&key, |id| ids.push(id), |target| open.push(target.into()));
        seen.insert(key);
        open.retain(|key| !seen.contains(key));
    }
    ids
}

/// Takes more locks, if serving who waits for these keys needs more than are held. The locks that are held may be let
/// go and taken again, so nothing may have been read under them.
#[cold]
pub(super) fn widen<'a>(node: &'a Node, mut locked: Locked<'a>, keys: &[&[u8]]) -> Locked<'a> {
    for _ in 0..ATTEMPTS_MAX {
        // Who is not there yet cannot come as long as the partitions of the keys are held.
        let wanted = reach(node, keys);
        if wanted.iter().all(|id| locked.peek(*id).is_some()) {
            return locked;
        }
        let mut ids = locked.ids();
        drop(locked);
        ids.extend(wanted);
        locked = Locked::many(&node.store, &mut ids);
    }
    drop(locked);
    Locked::all(&node.store)
}

/// A key that changed.
#[derive(Debug)]
pub struct Changed {
    /// Its database; `None`: perhaps any.
    pub db: Option<u16>,
    /// The key.
    pub key: Box<[u8]>,
}

/// All keys for which anybody waits: after a change of whole databases.
#[cold]
pub(super) fn everywhere(node: &Node) -> Vec<Changed> {
    node.blocked.keys().into_iter().map(|key| Changed { db: None, key }).collect()
}

/// Serves who waits for these keys, in the order of arrival, and whoever waits for what that changes. The partitions
/// that it takes are held. Answers how many changes were made.
#[cold]
pub(super) fn wake(node: &Node, locked: &mut dyn Held, changed: Vec<Changed>, moment: Moment) -> u64 {
    let mut changes = 0;
    let mut ready = VecDeque::from(changed);
    while let Some(Changed { db: at, key }) = ready.pop_front() {
        for (db, wants) in node.blocked.wanted(&key) {
            if at.is_some_and(|at| at != db) {
                continue;
            }
            let mut ticket = 0;
            while let Some(waiter) = node.blocked.first_from(&key, db, wants, ticket) {
                ticket = waiter.ticket + 1;
                if !is_there(&door(node, locked, db, moment), &key, wants) {
                    bury(node, &waiter, locked, moment);
                    break;
                }
                changes += serve(node, &waiter, locked, moment, &mut ready);
            }
        }
    }
    changes
}

/// Tells those who wait for entries of a group whose key has gone without a command: its time was up, or it was
/// evicted. Answers how many changes that led to. O(such keys).
pub(crate) fn tell_of_gone(node: &Node, moment: Moment) -> u64 {
    let mut changes = 0;
    for (db, key) in node.blocked.keys_of_groups() {
        let id = node.store.partition_of(slot_of(&key));
        let mut locked = Locked::many(&node.store, &mut [id]);
        if door(node, &mut locked, db, moment).exists(&key) {
            continue;
        }
        let mut locked = widen(node, locked, &[&key]);
        changes += wake(node, &mut locked, vec![Changed { db: Some(db), key }], moment);
    }
    changes
}

/// The time of the change that wakes others up, and how it notes its uses of keys.
pub(crate) type Moment = (Now, Access);

fn door<'a>(node: &'a Node, locked: &'a mut (dyn Held + 'a), db: u16, (now, access): Moment) -> Keyspace<'a> {
    Keyspace::new(node, Locked::Lent(locked), &Known::NOTHING, db, now, access)
}

fn is_there(keys: &Keyspace<'_>, key: &[u8], wants: Wants) -> bool {
    // A session with a group is also told that its stream has gone.
    matches!(
        (wants, keys.peek_value(key)),
        (Wants::Group, _)
            | (Wants::List, Some(ValueRef::List(_)))
            | (Wants::SortedSet, Some(ValueRef::SortedSet(_)))
            | (Wants::Stream, Some(ValueRef::Stream(_)))
    )
}

/// Who looks for a waiter at a key whose time is over removes it, as who asks for one does: replicas and the log hear of it
/// at once.
fn bury(node: &Node, waiter: &Waiter, locked: &mut dyn Held, moment: Moment) {
    let mut client = Client::new(waiter.shared.clone(), true, false);
    client.db = waiter.db;
    let mut out = Reply::new(Vec::new(), waiter.version);
    let args = waiter.args.view();
    let mut keys = door(node, locked, waiter.db, moment);
    keys.bury(waiter.command, &args);
    let mut call = Call { args: &args, keys, out: &mut out, session: &mut client, node };
    log(&mut call, waiter.command);
    tell(&mut call, waiter.command);
}

/// Tries a waiter's command again. If it found something, its reply is on its way and its wait is over. Answers how
/// many changes it made, and adds the keys that it changed to those whose waiters come next.
fn serve(
    node: &Node,
    waiter: &Waiter,
    locked: &mut dyn Held,
    moment: Moment,
    ready: &mut VecDeque<Changed>,
) -> u64 {
    let mut client = Client::new(waiter.shared.clone(), true, false);
    client.db = waiter.db;
    client.command = Some(waiter.command);
    let mut out = Reply::new(Vec::new(), waiter.version);
    let began = Instant::now();
    let changes = {
        let mut keys = door(node, locked, waiter.db, moment);
        keys.note_changes();
        let args = waiter.args.view();
        let mut call = Call { args: &args, keys, out: &mut out, session: &mut client, node };
        if let Err(error) = (waiter.command.handler)(&mut call) {
            let text = error.to_string();
            node.meter(call.session).error(&text);
            fail(node, call.out, 0, &text);
        }
        log(&mut call, waiter.command);
        ready.extend(tell(&mut call, waiter.command));
        call.keys.dirty()
    };
    waiter.spend(began.elapsed().as_nanos() as u64);
    if client.wait.is_none() {
        end(node, waiter, std::mem::take(out.buffer()), client.logged);
    }
    changes
}

/// Ends a wait with a reply; false if it has ended before. The waiter's partitions are held. `logged` is the sequence
/// number of what was done for it, if anything was.
pub(crate) fn end(node: &Node, waiter: &Waiter, reply: Vec<u8>, logged: u64) -> bool {
    let ended = node.blocked.leave(waiter);
    if ended {
        let place = waiter.shared.place;
        node.mailboxes[place.worker as usize].send(Mail::Unblock {
            place,
            ticket: waiter.ticket,
            reply,
            logged,
        });
    }
    ended
}

/// Ends a wait with an error, given without its `-`; false if it has ended before.
#[cold]
pub(crate) fn end_with_error(node: &Node, waiter: &Waiter, text: &str) -> bool {
    let ended = end(node, waiter, format!("-{text}\r\n").into_bytes(), 0);
    if ended {
        node.count_error(&waiter.shared, text);
    }
    ended
}

/// Ends a wait from outside of a command: the time is up, or the session is gone. False if it has ended before.
pub(crate) fn cancel(node: &Node, waiter: &Waiter) -> bool {
    let _held = Locked::many(&node.store, &mut waiter.partitions.clone());
    node.blocked.leave(waiter)
}

/// Makes a session wait. The partitions of the command's keys are held.
#[cold]
pub(super) fn block(
    node: &Node,
    client: &mut Client,
    command: &'static Command,
    args: &Args<'_>,
    out: &Reply,
) {
    let Some(wait) = client.wait.take() else { return };
    let mut ids = Vec::new();
    partitions(node, command, args, &mut ids);
    ids.sort_unstable();
    ids.dedup();
    let owned = OwnedArgs::copy(args.iter());
    let from = (client.db, out.version());
    let waiter = node.blocked.enter(*wait, client.shared.clone(), (command, owned), from, ids);
    client.shared.blocked.store(true, Ordering::Relaxed);
    client.pending = Some(Box::new(Pending {
        waiter: Some(waiter),
        silent: client.reply_mode != ReplyMode::On,
        ..Pending::default()
    }));
}
