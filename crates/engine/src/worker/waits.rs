//! Sessions of this worker that execute nothing for now: they wait for a key or their own command, or CLIENT PAUSE holds them.
//!
//! Owns when their waits end for want of time, and what becomes of what they sent meanwhile.

use super::sessions::{OUTPUT_PAUSE_BYTES, Session, Sessions};
use crate::command::Known;
use crate::command::dispatch::{Request, Turn, execute};
use crate::command::wake::cancel;
use crate::meter::stopwatch::Rules;
use crate::node::Node;
use crate::observe;
use crate::session::registry::disk_wait;
use crate::session::{Client, Pending};
use larder_protocol::resp::args::{Args, OwnedArgs};
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// See the module.
#[derive(Default)]
pub(super) struct Waits {
    /// Deadline (Unix milliseconds), index of the session, ticket of its wait.
    deadlines: BTreeSet<(u64, u32, u64)>,
    /// Sessions that CLIENT PAUSE holds.
    paused: Vec<u32>,
    /// Sessions that wait for the disk (WAITAOF).
    disk: Vec<u32>,
    /// Sessions whose commands are carried out in slices, in the order of their turns.
    pub(super) long: VecDeque<u32>,
    /// Sessions that go on.
    pub(super) resumed: Vec<u32>,
}

impl Waits {
    /// Notes a session that waits since its last command, if it does. Saying it twice does no harm.
    pub(super) fn note(&mut self, index: u32, session: &mut Session) {
        let Some(pending) = &mut session.client.pending else { return };
        if let Some(long) = &mut pending.long {
            if !std::mem::replace(&mut long.listed, true) {
                self.long.push_back(index);
            }
            return;
        }
        match &pending.waiter {
            None if pending.disk.is_some() => {
                if !self.disk.contains(&index) {
                    self.disk.push(index);
                }
            }
            None if pending.asks || pending.sends || self.paused.contains(&index) => {}
            None => {
                session.client.shared.paused.store(true, Ordering::Relaxed);
                self.paused.push(index);
            }
            Some(waiter) => {
                self.deadlines.extend(waiter.deadline_ms.map(|deadline| (deadline, index, waiter.ticket)));
            }
        }
    }

    /// The wait of a session was ended by somebody else.
    pub(super) fn unblock(
        &mut self,
        node: &Node,
        index: u32,
        session: &mut Session,
        (ticket, reply): (u64, &[u8]),
    ) {
        let Some(pending) = &mut session.client.pending else { return };
        let Some(waiter) = pending.waiter.take_if(|waiter| waiter.ticket == ticket) else { return };
        if let Some(deadline) = waiter.deadline_ms {
            self.deadlines.remove(&(deadline, index, ticket));
        }
        session.client.shared.blocked.store(false, Ordering::Relaxed);
        if !pending.silent {
            session.out.raw(reply);
        }
        observe::ended(node, &session.client, &waiter, reply.first() == Some(&b'-'));
        self.resumed.push(index);
    }

    /// Lets the sessions go on that waited until replies are sent.
    #[cold]
    pub(super) fn drained(&mut self, sessions: &mut Sessions) {
        for index in std::mem::take(&mut sessions.drained) {
            // Another session may have its place by now.
            let pending = sessions.get(index).and_then(|session| session.client.pending.as_ref());
            if pending.is_some_and(|pending| pending.sends) && !self.resumed.contains(&index) {
                self.resumed.push(index);
            }
        }
    }

    /// Ends the waits whose time is up, and the holds of a pause that is over.
    pub(super) fn run(&mut self, node: &Node, now_ms: u64, sessions: &mut Sessions) {
        while let Some(&(deadline, index, ticket)) = self.deadlines.first() {
            if deadline > now_ms {
                break;
            }
            self.deadlines.pop_first();
            let Some(session) = sessions.get(index) else { continue };
            let waiter = session.client.pending.as_ref().and_then(|pending| pending.waiter.clone());
            // One that was served this very moment gets its reply by mail.
            if let Some(waiter) = waiter.filter(|waiter| waiter.ticket == ticket && cancel(node, waiter)) {
                self.unblock(node, index, session, (ticket, waiter.nothing()));
            }
        }
        if !self.disk.is_empty() {
            self.look_at_disk(node, now_ms, sessions);
        }
        if !self.paused.is_empty() && node.pause.held(now_ms).is_none() {
            for index in &self.paused {
                if let Some(session) = sessions.get(*index) {
                    session.client.shared.paused.store(false, Ordering::Relaxed);
                }
            }
            self.resumed.append(&mut self.paused);
        }
    }

