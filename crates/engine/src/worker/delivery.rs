//! Mail on its way to sessions: what is published, on whatever worker, and how much of it may wait for who does not
//! read.

use super::sessions::{Session, Sessions};
use crate::config::OutputLimits;
use crate::mailbox::{Form, Mail, Mailbox, Place};
use crate::node::Node;
use crate::pubsub::message::RESP2_FIRST;
use crate::tracking;
use std::sync::atomic::Ordering;

/// Takes a worker's mail. What is for sessions is appended to what they are sent, and they are listed in `touched`; the
/// rest goes to `later`. Sends nothing.
pub(super) fn deliver_all(
    node: &Node,
    mailbox: &Mailbox,
    sessions: &mut Sessions,
    touched: &mut Vec<u32>,
    later: &mut Vec<Mail>,
) {
    if mailbox.is_empty() {
        return;
    }
    let limits = node.settings().output_limits;
    for mail in mailbox.take() {
        match mail {
            Mail::Deliver { to, bytes, form } => {
                for place in to.iter() {
                    if let Some(session) = of(sessions, place) {
                        if form == Form::Watched {
                            watched(node, session, &bytes);
                        } else {
                            append(session, &bytes, form, &limits);
                        }
                        touched.push(place.index);
                    }
                }
            }
            other => later.push(other),
        }
    }
}

/// The session at a place, if it is still the same one and reads what it is sent.
fn of<'a>(sessions: &'a mut Sessions, place: &Place) -> Option<&'a mut Session> {
    sessions.get(place.index).filter(|session| session.client.id() == place.id && !session.client.closing)
}

/// Gives lines to a session that watches: as many as it has room for, as long as it does not read what it has.
fn watched(node: &Node, session: &mut Session, bytes: &[u8]) {
    let watchers = &node.memcached.watchers;
    let limit = watchers.watcher_bytes.load(Ordering::Relaxed) as usize;
    let room = limit.saturating_sub(session.output_bytes()).min(bytes.len());
    let taken = memchr::memrchr(b'\n', &bytes[..room]).map_or(0, |end| end + 1);
    session.out.buffer().extend_from_slice(&bytes[..taken]);
    watchers.count(&bytes[..taken], true);
    watchers.count(&bytes[taken..], false);
}

fn append(session: &mut Session, bytes: &[u8], form: Form, limits: &OutputLimits) {
    let resp3 = session.out.is_resp3();
    let listens = session.client.subscriptions.is_some();
    // A message has no place within a reply.
    let buffer = match session.client.pending.as_mut().and_then(|pending| pending.long.as_mut()) {
        Some(long) => &mut long.aside,
        None => session.out.buffer(),
    };
    let start = buffer.len();
    match form {
        Form::Line | Form::Watched => buffer.extend_from_slice(bytes),
        Form::Push => {
            buffer.extend_from_slice(bytes);
            if !resp3 {
                buffer[start] = RESP2_FIRST;
            }
        }
        Form::OnlyResp3 | Form::Invalid { .. } if resp3 => buffer.extend_from_slice(bytes),
        Form::Invalid { redirected: true } if listens => tracking::in_resp2(bytes, buffer),
        Form::OnlyResp3 | Form::Invalid { .. } => return,
    }
    // Nothing more is added to what is too much already. The session is closed when replies are sent.
    let limit = limits.of(&session.client);
    session.client.closing |= limit.is_hard_exceeded(session.output_bytes() + session.gathered_bytes());
}

/// Mail in a box beyond which its worker has fallen behind.
const MAIL_MAX: usize = 16 * 1024;
/// Bytes of messages in a box beyond which its worker has fallen behind.
const MAIL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// True when some worker has fallen behind with its mail. The others execute nothing until it has caught up, so that
/// mail cannot pile up; but all go on reading their own, so nobody waits for ever.
pub(super) fn is_anybody_behind(node: &Node) -> bool {
    node.mailboxes.iter().any(|mailbox| mailbox.len() > MAIL_MAX || mailbox.bytes() > MAIL_BYTES_MAX)
}
