//! Mail from one worker to another, and what wakes a worker up.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// A message to a worker.
#[derive(Debug)]
pub enum Mail {
    /// Serve this connection, which arrived at the listener with this index.
    Adopt {
        /// Index of the listener.
        listener: usize,
        /// The connection.
        fd: OwnedFd,
    },
    /// Close the sessions that were marked killed.
    Kill,
    /// Send these bytes to these sessions, after what they were sent so far.
    Deliver {
        /// The sessions. Those that are gone are passed over.
        to: Vec<Place>,
        /// What is sent.
        bytes: Arc<[u8]>,
    },
    /// A session's wait is over.
    Unblock {
        /// The session.
        place: Place,
        /// Which of its waits.
        ticket: u64,
        /// What it is answered.
        reply: Vec<u8>,
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

/// A worker's mailbox. Connections in it are bounded by `maxclients`; what else is in it was caused by commands, of
/// which each worker executes a bounded number before it reads its own mail.
#[derive(Debug)]
pub struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    wake: OwnedFd,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new() -> io::Result<Mailbox> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Mailbox { mail: Mutex::default(), wake })
    }

    /// What becomes readable when mail came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Sends mail and wakes the worker.
    pub fn send(&self, mail: Mail) {
        let mut all = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(mail);
        // Who found the box empty wakes the worker, which always takes everything.
        if all.len() == 1 {
            drop(all);
            self.wake();
        }
    }

    /// Wakes the worker.
    pub fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes()); // full means that it is awake
    }

    /// Takes all mail.
    pub fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