    /// Lets the sessions go on for which enough has come to the disk.
    #[cold]
    fn look_at_disk(&mut self, node: &Node, now_ms: u64, sessions: &mut Sessions) {
        for index in std::mem::take(&mut self.disk) {
            let Some(session) = sessions.get(index) else { continue };
            let Some(pending) = &mut session.client.pending else { continue };
            let Some(wait) = &mut pending.disk else { continue };
            let before = session.out.len();
            if !wait.answer(node, now_ms, &session.client.shared, &mut session.out) {
                self.disk.push(index);
                continue;
            }
            if pending.silent {
                session.out.truncate(before);
            }
            pending.disk = None;
            session.client.shared.disk_wait.store(disk_wait::NONE, Ordering::Relaxed);
            node.log.aof.awaited.fetch_sub(1, Ordering::SeqCst);
            session.client.shared.blocked.store(false, Ordering::Relaxed);
            self.resumed.push(index);
        }
    }

    /// Forgets a session that is gone.
    pub(super) fn bury(&mut self, node: &Node, session: &mut Session) {
        let Some(pending) = session.client.pending.take() else { return };
        if let Some(waiter) = &pending.waiter {
            cancel(node, waiter);
            if let Some(deadline) = waiter.deadline_ms {
                self.deadlines.remove(&(deadline, session.token.index, waiter.ticket));
            }
        }
        if pending.disk.is_some() {
            node.log.aof.awaited.fetch_sub(1, Ordering::SeqCst);
        }
        if let Some(mut long) = pending.long {
            long.end(&node.store);
            self.long.retain(|index| *index != session.token.index);
        }
        for waiting in [&mut self.paused, &mut self.disk] {
            waiting.retain(|index| *index != session.token.index);
        }
    }
}

/// After a large reply: lets the session wait until what it was answered is sent, if that is much.
#[cold]
pub(super) fn weigh(client: &mut Client, output_bytes: usize) {
    if output_bytes > OUTPUT_PAUSE_BYTES && client.pending.is_none() {
        client.pending = Some(Box::new(Pending { sends: true, ..Pending::default() }));
    }
}

/// Keeps a request for later, because the session waits.
#[cold]
pub(super) fn hold_back(pending: &mut Pending, args: &Args<'_>) {
    pending.held_back.push_back(OwnedArgs::copy(args.iter()));
}

/// Executes what a session sent before and while it waited, until it waits again, or so much of what it is answered waits to
/// be sent that it has to wait for that. Answers how many keys changed.
pub(super) fn go_on(node: &Node, turn: &Turn, rules: &Rules, session: &mut Session) -> u64 {
    let Some(pending) = session.client.pending.take() else { return 0 };
    let mut held_back = pending.held_back;
    let mut changes = 0;
    while !session.client.closing {
        if !held_back.is_empty() && session.client.pending.is_none() && session.is_output_paused() {
            session.client.pending = Some(Box::new(Pending { held_back, sends: true, ..Pending::default() }));
            break;
        }
        let Some(owned) = held_back.pop_front() else { break };
        let Session { client, out, .. } = &mut *session;
        let args = owned.view();
        let request = Request { args: &args, command: node.table.get(args.get(0)), keys: &Known::NOTHING };
        client.command = None;
        let (began, before) = (Instant::now(), out.len());
        changes += execute(node, turn, client, &request, out);
        client.left = false;
        client.find_listens();
        client.forget_exception(request.command.map_or("", |command| command.name));
        if let Some(command) = client.command {
            let from = client.shared.clone();
            observe::inner(node, client, command, &args, began.elapsed(), &from.address);
            observe::large(
                node,
                rules,
                client,
                &args,
                (args.iter().map(<[u8]>::len).sum(), out.len().saturating_sub(before)),
            );
        }
        if let Some(pending) = &mut client.pending {
            pending.held_back.append(&mut held_back);
        }
    }
    changes
}
