//! Mail from one worker to another, and what wakes a worker up.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

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
}

/// A worker's mailbox. Its length is bounded by `maxclients` (connections) and one `Kill` per CLIENT KILL.
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
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.wake();
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
