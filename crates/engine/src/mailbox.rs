//! Mail from one worker to another, and what wakes a worker up.

mod pile;

use crate::iam::Verdict;
use crate::listeners::Listener;
use crate::memcache::udp::Datagram;
use crate::node::Node;
use crate::worker::Door;
use pile::Pile;
use rustix::event::{EventfdFlags, eventfd};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A message to a worker.
#[derive(Debug)]
pub enum Mail {
    /// Serve this connection.
    Adopt {
        /// Where it came in.
        door: Door,
        /// The connection.
        fd: OwnedFd,
    },
    /// Accept connections of this listener, too.
    Listen(Listener),
    /// Close the listener with this number.
    EndListener(usize),
    /// Close the sessions that were marked killed.
    Kill,
    /// Send these bytes to these sessions, after what they were sent so far.
    Deliver {
        /// The sessions. Those that are gone are passed over.
        to: Arc<[Place]>,
        /// What is sent.
        bytes: Arc<[u8]>,
        /// What it is.
        form: Form,
    },
    /// Close the sessions that listen to channels which their users may not use any more.
    CheckChannels,
    /// A Memcached request that came over UDP.
    Datagram(Datagram),
    /// Whether a session's token of IAM is good.
    Verdict {
        /// The session.
        place: Place,
        /// The verdict.
        verdict: Verdict,
    },
    /// Do this, on the worker's thread.
    Run(Job),
    /// A session's wait is over.
    Unblock {
        /// The session.
        place: Place,
        /// Which of its waits.
        ticket: u64,
        /// What it is answered.
        reply: Vec<u8>,
        /// Sequence number of what was done for it in the log, 0 if nothing was.
        logged: u64,
    },
}

/// Work for a worker, because only workers may touch the keyspace.
pub struct Job(pub Box<dyn FnOnce(&Node) + Send>);

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// What is delivered to sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bytes that are the same for all.
    Line,
    /// A push message of RESP3; in RESP2 its first byte is another.
    Push,
    /// A push message of RESP3 that RESP2 has no form for.
    OnlyResp3,
    /// Lines for a Memcached session that watches.
    Watched,
    /// Keys that changed, for who caches them; in RESP2 it is a message of a channel, for who listens.
    Invalid {
        /// Another session read the keys.
        redirected: bool,
    },
}

/// Where a session is: what it takes to reach it from another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Its worker.
    pub worker: u32,
    /// Its index among the worker's sessions, which another session may have after it.
    pub index: u32,
    /// Its id, which no other session ever has.
    pub id: u64,
}

thread_local! {
    /// Address of the mailbox of the worker that this thread is; 0 = it is none.
    static OWN: Cell<usize> = const { Cell::new(0) };
}

/// A worker's mailbox. Connections in it are bounded by `maxclients`; what else is in it was caused by commands, of
/// which each worker executes a bounded number before it reads its own mail.
#[derive(Debug)]
pub struct Mailbox {
    mail: Pile<Mail>,
    wake: OwnedFd,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> io::Result<Mailbox> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Mailbox { mail: Pile::default(), wake })
    }

    /// What becomes readable when mail came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Says that this thread is the worker whose box this is.
    pub fn claim(&self) {
        OWN.set(self.address());
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Sends mail and wakes the worker. A worker that sends to itself is awake, and looks into its box before it
    /// sleeps.
    pub fn send(&self, mail: Mail) {
        let bytes = match &mail {
            Mail::Deliver { bytes, .. } => bytes.len(),
            _ => 0,
        };
        if self.mail.add(mail, bytes) && OWN.get() != self.address() {
            self.wake();
        }
    }

    /// How much mail is in it. Takes no lock.
    #[inline]
    pub fn len(&self) -> usize {
        self.mail.len()
    }

    /// Bytes of the messages in it. Takes no lock.
    pub fn bytes(&self) -> usize {
        self.mail.bytes()
    }

    /// True when no mail is in it. Takes no lock.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wakes the worker.
    pub fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes()); // full means that it is awake
    }

    /// Takes all mail.
    pub fn take(&self) -> Vec<Mail> {
        self.mail.take()
    }
}
